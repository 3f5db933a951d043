//! Records to test with, also for the rooms beside this one.

use crate::record::{Candle, HexBytes, Side, Trade};
use crate::row::Arrival;
use crate::{Coin, Decimal, Interval, TimeMs};

pub(crate) const MINUTE: i64 = 60_000;

pub(crate) fn coin() -> Coin {
    Coin::new("BTC").unwrap()
}

pub(crate) fn trade(time: i64, tid: u64) -> Trade {
    Trade {
        coin: coin(),
        time: TimeMs(time),
        tid,
        px: Decimal::ONE,
        sz: Decimal::ONE,
        side: Side::Buy,
        hash: HexBytes([0; 32]),
        buyer: HexBytes([1; 20]),
        seller: HexBytes([2; 20]),
        arrival: Arrival::default(),
    }
}

pub(crate) fn bar(minute: i64, trades: u64) -> Candle {
    Candle {
        coin: coin(),
        interval: Interval::M1,
        time: TimeMs(minute * MINUTE),
        open: Decimal::ONE,
        high: Decimal::ONE,
        low: Decimal::ONE,
        close: Decimal::ONE,
        volume: Decimal::from(trades),
        trades,
        arrival: Arrival::default(),
    }
}
