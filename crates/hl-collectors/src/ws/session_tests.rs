use std::collections::{BTreeMap, BTreeSet, VecDeque};

use hl_core::Coin;
use hl_core::record::{Bbo, Book, Candle, Mid, Side, Trade};
use hl_core::stream::BookVariant;
use proptest::prelude::*;

use super::*;

const STREAMS: [&str; 6] = ["trades/BTC", "trades/ETH", "book/BTC", "bbo/BTC", "candle/BTC/1m", "mids"];
/// Exchange time at monotonic 0.
const EPOCH: i64 = 1_790_000_000_000;

fn key(name: &str) -> StreamKey {
    name.parse().unwrap()
}

fn coin(stream: StreamKey) -> Coin {
    stream.coin().unwrap_or_else(|| Coin::new("BTC").unwrap())
}

/// A frame of a stream, as it is decoded.
fn data(stream: StreamKey, now: Mono) -> Frame {
    let (coin, time) = (coin(stream), TimeMs(EPOCH + now));
    let zero = hl_core::Decimal::ZERO;
    match stream {
        StreamKey::Trades(_) => {
            let (hash, nobody) = (hl_core::record::HexBytes([0; 32]), hl_core::record::HexBytes([0; 20]));
            let (px, sz, side) = (zero, zero, Side::Buy);
            Frame::Trades(vec![Trade {
                coin,
                time,
                tid: 1,
                px,
                sz,
                side,
                hash,
                buyer: nobody,
                seller: nobody,
            }])
        }
        StreamKey::Book(_, variant) => {
            Frame::Book(Book { coin, variant, time, bids: Box::default(), asks: Box::default() })
        }
        StreamKey::Bbo(_) => Frame::Bbo(Bbo { coin, time, bid: None, ask: None }),
        StreamKey::Candle(_, interval) => {
            let (open, high, low, close, volume) = (zero, zero, zero, zero, zero);
            Frame::Candle(Candle { coin, interval, time, open, high, low, close, volume, trades: 0 })
        }
        StreamKey::Mids => Frame::Mids { dex: None, mids: vec![Mid { coin, time, px: zero }] },
        StreamKey::Context(_) | StreamKey::Funding(_) => panic!("not used here"),
    }
}

fn echo(stream: StreamKey) -> serde_json::Value {
    let mut echo = serde_json::to_value(Subscription::for_stream(stream).unwrap()).unwrap();
    // The exchange adds the defaults of what was left out.
    if matches!(stream, StreamKey::Book(_, BookVariant::Default)) {
        echo["nSigFigs"] = serde_json::Value::Null;
        echo["fast"] = false.into();
    }
    echo
}

fn ack(stream: StreamKey) -> Frame {
    Frame::Ack { method: Method::Subscribe, subscription: echo(stream) }
}

/// The socket as the shell sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Socket {
    None,
    Opening,
    Open,
}

/// A session, a shell that obeys it, and an exchange that answers. Checks on the way what must hold always.
struct Rig {
    session: Session,
    now: Mono,
    socket: Socket,
    /// What the exchange has subscribed on this socket.
    subscribed: BTreeSet<StreamKey>,
    /// What the exchange has said and the session has not read.
    unread: VecDeque<Frame>,
    answers_pings: bool,
    /// The socket died; the session hears of it after what it has already decided.
    dead: bool,
    /// Subscribing to this kills the socket.
    poison: Option<StreamKey>,
    /// The run of each stream that has one.
    live: BTreeMap<StreamKey, RunId>,
    newest_run: Option<RunId>,
    sent: Vec<(Mono, String)>,
    offers: Vec<Offer>,
    reports: Vec<Event>,
}

impl Rig {
    fn new(seed: u64) -> Self {
        Self {
            session: Session::new(3, fastrand::Rng::with_seed(seed)),
            now: 0,
            socket: Socket::None,
            subscribed: BTreeSet::new(),
            unread: VecDeque::new(),
            answers_pings: true,
            dead: false,
            poison: None,
            live: BTreeMap::new(),
            newest_run: None,
            sent: Vec::new(),
            offers: Vec::new(),
            reports: Vec::new(),
        }
    }

    /// A session that has these streams, acknowledged.
    fn live(streams: &[&str]) -> Self {
        let mut rig = Self::open(streams);
        rig.read_all();
        assert_eq!(rig.live.len(), streams.len());
        rig
    }

