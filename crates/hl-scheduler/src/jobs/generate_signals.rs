use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hl_core::record::{Address, CoinSignal, Mid, Trader};
use hl_core::row::Arrival;
use hl_core::seam::BoxFuture;
use hl_core::source::FetchError;
use hl_core::store::StoreError;
use hl_core::{Coin, Decimal, Kind, Origin, Records, StreamKey, TimeMs};
use hl_traders::signals::{
    Alert, Alerts, Basis, Change, Known, RowError, Signal, SignalRules, Strategy, Verdict, View,
    WithheldReason,
};
use hl_traders::tracker::Following;
use tracing::{debug, info, warn};

use super::snapshot::{Snapshot, SnapshotError, Snapshots};
use crate::plan::{JobId, Retry, Spec, Trigger};
use crate::{Done, Task, TaskError};

const PLAN: &str = "every 300s";

/// Asks what is known of everyone whose positions are followed, as of now.
pub type Follow = Box<dyn Fn() -> Following + Send + Sync>;
/// Takes the changes of positions since it was last asked.
pub type Changes = Box<dyn Fn() -> Vec<Change> + Send + Sync>;
/// The coins that signals are of.
pub type Coins = Box<dyn Fn() -> Vec<Coin> + Send + Sync>;
/// Asks the exchange for the mid prices of now.
pub type Prices = Box<dyn Fn() -> BoxFuture<'static, Result<Vec<Mid>, FetchError>> + Send + Sync>;
/// Tells of a coin what somebody should look at, in words.
pub type TellAlert = Box<dyn Fn(Coin, String) + Send + Sync>;

/// What a job is told of those who are followed.
pub struct Sight {
    /// What is known of them.
    pub follow: Follow,
    /// What they did.
    pub changes: Changes,
    /// Of which coins something is to be said.
    pub coins: Coins,
    /// Prices.
    pub prices: Prices,
}

/// Asks a strategy what the followed positions say of each coin, and stores its answer.
pub struct GenerateSignals {
    snapshots: Snapshots,
    sight: Sight,
    strategy: Arc<dyn Strategy>,
    rules: SignalRules,
    tell: TellAlert,
    /// None before the signals that are stored were looked at.
    alerts: Mutex<Option<Alerts>>,
}

#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Row(#[from] RowError),
    #[error("the store: {0}")]
    Store(#[from] StoreError),
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
}

impl GenerateSignals {
    /// Its id, which users of scheduled collectors know.
    pub const ID: &'static str = Kind::Signals.spec().job;

    /// A task that asks `strategy`. The rules say which changes of one trader are logged, and which changes of a signal are told.
    #[must_use]
    pub fn new(
        snapshots: Snapshots,
        sight: Sight,
        strategy: Arc<dyn Strategy>,
        rules: SignalRules,
        tell: TellAlert,
    ) -> Self {
        Self { snapshots, sight, strategy, rules, tell, alerts: Mutex::new(None) }
    }

    /// How it runs where nothing else is said: every five minutes.
    #[must_use]
    pub fn spec(trigger: Option<Trigger>) -> Option<Spec> {
        let trigger = trigger.or_else(|| PLAN.parse().ok())?;
        Some(Spec {
            id: JobId::new(Self::ID),
            // What the positions say later is another signal.
            grace_ms: 60_000,
            limit_ms: 240_000,
            retry: Retry { attempts: 3, first_ms: 10_000, longest_ms: 30_000 },
            ..Spec::new(Self::ID, trigger)
        })
    }

    /// Those whom the last choice tracks, and their scores.
    async fn scores(&self) -> Result<BTreeMap<Address, Option<Decimal>>, StoreError> {
        let mut scores = BTreeMap::new();
        if let Some(last) = self.snapshots.store.settled(StreamKey::Traders).await?.edge {
            let see = |trader: &Trader| {
                if trader.is_tracked() {
                    scores.insert(trader.user, trader.score);
                }
            };
            self.snapshots.each(StreamKey::Traders, last, see).await?;
        }
        Ok(scores)
    }

