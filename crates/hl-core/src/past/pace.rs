use std::collections::BTreeMap;

use super::{inside, without};
use crate::ledger::Span;
use crate::stream::History;
use crate::{StreamKey, TimeMs};

/// The first pause, ms; it doubles …
const FIRST_MS: i64 = 20_000;
/// … up to this.
const LONGEST_MS: i64 = 3_600_000;
/// What the exchange did not show for so long of a kind of which it keeps everything is given up, and so is what could not be
/// read in any answer for so long, ms.
const GIVEN_UP_MS: i64 = 24 * 3_600_000;

/// Pieces that answers did not settle, and when each is asked for again: ever more rarely, since a coin that does not
/// trade has no bars, and no answer about it comes to an end.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Patience {
    streams: BTreeMap<StreamKey, Waiting>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
struct Waiting {
    stuck: BTreeMap<Span, Stuck>,
    /// Since when each part is asked for in vain of what is given up by time. Parts that adjoin are asked for as one, and
    /// yet each has its own time.
    since: BTreeMap<Span, TimeMs>,
}

/// How a piece is waited for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Stuck {
    pause_ms: i64,
    due: TimeMs,
}

impl Patience {
    /// What of these pieces of a stream is to be asked for now.
    #[must_use]
    pub fn due(&self, stream: StreamKey, pieces: &[Span], now: TimeMs) -> Vec<Span> {
        let Some(waiting) = self.streams.get(&stream) else { return pieces.to_vec() };
        let waits = waiting.stuck.iter().filter(|(_, stuck)| now < stuck.due).map(|(piece, _)| *piece);
        waits.fold(pieces.to_vec(), |left, piece| without(&left, piece))
    }

    /// Of `asked` these pieces stay, some of them because they are `unreadable`; of what else is waited for only what is `open`
    /// still is. Returns what is given up.
    pub fn settle(
        &mut self,
        stream: StreamKey,
        open: &[Span],
        asked: &[Span],
        stays: &[Span],
        unreadable: &[Span],
        now: TimeMs,
    ) -> Vec<Span> {
        let before = self.streams.remove(&stream).unwrap_or_default();
        let is_kept = |piece: Span| inside(asked, piece).is_empty() && !inside(open, piece).is_empty();
        let mut after = Waiting::default();
        after.stuck.extend(before.stuck.iter().filter(|(piece, _)| is_kept(**piece)));
        after.since.extend(before.since.iter().filter(|(piece, _)| is_kept(**piece)));
        let by_time = match stream.spec().history {
            History::All => stays,
            _ => unreadable,
        };
        let mut given_up = Vec::new();
        for (part, since) in by_time.iter().flat_map(|piece| before.since_of(*piece, now)) {
            if now.since(since) >= GIVEN_UP_MS {
                given_up.push(part);
            } else {
                after.since.insert(part, since);
            }
        }
        let left = given_up.iter().fold(stays.to_vec(), |left, part| without(&left, *part));
        for piece in left {
            let pause_ms = before.pause_of(piece).map_or(FIRST_MS, |pause_ms| (2 * pause_ms).min(LONGEST_MS));
            after.stuck.insert(piece, Stuck { pause_ms, due: now + pause_ms });
        }
        if after != Waiting::default() {
            self.streams.insert(stream, after);
        }
        given_up
    }

    /// Forgets the streams that have no open gap any more.
    pub fn retain(&mut self, is_open: impl Fn(StreamKey) -> bool) {
        self.streams.retain(|stream, _| is_open(*stream));
    }

    /// When the next piece is due; none where nothing is waited for.
    #[must_use]
    pub fn next(&self) -> Option<TimeMs> {
        self.streams.values().flat_map(|waiting| waiting.stuck.values()).map(|stuck| stuck.due).min()
    }
}

impl Waiting {
    /// The parts of a piece, each with the time since when it is asked for in vain.
    fn since_of(&self, piece: Span, now: TimeMs) -> Vec<(Span, TimeMs)> {
        let (mut parts, mut new) = (Vec::new(), vec![piece]);
        for (known, since) in &self.since {
            parts.extend(inside(&new, *known).into_iter().map(|part| (part, *since)));
            new = without(&new, *known);
        }
        parts.extend(new.into_iter().map(|part| (part, now)));
        parts
    }

