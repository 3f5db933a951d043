//! Where a database lies: its files, told from others without opening them.
//!
//! Closing any descriptor of a database drops every lock that SQLite holds on it for this process. The next program that
//! opens the file takes itself for the only one then, and removes the log under the others when it leaves. So everything
//! here looks with `stat`, `access` and `readlink`; only SQLite opens the files. (sqlite.org, "How To Corrupt An SQLite
//! Database File", section 2.2.)

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use rustix::fs::Access;

/// Links that lead to links are followed this far, as the operating system does.
const MOST_LINKS: usize = 40;

/// A file, whatever its names.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    fn of(path: &Path) -> io::Result<(Self, std::fs::Metadata)> {
        let found = std::fs::metadata(path)?;
        Ok((Self { device: found.dev(), inode: found.ino() }, found))
    }
}

/// What became of the files under an open connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Displaced {
    /// No file has the database's name: it was deleted, or moved away.
    Gone,
    /// Another file has its name.
    Replaced,
    /// The database is the same; its log was deleted, and there may be a new one.
    LogReplaced,
}

/// The files of one connection, as they were when it was opened.
#[derive(Debug)]
pub(crate) struct Place {
    database: PathBuf,
    log: PathBuf,
    id: FileId,
    /// None where the file is read without a log, in a place where no program can write.
    log_id: Option<FileId>,
}

impl Place {
    /// The files of the database at `path`, which is [`resolve`]d.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        let log = log_of(path);
        let (id, _) = FileId::of(path)?;
        let log_id = FileId::of(&log).map(|(id, _)| id).ok();
        Ok(Self { database: path.to_owned(), log, id, log_id })
    }

    /// Whether the names still lead to the same files; the size of the log, bytes.
    pub(crate) fn look(&self) -> Result<u64, Displaced> {
        match FileId::of(&self.database) {
            Err(_) => return Err(Displaced::Gone),
            Ok((id, _)) if id != self.id => return Err(Displaced::Replaced),
            Ok(_) => {}
        }
        let Some(log_id) = self.log_id else { return Ok(0) };
        match FileId::of(&self.log) {
            Ok((id, found)) if id == log_id => Ok(found.len()),
            _ => Err(Displaced::LogReplaced),
        }
    }

    /// Whether the log under the database's name is the one of this connection.
    pub(crate) fn has_own_log(&self) -> bool {
        self.log_id.is_some_and(|own| FileId::of(&self.log).is_ok_and(|(id, _)| id == own))
    }

    /// Takes the names of the log, and of SQLite's index of it, away. What has them open keeps them.
    pub(crate) fn remove_log(&self) {
        for name in [self.log.clone(), beside(&self.database, "-shm")] {
            // One that is gone already is what was asked for; one that stays is found by the next look.
            let _ = std::fs::remove_file(name);
        }
    }
}

/// The name of the log of a database.
pub(crate) fn log_of(path: &Path) -> PathBuf {
    beside(path, "-wal")
}

/// The name of a file beside a database.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// The database that a name leads to, through symbolic links of the file itself, there or not. SQLite keeps its log beside
/// that one, so lock files and spool lie there too. A link of a folder changes nothing: all of them lie behind it.
pub(crate) fn resolve(path: &Path) -> PathBuf {
    let mut at = path.to_owned();
    for _ in 0..MOST_LINKS {
        match std::fs::read_link(&at) {
            Ok(target) => at = at.parent().unwrap_or(Path::new("")).join(target),
            Err(_) => break,
        }
    }
    at
}

/// Whether two names lead to one file.
pub(crate) fn is_same(one: &Path, other: &Path) -> bool {
    matches!((FileId::of(one), FileId::of(other)), (Ok((one, _)), Ok((other, _))) if one == other)
}

/// How many names a file has.
pub(crate) fn names(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(1, |found| found.nlink())
}

/// Whether this user may read a file.
pub(crate) fn may_read(path: &Path) -> io::Result<()> {
    rustix::fs::access(path, Access::READ_OK).map_err(io::Error::from)
}

/// Whether this user may write a file, or make it where it is missing.
pub(crate) fn may_write(path: &Path) -> io::Result<()> {
    match rustix::fs::access(path, Access::READ_OK | Access::WRITE_OK) {
        Err(rustix::io::Errno::NOENT) => {
            let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
            rustix::fs::access(folder, Access::WRITE_OK | Access::EXEC_OK).map_err(io::Error::from)
        }
        answer => answer.map_err(io::Error::from),
    }
}

