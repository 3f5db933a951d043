//! What a simulated exchange is started with.

use std::io;
use std::path::PathBuf;

use hl_core::TimeMs;
use hl_core::symbol::CoinError;

use crate::assumptions::Assumptions;

/// The exchange's limits, all of them per IP. The simulation sees one IP: its listener names no peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Request weight in 60 s.
    pub weight: u32,
    /// JSON-RPC requests to `/evm` in 60 s, apart from the weight.
    pub chain_requests: usize,
    /// Open WebSocket connections.
    pub connections: usize,
    /// New WebSocket connections in 60 s.
    pub new_connections: usize,
    /// Subscriptions over all connections. Those of a connection that broke count for a few seconds more.
    pub subscriptions: usize,
    /// Messages from the client in 60 s, over all connections.
    pub messages: usize,
    /// Different addresses over all user subscriptions; `--assume user-cap`, and while it runs the fault `user_cap`.
    pub users: usize,
    /// Frames that may wait in a socket before it is dropped for not reading.
    pub queued_frames: usize,
    /// Milliseconds without a frame to the client after which a socket is closed.
    pub idle_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            weight: 1_200,
            chain_requests: 100,
            connections: 10,
            new_connections: 30,
            subscriptions: 1_000,
            messages: 2_000,
            users: 15,
            queued_frames: 8_192,
            idle_ms: 60_000,
        }
    }
}

/// What the market is made of, and how fast its time runs. The market depends on `seed`, `start`, `coins`,
/// `outcomes`, `traders`, `activity` and `liquidations`, and on nothing else.
#[derive(Debug, Clone, PartialEq)]
pub struct SimConfig {
    /// Seed of the market and of every other choice.
    pub seed: u64,
    /// Live perpetuals of the first dex, busiest first; 1 to 1,000. One delisted, two of a builder dex and three spot
    /// pairs come on top.
    pub coins: usize,
    /// Outcomes that have not settled, with two coins each, 0 to 100.
    pub outcomes: usize,
    /// Traders, 4 to 100,000: a quarter of them makes markets.
    pub traders: usize,
    /// How many times as often as usual quotes move and takers come; 0.0001 to 100. Blocks, and what the exchange pushes
    /// at fixed intervals, keep their time. At 1 the busiest market has two takers a second.
    pub activity: f64,
    /// How many of 10,000 takers of perpetuals are not: the exchange takes instead, to liquidate somebody who has lost on his
    /// position. 0 to 10,000; 0, nobody is, unless told otherwise: who is liquidated changes the market.
    pub liquidations: u32,
    /// Simulated milliseconds in a millisecond; above 0, at most 1,000. Cadences of the market follow it; idle
    /// closing, limits and the duration of faults are felt by the client and follow the client's time.
    pub speed: f64,
    /// Simulated time at which the market begins.
    pub start: TimeMs,
    /// Simulated time at which it is first served; from its beginning to there it is made at once, some seconds for a
    /// day of five coins. The same market goes on that way, however often it is started.
    pub resume: Option<TimeMs>,
    /// The exchange's limits.
    pub limits: Limits,
    /// How it behaves where nobody can be sure that the exchange still does.
    pub assumptions: Assumptions,
    /// Whether accounts can be read through a chain, at `/evm`. A recording has none.
    pub chain: bool,
    /// How long the truth is kept, simulated ms.
    pub retention_ms: i64,
    /// Delay of every frame to a client, ms.
    pub latency_ms: u64,
    /// Plays back a recording instead of making a market: a file of `{"received_wall_ns","channel","data"}` lines.
    pub replay: Option<PathBuf>,
}

impl Default for SimConfig {
    fn default() -> Self {
        Self {
            seed: 7,
            coins: 5,
            outcomes: 1,
            traders: 200,
            activity: 1.0,
            liquidations: 0,
            speed: 1.0,
            start: TimeMs(1_773_146_070_000),
            resume: None,
            limits: Limits::default(),
            assumptions: Assumptions::default(),
            chain: true,
            retention_ms: 6 * 3_600_000,
            latency_ms: 0,
            replay: None,
        }
    }
}

impl SimConfig {
    pub(crate) fn check(&self) -> Result<(), SimError> {
        let bad = |field, reason| Err(SimError::Config { field, reason });
        if !(1..=1_000).contains(&self.coins) {
            return bad("coins", "it must be 1 to 1000");
        }
        if self.outcomes > 100 {
            return bad("outcomes", "it must be 0 to 100");
        }
        if !(4..=100_000).contains(&self.traders) {
            return bad("traders", "it must be 4 to 100000");
        }
        if !(0.0001..=100.0).contains(&self.activity) {
            return bad("activity", "it must be 0.0001 to 100");
        }
        if self.liquidations > 10_000 {
            return bad("liquidations", "it must be 0 to 10000");
        }
        if !(self.speed > 0.0 && self.speed <= 1_000.0) {
            return bad("speed", "it must be above 0 and at most 1000");
        }
        // A century around the exchange's lifetime, so that no arithmetic on times can overflow.
        if !(0..4_102_444_800_000).contains(&self.start.0) {
            return bad("start", "it must lie between 1970 and 2100, in milliseconds");
        }
        if self.resume.is_some_and(|resume| !(self.start.0..4_102_444_800_000).contains(&resume.0)) {
            return bad("resume", "it must lie between the start and the year 2100");
        }
        if self.retention_ms < 60_000 {
            return bad("retention_ms", "it must be a minute or more");
        }
        Ok(())
    }
}

/// Why a simulated exchange did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SimError {
    /// A value of the configuration is out of its range.
    #[error("cannot start the simulated exchange: {field} is wrong, {reason}")]
    Config {
        /// The field.
        field: &'static str,
        /// What it must be.
        reason: &'static str,
    },
    /// A name in the market or in a recording is none.
    #[error("cannot list a market")]
    Coin(#[from] CoinError),
    /// The recording cannot be read.
    #[error("cannot read the recording {path}")]
    Recording {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line of the recording is no frame.
    #[error("line {line} of the recording {path} is not a frame: {reason}")]
    Frame {
        /// The file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
}
