//! Faults by request: what is broken at the moment, and how often it has struck.
//!
//! Faults of sockets touch `/ws` only, `http` faults `/info` and the files only, `chain` faults `/evm` only; `/sim/*` is never
//! faulted.
//! Durations follow the client's time.

mod falsify;
mod kind;
mod parse;

use std::collections::BTreeSet;

use hl_core::{Coin, StreamKey};
use serde::Serialize;
use serde_json::Value;
use tokio::time::{Duration, Instant};

pub use falsify::Falsified;
use kind::name;
pub use kind::{AnswerFault, BodyFault, Fault, FaultKind, Part, Way};
pub use parse::{FAULTS, FaultError};

/// A fault at work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ActiveFault {
    /// Its number, from 1.
    pub id: u64,
    /// What it is.
    #[serde(flatten)]
    pub fault: Fault,
    /// How often it has struck: frames, sockets or answers.
    pub applied: u64,
    /// Milliseconds until it ends; absent where it lasts until cleared.
    pub remaining_ms: Option<u64>,
}

struct Entry {
    id: u64,
    fault: Fault,
    applied: u64,
    begun: Instant,
    until: Option<Instant>,
}

impl Entry {
    fn is_over(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| until <= now)
            || self.fault.times.is_some_and(|times| self.applied >= times)
    }
}

/// What strikes an answer whatever was asked. What is absent stays as it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Struck {
    pub(crate) status: Option<u16>,
    pub(crate) body: Option<BodyFault>,
    /// Milliseconds before the answer.
    pub(crate) delay_ms: Option<u64>,
}

/// What the faults at work make of the answer to a question.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Answered {
    pub(crate) status: Option<u16>,
    /// How old it is, ms of the client's time.
    pub(crate) behind_ms: u64,
    cuts: Vec<AnswerFault>,
}

impl Answered {
    /// Takes out of an answer what it is to lack. Whether it changed anything.
    pub(crate) fn cut(&self, data: &mut Value) -> bool {
        self.cuts.iter().fold(false, |changed, fault| fault.cut(data) | changed)
    }

    pub(crate) fn cuts(&self) -> bool {
        !self.cuts.is_empty()
    }
}

/// The faults at work and the counters of those that were.
#[derive(Default)]
pub(crate) struct Faults {
    active: Vec<Entry>,
    next_id: u64,
    /// By kind, ended ones included.
    applied: std::collections::BTreeMap<&'static str, u64>,
    falsified: falsify::Memory,
}

impl Faults {
    /// Starts a fault. Returns its number.
    pub(crate) fn add(&mut self, fault: Fault, now: Instant) -> u64 {
        self.next_id += 1;
        let until = fault.for_ms.map(|ms| now + Duration::from_millis(ms));
        self.active.push(Entry { id: self.next_id, fault, applied: 0, begun: now, until });
        self.next_id
    }

    /// Ends a fault.
    pub(crate) fn end(&mut self, id: u64) {
        self.active.retain(|e| e.id != id);
    }

    pub(crate) fn clear(&mut self) -> usize {
        let cleared = self.active.len();
        self.active.clear();
        cleared
    }

    pub(crate) fn expire(&mut self, now: Instant) {
        self.active.retain(|e| !e.is_over(now));
    }

    /// When the first of them ends.
    pub(crate) fn next_end(&self) -> Option<Instant> {
        self.active.iter().filter_map(|e| e.until).min()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.active.is_empty()
    }

    pub(crate) fn list(&self, now: Instant) -> Vec<ActiveFault> {
        let live = self.active.iter().filter(|e| !e.is_over(now));
        let remaining = |until: Instant| until.saturating_duration_since(now).as_millis() as u64;
        live.map(|e| ActiveFault {
            id: e.id,
            fault: e.fault.clone(),
            applied: e.applied,
            remaining_ms: e.until.map(remaining),
        })
        .collect()
    }

