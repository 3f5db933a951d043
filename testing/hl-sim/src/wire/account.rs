//! Accounts: positions, fills, orders, funding and balances of one trader.

use hl_core::Decimal;
use hl_core::record::{Address, Side};
use rust_decimal::prelude::ToPrimitive as _;
use serde::Serialize;
use serde_json::{Value, json};

use super::metadata::{self, DEXES, base_token};
use crate::market::Exchange;
use crate::market::funding::RATE_DECIMALS;
use crate::market::num::{Num, text};
use crate::market::spec::Venue;
use crate::market::state::{Cause, Leg, Market, Trade};
use crate::market::traders::{OrderEvent, OrderStatus, Payment, Position, TradeRef, Trader};

/// Fees in hundred-thousandths of the notional: 0.045 % for takers, 0.015 % for makers.
const TAKER_FEE: i64 = 45;
const MAKER_FEE: i64 = 15;
const FEE_DECIMALS: u32 = 5;
/// Leverage that everybody uses, where the market allows it.
const LEVERAGE: u32 = 5;
/// What everybody owns of each spot token before the first trade.
const SPOT_ENDOWMENT: i64 = 1_000_000;

impl Exchange {
    pub(crate) fn address(&self, trader: u32) -> Address {
        self.traders.get(trader as usize).map_or(hl_core::record::HexBytes([0; 20]), |t| t.address)
    }
}

/// A fill of a user.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Fill {
    coin: hl_core::Coin,
    px: Num,
    sz: Num,
    side: &'static str,
    pub(crate) time: i64,
    start_position: Num,
    dir: &'static str,
    closed_pnl: Num,
    hash: hl_core::record::Hash,
    oid: u64,
    crossed: bool,
    fee: String,
    tid: u64,
    fee_token: &'static str,
    twap_id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    liquidation: Option<FillLiquidation>,
}

/// The liquidation behind a fill: both sides are told of it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FillLiquidation {
    liquidated_user: Address,
    mark_px: Num,
    method: &'static str,
}

/// The fill that a trade is for one of its two traders.
pub(crate) fn fill(exchange: &Exchange, place: TradeRef, trader: usize) -> Option<Fill> {
    let market = exchange.markets.get(place.market)?;
    let t = market.trade(place.seq)?;
    let (leg, side) =
        if t.buyer.trader as usize == trader { (&t.buyer, Side::Buy) } else { (&t.seller, Side::Sell) };
    let crossed = side == t.side;
    // On spot each side pays in what it receives.
    let in_token = market.spec.is_spot() && side == Side::Buy;
    Some(Fill {
        coin: market.spec.coin,
        px: market.px(t.px),
        sz: market.sz(t.sz),
        side: side.as_str(),
        time: t.time,
        start_position: market.sz(leg.start),
        dir: direction(market, leg, side, t.sz),
        closed_pnl: market.ntl(leg.pnl),
        hash: t.hash(),
        oid: leg.oid,
        crossed,
        fee: text(if in_token {
            token_fee(market, t.sz, crossed)
        } else {
            fee(market, t.px * t.sz, crossed)
        }),
        tid: market.tid(t),
        fee_token: if in_token { base_token(market.spec.coin) } else { "USDC" },
        twap_id: None,
        liquidation: t.liquidation().map(|liquidation| FillLiquidation {
            liquidated_user: exchange.address(t.taker().trader),
            mark_px: market.fine_px(liquidation.mark),
            method: "market",
        }),
    })
}

/// Number of the TWAP order that a trade belongs to, for its taker.
pub(crate) fn twap_id(trade: &Trade) -> u64 {
    trade.taker().oid % 1_000_000
}

fn fee(market: &Market, notional: i64, taker: bool) -> Decimal {
    (market.ntl(notional).decimal() * fee_rate(taker)).round_dp(6)
}

fn token_fee(market: &Market, sz: i64, taker: bool) -> Decimal {
    (market.sz(sz).decimal() * fee_rate(taker)).round_dp(8)
}

