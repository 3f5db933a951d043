//! `hl-daemon`: runs the collector until it is stopped.

use std::process::ExitCode;

fn main() -> ExitCode {
    match hl_cli::config::load_process() {
        Ok(loaded) => hl_cli::compose::run_process(&loaded).into(),
        Err(exit) => exit.into(),
    }
}
