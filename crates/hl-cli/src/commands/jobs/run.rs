//! `hl-cli jobs run`: asks the daemon on the store for a run, through the store, and waits for its end.

use std::time::Duration;

use hl_core::TimeMs;
use hl_core::runs::{Outcome, Report, Row};
use hl_core::store::Runs;
use hl_host::stores::{self, Signed};
use hl_scheduler::jobs::Known;
use hl_store::Inspect;
use indicatif::ProgressBar;
use tokio::time::Instant;

use super::{JobFailure, history, succeeded};
use crate::commands::{CommandError, Common, Shell, interruptible};
use crate::compose::{self, shutdown};
use crate::exit::Exit;
use crate::say::say;

/// What the session is called in the store.
const ROLE: &str = "hl-cli jobs run";
/// How often the store is asked what became of the run.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// A daemon asks the store every 2 s what is asked for.
const BEGIN_WITHIN: Duration = Duration::from_secs(15);
/// The newest runs, among which the one asked for is.
const NEWEST: u32 = 50;

pub(super) async fn run(job: Known, common: &Common, shell: &mut Shell<'_>) -> Result<Exit, CommandError> {
    if !job.is_planned {
        return Err(JobFailure::Needed(job.id.to_owned()).into());
    }
    let uri = shell.store(common)?;
    // A store that is not there is not made for this.
    let inspect = stores::inspect(&uri).await?;
    let is_daemon = |role: &str| role == compose::ROLE;
    if !inspect.holders().await?.iter().any(|holder| is_daemon(&holder.role)) {
        return Err(JobFailure::NoDaemon.into());
    }
    let name = shell.name(&shell.told(common, &[])?)?;
    let store = stores::open(&uri, Signed { role: ROLE, name: &name }, &shell.clock).await?;
    let mut stop = shutdown::signal();
    let progress = ProgressBar::new_spinner();
    progress.set_message(format!("{}: asked for", job.id));
    let named = store.request_run(job.id).await?;
    let waiting = wait(job.id, named, store.as_ref(), inspect.as_ref(), &progress);
    let ended = interruptible(&mut stop, || progress.tick(), waiting).await;
    progress.finish_and_clear();
    if !matches!(ended, Some(Ok(_))) {
        // Taken back, unless a daemon has begun it.
        store.end_run(job.id, named, Report::skipped(&"taken back by the command that asked for it")).await?;
    }
    store.close().await?;
    let Some(ended) = ended else {
        say!("hl-cli: interrupted; a run that was begun goes on, see `hl-cli jobs history {}`", job.id);
        return Ok(Exit::Interrupted);
    };
    let row = ended?;
    shell.answer(common, &row, &history::table(std::slice::from_ref(&row), |_| true))?;
    Ok(if succeeded(&row) { Exit::Done } else { Exit::Failed })
}

/// Waits for the end of a run.
async fn wait(
    job: &'static str,
    named: TimeMs,
    store: &dyn Runs,
    inspect: &dyn Inspect,
    progress: &ProgressBar,
) -> Result<Row, JobFailure> {
    let give_up = Instant::now() + BEGIN_WITHIN;
    loop {
        let rows = store.runs(Some(job), NEWEST).await?;
        match rows.into_iter().find(|row| row.planned == named) {
            Some(row) if row.outcome.is_some_and(|outcome| outcome != Outcome::Stopped) => return Ok(row),
            Some(row) if row.outcome.is_some() => return Err(JobFailure::Died(job.to_owned())),
            Some(row) if row.attempt > 0 => {
                progress.set_message(format!("{job}: runs"));
                // One that lives ends its runs when it stops, and one that died cannot.
                if !inspect.holders().await?.iter().any(|holder| holder.token == row.token) {
                    return Err(JobFailure::Died(job.to_owned()));
                }
            }
            _ if Instant::now() > give_up => {
                let ms = i64::try_from(BEGIN_WITHIN.as_millis()).unwrap_or(i64::MAX);
                return Err(JobFailure::NotBegun(job.to_owned(), ms));
            }
            _ => {}
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
