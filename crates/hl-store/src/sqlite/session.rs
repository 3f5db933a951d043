//! A session: the token, the lock that proves it alive, leases and notes.
//!
//! Whether a session lives is said by its lock file (`locks.rs`). Whatever that says, the token in the stream's row decides
//! which session may write.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hl_core::ledger::{GapChange, GapState};
use hl_core::seam::Clock;
use hl_core::store::{
    Holder, Leases, LiveSession, RECENT_MS, Recent, StoreCondition, StoreError, StreamStart, note_of,
};
use hl_core::{StreamKey, TimeMs, Token};
use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, named_params, params};

use super::error::{SqliteError, Step as _, permanent, temporary};
use super::file::Opened;
use super::locks::Locks;
use super::place;
use super::{SqliteOptions, alerts, file, rows, schema};
use crate::spool;

/// The one connection that writes, and who it is.
pub(super) struct Session {
    // Dropped before the lock is. None while the database could not be opened anew.
    pub(super) file: Option<Opened>,
    pub(super) token: Token,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) locks: Locks,
    pub(super) alive: File,
    /// What it is called in the table of sessions.
    pub(super) options: Arc<SqliteOptions>,
    pub(super) since: TimeMs,
    pub(super) database: PathBuf,
    /// The streams that it was granted, and has not given back.
    pub(super) leased: BTreeSet<StreamKey>,
    pub(super) condition: Arc<Mutex<StoreCondition>>,
    /// When it was last tried to empty a log that a reader holds.
    pub(super) emptied: TimeMs,
}

impl Session {
    /// Opens the database, takes the next token, proves itself alive, and tidies up after the dead.
    pub(super) fn open(
        options: Arc<SqliteOptions>,
        condition: Arc<Mutex<StoreCondition>>,
    ) -> Result<Self, StoreError> {
        const STEP: &str = "taking a token";
        let database = place::resolve(&options.path);
        if database != options.path {
            let (name, database) = (options.path.display(), database.display());
            tracing::info!(%name, %database, "the store's name is a link; its log, locks and spool lie beside the file");
        }
        if !database.exists() {
            if let Some(spool) = spool::left_alone(&database) {
                return Err(permanent("opening the database", SqliteError::SpoolAlone { database, spool }));
            }
            // SQLite does not say why a file cannot be made; a folder beside it says so.
            Locks::beside(&database)?;
        }
        let mut file = file::open_for_writing(&database, schema::KIND)?;
        let locks = Locks::beside(&database)?;
        if living(&file, &locks)?.is_empty() {
            // Another session would have checked it.
            file::quick_check(&mut file)?;
        }
        let tx = file.transaction_with_behavior(TransactionBehavior::Immediate).step(STEP)?;
        let last: i64 = tx.query_row("SELECT last FROM token_counter", [], |r| r.get(0)).step(STEP)?;
        let token = last
            .checked_add(1)
            .and_then(|next| u32::try_from(next).ok())
            .filter(|t| i32::try_from(*t).is_ok())
            .map(Token)
            .ok_or_else(|| permanent(STEP, SqliteError::NoMoreTokens))?;
        // Locked before the token is visible, so that no session can see it dead.
        let alive = locks.hold(token)?;
        let now = options.clock.now();
        tidy(&tx, &locks, now)?;
        tx.execute("UPDATE token_counter SET last = ?1", [token.0]).step(STEP)?;
        enter(&tx, token, &options, now)?;
        tx.commit().step(STEP)?;
        let clock = Arc::clone(&options.clock);
        let file = Some(file);
        let leased = BTreeSet::new();
        Ok(Self {
            file,
            token,
            clock,
            locks,
            alive,
            options,
            since: now,
            database,
            leased,
            condition,
            emptied: now,
        })
    }

