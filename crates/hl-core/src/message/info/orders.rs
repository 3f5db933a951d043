//! Orders of a user: open ones, their ends, TWAP orders.

use serde::{Deserialize, Serialize};
use serde_with::{serde_as, skip_serializing_none};

use crate::message::Exact;
use crate::record::{Address, HexBytes, Side};
use crate::{Coin, Decimal, TimeMs};

/// The name that a client gave an order.
pub type Cloid = HexBytes<16>;

/// An open order.
#[serde_as]
#[skip_serializing_none]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OpenOrder {
    /// The market.
    pub coin: Coin,
    /// Its side.
    pub side: Side,
    /// Limit price, USD.
    #[serde_as(as = "Exact")]
    pub limit_px: Decimal,
    /// What is left of it, coins.
    #[serde_as(as = "Exact")]
    pub sz: Decimal,
    /// The exchange's number for it.
    pub oid: u64,
    /// When it was placed, ms; stays through changes of status.
    pub timestamp: TimeMs,
    /// Size as placed, coins; absent in old recordings.
    #[serde_as(as = "Option<Exact>")]
    pub orig_sz: Option<Decimal>,
    /// The client's name for it.
    pub cloid: Option<Cloid>,
    /// Whether it may only reduce a position.
    pub reduce_only: Option<bool>,
}

/// An open order in full.
#[serde_as]
#[skip_serializing_none]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FrontendOrder {
    /// The market.
    pub coin: Coin,
    /// Its side.
    pub side: Side,
    /// Limit price, USD.
    #[serde_as(as = "Exact")]
    pub limit_px: Decimal,
    /// What is left of it, coins.
    #[serde_as(as = "Exact")]
    pub sz: Decimal,
    /// The exchange's number for it.
    pub oid: u64,
    /// When it was placed, ms.
    pub timestamp: TimeMs,
    /// What sets it off, in words: `Price above 10.004`.
    pub trigger_condition: String,
    /// Whether it waits for a trigger.
    pub is_trigger: bool,
    /// The trigger, USD; 0 where there is none.
    #[serde_as(as = "Exact")]
    pub trigger_px: Decimal,
    /// Orders that its fill sets off.
    pub children: Vec<FrontendOrder>,
    /// Whether it closes a position, whatever its size.
    pub is_position_tpsl: bool,
    /// Whether it may only reduce a position.
    pub reduce_only: bool,
    /// `Limit`, `Market`, `Stop Market` and so on.
    pub order_type: String,
    /// Size as placed, coins.
    #[serde_as(as = "Exact")]
    pub orig_sz: Decimal,
    /// How long it stands: `Gtc`, `Ioc`, `Alo`; null for market orders.
    #[serialize_always]
    pub tif: Option<String>,
    /// The client's name for it.
    #[serialize_always]
    pub cloid: Option<Cloid>,
}

/// An order and what became of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderStatus<O = FrontendOrder> {
    /// The order.
    pub order: O,
    /// `open`, `filled`, `canceled`, `triggered`, `rejected` and many reasons for the latter.
    pub status: String,
    /// When that became so, ms.
    pub status_timestamp: TimeMs,
}

/// Whether the exchange knows an order.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "camelCase")]
pub enum OrderLookup {
    /// It does.
    Order {
        /// The order and what became of it.
        order: Box<OrderStatus>,
    },
    /// It does not.
    UnknownOid,
}

/// A TWAP order and what became of it.
#[skip_serializing_none]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TwapHistory {
    /// When that became so: seconds since the epoch, unlike other times.
    pub time: i64,
    /// The order.
    pub state: TwapState,
    /// What became of it.
    pub status: TwapStatus,
    /// Its number.
    pub twap_id: Option<u64>,
}

/// What became of a TWAP order.
#[skip_serializing_none]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TwapStatus {
    /// `activated`, `finished`, `terminated` or `error`.
    pub status: String,
    /// The error, in words.
    pub description: Option<String>,
}

/// A TWAP order.
#[serde_as]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TwapState {
    /// The market.
    pub coin: Coin,
    /// Who placed it.
    pub user: Address,
    /// Its side.
    pub side: Side,
    /// Size, coins.
    #[serde_as(as = "Exact")]
    pub sz: Decimal,
    /// Size executed, coins.
    #[serde_as(as = "Exact")]
    pub executed_sz: Decimal,
    /// Notional executed, USD.
    #[serde_as(as = "Exact")]
    pub executed_ntl: Decimal,
    /// How long it runs, minutes.
    pub minutes: u32,
    /// Whether it may only reduce a position.
    pub reduce_only: bool,
    /// Whether its times are randomised.
    pub randomize: bool,
    /// When it started, ms.
    pub timestamp: TimeMs,
}
