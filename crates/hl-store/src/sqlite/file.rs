//! How a SQLite file of ours is opened, made, and told from others.

use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::time::Duration;

use hl_core::row::Table;
use hl_core::store::StoreError;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};

use super::error::{SqliteError, Step as _, permanent, sort, temporary};
use super::place::{self, Displaced, OpenLog, Place};
use super::rows;

/// One kind of file.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    /// What marks the file as ours.
    pub(crate) application_id: i64,
    /// Makes the tables: each step brings the schema to the next version, the first to version 1.
    pub(crate) steps: &'static [SchemaStep],
    /// How long a request waits for another process to finish its transaction.
    pub(crate) busy: Duration,
}

/// What a step of the schema does. One that was released is never changed: what comes after it is a further one.
#[derive(Clone, Copy)]
pub(crate) enum SchemaStep {
    /// Runs SQL.
    Sql(&'static str),
    /// Makes the table of a kind of rows that its record describes, and its view.
    Rows(&'static Table),
}

impl SchemaStep {
    pub(super) fn take(self, tx: &Transaction<'_>) -> rusqlite::Result<()> {
        match self {
            Self::Sql(sql) => tx.execute_batch(sql),
            Self::Rows(table) => tx.execute_batch(&rows::definition(table)),
        }
    }
}

impl Kind {
    /// The schema version that this program writes.
    fn version(self) -> i64 {
        i64::try_from(self.steps.len()).unwrap_or(i64::MAX)
    }
}

/// How much of a file [`quick_check`] looks at, in pages of 4 KiB: 2 GiB, which a slow disk reads in ten seconds.
const CHECKED_STEPS: u64 = 500_000;
/// How often it may be told to end.
const STEPS_EACH: i32 = 1_000;

/// An open connection, and the files that it was opened on.
#[derive(Debug)]
pub(crate) struct Opened {
    // Dropped first: only then is its log open no more.
    conn: Connection,
    place: Place,
    _open: OpenLog,
}

impl Opened {
    /// Whether the database's names still lead to its files; the size of the log, bytes.
    pub(crate) fn look(&self) -> Result<u64, Displaced> {
        self.place.look()
    }

    /// Brings what its log holds into a database that was moved away, and takes the log from under the old name: it must not
    /// meet another database there. False where a reader keeps it.
    pub(crate) fn leave_whole(&self) -> Result<bool, StoreError> {
        let is_empty = self.empty_own_log()?;
        if is_empty && self.place.has_own_log() {
            self.place.remove_log();
        }
        Ok(is_empty)
    }

    /// Brings what its log holds into the database, as long as the log has its name. False where a reader keeps it.
    pub(crate) fn empty_own_log(&self) -> Result<bool, StoreError> {
        if self.place.has_own_log() { empty_log(&self.conn) } else { Ok(true) }
    }

    /// Brings what its log holds into its database, wherever both are now. Only where no other program can have written to
    /// the database since they were parted. Whether the log is empty now.
    pub(crate) fn empty_log(&self) -> Result<bool, StoreError> {
        empty_log(&self.conn)
    }
}

impl Deref for Opened {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.conn
    }
}

impl DerefMut for Opened {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.conn
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        if self.look().is_err() {
            // The last connection brings the log into the database and removes the file of that name: another's by now.
            let _ = self.conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
        }
    }
}

/// Opens the file for writing, makes it where there is none, and brings an earlier schema to this one. `path` is
/// [`resolve`](place::resolve)d.
pub(crate) fn open_for_writing(path: &Path, kind: Kind) -> Result<Opened, StoreError> {
    const STEP: &str = "opening the database";
    if path.is_dir() {
        return Err(permanent(STEP, SqliteError::Folder(path.to_owned())));
    }
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)
        .map_err(|source| permanent(STEP, SqliteError::Unwritable { path: folder.to_owned(), source }))?;
    // SQLite says "unable to open" for every cause; the operating system says which.
    place::may_write(path)
        .map_err(|source| permanent(STEP, SqliteError::Unwritable { path: path.to_owned(), source }))?;
    if place::names(path) > 1 {
        return Err(permanent(STEP, SqliteError::ManyNames(path.to_owned())));
    }
    place::close_displaced();
    if place::has_deleted_log_open(path) {
        return Err(temporary(STEP, SqliteError::DeletedLogOpen(path.to_owned())));
    }
    let mut conn = connect(path, kind, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
    let found = look(&conn, path, kind)?;
    conn.pragma_update(None, "journal_mode", "WAL").map_err(|e| unreadable(path, e))?;
    conn.pragma_update(None, "synchronous", "FULL").step(STEP)?;
    conn.pragma_update(None, "journal_size_limit", 8 << 20).step(STEP)?;
    conn.pragma_update(None, "cache_size", -16_384).step(STEP)?;
    conn.set_prepared_statement_cache_capacity(128);
    if found != Some(kind.version()) {
        upgrade(&mut conn, path, kind)?;
    }
    opened(conn, path)
}

