//! Which name ends sockets: found out on a socket of its own, where it hurts no other.
//!
//! One subscription to a name that the exchange does not know closes the whole socket, without a word (PROTOCOL section 0,
//! point 5). So a socket that dies right after a subscribe makes suspects, and they are held: no socket that carries
//! streams subscribes them before they were tried here, one after another. A name is guilty only on evidence: the trial's
//! socket died with it alone on the way, and then another subscription lived on the next one. Where that dies as well, it
//! is an outage, and everything suspected is let go. The first verdict is confirmed once more before it counts.
//!
//! What is guilty is in quarantine: tried again after a while, ever more seldom, here and nowhere else.
//!
//! Pure, as a session is. There is one trial socket a process, and it exists only while something is tried.

mod cases;

use std::collections::BTreeSet;

use hl_core::decode::Frame;
use hl_core::message::{Method, Request, Subscription};
use hl_core::selector::Mono;
use hl_core::{Coin, StreamKey};

pub use self::cases::Quarantined;
use self::cases::{Cases, Name};
use super::session::{BLAME_MS, CONNECT_LIMIT_MS, Death, Hold, names};

/// Once everything was seen to die, for so long nothing is suspected.
const OUTAGE_MS: i64 = 10_000;

/// What the shell is to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Act {
    /// Open the trial's socket; answer with [`Trials::connected`], [`Trials::closed`] or [`Trials::wait`].
    Connect,
    /// Send a text frame.
    Send(String),
    /// Close the socket; answer with [`Trials::closed`].
    Close,
    /// A name was found guilty: the user is told.
    Convicted(Quarantined),
    /// This is no longer in quarantine: it works again, or nobody wants it any more.
    Cleared(String),
}

/// The trial's socket.
#[derive(Clone, Copy, Debug)]
enum Link {
    /// None, and none before `retry`.
    Down { retry: Mono },
    /// Being opened since `since`.
    Connecting { since: Mono },
    /// Open.
    Up,
    /// Told to close.
    Closing,
}

/// What is on the way on the trial's socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Probe {
    /// A subscription to a stream that is held.
    Held(StreamKey),
    /// One to the mids of the first dex, which name nothing.
    Mids,
    /// A ping, where the mids themselves are accused.
    Ping,
}

impl Probe {
    fn subscription(self) -> Option<Subscription> {
        match self {
            Self::Held(stream) => Subscription::for_stream(stream),
            Self::Mids => Subscription::for_stream(StreamKey::MIDS),
            Self::Ping => None,
        }
    }
}

/// The machine. See the [module](self).
pub struct Trials {
    link: Link,
    cases: Cases,
    /// What is on the way, and since when.
    on_the_way: Option<(Probe, Mono)>,
    /// The last socket died with this alone on the way: another subscription has to live before that means anything.
    accused: Option<StreamKey>,
    /// Everything dies, or did a moment ago: until then nothing is suspected.
    outage_until: Mono,
    /// Grows with every change of what is held.
    version: u64,
    /// Coins that were found guilty and not yet asked about.
    convicted: BTreeSet<Coin>,
}

impl Default for Trials {
    fn default() -> Self {
        Self {
            link: Link::Down { retry: Mono::MIN },
            cases: Cases::default(),
            on_the_way: None,
            accused: None,
            outage_until: Mono::MIN,
            version: 0,
            convicted: BTreeSet::new(),
        }
    }
}

impl Trials {
    /// A socket that lived died with subscriptions on the way. All streams of a coin are suspected together, unless
    /// something of the coin was acknowledged a moment before; `of_coin` names those that are wanted.
    pub fn suspect(&mut self, now: Mono, death: &Death, of_coin: impl Fn(Coin) -> Vec<StreamKey>) {
        // The selector hears of it also where nothing is held.
        self.version += 1;
        if now < self.outage_until {
            return;
        }
        for stream in &death.suspects {
            let whole = stream.coin().filter(|coin| !death.proved.contains(coin));
            self.cases.suspect(now, *stream, whole.map(&of_coin));
        }
    }

    /// The exchange refused a stream, in words that quote it: no evidence is needed.
    pub fn refused(&mut self, now: Mono, stream: StreamKey, words: &str, out: &mut Vec<Act>) {
        self.cases.suspect(now, stream, None);
        self.convicted_in_words(now, stream, words, out);
    }

    /// A stream is wanted from now on.
    pub fn want(&mut self, stream: StreamKey) {
        self.cases.want(stream);
    }

    /// A stream is no longer wanted by anybody.
    pub fn forget(&mut self, stream: StreamKey, out: &mut Vec<Act>) {
        let before = self.cases.forget(stream);
        out.extend(before.map(Act::Cleared));
        self.accused = self.accused.filter(|accused| *accused != stream);
        self.version += 1;
    }

    /// Whether a stream may be subscribed elsewhere.
    #[must_use]
    pub fn hold(&self, stream: StreamKey) -> Hold {
        self.cases.hold(stream)
    }

    /// Grows with every change of what [`Trials::hold`] says.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// What is in quarantine, and what should have been tried long ago: it is held as well.
    #[must_use]
    pub fn quarantined(&self, now: Mono) -> Vec<Quarantined> {
        self.cases.quarantined(now)
    }

    /// Coins that were found guilty since this was last asked: the exchange may not have them any more.
    pub fn take_convicted(&mut self) -> BTreeSet<Coin> {
        std::mem::take(&mut self.convicted)
    }

    /// The trial's socket is open.
    pub fn connected(&mut self) {
        self.link = Link::Up;
    }

    /// There is no room for a trial before `until`.
    pub fn wait(&mut self, until: Mono) {
        self.link = Link::Down { retry: until };
    }

