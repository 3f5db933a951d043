//! The tasks of the WebSocket source: one per slot and one for trials, and the source that the director talks to.

mod trial;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroI64;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hl_core::exchange_time::Voice;
use hl_core::seam::{BoxFuture, Endpoint, Net, Seed, sleep_until, stopped};
use hl_core::selector::{Places, SharedSelector};
use hl_core::source::{DataSource, Intake, Role};
use hl_core::stream::Owner;
use hl_core::{Coin, Lane, RunId, SourceId, StreamKey, TimeMs, decode};
use serde::Serialize;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::connection::{Connection, ConnectionError, Incoming};
use super::connects::Connects;
use super::delay::Delay;
use super::listings::Listings;
use super::plan::{Plan, SLOTS};
use super::session::{Action, Hold, Session, SessionCounters};
use super::trials::{Act, Quarantined, Trials};
use crate::complaints::Complaints;
use crate::mono::MonoClock;
use crate::unreadable::{Unreadable, Unreadables};

/// An open socket's task looks at the clock this often, ms …
const BEAT_MS: i64 = 500;
/// … and when it could not for this long, what it reads next may have waited, ms.
const STOOD_STILL_MS: i64 = 1_500;

/// Where the pool connects to.
#[derive(Clone, Debug)]
pub struct WsOptions {
    /// Host, port, TLS.
    pub endpoint: Endpoint,
    /// Path of the WebSocket, `/ws`.
    pub path: String,
}

/// One socket, for people.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SocketView {
    /// Its slot: the same whatever the other sockets do.
    pub slot: u32,
    /// Whether it is open.
    pub up: bool,
    /// Acknowledged subscriptions.
    pub live: usize,
    /// Wanted subscriptions.
    pub wanted: usize,
    /// Why it is not open, in words.
    pub trouble: Option<String>,
    /// How late its frames arrive, ms.
    pub delay_ms: i64,
    /// Everything that the exchange sent on it before this has been seen, ms, by the last ping that was answered and the
    /// newest time that a frame bore.
    pub seen_to: Option<TimeMs>,
    /// What its session counted.
    pub counters: SessionCounters,
}

/// What the frames of one connection say of the time.
#[derive(Default)]
struct Stamps {
    /// The newest of each stream.
    newest: BTreeMap<StreamKey, TimeMs>,
    delay: Delay,
}

#[derive(Default)]
struct Orders {
    want: BTreeMap<(StreamKey, Lane), bool>,
    renew: Vec<(StreamKey, RunId)>,
    calm: Vec<(StreamKey, RunId)>,
}

#[derive(Default)]
struct Slot {
    number: u32,
    orders: Mutex<Orders>,
    ordered: Notify,
    view: Mutex<SocketView>,
}

/// What a slot's task has seen of the others.
struct Heed {
    /// Of the trials, and of the listings.
    version: (u64, u64),
    returns: u64,
    /// Whether its own socket lives.
    lives: bool,
}

impl Slot {
    fn new(number: u32) -> Self {
        let view = Mutex::new(SocketView { slot: number, ..SocketView::default() });
        Self { number, view, ..Self::default() }
    }
}

