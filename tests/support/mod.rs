//! What the tests of this folder share: a daemon in virtual time against a simulated exchange in memory.
#![allow(dead_code, reason = "each test file uses a part")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

pub(crate) mod process;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hl_cli::verify::{HttpTruth, Report, verify};
use hl_collectors::rest::RestOptions;
use hl_collectors::ws::WsOptions;
use hl_core::seam::{Net, Seed};
use hl_core::store::Store as _;
use hl_core::{Coin, StreamKey, TimeMs};
use hl_engine::{Engine, EngineError, Parts, Snapshot};
use hl_runtime::{MemoryNet, TokioClock};
use hl_sim::{Sim, SimConfig};
use hl_store::{Spool, SqliteOptions, SqliteStore, Writer};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Simulated time at the start of every test.
pub(crate) const START: TimeMs = TimeMs(1_790_000_000_000);
/// Modelled time of one store request, ms.
const STORE_DELAY_MS: u64 = 3;

pub(crate) fn coin(name: &str) -> Coin {
    Coin::new(name).unwrap()
}

pub(crate) fn streams(names: &[&str]) -> Vec<StreamKey> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

/// An exchange, a network, a folder with one store, and daemons on it, one after another.
pub(crate) struct World {
    pub(crate) net: MemoryNet,
    pub(crate) sim: Sim,
    pub(crate) clock: TokioClock,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) seed: u64,
}

/// A running daemon.
pub(crate) struct Daemon {
    pub(crate) engine: Arc<Engine>,
    pub(crate) store: Arc<SqliteStore>,
    spool: Arc<Spool>,
    stop: watch::Sender<bool>,
    task: JoinHandle<Result<(), EngineError>>,
}

impl World {
    pub(crate) async fn new(seed: u64) -> Self {
        let net = MemoryNet::new();
        let listener = net.listen("sim:0").await.unwrap();
        let config = SimConfig { seed, start: START, ..SimConfig::default() };
        let sim = Sim::start(config, listener).unwrap();
        Self { net, sim, clock: TokioClock::starting_at(START), folder: tempfile::tempdir().unwrap(), seed }
    }

    pub(crate) fn store_path(&self) -> PathBuf {
        self.folder.path().join("sim.db")
    }

    pub(crate) async fn open(&self, role: &str) -> SqliteStore {
        SqliteStore::open(SqliteOptions {
            path: self.store_path(),
            role: role.to_owned(),
            host: "test".to_owned(),
            pid: std::process::id(),
            writer: Writer::Inline { delay_ms: STORE_DELAY_MS },
            clock: Arc::new(self.clock),
        })
        .await
        .unwrap()
    }

    pub(crate) async fn daemon(&self, streams: &[StreamKey]) -> Daemon {
        let store = Arc::new(self.open("hl-daemon").await);
        let path = Spool::beside(&self.store_path(), 0);
        let writer = Writer::Inline { delay_ms: STORE_DELAY_MS };
        let spool = Arc::new(Spool::open(path, writer, 1 << 30).await.unwrap());
        let endpoint = self.sim.endpoint();
        let engine = Engine::new(Parts {
            net: Arc::new(self.net.clone()),
            clock: Arc::new(self.clock),
            store: store.clone(),
            spool: spool.clone(),
            ws: WsOptions { endpoint: endpoint.clone(), path: "/ws".into() },
            rest: RestOptions { endpoint, path: "/info".into() },
            address: "sim".into(),
            seed: Seed(self.seed).derive(&format!("daemon {}", store.token().0)),
        });
        let (stop, stopped) = watch::channel(false);
        let (running, streams) = (engine.clone(), streams.to_vec());
        let task = tokio::spawn(async move { running.run(&streams, stopped).await });
        Daemon { engine, store, spool, stop, task }
    }

    /// Compares the store with the truth.
    pub(crate) async fn verify(&self) -> Report {
        let inspect = SqliteStore::inspect(self.store_path()).unwrap();
        let net: Arc<dyn Net> = Arc::new(self.net.clone());
        let truth = HttpTruth::new(net, self.sim.endpoint());
        verify(&inspect, Some(&truth)).await.unwrap()
    }
}

impl Daemon {
    /// Waits until `what` holds. The clock is virtual, so this costs no time of ours.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&Snapshot) -> bool) -> Snapshot {
        for _ in 0..20_000 {
            let snapshot = self.engine.snapshot();
            if holds(&snapshot) {
                return snapshot;
            }
            assert!(!self.task.is_finished(), "the daemon ended while waiting until {what}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("never: {what}; {:#?}", self.engine.snapshot());
    }

    /// Ends it in good order.
    pub(crate) async fn stop(self) {
        self.stop.send(true).unwrap();
        self.task.await.unwrap().unwrap();
        self.store.close().await.unwrap();
        self.spool.close().await.unwrap();
    }

    /// Ends it as kill -9 does: whatever was in hand is gone.
    pub(crate) async fn crash(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }
}

/// Fails with everything that was found, and keeps the store for whoever looks into it.
pub(crate) fn assert_clean(report: &Report, store: &Path) {
    if !report.clean {
        let kept = std::env::temp_dir().join("unclean.db");
        std::fs::copy(store, &kept).unwrap();
        panic!("{}\nstore: {}\n{:#?}", report.text(), kept.display(), report.problems);
    }
}
