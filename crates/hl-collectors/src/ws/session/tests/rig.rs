//! A session, a shell that obeys it, and an exchange that answers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// How long the rig's court leaves a guilty stream alone.
pub(super) const QUARANTINE_MS: Mono = 30_000;

use hl_core::Coin;
use hl_core::decode::{DecodeError, Fault};
use hl_core::record::{Bbo, Book, Candle, Mid, Side, Trade};
use hl_core::row::Arrival;
use hl_core::stream::BookVariant;

use super::super::*;

pub(super) const STREAMS: [&str; 6] =
    ["trades/BTC", "trades/ETH", "book/BTC", "bbo/BTC", "candle/BTC/1m", "mids"];
/// Exchange time at monotonic 0.
pub(super) const EPOCH: i64 = 1_790_000_000_000;

pub(super) fn key(name: &str) -> StreamKey {
    name.parse().unwrap()
}

pub(super) fn coin(stream: StreamKey) -> Coin {
    let name = stream.owner().dex().name().map_or_else(|| "BTC".to_owned(), |dex| format!("{dex}:BTC"));
    stream.coin().unwrap_or_else(|| Coin::new(&name).unwrap())
}

/// A frame of a stream, as it is decoded.
pub(super) fn data(stream: StreamKey, now: Mono) -> Frame {
    let (coin, time) = (coin(stream), TimeMs(EPOCH + now));
    let zero = hl_core::Decimal::ZERO;
    let records = match stream {
        StreamKey::Trades(_) => {
            let (hash, nobody) = (hl_core::record::HexBytes([0; 32]), hl_core::record::HexBytes([0; 20]));
            let (px, sz, side) = (zero, zero, Side::Buy);
            Records::Trades(vec![Trade {
                coin,
                time,
                tid: 1,
                px,
                sz,
                side,
                hash,
                buyer: nobody,
                seller: nobody,
                arrival: Arrival::default(),
            }])
        }
        StreamKey::Book(_, variant) => Records::Books(vec![Book {
            coin,
            variant,
            time,
            bids: Box::default(),
            asks: Box::default(),
            arrival: Arrival::default(),
        }]),
        StreamKey::Bbo(_) => {
            Records::Bbos(vec![Bbo { coin, time, bid: None, ask: None, arrival: Arrival::default() }])
        }
        StreamKey::Candle(_, interval) => {
            let (open, high, low, close, volume) = (zero, zero, zero, zero, zero);
            Records::Candles(vec![Candle {
                coin,
                interval,
                time,
                open,
                high,
                low,
                close,
                volume,
                trades: 0,
                arrival: Arrival::default(),
            }])
        }
        StreamKey::Mids(_) => Records::Mids(vec![Mid { coin, time, px: zero, arrival: Arrival::default() }]),
        _ => panic!("not used here"),
    };
    Frame::Data(stream, records)
}

pub(super) fn echo(stream: StreamKey) -> serde_json::Value {
    let mut echo = serde_json::to_value(Subscription::for_stream(stream).unwrap()).unwrap();
    // The exchange adds the defaults of what was left out.
    if matches!(stream, StreamKey::Book(_, BookVariant::Default)) {
        echo["nSigFigs"] = serde_json::Value::Null;
        echo["fast"] = false.into();
    }
    echo
}

pub(super) fn ack(stream: StreamKey) -> Frame {
    Frame::Ack { method: Method::Subscribe, subscription: echo(stream) }
}

/// The socket as the shell sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Socket {
    None,
    Opening,
    Open,
}

/// A session, a shell that obeys it, and an exchange that answers. Checks on the way what must hold always.
pub(super) struct Rig {
    pub(super) session: Session,
    pub(super) now: Mono,
    pub(super) socket: Socket,
    /// What the exchange has subscribed on this socket.
    pub(super) subscribed: BTreeSet<StreamKey>,
    /// What the exchange has said and the session has not read.
    pub(super) unread: VecDeque<Frame>,
    pub(super) answers_pings: bool,
    /// The socket died; the session hears of it after what it has already decided.
    pub(super) dead: bool,
    /// Subscribing to this kills the socket.
    pub(super) poison: Option<StreamKey>,
    /// What was suspected so far.
    pub(super) deaths: Vec<Death>,
    /// What a court that is never wrong holds, and until when.
    pub(super) guilty: BTreeMap<StreamKey, Mono>,
    /// The run of each stream that has one.
    pub(super) live: BTreeMap<StreamKey, RunId>,
    pub(super) newest_run: Option<RunId>,
    pub(super) sent: Vec<(Mono, String)>,
    pub(super) offers: Vec<Offer>,
    pub(super) reports: Vec<Event>,
}