fn fee_rate(taker: bool) -> Decimal {
    Decimal::new(if taker { TAKER_FEE } else { MAKER_FEE }, FEE_DECIMALS)
}

fn direction(market: &Market, leg: &Leg, side: Side, sz: i64) -> &'static str {
    if market.spec.is_spot() {
        return if side == Side::Buy { "Buy" } else { "Sell" };
    }
    let end = leg.start + if side == Side::Buy { sz } else { -sz };
    match (leg.start.signum(), end.signum(), side) {
        (1, -1, _) => "Long > Short",
        (-1, 1, _) => "Short > Long",
        (-1, _, Side::Buy) => "Close Short",
        (1, _, Side::Sell) => "Close Long",
        (_, _, Side::Buy) => "Open Long",
        (_, _, Side::Sell) => "Open Short",
    }
}

/// The newest fills first, at most `most`.
pub(crate) fn fills(exchange: &Exchange, index: usize, trader: &Trader, most: usize) -> Vec<Fill> {
    trader.fills.iter().rev().take(most).filter_map(|f| fill(exchange, *f, index)).collect()
}

/// TWAP slices: the fills in which the trader took for a TWAP order.
pub(crate) fn twap_slices(exchange: &Exchange, index: usize, trader: &Trader, most: usize) -> Vec<Value> {
    let slices = trader.fills.iter().rev().filter_map(|f| twap_slice(exchange, *f, index));
    slices.take(most).collect()
}

pub(crate) fn twap_slice(exchange: &Exchange, place: TradeRef, index: usize) -> Option<Value> {
    let trade = exchange.markets.get(place.market)?.trade(place.seq)?;
    let is_slice = trade.cause == Cause::Twap && trade.taker().trader as usize == index;
    let fill = is_slice.then(|| fill(exchange, place, index))??;
    Some(json!({"fill": fill, "twapId": twap_id(trade)}))
}

/// One funding payment as WebSocket and the `userEvents` channel write it.
pub(crate) fn payment(exchange: &Exchange, p: &Payment) -> Option<Value> {
    let market = exchange.markets.get(p.market)?;
    Some(json!({
        "time": p.time, "coin": market.spec.coin, "usdc": market.ntl(p.amount), "szi": market.sz(p.szi),
        "fundingRate": Num::new(p.rate, RATE_DECIMALS), "nSamples": null,
    }))
}

/// The same as `userFunding` writes it.
pub(crate) fn payment_row(exchange: &Exchange, p: &Payment) -> Option<Value> {
    let market = exchange.markets.get(p.market)?;
    Some(json!({
        "time": p.time, "hash": hl_core::record::HexBytes([0_u8; 32]),
        "delta": {
            "type": "funding", "coin": market.spec.coin, "usdc": market.ntl(p.amount), "szi": market.sz(p.szi),
            "fundingRate": Num::new(p.rate, RATE_DECIMALS), "nSamples": null,
        },
    }))
}

/// The deposit that every account starts with, long before the simulation.
pub(crate) fn deposit_row(exchange: &Exchange, trader: &Trader) -> Value {
    json!({
        "time": exchange.start - 40 * 86_400_000, "hash": hl_core::record::HexBytes([1_u8; 32]),
        "delta": {"type": "deposit", "usdc": Num::new(trader.deposit, 0)},
    })
}

/// One line of `openOrders`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OpenOrder {
    coin: hl_core::Coin,
    side: &'static str,
    limit_px: Num,
    sz: Num,
    oid: u64,
    timestamp: i64,
    orig_sz: Num,
}

/// The resting orders of a trader in one dex; spot belongs to the first. Oldest market first.
pub(crate) fn open_orders(exchange: &Exchange, index: usize, dex: &str) -> Vec<Value> {
    let mut out = Vec::new();
    for market in exchange.markets.iter().filter(|m| m.spec.dex() == dex) {
        for (side, px, order) in market.book.orders().filter(|(_, _, o)| o.trader as usize == index) {
            let row = OpenOrder {
                coin: market.spec.coin,
                side: side.as_str(),
                limit_px: market.px(px),
                sz: market.sz(order.sz),
                oid: order.oid,
                timestamp: order.time,
                orig_sz: market.sz(order.orig_sz),
            };
            out.push(json!(row));
        }
    }
    out
}

