//! The files of an archive: written beside their place, moved into it, read back; and what a crash left is removed.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hl_core::archive::{Day, Part, StoredRows};
use hl_core::ledger::Span;
use hl_core::{StreamKey, TimeMs};
use sha2::{Digest as _, Sha256};

use crate::ArchiveError;
use crate::columns::{CoinColumn, columns};
use crate::layout::{self, UNFINISHED};
use crate::parquet_file::{Reading, Writing};

/// The file that says of which store an archive is.
const OWNER: &str = ".store";

/// All of time.
pub(crate) const EVER: Span = Span { from: TimeMs::MIN, to: TimeMs::MAX };

/// The folder of an archive. Its work blocks.
#[derive(Clone, Debug)]
pub struct Files {
    root: PathBuf,
    proven: Arc<Mutex<Proven>>,
}

/// A file that no record names.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Leftover(pub PathBuf);

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

    /// Takes the folder for the store with this name, where it is nobody's yet: two stores in one folder would take each
    /// other's parts for what a crash left.
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

    /// Removes the files of a day that no part names: what died before its part was recorded. Only for whoever has the
    /// claim on the day.
    pub(crate) fn tidy(
        &self,
        stream: StreamKey,
        day: Day,
        parts: &[Part],
    ) -> Result<Vec<Leftover>, ArchiveError> {
        let folder = self.root.join(layout::folder(stream, day));
        let recorded: Vec<PathBuf> =
            parts.iter().filter_map(|part| part.path.as_ref()).map(|path| self.root.join(path)).collect();
        let mut removed = Vec::new();
        for file in ours(&folder)? {
            if !recorded.contains(&file) {
                fs::remove_file(&file).map_err(ArchiveError::file("removing what a crash left", &file))?;
                removed.push(Leftover(file));
            }
        }
        Ok(removed)
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
        let columns = |rows: &StoredRows| columns(stream, rows, CoinColumn::WhereNeeded);
        let none = columns(&StoredRows::none(stream));
        let mut writing = Writing::begin(file, stream, none).map_err(failed)?;
        writing.write(columns(rows)).map_err(failed)?;
        let file = writing.finish().map_err(failed)?;
        file.sync_all().map_err(ArchiveError::file("writing to the disk", &path))
    }

    /// Moves what was written into its place, and waits until the folders on the disk say so.
    pub(crate) fn place(&self, relative: &str) -> Result<(), ArchiveError> {
        let (from, to) = (self.unfinished(relative)?, layout::inside(&self.root, relative)?);
        fs::rename(&from, &to).map_err(ArchiveError::file("moving into place", &to))?;
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
        let mut seen = 0;
        for read in Reading::open(file, path.clone(), stream, EVER)? {
            let read = read?;
            let same = |at: usize| {
                read.records.same(at, &rows.records, seen + at)
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
        self.read(part, EVER).map(drop)
    }

    fn proven(&self) -> MutexGuard<'_, Proven> {
        self.proven.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Files of this program that no part names: the next run that works on their day removes them.
    ///
    /// # Errors
    /// When a folder cannot be read.
    pub fn leftovers(&self, parts: &[Part]) -> Result<Vec<Leftover>, ArchiveError> {
        let recorded: std::collections::BTreeSet<PathBuf> =
            parts.iter().filter_map(|part| part.path.as_ref()).map(|path| self.root.join(path)).collect();
        let mut folders = vec![self.root.clone()];
        let mut found = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in entries(&folder)? {
                if entry.is_dir() {
                    folders.push(entry);
                } else if is_ours(&entry) && !recorded.contains(&entry) {
                    found.push(Leftover(entry));
                }
            }
        }
        found.sort();
        Ok(found)
    }

    fn unfinished(&self, relative: &str) -> Result<PathBuf, ArchiveError> {
        layout::inside(&self.root, &format!("{relative}{UNFINISHED}"))
    }
}

fn is_ours(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(layout::is_ours)
}

fn ours(folder: &Path) -> Result<Vec<PathBuf>, ArchiveError> {
    Ok(entries(folder)?.into_iter().filter(|path| is_ours(path)).collect())
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