impl Rig {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            session: Session::new(3, fastrand::Rng::with_seed(seed)),
            now: 0,
            socket: Socket::None,
            subscribed: BTreeSet::new(),
            unread: VecDeque::new(),
            answers_pings: true,
            dead: false,
            poison: None,
            deaths: Vec::new(),
            guilty: BTreeMap::new(),
            live: BTreeMap::new(),
            newest_run: None,
            sent: Vec::new(),
            offers: Vec::new(),
            reports: Vec::new(),
        }
    }

    /// A session that has these streams, acknowledged.
    pub(super) fn live(streams: &[&str]) -> Self {
        let mut rig = Self::open(streams);
        rig.read_all();
        assert_eq!(rig.live.len(), streams.len());
        rig
    }

    /// A session whose socket is open and that has asked for these streams; nothing is acknowledged yet.
    pub(super) fn open(streams: &[&str]) -> Self {
        let mut rig = Self::new(1);
        for name in streams {
            rig.want(key(name), true);
        }
        rig.work();
        rig.connect();
        rig
    }

    pub(super) fn exchange(&self) -> TimeMs {
        TimeMs(EPOCH + self.now)
    }

    pub(super) fn want(&mut self, stream: StreamKey, wanted: bool) {
        self.session.want(stream, Lane::First, wanted);
        if !wanted {
            self.live.remove(&stream);
        }
    }

    pub(super) fn connect(&mut self) {
        assert_eq!(self.socket, Socket::Opening);
        self.socket = Socket::Open;
        self.subscribed.clear();
        self.unread.clear();
        self.session.connected(self.now);
        self.work();
    }

    pub(super) fn lose(&mut self) {
        self.socket = Socket::None;
        self.subscribed.clear();
        self.unread.clear();
        let mut out = Vec::new();
        self.session.closed(self.now, &mut out);
        self.obey(out);
    }

    pub(super) fn frame(&mut self, frame: Frame) {
        let mut out = Vec::new();
        let received = std::num::NonZeroI64::new(self.exchange().0 * 1_000_000);
        self.session.frame(self.now, self.exchange(), (frame, received), &mut out);
        self.obey(out);
    }

    pub(super) fn data(&mut self, name: &str) {
        self.frame(data(key(name), self.now));
    }

    /// A frame of a coin that cannot be read, or of none that can be told.
    pub(super) fn garbage(&mut self, channel: &str, coin: Option<&str>) {
        self.unreadable(channel, coin, false);
    }

    pub(super) fn unreadable(&mut self, channel: &str, coin: Option<&str>, well_formed: bool) {
        let error = DecodeError {
            what: channel.to_owned(),
            path: None,
            at: 0,
            excerpt: Box::default(),
            fault: Fault::Rule("nonsense"),
            coin: coin.map(|name| Coin::new(name).unwrap()),
            well_formed,
        };
        let mut out = Vec::new();
        self.session.undecodable(self.now, self.exchange(), &error, &mut out);
        self.obey(out);
    }

    pub(super) fn renew(&mut self, stream: StreamKey) {
        if let Some(run) = self.live.remove(&stream) {
            self.session.renew(stream, run);
        }
    }

    pub(super) fn read_all(&mut self) {
        while let Some(frame) = self.unread.pop_front() {
            self.frame(frame);
        }
    }

    /// Ticks until there is nothing left to do now.
    pub(super) fn work(&mut self) {
        for _ in 0..6 {
            let mut out = Vec::new();
            self.guilty.retain(|_, until| self.now < *until);
            let hold = |stream| if self.guilty.contains_key(&stream) { Hold::Quarantine } else { Hold::No };
            self.session.hold(hold, &mut out);
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
    pub(super) fn pass(&mut self, ms: i64) {
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

    pub(super) fn obey(&mut self, actions: Vec<Action>) {
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
                Action::Suspect(death) => {
                    let guilty = self.poison.filter(|stream| death.suspects.contains(stream));
                    self.guilty.extend(guilty.map(|stream| (stream, self.now + QUARANTINE_MS)));
                    self.deaths.push(death);
                }
                Action::Refused { stream, .. } => {
                    self.guilty.insert(stream, self.now + QUARANTINE_MS);
                }
            }
        }
        if std::mem::take(&mut self.dead) {
            self.lose();
        }
    }

    /// The exchange gets a message.
    pub(super) fn receive(&mut self, text: &str) {
        self.sent.push((self.now, text.to_owned()));
        if text == Request::Ping.to_text() {
            if self.answers_pings {
                self.unread.push_back(Frame::Pong);
            }
            return;
        }
        let streams = STREAMS.map(key).into_iter().chain(
            ["mids/xyz", "context/BTC", "book/BTC/fast", "book/BTC/5", "book/BTC/4", "book/BTC/3"].map(key),
        );
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

    pub(super) fn check_offer(&mut self, offer: Offer) {
        let Ticket::Run(run) = offer.ticket else { panic!("a subscription stamps its run: {offer:?}") };
        if matches!(offer.content, Content::Started { .. }) {
            assert!(self.newest_run.is_none_or(|newest| newest < run), "no run is ever used twice");
            self.newest_run = Some(run);
            self.live.insert(offer.stream, run);
        }
        assert_eq!(self.live.get(&offer.stream), Some(&run), "only inside its run: {offer:?}");
        self.offers.push(offer);
    }

    pub(super) fn check_report(&mut self, event: Event) {
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

    pub(super) fn take_reports(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.reports)
    }

    pub(super) fn take_sent(&mut self) -> Vec<String> {
        std::mem::take(&mut self.sent).into_iter().map(|(_, text)| text).collect()
    }

    /// How often it subscribed to a stream since the last look at what was sent.
    pub(super) fn subscribes(&self, name: &str) -> usize {
        let text = Request::subscribe(&Subscription::for_stream(key(name)).unwrap()).to_text();
        self.sent.iter().filter(|(_, sent)| *sent == text).count()
    }

    /// How long it waits before it connects again.
    pub(super) fn pause(&self) -> i64 {
        assert_eq!(self.socket, Socket::None);
        self.session.next_deadline().unwrap() - self.now
    }

    pub(super) fn reconnect(&mut self) {
        self.pass(self.pause());
        self.connect();
    }
}

pub(super) fn down(name: &str, run: Option<RunId>, cause: Cause) -> Event {
    Event::Down { stream: key(name), lane: Lane::First, run, cause }
}
