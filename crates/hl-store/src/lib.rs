//! Stores: where rows and the coverage ledger live, and the spool that stands before every store.
//!
//! The contract is [`hl_core::store::Store`]; reading for people is [`Inspect`]. No decision about claims, joins or
//! gaps is made here: a store applies batches, all or nothing, and refuses what its lease does not allow.

// Those who read a process's words may go away: printing would end it with a panic.
#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod checks;
#[cfg(feature = "conformance")]
pub mod conformance;
mod import;
mod inspect;
pub mod rules;
mod spool;
mod sqlite;
pub mod transfer;
mod writer;

pub use checks::{Finding, LedgerCheck};
pub use import::{Import, Ours};
pub use inspect::{AlertRow, Audit, CoverageRow, GapRow, Inspect, LeaseRow, Problem, StreamRow};
pub use spool::{MAX_SPOOLS, Spool};
pub use sqlite::{
    BackedUp, BackupProgress, Nameless, SqliteError, SqliteInspect, SqliteOptions, SqliteStore, host_name,
};
pub use writer::{Worker, Writer};
