//! The market: a pure function of seed, start and size, made block by block.
//!
//! What lives here: order books, order flow, traders with their positions, bars, funding, contexts, and what is
//! retained of all that. What does not: sockets, text on the wire, clients, most faults. Nothing a client does changes
//! the market; what does is a clock that is set, an exchange that stands still, and a market that is not listed, is
//! delisted or settles.

pub(crate) mod bars;
pub(crate) mod book;
mod flow;
pub(crate) mod funding;
pub(crate) mod num;
mod pulse;
pub(crate) mod spec;
pub(crate) mod state;
pub(crate) mod traders;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hl_core::record::{Address, MarketStatus};
use hl_core::seam::Seed;
use hl_core::{Coin, TimeMs};

use crate::assumptions::Assumptions;
use crate::config::{SimConfig, SimError};
use bars::MINUTE;
use flow::Floor;
use spec::{BLOCK_MS, DELISTED, Spec, Venue};
use state::Market;
use traders::{OrderEvent, Payment, Trader};

/// Blocks between two retained books: 490 ms.
const BOOK_BLOCKS: u64 = 7;
/// Blocks between two looks at mids and contexts: 980 ms.
const CONTEXT_BLOCKS: u64 = 14;
/// Takers of each market before the start: enough to fill a replay.
const WARM_UP: i64 = 40;

/// What one block brought. Markets by number.
#[derive(Default, Debug)]
pub(crate) struct Block {
    pub(crate) time: i64,
    /// Market, number of its first trade in this block.
    pub(crate) trades: Vec<(usize, u64)>,
    pub(crate) bbos: Vec<usize>,
    pub(crate) orders: Vec<OrderEvent>,
    /// Whether books were retained in this block.
    pub(crate) books: bool,
    /// Whether mids and contexts were.
    pub(crate) contexts: bool,
    /// Markets that settled their funding.
    pub(crate) funded: Vec<usize>,
    /// Outcomes that were listed (true) or settled.
    pub(crate) outcomes: Vec<(u64, bool)>,
}

impl Block {
    /// Whether nobody did anything in it.
    pub(crate) fn is_idle(&self) -> bool {
        self.trades.is_empty()
            && self.bbos.is_empty()
            && self.orders.is_empty()
            && self.funded.is_empty()
            && self.outcomes.is_empty()
    }
}

/// Every market, every trader.
pub(crate) struct Exchange {
    pub(crate) markets: Vec<Market>,
    pub(crate) traders: Vec<Trader>,
    pub(crate) by_coin: BTreeMap<Coin, usize>,
    pub(crate) by_address: BTreeMap<Address, usize>,
    pub(crate) delisted: Coin,
    pub(crate) start: i64,
    pub(crate) retention_ms: i64,
    pub(crate) assumptions: Assumptions,
    pub(crate) blocks: u64,
    /// How old what is answered shall be, ms.
    pub(crate) behind_ms: i64,
    /// Simulated time up to which blocks are made. It goes on whatever happens to the exchange's clock.
    made: i64,
    /// How far the exchange's clock is ahead of it.
    clock_ms: i64,
    /// The exchange's time since when it stands still.
    stands: Option<i64>,
    /// Coins that are not listed now.
    unlisted: BTreeSet<Coin>,
    /// What the first side of each settled outcome was paid, in hundredths.
    pub(crate) settled: BTreeMap<u64, u8>,
    /// When a market, by place, came to stand otherwise with the exchange, oldest first.
    pub(crate) standings: Vec<(i64, usize, MarketStatus)>,
    /// Outcomes that were listed (true) or settled since the last block.
    news: Vec<(u64, bool)>,
    next_oid: u64,
}

