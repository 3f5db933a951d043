//! What runs, and what somebody should look at.
//!
//! What lives here: [`Observation`], what a process is seen to do at one moment; [`Registry`], the table of everything
//! that runs, made of observations; [`Monitor`], the machine that says which alert rises, stands and resolves; and
//! [`judge`], which says whether data is received.
//! What does not: looking (`hl-engine` makes the observations), telling anybody (the engine, the programs), and the words
//! of alerts themselves ([`hl_core::alert`]). Nothing here reads a clock.

// Those who read a process's words may go away: printing would end it with a panic.
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod band;
mod events;
mod flapping;
mod health;
mod monitor;
mod observation;
mod process;
mod progress;
mod reception;
mod standing;
#[cfg(test)]
mod tests;

pub use band::{Band, Verdict};
pub use health::{Health, STALE_MS};
pub use monitor::{AlertChange, Monitor};
pub use observation::{
    JobSeen, Observation, Peer, QuarantineSeen, RestSeen, SessionSeen, StreamSeen, UnreadableSeen, WriterSeen,
};
pub use process::{Process, ProcessKind, ProcessNote, Registry, Sample, State};
pub use reception::{Heard, Reception, TotalReception, Ways, judge, of_stream};
