//! Daily statistics.

use hl_core::TimeMs;
use hl_core::statistics::Figure;
use hl_core::store::StoreError;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::error::Step as _;
use super::session::Scope;

impl Scope<'_> {
    pub(super) fn put_statistics(
        &self,
        series: &str,
        figures: &[Figure],
        through: Option<TimeMs>,
    ) -> Result<u64, StoreError> {
        const STEP: &str = "writing statistics";
        let mut new = 0;
        let mut insert = self
            .tx
            .prepare_cached("INSERT OR IGNORE INTO statistics VALUES (?1, ?2, ?3, ?4, ?5)")
            .step(STEP)?;
        for Figure { day, subject, name, value } in figures {
            new += insert.execute(params![series, day.0, subject, name, value]).step(STEP)? as u64;
        }
        if let Some(through) = through {
            self.tx
                .prepare_cached(
                    "INSERT INTO statistics_series VALUES (?1, ?2, ?3) ON CONFLICT (series) DO UPDATE
                     SET through = max(through, excluded.through), read_at = excluded.read_at",
                )
                .and_then(|mut s| s.execute(params![series, through.0, self.now.0]))
                .step(STEP)?;
        }
        Ok(new)
    }
}

/// Up to which day a series is complete.
pub(super) fn through(conn: &Connection, series: &str) -> Result<Option<TimeMs>, StoreError> {
    conn.prepare_cached("SELECT through FROM statistics_series WHERE series = ?1")
        .and_then(|mut s| s.query_row([series], |row| row.get(0).map(TimeMs)).optional())
        .step("reading up to when statistics are complete")
}
