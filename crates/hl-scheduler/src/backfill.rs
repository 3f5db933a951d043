//! Filling gaps from what the exchange still has.
//!
//! A backfill owns pieces below the edge: gaps, claimed in the store, so that two processes never fill the same one.
//! Each page is one transaction, which checks that the ledger still holds the piece and splits it where less was
//! filled. So it can be stopped anywhere and goes on where it stopped.

use std::sync::Arc;

use hl_core::ledger::{Batch, Cause, Change, Span};
use hl_core::source::{FetchError, Page, Past};
use hl_core::store::{Store, StoreError};
use hl_core::stream::History;
use hl_core::{Epoch, Origin, Records, StreamKey, TimeMs};

/// How often a page is asked for where the weight budget has no room.
const TRIES: u32 = 3;

/// What a backfill did to a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Filled {
    /// Open gaps, or parts of them, that nobody else was at.
    pub claimed: u64,
    /// Rows that were new.
    pub rows: u64,
    /// Time that is covered now, ms.
    pub filled_ms: i64,
    /// Time that the exchange no longer has, recorded as unrecoverable, ms.
    pub lost_ms: i64,
    /// Gaps or parts of gaps given up as unrecoverable.
    pub lost: u64,
    /// Time that the exchange has and that cannot be read, recorded as unrecoverable, ms.
    pub unreadable_ms: i64,
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

/// What a backfill tells while it works.
#[derive(Clone, Copy, Debug)]
pub enum Step<'a> {
    /// A page is done.
    Page {
        /// The piece that is being filled.
        piece: Span,
        /// How far it is, ms from the start of the piece.
        done_ms: i64,
        /// Rows so far.
        rows: u64,
    },
    /// This was committed.
    Committed(&'a Change),
}

/// Told of every step.
pub type Told<'a> = &'a (dyn Fn(StreamKey, Step<'_>) + Send + Sync);

/// Fills the open gaps of `stream` inside `span` under the backfill claim `epoch`: page by page where the exchange has
/// a past, with one request where it has only the newest records; where it has nothing they are given up. Dropping
/// the future is safe: call [`Store::unclaim`] then, or end the process.
///
/// # Errors
/// When the store fails, or the exchange does after retries.
pub async fn fill(
    store: &dyn Store,
    past: &dyn Past,
    epoch: Epoch,
    stream: StreamKey,
    span: Span,
    told: Told<'_>,
) -> Result<Filled, BackfillError> {
    let pieces = store.claim_gaps(stream, span, epoch).await?;
    let mut filled = Filled { claimed: pieces.len() as u64, ..Filled::default() };
    let job = Job { store, past, epoch, stream, told };
    let done = job.pieces(&pieces, &mut filled).await;
    store.unclaim(epoch).await?;
    done.map(|()| filled)
}

struct Job<'a> {
    store: &'a dyn Store,
    past: &'a dyn Past,
    epoch: Epoch,
    stream: StreamKey,
    told: Told<'a>,
}

impl Job<'_> {
    async fn pieces(&self, pieces: &[Span], filled: &mut Filled) -> Result<(), BackfillError> {
        let (Some(first), Some(last)) = (pieces.first(), pieces.last()) else { return Ok(()) };
        match self.stream.spec().history {
            History::Bars(_) | History::All => {
                for piece in pieces {
                    self.piece(*piece, filled).await?;
                }
                Ok(())
            }
            // However many gaps there are, every answer would be the same.
            History::Recent(_) | History::None => {
                self.at_once(pieces, Span::new(first.from, last.to), filled).await
            }
        }
    }

    async fn piece(&self, piece: Span, filled: &mut Filled) -> Result<(), BackfillError> {
        let mut at = piece.from;
        loop {
            let page = self.page(Span::new(at, piece.to)).await?;
            let mut changes = Vec::new();
            let mut done_to = at;
            if let Some(span) = page.lost {
                filled.lost_ms += span.ms();
                filled.lost += 1;
                done_to = done_to.max(span.to);
                changes.push(Change::GapLost { span });
            }
            if let Some(span) = page.proven {
                let unreadable_ms = common_ms(&page.unreadable, span);
                filled.unreadable_ms += unreadable_ms;
                filled.filled_ms += span.ms() - unreadable_ms;
                done_to = done_to.max(span.to);
                changes.extend(proven(self.epoch, span, page.records, &page.unreadable));
            }
            filled.rows += self.commit(changes).await?;
            let done_ms = done_to.since(piece.from);
            (self.told)(self.stream, Step::Page { piece, done_ms, rows: filled.rows });
            match page.next {
                Some(next) if next > at => at = next,
                _ => {
                    filled.open_ms += piece.to.since(done_to).max(0);
                    return Ok(());
                }
            }
        }
    }

    async fn at_once(&self, pieces: &[Span], hull: Span, filled: &mut Filled) -> Result<(), BackfillError> {
        let page = self.page(hull).await?;
        let mut changes = Vec::new();
        let mut settled_ms = 0;
        // What is proven first, so that no more than the rest is given up.
        if let Some(span) = page.proven {
            let unreadable_ms: i64 = page
                .unreadable
                .iter()
                .filter_map(|part| part.intersect(span))
                .map(|part| common_ms(pieces, part))
                .sum();
            changes.extend(proven(self.epoch, span, page.records, &page.unreadable));
            settled_ms += common_ms(pieces, span);
            filled.filled_ms += common_ms(pieces, span) - unreadable_ms;
            filled.unreadable_ms += unreadable_ms;
        }
        if let Some(lost) = page.lost {
            for span in pieces.iter().filter_map(|piece| piece.intersect(lost)) {
                changes.push(Change::GapLost { span });
                filled.lost += 1;
            }
            settled_ms += common_ms(pieces, lost);
            filled.lost_ms += common_ms(pieces, lost);
        }
        filled.rows += self.commit(changes).await?;
        filled.open_ms += pieces.iter().map(|piece| piece.ms()).sum::<i64>() - settled_ms;
        (self.told)(self.stream, Step::Page { piece: hull, done_ms: settled_ms, rows: filled.rows });
        Ok(())
    }

    /// A page; where the budget has no room, once more: other processes may have taken it.
    async fn page(&self, piece: Span) -> Result<Page, BackfillError> {
        let mut tries = 1;
        loop {
            match self.past.page(self.stream, piece).await {
                Ok(page) => return Ok(page),
                Err(error) if error.cause == Cause::OverCapacity && tries < TRIES => tries += 1,
                Err(source) => return Err(BackfillError::Fetch { stream: self.stream, source }),
            }
        }
    }

    async fn commit(&self, changes: Vec<Change>) -> Result<u64, StoreError> {
        if changes.is_empty() {
            return Ok(0);
        }
        let changes = changes.into_iter().map(|change| (self.stream, change)).collect();
        let batch = Arc::new(Batch { token: self.store.token(), changes });
        let ack = self.store.commit(batch.clone()).await?;
        for (stream, change) in &batch.changes {
            (self.told)(*stream, Step::Committed(change));
        }
        Ok(ack.inserted)
    }
}

