//! The subscription session of a socket, driven by a shell that obeys it and an exchange that says anything.
//!
//! Promised: no panic; one socket at most; nothing is sent, and nothing closed, without one; runs only grow; what is
//! offered, reported and suspected belongs to a wanted stream, and what is offered to its live run; messages stay below the exchange's limit; and a
//! deadline is always answered by work or by a later one.

use std::collections::{BTreeMap, VecDeque};

use arbitrary::{Result, Unstructured};
use hl_collectors::ws::session::{Action, Hold, Session};
use hl_core::decode::{self, DecodeError, Fault, Frame, Unread};
use hl_core::message::{Method, Subscription};
use hl_core::selector::Event;
use hl_core::source::{Content, Offer, Ticket};
use hl_core::{Coin, Lane, Records, RunId, StreamKey, TimeMs};

use crate::{Target, market, records};

pub(crate) const TARGET: Target = Target {
    name: "session",
    about: "the subscription session of a socket: hl_collectors::ws::session",
    seeds: Vec::new,
    run: |input| crate::script(input, play),
    short: 6_000,
};

const STREAMS: [&str; 11] = [
    "trades/BTC",
    "trades/ETH",
    "book/BTC",
    "book/BTC/fast",
    "bbo/BTC",
    "candle/BTC/1m",
    "candle/BTC/5m",
    "mids",
    "mids/xyz",
    "context/BTC",
    "funding/BTC",
];
/// Exchange time at monotonic 0.
const EPOCH: i64 = 1_790_000_000_000;
/// Messages to the exchange in a minute: it takes 2,000 from ten sockets, and these are one socket's worst minute.
const MESSAGES_A_MINUTE: usize = 100 + 60_000 / 40 + 13;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Socket {
    None,
    Opening,
    Open,
}

struct World {
    session: Session,
    now: i64,
    socket: Socket,
    /// The lane of each wanted stream: a session never has both.
    wanted: BTreeMap<StreamKey, Lane>,
    live: BTreeMap<StreamKey, RunId>,
    /// The greatest number of a run so far.
    newest: Option<u64>,
    /// When each message of the last minute was sent.
    sent: VecDeque<i64>,
}

fn play(u: &mut Unstructured<'_>) -> Result<()> {
    let mut world = World {
        session: Session::new(u.int_in_range(0..=9)?, fastrand::Rng::with_seed(u.arbitrary()?)),
        now: 0,
        socket: Socket::None,
        wanted: BTreeMap::new(),
        live: BTreeMap::new(),
        newest: None,
        sent: VecDeque::new(),
    };
    for _ in 0..u.int_in_range(0..=6)? {
        world.want(stream(u)?, lane(u)?, true);
    }
    while !u.is_empty() {
        world.act(u)?;
    }
    Ok(())
}

fn stream(u: &mut Unstructured<'_>) -> Result<StreamKey> {
    Ok(u.choose(&STREAMS)?.parse().expect("a stream"))
}

fn lane(u: &mut Unstructured<'_>) -> Result<Lane> {
    Ok(if u.ratio(1, 4)? { Lane::Second } else { Lane::First })
}

impl World {
    fn exchange(&self) -> TimeMs {
        TimeMs(EPOCH) + self.now
    }

