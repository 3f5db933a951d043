//! Rows of another system: what they may do here, and what not.

use hl_core::ledger::Span;
use hl_core::seam::BoxFuture;
use hl_core::store::{Store, StoreError};
use hl_core::stream::Borders;
use hl_core::{Records, StreamKey, TimeMs};

/// A session that takes in rows of another system.
pub trait Import: Store {
    /// Writes those of the rows whose key is not there yet, as imported ones; of bars only final ones are to be given. What
    /// is there stays, and the ledger stays: imported rows prove nothing. Returns how many are new.
    fn put_imported(&self, stream: StreamKey, records: Records) -> BoxFuture<'_, Result<u64, StoreError>>;
}

/// What of a stream was collected here: nothing is brought in from elsewhere there.
#[derive(Clone, Debug)]
pub struct Ours {
    borders: Borders,
    edge: Option<TimeMs>,
    /// Oldest first; pieces that touch are one.
    covered: Vec<Span>,
}

impl Ours {
    /// What is covered, and everything from the edge on, which whoever collects will bring.
    #[must_use]
    pub fn new(stream: StreamKey, edge: Option<TimeMs>, covered: impl IntoIterator<Item = Span>) -> Self {
        let mut pieces: Vec<_> = covered.into_iter().collect();
        pieces.sort_unstable();
        Self { borders: stream.spec().borders, edge, covered: Span::joined(pieces) }
    }

    /// Whether a time lies in it.
    #[must_use]
    pub fn holds(&self, time: TimeMs) -> bool {
        let at = self.covered.partition_point(|piece| piece.to < time);
        let is_covered = self.covered.get(at..).into_iter().flatten().take(2);
        self.edge.is_some_and(|edge| edge <= time)
            || is_covered.into_iter().any(|piece| self.borders.contain(*piece, time))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_covered_and_what_lies_ahead_is_ours() {
        let span = |from, to| Span::new(TimeMs(from), TimeMs(to));
        let ours = Ours::new(StreamKey::MIDS, Some(TimeMs(30)), [span(20, 25), span(5, 10), span(10, 12)]);
        let held: Vec<_> = (0..35).filter(|time| ours.holds(TimeMs(*time))).collect();
        let expected: Vec<_> = (5..=12).chain(20..=25).chain(30..35).collect();
        assert_eq!(held, expected);

        let bars = StreamKey::Candle(hl_core::Coin::new("BTC").unwrap(), hl_core::Interval::M1);
        let ours = Ours::new(bars, None, [span(60_000, 120_000)]);
        assert_eq!([60_000, 120_000].map(|time| ours.holds(TimeMs(time))), [true, false]);
    }
}
