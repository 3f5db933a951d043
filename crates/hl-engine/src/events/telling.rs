//! The store that the parts of an engine are given: it passes everything on, and tells what was committed.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hl_core::alert::Alert;
use hl_core::archive::{Claimed, Day, Part, Removed, RowKey, StoredRows};
use hl_core::ledger::{Ack, Batch, Became, Cause, Change, GapChange, Requested, Span};
use hl_core::runs::{Begun, Report, Row};
use hl_core::seam::BoxFuture;
use hl_core::statistics::Figure;
use hl_core::store::{
    Leases, LiveSession, Reservation, Settled, Store, StoreCondition, StoreError, WeightLedger,
};
use hl_core::{Epoch, Origin, Records, StreamKey, TimeMs, Token};

use super::{Event, Feed};
use crate::engine::lock;

/// So many batches without an answer are remembered. They are made again within seconds, or wait in the spool, one behind
/// the other.
const UNANSWERED: usize = 1_024;

/// See the [module](self).
pub(crate) struct TellingStore {
    inner: Arc<dyn Store>,
    feed: Arc<Feed>,
    /// One call after the other, where there are readers: what is told in another order than it was stored in tells of a
    /// gap that is filled before it is open.
    turn: tokio::sync::Mutex<()>,
    /// Batches whose commit failed: by what they hold, since one that comes out of the spool is not the same object.
    unanswered: Mutex<BTreeSet<u64>>,
}

impl TellingStore {
    pub(crate) fn new(inner: Arc<dyn Store>, feed: Arc<Feed>) -> Self {
        Self { inner, feed, turn: tokio::sync::Mutex::default(), unanswered: Mutex::default() }
    }

    /// The right to commit and to tell of it. Without a reader it is not needed.
    async fn turn(&self) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        match self.feed.is_heard() {
            true => Some(self.turn.lock().await),
            false => None,
        }
    }

    fn remember(&self, batch: &Batch) {
        let mut unanswered = lock(&self.unanswered);
        if unanswered.len() < UNANSWERED {
            unanswered.insert(digest(batch));
        }
    }

    /// Whether it was sent before, and got no answer.
    fn is_repeated(&self, batch: &Batch) -> bool {
        let mut unanswered = lock(&self.unanswered);
        !unanswered.is_empty() && unanswered.remove(&digest(batch))
    }
}

fn digest(batch: &Batch) -> u64 {
    let mut hasher = DefaultHasher::new();
    batch.hash(&mut hasher);
    hasher.finish()
}

/// What a store took of a batch.
fn taken(batch: &Batch, ack: &Ack) -> Vec<Event> {
    let mut left_out = BTreeMap::<usize, BTreeSet<usize>>::new();
    for (change, row) in &ack.left_out {
        left_out.entry(*change).or_default().insert(*row);
    }
    let (mut events, mut ends) = (Vec::new(), Vec::new());
    for (at, (stream, change)) in batch.changes.iter().enumerate() {
        if change.needs_lease() && ack.superseded.contains(stream) {
            continue;
        }
        if let Change::Ended(at) = change {
            ends.push(Event::Ended { stream: *stream, at: *at });
        }
        if let Change::Rows { epoch, origin, records } | Change::Filled { epoch, origin, records, .. } =
            change
        {
            let records = match left_out.get(&at) {
                None => records.clone(),
                Some(left_out) => {
                    let written = (0..records.len()).filter(|row| !left_out.contains(row));
                    records.pick(&written.collect::<Vec<_>>())
                }
            };
            if !records.is_empty() {
                events.push(rows(*stream, *origin, *epoch, records));
            }
        }
    }
    events.extend(ack.gaps.iter().map(|(stream, change)| of_gap(*stream, *change)));
    events.extend(ends);
    events
}

fn rows(stream: StreamKey, origin: Origin, epoch: Epoch, records: Records) -> Event {
    Event::Rows { stream, origin, epoch, records: Arc::new(records) }
}

fn of_gap(stream: StreamKey, change: GapChange) -> Event {
    let GapChange { span, cause, became } = change;
    match became {
        Became::Opened => Event::GapOpened { stream, span, cause, state: stream.spec().new_gap() },
        Became::Renamed => Event::GapRenamed { stream, span, cause },
        Became::Filled => Event::GapFilled { stream, span, cause },
        Became::Lost => Event::GapLost { stream, span, cause },
    }
}

