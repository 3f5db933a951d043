//! Gaps and covered pieces: what lies near a change is read into the core's [sheet](hl_core::ledger::sheet), which decides, and
//! what changed of it is written back. All inside one transaction.

use hl_core::ledger::sheet::{self, Gap, Parts, Piece, PieceKey};
use hl_core::ledger::{Cause, GapState, Requested, Span};
use hl_core::store::{Settled, StoreError};
use hl_core::{Epoch, Origin, Records, StreamKey, TimeMs, Token};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::archive;
use super::error::Step as _;
use super::rows::{self, Stamp, Written, word};
use super::session::{self, Scope};
use crate::rules;

/// The ledger of a stream near a change. A gap's id is its row's.
type Sheet = sheet::Sheet<i64>;

fn gap(row: &Row<'_>) -> rusqlite::Result<Gap<i64>> {
    Ok(Gap {
        id: Some(row.get(0)?),
        span: rows::span(row, 1)?,
        cause: word(row, 3, Cause::parse)?,
        state: word(row, 4, GapState::parse)?,
        claim: row.get::<_, Option<i64>>(5)?.map(Epoch::from_i64),
        opened_at: TimeMs(row.get(6)?),
        closed_at: row.get::<_, Option<i64>>(7)?.map(TimeMs),
    })
}

fn piece(row: &Row<'_>) -> rusqlite::Result<(PieceKey, Piece)> {
    let key = (Epoch::from_i64(row.get(0)?), word(row, 1, Origin::parse)?, TimeMs(row.get(2)?));
    let piece = Piece { to: TimeMs(row.get(3)?), rows: row.get::<_, i64>(4)?.cast_unsigned() };
    Ok((key, piece))
}

