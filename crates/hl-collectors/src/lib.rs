//! Sources and pipeline: what comes from the exchange, until it is in the store.
//!
//! What lives here: the WebSocket pool ([`ws`]), the REST client and the polled source ([`rest`]), the tracker of positions ([`tracker`]), and the pipeline
//! ([`pipeline`]) from a bounded inbox over the time lines to committed batches, with the spool behind it.
//!
//! What does not: who owns a stream (the selector in `hl-core`), when jobs run (`hl-scheduler`), and how a store
//! writes (`hl-store`).

// Those who read a process's words may go away: printing would end it with a panic.
#![warn(clippy::print_stdout, clippy::print_stderr)]

/// What every request says of itself.
pub const USER_AGENT: &str = concat!("hyperliquid-collector/", env!("CARGO_PKG_VERSION"));

mod complaints;
pub mod files;
pub mod mono;
pub mod pipeline;
pub mod rest;
pub mod tracker;
mod unreadable;
pub mod ws;

pub use unreadable::Unreadable;
