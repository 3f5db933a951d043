//! The rows and the ledger of streams: what changes them, and what reads them.

use std::sync::Arc;

use super::StoreError;
use super::layer::role;
use crate::archive::{Day, Part, RowKey, StoredRows};
use crate::ledger::{Ack, Batch, Cause, Requested, Span};
use crate::seam::BoxFuture;
use crate::{StreamKey, TimeMs};

/// How far the past of a stream is settled, and what of it is missing: what a reader has to know that follows the stream.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Settled {
    /// The stored edge; none where there is none.
    pub edge: Option<TimeMs>,
    /// Gaps that are not filled, whether they can be or not, oldest first.
    pub unfilled: Vec<Span>,
}

role! {
    /// What writes rows, covered pieces and gaps. No other role adds a row, or opens, fills or gives up a gap: a layer that
    /// has to know of all of that writes this role, and may delegate the others.
    pub trait LedgerWriter {
        /// Writes a batch in one transaction. Not cancelled by dropping the future. Repeating a batch that was written
        /// changes nothing.
        ///
        /// [`Change::Rows`](crate::ledger::Change::Rows), `Covered`, `Final`, `GapOpened`, `Doubted`, `Edge` and `Ended` need the
        /// stream's lease under the batch's token; what lacks it is left out and named in [`Ack::superseded`]. The token
        /// is the batch's, not the session's: what a dead process spooled is still taken while no other session has the stream.
        ///
        /// What lies between the stored edge of a stream and the first piece of the batch, and is neither covered nor a gap, was
        /// lost by the store: an older copy of it was put in its place. It becomes a gap with the cause `store_lost`.
        fn commit(&self, batch: Arc<Batch>) -> BoxFuture<'_, Result<Ack, StoreError>>;

        /// Opens a gap over those parts of `span` below the stream's edge that are neither covered nor a gap already.
        /// Where there is no edge yet: over all such parts if no living session holds the stream, otherwise nowhere.
        ///
        /// Returns the gaps, and up to where that was: the edge, or the end of `span` where it comes first. None where a living
        /// holder has not said yet where its past ends: ask again later.
        fn request_backfill<'a>(
            &'a self,
            stream: StreamKey,
            span: Span,
            cause: Cause,
        ) -> BoxFuture<'a, Result<Requested, StoreError>>;
    }
}

role! {
    /// Reads which streams there are, how far they are settled, their rows, and what of them was archived.
    pub trait LedgerReader {
        /// Every stream that the store knows, by name.
        fn known_streams(&self) -> BoxFuture<'_, Result<Vec<StreamKey>, StoreError>>;

        /// The streams that were collected and have not ended, by name.
        fn unended_streams(&self) -> BoxFuture<'_, Result<Vec<StreamKey>, StoreError>>;

        /// The edge of a stream and its gaps that are not filled, as of one moment.
        fn settled(&self, stream: StreamKey) -> BoxFuture<'_, Result<Settled, StoreError>>;

        /// Pieces of a stream that were gaps and were filled at `since` or later, by the clock of the process that filled them,
        /// oldest first. Neighbours that the ledger has joined are one piece, filled when the last of them was.
        fn filled_since(
            &self,
            stream: StreamKey,
            since: TimeMs,
        ) -> BoxFuture<'_, Result<Vec<Span>, StoreError>>;

        /// Days of a stream that are over before `before` and settled, and that have rows in the store, oldest first, with
        /// how many. Settled is what lies more than [`RECENT_MS`](super::RECENT_MS) below the edge, of bars the final ones;
        /// where nothing is known of an edge, everything.
        #[allow(clippy::type_complexity, reason = "a name for the pair would say no more")]
        fn settled_days(
            &self,
            stream: StreamKey,
            before: TimeMs,
        ) -> BoxFuture<'_, Result<Vec<(Day, u64)>, StoreError>>;

        /// The first `most` rows whose time lies in the closed `span`, with keys after `after`, in key order; of bars the final
        /// ones.
        fn rows_in(
            &self,
            stream: StreamKey,
            span: Span,
            after: Option<RowKey>,
            most: usize,
        ) -> BoxFuture<'_, Result<StoredRows, StoreError>>;

        /// The recorded parts of a day of a stream, in the order in which they were recorded.
        fn day_parts(&self, stream: StreamKey, day: Day) -> BoxFuture<'_, Result<Vec<Part>, StoreError>>;
    }
}

role! {
    /// What an audit compares with the exchange's own bars.
    pub trait CoveredBars {
        /// The bars of a stream that are covered, of those whose open time lies in `span`, its end excluded: open time and
        /// number of trades, 0 where nothing was traded and no bar is stored, oldest first, at most 5,000. Nothing for
        /// calendar intervals, nor of days of which something was archived.
        #[allow(clippy::type_complexity, reason = "a name for the pair would say no more")]
        fn covered_bars(
            &self,
            stream: StreamKey,
            span: Span,
        ) -> BoxFuture<'_, Result<Vec<(TimeMs, u64)>, StoreError>>;
    }
}
