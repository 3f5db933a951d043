//! The files of an archive: written beside their place, moved into it, read back. Of the files that no record
//! names, unfinished ones are removed, and whole ones set aside: nothing here deletes or overwrites a row.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hl_core::StreamKey;
use hl_core::archive::{Day, Part, StoredRows};
use hl_core::ledger::Span;
use sha2::{Digest as _, Sha256};

use crate::ArchiveError;
use crate::columns::columns;
use crate::layout::{self, UNFINISHED};
use crate::parquet_file::{Reading, Writing};

/// The file that says of which store an archive is.
const OWNER: &str = ".store";

/// The folder of an archive. Its work blocks.
#[derive(Clone, Debug)]
pub struct Files {
    root: PathBuf,
    proven: Arc<Mutex<Proven>>,
}

/// A file that no record names.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Leftover {
    /// Where it is.
    pub path: PathBuf,
    /// What it is.
    pub kind: LeftoverKind,
}

/// What a file is that no record names.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum LeftoverKind {
    /// It was never finished; its rows are in the store. The next run that works on its day removes it.
    Unfinished,
    /// It has the name of a part. The next run that works on its day sets it aside.
    Unrecorded,
    /// An earlier run set it aside. It stays.
    Aside,
}

impl fmt::Display for Leftover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            LeftoverKind::Unfinished => "not finished; the next run that works on its day removes it",
            LeftoverKind::Unrecorded => {
                "not recorded in this store; the next run that works on its day sets it aside"
            }
            LeftoverKind::Aside => {
                "set aside, since its rows are not recorded in this store. If the store was put back from a backup, this \
                 may be the only copy of them: look into it with any Parquet reader before you delete it"
            }
        };
        write!(f, "{}: {what}", self.path.display())
    }
}

/// What became of the files of a day that no record names.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Tidied {
    /// They were not finished.
    pub(crate) removed: Vec<PathBuf>,
    /// Their old and their new places.
    pub(crate) aside: Vec<(PathBuf, PathBuf)>,
}

/// Length and SHA-256 of a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sum {
    /// Bytes.
    pub bytes: u64,
    /// Hexadecimal; empty where the file was not read, because its length says enough.
    pub checksum: String,
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.bytes)?;
        if self.checksum.is_empty() { Ok(()) } else { write!(f, ", SHA-256 {}", self.checksum) }
    }
}

/// By what the operating system tells one state of a file from another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct State {
    inode: (u64, u64),
    bytes: u64,
    /// Last written and last changed, seconds and nanoseconds.
    changed: [(i64, i64); 2],
}

impl State {
    fn of(file: &File) -> io::Result<Self> {
        let of = file.metadata()?;
        Ok(Self {
            inode: (of.dev(), of.ino()),
            bytes: of.len(),
            changed: [(of.mtime(), of.mtime_nsec()), (of.ctime(), of.ctime_nsec())],
        })
    }
}

/// Files that were found to be what is recorded: with which checksum, and in which state.
type Proven = BTreeMap<PathBuf, (String, State)>;

const READING: &str = "reading";

fn open(path: &Path) -> Result<File, ArchiveError> {
    File::open(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => ArchiveError::Missing(path.to_owned()),
        _ => ArchiveError::File { step: "opening", path: path.to_owned(), source },
    })
}

/// Length and checksum, piece by piece.
fn sum(file: &mut File, path: &Path) -> Result<Sum, ArchiveError> {
    let (mut hash, mut bytes, mut buffer) = (Sha256::new(), 0, vec![0; 1 << 16]);
    loop {
        let read = file.read(&mut buffer).map_err(ArchiveError::file(READING, path))?;
        if read == 0 {
            break;
        }
        hash.update(&buffer[..read]);
        bytes += read as u64;
    }
    let checksum = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Sum { bytes, checksum })
}

