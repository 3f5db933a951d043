//! Signals: what the positions of the tracked traders say of each coin. Decided here and not by the exchange: a job asks a strategy of
//! `hl-traders` every few minutes. Each answer is a snapshot with one row a coin, and says as well what it is built on, and why
//! nothing is recommended where that is not enough.

use serde::{Deserialize, Serialize};

use super::{Borders, Conflation, History, Kind, KindSpec, Record, Scope, StreamKey};
use crate::row::{Row, RowKey, one_of, record};
use crate::{Coin, Decimal, SourceId, TimeMs};

record! {
    /// The signal of one coin in one answer of a strategy.
    #[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
    pub struct CoinSignal in "signals" {
        stream {}
        row {
            /// When the strategy was asked, ms: the same in all rows of one answer.
            time: TimeMs,
            /// The market.
            coin: Coin,
        }
        /// The name of the strategy.
        strategy: Box<str>,
        /// `long`, `short` or `neutral`; none where it is withheld.
        recommendation: Option<Recommendation>,
        /// Why nothing is recommended: `nobody`, `unknown` or `stale`; none where something is.
        withheld: Option<Withheld>,
        /// Confidence, 0 to 1; none where it is withheld.
        confidence: Option<Decimal>,
        /// The share of the weight of all tracked traders that is long, 0 to 1.
        long_bias: Decimal,
        /// The share of it that is short, 0 to 1.
        short_bias: Decimal,
        /// Long minus short positions of the tracked traders at the last price, USD; none without a price.
        net_exposure: Option<Decimal>,
        /// How many traders are long.
        traders_long: u64,
        /// How many are short.
        traders_short: u64,
        /// How many are flat.
        traders_flat: u64,
        /// Of how many it is not known what they hold.
        traders_unknown: u64,
        /// The weight of all tracked traders; one with the best score has 1.
        total_weight: Decimal,
        /// How long ago the oldest position that it is built on was proved, ms; none where none is known.
        stale_ms: Option<u64>,
    }
}

one_of! {
    /// What the tracked traders lean to.
    Recommendation {
        /// To long positions.
        Long: "long",
        /// To short positions.
        Short: "short",
        /// To neither.
        Neutral: "neutral",
    }
}

one_of! {
    /// Why nothing is recommended.
    Withheld {
        /// Nobody with a weight is tracked.
        Nobody: "nobody",
        /// Too much is unknown.
        Unknown: "unknown",
        /// A position was proved too long ago.
        Stale: "stale",
    }
}

impl Record for CoinSignal {
    fn stream(&self) -> StreamKey {
        StreamKey::Signals
    }

    fn row_key(&self) -> RowKey {
        RowKey { coin: None, time: self.time, tid: 0, word: Some(self.coin.into()), user: None }
    }

    fn bytes_beside(&self) -> usize {
        self.strategy.len()
    }
}

pub(super) const SPEC: KindSpec = KindSpec {
    kind: Kind::Signals,
    name: "signals",
    word: "signals",
    scope: Scope::All,
    table: &<CoinSignal as Row>::TABLE,
    channels: &[],
    ws: false,
    fallback: SourceId::Rest,
    job: "generate_signals",
    job_does: "says what the positions of tracked traders mean for each coin",
    conflation: Conflation::State,
    borders: Borders::Shared,
    history: History::None,
    first_silence_ms: 0,
    longest_silence_ms: 0,
    hole_ms: 900_000,
    steady: false,
    timed: false,
    voice: None,
    poll_ms: 300_000,
    fastest_poll_ms: 300_000,
    poll_weight: 2,
    poll_shared: true,
    value: 8,
    live: false,
    keep_days: &[("", 30)],
};
