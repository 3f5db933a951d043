//! Whose positions are followed: the traders that the last choice tracks, read from the store, and the coins that have to be heard
//! for it. Not here: how they are chosen (`hl-traders`, by a job), and how they are followed (`hl-collectors`, the tracker).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use hl_core::seam::stopped;
use hl_core::store::StoreError;
use hl_core::symbol::User;
use hl_core::{StreamKey, TimeMs};
use hl_scheduler::jobs::{CollectTraderOrders, tracked_at};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use crate::Engine;

/// How often it looks for another choice.
const EVERY: Duration = Duration::from_secs(5);

/// Follows the choices until `stop` turns true.
pub(crate) async fn follow(engine: Arc<Engine>, mut stop: watch::Receiver<bool>) {
    let mut every = interval(EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut tracked = Tracked::default();
    let mut complained = false;
    loop {
        tokio::select! {
            biased;
            () = stopped(&mut stop) => break,
            _ = every.tick() => {}
        }
        let looked = tokio::select! {
            biased;
            () = stopped(&mut stop) => break,
            looked = tracked.look(&engine) => looked,
        };
        if let Err(error) = &looked
            && !std::mem::replace(&mut complained, true)
        {
            warn!(%error, "cannot read whom to track; trying again");
        }
        complained &= looked.is_err();
    }
}

#[derive(Default)]
struct Tracked {
    /// The choice that is followed.
    choice: Option<TimeMs>,
    /// Each trader's rank, 1 before 2.
    ranks: BTreeMap<User, u32>,
}

impl Engine {
    /// Says once how often it reads what only REST tells of those who are tracked, and of how many it cannot.
    async fn tell_refresh(&self) -> Result<(), StoreError> {
        let Some(spec) = self.jobs.iter().find(|spec| spec.id.as_str() == CollectTraderOrders::ID) else {
            return Ok(());
        };
        let (store, now) = (&*self.store, self.mono.exchange());
        if let Some(plan) = CollectTraderOrders::plan(store, CollectTraderOrders::rules(spec), now).await? {
            info!("orders, fills and money of tracked traders: {plan}");
        }
        Ok(())
    }
}

impl Tracked {
    async fn look(&mut self, engine: &Engine) -> Result<(), StoreError> {
        let choice = engine.store.settled(StreamKey::Traders).await?.edge;
        if let Some(time) = choice.filter(|_| choice != self.choice) {
            let ranks = tracked_at(&*engine.store, time).await?;
            self.take(engine, ranks);
            if self.choice.is_none() {
                engine.tell_refresh().await?;
            }
            self.choice = choice;
        }
        engine.tracker.follow(engine.perpetuals(), self.ranks.clone());
        Ok(())
    }

    fn take(&mut self, engine: &Engine, ranks: BTreeMap<User, u32>) {
        let streams = |of: &BTreeMap<User, u32>, not: &BTreeMap<User, u32>| -> Vec<_> {
            of.keys().filter(|user| !not.contains_key(user)).map(|user| StreamKey::Positions(*user)).collect()
        };
        let (joining, leaving) = (streams(&ranks, &self.ranks), streams(&self.ranks, &ranks));
        info!(traders = ranks.len(), joining = joining.len(), leaving = leaving.len(), "following positions");
        self.ranks = ranks;
        // First of all who goes first: streams that join are asked for as soon as they are leased.
        engine.tracker.follow(engine.perpetuals(), self.ranks.clone());
        engine.leave(&leaving);
        if let Err(error) = engine.join(&joining, &BTreeSet::new()) {
            warn!(%error, "positions cannot be followed");
        }
    }
}
