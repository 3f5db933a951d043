//! The alerts of the whole daemon in virtual time: each fault of the exchange, the network or the store raises its own
//! exactly once and it resolves by itself; a day without faults raises none.

use std::time::Duration;

use hl_chaos::{Daemon, Market, START, Trace, Trouble, Weather};
use hl_core::ledger::{Cause, GapState, Span};
use hl_core::store::prelude::*;
use hl_core::stream::History;
use hl_core::{Kind, SourceId};
use hl_monitor::{AlertChange, Reception};
use hl_scheduler::jobs::CollectFunding;
use hl_scheduler::plan::{Retry, Spec};
use hl_sim::{Fault, FaultKind, SimConfig};
use hl_store::{GapRow, Inspect as _, SqliteStore};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::TryRecvError;
use tokio::time::sleep;

use crate::support::{World, assert_clean, streams, verified};

const MINUTE: Duration = Duration::from_secs(60);
const MINUTE_MS: u64 = 60_000;

/// What was told, as `raised no_progress ws`.
struct Told(broadcast::Receiver<AlertChange>);

impl Told {
    /// Everything since the last time.
    fn since_last(&mut self) -> Vec<String> {
        let mut told = Vec::new();
        loop {
            let change = match self.0.try_recv() {
                Ok(change) => change,
                Err(TryRecvError::Empty | TryRecvError::Closed) => return told,
                Err(TryRecvError::Lagged(missed)) => panic!("{missed} changes went by unseen"),
            };
            let word = match &change {
                AlertChange::Raised(_) => "raised",
                AlertChange::Still(_) => continue,
                AlertChange::Resolved(_) => "resolved",
            };
            let alert = change.alert();
            told.push(format!("{word} {} {}", alert.kind.as_str(), alert.subject));
        }
    }
}

/// A daemon on the mixed market, for some minutes in fair weather.
async fn settled(world: &World, minutes: u32) -> (Daemon, Told) {
    let daemon = world.daemon(&Market::mixed().streams).await.unwrap();
    let told = Told(daemon.engine.alerts());
    sleep(MINUTE * minutes).await;
    let snapshot = daemon.engine.snapshot();
    assert!(snapshot.streams.values().all(|m| m.owner == Some(SourceId::Ws)), "{snapshot:#?}");
    (daemon, told)
}

/// Why the daemon is not healthy.
fn reasons(daemon: &Daemon) -> Vec<String> {
    let published = daemon.engine.health().borrow().clone();
    published.health.reasons(&published.reception, 0)
}

fn once(alert: &str) -> Vec<String> {
    vec![format!("raised {alert}"), format!("resolved {alert}")]
}

/// Fair weather, the faults for so long, fair weather again; then what was told, and the same stands in the store.
async fn under(faults: &[FaultKind], before_min: u32, for_min: u64) -> Vec<String> {
    let world = World::new(5).await.unwrap();
    let (daemon, mut told) = settled(&world, before_min).await;
    assert_eq!(told.since_last(), Vec::<String>::new());
    for fault in faults {
        world.sim.inject(Fault::lasting(fault.clone(), for_min * MINUTE_MS));
    }
    sleep(Duration::from_millis(for_min * MINUTE_MS)).await;
    sleep(MINUTE * 25).await;
    let told = told.since_last();
    assert_eq!(daemon.engine.health().borrow().health.alerts, [], "nothing stays open: {told:?}");
    let kept = SqliteStore::inspect(world.store_path()).unwrap().alerts(true, 100).await.unwrap();
    let kept: Vec<_> =
        kept.iter().map(|row| (row.alert.kind.as_str(), row.alert.resolved.is_some())).collect();
    assert_eq!(kept.len(), told.len() / 2, "{kept:?}");
    assert!(kept.iter().all(|(_, resolved)| *resolved), "{kept:?}");
    daemon.stop().await.unwrap();
    told
}

