//! The rhythm of one stream: after how much silence to ask whether something was missed.

/// Learns from the pauses between frames. All times in ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rhythm {
    shortest: i64,
    longest: i64,
    limit: i64,
}

impl Rhythm {
    /// Asks after `shortest` at first, and never waits longer than `longest`. A `shortest` of 0 never asks.
    #[must_use]
    pub fn new(shortest: i64, longest: i64) -> Self {
        Self { shortest, longest, limit: shortest }
    }

    /// A frame came after a pause: a long pause raises the limit at once, short ones lower it slowly.
    pub fn frame_after(&mut self, pause: i64) {
        let learnt = pause.saturating_mul(2).min(self.longest);
        self.limit = (self.limit - (self.limit - self.shortest) / 64).max(learnt);
    }

    /// The silence was innocent.
    pub fn calm(&mut self) {
        self.limit = self.limit.saturating_mul(2).min(self.longest);
    }

    /// Silence beyond this asks; none where silence proves nothing.
    #[must_use]
    pub fn limit(&self) -> Option<i64> {
        (self.shortest > 0).then_some(self.limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quiet_stream_is_asked_less_and_less_and_a_busy_one_soon_again() {
        let mut rhythm = Rhythm::new(5_000, 600_000);
        assert_eq!(rhythm.limit(), Some(5_000));
        for _ in 0..20 {
            rhythm.calm();
        }
        assert_eq!(rhythm.limit(), Some(600_000));
        for _ in 0..2_000 {
            rhythm.frame_after(50);
        }
        assert!(rhythm.limit().unwrap() < 5_100);
        rhythm.frame_after(40_000);
        assert_eq!(rhythm.limit(), Some(80_000));
        assert_eq!(Rhythm::new(0, 0).limit(), None);
    }
}
