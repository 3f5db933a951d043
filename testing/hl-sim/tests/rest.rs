//! REST: statuses, weights, pages, and agreement with the truth.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it fails")]

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::{EVER, World, coin};
use hl_core::{Interval, TimeMs};
use hl_sim::{Limits, SimConfig};
use serde_json::{Value, json};

const HOUR: i64 = 3_600_000;

async fn unlimited() -> World {
    let limits = Limits { weight: u32::MAX, ..Limits::default() };
    World::new(SimConfig { traders: 40, limits, ..SimConfig::default() }).await
}

#[tokio::test(start_paused = true)]
async fn a_market_that_is_served_again_is_the_one_that_went_on() {
    let config = SimConfig { traders: 40, ..SimConfig::default() };
    let went_on = World::new(config.clone()).await;
    went_on.wait(10 * 60_000).await;
    let resume = went_on.sim.now();
    let again = World::new(SimConfig { resume: Some(resume), ..config }).await;
    again.sim.caught_up().await;
    for world in [&went_on, &again] {
        world.wait(60_000).await;
    }
    let to = again.sim.now();
    assert!(to >= resume + 60_000);
    for name in ["BTC", "xyz:NVDA"] {
        let trades = |world: &World| world.sim.truth_trades(coin(name), EVER.0, to);
        assert!(trades(&again).len() > 10);
        assert_eq!(trades(&went_on), trades(&again), "{name}");
        let bars = |world: &World| world.sim.truth_candles(coin(name), Interval::M1, EVER.0, to - 60_000);
        assert_eq!(bars(&went_on), bars(&again), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn statuses_are_the_exchanges_own() {
    let world = unlimited().await;
    let unprocessable = "Failed to deserialize the JSON body into the target type";
    let json_type = "application/json";
    for (method, content_type, body, status, expected) in [
        ("GET", json_type, "", 405, ""),
        ("POST", "text/plain", "{}", 415, "Expected request with `Content-Type: application/json`"),
        ("POST", json_type, "{", 400, "Failed to parse the request body as JSON"),
        ("POST", json_type, "{}", 422, unprocessable),
        ("POST", json_type, r#"{"type":"dance"}"#, 422, unprocessable),
        ("POST", json_type, r#"{"type":"l2Book"}"#, 422, unprocessable),
        ("POST", json_type, r#"{"type":"fundingHistory","coin":"BTC","startTime":-1}"#, 422, unprocessable),
        ("POST", json_type, r#"{"type":"clearinghouseState","user":"0x12"}"#, 422, unprocessable),
        ("POST", json_type, r#"{"type":"metaAndAssetCtxs","dex":"nope"}"#, 500, "null"),
        ("POST", json_type, r#"{"type":"fundingHistory","coin":"NOPE","startTime":0}"#, 500, "null"),
        ("POST", json_type, r#"{"type":"l2Book","coin":"NOPE"}"#, 200, "null"),
        ("POST", "application/json; charset=utf-8", r#"{"type":"perpsAtOpenInterestCap"}"#, 200, "[]"),
    ] {
        let (seen, answer) = world.http(method, "/info", content_type, body).await;
        assert_eq!((seen, std::str::from_utf8(&answer).unwrap()), (status, expected), "{method} {body}");
    }
}

#[tokio::test(start_paused = true)]
async fn weight_is_a_sliding_minute_with_items() {
    let world = World::small().await;
    // 20 for the request and 1 for every 60 of the 5,000 bars.
    let bars = json!({"type": "candleSnapshot", "req": {"coin": "BTC", "interval": "1m", "startTime": 0}});
    for i in 1..=11 {
        assert_eq!(world.ask(bars.clone()).await.as_array().unwrap().len(), 5_000);
        assert_eq!(world.sim.status().weight, i * 103);
    }
    world.ask(bars.clone()).await;
    assert_eq!(world.sim.status().weight, 12 * 103, "what the items weigh may pass the limit");
    assert_eq!(world.http("POST", "/info", "application/json", r#"{"type":"allMids"}"#).await.0, 429);
    let (status, body) = world.http("POST", "/info", "application/json", &bars.to_string()).await;
    assert_eq!((status, &body[..]), (429, &b"null"[..]));
    world.get("/sim/status").await;
    world.wait(60_000).await;
    world.ask(json!({"type": "allMids"})).await;
    assert_eq!(world.sim.status().weight, 2);
    world.ask(json!({"type": "userRole", "user": format!("0x{:040x}", 0)})).await;
    assert_eq!(world.sim.status().weight, 62);
}

#[tokio::test(start_paused = true)]
async fn funding_is_read_in_pages() {
    let world = unlimited().await;
    let mut rows: Vec<Value> = Vec::new();
    let mut from = 0;
    loop {
        let request = json!({"type": "fundingHistory", "coin": "ETH", "startTime": from});
        let page = world.ask(request).await.as_array().unwrap().clone();
        assert!(page.len() <= 500);
        let last = page.last().unwrap()["time"].as_i64().unwrap();
        let full = page.len() == 500;
        // The start is inclusive: the page repeats the row that it is asked from.
        rows.extend(page.into_iter().filter(|r| r["time"].as_i64().unwrap() > from));
        if !full {
            break;
        }
        from = last;
    }
    assert!(rows.len() > 31 * 24);
    let truth = world.sim.truth_funding(coin("ETH"), EVER.0, EVER.1);
    let times: Vec<_> = rows.iter().map(|r| r["time"].as_i64().unwrap()).collect();
    assert_eq!(times, truth.iter().map(|f| f.time.0).collect::<Vec<_>>());
    assert!(times.windows(2).all(|w| w[1] / HOUR - w[0] / HOUR == 1 && w[1] % HOUR < 1_000));
}

#[tokio::test(start_paused = true)]
async fn bars_include_both_ends_and_the_open_one() {
    let world = unlimited().await;
    let end = world.sim.now().0 / HOUR * HOUR;
    let request = |interval: &str, from: i64, to: i64| json!({"type": "candleSnapshot", "req": {"coin": "BTC", "interval": interval, "startTime": from, "endTime": to}});
    let week = world.ask(request("1h", end - 7 * 24 * HOUR, end)).await;
    assert_eq!(week.as_array().unwrap().len(), 169);
    let hour = world.ask(request("1m", end - HOUR, end - 1)).await;
    let (n, volume) = hour.as_array().unwrap().iter().fold((0, 0.0), |(n, v), b| {
        (n + b["n"].as_u64().unwrap(), v + b["v"].as_str().unwrap().parse::<f64>().unwrap())
    });
    let whole = &world.ask(request("1h", end - HOUR, end - HOUR)).await[0];
    assert_eq!(whole["n"].as_u64().unwrap(), n);
    assert!((whole["v"].as_str().unwrap().parse::<f64>().unwrap() - volume).abs() < 1e-6);

    world.wait(3 * 60_000).await;
    let now = world.sim.now().0;
    let newest =
        world.ask(request("1m", now - 120_000, now)).await.as_array().unwrap().last().cloned().unwrap();
    assert!(newest["T"].as_i64().unwrap() > now, "the last row is the open bar");
    let finals = world.sim.truth_candles(coin("BTC"), Interval::M1, EVER.0, EVER.1);
    assert!(finals.last().unwrap().time.0 + 60_000 <= now, "the truth has only final ones");
}

#[tokio::test(start_paused = true)]
async fn recent_trades_and_books_are_fresh() {
    let world = unlimited().await;
    world.wait(20_000).await;
    let trades = world.ask(json!({"type": "recentTrades", "coin": "BTC"})).await;
    let seen: Vec<_> = trades.as_array().unwrap().iter().map(|t| t["tid"].as_u64().unwrap()).collect();
    let truth = world.sim.truth_trades(coin("BTC"), EVER.0, EVER.1);
    assert_eq!(seen, truth.iter().rev().take(10).map(|t| t.tid).collect::<Vec<_>>());
    let book = world.ask(json!({"type": "l2Book", "coin": "BTC"})).await;
    let time = book["time"].as_i64().unwrap();
    assert!(world.sim.now().0 - time <= 560);
    assert_eq!(world.sim.truth_books(coin("BTC"), TimeMs(time), TimeMs(time)).len(), 1);
    assert_eq!(book["levels"][0].as_array().unwrap().len(), 20);
    let coarse = world.ask(json!({"type": "l2Book", "coin": "BTC", "nSigFigs": 3})).await;
    assert!(coarse["spread"].is_string());
    assert!(coarse["levels"][0][0]["px"].as_str().unwrap().ends_with("00.0"));
}

#[tokio::test(start_paused = true)]
async fn the_universe_holds_what_a_collector_trips_over() {
    let world = unlimited().await;
    let both = world.ask(json!({"type": "metaAndAssetCtxs"})).await;
    let universe = both[0]["universe"].as_array().unwrap();
    assert_eq!(universe.len(), 6);
    assert_eq!(universe.len(), both[1].as_array().unwrap().len());
    assert_eq!(universe[5]["isDelisted"], true);
    assert!(universe[0].get("isDelisted").is_none());
    assert!(
        both[1][5]["midPx"].is_null() && both[1][5]["premium"].is_null() && both[1][5]["impactPxs"].is_null()
    );
    let spot = world.ask(json!({"type": "spotMetaAndAssetCtxs"})).await;
    let rows = spot[0]["universe"].as_array().unwrap();
    assert!(rows.iter().enumerate().any(|(i, r)| r["index"].as_u64() != Some(i as u64)));
    assert!(rows.iter().zip(spot[1].as_array().unwrap()).any(|(r, c)| r["name"] != c["coin"]));
    let dexes = world.ask(json!({"type": "perpDexs"})).await;
    assert!(dexes[0].is_null() && dexes[1]["name"] == "xyz");
    let builder = world.ask(json!({"type": "meta", "dex": "xyz"})).await;
    assert_eq!(builder["universe"][0]["name"], "xyz:NVDA");
    assert_eq!(world.ask(json!({"type": "meta", "dex": ""})).await, both[0]);
}

#[tokio::test(start_paused = true)]
async fn accounts_agree_with_the_trades() {
    let world = unlimited().await;
    world.wait(120_000).await;
    let mut net: BTreeMap<(String, String), hl_core::Decimal> = BTreeMap::new();
    for name in ["BTC", "ETH", "SOL", "HYPE", "DOGE", "xyz:NVDA", "xyz:TSLA"] {
        for t in world.sim.truth_trades(coin(name), EVER.0, EVER.1) {
            *net.entry((t.buyer.to_string(), name.to_owned())).or_default() += t.sz;
            *net.entry((t.seller.to_string(), name.to_owned())).or_default() -= t.sz;
        }
    }
    net.retain(|_, szi| !szi.is_zero());
    let truth: BTreeMap<_, _> = world
        .sim
        .truth_positions()
        .into_iter()
        .map(|h| ((h.user.to_string(), h.coin.to_string()), h.szi))
        .collect();
    assert_eq!(truth, net);
    let users: BTreeSet<_> = net.keys().map(|(user, _)| user.clone()).collect();
    for user in users {
        for dex in ["", "xyz"] {
            let state = world.ask(json!({"type": "clearinghouseState", "user": user, "dex": dex})).await;
            for p in state["assetPositions"].as_array().unwrap() {
                let key = (user.clone(), p["position"]["coin"].as_str().unwrap().to_owned());
                let szi: hl_core::Decimal = p["position"]["szi"].as_str().unwrap().parse().unwrap();
                assert_eq!(net.remove(&key), Some(szi));
            }
        }
    }
    assert!(net.is_empty(), "every position is shown in its dex");

    let somebody = world.sim.truth_trades(coin("BTC"), EVER.0, EVER.1)[0].buyer;
    let newest = world.ask(json!({"type": "userFills", "user": somebody})).await;
    let request = |extra: Value| {
        let mut r = json!({"type": "userFillsByTime", "user": somebody, "startTime": 0});
        r.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        r
    };
    let mut oldest = world.ask(request(json!({}))).await.as_array().unwrap().clone();
    assert_eq!(&world.ask(request(json!({"reversed": true}))).await, &newest);
    oldest.reverse();
    assert_eq!(Value::from(oldest), newest);
    let one = newest[0]["time"].as_i64().unwrap();
    let at_once = world.ask(request(json!({"startTime": one, "endTime": one}))).await;
    assert!(
        at_once.as_array().unwrap().iter().all(|f| f["time"] == one)
            && !at_once.as_array().unwrap().is_empty()
    );
}

#[tokio::test(start_paused = true)]
async fn nobody_known_has_an_empty_account() {
    let world = unlimited().await;
    let user = format!("0x{:040x}", 1);
    let state = world.ask(json!({"type": "clearinghouseState", "user": user})).await;
    assert_eq!(state["assetPositions"], json!([]));
    assert_eq!(state["marginSummary"]["accountValue"], "0.0");
    for kind in
        ["openOrders", "userFills", "historicalOrders", "userTwapSliceFills", "subAccounts", "delegations"]
    {
        let answer = world.ask(json!({"type": kind, "user": user})).await;
        assert!(answer.is_null() || answer == json!([]), "{kind}: {answer}");
    }
    assert_eq!(
        world.ask(json!({"type": "orderStatus", "user": user, "oid": 1})).await["status"],
        "unknownOid"
    );
    assert_eq!(world.ask(json!({"type": "userRole", "user": user})).await["role"], "missing");
}

#[tokio::test(start_paused = true)]
async fn files_name_the_traders_and_whole_days() {
    let world = unlimited().await;
    let board = world.get("/Mainnet/leaderboard").await;
    let rows = board["leaderboardRows"].as_array().unwrap();
    assert_eq!(rows.len(), 40);
    assert_eq!(rows[0]["windowPerformances"][0][0], "day");
    assert!(world.get("/Mainnet/vaults").await[0]["summary"]["vaultAddress"].is_string());
    let volume = world.get("/stats/daily_usd_volume").await;
    let days = volume["chart_data"].as_array().unwrap();
    assert_eq!(days.len(), 30);
    assert!(days.iter().all(|d| d["daily_usd_volume"].as_f64().unwrap() > 0.0));
    assert!(days[0]["time"].as_str().unwrap().ends_with("T00:00:00"));
    assert!(world.get("/stats/liquidity_by_coin").await["chart_data"]["BTC"][0]["mid_price"].is_f64());
    assert_eq!(world.http("GET", "/stats/nothing", "", "").await.0, 403);
}

#[tokio::test(start_paused = true)]
async fn the_truth_over_http_is_the_truth() {
    let world = unlimited().await;
    world.wait(90_000).await;
    let now = world.sim.now();
    let from = now - 30_000;
    let trades = world.get(&format!("/sim/truth/trades?coin=BTC&from={from}&to={now}")).await;
    let truth = world.sim.truth_trades(coin("BTC"), from, now);
    assert_eq!(trades.as_array().unwrap().len(), truth.len());
    assert!(
        trades
            .as_array()
            .unwrap()
            .iter()
            .zip(&truth)
            .all(|(a, b)| a["tid"] == b.tid && a["time"] == b.time.0)
    );
    let spot = world.get("/sim/truth/trades?coin=PURR%2FUSDC").await;
    assert!(spot.as_array().unwrap().len() >= 30);
    let candles = world.get("/sim/truth/candles?coin=BTC&interval=1m").await;
    assert_eq!(candles[0]["coin"], "BTC");
    assert_eq!(
        candles.as_array().unwrap().len(),
        world.sim.truth_candles(coin("BTC"), Interval::M1, EVER.0, EVER.1).len()
    );
    for (path, count) in [
        ("books?coin=BTC", world.sim.truth_books(coin("BTC"), EVER.0, EVER.1).len()),
        ("bbo?coin=BTC", world.sim.truth_bbos(coin("BTC"), EVER.0, EVER.1).len()),
        ("mids?coin=BTC", world.sim.truth_mids(coin("BTC"), EVER.0, EVER.1).len()),
        ("contexts?coin=BTC", world.sim.truth_contexts(coin("BTC"), EVER.0, EVER.1).len()),
        ("funding?coin=BTC", world.sim.truth_funding(coin("BTC"), EVER.0, EVER.1).len()),
        ("positions", world.sim.truth_positions().len()),
    ] {
        let rows = world.get(&format!("/sim/truth/{path}")).await;
        assert_eq!(rows.as_array().unwrap().len(), count, "{path}");
        assert!(count > 10, "{path}");
    }
    let bbo = world.sim.truth_bbos(coin("DOGE"), from, now);
    assert!(bbo[0].time <= from, "the state in force at the beginning comes first");
    for (path, status) in [
        ("trades?coin=NOPE", 404),
        ("trades?from=yesterday", 400),
        ("candles?coin=BTC&interval=7m", 400),
        ("nothing", 404),
    ] {
        assert_eq!(world.http("GET", &format!("/sim/truth/{path}"), "", "").await.0, status, "{path}");
    }
    let status = world.get("/sim/status").await;
    assert_eq!(status["from"], SimConfig::default().start.0);
    assert_eq!(status["seed"], 7);
}

#[tokio::test(start_paused = true)]
async fn what_is_retained_is_bounded_by_time() {
    let config = SimConfig { traders: 40, retention_ms: 5 * 60_000, ..SimConfig::default() };
    let world = World::new(config).await;
    world.wait(15 * 60_000).await;
    let from = TimeMs(world.sim.status().from);
    assert!(world.sim.now().since(from) <= 5 * 60_000 + 1_000);
    let books = world.sim.truth_books(coin("BTC"), EVER.0, EVER.1);
    assert!(books.len() < 6 * 60_000 / 490 && books[0].time <= from);
    assert!(world.sim.truth_trades(coin("BTC"), EVER.0, EVER.1)[0].time >= from - 60_000);
    let somebody = world.sim.truth_trades(coin("BTC"), EVER.0, EVER.1)[0].buyer;
    assert!(!world.ask(json!({"type": "userFills", "user": somebody})).await.as_array().unwrap().is_empty());
    world.sim.stop().await;
}
