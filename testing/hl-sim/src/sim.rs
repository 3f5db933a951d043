//! The simulated exchange as a whole: its state behind one lock, its tasks, and its handle.

use std::sync::{Arc, Mutex, PoisonError};

use hl_core::record::{
    self, Address, Bbo, Book, Candle, Context, Funding, Mid, Order, Payment, PredictedFunding, Trade,
};
use hl_core::seam::{BoxListener, Endpoint, Seed};
use hl_core::stream::BookVariant;
use hl_core::{Coin, Interval, TimeMs};
use serde_json::Value;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Duration, Instant};

use crate::config::{SimConfig, SimError};
use crate::evm;
use crate::faults::{ActiveFault, Falsified, Fault, FaultKind, Way};
use crate::info::{self, Reply};
use crate::limits::Usage;
use crate::market::spec::BLOCK_MS;
use crate::market::state::Market;
use crate::market::traders::Trader;
use crate::market::{Block, Exchange};
use crate::replay::Replay;
use crate::server;
use crate::truth::{self, Holding, Liquidation, Moved, Status, StatusCounters};
use crate::wire;
use crate::ws::hub::{Hub, Opened};
use crate::ws::push::{self, CandlePushes};

/// Blocks made in one go before other tasks get their turn.
const BLOCKS_IN_A_ROW: usize = 64;
/// Idle blocks that are left to one look, half a minute of them.
const LONGEST_NAP: i64 = 30_000 / BLOCK_MS;
/// The pulse where no block sets one: a playback that waits.
const PULSE: Duration = Duration::from_millis(100);

/// Where frames and answers come from.
pub(crate) enum Source {
    Market(Box<Exchange>),
    Replay(Replay),
}

impl Source {
    pub(crate) fn lists(&self, coin: Coin) -> bool {
        match self {
            Self::Market(exchange) => exchange.lists(coin),
            Self::Replay(replay) => replay.lists(coin),
        }
    }
}

/// Everything that changes.
pub(crate) struct State {
    pub(crate) source: Source,
    pub(crate) hub: Hub,
    candles: CandlePushes,
    block: Block,
    /// Wakes the driver before its time: a playback has begun.
    pub(crate) wake: Arc<Notify>,
    pub(crate) info_requests: u64,
    pub(crate) rate_limited: u64,
    chain_requests: u64,
    chain_limited: u64,
}

impl State {
    /// Answers a JSON-RPC request of the chain. `None`: there is no chain.
    pub(crate) fn answer_chain(&mut self, body: &[u8], now: Instant) -> Option<Reply> {
        let Source::Market(exchange) = &self.source else { return None };
        let granted = self.hub.usage.take_chain_request(now);
        self.chain_requests += 1;
        self.chain_limited += u64::from(!granted);
        Some(evm::answer(exchange, body, granted))
    }

    /// Answers an `/info` request, its weight aside.
    pub(crate) fn answer(&mut self, request: &Value, now: Instant) -> Reply {
        let answered = self.hub.faults.answers(now, request);
        if let Some(status) = answered.status {
            return Reply::null(status);
        }
        let reply = match &mut self.source {
            Source::Market(exchange) => {
                exchange.behind_ms = answered.behind_ms.cast_signed();
                let reply = info::answer(exchange, request);
                exchange.behind_ms = 0;
                reply
            }
            Source::Replay(replay) => {
                info::answer_replay(|dex| replay.meta(dex), &replay.perp_dexs(), request)
            }
        };
        let stream = info::stream(request);
        let falsifies = self.hub.faults.may_falsify(now, Way::Rest, stream);
        if reply.status != 200 || !(answered.cuts() || falsifies) {
            return reply;
        }
        let Ok(mut data) = serde_json::from_slice(&reply.body) else { return reply };
        let cut = answered.cut(&mut data);
        let changed = self.hub.faults.falsify(now, Way::Rest, stream, &mut data);
        if cut || changed { Reply { body: wire::json(&data), ..reply } } else { reply }
    }

