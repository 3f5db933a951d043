//! What time it is: stamps that are wrong, an exchange whose clock is set or that stands still, sockets that are behind. The
//! whole daemon in virtual time.

use std::time::Duration;

use hl_chaos::{Daemon, Market};
use hl_core::ledger::{Cause, GapState, Span};
use hl_core::{Kind, Records, SourceId, StreamKey, TimeMs};
use hl_scheduler::jobs::CollectFunding;
use hl_sim::{AnswerFault, Fault, FaultKind, Way};
use hl_store::{GapRow, Inspect as _, SqliteStore};
use hl_verify::Found;
use tokio::time::sleep;

use crate::support::{World, assert_clean, coin, streams, verified};

const HOUR_MS: i64 = 3_600_000;
const EVER: Span = Span { from: TimeMs(0), to: TimeMs(i64::MAX) };

/// A daemon that has collected for so long over the sockets.
async fn settled(world: &World, wanted: &[StreamKey], for_s: u64) -> Daemon {
    let daemon = world.daemon(wanted).await.unwrap();
    let over_ws = |s: &hl_engine::Snapshot| s.streams.values().all(|m| m.owner == Some(SourceId::Ws));
    daemon.until("the sockets own everything", |s| !s.streams.is_empty() && over_ws(s)).await.unwrap();
    sleep(Duration::from_secs(for_s)).await;
    daemon
}

/// How far the daemon's idea of exchange time lies ahead, ms.
fn ahead(world: &World, daemon: &Daemon) -> i64 {
    daemon.engine.snapshot().at.since(world.sim.now())
}

async fn gaps(world: &World, stream: Option<StreamKey>) -> Vec<GapRow> {
    SqliteStore::inspect(world.store_path()).unwrap().gaps(stream).await.unwrap()
}

fn lasting(gaps: &[GapRow], stream: StreamKey) -> Vec<Span> {
    let lasts = |gap: &&GapRow| gap.stream == stream && gap.state != GapState::Backfilled;
    gaps.iter().filter(lasts).map(|gap| gap.span).collect()
}

