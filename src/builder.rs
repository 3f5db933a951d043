//! What is to be collected, from where, into what.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
#[cfg(any(feature = "sqlite", feature = "archive"))]
use std::path::PathBuf;
#[cfg(feature = "mongodb")]
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "archive")]
use hl_archive::Retention;
use hl_collectors::files::Folder;
use hl_core::seam::{Clock, Net};
use hl_core::store::{BatchQueue, Store};
use hl_core::stream::StreamKeyError;
use hl_core::symbol::CoinError;
use hl_core::thinning::Policy;
use hl_core::{Coin, StreamKey};
use hl_engine::markets::Markets;
use hl_engine::network::belong;
#[cfg(feature = "sqlite")]
use hl_engine::network::{NOTE, usual_store};
use hl_engine::universe::Part;
use hl_engine::{Endpoints, Engine, EngineBuilder, EngineError, Sharing, Sink, Target, Tracking};
#[cfg(feature = "mongodb")]
use hl_host::MongoUri;
#[cfg(any(feature = "sqlite", feature = "mongodb"))]
use hl_host::NotAStore;
use hl_host::StoreUri;
#[cfg(feature = "archive")]
use hl_host::archive::ArchiveAll;
use hl_host::http::{Server, Who};
use hl_host::stores;
use hl_host::webhook::{NotAWebhook, Webhook};
use hl_runtime::{SystemClock, TcpNet};
#[cfg(feature = "archive")]
use hl_scheduler::jobs::ARCHIVE_ALL_COLLECTIONS;
use hl_scheduler::plan::Spec;
#[cfg(feature = "sqlite")]
use hl_store::SqliteStore;
use hl_traders::Rules;
use hl_traders::signals::{Consensus, SignalRules, Strategy};

use crate::asked::Asked;
use crate::collector::{Collector, Outside, look};
use crate::error::CollectError;

/// What the session is called in the store, for people.
const ROLE: &str = env!("CARGO_PKG_NAME");

/// What is to be collected, from where, into what. Made by [`Collector::mainnet`], [`Collector::testnet`] and
/// [`Collector::at`].
#[derive(Clone)]
#[must_use = "nothing is collected before `start`"]
pub struct Builder {
    network: String,
    endpoints: Endpoints,
    streams: Vec<Result<StreamKey, StreamKeyError>>,
    every: Asked,
    standby: Vec<Result<Coin, CoinError>>,
    backfill: Option<Duration>,
    store: Destination,
    sinks: Vec<Arc<dyn Sink>>,
    policy: Policy,
    jobs: Vec<Spec>,
    track: Option<Rules>,
    strategy: Option<Arc<dyn Strategy>>,
    local_address: Option<IpAddr>,
    #[cfg(feature = "archive")]
    archive: Option<(PathBuf, Retention)>,
    http: Option<SocketAddr>,
    webhook: Option<Result<Webhook, NotAWebhook>>,
    name: Option<String>,
    weight: Option<u8>,
}

/// Where rows and ledger go.
#[derive(Clone)]
enum Destination {
    /// Where the daemon puts them.
    Usual,
    #[cfg(any(feature = "sqlite", feature = "mongodb"))]
    Named(Result<StoreUri, NotAStore>),
    Given(Arc<dyn Store>, Arc<dyn BatchQueue>),
}

/// An open store, and what waits before it.
pub(crate) struct Opened {
    pub(crate) store: Arc<dyn Store>,
    spool: Arc<dyn BatchQueue>,
    /// None of a store that was given.
    uri: Option<StoreUri>,
}

impl Opened {
    pub(crate) async fn close(&self) -> Result<(), CollectError> {
        let closed = self.store.close().await;
        closed.map_err(|source| CollectError::Store { store: self.uri.clone(), source })
    }
}

