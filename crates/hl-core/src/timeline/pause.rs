//! The pause between two claims of a stream, or between two answers, and what the exchange's clock did in it.
//!
//! Where it was set back, the time after the pause may look as if it went on from the time before, and the exchange has lived
//! some of it twice. That is seen by the monotonic clock: how far ahead of it the exchange's was before, and is now.

use crate::TimeMs;
use crate::ledger::Span;

/// How far the exchange's clock was ahead of the monotonic one at a moment of the latter, both in ms, as far as is known.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ClockReading {
    /// The moment.
    pub mono: i64,
    /// How far.
    pub ahead: i64,
}

/// A stream was not received between two claims, or between two answers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Pause {
    /// The edge before it, as far as records had brought it.
    pub(super) edge: TimeMs,
    /// When the stream was last received; none where another process did.
    pub(super) begin: Option<ClockReading>,
    /// When it ended, on the monotonic clock, ms.
    pub(super) end: i64,
    /// Edge and clock at a later answer, where there were several: what the pause begins with next.
    pub(super) later: Option<(TimeMs, ClockReading)>,
}

/// The exchange's clock was set back in a pause. By either clock records may be missing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct SetBack {
    /// The pause by the new one.
    pub(super) new: Span,
    /// And by the old one: behind the edge.
    pub(super) old: Span,
    /// What the new one says now.
    pub(super) now: TimeMs,
}

impl ClockReading {
    /// What the exchange's clock says, as far as is known.
    #[must_use]
    pub fn exchange(self) -> TimeMs {
        TimeMs(self.mono.saturating_add(self.ahead))
    }
}

impl Pause {
    /// The pause between answers, up to one that comes now. The last one was received at `received`, when the edge was at `edge`.
    /// A clock that was set back is followed some time later, so the pause reaches as far back as that may be.
    pub(super) fn polled(self, edge: TimeMs, received: ClockReading, now: ClockReading) -> Self {
        let pause = Self { end: now.mono, ..self };
        match self.later {
            _ if pause.set_back(now).is_some() => pause,
            Some((_, later)) if now.mono - later.mono < FOLLOWED_MS => pause,
            Some((edge_then, later)) => {
                Self { edge: edge_then, begin: Some(later), later: Some((edge, received)), ..pause }
            }
            None if now.mono - self.end < FOLLOWED_MS => Self { later: Some((edge, received)), ..pause },
            None => Self { edge, begin: Some(received), ..pause },
        }
    }

    /// Whether the clock, which is so far ahead of the monotonic one by now, was set back in it. Where it is not known how long
    /// it was, it is seen where the edge is still to come.
    pub(super) fn set_back(self, now: ClockReading) -> Option<SetBack> {
        let at = ClockReading { mono: self.end, ..now }.exchange();
        let is_set_back = match self.begin {
            Some(begin) => {
                begin.ahead.saturating_sub(now.ahead) >= FALLS_MS + (now.mono - begin.mono) / DRIFT
            }
            None => at < self.edge - FALLS_MS,
        };
        let ms = self.begin.map_or(SET_BACK_MS, |begin| self.end - begin.mono + CLOCK_MARGIN_MS);
        // Of a quiet coin the edge lies long before the pause.
        let begin = self.begin.map_or(self.edge, |begin| begin.exchange().max(self.edge));
        is_set_back.then(|| SetBack {
            new: Span::new(at - ms, at),
            old: Span::new(self.edge, begin + ms),
            now: now.exchange().max(at),
        })
    }
}

/// One ms of so many may be the monotonic clock's own fault.
const DRIFT: i64 = 10_000;
/// The estimate of the exchange's time may fall by less on its own, ms: what agrees within three seconds does not move it.
const FALLS_MS: i64 = 3_500;
/// A clock that is set back is followed within this time, ms.
const FOLLOWED_MS: i64 = 30_000;
/// What is known of the exchange's time may be so wrong, ms.
pub(super) const CLOCK_MARGIN_MS: i64 = 2_000;

/// How long records may have been missing where the exchange's clock was set back and nothing says since when, ms.
pub(super) const SET_BACK_MS: i64 = 60_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn pause(begin: Option<(i64, i64)>) -> Pause {
        let begin = begin.map(|(mono, ahead)| ClockReading { mono, ahead });
        Pause { edge: TimeMs(1_010_000), begin, end: 14_000, later: None }
    }

    fn set_back(pause: Pause, ahead: i64) -> Option<(Span, Span)> {
        let now = ClockReading { mono: 15_000, ahead };
        pause.set_back(now).map(|set_back| {
            assert_eq!(set_back.now, TimeMs(15_000 + ahead));
            (set_back.new, set_back.old)
        })
    }

    fn span(from: i64, to: i64) -> Span {
        Span::new(TimeMs(from), TimeMs(to))
    }

    #[test]
    fn a_clock_that_went_on_was_not_set_back_however_long_a_coin_was_quiet() {
        let hours_ago = -36_000_000;
        for (mono, ahead) in
            [(13_990, 1_000_000), (hours_ago, 1_005_000), (10_000, 999_000), (10_000, 1_001_999)]
        {
            assert_eq!(set_back(pause(Some((mono, ahead))), 1_000_000), None);
        }
        assert_eq!(set_back(pause(None), 1_000_000), None, "the edge has passed");
        assert_eq!(set_back(pause(None), 994_500), None, "or nearly");
    }

    #[test]
    fn by_either_clock_the_pause_may_have_missed_records() {
        let (new, old) = set_back(pause(Some((10_000, 1_000_000))), 995_000).unwrap();
        assert_eq!((new, old), (span(1_003_000, 1_009_000), span(1_010_000, 1_016_000)));
        // Nothing is known of how long it was.
        let (new, old) = set_back(pause(None), 990_000).unwrap();
        assert_eq!((new, old), (span(944_000, 1_004_000), span(1_010_000, 1_070_000)));
    }
}
