//! Book snapshots. The default variant has 20 levels about every 5.4 s, `fast` has 5 levels every 0.54 s, REST has 20
//! levels of a snapshot renewed every 0.5 s (PROTOCOL sections 0, 2.1, 3.1). With prices rounded to 5, 4 or 3 significant
//! figures (`nSigFigs`) the same 20 levels reach further: of BTC 25 bps instead of 2.65 with 5 figures. Frames do not repeat
//! the options they were asked with, so two variants of a coin never share a socket.

use serde::{Deserialize, Serialize};

use super::{Borders, Conflation, History, Kind, KindSpec, Record, Scope, StreamKey};
use crate::exchange_time::Voice;
use crate::row::{Cell, Cells, Column, Holds, Level, Row, RowKey, Value, record, words};
use crate::{Coin, SourceId, TimeMs};

/// Which of the book subscriptions.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BookVariant {
    /// 20 levels, every 5.4 s.
    Default,
    /// 5 levels, every 0.54 s.
    Fast,
    /// 20 levels of prices rounded to 5 significant figures, bids down and asks up.
    #[serde(rename = "5")]
    Figures5,
    /// As above, to 4.
    #[serde(rename = "4")]
    Figures4,
    /// As above, to 3.
    #[serde(rename = "3")]
    Figures3,
}

impl BookVariant {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Default, Self::Fast, Self::Figures5, Self::Figures4, Self::Figures3];

    /// The name in the `variant` column.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Fast => "fast",
            Self::Figures5 => "5",
            Self::Figures4 => "4",
            Self::Figures3 => "3",
        }
    }

    /// To how many significant figures its prices are rounded; none where they are not.
    #[must_use]
    pub fn figures(self) -> Option<u8> {
        match self {
            Self::Default | Self::Fast => None,
            Self::Figures5 => Some(5),
            Self::Figures4 => Some(4),
            Self::Figures3 => Some(3),
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
    scope: Scope::Coin,
    table: &<Book as Row>::TABLE,
    channels: &["l2Book"],
    ws: true,
    fallback: SourceId::Rest,
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
    keep_days: &[("", 7), ("fast", 7), ("5", 7), ("4", 7), ("3", 7)],
};

pub(super) const SPEC_5: KindSpec = KindSpec { kind: Kind::Book5, word: "book/5", value: 38, ..SPEC };

pub(super) const SPEC_4: KindSpec = KindSpec { kind: Kind::Book4, word: "book/4", value: 37, ..SPEC };

pub(super) const SPEC_3: KindSpec = KindSpec { kind: Kind::Book3, word: "book/3", value: 36, ..SPEC };

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
