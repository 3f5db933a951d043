//! The exchange's JSON, field by field: what a trade, a book, a bar or an account looks like on the wire.
//!
//! Shapes only. Which of them goes to whom is decided in `ws`, `info` and `truth`.

pub(crate) mod account;
pub(crate) mod metadata;

use bytes::Bytes;
use hl_core::record::{Address, Hash};
use hl_core::{Coin, Interval};
use serde::Serialize;

use crate::assumptions::Assumptions;
use crate::market::Exchange;
use crate::market::bars::{self, Bar};
use crate::market::book::{self, Packed};
use crate::market::funding::RATE_DECIMALS;
use crate::market::num::Num;
use crate::market::state::{Bbo, Context, Market, Trade};

#[derive(Serialize)]
struct Envelope<'a, T> {
    channel: &'a str,
    data: T,
}

/// One frame to a client.
pub(crate) fn frame(channel: &str, data: impl Serialize) -> Bytes {
    json(&Envelope { channel, data })
}

/// JSON text. Nothing here can fail to serialise: no maps with odd keys, no foreign implementations.
pub(crate) fn json(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).map_or_else(|_| Bytes::from_static(b"null"), Bytes::from)
}

#[derive(Serialize)]
pub(crate) struct WsTrade {
    coin: Coin,
    side: &'static str,
    px: Num,
    sz: Num,
    time: i64,
    hash: Hash,
    tid: u64,
    users: [Address; 2],
}

pub(crate) fn trade(exchange: &Exchange, market: &Market, t: &Trade) -> WsTrade {
    let mut users = [t.buyer.trader, t.seller.trader];
    if !market.assumptions.buyer_first {
        users.reverse();
    }
    WsTrade {
        coin: market.spec.coin,
        side: t.side.as_str(),
        px: market.px(t.px),
        sz: market.sz(t.sz),
        time: t.time,
        hash: t.hash(),
        tid: market.tid(t),
        users: users.map(|i| exchange.address(i)),
    }
}

#[derive(Serialize)]
pub(crate) struct WsLevel {
    px: Num,
    sz: Num,
    n: u32,
}

fn level(market: &Market, l: &book::Level) -> WsLevel {
    WsLevel { px: market.px(l.px), sz: market.sz(l.sz), n: l.n }
}

#[derive(Serialize)]
pub(crate) struct WsBook {
    coin: Coin,
    time: i64,
    levels: [Vec<WsLevel>; 2],
    #[serde(skip_serializing_if = "Option::is_none")]
    fast: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    spread: Option<Num>,
}

/// How a book was asked for.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct BookOptions {
    pub(crate) n_sig_figs: Option<u8>,
    pub(crate) mantissa: Option<u8>,
    pub(crate) fast: bool,
}

impl BookOptions {
    /// `nSigFigs` is 2 to 5; `mantissa` is 1, 2 or 5 and goes only with `nSigFigs` 5.
    pub(crate) fn are_legal(self) -> bool {
        matches!(
            (self.n_sig_figs, self.mantissa),
            (None | Some(2..=4), None) | (Some(5), None | Some(1 | 2 | 5))
        )
    }

    /// The price step, in ticks: every price has five digits.
    fn step(self) -> Option<i64> {
        let figures = self.n_sig_figs?;
        Some(10_i64.pow(5_u32.saturating_sub(u32::from(figures))) * i64::from(self.mantissa.unwrap_or(1)))
    }
}

/// The levels of a book, as many as are sent.
pub(crate) fn levels(market: &Market, packed: &Packed, options: BookOptions) -> [Vec<book::Level>; 2] {
    let Assumptions { fast_levels, book_levels, .. } = market.assumptions;
    let depth = if options.fast { fast_levels } else { book_levels };
    let [mut bids, mut asks] = packed.levels();
    if let Some(step) = options.step() {
        bids = coarse(bids, |px| px.div_euclid(step) * step);
        asks = coarse(asks, |px| (px + step - 1).div_euclid(step) * step);
    }
    [&mut bids, &mut asks].into_iter().for_each(|side| side.truncate(depth));
    [bids, asks]
}

pub(crate) fn book(market: &Market, time: i64, packed: &Packed, options: BookOptions) -> WsBook {
    let [bids, asks] = levels(market, packed, options);
    let spread = options.n_sig_figs.and_then(|_| Some(market.px(asks.first()?.px - bids.first()?.px)));
    let side = |levels: Vec<book::Level>| levels.iter().map(|l| level(market, l)).collect();
    WsBook {
        coin: market.spec.coin,
        time,
        levels: [side(bids), side(asks)],
        fast: options.fast.then_some(true),
        spread,
    }
}

