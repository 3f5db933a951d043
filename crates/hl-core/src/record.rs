//! Records: what a stream carries, small and flat. No text is owned by a record; coins are interned, prices and
//! sizes are exact decimals, times are exchange milliseconds.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::archive::RowKey;
use crate::stream::BookVariant;
use crate::{Coin, Decimal, Interval, StreamKey, TimeMs};

/// The side of the aggressor: who crossed the spread.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Side {
    /// Buy, `B` on the wire.
    #[serde(rename = "B")]
    Buy,
    /// Sell, `A` on the wire.
    #[serde(rename = "A")]
    Sell,
}

impl Side {
    /// The letter that the exchange uses: `B` or `A`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Buy => "B",
            Self::Sell => "A",
        }
    }
}

/// `N` bytes that are hexadecimal text with `0x` outside: addresses and hashes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HexBytes<const N: usize>(pub [u8; N]);

/// A user address, 20 bytes.
pub type Address = HexBytes<20>;
/// A transaction hash, 32 bytes. All zeros on TWAP and system fills, so it identifies nothing.
pub type Hash = HexBytes<32>;

impl<const N: usize> HexBytes<N> {
    /// Parses `0x…` of exactly `2 N` digits, either case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("0x")?.as_bytes();
        if digits.len() != 2 * N {
            return None;
        }
        let nibble = |b: u8| (b as char).to_digit(16).and_then(|d| u8::try_from(d).ok());
        let mut out = [0; N];
        for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Some(Self(out))
    }
}

impl<const N: usize> fmt::Display for HexBytes<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("0x")?;
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl<const N: usize> fmt::Debug for HexBytes<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<const N: usize> Serialize for HexBytes<N> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, const N: usize> Deserialize<'de> for HexBytes<N> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<const N: usize>;
        impl<const N: usize> serde::de::Visitor<'_> for Visitor<N> {
            type Value = HexBytes<N>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "0x and {} hexadecimal digits", 2 * N)
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<HexBytes<N>, E> {
                HexBytes::parse(text).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

/// A public trade. Key: coin, time, tid.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Trade {
    /// The market.
    pub coin: Coin,
    /// Block time, ms.
    pub time: TimeMs,
    /// A 50-bit hash of the two order ids: neither ordered nor unique by itself.
    pub tid: u64,
    /// Price, USD (or the quote token).
    pub px: Decimal,
    /// Size, coins.
    pub sz: Decimal,
    /// The aggressor's side.
    pub side: Side,
    /// Transaction hash; all zeros on TWAP and system fills.
    pub hash: Hash,
    /// The buyer, whatever the side says.
    pub buyer: Address,
    /// The seller.
    pub seller: Address,
}

impl Trade {
    /// What makes a trade the same trade within its coin.
    #[must_use]
    pub fn key(&self) -> (TimeMs, u64) {
        (self.time, self.tid)
    }

    /// Whether it says something else than the trade that is stored under its key.
    #[must_use]
    pub fn contradicts(&self, stored: &Self) -> bool {
        (self.px, self.sz, self.side) != (stored.px, stored.sz, stored.side)
    }
}

/// One price level of a book.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Level {
    /// Price, USD.
    pub px: Decimal,
    /// Size, coins.
    pub sz: Decimal,
    /// Number of orders.
    pub n: u32,
}

/// A full book snapshot: never a delta. Key: coin, variant, time.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Book {
    /// The market.
    pub coin: Coin,
    /// Which of the subscriptions it is.
    pub variant: BookVariant,
    /// Block time, ms.
    pub time: TimeMs,
    /// Best bid first.
    pub bids: Box<[Level]>,
    /// Best ask first.
    pub asks: Box<[Level]>,
}

impl Book {
    /// Whether the best bid is at or above the best ask: never true on the exchange.
    #[must_use]
    pub fn is_crossed(&self) -> bool {
        matches!((self.bids.first(), self.asks.first()), (Some(bid), Some(ask)) if bid.px >= ask.px)
    }
}

