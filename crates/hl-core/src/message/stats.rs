//! The statistics files, outside `/info`: leaderboard, vaults, daily series. Whole files of up to 47 MB, renewed once a
//! day. Series and tables hold JSON floats, so they are floats here; money in the leaderboard is exact.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_with::{serde_as, skip_serializing_none};

use super::Exact;
use super::info::vaults::VaultSummary;
use crate::record::Address;
use crate::{Coin, Decimal};

/// `leaderboard`: every trader of note.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Leaderboard {
    /// The traders.
    pub leaderboard_rows: Vec<LeaderboardRow>,
}

/// One trader.
#[serde_as]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LeaderboardRow {
    /// The trader.
    pub eth_address: Address,
    /// Value of the account, USD.
    #[serde_as(as = "Exact")]
    pub account_value: Decimal,
    /// By window: `day`, `week`, `month`, `allTime`.
    pub window_performances: Vec<(String, Performance)>,
    /// Prize, USD.
    pub prize: u64,
    /// The name to show.
    pub display_name: Option<String>,
}

/// What a trader did in one window.
#[serde_as]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Performance {
    /// Profit, USD.
    #[serde_as(as = "Exact")]
    pub pnl: Decimal,
    /// Return, a fraction.
    #[serde_as(as = "Exact")]
    pub roi: Decimal,
    /// Volume, USD.
    #[serde_as(as = "Exact")]
    pub vlm: Decimal,
}

/// One row of `vaults`.
#[serde_as]
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct VaultRow {
    /// Yearly return, a fraction.
    pub apr: f64,
    /// Profit over time by window, USD.
    #[serde_as(as = "Vec<(_, Vec<Exact>)>")]
    pub pnls: Vec<(String, Vec<Decimal>)>,
    /// The vault.
    pub summary: VaultSummary,
}

/// A daily series: `daily_usd_volume`, `funding_rate`, `open_interest` and so on.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Series {
    /// The rows.
    pub chart_data: Vec<SeriesRow>,
}

/// One day of a series, of one coin or user where it is split so.
#[skip_serializing_none]
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct SeriesRow {
    /// The day, `2025-07-02T00:00:00`.
    pub time: String,
    /// The coin.
    pub coin: Option<Coin>,
    /// The user.
    pub user: Option<Address>,
    /// Whether it counts takers.
    pub crossed: Option<bool>,
    /// The values by name; USD for volumes and notionals.
    #[serde(flatten)]
    pub values: BTreeMap<String, Option<f64>>,
}

/// `liquidity_by_coin`: a series of each coin.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct LiquidityByCoin {
    /// The rows by coin.
    pub chart_data: BTreeMap<Coin, Vec<SeriesRow>>,
}

/// A table of the 1,000 first users by one measure.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct TopUsers {
    /// The users.
    pub table_data: Vec<TopUser>,
}

/// One user of a table.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct TopUser {
    /// The user.
    pub name: Address,
    /// The measure.
    pub value: f64,
}
