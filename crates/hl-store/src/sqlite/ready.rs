//! That what a session writes goes into the database of its name, whatever other programs do to the files.
//!
//! What lives here: looking before each write, waiting for a database that is gone, opening anew what was replaced, and
//! bounding the log. How the files are told from others is in `place.rs`.

use hl_core::Token;
use hl_core::store::{NETWORK, StoreError};
use rusqlite::{OptionalExtension as _, Transaction, TransactionBehavior, params};

use super::error::{SqliteError, Step as _, temporary};
use super::file::{self, Opened};
use super::locks::Locks;
use super::place::Displaced;
use super::readers::readers;
use super::schema;
use super::session::{Session, enter, note};

/// A log that is larger than this is emptied when readers let it, bytes. In ordinary times it holds a quarter of that.
const LOG_EMPTIED_ABOVE: u64 = 16 << 20;
/// How often that is tried while a reader holds it, ms.
const EMPTY_EVERY_MS: i64 = 1_000;
/// A log that readers hold grows no further than this, bytes: the disk is not theirs. What is collected meanwhile waits in
/// the spool.
const LOG_MOST: u64 = 1 << 30;

impl Session {
    /// Sees to it that what is written goes into the database of that name.
    pub(super) fn make_ready(&mut self) -> Result<(), StoreError> {
        let found = match &self.file {
            Some(file) => file.look(),
            None if self.database.exists() => Err(Displaced::Replaced),
            None => Err(Displaced::Gone),
        };
        match found {
            Ok(bytes) => self.bound_log(bytes)?,
            Err(Displaced::Gone) => {
                // So that the file is whole where it lies now. The log stays: the file may come back to it.
                if self.told().gone.is_none()
                    && let Some(Err(error)) = self.file.as_ref().map(Opened::empty_own_log)
                {
                    tracing::warn!(%error, "the log of a database that is gone could not be brought into it");
                }
                return Err(self.gone(SqliteError::Gone(self.database.clone())));
            }
            Err(Displaced::Replaced) => {
                self.recognise()?;
                self.open_anew()?;
            }
            Err(Displaced::LogReplaced) => self.open_anew()?,
        }
        self.told().gone = None;
        Ok(())
    }

    /// Nothing can be written until a person does something about it, which is told.
    fn gone(&self, error: SqliteError) -> StoreError {
        if self.told().gone.replace(error.to_string()).is_none() {
            tracing::error!(%error, "the database is gone");
        }
        temporary("writing to the database", error)
    }

    /// Whether the file that has the name now is this store at some time: not an empty one, nor another program's, nor
    /// that of another network.
    fn recognise(&self) -> Result<(), StoreError> {
        let Some(old) = &self.file else { return Ok(()) };
        if !old.leave_whole()? {
            return Err(temporary("opening the database anew", SqliteError::LogHeld(self.database.clone())));
        }
        let network = note(old, NETWORK)?;
        let found = file::open_for_reading(&self.database, schema::KIND).and_then(|new| note(&new, NETWORK));
        match found {
            Ok(found) if network.is_none() || found == network => Ok(()),
            Err(error) if error.is_temporary() => Err(error),
            _ => Err(self.gone(SqliteError::OtherStore(self.database.clone()))),
        }
    }

    /// Goes on with the database that has the name now. What the earlier one had and this one has not is missing from the
    /// ledger of this one too: the next batches show it.
    fn open_anew(&mut self) -> Result<(), StoreError> {
        if self.file.take().is_some() {
            self.told().replaced += 1;
            tracing::error!(
                database = %self.database.display(),
                "another program replaced the database or its log: it is opened anew, and rows that were lost become gaps"
            );
        }
        let mut file = file::open_for_writing(&self.database, schema::KIND)?;
        file::quick_check(&mut file)?;
        // The folder of lock files may have gone with the database.
        self.locks = Locks::beside(&self.database)?;
        if !self.locks.has(self.token) {
            self.alive = self.locks.hold(self.token)?;
        } else if !self.locks.is(self.token, &self.alive) {
            return Err(StoreError::Superseded);
        }
        let tx = file
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .step("entering the database anew")?;
        self.enter_anew(&tx)?;
        tx.commit().step("entering the database anew")?;
        self.file = Some(file);
        Ok(())
    }

    /// Takes its place in a database that may know it, or not yet. Where another session has its token it is over.
    fn enter_anew(&self, tx: &Transaction<'_>) -> Result<(), StoreError> {
        const STEP: &str = "entering the database anew";
        let last: u32 = tx.query_row("SELECT last FROM token_counter", [], |r| r.get(0)).step(STEP)?;
        let known: Option<(u32, i64)> = tx
            .query_row("SELECT pid, since FROM sessions WHERE token = ?1", [self.token.0], |r| {
                Ok((r.get(0)?, r.get(1)?))
            })
            .optional()
            .step(STEP)?;
        match known {
            Some(known) if known == (self.options.pid, self.since.0) => {}
            // A copy from before this session. It has given out fewer tokens, and would give them out again.
            None if last < self.token.0 => {
                tx.execute("UPDATE token_counter SET last = ?1", [self.token.0]).step(STEP)?;
                enter(tx, self.token, &self.options, self.since)?;
            }
            _ => return Err(StoreError::Superseded),
        }
        // Its streams are still its own, unless a living session has taken them there.
        for stream in &self.leased {
            let name = stream.to_string();
            let holder: Option<Option<u32>> = tx
                .query_row("SELECT token FROM streams WHERE stream = ?1", [&name], |r| r.get(0))
                .optional()
                .step(STEP)?;
            if !holder.flatten().is_some_and(|token| self.is_alive(Token(token))) {
                tx.execute("UPDATE streams SET token = ?2 WHERE stream = ?1", params![name, self.token.0])
                    .step(STEP)?;
            }
        }
        Ok(())
    }

    /// Gives the space of a log back that a reader has held, and refuses to let it grow without end.
    fn bound_log(&mut self, bytes: u64) -> Result<(), StoreError> {
        let now = self.clock.now();
        let waited = now.since(self.emptied);
        let is_due = !(0..EMPTY_EVERY_MS).contains(&waited);
        self.told().log_bytes = bytes;
        if bytes <= LOG_EMPTIED_ABOVE {
            let mut told = self.told();
            (told.log_held_since, told.log_held_by) = (None, Vec::new());
        } else if is_due && let Some(file) = &self.file {
            self.emptied = now;
            let is_empty = file::empty_log(file)?;
            let held_by = if is_empty { Vec::new() } else { readers(&self.database) };
            let mut told = self.told();
            told.log_held_since = (!is_empty).then(|| told.log_held_since.unwrap_or(now));
            told.log_held_by = held_by;
        }
        if bytes > LOG_MOST && self.told().log_held_since.is_some() {
            let path = self.database.clone();
            return Err(temporary("writing to the database", SqliteError::LogFull { path, bytes }));
        }
        Ok(())
    }
}
