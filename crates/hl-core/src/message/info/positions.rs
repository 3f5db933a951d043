//! What a user holds: margin and positions, spot balances, limits.

use serde::{Deserialize, Serialize};
use serde_with::{serde_as, skip_serializing_none};

use crate::message::Exact;
use crate::record::Address;
use crate::{Coin, Decimal, TimeMs};

/// Margin and positions of a user on one dex. No positions is a state too: flat.
#[serde_as]
#[skip_serializing_none]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClearinghouseState {
    /// All positions together.
    pub margin_summary: MarginSummary,
    /// The positions with cross margin.
    pub cross_margin_summary: MarginSummary,
    /// Maintenance margin of these, USD; absent in old recordings.
    #[serde_as(as = "Option<Exact>")]
    pub cross_maintenance_margin_used: Option<Decimal>,
    /// What may be withdrawn, USD.
    #[serde_as(as = "Exact")]
    pub withdrawable: Decimal,
    /// The positions.
    pub asset_positions: Vec<AssetPosition>,
    /// When it was true, ms; absent in old recordings.
    pub time: Option<TimeMs>,
}

/// Margin in sum, USD.
#[serde_as]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MarginSummary {
    /// Value of the account.
    #[serde_as(as = "Exact")]
    pub account_value: Decimal,
    /// Notional of all positions.
    #[serde_as(as = "Exact")]
    pub total_ntl_pos: Decimal,
    /// Cash; negative where borrowed.
    #[serde_as(as = "Exact")]
    pub total_raw_usd: Decimal,
    /// Margin in use.
    #[serde_as(as = "Exact")]
    pub total_margin_used: Decimal,
}

/// A position and its kind.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AssetPosition {
    /// `oneWay`: there is no other.
    #[serde(rename = "type")]
    pub kind: String,
    /// The position.
    pub position: Position,
}

/// A position in one perpetual.
#[serde_as]
#[skip_serializing_none]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Position {
    /// The market.
    pub coin: Coin,
    /// Signed size, coins.
    #[serde_as(as = "Exact")]
    pub szi: Decimal,
    /// Leverage and margin mode.
    pub leverage: Leverage,
    /// Mean entry price, USD.
    #[serialize_always]
    #[serde_as(as = "Option<Exact>")]
    pub entry_px: Option<Decimal>,
    /// Value, USD.
    #[serde_as(as = "Exact")]
    pub position_value: Decimal,
    /// Unrealised profit, USD.
    #[serde_as(as = "Exact")]
    pub unrealized_pnl: Decimal,
    /// Profit by margin, a fraction.
    #[serde_as(as = "Exact")]
    pub return_on_equity: Decimal,
    /// Price at which it is liquidated, USD; null where there is none.
    #[serialize_always]
    #[serde_as(as = "Option<Exact>")]
    pub liquidation_px: Option<Decimal>,
    /// Margin in use, USD.
    #[serde_as(as = "Exact")]
    pub margin_used: Decimal,
    /// Greatest leverage of the market; absent in old recordings.
    pub max_leverage: Option<u32>,
    /// Funding paid; absent in old recordings.
    pub cum_funding: Option<CumFunding>,
    /// Greatest sizes that may be bought and sold; only in old recordings.
    #[serde_as(as = "Option<[Exact; 2]>")]
    pub max_trade_szs: Option<[Decimal; 2]>,
}

/// Leverage and margin mode.
#[serde_as]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Leverage {
    /// Margin is shared by all such positions.
    Cross {
        /// Leverage.
        value: u32,
    },
    /// Margin is the position's own.
    Isolated {
        /// Leverage.
        value: u32,
        /// Its cash, USD.
        #[serde_as(as = "Exact")]
        raw_usd: Decimal,
    },
}

/// Funding that a position has paid (negative: received), USD.
#[serde_as]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CumFunding {
    /// Ever.
    #[serde_as(as = "Exact")]
    pub all_time: Decimal,
    /// Since the position was opened.
    #[serde_as(as = "Exact")]
    pub since_open: Decimal,
    /// Since its size changed.
    #[serde_as(as = "Exact")]
    pub since_change: Decimal,
}

/// Spot balances of a user.
#[serde_as]
#[skip_serializing_none]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SpotState {
    /// The balances.
    pub balances: Vec<SpotBalance>,
    /// Balances on their way to HyperEVM.
    pub evm_escrows: Option<Vec<EvmEscrow>>,
    /// Whether spot balances serve as margin.
    pub portfolio_margin_enabled: Option<bool>,
    /// Margin in use by value, a fraction.
    #[serde_as(as = "Option<Exact>")]
    pub portfolio_margin_ratio: Option<Decimal>,
    /// By token index, what is borrowed of what may be.
    #[serde_as(as = "Option<Vec<(_, Exact)>>")]
    pub token_to_portfolio_borrow_ratio: Option<Vec<(u32, Decimal)>>,
    /// By token index, what is supplied of what may be.
    #[serde_as(as = "Option<Vec<(_, Exact)>>")]
    pub token_to_portfolio_supply_ratio: Option<Vec<(u32, Decimal)>>,
    /// By token index, what is free after maintenance margin.
    #[serde_as(as = "Option<Vec<(_, Exact)>>")]
    pub token_to_available_after_maintenance: Option<Vec<(u32, Decimal)>>,
}

/// The balance of one token.
#[serde_as]
#[skip_serializing_none]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SpotBalance {
    /// The token's name: free text, no market.
    pub coin: String,
    /// The token's index.
    pub token: u32,
    /// All of it.
    #[serde_as(as = "Exact")]
    pub total: Decimal,
    /// What open orders hold.
    #[serde_as(as = "Exact")]
    pub hold: Decimal,
    /// What was paid for it, USD.
    #[serde_as(as = "Exact")]
    pub entry_ntl: Decimal,
    /// What may be lent on it, a fraction.
    #[serde_as(as = "Option<Exact>")]
    pub ltv: Option<Decimal>,
    /// What is lent out.
    #[serde_as(as = "Option<Exact>")]
    pub supplied: Option<Decimal>,
}

/// A balance on its way to HyperEVM.
#[serde_as]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct EvmEscrow {
    /// The token's name.
    pub coin: String,
    /// The token's index.
    pub token: u32,
    /// How much.
    #[serde_as(as = "Exact")]
    pub total: Decimal,
}

/// What a user may trade in one perpetual. In pairs, buying comes first.
#[serde_as]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ActiveAssetData {
    /// The user.
    pub user: Address,
    /// The perpetual.
    pub coin: Coin,
    /// Leverage and margin mode.
    pub leverage: Leverage,
    /// Greatest sizes, coins.
    #[serde_as(as = "[Exact; 2]")]
    pub max_trade_szs: [Decimal; 2],
    /// What is free for it, USD.
    #[serde_as(as = "[Exact; 2]")]
    pub available_to_trade: [Decimal; 2],
    /// Mark price, USD.
    #[serde_as(as = "Exact")]
    pub mark_px: Decimal,
}
