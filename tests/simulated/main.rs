//! The whole daemon in virtual time, on a simulated exchange in memory: an hour takes seconds, and a seed is a run.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it fails")]

mod alerts;
mod daemon;
mod errs;
mod sharing;
mod signals;
mod sockets;
mod standby;
#[path = "../support/mod.rs"]
mod support;
mod time;
mod unreadable;
