use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hl_collectors::Unreadable;
use hl_collectors::mono::MonoClock;
use hl_collectors::pipeline::{Inbox, InboxStats, Meter, Meters, Pipeline, PipelineCounters, PipelineEvent};
use hl_collectors::rest::{InfoClient, RestCounters, RestOptions, RestSource, Weights};
use hl_collectors::ws::{SocketView, WsOptions, WsPool};
use hl_core::ledger::Cause;
use hl_core::seam::{Clock, Net, Seed, sleep_until, stopped};
use hl_core::selector::{Event, Guard, Places, Selector, Timing};
use hl_core::source::{DataSource as _, Files, Role};
use hl_core::store::{BatchQueue, Holder, Leases, Store, StoreError};
use hl_core::thinning::Policy;
use hl_core::{Coin, StreamKey, TimeMs, Token};
use hl_monitor::{Change, Reception, TotalReception};
use hl_scheduler::jobs::{AuditBars, BackfillGaps, CollectDailyStats, CollectFunding, Poll, fallbacks};
use hl_scheduler::plan::Spec;
use hl_scheduler::{JobView, RegisterError, Runner, Task, Trouble};
use serde::Serialize;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{error, info, warn};

use crate::capacity::OverCapacity;
use crate::director::Director;
use crate::events::{Events, Feed, Filter, TellingStore};
use crate::markets::{Markets, NeverListed, Sorted};
use crate::reception;
use crate::rounds::{Returned, Returns, Rounds};
use crate::sharing::{self, Share, Sharing};
use crate::sinks::{self, Fed, Feeder, Feeders, Sink, SinkName, SinkView};
use crate::wanted::Wanted;
use crate::watch::{self as watching, Board, Published};
use crate::{spooled, thinned, time};

/// How often they are asked for while there are none at all.
const FIRST_LEASE_AGAIN: Duration = Duration::from_secs(1);
/// How long the exchange may take to say what time it is.
const TIME_LIMIT: Duration = Duration::from_secs(3);
/// Reports of the pipeline that may wait.
const PIPELINE_EVENTS: usize = 64;

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
    /// that nobody else holds.
    pub sharing: Option<Sharing>,
    /// Seed of everything drawn.
    pub seed: Seed,
    /// The files of daily statistics; not every network has them.
    pub statistics: Option<Arc<dyn Files>>,
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
    /// A planned job that nobody knows, or that needs what this network has not.
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

fn holders(holders: &[Holder]) -> String {
    let words: Vec<_> = holders.iter().map(|holder| format!("{holder:#}")).collect();
    words.join(", ")
}

/// Who holds what was not granted, each once.
fn distinct(leases: &Leases) -> Vec<Holder> {
    let by_token: BTreeMap<_, _> =
        leases.held.iter().map(|(_, holder)| (holder.token, holder.clone())).collect();
    by_token.into_values().collect()
}

/// What an engine is doing, at one moment.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Snapshot {
    /// Exchange time, ms.
    pub at: TimeMs,
    /// Milliseconds since the engine was made.
    pub mono: i64,
    /// Every stream it has the lease of.
    pub streams: BTreeMap<StreamKey, Meter>,
    /// Whether data of each of them is received.
    pub receptions: BTreeMap<StreamKey, Reception>,
    /// Whether anything is received at all.
    pub reception: TotalReception,
    /// Every socket with subscriptions.
    pub sockets: Vec<SocketView>,
    /// Every job.
    pub jobs: Vec<JobView>,
    /// The pipeline.
    pub pipeline: PipelineCounters,
    /// The inbox.
    pub inbox: InboxStats,
    /// Requests.
    pub rest: RestCounters,
    /// What could not be read, by stream or kind of answer.
    pub unreadable: BTreeMap<String, Unreadable>,
    /// Live claims that moved.
    pub handovers: u64,
    /// Streams that have a warm standby now: a second subscription that has proved itself.
    pub standby: BTreeSet<StreamKey>,
    /// Batches and bytes in the spool.
    pub spool: (u64, u64),
    /// Streams that another process holds.
    pub held: Vec<(StreamKey, Holder)>,
    /// Every sink.
    pub sinks: Vec<SinkView>,
}

