//! Trades by the minute, which bars are compared with.

use std::collections::BTreeMap;

use hl_core::ledger::Span;
use hl_core::store::StoreError;
use hl_core::{Coin, TimeMs};
use rusqlite::{Connection, params};

use crate::checks::{MINUTE_MS, Sum};
use crate::sqlite::error::Step as _;
use crate::sqlite::rows;

pub(super) fn trades_by_minute(
    conn: &Connection,
    coin: Coin,
    span: Span,
) -> Result<BTreeMap<TimeMs, Sum>, StoreError> {
    const STEP: &str = "checking bars against trades";
    let sql = "SELECT time, sz FROM trades WHERE coin = ?1 AND time >= ?2 AND time <= ?3 ORDER BY time";
    let mut statement = conn.prepare_cached(sql).step(STEP)?;
    let mut trades = statement.query(params![coin.as_str(), span.from.0, span.to.0]).step(STEP)?;
    let mut sums = BTreeMap::<TimeMs, Sum>::new();
    while let Some(trade) = trades.next().step(STEP)? {
        let time = TimeMs(trade.get(0).step(STEP)?);
        let (trades, volume) = sums.entry(time.floor(MINUTE_MS)).or_default();
        *trades += 1;
        *volume += rows::decimal(trade, 1).step(STEP)?;
    }
    Ok(sums)
}

pub(super) fn traded_minutes(
    conn: &Connection,
    coin: Coin,
    pieces: &[Span],
) -> Result<Vec<(TimeMs, u64)>, StoreError> {
    const STEP: &str = "looking for trades without a bar";
    let sql = "SELECT time / 60000 * 60000 AS minute, count(*) FROM trades
        WHERE coin = ?1 AND time >= ?2 AND time < ?3 AND source <> 'import' GROUP BY minute ORDER BY minute";
    let mut statement = conn.prepare_cached(sql).step(STEP)?;
    let mut found = Vec::new();
    for Span { from, to } in pieces {
        let mut minutes = statement.query(params![coin.as_str(), from.0, to.0]).step(STEP)?;
        while let Some(minute) = minutes.next().step(STEP)? {
            let trades = minute.get::<_, i64>(1).step(STEP)?.unsigned_abs();
            found.push((TimeMs(minute.get(0).step(STEP)?), trades));
        }
    }
    Ok(found)
}
