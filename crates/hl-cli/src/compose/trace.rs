//! The log, on standard error, or under the table where that owns the terminal.

use std::io::IsTerminal as _;

use tracing::Level;
use tracing_subscriber::EnvFilter;

use super::pane::{OfDay, Pane};
use crate::config::Config;
use crate::say::WhereRead;
use crate::view::Mode;

/// Our crates whose log `--log` is about; others say no more than warnings.
const OURS: [&str; 10] = [
    "hl_archive",
    "hl_cli",
    "hl_collectors",
    "hl_core",
    "hl_engine",
    "hl_mongo",
    "hl_runtime",
    "hl_scheduler",
    "hl_sim",
    "hl_store",
];

/// Starts the log. Where the table owns the terminal, and the log would be written across it, its newest lines go to a pane
/// under the table: warnings, and more where more than usual was asked for.
pub(crate) fn start(config: &Config) -> Option<Pane> {
    let is_terminal = std::io::stderr().is_terminal();
    let table = matches!(super::mode(config), Mode::Table { .. });
    let pane = (table && is_terminal).then(Pane::default);
    let level = match pane {
        Some(_) if config.log.level == Level::INFO => Level::WARN,
        _ => config.log.level,
    };
    let ours = OURS.map(|name| format!("{name}={level}")).join(",");
    let builder = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(format!("warn,{ours}")))
        .with_ansi(is_terminal && pane.is_none())
        .with_target(false);
    // Only a second start in one process fails, and then the first one serves.
    let _ = match (&pane, config.log.json) {
        (Some(pane), _) => builder.with_writer(pane.clone()).with_timer(OfDay).compact().try_init(),
        (None, true) => builder.with_writer(|| WhereRead(std::io::stderr())).json().try_init(),
        (None, false) => builder.with_writer(|| WhereRead(std::io::stderr())).try_init(),
    };
    pane
}
