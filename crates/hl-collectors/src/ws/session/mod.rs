//! The subscription session of one slot: what to send, what is acknowledged, what each frame means, when to give up.
//!
//! Pure: `now` is the monotonic clock in ms, `exchange` the estimate of exchange time; randomness comes from the
//! seeded generator given at the start. Subscriptions live here and outlive the sockets: after a reconnect the same
//! set is made again, paced. A slot has one socket at most, by type: only [`Action::Connect`] opens one, and it is
//! given out in one state.

mod order;
mod pings;
mod refusals;
mod subs;

use std::collections::VecDeque;
use std::num::NonZeroI64;

use hl_core::decode::Frame;
use hl_core::ledger::Cause;
use hl_core::message::{Method, Request, Subscription};
use hl_core::selector::{Event, Mono};
use hl_core::source::{Content, Offer, Ticket};
use hl_core::stream::BookVariant;
use hl_core::{Kind, Lane, Records, RunId, StreamKey, TimeMs};
use serde::Serialize;

use self::order::Order;
use self::pings::{Beat, Pings};
pub use self::refusals::Death;
pub(super) use self::refusals::{BLAME_MS, names};
use self::subs::{State, Sub, Subs};

/// First pause before connecting again, ms; doubles, jittered.
const FIRST_BACKOFF_MS: i64 = 1_000;
/// How often it is said how far the trades of a socket have come, ms of the exchange's time.
const PROVE_TRADES_MS: i64 = 1_000;
/// The longest: after an outage of any length a socket is back within some seconds. That all sockets together stay within
/// what the exchange grants is held elsewhere ([`connects`](super::connects)).
const LONGEST_BACKOFF_MS: i64 = 4_000;
/// A connection was healthy when it lived this long and brought data: only then does the back-off start anew.
const HEALTHY_MS: i64 = 30_000;
/// An attempt to connect takes no longer: the next one may meet an exchange that is back.
pub(super) const CONNECT_LIMIT_MS: i64 = 5_000;
/// Where sockets live again, the others connect within so many ms.
const HURRY_MS: i64 = 500;
/// A socket after one that never lived: subscriptions wait until it has brought a frame, or lived this long.
const CAREFUL_MS: i64 = 3_000;
/// Once the innocent have connected at once after a death, they do so again only so much later.
const AT_ONCE_AGAIN_MS: i64 = 10_000;
/// The limit of the exchange is 2,000 messages a minute for all sockets of an IP.
const SENDS_AT_ONCE: u32 = 100;
const SEND_EVERY_MS: i64 = 40;
/// An unanswered subscribe is sent again after this.
const ACK_LIMIT_MS: i64 = 10_000;
/// An acknowledged subscription that brings nothing is made anew after this, doubling.
const FIRST_DATA_LIMIT_MS: i64 = 10_000;
const LONGEST_DATA_LIMIT_MS: i64 = 300_000;

/// What the shell is to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Open the socket; answer with [`Session::connected`], [`Session::closed`] or [`Session::wait`].
    Connect,
    /// Send a text frame.
    Send(String),
    /// Close the socket, and why; answer with [`Session::closed`].
    Close(&'static str),
    /// Hand this to the inbox.
    Offer(Offer),
    /// Tell the selector.
    Report(Event),
    /// Find out whether a subscription ended the socket: those on the way are held until [`Session::hold`] says otherwise.
    Suspect(Death),
    /// The exchange refused a stream, in these words. It is held until [`Session::hold`] says otherwise.
    Refused {
        /// The stream.
        stream: StreamKey,
        /// Its words.
        words: String,
    },
}

/// Whether a stream may be subscribed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hold {
    /// It may.
    No,
    /// It is suspected, and tried on a socket of its own first.
    Trial,
    /// It ended sockets, or was refused: it is left alone for a while.
    Quarantine,
    /// Its coin is not listed now.
    Unlisted,
}