    /// Runs `work` in one transaction that holds the right to write from its start.
    pub(super) fn write<R>(
        &mut self,
        step: &'static str,
        work: impl FnOnce(&Scope<'_>) -> Result<R, StoreError>,
    ) -> Result<R, StoreError> {
        self.make_ready()?;
        let (token, now) = (self.token, self.clock.now());
        let file = self.file.as_mut().ok_or(StoreError::Closed)?;
        let tx = file.transaction_with_behavior(TransactionBehavior::Immediate).step(step)?;
        let answer =
            work(&Scope { tx: &tx, token, now, locks: &self.locks, gap_changes: RefCell::default() })?;
        tx.commit().step(step)?;
        // What went into a file that others do not see is not stored.
        match file.look() {
            Ok(_) => Ok(answer),
            Err(_) => Err(temporary(step, SqliteError::Replaced(self.database.clone()))),
        }
    }

    pub(super) fn told(&self) -> MutexGuard<'_, StoreCondition> {
        self.condition.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the holder of a token is alive.
    pub(super) fn is_alive(&self, token: Token) -> bool {
        is_alive(self.token, &self.locks, token)
    }

    pub(super) fn conn(&self) -> Result<&Connection, StoreError> {
        let away = || temporary("reading the database", SqliteError::Replaced(self.database.clone()));
        self.file.as_deref().ok_or_else(away)
    }

    pub(super) fn put_note(&mut self, name: &str, text: &str) -> Result<(), StoreError> {
        const STEP: &str = "keeping a note";
        self.write(STEP, |scope| {
            let sql = "INSERT INTO notes (name, text, updated_at) VALUES (?1, ?2, ?3)
                 ON CONFLICT (name) DO UPDATE SET text = excluded.text, updated_at = excluded.updated_at";
            let mut statement = scope.tx.prepare_cached(sql).step(STEP)?;
            statement.execute(params![name, text, scope.now.0]).step(STEP)?;
            Ok(())
        })
    }

    /// Every living session with its note; forgets the dead.
    pub(super) fn live_sessions(&mut self, name: &str) -> Result<Vec<LiveSession>, StoreError> {
        let all = sessions(self.conn()?)?;
        let (living, dead): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|session| self.is_alive(session.token));
        if !dead.is_empty() {
            self.write("tidying up after the dead", |scope| tidy(scope.tx, scope.locks, scope.now))?;
        }
        let conn = self.conn()?;
        living
            .into_iter()
            .map(|holder| {
                let note = note(conn, &note_of(name, holder.token))?;
                Ok(LiveSession { holder, note })
            })
            .collect()
    }

    pub(super) fn lease(&mut self, streams: &[StreamKey]) -> Result<Leases, StoreError> {
        let leases = self.write("taking leases", |scope| scope.lease(streams))?;
        self.leased.extend(leases.granted.iter().map(|start| start.stream));
        Ok(leases)
    }

    pub(super) fn release(&mut self, streams: &[StreamKey]) -> Result<(), StoreError> {
        self.write("giving leases back", |scope| scope.release(streams))?;
        for stream in streams {
            self.leased.remove(stream);
        }
        Ok(())
    }

    /// Gives up everything that the session holds.
    pub(super) fn finish(&mut self) -> Result<(), StoreError> {
        const STEP: &str = "closing the session";
        let token = self.token;
        self.write(STEP, |scope| {
            scope.tx.execute("UPDATE streams SET token = NULL WHERE token = ?1", [token.0]).step(STEP)?;
            forget(scope.tx, token, scope.now)
        })?;
        self.locks.remove(token);
        Ok(())
    }
}

/// Enters a session among the living.
pub(super) fn enter(
    tx: &Transaction<'_>,
    token: Token,
    options: &SqliteOptions,
    since: TimeMs,
) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO sessions (token, pid, host, role, since) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![token.0, options.pid, options.host, options.role, since.0],
    )
    .step("entering a session")?;
    Ok(())
}

/// One transaction, and what it needs to know.
pub(super) struct Scope<'a> {
    pub(super) tx: &'a Transaction<'a>,
    /// Of the session, not of the batch.
    pub(super) token: Token,
    pub(super) now: TimeMs,
    pub(super) locks: &'a Locks,
    /// What became of gaps in it.
    pub(super) gap_changes: RefCell<Vec<(StreamKey, GapChange)>>,
}