impl Files {
    /// The archive at `root`; the folder is made when there is something to write.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), proven: Arc::default() }
    }

    /// The folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Takes the folder for the store with this name, where it has no owner yet: each of two stores in one folder would set
    /// the other's parts aside.
    pub(crate) fn take_for(&self, store: &str) -> Result<(), ArchiveError> {
        let path = self.root.join(OWNER);
        let named = match fs::read_to_string(&path) {
            Ok(name) => name,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(source) => return Err(ArchiveError::File { step: "reading", path, source }),
        };
        match named.trim() {
            name if name == store => Ok(()),
            // An empty one is of a process that died while it wrote.
            "" => {
                fs::create_dir_all(&self.root)
                    .map_err(ArchiveError::file("making the folder", &self.root))?;
                let written = File::create(&path).and_then(|mut file| {
                    file.write_all(store.as_bytes())?;
                    file.sync_all()
                });
                written.map_err(ArchiveError::file("writing", &path))
            }
            _ => Err(ArchiveError::OtherStore(self.root.clone())),
        }
    }

    /// Clears a day of the files that no part names, under the claim on the day: unfinished ones are removed, whole ones set
    /// aside. A run that died before it recorded its part leaves such a one, whose rows are in the store; but of a store that
    /// was put back from a backup it may be the only copy.
    pub(crate) fn tidy(&self, stream: StreamKey, day: Day, parts: &[Part]) -> Result<Tidied, ArchiveError> {
        let recorded = self.recorded(parts);
        let mut tidied = Tidied::default();
        let earlier = layout::earlier_folder(stream, day);
        let folders: BTreeSet<_> = [layout::folder(stream, day)].into_iter().chain(earlier).collect();
        let mut paths = Vec::new();
        for folder in folders {
            let folder = self.root.join(folder);
            paths.extend(entries(&folder)?.into_iter().map(|path| (folder.clone(), path)));
        }
        for (folder, path) in paths {
            let Some(name) = name(&path).filter(|name| layout::is_ours(name)) else { continue };
            if recorded.contains(&path) || path.is_dir() {
                continue;
            }
            if is_unfinished(&path, name)? {
                fs::remove_file(&path).map_err(ArchiveError::file("removing an unfinished file", &path))?;
                tidied.removed.push(path);
            } else {
                let aside = set_aside(&path, &folder, name)?;
                tidied.aside.push((path, aside));
            }
        }
        Ok(tidied)
    }

    fn recorded(&self, parts: &[Part]) -> BTreeSet<PathBuf> {
        parts.iter().filter_map(|part| part.path.as_ref()).map(|path| self.root.join(path)).collect()
    }

    /// Writes rows to a file beside the place of `relative`, and waits until it is on the disk.
    pub(crate) fn write(
        &self,
        relative: &str,
        stream: StreamKey,
        rows: &StoredRows,
    ) -> Result<(), ArchiveError> {
        let path = self.unfinished(relative)?;
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(ArchiveError::file("making the folder", folder))?;
        }
        let failed = |source| match source {
            // What the operating system said is worth more than who was told it.
            parquet::errors::ParquetError::External(source) if source.is::<io::Error>() => {
                let source = source.downcast().map_or_else(|_| io::Error::other("unknown"), |error| *error);
                ArchiveError::File { step: "writing", path: path.clone(), source }
            }
            source => ArchiveError::Parquet { step: "writing", path: path.clone(), source },
        };
        let file = File::create(&path).map_err(ArchiveError::file("making", &path))?;
        let none = columns(&StoredRows::none(stream));
        let mut writing = Writing::begin(file, stream, none).map_err(failed)?;
        writing.write(columns(rows)).map_err(failed)?;
        let file = writing.finish().map_err(failed)?;
        file.sync_all().map_err(ArchiveError::file("writing to the disk", &path))
    }

    /// Moves what was written into its place, where there is no other file, and waits until the folders on the disk say so.
    pub(crate) fn place(&self, relative: &str) -> Result<(), ArchiveError> {
        let (from, to) = (self.unfinished(relative)?, layout::inside(&self.root, relative)?);
        if !moved(&from, &to)? {
            return Err(ArchiveError::Taken(to));
        }
        // Any of the folders may be new, and so may the archive's own.
        let depth = Path::new(relative).components().count() + 1;
        for folder in to.ancestors().skip(1).take(depth) {
            let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            File::open(folder)
                .and_then(|folder| folder.sync_all())
                .map_err(ArchiveError::file("writing to the disk", folder))?;
        }
        Ok(())
    }

    /// Reads a file back and compares it with what it should hold, row by row and column by column.
    pub(crate) fn compare(
        &self,
        relative: &str,
        stream: StreamKey,
        rows: &StoredRows,
    ) -> Result<Sum, ArchiveError> {
        let path = layout::inside(&self.root, relative)?;
        let mut file = open(&path)?;
        // First: what changes after this is no longer what is recorded.
        let sum = sum(&mut file, &path)?;
        let (mut seen, arrivals) = (0, rows.records.arrivals());
        for read in Reading::open(file, path.clone(), stream, Span::EVER)? {
            let read = read?;
            let read_arrivals = read.records.arrivals();
            let same = |at: usize| {
                read.records.same(at, &rows.records, seen + at)
                    && read_arrivals.get(at) == arrivals.get(seen + at)
                    && read.provenance.get(at) == rows.provenance.get(seen + at)
            };
            if !(0..read.len()).all(same) {
                return Err(ArchiveError::Differs(path));
            }
            seen += read.len();
        }
        if seen == rows.len() { Ok(sum) } else { Err(ArchiveError::Differs(path)) }
    }

    /// The rows of a part inside the closed `within`; none of a part without a file. The one door to the rows of parts: the
    /// file is compared with what was recorded of it before any row leaves it.
    ///
    /// A file is read whole for that once for as long as its length and the times of its last changes stay the same.
    pub(crate) fn read(&self, part: &Part, within: Span) -> Result<Option<Reading>, ArchiveError> {
        let Some(relative) = &part.path else { return Ok(None) };
        let path = layout::inside(&self.root, relative)?;
        let mut file = open(&path)?;
        let state = State::of(&file).map_err(ArchiveError::file(READING, &path))?;
        if self.proven().get(&path) != Some(&(part.checksum.clone(), state)) {
            let recorded = Sum { bytes: part.bytes, checksum: part.checksum.clone() };
            // What is shorter or longer need not be read.
            let found = match state.bytes == part.bytes {
                true => sum(&mut file, &path)?,
                false => Sum { bytes: state.bytes, checksum: String::new() },
            };
            if found != recorded {
                return Err(ArchiveError::Damaged { path, found, recorded });
            }
            self.proven().insert(path.clone(), (recorded.checksum, state));
        }
        Reading::open(file, path, part.stream, within).map(Some)
    }

    /// Whether the file of a part is what was recorded of it; nothing to look at where the part has no file.
    ///
    /// # Errors
    /// [`ArchiveError::Missing`] where it is not there, [`ArchiveError::Damaged`] where it is another one, and what the
    /// operating system says.
    pub fn check(&self, part: &Part) -> Result<(), ArchiveError> {
        self.read(part, Span::EVER).map(drop)
    }

    fn proven(&self) -> MutexGuard<'_, Proven> {
        self.proven.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Files of this program that no part names.
    ///
    /// # Errors
    /// When a folder cannot be read.
    pub fn leftovers(&self, parts: &[Part]) -> Result<Vec<Leftover>, ArchiveError> {
        let recorded = self.recorded(parts);
        let mut folders = vec![self.root.clone()];
        let mut found = Vec::new();
        while let Some(folder) = folders.pop() {
            for path in entries(&folder)? {
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let kind = match name(&path) {
                    Some(name) if layout::is_aside(name) => LeftoverKind::Aside,
                    Some(name) if layout::is_ours(name) && !recorded.contains(&path) => {
                        match is_unfinished(&path, name)? {
                            true => LeftoverKind::Unfinished,
                            false => LeftoverKind::Unrecorded,
                        }
                    }
                    _ => continue,
                };
                found.push(Leftover { path, kind });
            }
        }
        found.sort();
        Ok(found)
    }

    fn unfinished(&self, relative: &str) -> Result<PathBuf, ArchiveError> {
        layout::inside(&self.root, &format!("{relative}{UNFINISHED}"))
    }
}

