//! Rows: how each kind is written to its table and read back.

use std::collections::BTreeMap;

use hl_core::ledger::Span;
use hl_core::record::{Bbo, Book, Candle, Context, Funding, HexBytes, Level, Mid, Side, Trade};
use hl_core::store::StoreError;
use hl_core::stream::BookVariant;
use hl_core::{Coin, Decimal, Epoch, Interval, Origin, Records, StreamKey, TimeMs};
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, Params, Row, Statement, ToSql, params};

use super::error::Step as _;

/// What became of some rows.
#[derive(Clone, Copy, Default)]
pub(super) struct Written {
    /// New keys, and improved versions of bars.
    pub(super) inserted: u64,
    /// Keys that were there.
    pub(super) existing: u64,
    /// Not of this stream, or outside what the claim may write.
    pub(super) refused: u64,
}

/// Under which claim rows are written.
#[derive(Clone, Copy)]
pub(super) struct Stamp {
    pub(super) origin: Origin,
    pub(super) epoch: Epoch,
    /// Whether bars are final at once.
    pub(super) is_final: bool,
}

/// Writes those of the records that belong to the stream and whose time satisfies `admit`; an existing key is left
/// alone. Calls `inserted` with the time of each row that was new, or improved.
pub(super) fn insert(
    conn: &Connection,
    stream: StreamKey,
    records: &Records,
    stamp: Stamp,
    admit: impl Fn(TimeMs) -> bool,
    inserted: impl FnMut(TimeMs),
) -> Result<Written, StoreError> {
    let written = match records {
        Records::Trades(rows) => insert_each(conn, stream, rows, stamp, admit, inserted),
        Records::Books(rows) => insert_each(conn, stream, rows, stamp, admit, inserted),
        Records::Bbos(rows) => insert_each(conn, stream, rows, stamp, admit, inserted),
        Records::Candles(rows) => insert_each(conn, stream, rows, stamp, admit, inserted),
        Records::Mids(rows) => insert_each(conn, stream, rows, stamp, admit, inserted),
        Records::Contexts(rows) => insert_each(conn, stream, rows, stamp, admit, inserted),
        Records::Funding(rows) => insert_each(conn, stream, rows, stamp, admit, inserted),
    };
    written.step("writing rows")
}

fn insert_each<T: Stored>(
    conn: &Connection,
    stream: StreamKey,
    rows: &[T],
    stamp: Stamp,
    admit: impl Fn(TimeMs) -> bool,
    mut inserted: impl FnMut(TimeMs),
) -> rusqlite::Result<Written> {
    let mut statement = conn.prepare_cached(T::INSERT)?;
    let mut written = Written::default();
    for row in rows {
        if !row.belongs_to(stream) || !admit(row.time()) {
            written.refused += 1;
        } else if row.put(&mut statement, stamp)? == 0 {
            written.existing += 1;
        } else {
            written.inserted += 1;
            inserted(row.time());
        }
    }
    Ok(written)
}

/// How many bars are stored from `span.from` to before `span.to`.
pub(super) fn count_bars(
    conn: &Connection,
    coin: Coin,
    interval: Interval,
    span: Span,
) -> Result<u64, StoreError> {
    let sql = "SELECT count(*) FROM candles WHERE coin = ?1 AND interval = ?2 AND time >= ?3 AND time < ?4";
    conn.prepare_cached(sql)
        .and_then(|mut s| {
            s.query_row(params![coin.as_str(), interval.as_str(), span.from.0, span.to.0], |r| {
                r.get::<_, i64>(0).map(i64::cast_unsigned)
            })
        })
        .step("counting bars")
}

/// Open time and trades of the final bars from `span.from` to before `span.to`.
pub(super) fn final_bars(
    conn: &Connection,
    coin: Coin,
    interval: Interval,
    span: Span,
) -> Result<BTreeMap<TimeMs, u64>, StoreError> {
    const STEP: &str = "reading final bars";
    let sql = "SELECT time, trades FROM candles
               WHERE coin = ?1 AND interval = ?2 AND time >= ?3 AND time < ?4 AND final = 1";
    let mut statement = conn.prepare_cached(sql).step(STEP)?;
    let bars = statement
        .query_map(params![coin.as_str(), interval.as_str(), span.from.0, span.to.0], |r| {
            Ok((TimeMs(r.get(0)?), r.get::<_, i64>(1)?.cast_unsigned()))
        })
        .step(STEP)?;
    bars.collect::<Result<_, _>>().step(STEP)
}

