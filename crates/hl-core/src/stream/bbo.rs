//! Best bid and offer, pushed per block where it changed; a quiet coin was seen silent for 46 s (PROTOCOL section 2.1).

use serde::{Deserialize, Serialize};

use super::{Borders, Conflation, History, Kind, KindSpec, Record, Scope, StreamKey};
use crate::exchange_time::Voice;
use crate::row::{Level, Row, RowKey, record};
use crate::{Coin, SourceId, TimeMs};

record! {
    /// Best bid and offer. Either side may be absent.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
    pub struct Bbo in "bbo" {
        stream {
            /// The market.
            coin: Coin,
        }
        row {
            /// Block time, ms.
            time: TimeMs,
        }
        /// The best bid: price (USD), size (coins) and number of orders.
        bid: Option<Level>,
        /// The best ask, as the bid.
        ask: Option<Level>,
    }
}

impl Record for Bbo {
    fn stream(&self) -> StreamKey {
        StreamKey::Bbo(self.coin)
    }

    fn row_key(&self) -> RowKey {
        RowKey::alone(self.coin, self.time)
    }

    fn is_crossed(&self) -> bool {
        matches!((self.bid, self.ask), (Some(bid), Some(ask)) if bid.px >= ask.px)
    }
}

pub(super) const SPEC: KindSpec = KindSpec {
    kind: Kind::Bbo,
    name: "bbo",
    word: "bbo",
    scope: Scope::Coin,
    table: &<Bbo as Row>::TABLE,
    channels: &["bbo"],
    ws: true,
    fallback: SourceId::Rest,
    job: "collect_orderbook",
    job_does: "polls the books that no socket brings",
    conflation: Conflation::State,
    borders: Borders::Shared,
    history: History::None,
    first_silence_ms: 10_000,
    longest_silence_ms: 300_000,
    hole_ms: 17_000,
    steady: false,
    timed: true,
    voice: Some(Voice::Bbos),
    poll_ms: 30_000,
    fastest_poll_ms: 5_000,
    poll_weight: 2,
    poll_shared: false,
    value: 60,
    live: true,
    keep_days: &[("", 7)],
};
