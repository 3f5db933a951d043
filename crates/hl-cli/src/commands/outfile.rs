//! Files that commands write: whole or not at all, and never over another one unless that was asked for.

use std::fs::{File, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::exit::Exit;

/// A file cannot be written.
#[derive(Debug, thiserror::Error)]
pub(super) enum OutFileError {
    /// There is one already.
    #[error("{} is there already; --force overwrites it", .0.display())]
    Exists(PathBuf),
    /// It is a folder.
    #[error("{} is a folder; give the name of a file in it", .0.display())]
    Folder(PathBuf),
    /// The operating system.
    #[error("writing {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl OutFileError {
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Exists(_) | Self::Folder(_) => Exit::Usage,
            Self::File { .. } => Exit::Failed,
        }
    }
}

/// The file that a path leads to, whether it is there or not. What cannot be resolved stays as it is.
pub(super) fn resolved(path: &Path) -> PathBuf {
    /// As many as Linux follows.
    const LINKS: usize = 40;
    let mut path = path.to_owned();
    for _ in 0..LINKS {
        if let Ok(whole) = path.canonicalize() {
            return whole;
        }
        // A link to what is not there yet.
        match path.read_link() {
            Ok(to) => path = folder(&path).join(to),
            Err(_) => break,
        }
    }
    match (folder(&path).canonicalize(), path.file_name()) {
        (Ok(folder), Some(name)) => folder.join(name),
        _ => path,
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A file that is being written, beside its place; dropping it leaves no trace.
pub(super) struct OutFile {
    /// As it was named.
    path: PathBuf,
    /// Where that leads to.
    to: PathBuf,
    force: bool,
    out: BufWriter<Place>,
}

enum Place {
    /// Moved into place once it is whole.
    Beside(NamedTempFile),
    /// A pipe or a device, which cannot be replaced.
    Itself(File),
}

impl OutFile {
    /// Begins a file. Nothing is at its place until [`OutFile::finish`].
    pub(super) fn begin(path: &Path, force: bool) -> Result<Self, OutFileError> {
        let failed = |source| OutFileError::File { path: path.to_owned(), source };
        let to = resolved(path);
        let place = match std::fs::metadata(path) {
            Ok(known) if known.is_dir() => return Err(OutFileError::Folder(path.to_owned())),
            Ok(known) if known.is_file() && !force => return Err(OutFileError::Exists(path.to_owned())),
            Ok(known) if !known.is_file() => {
                Place::Itself(File::options().write(true).open(path).map_err(failed)?)
            }
            Ok(_) | Err(_) => {
                let mut file = tempfile::Builder::new();
                // As any new file: what others may do with it is left to the umask.
                file.prefix(".").suffix(".tmp").permissions(Permissions::from_mode(0o666));
                Place::Beside(file.tempfile_in(folder(&to)).map_err(failed)?)
            }
        };
        Ok(Self { path: path.to_owned(), to, force, out: BufWriter::new(place) })
    }

    /// Moves what was written to its place.
    pub(super) fn finish(self) -> Result<(), OutFileError> {
        let Self { path, to, force, out } = self;
        let failed = |source| OutFileError::File { path: path.clone(), source };
        match out.into_inner().map_err(|error| failed(error.into_error()))? {
            Place::Itself(_) => Ok(()),
            Place::Beside(file) => {
                file.as_file().sync_all().map_err(failed)?;
                let placed = if force { file.persist(&to) } else { file.persist_noclobber(&to) };
                placed.map(drop).map_err(|error| match error.error.kind() {
                    io::ErrorKind::AlreadyExists => OutFileError::Exists(path.clone()),
                    _ => failed(error.error),
                })
            }
        }
    }
}

impl Write for Place {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Beside(file) => file.write(bytes),
            Self::Itself(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Beside(file) => file.flush(),
            Self::Itself(file) => file.flush(),
        }
    }
}

impl Write for OutFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_stays_a_link_and_its_file_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let (link, other) = (folder.path().join("link.csv"), folder.path().join("other"));
        std::fs::create_dir(&other).unwrap();
        std::os::unix::fs::symlink("other/x.csv", &link).unwrap();
        for (force, words) in [(false, b"one"), (true, b"two")] {
            let mut file = OutFile::begin(&link, force).unwrap();
            file.write_all(words).unwrap();
            file.finish().unwrap();
            assert!(link.is_symlink());
            assert_eq!(std::fs::read(other.join("x.csv")).unwrap(), words);
        }
        assert!(matches!(OutFile::begin(&link, false), Err(OutFileError::Exists(_))));
    }

    #[test]
    fn a_file_is_whole_or_not_there_and_another_one_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.csv");
        let mut file = OutFile::begin(&path, false).unwrap();
        file.write_all(b"half").unwrap();
        assert!(!path.exists());
        drop(file);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "no trace");

        let mut first = OutFile::begin(&path, false).unwrap();
        first.write_all(b"one").unwrap();
        first.finish().unwrap();
        let refused = OutFile::begin(&path, false).err().unwrap();
        assert_eq!(refused.exit(), Exit::Usage);
        assert!(refused.to_string().ends_with("x.csv is there already; --force overwrites it"), "{refused}");
        let mut second = OutFile::begin(&path, true).unwrap();
        second.write_all(b"two").unwrap();
        second.finish().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert!(matches!(OutFile::begin(folder.path(), true), Err(OutFileError::Folder(_))));

        // A device is written to, and stays what it is.
        let mut null = OutFile::begin(Path::new("/dev/null"), false).unwrap();
        null.write_all(b"x").unwrap();
        null.finish().unwrap();
        assert!(!Path::new("/dev/null").is_file());
    }
}
