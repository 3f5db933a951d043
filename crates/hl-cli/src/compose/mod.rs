//! The daemon put together: from a [`Config`] to a running [`Engine`], and back to an exit code.
//!
//! What lives here: opening the store, starting a simulated exchange where one is asked for, finding out what there is
//! to collect, signals, and showing what happens. Every decision about the data is below, in the engine.

mod archive;
mod report;
pub(crate) mod shutdown;
mod trace;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hl_collectors::files::Folder;
use hl_collectors::rest::RestOptions;
use hl_collectors::ws::WsOptions;
use hl_core::seam::{Clock, Net, Seed, stopped};
use hl_core::source::Files;
use hl_core::store::{Store, StoreError};
use hl_core::{Coin, StreamKey};
use hl_engine::network::{NetworkError, belong};
use hl_engine::universe::Universe;
use hl_engine::{Engine, EngineError, Parts, Sharing};
use hl_runtime::{SystemClock, TcpNet};
use hl_scheduler::Task;
use hl_scheduler::jobs::CollectDailyStats;
use hl_sim::{Sim, SimConfig, SimError};

use tokio::sync::watch;
use tracing::{info, warn};

use crate::config::{CoinsError, Config, Endpoints, StoreUri};
use crate::exit::Exit;
use crate::http::Server;
use crate::status;
use crate::stores;
use crate::view::{Mode, View};
use crate::webhook::{self, Sender};

/// The spool holds at most this much: hours of a busy market.
const SPOOL_BYTES: u64 = 1 << 30;
/// First pause before the exchange is asked again what it has; doubles, jittered.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(30);
/// How often the view is shown, and the status kept in the store.
const VIEW_EVERY: Duration = Duration::from_secs(1);
const NOTE_EVERY_VIEWS: u64 = 2;

