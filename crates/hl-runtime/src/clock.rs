use hl_core::TimeMs;
use hl_core::seam::Clock;
use tokio::time::Instant;

/// The system clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "the one place where wall time is read")]
    fn nanos(&self) -> i64 {
        match std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
            Err(before) => -i64::try_from(before.duration().as_nanos()).unwrap_or(i64::MAX),
        }
    }
}

/// A wall clock that follows tokio's: paused and driven together with every timer.
#[derive(Debug, Clone, Copy)]
pub struct TokioClock {
    start: TimeMs,
    since: Instant,
}

impl TokioClock {
    /// A clock that shows `start` now.
    #[must_use]
    pub fn starting_at(start: TimeMs) -> Self {
        Self { start, since: Instant::now() }
    }
}

impl Clock for TokioClock {
    fn nanos(&self) -> i64 {
        let elapsed = i64::try_from(self.since.elapsed().as_nanos()).unwrap_or(i64::MAX);
        self.start.0.saturating_mul(1_000_000).saturating_add(elapsed)
    }
}
