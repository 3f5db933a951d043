//! Reading for people and checks: streams, coverage, gaps, rows, and the audit.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use hl_core::archive::{Part, StoredRows};
use hl_core::ledger::{Cause, GapState, Span};
use hl_core::row::{Column, Table};
use hl_core::runs::Row;
use hl_core::seam::BoxFuture;
use hl_core::store::{Holder, StoreError};
use hl_core::{Coin, Epoch, Origin, Records, StreamKey, TimeMs};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::error::Step as _;
use super::locks::Locks;
use super::place::Kept;
use super::rows::{self, Place, span, word};
use super::session;
use super::{SqliteStore, alerts, archive, audit, file, place, runs, schema};
use crate::{AlertRow, Audit, CoverageRow, GapRow, Inspect, LeaseRow, StreamRow};

/// Reads a SQLite store without writing to it, also while a daemon writes.
///
/// The work is done in place, on the caller's thread: an [`audit`](Inspect::audit) reads every row, so run it where
/// nothing else waits. Each call sees one state of the store. It may be kept: where the database or its log was replaced
/// meanwhile, the next call opens the new one.
pub struct SqliteInspect {
    path: PathBuf,
    file: Arc<Kept>,
    locks: Locks,
}

impl SqliteStore {
    /// Opens a store for reading.
    ///
    /// # Errors
    /// Permanent, with what to do about it: there is no such file, it is no store, or one of another release.
    pub fn inspect(path: impl AsRef<Path>) -> Result<SqliteInspect, StoreError> {
        let path = place::resolve(path.as_ref());
        let file = file::open_for_reading(&path, schema::KIND)?;
        let locks = Locks::of(&path);
        Ok(SqliteInspect { path, file: place::keep(file), locks })
    }

    /// A note of the store at `path`, read in place. None where nothing lies there, or an empty file; no text where the
    /// file has no such note, or cannot be read.
    #[must_use]
    pub fn noted(path: impl AsRef<Path>, name: &str) -> Option<Option<String>> {
        let path = place::resolve(path.as_ref());
        // Some programs leave an empty file where they looked for one.
        std::fs::metadata(&path).ok().filter(|file| file.len() > 0)?;
        let file = file::open_for_reading(&path, schema::KIND);
        Some(file.and_then(|file| session::note(&file, name)).ok().flatten())
    }
}

impl SqliteInspect {
    pub(super) fn read<'a, R: Send + 'a>(
        &'a self,
        work: impl FnOnce(&Connection, &Locks) -> Result<R, StoreError> + Send + 'a,
    ) -> BoxFuture<'a, Result<R, StoreError>> {
        Box::pin(async move {
            let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
            if file.as_ref().is_some_and(|file| file.look().is_err()) {
                // Closed before another is opened: see `place::has_deleted_log_open`.
                *file = None;
            }
            let conn = match &mut *file {
                Some(conn) => conn,
                none => none.insert(file::open_for_reading(&self.path, schema::KIND)?),
            };
            // One transaction, so that everything comes from one state.
            let tx = conn.unchecked_transaction().step("beginning to read")?;
            let answer = work(&tx, &self.locks);
            tx.finish().step("ending to read")?;
            answer
        })
    }
}

