//! The outside world behind the seams of `hl-core`.
//!
//! What lives here: [`TcpNet`] (TCP, TLS by rustls, certificates always verified), [`MemoryNet`] (the same trait
//! inside one process, for tests and for the simulated exchange in the daemon), [`SystemClock`] and [`TokioClock`].
//! No decision lives here: time limits and retries belong to the callers.

// Those who read a process's words may go away: printing would end it with a panic.
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod clock;
mod memory;
mod tcp;

pub use clock::{SystemClock, TokioClock};
pub use memory::MemoryNet;
pub use tcp::TcpNet;
