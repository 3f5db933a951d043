//! Universes, contexts and mids: what is listed, and at which position.

use std::collections::BTreeMap;

use hl_core::Coin;
use serde::Serialize;
use serde_json::{Value, json};

use super::{Ctx, PerpCtx, SpotCtx};
use crate::market::Exchange;
use crate::market::bars::DAY;
use crate::market::num::{Num, mix};
use crate::market::spec::{BUILDER_DEX, Venue};
use crate::market::state::{Context, Market};

/// Last price of the delisted market, with five decimals.
pub(crate) const DELISTED_PX: i64 = 38_215;

/// Decimal places of its sizes …
pub(crate) const DELISTED_SZ_DECIMALS: u32 = 1;
/// … and its greatest leverage.
pub(crate) const DELISTED_LEVERAGE: u32 = 20;

/// The perpetual dexes by name, in their order; the first has none.
pub(crate) const DEXES: [&str; 2] = ["", BUILDER_DEX];

/// `meta` of a dex. The delisted market stays at its position behind the others.
pub(crate) fn meta(exchange: &Exchange, dex: &str) -> Value {
    let mut universe: Vec<Value> = exchange
        .dex(dex)
        .map(|(_, m)| {
            let mut asset = json!({
                "name": m.spec.coin, "szDecimals": m.spec.sz_decimals, "maxLeverage": m.spec.max_leverage,
                "marginTableId": m.spec.max_leverage,
            });
            if m.closed {
                asset["isDelisted"] = true.into();
            }
            asset
        })
        .collect();
    if dex.is_empty() {
        universe.push(json!({
            "name": exchange.delisted, "szDecimals": DELISTED_SZ_DECIMALS, "maxLeverage": DELISTED_LEVERAGE,
            "marginTableId": DELISTED_LEVERAGE, "isDelisted": true,
        }));
    }
    let mut leverages: Vec<u64> = universe.iter().filter_map(|u| u["maxLeverage"].as_u64()).collect();
    leverages.sort_unstable();
    leverages.dedup();
    let tables: Vec<Value> = leverages.into_iter().map(|l| json!([l, margin_table(l)])).collect();
    json!({"universe": universe, "marginTables": tables, "collateralToken": 0})
}

/// A table with a single tier.
pub(crate) fn margin_table(leverage: u64) -> Value {
    json!({"description": "", "marginTiers": [{"lowerBound": "0.0", "maxLeverage": leverage}]})
}

/// Markets and the contexts that they show.
fn shown<'a>(
    markets: impl Iterator<Item = (usize, &'a Market)>,
    exchange: &Exchange,
) -> impl Iterator<Item = (&'a Market, &'a Context)> {
    let (now, behind_ms) = (exchange.time(), exchange.behind_ms);
    markets.filter_map(move |(_, m)| m.context(now, behind_ms).map(|c| (m, c)))
}

/// The contexts of a dex, positional to its universe.
pub(crate) fn contexts(exchange: &Exchange, dex: &str) -> Vec<PerpCtx> {
    let mut out: Vec<_> =
        shown(exchange.dex(dex), exchange).map(|(m, c)| super::perp_context(m, c)).collect();
    if dex.is_empty() {
        out.push(super::delisted_context());
    }
    out
}

/// `spotMeta`: the index of a pair is not its position. That of a token is: clients look tokens up by position.
pub(crate) fn spot_meta(exchange: &Exchange) -> Value {
    let mut universe = Vec::new();
    let mut tokens = vec![token("USDC", 8, 0)];
    for (position, (_, m)) in exchange.spot().enumerate() {
        let Venue::Spot { index, token: base } = m.spec.venue else { continue };
        universe.push(json!({
            "tokens": [base, 0], "name": m.spec.coin, "index": index, "isCanonical": position == 0,
        }));
        tokens.push(token(base_token(m.spec.coin), m.spec.sz_decimals, base));
    }
    json!({"universe": universe, "tokens": tokens})
}

/// The token that a spot pair trades.
pub(crate) fn base_token(pair: Coin) -> &'static str {
    match pair.as_str() {
        "@107" => "HYPE",
        "@142" => "UBTC",
        name => name.split('/').next().unwrap_or(name),
    }
}

fn token(name: &str, sz_decimals: u32, index: u32) -> Value {
    json!({
        "name": name, "szDecimals": sz_decimals, "weiDecimals": 8.max(sz_decimals), "index": index,
        "tokenId": format!("0x{:016x}{:016x}", mix(u64::from(index)), mix(u64::from(index) + 1)),
        "isCanonical": index < 2, "evmContract": null, "fullName": null, "deployerTradingFeeShare": "0.0",
    })
}

