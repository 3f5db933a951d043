//! Filling gaps from what the exchange still has.
//!
//! A backfill owns pieces below the edge: gaps, claimed in the store, so that two processes never fill the same one.
//! Each page is one transaction, which checks that the ledger still holds the piece and splits it where less was
//! filled. So it can be stopped anywhere and goes on where it stopped.

use std::sync::Arc;

use hl_core::ledger::{Batch, Change, Span};
use hl_core::source::{FetchError, Past};
use hl_core::store::{Store, StoreError};
use hl_core::{Epoch, Origin, StreamKey};

/// What a backfill did to a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Filled {
    /// Rows that were new.
    pub rows: u64,
    /// Time that is covered now, ms.
    pub filled_ms: i64,
    /// Time that the exchange no longer has, recorded as unrecoverable, ms.
    pub lost_ms: i64,
    /// Gaps or parts of gaps given up as unrecoverable.
    pub lost: u64,
    /// Time that stays open: it is too young, or somebody else is at it, ms.
    pub open_ms: i64,
}

/// A backfill stopped early. What was filled stays filled.
#[derive(Debug, thiserror::Error)]
pub enum BackfillError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The exchange.
    #[error("{stream}: {source}")]
    Fetch {
        /// The stream.
        stream: StreamKey,
        /// The cause.
        source: FetchError,
    },
}

/// Told after every page: the stream, the piece that is being filled, how far it is, and rows so far.
pub type Progress<'a> = &'a (dyn Fn(StreamKey, Span, i64, u64) + Send + Sync);

/// Fills the open gaps of `stream` inside `span` under the backfill claim `epoch`. Dropping the future is safe: call
/// [`Store::unclaim`] then, or end the process.
///
/// # Errors
/// When the store fails, or the exchange does after retries.
pub async fn fill(
    store: &dyn Store,
    past: &dyn Past,
    epoch: Epoch,
    stream: StreamKey,
    span: Span,
    progress: Progress<'_>,
) -> Result<Filled, BackfillError> {
    let mut filled = Filled::default();
    let pieces = store.claim_gaps(stream, span, epoch).await?;
    let mut failure = None;
    for piece in pieces {
        if let Err(error) = fill_piece(store, past, epoch, stream, piece, &mut filled, progress).await {
            failure = Some(error);
            break;
        }
    }
    store.unclaim(epoch).await?;
    failure.map_or(Ok(filled), Err)
}

async fn fill_piece(
    store: &dyn Store,
    past: &dyn Past,
    epoch: Epoch,
    stream: StreamKey,
    piece: Span,
    filled: &mut Filled,
    progress: Progress<'_>,
) -> Result<(), BackfillError> {
    let mut at = piece.from;
    loop {
        let page = past
            .page(stream, Span::new(at, piece.to))
            .await
            .map_err(|source| BackfillError::Fetch { stream, source })?;
        let mut changes = Vec::new();
        let mut done_to = at;
        if let Some(span) = page.lost {
            filled.lost_ms += span.ms();
            filled.lost += 1;
            done_to = done_to.max(span.to);
            changes.push((stream, Change::GapLost { span }));
        }
        if let Some(span) = page.proven {
            filled.filled_ms += span.ms();
            done_to = done_to.max(span.to);
            let records = page.records;
            changes.push((stream, Change::Filled { epoch, origin: Origin::Backfill, span, records }));
        }
        if !changes.is_empty() {
            let batch = Batch { token: store.token(), changes };
            filled.rows += store.commit(Arc::new(batch)).await?.inserted;
        }
        progress(stream, piece, done_to.since(piece.from), filled.rows);
        match page.next {
            Some(next) if next > at => at = next,
            _ => {
                filled.open_ms += piece.to.since(done_to).max(0);
                return Ok(());
            }
        }
    }
}

/// Gives up open gaps of a stream inside `span` for good, without asking: the exchange has no past of it.
///
/// # Errors
/// When the store fails.
pub async fn give_up(
    store: &dyn Store,
    epoch: Epoch,
    stream: StreamKey,
    span: Span,
) -> Result<u64, StoreError> {
    let pieces = store.claim_gaps(stream, span, epoch).await?;
    let changes: Vec<_> = pieces.iter().map(|span| (stream, Change::GapLost { span: *span })).collect();
    let lost = changes.len() as u64;
    if lost > 0 {
        store.commit(Arc::new(Batch { token: store.token(), changes })).await?;
    }
    store.unclaim(epoch).await?;
    Ok(lost)
}
