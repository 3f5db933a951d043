//! One possible alert from the first sight of it to its end.

use hl_core::TimeMs;
use hl_core::alert::{Alert, AlertKind};
use hl_core::selector::Mono;

use crate::AlertChange;

/// How often an alert that stands is written anew, ms.
const STILL_MS: i64 = 600_000;

/// How long something must last before it is told, and must be gone before it is over, ms.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Patience {
    pub(crate) raise_ms: i64,
    pub(crate) resolve_ms: i64,
}

/// What is so at this moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Condition {
    pub(crate) kind: AlertKind,
    pub(crate) subject: String,
    pub(crate) words: String,
}

/// Where a possible alert is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Standing {
    /// It is so since then, and nobody was told.
    Pending {
        /// Since when.
        since: Mono,
    },
    /// Somebody was told. `gone`: since when it is not so any more.
    Open {
        /// The alert.
        alert: Alert,
        /// When it was last told or written.
        told: Mono,
        /// Since when it is not so.
        gone: Option<Mono>,
    },
}

impl Standing {
    /// It is so.
    pub(crate) fn seen(
        self,
        now: Mono,
        at: TimeMs,
        patience: Patience,
        seen: Condition,
    ) -> (Self, Option<AlertChange>) {
        match self {
            Self::Pending { since } if now - since >= patience.raise_ms => {
                let alert = Alert {
                    kind: seen.kind,
                    severity: seen.kind.severity(),
                    subject: seen.subject,
                    raised: at,
                    last_seen: at,
                    times: 1,
                    resolved: None,
                    words: seen.words,
                };
                let open = Self::Open { alert: alert.clone(), told: now, gone: None };
                (open, Some(AlertChange::Raised(alert)))
            }
            pending @ Self::Pending { .. } => (pending, None),
            Self::Open { alert, told, gone } => {
                let came_back = gone.is_some();
                let times = alert.times + u32::from(came_back);
                let alert = Alert { last_seen: at, times, words: seen.words, ..alert };
                if came_back || now - told >= STILL_MS {
                    let open = Self::Open { alert: alert.clone(), told: now, gone: None };
                    return (open, Some(AlertChange::Still(alert)));
                }
                (Self::Open { alert, told, gone: None }, None)
            }
        }
    }

    /// It is not so. None where that is the end.
    pub(crate) fn unseen(
        self,
        now: Mono,
        at: TimeMs,
        patience: Patience,
    ) -> (Option<Self>, Option<AlertChange>) {
        match self {
            Self::Pending { .. } => (None, None),
            Self::Open { alert, told, gone } => {
                let since = gone.unwrap_or(now);
                if now - since < patience.resolve_ms {
                    return (Some(Self::Open { alert, told, gone: Some(since) }), None);
                }
                let over = Alert { resolved: Some(at.max(alert.last_seen)), ..alert };
                (None, Some(AlertChange::Resolved(over)))
            }
        }
    }

    /// The process stood still: nothing is known of the time in between.
    pub(crate) fn stood_still(&mut self, now: Mono) {
        match self {
            Self::Pending { since } => *since = now,
            Self::Open { gone, .. } => {
                if let Some(gone) = gone {
                    *gone = now;
                }
            }
        }
    }
}
