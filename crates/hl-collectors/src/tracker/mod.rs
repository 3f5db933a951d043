//! The tracker: the source of positions, beside sockets and REST jobs.
//!
//! It hears the trades that the time lines admit ([`Hearing`]), asks for states of accounts inside the weight budget, and brings
//! what `hl-traders` makes of both: every change of a position, under the claim that the selector gave it. What an answer says is
//! decided there, and pure; here is what asks, waits and offers.
//!
//! - A change is brought once all coins are heard up to behind it: until then a trade of the same trader in another coin may still be
//!   on its way. Its stream is covered up to there.
//! - A **snapshot** is everything that a trader holds at one moment: rows of one time, with one of the coin `*` among them. One is
//!   brought where a trader becomes known, and where positions changed since the last one, at most every ten minutes.
//! - Where what was brought turns out to be wrong, the time since the last proof becomes a gap ([`Content::Refuted`]).
//!
//! Positions of the first dex are followed. What does not live here: which traders are tracked (`hl-engine`), and who owns a stream.

mod hearing;
mod ledger;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hl_core::decode::account::{AccountState, account};
use hl_core::decode::chain::{self, PositionRead};
use hl_core::decode::rest;
use hl_core::message::info::InfoRequest;
use hl_core::seam::stopped;
use hl_core::source::{Content, DataSource, Intake, Offer, Role, Ticket};
use hl_core::symbol::User;
use hl_core::{Coin, Dex, Epoch, RunId, SourceId, StreamKey, TimeMs};
use hl_traders::signals::Change;
use hl_traders::tracker::{
    AROUND_MS, Event, Following, Hearing as Hears, Reason, Standing, State, Tracker, Wanted,
};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{debug, info, warn};

use self::hearing::Heard;
pub use self::hearing::Hearing;
use self::ledger::Ledger;
use crate::complaints::Complaints;
use crate::rest::{ChainClient, ChainReadError, InfoClient, RestError, Urgency};

/// How often it looks at what it has heard.
const EVERY: Duration = Duration::from_millis(250);
/// Requests under way at a time.
const AT_ONCE: usize = 8;
/// How many accounts are chosen at a time to be asked for.
const CHOSEN: usize = 64;
/// How long a request waits for room in the budget.
const PATIENCE: Duration = Duration::from_secs(20);
/// In the round over everyone each account is asked for no oftener, ms …
const SHORTEST_ROUND_MS: i64 = 600_000;
/// … and the round takes no more weight a minute than this.
const ROUND_WEIGHT: i64 = 300;
/// Weight of one state (PROTOCOL section 4.1).
const STATE_WEIGHT: i64 = 2;
const MINUTE_MS: i64 = 60_000;
/// Where the weight budget has no room it is tried again after this, ms.
const FULL_MS: i64 = 2_000;
/// Accounts are chosen no oftener than this, ms.
const LOOK_MS: i64 = 250;
/// Which perpetuals there are on the chain is looked at anew after this, ms.
const NUMBERED_MS: i64 = 3_600_000;
/// Changes that may wait for somebody to ask for them.
const MOST_CHANGES: usize = 10_000;
/// The dex whose positions are followed.
const DEX: Dex = Dex::First;

/// How well the traders are known.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct TrackerView {
    /// Traders whose positions are followed.
    pub tracked: usize,
    /// Those of whom nothing is known to be missing.
    pub exact: usize,
    /// Those of whom trades may be missing, or whom a state contradicts.
    pub suspect: usize,
    /// Those of whom no state was seen yet.
    pub unknown: usize,
    /// Up to when all coins are heard, ms; none before that.
    pub heard_to: Option<TimeMs>,
    /// States that were asked for and came.
    pub states: u64,
    /// States that were asked for and did not.
    pub failed: u64,
    /// Positions that trades had made wrong, and a state set right.
    pub drifts: u64,
    /// Changes of positions brought.
    pub changes: u64,
}

/// The source of positions. See the [module](self).
pub struct TrackerSource {
    client: Arc<InfoClient>,
    intake: Arc<dyn Intake>,
    hearing: Arc<Hearing>,
    /// Where positions are read many at a time, on a network that has it.
    chain: Option<ChainClient>,
    wanted: Mutex<Wants>,
    view: Mutex<TrackerView>,
    /// Locked for work that does not wait, and never while anything is awaited.
    tracker: Mutex<Tracker>,
    /// What was done since somebody asked, oldest first.
    changes: Mutex<VecDeque<Change>>,
}

