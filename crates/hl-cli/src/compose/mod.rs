//! The daemon put together: from a [`Config`] to a running [`Engine`], and back to an exit code.
//!
//! What lives here: opening the store, starting a simulated exchange where one is asked for, finding out what there is
//! to collect, signals, and showing what happens. Every decision about the data is below, in the engine.

mod gaps;
mod lines;
mod pane;
mod report;
pub(crate) mod shutdown;
mod simulated;
mod socket;
mod summary;
mod trace;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hl_collectors::files::Folder;
use hl_collectors::rest::RestOptions;
use hl_collectors::ws::WsOptions;
use hl_core::seam::{Clock, Net, Seed, stopped};
use hl_core::source::Files;
use hl_core::store::{Store, StoreError};
use hl_core::{Coin, StreamKey};
use hl_engine::markets::{Markets, NeverListed};
use hl_engine::network::{NetworkError, belong};
use hl_engine::{Engine, EngineError, Parts, Tracking};
use hl_host::archive::ArchiveAll;
use hl_host::http::{Server, Who};
use hl_host::stores::{self, Signed};
use hl_host::webhook;
use hl_runtime::{SystemClock, TcpNet};
use hl_scheduler::Task;
use hl_scheduler::jobs::CollectDailyStats;
use hl_sim::SimError;
use hl_store::Nameless;
use hl_traders::RuleError;
use hl_traders::signals::Consensus;
use tokio::sync::{OnceCell, watch};
use tokio::time::Instant;
use tracing::{info, warn};

