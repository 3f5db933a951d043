use std::collections::BTreeMap;

use super::{inside, without};
use crate::ledger::Span;
use crate::stream::History;
use crate::{StreamKey, TimeMs};

/// The first pause, ms; it doubles …
const FIRST_MS: i64 = 20_000;
/// … up to this.
const LONGEST_MS: i64 = 3_600_000;
/// Of a kind of which the exchange keeps everything, what it did not show for so long is given up, ms.
const GIVEN_UP_MS: i64 = 24 * 3_600_000;

/// Pieces that answers did not settle, and when each is asked for again: ever more rarely, since a coin that does not
/// trade has no bars, and no answer about it comes to an end.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Patience {
    streams: BTreeMap<StreamKey, BTreeMap<Span, Stuck>>,
}

/// How a piece is waited for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Stuck {
    since: TimeMs,
    pause_ms: i64,
    due: TimeMs,
}

impl Patience {
    /// What of these pieces of a stream is to be asked for now.
    #[must_use]
    pub fn due(&self, stream: StreamKey, pieces: &[Span], now: TimeMs) -> Vec<Span> {
        let Some(stuck) = self.streams.get(&stream) else { return pieces.to_vec() };
        let waits = stuck.iter().filter(|(_, stuck)| now < stuck.due).map(|(piece, _)| *piece);
        waits.fold(pieces.to_vec(), |left, piece| without(&left, piece))
    }

    /// Of `asked` these pieces stay; of what else is waited for only what is `open` still is. Returns what is given up.
    pub fn settle(
        &mut self,
        stream: StreamKey,
        open: &[Span],
        asked: &[Span],
        stays: &[Span],
        now: TimeMs,
    ) -> Vec<Span> {
        let before = self.streams.remove(&stream).unwrap_or_default();
        let is_asked = |piece: Span| !inside(asked, piece).is_empty();
        let mut after: BTreeMap<Span, Stuck> = before
            .iter()
            .filter(|(piece, _)| !is_asked(**piece) && !inside(open, **piece).is_empty())
            .map(|(piece, stuck)| (*piece, *stuck))
            .collect();
        let keeps_all = stream.spec().history == History::All;
        let mut given_up = Vec::new();
        for piece in stays {
            let was = before.get(piece);
            let since = was.map_or(now, |stuck| stuck.since);
            if keeps_all && now.since(since) >= GIVEN_UP_MS {
                given_up.push(*piece);
                continue;
            }
            let pause_ms = was.map_or(FIRST_MS, |stuck| (2 * stuck.pause_ms).min(LONGEST_MS));
            after.insert(*piece, Stuck { since, pause_ms, due: now + pause_ms });
        }
        if !after.is_empty() {
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
        self.streams.values().flat_map(BTreeMap::values).map(|stuck| stuck.due).min()
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
            assert_eq!(patience.settle(stream, &piece, &piece, &piece, now), []);
            let next = patience.next().unwrap();
            assert_eq!(patience.due(stream, &piece, next - 1), []);
            pauses.push(next.since(now) / 1_000);
            now = next;
        }
        assert_eq!(pauses, [20, 40, 80, 160, 320, 640, 1_280, 2_560, 3_600, 3_600, 3_600]);
        // What is new beside it is asked for at once, and what was settled is forgotten.
        let wider = [span(0, 12)];
        assert_eq!(patience.due(stream, &piece, now), piece);
        patience.settle(stream, &piece, &piece, &piece, now);
        assert_eq!(patience.due(stream, &wider, now), [span(9, 12)]);
        patience.settle(stream, &[], &[], &[], now);
        assert_eq!((patience.next(), patience), (None, Patience::default()));
    }

    #[test]
    fn what_was_not_asked_for_keeps_its_time() {
        let stream: StreamKey = "candle/BTC/1m".parse().unwrap();
        let (old, new) = (span(0, 9), span(20, 30));
        let mut patience = Patience::default();
        patience.settle(stream, &[old], &[old], &[old], TimeMs(0));
        patience.settle(stream, &[old, new], &[new], &[new], TimeMs(5_000));
        assert_eq!(patience.due(stream, &[old, new], TimeMs(20_000)), [old]);
        patience.retain(|_| false);
        assert_eq!(patience.next(), None);
    }

    #[test]
    fn only_what_the_exchange_keeps_for_ever_is_given_up_by_time() {
        for (stream, gives_up) in [("funding/BTC", true), ("candle/BTC/1m", false)] {
            let stream: StreamKey = stream.parse().unwrap();
            let (mut patience, piece) = (Patience::default(), [span(0, 9)]);
            assert_eq!(patience.settle(stream, &piece, &piece, &piece, TimeMs(0)), []);
            assert_eq!(patience.settle(stream, &piece, &piece, &piece, TimeMs(GIVEN_UP_MS - 1)), []);
            let given_up = patience.settle(stream, &piece, &piece, &piece, TimeMs(GIVEN_UP_MS));
            assert_eq!(given_up, if gives_up { piece.to_vec() } else { vec![] });
            assert_eq!(patience.next().is_none(), gives_up);
        }
    }
}