    /// A session whose socket is open and that has asked for these streams; nothing is acknowledged yet.
    fn open(streams: &[&str]) -> Self {
        let mut rig = Self::new(1);
        for name in streams {
            rig.want(key(name), true);
        }
        rig.work();
        rig.connect();
        rig
    }

    fn exchange(&self) -> TimeMs {
        TimeMs(EPOCH + self.now)
    }

    fn want(&mut self, stream: StreamKey, wanted: bool) {
        self.session.want(self.now, stream, Lane::First, wanted);
        if !wanted {
            self.live.remove(&stream);
        }
    }

    fn connect(&mut self) {
        assert_eq!(self.socket, Socket::Opening);
        self.socket = Socket::Open;
        self.subscribed.clear();
        self.unread.clear();
        self.session.connected(self.now);
        self.work();
    }

    fn lose(&mut self) {
        self.socket = Socket::None;
        self.subscribed.clear();
        self.unread.clear();
        let mut out = Vec::new();
        self.session.closed(self.now, &mut out);
        self.obey(out);
    }

    fn frame(&mut self, frame: Frame) {
        let mut out = Vec::new();
        self.session.frame(self.now, self.exchange(), frame, &mut out);
        self.obey(out);
    }

    fn data(&mut self, name: &str) {
        self.frame(data(key(name), self.now));
    }

    fn garbage(&mut self, channel: &str) {
        let mut out = Vec::new();
        self.session.undecodable(self.now, self.exchange(), channel, &mut out);
        self.obey(out);
    }

    fn renew(&mut self, stream: StreamKey) {
        if let Some(run) = self.live.remove(&stream) {
            self.session.renew(self.now, stream, run);
        }
    }

    fn read_all(&mut self) {
        while let Some(frame) = self.unread.pop_front() {
            self.frame(frame);
        }
    }

    /// Ticks until there is nothing left to do now.
    fn work(&mut self) {
        for _ in 0..6 {
            let mut out = Vec::new();
            self.session.tick(self.now, self.exchange(), &mut out);
            self.obey(out);
            let idle_socket = self.socket == Socket::Open && self.session.view().2 == 0;
            if idle_socket || self.session.next_deadline().is_none_or(|at| at > self.now) {
                return;
            }
        }
        panic!("work is left at {} that no tick does: {:?}", self.now, self.session.next_deadline());
    }

    /// Lets time pass, waking only at deadlines.
    fn pass(&mut self, ms: i64) {
        let end = self.now + ms;
        while let Some(at) = self.session.next_deadline().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.work();
            if self.session.next_deadline().is_some_and(|at| at <= self.now) {
                break;
            }
        }
        self.now = end;
        self.work();
    }

    fn obey(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Connect => {
                    assert_eq!(self.socket, Socket::None, "one socket at most");
                    self.socket = Socket::Opening;
                }
                Action::Close(_) => {
                    assert_ne!(self.socket, Socket::None, "nothing to close");
                    self.dead = true;
                }
                Action::Send(text) => {
                    assert_eq!(self.socket, Socket::Open, "{text}");
                    // A socket that dies in the middle of the list takes the rest of what was to be sent along.
                    if !self.dead {
                        self.receive(&text);
                    }
                }
                Action::Offer(offer) => self.check_offer(offer),
                Action::Report(event) => self.check_report(event),
            }
        }
        if std::mem::take(&mut self.dead) {
            self.lose();
        }
    }

    /// The exchange gets a message.
    fn receive(&mut self, text: &str) {
        self.sent.push((self.now, text.to_owned()));
        if text == Request::Ping.to_text() {
            if self.answers_pings {
                self.unread.push_back(Frame::Pong);
            }
            return;
        }
        let streams = STREAMS.map(key).into_iter().chain([key("context/BTC"), key("book/BTC/fast")]);
        for stream in streams.chain((0..200).map(|i| key(&format!("bbo/C{i}")))) {
            let subscription = Subscription::for_stream(stream).unwrap();
            if text == Request::subscribe(&subscription).to_text() {
                if self.poison == Some(stream) {
                    self.dead = true;
                } else if self.subscribed.insert(stream) {
                    self.unread.push_back(ack(stream));
                } else {
                    self.unread.push_back(Frame::Error(format!("Already subscribed: {}", echo(stream))));
                }
                return;
            }
            if text == Request::unsubscribe(&subscription).to_text() {
                let frame = if self.subscribed.remove(&stream) {
                    Frame::Ack { method: Method::Unsubscribe, subscription: echo(stream) }
                } else {
                    Frame::Error(format!("Already unsubscribed: {}", echo(stream)))
                };
                self.unread.push_back(frame);
                return;
            }
        }
        panic!("what is this? {text}");
    }

    fn check_offer(&mut self, offer: Offer) {
        let Ticket::Run(run) = offer.ticket else { panic!("a subscription stamps its run: {offer:?}") };
        if matches!(offer.content, Content::Started { .. }) {
            assert!(self.newest_run.is_none_or(|newest| newest < run), "no run is ever used twice");
            self.newest_run = Some(run);
            self.live.insert(offer.stream, run);
        }
        assert_eq!(self.live.get(&offer.stream), Some(&run), "only inside its run: {offer:?}");
        self.offers.push(offer);
    }

    fn check_report(&mut self, event: Event) {
        match event {
            Event::Up { stream, run } | Event::Silent { stream, run } => {
                assert_eq!(self.live.get(&stream), Some(&run), "{event:?}");
            }
            Event::Down { stream, run, .. } => {
                assert_eq!(self.live.remove(&stream), run, "{event:?}");
            }
            other => panic!("not a session's business: {other:?}"),
        }
        self.reports.push(event);
    }

    fn take_reports(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.reports)
    }

    fn take_sent(&mut self) -> Vec<String> {
        std::mem::take(&mut self.sent).into_iter().map(|(_, text)| text).collect()
    }

    /// How often it subscribed to a stream since the last look at what was sent.
    fn subscribes(&self, name: &str) -> usize {
        let text = Request::subscribe(&Subscription::for_stream(key(name)).unwrap()).to_text();
        self.sent.iter().filter(|(_, sent)| *sent == text).count()
    }

    /// How long it waits before it connects again.
    fn pause(&self) -> i64 {
        assert_eq!(self.socket, Socket::None);
        self.session.next_deadline().unwrap() - self.now
    }

    fn reconnect(&mut self) {
        self.pass(self.pause());
        self.connect();
    }
}

