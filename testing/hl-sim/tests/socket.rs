//! WebSocket: order of frames, cadences, agreement with the truth, quirks and limits.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it fails")]

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::{EVER, Ended, World, coin};
use hl_core::{Decimal, Interval, TimeMs};
use hl_sim::{Limits, Sim, SimConfig};
use serde_json::{Value, json};

fn dec(value: &Value) -> Decimal {
    value.as_str().unwrap().parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn trades_start_with_a_replay_and_miss_nothing() {
    let world = World::small().await;
    let mut client = world.connect().await;
    client.subscribe(json!({"type": "trades", "coin": "BTC"})).await;
    let ack = client.next().await;
    assert_eq!(
        ack.to_string(),
        json!({"channel": "subscriptionResponse", "data": {"method": "subscribe",
            "subscription": {"type": "trades", "coin": "BTC"}}})
        .to_string()
    );
    let replay = client.next_on("trades").await;
    let replayed = replay["data"].as_array().unwrap();
    assert_eq!(replayed.len(), 30);
    assert!(replayed.windows(2).all(|w| w[0]["time"].as_i64() <= w[1]["time"].as_i64()), "oldest first");

    let live = client.collect(&world.sim, 60_000).await;
    let frames = live
        .iter()
        .filter(|(_, f)| f["channel"] == "trades")
        .flat_map(|(_, f)| f["data"].as_array().unwrap());
    let seen: BTreeSet<(i64, u64)> = replayed
        .iter()
        .chain(frames)
        .map(|t| (t["time"].as_i64().unwrap(), t["tid"].as_u64().unwrap()))
        .collect();
    let first = seen.first().unwrap().0;
    let truth = world.sim.truth_trades(coin("BTC"), TimeMs(first), TimeMs::MAX);
    let expected: BTreeSet<_> = truth.iter().map(|t| (t.time.0, t.tid)).collect();
    // A replay may begin inside a block.
    let missing: Vec<_> = expected.difference(&seen).filter(|k| k.0 > first).collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert!(seen.is_subset(&expected));
    assert!(expected.len() > 100);
    world.sim.stop().await;
}

#[tokio::test(start_paused = true)]
async fn some_replays_send_their_newest_trade_twice() {
    let world = World::small().await;
    let mut doubled = 0;
    for _ in 0..8 {
        let mut client = world.connect().await;
        for name in ["BTC", "ETH", "SOL", "HYPE", "DOGE"] {
            client.subscribed(json!({"type": "trades", "coin": name})).await;
            let newest = client.next_on("trades").await["data"].as_array().unwrap().last().cloned().unwrap();
            let again = client.text_within(1).await.map(|t| serde_json::from_str::<Value>(&t).unwrap());
            doubled += usize::from(again.is_some_and(|f| f["data"] == json!([newest])));
        }
        drop(client);
        world.wait(6_000).await;
    }
    assert!((1..40).contains(&doubled), "{doubled} of 40");
}

#[tokio::test(start_paused = true)]
async fn books_come_on_their_clocks_and_are_retained() {
    let world = World::small().await;
    let (mut slow, mut fast) = (world.connect().await, world.connect().await);
    for name in ["BTC", "DOGE"] {
        slow.subscribed(json!({"type": "l2Book", "coin": name})).await;
        fast.subscribed(json!({"type": "l2Book", "coin": name, "fast": true})).await;
    }
    let (a, b) = (&mut slow, &mut fast);
    let (slow, fast) = tokio::join!(a.collect(&world.sim, 60_000), b.collect(&world.sim, 60_000));
    let levels = |book: &Value, side: usize| -> Vec<(Decimal, Decimal)> {
        book["levels"][side].as_array().unwrap().iter().map(|l| (dec(&l["px"]), dec(&l["sz"]))).collect()
    };
    for (frames, depth, least, most) in [(&slow, 20, 10, 13), (&fast, 5, 105, 115)] {
        let mut times: BTreeMap<i64, BTreeSet<String>> = BTreeMap::new();
        let mut pushes = 0;
        for (at, frame) in frames.iter().filter(|(_, f)| f["channel"] == "l2Book") {
            let book = &frame["data"];
            let time = book["time"].as_i64().unwrap();
            let name = book["coin"].as_str().unwrap();
            times.entry(*at).or_default().insert(format!("{time}"));
            pushes += usize::from(name == "DOGE");
            assert_eq!(book.get("fast").is_some(), depth == 5);
            let truth = world.sim.truth_books(coin(name), TimeMs(time), TimeMs(time));
            assert_eq!(truth.len(), 1, "a book that was sent is retained");
            let expected = |side: &[hl_core::record::Level]| -> Vec<(Decimal, Decimal)> {
                side.iter().take(depth).map(|l| (l.px, l.sz)).collect()
            };
            assert_eq!(levels(book, 0), expected(&truth[0].bids));
            assert_eq!(levels(book, 1), expected(&truth[0].asks));
            assert_eq!(levels(book, 0).len(), depth);
        }
        // The first book of a coin comes at once, the others with the clock: unchanged books too.
        assert!((least..=most).contains(&pushes), "{pushes} pushes of {depth} levels");
        assert!(times.values().all(|t| t.len() == 1), "all coins of a push share one time");
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_version_of_every_bar_is_sent_sometimes_late() {
    let world = World::small().await;
    let mut client = world.connect().await;
    client.subscribed(json!({"type": "candle", "coin": "BTC", "interval": "1m"})).await;
    client.subscribed(json!({"type": "candle", "coin": "BTC", "interval": "3m"})).await;
    let frames = client.collect(&world.sim, 20 * 60_000).await;
    for interval in [Interval::M1, Interval::M3] {
        let bars = frames.iter().map(|(_, f)| &f["data"]).filter(|d| d["i"] == interval.as_str());
        let bars: Vec<_> = bars.collect();
        let mut last: BTreeMap<i64, (u64, Decimal, Decimal)> = BTreeMap::new();
        for bar in &bars {
            let n = bar["n"].as_u64().unwrap();
            let t = bar["t"].as_i64().unwrap();
            let before = last.insert(t, (n, dec(&bar["v"]), dec(&bar["c"])));
            assert!(before.is_none_or(|b| b.0 <= n), "n never falls");
            assert_eq!(bar["T"].as_i64().unwrap(), t + interval.ms() - 1);
        }
        let truth =
            world.sim.truth_candles(coin("BTC"), interval, TimeMs(*last.keys().next().unwrap()), TimeMs::MAX);
        assert!(truth.len() as i64 >= 18 * 60_000 / interval.ms());
        for bar in &truth[..truth.len() - 1] {
            assert_eq!(last[&bar.time.0], (bar.trades, bar.volume, bar.close));
        }
        if interval == Interval::M1 {
            let backwards = bars.windows(2).filter(|w| w[0]["t"].as_i64() > w[1]["t"].as_i64()).count();
            assert!(backwards > 0, "a last version comes after the next bar has opened");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn states_come_on_their_clocks_and_agree_with_the_truth() {
    let world = World::small().await;
    let mut client = world.connect().await;
    for subscription in [
        json!({"type": "allMids"}),
        json!({"type": "activeAssetCtx", "coin": "BTC"}),
        json!({"type": "activeAssetCtx", "coin": "PURR/USDC"}),
        json!({"type": "bbo", "coin": "BTC"}),
        json!({"type": "allDexsAssetCtxs"}),
    ] {
        client.subscribe(subscription).await;
    }
    let frames = client.collect(&world.sim, 30_000).await;
    let count = |channel: &str| frames.iter().filter(|(_, f)| f["channel"] == channel).count();
    assert!((6..=8).contains(&count("allMids")), "{}", count("allMids"));
    assert!((28..=33).contains(&count("activeAssetCtx")));
    assert!((28..=33).contains(&count("activeSpotAssetCtx")));
    assert!((3..=4).contains(&count("allDexsAssetCtxs")));
    assert!(count("bbo") > 60);
    let truth = world.sim.truth_mids(coin("BTC"), EVER.0, EVER.1);
    for (at, frame) in frames.iter().filter(|(_, f)| f["channel"] == "allMids") {
        let mids = &frame["data"]["mids"];
        assert!(["@107", "PURR/USDC", "MATIC", "BTC"].iter().all(|c| mids.get(c).is_some()));
        let shown = truth.iter().rfind(|m| m.time.0 <= *at).unwrap();
        assert_eq!(dec(&mids["BTC"]), shown.px);
    }
    let bbos = world.sim.truth_bbos(coin("BTC"), EVER.0, EVER.1);
    for (_, frame) in frames.iter().filter(|(_, f)| f["channel"] == "bbo") {
        let time = frame["data"]["time"].as_i64().unwrap();
        let truth = bbos.iter().find(|b| b.time.0 == time).unwrap();
        assert_eq!(dec(&frame["data"]["bbo"][0]["px"]), truth.bid.unwrap().px);
        for book in world.sim.truth_books(coin("BTC"), TimeMs(time), TimeMs(time)) {
            assert_eq!((book.bids.first().copied(), book.asks.first().copied()), (truth.bid, truth.ask));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn errors_are_the_exchanges_own() {
    let world = World::small().await;
    let mut client = world.connect().await;
    client.send(json!({"method": "ping"})).await;
    assert_eq!(client.text_within(1_000).await.unwrap(), r#"{"channel":"pong"}"#);
    for raw in
        ["no json", r#"{"method":"dance"}"#, r#"{"method":"subscribe"}"#, r#"{"method":"post","request":{}}"#]
    {
        client.send_text(raw).await;
        let expected = format!("Error parsing JSON into valid websocket request: {raw}");
        assert_eq!(client.next().await, json!({"channel": "error", "data": expected}));
    }
    client.subscribed(json!({"type": "l2Book", "coin": "SOL"})).await;
    client.next_on("l2Book").await;
    client.subscribe(json!({"coin": "SOL", "type": "l2Book"})).await;
    let echo = r#"{"type":"l2Book","coin":"SOL","nSigFigs":null,"mantissa":null,"fast":false}"#;
    assert_eq!(client.next().await["data"], format!("Already subscribed: {echo}"));
    for answer in [json!("unsubscribe"), json!(format!("Already unsubscribed: {echo}"))] {
        client
            .send(json!({"method": "unsubscribe", "subscription": {"type": "l2Book", "coin": "SOL"}}))
            .await;
        let frame = client.next().await;
        assert!(frame["data"] == answer || frame["data"]["method"] == answer, "{frame}");
    }
    client.send(json!({"method": "post", "id": 7, "request": {"type": "info", "payload": {"type": "l2Book", "coin": "X"}}})).await;
    let expected =
        json!({"id": 7, "response": {"type": "info", "payload": {"type": "l2Book", "data": null}}});
    assert_eq!(client.next_on("post").await["data"], expected);
}

#[tokio::test(start_paused = true)]
async fn one_bad_subscription_kills_the_socket_without_a_word() {
    let world = World::small().await;
    for bad in [
        json!({"type": "trades", "coin": "NOPE"}),
        json!({"type": "trades", "coin": "btc"}),
        json!({"type": "trades", "coin": "NVDA"}),
        json!({"type": "l2Book", "coin": "BTC", "nSigFigs": 9}),
        json!({"type": "l2Book", "coin": "BTC", "nSigFigs": 3, "mantissa": 2}),
    ] {
        let mut client = world.connect().await;
        client.subscribed(json!({"type": "allMids"})).await;
        client.next_on("allMids").await;
        let before = world.sim.now();
        client.subscribe(bad.clone()).await;
        let (ended, frames) = client.ended().await;
        let after = world.sim.now().since(before);
        assert_eq!(ended, Ended::Cut, "{bad}");
        assert!((100..=900).contains(&after), "{bad}: {after} ms");
        assert!(frames.iter().all(|f| f.contains("allMids")), "{bad}: {frames:?}");
        world.wait(6_000).await;
    }
    assert_eq!(world.sim.status().counters.fatal_subscriptions, 5);
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_is_sent_nothing_for_a_minute_is_closed() {
    let world = World::small().await;
    let before = world.sim.now();
    let (silent, mut pinging) = (world.connect().await, world.connect().await);
    let mut subscribed = world.connect().await;
    subscribed.subscribed(json!({"type": "l2Book", "coin": "BTC"})).await;
    let ping = async {
        for _ in 0..4 {
            world.wait(30_000).await;
            pinging.send(json!({"method": "ping"})).await;
            assert_eq!(pinging.next().await["channel"], "pong");
        }
    };
    let (ended, ()) = tokio::join!(
        async {
            let (ended, frames) = silent.ended().await;
            assert!(frames.is_empty());
            let after = world.sim.now().since(before);
            assert!((60_000..61_000).contains(&after), "{after}");
            ended
        },
        ping
    );
    assert_eq!(ended, Ended::Cut);
    assert_eq!(world.sim.status().sockets, 2, "pongs and data count, whoever asked for them");
}

#[tokio::test(start_paused = true)]
async fn connections_are_limited_at_once_and_by_the_minute() {
    let world = World::small().await;
    let mut open = Vec::new();
    for _ in 0..10 {
        open.push(world.connect().await);
    }
    assert!(world.try_connect().await.is_err(), "an eleventh");
    open.clear();
    world.wait(100).await;
    for _ in 0..20 {
        drop(world.connect().await);
        world.wait(100).await;
    }
    assert!(world.try_connect().await.is_err(), "a thirty-first in a minute");
    world.wait(60_000).await;
    assert!(world.try_connect().await.is_ok());
    assert_eq!(world.sim.status().counters.sockets_refused, 2);
}

fn candles(limit: usize) -> Vec<Value> {
    let names = ["BTC", "ETH", "SOL", "HYPE", "DOGE"];
    let all = names
        .iter()
        .flat_map(|c| Interval::ALL.iter().map(move |i| json!({"type": "candle", "coin": c, "interval": i})));
    all.take(limit).collect()
}

#[tokio::test(start_paused = true)]
async fn subscriptions_messages_and_users_are_limited() {
    let limits = Limits { subscriptions: 20, messages: 60, users: 3, ..Limits::default() };
    let world = World::new(SimConfig { traders: 40, limits, ..SimConfig::default() }).await;
    let (mut a, mut b) = (world.connect().await, world.connect().await);
    for (i, subscription) in candles(21).into_iter().enumerate() {
        let client = if i % 2 == 0 { &mut a } else { &mut b };
        client.subscribe(subscription).await;
        let frame = loop {
            let frame = client.next().await;
            if frame["channel"] != "candle" {
                break frame;
            }
        };
        if i < 20 {
            assert_eq!(frame["channel"], "subscriptionResponse");
        } else {
            assert_eq!(
                frame,
                json!({"channel": "error", "data": "Cannot subscribe to more than 20 channels."})
            );
        }
    }
    drop(a);
    world.wait(1_000).await;
    b.subscribe(json!({"type": "allMids"})).await;
    assert_eq!(
        b.next_on("error").await["data"],
        "Cannot subscribe to more than 20 channels.",
        "a ghost still counts"
    );
    world.wait(6_000).await;
    b.subscribed(json!({"type": "allMids"})).await;

    let mut c = world.connect().await;
    for i in 0..4 {
        let user = format!("0x{i:040x}");
        c.subscribe(json!({"type": "userFills", "user": user})).await;
        let frame = c.next().await;
        if i < 3 {
            assert_eq!(frame["data"]["subscription"]["user"], user);
            let snapshot = c.next().await;
            assert_eq!(snapshot["data"], json!({"user": user, "fills": [], "isSnapshot": true}));
            c.subscribed(json!({"type": "userFundings", "user": user})).await;
            c.next().await;
        } else {
            assert_eq!(frame, json!({"channel": "error", "data": "Cannot track more than 3 total users."}));
        }
    }
    for _ in 0..40 {
        c.send(json!({"method": "ping"})).await;
    }
    assert_eq!(c.next_on("error").await["data"], "Cannot send more than 60 messages per minute.");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_dropped() {
    let limits = Limits { queued_frames: 50, ..Limits::default() };
    let world = World::new(SimConfig { traders: 40, limits, ..SimConfig::default() }).await;
    world.sim.inject(hl_sim::Fault::new(hl_sim::FaultKind::SlowDrip { every_ms: 1_000 }));
    let client = world.connect().await;
    client.subscribe(json!({"type": "bbo", "coin": "BTC"})).await;
    let (ended, _) = client.ended().await;
    assert_eq!(ended, Ended::Cut);
    assert_eq!(world.sim.status().counters.not_reading, 1);
}

#[tokio::test(start_paused = true)]
async fn a_user_is_told_of_his_fills_orders_and_funding() {
    let world = World::small().await;
    let recent = world.ask(json!({"type": "recentTrades", "coin": "BTC"})).await;
    let trade = &recent[0];
    let maker = if trade["side"] == "B" { &trade["users"][1] } else { &trade["users"][0] };
    let user = maker.as_str().unwrap().to_uppercase().replacen("0X", "0x", 1);
    let mut client = world.connect().await;
    for kind in ["userFills", "userEvents", "orderUpdates", "allDexsClearinghouseState", "openOrders"] {
        client.subscribe(json!({"type": kind, "user": user})).await;
    }
    let frames = client.collect(&world.sim, 120_000).await;
    let on = |channel: &str| {
        frames.iter().filter(|(_, f)| f["channel"] == channel).map(|(_, f)| f).collect::<Vec<_>>()
    };
    let fills = on("userFills");
    assert_eq!(fills[0]["data"]["isSnapshot"], true);
    assert!(fills[1..].iter().all(|f| f["data"].get("isSnapshot").is_none()));
    assert_eq!(fills[0]["data"]["user"], user.to_lowercase(), "echoed in lower case");
    let key = |f: &Value| (f["time"].as_i64().unwrap(), f["tid"].as_u64().unwrap());
    let live: BTreeSet<_> =
        fills[1..].iter().flat_map(|f| f["data"]["fills"].as_array().unwrap()).map(key).collect();
    let start = frames[0].0;
    let mut truth = BTreeSet::new();
    for name in [
        "BTC",
        "ETH",
        "SOL",
        "HYPE",
        "DOGE",
        "xyz:NVDA",
        "xyz:TSLA",
        "PURR/USDC",
        "@107",
        "@142",
        "#12090",
        "#12091",
    ] {
        for t in world.sim.truth_trades(coin(name), TimeMs(start + 1), TimeMs::MAX) {
            if [t.buyer, t.seller].iter().any(|u| u.to_string() == user.to_lowercase()) {
                truth.insert((t.time.0, t.tid));
            }
        }
    }
    assert_eq!(live, truth);
    assert!(!live.is_empty());
    let events: usize = on("user").iter().map(|f| f["data"]["fills"].as_array().map_or(0, Vec::len)).sum();
    assert_eq!(events, live.len());
    assert!(on("orderUpdates").iter().any(|f| f["data"][0]["status"] == "canceled"));
    assert!((24..=26).contains(&on("allDexsClearinghouseState").len()));
    assert_eq!(
        on("openOrders").last().unwrap()["data"]["orders"].as_array().map(|o| !o.is_empty()),
        Some(true)
    );
}

#[tokio::test(start_paused = true)]
async fn the_states_of_a_user_name_him_and_are_whole_in_every_dex() {
    let world = World::small().await;
    world.wait(60_000).await;
    let user = world.sim.truth_positions().into_iter().find(|h| h.coin.as_str() == "xyz:NVDA").unwrap().user;
    let mut client = world.connect().await;
    client.subscribed(json!({"type": "allDexsClearinghouseState", "user": user})).await;
    let mut times = Vec::new();
    for _ in 0..5 {
        let data = client.next_on("allDexsClearinghouseState").await["data"].clone();
        // The clock of the test stands still until it waits again: this is the state that was pushed.
        let mut whole = Vec::new();
        for dex in ["", "xyz"] {
            let state = world.ask(json!({"type": "clearinghouseState", "user": user, "dex": dex})).await;
            assert!(!state["assetPositions"].as_array().unwrap().is_empty());
            whole.push(json!([dex, state]));
        }
        assert_eq!(data, json!({"user": user, "clearinghouseStates": whole}));
        times.push(world.sim.now().0);
    }
    // The first comes at once, the second whenever the clock of the socket says.
    assert!(times[1..].windows(2).all(|w| (4_900..5_100).contains(&(w[1] - w[0]))), "{times:?}");
}

#[tokio::test(start_paused = true)]
async fn clients_do_not_change_the_market() {
    async fn trades(sim: &Sim) -> Vec<hl_core::record::Trade> {
        sim.truth_trades(coin("ETH"), EVER.0, EVER.1)
    }
    let quiet = World::small().await;
    quiet.wait(30_000).await;
    let expected = trades(&quiet.sim).await;

    let busy = World::small().await;
    let mut clients = Vec::new();
    for _ in 0..5 {
        let client = busy.connect().await;
        for name in ["BTC", "ETH", "PURR/USDC"] {
            client.subscribe(json!({"type": "trades", "coin": name})).await;
            client.subscribe(json!({"type": "candle", "coin": name, "interval": "1M"})).await;
        }
        busy.ask(json!({"type": "candleSnapshot", "req": {"coin": "ETH", "interval": "1d", "startTime": 0}}))
            .await;
        clients.push(client);
    }
    busy.sim.inject(hl_sim::Fault::new(hl_sim::FaultKind::Drop));
    busy.wait(30_000).await;
    assert_eq!(trades(&busy.sim).await, expected);
    quiet.sim.stop().await;
    busy.sim.stop().await;
}

#[tokio::test(start_paused = true)]
async fn frames_can_be_late_and_time_can_run_fast() {
    let config = SimConfig { traders: 40, latency_ms: 300, speed: 60.0, ..SimConfig::default() };
    let world = World::new(config).await;
    let mut client = world.connect().await;
    client.send(json!({"method": "ping"})).await;
    let before = world.sim.now();
    client.next_on("pong").await;
    assert_eq!(world.sim.now().since(before), 60 * 300);
    client.subscribed(json!({"type": "candle", "coin": "BTC", "interval": "1m"})).await;
    let frames = client.collect(&world.sim, 10 * 60_000).await;
    let minutes: BTreeSet<_> = frames.iter().map(|(_, f)| f["data"]["t"].as_i64()).collect();
    assert!((9..=11).contains(&minutes.len()), "ten minutes pass in ten seconds");
    assert!(world.sim.now().0 - world.sim.status().block_time < 200, "blocks keep up");
}
