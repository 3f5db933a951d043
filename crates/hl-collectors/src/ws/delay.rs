//! How far what a socket brings lies behind the exchange, going by its frames that bear a time. Frames of one socket come
//! in the order in which they were sent, so those that bear none are as late.

/// How long a word about the delay counts, ms: longer than the slowest pushes by a clock are apart.
const COUNTS_MS: i64 = 15_000;
/// A delay up to this is the usual one of network and exchange, and is left in a stamp, ms.
const USUAL_MS: i64 = 1_500;

/// The delay of one connection. All times in ms of the monotonic clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Delay {
    /// The last two words: how late, and when.
    words: [Option<(i64, i64)>; 2],
}

impl Delay {
    /// A frame arrived that says it is so late. Not the first of a stream, which may be hours old.
    pub(super) fn frame(&mut self, late_ms: i64, now: i64) {
        self.words = [Some((late_ms, now)), self.words[0]];
    }

    /// How late frames arrive: both of the last two frames at least. A single one may have been late by itself.
    #[must_use]
    pub(super) fn now(&self, now: i64) -> i64 {
        let counts = |word: &Option<(i64, i64)>| word.filter(|(_, at)| now - at <= COUNTS_MS);
        match self.words.each_ref().map(counts) {
            [Some((a, _)), Some((b, _))] => a.min(b).max(0),
            _ => 0,
        }
    }

    /// How much earlier than its arrival a frame without a time was sent.
    #[must_use]
    pub(super) fn excess(&self, now: i64) -> i64 {
        Some(self.now(now)).filter(|delay| *delay > USUAL_MS).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_frames_that_are_late_say_that_the_socket_is() {
        let mut delay = Delay::default();
        assert_eq!(delay.now(0), 0);
        delay.frame(9_000, 1_000);
        assert_eq!(delay.now(1_000), 0, "one may be late by itself");
        delay.frame(9_700, 2_000);
        assert_eq!((delay.now(2_500), delay.excess(2_500)), (9_000, 9_000));
        delay.frame(600, 3_000);
        assert_eq!(
            (delay.now(3_000), delay.excess(3_000)),
            (600, 0),
            "one that is not proves that it caught up"
        );
    }

    #[test]
    fn the_usual_delay_is_left_in_a_stamp_and_an_old_word_counts_for_nothing() {
        let mut delay = Delay::default();
        for at in [1_000, 2_000] {
            delay.frame(1_500, at);
        }
        assert_eq!((delay.now(2_000), delay.excess(2_000)), (1_500, 0));
        for at in [3_000, 4_000] {
            delay.frame(1_501, at);
        }
        assert_eq!(delay.excess(4_000), 1_501);
        assert_eq!(delay.excess(3_001 + COUNTS_MS), 0);
        for at in [5_000, 6_000] {
            delay.frame(-400, at);
        }
        assert_eq!(delay.now(6_000), 0, "a clock that is a little slow");
    }
}