pub(crate) fn empty_book(coin: Coin, time: i64, options: BookOptions) -> WsBook {
    WsBook { coin, time, levels: [vec![], vec![]], fast: options.fast.then_some(true), spread: None }
}

fn coarse(levels: Vec<book::Level>, round: impl Fn(i64) -> i64) -> Vec<book::Level> {
    let mut out: Vec<book::Level> = Vec::new();
    for l in levels {
        let px = round(l.px);
        match out.last_mut() {
            Some(last) if last.px == px => {
                last.sz += l.sz;
                last.n += l.n;
            }
            _ => out.push(book::Level { px, ..l }),
        }
    }
    out
}

#[derive(Serialize)]
pub(crate) struct WsBbo {
    coin: Coin,
    time: i64,
    bbo: [Option<WsLevel>; 2],
}

pub(crate) fn bbo(market: &Market, b: &Bbo) -> WsBbo {
    let side = |l: &Option<book::Level>| l.as_ref().map(|l| level(market, l));
    WsBbo { coin: market.spec.coin, time: b.time, bbo: [side(&b.bid), side(&b.ask)] }
}

#[derive(Serialize)]
pub(crate) struct WsCandle {
    t: i64,
    #[serde(rename = "T")]
    end: i64,
    s: Coin,
    i: &'static str,
    o: Num,
    c: Num,
    h: Num,
    l: Num,
    v: Num,
    n: u32,
}

pub(crate) fn candle(market: &Market, interval: Interval, b: &Bar) -> WsCandle {
    let Assumptions { candle_count, candle_volume, .. } = market.assumptions;
    WsCandle {
        t: b.t,
        end: bars::next_open(interval, b.t) - 1,
        s: market.spec.coin,
        i: interval.as_str(),
        o: market.px(b.o),
        c: market.px(b.c),
        h: market.px(b.h),
        l: market.px(b.l),
        v: market.sz(if candle_volume { b.v } else { b.v * 2 }),
        n: if candle_count { b.n } else { b.n + 1 },
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PerpCtx {
    funding: Num,
    open_interest: Num,
    prev_day_px: Num,
    day_ntl_vlm: Num,
    premium: Option<Num>,
    oracle_px: Num,
    mark_px: Num,
    mid_px: Option<Num>,
    impact_pxs: Option<[Num; 2]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    day_base_vlm: Option<Num>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SpotCtx {
    prev_day_px: Num,
    day_ntl_vlm: Num,
    mark_px: Num,
    mid_px: Option<Num>,
    circulating_supply: Num,
    coin: Coin,
    total_supply: Num,
    day_base_vlm: Num,
}

/// The context of either kind of market.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Ctx {
    Perp(PerpCtx),
    Spot(SpotCtx),
}

pub(crate) fn context(market: &Market, c: &Context) -> Ctx {
    if market.spec.is_spot() {
        Ctx::Spot(spot_context(market, c))
    } else {
        Ctx::Perp(perp_context(market, c))
    }
}

pub(crate) fn perp_context(market: &Market, c: &Context) -> PerpCtx {
    PerpCtx {
        funding: Num::new(c.funding, RATE_DECIMALS),
        open_interest: market.sz(c.open_interest),
        prev_day_px: market.px(c.prev),
        day_ntl_vlm: market.ntl(c.day_q),
        premium: c.mid.map(|_| Num::new(c.premium, RATE_DECIMALS)),
        oracle_px: market.fine_px(c.oracle),
        mark_px: market.fine_px(c.mark),
        mid_px: c.mid.map(|m| market.half_px(m)),
        impact_pxs: c.impact.map(|p| p.map(|px| market.px(px))),
        day_base_vlm: market.assumptions.shapes.then(|| market.sz(c.day_v)),
    }
}

pub(crate) fn spot_context(market: &Market, c: &Context) -> SpotCtx {
    // Tokens of a pair neither appear nor vanish in the simulation.
    let supply = Num::new(1_000_000_000, 0);
    SpotCtx {
        prev_day_px: market.px(c.prev),
        day_ntl_vlm: market.ntl(c.day_q),
        mark_px: market.fine_px(c.mark),
        mid_px: c.mid.map(|m| market.half_px(m)),
        circulating_supply: supply,
        coin: market.spec.coin,
        total_supply: supply,
        day_base_vlm: market.sz(c.day_v),
    }
}

/// The context of the delisted market: nulls where nothing trades.
pub(crate) fn delisted_context() -> PerpCtx {
    let (zero, last) = (Num::new(0, 1), Num::new(metadata::DELISTED_PX, 5));
    PerpCtx {
        funding: zero,
        open_interest: zero,
        prev_day_px: last,
        day_ntl_vlm: zero,
        premium: None,
        oracle_px: last,
        mark_px: last,
        mid_px: None,
        impact_pxs: None,
        day_base_vlm: Some(zero),
    }
}