impl Exchange {
    pub(crate) fn new(config: &SimConfig) -> Result<Self, SimError> {
        let seed = Seed(config.seed);
        let start = config.start.0;
        let specs = spec::listings(config.coins, config.outcomes, config.activity)?;
        let warm_up_start = |s: &Spec| start - (WARM_UP * s.take_gap_ms + BLOCK_MS) / BLOCK_MS * BLOCK_MS;
        let markets: Vec<_> = specs
            .into_iter()
            .map(|s| {
                let first = warm_up_start(&s);
                Market::new(s, config, first)
            })
            .collect();
        let address_seed = seed.derive("traders").0;
        let traders: Vec<_> = (0..config.traders).map(|i| Trader::new(address_seed, i)).collect();
        let mut exchange = Self {
            by_coin: markets.iter().enumerate().map(|(i, m)| (m.spec.coin, i)).collect(),
            by_address: traders.iter().enumerate().map(|(i, t)| (t.address, i)).collect(),
            delisted: Coin::new(DELISTED)?,
            markets,
            traders,
            start,
            retention_ms: config.retention_ms,
            assumptions: config.assumptions,
            blocks: 0,
            behind_ms: 0,
            made: start,
            clock_ms: 0,
            stands: None,
            unlisted: BTreeSet::new(),
            settled: BTreeMap::new(),
            standings: Vec::new(),
            news: Vec::new(),
            next_oid: 310_000_000_000,
        };
        exchange.warm_up();
        Ok(exchange)
    }

    /// The time of the newest block, as the exchange's clock says.
    pub(crate) fn time(&self) -> i64 {
        self.stands.unwrap_or(self.made + self.clock_ms)
    }

    /// Simulated time up to which blocks are made, whatever the exchange's clock says.
    pub(crate) fn made(&self) -> i64 {
        self.made
    }

    /// How far the exchange's clock is ahead of simulated time, ms.
    pub(crate) fn clock_ms(&self) -> i64 {
        self.clock_ms
    }

    /// Sets the exchange's clock.
    pub(crate) fn set_clock(&mut self, by_ms: i64) {
        self.clock_ms += by_ms;
        for market in &mut self.markets {
            market.set_back |= by_ms < 0;
        }
    }

    /// Follows the faults: which coins are not listed, and whether everything stands still.
    pub(crate) fn follow(&mut self, unlisted: BTreeSet<Coin>, halted: bool) {
        for coin in self.unlisted.difference(&unlisted) {
            let market = self.by_coin.get(coin).and_then(|i| self.markets.get(*i));
            if let Some(Venue::Outcome { outcome, side: 0 }) = market.map(|m| m.spec.venue) {
                self.news.push((outcome, true));
            }
        }
        let now = self.time();
        for coin in self.unlisted.symmetric_difference(&unlisted) {
            let Some(place) = self.by_coin.get(coin).copied() else { continue };
            let is_closed = self.markets.get(place).is_some_and(|market| market.closed);
            let status = match (unlisted.contains(coin), is_closed) {
                (true, _) => MarketStatus::Gone,
                (false, true) => MarketStatus::Delisted,
                (false, false) => MarketStatus::Listed,
            };
            self.standings.push((now, place, status));
        }
        self.unlisted = unlisted;
        self.stands = halted.then(|| self.time());
    }

    /// Delists a perpetual for good: it stays at its place among the markets, its orders are cancelled and its positions
    /// closed without a trade. Whether it was there.
    pub(crate) fn delist(&mut self, coin: Coin) -> bool {
        let place = self.place(coin).filter(|i| self.markets.get(*i).is_some_and(|m| !m.spec.is_spot()));
        if let Some(place) = place {
            self.close(place);
            self.standings.push((self.time(), place, MarketStatus::Delisted));
        }
        place.is_some()
    }

    /// Settles an outcome: its coins are gone from then on. `hundredths`: what the first side is paid. Whether it was there.
    pub(crate) fn settle(&mut self, outcome: u64, hundredths: u8) -> bool {
        let of = |venue: Venue| matches!(venue, Venue::Outcome { outcome: of, .. } if of == outcome);
        let places: Vec<_> =
            self.markets.iter().enumerate().filter(|(_, m)| of(m.spec.venue)).map(|(i, _)| i).collect();
        let is_live = !places.is_empty() && !self.settled.contains_key(&outcome);
        if is_live {
            for place in places {
                self.close(place);
                self.standings.push((self.time(), place, MarketStatus::Settled));
            }
            self.settled.insert(outcome, hundredths);
            self.news.push((outcome, false));
        }
        is_live
    }

    /// Ends a market. What it was is kept; what is left of it is shown from the next block on.
    fn close(&mut self, place: usize) {
        let Some(market) = self.markets.get_mut(place) else { return };
        market.closed = true;
        market.book = book::OrderBook::default();
        market.open_interest = 0;
        // A settled outcome shows nothing any more.
        market.touched = !market.spec.is_spot();
        for trader in &mut self.traders {
            trader.positions.remove(&place);
        }
    }

