//! One market: its book, its fair price, and what it has shown.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use hl_core::record::Side;
use hl_core::seam::Seed;

use super::bars::{Bars, DAY, PAST_DAYS};
use super::book::{Level, OrderBook, Packed};
use super::funding::Funding;
use super::num::{Num, mix};
use super::pulse::Pulse;
use super::spec::Spec;
use crate::assumptions::Assumptions;
use crate::config::SimConfig;

/// Trades kept whatever their age: a replay is full also where a market is quiet.
pub(crate) const REPLAY: usize = 30;
/// Days of which it is known what was liquidated: those of the statistics, and the present one.
const LIQUIDATED_DAYS: usize = 32;

/// A trade, as the market knows it: traders are numbers, prices ticks, sizes units.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trade {
    pub(crate) time: i64,
    pub(crate) px: i64,
    pub(crate) sz: i64,
    /// The aggressor's.
    pub(crate) side: Side,
    pub(crate) cause: Cause,
    pub(crate) buyer: Leg,
    pub(crate) seller: Leg,
}

/// Why somebody took.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Cause {
    /// He wanted to.
    Order,
    /// An order in slices did.
    Twap,
    /// The exchange took for him, to close what he could not hold any longer. Nothing public tells the two apart.
    Liquidation(Liquidation),
}

/// The liquidation behind a trade.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Liquidation {
    /// What all who were liquidated at once have in common: the order of the first of them.
    pub(crate) trigger: u64,
    /// Mark price then, 1/10 ticks.
    pub(crate) mark: i64,
}

/// One side of a trade.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leg {
    pub(crate) trader: u32,
    pub(crate) oid: u64,
    /// Position before the trade, size units.
    pub(crate) start: i64,
    /// Profit realised by it, notional units.
    pub(crate) pnl: i64,
}

impl Trade {
    /// A 50-bit hash of the two orders.
    pub(crate) fn tid(&self) -> u64 {
        mix(self.buyer.oid ^ mix(self.seller.oid)) & ((1 << 50) - 1)
    }

    pub(crate) fn taker(&self) -> &Leg {
        if self.side == Side::Buy { &self.buyer } else { &self.seller }
    }

    pub(crate) fn liquidation(&self) -> Option<&Liquidation> {
        match &self.cause {
            Cause::Liquidation(liquidation) => Some(liquidation),
            Cause::Order | Cause::Twap => None,
        }
    }

    /// One for all trades of a taker, or of all who were liquidated at once; all zeros for TWAP.
    pub(crate) fn hash(&self) -> hl_core::record::Hash {
        let mut bytes = [0; 32];
        let oid = match self.cause {
            Cause::Order => Some(self.taker().oid),
            Cause::Liquidation(Liquidation { trigger, .. }) => Some(trigger),
            Cause::Twap => None,
        };
        if let Some(oid) = oid {
            for (i, chunk) in bytes.chunks_mut(8).enumerate() {
                chunk.copy_from_slice(&mix(oid ^ (i as u64) << 60).to_be_bytes());
            }
        }
        hl_core::record::HexBytes(bytes)
    }
}

/// Best bid and offer since a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Bbo {
    pub(crate) time: i64,
    pub(crate) bid: Option<Level>,
    pub(crate) ask: Option<Level>,
}

/// An asset context since a time. Prices with one digit more than the ticks have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Context {
    pub(crate) time: i64,
    pub(crate) mark: i64,
    pub(crate) mid: Option<i64>,
    pub(crate) oracle: i64,
    pub(crate) prev: i64,
    pub(crate) funding: i64,
    pub(crate) open_interest: i64,
    pub(crate) premium: i64,
    pub(crate) day_v: i64,
    pub(crate) day_q: i64,
    pub(crate) impact: Option<[i64; 2]>,
}

/// How often somebody is liquidated.
#[derive(Debug)]
pub(crate) struct Liquidator {
    pub(crate) rng: fastrand::Rng,
    in_ten_thousand: u32,
}

impl Liquidator {
    /// Whether the exchange takes where somebody else would.
    pub(crate) fn strikes(&mut self) -> bool {
        self.in_ten_thousand > 0 && self.rng.u32(0..10_000) < self.in_ten_thousand
    }
}

