//! The machine that says which run starts, which is skipped and why, and when somebody should look.

use std::collections::BTreeMap;

use hl_core::TimeMs;
use hl_core::seam::Seed;

use super::{JobId, Spec, SpecError};

/// A clock that went back by more than this was set, ms: planned times come again, and the store refuses those that ran.
const SET_BACK_MS: i64 = 60_000;
/// Missed times are counted no further than this.
const MOST_MISSED: u32 = 1_000;
/// After so many planned runs in a row without a success somebody is told.
const WARN_AFTER: u32 = 3;

/// A run that has to start now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Start {
    /// Names the run inside this process.
    pub run: u64,
    /// The job.
    pub id: JobId,
    /// When it was planned; for one that was asked for, what it is called.
    pub planned: TimeMs,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// How many planned times before it were missed, and are made up for by this run.
    pub missed: u32,
    /// Whether somebody asked for it, outside its plan.
    pub by_hand: bool,
}

/// Why a planned run is skipped.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, thiserror::Error)]
pub enum Why {
    /// Nobody asked in time: the process, or the machine, was not running.
    #[error("its time was long past")]
    Late,
    /// As many instances as may be were running all the time.
    #[error("an earlier run had not ended")]
    Busy,
    /// A job that it waits for did not end in time.
    #[error("it waits for {0}, which had not ended")]
    Waiting(JobId),
    /// A job that it waits for was skipped, or failed.
    #[error("it waits for {0}, which did not succeed")]
    Failed(JobId),
    /// A job that it waits for is run by another process.
    #[error("it waits for {0}, which another process runs")]
    Elsewhere(JobId),
}

/// What is to be done, or to be told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Decision {
    /// Start a run.
    Start(Start),
    /// A planned run does not happen.
    Skip {
        /// The job.
        id: JobId,
        /// When it was planned.
        planned: TimeMs,
        /// Why.
        why: Why,
    },
    /// Several planned runs in a row did not succeed. Told once, until one does.
    Warn {
        /// The job.
        id: JobId,
        /// So many.
        times: u32,
        /// Why the last one was skipped; none where it ran and failed.
        why: Option<Why>,
    },
    /// A job that was warned of has succeeded.
    Calm {
        /// The job.
        id: JobId,
    },
}

/// How a run ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// It did what it had to.
    Succeeded,
    /// It did not.
    Failed,
    /// It never began: another process had begun the same planned run.
    Elsewhere,
}

/// A run that was asked for and cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is no such job.
    #[error("there is no job {0}; `hl-cli jobs list` shows all")]
    Unknown(JobId),
    /// It runs.
    #[error("{0} is running already")]
    Running(JobId),
    /// It is not planned.
    #[error("{0} runs when a stream needs it, and not by hand")]
    Needed(JobId),
}

/// A planned run that has not begun.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Waiting {
    planned: TimeMs,
    /// When it may begin, and when it is given up.
    due: TimeMs,
    limit: TimeMs,
    attempts: u32,
    missed: u32,
    /// What keeps it from beginning.
    blocked: Option<Why>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Running {
    planned: TimeMs,
    attempt: u32,
    by_hand: bool,
}

/// What is stored of a job's planned runs, by any process.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Ran {
    /// The newest planned time that was run, however it went.
    pub last: Option<TimeMs>,
    /// The newest one of which a run succeeded.
    pub succeeded: Option<TimeMs>,
}

/// How the newest planned run that is over went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Past {
    planned: TimeMs,
    ended: Ended,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Job {
    spec: Spec,
    /// Planned times up to here have been looked at.
    seen: TimeMs,
    waiting: Option<Waiting>,
    running: BTreeMap<u64, Running>,
    past: Option<Past>,
    /// Planned runs since the last one that succeeded.
    in_vain: u32,
    warned: bool,
}

/// Decides when jobs run. Times are exchange time, which never goes back by much; where it does, because a system clock was
/// believed and then corrected, planned times come again.
#[derive(Clone, Debug)]
pub struct Planner {
    seed: Seed,
    jobs: BTreeMap<JobId, Job>,
    last_run: u64,
}

impl Planner {
    /// A planner without jobs. `seed` decides the jitter.
    #[must_use]
    pub fn new(seed: Seed) -> Self {
        Self { seed, jobs: BTreeMap::new(), last_run: 0 }
    }

