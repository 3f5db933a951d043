//! The whole daemon in virtual time: real sources, selector, pipeline, scheduler and SQLite store against the simulated
//! exchange on an in-memory network. A seed is a run.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use std::time::Duration;

use hl_core::seam::Clock as _;
use hl_core::{SourceId, StreamKey};
use hl_sim::{BodyFault, Fault, FaultKind};
use support::{World, assert_clean, streams};

const EVERYTHING: [&str; 12] = [
    "trades/BTC",
    "trades/SOL",
    "book/BTC",
    "book/BTC/fast",
    "bbo/BTC",
    "bbo/SOL",
    "candle/BTC/1m",
    "candle/SOL/1m",
    "candle/BTC/5m",
    "mids",
    "context/BTC",
    "context/SOL",
];

fn owned_by(source: SourceId) -> impl Fn(&hl_engine::Snapshot) -> bool {
    move |snapshot| !snapshot.streams.is_empty() && snapshot.streams.values().all(|m| m.owner == Some(source))
}

fn owner(stream: &str) -> impl Fn(&hl_engine::Snapshot) -> Option<SourceId> {
    let stream: StreamKey = stream.parse().unwrap();
    move |snapshot| snapshot.streams[&stream].owner
}

#[tokio::test(start_paused = true)]
async fn an_hour_without_faults_is_complete() {
    let world = World::new(7).await;
    let daemon = world.daemon(&streams(&EVERYTHING)).await;
    daemon.until("the socket owns everything", owned_by(SourceId::Ws)).await;
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    let snapshot = daemon.engine.snapshot();
    daemon.stop().await;
    let report = world.verify().await;
    assert_clean(&report, &world.store_path());
    assert_eq!(snapshot.rest.rate_limited, 0);
    let renewed: u64 = snapshot.sockets.iter().map(|s| s.counters.renewed).sum();
    assert_eq!(renewed, 0, "no subscription is doubted without a reason");
    assert_eq!(snapshot.handovers, EVERYTHING.len() as u64, "and no stream changes hands");
    let lasting: Vec<_> =
        report.gaps.iter().filter(|g| g.state != hl_core::ledger::GapState::Backfilled).collect();
    assert!(lasting.is_empty(), "a quiet hour leaves no gap: {lasting:?}");
    assert!(report.minutes_compared > 50, "{}", report.minutes_compared);
}

fn fault(rng: &mut fastrand::Rng) -> Option<Fault> {
    let names = EVERYTHING;
    let stream = rng.bool().then(|| names[rng.usize(..names.len())].parse().unwrap());
    // Everything muted for less than a heartbeat leaves no trace that anybody could see from outside.
    let for_ms = rng.u64(if stream.is_some() { 1_000 } else { 8_000 }..40_000);
    let kind = match rng.u8(..13) {
        0 => FaultKind::Drop,
        1 => FaultKind::Refuse,
        2 | 3 => FaultKind::Mute { stream },
        4 => FaultKind::HalfOpen,
        5 => FaultKind::Duplicate { stream },
        6 => FaultKind::Garbage { stream },
        7 => FaultKind::GiantFrame { bytes: 20_000_000 },
        8 => FaultKind::KillOnSubscribe { stream },
        9 => FaultKind::Http { status: Some(429), body: None, delay_ms: None },
        10 => FaultKind::Http { status: Some(500), body: Some(BodyFault::Null), delay_ms: None },
        11 => FaultKind::Http { status: None, body: Some(BodyFault::Truncated), delay_ms: Some(3_000) },
        // A crash, carried out by the test.
        _ => return None,
    };
    Some(match kind {
        FaultKind::Drop | FaultKind::GiantFrame { .. } => Fault::new(kind),
        kind => Fault::lasting(kind, for_ms),
    })
}