/// A reader's connection that may be closed while it is not used.
pub(crate) type Kept = Mutex<Option<super::file::Opened>>;

/// The readers of this process.
static KEPT: Mutex<Vec<Weak<Kept>>> = Mutex::new(Vec::new());

/// Keeps a reader's connection where [`close_displaced`] finds it.
pub(crate) fn keep(file: super::file::Opened) -> Arc<Kept> {
    let kept = Arc::new(Mutex::new(Some(file)));
    let mut all = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    all.retain(|reader| reader.strong_count() > 0);
    all.push(Arc::downgrade(&kept));
    kept
}

/// Closes the readers of this process whose files were replaced. One that is in use closes them itself, before it reads
/// the next time.
pub(crate) fn close_displaced() {
    let readers: Vec<_> = {
        let all = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().filter_map(Weak::upgrade).collect()
    };
    for reader in readers {
        if let Ok(mut file) = reader.try_lock()
            && file.as_ref().is_some_and(|file| file.look().is_err())
        {
            *file = None;
        }
    }
}

/// The logs of the databases that this process has open, and how many connections each has. SQLite shares what it knows of
/// a log among the connections of a process: one that is opened on a new log, while another still has the deleted one,
/// would read the new log by the index of the old.
static OPEN: Mutex<BTreeMap<FileId, (FileId, usize)>> = Mutex::new(BTreeMap::new());

fn open_logs() -> MutexGuard<'static, BTreeMap<FileId, (FileId, usize)>> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a connection of this process still has a log of the database open that was deleted since.
pub(crate) fn has_deleted_log_open(path: &Path) -> bool {
    let Ok((id, _)) = FileId::of(path) else { return false };
    let Some((open, _)) = open_logs().get(&id).copied() else { return false };
    !FileId::of(&log_of(path)).is_ok_and(|(log, _)| log == open)
}

/// One connection among those that have a log open. It is told apart when dropped.
#[derive(Debug)]
pub(crate) struct OpenLog(Option<FileId>);

impl OpenLog {
    pub(crate) fn of(place: &Place) -> Self {
        let Some(log) = place.log_id else { return Self(None) };
        let mut open = open_logs();
        let (_, connections) = open.entry(place.id).or_insert((log, 0));
        *connections += 1;
        Self(Some(place.id))
    }
}

impl Drop for OpenLog {
    fn drop(&mut self) {
        let Some(id) = self.0 else { return };
        let mut open = open_logs();
        if let Some((_, connections)) = open.get_mut(&id) {
            *connections -= 1;
            if *connections == 0 {
                open.remove(&id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_link_leads_to_the_file_and_a_file_to_itself() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("far")).unwrap();
        symlink("far/real.db", at("link.db")).unwrap();
        symlink(at("link.db"), at("second.db")).unwrap();
        symlink("loop.db", at("loop.db")).unwrap();
        for name in ["link.db", "second.db"] {
            assert_eq!(resolve(&at(name)), at("far/real.db"), "also where it is not there yet");
        }
        assert_eq!(resolve(&at("plain.db")), at("plain.db"));
        assert_eq!(resolve(Path::new("plain.db")), Path::new("plain.db"));
        assert_eq!(resolve(&at("loop.db")), at("loop.db"), "it ends");
    }

    #[test]
    fn every_way_to_lose_a_file_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let (path, away) = (folder.path().join("hl.db"), folder.path().join("away"));
        let log = log_of(&path);
        let write = |path: &Path, bytes: usize| std::fs::write(path, vec![0; bytes]).unwrap();
        write(&path, 1);
        write(&log, 7);
        let place = Place::of(&path).unwrap();
        assert_eq!(place.look(), Ok(7));
        std::fs::rename(&log, &away).unwrap();
        assert_eq!((place.look(), place.has_own_log()), (Err(Displaced::LogReplaced), false));
        write(&log, 7);
        assert_eq!(place.look(), Err(Displaced::LogReplaced), "another file of the same name");
        std::fs::rename(&away, &log).unwrap();
        assert_eq!(place.look(), Ok(7), "it is back");
        std::fs::rename(&path, &away).unwrap();
        assert_eq!((place.look(), place.has_own_log()), (Err(Displaced::Gone), true));
        write(&path, 1);
        assert_eq!(place.look(), Err(Displaced::Replaced));
    }
}