#[tokio::test(start_paused = true)]
async fn sockets_that_do_not_come_back_are_one_alert() {
    for faults in [
        vec![FaultKind::Drop, FaultKind::Refuse],
        vec![FaultKind::Mute { stream: None }],
        vec![FaultKind::Drop, FaultKind::KillOnSubscribe { stream: None }],
    ] {
        assert_eq!(under(&faults, 3, 6).await, once("no_progress ws"), "{faults:?}");
    }
    let told = under(&[FaultKind::Garbage { stream: None }], 3, 12).await;
    let of = |kind: &str| told.iter().filter(|told| told.contains(kind)).cloned().collect::<Vec<_>>();
    assert_eq!(of("no_progress"), once("no_progress ws"));
    assert_eq!(of("undecodable"), once("undecodable ws"), "one trouble, however many streams it befalls");
    assert_eq!(told.len(), 4, "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_mended_at_once_is_no_alert() {
    for fault in [
        FaultKind::DropOne { socket: 0 },
        FaultKind::Forget { stream: None },
        FaultKind::HalfOpen,
        FaultKind::Duplicate { stream: None },
    ] {
        assert_eq!(under(std::slice::from_ref(&fault), 3, 6).await, Vec::<String>::new(), "{fault:?}");
    }
}

/// A world whose bars count one trade more than there were, for good.
async fn with_bars_that_count_otherwise() -> World {
    let mut config = SimConfig { seed: 5, ..SimConfig::default() };
    config.assumptions.candle_count = false;
    World::with(config, Trace::new(false)).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn bars_that_count_otherwise_move_nothing_and_open_no_gap() {
    let world = with_bars_that_count_otherwise().await;
    let daemon = world
        .daemon(&streams(&["trades/BTC", "candle/BTC/1m", "trades/ETH", "candle/ETH/1m"]))
        .await
        .unwrap();
    let mut told = Told(daemon.engine.alerts());
    sleep(MINUTE).await;
    let before = daemon.engine.snapshot().handovers;
    sleep(MINUTE * 40).await;
    let after = daemon.engine.snapshot();
    assert_eq!((after.handovers, told.since_last()), (before, vec![]));
    daemon.stop().await.unwrap();
    let gaps = SqliteStore::inspect(world.store_path()).unwrap().gaps(None).await.unwrap();
    let of_trades = gaps.iter().filter(|gap| gap.stream.kind() == Kind::Trades);
    // What the start left open is another matter.
    let since = of_trades.filter(|gap| gap.cause != Cause::FirstStart);
    let lasting: Vec<_> = since.filter(|gap| gap.state != GapState::Backfilled).collect();
    assert!(lasting.is_empty(), "{lasting:?}");
    assert!(gaps.len() <= 4, "nor are bars read again for ever: {gaps:?}");
}

#[tokio::test(start_paused = true)]
async fn sockets_that_die_again_and_again_are_one_alert_and_move_streams_less_and_less_often() {
    let world = World::new(5).await.unwrap();
    let (daemon, mut told) = settled(&world, 3).await;
    let streams = u64::try_from(Market::mixed().streams.len()).unwrap();
    let mut moves = Vec::new();
    for _ in 0..2 {
        let before = daemon.engine.snapshot().handovers;
        // Long enough to own the streams, and too short to be stable.
        for _ in 0..10 {
            world.sim.inject(Fault::new(FaultKind::Drop));
            sleep(Duration::from_secs(15)).await;
        }
        moves.push((daemon.engine.snapshot().handovers - before) / streams);
    }
    assert!(moves[0] >= 8 && moves[1] <= moves[0] / 2, "{moves:?}");
    sleep(MINUTE * 10).await;
    assert_eq!(told.since_last(), once("flapping ws"));
    assert!(daemon.engine.snapshot().streams.values().all(|m| m.owner == Some(SourceId::Ws)));
    daemon.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn frames_that_come_out_of_order_and_frames_that_come_late_are_told() {
    let reordered = FaultKind::Reorder { stream: None };
    assert_eq!(under(&[reordered], 3, 6).await, once("late bbo/BTC"), "the one that is often enough pushed");
    let told = under(&[FaultKind::Late { by_ms: 7_000 }], 3, 6).await;
    let sockets = told.len() / 2;
    assert!(sockets > 0, "{told:?}");
    assert!(told[..sockets].iter().all(|told| told.starts_with("raised behind session/")), "{told:?}");
    assert!(told[sockets..].iter().all(|told| told.starts_with("resolved behind session/")), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_muted_alone_is_told_by_its_rate() {
    let muted = FaultKind::Mute { stream: Some("bbo/BTC".parse().unwrap()) };
    assert_eq!(under(&[muted], 45, 15).await, once("rate_low bbo/BTC"));
}

#[tokio::test(start_paused = true)]
async fn requests_that_are_refused_are_somebody_elses_weight_and_broken_ones_are_not() {
    let http = |status| FaultKind::Http { status: Some(status), body: None, delay_ms: None };
    // Something for REST to do meanwhile.
    let muted = FaultKind::Mute { stream: Some("mids".parse().unwrap()) };
    assert_eq!(under(&[http(429), muted.clone()], 3, 6).await, once("foreign_weight rest"));
    assert_eq!(under(&[http(502), muted], 3, 6).await, once("no_progress rest"));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_is_told_and_kept_once_it_can_be() {
    let world = World::new(5).await.unwrap();
    let (daemon, mut told) = settled(&world, 3).await;
    world.troubles.strike(Trouble::Fails, 4 * MINUTE_MS);
    sleep(MINUTE * 10).await;
    assert_eq!(told.since_last(), once("no_progress writer"));
    let kept = SqliteStore::inspect(world.store_path()).unwrap().alerts(true, 100).await.unwrap();
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert!(kept[0].alert.resolved.is_some() && kept[0].alert.raised < START + 6 * 60_000, "{kept:?}");
    daemon.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_a_stopped_process_holds_is_nobodys() {
    let world = World::new(5).await.unwrap();
    let stopped = world.open("a stopped process").await.unwrap();
    stopped.lease(&streams(&["trades/BTC"])).await.unwrap();
    let daemon = world.daemon(&streams(&["trades/BTC", "book/BTC"])).await.unwrap();
    let mut told = Told(daemon.engine.alerts());
    sleep(MINUTE * 5).await;
    assert_eq!(told.since_last(), ["raised no_owner trades/BTC"]);
    stopped.close().await.unwrap();
    sleep(MINUTE * 2).await;
    assert_eq!(told.since_last(), ["resolved no_owner trades/BTC"]);
    daemon.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_second_process_that_says_it_collects_the_same_is_told() {
    let world = World::new(5).await.unwrap();
    let (daemon, mut told) = settled(&world, 2).await;
    let other = world.open("hl-daemon").await.unwrap();
    let name = format!("{}/{}", hl_monitor::ProcessNote::NAME, other.token().0);
    for _ in 0..6 {
        let mut note = hl_monitor::ProcessNote { at: world.sim.now(), ..Default::default() };
        note.collects.extend(streams(&["book/BTC"]));
        other.put_note(&name, &serde_json::to_string(&note).unwrap()).await.unwrap();
        sleep(Duration::from_secs(10)).await;
    }
    assert_eq!(told.since_last(), ["raised two_owners book/BTC"]);
    other.close().await.unwrap();
    sleep(MINUTE).await;
    assert_eq!(told.since_last(), ["resolved two_owners book/BTC"]);
    daemon.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_registered_twice_and_one_that_two_daemons_plan_are_told() {
    let mut world = World::new(5).await.unwrap();
    let funding = CollectFunding::spec(None).unwrap();
    world.jobs = vec![funding.clone(), funding.clone()];
    let daemon = world.daemon(&streams(&["mids"])).await.unwrap();
    let mut told = Told(daemon.engine.alerts());
    sleep(MINUTE * 15).await;
    assert_eq!(told.since_last(), once("job_twice collect_funding"), "twice in one process");

    world.jobs = vec![funding];
    let second = world.daemon(&streams(&["book/BTC"])).await.unwrap();
    let mut told_second = Told(second.engine.alerts());
    sleep(MINUTE * 3).await;
    assert_eq!(told.since_last(), ["raised job_twice collect_funding"]);
    assert_eq!(told_second.since_last(), ["raised job_twice collect_funding"]);
    second.stop().await.unwrap();
    sleep(MINUTE * 2).await;
    assert_eq!(told.since_last(), ["resolved job_twice collect_funding"]);
    daemon.stop().await.unwrap();
}

/// The alerts of one job under a fault of the answers that lasts six minutes, and of nothing else but `rest`.
async fn of_job(every: &str, http: FaultKind) -> Vec<String> {
    let mut world = World::new(5).await.unwrap();
    let spec = CollectFunding::spec(Some(every.parse().unwrap())).unwrap();
    world.jobs = vec![Spec { grace_ms: 1_000, jitter_ms: 0, retry: Retry::NEVER, ..spec }];
    let daemon = world.daemon(&streams(&["trades/BTC", "mids"])).await.unwrap();
    let mut told = Told(daemon.engine.alerts());
    sleep(MINUTE * 5).await;
    assert_eq!(told.since_last(), Vec::<String>::new());
    world.sim.inject(Fault::lasting(http, 6 * MINUTE_MS));
    sleep(MINUTE * 15).await;
    let (of_rest, of_job): (Vec<_>, Vec<_>) =
        told.since_last().into_iter().partition(|line| line.ends_with(" rest"));
    assert_eq!(of_rest, once("no_progress rest"));
    daemon.stop().await.unwrap();
    of_job
}

#[tokio::test(start_paused = true)]
async fn a_job_that_keeps_failing_or_being_skipped_is_told() {
    let http = |delay_ms| FaultKind::Http { status: Some(502), body: None, delay_ms };
    assert_eq!(of_job("every 1m", http(None)).await, once("job_failing collect_funding"));
    assert_eq!(of_job("every 5s", http(Some(9_000))).await, once("job_skipped collect_funding"));
}

#[tokio::test(start_paused = true)]
async fn a_quiet_day_raises_nothing() {
    let market = Market::quiet();
    let world = World::with(market.config(11), Trace::new(false)).await.unwrap();
    let daemon = world.daemon(&market.streams).await.unwrap();
    let mut told = Told(daemon.engine.alerts());
    sleep(MINUTE).await;
    for minute in 1..60 * 24 {
        sleep(MINUTE).await;
        assert_eq!(reasons(&daemon), Vec::<String>::new(), "in minute {minute}");
    }
    assert_eq!(told.since_last(), Vec::<String>::new());
    assert_eq!(daemon.engine.health().borrow().health.alerts, []);
    daemon.stop().await.unwrap();
}

/// A total outage, as it comes: refused, or without a word.
async fn outage(seed: u64, refused: bool) {
    const LENGTH_S: u64 = 78;
    let world = World::new(seed).await.unwrap();
    let (daemon, _) = settled(&world, 3).await;
    assert_eq!(reasons(&daemon), Vec::<String>::new());
    let from = world.sim.now();
    if refused {
        let http = FaultKind::Http { status: Some(502), body: None, delay_ms: None };
        for fault in [FaultKind::Drop, FaultKind::Refuse, http] {
            world.sim.inject(Fault::lasting(fault, LENGTH_S * 1_000));
        }
    } else {
        world.net.strike(Weather::Partition, LENGTH_S * 1_000);
    }
    let mut told = None;
    for second in 1..LENGTH_S {
        sleep(Duration::from_secs(1)).await;
        match reasons(&daemon).as_slice() {
            [] => assert_eq!(told, None, "it is said for as long as it lasts: {second} s"),
            [reason] => {
                told.get_or_insert(second);
                let said = format!("not receiving for {second} s: ");
                let a_second_ago = format!("not receiving for {} s: ", second - 1);
                assert!(
                    reason.starts_with(&said) || reason.starts_with(&a_second_ago),
                    "{second} s: {reason}"
                );
                assert!(reason.contains("ws: ") || reason.contains("rest: "), "{reason}");
            }
            more => panic!("one reason is enough: {more:?}"),
        }
    }
    assert!(told.is_some_and(|told| told <= 15), "{told:?} s");
    let snapshot = daemon.engine.snapshot();
    assert!(snapshot.streams.values().all(|m| m.owner.is_some()), "all of them are owned all the while");
    assert!(snapshot.receptions.values().all(|of| *of != Reception::Receiving), "{:?}", snapshot.receptions);
    let to = world.sim.now();
    sleep(MINUTE * 4).await;
    assert_eq!(reasons(&daemon), Vec::<String>::new());
    daemon.stop().await.unwrap();

    let report = verified(&world).await;
    assert_clean(&report, &world.store_path());
    let outage = Span::new(from, to);
    for stream in Market::mixed().streams {
        let gaps = SqliteStore::inspect(world.store_path()).unwrap().gaps(Some(stream)).await.unwrap();
        let of_outage: Vec<_> = gaps.iter().filter(|gap| gap.cause == Cause::Outage).collect();
        // Bars that REST still had are no loss, and the one in progress at the change of hands is read again.
        let lost = gaps.iter().filter(|gap| gap.state != GapState::Backfilled);
        // Behind what the socket replays a coin has a pause of seconds that ten trades do not reach, a quiet one too where
        // ten of them are one sweep.
        let is_pause = |gap: &GapRow| stream.kind() == Kind::Trades && gap.span.ms() < 15_000;
        let meets =
            lost.filter(|gap| gap.span.overlaps(outage) && gap.cause != Cause::Outage && !is_pause(gap));
        assert_eq!(meets.count(), 0, "{stream}: {gaps:#?}");
        match (stream.kind(), of_outage.as_slice()) {
            // A quiet coin's replay may join.
            (Kind::Trades, []) => {}
            (Kind::Candle, []) => {}
            (Kind::Candle, [gap]) => assert_eq!(gap.state, GapState::Backfilled, "{stream}"),
            (_, [gap]) if stream.spec().history == History::None => {
                assert_eq!(gap.state, GapState::Unrecoverable, "{stream}");
                assert!((70_000..120_000).contains(&gap.span.ms()), "{stream}: {gap:?}");
            }
            (Kind::Trades, gaps) => {
                let lost = gaps.iter().filter(|gap| gap.state != GapState::Backfilled && !is_pause(gap));
                let states: Vec<_> = lost.map(|gap| gap.state).collect();
                assert!(matches!(states[..], [] | [GapState::Unrecoverable]), "{stream}: {gaps:#?}");
            }
            (_, gaps) => panic!("{stream}: one outage is one gap: {gaps:#?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_told_within_fifteen_seconds_and_is_one_gap_a_stream() {
    for seed in 1..4 {
        outage(seed, true).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_without_a_word_is_told_as_soon() {
    for seed in 1..4 {
        outage(seed, false).await;
    }
}
