use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hl_core::ledger::Span;
use hl_core::seam::BoxFuture;
use hl_core::source::Past;
use hl_core::store::{CoveredBars, RECENT_MS};
use hl_core::timeline::Audited;
use hl_core::{Interval, Records, StreamKey, TimeMs};
use tokio::time::Instant;
use tracing::{debug, instrument, warn};

use crate::{Failing, Job};

/// How often the bars of each stream are audited after the first round, where they are few …
const ROUND: Duration = Duration::from_secs(600);
/// … and the pause between two requests at least: each has a weight of 21, so all of them 84 a minute.
const PAUSE: Duration = Duration::from_secs(15);
/// The first comes this long after the start, when what a restart touched has been filled.
const FIRST: Duration = Duration::from_secs(180);
/// How far back the first look at a stream goes, ms, beyond a round: what was written shortly before a restart had no
/// audit yet. [`RECENT_MS`] is what is known of its trades.
const FIRST_LOOK_BACK_MS: i64 = RECENT_MS - 300_000;
/// A bar is audited this long after its end, ms: a backfill may still be at it before.
const LAG_MS: i64 = 120_000;
/// A stream whose bars could not be read is left alone for this long, doubling with each failure in a row.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_secs(3_600);
/// After so many failures in a row the user is told.
const TELL_AFTER: u32 = 3;
/// What was not audited in so long, ms, is not any more.
const KEPT_MS: i64 = 3_600_000;
/// Of long bars so many are looked at in any case.
const LOOK_BACK_BARS: i64 = 3;

/// Told of final bars of a stream that were read once more.
pub type Told = Box<dyn Fn(StreamKey, Vec<Audited>) + Send + Sync>;

/// Reads the bars of the last minutes once more, and tells their counts beside those of the final ones that are stored.
///
/// Bars and trades that were muted together agree with each other; only the exchange's own history tells. Which of them is
/// right the reconciler decides.
pub struct AuditBars {
    store: Arc<dyn CoveredBars>,
    past: Arc<dyn Past>,
    streams: Box<dyn Fn() -> Vec<StreamKey> + Send + Sync>,
    exchange_now: Box<dyn Fn() -> TimeMs + Send + Sync>,
    told: Told,
    state: Mutex<State>,
}

struct State {
    due: Instant,
    /// Bars before this are audited, and the number of the run that looked last.
    done: BTreeMap<StreamKey, (TimeMs, u64)>,
    runs: u64,
    vain: BTreeMap<StreamKey, Vain>,
}

/// The bars of a stream could not be read the last time.
struct Vain {
    times: u32,
    until: Instant,
    words: String,
}

impl AuditBars {
    /// Its id.
    pub const ID: &'static str = "audit_candles";

