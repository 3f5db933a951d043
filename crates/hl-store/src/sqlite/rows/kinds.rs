//! The tables: of each kind its columns, how a record is bound to them, and how it is read back.

use hl_core::record::{Bbo, Book, Candle, Context, Funding, HexBytes, Level, Mid, Side, Trade};
use hl_core::stream::BookVariant;
use hl_core::{Decimal, Interval, StreamKey, TimeMs};
use rusqlite::{Connection, Row, Statement, params};

use super::{Stamp, Stored, Text, coin, decimal, decimal_or_null, word};

impl Stored for Trade {
    const TABLE: &'static str = "trades";
    const COLUMNS: &'static [&'static str] =
        &["coin", "time", "tid", "px", "sz", "side", "hash", "buyer", "seller", "source", "epoch"];
    const KEY: usize = 3;
    const SPAN: &'static str = "coin = ?1 AND time BETWEEN ?2 AND ?3";
    const ORDER: &'static str = "time, tid";

    fn time(&self) -> TimeMs {
        self.time
    }

    fn belongs_to(&self, stream: StreamKey) -> bool {
        stream == StreamKey::Trades(self.coin) && i64::try_from(self.tid).is_ok()
    }

    fn put(&self, insert: &mut Statement<'_>, stamp: Stamp) -> rusqlite::Result<usize> {
        insert.execute(params![
            self.coin.as_str(),
            self.time.0,
            self.tid.cast_signed(),
            Text(self.px),
            Text(self.sz),
            self.side.as_str(),
            self.hash.to_string(),
            self.buyer.to_string(),
            self.seller.to_string(),
            stamp.origin.as_str(),
            stamp.epoch.to_i64(),
        ])
    }

    fn get(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            coin: coin(row, 0)?,
            time: TimeMs(row.get(1)?),
            tid: row.get::<_, i64>(2)?.cast_unsigned(),
            px: decimal(row, 3)?,
            sz: decimal(row, 4)?,
            side: word(row, 5, |s| [Side::Buy, Side::Sell].into_iter().find(|side| side.as_str() == s))?,
            hash: word(row, 6, HexBytes::parse)?,
            buyer: word(row, 7, HexBytes::parse)?,
            seller: word(row, 8, HexBytes::parse)?,
        })
    }

    fn contradicts_stored(&self, conn: &Connection) -> rusqlite::Result<bool> {
        let key = params![self.coin.as_str(), self.time.0, self.tid.cast_signed()];
        let stored = Self::under(conn, "coin = ?1 AND time = ?2 AND tid = ?3", key)?;
        Ok(stored.is_some_and(|stored| self.contradicts(&stored)))
    }
}

impl Stored for Book {
    const TABLE: &'static str = "books";
    const COLUMNS: &'static [&'static str] = &["coin", "variant", "time", "bids", "asks", "source", "epoch"];
    const KEY: usize = 3;
    const SPAN: &'static str = "coin = ?1 AND variant = ?4 AND time BETWEEN ?2 AND ?3";
    const ORDER: &'static str = "time";

    fn time(&self) -> TimeMs {
        self.time
    }

    fn belongs_to(&self, stream: StreamKey) -> bool {
        stream == StreamKey::Book(self.coin, self.variant)
    }

    fn put(&self, insert: &mut Statement<'_>, stamp: Stamp) -> rusqlite::Result<usize> {
        insert.execute(params![
            self.coin.as_str(),
            self.variant.as_str(),
            self.time.0,
            levels_to_json(&self.bids),
            levels_to_json(&self.asks),
            stamp.origin.as_str(),
            stamp.epoch.to_i64(),
        ])
    }

    fn get(row: &Row<'_>) -> rusqlite::Result<Self> {
        let variants = [BookVariant::Default, BookVariant::Fast];
        Ok(Self {
            coin: coin(row, 0)?,
            variant: word(row, 1, |s| variants.into_iter().find(|v| v.as_str() == s))?,
            time: TimeMs(row.get(2)?),
            bids: word(row, 3, levels_of_json)?,
            asks: word(row, 4, levels_of_json)?,
        })
    }
}