/// What is wanted of it.
#[derive(Default)]
struct Wants {
    /// Whom it follows, and under which claim.
    roles: BTreeMap<User, Epoch>,
    /// Coins that are to be heard.
    coins: Vec<Coin>,
    /// Who goes first.
    ranks: BTreeMap<User, u32>,
    /// Whether any of it is another than its task has seen.
    changed: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl TrackerSource {
    /// A source without streams. `chain`: where positions are read many at a time, on a network that has it.
    #[must_use]
    pub fn new(client: Arc<InfoClient>, intake: Arc<dyn Intake>, chain: Option<ChainClient>) -> Self {
        Self {
            client,
            intake,
            hearing: Arc::default(),
            chain,
            wanted: Mutex::default(),
            view: Mutex::default(),
            tracker: Mutex::default(),
            changes: Mutex::default(),
        }
    }

    /// Where it hears of trades.
    #[must_use]
    pub fn hearing(&self) -> Arc<Hearing> {
        self.hearing.clone()
    }

    /// Says which coins are to be heard, and in which order traders are to be known. Of a trader that is not among them the rank is
    /// the last.
    pub fn follow(&self, coins: Vec<Coin>, ranks: BTreeMap<User, u32>) {
        let mut wanted = lock(&self.wanted);
        if (&wanted.coins, &wanted.ranks) != (&coins, &ranks) {
            (wanted.coins, wanted.ranks, wanted.changed) = (coins, ranks, true);
        }
    }

    /// How well the traders are known.
    #[must_use]
    pub fn view(&self) -> TrackerView {
        *lock(&self.view)
    }

    /// What is known now of everyone who is followed.
    #[must_use]
    pub fn following(&self) -> Following {
        lock(&self.tracker).following(DEX, self.client.mono().exchange())
    }

    /// The changes of positions that trades made since it was last asked, oldest first: the last ten thousand.
    #[must_use]
    pub fn take_changes(&self) -> Vec<Change> {
        std::mem::take(&mut *lock(&self.changes)).into()
    }

    fn keep_changes(&self, events: &[Event]) {
        let mut changes = lock(&self.changes);
        for event in events {
            if let Event::Changed { user, coin, time, before, after, .. } = *event {
                if changes.len() == MOST_CHANGES {
                    changes.pop_front();
                }
                let before = Some(before);
                changes.push_back(Change { time, user, coin, before, after, is_liquidation: false });
            }
        }
    }

    /// Follows traders until `stop` turns true.
    pub async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let mut work = Work::new(self);
        let mut every = interval(EVERY);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stopped(&mut stop) => break,
                Some(asked) = work.requests.join_next() => {
                    if let Ok(asked) = asked {
                        work.answered(asked);
                    }
                    work.ask();
                }
                Some(read) = work.bundles.join_next() => {
                    if let Ok(read) = read {
                        work.read(read);
                    }
                    work.ask();
                }
                Some(read) = work.numbering.join_next() => {
                    if let Ok(Ok(markets)) = read {
                        work.markets = Arc::new(markets);
                    }
                }
                _ = every.tick() => {
                    tokio::select! {
                        biased;
                        () = stopped(&mut stop) => break,
                        () = work.look() => {}
                    }
                    work.ask();
                }
            }
        }
        work.requests.shutdown().await;
        work.bundles.shutdown().await;
        work.numbering.shutdown().await;
    }

    /// Asks for the state of an account.
    async fn state(&self, user: User, urgency: Urgency) -> Result<State, RestError> {
        let dex = DEX.name().map(str::to_owned);
        let request = InfoRequest::ClearinghouseState { user: user.address(), dex };
        let mono = self.client.mono();
        let decode = |body: &mut [u8]| account(body, DEX);
        let (AccountState { time, positions }, took_ms) =
            self.client.ask_timed(&request, 0, urgency, PATIENCE, decode).await?;
        // Without a time of its own it was true at some moment while it was asked for.
        let time = match time {
            Some(time) => time,
            None if took_ms > AROUND_MS => return Err(RestError::Stale { request: request.name(), took_ms }),
            None => mono.exchange() - took_ms / 2,
        };
        let sizes = positions.iter().map(|(coin, (szi, _))| (*coin, *szi)).collect();
        let entry_px = positions.iter().filter_map(|(coin, (_, px))| Some((*coin, (*px)?))).collect();
        Ok(State { time, sizes, entry_px })
    }

    /// The perpetuals of the first dex that trade: their numbers on the chain, and the decimal places of their sizes.
    async fn numbers(&self) -> Result<Vec<Numbered>, RestError> {
        let request = InfoRequest::Meta { dex: DEX.name().map(str::to_owned) };
        let read = self.client.ask(&request, 0, Urgency::Live, PATIENCE, rest::meta).await?;
        // A number is a place in the list: where one cannot be read, those behind it are not known.
        if !read.unread.is_empty() {
            return Ok(Vec::new());
        }
        let assets = read.value.universe.into_iter().zip(0..).filter(|(asset, _)| asset.is_live());
        let numbered = assets.map(|(asset, number)| Numbered {
            coin: asset.name,
            number,
            sz_decimals: asset.sz_decimals,
        });
        Ok(numbered.collect())
    }

    /// Reads all positions of some accounts from the chain.
    async fn bundle(&self, users: Vec<User>, markets: Arc<Vec<Numbered>>) -> Bundle {
        let of =
            |user: User| markets.iter().map(move |market| PositionRead { user, perpetual: market.number });
        let reads: Vec<_> = users.iter().flat_map(|user| of(*user)).collect();
        let asked = users.len();
        let Some(chain) = &self.chain else { return Bundle { asked, states: Ok(Vec::new()) } };
        let states = chain.read(&reads).await.map(|read| {
            // It was true at some moment while it was asked for, or in a block before.
            if read.took_ms > AROUND_MS {
                return Vec::new();
            }
            let each = users.iter().zip(read.sizes.chunks(markets.len().max(1)));
            each.filter_map(|(user, sizes)| Some((*user, state_of(sizes, &markets, read.time)?))).collect()
        });
        Bundle { asked, states }
    }
}

