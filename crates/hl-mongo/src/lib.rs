//! The MongoDB store, for those who outgrow one machine: several processes share one database, and each stream has one
//! writer.
//!
//! [`MongoStore`] is a session that writes, [`MongoInspect`] reads. Every session has one document, its *lease*, and every
//! batch is one transaction with it, so that the server itself refuses a writer whose lease was taken away. What a
//! batch does to the ledger of a stream is decided by [`hl_core::ledger::sheet`]; `sheet` adds its bars, `rows` is the shape of rows.
//!
//! The server has to be a replica set, of one member if need be. A standalone server has no transactions: it serves one
//! process at a time.

// Those who read a process's words may go away: printing would end it with a panic.
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod alerts;
mod archive;
mod audit;
mod commit;
mod documents;
mod error;
mod inspect;
mod known;
mod leases;
mod ledger;
mod notes;
pub mod original;
mod reading;
mod rows;
mod runs;
mod schema;
mod session;
mod sheet;
mod statistics;
mod store;
mod transfer;
mod tx;
mod weight;

pub use error::MongoError;
pub use inspect::MongoInspect;
pub use store::{DATABASE, MongoOptions, MongoStore};
