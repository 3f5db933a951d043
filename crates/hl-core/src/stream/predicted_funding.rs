//! Funding expected next, of a coin at this exchange and at others, over REST only: one answer has every coin of the first
//! dex, bears no time, and names a venue with nothing where it has no rate (PROTOCOL section 3.1). Rows are stored on change.

use serde::{Deserialize, Serialize};

use super::{Borders, Conflation, History, Kind, KindSpec, Record, Scope, StreamKey};
use crate::row::{Row, RowKey, record};
use crate::symbol::Word;
use crate::{Coin, Decimal, SourceId, TimeMs};

record! {
    /// Funding expected next at one venue.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
    pub struct PredictedFunding in "predicted_funding" {
        stream {
            /// The market.
            coin: Coin,
        }
        row {
            /// When it was seen, ms: stamped on receipt in exchange time, since the answers bear none.
            time: TimeMs,
            /// The exchange: `HlPerp` is this one, `BinPerp` and `BybitPerp` are others.
            venue: Word,
        }
        /// The rate of the interval, a fraction.
        rate: Decimal,
        /// When it is due, ms; of this exchange the hour that was settled last.
        next_time: TimeMs,
        /// Hours between two settlements.
        interval_hours: Option<u32>,
    }
}

impl Record for PredictedFunding {
    fn stream(&self) -> StreamKey {
        StreamKey::PredictedFunding(self.coin)
    }

    fn row_key(&self) -> RowKey {
        RowKey { word: Some(self.venue), ..RowKey::alone(self.coin, self.time) }
    }
}

pub(super) const SPEC: KindSpec = KindSpec {
    kind: Kind::PredictedFunding,
    name: "predicted_funding",
    word: "predicted_funding",
    scope: Scope::Coin,
    table: &<PredictedFunding as Row>::TABLE,
    channels: &[],
    ws: false,
    fallback: SourceId::Rest,
    job: "collect_predicted_funding",
    job_does: "polls the funding expected next",
    conflation: Conflation::State,
    borders: Borders::Shared,
    history: History::None,
    first_silence_ms: 0,
    longest_silence_ms: 0,
    hole_ms: 150_000,
    steady: false,
    timed: false,
    voice: None,
    poll_ms: 60_000,
    fastest_poll_ms: 60_000,
    poll_weight: 20,
    poll_shared: true,
    value: 15,
    live: true,
    keep_days: &[("", 90)],
};
