//! The requests, and what they weigh.

use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

use crate::record::{Address, HexBytes};
use crate::{Coin, Interval, TimeMs};

/// The body of a `POST /info` request. Its serde form is the exchange's.
#[skip_serializing_none]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
#[allow(
    missing_docs,
    reason = "fields: coin, user and dex are what they say; none for a dex is the first dex"
)]
pub enum InfoRequest {
    // Markets.
    /// The perpetuals of a dex: [`Meta`](super::meta::Meta).
    Meta { dex: Option<String> },
    /// Perpetuals with contexts: [`MetaAndCtxs`](super::market::MetaAndCtxs).
    MetaAndAssetCtxs { dex: Option<String> },
    /// The perpetuals of every dex: `Vec<Meta>`, in the order of `perpDexs`.
    AllPerpMetas,
    /// The dexes: `Vec<Option<PerpDex>>`; the first entry is null.
    PerpDexs,
    /// Spot pairs and tokens: [`SpotMeta`](super::meta::SpotMeta).
    SpotMeta,
    /// Spot pairs with contexts: [`SpotMetaAndCtxs`](super::market::SpotMetaAndCtxs).
    SpotMetaAndAssetCtxs,
    /// Mid prices: [`Mids`](crate::message::market::Mids).
    AllMids { dex: Option<String> },
    /// A book snapshot: `Option<WsBook>`; null for an unknown coin.
    L2Book { coin: Coin, n_sig_figs: Option<u8>, mantissa: Option<u8> },
    /// Bars: `Vec<WsCandle>`, the most recent 5,000 at most.
    CandleSnapshot { req: CandleRange },
    /// The last 10 trades, newest first: `Vec<WsTrade>`.
    RecentTrades { coin: Coin },
    /// Settled funding, ascending, 500 a page: `Vec<FundingRate>`.
    FundingHistory { coin: Coin, start_time: TimeMs, end_time: Option<TimeMs> },
    /// Funding expected next, by venue: [`PredictedFundings`](super::market::PredictedFundings).
    PredictedFundings,
    /// Perpetuals at their cap of open interest: `Vec<Coin>`.
    PerpsAtOpenInterestCap { dex: Option<String> },
    /// Caps of a builder's dex: [`PerpDexLimits`](super::market::PerpDexLimits).
    PerpDexLimits { dex: String },
    /// Deposits of a dex: [`PerpDexStatus`](super::market::PerpDexStatus).
    PerpDexStatus { dex: String },
    /// Categories of perpetuals: `Vec<(Coin, String)>`.
    PerpCategories,
    /// What a builder says of a perpetual: `Option<PerpAnnotation>`.
    PerpAnnotation { coin: Coin },
    /// The same of all, in short: `Vec<(Coin, ConciseAnnotation)>`.
    PerpConciseAnnotations,
    /// The exchange's clock and notices: [`ExchangeStatus`](super::market::ExchangeStatus).
    ExchangeStatus,
    /// One margin table: [`MarginTable`](super::meta::MarginTable).
    MarginTable { id: u32 },
    /// The auction for the next dex: [`DeployAuction`](super::market::DeployAuction).
    PerpDeployAuctionStatus,
    /// A token in detail: [`TokenDetails`](super::market::TokenDetails).
    TokenDetails { token_id: HexBytes<16> },
    /// Outcome markets: [`OutcomeMeta`](super::meta::OutcomeMeta).
    OutcomeMeta,
    /// Patterns of outcomes: `Vec<OutcomeTemplate>`.
    OutcomeTemplates,
    /// How an outcome settled: `Option<SettledOutcome>`.
    SettledOutcome { outcome: u64 },