fn down(name: &str, run: Option<RunId>, cause: Cause) -> Event {
    Event::Down { stream: key(name), lane: Lane::First, run, cause }
}

#[test]
fn an_acknowledgement_with_added_defaults_starts_a_run_and_its_first_data_proves_it() {
    let mut rig = Rig::open(&["book/BTC"]);
    assert_eq!(rig.session.view(), (true, 0, 1));
    rig.read_all();
    let run = rig.live[&key("book/BTC")];
    assert_eq!(rig.offers.last().unwrap().content, Content::Started { at: TimeMs(EPOCH) });
    assert!(rig.take_reports().is_empty(), "an acknowledgement is no data");
    rig.data("book/BTC");
    rig.data("book/BTC");
    assert_eq!(rig.take_reports(), [Event::Up { stream: key("book/BTC"), run }], "once");
    assert_eq!(rig.session.view(), (true, 1, 1));
}

#[test]
fn already_subscribed_is_an_acknowledgement() {
    let mut rig = Rig::open(&["book/BTC"]);
    rig.unread.clear();
    rig.frame(Frame::Error(format!("Already subscribed: {}", echo(key("book/BTC")))));
    assert!(rig.live.contains_key(&key("book/BTC")));
}

#[test]
fn an_acknowledgement_of_another_book_is_not_ours() {
    let mut rig = Rig::open(&["book/BTC"]);
    rig.unread.clear();
    rig.frame(ack(key("book/BTC/fast")));
    assert!(rig.live.is_empty());
    assert_eq!(rig.session.counters().unrouted, 1);
}

#[test]
fn data_before_the_acknowledgement_belongs_to_nobody() {
    let mut rig = Rig::open(&["trades/BTC"]);
    rig.data("trades/BTC");
    rig.data("trades/ETH");
    assert!(rig.offers.is_empty());
    assert_eq!(rig.session.counters().unrouted, 2);
}

#[test]
fn a_lost_socket_ends_every_run_and_its_successor_has_the_same_set() {
    let mut rig = Rig::live(&STREAMS);
    let before: BTreeSet<_> = rig.take_sent().into_iter().collect();
    let runs = rig.live.clone();
    rig.lose();
    let mut lost = rig.take_reports();
    lost.sort_by_key(|event| format!("{event:?}"));
    let mut expected: Vec<_> = STREAMS.map(|name| down(name, Some(runs[&key(name)]), Cause::Outage)).into();
    expected.sort_by_key(|event| format!("{event:?}"));
    assert_eq!(lost, expected);
    rig.reconnect();
    assert_eq!(rig.take_sent().into_iter().collect::<BTreeSet<_>>(), before);
    rig.read_all();
    assert!(rig.live.iter().all(|(stream, run)| *run > runs[stream]), "new runs");
    rig.work();
    assert!(rig.take_sent().is_empty(), "nothing twice");
}