/// What the longer forms add to an order.
pub(crate) fn with_details(mut order: Value, tif: &str) -> Value {
    if let Some(fields) = order.as_object_mut() {
        let details = json!({
            "triggerCondition": "N/A", "isTrigger": false, "triggerPx": "0.0", "children": [],
            "isPositionTpsl": false, "reduceOnly": false, "orderType": "Limit", "tif": tif, "cloid": null,
        });
        fields.extend(details.as_object().cloned().unwrap_or_default());
    }
    order
}

/// An order as `orderUpdates` names it.
pub(crate) fn order_event(exchange: &Exchange, e: &OrderEvent) -> Option<Value> {
    Some(json!({
        "order": order_body(exchange, e)?, "status": e.status.as_str(), "statusTimestamp": e.time,
    }))
}

/// The same as `historicalOrders` and `orderStatus` name it.
pub(crate) fn order_history(exchange: &Exchange, e: &OrderEvent) -> Option<Value> {
    let tif = if e.ioc { "Ioc" } else { "Alo" };
    Some(json!({
        "order": with_details(order_body(exchange, e)?, tif),
        "status": e.status.as_str(), "statusTimestamp": e.time,
    }))
}

fn order_body(exchange: &Exchange, e: &OrderEvent) -> Option<Value> {
    let market = exchange.markets.get(e.market)?;
    Some(json!(OpenOrder {
        coin: market.spec.coin,
        side: e.side.as_str(),
        limit_px: market.px(e.px),
        sz: market.sz(if e.status == OrderStatus::Filled { 0 } else { e.sz }),
        oid: e.oid,
        timestamp: e.created,
        orig_sz: market.sz(e.orig_sz),
    }))
}

/// What an account of a dex is worth, USD.
#[derive(Default)]
struct Sums {
    raw: Decimal,
    notional: Decimal,
    margin: Decimal,
    value: Decimal,
}

/// The price that positions are valued at: the mark, as the newest context shows it.
fn mark(market: &Market) -> Decimal {
    market.contexts.back().map_or(Decimal::ZERO, |c| market.fine_px(c.mark).decimal())
}

fn leverage(market: &Market) -> u32 {
    market.spec.max_leverage.min(LEVERAGE)
}

fn sums(exchange: &Exchange, trader: &Trader, dex: &str) -> Sums {
    // Collateral lies in the first dex; a builder dex is shown with a tenth as much of its own.
    let deposit = if dex.is_empty() { trader.deposit } else { trader.deposit / 10 };
    let mut s = Sums { value: Decimal::from(deposit), ..Sums::default() };
    for (i, p) in &trader.positions {
        let Some(market) = exchange.markets.get(*i).filter(|m| !m.spec.is_spot() && m.spec.dex() == dex)
        else {
            continue;
        };
        let notional = market.sz(p.szi).decimal() * mark(market);
        s.value += unrealized(market, p) + market.ntl(p.realized - p.funding).decimal();
        s.value -= fee(market, p.taken, true) + fee(market, p.made, false);
        s.notional += notional.abs();
        s.margin += notional.abs() / Decimal::from(leverage(market));
        s.raw -= notional;
    }
    s.raw += s.value;
    s
}

/// A position as the chain reads it.
pub(crate) struct Held {
    /// Signed, in units of the coin's smallest size.
    pub(crate) size: i64,
    /// What the open size cost, 10^-6 USD.
    pub(crate) entry_notional: u64,
    pub(crate) leverage: u32,
}

