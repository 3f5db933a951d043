//! Deterministic simulation of the whole daemon: real sources, selector, pipeline, scheduler and SQLite store against the
//! simulated exchange, on a network in memory and under a virtual clock. A seed is a run, byte for byte.
//!
//! What lives here: the [`World`] (exchange, network, store, daemons one after another), the [`Storm`] (which faults,
//! when: pure, from the seed), the layers through which it strikes ([`Weather`] on the network, [`Trouble`] in the store,
//! a clock that steps), the [`Trace`] of what happened, and the comparison with the truth ([`Outcome`]). What does not:
//! anything that a program which collects would need. Tests and the binary `hl-chaos` use this crate, nothing else does.
//!
//! A run takes one thread and one runtime with a paused clock; runs share nothing, so they may go side by side.

mod beyond;
mod clock;
mod errs;
mod market;
mod net;
mod outcome;
mod quiet;
mod run;
mod store;
mod storm;
mod trace;
mod truth;
mod world;

pub use clock::SteppingClock;
pub use market::{Market, MarketError};
pub use net::{Weather, WeatherNet};
pub use outcome::{Outcome, Summary};
pub use quiet::{Quiet, quiet};
pub use run::{Plan, run};
pub use store::{RoughStore, Trouble, Troubles};
pub use storm::{Density, Step, Storm};
pub use trace::Trace;
pub use truth::SimTruth;
pub use world::{Daemon, Ended, Never, START, World};

use hl_core::store::StoreError;
use hl_sim::SimError;
use hl_verify::VerifyError;

/// A run could not be made. What a run finds wrong with the daemon is no error but its [`Outcome`].
#[derive(Debug, thiserror::Error)]
pub enum ChaosError {
    /// The simulated exchange did not start.
    #[error("starting the simulated exchange: {0}")]
    Exchange(#[from] SimError),
    /// No folder, no network, no runtime.
    #[error("{step}: {source}")]
    Io {
        /// The step that failed.
        step: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// A daemon did not end in good order.
    #[error(transparent)]
    Daemon(#[from] Ended),
    /// The store could not be opened or read.
    #[error("the store: {0}")]
    Store(#[from] StoreError),
    /// The tables of the store could not be read.
    #[error("reading the tables: {0}")]
    Tables(#[from] rusqlite::Error),
    /// There is no verdict.
    #[error(transparent)]
    Verify(#[from] VerifyError),
}
