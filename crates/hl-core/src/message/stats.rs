//! The leaderboard and the vaults: files outside `/info`, of up to 25 MB, renewed once a day. The daily series beside them are
//! read piece by piece ([`decode::statistics`](crate::decode::statistics)).

use serde::{Deserialize, Serialize};
use serde_with::serde_as;

use super::Exact;
use super::info::vaults::VaultSummary;
use crate::Decimal;
use crate::record::Address;

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
    /// Prize: the number 0, as far as has been seen. What it would be otherwise is not known, and is left as it is.
    #[serde(default)]
    pub prize: serde_json::Value,
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