/// A market and everything it retains.
pub(crate) struct Market {
    pub(crate) spec: Spec,
    pub(crate) book: OrderBook,
    pub(crate) rng: fastrand::Rng,
    pub(crate) pulse: Pulse,
    /// Fair price, 1/1024 ticks.
    pub(crate) fair: i64,
    /// Oracle price, 1/10 ticks.
    pub(crate) oracle: i64,
    /// Sum of the long positions, size units.
    pub(crate) open_interest: i64,
    pub(crate) bars: Bars,
    pub(crate) funding: Option<Funding>,
    pub(crate) liquidator: Liquidator,
    /// What was liquidated on a day, by its begin: notional units.
    pub(crate) liquidated: BTreeMap<i64, i64>,
    pub(crate) trades: VecDeque<Trade>,
    /// Number of the oldest retained trade.
    pub(crate) first_seq: u64,
    pub(crate) bbos: VecDeque<Bbo>,
    pub(crate) books: VecDeque<(i64, Arc<Packed>)>,
    pub(crate) contexts: VecDeque<Context>,
    /// Time and price in half ticks, on change.
    pub(crate) mids: VecDeque<(i64, i64)>,
    /// The book changed since the last look at its top, and since the last snapshot.
    pub(crate) touched: bool,
    pub(crate) unsnapped: bool,
    /// Whether the clock was ever set back: what is retained is not in the order of its times then.
    pub(crate) set_back: bool,
    /// Whether it was delisted, or has settled: nothing happens in it any more.
    pub(crate) closed: bool,
    /// What it shows of trades and bars.
    pub(crate) assumptions: Assumptions,
}

impl Market {
    /// An empty market; `first` is the time of its first trade to come.
    pub(crate) fn new(spec: Spec, config: &SimConfig, first: i64) -> Self {
        let (start, assumptions) = (config.start.0, config.assumptions);
        let seed = Seed(config.seed).derive(spec.coin.as_str());
        let mut rng = seed.rng("flow");
        let fair = spec.base * 1_024 * rng.i64(970..1_030) / 1_000;
        let bars = Bars::new(seed.rng("past"), &spec, fair / 1_024, first, start - PAST_DAYS * DAY);
        let funding = (!spec.is_spot()).then(|| Funding::new(seed.derive("funding").0, start));
        let pulse = Pulse::new(seed.rng("pulse"), &spec, start);
        // With a generator of its own: a market without liquidations is the same as before there were any.
        let in_ten_thousand = if spec.is_spot() { 0 } else { config.liquidations };
        let liquidator = Liquidator { rng: seed.rng("liquidations"), in_ten_thousand };
        Self {
            book: OrderBook::default(),
            rng,
            pulse,
            fair,
            oracle: fair * 10 / 1_024,
            open_interest: 0,
            bars,
            funding,
            liquidator,
            liquidated: BTreeMap::new(),
            trades: VecDeque::new(),
            first_seq: 0,
            bbos: VecDeque::new(),
            books: VecDeque::new(),
            contexts: VecDeque::new(),
            mids: VecDeque::new(),
            touched: true,
            unsnapped: true,
            set_back: false,
            closed: false,
            assumptions,
            spec,
        }
    }

    pub(crate) fn px(&self, ticks: i64) -> Num {
        Num::new(ticks, self.spec.px_decimals)
    }

    pub(crate) fn sz(&self, units: i64) -> Num {
        Num::new(units, self.spec.sz_decimals)
    }

    /// Half ticks, as text.
    pub(crate) fn half_px(&self, half_ticks: i64) -> Num {
        Num::new(half_ticks * 5, self.spec.px_decimals + 1)
    }

    /// Tenths of a tick, as text.
    pub(crate) fn fine_px(&self, tenths: i64) -> Num {
        Num::new(tenths, self.spec.px_decimals + 1)
    }

    pub(crate) fn ntl(&self, units: i64) -> Num {
        Num::new(units, self.spec.ntl_decimals())
    }

    pub(crate) fn next_seq(&self) -> u64 {
        self.first_seq + self.trades.len() as u64
    }

    /// The number that a trade is known by.
    pub(crate) fn tid(&self, trade: &Trade) -> u64 {
        if self.assumptions.trade_keys { trade.tid() } else { mix(trade.time as u64) >> 14 }
    }

    pub(crate) fn trade(&self, seq: u64) -> Option<&Trade> {
        self.trades.get(usize::try_from(seq.checked_sub(self.first_seq)?).ok()?)
    }

    /// Looks at the top of the book after a block. Whether it changed.
    pub(crate) fn look(&mut self, time: i64) -> bool {
        if !std::mem::take(&mut self.touched) {
            return false;
        }
        self.unsnapped = true;
        let bbo = Bbo { time, bid: self.book.best(Side::Buy), ask: self.book.best(Side::Sell) };
        if self.bbos.back().is_some_and(|last| (last.bid, last.ask) == (bbo.bid, bbo.ask)) {
            return false;
        }
        self.bbos.push_back(bbo);
        true
    }

