//! The core reads everything that the simulated exchange says, and reads the truth out of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it fails")]

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::{EVER, World, coin};
use hl_core::Records;
use hl_core::decode::{Frame, frame, rest};
use hl_core::message::info;
use hl_core::record::Record as _;
use hl_core::stream::BookVariant;
use hl_core::{Dex, Interval, TimeMs};
use hl_sim::{Limits, SimConfig};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

async fn world() -> World {
    // Close to the hour, so that funding is settled on the way.
    let start = TimeMs(1_773_147_540_000);
    let limits = Limits { weight: u32::MAX, ..Limits::default() };
    World::new(SimConfig { traders: 40, start, limits, ..SimConfig::default() }).await
}

/// A maker, and so somebody with fills, orders and positions.
async fn maker(world: &World) -> String {
    let trade = world.ask(json!({"type": "recentTrades", "coin": "BTC"})).await[0].clone();
    trade["users"][usize::from(trade["side"] == "B")].as_str().unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn every_frame_is_typed_and_true() {
    let world = world().await;
    let user = maker(&world).await;
    let mut client = world.connect().await;
    for name in ["BTC", "PURR/USDC", "xyz:NVDA", "MATIC"] {
        for kind in ["trades", "l2Book", "bbo", "activeAssetCtx"] {
            client.subscribe(json!({"type": kind, "coin": name})).await;
        }
        client.subscribe(json!({"type": "candle", "coin": name, "interval": "1m"})).await;
        client.subscribe(json!({"type": "candle", "coin": name, "interval": "1M"})).await;
    }
    client.subscribe(json!({"type": "l2Book", "coin": "ETH", "fast": true})).await;
    client.subscribe(json!({"type": "l2Book", "coin": "SOL", "nSigFigs": 3})).await;
    for kind in
        ["allMids", "assetCtxs", "allDexsAssetCtxs", "spotAssetCtxs", "fastAssetCtxs", "outcomeMetaUpdates"]
    {
        client.subscribe(json!({"type": kind})).await;
    }
    client.subscribe(json!({"type": "allMids", "dex": "xyz"})).await;
    for kind in [
        "userFills",
        "userFundings",
        "userNonFundingLedgerUpdates",
        "userHistoricalOrders",
        "userTwapSliceFills",
        "userTwapHistory",
        "userEvents",
        "orderUpdates",
        "notification",
        "openOrders",
        "clearinghouseState",
        "allDexsClearinghouseState",
        "spotState",
        "twapStates",
        "webData3",
    ] {
        client.subscribe(json!({"type": kind, "user": user})).await;
    }
    client.subscribe(json!({"type": "activeAssetData", "user": user, "coin": "BTC"})).await;
    client.send_text("no json").await;
    client.send(json!({"method": "ping"})).await;
    client
        .send(json!({"method": "post", "id": 1, "request": {"type": "info", "payload": {"type": "meta"}}}))
        .await;

    let end = world.sim.now() + 90_000;
    let mut channels = BTreeSet::new();
    let mut bars = BTreeMap::new();
    while world.sim.now() < end {
        let Some(text) = client.text_within(1_000).await else { continue };
        let name: Value = serde_json::from_str(&text).unwrap();
        channels.insert(name["channel"].as_str().unwrap().to_owned());
        let mut bytes = text.clone().into_bytes();
        match frame(&mut bytes, world.sim.now()).unwrap_or_else(|e| panic!("{e}: {text}")) {
            Frame::Data(_, Records::Trades(trades)) => {
                let truth = world.sim.truth_trades(trades[0].coin, trades[0].time, TimeMs::MAX);
                assert!(trades.iter().all(|t| truth.contains(t)));
            }
            Frame::Data(_, Records::Books(books))
                if !books[0].bids.is_empty() && books[0].coin != coin("SOL") =>
            {
                let book = &books[0];
                let truth = &world.sim.truth_books(book.coin, book.time, book.time)[0];
                let depth = if book.variant == BookVariant::Fast { 5 } else { 20 };
                assert_eq!((&book.bids[..], &book.asks[..]), (&truth.bids[..depth], &truth.asks[..depth]));
            }
            Frame::Data(_, Records::Bbos(bbos)) => {
                let bbo = bbos[0];
                assert!(world.sim.truth_bbos(bbo.coin, bbo.time, bbo.time).contains(&bbo));
            }
            Frame::Data(_, Records::Candles(found)) => {
                let bar = found[0];
                bars.insert((bar.coin, bar.interval, bar.time), bar);
            }
            Frame::Data(_, Records::Contexts(contexts)) if contexts[0].coin != coin("MATIC") => {
                let context = contexts[0];
                let truth = world.sim.truth_contexts(context.coin, context.time, TimeMs::MAX);
                assert!(truth[0].same_values(&context), "{context:?} is not {:?}", truth[0]);
            }
            Frame::Data(_, Records::Mids(mids)) | Frame::SomeMids { mids, .. } => {
                for mid in mids.iter().filter(|m| m.coin != coin("MATIC")) {
                    assert_eq!(world.sim.truth_mids(mid.coin, mid.time, TimeMs::MAX)[0].px, mid.px);
                }
            }
            Frame::Unknown { channel } => panic!("{channel} is not typed"),
            _ => {}
        }
    }
    for name in ["BTC", "PURR/USDC", "xyz:NVDA"] {
        let finals = world.sim.truth_candles(coin(name), Interval::M1, EVER.0, EVER.1);
        let seen = finals.iter().filter_map(|b| Some((b, bars.get(&(b.coin, Interval::M1, b.time))?)));
        // The last minute may still be owed its last version.
        assert!(seen.filter(|(b, _)| b.time < world.sim.now() - 61_000).all(|(truth, bar)| truth == bar));
    }
    let silent = ["notification", "outcomeMetaUpdates"];
    let expected = hl_core::message::ws::Message::CHANNELS.iter().filter(|c| !silent.contains(*c));
    let missing: Vec<_> = expected.filter(|c| !channels.contains(**c)).collect();
    assert!(missing.is_empty(), "{missing:?} never came");
}

#[tokio::test(start_paused = true)]
async fn every_answer_is_typed_and_true() {
    async fn typed<T: DeserializeOwned>(world: &World, request: Value) -> T {
        let (status, body) = world.http("POST", "/info", "application/json", &request.to_string()).await;
        assert_eq!(status, 200, "{request}");
        rest::answer("an answer", &mut body.to_vec()).unwrap_or_else(|e| panic!("{request}: {e}"))
    }
    async fn raw(world: &World, request: Value) -> Vec<u8> {
        world.http("POST", "/info", "application/json", &request.to_string()).await.1.to_vec()
    }
    let world = world().await;
    world.wait(90_000).await;
    let now = world.sim.now();
    let btc = coin("BTC");

    let trades =
        rest::recent_trades(&mut raw(&world, json!({"type": "recentTrades", "coin": "BTC"})).await).unwrap();
    assert!(world.sim.truth_trades(btc, EVER.0, EVER.1).ends_with(&trades.rows));
    let book = raw(&world, json!({"type": "l2Book", "coin": "BTC"})).await;
    let book = rest::l2_book(&mut book.clone(), BookVariant::Default).unwrap().unwrap();
    assert_eq!(world.sim.truth_books(btc, book.time, book.time), [book]);
    let request = json!({"type": "candleSnapshot", "req": {"coin": "BTC", "interval": "1h", "startTime": 0}});
    let mut bars = rest::candles(&mut raw(&world, request).await).unwrap().rows;
    bars.retain(|b| b.time + Interval::H1.ms() <= now);
    assert_eq!(world.sim.truth_candles(btc, Interval::H1, EVER.0, EVER.1), bars);
    let request = json!({"type": "fundingHistory", "coin": "BTC", "startTime": now.0 - 10 * 3_600_000});
    let funding = rest::funding(&mut raw(&world, request).await).unwrap().rows;
    assert_eq!(world.sim.truth_funding(btc, now - 10 * 3_600_000, EVER.1), funding);
    for dex in ["", "xyz"] {
        let mut body = raw(&world, json!({"type": "metaAndAssetCtxs", "dex": dex})).await;
        let (meta, contexts) = rest::meta_and_contexts(&mut body, now).unwrap().value;
        assert_eq!(meta.universe.len(), contexts.len());
        for context in contexts.iter().filter(|c| c.coin != coin("MATIC")) {
            assert!(world.sim.truth_contexts(context.coin, now, EVER.1)[0].same_values(context));
        }
        assert!(
            !rest::all_mids(
                &mut raw(&world, json!({"type": "allMids", "dex": dex})).await,
                Dex::named(dex).unwrap(),
                now
            )
            .unwrap()
            .value
            .is_empty()
        );
    }
    let mut body = raw(&world, json!({"type": "spotMetaAndAssetCtxs"})).await;
    let (_, contexts) = rest::spot_meta_and_contexts(&mut body, now).unwrap().value;
    assert!(contexts.iter().all(|c| world.sim.truth_contexts(c.coin, now, EVER.1)[0].same_values(c)));
    assert_eq!(rest::perp_dexs(&mut raw(&world, json!({"type": "perpDexs"})).await).unwrap().value.len(), 2);

    let user = maker(&world).await;
    let of = |kind: &str| json!({"type": kind, "user": user, "startTime": 0});
    typed::<info::positions::ClearinghouseState>(&world, of("clearinghouseState")).await;
    typed::<info::positions::SpotState>(&world, of("spotClearinghouseState")).await;
    assert!(!typed::<Vec<info::orders::OpenOrder>>(&world, of("openOrders")).await.is_empty());
    let orders = typed::<Vec<info::orders::FrontendOrder>>(&world, of("frontendOpenOrders")).await;
    assert!(!orders.is_empty());
    assert!(!typed::<Vec<info::fills::Fill>>(&world, of("userFills")).await.is_empty());
    typed::<Vec<info::fills::TwapSliceFill>>(&world, of("userTwapSliceFills")).await;
    assert!(!typed::<Vec<info::orders::OrderStatus>>(&world, of("historicalOrders")).await.is_empty());
    for oid in [orders[0].oid, 1] {
        typed::<info::orders::OrderLookup>(&world, json!({"type": "orderStatus", "user": user, "oid": oid}))
            .await;
    }
    let paid =
        typed::<Vec<info::ledger::LedgerUpdate<info::ledger::FundingDelta>>>(&world, of("userFunding")).await;
    assert!(!paid.is_empty(), "an hour was settled");
    typed::<Vec<info::ledger::LedgerUpdate<info::ledger::LedgerDelta>>>(
        &world,
        of("userNonFundingLedgerUpdates"),
    )
    .await;
    typed::<info::account::UserFees>(&world, of("userFees")).await;
    typed::<Vec<(String, info::account::PortfolioPeriod)>>(&world, of("portfolio")).await;
    typed::<info::account::UserRateLimit>(&world, of("userRateLimit")).await;
    typed::<info::account::UserRole>(&world, of("userRole")).await;
    typed::<info::account::Referral>(&world, of("referral")).await;
    typed::<info::vaults::DelegatorSummary>(&world, of("delegatorSummary")).await;
    typed::<info::market::ExchangeStatus>(&world, json!({"type": "exchangeStatus"})).await;
    typed::<Vec<info::meta::Meta>>(&world, json!({"type": "allPerpMetas"})).await;
    typed::<info::meta::OutcomeMeta>(&world, json!({"type": "outcomeMeta"})).await;
    typed::<info::meta::MarginTable>(&world, json!({"type": "marginTable", "id": 20})).await;
    typed::<info::market::PerpDexLimits>(&world, json!({"type": "perpDexLimits", "dex": "xyz"})).await;
    typed::<info::market::PerpDexStatus>(&world, json!({"type": "perpDexStatus", "dex": "xyz"})).await;
    typed::<info::positions::ActiveAssetData>(
        &world,
        json!({"type": "activeAssetData", "user": user, "coin": "BTC"}),
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_files_are_typed() {
    use hl_core::decode::statistics::Reader;
    use hl_core::message::stats;
    use hl_core::statistics::SERIES;
    let world = world().await;
    let (_, body) = world.http("GET", "/Mainnet/leaderboard", "", "").await;
    let board: stats::Leaderboard = rest::answer("leaderboard", &mut body.to_vec()).unwrap();
    assert_eq!(board.leaderboard_rows.len(), 40);
    let (_, body) = world.http("GET", "/Mainnet/vaults", "", "").await;
    let _: Vec<stats::VaultRow> = rest::answer("vaults", &mut body.to_vec()).unwrap();
    for series in SERIES {
        let (status, body) = world.http("GET", &format!("/stats/{}", series.name), "", "").await;
        assert_eq!(status, 200, "{}", series.name);
        let (mut reader, mut figures) = (Reader::new(series.shape, TimeMs(0)), Vec::new());
        reader.push(&body, &mut figures).unwrap();
        reader.end(&mut figures).unwrap();
        // Nobody is liquidated there.
        let is_empty = series.name == "largest_liquidated_notional_by_user";
        assert!(is_empty || figures.len() >= 30, "{}: {}", series.name, figures.len());
    }
}

#[tokio::test(start_paused = true)]
async fn a_seed_is_a_run() {
    async fn transcript(seed: u64) -> Vec<(i64, Value)> {
        let world = World::new(SimConfig { seed, traders: 40, ..SimConfig::default() }).await;
        let mut client = world.connect().await;
        for kind in ["trades", "bbo", "l2Book"] {
            client.subscribe(json!({"type": kind, "coin": "BTC"})).await;
        }
        client.subscribe(json!({"type": "allMids"})).await;
        let frames = client.collect(&world.sim, 20_000).await;
        world.sim.stop().await;
        frames
    }
    let (a, b, c) = (transcript(1).await, transcript(1).await, transcript(2).await);
    assert!(a.len() > 100);
    assert_eq!(a, b);
    assert_ne!(a, c);
}
