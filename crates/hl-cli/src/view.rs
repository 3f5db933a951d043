//! The daemon's view of itself on standard output: a table that is redrawn on a terminal, otherwise a line now and
//! then, or JSON.
//!
//! The texts are pure functions of a [`StatusReport`]; [`View`] only decides which of them to write, and when.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write};

use hl_core::TimeMs;

use crate::human;
use crate::status::{Owner, StatusReport};

/// Lines are written this often, ms, where there is no terminal.
const LINE_MS: i64 = 10_000;

/// Rows that a terminal of unknown height is taken to have.
const DEFAULT_HEIGHT: usize = 24;

/// Everything below the streams and above them: heading, table head, sockets, counters, what is left out.
const FRAME_LINES: usize = 6;

const HOME: &str = "\x1b[H";
const CLEAR_LINE: &str = "\x1b[K\n";
const CLEAR_REST: &str = "\x1b[J";
/// Hides the cursor; lines that are too long are cut, since wrapped ones would push the table off the screen.
const ENTER: &str = "\x1b[?25l\x1b[?7l";
const LEAVE: &str = "\x1b[?7h\x1b[?25h";
const CLEAR_ALL: &str = "\x1b[2J";

/// How a [`View`] writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// A table, redrawn every time.
    Table {
        /// With colours.
        colour: bool,
    },
    /// A line every ten seconds.
    Line,
    /// A JSON object a line, every ten seconds.
    Json,
}

impl Mode {
    /// The mode for standard output: JSON where asked for, a table on a terminal (without colours where `NO_COLOR`
    /// is set and not empty), otherwise lines.
    #[must_use]
    pub fn of_stdout(json: bool) -> Self {
        match json {
            true => Self::Json,
            false if io::stdout().is_terminal() => {
                Self::Table { colour: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) }
            }
            false => Self::Line,
        }
    }
}

/// Shows reports as they come. Dropping it gives the terminal back as it was.
pub struct View<W: Write> {
    out: W,
    mode: Mode,
    begun: bool,
    last: Option<TimeMs>,
}

impl<W: Write> View<W> {
    /// A view that has shown nothing yet.
    pub fn new(out: W, mode: Mode) -> Self {
        Self { out, mode, begun: false, last: None }
    }

    /// Shows a report; call it about once a second.
    ///
    /// # Errors
    /// When the output is gone.
    pub fn show(&mut self, report: &StatusReport) -> io::Result<()> {
        if let Mode::Table { colour } = self.mode {
            let begin = if self.begun { "" } else { ENTER };
            let clear = if self.begun { "" } else { CLEAR_ALL };
            self.begun = true;
            let height = terminal_size::terminal_size().map_or(DEFAULT_HEIGHT, |(_, h)| usize::from(h.0));
            let text = table(report, height.saturating_sub(FRAME_LINES).max(1), colour);
            let text = text.replace('\n', CLEAR_LINE);
            write!(self.out, "{begin}{clear}{HOME}{text}{CLEAR_REST}")?;
            return self.out.flush();
        }
        if self.last.is_some_and(|last| report.at.since(last) < LINE_MS) {
            return Ok(());
        }
        self.last = Some(report.at);
        match self.mode {
            Mode::Json => writeln!(self.out, "{}", serde_json::to_string(report)?)?,
            _ => writeln!(self.out, "{}", line(report))?,
        }
        self.out.flush()
    }
}

impl<W: Write> Drop for View<W> {
    fn drop(&mut self) {
        if self.begun {
            // The terminal may be gone; then there is nothing to give back.
            let _ = write!(self.out, "{LEAVE}").and_then(|()| self.out.flush());
        }
    }
}

/// A report as a table of at most `max_rows` streams, with a heading and what else is worth seeing.
#[must_use]
pub fn table(report: &StatusReport, max_rows: usize, colour: bool) -> String {
    let mut text = heading(report, colour);
    let mut table = human::table(&["stream", "owner", "records", "records/s", "silent", "gaps", "edge"]);
    for s in report.streams.iter().take(max_rows) {
        table.add_row([
            s.stream.to_string(),
            s.collector(),
            s.records.to_string(),
            format!("{:.1}", s.records_per_s),
            s.silent_ms.map_or("-".to_owned(), human::length),
            s.gaps.to_string(),
            s.edge.map_or("-".to_owned(), human::time),
        ]);
    }
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{}", table.trim_fmt());
    if let Some(hidden) = report.streams.len().checked_sub(max_rows).filter(|&hidden| hidden > 0) {
        let _ = writeln!(text, "… and {hidden} more streams");
    }
    let sockets: Vec<_> = report
        .sockets
        .iter()
        .map(|s| format!("#{} {} ({} subscriptions)", s.slot, s.state.as_str(), s.subscriptions))
        .collect();
    if !sockets.is_empty() {
        let _ = writeln!(text, "sockets: {}", sockets.join(", "));
    }
    let counters: Vec<_> =
        report.counters.iter().filter(|(_, n)| **n > 0).map(|(name, n)| format!("{name} {n}")).collect();
    if !counters.is_empty() {
        let _ = writeln!(text, "counted: {}", counters.join(", "));
    }
    text
}

fn heading(report: &StatusReport, colour: bool) -> String {
    let unowned = report.streams.iter().filter(|s| s.owner == Owner::None).count();
    let state = if unowned == 0 { "collecting" } else { "partly collecting" };
    let (begin, end) = match (colour, unowned) {
        (false, _) => ("", ""),
        (true, 0) => ("\x1b[32m", "\x1b[0m"),
        (true, _) => ("\x1b[33m", "\x1b[0m"),
    };
    format!("{begin}{state}{end} {}\n", summary(report))
}

fn summary(report: &StatusReport) -> String {
    let owned = |owner| report.streams.iter().filter(|s| s.owner == owner).count();
    let records: u64 = report.streams.iter().map(|s| s.records).sum();
    // An empty sum of floats is -0.
    let rate = report.streams.iter().fold(0.0, |sum, s| sum + s.records_per_s);
    let gaps: u64 = report.streams.iter().map(|s| s.gaps).sum();
    let spool = match report.spool {
        spool if spool.batches == 0 => String::new(),
        spool => format!(", spool {} batches ({} bytes)", spool.batches, spool.bytes),
    };
    format!(
        "{} up {}: {} streams (ws {}, rest {}, none {}), {records} records, {rate:.1} records/s, {gaps} gaps, weight {}/1200{spool}",
        report.network,
        human::length(report.uptime_ms),
        report.streams.len(),
        owned(Owner::Ws),
        owned(Owner::Rest),
        owned(Owner::None),
        report.weight_used,
    )
}

/// A report as one line.
#[must_use]
pub fn line(report: &StatusReport) -> String {
    format!("{} {}", human::time(report.at), summary(report))
}

#[cfg(test)]
#[path = "view_tests.rs"]
mod tests;
