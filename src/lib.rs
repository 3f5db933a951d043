//! Collects market data of the Hyperliquid exchange inside your own program.
//!
//! A [`Collector`] gathers streams such as `trades/BTC`, `candle/ETH/1m` or `mids` into one SQLite file: over WebSocket
//! where it can, over REST where it must, each stream by exactly one of them at a time. Nothing is stored twice, and
//! what is missing stands in the file as a gap with its cause.
//!
//! ```no_run
//! use hyperliquid_collector::Collector;
//!
//! # async fn example() -> Result<(), hyperliquid_collector::CollectError> {
//! let collector = Collector::mainnet()
//!     .streams(["trades/BTC", "candle/BTC/1m", "mids"])
//!     .store_sqlite("data/hyperliquid.db")
//!     .start()
//!     .await?;
//!
//! for (stream, meter) in collector.snapshot().streams {
//!     println!("{stream}: owned by {:?}, {} records", meter.owner, meter.tally.admitted);
//! }
//!
//! collector.stop().await
//! # }
//! ```
//!
//! The file may be read at any time, also by other processes; [`SqliteStore::inspect`] and [`Inspect`] do so from Rust:
//!
//! ```no_run
//! use hyperliquid_collector::{Inspect, SqliteStore, StreamKey};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let store = SqliteStore::inspect("data/hyperliquid.db")?;
//! let trades: StreamKey = "trades/BTC".parse()?;
//! for gap in store.gaps(Some(trades)).await? {
//!     println!("{:?} is missing: {:?}, {:?}", gap.span, gap.cause, gap.state);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! What lives here: [`Collector`] with its builder, and the names a user needs, gathered from the crates of the
//! workspace. Whoever wants another store, network or clock gives them to [`Engine`] as [`Parts`]. What does not live
//! here: any logic of collecting.

// Those who read a process's words may go away: printing would end it with a panic.
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod collector;
#[cfg(test)]
mod collector_tests;

pub use collector::{Builder, CollectError, Collector};

pub use hl_core::alert::{Alert, AlertKind, Severity};
pub use hl_core::archive::StoredRows;
pub use hl_core::claim::{Epoch, Origin, SourceId, Token};
pub use hl_core::interval::Interval;
pub use hl_core::ledger::{Cause, GapState, Span};
pub use hl_core::record::{Bbo, Book, Candle, Context, Funding, Level, Mid, Records, Side, Trade};
pub use hl_core::seam::{BoxFuture, Clock, Endpoint, Net, Seed};
pub use hl_core::store::{BatchQueue, Holder, Store, StoreError};
pub use hl_core::stream::{BookVariant, Kind, StreamKey};
pub use hl_core::symbol::Coin;
pub use hl_core::time::TimeMs;
pub use hl_core::{decimal::Decimal, source, timeline};
pub use hl_engine::{
    Endpoints, Engine, EngineError, Event, EventSort, Events, Filter, Line, Parts, Published, Sink,
    SinkBatch, SinkError, SinkView, Snapshot, Target,
};
pub use hl_monitor::{Change, Health, Process, ProcessKind, Reception, State, TotalReception};
pub use hl_runtime::{MemoryNet, SystemClock, TcpNet, TokioClock};
pub use hl_store::{
    AlertRow, Audit, CoverageRow, GapRow, Inspect, Problem, Spool, SqliteInspect, SqliteOptions, SqliteStore,
    StreamRow, Writer,
};
