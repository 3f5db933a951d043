//! What an earlier process left in the spool.

use std::sync::Arc;

use hl_core::ledger::{Batch, Change};
use hl_core::store::{BatchQueue, Store, StoreError};
use hl_core::{Epoch, Kind, Records, StreamKey};
use tracing::{info, warn};

/// Commits every spooled batch, in order. While nobody else has taken a stream since, its batch is committed as it is;
/// under a superseded token it enters as a backfill of what is still a gap, and the rest is refused and counted.
pub(crate) async fn drain(
    store: &dyn Store,
    spool: &dyn BatchQueue,
    mut mint: impl FnMut() -> Epoch,
) -> Result<(), StoreError> {
    while let Some((number, batch)) = spool.peek().await? {
        let batch = Arc::new(batch);
        let mut ack = store.commit(batch.clone()).await?;
        if !ack.superseded.is_empty() {
            let changes = as_backfill(&batch, &ack.superseded, mint());
            let late = store.commit(Arc::new(Batch { token: store.token(), changes })).await?;
            ack.inserted += late.inserted;
            ack.refused += late.refused;
        }
        spool.pop(number).await?;
        match ack.refused {
            0 => info!(rows = ack.inserted, "a spooled batch of an earlier run is in the store now"),
            refused => {
                warn!(rows = ack.inserted, refused, "a spooled batch of an earlier run was taken in part")
            }
        }
    }
    Ok(())
}

/// The rows of superseded streams, as fillers of gaps in the pieces that they covered. Bars are left out: their rows and
/// the proof that they are final may lie in different batches, and REST still has them.
fn as_backfill(batch: &Batch, superseded: &[StreamKey], epoch: Epoch) -> Vec<(StreamKey, Change)> {
    let mut changes = Vec::new();
    for stream in superseded.iter().filter(|stream| stream.kind() != Kind::Candle) {
        let of_stream = || batch.changes.iter().filter(|(s, _)| s == stream).map(|(_, change)| change);
        for covered in of_stream() {
            let Change::Covered { origin, span, .. } = covered else { continue };
            let mut all: Option<Records> = None;
            for change in of_stream() {
                let Change::Rows { records, .. } = change else { continue };
                let mut inside = records.clone();
                inside.retain_time(|time| span.contains(time));
                match &mut all {
                    // One stream has records of one kind.
                    Some(all) => drop(all.append(inside)),
                    None => all = Some(inside),
                }
            }
            if let Some(records) = all {
                changes.push((*stream, Change::Filled { epoch, origin: *origin, span: *span, records }));
            }
        }
    }
    changes
}
