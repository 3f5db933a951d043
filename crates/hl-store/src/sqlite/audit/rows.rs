//! Rows of a stream as the audit looks at them.

use hl_core::archive::Provenance;
use hl_core::store::StoreError;
use hl_core::{Epoch, Origin, StreamKey, TimeMs};
use rusqlite::Connection;

use crate::sqlite::error::Step as _;
use crate::sqlite::rows::{Place, settled, word};

pub(super) fn duplicate_keys(conn: &Connection, stream: StreamKey) -> Result<(u64, String), StoreError> {
    let Place { table, filter, unique, key } = Place::of(stream);
    let sql = format!(
        "SELECT count(*), min(time) FROM
         (SELECT time FROM {table} WHERE {filter} GROUP BY {} HAVING count(*) > 1)",
        unique.iter().map(|column| column.name).collect::<Vec<_>>().join(", ")
    );
    counted(conn, &sql, key)
}

pub(super) fn crossed_books(conn: &Connection, stream: StreamKey) -> Result<(u64, String), StoreError> {
    let Place { table, filter, key, .. } = Place::of(stream);
    let (bid, ask) = match stream {
        StreamKey::Bbo(_) => ("bid_px", "ask_px"),
        _ => ("bids ->> '$[0][0]'", "asks ->> '$[0][0]'"),
    };
    let sql = format!(
        "SELECT count(*), min(time) FROM {table}
         WHERE {filter} AND CAST({bid} AS REAL) >= CAST({ask} AS REAL)"
    );
    counted(conn, &sql, key)
}

/// Runs a query that gives a number and the first time.
fn counted(
    conn: &Connection,
    sql: &str,
    key: [Option<&'static str>; 2],
) -> Result<(u64, String), StoreError> {
    let (count, first): (i64, Option<i64>) = conn
        .prepare_cached(sql)
        .and_then(|mut s| s.query_row(key, |r| Ok((r.get(0)?, r.get(1)?))))
        .step("checking rows")?;
    Ok((count.cast_unsigned(), first.map(|time| format!("at {time}")).unwrap_or_default()))
}

pub(super) fn each(
    conn: &Connection,
    stream: StreamKey,
    see: &mut (dyn FnMut(&str, TimeMs, Provenance) + Send),
) -> Result<(), StoreError> {
    const STEP: &str = "checking rows against the ledger";
    let Place { table, filter, key, .. } = Place::of(stream);
    // Bars that may still change do not prove anything.
    let settled = settled(stream);
    let (coin, order) = match stream.spec().table.is_by_coin() {
        true => ("coin", "coin, time"),
        false => ("''", "time"),
    };
    let sql = format!(
        "SELECT {coin}, time, source, epoch FROM {table} WHERE {filter} AND {settled} ORDER BY {order}"
    );
    let mut statement = conn.prepare_cached(&sql).step(STEP)?;
    let mut rows = statement.query(key).step(STEP)?;
    while let Some(row) = rows.next().step(STEP)? {
        let coin = row.get_ref(0).step(STEP)?.as_str().map_err(rusqlite::Error::from).step(STEP)?;
        let origin = word(row, 2, Origin::parse).step(STEP)?;
        let epoch = Epoch::from_i64(row.get(3).step(STEP)?);
        see(coin, TimeMs(row.get(1).step(STEP)?), Provenance { origin, epoch });
    }
    Ok(())
}
