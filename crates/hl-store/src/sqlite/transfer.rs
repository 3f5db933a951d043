//! Pages for moving house: each section by the key of its table.

use std::sync::Arc;

use hl_core::ledger::{Cause, GapState};
use hl_core::seam::BoxFuture;
use hl_core::statistics::Figure;
use hl_core::store::StoreError;
use hl_core::{Epoch, Origin, TimeMs, Token};
use rusqlite::types::{ToSqlOutput, Value};
use rusqlite::{Connection, Row, ToSql, params, params_from_iter};

use super::error::Step as _;
use super::rows::{self, span, word};
use super::session::{self, Scope};
use super::{SqliteInspect, SqliteStore, alerts, archive, runs};
use crate::CoverageRow;
use crate::transfer::{
    AlertEntry, Cell, GapEntry, Incoming, NOTE, NoteEntry, Outgoing, Page, Section, SeriesEntry, StreamEntry,
    Turn, row_key, stays_behind,
};

const STEP: &str = "reading a page";

impl ToSql for Cell {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Owned(match self {
            Self::Int(number) => Value::Integer(*number),
            Self::Text(text) => Value::Text(text.clone()),
        }))
    }
}

impl Outgoing for SqliteInspect {
    fn last_token(&self) -> BoxFuture<'_, Result<Token, StoreError>> {
        self.read(|conn, _| {
            conn.query_row("SELECT last FROM token_counter", [], |r| r.get(0).map(Token))
                .step("reading the last token")
        })
    }

    fn page<'a>(
        &'a self,
        section: Section,
        after: Option<&'a [Cell]>,
        most: usize,
    ) -> BoxFuture<'a, Result<Page, StoreError>> {
        self.read(move |conn, _| page(conn, section, after, most))
    }
}

fn page(
    conn: &Connection,
    section: Section,
    after: Option<&[Cell]>,
    most: usize,
) -> Result<Page, StoreError> {
    let of = Items { conn, after, most };
    let page = match section {
        Section::Rows(stream) => {
            let (rows, finals) = rows::every(conn, stream, after.and_then(row_key), most)?;
            return Ok(Page::Rows { stream, rows, finals });
        }
        Section::Coverage => of
            .read(
                "coverage",
                "stream, epoch, source, from_time",
                "stream, from_time, to_time, source, epoch, rows",
                covered,
            )
            .map(Page::Coverage),
        Section::Gaps => of
            .read("gaps", "id", "id, stream, from_time, to_time, cause, state, opened_at, closed_at", gap)
            .map(Page::Gaps),
        Section::Parts => of
            .read(
                "archive_parts",
                "stream, day, number",
                "stream, day, path, rows, first_time, last_time, bytes, checksum, epoch, written_at, number",
                |r| Ok((r.get(10)?, archive::part(r)?)),
            )
            .map(Page::Parts),
        Section::Runs => of.read("job_runs", "job, planned", runs::COLUMNS, runs::read).map(Page::Runs),
        Section::Figures => of
            .read("statistics", "series, day, subject, name", "series, day, subject, name, value", |r| {
                let (day, subject, name) = (TimeMs(r.get(1)?), r.get(2)?, r.get(3)?);
                Ok((r.get(0)?, Figure { day, subject, name, value: r.get(4)? }))
            })
            .map(Page::Figures),
        Section::Series => of
            .read("statistics_series", "series", "series, through, read_at", |r| {
                let (through, read_at) = (TimeMs(r.get(1)?), TimeMs(r.get(2)?));
                Ok(SeriesEntry { series: r.get(0)?, through, read_at })
            })
            .map(Page::Series),
        Section::Alerts => of
            .read(
                "alerts",
                "id",
                "token, kind, subject, severity, raised, last_seen, times, resolved, words, id",
                |r| Ok(AlertEntry { id: Cell::Int(r.get(9)?), row: alerts::read(r)? }),
            )
            .map(Page::Alerts),
        Section::Notes => return of.notes().map(Page::Notes),
        Section::Streams => of
            .read("streams", "stream", "stream, edge, token, leased_at, ended", |r| {
                let time = |at| r.get::<_, Option<i64>>(at).map(|time| time.map(TimeMs));
                let token = r.get::<_, Option<u32>>(2)?.map(Token);
                let stream = word(r, 0, |s| s.parse().ok())?;
                Ok(StreamEntry { stream, edge: time(1)?, ended: time(4)?, token, leased_at: time(3)? })
            })
            .map(Page::Streams),
    };
    page.step(STEP)
}

