//! The daemon's view of itself on standard output: a table that is redrawn on a terminal, otherwise a line now and
//! then, or JSON.
//!
//! The texts are pure functions of a [`StatusReport`]; [`View`] only decides which of them to write, and when.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write};

use hl_core::TimeMs;
use hl_core::alert::{Alert, Severity};
use hl_core::limits::WEIGHT;
use hl_core::time::DAY_MS;
use hl_engine::TrackerView;
use hl_monitor::{Reception, TotalReception};

use crate::human;
use crate::status::{Owner, StatusReport, StreamStatus};

/// Lines are written this often, ms, where there is no terminal.
const LINE_MS: i64 = 10_000;

/// Columns and rows that a terminal of unknown size is taken to have.
const DEFAULT_SIZE: (usize, usize) = (80, 24);

/// Around the streams: table head, sockets, counters, what is left out, and one for the cursor.
const FRAME_LINES: usize = 5;
/// Alerts that a terminal shows at most, and warnings.
const ALERTS: usize = 4;
const WARNINGS: usize = 4;

const RED: &str = "\x1b[31m";
const YELLOW: &str = "\x1b[33m";
const GREEN: &str = "\x1b[32m";
const PLAIN: &str = "\x1b[0m";

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
    /// Nothing: something else is written there.
    Silent,
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

    /// Shows a report; call it about once a second. A table ends with the last of the `warnings`, which the log would
    /// otherwise write across it.
    ///
    /// # Errors
    /// When the output is gone.
    pub fn show(&mut self, report: &StatusReport, warnings: &[String]) -> io::Result<()> {
        if let Mode::Table { colour } = self.mode {
            let begin = if self.begun { "" } else { ENTER };
            let clear = if self.begun { "" } else { CLEAR_ALL };
            self.begun = true;
            let size = terminal_size::terminal_size();
            let size = size.map_or(DEFAULT_SIZE, |(w, h)| (usize::from(w.0), usize::from(h.0)));
            let text = screen(report, warnings, size, colour);
            let text = text.replace('\n', CLEAR_LINE);
            write!(self.out, "{begin}{clear}{HOME}{text}{CLEAR_REST}")?;
            return self.out.flush();
        }
        if self.mode == Mode::Silent || self.last.is_some_and(|last| report.at.since(last) < LINE_MS) {
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

/// A report as a terminal of so many columns and rows shows it: nothing pushes its first line off the screen, and what
/// is worth reading is not cut.
fn screen(
    report: &StatusReport,
    warnings: &[String],
    (width, height): (usize, usize),
    colour: bool,
) -> String {
    let heading = wrapped(&heading(report, colour), width);
    let below = wrapped(&(told(report, colour) + &last_lines(warnings, colour)), width);
    let below: Vec<_> = below.lines().take(height / 3).collect();
    let rows = height.saturating_sub(FRAME_LINES + heading.lines().count() + below.len()).max(1);
    let below: String = below.into_iter().map(|line| format!("{line}\n")).collect();
    heading + &streams(report, rows) + &below
}

/// Breaks lines that are longer than so many columns, between words where it can. Colours take none.
fn wrapped(text: &str, width: usize) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        let mut column = 0;
        for (n, word) in line.split(' ').enumerate() {
            if n > 0 && column > 0 && column + 1 + columns(word) > width {
                out.push('\n');
                column = 0;
            } else if n > 0 {
                out.push(' ');
                column += 1;
            }
            let mut in_colour = false;
            for c in word.chars() {
                in_colour |= c == '\x1b';
                if !in_colour && column == width {
                    out.push('\n');
                    column = 0;
                }
                column += usize::from(!in_colour);
                out.push(c);
                in_colour &= c != 'm';
            }
        }
        out.push('\n');
    }
    out
}

/// How many columns a word takes.
fn columns(word: &str) -> usize {
    let mut in_colour = false;
    let visible = |c: &char| {
        in_colour |= *c == '\x1b';
        let visible = !in_colour;
        in_colour &= *c != 'm';
        visible
    };
    word.chars().filter(visible).count()
}

/// A report as a table of at most `max_rows` streams, with a heading and what else is worth seeing.
#[must_use]
pub fn table(report: &StatusReport, max_rows: usize, colour: bool) -> String {
    heading(report, colour) + &streams(report, max_rows) + &told(report, colour)
}

