//! `hl-cli`: looks into what `hl-daemon` has collected, and fills its past.

// Those who read a process's words may go away: printing would end it with a panic.
#![warn(clippy::print_stdout, clippy::print_stderr)]

use std::process::ExitCode;

fn main() -> ExitCode {
    hl_cli::commands::run_process().into()
}
