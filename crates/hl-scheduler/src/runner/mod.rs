//! Runs jobs at their time.
//!
//! Two kinds: a [`Job`] says itself when it is due, since that hangs on what the selector gave it; a [`Task`] is planned by
//! its [`Spec`], and the store sees to it that no planned run is done twice.

mod task;
#[cfg(test)]
mod tests;
mod trouble;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hl_core::TimeMs;
use hl_core::runs::{Outcome, Report};
use hl_core::seam::{BoxFuture, Seed, sleep_until, stopped};
use hl_core::store::{Runs, StoreError};
use serde::Serialize;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{error, info, warn};

pub use self::task::{Done, Task, TaskError};
use self::trouble::Troubles;
pub use self::trouble::{Failing, Trouble};
use crate::plan::{Decision, Ended, JobId, Planner, Ran, Refused, Spec, SpecError, Start, Why};

/// Planned times are looked at this often at least: the clock that they are told by may be corrected.
const LOOK: Duration = Duration::from_secs(30);
/// The store is asked this often for runs that somebody asks for.
const ASKED_EVERY: Duration = Duration::from_secs(2);

/// Something that is done when it is needed.
pub trait Job: Send + Sync + 'static {
    /// Its unique name.
    fn id(&self) -> &'static str;

    /// When it is due next; none while there is nothing for it to do. Asked again after every run and every
    /// [`Runner::wake`].
    fn next_due(&self) -> Option<Instant>;

    /// Does what is due. Dropped at any await when the runner stops.
    fn run(&self) -> BoxFuture<'_, ()>;

    /// What of it fails in the same way again and again; none where nothing does.
    fn failing(&self) -> Option<Failing> {
        None
    }
}

/// What a job is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// It runs now.
    Running,
    /// It will run when its time comes.
    Due,
    /// There is nothing for it to do: the selector wants none of its streams.
    Withdrawn,
    /// It runs when somebody asks.
    Idle,
}

impl JobState {
    /// The word: `running`, `due`, `withdrawn`, `idle`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Due => "due",
            Self::Withdrawn => "withdrawn",
            Self::Idle => "idle",
        }
    }
}

/// A job, for people.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct JobView {
    /// Its name.
    pub id: String,
    /// What it is doing.
    pub state: JobState,
    /// How often it ran in this process.
    pub runs: u64,
    /// When it is planned; none for a job that runs when it is needed.
    pub planned: Option<TimeMs>,
    /// Its schedule, in words; none for a job that runs when it is needed.
    pub schedule: Option<String>,
}

/// A job that cannot be registered.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// Another job has the id.
    #[error("a job with the id {0:?} is registered already")]
    Taken(String),
    /// Its plan makes no sense.
    #[error(transparent)]
    Plan(#[from] SpecError),
    /// When it ran last could not be read.
    #[error("reading when the job {id} ran last: {source}")]
    Store {
        /// The job.
        id: JobId,
        /// The cause.
        source: StoreError,
    },
}

struct Entry {
    job: Arc<dyn Job>,
    running: bool,
    runs: u64,
}

struct Planned {
    spec: Spec,
    task: Arc<dyn Task>,
    runs: u64,
}

struct State {
    jobs: BTreeMap<&'static str, Entry>,
    planner: Planner,
    planned: BTreeMap<JobId, Planned>,
    troubles: Troubles,
}

/// A planned run that begins now.
struct Ready {
    start: Start,
    spec: Spec,
    task: Arc<dyn Task>,
}

