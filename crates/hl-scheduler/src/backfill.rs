//! Filling gaps from what the exchange still has.
//!
//! A backfill owns pieces below the edge: gaps, claimed in the store, so that two processes never fill the same one.
//! Each page is one transaction, which checks that the ledger still holds the piece and splits it where less was
//! filled. So it can be stopped anywhere and goes on where it stopped.

use std::sync::Arc;

use hl_core::ledger::{Batch, Cause, Change, Span};
use hl_core::past::{self, Page};
use hl_core::source::{FetchError, Past};
use hl_core::store::{Store, StoreError};
use hl_core::stream::History;
use hl_core::{Epoch, Origin, Records, StreamKey, TimeMs};

/// How often a page is asked for where the weight budget has no room.
const TRIES: u32 = 3;

/// What a backfill did to a stream.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Filled {
    /// Open gaps, or parts of them, that no other session was at.
    pub claimed: Vec<Span>,
    /// Rows that were new.
    pub rows: u64,
    /// Time that is covered now, ms.
    pub filled_ms: i64,
    /// Time that the exchange no longer has, recorded as unrecoverable, ms.
    pub lost_ms: i64,
    /// Gaps or parts of gaps given up as unrecoverable.
    pub lost: u64,
    /// Time that stays open: it is too young, or no answer settled it, ms.
    pub open_ms: i64,
    /// What was asked for, and what of it no answer settled, however wide the question.
    pub asked: Vec<Span>,
    /// See `asked`.
    pub stuck: Vec<Span>,
    /// What of that the exchange has, and cannot be read.
    pub unreadable: Vec<Span>,
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
        /// The hull of what is asked for.
        piece: Span,
        /// What is settled of the stream so far, ms.
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
/// the future is safe: call [`unclaim`](hl_core::store::GapClaims::unclaim) then, or end the process.
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
    fill_due(store, past, epoch, stream, span, &|pieces| pieces.to_vec(), told).await
}

/// Which parts of the open gaps of a stream are to be asked for now.
pub type Due<'a> = &'a (dyn Fn(&[Span]) -> Vec<Span> + Send + Sync);

/// [`fill`], of the parts that are `due`.
///
/// # Errors
/// As [`fill`].
pub async fn fill_due(
    store: &dyn Store,
    past: &dyn Past,
    epoch: Epoch,
    stream: StreamKey,
    span: Span,
    due: Due<'_>,
    told: Told<'_>,
) -> Result<Filled, BackfillError> {
    let claimed = store.claim_gaps(stream, span, epoch).await?;
    let mut filled = Filled { claimed, ..Filled::default() };
    let job = Job { store, past, epoch, stream, told };
    let done = job.pieces(due, &mut filled).await;
    store.unclaim(epoch).await?;
    done.map(|()| filled)
}

/// Fills the open gaps of a live `stream` inside `span` as far as the newest records reach, with one request; the rest stays
/// open. A promoted ring may fill them meanwhile, so they are claimed only once the answer is there, and only what it
/// settles.
///
/// # Errors
/// When the store fails, or the exchange does after retries.
pub async fn fill_newest(
    store: &dyn Store,
    past: &dyn Past,
    epoch: Epoch,
    stream: StreamKey,
    span: Span,
    told: Told<'_>,
) -> Result<u64, BackfillError> {
    let job = Job { store, past, epoch, stream, told };
    let page = past::certain(job.page(span, 0).await?);
    let Some(proven) = page.proven_hull().filter(|proven| proven.ms() > 0) else { return Ok(0) };
    let pieces = store.claim_gaps(stream, proven, epoch).await?;
    let filled = past::beside(&page, &pieces).into_iter().map(|(span, records)| job.proven(span, records));
    let committed = job.commit(filled.collect()).await;
    store.unclaim(epoch).await?;
    Ok(committed?)
}

struct Job<'a> {
    store: &'a dyn Store,
    past: &'a dyn Past,
    epoch: Epoch,
    stream: StreamKey,
    told: Told<'a>,
}

