//! Rows: how they are written to their tables and read back.

mod kinds;
mod stored;

pub(super) use stored::{days, every, of_day, put, remove, stored};

use std::collections::BTreeMap;

use hl_core::ledger::Span;
use hl_core::store::StoreError;
use hl_core::{Coin, Decimal, Epoch, Interval, Origin, Records, StreamKey, TimeMs};
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, OptionalExtension as _, Params, Row, Statement, ToSql, params};

use super::error::Step as _;

/// What became of some rows.
#[derive(Clone, Copy, Default)]
pub(in crate::sqlite) struct Written {
    /// New keys, and improved versions of bars.
    pub(in crate::sqlite) inserted: u64,
    /// Keys that were there.
    pub(in crate::sqlite) existing: u64,
    /// Keys that were there with other content, which stays.
    pub(in crate::sqlite) differing: u64,
    /// Not of this stream, or outside what the claim may write.
    pub(in crate::sqlite) refused: u64,
}

/// Under which claim rows are written.
#[derive(Clone, Copy)]
pub(in crate::sqlite) struct Stamp {
    pub(in crate::sqlite) origin: Origin,
    pub(in crate::sqlite) epoch: Epoch,
    /// Whether bars are final at once.
    pub(in crate::sqlite) is_final: bool,
}

/// Writes those of the records that belong to the stream and whose time satisfies `admit`; an existing key is left
/// alone. Calls `inserted` with the time of each row that was new, or improved.
pub(in crate::sqlite) fn insert(
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
    let mut statement = conn.prepare_cached(&T::insert(&T::conflict()))?;
    let mut written = Written::default();
    for row in rows {
        if !row.belongs_to(stream) || !admit(row.time()) {
            written.refused += 1;
        } else if row.put(&mut statement, stamp)? == 0 {
            // Looked at only where the key was there.
            match row.contradicts_stored(conn)? {
                true => written.differing += 1,
                false => written.existing += 1,
            }
        } else {
            written.inserted += 1;
            inserted(row.time());
        }
    }
    Ok(written)
}

/// Writes rows of another system where their key is not there yet. Returns how many are new.
pub(in crate::sqlite) fn import(
    conn: &Connection,
    stream: StreamKey,
    records: &Records,
    epoch: Epoch,
) -> Result<u64, StoreError> {
    fn each<T: Stored>(
        conn: &Connection,
        stream: StreamKey,
        rows: &[T],
        epoch: Epoch,
    ) -> rusqlite::Result<u64> {
        let mut statement = conn.prepare_cached(&T::insert("DO NOTHING"))?;
        let stamp = Stamp { origin: Origin::Import, epoch, is_final: true };
        let mut new = 0;
        for row in rows.iter().filter(|row| row.belongs_to(stream)) {
            new += row.put(&mut statement, stamp)? as u64;
        }
        Ok(new)
    }
    let new = match records {
        Records::Trades(rows) => each(conn, stream, rows, epoch),
        Records::Books(rows) => each(conn, stream, rows, epoch),
        Records::Bbos(rows) => each(conn, stream, rows, epoch),
        Records::Candles(rows) => each(conn, stream, rows, epoch),
        Records::Mids(rows) => each(conn, stream, rows, epoch),
        Records::Contexts(rows) => each(conn, stream, rows, epoch),
        Records::Funding(rows) => each(conn, stream, rows, epoch),
    };
    new.step("writing imported rows")
}

