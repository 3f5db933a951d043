//! The engine: what it is made of, and what its host and its parts can ask of it while it collects.
//!
//! `run` is collecting from start to end, `leases` which streams it holds, `jobs` what its parts are given to do, `snapshot` what
//! it is doing at one moment.

mod jobs;
mod leases;
mod run;
mod snapshot;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hl_collectors::mono::MonoClock;
use hl_collectors::pipeline::{Inbox, Meters};
use hl_collectors::rest::{ChainClient, InfoClient, RestOptions, RestSource, Weights};
use hl_collectors::tracker::TrackerSource;
use hl_collectors::ws::{WsOptions, WsPool};
use hl_core::ledger::Cause;
use hl_core::seam::{Clock, Net, Seed};
use hl_core::selector::{Event, Selector, SharedSelector, Timing};
use hl_core::source::Files;
use hl_core::store::{BatchQueue, Holder, Store, StoreError};
use hl_core::thinning::Policy;
use hl_core::{Coin, StreamKey, TimeMs, Token};
use hl_monitor::{AlertChange, TotalReception};
use hl_scheduler::plan::Spec;
use hl_scheduler::{RegisterError, Runner, Task, Trouble};
use hl_traders::signals::Strategy;
use hl_traders::{Rules, SignalRules};
use tokio::sync::{broadcast, watch};
use tokio::time::Instant;
use tracing::warn;

use self::leases::holders;
pub use self::snapshot::Snapshot;
pub(crate) use self::snapshot::is_followed;
use crate::capacity::OverCapacity;
use crate::endpoints::Target;
use crate::events::{Events, Feed, Filter, TellingStore};
use crate::markets::{Markets, NeverListed, Sorted};
use crate::reception;
use crate::rounds::Returns;
use crate::sharing::Sharing;
use crate::sinks::{Fed, Sink, SinkName};
use crate::wanted::Wanted;
use crate::watch::{Board, Published};

/// How long the exchange may take to say what time it is.
const TIME_LIMIT: Duration = Duration::from_secs(3);

/// What an engine is made of.
pub struct Parts {
    /// The network.
    pub net: Arc<dyn Net>,
    /// Wall time; only a first guess, until the exchange's own stamps are seen.
    pub clock: Arc<dyn Clock>,
    /// Where rows and ledger go.
    pub store: Arc<dyn Store>,
    /// What a slow store could not take yet.
    pub spool: Arc<dyn BatchQueue>,
    /// Where the WebSocket is.
    pub ws: WsOptions,
    /// Where `/info` is.
    pub rest: RestOptions,
    /// Names the ledger of request weight: the network and the local address that requests go out from.
    pub address: String,
    /// Whether the streams are shared with the other processes of the store that share them. Otherwise it collects all
    /// that no other process holds.
    pub sharing: Option<Sharing>,
    /// Seed of everything drawn.
    pub seed: Seed,
    /// The files of daily statistics; not every network has them.
    pub statistics: Option<Arc<dyn Files>>,
    /// Whom to track of the leaderboard, where that was asked for.
    pub tracking: Option<Tracking>,
    /// Which rows are left out on purpose.
    pub policy: Policy,
    /// How much of the past of its bars a stream is to have from its start on, ms; none where only what is collected counts.
    pub backfill_ms: Option<i64>,
    /// Jobs that are planned, beside those that the streams need.
    pub jobs: Vec<Spec>,
    /// Where else rows go once they are stored; each by a name of its own.
    pub sinks: Vec<Arc<dyn Sink>>,
    /// Jobs that are planned and that the host brings: they know what an engine does not, such as an archive.
    pub tasks: Vec<(Spec, Arc<dyn Task>)>,
}

/// Where the leaderboard is, and by which rules traders are chosen from it. The jobs that do it are planned like any other.
#[derive(Clone)]
pub struct Tracking {
    /// The folder that has the file `leaderboard`.
    pub leaderboard: Arc<dyn Files>,
    /// Whom to track.
    pub rules: Rules,
    /// Where positions are read from the chain, many at a time; none on a network without.
    pub chain: Option<Target>,
    /// What says what the positions of those who are tracked mean.
    pub strategy: Arc<dyn Strategy>,
    /// Which changes of one trader are logged, and which changes of a signal are an alert.
    pub signals: SignalRules,
}

