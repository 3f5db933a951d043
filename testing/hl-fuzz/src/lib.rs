//! Hostile input for everything that reads from outside, and for the machines behind it.
//!
//! A [`Target`] takes any bytes, makes of them what its part of the product reads or is told, and panics where a promise
//! is broken. [`TARGETS`] is the one table of them, and both runs go by it: the short one ([`drive::blind`], part of
//! `cargo test`, the same for the same seed) and the long one (`cargo xtask fuzz`, where libFuzzer follows the coverage).
//!
//! - [`targets`]: one target a file.
//! - [`drive`]: the short run, and what a finding is.
//! - `text`, `damage`, `model`: hostile texts, damaged files, and what a ledger must look like; shared by targets.
//! - `market`, `captures`: valid frames and answers to begin with, from the simulated exchange and, where they are, from
//!   recordings.
//!
//! What does not live here: product code. The product does not know this crate. A finding is fixed where the fault is,
//! and becomes a test with a name there.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a target says by a panic that a promise is broken"
)]

use arbitrary::Unstructured;

mod captures;
mod damage;
pub mod drive;
mod market;
mod model;
mod records;
pub mod targets;
mod text;

/// One part of the product under hostile input.
#[derive(Clone, Copy)]
pub struct Target {
    /// One word, by which it is chosen.
    pub name: &'static str,
    /// What is fuzzed, for people.
    pub about: &'static str,
    /// Inputs to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Takes any input; panics where a promise is broken.
    pub run: fn(&[u8]),
    /// Executions of the short run.
    pub short: u32,
}

/// Every target.
pub const TARGETS: [Target; 9] = [
    targets::frame::TARGET,
    targets::answer::TARGET,
    targets::session::TARGET,
    targets::socket::TARGET,
    targets::timeline::TARGET,
    targets::config::TARGET,
    targets::store::TARGET,
    targets::spool::TARGET,
    targets::statistics::TARGET,
];

impl Target {
    /// The target of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        TARGETS.into_iter().find(|target| target.name == name)
    }
}

/// Plays an input as a script. One that ends early is a shorter script.
fn script(input: &[u8], play: impl FnOnce(&mut Unstructured<'_>) -> arbitrary::Result<()>) {
    let _ended = play(&mut Unstructured::new(input));
}
