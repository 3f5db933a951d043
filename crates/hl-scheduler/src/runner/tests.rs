use std::sync::atomic::{AtomicU64, Ordering};

use hl_core::runs::Row;
use hl_core::store::Store;
use hl_runtime::TokioClock;
use hl_store::{SqliteOptions, SqliteStore, Writer};

use super::*;
use crate::plan::Trigger;

const START: TimeMs = TimeMs(1_793_491_200_000);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR_MS: i64 = 3_600_000;

/// Where daemons run.
struct Scene {
    folder: tempfile::TempDir,
    clock: TokioClock,
}

/// A process with a runner.
struct Daemon {
    runner: Arc<Runner>,
    store: Arc<dyn Store>,
    stop: watch::Sender<bool>,
    task: JoinSet<()>,
}

impl Scene {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), clock: TokioClock::starting_at(START) }
    }

    async fn daemon(&self, seed: u64) -> Daemon {
        let store = SqliteStore::open(SqliteOptions {
            path: self.folder.path().join("jobs.db"),
            role: "test".into(),
            host: "test".into(),
            pid: std::process::id(),
            writer: Writer::Inline { delay_ms: 1 },
            clock: Arc::new(self.clock),
        });
        let store: Arc<dyn Store> = Arc::new(store.await.unwrap());
        let clock = self.clock;
        let now = Box::new(move || hl_core::seam::Clock::now(&clock));
        let runner = Arc::new(Runner::new(store.clone(), now, Seed(seed)));
        let (stop, stopped) = watch::channel(false);
        let mut task = JoinSet::new();
        let of_task = runner.clone();
        task.spawn(async move { of_task.run(stopped).await });
        Daemon { runner, store, stop, task }
    }
}

impl Daemon {
    async fn stop(mut self) -> Arc<dyn Store> {
        self.stop.send_replace(true);
        self.task.join_next().await.unwrap().unwrap();
        self.store
    }

    async fn history(&self, job: &str) -> Vec<Row> {
        self.store.runs(Some(job), 1_000).await.unwrap()
    }
}

fn spec(id: &str, words: &str) -> Spec {
    Spec::new(id, words.parse().unwrap())
}

/// Takes a while, and fails if it is told to.
#[derive(Default)]
struct Work {
    takes: Duration,
    fails: bool,
    begun: AtomicU64,
    inside: AtomicU64,
    most: AtomicU64,
}

impl Work {
    fn taking(takes: Duration) -> Arc<Self> {
        Arc::new(Self { takes, ..Self::default() })
    }
}

impl Task for Work {
    fn run(&self, _: TimeMs) -> BoxFuture<'_, Result<Done, TaskError>> {
        Box::pin(async {
            self.begun.fetch_add(1, Ordering::SeqCst);
            let inside = self.inside.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(inside, Ordering::SeqCst);
            tokio::time::sleep(self.takes).await;
            self.inside.fetch_sub(1, Ordering::SeqCst);
            match self.fails {
                true => Err(TaskError { step: "asking", source: "nobody answers".into() }),
                false => Ok(Done { rows: 3, weight: 20 }),
            }
        })
    }
}

/// Due every second; a run takes three.
struct Slow {
    next: Mutex<Instant>,
    work: Work,
}

impl Job for Slow {
    fn id(&self) -> &'static str {
        "slow"
    }
    fn next_due(&self) -> Option<Instant> {
        Some(*self.next.lock().unwrap())
    }
    fn run(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            *self.next.lock().unwrap() += Duration::from_secs(1);
            self.work.run(START).await.unwrap();
            let mut next = self.next.lock().unwrap();
            *next = (*next).max(Instant::now());
        })
    }
}

