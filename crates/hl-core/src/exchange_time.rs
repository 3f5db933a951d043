//! Exchange time, learnt from the exchange's own stamps.
//!
//! A frame never bears a time that has not come yet, so the largest difference between a stamp and the monotonic
//! clock at its arrival is the best estimate of the offset; what remains is the shortest delay of the network, by
//! which the estimate is low. A stepping system clock changes nothing once one stamp was seen.

use crate::TimeMs;

/// How long the best difference counts before it has to be seen again, ms. Twice this forgets it for good.
const WINDOW_MS: i64 = 300_000;

/// Estimates exchange time from the monotonic clock. `mono` is in milliseconds from any fixed point.
#[derive(Clone, Copy, Debug)]
pub struct ExchangeTime {
    /// Offset from the system clock, until a stamp was seen.
    guess: i64,
    current: Option<i64>,
    previous: Option<i64>,
    window_start: i64,
}

impl ExchangeTime {
    /// Starts from the system clock's idea of now.
    #[must_use]
    pub fn new(system: TimeMs, mono: i64) -> Self {
        Self { guess: system.0.saturating_sub(mono), current: None, previous: None, window_start: mono }
    }

    /// A stamp of the exchange arrived.
    pub fn observe(&mut self, stamp: TimeMs, mono: i64) {
        if mono - self.window_start >= WINDOW_MS {
            self.previous = self.current.take();
            self.window_start = mono;
        }
        let offset = stamp.0.saturating_sub(mono);
        self.current = Some(self.current.map_or(offset, |best| best.max(offset)));
    }

    /// Exchange time now: a low estimate, and the system clock's before any stamp was seen.
    #[must_use]
    pub fn now(&self, mono: i64) -> TimeMs {
        TimeMs(mono.saturating_add(self.current.max(self.previous).unwrap_or(self.guess)))
    }

    /// How far the system clock was from the exchange's when it was last read, ms; none before a stamp was seen.
    #[must_use]
    pub fn system_offset_ms(&self) -> Option<i64> {
        self.current.max(self.previous).map(|offset| offset.saturating_sub(self.guess))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fastest_frame_decides_and_is_forgotten_in_time() {
        let mut time = ExchangeTime::new(TimeMs(1_000_000), 0);
        assert_eq!(time.now(5), TimeMs(1_000_005), "the system clock until a stamp was seen");
        time.observe(TimeMs(2_000_000), 300);
        time.observe(TimeMs(2_000_700), 1_600);
        time.observe(TimeMs(1_500_000), 1_700);
        assert_eq!(time.now(2_000), TimeMs(2_001_700), "slower and replayed frames change nothing");
        let mut mono = 2_000;
        for _ in 0..10 {
            mono += WINDOW_MS;
            time.observe(TimeMs(1_999_000 + mono), mono);
        }
        assert_eq!(time.now(mono), TimeMs(1_999_000 + mono), "a clock that was set back is followed");
    }
}