/// The socket of the slot.
#[derive(Clone, Copy, Debug)]
enum Link {
    /// None, and none wanted before `retry`.
    Down { retry: Mono },
    /// Being opened since `since`.
    Connecting { since: Mono },
    /// Open since `since`; `lived`: whether it has brought any frame; `data`: when it last brought data, if it ever did.
    Up { since: Mono, lived: bool, data: Option<Mono>, pings: Pings },
    /// Told to close; the shell has not answered yet. `healthy`: it had lived long enough, and brought data; `lived`: as
    /// above.
    Closing { healthy: bool, lived: bool },
}

/// What the session counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SessionCounters {
    /// Sockets opened.
    pub connects: u64,
    /// Sockets lost, attempts that failed included.
    pub losses: u64,
    /// Sockets on which nothing came any more, nor an answer to a ping.
    pub half_open: u64,
    /// Sockets that brought data and no answer to a ping.
    pub unanswered: u64,
    /// Sockets that stayed open and brought no data.
    pub stalled: u64,
    /// Frames of data that belong to a subscription.
    pub frames: u64,
    /// Frames that belong to no subscription of ours.
    pub unrouted: u64,
    /// Error frames.
    pub errors: u64,
    /// Frames that could not be decoded.
    pub undecodable: u64,
    /// Trades that could not be read, in frames of which others could.
    pub unreadable: u64,
    /// Channels nobody knows.
    pub unknown: u64,
    /// Subscriptions put into quarantine.
    pub quarantined: u64,
    /// Subscriptions made anew because they were silent.
    pub renewed: u64,
    /// Frames that bear no time and waited while this process stood still.
    pub stale: u64,
}

/// The machine. See the [module](self).
pub struct Session {
    link: Link,
    subs: Subs,
    backoff_ms: i64,
    rng: fastrand::Rng,
    next_run: u64,
    /// The number of the next message that subscribes.
    next_nth: u64,
    /// The last socket never lived: the next one has to before anything is subscribed on it.
    careful: bool,
    /// When the innocent last connected at once after a death.
    at_once: Option<Mono>,
    /// The newest best bid and offer on this socket, by its own time.
    newest_bbo: Option<TimeMs>,
    /// Up to where the trades of this socket were last said to have come.
    trades_proved: Option<TimeMs>,
    /// Everything that was sent on this socket before this has been seen, by the last ping that was answered.
    seen_to: Option<TimeMs>,
    /// Sends that may go out at once, and when one more is earned.
    send_credit: u32,
    credit_at: Mono,
    unsubscribes: VecDeque<Subscription>,
    counters: SessionCounters,
}

impl Session {
    /// A slot without subscriptions. `slot` makes its runs distinct from those of other slots.
    #[must_use]
    pub fn new(slot: u32, rng: fastrand::Rng) -> Self {
        Self {
            link: Link::Down { retry: Mono::MIN },
            subs: Subs::default(),
            backoff_ms: FIRST_BACKOFF_MS,
            rng,
            next_run: u64::from(slot) << 40,
            next_nth: 0,
            careful: false,
            at_once: None,
            newest_bbo: None,
            trades_proved: None,
            seen_to: None,
            send_credit: SENDS_AT_ONCE,
            credit_at: 0,
            unsubscribes: VecDeque::new(),
            counters: SessionCounters::default(),
        }
    }

    /// What was counted so far.
    #[must_use]
    pub fn counters(&self) -> SessionCounters {
        self.counters
    }

    /// Whether the socket is open, and how many subscriptions are acknowledged out of those wanted and not held.
    #[must_use]
    pub fn view(&self) -> (bool, usize, usize) {
        (matches!(self.link, Link::Up { .. }), self.subs.live(), self.subs.carried())
    }

    /// Whether the socket is open and has brought a frame.
    #[must_use]
    pub fn lives(&self) -> bool {
        matches!(self.link, Link::Up { lived: true, .. })
    }

    /// Everything that the exchange sent on the open socket before this has been seen, exchange time, as pings prove it.
    #[must_use]
    pub fn seen_to(&self) -> Option<TimeMs> {
        self.seen_to.filter(|_| matches!(self.link, Link::Up { .. }))
    }

