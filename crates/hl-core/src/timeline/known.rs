//! The trades that were stored lately: what an answer is compared with.

use std::collections::BTreeSet;

use crate::TimeMs;
use crate::ledger::Span;
use crate::record::Trade;
use crate::store::Recent;

/// Trades of one coin that are remembered: minutes of the busiest one. When there are more, the older half is given up.
const MOST_KEYS: usize = 16_384;

/// Block and tid.
pub(super) type Key = (TimeMs, u64);

/// Stored trades, and from where on all of them are remembered.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Known {
    /// Every trade that was stored after this block is among the keys. Of the block itself some may be missing.
    from: TimeMs,
    /// Whether anything may be stored that is not remembered.
    forgot: bool,
    keys: BTreeSet<Key>,
}

impl Known {
    /// What the store holds shortly before the edge.
    pub(super) fn stored(edge: Option<TimeMs>, recent: &Recent) -> Self {
        let from = recent.since.or(edge).unwrap_or(TimeMs::MIN);
        let keys = recent.keys.iter().copied().collect();
        let mut known = Self { from, forgot: !recent.is_all, keys };
        known.shorten();
        known
    }

    /// Nothing is stored before this block, which may not be whole.
    pub(super) fn begin(&mut self, first: TimeMs) {
        (self.from, self.forgot) = (first, false);
    }

    /// Whether everything that was ever stored is remembered, and a time lies before all of it.
    pub(super) fn is_before_all(&self, time: TimeMs) -> bool {
        !self.forgot && time < self.from
    }

    /// Nothing is stored from `from` to where it began, which is returned.
    pub(super) fn reach_back(&mut self, from: TimeMs) -> TimeMs {
        std::mem::replace(&mut self.from, from)
    }

    pub(super) fn add(&mut self, trades: &[Trade]) {
        self.keys.extend(trades.iter().map(Trade::key));
        self.shorten();
    }

    fn shorten(&mut self) {
        if self.keys.len() > MOST_KEYS {
            let kept = self.keys.iter().nth(MOST_KEYS / 2).map_or(self.from, |(time, _)| *time);
            self.keys = self.keys.split_off(&(kept, 0));
            self.from = self.from.max(kept - 1);
            self.forgot = true;
        }
    }

    pub(super) fn has(&self, trade: &Trade) -> bool {
        self.keys.contains(&trade.key())
    }

    /// Whether every stored trade of that time is remembered.
    pub(super) fn reaches(&self, time: TimeMs) -> bool {
        self.from < time
    }

    /// Whether trades of that time may be stored that are not remembered.
    pub(super) fn has_forgotten(&self, time: TimeMs) -> bool {
        self.forgot && time <= self.from
    }

    /// The newest block of which a trade is remembered.
    pub(super) fn newest(&self) -> Option<TimeMs> {
        self.keys.last().map(|(block, _)| *block)
    }

    /// The stored trades strictly between two blocks.
    pub(super) fn between(&self, after: TimeMs, before: TimeMs) -> impl Iterator<Item = Key> + '_ {
        let inside = (after + 1, 0)..(before.max(after + 1), 0);
        self.keys.range(inside).copied()
    }

    /// The stored blocks that a time lies between. One that is stored itself begins the piece.
    pub(super) fn around(&self, time: TimeMs) -> Option<Span> {
        let before = self.keys.range(..(time + 1, 0)).next_back().map_or(self.from, |(block, _)| *block);
        let (after, _) = self.keys.range((time + 1, 0)..).next()?;
        Some(Span::new(before.max(self.from), *after))
    }

    /// The pieces between neighbouring stored blocks that a span reaches into, oldest first.
    pub(super) fn pieces(&self, span: Span) -> Vec<Span> {
        let mut pieces = Vec::new();
        let mut at = span.from.max(self.from);
        while at < span.to
            && let Some(piece) = self.around(at)
        {
            pieces.push(piece);
            at = piece.to;
        }
        pieces
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::tests::records::trade;

    fn known(times: &[i64]) -> Known {
        let keys = times.iter().map(|time| (TimeMs(*time), 1)).collect();
        Known::stored(Some(TimeMs(90)), &Recent { since: Some(TimeMs(10)), keys, ..Recent::default() })
    }

    fn span(from: i64, to: i64) -> Span {
        Span::new(TimeMs(from), TimeMs(to))
    }

    #[test]
    fn a_time_lies_between_the_stored_blocks_beside_it() {
        let known = known(&[20, 30, 90]);
        let around = |time| known.around(TimeMs(time));
        assert_eq!(
            [around(25), around(30), around(31)],
            [Some(span(20, 30)), Some(span(30, 90)), Some(span(30, 90))]
        );
        assert_eq!([around(15), around(90)], [Some(span(10, 20)), None], "and where the memory begins");
        assert_eq!(known.pieces(span(22, 35)), [span(20, 30), span(30, 90)]);
        assert_eq!(known.pieces(span(0, 15)), [span(10, 20)]);
        let between: Vec<_> = known.between(TimeMs(20), TimeMs(90)).map(|(time, _)| time.0).collect();
        assert_eq!(between, [30], "strictly");
        assert_eq!(known.between(TimeMs(90), TimeMs(20)).count(), 0);
    }

    #[test]
    fn the_older_half_is_given_up_and_no_longer_vouched_for() {
        let mut known = known(&[]);
        let most = i64::try_from(MOST_KEYS).unwrap();
        for time in 0..=most {
            known.add(&[trade(100 + time, 1)]);
        }
        assert!(known.keys.len() <= MOST_KEYS && known.keys.len() >= MOST_KEYS / 2);
        assert!(known.reaches(TimeMs(100 + most)) && !known.reaches(TimeMs(110)));
        assert!(known.keys.iter().all(|(time, _)| known.reaches(*time)));
    }
}