/// Best bid and offer. Either side may be absent. Key: coin, time.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Bbo {
    /// The market.
    pub coin: Coin,
    /// Block time, ms.
    pub time: TimeMs,
    /// The best bid.
    pub bid: Option<Level>,
    /// The best ask.
    pub ask: Option<Level>,
}

/// One version of a bar. Key: coin, interval, open time; the version with the most trades wins.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Candle {
    /// The market.
    pub coin: Coin,
    /// The interval.
    pub interval: Interval,
    /// Open time of the bar, ms (`t` on the wire).
    pub time: TimeMs,
    /// Open price, USD.
    pub open: Decimal,
    /// Highest price, USD.
    pub high: Decimal,
    /// Lowest price, USD.
    pub low: Decimal,
    /// Last price, USD.
    pub close: Decimal,
    /// Volume, coins (`v`).
    pub volume: Decimal,
    /// Number of trades (`n`), never decreasing within a bar.
    pub trades: u64,
}

impl Candle {
    /// Whether it says something else than the final bar that is stored under its key: more trades, or other values of as
    /// many. A version with fewer trades is an older one.
    #[must_use]
    pub fn contradicts(&self, last: &Self) -> bool {
        let values = |bar: &Self| [bar.open, bar.high, bar.low, bar.close, bar.volume];
        self.trades > last.trades || self.trades == last.trades && values(self) != values(last)
    }
}

/// One coin's mid price, at the time of its change. Key: coin, time.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Mid {
    /// The market.
    pub coin: Coin,
    /// When it changed, ms: stamped on receipt in exchange time, since the frames bear none.
    pub time: TimeMs,
    /// The mid, USD.
    pub px: Decimal,
}

/// The asset context of a coin (the "ticker"). Key: coin, time. Fields that a spot pair lacks, or that a delisted
/// market leaves null, are absent.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Context {
    /// The market.
    pub coin: Coin,
    /// When it was seen, ms: stamped on receipt in exchange time, since the frames bear none.
    pub time: TimeMs,
    /// Mark price, USD.
    pub mark_px: Decimal,
    /// Mid price, USD.
    pub mid_px: Option<Decimal>,
    /// Oracle price, USD.
    pub oracle_px: Option<Decimal>,
    /// The price 24 hours ago (rolling), USD.
    pub prev_day_px: Decimal,
    /// Running estimate of the hourly funding rate, a fraction.
    pub funding: Option<Decimal>,
    /// Open interest, coins.
    pub open_interest: Option<Decimal>,
    /// Premium over the oracle, a fraction.
    pub premium: Option<Decimal>,
    /// Volume of 24 hours, USD.
    pub day_ntl_vlm: Decimal,
    /// Volume of 24 hours, coins.
    pub day_base_vlm: Decimal,
    /// Impact bid price, USD.
    pub impact_bid: Option<Decimal>,
    /// Impact ask price, USD.
    pub impact_ask: Option<Decimal>,
}

impl Context {
    /// Whether two contexts say the same, their stamps aside.
    #[must_use]
    pub fn same_values(&self, other: &Self) -> bool {
        Self { time: other.time, ..*self } == *other
    }
}

/// One settled funding rate. Key: coin, time.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Funding {
    /// The market.
    pub coin: Coin,
    /// Settlement time, ms: the full hour plus jitter (59 ms at the median, minutes at worst).
    pub time: TimeMs,
    /// The rate of the hour, a fraction.
    pub rate: Decimal,
    /// The premium, a fraction.
    pub premium: Decimal,
}

impl Funding {
    /// Whether it says something else than the settlement that is stored under its key.
    #[must_use]
    pub fn contradicts(&self, stored: &Self) -> bool {
        (self.rate, self.premium) != (stored.rate, stored.premium)
    }
}