    /// Starts a fault, and strikes where it strikes at once.
    pub(crate) fn inject(&mut self, fault: Fault, now: Instant) -> u64 {
        let kind = fault.kind.clone();
        let id = self.hub.inject(fault, now);
        if let Source::Market(exchange) = &mut self.source {
            let struck = match kind {
                FaultKind::Clock { by_ms } => {
                    exchange.set_clock(by_ms);
                    Some(true)
                }
                FaultKind::Delist { coin } => Some(exchange.delist(coin)),
                FaultKind::Settle { outcome, hundredths } => Some(exchange.settle(outcome, hundredths)),
                _ => None,
            };
            if let Some(struck) = struck {
                self.hub.faults.struck(now, id, struck.into());
                self.hub.faults.end(id);
            }
        }
        self.follow_faults(now);
        id
    }

    /// The market does as the faults at work say.
    pub(crate) fn follow_faults(&mut self, now: Instant) {
        if let Source::Market(exchange) = &mut self.source {
            exchange.follow(self.hub.faults.unlisted(now), self.hub.faults.is_halted(now));
        }
    }

    /// Catches up with simulated time. Whether more blocks are due at once.
    fn tick(&mut self, sim_now: i64, now: Instant) -> bool {
        self.hub.refresh(now);
        self.follow_faults(now);
        match &mut self.source {
            Source::Market(exchange) => {
                let mut next_push = push::next(exchange, &self.hub, &self.candles);
                for _ in 0..BLOCKS_IN_A_ROW {
                    if exchange.made() + BLOCK_MS > sim_now {
                        return false;
                    }
                    exchange.advance(&mut self.block);
                    if !self.block.is_idle() || next_push <= exchange.made() {
                        push::block(exchange, &mut self.hub, &mut self.candles, &self.block, now);
                        next_push = push::next(exchange, &self.hub, &self.candles);
                    }
                }
                true
            }
            Source::Replay(replay) => {
                replay.play(&mut self.hub, now);
                false
            }
        }
    }
}

/// What the tasks share.
pub(crate) struct Shared {
    state: Mutex<State>,
    config: SimConfig,
    /// Simulated time when it began to be served.
    resumed: TimeMs,
    begun: Instant,
}

