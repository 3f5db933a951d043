//! `hl-daemon`: runs the collector until it is stopped.

use std::process::ExitCode;

fn main() -> ExitCode {
    match hl_cli::config::load_process() {
        Ok(_) => hl_cli::exit::Exit::Failed.into(),
        Err(exit) => exit.into(),
    }
}
