//! What the market promises, as properties.

use std::collections::BTreeMap;
use std::ops::Range;

use hl_core::Interval;
use hl_core::record::Side;
use proptest::prelude::*;

use super::bars::{MINUTE, next_open, open_of};
use super::spec::Venue;
use super::state::{Cause, Market};
use super::{Block, Exchange};
use crate::config::SimConfig;

fn exchange(seed: u64) -> Exchange {
    with_liquidations(seed, 0)
}

/// So many of 10,000 takers are liquidations.
fn with_liquidations(seed: u64, liquidations: u32) -> Exchange {
    Exchange::new(&SimConfig { seed, traders: 40, liquidations, ..SimConfig::default() }).unwrap()
}

fn run(exchange: &mut Exchange, blocks: u64) {
    let mut block = Block::default();
    for _ in 0..blocks {
        exchange.advance(&mut block);
    }
}

/// Everything public about the trades so far, folded into one number.
fn digest(exchange: &Exchange) -> u64 {
    let mut hash = 0_u64;
    for market in &exchange.markets {
        for t in &market.trades {
            for word in [t.time as u64, t.px as u64, t.sz as u64, t.tid(), u64::from(t.buyer.trader)] {
                hash = super::num::mix(hash ^ word);
            }
        }
        hash = super::num::mix(hash ^ market.books.len() as u64 ^ market.fair as u64);
    }
    hash
}

#[test]
fn a_seed_is_a_market() {
    let [mut a, mut b, mut c] = [exchange(1), exchange(1), exchange(2)];
    for e in [&mut a, &mut b, &mut c] {
        run(e, 3_000);
    }
    // Asking for the past, as a client does, changes nothing.
    for market in &mut b.markets {
        market.bars.range(Interval::D1, 0, i64::MAX);
    }
    for e in [&mut a, &mut b, &mut c] {
        run(e, 3_000);
    }
    assert_eq!(digest(&a), digest(&b));
    assert_ne!(digest(&a), digest(&c));
    assert_eq!(
        a.markets[0].bars.range(Interval::M1, 0, i64::MAX),
        b.markets[0].bars.range(Interval::M1, 0, i64::MAX)
    );
}

#[test]
fn liquidations_are_another_market_of_the_same_seed() {
    let [mut none, mut a, mut b] = [0, 500, 500].map(|liquidations| with_liquidations(1, liquidations));
    for e in [&mut none, &mut a, &mut b] {
        run(e, 6_000);
    }
    assert_eq!(digest(&a), digest(&b));
    assert_ne!(digest(&a), digest(&none));
    assert!(
        none.markets
            .iter()
            .all(|m| m.liquidated.is_empty() && m.trades.iter().all(|t| t.liquidation().is_none()))
    );
}

#[test]
fn who_has_lost_is_liquidated_and_trades_tell_nothing_of_it() {
    let mut e = with_liquidations(8, 500);
    run(&mut e, 2 * 3_600_000 / 70);
    let makers = e.traders.len() as u32 / 4;
    let (mut closed, mut lost, mut together) = (0, 0, 0);
    for m in &e.markets {
        let mut triggers: BTreeMap<_, Vec<_>> = BTreeMap::new();
        let mut by_day: BTreeMap<i64, i64> = BTreeMap::new();
        for t in m.trades.iter().filter(|t| t.liquidation().is_some()) {
            assert!(!m.spec.is_spot());
            let taker = t.taker();
            assert!(taker.trader >= makers, "nobody whose orders rest");
            let held = if t.side == Side::Sell { taker.start } else { -taker.start };
            assert!(held >= t.sz, "it closes, and opens nothing");
            closed += usize::from(held == t.sz);
            lost += taker.pnl.signum();
            triggers.entry(t.hash().to_string()).or_default().push((t.time, t.side, taker.trader));
            *by_day.entry(t.time.div_euclid(86_400_000) * 86_400_000).or_default() += t.px * t.sz;
        }
        assert_eq!(by_day, m.liquidated);
        for legs in triggers.values() {
            assert!(legs.iter().all(|leg| (leg.0, leg.1) == (legs[0].0, legs[0].1)));
            together += usize::from(legs.iter().any(|leg| leg.2 != legs[0].2));
        }
        let orders = m.trades.iter().filter(|t| t.cause == Cause::Order);
        assert!(orders.into_iter().all(|t| !triggers.contains_key(&t.hash().to_string())));
    }
    assert!(closed > 100 && lost < -100, "{closed} closed, {lost} legs with a loss");
    assert!(together > 10, "{together} triggers liquidated several");
}

