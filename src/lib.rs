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
//! [`Collector::events`] is a stream of what is committed, and a [`Sink`] takes rows on to wherever they are wanted.
//!
//! What lives here: [`Collector`] with its builder, and what a user needs, gathered from the crates of the workspace: each as
//! a module ([`core`], [`engine`], [`store`] and others), the names that are used most in this one, and the fewest in
//! [`prelude`]. With another store, network or clock, [`Engine::builder`] puts the rest together; `examples/own_parts` does it.
//! What does not live here: any logic of collecting.
//!
//! Features: `sqlite` (on by default), `mongodb`, `archive` and `sim`. Each adds the module of its name, `sqlite` and `mongodb` the methods of
//! the builder that open such a store; without them a store is given to [`Builder::store`].

// Those who read a process's words may go away: printing would end it with a panic.
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod asked;
mod builder;
mod collector;
#[cfg(test)]
mod collector_tests;
mod error;

pub use builder::Builder;
pub use collector::Collector;
pub use error::CollectError;

/// Vocabulary, decisions, and the contracts of stores, clocks and networks.
#[doc(inline)]
pub use hl_core as core;

/// The sources and the pipeline: WebSocket, REST, batches.
#[doc(inline)]
pub use hl_collectors as collectors;

/// The engine, for those who bring parts of their own; events and sinks.
#[doc(inline)]
pub use hl_engine as engine;

/// What runs, what is received, and which alerts stand.
#[doc(inline)]
pub use hl_monitor as monitor;

/// The network and the clock of a real process, and those of a simulation.
#[doc(inline)]
pub use hl_runtime as runtime;

/// Jobs and their plans.
#[doc(inline)]
pub use hl_scheduler as scheduler;

/// Whom to track of the leaderboard, and how traders are scored.
#[doc(inline)]
pub use hl_traders as traders;

/// The SQLite store, the spool, and what reads stores.
#[doc(inline)]
pub use hl_store as store;

/// What a host puts around an engine: the store that a URI names, HTTP, the webhook.
#[doc(inline)]
pub use hl_host as host;

/// The store in a MongoDB replica set.
#[cfg(feature = "mongodb")]
#[doc(inline)]
pub use hl_mongo as mongo;

/// Old rows as Parquet files.
#[cfg(feature = "archive")]
#[doc(inline)]
pub use hl_archive as archive;

/// A simulated exchange.
#[cfg(feature = "sim")]
#[doc(inline)]
pub use hl_sim as sim;

/// What most programs need: `use hyperliquid_collector::prelude::*;`.
pub mod prelude {
    pub use crate::core::seam::{Clock as _, Net as _};
    pub use crate::core::store::prelude::*;
    pub use crate::store::Inspect as _;
    #[cfg(feature = "sqlite")]
    pub use crate::store::SqliteStore;
    pub use crate::{
        Coin, CollectError, Collector, Decimal, Event, Filter, Kind, Records, Span, StreamKey, TimeMs,
    };
}

pub use hl_core::alert::{Alert, AlertKind, Severity};
pub use hl_core::archive::StoredRows;
pub use hl_core::claim::{Epoch, Origin, SourceId, Token};
pub use hl_core::interval::Interval;
pub use hl_core::ledger::{Cause, GapState, Span};
pub use hl_core::record::{Bbo, Book, Candle, Context, Funding, Level, Mid, Records, Side, Trade};
pub use hl_core::seam::{BoxFuture, Clock, Endpoint, Net, Seed};
pub use hl_core::store::{BatchQueue, Holder, Store, StoreError};
pub use hl_core::stream::{BookVariant, Kind, StreamKey};
pub use hl_core::symbol::{Coin, Dex};
pub use hl_core::time::TimeMs;
pub use hl_core::{decimal::Decimal, source, timeline};
pub use hl_engine::{
    Endpoints, Engine, EngineBuilder, EngineError, Event, EventSort, Events, Filter, Line, Parts, Published,
    Sink, SinkBatch, SinkError, SinkView, Snapshot, Target,
};
pub use hl_host::webhook::NotAWebhook;
pub use hl_host::{NotAStore, StoreUri};
pub use hl_monitor::{Reception, TotalReception};
pub use hl_runtime::{MemoryNet, SystemClock, TcpNet, TokioClock};
pub use hl_store::{AlertRow, Audit, CoverageRow, GapRow, Inspect, Problem, Spool, StreamRow, Writer};
#[cfg(feature = "sqlite")]
pub use hl_store::{SqliteInspect, SqliteOptions, SqliteStore};
