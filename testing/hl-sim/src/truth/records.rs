//! The truth as the core's own records.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use hl_core::record::{
    Address, Bbo, Book, Candle, Context, Funding, Hash, Level, Market as MarketState, MarketStatus,
    MarketType, Mid, Order, Payment, PredictedFunding, Side, Trade,
};
use hl_core::row::Arrival;
use hl_core::stream::BookVariant;
use hl_core::symbol::{User, Word};
use hl_core::{Coin, Decimal, Interval, TimeMs};

use crate::market::bars::next_open;
use crate::market::book::Packed;
use crate::market::funding::{HOUR, RATE_DECIMALS, VENUE};
use crate::market::num::Num;
use crate::market::spec::Venue;
use crate::market::state::Market;
use crate::market::traders::{OrderStatus, Trader};
use crate::market::{Exchange, book};
use crate::wire::metadata::{DELISTED_LEVERAGE, DELISTED_SZ_DECIMALS};
use crate::wire::{self, metadata};

/// A position of a trader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    /// Who.
    pub user: Address,
    /// In which perpetual.
    pub coin: Coin,
    /// Signed size, coins.
    pub szi: Decimal,
    /// Average entry price, USD.
    pub entry_px: Decimal,
}

/// A position of a trader in a perpetual from one moment on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moved {
    /// In which perpetual.
    pub coin: Coin,
    /// From when on.
    pub time: TimeMs,
    /// Signed size from then on, coins.
    pub szi: Decimal,
}

/// The position of a trader that the exchange closed, by ordinary trades.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Liquidation {
    /// In which perpetual.
    pub coin: Coin,
    /// When.
    pub time: TimeMs,
    /// Whose.
    pub user: Address,
    /// Mark price then, USD.
    pub mark_px: Decimal,
    /// The hash of its trades, which those who were liquidated at the same moment share.
    pub hash: Hash,
    /// The aggressor's side in its trades.
    pub side: Side,
    /// Its trades, as they followed.
    pub legs: Vec<LiquidationLeg>,
}

/// One trade of a [`Liquidation`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LiquidationLeg {
    /// Its number.
    pub tid: u64,
    /// Price, USD.
    pub px: Decimal,
    /// Size, coins.
    pub sz: Decimal,
}

/// The part of a series of states that tells everything about a range: the state in force at its beginning, and
/// those that began inside it.
pub(super) fn states<T>(
    market: &Market,
    all: &VecDeque<T>,
    from: i64,
    to: i64,
    time: impl Fn(&T) -> i64,
) -> Vec<T>
where
    T: Clone,
{
    let all = in_order(market, all, &time);
    let after = all.partition_point(|s| time(s) <= from);
    all.range(after.saturating_sub(1)..).take_while(|s| time(s) <= to).cloned().collect()
}

/// The part of a series inside a range, both ends inclusive.
pub(super) fn within<T>(
    market: &Market,
    all: &VecDeque<T>,
    from: i64,
    to: i64,
    time: impl Fn(&T) -> i64,
) -> Vec<T>
where
    T: Clone,
{
    let all = in_order(market, all, &time);
    all.range(all.partition_point(|s| time(s) < from)..).take_while(|s| time(s) <= to).cloned().collect()
}

/// A series in the order of its times, which is that of its rows unless the clock was ever set back.
fn in_order<'a, T: Clone>(
    market: &Market,
    all: &'a VecDeque<T>,
    time: impl Fn(&T) -> i64,
) -> Cow<'a, VecDeque<T>> {
    if !market.set_back {
        return Cow::Borrowed(all);
    }
    let mut sorted: Vec<T> = all.iter().cloned().collect();
    sorted.sort_by_key(time);
    Cow::Owned(sorted.into())
}

pub(crate) fn trades(exchange: &Exchange, market: &Market, from: i64, to: i64) -> Vec<Trade> {
    within(market, &market.trades, from, to, |t| t.time)
        .iter()
        .map(|t| Trade {
            coin: market.spec.coin,
            time: TimeMs(t.time),
            tid: t.tid(),
            px: market.px(t.px).decimal(),
            sz: market.sz(t.sz).decimal(),
            side: t.side,
            hash: t.hash(),
            buyer: exchange.address(t.buyer.trader),
            seller: exchange.address(t.seller.trader),
            arrival: Arrival::default(),
        })
        .collect()
}

