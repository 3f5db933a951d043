//! Where a value was written.

use std::fmt;
use std::path::PathBuf;

/// Where a value came from, as an error message names it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// On the command line.
    Flag(&'static str),
    /// In an environment variable.
    Variable(String),
    /// In the configuration file.
    File {
        /// The file, as it was named.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// Nowhere: built in.
    Default,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(key) => write!(f, "--{key}"),
            Self::Variable(name) => f.write_str(name),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A value as text, and where it was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Sourced {
    pub(super) text: String,
    pub(super) place: Place,
}

impl Sourced {
    /// The values of a list: what commas separate.
    pub(super) fn split(text: &str, place: &Place) -> Vec<Self> {
        text.split(',').map(|word| Self { text: word.trim().to_owned(), place: place.clone() }).collect()
    }
}
