//! An exchange, a network, a folder with one store, and daemons on it, one after another.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hl_collectors::files::Folder;
use hl_collectors::rest::RestOptions;
use hl_collectors::ws::WsOptions;
use hl_core::seam::{Net as _, Seed};
use hl_core::store::StoreError;
use hl_core::store::prelude::*;
use hl_core::thinning::Policy;
use hl_core::{Coin, Interval, Kind, StreamKey, TimeMs};
use hl_engine::markets::{Markets, NeverListed, Wish};
use hl_engine::{Engine, EngineError, Parts, Sharing, Sink, Snapshot, Target, Tracking};
use hl_runtime::{MemoryNet, TokioClock};
use hl_scheduler::jobs::{FetchLeaderboard, UpdateTrackedTraders};
use hl_scheduler::plan::Spec;
use hl_sim::{Sim, SimConfig};
use hl_store::{Spool, SqliteOptions, SqliteStore, Writer};
use hl_traders::signals::Consensus;
use hl_traders::{Rules, SignalRules};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle};

use crate::net::WeatherNet;
use crate::store::{RoughStore, Troubles};
use crate::{ChaosError, SteppingClock, Trace};

/// Simulated time at the start.
pub const START: TimeMs = TimeMs(1_790_000_000_000);
/// Modelled time of one store request.
const WRITER: Writer = Writer::Inline { delay_ms: 3 };
/// The most that a spool may hold, bytes.
const SPOOL_BYTES: u64 = 1 << 30;
/// A file system in memory, where there is one. A simulated crash ends tasks, not the machine, so what was written is
/// there whether or not it was flushed to a disk; the store's own flushes then cost nothing.
const MEMORY: &str = "/dev/shm";

/// Must be used inside a runtime of one thread with a paused clock.
pub struct World {
    /// The network of the daemons.
    pub net: WeatherNet<MemoryNet>,
    /// The exchange.
    pub sim: Sim,
    /// The wall clock of the daemons.
    pub clock: SteppingClock,
    /// What happens to and in the daemons.
    pub trace: Trace,
    /// Whether final bars are audited, by the daemons that are started from now on.
    pub audited: bool,
    /// Which rows the daemons that are started from now on leave out.
    pub policy: Policy,
    /// Jobs that are planned, by the daemons that are started from now on.
    pub jobs: Vec<Spec>,
    /// Where else rows go, of the daemons that are started from now on.
    pub sinks: Vec<Arc<dyn Sink>>,
    /// How many traders the daemons that are started from now on track.
    pub tracked: usize,
    /// How the daemons that are started from now on share the streams, where they do.
    pub sharing: Option<Sharing>,
    /// What happens in the stores of the daemons.
    pub troubles: Troubles,
    folder: tempfile::TempDir,
    seed: u64,
}

/// A running daemon.
pub struct Daemon {
    /// It.
    pub engine: Arc<Engine>,
    /// Its store.
    pub store: Arc<SqliteStore>,
    spool: Arc<Spool>,
    stop: watch::Sender<bool>,
    task: JoinHandle<Result<(), Ended>>,
}