/// Who was liquidated, as far as the trades are retained.
pub(crate) fn liquidations(exchange: &Exchange, market: &Market, from: i64, to: i64) -> Vec<Liquidation> {
    let mut rows: Vec<Liquidation> = Vec::new();
    // One order closes one position, by trades that follow each other.
    let mut order = None;
    for t in within(market, &market.trades, from, to, |t| t.time) {
        let Some(liquidation) = t.liquidation() else { continue };
        if order.replace(t.taker().oid) != Some(t.taker().oid) {
            rows.push(Liquidation {
                coin: market.spec.coin,
                time: TimeMs(t.time),
                user: exchange.address(t.taker().trader),
                mark_px: market.fine_px(liquidation.mark).decimal(),
                hash: t.hash(),
                side: t.side,
                legs: Vec::new(),
            });
        }
        let (px, sz) = (market.px(t.px).decimal(), market.sz(t.sz).decimal());
        if let Some(row) = rows.last_mut() {
            row.legs.push(LiquidationLeg { tid: t.tid(), px, sz });
        }
    }
    rows
}

/// Bars that can change no more.
pub(crate) fn candles(market: &mut Market, interval: Interval, now: i64, from: i64, to: i64) -> Vec<Candle> {
    let mut bars = market.bars.range(interval, from, to);
    bars.retain(|b| next_open(interval, b.t) <= now);
    bars.iter()
        .map(|b| Candle {
            coin: market.spec.coin,
            interval,
            time: TimeMs(b.t),
            open: market.px(b.o).decimal(),
            high: market.px(b.h).decimal(),
            low: market.px(b.l).decimal(),
            close: market.px(b.c).decimal(),
            volume: market.sz(b.v).decimal(),
            trades: b.n.into(),
            arrival: Arrival::ALONE,
        })
        .collect()
}

pub(crate) fn funding(market: &Market, now: i64, from: i64, to: i64) -> Vec<Funding> {
    let rows = market.funding.iter().flat_map(|f| f.range(from, to.min(now)));
    rows.map(|r| Funding {
        coin: market.spec.coin,
        time: TimeMs(r.time),
        rate: Num::new(r.rate, RATE_DECIMALS).decimal(),
        premium: Num::new(r.premium, RATE_DECIMALS).decimal(),
        arrival: Arrival::ALONE,
    })
    .collect()
}

/// The last 2,000 changes of status of a trader's orders, oldest first.
pub(crate) fn orders(exchange: &Exchange, trader: &Trader) -> Vec<Order> {
    let Some(user) = User::new(&trader.address.to_string()) else { return Vec::new() };
    let order = |event: &crate::market::traders::OrderEvent| {
        let market = exchange.markets.get(event.market)?;
        let left = if event.status == OrderStatus::Filled { 0 } else { event.sz };
        Some(Order {
            user,
            time: TimeMs(event.time),
            oid: event.oid,
            status: Word::new(event.status.as_str()).ok()?,
            coin: market.spec.coin,
            side: event.side,
            limit_px: market.px(event.px).decimal(),
            sz: market.sz(left).decimal(),
            orig_sz: market.sz(event.orig_sz).decimal(),
            order_type: "Limit".into(),
            tif: Some(if event.ioc { "Ioc" } else { "Alo" }.into()),
            reduce_only: false,
            is_position_tpsl: false,
            trigger_px: None,
            trigger_condition: None,
            children: None,
            cloid: None,
            order_time: TimeMs(event.created),
            arrival: Arrival::default(),
        })
    };
    trader.orders.iter().filter_map(order).collect()
}

