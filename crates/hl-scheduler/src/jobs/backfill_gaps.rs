use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hl_core::ledger::{Change, Span};
use hl_core::seam::BoxFuture;
use hl_core::source::Past;
use hl_core::store::{Store, StoreError};
use hl_core::stream::History;
use hl_core::{Epoch, StreamKey, TimeMs};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::Job;
use crate::backfill::{self, Step};

/// How soon after a gap was opened the job looks at it.
const FIRST_LOOK: Duration = Duration::from_secs(2);
/// How often it looks while gaps stay open: a bar has to end first, a budget to have room.
const AGAIN: Duration = Duration::from_secs(20);
/// A gap in a stream without a past is given up when its end is this old: until then a promoted ring may fill it.
const RING_LIMIT_MS: i64 = 90_000;

/// Told of everything that the job has committed.
pub type Committed = Box<dyn Fn(StreamKey, &Change) + Send + Sync>;

/// Fills open gaps from the exchange's past, under backfill claims, beside the live streams.
pub struct BackfillGaps {
    store: Arc<dyn Store>,
    past: Arc<dyn Past>,
    /// One claim for all it does: what it left claimed by a failure is its own the next time.
    epoch: Epoch,
    exchange_now: Box<dyn Fn() -> TimeMs + Send + Sync>,
    committed: Committed,
    due: Mutex<Option<Instant>>,
}

impl BackfillGaps {
    /// Its id.
    pub const ID: &'static str = "backfill_gaps";

    /// A job that looks at the store's open gaps once at the start, and whenever [`BackfillGaps::gaps_opened`] says.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        past: Arc<dyn Past>,
        epoch: Epoch,
        exchange_now: Box<dyn Fn() -> TimeMs + Send + Sync>,
        committed: Committed,
    ) -> Self {
        Self {
            store,
            past,
            epoch,
            exchange_now,
            committed,
            due: Mutex::new(Some(Instant::now() + FIRST_LOOK)),
        }
    }

    fn due(&self) -> MutexGuard<'_, Option<Instant>> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A gap was opened. Wake the runner after this.
    pub fn gaps_opened(&self) {
        self.due().get_or_insert_with(|| Instant::now() + FIRST_LOOK);
    }

    async fn look(&self) -> Result<bool, StoreError> {
        let mut left = false;
        for (stream, _, span) in self.store.open_gaps().await? {
            left |= self.fill(stream, span).await?;
        }
        Ok(left)
    }

    /// Returns whether something stays open.
    async fn fill(&self, stream: StreamKey, span: Span) -> Result<bool, StoreError> {
        let epoch = self.epoch;
        match stream.spec().history {
            // A poll has nothing that the live streams did not try; only a ring could still fill it.
            History::None | History::Recent(_) => {
                let until = (self.exchange_now)() - RING_LIMIT_MS;
                backfill::give_up(self.store.as_ref(), epoch, stream, span, until).await
            }
            History::Bars(_) | History::All => {
                let told = |stream: StreamKey, step: Step<'_>| match step {
                    Step::Committed(change) => (self.committed)(stream, change),
                    Step::Page { .. } => {}
                };
                match backfill::fill(self.store.as_ref(), self.past.as_ref(), epoch, stream, span, &told)
                    .await
                {
                    Ok(filled) => {
                        if filled.rows > 0 {
                            info!(%stream, rows = filled.rows, "gap filled from the exchange's past");
                        }
                        Ok(filled.open_ms > 0)
                    }
                    Err(backfill::BackfillError::Store(error)) => Err(error),
                    Err(error @ backfill::BackfillError::Fetch { .. }) => {
                        warn!(%error, "a gap stays open for now");
                        Ok(true)
                    }
                }
            }
        }
    }
}

impl Job for BackfillGaps {
    fn id(&self) -> &'static str {
        Self::ID
    }

    fn next_due(&self) -> Option<Instant> {
        *self.due()
    }

    fn run(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            *self.due() = None;
            let left = self.look().await.unwrap_or_else(|error| {
                warn!(%error, "the gaps cannot be looked at now");
                true
            });
            if left {
                self.due().get_or_insert_with(|| Instant::now() + AGAIN);
            }
        })
    }
}
