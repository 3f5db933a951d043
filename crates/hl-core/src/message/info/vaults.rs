//! Vaults and staking. Numbers that the exchange writes as JSON floats are floats here.

use serde::{Deserialize, Serialize};
use serde_with::{serde_as, skip_serializing_none};

use super::account::Portfolio;
use crate::message::Exact;
use crate::record::Address;
use crate::{Decimal, TimeMs};

/// A vault.
#[serde_as]
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VaultDetails {
    /// Its name.
    pub name: String,
    /// Its address.
    pub vault_address: Address,
    /// Who leads it.
    pub leader: Address,
    /// What it does, in the leader's words.
    pub description: String,
    /// Value and profit over time.
    pub portfolio: Portfolio,
    /// Yearly return, a fraction.
    pub apr: f64,
    /// The share of the user that was asked for.
    pub follower_state: Option<VaultFollower>,
    /// The leader's share, a fraction.
    pub leader_fraction: f64,
    /// The leader's commission, a fraction of profit.
    pub leader_commission: f64,
    /// Who has a share.
    pub followers: Vec<VaultFollower>,
    /// What may be paid out to all, USD.
    pub max_distributable: f64,
    /// What the user may withdraw, USD.
    pub max_withdrawable: f64,
    /// Whether it has closed.
    pub is_closed: bool,
    /// Its place among other vaults.
    pub relationship: VaultRelationship,
    /// Whether it takes deposits.
    pub allow_deposits: bool,
    /// Whether a withdrawal closes positions.
    pub always_close_on_withdraw: bool,
}

/// One share in a vault. Amounts are USD.
#[serde_as]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VaultFollower {
    /// An address, or `Leader`.
    pub user: String,
    /// Value of the share.
    #[serde_as(as = "Exact")]
    pub vault_equity: Decimal,
    /// Profit.
    #[serde_as(as = "Exact")]
    pub pnl: Decimal,
    /// Profit ever.
    #[serde_as(as = "Exact")]
    pub all_time_pnl: Decimal,
    /// Days since the first deposit.
    pub days_following: u32,
    /// The first deposit, ms.
    pub vault_entry_time: TimeMs,
    /// Until when it is locked, ms.
    pub lockup_until: TimeMs,
}

/// The place of a vault among other vaults.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum VaultRelationship {
    /// It stands alone.
    Normal,
    /// It trades for a parent.
    Child,
    /// It has vaults that trade for it.
    Parent {
        /// These.
        child_addresses: Vec<Address>,
    },
}

/// A vault in short.
#[serde_as]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VaultSummary {
    /// Its name.
    pub name: String,
    /// Its address.
    pub vault_address: Address,
    /// Who leads it.
    pub leader: Address,
    /// What it holds, USD.
    #[serde_as(as = "Exact")]
    pub tvl: Decimal,
    /// Whether it has closed.
    pub is_closed: bool,
    /// Its place among other vaults.
    pub relationship: VaultRelationship,
    /// When it was made, ms.
    pub create_time_millis: TimeMs,
}

/// A user's share in a vault.
#[serde_as]
#[skip_serializing_none]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VaultEquity {
    /// The vault.
    pub vault_address: Address,
    /// Value of the share, USD.
    #[serde_as(as = "Exact")]
    pub equity: Decimal,
    /// Until when it is locked, ms.
    pub locked_until_timestamp: Option<TimeMs>,
}

/// A vault that a user leads.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LeadingVault {
    /// Its address.
    pub address: Address,
    /// Its name.
    pub name: String,
}

/// Stake with one validator.
#[serde_as]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Delegation {
    /// The validator.
    pub validator: Address,
    /// How much, HYPE.
    #[serde_as(as = "Exact")]
    pub amount: Decimal,
    /// Until when it is locked, ms.
    pub locked_until_timestamp: TimeMs,
}

/// Stake in sum, HYPE.
#[serde_as]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DelegatorSummary {
    /// With validators.
    #[serde_as(as = "Exact")]
    pub delegated: Decimal,
    /// In the staking account, with nobody.
    #[serde_as(as = "Exact")]
    pub undelegated: Decimal,
    /// On its way out.
    #[serde_as(as = "Exact")]
    pub total_pending_withdrawal: Decimal,
    /// How many withdrawals that is.
    pub n_pending_withdrawals: u32,
}

/// A reward for staking.
#[serde_as]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DelegatorReward {
    /// When, ms.
    pub time: TimeMs,
    /// `delegation` or `commission`.
    pub source: String,
    /// How much, HYPE.
    #[serde_as(as = "Exact")]
    pub total_amount: Decimal,
}
