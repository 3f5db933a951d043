//! A model check of claims, selector and leases.
//!
//! What lives here: small models of everything around the decisions of `hl-core` (the exchange, sockets, REST, the queue
//! to the store, the store's ledger, crashes), a step at a time, and the rules that must hold in every state that any
//! order of steps leads to. Selector, time lines and epochs are the real ones: nothing of them is written twice.
//!
//! What does not: the search through the states (stateright does that), sockets, files and clocks. The product never
//! imports this crate.

mod act;
mod calm;
mod check;
mod exchange;
mod ledger;
mod models;
mod owners;
mod process;
mod rule;
mod world;

pub use check::{Outcome, Search, Violation, check};
pub use models::{Name, Reach};
pub use rule::Rule;