#[tokio::test(start_paused = true)]
async fn one_instance_and_missed_runs_coalesce() {
    let scene = Scene::new();
    let daemon = scene.daemon(1).await;
    let work = Work { takes: Duration::from_secs(3), ..Work::default() };
    let job = Arc::new(Slow { next: Mutex::new(Instant::now()), work });
    daemon.runner.register(job.clone()).unwrap();
    assert!(matches!(daemon.runner.register(job.clone()), Err(RegisterError::Taken(id)) if id == "slow"));
    let planned = daemon.runner.plan(spec("slow", "every 1h"), Work::taking(MINUTE)).await;
    assert!(matches!(planned, Err(RegisterError::Taken(id)) if id == "slow"));
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(job.work.most.load(Ordering::SeqCst), 1, "never two instances");
    assert_eq!(daemon.runner.view()[0].runs, 4, "10 s of a 3 s job that is due every second");
    daemon.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_day_of_two_daemons_on_one_store() {
    let scene = Scene::new();
    let work = Work::taking(2 * MINUTE);
    let mut daemons = Vec::new();
    for seed in [1, 2] {
        let daemon = scene.daemon(seed).await;
        let spec = Spec { jitter_ms: 30_000, ..spec("collect_funding", "every 1h") };
        daemon.runner.plan(spec, work.clone()).await.unwrap();
        daemons.push(daemon);
    }
    tokio::time::sleep(24 * 60 * MINUTE + 10 * MINUTE).await;
    assert_eq!(work.begun.load(Ordering::SeqCst), 24, "no planned run is done twice");
    assert_eq!(work.most.load(Ordering::SeqCst), 1);
    let rows = daemons[0].history("collect_funding").await;
    let mut planned: Vec<_> = rows.iter().map(|row| row.planned).collect();
    planned.sort();
    assert_eq!(planned, (1..=24).map(|hour| START + hour * HOUR_MS).collect::<Vec<_>>());
    assert!(rows.iter().all(|row| {
        (row.outcome, row.rows, row.weight, row.attempt) == (Some(Outcome::Succeeded), 3, 20, 1)
    }));
    let first = rows.iter().filter(|row| row.token == daemons[0].store.token()).count();
    assert!((1..24).contains(&first), "both had their share: {first}");
    for daemon in daemons {
        daemon.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_planned_job_that_is_registered_twice_runs_once() {
    let scene = Scene::new();
    let daemon = scene.daemon(1).await;
    let (old, new) = (Work::taking(MINUTE), Work::taking(MINUTE));
    daemon.runner.plan(spec("job", "every 10m"), old.clone()).await.unwrap();
    daemon.runner.plan(spec("job", "every 10m"), new.clone()).await.unwrap();
    tokio::time::sleep(61 * MINUTE).await;
    assert_eq!((old.begun.load(Ordering::SeqCst), new.begun.load(Ordering::SeqCst)), (0, 6));
    assert_eq!(daemon.runner.view().len(), 1);
    daemon.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_takes_too_long_is_ended_and_what_fails_is_tried_again() {
    let scene = Scene::new();
    let daemon = scene.daemon(1).await;
    let endless = Work::taking(600 * MINUTE);
    let retry = crate::plan::Retry { attempts: 2, first_ms: 60_000, longest_ms: 60_000 };
    let limited = Spec { limit_ms: 300_000, retry, ..spec("endless", "every 1h") };
    daemon.runner.plan(limited, endless.clone()).await.unwrap();
    let failing = Arc::new(Work { fails: true, ..Work::default() });
    daemon.runner.plan(spec("failing", "every 1h"), failing.clone()).await.unwrap();
    tokio::time::sleep(80 * MINUTE).await;
    let rows = daemon.history("endless").await;
    assert_eq!((rows.len(), rows[0].attempt, rows[0].outcome), (1, 2, Some(Outcome::TimedOut)));
    assert!(rows[0].error.as_deref().is_some_and(|error| error.contains("within 300s")), "{rows:?}");
    let rows = daemon.history("failing").await;
    assert_eq!((rows.len(), rows[0].attempt, rows[0].outcome), (1, 1, Some(Outcome::Failed)));
    assert_eq!(rows[0].error.as_deref(), Some("asking: nobody answers"));
    daemon.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_missed_while_nothing_ran_is_made_up_for() {
    let scene = Scene::new();
    let work = Work::taking(MINUTE);
    let daemon = scene.daemon(1).await;
    daemon.runner.plan(spec("hourly", "every 1h"), work.clone()).await.unwrap();
    tokio::time::sleep(60 * MINUTE + MINUTE / 2).await;
    assert_eq!(daemon.runner.view()[0].state, JobState::Running);
    let store = daemon.stop().await;
    let rows = store.runs(None, 10).await.unwrap();
    assert_eq!(rows[0].outcome, Some(Outcome::Stopped), "in the middle of a run");
    store.close().await.unwrap();

    tokio::time::sleep(5 * 60 * MINUTE).await;
    let daemon = scene.daemon(1).await;
    daemon.runner.plan(spec("hourly", "every 1h"), work.clone()).await.unwrap();
    tokio::time::sleep(2 * MINUTE).await;
    let rows = daemon.history("hourly").await;
    assert_eq!(rows[0].planned, START + 6 * HOUR_MS, "the last of those that were missed");
    assert_eq!((rows.len(), rows[0].outcome), (2, Some(Outcome::Succeeded)));
    daemon.stop().await;
}

/// Asks as another process does, and waits for what becomes of it.
async fn ask(other: &Arc<dyn Store>, job: &str) -> Row {
    let named = other.request_run(job).await.unwrap();
    loop {
        let rows = other.runs(Some(job), 100).await.unwrap();
        let row = rows.into_iter().find(|row| row.planned == named).unwrap();
        if row.outcome.is_some() {
            return row;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn another_process_asks_for_a_run() {
    let scene = Scene::new();
    let (daemon, other) = (scene.daemon(1).await, scene.daemon(2).await);
    let other = other.stop().await;
    let work = Work::taking(MINUTE);
    daemon.runner.plan(Spec::new("asked", Trigger::ByHand), work.clone()).await.unwrap();
    daemon
        .runner
        .register(Arc::new(Slow { next: Mutex::new(Instant::now()), work: Work::default() }))
        .unwrap();
    assert_eq!(daemon.runner.view()[0].state, JobState::Idle);
    let (first, second) = tokio::join!(ask(&other, "asked"), async {
        tokio::time::sleep(MINUTE / 2).await;
        assert_eq!(daemon.runner.view()[0].state, JobState::Running);
        ask(&other, "asked").await
    });
    assert_eq!((first.outcome, first.token), (Some(Outcome::Succeeded), daemon.store.token()));
    assert_eq!(
        (second.outcome, second.error.as_deref()),
        (Some(Outcome::Skipped), Some("asked is running already"))
    );
    let needed = ask(&other, "slow").await;
    let why = Some("slow runs when a stream needs it, and not by hand");
    assert_eq!((needed.outcome, needed.error.as_deref()), (Some(Outcome::Skipped), why));

    // Nobody knows it here: it is left to whoever does.
    let named = other.request_run("unknown").await.unwrap();
    tokio::time::sleep(MINUTE).await;
    assert_eq!(other.requested_runs().await.unwrap(), [("unknown".to_owned(), named)]);
    daemon.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_skipped_says_why() {
    let scene = Scene::new();
    let daemon = scene.daemon(1).await;
    let long = Spec { grace_ms: 60_000, ..spec("long", "every 10m") };
    daemon.runner.plan(long, Work::taking(14 * MINUTE)).await.unwrap();
    tokio::time::sleep(35 * MINUTE).await;
    let rows = daemon.history("long").await;
    let skipped: Vec<_> = rows.iter().filter(|row| row.outcome == Some(Outcome::Skipped)).collect();
    assert_eq!(skipped.len(), 1, "{rows:?}");
    assert_eq!(skipped[0].planned, START + 20 * 60_000);
    assert_eq!(skipped[0].error.as_deref(), Some("an earlier run had not ended"));
    assert_eq!(work_of(&rows), 2, "the others ran: {rows:?}");
    daemon.stop().await;
}

fn work_of(rows: &[Row]) -> usize {
    rows.iter().filter(|row| row.outcome != Some(Outcome::Skipped)).count()
}