/// The funding payments of a trader, as they came.
pub(crate) fn payments(exchange: &Exchange, trader: &Trader) -> Vec<Payment> {
    let Some(user) = User::new(&trader.address.to_string()) else { return Vec::new() };
    let payment = |paid: &crate::market::traders::Payment| {
        let market = exchange.markets.get(paid.market)?;
        Some(Payment {
            user,
            coin: market.spec.coin,
            time: TimeMs(paid.time),
            usdc: market.ntl(paid.amount).decimal(),
            szi: market.sz(paid.szi).decimal(),
            rate: Num::new(paid.rate, RATE_DECIMALS).decimal(),
            samples: None,
            hash: hl_core::record::HexBytes([0; 32]),
            arrival: Arrival::default(),
        })
    };
    trader.payments.iter().filter_map(payment).collect()
}

fn level(market: &Market, l: &book::Level) -> Level {
    Level { px: market.px(l.px).decimal(), sz: market.sz(l.sz).decimal(), n: l.n }
}

pub(crate) fn books(market: &Market, from: i64, to: i64) -> Vec<Book> {
    within(market, &market.books, from, to, |b| b.0)
        .iter()
        .map(|(time, packed)| {
            let [bids, asks] = packed.levels().map(|side| side.iter().map(|l| level(market, l)).collect());
            Book {
                coin: market.spec.coin,
                variant: BookVariant::Default,
                time: TimeMs(*time),
                bids,
                asks,
                arrival: Arrival::ALONE,
            }
        })
        .collect()
}

/// Books with rounded prices, as they are pushed.
pub(crate) fn rounded_books(market: &Market, variant: BookVariant, from: i64, to: i64) -> Vec<Book> {
    let options = wire::BookOptions { n_sig_figs: variant.figures(), ..wire::BookOptions::default() };
    let pushed = within(market, &market.books, from, to, |b| b.0).into_iter();
    let of = |(time, packed): (i64, Arc<Packed>)| {
        let [bids, asks] = wire::levels(market, &packed, options);
        let side = |levels: Vec<book::Level>| levels.iter().map(|l| level(market, l)).collect();
        let (coin, time) = (market.spec.coin, TimeMs(time));
        Book { coin, variant, time, bids: side(bids), asks: side(asks), arrival: Arrival::ALONE }
    };
    pushed.map(of).collect()
}

pub(crate) fn bbos(market: &Market, from: i64, to: i64) -> Vec<Bbo> {
    let side = |l: &Option<book::Level>| l.as_ref().map(|l| level(market, l));
    states(market, &market.bbos, from, to, |b| b.time)
        .iter()
        .map(|b| Bbo {
            coin: market.spec.coin,
            time: TimeMs(b.time),
            bid: side(&b.bid),
            ask: side(&b.ask),
            arrival: Arrival::ALONE,
        })
        .collect()
}

pub(crate) fn mids(market: &Market, from: i64, to: i64) -> Vec<Mid> {
    states(market, &market.mids, from, to, |m| m.0)
        .iter()
        .map(|(time, half)| Mid {
            coin: market.spec.coin,
            time: TimeMs(*time),
            px: market.half_px(*half).decimal(),
            arrival: Arrival::ALONE,
        })
        .collect()
}

pub(crate) fn contexts(market: &Market, from: i64, to: i64) -> Vec<Context> {
    let perp = !market.spec.is_spot();
    states(market, &market.contexts, from, to, |c| c.time)
        .iter()
        .map(|c| Context {
            coin: market.spec.coin,
            time: TimeMs(c.time),
            mark_px: market.fine_px(c.mark).decimal(),
            mid_px: c.mid.map(|m| market.half_px(m).decimal()),
            oracle_px: perp.then(|| market.fine_px(c.oracle).decimal()),
            prev_day_px: market.px(c.prev).decimal(),
            funding: perp.then(|| Num::new(c.funding, RATE_DECIMALS).decimal()),
            open_interest: perp.then(|| market.sz(c.open_interest).decimal()),
            premium: c.mid.filter(|_| perp).map(|_| Num::new(c.premium, RATE_DECIMALS).decimal()),
            day_ntl_vlm: market.ntl(c.day_q).decimal(),
            day_base_vlm: market.sz(c.day_v).decimal(),
            impact_bid: c.impact.filter(|_| perp).map(|i| market.px(i[0]).decimal()),
            impact_ask: c.impact.filter(|_| perp).map(|i| market.px(i[1]).decimal()),
            arrival: Arrival::ALONE,
        })
        .collect()
}