    /// The trial's socket is gone, or could not be opened.
    pub fn closed(&mut self, now: Mono) {
        let link = std::mem::replace(&mut self.link, Link::Down { retry: now });
        match (link, self.on_the_way.take(), self.accused) {
            // By our own wish: all is done.
            (Link::Closing, None, None) => {}
            (Link::Up, Some((Probe::Held(stream), _)), None) => self.accused = Some(stream),
            // Also what is not accused does not live: everything dies, and no name is guilty.
            _ => {
                self.accused = None;
                self.outage_until = now + OUTAGE_MS;
                self.cases.let_go(now);
                self.version += 1;
            }
        }
    }

    /// A frame came in on the trial's socket.
    pub fn frame(&mut self, now: Mono, frame: &Frame, out: &mut Vec<Act>) {
        let Some((probe, _)) = self.on_the_way else { return };
        let subscription = probe.subscription();
        let is_ours = |echo| subscription.as_ref().is_some_and(|s| s.matches_echo(echo));
        match frame {
            Frame::Ack { method: Method::Subscribe, subscription } if is_ours(subscription) => {
                self.survived(now, probe, out);
            }
            Frame::Pong if probe == Probe::Ping => self.survived(now, probe, out),
            Frame::Error(words) if subscription.as_ref().is_some_and(|s| names(words, s)) => {
                match probe {
                    Probe::Held(stream) if !words.starts_with("Already subscribed: ") => {
                        self.on_the_way = None;
                        self.convicted_in_words(now, stream, words, out);
                    }
                    // The socket lives with it.
                    Probe::Held(_) | Probe::Mids | Probe::Ping => self.survived(now, probe, out),
                }
            }
            _ => {}
        }
    }

    /// The socket lives with what was on the way.
    fn survived(&mut self, now: Mono, probe: Probe, out: &mut Vec<Act>) {
        self.on_the_way = None;
        if let Some(subscription) = probe.subscription() {
            out.push(Act::Send(Request::unsubscribe(&subscription).to_text()));
        }
        if let Probe::Held(stream) = probe {
            out.extend(self.cases.acquit(now, stream).map(Act::Cleared));
            self.version += 1;
        }
        if let Some(accused) = self.accused.take() {
            let why = "sockets end without a word when it is subscribed, and live without it".to_owned();
            if self.cases.is_confirmed(accused) {
                let case = self.cases.convict(now, accused, why);
                self.convicted(accused, case, out);
            } else {
                self.cases.strike(accused);
            }
            // The death that made suspects of the others is explained.
            self.cases.release_unproven(Name::of(accused));
            self.version += 1;
        }
    }

    /// The words name the stream, and say nothing of the others of its coin.
    fn convicted_in_words(&mut self, now: Mono, stream: StreamKey, words: &str, out: &mut Vec<Act>) {
        let case = self.cases.convict_alone(now, stream, format!("the exchange answers {words:?}"));
        self.convicted(stream, case, out);
    }

    fn convicted(&mut self, stream: StreamKey, case: Option<Quarantined>, out: &mut Vec<Act>) {
        if let Some(quarantined) = case {
            self.convicted.extend(stream.coin());
            self.version += 1;
            out.push(Act::Convicted(quarantined));
        }
    }

    /// Looks at deadlines and does what is due.
    pub fn tick(&mut self, now: Mono, out: &mut Vec<Act>) {
        match self.link {
            Link::Down { retry } if retry <= now && self.has_work(now) => {
                self.link = Link::Connecting { since: now };
                out.push(Act::Connect);
            }
            Link::Connecting { since } if since + CONNECT_LIMIT_MS <= now => {
                self.link = Link::Closing;
                // It could not be opened: that is an outage.
                self.on_the_way = Some((Probe::Ping, now));
                out.push(Act::Close);
            }
            Link::Down { .. } | Link::Connecting { .. } | Link::Closing => {}
            Link::Up => {
                if let Some((probe, sent)) = self.on_the_way
                    && sent + BLAME_MS <= now
                {
                    self.survived(now, probe, out);
                }
                if self.on_the_way.is_none() {
                    self.probe_next(now, out);
                }
            }
        }
    }

    fn probe_next(&mut self, now: Mono, out: &mut Vec<Act>) {
        let next = match self.accused {
            // The mids name nothing that could be unknown.
            Some(StreamKey::MIDS) => Some(Probe::Ping),
            Some(_) if self.cases.hold(StreamKey::MIDS) != Hold::No => Some(Probe::Held(StreamKey::MIDS)),
            Some(_) => Some(Probe::Mids),
            None => self.cases.next(now).map(Probe::Held),
        };
        let Some(probe) = next else {
            self.link = Link::Closing;
            return out.push(Act::Close);
        };
        let subscription = probe.subscription();
        let request = subscription.as_ref().map_or(Request::Ping, Request::subscribe);
        self.on_the_way = Some((probe, now));
        out.push(Act::Send(request.to_text()));
    }

    fn has_work(&self, now: Mono) -> bool {
        self.accused.is_some() || self.cases.next(now).is_some()
    }

    /// When [`Trials::tick`] has something to do next.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Mono> {
        match self.link {
            Link::Down { retry } if self.accused.is_some() => Some(retry),
            Link::Down { retry } => self.cases.next_due().map(|due| due.max(retry)),
            Link::Connecting { since } => Some(since + CONNECT_LIMIT_MS),
            Link::Closing => None,
            Link::Up => Some(self.on_the_way.map_or(Mono::MIN, |(_, sent)| sent + BLAME_MS)),
        }
    }
}

#[cfg(test)]
mod tests;
