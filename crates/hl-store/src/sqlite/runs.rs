//! The history of jobs.

use hl_core::runs::{Begun, Outcome, Report, Row};
use hl_core::store::StoreError;
use hl_core::{TimeMs, Token};
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension as _, named_params, params};

use super::error::Step as _;
use super::session::{Scope, Session, holder};
use crate::rules::{self, Attempt, RUNS_KEPT_MS};

pub(super) const COLUMNS: &str = "job, planned, attempt, token, started, ended, outcome, rows, weight, error";

impl Scope<'_> {
    pub(super) fn begin_run(&self, job: &str, planned: TimeMs) -> Result<Begun, StoreError> {
        const STEP: &str = "beginning a run";
        let before = self
            .tx
            .prepare_cached(&format!("SELECT {COLUMNS} FROM job_runs WHERE job = ?1 AND planned = ?2"))
            .and_then(|mut s| s.query_row(params![job, planned.0], read).optional())
            .step(STEP)?;
        let Some(Attempt { number, unless }) = rules::attempt(before.as_ref(), self.token) else {
            return Ok(Begun::Done);
        };
        if let Some(token) = unless
            && self.is_alive(token)
            && let Some(holder) = holder(self.tx, token)?
        {
            return Ok(Begun::Elsewhere(holder));
        }
        self.tx
            .prepare_cached(
                "INSERT INTO job_runs (job, planned, attempt, token, started)
                 VALUES (:job, :planned, :attempt, :token, :now)
                 ON CONFLICT (job, planned) DO UPDATE
                 SET attempt = excluded.attempt, token = excluded.token, started = excluded.started,
                     ended = NULL, outcome = NULL, rows = 0, weight = 0, error = NULL",
            )
            .and_then(|mut s| {
                s.execute(named_params! {
                    ":job": job, ":planned": planned.0, ":attempt": number, ":token": self.token.0, ":now": self.now.0,
                })
            })
            .step(STEP)?;
        self.tx
            .prepare_cached("DELETE FROM job_runs WHERE job = ?1 AND planned < ?2")
            .and_then(|mut s| s.execute(params![job, (planned - RUNS_KEPT_MS).0]))
            .step("forgetting old runs")?;
        Ok(Begun::Yes(number))
    }

    pub(super) fn request_run(&self, job: &str) -> Result<TimeMs, StoreError> {
        // Two at once are two runs.
        self.tx
            .prepare_cached(
                "INSERT INTO job_runs (job, planned, attempt, token, started)
                 SELECT :job, coalesce(max(planned) + 1, :now), 0, :token, :now
                 FROM job_runs WHERE job = :job AND planned >= :now
                 RETURNING planned",
            )
            .and_then(|mut s| {
                s.query_row(named_params! { ":job": job, ":now": self.now.0, ":token": self.token.0 }, |r| {
                    r.get(0).map(TimeMs)
                })
            })
            .step("requesting a run")
    }

    pub(super) fn end_run(&self, job: &str, planned: TimeMs, report: &Report) -> Result<(), StoreError> {
        self.tx
            .prepare_cached(
                "UPDATE job_runs
                 SET ended = :now, outcome = :outcome, rows = :rows, weight = :weight, error = :error
                 WHERE job = :job AND planned = :planned AND token = :token AND ended IS NULL",
            )
            .and_then(|mut s| {
                s.execute(named_params! {
                    ":job": job, ":planned": planned.0, ":token": self.token.0, ":now": self.now.0,
                    ":outcome": report.outcome.as_str(), ":rows": report.rows.cast_signed(),
                    ":weight": report.weight.cast_signed(), ":error": report.error,
                })
            })
            .step("ending a run")?;
        Ok(())
    }
}

/// What living sessions ask for and nobody has begun, the oldest first.
pub(super) fn asked(session: &Session) -> Result<Vec<(String, TimeMs)>, StoreError> {
    const STEP: &str = "reading which runs are requested";
    let mut statement = session
        .conn()?
        .prepare_cached(
            "SELECT job, planned, token FROM job_runs WHERE attempt = 0 AND ended IS NULL ORDER BY planned, job",
        )
        .step(STEP)?;
    let asked = statement
        .query_map([], |r| Ok((r.get(0)?, TimeMs(r.get(1)?), Token(r.get(2)?))))
        .and_then(Iterator::collect::<rusqlite::Result<Vec<_>>>)
        .step(STEP)?;
    let living = asked.into_iter().filter(|(.., token)| session.is_alive(*token));
    Ok(living.map(|(job, planned, _)| (job, planned)).collect())
}

/// The newest runs of a job, or of all.
pub(super) fn newest(conn: &Connection, job: Option<&str>, most: u32) -> Result<Vec<Row>, StoreError> {
    const STEP: &str = "reading the history of jobs";
    let mut statement = conn
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM job_runs
             WHERE ?1 IS NULL OR job = ?1 ORDER BY started DESC, job, planned DESC LIMIT ?2"
        ))
        .step(STEP)?;
    let rows = statement.query_map(params![job, most], read).step(STEP)?;
    rows.collect::<Result<_, _>>().step(STEP)
}

pub(super) fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    let outcome = |words: String| {
        let known = Outcome::ALL.into_iter().find(|outcome| outcome.as_str() == words);
        known.ok_or_else(|| {
            let error = format!("{words:?} is no outcome of a run").into();
            rusqlite::Error::FromSqlConversionFailure(6, Type::Text, error)
        })
    };
    Ok(Row {
        job: row.get(0)?,
        planned: TimeMs(row.get(1)?),
        attempt: row.get(2)?,
        token: Token(row.get(3)?),
        started: TimeMs(row.get(4)?),
        ended: row.get::<_, Option<i64>>(5)?.map(TimeMs),
        outcome: row.get::<_, Option<String>>(6)?.map(outcome).transpose()?,
        rows: row.get::<_, i64>(7)?.cast_unsigned(),
        weight: row.get::<_, i64>(8)?.cast_unsigned(),
        error: row.get(9)?,
    })
}
