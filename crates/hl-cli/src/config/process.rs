//! The configuration of this process: its own arguments, environment and files.

use std::io::{self, Write as _};
use std::path::Path;

use hl_engine::network::{Holds, NOTE};
use hl_store::SqliteStore;

use super::{ConfigError, Files, Loaded, load, mask_words};
use crate::exit::Exit;
use crate::say::say;

/// The files that this process sees.
#[derive(Clone, Copy, Debug)]
pub struct ThisMachine;

impl Files for ThisMachine {
    fn read(&self, path: &Path) -> io::Result<String> {
        std::fs::read_to_string(path)
    }

    fn holds(&self, store: &Path) -> Holds {
        SqliteStore::noted(store, NOTE).into()
    }
}

/// Reads the configuration of this process. Where there is nothing to run it has been said why, and the exit code
/// is returned: help, version and `--print-config` are done, everything else is a usage error.
///
/// # Errors
/// The exit code to leave with.
pub fn load_process() -> Result<Loaded, Exit> {
    let loaded = load(std::env::args_os(), std::env::vars_os(), &ThisMachine)
        .map_err(|error| complain("hl-daemon", &error))?;
    if let Some(text) = &loaded.print {
        // Standard output may have no reader any more.
        let _ = io::stdout().write_all(text.as_bytes());
        return Err(Exit::Done);
    }
    Ok(loaded)
}

/// Says what is wrong with a configuration, or prints the help that was asked for.
pub(crate) fn complain(program: &str, error: &ConfigError) -> Exit {
    match error {
        ConfigError::CommandLine(error) => {
            let text = error.render().to_string();
            match mask_words(&text) {
                masked if masked != text => say!("{}", masked.trim_end()),
                // Standard output may have no reader any more.
                _ => error.print().unwrap_or_default(),
            }
            if error.use_stderr() { Exit::Usage } else { Exit::Done }
        }
        other => {
            say!("{program}: {}", mask_words(&other.to_string()));
            Exit::Usage
        }
    }
}
