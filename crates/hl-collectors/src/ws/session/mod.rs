//! The subscription session of one slot: what to send, what is acknowledged, what each frame means, when to give up.
//!
//! Pure: `now` is the monotonic clock in ms, `exchange` the estimate of exchange time; randomness comes from the
//! seeded generator given at the start. Subscriptions live here and outlive the sockets: after a reconnect the same
//! set is made again, paced. A slot has one socket at most, by type: only [`Action::Connect`] opens one, and it is
//! given out in one state.

mod refusals;

use std::collections::{BTreeMap, VecDeque};

use hl_core::decode::Frame;
use hl_core::ledger::Cause;
use hl_core::message::{Method, Request, Subscription};
use hl_core::selector::{Event, Mono};
use hl_core::source::{Content, Offer, Ticket};
use hl_core::{Kind, Lane, Records, RunId, StreamKey, TimeMs};

use self::refusals::Renewals;
use super::rhythm::Rhythm;

/// First pause before connecting again, ms; doubles, jittered.
const FIRST_BACKOFF_MS: i64 = 1_000;
const LONGEST_BACKOFF_MS: i64 = 30_000;
/// A connection was healthy when it lived this long and brought data: only then does the back-off start anew.
const HEALTHY_MS: i64 = 30_000;
const CONNECT_LIMIT_MS: i64 = 10_000;
/// How often to ping: where the pong is a proof ([`needs_proof`]), more often.
const PING_MS: i64 = 20_000;
const PING_FOR_PROOF_MS: i64 = 5_000;
/// The exchange answers a ping in 0.1 s; no answer for this long is a half-open connection.
const PONG_LIMIT_MS: i64 = 10_000;
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
    /// Open the socket; answer with [`Session::connected`] or [`Session::closed`].
    Connect,
    /// Send a text frame.
    Send(String),
    /// Close the socket, and why; answer with [`Session::closed`].
    Close(&'static str),
    /// Hand this to the inbox.
    Offer(Offer),
    /// Tell the selector.
    Report(Event),
}

/// The socket of the slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    /// None, and none wanted before `retry`.
    Down { retry: Mono },
    /// Being opened since `since`.
    Connecting { since: Mono },
    /// Open since `since`; `data`: when it last brought data, if it ever did.
    Up { since: Mono, data: Option<Mono> },
    /// Told to close; the shell has not answered yet. `healthy`: it had lived long enough, and brought data.
    Closing { healthy: bool },
}

/// One wanted subscription.
#[derive(Clone, Copy, Debug)]
enum State {
    /// To be sent, not before this.
    Due { at: Mono },
    /// Sent, no acknowledgement yet.
    Sent { at: Mono },
    /// Acknowledged at `at`: a run, that has brought data or not.
    Live { run: RunId, at: Mono, last: Option<Mono>, asked: Mono },
    /// It killed the socket: left alone until then.
    Quarantined { until: Mono },
}

#[derive(Clone, Debug)]
struct Sub {
    /// Which of the stream's subscriptions it is; a session never has both.
    lane: Lane,
    subscription: Subscription,
    state: State,
    rhythm: Rhythm,
    /// A socket died while it was on the way: it is tried alone.
    suspect: bool,
    strikes: u32,
    /// How long to wait for first data before subscribing anew.
    data_limit: i64,
    /// An unsubscribe must go out before the next subscribe.
    unsubscribe: bool,
    /// The exchange may have it on this socket: a subscribe went out, and no unsubscribe since.
    there: bool,
    renewals: Renewals,
}

impl Sub {
    fn down(&self, stream: StreamKey, run: Option<RunId>, cause: Cause) -> Action {
        Action::Report(Event::Down { stream, lane: self.lane, run, cause })
    }
}

