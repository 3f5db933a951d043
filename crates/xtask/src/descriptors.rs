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

/// The crates that run beside a store. The others are tools and tests.
const CRATES: [&str; 11] = [
    "hl-archive",
    "hl-cli",
    "hl-collectors",
    "hl-core",
    "hl-engine",
    "hl-mongo",
    "hl-monitor",
    "hl-runtime",
    "hl-scheduler",
    "hl-sim",
    "hl-store",
];

/// Where files are opened, and which.
const ALLOWED: [(&str, &str); 9] = [
    ("crates/hl-archive/src/files.rs", "files of the archive, and their folders"),
    ("crates/hl-archive/src/parquet_file.rs", "files of the archive"),
    ("crates/hl-cli/src/commands/outfile.rs", "pipes and devices that an export is written to"),
    ("crates/hl-cli/src/compose/shutdown.rs", "what the kernel says of signals"),
    ("crates/hl-cli/src/config/process.rs", "the configuration, before any store is open"),
    ("crates/hl-sim/src/replay/mod.rs", "a recording"),
    ("crates/hl-store/src/sqlite/backup.rs", "the folder of a backup"),
    ("crates/hl-store/src/sqlite/readers.rs", "what the kernel says of locks and processes"),
    ("crates/hl-store/src/sqlite/locks.rs", "lock files"),
];

pub(crate) fn descriptors() -> Result<(), Failed> {
    let mut sources = vec![root().join("src")];
    sources.extend(CRATES.map(|name| root().join("crates").join(name).join("src")));
    let mut found = Vec::new();
    for folder in sources {
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
        if path.is_dir() {
            look(&path, found)?;
        } else if name.ends_with(".rs") && !name.ends_with("tests.rs") && !name.contains("/tests/") {
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