/// How many bars are stored from `span.from` to before `span.to`.
pub(in crate::sqlite) fn count_bars(
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
pub(in crate::sqlite) fn final_bars(
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
pub(in crate::sqlite) fn set_final(
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
pub(in crate::sqlite) fn read(
    conn: &Connection,
    stream: StreamKey,
    span: Span,
) -> Result<Records, StoreError> {
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
    let sql = T::select(&format!("{} ORDER BY {}", T::SPAN, T::ORDER));
    conn.prepare_cached(&sql)?.query_map(params, T::get)?.collect()
}

/// Where the rows of a stream are, for checks that work on any kind.
pub(in crate::sqlite) struct Place {
    /// The table.
    pub(in crate::sqlite) table: &'static str,
    /// The condition that selects the stream, with the two texts of `key` bound to `?1` and `?2`.
    pub(in crate::sqlite) filter: &'static str,
    /// What makes a row of the stream the same row.
    pub(in crate::sqlite) unique: &'static str,
    /// The texts to bind.
    pub(in crate::sqlite) key: [Option<&'static str>; 2],
}

impl Place {
    /// The rows of one coin in the one stream of mids.
    fn mids_of(coin: Coin) -> Self {
        Self {
            filter: "coin = ?1 AND ?2 IS NULL",
            unique: "time",
            key: [Some(coin.as_str()), None],
            ..Self::of(StreamKey::Mids)
        }
    }

    pub(in crate::sqlite) fn of(stream: StreamKey) -> Self {
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
    const TABLE: &'static str;
    /// In the order in which [`Stored::put`] binds them; the last two are `source` and `epoch`.
    const COLUMNS: &'static [&'static str];
    /// So many of the columns are the key.
    const KEY: usize;
    /// The condition that selects a stream and a closed piece of time.
    const SPAN: &'static str;
    /// The order of the rows of a stream.
    const ORDER: &'static str;
    /// When a row is better than the one that has its key: never.
    const BETTER: &'static str = "FALSE";
    fn time(&self) -> TimeMs;
    /// Whether it is a row of the stream that the table can hold.
    fn belongs_to(&self, stream: StreamKey) -> bool;
    /// Runs a statement with every column bound; returns how many rows changed.
    fn put(&self, statement: &mut Statement<'_>, stamp: Stamp) -> rusqlite::Result<usize>;
    fn get(row: &Row<'_>) -> rusqlite::Result<Self>;

    /// Whether the row that is stored under its key says something else. Two states are never compared.
    fn contradicts_stored(&self, _: &Connection) -> rusqlite::Result<bool> {
        Ok(false)
    }

    /// The row under a key.
    fn under(conn: &Connection, condition: &str, key: impl Params) -> rusqlite::Result<Option<Self>> {
        conn.prepare_cached(&Self::select(condition))?.query_row(key, Self::get).optional()
    }

    /// What happens to a row whose key is there: nothing, unless the new one is better, or the old one was imported.
    fn conflict() -> String {
        let set: Vec<_> =
            Self::COLUMNS[Self::KEY..].iter().map(|column| format!("{column} = excluded.{column}")).collect();
        format!("DO UPDATE SET {} WHERE source = 'import' OR {}", set.join(", "), Self::BETTER)
    }

    /// Changes no row where the key exists, but for what `conflict` says.
    fn insert(conflict: &str) -> String {
        let bound: Vec<_> = (1..=Self::COLUMNS.len()).map(|at| format!("?{at}")).collect();
        let (table, columns) = (Self::TABLE, Self::COLUMNS.join(", "));
        format!("INSERT INTO {table} ({columns}) VALUES ({}) ON CONFLICT {conflict}", bound.join(", "))
    }

    /// Deletes a row that is in every column what is bound.
    fn delete() -> String {
        let is = |(at, column): (usize, &&str)| {
            let equals = if at < Self::KEY { "=" } else { "IS" };
            format!("{column} {equals} ?{}", at + 1)
        };
        let same: Vec<_> = Self::COLUMNS.iter().enumerate().map(is).collect();
        format!("DELETE FROM {} WHERE {}", Self::TABLE, same.join(" AND "))
    }

    /// Selects every column.
    fn select(rest: &str) -> String {
        format!("SELECT {} FROM {} WHERE {rest}", Self::COLUMNS.join(", "), Self::TABLE)
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

pub(in crate::sqlite) fn decimal(row: &Row<'_>, at: usize) -> rusqlite::Result<Decimal> {
    row.get::<_, Text>(at).map(|text| text.0)
}

fn decimal_or_null(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<Decimal>> {
    row.get::<_, Option<Text>>(at).map(|text| text.map(|t| t.0))
}

fn coin(row: &Row<'_>, at: usize) -> rusqlite::Result<Coin> {
    word(row, at, |name| Coin::new(name).ok())
}

/// A piece, from two columns of times.
pub(in crate::sqlite) fn span(row: &Row<'_>, at: usize) -> rusqlite::Result<Span> {
    Ok(Span { from: TimeMs(row.get(at)?), to: TimeMs(row.get(at + 1)?) })
}

/// A text column, parsed. Text that this program does not write is an error.
pub(in crate::sqlite) fn word<T>(
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
