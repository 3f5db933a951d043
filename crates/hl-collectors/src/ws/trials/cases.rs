//! What is suspected, and what is in quarantine.

use std::collections::BTreeMap;
use std::fmt;

use hl_core::selector::Mono;
use hl_core::{Coin, StreamKey};

use crate::ws::session::Hold;

/// The first quarantine, ms; it doubles with every trial that fails …
pub(super) const FIRST_PAUSE_MS: i64 = 30_000;
/// … up to this.
pub(super) const LONGEST_PAUSE_MS: i64 = 600_000;

/// What could not be tried for so long is shown to people, ms.
pub(super) const TOLD_MS: i64 = 10_000;

/// What the exchange may not know.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Name {
    /// A coin: all its streams name it.
    Coin(Coin),
    /// A stream that names no coin; or one that is guilty though its coin is good.
    Stream(StreamKey),
}

impl Name {
    pub(super) fn of(stream: StreamKey) -> Self {
        stream.coin().map_or(Self::Stream(stream), Self::Coin)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Coin(coin) => coin.fmt(f),
            Self::Stream(stream) => stream.fmt(f),
        }
    }
}

/// What is left alone for a while, for people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Quarantined {
    /// A coin, or a stream where only that is concerned.
    pub subject: String,
    /// Its streams.
    pub streams: Vec<StreamKey>,
    /// Why, in words.
    pub why: String,
    /// When it is tried again, on the monotonic clock, ms.
    pub next: Mono,
    /// How many trials it has failed in a row.
    pub failed: u32,
}

/// Why a stream is held.
#[derive(Clone, Copy, Default, Debug)]
struct Held {
    /// It was on the way when a socket died; otherwise it is held for its name.
    itself: bool,
    /// How often it was alone when the trial's socket died.
    strikes: u32,
}

/// Streams that are held, by name.
type HeldStreams = BTreeMap<StreamKey, Held>;

/// The one to be tried next: the one that has done least.
fn next(held: &HeldStreams) -> Option<StreamKey> {
    let value = |stream: &StreamKey| std::cmp::Reverse(stream.spec().value);
    let next = held.iter().min_by_key(|(stream, held)| (held.strikes, !held.itself, value(stream), **stream));
    next.map(|(stream, _)| *stream)
}

/// Whether a trial's socket died with one of them.
fn is_struck(held: &HeldStreams) -> bool {
    held.values().any(|held| held.strikes > 0)
}

/// A name of which it is not known whether it ends sockets.
#[derive(Clone, Debug)]
struct Suspicion {
    held: HeldStreams,
    /// Whether the name itself is in doubt: whatever else is wanted of it is held too.
    whole: bool,
    /// Tried in this order.
    nth: u64,
    since: Mono,
}

/// A name that was found guilty: left alone until then.
#[derive(Clone, Debug)]
struct Sentence {
    held: HeldStreams,
    until: Mono,
    pause_ms: i64,
    failed: u32,
    why: String,
}

impl Sentence {
    fn new(held: HeldStreams) -> Self {
        Self { held, until: Mono::MIN, pause_ms: FIRST_PAUSE_MS, failed: 0, why: String::new() }
    }

    /// One more verdict.
    fn lengthen(&mut self, now: Mono, name: Name, why: String) -> Quarantined {
        self.failed += 1;
        self.why = why;
        self.until = now + self.pause_ms;
        self.pause_ms = (self.pause_ms * 2).min(LONGEST_PAUSE_MS);
        self.quarantined(name)
    }

    fn quarantined(&self, name: Name) -> Quarantined {
        Quarantined {
            subject: name.to_string(),
            streams: self.held.keys().copied().collect(),
            why: self.why.clone(),
            next: self.until,
            failed: self.failed,
        }
    }
}

/// All of them. No stream is in both.
#[derive(Default)]
pub(super) struct Cases {
    suspected: BTreeMap<Name, Suspicion>,
    /// Coins that are guilty as a whole, and streams that are guilty alone: the others of their coin are tried before they
    /// share its fate.
    quarantined: BTreeMap<Name, Sentence>,
    next_nth: u64,
}

