//! Rows with their source and claim: what the archive reads, and removes.

use hl_core::archive::{Day, Provenance, RowKey, StoredRows};
use hl_core::ledger::Span;
use hl_core::record::{Market, Record};
use hl_core::row::{Value, hex};
use hl_core::store::StoreError;
use hl_core::{Coin, StreamKey, TimeMs, for_kind, for_records};
use rusqlite::Connection;

use super::{Place, Stamp, quoted, settled, table};
use crate::sqlite::error::Step as _;
use crate::sqlite::inspect::coins;

/// The rows of a stream whose time lies in the closed `span`, in key order; of bars the final ones.
pub(in crate::sqlite) fn stored(
    conn: &Connection,
    stream: StreamKey,
    span: Span,
) -> Result<StoredRows, StoreError> {
    Ok(within(conn, stream, span, settled(stream), None, usize::MAX)?.0)
}

/// The first `most` rows of a closed piece with keys after `after`, in key order; of bars the final ones.
pub(in crate::sqlite) fn page_of(
    conn: &Connection,
    stream: StreamKey,
    span: Span,
    after: Option<RowKey>,
    most: usize,
) -> Result<StoredRows, StoreError> {
    Ok(within(conn, stream, span, settled(stream), after, most)?.0)
}

/// The first `most` rows of a stream with keys after `after`, in key order; of bars all, and of each whether it can change
/// no more.
pub(in crate::sqlite) fn every(
    conn: &Connection,
    stream: StreamKey,
    after: Option<RowKey>,
    most: usize,
) -> Result<(StoredRows, Vec<bool>), StoreError> {
    let (rows, finals) = within(conn, stream, Span::EVER, "TRUE", after, most)?;
    Ok((rows, if stream.spec().table.version.is_some() { finals } else { Vec::new() }))
}

/// The last row of each market, by coin, without those that have settled: each of their coins would be one more that this
/// process knows for ever.
pub(in crate::sqlite) fn markets(conn: &Connection) -> Result<Vec<Market>, StoreError> {
    const STEP: &str = "reading the markets";
    let sql = format!(
        "{} time = (SELECT max(later.time) FROM markets AS later WHERE later.coin = markets.coin)
         AND status <> 'settled' ORDER BY coin",
        table::sql::<Market>().select
    );
    let mut statement = conn.prepare_cached(&sql).step(STEP)?;
    let rows = statement.query_map([], |row| Ok(table::get(row)?.0)).step(STEP)?;
    rows.collect::<Result<_, _>>().step(STEP)
}

/// Writes rows as they were read from another store. A key that exists is left alone.
pub(in crate::sqlite) fn put(
    conn: &Connection,
    rows: &StoredRows,
    finals: &[bool],
) -> Result<(), StoreError> {
    let from = &rows.provenance;
    for_records!(&rows.records, rows => put_each(conn, rows, from, finals)).step("writing rows")
}

fn put_each<T: Record>(
    conn: &Connection,
    rows: &[T],
    provenance: &[Provenance],
    finals: &[bool],
) -> rusqlite::Result<()> {
    let mut add = conn.prepare_cached(&table::sql::<T>().add)?;
    for (at, (row, Provenance { origin, epoch })) in rows.iter().zip(provenance).enumerate() {
        let is_final = finals.get(at).copied().unwrap_or_default();
        table::put(row, &mut add, Stamp { origin: *origin, epoch: *epoch, is_final })?;
    }
    Ok(())
}

/// Days before `before` that have settled rows, and how many.
pub(in crate::sqlite) fn days(
    conn: &Connection,
    stream: StreamKey,
    before: TimeMs,
) -> Result<Vec<(Day, u64)>, StoreError> {
    const STEP: &str = "counting rows by day";
    let mut days = std::collections::BTreeMap::new();
    for place in places(conn, stream, None)? {
        let Place { table, filter, key, .. } = place;
        let sql = format!(
            "SELECT min(time), count(*) FROM {table}
             WHERE {filter} AND time >= 0 AND time < {} AND {} GROUP BY time / {}",
            before.0,
            settled(stream),
            hl_core::time::DAY_MS
        );
        let mut statement = conn.prepare_cached(&sql).step(STEP)?;
        let rows = statement
            .query_map(key, |r| Ok((Day::of(TimeMs(r.get(0)?)), r.get::<_, i64>(1)?.cast_unsigned())))
            .step(STEP)?;
        for row in rows {
            let (day, rows) = row.step(STEP)?;
            *days.entry(day).or_default() += rows;
        }
    }
    Ok(days.into_iter().collect())
}

