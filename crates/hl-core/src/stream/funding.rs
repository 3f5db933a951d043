//! Settled funding, hourly since June 2023, over REST only; 500 rows a page, all history (PROTOCOL section 3.1).

use serde::{Deserialize, Serialize};

use super::{Borders, Conflation, History, Kind, KindSpec, Record, Scope, StreamKey};
use crate::row::{Row, RowKey, record};
use crate::{Coin, Decimal, SourceId, TimeMs};

record! {
    /// One settled funding rate.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
    pub struct Funding in "funding" {
        stream {
            /// The market.
            coin: Coin,
        }
        row {
            /// Settlement time, ms: the full hour plus jitter (59 ms at the median, minutes at worst).
            time: TimeMs,
        }
        /// The rate of the hour, a fraction.
        rate: Decimal,
        /// The premium, a fraction.
        premium: Decimal,
    }
}

impl Record for Funding {
    fn stream(&self) -> StreamKey {
        StreamKey::Funding(self.coin)
    }

    fn row_key(&self) -> RowKey {
        RowKey::alone(self.coin, self.time)
    }

    fn contradicts(&self, stored: &Self) -> bool {
        (self.rate, self.premium) != (stored.rate, stored.premium)
    }
}

pub(super) const SPEC: KindSpec = KindSpec {
    kind: Kind::Funding,
    name: "funding",
    word: "funding",
    scope: Scope::Coin,
    table: &<Funding as Row>::TABLE,
    channels: &[],
    ws: false,
    fallback: SourceId::Rest,
    job: "collect_funding",
    job_does: "reads settled funding",
    conflation: Conflation::Event,
    borders: Borders::HalfOpen,
    history: History::All,
    first_silence_ms: 0,
    longest_silence_ms: 0,
    hole_ms: 0,
    steady: false,
    timed: true,
    voice: None,
    poll_ms: 3_600_000,
    fastest_poll_ms: 600_000,
    poll_weight: 21,
    poll_shared: false,
    value: 70,
    live: false,
    keep_days: &[],
};