/// Whether the bars from `span.from` to before `span.to` can change no more.
pub(super) fn set_final(
    conn: &Connection,
    coin: Coin,
    interval: Interval,
    span: Span,
    is_final: bool,
) -> Result<(), StoreError> {
    let sql = "UPDATE candles SET final = ?5
               WHERE coin = ?1 AND interval = ?2 AND time >= ?3 AND time < ?4 AND final <> ?5";
    conn.prepare_cached(sql)
        .and_then(|mut s| {
            s.execute(params![coin.as_str(), interval.as_str(), span.from.0, span.to.0, is_final])
        })
        .step("making bars final")?;
    Ok(())
}

/// The rows of a stream whose time lies in the closed `span`, in key order; of bars the final ones.
pub(super) fn read(conn: &Connection, stream: StreamKey, span: Span) -> Result<Records, StoreError> {
    let Span { from: TimeMs(from), to: TimeMs(to) } = span;
    let records = match stream {
        StreamKey::Trades(coin) => fetch(conn, params![coin.as_str(), from, to]).map(Records::Trades),
        StreamKey::Book(coin, variant) => {
            fetch(conn, params![coin.as_str(), from, to, variant.as_str()]).map(Records::Books)
        }
        StreamKey::Bbo(coin) => fetch(conn, params![coin.as_str(), from, to]).map(Records::Bbos),
        StreamKey::Candle(coin, interval) => {
            fetch(conn, params![coin.as_str(), from, to, interval.as_str()]).map(Records::Candles)
        }
        StreamKey::Mids => fetch(conn, params![from, to]).map(Records::Mids),
        StreamKey::Context(coin) => fetch(conn, params![coin.as_str(), from, to]).map(Records::Contexts),
        StreamKey::Funding(coin) => fetch(conn, params![coin.as_str(), from, to]).map(Records::Funding),
    };
    records.step("reading rows")
}

fn fetch<T: Stored>(conn: &Connection, params: impl Params) -> rusqlite::Result<Vec<T>> {
    conn.prepare_cached(T::SELECT)?.query_map(params, T::get)?.collect()
}

