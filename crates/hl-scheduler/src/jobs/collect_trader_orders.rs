use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hl_core::ledger::{Cause, Span};
use hl_core::record::{Position, PositionChange};
use hl_core::seam::BoxFuture;
use hl_core::source::Past;
use hl_core::store::{Store, StoreError};
use hl_core::symbol::User;
use hl_core::time::DAY_MS;
use hl_core::{Epoch, Kind, Records, StreamKey, TimeMs};
use hl_traders::refresh::{Allowance, Plan, RefreshRules, Seen, State, Thing};
use tokio::time::Instant;
use tracing::{debug, instrument, warn};

use super::tracked_at;
use crate::backfill::{self, BackfillError};
use crate::plan::{JobId, Spec, Trigger};
use crate::{Done, Task, TaskError};

/// How often it runs where nothing else is said, ms.
const EVERY_MS: i64 = 300_000;
/// How far back fills and payments are read the first time, ms: all of them may be hundreds of pages. `hl-cli backfill fills` reads
/// what the exchange has of fills.
const FIRST_MS: i64 = DAY_MS;
/// What is younger than this may not be shown whole yet, ms.
const LAG_MS: i64 = 10_000;
/// Nothing more is asked for this long after a run began: the next one goes on.
const BUSY: Duration = Duration::from_secs(240);
/// So many rows of a trader's positions are read at a time.
const PAGE: usize = 1_000;

/// Reads what only REST tells of the traders that are tracked: orders, fills, funding payments and movements of money.
pub struct CollectTraderOrders {
    store: Arc<dyn Store>,
    past: Arc<dyn Past>,
    /// One claim for all it reads: pieces that join are one.
    epoch: Epoch,
    exchange_now: Box<dyn Fn() -> Option<TimeMs> + Send + Sync>,
    rules: RefreshRules,
}

