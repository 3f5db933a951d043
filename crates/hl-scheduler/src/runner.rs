use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hl_core::seam::{BoxFuture, sleep_until, stopped};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Something that is done at its time.
pub trait Job: Send + Sync + 'static {
    /// Its unique name.
    fn id(&self) -> &'static str;

    /// When it is due next; none while there is nothing for it to do. Asked again after every run and every
    /// [`Runner::wake`].
    fn next_due(&self) -> Option<Instant>;

    /// Does what is due. Dropped at any await when the runner stops.
    fn run(&self) -> BoxFuture<'_, ()>;
}

/// What a job is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum JobState {
    /// It runs now.
    Running,
    /// It will run when its time comes.
    Due,
    /// There is nothing for it to do: the selector wants none of its streams.
    Withdrawn,
}

/// A job, for people.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct JobView {
    /// Its name.
    pub id: &'static str,
    /// What it is doing.
    pub state: JobState,
    /// How often it ran.
    pub runs: u64,
}

/// Another job has the id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a job with the id {0:?} is registered already")]
pub struct RegisterError(pub &'static str);

struct Entry {
    job: Arc<dyn Job>,
    running: bool,
    runs: u64,
}

/// Runs jobs: one instance each; a run that comes due while the job runs happens once, right after.
#[derive(Default)]
pub struct Runner {
    jobs: Mutex<BTreeMap<&'static str, Entry>>,
    woken: Notify,
}

impl Runner {
    /// A runner without jobs.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn jobs(&self) -> MutexGuard<'_, BTreeMap<&'static str, Entry>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a job.
    ///
    /// # Errors
    /// When another job has its id.
    pub fn register(&self, job: Arc<dyn Job>) -> Result<(), RegisterError> {
        let id = job.id();
        let mut jobs = self.jobs();
        if jobs.contains_key(id) {
            return Err(RegisterError(id));
        }
        jobs.insert(id, Entry { job, running: false, runs: 0 });
        drop(jobs);
        self.wake();
        Ok(())
    }

    /// Something changed: ask every job again when it is due.
    pub fn wake(&self) {
        self.woken.notify_one();
    }

    /// Every job, by id.
    pub fn view(&self) -> Vec<JobView> {
        let view = |(id, entry): (&&'static str, &Entry)| JobView {
            id,
            state: match (entry.running, entry.job.next_due()) {
                (true, _) => JobState::Running,
                (false, Some(_)) => JobState::Due,
                (false, None) => JobState::Withdrawn,
            },
            runs: entry.runs,
        };
        self.jobs().iter().map(view).collect()
    }

    /// Runs until `stop` turns true; what runs then is dropped.
    pub async fn run(&self, mut stop: watch::Receiver<bool>) {
        let mut running = JoinSet::new();
        loop {
            let now = Instant::now();
            let mut next = None;
            for (id, entry) in self.jobs().iter_mut().filter(|(_, entry)| !entry.running) {
                match entry.job.next_due() {
                    Some(due) if due <= now => {
                        entry.running = true;
                        entry.runs += 1;
                        let (id, job) = (*id, entry.job.clone());
                        running.spawn(async move {
                            job.run().await;
                            id
                        });
                    }
                    Some(due) => next = Some(next.map_or(due, |next: Instant| next.min(due))),
                    None => {}
                }
            }
            tokio::select! {
                biased;
                () = stopped(&mut stop) => break,
                Some(done) = running.join_next() => match done {
                    Ok(id) => {
                        if let Some(entry) = self.jobs().get_mut(id) {
                            entry.running = false;
                        }
                    }
                    // A panic is a bug of that job; it must not stop the others, nor run twice.
                    Err(error) => tracing::error!(%error, "a job panicked; it is not run again"),
                },
                () = self.woken.notified() => {}
                () = sleep_until(next) => {}
            }
        }
        running.shutdown().await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use super::*;

    /// Due every second; a run takes three.
    struct Slow {
        next: Mutex<Instant>,
        inside: AtomicU64,
        most: AtomicU64,
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
                let inside = self.inside.fetch_add(1, Ordering::SeqCst) + 1;
                self.most.fetch_max(inside, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_secs(3)).await;
                let mut next = self.next.lock().unwrap();
                *next = (*next).max(Instant::now());
                self.inside.fetch_sub(1, Ordering::SeqCst);
            })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_instance_and_missed_runs_coalesce() {
        let runner = Arc::new(Runner::new());
        let job = Arc::new(Slow {
            next: Mutex::new(Instant::now()),
            inside: AtomicU64::new(0),
            most: AtomicU64::new(0),
        });
        runner.register(job.clone()).unwrap();
        assert_eq!(runner.register(job.clone()), Err(RegisterError("slow")));
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn({
            let runner = runner.clone();
            async move { runner.run(stopped).await }
        });
        tokio::time::sleep(Duration::from_secs(10)).await;
        stop.send(true).unwrap();
        task.await.unwrap();
        assert_eq!(job.most.load(Ordering::SeqCst), 1, "never two instances");
        assert_eq!(runner.view()[0].runs, 4, "10 s of a 3 s job that is due every second");
    }
}
