//! The wanted subscriptions of a session, and what is due of them.
//!
//! A frame arrives some hundred times a second, and a deadline falls some times a minute: so what is due, and what the
//! socket as a whole depends on, is kept up to date with every change, and never searched for.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use hl_core::ledger::Cause;
use hl_core::message::Subscription;
use hl_core::selector::{Event, Mono};
use hl_core::{Lane, RunId, StreamKey};

use super::order::Order;
use super::refusals::Renewals;
use super::{ACK_LIMIT_MS, Action, FIRST_DATA_LIMIT_MS, Hold};
use crate::ws::rhythm::Rhythm;

/// Where one wanted subscription is.
#[derive(Clone, Copy, Debug)]
pub(super) enum State {
    /// To be sent as soon as messages may go out, unless it is held.
    Due,
    /// To be sent, not before this.
    Later { at: Mono },
    /// Sent, as the `nth` message of its sort; no acknowledgement yet.
    Sent { at: Mono, nth: u64 },
    /// Acknowledged at `at`: a run, that has brought data or not.
    Live { run: RunId, at: Mono, last: Option<Mono>, asked: Mono },
}

/// One wanted subscription.
#[derive(Clone, Debug)]
pub(super) struct Sub {
    /// Which of the stream's subscriptions it is; a session never has both.
    pub(super) lane: Lane,
    pub(super) subscription: Subscription,
    pub(super) state: State,
    pub(super) rhythm: Rhythm,
    pub(super) order: Order,
    /// Whether it may be sent.
    pub(super) hold: Hold,
    /// How long to wait for first data before subscribing anew.
    pub(super) data_limit: i64,
    /// An unsubscribe must go out before the next subscribe.
    pub(super) unsubscribe: bool,
    /// The exchange may have it on this socket: a subscribe went out, and no unsubscribe since.
    pub(super) there: bool,
    pub(super) renewals: Renewals,
    /// When it is looked at: at its next deadline, or earlier.
    look: Option<Mono>,
}

/// What the set as a whole knows of a subscription.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Facts {
    ready: bool,
    carried: bool,
    live: bool,
    /// How long the socket may bring no data where this is among what it brings.
    beat: Option<i64>,
}

impl Sub {
    pub(super) fn new(stream: StreamKey, lane: Lane, subscription: Subscription) -> Self {
        let spec = stream.spec();
        Self {
            lane,
            subscription,
            state: State::Due,
            rhythm: Rhythm::new(spec.first_silence_ms, spec.longest_silence_ms),
            order: Order::default(),
            hold: Hold::No,
            data_limit: FIRST_DATA_LIMIT_MS,
            unsubscribe: false,
            there: false,
            renewals: Renewals::new(),
            look: None,
        }
    }

    pub(super) fn down(&self, stream: StreamKey, run: Option<RunId>, cause: Cause) -> Action {
        Action::Report(Event::Down { stream, lane: self.lane, run, cause })
    }

    /// The run, where there is one.
    pub(super) fn run(&self) -> Option<RunId> {
        match self.state {
            State::Live { run, .. } => Some(run),
            State::Due | State::Later { .. } | State::Sent { .. } => None,
        }
    }

    /// Whether the run has brought data.
    pub(super) fn has_data(&self) -> bool {
        matches!(self.state, State::Live { last: Some(_), .. })
    }

    /// When there is something to do for it, where that is not at once.
    fn deadline(&self) -> Option<Mono> {
        match self.state {
            State::Due => None,
            State::Later { at } => Some(at),
            State::Sent { at, .. } => Some(at + ACK_LIMIT_MS),
            State::Live { at, last: None, .. } => Some(at + self.data_limit),
            State::Live { last: Some(last), asked, .. } => {
                self.rhythm.limit().map(|limit| asked.max(last) + limit)
            }
        }
    }

    fn facts(&self, stream: StreamKey) -> Facts {
        let ready = matches!(self.state, State::Due) && self.hold == Hold::No;
        let waits = matches!(self.state, State::Due | State::Later { .. });
        let beats = stream.spec().steady && matches!(self.state, State::Live { last: Some(_), .. });
        Facts {
            ready,
            carried: !waits || self.hold == Hold::No,
            live: self.run().is_some(),
            beat: beats.then_some(stream.spec().first_silence_ms),
        }
    }
}

