//! Faults by request: what is broken at the moment, and how often it has struck.
//!
//! Faults of sockets touch `/ws` only, `http` faults touch `/info` and the files only; `/sim/*` is never faulted.
//! Durations follow the client's time.

mod parse;

use hl_core::StreamKey;
use serde::Serialize;
use serde_json::Value;
use tokio::time::{Duration, Instant};

pub use parse::FaultError;

/// What breaks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum FaultKind {
    /// Every open socket is dropped without a close frame; with a duration also each one that opens meanwhile.
    Drop,
    /// One of the open sockets is dropped without a close frame.
    DropOne {
        /// Which, by age from 0, the oldest; counted on from the oldest where there are fewer.
        socket: u64,
    },
    /// Connections to `/ws` are cut before an answer.
    Refuse,
    /// Data is lost, not delayed, a replay included; acknowledgements and pongs still flow.
    Mute {
        /// Only this stream; all data where absent.
        stream: Option<StreamKey>,
    },
    /// Data is lost on one of the sockets open now, a replay included, as if the server had forgotten the subscription.
    MuteOne {
        /// Which, as with `drop_one`.
        socket: u64,
        /// Only this stream; all data where absent.
        stream: Option<StreamKey>,
    },
    /// Subscriptions are gone without a word: on every socket open now, until they are made anew.
    Forget {
        /// Only this stream; all streams where absent.
        stream: Option<StreamKey>,
    },
    /// The sockets open now stay open, but nothing is sent on them any more, not even pongs.
    HalfOpen,
    /// Bytes leave every socket one by one.
    SlowDrip {
        /// Milliseconds between two bytes.
        every_ms: u64,
    },
    /// Data frames are sent twice.
    Duplicate {
        /// Only this stream; all data where absent.
        stream: Option<StreamKey>,
    },
    /// Every second data frame of a socket is sent before the one that it follows.
    Reorder {
        /// Only this stream; all data where absent.
        stream: Option<StreamKey>,
    },
    /// Data frames are cut in half: invalid JSON, and what they carried is lost.
    Garbage {
        /// Only this stream; all data where absent.
        stream: Option<StreamKey>,
    },
    /// One frame of this size to every open socket; with a duration also to each one that opens meanwhile.
    GiantFrame {
        /// Size of the frame, bytes; 1 to 134,217,728.
        bytes: usize,
    },
    /// A socket is dropped when it subscribes.
    KillOnSubscribe {
        /// Only when it subscribes this stream; any where absent.
        stream: Option<StreamKey>,
    },
    /// Answers of `/info` and of the files are wrong or late. What is absent stays as it is.
    Http {
        /// 429, 500 or 502.
        status: Option<u16>,
        /// What becomes of the body.
        body: Option<BodyFault>,
        /// Milliseconds before the answer.
        delay_ms: Option<u64>,
    },
}

/// What becomes of the body of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BodyFault {
    /// It is `null`.
    Null,
    /// Its second half is missing.
    Truncated,
}

/// A fault and how long it lasts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// What breaks.
    #[serde(flatten)]
    pub kind: FaultKind,
    /// Milliseconds of the client's time. Absent: `drop` and `giant_frame` strike once, others last until cleared.
    /// `drop_one` and `forget` strike once in any case.
    pub for_ms: Option<u64>,
}

impl Fault {
    /// A fault that lasts until it is cleared, or strikes once where it is one that strikes.
    #[must_use]
    pub fn new(kind: FaultKind) -> Self {
        Self { kind, for_ms: None }
    }

    /// A fault of limited duration.
    #[must_use]
    pub fn lasting(kind: FaultKind, for_ms: u64) -> Self {
        Self { kind, for_ms: Some(for_ms) }
    }

    /// Reads a fault from JSON, as `POST /sim/faults` takes it.
    ///
    /// # Errors
    /// When the kind or a field is unknown, or a value is out of its range; the error names the field.
    pub fn from_json(value: &Value) -> Result<Self, FaultError> {
        parse::fault(value)
    }
}

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
    until: Option<Instant>,
}

/// The faults at work and the counters of those that were.
#[derive(Default)]
pub(crate) struct Faults {
    active: Vec<Entry>,
    next_id: u64,
    /// By kind, ended ones included.
    applied: std::collections::BTreeMap<&'static str, u64>,
}

impl Faults {
    /// Starts a fault. Returns its number.
    pub(crate) fn add(&mut self, fault: Fault, now: Instant) -> u64 {
        self.next_id += 1;
        let until = fault.for_ms.map(|ms| now + Duration::from_millis(ms));
        self.active.push(Entry { id: self.next_id, fault, applied: 0, until });
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
        self.active.retain(|e| e.until.is_none_or(|until| until > now));
    }

    /// When the first of them ends.
    pub(crate) fn next_end(&self) -> Option<Instant> {
        self.active.iter().filter_map(|e| e.until).min()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.active.is_empty()
    }

    pub(crate) fn list(&self, now: Instant) -> Vec<ActiveFault> {
        let live = self.active.iter().filter(|e| e.until.is_none_or(|until| until > now));
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
            if entry.until.is_some_and(|until| until <= now) {
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
            chosen.contains(&e.id) && e.until.is_none_or(|until| until > now) && hits(stream, of).is_some()
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

    /// Everything that strikes one answer: status, body, delay; the first fault that says so decides each.
    pub(crate) fn http(&mut self, now: Instant) -> (Option<u16>, Option<BodyFault>, Option<u64>) {
        let status = self.strike(now, 1, |k| match k {
            FaultKind::Http { status, .. } => *status,
            _ => None,
        });
        let body = self.strike(now, 1, |k| match k {
            FaultKind::Http { body, .. } => *body,
            _ => None,
        });
        let delay = self.strike(now, 1, |k| match k {
            FaultKind::Http { delay_ms, .. } => *delay_ms,
            _ => None,
        });
        (status, body, delay)
    }
}

fn hits(wanted: Option<StreamKey>, of: Option<StreamKey>) -> Option<()> {
    (wanted.is_none() || wanted == of).then_some(())
}

/// The kind, as JSON names it.
fn name(kind: &FaultKind) -> &'static str {
    match kind {
        FaultKind::Drop => "drop",
        FaultKind::DropOne { .. } => "drop_one",
        FaultKind::Refuse => "refuse",
        FaultKind::Mute { .. } => "mute",
        FaultKind::MuteOne { .. } => "mute_one",
        FaultKind::Forget { .. } => "forget",
        FaultKind::HalfOpen => "half_open",
        FaultKind::SlowDrip { .. } => "slow_drip",
        FaultKind::Duplicate { .. } => "duplicate",
        FaultKind::Reorder { .. } => "reorder",
        FaultKind::Garbage { .. } => "garbage",
        FaultKind::GiantFrame { .. } => "giant_frame",
        FaultKind::KillOnSubscribe { .. } => "kill_on_subscribe",
        FaultKind::Http { .. } => "http",
    }
}