/// The daemon could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The simulated exchange.
    #[error(transparent)]
    Sim(#[from] SimError),
    /// A port to listen on.
    #[error("listening for the simulated exchange: {0}")]
    Listen(#[source] std::io::Error),
    /// An address of this machine.
    #[error("--local-address {address}: this machine cannot connect from there: {source}")]
    LocalAddress {
        /// The address.
        address: IpAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// A port to answer on.
    #[error("--http {address}: {source}")]
    Http {
        /// The address.
        address: SocketAddr,
        /// Why it cannot be listened on.
        source: std::io::Error,
    },
    /// The store.
    #[error("the store {store}: {source}")]
    Store {
        /// Which.
        store: StoreUri,
        /// The cause.
        source: StoreError,
    },
    /// The store holds data of another exchange.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The coins.
    #[error(transparent)]
    Coins(#[from] CoinsError),
    /// Collecting.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl DaemonError {
    fn exit(&self) -> Exit {
        match self {
            Self::Coins(_)
            | Self::LocalAddress { .. }
            | Self::Network(NetworkError::Other { .. })
            | Self::Engine(EngineError::OverCapacity(_) | EngineError::NoTrades(_)) => Exit::Usage,
            Self::Engine(EngineError::Held(_)) => Exit::Held,
            Self::Sim(_)
            | Self::Listen(_)
            | Self::Http { .. }
            | Self::Store { .. }
            | Self::Network(_)
            | Self::Engine(_) => Exit::Failed,
        }
    }
}

/// What a daemon's session is called in the store.
pub const ROLE: &str = "hl-daemon";

/// Runs the daemon until it is stopped, and says why it ended where that was not asked for.
pub fn run_process(config: &Config) -> Exit {
    trace::start(config);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("hl-daemon: no runtime: {error}");
            return Exit::Failed;
        }
    };
    match runtime.block_on(run(config)) {
        Ok(()) => Exit::Done,
        Err(error) => {
            eprintln!("hl-daemon: {error}");
            error.exit()
        }
    }
}

/// What outlives a session on the store.
struct Outside {
    net: Arc<dyn Net>,
    clock: Arc<dyn Clock>,
    endpoints: Endpoints,
    stop: watch::Receiver<bool>,
}

async fn run(config: &Config) -> Result<(), DaemonError> {
    let stop = shutdown::signal(config.run_for);
    let net = outward(config.local_address)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let (endpoints, sim) = match config.network.endpoints() {
        Some(endpoints) => (endpoints, None),
        None => {
            let sim = simulate(config, net.as_ref(), clock.as_ref()).await?;
            (Endpoints::at(&sim.endpoint()), Some(sim))
        }
    };
    let outside = Outside { net, clock, endpoints, stop };
    let result = loop {
        match session(config, &outside).await {
            Err(DaemonError::Store { source: StoreError::Superseded, .. }) if !*outside.stop.borrow() => {
                warn!(
                    "this process stood still, or was cut off from the store, and others took over: a new session begins"
                );
            }
            ended => break ended,
        }
    };
    if let Some(sim) = sim {
        sim.stop().await;
    }
    result
}

/// Collects in one session on the store, until stopped, or until others have taken over.
async fn session(config: &Config, outside: &Outside) -> Result<(), DaemonError> {
    let Outside { net, clock, endpoints, stop } = outside;
    let failed = |source| DaemonError::Store { store: config.store.clone(), source };
    let store = stores::open(&config.store, ROLE, clock.clone()).await.map_err(failed)?;
    let spool = Arc::new(stores::spool(&config.store, SPOOL_BYTES).await.map_err(failed)?);
    let statistics = endpoints.stats.clone();
    let statistics = statistics.map(|stats| Folder::new(net.clone(), stats.endpoint, stats.path));
    let mut jobs = config.jobs.planned();
    if statistics.is_none() {
        jobs.retain(|spec| spec.id.as_str() != CollectDailyStats::ID);
        info!(network = config.network.name(), "publishes no statistics; {} is off", CollectDailyStats::ID);
    }
    let archive = Arc::new(archive::ArchiveAll {
        store: store.clone(),
        uri: config.store.clone(),
        folder: config.archive.clone(),
        retention: config.retention.clone(),
        clock: clock.clone(),
    });
    let tasks =
        config.jobs.archive().into_iter().map(|spec| (spec, archive.clone() as Arc<dyn Task>)).collect();
    let engine = Engine::new(Parts {
        net: net.clone(),
        clock: clock.clone(),
        store: store.clone(),
        spool: spool.clone(),
        ws: WsOptions { endpoint: endpoints.ws.endpoint.clone(), path: endpoints.ws.path.clone() },
        rest: RestOptions { endpoint: endpoints.info.endpoint.clone(), path: endpoints.info.path.clone() },
        address: stores::address(&config.store, &config.network.name(), config.local_address),
        sharing: sharing(config),
        // Two daemons must not jitter alike.
        seed: Seed(clock.now().0.unsigned_abs()).derive(&std::process::id().to_string()),
        policy: config.policy,
        backfill_ms: config.backfill.map(|reach| i64::try_from(reach.as_millis()).unwrap_or(i64::MAX)),
        statistics: statistics.map(|folder| Arc::new(folder) as Arc<dyn Files>),
        jobs,
        tasks,
    });
    let server = match config.http.map(|address| serve(address, net, &engine)).transpose() {
        Ok(server) => server,
        Err(error) => {
            // Nothing was begun.
            store.close().await.map_err(failed)?;
            return Err(error);
        }
    };
    let result = collect(config, &engine, store.as_ref(), net.as_ref(), stop.clone()).await;
    let result = result.map_err(|error| match error {
        DaemonError::Engine(EngineError::Store(source))
        | DaemonError::Network(NetworkError::Store(source)) => failed(source),
        other => other,
    });
    if let Some(server) = server {
        server.stop();
    }
    let closed = store.close().await.map_err(failed);
    let spool_closed = spool.close().await.map_err(failed);
    // A store that failed cannot be closed in order either: what came first says more.
    result.and(closed).and(spool_closed)
}

/// The network, from the local address that was asked for.
fn outward(local: Option<IpAddr>) -> Result<Arc<dyn Net>, DaemonError> {
    Ok(match local {
        None => Arc::new(TcpNet::new()),
        Some(address) => Arc::new(
            TcpNet::from_address(address).map_err(|source| DaemonError::LocalAddress { address, source })?,
        ),
    })
}

/// How the streams are shared: with every daemon of a MongoDB store, on SQLite where a weight was said.
fn sharing(config: &Config) -> Option<Sharing> {
    let weight = match config.store {
        StoreUri::Mongo(_) => config.weight.or(Some(1)),
        StoreUri::Sqlite(_) => config.weight,
    };
    weight.map(|weight| Sharing { name: hl_store::host_name(), weight })
}

/// A simulated exchange on a free loopback port, so that other programs can look at it too.
async fn simulate(config: &Config, net: &dyn Net, clock: &dyn Clock) -> Result<Sim, DaemonError> {
    let listener = net.listen("127.0.0.1:0").await.map_err(DaemonError::Listen)?;
    let options = SimConfig {
        seed: config.sim.seed.0,
        coins: config.sim.coins,
        start: clock.now(),
        ..SimConfig::default()
    };
    let sim = Sim::start(options, listener)?;
    info!(endpoint = %sim.endpoint(), "simulated exchange; its truth is at /sim/truth/trades");
    Ok(sim)
}

async fn collect(
    config: &Config,
    engine: &Arc<Engine>,
    store: &dyn Store,
    net: &dyn Net,
    mut stop: watch::Receiver<bool>,
) -> Result<(), DaemonError> {
    belong(store, &config.network.name()).await?;
    let Some(coins) = coins(config, engine, store, &mut stop).await? else { return Ok(()) };
    let streams: Vec<StreamKey> = config.stream_keys(&coins);
    let standby = config.standby.resolve(&coins)?;
    info!(
        network = config.network.name(),
        coins = coins.len(),
        streams = streams.len(),
        standbys = standby.len(),
        "collecting"
    );
    let show = show(config, engine, store);
    tokio::select! {
        biased;
        ended = engine.run(&streams, &standby, stop) => ended?,
        () = show => {}
        () = tell(config, engine, net) => {}
    }
    let report = report::report(config, &engine.snapshot(), store.token(), &unfilled(config).await, None);
    info!("{}", crate::view::line(&report));
    Ok(())
}

/// Answers over HTTP, on a thread of its own.
fn serve(address: SocketAddr, net: &Arc<dyn Net>, engine: &Engine) -> Result<Server, DaemonError> {
    let server = Server::start(net.clone(), address, engine.health());
    let server = server.map_err(|source| DaemonError::Http { address, source })?;
    info!(endpoint = %server.endpoint(), "answering over HTTP: /healthz, /v1/processes, /v1/alerts");
    Ok(server)
}

/// Tells the webhook of alerts, where there is one. Never ends by itself.
async fn tell(config: &Config, engine: &Engine, net: &dyn Net) {
    if let Some(to) = &config.webhook {
        let sender =
            Sender { network: config.network.name(), pid: std::process::id(), host: hl_store::host_name() };
        let rng = Seed(sender.pid.into()).rng("webhook");
        webhook::run(net, to, &sender, engine.alerts(), rng).await;
    }
    std::future::pending().await
}

/// The coins to collect. Asks until the exchange answers; what was known the last time serves meanwhile. None when
/// told to stop before.
async fn coins(
    config: &Config,
    engine: &Engine,
    store: &dyn Store,
    stop: &mut watch::Receiver<bool>,
) -> Result<Option<Vec<Coin>>, DaemonError> {
    let everything = config.coins.reach_beyond_the_first_dex();
    let network = config.network.name();
    let mut pause = FIRST_RETRY;
    let mut rng = Seed(std::process::id().into()).rng("universe");
    // An exchange that does not answer is given half a minute before anything is said about it.
    info!(%network, "asking which markets there are");
    loop {
        let read = tokio::select! {
            biased;
            () = stopped(stop) => return Ok(None),
            read = Universe::read_or_recall(engine.client(), store, &network, everything) => read,
        };
        match read {
            Ok(universe) => return Ok(Some(config.coins.resolve(&config.network, &universe)?)),
            Err(error) => warn!(%error, retry_in = ?pause, "cannot reach {network}"),
        }
        let jittered = pause.mul_f64(0.5 + rng.f64() / 2.0);
        tokio::select! {
            biased;
            () = stopped(stop) => return Ok(None),
            () = tokio::time::sleep(jittered) => {}
        }
        pause = (pause * 2).min(LONGEST_RETRY);
    }
}

/// Gaps of each stream that are not filled, as the ledger has them.
async fn unfilled(config: &Config) -> BTreeMap<StreamKey, u64> {
    let counts = match stores::inspect(&config.store).await {
        Ok(ledger) => ledger.unfilled().await,
        Err(error) => Err(error),
    };
    counts.inspect_err(|error| warn!(%error, "gaps cannot be counted")).unwrap_or_default()
}

/// Shows what the engine does, and keeps it in the store. Never ends by itself.
async fn show(config: &Config, engine: &Engine, store: &dyn Store) {
    let mut view = View::new(std::io::stdout(), Mode::of_stdout(config.json));
    let mut every = tokio::time::interval(VIEW_EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut rates = report::Rates::default();
    let mut gaps = BTreeMap::new();
    let mut shown = true;
    let note = status::note(store.token());
    for n in 0_u64.. {
        every.tick().await;
        let snapshot = engine.snapshot();
        if snapshot.streams.is_empty() {
            continue;
        }
        if n % NOTE_EVERY_VIEWS == 0 {
            gaps = unfilled(config).await;
        }
        let report = report::report(config, &snapshot, store.token(), &gaps, Some(&mut rates));
        // Standard output may be closed: the collection goes on.
        shown = shown && view.show(&report).is_ok();
        if n % NOTE_EVERY_VIEWS == 0
            && let Ok(text) = serde_json::to_string(&report)
            && let Err(error) = store.put_note(&note, &text).await
        {
            warn!(%error, "the status could not be kept");
        }
    }
}