/// Funding expected next at this venue: the estimate of each context, and the hour that was settled last.
pub(crate) fn predicted_funding(market: &Market, from: i64, to: i64) -> Vec<PredictedFunding> {
    let Some(venue) = Word::new(VENUE).ok().filter(|_| market.funding.is_some()) else { return Vec::new() };
    let contexts = states(market, &market.contexts, from, to, |c| c.time);
    let ends = contexts.iter().skip(1).map(|c| c.time).chain([to]);
    let mut rows = Vec::new();
    for (context, end) in contexts.iter().zip(ends) {
        // The hour changes also where the estimate does not.
        let hours = (context.time.div_euclid(HOUR) + 1..=end.div_euclid(HOUR)).map(|hour| hour * HOUR);
        rows.extend([context.time].into_iter().chain(hours).map(|time| PredictedFunding {
            coin: market.spec.coin,
            time: TimeMs(time),
            venue,
            rate: Num::new(context.funding, RATE_DECIMALS).decimal(),
            next_time: TimeMs(time.div_euclid(HOUR) * HOUR),
            interval_hours: Some(1),
            arrival: Arrival::ALONE,
        }));
    }
    rows
}

/// What the exchange says of each market, on change: what it is never changes, how it stands does.
pub(crate) fn markets(exchange: &Exchange, chosen: Option<Coin>, from: i64, to: i64) -> Vec<MarketState> {
    let mut rows = Vec::new();
    for (place, market) in exchange.markets.iter().enumerate() {
        let listed = state_of(exchange, market);
        let mut line = vec![listed.clone()];
        for (time, _, status) in exchange.standings.iter().filter(|(_, of, _)| *of == place) {
            let paid =
                (*status == MarketStatus::Settled).then(|| paid(exchange, market.spec.venue)).flatten();
            line.push(MarketState {
                time: TimeMs(*time),
                status: *status,
                settle_fraction: paid,
                ..listed.clone()
            });
        }
        rows.push(line);
    }
    rows.push(vec![MarketState {
        status: MarketStatus::Delisted,
        ..perpetual(exchange.delisted, exchange.start, DELISTED_SZ_DECIMALS, DELISTED_LEVERAGE)
    }]);
    rows.retain(|line| line.iter().all(|row| chosen.is_none_or(|coin| row.coin == coin)));
    let in_range = |line: Vec<MarketState>| {
        let first = line.partition_point(|row| row.time.0 <= from).saturating_sub(1);
        line.into_iter().skip(first).filter(|row| row.time.0 <= to).collect::<Vec<_>>()
    };
    rows.into_iter().flat_map(in_range).collect()
}

/// A market as it is listed, since the start.
fn state_of(exchange: &Exchange, market: &Market) -> MarketState {
    let spec = &market.spec;
    let of_perpetual = perpetual(spec.coin, exchange.start, spec.sz_decimals, spec.max_leverage);
    let beside =
        MarketState { max_leverage: None, margin_tiers: None, margin_mode: None, ..of_perpetual.clone() };
    match spec.venue {
        Venue::Perp => of_perpetual,
        Venue::Builder => MarketState { dex: Some(spec.dex().into()), ..of_perpetual },
        Venue::Spot { .. } => {
            let name = format!("{}/USDC", metadata::base_token(spec.coin));
            MarketState { name: name.into(), market_type: MarketType::Spot, ..beside }
        }
        Venue::Outcome { outcome, side } => {
            let said = metadata::outcome(exchange, outcome);
            let text = |field: &str| said[field].as_str().unwrap_or_default();
            let side = if side == 0 { "Yes" } else { "No" };
            MarketState {
                name: format!("{}: {side}", text("name")).into(),
                market_type: MarketType::Outcome,
                sz_decimals: None,
                description: Some(text("description").into()),
                ..beside
            }
        }
    }
}

