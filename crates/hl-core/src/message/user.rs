//! What the WebSocket pushes about a user. The first message of a time series is a snapshot, sent again on every
//! subscription; later ones leave `isSnapshot` out.

use serde::{Deserialize, Serialize};
use serde_with::{serde_as, skip_serializing_none};

use super::Exact;
use super::info::fills::{Fill, TwapSliceFill};
use super::info::ledger::{FundingPayment, LedgerDelta, LedgerUpdate};
use super::info::orders::{FrontendOrder, OrderStatus, TwapHistory, TwapState};
use super::info::positions::{ClearinghouseState, SpotState};
use super::info::vaults::LeadingVault;
use crate::record::Address;
use crate::{Coin, Decimal, TimeMs};

/// Fills of a user.
#[skip_serializing_none]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserFills {
    /// `true` on the first message, otherwise absent.
    pub is_snapshot: Option<bool>,
    /// The user.
    pub user: Address,
    /// The fills.
    pub fills: Vec<Fill>,
}

/// Funding payments of a user.
#[skip_serializing_none]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserFundings {
    /// `true` on the first message, otherwise absent.
    pub is_snapshot: Option<bool>,
    /// The user.
    pub user: Address,
    /// The payments.
    pub fundings: Vec<TimedFunding>,
}

/// A funding payment and its time.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TimedFunding {
    /// When, ms.
    pub time: TimeMs,
    /// What.
    #[serde(flatten)]
    pub payment: FundingPayment,
}

/// Deposits, transfers, withdrawals of a user.
#[skip_serializing_none]
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserLedger {
    /// `true` on the first message, otherwise absent.
    pub is_snapshot: Option<bool>,
    /// The user.
    pub user: Address,
    /// The entries.
    pub non_funding_ledger_updates: Vec<LedgerUpdate<LedgerDelta>>,
}

/// Orders of a user and what became of them.
#[skip_serializing_none]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserOrders {
    /// `true` on the first message, otherwise absent.
    pub is_snapshot: Option<bool>,
    /// The user.
    pub user: Address,
    /// The orders.
    pub order_history: Vec<OrderStatus>,
}

/// Fills of a user's TWAP orders.
#[skip_serializing_none]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserTwapSliceFills {
    /// `true` on the first message, otherwise absent.
    pub is_snapshot: Option<bool>,
    /// The user.
    pub user: Address,
    /// The fills.
    pub twap_slice_fills: Vec<TwapSliceFill>,
}

/// TWAP orders of a user.
#[skip_serializing_none]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserTwapHistory {
    /// `true` on the first message, otherwise absent.
    pub is_snapshot: Option<bool>,
    /// The user.
    pub user: Address,
    /// The orders.
    pub history: Vec<TwapHistory>,
}

/// An event of a user, who is not named: one user per socket.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum UserEvent {
    /// Fills.
    Fills(Vec<Fill>),
    /// A funding payment.
    Funding(FundingPayment),
    /// A liquidation.
    Liquidation(UserLiquidation),
    /// Orders cancelled by the exchange.
    NonUserCancel(Vec<CancelledOrder>),
    /// TWAP orders.
    TwapHistory(Vec<TwapHistory>),
    /// Fills of TWAP orders.
    TwapSliceFills(Vec<TwapSliceFill>),
}

/// A liquidation. Field names have underscores, unlike everywhere else.
#[serde_as]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct UserLiquidation {
    /// Its number.
    pub lid: u64,
    /// Who took over.
    pub liquidator: Address,
    /// Who was liquidated.
    pub liquidated_user: Address,
    /// Notional, USD.
    #[serde_as(as = "Exact")]
    pub liquidated_ntl_pos: Decimal,
    /// Value of the account then, USD.
    #[serde_as(as = "Exact")]
    pub liquidated_account_value: Decimal,
}

/// An order that the exchange cancelled.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CancelledOrder {
    /// The market.
    pub coin: Coin,
    /// The order's number.
    pub oid: u64,
}

/// A notice.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Notification {
    /// Its words.
    pub notification: String,
}

/// Open orders of a user on one dex: all of them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct UserOpenOrders {
    /// The dex; `""` is the first.
    pub dex: String,
    /// The user.
    pub user: Address,
    /// The orders.
    pub orders: Vec<FrontendOrder>,
}

/// Margin and positions of a user on one dex.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserClearinghouse {
    /// The dex; `""` is the first.
    pub dex: String,
    /// The user.
    pub user: Address,
    /// The state.
    pub clearinghouse_state: ClearinghouseState,
}

/// Margin and positions of a user on every dex.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserClearinghouses {
    /// The user.
    pub user: Address,
    /// The states by dex; `""` is the first.
    pub clearinghouse_states: Vec<(String, ClearinghouseState)>,
}

/// Spot balances of a user.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserSpot {
    /// The user.
    pub user: Address,
    /// The balances.
    pub spot_state: SpotState,
}

/// Running TWAP orders of a user on one dex.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct UserTwaps {
    /// The dex; `""` is the first.
    pub dex: String,
    /// The user.
    pub user: Address,
    /// The orders by number.
    pub states: Vec<(u64, TwapState)>,
}

/// What the exchange's own page shows of a user.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WebData3 {
    /// The user.
    pub user_state: WebUserState,
    /// The dexes, by index.
    pub perp_dex_states: Vec<WebDexState>,
}

/// The user of a [`WebData3`].
#[serde_as]
#[skip_serializing_none]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WebUserState {
    /// The wallet that signs for the user.
    #[serialize_always]
    pub agent_address: Option<Address>,
    /// Until when, ms.
    #[serialize_always]
    pub agent_valid_until: Option<TimeMs>,
    /// Deposits less withdrawals, USD.
    #[serde_as(as = "Exact")]
    pub cum_ledger: Decimal,
    /// The exchange's time, ms.
    pub server_time: TimeMs,
    /// Whether the user is a vault.
    pub is_vault: bool,
    /// The user.
    pub user: Address,
    /// Whether small balances are left alone.
    pub opt_out_of_spot_dusting: Option<bool>,
    /// Whether one balance serves all dexes.
    pub dex_abstraction_enabled: Option<bool>,
    /// How balances are joined.
    pub abstraction: Option<String>,
}

/// One dex of a [`WebData3`].
#[serde_as]
#[skip_serializing_none]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WebDexState {
    /// The user's shares in vaults, USD.
    #[serde_as(as = "Exact")]
    pub total_vault_equity: Decimal,
    /// Perpetuals at their cap of open interest.
    pub perps_at_open_interest_cap: Option<Vec<Coin>>,
    /// Vaults that the user leads.
    pub leading_vaults: Option<Vec<LeadingVault>>,
}