impl Job<'_> {
    async fn pieces(&self, due: Due<'_>, filled: &mut Filled) -> Result<(), BackfillError> {
        let pieces = filled.claimed.clone();
        let (Some(first), Some(last)) = (pieces.first(), pieces.last()) else { return Ok(()) };
        match self.stream.spec().history {
            History::Bars(_) | History::All => {
                filled.open_ms = past::length(&pieces);
                let due = due(&pieces);
                filled.asked.clone_from(&due);
                self.pages(due, filled).await
            }
            // However many gaps there are, every answer would be the same.
            History::Recent(_) | History::None => {
                self.at_once(&pieces, Span::new(first.from, last.to), filled).await
            }
        }
    }

    /// Page after page over all of the pieces, so that one question serves many small ones; then wider questions for what
    /// no answer settled.
    async fn pages(&self, mut todo: Vec<Span>, filled: &mut Filled) -> Result<(), BackfillError> {
        for effort in 0..=past::WIDEST {
            let mut again = Vec::new();
            while let (Some(first), Some(last)) = (todo.first(), todo.last()) {
                let hull = Span::new(first.from, last.to);
                let page = self.page(hull, effort).await?;
                let Some(about) = page.about else { break };
                let (reached, wider) = (page.reached, page.wider);
                let before = past::length(&todo);
                todo = self.settle(page, todo, filled).await?;
                let done_ms = filled.filled_ms + filled.lost_ms;
                (self.told)(self.stream, Step::Page { piece: hull, done_ms, rows: filled.rows });
                // An answer that settled something may have been cut short: what it did not reach is asked for again.
                let answered = match past::length(&todo) < before {
                    true => reached,
                    false => Some(about),
                };
                if let Some(answered) = answered {
                    let stays = past::inside(&todo, answered);
                    todo = past::without(&todo, answered);
                    if wider { again.extend(stays) } else { filled.stuck.extend(stays) }
                }
                if past::length(&todo) == before {
                    break;
                }
            }
            if again.is_empty() {
                break;
            }
            again.sort_unstable();
            todo = Span::joined(again);
        }
        filled.stuck.extend(&filled.unreadable);
        filled.stuck.sort_unstable();
        filled.stuck = Span::joined(std::mem::take(&mut filled.stuck));
        Ok(())
    }

    /// Commits what a page settles of the pieces, and returns what is left of them to ask for. What cannot be read is not asked
    /// for more widely.
    async fn settle(
        &self,
        page: Page,
        pieces: Vec<Span>,
        filled: &mut Filled,
    ) -> Result<Vec<Span>, BackfillError> {
        let mut left = pieces;
        let mut changes = Vec::new();
        for span in page.unreadable {
            let parts = past::inside(&left, span);
            filled.unreadable.extend(&parts);
            changes.extend(parts.into_iter().map(|span| Change::GapUnreadable { span }));
            left = past::without(&left, span);
        }
        for span in page.lost {
            for part in past::inside(&left, span) {
                filled.lost_ms += part.ms();
                filled.lost += 1;
                changes.push(Change::GapLost { span: part });
            }
            left = past::without(&left, span);
        }
        for (span, records) in page.proven {
            let parts = past::inside(&left, span);
            if !parts.is_empty() {
                filled.filled_ms += past::length(&parts);
                changes.push(self.proven(span, records));
            }
            left = past::without(&left, span);
        }
        filled.rows += self.commit(changes).await?;
        let settled_ms = filled.filled_ms + filled.lost_ms;
        filled.open_ms = past::length(&filled.claimed) - settled_ms;
        Ok(left)
    }

    async fn on(
        &self,
        mut edge: Option<TimeMs>,
        begin: TimeMs,
        until: TimeMs,
        may_ask: &mut (dyn FnMut() -> bool + Send),
    ) -> Result<Option<ReadOn>, BackfillError> {
        let mut read = ReadOn { more: true, ..ReadOn::default() };
        while read.more && may_ask() {
            let from = edge.unwrap_or(begin);
            if until <= from {
                read.more = false;
                break;
            }
            let page = self.page(Span { from, to: until }, 0).await?;
            read.pages += 1;
            read.more = page.more;
            read.newest =
                page.proven.iter().filter_map(|(_, rows)| Some(rows.extent()?.1)).max().max(read.newest);
            let Some((end, changes)) = self.beyond(edge, page) else {
                // It shows nothing behind the edge, and would show the same again.
                read.more = false;
                break;
            };
            let changes = changes.into_iter().map(|change| (self.stream, change)).collect();
            let ack = self.store.commit(Arc::new(Batch { token: self.store.token(), changes })).await?;
            if !ack.superseded.is_empty() {
                return Ok(None);
            }
            read.rows += ack.inserted;
            edge = Some(end);
        }
        Ok(Some(read))
    }

    /// What a page says of the time from the edge on, and the edge from then on. None where it says nothing.
    fn beyond(&self, edge: Option<TimeMs>, page: Page) -> Option<(TimeMs, Vec<Change>)> {
        let proven = page.proven_hull();
        let from = edge.or(proven.map(|proven| proven.from))?;
        let lost = page.lost.into_iter().filter(|lost| edge.is_some() && from <= lost.from);
        let lost: Vec<_> = lost.collect();
        let end = lost.iter().copied().chain(proven).map(|span| span.to).max().filter(|end| from < *end)?;
        let whole = Span { from, to: end };
        let holes = page.proven.iter().fold(vec![whole], |holes, (span, _)| past::without(&holes, *span));
        let mut changes: Vec<_> =
            holes.into_iter().map(|span| Change::GapOpened { span, cause: Cause::NotCollected }).collect();
        let unreadable = past::inside(&page.unreadable, whole);
        changes.extend(unreadable.into_iter().map(|span| Change::GapUnreadable { span }));
        changes.extend(lost.into_iter().map(|span| Change::GapLost { span }));
        let (epoch, origin) = (self.epoch, Origin::Rest);
        for (span, records) in page.proven {
            changes.push(Change::Rows { epoch, origin, records });
            changes.push(Change::Covered { epoch, origin, span });
        }
        changes.push(Change::Edge(end));
        Some((end, changes))
    }

    async fn at_once(&self, pieces: &[Span], hull: Span, filled: &mut Filled) -> Result<(), BackfillError> {
        let page = self.page(hull, 0).await?;
        let mut changes = Vec::new();
        let mut settled_ms = 0;
        // What is proven first, so that no more than the rest is given up.
        for (span, records) in page.proven {
            changes.push(self.proven(span, records));
            let common_ms = past::length(&past::inside(pieces, span));
            settled_ms += common_ms;
            filled.filled_ms += common_ms;
        }
        for span in page.unreadable {
            changes.push(Change::GapUnreadable { span });
        }
        for lost in page.lost {
            for span in pieces.iter().filter_map(|piece| piece.intersect(lost)) {
                changes.push(Change::GapLost { span });
                filled.lost += 1;
            }
            let common_ms = past::length(&past::inside(pieces, lost));
            settled_ms += common_ms;
            filled.lost_ms += common_ms;
        }
        filled.rows += self.commit(changes).await?;
        filled.open_ms += past::length(pieces) - settled_ms;
        (self.told)(self.stream, Step::Page { piece: hull, done_ms: settled_ms, rows: filled.rows });
        Ok(())
    }

    /// A page; where the budget has no room, once more: other processes may have taken it.
    async fn page(&self, piece: Span, effort: u32) -> Result<Page, BackfillError> {
        let mut tries = 1;
        loop {
            match self.past.page(self.stream, piece, effort).await {
                Ok(page) => return Ok(page),
                Err(error) if error.cause == Cause::OverCapacity && tries < TRIES => tries += 1,
                Err(source) => return Err(BackfillError::Fetch { stream: self.stream, source }),
            }
        }
    }

    fn proven(&self, span: Span, records: Records) -> Change {
        Change::Filled { epoch: self.epoch, origin: Origin::Backfill, span, records }
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

/// What reading on brought.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ReadOn {
    /// Rows that were new.
    pub rows: u64,
    /// Answers that were asked for.
    pub pages: u32,
    /// The time of the newest row that came, ms.
    pub newest: Option<TimeMs>,
    /// Whether the exchange has more, which was not asked for.
    pub more: bool,
}

