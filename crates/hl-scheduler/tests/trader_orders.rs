//! What only REST tells of tracked traders, from a simulated exchange into a real store: in virtual time, and held against what
//! really happened.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where it fails")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use hl_collectors::mono::MonoClock;
use hl_collectors::rest::{Aside, InfoClient, RestOptions, Weights};
use hl_core::ledger::{Batch, Cause, Change, GapState, Span};
use hl_core::record::{Address, ChosenBy, Likelihood, Record, Side, Trade, Trader, TraderStatus};
use hl_core::row::Arrival;
use hl_core::seam::Net as _;
use hl_core::store::Store;
use hl_core::symbol::User;
use hl_core::{Epoch, Origin, Records, StreamKey, TimeMs};
use hl_runtime::{MemoryNet, TokioClock};
use hl_scheduler::Task;
use hl_scheduler::jobs::CollectTraderOrders;
use hl_sim::{Sim, SimConfig};
use hl_store::{Inspect, SqliteStore};
use hl_traders::refresh::{RefreshRules, Thing};

/// Ten minutes before a full hour, at which funding is paid.
const START: TimeMs = TimeMs(1_789_998_600_000);
const MINUTE: i64 = 60_000;
/// What is so young is left to the next run, ms.
const LAG_MS: i64 = 10_000;

struct World {
    sim: Sim,
    folder: tempfile::TempDir,
    store: Arc<dyn Store>,
    job: CollectTraderOrders,
}

impl World {
    /// A market that has lived so long.
    async fn new(traders: usize, activity: f64, minutes: i64, rules: RefreshRules) -> Self {
        let net = MemoryNet::new();
        let listener = net.listen("127.0.0.1:0").await.unwrap();
        let now = START + minutes * MINUTE;
        let config = SimConfig { seed: 5, coins: 2, traders, start: START, activity, ..SimConfig::default() };
        let sim = Sim::start(SimConfig { resume: Some(now), ..config }, listener).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let clock = TokioClock::starting_at(now);
        let store: Arc<dyn Store> = Arc::new(common::open(&folder, clock).await);
        let mono = MonoClock::new(Arc::new(clock));
        let weights = Weights::new(store.clone(), "sim".into(), mono.clone(), Arc::new(clock));
        let options = RestOptions { endpoint: sim.endpoint(), path: "/info".into() };
        let client =
            InfoClient::new(Arc::new(net), options, weights, mono.clone(), fastrand::Rng::with_seed(1));
        let epoch = Epoch { token: store.token(), local: 1 };
        let exchange_now = Box::new(move || Some(mono.exchange()));
        let past = Arc::new(Aside(Arc::new(client)));
        let job = CollectTraderOrders::new(store.clone(), past, epoch, exchange_now, rules);
        Self { sim, folder, store, job }
    }
    /// Those who trade, with how many changes of status their orders had.
    fn traders(&self) -> BTreeMap<Address, usize> {
        let trades =
            self.sim.coins().into_iter().flat_map(|coin| self.sim.truth_trades(coin, TimeMs(0), TimeMs::MAX));
        let users: BTreeSet<_> = trades.flat_map(|trade| [trade.buyer, trade.seller]).collect();
        users.into_iter().map(|user| (user, self.sim.truth_orders(user).len())).collect()
    }

    /// One of them of whom this is true.
    fn one(&self, is_it: impl Fn(Address, usize) -> bool) -> User {
        let all = self.traders();
        let found = all.iter().find(|(user, orders)| is_it(**user, **orders));
        let (user, _) = found.unwrap_or_else(|| panic!("none of {all:?}"));
        User::new(&user.to_string()).unwrap()
    }

    /// These are tracked from now on.
    async fn track(&self, users: &[User]) {
        let (stream, time) = (StreamKey::Traders, self.sim.now());
        let trader = |(rank, user): (u32, &User)| Trader {
            time,
            user: user.address(),
            status: TraderStatus::Added,
            chosen_by: ChosenBy::List,
            score: None,
            rank: Some(rank),
            tags: "".into(),
            position: Likelihood::Likely,
            account_value: None,
            snapshot_time: time,
            arrival: Arrival::default(),
        };
        let records = Records::Traders((1..).zip(users).map(trader).collect());
        let epoch = Epoch { token: self.store.token(), local: 900 };
        self.store.lease(&[stream]).await.unwrap();
        let rows = Change::Rows { epoch, origin: Origin::Derived, records };
        let covered = Change::Covered { epoch, origin: Origin::Derived, span: Span { from: time, to: time } };
        let changes = [rows, covered, Change::Edge(time)].map(|change| (stream, change)).into();
        self.store.commit(Arc::new(Batch { token: self.store.token(), changes })).await.unwrap();
        self.store.release(&[stream]).await.unwrap();
    }

