//! What the configuration asks of this machine: a file to read, and whose data the usual stores hold.

use std::io;
use std::path::Path;

/// What lies where a store may be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Holds {
    /// Nothing.
    Nothing,
    /// A file that does not say whose data it holds.
    Unsaid,
    /// Data of the network with this name.
    Network(String),
}

/// The files of this machine.
pub trait Files {
    /// The content of a text file.
    ///
    /// # Errors
    /// When it cannot be read.
    fn read(&self, path: &Path) -> io::Result<String>;

    /// What the SQLite store at this path holds.
    fn holds(&self, store: &Path) -> Holds;
}