#[tokio::test(start_paused = true)]
async fn a_stamp_of_the_future_costs_its_own_frame_and_nothing_else() {
    for (stream, on) in
        [("book/BTC", Way::Ws), ("trades/BTC", Way::Ws), ("bbo/BTC", Way::Ws), ("book/BTC", Way::Rest)]
    {
        for by_ms in [8_000, HOUR_MS, 40 * 24 * HOUR_MS] {
            let world = World::new(11).await.unwrap();
            let wanted = Market::mixed().streams;
            let daemon = settled(&world, &wanted, 70).await;
            let stream: StreamKey = stream.parse().unwrap();
            let wrong = FaultKind::Stamp { stream: Some(stream), by_ms, rows: None, on: Some(on) };
            // One push of it at least.
            world.sim.inject(Fault::lasting(wrong, 6_000));
            let injected = world.sim.now();
            for _ in 0..40 {
                sleep(Duration::from_secs(3)).await;
                assert!(ahead(&world, &daemon).abs() < 1_500, "{} ms ahead", ahead(&world, &daemon));
            }
            let now = world.sim.now();
            let snapshot = daemon.engine.snapshot();
            assert!(
                snapshot.streams.values().all(|m| m.edge.is_some_and(|edge| edge <= now)),
                "{snapshot:#?}"
            );
            daemon.stop().await.unwrap();
            assert_clean(&verified(&world).await, &world.store_path());
            let all = gaps(&world, None).await;
            for other in wanted.iter().filter(|other| **other != stream && other.kind() != Kind::Candle) {
                // What the start left open is another matter.
                let mut since = lasting(&all, *other);
                since.retain(|gap| gap.to > injected);
                assert_eq!(since, [], "{other} for {stream} by {by_ms}");
            }
            let of = lasting(&all, stream);
            assert!(of.iter().map(|gap| gap.ms()).sum::<i64>() < 40_000, "{stream}: {of:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_settlement_after_a_stamp_of_the_future_is_read() {
    let mut world = World::new(11).await.unwrap();
    world.jobs = vec![CollectFunding::spec(None).unwrap()];
    let daemon = settled(&world, &streams(&["book/BTC", "trades/BTC"]), 70).await;
    let stream = Some("book/BTC".parse().unwrap());
    let wrong = FaultKind::Stamp { stream, by_ms: HOUR_MS, rows: None, on: None };
    world.sim.inject(Fault::lasting(wrong, 6_000));
    sleep(Duration::from_secs(2 * 3_600)).await;
    let now = world.sim.now();
    daemon.stop().await.unwrap();
    let truth = world.sim.truth_funding(coin("BTC"), now - 115 * 60_000, now - 55 * 60_000);
    let inspect = SqliteStore::inspect(world.store_path()).unwrap();
    let Records::Funding(stored) = inspect.rows("funding/BTC".parse().unwrap(), EVER).await.unwrap() else {
        panic!("funding")
    };
    assert!(!truth.is_empty());
    let stored = |time| stored.iter().any(|row| row.time == time);
    assert!(truth.iter().all(|settled| stored(settled.time)), "{truth:?}");
}

#[tokio::test(start_paused = true)]
async fn an_exchange_whose_clock_is_set_is_followed_within_seconds() {
    for by_ms in [-20_000, -5_000, 20_000, HOUR_MS] {
        clock_set(12, by_ms, 70, Meanwhile::default()).await;
    }
    // To before all that was ever collected.
    clock_set(12, -60_000, 3, Meanwhile::default()).await;
}

/// What happens while the exchange's clock is set back.
#[derive(Clone, Copy, Default, Debug)]
struct Meanwhile {
    /// No socket can be had for some seconds.
    drop: bool,
    /// The daemon is started anew a moment later.
    restart: bool,
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_back_in_an_outage_or_before_a_restart_hides_nothing() {
    for seed in crate::support::seeds(23..27) {
        for (by_ms, after_s) in [(-20_000, 3), (-20_000, 30), (-5_000, 7), (-600_000, 30)] {
            let meanwhile = Meanwhile { drop: seed % 3 != 0, restart: seed % 2 == 0 };
            clock_set(seed, by_ms, after_s, meanwhile).await;
        }
    }
}

/// The exchange's clock is set when the sockets have owned everything for so long: nothing of what bears its time is missing in
/// no gap.
async fn clock_set(seed: u64, by_ms: i64, after_s: u64, meanwhile: Meanwhile) {
    let case = format!("seed {seed}, set by {by_ms} after {after_s} s, {meanwhile:?}");
    let world = World::new(seed).await.unwrap();
    let wanted = Market::mixed().streams;
    let mut daemon = settled(&world, &wanted, after_s).await;
    let last = world.sim.now();
    world.sim.inject(Fault::new(FaultKind::Clock { by_ms }));
    if meanwhile.drop {
        world.sim.inject(Fault::lasting(FaultKind::Drop, 4_000));
    }
    sleep(Duration::from_secs(6 + seed % 9)).await;
    if meanwhile.restart {
        daemon.stop().await.unwrap();
        daemon = world.daemon(&wanted).await.unwrap();
    }
    sleep(Duration::from_secs(15)).await;
    assert!(ahead(&world, &daemon).abs() < 1_500, "{case}: {} ms ahead", ahead(&world, &daemon));
    sleep(Duration::from_secs(60)).await;
    daemon.stop().await.unwrap();
    // What bears no time never goes back: until the exchange's clock has passed its last stamp it is stamped with that. And where
    // that was not received, one state of each kind may bear the time of another, from before.
    let is_told = |found: &Found| {
        let is_doubled = (meanwhile.drop || meanwhile.restart) && found.count == 1;
        found.check == "different" && (is_doubled || found.stream.is_some_and(|stream| !stream.spec().timed))
    };
    let mut problems = verified(&world).await.problems;
    problems.retain(|found| !is_told(found));
    assert!(problems.is_empty(), "{case}: {problems:#?}");
    let inspect = SqliteStore::inspect(world.store_path()).unwrap();
    let bbo: StreamKey = "bbo/BTC".parse().unwrap();
    let Records::Bbos(stored) = inspect.rows(bbo, EVER).await.unwrap() else { panic!("bbo") };
    let missing = gaps(&world, Some(bbo)).await;
    let begin = last + by_ms.min(0);
    let truth = world.sim.truth_bbos(coin("BTC"), begin, begin + 30_000);
    let lost = truth.iter().filter(|bbo| !stored.iter().any(|row| row.time == bbo.time));
    let lost: Vec<_> = lost
        .filter(|bbo| !missing.iter().any(|gap| gap.span.contains(bbo.time)))
        .map(|bbo| bbo.time)
        .collect();
    assert_eq!(lost, [], "{case}: of {}", truth.len());
}

#[tokio::test(start_paused = true)]
async fn a_machine_clock_that_is_wrong_by_hours_changes_nothing() {
    for by_ms in [-9 * HOUR_MS, 9 * HOUR_MS] {
        let world = World::new(13).await.unwrap();
        world.clock.step(by_ms);
        let daemon = settled(&world, &Market::mixed().streams, 100).await;
        assert!(ahead(&world, &daemon).abs() < 1_500, "{} ms ahead", ahead(&world, &daemon));
        world.clock.step(-by_ms / 2);
        sleep(Duration::from_secs(100)).await;
        assert!(ahead(&world, &daemon).abs() < 1_500, "{} ms ahead", ahead(&world, &daemon));
        daemon.stop().await.unwrap();
        assert_clean(&verified(&world).await, &world.store_path());
    }
}

/// Whatever its front pushes meanwhile: of what bears no time, a pause of the exchange is a gap from the moment it stood still
/// until it goes on.
#[tokio::test(start_paused = true)]
async fn what_an_exchange_that_stands_still_pushes_is_not_covered() {
    let world = World::new(14).await.unwrap();
    let wanted = Market::mixed().streams;
    let daemon = settled(&world, &wanted, 70).await;
    let begun = world.sim.now();
    let before = daemon.engine.snapshot().rest.requests;
    world.sim.inject(Fault::lasting(FaultKind::Halt, 180_000));
    sleep(Duration::from_secs(180)).await;
    let asked = daemon.engine.snapshot().rest.requests - before;
    let ended = world.sim.now();
    sleep(Duration::from_secs(60)).await;
    daemon.stop().await.unwrap();
    assert_clean(&verified(&world).await, &world.store_path());
    println!("asked {asked} times");
    let all = gaps(&world, None).await;
    for stream in wanted.iter().filter(|stream| !stream.spec().timed) {
        let mut of: Vec<_> = all.iter().filter(|gap| gap.stream == *stream).collect();
        of.sort_by_key(|gap| gap.span);
        assert!(of.iter().all(|gap| gap.cause == Cause::Outage), "{stream}: {of:?}");
        let pieces = Span::joined(of.iter().map(|gap| gap.span));
        let [gap] = pieces[..] else { panic!("{stream}: {pieces:?}") };
        assert!(gap.from.since(begun).abs() < 2_000, "{stream}: {} ms", gap.from.since(begun));
        assert!((-1_000..20_000).contains(&gap.to.since(ended)), "{stream}: {} ms", gap.to.since(ended));
    }
}

#[tokio::test(start_paused = true)]
async fn what_comes_late_over_a_slow_socket_is_stamped_with_the_time_that_it_is_of() {
    let world = World::new(15).await.unwrap();
    let wanted = streams(&["trades/BTC", "book/BTC", "bbo/BTC", "mids", "context/BTC"]);
    let daemon = settled(&world, &wanted, 70).await;
    world.sim.inject(Fault::lasting(FaultKind::Late { by_ms: 8_000 }, 120_000));
    sleep(Duration::from_secs(40)).await;
    let from = world.sim.now();
    sleep(Duration::from_secs(60)).await;
    let to = world.sim.now() - 10_000;
    let snapshot = daemon.engine.snapshot();
    assert!((7_500..9_000).contains(&snapshot.sockets[0].delay_ms), "{} ms", snapshot.sockets[0].delay_ms);
    daemon.stop().await.unwrap();
    let inspect = SqliteStore::inspect(world.store_path()).unwrap();
    let Records::Mids(mids) = inspect.rows(StreamKey::MIDS, Span::new(from, to)).await.unwrap() else {
        panic!("mids")
    };
    let mids: Vec<_> = mids.iter().filter(|mid| mid.coin == coin("BTC")).collect();
    assert!(mids.len() > 3, "{mids:?}");
    for mid in mids {
        let truth = world.sim.truth_mids(coin("BTC"), mid.time - 2_000, mid.time + 200);
        assert!(truth.iter().any(|true_mid| true_mid.px == mid.px), "{mid:?} {truth:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_system_clock_that_is_wrong_stamps_nothing_before_the_exchange_has_said_what_time_it_is() {
    for wrong_ms in [HOUR_MS, -HOUR_MS] {
        let world = World::new(13).await.unwrap();
        let wanted = streams(&["mids", "context/BTC", "trades/BTC"]);
        // What is stored bears the exchange's time.
        settled(&world, &wanted, 60).await.stop().await.unwrap();
        world.clock.step(wrong_ms);
        let silent = AnswerFault {
            request: Some("exchangeStatus".into()),
            status: Some(500),
            ..AnswerFault::default()
        };
        world.sim.inject(Fault::lasting(FaultKind::Answer(silent), 20_000));
        // Nor do trades say it, for a while.
        let mute = FaultKind::Mute { stream: Some("trades/BTC".parse().unwrap()) };
        world.sim.inject(Fault::lasting(mute, 20_000));
        let daemon = settled(&world, &wanted, 120).await;
        assert!(ahead(&world, &daemon).abs() < 1_500, "{} ms ahead", ahead(&world, &daemon));
        daemon.stop().await.unwrap();
        let now = world.sim.now();
        for stream in &wanted {
            let edge = stored_edge(&world, *stream).await;
            assert!(now - 30_000 <= edge && edge <= now, "{stream}: {edge}, and it is {now}");
        }
        assert_clean(&verified(&world).await, &world.store_path());
    }
}

async fn stored_edge(world: &World, stream: StreamKey) -> TimeMs {
    let rows = SqliteStore::inspect(world.store_path()).unwrap().streams().await.unwrap();
    rows.into_iter().find(|row| row.stream == stream).unwrap().edge.unwrap()
}