/// The WebSocket source.
pub struct WsPool {
    net: Arc<dyn Net>,
    options: WsOptions,
    intake: Arc<dyn Intake>,
    selector: Arc<SharedSelector>,
    mono: MonoClock,
    seed: Seed,
    plan: Mutex<Plan>,
    slots: Vec<Slot>,
    connects: Mutex<Connects>,
    /// How often sockets came back after none lived: what waits for another attempt need not wait for long then.
    returns: AtomicU64,
    trials: Mutex<Trials>,
    /// Wakes the task of the trials.
    on_trial: Notify,
    /// Wakes who asks for coins that were found guilty.
    convicted: Notify,
    listings: Arc<Listings>,
    unreadables: Unreadables,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl WsPool {
    /// A pool without streams.
    #[must_use]
    pub fn new(
        net: Arc<dyn Net>,
        options: WsOptions,
        intake: Arc<dyn Intake>,
        selector: Arc<SharedSelector>,
        mono: MonoClock,
        seed: Seed,
    ) -> Self {
        Self {
            net,
            options,
            intake,
            selector,
            mono,
            seed,
            plan: Mutex::default(),
            slots: (0..).take(SLOTS).map(Slot::new).collect(),
            connects: Mutex::default(),
            returns: AtomicU64::new(0),
            trials: Mutex::default(),
            on_trial: Notify::new(),
            convicted: Notify::new(),
            listings: Arc::default(),
            unreadables: Unreadables::default(),
        }
    }

    /// Reserves a place for a stream, and one on another socket for its standby where that is wanted. Returns what
    /// the exchange's limits leave.
    pub fn place(&self, stream: StreamKey, standby: bool) -> Places {
        match self.serves(stream) {
            true => lock(&self.plan).place(stream, standby),
            false => Places::None,
        }
    }

    /// Whether a stream has a place.
    pub fn has_place(&self, stream: StreamKey) -> bool {
        Lane::ALL.iter().any(|lane| lock(&self.plan).slot_of(stream, *lane).is_some())
    }

    /// Whether everything of a stream that the exchange sent before `at` has been seen, on each socket that carries it, as pings
    /// and the times of frames prove it. What is on no socket has nothing on its way.
    pub fn has_seen(&self, stream: StreamKey, at: TimeMs) -> bool {
        Lane::ALL.iter().all(|lane| {
            let slot = lock(&self.plan).slot_of(stream, *lane).and_then(|slot| self.slots.get(slot));
            slot.is_none_or(|slot| lock(&slot.view).seen_to.is_some_and(|seen| at < seen))
        })
    }

    /// Every slot that has subscriptions.
    pub fn sockets(&self) -> Vec<SocketView> {
        self.slots.iter().map(|slot| lock(&slot.view).clone()).filter(|view| view.wanted > 0).collect()
    }

    /// What is left alone for a while, because it ends sockets or was refused; and what has waited for its trial for long.
    pub fn quarantined(&self) -> Vec<Quarantined> {
        lock(&self.trials).quarantined(self.mono.now())
    }

    /// Waits for coins that end sockets: the exchange may not have them any more. Says each once for every trial that it
    /// fails; safe to drop and call again.
    pub async fn suspected(&self) -> BTreeSet<Coin> {
        loop {
            let coins = lock(&self.trials).take_convicted();
            if !coins.is_empty() {
                return coins;
            }
            self.convicted.notified().await;
        }
    }

    /// What is listed, to be asked before anything is subscribed anew.
    #[must_use]
    pub fn listings(&self) -> &Listings {
        &self.listings
    }

    /// The lists were read from `asked` on, as far as they could be: these coins and dexes were listed, and are not now. They are
    /// subscribed on no socket until they are; what is subscribed already goes on.
    pub fn unlisted(&self, asked: Instant, owners: BTreeSet<Owner>) {
        if self.listings.answer(asked, owners) {
            self.slots.iter().for_each(|slot| slot.ordered.notify_one());
        }
    }

    /// What could not be read, by stream, or by channel where the stream cannot be told.
    pub fn unreadables(&self) -> BTreeMap<String, Unreadable> {
        self.unreadables.all()
    }

    /// Runs until `stop` turns true; sockets are closed then.
    pub async fn run(self: Arc<Self>, stop: watch::Receiver<bool>) {
        let mut tasks = JoinSet::new();
        tasks.spawn(self.clone().run_trials(stop.clone()));
        for slot in 0..self.slots.len() {
            tasks.spawn(self.clone().run_slot(slot, stop.clone()));
        }
        while tasks.join_next().await.is_some() {}
    }

    async fn run_slot(self: Arc<Self>, index: usize, mut stop: watch::Receiver<bool>) {
        let seed = self.seed.derive(&format!("slot {index}"));
        let slot = &self.slots[index];
        let mut session = Session::new(slot.number, seed.rng("session"));
        let mut masks = seed.rng("masks");
        let mut link: Option<Connection> = None;
        let mut opening: Option<BoxFuture<'static, Result<Connection, ConnectionError>>> = None;
        let mut actions = VecDeque::new();
        let mut stamps = Stamps::default();
        let mut complaints = Complaints::default();
        let mut out = Vec::new();
        let mut beat = self.mono.now();
        let mut heed = Heed { version: (0, 0), returns: 0, lives: false };
        loop {
            self.beat(&mut beat, &mut session);
            self.heed(slot, &mut session, &mut heed, &mut out);
            session.tick(self.mono.now(), self.mono.exchange(), &mut out);
            actions.extend(out.drain(..));
            while let Some(action) = actions.pop_front() {
                let trouble = match action {
                    Action::Offer(offer) => {
                        self.intake.offer(offer).await;
                        None
                    }
                    Action::Report(event) => {
                        self.selector.report(self.mono.now(), event);
                        None
                    }
                    Action::Connect => {
                        let now = self.mono.now();
                        match lock(&self.connects).ask(now, slot.number) {
                            Ok(()) => opening = Some(self.open(masks.fork())),
                            Err(until) => session.wait(until),
                        }
                        None
                    }
                    Action::Suspect(death) => {
                        let of_coin = |coin| lock(&self.plan).of_coin(coin);
                        lock(&self.trials).suspect(self.mono.now(), &death, of_coin);
                        debug!(suspects = ?death.suspects, "a socket ended while these were subscribed");
                        self.tell_of_trials();
                        None
                    }
                    Action::Refused { stream, words } => {
                        let mut acts = Vec::new();
                        lock(&self.trials).refused(self.mono.now(), stream, &words, &mut acts);
                        self.tell(acts);
                        self.tell_of_trials();
                        None
                    }
                    Action::Send(text) => match link.as_mut() {
                        Some(connection) => connection.send_text(text).await.err().map(|e| e.to_string()),
                        None => None,
                    },
                    Action::Close(why) => Some(why.to_owned()),
                };
                if let Some(trouble) = trouble {
                    // What was still to be sent belongs to the socket that just ended.
                    actions.retain(|a| matches!(a, Action::Offer(_) | Action::Report(_)));
                    link = None;
                    opening = None;
                    self.lost(slot, &mut session, trouble, &mut out);
                    actions.extend(out.drain(..));
                }
            }
            self.publish(slot, &session, &stamps, None);
            let look_again = link.is_some().then_some(beat + BEAT_MS);
            let deadline = session.next_deadline().into_iter().chain(look_again).min();
            let deadline = deadline.map(|at| self.mono.instant(at));
            tokio::select! {
                biased;
                () = stopped(&mut stop) => break,
                () = slot.ordered.notified() => {}
                opened = maybe(opening.as_mut()) => {
                    opening = None;
                    match opened {
                        Ok(connection) => {
                            info!(slot = index, endpoint = %self.options.endpoint, "socket open");
                            link = Some(connection);
                            stamps = Stamps::default();
                            lock(&slot.view).trouble = None;
                            beat = self.mono.now();
                            session.connected(beat);
                        }
                        Err(error) => self.lost(slot, &mut session, error.to_string(), &mut out),
                    }
                }
                incoming = next(link.as_mut()) => match incoming {
                    Incoming::Text { mut text, received } => {
                        self.beat(&mut beat, &mut session);
                        let frame = (text.as_mut_slice(), received);
                        self.text(&mut session, &mut stamps, &mut complaints, frame, &mut out);
                    },
                    Incoming::Ping(payload) => {
                        if let Some(connection) = link.as_mut()
                            && let Err(error) = connection.send_pong(payload).await
                        {
                            link = None;
                            self.lost(slot, &mut session, error.to_string(), &mut out);
                        }
                    }
                    Incoming::Closed(end) => {
                        link = None;
                        self.lost(slot, &mut session, end.words, &mut out);
                    }
                },
                () = sleep_until(deadline) => {}
            }
            actions.extend(out.drain(..));
        }
        if let Some(connection) = link {
            connection.close().await;
        }
    }

    /// Notices that the process did not run.
    fn beat(&self, beat: &mut i64, session: &mut Session) {
        let now = self.mono.now();
        if now - *beat >= STOOD_STILL_MS {
            session.stood_still(now);
        }
        *beat = now;
    }

    /// Takes in what the director wants, what the trials found out, and how the other sockets fare.
    fn heed(&self, slot: &Slot, session: &mut Session, heed: &mut Heed, out: &mut Vec<Action>) {
        let orders = std::mem::take(&mut *lock(&slot.orders));
        let is_new = !orders.want.is_empty();
        for ((stream, lane), wanted) in orders.want {
            session.want(stream, lane, wanted);
        }
        for (stream, run) in orders.renew {
            session.renew(stream, run);
        }
        for (stream, run) in orders.calm {
            session.calm(stream, run);
        }
        let trials = lock(&self.trials);
        let version = (trials.version(), self.listings.version());
        if is_new || heed.version != version {
            heed.version = version;
            let hold = |stream| if self.listings.lack(stream) { Hold::Unlisted } else { trials.hold(stream) };
            session.hold(hold, out);
        }
        drop(trials);
        let now = self.mono.now();
        let lived = std::mem::replace(&mut heed.lives, session.lives());
        if heed.lives && !lived && lock(&self.connects).lives(now, slot.number) {
            self.returns.fetch_add(1, Ordering::Relaxed);
            self.slots.iter().for_each(|slot| slot.ordered.notify_one());
        }
        let returns = self.returns.load(Ordering::Relaxed);
        if std::mem::replace(&mut heed.returns, returns) != returns {
            session.hurry(now);
        }
    }

    /// What is held has changed.
    fn tell_of_trials(&self) {
        self.on_trial.notify_one();
        self.slots.iter().for_each(|slot| slot.ordered.notify_one());
    }

    /// Learns exchange time from what has just happened, and how late it arrives. The first of a stream may be hours old, and
    /// the same once more says nothing.
    fn observe(&self, stamps: &mut Stamps, voice: Voice, stream: StreamKey, time: TimeMs) {
        let Some(before) = stamps.newest.insert(stream, time).filter(|before| *before != time) else {
            return;
        };
        self.mono.observe(voice, time);
        if before < time && self.mono.can_be(time) {
            stamps.delay.frame(self.mono.exchange().since(time), self.mono.now());
        }
    }

    fn text(
        &self,
        session: &mut Session,
        stamps: &mut Stamps,
        complaints: &mut Complaints,
        (text, received): (&mut [u8], Option<NonZeroI64>),
        out: &mut Vec<Action>,
    ) {
        let now = self.mono.now();
        // What bears no time is as late as what does.
        match decode::frame(text, self.mono.exchange() - stamps.delay.excess(now)) {
            Ok(frame) => {
                match &frame {
                    decode::Frame::Data(stream, records) => {
                        if let (Some(voice), Some((_, last))) = (stream.spec().voice, records.ends()) {
                            self.observe(stamps, voice, *stream, last);
                        }
                    }
                    decode::Frame::SomeTrades(trades) => {
                        if let Some(last) = trades.rows.last() {
                            let stream = StreamKey::Trades(last.coin);
                            let reason = trades.reason.as_deref().unwrap_or_default();
                            self.unreadables.note(&stream.to_string(), trades.unreadable(), reason);
                            self.observe(stamps, Voice::Trades, stream, last.time);
                        }
                    }
                    decode::Frame::SomeMids { dex, unread, .. } if session.wants(StreamKey::Mids(*dex)) => {
                        self.unreadables.note_coins(&StreamKey::Mids(*dex).to_string(), unread);
                    }
                    decode::Frame::Error(words) => match complaints.due(now) {
                        Some(untold) => warn!(%words, untold, "the exchange refused something"),
                        None => debug!(%words, "the exchange refused something"),
                    },
                    decode::Frame::Unknown { channel } => debug!(%channel, "unknown channel"),
                    _ => {}
                }
                session.frame(now, self.mono.exchange(), (frame, received), out);
            }
            Err(error) => {
                match complaints.due(now) {
                    Some(untold) => warn!(%error, untold, "a frame could not be decoded"),
                    None => debug!(%error, "a frame could not be decoded"),
                }
                self.unreadables.note(&subject(&error), 1, &error.to_string());
                session.undecodable(now, self.mono.exchange(), &error, out);
            }
        }
    }

    fn open(&self, rng: fastrand::Rng) -> BoxFuture<'static, Result<Connection, ConnectionError>> {
        let (net, options, listings) = (self.net.clone(), self.options.clone(), self.listings.clone());
        let open = Connection::open(net, options.endpoint, options.path, self.mono.clone(), rng);
        // Subscribing follows: the lists are read meanwhile.
        Box::pin(async move { tokio::join!(open, listings.fresh()).0 })
    }

