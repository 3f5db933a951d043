//! Reads of accounts through the chain, seen from a client that writes and reads the words by itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it fails")]

mod common;

use common::World;
use hl_core::Decimal;
use hl_core::record::Address;
use hl_sim::{Fault, FaultKind, Limits, SimConfig};
use serde_json::{Value, json};

const MULTICALL: &str = "0xcA11bde05977b3631167028862bE2a173976CA11";
const JSON: &str = "application/json";

fn precompile(last: &str) -> String {
    format!("0x{last:0>40}")
}

fn word(number: u64) -> String {
    format!("{number:064x}")
}

fn address(user: &str) -> String {
    format!("{:0>64}", user.trim_start_matches("0x"))
}

/// A call of a position: where, and its arguments.
fn position(user: &str, perpetual: u64) -> (String, String) {
    (precompile("813"), address(user) + &word(perpetual))
}

fn summary(dex: u64, user: &str) -> (String, String) {
    (precompile("80F"), word(dex) + &address(user))
}

/// The data of `aggregate3`, every call of which may fail.
fn aggregate(calls: &[(String, String)]) -> String {
    aggregated(calls, true)
}

fn aggregated(calls: &[(String, String)], may_fail: bool) -> String {
    let (mut heads, mut tuples) = (String::new(), String::new());
    for (target, data) in calls {
        heads += &word((calls.len() * 32 + tuples.len() / 2) as u64);
        tuples +=
            &(address(target) + &word(may_fail.into()) + &word(96) + &word(data.len() as u64 / 2) + data);
    }
    format!("0x82ad56cb{}{}{heads}{tuples}", word(32), word(calls.len() as u64))
}

/// The words of an answer.
fn words(hex: &str) -> Vec<String> {
    let digits = hex.trim_start_matches("0x").as_bytes();
    digits.chunks(64).map(|word| String::from_utf8(word.to_vec()).unwrap()).collect()
}

fn signed(word: &str) -> i64 {
    assert!(word.starts_with(&"0".repeat(48)) || word.starts_with(&"f".repeat(48)), "{word}");
    u64::from_str_radix(&word[48..], 16).unwrap().cast_signed()
}

/// What `aggregate3` returned of each call; `None` where it failed.
fn results(hex: &str) -> Vec<Option<Vec<i64>>> {
    let words = words(hex);
    let at = |byte: i64| usize::try_from(byte).unwrap() / 32;
    let list = &words[at(signed(&words[0]))..];
    let of = |place: &String| {
        let tuple = &list[1 + at(signed(place))..];
        let bytes = &tuple[at(signed(&tuple[1]))..];
        let data = bytes[1..=at(signed(&bytes[0]))].iter().map(|word| signed(word)).collect();
        (signed(&tuple[0]) == 1).then_some(data)
    };
    list[1..=usize::try_from(signed(&list[0])).unwrap()].iter().map(of).collect()
}

async fn rpc(world: &World, method: &str, params: Value) -> Value {
    let request = json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params});
    let (status, body) = world.http("POST", "/evm", JSON, &request.to_string()).await;
    assert_eq!(status, 200);
    let answer: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((&answer["jsonrpc"], &answer["id"]), (&"2.0".into(), &7.into()));
    answer
}

async fn call(world: &World, to: &str, data: &str) -> Value {
    rpc(world, "eth_call", json!([{"to": to, "data": data, "gas": "0x1c9c380"}, "latest"])).await
}

async fn bundle(world: &World, calls: &[(String, String)]) -> Vec<Option<Vec<i64>>> {
    let answer = call(world, MULTICALL, &aggregate(calls)).await;
    results(answer["result"].as_str().unwrap_or_else(|| panic!("{answer}")))
}