/// A perpetual on the chain.
#[derive(Clone, Copy, Debug)]
struct Numbered {
    coin: Coin,
    number: u32,
    sz_decimals: u32,
}

/// A bundle of reads that has ended.
struct Bundle {
    asked: usize,
    states: Result<Vec<(User, State)>, ChainReadError>,
}

/// The state of an account; none where one of its reads failed.
fn state_of(sizes: &[Option<i64>], markets: &[Numbered], time: TimeMs) -> Option<State> {
    let mut state = State { time, sizes: BTreeMap::new(), entry_px: BTreeMap::new() };
    for (size, market) in sizes.iter().zip(markets) {
        let size = chain::coins((*size)?, market.sz_decimals)?;
        if !size.is_zero() {
            state.sizes.insert(market.coin, size);
        }
    }
    (sizes.len() == markets.len()).then_some(state)
}

impl DataSource for TrackerSource {
    fn id(&self) -> SourceId {
        SourceId::Tracker
    }

    fn serves(&self, stream: StreamKey) -> bool {
        matches!(stream, StreamKey::Positions(_))
    }

    fn assign(&self, stream: StreamKey, role: Role) {
        let StreamKey::Positions(user) = stream else { return };
        let mut wanted = lock(&self.wanted);
        wanted.changed |= match role {
            Role::Owner(epoch) => wanted.roles.insert(user, epoch) != Some(epoch),
            Role::Standby | Role::Off => wanted.roles.remove(&user).is_some(),
        };
    }

    fn renew(&self, _: StreamKey, _: RunId) {}

    fn calm(&self, _: StreamKey, _: RunId) {}
}

/// A request for a state that has ended.
struct Asked {
    user: User,
    state: Result<State, RestError>,
}

/// What the task of a source has in hand.
struct Work {
    source: Arc<TrackerSource>,
    ledger: Ledger,
    users: BTreeMap<hl_core::record::Address, User>,
    requests: JoinSet<Asked>,
    /// The bundle that is under way.
    bundles: JoinSet<Bundle>,
    numbering: JoinSet<Result<Vec<Numbered>, RestError>>,
    /// What is read of an account, and when that was last looked for, on the monotonic clock, ms.
    markets: Arc<Vec<Numbered>>,
    numbered_at: Option<i64>,
    /// When accounts were last chosen for a bundle, on the monotonic clock, ms.
    looked_at: i64,
    chosen: VecDeque<Wanted>,
    /// The weight budget had no room; until then nothing more is asked for, on the monotonic clock, ms.
    full_until: i64,
    /// When accounts were last chosen, on the monotonic clock, ms.
    chosen_at: i64,
    complaints: Complaints,
}