fn name(path: &Path) -> Option<&str> {
    path.file_name().and_then(|name| name.to_str())
}

/// Whether a file of ours cannot hold a row: it has not the name of a part yet, or that name and nothing else.
fn is_unfinished(path: &Path, name: &str) -> Result<bool, ArchiveError> {
    if name.ends_with(UNFINISHED) {
        return Ok(true);
    }
    match fs::symlink_metadata(path) {
        Ok(of) => Ok(of.is_file() && of.len() == 0),
        Err(source) => Err(ArchiveError::File { step: READING, path: path.to_owned(), source }),
    }
}

/// Moves a file to a name that no other file has.
fn set_aside(path: &Path, folder: &Path, name: &str) -> Result<PathBuf, ArchiveError> {
    let mut number = 1;
    loop {
        let to = folder.join(layout::aside(name, number));
        if moved(path, &to)? {
            return Ok(to);
        }
        number += 1;
    }
}

/// Moves a file where there is no other one: `false` where there is. The name is taken by an empty file first, since a file
/// that is renamed would replace another; not every file system can do both at once.
fn moved(from: &Path, to: &Path) -> Result<bool, ArchiveError> {
    match File::create_new(to) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
        Err(source) => return Err(ArchiveError::File { step: "making", path: to.to_owned(), source }),
    }
    fs::rename(from, to).map_err(ArchiveError::file("moving into place", to))?;
    Ok(true)
}

/// What a folder has; nothing where there is no such folder.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, ArchiveError> {
    let failed = |source| ArchiveError::File { step: "reading the folder", path: folder.to_owned(), source };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    entries.map(|entry| entry.map(|entry| entry.path()).map_err(failed)).collect()
}
