//! Market data as the exchange writes it, the same over WebSocket and REST. The flat records are made from these.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_with::{serde_as, skip_serializing_none};

use super::Exact;
use crate::record::{Address, Bbo, Book, Candle, Context, Hash, Level, Side, Trade};
use crate::row::Arrival;
use crate::stream::BookVariant;
use crate::{Coin, Decimal, Interval, TimeMs};

/// A public trade.
#[serde_as]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WsTrade {
    /// The market.
    pub coin: Coin,
    /// The aggressor's side.
    pub side: Side,
    /// Price, USD (or the quote token).
    #[serde_as(as = "Exact")]
    pub px: Decimal,
    /// Size, coins.
    #[serde_as(as = "Exact")]
    pub sz: Decimal,
    /// Block time, ms.
    pub time: TimeMs,
    /// Transaction hash; all zeros on TWAP and system fills.
    pub hash: Hash,
    /// A 50-bit hash of the two order ids.
    pub tid: u64,
    /// The buyer, then the seller, whatever the side says.
    pub users: [Address; 2],
}

impl From<WsTrade> for Trade {
    fn from(wire: WsTrade) -> Self {
        let WsTrade { coin, side, px, sz, time, hash, tid, users: [buyer, seller] } = wire;
        Self { coin, time, tid, px, sz, side, hash, buyer, seller, arrival: Arrival::default() }
    }
}

impl From<Trade> for WsTrade {
    fn from(trade: Trade) -> Self {
        let Trade { coin, time, tid, px, sz, side, hash, buyer, seller, .. } = trade;
        Self { coin, side, px, sz, time, hash, tid, users: [buyer, seller] }
    }
}

/// One price level of a book.
#[serde_as]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WsLevel {
    /// Price, USD.
    #[serde_as(as = "Exact")]
    pub px: Decimal,
    /// Size, coins.
    #[serde_as(as = "Exact")]
    pub sz: Decimal,
    /// Number of orders.
    pub n: u32,
}

impl From<WsLevel> for Level {
    fn from(WsLevel { px, sz, n }: WsLevel) -> Self {
        Self { px, sz, n }
    }
}

impl From<Level> for WsLevel {
    fn from(Level { px, sz, n }: Level) -> Self {
        Self { px, sz, n }
    }
}

/// A full book snapshot.
#[serde_as]
#[skip_serializing_none]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WsBook {
    /// The market.
    pub coin: Coin,
    /// Block time, ms.
    pub time: TimeMs,
    /// Bids, best first, then asks, best first. A delisted market has neither.
    pub levels: [Vec<WsLevel>; 2],
    /// Distance of the best prices, USD; present only where levels are grouped by significant figures.
    #[serde_as(as = "Option<Exact>")]
    pub spread: Option<Decimal>,
    /// `true` where the subscription asked for the fast variant; otherwise absent.
    pub fast: Option<bool>,
}

impl WsBook {
    /// The record, in the variant that the caller asked for.
    #[must_use]
    pub fn into_record(self, variant: BookVariant) -> Book {
        let [bids, asks] = self.levels.map(|side| side.into_iter().map(Level::from).collect());
        Book { coin: self.coin, variant, time: self.time, bids, asks, arrival: Arrival::ALONE }
    }

    /// The variant that the frame itself names.
    #[must_use]
    pub fn variant(&self) -> BookVariant {
        if self.fast == Some(true) { BookVariant::Fast } else { BookVariant::Default }
    }
}

impl From<Book> for WsBook {
    fn from(book: Book) -> Self {
        let levels = [book.bids, book.asks].map(|side| side.iter().copied().map(WsLevel::from).collect());
        let fast = (book.variant == BookVariant::Fast).then_some(true);
        Self { coin: book.coin, time: book.time, levels, spread: None, fast }
    }
}

/// Best bid and offer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WsBbo {
    /// The market.
    pub coin: Coin,
    /// Block time, ms.
    pub time: TimeMs,
    /// The best bid, then the best ask; either may be null.
    pub bbo: [Option<WsLevel>; 2],
}

impl From<WsBbo> for Bbo {
    fn from(WsBbo { coin, time, bbo: [bid, ask] }: WsBbo) -> Self {
        Self { coin, time, bid: bid.map(Into::into), ask: ask.map(Into::into), arrival: Arrival::ALONE }
    }
}

impl From<Bbo> for WsBbo {
    fn from(Bbo { coin, time, bid, ask, .. }: Bbo) -> Self {
        Self { coin, time, bbo: [bid.map(Into::into), ask.map(Into::into)] }
    }
}

/// One version of a bar.
#[serde_as]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WsCandle {
    /// Open time of the bar, ms.
    #[serde(rename = "t")]
    pub open_time: TimeMs,
    /// Last millisecond of the bar.
    #[serde(rename = "T")]
    pub close_time: TimeMs,
    /// The market.
    #[serde(rename = "s")]
    pub coin: Coin,
    /// The interval.
    #[serde(rename = "i")]
    pub interval: Interval,
    /// Open price, USD.
    #[serde(rename = "o")]
    #[serde_as(as = "Exact")]
    pub open: Decimal,
    /// Last price, USD.
    #[serde(rename = "c")]
    #[serde_as(as = "Exact")]
    pub close: Decimal,
    /// Highest price, USD.
    #[serde(rename = "h")]
    #[serde_as(as = "Exact")]
    pub high: Decimal,
    /// Lowest price, USD.
    #[serde(rename = "l")]
    #[serde_as(as = "Exact")]
    pub low: Decimal,
    /// Volume, coins.
    #[serde(rename = "v")]
    #[serde_as(as = "Exact")]
    pub volume: Decimal,
    /// Number of trades.
    #[serde(rename = "n")]
    pub trades: u64,
}