/// What to read of a table.
struct Items<'a> {
    conn: &'a Connection,
    after: Option<&'a [Cell]>,
    most: usize,
}

impl Items<'_> {
    fn read<T>(
        &self,
        table: &str,
        key: &str,
        columns: &str,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Vec<T>> {
        let after = self.after.unwrap_or_default();
        let bound = vec!["?"; after.len()].join(", ");
        let beyond = if after.is_empty() { String::new() } else { format!("WHERE ({key}) > ({bound})") };
        let sql = format!("SELECT {columns} FROM {table} {beyond} ORDER BY {key} LIMIT {}", self.most);
        self.conn.prepare_cached(&sql)?.query_map(params_from_iter(after), read)?.collect()
    }

    /// A page without what stays behind is empty only at the end.
    fn notes(&self) -> Result<Vec<NoteEntry>, StoreError> {
        let mut kept = Vec::new();
        let mut after = self.after.map(<[Cell]>::to_vec);
        loop {
            let items = Items { after: after.as_deref(), ..*self };
            let read = items
                .read("notes", "name", "name, text, updated_at", |r| {
                    Ok(NoteEntry { name: r.get(0)?, text: r.get(1)?, updated_at: TimeMs(r.get(2)?) })
                })
                .step(STEP)?;
            let Some(last) = read.last() else { return Ok(kept) };
            after = Some(vec![last.name.as_str().into()]);
            kept.extend(read.into_iter().filter(|note| !stays_behind(&note.name)));
            if !kept.is_empty() {
                return Ok(kept);
            }
        }
    }
}

fn covered(row: &Row<'_>) -> rusqlite::Result<CoverageRow> {
    Ok(CoverageRow {
        stream: word(row, 0, |s| s.parse().ok())?,
        span: span(row, 1)?,
        source: word(row, 3, Origin::parse)?,
        epoch: Epoch::from_i64(row.get(4)?),
        rows: row.get::<_, i64>(5)?.cast_unsigned(),
    })
}

fn gap(row: &Row<'_>) -> rusqlite::Result<GapEntry> {
    Ok(GapEntry {
        id: Cell::Int(row.get(0)?),
        stream: word(row, 1, |s| s.parse().ok())?,
        span: span(row, 2)?,
        cause: word(row, 4, Cause::parse)?,
        state: word(row, 5, GapState::parse)?,
        opened_at: TimeMs(row.get(6)?),
        closed_at: row.get::<_, Option<i64>>(7)?.map(TimeMs),
    })
}

impl Incoming for SqliteStore {
    fn skip_tokens(&self, last: Token) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.write("skipping the tokens of the source", move |scope| {
            scope
                .tx
                .execute("UPDATE token_counter SET last = max(last, ?1)", [last.0])
                .step("skipping the tokens of the source")?;
            Ok(())
        }))
    }

    fn put_page(&self, page: Option<Arc<Page>>, turn: Turn) -> BoxFuture<'_, Result<bool, StoreError>> {
        Box::pin(self.write("writing a page", move |scope| {
            let record = session::note(scope.tx, NOTE)?;
            if record.as_ref() == Some(&turn.to) {
                return Ok(true);
            }
            if record != turn.from {
                return Ok(false);
            }
            if let Some(page) = &page {
                scope.put_page(page)?;
            }
            scope
                .put_note(&NoteEntry { name: NOTE.to_owned(), text: turn.to, updated_at: scope.now })
                .step("writing the record of a copy")?;
            Ok(true)
        }))
    }
}