    fn lost(&self, slot: &Slot, session: &mut Session, trouble: String, out: &mut Vec<Action>) {
        let first = lock(&slot.view).trouble.is_none();
        if session.view().2 == 0 {
            debug!(endpoint = %self.options.endpoint, %trouble, "socket closed");
        } else if first {
            warn!(endpoint = %self.options.endpoint, %trouble, "socket lost; connecting again until it works");
        } else {
            debug!(%trouble, "socket not open yet");
        }
        let now = self.mono.now();
        session.closed(now, out);
        lock(&self.connects).lost(now, slot.number);
        self.publish(slot, session, &Stamps::default(), Some(trouble));
    }

    fn publish(&self, slot: &Slot, session: &Session, stamps: &Stamps, trouble: Option<String>) {
        let (up, live, wanted) = session.view();
        let mut view = lock(&slot.view);
        let trouble = trouble.or_else(|| view.trouble.take().filter(|_| !up));
        let (delay_ms, counters) = (stamps.delay.now(self.mono.now()), session.counters());
        // The exchange may answer pings and be behind with its pushes: how far they have come is seen from all of them.
        let pushed = stamps.newest.values().max();
        let seen_to = session.seen_to().zip(pushed).map(|(seen, pushed)| seen.min(*pushed));
        *view = SocketView { slot: slot.number, up, live, wanted, trouble, delay_ms, seen_to, counters };
    }