/// What a user holds of the perpetual at a place in a dex's universe: nothing where nobody is known. `None`: no perpetual is
/// there.
pub(crate) fn held(exchange: &Exchange, user: &Address, dex: &str, place: usize) -> Option<Held> {
    let Some((i, market)) = exchange.dex(dex).nth(place) else {
        // The delisted market, behind the others.
        let is_delisted = dex.is_empty() && exchange.dex(dex).count() == place;
        let leverage = metadata::DELISTED_LEVERAGE.min(LEVERAGE);
        return is_delisted.then_some(Held { size: 0, entry_notional: 0, leverage });
    };
    let held = exchange.trader(user).and_then(|(_, t)| t.positions.get(&i).copied()).unwrap_or_default();
    let entry_notional = micros(market.ntl(held.cost).decimal()).unsigned_abs();
    Some(Held { size: held.szi, entry_notional, leverage: leverage(market) })
}

/// The account of a dex as the chain reads it, 10^-6 USD.
pub(crate) struct Margin {
    pub(crate) value: i64,
    pub(crate) used: u64,
    pub(crate) notional: u64,
    pub(crate) raw: i64,
}

/// The account of a user in a dex: empty where nobody is known.
pub(crate) fn margin(exchange: &Exchange, user: &Address, dex: &str) -> Margin {
    let s = exchange.trader(user).map(|(_, t)| sums(exchange, t, dex)).unwrap_or_default();
    Margin {
        value: micros(s.value),
        used: micros(s.margin).unsigned_abs(),
        notional: micros(s.notional).unsigned_abs(),
        raw: micros(s.raw),
    }
}

/// USD in millionths, as REST rounds them; nobody in the simulation has more than fits.
fn micros(usd: Decimal) -> i64 {
    (usd.round_dp(6) * Decimal::from(1_000_000)).to_i64().unwrap_or_default()
}

fn unrealized(market: &Market, p: &Position) -> Decimal {
    let cost = market.ntl(p.cost).decimal();
    let signed = if p.szi < 0 { -cost } else { cost };
    market.sz(p.szi).decimal() * mark(market) - signed
}

/// Account value of the first dex, USD.
pub(crate) fn account_value(exchange: &Exchange, trader: &Trader) -> Decimal {
    sums(exchange, trader, "").value
}

/// Profit since the start and volume, USD, over every perpetual.
pub(crate) fn performance(exchange: &Exchange, trader: &Trader) -> (Decimal, Decimal) {
    let deposits = Decimal::from(trader.deposit + trader.deposit / 10);
    let pnl = DEXES.iter().map(|dex| sums(exchange, trader, dex).value).sum::<Decimal>() - deposits;
    (pnl, volume(exchange, trader))
}

/// What the exchange closed for a trader, USD.
pub(crate) fn liquidated(exchange: &Exchange, trader: &Trader) -> Decimal {
    let of = |(i, p): (&usize, &Position)| exchange.markets.get(*i).map(|m| m.ntl(p.liquidated).decimal());
    trader.positions.iter().filter_map(of).sum()
}

fn volume(exchange: &Exchange, trader: &Trader) -> Decimal {
    let traded = trader
        .positions
        .iter()
        .filter_map(|(i, p)| exchange.markets.get(*i).map(|m| m.ntl(p.taken + p.made).decimal()));
    traded.sum()
}

fn summary(s: &Sums) -> Value {
    json!({
        "accountValue": text(s.value.round_dp(6)), "totalNtlPos": text(s.notional.round_dp(6)),
        "totalRawUsd": text(s.raw.round_dp(6)), "totalMarginUsed": text(s.margin.round_dp(6)),
    })
}

/// The account of a trader in one dex. `None`: nobody known, an empty account.
pub(crate) fn clearinghouse(exchange: &Exchange, trader: Option<&Trader>, dex: &str) -> Value {
    let s = trader.map(|t| sums(exchange, t, dex)).unwrap_or_default();
    let mut positions = Vec::new();
    for (i, p) in trader.iter().flat_map(|t| &t.positions).filter(|(_, p)| p.szi != 0) {
        let Some(market) = exchange.markets.get(*i).filter(|m| !m.spec.is_spot() && m.spec.dex() == dex)
        else {
            continue;
        };
        positions.push(json!({"type": "oneWay", "position": position(market, p)}));
    }
    json!({
        "marginSummary": summary(&s), "crossMarginSummary": summary(&s),
        "crossMaintenanceMarginUsed": text((s.margin / Decimal::TWO).round_dp(6)),
        "withdrawable": text((s.value - s.margin).max(Decimal::ZERO).round_dp(6)),
        "assetPositions": positions, "time": exchange.time(),
    })
}

