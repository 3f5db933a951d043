//! The audit: everything that a store promises, checked against what it holds.
//!
//! Each check reads rows once, in key order, and walks the ledger beside them; nothing is joined row by row. What a
//! check means is said at [`Problem::check`].

mod candles;
mod rows;

use std::collections::BTreeSet;

use hl_core::archive::Day;
use hl_core::store::StoreError;
use hl_core::thinning::{self, BOOKS_NOTE, NOTE};
use hl_core::{Interval, StreamKey};
use rusqlite::Connection;

use super::archive;
use super::error::Step as _;
use super::inspect::{coverage, gaps, streams};
use super::session;
use crate::checks::{LeftOut, Rhythm};
use crate::{Audit, CoverageRow, Finding, checks};

/// Checks the whole store.
pub(super) fn audit(conn: &Connection) -> Result<Audit, StoreError> {
    let mut findings = vec![integrity(conn)?];
    let mut compared = checks::Compared::default();
    // Where trades were left out on purpose, bars cannot be checked against them.
    let note = session::note(conn, NOTE)?;
    let thinned = thinning::told(note.as_deref()).unwrap_or_default();
    let books = session::note(conn, BOOKS_NOTE)?;
    let thinned_books = thinning::told_of_books(books.as_deref()).unwrap_or_default();
    let mut unread = 0;
    for stream in streams(conn)? {
        unread += archive::archived(conn, stream)?.0;
        let edge = session::edge(conn, stream)?;
        let pieces = coverage(conn, Some(stream))?;
        let gaps = gaps(conn, Some(stream))?;
        findings.extend(checks::ledger(stream, &pieces, &gaps, edge));
        findings.push(rows::duplicate_keys(conn, stream)?);
        let archived = match stream {
            StreamKey::Candle(coin, _) => touched(conn, [stream, StreamKey::Trades(coin)])?,
            _ => archive::touched_days(conn, stream)?,
        };
        let left_out = LeftOut::of(stream, archived, &thinned_books);
        let rhythm = Rhythm::new(stream, &pieces, &left_out);
        let (found, empty) = rows::against_the_ledger(conn, stream, (&pieces, &gaps, edge), rhythm)?;
        findings.extend(found);
        if let StreamKey::Candle(coin, _) = stream {
            findings.push(candles::without_bar(conn, stream, coin, &empty)?);
        }
        match stream {
            StreamKey::Book(..) | StreamKey::Bbo(_) => findings.push(rows::crossed_book(conn, stream)?),
            StreamKey::Candle(coin, interval) => {
                let archived = touched(conn, [stream, StreamKey::Candle(coin, Interval::M1)])?;
                findings.extend(candles::nesting(conn, coin, interval, &archived)?);
            }
            StreamKey::Trades(coin) => {
                let whole = |piece: &&CoverageRow| !thinning::touches(&thinned, piece.span);
                let pieces: Vec<_> = pieces.iter().filter(whole).cloned().collect();
                let archived = touched(conn, [stream, StreamKey::Candle(coin, Interval::M1)])?;
                let (finding, minutes) = candles::against_trades(conn, coin, &pieces, &archived)?;
                findings.push(finding);
                compared += minutes;
            }
            _ => {}
        }
    }
    Ok(checks::audit(findings, compared, unread))
}

/// The days of which something of either stream was archived.
fn touched(conn: &Connection, streams: [StreamKey; 2]) -> Result<BTreeSet<Day>, StoreError> {
    let [mut days, more] =
        [archive::touched_days(conn, streams[0])?, archive::touched_days(conn, streams[1])?];
    days.extend(more);
    Ok(days)
}

fn integrity(conn: &Connection) -> Result<Finding, StoreError> {
    const STEP: &str = "checking the file";
    let mut finding = Finding::of_the_store("integrity");
    let mut statement = conn.prepare("PRAGMA integrity_check").step(STEP)?;
    let lines = statement.query_map([], |r| r.get::<_, String>(0)).step(STEP)?;
    for line in lines {
        let line = line.step(STEP)?;
        if line != "ok" {
            finding.add(|| line);
        }
    }
    Ok(finding)
}
