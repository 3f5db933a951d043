//! Bars. The open bar is sent again at every change, its last version may arrive after the next has opened, and a
//! minute without trades sends nothing (PROTOCOL section 2.1). REST keeps the most recent 5,000 of an interval.

use serde::{Deserialize, Serialize};

use super::{Borders, Conflation, History, Kind, KindSpec, Record, Scope, StreamKey};
use crate::row::{Row, RowKey, record};
use crate::{Coin, Decimal, Interval, SourceId, TimeMs};

record! {
    /// One version of a bar; the one with the most trades wins.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
    pub struct Candle in "candles" versions by "trades" {
        stream {
            /// The market.
            coin: Coin,
            /// The interval, `1m` to `1M`.
            interval: Interval,
        }
        row {
            /// Open time of the bar, ms (`t` on the wire).
            time: TimeMs,
        }
        /// Open price, USD.
        open: Decimal,
        /// Highest price, USD.
        high: Decimal,
        /// Lowest price, USD.
        low: Decimal,
        /// Last price, USD.
        close: Decimal,
        /// Volume, coins (`v`).
        volume: Decimal,
        /// Number of trades (`n`), never decreasing within a bar.
        trades: u64,
    }
}

impl Record for Candle {
    fn stream(&self) -> StreamKey {
        StreamKey::Candle(self.coin, self.interval)
    }

    fn row_key(&self) -> RowKey {
        RowKey::alone(self.coin, self.time)
    }

    /// More trades, or other values of as many. A version with fewer trades is an older one.
    fn contradicts(&self, last: &Self) -> bool {
        let values = |bar: &Self| [bar.open, bar.high, bar.low, bar.close, bar.volume];
        self.trades > last.trades || self.trades == last.trades && values(self) != values(last)
    }
}

pub(super) const SPEC: KindSpec = KindSpec {
    kind: Kind::Candle,
    name: "candle",
    word: "candle",
    scope: Scope::Coin,
    table: &<Candle as Row>::TABLE,
    channels: &["candle"],
    ws: true,
    fallback: SourceId::Rest,
    job: "collect_candles",
    job_does: "polls the bars that no socket brings",
    conflation: Conflation::PerKey,
    borders: Borders::HalfOpen,
    history: History::Bars(5_000),
    first_silence_ms: 20_000,
    longest_silence_ms: 600_000,
    hole_ms: 0,
    steady: false,
    timed: true,
    voice: None,
    poll_ms: 300_000,
    fastest_poll_ms: 60_000,
    poll_weight: 21,
    poll_shared: false,
    value: 80,
    live: true,
    keep_days: &[("1m", 7), ("3m", 7), ("5m", 30), ("15m", 90)],
};