fn micros(text: &Value) -> i64 {
    let usd: Decimal = text.as_str().unwrap().parse().unwrap();
    (usd * Decimal::from(1_000_000)).normalize().to_string().parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn positions_and_summaries_are_those_of_rest() {
    let limits = Limits { weight: u32::MAX, ..Limits::default() };
    let world = World::new(SimConfig { traders: 40, limits, ..SimConfig::default() }).await;
    world.wait(120_000).await;
    let users: Vec<Address> = world.sim.truth_positions().into_iter().map(|h| h.user).collect();
    let mut seen = 0;
    for (number, dex) in [(0, ""), (1, "xyz")] {
        let universe = world.ask(json!({"type": "meta", "dex": dex})).await["universe"].clone();
        let universe = universe.as_array().unwrap();
        for user in users.iter().step_by(9).map(Address::to_string) {
            let mut calls: Vec<_> =
                (0..universe.len() as u64).map(|i| position(&user, number * 10_000 + i)).collect();
            calls.push(summary(number, &user));
            // Nothing happens between the two: the clock of the test stands still meanwhile.
            let mut rows = bundle(&world, &calls).await;
            let state = world.ask(json!({"type": "clearinghouseState", "user": user, "dex": dex})).await;
            let margin = &state["marginSummary"];
            let total = ["accountValue", "totalMarginUsed", "totalNtlPos", "totalRawUsd"];
            assert_eq!(rows.pop().unwrap().unwrap(), total.map(|name| micros(&margin[name])));
            for (row, asset) in rows.into_iter().zip(universe) {
                let row = row.unwrap();
                let is = |p: &&Value| p["position"]["coin"] == asset["name"];
                let shown = state["assetPositions"].as_array().unwrap().iter().find(is);
                let decimals = u32::try_from(asset["szDecimals"].as_u64().unwrap()).unwrap();
                let size =
                    shown.map_or(Decimal::ZERO, |p| p["position"]["szi"].as_str().unwrap().parse().unwrap());
                assert_eq!(Decimal::new(row[0], decimals), size);
                assert_eq!((row[2], row[4], row.len()), (0, 0, 5));
                if let Some(shown) = shown {
                    seen += 1;
                    assert_eq!(Some(row[3].unsigned_abs()), shown["position"]["leverage"]["value"].as_u64());
                    let entry: Decimal = shown["position"]["entryPx"].as_str().unwrap().parse().unwrap();
                    let off = Decimal::new(row[1], 6) / size.abs() - entry;
                    assert!(off.abs() <= entry * Decimal::new(1, 6), "{off} of {entry}");
                }
            }
        }
    }
    assert!(seen > 20, "{seen}");
}

#[tokio::test(start_paused = true)]
async fn a_read_without_a_bundle_is_the_same_and_who_is_unknown_has_nothing() {
    let world = World::small().await;
    let held = world.sim.truth_positions().into_iter().find(|h| h.coin.as_str() == "BTC").unwrap();
    let (to, data) = position(&held.user.to_string(), 0);
    let bundled = bundle(&world, &[(to.clone(), data.clone())]).await;
    let alone = call(&world, &to, &format!("0x{data}")).await;
    let alone: Vec<_> = words(alone["result"].as_str().unwrap()).iter().map(|word| signed(word)).collect();
    assert_eq!(bundled, [Some(alone.clone())]);
    assert_eq!(Decimal::new(alone[0], 5), held.szi);

    let nobody = format!("0x{:040x}", 1);
    let empty = bundle(&world, &[position(&nobody, 0), summary(0, &nobody), summary(1, &nobody)]).await;
    assert_eq!(empty[0].as_ref().unwrap()[..3], [0; 3]);
    assert_eq!(empty[1..], [Some(vec![0; 4]), Some(vec![0; 4])]);

    assert_eq!(rpc(&world, "eth_chainId", json!([])).await["result"], "0x3e7");
    let block = |answer: Value| u64::from_str_radix(&answer["result"].as_str().unwrap()[2..], 16).unwrap();
    let before = block(rpc(&world, "eth_blockNumber", json!([])).await);
    world.wait(10_000).await;
    assert!((9..=10).contains(&(block(rpc(&world, "eth_blockNumber", json!([])).await) - before)));
}

#[tokio::test(start_paused = true)]
async fn what_fails_burns_its_gas() {
    let world = World::small().await;
    let user = world.sim.truth_positions()[0].user.to_string();
    // The last place of the first dex is the delisted market's; the builder dex has two.
    let mut calls = vec![position(&user, 5), position(&user, 6), position(&user, 10_001)];
    let rows = bundle(&world, &calls).await;
    assert_eq!(rows.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false, true]);
    for wrong in [position(&user, 10_002), position(&user, 20_000), summary(2, &user)] {
        assert_eq!(bundle(&world, std::slice::from_ref(&wrong)).await, [None]);
        let (to, data) = wrong;
        assert_eq!(call(&world, &to, &format!("0x{data}")).await["error"]["code"], -32_000);
    }
    let odd = (precompile("813"), word(1));
    assert_eq!(bundle(&world, &[odd]).await, [None], "an argument is missing");

    // A 64th of what was left is enough for 55 more reads.
    calls.truncate(2);
    calls.resize(2 + 55, position(&user, 0));
    assert_eq!(bundle(&world, &calls).await.iter().filter(|row| row.is_some()).count(), 56);
    calls.push(position(&user, 0));
    let out_of_gas = json!({"code": -32_000, "message": "out of gas"});
    assert_eq!(call(&world, MULTICALL, &aggregate(&calls)).await["error"], out_of_gas);

    let two = aggregate(&[position(&user, 0), position(&user, 1)]);
    for (gas, fits) in [(2 * 8_392, true), (2 * 8_392 - 1, false)] {
        let request = json!([{"to": MULTICALL, "data": two, "gas": format!("{gas:#x}")}, "latest"]);
        assert_eq!(rpc(&world, "eth_call", request).await.get("result").is_some(), fits);
    }
    let mut strict = vec![position(&user, 0)];
    assert!(call(&world, MULTICALL, &aggregated(&strict, false)).await.get("result").is_some());
    strict.push(position(&user, 6));
    let answer = call(&world, MULTICALL, &aggregated(&strict, false)).await;
    assert_eq!(answer["error"]["message"], "execution reverted: Multicall3: call failed");
}

