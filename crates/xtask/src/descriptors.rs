//! Who opens files beside SQLite.
//!
//! Closing any descriptor of a database drops every lock that SQLite holds on it for the process, and the next program that
//! opens the database removes its log under the daemon. So the crates of the product open files in the few places that are
//! listed here, none of which can meet a database, its log or a spool.

use std::fs;
use std::path::{Path, PathBuf};

use crate::run::{Failed, root};

/// What opens a file in the standard library.
const OPENERS: [&str; 8] = [
    "File::open",
    "File::create",
    "File::options",
    "OpenOptions",
    "fs::read(",
    "fs::read_to_string",
    "fs::copy(",
    "fs::write(",
];

/// Folders of crates that run beside a store: the product, and what the daemon's tests run in one process with it.
const FOLDERS: [&str; 2] = ["crates", "testing/hl-sim"];

/// Tools in those folders that open no store.
const TOOLS: [&str; 1] = ["crates/xtask"];

/// Where files are opened, and which.
const ALLOWED: [(&str, &str); 9] = [
    ("crates/hl-archive/src/files.rs", "files of the archive, and their folders"),
    ("crates/hl-archive/src/parquet_file.rs", "files of the archive"),
    ("crates/hl-cli/src/commands/outfile.rs", "pipes and devices that an export is written to"),
    ("crates/hl-cli/src/compose/shutdown.rs", "what the kernel says of signals"),
    ("crates/hl-cli/src/config/process.rs", "the configuration, before any store is open"),
    ("testing/hl-sim/src/replay/mod.rs", "a recording"),
    ("crates/hl-store/src/sqlite/backup.rs", "the folder of a backup"),
    ("crates/hl-store/src/sqlite/readers.rs", "what the kernel says of locks and processes"),
    ("crates/hl-store/src/sqlite/locks.rs", "lock files"),
];

pub(crate) fn descriptors() -> Result<(), Failed> {
    let mut found = Vec::new();
    for folder in ["src"].iter().chain(&FOLDERS).map(|folder| root().join(folder)) {
        look(&folder, &mut found)
            .map_err(|error| Failed::Io(format!("reading {}", folder.display()), error))?;
    }
    for place in &found {
        eprintln!(
            "{place}: opens a file; where that can be a database, closing it drops SQLite's locks on it"
        );
    }
    match found.len() {
        0 => Ok(()),
        places => Err(Failed::Opens(places)),
    }
}

/// Adds the lines of every source file below that open a file and may not.
fn look(folder: &Path, found: &mut Vec<String>) -> std::io::Result<()> {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    entries.sort();
    for path in entries {
        let name = path.strip_prefix(root()).unwrap_or(&path).display().to_string();
        if TOOLS.contains(&name.as_str()) || path.ends_with("tests") || path.ends_with("benches") {
            continue;
        } else if path.is_dir() {
            look(&path, found)?;
        } else if name.ends_with(".rs") && !name.ends_with("tests.rs") {
            found.extend(
                opening(&fs::read_to_string(&path)?)
                    .map(|line| format!("{name}:{line}"))
                    .filter(|_| !is_allowed(&name)),
            );
        }
    }
    Ok(())
}

fn is_allowed(name: &str) -> bool {
    ALLOWED.iter().any(|(allowed, _)| *allowed == name)
}

/// The numbers of the lines, before the unit tests of the file, that open a file.
fn opening(source: &str) -> impl Iterator<Item = usize> {
    let opens = |line: &str| OPENERS.iter().any(|opener| line.contains(opener));
    let tests = source.find("#[cfg(test)]\nmod tests {").unwrap_or(source.len());
    let code = source[..tests].lines();
    code.enumerate().filter(move |(_, line)| opens(line)).map(|(at, _)| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_opened_is_seen() {
        let source = "#[cfg(test)]\nmod tests;\nlet file = std::fs::File::open(path)?;\nstat(path)?;\n\
                      let all = fs::read(path)?;\n#[cfg(test)]\nmod tests { fs::read(path) }";
        assert_eq!(opening(source).collect::<Vec<_>>(), [3, 5]);
    }

    #[test]
    fn the_product_opens_no_other_file() {
        assert!(descriptors().is_ok());
    }
}