/// Opens an existing file for reading. `path` is [`resolve`](place::resolve)d.
pub(crate) fn open_for_reading(path: &Path, kind: Kind) -> Result<Opened, StoreError> {
    const STEP: &str = "opening the database for reading";
    if path.is_dir() {
        return Err(permanent(STEP, SqliteError::Folder(path.to_owned())));
    }
    place::may_read(path).map_err(|source| {
        let path = path.to_owned();
        permanent(
            STEP,
            match source.kind() {
                std::io::ErrorKind::NotFound => SqliteError::Missing(path),
                _ => SqliteError::NotReadable { path, source },
            },
        )
    })?;
    if place::has_deleted_log_open(path) {
        return Err(temporary(STEP, SqliteError::DeletedLogOpen(path.to_owned())));
    }
    let mut conn = connect(path, kind, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    if let Err(error) = conn.query_row("PRAGMA schema_version", [], |_| Ok(()))
        && matches!(error.sqlite_error_code(), Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly))
        && let Some(uri) = as_it_lies(path)
    {
        // No program can write in that place, so there is no log beside the file, and SQLite cannot make one.
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
        conn = connect(Path::new(&uri), kind, flags)?;
    }
    match look(&conn, path, kind)? {
        None => return Err(permanent(STEP, SqliteError::Empty(path.to_owned()))),
        Some(found) if found != kind.version() => {
            let path = path.to_owned();
            return Err(permanent(STEP, SqliteError::EarlierSchema { path, found, known: kind.version() }));
        }
        Some(_) => {}
    }
    conn.pragma_update(None, "cache_size", -65_536).step(STEP)?;
    opened(conn, path)
}

fn opened(conn: Connection, path: &Path) -> Result<Opened, StoreError> {
    let place = Place::of(path).map_err(|source| {
        temporary("looking at the database file", SqliteError::NotReadable { path: path.to_owned(), source })
    })?;
    let open = OpenLog::of(&place);
    Ok(Opened { conn, place, _open: open })
}

/// Brings the whole log into the database and makes it empty, unless a reader or a writer keeps it. Whether it is empty
/// now. Does not wait.
pub(crate) fn empty_log(conn: &Connection) -> Result<bool, StoreError> {
    const STEP: &str = "emptying the log";
    let patience: i64 = conn.query_row("PRAGMA busy_timeout", [], |r| r.get(0)).step(STEP)?;
    conn.busy_timeout(Duration::ZERO).step(STEP)?;
    let busy = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |r| r.get::<_, bool>(0));
    conn.busy_timeout(Duration::from_millis(patience.unsigned_abs())).step(STEP)?;
    match busy {
        Ok(busy) => Ok(!busy),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => Ok(false),
        Err(error) => Err(sort(STEP, error)),
    }
}

/// The name by which SQLite reads a file without a log; none where there is a log.
fn as_it_lies(path: &Path) -> Option<String> {
    use std::fmt::Write as _;
    if place::log_of(path).exists() {
        return None;
    }
    let mut uri = "file:".to_owned();
    for byte in path.to_str()?.bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => uri.push(char::from(byte)),
            _ => write!(uri, "%{byte:02x}").ok()?,
        }
    }
    Some(uri + "?immutable=1")
}

fn connect(path: &Path, kind: Kind, flags: OpenFlags) -> Result<Connection, StoreError> {
    const STEP: &str = "opening the database";
    let conn = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX).step(STEP)?;
    conn.busy_timeout(kind.busy).step(STEP)?;
    // Plans do not depend on the values bound to a statement. Otherwise SQLite plans some anew each time they run.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).step(STEP)?;
    Ok(conn)
}

