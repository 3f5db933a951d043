//! Order flow: makers quote around a fair price that wanders, takers cross the spread, and the exchange does it for those whom
//! it liquidates.
//!
//! Makers and takers are different traders, so nobody trades with himself.

use std::cmp::Reverse;

use hl_core::record::Side;

use super::book::{Hit, Order};
use super::state::{Cause, Leg, Liquidation, Market, Trade};
use super::traders::{OrderEvent, OrderStatus, TradeRef, Trader};

/// A side is filled up to this many levels, and never shows fewer after a block.
const FEWEST_LEVELS: usize = 24;
const MOST_LEVELS: usize = 36;
/// No maker quotes further from the fair price than this, ticks. Prices keep their five digits however long the market runs.
const REACH: i64 = 120;
/// A taker's limit lies this far behind the touch, ticks.
const SLIPPAGE: i64 = 12;

/// What all markets share while a block is made.
pub(crate) struct Floor<'a> {
    pub(crate) traders: &'a mut [Trader],
    pub(crate) next_oid: &'a mut u64,
    pub(crate) orders: &'a mut Vec<OrderEvent>,
    /// Simulated time, which the pulse follows.
    pub(crate) made: i64,
    /// The exchange's time, which everything that happens bears.
    pub(crate) time: i64,
    pub(crate) market: usize,
}

impl Floor<'_> {
    fn oid(&mut self) -> u64 {
        *self.next_oid += 1;
        *self.next_oid
    }

    fn makers(&self) -> u32 {
        (self.traders.len() / 4).max(1) as u32
    }

    fn tell(&mut self, side: Side, px: i64, order: &Order, status: OrderStatus, ioc: bool) {
        let event = OrderEvent {
            trader: order.trader,
            market: self.market,
            oid: order.oid,
            side,
            px,
            sz: order.sz,
            orig_sz: order.orig_sz,
            created: order.time,
            status,
            time: self.time,
            ioc,
        };
        if let Some(trader) = self.traders.get_mut(order.trader as usize) {
            trader.push_order(event);
        }
        self.orders.push(event);
    }
}

/// One block of one market.
pub(crate) fn step(market: &mut Market, floor: &mut Floor<'_>) {
    if floor.made < market.pulse.next() {
        return;
    }
    let beat = market.pulse.beat(floor.made);
    if beat.quote {
        quote(market, floor);
    }
    for _ in 0..beat.takers {
        wander(market);
        let liquidates = market.liquidator.strikes() && liquidate(market, floor);
        if !liquidates {
            take(market, floor);
        }
    }
    refill(market, floor);
}

/// The opening: a full book.
pub(crate) fn open(market: &mut Market, floor: &mut Floor<'_>) {
    market.touched = true;
    refill(market, floor);
}

/// Quotes move, then somebody takes: a compressed piece of the time before the start.
pub(crate) fn warm_up(market: &mut Market, floor: &mut Floor<'_>) {
    for _ in 0..4 {
        quote(market, floor);
    }
    take(market, floor);
    refill(market, floor);
}

fn wander(market: &mut Market) {
    let base = market.spec.base * 1_024;
    let pull = (base - market.fair) / 20_000;
    let step = market.spec.step;
    let moved = market.fair + market.rng.i64(-step..=step) + pull;
    market.fair = moved.clamp(base * 82 / 100, base * 122 / 100);
}

fn fair(market: &Market) -> i64 {
    market.fair / 1_024
}

fn quote(market: &mut Market, floor: &mut Floor<'_>) {
    wander(market);
    pull_stale(market, floor);
    for _ in 0..=market.rng.usize(0..2) {
        let side = if market.rng.bool() { Side::Buy } else { Side::Sell };
        let depth = i64::from(market.rng.u32(..).trailing_zeros().min(8));
        let away = 1 + depth * market.rng.i64(1..=3);
        let px = match side {
            Side::Buy => {
                let ask = market.book.best(Side::Sell).map_or(i64::MAX, |l| l.px);
                (fair(market) - away).min(ask - 1)
            }
            Side::Sell => {
                let bid = market.book.best(Side::Buy).map_or(i64::MIN, |l| l.px);
                (fair(market) + away).max(bid + 1)
            }
        };
        place(market, floor, side, px);
    }
    let side = if market.rng.bool() { Side::Buy } else { Side::Sell };
    let n = market.rng.usize(0..FEWEST_LEVELS);
    if let Some(px) = market.book.nth_px(side, n) {
        withdraw(market, floor, side, px);
    }
    for side in [Side::Buy, Side::Sell] {
        while let Some(px) = market.book.worst_px(side) {
            if market.book.levels(side) <= MOST_LEVELS && (px - fair(market)).abs() <= REACH {
                break;
            }
            withdraw(market, floor, side, px);
        }
    }
}