impl Shared {
    /// The one way to the state. The lock is never held across an await.
    pub(crate) fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The state as of now. Idle blocks are made only when somebody looks; whatever `f` does may change what is due next.
    pub(crate) fn current<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        let (sim_now, now) = (self.now().0, Instant::now());
        self.with(|state| {
            while state.tick(sim_now, now) {}
            let answer = f(state);
            state.wake.notify_one();
            answer
        })
    }

    pub(crate) fn has_chain(&self) -> bool {
        self.config.chain
    }

    pub(crate) fn now(&self) -> TimeMs {
        // A nudge, so that a product that should be whole is not cut to the millisecond before.
        let elapsed = self.begun.elapsed().as_secs_f64() * 1_000.0 * self.config.speed + 1e-6;
        self.resumed + elapsed as i64
    }

    pub(crate) fn open_socket(&self) -> Opened {
        let (now, sim_now) = (Instant::now(), self.now().0);
        self.current(|s| s.hub.open(now, sim_now))
    }

    pub(crate) fn close_socket(&self, id: u64, polite: bool) {
        self.with(|s| if polite { s.hub.leave(id) } else { s.hub.close(id, Instant::now()) });
    }

    /// When the driver has something to do; never long past the moment at which that begins to matter.
    fn next_due(&self) -> Instant {
        self.with(|s| match &s.source {
            Source::Market(exchange) => {
                let next = exchange.next_event().min(push::next(exchange, &s.hub, &s.candles));
                // The first block at or after it.
                let blocks =
                    (next.saturating_sub(exchange.made()) + BLOCK_MS - 1).div_euclid(BLOCK_MS).max(1);
                let blocks = blocks.min(LONGEST_NAP);
                let ahead = (exchange.made() + blocks * BLOCK_MS - self.resumed.0).max(0) as f64;
                let block = self.begun + Duration::from_secs_f64(ahead / 1_000.0 / self.config.speed);
                s.hub.next_refresh().map_or(block, |refresh| refresh.min(block))
            }
            Source::Replay(replay) => {
                let pulse = Instant::now() + PULSE;
                replay.next_due().map_or(pulse, |due| due.min(pulse))
            }
        })
    }

    pub(crate) fn status(&self) -> Status {
        let now = Instant::now();
        self.current(|s| {
            let (blocks, block_time, from) = match &s.source {
                Source::Market(e) => (e.blocks, e.time(), e.retained_from()),
                Source::Replay(_) => (0, self.config.start.0, self.config.start.0),
            };
            let c = s.hub.counters;
            Status {
                now: self.now().0,
                block_time,
                start: self.config.start.0,
                seed: self.config.seed,
                speed: self.config.speed,
                blocks,
                from,
                retention_ms: self.config.retention_ms,
                sockets: s.hub.len(),
                subscriptions: s.hub.subscriptions(),
                users: s.hub.users().len(),
                user_cap: s.hub.user_cap(now),
                weight: s.hub.usage.used_weight(now),
                peak_weight: s.hub.usage.peak_weight(),
                counters: StatusCounters {
                    frames_sent: c.frames_sent,
                    sockets_opened: c.opened,
                    sockets_refused: c.refused,
                    idle_closed: c.idle_closed,
                    not_reading: c.not_reading,
                    fatal_subscriptions: c.fatal_subscriptions,
                    info_requests: s.info_requests,
                    rate_limited: s.rate_limited,
                    chain_requests: s.chain_requests,
                    chain_limited: s.chain_limited,
                },
                faults_applied: s.hub.faults.counters().clone(),
                faults_active: s.hub.faults.list(now).len(),
                replay: match &s.source {
                    Source::Market(_) => None,
                    Source::Replay(replay) => Some(replay.status()),
                },
            }
        })
    }

    pub(crate) fn inject(&self, fault: Fault) -> u64 {
        self.current(|s| s.inject(fault, Instant::now()))
    }

    pub(crate) fn faults(&self) -> Vec<ActiveFault> {
        self.with(|s| s.hub.faults.list(Instant::now()))
    }

    pub(crate) fn clear_faults(&self) -> usize {
        self.current(|s| {
            let cleared = s.hub.faults.clear();
            s.hub.refresh(Instant::now());
            s.follow_faults(Instant::now());
            cleared
        })
    }
}