    /// A job over those of `streams` that are bars of a fixed length.
    #[must_use]
    pub fn new(
        store: Arc<dyn CoveredBars>,
        past: Arc<dyn Past>,
        streams: Box<dyn Fn() -> Vec<StreamKey> + Send + Sync>,
        exchange_now: Box<dyn Fn() -> TimeMs + Send + Sync>,
        told: Told,
    ) -> Self {
        let state = Mutex::new(State {
            due: Instant::now() + FIRST,
            done: BTreeMap::new(),
            runs: 0,
            vain: BTreeMap::new(),
        });
        Self { store, past, streams, exchange_now, told, state }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The stream that waited longest, and up to where it is audited.
    fn next(&self) -> Option<(StreamKey, Interval, Option<TimeMs>)> {
        let bars = |stream: StreamKey| match stream {
            StreamKey::Candle(_, interval) if interval.is_fixed() => Some((stream, interval)),
            _ => None,
        };
        let bars: Vec<_> = (self.streams)().into_iter().filter_map(bars).collect();
        let mut state = self.state();
        state.done.retain(|stream, _| bars.iter().any(|(bar, _)| bar == stream));
        state.vain.retain(|stream, _| bars.iter().any(|(bar, _)| bar == stream));
        let count = u32::try_from(bars.len().max(1)).unwrap_or(u32::MAX);
        // The first round is quick: a process that ends every few minutes would never come to its later streams.
        let is_first_round = state.done.len() < bars.len();
        state.due = Instant::now() + if is_first_round { PAUSE } else { (ROUND / count).max(PAUSE) };
        state.runs += 1;
        let waited = |(stream, _): &(StreamKey, Interval)| state.done.get(stream).map(|(_, run)| *run);
        let now = Instant::now();
        let waits = |stream: &StreamKey| state.vain.get(stream).is_some_and(|vain| now < vain.until);
        let (stream, interval) = bars.into_iter().filter(|(stream, _)| !waits(stream)).min_by_key(waited)?;
        Some((stream, interval, state.done.get(&stream).map(|(done, _)| *done)))
    }

    fn failed(&self, stream: StreamKey, words: String) {
        let mut state = self.state();
        let times = state.vain.get(&stream).map_or(0, |vain| vain.times) + 1;
        let pause = FIRST_PAUSE.saturating_mul(1 << (times - 1).min(16)).min(LONGEST_PAUSE);
        state.vain.insert(stream, Vain { times, until: Instant::now() + pause, words });
    }

    /// Audits the bars of a stream from `from` on. Returns up to where they are audited.
    #[instrument(level = "debug", skip_all, fields(%stream))]
    async fn audit(&self, stream: StreamKey, interval: Interval, from: TimeMs, now: TimeMs) -> TimeMs {
        let to = interval.open_of(now - LAG_MS);
        if from >= to {
            return from;
        }
        let piece = Span::new(from, to);
        let page = match self.past.page(stream, piece, 0).await {
            Ok(page) => page,
            // The next look is at the same piece again.
            Err(error) => {
                debug!(%stream, %error, "the bars could not be audited now");
                self.failed(stream, error.to_string());
                return from;
            }
        };
        self.state().vain.remove(&stream);
        let covered = match self.store.covered_bars(stream, piece).await {
            Ok(covered) => BTreeMap::from_iter(covered),
            Err(error) => {
                warn!(%stream, %error, "the stored bars could not be audited");
                return from;
            }
        };
        let Some(reached) = page.reached else { return from };
        let bars = page.proven.into_iter().filter_map(|(_, records)| match records {
            Records::Candles(bars) => Some(bars),
            _ => None,
        });
        // What is not covered is open still, or a gap, which is read from the same history.
        let audited = bars.flatten().filter_map(|bar| {
            let stored = *covered.get(&bar.time)?;
            Some(Audited { time: bar.time, counted: bar.trades, stored })
        });
        (self.told)(stream, audited.collect());
        // A quiet coin's last bars are covered only when a later one was seen.
        let end = covered.last_key_value().map(|(bar, _)| *bar + interval.ms());
        end.map_or(from, |end| end.min(reached.to))
    }
}

impl Job for AuditBars {
    fn id(&self) -> &'static str {
        Self::ID
    }

    fn next_due(&self) -> Option<Instant> {
        Some(self.state().due)
    }

    fn failing(&self) -> Option<Failing> {
        let state = self.state();
        let (stream, worst) = state.vain.iter().max_by_key(|(_, vain)| vain.times)?;
        (worst.times >= TELL_AFTER).then(|| Failing {
            times: worst.times,
            words: format!(
                "bars of {} streams cannot be audited: {stream}: {}",
                state.vain.len(),
                worst.words
            ),
        })
    }

    fn run(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let Some((stream, interval, done)) = self.next() else { return };
            let now = (self.exchange_now)();
            let bars_ms = LOOK_BACK_BARS * interval.ms();
            let from = match done {
                None => now - FIRST_LOOK_BACK_MS.max(bars_ms),
                // What could not be looked at waits its turn, but not for ever.
                Some(done) => done.max(now - KEPT_MS.max(bars_ms)),
            };
            let from = interval.open_of(from);
            let audited = self.audit(stream, interval, from, now).await;
            let mut state = self.state();
            let run = state.runs;
            state.done.insert(stream, (audited, run));
        })
    }
}
