//! Fills of a user. Key: user, coin, time, tid, side.

use serde::{Deserialize, Serialize};
use serde_with::{serde_as, skip_serializing_none};

use super::orders::Cloid;
use crate::message::Exact;
use crate::record::{Address, Hash, Side};
use crate::{Coin, Decimal, TimeMs};

/// One user's side of a trade.
#[serde_as]
#[skip_serializing_none]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fill {
    /// The market.
    pub coin: Coin,
    /// Price, USD (or the quote token).
    #[serde_as(as = "Exact")]
    pub px: Decimal,
    /// Size, coins.
    #[serde_as(as = "Exact")]
    pub sz: Decimal,
    /// The user's side.
    pub side: Side,
    /// Block time, ms.
    pub time: TimeMs,
    /// Signed size of the position before it, coins.
    #[serde_as(as = "Exact")]
    pub start_position: Decimal,
    /// What it did, in words: `Open Long`, `Close Short`, `Buy`.
    pub dir: String,
    /// Profit realised, USD, fees left out.
    #[serde_as(as = "Exact")]
    pub closed_pnl: Decimal,
    /// Transaction hash; all zeros on TWAP and system fills.
    pub hash: Hash,
    /// The order's number.
    pub oid: u64,
    /// Whether the user crossed the spread.
    pub crossed: bool,
    /// Fee, in `fee_token`; negative for a rebate.
    #[serde_as(as = "Exact")]
    pub fee: Decimal,
    /// Number of the trade, the same on both sides; absent in recordings of 2023.
    pub tid: Option<u64>,
    /// What the fee is paid in; absent in recordings of 2023.
    pub fee_token: Option<String>,
    /// The client's name for the order.
    pub cloid: Option<Cloid>,
    /// Fee of the builder that placed it, in `fee_token`.
    #[serde_as(as = "Option<Exact>")]
    pub builder_fee: Option<Decimal>,
    /// Fee waived under a trial.
    #[serde_as(as = "Option<Exact>")]
    pub fee_trial_escrow: Option<Decimal>,
    /// The TWAP order that it belongs to.
    #[serialize_always]
    pub twap_id: Option<u64>,
    /// The liquidation that caused it.
    pub liquidation: Option<FillLiquidation>,
}

/// The liquidation behind a fill.
#[serde_as]
#[skip_serializing_none]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FillLiquidation {
    /// Who was liquidated.
    pub liquidated_user: Option<Address>,
    /// Mark price then, USD.
    #[serde_as(as = "Exact")]
    pub mark_px: Decimal,
    /// `market` or `backstop`.
    pub method: String,
}

/// A fill of a TWAP order.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TwapSliceFill {
    /// The fill.
    pub fill: Fill,
    /// The order's number.
    pub twap_id: u64,
}
