//! Book snapshots. The default variant has 20 levels about every 5.4 s, `fast` has 5 levels every 0.54 s, REST has 20
//! levels of a snapshot renewed every 0.5 s (PROTOCOL sections 0, 2.1, 3.1). Frames do not repeat the options they
//! were asked with, so two variants of a coin never share a socket.

use serde::{Deserialize, Serialize};

use super::{Borders, Conflation, History, Kind, KindSpec};

/// Which of the book subscriptions.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BookVariant {
    /// 20 levels, every 5.4 s.
    Default,
    /// 5 levels, every 0.54 s.
    Fast,
}

impl BookVariant {
    /// The name in the `variant` column.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Fast => "fast",
        }
    }
}

pub(super) const SPEC: KindSpec = KindSpec {
    kind: Kind::Book,
    name: "book",
    ws: true,
    job: "collect_orderbook",
    conflation: Conflation::State,
    borders: Borders::Shared,
    history: History::None,
    first_silence_ms: 17_000,
    longest_silence_ms: 60_000,
    hole_ms: 17_000,
    steady: true,
    timed: true,
    poll_ms: 30_000,
    fastest_poll_ms: 5_000,
    poll_weight: 2,
    poll_shared: false,
    value: 50,
};

pub(super) const FAST_SPEC: KindSpec = KindSpec {
    kind: Kind::BookFast,
    first_silence_ms: 3_000,
    longest_silence_ms: 30_000,
    hole_ms: 3_000,
    fastest_poll_ms: 2_000,
    value: 40,
    ..SPEC
};
