//! The archive's claims and parts.

use std::collections::BTreeSet;

use hl_core::archive::{Claimed, Day, Part, Removed, StoredRows};
use hl_core::ledger::Span;
use hl_core::store::StoreError;
use hl_core::{Epoch, StreamKey, TimeMs};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::error::Step as _;
use super::rows::{self, word};
use super::session::{self, Scope, edge_of_ledger, holder};
use crate::rules;

impl Scope<'_> {
    fn day_claim(&self, stream: StreamKey, day: Day) -> Result<Option<Epoch>, StoreError> {
        self.tx
            .prepare_cached("SELECT epoch FROM archive_claims WHERE stream = ?1 AND day = ?2")
            .and_then(|mut s| {
                s.query_row([stream.to_string(), day.to_string()], |r| Ok(Epoch::from_i64(r.get(0)?)))
                    .optional()
            })
            .step("reading the claim on a day")
    }

    pub(super) fn claim_day(&self, stream: StreamKey, day: Day, epoch: Epoch) -> Result<Claimed, StoreError> {
        if let Some(Epoch { token, .. }) = self.day_claim(stream, day)?
            && token != self.token
            && self.is_alive(token)
            && let Some(holder) = holder(self.tx, token)?
        {
            return Ok(Claimed::Elsewhere(holder));
        }
        self.tx
            .prepare_cached(
                "INSERT INTO archive_claims (stream, day, epoch, since) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT DO UPDATE SET epoch = excluded.epoch, since = excluded.since",
            )
            .and_then(|mut s| {
                s.execute(params![stream.to_string(), day.to_string(), epoch.to_i64(), self.now.0])
            })
            .step("claiming a day")?;
        Ok(Claimed::Yes)
    }

    pub(super) fn unclaim_day(&self, stream: StreamKey, day: Day, epoch: Epoch) -> Result<(), StoreError> {
        self.tx
            .prepare_cached("DELETE FROM archive_claims WHERE stream = ?1 AND day = ?2 AND epoch = ?3")
            .and_then(|mut s| s.execute(params![stream.to_string(), day.to_string(), epoch.to_i64()]))
            .step("giving a day back")?;
        Ok(())
    }

    pub(super) fn commit_part(
        &self,
        (stream, day, epoch): (StreamKey, Day, Epoch),
        part: Option<&Part>,
        rows: &StoredRows,
    ) -> Result<Removed, StoreError> {
        if self.day_claim(stream, day)? != Some(epoch) {
            return Ok(Removed::ClaimLost);
        }
        if let Some(part) = part {
            self.record(part)?;
        }
        let removed = rows::remove(self.tx, rows)?;
        Ok(Removed::Done { rows: removed, changed: rows.len() as u64 - removed })
    }

    fn record(&self, part: &Part) -> Result<(), StoreError> {
        self.tx
            .prepare_cached(
                "INSERT INTO archive_parts
                     (stream, day, number, path, rows, first_time, last_time, bytes, checksum, epoch, written_at)
                 SELECT ?1, ?2, ifnull(max(number), 0) + 1, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10
                 FROM archive_parts WHERE stream = ?1 AND day = ?2",
            )
            .and_then(|mut s| {
                s.execute(params![
                    part.stream.to_string(),
                    part.day.to_string(),
                    part.path,
                    part.rows.cast_signed(),
                    part.first.0,
                    part.last.0,
                    part.bytes.cast_signed(),
                    part.checksum,
                    part.epoch.to_i64(),
                    part.written_at.0
                ])
            })
            .step("recording a part")?;
        Ok(())
    }
}

/// Days that are over before `before` and settled, and have rows.
pub(super) fn settled_days(
    conn: &Connection,
    stream: StreamKey,
    before: TimeMs,
) -> Result<Vec<(Day, u64)>, StoreError> {
    let edge = match session::edge(conn, stream)? {
        Some(edge) => Some(edge),
        None => edge_of_ledger(conn, &stream.to_string())?.map(TimeMs),
    };
    let before = rules::settled(edge, before);
    let days = rows::days(conn, stream, Day::of(before).span().from)?;
    Ok(days.into_iter().filter(|(day, _)| day.end() <= before).collect())
}

/// The parts of one stream, or of all, whose day meets `within`, in order.
pub(super) fn parts(
    conn: &Connection,
    stream: Option<StreamKey>,
    within: Span,
) -> Result<Vec<Part>, StoreError> {
    const STEP: &str = "reading the parts of the archive";
    let stream_is = if stream.is_some() { "stream = ?1" } else { "?1 IS NULL" };
    let sql = format!(
        "SELECT stream, day, path, rows, first_time, last_time, bytes, checksum, epoch, written_at
         FROM archive_parts WHERE {stream_is} AND day BETWEEN ?2 AND ?3 ORDER BY stream, day, number"
    );
    let mut statement = conn.prepare_cached(&sql).step(STEP)?;
    let parts = statement
        .query_map(
            params![
                stream.map(|s| s.to_string()),
                Day::of(within.from).to_string(),
                Day::of(within.to).to_string()
            ],
            part,
        )
        .step(STEP)?;
    parts.collect::<Result<_, _>>().step(STEP)
}

pub(super) fn part(row: &Row<'_>) -> rusqlite::Result<Part> {
    let Span { from, to } = rows::span(row, 4)?;
    Ok(Part {
        stream: word(row, 0, |s| s.parse().ok())?,
        day: word(row, 1, |s| s.parse().ok())?,
        path: row.get(2)?,
        rows: row.get::<_, i64>(3)?.cast_unsigned(),
        first: from,
        last: to,
        bytes: row.get::<_, i64>(6)?.cast_unsigned(),
        checksum: row.get(7)?,
        epoch: Epoch::from_i64(row.get(8)?),
        written_at: TimeMs(row.get(9)?),
    })
}

/// How many rows of a stream lie in parts, and the newest time among them.
pub(super) fn archived(conn: &Connection, stream: StreamKey) -> Result<(u64, Option<i64>), StoreError> {
    conn.prepare_cached(
        "SELECT ifnull(sum(rows), 0), max(last_time) FROM archive_parts WHERE stream = ?1 AND path IS NOT NULL",
    )
    .and_then(|mut s| {
        s.query_row([stream.to_string()], |r| Ok((r.get::<_, i64>(0)?.cast_unsigned(), r.get(1)?)))
    })
    .step("counting archived rows")
}

/// The days of a stream of which the archive has taken or deleted something.
pub(super) fn touched_days(conn: &Connection, stream: StreamKey) -> Result<BTreeSet<Day>, StoreError> {
    const STEP: &str = "reading the days of the archive";
    let mut statement =
        conn.prepare_cached("SELECT DISTINCT day FROM archive_parts WHERE stream = ?1").step(STEP)?;
    let days = statement.query_map([stream.to_string()], |r| word(r, 0, |s| s.parse().ok())).step(STEP)?;
    days.collect::<Result<_, _>>().step(STEP)
}
