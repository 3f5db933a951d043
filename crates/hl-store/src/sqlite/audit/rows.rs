//! Checks of rows against their keys and the ledger.

use hl_core::archive::Provenance;
use hl_core::ledger::Span;
use hl_core::store::StoreError;
use hl_core::{Epoch, Origin, StreamKey, TimeMs};
use rusqlite::Connection;

use crate::checks::{DUPLICATE_KEYS, Rhythm};
use crate::sqlite::error::Step as _;
use crate::sqlite::rows::{Place, settled, word};
use crate::{CoverageRow, Finding, GapRow, LedgerCheck};

pub(super) fn duplicate_keys(conn: &Connection, stream: StreamKey) -> Result<Finding, StoreError> {
    let Place { table, filter, unique, key } = Place::of(stream);
    let sql = format!(
        "SELECT count(*), min(time) FROM
         (SELECT time FROM {table} WHERE {filter} GROUP BY {} HAVING count(*) > 1)",
        unique.iter().map(|column| column.name).collect::<Vec<_>>().join(", ")
    );
    counted(conn, &sql, key, Finding::none(DUPLICATE_KEYS, stream))
}

pub(super) fn crossed_book(conn: &Connection, stream: StreamKey) -> Result<Finding, StoreError> {
    let Place { table, filter, key, .. } = Place::of(stream);
    let (bid, ask) = match stream {
        StreamKey::Bbo(_) => ("bid_px", "ask_px"),
        _ => ("bids ->> '$[0][0]'", "asks ->> '$[0][0]'"),
    };
    let sql = format!(
        "SELECT count(*), min(time) FROM {table}
         WHERE {filter} AND CAST({bid} AS REAL) >= CAST({ask} AS REAL)"
    );
    counted(conn, &sql, key, Finding::none("crossed_book", stream))
}

/// Runs a query that gives a number and the first time.
fn counted(
    conn: &Connection,
    sql: &str,
    key: [Option<&'static str>; 2],
    finding: Finding,
) -> Result<Finding, StoreError> {
    let (count, first): (i64, Option<i64>) = conn
        .prepare_cached(sql)
        .and_then(|mut s| s.query_row(key, |r| Ok((r.get(0)?, r.get(1)?))))
        .step("checking rows")?;
    let example = first.map(|time| format!("at {time}")).unwrap_or_default();
    Ok(finding.with(count.cast_unsigned(), example))
}

/// The ledger of a stream: covered pieces, gaps and edge.
type Ledger<'a> = (&'a [CoverageRow], &'a [GapRow], Option<TimeMs>);

/// Rows below the edge that lie in no covered piece of their claim, rows inside gaps that are not filled, and what is covered
/// against the rhythm of its kind; and covered pieces without a bar.
pub(super) fn against_the_ledger(
    conn: &Connection,
    stream: StreamKey,
    (pieces, gaps, edge): Ledger<'_>,
    mut rhythm: Rhythm<'_>,
) -> Result<([Finding; 3], Vec<Span>), StoreError> {
    const STEP: &str = "checking rows against the ledger";
    let Place { table, filter, key, .. } = Place::of(stream);
    // Bars that may still change are nobody's proof.
    let settled = settled(stream);
    let sql = format!(
        "SELECT coin, time, source, epoch FROM {table} WHERE {filter} AND {settled} ORDER BY coin, time"
    );
    let mut statement = conn.prepare_cached(&sql).step(STEP)?;
    let mut rows = statement.query(key).step(STEP)?;
    let mut check = LedgerCheck::new(stream, pieces, gaps, edge);
    while let Some(row) = rows.next().step(STEP)? {
        let coin = row.get_ref(0).step(STEP)?.as_str().map_err(rusqlite::Error::from).step(STEP)?;
        let origin = word(row, 2, Origin::parse).step(STEP)?;
        let epoch = Epoch::from_i64(row.get(3).step(STEP)?);
        let time = TimeMs(row.get(1).step(STEP)?);
        check.see(coin, time, Provenance { origin, epoch });
        rhythm.see(time);
    }
    let ([outside, in_gap], (silence, empty)) = (check.findings(), rhythm.finish());
    Ok(([outside, in_gap, silence], empty))
}
