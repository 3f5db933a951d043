//! Rows with their source and claim: what the archive reads, and removes.

use hl_core::archive::{Day, Provenance, RowKey, StoredRows};
use hl_core::ledger::Span;
use hl_core::record::{Bbo, Book, Candle, Context, Funding, Mid, Trade};
use hl_core::store::StoreError;
use hl_core::{Coin, Epoch, Origin, Records, StreamKey, TimeMs};
use rusqlite::{Connection, params};

use super::{Place, Stamp, Stored, word};
use crate::sqlite::error::Step as _;
use crate::sqlite::inspect::coins;

/// The rows of a stream whose time lies in the closed `span`, in key order; of bars the final ones.
pub(in crate::sqlite) fn stored(
    conn: &Connection,
    stream: StreamKey,
    span: Span,
) -> Result<StoredRows, StoreError> {
    within(conn, stream, span, settled(stream), None, usize::MAX)
}

/// The first `most` rows of a day with keys after `after`, in key order; of bars the final ones.
pub(in crate::sqlite) fn of_day(
    conn: &Connection,
    stream: StreamKey,
    day: Day,
    after: Option<RowKey>,
    most: usize,
) -> Result<StoredRows, StoreError> {
    within(conn, stream, day.span(), settled(stream), after, most)
}

/// The first `most` rows of a stream with keys after `after`, in key order; of bars all, and of each whether it can change
/// no more.
pub(in crate::sqlite) fn every(
    conn: &Connection,
    stream: StreamKey,
    after: Option<RowKey>,
    most: usize,
) -> Result<(StoredRows, Vec<bool>), StoreError> {
    const STEP: &str = "reading which bars are final";
    const EVER: Span = Span { from: TimeMs::MIN, to: TimeMs::MAX };
    let rows = within(conn, stream, EVER, "TRUE", after, most)?;
    let StreamKey::Candle(coin, interval) = stream else { return Ok((rows, Vec::new())) };
    let sql =
        "SELECT final FROM candles WHERE coin = ?1 AND interval = ?2 AND time > ?3 ORDER BY time LIMIT ?4";
    let after = after.map_or(i64::MIN, |key| key.time.0);
    let most = i64::try_from(rows.len()).unwrap_or(i64::MAX);
    let mut statement = conn.prepare_cached(sql).step(STEP)?;
    let finals = statement
        .query_map(params![coin.as_str(), interval.as_str(), after, most], |r| r.get(0))
        .and_then(Iterator::collect)
        .step(STEP)?;
    Ok((rows, finals))
}

/// Writes rows as they were read from another store. A key that exists is left alone.
pub(in crate::sqlite) fn put(
    conn: &Connection,
    rows: &StoredRows,
    finals: &[bool],
) -> Result<(), StoreError> {
    let from = &rows.provenance;
    let put = match &rows.records {
        Records::Trades(r) => put_each(conn, r, from, finals),
        Records::Books(r) => put_each(conn, r, from, finals),
        Records::Bbos(r) => put_each(conn, r, from, finals),
        Records::Candles(r) => put_each(conn, r, from, finals),
        Records::Mids(r) => put_each(conn, r, from, finals),
        Records::Contexts(r) => put_each(conn, r, from, finals),
        Records::Funding(r) => put_each(conn, r, from, finals),
    };
    put.step("writing rows")
}

fn put_each<T: Stored>(
    conn: &Connection,
    rows: &[T],
    provenance: &[Provenance],
    finals: &[bool],
) -> rusqlite::Result<()> {
    let mut statement = conn.prepare_cached(&T::insert("DO NOTHING"))?;
    for (at, (row, Provenance { origin, epoch })) in rows.iter().zip(provenance).enumerate() {
        let is_final = finals.get(at).copied().unwrap_or_default();
        row.put(&mut statement, Stamp { origin: *origin, epoch: *epoch, is_final })?;
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
    let origin = &rows.provenance;
    let removed = match &rows.records {
        Records::Trades(r) => remove_each(conn, r, origin),
        Records::Books(r) => remove_each(conn, r, origin),
        Records::Bbos(r) => remove_each(conn, r, origin),
        Records::Candles(r) => remove_each(conn, r, origin),
        Records::Mids(r) => remove_each(conn, r, origin),
        Records::Contexts(r) => remove_each(conn, r, origin),
        Records::Funding(r) => remove_each(conn, r, origin),
    };
    removed.step("removing archived rows")
}

fn remove_each<T: Stored>(conn: &Connection, rows: &[T], provenance: &[Provenance]) -> rusqlite::Result<u64> {
    let mut statement = conn.prepare_cached(&T::delete())?;
    let mut removed = 0;
    for (row, Provenance { origin, epoch }) in rows.iter().zip(provenance) {
        let stamp = Stamp { origin: *origin, epoch: *epoch, is_final: true };
        removed += u64::from(row.put(&mut statement, stamp)? > 0);
    }
    Ok(removed)
}

fn settled(stream: StreamKey) -> &'static str {
    if matches!(stream, StreamKey::Candle(..)) { "final = 1" } else { "TRUE" }
}