#[test]
fn many_subscriptions_are_paced() {
    let mut rig = Rig::new(1);
    for i in 0..150 {
        rig.want(key(&format!("bbo/C{i}")), true);
    }
    rig.work();
    rig.connect();
    let at_once = rig.sent.len();
    assert!(at_once <= SENDS_AT_ONCE as usize, "{at_once}");
    // None of them ever brings data, so all of them are made anew again and again.
    for _ in 0..60 {
        rig.pass(1_000);
        rig.read_all();
    }
    assert_eq!(rig.subscribed.len(), 150);
    assert!(rig.session.counters().renewed >= 150);
    let earned = |ms: i64| SENDS_AT_ONCE as usize + usize::try_from(ms / SEND_EVERY_MS).unwrap();
    for (i, (from, _)) in rig.sent.iter().enumerate() {
        for (j, (to, _)) in rig.sent.iter().enumerate().skip(i) {
            assert!(j - i < earned(to - from) + 4, "{} messages in {} ms", j - i + 1, to - from);
        }
    }
}

#[test]
fn pauses_double_with_jitter_and_only_health_starts_them_anew() {
    let mut rig = Rig::new(5);
    rig.want(key("bbo/BTC"), true);
    rig.work();
    for longest in [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000] {
        rig.lose();
        assert!((longest / 2..=longest).contains(&rig.pause()), "{} of {longest}", rig.pause());
        rig.pass(rig.pause());
    }
    // Long-lived without data, then data without a long life: neither is health.
    rig.connect();
    rig.read_all();
    rig.lose();
    assert!(rig.pause() >= 15_000);
    rig.reconnect();
    rig.read_all();
    rig.data("bbo/BTC");
    rig.pass(HEALTHY_MS / 2);
    rig.lose();
    assert!(rig.pause() >= 15_000);
    rig.reconnect();
    rig.read_all();
    for _ in 0..35 {
        rig.pass(1_000);
        rig.read_all();
        rig.data("bbo/BTC");
    }
    rig.lose();
    assert!(rig.pause() <= 1_000, "{}", rig.pause());
}

#[test]
fn two_sockets_that_died_together_do_not_come_back_together() {
    let pauses: BTreeSet<_> = (0..20)
        .map(|seed| {
            let mut rig = Rig::new(seed);
            rig.want(key("mids"), true);
            rig.work();
            rig.lose();
            rig.pause()
        })
        .collect();
    assert!(pauses.len() > 10, "{pauses:?}");
}

#[test]
fn an_attempt_to_connect_has_a_limit() {
    let mut rig = Rig::new(1);
    rig.want(key("mids"), true);
    rig.work();
    assert_eq!(rig.session.next_deadline(), Some(CONNECT_LIMIT_MS));
    rig.pass(CONNECT_LIMIT_MS);
    assert_eq!((rig.socket, rig.session.counters().losses), (Socket::None, 1));
}

#[test]
fn no_pong_closes_and_a_pong_proves_bars_only() {
    let mut rig = Rig::live(&["candle/BTC/1m", "bbo/BTC"]);
    rig.pass(PING_WITH_BARS_MS);
    let sent = TimeMs(EPOCH + PING_WITH_BARS_MS);
    rig.pass(100);
    rig.offers.clear();
    rig.read_all();
    let offers: Vec<_> = rig.offers.iter().map(|o| (o.stream, o.content.clone())).collect();
    assert_eq!(offers, [(key("candle/BTC/1m"), Content::Proof { sent })], "stamped when the ping was sent");

    rig.answers_pings = false;
    rig.pass(PING_WITH_BARS_MS + PONG_LIMIT_MS);
    assert_eq!((rig.socket, rig.session.counters().half_open), (Socket::None, 1));
}

