//! Values that cannot be read, against the whole daemon in virtual time: each spoils itself, is a gap of its own, and is
//! told; the rows around it and the other coins are stored as if nothing had happened.

use std::time::Duration;

use hl_chaos::Daemon;
use hl_core::StreamKey;
use hl_core::alert::AlertKind;
use hl_core::ledger::{Cause, GapState};
use hl_core::stream::Kind;
use hl_engine::Snapshot;
use hl_monitor::AlertChange;
use hl_sim::{Fault, FaultKind};
use hl_verify::Report;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::support::{World, assert_clean, streams, verified};

const MINUTE: Duration = Duration::from_secs(60);
const STREAMS: [&str; 7] =
    ["trades/BTC", "trades/ETH", "book/BTC", "bbo/ETH", "context/BTC", "candle/BTC/1m", "mids"];

async fn settled(world: &World) -> Daemon {
    let daemon = world.daemon(&streams(&STREAMS)).await.unwrap();
    let is_live =
        |s: &Snapshot| s.streams.len() == STREAMS.len() && s.streams.values().all(|m| m.owner.is_some());
    daemon.until("everything is collected", is_live).await.unwrap();
    sleep(2 * MINUTE).await;
    daemon
}

fn value(stream: &str, field: &str, value: Value, one_in: Option<u64>) -> FaultKind {
    FaultKind::Value {
        stream: Some(stream.parse().unwrap()),
        field: field.to_owned(),
        value,
        one_in,
        on: None,
    }
}

fn renewed(snapshot: &Snapshot) -> u64 {
    snapshot.sockets.iter().map(|socket| socket.counters.renewed).sum()
}

fn gaps(report: &Report, stream: &str) -> Vec<(Cause, GapState)> {
    let stream: StreamKey = stream.parse().unwrap();
    report.gaps.iter().filter(|gap| gap.stream == stream).map(|gap| (gap.cause, gap.state)).collect()
}

