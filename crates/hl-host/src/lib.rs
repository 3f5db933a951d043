//! What a host puts around an engine: the daemon and the library alike, so that neither can do more than the other.
//!
//! [`StoreUri`] is how a store is named, [`stores`] opens it, `archive` is the job that moves old rows out of it. [`http`] answers
//! requests, [`webhook`] sends every change to an address. What does not live here: configuration, the terminal, and any
//! decision about the data.

// Those who read a process's words may go away: printing would end it with a panic.
#![warn(clippy::print_stdout, clippy::print_stderr)]

#[cfg(feature = "archive")]
pub mod archive;
pub mod http;
pub mod stores;
mod uri;
pub mod webhook;

#[cfg(feature = "mongodb")]
pub use uri::MongoUri;
pub use uri::{NotAStore, StoreUri, mask};
