//! Checks of rows against their keys and the ledger.

use hl_core::ledger::GapState;
use hl_core::store::StoreError;
use hl_core::stream::Borders;
use hl_core::{Epoch, Origin, StreamKey, TimeMs};
use rusqlite::Connection;

use super::Finding;
use crate::sqlite::error::Step as _;
use crate::sqlite::rows::Place;
use crate::{CoverageRow, GapRow};

pub(super) const DUPLICATE_KEYS: &str = "duplicate_keys";

pub(super) fn duplicate_keys(conn: &Connection, stream: StreamKey) -> Result<Finding, StoreError> {
    let Place { table, filter, unique, key } = Place::of(stream);
    let sql = format!(
        "SELECT count(*), min(time) FROM
         (SELECT time FROM {table} WHERE {filter} GROUP BY {unique} HAVING count(*) > 1)"
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
    Ok(Finding { count: count.cast_unsigned(), example, ..finding })
}

/// Rows below the edge that lie in no covered piece of their claim, and rows inside gaps that are not filled.
pub(super) fn outside_claim_and_in_gap(
    conn: &Connection,
    stream: StreamKey,
    pieces: &[CoverageRow],
    gaps: &[GapRow],
    edge: Option<TimeMs>,
) -> Result<[Finding; 2], StoreError> {
    const STEP: &str = "checking rows against the ledger";
    let mut outside = Finding::none("rows_outside_claim", stream);
    let mut in_gap = Finding::none("rows_in_gap", stream);
    let gaps: Vec<_> = gaps.iter().filter(|gap| gap.state != GapState::Backfilled).collect();
    let borders = stream.spec().borders;
    let is_bar = matches!(stream, StreamKey::Candle(..));
    let Place { table, filter, key, .. } = Place::of(stream);
    // Bars that may still change are nobody's proof; what was brought in from elsewhere is not either.
    let settled = if is_bar { "final = 1" } else { "TRUE" };
    let sql = format!(
        "SELECT coin, time, epoch FROM {table} WHERE {filter} AND {settled} AND source <> '{}'
         ORDER BY coin, time",
        Origin::Import.as_str()
    );
    let mut statement = conn.prepare_cached(&sql).step(STEP)?;
    let mut rows = statement.query(key).step(STEP)?;
    let mut coin = String::new();
    let mut covered = Sweep::new(pieces.iter().collect(), |piece: &CoverageRow| piece.span);
    let mut missing = Sweep::new(gaps, |gap: &GapRow| gap.span);
    while let Some(row) = rows.next().step(STEP)? {
        let this: &str = row.get_ref(0).step(STEP)?.as_str().map_err(rusqlite::Error::from).step(STEP)?;
        let time = TimeMs(row.get(1).step(STEP)?);
        let epoch = Epoch::from_i64(row.get(2).step(STEP)?);
        if this != coin {
            this.clone_into(&mut coin);
            covered.restart();
            missing.restart();
        }
        let is_claimed = covered.at(time).iter().any(|piece| {
            let holds = borders == Borders::Shared || time < piece.span.to;
            // A bar bears the claim that wrote its best version; a later one may have proved it final.
            let claim =
                piece.epoch == epoch || is_bar && (piece.epoch > epoch || piece.source == Origin::Backfill);
            holds && claim
        });
        if !is_claimed && edge.is_none_or(|edge| time < edge) {
            outside.add(|| format!("{coin} at {time} under {epoch}"));
        }
        let gap = missing.at(time).iter().find(|gap| match borders {
            Borders::Shared => gap.span.from < time && time < gap.span.to,
            Borders::HalfOpen => time < gap.span.to,
        });
        if let Some(gap) = gap {
            in_gap.add(|| format!("{coin} at {time} in {:?}", gap.span));
        }
    }
    Ok([outside, in_gap])
}

/// Walks along pieces that come in order of their beginning, together with times that come in order.
struct Sweep<'a, T> {
    pieces: Vec<&'a T>,
    span: fn(&T) -> hl_core::ledger::Span,
    next: usize,
    open: Vec<&'a T>,
}

impl<'a, T> Sweep<'a, T> {
    fn new(pieces: Vec<&'a T>, span: fn(&T) -> hl_core::ledger::Span) -> Self {
        Self { pieces, span, next: 0, open: Vec::new() }
    }

    fn restart(&mut self) {
        self.next = 0;
        self.open.clear();
    }

    /// The pieces that hold `time`, both ends included. Times must not go back.
    fn at(&mut self, time: TimeMs) -> &[&'a T] {
        while let Some(piece) = self.pieces.get(self.next).filter(|piece| (self.span)(piece).from <= time) {
            self.open.push(piece);
            self.next += 1;
        }
        self.open.retain(|piece| time <= (self.span)(piece).to);
        &self.open
    }
}