    fn order(&self, stream: StreamKey, lane: Lane, give: impl FnOnce(&mut Orders)) {
        let Some(slot) = lock(&self.plan).slot_of(stream, lane).and_then(|slot| self.slots.get(slot)) else {
            return;
        };
        give(&mut lock(&slot.orders));
        slot.ordered.notify_one();
    }
}

impl DataSource for WsPool {
    fn id(&self) -> SourceId {
        SourceId::Ws
    }

    fn serves(&self, stream: StreamKey) -> bool {
        stream.spec().ws
    }

    fn assign(&self, stream: StreamKey, role: Role) {
        // Owning or not, a lane that has a place is subscribed: what it brings aside waits in its ring.
        let wanted = role != Role::Off;
        for lane in Lane::ALL {
            self.order(stream, lane, |orders| {
                orders.want.insert((stream, lane), wanted);
            });
        }
        let mut acts = Vec::new();
        let mut trials = lock(&self.trials);
        if wanted {
            trials.want(stream);
        } else if trials.hold(stream) != Hold::No {
            trials.forget(stream, &mut acts);
            self.on_trial.notify_one();
        }
        drop(trials);
        self.tell(acts);
        if !wanted {
            lock(&self.plan).free(stream);
        }
    }

    fn renew(&self, stream: StreamKey, run: RunId) {
        self.order(stream, run.lane, |orders| orders.renew.push((stream, run)));
    }