    // Accounts.
    /// Margin and positions on one dex: [`ClearinghouseState`](super::positions::ClearinghouseState).
    ClearinghouseState { user: Address, dex: Option<String> },
    /// Spot balances: [`SpotState`](super::positions::SpotState).
    SpotClearinghouseState { user: Address },
    /// Limits of a user in one perpetual: [`ActiveAssetData`](super::positions::ActiveAssetData).
    ActiveAssetData { user: Address, coin: Coin },
    /// Open orders: `Vec<OpenOrder>`.
    OpenOrders { user: Address, dex: Option<String> },
    /// Open orders in full: `Vec<FrontendOrder>`.
    FrontendOpenOrders { user: Address, dex: Option<String> },
    /// The 2,000 most recent orders: `Vec<OrderStatus>`.
    HistoricalOrders { user: Address },
    /// One order: [`OrderLookup`](super::orders::OrderLookup).
    OrderStatus { user: Address, oid: OrderId },
    /// The 2,000 most recent fills: `Vec<Fill>`.
    UserFills { user: Address, aggregate_by_time: Option<bool> },
    /// Fills of a time, 2,000 a page, of the 10,000 most recent: `Vec<Fill>`.
    UserFillsByTime {
        user: Address,
        start_time: TimeMs,
        end_time: Option<TimeMs>,
        aggregate_by_time: Option<bool>,
        reversed: Option<bool>,
    },
    /// The 2,000 most recent fills of TWAP orders: `Vec<TwapSliceFill>`.
    UserTwapSliceFills { user: Address },
    /// Fills of TWAP orders of a time: `Vec<TwapSliceFill>`.
    UserTwapSliceFillsByTime {
        user: Address,
        start_time: TimeMs,
        end_time: Option<TimeMs>,
        aggregate_by_time: Option<bool>,
    },
    /// TWAP orders: `Vec<TwapHistory>`.
    TwapHistory { user: Address },
    /// Funding payments, 500 a page: `Vec<LedgerUpdate<FundingDelta>>`.
    UserFunding { user: Address, start_time: Option<TimeMs>, end_time: Option<TimeMs> },
    /// Deposits, transfers, withdrawals: `Vec<LedgerUpdate<LedgerDelta>>`.
    UserNonFundingLedgerUpdates { user: Address, start_time: Option<TimeMs>, end_time: Option<TimeMs> },
    /// Fee rates and volume: [`UserFees`](super::account::UserFees).
    UserFees { user: Address },
    /// Account value and profit over time: [`Portfolio`](super::account::Portfolio).
    Portfolio { user: Address },
    /// Referrer and referred: [`Referral`](super::account::Referral).
    Referral { user: Address },
    /// Request counters: [`UserRateLimit`](super::account::UserRateLimit).
    UserRateLimit { user: Address },
    /// What an address is: [`UserRole`](super::account::UserRole).
    UserRole { user: Address },
    /// Sub-accounts: `Option<Vec<SubAccount>>`.
    SubAccounts { user: Address },
    /// Sub-accounts on every dex: `Option<Vec<SubAccountAllDexs>>`.
    SubAccounts2 { user: Address },
    /// Agent wallets: `Vec<ExtraAgent>`.
    ExtraAgents { user: Address },
    /// The fee approved for a builder, tenths of a basis point: `u64`.
    MaxBuilderFee { user: Address, builder: Address },

    // Vaults and staking.
    /// A vault: `Option<VaultDetails>`.
    VaultDetails { vault_address: Address, user: Option<Address> },
    /// Vaults younger than two hours: `Vec<VaultSummary>`.
    VaultSummaries,
    /// A user's shares in vaults: `Vec<VaultEquity>`.
    UserVaultEquities { user: Address },
    /// Vaults that a user leads: `Vec<LeadingVault>`.
    LeadingVaults { user: Address },
    /// Stake by validator: `Vec<Delegation>`.
    Delegations { user: Address },
    /// Stake in sum: [`DelegatorSummary`](super::vaults::DelegatorSummary).
    DelegatorSummary { user: Address },
    /// Staking events: `Vec<LedgerUpdate<StakingDelta>>`.
    DelegatorHistory { user: Address },
    /// Staking rewards: `Vec<DelegatorReward>`.
    DelegatorRewards { user: Address },
}

/// Which bars a [`InfoRequest::CandleSnapshot`] asks for. Both ends are inclusive.
#[skip_serializing_none]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CandleRange {
    /// The market.
    pub coin: Coin,
    /// The interval.
    pub interval: Interval,
    /// Open time of the first bar, ms; never negative, which the exchange refuses.
    pub start_time: TimeMs,
    /// Latest open time, ms; absent for now.
    pub end_time: Option<TimeMs>,
}

/// How an order is named.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum OrderId {
    /// The exchange's number.
    Oid(u64),
    /// The client's name for it.
    Cloid(HexBytes<16>),
}

impl InfoRequest {
    /// Weight of the request itself, out of 1,200 a minute per IP.
    #[must_use]
    pub fn weight(&self) -> u32 {
        match self {
            Self::L2Book { .. }
            | Self::AllMids { .. }
            | Self::ClearinghouseState { .. }
            | Self::OrderStatus { .. }
            | Self::SpotClearinghouseState { .. }
            | Self::ExchangeStatus => 2,
            Self::UserRole { .. } => 60,
            _ => 20,
        }
    }

    /// Weight that an answer of `items` rows adds, rounded up.
    #[must_use]
    pub fn weight_of_items(&self, items: usize) -> u32 {
        let a_unit = match self {
            Self::RecentTrades { .. }
            | Self::HistoricalOrders { .. }
            | Self::UserFills { .. }
            | Self::UserFillsByTime { .. }
            | Self::FundingHistory { .. }
            | Self::UserFunding { .. }
            | Self::UserNonFundingLedgerUpdates { .. }
            | Self::TwapHistory { .. }
            | Self::UserTwapSliceFills { .. }
            | Self::UserTwapSliceFillsByTime { .. }
            | Self::DelegatorHistory { .. }
            | Self::DelegatorRewards { .. } => 20,
            Self::CandleSnapshot { .. } => 60,
            _ => return 0,
        };
        u32::try_from(items.div_ceil(a_unit)).unwrap_or(u32::MAX)
    }

    /// The value of `type`, as logs and metrics name the request.
    #[must_use]
    pub fn name(&self) -> String {
        match serde_json::to_value(self) {
            Ok(serde_json::Value::Object(fields)) => match fields.get("type") {
                Some(serde_json::Value::String(name)) => name.clone(),
                _ => String::new(),
            },
            _ => String::new(),
        }
    }

    /// The JSON of the body.
    #[must_use]
    pub fn to_body(&self) -> String {
        // Strings, numbers and enums only: nothing here can fail to become JSON.
        serde_json::to_string(self).unwrap_or_default()
    }
}