    fn act(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        match u.int_in_range(0..=17)? {
            0 => {
                let wanted = u.ratio(3, 4)?;
                self.want(stream(u)?, lane(u)?, wanted);
            }
            1 => {
                let stream = stream(u)?;
                let run = self.some_run(u, stream)?;
                if self.live.get(&stream) == Some(&run) {
                    self.live.remove(&stream);
                }
                self.session.renew(stream, run);
            }
            2 => {
                let stream = stream(u)?;
                let run = self.some_run(u, stream)?;
                self.session.calm(stream, run);
            }
            3 if self.socket != Socket::None => self.lose(),
            4 => {
                let channel = *u.choose(&["trades", "l2Book", "candle", "allMids", "bbo", "", "nonsense"])?;
                let coin = u.arbitrary::<bool>()?.then(|| stream(u)).transpose()?.and_then(StreamKey::coin);
                let mut out = Vec::new();
                let error = DecodeError {
                    what: channel.to_owned(),
                    path: None,
                    at: 0,
                    excerpt: Box::default(),
                    fault: Fault::Rule("of no use"),
                    coin,
                    well_formed: true,
                };
                self.session.undecodable(self.now, self.exchange(), &error, &mut out);
                self.obey(out);
            }
            5 => self.now += i64::from(u.arbitrary::<u16>()?) * 20,
            6 => self.now += i64::from(u.arbitrary::<u8>()?),
            7 | 8 => {
                if let Some(at) = self.session.next_deadline() {
                    self.now = self.now.max(at);
                }
            }
            16 => {
                let held: u32 = u.arbitrary()?;
                let holds = [Hold::No, Hold::No, Hold::Trial, Hold::Quarantine];
                let hold = |stream: StreamKey| {
                    let nth = STREAMS.iter().position(|name| stream.to_string() == *name).unwrap_or(0);
                    holds[(held >> (2 * nth)) as usize & 3]
                };
                let mut out = Vec::new();
                self.session.hold(hold, &mut out);
                self.obey(out);
            }
            17 if self.socket == Socket::Opening && u.arbitrary()? => {
                self.socket = Socket::None;
                self.session.wait(self.now + i64::from(u.arbitrary::<u16>()?));
            }
            17 => self.session.hurry(self.now),
            9 | 10 if self.socket == Socket::Opening => {
                self.socket = Socket::Open;
                self.session.connected(self.now);
            }
            _ if self.socket == Socket::Open => {
                let frame = self.frame(u)?;
                let mut out = Vec::new();
                self.session.frame(self.now, self.exchange(), (frame, None), &mut out);
                self.obey(out);
            }
            _ => {}
        }
        self.work();
        Ok(())
    }

    fn want(&mut self, stream: StreamKey, lane: Lane, wanted: bool) {
        self.session.want(stream, lane, wanted);
        let stays = self.wanted.get(&stream).is_some_and(|has| (*has == lane) == wanted);
        if !stays {
            self.wanted.remove(&stream);
            self.live.remove(&stream);
        }
        if wanted && Subscription::for_stream(stream).is_some() {
            self.wanted.insert(stream, lane);
        }
    }

    fn some_run(&self, u: &mut Unstructured<'_>, stream: StreamKey) -> Result<RunId> {
        let made_up = RunId::first(u.arbitrary()?);
        Ok(self.live.get(&stream).copied().filter(|_| !made_up.number.is_multiple_of(4)).unwrap_or(made_up))
    }

    fn lose(&mut self) {
        self.socket = Socket::None;
        let mut out = Vec::new();
        self.session.closed(self.now, &mut out);
        self.obey(out);
    }

    /// What the exchange may say, whether it was asked or not.
    fn frame(&self, u: &mut Unstructured<'_>) -> Result<Frame> {
        let stream = stream(u)?;
        let echo = || Subscription::for_stream(stream).and_then(|s| serde_json::to_value(s).ok());
        Ok(match u.int_in_range(0..=15)? {
            0..=4 => Frame::Ack { method: Method::Subscribe, subscription: echo().unwrap_or_default() },
            5 => Frame::Ack { method: Method::Unsubscribe, subscription: echo().unwrap_or_default() },
            6 => Frame::Pong,
            7 => Frame::Error(match u.int_in_range(0..=5)? {
                0 => format!("Already subscribed: {}", echo().unwrap_or_default()),
                1 => format!("Already unsubscribed: {}", echo().unwrap_or_default()),
                2 => "Cannot subscribe to more than 1000 channels.".to_owned(),
                3 => format!("Invalid subscription {}", echo().unwrap_or_default()),
                4 => "Already subscribed: {".to_owned(),
                _ => u.arbitrary()?,
            }),
            8 => Frame::Unknown { channel: u.arbitrary()? },
            9 | 10 => {
                let frames = &market::SAID.frames;
                let text = &frames[usize::from(u.arbitrary::<u16>()?) % frames.len()];
                decode::frame(&mut text.clone().into_bytes(), self.exchange()).expect("a valid frame")
            }
            _ => match records::records(u, stream, self.exchange())? {
                Records::Mids(mids) if u.ratio(1, 8)? => {
                    Frame::SomeMids { dex: stream.owner().dex(), mids, without: 0, unread: Unread::default() }
                }
                records if records.is_empty() || !stream.spec().ws => Frame::Pong,
                records => Frame::Data(stream, records),
            },
        })
    }

