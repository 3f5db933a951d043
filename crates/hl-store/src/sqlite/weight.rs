//! The weight ledger: request weight of every process on this store, in a sliding window of 60 s.

use hl_core::TimeMs;
use hl_core::store::{Reservation, StoreError};
use rusqlite::params;

use super::error::Step as _;
use super::session::Scope;

const WINDOW_MS: i64 = 60_000;

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
        let booked: Vec<(i64, i64)> = statement
            .query_map([address], |r| Ok((r.get(0)?, r.get(1)?)))
            .and_then(Iterator::collect)
            .step(STEP)?;
        let mut excess =
            booked.iter().map(|(_, weight)| weight).sum::<i64>() + i64::from(weight) - i64::from(ceiling);
        if excess <= 0 || ceiling == u32::MAX {
            self.tx
                .prepare_cached("INSERT INTO weight (address, at, weight) VALUES (?1, ?2, ?3)")
                .and_then(|mut s| s.execute(params![address, now.0, weight]))
                .step(STEP)?;
            return Ok(Reservation::Granted);
        }
        for (at, leaving) in booked {
            excess -= leaving;
            if excess <= 0 {
                return Ok(Reservation::RetryAt(TimeMs(at) + WINDOW_MS));
            }
        }
        // More than the ceiling at once never fits.
        Ok(Reservation::RetryAt(now + WINDOW_MS))
    }
}
