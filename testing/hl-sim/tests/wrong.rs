//! An exchange that says something wrong: too little, too old, with wrong times, with values that are none.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it fails")]

mod common;

use common::{Client, EVER, Ended, World, coin};
use hl_core::{Interval, StreamKey};
use hl_sim::{AnswerFault, Fault, FaultKind, Part, Way};
use serde_json::{Value, json};

fn stream(name: &str) -> Option<StreamKey> {
    Some(name.parse().unwrap())
}

async fn following(world: &World, subscriptions: &[Value]) -> Client {
    let mut client = world.connect().await;
    for subscription in subscriptions {
        client.subscribed(subscription.clone()).await;
    }
    client
}

fn recent() -> Value {
    json!({"type": "recentTrades", "coin": "BTC"})
}

fn bars(world: &World, minutes: i64) -> Value {
    let from = world.sim.now().0 - minutes * 60_000;
    json!({"type": "candleSnapshot", "req": {"coin": "BTC", "interval": "1m", "startTime": from}})
}

fn answer(request: &str) -> AnswerFault {
    AnswerFault { request: Some(request.into()), ..AnswerFault::default() }
}

fn times(answer: &Value, field: &str) -> Vec<i64> {
    answer.as_array().unwrap().iter().map(|row| row[field].as_i64().unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn answers_are_short_empty_or_have_a_hole() {
    let world = World::small().await;
    world.wait(5_000).await;
    let whole = times(&world.ask(recent()).await, "time");
    let short = AnswerFault { part: Some(Part::Newest(2)), ..answer("recentTrades") };
    world.sim.inject(Fault::times(FaultKind::Answer(short), 1));
    assert_eq!(times(&world.ask(recent()).await, "time"), whole[..2]);
    assert_eq!(times(&world.ask(recent()).await, "time"), whole, "once was asked for");

    let all = times(&world.ask(bars(&world, 600)).await, "t");
    for (part, left) in [
        (Part::Newest(0), vec![]),
        (Part::Oldest(500), all[..500].to_vec()),
        (Part::WithoutNewest(3), all[..all.len() - 3].to_vec()),
        (Part::WithoutOldest(3), all[3..].to_vec()),
    ] {
        world.sim.inject(Fault::times(
            FaultKind::Answer(AnswerFault { part: Some(part), ..answer("candleSnapshot") }),
            1,
        ));
        assert_eq!(times(&world.ask(bars(&world, 600)).await, "t"), left, "{part:?}");
    }
    let other =
        AnswerFault { coin: Some(coin("ETH")), part: Some(Part::Newest(0)), ..AnswerFault::default() };
    world.sim.inject(Fault::new(FaultKind::Answer(other)));
    assert_eq!(times(&world.ask(bars(&world, 600)).await, "t"), all, "only of ETH");
    assert_eq!(world.ask(json!({"type": "recentTrades", "coin": "ETH"})).await, json!([]));
}

#[tokio::test(start_paused = true)]
async fn a_stale_answer_is_what_was_true_some_time_ago() {
    let world = World::small().await;
    world.wait(100_000).await;
    let questions = [
        recent(),
        bars(&world, 3),
        json!({"type": "l2Book", "coin": "BTC"}),
        json!({"type": "allMids"}),
        json!({"type": "exchangeStatus"}),
    ];
    let mut then = Vec::new();
    for question in &questions {
        then.push(world.ask(question.clone()).await);
    }
    world.wait(7_000).await;
    world
        .sim
        .inject(Fault::new(FaultKind::Answer(AnswerFault { behind_ms: Some(7_000), ..Default::default() })));
    for (question, then) in questions.iter().zip(&then) {
        let mut stale = world.ask(question.clone()).await;
        if question["type"] == "exchangeStatus" {
            stale["time"] = (stale["time"].as_i64().unwrap() / 1_000).into();
            assert_eq!(stale["time"], then["time"].as_i64().unwrap() / 1_000);
        } else {
            assert_eq!(&stale, then, "{question}");
        }
    }
    world.sim.clear_faults();
    world.sim.inject(Fault::new(FaultKind::Answer(AnswerFault { frozen: true, ..answer("exchangeStatus") })));
    let at = world.ask(questions[4].clone()).await["time"].as_i64().unwrap();
    world.wait(9_000).await;
    let later = world.ask(questions[4].clone()).await["time"].as_i64().unwrap();
    assert!((later - at).abs() < 140, "it stands still: {}", later - at);
    assert_ne!(world.ask(recent()).await, then[0], "everything else goes on");
}

#[tokio::test(start_paused = true)]
async fn a_replay_can_be_stale_and_leave_a_hole() {
    let world = World::small().await;
    world.wait(60_000).await;
    world.sim.inject(Fault::new(FaultKind::StaleReplay { stream: None, behind_ms: 20_000 }));
    let begun = world.sim.now();
    let mut client = following(&world, &[json!({"type": "trades", "coin": "BTC"})]).await;
    let replay = client.next_on("trades").await["data"].clone();
    let newest = *times(&replay, "time").last().unwrap();
    assert!(newest <= begun.0 - 20_000, "{newest} {begun}");
    assert!(!world.sim.truth_trades(coin("BTC"), hl_core::TimeMs(newest + 1), begun).is_empty(), "a hole");
    let next = loop {
        let next = times(&client.next_on("trades").await["data"], "time")[0];
        if next > newest {
            break next;
        }
    };
    assert!(next > begun.0);
}

#[tokio::test(start_paused = true)]
async fn one_stamp_is_wrong_and_the_truth_is_not() {
    let world = World::small().await;
    let mut client = following(&world, &[json!({"type": "l2Book", "coin": "BTC"})]).await;
    client.next_on("l2Book").await;
    let stamp = |stream, by_ms, rows| FaultKind::Stamp { stream, by_ms, rows, on: None };
    world.sim.inject(Fault::times(stamp(stream("book/BTC"), 3_600_000, None), 1));
    let ahead = client.next_on("l2Book").await["data"]["time"].as_i64().unwrap();
    assert!(ahead > world.sim.now().0 + 3_500_000);
    assert!(client.next_on("l2Book").await["data"]["time"].as_i64().unwrap() <= world.sim.now().0);
    let falsified = world.get("/sim/truth/falsified").await;
    let row = json!({"stream": "book/BTC", "time": ahead - 3_600_000, "shown": ahead, "fault": "stamp"});
    assert_eq!(falsified, json!([row]));
    assert!(world.sim.truth_books(coin("BTC"), hl_core::TimeMs(ahead), EVER.1).is_empty());

    world.sim.inject(Fault::times(stamp(stream("trades/BTC"), -60_000, Some(1)), 1));
    let wrong = times(&world.ask(recent()).await, "time");
    let right = times(&world.ask(recent()).await, "time");
    assert_eq!(wrong[0] + 60_000, right[0], "only the newest");
    assert_eq!(wrong[1..], right[1..]);
}

#[tokio::test(start_paused = true)]
async fn values_are_none_or_written_otherwise() {
    let world = World::small().await;
    let bad = |field: &str, value: Value, one_in| FaultKind::Value {
        stream: None,
        field: field.into(),
        value,
        one_in,
        on: Some(Way::Rest),
    };
    world.sim.inject(Fault::new(bad("premium", json!("NaN"), Some(24))));
    world.sim.inject(Fault::new(bad("SOL", Value::Null, None)));
    let from = world.sim.now().0 - 20 * 86_400_000;
    let funding = |from| json!({"type": "fundingHistory", "coin": "BTC", "startTime": from});
    let rows = world.ask(funding(from)).await;
    let bad = |rows: &Value| -> Vec<i64> {
        let bad = rows.as_array().unwrap().iter().filter(|row| row["premium"] == "NaN");
        bad.map(|row| row["time"].as_i64().unwrap()).collect()
    };
    let nan = bad(&rows);
    assert!((5..60).contains(&nan.len()), "{}", nan.len());
    assert_eq!(bad(&world.ask(funding(nan[1])).await), nan[1..], "always the same ones");
    let mids = world.ask(json!({"type": "allMids"})).await;
    assert!(mids["SOL"].is_null() && mids["BTC"].is_string());

    world.sim.clear_faults();
    let plain = world.ask(recent()).await;
    world.sim.inject(Fault::new(FaultKind::Exponent { stream: stream("trades/BTC"), field: "sz".into() }));
    let other = world.ask(recent()).await;
    let number = |text: &Value| hl_core::Decimal::from_scientific(text.as_str().unwrap()).unwrap();
    for (a, b) in plain.as_array().unwrap().iter().zip(other.as_array().unwrap()) {
        let plain: hl_core::Decimal = a["sz"].as_str().unwrap().parse().unwrap();
        assert_ne!(a["sz"], b["sz"]);
        assert_eq!(plain, number(&b["sz"]));
    }
}

#[tokio::test(start_paused = true)]
async fn bars_count_other_than_trades_and_keys_repeat() {
    let world = World::small().await;
    world.wait(70_000).await;
    let plain = world.ask(bars(&world, 5)).await;
    let double = FaultKind::Bars { coin: Some(coin("BTC")), factor: 2, more: 0, on: None };
    world.sim.inject(Fault::new(double));
    let doubled = world.ask(bars(&world, 5)).await;
    assert_eq!(doubled[0]["n"].as_i64().unwrap(), 2 * plain[0]["n"].as_i64().unwrap());
    assert_eq!(doubled[0]["v"], plain[0]["v"]);
    let truth = world.sim.truth_candles(coin("BTC"), Interval::M1, EVER.0, EVER.1);
    let told = truth.iter().find(|bar| Some(bar.time.0) == plain[0]["t"].as_i64()).unwrap();
    assert_eq!(Some(told.trades), plain[0]["n"].as_u64(), "the truth counts once");
    assert!(world.sim.falsified().iter().all(|row| row.fault == "bars"));
    world.sim.clear_faults();

    world.sim.inject(Fault::new(FaultKind::SameTid { stream: None }));
    let mut client = following(&world, &[json!({"type": "trades", "coin": "BTC"})]).await;
    let frame = client.next_on("trades").await;
    let (first, twin) = (&frame["data"][0], &frame["data"][1]);
    assert_eq!((&first["tid"], &first["time"]), (&twin["tid"], &twin["time"]));
    assert_ne!(first["sz"], twin["sz"]);
}

#[tokio::test(start_paused = true)]
async fn a_coin_is_not_listed_for_a_while() {
    let world = World::small().await;
    let unlist = |ms| Fault::lasting(FaultKind::Unlist { coin: coin("SOL") }, ms);
    let mut client = following(&world, &[json!({"type": "bbo", "coin": "SOL"})]).await;
    world.sim.inject(unlist(30_000));
    let begun = world.sim.now();
    let names = |meta: &Value| -> Vec<String> {
        let rows = meta["universe"].as_array().unwrap().iter();
        rows.map(|row| row["name"].as_str().unwrap().to_owned()).collect()
    };
    let meta = world.ask(json!({"type": "meta"})).await;
    assert!(!names(&meta).contains(&"SOL".to_owned()) && names(&meta).contains(&"BTC".to_owned()));
    assert!(world.ask(json!({"type": "allMids"})).await.get("SOL").is_none());
    assert_eq!(world.info(json!({"type": "recentTrades", "coin": "SOL"})).await.0, 500);
    let other = world.connect().await;
    other.subscribe(json!({"type": "trades", "coin": "SOL"})).await;
    assert_eq!(other.ended().await.0, Ended::Cut);
    while client.text_within(1).await.is_some() {}
    assert_eq!(client.text_within(25_000).await, None, "an old subscription lives on, and says nothing");
    world.wait(10_000).await;
    let ended = begun + 30_000;
    assert!(world.sim.truth_trades(coin("SOL"), begun + 70, ended - 70).is_empty(), "it has no trades");
    assert!(names(&world.ask(json!({"type": "meta"})).await).contains(&"SOL".to_owned()));
    assert!(client.text_within(60_000).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_perpetual_is_delisted_and_stays_at_its_place() {
    let world = World::small().await;
    let mut client = following(&world, &[json!({"type": "trades", "coin": "ETH"})]).await;
    let before = world.ask(json!({"type": "meta"})).await;
    world.sim.inject(Fault::new(FaultKind::Delist { coin: coin("ETH") }));
    let at = world.sim.now();
    world.wait(2_000).await;
    let after = world.ask(json!({"type": "meta"})).await;
    let place =
        |meta: &Value| meta["universe"].as_array().unwrap().iter().position(|row| row["name"] == "ETH");
    assert_eq!(place(&before), place(&after));
    assert_eq!(after["universe"][place(&after).unwrap()]["isDelisted"], true);
    let book = world.ask(json!({"type": "l2Book", "coin": "ETH"})).await;
    assert_eq!(book["levels"], json!([[], []]));
    let contexts = world.ask(json!({"type": "metaAndAssetCtxs"})).await;
    let context = &contexts[1][place(&after).unwrap()];
    assert_eq!((&context["midPx"], &context["premium"]), (&Value::Null, &Value::Null));
    assert!(!times(&world.ask(json!({"type": "recentTrades", "coin": "ETH"})).await, "time").is_empty());
    while client.text_within(1).await.is_some() {}
    assert_eq!(client.text_within(25_000).await, None, "it has no trades");
    assert!(world.sim.truth_trades(coin("ETH"), at + 70, EVER.1).is_empty());
    // It can be subscribed, unlike a name that is gone.
    let other = world.connect().await;
    other.subscribe(json!({"type": "bbo", "coin": "ETH"})).await;
    world.wait(2_000).await;
    assert_eq!(world.sim.truth_positions().iter().filter(|held| held.coin == coin("ETH")).count(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_outcome_settles_and_its_coins_are_gone() {
    let world = World::small().await;
    let meta = world.ask(json!({"type": "outcomeMeta"})).await;
    assert_eq!(meta["outcomes"][0]["outcome"], 1_209);
    let mids = world.ask(json!({"type": "allMids"})).await;
    assert!(mids.get("#12090").is_some() && mids.get("#12091").is_some());
    let spot = world.ask(json!({"type": "spotMetaAndAssetCtxs"})).await;
    assert!(
        spot[1].as_array().unwrap().iter().any(|ctx| ctx["coin"] == "#12090"),
        "their contexts are those of spot"
    );
    let mut client = following(
        &world,
        &[json!({"type": "outcomeMetaUpdates"}), json!({"type": "trades", "coin": "#12090"})],
    )
    .await;
    assert!(!client.next_on("trades").await["data"].as_array().unwrap().is_empty());
    let settled = |number: u64| json!({"type": "settledOutcome", "outcome": number});
    assert_eq!(world.ask(settled(1_209)).await, Value::Null);
    world.sim.inject(Fault::new(FaultKind::Settle { outcome: 1_209, hundredths: 100 }));
    let update = client.next_on("outcomeMetaUpdates").await;
    assert_eq!(update["data"]["updates"], json!([{"outcomeSettled": {"outcome": 1_209}}]));
    assert_eq!(world.ask(json!({"type": "outcomeMeta"})).await["outcomes"], json!([]));
    assert_eq!(world.ask(settled(1_209)).await["settleFraction"], "1.0");
    assert!(world.ask(json!({"type": "allMids"})).await.get("#12090").is_none());
    let other = world.connect().await;
    other.subscribe(json!({"type": "trades", "coin": "#12091"})).await;
    assert_eq!(other.ended().await.0, Ended::Cut);
}

#[tokio::test(start_paused = true)]
async fn metadata_fail_in_part() {
    let world = World::small().await;
    let fails = |request: &str, dex: &str| AnswerFault {
        dex: Some(dex.into()),
        status: Some(500),
        ..answer(request)
    };
    world.sim.inject(Fault::new(FaultKind::Answer(fails("meta", "xyz"))));
    assert_eq!(world.info(json!({"type": "meta", "dex": "xyz"})).await.0, 500);
    assert_eq!(world.info(json!({"type": "meta"})).await.0, 200);
    let short = AnswerFault { without: Some("ETH".into()), ..answer("meta") };
    world.sim.inject(Fault::times(FaultKind::Answer(short), 1));
    let has = |meta: &Value| meta["universe"].as_array().unwrap().iter().any(|row| row["name"] == "ETH");
    assert!(!has(&world.ask(json!({"type": "meta"})).await));
    assert!(has(&world.ask(json!({"type": "meta"})).await));
}

#[tokio::test(start_paused = true)]
async fn the_clock_is_set_back_and_everything_bears_the_new_time() {
    let world = World::small().await;
    world.wait(58_000).await;
    let mut client = following(
        &world,
        &[
            json!({"type": "trades", "coin": "BTC"}),
            json!({"type": "candle", "coin": "BTC", "interval": "1m"}),
        ],
    )
    .await;
    let before = world.ask(json!({"type": "exchangeStatus"})).await["time"].as_i64().unwrap();
    world.sim.inject(Fault::new(FaultKind::Clock { by_ms: -20_000 }));
    let after = world.ask(json!({"type": "exchangeStatus"})).await["time"].as_i64().unwrap();
    assert!((-20_100..=-19_900).contains(&(after - before)), "{}", after - before);
    while client.text_within(1).await.is_some() {}
    let shown = client.collect(&world.sim, 50_000).await;
    let trades: Vec<i64> = shown
        .iter()
        .filter(|(_, frame)| frame["channel"] == "trades")
        .flat_map(|(_, frame)| times(&frame["data"], "time"))
        .collect();
    assert!(trades.is_sorted() && trades[0] < before, "{} {before}", trades[0]);
    let truth = world.sim.truth_trades(coin("BTC"), EVER.0, EVER.1);
    assert!(truth.is_sorted_by_key(|t| t.time));
    let overlap = truth.iter().filter(|t| (after..before).contains(&t.time.0)).count();
    let again = trades.iter().filter(|t| (after..before).contains(*t)).count();
    assert!(again > 0 && overlap > again, "both passes: {overlap} {again}");
    // Bars count what bears their time, from both passes.
    for bar in world.sim.truth_candles(coin("BTC"), Interval::M1, EVER.0, EVER.1) {
        let inside = truth.iter().filter(|t| t.time >= bar.time && t.time < bar.time + 60_000).count();
        if bar.time.0 >= before - 60_000 {
            assert_eq!(bar.trades, inside as u64, "{}", bar.time);
        }
    }
    let pushed = shown.iter().filter(|(_, frame)| frame["channel"] == "candle");
    assert!(pushed.clone().all(|(now, frame)| frame["data"]["t"].as_i64().unwrap() <= *now));
}

#[tokio::test(start_paused = true)]
async fn an_exchange_that_stands_still_says_the_same_again() {
    let world = World::small().await;
    let mut client =
        following(&world, &[json!({"type": "allMids"}), json!({"type": "trades", "coin": "BTC"})]).await;
    world.wait(3_000).await;
    world.sim.inject(Fault::lasting(FaultKind::Halt, 30_000));
    let begun = world.sim.now();
    let status = json!({"type": "exchangeStatus"});
    let stands = world.ask(status.clone()).await["time"].clone();
    while client.text_within(1).await.is_some() {}
    let shown = client.collect(&world.sim, 25_000).await;
    assert!(shown.len() > 3 && shown.iter().all(|(_, f)| f["channel"] == "allMids"));
    assert!(shown.iter().all(|(_, f)| f["data"] == shown[0].1["data"]));
    assert_eq!(world.ask(status.clone()).await["time"], stands);
    world.wait(10_000).await;
    let now = world.ask(status).await["time"].as_i64().unwrap();
    assert!(world.sim.now().0 - now < 140, "the clock is right again");
    assert!(world.sim.truth_trades(coin("BTC"), begun + 70, begun + 29_900).is_empty());
}

#[tokio::test(start_paused = true)]
async fn sockets_lack_signs_of_life() {
    let world = World::small().await;
    world.sim.inject(Fault::lasting(FaultKind::NoPong, 10_000));
    let mut client = following(&world, &[]).await;
    client.send(json!({"method": "ping"})).await;
    assert_eq!(client.text_within(9_000).await, None);
    world.wait(1_000).await;
    client.send(json!({"method": "ping"})).await;
    assert_eq!(client.next().await["channel"], "pong");

    world.sim.inject(Fault::new(FaultKind::NoAck));
    client.subscribe(json!({"type": "trades", "coin": "BTC"})).await;
    assert_eq!(client.next().await["channel"], "trades", "it works, unacknowledged");
    world.sim.clear_faults();

    world.sim.inject(Fault::new(FaultKind::Late { by_ms: 4_000 }));
    let begun = world.sim.now();
    let frame = client.next_on("trades").await;
    let shown = times(&frame["data"], "time")[0];
    assert!(shown < begun.0 || world.sim.now().0 - shown >= 4_000);
    world.sim.clear_faults();

    world.sim.inject(Fault::lasting(FaultKind::Handshake { status: 502 }, 5_000));
    assert!(world.try_connect().await.is_err());
    world.wait(5_000).await;
    assert!(world.try_connect().await.is_ok());
    world.sim.inject(Fault::new(FaultKind::Expire));
    assert_eq!(client.ended().await.0, Ended::CloseFrame);
    let applied = world.sim.status().faults_applied;
    assert_eq!(
        (applied["no_pong"], applied["no_ack"], applied["handshake"], applied["expire"]),
        (1, 1, 1, 2)
    );
}