#[tokio::test(start_paused = true)]
async fn an_answer_has_its_longest() {
    let world = World::small().await;
    let user = world.sim.truth_positions()[0].user.to_string();
    let many = |n: usize| aggregate(&vec![position(&user, 0); n]);
    assert!(call(&world, MULTICALL, &many(1_000)).await.get("result").is_some());
    // The request is shorter than a MiB, and its answer is not.
    let answer = call(&world, MULTICALL, &many(1_900)).await;
    assert_eq!(answer["error"], json!({"code": -32_000, "message": "the response is too large"}));
}

#[tokio::test(start_paused = true)]
async fn requests_are_limited_apart_from_the_weight() {
    let limits = Limits { chain_requests: 5, ..Limits::default() };
    let world = World::new(SimConfig { traders: 40, limits, ..SimConfig::default() }).await;
    for _ in 0..5 {
        assert_eq!(rpc(&world, "eth_chainId", json!([])).await["result"], "0x3e7");
    }
    let refused = json!({"code": -32_005, "message": "rate limited"});
    assert_eq!(rpc(&world, "eth_chainId", json!([])).await["error"], refused);
    let status = world.sim.status();
    assert_eq!((status.weight, status.counters.chain_requests, status.counters.chain_limited), (0, 6, 1));
    assert_eq!(SimConfig::default().limits.chain_requests, 100);
    world.wait(60_000).await;
    assert!(rpc(&world, "eth_chainId", json!([])).await.get("result").is_some());
}

#[tokio::test(start_paused = true)]
async fn a_network_may_have_no_chain_and_a_chain_may_fail() {
    let without = World::new(SimConfig { traders: 40, chain: false, ..SimConfig::default() }).await;
    assert_eq!(without.http("POST", "/evm", JSON, "{}").await.0, 404);

    let world = World::small().await;
    assert_eq!(world.http("GET", "/evm", JSON, "").await.0, 405);
    assert_eq!(world.http("POST", "/evm", "text/plain", "{}").await.0, 415);
    let request = json!({"id": 1, "method": "eth_chainId"}).to_string();
    let chain = |status| FaultKind::Chain { status, body: None, delay_ms: Some(500) };
    for status in [404, 502] {
        world.sim.inject(Fault::times(chain(Some(status)), 2));
        assert_eq!(world.http("POST", "/evm", JSON, &request).await.0, status);
        assert_eq!(world.http("POST", "/evm", JSON, &request).await.0, 200);
    }
    world.sim.inject(Fault::lasting(chain(None), 10_000));
    let begun = world.sim.now();
    world.ask(json!({"type": "allMids"})).await;
    assert_eq!(world.sim.now(), begun, "it does not concern /info");
    assert_eq!(world.http("POST", "/evm", JSON, &request).await.0, 200);
    assert!(world.sim.now() >= begun + 500);
    assert_eq!(world.sim.status().faults_applied["chain"], 5);
}
