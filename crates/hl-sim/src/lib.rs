//! A simulated exchange.
mod config;
mod market;
pub use config::{Limits, SimConfig, SimError};