#[test]
fn after_standing_still_frames_without_a_time_wait_for_the_answer_to_a_new_ping() {
    let mut rig = Rig::live(&["trades/BTC", "mids"]);
    for name in ["trades/BTC", "mids"] {
        rig.data(name);
    }
    while rig.unread.is_empty() {
        rig.pass(1_000);
        rig.data("mids");
    }
    let old_pong = rig.unread.pop_front().unwrap();
    rig.now += 4_000;
    rig.session.stood_still(rig.now);
    let brings = |rig: &mut Rig| {
        rig.offers.clear();
        rig.data("mids");
        rig.data("trades/BTC");
        rig.offers.iter().map(|offer| offer.stream).collect::<Vec<_>>()
    };
    assert_eq!(brings(&mut rig), [key("trades/BTC")], "a trade says when it was");
    rig.frame(old_pong);
    assert_eq!(brings(&mut rig), [key("trades/BTC")], "that ping was sent before");
    rig.work();
    assert_eq!(brings(&mut rig), [key("trades/BTC")], "the answer is on its way");
    rig.read_all();
    assert_eq!(brings(&mut rig), [key("mids"), key("trades/BTC")]);
    assert_eq!(rig.session.counters().stale, 3);
}

#[test]
fn a_pong_that_nobody_asked_for_proves_nothing() {
    let mut rig = Rig::live(&["candle/BTC/1m"]);
    rig.offers.clear();
    rig.frame(Frame::Pong);
    assert!(rig.offers.is_empty());
}

#[test]
fn a_subscription_that_kills_the_socket_twice_alone_is_quarantined() {
    let mut rig = Rig::new(1);
    rig.poison = Some(key("bbo/BTC"));
    rig.want(key("bbo/BTC"), true);
    rig.work();
    rig.connect();
    assert_eq!(rig.take_reports(), [down("bbo/BTC", None, Cause::Outage)], "once may be chance");
    rig.reconnect();
    assert_eq!(rig.take_reports(), [down("bbo/BTC", None, Cause::Refused)]);
    assert_eq!(rig.session.counters().quarantined, 1);

    // The others live on without it.
    rig.want(key("mids"), true);
    rig.reconnect();
    rig.read_all();
    rig.take_sent();
    for _ in 0..(QUARANTINE_MS / 2_000) - 60 {
        rig.data("mids");
        rig.pass(2_000);
        rig.read_all();
    }
    assert_eq!(rig.subscribes("bbo/BTC"), 0);
    assert!(rig.live.contains_key(&key("mids")));

    rig.poison = None;
    for _ in 0..120 {
        rig.data("mids");
        rig.pass(2_000);
        rig.read_all();
    }
    assert!(rig.live.contains_key(&key("bbo/BTC")), "in the end it gets another chance");
}

#[test]
fn of_several_suspects_each_is_tried_alone() {
    let mut rig = Rig::new(1);
    rig.poison = Some(key("bbo/BTC"));
    for name in STREAMS {
        rig.want(key(name), true);
    }
    rig.work();
    rig.connect();
    // Some of them were sent before it died; all of those are suspects now.
    for _ in 0..40 {
        if rig.socket == Socket::None {
            rig.pass(rig.pause());
            rig.connect();
        }
        let on_the_way = rig.unread.len();
        rig.read_all();
        rig.pass(200);
        assert!(on_the_way <= STREAMS.len());
    }
    assert_eq!(rig.session.counters().quarantined, 1);
    let live: BTreeSet<_> = rig.live.keys().copied().collect();
    let innocent: BTreeSet<_> = STREAMS.map(key).into_iter().filter(|s| *s != key("bbo/BTC")).collect();
    assert_eq!(live, innocent, "only the guilty one is left out");
    assert!(rig.session.counters().losses <= 4, "{:?}", rig.session.counters());
    let refused: Vec<_> =
        rig.reports.iter().filter(|e| matches!(e, Event::Down { cause: Cause::Refused, .. })).collect();
    assert_eq!(refused, [&down("bbo/BTC", None, Cause::Refused)]);
}

#[test]
fn a_close_long_after_a_subscribe_is_not_blamed_on_it() {
    let mut rig = Rig::open(&["bbo/BTC"]);
    rig.unread.clear();
    for _ in 0..4 {
        rig.pass(BLAME_MS + 1);
        rig.lose();
        rig.reconnect();
        rig.unread.clear();
    }
    assert_eq!(rig.session.counters().quarantined, 0);
}

#[test]
fn a_refusal_that_quotes_a_subscription_is_about_that_one_alone() {
    let mut rig = Rig::open(&["bbo/BTC", "mids"]);
    rig.frame(Frame::Error(format!("Invalid subscription: {}", echo(key("bbo/BTC")))));
    assert_eq!(rig.take_reports(), [down("bbo/BTC", None, Cause::Refused)]);
    rig.unread.retain(|frame| *frame != ack(key("bbo/BTC")));
    rig.read_all();
    assert_eq!(rig.live.keys().collect::<Vec<_>>(), [&key("mids")]);
}

