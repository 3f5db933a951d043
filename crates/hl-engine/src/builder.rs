//! An engine put together piece by piece: what most hosts leave as it is has a value to begin with.

use std::sync::Arc;
use std::time::Duration;

use hl_collectors::rest::RestOptions;
use hl_collectors::ws::WsOptions;
use hl_core::seam::{Clock, Net, Seed};
use hl_core::source::Files;
use hl_core::store::{BatchQueue, Store};
use hl_core::thinning::Policy;
use hl_scheduler::Task;
use hl_scheduler::jobs::{CollectTraderOrders, FetchLeaderboard, GenerateSignals, UpdateTrackedTraders};
use hl_scheduler::plan::Spec;

use crate::{Endpoints, Engine, Parts, Sharing, Sink, Tracking};

/// Made by [`Engine::builder`].
#[must_use = "nothing is wired together before `build`"]
pub struct EngineBuilder {
    parts: Parts,
}

impl Engine {
    /// An engine on the four seams: a network, a clock, a store, and what waits before the store. It collects from the exchange
    /// itself where nothing else is said.
    pub fn builder(
        net: Arc<dyn Net>,
        clock: Arc<dyn Clock>,
        store: Arc<dyn Store>,
        spool: Arc<dyn BatchQueue>,
    ) -> EngineBuilder {
        let Endpoints { ws, info, .. } = Endpoints::mainnet();
        // Two processes, and two engines in one, must not jitter alike.
        let words = format!("{} {}", std::process::id(), store.token().0);
        let seed = Seed(clock.now().0.unsigned_abs()).derive(&words);
        EngineBuilder {
            parts: Parts {
                net,
                clock,
                store,
                spool,
                ws: WsOptions { endpoint: ws.endpoint, path: ws.path },
                rest: RestOptions { endpoint: info.endpoint, path: info.path },
                address: "mainnet".to_owned(),
                sharing: None,
                seed,
                statistics: None,
                tracking: None,
                policy: Policy::default(),
                backfill_ms: None,
                jobs: Vec::new(),
                sinks: Vec::new(),
                tasks: Vec::new(),
            },
        }
    }
}

impl EngineBuilder {
    /// Where the exchange is, and what names the ledger of its request weight: the network, and the local address that
    /// requests go out from where there are several.
    pub fn exchange(mut self, endpoints: &Endpoints, address: impl Into<String>) -> Self {
        let Endpoints { ws, info, .. } = endpoints.clone();
        self.parts.ws = WsOptions { endpoint: ws.endpoint, path: ws.path };
        self.parts.rest = RestOptions { endpoint: info.endpoint, path: info.path };
        self.parts.address = address.into();
        self
    }

    /// Shares the streams with the other processes of the store that share them.
    pub fn sharing(mut self, sharing: Sharing) -> Self {
        self.parts.sharing = Some(sharing);
        self
    }

    /// What jitter, ids, masks and handshake keys are drawn from; otherwise time, process and session decide.
    pub fn seed(mut self, seed: Seed) -> Self {
        self.parts.seed = seed;
        self
    }

    /// Leaves rows out on purpose.
    pub fn thinned(mut self, policy: Policy) -> Self {
        self.parts.policy = policy;
        self
    }

    /// Also fetches the bars of so much of the past, as far as the exchange still has them.
    pub fn backfill(mut self, reach: Duration) -> Self {
        self.parts.backfill_ms = Some(i64::try_from(reach.as_millis()).unwrap_or(i64::MAX));
        self
    }

    /// Plans a job of ours: `collect_funding`, and `collect_daily_stats` where there is [`statistics`](Self::statistics).
    pub fn job(mut self, spec: Spec) -> Self {
        self.parts.jobs.push(spec);
        self
    }

    /// Plans a job of the host's.
    pub fn task(mut self, spec: Spec, task: Arc<dyn Task>) -> Self {
        self.parts.tasks.push((spec, task));
        self
    }

    /// The files of daily statistics.
    pub fn statistics(mut self, files: Arc<dyn Files>) -> Self {
        self.parts.statistics = Some(files);
        self
    }

    /// Reads the leaderboard, and chooses from it whom to track: `fetch_leaderboard` and `update_tracked_traders`, at their usual
    /// times and at once where they never ran. Reads what only REST tells of those who are tracked: `collect_trader_orders`.
    /// What those hold becomes signals: `generate_signals`, every five minutes.
    pub fn track(mut self, tracking: Tracking) -> Self {
        self.parts.tracking = Some(tracking);
        self.parts.jobs.extend(FetchLeaderboard::spec(None));
        self.parts.jobs.extend(UpdateTrackedTraders::spec(None));
        self.parts.jobs.extend(CollectTraderOrders::spec(None));
        self.parts.jobs.extend(GenerateSignals::spec(None));
        self
    }

    /// Hands rows on once they are stored.
    pub fn sink(mut self, sink: Arc<dyn Sink>) -> Self {
        self.parts.sinks.push(sink);
        self
    }

    /// Wires everything together. Nothing runs before [`Engine::run`].
    #[must_use]
    pub fn build(self) -> Arc<Engine> {
        Engine::new(self.parts)
    }
}
