//! What a planned job does, and one attempt at it.

use std::sync::Arc;
use std::time::Duration;

use hl_core::TimeMs;
use hl_core::runs::{Begun, Outcome, Report};
use hl_core::seam::BoxFuture;
use hl_core::store::{Runs, StoreError};
use tracing::{debug, info, warn};

use super::Ready;
use crate::plan::{Ended, JobId};

/// What a run came to.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Done {
    /// Rows inserted.
    pub rows: u64,
    /// Request weight spent.
    pub weight: u64,
}

/// A run failed; the words say at what.
#[derive(Debug, thiserror::Error)]
#[error("{step}: {source}")]
pub struct TaskError {
    /// The step that failed, in words.
    pub step: &'static str,
    /// The cause.
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// What a planned job does.
pub trait Task: Send + Sync + 'static {
    /// Does what was planned for `planned`. Dropped at any await when its time is over, or the runner stops.
    fn run(&self, planned: TimeMs) -> BoxFuture<'_, Result<Done, TaskError>>;
}

/// One attempt: begun in the store, so that nobody else begins it, done, and written down.
pub(super) async fn attempt(store: Arc<dyn Runs>, ready: Ready) -> Ended {
    let Ready { start, spec, task } = ready;
    let id = start.id.as_str();
    let number = match store.begin_run(id, start.planned).await {
        Ok(Begun::Yes(number)) => number,
        Ok(Begun::Done) => return Ended::Succeeded,
        Ok(Begun::Elsewhere(holder)) => {
            debug!(job = id, planned = %start.planned, token = holder.token.0, pid = holder.pid, "another process runs it");
            return Ended::Elsewhere;
        }
        Err(error) => {
            warn!(job = id, %error, "a run could not be begun");
            return Ended::Failed;
        }
    };
    let limit = Duration::from_millis(u64::try_from(spec.limit_ms).unwrap_or(0));
    let failed = |outcome, error| Report { outcome, rows: 0, weight: 0, error: Some(error) };
    let report = match tokio::time::timeout(limit, task.run(start.planned)).await {
        Ok(Ok(Done { rows, weight })) => Report { outcome: Outcome::Succeeded, rows, weight, error: None },
        Ok(Err(error)) => failed(Outcome::Failed, error.to_string()),
        Err(_) => failed(Outcome::TimedOut, format!("it did not end within {limit:?}")),
    };
    let ended = if report.outcome == Outcome::Succeeded { Ended::Succeeded } else { Ended::Failed };
    match &report.error {
        Some(error) => warn!(job = id, attempt = number, error, "a run failed"),
        None => info!(job = id, rows = report.rows, missed = start.missed, "a run succeeded"),
    }
    if let Err(error) = store.end_run(id, start.planned, report).await {
        warn!(job = id, %error, "how a run ended could not be written down");
    }
    ended
}

/// Writes down that a run did not begin.
pub(super) async fn skip(store: &dyn Runs, id: &JobId, planned: TimeMs, why: &str) {
    let told = async {
        // Who has done it already, or does it, knows better.
        if let Begun::Yes(_) = store.begin_run(id.as_str(), planned).await? {
            store.end_run(id.as_str(), planned, Report::skipped(&why)).await?;
        }
        Ok::<_, StoreError>(())
    };
    if let Err(error) = told.await {
        warn!(job = %id, %error, "that a run was skipped could not be written down");
    }
}

/// What is asked for.
pub(super) async fn asked(store: &dyn Runs) -> Vec<(String, TimeMs)> {
    store.requested_runs().await.unwrap_or_else(|error| {
        warn!(%error, "which runs are requested could not be read");
        Vec::new()
    })
}
