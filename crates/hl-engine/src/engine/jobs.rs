//! What an engine gives its parts to do: the jobs, the director, and the feeders of sinks.

use std::sync::Arc;

use hl_core::Dex;
use hl_core::seam::BoxFuture;
use hl_scheduler::Task;
use hl_scheduler::jobs::{
    AuditBars, BackfillGaps, CollectDailyStats, CollectFunding, CollectTraderOrders, FetchLeaderboard,
    GenerateSignals, Poll, Sight, Snapshots, UpdateTrackedTraders, fallbacks,
};
use hl_scheduler::plan::Spec;

use super::{Engine, EngineError, Tracking, lock};
use crate::director::Director;
use crate::sinks::{Fed, Feeder};

impl Engine {
    pub(super) async fn register_jobs(&self) -> Result<Arc<BackfillGaps>, EngineError> {
        for id in fallbacks() {
            self.runner.register(Arc::new(Poll::new(id, self.rest.clone(), self.zero)))?;
        }
        let (mono, inbox, meters) = (self.mono.clone(), self.inbox.clone(), self.meters.clone());
        let relived = self.meters.clone();
        let mut backfill = BackfillGaps::new(
            self.store.clone(),
            self.rest.clone(),
            self.selector.mint(),
            Box::new(move || mono.exchange()),
            Box::new(move |stream| meters.owner(stream)),
            Box::new(move |stream, change| inbox.filled(stream, change.clone())),
        )
        .without_relived(Box::new(move |stream| relived.relived_from(stream)));
        if let Some(reach_ms) = self.backfill_ms {
            let leased = self.leased.clone();
            let collected = Box::new(move || lock(&leased).iter().copied().collect());
            backfill = backfill.reaching_back(reach_ms, collected);
        }
        let backfill = Arc::new(backfill);
        self.runner.register(backfill.clone())?;
        let (mono, inbox, leased) = (self.mono.clone(), self.inbox.clone(), self.leased.clone());
        self.runner.register(Arc::new(AuditBars::new(
            self.store.clone(),
            self.rest.clone(),
            Box::new(move || lock(&leased).iter().copied().collect()),
            Box::new(move || mono.exchange()),
            Box::new(move |stream, bars| inbox.audited(stream, bars)),
        )))?;
        for spec in &self.jobs {
            let task = self.task(spec);
            let task = task.ok_or_else(|| EngineError::NoJob(spec.id.to_string()))?;
            self.runner.plan(spec.clone(), task).await?;
        }
        for (spec, task) in &self.tasks {
            self.runner.plan(spec.clone(), task.clone()).await?;
        }
        Ok(backfill)
    }

    /// What this planned job does.
    fn task(&self, spec: &Spec) -> Option<Arc<dyn Task>> {
        match spec.id.as_str() {
            CollectFunding::ID => {
                let (selector, mono) = (self.selector.clone(), self.mono.clone());
                let wanted = self.wanted.clone();
                Some(Arc::new(CollectFunding::new(
                    self.store.clone(),
                    self.rest.clone(),
                    Box::new(move || selector.mint()),
                    Box::new(move || wanted.perpetuals().into_iter().collect()),
                    Box::new(move || mono.exchange()),
                )))
            }
            CollectDailyStats::ID => {
                let (files, mono) = (self.statistics.clone()?, self.mono.clone());
                let now = Box::new(move || mono.exchange());
                Some(Arc::new(CollectDailyStats::new(self.store.clone(), files, now)))
            }
            FetchLeaderboard::ID => {
                let files = self.tracking.as_ref()?.leaderboard.clone();
                Some(Arc::new(FetchLeaderboard::new(self.snapshots(), files)))
            }
            UpdateTrackedTraders::ID => {
                let rules = self.tracking.as_ref()?.rules.clone();
                Some(Arc::new(UpdateTrackedTraders::new(self.snapshots(), rules)))
            }
            CollectTraderOrders::ID => {
                self.tracking.as_ref()?;
                let mono = self.mono.clone();
                Some(Arc::new(CollectTraderOrders::new(
                    self.store.clone(),
                    self.rest.aside(),
                    self.selector.mint(),
                    Box::new(move || (!mono.awaits_time()).then(|| mono.exchange())),
                    CollectTraderOrders::rules(spec),
                )))
            }
            GenerateSignals::ID => Some(Arc::new(self.generate_signals()?)),
            _ => None,
        }
    }

    fn generate_signals(&self) -> Option<GenerateSignals> {
        let Tracking { strategy, signals, .. } = self.tracking.as_ref()?;
        let (following, changes) = (self.tracker.clone(), self.tracker.clone());
        let (perpetuals, client, told) = (self.perpetuals.clone(), self.client.clone(), self.told.clone());
        let prices = move || {
            let client = client.clone();
            Box::pin(async move { client.mids(Dex::First).await }) as BoxFuture<'static, _>
        };
        let sight = Sight {
            follow: Box::new(move || following.following()),
            changes: Box::new(move || changes.take_changes()),
            coins: Box::new(move || lock(&perpetuals).clone()),
            prices: Box::new(prices),
        };
        let tell = move |coin, words| {
            let mut told = lock(&told);
            let (count, last) = told.entry(coin).or_default();
            (*count, *last) = (*count + 1, words);
        };
        let (strategy, signals) = (strategy.clone(), *signals);
        Some(GenerateSignals::new(self.snapshots(), sight, strategy, signals, Box::new(tell)))
    }

    fn snapshots(&self) -> Snapshots {
        let (selector, mono) = (self.selector.clone(), self.mono.clone());
        // Their rows bear no time of their own: the system clock alone does not say it.
        let now = move || (!mono.awaits_time()).then(|| mono.exchange());
        Snapshots::new(self.store.clone(), Box::new(move || selector.mint()), Box::new(now))
    }

    pub(super) fn feeders(&self) -> Vec<Feeder> {
        let feeder = |fed: &Fed| {
            let leased = self.leased.clone();
            let leased = Box::new(move || lock(&leased).clone());
            let rng = self.seed.rng(fed.sink.name());
            Feeder::new(fed.clone(), self.store.clone(), self.mono.clone(), &self.feed, leased, rng)
        };
        self.sinks.iter().map(feeder).collect()
    }

    pub(super) fn director(&self) -> Arc<Director> {
        Arc::new(Director {
            selector: self.selector.clone(),
            inbox: self.inbox.clone(),
            meters: self.meters.clone(),
            mono: self.mono.clone(),
            ws: self.pool.clone(),
            rest: self.rest.clone(),
            tracker: self.tracker.clone(),
            prober: self.rest.clone(),
            runner: self.runner.clone(),
            feed: self.feed.clone(),
        })
    }
}