    /// Adds a job, or replaces the one with its name: what runs goes on, and counts against the new limits. Times after the last
    /// that was run, which were missed, are made up for. Returns whether a job was replaced.
    ///
    /// # Errors
    /// When it waits for a job that is not there, or for itself.
    pub fn register(&mut self, now: TimeMs, spec: Spec, ran: Ran) -> Result<bool, SpecError> {
        if let Some(after) =
            spec.after.iter().find(|after| **after != spec.id && !self.jobs.contains_key(after))
        {
            return Err(SpecError::Unknown { id: spec.id, after: after.clone() });
        }
        if spec.after.iter().any(|after| self.waits_for(after, &spec.id)) {
            return Err(SpecError::Circle(spec.id));
        }
        let id = spec.id.clone();
        let at_start = matches!(spec.trigger, super::Trigger::AtStart);
        let at_once = spec.first_at_once && ran.succeeded.is_none();
        let replaced = if let Some(job) = self.jobs.get_mut(&id) {
            if job.spec.trigger != spec.trigger {
                (job.seen, job.waiting) = (now, None);
            }
            job.spec = spec;
            true
        } else {
            let seen = ran.last.map_or(now, |last| last.min(now));
            let past = ran.succeeded.map(|planned| Past { planned, ended: Ended::Succeeded });
            let waiting = (at_start || at_once).then(|| self.waiting(&spec, now, 0));
            // Jitter spreads what many processes plan for one time. This they did not.
            let waiting =
                waiting.map(|waiting| if at_once { Waiting { due: now, ..waiting } } else { waiting });
            let job = Job { spec, seen, waiting, running: BTreeMap::new(), past, in_vain: 0, warned: false };
            self.jobs.insert(id, job);
            false
        };
        Ok(replaced)
    }

    fn waits_for(&self, id: &JobId, whom: &JobId) -> bool {
        let after = || self.jobs.get(id).into_iter().flat_map(|job| &job.spec.after);
        id == whom || after().any(|after| self.waits_for(after, whom))
    }

    fn waiting(&self, spec: &Spec, planned: TimeMs, missed: u32) -> Waiting {
        let jitter_ms = self.seed.rng(&format!("{} {planned}", spec.id)).i64(0..=spec.jitter_ms.max(0));
        let due = planned + jitter_ms;
        Waiting { planned, due, limit: due + spec.grace_ms, attempts: 0, missed, blocked: None }
    }

    /// When to call [`Planner::tick`] next; none while nothing is planned.
    #[must_use]
    pub fn next(&self) -> Option<TimeMs> {
        let of = |job: &Job| {
            let waiting = job.waiting.as_ref().map(|waiting| match waiting.blocked {
                Some(_) => waiting.limit + 1,
                None => waiting.due,
            });
            [job.spec.trigger.after(job.seen), waiting].into_iter().flatten().min()
        };
        self.jobs.values().filter_map(of).min()
    }

    /// When the next run of a job is planned; none where nobody plans one.
    #[must_use]
    pub fn planned(&self, id: &JobId) -> Option<TimeMs> {
        let job = self.jobs.get(id)?;
        let waiting = job.waiting.as_ref().map(|waiting| waiting.planned);
        waiting.or_else(|| job.spec.trigger.after(job.seen))
    }

    /// Whether a job runs.
    #[must_use]
    pub fn is_running(&self, id: &JobId) -> bool {
        self.jobs.get(id).is_some_and(|job| !job.running.is_empty())
    }

    /// Time has come to `now`.
    pub fn tick(&mut self, now: TimeMs) -> Vec<Decision> {
        let mut decisions = Vec::new();
        let ids: Vec<_> = self.jobs.keys().cloned().collect();
        for id in &ids {
            self.plan(now, id);
        }
        // What one job is skipped for may let another go, or not: those that are waited for come first.
        for id in self.in_order() {
            self.begin(now, &id, &mut decisions);
        }
        decisions
    }

    /// The jobs, each after those that it waits for.
    fn in_order(&self) -> Vec<JobId> {
        fn add(planner: &Planner, id: &JobId, order: &mut Vec<JobId>) {
            if order.contains(id) {
                return;
            }
            for after in planner.jobs.get(id).into_iter().flat_map(|job| &job.spec.after) {
                add(planner, after, order);
            }
            order.push(id.clone());
        }
        let mut order = Vec::new();
        self.jobs.keys().for_each(|id| add(self, id, &mut order));
        order
    }

    /// Notes what has come due by plan.
    fn plan(&mut self, now: TimeMs, id: &JobId) {
        let Some(job) = self.jobs.get(id) else { return };
        let (mut seen, spec) = (job.seen, &job.spec);
        let was_set_back = now + SET_BACK_MS < seen;
        if was_set_back {
            seen = now;
        }
        let due = spec.trigger.until(now).filter(|newest| *newest > seen).map(|newest| {
            let missed = spec.trigger.count(seen, newest, MOST_MISSED).saturating_sub(1);
            self.waiting(spec, newest, missed)
        });
        let Some(job) = self.jobs.get_mut(id) else { return };
        job.seen = seen;
        if was_set_back {
            job.waiting = None;
        }
        if let Some(due) = due {
            job.seen = due.planned;
            let before = job.waiting.take().map_or(0, |before| before.missed + 1);
            job.waiting = Some(Waiting { missed: due.missed.saturating_add(before).min(MOST_MISSED), ..due });
        }
    }