/// What ended.
enum Over {
    Job(&'static str),
    Run(u64, Ended),
    /// The store was asked what is asked for.
    Asked(Vec<(String, TimeMs)>),
    /// What became of a run that did not begin was written down.
    Told,
}

/// What is to be done now.
#[derive(Default)]
struct Now {
    starts: Vec<Ready>,
    /// Runs that do not begin, and why.
    skips: Vec<(JobId, TimeMs, String)>,
    /// When to look again.
    next: Option<Instant>,
}

/// Runs jobs: as many instances at once as each may have, and what was missed is made up for once.
pub struct Runner {
    store: Arc<dyn Runs>,
    exchange_now: Box<dyn Fn() -> TimeMs + Send + Sync>,
    state: Mutex<State>,
    woken: Notify,
}

impl Runner {
    /// A runner without jobs, whose planned times are those of `exchange_now`. `seed` decides the jitter.
    #[must_use]
    pub fn new(
        store: Arc<dyn Runs>,
        exchange_now: Box<dyn Fn() -> TimeMs + Send + Sync>,
        seed: Seed,
    ) -> Self {
        let state = Mutex::new(State {
            jobs: BTreeMap::new(),
            planner: Planner::new(seed),
            planned: BTreeMap::new(),
            troubles: Troubles::default(),
        });
        Self { store, exchange_now, state, woken: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a job that says itself when it is due.
    ///
    /// # Errors
    /// When another job has its id.
    pub fn register(&self, job: Arc<dyn Job>) -> Result<(), RegisterError> {
        let id = job.id();
        let mut state = self.state();
        if state.jobs.contains_key(id) || state.planned.contains_key(&JobId::new(id)) {
            state.troubles.registered_again(id);
            return Err(RegisterError::Taken(id.to_owned()));
        }
        state.jobs.insert(id, Entry { job, running: false, runs: 0 });
        drop(state);
        self.wake();
        Ok(())
    }

    /// Adds a planned job, or replaces the planned one with its id: what runs goes on.
    ///
    /// # Errors
    /// When a job of the other kind has its id, its plan makes no sense, or the store cannot say when it ran last.
    pub async fn plan(&self, spec: Spec, task: Arc<dyn Task>) -> Result<(), RegisterError> {
        let id = spec.id.clone();
        let last = self.store.runs(Some(id.as_str()), LAST_RUNS).await;
        let last = last.map_err(|source| RegisterError::Store { id: id.clone(), source })?;
        let ran = last.iter().filter(|run| run.attempt > 0 && run.outcome != Some(Outcome::Skipped));
        let succeeded = last.iter().filter(|run| run.outcome == Some(Outcome::Succeeded));
        let ran =
            Ran { last: ran.map(|run| run.planned).max(), succeeded: succeeded.map(|run| run.planned).max() };
        let now = (self.exchange_now)();
        let mut state = self.state();
        if state.jobs.contains_key(id.as_str()) {
            state.troubles.registered_again(id.as_str());
            return Err(RegisterError::Taken(id.to_string()));
        }
        if state.planner.register(now, spec.clone(), ran)? {
            warn!(job = %id, "a planned job was registered again; the later registration counts");
            state.troubles.registered_again(id.as_str());
        }
        let runs = state.planned.get(&id).map_or(0, |planned| planned.runs);
        state.planned.insert(id, Planned { spec, task, runs });
        drop(state);
        self.wake();
        Ok(())
    }

    /// Something changed: ask every job again when it is due.
    pub fn wake(&self) {
        self.woken.notify_one();
    }

    /// Every job, by id.
    pub fn view(&self) -> Vec<JobView> {
        let state = self.state();
        let needed = state.jobs.iter().map(|(id, entry)| JobView {
            id: (*id).to_owned(),
            state: match (entry.running, entry.job.next_due()) {
                (true, _) => JobState::Running,
                (false, Some(_)) => JobState::Due,
                (false, None) => JobState::Withdrawn,
            },
            runs: entry.runs,
            planned: None,
            schedule: None,
        });
        let planned = state.planned.iter().map(|(id, job)| {
            let planned = state.planner.planned(id);
            JobView {
                id: id.to_string(),
                state: match (state.planner.is_running(id), planned) {
                    (true, _) => JobState::Running,
                    (false, Some(_)) => JobState::Due,
                    (false, None) => JobState::Idle,
                },
                runs: job.runs,
                planned,
                schedule: Some(job.spec.trigger.to_string()),
            }
        });
        let mut view: Vec<_> = needed.chain(planned).collect();
        view.sort_by(|a, b| a.id.cmp(&b.id));
        view
    }

    /// What is wrong with jobs, by id; those of which nothing is wrong are left out.
    pub fn troubles(&self) -> BTreeMap<String, Trouble> {
        let state = self.state();
        let mut troubles = state.troubles.all();
        for (id, entry) in &state.jobs {
            if let Some(failing) = entry.job.failing() {
                troubles.entry((*id).to_owned()).or_default().failing = Some(failing);
            }
        }
        troubles
    }

    /// Runs until `stop` turns true; what runs then is dropped.
    pub async fn run(&self, mut stop: watch::Receiver<bool>) {
        let mut running = JoinSet::new();
        let mut runs = BTreeMap::new();
        let mut over = None;
        let mut ask_at = Some(Instant::now());
        loop {
            if matches!(over, Some(Over::Asked(_))) {
                ask_at = Some(Instant::now() + ASKED_EVERY);
            }
            let now = self.due(over.take(), &mut running);
            for ready in now.starts {
                let run = ready.start.run;
                runs.insert(run, ready.start.clone());
                let store = self.store.clone();
                running.spawn(async move { Over::Run(run, task::attempt(store, ready).await) });
            }
            for (id, planned, why) in now.skips {
                let store = self.store.clone();
                running.spawn(async move {
                    task::skip(store.as_ref(), &id, planned, &why).await;
                    Over::Told
                });
            }
            // Where nothing is planned, nothing can be asked for.
            let asks = ask_at.filter(|_| !self.state().planned.is_empty());
            tokio::select! {
                biased;
                () = stopped(&mut stop) => break,
                Some(done) = running.join_next() => match done {
                    Ok(ended) => {
                        if let Over::Run(run, _) = ended {
                            runs.remove(&run);
                        }
                        over = Some(ended);
                    }
                    // A panic is a bug of that job; it must not stop the others, nor run twice.
                    Err(error) => error!(%error, "a job panicked; it is not run again"),
                },
                () = self.woken.notified() => {}
                () = sleep_until(now.next) => {}
                () = sleep_until(asks) => {
                    ask_at = None;
                    let store = self.store.clone();
                    running.spawn(async move { Over::Asked(task::asked(store.as_ref()).await) });
                }
            }
        }
        running.shutdown().await;
        let stopped = Report { outcome: Outcome::Stopped, rows: 0, weight: 0, error: None };
        for start in runs.into_values() {
            if let Err(error) = self.store.end_run(start.id.as_str(), start.planned, stopped.clone()).await {
                warn!(job = %start.id, %error, "how a run ended could not be written down");
            }
        }
    }

    /// Notes what is over, starts the jobs that are due, and says what else is to be done.
    fn due(&self, over: Option<Over>, running: &mut JoinSet<Over>) -> Now {
        let (now, exchange) = (Instant::now(), (self.exchange_now)());
        let mut state = self.state();
        let (mut asked, mut skips) = (Vec::new(), Vec::new());
        let mut decisions = match over {
            Some(Over::Run(run, ended)) => state.planner.ended(exchange, run, ended),
            Some(Over::Job(id)) => {
                if let Some(entry) = state.jobs.get_mut(id) {
                    entry.running = false;
                }
                Vec::new()
            }
            Some(Over::Asked(runs)) => {
                for (job, named) in runs {
                    let id = JobId::new(&job);
                    match state.ask(named, &id) {
                        Ok(start) => asked.push(start),
                        // Another process may know it.
                        Err(Refused::Unknown(_)) => {}
                        Err(refused) => skips.push((id, named, refused.to_string())),
                    }
                }
                Vec::new()
            }
            Some(Over::Told) | None => Vec::new(),
        };
        let mut next = None;
        for (id, entry) in state.jobs.iter_mut().filter(|(_, entry)| !entry.running) {
            match entry.job.next_due() {
                Some(due) if due <= now => {
                    entry.running = true;
                    entry.runs += 1;
                    let (id, job) = (*id, entry.job.clone());
                    running.spawn(async move {
                        job.run().await;
                        Over::Job(id)
                    });
                }
                Some(due) => next = Some(next.map_or(due, |next: Instant| next.min(due))),
                None => {}
            }
        }
        decisions.extend(state.planner.tick(exchange));
        for decision in &decisions {
            state.troubles.note(decision);
            match decision {
                // Whoever runs what it waits for runs it too, and writes down what comes of it.
                Decision::Skip { why: Why::Elsewhere(_), .. } => {}
                Decision::Skip { id, planned, why } => skips.push((id.clone(), *planned, why.to_string())),
                _ => {}
            }
        }
        let starts = decisions.into_iter().filter_map(tell).chain(asked);
        let starts = starts
            .filter_map(|start| {
                let planned = state.planned.get_mut(&start.id)?;
                planned.runs += 1;
                Some(Ready { start, spec: planned.spec.clone(), task: planned.task.clone() })
            })
            .collect();
        if let Some(at) = state.planner.next() {
            let wait = Duration::from_millis(u64::try_from(at.since(exchange)).unwrap_or(0));
            let at = now + wait.min(LOOK);
            next = Some(next.map_or(at, |next| next.min(at)));
        }
        Now { starts, skips, next }
    }
}

impl State {
    fn ask(&mut self, named: TimeMs, id: &JobId) -> Result<Start, Refused> {
        if self.jobs.contains_key(id.as_str()) {
            return Err(Refused::Needed(id.clone()));
        }
        self.planner.ask(named, id)
    }
}

/// How many of the newest runs are read for the last planned time: those asked for by hand are among them.
const LAST_RUNS: u32 = 100;

/// The run to start; everything else is told.
fn tell(decision: Decision) -> Option<Start> {
    match decision {
        Decision::Start(start) => return Some(start),
        Decision::Skip { id, planned, why } => info!(job = %id, %planned, %why, "a planned run is skipped"),
        Decision::Warn { id, times, why: Some(why) } => {
            warn!(job = %id, times, %why, "a job keeps being skipped");
        }
        Decision::Warn { id, times, why: None } => warn!(job = %id, times, "a job keeps failing"),
        Decision::Calm { id } => info!(job = %id, "a job succeeds again"),
    }
    None
}
