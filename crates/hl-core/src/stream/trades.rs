//! Public trades. A subscription replays the last 30, REST has the last 10, nothing older exists (PROTOCOL section 0).

use serde::{Deserialize, Serialize};

use super::{Borders, Conflation, History, Kind, KindSpec, Record, Scope, StreamKey};
use crate::exchange_time::Voice;
use crate::row::{Address, Hash, Row, RowKey, Side, record};
use crate::{Coin, Decimal, SourceId, TimeMs};

record! {
    /// A public trade.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
    pub struct Trade in "trades" {
        stream {
            /// The market.
            coin: Coin,
        }
        row {
            /// Block time, ms.
            time: TimeMs,
            /// A 50-bit hash of the two order ids: neither ordered nor unique by itself.
            tid: u64,
        }
        /// Price, USD (or the quote token).
        px: Decimal,
        /// Size, coins.
        sz: Decimal,
        /// The aggressor's side: `B` bought, `A` sold.
        side: Side,
        /// Transaction hash; all zeros on TWAP and system fills.
        hash: Hash,
        /// The buyer, whatever the side says.
        buyer: Address,
        /// The seller.
        seller: Address,
    }
}

impl Trade {
    /// What makes a trade the same trade within its coin.
    #[must_use]
    pub fn key(&self) -> (TimeMs, u64) {
        (self.time, self.tid)
    }
}

impl Record for Trade {
    fn stream(&self) -> StreamKey {
        StreamKey::Trades(self.coin)
    }

    fn row_key(&self) -> RowKey {
        RowKey { tid: self.tid, ..RowKey::alone(self.coin, self.time) }
    }

    fn contradicts(&self, stored: &Self) -> bool {
        (self.px, self.sz, self.side) != (stored.px, stored.sz, stored.side)
    }
}

pub(super) const SPEC: KindSpec = KindSpec {
    kind: Kind::Trades,
    name: "trades",
    word: "trades",
    scope: Scope::Coin,
    table: &<Trade as Row>::TABLE,
    channels: &["trades"],
    ws: true,
    fallback: SourceId::Rest,
    job: "collect_trades",
    job_does: "polls the trades that no socket brings",
    conflation: Conflation::Event,
    borders: Borders::Shared,
    history: History::Recent(10),
    first_silence_ms: 5_000,
    longest_silence_ms: 600_000,
    hole_ms: 0,
    steady: false,
    timed: true,
    voice: Some(Voice::Trades),
    poll_ms: 60_000,
    fastest_poll_ms: 2_000,
    poll_weight: 21,
    poll_shared: false,
    value: 100,
    live: true,
    keep_days: &[("", 90)],
};
