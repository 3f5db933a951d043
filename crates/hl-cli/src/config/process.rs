//! The configuration of this process: its own arguments, environment and file.

use super::{ConfigError, Loaded, load, mask_words};
use crate::exit::Exit;

/// Reads the configuration of this process. Where there is nothing to run it has been said why, and the exit code
/// is returned: help, version and `--print-config` are done, everything else is a usage error.
///
/// # Errors
/// The exit code to leave with.
pub fn load_process() -> Result<Loaded, Exit> {
    let loaded = load(std::env::args_os(), std::env::vars_os(), |path| std::fs::read_to_string(path))
        .map_err(|error| complain("hl-daemon", &error))?;
    if let Some(text) = &loaded.print {
        print!("{text}");
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
                masked if masked != text => eprint!("{masked}"),
                // Standard output may be closed; there is nobody left to tell.
                _ => error.print().unwrap_or_default(),
            }
            if error.use_stderr() { Exit::Usage } else { Exit::Done }
        }
        other => {
            eprintln!("{program}: {}", mask_words(&other.to_string()));
            Exit::Usage
        }
    }
}