#[test]
fn busy_and_quiet_markets_are_as_busy_as_promised() {
    let mut e = exchange(3);
    let before: Vec<_> = e.markets.iter().map(|m| m.next_seq()).collect();
    let minutes = 30;
    run(&mut e, minutes * 60_000 / 70);
    let made = |i: usize| e.markets[i].next_seq() - before[i];
    assert!(made(0) >= minutes * 60 * 2, "BTC made {}", made(0));
    assert!(made(4) < minutes, "DOGE made {}", made(4));
    let zero = e.markets[0].trades.iter().filter(|t| t.cause == Cause::Twap).count();
    assert!(zero > 0 && zero < e.markets[0].trades.len() / 2);
    let mut same_block: BTreeMap<_, usize> = BTreeMap::new();
    e.markets[0].trades.iter().for_each(|t| *same_block.entry((t.time, t.taker().oid)).or_default() += 1);
    assert!(same_block.values().any(|n| *n > 1), "a taker sweeps several orders");
    assert!(e.markets.iter().all(|m| m.trades.len() >= super::state::REPLAY));
}

/// Five digits; the price of an outcome is a probability, in ten thousandths.
fn prices(market: &Market) -> Range<i64> {
    let is_outcome = matches!(market.spec.venue, Venue::Outcome { .. });
    if is_outcome { 1..10_000 } else { 10_000..100_000 }
}

#[test]
fn books_stay_near_the_price_for_hours() {
    for liquidations in [0, 1_000] {
        let mut e = with_liquidations(4, liquidations);
        run(&mut e, 6 * 3_600_000 / 70);
        stay_near_the_price(&mut e);
    }
}

fn stay_near_the_price(e: &mut Exchange) {
    for m in &mut e.markets {
        let prices = prices(m);
        let [bids, asks] = m.books.back().unwrap().1.levels();
        let levels = bids.iter().chain(&asks);
        assert!(levels.clone().all(|l| prices.contains(&l.px)), "{}: {bids:?} {asks:?}", m.spec.coin);
        assert!(asks[19].px - bids[19].px < 400, "{}: {bids:?} {asks:?}", m.spec.coin);
        let bars = m.bars.range(Interval::M1, 0, i64::MAX);
        assert!(bars.iter().all(|b| prices.contains(&b.l) && prices.contains(&b.h)), "{}", m.spec.coin);
    }
}