#[test]
fn a_stream_that_the_exchange_forgot_is_made_anew_without_blame() {
    let mut rig = Rig::live(&["trades/BTC"]);
    rig.subscribed.clear();
    rig.renew(key("trades/BTC"));
    rig.work();
    rig.read_all();
    assert_eq!(rig.session.counters().quarantined, 0, "\"Already unsubscribed\" refuses nothing");
    assert!(rig.live.contains_key(&key("trades/BTC")));
}

#[test]
fn over_the_limit_waits_and_tries_again() {
    let mut rig = Rig::open(&["bbo/BTC", "mids"]);
    rig.unread.clear();
    rig.subscribed.clear();
    rig.take_sent();
    rig.frame(Frame::Error("Cannot subscribe to more than 1000 channels.".into()));
    let mut reports = rig.take_reports();
    reports.sort_by_key(|event| format!("{event:?}"));
    assert_eq!(
        reports,
        [down("bbo/BTC", None, Cause::OverCapacity), down("mids", None, Cause::OverCapacity)]
    );
    rig.pass(OVER_LIMIT_PAUSE_MS - 1);
    assert_eq!(rig.subscribes("mids"), 0);
    rig.pass(1);
    assert_eq!((rig.subscribes("mids"), rig.subscribes("bbo/BTC")), (1, 1));
    assert_eq!(rig.session.counters().quarantined, 0);
}

#[test]
fn a_lost_acknowledgement_is_asked_for_again() {
    let mut rig = Rig::open(&["bbo/BTC"]);
    rig.unread.clear();
    rig.pass(ACK_LIMIT_MS);
    assert_eq!(rig.subscribes("bbo/BTC"), 2);
    rig.read_all();
    assert!(rig.live.contains_key(&key("bbo/BTC")), "the exchange says that it has it already");
}

#[test]
fn garbage_ends_runs_of_trades_and_breaks_the_others() {
    let mut rig = Rig::live(&["trades/BTC", "bbo/BTC", "mids"]);
    let (trades, bbo, mids) =
        (rig.live[&key("trades/BTC")], rig.live[&key("bbo/BTC")], rig.live[&key("mids")]);
    rig.offers.clear();
    rig.take_sent();

    rig.garbage("bbo");
    assert!(rig.take_reports().is_empty());
    assert_eq!(
        rig.offers,
        [Offer {
            stream: key("bbo/BTC"),
            ticket: Ticket::Run(bbo),
            content: Content::Broken { at: rig.exchange() }
        }]
    );

    // Whose frame it was is not known: everybody's.
    rig.offers.clear();
    rig.garbage("?");
    assert_eq!(rig.take_reports(), [down("trades/BTC", Some(trades), Cause::Undecodable)]);
    let broken: BTreeMap<_, _> = rig.offers.iter().map(|o| (o.stream, o.ticket)).collect();
    let expected = [(key("bbo/BTC"), Ticket::Run(bbo)), (key("mids"), Ticket::Run(mids))];
    assert_eq!(broken, BTreeMap::from(expected));
    assert!(rig.offers.iter().all(|o| matches!(o.content, Content::Broken { .. })));

    rig.data("trades/BTC");
    rig.work();
    let sent = rig.take_sent();
    assert!(sent[0].contains("unsubscribe") && sent[1].contains("\"subscribe\""), "{sent:?}");
    rig.read_all();
    assert!(rig.live[&key("trades/BTC")] > trades);
    assert_eq!(rig.session.counters().undecodable, 2);
    assert_eq!(rig.session.counters().unrouted, 1, "between the runs its data belongs to nobody");
}

#[test]
fn renewing_makes_a_new_run_and_an_old_wish_does_nothing() {
    let mut rig = Rig::live(&["trades/BTC"]);
    let stream = key("trades/BTC");
    let old = rig.live[&stream];
    rig.renew(stream);
    rig.work();
    rig.read_all();
    let new = rig.live[&stream];
    assert!(new > old);
    rig.session.renew(rig.now, stream, old);
    rig.take_sent();
    rig.work();
    assert!(rig.take_sent().is_empty());
    assert_eq!(rig.session.counters().renewed, 1);
}