/// Makers whose quote the fair price has passed take it back.
fn pull_stale(market: &mut Market, floor: &mut Floor<'_>) {
    for (side, sign) in [(Side::Buy, 1), (Side::Sell, -1)] {
        for _ in 0..40 {
            match market.book.best(side) {
                Some(best) if (best.px - fair(market)) * sign > 0 => withdraw(market, floor, side, best.px),
                _ => break,
            }
        }
    }
}

fn place(market: &mut Market, floor: &mut Floor<'_>, side: Side, px: i64) {
    let trader = market.rng.u32(0..floor.makers());
    let tenths = market.rng.i64(1..40) << market.rng.u32(..).trailing_zeros().min(4);
    let sz = (market.spec.lot * tenths / 10).max(1);
    let order = Order { oid: floor.oid(), trader, sz, orig_sz: sz, time: floor.time };
    floor.tell(side, px, &order, OrderStatus::Open, false);
    market.book.add(side, px, order);
    market.touched = true;
}

fn withdraw(market: &mut Market, floor: &mut Floor<'_>, side: Side, px: i64) {
    let pick = market.rng.usize(0..64);
    if let Some(order) = market.book.cancel(side, px, pick) {
        floor.tell(side, px, &order, OrderStatus::Canceled, false);
        market.touched = true;
    }
}

/// Nothing thins a side out below [`FEWEST_LEVELS`] for longer than a block.
fn refill(market: &mut Market, floor: &mut Floor<'_>) {
    if !market.touched {
        return;
    }
    for (side, sign) in [(Side::Buy, -1), (Side::Sell, 1)] {
        while market.book.levels(side) < FEWEST_LEVELS {
            let out = market.rng.i64(1..=3);
            let behind = market.book.worst_px(side).map(|worst| worst + sign * out);
            let px = match behind.filter(|px| (px - fair(market)).abs() <= REACH) {
                Some(px) => px,
                // Between the others, or where there is none.
                None => {
                    let out = if behind.is_some() { market.rng.i64(1..=REACH) } else { out };
                    let from = fair(market);
                    let other = if side == Side::Buy { Side::Sell } else { Side::Buy };
                    let from = match market.book.best(other).map(|l| l.px) {
                        Some(touch) if side == Side::Buy => from.min(touch),
                        Some(touch) => from.max(touch),
                        None => from,
                    };
                    from + sign * out
                }
            };
            place(market, floor, side, px);
        }
    }
}

fn take(market: &mut Market, floor: &mut Floor<'_>) {
    let makers = floor.makers();
    let everyone = floor.traders.len() as u32;
    let trader = market.rng.u32(makers..everyone.max(makers + 1));
    let held = floor.traders.get(trader as usize).map_or(0, |t| t.szi(floor.market));
    let twap = market.rng.u32(0..6) == 0;
    let closes = held != 0 && !market.spec.is_spot() && market.rng.u32(0..6) == 0;
    let crowded = held.abs() > market.spec.lot * 40;
    let (side, wanted) = if closes || crowded {
        (if held > 0 { Side::Sell } else { Side::Buy }, held.abs())
    } else {
        let side = if market.rng.bool() { Side::Buy } else { Side::Sell };
        let tenths = market.rng.i64(1..20) << market.rng.u32(..).trailing_zeros().min(5);
        (side, (market.spec.lot * tenths / 10).max(1))
    };
    let resting = if side == Side::Buy { Side::Sell } else { Side::Buy };
    let Some(touch) = market.book.best(resting) else { return };
    let sign = if side == Side::Buy { 1 } else { -1 };
    let limit = touch.px + sign * SLIPPAGE;
    let taker = Order { oid: floor.oid(), trader, sz: wanted, orig_sz: wanted, time: floor.time };
    cross(market, floor, side, limit, taker, if twap { Cause::Twap } else { Cause::Order });
}

