//! The JSON of the truth. Deliberately not the collector's own decoding: a mistake there must not hide itself.

use hl_core::record::{self, Address, Hash, Level, MarketStatus, MarketType, Side};
use hl_core::row::Arrival;
use hl_core::stream::BookVariant;
use hl_core::symbol::Word;
use hl_core::{Coin, Decimal, Interval, TimeMs};
use serde::Deserialize;

/// `/sim/status`, as far as it matters here.
#[derive(Deserialize)]
pub(super) struct Status {
    /// The oldest time that is retained, ms.
    pub(super) from: TimeMs,
    /// Its time, ms.
    pub(super) now: TimeMs,
    /// The most request weight in 60 s.
    #[serde(default)]
    pub(super) peak_weight: u64,
    pub(super) counters: Counters,
}

/// What it counts.
#[derive(Deserialize)]
pub(super) struct Counters {
    /// Requests that it refused for their weight.
    pub(super) rate_limited: u64,
}

/// What a trader holds in one market from one moment on.
#[derive(Deserialize)]
pub(super) struct Moved {
    pub(super) coin: Coin,
    pub(super) time: TimeMs,
    pub(super) szi: Decimal,
}

/// A row that was shown otherwise than it was.
#[derive(Deserialize)]
pub(super) struct Falsified {
    pub(super) stream: Option<String>,
    pub(super) time: TimeMs,
    pub(super) shown: TimeMs,
}

#[derive(Deserialize)]
pub(super) struct Trade {
    coin: Coin,
    time: TimeMs,
    tid: u64,
    px: Decimal,
    sz: Decimal,
    side: Side,
    hash: Hash,
    users: [Address; 2],
}

impl From<Trade> for record::Trade {
    fn from(t: Trade) -> Self {
        let [buyer, seller] = t.users;
        Self {
            coin: t.coin,
            time: t.time,
            tid: t.tid,
            px: t.px,
            sz: t.sz,
            side: t.side,
            hash: t.hash,
            buyer,
            seller,
            arrival: Arrival::default(),
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Candle {
    s: Coin,
    i: Interval,
    t: TimeMs,
    o: Decimal,
    h: Decimal,
    l: Decimal,
    c: Decimal,
    v: Decimal,
    n: u64,
}

impl From<Candle> for record::Candle {
    fn from(bar: Candle) -> Self {
        Self {
            coin: bar.s,
            interval: bar.i,
            time: bar.t,
            open: bar.o,
            high: bar.h,
            low: bar.l,
            close: bar.c,
            volume: bar.v,
            trades: bar.n,
            arrival: Arrival::ALONE,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Funding {
    coin: Coin,
    funding_rate: Decimal,
    premium: Decimal,
    time: TimeMs,
}

impl From<Funding> for record::Funding {
    fn from(f: Funding) -> Self {
        Self { coin: f.coin, time: f.time, rate: f.funding_rate, premium: f.premium, arrival: Arrival::ALONE }
    }
}

#[derive(Deserialize)]
pub(super) struct Book {
    coin: Coin,
    time: TimeMs,
    levels: [Box<[Level]>; 2],
}

impl From<Book> for record::Book {
    fn from(book: Book) -> Self {
        let [bids, asks] = book.levels;
        Self {
            coin: book.coin,
            variant: BookVariant::Default,
            time: book.time,
            bids,
            asks,
            arrival: Arrival::ALONE,
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Bbo {
    coin: Coin,
    time: TimeMs,
    bbo: [Option<Level>; 2],
}

impl From<Bbo> for record::Bbo {
    fn from(bbo: Bbo) -> Self {
        let [bid, ask] = bbo.bbo;
        Self { coin: bbo.coin, time: bbo.time, bid, ask, arrival: Arrival::ALONE }
    }
}

#[derive(Deserialize)]
pub(super) struct Mid {
    coin: Coin,
    time: TimeMs,
    px: Decimal,
}

impl From<Mid> for record::Mid {
    fn from(mid: Mid) -> Self {
        Self { coin: mid.coin, time: mid.time, px: mid.px, arrival: Arrival::ALONE }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PredictedFunding {
    coin: Coin,
    time: TimeMs,
    venue: Word,
    rate: Decimal,
    next_time: TimeMs,
    interval_hours: Option<u32>,
}

impl From<PredictedFunding> for record::PredictedFunding {
    fn from(next: PredictedFunding) -> Self {
        Self {
            coin: next.coin,
            time: next.time,
            venue: next.venue,
            rate: next.rate,
            next_time: next.next_time,
            interval_hours: next.interval_hours,
            arrival: Arrival::ALONE,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Market {
    coin: Coin,
    time: TimeMs,
    name: Box<str>,
    market_type: MarketType,
    dex: Option<Box<str>>,
    status: MarketStatus,
    sz_decimals: Option<u32>,
    max_leverage: Option<u32>,
    margin_tiers: Option<Box<str>>,
    margin_mode: Option<Box<str>>,
    quote: Option<Box<str>>,
    settle_fraction: Option<Decimal>,
    description: Option<Box<str>>,
}

impl From<Market> for record::Market {
    fn from(market: Market) -> Self {
        Self {
            coin: market.coin,
            time: market.time,
            name: market.name,
            market_type: market.market_type,
            dex: market.dex,
            status: market.status,
            sz_decimals: market.sz_decimals,
            max_leverage: market.max_leverage,
            margin_tiers: market.margin_tiers,
            margin_mode: market.margin_mode,
            quote: market.quote,
            settle_fraction: market.settle_fraction,
            description: market.description,
            arrival: Arrival::ALONE,
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Context {
    coin: Coin,
    time: TimeMs,
    ctx: Ctx,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Ctx {
    mark_px: Decimal,
    mid_px: Option<Decimal>,
    oracle_px: Option<Decimal>,
    prev_day_px: Decimal,
    funding: Option<Decimal>,
    open_interest: Option<Decimal>,
    premium: Option<Decimal>,
    day_ntl_vlm: Decimal,
    day_base_vlm: Decimal,
    impact_pxs: Option<[Decimal; 2]>,
}

impl From<Context> for record::Context {
    fn from(state: Context) -> Self {
        let ctx = state.ctx;
        Self {
            coin: state.coin,
            time: state.time,
            mark_px: ctx.mark_px,
            mid_px: ctx.mid_px,
            oracle_px: ctx.oracle_px,
            prev_day_px: ctx.prev_day_px,
            funding: ctx.funding,
            open_interest: ctx.open_interest,
            premium: ctx.premium,
            day_ntl_vlm: ctx.day_ntl_vlm,
            day_base_vlm: ctx.day_base_vlm,
            impact_bid: ctx.impact_pxs.map(|[bid, _]| bid),
            impact_ask: ctx.impact_pxs.map(|[_, ask]| ask),
            arrival: Arrival::ALONE,
        }
    }
}
