//! The WebSocket source: a pool of slots, each with one socket at most.
//!
//! - [`session`]: the subscription session of one slot as a pure machine; it outlives its sockets.
//! - [`rhythm`]: how long a stream may be silent, learnt from itself.
//! - [`Connection`]: one socket, from handshake to close, reading in a task of its own.
//! - `message`: whole messages out of frames, bounded.
//! - [`plan`]: which streams get a place in which slot.
//! - [`pool`]: the tasks, and the [`DataSource`](hl_core::source::DataSource).
//!
//! What does not live here: who owns a stream, and what is stored.

mod connection;
mod delay;
mod message;
pub mod plan;
pub mod pool;
pub mod rhythm;
pub mod session;

pub use connection::{Connection, ConnectionError, End, Incoming};
pub use pool::{SocketView, WsOptions, WsPool};