#[test]
fn a_subscription_that_brings_nothing_is_made_anew_and_ever_more_patiently() {
    let mut rig = Rig::live(&["trades/BTC"]);
    let mut limit = FIRST_DATA_LIMIT_MS;
    for _ in 0..4 {
        let run = rig.live[&key("trades/BTC")];
        let end = rig.now + limit;
        while rig.now < end - 1 {
            rig.pass(1_000.min(end - 1 - rig.now));
            rig.read_all();
        }
        assert!(rig.take_reports().is_empty(), "not before {limit} ms");
        rig.pass(1);
        assert_eq!(rig.take_reports(), [down("trades/BTC", Some(run), Cause::Silence)]);
        rig.read_all();
        limit *= 2;
    }
    assert_eq!(rig.session.counters().renewed, 4);
}

#[test]
fn silence_is_reported_once_a_limit_and_calm_makes_it_longer() {
    let mut rig = Rig::live(&["trades/BTC"]);
    let stream = key("trades/BTC");
    rig.data("trades/BTC");
    rig.take_reports();
    let run = rig.live[&stream];
    let limit = stream.spec().first_silence_ms;
    let silent = Event::Silent { stream, run };
    rig.pass(limit - 1);
    assert!(rig.take_reports().is_empty());
    rig.pass(1);
    assert_eq!(rig.take_reports(), [silent]);
    rig.pass(limit - 1);
    rig.read_all();
    assert!(rig.take_reports().is_empty(), "asked once, not at every tick");
    rig.session.calm(stream, run);
    rig.pass(limit);
    rig.read_all();
    assert!(rig.take_reports().is_empty(), "calm doubled the limit");
    rig.pass(1);
    assert_eq!(rig.take_reports(), [silent]);
    // An answer about an earlier run says nothing about this one.
    rig.session.calm(stream, RunId::first(run.number - 1));
    rig.pass(2 * limit);
    assert_eq!(rig.take_reports(), [silent]);
}

#[test]
fn a_socket_without_its_heartbeat_is_closed() {
    let mut rig = Rig::live(&["mids", "trades/BTC"]);
    rig.data("mids");
    let limit = key("mids").spec().first_silence_ms;
    while rig.socket == Socket::Open && rig.now < 10 * limit {
        rig.pass(500);
        rig.read_all();
    }
    assert_eq!((rig.socket, rig.session.counters().stalled), (Socket::None, 1), "pongs are no life");
}

#[test]
fn what_is_no_longer_wanted_is_unsubscribed_and_the_last_one_closes_the_socket() {
    let mut rig = Rig::live(&["trades/BTC", "bbo/BTC"]);
    rig.take_sent();
    rig.want(key("trades/BTC"), false);
    rig.work();
    assert_eq!(rig.take_sent().len(), 1);
    assert_eq!(rig.subscribed, BTreeSet::from([key("bbo/BTC")]));
    rig.want(key("bbo/BTC"), false);
    rig.pass(PING_MS);
    assert_eq!(rig.socket, Socket::None);
    assert_eq!(rig.session.next_deadline(), None, "and nothing is left to do");
}

