use std::io;
use std::path::PathBuf;

use hl_core::StreamKey;
use hl_core::archive::Day;
use hl_core::store::{Holder, StoreError};

use crate::files::Sum;

/// The archive could not do its work. Nothing is lost by that: rows leave the store only once a part holds them.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The store.
    #[error("the store: {0}")]
    Store(#[from] StoreError),
    /// A file or folder of the archive.
    #[error("{step} {}: {source}{}", path.display(), advice(source))]
    File {
        /// What was tried, in words.
        step: &'static str,
        /// On what.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A recorded part that is not there.
    #[error("{} is recorded, and is not there; is --archive the right folder?", .0.display())]
    Missing(PathBuf),
    /// The place of a new part has a file already.
    #[error("{} is there already, and is not overwritten; nothing was removed from the store", .0.display())]
    Taken(PathBuf),
    /// The folder belongs to another store, whose parts would be set aside.
    #[error("{} is the archive of another store; name another folder with --archive", .0.display())]
    OtherStore(PathBuf),
    /// A recorded part whose file is another one than was written: a damaged disk, or a hand. None of its rows are read.
    #[error(
        "{} is damaged: {found}, recorded are {recorded}; none of its rows are read. Put it back from a backup; \
         hl-cli archive verify names every such part", path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What it is.
        found: Sum,
        /// What it was when it was written.
        recorded: Sum,
    },
    /// The Parquet side.
    #[error("{step} {}: {source}", path.display())]
    Parquet {
        /// What was tried, in words.
        step: &'static str,
        /// On what.
        path: PathBuf,
        /// What the library said.
        source: parquet::errors::ParquetError,
    },
    /// The file is not what this program writes.
    #[error("{}: {source}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: Unreadable,
    },
    /// What was written did not come back equal.
    #[error("{} does not hold what was written to it; nothing was removed from the store", .0.display())]
    Differs(PathBuf),
    /// A recorded path that leads elsewhere.
    #[error("the part {0:?} is recorded, and names no file inside the archive")]
    Path(String),
    /// A living process archives the day.
    #[error("{day} of {stream} is being archived by {holder}")]
    Held {
        /// The stream.
        stream: StreamKey,
        /// The day.
        day: Day,
        /// Who.
        holder: Holder,
    },
    /// The claim was taken over: the day is another process's by now.
    #[error(
        "{day} of {stream} was taken over while it was archived; what was not recorded stays in the store"
    )]
    ClaimLost {
        /// The stream.
        stream: StreamKey,
        /// The day.
        day: Day,
    },
    /// Writing rows of an export.
    #[error("writing rows: {0}")]
    Output(#[source] io::Error),
}

impl ArchiveError {
    pub(crate) fn file(step: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { step, path, source }
    }

    /// For readers that promise the errors of a store.
    pub(crate) fn into_store_error(self) -> StoreError {
        match self {
            Self::Store(error) => error,
            other => StoreError::Permanent { step: "reading the archive", source: Box::new(other) },
        }
    }
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull => "; free some space",
        io::ErrorKind::PermissionDenied => {
            "; give this user write permission there, or choose another --archive"
        }
        _ => "",
    }
}

/// What is wrong with the content of a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// A column is missing or of another type.
    #[error("the column {0} is missing, or of another type")]
    Column(String),
    /// A value that no row can have.
    #[error("the column {0} holds a value that this program does not write")]
    Value(String),
    /// The value cannot be held exactly.
    #[error("the column {0} holds a number that is too large")]
    Number(String),
    /// The statistics or the number of rows disagree with the content.
    #[error("Arrow: {0}")]
    Arrow(String),
}
