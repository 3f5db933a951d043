//! A store of one's own. This one stands before another, changes one role of it, and leaves the others to it. What a store must
//! do is said at `core::store`, and `hl_store::conformance` checks it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hyperliquid_collector::core::StreamKey;
use hyperliquid_collector::core::ledger::{Ack, Batch, Cause, Requested, Span};
use hyperliquid_collector::core::seam::BoxFuture;
use hyperliquid_collector::core::store::{
    Alerts, CoveredBars, DayClaims, Delegates, GapClaims, Layer, Leasing, LedgerReader, LedgerWriter, Notes,
    Runs, Statistics, Store, StoreError, StoreSession, WeightLedger,
};

pub(crate) struct CountingStore<S> {
    pub(crate) inner: S,
    /// Rows inserted.
    pub(crate) rows: AtomicU64,
}

impl<S: Store> LedgerWriter for CountingStore<S> {
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
}

impl<S: Store> Layer for CountingStore<S> {
    type Inner = S;

    fn inner(&self) -> &S {
        &self.inner
    }
}

impl<S: Store> Delegates<dyn StoreSession> for CountingStore<S> {}
impl<S: Store> Delegates<dyn Leasing> for CountingStore<S> {}
impl<S: Store> Delegates<dyn LedgerReader> for CountingStore<S> {}
impl<S: Store> Delegates<dyn CoveredBars> for CountingStore<S> {}
impl<S: Store> Delegates<dyn GapClaims> for CountingStore<S> {}
impl<S: Store> Delegates<dyn DayClaims> for CountingStore<S> {}
impl<S: Store> Delegates<dyn Runs> for CountingStore<S> {}
impl<S: Store> Delegates<dyn Notes> for CountingStore<S> {}
impl<S: Store> Delegates<dyn Statistics> for CountingStore<S> {}
impl<S: Store> Delegates<dyn Alerts> for CountingStore<S> {}
impl<S: Store> Delegates<dyn WeightLedger> for CountingStore<S> {}
