//! Daily statistics that the exchange publishes as files: which there are, and one figure of them.
//!
//! What does not live here: reading a file ([`decode::statistics`](crate::decode::statistics)), and when it is read
//! (`hl-scheduler`).

use serde::{Deserialize, Serialize};

use crate::TimeMs;

/// What a file holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shape {
    /// `chart_data`: the whole history, a row a day, of each coin where it is split so.
    Days,
    /// `table_data`: the first 1,000 users as of now.
    Top,
}

/// A series of statistics, which is a file of that name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Series {
    /// Its name.
    pub name: &'static str,
    /// What its file holds.
    pub shape: Shape,
}

const fn days(name: &'static str) -> Series {
    Series { name, shape: Shape::Days }
}

const fn top(name: &'static str) -> Series {
    Series { name, shape: Shape::Top }
}

/// The series that are collected: volumes, trades, users, inflow, funding, open interest, liquidity and liquidations by
/// coin, and the first users by four measures. The names are those that the exchange's own statistics page asks for.
/// The small files come first.
pub const SERIES: [Series; 13] = [
    days("daily_usd_volume"),
    days("cumulative_trades"),
    days("daily_unique_users"),
    days("cumulative_new_users"),
    days("daily_inflow"),
    top("largest_users_by_usd_volume"),
    top("largest_user_depositors"),
    top("largest_liquidated_notional_by_user"),
    top("largest_user_trade_count"),
    days("daily_notional_liquidated_by_coin"),
    days("funding_rate"),
    days("open_interest"),
    days("liquidity_by_coin"),
];

/// One figure. Statistics are floating point at the exchange already, so they are here; amounts are in USD.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Figure {
    /// The day, as its first millisecond, UTC.
    pub day: TimeMs,
    /// The coin or the user; empty where it is of the whole exchange.
    pub subject: String,
    /// What is counted, as the file names it.
    pub name: String,
    /// How much.
    pub value: f64,
}
