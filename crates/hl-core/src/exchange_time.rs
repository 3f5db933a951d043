//! Exchange time, learnt from the exchange's own stamps.
//!
//! A frame never bears a time that has not come yet, so the largest difference between a stamp and the monotonic
//! clock at its arrival is the best estimate of the offset; what remains is the shortest delay of the network, by
//! which the estimate is low. A stepping system clock changes nothing once one stamp was seen.

use crate::TimeMs;

/// How long the best difference counts before it has to be seen again, ms. Twice this forgets it for good.
const WINDOW_MS: i64 = 300_000;

/// How long after the first stamp a system clock that is nearly right still counts as one more: the first stamps may be
/// those of snapshots, which are a little old, ms.
const TRUST_MS: i64 = 5_000;
/// Nearly right, ms.
const NEARLY_MS: i64 = 10_000;

/// Estimates exchange time from the monotonic clock. `mono` is in milliseconds from any fixed point.
#[derive(Clone, Copy, Debug)]
pub struct ExchangeTime {
    /// Offset from the system clock, until a stamp was seen.
    guess: i64,
    /// When the first stamp was seen.
    first: Option<i64>,
    current: Option<i64>,
    previous: Option<i64>,
    window_start: i64,
}

impl ExchangeTime {
    /// Starts from the system clock's idea of now.
    #[must_use]
    pub fn new(system: TimeMs, mono: i64) -> Self {
        Self {
            guess: system.0.saturating_sub(mono),
            first: None,
            current: None,
            previous: None,
            window_start: mono,
        }
    }

    /// A stamp of the exchange arrived.
    pub fn observe(&mut self, stamp: TimeMs, mono: i64) {
        if mono - self.window_start >= WINDOW_MS {
            self.previous = self.current.take();
            self.window_start = mono;
        }
        self.first.get_or_insert(mono);
        let offset = stamp.0.saturating_sub(mono);
        self.current = Some(self.current.map_or(offset, |best| best.max(offset)));
    }

    /// Whether the exchange has said what time it is. Before that the system clock serves, which may be wrong by hours.
    #[must_use]
    pub fn is_learnt(&self) -> bool {
        self.first.is_some()
    }

    /// Exchange time now: a low estimate, and the system clock's before stamps were seen.
    #[must_use]
    pub fn now(&self, mono: i64) -> TimeMs {
        let learnt = self.current.max(self.previous);
        let near = learnt.is_none_or(|learnt| self.guess.abs_diff(learnt) <= NEARLY_MS.unsigned_abs());
        let trusted = near && self.first.is_none_or(|first| mono - first < TRUST_MS);
        let offset = if trusted { learnt.max(Some(self.guess)) } else { learnt };
        TimeMs(mono.saturating_add(offset.unwrap_or(self.guess)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_stamp_does_not_set_the_clock_back_before_better_ones_had_their_chance() {
        let mut time = ExchangeTime::new(TimeMs(1_000_000), 0);
        time.observe(TimeMs(999_500), 100);
        assert_eq!(time.now(200), TimeMs(1_000_200), "a snapshot of half a second ago");
        time.observe(TimeMs(1_000_250), 300);
        assert_eq!(time.now(6_000), TimeMs(1_005_950), "then only the exchange counts");
        let mut wrong = ExchangeTime::new(TimeMs(9_000_000), 0);
        wrong.observe(TimeMs(1_000_100), 100);
        assert_eq!(wrong.now(100), TimeMs(1_000_100), "a system clock far off is not believed at all");
    }

    #[test]
    fn the_fastest_frame_decides_and_is_forgotten_in_time() {
        let mut time = ExchangeTime::new(TimeMs(1_000_000), 0);
        assert_eq!(time.now(5), TimeMs(1_000_005), "the system clock until a stamp was seen");
        assert!(!time.is_learnt());
        time.observe(TimeMs(2_000_000), 300);
        assert!(time.is_learnt());
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