    pub(crate) fn is_halted(&self) -> bool {
        self.stands.is_some()
    }

    /// The time as of which it answers.
    pub(crate) fn answers_as_of(&self) -> i64 {
        self.time() - self.behind_ms
    }

    /// The oldest time of which everything is retained.
    pub(crate) fn retained_from(&self) -> i64 {
        self.start.max(self.time() - self.retention_ms)
    }

    /// Enough trades before the start that every replay is full, in the order of their times.
    fn warm_up(&mut self) {
        let mut events: Vec<(i64, usize)> = Vec::new();
        for (i, market) in self.markets.iter().enumerate() {
            for k in 1..=WARM_UP {
                let blocks = k * market.spec.take_gap_ms / BLOCK_MS + 1;
                events.push((self.start - blocks * BLOCK_MS, i));
            }
        }
        events.sort_unstable();
        let mut orders = Vec::new();
        for (time, i) in events {
            let Some(market) = self.markets.get_mut(i) else { continue };
            orders.clear();
            let mut floor = Floor {
                traders: &mut self.traders,
                next_oid: &mut self.next_oid,
                orders: &mut orders,
                made: time,
                time,
                market: i,
            };
            flow::open(market, &mut floor);
            flow::warm_up(market, &mut floor);
        }
        for market in &mut self.markets {
            market.look(self.start);
            market.snapshot(self.start);
            market.observe(self.start);
        }
    }

    /// The first block in which somebody may do something, or a funding rate settles.
    pub(crate) fn next_event(&self) -> i64 {
        let of = |market: &Market| match (market.closed, market.touched) {
            (true, false) => i64::MAX,
            (true, true) => self.made,
            (false, _) => {
                let funding = market.funding.as_ref().map_or(i64::MAX, funding::Funding::due);
                market.pulse.next().min(funding)
            }
        };
        let news = if self.news.is_empty() { i64::MAX } else { self.made };
        self.markets.iter().map(of).min().unwrap_or(i64::MAX).min(news)
    }

    /// Makes the next block.
    pub(crate) fn advance(&mut self, block: &mut Block) {
        self.blocks += 1;
        self.made += BLOCK_MS;
        let (made, time) = (self.made, self.time());
        block.time = time;
        block.trades.clear();
        block.bbos.clear();
        block.orders.clear();
        block.funded.clear();
        block.outcomes.clear();
        block.outcomes.append(&mut self.news);
        block.books = self.blocks.is_multiple_of(BOOK_BLOCKS);
        block.contexts = self.blocks.is_multiple_of(CONTEXT_BLOCKS);
        if self.is_halted() {
            return;
        }
        for (i, market) in self.markets.iter_mut().enumerate() {
            if self.unlisted.contains(&market.spec.coin) {
                continue;
            }
            if market.closed {
                if !market.spec.is_spot() {
                    show(market, i, block);
                }
                continue;
            }
            let first = market.next_seq();
            let mut floor = Floor {
                traders: &mut self.traders,
                next_oid: &mut self.next_oid,
                orders: &mut block.orders,
                made,
                time,
                market: i,
            };
            flow::step(market, &mut floor);
            if market.next_seq() > first {
                block.trades.push((i, first));
            }
            show(market, i, block);
            if market.funding.as_ref().is_some_and(|f| f.due() <= time) {
                settle(market, i, &mut self.traders);
                block.funded.push(i);
            }
        }
        if made.rem_euclid(MINUTE) < BLOCK_MS {
            let before = time - self.retention_ms;
            for market in &mut self.markets {
                market.forget(before);
            }
            for trader in &mut self.traders {
                let known =
                    |f: &traders::TradeRef| self.markets.get(f.market).is_some_and(|m| f.seq >= m.first_seq);
                while trader.fills.front().is_some_and(|f| !known(f)) {
                    trader.fills.pop_front();
                }
            }
        }
    }

    /// A listed market.
    pub(crate) fn market(&self, coin: Coin) -> Option<&Market> {
        self.markets.get(self.place(coin)?)
    }

