//! The builder, and the running collector.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hl_core::alert::Alert;
use hl_core::seam::{Clock, Endpoint, Net, stopped};
use hl_core::store::{BatchQueue, Notes, Store, StoreError};
use hl_core::stream::StreamKeyError;
use hl_core::symbol::CoinError;
use hl_core::thinning::Policy;
use hl_core::{Coin, Dex, Kind, StreamKey};
use hl_engine::markets::{Markets, NeverListed, Unread, Wish};
#[cfg(feature = "sqlite")]
use hl_engine::network::{NOTE, usual_store};
use hl_engine::network::{NetworkError, belong};
use hl_engine::universe::Part;
use hl_engine::{Endpoints, Engine, EngineError, Events, Filter, Sharing, Sink, Snapshot};
use hl_monitor::Change;
use hl_runtime::{SystemClock, TcpNet};
use hl_scheduler::plan::Spec;
use hl_store::Nameless;
#[cfg(feature = "sqlite")]
use hl_store::{Spool, SqliteOptions, SqliteStore, Writer};
use tokio::sync::{broadcast, watch};
use tokio::task::JoinSet;

/// What the session is called in the store, for people.
#[cfg(feature = "sqlite")]
const ROLE: &str = env!("CARGO_PKG_NAME");
/// The spool holds at most this much: hours of a busy market.
#[cfg(feature = "sqlite")]
const SPOOL_BYTES: u64 = 1 << 30;

