//! What is suspected, and what is in quarantine.

use std::collections::BTreeMap;

use hl_core::selector::Mono;
use hl_core::{Coin, StreamKey};

use crate::ws::session::Hold;

/// The first quarantine, ms; it doubles with every trial that fails …
pub(super) const FIRST_PAUSE_MS: i64 = 30_000;
/// … up to this.
pub(super) const LONGEST_PAUSE_MS: i64 = 600_000;

/// What the exchange may not know.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Name {
    /// A coin: all its streams name it.
    Coin(Coin),
    /// A stream that names no coin.
    Stream(StreamKey),
}

impl Name {
    pub(super) fn of(stream: StreamKey) -> Self {
        stream.coin().map_or(Self::Stream(stream), Self::Coin)
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

#[derive(Clone, Copy, Debug)]
enum Stage {
    /// To be tried, in this order.
    Suspected { nth: u64 },
    /// Left alone until then.
    Quarantined { until: Mono },
}

/// Why a stream is held.
#[derive(Clone, Copy, Default, Debug)]
struct Held {
    /// It was on the way when a socket died; otherwise it is held for its name.
    itself: bool,
    /// How often it was alone when the trial's socket died.
    strikes: u32,
}

/// A name that is not trusted.
#[derive(Clone, Debug)]
struct Case {
    /// Its streams that are held.
    held: BTreeMap<StreamKey, Held>,
    /// Whether the name itself is in doubt: whatever else is wanted of it is held too.
    whole: bool,
    stage: Stage,
    pause_ms: i64,
    failed: u32,
    /// What was last put into quarantine, and why, in words.
    subject: String,
    why: String,
}

impl Case {
    /// The stream to be tried next: the one that has done least.
    fn next(&self) -> Option<StreamKey> {
        let value = |stream: &StreamKey| std::cmp::Reverse(stream.spec().value);
        let next = self
            .held
            .iter()
            .min_by_key(|(stream, held)| (held.strikes, !held.itself, value(stream), **stream));
        next.map(|(stream, _)| *stream)
    }

    /// Whether a trial's socket died with one of its streams.
    fn is_struck(&self) -> bool {
        self.held.values().any(|held| held.strikes > 0)
    }

    fn quarantined(&self) -> Option<Quarantined> {
        let Stage::Quarantined { until } = self.stage else { return None };
        Some(Quarantined {
            subject: self.subject.clone(),
            streams: self.held.keys().copied().collect(),
            why: self.why.clone(),
            next: until,
            failed: self.failed,
        })
    }

    /// What was in quarantine, where the case is over with this.
    fn over(&self) -> Option<String> {
        matches!(self.stage, Stage::Quarantined { .. }).then(|| self.subject.clone())
    }
}

/// All of them.
#[derive(Default)]
pub(super) struct Cases {
    all: BTreeMap<Name, Case>,
    next_nth: u64,
}

impl Cases {
    /// Holds a stream; with `whole`, all that is wanted of its coin, its name is in doubt.
    pub(super) fn suspect(&mut self, stream: StreamKey, whole: Option<Vec<StreamKey>>) {
        self.next_nth += 1;
        let case = self.all.entry(Name::of(stream)).or_insert_with(|| Case {
            held: BTreeMap::new(),
            whole: false,
            stage: Stage::Suspected { nth: self.next_nth },
            pause_ms: FIRST_PAUSE_MS,
            failed: 0,
            subject: String::new(),
            why: String::new(),
        });
        case.held.entry(stream).or_default().itself = true;
        for stream in whole.into_iter().flatten() {
            case.whole = true;
            case.held.entry(stream).or_default();
        }
    }

    pub(super) fn want(&mut self, stream: StreamKey) {
        if let Some(case) = self.all.get_mut(&Name::of(stream)).filter(|case| case.whole) {
            case.held.entry(stream).or_default();
        }
    }

    /// Returns what is over with that, where it was in quarantine.
    pub(super) fn forget(&mut self, stream: StreamKey) -> Option<String> {
        let name = Name::of(stream);
        let case = self.all.get_mut(&name)?;
        case.held.remove(&stream);
        if !case.held.is_empty() {
            return None;
        }
        self.all.remove(&name)?.over()
    }

    pub(super) fn hold(&self, stream: StreamKey) -> Hold {
        match self.all.get(&Name::of(stream)) {
            Some(case) if case.whole || case.held.contains_key(&stream) => match case.stage {
                Stage::Suspected { .. } => Hold::Trial,
                Stage::Quarantined { .. } => Hold::Quarantine,
            },
            Some(_) | None => Hold::No,
        }
    }

    pub(super) fn quarantined(&self) -> Vec<Quarantined> {
        self.all.values().filter_map(Case::quarantined).collect()
    }

    /// What is to be tried next.
    pub(super) fn next(&self, now: Mono) -> Option<StreamKey> {
        let due = self.all.values().filter_map(|case| match case.stage {
            Stage::Suspected { nth } => Some(((Mono::MIN, nth), case)),
            Stage::Quarantined { until } if until <= now => Some(((until, 0), case)),
            Stage::Quarantined { .. } => None,
        });
        due.min_by_key(|(order, _)| *order).and_then(|(_, case)| case.next())
    }

    /// When something is to be tried.
    pub(super) fn next_due(&self) -> Option<Mono> {
        let due = |case: &Case| match case.stage {
            Stage::Suspected { .. } => Mono::MIN,
            Stage::Quarantined { until } => until,
        };
        self.all.values().map(due).min()
    }

    /// The trial's socket lives with the stream. Returns what is over with that, where it was in quarantine.
    pub(super) fn acquit(&mut self, stream: StreamKey) -> Option<String> {
        let name = Name::of(stream);
        let case = self.all.get_mut(&name)?;
        case.held.remove(&stream);
        if std::mem::take(&mut case.whole) {
            // The name is good: what was held for its sake alone is let go.
            case.held.retain(|_, held| held.itself || held.strikes > 0);
        }
        if !case.held.is_empty() {
            return None;
        }
        self.all.remove(&name)?.over()
    }

    /// Whether one more death is enough.
    pub(super) fn is_confirmed(&self, stream: StreamKey) -> bool {
        self.all.get(&Name::of(stream)).is_some_and(|case| {
            let itself = case.held.get(&stream).is_some_and(|held| held.strikes > 0);
            itself || case.whole && case.is_struck() || matches!(case.stage, Stage::Quarantined { .. })
        })
    }

    /// The trial's socket died with the stream, and lives without it.
    pub(super) fn strike(&mut self, stream: StreamKey) {
        let case = self.all.get_mut(&Name::of(stream));
        if let Some(held) = case.and_then(|case| case.held.get_mut(&stream)) {
            held.strikes += 1;
        }
    }

    /// Leaves the stream's name alone for a while; a stream of a name that is good alone.
    pub(super) fn convict(&mut self, now: Mono, stream: StreamKey, why: String) -> Option<Quarantined> {
        self.strike(stream);
        let case = self.all.get_mut(&Name::of(stream))?;
        case.subject = match stream.coin() {
            Some(coin) if case.whole => coin.to_string(),
            Some(_) | None => stream.to_string(),
        };
        case.failed += 1;
        case.why = why;
        case.stage = Stage::Quarantined { until: now + case.pause_ms };
        case.pause_ms = (case.pause_ms * 2).min(LONGEST_PAUSE_MS);
        case.quarantined()
    }

    /// Lets go what is only suspected, but for one name.
    pub(super) fn release_unproven(&mut self, but: Name) {
        self.all.retain(|name, case| {
            *name == but || case.is_struck() || matches!(case.stage, Stage::Quarantined { .. })
        });
    }

    /// Nothing can be found out now: what is only suspected is let go, and what is in quarantine stays there for a while.
    pub(super) fn let_go(&mut self, now: Mono) {
        self.all.retain(|_, case| match &mut case.stage {
            Stage::Suspected { .. } => false,
            Stage::Quarantined { until } => {
                *until = (*until).max(now + FIRST_PAUSE_MS);
                true
            }
        });
    }
}
