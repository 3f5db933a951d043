//! Jobs: what is done at its time rather than when a frame comes.
//!
//! What lives here: a small [`Runner`] (unique ids, one instance each, missed runs coalesce), the jobs that poll where
//! the selector gave streams to REST ([`jobs`]), and filling gaps from the exchange's past ([`backfill`]), which the
//! daemon does as a job and `hl-cli backfill` once.
//!
//! What does not: requests (`hl-collectors`), and the decision who owns a stream (the selector).

// Those who read a process's words may go away: printing would end it with a panic.
#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod backfill;
pub mod jobs;
pub mod plan;
mod runner;

pub use runner::{Done, Failing, Job, JobState, JobView, RegisterError, Runner, Task, TaskError, Trouble};