/// Of a batch that was sent before: the pieces of streams of which the first attempt may have stored something.
fn in_doubt(batch: &Batch, ack: &Ack) -> Vec<Event> {
    let mut pieces = BTreeMap::<StreamKey, Span>::new();
    for (at, (stream, change)) in batch.changes.iter().enumerate() {
        let rows_left = ack.left_out.iter().any(|(change, _)| *change == at);
        let gap_known = !ack.gaps.iter().any(|(of, _)| of == stream);
        let extent = |records: &Records| records.extent().map(|(from, to)| Span { from, to });
        let span = match change {
            Change::Rows { records, .. } if rows_left => extent(records),
            Change::Filled { span, .. } if rows_left || gap_known => Some(*span),
            Change::GapOpened { span, .. }
            | Change::Doubted { span, .. }
            | Change::GapLost { span }
            | Change::GapUnreadable { span }
                if gap_known =>
            {
                Some(*span)
            }
            _ => None,
        };
        if let Some(span) = span {
            pieces.entry(*stream).and_modify(|piece| *piece = piece.hull(span)).or_insert(span);
        }
    }
    pieces.into_iter().map(|(stream, span)| Event::Resync { stream, span }).collect()
}

impl WeightLedger for TellingStore {
    fn reserve<'a>(
        &'a self,
        address: &'a str,
        now: TimeMs,
        weight: u32,
        ceiling: u32,
    ) -> BoxFuture<'a, Result<Reservation, StoreError>> {
        self.inner.reserve(address, now, weight, ceiling)
    }

    fn book_spent<'a>(
        &'a self,
        address: &'a str,
        spent: &'a [(TimeMs, u32)],
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        self.inner.book_spent(address, spent)
    }
}

impl Store for TellingStore {
    fn token(&self) -> Token {
        self.inner.token()
    }

    fn condition(&self) -> StoreCondition {
        self.inner.condition()
    }

    fn lease<'a>(&'a self, streams: &'a [StreamKey]) -> BoxFuture<'a, Result<Leases, StoreError>> {
        self.inner.lease(streams)
    }

    fn patience(&self) -> Duration {
        self.inner.patience()
    }

    fn release<'a>(&'a self, streams: &'a [StreamKey]) -> BoxFuture<'a, Result<(), StoreError>> {
        self.inner.release(streams)
    }