/// Records of one stream, oldest first.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "each variant is its kind")]
pub enum Records {
    Trades(Vec<Trade>),
    Books(Vec<Book>),
    Bbos(Vec<Bbo>),
    Candles(Vec<Candle>),
    Mids(Vec<Mid>),
    Contexts(Vec<Context>),
    Funding(Vec<Funding>),
}

impl Records {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Trades(r) => r.len(),
            Self::Books(r) => r.len(),
            Self::Bbos(r) => r.len(),
            Self::Candles(r) => r.len(),
            Self::Mids(r) => r.len(),
            Self::Contexts(r) => r.len(),
            Self::Funding(r) => r.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How much memory they take, bytes: what queues are bounded by, where the other side decides on the length.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Trades(r) => size_of_val(r.as_slice()),
            Self::Books(r) => {
                let levels = r.iter().map(|book| book.bids.len() + book.asks.len()).sum::<usize>();
                size_of_val(r.as_slice()) + levels * size_of::<Level>()
            }
            Self::Bbos(r) => size_of_val(r.as_slice()),
            Self::Candles(r) => size_of_val(r.as_slice()),
            Self::Mids(r) => size_of_val(r.as_slice()),
            Self::Contexts(r) => size_of_val(r.as_slice()),
            Self::Funding(r) => size_of_val(r.as_slice()),
        }
    }

    /// The times of the first and the last, in order of arrival.
    #[must_use]
    pub fn ends(&self) -> Option<(TimeMs, TimeMs)> {
        self.over_times(|times| {
            let first = times.next()?;
            Some((first, times.next_back().unwrap_or(first)))
        })
    }

    /// The earliest and the latest time, whatever the order of arrival.
    #[must_use]
    pub fn extent(&self) -> Option<(TimeMs, TimeMs)> {
        self.over_times(|times| {
            let first = times.next()?;
            Some(times.fold((first, first), |(from, to), time| (from.min(time), to.max(time))))
        })
    }

    /// Walks along the times, in order of arrival.
    fn over_times<R>(&self, walk: impl FnOnce(&mut dyn DoubleEndedIterator<Item = TimeMs>) -> R) -> R {
        match self {
            Self::Trades(r) => walk(&mut r.iter().map(|x| x.time)),
            Self::Books(r) => walk(&mut r.iter().map(|x| x.time)),
            Self::Bbos(r) => walk(&mut r.iter().map(|x| x.time)),
            Self::Candles(r) => walk(&mut r.iter().map(|x| x.time)),
            Self::Mids(r) => walk(&mut r.iter().map(|x| x.time)),
            Self::Contexts(r) => walk(&mut r.iter().map(|x| x.time)),
            Self::Funding(r) => walk(&mut r.iter().map(|x| x.time)),
        }
    }

    /// Hands out each time, in order of arrival.
    pub(crate) fn each_time(&self, see: impl FnMut(TimeMs)) {
        self.over_times(|times| times.for_each(see));
    }

    /// Keeps the records whose time satisfies `keep`.
    pub fn retain_time(&mut self, mut keep: impl FnMut(TimeMs) -> bool) {
        match self {
            Self::Trades(r) => r.retain(|x| keep(x.time)),
            Self::Books(r) => r.retain(|x| keep(x.time)),
            Self::Bbos(r) => r.retain(|x| keep(x.time)),
            Self::Candles(r) => r.retain(|x| keep(x.time)),
            Self::Mids(r) => r.retain(|x| keep(x.time)),
            Self::Contexts(r) => r.retain(|x| keep(x.time)),
            Self::Funding(r) => r.retain(|x| keep(x.time)),
        }
    }

    /// No records of a stream.
    #[must_use]
    pub fn none(stream: StreamKey) -> Self {
        match stream {
            StreamKey::Trades(_) => Self::Trades(Vec::new()),
            StreamKey::Book(..) => Self::Books(Vec::new()),
            StreamKey::Bbo(_) => Self::Bbos(Vec::new()),
            StreamKey::Candle(..) => Self::Candles(Vec::new()),
            StreamKey::Mids => Self::Mids(Vec::new()),
            StreamKey::Context(_) => Self::Contexts(Vec::new()),
            StreamKey::Funding(_) => Self::Funding(Vec::new()),
        }
    }

    /// The key of each, in their order.
    #[must_use]
    pub fn keys(&self) -> Vec<RowKey> {
        let key = |coin, time| RowKey { coin, time, tid: 0 };
        match self {
            Self::Trades(r) => r.iter().map(|x| RowKey { tid: x.tid, ..key(x.coin, x.time) }).collect(),
            Self::Books(r) => r.iter().map(|x| key(x.coin, x.time)).collect(),
            Self::Bbos(r) => r.iter().map(|x| key(x.coin, x.time)).collect(),
            Self::Candles(r) => r.iter().map(|x| key(x.coin, x.time)).collect(),
            Self::Mids(r) => r.iter().map(|x| key(x.coin, x.time)).collect(),
            Self::Contexts(r) => r.iter().map(|x| key(x.coin, x.time)).collect(),
            Self::Funding(r) => r.iter().map(|x| key(x.coin, x.time)).collect(),
        }
    }

    /// The records at these positions, in this order. A position beyond the end is left out.
    #[must_use]
    pub fn pick(&self, positions: &[usize]) -> Self {
        fn pick<T: Clone>(records: &[T], positions: &[usize]) -> Vec<T> {
            positions.iter().filter_map(|&at| records.get(at).cloned()).collect()
        }
        match self {
            Self::Trades(r) => Self::Trades(pick(r, positions)),
            Self::Books(r) => Self::Books(pick(r, positions)),
            Self::Bbos(r) => Self::Bbos(pick(r, positions)),
            Self::Candles(r) => Self::Candles(pick(r, positions)),
            Self::Mids(r) => Self::Mids(pick(r, positions)),
            Self::Contexts(r) => Self::Contexts(pick(r, positions)),
            Self::Funding(r) => Self::Funding(pick(r, positions)),
        }
    }

    /// Whether the record at `at` says the same as the one at `theirs` in `other`.
    #[must_use]
    pub fn same(&self, at: usize, other: &Self, theirs: usize) -> bool {
        fn same<T: PartialEq>(a: &[T], at: usize, b: &[T], theirs: usize) -> bool {
            matches!((a.get(at), b.get(theirs)), (Some(a), Some(b)) if a == b)
        }
        match (self, other) {
            (Self::Trades(a), Self::Trades(b)) => same(a, at, b, theirs),
            (Self::Books(a), Self::Books(b)) => same(a, at, b, theirs),
            (Self::Bbos(a), Self::Bbos(b)) => same(a, at, b, theirs),
            (Self::Candles(a), Self::Candles(b)) => same(a, at, b, theirs),
            (Self::Mids(a), Self::Mids(b)) => same(a, at, b, theirs),
            (Self::Contexts(a), Self::Contexts(b)) => same(a, at, b, theirs),
            (Self::Funding(a), Self::Funding(b)) => same(a, at, b, theirs),
            _ => false,
        }
    }

    /// Appends the records of `other`. Returns them back when they are of another kind.
    pub fn append(&mut self, other: Self) -> Option<Self> {
        match (self, other) {
            (Self::Trades(a), Self::Trades(b)) => a.extend(b),
            (Self::Books(a), Self::Books(b)) => a.extend(b),
            (Self::Bbos(a), Self::Bbos(b)) => a.extend(b),
            (Self::Candles(a), Self::Candles(b)) => a.extend(b),
            (Self::Mids(a), Self::Mids(b)) => a.extend(b),
            (Self::Contexts(a), Self::Contexts(b)) => a.extend(b),
            (Self::Funding(a), Self::Funding(b)) => a.extend(b),
            (_, other) => return Some(other),
        }
        None
    }
}
