//! Gaps and covered pieces: splitting, filling, claiming.
//!
//! A gap never shrinks: filling or claiming a part of it splits it, and every piece keeps its cause, but for what turns
//! out to lie before the exchange's history, or cannot be read. One outage is one gap: where a gap of half-open pieces begins at the end of one
//! with the same cause, that one grows. With
//! [`Borders::Shared`] the pieces share their border blocks, and a gap of length zero is one border block. What was doubted
//! piece by piece is one gap too: the blocks between its pieces hold rows, and each is covered by itself.

use std::collections::BTreeSet;

use hl_core::ledger::{Cause, GapState, Span};
use hl_core::store::StoreError;
use hl_core::stream::Borders;
use hl_core::{Epoch, Origin, Records, StreamKey, TimeMs, Token};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::archive;
use super::error::Step as _;
use super::rows::{self, Stamp, Written, word};
use super::session::Scope;
use crate::rules::{self, Pieces};

/// A gap as it is stored.
#[derive(Clone, Copy)]
struct Gap {
    id: i64,
    span: Span,
    cause: Cause,
    state: GapState,
    claim: Option<Epoch>,
}

impl Gap {
    fn get(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            span: rows::span(row, 1)?,
            cause: word(row, 3, Cause::parse)?,
            state: word(row, 4, GapState::parse)?,
            claim: row.get::<_, Option<i64>>(5)?.map(Epoch::from_i64),
        })
    }
}