impl Scope<'_> {
    /// Whether the holder of a token is alive.
    pub(super) fn is_alive(&self, token: Token) -> bool {
        is_alive(self.token, self.locks, token)
    }

    pub(super) fn lease(&self, streams: &[StreamKey]) -> Result<Leases, StoreError> {
        const STEP: &str = "taking leases";
        let mut leases = Leases::default();
        let mut living = BTreeMap::new();
        for &stream in streams {
            let name = stream.to_string();
            let row: Option<(Option<i64>, Option<i64>, Option<u32>)> = self
                .tx
                .prepare_cached("SELECT edge, ended, token FROM streams WHERE stream = ?1")
                .step(STEP)?
                .query_row([&name], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))
                .optional()
                .step(STEP)?;
            let (edge, ended, former) = row.unwrap_or_default();
            if let Some(former) = former.map(Token).filter(|t| *t != self.token) {
                let holder = match living.get(&former) {
                    Some(known) => Option::clone(known),
                    None => {
                        let holder = if self.is_alive(former) { holder(self.tx, former)? } else { None };
                        living.insert(former, holder.clone());
                        holder
                    }
                };
                if let Some(holder) = holder {
                    leases.held.push((stream, holder));
                    continue;
                }
            }
            let edge = match edge {
                Some(edge) => Some(edge),
                None => edge_of_ledger(self.tx, &name)?,
            };
            self.tx
                .prepare_cached(
                    "INSERT INTO streams (stream, edge, token, leased_at)
                     VALUES (:stream, :edge, :token, :now)
                     ON CONFLICT (stream) DO UPDATE
                     SET edge = excluded.edge, token = excluded.token, leased_at = excluded.leased_at, ended = NULL",
                )
                .step(STEP)?
                .execute(named_params! {
                    ":stream": name, ":edge": edge, ":token": self.token.0, ":now": self.now.0,
                })
                .step(STEP)?;
            let edge = edge.map(TimeMs);
            let recent = match edge.filter(|_| Recent::is_read_of(stream)) {
                Some(_) if stream == StreamKey::Markets => {
                    Recent { markets: rows::markets(self.tx)?, ..Recent::default() }
                }
                Some(edge) => self.recent(&name, stream, edge)?,
                None => Recent::default(),
            };
            let ended = ended.map(TimeMs);
            leases.granted.push(StreamStart { stream, edge, ended, recent });
        }
        Ok(leases)
    }

    /// What is stored of the last minutes before the edge.
    fn recent(&self, name: &str, stream: StreamKey, edge: TimeMs) -> Result<Recent, StoreError> {
        const STEP: &str = "reading what lies before the edge";
        let oldest = edge - RECENT_MS;
        let mut known = self
            .tx
            .prepare_cached(
                "SELECT from_time, to_time, '' FROM coverage WHERE stream = ?1 AND to_time >= ?2
                 UNION ALL
                 SELECT from_time, to_time, state FROM gaps
                 WHERE stream = ?1 AND to_time >= ?2 AND state <> 'backfilled'",
            )
            .step(STEP)?;
        let pieces = known
            .query_map(params![name, oldest.0], |r| {
                let state = |word: &str| match word {
                    "" => Some(None),
                    word => GapState::parse(word).map(Some),
                };
                Ok((rows::span(r, 0)?, rows::word(r, 2, state)?))
            })
            .and_then(Iterator::collect::<rusqlite::Result<Vec<_>>>)
            .step(STEP)?;
        let first = self
            .tx
            .prepare_cached(
                "SELECT min(first) FROM (SELECT min(from_time) AS first FROM coverage WHERE stream = ?1
                 UNION ALL SELECT min(from_time) FROM gaps WHERE stream = ?1)",
            )
            .step(STEP)?
            .query_row([name], |r| r.get::<_, Option<i64>>(0))
            .step(STEP)?;
        let recent = Recent::before(edge, first.map(TimeMs), pieces);
        let StreamKey::Trades(coin) = stream else { return Ok(recent) };
        // The edge block itself is known also where no piece ends there.
        let from = recent.since.unwrap_or(edge);
        let mut keys = self
            .tx
            .prepare_cached(
                "SELECT time, tid FROM trades WHERE coin = ?1 AND time BETWEEN ?2 AND ?3 ORDER BY time, tid",
            )
            .step(STEP)?;
        let keys = keys
            .query_map(params![coin.as_str(), from.0, edge.0], |r| {
                Ok((TimeMs(r.get(0)?), r.get::<_, i64>(1)?.unsigned_abs()))
            })
            .and_then(Iterator::collect::<rusqlite::Result<Vec<_>>>)
            .step(STEP)?;
        Ok(Recent { keys, ..recent })
    }

    pub(super) fn release(&self, streams: &[StreamKey]) -> Result<(), StoreError> {
        const STEP: &str = "giving leases back";
        for stream in streams {
            self.tx
                .prepare_cached("UPDATE streams SET token = NULL WHERE stream = ?1 AND token = ?2")
                .step(STEP)?
                .execute(params![stream.to_string(), self.token.0])
                .step(STEP)?;
        }
        Ok(())
    }
}

