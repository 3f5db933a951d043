//! The programs as real processes, each on an exchange or a store of its own: what users run, and see.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where it fails")]

mod cluster;
mod copy;
mod import;
mod jobs;
mod monitor;
mod replay;
mod security;
#[path = "../support/mod.rs"]
mod support;
mod two_daemons;
