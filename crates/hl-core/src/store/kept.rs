//! What a store keeps beside the streams: runs of jobs, notes, statistics, alerts.

use super::StoreError;
use super::layer::role;
use crate::TimeMs;
use crate::alert::Alert;
use crate::runs::{Begun, Report, Row};
use crate::seam::BoxFuture;
use crate::statistics::Figure;

/// The note that says of which network a store holds data.
pub const NETWORK: &str = "network";

role! {
    /// Runs of planned jobs: each is begun by one process.
    pub trait Runs {
        /// Begins the run of `job` that was planned for `planned`, unless it succeeded already or a living process has begun
        /// it. What a dead process has begun, or any process has failed at, is begun anew. Runs of more than 30 days ago are
        /// forgotten, but for the newest of each job.
        fn begin_run<'a>(&'a self, job: &'a str, planned: TimeMs) -> BoxFuture<'a, Result<Begun, StoreError>>;

        /// Ends a run that this session has begun; changes nothing where it has not.
        fn end_run<'a>(
            &'a self,
            job: &'a str,
            planned: TimeMs,
            report: Report,
        ) -> BoxFuture<'a, Result<(), StoreError>>;

        /// Requests a run of `job` outside its plan, from any process that knows the job, and returns the time that names the
        /// run. Void once this session ends; [`Self::end_run`] takes it back as long as no process has begun it.
        fn request_run<'a>(&'a self, job: &'a str) -> BoxFuture<'a, Result<TimeMs, StoreError>>;

        /// Runs that living sessions request and that no process has begun, by job and the time that names them, the oldest
        /// first.
        fn requested_runs(&self) -> BoxFuture<'_, Result<Vec<(String, TimeMs)>, StoreError>>;

        /// The newest runs of a job, or of all, newest first.
        fn runs<'a>(&'a self, job: Option<&'a str>, most: u32) -> BoxFuture<'a, Result<Vec<Row>, StoreError>>;
    }
}

role! {
    /// Small texts under names.
    pub trait Notes {
        /// Keeps a small text under a name: the cached universe, the status of a running daemon. A note `<name>/<token>` is gone
        /// with its session.
        fn put_note<'a>(&'a self, name: &'a str, text: &'a str) -> BoxFuture<'a, Result<(), StoreError>>;

        /// Reads what [`Self::put_note`] kept.
        fn note<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<String>, StoreError>>;
    }
}

role! {
    /// Series of daily statistics.
    pub trait Statistics {
        /// Adds figures to a series of statistics; one that is there already stays. With `through`, the series is complete up to
        /// that day, its first millisecond. Returns how many are new.
        fn put_statistics<'a>(
            &'a self,
            series: &'a str,
            figures: Vec<Figure>,
            through: Option<TimeMs>,
        ) -> BoxFuture<'a, Result<u64, StoreError>>;

        /// Up to which day a series of statistics is complete; none where it was never read to its end.
        fn statistics_through<'a>(&'a self, series: &'a str)
        -> BoxFuture<'a, Result<Option<TimeMs>, StoreError>>;
    }
}

role! {
    /// The alerts of this session.
    pub trait Alerts {
        /// Keeps an alert of this session as it stands now: a new row, or the one of the same kind, subject and time of rise.
        /// Alerts that ended more than 90 days ago are forgotten. One that is open when its session ends is resolved then.
        fn put_alert<'a>(&'a self, alert: &'a Alert) -> BoxFuture<'a, Result<(), StoreError>>;
    }
}
