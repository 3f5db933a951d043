//! `hl-daemon`: runs the collector until it is stopped.

// Those who read a process's words may go away: printing would end it with a panic.
#![warn(clippy::print_stdout, clippy::print_stderr)]

use std::process::ExitCode;

fn main() -> ExitCode {
    match hl_cli::config::load_process() {
        Ok(loaded) => hl_cli::compose::run_process(&loaded).into(),
        Err(exit) => exit.into(),
    }
}
