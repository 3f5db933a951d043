//! What the exchange does not take: error frames, a socket closed without a word, and frames of its own that cannot be
//! read. Which subscriptions may be to blame: which of them is, a trial finds out ([`trials`](crate::ws::trials)).

use std::collections::BTreeSet;
use std::num::NonZeroI64;

use hl_core::decode::{DecodeError, Frame, Part, Rows};
use hl_core::ledger::Cause;
use hl_core::message::ws::Message;
use hl_core::message::{Method, Subscription};
use hl_core::record::Trade;
use hl_core::selector::Mono;
use hl_core::source::Content;
use hl_core::{Coin, Kind, Records, StreamKey, TimeMs};

use super::subs::{State, Sub};
use super::{Action, Hold, Link, Session, offer};

/// A socket that closes this soon after a subscribe may have been killed by it.
pub(in crate::ws) const BLAME_MS: i64 = 3_000;
/// Subscriptions are taken in the order in which they were sent, so the first without an answer is the likeliest; the
/// answers to some before it may have been lost with the socket.
const MOST_SUSPECTS: usize = 20;
/// After "Cannot subscribe to more than 1000 channels" the old socket may still count.
pub(super) const OVER_LIMIT_PAUSE_MS: i64 = 5_000;

/// After a frame that could not be read, trades are subscribed anew at once; after the next one not before this, doubling:
/// what cannot be read may never be readable, and every renewal costs messages of all.
const FIRST_RENEWAL_MS: i64 = 1_000;
const LONGEST_RENEWAL_MS: i64 = 600_000;

/// So many frames in a row that came whole and cannot be read end a run: over REST its rows may be readable. After fewer it
/// goes on, since a replay would bring the same.
const UNREAD_IN_A_ROW: u32 = 3;

/// When a subscription may next be made anew because a frame of it could not be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Renewals {
    due: Mono,
    pause_ms: i64,
    /// Frames in a row that could not be read.
    unread: u32,
}

impl Renewals {
    pub(super) fn new() -> Self {
        Self { due: Mono::MIN, pause_ms: FIRST_RENEWAL_MS, unread: 0 }
    }

    /// A frame could be read.
    pub(super) fn read(&mut self) {
        self.unread = 0;
    }

    /// A frame could not be read. Whether the subscription is to be made anew now; then the next pause is longer, unless
    /// there was none to be made for long.
    fn unread(&mut self, now: Mono, well_formed: bool) -> bool {
        self.unread = self.unread.saturating_add(1);
        if now < self.due || (well_formed && self.unread < UNREAD_IN_A_ROW) {
            return false;
        }
        if self.due.saturating_add(LONGEST_RENEWAL_MS) < now {
            self.pause_ms = FIRST_RENEWAL_MS;
        }
        self.due = now + self.pause_ms;
        self.pause_ms = (self.pause_ms * 2).min(LONGEST_RENEWAL_MS);
        true
    }
}

/// A socket that lived and closed without a word, and the subscriptions that were on the way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Death {
    /// They, in the order in which they were sent.
    pub suspects: Vec<StreamKey>,
    /// Coins of which something was acknowledged a moment before: their names are good.
    pub proved: BTreeSet<Coin>,
}

impl Session {
    /// A close right after a subscribe may be the work of that subscription: one bad name ends the whole socket, without
    /// a word. Not where the socket had never lived: then it is the socket, and no name is suspected.
    pub(super) fn death(&self, now: Mono) -> Option<Death> {
        let Link::Up { lived: true, .. } = self.link else { return None };
        let mut on_the_way = Vec::new();
        let mut proved = BTreeSet::new();
        for (stream, sub) in self.subs.iter() {
            match sub.state {
                State::Sent { at, nth } if now - at <= BLAME_MS => on_the_way.push((nth, stream)),
                State::Live { at, .. } if now - at <= BLAME_MS => proved.extend(stream.coin()),
                State::Due | State::Later { .. } | State::Sent { .. } | State::Live { .. } => {}
            }
        }
        if on_the_way.is_empty() {
            return None;
        }
        on_the_way.sort_unstable();
        let suspects = on_the_way.into_iter().take(MOST_SUSPECTS).map(|(_, stream)| stream).collect();
        Some(Death { suspects, proved })
    }