/// Closes the positions that have lost most, as far as the book reaches. Whether there was one.
fn liquidate(market: &mut Market, floor: &mut Floor<'_>) -> bool {
    let Some(mark) = market.contexts.back().map(|c| c.mark) else { return false };
    let at_once = match market.liquidator.rng.u32(0..8) {
        0 => 3,
        1 => 2,
        _ => 1,
    };
    let mut trigger = None;
    for (trader, held) in losers(floor, mark).into_iter().take(at_once) {
        let (side, resting) = if held > 0 { (Side::Sell, Side::Buy) } else { (Side::Buy, Side::Sell) };
        // The exchange closes at whatever price there is.
        let Some(limit) = market.book.worst_px(resting) else { break };
        let taker = Order { oid: floor.oid(), trader, sz: held.abs(), orig_sz: held.abs(), time: floor.time };
        let trigger = *trigger.get_or_insert(taker.oid);
        cross(market, floor, side, limit, taker, Cause::Liquidation(Liquidation { trigger, mark }));
    }
    trigger.is_some()
}

/// Who has lost on a position that he took, and its signed size; who has lost the largest part comes first, and the others
/// stand on his side, since one move of the price hurts one side. Makers are left alone: nobody trades with himself.
fn losers(floor: &Floor<'_>, mark: i64) -> Vec<(u32, i64)> {
    let lost = |(trader, of): (u32, &Trader)| {
        let position = of.positions.get(&floor.market).filter(|p| p.szi != 0 && p.cost > 0)?;
        // Wide, as with the cost of a part.
        let worth = i128::from(position.szi.abs()) * i128::from(mark) / 10;
        let lost = (i128::from(position.cost) - worth) * i128::from(position.szi.signum());
        (lost > 0).then(|| (lost * 1_000_000 / i128::from(position.cost), trader, position.szi))
    };
    let takers = (0..).zip(floor.traders.iter()).skip(floor.makers() as usize);
    let mut found: Vec<_> = takers.filter_map(lost).collect();
    found.sort_unstable_by_key(|(lost, trader, _)| (Reverse(*lost), *trader));
    let is_long = found.first().is_some_and(|(_, _, held)| *held > 0);
    let same_side = found.into_iter().filter(|(_, _, held)| (*held > 0) == is_long);
    same_side.map(|(_, trader, held)| (trader, held)).collect()
}

/// An order takes what rests down to its limit; what is left of it is cancelled.
fn cross(market: &mut Market, floor: &mut Floor<'_>, side: Side, limit: i64, mut taker: Order, cause: Cause) {
    floor.tell(side, limit, &taker, OrderStatus::Open, true);
    let mut hits = Vec::new();
    market.book.take(side, limit, taker.sz, &mut hits);
    market.touched = true;
    let sign = if side == Side::Buy { 1 } else { -1 };
    market.fair += sign * (hits.len() as i64) * market.spec.step / 8;
    for hit in hits {
        taker.sz -= hit.sz;
        trade(market, floor, side, cause, &taker, &hit);
    }
    let status = if taker.sz == 0 { OrderStatus::Filled } else { OrderStatus::Canceled };
    floor.tell(side, limit, &taker, status, true);
}

fn trade(market: &mut Market, floor: &mut Floor<'_>, side: Side, cause: Cause, taker: &Order, hit: &Hit) {
    let place = TradeRef { market: floor.market, seq: market.next_seq() };
    let maker_side = if side == Side::Buy { Side::Sell } else { Side::Buy };
    let is_liquidation = matches!(cause, Cause::Liquidation(_));
    let mut leg = |order: &Order, side: Side, takes: bool| {
        let signed = if side == Side::Buy { hit.sz } else { -hit.sz };
        let trader = floor.traders.get_mut(order.trader as usize)?;
        let position = trader.positions.entry(place.market).or_default();
        let effect = position.apply(hit.px, signed, takes);
        if takes && is_liquidation {
            position.liquidated += hit.px * hit.sz;
        }
        market.open_interest += (effect.start + signed).max(0) - effect.start.max(0);
        trader.push_fill(place);
        Some(Leg { trader: order.trader, oid: order.oid, start: effect.start, pnl: effect.pnl })
    };
    let (Some(taken), Some(made)) = (leg(taker, side, true), leg(&hit.maker, maker_side, false)) else {
        return;
    };
    let (buyer, seller) = if side == Side::Buy { (taken, made) } else { (made, taken) };
    market.bars.on_trade(floor.time, hit.px, hit.sz);
    market.trades.push_back(Trade { time: floor.time, px: hit.px, sz: hit.sz, side, cause, buyer, seller });
    if is_liquidation {
        market.count_liquidated(floor.time, hit.px * hit.sz);
    }
    if hit.maker.sz == 0 {
        floor.tell(maker_side, hit.px, &hit.maker, OrderStatus::Filled, false);
    }
}
