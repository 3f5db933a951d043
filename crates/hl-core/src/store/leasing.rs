//! Leases: which session may write a stream, and what is stored up to where it begins.

use super::layer::role;
use super::{Holder, StoreError};
use crate::ledger::{GapState, Span};
use crate::record::Market;
use crate::seam::BoxFuture;
use crate::stream::Conflation;
use crate::{Kind, StreamKey, TimeMs};

/// Where a live claim on a stream begins.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct StreamStart {
    /// The stream.
    pub stream: StreamKey,
    /// The stored edge; none where the stream was never collected.
    pub edge: Option<TimeMs>,
    /// When it had ended; none where it goes on.
    pub ended: Option<TimeMs>,
    /// What is stored shortly before the edge, of the kinds of which that is read ([`Recent::is_read_of`]).
    pub recent: Recent,
}

/// What is stored up to the edge. Of trades the first answer can join by a shared key, and bars that come later can be
/// compared with what was stored before a restart; and what comes below the edge lies where something was covered, or in a gap.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Recent {
    /// From here to the edge every piece is covered or among the gaps; none where nothing is stored.
    pub since: Option<TimeMs>,
    /// Whether nothing was ever collected before `since`.
    pub is_all: bool,
    /// Time and tid of each trade from `since` on, in order; of other kinds none.
    pub keys: Vec<(TimeMs, u64)>,
    /// Pieces that are not proven, oldest first.
    pub gaps: Vec<Span>,
    /// Where the last of those ends that are given up; none where none is. It may be of a time that the exchange lived twice, of
    /// which what is shown now says nothing.
    pub given_up: Option<TimeMs>,
    /// Of `markets` the last row of each market, however old it is, by coin; without those that have settled, which do not
    /// come back. Of other kinds none.
    pub markets: Vec<Market>,
}

impl Recent {
    /// Whether it is read of a stream: of trades, of states that bear the exchange's time, and of markets.
    #[must_use]
    pub fn is_read_of(stream: StreamKey) -> bool {
        let spec = stream.spec();
        matches!(stream.kind(), Kind::Trades | Kind::Markets)
            || spec.timed && spec.conflation == Conflation::State
    }

    /// The last minutes before an edge, still without keys. `first`: where the ledger begins. `pieces`: those that end within
    /// [`RECENT_MS`] before the edge, each with its state where it is a gap that is not filled.
    #[must_use]
    pub fn before(edge: TimeMs, first: Option<TimeMs>, mut pieces: Vec<(Span, Option<GapState>)>) -> Self {
        let oldest = edge - RECENT_MS;
        pieces.sort_unstable_by_key(|(span, _)| std::cmp::Reverse(span.to));
        let mut since = None;
        for (span, _) in &pieces {
            if since.unwrap_or(edge) <= span.to {
                since = Some(since.unwrap_or(edge).min(span.from.max(oldest)));
            }
        }
        let mut gaps: Vec<_> =
            pieces.iter().filter(|(_, gap)| gap.is_some()).map(|(span, _)| *span).collect();
        gaps.sort_unstable();
        let given_up = pieces.iter().filter(|(_, gap)| *gap == Some(GapState::Unrecoverable));
        let given_up = given_up.map(|(span, _)| span.to).max();
        let is_all = since.zip(first).is_some_and(|(since, first)| since <= first);
        Self { since, is_all, gaps, given_up, ..Self::default() }
    }
}

/// How much of the past [`Recent`] holds, ms: bars of so many minutes are compared with them.
pub const RECENT_MS: i64 = 30 * 60_000;

/// What [`Leasing::lease`] gave.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Leases {
    /// Streams that this session may write from now on.
    pub granted: Vec<StreamStart>,
    /// Streams that a living process holds.
    pub held: Vec<(StreamKey, Holder)>,
}

role! {
    /// Takes streams for this session, and gives them back.
    pub trait Leasing {
        /// Takes the leases of those streams that no living process holds, and reads where each begins, in one
        /// transaction. One that had ended goes on from then on.
        fn lease<'a>(&'a self, streams: &'a [StreamKey]) -> BoxFuture<'a, Result<Leases, StoreError>>;

        /// Gives leases back: another process may take them at once.
        fn release<'a>(&'a self, streams: &'a [StreamKey]) -> BoxFuture<'a, Result<(), StoreError>>;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recent_past_begins_after_the_last_hole() {
        let span = |from, to| Span::new(TimeMs(from), TimeMs(to));
        let (open, given_up) = (Some(GapState::Open), Some(GapState::Unrecoverable));
        let of = |edge, pieces: &[(Span, Option<GapState>)]| {
            let first = pieces.iter().map(|(span, _)| span.from).min();
            let Recent { since, gaps, is_all, .. } = Recent::before(edge, first, pieces.to_vec());
            assert_eq!(is_all, since == first);
            (since, gaps)
        };
        let pieces = [(span(10, 40), None), (span(40, 60), open), (span(90, 95), None)];
        assert_eq!(of(TimeMs(60), &pieces), (Some(TimeMs(10)), vec![span(40, 60)]));
        assert_eq!(of(TimeMs(95), &pieces), (Some(TimeMs(90)), vec![span(40, 60)]));
        let edge = TimeMs(2 * RECENT_MS);
        assert_eq!(of(edge, &[(span(0, edge.0), None)]).0, Some(edge - RECENT_MS));
        let pieces = vec![(span(10, 20), given_up), (span(20, 30), given_up), (span(40, 60), open)];
        assert_eq!(Recent::before(TimeMs(60), None, pieces).given_up, Some(TimeMs(30)));
    }
}
