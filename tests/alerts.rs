//! The alerts of the whole daemon in virtual time: each fault of the exchange, the network or the store raises its own
//! exactly once and it resolves by itself; a day without faults raises none.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use std::time::Duration;

use hl_chaos::{Daemon, Market, START, Trace, Trouble};
use hl_core::SourceId;
use hl_core::store::Store as _;
use hl_monitor::Change;
use hl_scheduler::jobs::CollectFunding;
use hl_scheduler::plan::{Retry, Spec};
use hl_sim::{Fault, FaultKind};
use hl_store::{Inspect as _, SqliteStore};
use support::{World, streams};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::TryRecvError;
use tokio::time::sleep;

const MINUTE: Duration = Duration::from_secs(60);
const MINUTE_MS: u64 = 60_000;

/// What was told, as `raised no_progress ws`.
struct Told(broadcast::Receiver<Change>);

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
                Change::Raised(_) => "raised",
                Change::Still(_) => continue,
                Change::Resolved(_) => "resolved",
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
        vec![FaultKind::Garbage { stream: None }],
        vec![FaultKind::Drop, FaultKind::KillOnSubscribe { stream: None }],
    ] {
        assert_eq!(under(&faults, 3, 6).await, once("no_progress ws"), "{faults:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_mended_at_once_is_no_alert() {
    for fault in [
        FaultKind::DropOne { socket: 0 },
        FaultKind::Forget { stream: None },
        FaultKind::HalfOpen,
        FaultKind::Duplicate { stream: None },
        FaultKind::Reorder { stream: None },
    ] {
        assert_eq!(under(std::slice::from_ref(&fault), 3, 6).await, Vec::<String>::new(), "{fault:?}");
    }
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
    sleep(MINUTE * 60 * 24).await;
    assert_eq!(told.since_last(), Vec::<String>::new());
    let published = daemon.engine.health().borrow().clone();
    let health = &published.health;
    assert_eq!((health.reasons(&published.reception, 0), health.alerts.len()), (Vec::new(), 0));
    daemon.stop().await.unwrap();
}