/// Where the rows of a stream are, for checks that work on any kind.
pub(super) struct Place {
    /// The table.
    pub(super) table: &'static str,
    /// The condition that selects the stream, with the two texts of `key` bound to `?1` and `?2`.
    pub(super) filter: &'static str,
    /// What makes a row of the stream the same row.
    pub(super) unique: &'static str,
    /// The texts to bind.
    pub(super) key: [Option<&'static str>; 2],
}

impl Place {
    pub(super) fn of(stream: StreamKey) -> Self {
        const COIN: &str = "coin = ?1 AND ?2 IS NULL";
        let place = |table, unique, coin: Coin| Self {
            table,
            filter: COIN,
            unique,
            key: [Some(coin.as_str()), None],
        };
        match stream {
            StreamKey::Trades(coin) => place("trades", "time, tid", coin),
            StreamKey::Bbo(coin) => place("bbo", "time", coin),
            StreamKey::Context(coin) => place("contexts", "time", coin),
            StreamKey::Funding(coin) => place("funding", "time", coin),
            StreamKey::Book(coin, variant) => Self {
                filter: "coin = ?1 AND variant = ?2",
                key: [Some(coin.as_str()), Some(variant.as_str())],
                ..place("books", "time", coin)
            },
            StreamKey::Candle(coin, interval) => Self {
                filter: "coin = ?1 AND interval = ?2",
                key: [Some(coin.as_str()), Some(interval.as_str())],
                ..place("candles", "time", coin)
            },
            StreamKey::Mids => Self {
                table: "mids",
                filter: "?1 IS NULL AND ?2 IS NULL",
                unique: "coin, time",
                key: [None, None],
            },
        }
    }
}

/// A record that has a table.
trait Stored: Sized {
    /// Changes no row where the key exists (for bars: where the version there is at least as good).
    const INSERT: &'static str;
    const SELECT: &'static str;
    fn time(&self) -> TimeMs;
    /// Whether it is a row of the stream that the table can hold.
    fn belongs_to(&self, stream: StreamKey) -> bool;
    /// Returns how many rows changed.
    fn put(&self, insert: &mut Statement<'_>, stamp: Stamp) -> rusqlite::Result<usize>;
    fn get(row: &Row<'_>) -> rusqlite::Result<Self>;
}

impl Stored for Trade {
    const INSERT: &'static str = "
        INSERT INTO trades (coin, time, tid, px, sz, side, hash, buyer, seller, source, epoch)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) ON CONFLICT DO NOTHING";
    const SELECT: &'static str = "
        SELECT coin, time, tid, px, sz, side, hash, buyer, seller FROM trades
        WHERE coin = ?1 AND time BETWEEN ?2 AND ?3 ORDER BY time, tid";

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
}

impl Stored for Book {
    const INSERT: &'static str = "
        INSERT INTO books (coin, variant, time, bids, asks, source, epoch)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING";
    const SELECT: &'static str = "
        SELECT coin, variant, time, bids, asks FROM books
        WHERE coin = ?1 AND variant = ?4 AND time BETWEEN ?2 AND ?3 ORDER BY time";

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
    const INSERT: &'static str = "
        INSERT INTO bbo (coin, time, bid_px, bid_sz, bid_n, ask_px, ask_sz, ask_n, source, epoch)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT DO NOTHING";
    const SELECT: &'static str = "
        SELECT coin, time, bid_px, bid_sz, bid_n, ask_px, ask_sz, ask_n FROM bbo
        WHERE coin = ?1 AND time BETWEEN ?2 AND ?3 ORDER BY time";

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
    /// The version with the most trades wins; of two with the same number the later one, where they differ.
    const INSERT: &'static str = "
        INSERT INTO candles
            (coin, interval, time, open, high, low, close, volume, trades, final, source, epoch)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
        ON CONFLICT DO UPDATE SET
            open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close,
            volume = excluded.volume, trades = excluded.trades, final = excluded.final,
            source = excluded.source, epoch = excluded.epoch
        WHERE final = 0 AND (excluded.trades > trades OR excluded.trades = trades AND
            (open, high, low, close, volume)
            IS NOT (excluded.open, excluded.high, excluded.low, excluded.close, excluded.volume))";
    const SELECT: &'static str = "
        SELECT coin, interval, time, open, high, low, close, volume, trades FROM candles
        WHERE coin = ?1 AND interval = ?4 AND time BETWEEN ?2 AND ?3 AND final = 1 ORDER BY time";

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
}

impl Stored for Mid {
    const INSERT: &'static str = "
        INSERT INTO mids (coin, time, px, source, epoch) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING";
    const SELECT: &'static str = "
        SELECT coin, time, px FROM mids WHERE time BETWEEN ?1 AND ?2 ORDER BY coin, time";

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
    const INSERT: &'static str = "
        INSERT INTO contexts
            (coin, time, mark_px, mid_px, oracle_px, prev_day_px, funding, open_interest, premium, day_ntl_vlm,
             day_base_vlm, impact_bid, impact_ask, source, epoch)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15) ON CONFLICT DO NOTHING";
    const SELECT: &'static str = "
        SELECT coin, time, mark_px, mid_px, oracle_px, prev_day_px, funding, open_interest, premium,
            day_ntl_vlm, day_base_vlm, impact_bid, impact_ask
        FROM contexts WHERE coin = ?1 AND time BETWEEN ?2 AND ?3 ORDER BY time";

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
    const INSERT: &'static str = "
        INSERT INTO funding (coin, time, rate, premium, source, epoch)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING";
    const SELECT: &'static str = "
        SELECT coin, time, rate, premium FROM funding
        WHERE coin = ?1 AND time BETWEEN ?2 AND ?3 ORDER BY time";

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
}

/// An exact decimal as text.
struct Text(Decimal);

impl ToSql for Text {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Owned(Value::Text(self.0.to_string())))
    }
}

impl FromSql for Text {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_str()?.parse().map(Self).map_err(FromSqlError::other)
    }
}

pub(super) fn decimal(row: &Row<'_>, at: usize) -> rusqlite::Result<Decimal> {
    row.get::<_, Text>(at).map(|text| text.0)
}

fn decimal_or_null(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<Decimal>> {
    row.get::<_, Option<Text>>(at).map(|text| text.map(|t| t.0))
}

fn coin(row: &Row<'_>, at: usize) -> rusqlite::Result<Coin> {
    word(row, at, |name| Coin::new(name).ok())
}

/// A piece, from two columns of times.
pub(super) fn span(row: &Row<'_>, at: usize) -> rusqlite::Result<Span> {
    Ok(Span { from: TimeMs(row.get(at)?), to: TimeMs(row.get(at + 1)?) })
}

/// A text column, parsed. Text that this program does not write is an error.
pub(super) fn word<T>(
    row: &Row<'_>,
    at: usize,
    parse: impl FnOnce(&str) -> Option<T>,
) -> rusqlite::Result<T> {
    let value = row.get_ref(at)?;
    let text = value
        .as_str()
        .map_err(|e| rusqlite::Error::FromSqlConversionFailure(at, value.data_type(), Box::new(e)))?;
    parse(text).ok_or_else(|| {
        let unknown = format!("{text:?} is not what this program writes there");
        rusqlite::Error::FromSqlConversionFailure(at, value.data_type(), unknown.into())
    })
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