use self::gaps::Gaps;
use self::lines::{Lines, Output};
use self::pane::Pane;
use self::shutdown::{Shutdown, Why};
pub use self::simulated::{Market, MarketError};
use self::socket::Socket;
use self::summary::{Summary, Tally};
use crate::config::{CoinsError, Config, Loaded, StoreUri, Target, TrackRules};
use crate::exit::Exit;
use crate::say::say;
use crate::view::{Mode, View};
use crate::{human, status};

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
    /// This machine has no name.
    #[error(transparent)]
    Nameless(#[from] Nameless),
    /// A thread for events.
    #[error("--stdout: no thread: {0}")]
    Output(#[source] std::io::Error),
    /// A socket for events.
    #[error("--socket {}: {source}", path.display())]
    Socket {
        /// Where it was to be.
        path: PathBuf,
        /// Why it cannot be there.
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
    /// The store holds data of another simulated market.
    #[error("the store {store}: {source}")]
    Market {
        /// Which.
        store: StoreUri,
        /// The cause.
        source: MarketError,
    },
    /// The coins.
    #[error(transparent)]
    Coins(#[from] CoinsError),
    /// Collecting.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Rules of signals that do not go together.
    #[error(transparent)]
    Rules(#[from] RuleError),
    /// There is nothing to choose traders from.
    #[error("{0} publishes no leaderboard to choose traders from: leave --track out")]
    NoLeaderboard(String),
    /// It ran for the time that it was given, in vain.
    #[error("nothing was collected in {}{}", human::length(*.ran_ms), .trouble.as_ref().map(|words| format!(": {words}")).unwrap_or_default())]
    NothingCollected {
        /// How long it ran, ms.
        ran_ms: i64,
        /// What was last seen to be in the way.
        trouble: Option<String>,
    },
}

impl DaemonError {
    fn exit(&self) -> Exit {
        match self {
            Self::Coins(_)
            | Self::LocalAddress { .. }
            | Self::Nameless(_)
            | Self::Network(NetworkError::Other { .. })
            | Self::Market {
                source: MarketError::Other { .. } | MarketError::Unnamed | MarketError::Inside(_),
                ..
            }
            | Self::NoLeaderboard(_)
            | Self::Rules(_)
            | Self::Engine(EngineError::OverCapacity(_) | EngineError::NoTrades(_)) => Exit::Usage,
            Self::Engine(EngineError::Held(_)) => Exit::Held,
            Self::NothingCollected { .. } => Exit::Unseen,
            Self::Sim(_)
            | Self::Listen(_)
            | Self::Output(_)
            | Self::Socket { .. }
            | Self::Http { .. }
            | Self::Store { .. }
            | Self::Network(_)
            | Self::Market { .. }
            | Self::Engine(_) => Exit::Failed,
        }
    }
}

/// What a daemon's session is called in the store.
pub const ROLE: &str = "hl-daemon";

/// Runs the daemon until it is stopped, and says why it ended where that was not asked for.
pub fn run_process(loaded: &Loaded) -> Exit {
    let config = &loaded.config;
    let pane = trace::start(config);
    info!(
        version = env!("CARGO_PKG_VERSION"),
        network = config.network.name(),
        store = %config.store,
        archive = %config.archive.display(),
        retention = %config.retention,
        config = loaded.file.as_ref().map_or("none".to_owned(), |file| file.display().to_string()),
        pid = std::process::id(),
        "starting"
    );
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            say!("hl-daemon: no runtime: {error}");
            return Exit::Failed;
        }
    };
    match runtime.block_on(run(config, pane)) {
        Ok(()) => Exit::Done,
        Err(error) => {
            say!("hl-daemon: {error}");
            error.exit()
        }
    }
}

/// What outlives a session on the store.
struct Outside {
    /// What this machine is called.
    name: String,
    net: Arc<dyn Net>,
    clock: Arc<dyn Clock>,
    /// Known once the first session has looked into the store.
    exchange: OnceCell<simulated::Exchange>,
    shutdown: Shutdown,
    pane: Option<Pane>,
    /// Where events go, where they were asked for.
    output: Option<Output>,
}

async fn run(config: &Config, pane: Option<Pane>) -> Result<(), DaemonError> {
    let begun = Instant::now();
    let shutdown = shutdown::of_daemon(config.run_for);
    let name = stores::name(config.name.as_deref())?;
    let net = outward(config.local_address)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let output = config.events().map(|_| Output::start(std::io::stdout())).transpose();
    let output = output.map_err(DaemonError::Output)?;
    let outside = Outside { name, net, clock, exchange: OnceCell::new(), shutdown, pane, output };
    let mut tally = Tally::default();
    let result = loop {
        match session(config, &outside, &mut tally).await {
            Err(DaemonError::Store { source: StoreError::Superseded, .. })
                if outside.shutdown.why().is_none() =>
            {
                warn!(
                    "this process stood still, or was cut off from the store, and others took over: a new session begins"
                );
            }
            ended => break ended,
        }
    };
    let Outside { clock, exchange, shutdown, output, .. } = outside;
    let has_events = output.is_some();
    if let Some(output) = output {
        output.finish().await;
    }
    if let Some(sim) = exchange.into_inner().and_then(|exchange| exchange.sim) {
        sim.stop().await;
    }
    let ran_ms = i64::try_from(begun.elapsed().as_millis()).unwrap_or(i64::MAX);
    let why = shutdown.why().filter(|_| result.is_ok());
    // What was refused before it began has its reason, which is all there is to say.
    if why.is_some() || !tally.is_empty() {
        let summary = Summary::new(&tally, config, why, clock.now(), ran_ms);
        let text = summary.text(config.json);
        // Standard output may have no reader any more.
        match has_events {
            true => say!("{}", text.trim_end()),
            false => _ = std::io::stdout().write_all(text.as_bytes()),
        }
    }
    match why {
        Some(Why::TimeOver) if tally.is_empty() => {
            Err(DaemonError::NothingCollected { ran_ms, trouble: tally.trouble })
        }
        _ => result,
    }
}

/// Collects in one session on the store, until stopped, or until others have taken over.
async fn session(config: &Config, outside: &Outside, tally: &mut Tally) -> Result<(), DaemonError> {
    let Outside { name, net, clock, exchange, shutdown, .. } = outside;
    let stop = &shutdown.stop;
    let failed = |source| DaemonError::Store { store: config.store.clone(), source };
    let consensus = config.track.as_ref().map(|track| Consensus::new(track.signals)).transpose()?;
    let signed = Signed { role: ROLE, name };
    let store = stores::open(&config.store, signed, clock).await.map_err(failed)?;
    let reaching = || simulated::reach(config, store.as_ref(), net, clock, stop);
    let endpoints = match exchange.get_or_try_init(reaching).await {
        Ok(exchange) => &exchange.endpoints,
        Err(error) => {
            // Nothing was begun.
            store.close().await.map_err(failed)?;
            return Err(error);
        }
    };
    let spool = Arc::new(stores::spool(&config.store).await.map_err(failed)?);
    let statistics = endpoints.stats.clone();
    let statistics = statistics.map(|stats| Folder::new(net.clone(), stats.endpoint, stats.path));
    let mut jobs = config.jobs.planned();
    if statistics.is_none() {
        jobs.retain(|spec| spec.id.as_str() != CollectDailyStats::ID);
        info!(network = config.network.name(), "publishes no statistics; {} is off", CollectDailyStats::ID);
    }
    let tracking = match (config.track.clone().zip(consensus), &endpoints.leaderboard) {
        (None, _) => None,
        (Some(_), None) => {
            store.close().await.map_err(failed)?;
            return Err(DaemonError::NoLeaderboard(config.network.name()));
        }
        (Some((TrackRules { rules, signals }, consensus)), Some(Target { endpoint, path })) => {
            jobs.extend(config.jobs.tracking());
            let leaderboard = Arc::new(Folder::holding(net.clone(), endpoint.clone(), path));
            let (strategy, chain) = (Arc::new(consensus), endpoints.chain.clone());
            Some(Tracking { leaderboard, rules, chain, strategy, signals })
        }
    };
    let archive = Arc::new(ArchiveAll {
        store: store.clone(),
        uri: config.store.clone(),
        role: format!("{ROLE} archive"),
        name: name.clone(),
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
        address: stores::address(&config.store, &config.network.name(), config.local_address, name),
        sharing: stores::sharing(&config.store, config.weight, name),
        // Two daemons must not jitter alike.
        seed: Seed(clock.now().0.unsigned_abs()).derive(&std::process::id().to_string()),
        policy: config.policy,
        backfill_ms: config.backfill.map(|reach| i64::try_from(reach.as_millis()).unwrap_or(i64::MAX)),
        statistics: statistics.map(|folder| Arc::new(folder) as Arc<dyn Files>),
        tracking,
        jobs,
        sinks: Vec::new(),
        tasks,
    });
    let server = match config.http.map(|address| serve(address, name, net, &engine)).transpose() {
        Ok(server) => server,
        Err(error) => {
            // Nothing was begun.
            store.close().await.map_err(failed)?;
            return Err(error);
        }
    };
    let result = collect(config, outside, &engine, store.as_ref(), tally).await;
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

async fn collect(
    config: &Config,
    outside: &Outside,
    engine: &Arc<Engine>,
    store: &dyn Store,
    tally: &mut Tally,
) -> Result<(), DaemonError> {
    let stop = outside.shutdown.stop.clone();
    belong(store, &config.network.name()).await?;
    let mut socket = match &config.socket {
        Some(path) => {
            let bound = Socket::bind(path).await;
            Some(bound.map_err(|source| DaemonError::Socket { path: path.clone(), source })?)
        }
        None => None,
    };
    let show = show(config, outside, engine, store);
    let (net, network) = (outside.net.as_ref(), config.network.name());
    let tell = webhook::tell(net, config.webhook.as_ref(), &network, &outside.name, engine.alerts());
    let events = config.events().zip(outside.output.as_ref());
    let mut lines = events.map(|(filter, output)| Lines::new(engine.events(filter), output));
    let ended = tokio::select! {
        biased;
        ended = collect_all(config, engine, store, stop, &mut tally.trouble) => ended,
        () = show => Ok(()),
        () = tell => Ok(()),
        () = write(lines.as_mut()) => Ok(()),
        () = answer(socket.as_mut(), engine) => Ok(()),
    };
    if let Some(socket) = socket {
        socket.finish().await;
    }
    if let Some(lines) = lines {
        lines.finish().await;
    }
    tally.store_gone = store.condition().gone;
    let snapshot = engine.snapshot();
    if !snapshot.streams.is_empty() {
        let gaps = Gaps::new(&config.store).counted().await;
        let of_ours =
            |(stream, gaps): (&StreamKey, &u64)| snapshot.streams.contains_key(stream).then_some(*gaps);
        tally.add(&snapshot, gaps.as_ref().map(|gaps| gaps.iter().filter_map(of_ours).sum()));
        let gaps = gaps.unwrap_or_default();
        let report = report::report(config, &outside.name, &snapshot, store.token(), &gaps, Vec::new(), None);
        info!("{}", crate::view::line(&report));
    }
    ended
}

/// Finds out what there is to collect, and collects it.
async fn collect_all(
    config: &Config,
    engine: &Arc<Engine>,
    store: &dyn Store,
    mut stop: watch::Receiver<bool>,
    trouble: &mut Option<String>,
) -> Result<(), DaemonError> {
    let network = config.network.name();
    let mut markets = Markets::recall(store, &network, config.wish()).await;
    info!(%network, "asking which markets there are");
    let begun = tokio::select! {
        biased;
        () = stopped(&mut stop) => None,
        begun = markets.begin(engine, !config.stream_keys(&[]).is_empty()) => Some(begun),
    };
    let sorted = match begun {
        Some(Ok(sorted)) => sorted,
        Some(Err(NeverListed::Coins(coins))) => {
            let unknown = coins.first().map(|coin| config.coins.unknown(*coin, markets.universe()));
            return Err(unknown.unwrap_or(CoinsError::NoMarkets).into());
        }
        Some(Err(NeverListed::Dexes(dexes))) => {
            let unknown = dexes.into_iter().next().map(CoinsError::NoDex);
            return Err(unknown.unwrap_or(CoinsError::NoMarkets).into());
        }
        None => {
            *trouble =
                markets.failed().values().next().map(|error| format!("cannot reach {network}: {error}"));
            return Ok(());
        }
    };
    // A coin that is not listed yet may have a standby once it is.
    let wanted: Vec<_> = sorted.listed.iter().chain(&sorted.waiting).copied().collect();
    config.standby.resolve(&wanted)?;
    let of = |coins: &[Coin]| (config.collected(coins), config.standby.among(coins));
    let (streams, standby) = of(&sorted.listed);
    info!(
        %network,
        coins = sorted.listed.len(),
        streams = streams.len(),
        standbys = standby.len(),
        "collecting"
    );
    tokio::select! {
        biased;
        ended = engine.run(&streams, &standby, stop) => Ok(ended?),
        never = markets.follow(engine, &of) => match never {},
    }
}

/// Answers over HTTP, on a thread of its own.
fn serve(
    address: SocketAddr,
    host: &str,
    net: &Arc<dyn Net>,
    engine: &Engine,
) -> Result<Server, DaemonError> {
    let who = Who { role: ROLE.to_owned(), host: host.to_owned() };
    let server = Server::start(net.clone(), address, who, engine.health());
    let server = server.map_err(|source| DaemonError::Http { address, source })?;
    info!(endpoint = %server.endpoint(), "answering over HTTP: /healthz, /v1/processes, /v1/alerts");
    Ok(server)
}

/// What is shown on standard output beside events.
fn mode(config: &Config) -> Mode {
    if config.stdout.is_empty() { Mode::of_stdout(config.json) } else { Mode::Silent }
}

/// Writes events to standard output, where they were asked for. Never ends by itself.
async fn write(lines: Option<&mut Lines>) {
    if let Some(lines) = lines {
        lines.run().await;
    }
    std::future::pending().await
}

/// Tells events to every program that connects to the socket, where there is one. Never ends by itself.
async fn answer(socket: Option<&mut Socket>, engine: &Engine) {
    if let Some(socket) = socket {
        socket.run(engine).await;
    }
    std::future::pending().await
}

/// Shows what the engine does, and keeps it in the store, until it is to stop. Never ends by itself: the terminal is given
/// back, and what is in hand is finished meanwhile.
async fn show(config: &Config, outside: &Outside, engine: &Engine, store: &dyn Store) {
    let mut stop = outside.shutdown.stop.clone();
    let mode = mode(config);
    tokio::select! {
        biased;
        () = stopped(&mut stop) => {}
        () = shown(config, outside, engine, store, mode) => {}
    }
    if matches!(mode, Mode::Table { .. }) {
        say!("finishing what is in hand; once more ends it at once");
    }
    std::future::pending().await
}

async fn shown(config: &Config, outside: &Outside, engine: &Engine, store: &dyn Store, mode: Mode) {
    let pane = outside.pane.as_ref();
    // Dropped after the view, which gives the terminal back.
    let _covered = pane.map(Pane::until_dropped);
    let mut view = View::new(std::io::stdout(), mode);
    let mut every = tokio::time::interval(VIEW_EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut rates = report::Rates::default();
    let mut ledger = Gaps::new(&config.store);
    let mut gaps = BTreeMap::new();
    let mut shown = true;
    let note = status::note(store.token());
    for n in 0_u64.. {
        every.tick().await;
        let snapshot = engine.snapshot();
        if snapshot.streams.is_empty() {
            engine.publish_reception();
        }
        // An exchange that cannot be reached is nothing to collect from, and something to show.
        if snapshot.streams.is_empty() && snapshot.reception.why.is_none() {
            continue;
        }
        if n % NOTE_EVERY_VIEWS == 0 {
            gaps = ledger.counted().await.unwrap_or_default();
        }
        let alerts = engine.health().borrow().health.alerts.clone();
        let report =
            report::report(config, &outside.name, &snapshot, store.token(), &gaps, alerts, Some(&mut rates));
        let warnings = pane.map(Pane::lines).unwrap_or_default();
        // Standard output may be closed: the collection goes on.
        shown = shown && view.show(&report, &warnings).is_ok();
        if let Some(pane) = pane {
            pane.cover(shown);
        }
        if n % NOTE_EVERY_VIEWS == 0
            && let Ok(text) = serde_json::to_string(&report)
            && let Err(error) = store.put_note(&note, &text).await
        {
            warn!(%error, "the status could not be kept");
        }
    }
}
