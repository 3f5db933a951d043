//! WebSocket: subscriptions, pushes, limits and liveness as the exchange has them.
//!
//! `topic` says what can be subscribed, `hub` holds the open sockets and is the one way out to them, `requests`
//! answers what clients send, `push` turns blocks into frames, `session` moves bytes. No decision about the market
//! lives here.

pub(crate) mod hub;
pub(crate) mod push;
pub(crate) mod requests;
pub(crate) mod session;
pub(crate) mod topic;
mod user;
