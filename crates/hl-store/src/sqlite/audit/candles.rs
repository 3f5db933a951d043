//! Checks of bars against shorter bars and against trades.

use std::collections::BTreeSet;

use hl_core::archive::Day;
use hl_core::ledger::Span;
use hl_core::record::{Candle, Record as _};
use hl_core::store::StoreError;
use hl_core::{Coin, Decimal, Interval, Origin, Records, StreamKey, TimeMs};
use rusqlite::{Connection, params};

use crate::checks::{Compared, MINUTE_MS as MINUTE, MINUTE_WITHOUT_BAR, Minutes, derived, words};
use crate::sqlite::error::Step as _;
use crate::sqlite::rows;
use crate::{CoverageRow, Finding};

/// Final bars of a longer interval against the final one-minute bars of the same time, where all of these are there and
/// nothing of their days was archived.
pub(super) fn nesting(
    conn: &Connection,
    coin: Coin,
    interval: Interval,
    archived: &BTreeSet<Day>,
) -> Result<Option<Finding>, StoreError> {
    const STEP: &str = "checking bars against shorter bars";
    if interval == Interval::M1 || !interval.is_fixed() {
        return Ok(None);
    }
    let mut finding = Finding::none("candle_nesting", StreamKey::Candle(coin, interval));
    let sql = "SELECT time FROM candles WHERE coin = ?1 AND interval = ?2 AND final = 1 ORDER BY time";
    let mut statement = conn.prepare_cached(sql).step(STEP)?;
    let mut times = statement.query(params![coin.as_str(), interval.as_str()]).step(STEP)?;
    while let Some(row) = times.next().step(STEP)? {
        let time = TimeMs(row.get(0).step(STEP)?);
        let piece = Span { from: time, to: time + (interval.ms() - MINUTE) };
        if archived.range(Day::of(piece.from)..=Day::of(piece.to)).next().is_some() {
            continue;
        }
        let minutes = bars(conn, coin, Interval::M1, piece)?;
        let Some(derived) = derived(&minutes, interval) else { continue };
        for bar in bars(conn, coin, interval, Span { from: time, to: time })? {
            if !bar.same_values(&derived) {
                finding
                    .add(|| format!("at {time}: stored {}, from minutes {}", words(&bar), words(&derived)));
            }
        }
    }
    Ok(Some(finding))
}

fn bars(conn: &Connection, coin: Coin, interval: Interval, span: Span) -> Result<Vec<Candle>, StoreError> {
    match rows::stored(conn, StreamKey::Candle(coin, interval), span)?.records {
        Records::Candles(bars) => Ok(bars),
        _ => Ok(Vec::new()),
    }
}

/// Final one-minute bars against the trades of minutes that one subscription covered whole, of days of which nothing was
/// archived.
pub(super) fn against_trades(
    conn: &Connection,
    coin: Coin,
    pieces: &[CoverageRow],
    archived: &BTreeSet<Day>,
) -> Result<(Finding, Compared), StoreError> {
    const STEP: &str = "checking bars against trades";
    let mut compared = Minutes::of(StreamKey::Trades(coin));
    let sql_bars = "SELECT time, trades, volume, source FROM candles
        WHERE coin = ?1 AND interval = '1m' AND final = 1 AND time > ?2 AND time <= ?3 ORDER BY time";
    let sql_trades = "SELECT time, sz FROM trades WHERE coin = ?1 AND time > ?2 AND time < ?3 ORDER BY time";
    for Span { from, to } in pieces.iter().filter(|p| p.source == Origin::Ws).map(|p| p.span) {
        // Neither border block may be whole: the minute begins after the first and ends before the last.
        let mut minutes = conn.prepare_cached(sql_bars).step(STEP)?;
        let mut minutes = minutes.query(params![coin.as_str(), from.0, (to - MINUTE).0]).step(STEP)?;
        let mut trades = conn.prepare_cached(sql_trades).step(STEP)?;
        let mut trades = trades.query(params![coin.as_str(), from.0, to.0]).step(STEP)?;
        let mut next = trade(trades.next().step(STEP)?).step(STEP)?;
        while let Some(minute) = minutes.next().step(STEP)? {
            let open: i64 = minute.get(0).step(STEP)?;
            let n = minute.get::<_, i64>(1).step(STEP)?.unsigned_abs();
            let volume = rows::decimal(minute, 2).step(STEP)?;
            let origin = rows::word(minute, 3, Origin::parse).step(STEP)?;
            let (mut stored, mut sum) = (0_u64, Decimal::ZERO);
            while let Some((time, sz)) = next.filter(|(time, _)| *time < open + MINUTE) {
                if time >= open {
                    stored += 1;
                    sum += sz;
                }
                next = trade(trades.next().step(STEP)?).step(STEP)?;
            }
            if archived.contains(&Day::of(TimeMs(open))) {
                continue;
            }
            compared.see(TimeMs(open), origin, (n, volume), (stored, sum));
        }
    }
    Ok(compared.finish())
}

/// Minutes of the `empty` pieces, which are covered and have no bar, in which trades are stored.
pub(super) fn without_bar(
    conn: &Connection,
    stream: StreamKey,
    coin: Coin,
    empty: &[Span],
) -> Result<Finding, StoreError> {
    const STEP: &str = "looking for trades without a bar";
    let mut finding = Finding::none(MINUTE_WITHOUT_BAR, stream);
    let sql = "SELECT time / 60000 * 60000 AS minute, count(*) FROM trades
        WHERE coin = ?1 AND time >= ?2 AND time < ?3 AND source <> 'import' GROUP BY minute ORDER BY minute";
    let mut statement = conn.prepare_cached(sql).step(STEP)?;
    for Span { from, to } in empty {
        let mut minutes = statement.query(params![coin.as_str(), from.0, to.0]).step(STEP)?;
        while let Some(minute) = minutes.next().step(STEP)? {
            let (minute, trades): (i64, i64) = (minute.get(0).step(STEP)?, minute.get(1).step(STEP)?);
            finding.add(|| format!("minute {minute}: covered without a bar, and {trades} trades are stored"));
        }
    }
    Ok(finding)
}

fn trade(row: Option<&rusqlite::Row<'_>>) -> rusqlite::Result<Option<(i64, Decimal)>> {
    row.map(|row| Ok((row.get(0)?, rows::decimal(row, 1)?))).transpose()
}