    /// Sets whether a lane of a stream is wanted here. Wanting the other lane replaces the one that was.
    pub fn want(&mut self, stream: StreamKey, lane: Lane, wanted: bool) {
        let has = self.subs.get(stream).map(|sub| sub.lane);
        if has.is_some_and(|has| (has == lane) != wanted)
            && let Some(sub) = self.subs.remove(stream)
            && sub.there
            // A name that the exchange has not may end the socket here as well as where it is subscribed.
            && sub.hold != Hold::Unlisted
        {
            self.unsubscribes.push_back(sub.subscription);
        }
        let Some(subscription) = Subscription::for_stream(stream).filter(|_| wanted) else { return };
        self.subs.add(stream, Sub::new(stream, lane, subscription));
    }

    /// Whether a lane of a stream is wanted here.
    pub(super) fn wants(&self, stream: StreamKey) -> bool {
        self.subs.get(stream).is_some()
    }

    /// Makes the subscription anew, as a new run.
    pub fn renew(&mut self, stream: StreamKey, run: RunId) {
        if self.subs.get(stream).and_then(Sub::run) == Some(run) {
            // Who asks for it knows that the run is over.
            let _ = self.end(stream, run, Cause::Silence);
        }
    }

    /// Ends a run; its stream is subscribed anew.
    fn end(&mut self, stream: StreamKey, run: RunId, cause: Cause) -> Option<Action> {
        let down = self.subs.change(stream, |sub| {
            sub.state = State::Due;
            sub.unsubscribe = true;
            sub.down(stream, Some(run), cause)
        });
        self.counters.renewed += u64::from(down.is_some());
        down
    }

    /// The silence of the run was innocent.
    pub fn calm(&mut self, stream: StreamKey, run: RunId) {
        self.subs.change(stream, |sub| {
            if sub.run() == Some(run) {
                sub.rhythm.calm();
            }
        });
    }

    /// Says of every stream whether it may be subscribed. What is acknowledged goes on.
    pub fn hold(&mut self, held: impl Fn(StreamKey) -> Hold, out: &mut Vec<Action>) {
        for stream in self.subs.streams() {
            let hold = held(stream);
            if self.subs.get(stream).is_none_or(|sub| sub.hold == hold) {
                continue;
            }
            let refused = self.subs.change(stream, |sub| {
                sub.hold = hold;
                let waits = matches!(sub.state, State::Due | State::Later { .. });
                let left_alone = matches!(hold, Hold::Quarantine | Hold::Unlisted);
                (waits && left_alone).then(|| sub.down(stream, None, Cause::Refused))
            });
            if let Some(down) = refused.flatten() {
                self.counters.quarantined += u64::from(hold == Hold::Quarantine);
                out.push(down);
            }
        }
    }

    /// The socket is open.
    pub fn connected(&mut self, now: Mono) {
        let pings = Pings::new(now, self.subs.needs_proof(), self.careful);
        self.link = Link::Up { since: now, lived: false, data: None, pings };
        self.counters.connects += 1;
        (self.newest_bbo, self.trades_proved, self.seen_to) = (None, None, None);
        self.unsubscribes.clear();
        for stream in self.subs.streams() {
            self.subs.change(stream, |sub| {
                (sub.unsubscribe, sub.there) = (false, false);
                sub.state = State::Due;
            });
        }
    }

    /// There is no room for a new socket before `until`: it was not tried.
    pub fn wait(&mut self, until: Mono) {
        if matches!(self.link, Link::Connecting { .. }) {
            self.link = Link::Down { retry: until };
        }
    }

    /// A socket lives again, after none did: no reason to wait for long any more.
    pub fn hurry(&mut self, now: Mono) {
        if let Link::Down { retry } = &mut self.link {
            *retry = (*retry).min(now + self.rng.i64(0..=HURRY_MS));
        }
    }