    /// The shortest pause of what a piece consists of; none where a part of it is new.
    fn pause_of(&self, piece: Span) -> Option<i64> {
        let known = self.stuck.iter().filter(|(known, _)| known.overlaps(piece));
        let new = known.clone().fold(vec![piece], |left, (known, _)| without(&left, *known));
        known.map(|(_, stuck)| stuck.pause_ms).min().filter(|_| new.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(from: i64, to: i64) -> Span {
        Span::new(TimeMs(from), TimeMs(to))
    }

    #[test]
    fn what_stays_is_asked_for_ever_more_rarely() {
        let stream: StreamKey = "candle/BTC/1m".parse().unwrap();
        let (mut patience, piece) = (Patience::default(), [span(0, 9)]);
        let mut now = TimeMs(0);
        let mut pauses = Vec::new();
        for _ in 0..11 {
            assert_eq!(patience.due(stream, &piece, now), piece);
            assert_eq!(patience.settle(stream, &piece, &piece, &piece, &[], now), []);
            let next = patience.next().unwrap();
            assert_eq!(patience.due(stream, &piece, next - 1), []);
            pauses.push(next.since(now) / 1_000);
            now = next;
        }
        assert_eq!(pauses, [20, 40, 80, 160, 320, 640, 1_280, 2_560, 3_600, 3_600, 3_600]);
        // What is new beside it is asked for at once, and what was settled is forgotten.
        let wider = [span(0, 12)];
        assert_eq!(patience.due(stream, &piece, now), piece);
        patience.settle(stream, &piece, &piece, &piece, &[], now);
        assert_eq!(patience.due(stream, &wider, now), [span(9, 12)]);
        patience.settle(stream, &[], &[], &[], &[], now);
        assert_eq!((patience.next(), patience), (None, Patience::default()));
    }

    #[test]
    fn what_was_not_asked_for_keeps_its_time() {
        let stream: StreamKey = "candle/BTC/1m".parse().unwrap();
        let (old, new) = (span(0, 9), span(20, 30));
        let mut patience = Patience::default();
        patience.settle(stream, &[old], &[old], &[old], &[], TimeMs(0));
        patience.settle(stream, &[old, new], &[new], &[new], &[], TimeMs(5_000));
        assert_eq!(patience.due(stream, &[old, new], TimeMs(20_000)), [old]);
        patience.retain(|_| false);
        assert_eq!(patience.next(), None);
    }

    #[test]
    fn parts_that_adjoin_are_asked_for_as_one_and_given_up_each_at_its_time() {
        let stream: StreamKey = "funding/BTC".parse().unwrap();
        let (first, second, both) = (span(0, 9), span(9, 12), span(0, 12));
        let mut patience = Patience::default();
        let hour = LONGEST_MS;
        assert_eq!(patience.settle(stream, &[first], &[first], &[first], &[], TimeMs(0)), []);
        assert_eq!(patience.settle(stream, &[both], &[second], &[second], &[], TimeMs(hour)), []);
        for asked in 2..24 {
            assert_eq!(patience.settle(stream, &[both], &[both], &[both], &[], TimeMs(asked * hour)), []);
        }
        let day = TimeMs(GIVEN_UP_MS);
        assert_eq!(patience.settle(stream, &[both], &[both], &[both], &[], day), [first]);
        assert_eq!(patience.next(), Some(day + hour), "and the rest is not asked for as if it were new");
        assert_eq!(patience.settle(stream, &[second], &[second], &[second], &[], day + hour), [second]);
        assert_eq!(patience, Patience::default());
    }

    #[test]
    fn what_cannot_be_read_is_given_up_when_no_answer_of_a_day_could_be() {
        let stream: StreamKey = "candle/BTC/1m".parse().unwrap();
        let (piece, bad, day) = ([span(0, 9)], [span(3, 4)], GIVEN_UP_MS);
        let run = |readable_at: Option<i64>| {
            let mut patience = Patience::default();
            let mut given_up = None;
            for hour in 0..48 {
                let now = TimeMs(hour * LONGEST_MS);
                let unreadable = if Some(hour) == readable_at { &[][..] } else { &bad };
                let now_given_up = patience.settle(stream, &piece, &piece, &piece, unreadable, now);
                if !now_given_up.is_empty() {
                    given_up.get_or_insert((hour, now_given_up));
                }
            }
            given_up
        };
        assert_eq!(run(None), Some((day / LONGEST_MS, bad.to_vec())), "and nothing of what is beside it");
        assert_eq!(run(Some(5)), Some((30, bad.to_vec())), "it did not fail in the same way");
        let mut patience = Patience::default();
        assert_eq!(patience.settle(stream, &piece, &piece, &bad, &bad, TimeMs(0)), []);
        assert_eq!(patience.settle(stream, &piece, &piece, &bad, &bad, TimeMs(day)), bad);
        assert_eq!(patience, Patience::default());
    }

    #[test]
    fn only_what_the_exchange_keeps_for_ever_is_given_up_by_time() {
        for (stream, gives_up) in [("funding/BTC", true), ("candle/BTC/1m", false)] {
            let stream: StreamKey = stream.parse().unwrap();
            let (mut patience, piece) = (Patience::default(), [span(0, 9)]);
            assert_eq!(patience.settle(stream, &piece, &piece, &piece, &[], TimeMs(0)), []);
            assert_eq!(patience.settle(stream, &piece, &piece, &piece, &[], TimeMs(GIVEN_UP_MS - 1)), []);
            let given_up = patience.settle(stream, &piece, &piece, &piece, &[], TimeMs(GIVEN_UP_MS));
            assert_eq!(given_up, if gives_up { piece.to_vec() } else { vec![] });
            assert_eq!(patience.next().is_none(), gives_up);
        }
    }
}
