//! The weight ledger: request weight of every process on this store, in a sliding window of 60 s.

use hl_core::TimeMs;
use hl_core::store::{Reservation, StoreError};
use rusqlite::params;

use super::error::Step as _;
use super::session::Scope;
use crate::rules::{self, WINDOW_MS};

impl Scope<'_> {
    pub(super) fn reserve(
        &self,
        address: &str,
        now: TimeMs,
        weight: u32,
        ceiling: u32,
    ) -> Result<Reservation, StoreError> {
        const STEP: &str = "booking request weight";
        let run =
            |sql| self.tx.prepare_cached(sql).and_then(|mut s| s.execute(params![address, now.0])).step(STEP);
        self.tx
            .prepare_cached("DELETE FROM weight WHERE address = ?1 AND at <= ?2")
            .and_then(|mut s| s.execute(params![address, (now - WINDOW_MS).0]))
            .step(STEP)?;
        // A clock that was set back must not block the address for as long.
        run("UPDATE weight SET at = ?2 WHERE address = ?1 AND at > ?2")?;
        let mut statement = self
            .tx
            .prepare_cached("SELECT at, weight FROM weight WHERE address = ?1 ORDER BY at")
            .step(STEP)?;
        let booked: Vec<(TimeMs, i64)> = statement
            .query_map([address], |r| Ok((TimeMs(r.get(0)?), r.get(1)?)))
            .and_then(Iterator::collect)
            .step(STEP)?;
        let answer = rules::reservation(&booked, now, weight, ceiling);
        if matches!(answer, Reservation::Granted { .. }) {
            self.book_spent(address, &[(now, weight)])?;
        }
        Ok(answer)
    }

    pub(super) fn book_spent(&self, address: &str, spent: &[(TimeMs, u32)]) -> Result<(), StoreError> {
        let mut insert = self
            .tx
            .prepare_cached("INSERT INTO weight (address, at, weight) VALUES (?1, ?2, ?3)")
            .step("booking request weight")?;
        for (at, weight) in spent {
            insert.execute(params![address, at.0, weight]).step("booking request weight")?;
        }
        Ok(())
    }
}
