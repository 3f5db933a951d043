//! Answers that carry market data.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_with::{serde_as, skip_serializing_none};

use super::meta::{Meta, Outcome, SpotMeta};
use crate::message::Exact;
use crate::message::market::{PerpCtx, SpotCtx};
use crate::record::{self, Address, Funding};
use crate::row::Arrival;
use crate::symbol::Word;
use crate::{Coin, Decimal, TimeMs};

/// The perpetuals of a dex with their contexts, joined by position.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MetaAndCtxs(pub Meta, pub Vec<PerpCtx>);

/// Spot pairs with the contexts of pairs and outcomes: joined by coin, never by position.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SpotMetaAndCtxs(pub SpotMeta, pub Vec<SpotCtx>);

/// One settled funding rate.
#[serde_as]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FundingRate {
    /// The market.
    pub coin: Coin,
    /// The rate of the hour, a fraction.
    #[serde_as(as = "Exact")]
    pub funding_rate: Decimal,
    /// The premium, a fraction.
    #[serde_as(as = "Exact")]
    pub premium: Decimal,
    /// Settlement time, ms: the full hour plus jitter.
    pub time: TimeMs,
}

impl From<FundingRate> for Funding {
    fn from(FundingRate { coin, funding_rate: rate, premium, time }: FundingRate) -> Self {
        Self { coin, time, rate, premium, arrival: Arrival::ALONE }
    }
}

impl From<Funding> for FundingRate {
    fn from(Funding { coin, time, rate: funding_rate, premium, .. }: Funding) -> Self {
        Self { coin, funding_rate, premium, time }
    }
}

/// Funding expected next: by coin, by venue (`HlPerp`, `BinPerp`, `BybitPerp`).
pub type PredictedFundings = Vec<(Coin, Vec<(String, Option<PredictedFunding>)>)>;

/// Funding expected next at one venue.
#[serde_as]
#[skip_serializing_none]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PredictedFunding {
    /// The rate of the interval, a fraction.
    #[serde_as(as = "Exact")]
    pub funding_rate: Decimal,
    /// When it is due, ms; for this exchange it has been seen to name the hour already settled.
    pub next_funding_time: TimeMs,
    /// Hours between two settlements.
    pub funding_interval_hours: Option<u32>,
}

impl PredictedFunding {
    /// The row of it, seen at `time`.
    #[must_use]
    pub fn into_record(self, coin: Coin, venue: Word, time: TimeMs) -> record::PredictedFunding {
        let Self { funding_rate: rate, next_funding_time: next_time, funding_interval_hours: interval_hours } =
            self;
        record::PredictedFunding {
            coin,
            time,
            venue,
            rate,
            next_time,
            interval_hours,
            arrival: Arrival::ALONE,
        }
    }
}

/// Caps of a builder's dex.
#[serde_as]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PerpDexLimits {
    /// Cap of the open interest of all its markets, USD.
    #[serde_as(as = "Exact")]
    pub total_oi_cap: Decimal,
    /// Cap of the open interest of one market, coins.
    #[serde_as(as = "Exact")]
    pub oi_sz_cap_per_perp: Decimal,
    /// Greatest transfer, USD.
    #[serde_as(as = "Exact")]
    pub max_transfer_ntl: Decimal,
    /// Cap of the open interest by coin, USD.
    #[serde_as(as = "Vec<(_, Exact)>")]
    pub coin_to_oi_cap: Vec<(Coin, Decimal)>,
}

/// Deposits of a dex.
#[serde_as]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PerpDexStatus {
    /// Net deposits, USD.
    #[serde_as(as = "Exact")]
    pub total_net_deposit: Decimal,
}

/// What a builder says of a perpetual.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PerpAnnotation {
    /// Its category.
    pub category: String,
    /// What it is.
    pub description: String,
}

/// What a builder says of a perpetual, in short.
#[skip_serializing_none]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConciseAnnotation {
    /// Its category.
    pub category: String,
    /// The name to show.
    pub display_name: Option<String>,
    /// Words to find it by.
    pub keywords: Option<Vec<String>>,
}

/// The exchange's clock and notices: the cheapest way to learn its time.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExchangeStatus {
    /// The exchange's time, ms.
    pub time: TimeMs,
    /// Notices, in a form that is not documented.
    pub special_statuses: Option<serde_json::Value>,
}

