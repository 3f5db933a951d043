//! Whether a stream changes its owner again and again, whatever the cause.

use std::collections::VecDeque;

use hl_core::ledger::Cause;
use hl_core::selector::Mono;

/// Changes are counted over so long, ms.
const WINDOW_MS: i64 = 300_000;
/// It flaps from so many changes on: an outage is two, and so is a mute …
const FLAPPING: usize = 8;
/// … and is at rest again below these.
const AT_REST: usize = 4;
/// From so many streams on it is one alert for all of them.
pub(crate) const MANY: usize = 4;

/// The changes of owner of one stream.
#[derive(Debug)]
pub(crate) struct Flapping {
    /// All changes so far.
    moves: u64,
    /// When the last ones were seen.
    changes: VecDeque<Mono>,
    flaps: bool,
}

impl Flapping {
    /// A stream that has changed so often.
    pub(crate) fn new(moves: u64) -> Self {
        Self { moves, changes: VecDeque::new(), flaps: false }
    }

    /// Takes in that it has changed so often by now, for the last time because of `cause`. What is to be said, where it
    /// flaps.
    pub(crate) fn words(&mut self, now: Mono, moves: u64, cause: Option<Cause>) -> Option<String> {
        // A stream that another process had meanwhile begins anew.
        let new = moves.saturating_sub(std::mem::replace(&mut self.moves, moves));
        let kept = 4 * FLAPPING;
        for _ in 0..new.min(kept as u64) {
            self.changes.push_back(now);
        }
        while self.changes.len() > kept || self.changes.front().is_some_and(|at| now - at >= WINDOW_MS) {
            self.changes.pop_front();
        }
        let changes = self.changes.len();
        self.flaps = changes >= FLAPPING || self.flaps && changes >= AT_REST;
        self.flaps.then(|| {
            // At most so many are kept, in less time then.
            let over_ms = self.changes.front().map_or(WINDOW_MS, |first| (now - first).max(60_000));
            let tenths = i64::try_from(changes).unwrap_or(i64::MAX) * 600_000 / over_ms;
            let why =
                cause.map_or(String::new(), |cause| format!(", the last time because of {}", cause.as_str()));
            format!("changes its owner {}.{} times a minute{why}", tenths / 10, tenths % 10)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_flaps_from_eight_changes_on_and_rests_below_four() {
        let mut stream = Flapping::new(5);
        let mut said = |at_s: i64, moves| stream.words(at_s * 1_000, moves, Some(Cause::Silence));
        assert_eq!(said(0, 5), None, "what was before is not known");
        assert_eq!(said(100, 12), None);
        let words = "changes its owner 4.8 times a minute, the last time because of silence";
        assert_eq!(said(200, 13).as_deref(), Some(words), "eight in 100 s");
        assert!(said(399, 13).is_some());
        assert_eq!(said(400, 13), None, "one is left");
        assert!(said(401, 20).is_some(), "and eight again");
    }

    #[test]
    fn ordinary_trouble_is_no_flapping() {
        let mut stream = Flapping::new(1);
        for minute in 0..600 {
            let moves = 1 + 2 * u64::try_from(minute / 2).unwrap();
            assert_eq!(stream.words(minute * 60_000, moves, None), None, "an outage every other minute");
        }
    }

    #[test]
    fn a_count_that_begins_anew_is_no_change() {
        let mut stream = Flapping::new(100);
        assert_eq!(stream.words(0, 1, None), None);
        assert_eq!(stream.words(1_000, 3, None), None);
        assert_eq!(stream.changes.len(), 2);
    }

    #[test]
    fn what_is_kept_is_bounded_and_the_rate_is_that_of_what_is_kept() {
        let mut stream = Flapping::new(0);
        let words =
            (1..=1_000).map(|n| stream.words(n * 1_000, 10 * n.unsigned_abs(), None)).last().flatten();
        assert_eq!(stream.changes.len(), 4 * FLAPPING);
        assert_eq!(words.as_deref(), Some("changes its owner 32.0 times a minute"), "at least");
    }
}
