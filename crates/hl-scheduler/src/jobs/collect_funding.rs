use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hl_core::ledger::{Batch, Cause, Change, Span};
use hl_core::seam::BoxFuture;
use hl_core::source::Past;
use hl_core::store::Store;
use hl_core::time::DAY_MS;
use hl_core::{Coin, Epoch, StreamKey, TimeMs};
use tracing::{debug, instrument, warn};

use crate::backfill::{self, BackfillError, Step};
use crate::plan::{JobId, Retry, Spec, Trigger};
use crate::{Done, Task, TaskError};

/// The exchange settles at the full hour, and a row was seen up to 24 minutes after it.
const PLAN: &str = "0 31 * * * *";
/// How far back the first run reads, ms; `hl-cli backfill funding` reads all there is.
const FIRST_MS: i64 = DAY_MS;
/// What is younger than this may not be shown yet, ms.
const LAG_MS: i64 = 30 * 60_000;

/// Reads the funding that was settled since the last run, under backfill claims: nothing of it comes over a socket.
pub struct CollectFunding {
    store: Arc<dyn Store>,
    past: Arc<dyn Past>,
    mint: Box<dyn Fn() -> Epoch + Send + Sync>,
    coins: Box<dyn Fn() -> Vec<Coin> + Send + Sync>,
    exchange_now: Box<dyn Fn() -> TimeMs + Send + Sync>,
}

impl CollectFunding {
    /// Its id, which users of scheduled collectors know.
    pub const ID: &'static str = "collect_funding";

    /// A task over the coins that `coins` gives, with a new claim of `mint` for each.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        past: Arc<dyn Past>,
        mint: Box<dyn Fn() -> Epoch + Send + Sync>,
        coins: Box<dyn Fn() -> Vec<Coin> + Send + Sync>,
        exchange_now: Box<dyn Fn() -> TimeMs + Send + Sync>,
    ) -> Self {
        Self { store, past, mint, coins, exchange_now }
    }

    /// How it runs where nothing else is said: hourly.
    #[must_use]
    pub fn spec(trigger: Option<Trigger>) -> Option<Spec> {
        let trigger = trigger.or_else(|| PLAN.parse().ok())?;
        Some(Spec {
            id: JobId::new(Self::ID),
            limit_ms: 1_800_000,
            jitter_ms: 20_000,
            retry: Retry { attempts: 5, first_ms: 30_000, longest_ms: 300_000 },
            ..Spec::new(Self::ID, trigger)
        })
    }

    /// Reads what is missing of one coin up to now.
    #[instrument(name = "backfill", level = "debug", skip_all, fields(%stream))]
    async fn collect(&self, stream: StreamKey, weight: &AtomicU64) -> Result<u64, BackfillError> {
        let to = (self.exchange_now)() - LAG_MS;
        let leases = self.store.lease(&[stream]).await?;
        let Some(start) = leases.granted.first() else {
            debug!(%stream, "another process is at it");
            return Ok(0);
        };
        let piece = Span { from: start.edge.unwrap_or(to - FIRST_MS), to };
        if piece.from < piece.to {
            let opened = Change::GapOpened { span: piece, cause: Cause::NotCollected };
            let changes = [opened, Change::Edge(to)].map(|change| (stream, change)).into();
            self.store.commit(Arc::new(Batch { token: self.store.token(), changes })).await?;
        }
        self.store.release(&[stream]).await?;
        let told = |_: StreamKey, step: Step<'_>| {
            if let Step::Page { .. } = step {
                weight.fetch_add(u64::from(stream.spec().poll_weight), Ordering::Relaxed);
            }
        };
        // What an earlier run left open is tried again with it.
        let open = Span { from: TimeMs(0), to };
        let filled = backfill::fill(&*self.store, &*self.past, (self.mint)(), stream, open, &told).await?;
        Ok(filled.rows)
    }
}

impl Task for CollectFunding {
    fn run(&self, _: TimeMs) -> BoxFuture<'_, Result<Done, TaskError>> {
        Box::pin(async {
            let weight = AtomicU64::new(0);
            let (mut rows, mut failed) = (0, None);
            for coin in (self.coins)() {
                // What one coin fails at, such as a delisting, is not the fault of the others.
                match self.collect(StreamKey::Funding(coin), &weight).await {
                    Ok(new) => rows += new,
                    Err(error) => {
                        warn!(%coin, %error, "settled funding could not be read");
                        failed = Some(error);
                    }
                }
            }
            match failed {
                Some(error) => Err(TaskError { step: "reading settled funding", source: Box::new(error) }),
                None => Ok(Done { rows, weight: weight.into_inner() }),
            }
        })
    }
}