/// Ends the events when collecting ends, however it does.
struct Ending<'a>(&'a Feed);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
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
    pub(crate) guard: Arc<Guard>,
    pub(crate) pool: Arc<WsPool>,
    address: String,
    sharing: Option<Sharing>,
    rest: Arc<RestSource>,
    runner: Arc<Runner>,
    statistics: Option<Arc<dyn Files>>,
    policy: Policy,
    backfill_ms: Option<i64>,
    jobs: Vec<Spec>,
    tasks: Vec<(Spec, Arc<dyn Task>)>,
    pub(crate) wanted: Arc<Wanted>,
    leased: Arc<Mutex<BTreeSet<StreamKey>>>,
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
        let guard = Arc::new(Guard::new(Selector::new(store.token(), Timing::default())));
        let pool = Arc::new(WsPool::new(
            parts.net,
            parts.ws,
            inbox.clone(),
            guard.clone(),
            mono.clone(),
            parts.seed.derive("ws"),
        ));
        let edges = meters.clone();
        let edge_of = Box::new(move |stream| edges.edge(stream));
        let rest = Arc::new(RestSource::new(client.clone(), inbox.clone(), edge_of));
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
            guard,
            pool,
            rest,
            runner: Arc::new(runner),
            wanted: Arc::default(),
            leased: Arc::default(),
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
    pub fn alerts(&self) -> broadcast::Receiver<Change> {
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
        let (streams, sockets) = (self.meters.streams(), self.pool.sockets());
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

    /// Collects `streams` until `stop` turns true, or the store fails for good. Ends with everything that was taken in
    /// committed, or in the spool, and the leases given back.
    ///
    /// The trades of the coins in `standby` are subscribed twice, on different sockets.
    ///
    /// # Errors
    /// When nothing can be collected at all, or the store fails for good.
    pub async fn run(
        self: &Arc<Self>,
        streams: &[StreamKey],
        standby: &BTreeSet<Coin>,
        mut stop: watch::Receiver<bool>,
    ) -> Result<(), EngineError> {
        let _ending = Ending(&self.feed);
        if let Some(stream) = streams.iter().find(|s| !self.pool.serves(**s) && !self.rest.serves(**s)) {
            return Err(EngineError::NotLive(*stream));
        }
        if let Some(coin) = standby.iter().find(|coin| !streams.contains(&StreamKey::Trades(**coin))) {
            return Err(EngineError::NoTrades(*coin));
        }
        sinks::checked(self.sinks.iter().map(|fed| fed.sink.name()))?;
        self.wanted.add(streams, standby, self.shares())?;
        let (order, doubled) = (self.wanted.order(), self.wanted.doubled());
        // Before any token moves: what an earlier process left in the spool is still the leaseholder's own.
        spooled::drain(self.store.as_ref(), self.spool.as_ref(), || self.guard.mint()).await?;
        let share =
            self.sharing.as_ref().map(|sharing| Share::new(sharing, &self.address, &order, doubled.clone()));
        let leases = match share {
            // The others are asked first.
            Some(_) => Leases::default(),
            None => {
                let leases = self.first_leases(&order, &mut stop).await?;
                if leases.granted.is_empty() {
                    return Err(EngineError::Held(distinct(&leases)));
                }
                leases
            }
        };
        self.learn_time().await;
        thinned::note(self.store.as_ref(), self.policy, self.mono.exchange()).await?;
        let backfill = self.register_jobs().await?;
        self.wait_for(&leases.held);
        self.begin(leases, &doubled);

        let (stop_sources, sources_stop) = watch::channel(false);
        let (events, mut pipeline_events) = mpsc::channel(PIPELINE_EVENTS);
        // A set, so that dropping this future ends the pipeline as well.
        let mut pipeline = JoinSet::new();
        pipeline.spawn(
            Pipeline::new(
                self.inbox.clone(),
                self.store.clone(),
                self.spool.clone(),
                self.meters.clone(),
                self.mono.clone(),
                events,
                self.seed.rng("commits"),
            )
            .thinned(self.policy)
            .run(),
        );
        let sinks = Feeders::start(self.feeders());
        let mut sources = JoinSet::new();
        let (director, pool, runner) = (self.director(), self.pool.clone(), self.runner.clone());
        let [of_director, of_pool] = [sources_stop.clone(), sources_stop.clone()];
        sources.spawn(async move {
            director.run(of_director).await;
            "the director"
        });
        sources.spawn(async move {
            pool.run(of_pool).await;
            "the socket pool"
        });
        let (told, untold) = watching::channel();
        let look = watching::look(self.clone(), self.board.clone(), told, sources_stop.clone());
        sources.spawn(async move {
            look.await;
            "the watch"
        });
        let keep = untold.keep(self.store.clone(), self.board.clone(), sources_stop.clone());
        sources.spawn(async move {
            keep.await;
            "the watch's keeper"
        });
        let time = time::ask(self.client.clone(), self.wanted.clone(), sources_stop.clone());
        sources.spawn(async move {
            time.await;
            "the clock"
        });
        sources.spawn(async move {
            runner.run(sources_stop).await;
            "the job runner"
        });

        // The store is asked in a task of its own: what the pipeline reports waits for no answer of the store.
        let (leave, leaves) = watch::channel(false);
        let mut rounds = JoinSet::new();
        let leases = Rounds::new(self.clone(), share);
        rounds.spawn(leases.run(leaves));

        let mut leave_until = None;
        let ended = loop {
            tokio::select! {
                biased;
                () = stopped(&mut stop), if leave_until.is_none() => {
                    let _ = leave.send(true);
                    leave_until = Some(Instant::now() + sharing::LEAVE_LIMIT);
                }
                () = sleep_until(leave_until) => break Ok(()),
                event = pipeline_events.recv() => match event {
                    Some(PipelineEvent::Superseded(stream)) => self.returned.put(Returned::Superseded(stream)),
                    Some(PipelineEvent::Released(stream)) => self.returned.put(Returned::Committed(stream)),
                    Some(PipelineEvent::Missed { stream, run }) => {
                        self.guard.report(self.mono.now(), Event::Missed { stream, run });
                    }
                    Some(PipelineEvent::Answers { stream, epoch, fail }) => {
                        self.guard.report(self.mono.now(), Event::Answers { stream, epoch, fail });
                    }
                    Some(PipelineEvent::GapsOpened) => {
                        backfill.gaps_opened();
                        self.runner.wake();
                    }
                    Some(PipelineEvent::Failed(error)) => break Err(error.into()),
                    None => break Err(EngineError::Ended("the pipeline")),
                },
                Some(ended) = sources.join_next() => {
                    if let Err(error) = &ended {
                        error!(%error, "a task panicked");
                    }
                    break Err(EngineError::Ended(ended.unwrap_or("a source")));
                }
                Some(left) = rounds.join_next() => break match left {
                    Ok(left) => left.map_err(EngineError::from),
                    Err(error) => {
                        error!(%error, "a task panicked");
                        Err(EngineError::Ended("the leases"))
                    }
                },
            }
        };

        rounds.shutdown().await;
        // Sources first, so that nothing more comes in; then the pipeline, which commits what came.
        // A full channel of reports must not hold the pipeline up meanwhile.
        pipeline_events.close();
        let _ = stop_sources.send(true);
        while sources.join_next().await.is_some() {}
        self.inbox.close();
        while pipeline.join_next().await.is_some() {}
        sinks.finish().await;
        ended
    }

    /// Asks for the leases until there are some, for as long as those who hold them may be dead.
    async fn first_leases(
        &self,
        order: &[StreamKey],
        stop: &mut watch::Receiver<bool>,
    ) -> Result<Leases, StoreError> {
        let give_up = Instant::now() + self.store.patience();
        loop {
            let leases = self.store.lease(order).await?;
            if !leases.granted.is_empty() || Instant::now() >= give_up {
                return Ok(leases);
            }
            info!(holders = %holders(&distinct(&leases)), "every stream is held; waiting in case that process is dead");
            tokio::select! {
                biased;
                () = stopped(stop) => return Ok(leases),
                () = tokio::time::sleep(FIRST_LEASE_AGAIN) => {}
            }
        }
    }

    /// Asks what time it is at the exchange; without an answer the system clock serves until the first stamps come.
    pub(crate) async fn learn_time(&self) {
        match tokio::time::timeout(TIME_LIMIT, self.client.learn_time(TIME_LIMIT)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => warn!(%error, "the exchange does not say what time it is"),
            Err(_) => warn!(after = ?TIME_LIMIT, "the exchange does not say what time it is"),
        }
    }

    async fn register_jobs(&self) -> Result<Arc<BackfillGaps>, EngineError> {
        for id in fallbacks() {
            self.runner.register(Arc::new(Poll::new(id, self.rest.clone(), self.zero)))?;
        }
        let (mono, inbox, meters) = (self.mono.clone(), self.inbox.clone(), self.meters.clone());
        let relived = self.meters.clone();
        let mut backfill = BackfillGaps::new(
            self.store.clone(),
            self.rest.clone(),
            self.guard.mint(),
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
            let task = self.task(spec.id.as_str());
            let task = task.ok_or_else(|| EngineError::NoJob(spec.id.to_string()))?;
            self.runner.plan(spec.clone(), task).await?;
        }
        for (spec, task) in &self.tasks {
            self.runner.plan(spec.clone(), task.clone()).await?;
        }
        Ok(backfill)
    }

    /// What the planned job with this id does.
    fn task(&self, id: &str) -> Option<Arc<dyn Task>> {
        match id {
            CollectFunding::ID => {
                let (guard, mono) = (self.guard.clone(), self.mono.clone());
                let wanted = self.wanted.clone();
                Some(Arc::new(CollectFunding::new(
                    self.store.clone(),
                    self.rest.clone(),
                    Box::new(move || guard.mint()),
                    Box::new(move || wanted.perpetuals().into_iter().collect()),
                    Box::new(move || mono.exchange()),
                )))
            }
            CollectDailyStats::ID => {
                let (files, mono) = (self.statistics.clone()?, self.mono.clone());
                let now = Box::new(move || mono.exchange());
                Some(Arc::new(CollectDailyStats::new(self.store.clone(), files, now)))
            }
            _ => None,
        }
    }

    fn feeders(&self) -> Vec<Feeder> {
        let feeder = |fed: &Fed| {
            let leased = self.leased.clone();
            let leased = Box::new(move || lock(&leased).clone());
            let rng = self.seed.rng(fed.sink.name());
            Feeder::new(fed.clone(), self.store.clone(), self.mono.clone(), &self.feed, leased, rng)
        };
        self.sinks.iter().map(feeder).collect()
    }

    fn director(&self) -> Arc<Director> {
        Arc::new(Director {
            guard: self.guard.clone(),
            inbox: self.inbox.clone(),
            meters: self.meters.clone(),
            mono: self.mono.clone(),
            ws: self.pool.clone(),
            rest: self.rest.clone(),
            prober: self.rest.clone(),
            runner: self.runner.clone(),
            feed: self.feed.clone(),
        })
    }

    /// Streams begin: their time lines first, then the selector may give them out.
    pub(crate) fn begin(&self, leases: Leases, doubled: &BTreeSet<StreamKey>) {
        for mut start in leases.granted {
            let (stream, is_new) = (start.stream, start.edge.is_none());
            if self.policy.min_trade_usd.is_some() {
                // Not every trade is stored: bars that come later are not compared with those that are.
                start.recent.since = None;
            }
            self.leased().insert(stream);
            self.rest.begin(&start);
            self.inbox.start(start);
            let doubled = doubled.contains(&stream);
            let places = self.pool.place(stream, doubled);
            if doubled && places != Places::Two {
                warn!(%stream, "no place for its standby");
            }
            self.pool.assign(stream, Role::Standby);
            self.guard.report(self.mono.now(), Event::Leased { stream, places, is_new });
        }
    }

    pub(crate) fn leased(&self) -> MutexGuard<'_, BTreeSet<StreamKey>> {
        lock(&self.leased)
    }

    /// Remembers who holds what this process does not.
    pub(crate) fn hold(&self, held: Vec<(StreamKey, Holder)>) {
        *lock(&self.held) = held;
    }

    /// The same, and says what is new: it is taken over only when its holder ends.
    fn wait_for(&self, held: &[(StreamKey, Holder)]) {
        for (stream, holder) in held.iter().filter(|held| !lock(&self.held).contains(held)) {
            info!(%stream, holder = %holder.role, pid = holder.pid, host = %holder.host, "held by another process; taken over when it ends");
        }
        self.hold(held.to_vec());
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
            self.guard.report(self.mono.now(), Event::Released { stream: *stream });
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

    /// Streams that are held and wanted no longer.
    pub(crate) fn unwanted(&self) -> Vec<StreamKey> {
        let order: BTreeSet<_> = self.wanted.order().into_iter().collect();
        self.leased().iter().filter(|stream| !order.contains(stream)).copied().collect()
    }

    /// Stops collecting what is wanted no longer: told again for one that is on its way out already, it changes nothing.
    pub(crate) fn let_go_unwanted(&self) {
        for stream in self.unwanted() {
            self.guard.report(self.mono.now(), Event::Released { stream });
        }
    }

    /// Gives leases back. Whether that could be done.
    pub(crate) async fn release(&self, owed: &mut BTreeSet<StreamKey>) -> bool {
        if owed.is_empty() {
            return true;
        }
        let streams: Vec<_> = owed.iter().copied().collect();
        match self.store.release(&streams).await {
            Ok(()) => {
                info!(streams = streams.len(), "collected no longer, and given back");
                owed.clear();
                true
            }
            Err(error) => {
                warn!(%error, "leases could not be given back");
                false
            }
        }
    }

    /// Asks for the leases that it has not, or has lost.
    pub(crate) async fn lease_again(&self) {
        let doubled = self.wanted.doubled();
        let wanted: Vec<_> = {
            let leased = self.leased();
            self.wanted.order().into_iter().filter(|stream| !leased.contains(stream)).collect()
        };
        if wanted.is_empty() {
            return self.hold(Vec::new());
        }
        match self.store.lease(&wanted).await {
            Ok(leases) => {
                self.wait_for(&leases.held);
                self.begin(leases, &doubled);
            }
            Err(error) => warn!(%error, "leases could not be asked for"),
        }
    }

    /// What could not be read, whichever way it came.
    fn unreadable(&self) -> BTreeMap<String, Unreadable> {
        let mut all = self.pool.unreadables();
        for (subject, more) in self.client.unreadables() {
            let seen = all.entry(subject).or_default();
            seen.count += more.count;
            seen.reason = more.reason;
        }
        all
    }

    /// What it is doing now.
    pub fn snapshot(&self) -> Snapshot {
        let (streams, sockets) = (self.meters.streams(), self.pool.sockets());
        let mono = self.mono.now();
        let (receptions, reception) = reception::judged(&streams, &sockets, self.client.trouble(), mono);
        Snapshot {
            at: self.mono.exchange(),
            mono,
            streams,
            receptions,
            reception,
            sockets,
            jobs: self.runner.view(),
            pipeline: self.meters.counters(),
            inbox: self.inbox.stats(),
            rest: self.client.counters(),
            unreadable: self.unreadable(),
            handovers: self.guard.handovers(),
            standby: self
                .guard
                .view()
                .iter()
                .filter(|s| s.leased && s.standby.is_some())
                .map(|s| s.stream)
                .collect(),
            spool: self.spool.size(),
            held: lock(&self.held).clone(),
            sinks: self.sinks.iter().map(Fed::view).collect(),
        }
    }
}
