//! Lock files: which sessions live.
//!
//! A session lives while its process holds an exclusive lock of the operating system on `<database>.locks/<token>.lock`.
//! A crash frees the lock at once; a process that is merely stopped keeps it and is not superseded.

use std::fs::{File, TryLockError};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use hl_core::Token;
use hl_core::store::StoreError;

use super::error::{SqliteError, permanent};
use super::place;

/// The folder of lock files.
pub(super) struct Locks {
    folder: PathBuf,
}

impl Locks {
    /// Those of a database, whose name is [`resolve`](place::resolve)d: two names are one folder.
    pub(super) fn of(database: &Path) -> Self {
        Self { folder: place::beside(database, ".locks") }
    }

    /// The same, and makes the folder where it is missing.
    pub(super) fn beside(database: &Path) -> Result<Self, StoreError> {
        let locks = Self::of(database);
        std::fs::create_dir_all(&locks.folder).map_err(|source| {
            let path = locks.folder.clone();
            permanent("making the folder of lock files", SqliteError::Unwritable { path, source })
        })?;
        Ok(locks)
    }

    /// Whether the file of a token is this one.
    pub(super) fn is(&self, token: Token, file: &File) -> bool {
        let of =
            |found: std::io::Result<std::fs::Metadata>| found.map(|found| (found.dev(), found.ino())).ok();
        let own = of(file.metadata());
        own.is_some() && own == of(std::fs::metadata(self.file(token)))
    }

    /// Whether the file of a token is there.
    pub(super) fn has(&self, token: Token) -> bool {
        self.file(token).exists()
    }

    fn file(&self, token: Token) -> PathBuf {
        self.folder.join(format!("{}.lock", token.0))
    }

    /// Takes the lock of a token for as long as the file is kept.
    pub(super) fn hold(&self, token: Token) -> Result<File, StoreError> {
        const STEP: &str = "locking the session's file";
        let path = self.file(token);
        let fail = |source| permanent(STEP, SqliteError::Lock { path: path.clone(), source });
        let file = File::create(&path).map_err(fail)?;
        file.try_lock().map_err(|error| fail(error.into()))?;
        Ok(file)
    }

    /// Whether a process holds the lock of a token. Where that cannot be found out, one is assumed to.
    pub(super) fn is_held(&self, token: Token) -> bool {
        match File::open(self.file(token)) {
            Err(error) => error.kind() != std::io::ErrorKind::NotFound,
            // Shared, so that two processes that look at the same time do not take each other for the holder.
            Ok(file) => match file.try_lock_shared() {
                Ok(()) => false,
                Err(TryLockError::WouldBlock | TryLockError::Error(_)) => true,
            },
        }
    }

    pub(super) fn remove(&self, token: Token) {
        // A file that stays is looked at again when the next session opens.
        let _ = std::fs::remove_file(self.file(token));
    }
}