fn perpetual(coin: Coin, start: i64, sz_decimals: u32, max_leverage: u32) -> MarketState {
    MarketState {
        coin,
        time: TimeMs(start),
        name: coin.as_str().into(),
        market_type: MarketType::Perp,
        dex: None,
        status: MarketStatus::Listed,
        sz_decimals: Some(sz_decimals),
        max_leverage: Some(max_leverage),
        margin_tiers: Some(format!("[[\"0.0\",{max_leverage}]]").into()),
        margin_mode: Some("cross".into()),
        quote: Some("USDC".into()),
        settle_fraction: None,
        description: None,
        arrival: Arrival::ALONE,
    }
}

/// What the coin of a side is paid, where its outcome has settled.
fn paid(exchange: &Exchange, venue: Venue) -> Option<Decimal> {
    let Venue::Outcome { outcome, side } = venue else { return None };
    let hundredths = i64::from(*exchange.settled.get(&outcome)?);
    Some(Num::new(if side == 0 { hundredths } else { 100 - hundredths }, 2).decimal())
}

/// Open positions in perpetuals, by trader and market.
pub(crate) fn positions(exchange: &Exchange) -> Vec<Holding> {
    let mut holdings = Vec::new();
    for trader in &exchange.traders {
        for (i, p) in trader.positions.iter().filter(|(_, p)| p.szi != 0) {
            let Some(market) = exchange.markets.get(*i).filter(|m| !m.spec.is_spot()) else { continue };
            let szi = market.sz(p.szi).decimal();
            let entry_px = (market.ntl(p.cost).decimal() / szi.abs()).round_dp(market.spec.px_decimals + 2);
            holdings.push(Holding { user: trader.address, coin: market.spec.coin, szi, entry_px });
        }
    }
    holdings
}

/// What a trader held in perpetuals of the first dex at `from`, with that time, and each change after it up to `to`: the changes of
/// one block are one. As far back as its fills are retained. Where time was lived twice the later life holds.
pub(crate) fn moved(exchange: &Exchange, user: Address, from: i64, to: i64) -> Vec<Moved> {
    let Some((index, trader)) = exchange.trader(&user) else { return Vec::new() };
    let mut lines = BTreeMap::<usize, Line>::new();
    for (place, position) in &trader.positions {
        lines.insert(*place, Line { held: position.szi, is_first: true, changes: BTreeMap::new() });
    }
    for place in &trader.fills {
        let trade = exchange.markets.get(place.market).and_then(|market| market.trade(place.seq));
        let (Some(trade), Some(line)) = (trade, lines.get_mut(&place.market)) else { continue };
        if trade.buyer.trader == trade.seller.trader {
            continue;
        }
        let bought = trade.buyer.trader as usize == index;
        let (start, signed) =
            if bought { (trade.buyer.start, trade.sz) } else { (trade.seller.start, -trade.sz) };
        // Before the first of its fills it held what that one began with.
        if std::mem::take(&mut line.is_first) {
            line.held = start;
        }
        if trade.time <= from {
            line.held = start + signed;
        } else if trade.time <= to {
            line.changes.insert(trade.time, start + signed);
        }
    }
    let mut rows = Vec::new();
    for (place, line) in lines {
        let Some(market) = exchange.markets.get(place).filter(|m| m.spec.venue == Venue::Perp) else {
            continue;
        };
        let row =
            |time, szi| Moved { coin: market.spec.coin, time: TimeMs(time), szi: market.sz(szi).decimal() };
        let mut before = line.held;
        rows.extend((before != 0).then(|| row(from, before)));
        for (time, szi) in line.changes {
            if szi != before {
                rows.push(row(time, szi));
            }
            before = szi;
        }
    }
    rows.sort_by_key(|row| (row.time, row.coin));
    rows
}

/// What a trader held in one market.
struct Line {
    /// When what is asked for begins.
    held: i64,
    /// Whether none of its fills was seen yet.
    is_first: bool,
    /// What it held after each block.
    changes: BTreeMap<i64, i64>,
}