/// Collecting ended, or did not begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// More than sockets and weight can carry.
    #[error(transparent)]
    OverCapacity(#[from] OverCapacity),
    /// No source can collect it live.
    #[error("{0} is not collected live; read it with a backfill")]
    NotLive(StreamKey),
    /// A standby of nothing.
    #[error("{0} was to have a standby, and its trades are not collected")]
    NoTrades(Coin),
    /// Living processes hold every stream that was asked for.
    #[error("every stream asked for is held by another process: {}", holders(.0))]
    Held(Vec<Holder>),
    /// The store.
    #[error("the store: {0}")]
    Store(#[from] StoreError),
    /// A part of it stopped by itself, which none should: a bug. The log says more.
    #[error("{0} ended by itself")]
    Ended(&'static str),
    /// A planned job whose name is not known, or that needs what this network does not have.
    #[error("there is no job {0} on this network")]
    NoJob(String),
    /// Sinks whose names do not tell them apart in the store.
    #[error(transparent)]
    Sink(#[from] SinkName),
    /// Two jobs of one name, or no history to plan by.
    #[error(transparent)]
    Job(#[from] RegisterError),
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The collector. See the [crate](crate).
pub struct Engine {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) spool: Arc<dyn BatchQueue>,
    pub(crate) mono: MonoClock,
    zero: Instant,
    seed: Seed,
    pub(crate) client: Arc<InfoClient>,
    pub(crate) inbox: Arc<Inbox>,
    meters: Arc<Meters>,
    pub(crate) selector: Arc<SharedSelector>,
    pub(crate) pool: Arc<WsPool>,
    address: String,
    sharing: Option<Sharing>,
    rest: Arc<RestSource>,
    pub(crate) tracker: Arc<TrackerSource>,
    runner: Arc<Runner>,
    statistics: Option<Arc<dyn Files>>,
    tracking: Option<Tracking>,
    policy: Policy,
    backfill_ms: Option<i64>,
    pub(crate) jobs: Vec<Spec>,
    tasks: Vec<(Spec, Arc<dyn Task>)>,
    pub(crate) wanted: Arc<Wanted>,
    /// The live perpetuals of the first dex, as far as they are known.
    perpetuals: Arc<Mutex<Vec<Coin>>>,
    leased: Arc<Mutex<BTreeSet<StreamKey>>>,
    /// How often something worth telling was said of a coin, and what, in words, the last time.
    told: Arc<Mutex<BTreeMap<Coin, (u64, String)>>>,
    held: Mutex<Vec<(StreamKey, Holder)>>,
    /// What the pipeline said of leases and the rounds have not seen yet.
    pub(crate) returned: Returns,
    board: Arc<Board>,
    feed: Arc<Feed>,
    sinks: Vec<Fed>,
}

impl Engine {
    /// Wires the parts together. Nothing runs yet.
    #[must_use]
    pub fn new(parts: Parts) -> Arc<Self> {
        let zero = Instant::now();
        let mono = MonoClock::new(parts.clock.clone());
        let feed = Arc::new(Feed::default());
        let store: Arc<dyn Store> = Arc::new(TellingStore::new(parts.store, feed.clone()));
        let weights = Weights::new(store.clone(), parts.address.clone(), mono.clone(), parts.clock.clone());
        let client = Arc::new(InfoClient::new(
            parts.net.clone(),
            parts.rest,
            weights,
            mono.clone(),
            parts.seed.rng("rest"),
        ));
        let inbox = Arc::new(Inbox::new());
        let meters = Arc::new(Meters::default());
        let selector = Arc::new(SharedSelector::new(Selector::new(store.token(), Timing::default())));
        let pool = Arc::new(WsPool::new(
            parts.net.clone(),
            parts.ws,
            inbox.clone(),
            selector.clone(),
            mono.clone(),
            parts.seed.derive("ws"),
        ));
        let edges = meters.clone();
        let edge_of = Box::new(move |stream| edges.edge(stream));
        let rest = Arc::new(RestSource::new(client.clone(), inbox.clone(), edge_of));
        let chain = parts.tracking.as_ref().and_then(|tracking| tracking.chain.clone());
        let chain = chain.map(|Target { endpoint, path }| {
            ChainClient::new(parts.net.clone(), endpoint, path, mono.clone())
        });
        let tracker = Arc::new(TrackerSource::new(client.clone(), inbox.clone(), chain));
        let clock = mono.clone();
        let exchange_now = Box::new(move || clock.exchange());
        let runner = Runner::new(store.clone(), exchange_now, parts.seed.derive("jobs"));
        Arc::new(Self {
            board: Arc::new(Board::new(store.token())),
            store,
            feed,
            address: parts.address,
            sharing: parts.sharing,
            statistics: parts.statistics,
            tracking: parts.tracking,
            sinks: parts.sinks.into_iter().map(Fed::new).collect(),
            policy: parts.policy,
            backfill_ms: parts.backfill_ms,
            jobs: parts.jobs,
            tasks: parts.tasks,
            spool: parts.spool,
            mono,
            zero,
            seed: parts.seed,
            client,
            inbox,
            meters,
            selector,
            pool,
            rest,
            tracker,
            runner: Arc::new(runner),
            wanted: Arc::default(),
            perpetuals: Arc::default(),
            leased: Arc::default(),
            told: Arc::default(),
            held: Mutex::default(),
            returned: Returns::default(),
        })
    }

    /// The client of `/info`, for questions beside the streams.
    #[must_use]
    pub fn client(&self) -> &InfoClient {
        &self.client
    }

    /// What it says of itself, every few seconds while it collects: everything that runs, and the open alerts.
    #[must_use]
    pub fn health(&self) -> watch::Receiver<Published> {
        self.board.health()
    }

    /// Every alert that rises or is over from now on. Who is slow misses the oldest.
    #[must_use]
    pub fn alerts(&self) -> broadcast::Receiver<AlertChange> {
        self.board.changes()
    }

    /// Its events from now on, those that the filter lets pass. A reader that is too slow misses the newest, and is told how
    /// many; nothing waits for it.
    pub fn events(&self, filter: Filter) -> Events {
        self.feed.subscribe(filter)
    }

    /// Publishes whether anything is received, for those who look before collecting has begun: the exchange may be out of
    /// reach.
    pub fn publish_reception(&self) {
        self.board.say(self.reception());
    }

    /// Whether anything is received at all.
    pub(crate) fn reception(&self) -> TotalReception {
        let (mut streams, sockets) = (self.meters.streams(), self.pool.sockets());
        streams.retain(|stream, _| !is_followed(*stream));
        reception::judged(&streams, &sockets, self.client.trouble(), self.mono.now()).1
    }

    /// When data of a stream last came, on the monotonic clock, ms.
    pub(crate) fn last_received(&self, stream: StreamKey) -> Option<i64> {
        self.meters.last(stream)
    }

    pub(crate) fn token(&self) -> Token {
        self.store.token()
    }

    /// Whether it shares the streams with other processes.
    pub(crate) fn shares(&self) -> bool {
        self.sharing.is_some()
    }

    /// Whether a stream has a place on a socket.
    pub(crate) fn has_socket(&self, stream: StreamKey) -> bool {
        self.pool.has_place(stream)
    }

    pub(crate) fn job_troubles(&self) -> BTreeMap<String, Trouble> {
        self.runner.troubles()
    }

    /// Asks what time it is at the exchange; without an answer the system clock serves until the first stamps come.
    pub(crate) async fn learn_time(&self) {
        match tokio::time::timeout(TIME_LIMIT, self.client.learn_time(TIME_LIMIT)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => warn!(%error, "the exchange does not say what time it is"),
            Err(_) => warn!(after = ?TIME_LIMIT, "the exchange does not say what time it is"),
        }
    }

    /// The live perpetuals of the first dex, as the lists of markets were last read.
    pub(crate) fn perpetuals(&self) -> Vec<Coin> {
        lock(&self.perpetuals).clone()
    }

    /// Says which perpetuals of the first dex there are, where no [`Markets`] is there to find it out: positions are followed by the
    /// trades of all of them.
    pub fn say_perpetuals(&self, coins: &[Coin]) {
        *lock(&self.perpetuals) = coins.to_vec();
    }

    /// Whether positions are followed.
    pub(crate) fn is_tracking(&self) -> bool {
        self.tracking.is_some()
    }

    /// How often something worth telling was said of each coin, and what, in words, the last time.
    pub(crate) fn told(&self) -> BTreeMap<Coin, (u64, String)> {
        lock(&self.told).clone()
    }

    pub(crate) fn leased(&self) -> MutexGuard<'_, BTreeSet<StreamKey>> {
        lock(&self.leased)
    }

    /// Collects these as well from now on, the trades of the coins in `standby` twice.
    ///
    /// # Errors
    /// When they do not fit beside what is collected already; then none of them is.
    pub fn join(&self, streams: &[StreamKey], standby: &BTreeSet<Coin>) -> Result<(), OverCapacity> {
        self.wanted.add(streams, standby, self.shares())
    }

    /// Ends the streams whose market the exchange lists no longer, since `at` at the latest: the store says so from then on,
    /// and that nothing of them is missing after that. `doubt`: why what came last may not be all.
    pub(crate) fn end(&self, streams: &[StreamKey], at: TimeMs, doubt: Option<Cause>) {
        self.leave(streams);
        for stream in streams.iter().filter(|stream| self.leased().contains(stream)) {
            self.inbox.end(*stream, at, doubt);
            // At once: one that is wanted again before the next round must be leased anew, since its time line is over.
            self.selector.report(self.mono.now(), Event::Released { stream: *stream });
        }
    }

    /// Collects these no longer. What was taken in of them is committed, and then their leases are given back;
    /// [`Engine::snapshot`] has them until then. [`Engine::join`] takes them up again, with a gap where time was missed.
    pub fn leave(&self, streams: &[StreamKey]) {
        self.wanted.remove(streams);
    }

    /// Finds out which of the markets that `markets` asks for there are, for streams that are to join. What those who follow
    /// the markets have said is missing stays said.
    ///
    /// # Errors
    /// When the exchange has never listed a name.
    pub async fn look(&self, markets: &mut Markets) -> Result<Sorted, NeverListed> {
        let missing = self.wanted.missing();
        let sorted = markets.look(self).await;
        self.wanted.say_missing(missing);
        sorted
    }

    /// What was asked for and the exchange does not list, by name, and why: an alert stands while there is any.
    pub(crate) fn say_missing(&self, missing: BTreeMap<String, String>) {
        self.wanted.say_missing(missing);
    }
}