#[cfg(any(feature = "sqlite", feature = "mongodb"))]
async fn open(uri: StoreUri, name: &str, clock: &Arc<dyn Clock>) -> Result<Opened, CollectError> {
    let failed = |source| CollectError::Store { store: Some(uri.clone()), source };
    let signed = stores::Signed { role: ROLE, name };
    let store = stores::open(&uri, signed, clock).await.map_err(failed)?;
    match stores::spool(&uri).await {
        Ok(spool) => Ok(Opened { store, spool: Arc::new(spool), uri: Some(uri) }),
        Err(error) => {
            // Nothing was begun.
            store.close().await.map_err(failed)?;
            Err(failed(error))
        }
    }
}

impl Builder {
    pub(crate) fn new(network: impl ToString, endpoints: Endpoints) -> Self {
        Self {
            network: network.to_string(),
            endpoints,
            streams: Vec::new(),
            every: Asked::default(),
            standby: Vec::new(),
            backfill: None,
            store: Destination::Usual,
            sinks: Vec::new(),
            policy: Policy::default(),
            jobs: Vec::new(),
            track: None,
            strategy: None,
            local_address: None,
            #[cfg(feature = "archive")]
            archive: None,
            http: None,
            webhook: None,
            name: None,
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

    /// Adds these streams of every perpetual of the first dex, those that are listed later included. Streams of a market that is
    /// gone end. More than what an address may subscribe and poll is an error of [`ended`](Collector::ended).
    ///
    /// ```no_run
    /// use hyperliquid_collector::{Collector, StreamKey};
    ///
    /// # async fn example() -> Result<(), hyperliquid_collector::CollectError> {
    /// let collector = Collector::mainnet()
    ///     .all(|coin| vec![StreamKey::Trades(coin), StreamKey::Bbo(coin)])
    ///     .dex("xyz", |coin| vec![StreamKey::Trades(coin)])
    ///     .start()
    ///     .await?;
    /// # collector.stop().await
    /// # }
    /// ```
    pub fn all(self, streams: impl Fn(Coin) -> Vec<StreamKey> + Send + Sync + 'static) -> Self {
        self.every(Part::Perpetuals, streams)
    }

    /// The same of every market of a builder's dex.
    pub fn dex(
        self,
        name: impl Into<String>,
        streams: impl Fn(Coin) -> Vec<StreamKey> + Send + Sync + 'static,
    ) -> Self {
        self.every(Part::Dex(name.into()), streams)
    }

    /// The same of every perpetual of every dex, the first one among them.
    pub fn every_dex(self, streams: impl Fn(Coin) -> Vec<StreamKey> + Send + Sync + 'static) -> Self {
        self.every(Part::EveryDex, streams)
    }

    /// The same of every spot pair.
    pub fn spot(self, streams: impl Fn(Coin) -> Vec<StreamKey> + Send + Sync + 'static) -> Self {
        self.every(Part::Spot, streams)
    }

    /// The same of every outcome that has not settled.
    pub fn outcomes(self, streams: impl Fn(Coin) -> Vec<StreamKey> + Send + Sync + 'static) -> Self {
        self.every(Part::Outcomes, streams)
    }

    fn every(mut self, part: Part, streams: impl Fn(Coin) -> Vec<StreamKey> + Send + Sync + 'static) -> Self {
        self.every.every(part, streams);
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
        self.store = Destination::Named(Ok(StoreUri::Sqlite(path.into())));
        self
    }

    /// A database in a MongoDB replica set, `mongodb://…` or `mongodb+srv://…`; a URI that names none means `hyperliquid`. It is made
    /// where it is missing.
    ///
    /// All processes on the database, daemons too, share the streams among them, by the [`name`](Builder::name) of each machine and by
    /// [`weight`](Builder::weight), 1 where none is said; when one dies the others take over. What a slow or absent server has not
    /// taken waits in `data/DATABASE.spool-0`. A process that stood still for longer than its lease of some seconds has lost
    /// its streams to others: collecting ends with [`StoreError::Superseded`](crate::StoreError::Superseded), and may be started anew.
    ///
    /// ```no_run
    /// use hyperliquid_collector::Collector;
    ///
    /// # async fn example() -> Result<(), hyperliquid_collector::CollectError> {
    /// let collector = Collector::mainnet()
    ///     .streams(["trades/BTC", "trades/ETH"])
    ///     .store_mongodb("mongodb://db.example/hyperliquid?replicaSet=rs0")
    ///     .start()
    ///     .await?;
    /// # collector.stop().await
    /// # }
    /// ```
    #[cfg(feature = "mongodb")]
    pub fn store_mongodb(mut self, uri: &str) -> Self {
        self.store = Destination::Named(MongoUri::from_str(uri).map(StoreUri::Mongo));
        self
    }

    /// A store of your own, open, and what waits on disk while that is slow or away. The store is closed when collecting ends; each start needs a session of its own.
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

    /// Reads the leaderboard daily, and chooses from it whom to track, as `hl-daemon --track` does: the streams `leaderboard`, `traders`
    /// and `signals` are stored, and of each trader `positions/0x…`, `orders/0x…`, `fills/0x…`, `payments/0x…` and `movements/0x…`. Fails at the start where the exchange publishes no leaderboard.
    ///
    /// ```no_run
    /// use hyperliquid_collector::Collector;
    /// use hyperliquid_collector::traders::Rules;
    ///
    /// # async fn example() -> Result<(), hyperliquid_collector::CollectError> {
    /// let collector = Collector::mainnet()
    ///     .streams(["trades/BTC"])
    ///     .track(Rules { track: 100, ..Rules::default() })
    ///     .start()
    ///     .await?;
    /// # collector.stop().await
    /// # }
    /// ```
    pub fn track(mut self, rules: Rules) -> Self {
        self.track = Some(rules);
        self
    }

    /// What says what the positions of those whom [`track`](Builder::track) chooses mean, every five minutes: its signals are
    /// stored as the stream `signals`. Otherwise it is [`Consensus`] by its usual rules. Without `track` nobody is asked.
    pub fn strategy(mut self, strategy: impl Strategy + 'static) -> Self {
        self.strategy = Some(Arc::new(strategy));
        self
    }

    /// Moves old rows to Parquet files in this folder, or deletes them, as [`Retention`] says of each kind: every night, half an
    /// hour after midnight UTC, by the job `archive_all_collections`, which [`job`](Builder::job) can plan otherwise. The folder is made where
    /// it is missing, and is the archive of one store only. `docs/archive.md` says when a day moves, and what its files look like.
    /// The store has to be named, and not [given](Builder::store).
    ///
    /// ```no_run
    /// use hyperliquid_collector::Collector;
    /// use hyperliquid_collector::archive::{Retention, Rule};
    ///
    /// # async fn example() -> Result<(), hyperliquid_collector::CollectError> {
    /// let mut retention = Retention::default();
    /// retention.set("trades", Rule::Archive { days: 30 });
    /// retention.set("bbo", Rule::Delete { days: 7 });
    /// let collector = Collector::mainnet()
    ///     .streams(["trades/BTC", "bbo/BTC"])
    ///     .archive("/mnt/archive", retention)
    ///     .start()
    ///     .await?;
    /// # collector.stop().await
    /// # }
    /// ```
    #[cfg(feature = "archive")]
    pub fn archive(mut self, folder: impl Into<PathBuf>, retention: Retention) -> Self {
        self.archive = Some((folder.into(), retention));
        self
    }

    /// Answers over HTTP on this address of this machine, as `hl-daemon --http` does: `/healthz` (200 while it is well, else 503 with
    /// the reasons), `/v1/processes` and `/v1/alerts`, in JSON. There is no password: what is not loopback shows them to every
    /// program that reaches it. Port 0 is any that is free; [`Collector::http`] says which. `docs/alerts.md` explains the answers.
    ///
    /// ```no_run
    /// use hyperliquid_collector::Collector;
    ///
    /// # async fn example() -> Result<(), hyperliquid_collector::CollectError> {
    /// let collector = Collector::mainnet()
    ///     .streams(["trades/BTC"])
    ///     .http(([127, 0, 0, 1], 9847))
    ///     .webhook("https://example.com/hooks/1")
    ///     .start()
    ///     .await?;
    /// # collector.stop().await
    /// # }
    /// ```
    pub fn http(mut self, address: impl Into<SocketAddr>) -> Self {
        self.http = Some(address.into());
        self
    }

    /// Tells a webhook of alerts, as `hl-daemon --webhook` does: a POST of JSON when one rises, and when it is over. What follows the
    /// host in its URL may be a key, and is shown nowhere. A webhook that is down holds nothing up.
    pub fn webhook(mut self, url: &str) -> Self {
        self.webhook = Some(url.parse());
        self
    }

    /// Reaches the exchange from this address of this machine: what the exchange allows is counted for each.
    pub fn local_address(mut self, address: IpAddr) -> Self {
        self.local_address = Some(address);
        self
    }

    /// Names this machine, otherwise than its host name: in the store, and where streams are shared. Each machine needs another
    /// name, and the same one after a restart.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
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
        let named = self.streams.iter().cloned().collect::<Result<Vec<_>, _>>()?;
        let mut asked = self.every.clone().with(named).checked()?;
        if self.track.is_some() {
            asked = asked.hears_trades();
        }
        let standby: BTreeSet<Coin> = self.standby.iter().cloned().collect::<Result<_, _>>()?;
        let of_standby = asked.of(&standby.iter().copied().collect::<Vec<_>>());
        if let Some(coin) = standby.iter().find(|coin| !of_standby.contains(&StreamKey::Trades(**coin))) {
            return Err(EngineError::NoTrades(*coin).into());
        }
        let webhook = self.webhook.clone().transpose()?;
        let name = stores::name(self.name.as_deref())?;
        let net = self.net()?;
        let opened = self.open(&name, &clock).await?;
        match self.prepare(&opened, &net, clock, &name, &asked).await {
            Ok((engine, markets, server)) => {
                let Self { network, .. } = self;
                let outside = Outside { net, network, name, server, webhook };
                Ok(Collector::begin(engine, markets, opened, outside, asked, standby))
            }
            Err(error) => {
                // Nothing was begun.
                opened.close().await?;
                Err(error)
            }
        }
    }

    fn net(&self) -> Result<Arc<dyn Net>, CollectError> {
        Ok(match self.local_address {
            None => Arc::new(TcpNet::new()),
            Some(address) => {
                let net = TcpNet::from_address(address);
                Arc::new(net.map_err(|source| CollectError::LocalAddress { address, source })?)
            }
        })
    }

    async fn open(&self, name: &str, clock: &Arc<dyn Clock>) -> Result<Opened, CollectError> {
        match &self.store {
            Destination::Given(store, spool) => {
                Ok(Opened { store: store.clone(), spool: spool.clone(), uri: None })
            }
            #[cfg(any(feature = "sqlite", feature = "mongodb"))]
            Destination::Named(uri) => open(uri.clone()?, name, clock).await,
            #[cfg(feature = "sqlite")]
            Destination::Usual => {
                let path = usual_store(&self.network, |path| SqliteStore::noted(path, NOTE).into());
                open(StoreUri::Sqlite(path), name, clock).await
            }
            #[cfg(not(feature = "sqlite"))]
            Destination::Usual => {
                let _ = (name, clock);
                Err(CollectError::NoStore)
            }
        }
    }

    /// The engine, which markets there are, and who answers over HTTP.
    async fn prepare(
        &self,
        opened: &Opened,
        net: &Arc<dyn Net>,
        clock: Arc<dyn Clock>,
        name: &str,
        asked: &Asked,
    ) -> Result<(Arc<Engine>, Markets, Option<Server>), CollectError> {
        let engine = self.engine(opened, net.clone(), clock, name)?;
        let store = opened.store.as_ref();
        belong(store, &self.network).await?;
        let markets = look(&engine, store, &self.network, asked).await?;
        let serve = |address| {
            let who = Who { role: ROLE.to_owned(), host: name.to_owned() };
            let server = Server::start(net.clone(), address, who, engine.health());
            server.map_err(|source| CollectError::Http { address, source })
        };
        let server = self.http.map(serve).transpose()?;
        Ok((engine, markets, server))
    }

    fn engine(
        &self,
        opened: &Opened,
        net: Arc<dyn Net>,
        clock: Arc<dyn Clock>,
        name: &str,
    ) -> Result<Arc<Engine>, CollectError> {
        let Opened { store, spool, uri } = opened;
        let (address, sharing) = match uri {
            Some(uri) => (
                stores::address(uri, &self.network, self.local_address, name),
                stores::sharing(uri, self.weight, name),
            ),
            // Nothing is known of one that was given: it may be asked for from several machines.
            None => {
                let from = self.local_address.map_or_else(|| name.to_owned(), |local| local.to_string());
                let sharing = self.weight.map(|weight| Sharing { name: name.to_owned(), weight });
                (format!("{} from {from}", self.network), sharing)
            }
        };
        let mut builder = Engine::builder(net.clone(), clock.clone(), store.clone(), spool.clone())
            .exchange(&self.endpoints, address)
            .thinned(self.policy);
        if let Some(sharing) = sharing {
            builder = builder.sharing(sharing);
        }
        if let Some(reach) = self.backfill {
            builder = builder.backfill(reach);
        }
        if let Some(stats) = self.endpoints.stats.clone() {
            builder = builder.statistics(Arc::new(Folder::new(net.clone(), stats.endpoint, stats.path)));
        }
        if let Some(rules) = self.track.clone() {
            rules.check()?;
            let Target { endpoint, path } =
                self.endpoints.leaderboard.clone().ok_or(CollectError::NoLeaderboard)?;
            let leaderboard = Arc::new(Folder::holding(net, endpoint, &path));
            let signals = SignalRules::default();
            let strategy = match self.strategy.clone() {
                Some(strategy) => strategy,
                None => Arc::new(Consensus::new(signals)?),
            };
            let chain = self.endpoints.chain.clone();
            builder = builder.track(Tracking { leaderboard, rules, chain, strategy, signals });
        }
        let jobs = self.jobs.iter().cloned();
        #[cfg(feature = "archive")]
        let (of_archive, jobs): (Vec<_>, Vec<_>) =
            jobs.partition(|spec| self.archive.is_some() && spec.id.as_str() == ARCHIVE_ALL_COLLECTIONS);
        #[cfg(feature = "archive")]
        if let Some((folder, retention)) = &self.archive {
            let task = ArchiveAll {
                store: store.clone(),
                uri: uri.clone().ok_or(CollectError::ArchiveOfGiven)?,
                role: format!("{ROLE} archive"),
                name: name.to_owned(),
                folder: folder.clone(),
                retention: retention.clone(),
                clock,
            };
            let said = of_archive.into_iter().last();
            if let Some(spec) = said.or_else(|| hl_host::archive::spec(None)) {
                builder = builder.task(spec, Arc::new(task));
            }
        }
        let builder = jobs.into_iter().fold(builder, EngineBuilder::job);
        Ok(self.sinks.iter().cloned().fold(builder, EngineBuilder::sink).build())
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { network, streams, every, standby, .. } = self;
        let streams = format_args!("{streams:?}");
        f.debug_struct("Builder")
            .field("network", network)
            .field("streams", &streams)
            .field("every", every)
            .field("standby", standby)
            .finish_non_exhaustive()
    }
}
