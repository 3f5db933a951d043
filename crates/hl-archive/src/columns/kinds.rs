//! The columns of each kind, in the order of the store's tables.

use std::borrow::Cow;

use hl_core::archive::{Provenance, StoredRows};
use hl_core::record::{Bbo, Book, Candle, Context, Funding, HexBytes, Level, Mid, Side, Trade};
use hl_core::{Decimal, Origin, Records, StreamKey};

use super::{CoinColumn, Column, Taken, Values};
use crate::error::Unreadable;

fn text<T>(name: &'static str, rows: &[T], value: impl Fn(&T) -> Cow<'static, str>) -> Column {
    Column { name, values: Values::Text(rows.iter().map(value).collect()) }
}

fn decimal<T>(name: &'static str, rows: &[T], value: impl Fn(&T) -> Decimal) -> Column {
    Column { name, values: Values::Decimal(rows.iter().map(value).collect()) }
}

fn decimal_or_null<T>(name: &'static str, rows: &[T], value: impl Fn(&T) -> Option<Decimal>) -> Column {
    Column { name, values: Values::DecimalOrNull(rows.iter().map(value).collect()) }
}

fn count<T>(name: &'static str, rows: &[T], value: impl Fn(&T) -> Option<u32>) -> Column {
    Column { name, values: Values::Count(rows.iter().map(value).collect()) }
}

fn int<T>(name: &'static str, rows: &[T], value: impl Fn(&T) -> i64) -> Column {
    Column { name, values: Values::Int(rows.iter().map(value).collect()) }
}

/// The rows as columns.
pub(crate) fn columns(stream: StreamKey, rows: &StoredRows, coin: CoinColumn) -> Vec<Column> {
    let keys = rows.records.keys();
    let mut columns = Vec::new();
    if coin.is_there(stream) {
        columns.push(text("coin", &keys, |key| key.coin.as_str().into()));
    }
    columns.push(Column { name: "time", values: Values::Time(keys.iter().map(|key| key.time).collect()) });
    columns.extend(match &rows.records {
        Records::Trades(r) => vec![
            int("tid", r, |x| x.tid.cast_signed()),
            decimal("px", r, |x| x.px),
            decimal("sz", r, |x| x.sz),
            text("side", r, |x| x.side.as_str().into()),
            text("hash", r, |x| x.hash.to_string().into()),
            text("buyer", r, |x| x.buyer.to_string().into()),
            text("seller", r, |x| x.seller.to_string().into()),
        ],
        Records::Books(r) => vec![
            Column { name: "bids", values: Values::Levels(r.iter().map(|x| x.bids.clone()).collect()) },
            Column { name: "asks", values: Values::Levels(r.iter().map(|x| x.asks.clone()).collect()) },
        ],
        Records::Bbos(r) => vec![
            decimal_or_null("bid_px", r, |x| x.bid.map(|l| l.px)),
            decimal_or_null("bid_sz", r, |x| x.bid.map(|l| l.sz)),
            count("bid_n", r, |x| x.bid.map(|l| l.n)),
            decimal_or_null("ask_px", r, |x| x.ask.map(|l| l.px)),
            decimal_or_null("ask_sz", r, |x| x.ask.map(|l| l.sz)),
            count("ask_n", r, |x| x.ask.map(|l| l.n)),
        ],
        Records::Candles(r) => vec![
            decimal("open", r, |x| x.open),
            decimal("high", r, |x| x.high),
            decimal("low", r, |x| x.low),
            decimal("close", r, |x| x.close),
            decimal("volume", r, |x| x.volume),
            int("trades", r, |x| x.trades.cast_signed()),
        ],
        Records::Mids(r) => vec![decimal("px", r, |x| x.px)],
        Records::Contexts(r) => vec![
            decimal("mark_px", r, |x| x.mark_px),
            decimal_or_null("mid_px", r, |x| x.mid_px),
            decimal_or_null("oracle_px", r, |x| x.oracle_px),
            decimal("prev_day_px", r, |x| x.prev_day_px),
            decimal_or_null("funding", r, |x| x.funding),
            decimal_or_null("open_interest", r, |x| x.open_interest),
            decimal_or_null("premium", r, |x| x.premium),
            decimal("day_ntl_vlm", r, |x| x.day_ntl_vlm),
            decimal("day_base_vlm", r, |x| x.day_base_vlm),
            decimal_or_null("impact_bid", r, |x| x.impact_bid),
            decimal_or_null("impact_ask", r, |x| x.impact_ask),
        ],
        Records::Funding(r) => {
            vec![decimal("rate", r, |x| x.rate), decimal("premium", r, |x| x.premium)]
        }
    });
    columns.push(text("source", &rows.provenance, |from| from.origin.as_str().into()));
    columns.push(int("epoch", &rows.provenance, |from| from.epoch.to_i64()));
    columns
}