    /// The socket is gone, or could not be opened.
    pub fn closed(&mut self, now: Mono, out: &mut Vec<Action>) {
        let death = self.death(now);
        if self.is_healthy(now) {
            self.backoff_ms = FIRST_BACKOFF_MS;
        }
        self.counters.losses += 1;
        self.careful = match self.link {
            Link::Up { lived, .. } | Link::Closing { lived, .. } => !lived,
            Link::Down { .. } | Link::Connecting { .. } => self.careful,
        };
        let is_blamed = death.is_some() && self.at_once.is_none_or(|at| at + AT_ONCE_AGAIN_MS <= now);
        let retry = if is_blamed {
            // Those that are not suspected do not wait: it was not the socket.
            self.at_once = Some(now);
            now
        } else {
            // Half of the pause is jitter, so that sockets which died together do not come back together. The time that an
            // attempt took is part of it.
            let pause = self.backoff_ms / 2 + self.rng.i64(0..=self.backoff_ms / 2);
            self.backoff_ms = (self.backoff_ms * 2).min(LONGEST_BACKOFF_MS);
            match self.link {
                Link::Connecting { since } => now.max(since + pause),
                Link::Up { .. } | Link::Down { .. } | Link::Closing { .. } => now + pause,
            }
        };
        self.link = Link::Down { retry };
        for stream in self.subs.streams() {
            let is_suspect = death.as_ref().is_some_and(|death| death.suspects.contains(&stream));
            out.extend(self.subs.change(stream, |sub| {
                let run = sub.run();
                sub.state = State::Due;
                if is_suspect && sub.hold == Hold::No {
                    sub.hold = Hold::Trial;
                }
                sub.down(stream, run, Cause::Outage)
            }));
        }
        out.extend(death.map(Action::Suspect));
    }

    /// Whether the socket has proved itself: only then does the back-off start anew.
    fn is_healthy(&self, now: Mono) -> bool {
        match self.link {
            Link::Up { since, data, .. } => data.is_some() && now - since >= HEALTHY_MS,
            Link::Closing { healthy, .. } => healthy,
            Link::Down { .. } | Link::Connecting { .. } => false,
        }
    }

    fn close(&mut self, now: Mono, why: &'static str, out: &mut Vec<Action>) {
        // An attempt that takes too long says nothing of whether sockets live.
        let lived = self.lives() || matches!(self.link, Link::Connecting { .. }) && !self.careful;
        self.link = Link::Closing { healthy: self.is_healthy(now), lived };
        out.push(Action::Close(why));
    }

    /// The process did not run for a while, until now: it was stopped, or the machine was too busy. Frames without a time
    /// of their own would be stamped with that of their reading, so they are dropped until a later ping, or a stamp, proves
    /// that what comes is new.
    pub fn stood_still(&mut self, now: Mono) {
        if let Link::Up { pings, .. } = &mut self.link {
            pings.stood_still(now);
        }
    }

    fn heard(&mut self, now: Mono) {
        if let Link::Up { lived, pings, .. } = &mut self.link {
            *lived = true;
            pings.heard(now);
        }
    }

