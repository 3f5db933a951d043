//! The WebSocket source: a pool of slots, each with one socket at most.
//!
//! - [`session`]: the subscription session of one slot as a pure machine; it outlives its sockets.
//! - [`rhythm`]: how long a stream may be silent, learnt from itself.
//! - [`trials`]: which name ends sockets, found out on a socket of its own; what is guilty is left alone for a while.
//! - [`listings`]: whether a coin is listed, asked before anything is subscribed anew.
//! - `connects`: when a socket may be opened, so that all together stay within what the exchange grants.
//! - [`Connection`]: one socket, from handshake to close, reading in a task of its own.
//! - `message`: whole messages out of frames, bounded.
//! - [`plan`]: which streams get a place in which slot.
//! - [`pool`]: the tasks, and the [`DataSource`](hl_core::source::DataSource).
//!
//! What does not live here: who owns a stream, and what is stored.

mod connection;
mod connects;
mod delay;
pub mod listings;
mod message;
pub mod plan;
pub mod pool;
pub mod rhythm;
pub mod session;
pub mod trials;

pub use connection::{Connection, ConnectionError, End, Incoming};
pub use pool::{SocketView, WsOptions, WsPool};
pub use trials::Quarantined;
