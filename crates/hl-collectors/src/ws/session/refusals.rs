//! What the exchange does not take: error frames, a socket closed without a word, and frames of its own that cannot be
//! read. Which subscription is to blame, and when it is tried again.

use hl_core::decode::{DecodeError, Frame, Part, Rows};
use hl_core::ledger::Cause;
use hl_core::message::ws::Message;
use hl_core::message::{Method, Subscription};
use hl_core::record::Trade;
use hl_core::selector::Mono;
use hl_core::source::Content;
use hl_core::{Kind, Records, StreamKey, TimeMs};

use super::{Action, Session, State, Sub, offer};

/// A socket that closes this soon after a subscribe may have been killed by it.
pub(super) const BLAME_MS: i64 = 3_000;
/// A subscription alone on the way when the socket died, this many times, is quarantined.
const STRIKES: u32 = 2;
pub(super) const QUARANTINE_MS: i64 = 600_000;
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

impl Session {
    /// A close right after a subscribe is blamed on it: one bad subscription kills the whole socket, without a word.
    pub(super) fn blame(&mut self, now: Mono, out: &mut Vec<Action>) {
        let on_the_way = |sub: &Sub| matches!(sub.state, State::Sent { at } if now - at <= BLAME_MS);
        let count = self.subs.values().filter(|sub| on_the_way(sub)).count();
        for (stream, sub) in self.subs.iter_mut().filter(|(_, sub)| on_the_way(sub)) {
            // Several were on the way: each is tried alone from now on, and only then counted against.
            if count == 1 {
                sub.strikes += 1;
            }
            sub.suspect = true;
            if sub.strikes >= STRIKES {
                sub.state = State::Quarantined { until: now + QUARANTINE_MS };
                // Once more after the quarantine, and it is back in it.
                sub.strikes = STRIKES - 1;
                self.counters.quarantined += 1;
                out.push(sub.down(*stream, None, Cause::Refused));
            }
        }
    }

    /// A frame could not be decoded. It ends the run that it belongs to, where the coin can be read, else the runs that it
    /// may have belonged to. Where it did not come whole, trades are subscribed anew, as often as their back-off allows,
    /// since the replay is the best filler of the hole; all others go on, and their time lines know of it.
    pub fn undecodable(&mut self, now: Mono, exchange: TimeMs, error: &DecodeError, out: &mut Vec<Action>) {
        self.counters.undecodable += 1;
        let channel = error.what.as_str();
        let is_data = Kind::ALL.into_iter().any(|kind| may_carry(channel, kind));
        if !is_data && Message::CHANNELS.contains(&channel) {
            // Of no stream: an acknowledgement is asked for again.
            return;
        }
        let is_theirs = |stream: StreamKey| !is_data || may_carry(channel, stream.kind());
        // A name that is nobody's here was damaged.
        let coin = error
            .coin
            .filter(|coin| self.subs.keys().any(|stream| is_theirs(*stream) && stream.coin() == Some(*coin)));
        for (stream, sub) in &mut self.subs {
            let State::Live { run, .. } = sub.state else { continue };
            if !is_theirs(*stream) || (coin.is_some() && stream.coin() != coin) {
                continue;
            }
            if stream.kind() == Kind::Trades && sub.renewals.unread(now, error.well_formed) {
                sub.state = State::Due { at: now };
                sub.unsubscribe = true;
                self.counters.renewed += 1;
                out.push(sub.down(*stream, Some(run), Cause::Undecodable));
            } else {
                out.push(offer(*stream, run, Content::Broken { at: exchange }));
            }
        }
    }

    /// Trades of which some cannot be read: each of these is a break, and what lies around it is taken. The run goes on,
    /// since a replay would bring the same.
    pub(super) fn some_trades(
        &mut self,
        now: Mono,
        exchange: TimeMs,
        trades: Rows<Trade>,
        out: &mut Vec<Action>,
    ) {
        let Some(coin) = trades.rows.first().map(|trade| trade.coin) else { return };
        let stream = StreamKey::Trades(coin);
        self.counters.unreadable += trades.unreadable();
        for part in trades.into_parts() {
            match part {
                Part::Rows(trades) => self.data(now, stream, Records::Trades(trades), out),
                Part::Hole(_) => {
                    if let Some(Sub { state: State::Live { run, .. }, .. }) = self.subs.get(&stream) {
                        out.push(offer(stream, *run, Content::Broken { at: exchange }));
                    }
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
                self.frame(now, exchange, frame, out);
            }
            return;
        }
        if words.starts_with("Already unsubscribed: ") {
            // The subscribe behind it has an answer of its own.
            return;
        }
        let over_limit =
            words.starts_with("Cannot subscribe to more than") || words.starts_with("Cannot send more than");
        for (stream, sub) in &mut self.subs {
            if !matches!(sub.state, State::Sent { .. }) {
                continue;
            }
            if over_limit {
                sub.state = State::Due { at: now + OVER_LIMIT_PAUSE_MS };
                out.push(sub.down(*stream, None, Cause::OverCapacity));
            } else if names(words, &sub.subscription) {
                sub.state = State::Quarantined { until: now + QUARANTINE_MS };
                self.counters.quarantined += 1;
                out.push(sub.down(*stream, None, Cause::Refused));
            }
        }
    }
}

/// Whether an error message quotes the subscription.
fn names(words: &str, subscription: &Subscription) -> bool {
    let quoted = words.find('{').map(|at| &words[at..]);
    let echo = quoted.and_then(|json| serde_json::from_str::<serde_json::Value>(json).ok());
    let echo = echo.as_ref().map(|e| e.get("subscription").unwrap_or(e));
    echo.is_some_and(|echo| subscription.matches_echo(echo))
}

/// Whether a channel carries streams of a kind.
fn may_carry(channel: &str, kind: Kind) -> bool {
    let name = match kind {
        Kind::Trades => "trades",
        Kind::Book | Kind::BookFast => "l2Book",
        Kind::Bbo => "bbo",
        Kind::Candle => "candle",
        Kind::Mids => "allMids",
        Kind::Context => return matches!(channel, "activeAssetCtx" | "activeSpotAssetCtx"),
        Kind::Funding => return false,
    };
    channel == name
}