    /// A frame came in, of which the last byte was read at `received` (ns, UTC).
    pub fn frame(
        &mut self,
        now: Mono,
        exchange: TimeMs,
        (frame, received): (Frame, Option<NonZeroI64>),
        out: &mut Vec<Action>,
    ) {
        self.heard(now);
        let seen = match &mut self.link {
            Link::Up { pings, .. } if matches!(frame, Frame::Pong) => pings.pong(),
            Link::Up { pings, .. } => pings.stamped(now, exchange, &frame),
            Link::Down { .. } | Link::Connecting { .. } | Link::Closing { .. } => None,
        };
        match frame {
            Frame::Pong => self.seen_to = seen.or(self.seen_to),
            Frame::Ack { method: Method::Subscribe, subscription } => {
                let acked = self.subs.iter().find_map(|(stream, sub)| {
                    let sent = matches!(sub.state, State::Sent { .. });
                    (sent && sub.subscription.matches_echo(&subscription)).then_some(stream)
                });
                match acked {
                    Some(stream) => self.acked(now, exchange, stream, out),
                    None => self.counters.unrouted += 1,
                }
            }
            Frame::Ack { .. } => {}
            Frame::Error(words) => self.refused(now, exchange, &words, out),
            Frame::Unknown { .. } => self.counters.unknown += 1,
            Frame::Message(_) => self.counters.unrouted += 1,
            Frame::SomeTrades(trades) => self.some_trades(now, exchange, (trades, received), out),
            Frame::SomeMids { dex, mids, .. } => {
                self.data(now, StreamKey::Mids(dex), Records::Mids(mids), received, out);
            }
            Frame::Data(stream, records) => {
                let (stream, records) = self.as_subscribed(stream, records);
                // A stamp of the future says nothing of how far the exchange has come.
                let newest = records.ends().map(|(_, last)| last).filter(|time| *time <= exchange);
                if stream.kind() == Kind::Bbo {
                    self.newest_bbo = self.newest_bbo.max(newest);
                }
                self.data(now, stream, records, received, out);
                if let Some(newest) = newest.filter(|_| stream.kind() == Kind::Trades) {
                    self.prove_trades(newest, out);
                }
            }
        }
        if let Some(sent) = seen {
            self.prove(sent, out);
        }
    }

    /// A book that names no variant is of the one that this socket has: frames do not repeat the options they were asked with.
    fn as_subscribed(&self, stream: StreamKey, mut records: Records) -> (StreamKey, Records) {
        let StreamKey::Book(coin, BookVariant::Default) = stream else { return (stream, records) };
        let rounded = BookVariant::ALL.into_iter().filter(|variant| variant.figures().is_some());
        let here =
            rounded.map(|variant| StreamKey::Book(coin, variant)).find(|key| self.subs.get(*key).is_some());
        let Some(key @ StreamKey::Book(_, variant)) = here else { return (stream, records) };
        if let Records::Books(books) = &mut records {
            books.iter_mut().for_each(|book| book.variant = variant);
        }
        (key, records)
    }

    fn data(
        &mut self,
        now: Mono,
        stream: StreamKey,
        mut records: Records,
        received: Option<NonZeroI64>,
        out: &mut Vec<Action>,
    ) {
        let mut may_be_stale = false;
        if let Link::Up { data, pings, .. } = &mut self.link {
            *data = Some(now);
            may_be_stale = pings.may_be_stale() && !stream.spec().timed;
        }
        // Before the acknowledgement it is the tail of an earlier subscription.
        let Some(run) = self.subs.get(stream).and_then(Sub::run) else {
            self.counters.unrouted += 1;
            return;
        };
        if may_be_stale {
            self.counters.stale += 1;
            return;
        }
        let is_first = self.subs.change(stream, |sub| {
            sub.renewals.read();
            sub.data_limit = FIRST_DATA_LIMIT_MS;
            let State::Live { last, .. } = &mut sub.state else { return false };
            let before = last.replace(now);
            // Only pauses inside a run are its rhythm: what passed before its first frame is the connection's.
            if let Some(before) = before {
                sub.rhythm.frame_after(now - before);
            }
            // What a subscription begins with was there before it.
            sub.order.stamp(&mut records, received.filter(|_| before.is_some()));
            before.is_none()
        });
        self.counters.frames += 1;
        out.push(offer(stream, run, Content::Frame(records)));
        if is_first == Some(true) {
            out.push(Action::Report(Event::Up { stream, run }));
        }
    }

    fn acked(&mut self, now: Mono, exchange: TimeMs, stream: StreamKey, out: &mut Vec<Action>) {
        self.next_run += 1;
        let number = self.next_run;
        let run = self.subs.change(stream, |sub| {
            let run = RunId { lane: sub.lane, number };
            sub.state = State::Live { run, at: now, last: None, asked: now };
            sub.order = Order::default();
            run
        });
        out.extend(run.map(|run| offer(stream, run, Content::Started { at: exchange })));
    }

