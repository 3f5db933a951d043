//! The history of jobs: what a store keeps of each planned run, so that two processes never do the same one.

use serde::{Deserialize, Serialize};

use crate::store::Holder;
use crate::{TimeMs, Token};

/// How a run ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It did what it had to.
    Succeeded,
    /// It did not, and may be attempted again.
    Failed,
    /// Its time limit ended it.
    TimedOut,
    /// The process stopped.
    Stopped,
    /// It did not begin; the error says why. Whoever can may still begin it.
    Skipped,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Succeeded, Self::Failed, Self::TimedOut, Self::Stopped, Self::Skipped];

    /// Its name in tables and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Stopped => "stopped",
            Self::Skipped => "skipped",
        }
    }
}

/// What a run came to.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Report {
    /// How it ended.
    pub outcome: Outcome,
    /// Rows inserted.
    pub rows: u64,
    /// Request weight spent.
    pub weight: u64,
    /// What went wrong, in words.
    pub error: Option<String>,
}

impl Report {
    /// It did not begin, and why.
    #[must_use]
    pub fn skipped(why: &impl std::fmt::Display) -> Self {
        Self { outcome: Outcome::Skipped, rows: 0, weight: 0, error: Some(why.to_string()) }
    }
}

/// The answer to the wish to begin a planned run.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Begun {
    /// It is this session's to run; which attempt this is, from 1.
    Yes(u32),
    /// It succeeded already.
    Done,
    /// A living process has begun it.
    Elsewhere(Holder),
}

/// A run, for people.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Row {
    /// The job.
    pub job: String,
    /// When it was planned, ms.
    pub planned: TimeMs,
    /// Which attempt this is, from 1; 0 while it is only asked for.
    pub attempt: u32,
    /// The session that runs it, or asks for it.
    pub token: Token,
    /// When the attempt began, or was asked for, ms.
    pub started: TimeMs,
    /// When it ended, ms; none while it runs, or where its process died.
    pub ended: Option<TimeMs>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// Rows inserted.
    pub rows: u64,
    /// Request weight spent.
    pub weight: u64,
    /// What went wrong, in words.
    pub error: Option<String>,
}
