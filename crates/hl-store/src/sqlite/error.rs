use std::path::PathBuf;

use hl_core::store::StoreError;
use rusqlite::ErrorCode;

/// What is wrong with a SQLite store, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum SqliteError {
    /// The path of the store names a folder.
    #[error("{} is a folder; give the path of a file in it", .0.display())]
    Folder(PathBuf),
    /// There is no store to look into.
    #[error("{} does not exist; start a collector on it first, or check the path", .0.display())]
    Missing(PathBuf),
    /// The file cannot be read.
    #[error("{} cannot be read; give this user read permission on it", path.display())]
    NotReadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The folder of the store cannot be made or written to.
    #[error("{} cannot be written to; give this user write permission on the folder, or choose another path", path.display())]
    Unwritable {
        /// The folder or file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The file is no SQLite database.
    #[error("{} is not a SQLite database; choose another path, or move the file away", .0.display())]
    NotADatabase(PathBuf),
    /// A SQLite database of some other program.
    #[error("{} is a SQLite database of another program; choose another path, or move the file away", .0.display())]
    Foreign(PathBuf),
    /// A database of an earlier release, opened for reading.
    #[error(
        "{} has schema {found}, this program reads {known}; start a collector of this release on it, which brings it there",
        path.display()
    )]
    EarlierSchema {
        /// The file.
        path: PathBuf,
        /// Its schema version.
        found: i64,
        /// The schema version that this program reads.
        known: i64,
    },
    /// A database of a later release.
    #[error(
        "{} has schema {found}, this program knows {known}; run the release that wrote it, or choose another path",
        path.display()
    )]
    OtherSchema {
        /// The file.
        path: PathBuf,
        /// Its schema version.
        found: i64,
        /// The schema version that this program knows.
        known: i64,
    },
    /// An empty file, opened for reading.
    #[error("{} is empty; start a collector on it first, or check the path", .0.display())]
    Empty(PathBuf),
    /// The database file has several names.
    #[error(
        "{} is one of several names of the same file (hard links), and SQLite keeps its log beside one of them only; \
         remove the other names, or give the store a copy of its own (`hl-cli backup`)",
        .0.display()
    )]
    ManyNames(PathBuf),
    /// A connection of this process still has a log open that was deleted.
    #[error(
        "the log of {} was deleted, and a reader in this process still has it open; it is waited for",
        .0.display()
    )]
    DeletedLogOpen(PathBuf),
    /// The log of a database that was moved away cannot be emptied yet.
    #[error(
        "another file lies at {}, and a reader keeps the log of the one that lay there before; it is waited for",
        .0.display()
    )]
    LogHeld(PathBuf),
    /// Another file lies in the place of the database that was open.
    #[error(
        "another file lies at {}, which is not this store; put the store back, and what is collected meanwhile enters from \
         the spool beside it",
        .0.display()
    )]
    OtherStore(PathBuf),
    /// The database file was deleted or moved away while it was open.
    #[error(
        "{} is not there any more: it was deleted or moved; put it back, and what is collected meanwhile enters from the \
         spool beside it",
        .0.display()
    )]
    Gone(PathBuf),
    /// The database or its log was replaced during a transaction.
    #[error("{} or its log was replaced by another program; it is opened anew", .0.display())]
    Replaced(PathBuf),
    /// The log has grown as large as it may.
    #[error(
        "the log beside {} has grown to {} MB, because a program keeps a transaction open on the database; end it, and \
         what is collected meanwhile enters from the spool",
        path.display(), bytes / 1_000_000
    )]
    LogFull {
        /// The database.
        path: PathBuf,
        /// Size of the log, bytes.
        bytes: u64,
    },
    /// The database is not there, and what was collected for it is.
    #[error(
        "{} does not exist, but {} holds rows that were collected for it; put the database back, or move the spool away \
         to begin a new one without these rows",
        database.display(), spool.display()
    )]
    SpoolAlone {
        /// The database.
        database: PathBuf,
        /// The spool.
        spool: PathBuf,
    },
    /// A database is in use there, or was when its program was killed.
    #[error(
        "{} belongs to a database at {}, which is in use or was when its program was killed; choose another name, or \
         remove both",
        left.display(), path.display()
    )]
    InUse {
        /// The database.
        path: PathBuf,
        /// Its log.
        left: PathBuf,
    },
    /// There is a file of that name.
    #[error("{} exists; choose another name, or say that it may be replaced", .0.display())]
    Exists(PathBuf),
    /// The store itself was named as the place of its copy.
    #[error("{} is the store itself; choose another name", .0.display())]
    Itself(PathBuf),
    /// A copy has not as many rows as what was copied.
    #[error("the copy at {} does not have the rows of the store; it was removed", .0.display())]
    Uneven(PathBuf),
    /// No space is left.
    #[error("the disk is full; free some space")]
    Full(#[source] rusqlite::Error),
    /// The database is damaged.
    #[error(
        "the database file is damaged; stop, move it away, and go on with a backup or a new one; \
         what is readable may be had with `sqlite3 FILE .recover`"
    )]
    Corrupt(#[source] rusqlite::Error),
    /// The database can be read but not written.
    #[error("the database file is read-only; give this user write permission on the file and its folder")]
    ReadOnly(#[source] rusqlite::Error),
    /// The operating system refuses access.
    #[error("access to the database file is denied; give this user permission on the file and its folder")]
    Denied(#[source] rusqlite::Error),
    /// The file system has no file locks, so that a living holder of a lease could not be told from a dead one.
    #[error("{} cannot be locked; put the store on a local file system", path.display())]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The epochs of a batch are not of the batch's own token.
    #[error("a batch under token {batch} holds an epoch of token {epoch}")]
    MixedTokens {
        /// The token of the batch.
        batch: u32,
        /// The token of the epoch.
        epoch: u32,
    },
    /// Every token has been given out.
    #[error("the store has given out all of its tokens; start a new one")]
    NoMoreTokens,
}

/// Names the step that failed, and sorts failures into temporary and permanent ones.
pub(crate) trait Step<T> {
    fn step(self, step: &'static str) -> Result<T, StoreError>;
}

impl<T> Step<T> for rusqlite::Result<T> {
    fn step(self, step: &'static str) -> Result<T, StoreError> {
        self.map_err(|error| sort(step, error))
    }
}

impl<T> Step<T> for Result<T, SqliteError> {
    fn step(self, step: &'static str) -> Result<T, StoreError> {
        self.map_err(|error| permanent(step, error))
    }
}

pub(crate) fn permanent(step: &'static str, error: SqliteError) -> StoreError {
    StoreError::Permanent { step, source: Box::new(error) }
}

pub(crate) fn temporary(step: &'static str, error: SqliteError) -> StoreError {
    StoreError::Temporary { step, source: Box::new(error) }
}

pub(crate) fn sort(step: &'static str, error: rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(
            ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::SystemIoFailure
            | ErrorCode::OutOfMemory
            | ErrorCode::OperationInterrupted
            | ErrorCode::FileLockingProtocolFailed
            | ErrorCode::CannotOpen
            | ErrorCode::SchemaChanged,
        ) => StoreError::Temporary { step, source: Box::new(error) },
        Some(ErrorCode::DiskFull) => {
            StoreError::Temporary { step, source: Box::new(SqliteError::Full(error)) }
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            permanent(step, SqliteError::Corrupt(error))
        }
        Some(ErrorCode::ReadOnly) => permanent(step, SqliteError::ReadOnly(error)),
        Some(ErrorCode::PermissionDenied | ErrorCode::AuthorizationForStatementDenied) => {
            permanent(step, SqliteError::Denied(error))
        }
        _ => StoreError::Permanent { step, source: Box::new(error) },
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    #[test]
    fn what_may_pass_is_temporary_and_the_rest_says_what_to_do() {
        let failure = |code| sort("writing", rusqlite::Error::SqliteFailure(ffi::Error::new(code), None));
        for code in [ffi::SQLITE_BUSY, ffi::SQLITE_FULL, ffi::SQLITE_IOERR, ffi::SQLITE_IOERR_FSYNC] {
            assert!(failure(code).is_temporary(), "{code}");
        }
        for (code, advice) in [
            (ffi::SQLITE_CORRUPT, ".recover"),
            (ffi::SQLITE_NOTADB, ".recover"),
            (ffi::SQLITE_READONLY, "write permission"),
            (ffi::SQLITE_PERM, "permission"),
        ] {
            let error = failure(code);
            assert!(!error.is_temporary() && error.to_string().contains(advice), "{error}");
        }
    }
}
