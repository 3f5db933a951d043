//! Trouble with the store: a layer over any [`Store`] that is slow, fails for a while, or loses its answers; and that
//! writes every commit into the trace.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hl_core::archive::{Claimed, Day, Part, Removed, StoredRows};
use hl_core::ledger::{Ack, Batch, Cause, Change, Requested, Span};
use hl_core::seam::BoxFuture;
use hl_core::store::{
    Alerts, CoveredBars, DayClaims, Delegates, GapClaims, Layer, Leasing, LedgerReader, LedgerWriter, Notes,
    Runs, Statistics, Store, StoreError, StoreSession, WeightLedger,
};
use hl_core::{Epoch, StreamKey, TimeMs};
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
}

impl<S: Store> Layer for RoughStore<S> {
    type Inner = S;

    fn inner(&self) -> &S {
        &self.inner
    }

    fn around<'a, T: Send + 'a>(
        &'a self,
        request: BoxFuture<'a, Result<T, StoreError>>,
    ) -> BoxFuture<'a, Result<T, StoreError>> {
        Box::pin(async move {
            self.before().await?;
            request.await
        })
    }
}

impl<S: Store> Delegates<dyn StoreSession> for RoughStore<S> {}
impl<S: Store> Delegates<dyn Leasing> for RoughStore<S> {}
impl<S: Store> Delegates<dyn LedgerReader> for RoughStore<S> {}
impl<S: Store> Delegates<dyn GapClaims> for RoughStore<S> {}
impl<S: Store> Delegates<dyn Runs> for RoughStore<S> {}
impl<S: Store> Delegates<dyn Notes> for RoughStore<S> {}
impl<S: Store> Delegates<dyn Statistics> for RoughStore<S> {}
impl<S: Store> Delegates<dyn Alerts> for RoughStore<S> {}
impl<S: Store> Delegates<dyn WeightLedger> for RoughStore<S> {}

impl<S: Store> LedgerWriter for RoughStore<S> {
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
        self.around(self.inner.request_backfill(stream, span, cause))
    }
}

impl<S: Store> CoveredBars for RoughStore<S> {
    fn covered_bars(
        &self,
        stream: StreamKey,
        span: Span,
    ) -> BoxFuture<'_, Result<Vec<(TimeMs, u64)>, StoreError>> {
        match self.audited {
            true => self.around(self.inner.covered_bars(stream, span)),
            false => Box::pin(async { Ok(Vec::new()) }),
        }
    }
}

impl<S: Store> DayClaims for RoughStore<S> {
    fn claim_day(
        &self,
        stream: StreamKey,
        day: Day,
        epoch: Epoch,
    ) -> BoxFuture<'_, Result<Claimed, StoreError>> {
        self.around(self.inner.claim_day(stream, day, epoch))
    }

    fn unclaim_day(
        &self,
        stream: StreamKey,
        day: Day,
        epoch: Epoch,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        self.around(self.inner.unclaim_day(stream, day, epoch))
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
}
