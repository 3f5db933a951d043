//! What a warm standby is worth: sockets die at random, and trades are counted with it and without.

use std::ops::Range;
use std::time::Duration;

use hl_core::ledger::GapState;
use hl_core::{SourceId, StreamKey};
use hl_engine::Snapshot;
use hl_sim::{Fault, FaultKind};

use crate::support::{World, assert_clean, coin, seeds, streams, verified};

/// A busy coin. No bars, which would be witnesses too, and would change hands themselves.
const STREAMS: [&str; 1] = ["trades/BTC"];
const DEATHS: usize = 12;
/// For so long nobody can connect after a death, ms: longer than the replay of a new subscription reaches back.
const REFUSED_MS: Range<u64> = 10_000..40_000;
/// A pause in which a socket comes back and proves itself all the same, ms.
const APART_MS: Range<u64> = 120_000..200_000;

fn trades() -> StreamKey {
    StreamKey::Trades(coin("BTC"))
}

/// What became of the trades.
#[derive(Debug)]
struct Outcome {
    truth: u64,
    lost: u64,
    /// Gaps that stay, ms.
    gap_ms: i64,
    gaps: usize,
    /// Handovers while sockets died.
    handovers: u64,
    /// Requests for trades while sockets died.
    polled: u64,
}

impl Outcome {
    fn print(&self, name: &str) {
        let Self { truth, lost, gaps, gap_ms, handovers, polled } = self;
        println!(
            "{name}: {truth} trades, {lost} lost, {gaps} lasting gaps of {gap_ms} ms, {handovers} handovers, \
             {polled} polls of trades"
        );
    }
}

fn polls(snapshot: &Snapshot) -> u64 {
    let job = snapshot.jobs.iter().find(|job| job.id == "collect_trades");
    job.map_or(0, |job| job.runs)
}

/// Lets one socket die at a time, the same ones at the same times for every run of a seed.
async fn deaths(seed: u64, standby: bool) -> Outcome {
    let world = World::new(seed).await.unwrap();
    let coins = [coin("BTC")];
    let daemon = world.daemon_with(&streams(&STREAMS), if standby { &coins } else { &[] }).await.unwrap();
    let ready = |s: &Snapshot| {
        s.streams.len() == STREAMS.len()
            && s.streams.values().all(|m| m.owner == Some(SourceId::Ws))
            && s.standby.contains(&trades()) == standby
    };
    let before = daemon.until("sockets own everything", ready).await.unwrap();
    let mut rng = fastrand::Rng::with_seed(seed);
    tokio::time::sleep(Duration::from_secs(70)).await;
    for _ in 0..DEATHS {
        world.sim.inject(Fault::new(FaultKind::DropOne { socket: rng.u64(..2) }));
        world.sim.inject(Fault::lasting(FaultKind::Refuse, rng.u64(REFUSED_MS)));
        tokio::time::sleep(Duration::from_millis(rng.u64(APART_MS))).await;
    }
    let after = daemon.until("sockets own everything again", ready).await.unwrap();
    tokio::time::sleep(Duration::from_secs(150)).await;
    daemon.stop().await.unwrap();
    let report = verified(&world).await;
    assert_clean(&report, &world.store_path());
    let compared = report.streams.iter().find(|s| s.stream == trades()).and_then(|s| s.compared.as_ref());
    let compared = compared.expect("trades were compared with the truth");
    assert_eq!(compared.missing, Some(0), "what is lost lies in a gap");
    let lasting =
        report.gaps.iter().filter(|gap| gap.stream == trades() && gap.state != GapState::Backfilled);
    Outcome {
        truth: compared.truth,
        lost: compared.missing_in_gaps,
        gap_ms: lasting.clone().map(|gap| gap.span.ms()).sum(),
        gaps: lasting.count(),
        handovers: after.handovers - before.handovers,
        polled: polls(&after) - polls(&before),
    }
}