/// Faults at random, crashes included; then everything must be stored, or inside a recorded gap.
async fn storm(seed: u64, minutes: u64) {
    let world = World::new(seed).await;
    let mut rng = fastrand::Rng::with_seed(seed);
    let streams = streams(&EVERYTHING);
    let mut daemon = world.daemon(&streams).await;
    let begin = tokio::time::Instant::now();
    let end = begin + Duration::from_secs(minutes * 60);
    let mut muted = begin;
    while tokio::time::Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(rng.u64(2_000..60_000))).await;
        match fault(&mut rng) {
            Some(fault) => {
                if matches!(fault.kind, FaultKind::Mute { .. }) {
                    muted = tokio::time::Instant::now();
                }
                world.sim.inject(fault);
            }
            // A silence too short to ask about shows when the minute's bar is final; a crash before that hides it.
            None if muted.elapsed() < Duration::from_secs(180) => {}
            None => {
                daemon.crash().await;
                tokio::time::sleep(Duration::from_millis(rng.u64(..30_000))).await;
                daemon = world.daemon(&streams).await;
            }
        }
    }
    world.sim.clear_faults();
    daemon.until("the socket owns everything again", owned_by(SourceId::Ws)).await;
    tokio::time::sleep(Duration::from_secs(150)).await;
    daemon.stop().await;
    let report = world.verify().await;
    assert_clean(&report, &world.store_path());
    assert_eq!((report.duplicates, report.overlapping_claims), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_quietly_missing_in_a_storm() {
    // Another range, `HL_TEST_SEEDS=4..50`, for a longer look, or for one seed again.
    let seeds = std::env::var("HL_TEST_SEEDS").unwrap_or_else(|_| "1..4".into());
    let (from, to) = seeds.split_once("..").expect("HL_TEST_SEEDS is FROM..TO");
    for seed in from.parse().unwrap()..to.parse().unwrap() {
        println!("seed {seed}");
        storm(seed, 20).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_muted_stream_is_taken_over_and_given_back() {
    let world = World::new(3).await;
    let daemon = world.daemon(&streams(&["trades/BTC", "book/BTC"])).await;
    daemon.until("the socket owns everything", owned_by(SourceId::Ws)).await;
    let btc = owner("trades/BTC");
    let book = owner("book/BTC");
    world.sim.inject(Fault::lasting(FaultKind::Mute { stream: Some("trades/BTC".parse().unwrap()) }, 30_000));
    let seen = daemon.until("REST owns the muted stream", |s| btc(s) == Some(SourceId::Rest)).await;
    assert_eq!(book(&seen), Some(SourceId::Ws), "the others stay where they are");
    daemon.until("the socket has it back", |s| btc(s) == Some(SourceId::Ws)).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    daemon.stop().await;
    let report = world.verify().await;
    assert_clean(&report, &world.store_path());
    assert!(!report.gaps.is_empty(), "what the mute swallowed is recorded");
}

/// What trades and bars lost together, neither of them can show: only the exchange's own bars do, read once more.
#[tokio::test(start_paused = true)]
async fn what_trades_and_bars_lost_together_is_found_by_the_audit() {
    let world = World::new(3).await;
    let daemon = world.daemon(&streams(&["trades/BTC", "candle/BTC/1m"])).await;
    daemon.until("the socket owns everything", owned_by(SourceId::Ws)).await;
    tokio::time::sleep(Duration::from_secs(240)).await;
    let now = world.clock.now().0;
    let last_seconds = now - now % 60_000 + 60_000 + 56_500;
    tokio::time::sleep(Duration::from_millis((last_seconds - now).unsigned_abs())).await;
    world.sim.inject(Fault::lasting(FaultKind::Mute { stream: None }, 3_400));
    tokio::time::sleep(Duration::from_secs(1_500)).await;
    let snapshot = daemon.engine.snapshot();
    daemon.stop().await;
    let report = world.verify().await;
    assert_clean(&report, &world.store_path());
    let holes: Vec<_> = report.gaps.iter().filter(|g| g.cause == hl_core::ledger::Cause::Silence).collect();
    assert!(
        holes.iter().any(|g| g.stream.kind() == hl_core::Kind::Candle),
        "the bar was read again: {holes:?}"
    );
    assert!(
        holes.iter().any(|g| g.stream.kind() == hl_core::Kind::Trades),
        "the trades are known to be missing"
    );
    assert_eq!(snapshot.rest.rate_limited, 0);
}
