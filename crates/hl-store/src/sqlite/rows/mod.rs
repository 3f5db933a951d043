//! Rows: how they are written to their tables and read back.

mod stored;
mod table;

pub(super) use stored::{days, every, markets, page_of, put, remove, stored};
pub(super) use table::{definition, settled};

use std::collections::BTreeMap;

use hl_core::for_records;
use hl_core::ledger::Span;
use hl_core::record::Record;
use hl_core::row::Column;
use hl_core::store::StoreError;
use hl_core::stream::Conflation;
use hl_core::{Coin, Decimal, Epoch, Interval, Origin, Records, StreamKey, TimeMs};
use rusqlite::{Connection, Row, params};

use super::error::Step as _;

/// What became of some rows.
#[derive(Clone, Default)]
pub(in crate::sqlite) struct Written {
    /// New keys, and improved versions of bars.
    pub(in crate::sqlite) inserted: u64,
    /// Keys that were there.
    pub(in crate::sqlite) existing: u64,
    /// Keys that were there with other content, which stays.
    pub(in crate::sqlite) differing: u64,
    /// Not of this stream, or outside what the claim may write.
    pub(in crate::sqlite) refused: u64,
    /// The places of all but those that were inserted.
    pub(in crate::sqlite) left_out: Vec<usize>,
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
    let written = for_records!(records, rows => insert_each(conn, stream, rows, stamp, admit, inserted));
    written.step("writing rows")
}

fn insert_each<T: Record>(
    conn: &Connection,
    stream: StreamKey,
    rows: &[T],
    stamp: Stamp,
    admit: impl Fn(TimeMs) -> bool,
    mut inserted: impl FnMut(TimeMs),
) -> rusqlite::Result<Written> {
    let sql = table::sql::<T>();
    let mut insert = conn.prepare_cached(&sql.insert)?;
    let mut written = Written::default();
    for (at, row) in rows.iter().enumerate() {
        let is_ours = row.belongs_to(stream) && admit(row.time());
        if is_ours && table::put(row, &mut insert, stamp)? > 0 {
            written.inserted += 1;
            inserted(row.time());
            continue;
        }
        written.left_out.push(at);
        if !is_ours {
            written.refused += 1;
        } else if stream.spec().conflation == Conflation::State {
            written.existing += 1;
        } else {
            // Looked at only where the key was there.
            let mut by_key = conn.prepare_cached(&sql.by_key)?;
            let stored = table::stored_under(row, &mut by_key)?;
            match stored.is_some_and(|stored| row.contradicts(&stored)) {
                true => written.differing += 1,
                false => written.existing += 1,
            }
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
    fn each<T: Record>(
        conn: &Connection,
        stream: StreamKey,
        rows: &[T],
        epoch: Epoch,
    ) -> rusqlite::Result<u64> {
        let mut add = conn.prepare_cached(&table::sql::<T>().add)?;
        let stamp = Stamp { origin: Origin::Import, epoch, is_final: true };
        let mut new = 0;
        for row in rows.iter().filter(|row| row.belongs_to(stream)) {
            new += table::put(row, &mut add, stamp)? as u64;
        }
        Ok(new)
    }
    for_records!(records, rows => each(conn, stream, rows, epoch)).step("writing imported rows")
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

/// Where the rows of a stream are, for what works on any kind.
pub(in crate::sqlite) struct Place {
    /// The table.
    pub(in crate::sqlite) table: &'static str,
    /// The condition that selects the rows, with the two texts of `key` bound to `?1` and `?2`.
    pub(in crate::sqlite) filter: String,
    /// What tells the rows apart, in their order.
    pub(in crate::sqlite) unique: Vec<&'static Column>,
    /// The texts to bind.
    pub(in crate::sqlite) key: [Option<&'static str>; 2],
}

impl Place {
    pub(in crate::sqlite) fn of(stream: StreamKey) -> Self {
        let table = stream.spec().table;
        let columns: Vec<_> = table.of_stream().iter().map(|column| column.name).collect();
        let mut fixed = stream.fixed().map(|(_, value)| value);
        let mut filter = match columns[..] {
            [] => "?1 IS NULL AND ?2 IS NULL".to_owned(),
            [first] => format!("{first} = ?1 AND ?2 IS NULL"),
            [first, second, ..] => format!("{first} = ?1 AND {second} = ?2"),
        };
        if let Some((Column { name, .. }, dex)) = stream.within() {
            filter += &match dex.between() {
                Some([from, to]) => format!(" AND {name} >= {} AND {name} < {}", quoted(&from), quoted(&to)),
                None => format!(" AND instr({name}, ':') < 2"),
            };
        }
        Self {
            table: table.name,
            filter,
            unique: table.of_row().iter().collect(),
            key: [fixed.next(), fixed.next()],
        }
    }

    /// Of a stream of many coins the rows of one.
    fn of_coin(stream: StreamKey, coin: Coin) -> Self {
        let Self { table, mut unique, .. } = Self::of(stream);
        unique.retain(|column| column.name != "coin");
        let filter = "coin = ?1 AND ?2 IS NULL".to_owned();
        Self { table, filter, unique, key: [Some(coin.as_str()), None] }
    }
}

/// A text in SQL.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

pub(in crate::sqlite) fn decimal(row: &Row<'_>, at: usize) -> rusqlite::Result<Decimal> {
    row.get::<_, table::Text>(at).map(|text| text.0)
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