#[tokio::test(start_paused = true)]
async fn a_standby_loses_no_trade_when_sockets_die_one_after_another() {
    for seed in seeds(1..3) {
        println!("seed {seed}");
        let without = deaths(seed, false).await;
        without.print("without");
        let with = deaths(seed, true).await;
        with.print("with   ");
        assert!(without.lost > 0 && without.gaps > 0, "the deaths do harm: {without:?}");
        assert_eq!((with.lost, with.gaps), (0, 0), "{with:?}");
        assert_eq!(with.polled, 0, "REST is never needed");
        assert!((1..=DEATHS as u64).contains(&with.handovers), "one handover a death at most: {with:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_standby_sees_what_the_owner_is_not_sent() {
    let world = World::new(5).await.unwrap();
    let daemon = world.daemon_with(&streams(&STREAMS), &[coin("BTC")]).await.unwrap();
    let ready = |s: &Snapshot| s.standby.contains(&trades());
    daemon.until("a standby is ready", ready).await.unwrap();
    tokio::time::sleep(Duration::from_secs(130)).await;
    let before = daemon.engine.snapshot();
    // The oldest socket carries the first subscription, which owns the trades since the start.
    let mute = FaultKind::MuteOne { socket: 0, stream: Some(trades()) };
    world.sim.inject(Fault::lasting(mute, 20_000));
    let moved = daemon.until("the trades moved", |s| s.handovers > before.handovers).await.unwrap();
    assert_eq!(moved.streams[&trades()].owner, Some(SourceId::Ws), "to the standby, not to REST");
    let after = daemon.until("a standby is ready again", ready).await.unwrap();
    tokio::time::sleep(Duration::from_secs(130)).await;
    daemon.stop().await.unwrap();
    assert_eq!((after.handovers - before.handovers, polls(&after)), (1, 0));
    let report = verified(&world).await;
    assert_clean(&report, &world.store_path());
    let of_trades = report.gaps.iter().filter(|gap| gap.stream == trades());
    let lasting: Vec<_> = of_trades.filter(|gap| gap.state != GapState::Backfilled).collect();
    assert!(lasting.is_empty(), "its ring had everything: {lasting:?}");
}

/// Sockets die and fall silent at random, also both of them, and before a standby is ready. What is lost then has to lie in a
/// gap: here the bars are collected too, since nothing else sees what both sockets were not sent.
async fn storm(seed: u64) {
    let world = World::new(seed).await.unwrap();
    let collected = streams(&["trades/BTC", "candle/BTC/1m"]);
    let daemon = world.daemon_with(&collected, &[coin("BTC")]).await.unwrap();
    let ready = |s: &Snapshot| s.standby.contains(&trades());
    daemon.until("a standby is ready", ready).await.unwrap();
    // Two minutes that agree calibrate what a bar counts.
    tokio::time::sleep(Duration::from_secs(190)).await;
    let mut rng = fastrand::Rng::with_seed(seed);
    for _ in 0..30 {
        let socket = rng.u64(..2);
        let fault = match rng.u8(..4) {
            0 | 1 => Fault::new(FaultKind::DropOne { socket }),
            2 => Fault::lasting(FaultKind::Refuse, rng.u64(2_000..20_000)),
            _ => {
                let mute = FaultKind::MuteOne { socket, stream: Some(trades()) };
                Fault::lasting(mute, rng.u64(1_000..20_000))
            }
        };
        world.sim.inject(fault);
        tokio::time::sleep(Duration::from_millis(rng.u64(1_000..30_000))).await;
    }
    world.sim.clear_faults();
    daemon.until("a standby is ready again", ready).await.unwrap();
    tokio::time::sleep(Duration::from_secs(150)).await;
    daemon.stop().await.unwrap();
    assert_clean(&verified(&world).await, &world.store_path());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_quietly_missing_where_a_standby_fails_too() {
    for seed in seeds(1..3) {
        println!("storm {seed}");
        storm(seed).await;
    }
}