impl From<WsCandle> for Candle {
    fn from(w: WsCandle) -> Self {
        let WsCandle { coin, interval, open, high, low, close, volume, trades, open_time: time, .. } = w;
        Self { coin, interval, time, open, high, low, close, volume, trades, arrival: Arrival::ALONE }
    }
}

impl From<Candle> for WsCandle {
    /// The close time is the last millisecond of the bar; months are taken as 30 days.
    fn from(c: Candle) -> Self {
        let Candle { coin, interval, time, open, high, low, close, volume, trades, .. } = c;
        let close_time = time + (interval.ms() - 1);
        Self { open_time: time, close_time, coin, interval, open, close, high, low, volume, trades }
    }
}

/// Mid prices by coin.
#[serde_as]
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Mids(#[serde_as(as = "BTreeMap<_, Exact>")] pub BTreeMap<Coin, Decimal>);

/// The asset context of a perpetual. It bears neither its coin nor a time.
#[serde_as]
#[skip_serializing_none]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PerpCtx {
    /// Running estimate of the hourly funding rate, a fraction.
    #[serde_as(as = "Exact")]
    pub funding: Decimal,
    /// Open interest, coins.
    #[serde_as(as = "Exact")]
    pub open_interest: Decimal,
    /// The price 24 hours ago (rolling), USD.
    #[serde_as(as = "Exact")]
    pub prev_day_px: Decimal,
    /// Volume of 24 hours, USD.
    #[serde_as(as = "Exact")]
    pub day_ntl_vlm: Decimal,
    /// Premium over the oracle, a fraction; null where the book is empty.
    #[serialize_always]
    #[serde_as(as = "Option<Exact>")]
    pub premium: Option<Decimal>,
    /// Oracle price, USD.
    #[serde_as(as = "Exact")]
    pub oracle_px: Decimal,
    /// Mark price, USD.
    #[serde_as(as = "Exact")]
    pub mark_px: Decimal,
    /// Mid price, USD; null where the book is empty.
    #[serialize_always]
    #[serde_as(as = "Option<Exact>")]
    pub mid_px: Option<Decimal>,
    /// Impact bid, then impact ask, USD; null where the book is empty.
    #[serialize_always]
    #[serde_as(as = "Option<[Exact; 2]>")]
    pub impact_pxs: Option<[Decimal; 2]>,
    /// Volume of 24 hours, coins; absent only in old recordings.
    #[serde_as(as = "Option<Exact>")]
    pub day_base_vlm: Option<Decimal>,
}

impl PerpCtx {
    /// The record of `coin` at `time`; none where the context is an old one without a base volume.
    #[must_use]
    pub fn into_record(self, coin: Coin, time: TimeMs) -> Option<Context> {
        Some(Context {
            coin,
            time,
            mark_px: self.mark_px,
            mid_px: self.mid_px,
            oracle_px: Some(self.oracle_px),
            prev_day_px: self.prev_day_px,
            funding: Some(self.funding),
            open_interest: Some(self.open_interest),
            premium: self.premium,
            day_ntl_vlm: self.day_ntl_vlm,
            day_base_vlm: self.day_base_vlm?,
            impact_bid: self.impact_pxs.map(|[bid, _]| bid),
            impact_ask: self.impact_pxs.map(|[_, ask]| ask),
            arrival: Arrival::ALONE,
        })
    }
}

/// The asset context of a spot pair or an outcome. It bears no time.
#[serde_as]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SpotCtx {
    /// The price 24 hours ago (rolling), USD.
    #[serde_as(as = "Exact")]
    pub prev_day_px: Decimal,
    /// Volume of 24 hours, USD.
    #[serde_as(as = "Exact")]
    pub day_ntl_vlm: Decimal,
    /// Mark price, USD.
    #[serde_as(as = "Exact")]
    pub mark_px: Decimal,
    /// Mid price, USD; null where the book is empty.
    #[serde_as(as = "Option<Exact>")]
    pub mid_px: Option<Decimal>,
    /// Circulating supply of the base token.
    #[serde_as(as = "Exact")]
    pub circulating_supply: Decimal,
    /// The market.
    pub coin: Coin,
    /// Total supply of the base token.
    #[serde_as(as = "Exact")]
    pub total_supply: Decimal,
    /// Volume of 24 hours, coins.
    #[serde_as(as = "Exact")]
    pub day_base_vlm: Decimal,
}

impl SpotCtx {
    /// The record at `time`.
    #[must_use]
    pub fn into_record(self, time: TimeMs) -> Context {
        Context {
            coin: self.coin,
            time,
            mark_px: self.mark_px,
            mid_px: self.mid_px,
            oracle_px: None,
            prev_day_px: self.prev_day_px,
            funding: None,
            open_interest: None,
            premium: None,
            day_ntl_vlm: self.day_ntl_vlm,
            day_base_vlm: self.day_base_vlm,
            impact_bid: None,
            impact_ask: None,
            arrival: Arrival::ALONE,
        }
    }
}
