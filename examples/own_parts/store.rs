//! A store of one's own. This one counts, and leaves the rest to another: what a store must do is said at `core::store::Store`,
//! and `hl_store::conformance` checks it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyperliquid_collector::core::alert::Alert;
use hyperliquid_collector::core::archive::{Claimed, Day, Part, Removed, RowKey, StoredRows};
use hyperliquid_collector::core::ledger::{Ack, Batch, Cause, Requested, Span};
use hyperliquid_collector::core::runs::{Begun, Report, Row};
use hyperliquid_collector::core::seam::BoxFuture;
use hyperliquid_collector::core::statistics::Figure;
use hyperliquid_collector::core::store::{
    Leases, LiveSession, Reservation, Settled, Store, StoreCondition, StoreError, WeightLedger,
};
use hyperliquid_collector::core::{Epoch, StreamKey, TimeMs, Token};

pub(crate) struct CountingStore<S> {
    pub(crate) inner: S,
    /// Rows inserted.
    pub(crate) rows: AtomicU64,
}

impl<S: Store> WeightLedger for CountingStore<S> {
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

impl<S: Store> Store for CountingStore<S> {
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
            let ack = self.inner.commit(batch).await?;
            self.rows.fetch_add(ack.inserted, Ordering::Relaxed);
            Ok(ack)
        })
    }

    fn request_backfill<'a>(
        &'a self,
        stream: StreamKey,
        span: Span,
        cause: Cause,
    ) -> BoxFuture<'a, Result<Requested, StoreError>> {
        self.inner.request_backfill(stream, span, cause)
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
