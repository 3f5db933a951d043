//! Trouble with the store: a layer over any [`Store`] that is slow, fails for a while, or loses its answers; and that
//! writes every commit into the trace.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hl_core::alert::Alert;
use hl_core::archive::{Claimed, Day, Part, Removed, RowKey, StoredRows};
use hl_core::ledger::{Ack, Batch, Cause, Change, Requested, Span};
use hl_core::runs::{Begun, Report, Row};
use hl_core::seam::BoxFuture;
use hl_core::statistics::Figure;
use hl_core::store::{
    Leases, LiveSession, Reservation, Settled, Store, StoreCondition, StoreError, WeightLedger,
};
use hl_core::{Epoch, StreamKey, TimeMs, Token};
use tokio::time::Instant;

use crate::Trace;

/// What is wrong with the store now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// Every request waits so many milliseconds before it is done.
    Slow {
        /// Milliseconds.
        ms: u64,
    },
    /// Every request fails, as when the disk is full, and nothing is done.
    Fails,
    /// Commits are done, and then reported as failed.
    LosesAnswers,
}

/// The trouble that all stores of a world share.
#[derive(Clone, Default)]
pub struct Troubles(Arc<Mutex<Option<(Trouble, Instant)>>>);

impl Troubles {
    fn lock(&self) -> MutexGuard<'_, Option<(Trouble, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a trouble, which lasts for so long.
    pub fn strike(&self, trouble: Trouble, for_ms: u64) {
        *self.lock() = Some((trouble, Instant::now() + Duration::from_millis(for_ms)));
    }

    fn now(&self) -> Option<Trouble> {
        self.lock().filter(|&(_, until)| Instant::now() < until).map(|(trouble, _)| trouble)
    }

    /// Whether there is any, or there was a moment ago.
    pub(crate) fn recent(&self) -> bool {
        self.lock().is_some_and(|(_, until)| Instant::now() < until + Duration::from_secs(10))
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the simulation says so")]
struct Simulated;

fn failed() -> StoreError {
    StoreError::Temporary { step: "a simulated failure", source: Box::new(Simulated) }
}

/// A batch in a few words: what the rows are stands in the tables.
struct Said<'a>(&'a Batch);

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (stream, change) in &self.0.changes {
            match change {
                Change::Rows { epoch, records, .. } => {
                    write!(f, "; {stream} {} rows of {epoch}", records.len())?
                }
                Change::Covered { epoch, span, .. } => write!(f, "; {stream} covered {span:?} by {epoch}")?,
                Change::Filled { epoch, span, records, .. } => {
                    write!(f, "; {stream} filled {span:?} by {epoch} with {} rows", records.len())?;
                }
                other => write!(f, "; {stream} {other:?}")?,
            }
        }
        Ok(())
    }
}

/// A store with troubles.
pub struct RoughStore<S> {
    inner: Arc<S>,
    troubles: Troubles,
    trace: Trace,
    audited: bool,
}

impl<S: Store> RoughStore<S> {
    /// `audited`: whether the audit of final bars is shown any. Where it is not, what was stored wrong stays so.
    pub(crate) fn new(inner: Arc<S>, troubles: Troubles, trace: Trace, audited: bool) -> Self {
        Self { inner, troubles, trace, audited }
    }

    /// What stands before every request.
    async fn before(&self) -> Result<(), StoreError> {
        match self.troubles.now() {
            Some(Trouble::Slow { ms }) => tokio::time::sleep(Duration::from_millis(ms)).await,
            Some(Trouble::Fails) => return Err(failed()),
            Some(Trouble::LosesAnswers) | None => {}
        }
        Ok(())
    }

    fn rough<'a, T: Send + 'a>(
        &'a self,
        call: BoxFuture<'a, Result<T, StoreError>>,
    ) -> BoxFuture<'a, Result<T, StoreError>> {
        Box::pin(async move {
            self.before().await?;
            call.await
        })
    }
}

impl<S: Store> WeightLedger for RoughStore<S> {
    fn reserve<'a>(
        &'a self,
        address: &'a str,
        now: TimeMs,
        weight: u32,
        ceiling: u32,
    ) -> BoxFuture<'a, Result<Reservation, StoreError>> {
        self.rough(self.inner.reserve(address, now, weight, ceiling))
    }

    fn book_spent<'a>(
        &'a self,
        address: &'a str,
        spent: &'a [(TimeMs, u32)],
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        self.rough(self.inner.book_spent(address, spent))
    }
}

impl<S: Store> Store for RoughStore<S> {
    fn token(&self) -> Token {
        self.inner.token()
    }

    fn lease<'a>(&'a self, streams: &'a [StreamKey]) -> BoxFuture<'a, Result<Leases, StoreError>> {
        self.rough(self.inner.lease(streams))
    }

    fn condition(&self) -> StoreCondition {
        self.inner.condition()
    }

    fn patience(&self) -> Duration {
        self.inner.patience()
    }

    fn release<'a>(&'a self, streams: &'a [StreamKey]) -> BoxFuture<'a, Result<(), StoreError>> {
        self.rough(self.inner.release(streams))
    }