    /// Everything that was sent before this has been seen: bars that had ended long enough before are final, and the best
    /// bid and offer did not change unseen.
    fn prove(&self, sent: TimeMs, out: &mut Vec<Action>) {
        for (stream, sub) in self.subs.iter() {
            let sent = match stream.kind() {
                Kind::Candle => Some(sent),
                // The exchange may answer pings and be behind with its pushes: how far they have come is seen from all of the
                // kind together.
                Kind::Bbo => self.newest_bbo.map(|newest| newest.min(sent)),
                _ => None,
            };
            out.extend(sub.run().zip(sent).map(|(run, sent)| offer(stream, run, Content::Proof { sent })));
        }
    }

    /// A trade of one coin shows that those of every coin of this socket have come up to its time: frames come in the order in which
    /// they were sent.
    fn prove_trades(&mut self, newest: TimeMs, out: &mut Vec<Action>) {
        if self.trades_proved.is_some_and(|proved| newest < proved + PROVE_TRADES_MS) {
            return;
        }
        self.trades_proved = Some(newest);
        for (stream, sub) in self.subs.iter().filter(|(stream, _)| stream.kind() == Kind::Trades) {
            let proof = |run| offer(stream, run, Content::Proof { sent: newest });
            out.extend(sub.run().map(proof));
        }
    }

    /// Looks at deadlines and sends what is due.
    pub fn tick(&mut self, now: Mono, exchange: TimeMs, out: &mut Vec<Action>) {
        let is_idle = self.subs.carried() == 0;
        match self.link {
            Link::Down { retry } if retry <= now && !is_idle => {
                self.link = Link::Connecting { since: now };
                out.push(Action::Connect);
            }
            Link::Connecting { since } if since + CONNECT_LIMIT_MS <= now => {
                self.close(now, "no connection in time", out);
            }
            Link::Down { .. } | Link::Connecting { .. } | Link::Closing { .. } => {}
            Link::Up { .. } if is_idle && self.unsubscribes.is_empty() => {
                self.close(now, "nothing left to collect on it", out);
            }
            Link::Up { data, .. } if self.stalled_at(data).is_some_and(|at| at <= now) => {
                self.counters.stalled += 1;
                self.close(now, "it stayed open and brought no data", out);
            }
            Link::Up { .. } => self.tick_up(now, exchange, out),
        }
    }

    fn tick_up(&mut self, now: Mono, exchange: TimeMs, out: &mut Vec<Action>) {
        let needs_proof = self.subs.needs_proof();
        let Link::Up { since, lived, pings, .. } = &mut self.link else { return };
        let answered = !pings.are_unanswered();
        match pings.tick(now, exchange, needs_proof) {
            Beat::Rest => {}
            Beat::Ping => out.push(Action::Send(Request::Ping.to_text())),
            Beat::HalfOpen => {
                self.counters.half_open += 1;
                return self.close(now, "no answer to a ping in time", out);
            }
        }
        self.counters.unanswered += u64::from(answered && pings.are_unanswered());
        *lived |= self.careful && *since + CAREFUL_MS <= now;
        let may_subscribe = *lived || !self.careful;
        self.earn(now);
        while self.send_credit > 0
            && let Some(subscription) = self.unsubscribes.pop_front()
        {
            self.send_credit -= 1;
            out.push(Action::Send(Request::unsubscribe(&subscription).to_text()));
        }
        while let Some(stream) = self.subs.due(now) {
            self.look(now, stream, out);
        }
        while may_subscribe
            && self.send_credit >= 2
            && let Some(stream) = self.subs.next_ready()
        {
            self.subscribe(now, stream, out);
        }
    }

