//! What moved a user's money besides trades: funding, deposits, transfers, staking.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_with::serde_as;

use crate::message::Exact;
use crate::record::{Address, Hash};
use crate::{Coin, Decimal, TimeMs};

/// One entry of a ledger. Several may share a hash.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct LedgerUpdate<D> {
    /// When, ms.
    pub time: TimeMs,
    /// Transaction hash; may be all zeros.
    pub hash: Hash,
    /// What.
    pub delta: D,
}

/// An entry of `userFunding`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum FundingDelta {
    /// A funding payment: there is no other.
    Funding(FundingPayment),
}

/// A funding payment of a user.
#[serde_as]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FundingPayment {
    /// The market.
    pub coin: Coin,
    /// Received (negative: paid), USD.
    #[serde_as(as = "Exact")]
    pub usdc: Decimal,
    /// Signed size of the position, coins.
    #[serde_as(as = "Exact")]
    pub szi: Decimal,
    /// The rate, a fraction.
    #[serde_as(as = "Exact")]
    pub funding_rate: Decimal,
    /// How many hours were joined; null for one.
    pub n_samples: Option<u64>,
}

/// An entry of `userNonFundingLedgerUpdates`. Amounts in `usdc` are USD; other amounts are in their token.
#[serde_as]
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
#[allow(missing_docs, reason = "fields: who, where and how much, as the exchange names them")]
pub enum LedgerDelta {
    /// Between the spot and the perpetual account.
    AccountClassTransfer {
        #[serde_as(as = "Exact")]
        usdc: Decimal,
        to_perp: bool,
    },
    /// From the bridge.
    Deposit {
        #[serde_as(as = "Exact")]
        usdc: Decimal,
    },
    /// To the bridge.
    Withdraw {
        #[serde_as(as = "Exact")]
        usdc: Decimal,
        nonce: u64,
        #[serde_as(as = "Exact")]
        fee: Decimal,
    },
    /// To another user, USD.
    InternalTransfer {
        #[serde_as(as = "Exact")]
        usdc: Decimal,
        user: Address,
        destination: Address,
        #[serde_as(as = "Exact")]
        fee: Decimal,
    },
    /// Between a user and a sub-account.
    SubAccountTransfer {
        #[serde_as(as = "Exact")]
        usdc: Decimal,
        user: Address,
        destination: Address,
    },
    /// To another user, any token.
    SpotTransfer {
        token: String,
        #[serde_as(as = "Exact")]
        amount: Decimal,
        #[serde_as(as = "Exact")]
        usdc_value: Decimal,
        user: Address,
        destination: Address,
        #[serde_as(as = "Exact")]
        fee: Decimal,
        #[serde_as(as = "Exact")]
        native_token_fee: Decimal,
        nonce: Option<u64>,
        fee_token: String,
    },
    /// Between users and dexes; `spot` and `""` name the spot account and the first dex.
    Send {
        user: Address,
        destination: Address,
        source_dex: String,
        destination_dex: String,
        token: String,
        #[serde_as(as = "Exact")]
        amount: Decimal,
        #[serde_as(as = "Exact")]
        usdc_value: Decimal,
        #[serde_as(as = "Exact")]
        fee: Decimal,
        #[serde_as(as = "Exact")]
        native_token_fee: Decimal,
        nonce: Option<u64>,
        fee_token: String,
    },
    /// Positions were liquidated.
    Liquidation {
        #[serde_as(as = "Exact")]
        liquidated_ntl_pos: Decimal,
        #[serde_as(as = "Exact")]
        account_value: Decimal,
        leverage_type: String,
        liquidated_positions: Vec<LiquidatedPosition>,
    },
    /// A reward was claimed.
    RewardsClaim {
        #[serde_as(as = "Exact")]
        amount: Decimal,
        token: String,
    },
    /// A token's first distribution.
    SpotGenesis {
        token: String,
        #[serde_as(as = "Exact")]
        amount: Decimal,
    },
    /// Between the spot and the staking account.
    CStakingTransfer {
        token: String,
        #[serde_as(as = "Exact")]
        amount: Decimal,
        is_deposit: bool,
    },
    /// Paid for the right to deploy.
    DeployGasAuction {
        token: String,
        #[serde_as(as = "Exact")]
        amount: Decimal,
    },
    /// Lending: `supply`, `withdraw`, `borrow`, `repay`.
    BorrowLend {
        token: String,
        operation: String,
        #[serde_as(as = "Exact")]
        amount: Decimal,
        #[serde_as(as = "Exact")]
        interest_amount: Decimal,
    },
    /// The account began to hold one balance for all dexes.
    ActivateDexAbstraction {
        dex: String,
        token: String,
        #[serde_as(as = "Exact")]
        amount: Decimal,
    },
    /// A vault was made.
    VaultCreate {
        vault: Address,
        #[serde_as(as = "Exact")]
        usdc: Decimal,
        #[serde_as(as = "Exact")]
        fee: Decimal,
    },
    /// Into a vault.
    VaultDeposit {
        vault: Address,
        #[serde_as(as = "Exact")]
        usdc: Decimal,
    },
    /// A vault paid out.
    VaultDistribution {
        vault: Address,
        #[serde_as(as = "Exact")]
        usdc: Decimal,
    },
    /// Out of a vault.
    VaultWithdraw {
        vault: Address,
        user: Address,
        #[serde_as(as = "Exact")]
        requested_usd: Decimal,
        #[serde_as(as = "Exact")]
        commission: Decimal,
        #[serde_as(as = "Exact")]
        closing_cost: Decimal,
        #[serde_as(as = "Exact")]
        basis: Decimal,
        #[serde_as(as = "Exact")]
        net_withdrawn_usd: Decimal,
    },
    /// A vault's leader was paid.
    VaultLeaderCommission {
        user: Address,
        #[serde_as(as = "Exact")]
        usdc: Decimal,
    },
    /// A kind that is not typed: kept as it came, so that one new kind does not cost a page.
    #[serde(untagged)]
    Other(Value),
}

/// A position that was liquidated.
#[serde_as]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LiquidatedPosition {
    /// The market.
    pub coin: Coin,
    /// Signed size, coins.
    #[serde_as(as = "Exact")]
    pub szi: Decimal,
}

/// An entry of `delegatorHistory`. Amounts are HYPE.
#[serde_as]
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
#[allow(missing_docs, reason = "fields: who and how much, as the exchange names them")]
pub enum StakingDelta {
    /// To a validator, or back.
    Delegate {
        validator: Address,
        #[serde_as(as = "Exact")]
        amount: Decimal,
        is_undelegate: bool,
    },
    /// Into the staking account.
    CDeposit {
        #[serde_as(as = "Exact")]
        amount: Decimal,
    },
    /// Out of it: `initiated`, then `finalized`.
    Withdrawal {
        #[serde_as(as = "Exact")]
        amount: Decimal,
        phase: String,
    },
    /// A kind that is not typed: kept as it came.
    #[serde(untagged)]
    Other(Value),
}