#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error("what time it is at the exchange is not known yet")]
    NoTime,
    #[error("the store: {0}")]
    Store(#[from] StoreError),
    #[error(transparent)]
    Read(#[from] BackfillError),
}

impl CollectTraderOrders {
    /// Its id, which users of scheduled collectors know.
    pub const ID: &'static str = Kind::Orders.spec().job;
    /// The note of what it remembers from run to run.
    pub const NOTE: &'static str = "traders/refresh";

    /// A task that reads from `past` under a new claim. `exchange_now`: none while the time of the exchange is not known.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        past: Arc<dyn Past>,
        epoch: Epoch,
        exchange_now: Box<dyn Fn() -> Option<TimeMs> + Send + Sync>,
        rules: RefreshRules,
    ) -> Self {
        Self { store, past, epoch, exchange_now, rules }
    }

    /// How it runs where nothing else is said: every five minutes.
    #[must_use]
    pub fn spec(trigger: Option<Trigger>) -> Option<Spec> {
        Some(Spec {
            id: JobId::new(Self::ID),
            grace_ms: EVERY_MS,
            limit_ms: 600_000,
            ..Spec::new(Self::ID, trigger.unwrap_or(Trigger::Every(EVERY_MS)))
        })
    }

    /// The rules of a job with this plan. Where it does not say how often it runs, it is planned for as if it ran by default.
    #[must_use]
    pub fn rules(spec: &Spec) -> RefreshRules {
        let every_ms = match spec.trigger {
            Trigger::Every(ms) => ms,
            _ => EVERY_MS,
        };
        RefreshRules { every_ms, ..RefreshRules::default() }
    }

    /// What a note says that is remembered.
    #[must_use]
    pub fn state(note: Option<&str>) -> State {
        note.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }

    /// Who is read how often, by what is stored; none where nobody was chosen yet.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn plan(
        store: &dyn Store,
        rules: RefreshRules,
        now: TimeMs,
    ) -> Result<Option<Plan>, StoreError> {
        let Some(choice) = store.settled(StreamKey::Traders).await?.edge else { return Ok(None) };
        let state = Self::state(store.note(Self::NOTE).await?.as_deref());
        Ok(Some(Plan::new(tracked_at(store, choice).await?, &state.seen, rules, now)))
    }

    /// When a trader last traded, as far as public trades have told since the last one that is known.
    async fn traded(&self, user: User, since: TimeMs, now: TimeMs) -> Result<Option<TimeMs>, StoreError> {
        let (mut after, mut newest) = (None, None);
        loop {
            let page = self
                .store
                .rows_in(StreamKey::Positions(user), Span { from: since, to: now.max(since) }, after, PAGE)
                .await?;
            let Some(last) = page.records.keys().last().copied() else { return Ok(newest) };
            after = Some(last);
            let Records::Positions(positions) = &page.records else { return Ok(newest) };
            let is_trade = |position: &&Position| position.change != PositionChange::Snapshot;
            newest = positions.iter().filter(is_trade).map(|position| position.time).max().max(newest);
        }
    }

    /// Reads on in one stream.
    #[instrument(name = "read_on", level = "debug", skip_all, fields(stream = %thing.stream(user)))]
    async fn read(
        &self,
        user: User,
        thing: Thing,
        now: TimeMs,
        left: &mut u64,
        begun: Instant,
    ) -> Result<Option<backfill::ReadOn>, BackfillError> {
        let begin = match thing {
            Thing::Fills | Thing::Payments => now - FIRST_MS,
            Thing::Orders | Thing::Movements => TimeMs(0),
        };
        let weight = u64::from(thing.weight(user));
        let mut may_ask = || {
            let may = weight <= *left && begun.elapsed() < BUSY;
            if may {
                *left -= weight;
            }
            may
        };
        let (store, past, epoch, stream) = (&*self.store, &*self.past, self.epoch, thing.stream(user));
        backfill::read_on(store, past, epoch, stream, begin, now - LAG_MS, &mut may_ask).await
    }

    /// Reads what is due, as far as the weight allows. What fails of one trader is not the fault of the others.
    async fn collect(&self) -> Result<Done, Problem> {
        let now = (self.exchange_now)().ok_or(Problem::NoTime)?;
        let Some(choice) = self.store.settled(StreamKey::Traders).await?.edge else {
            return Ok(Done { rows: 0, weight: 0 });
        };
        let ranks = tracked_at(&*self.store, choice).await?;
        let State { allowance, mut seen, .. } = Self::state(self.store.note(Self::NOTE).await?.as_deref());
        seen.retain(|user, _| ranks.contains_key(user));
        for user in ranks.keys() {
            let known: &mut Seen = seen.entry(*user).or_default();
            let since = known.traded.map_or(now - FIRST_MS, |traded| traded + 1);
            known.traded = self.traded(*user, since, now).await?.max(known.traded);
        }
        let plan = Plan::new(ranks, &seen, self.rules, now);
        let due = plan.due(&seen, self.rules, now);
        let least = due.iter().map(|(user, thing)| thing.weight(*user)).max().unwrap_or_default();
        let mut allowance = Allowance::at(now, allowance, self.rules, least);
        let granted = allowance.left;
        debug!(%plan, due = due.len(), granted, "reading what traders did");
        let (begun, mut rows, mut failed) = (Instant::now(), 0, None);
        for (user, thing) in due {
            if allowance.left < u64::from(thing.weight(user)) || begun.elapsed() >= BUSY {
                break;
            }
            let read = self.read(user, thing, now, &mut allowance.left, begun).await;
            let known = seen.entry(user).or_default();
            match read {
                Ok(Some(read)) => {
                    rows += read.rows;
                    // An order is a trade to be expected.
                    if matches!(thing, Thing::Orders | Thing::Fills) {
                        known.traded = read.newest.max(known.traded);
                    }
                    if !read.more {
                        known.read.insert(thing, now);
                    }
                }
                Ok(None) => debug!(%user, ?thing, "another process is at it"),
                Err(BackfillError::Fetch { stream, source }) => {
                    let is_its_own = matches!(source.cause, Cause::Refused | Cause::Undecodable);
                    if source.cause == Cause::OverCapacity {
                        debug!(%stream, "no room in the weight of the address: put off to the next run");
                        break;
                    }
                    warn!(%stream, error = %source, "what a trader did cannot be read");
                    failed = Some(BackfillError::Fetch { stream, source });
                    // What cannot be had now does not keep what can from being read.
                    known.read.insert(thing, now);
                    if !is_its_own {
                        break;
                    }
                }
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        let weight = granted - allowance.left;
        self.remember(allowance, seen).await?;
        failed.map_or(Ok(Done { rows, weight }), |error| Err(error.into()))
    }

    async fn remember(&self, allowance: Allowance, seen: BTreeMap<User, Seen>) -> Result<(), StoreError> {
        let state = State { every_ms: Some(self.rules.every_ms), allowance: Some(allowance), seen };
        match serde_json::to_string(&state) {
            Ok(text) => self.store.put_note(Self::NOTE, &text).await,
            Err(error) => {
                warn!(%error, "what was read of traders cannot be remembered");
                Ok(())
            }
        }
    }
}

impl Task for CollectTraderOrders {
    fn run(&self, _: TimeMs) -> BoxFuture<'_, Result<Done, TaskError>> {
        Box::pin(async {
            self.collect().await.map_err(|problem| TaskError {
                step: "reading what tracked traders did",
                source: Box::new(problem),
            })
        })
    }
}