impl Work {
    fn new(source: Arc<TrackerSource>) -> Self {
        Self {
            source,
            ledger: Ledger::default(),
            users: BTreeMap::new(),
            requests: JoinSet::new(),
            bundles: JoinSet::new(),
            numbering: JoinSet::new(),
            markets: Arc::default(),
            numbered_at: None,
            looked_at: i64::MIN / 2,
            chosen: VecDeque::new(),
            full_until: 0,
            chosen_at: i64::MIN / 2,
            complaints: Complaints::default(),
        }
    }

    /// Takes in what was heard, and brings what it makes of positions.
    async fn look(&mut self) {
        let now = self.source.client.mono().exchange();
        self.take_wants(now);
        for (user, content) in self.found(now) {
            let epoch = lock(&self.source.wanted).roles.get(&user).copied();
            let Some(epoch) = epoch else { continue };
            let (stream, ticket) = (StreamKey::Positions(user), Ticket::Claim(epoch));
            self.source.intake.offer(Offer { stream, ticket, content }).await;
        }
    }

    /// What is to be brought of all that was heard.
    fn found(&mut self, now: TimeMs) -> Vec<(User, Content)> {
        let source = self.source.clone();
        let mut tracker = lock(&source.tracker);
        let mut events = Vec::new();
        for (coin, heard) in source.hearing.take() {
            match heard {
                Heard::Trades(trades) => tracker.trades(&trades, &mut events),
                Heard::Whole(piece) => tracker.whole(coin, piece),
                Heard::Run(piece) => tracker.heard(coin, piece),
                Heard::Gap(piece) => tracker.gap(coin, piece),
                Heard::NotJoined(piece) => tracker.not_joined(coin, piece),
                Heard::Delisted(at) => tracker.delisted(coin, at),
                Heard::Relived(from) => {
                    // What bears one time is of two: nothing that was known can be told apart from what comes.
                    events.clear();
                    tracker.forget(now);
                    self.ledger.begin_anew(from);
                }
            }
        }
        tracker.judge(now, &mut events);
        source.keep_changes(&events);
        let is = |of: fn(&Event) -> bool| events.iter().filter(|event| of(event)).count() as u64;
        let changes = is(|event| matches!(event, Event::Changed { .. }));
        let drifts = is(|event| matches!(event, Event::Drift { .. }));
        for event in events {
            self.ledger.take(&self.users, event);
        }
        let hearing = tracker.hearing(DEX);
        let due = self.ledger.due(&tracker, DEX, hearing, now);
        self.count(&tracker, hearing, changes, drifts);
        due
    }

    /// Begins and ends to follow traders as the selector wants it.
    fn take_wants(&mut self, now: TimeMs) {
        let mut wanted = lock(&self.source.wanted);
        if !std::mem::take(&mut wanted.changed) {
            return;
        }
        let mut tracker = lock(&self.source.tracker);
        for coin in &wanted.coins {
            tracker.listen(*coin);
        }
        if !wanted.coins.is_empty() {
            let gone: Vec<Coin> = tracker.coins().filter(|coin| !wanted.coins.contains(coin)).collect();
            gone.into_iter().for_each(|coin| tracker.delisted(coin, now));
        }
        let ledger = &mut self.ledger;
        self.users.retain(|address, user| {
            let stays = wanted.roles.contains_key(user);
            if !stays {
                tracker.untrack(*address);
                ledger.forget(*user);
            }
            stays
        });
        for (user, epoch) in &wanted.roles {
            let address = user.address();
            let rank = wanted.ranks.get(user).copied().unwrap_or(u32::MAX);
            tracker.track(address, rank, &[DEX], now);
            ledger.follow(*user, *epoch);
            self.users.insert(address, *user);
        }
    }

    fn round_ms(&self) -> i64 {
        let accounts = i64::try_from(self.users.len()).unwrap_or(i64::MAX);
        accounts.saturating_mul(STATE_WEIGHT * MINUTE_MS / ROUND_WEIGHT).max(SHORTEST_ROUND_MS)
    }

    /// Asks for states, as many as may be under way.
    fn ask(&mut self) {
        let mono = self.source.client.mono();
        let now = mono.exchange();
        if self.chosen.is_empty() && self.chosen_at + LOOK_MS <= mono.now() {
            self.chosen_at = mono.now();
            self.chosen = lock(&self.source.tracker).wanted(now, self.round_ms(), CHOSEN).into();
        }
        while self.requests.len() < AT_ONCE
            && self.full_until <= mono.now()
            && let Some(wanted) = self.chosen.pop_front()
        {
            let Some(user) = self.users.get(&wanted.user).copied() else { continue };
            let urgency = match wanted.reason {
                Reason::Again | Reason::Unknown | Reason::Suspect => Urgency::Positions,
                Reason::Traded | Reason::Round => Urgency::Proof,
            };
            lock(&self.source.tracker).asked(wanted.user, wanted.dex, now);
            let source = self.source.clone();
            self.requests.spawn(async move { Asked { user, state: source.state(user, urgency).await } });
        }
        self.ask_chain(now);
    }

