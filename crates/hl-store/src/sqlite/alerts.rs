//! The history of alerts.

use hl_core::alert::{Alert, AlertKind, Severity};
use hl_core::store::StoreError;
use hl_core::{TimeMs, Token};
use rusqlite::{Connection, Transaction, named_params, params};

use super::error::Step as _;
use super::rows::word;
use super::session::Scope;
use crate::AlertRow;
use crate::rules::ALERTS_KEPT_MS;

impl Scope<'_> {
    pub(super) fn put_alert(&self, alert: &Alert) -> Result<(), StoreError> {
        self.tx
            .prepare_cached(
                "INSERT INTO alerts (token, kind, subject, severity, raised, last_seen, times, resolved, words)
                 VALUES (:token, :kind, :subject, :severity, :raised, :last_seen, :times, :resolved, :words)
                 ON CONFLICT (token, kind, subject, raised) DO UPDATE
                 SET last_seen = excluded.last_seen, times = excluded.times, resolved = excluded.resolved,
                     words = excluded.words",
            )
            .and_then(|mut s| {
                s.execute(named_params! {
                    ":token": self.token.0, ":kind": alert.kind.as_str(), ":subject": alert.subject,
                    ":severity": alert.severity.as_str(), ":raised": alert.raised.0,
                    ":last_seen": alert.last_seen.0, ":times": alert.times,
                    ":resolved": alert.resolved.map(|at| at.0), ":words": alert.words,
                })
            })
            .step("keeping an alert")?;
        self.tx
            .prepare_cached("DELETE FROM alerts WHERE raised < ?1 AND resolved < ?1")
            .and_then(|mut s| s.execute([(alert.last_seen - ALERTS_KEPT_MS).0]))
            .step("forgetting old alerts")?;
        Ok(())
    }
}

/// The alerts of a session that has ended are over.
pub(super) fn end(tx: &Transaction<'_>, token: Token, now: TimeMs) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE alerts SET resolved = max(?2, last_seen), words = words || ' (its process ended)'
         WHERE token = ?1 AND resolved IS NULL",
        params![token.0, now.0],
    )
    .step("ending the alerts of a session")?;
    Ok(())
}

/// The newest alerts, newest first. Open ones of the dead are left out where not all are asked for: their process ended.
pub(super) fn newest(
    conn: &Connection,
    all: bool,
    most: u32,
    lives: impl Fn(Token) -> bool,
) -> Result<Vec<AlertRow>, StoreError> {
    const STEP: &str = "reading the alerts";
    let mut statement = conn
        .prepare_cached(
            "SELECT token, kind, subject, severity, raised, last_seen, times, resolved, words FROM alerts
             WHERE ?1 OR resolved IS NULL ORDER BY raised DESC, id DESC",
        )
        .step(STEP)?;
    let rows = statement.query_map([all], read).step(STEP)?;
    let wanted = |row: &rusqlite::Result<AlertRow>| row.as_ref().map_or(true, |row| all || lives(row.token));
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    rows.filter(wanted).take(most).collect::<Result<_, _>>().step(STEP)
}

pub(super) fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<AlertRow> {
    let alert = Alert {
        kind: word(row, 1, AlertKind::parse)?,
        subject: row.get(2)?,
        severity: word(row, 3, Severity::parse)?,
        raised: TimeMs(row.get(4)?),
        last_seen: TimeMs(row.get(5)?),
        times: row.get(6)?,
        resolved: row.get::<_, Option<i64>>(7)?.map(TimeMs),
        words: row.get(8)?,
    };
    Ok(AlertRow { token: Token(row.get(0)?), alert })
}