    /// Starts or skips what waits, if it is time.
    fn begin(&mut self, now: TimeMs, id: &JobId, decisions: &mut Vec<Decision>) {
        let Some(job) = self.jobs.get(id) else { return };
        let Some(waiting) = job.waiting.as_ref().filter(|waiting| waiting.due <= now) else { return };
        let planned = waiting.planned;
        let blocked = self.blocked(job, planned);
        let is_late = waiting.limit < now;
        let skipped = match &blocked {
            Some(why @ (Why::Failed(_) | Why::Elsewhere(_))) => Some(why.clone()),
            // Where a run waited for its turn until its time was over, what it waited for is the reason.
            Some(why) if is_late => Some(why.clone()),
            None if is_late => Some(Why::Late),
            _ => None,
        };
        let Some(job) = self.jobs.get_mut(id) else { return };
        if let Some(why) = skipped {
            job.waiting = None;
            let ended = if matches!(why, Why::Elsewhere(_)) { Ended::Elsewhere } else { Ended::Failed };
            decisions.push(Decision::Skip { id: id.clone(), planned, why: why.clone() });
            job.over(planned, ended, Some(why), decisions);
        } else if blocked.is_some() {
            if let Some(waiting) = &mut job.waiting {
                waiting.blocked = blocked;
            }
        } else if let Some(Waiting { attempts, missed, .. }) = job.waiting.take() {
            self.last_run += 1;
            let (run, attempt) = (self.last_run, attempts + 1);
            job.running.insert(run, Running { planned, attempt, by_hand: false });
            let start = Start { run, id: id.clone(), planned, attempt, missed, by_hand: false };
            decisions.push(Decision::Start(start));
        }
    }

    /// What keeps a planned run from beginning.
    fn blocked(&self, job: &Job, planned: TimeMs) -> Option<Why> {
        if job.running.len() >= job.spec.instances.max(1) as usize {
            return Some(Why::Busy);
        }
        job.spec.after.iter().find_map(|id| {
            let before = self.jobs.get(id)?;
            // The last run that was planned for before this one, or the only one.
            let newest = before.spec.trigger.until(planned);
            let done = before.past.filter(|past| newest.is_none_or(|newest| newest <= past.planned));
            match done.map(|past| past.ended) {
                Some(Ended::Succeeded) => None,
                Some(Ended::Failed) => Some(Why::Failed(id.clone())),
                Some(Ended::Elsewhere) => Some(Why::Elsewhere(id.clone())),
                None => Some(Why::Waiting(id.clone())),
            }
        })
    }

    /// A run ended. What waited for it is decided at the next tick, which is due at once.
    pub fn ended(&mut self, now: TimeMs, run: u64, ended: Ended) -> Vec<Decision> {
        let mut decisions = Vec::new();
        let job = self.jobs.values_mut().find(|job| job.running.contains_key(&run));
        let Some((job, over)) = job.and_then(|job| job.running.remove(&run).map(|over| (job, over))) else {
            return decisions;
        };
        let retry = job.spec.retry;
        if !over.by_hand {
            let again = ended == Ended::Failed && over.attempt < retry.attempts && job.waiting.is_none();
            if again {
                let due = now + retry.pause_ms(over.attempt);
                let limit = due + job.spec.grace_ms;
                let (planned, attempts) = (over.planned, over.attempt);
                job.waiting = Some(Waiting { planned, due, limit, attempts, missed: 0, blocked: None });
            } else {
                job.over(over.planned, ended, None, &mut decisions);
            }
        }
        for job in self.jobs.values_mut() {
            if let Some(waiting) = &mut job.waiting {
                waiting.blocked = None;
            }
        }
        decisions.extend(self.tick(now));
        decisions
    }

    /// Somebody asks for a run outside the plan, and calls it `named`.
    ///
    /// # Errors
    /// When there is no such job, or as many instances run as may.
    pub fn ask(&mut self, named: TimeMs, id: &JobId) -> Result<Start, Refused> {
        let job = self.jobs.get_mut(id).ok_or_else(|| Refused::Unknown(id.clone()))?;
        if job.running.len() >= job.spec.instances.max(1) as usize {
            return Err(Refused::Running(id.clone()));
        }
        self.last_run += 1;
        let run = self.last_run;
        job.running.insert(run, Running { planned: named, attempt: 1, by_hand: true });
        Ok(Start { run, id: id.clone(), planned: named, attempt: 1, missed: 0, by_hand: true })
    }
}

impl Job {
    /// A planned run is over.
    fn over(&mut self, planned: TimeMs, ended: Ended, why: Option<Why>, decisions: &mut Vec<Decision>) {
        if self.past.is_none_or(|past| past.planned <= planned) {
            self.past = Some(Past { planned, ended });
        }
        let id = self.spec.id.clone();
        if ended == Ended::Failed {
            self.in_vain += 1;
            if self.in_vain >= WARN_AFTER && !self.warned {
                self.warned = true;
                decisions.push(Decision::Warn { id, times: self.in_vain, why });
            }
        } else {
            self.in_vain = 0;
            if std::mem::take(&mut self.warned) {
                decisions.push(Decision::Calm { id });
            }
        }
    }
}