    /// A deadline of the stream may have come.
    fn look(&mut self, now: Mono, stream: StreamKey, out: &mut Vec<Action>) {
        let action = self.subs.change(stream, |sub| match sub.state {
            State::Later { at } if at <= now => {
                sub.state = State::Due;
                None
            }
            State::Sent { at, .. } if at + ACK_LIMIT_MS <= now => {
                sub.state = State::Due;
                None
            }
            State::Live { run, at, last: None, .. } if at + sub.data_limit <= now => {
                // Acknowledged, and nothing came: the replay may have been lost with what muted the stream.
                sub.data_limit = (sub.data_limit * 2).min(LONGEST_DATA_LIMIT_MS);
                sub.state = State::Due;
                sub.unsubscribe = true;
                Some(sub.down(stream, Some(run), Cause::Silence))
            }
            State::Live { run, last: Some(last), ref mut asked, .. } => {
                let limit = sub.rhythm.limit().filter(|limit| (*asked).max(last) + limit <= now)?;
                debug_assert!(limit > 0, "it would be asked for ever");
                *asked = now;
                Some(Action::Report(Event::Silent { stream, run }))
            }
            State::Due | State::Later { .. } | State::Sent { .. } | State::Live { .. } => None,
        });
        let action = action.flatten();
        let is_down = matches!(action, Some(Action::Report(Event::Down { .. })));
        self.counters.renewed += u64::from(is_down);
        out.extend(action);
    }

    fn subscribe(&mut self, now: Mono, stream: StreamKey, out: &mut Vec<Action>) {
        self.next_nth += 1;
        let nth = self.next_nth;
        let messages = self.subs.change(stream, |sub| {
            let unsubscribe = std::mem::take(&mut sub.unsubscribe);
            let first = unsubscribe.then(|| Request::unsubscribe(&sub.subscription).to_text());
            sub.state = State::Sent { at: now, nth };
            sub.there = true;
            first.into_iter().chain([Request::subscribe(&sub.subscription).to_text()])
        });
        for message in messages.into_iter().flatten() {
            self.send_credit = self.send_credit.saturating_sub(1);
            out.push(Action::Send(message));
        }
    }

    /// When [`Session::tick`] has something to do next; none while only the outside can change anything.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Mono> {
        let is_idle = self.subs.carried() == 0;
        match self.link {
            Link::Down { retry } => (!is_idle).then_some(retry),
            Link::Connecting { since } => Some(since + CONNECT_LIMIT_MS),
            Link::Closing { .. } => None,
            Link::Up { since, .. } if is_idle && self.unsubscribes.is_empty() => Some(since),
            Link::Up { since, lived, data, pings } => {
                let careful = self.careful && !lived;
                let earned = |needed: u32| match self.send_credit < needed {
                    true => self.credit_at + SEND_EVERY_MS,
                    false => since,
                };
                let subscribe =
                    self.subs.next_ready().map(|_| if careful { since + CAREFUL_MS } else { earned(2) });
                let unsubscribe = (!self.unsubscribes.is_empty()).then(|| earned(1));
                let others = [subscribe, unsubscribe, self.stalled_at(data), self.subs.next_look()];
                others.into_iter().flatten().chain([pings.deadline()]).min()
            }
        }
    }

    /// When the socket has brought no data for too long.
    fn stalled_at(&self, data: Option<Mono>) -> Option<Mono> {
        data.zip(self.subs.heartbeat_ms()).map(|(at, limit)| at + limit)
    }

    fn earn(&mut self, now: Mono) {
        if self.send_credit >= SENDS_AT_ONCE {
            self.credit_at = now;
            return;
        }
        let earned = (now - self.credit_at) / SEND_EVERY_MS;
        self.credit_at += earned * SEND_EVERY_MS;
        let earned = u32::try_from(earned).unwrap_or(u32::MAX);
        self.send_credit = self.send_credit.saturating_add(earned).min(SENDS_AT_ONCE);
    }
}

/// Of which kinds a pong proves something: that bars are final, and that the best bid and offer did not change.
fn needs_proof(kind: Kind) -> bool {
    matches!(kind, Kind::Candle | Kind::Bbo)
}

fn offer(stream: StreamKey, run: RunId, content: Content) -> Action {
    Action::Offer(Offer { stream, ticket: Ticket::Run(run), content })
}

#[cfg(test)]
mod tests;