/// Why a collector did not start, or ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CollectError {
    /// A name that names no stream.
    #[error(transparent)]
    Stream(#[from] StreamKeyError),
    /// A text that no coin can be called.
    #[error(transparent)]
    Coin(#[from] CoinError),
    /// There is nothing to do.
    #[error("no stream was asked for")]
    NoStreams,
    /// Settled funding is not collected live: the exchange keeps all of it, and a backfill reads it.
    #[error("{0} is not collected live; `hl-cli backfill funding` fills it from the exchange's past")]
    NotLive(StreamKey),
    /// The exchange has no such market. Names are case-sensitive, and subscribing to an unknown one would cost the
    /// whole socket.
    #[error("the exchange has no coin {coin}, which {stream} asks for")]
    UnknownCoin {
        /// The coin.
        coin: Coin,
        /// The first stream that names it.
        stream: StreamKey,
    },
    /// The exchange has no such dex, or none any more. Subscribing to an unknown one might cost the whole socket.
    #[error("the exchange has no dex {dex}, which {stream} asks for")]
    UnknownDex {
        /// The dex.
        dex: &'static str,
        /// The first stream that names it.
        stream: StreamKey,
    },
    /// The exchange did not say which markets it has, and the store does not remember them.
    #[error("asking {network} for its markets: {source}")]
    Exchange {
        /// Which exchange.
        network: String,
        /// The cause.
        source: Unread,
    },
    /// The exchange does not list a market now, or could not say, so that its stream cannot be added.
    #[error("{network} does not list {coin} now, which {stream} asks for")]
    NotListed {
        /// Which exchange.
        network: String,
        /// The coin.
        coin: Coin,
        /// The first stream that names it.
        stream: StreamKey,
    },
    /// The store could not be opened or closed.
    #[error("the store{}: {source}", path.as_ref().map(|path| format!(" {}", path.display())).unwrap_or_default())]
    Store {
        /// Its file; none of a store that was given.
        path: Option<PathBuf>,
        /// The cause.
        source: StoreError,
    },
    /// No store was given, and this library was built without SQLite.
    #[error("there is no store to collect into")]
    NoStore,
    /// A local address that this machine cannot connect from.
    #[error("this machine cannot connect from {address}: {source}")]
    LocalAddress {
        /// The address.
        address: IpAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// Streams are shared by the name of the machine, and it has none.
    #[error(transparent)]
    Nameless(#[from] Nameless),
    /// The store holds data of another exchange.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// Collecting.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// What is to be collected, from where, into what. Made by [`Collector::mainnet`], [`Collector::testnet`] and
/// [`Collector::at`].
#[derive(Clone)]
#[must_use = "nothing is collected before `start`"]
pub struct Builder {
    network: String,
    endpoints: Endpoints,
    streams: Vec<Result<StreamKey, StreamKeyError>>,
    standby: Vec<Result<Coin, CoinError>>,
    backfill: Option<Duration>,
    store: Destination,
    sinks: Vec<Arc<dyn Sink>>,
    policy: Policy,
    jobs: Vec<Spec>,
    local_address: Option<IpAddr>,
    weight: Option<u8>,
}

/// Where rows and ledger go.
#[derive(Clone)]
enum Destination {
    /// Where the daemon puts them.
    Usual,
    #[cfg(feature = "sqlite")]
    Sqlite(PathBuf),
    Given(Arc<dyn Store>, Arc<dyn BatchQueue>),
}

/// An open store, and what waits before it.
struct Opened {
    store: Arc<dyn Store>,
    spool: Arc<dyn BatchQueue>,
    path: Option<PathBuf>,
}

impl Opened {
    async fn close(&self) -> Result<(), CollectError> {
        self.store.close().await.map_err(|source| CollectError::Store { path: self.path.clone(), source })
    }
}

#[cfg(feature = "sqlite")]
async fn sqlite(path: PathBuf, clock: &Arc<dyn Clock>) -> Result<Opened, CollectError> {
    let failed = |source| CollectError::Store { path: Some(path.clone()), source };
    let options = SqliteOptions::of_this_process(&path, ROLE, clock.clone());
    let store = SqliteStore::open(options).await.map_err(failed)?;
    let spool = Spool::open_beside(&path, Writer::Thread, SPOOL_BYTES).await.map_err(failed)?;
    Ok(Opened { store: Arc::new(store), spool: Arc::new(spool), path: Some(path) })
}

impl Builder {
    fn new(network: impl ToString, endpoints: Endpoints) -> Self {
        Self {
            network: network.to_string(),
            endpoints,
            streams: Vec::new(),
            standby: Vec::new(),
            backfill: None,
            store: Destination::Usual,
            sinks: Vec::new(),
            policy: Policy::default(),
            jobs: Vec::new(),
            local_address: None,
            weight: None,
        }
    }

    /// Adds streams, by name or by [`StreamKey`]: `trades/BTC`, `book/BTC`, `book/BTC/fast`, `bbo/BTC`,
    /// `candle/BTC/1m`, `mids`, `mids/xyz`, `context/BTC`. A name that is none is reported by
    /// [`start`](Builder::start).
    pub fn streams<S: ToString>(mut self, streams: impl IntoIterator<Item = S>) -> Self {
        self.streams.extend(streams.into_iter().map(|stream| stream.to_string().parse()));
        self
    }

    /// Adds coins whose trades must be complete, by name. Their trades are subscribed a second time, on another socket,
    /// which takes over without a loss when the first one dies; that costs one more subscription a coin. Their trades
    /// must be among the [`streams`](Builder::streams), as [`start`](Builder::start) says otherwise.
    pub fn standby<S: AsRef<str>>(mut self, coins: impl IntoIterator<Item = S>) -> Self {
        self.standby.extend(coins.into_iter().map(|coin| Coin::new(coin.as_ref())));
        self
    }

    /// Also fetches the candles of so much of the past, as far as the exchange still has them, at its start: of every stream
    /// of candles, also of those that were never collected.
    pub fn backfill(mut self, reach: Duration) -> Self {
        self.backfill = Some(reach);
        self
    }

    /// The SQLite file; if nothing is said, that of `hl-daemon` for the network: `data/hyperliquid.db` for mainnet,
    /// `data/hyperliquid-testnet.db`. It and its folder are made where they are missing.
    #[cfg(feature = "sqlite")]
    pub fn store_sqlite(mut self, path: impl Into<PathBuf>) -> Self {
        self.store = Destination::Sqlite(path.into());
        self
    }

    /// Another store, open, and what waits on disk while that is slow or away: `MongoStore` of the feature `mongodb`, or one of
    /// your own. The store is closed when collecting ends; each start needs a session of its own.
    pub fn store(mut self, store: Arc<dyn Store>, spool: Arc<dyn BatchQueue>) -> Self {
        self.store = Destination::Given(store, spool);
        self
    }

    /// Leaves rows out on purpose: small trades, books that have hardly moved.
    pub fn thinned(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Plans a job, such as `collect_funding` every eight hours.
    pub fn job(mut self, spec: Spec) -> Self {
        self.jobs.push(spec);
        self
    }

    /// Reaches the exchange from this address of this machine: what the exchange allows is counted for each.
    pub fn local_address(mut self, address: IpAddr) -> Self {
        self.local_address = Some(address);
        self
    }

    /// Shares the streams with the other processes of the store that share them, this one's part being `weight`, 1 to 100.
    pub fn weight(mut self, weight: u8) -> Self {
        self.weight = Some(weight);
        self
    }

    /// Hands rows on to a sink once they are stored: at least once, also over failures and restarts, also those that
    /// fill a gap later. A new one begins with the oldest row that the store has. It holds nothing up: what it has not taken
    /// waits in the store.
    pub fn sink(mut self, sink: impl Sink) -> Self {
        self.sinks.push(Arc::new(sink));
        self
    }

    /// Opens the store, checks every coin against the markets of the exchange, and begins to collect. Needs a running
    /// tokio runtime with time and I/O enabled.
    ///
    /// Returns once collecting has begun, not once data has arrived. What shows up only then, such as another process
    /// that holds every stream, is the result of [`ended`](Collector::ended) and [`stop`](Collector::stop).
    ///
    /// # Errors
    /// When a stream or a coin does not exist, the store cannot be opened, or the exchange cannot be asked for its
    /// markets and the store does not remember them.
    pub async fn start(self) -> Result<Collector, CollectError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let streams = live(self.streams.iter().cloned())?;
        let standby: BTreeSet<Coin> = self.standby.iter().cloned().collect::<Result<_, _>>()?;
        if let Some(coin) = standby.iter().find(|coin| !streams.contains(&StreamKey::Trades(**coin))) {
            return Err(EngineError::NoTrades(*coin).into());
        }
        let opened = self.open(&clock).await?;
        let Opened { store, spool, path } = &opened;
        let (engine, network) = match self.engine(clock, store.clone(), spool.clone(), path.is_none()) {
            Ok(engine) => (engine, self.network),
            Err(error) => {
                opened.close().await?;
                return Err(error);
            }
        };
        let looked = match belong(store.as_ref(), &network).await {
            Ok(()) => look(&engine, store.as_ref(), &network, &streams).await,
            Err(error) => Err(error.into()),
        };
        let markets = match looked {
            Ok(markets) => markets,
            Err(error) => {
                opened.close().await?;
                return Err(error);
            }
        };
        let store = store.clone();
        let (stop, told) = watch::channel(false);
        let mut task = JoinSet::new();
        let (running, left) = (engine.clone(), Left::default());
        let of_left = left.clone();
        task.spawn(async move {
            let ended = collect(&running, markets, &streams, &standby, &of_left, told).await;
            let closed = opened.close().await;
            ended?;
            closed
        });
        Ok(Collector { engine, store, network, left, stop, task })
    }

    async fn open(&self, clock: &Arc<dyn Clock>) -> Result<Opened, CollectError> {
        match &self.store {
            Destination::Given(store, spool) => {
                Ok(Opened { store: store.clone(), spool: spool.clone(), path: None })
            }
            #[cfg(feature = "sqlite")]
            Destination::Sqlite(path) => sqlite(path.clone(), clock).await,
            #[cfg(feature = "sqlite")]
            Destination::Usual => {
                let path = usual_store(&self.network, |path| SqliteStore::noted(path, NOTE).into());
                sqlite(path, clock).await
            }
            #[cfg(not(feature = "sqlite"))]
            Destination::Usual => {
                let _ = clock;
                Err(CollectError::NoStore)
            }
        }
    }

    fn engine(
        &self,
        clock: Arc<dyn Clock>,
        store: Arc<dyn Store>,
        spool: Arc<dyn BatchQueue>,
        elsewhere: bool,
    ) -> Result<Arc<Engine>, CollectError> {
        let net: Arc<dyn Net> = match self.local_address {
            None => Arc::new(TcpNet::new()),
            Some(address) => {
                let net = TcpNet::from_address(address);
                Arc::new(net.map_err(|source| CollectError::LocalAddress { address, source })?)
            }
        };
        // One store on several machines is asked for from several addresses.
        let address = match self.local_address {
            Some(local) => format!("{} from {local}", self.network),
            None if elsewhere => format!("{} from {}", self.network, hl_store::host_name()?),
            None => self.network.clone(),
        };
        let mut builder =
            Engine::builder(net, clock, store, spool).exchange(&self.endpoints, address).thinned(self.policy);
        if let Some(weight) = self.weight {
            builder = builder.sharing(Sharing { name: hl_store::host_name()?, weight });
        }
        if let Some(reach) = self.backfill {
            builder = builder.backfill(reach);
        }
        let builder = self.jobs.iter().cloned().fold(builder, hl_engine::EngineBuilder::job);
        Ok(self.sinks.iter().cloned().fold(builder, hl_engine::EngineBuilder::sink).build())
    }
}

/// Streams that were removed: a market that is listed later does not bring them back.
type Left = Arc<Mutex<BTreeSet<StreamKey>>>;

/// Streams that can be collected live, at least one.
fn live(
    streams: impl IntoIterator<Item = Result<StreamKey, StreamKeyError>>,
) -> Result<Vec<StreamKey>, CollectError> {
    let streams: Vec<StreamKey> = streams.into_iter().collect::<Result<_, _>>()?;
    match streams.iter().find(|stream| stream.kind() == Kind::Funding) {
        _ if streams.is_empty() => Err(CollectError::NoStreams),
        Some(funding) => Err(CollectError::NotLive(*funding)),
        None => Ok(streams),
    }
}

/// The markets that streams are of: of a builder's dex as a whole all of its markets.
async fn markets_of(store: &dyn Notes, network: &str, streams: &[StreamKey]) -> Markets {
    let named: BTreeSet<Coin> = streams.iter().filter_map(|stream| stream.coin()).collect();
    let every =
        streams.iter().filter_map(|stream| stream.whole_dex()?.name()).map(|dex| Part::Dex(dex.to_owned()));
    let wish = Wish { every: every.collect(), named: named.into_iter().collect() };
    Markets::recall(store, network, wish).await
}

/// Finds out which of the markets there are.
async fn look(
    engine: &Engine,
    store: &dyn Store,
    network: &str,
    streams: &[StreamKey],
) -> Result<Markets, CollectError> {
    let mut markets = markets_of(store, network, streams).await;
    let sorted = markets.look(engine).await.map_err(|never| unknown(&never, streams))?;
    let is_silent = sorted.listed.is_empty() && !sorted.waiting.is_empty();
    if is_silent && let Some(source) = markets.take_failure() {
        return Err(CollectError::Exchange { network: network.to_owned(), source });
    }
    Ok(markets)
}

fn unknown(never: &NeverListed, streams: &[StreamKey]) -> CollectError {
    let of = |stream: StreamKey| match never {
        NeverListed::Coins(coins) => {
            let coin = stream.coin().filter(|coin| coins.contains(coin))?;
            Some(CollectError::UnknownCoin { coin, stream })
        }
        NeverListed::Dexes(dexes) => {
            let dex = stream.whole_dex()?.name().filter(|name| dexes.iter().any(|dex| dex == name))?;
            Some(CollectError::UnknownDex { dex, stream })
        }
    };
    streams.iter().find_map(|stream| of(*stream)).unwrap_or(CollectError::NoStreams)
}

/// Collects what is listed, and the rest once it is.
async fn collect(
    engine: &Arc<Engine>,
    mut markets: Markets,
    streams: &[StreamKey],
    standby: &BTreeSet<Coin>,
    left: &Left,
    mut stop: watch::Receiver<bool>,
) -> Result<(), CollectError> {
    let of = |coins: &[Coin]| {
        let left = left.lock().unwrap_or_else(PoisonError::into_inner);
        let mine = |stream: &&StreamKey| {
            let is_listed = match (stream.coin(), stream.whole_dex()) {
                (Some(coin), _) => coins.contains(&coin),
                (None, Some(dex)) => coins.iter().any(|coin| dex.has(*coin)),
                (None, None) => true,
            };
            is_listed && !left.contains(stream)
        };
        let has_trades = |coin: &&Coin| coins.contains(coin) && !left.contains(&StreamKey::Trades(**coin));
        let standby = standby.iter().filter(has_trades).copied().collect();
        (streams.iter().filter(mine).copied().collect::<Vec<_>>(), standby)
    };
    if of(&markets.sorted().listed).0.is_empty() {
        let begun = tokio::select! {
            biased;
            () = stopped(&mut stop) => return Ok(()),
            begun = markets.begin(engine, false) => begun,
        };
        begun.map_err(|never| unknown(&never, streams))?;
    }
    let (listed, doubled) = of(&markets.sorted().listed);
    tokio::select! {
        biased;
        ended = engine.run(&listed, &doubled, stop) => Ok(ended?),
        never = markets.follow(engine, &of) => match never {},
    }
}

/// A running collector.
///
/// End it with [`stop`](Collector::stop): that commits what was taken in and gives the streams back. Dropping it ends
/// it at once, as a crash would: what had not been committed is lost, and the next start records it as a gap. The
/// streams are then free for others as soon as the storage thread has finished what it was given.
pub struct Collector {
    engine: Arc<Engine>,
    store: Arc<dyn Store>,
    network: String,
    left: Left,
    stop: watch::Sender<bool>,
    /// One task; a set, so that dropping the collector aborts it.
    task: JoinSet<Result<(), CollectError>>,
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collector").field("snapshot", &self.snapshot()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { network, streams, standby, .. } = self;
        let streams = format_args!("{streams:?}");
        f.debug_struct("Builder")
            .field("network", network)
            .field("streams", &streams)
            .field("standby", standby)
            .finish_non_exhaustive()
    }
}

impl Collector {
    /// Collects from the exchange itself.
    pub fn mainnet() -> Builder {
        Builder::new("mainnet", Endpoints::mainnet())
    }

    /// Collects from its public test network.
    pub fn testnet() -> Builder {
        Builder::new("testnet", Endpoints::testnet())
    }

    /// Collects from an exchange at one base URL: a proxy, a node, or a simulated exchange.
    pub fn at(base: &Endpoint) -> Builder {
        Builder::new(base, Endpoints::at(base))
    }

    /// What it is doing now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.engine.snapshot()
    }

    /// Collects these as well from now on, by name or by [`StreamKey`]; one that was removed goes on with a gap where time was
    /// missed. Returns once the exchange has said that it lists their markets; data comes soon after.
    ///
    /// # Errors
    /// When a name is none, a market does not exist or is not listed now, or the streams do not fit beside the others: then
    /// none of them is collected.
    pub async fn add<S: ToString>(&self, streams: impl IntoIterator<Item = S>) -> Result<(), CollectError> {
        let streams = live(streams.into_iter().map(|stream| stream.to_string().parse()))?;
        let mut markets = markets_of(self.store.as_ref(), &self.network, &streams).await;
        let sorted = self.engine.look(&mut markets).await.map_err(|never| unknown(&never, &streams))?;
        let named = |stream: &&StreamKey| stream.coin().is_some_and(|coin| sorted.waiting.contains(&coin));
        if let Some((stream, coin)) = streams.iter().find(named).and_then(|s| Some((*s, s.coin()?))) {
            let network = self.network.clone();
            return Err(match markets.take_failure() {
                Some(source) => CollectError::Exchange { network, source },
                None => CollectError::NotListed { network, coin, stream },
            });
        }
        let is_gone = |dex: Dex| !markets.universe().trades(dex);
        let mut dexes = streams.iter().filter_map(|stream| Some((*stream, stream.whole_dex()?)));
        if let Some((stream, dex)) = dexes.find(|(_, dex)| is_gone(*dex)) {
            let network = self.network.clone();
            return Err(match markets.take_failure() {
                Some(source) => CollectError::Exchange { network, source },
                None => CollectError::UnknownDex { dex: dex.name().unwrap_or_default(), stream },
            });
        }
        self.engine.join(&streams, &BTreeSet::new()).map_err(EngineError::from)?;
        self.left().retain(|stream| !streams.contains(stream));
        Ok(())
    }

    /// Collects these no longer, by name or by [`StreamKey`]. What was taken in of them is committed, and then they are given
    /// back, so that another process may collect them; [`snapshot`](Collector::snapshot) has them until then.
    ///
    /// # Errors
    /// When a name is none: then nothing changes.
    pub fn remove<S: ToString>(&self, streams: impl IntoIterator<Item = S>) -> Result<(), CollectError> {
        let streams: Vec<StreamKey> =
            streams.into_iter().map(|stream| stream.to_string().parse()).collect::<Result<_, _>>()?;
        self.left().extend(&streams);
        self.engine.leave(&streams);
        Ok(())
    }

    fn left(&self) -> MutexGuard<'_, BTreeSet<StreamKey>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its events from now on, those that the filter lets pass: rows as they were committed, gaps, handovers. A reader that is
    /// too slow misses the newest, and is told how many; nothing waits for it.
    ///
    /// ```no_run
    /// use hyperliquid_collector::{Collector, Event, Filter};
    ///
    /// # async fn example(collector: Collector) {
    /// let mut events = collector.events(Filter::all());
    /// while let Some(event) = events.recv().await {
    ///     match event {
    ///         Event::Rows { stream, records, .. } => println!("{stream}: {} rows", records.len()),
    ///         Event::GapOpened { stream, span, cause, .. } => println!("{stream}: {span:?} is missing, {cause:?}"),
    ///         Event::Lagged(events) => println!("{events} events were missed here"),
    ///         _ => {}
    ///     }
    /// }
    /// # }
    /// ```
    pub fn events(&self, filter: Filter) -> Events {
        self.engine.events(filter)
    }

    /// The open alerts, oldest first: what the user should look at. `docs/alerts.md` explains each.
    #[must_use]
    pub fn alerts(&self) -> Vec<Alert> {
        self.engine.health().borrow().health.alerts.clone()
    }

    /// Every alert that rises or is over from now on. A slow reader misses the oldest.
    #[must_use]
    pub fn alert_changes(&self) -> broadcast::Receiver<Change> {
        self.engine.alerts()
    }

    /// Waits until collecting ends by itself, which it does only when it fails. Safe to drop and call again; after it
    /// has returned, [`stop`](Collector::stop) has nothing left to report.
    ///
    /// # Errors
    /// When every stream is held by another process, more was asked for than fits, or the store fails for good.
    pub async fn ended(&mut self) -> Result<(), CollectError> {
        match self.task.join_next().await {
            None => Ok(()),
            Some(Ok(result)) => result,
            // A bug in this library reaches the caller as the panic that it was.
            Some(Err(error)) => match error.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                Err(_) => Ok(()),
            },
        }
    }

    /// Ends it: what was taken in is committed, or in the spool, and the streams are given back.
    ///
    /// # Errors
    /// What ended it before, as [`ended`](Collector::ended) says it; or when the store could not be closed.
    pub async fn stop(mut self) -> Result<(), CollectError> {
        // Nobody listens any more only where it has ended already.
        let _ = self.stop.send(true);
        self.ended().await
    }
}