/// [`version`], all of it from one state of the file: another process may be making it.
fn look(conn: &Connection, path: &Path, kind: Kind) -> Result<Option<i64>, StoreError> {
    let tx = conn.unchecked_transaction().map_err(|e| unreadable(path, e))?;
    let found = version(&tx, path, kind)?;
    tx.finish().map_err(|e| unreadable(path, e))?;
    Ok(found)
}

/// The schema version of a file of the kind, at most this program's; none of an empty file. Anything else is an error.
fn version(conn: &Connection, path: &Path, kind: Kind) -> Result<Option<i64>, StoreError> {
    const STEP: &str = "reading the schema version";
    let int = |sql| conn.query_row(sql, [], |r| r.get::<_, i64>(0)).map_err(|e| unreadable(path, e));
    let application = int("PRAGMA application_id")?;
    let found = int("PRAGMA user_version")?;
    let path = path.to_owned();
    if application == 0 && found == 0 && int("SELECT count(*) FROM sqlite_master")? == 0 {
        Ok(None)
    } else if application != kind.application_id {
        Err(permanent(STEP, SqliteError::Foreign(path)))
    } else if !(1..=kind.version()).contains(&found) {
        Err(permanent(STEP, SqliteError::OtherSchema { path, found, known: kind.version() }))
    } else {
        Ok(Some(found))
    }
}

/// Takes the steps that the file lacks, all or none.
fn upgrade(conn: &mut Connection, path: &Path, kind: Kind) -> Result<(), StoreError> {
    const STEP: &str = "creating the tables";
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate).step(STEP)?;
    // Another process may have been faster.
    let found = version(&tx, path, kind)?.unwrap_or(0);
    for step in kind.steps.iter().skip(usize::try_from(found).unwrap_or(0)) {
        step.take(&tx).step(STEP)?;
    }
    tx.pragma_update(None, "application_id", kind.application_id).step(STEP)?;
    tx.pragma_update(None, "user_version", kind.version()).step(STEP)?;
    tx.commit().step(STEP)
}

/// Refuses a damaged file. Reads all of it.
pub(crate) fn check(conn: &Connection) -> Result<(), StoreError> {
    verdict(said_by(conn, "PRAGMA integrity_check(1)"))
}

/// The same, but ends with [`StoreError::Closed`] where that is asked for in between.
pub(crate) fn check_until(
    conn: &mut Connection,
    every: i32,
    is_ended: impl FnMut() -> bool + Send + 'static,
) -> Result<(), StoreError> {
    match interrupted(conn, "PRAGMA integrity_check(1)", every, is_ended)? {
        Some(said) => verdict(Ok(said)),
        None => Err(StoreError::Closed),
    }
}

/// Refuses a file whose pages are damaged. Reads as much of it as a start may take.
pub(crate) fn quick_check(conn: &mut Connection) -> Result<(), StoreError> {
    let mut left = CHECKED_STEPS / u64::from(STEPS_EACH.unsigned_abs());
    let enough = move || {
        left = left.saturating_sub(1);
        left == 0
    };
    interrupted(conn, "PRAGMA quick_check(1)", STEPS_EACH, enough)?.map_or(Ok(()), |said| verdict(Ok(said)))
}

/// What a check says; none where it was ended before.
fn interrupted(
    conn: &mut Connection,
    sql: &str,
    every: i32,
    is_ended: impl FnMut() -> bool + Send + 'static,
) -> Result<Option<String>, StoreError> {
    const STEP: &str = "checking the file";
    conn.progress_handler(every, Some(is_ended)).step(STEP)?;
    let said = said_by(conn, sql);
    conn.progress_handler(0, None::<fn() -> bool>).step(STEP)?;
    match said {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => Ok(None),
        said => said.map(Some).step(STEP),
    }
}

fn said_by(conn: &Connection, sql: &str) -> rusqlite::Result<String> {
    conn.query_row(sql, [], |r| r.get(0))
}

fn verdict(said: rusqlite::Result<String>) -> Result<(), StoreError> {
    const STEP: &str = "checking the file";
    let said = said.step(STEP)?;
    if said == "ok" {
        return Ok(());
    }
    let corrupt = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
    Err(sort(STEP, rusqlite::Error::SqliteFailure(corrupt, Some(said))))
}

fn unreadable(path: &Path, error: rusqlite::Error) -> StoreError {
    const STEP: &str = "reading the database file";
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => permanent(STEP, SqliteError::NotADatabase(path.to_owned())),
        _ => sort(STEP, error),
    }
}
