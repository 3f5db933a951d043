//! The pure core of the collector: what a stream is, who may collect it, and what is known about its past.
//!
//! What lives here: the vocabulary ([`StreamKey`], [`Coin`], [`TimeMs`], records, claims), the wire messages and
//! their decoding, the time lines with their joins and gaps, the selector, the subscription limits and weights,
//! and the contracts that the shells implement ([`DataSource`](source::DataSource), [`Net`](seam::Net),
//! [`Clock`](seam::Clock)).
//!
//! What does not: sockets, files, databases, clocks, randomness of its own, and tasks. Time and events come in as
//! arguments. That is what lets a test run years in seconds.

// Those who read a process's words may go away: printing would end it with a panic.
#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod alert;
pub mod archive;
pub mod backoff;
pub mod bars;
pub mod claim;
pub mod completeness;
pub mod decimal;
pub mod decode;
pub mod exchange_time;
pub mod interval;
pub mod ledger;
pub mod limits;
pub mod listing;
pub mod message;
pub mod past;
pub mod record;
pub mod row;
pub mod runs;
pub mod seam;
pub mod seeded;
pub mod selector;
pub mod source;
pub mod spread;
pub mod statistics;
pub mod store;
pub mod stream;
pub mod symbol;
pub mod thinning;
pub mod time;
pub mod timeline;

pub use claim::{Epoch, Lane, Origin, RunId, SourceId, Token};
pub use decimal::Decimal;
pub use interval::Interval;
pub use record::Records;
pub use stream::{Kind, StreamKey};
pub use symbol::{Coin, Dex};
pub use time::TimeMs;
