use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hl_core::ledger::Span;
use hl_core::seam::BoxFuture;
use hl_core::source::Past;
use hl_core::store::Store;
use hl_core::{Records, StreamKey, TimeMs};
use tokio::time::Instant;
use tracing::{debug, warn};

use crate::Job;

/// How often the bars of a few streams are audited.
const EVERY: Duration = Duration::from_secs(600);
/// Each stream costs a request of weight 21 and makes the round longer by this: at most 84 weight a minute in all.
const EVERY_A_STREAM: Duration = Duration::from_secs(15);
/// The first round comes this long after the start, when what a restart touched has been filled.
const FIRST: Duration = Duration::from_secs(180);
/// How far back the first round looks, ms: what was written shortly before a restart had no audit yet.
const FIRST_LOOK_BACK_MS: i64 = 25 * 60_000;
/// A bar is audited this long after its end, ms: a backfill may still be at it before.
const LAG_MS: i64 = 120_000;

/// Told of a final bar, by its stream and piece, that the exchange counts more trades in.
pub type Stale = Box<dyn Fn(StreamKey, Span) + Send + Sync>;

/// Reads the bars of the last minutes once more and compares their counts with the final ones that are stored.
///
/// Bars and trades that were muted together agree with each other; only the exchange's own history tells.
pub struct AuditBars {
    store: Arc<dyn Store>,
    past: Arc<dyn Past>,
    streams: Box<dyn Fn() -> Vec<StreamKey> + Send + Sync>,
    exchange_now: Box<dyn Fn() -> TimeMs + Send + Sync>,
    stale: Stale,
    state: Mutex<State>,
}

struct State {
    due: Instant,
    /// Bars before this are audited.
    done: BTreeMap<StreamKey, TimeMs>,
}

impl AuditBars {
    /// A job over those of `streams` that are bars.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        past: Arc<dyn Past>,
        streams: Box<dyn Fn() -> Vec<StreamKey> + Send + Sync>,
        exchange_now: Box<dyn Fn() -> TimeMs + Send + Sync>,
        stale: Stale,
    ) -> Self {
        let state = Mutex::new(State { due: Instant::now() + FIRST, done: BTreeMap::new() });
        Self { store, past, streams, exchange_now, stale, state }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Audits what was not audited yet.
    async fn audit(&self, stream: StreamKey) {
        let StreamKey::Candle(_, interval) = stream else { return };
        let now = (self.exchange_now)();
        let to = interval.open_of(now - LAG_MS);
        let from = self.state().done.get(&stream).copied();
        let from = from.unwrap_or_else(|| interval.open_of(now - FIRST_LOOK_BACK_MS));
        if from >= to {
            return;
        }
        let piece = Span::new(from, to);
        let page = match self.past.page(stream, piece).await {
            Ok(page) => page,
            // The next round looks at the same piece again.
            Err(error) => return debug!(%stream, %error, "the bars could not be audited now"),
        };
        let Records::Candles(bars) = page.records else { return };
        let stored = match self.store.final_bars(stream, piece).await {
            Ok(stored) => BTreeMap::from_iter(stored),
            Err(error) => return warn!(%stream, %error, "the stored bars could not be audited"),
        };
        for bar in bars {
            if stored.get(&bar.time).is_none_or(|trades| *trades < bar.trades) && bar.trades > 0 {
                (self.stale)(stream, Span::new(bar.time, bar.time + interval.ms()));
            }
        }
        self.state().done.insert(stream, page.next.unwrap_or(to));
    }
}

impl Job for AuditBars {
    fn id(&self) -> &'static str {
        "audit_candles"
    }

    fn next_due(&self) -> Option<Instant> {
        Some(self.state().due)
    }

    fn run(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let streams = (self.streams)();
            let bars = streams.into_iter().filter(|stream| matches!(stream, StreamKey::Candle(..)));
            let bars: Vec<_> = bars.collect();
            let count = u32::try_from(bars.len()).unwrap_or(u32::MAX);
            self.state().due = Instant::now() + EVERY.max(EVERY_A_STREAM.saturating_mul(count));
            for stream in bars {
                self.audit(stream).await;
            }
        })
    }
}