/// No stream but this one has a gap that stayed.
fn assert_alone(report: &Report, stream: &str) {
    let others: Vec<_> = report
        .gaps
        .iter()
        .filter(|gap| gap.state != GapState::Backfilled && gap.stream != stream.parse().unwrap())
        .filter(|gap| gap.cause != Cause::FirstStart)
        .collect();
    assert!(others.is_empty(), "{others:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_trade_that_cannot_be_read_is_a_gap_of_its_own() {
    let world = World::new(5).await.unwrap();
    let daemon = settled(&world).await;
    let mut alerts = daemon.engine.alerts();
    let before = daemon.engine.snapshot();
    world.sim.inject(Fault::lasting(value("trades/BTC", "sz", json!("abc"), Some(7)), 600_000));
    sleep(10 * MINUTE).await;
    let after = daemon.engine.snapshot();
    // The bars count what could not be read: once they may convict the socket, and REST brings no more.
    let moved = after.handovers - before.handovers;
    assert!(moved <= 2, "{moved} times a stream changed hands");
    assert!(renewed(&after) - renewed(&before) <= 1, "and was subscribed anew");
    assert!(after.unreadable["trades/BTC"].count > 10, "{:?}", after.unreadable);
    sleep(10 * MINUTE).await;
    daemon.stop().await.unwrap();
    let mut told = Vec::new();
    while let Ok(change) = alerts.try_recv() {
        let alert = change.alert();
        if alert.kind == AlertKind::Undecodable {
            match change {
                AlertChange::Raised(_) => told.push(format!("raised {}", alert.subject)),
                AlertChange::Resolved(_) => told.push(format!("resolved {}", alert.subject)),
                AlertChange::Still(_) => {}
            }
        }
    }
    assert_eq!(told, ["raised trades/BTC", "resolved trades/BTC"]);
    let report = verified(&world).await;
    assert_clean(&report, &world.store_path());
    assert_alone(&report, "trades/BTC");
    let gaps = gaps(&report, "trades/BTC");
    assert!(gaps.iter().filter(|(cause, _)| *cause == Cause::Undecodable).count() > 10, "{gaps:?}");
}

#[tokio::test(start_paused = true)]
async fn a_coin_of_which_nothing_can_be_read_hurts_no_other() {
    let world = World::new(6).await.unwrap();
    let daemon = settled(&world).await;
    let before = daemon.engine.snapshot();
    world.sim.inject(Fault::lasting(value("trades/BTC", "sz", Value::Null, None), 1_800_000));
    sleep(30 * MINUTE).await;
    let after = daemon.engine.snapshot();
    let renewals = renewed(&after) - before.sockets.iter().map(|s| s.counters.renewed).sum::<u64>();
    assert!((1..25).contains(&renewals), "{renewals} renewals in half an hour");
    let asked = after.rest.requests - before.rest.requests;
    assert!(asked < 400, "{asked} requests in half an hour");
    sleep(20 * MINUTE).await;
    let later = daemon.engine.snapshot();
    let records = |snapshot: &Snapshot| snapshot.streams[&"trades/BTC".parse().unwrap()].tally.admitted;
    assert!(records(&later) > records(&after), "it comes again when it can be read again");
    daemon.stop().await.unwrap();
    let report = verified(&world).await;
    assert_clean(&report, &world.store_path());
    assert_alone(&report, "trades/BTC");
    assert!(!gaps(&report, "trades/BTC").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_bar_that_cannot_be_read_is_missing_alone() {
    let world = World::new(7).await.unwrap();
    let daemon = settled(&world).await;
    world.sim.inject(Fault::lasting(value("candle/BTC/1m", "c", json!("Infinity"), Some(3)), 3_600_000));
    sleep(20 * MINUTE).await;
    let asked = daemon.engine.snapshot().rest.requests;
    sleep(30 * MINUTE).await;
    let asked = daemon.engine.snapshot().rest.requests - asked;
    assert!(asked < 200, "{asked} requests in half an hour");
    daemon.stop().await.unwrap();
    let report = verified(&world).await;
    assert_clean(&report, &world.store_path());
    assert_alone(&report, "candle/BTC/1m");
    let lost: Vec<_> = gaps(&report, "candle/BTC/1m")
        .into_iter()
        .filter(|(cause, state)| *cause == Cause::Undecodable && *state == GapState::Open)
        .collect();
    assert!(lost.len() > 2, "{:?}", gaps(&report, "candle/BTC/1m"));
}

#[tokio::test(start_paused = true)]
async fn one_mid_and_one_context_that_cannot_be_read_cost_no_other() {
    let world = World::new(8).await.unwrap();
    let daemon = settled(&world).await;
    for kind in [value("mids", "ETH", json!("NaN"), None), value("context/BTC", "markPx", json!("NaN"), None)]
    {
        world.sim.inject(Fault::lasting(kind, 900_000));
    }
    sleep(15 * MINUTE).await;
    let snapshot = daemon.engine.snapshot();
    assert_eq!(snapshot.unreadable["mids"].count, 1, "{:?}", snapshot.unreadable);
    assert!(snapshot.unreadable["context/BTC"].count > 10, "{:?}", snapshot.unreadable);
    sleep(5 * MINUTE).await;
    daemon.stop().await.unwrap();
    let report = verified(&world).await;
    let lasting = |stream: &str| {
        gaps(&report, stream)
            .into_iter()
            .filter(|(_, state)| *state != GapState::Backfilled)
            .collect::<Vec<_>>()
    };
    assert_eq!(lasting("mids"), []);
    let others = ["trades/BTC", "trades/ETH", "book/BTC", "bbo/ETH"];
    assert!(others.iter().all(|stream| lasting(stream).is_empty()), "{:#?}", report.gaps);
}

#[tokio::test(start_paused = true)]
async fn a_decimal_with_an_exponent_is_the_same_number() {
    let world = World::new(9).await.unwrap();
    let daemon = settled(&world).await;
    for field in ["sz", "px", "c", "v", "markPx", "BTC"] {
        let kind = FaultKind::Exponent { stream: None, field: field.to_owned() };
        world.sim.inject(Fault::lasting(kind, 600_000));
    }
    sleep(12 * MINUTE).await;
    let snapshot = daemon.engine.snapshot();
    assert!(snapshot.unreadable.is_empty(), "{:?}", snapshot.unreadable);
    daemon.stop().await.unwrap();
    let report = verified(&world).await;
    assert_clean(&report, &world.store_path());
    let lasting: Vec<_> = report.gaps.iter().filter(|gap| gap.state != GapState::Backfilled).collect();
    assert!(lasting.is_empty(), "{lasting:#?}");
    assert!(report.streams.iter().any(|stream| stream.stream.kind() == Kind::Trades));
}