    /// Reads accounts that are not known from the chain, where there are more of them than are asked for one by one.
    fn ask_chain(&mut self, now: TimeMs) {
        let Some(room) = self.source.chain.as_ref().and_then(ChainClient::room) else { return };
        let mono = self.source.client.mono().now();
        if !self.bundles.is_empty() || mono < self.looked_at + LOOK_MS {
            return;
        }
        self.looked_at = mono;
        let mut unknown = lock(&self.source.tracker).wanted(now, i64::MAX / 2, room);
        unknown.retain(|wanted| matches!(wanted.reason, Reason::Again | Reason::Unknown | Reason::Suspect));
        // The first of them are asked for one by one, where there is room for it.
        let by_state = if self.full_until <= mono { AT_ONCE.min(unknown.len()) } else { 0 };
        let mut unknown = unknown.split_off(by_state);
        if unknown.is_empty() {
            return;
        }
        // What is not among what is read would be taken for flat.
        let has = |coin: &Coin| self.markets.iter().any(|market| market.coin == *coin);
        let lacks = lock(&self.source.tracker).coins().any(|coin| DEX.has(coin) && !has(&coin));
        let again_ms = if self.markets.is_empty() || lacks { MINUTE_MS } else { NUMBERED_MS };
        if self.numbered_at.is_none_or(|at| at + again_ms <= mono) {
            self.numbered_at = Some(mono);
            let source = self.source.clone();
            self.numbering.spawn(async move { source.numbers().await });
        }
        let Some(accounts) = room.checked_div(self.markets.len()).filter(|_| !lacks) else { return };
        unknown.truncate(accounts.max(1));
        let users: Vec<User> =
            unknown.iter().filter_map(|wanted| self.users.get(&wanted.user).copied()).collect();
        for wanted in &unknown {
            lock(&self.source.tracker).asked(wanted.user, wanted.dex, now);
        }
        let (source, markets) = (self.source.clone(), self.markets.clone());
        self.bundles.spawn(async move { source.bundle(users, markets).await });
    }

    fn read(&mut self, Bundle { asked, states }: Bundle) {
        let mut view = lock(&self.source.view);
        match states {
            Ok(states) => {
                view.states += states.len() as u64;
                view.failed += (asked - states.len()) as u64;
                for (user, state) in states {
                    lock(&self.source.tracker).state(user.address(), DEX, state);
                }
            }
            Err(error) => {
                view.failed += asked as u64;
                warn!(%error, "positions cannot be read from the chain now; states are asked for one by one");
            }
        }
    }

    fn answered(&mut self, Asked { user, state }: Asked) {
        let mut view = lock(&self.source.view);
        match state {
            Ok(state) => {
                view.states += 1;
                lock(&self.source.tracker).state(user.address(), DEX, state);
            }
            Err(error) => {
                view.failed += 1;
                // What finds no room in the budget is asked for again in its turn.
                if matches!(error, RestError::Budget { .. } | RestError::RateLimited { .. }) {
                    lock(&self.source.tracker).put_off(user.address(), DEX);
                    self.full_until = self.source.client.mono().now() + FULL_MS;
                    debug!(%user, %error, "the state of an account is put off");
                } else if let Some(untold) = self.complaints.due(self.source.client.mono().now()) {
                    warn!(%user, %error, untold, "the state of an account did not come");
                }
            }
        }
    }

    fn count(&self, tracker: &Tracker, hearing: Hears, changes: u64, drifts: u64) {
        if drifts > 0 {
            info!(drifts, "positions that trades had made wrong were set right by states");
        }
        let standings = tracker.standings(DEX);
        let of = |standing| standings.get(&standing).copied().unwrap_or_default();
        let mut view = lock(&self.source.view);
        *view = TrackerView {
            tracked: self.users.len(),
            exact: of(Standing::Exact),
            suspect: of(Standing::Suspect),
            unknown: of(Standing::Unknown),
            heard_to: Some(hearing.to).filter(|to| *to != TimeMs::MIN && *to != TimeMs::MAX),
            drifts: view.drifts + drifts,
            changes: view.changes + changes,
            ..*view
        };
    }
}
