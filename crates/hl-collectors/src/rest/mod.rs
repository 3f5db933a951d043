//! The REST side: one client for `POST /info` ([`InfoClient`]), the polled source on it ([`RestSource`]), and the client of the chain ([`ChainClient`]).
//!
//! What does not live here: when a job runs (`hl-scheduler`), and how weight is booked across processes (the store's
//! ledger, behind [`Weights`]).

mod body;
mod chain;
mod client;
mod connector;
mod past;
mod source;
mod weights;

pub use chain::{ChainClient, ChainReadError, ChainSizes};
pub use client::{InfoClient, RestCounters, RestError, RestOptions};
pub use past::{Aside, Cost, cost};
pub use source::{EdgeOf, RestSource};
pub use weights::{Urgency, Weights};