fn position(market: &Market, p: &Position) -> Value {
    let size = market.sz(p.szi).decimal();
    let value = (size * mark(market)).abs();
    let profit = unrealized(market, p);
    let used = value / Decimal::from(leverage(market));
    let cost = market.ntl(p.cost).decimal();
    let entry = if size.is_zero() { Decimal::ZERO } else { cost / size.abs() };
    let margin_at_entry = (cost / Decimal::from(leverage(market))).max(Decimal::new(1, 6));
    let since_open = market.ntl(p.funding_since_open);
    json!({
        "coin": market.spec.coin, "szi": market.sz(p.szi),
        "leverage": {"type": "cross", "value": leverage(market)},
        "entryPx": text(entry.round_dp(market.spec.px_decimals + 2)), "positionValue": text(value),
        "unrealizedPnl": text(profit), "returnOnEquity": text(profit / margin_at_entry),
        "liquidationPx": null, "marginUsed": text(used.round_dp(6)), "maxLeverage": market.spec.max_leverage,
        "cumFunding": {"allTime": market.ntl(p.funding), "sinceOpen": since_open, "sinceChange": since_open},
    })
}

/// Spot balances: an endowment and what was traded since.
pub(crate) fn spot_state(exchange: &Exchange, trader: Option<&Trader>) -> Value {
    let Some(trader) = trader else { return json!({"balances": []}) };
    let mut usdc = Decimal::from(trader.deposit);
    let mut balances = Vec::new();
    for (i, market) in exchange.spot() {
        let Venue::Spot { token, .. } = market.spec.venue else { continue };
        let p = trader.positions.get(&i).copied().unwrap_or_default();
        let total = market.sz(p.szi).decimal() + Decimal::from(SPOT_ENDOWMENT);
        // What is held now cost this much, and every sale was realised.
        let signed_cost = if p.szi < 0 { -p.cost } else { p.cost };
        usdc += market.ntl(p.realized - signed_cost).decimal();
        balances.push(json!({
            "coin": base_token(market.spec.coin), "token": token, "total": text(total), "hold": "0.0", "entryNtl": market.ntl(p.cost),
        }));
    }
    balances.insert(
        0,
        json!({
            "coin": "USDC", "token": 0, "total": text(usdc), "hold": "0.0", "entryNtl": "0.0",
        }),
    );
    json!({"balances": balances})
}

/// Leverage and room of a user in one perpetual.
pub(crate) fn active_asset_data(exchange: &Exchange, user: Address, market: &Market) -> Value {
    let trader = exchange.trader(&user).map(|(_, t)| t);
    let s = trader.map(|t| sums(exchange, t, market.spec.dex())).unwrap_or_default();
    let free = (s.value - s.margin).max(Decimal::ZERO).round_dp(2);
    let mark = mark(market).max(Decimal::new(1, 8));
    let size = (free * Decimal::from(leverage(market)) / mark).round_dp(market.spec.sz_decimals);
    json!({
        "user": user, "coin": market.spec.coin, "leverage": {"type": "cross", "value": leverage(market)},
        "maxTradeSzs": [text(size), text(size)], "availableToTrade": [text(free), text(free)],
        "markPx": text(mark),
    })
}

/// `webData3`: what the exchange's own page asks for.
pub(crate) fn web_data(exchange: &Exchange, user: Address) -> Value {
    let trader = exchange.trader(&user).map(|(_, t)| t);
    let dexes =
        DEXES.map(|_| json!({"totalVaultEquity": "0.0", "perpsAtOpenInterestCap": [], "leadingVaults": []}));
    json!({
        "userState": {
            "agentAddress": null, "agentValidUntil": null, "serverTime": exchange.time(),
            "cumLedger": text(trader.map_or(Decimal::ZERO, |t| Decimal::from(t.deposit))),
            "isVault": false, "user": user,
        },
        "perpDexStates": dexes,
    })
}