/// What was waited for did not happen.
#[derive(Debug, thiserror::Error)]
pub enum Never {
    /// The daemon ended meanwhile.
    #[error("the daemon ended while waiting until {0}")]
    Ended(&'static str),
    /// It runs on.
    #[error("never: {0}; {1:#?}")]
    Stuck(&'static str, Box<Snapshot>),
}

/// How a daemon ended that was not killed.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// Collecting ended with an error.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// It was to follow markets that there are not.
    #[error(transparent)]
    Markets(#[from] NeverListed),
    /// The store or the spool could not be closed.
    #[error("closing the store: {0}")]
    Store(#[from] StoreError),
    /// It panicked.
    #[error(transparent)]
    Panicked(#[from] JoinError),
}

impl World {
    /// A world with the exchange of a seed.
    ///
    /// # Errors
    /// Where no folder can be made.
    pub async fn new(seed: u64) -> Result<Self, ChaosError> {
        Self::with(SimConfig { seed, ..SimConfig::default() }, Trace::new(false)).await
    }

    /// A world with this exchange, which begins at [`START`]; `trace` receives what happens.
    ///
    /// # Errors
    /// Where no folder can be made, or the configuration is out of its ranges.
    pub async fn with(config: SimConfig, trace: Trace) -> Result<Self, ChaosError> {
        let folder = match tempfile::tempdir_in(MEMORY) {
            Ok(folder) => folder,
            Err(_) => {
                tempfile::tempdir().map_err(|source| ChaosError::Io { step: "making a folder", source })?
            }
        };
        let net = WeatherNet::new(MemoryNet::new());
        let listener =
            net.listen("sim:0").await.map_err(|source| ChaosError::Io { step: "listening", source })?;
        let seed = config.seed;
        let sim = Sim::start(SimConfig { start: START, ..config }, listener)?;
        let clock = SteppingClock::new(TokioClock::starting_at(START));
        Ok(Self {
            net,
            sim,
            clock,
            trace,
            audited: true,
            policy: Policy::default(),
            jobs: Vec::new(),
            sinks: Vec::new(),
            tracked: 0,
            sharing: None,
            troubles: Troubles::default(),
            folder,
            seed,
        })
    }

    /// The folder of the store.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The store's file.
    #[must_use]
    pub fn store_path(&self) -> PathBuf {
        self.folder.path().join("sim.db")
    }

    /// Opens a session on the store.
    ///
    /// # Errors
    /// As [`SqliteStore::open`].
    pub async fn open(&self, role: &str) -> Result<SqliteStore, StoreError> {
        SqliteStore::open(SqliteOptions {
            path: self.store_path(),
            role: role.to_owned(),
            host: "world".to_owned(),
            pid: 1,
            writer: WRITER,
            clock: Arc::new(self.clock.clone()),
        })
        .await
    }

    /// Starts a daemon that collects `streams`.
    ///
    /// # Errors
    /// When store or spool cannot be opened.
    pub async fn daemon(&self, streams: &[StreamKey]) -> Result<Daemon, StoreError> {
        self.daemon_with(streams, &[]).await
    }

    /// Starts a daemon that collects `streams`, with a warm standby for the trades of some coins.
    ///
    /// # Errors
    /// As [`World::daemon`].
    pub async fn daemon_with(&self, streams: &[StreamKey], standby: &[Coin]) -> Result<Daemon, StoreError> {
        let (store, spool, engine) = self.engine().await?;
        let (stop, stopped) = watch::channel(false);
        let (running, streams) = (engine.clone(), streams.to_vec());
        let standby: BTreeSet<_> = standby.iter().copied().collect();
        let task = tokio::spawn(async move { Ok(running.run(&streams, &standby, stopped).await?) });
        Ok(Daemon { engine, store, spool, stop, task })
    }

    /// Starts a daemon that collects these kinds of the markets of a wish, of candles the minutes, and follows which there are.
    ///
    /// # Errors
    /// As [`World::daemon`].
    pub async fn daemon_of(&self, wish: Wish, kinds: &[Kind]) -> Result<Daemon, StoreError> {
        let (store, spool, engine) = self.engine().await?;
        let (stop, stopped) = watch::channel(false);
        let (running, session, kinds) = (engine.clone(), store.clone(), kinds.to_vec());
        let task = tokio::spawn(async move {
            let of = |coins: &[Coin]| {
                let streams = kinds.iter().flat_map(|kind| kind.streams(coins, &[Interval::M1]));
                (streams.collect::<Vec<_>>(), BTreeSet::new())
            };
            let mut markets = Markets::recall(session.as_ref(), "sim", wish).await;
            let (streams, standby) = of(&markets.begin(&running, false).await?.listed);
            tokio::select! {
                biased;
                ended = running.run(&streams, &standby, stopped) => Ok(ended?),
                never = markets.follow(&running, &of) => match never {},
            }
        });
        Ok(Daemon { engine, store, spool, stop, task })
    }

    async fn engine(&self) -> Result<(Arc<SqliteStore>, Arc<Spool>, Arc<Engine>), StoreError> {
        let store = Arc::new(self.open("hl-daemon").await?);
        let spool = Arc::new(Spool::open_beside(&self.store_path(), WRITER, SPOOL_BYTES).await?);
        let endpoint = self.sim.endpoint();
        let rough = RoughStore::new(store.clone(), self.troubles.clone(), self.trace.clone(), self.audited);
        let mut jobs = self.jobs.clone();
        let tracking = (self.tracked > 0).then_some(()).and_then(|()| {
            jobs.extend(FetchLeaderboard::spec(None));
            jobs.extend(UpdateTrackedTraders::spec(None));
            let net = Arc::new(self.net.clone());
            let leaderboard = Arc::new(Folder::holding(net, endpoint.clone(), "/Mainnet/leaderboard"));
            let rules = Rules { track: self.tracked, minimum_score: 0.into(), ..Rules::default() };
            let chain = Some(Target { endpoint: endpoint.clone(), path: "/evm".into() });
            let signals = SignalRules::default();
            let strategy = Consensus::new(signals).ok()?;
            Some(Tracking { leaderboard, rules, chain, strategy: Arc::new(strategy), signals })
        });
        let engine = Engine::new(Parts {
            net: Arc::new(self.net.clone()),
            clock: Arc::new(self.clock.clone()),
            store: Arc::new(rough),
            spool: spool.clone(),
            ws: WsOptions { endpoint: endpoint.clone(), path: "/ws".into() },
            rest: RestOptions { endpoint, path: "/info".into() },
            address: "sim".into(),
            sharing: self.sharing.clone(),
            seed: Seed(self.seed).derive(&format!("daemon {}", store.token().0)),
            statistics: None,
            tracking,
            policy: self.policy,
            backfill_ms: None,
            jobs,
            sinks: self.sinks.clone(),
            tasks: Vec::new(),
        });
        let mut perpetuals = self.sim.coins();
        perpetuals.retain(|coin| coin.is_perpetual() && coin.dex().is_none());
        engine.say_perpetuals(&perpetuals);
        Ok((store, spool, engine))
    }
}

impl Daemon {
    /// Waits until `what` holds. The clock is virtual, so this costs no time of ours.
    ///
    /// # Errors
    /// When it does not within half an hour, or the daemon ends.
    pub async fn until(
        &self,
        what: &'static str,
        holds: impl Fn(&Snapshot) -> bool,
    ) -> Result<Snapshot, Never> {
        for _ in 0..20_000 {
            let snapshot = self.engine.snapshot();
            if holds(&snapshot) {
                return Ok(snapshot);
            }
            if self.task.is_finished() {
                return Err(Never::Ended(what));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err(Never::Stuck(what, Box::new(self.engine.snapshot())))
    }

    /// Resolves when it has ended by itself, which none should. Safe to drop and call again.
    ///
    /// # Errors
    /// How it ended, where that was not in good order.
    pub async fn ended(&mut self) -> Result<(), Ended> {
        (&mut self.task).await?
    }

    /// Ends it in good order.
    ///
    /// # Errors
    /// When it does not end so.
    pub async fn stop(self) -> Result<(), Ended> {
        // It may have ended already: its result says how.
        let _ = self.stop.send(true);
        self.task.await??;
        self.store.close().await?;
        self.spool.close().await?;
        Ok(())
    }

    /// Ends it as kill -9 does: whatever was in hand is gone.
    pub async fn crash(self) {
        self.task.abort();
        // Cancelled, or it had ended a moment ago.
        let _ = self.task.await;
    }
}
