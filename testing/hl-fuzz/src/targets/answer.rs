//! The decoder of REST answers, every type.
//!
//! Promised: no panic; the body stays as it was; what is refused is named in a bounded error; market data come in
//! order, and every price and size is exact.

use std::collections::BTreeMap;

use hl_core::decode::{DecodeError, rest};
use hl_core::message::info::{account, fills, ledger, market as quotes, meta, orders, positions, vaults};
use hl_core::message::stats;
use hl_core::stream::BookVariant;
use hl_core::{Dex, TimeMs};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::frame::{is_bounded, is_exact, read, say_trades};
use crate::{Target, captures, market, text};

pub(crate) const TARGET: Target =
    Target { name: "answer", about: "REST answers, every type: decode::rest", seeds, run, short: 3_000 };

const STAMP: TimeMs = TimeMs(1_790_000_000_000);

/// Reads an answer of one type; an error goes through [`is_bounded`].
type Read = fn(&mut [u8]) -> Result<(), DecodeError>;

fn typed<T: DeserializeOwned>(body: &mut [u8]) -> Result<(), DecodeError> {
    rest::answer::<T>("an answer", body).map(drop)
}

/// The name of a request, and how its answer is read.
const ANSWERS: [(&str, Read); 45] = [
    ("recentTrades", trades),
    ("l2Book", |body| rest::l2_book(body, BookVariant::Default).map(drop)),
    ("candleSnapshot", |body| {
        rest::candles(body).map(|bars| assert!(bars.rows.is_sorted_by_key(|bar| bar.time), "oldest first"))
    }),
    ("fundingHistory", |body| {
        rest::funding(body)
            .map(|rates| assert!(rates.rows.is_sorted_by_key(|rate| rate.time), "oldest first"))
    }),
    ("allMids", mids),
    ("meta", |body| rest::meta(body).map(drop)),
    ("metaAndAssetCtxs", |body| {
        let read = rest::meta_and_contexts(body, STAMP)?;
        let (meta, contexts) = read.value;
        let unread = usize::try_from(read.unread.rows()).expect("a few");
        assert!(contexts.len() <= meta.universe.len(), "no context without its perpetual");
        assert!(meta.universe.len() <= contexts.len() + unread, "one context for each perpetual");
        Ok(())
    }),
    ("spotMeta", |body| rest::spot_meta(body).map(drop)),
    ("spotMetaAndAssetCtxs", |body| {
        rest::spot_meta_and_contexts(body, STAMP)
            .map(|read| assert!(read.value.1.is_sorted_by_key(|context| context.coin), "by coin"))
    }),
    ("perpDexs", |body| rest::perp_dexs(body).map(drop)),
    ("clearinghouseState", typed::<positions::ClearinghouseState>),
    ("spotClearinghouseState", typed::<positions::SpotState>),
    ("activeAssetData", typed::<positions::ActiveAssetData>),
    ("openOrders", typed::<Vec<orders::OpenOrder>>),
    ("frontendOpenOrders", typed::<Vec<orders::FrontendOrder>>),
    ("historicalOrders", typed::<Vec<orders::OrderStatus>>),
    ("orderStatus", typed::<orders::OrderLookup>),
    ("twapHistory", typed::<Vec<orders::TwapHistory>>),
    ("userFills", typed::<Vec<fills::Fill>>),
    ("userTwapSliceFills", typed::<Vec<fills::TwapSliceFill>>),
    ("userFunding", typed::<Vec<ledger::LedgerUpdate<ledger::FundingDelta>>>),
    ("userNonFundingLedgerUpdates", typed::<Vec<ledger::LedgerUpdate<ledger::LedgerDelta>>>),
    ("delegatorHistory", typed::<Vec<ledger::LedgerUpdate<ledger::StakingDelta>>>),
    ("userFees", typed::<account::UserFees>),
    ("portfolio", typed::<account::Portfolio>),
    ("userRateLimit", typed::<account::UserRateLimit>),
    ("userRole", typed::<account::UserRole>),
    ("subAccounts", typed::<Option<Vec<account::SubAccount>>>),
    ("subAccounts2", typed::<Option<Vec<account::SubAccountAllDexs>>>),
    ("extraAgents", typed::<Vec<account::ExtraAgent>>),
    ("referral", typed::<account::Referral>),
    ("vaultDetails", typed::<Option<vaults::VaultDetails>>),
    ("vaultSummaries", typed::<Vec<vaults::VaultSummary>>),
    ("userVaultEquities", typed::<Vec<vaults::VaultEquity>>),
    ("leadingVaults", typed::<Vec<vaults::LeadingVault>>),
    ("delegations", typed::<Vec<vaults::Delegation>>),
    ("delegatorSummary", typed::<vaults::DelegatorSummary>),
    ("delegatorRewards", typed::<Vec<vaults::DelegatorReward>>),
    ("predictedFundings", typed::<quotes::PredictedFundings>),
    ("perpDexLimits", typed::<Option<quotes::PerpDexLimits>>),
    ("perpDeployAuctionStatus", typed::<quotes::DeployAuction>),
    ("tokenDetails", typed::<quotes::TokenDetails>),
    ("outcomeMeta", typed::<meta::OutcomeMeta>),
    ("settledOutcome", typed::<Option<quotes::SettledOutcome>>),
    ("leaderboard", typed::<stats::Leaderboard>),
];