impl Scope<'_> {
    /// The gaps that touch `span`.
    fn gaps_near(&self, stream: StreamKey, span: Span) -> Result<Sheet, StoreError> {
        const STEP: &str = "reading gaps";
        let sql = "SELECT id, from_time, to_time, cause, state, claim, opened_at, closed_at FROM gaps
                   WHERE stream = ?1 AND to_time >= ?2 AND from_time <= ?3 ORDER BY from_time, to_time, id";
        let mut statement = self.tx.prepare_cached(sql).step(STEP)?;
        let gaps =
            statement.query_map(params![stream.to_string(), span.from.0, span.to.0], gap).step(STEP)?;
        let mut sheet = Sheet::new(stream, self.now);
        for gap in gaps {
            sheet.know_gap(gap.step(STEP)?);
        }
        Ok(sheet)
    }

    /// The gaps and the covered pieces that touch `span`.
    fn near(&self, stream: StreamKey, span: Span) -> Result<Sheet, StoreError> {
        const STEP: &str = "reading covered pieces";
        let mut sheet = self.gaps_near(stream, span)?;
        let sql = "SELECT epoch, source, from_time, to_time, rows FROM coverage
                   WHERE stream = ?1 AND to_time >= ?2 AND from_time <= ?3";
        let mut statement = self.tx.prepare_cached(sql).step(STEP)?;
        let pieces =
            statement.query_map(params![stream.to_string(), span.from.0, span.to.0], piece).step(STEP)?;
        for piece in pieces {
            let (key, piece) = piece.step(STEP)?;
            sheet.know_piece(key, piece);
        }
        Ok(sheet)
    }

    /// Writes what changed.
    fn keep(&self, stream: StreamKey, sheet: &Sheet) -> Result<(), StoreError> {
        let name = stream.to_string();
        self.gap_changes.borrow_mut().extend(sheet.gap_changes().iter().map(|change| (stream, *change)));
        for gap in sheet.changed_gaps() {
            let (Gap { span, cause, state, .. }, claim) = (gap, gap.claim.map(Epoch::to_i64));
            let closed_at = gap.closed_at.map(|at| at.0);
            self.tx
                .prepare_cached(
                    "INSERT INTO gaps (id, stream, from_time, to_time, cause, state, opened_at, closed_at, claim)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
                     ON CONFLICT (id) DO UPDATE SET
                     from_time = excluded.from_time, to_time = excluded.to_time, cause = excluded.cause,
                     state = excluded.state, opened_at = excluded.opened_at, closed_at = excluded.closed_at,
                     claim = excluded.claim",
                )
                .and_then(|mut s| {
                    let (from, to, opened_at) = (span.from.0, span.to.0, gap.opened_at.0);
                    let (cause, state) = (cause.as_str(), state.as_str());
                    s.execute(params![gap.id, name, from, to, cause, state, opened_at, closed_at, claim])
                })
                .step("writing a gap")?;
        }
        for id in sheet.gone_gaps() {
            self.tx
                .prepare_cached("DELETE FROM gaps WHERE id = ?1")
                .and_then(|mut s| s.execute([id]))
                .step("joining neighbouring gaps")?;
        }
        for ((epoch, origin, from), piece) in sheet.changed_pieces() {
            let (source, epoch) = (origin.as_str(), epoch.to_i64());
            let written = match piece {
                Some(Piece { to, rows }) => self
                    .tx
                    .prepare_cached(
                        "INSERT INTO coverage (stream, from_time, to_time, source, epoch, rows)
                         VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                         ON CONFLICT DO UPDATE SET to_time = excluded.to_time, rows = excluded.rows",
                    )
                    .and_then(|mut s| {
                        s.execute(params![name, from.0, to.0, source, epoch, rows.cast_signed()])
                    }),
                None => self
                    .tx
                    .prepare_cached(
                        "DELETE FROM coverage
                         WHERE stream = ?1 AND from_time = ?2 AND source = ?3 AND epoch = ?4",
                    )
                    .and_then(|mut s| s.execute(params![name, from.0, source, epoch])),
            };
            written.step("writing a covered piece")?;
        }
        Ok(())
    }

    /// How many bars are stored in a piece of a stream of bars.
    fn count_bars(&self, stream: StreamKey, span: Span) -> Result<u64, StoreError> {
        match stream {
            StreamKey::Candle(coin, interval) => rows::count_bars(self.tx, coin, interval, span),
            _ => Ok(0),
        }
    }

    /// Opens a gap, unless it, or what became of it, is there already.
    pub(super) fn open_gap(&self, stream: StreamKey, span: Span, cause: Cause) -> Result<(), StoreError> {
        let mut sheet = self.gaps_near(stream, span)?;
        sheet.open_gap(span, cause);
        self.keep(stream, &sheet)
    }

    /// Fills those parts of gaps inside `span` that are not backfilled yet and that no other living session has claimed.
    pub(super) fn fill(
        &self,
        stream: StreamKey,
        span: Span,
        records: &Records,
        stamp: Stamp,
    ) -> Result<Written, StoreError> {
        let mut sheet = self.near(stream, span)?;
        let parts = sheet.fill(span, stamp.epoch, |token| self.is_alive(token));
        let borders = stream.spec().borders;
        let part_at = |time| rules::part_at(borders, &parts, time);
        let mut counts = vec![0; parts.len()];
        let written = rows::insert(
            self.tx,
            stream,
            records,
            stamp,
            |time| part_at(time).is_some(),
            |time| {
                if let Some(at) = part_at(time) {
                    counts[at] += 1;
                }
            },
        )?;
        for (&part, &count) in parts.iter().zip(&counts) {
            let rows = match stream {
                StreamKey::Candle(coin, interval) => {
                    rows::set_final(self.tx, coin, interval, part, true)?;
                    self.count_bars(stream, part)?
                }
                _ => count,
            };
            sheet.insert_piece(part, (stamp.origin, stamp.epoch), rows);
        }
        self.keep(stream, &sheet)?;
        Ok(written)
    }

    /// Gives open gaps inside `span` up.
    pub(super) fn lose(&self, stream: StreamKey, span: Span, token: Token) -> Result<(), StoreError> {
        let mut sheet = self.gaps_near(stream, span)?;
        let first = first_covered(self.tx, &stream.to_string())?;
        sheet.lose(span, token, first, |token| self.is_alive(token));
        self.keep(stream, &sheet)
    }

    /// Calls open gaps inside `span` by a cause that was learnt meanwhile.
    pub(super) fn rename(
        &self,
        stream: StreamKey,
        span: Span,
        token: Token,
        cause: Cause,
    ) -> Result<(), StoreError> {
        let mut sheet = self.gaps_near(stream, span)?;
        sheet.rename(span, token, cause, |token| self.is_alive(token));
        self.keep(stream, &sheet)
    }

    /// Cuts covered pieces where records turned out to be missing, and opens a gap there.
    pub(super) fn doubt(&self, stream: StreamKey, span: Span, cause: Cause) -> Result<(), StoreError> {
        let mut sheet = self.near(stream, span)?;
        let is_cut = sheet.doubt(span, cause, |piece| self.count_bars(stream, piece))?;
        if let StreamKey::Candle(coin, interval) = stream
            && is_cut
        {
            rows::set_final(self.tx, coin, interval, span, false)?;
        }
        self.keep(stream, &sheet)
    }

    /// Adds a piece to the coverage. `rows` were inserted for it.
    pub(super) fn cover(
        &self,
        stream: StreamKey,
        span: Span,
        stamp: Stamp,
        rows: u64,
    ) -> Result<(), StoreError> {
        const STEP: &str = "extending the coverage";
        let sql = "SELECT epoch, source, from_time, to_time, rows FROM coverage
                   WHERE stream = ?1 AND epoch = ?2 AND source = ?3 AND from_time <= ?4
                   ORDER BY from_time DESC LIMIT 1";
        let mut sheet = Sheet::new(stream, self.now);
        let before = self
            .tx
            .prepare_cached(sql)
            .and_then(|mut s| {
                let (epoch, source) = (stamp.epoch.to_i64(), stamp.origin.as_str());
                s.query_row(params![stream.to_string(), epoch, source, span.from.0], piece).optional()
            })
            .step(STEP)?;
        if let Some((key, piece)) = before {
            sheet.know_piece(key, piece);
        }
        let count = |piece| self.count_bars(stream, piece);
        sheet.cover(span, (stamp.origin, stamp.epoch), rows, count)?;
        self.keep(stream, &sheet)
    }

    /// Opens a gap over what is unknown of `span` below the edge.
    pub(super) fn request_backfill(
        &self,
        stream: StreamKey,
        span: Span,
        cause: Cause,
    ) -> Result<Requested, StoreError> {
        const STEP: &str = "requesting a backfill";
        let name = stream.to_string();
        let row: Option<(Option<i64>, Option<u32>)> = self
            .tx
            .prepare_cached("SELECT edge, token FROM streams WHERE stream = ?1")
            .and_then(|mut s| s.query_row([&name], |r| Ok((r.get(0)?, r.get(1)?))).optional())
            .step(STEP)?;
        let (edge, token) = row.unwrap_or_default();
        let to = match edge {
            Some(edge) => span.to.min(TimeMs(edge)),
            // Its holder is about to say where its past ends.
            None if token.is_some_and(|token| self.is_alive(Token(token))) => return Ok(Requested::default()),
            None => span.to,
        };
        if span.from < to {
            self.open_unknown(stream, Span { from: span.from, to }, cause)?;
        }
        let gaps = self.gap_changes.take().into_iter().map(|(_, change)| change).collect();
        Ok(Requested { up_to: Some(to), gaps })
    }

    /// Opens a gap over what the store has lost: `span` lies between its edge and what goes on.
    pub(super) fn lost(&self, stream: StreamKey, span: Span) -> Result<(), StoreError> {
        self.open_unknown(stream, span, Cause::StoreLost)
    }

    /// Opens gaps over what of `span` is neither covered nor a gap.
    fn open_unknown(&self, stream: StreamKey, span: Span, cause: Cause) -> Result<(), StoreError> {
        let mut sheet = self.near(stream, span)?;
        sheet.open_unknown(span, cause);
        self.keep(stream, &sheet)
    }

    /// Claims the free open gaps inside `span`.
    pub(super) fn claim(
        &self,
        stream: StreamKey,
        span: Span,
        epoch: Epoch,
        wanted: Parts,
    ) -> Result<Vec<Span>, StoreError> {
        let mut sheet = self.gaps_near(stream, span)?;
        let claimed = sheet.claim(span, epoch, wanted, |token| self.is_alive(token));
        self.keep(stream, &sheet)?;
        Ok(claimed)
    }

    pub(super) fn unclaim(&self, epoch: Epoch) -> Result<(), StoreError> {
        self.tx
            .execute("UPDATE gaps SET claim = NULL WHERE claim = ?1", [epoch.to_i64()])
            .step("giving claims back")?;
        Ok(())
    }
}