/// A stream that only a backfill has touched so far begins where its ledger ends.
pub(super) fn edge_of_ledger(conn: &Connection, stream: &str) -> Result<Option<i64>, StoreError> {
    conn.prepare_cached(
        "SELECT max(t) FROM (SELECT max(to_time) AS t FROM coverage WHERE stream = ?1
                             UNION ALL SELECT max(to_time) FROM gaps WHERE stream = ?1)",
    )
    .and_then(|mut s| s.query_row([stream], |r| r.get(0)))
    .step("reading the end of a ledger")
}

/// Whether the holder of a token is alive, as the session `own` sees it: its own lock it does not ask for.
pub(super) fn is_alive(own: Token, locks: &Locks, token: Token) -> bool {
    token == own || locks.is_held(token)
}

/// The edge of a stream; none where it has none, or is not known.
pub(super) fn edge(conn: &Connection, stream: StreamKey) -> Result<Option<TimeMs>, StoreError> {
    let edge: Option<Option<i64>> = conn
        .prepare_cached("SELECT edge FROM streams WHERE stream = ?1")
        .and_then(|mut s| s.query_row([stream.to_string()], |r| r.get(0)).optional())
        .step("reading an edge")?;
    Ok(edge.flatten().map(TimeMs))
}

/// The session behind a token, where it is still in the table.
pub(super) fn holder(conn: &Connection, token: Token) -> Result<Option<Holder>, StoreError> {
    let sql = "SELECT token, pid, host, role, since FROM sessions WHERE token = ?1";
    conn.prepare_cached(sql)
        .and_then(|mut s| s.query_row([token.0], read_holder).optional())
        .step("reading a session")
}

fn read_holder(row: &rusqlite::Row<'_>) -> rusqlite::Result<Holder> {
    Ok(Holder {
        token: Token(row.get(0)?),
        pid: row.get(1)?,
        host: row.get(2)?,
        role: row.get(3)?,
        since: TimeMs(row.get(4)?),
    })
}

/// Every session in the table, by token, the dead ones included.
fn sessions(conn: &Connection) -> Result<Vec<Holder>, StoreError> {
    const STEP: &str = "reading the sessions";
    let mut statement = conn
        .prepare_cached("SELECT token, pid, host, role, since FROM sessions ORDER BY token")
        .step(STEP)?;
    let rows = statement.query_map([], read_holder).step(STEP)?;
    rows.collect::<Result<_, _>>().step(STEP)
}

/// Every living session, by token.
pub(super) fn living(conn: &Connection, locks: &Locks) -> Result<Vec<Holder>, StoreError> {
    Ok(sessions(conn)?.into_iter().filter(|s| locks.is_held(s.token)).collect())
}

pub(super) fn note(conn: &Connection, name: &str) -> Result<Option<String>, StoreError> {
    conn.prepare_cached("SELECT text FROM notes WHERE name = ?1")
        .and_then(|mut s| s.query_row([name], |r| r.get(0)).optional())
        .step("reading a note")
}

/// Removes what the dead left behind. Their tokens stay in `streams`: until somebody takes such a stream, batches
/// that they spooled may still be written under them.
fn tidy(tx: &Transaction<'_>, locks: &Locks, now: TimeMs) -> Result<(), StoreError> {
    for session in sessions(tx)? {
        if !locks.is_held(session.token) {
            forget(tx, session.token, now)?;
            locks.remove(session.token);
        }
    }
    Ok(())
}

fn forget(tx: &Transaction<'_>, token: Token, now: TimeMs) -> Result<(), StoreError> {
    const STEP: &str = "removing a session";
    tx.execute("UPDATE gaps SET claim = NULL WHERE claim >> 32 = ?1 AND claim IS NOT NULL", [token.0])
        .step(STEP)?;
    tx.execute("DELETE FROM notes WHERE name GLOB '*/' || ?1", [token.0]).step(STEP)?;
    tx.execute("DELETE FROM archive_claims WHERE epoch >> 32 = ?1", [token.0]).step(STEP)?;
    tx.execute("DELETE FROM sessions WHERE token = ?1", [token.0]).step(STEP)?;
    alerts::end(tx, token, now)
}