    /// How many rows are new, and what was spent.
    async fn run(&self) -> (u64, u64) {
        let done = self.job.run(TimeMs(0)).await.unwrap();
        (done.rows, done.weight)
    }

    async fn pass(&self, minutes: u64) {
        tokio::time::sleep(Duration::from_secs(60 * minutes)).await;
        self.sim.caught_up().await;
    }

    fn inspect(&self) -> impl Inspect + use<> {
        SqliteStore::inspect(self.folder.path().join("hl.db")).unwrap()
    }

    async fn rows(&self, stream: StreamKey) -> Records {
        self.inspect().rows(stream, Span::EVER).await.unwrap()
    }

    async fn edge(&self, stream: StreamKey) -> TimeMs {
        self.store.settled(stream).await.unwrap().edge.unwrap_or(TimeMs(0))
    }

    /// Gaps that are not filled, of a store that is sound.
    async fn gaps(&self) -> Vec<(StreamKey, GapState, Cause)> {
        let inspect = self.inspect();
        let problems = inspect.audit().await.unwrap().problems;
        assert!(problems.is_empty(), "{problems:?}");
        let gaps = inspect.gaps(None).await.unwrap();
        let gaps = gaps.iter().filter(|gap| gap.state != GapState::Backfilled);
        gaps.map(|gap| (gap.stream, gap.state, gap.cause)).collect()
    }

    fn fills(&self, user: User) -> BTreeSet<(TimeMs, u64, Side)> {
        let trades =
            self.sim.coins().into_iter().flat_map(|coin| self.sim.truth_trades(coin, TimeMs(0), TimeMs::MAX));
        let of = |trade: &Trade| {
            let sides = [(trade.buyer, Side::Buy), (trade.seller, Side::Sell)];
            let side = sides.into_iter().find(|(of, _)| *of == user.address());
            side.map(|(_, side)| (trade.time, trade.tid, side))
        };
        trades.filter_map(|trade| of(&trade)).collect()
    }

    /// Everything of a trader that was shown by then is stored, and nothing else.
    async fn is_true(&self, user: User, asked: TimeMs) {
        let edge = self.edge(StreamKey::Orders(user)).await;
        let Records::Orders(stored) = self.rows(StreamKey::Orders(user)).await else { panic!("other rows") };
        let truth = self.sim.truth_orders(user.address());
        same(stored, truth, edge, asked);
        let edge = self.edge(StreamKey::Payments(user)).await;
        let Records::Payments(stored) = self.rows(StreamKey::Payments(user)).await else {
            panic!("other rows")
        };
        let truth = self.sim.truth_payments(user.address());
        same(stored, truth, edge, asked);
        let Records::Fills(stored) = self.rows(StreamKey::Fills(user)).await else { panic!("other rows") };
        let stored: BTreeSet<_> = stored.iter().map(|fill| (fill.time, fill.tid, fill.side)).collect();
        let (edge, truth) = (self.edge(StreamKey::Fills(user)).await, self.fills(user));
        assert!(truth.iter().all(|fill| fill.0 < edge || asked < fill.0), "fills are missing at the end");
        assert_eq!(stored, truth.into_iter().filter(|fill| fill.0 < edge).collect());
        let Records::Movements(stored) = self.rows(StreamKey::Movements(user)).await else {
            panic!("other rows")
        };
        let [deposit] = stored.as_slice() else { panic!("{stored:?}") };
        assert_eq!((&*deposit.kind, deposit.time), ("deposit", START - 40 * 1_440 * MINUTE));
        assert!(deposit.usdc.is_some_and(|usdc| usdc >= 500_000.into()) && deposit.delta.is_none());
    }
}

/// What is stored is what happened before the edge, and nothing that was shown lies behind it.
fn same<T: Record + std::fmt::Debug>(mut stored: Vec<T>, mut truth: Vec<T>, edge: TimeMs, asked: TimeMs) {
    stored.iter_mut().for_each(|row| row.set_arrival(Arrival::default()));
    assert!(truth.iter().all(|row| row.time() < edge || asked < row.time()), "rows are missing at the end");
    truth.retain(|row| row.time() < edge);
    stored.sort_by_key(Record::row_key);
    truth.sort_by_key(Record::row_key);
    assert_eq!(stored, truth);
}

fn rules(weight_a_minute: u32) -> RefreshRules {
    RefreshRules { weight_a_minute, ..RefreshRules::default() }
}