/// Reads on from where a stream of a trader is settled, as far as the exchange has rows up to `until`; where nothing is stored, from
/// `begin`. Each page is one transaction, and moves the edge right behind its last row. What lies between the edge and the first row
/// of an answer that does not join it is a gap. What one `epoch` reads in one piece is covered in one piece. Another page is asked for while `may_ask`. Returns none where another
/// process is at it.
///
/// # Errors
/// When the store fails, or the exchange does after retries.
pub async fn read_on(
    store: &dyn Store,
    past: &dyn Past,
    epoch: Epoch,
    stream: StreamKey,
    begin: TimeMs,
    until: TimeMs,
    may_ask: &mut (dyn FnMut() -> bool + Send),
) -> Result<Option<ReadOn>, BackfillError> {
    let leases = store.lease(&[stream]).await?;
    let Some(start) = leases.granted.first() else { return Ok(None) };
    let job = Job { store, past, epoch, stream, told: &|_, _| {} };
    let read = job.on(start.edge, begin, until, may_ask).await;
    // A lease stays for as long as this process lives otherwise.
    store.release(&[stream]).await?;
    read
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
    lose(store, epoch, stream, pieces).await?;
    Ok(stays)
}

/// Gives up what of the open gaps of a stream lies inside `span` for good. A gap that sticks out is split.
///
/// # Errors
/// When the store fails.
pub async fn give_up_part(
    store: &dyn Store,
    epoch: Epoch,
    stream: StreamKey,
    span: Span,
) -> Result<(), StoreError> {
    let pieces = store.claim_gaps(stream, span, epoch).await?;
    lose(store, epoch, stream, pieces).await
}

/// Gives claimed pieces up, and the claim back.
async fn lose(
    store: &dyn Store,
    epoch: Epoch,
    stream: StreamKey,
    pieces: Vec<Span>,
) -> Result<(), StoreError> {
    if pieces.is_empty() {
        return Ok(());
    }
    let changes = pieces.into_iter().map(|span| (stream, Change::GapLost { span })).collect();
    let committed = store.commit(Arc::new(Batch { token: store.token(), changes })).await;
    // Claims go back also where the store failed: they would stay for as long as this process lives.
    store.unclaim(epoch).await?;
    committed.map(drop)
}
