//! Alerts: what somebody should look at, as the log, the store and whoever subscribed are told of it.
//!
//! What lives here: the words. When an alert rises and when it resolves is decided in `hl-monitor`.

use serde::{Deserialize, Serialize};

use crate::TimeMs;

/// What is wrong.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertKind {
    /// One job id is registered twice in a process, or planned by two processes.
    JobTwice,
    /// Two processes say that they collect one stream.
    TwoOwners,
    /// Nobody collects a stream.
    NoOwner,
    /// The exchange answered 429 while our own ledger had room: somebody else asks from this address.
    ForeignWeight,
    /// A stream changes its owner again and again.
    Flapping,
    /// Far fewer rows of a stream come than lately.
    RateLow,
    /// Far more rows of a stream come than lately.
    RateHigh,
    /// What comes of a stream is older than what is stored of it.
    Late,
    /// The frames of a socket arrive long after they were sent.
    Behind,
    /// A source, a session or the writer makes no progress.
    NoProgress,
    /// A name, or one of its streams, ends sockets or is refused: it is left alone for a while.
    Quarantined,
    /// Planned runs of a job are skipped, one after another.
    JobSkipped,
    /// Planned runs of a job fail, one after another; or what a job that runs when it is needed tries fails again and again.
    JobFailing,
    /// Something that the exchange sends cannot be read.
    Undecodable,
    /// The database was deleted or moved away.
    StoreGone,
    /// Another program replaced the database or its log.
    StoreReplaced,
    /// A reader keeps the database's log from being emptied, and it grows.
    WalGrowing,
    /// Rows of a stream say something else than the ones stored under their keys.
    RowsDiffer,
    /// More came than memory, spool and store took: some of it was dropped.
    Overload,
    /// The exchange does not list a coin that was asked for, or a list of its markets cannot be read.
    NotListed,
    /// What the positions of the tracked traders say of a coin has changed.
    Signal,
}

impl AlertKind {
    /// All of them.
    pub const ALL: [Self; 21] = [
        Self::JobTwice,
        Self::TwoOwners,
        Self::NoOwner,
        Self::ForeignWeight,
        Self::Flapping,
        Self::RateLow,
        Self::RateHigh,
        Self::Late,
        Self::Behind,
        Self::NoProgress,
        Self::Quarantined,
        Self::JobSkipped,
        Self::JobFailing,
        Self::Undecodable,
        Self::StoreGone,
        Self::StoreReplaced,
        Self::WalGrowing,
        Self::RowsDiffer,
        Self::Overload,
        Self::NotListed,
        Self::Signal,
    ];

    /// Its name in tables and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::JobTwice => "job_twice",
            Self::TwoOwners => "two_owners",
            Self::NoOwner => "no_owner",
            Self::ForeignWeight => "foreign_weight",
            Self::Flapping => "flapping",
            Self::RateLow => "rate_low",
            Self::RateHigh => "rate_high",
            Self::Late => "late",
            Self::Behind => "behind",
            Self::NoProgress => "no_progress",
            Self::Quarantined => "quarantined",
            Self::JobSkipped => "job_skipped",
            Self::JobFailing => "job_failing",
            Self::Undecodable => "undecodable",
            Self::StoreGone => "store_gone",
            Self::StoreReplaced => "store_replaced",
            Self::WalGrowing => "wal_growing",
            Self::RowsDiffer => "rows_differ",
            Self::Overload => "overload",
            Self::NotListed => "not_listed",
            Self::Signal => "signal",
        }
    }

    /// The inverse of [`AlertKind::as_str`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// How bad it is.
    #[must_use]
    pub fn severity(self) -> Severity {
        match self {
            Self::TwoOwners
            | Self::NoOwner
            | Self::NoProgress
            | Self::StoreGone
            | Self::StoreReplaced
            | Self::Overload => Severity::Critical,
            Self::JobTwice
            | Self::ForeignWeight
            | Self::Flapping
            | Self::RateLow
            | Self::RateHigh
            | Self::Late
            | Self::Behind
            | Self::Quarantined
            | Self::JobSkipped
            | Self::JobFailing
            | Self::Undecodable
            | Self::WalGrowing
            | Self::RowsDiffer
            | Self::NotListed
            | Self::Signal => Severity::Warning,
        }
    }
}

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Data still comes; somebody should look when there is time.
    Warning,
    /// Data is missed, or may be, while it lasts.
    Critical,
}

impl Severity {
    /// Its name in tables and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }

    /// The inverse of [`Severity::as_str`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Warning, Self::Critical].into_iter().find(|severity| severity.as_str() == text)
    }
}

/// One alert, from its rise to its end. A process has at most one open alert of a kind on a subject.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Alert {
    /// What is wrong.
    pub kind: AlertKind,
    /// With what: a stream, a kind of answer, a job, `ws`, `rest`, `writer`, `store`, a session.
    pub subject: String,
    /// How bad it is.
    pub severity: Severity,
    /// When it rose, exchange time, ms.
    pub raised: TimeMs,
    /// When it was last so, ms.
    pub last_seen: TimeMs,
    /// How often it came back before it was resolved; 1 at its rise.
    pub times: u32,
    /// When it ended, ms; none while it is open.
    pub resolved: Option<TimeMs>,
    /// What was seen, in words.
    pub words: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_the_round_trip() {
        for kind in AlertKind::ALL {
            assert_eq!(AlertKind::parse(kind.as_str()), Some(kind));
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
            assert_eq!(Severity::parse(kind.severity().as_str()), Some(kind.severity()));
        }
    }
}