/// The streams, and what else is counted.
fn streams(report: &StatusReport, max_rows: usize) -> String {
    let mut text = String::new();
    if report.streams.is_empty() {
        return text;
    }
    let headings = ["stream", "owner", "reception", "records", "records/s", "silent", "gaps", "edge"];
    let mut table = human::table(&headings);
    for s in report.streams.iter().take(max_rows) {
        table.add_row([
            s.stream.to_string(),
            s.collector(),
            s.reception.as_str().to_owned(),
            s.records.to_string(),
            format!("{:.1}", s.records_per_s),
            s.silent_ms.map_or("-".to_owned(), human::length),
            s.gaps.to_string(),
            s.edge.map_or("-".to_owned(), |edge| of_day(report.at, edge)),
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

/// The time of day, where that says which day; else the day. A table of 80 columns has no room for both.
fn of_day(now: TimeMs, time: TimeMs) -> String {
    let text = human::time(time);
    let part = if now.since(time).abs() < DAY_MS / 2 { text.get(11..19) } else { text.get(..10) };
    part.map_or(text.clone(), str::to_owned)
}

fn heading(report: &StatusReport, colour: bool) -> String {
    if let Some(words) = not_receiving(report) {
        return format!("{}\n{}\n", painted(RED, &words, colour), summary(report));
    }
    let is_whole = |s: &StreamStatus| s.owner != Owner::None && s.reception != Reception::Failing;
    let (state, paint) = match report.reception.state {
        Reception::Receiving if report.streams.iter().all(is_whole) => ("receiving", GREEN),
        Reception::Receiving => ("partly receiving", YELLOW),
        Reception::Waiting | Reception::Failing => ("waiting", YELLOW),
    };
    format!("{} {}\n", painted(paint, state, colour), summary(report))
}

/// That nothing is received, since when and why; nothing where something is, or need not be.
fn not_receiving(report: &StatusReport) -> Option<String> {
    let TotalReception { state, silent_ms, why, .. } = &report.reception;
    let why = why.as_ref().filter(|_| *state == Reception::Failing)?;
    Some(format!("not receiving for {}: {why}", human::length(*silent_ms)))
}

/// The open alerts, a line each.
fn told(report: &StatusReport, colour: bool) -> String {
    let line = |alert: &Alert| {
        let paint = if alert.severity == Severity::Critical { RED } else { YELLOW };
        let (kind, subject) = (alert.kind.as_str(), &alert.subject);
        let ago = human::length(report.at.since(alert.raised).max(0));
        format!("{} {kind} {subject} for {ago}: {}\n", painted(paint, "alert", colour), alert.words)
    };
    let mut text: String = report.alerts.iter().take(ALERTS).map(line).collect();
    if let Some(hidden) = report.alerts.len().checked_sub(ALERTS).filter(|hidden| *hidden > 0) {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "… and {hidden} more alerts: hl-cli alerts");
    }
    text
}

/// The newest warnings, a line each.
fn last_lines(warnings: &[String], colour: bool) -> String {
    let newest = &warnings[warnings.len().saturating_sub(WARNINGS)..];
    newest.iter().map(|line| format!("{} {line}\n", painted(YELLOW, "log", colour))).collect()
}

fn painted(paint: &str, words: &str, colour: bool) -> String {
    if colour { format!("{paint}{words}{PLAIN}") } else { words.to_owned() }
}

fn summary(report: &StatusReport) -> String {
    let owned = |owner| report.streams.iter().filter(|s| s.owner == owner).count();
    let records: u64 = report.streams.iter().map(|s| s.records).sum();
    // An empty sum of floats is -0.
    let rate = report.streams.iter().fold(0.0, |sum, s| sum + s.records_per_s);
    let gaps: u64 = report.streams.iter().map(|s| s.gaps).sum();
    let failing = match report.reception.failing {
        0 => String::new(),
        failing => format!(", {failing} failing"),
    };
    let traders = report.traders.map_or(String::new(), |traders| format!(", traders {}", known(&traders)));
    let spool = match report.spool {
        spool if spool.batches == 0 => String::new(),
        spool => format!(", spool {} batches ({} bytes)", spool.batches, spool.bytes),
    };
    format!(
        "{} up {}: {} streams (ws {}, rest {}, none {}){failing}, {records} records, {rate:.1} records/s, {gaps} gaps, weight {}/{WEIGHT}{traders}{spool}",
        report.network,
        human::length(report.uptime_ms),
        report.streams.len(),
        owned(Owner::Ws),
        owned(Owner::Rest),
        owned(Owner::None),
        report.weight_used,
    )
}

/// How well so many traders are known: `200 (198 exact, 2 suspect)`.
fn known(traders: &TrackerView) -> String {
    let parts = [(traders.exact, "exact"), (traders.suspect, "suspect"), (traders.unknown, "unknown")];
    let parts: Vec<_> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
    match parts.as_slice() {
        [] => traders.tracked.to_string(),
        parts => format!("{} ({})", traders.tracked, parts.join(", ")),
    }
}

/// A report as one line.
#[must_use]
pub fn line(report: &StatusReport) -> String {
    let reception = not_receiving(report).map_or(String::new(), |words| format!("{words}; "));
    format!("{} {reception}{}", human::time(report.at), summary(report))
}

#[cfg(test)]
#[path = "view_tests.rs"]
mod tests;