#[tokio::test(start_paused = true)]
async fn what_is_stored_is_what_happened_and_the_next_run_adds_what_is_new() {
    let world = World::new(40, 0.2, 15, rules(10_000)).await;
    let user = world.one(|user, orders| {
        let payments = world.sim.truth_payments(user).len();
        (5..1_000).contains(&orders) && payments > 0
    });
    world.track(&[user]).await;
    let asked = world.sim.now() - LAG_MS;
    assert!(world.run().await.0 > 0);
    world.is_true(user, asked).await;
    let payments = world.rows(StreamKey::Payments(user)).await.len();
    assert!(payments > 0);
    assert_eq!(world.run().await, (0, 0), "nothing is due");
    world.pass(62).await;
    let asked = world.sim.now() - LAG_MS;
    let before = world.rows(StreamKey::Orders(user)).await.len();
    let (rows, _) = world.run().await;
    world.is_true(user, asked).await;
    assert!(rows > 0 && world.rows(StreamKey::Payments(user)).await.len() > payments);
    assert!(world.rows(StreamKey::Orders(user)).await.len() > before);
    assert_eq!(world.gaps().await, []);
    let pieces = world.inspect().coverage(Some(StreamKey::Orders(user))).await.unwrap();
    assert_eq!(pieces.len(), 1, "what joins is one piece: {pieces:?}");
    world.sim.stop().await;
}

#[tokio::test(start_paused = true)]
async fn fills_over_the_borders_of_pages_are_whole() {
    let world = World::new(12, 5.0, 18, rules(10_000)).await;
    let user = world.one(|user, _| {
        let fills = world.fills(User::new(&user.to_string()).unwrap()).len();
        (2_001..5_000).contains(&fills)
    });
    world.track(&[user]).await;
    let asked = world.sim.now() - LAG_MS;
    world.run().await;
    let Records::Fills(stored) = world.rows(StreamKey::Fills(user)).await else { panic!("other rows") };
    let stored: BTreeSet<_> = stored.iter().map(|fill| (fill.time, fill.tid, fill.side)).collect();
    assert!(stored.len() > 2_000);
    let edge = world.edge(StreamKey::Fills(user)).await;
    assert_eq!(stored, world.fills(user).into_iter().filter(|fill| fill.0 < edge).collect());
    assert!(world.fills(user).iter().all(|fill| fill.0 < edge || asked < fill.0));
    world.sim.stop().await;
}

#[tokio::test(start_paused = true)]
async fn orders_that_the_exchange_no_longer_shows_are_a_gap() {
    let world = World::new(12, 5.0, 18, rules(10_000)).await;
    let user = world.one(|_, orders| orders == 2_000);
    let stream = StreamKey::Orders(user);
    world.track(&[user]).await;
    world.run().await;
    assert!(world.gaps().await.is_empty(), "what lies before the first one is not missed");
    let edge = world.edge(stream).await;
    world.pass(18).await;
    let oldest = world.sim.truth_orders(user.address())[0].time;
    assert!(edge < oldest, "more have come than are shown");
    world.run().await;
    let lost = (stream, GapState::Unrecoverable, Cause::NotCollected);
    assert_eq!(world.gaps().await, [lost]);
    let Records::Orders(mut stored) = world.rows(stream).await else { panic!("other rows") };
    stored.retain(|order| edge <= order.time);
    let (edge, oldest) = (world.edge(stream).await, world.sim.truth_orders(user.address())[0].time);
    stored.retain(|order| oldest < order.time);
    let mut truth = world.sim.truth_orders(user.address());
    truth.retain(|order| oldest < order.time && order.time < edge);
    same(stored, truth, edge, oldest);
    world.sim.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_run_spends_what_it_may_and_the_next_one_goes_on() {
    // 120 a run: one request for orders, or two of those that weigh 45.
    let world = World::new(40, 0.2, 15, rules(24)).await;
    let user = world.one(|_, orders| (5..1_000).contains(&orders));
    world.track(&[user]).await;
    let mut spent = Vec::new();
    for _ in 0..3 {
        spent.push(world.run().await.1);
        world.pass(5).await;
    }
    assert_eq!(spent, [120, 120, 90], "orders, fills, and the rest");
    let state =
        CollectTraderOrders::state(world.store.note(CollectTraderOrders::NOTE).await.unwrap().as_deref());
    assert_eq!(state.seen[&user].read.keys().copied().collect::<Vec<_>>(), Thing::ALL);
    assert!(state.seen[&user].traded.is_some());
    let plan = CollectTraderOrders::plan(&*world.store, rules(24), world.sim.now()).await.unwrap().unwrap();
    assert_eq!((plan.traders(), plan.left_out()), (1, 0), "{plan}");
    world.sim.stop().await;
}

#[tokio::test(start_paused = true)]
async fn nobody_is_tracked_and_nothing_is_read() {
    let world = World::new(40, 0.2, 1, rules(200)).await;
    assert_eq!(world.run().await, (0, 0));
    let plan = CollectTraderOrders::plan(&*world.store, rules(200), world.sim.now()).await.unwrap();
    assert!(plan.is_none());
    world.sim.stop().await;
}