    fn calm(&self, stream: StreamKey, run: RunId) {
        self.order(stream, run.lane, |orders| orders.calm.push((stream, run)));
    }
}

/// Whose frame it was that cannot be read, as far as that can be: the kind of stream and the coin.
fn subject(error: &decode::DecodeError) -> String {
    let kind = match error.what.as_str() {
        "trades" | "bbo" | "candle" => error.what.as_str(),
        "l2Book" => "book",
        "allMids" => "mids",
        "activeAssetCtx" | "activeSpotAssetCtx" => "context",
        _ => return "ws".to_owned(),
    };
    error.coin.map_or_else(|| kind.to_owned(), |coin| format!("{kind}/{coin}"))
}

async fn maybe<T>(future: Option<&mut BoxFuture<'static, T>>) -> T {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

async fn next(link: Option<&mut Connection>) -> Incoming {
    match link {
        Some(connection) => connection.next().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use hl_core::selector::{Selector, Timing};
    use hl_core::{TimeMs, Token};
    use hl_runtime::{MemoryNet, TokioClock};

    use super::*;
    use crate::pipeline::Inbox;

    fn pool() -> WsPool {
        let endpoint = Endpoint { host: "exchange".to_owned(), port: 1, tls: false };
        WsPool::new(
            Arc::new(MemoryNet::new()),
            WsOptions { endpoint, path: "/ws".to_owned() },
            Arc::new(Inbox::new()),
            Arc::new(SharedSelector::new(Selector::new(Token(1), Timing::default()))),
            MonoClock::new(Arc::new(TokioClock::starting_at(TimeMs(1_790_000_000_000)))),
            Seed(1),
        )
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_hears_of_a_coin_that_was_found_guilty_whenever_it_asked() {
        let pool = pool();
        let convict = |name: &str| {
            let mut acts = Vec::new();
            lock(&pool.trials).refused(0, name.parse().unwrap(), "no", &mut acts);
            pool.tell(acts);
        };
        convict("bbo/BTC");
        convict("mids");
        assert_eq!(pool.suspected().await, [Coin::new("BTC").unwrap()].into());
        let (heard, ()) = tokio::join!(pool.suspected(), async { convict("trades/ETH") });
        assert_eq!(heard, [Coin::new("ETH").unwrap()].into());
        assert_eq!(pool.quarantined().len(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_socket_keeps_its_number_when_another_ends() {
        let pool = pool();
        let numbers = || pool.sockets().iter().map(|socket| socket.slot).collect::<Vec<_>>();
        for slot in &pool.slots[..3] {
            lock(&slot.view).wanted = 1;
        }
        assert_eq!(numbers(), [0, 1, 2]);
        lock(&pool.slots[0].view).wanted = 0;
        assert_eq!(numbers(), [1, 2]);
    }
}