impl Stored for Bbo {
    const TABLE: &'static str = "bbo";
    const COLUMNS: &'static [&'static str] =
        &["coin", "time", "bid_px", "bid_sz", "bid_n", "ask_px", "ask_sz", "ask_n", "source", "epoch"];
    const KEY: usize = 2;
    const SPAN: &'static str = "coin = ?1 AND time BETWEEN ?2 AND ?3";
    const ORDER: &'static str = "time";

    fn time(&self) -> TimeMs {
        self.time
    }

    fn belongs_to(&self, stream: StreamKey) -> bool {
        stream == StreamKey::Bbo(self.coin)
    }

    fn put(&self, insert: &mut Statement<'_>, stamp: Stamp) -> rusqlite::Result<usize> {
        insert.execute(params![
            self.coin.as_str(),
            self.time.0,
            self.bid.map(|l| Text(l.px)),
            self.bid.map(|l| Text(l.sz)),
            self.bid.map(|l| l.n),
            self.ask.map(|l| Text(l.px)),
            self.ask.map(|l| Text(l.sz)),
            self.ask.map(|l| l.n),
            stamp.origin.as_str(),
            stamp.epoch.to_i64(),
        ])
    }

    fn get(row: &Row<'_>) -> rusqlite::Result<Self> {
        let level = |at: usize| -> rusqlite::Result<Option<Level>> {
            let Some(px) = decimal_or_null(row, at)? else { return Ok(None) };
            Ok(Some(Level { px, sz: decimal(row, at + 1)?, n: row.get(at + 2)? }))
        };
        Ok(Self { coin: coin(row, 0)?, time: TimeMs(row.get(1)?), bid: level(2)?, ask: level(5)? })
    }
}

impl Stored for Candle {
    const TABLE: &'static str = "candles";
    const COLUMNS: &'static [&'static str] = &[
        "coin", "interval", "time", "open", "high", "low", "close", "volume", "trades", "final", "source",
        "epoch",
    ];
    const KEY: usize = 3;
    const SPAN: &'static str = "coin = ?1 AND interval = ?4 AND time BETWEEN ?2 AND ?3 AND final = 1";
    const ORDER: &'static str = "time";
    /// The version with the most trades wins; of two with the same number the later one, where they differ.
    const BETTER: &'static str = "
        final = 0 AND (excluded.trades > trades OR excluded.trades = trades AND
            (open, high, low, close, volume)
            IS NOT (excluded.open, excluded.high, excluded.low, excluded.close, excluded.volume))";

    fn time(&self) -> TimeMs {
        self.time
    }

    fn belongs_to(&self, stream: StreamKey) -> bool {
        stream == StreamKey::Candle(self.coin, self.interval) && i64::try_from(self.trades).is_ok()
    }

    fn put(&self, insert: &mut Statement<'_>, stamp: Stamp) -> rusqlite::Result<usize> {
        insert.execute(params![
            self.coin.as_str(),
            self.interval.as_str(),
            self.time.0,
            Text(self.open),
            Text(self.high),
            Text(self.low),
            Text(self.close),
            Text(self.volume),
            self.trades.cast_signed(),
            stamp.is_final,
            stamp.origin.as_str(),
            stamp.epoch.to_i64(),
        ])
    }

    fn get(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            coin: coin(row, 0)?,
            interval: word(row, 1, |s| s.parse::<Interval>().ok())?,
            time: TimeMs(row.get(2)?),
            open: decimal(row, 3)?,
            high: decimal(row, 4)?,
            low: decimal(row, 5)?,
            close: decimal(row, 6)?,
            volume: decimal(row, 7)?,
            trades: row.get::<_, i64>(8)?.cast_unsigned(),
        })
    }

    fn contradicts_stored(&self, conn: &Connection) -> rusqlite::Result<bool> {
        // Versions of a bar that is not final compete.
        let key = params![self.coin.as_str(), self.interval.as_str(), self.time.0];
        let last = Self::under(conn, "coin = ?1 AND interval = ?2 AND time = ?3 AND final = 1", key)?;
        Ok(last.is_some_and(|last| self.contradicts(&last)))
    }
}

impl Stored for Mid {
    const TABLE: &'static str = "mids";
    const COLUMNS: &'static [&'static str] = &["coin", "time", "px", "source", "epoch"];
    const KEY: usize = 2;
    const SPAN: &'static str = "time BETWEEN ?1 AND ?2";
    const ORDER: &'static str = "coin, time";

    fn time(&self) -> TimeMs {
        self.time
    }

    fn belongs_to(&self, stream: StreamKey) -> bool {
        stream == StreamKey::Mids
    }

    fn put(&self, insert: &mut Statement<'_>, stamp: Stamp) -> rusqlite::Result<usize> {
        insert.execute(params![
            self.coin.as_str(),
            self.time.0,
            Text(self.px),
            stamp.origin.as_str(),
            stamp.epoch.to_i64(),
        ])
    }

    fn get(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self { coin: coin(row, 0)?, time: TimeMs(row.get(1)?), px: decimal(row, 2)? })
    }
}