/// `outcomeMeta`: the outcomes that have not settled, and no question.
pub(crate) fn outcome_meta(exchange: &Exchange) -> Value {
    let outcomes: Vec<_> = exchange.outcomes().map(|number| outcome(exchange, number)).collect();
    json!({"outcomes": outcomes, "questions": []})
}

/// One outcome, as metadata and updates name it.
pub(crate) fn outcome(exchange: &Exchange, number: u64) -> Value {
    let expiry = minute(exchange.start + DAY);
    let target = 60_000 + number;
    json!({
        "outcome": number, "name": format!("BTC above {target}"),
        "description": format!("class:priceBinary|underlying:BTC|expiry:{expiry}|targetPrice:{target}|period:1d"),
        "sideSpecs": [{"name": "Yes"}, {"name": "No"}], "quoteToken": "USDC",
    })
}

/// `YYYYMMDD-HHMM`.
fn minute(ms: i64) -> String {
    let stamp = jiff::Timestamp::from_millisecond(ms).unwrap_or_default();
    stamp.strftime("%Y%m%d-%H%M").to_string()
}

/// `settledOutcome`: none where it has not settled.
pub(crate) fn settled_outcome(exchange: &Exchange, number: u64) -> Value {
    match exchange.settled.get(&number) {
        Some(hundredths) => json!({
            "spec": outcome(exchange, number), "settleFraction": Num::new(i64::from(*hundredths), 2),
            "details": "settled by the oracle price",
        }),
        None => Value::Null,
    }
}

/// Spot contexts: the first lines up with the first pair, as on the exchange, and the others have an order of their own.
/// They are joined by coin, never by position. Outcomes are among them.
pub(crate) fn spot_contexts(exchange: &Exchange) -> Vec<SpotCtx> {
    let held = exchange.listed().filter(|(_, m)| m.spec.is_spot());
    let mut out: Vec<_> = shown(held, exchange).map(|(m, c)| super::spot_context(m, c)).collect();
    if let Some((_, others)) = out.split_first_mut() {
        others.reverse();
    }
    out
}

/// The newest context of one coin.
pub(crate) fn context(exchange: &Exchange, coin: Coin) -> Option<Ctx> {
    if coin == exchange.delisted {
        return Some(Ctx::Perp(super::delisted_context()));
    }
    let market = exchange.market(coin)?;
    market.contexts.back().map(|c| super::context(market, c))
}

/// Mids of a dex; those of spot belong to the first.
pub(crate) fn mids(exchange: &Exchange, dex: &str) -> BTreeMap<Coin, Num> {
    let mut mids: BTreeMap<_, _> = exchange
        .dex(dex)
        .chain(exchange.listed().filter(|(_, m)| m.spec.is_spot() && dex.is_empty()))
        .filter_map(|(_, m)| {
            m.mid(exchange.time(), exchange.behind_ms).map(|half| (m.spec.coin, m.half_px(half)))
        })
        .collect();
    if dex.is_empty() {
        mids.insert(exchange.delisted, Num::new(DELISTED_PX, 5));
    }
    mids
}

/// `perpDexs`: entry 0 is null, the first dex.
pub(crate) fn perp_dexs(exchange: &Exchange) -> Value {
    let address = |salt: u64| hl_core::record::HexBytes::<20>([mix(salt) as u8 | 1; 20]);
    let caps: Vec<Value> =
        exchange.dex(BUILDER_DEX).map(|(_, m)| json!([m.spec.coin, "50000000.0"])).collect();
    let multipliers: Vec<Value> =
        exchange.dex(BUILDER_DEX).map(|(_, m)| json!([m.spec.coin, "1.0"])).collect();
    json!([null, {
        "name": BUILDER_DEX, "fullName": "XYZ", "deployer": address(1), "oracleUpdater": null,
        "feeRecipient": address(2), "assetToStreamingOiCap": caps, "subDeployers": [],
        "deployerFeeScale": "1.0", "lastDeployerFeeScaleChangeTime": "1970-01-01T00:00:00",
        "assetToFundingMultiplier": multipliers, "assetToFundingInterestRate": [],
    }])
}

/// A mark and mid of every market, as `fastAssetCtxs` carries them.
pub(crate) fn fast_contexts(exchange: &Exchange) -> BTreeMap<Coin, FastCtx> {
    exchange
        .listed()
        .filter_map(|(_, m)| {
            let c = m.contexts.back()?;
            let ctx = FastCtx { mark_px: m.fine_px(c.mark), mid_px: c.mid.map(|mid| m.half_px(mid)) };
            Some((m.spec.coin, ctx))
        })
        .collect()
}

#[derive(Serialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FastCtx {
    mark_px: Num,
    mid_px: Option<Num>,
}
