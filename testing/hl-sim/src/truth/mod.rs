//! The truth: what really happened in the market, for whoever verifies a collector. Never faulted, never limited.
//!
//! States (best bid and offer, mids, contexts) are kept on change; a range starts with the state that was in force
//! at its beginning. Where faults make the exchange show a row otherwise than it was, the truth stays, and `falsified` lists
//! the row. Books are kept on a grid of 490 ms, and every `l2Book` ever sent or served is one of them.

mod http;
mod records;

use serde::Serialize;

pub(crate) use http::answer;
pub use records::{Holding, Liquidation, LiquidationLeg, Moved};
pub(crate) use records::{
    bbos, books, candles, contexts, funding, liquidations, markets, mids, moved, orders, payments, positions,
    predicted_funding, rounded_books, trades,
};

use crate::replay::ReplayStatus;

/// How the simulated exchange is doing, as `GET /sim/status` tells it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    /// Simulated time, ms.
    pub now: i64,
    /// Time of the newest block, ms.
    pub block_time: i64,
    /// Simulated time at the start, ms.
    pub start: i64,
    /// The seed.
    pub seed: u64,
    /// Simulated milliseconds in a millisecond.
    pub speed: f64,
    /// Blocks made.
    pub blocks: u64,
    /// The truth is complete since here, ms. Trades from before the start that a replay carried are kept too.
    pub from: i64,
    /// How long the truth is kept, ms.
    pub retention_ms: i64,
    /// Open sockets.
    pub sockets: usize,
    /// Subscriptions over all sockets.
    pub subscriptions: usize,
    /// Different users that are followed over all sockets.
    pub users: usize,
    /// How many there may be now.
    pub user_cap: usize,
    /// Request weight used in the last 60 s.
    pub weight: u64,
    /// The most in 60 s since the start.
    pub peak_weight: u64,
    /// Counters since the start.
    pub counters: StatusCounters,
    /// How often faults have struck, by kind, ended ones included.
    pub faults_applied: std::collections::BTreeMap<&'static str, u64>,
    /// Faults at work.
    pub faults_active: usize,
    /// How far a playback is, where there is one.
    #[serde(flatten)]
    pub replay: Option<ReplayStatus>,
}

/// Counters of a [`Status`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct StatusCounters {
    /// Frames given to sockets.
    pub frames_sent: u64,
    /// Sockets opened.
    pub sockets_opened: u64,
    /// Connections refused by a limit or a fault.
    pub sockets_refused: u64,
    /// Sockets closed because nothing was sent to them.
    pub idle_closed: u64,
    /// Sockets dropped because the client did not read.
    pub not_reading: u64,
    /// Subscriptions that killed their socket.
    pub fatal_subscriptions: u64,
    /// Answers of `/info`.
    pub info_requests: u64,
    /// Of them refused for their weight.
    pub rate_limited: u64,
    /// Answers of `/evm`.
    pub chain_requests: u64,
    /// Of them refused for their number.
    pub chain_limited: u64,
}
