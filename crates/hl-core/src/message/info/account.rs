//! What a user is and has done: fees, profit over time, referrals, counters, roles, sub-accounts.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_with::{serde_as, skip_serializing_none};

use super::positions::{ClearinghouseState, SpotState};
use crate::message::Exact;
use crate::record::Address;
use crate::{Decimal, TimeMs};

/// Fee rates and volume of a user. Rates are fractions, volumes USD.
#[serde_as]
#[skip_serializing_none]
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserFees {
    /// Volume by day.
    pub daily_user_vlm: Vec<DailyVolume>,
    /// The schedule.
    pub fee_schedule: FeeSchedule,
    /// The user's rate for taking, perpetuals.
    #[serde_as(as = "Exact")]
    pub user_cross_rate: Decimal,
    /// The user's rate for making, perpetuals.
    #[serde_as(as = "Exact")]
    pub user_add_rate: Decimal,
    /// The user's rate for taking, spot.
    #[serde_as(as = "Option<Exact>")]
    pub user_spot_cross_rate: Option<Decimal>,
    /// The user's rate for making, spot.
    #[serde_as(as = "Option<Exact>")]
    pub user_spot_add_rate: Option<Decimal>,
    /// Discount by referral.
    #[serde_as(as = "Exact")]
    pub active_referral_discount: Decimal,
    /// A trial, in a form that is not documented.
    #[serialize_always]
    pub trial: Option<Value>,
    /// What the trial waived, USD; its older name.
    #[serde_as(as = "Option<Exact>")]
    pub fee_trial_reward: Option<Decimal>,
    /// What the trial waived, USD.
    #[serde_as(as = "Option<Exact>")]
    pub fee_trial_escrow: Option<Decimal>,
    /// When the next trial may start, in a form that is not documented.
    #[serialize_always]
    pub next_trial_available_timestamp: Option<Value>,
    /// The account that stakes for this one.
    #[serialize_always]
    pub staking_link: Option<StakingLink>,
    /// Discount by stake.
    pub active_staking_discount: Option<StakingDiscount>,
}

/// Volume of one day, USD.
#[serde_as]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DailyVolume {
    /// The day, `2025-07-02`.
    pub date: String,
    /// The user's, taking.
    #[serde_as(as = "Exact")]
    pub user_cross: Decimal,
    /// The user's, making.
    #[serde_as(as = "Exact")]
    pub user_add: Decimal,
    /// The exchange's.
    #[serde_as(as = "Exact")]
    pub exchange: Decimal,
}

/// The schedule of fees.
#[serde_as]
#[skip_serializing_none]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FeeSchedule {
    /// Taking, perpetuals.
    #[serde_as(as = "Exact")]
    pub cross: Decimal,
    /// Making, perpetuals.
    #[serde_as(as = "Exact")]
    pub add: Decimal,
    /// Taking, spot.
    #[serde_as(as = "Option<Exact>")]
    pub spot_cross: Option<Decimal>,
    /// Making, spot.
    #[serde_as(as = "Option<Exact>")]
    pub spot_add: Option<Decimal>,
    /// Tiers by volume.
    pub tiers: FeeTiers,
    /// Discount by referral.
    #[serde_as(as = "Exact")]
    pub referral_discount: Decimal,
    /// Discounts by stake.
    pub staking_discount_tiers: Option<Vec<StakingDiscount>>,
}

/// Tiers of fees.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FeeTiers {
    /// By volume.
    pub vip: Vec<VipTier>,
    /// By share of the exchange's making.
    pub mm: Vec<MakerTier>,
}

/// A tier by volume.
#[serde_as]
#[skip_serializing_none]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VipTier {
    /// Volume from which it applies, USD.
    #[serde_as(as = "Exact")]
    pub ntl_cutoff: Decimal,
    /// Taking, perpetuals.
    #[serde_as(as = "Exact")]
    pub cross: Decimal,
    /// Making, perpetuals.
    #[serde_as(as = "Exact")]
    pub add: Decimal,
    /// Taking, spot.
    #[serde_as(as = "Option<Exact>")]
    pub spot_cross: Option<Decimal>,
    /// Making, spot.
    #[serde_as(as = "Option<Exact>")]
    pub spot_add: Option<Decimal>,
}