impl Stored for Context {
    const TABLE: &'static str = "contexts";
    const COLUMNS: &'static [&'static str] = &[
        "coin",
        "time",
        "mark_px",
        "mid_px",
        "oracle_px",
        "prev_day_px",
        "funding",
        "open_interest",
        "premium",
        "day_ntl_vlm",
        "day_base_vlm",
        "impact_bid",
        "impact_ask",
        "source",
        "epoch",
    ];
    const KEY: usize = 2;
    const SPAN: &'static str = "coin = ?1 AND time BETWEEN ?2 AND ?3";
    const ORDER: &'static str = "time";

    fn time(&self) -> TimeMs {
        self.time
    }

    fn belongs_to(&self, stream: StreamKey) -> bool {
        stream == StreamKey::Context(self.coin)
    }

    fn put(&self, insert: &mut Statement<'_>, stamp: Stamp) -> rusqlite::Result<usize> {
        insert.execute(params![
            self.coin.as_str(),
            self.time.0,
            Text(self.mark_px),
            self.mid_px.map(Text),
            self.oracle_px.map(Text),
            Text(self.prev_day_px),
            self.funding.map(Text),
            self.open_interest.map(Text),
            self.premium.map(Text),
            Text(self.day_ntl_vlm),
            Text(self.day_base_vlm),
            self.impact_bid.map(Text),
            self.impact_ask.map(Text),
            stamp.origin.as_str(),
            stamp.epoch.to_i64(),
        ])
    }

    fn get(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            coin: coin(row, 0)?,
            time: TimeMs(row.get(1)?),
            mark_px: decimal(row, 2)?,
            mid_px: decimal_or_null(row, 3)?,
            oracle_px: decimal_or_null(row, 4)?,
            prev_day_px: decimal(row, 5)?,
            funding: decimal_or_null(row, 6)?,
            open_interest: decimal_or_null(row, 7)?,
            premium: decimal_or_null(row, 8)?,
            day_ntl_vlm: decimal(row, 9)?,
            day_base_vlm: decimal(row, 10)?,
            impact_bid: decimal_or_null(row, 11)?,
            impact_ask: decimal_or_null(row, 12)?,
        })
    }
}

impl Stored for Funding {
    const TABLE: &'static str = "funding";
    const COLUMNS: &'static [&'static str] = &["coin", "time", "rate", "premium", "source", "epoch"];
    const KEY: usize = 2;
    const SPAN: &'static str = "coin = ?1 AND time BETWEEN ?2 AND ?3";
    const ORDER: &'static str = "time";

    fn time(&self) -> TimeMs {
        self.time
    }

    fn belongs_to(&self, stream: StreamKey) -> bool {
        stream == StreamKey::Funding(self.coin)
    }

    fn put(&self, insert: &mut Statement<'_>, stamp: Stamp) -> rusqlite::Result<usize> {
        insert.execute(params![
            self.coin.as_str(),
            self.time.0,
            Text(self.rate),
            Text(self.premium),
            stamp.origin.as_str(),
            stamp.epoch.to_i64(),
        ])
    }

    fn get(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            coin: coin(row, 0)?,
            time: TimeMs(row.get(1)?),
            rate: decimal(row, 2)?,
            premium: decimal(row, 3)?,
        })
    }

    fn contradicts_stored(&self, conn: &Connection) -> rusqlite::Result<bool> {
        let stored = Self::under(conn, "coin = ?1 AND time = ?2", params![self.coin.as_str(), self.time.0])?;
        Ok(stored.is_some_and(|stored| self.contradicts(&stored)))
    }
}

/// `[["66410.0","1.99792",6],…]`: price, size, number of orders.
fn levels_to_json(levels: &[Level]) -> String {
    use std::fmt::Write as _;
    let mut json = String::with_capacity(2 + 32 * levels.len());
    json.push('[');
    for (i, level) in levels.iter().enumerate() {
        let comma = if i == 0 { "" } else { "," };
        // Writing to a String does not fail, and neither text can hold anything to escape.
        let _ = write!(json, "{comma}[\"{}\",\"{}\",{}]", level.px, level.sz, level.n);
    }
    json.push(']');
    json
}

fn levels_of_json(json: &str) -> Option<Box<[Level]>> {
    let levels: Vec<(Decimal, Decimal, u32)> = serde_json::from_str(json).ok()?;
    Some(levels.into_iter().map(|(px, sz, n)| Level { px, sz, n }).collect())
}
