//! A stream that is made of whole snapshots: the rows of one have one time, and are stored all together or not at all.

use std::sync::Arc;

use hl_core::ledger::{Batch, Cause, Change, Span};
use hl_core::store::{Store, StoreError};
use hl_core::{Epoch, Origin, Records, StreamKey, TimeMs};

/// A snapshot was not stored.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// Another process holds the stream.
    #[error("another process is storing {0}")]
    Busy(StreamKey),
    /// A later one is stored.
    #[error("{stream} is stored up to {edge}, and this snapshot is of {time}: was the clock set back?")]
    Late {
        /// The stream.
        stream: StreamKey,
        /// Up to when.
        edge: TimeMs,
        /// The time of the snapshot.
        time: TimeMs,
    },
    /// The store failed.
    #[error("the store: {0}")]
    Store(#[from] StoreError),
}

/// One snapshot.
pub(super) struct Snapshot {
    pub(super) stream: StreamKey,
    pub(super) epoch: Epoch,
    pub(super) origin: Origin,
    pub(super) time: TimeMs,
    /// Its rows, in lists of any length.
    pub(super) rows: Vec<Records>,
    /// Why it is not all of what the exchange showed; none where it is.
    pub(super) lacks: Option<Cause>,
}

impl Snapshot {
    /// Stores it in one transaction. A state holds until the next one: where the one before is not too long ago, the time
    /// between is covered, else it is a gap. Returns how many rows are new.
    pub(super) async fn store(self, store: &dyn Store) -> Result<u64, SnapshotError> {
        let stream = self.stream;
        let leases = store.lease(&[stream]).await?;
        let start = leases.granted.first().ok_or(SnapshotError::Busy(stream))?;
        let stored = self.commit(store, start.edge).await;
        store.release(&[stream]).await?;
        stored
    }

    async fn commit(self, store: &dyn Store, edge: Option<TimeMs>) -> Result<u64, SnapshotError> {
        let Self { stream, epoch, origin, time, rows, lacks } = self;
        if let Some(edge) = edge.filter(|edge| time <= *edge) {
            return Err(SnapshotError::Late { stream, edge, time });
        }
        let since = edge.unwrap_or(time);
        let is_in_time = time.since(since) <= stream.spec().hole_ms;
        let mut changes: Vec<_> =
            rows.into_iter().map(|records| Change::Rows { epoch, origin, records }).collect();
        let gap = |cause| Change::GapOpened { span: Span { from: since, to: time }, cause };
        let covered = |from| Change::Covered { epoch, origin, span: Span { from, to: time } };
        match (lacks, is_in_time) {
            (None, true) => changes.push(covered(since)),
            (None, false) => changes.extend([gap(Cause::NotCollected), covered(time)]),
            (Some(cause), _) => changes.push(gap(cause)),
        }
        changes.push(Change::Edge(time));
        let changes = changes.into_iter().map(|change| (stream, change)).collect();
        let ack = store.commit(Arc::new(Batch { token: store.token(), changes })).await?;
        match ack.superseded.is_empty() {
            true => Ok(ack.inserted),
            false => Err(SnapshotError::Busy(stream)),
        }
    }
}