/// Where the rows of a stream lie together in key order: of mids, coin by coin from `first` on.
fn places(conn: &Connection, stream: StreamKey, first: Option<Coin>) -> Result<Vec<Place>, StoreError> {
    if stream != StreamKey::Mids {
        return Ok(vec![Place::of(stream)]);
    }
    let coins = coins(conn, "mids")?.into_iter().filter(|coin| first.is_none_or(|first| *coin >= first));
    let mut places: Vec<_> = coins.map(Place::mids_of).collect();
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
) -> Result<StoredRows, StoreError> {
    let mut all = StoredRows::none(stream);
    for place in places(conn, stream, after.map(|key| key.coin))? {
        let most = most - all.len();
        if most == 0 {
            break;
        }
        let after = after.filter(|key| place.key[0].is_none_or(|coin| coin == key.coin.as_str()));
        let (more, provenance) = match stream {
            StreamKey::Trades(_) => page::<Trade>(conn, &place, span, which, after, most)
                .map(|(rows, from)| (Records::Trades(rows), from)),
            StreamKey::Book(..) => page::<Book>(conn, &place, span, which, after, most)
                .map(|(rows, from)| (Records::Books(rows), from)),
            StreamKey::Bbo(_) => page::<Bbo>(conn, &place, span, which, after, most)
                .map(|(rows, from)| (Records::Bbos(rows), from)),
            StreamKey::Candle(..) => page::<Candle>(conn, &place, span, which, after, most)
                .map(|(rows, from)| (Records::Candles(rows), from)),
            StreamKey::Mids => page::<Mid>(conn, &place, span, which, after, most)
                .map(|(rows, from)| (Records::Mids(rows), from)),
            StreamKey::Context(_) => page::<Context>(conn, &place, span, which, after, most)
                .map(|(rows, from)| (Records::Contexts(rows), from)),
            StreamKey::Funding(_) => page::<Funding>(conn, &place, span, which, after, most)
                .map(|(rows, from)| (Records::Funding(rows), from)),
        }?;
        // Both are of the stream's kind.
        let _ = all.records.append(more);
        all.provenance.extend(provenance);
    }
    Ok(all)
}

fn page<T: Stored>(
    conn: &Connection,
    place: &Place,
    span: Span,
    which: &str,
    after: Option<RowKey>,
    most: usize,
) -> Result<(Vec<T>, Vec<Provenance>), StoreError> {
    const STEP: &str = "reading rows with their claims";
    let Place { filter, unique, key, .. } = place;
    let after = match (after, *unique) {
        (None, _) => String::new(),
        (Some(RowKey { time, tid, .. }), "time, tid") => format!(" AND (time, tid) > ({time}, {tid})"),
        (Some(RowKey { time, .. }), _) => format!(" AND time > {time}"),
    };
    let sql = T::select(&format!(
        "{filter} AND time BETWEEN {} AND {} AND {}{after} ORDER BY {unique} LIMIT {}",
        span.from.0,
        span.to.0,
        which,
        i64::try_from(most).unwrap_or(i64::MAX)
    ));
    let provenance = T::COLUMNS.len() - 2;
    let mut statement = conn.prepare(&sql).step(STEP)?;
    let mut found = statement.query(*key).step(STEP)?;
    let (mut rows, mut from) = (Vec::new(), Vec::new());
    while let Some(row) = found.next().step(STEP)? {
        rows.push(T::get(row).step(STEP)?);
        let origin = word(row, provenance, Origin::parse).step(STEP)?;
        let epoch = Epoch::from_i64(row.get(provenance + 1).step(STEP)?);
        from.push(Provenance { origin, epoch });
    }
    Ok((rows, from))
}
