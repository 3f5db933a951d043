//! How a job may be run.

use std::fmt;
use std::sync::Arc;

use super::Trigger;

/// The unique name of a job.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct JobId(Arc<str>);

impl JobId {
    /// A name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What happens after a run that failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Retry {
    /// How often a planned run is attempted, the first time included; at least 1.
    pub attempts: u32,
    /// The pause before the second attempt, ms. It doubles from attempt to attempt …
    pub first_ms: i64,
    /// … up to this, ms.
    pub longest_ms: i64,
}

impl Retry {
    /// One attempt.
    pub const NEVER: Self = Self { attempts: 1, first_ms: 0, longest_ms: 0 };

    /// The pause after so many attempts, ms.
    #[must_use]
    pub fn pause_ms(self, attempts: u32) -> i64 {
        let doublings = attempts.saturating_sub(1).min(32);
        self.first_ms.saturating_mul(1 << doublings).min(self.longest_ms)
    }
}

/// A job, for whoever decides when it runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Spec {
    /// Its unique name.
    pub id: JobId,
    /// When it is planned.
    pub trigger: Trigger,
    /// How many runs there may be at once; at least 1.
    pub instances: u32,
    /// How long after its planned time a run may still begin, ms. What is later is skipped. Of several planned times
    /// that were missed the last one counts.
    pub grace_ms: i64,
    /// Each planned run is put off by 0 to so many ms, always the same for the same planned time.
    pub jitter_ms: i64,
    /// After so many ms a run is ended, and has failed.
    pub limit_ms: i64,
    /// What happens after a failure.
    pub retry: Retry,
    /// Jobs whose last planned run has to have succeeded first.
    pub after: Vec<JobId>,
    /// Whether it runs at once where no run of it ever succeeded, by any process.
    pub first_at_once: bool,
}

impl Spec {
    /// One instance, an hour of grace and of running, no jitter, no second attempt, no conditions, not before its time.
    #[must_use]
    pub fn new(id: &str, trigger: Trigger) -> Self {
        Self {
            id: JobId::new(id),
            trigger,
            instances: 1,
            grace_ms: 3_600_000,
            jitter_ms: 0,
            limit_ms: 3_600_000,
            retry: Retry::NEVER,
            after: Vec::new(),
            first_at_once: false,
        }
    }
}

/// A job that cannot be planned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// It waits for a job that is not there.
    #[error("the job {id} waits for {after}, and there is no such job")]
    Unknown {
        /// The job.
        id: JobId,
        /// What it waits for.
        after: JobId,
    },
    /// It waits for itself.
    #[error("the job {0} waits for itself, through those that it waits for")]
    Circle(JobId),
}
