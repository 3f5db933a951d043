//! Liquidations: what the public sees of them, what those who took part are told, and what the statistics add up.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it fails")]

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::{EVER, World, coin};
use hl_core::message::info::fills::Fill;
use hl_core::record::{Address, Side};
use hl_core::{Decimal, TimeMs};
use hl_sim::{Limits, Liquidation, Sim, SimConfig};
use serde_json::{Value, json};

const PERPETUALS: [&str; 7] = ["BTC", "ETH", "SOL", "HYPE", "DOGE", "xyz:NVDA", "xyz:TSLA"];

/// Twelve traders, all of whom can be followed, and many liquidations.
async fn harsh(start: TimeMs) -> World {
    let limits = Limits { weight: u32::MAX, ..Limits::default() };
    let config = SimConfig { traders: 12, liquidations: 300, limits, start, ..SimConfig::default() };
    World::new(config).await
}

fn liquidations(sim: &Sim) -> Vec<Liquidation> {
    PERPETUALS.iter().flat_map(|name| sim.truth_liquidations(coin(name), EVER.0, EVER.1)).collect()
}

/// Who took part in a liquidation by which trade, and who was liquidated.
type Parts = BTreeSet<(Address, u64, Address)>;

/// Both sides of every trade of a liquidation since a time.
fn parts(sim: &Sim, since: TimeMs) -> Parts {
    let mut parts = Parts::new();
    for liquidation in liquidations(sim) {
        let trades = sim.truth_trades(liquidation.coin, since, EVER.1);
        for leg in &liquidation.legs {
            let Some(trade) = trades.iter().find(|t| t.tid == leg.tid && t.time == liquidation.time) else {
                continue;
            };
            parts.extend([trade.buyer, trade.seller].map(|user| (user, leg.tid, liquidation.user)));
        }
    }
    parts
}

#[tokio::test(start_paused = true)]
async fn they_are_ordinary_trades_of_the_liquidated() {
    let world = harsh(SimConfig::default().start).await;
    world.wait(20 * 60_000).await;
    let all = liquidations(&world.sim);
    assert!(all.len() > 20, "{}", all.len());
    let mut hashes: BTreeMap<_, BTreeSet<Address>> = BTreeMap::new();
    for liquidation in &all {
        let trades = world.sim.truth_trades(liquidation.coin, liquidation.time, liquidation.time);
        assert!(!liquidation.legs.is_empty());
        for leg in &liquidation.legs {
            let trade = trades.iter().find(|t| t.tid == leg.tid).unwrap();
            let taker = if trade.side == Side::Buy { trade.buyer } else { trade.seller };
            assert_eq!(
                (taker, trade.hash, trade.side),
                (liquidation.user, liquidation.hash, liquidation.side)
            );
            assert_eq!((trade.px, trade.sz), (leg.px, leg.sz));
            assert!((trade.px / liquidation.mark_px - Decimal::ONE).abs() < Decimal::new(2, 2));
        }
        hashes.entry(liquidation.hash).or_default().insert(liquidation.user);
    }
    assert!(hashes.keys().all(|hash| *hash != hl_core::record::HexBytes::ZERO));
    assert!(hashes.values().any(|users| users.len() > 1), "one trigger liquidated several");

    let (mut client, mut seen) = (world.connect().await, 0);
    client.subscribed(json!({"type": "trades", "coin": "BTC"})).await;
    let mut names = BTreeSet::new();
    let since = world.sim.now();
    for (_, frame) in client.collect(&world.sim, 10 * 60_000).await {
        for trade in frame["data"].as_array().into_iter().flatten() {
            seen += 1;
            names.extend(trade.as_object().unwrap().keys().cloned());
        }
    }
    let newer = world.sim.truth_liquidations(coin("BTC"), since, EVER.1);
    assert!(seen > 1_000 && !newer.is_empty());
    assert!(names.iter().eq(["coin", "hash", "px", "side", "sz", "tid", "time", "users"]), "{names:?}");
}