    /// A listed market.
    pub(crate) fn market_mut(&mut self, coin: Coin) -> Option<&mut Market> {
        let place = self.place(coin)?;
        self.markets.get_mut(place)
    }

    fn place(&self, coin: Coin) -> Option<usize> {
        self.by_coin.get(&coin).copied().filter(|i| self.markets.get(*i).is_some_and(|m| self.is_listed(m)))
    }

    fn is_listed(&self, market: &Market) -> bool {
        let is_settled = match market.spec.venue {
            Venue::Outcome { outcome, .. } => self.settled.contains_key(&outcome),
            Venue::Perp | Venue::Builder | Venue::Spot { .. } => false,
        };
        !is_settled && !self.unlisted.contains(&market.spec.coin)
    }

    /// Markets that are listed.
    pub(crate) fn listed(&self) -> impl Iterator<Item = (usize, &Market)> {
        self.markets.iter().enumerate().filter(|(_, m)| self.is_listed(m))
    }

    pub(crate) fn trader(&self, address: &Address) -> Option<(usize, &Trader)> {
        let index = *self.by_address.get(address)?;
        Some((index, self.traders.get(index)?))
    }

    /// The markets of a perpetual dex in the order of its universe.
    pub(crate) fn dex(&self, name: &str) -> impl Iterator<Item = (usize, &Market)> {
        let venue = if name.is_empty() { Venue::Perp } else { Venue::Builder };
        self.listed().filter(move |(_, m)| m.spec.venue == venue)
    }

    pub(crate) fn spot(&self) -> impl Iterator<Item = (usize, &Market)> {
        self.listed().filter(|(_, m)| matches!(m.spec.venue, Venue::Spot { .. }))
    }

    /// The outcomes that have not settled, by number.
    pub(crate) fn outcomes(&self) -> impl Iterator<Item = u64> {
        self.listed().filter_map(|(_, m)| match m.spec.venue {
            Venue::Outcome { outcome, side: 0 } => Some(outcome),
            _ => None,
        })
    }

    /// Whether a name can be subscribed: listed, delisted ones included.
    pub(crate) fn lists(&self, coin: Coin) -> bool {
        coin == self.delisted || self.place(coin).is_some()
    }

    /// Time of the newest retained books: one for all markets.
    pub(crate) fn book_time(&self) -> i64 {
        self.markets.first().and_then(|m| m.books.back()).map_or(self.start, |(time, _)| *time)
    }

    /// The newest retained book of a market that is no newer than `by`; its oldest where all are.
    pub(crate) fn book_by(&self, coin: Coin, by: i64) -> Option<(TimeMs, Arc<book::Packed>)> {
        let books = &self.market(coin)?.books;
        let (time, packed) = books.get(books.partition_point(|(time, _)| *time <= by).saturating_sub(1))?;
        Some((TimeMs(*time), Arc::clone(packed)))
    }

    /// The newest retained books of a market: time and levels.
    pub(crate) fn newest_book(&self, coin: Coin) -> Option<(TimeMs, Arc<book::Packed>)> {
        let (time, packed) = self.market(coin)?.books.back()?;
        Some((TimeMs(*time), Arc::clone(packed)))
    }
}

/// What a block shows of a market: the top of its book, and now and then the book, mid and context.
fn show(market: &mut Market, index: usize, block: &mut Block) {
    if market.look(block.time) {
        block.bbos.push(index);
    }
    if block.books {
        market.snapshot(block.time);
    }
    if block.contexts {
        market.observe(block.time);
    }
}

/// Settles the hour of a perpetual and pays everybody who holds a position.
fn settle(market: &mut Market, index: usize, traders: &mut [Trader]) {
    let Some(funding) = &mut market.funding else { return };
    let row = funding.settle();
    for trader in traders {
        let Some(position) = trader.positions.get_mut(&index).filter(|p| p.szi != 0) else { continue };
        // Tenths of ticks times 10^-10: the amount in notional units.
        let notional = i128::from(position.szi) * i128::from(market.oracle) / 10;
        let paid = (notional * i128::from(row.rate) / 10_000_000_000) as i64;
        position.funding += paid;
        position.funding_since_open += paid;
        let payment =
            Payment { time: row.time, market: index, szi: position.szi, rate: row.rate, amount: -paid };
        trader.push_payment(payment);
    }
}