    /// Ticks until nothing is left to do now.
    fn work(&mut self) {
        for _ in 0..8 {
            let mut out = Vec::new();
            self.session.tick(self.now, self.exchange(), &mut out);
            self.obey(out);
            if self.session.next_deadline().is_none_or(|at| at > self.now) {
                return;
            }
        }
        panic!("work is left at {} that no tick does: {:?}", self.now, self.session.next_deadline());
    }

    /// Does what a shell does, in order; a socket that was closed takes the rest of what was to be sent along.
    fn obey(&mut self, actions: Vec<Action>) {
        let mut closed = false;
        for action in actions {
            match action {
                Action::Connect => {
                    assert_eq!(self.socket, Socket::None, "one socket at most");
                    self.socket = Socket::Opening;
                }
                Action::Close(why) => {
                    assert_ne!(self.socket, Socket::None, "nothing to close: {why}");
                    closed = true;
                }
                Action::Send(text) => {
                    assert_eq!(self.socket, Socket::Open, "nowhere to send {text}");
                    serde_json::from_str::<serde_json::Value>(&text).expect("a message is JSON");
                    self.sent.push_back(self.now);
                    while self.sent.front().is_some_and(|at| *at <= self.now - 60_000) {
                        self.sent.pop_front();
                    }
                    assert!(self.sent.len() <= MESSAGES_A_MINUTE, "{} messages in a minute", self.sent.len());
                }
                Action::Offer(offer) => self.offered(&offer),
                Action::Report(event) => self.reported(event),
                Action::Suspect(death) => {
                    assert!(!death.suspects.is_empty(), "a death without suspects");
                    for stream in death.suspects {
                        assert!(self.wanted.contains_key(&stream), "not wanted: {stream}");
                    }
                }
                Action::Refused { stream, .. } => {
                    assert!(self.wanted.contains_key(&stream), "not wanted: {stream}");
                }
            }
        }
        if closed {
            self.lose();
        }
    }

    fn offered(&mut self, offer: &Offer) {
        let Ticket::Run(run) = offer.ticket else { panic!("a subscription stamps its run: {offer:?}") };
        assert_eq!(self.wanted.get(&offer.stream), Some(&run.lane), "not wanted: {offer:?}");
        if matches!(offer.content, Content::Started { .. }) {
            assert!(
                self.newest.is_none_or(|newest| newest < run.number),
                "a run is never used twice: {offer:?}"
            );
            self.newest = Some(run.number);
            self.live.insert(offer.stream, run);
        }
        assert_eq!(self.live.get(&offer.stream), Some(&run), "only inside its run: {offer:?}");
        if let Content::Frame(records) = &offer.content {
            let coin = coin_of(records);
            assert!(coin.is_none_or(|coin| offer.stream.has(coin)), "{offer:?}");
        }
    }

    fn reported(&mut self, event: Event) {
        match event {
            Event::Up { stream, run } | Event::Silent { stream, run } => {
                assert_eq!(self.live.get(&stream), Some(&run), "{event:?}");
            }
            Event::Down { stream, lane, run, .. } => {
                assert_eq!(self.wanted.get(&stream), Some(&lane), "not wanted: {event:?}");
                assert_eq!(self.live.remove(&stream), run, "{event:?}");
            }
            other => panic!("not a session's business: {other:?}"),
        }
    }
}

fn coin_of(records: &Records) -> Option<Coin> {
    records.keys().first()?.coin
}
