//! A store and its archive, read as one.

use std::collections::BTreeMap;
use std::path::PathBuf;

use hl_core::archive::{Part, RowKey, StoredRows};
use hl_core::ledger::Span;
use hl_core::runs::Row;
use hl_core::seam::BoxFuture;
use hl_core::store::{Holder, StoreError};
use hl_core::{Records, StreamKey};
use hl_store::{AlertRow, Audit, CoverageRow, GapRow, Inspect, LeaseRow, StreamRow};

use crate::ArchiveError;
use crate::examine::examine;
use crate::files::Files;

/// Reads a store together with its archive: each row once, wherever it lies. Where both have a key, the row of the store
/// counts.
///
/// The work is done in place, on the caller's thread.
pub struct Whole {
    store: Box<dyn Inspect>,
    files: Files,
}

impl Whole {
    /// The store, and the folder of its archive.
    #[must_use]
    pub fn new(store: Box<dyn Inspect>, root: impl Into<PathBuf>) -> Self {
        Self { store, files: Files::new(root) }
    }

    /// The store alone.
    #[must_use]
    pub fn store(&self) -> &dyn Inspect {
        &*self.store
    }

    /// The archive's files.
    #[must_use]
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// The rows of a stream in a piece of time, in `order`, which begins with the time or the coin.
    pub(crate) async fn ordered<K: Ord>(
        &self,
        stream: StreamKey,
        span: Span,
        order: impl Fn(RowKey) -> K,
    ) -> Result<StoredRows, ArchiveError> {
        // The store first: a row that is archived meanwhile is then seen twice, not never.
        let hot = self.store.stored_rows(stream, span).await?;
        let mut archived = StoredRows::none(stream);
        for part in self.store.parts(Some(stream), span).await? {
            if !(Span { from: part.first, to: part.last }).touches(span) {
                continue;
            }
            let Some(reading) = self.files.read(&part, span)? else { continue };
            for read in reading {
                let read = read?;
                // Both are of the stream's kind.
                let _ = archived.records.append(read.records);
                archived.provenance.extend(read.provenance);
            }
        }
        Ok(hot.merged(archived, order))
    }
}

impl Inspect for Whole {
    fn streams(&self) -> BoxFuture<'_, Result<Vec<StreamRow>, StoreError>> {
        self.store.streams()
    }

    fn leases(&self) -> BoxFuture<'_, Result<Vec<LeaseRow>, StoreError>> {
        self.store.leases()
    }

    fn coverage(&self, stream: Option<StreamKey>) -> BoxFuture<'_, Result<Vec<CoverageRow>, StoreError>> {
        self.store.coverage(stream)
    }

    fn gaps(&self, stream: Option<StreamKey>) -> BoxFuture<'_, Result<Vec<GapRow>, StoreError>> {
        self.store.gaps(stream)
    }

    fn unfilled(&self) -> BoxFuture<'_, Result<BTreeMap<StreamKey, u64>, StoreError>> {
        self.store.unfilled()
    }

    fn rows(&self, stream: StreamKey, span: Span) -> BoxFuture<'_, Result<Records, StoreError>> {
        Box::pin(async move { Ok(self.stored_rows(stream, span).await?.records) })
    }

    fn stored_rows(&self, stream: StreamKey, span: Span) -> BoxFuture<'_, Result<StoredRows, StoreError>> {
        Box::pin(async move {
            self.ordered(stream, span, |key| key).await.map_err(ArchiveError::into_store_error)
        })
    }

    fn parts(&self, stream: Option<StreamKey>, within: Span) -> BoxFuture<'_, Result<Vec<Part>, StoreError>> {
        self.store.parts(stream, within)
    }

    /// The audit of the store, and of every part.
    fn audit(&self) -> BoxFuture<'_, Result<Audit, StoreError>> {
        Box::pin(async move {
            let mut audit = self.store.audit().await?;
            let examined = examine(self, &|_| ()).await.map_err(ArchiveError::into_store_error)?;
            audit.minutes_compared += examined.minutes_compared;
            audit.minutes_unknown += examined.minutes_unknown;
            audit.duplicates += examined.duplicates();
            audit.unread = examined.unread;
            audit.problems.extend(examined.problems);
            Ok(audit)
        })
    }

    fn note<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<String>, StoreError>> {
        self.store.note(name)
    }

    fn job_runs<'a>(
        &'a self,
        job: Option<&'a str>,
        most: u32,
    ) -> BoxFuture<'a, Result<Vec<Row>, StoreError>> {
        self.store.job_runs(job, most)
    }

    fn alerts(&self, all: bool, most: u32) -> BoxFuture<'_, Result<Vec<AlertRow>, StoreError>> {
        self.store.alerts(all, most)
    }

    fn holders(&self) -> BoxFuture<'_, Result<Vec<Holder>, StoreError>> {
        self.store.holders()
    }
}
