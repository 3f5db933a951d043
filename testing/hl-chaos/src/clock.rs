//! A wall clock that steps, as when an operator or a time service sets it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use hl_core::seam::Clock;
use hl_runtime::TokioClock;

/// Follows tokio's clock, off by so much.
#[derive(Clone, Debug)]
pub struct SteppingClock {
    base: TokioClock,
    off_ms: Arc<AtomicI64>,
}

impl SteppingClock {
    /// A clock that shows what `base` shows, until it is stepped.
    #[must_use]
    pub fn new(base: TokioClock) -> Self {
        Self { base, off_ms: Arc::default() }
    }

    /// Sets it `by_ms` ahead of what it shows, or behind.
    pub fn step(&self, by_ms: i64) {
        self.off_ms.fetch_add(by_ms, Ordering::Relaxed);
    }
}

impl Clock for SteppingClock {
    fn nanos(&self) -> i64 {
        self.base.nanos() + self.off_ms.load(Ordering::Relaxed) * 1_000_000
    }
}
