use hl_core::TimeMs;
use hl_core::seam::Clock;
use tokio::time::Instant;

/// The system clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "the one place where wall time is read")]
    fn now(&self) -> TimeMs {
        let ms = match std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
            Err(before) => -i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX),
        };
        TimeMs(ms)
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
    fn now(&self) -> TimeMs {
        self.start + i64::try_from(self.since.elapsed().as_millis()).unwrap_or(i64::MAX)
    }
}