impl Scope<'_> {
    /// Gaps that touch `span`, oldest first.
    fn gaps_near(&self, stream: &str, span: Span) -> Result<Vec<Gap>, StoreError> {
        const STEP: &str = "reading gaps";
        let sql = "SELECT id, from_time, to_time, cause, state, claim FROM gaps
                   WHERE stream = ?1 AND to_time >= ?2 AND from_time <= ?3 ORDER BY from_time, to_time, id";
        let mut statement = self.tx.prepare_cached(sql).step(STEP)?;
        let gaps = statement.query_map(params![stream, span.from.0, span.to.0], Gap::get).step(STEP)?;
        gaps.collect::<Result<_, _>>().step(STEP)
    }

    /// Whether no living session but the holder of `epoch` has claimed the gap.
    fn is_free(&self, gap: &Gap, epoch: Epoch) -> bool {
        gap.claim.is_none_or(|claim| claim == epoch || !self.is_alive(claim.token))
    }

    /// Gives a part of a gap a new state and claim; what is left of the gap on either side stays as it is.
    fn carve(&self, gap: &Gap, part: Span, state: GapState, claim: Option<Epoch>) -> Result<(), StoreError> {
        const STEP: &str = "splitting a gap";
        let before = Span { from: gap.span.from, to: part.from };
        let after = Span { from: part.to, to: gap.span.to };
        for rest in [before, after].into_iter().filter(|rest| rest.ms() > 0) {
            self.tx
                .prepare_cached(
                    "INSERT INTO gaps (stream, from_time, to_time, cause, state, opened_at, closed_at, claim)
                     SELECT stream, ?2, ?3, cause, state, opened_at, closed_at, claim FROM gaps WHERE id = ?1",
                )
                .and_then(|mut s| s.execute(params![gap.id, rest.from.0, rest.to.0]))
                .step(STEP)?;
        }
        let closed_at = (state != GapState::Open).then_some(self.now.0);
        let claim = claim.map(Epoch::to_i64);
        self.tx
            .prepare_cached(
                "UPDATE gaps SET from_time = ?2, to_time = ?3, state = ?4, closed_at = ?5, claim = ?6
                 WHERE id = ?1",
            )
            .and_then(|mut s| {
                s.execute(params![gap.id, part.from.0, part.to.0, state.as_str(), closed_at, claim])
            })
            .step(STEP)?;
        Ok(())
    }

    /// Opens a gap, unless it, or what became of it, is there already.
    pub(super) fn open_gap(&self, stream: StreamKey, span: Span, cause: Cause) -> Result<(), StoreError> {
        if span.ms() == 0 && stream.spec().borders == Borders::HalfOpen {
            return Ok(());
        }
        let borders = stream.spec().borders;
        let mut near = self.gaps_near(&stream.to_string(), span)?;
        near.retain(|gap| gap.cause.came_from(cause));
        // A repeated batch may find its gap split by now, or grown.
        if Span::joined(near.iter().filter_map(|gap| borders.part(gap.span, span))) == [span] {
            return Ok(());
        }
        // Where borders are shared a block with rows may lie between the two.
        let goes_on = |gap: &&Gap| {
            borders == Borders::HalfOpen
                && gap.cause == cause
                && (gap.span.to, gap.state, gap.claim) == (span.from, GapState::Open, None)
        };
        match near.iter().find(goes_on) {
            Some(gap) => self
                .tx
                .prepare_cached("UPDATE gaps SET to_time = ?2 WHERE id = ?1")
                .and_then(|mut s| s.execute(params![gap.id, span.to.0]))
                .map(drop)
                .step("lengthening a gap"),
            None => self.insert_gap(stream, span, cause),
        }
    }

    fn insert_gap(&self, stream: StreamKey, span: Span, cause: Cause) -> Result<(), StoreError> {
        let state = stream.spec().new_gap();
        let closed_at = (state != GapState::Open).then_some(self.now.0);
        self.tx
            .prepare_cached(
                "INSERT INTO gaps (stream, from_time, to_time, cause, state, opened_at, closed_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )
            .and_then(|mut s| {
                s.execute(params![
                    stream.to_string(),
                    span.from.0,
                    span.to.0,
                    cause.as_str(),
                    state.as_str(),
                    self.now.0,
                    closed_at
                ])
            })
            .step("opening a gap")?;
        Ok(())
    }

    /// Fills those parts of gaps inside `span` that are not backfilled yet and that nobody else has claimed.
    pub(super) fn fill(
        &self,
        stream: StreamKey,
        span: Span,
        records: &Records,
        stamp: Stamp,
    ) -> Result<Written, StoreError> {
        let name = stream.to_string();
        let borders = stream.spec().borders;
        let mut parts = Vec::new();
        for gap in self.gaps_near(&name, span)? {
            if gap.state == GapState::Backfilled || !self.is_free(&gap, stamp.epoch) {
                continue;
            }
            if let Some(part) = borders.part(gap.span, span) {
                self.carve(&gap, part, GapState::Backfilled, None)?;
                self.join_next(&name, (part, gap.cause, GapState::Backfilled))?;
                parts.push(part);
            }
        }
        let parts = Span::joined(parts);
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
                    rows::count_bars(self.tx, coin, interval, part)?
                }
                _ => count,
            };
            self.insert_piece(&name, part, stamp, rows)?;
        }
        Ok(written)
    }

    /// Neighbours in `within` and beside it with the same cause and state, which no session has claimed, are one gap. Where
    /// borders are shared the block between two of them keeps its own covered piece.
    fn join_next(
        &self,
        stream: &str,
        (within, cause, state): (Span, Cause, GapState),
    ) -> Result<(), StoreError> {
        const STEP: &str = "joining neighbouring gaps";
        let mut before: Option<Gap> = None;
        for gap in self.gaps_near(stream, within)? {
            // A gap of no length is a border block of its own.
            if (gap.cause, gap.state, gap.claim) != (cause, state, None) || gap.span.ms() == 0 {
                continue;
            }
            let Some(whole) = before.as_mut().filter(|before| before.span.touches(gap.span)) else {
                before = Some(gap);
                continue;
            };
            whole.span = whole.span.hull(gap.span);
            self.tx
                .prepare_cached(
                    "UPDATE gaps SET to_time = ?3, closed_at = (SELECT max(closed_at) FROM gaps WHERE id IN (?1, ?2)),
                     opened_at = min(opened_at, (SELECT opened_at FROM gaps WHERE id = ?2)) WHERE id = ?1",
                )
                .and_then(|mut s| s.execute(params![whole.id, gap.id, whole.span.to.0]))
                .step(STEP)?;
            self.tx
                .prepare_cached("DELETE FROM gaps WHERE id = ?1")
                .and_then(|mut s| s.execute([gap.id]))
                .step(STEP)?;
        }
        Ok(())
    }

    /// Gives open gaps inside `span` up.
    pub(super) fn lose(&self, stream: StreamKey, span: Span, token: Token) -> Result<(), StoreError> {
        let first = first_covered(self.tx, &stream.to_string())?;
        for (gap, part) in self.open_parts(stream, span, token)? {
            self.carve(&gap, part, GapState::Unrecoverable, None)?;
            self.set_cause(gap.id, gap.cause.given_up(part, first))?;
        }
        Ok(())
    }

    /// Calls open gaps inside `span` by a cause that was learnt meanwhile. They stay open, and claimed by whom they are.
    pub(super) fn rename(
        &self,
        stream: StreamKey,
        span: Span,
        token: Token,
        cause: Cause,
    ) -> Result<(), StoreError> {
        for (gap, part) in self.open_parts(stream, span, token)? {
            if gap.cause != cause {
                self.carve(&gap, part, GapState::Open, gap.claim)?;
                self.set_cause(gap.id, cause)?;
            }
        }
        Ok(())
    }

    /// Open gaps, and what of each lies inside `span`, that no living session of another token has claimed.
    fn open_parts(
        &self,
        stream: StreamKey,
        span: Span,
        token: Token,
    ) -> Result<Vec<(Gap, Span)>, StoreError> {
        let borders = stream.spec().borders;
        let mut gaps = self.gaps_near(&stream.to_string(), span)?;
        gaps.retain(|gap| {
            let ours = gap.claim.is_none_or(|c| c.token == token || !self.is_alive(c.token));
            gap.state == GapState::Open && ours
        });
        Ok(gaps.into_iter().filter_map(|gap| Some((gap, borders.part(gap.span, span)?))).collect())
    }

    fn set_cause(&self, id: i64, cause: Cause) -> Result<(), StoreError> {
        self.tx
            .prepare_cached("UPDATE gaps SET cause = ?2 WHERE id = ?1")
            .and_then(|mut s| s.execute(params![id, cause.as_str()]))
            .step("naming a gap's cause")?;
        Ok(())
    }

    /// Cuts covered pieces where records turned out to be missing, and opens a gap there.
    pub(super) fn doubt(&self, stream: StreamKey, span: Span, cause: Cause) -> Result<(), StoreError> {
        const STEP: &str = "cutting a covered piece";
        let name = stream.to_string();
        let mut statement = self
            .tx
            .prepare_cached(
                "SELECT from_time, to_time, source, epoch, rows FROM coverage
                 WHERE stream = ?1 AND to_time > ?2 AND from_time < ?3",
            )
            .step(STEP)?;
        let mut pieces = statement
            .query_map(params![name, span.from.0, span.to.0], |r| {
                let piece = rows::span(r, 0)?;
                let stamp = Stamp {
                    origin: word(r, 2, Origin::parse)?,
                    epoch: Epoch::from_i64(r.get(3)?),
                    is_final: false,
                };
                Ok((piece, stamp, r.get::<_, i64>(4)?.cast_unsigned()))
            })
            .and_then(Iterator::collect::<rusqlite::Result<Vec<_>>>)
            .step(STEP)?;
        // A block between two pieces that were doubted before stays: its rows are its own.
        pieces.retain(|(piece, ..)| piece.ms() > 0);
        if pieces.is_empty() {
            return Ok(());
        }
        if let StreamKey::Candle(coin, interval) = stream {
            rows::set_final(self.tx, coin, interval, span, false)?;
        }
        for (piece, stamp, rows) in pieces {
            self.tx
                .prepare_cached(
                    "DELETE FROM coverage WHERE stream = ?1 AND from_time = ?2 AND source = ?3 AND epoch = ?4",
                )
                .and_then(|mut s| {
                    s.execute(params![name, piece.from.0, stamp.origin.as_str(), stamp.epoch.to_i64()])
                })
                .step(STEP)?;
            let before = Span { from: piece.from, to: span.from };
            let after = Span { from: span.to, to: piece.to };
            // A part may be one block long, where the piece began or ended at the gap: that block's rows are its own.
            let is_part = |part: &Span| match stream.spec().borders {
                Borders::Shared => part.from <= part.to,
                Borders::HalfOpen => part.from < part.to,
            };
            let parts: Vec<_> = [before, after].into_iter().filter(is_part).collect();
            // The rows are counted to the later part, which goes on growing; bars are counted anew.
            for (at, &part) in parts.iter().enumerate() {
                let rows = match stream {
                    StreamKey::Candle(coin, interval) => rows::count_bars(self.tx, coin, interval, part)?,
                    _ if at + 1 == parts.len() => rows,
                    _ => 0,
                };
                self.insert_piece(&name, part, stamp, rows)?;
            }
        }
        // What was filled there is not proven any more either.
        let borders = stream.spec().borders;
        let state = stream.spec().new_gap();
        let mut known = Vec::new();
        let mut causes = BTreeSet::from([cause]);
        for gap in self.gaps_near(&name, span)? {
            let Some(part) = borders.part(gap.span, span) else { continue };
            if gap.state == GapState::Backfilled {
                self.carve(&gap, part, state, None)?;
                causes.insert(gap.cause);
            }
            known.push(part);
        }
        self.open_rest(stream, span, known, cause)?;
        // One minute in doubt is one gap, however many pieces of it are named.
        for cause in causes {
            self.join_next(&name, (span, cause, state))?;
        }
        Ok(())
    }

    /// Opens gaps over what of `span` the `known` pieces, in order of their beginnings, leave.
    fn open_rest(
        &self,
        stream: StreamKey,
        span: Span,
        known: Vec<Span>,
        cause: Cause,
    ) -> Result<(), StoreError> {
        let mut reached = span.from;
        for piece in known.into_iter().chain([Span { from: span.to, to: span.to }]) {
            if reached < piece.from {
                self.insert_gap(stream, Span { from: reached, to: piece.from.min(span.to) }, cause)?;
            }
            reached = reached.max(piece.to);
        }
        Ok(())
    }

    /// Adds a piece to the coverage: the epoch's piece that it continues grows, otherwise it stands by itself.
    /// `rows` were inserted for it.
    pub(super) fn cover(
        &self,
        stream: StreamKey,
        span: Span,
        stamp: Stamp,
        rows: u64,
    ) -> Result<(), StoreError> {
        const STEP: &str = "extending the coverage";
        let name = stream.to_string();
        let before: Option<Span> = self
            .tx
            .prepare_cached(
                "SELECT from_time, to_time FROM coverage
                 WHERE stream = ?1 AND epoch = ?2 AND source = ?3 AND from_time <= ?4
                 ORDER BY from_time DESC LIMIT 1",
            )
            .and_then(|mut s| {
                s.query_row(params![name, stamp.epoch.to_i64(), stamp.origin.as_str(), span.from.0], |r| {
                    rows::span(r, 0)
                })
                .optional()
            })
            .step(STEP)?;
        let piece = before.filter(|before| before.to >= span.from);
        // A bar is written many times before the piece reaches it: its rows are the bars that the piece gains.
        let rows = match stream {
            StreamKey::Candle(coin, interval) => {
                let gained = Span { from: piece.map_or(span.from, |p| p.to), to: span.to };
                rows::count_bars(self.tx, coin, interval, gained)?
            }
            _ => rows,
        };
        let whole = piece.map_or(span, |p| Span { from: p.from, to: p.to.max(span.to) });
        self.insert_piece(&name, whole, stamp, rows)
    }

    /// Writes a covered piece; one of the same claim that begins at the same time grows.
    fn insert_piece(&self, stream: &str, span: Span, stamp: Stamp, rows: u64) -> Result<(), StoreError> {
        self.tx
            .prepare_cached(
                "INSERT INTO coverage (stream, from_time, to_time, source, epoch, rows)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT DO UPDATE
                 SET to_time = max(to_time, excluded.to_time), rows = rows + excluded.rows",
            )
            .and_then(|mut s| {
                let (source, epoch) = (stamp.origin.as_str(), stamp.epoch.to_i64());
                s.execute(params![stream, span.from.0, span.to.0, source, epoch, rows.cast_signed()])
            })
            .step("writing a covered piece")?;
        Ok(())
    }

    /// Opens a gap over what is unknown of `span` below the edge.
    pub(super) fn ask(
        &self,
        stream: StreamKey,
        span: Span,
        cause: Cause,
    ) -> Result<Option<TimeMs>, StoreError> {
        const STEP: &str = "asking for a piece";
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
            None if token.is_some_and(|token| self.is_alive(Token(token))) => return Ok(None),
            None => span.to,
        };
        if to <= span.from {
            return Ok(Some(to));
        }
        self.open_unknown(stream, Span { from: span.from, to }, cause)?;
        Ok(Some(to))
    }

    /// Opens a gap over what the store has lost: `span` lies between its edge and what goes on.
    pub(super) fn lost(&self, stream: StreamKey, span: Span) -> Result<(), StoreError> {
        self.open_unknown(stream, span, Cause::StoreLost)
    }

    /// Opens gaps over what of `span` is neither covered nor a gap.
    fn open_unknown(&self, stream: StreamKey, span: Span, cause: Cause) -> Result<(), StoreError> {
        const STEP: &str = "reading what is known of a piece";
        let mut statement = self
            .tx
            .prepare_cached(
                "SELECT from_time, to_time FROM coverage WHERE stream = ?1 AND to_time > ?2 AND from_time < ?3
                 UNION ALL
                 SELECT from_time, to_time FROM gaps WHERE stream = ?1 AND to_time > ?2 AND from_time < ?3
                 ORDER BY 1",
            )
            .step(STEP)?;
        let known = statement
            .query_map(params![stream.to_string(), span.from.0, span.to.0], |r| rows::span(r, 0))
            .and_then(Iterator::collect::<rusqlite::Result<Vec<_>>>)
            .step(STEP)?;
        self.open_rest(stream, span, known, cause)
    }

    /// Claims the free open gaps inside `span`.
    pub(super) fn claim(
        &self,
        stream: StreamKey,
        span: Span,
        epoch: Epoch,
        wanted: Pieces,
    ) -> Result<Vec<Span>, StoreError> {
        let mut pieces = Vec::new();
        for gap in self.gaps_near(&stream.to_string(), span)? {
            if gap.state == GapState::Open
                && self.is_free(&gap, epoch)
                && let Some(part) = wanted.of(stream.spec().borders, gap.span, span)
            {
                self.carve(&gap, part, GapState::Open, Some(epoch))?;
                pieces.push(part);
            }
        }
        Ok(pieces)
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