/// The changes that an answer makes which proves `span` but for the parts of it that cannot be read, oldest first.
#[must_use]
pub fn proven(epoch: Epoch, span: Span, records: Records, unreadable: &[Span]) -> Vec<Change> {
    let parts = Span::joined(unreadable.iter().filter_map(|part| part.intersect(span)));
    if parts.is_empty() {
        return vec![Change::Filled { epoch, origin: Origin::Backfill, span, records }];
    }
    let fill = |from: TimeMs, to: TimeMs| {
        let mut records = records.clone();
        let span = Span::new(from, to);
        // Whether a row at the end of a piece belongs to it is the store's to say.
        records.retain_time(|time| span.contains(time));
        Change::Filled { epoch, origin: Origin::Backfill, span, records }
    };
    let mut changes = Vec::with_capacity(2 * parts.len() + 1);
    let mut from = span.from;
    for part in parts {
        if from < part.from {
            changes.push(fill(from, part.from));
        }
        changes.push(Change::GapUnreadable { span: part });
        from = part.to;
    }
    if from < span.to {
        changes.push(fill(from, span.to));
    }
    changes
}

/// How much of the pieces lies in `span`, ms.
fn common_ms(pieces: &[Span], span: Span) -> i64 {
    pieces.iter().filter_map(|piece| piece.intersect(span)).map(Span::ms).sum()
}

/// Gives up open gaps of a stream inside `span` for good, without asking: the exchange has no past of it. Those that end
/// after `until` stay, whole: one outage is one gap. They are not claimed either: a promotion may fill them meanwhile.
/// Returns whether there are any, where `span` ends with the last open gap.
///
/// # Errors
/// When the store fails.
pub async fn give_up(
    store: &dyn Store,
    epoch: Epoch,
    stream: StreamKey,
    span: Span,
    until: TimeMs,
) -> Result<bool, StoreError> {
    let stays = span.to > until;
    if until < span.from {
        return Ok(stays);
    }
    let old = Span { from: span.from, to: span.to.min(until) };
    let pieces = store.claim_whole_gaps(stream, old, epoch).await?;
    if pieces.is_empty() {
        return Ok(stays);
    }
    let changes = pieces.into_iter().map(|span| (stream, Change::GapLost { span })).collect();
    let committed = store.commit(Arc::new(Batch { token: store.token(), changes })).await;
    // Claims go back also where the store failed: they would stay for as long as this process lives.
    store.unclaim(epoch).await?;
    committed.map(|_| stays)
}