/// All of them.
#[derive(Default)]
pub(super) struct Subs {
    all: BTreeMap<StreamKey, Sub>,
    /// What is to be sent, the most valuable first.
    ready: BTreeSet<(Reverse<u8>, StreamKey)>,
    looks: BTreeSet<(Mono, StreamKey)>,
    beats: BTreeMap<i64, usize>,
    live: usize,
    carried: usize,
    proofs: usize,
    /// How often a subscription was looked at because something was due.
    #[cfg(test)]
    pub(super) looked: u64,
}

impl Subs {
    pub(super) fn get(&self, stream: StreamKey) -> Option<&Sub> {
        self.all.get(&stream)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (StreamKey, &Sub)> {
        self.all.iter().map(|(stream, sub)| (*stream, sub))
    }

    pub(super) fn streams(&self) -> Vec<StreamKey> {
        self.all.keys().copied().collect()
    }

    pub(super) fn add(&mut self, stream: StreamKey, sub: Sub) {
        if self.all.contains_key(&stream) {
            return;
        }
        self.count(stream, sub.facts(stream), true);
        self.proofs += usize::from(super::needs_proof(stream.kind()));
        self.all.insert(stream, sub);
    }

    pub(super) fn remove(&mut self, stream: StreamKey) -> Option<Sub> {
        let sub = self.all.remove(&stream)?;
        self.count(stream, sub.facts(stream), false);
        self.proofs -= usize::from(super::needs_proof(stream.kind()));
        if let Some(at) = sub.look {
            self.looks.remove(&(at, stream));
        }
        Some(sub)
    }

    /// Changes one, where it is wanted.
    pub(super) fn change<T>(&mut self, stream: StreamKey, change: impl FnOnce(&mut Sub) -> T) -> Option<T> {
        let sub = self.all.get_mut(&stream)?;
        let before = sub.facts(stream);
        let result = change(sub);
        let after = sub.facts(stream);
        // A look that comes too early finds nothing to do and is put off: cheaper than moving it with every frame.
        if let Some(at) = sub.deadline()
            && sub.look.is_none_or(|look| at < look)
        {
            if let Some(look) = sub.look.replace(at) {
                self.looks.remove(&(look, stream));
            }
            self.looks.insert((at, stream));
        }
        if before != after {
            self.count(stream, before, false);
            self.count(stream, after, true);
        }
        Some(result)
    }

    fn count(&mut self, stream: StreamKey, facts: Facts, counts: bool) {
        let tally = |total: &mut usize, is_so: bool| {
            *total = if counts { *total + usize::from(is_so) } else { *total - usize::from(is_so) };
        };
        tally(&mut self.live, facts.live);
        tally(&mut self.carried, facts.carried);
        if let Some(beat) = facts.beat {
            let beating = self.beats.entry(beat).or_default();
            tally(beating, true);
            if *beating == 0 {
                self.beats.remove(&beat);
            }
        }
        if facts.ready {
            let key = (Reverse(stream.spec().value), stream);
            if counts {
                self.ready.insert(key)
            } else {
                self.ready.remove(&key)
            };
        }
    }

    /// The next one whose deadline may have come, once for each time.
    pub(super) fn due(&mut self, now: Mono) -> Option<StreamKey> {
        let (_, stream) = self.looks.first().copied().filter(|(at, _)| *at <= now)?;
        self.looks.pop_first();
        if let Some(sub) = self.all.get_mut(&stream) {
            sub.look = None;
        }
        #[cfg(test)]
        {
            self.looked += 1;
        }
        Some(stream)
    }

    /// When to call [`Subs::due`] next.
    pub(super) fn next_look(&self) -> Option<Mono> {
        self.looks.first().map(|(at, _)| *at)
    }

    /// The most valuable of what is to be sent.
    pub(super) fn next_ready(&self) -> Option<StreamKey> {
        self.ready.first().map(|(_, stream)| *stream)
    }

    /// How many are acknowledged.
    pub(super) fn live(&self) -> usize {
        self.live
    }

    /// How many the socket carries, or is to carry: all but those that are held back.
    pub(super) fn carried(&self) -> usize {
        self.carried
    }

    pub(super) fn needs_proof(&self) -> bool {
        self.proofs > 0
    }

    /// How long the whole socket may bring no data: some streams are pushed by a clock, also where nothing changed, and
    /// so are its heartbeat. Pongs and acknowledgements are not. None without such a stream.
    pub(super) fn heartbeat_ms(&self) -> Option<i64> {
        self.beats.keys().next().copied()
    }
}
