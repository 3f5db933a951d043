//! A copy of a store in use, as one file, by SQLite's online backup.
//!
//! One read transaction lies under all that is copied, so the copy is one state of the store however long it takes, and the
//! writer is not held up. The log cannot be emptied until the copying is done; checking the copy does not keep it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use hl_core::store::StoreError;
use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use super::error::{SqliteError, Step as _, permanent};
use super::{SqliteStore, file, place, schema};
use crate::writer::{Worker, Writer};

/// Pages a step: after each the progress is told, and an end that was asked for is seen.
const PAGES_A_STEP: i32 = 1_024;
/// How often the check of the copy looks whether it is to end.
const STEPS_EACH: i32 = 100_000;

/// How far a backup is, as another thread sees it.
#[derive(Debug, Default)]
pub struct BackupProgress {
    copied: AtomicU64,
    all: AtomicU64,
    checking: AtomicBool,
    ended: AtomicBool,
}

impl BackupProgress {
    /// Pages copied, and pages in all. 0 of 0 before it has begun.
    #[must_use]
    pub fn pages(&self) -> (u64, u64) {
        (self.copied.load(Ordering::Relaxed), self.all.load(Ordering::Relaxed))
    }

    /// Whether everything is copied, and the copy is being checked.
    #[must_use]
    pub fn is_checking(&self) -> bool {
        self.checking.load(Ordering::Relaxed)
    }
}

/// A backup that was made and checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BackedUp {
    /// Size of the copy, bytes.
    pub bytes: u64,
    /// Rows of each table, equal in both, by table.
    pub rows: Vec<(String, u64)>,
}

/// Ends the work when nothing waits for it any more.
struct EndOnDrop(Arc<BackupProgress>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.ended.store(true, Ordering::Relaxed);
    }
}

impl SqliteStore {
    /// Copies the store at `from`, which other processes may be writing, into one new file, and checks the copy: SQLite's
    /// integrity check, and as many rows in each table as in the state that was copied. The file has its name only once it
    /// is whole and on the disk. Dropping the future removes what was copied so far.
    ///
    /// # Errors
    /// Permanent, with what to do about it: there is no store, the target is there and `replace` is not said, it cannot be
    /// written, the store is damaged. Temporary: the disk is full.
    pub async fn backup(
        from: &Path,
        to: &Path,
        replace: bool,
        progress: Arc<BackupProgress>,
    ) -> Result<BackedUp, StoreError> {
        let (from, to) = (place::resolve(from), to.to_owned());
        let worker = Worker::start(Writer::Thread, "hl-backup", || Ok(())).await?;
        // Dropped before the worker is, which waits for its work.
        let _end = EndOnDrop(Arc::clone(&progress));
        worker.call(move |()| back_up(&from, &to, replace, &progress)).await?
    }
}

fn back_up(
    from: &Path,
    to: &Path,
    replace: bool,
    progress: &Arc<BackupProgress>,
) -> Result<BackedUp, StoreError> {
    const STEP: &str = "backing up";
    let unwritable = |path: &Path| {
        let path = path.to_owned();
        move |source| permanent(STEP, SqliteError::Unwritable { path, source })
    };
    if to.is_dir() {
        return Err(permanent(STEP, SqliteError::Folder(to.to_owned())));
    }
    let source = file::open_for_reading(from, schema::KIND)?;
    if place::is_same(from, to) {
        return Err(permanent(STEP, SqliteError::Itself(to.to_owned())));
    }
    if to.exists() && !replace {
        return Err(permanent(STEP, SqliteError::Exists(to.to_owned())));
    }
    // Of a database that lay there before: SQLite would take them for those of the copy.
    for suffix in ["-wal", "-journal"] {
        let left = place::beside(to, suffix);
        if left.exists() {
            return Err(permanent(STEP, SqliteError::InUse { path: to.to_owned(), left }));
        }
    }
    let part = Part::of(to);
    place::may_write(&part.0).map_err(unwritable(&part.0))?;
    let state = source.unchecked_transaction().step(STEP)?;
    // The state is chosen by the first read.
    let before = count(&state)?;
    let mut target = Connection::open(&part.0).step(STEP)?;
    target.pragma_update(None, "synchronous", "FULL").step(STEP)?;
    copy(&state, &mut target, progress)?;
    // The log may be emptied again.
    state.finish().step(STEP)?;
    // One file, which can be read where no program can write.
    target.pragma_update(None, "journal_mode", "DELETE").step(STEP)?;
    progress.checking.store(true, Ordering::Relaxed);
    check(&mut target, progress)?;
    if count(&target)? != before {
        return Err(permanent(STEP, SqliteError::Uneven(to.to_owned())));
    }
    target.close().map_err(|(_, error)| error).step(STEP)?;
    std::fs::rename(&part.0, to).map_err(unwritable(to))?;
    let folder = to.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(unwritable(folder))?;
    let bytes = std::fs::metadata(to).map_err(unwritable(to))?.len();
    Ok(BackedUp { bytes, rows: before })
}

/// The file while it is not whole. Removed when dropped; once it is whole it has another name.
struct Part(PathBuf);

impl Part {
    /// A name that no other backup has, of this process or another one.
    fn of(to: &Path) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let (process, number) = (std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        Self(place::beside(to, &format!(".{process}-{number}.part")))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        for path in [self.0.clone(), place::beside(&self.0, "-journal")] {
            let _ = std::fs::remove_file(path);
        }
    }
}

fn copy(source: &Connection, target: &mut Connection, progress: &BackupProgress) -> Result<(), StoreError> {
    const STEP: &str = "copying pages";
    let backup = Backup::new(source, target).step(STEP)?;
    loop {
        if progress.ended.load(Ordering::Relaxed) {
            return Err(StoreError::Closed);
        }
        let step = backup.step(PAGES_A_STEP).step(STEP)?;
        let pages = backup.progress();
        let [all, left] = [pages.pagecount, pages.remaining].map(|pages| u64::try_from(pages).unwrap_or(0));
        progress.all.store(all, Ordering::Relaxed);
        progress.copied.store(all.saturating_sub(left), Ordering::Relaxed);
        if step == StepResult::Done {
            return Ok(());
        }
    }
}

/// Checks every page and row, unless an end is asked for.
fn check(target: &mut Connection, progress: &Arc<BackupProgress>) -> Result<(), StoreError> {
    let ended = Arc::clone(progress);
    file::check_until(target, STEPS_EACH, move || ended.ended.load(Ordering::Relaxed))
}

/// The rows of each table.
fn count(conn: &Connection) -> Result<Vec<(String, u64)>, StoreError> {
    const STEP: &str = "counting rows";
    let sql =
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name";
    let mut names = conn.prepare(sql).step(STEP)?;
    let names = names.query_map([], |r| r.get(0)).step(STEP)?;
    names
        .map(|name| {
            let name: String = name.step(STEP)?;
            let sql = format!("SELECT count(*) FROM \"{name}\"");
            let rows: i64 = conn.query_row(&sql, [], |r| r.get(0)).step(STEP)?;
            Ok((name, rows.cast_unsigned()))
        })
        .collect()
}