/// What the session counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionCounters {
    /// Sockets opened.
    pub connects: u64,
    /// Sockets lost, attempts that failed included.
    pub losses: u64,
    /// Pongs that did not come in time.
    pub half_open: u64,
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
    subs: BTreeMap<StreamKey, Sub>,
    backoff_ms: i64,
    rng: fastrand::Rng,
    next_run: u64,
    ping_due: Mono,
    ping_sent: Option<(Mono, TimeMs)>,
    /// The newest best bid and offer on this socket, by its own time.
    newest_bbo: Option<TimeMs>,
    /// The process stood still until then: what comes before the answer to a later ping may have waited meanwhile.
    stood_still: Option<Mono>,
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
            subs: BTreeMap::new(),
            backoff_ms: FIRST_BACKOFF_MS,
            rng,
            next_run: u64::from(slot) << 40,
            ping_due: 0,
            ping_sent: None,
            newest_bbo: None,
            stood_still: None,
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

    /// Whether the socket is open, and how many subscriptions are acknowledged out of those wanted.
    #[must_use]
    pub fn view(&self) -> (bool, usize, usize) {
        let live = self.subs.values().filter(|s| matches!(s.state, State::Live { .. })).count();
        (matches!(self.link, Link::Up { .. }), live, self.subs.len())
    }

    /// Sets whether a lane of a stream is wanted here. Wanting the other lane replaces the one that was.
    pub fn want(&mut self, now: Mono, stream: StreamKey, lane: Lane, wanted: bool) {
        let has = self.subs.get(&stream).map(|sub| sub.lane);
        if has.is_some_and(|has| (has == lane) != wanted)
            && let Some(sub) = self.subs.remove(&stream)
            && sub.there
        {
            self.unsubscribes.push_back(sub.subscription);
        }
        let Some(subscription) = Subscription::for_stream(stream).filter(|_| wanted) else { return };
        let spec = stream.spec();
        self.subs.entry(stream).or_insert(Sub {
            lane,
            subscription,
            state: State::Due { at: now },
            rhythm: Rhythm::new(spec.first_silence_ms, spec.longest_silence_ms),
            suspect: false,
            strikes: 0,
            data_limit: FIRST_DATA_LIMIT_MS,
            unsubscribe: false,
            there: false,
            renewals: Renewals::new(),
        });
    }

    /// Makes the subscription anew, as a new run.
    pub fn renew(&mut self, now: Mono, stream: StreamKey, run: RunId) {
        if let Some(sub) = self.subs.get_mut(&stream)
            && matches!(sub.state, State::Live { run: live, .. } if live == run)
        {
            sub.state = State::Due { at: now };
            sub.unsubscribe = true;
            self.counters.renewed += 1;
        }
    }

    /// The silence of the run was innocent.
    pub fn calm(&mut self, stream: StreamKey, run: RunId) {
        if let Some(sub) = self.subs.get_mut(&stream)
            && matches!(sub.state, State::Live { run: live, .. } if live == run)
        {
            sub.rhythm.calm();
        }
    }

    /// The socket is open.
    pub fn connected(&mut self, now: Mono) {
        self.link = Link::Up { since: now, data: None };
        self.counters.connects += 1;
        self.ping_sent = None;
        self.newest_bbo = None;
        self.stood_still = None;
        self.ping_due = now + self.ping_ms();
        self.unsubscribes.clear();
        for sub in self.subs.values_mut() {
            (sub.unsubscribe, sub.there) = (false, false);
            if !matches!(sub.state, State::Quarantined { .. }) {
                sub.state = State::Due { at: now };
            }
        }
    }

    /// The socket is gone, or could not be opened.
    pub fn closed(&mut self, now: Mono, out: &mut Vec<Action>) {
        let healthy = self.is_healthy(now);
        self.counters.losses += 1;
        self.blame(now, out);
        if healthy {
            self.backoff_ms = FIRST_BACKOFF_MS;
        }
        // Half of the pause is jitter, so that sockets which died together do not come back together.
        let pause = self.backoff_ms / 2 + self.rng.i64(0..=self.backoff_ms / 2);
        self.backoff_ms = (self.backoff_ms * 2).min(LONGEST_BACKOFF_MS);
        self.link = Link::Down { retry: now + pause };
        self.ping_sent = None;
        for (stream, sub) in &mut self.subs {
            let run = match sub.state {
                State::Live { run, .. } => Some(run),
                State::Due { .. } | State::Sent { .. } => None,
                State::Quarantined { .. } => continue,
            };
            sub.state = State::Due { at: now };
            out.push(sub.down(*stream, run, Cause::Outage));
        }
    }

    /// Whether the socket has proved itself: only then does the back-off start anew.
    fn is_healthy(&self, now: Mono) -> bool {
        match self.link {
            Link::Up { since, data } => data.is_some() && now - since >= HEALTHY_MS,
            Link::Closing { healthy } => healthy,
            Link::Down { .. } | Link::Connecting { .. } => false,
        }
    }

    /// The process did not run for a while, until now: it was stopped, or the machine was too busy. Frames without a time
    /// of their own would be stamped with that of their reading, so they are dropped until a ping proves that what comes
    /// is new.
    pub fn stood_still(&mut self, now: Mono) {
        if matches!(self.link, Link::Up { .. }) {
            self.stood_still = Some(now);
            self.ping_due = now;
        }
    }

    /// A frame came in.
    pub fn frame(&mut self, now: Mono, exchange: TimeMs, frame: Frame, out: &mut Vec<Action>) {
        match frame {
            Frame::Pong => self.pong(out),
            Frame::Ack { method: Method::Subscribe, subscription } => {
                let acked = self.subs.iter().find_map(|(stream, sub)| {
                    let sent = matches!(sub.state, State::Sent { .. });
                    (sent && sub.subscription.matches_echo(&subscription)).then_some(*stream)
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
            Frame::Trades(trades) => {
                if let Some(coin) = trades.first().map(|t| t.coin) {
                    self.data(now, StreamKey::Trades(coin), Records::Trades(trades), out);
                }
            }
            Frame::SomeTrades(trades) => self.some_trades(now, exchange, trades, out),
            Frame::Book(book) => {
                self.data(now, StreamKey::Book(book.coin, book.variant), Records::Books(vec![book]), out);
            }
            Frame::Bbo(bbo) => {
                self.newest_bbo = self.newest_bbo.max(Some(bbo.time));
                self.data(now, StreamKey::Bbo(bbo.coin), Records::Bbos(vec![bbo]), out);
            }
            Frame::Candle(bar) => {
                self.data(now, StreamKey::Candle(bar.coin, bar.interval), Records::Candles(vec![bar]), out);
            }
            // Other dexes' mids are not asked for.
            Frame::Mids { dex: Some(_), .. } => self.counters.unrouted += 1,
            Frame::Mids { dex: None, mids, .. } => self.data(now, StreamKey::Mids, Records::Mids(mids), out),
            Frame::Context(context) => {
                self.data(now, StreamKey::Context(context.coin), Records::Contexts(vec![context]), out);
            }
        }
    }

    fn data(&mut self, now: Mono, stream: StreamKey, records: Records, out: &mut Vec<Action>) {
        if let Link::Up { data, .. } = &mut self.link {
            *data = Some(now);
        }
        let Some(sub) = self.subs.get_mut(&stream) else {
            self.counters.unrouted += 1;
            return;
        };
        // Before the acknowledgement it is the tail of an earlier subscription.
        let State::Live { run, last, .. } = &mut sub.state else {
            self.counters.unrouted += 1;
            return;
        };
        if self.stood_still.is_some() && matches!(stream.kind(), Kind::Mids | Kind::Context) {
            self.counters.stale += 1;
            return;
        }
        let (run, first) = (*run, last.is_none());
        // Only pauses inside a run are its rhythm: what passed before its first frame is the connection's.
        if let Some(last) = last {
            sub.rhythm.frame_after(now - *last);
        }
        *last = Some(now);
        self.counters.frames += 1;
        sub.renewals.read();
        sub.data_limit = FIRST_DATA_LIMIT_MS;
        out.push(offer(stream, run, Content::Frame(records)));
        if first {
            out.push(Action::Report(Event::Up { stream, run }));
        }
    }

    fn acked(&mut self, now: Mono, exchange: TimeMs, stream: StreamKey, out: &mut Vec<Action>) {
        self.next_run += 1;
        if let Some(sub) = self.subs.get_mut(&stream) {
            let run = RunId { lane: sub.lane, number: self.next_run };
            sub.state = State::Live { run, at: now, last: None, asked: now };
            sub.suspect = false;
            sub.strikes = 0;
            out.push(offer(stream, run, Content::Started { at: exchange }));
        }
    }

    fn pong(&mut self, out: &mut Vec<Action>) {
        let Some((at, sent)) = self.ping_sent.take() else { return };
        self.stood_still.take_if(|until| *until <= at);
        for (stream, sub) in &self.subs {
            let sent = match stream.kind() {
                Kind::Candle => Some(sent),
                // The exchange may answer pings and be behind with its pushes: how far they have come is seen from all of the
                // kind together.
                Kind::Bbo => self.newest_bbo.map(|newest| newest.min(sent)),
                _ => None,
            };
            if let (State::Live { run, .. }, Some(sent)) = (sub.state, sent) {
                out.push(offer(*stream, run, Content::Proof { sent }));
            }
        }
    }

    /// Looks at deadlines and sends what is due.
    pub fn tick(&mut self, now: Mono, exchange: TimeMs, out: &mut Vec<Action>) {
        match self.link {
            Link::Down { retry } if retry <= now && !self.subs.is_empty() => {
                self.link = Link::Connecting { since: now };
                out.push(Action::Connect);
            }
            Link::Connecting { since } if since + CONNECT_LIMIT_MS <= now => {
                self.link = Link::Closing { healthy: self.is_healthy(now) };
                out.push(Action::Close("no connection in time"));
            }
            Link::Down { .. } | Link::Connecting { .. } | Link::Closing { .. } => {}
            Link::Up { .. } if self.subs.is_empty() && self.unsubscribes.is_empty() => {
                self.link = Link::Closing { healthy: self.is_healthy(now) };
                out.push(Action::Close("nothing left to collect on it"));
            }
            Link::Up { data, .. }
                if data.zip(self.heartbeat_ms()).is_some_and(|(at, limit)| at + limit <= now) =>
            {
                self.counters.stalled += 1;
                self.link = Link::Closing { healthy: self.is_healthy(now) };
                out.push(Action::Close("it stayed open and brought no data"));
            }
            Link::Up { .. } => self.tick_up(now, exchange, out),
        }
    }

    fn tick_up(&mut self, now: Mono, exchange: TimeMs, out: &mut Vec<Action>) {
        if let Some((sent, _)) = self.ping_sent {
            if sent + PONG_LIMIT_MS <= now {
                self.counters.half_open += 1;
                self.link = Link::Closing { healthy: self.is_healthy(now) };
                out.push(Action::Close("no answer to a ping in time"));
                return;
            }
        } else if self.ping_due <= now {
            self.ping_sent = Some((now, exchange));
            self.ping_due = now + self.ping_ms();
            out.push(Action::Send(Request::Ping.to_text()));
        }
        self.earn(now);
        while self.send_credit > 0
            && let Some(subscription) = self.unsubscribes.pop_front()
        {
            self.send_credit -= 1;
            out.push(Action::Send(Request::unsubscribe(&subscription).to_text()));
        }
        let mut on_the_way = self.subs.values().filter(|s| matches!(s.state, State::Sent { .. })).count();
        let suspect_on_the_way =
            self.subs.values().any(|s| s.suspect && matches!(s.state, State::Sent { .. }));
        // Those above suspicion first: a suspect goes alone, when nothing else is on the way.
        let mut order: Vec<_> = self.subs.iter().map(|(stream, sub)| (sub.suspect, *stream)).collect();
        order.sort_by_key(|(suspect, stream)| (*suspect, std::cmp::Reverse(stream.spec().value), *stream));
        for (_, stream) in order {
            let Some(sub) = self.subs.get_mut(&stream) else { continue };
            match sub.state {
                State::Quarantined { until } if until <= now => sub.state = State::Due { at: now },
                State::Sent { at } if at + ACK_LIMIT_MS <= now => sub.state = State::Due { at: now },
                State::Live { run, at, last: None, .. } if at + sub.data_limit <= now => {
                    // Acknowledged, and nothing came: the replay may have been lost with what muted the stream.
                    sub.data_limit = (sub.data_limit * 2).min(LONGEST_DATA_LIMIT_MS);
                    sub.state = State::Due { at: now };
                    sub.unsubscribe = true;
                    self.counters.renewed += 1;
                    out.push(sub.down(stream, Some(run), Cause::Silence));
                }
                State::Live { run, last: Some(last), ref mut asked, .. } => {
                    if let Some(limit) = sub.rhythm.limit()
                        && (*asked).max(last) + limit <= now
                    {
                        *asked = now;
                        out.push(Action::Report(Event::Silent { stream, run }));
                    }
                }
                State::Due { .. } | State::Sent { .. } | State::Live { .. } | State::Quarantined { .. } => {}
            }
            let due = matches!(sub.state, State::Due { at } if at <= now);
            let alone = !sub.suspect || on_the_way == 0;
            if !due || !alone || suspect_on_the_way || self.send_credit < 2 {
                continue;
            }
            if std::mem::take(&mut sub.unsubscribe) {
                self.send_credit -= 1;
                out.push(Action::Send(Request::unsubscribe(&sub.subscription).to_text()));
            }
            self.send_credit -= 1;
            out.push(Action::Send(Request::subscribe(&sub.subscription).to_text()));
            sub.state = State::Sent { at: now };
            sub.there = true;
            on_the_way += 1;
            if sub.suspect {
                break;
            }
        }
    }

    /// When [`Session::tick`] has something to do next; none while only the outside can change anything.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Mono> {
        match self.link {
            Link::Down { retry } => (!self.subs.is_empty()).then_some(retry),
            Link::Connecting { since } => Some(since + CONNECT_LIMIT_MS),
            Link::Closing { .. } => None,
            Link::Up { since, .. } if self.subs.is_empty() && self.unsubscribes.is_empty() => Some(since),
            Link::Up { data, .. } => {
                let stall = data.zip(self.heartbeat_ms()).map(|(at, limit)| at + limit);
                let ping = self.ping_sent.map_or(self.ping_due, |(sent, _)| sent + PONG_LIMIT_MS);
                let blocked = self.subs.values().any(|s| s.suspect && matches!(s.state, State::Sent { .. }));
                let any_sent = self.subs.values().any(|s| matches!(s.state, State::Sent { .. }));
                let subs = self.subs.values().filter_map(|sub| match sub.state {
                    State::Due { .. } if blocked || (sub.suspect && any_sent) => None,
                    State::Due { at } if self.send_credit < 2 => Some(at.max(self.credit_at + SEND_EVERY_MS)),
                    State::Due { at } => Some(at),
                    State::Sent { at } => Some(at + ACK_LIMIT_MS),
                    State::Live { at, last: None, .. } => Some(at + sub.data_limit),
                    State::Live { last: Some(last), asked, .. } => {
                        sub.rhythm.limit().map(|limit| asked.max(last) + limit)
                    }
                    State::Quarantined { until } => Some(until),
                });
                let unsubscribe = (!self.unsubscribes.is_empty()).then_some(self.credit_at + SEND_EVERY_MS);
                subs.chain(unsubscribe).chain(stall).chain([ping]).min()
            }
        }
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

    /// How long the whole socket may bring no data: some streams are pushed by a clock, also where nothing changed, and
    /// so are its heartbeat. Pongs and acknowledgements are not. None without such a stream.
    fn heartbeat_ms(&self) -> Option<i64> {
        let beats = |(stream, sub): (&StreamKey, &Sub)| {
            let spec = stream.spec();
            let alive = matches!(sub.state, State::Live { last: Some(_), .. });
            (spec.steady && alive).then_some(spec.first_silence_ms)
        };
        self.subs.iter().filter_map(beats).min()
    }

    fn ping_ms(&self) -> i64 {
        let proves = self.subs.keys().any(|stream| needs_proof(stream.kind()));
        if proves { PING_FOR_PROOF_MS } else { PING_MS }
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