impl Inspect for SqliteInspect {
    fn streams(&self) -> BoxFuture<'_, Result<Vec<StreamRow>, StoreError>> {
        self.read(|conn, locks| {
            let living = session::living(conn, locks)?;
            let streams = streams(conn)?;
            streams.into_iter().map(|stream| stream_row(conn, stream, &living)).collect()
        })
    }

    fn leases(&self) -> BoxFuture<'_, Result<Vec<LeaseRow>, StoreError>> {
        self.read(|conn, locks| leases(conn, &session::living(conn, locks)?))
    }

    fn coverage(&self, stream: Option<StreamKey>) -> BoxFuture<'_, Result<Vec<CoverageRow>, StoreError>> {
        self.read(move |conn, _| coverage(conn, stream))
    }

    fn gaps(&self, stream: Option<StreamKey>) -> BoxFuture<'_, Result<Vec<GapRow>, StoreError>> {
        self.read(move |conn, _| gaps(conn, stream))
    }

    fn unfilled(&self) -> BoxFuture<'_, Result<BTreeMap<StreamKey, u64>, StoreError>> {
        self.read(|conn, _| unfilled(conn))
    }

    fn rows(&self, stream: StreamKey, span: Span) -> BoxFuture<'_, Result<Records, StoreError>> {
        self.read(move |conn, _| rows::stored(conn, stream, span).map(|rows| rows.records))
    }

    fn stored_rows(&self, stream: StreamKey, span: Span) -> BoxFuture<'_, Result<StoredRows, StoreError>> {
        self.read(move |conn, _| rows::stored(conn, stream, span))
    }

    fn parts(&self, stream: Option<StreamKey>, within: Span) -> BoxFuture<'_, Result<Vec<Part>, StoreError>> {
        self.read(move |conn, _| archive::parts(conn, stream, within))
    }

    fn audit(&self) -> BoxFuture<'_, Result<Audit, StoreError>> {
        self.read(|conn, _| audit::audit(conn))
    }

    fn job_runs<'a>(
        &'a self,
        job: Option<&'a str>,
        most: u32,
    ) -> BoxFuture<'a, Result<Vec<Row>, StoreError>> {
        self.read(move |conn, _| runs::newest(conn, job, most))
    }

    fn note<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<String>, StoreError>> {
        self.read(move |conn, _| session::note(conn, name))
    }

    fn alerts(&self, all: bool, most: u32) -> BoxFuture<'_, Result<Vec<AlertRow>, StoreError>> {
        self.read(move |conn, locks| {
            let living = session::living(conn, locks)?;
            alerts::newest(conn, all, most, |token| living.iter().any(|holder| holder.token == token))
        })
    }

    fn holders(&self) -> BoxFuture<'_, Result<Vec<Holder>, StoreError>> {
        self.read(session::living)
    }
}

/// Every stream that has a lease, a ledger or rows, by name.
pub(super) fn streams(conn: &Connection) -> Result<Vec<StreamKey>, StoreError> {
    const STEP: &str = "reading the streams";
    let mut found = BTreeSet::new();
    let mut statement = conn
        .prepare(
            "SELECT stream FROM streams UNION SELECT stream FROM coverage UNION SELECT stream FROM gaps
                  UNION SELECT stream FROM archive_parts",
        )
        .step(STEP)?;
    let names = statement.query_map([], |r| word(r, 0, |s| s.parse::<StreamKey>().ok())).step(STEP)?;
    for name in names {
        found.insert(name.step(STEP)?);
    }
    // Rows without a ledger would be an error that the audit has to see.
    for table in Table::all() {
        found.extend(with_rows(conn, table)?);
    }
    let mut streams: Vec<_> = found.into_iter().collect();
    streams.sort_by_cached_key(ToString::to_string);
    Ok(streams)
}

/// The streams that have rows in a table, one at least once.
fn with_rows(conn: &Connection, table: &'static Table) -> Result<Vec<StreamKey>, StoreError> {
    let mut prefixes: Vec<Vec<String>> = vec![Vec::new()];
    for column in table.telling() {
        let mut longer = Vec::new();
        for prefix in prefixes {
            let values = distinct(conn, table, column, &prefix)?;
            longer.extend(values.into_iter().map(|value| [prefix.as_slice(), &[value]].concat()));
        }
        prefixes = longer;
    }
    if table.telling().is_empty() && !has_rows(conn, table)? {
        return Ok(Vec::new());
    }
    let stream = |prefix: &Vec<String>| {
        let values: Vec<&str> = prefix.iter().map(String::as_str).collect();
        table.stream(&values).ok_or_else(|| {
            let unknown = format!("{values:?} is not what this program writes there");
            rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, unknown.into())
        })
    };
    prefixes.iter().map(stream).collect::<Result<_, _>>().step("reading the streams of rows")
}