/// A running simulated exchange. Dropping it leaves its tasks running until the runtime ends; [`Sim::stop`] joins
/// them.
pub struct Sim {
    shared: Arc<Shared>,
    endpoint: Endpoint,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Sim {
    /// Makes the market and serves it on `listener`. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// When the configuration is out of its ranges, or a recording cannot be read.
    pub fn start(config: SimConfig, listener: BoxListener) -> Result<Self, SimError> {
        config.check()?;
        let source = match &config.replay {
            Some(path) => Source::Replay(Replay::read(path, config.speed)?),
            None => Source::Market(Box::new(Exchange::new(&config)?)),
        };
        let resumed = config.resume.unwrap_or(config.start);
        let latency = Duration::from_millis(config.latency_ms);
        let state = State {
            source,
            hub: Hub::new(Usage::new(config.limits), Seed(config.seed), latency, config.assumptions),
            candles: CandlePushes::default(),
            block: Block::default(),
            wake: Arc::default(),
            info_requests: 0,
            rate_limited: 0,
            chain_requests: 0,
            chain_limited: 0,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), config, resumed, begun: Instant::now() });
        let endpoint = listener.endpoint();
        let (stop, stopped) = watch::channel(false);
        let tasks = vec![
            tokio::spawn(drive(Arc::clone(&shared), stopped.clone())),
            tokio::spawn(server::serve(Arc::clone(&shared), listener, stopped)),
        ];
        Ok(Self { shared, endpoint, stop, tasks })
    }

    /// Waits until the market is made up to now, which takes a while where it began long ago. Requests that come before
    /// have to wait for the same, each of them holding up a thread.
    pub async fn caught_up(&self) {
        let (sim_now, now) = (self.shared.now().0, Instant::now());
        while self.shared.with(|state| state.tick(sim_now, now)) {
            tokio::task::yield_now().await;
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        self.endpoint.clone()
    }

    /// Simulated time, as the exchange's clock says.
    #[must_use]
    pub fn now(&self) -> TimeMs {
        let now = self.shared.now();
        self.shared.with(|s| match &s.source {
            Source::Market(exchange) => now + exchange.clock_ms(),
            Source::Replay(_) => now,
        })
    }

    /// Starts a fault, at once. Returns its number.
    pub fn inject(&self, fault: Fault) -> u64 {
        self.shared.inject(fault)
    }

    /// The faults at work.
    #[must_use]
    pub fn faults(&self) -> Vec<ActiveFault> {
        self.shared.faults()
    }

    /// Ends every fault. Returns how many there were.
    pub fn clear_faults(&self) -> usize {
        self.shared.clear_faults()
    }

    /// How it is doing.
    #[must_use]
    pub fn status(&self) -> Status {
        self.shared.status()
    }

    /// Every live market.
    #[must_use]
    pub fn coins(&self) -> Vec<Coin> {
        self.shared.with(|s| match &s.source {
            Source::Market(exchange) => exchange.markets.iter().map(|m| m.spec.coin).collect(),
            Source::Replay(_) => Vec::new(),
        })
    }

    /// Every trade of a coin with `from <= time <= to`, oldest first; empty where the coin is unknown.
    #[must_use]
    pub fn truth_trades(&self, coin: Coin, from: TimeMs, to: TimeMs) -> Vec<Trade> {
        self.market(coin, |exchange, i| Some(truth::trades(exchange, exchange.markets.get(i)?, from.0, to.0)))
    }

    /// The bars that can change no more, by open time.
    #[must_use]
    pub fn truth_candles(&self, coin: Coin, interval: Interval, from: TimeMs, to: TimeMs) -> Vec<Candle> {
        self.market(coin, |exchange, i| {
            let now = exchange.time();
            Some(truth::candles(exchange.markets.get_mut(i)?, interval, now, from.0, to.0))
        })
    }

    /// The rows that faults made the exchange show otherwise than they were, oldest first; of a long run the newest.
    #[must_use]
    pub fn falsified(&self) -> Vec<Falsified> {
        self.shared.with(|s| s.hub.faults.falsified().copied().collect())
    }

    /// Settled funding.
    #[must_use]
    pub fn truth_funding(&self, coin: Coin, from: TimeMs, to: TimeMs) -> Vec<Funding> {
        self.of_market(coin, |market, now| truth::funding(market, now, from.0, to.0))
    }

    /// The retained books, 20 levels a side. A `fast` frame shows the best five of one of them.
    #[must_use]
    pub fn truth_books(&self, coin: Coin, from: TimeMs, to: TimeMs) -> Vec<Book> {
        self.of_market(coin, |market, _| truth::books(market, from.0, to.0))
    }

    /// Best bid and offer on change; the first may be older than `from`, being in force there.
    #[must_use]
    pub fn truth_bbos(&self, coin: Coin, from: TimeMs, to: TimeMs) -> Vec<Bbo> {
        self.of_market(coin, |market, _| truth::bbos(market, from.0, to.0))
    }

    /// Books whose prices are rounded, as [`Sim::truth_books`].
    #[must_use]
    pub fn truth_rounded_books(
        &self,
        coin: Coin,
        variant: BookVariant,
        from: TimeMs,
        to: TimeMs,
    ) -> Vec<Book> {
        self.of_market(coin, |market, _| truth::rounded_books(market, variant, from.0, to.0))
    }

    /// Mids on change, as the exchange shows them; the first may be older than `from`, being in force there.
    #[must_use]
    pub fn truth_mids(&self, coin: Coin, from: TimeMs, to: TimeMs) -> Vec<Mid> {
        self.of_market(coin, |market, _| truth::mids(market, from.0, to.0))
    }

    /// Contexts on change; the first may be older than `from`, being in force there.
    #[must_use]
    pub fn truth_contexts(&self, coin: Coin, from: TimeMs, to: TimeMs) -> Vec<Context> {
        self.of_market(coin, |market, _| truth::contexts(market, from.0, to.0))
    }

    /// Funding expected next, on change; the first may be older than `from`, being in force there.
    #[must_use]
    pub fn truth_predicted_funding(&self, coin: Coin, from: TimeMs, to: TimeMs) -> Vec<PredictedFunding> {
        self.of_market(coin, |market, _| truth::predicted_funding(market, from.0, to.0))
    }

    /// What the exchange says of each market, on change; the first of each may be older than `from`, being in force there.
    #[must_use]
    pub fn truth_markets(&self, from: TimeMs, to: TimeMs) -> Vec<record::Market> {
        self.shared.current(|s| match &s.source {
            Source::Market(exchange) => truth::markets(exchange, None, from.0, to.0),
            Source::Replay(_) => Vec::new(),
        })
    }

    /// Every open position in a perpetual, now.
    #[must_use]
    pub fn truth_positions(&self) -> Vec<Holding> {
        self.shared.current(|s| match &s.source {
            Source::Market(exchange) => truth::positions(exchange),
            Source::Replay(_) => Vec::new(),
        })
    }

    /// What a trader held in perpetuals of the first dex at `from`, with that time, and each change after it, as far back as its
    /// fills are retained.
    #[must_use]
    pub fn truth_moved(&self, user: record::Address, from: TimeMs, to: TimeMs) -> Vec<Moved> {
        self.shared.current(|s| match &s.source {
            Source::Market(exchange) => truth::moved(exchange, user, from.0, to.0),
            Source::Replay(_) => Vec::new(),
        })
    }

    /// Whom the exchange liquidated in a coin, oldest first, as far as its trades are retained.
    #[must_use]
    pub fn truth_liquidations(&self, coin: Coin, from: TimeMs, to: TimeMs) -> Vec<Liquidation> {
        self.market(coin, |exchange, i| {
            Some(truth::liquidations(exchange, exchange.markets.get(i)?, from.0, to.0))
        })
    }

    /// What became of a trader's orders, oldest first: the last 2,000 changes of their status.
    #[must_use]
    pub fn truth_orders(&self, user: Address) -> Vec<Order> {
        self.of_trader(user, truth::orders)
    }

    /// The funding payments of a trader, oldest first: the last 20,000.
    #[must_use]
    pub fn truth_payments(&self, user: Address) -> Vec<Payment> {
        self.of_trader(user, truth::payments)
    }

    fn of_trader<T>(&self, user: Address, read: impl Fn(&Exchange, &Trader) -> Vec<T>) -> Vec<T> {
        self.shared.current(|s| match &s.source {
            Source::Market(exchange) => {
                exchange.trader(&user).map(|(_, trader)| read(exchange, trader)).unwrap_or_default()
            }
            Source::Replay(_) => Vec::new(),
        })
    }

    /// Closes the listener and every connection, and joins every task.
    pub async fn stop(self) {
        // Nobody listens any more only if the tasks have ended by themselves.
        let _ = self.stop.send(true);
        for task in self.tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "a task of the simulated exchange failed");
            }
        }
    }

    fn market<T>(&self, coin: Coin, f: impl FnOnce(&mut Exchange, usize) -> Option<Vec<T>>) -> Vec<T> {
        self.shared.current(|s| match &mut s.source {
            Source::Market(exchange) => {
                let found = exchange.by_coin.get(&coin).copied();
                found.and_then(|i| f(exchange, i)).unwrap_or_default()
            }
            Source::Replay(_) => Vec::new(),
        })
    }

    fn of_market<T>(&self, coin: Coin, f: impl FnOnce(&Market, i64) -> Vec<T>) -> Vec<T> {
        self.market(coin, |exchange, i| {
            let now = exchange.time();
            Some(f(exchange.markets.get(i)?, now))
        })
    }
}

/// Makes blocks as their time comes.
async fn drive(shared: Arc<Shared>, mut stopped: watch::Receiver<bool>) {
    let wake = shared.with(|s| Arc::clone(&s.wake));
    loop {
        let due = shared.next_due();
        tokio::select! {
            biased;
            _ = stopped.changed() => return,
            () = wake.notified() => {}
            () = tokio::time::sleep_until(due) => {}
        }
        let sim_now = shared.now().0;
        while !*stopped.borrow() && shared.with(|s| s.tick(sim_now, Instant::now())) {
            tokio::task::yield_now().await;
        }
    }
}