fn valid() -> &'static BTreeMap<&'static str, String> {
    &market::SAID.answers
}

fn seeds() -> Vec<Vec<u8>> {
    let input = |(index, (name, _)): (usize, &(&str, Read))| {
        let body = valid().get(name)?;
        Some([&[u8::try_from(index).ok()?], text::to_input(body).as_slice()].concat())
    };
    let own = ANSWERS.iter().enumerate().filter_map(input);
    // Recorded bodies of any kind: whatever they are, they are read as listings, mids and accounts.
    let recorded = captures::answers().into_iter().flat_map(|body| {
        let body = text::to_input(&body);
        [4, 5, 7, 10, 23].map(|index| [&[index], body.as_slice()].concat())
    });
    own.chain(recorded).collect()
}

fn run(input: &[u8]) {
    let Some((first, rest)) = input.split_first() else { return };
    let (name, decode) = ANSWERS[usize::from(*first) % ANSWERS.len()];
    let valid: Vec<&str> = valid().get(name).map(String::as_str).into_iter().collect();
    let text = text::of_input(rest, &valid);
    let mut body = text.clone();
    let answer = decode(&mut body);
    assert_eq!(body, text, "the body stays as it was");
    match answer {
        Ok(()) => drop(read(&text)),
        Err(error) => is_bounded(&error, &text),
    }
}

fn trades(body: &mut [u8]) -> Result<(), DecodeError> {
    let trades = rest::recent_trades(body)?;
    let Some(value) = read(body) else { return Ok(()) };
    let texts: Vec<&Value> = value.as_array().expect("a list").iter().rev().collect();
    say_trades(&trades, texts);
    Ok(())
}

fn mids(body: &mut [u8]) -> Result<(), DecodeError> {
    let mut all = Ok(());
    for dex in [Dex::First, Dex::named("xyz").expect("a dex")] {
        let mids = match rest::all_mids(body, dex, STAMP) {
            Ok(mids) => mids,
            Err(error) => {
                all = Err(error);
                continue;
            }
        };
        let Some(value) = read(body) else { continue };
        if mids.unread.is_empty() {
            let priced = |texts: &serde_json::Map<String, Value>| {
                texts.values().filter(|text| !text.is_null() && *text != "").count()
            };
            assert_eq!(Some(mids.value.len()), value.as_object().map(priced), "every mid");
        }
        for mid in mids.value {
            assert!(dex.has(mid.coin), "a mid of another dex");
            is_exact(mid.px, &value[mid.coin.as_str()]);
        }
    }
    all
}