/// None, or one in five takers.
fn liquidations() -> impl Strategy<Value = u32> {
    prop_oneof![Just(0), Just(2_000)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn books_are_deep_uncrossed_and_have_five_digits(
        seed in any::<u64>(), blocks in 1_u64..1_500, liquidations in liquidations(),
    ) {
        let mut e = with_liquidations(seed, liquidations);
        run(&mut e, blocks);
        for m in &e.markets {
            let prices = prices(m);
            for (_, packed) in &m.books {
                let [bids, asks] = packed.levels();
                prop_assert!(bids.len() >= 20 && asks.len() >= 20);
                prop_assert!(bids[0].px < asks[0].px, "{} is crossed", m.spec.coin);
                prop_assert!(bids.windows(2).all(|w| w[0].px > w[1].px));
                prop_assert!(asks.windows(2).all(|w| w[0].px < w[1].px));
                prop_assert!(bids.iter().chain(&asks).all(|l| prices.contains(&l.px) && l.sz > 0 && l.n > 0));
            }
            prop_assert!(m.bbos.iter().all(|b| b.bid.unwrap().px < b.ask.unwrap().px));
            // A book and a bbo of equal time agree.
            for (time, packed) in &m.books {
                if let Some(bbo) = m.bbos.iter().find(|b| b.time == *time) {
                    let [bids, asks] = packed.levels();
                    prop_assert_eq!((bbo.bid, bbo.ask), (bids.first().copied(), asks.first().copied()));
                }
            }
        }
    }

    #[test]
    fn positions_are_the_signed_trades(
        seed in any::<u64>(), blocks in 1_u64..3_000, liquidations in liquidations(),
    ) {
        let mut e = with_liquidations(seed, liquidations);
        run(&mut e, blocks);
        for (i, m) in e.markets.iter().enumerate() {
            let mut net: BTreeMap<u32, i64> = BTreeMap::new();
            for t in &m.trades {
                prop_assert_ne!(t.buyer.trader, t.seller.trader);
                for (leg, signed) in [(&t.buyer, t.sz), (&t.seller, -t.sz)] {
                    let held = net.entry(leg.trader).or_default();
                    prop_assert_eq!(*held, leg.start, "the chain of start positions holds");
                    *held += signed;
                }
            }
            prop_assert_eq!(net.values().sum::<i64>(), 0);
            prop_assert_eq!(net.values().filter(|s| **s > 0).sum::<i64>(), m.open_interest);
            for (index, trader) in e.traders.iter().enumerate() {
                prop_assert_eq!(trader.szi(i), net.get(&(index as u32)).copied().unwrap_or(0));
            }
        }
    }

    #[test]
    fn bars_are_the_trades_and_nest(
        seed in any::<u64>(), blocks in 1_u64..4_000, liquidations in liquidations(),
    ) {
        let mut e = with_liquidations(seed, liquidations);
        for m in &mut e.markets {
            m.bars.newest(Interval::M3);
        }
        run(&mut e, blocks);
        for m in &mut e.markets {
            let first = m.trades.front().unwrap().time;
            let minutes = m.bars.range(Interval::M1, open_of(Interval::M1, first), i64::MAX);
            let mut expected: BTreeMap<i64, (u32, i64, i64)> = BTreeMap::new();
            for t in &m.trades {
                let bar = expected.entry(t.time.div_euclid(MINUTE) * MINUTE).or_default();
                *bar = (bar.0 + 1, bar.1 + t.sz, t.px);
            }
            let seen: BTreeMap<_, _> = minutes.iter().map(|b| (b.t, (b.n, b.v, b.c))).collect();
            prop_assert_eq!(seen, expected);
            let newest = m.bars.newest(Interval::M3).unwrap().0;
            prop_assert_eq!(newest, *m.bars.range(Interval::M3, 0, i64::MAX).last().unwrap());
        }
        let bars = &mut e.markets[1].bars;
        let minutes = bars.range(Interval::M1, 0, i64::MAX);
        prop_assert!(minutes.len() >= 5_000);
        prop_assert!(minutes.windows(2).all(|w| w[0].t < w[1].t));
        for interval in [Interval::M15, Interval::H1, Interval::W1, Interval::Month] {
            for bar in bars.range(interval, minutes[0].t, i64::MAX) {
                prop_assert_eq!(open_of(interval, bar.t), bar.t);
                let end = next_open(interval, bar.t);
                let parts: Vec<_> = minutes.iter().filter(|m| (bar.t..end).contains(&m.t)).collect();
                if bar.t >= minutes[0].t {
                    prop_assert_eq!(bar.n, parts.iter().map(|m| m.n).sum::<u32>());
                    prop_assert_eq!(bar.v, parts.iter().map(|m| m.v).sum::<i64>());
                    prop_assert_eq!(bar.h, parts.iter().map(|m| m.h).max().unwrap());
                    prop_assert_eq!(bar.l, parts.iter().map(|m| m.l).min().unwrap());
                    prop_assert_eq!((bar.o, bar.c), (parts[0].o, parts[parts.len() - 1].c));
                }
            }
        }
        for bar in &minutes {
            prop_assert!(bar.n > 0 && bar.v > 0);
            prop_assert!(bar.l <= bar.o.min(bar.c) && bar.o.max(bar.c) <= bar.h);
            prop_assert!(bar.n > 1 || bar.l == bar.h);
        }
    }

    #[test]
    fn the_volume_of_a_day_is_the_sum_of_its_minutes(seed in any::<u64>(), blocks in 1_u64..4_000) {
        let mut e = exchange(seed);
        run(&mut e, blocks);
        let now = e.time();
        for m in &mut e.markets {
            let day = m.bars.day(now);
            let from = now.div_euclid(MINUTE) * MINUTE - 86_400_000 + MINUTE;
            let bars = m.bars.range(Interval::M1, from, i64::MAX);
            prop_assert_eq!(day, bars.iter().fold((0, 0), |(v, q), b| (v + b.v, q + b.q)));
        }
    }
}

#[test]
fn funding_settles_hourly_and_is_paid_to_and_by_whoever_holds() {
    let mut e = exchange(5);
    let mut block = Block::default();
    let mut funded = false;
    while !funded {
        e.advance(&mut block);
        funded = block.funded.contains(&0);
    }
    let m = &e.markets[0];
    let rows: Vec<_> = m.funding.as_ref().unwrap().range(0, i64::MAX).copied().collect();
    assert!(rows.len() > 31 * 24);
    for pair in rows.windows(2) {
        assert_eq!(pair[1].time.div_euclid(3_600_000) - pair[0].time.div_euclid(3_600_000), 1);
        assert!(pair[1].time.rem_euclid(3_600_000) < 1_000);
    }
    let paid: i64 =
        e.traders.iter().flat_map(|t| &t.payments).filter(|p| p.market == 0).map(|p| p.amount).sum();
    let payers = e.traders.iter().filter(|t| !t.payments.is_empty()).count();
    assert!(payers > 5);
    assert!(paid.abs() <= payers as i64, "longs pay shorts, up to rounding: {paid}");
    assert_eq!(m.book.best(Side::Buy).unwrap().px, m.bbos.back().unwrap().bid.unwrap().px);
}
