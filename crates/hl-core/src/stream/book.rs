//! Book snapshots. The default variant has 20 levels about every 5.4 s, `fast` has 5 levels every 0.54 s, REST has 20
//! levels of a snapshot renewed every 0.5 s (PROTOCOL sections 0, 2.1, 3.1). Frames do not repeat the options they
//! were asked with, so two variants of a coin never share a socket.

use serde::{Deserialize, Serialize};

use super::{Borders, Conflation, History, Kind, KindSpec, Record, StreamKey};
use crate::exchange_time::Voice;
use crate::row::{Cell, Cells, Column, Holds, Level, Row, RowKey, Value, record, words};
use crate::{Coin, TimeMs};

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
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Default, Self::Fast];

    /// The name in the `variant` column.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Fast => "fast",
        }
    }

    /// The inverse of [`BookVariant::as_str`].
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|variant| variant.as_str() == name)
    }
}

words!(BookVariant, BookVariant::as_str, BookVariant::parse);

record! {
    /// A full book snapshot: never a delta.
    #[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
    pub struct Book in "books" {
        stream {
            /// The market.
            coin: Coin,
            /// Which of the subscriptions it is.
            variant: BookVariant,
        }
        row {
            /// Block time, ms.
            time: TimeMs,
        }
        /// Best bid first: of each level price (USD), size (coins) and number of orders.
        bids: Box<[Level]>,
        /// Best ask first, as the bids.
        asks: Box<[Level]>,
    }
}

impl Record for Book {
    fn stream(&self) -> StreamKey {
        StreamKey::Book(self.coin, self.variant)
    }

    fn row_key(&self) -> RowKey {
        RowKey::alone(self.coin, self.time)
    }

    fn is_crossed(&self) -> bool {
        matches!((self.bids.first(), self.asks.first()), (Some(bid), Some(ask)) if bid.px >= ask.px)
    }

    fn bytes_beside(&self) -> usize {
        size_of_val(&*self.bids) + size_of_val(&*self.asks)
    }
}

pub(super) const SPEC: KindSpec = KindSpec {
    kind: Kind::Book,
    name: "book",
    word: "book",
    table: &<Book as Row>::TABLE,
    channels: &["l2Book"],
    ws: true,
    job: "collect_orderbook",
    job_does: "polls the books that no socket brings",
    conflation: Conflation::State,
    borders: Borders::Shared,
    history: History::None,
    first_silence_ms: 17_000,
    longest_silence_ms: 60_000,
    hole_ms: 17_000,
    steady: true,
    timed: true,
    voice: Some(Voice::Books),
    poll_ms: 30_000,
    fastest_poll_ms: 5_000,
    poll_weight: 2,
    poll_shared: false,
    value: 50,
    live: true,
    keep_days: &[("", 7), ("fast", 7)],
};

pub(super) const FAST_SPEC: KindSpec = KindSpec {
    kind: Kind::BookFast,
    word: "book/fast",
    first_silence_ms: 3_000,
    longest_silence_ms: 30_000,
    hole_ms: 3_000,
    fastest_poll_ms: 2_000,
    value: 40,
    ..SPEC
};