/// Deletes those of the rows that are still stored exactly so. Returns how many were.
pub(in crate::sqlite) fn remove(conn: &Connection, rows: &StoredRows) -> Result<u64, StoreError> {
    let from = &rows.provenance;
    for_records!(&rows.records, rows => remove_each(conn, rows, from)).step("removing archived rows")
}

fn remove_each<T: Record>(conn: &Connection, rows: &[T], provenance: &[Provenance]) -> rusqlite::Result<u64> {
    let mut delete = conn.prepare_cached(&table::sql::<T>().delete)?;
    let mut removed = 0;
    for (row, Provenance { origin, epoch }) in rows.iter().zip(provenance) {
        let stamp = Stamp { origin: *origin, epoch: *epoch, is_final: true };
        removed += u64::from(table::put(row, &mut delete, stamp)? > 0);
    }
    Ok(removed)
}

/// Where the rows of a stream lie together in key order: of a stream whose keys begin with the coin, coin by coin from `first`
/// on.
fn places(conn: &Connection, stream: StreamKey, first: Option<Coin>) -> Result<Vec<Place>, StoreError> {
    if stream.coin().is_some() || !stream.spec().table.is_by_coin() {
        return Ok(vec![Place::of(stream)]);
    }
    let coins = coins(conn, stream)?.into_iter();
    let coins = coins.filter(|coin| first.is_none_or(|first| *coin >= first));
    let mut places: Vec<_> = coins.map(|coin| Place::of_coin(stream, coin)).collect();
    // The order of the text, as everywhere, whatever the collation says.
    places.sort_by_key(|place| place.key[0]);
    Ok(places)
}

fn within(
    conn: &Connection,
    stream: StreamKey,
    span: Span,
    which: &str,
    after: Option<RowKey>,
    most: usize,
) -> Result<(StoredRows, Vec<bool>), StoreError> {
    let (mut all, mut finals) = (StoredRows::none(stream), Vec::new());
    for place in places(conn, stream, after.and_then(|key| key.coin))? {
        let most = most - all.len();
        if most == 0 {
            break;
        }
        let is_in =
            |key: &RowKey| key.coin.is_none_or(|coin| place.key[0].is_none_or(|own| own == coin.as_str()));
        let after = after.filter(is_in);
        let (more, of_these) =
            for_kind!(stream.kind(), T => page::<T>(conn, &place, span, which, after, most))?;
        // Both are of the stream's kind.
        let _ = all.records.append(more.records);
        all.provenance.extend(more.provenance);
        finals.extend(of_these);
    }
    Ok((all, finals))
}

/// A value of a key in SQL.
fn literal(value: Value<'_>) -> String {
    match value {
        Value::Time(TimeMs(number)) | Value::Int(number) => number.to_string(),
        Value::Text(text) => quoted(text),
        Value::Hex(bytes) => quoted(&hex(bytes)),
        _ => "NULL".to_owned(),
    }
}

fn page<T: Record>(
    conn: &Connection,
    place: &Place,
    span: Span,
    which: &str,
    after: Option<RowKey>,
    most: usize,
) -> Result<(StoredRows, Vec<bool>), StoreError> {
    const STEP: &str = "reading rows with their claims";
    let Place { filter, unique, key, .. } = place;
    let names: Vec<_> = unique.iter().map(|column| column.name).collect();
    let beyond = |after: RowKey| {
        let values: Vec<_> = unique.iter().map(|column| literal(after.value(column))).collect();
        format!(" AND ({}) > ({})", names.join(", "), values.join(", "))
    };
    let after = after.map(beyond).unwrap_or_default();
    let sql = format!(
        "{} {filter} AND time BETWEEN {} AND {} AND {which}{after} ORDER BY {} LIMIT {}",
        table::sql::<T>().select,
        span.from.0,
        span.to.0,
        names.join(", "),
        i64::try_from(most).unwrap_or(i64::MAX)
    );
    let mut statement = conn.prepare(&sql).step(STEP)?;
    let mut found = statement.query(*key).step(STEP)?;
    let (mut rows, mut provenance, mut finals) = (Vec::new(), Vec::new(), Vec::new());
    while let Some(row) = found.next().step(STEP)? {
        let (row, is_final, from) = table::get::<T>(row).step(STEP)?;
        rows.push(row);
        provenance.push(from);
        finals.push(is_final);
    }
    Ok((StoredRows { records: T::list(rows), provenance }, finals))
}
