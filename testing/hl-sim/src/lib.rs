//! A simulated Hyperliquid exchange: a market that agrees with itself, served as the exchange serves it, with faults
//! by request and the truth beside them.
//!
//! What lives here: the market (`market`), its text on the wire (`wire`), WebSocket (`ws`), REST (`info`), reads through the chain
//! (`evm`), limits, faults, assumptions, the truth for verifiers, and playback of recordings (`replay`). What does not: anything of the collector.
//! Nothing in the collector's path imports this crate.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use hl_core::seam::Net;
//! use hl_sim::{Fault, FaultKind, Sim, SimConfig};
//!
//! let net = hl_runtime::MemoryNet::new();
//! let sim = Sim::start(SimConfig { seed: 1, ..SimConfig::default() }, net.listen("exchange:80").await?)?;
//! sim.inject(Fault::lasting(FaultKind::Mute { stream: Some("trades/BTC".parse()?) }, 15_000));
//! sim.stop().await;
//! # Ok(())
//! # }
//! ```

// Those who read a process's words may go away: printing would end it with a panic.
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod assumptions;
mod config;
mod evm;
mod faults;
mod info;
mod limits;
mod market;
mod replay;
mod server;
mod sim;
mod truth;
mod wire;
mod ws;

pub use assumptions::{ASSUMPTIONS, AssumeError, Assumption, Assumptions};
pub use config::{Limits, SimConfig, SimError};
pub use faults::{
    ActiveFault, AnswerFault, BodyFault, FAULTS, Falsified, Fault, FaultError, FaultKind, Part, Way,
};
pub use replay::ReplayStatus;
pub use sim::Sim;
pub use truth::{Holding, Liquidation, LiquidationLeg, Moved, Status, StatusCounters};