    /// A frame could not be decoded. It ends the run that it belongs to, where the coin can be read, else the runs that it
    /// may have belonged to. Where it did not come whole, trades are subscribed anew, as often as their back-off allows,
    /// since the replay is the best filler of the hole; all others go on, and their time lines know of it.
    pub fn undecodable(&mut self, now: Mono, exchange: TimeMs, error: &DecodeError, out: &mut Vec<Action>) {
        self.counters.undecodable += 1;
        self.heard(now);
        let channel = error.what.as_str();
        let is_data = Kind::ALL.into_iter().any(|kind| may_carry(channel, kind));
        if !is_data && Message::CHANNELS.contains(&channel) {
            // Of no stream: an acknowledgement is asked for again.
            return;
        }
        let streams = self.subs.streams();
        let is_theirs = |stream: StreamKey| !is_data || may_carry(channel, stream.kind());
        // A name that this socket does not have was damaged.
        let is_known = |coin: &Coin| streams.iter().any(|s| is_theirs(*s) && s.coin() == Some(*coin));
        let coin = error.coin.filter(is_known);
        for stream in streams.iter().copied() {
            let Some(run) = self.subs.get(stream).and_then(Sub::run) else { continue };
            if !is_theirs(stream) || (coin.is_some() && stream.coin() != coin) {
                continue;
            }
            let is_anew = stream.kind() == Kind::Trades
                && self.subs.change(stream, |sub| sub.renewals.unread(now, error.well_formed)) == Some(true);
            if is_anew {
                out.extend(self.end(stream, run, Cause::Undecodable));
            } else {
                out.push(offer(stream, run, Content::Broken { at: exchange }));
            }
        }
    }

    /// Trades of which some cannot be read: each of these is a break, and what lies around it is taken. The run goes on,
    /// since a replay would bring the same.
    pub(super) fn some_trades(
        &mut self,
        now: Mono,
        exchange: TimeMs,
        (trades, received): (Rows<Trade>, Option<NonZeroI64>),
        out: &mut Vec<Action>,
    ) {
        let Some(coin) = trades.rows.first().map(|trade| trade.coin) else { return };
        let stream = StreamKey::Trades(coin);
        self.counters.unreadable += trades.unreadable();
        // All of the first frame was there before, also behind what cannot be read.
        let received = received.filter(|_| self.subs.get(stream).is_some_and(Sub::has_data));
        for part in trades.into_parts() {
            match part {
                Part::Rows(trades) => self.data(now, stream, Records::Trades(trades), received, out),
                Part::Hole(_) => {
                    let run = self.subs.get(stream).and_then(Sub::run);
                    out.extend(run.map(|run| offer(stream, run, Content::Broken { at: exchange })));
                }
            }
        }
    }

    /// An error frame: the socket stays open.
    pub(super) fn refused(&mut self, now: Mono, exchange: TimeMs, words: &str, out: &mut Vec<Action>) {
        self.counters.errors += 1;
        if let Some(echo) = words.strip_prefix("Already subscribed: ") {
            // As good as an acknowledgement.
            if let Ok(echo) = serde_json::from_str(echo) {
                let frame = Frame::Ack { method: Method::Subscribe, subscription: echo };
                self.frame(now, exchange, (frame, None), out);
            }
            return;
        }
        if words.starts_with("Already unsubscribed: ") {
            // The subscribe behind it has an answer of its own.
            return;
        }
        let over_limit =
            words.starts_with("Cannot subscribe to more than") || words.starts_with("Cannot send more than");
        let is_sent = |(_, sub): &(StreamKey, &Sub)| matches!(sub.state, State::Sent { .. });
        let sent: Vec<_> = self.subs.iter().filter(is_sent).map(|(stream, _)| stream).collect();
        for stream in sent {
            let action = self.subs.change(stream, |sub| {
                if over_limit {
                    sub.state = State::Later { at: now + OVER_LIMIT_PAUSE_MS };
                    return Some(sub.down(stream, None, Cause::OverCapacity));
                }
                names(words, &sub.subscription).then(|| {
                    sub.state = State::Due;
                    sub.there = false;
                    sub.hold = Hold::Trial;
                    Action::Refused { stream, words: words.to_owned() }
                })
            });
            out.extend(action.flatten());
        }
    }
}

/// Whether an error message quotes the subscription.
pub(in crate::ws) fn names(words: &str, subscription: &Subscription) -> bool {
    let quoted = words.find('{').map(|at| &words[at..]);
    let echo = quoted.and_then(|json| serde_json::from_str::<serde_json::Value>(json).ok());
    let echo = echo.as_ref().map(|e| e.get("subscription").unwrap_or(e));
    echo.is_some_and(|echo| subscription.matches_echo(echo))
}

/// Whether a channel carries streams of a kind.
fn may_carry(channel: &str, kind: Kind) -> bool {
    kind.spec().channels.contains(&channel)
}