    fn commit(&self, batch: Arc<Batch>) -> BoxFuture<'_, Result<Ack, StoreError>> {
        Box::pin(async move {
            let _turn = self.turn().await;
            match self.inner.commit(batch.clone()).await {
                Ok(ack) => {
                    let repeated = self.is_repeated(&batch);
                    if self.feed.is_heard() {
                        self.feed.tell(&taken(&batch, &ack));
                        if repeated {
                            self.feed.tell(&in_doubt(&batch, &ack));
                        }
                    }
                    Ok(ack)
                }
                Err(error) => {
                    self.remember(&batch);
                    Err(error)
                }
            }
        })
    }

    fn request_backfill<'a>(
        &'a self,
        stream: StreamKey,
        span: Span,
        cause: Cause,
    ) -> BoxFuture<'a, Result<Requested, StoreError>> {
        Box::pin(async move {
            let _turn = self.turn().await;
            let asked = self.inner.request_backfill(stream, span, cause).await?;
            let opened: Vec<_> = asked.gaps.iter().map(|change| of_gap(stream, *change)).collect();
            self.feed.tell(&opened);
            Ok(asked)
        })
    }

    fn claim_gaps(
        &self,
        stream: StreamKey,
        span: Span,
        epoch: Epoch,
    ) -> BoxFuture<'_, Result<Vec<Span>, StoreError>> {
        self.inner.claim_gaps(stream, span, epoch)
    }

    fn claim_whole_gaps(
        &self,
        stream: StreamKey,
        span: Span,
        epoch: Epoch,
    ) -> BoxFuture<'_, Result<Vec<Span>, StoreError>> {
        self.inner.claim_whole_gaps(stream, span, epoch)
    }

    fn unclaim(&self, epoch: Epoch) -> BoxFuture<'_, Result<(), StoreError>> {
        self.inner.unclaim(epoch)
    }

    fn open_gaps(&self) -> BoxFuture<'_, Result<Vec<(StreamKey, u64, Span)>, StoreError>> {
        self.inner.open_gaps()
    }

    fn covered_bars(
        &self,
        stream: StreamKey,
        span: Span,
    ) -> BoxFuture<'_, Result<Vec<(TimeMs, u64)>, StoreError>> {
        self.inner.covered_bars(stream, span)
    }

    fn known_streams(&self) -> BoxFuture<'_, Result<Vec<StreamKey>, StoreError>> {
        self.inner.known_streams()
    }

    fn unended_streams(&self) -> BoxFuture<'_, Result<Vec<StreamKey>, StoreError>> {
        self.inner.unended_streams()
    }

    fn settled_days(
        &self,
        stream: StreamKey,
        before: TimeMs,
    ) -> BoxFuture<'_, Result<Vec<(Day, u64)>, StoreError>> {
        self.inner.settled_days(stream, before)
    }

    fn claim_day(
        &self,
        stream: StreamKey,
        day: Day,
        epoch: Epoch,
    ) -> BoxFuture<'_, Result<Claimed, StoreError>> {
        self.inner.claim_day(stream, day, epoch)
    }

    fn unclaim_day(
        &self,
        stream: StreamKey,
        day: Day,
        epoch: Epoch,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        self.inner.unclaim_day(stream, day, epoch)
    }

    fn rows_in(
        &self,
        stream: StreamKey,
        span: Span,
        after: Option<RowKey>,
        most: usize,
    ) -> BoxFuture<'_, Result<StoredRows, StoreError>> {
        self.inner.rows_in(stream, span, after, most)
    }

    fn settled(&self, stream: StreamKey) -> BoxFuture<'_, Result<Settled, StoreError>> {
        self.inner.settled(stream)
    }

    fn commit_part(
        &self,
        claim: (StreamKey, Day, Epoch),
        part: Option<Part>,
        rows: Arc<StoredRows>,
    ) -> BoxFuture<'_, Result<Removed, StoreError>> {
        self.inner.commit_part(claim, part, rows)
    }

    fn day_parts(&self, stream: StreamKey, day: Day) -> BoxFuture<'_, Result<Vec<Part>, StoreError>> {
        self.inner.day_parts(stream, day)
    }

    fn begin_run<'a>(&'a self, job: &'a str, planned: TimeMs) -> BoxFuture<'a, Result<Begun, StoreError>> {
        self.inner.begin_run(job, planned)
    }

    fn end_run<'a>(
        &'a self,
        job: &'a str,
        planned: TimeMs,
        report: Report,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        self.inner.end_run(job, planned, report)
    }

    fn request_run<'a>(&'a self, job: &'a str) -> BoxFuture<'a, Result<TimeMs, StoreError>> {
        self.inner.request_run(job)
    }

    fn requested_runs(&self) -> BoxFuture<'_, Result<Vec<(String, TimeMs)>, StoreError>> {
        self.inner.requested_runs()
    }

    fn runs<'a>(&'a self, job: Option<&'a str>, most: u32) -> BoxFuture<'a, Result<Vec<Row>, StoreError>> {
        self.inner.runs(job, most)
    }

    fn put_statistics<'a>(
        &'a self,
        series: &'a str,
        figures: Vec<Figure>,
        through: Option<TimeMs>,
    ) -> BoxFuture<'a, Result<u64, StoreError>> {
        self.inner.put_statistics(series, figures, through)
    }

    fn statistics_through<'a>(
        &'a self,
        series: &'a str,
    ) -> BoxFuture<'a, Result<Option<TimeMs>, StoreError>> {
        self.inner.statistics_through(series)
    }

    fn put_alert<'a>(&'a self, alert: &'a Alert) -> BoxFuture<'a, Result<(), StoreError>> {
        self.inner.put_alert(alert)
    }

    fn sessions<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<LiveSession>, StoreError>> {
        self.inner.sessions(name)
    }

    fn put_note<'a>(&'a self, name: &'a str, text: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        self.inner.put_note(name, text)
    }

    fn note<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<String>, StoreError>> {
        self.inner.note(name)
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.inner.close()
    }
}