/// Where the first covered piece of a stream begins.
fn first_covered(conn: &Connection, stream: &str) -> Result<Option<TimeMs>, StoreError> {
    conn.prepare_cached("SELECT min(from_time) FROM coverage WHERE stream = ?1")
        .and_then(|mut s| s.query_row([stream], |r| r.get::<_, Option<i64>>(0)))
        .map(|first| first.map(TimeMs))
        .step("reading the beginning of a ledger")
}

/// The covered bars whose open time lies in `span`, with their trades.
pub(super) fn covered_bars(
    conn: &Connection,
    stream: StreamKey,
    span: Span,
) -> Result<Vec<(TimeMs, u64)>, StoreError> {
    const STEP: &str = "reading covered bars";
    let StreamKey::Candle(coin, interval) = stream else { return Ok(Vec::new()) };
    if !interval.is_fixed() {
        return Ok(Vec::new());
    }
    let mut statement = conn
        .prepare_cached(
            "SELECT from_time, to_time FROM coverage
             WHERE stream = ?1 AND to_time > ?2 AND from_time < ?3 ORDER BY from_time",
        )
        .step(STEP)?;
    let pieces = statement
        .query_map(params![stream.to_string(), span.from.0, span.to.0], |r| rows::span(r, 0))
        .and_then(Iterator::collect::<rusqlite::Result<Vec<_>>>)
        .step(STEP)?;
    let stored = rows::final_bars(conn, coin, interval, span)?;
    let archived = archive::touched_days(conn, stream)?;
    Ok(rules::covered_bars(interval, span, pieces, &stored, &archived))
}

