//! `hl-cli jobs`: what the daemon does at its time, what came of it, and a run at once.
//!
//! What lives here: how it is shown and asked for. What does not: when a job runs (`hl_scheduler::plan`), and which jobs
//! there are (`hl_scheduler::jobs`).

mod history;
mod list;
mod run;

use clap::Subcommand;
use hl_core::TimeMs;
use hl_core::runs::{Outcome, Row};
use hl_core::store::StoreError;
use hl_scheduler::jobs::{self, Known};

use super::{CommandError, Common, Shell};
use crate::config::ValueError;
use crate::exit::Exit;
use crate::human;

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  hl-cli jobs list                       every job, what it does now, and how its last run went
  hl-cli jobs run collect_funding        a run at once, by the daemon on the store
  hl-cli jobs history collect_funding    what its runs came to
  hl-cli jobs history --last 100 --json

When a planned job runs is said to the daemon: hl-daemon --job collect_funding='every 8h'.")]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Every job there is: what it does now, when it is planned, and how its last run went
    List {
        #[command(flatten)]
        common: Common,
    },
    /// Has the daemon run a planned job at once, and waits for its end
    #[command(after_help = "\
Examples:
  hl-cli jobs run collect_funding
  hl-cli jobs run collect_funding --store sqlite:./data/hyperliquid.db --json

Exit codes: 0 it succeeded, 1 it failed, or there is no daemon to run it, 2 usage, 130 interrupted.")]
    Run {
        /// The job
        #[arg(value_name = "ID")]
        id: String,
        #[command(flatten)]
        common: Common,
    },
    /// What the runs of planned jobs came to, the newest first
    History {
        /// Only this job
        #[arg(value_name = "ID")]
        id: Option<String>,
        /// So many runs
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        last: u32,
        #[command(flatten)]
        common: Common,
    },
}

/// A run by hand that did not come to be.
#[derive(Debug, thiserror::Error)]
pub(super) enum JobFailure {
    /// There is no such job.
    #[error(transparent)]
    Unknown(ValueError),
    /// Nobody can run it.
    #[error("no daemon is at work on this store; start hl-daemon on it")]
    NoDaemon,
    /// It is not for people to run.
    #[error("{0} runs when a stream needs it, and not by hand; `hl-cli jobs list` shows which are planned")]
    Needed(String),
    /// The daemon does not have it, or does not answer.
    #[error("no daemon began {0} within {after}; it may be switched off there (--job {0}=off)", after = human::length(*.1))]
    NotBegun(String, i64),
    /// The daemon that ran it died.
    #[error("the daemon that ran {0} has ended; the next one makes up for it")]
    Died(String),
    /// The store.
    #[error("the store: {0}")]
    Store(#[from] StoreError),
}

impl JobFailure {
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Unknown(_) | Self::Needed(_) => Exit::Usage,
            _ => Exit::Failed,
        }
    }
}

pub(super) async fn run(args: &Args, shell: &mut Shell<'_>) -> Result<Exit, CommandError> {
    match &args.what {
        What::List { common } => list::run(common, shell).await,
        What::Run { id, common } => run::run(known(id)?, common, shell).await,
        What::History { id, last, common } => {
            if let Some(id) = id {
                known(id)?;
            }
            history::run(id.as_deref(), *last, common, shell).await
        }
    }
}

fn known(id: &str) -> Result<Known, JobFailure> {
    let known = jobs::known();
    let found = known.iter().find(|known| known.id == id);
    found.copied().ok_or_else(|| {
        JobFailure::Unknown(ValueError::unknown("job", id, known.iter().map(|known| known.id)))
    })
}

/// How a run went, in a word or a few.
fn outcome(row: &Row, runs: impl Fn(&Row) -> bool) -> String {
    match (row.outcome, row.attempt) {
        (Some(outcome), 0..=1) => outcome.as_str().to_owned(),
        (Some(outcome), n) => format!("{} (attempt {n})", outcome.as_str()),
        (None, 0) => "asked for".to_owned(),
        (None, _) if runs(row) => "running".to_owned(),
        (None, _) => "its process died".to_owned(),
    }
}

fn moment(time: Option<TimeMs>) -> String {
    time.map_or("-".to_owned(), human::time)
}

/// Whether a run came to a good end.
fn succeeded(row: &Row) -> bool {
    row.outcome == Some(Outcome::Succeeded)
}