/// The inverse of [`columns`]; every column has the same length.
pub(crate) fn rows(
    stream: StreamKey,
    column: impl Fn(&'static str) -> Result<Values, Unreadable>,
) -> Result<StoredRows, Unreadable> {
    let from = Taken(column);
    let time = from.time("time")?;
    let coin = from.coins(stream, time.len())?;
    let origin = from.words("source", Origin::parse)?;
    let provenance: Vec<Provenance> =
        origin.into_iter().zip(from.epochs()?).map(|(origin, epoch)| Provenance { origin, epoch }).collect();
    let each = 0..time.len();
    let records = match stream {
        StreamKey::Trades(_) => {
            let tid = from.int("tid")?;
            let (px, sz) = (from.decimal("px")?, from.decimal("sz")?);
            let side =
                from.words("side", |s| [Side::Buy, Side::Sell].into_iter().find(|x| x.as_str() == s))?;
            let hash = from.words("hash", HexBytes::parse)?;
            let (buyer, seller) =
                (from.words("buyer", HexBytes::parse)?, from.words("seller", HexBytes::parse)?);
            Records::Trades(
                each.map(|i| Trade {
                    coin: coin[i],
                    time: time[i],
                    tid: tid[i].cast_unsigned(),
                    px: px[i],
                    sz: sz[i],
                    side: side[i],
                    hash: hash[i],
                    buyer: buyer[i],
                    seller: seller[i],
                })
                .collect(),
            )
        }
        StreamKey::Book(_, variant) => {
            let (bids, asks) = (from.levels("bids")?, from.levels("asks")?);
            let sides = bids.into_iter().zip(asks).zip(coin.into_iter().zip(time));
            let book = |((bids, asks), (coin, time))| Book { coin, variant, time, bids, asks };
            Records::Books(sides.map(book).collect())
        }
        StreamKey::Bbo(_) => {
            let side = |px, sz, n| -> Result<Vec<Option<Level>>, Unreadable> {
                let (px, sz, n) = (from.decimal_or_null(px)?, from.decimal_or_null(sz)?, from.count(n)?);
                let level = |((px, sz), n)| match (px, sz, n) {
                    (Some(px), Some(sz), Some(n)) => Some(Level { px, sz, n }),
                    _ => None,
                };
                Ok(px.into_iter().zip(sz).zip(n).map(level).collect())
            };
            let (bid, ask) = (side("bid_px", "bid_sz", "bid_n")?, side("ask_px", "ask_sz", "ask_n")?);
            let bbo = |i| Bbo { coin: coin[i], time: time[i], bid: bid[i], ask: ask[i] };
            Records::Bbos(each.map(bbo).collect())
        }
        StreamKey::Candle(_, interval) => {
            let (open, high) = (from.decimal("open")?, from.decimal("high")?);
            let (low, close) = (from.decimal("low")?, from.decimal("close")?);
            let (volume, trades) = (from.decimal("volume")?, from.int("trades")?);
            Records::Candles(
                each.map(|i| Candle {
                    coin: coin[i],
                    interval,
                    time: time[i],
                    open: open[i],
                    high: high[i],
                    low: low[i],
                    close: close[i],
                    volume: volume[i],
                    trades: trades[i].cast_unsigned(),
                })
                .collect(),
            )
        }
        StreamKey::Mids => {
            let px = from.decimal("px")?;
            Records::Mids(each.map(|i| Mid { coin: coin[i], time: time[i], px: px[i] }).collect())
        }
        StreamKey::Context(_) => {
            let (mark_px, prev_day_px) = (from.decimal("mark_px")?, from.decimal("prev_day_px")?);
            let (mid_px, oracle_px) = (from.decimal_or_null("mid_px")?, from.decimal_or_null("oracle_px")?);
            let funding = from.decimal_or_null("funding")?;
            let (interest, premium) =
                (from.decimal_or_null("open_interest")?, from.decimal_or_null("premium")?);
            let (ntl_vlm, base_vlm) = (from.decimal("day_ntl_vlm")?, from.decimal("day_base_vlm")?);
            let (bid, ask) = (from.decimal_or_null("impact_bid")?, from.decimal_or_null("impact_ask")?);
            Records::Contexts(
                each.map(|i| Context {
                    coin: coin[i],
                    time: time[i],
                    mark_px: mark_px[i],
                    mid_px: mid_px[i],
                    oracle_px: oracle_px[i],
                    prev_day_px: prev_day_px[i],
                    funding: funding[i],
                    open_interest: interest[i],
                    premium: premium[i],
                    day_ntl_vlm: ntl_vlm[i],
                    day_base_vlm: base_vlm[i],
                    impact_bid: bid[i],
                    impact_ask: ask[i],
                })
                .collect(),
            )
        }
        StreamKey::Funding(_) => {
            let (rate, premium) = (from.decimal("rate")?, from.decimal("premium")?);
            let settled = |i| Funding { coin: coin[i], time: time[i], rate: rate[i], premium: premium[i] };
            Records::Funding(each.map(settled).collect())
        }
    };
    Ok(StoredRows { records, provenance })
}