/// The auction for the right to deploy.
#[serde_as]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeployAuction {
    /// The price now, HYPE; null once it is over.
    #[serde_as(as = "Option<Exact>")]
    pub current_gas: Option<Decimal>,
    /// Length, seconds.
    pub duration_seconds: u64,
    /// The price at the end, HYPE; null while it runs.
    #[serde_as(as = "Option<Exact>")]
    pub end_gas: Option<Decimal>,
    /// The price at the start, HYPE.
    #[serde_as(as = "Exact")]
    pub start_gas: Decimal,
    /// When it started, in seconds since the epoch, unlike every other time.
    pub start_time_seconds: i64,
}

/// A token in detail.
#[serde_as]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenDetails {
    /// Its name.
    pub name: String,
    /// Most that can ever be.
    #[serde_as(as = "Exact")]
    pub max_supply: Decimal,
    /// What there is.
    #[serde_as(as = "Exact")]
    pub total_supply: Decimal,
    /// What circulates.
    #[serde_as(as = "Exact")]
    pub circulating_supply: Decimal,
    /// Decimal places of sizes.
    pub sz_decimals: u32,
    /// Decimal places on chain.
    pub wei_decimals: u32,
    /// Mid price, USD.
    #[serde_as(as = "Option<Exact>")]
    pub mid_px: Option<Decimal>,
    /// Mark price, USD.
    #[serde_as(as = "Exact")]
    pub mark_px: Decimal,
    /// The price 24 hours ago (rolling), USD.
    #[serde_as(as = "Exact")]
    pub prev_day_px: Decimal,
    /// How it was given out at first.
    pub genesis: Option<TokenGenesis>,
    /// Who deployed it.
    pub deployer: Option<Address>,
    /// What deploying cost, HYPE.
    #[serde_as(as = "Option<Exact>")]
    pub deploy_gas: Option<Decimal>,
    /// When it was deployed, ISO without a zone.
    pub deploy_time: Option<String>,
    /// Seed of its pool, USD.
    #[serde_as(as = "Exact")]
    pub seeded_usdc: Decimal,
    /// Balances that do not circulate.
    #[serde_as(as = "Vec<(_, Exact)>")]
    pub non_circulating_user_balances: Vec<(Address, Decimal)>,
    /// What is still to be given out.
    #[serde_as(as = "Exact")]
    pub future_emissions: Decimal,
}

/// How a token was given out at first.
#[serde_as]
#[skip_serializing_none]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenGenesis {
    /// To users.
    #[serde_as(as = "Vec<(_, Exact)>")]
    pub user_balances: Vec<(Address, Decimal)>,
    /// To holders of other tokens, by their index.
    #[serde_as(as = "Vec<(_, Exact)>")]
    pub existing_token_balances: Vec<(u32, Decimal)>,
    /// Who got none.
    pub blacklist_users: Option<Vec<Address>>,
}

/// How an outcome settled.
#[serde_as]
#[skip_serializing_none]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SettledOutcome {
    /// The outcome.
    pub spec: Outcome,
    /// What the first side is paid, 0 to 1.
    #[serde_as(as = "Exact")]
    pub settle_fraction: Decimal,
    /// Why.
    pub details: String,
    /// The question it belonged to.
    pub question: Option<SettledQuestion>,
}

/// The question of a settled outcome.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SettledQuestion {
    /// Its number, under `active` or `settled`.
    pub question: BTreeMap<String, u64>,
    /// Its name.
    pub name: String,
    /// What was asked.
    pub description: String,
}

/// A pattern that builders make outcomes from.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OutcomeTemplate {
    /// Its name for the exchange.
    pub id: String,
    /// What it makes.
    pub role: TemplateRole,
    /// Its name, with `{keyword}` to be filled in.
    pub name: String,
    /// What is bet on, with `{keyword}` to be filled in.
    pub description: String,
    /// The keywords and the format of each.
    pub keywords: Vec<(String, String)>,
}

/// What a template makes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum TemplateRole {
    /// One outcome.
    StandaloneOutcome {
        /// Names of its two sides.
        side_names: [String; 2],
    },
}
