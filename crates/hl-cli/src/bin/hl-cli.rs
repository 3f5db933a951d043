//! `hl-cli`: looks into what `hl-daemon` has collected, and fills its past.

use std::process::ExitCode;

fn main() -> ExitCode {
    hl_cli::commands::run_process().into()
}