    fn commit(&self, batch: Arc<Batch>) -> BoxFuture<'_, Result<Ack, StoreError>> {
        Box::pin(async move {
            self.before().await?;
            let ack = self.inner.commit(batch.clone()).await?;
            self.trace.line("commit", format_args!("{ack:?} {}", Said(&batch)));
            if self.troubles.now() == Some(Trouble::LosesAnswers) { Err(failed()) } else { Ok(ack) }
        })
    }

    fn request_backfill<'a>(
        &'a self,
        stream: StreamKey,
        span: Span,
        cause: Cause,
    ) -> BoxFuture<'a, Result<Requested, StoreError>> {
        self.rough(self.inner.request_backfill(stream, span, cause))
    }

    fn claim_gaps(
        &self,
        stream: StreamKey,
        span: Span,
        epoch: Epoch,
    ) -> BoxFuture<'_, Result<Vec<Span>, StoreError>> {
        self.rough(self.inner.claim_gaps(stream, span, epoch))
    }

    fn claim_whole_gaps(
        &self,
        stream: StreamKey,
        span: Span,
        epoch: Epoch,
    ) -> BoxFuture<'_, Result<Vec<Span>, StoreError>> {
        self.rough(self.inner.claim_whole_gaps(stream, span, epoch))
    }

    fn unclaim(&self, epoch: Epoch) -> BoxFuture<'_, Result<(), StoreError>> {
        self.rough(self.inner.unclaim(epoch))
    }

    fn open_gaps(&self) -> BoxFuture<'_, Result<Vec<(StreamKey, u64, Span)>, StoreError>> {
        self.rough(self.inner.open_gaps())
    }

    fn covered_bars(
        &self,
        stream: StreamKey,
        span: Span,
    ) -> BoxFuture<'_, Result<Vec<(TimeMs, u64)>, StoreError>> {
        match self.audited {
            true => self.rough(self.inner.covered_bars(stream, span)),
            false => Box::pin(async { Ok(Vec::new()) }),
        }
    }

    fn known_streams(&self) -> BoxFuture<'_, Result<Vec<StreamKey>, StoreError>> {
        self.rough(self.inner.known_streams())
    }

    fn unended_streams(&self) -> BoxFuture<'_, Result<Vec<StreamKey>, StoreError>> {
        self.rough(self.inner.unended_streams())
    }

    fn settled_days(
        &self,
        stream: StreamKey,
        before: TimeMs,
    ) -> BoxFuture<'_, Result<Vec<(Day, u64)>, StoreError>> {
        self.rough(self.inner.settled_days(stream, before))
    }

    fn claim_day(
        &self,
        stream: StreamKey,
        day: Day,
        epoch: Epoch,
    ) -> BoxFuture<'_, Result<Claimed, StoreError>> {
        self.rough(self.inner.claim_day(stream, day, epoch))
    }

    fn unclaim_day(
        &self,
        stream: StreamKey,
        day: Day,
        epoch: Epoch,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        self.rough(self.inner.unclaim_day(stream, day, epoch))
    }

    fn rows_in(
        &self,
        stream: StreamKey,
        span: Span,
        after: Option<RowKey>,
        most: usize,
    ) -> BoxFuture<'_, Result<StoredRows, StoreError>> {
        self.rough(self.inner.rows_in(stream, span, after, most))
    }

    fn settled(&self, stream: StreamKey) -> BoxFuture<'_, Result<Settled, StoreError>> {
        self.rough(self.inner.settled(stream))
    }

    fn commit_part(
        &self,
        claim: (StreamKey, Day, Epoch),
        part: Option<Part>,
        rows: Arc<StoredRows>,
    ) -> BoxFuture<'_, Result<Removed, StoreError>> {
        Box::pin(async move {
            self.before().await?;
            let removed = self.inner.commit_part(claim, part, rows).await?;
            if self.troubles.now() == Some(Trouble::LosesAnswers) { Err(failed()) } else { Ok(removed) }
        })
    }

    fn day_parts(&self, stream: StreamKey, day: Day) -> BoxFuture<'_, Result<Vec<Part>, StoreError>> {
        self.rough(self.inner.day_parts(stream, day))
    }

    fn begin_run<'a>(&'a self, job: &'a str, planned: TimeMs) -> BoxFuture<'a, Result<Begun, StoreError>> {
        self.rough(self.inner.begin_run(job, planned))
    }

    fn end_run<'a>(
        &'a self,
        job: &'a str,
        planned: TimeMs,
        report: Report,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        self.rough(self.inner.end_run(job, planned, report))
    }

    fn request_run<'a>(&'a self, job: &'a str) -> BoxFuture<'a, Result<TimeMs, StoreError>> {
        self.rough(self.inner.request_run(job))
    }

    fn requested_runs(&self) -> BoxFuture<'_, Result<Vec<(String, TimeMs)>, StoreError>> {
        self.rough(self.inner.requested_runs())
    }

    fn runs<'a>(&'a self, job: Option<&'a str>, most: u32) -> BoxFuture<'a, Result<Vec<Row>, StoreError>> {
        self.rough(self.inner.runs(job, most))
    }

    fn put_statistics<'a>(
        &'a self,
        series: &'a str,
        figures: Vec<Figure>,
        through: Option<TimeMs>,
    ) -> BoxFuture<'a, Result<u64, StoreError>> {
        self.rough(self.inner.put_statistics(series, figures, through))
    }

    fn statistics_through<'a>(
        &'a self,
        series: &'a str,
    ) -> BoxFuture<'a, Result<Option<TimeMs>, StoreError>> {
        self.rough(self.inner.statistics_through(series))
    }

    fn put_alert<'a>(&'a self, alert: &'a Alert) -> BoxFuture<'a, Result<(), StoreError>> {
        self.rough(self.inner.put_alert(alert))
    }

    fn sessions<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<LiveSession>, StoreError>> {
        self.rough(self.inner.sessions(name))
    }

    fn put_note<'a>(&'a self, name: &'a str, text: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        self.rough(self.inner.put_note(name, text))
    }

    fn note<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<String>, StoreError>> {
        self.rough(self.inner.note(name))
    }

    /// A session that ends is not held up: whoever stops a daemon has seen the trouble.
    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.inner.close()
    }
}