    pub(crate) fn counters(&self) -> &std::collections::BTreeMap<&'static str, u64> {
        &self.applied
    }

    /// The first active fault that `test` accepts, counted as applied `times`.
    fn strike<T>(&mut self, now: Instant, times: u64, test: impl Fn(&FaultKind) -> Option<T>) -> Option<T> {
        for entry in &mut self.active {
            if entry.is_over(now) {
                continue;
            }
            if let Some(found) = test(&entry.fault.kind) {
                entry.applied += times;
                *self.applied.entry(name(&entry.fault.kind)).or_default() += times;
                return Some(found);
            }
        }
        None
    }

    pub(crate) fn refuses(&mut self, now: Instant) -> bool {
        self.strike(now, 1, |k| matches!(k, FaultKind::Refuse).then_some(())).is_some()
    }

    pub(crate) fn drops(&mut self, now: Instant, sockets: u64) -> bool {
        self.strike(now, sockets, |k| matches!(k, FaultKind::Drop).then_some(())).is_some()
    }

    pub(crate) fn forgot(&mut self, now: Instant, subscriptions: u64) {
        self.strike(now, subscriptions, |k| matches!(k, FaultKind::Forget { .. }).then_some(()));
    }

    pub(crate) fn drops_one(&mut self, now: Instant) {
        self.strike(now, 1, |k| matches!(k, FaultKind::DropOne { .. }).then_some(()));
    }

    /// Whether a frame is lost on a socket that such a fault chose; `chosen`: the faults that chose it.
    pub(crate) fn mutes_one(&mut self, now: Instant, chosen: &[u64], of: Option<StreamKey>) -> bool {
        let muted = self.active.iter_mut().find(|e| {
            let stream = match e.fault.kind {
                FaultKind::MuteOne { stream, .. } => stream,
                _ => return false,
            };
            chosen.contains(&e.id) && !e.is_over(now) && hits(stream, of).is_some()
        });
        let Some(entry) = muted else { return false };
        entry.applied += 1;
        *self.applied.entry(name(&entry.fault.kind)).or_default() += 1;
        true
    }

    pub(crate) fn mutes(&mut self, now: Instant, of: Option<StreamKey>) -> bool {
        self.strike(now, 1, |k| match k {
            FaultKind::Mute { stream } => hits(*stream, of),
            _ => None,
        })
        .is_some()
    }

    pub(crate) fn duplicates(&mut self, now: Instant, of: Option<StreamKey>) -> bool {
        self.strike(now, 1, |k| match k {
            FaultKind::Duplicate { stream } => hits(*stream, of),
            _ => None,
        })
        .is_some()
    }

    pub(crate) fn reorders(&mut self, now: Instant, of: Option<StreamKey>) -> bool {
        self.strike(now, 1, |k| match k {
            FaultKind::Reorder { stream } => hits(*stream, of),
            _ => None,
        })
        .is_some()
    }

    pub(crate) fn garbles(&mut self, now: Instant, of: Option<StreamKey>) -> bool {
        self.strike(now, 1, |k| match k {
            FaultKind::Garbage { stream } => hits(*stream, of),
            _ => None,
        })
        .is_some()
    }

    pub(crate) fn kills(&mut self, now: Instant, of: Option<StreamKey>) -> bool {
        self.strike(now, 1, |k| match k {
            FaultKind::KillOnSubscribe { stream } => hits(*stream, of),
            _ => None,
        })
        .is_some()
    }

    pub(crate) fn giant(&mut self, now: Instant, sockets: u64) -> Option<usize> {
        self.strike(now, sockets, |k| match k {
            FaultKind::GiantFrame { bytes } => Some(*bytes),
            _ => None,
        })
    }

    pub(crate) fn is_half_open(&self) -> bool {
        self.active.iter().any(|e| e.fault.kind == FaultKind::HalfOpen)
    }

    /// Marks frames lost on a half-open socket.
    pub(crate) fn swallowed(&mut self, now: Instant) {
        self.strike(now, 1, |k| matches!(k, FaultKind::HalfOpen).then_some(()));
    }

    /// Milliseconds a byte takes, where sockets drip.
    pub(crate) fn drip(&mut self, now: Instant) -> Option<u64> {
        self.strike(now, 0, |k| match k {
            FaultKind::SlowDrip { every_ms } => Some(*every_ms),
            _ => None,
        })
    }

    /// Counts bytes that dripped.
    pub(crate) fn dripped(&mut self, now: Instant, bytes: u64) {
        self.strike(now, bytes, |k| matches!(k, FaultKind::SlowDrip { .. }).then_some(()));
    }

    /// Everything that strikes one answer of `/info` or a file.
    pub(crate) fn http(&mut self, now: Instant) -> Struck {
        self.strikes(now, |k| match *k {
            FaultKind::Http { status, body, delay_ms } => Some(Struck { status, body, delay_ms }),
            _ => None,
        })
    }

    /// Everything that strikes one answer of the chain.
    pub(crate) fn chain(&mut self, now: Instant) -> Struck {
        self.strikes(now, |k| match *k {
            FaultKind::Chain { status, body, delay_ms } => Some(Struck { status, body, delay_ms }),
            _ => None,
        })
    }

    /// Status, body, delay: the first fault that says so decides each.
    fn strikes(&mut self, now: Instant, of: impl Fn(&FaultKind) -> Option<Struck>) -> Struck {
        Struck {
            status: self.strike(now, 1, |k| of(k)?.status),
            body: self.strike(now, 1, |k| of(k)?.body),
            delay_ms: self.strike(now, 1, |k| of(k)?.delay_ms),
        }
    }

    /// What becomes of the answer to a question; what is counted here strikes it.
    pub(crate) fn answers(&mut self, now: Instant, question: &Value) -> Answered {
        let mut answered = Answered::default();
        for entry in &mut self.active {
            let FaultKind::Answer(fault) = &entry.fault.kind else { continue };
            if entry.is_over(now) || !fault.asked(question) {
                continue;
            }
            entry.applied += 1;
            *self.applied.entry(name(&entry.fault.kind)).or_default() += 1;
            answered.status = answered.status.or(fault.status);
            let frozen_ms = now.duration_since(entry.begun).as_millis() as u64;
            let behind_ms = if fault.frozen { frozen_ms } else { fault.behind_ms.unwrap_or(0) };
            answered.behind_ms = answered.behind_ms.max(behind_ms);
            if fault.part.is_some() || fault.without.is_some() {
                answered.cuts.push(fault.clone());
            }
        }
        answered
    }

    /// Whether something may change the rows of a frame or an answer.
    pub(crate) fn may_falsify(&self, now: Instant, way: Way, stream: Option<StreamKey>) -> bool {
        self.active.iter().any(|e| !e.is_over(now) && falsify::concerns(&e.fault.kind, way, stream))
    }

    /// Changes the rows of a frame or an answer. Whether anything was changed.
    pub(crate) fn falsify(
        &mut self,
        now: Instant,
        way: Way,
        stream: Option<StreamKey>,
        data: &mut Value,
    ) -> bool {
        let mut changed = false;
        for entry in &mut self.active {
            let kind = &entry.fault.kind;
            if entry.is_over(now) || !falsify::concerns(kind, way, stream) {
                continue;
            }
            if falsify::falsify(kind, stream, data, &mut self.falsified) {
                *self.applied.entry(name(kind)).or_default() += 1;
                entry.applied += 1;
                changed = true;
            }
        }
        changed
    }

    /// The rows that were shown otherwise than they were.
    pub(crate) fn falsified(&self) -> impl Iterator<Item = &Falsified> {
        self.falsified.iter()
    }

    /// How long before now the replay of a new subscription ends, ms.
    pub(crate) fn stale_replay(&mut self, now: Instant, of: Option<StreamKey>) -> Option<u64> {
        self.strike(now, 1, |k| match k {
            FaultKind::StaleReplay { stream, behind_ms } => hits(*stream, of).map(|()| *behind_ms),
            _ => None,
        })
    }

    pub(crate) fn swallows_pong(&mut self, now: Instant) -> bool {
        self.strike(now, 1, |k| matches!(k, FaultKind::NoPong).then_some(())).is_some()
    }

    pub(crate) fn swallows_ack(&mut self, now: Instant) -> bool {
        self.strike(now, 1, |k| matches!(k, FaultKind::NoAck).then_some(())).is_some()
    }

    /// The status with which a handshake is answered.
    pub(crate) fn handshake(&mut self, now: Instant) -> Option<u16> {
        self.strike(now, 1, |k| match k {
            FaultKind::Handshake { status } => Some(*status),
            _ => None,
        })
    }

    /// How many users can be followed, where a fault says so.
    pub(crate) fn user_cap(&self, now: Instant) -> Option<usize> {
        let mut newest_first = self.active.iter().rev().filter(|e| !e.is_over(now));
        newest_first.find_map(|e| match e.fault.kind {
            FaultKind::UserCap { users, .. } => Some(users),
            _ => None,
        })
    }

    /// Counts a user that was refused, where a fault did it.
    pub(crate) fn refused_user(&mut self, now: Instant) {
        let is_cap = |e: &&Entry| matches!(e.fault.kind, FaultKind::UserCap { .. }) && !e.is_over(now);
        if let Some(id) = self.active.iter().rev().find(is_cap).map(|e| e.id) {
            self.struck(now, id, 1);
        }
    }

    /// How late a frame comes.
    pub(crate) fn late(&mut self, now: Instant) -> Duration {
        let ms = self.strike(now, 1, |k| match k {
            FaultKind::Late { by_ms } => Some(*by_ms),
            _ => None,
        });
        Duration::from_millis(ms.unwrap_or(0))
    }

    /// Counts a fault that strikes once, at once.
    pub(crate) fn struck(&mut self, now: Instant, id: u64, times: u64) {
        if let Some(entry) = self.active.iter_mut().find(|e| e.id == id && !e.is_over(now)) {
            entry.applied += times;
            *self.applied.entry(name(&entry.fault.kind)).or_default() += times;
        }
    }

    pub(crate) fn unlisted(&self, now: Instant) -> BTreeSet<Coin> {
        let live = self.active.iter().filter(|e| !e.is_over(now));
        live.filter_map(|e| match e.fault.kind {
            FaultKind::Unlist { coin } => Some(coin),
            _ => None,
        })
        .collect()
    }

    pub(crate) fn is_halted(&self, now: Instant) -> bool {
        self.active.iter().any(|e| !e.is_over(now) && e.fault.kind == FaultKind::Halt)
    }
}

fn hits(wanted: Option<StreamKey>, of: Option<StreamKey>) -> Option<()> {
    (wanted.is_none() || wanted == of).then_some(())
}