impl Scope<'_> {
    fn put_page(&self, page: &Page) -> Result<(), StoreError> {
        let put = match page {
            Page::Rows { rows, finals, .. } => return rows::put(self.tx, rows, finals),
            Page::Coverage(items) => self.each(
                "INSERT INTO coverage (stream, from_time, to_time, source, epoch, rows)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                items,
                |insert, piece| {
                    insert.execute(params![
                        piece.stream.to_string(),
                        piece.span.from.0,
                        piece.span.to.0,
                        piece.source.as_str(),
                        piece.epoch.to_i64(),
                        piece.rows.cast_signed()
                    ])
                },
            ),
            Page::Gaps(items) => self.each(
                "INSERT INTO gaps (stream, from_time, to_time, cause, state, opened_at, closed_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                items,
                |insert, gap| {
                    insert.execute(params![
                        gap.stream.to_string(),
                        gap.span.from.0,
                        gap.span.to.0,
                        gap.cause.as_str(),
                        gap.state.as_str(),
                        gap.opened_at.0,
                        gap.closed_at.map(|at| at.0)
                    ])
                },
            ),
            Page::Parts(items) => self.each(
                "INSERT INTO archive_parts
                     (stream, day, number, path, rows, first_time, last_time, bytes, checksum, epoch, written_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
                items,
                |insert, (number, part)| {
                    insert.execute(params![
                        part.stream.to_string(),
                        part.day.to_string(),
                        number,
                        part.path,
                        part.rows.cast_signed(),
                        part.first.0,
                        part.last.0,
                        part.bytes.cast_signed(),
                        part.checksum,
                        part.epoch.to_i64(),
                        part.written_at.0
                    ])
                },
            ),
            Page::Runs(items) => self.each(
                "INSERT INTO job_runs
                     (job, planned, attempt, token, started, ended, outcome, rows, weight, error)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
                items,
                |insert, run| {
                    insert.execute(params![
                        run.job,
                        run.planned.0,
                        run.attempt,
                        run.token.0,
                        run.started.0,
                        run.ended.map(|at| at.0),
                        run.outcome.map(|outcome| outcome.as_str()),
                        run.rows.cast_signed(),
                        run.weight.cast_signed(),
                        run.error
                    ])
                },
            ),
            Page::Figures(items) => self.each(
                "INSERT INTO statistics (series, day, subject, name, value) VALUES (?1, ?2, ?3, ?4, ?5)",
                items,
                |insert, (series, Figure { day, subject, name, value })| {
                    insert.execute(params![series, day.0, subject, name, value])
                },
            ),
            Page::Series(items) => self.each(
                "INSERT INTO statistics_series (series, through, read_at) VALUES (?1, ?2, ?3)",
                items,
                |insert, entry| insert.execute(params![entry.series, entry.through.0, entry.read_at.0]),
            ),
            Page::Alerts(items) => self.each(
                "INSERT INTO alerts
                     (token, kind, subject, severity, raised, last_seen, times, resolved, words)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
                items,
                |insert, AlertEntry { row, .. }| {
                    insert.execute(params![
                        row.token.0,
                        row.alert.kind.as_str(),
                        row.alert.subject,
                        row.alert.severity.as_str(),
                        row.alert.raised.0,
                        row.alert.last_seen.0,
                        row.alert.times,
                        row.alert.resolved.map(|at| at.0),
                        row.alert.words
                    ])
                },
            ),
            Page::Notes(items) => items.iter().try_for_each(|note| self.put_note(note)),
            Page::Streams(items) => self.each(
                "INSERT INTO streams (stream, edge, token, leased_at, ended) VALUES (?1, ?2, ?3, ?4, ?5)",
                items,
                |insert, entry| {
                    insert.execute(params![
                        entry.stream.to_string(),
                        entry.edge.map(|at| at.0),
                        entry.token.map(|token| token.0),
                        entry.leased_at.map(|at| at.0),
                        entry.ended.map(|at| at.0)
                    ])
                },
            ),
        };
        put.step("writing a page")
    }

    fn each<T>(
        &self,
        sql: &str,
        items: &[T],
        put: impl Fn(&mut rusqlite::Statement<'_>, &T) -> rusqlite::Result<usize>,
    ) -> rusqlite::Result<()> {
        let mut statement = self.tx.prepare_cached(sql)?;
        items.iter().try_for_each(|item| put(&mut statement, item).map(drop))
    }

    fn put_note(&self, note: &NoteEntry) -> rusqlite::Result<()> {
        let sql = "INSERT INTO notes (name, text, updated_at) VALUES (?1, ?2, ?3)
             ON CONFLICT (name) DO UPDATE SET text = excluded.text, updated_at = excluded.updated_at";
        self.tx
            .prepare_cached(sql)
            .and_then(|mut s| s.execute(params![note.name, note.text, note.updated_at.0]))
            .map(drop)
    }
}
