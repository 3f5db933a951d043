//! What the exchange does not take: error frames, a socket closed without a word, and frames of its own that cannot be
//! read. Which subscriptions may be to blame: which of them is, a trial finds out ([`trials`](crate::ws::trials)).

use std::collections::BTreeSet;

use hl_core::decode::Frame;
use hl_core::ledger::Cause;
use hl_core::message::{Method, Subscription};
use hl_core::selector::Mono;
use hl_core::source::Content;
use hl_core::{Coin, Kind, StreamKey, TimeMs};

use super::subs::{State, Sub};
use super::{Action, Hold, Link, Session, offer};

/// A socket that closes this soon after a subscribe may have been killed by it.
pub(in crate::ws) const BLAME_MS: i64 = 3_000;
/// Subscriptions are taken in the order in which they were sent, so the first without an answer is the likeliest; the
/// answers to some before it may have been lost with the socket.
const MOST_SUSPECTS: usize = 20;
/// After "Cannot subscribe to more than 1000 channels" the old socket may still count.
pub(super) const OVER_LIMIT_PAUSE_MS: i64 = 5_000;

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

    /// A frame could not be decoded. It ends the runs that it may have belonged to: trades are subscribed anew, since
    /// the replay is the best filler of the hole; states and bars go on, and their time lines know of the hole.
    pub fn undecodable(&mut self, now: Mono, exchange: TimeMs, channel: &str, out: &mut Vec<Action>) {
        self.counters.undecodable += 1;
        self.heard(now);
        let known = Kind::ALL.into_iter().any(|kind| may_carry(channel, kind));
        for stream in self.subs.streams() {
            let Some(run) = self.subs.get(stream).and_then(Sub::run) else { continue };
            if known && !may_carry(channel, stream.kind()) {
                continue;
            }
            if stream.kind() == Kind::Trades {
                out.extend(self.end(stream, run, Cause::Undecodable));
            } else {
                out.push(offer(stream, run, Content::Broken { at: exchange }));
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