    /// Retains the book as of this block: every book ever sent is one of these.
    pub(crate) fn snapshot(&mut self, time: i64) {
        let packed = match self.books.back() {
            Some((_, last)) if !self.unsnapped => Arc::clone(last),
            _ => Arc::new(Packed::of(&self.book)),
        };
        self.unsnapped = false;
        self.books.push_back((time, packed));
    }

    /// Mid and context as of this block, retained where they changed.
    pub(crate) fn observe(&mut self, time: i64) {
        let (bid, ask) = (self.book.best(Side::Buy), self.book.best(Side::Sell));
        let mid = bid.zip(ask).map(|(b, a)| b.px + a.px);
        if let Some(half) = mid.filter(|m| self.mids.back().is_none_or(|last| last.1 != *m)) {
            self.mids.push_back((time, half));
        }
        let fair = self.fair * 10 / 1_024;
        let step = (fair - self.oracle) / 4;
        self.oracle += if step == 0 { (fair - self.oracle).signum() } else { step };
        let mid10 = mid.map_or(self.oracle, |m| m * 5);
        let premium = (mid10 - self.oracle) * 10_000_000_000 / self.oracle;
        if let Some(funding) = &mut self.funding {
            funding.observe(premium);
        }
        let (day_v, day_q) = self.bars.day(time);
        let context = Context {
            time,
            mark: (mid10 + self.oracle) / 2,
            mid,
            oracle: self.oracle,
            prev: self.bars.day_ago(time).unwrap_or(self.spec.base),
            funding: self.funding.as_ref().map_or(0, Funding::estimate),
            open_interest: self.open_interest,
            premium,
            day_v,
            day_q,
            impact: self.impact(Side::Buy).zip(self.impact(Side::Sell)).map(|(b, a)| [b, a]),
        };
        let same = |last: &Context| Context { time: last.time, ..context } == *last;
        if !self.contexts.back().is_some_and(same) {
            self.contexts.push_back(context);
        }
    }

    /// The price down to which five typical orders would trade.
    fn impact(&self, side: Side) -> Option<i64> {
        let mut left = self.spec.lot * 5;
        let mut px = None;
        for n in 0..8 {
            let at = self.book.nth_px(side, n)?;
            px = Some(at);
            left -= self.book.at(side, at);
            if left <= 0 {
                break;
            }
        }
        px
    }

    /// The trades as of a time, oldest first.
    pub(crate) fn trades_by(&self, time: i64) -> impl DoubleEndedIterator<Item = &Trade> {
        self.trades.iter().filter(move |t| t.time <= time)
    }

    /// The context of `behind_ms` ago.
    pub(crate) fn context(&self, now: i64, behind_ms: i64) -> Option<&Context> {
        as_of(&self.contexts, now, behind_ms, |c| c.time)
    }

    /// The mid of `behind_ms` ago, half ticks.
    pub(crate) fn mid(&self, now: i64, behind_ms: i64) -> Option<i64> {
        as_of(&self.mids, now, behind_ms, |m| m.0).map(|m| m.1)
    }

    /// Counts what was liquidated; of old days nobody asks any more.
    pub(crate) fn count_liquidated(&mut self, time: i64, notional: i64) {
        *self.liquidated.entry(time.div_euclid(DAY) * DAY).or_default() += notional;
        if self.liquidated.len() > LIQUIDATED_DAYS {
            self.liquidated.pop_first();
        }
    }

    /// Forgets what is older than `before`, but what answers for the present.
    pub(crate) fn forget(&mut self, before: i64) {
        while self.trades.len() > REPLAY && self.trades.front().is_some_and(|t| t.time < before) {
            self.trades.pop_front();
            self.first_seq += 1;
        }
        trim(&mut self.bbos, |b| b.time < before);
        trim(&mut self.books, |b| b.0 < before);
        trim(&mut self.contexts, |c| c.time < before);
        trim(&mut self.mids, |m| m.0 < before);
    }
}

/// The state of `behind_ms` ago; the newest where that is now, whatever its time, since a clock may be set back.
fn as_of<T>(states: &VecDeque<T>, now: i64, behind_ms: i64, time: impl Fn(&T) -> i64) -> Option<&T> {
    if behind_ms == 0 {
        return states.back();
    }
    states.iter().rev().find(|s| time(s) <= now - behind_ms).or_else(|| states.front())
}

/// Drops old states; the newest one stays, and so does the one that was in force at the border.
fn trim<T>(states: &mut VecDeque<T>, old: impl Fn(&T) -> bool) {
    while states.get(1).is_some_and(&old) {
        states.pop_front();
    }
}