#[tokio::test(start_paused = true)]
async fn both_sides_are_told_of_them() {
    let world = harsh(SimConfig::default().start).await;
    world.wait(60_000).await;
    let board = world.get("/Mainnet/leaderboard").await;
    let users: Vec<Address> = board["leaderboardRows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| Address::parse(row["ethAddress"].as_str().unwrap()).unwrap())
        .collect();
    assert_eq!(users.len(), 12);
    let mut client = world.connect().await;
    for user in &users {
        client.subscribed(json!({"type": "userFills", "user": user})).await;
    }
    let since = world.sim.now() + 1;
    let mut live = Parts::new();
    let mut told = |user: &Value, fill: &Value| {
        let user = Address::parse(user.as_str().unwrap()).unwrap();
        let read: Fill = serde_json::from_value(fill.clone()).unwrap();
        match (read.liquidation, fill.get("liquidation")) {
            (Some(liquidation), Some(_)) => {
                assert_eq!(liquidation.method, "market");
                let of = liquidation.liquidated_user.unwrap();
                assert_eq!(read.crossed, of == user, "who is liquidated is the aggressor");
                live.insert((user, read.tid.unwrap(), of));
            }
            (None, None) => {}
            (read, said) => unreachable!("{read:?} of {said:?}"),
        }
    };
    for (_, frame) in client.collect(&world.sim, 20 * 60_000).await {
        let data = &frame["data"];
        if frame["channel"] == "userFills" && data.get("isSnapshot").is_none() {
            data["fills"].as_array().unwrap().iter().for_each(|fill| told(&data["user"], fill));
        }
    }
    let until = world.sim.now();
    let truth = parts(&world.sim, since);
    assert!(truth.len() > 40, "{}", truth.len());
    assert_eq!(live, truth);

    for kind in ["userFills", "userFillsByTime"] {
        let mut asked = Parts::new();
        for user in &users {
            let request = json!({"type": kind, "user": user, "startTime": since, "endTime": until});
            for fill in world.ask(request).await.as_array().unwrap() {
                if fill["time"].as_i64() < Some(since.0) {
                    continue;
                }
                if let Some(liquidation) = fill.get("liquidation") {
                    let of = Address::parse(liquidation["liquidatedUser"].as_str().unwrap()).unwrap();
                    asked.insert((*user, fill["tid"].as_u64().unwrap(), of));
                }
            }
        }
        // A page holds the newest, or the oldest, 2,000 fills of a user.
        assert!(asked.is_subset(&truth) && asked.len() > 20, "{kind}: {}", asked.len());
    }
}

#[tokio::test(start_paused = true)]
async fn the_statistics_of_a_day_add_them_up() {
    const DAY: i64 = 86_400_000;
    let midnight = SimConfig::default().start.0 / DAY * DAY + DAY;
    let world = harsh(TimeMs(midnight - 20 * 60_000)).await;
    world.wait(15 * 60_000).await;
    let path = "/stats/daily_notional_liquidated_by_coin";
    let before = world.get(path).await;
    let notional = |row: &Value| row["daily_notional_liquidated"].as_f64().unwrap();
    assert!(
        before["chart_data"].as_array().unwrap().iter().all(|row| notional(row) == 0.0),
        "the day is not over"
    );
    world.wait(15 * 60_000).await;
    let rows = world.get(path).await["chart_data"].as_array().unwrap().clone();
    let last = rows.last().unwrap()["time"].clone();
    let (mut days, mut liquidated) = (0, 0.0);
    for row in &rows {
        let mut expected = 0.0;
        if row["time"] == last {
            let of = coin(row["coin"].as_str().unwrap());
            let all = world.sim.truth_liquidations(of, EVER.0, TimeMs(midnight - 1));
            let usd = all.iter().flat_map(|l| &l.legs).map(|leg| leg.px * leg.sz).sum::<Decimal>();
            expected = usd.to_string().parse().unwrap();
            days += 1;
        }
        assert!((notional(row) - expected).abs() < 0.01, "{row}: {expected}");
        liquidated += expected;
    }
    assert_eq!(days, 5);
    assert!(liquidated > 100_000.0, "{liquidated}");

    let top = world.get("/stats/largest_liquidated_notional_by_user").await["table_data"].clone();
    let of_users = top.as_array().unwrap().iter().map(|row| row["value"].as_f64().unwrap()).sum::<f64>();
    let all = liquidations(&world.sim);
    let usd = all.iter().flat_map(|l| &l.legs).map(|leg| leg.px * leg.sz).sum::<Decimal>();
    assert!((of_users - usd.to_string().parse::<f64>().unwrap()).abs() < 0.01);
}

#[tokio::test(start_paused = true)]
async fn the_truth_lists_them_over_http_too() {
    let world = harsh(SimConfig::default().start).await;
    world.wait(10 * 60_000).await;
    let rows = world.get("/sim/truth/liquidations?coin=BTC").await;
    let truth = world.sim.truth_liquidations(coin("BTC"), EVER.0, EVER.1);
    assert!(!truth.is_empty());
    assert_eq!(rows.as_array().unwrap().len(), truth.len());
    for (row, of) in rows.as_array().unwrap().iter().zip(&truth) {
        assert_eq!(row["user"], of.user.to_string());
        assert_eq!(
            (row["time"].as_i64(), row["hash"].as_str()),
            (Some(of.time.0), Some(&*of.hash.to_string()))
        );
        let tids: Vec<_> =
            row["legs"].as_array().unwrap().iter().filter_map(|leg| leg["tid"].as_u64()).collect();
        assert_eq!(tids, of.legs.iter().map(|leg| leg.tid).collect::<Vec<_>>());
    }
    let everywhere = world.get("/sim/truth/liquidations").await;
    assert_eq!(everywhere.as_array().unwrap().len(), liquidations(&world.sim).len());
    assert!(World::small().await.get("/sim/truth/liquidations").await.as_array().unwrap().is_empty());
}