impl Cases {
    /// Holds a stream; with `whole`, all that is wanted of its coin, its name is in doubt. What is in quarantine stays there.
    pub(super) fn suspect(&mut self, now: Mono, stream: StreamKey, whole: Option<Vec<StreamKey>>) {
        let is_whole = whole.is_some();
        let fresh = |cases: &Self, stream: &StreamKey| cases.sentence_of(*stream).is_none();
        let others: Vec<_> = whole.into_iter().flatten().filter(|other| fresh(self, other)).collect();
        if let Some(name) = self.sentence_of(stream) {
            if let Some(sentence) = self.quarantined.get_mut(&name) {
                sentence.held.entry(stream).or_default().itself = true;
            }
            if others.is_empty() {
                return;
            }
        }
        let is_fresh = fresh(self, &stream);
        self.next_nth += 1;
        let nth = self.next_nth;
        let new = || Suspicion { held: BTreeMap::new(), whole: false, nth, since: now };
        let suspicion = self.suspected.entry(Name::of(stream)).or_insert_with(new);
        if is_fresh {
            suspicion.held.entry(stream).or_default().itself = true;
        }
        suspicion.whole |= is_whole;
        for other in others {
            suspicion.held.entry(other).or_default();
        }
    }

    /// What a stream is in quarantine for: itself, or its coin.
    fn sentence_of(&self, stream: StreamKey) -> Option<Name> {
        let names = [Name::Stream(stream), Name::of(stream)];
        names.into_iter().find(|name| self.quarantined.contains_key(name))
    }

    pub(super) fn want(&mut self, stream: StreamKey) {
        if let Some(name) = self.sentence_of(stream) {
            if let Some(sentence) = self.quarantined.get_mut(&name) {
                sentence.held.entry(stream).or_default();
            }
        } else if let Some(suspicion) = self.suspected.get_mut(&Name::of(stream)).filter(|s| s.whole) {
            suspicion.held.entry(stream).or_default();
        }
    }

    /// Returns what is over with that, where it was in quarantine.
    pub(super) fn forget(&mut self, stream: StreamKey) -> Option<String> {
        self.take_suspected(stream);
        let name = self.sentence_of(stream)?;
        let sentence = self.quarantined.get_mut(&name)?;
        sentence.held.remove(&stream);
        if !sentence.held.is_empty() {
            return None;
        }
        self.quarantined.remove(&name).map(|_| name.to_string())
    }

    /// Takes a stream out of what is suspected.
    fn take_suspected(&mut self, stream: StreamKey) -> Option<Held> {
        let name = Name::of(stream);
        let suspicion = self.suspected.get_mut(&name)?;
        let held = suspicion.held.remove(&stream);
        if suspicion.held.is_empty() {
            self.suspected.remove(&name);
        }
        held
    }

    pub(super) fn hold(&self, stream: StreamKey) -> Hold {
        if self.sentence_of(stream).is_some() {
            return Hold::Quarantine;
        }
        match self.suspected.get(&Name::of(stream)) {
            Some(suspicion) if suspicion.whole || suspicion.held.contains_key(&stream) => Hold::Trial,
            Some(_) | None => Hold::No,
        }
    }

    /// What is in quarantine, and what has waited for its trial for long.
    pub(super) fn quarantined(&self, now: Mono) -> Vec<Quarantined> {
        let waits = self.suspected.iter().filter(|(_, suspicion)| suspicion.since + TOLD_MS <= now);
        let waits = waits.map(|(name, suspicion)| Quarantined {
            subject: match suspicion.held.first_key_value() {
                Some((only, _)) if !suspicion.whole && suspicion.held.len() == 1 => only.to_string(),
                Some(_) | None => name.to_string(),
            },
            streams: suspicion.held.keys().copied().collect(),
            why: "a socket ended when it was subscribed, and there was no room to try it yet".to_owned(),
            next: now,
            failed: 0,
        });
        let guilty = self.quarantined.iter().map(|(name, sentence)| sentence.quarantined(*name));
        let mut all: Vec<_> = guilty.collect();
        // One line a subject: what was found out says more.
        let fresh: Vec<_> =
            waits.filter(|waits| all.iter().all(|case| case.subject != waits.subject)).collect();
        all.extend(fresh);
        all
    }

    /// What is to be tried next.
    pub(super) fn next(&self, now: Mono) -> Option<StreamKey> {
        if let Some(suspicion) = self.suspected.values().min_by_key(|suspicion| suspicion.nth) {
            return next(&suspicion.held);
        }
        let due = self.quarantined.values().filter(|sentence| sentence.until <= now);
        due.min_by_key(|sentence| sentence.until).and_then(|sentence| next(&sentence.held))
    }