/// The coins of the rows of a stream of many coins.
pub(super) fn coins(conn: &Connection, stream: StreamKey) -> Result<Vec<Coin>, StoreError> {
    let table = stream.spec().table;
    let Some(column) = table.columns.first() else { return Ok(Vec::new()) };
    let coins = distinct(conn, table, column, &[])?;
    Ok(coins.iter().filter_map(|name| Coin::new(name).ok()).filter(|coin| stream.has(*coin)).collect())
}

/// The values of a text column of a table's key, of the rows that have these values in the columns before it: by one look
/// at the index for each.
fn distinct(
    conn: &Connection,
    table: &Table,
    column: &Column,
    before: &[String],
) -> Result<Vec<String>, StoreError> {
    const STEP: &str = "reading the keys of rows";
    let (Table { name: table, columns, .. }, Column { name: column, .. }) = (table, column);
    let is = |(at, column): (usize, &Column)| format!("{} = ?{} AND ", column.name, at + 1);
    let filter: String = columns.iter().take(before.len()).enumerate().map(is).collect();
    let sql = format!(
        "WITH RECURSIVE found (value) AS (
             SELECT min({column}) FROM {table} WHERE {filter} TRUE
             UNION ALL SELECT (SELECT min({column}) FROM {table} WHERE {filter} {column} > found.value) FROM found
             WHERE found.value IS NOT NULL
         ) SELECT value FROM found WHERE value IS NOT NULL"
    );
    let mut statement = conn.prepare_cached(&sql).step(STEP)?;
    let values = statement.query_map(rusqlite::params_from_iter(before), |r| r.get(0)).step(STEP)?;
    values.collect::<Result<_, _>>().step(STEP)
}

fn has_rows(conn: &Connection, table: &Table) -> Result<bool, StoreError> {
    conn.prepare_cached(&format!("SELECT 1 FROM {} LIMIT 1", table.name))
        .and_then(|mut s| s.exists([]))
        .step("looking for rows")
}

fn leases(conn: &Connection, living: &[Holder]) -> Result<Vec<LeaseRow>, StoreError> {
    const STEP: &str = "reading the leases";
    let mut statement =
        conn.prepare("SELECT stream, edge, ended, token FROM streams ORDER BY stream").step(STEP)?;
    let lease = |r: &rusqlite::Row<'_>| {
        let time = |at| r.get::<_, Option<i64>>(at).map(|time| time.map(TimeMs));
        let token: Option<u32> = r.get(3)?;
        let holder = living.iter().map(|holder| holder.token).find(|of| Some(of.0) == token);
        Ok(LeaseRow { stream: word(r, 0, |s| s.parse().ok())?, edge: time(1)?, ended: time(2)?, holder })
    };
    statement.query_map([], lease).and_then(Iterator::collect).step(STEP)
}

/// Streams that have an edge and have not ended, by name.
pub(super) fn unended(conn: &Connection) -> Result<Vec<StreamKey>, StoreError> {
    const STEP: &str = "reading the streams that go on";
    let mut statement = conn
        .prepare_cached("SELECT stream FROM streams WHERE edge IS NOT NULL AND ended IS NULL ORDER BY stream")
        .step(STEP)?;
    statement.query_map([], |r| word(r, 0, |s| s.parse().ok())).and_then(Iterator::collect).step(STEP)
}

