//! Commits one batch at a time and tries again while the store is slow or gone.

use std::sync::Arc;
use std::time::Duration;

use hl_core::backoff::Backoff;
use hl_core::ledger::{Ack, Batch};
use hl_core::store::{LedgerWriter, StoreError};
use tokio::sync::mpsc;
use tracing::warn;

use super::meter::Meters;

const FIRST_RETRY: Duration = Duration::from_millis(100);
const LONGEST_RETRY: Duration = Duration::from_secs(5);

/// A batch on its way, and where it came from.
pub(super) struct Job {
    pub(super) batch: Arc<Batch>,
    /// Its number in the spool, where it came from there.
    pub(super) spooled: Option<u64>,
}

/// What became of it.
pub(super) struct Done {
    pub(super) batch: Arc<Batch>,
    pub(super) result: Result<Ack, StoreError>,
    pub(super) spooled: Option<u64>,
}

/// Runs until the jobs end. A temporary failure is tried again for as long as it takes: the reader spools meanwhile.
pub(super) async fn run(
    store: Arc<dyn LedgerWriter>,
    meters: Arc<Meters>,
    mut jobs: mpsc::Receiver<Job>,
    done: mpsc::Sender<Done>,
    mut rng: fastrand::Rng,
) {
    while let Some(job) = jobs.recv().await {
        let mut backoff = Backoff::new(FIRST_RETRY, LONGEST_RETRY);
        let result = loop {
            match store.commit(job.batch.clone()).await {
                Err(error) if error.is_temporary() => {
                    meters.count(|c| c.failures += 1);
                    let wait = backoff.pause(&mut rng);
                    warn!(%error, retry_in = ?wait, "commit failed");
                    tokio::time::sleep(wait).await;
                }
                result => break result,
            }
        };
        if done.send(Done { batch: job.batch, result, spooled: job.spooled }).await.is_err() {
            return;
        }
    }
}