    /// When something is to be tried.
    pub(super) fn next_due(&self) -> Option<Mono> {
        if !self.suspected.is_empty() {
            return Some(Mono::MIN);
        }
        self.quarantined.values().map(|sentence| sentence.until).min()
    }

    /// The trial's socket lives with the stream. Returns what is over with that, where it was in quarantine.
    pub(super) fn acquit(&mut self, now: Mono, stream: StreamKey) -> Option<String> {
        let over = self.forget(stream);
        let name = Name::of(stream);
        // The name is good: what was held for its sake alone is let go.
        let has_reason = |held: &Held| held.itself || held.strikes > 0;
        if let Some(suspicion) = self.suspected.get_mut(&name)
            && std::mem::take(&mut suspicion.whole)
        {
            suspicion.held.retain(|_, held| has_reason(held));
            if suspicion.held.is_empty() {
                self.suspected.remove(&name);
            }
        }
        let Some(sentence) = self.quarantined.remove(&name) else { return over };
        let held: HeldStreams = sentence.held.into_iter().filter(|(_, held)| has_reason(held)).collect();
        if !held.is_empty() {
            // Each is to be judged alone, and at once.
            self.next_nth += 1;
            self.suspected.insert(name, Suspicion { held, whole: false, nth: self.next_nth, since: now });
        }
        Some(name.to_string())
    }

    /// Whether one more death is enough: it has died before, or a name that is in doubt as a whole has.
    pub(super) fn is_confirmed(&self, stream: StreamKey) -> bool {
        self.sentence_of(stream).is_some()
            || self.suspected.get(&Name::of(stream)).is_some_and(|suspicion| {
                let itself = suspicion.held.get(&stream).is_some_and(|held| held.strikes > 0);
                itself || suspicion.whole && is_struck(&suspicion.held)
            })
    }

    /// The trial's socket died with the stream, and lives without it.
    pub(super) fn strike(&mut self, stream: StreamKey) {
        let held = match self.sentence_of(stream) {
            Some(name) => self.quarantined.get_mut(&name).map(|sentence| &mut sentence.held),
            None => self.suspected.get_mut(&Name::of(stream)).map(|suspicion| &mut suspicion.held),
        };
        if let Some(held) = held.and_then(|held| held.get_mut(&stream)) {
            held.strikes += 1;
        }
    }

    /// Sockets died with the stream: its name is left alone for a while; a stream of a name that is good alone.
    pub(super) fn convict(&mut self, now: Mono, stream: StreamKey, why: String) -> Option<Quarantined> {
        let name = Name::of(stream);
        let is_new = self.sentence_of(stream).is_none();
        if is_new && self.suspected.get(&name).is_some_and(|suspicion| suspicion.whole) {
            self.strike(stream);
            let suspicion = self.suspected.remove(&name)?;
            return Some(self.sentence(now, name, suspicion.held, why));
        }
        self.convict_alone(now, stream, why)
    }

    /// The stream itself is guilty, whatever its name is: it is left alone for a while, and nothing with it.
    pub(super) fn convict_alone(&mut self, now: Mono, stream: StreamKey, why: String) -> Option<Quarantined> {
        if let Some(name) = self.sentence_of(stream) {
            self.strike(stream);
            let sentence = self.quarantined.get_mut(&name)?;
            return Some(sentence.lengthen(now, name, why));
        }
        let mut held = self.take_suspected(stream)?;
        held.strikes += 1;
        Some(self.sentence(now, Name::Stream(stream), BTreeMap::from([(stream, held)]), why))
    }

    fn sentence(&mut self, now: Mono, name: Name, held: HeldStreams, why: String) -> Quarantined {
        self.quarantined.entry(name).or_insert_with(|| Sentence::new(held)).lengthen(now, name, why)
    }

    /// Lets go what is only suspected, but for one name.
    pub(super) fn release_unproven(&mut self, but: Name) {
        self.suspected.retain(|name, suspicion| *name == but || is_struck(&suspicion.held));
    }

    /// Nothing can be found out now: what is only suspected is let go, and what is in quarantine stays there for a while.
    pub(super) fn let_go(&mut self, now: Mono) {
        self.suspected.clear();
        for sentence in self.quarantined.values_mut() {
            sentence.until = sentence.until.max(now + FIRST_PAUSE_MS);
        }
    }
}