fn stream_row(conn: &Connection, stream: StreamKey, living: &[Holder]) -> Result<StreamRow, StoreError> {
    const STEP: &str = "reading a stream";
    let name = stream.to_string();
    let lease: Option<(Option<i64>, Option<i64>, Option<u32>)> = conn
        .prepare_cached("SELECT edge, ended, token FROM streams WHERE stream = ?1")
        .and_then(|mut s| s.query_row([&name], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?))).optional())
        .step(STEP)?;
    let (edge, ended, token) = lease.unwrap_or_default();
    let first: Option<i64> = conn
        .prepare_cached(
            "SELECT min(t) FROM (SELECT min(from_time) AS t FROM coverage WHERE stream = ?1
                                 UNION ALL SELECT min(from_time) FROM gaps WHERE stream = ?1)",
        )
        .and_then(|mut s| s.query_row([&name], |r| r.get(0)))
        .step(STEP)?;
    let Place { table, filter, key, .. } = Place::of(stream);
    let (rows, oldest, newest): (i64, Option<i64>, Option<i64>) = conn
        .prepare_cached(&format!("SELECT count(*), min(time), max(time) FROM {table} WHERE {filter}"))
        .and_then(|mut s| s.query_row(key, |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?))))
        .step(STEP)?;
    let (archived, newest_archived) = archive::archived(conn, stream)?;
    Ok(StreamRow {
        stream,
        edge: edge.map(TimeMs),
        ended: ended.map(TimeMs),
        first: first.map(TimeMs),
        rows: rows.cast_unsigned() + archived,
        archived,
        oldest: oldest.map(TimeMs),
        newest: newest.max(newest_archived).map(TimeMs),
        holder: living.iter().find(|holder| Some(holder.token.0) == token).cloned(),
    })
}

pub(super) fn coverage(conn: &Connection, stream: Option<StreamKey>) -> Result<Vec<CoverageRow>, StoreError> {
    const STEP: &str = "reading the coverage";
    let mut statement = conn
        .prepare_cached(&format!(
            "SELECT stream, from_time, to_time, source, epoch, rows FROM coverage
             WHERE {} ORDER BY stream, from_time, to_time, epoch",
            one_or_all(stream)
        ))
        .step(STEP)?;
    let rows = statement
        .query_map(params![stream.map(|s| s.to_string())], |r| {
            Ok(CoverageRow {
                stream: word(r, 0, |s| s.parse().ok())?,
                span: span(r, 1)?,
                source: word(r, 3, Origin::parse)?,
                epoch: Epoch::from_i64(r.get(4)?),
                rows: r.get::<_, i64>(5)?.cast_unsigned(),
            })
        })
        .step(STEP)?;
    rows.collect::<Result<_, _>>().step(STEP)
}

pub(super) fn gaps(conn: &Connection, stream: Option<StreamKey>) -> Result<Vec<GapRow>, StoreError> {
    const STEP: &str = "reading gaps";
    let mut statement = conn
        .prepare_cached(&format!(
            "SELECT stream, from_time, to_time, cause, state FROM gaps
             WHERE {} ORDER BY stream, from_time, to_time, id",
            one_or_all(stream)
        ))
        .step(STEP)?;
    let rows = statement
        .query_map(params![stream.map(|s| s.to_string())], |r| {
            Ok(GapRow {
                stream: word(r, 0, |s| s.parse().ok())?,
                span: span(r, 1)?,
                cause: word(r, 3, Cause::parse)?,
                state: word(r, 4, GapState::parse)?,
            })
        })
        .step(STEP)?;
    rows.collect::<Result<_, _>>().step(STEP)
}

fn unfilled(conn: &Connection) -> Result<BTreeMap<StreamKey, u64>, StoreError> {
    const STEP: &str = "counting gaps";
    let mut statement = conn
        .prepare_cached("SELECT stream, count(*) FROM gaps WHERE state <> ?1 AND cause <> ?2 GROUP BY stream")
        .step(STEP)?;
    let counts = statement
        .query_map([GapState::Backfilled.as_str(), Cause::BeforeHistory.as_str()], |r| {
            Ok((word(r, 0, |s| s.parse().ok())?, r.get::<_, i64>(1)?.cast_unsigned()))
        })
        .step(STEP)?;
    counts.collect::<Result<_, _>>().step(STEP)
}

/// The condition for a stream bound to `?1`, or for all where that is null.
fn one_or_all(stream: Option<StreamKey>) -> &'static str {
    if stream.is_some() { "stream = ?1" } else { "?1 IS NULL" }
}
