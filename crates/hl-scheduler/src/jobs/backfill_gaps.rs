use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hl_core::backoff::Backoff;
use hl_core::ledger::{Cause, Change, Span};
use hl_core::past::{self, Newest, Patience};
use hl_core::seam::BoxFuture;
use hl_core::source::Past;
use hl_core::store::{Store, StoreError};
use hl_core::stream::History;
use hl_core::{Epoch, SourceId, StreamKey, TimeMs};
use tokio::time::Instant;
use tracing::{debug, info, instrument, warn};

use crate::backfill::{self, BackfillError, Filled, Step};
use crate::{Failing, Job};

/// How soon after a gap was opened the job looks at it.
const FIRST_LOOK: Duration = Duration::from_secs(2);
/// How often it looks while gaps stay open: a bar has to end first, a budget to have room.
const AGAIN: Duration = Duration::from_secs(20);
/// How often it looks where it knows of none: another process may have opened some.
const IDLE: Duration = Duration::from_secs(600);
/// A stream whose past could not be read is left alone for this long, doubling: up to a minute where another answer may
/// come at any time …
const FIRST_PAUSE: Duration = Duration::from_secs(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// … and up to an hour where the exchange refuses, or what it says cannot be read.
const LONGEST_VAIN_PAUSE: Duration = Duration::from_secs(3_600);
/// After so many failures in a row the user is told.
const TELL_AFTER: u32 = 3;

/// A look ends after this time, and the next begins at once: what is short and new then goes before what is long.
const LOOK_LIMIT: Duration = Duration::from_secs(60);

/// The streams that this process collects.
pub type Collected = Box<dyn Fn() -> Vec<StreamKey> + Send + Sync>;
/// Who owns a stream in this process.
pub type OwnerOf = Box<dyn Fn(StreamKey) -> Option<SourceId> + Send + Sync>;
/// From where on time below the edge of a stream is lived once more.
pub type RelivedFrom = Box<dyn Fn(StreamKey) -> Option<TimeMs> + Send + Sync>;
/// Told of everything that the job has committed.
pub type Committed = Box<dyn Fn(StreamKey, &Change) + Send + Sync>;

/// Fills open gaps from the exchange's past, under backfill claims, beside the live streams.
pub struct BackfillGaps {
    store: Arc<dyn Store>,
    past: Arc<dyn Past>,
    /// One claim for all it does: what it left claimed by a failure is its own the next time.
    epoch: Epoch,
    exchange_now: Box<dyn Fn() -> TimeMs + Send + Sync>,
    owner_of: OwnerOf,
    committed: Committed,
    due: Mutex<Option<Instant>>,
    trouble: Mutex<Trouble>,
    /// What no answer settled, and when it is asked for again.
    patience: Mutex<Patience>,
    /// When the newest records were asked for, where that is all there is.
    newest: Mutex<Newest>,
    past_wanted: Option<PastWanted>,
    relived_from: RelivedFrom,
}

/// The streams whose past could not be read the last time.
struct Trouble {
    streams: BTreeMap<StreamKey, Vain>,
    rng: fastrand::Rng,
}

struct Vain {
    cause: Cause,
    words: String,
    times: u32,
    backoff: Backoff,
    until: Instant,
}

impl Trouble {
    /// Notes a failure. What fails in another way than the last time begins anew.
    fn failed(&mut self, stream: StreamKey, cause: Cause, words: String) {
        let longest = match cause {
            Cause::Refused | Cause::Undecodable => LONGEST_VAIN_PAUSE,
            _ => LONGEST_PAUSE,
        };
        let first = || (0, Backoff::new(FIRST_PAUSE, longest));
        let before = self.streams.remove(&stream).filter(|before| before.cause == cause);
        let (times, mut backoff) = before.map_or_else(first, |before| (before.times, before.backoff));
        let until = Instant::now() + backoff.pause(&mut self.rng);
        self.streams.insert(stream, Vain { cause, words, times: times + 1, backoff, until });
    }

    fn waits(&self, stream: StreamKey) -> bool {
        self.streams.get(&stream).is_some_and(|vain| Instant::now() < vain.until)
    }
}

/// A past that is wanted of every stream of bars, however new.
struct PastWanted {
    reach_ms: i64,
    collected: Collected,
    /// Of which streams it is in the ledger by now.
    asked: Mutex<BTreeSet<StreamKey>>,
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
        owner_of: OwnerOf,
        committed: Committed,
    ) -> Self {
        Self {
            store,
            past,
            epoch,
            exchange_now,
            owner_of,
            committed,
            due: Mutex::new(Some(Instant::now() + FIRST_LOOK)),
            trouble: Mutex::new(Trouble {
                streams: BTreeMap::new(),
                rng: fastrand::Rng::with_seed(epoch.to_i64().cast_unsigned()),
            }),
            patience: Mutex::default(),
            newest: Mutex::default(),
            past_wanted: None,
            relived_from: Box::new(|_| None),
        }
    }

    /// Leaves alone what is lived once more since the exchange's clock was set back: it is still to come, and the live claim fills
    /// it as it passes.
    #[must_use]
    pub fn without_relived(mut self, relived_from: RelivedFrom) -> Self {
        self.relived_from = relived_from;
        self
    }

    /// Also asks for the bars of the last `reach_ms` of every stream of bars that is `collected`: what of them is not known
    /// yet becomes a gap, once the stream has an edge, and is filled like any other.
    #[must_use]
    pub fn reaching_back(mut self, reach_ms: i64, collected: Collected) -> Self {
        self.past_wanted = Some(PastWanted { reach_ms, collected, asked: Mutex::default() });
        self
    }

    fn due(&self) -> MutexGuard<'_, Option<Instant>> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn trouble(&self) -> MutexGuard<'_, Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A gap was opened. Wake the runner after this.
    pub fn gaps_opened(&self) {
        self.due_within(FIRST_LOOK);
    }

    fn due_within(&self, pause: Duration) {
        let soon = Instant::now() + pause;
        let mut due = self.due();
        *due = Some(due.map_or(soon, |due| due.min(soon)));
    }

    /// Fills what is open: first what the exchange forgets soonest, then the shortest. Returns when to look again.
    async fn look(&self) -> Result<Duration, StoreError> {
        let begun = Instant::now();
        let waits = self.ask_past().await?;
        let mut open = self.store.open_gaps().await?;
        self.trouble().streams.retain(|stream, _| open.iter().any(|(of, ..)| of == stream));
        self.patience().retain(|stream| open.iter().any(|(of, ..)| *of == stream));
        let now = (self.exchange_now)();
        self.newest().forget(now);
        open.sort_by_key(|(stream, _, span)| past::precedence(*stream, *span, now));
        let mut left = false;
        for (stream, _, span) in open {
            if begun.elapsed() >= LOOK_LIMIT {
                return Ok(Duration::ZERO);
            }
            left |= self.fill(stream, span).await?;
        }
        let stuck = self.patience().next().map(|due| due.since((self.exchange_now)()).max(0).unsigned_abs());
        Ok(match (waits, left, stuck) {
            (true, ..) => FIRST_LOOK,
            (false, true, _) => AGAIN,
            (false, false, stuck) => stuck.map_or(IDLE, Duration::from_millis).clamp(AGAIN, IDLE),
        })
    }

    fn patience(&self) -> MutexGuard<'_, Patience> {
        self.patience.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens gaps over what is not known yet of the past that is wanted. Returns whether a stream has no edge yet, below
    /// which that could be.
    async fn ask_past(&self) -> Result<bool, StoreError> {
        let Some(PastWanted { reach_ms, collected, asked }) = &self.past_wanted else { return Ok(false) };
        let now = (self.exchange_now)();
        let mut waits = false;
        for stream in collected() {
            let StreamKey::Candle(_, interval) = stream else { continue };
            if asked.lock().unwrap_or_else(PoisonError::into_inner).contains(&stream) {
                continue;
            }
            let span = Span::new(interval.open_of(now - *reach_ms), now);
            match self.store.request_backfill(stream, span, Cause::NotCollected).await?.up_to {
                Some(_) => {
                    asked.lock().unwrap_or_else(PoisonError::into_inner).insert(stream);
                }
                None => waits = true,
            }
        }
        Ok(waits)
    }

    fn newest(&self) -> MutexGuard<'_, Newest> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether something stays open.
    #[instrument(name = "backfill", level = "debug", skip_all, fields(%stream))]
    async fn fill(&self, stream: StreamKey, span: Span) -> Result<bool, StoreError> {
        let to = (self.relived_from)(stream).map_or(span.to, |from| span.to.min(from));
        if to <= span.from && to < span.to {
            return Ok(true);
        }
        let span = Span { to, ..span };
        let filled = match stream.spec().history {
            History::None | History::Recent(_) => self.fill_newest(stream, span).await,
            History::Bars(_) | History::All if self.trouble().waits(stream) => return Ok(true),
            History::Bars(_) | History::All => self.fill_past(stream, span).await,
        };
        match filled {
            Ok(stays) => Ok(stays),
            Err(BackfillError::Store(error)) => Err(error),
            Err(BackfillError::Fetch { stream, source: error }) => {
                warn!(%stream, %error, "a gap stays open for now");
                self.trouble().failed(stream, error.cause, format!("{stream}: {error}"));
                Ok(true)
            }
        }
    }

    /// Asks for the newest records where they may reach into a gap that is young, and gives up what is beyond them.
    async fn fill_newest(&self, stream: StreamKey, span: Span) -> Result<bool, BackfillError> {
        let sent = (self.exchange_now)();
        let (store, plan) =
            (self.store.as_ref(), self.newest().plan(stream, span, (self.owner_of)(stream), sent));
        if plan.asks && !self.trouble().waits(stream) {
            let told = |stream, step: Step<'_>| self.told(stream, step);
            let rows =
                backfill::fill_newest(store, self.past.as_ref(), self.epoch, stream, span, &told).await?;
            self.newest().answered(stream, sent);
            self.trouble().streams.remove(&stream);
            if rows > 0 {
                info!(%stream, rows, "gap filled from the exchange's newest records");
            }
        }
        Ok(backfill::give_up(store, self.epoch, stream, span, plan.given_up).await?)
    }

    async fn fill_past(&self, stream: StreamKey, span: Span) -> Result<bool, BackfillError> {
        let now = (self.exchange_now)();
        let due = |pieces: &[Span]| self.patience().due(stream, pieces, now);
        let (store, past) = (self.store.as_ref(), self.past.as_ref());
        let told = |stream, step: Step<'_>| self.told(stream, step);
        let filled = backfill::fill_due(store, past, self.epoch, stream, span, &due, &told).await?;
        if !filled.asked.is_empty() {
            self.trouble().streams.remove(&stream);
        }
        if filled.rows > 0 {
            info!(%stream, rows = filled.rows, "gap filled from the exchange's past");
        }
        Ok(self.wait_for(stream, &filled).await?)
    }

    fn told(&self, stream: StreamKey, step: Step<'_>) {
        if let Step::Committed(change) = step {
            (self.committed)(stream, change);
        }
    }

    /// Notes what no answer settled, and gives up what was asked for in vain for long enough. Returns whether something
    /// is left that is only too young.
    async fn wait_for(&self, stream: StreamKey, filled: &Filled) -> Result<bool, StoreError> {
        let now = (self.exchange_now)();
        let Filled { claimed, asked, stuck, unreadable, .. } = filled;
        let given_up = self.patience().settle(stream, claimed, asked, stuck, unreadable, now);
        for span in &given_up {
            backfill::give_up_part(self.store.as_ref(), self.epoch, stream, *span).await?;
        }
        if !filled.stuck.is_empty() {
            debug!(%stream, pieces = filled.stuck.len(), "no answer settles these pieces; asking more rarely");
        }
        let waits = past::length(&filled.claimed) - past::length(&filled.asked);
        Ok(filled.open_ms > past::length(&filled.stuck) + waits)
    }
}

impl Job for BackfillGaps {
    fn id(&self) -> &'static str {
        Self::ID
    }

    fn next_due(&self) -> Option<Instant> {
        *self.due()
    }

    fn failing(&self) -> Option<Failing> {
        let trouble = self.trouble();
        let worst = trouble.streams.values().max_by_key(|vain| vain.times)?;
        (worst.times >= TELL_AFTER).then(|| Failing {
            times: worst.times,
            words: format!("gaps of {} streams cannot be filled: {}", trouble.streams.len(), worst.words),
        })
    }

    fn run(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            *self.due() = None;
            let again = self.look().await.unwrap_or_else(|error| {
                warn!(%error, "the gaps cannot be looked at now");
                AGAIN
            });
            self.due_within(again);
        })
    }
}