/// The edge of a stream, and its gaps that are not filled.
pub(super) fn settled(conn: &Connection, stream: StreamKey) -> Result<Settled, StoreError> {
    const STEP: &str = "reading what is missing";
    // Both of one moment: a gap that is filled in between would be neither missing nor read.
    let read = conn.unchecked_transaction().step(STEP)?;
    let edge = session::edge(&read, stream)?;
    let sql = "SELECT from_time, to_time FROM gaps WHERE stream = ?1 AND state <> 'backfilled'
               ORDER BY from_time, to_time";
    let mut statement = read.prepare_cached(sql).step(STEP)?;
    let unfilled = statement
        .query_map([stream.to_string()], |row| rows::span(row, 0))
        .and_then(Iterator::collect::<rusqlite::Result<Vec<_>>>)
        .step(STEP)?;
    Ok(Settled { edge, unfilled })
}

/// Pieces of a stream that were gaps and were filled at `since` or later.
pub(super) fn filled_since(
    conn: &Connection,
    stream: StreamKey,
    since: TimeMs,
) -> Result<Vec<Span>, StoreError> {
    const STEP: &str = "reading what was filled";
    let sql = "SELECT from_time, to_time FROM gaps
               WHERE stream = ?1 AND state = 'backfilled' AND closed_at >= ?2 ORDER BY from_time, to_time";
    let mut statement = conn.prepare_cached(sql).step(STEP)?;
    statement
        .query_map(params![stream.to_string(), since.0], |row| rows::span(row, 0))
        .and_then(Iterator::collect)
        .step(STEP)
}

/// Streams with open gaps: how many, and from the first to the last.
pub(super) fn open_gaps(conn: &Connection) -> Result<Vec<(StreamKey, u64, Span)>, StoreError> {
    const STEP: &str = "reading open gaps";
    let mut statement = conn
        .prepare_cached(
            "SELECT stream, count(*), min(from_time), max(to_time) FROM gaps WHERE state = 'open'
             GROUP BY stream ORDER BY stream",
        )
        .step(STEP)?;
    let rows = statement
        .query_map([], |r| {
            let stream = word(r, 0, |s| s.parse::<StreamKey>().ok())?;
            let span = rows::span(r, 2)?;
            Ok((stream, r.get::<_, i64>(1)?.cast_unsigned(), span))
        })
        .step(STEP)?;
    rows.collect::<Result<_, _>>().step(STEP)
}