/// A tier by share of the exchange's making.
#[serde_as]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MakerTier {
    /// Share from which it applies, a fraction.
    #[serde_as(as = "Exact")]
    pub maker_fraction_cutoff: Decimal,
    /// Making; negative for a rebate.
    #[serde_as(as = "Exact")]
    pub add: Decimal,
}

/// A discount by stake.
#[serde_as]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StakingDiscount {
    /// Stake from which it applies, basis points of the greatest supply.
    #[serde_as(as = "Exact")]
    pub bps_of_max_supply: Decimal,
    /// The discount, a fraction.
    #[serde_as(as = "Exact")]
    pub discount: Decimal,
}

/// The account that stakes for another.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StakingLink {
    /// `requested`, `stakingUser` or `tradingUser`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The other account.
    pub staking_user: Address,
}

/// Account value and profit over time, by period: `day`, `week`, `month`, `allTime`, and the same of perpetuals alone
/// (`perpDay` and so on).
pub type Portfolio = Vec<(String, PortfolioPeriod)>;

/// Account value and profit over one period, USD.
#[serde_as]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PortfolioPeriod {
    /// Account value by time.
    #[serde_as(as = "Vec<(_, Exact)>")]
    pub account_value_history: Vec<(TimeMs, Decimal)>,
    /// Profit since the period's start by time.
    #[serde_as(as = "Vec<(_, Exact)>")]
    pub pnl_history: Vec<(TimeMs, Decimal)>,
    /// Volume.
    #[serde_as(as = "Exact")]
    pub vlm: Decimal,
}

/// Request counters of an address: they bind orders, not reading.
#[serde_as]
#[skip_serializing_none]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserRateLimit {
    /// Volume ever, USD.
    #[serde_as(as = "Exact")]
    pub cum_vlm: Decimal,
    /// Requests used.
    pub n_requests_used: u64,
    /// Requests granted.
    pub n_requests_cap: u64,
    /// Requests bought beyond these.
    pub n_requests_surplus: Option<u64>,
}

/// What an address is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "role", content = "data", rename_all = "camelCase")]
pub enum UserRole {
    /// Nobody.
    Missing,
    /// A user.
    User,
    /// A vault.
    Vault,
    /// The wallet that signs for a user.
    Agent {
        /// The user.
        user: Address,
    },
    /// A sub-account.
    SubAccount {
        /// Whose.
        master: Address,
    },
}

/// A sub-account with its state on the first dex.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SubAccount {
    /// Its name.
    pub name: String,
    /// Its address.
    pub sub_account_user: Address,
    /// Whose it is.
    pub master: Address,
    /// Margin and positions.
    pub clearinghouse_state: ClearinghouseState,
    /// Spot balances.
    pub spot_state: SpotState,
}

/// A sub-account with its state on every dex.
#[skip_serializing_none]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SubAccountAllDexs {
    /// Its name.
    pub name: String,
    /// Its address.
    pub sub_account_user: Address,
    /// Whose it is.
    pub master: Address,
    /// Margin and positions by dex; the first dex is `""`.
    pub dex_to_clearinghouse_state: Vec<(String, ClearinghouseState)>,
    /// Spot balances.
    pub spot_state: SpotState,
    /// How its balances are joined.
    pub abstraction: Option<String>,
}

/// A wallet that signs for a user.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExtraAgent {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: Address,
    /// Until when, ms.
    pub valid_until: TimeMs,
}

/// Referrer, referred and rewards of a user. Amounts are USD.
#[serde_as]
#[skip_serializing_none]
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Referral {
    /// Who referred the user.
    #[serialize_always]
    pub referred_by: Option<ReferredBy>,
    /// Volume ever.
    #[serde_as(as = "Exact")]
    pub cum_vlm: Decimal,
    /// Rewards not yet claimed.
    #[serde_as(as = "Exact")]
    pub unclaimed_rewards: Decimal,
    /// Rewards claimed.
    #[serde_as(as = "Exact")]
    pub claimed_rewards: Decimal,
    /// Rewards as a builder.
    #[serde_as(as = "Option<Exact>")]
    pub builder_rewards: Option<Decimal>,
    /// The user as a referrer: a stage and what belongs to it.
    pub referrer_state: Option<Value>,
    /// Rewards by time.
    pub reward_history: Option<Vec<Value>>,
    /// Rewards by token.
    pub token_to_state: Option<Value>,
}

/// Who referred a user.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ReferredBy {
    /// The referrer.
    pub referrer: Address,
    /// The code used.
    pub code: String,
}
