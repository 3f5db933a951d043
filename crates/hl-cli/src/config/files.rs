//! What the configuration asks of this machine: a file to read, and whose data the usual stores hold.

use std::io;
use std::path::Path;

use hl_engine::network::Holds;

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