#[derive(Clone, Debug)]
enum Op {
    Want(usize, bool),
    Pass(i64),
    Connect,
    Lose,
    Read,
    LoseAnswer,
    Data(usize),
    Garbage(&'static str),
    Renew(usize),
    Forget(usize),
    Words(&'static str),
    Refuse(usize),
    Poison(Option<usize>),
    Pings(bool),
}

fn op() -> impl Strategy<Value = Op> {
    let which = 0..STREAMS.len();
    prop_oneof![
        4 => (which.clone(), prop::bool::weighted(0.7)).prop_map(|(i, wanted)| Op::Want(i, wanted)),
        8 => Just(Op::Pass(0)),
        6 => (0_i64..6_000).prop_map(Op::Pass),
        1 => (0_i64..700_000).prop_map(Op::Pass),
        4 => Just(Op::Connect),
        1 => Just(Op::Lose),
        8 => Just(Op::Read),
        1 => Just(Op::LoseAnswer),
        8 => which.clone().prop_map(Op::Data),
        1 => prop::sample::select(vec!["trades", "bbo", "l2Book", "candle", "?"]).prop_map(Op::Garbage),
        1 => which.clone().prop_map(Op::Renew),
        1 => which.clone().prop_map(Op::Forget),
        1 => prop::sample::select(vec![
            "Cannot subscribe to more than 1000 channels.",
            "Cannot send more than 2000 messages per minute.",
            "Already subscribed: {",
            "Already subscribed: {}",
            "Invalid subscription: null",
            "",
        ])
        .prop_map(Op::Words),
        1 => which.clone().prop_map(Op::Refuse),
        1 => prop::option::of(which).prop_map(Op::Poison),
        1 => prop::bool::weighted(0.7).prop_map(Op::Pings),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Whatever happens: one socket at most, frames only inside their run, no run twice, no work left undone at a
    /// deadline (all checked by the rig), never more on the exchange's side than was asked for; and once the exchange
    /// behaves, exactly the wanted set is subscribed.
    #[test]
    fn ends_with_exactly_the_wanted_set(seed: u64, ops in prop::collection::vec(op(), 0..80)) {
        let mut rig = Rig::new(seed);
        let mut wanted = BTreeSet::new();
        for op in ops {
            match op {
                Op::Want(i, yes) => {
                    let stream = key(STREAMS[i]);
                    if yes { wanted.insert(stream) } else { wanted.remove(&stream) };
                    rig.want(stream, yes);
                }
                Op::Pass(ms) => rig.pass(ms),
                Op::Connect => if rig.socket == Socket::Opening { rig.connect() },
                Op::Lose => if rig.socket != Socket::None { rig.lose() },
                Op::Read => rig.read_all(),
                Op::LoseAnswer => drop(rig.unread.pop_front()),
                Op::Data(i) => if rig.socket == Socket::Open { rig.data(STREAMS[i]) },
                Op::Garbage(channel) => if rig.socket == Socket::Open { rig.garbage(channel) },
                Op::Renew(i) => rig.renew(key(STREAMS[i])),
                Op::Forget(i) => drop(rig.subscribed.remove(&key(STREAMS[i]))),
                Op::Words(words) => if rig.socket == Socket::Open { rig.frame(Frame::Error(words.into())) },
                Op::Refuse(i) => if rig.socket == Socket::Open {
                    // In place of the acknowledgement.
                    let stream = key(STREAMS[i]);
                    if let Some(at) = rig.unread.iter().position(|frame| *frame == ack(stream)) {
                        rig.subscribed.remove(&stream);
                        rig.unread[at] = Frame::Error(format!("Invalid subscription: {}", echo(stream)));
                    }
                },
                Op::Poison(i) => rig.poison = i.map(|i| key(STREAMS[i])),
                Op::Pings(answered) => rig.answers_pings = answered,
            }
        }
        (rig.poison, rig.answers_pings) = (None, true);
        let end = rig.now + 2 * QUARANTINE_MS;
        while rig.now < end {
            rig.pass(1_000);
            if rig.socket == Socket::Opening {
                rig.connect();
            }
            rig.read_all();
            for stream in rig.subscribed.clone() {
                rig.frame(data(stream, rig.now));
            }
            // What the selector does once a witness has seen what a silent stream missed.
            for event in rig.take_reports() {
                if let Event::Silent { stream, .. } = event {
                    rig.renew(stream);
                }
            }
        }
        prop_assert_eq!(&rig.subscribed, &wanted);
        prop_assert_eq!(rig.live.keys().copied().collect::<BTreeSet<_>>(), wanted);
    }
}

#[test]
fn a_second_subscription_runs_and_ends_on_its_own_lane() {
    let mut rig = Rig::new(1);
    let trades = key("trades/BTC");
    rig.session.want(rig.now, trades, Lane::Second, true);
    rig.work();
    rig.connect();
    rig.read_all();
    rig.data("trades/BTC");
    let run = rig.live[&trades];
    assert_eq!((run.lane, rig.take_reports()), (Lane::Second, vec![Event::Up { stream: trades, run }]));
    rig.session.want(rig.now, trades, Lane::First, false);
    assert_eq!(rig.session.view(), (true, 1, 1), "the other lane is not ours");
    rig.lose();
    let down = Event::Down { stream: trades, lane: Lane::Second, run: Some(run), cause: Cause::Outage };
    assert_eq!(rig.take_reports(), [down]);
}

#[test]
fn wanting_the_other_lane_subscribes_anew() {
    let mut rig = Rig::live(&["trades/BTC"]);
    let trades = key("trades/BTC");
    rig.session.want(rig.now, trades, Lane::Second, true);
    rig.live.remove(&trades);
    rig.work();
    rig.read_all();
    assert_eq!(rig.live[&trades].lane, Lane::Second);
    assert_eq!(rig.sent.iter().filter(|(_, text)| text.contains("unsubscribe")).count(), 1);
}
