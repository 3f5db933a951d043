//! A stream that is made of whole snapshots: the rows of one have one time, and count once all of them are stored.
//!
//! A store takes only so much in one transaction. So a large snapshot is announced as a gap, its rows follow, and what ends
//! it fills the gap and moves the edge. Where that never comes, what is there of it lies above the edge or in a gap, and the
//! next snapshot begins behind it.

use std::sync::Arc;

use hl_core::ledger::{Batch, Cause, Change, Span};
use hl_core::record::Record;
use hl_core::row::fields::time_text;
use hl_core::store::{Store, StoreError};
use hl_core::{Epoch, Origin, Records, StreamKey, TimeMs};
use tracing::warn;

/// A snapshot was not stored.
#[derive(Debug, thiserror::Error)]
pub(super) enum SnapshotError {
    /// Its rows would bear the system clock's time.
    #[error("what time it is at the exchange is not known yet")]
    NoTime,
    /// Another process holds the stream.
    #[error("another process is storing {0}")]
    Busy(StreamKey),
    /// A later one is stored.
    #[error("{stream} is stored up to {}, and this snapshot is of {}: was the clock set back?", time_text(*.edge), time_text(*.time))]
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

/// Stores snapshots: for the jobs that make them.
pub struct Snapshots {
    pub(super) store: Arc<dyn Store>,
    mint: Box<dyn Fn() -> Epoch + Send + Sync>,
    exchange_now: Box<dyn Fn() -> Option<TimeMs> + Send + Sync>,
}

/// One snapshot.
pub(super) struct Snapshot {
    pub(super) stream: StreamKey,
    pub(super) origin: Origin,
    pub(super) time: TimeMs,
    /// Its rows, in lists of any length.
    pub(super) rows: Vec<Records>,
    /// Why it is not all of what the exchange showed; none where it is.
    pub(super) lacks: Option<Cause>,
}

/// So many rows are stored in one transaction at most; a snapshot that has no more is stored at once.
const MOST_AT_ONCE: usize = 5_000;
/// So many rows of a snapshot are read at a time.
const PAGE: usize = 1_000;

impl Snapshots {
    /// Into this store, each under a new claim of `mint`. `exchange_now`: none while the time of the exchange is not known.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        mint: Box<dyn Fn() -> Epoch + Send + Sync>,
        exchange_now: Box<dyn Fn() -> Option<TimeMs> + Send + Sync>,
    ) -> Self {
        Self { store, mint, exchange_now }
    }

    /// Hands out the rows of a snapshot of which every row has this time.
    pub(super) async fn each<T: Record>(
        &self,
        stream: StreamKey,
        time: TimeMs,
        mut see: impl FnMut(&T),
    ) -> Result<u64, StoreError> {
        let (mut after, mut rows) = (None, 0);
        loop {
            let page = self.store.rows_in(stream, Span { from: time, to: time }, after, PAGE).await?;
            let Some(last) = page.records.keys().last().copied() else { return Ok(rows) };
            after = Some(last);
            rows += page.len() as u64;
            T::of(&page.records).unwrap_or_default().iter().for_each(&mut see);
        }
    }

    /// The time of a snapshot that is made now.
    pub(super) fn now(&self) -> Result<TimeMs, SnapshotError> {
        (self.exchange_now)().ok_or(SnapshotError::NoTime)
    }

    /// Stores one. A state holds until the next one: where the one before is not too long ago, the time between is covered, else
    /// it is a gap. Returns how many rows are new.
    pub(super) async fn put(&self, snapshot: Snapshot) -> Result<u64, SnapshotError> {
        let stream = snapshot.stream;
        let leases = self.store.lease(&[stream]).await?;
        let start = leases.granted.first().ok_or(SnapshotError::Busy(stream))?;
        let stored = self.commit(snapshot, start.edge).await;
        // A lease that cannot be given back ends with the session; what was stored is stored.
        if let Err(error) = self.store.release(&[stream]).await {
            warn!(%stream, %error, "the lease of a snapshot could not be given back");
        }
        stored
    }

    async fn commit(&self, snapshot: Snapshot, edge: Option<TimeMs>) -> Result<u64, SnapshotError> {
        let Snapshot { stream, origin, time, rows, lacks } = snapshot;
        let (store, epoch) = (&self.store, (self.mint)());
        // What was begun and never ended.
        let begun = store.settled(stream).await?.unfilled.iter().map(|gap| gap.to).max();
        let begun = begun.filter(|begun| edge < Some(*begun));
        let edge = edge.max(begun);
        if let Some(edge) = edge.filter(|edge| time <= *edge) {
            return Err(SnapshotError::Late { stream, edge, time });
        }
        let commit = async |changes: &mut Vec<Change>| {
            let changes = changes.drain(..).map(|change| (stream, change)).collect();
            let ack = store.commit(Arc::new(Batch { token: store.token(), changes })).await?;
            match ack.superseded.is_empty() {
                true => Ok(ack.inserted),
                false => Err(SnapshotError::Busy(stream)),
            }
        };
        let is_small = rows.iter().map(Records::len).sum::<usize>() <= MOST_AT_ONCE;
        // A gap has a length.
        let since = edge.unwrap_or(if is_small { time } else { time - 1 });
        let span = Span { from: since, to: time };
        let is_in_time = time.since(since) <= stream.spec().hole_ms;
        let mut changes: Vec<Change> = begun.map(Change::Edge).into_iter().collect();
        if lacks.is_some() || !is_in_time || !is_small {
            let otherwise = if is_in_time { Cause::Outage } else { Cause::NotCollected };
            changes.push(Change::GapOpened { span, cause: lacks.unwrap_or(otherwise) });
        }
        let mut inserted = 0;
        if !is_small {
            inserted += commit(&mut changes).await?;
        }
        let mut waiting = 0;
        for records in rows {
            if waiting + records.len() > MOST_AT_ONCE {
                inserted += commit(&mut changes).await?;
                waiting = 0;
            }
            waiting += records.len();
            changes.push(Change::Rows { epoch, origin, records });
        }
        let alone = Span { from: time, to: time };
        match (lacks, is_in_time) {
            (None, true) if is_small => changes.push(Change::Covered { epoch, origin, span }),
            (None, true) => {
                changes.push(Change::Filled { epoch, origin, span, records: Records::none(stream) });
            }
            (None, false) => changes.push(Change::Covered { epoch, origin, span: alone }),
            (Some(_), _) => {}
        }
        changes.push(Change::Edge(time));
        inserted += commit(&mut changes).await?;
        Ok(inserted)
    }
}
