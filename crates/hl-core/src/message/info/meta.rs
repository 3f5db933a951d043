//! The listing of markets: perpetuals by dex, spot pairs and tokens, outcomes.

use serde::{Deserialize, Serialize};
use serde_with::{serde_as, skip_serializing_none};

use crate::message::Exact;
use crate::record::{Address, HexBytes};
use crate::{Coin, Decimal};

/// The perpetuals of one dex. The position in `universe` is the asset's index, and only ever appended to.
#[skip_serializing_none]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Meta {
    /// The perpetuals.
    pub universe: Vec<PerpAsset>,
    /// Margin tables by id; absent in old recordings.
    pub margin_tables: Option<Vec<(u32, MarginTable)>>,
    /// Index of the collateral token; absent in old recordings.
    pub collateral_token: Option<u32>,
}

/// One perpetual. Flags are present only where true.
#[skip_serializing_none]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PerpAsset {
    /// Its name, with the dex before it where a builder runs it.
    pub name: Coin,
    /// Decimal places of sizes.
    pub sz_decimals: u32,
    /// Greatest leverage.
    pub max_leverage: u32,
    /// Which margin table; below 50 it is a plain greatest leverage.
    pub margin_table_id: Option<u32>,
    /// Isolated margin only.
    pub only_isolated: Option<bool>,
    /// No longer traded: acknowledged when subscribed, with empty books.
    pub is_delisted: Option<bool>,
    /// Which margin modes it allows, such as `noCross` and `strictIsolated`.
    pub margin_mode: Option<String>,
    /// `enabled` where fees are lowered to let it grow.
    pub growth_mode: Option<String>,
    /// When that changed, ISO without a zone.
    pub last_growth_mode_change_time: Option<String>,
}

impl PerpAsset {
    /// Whether it trades.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.is_delisted != Some(true)
    }
}

/// Margin by size of position.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MarginTable {
    /// A name.
    pub description: String,
    /// The tiers, smallest first.
    pub margin_tiers: Vec<MarginTier>,
}

/// One tier of a margin table.
#[serde_as]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MarginTier {
    /// Notional from which it applies, USD.
    #[serde_as(as = "Exact")]
    pub lower_bound: Decimal,
    /// Greatest leverage.
    pub max_leverage: u32,
}

/// One dex of perpetuals that a builder runs.
#[serde_as]
#[skip_serializing_none]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PerpDex {
    /// Its name, the prefix of its coins.
    pub name: String,
    /// Its full name.
    pub full_name: String,
    /// Who deployed it.
    pub deployer: Address,
    /// Who feeds its oracle, where it is not the deployer.
    #[serialize_always]
    pub oracle_updater: Option<Address>,
    /// Who takes the builder's share of fees.
    #[serialize_always]
    pub fee_recipient: Option<Address>,
    /// Cap of open interest by coin, USD.
    #[serde_as(as = "Vec<(_, Exact)>")]
    pub asset_to_streaming_oi_cap: Vec<(Coin, Decimal)>,
    /// Who may do what on the deployer's behalf.
    pub sub_deployers: Option<Vec<(String, Vec<Address>)>>,
    /// The deployer's share of fees, a fraction.
    #[serde_as(as = "Option<Exact>")]
    pub deployer_fee_scale: Option<Decimal>,
    /// When that changed, ISO without a zone.
    pub last_deployer_fee_scale_change_time: Option<String>,
    /// Multiplier of the funding rate by coin.
    #[serde_as(as = "Option<Vec<(_, Exact)>>")]
    pub asset_to_funding_multiplier: Option<Vec<(Coin, Decimal)>>,
    /// Interest rate in the funding rate by coin, a fraction.
    #[serde_as(as = "Option<Vec<(_, Exact)>>")]
    pub asset_to_funding_interest_rate: Option<Vec<(Coin, Decimal)>>,
    /// Clamp of the funding rate by coin, a fraction.
    #[serde_as(as = "Option<Vec<(_, Exact)>>")]
    pub asset_to_funding_clamp: Option<Vec<(Coin, Decimal)>>,
}

/// Spot pairs and their tokens.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SpotMeta {
    /// The pairs. Their position is not their index: join by name.
    pub universe: Vec<SpotPair>,
    /// The tokens.
    pub tokens: Vec<SpotToken>,
}

/// One spot pair.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SpotPair {
    /// Index of the base token, then of the quote token.
    pub tokens: [u32; 2],
    /// `PURR/USDC` or `@` and the index.
    pub name: Coin,
    /// Its index.
    pub index: u32,
    /// Whether the exchange gave it its name.
    pub is_canonical: bool,
}

/// One token. Names are free text: spaces and look-alikes occur, so identity is the token id.
#[serde_as]
#[skip_serializing_none]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SpotToken {
    /// Its name.
    pub name: String,
    /// Decimal places of sizes.
    pub sz_decimals: u32,
    /// Decimal places on chain.
    pub wei_decimals: u32,
    /// Its index.
    pub index: u32,
    /// Its identity.
    pub token_id: HexBytes<16>,
    /// Whether the exchange gave it its name.
    pub is_canonical: bool,
    /// Its contract on HyperEVM.
    #[serialize_always]
    pub evm_contract: Option<EvmContract>,
    /// Its full name.
    #[serialize_always]
    pub full_name: Option<String>,
    /// The deployer's share of trading fees, a fraction.
    #[serde_as(as = "Option<Exact>")]
    pub deployer_trading_fee_share: Option<Decimal>,
}

/// A token's contract on HyperEVM.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct EvmContract {
    /// Where it is.
    pub address: Address,
    /// Decimal places that the contract has beyond `weiDecimals`; may be negative.
    pub evm_extra_wei_decimals: i32,
}

/// Outcome markets and the questions that join them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OutcomeMeta {
    /// Outcomes that have not settled.
    pub outcomes: Vec<Outcome>,
    /// Questions.
    pub questions: Vec<Question>,
}

/// One outcome. Its coins are `#` and ten times the number plus the side.
#[skip_serializing_none]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// Its number.
    pub outcome: u64,
    /// Its name.
    pub name: String,
    /// What is bet on: `class:priceBinary|underlying:BTC|expiry:…`.
    pub description: String,
    /// The two sides.
    pub side_specs: Vec<OutcomeSide>,
    /// What prices are quoted in.
    pub quote_token: Option<String>,
    /// Who deployed it.
    pub deployer: Option<Address>,
}

impl Outcome {
    /// The coins of its sides, as far as their numbers make names.
    pub fn coins(&self) -> impl Iterator<Item = Coin> {
        (0..self.side_specs.len() as u64).filter_map(|side| Coin::of_outcome(self.outcome, side))
    }
}

/// One side of an outcome.
#[skip_serializing_none]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OutcomeSide {
    /// Its name.
    pub name: String,
    /// Index of its token.
    pub token: Option<u64>,
}

/// A question: outcomes of which one comes true.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Question {
    /// Its number.
    pub question: u64,
    /// Its name.
    pub name: String,
    /// What is asked.
    pub description: String,
    /// The outcome that stands for none of the named ones.
    pub fallback_outcome: u64,
    /// The named outcomes.
    pub named_outcomes: Vec<u64>,
    /// Those of them that have settled.
    pub settled_named_outcomes: Vec<u64>,
}
