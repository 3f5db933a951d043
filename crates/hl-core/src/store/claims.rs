//! Claims on the past: open gaps for a backfill, whole days for the archive.

use std::sync::Arc;

use super::StoreError;
use super::layer::role;
use crate::archive::{Claimed, Day, Part, Removed, StoredRows};
use crate::ledger::Span;
use crate::seam::BoxFuture;
use crate::{Epoch, StreamKey};

role! {
    /// Claims of backfills on open gaps, disjoint among living sessions. What fills a gap or gives it up is
    /// [`LedgerWriter::commit`](super::LedgerWriter::commit).
    pub trait GapClaims {
        /// Streams that have open gaps, with the number of them and the piece from the first to the last.
        #[allow(clippy::type_complexity, reason = "a name for the triple would say no more")]
        fn open_gaps(&self) -> BoxFuture<'_, Result<Vec<(StreamKey, u64, Span)>, StoreError>>;

        /// Claims the open gaps of a stream inside `span` for a backfill under `epoch`: gaps that stick out are split.
        /// Pieces that another living session has claimed are left out. Returns the pieces, oldest first.
        fn claim_gaps(
            &self,
            stream: StreamKey,
            span: Span,
            epoch: Epoch,
        ) -> BoxFuture<'_, Result<Vec<Span>, StoreError>>;

        /// Like [`Self::claim_gaps`], but leaves out gaps that stick out of `span`: no gap is split.
        fn claim_whole_gaps(
            &self,
            stream: StreamKey,
            span: Span,
            epoch: Epoch,
        ) -> BoxFuture<'_, Result<Vec<Span>, StoreError>>;

        /// Gives back what is left of the claims of `epoch`.
        fn unclaim(&self, epoch: Epoch) -> BoxFuture<'_, Result<(), StoreError>>;
    }
}

role! {
    /// Claims of the archive on days, and the removal of rows under them.
    pub trait DayClaims {
        /// Claims a day of a stream for the archive, exclusive among living sessions. A session that claims it again has it
        /// under the later epoch.
        fn claim_day(
            &self,
            stream: StreamKey,
            day: Day,
            epoch: Epoch,
        ) -> BoxFuture<'_, Result<Claimed, StoreError>>;

        /// Gives a day back; changes nothing where the claim no longer stands.
        fn unclaim_day(&self, stream: StreamKey, day: Day, epoch: Epoch)
        -> BoxFuture<'_, Result<(), StoreError>>;

        /// Records a part, where there is one, and removes those of `rows` that are still stored exactly as they are
        /// given, in one transaction, while the claim of `epoch` on the day stands.
        fn commit_part(
            &self,
            claim: (StreamKey, Day, Epoch),
            part: Option<Part>,
            rows: Arc<StoredRows>,
        ) -> BoxFuture<'_, Result<Removed, StoreError>>;
    }
}