    async fn generate(&self) -> Result<Done, Problem> {
        let scores = self.scores().await?;
        if scores.is_empty() {
            debug!("no traders are tracked yet: there is nothing to say");
            return Ok(Done { rows: 0, weight: 0 });
        }
        self.remember().await?;
        let coins: BTreeSet<Coin> = (self.sight.coins)().into_iter().collect();
        let mids = (self.sight.prices)().await?;
        let prices =
            mids.iter().filter(|mid| coins.contains(&mid.coin)).map(|mid| (mid.coin, mid.px)).collect();
        // The clock is asked for what it may say of rows; what is known, and what is stored of it, is of one moment.
        self.snapshots.now()?;
        let following = (self.sight.follow)();
        let (time, known) = (following.at, Known::now(&following, &scores, &prices)?);
        let view = known.view(time)?;
        self.tell_changes(&view);
        // A strategy may say anything: one signal a coin, of those that are asked for.
        let signals: BTreeMap<Coin, Signal> = self
            .strategy
            .judge(&view)
            .into_iter()
            .filter(|signal| coins.contains(&signal.coin))
            .map(|signal| (signal.coin, signal))
            .collect();
        let rows: Vec<CoinSignal> =
            signals.values().map(|signal| row(self.strategy.name(), time, signal)).collect();
        let withheld = rows.iter().filter(|row| row.withheld.is_some()).count();
        if rows.is_empty() {
            warn!(strategy = self.strategy.name(), "the strategy says nothing of any coin");
            return Ok(Done { rows: 0, weight: weight() });
        }
        let said = rows.len();
        let (stream, origin) = (StreamKey::Signals, Origin::Derived);
        let rows = vec![Records::Signals(rows)];
        let stored = self.snapshots.put(Snapshot { stream, origin, time, rows, lacks: None }).await?;
        info!(coins = said, withheld, traders = scores.len(), "signals generated");
        self.tell_signals(signals.values());
        Ok(Done { rows: stored, weight: weight() })
    }

    /// Looks once at the signals that were stored last, which those of now are compared with.
    async fn remember(&self) -> Result<(), StoreError> {
        if self.lock().is_some() {
            return Ok(());
        }
        let mut alerts = Alerts::new(self.rules.alert);
        if let Some(last) = self.snapshots.store.settled(StreamKey::Signals).await?.edge {
            let see = |row: &CoinSignal| _ = alerts.see(&signal(row));
            self.snapshots.each(StreamKey::Signals, last, see).await?;
        }
        *self.lock() = Some(alerts);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Option<Alerts>> {
        self.alerts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell_signals<'a>(&self, signals: impl Iterator<Item = &'a Signal>) {
        let mut alerts = self.lock();
        let Some(alerts) = alerts.as_mut() else { return };
        for alert in signals.filter_map(|signal| alerts.see(signal)) {
            let (coin, words) = match alert {
                Alert::Verdict { coin, from, to } => (coin, format!("{to}; before that {from}")),
                Alert::Confidence { coin, recommendation, from, to } => {
                    (coin, format!("{}, confidence {to}; it was {from}", recommendation.as_str()))
                }
            };
            (self.tell)(coin, format!("{} says {words}", self.strategy.name()));
        }
    }

    fn tell_changes(&self, view: &View<'_>) {
        let changes = (self.sight.changes)();
        for signal in changes.iter().filter_map(|change| change.judge(view, &self.rules)) {
            let Change { user, coin, after, .. } = signal.change;
            let (action, notional) = (signal.action.as_str(), signal.notional.round());
            info!(%user, %coin, action, %after, %notional, "a large change of a tracked trader's position");
        }
    }
}

fn weight() -> u64 {
    Kind::Signals.spec().poll_weight.into()
}

fn row(strategy: &str, time: TimeMs, signal: &Signal) -> CoinSignal {
    let basis = &signal.basis;
    let (recommendation, confidence, withheld) = match signal.verdict {
        Verdict::Recommended { recommendation, confidence } => (Some(recommendation), Some(confidence), None),
        Verdict::Withheld { reason } => (None, None, Some(reason.word())),
    };
    CoinSignal {
        time,
        coin: signal.coin,
        strategy: strategy.into(),
        recommendation,
        withheld,
        confidence,
        long_bias: basis.long_bias(),
        short_bias: basis.short_bias(),
        net_exposure: basis.net_exposure,
        traders_long: basis.traders_long as u64,
        traders_short: basis.traders_short as u64,
        traders_flat: basis.traders_flat as u64,
        traders_unknown: basis.traders_unknown as u64,
        total_weight: basis.total_weight.normalize(),
        stale_ms: basis.oldest_ms.map(|age| age.max(0).unsigned_abs()),
        arrival: Arrival::default(),
    }
}

/// What a stored row says, as far as alerts look at it: not what it was built on, nor why it is withheld.
fn signal(row: &CoinSignal) -> Signal {
    let verdict = match (row.recommendation, row.confidence) {
        (Some(recommendation), Some(confidence)) => Verdict::Recommended { recommendation, confidence },
        _ => Verdict::Withheld { reason: WithheldReason::Nobody },
    };
    Signal { coin: row.coin, verdict, basis: Basis::default() }
}

impl Task for GenerateSignals {
    fn run(&self, _: TimeMs) -> BoxFuture<'_, Result<Done, TaskError>> {
        Box::pin(async {
            let done = self.generate().await;
            done.map_err(|problem| TaskError { step: "generating signals", source: Box::new(problem) })
        })
    }
}
