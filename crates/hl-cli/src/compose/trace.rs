//! The log, on standard error.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::config::Config;
use crate::say::WhereRead;
use crate::view::Mode;

/// Starts the log. Where the table owns the terminal, and the log would be written across it, only errors are shown.
pub(crate) fn start(config: &Config) {
    let table = matches!(Mode::of_stdout(config.json), Mode::Table { .. });
    let level = if table && std::io::stderr().is_terminal() {
        tracing::Level::ERROR.min(config.log.level)
    } else {
        config.log.level
    };
    let filter = EnvFilter::new(format!(
        "warn,hl_cli={level},hl_engine={level},hl_collectors={level},hl_scheduler={level},hl_store={level},hl_sim={level}"
    ));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| WhereRead(std::io::stderr()))
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    // Only a second start in one process fails, and then the first one serves.
    let _ = if config.log.json { builder.json().try_init() } else { builder.try_init() };
}
