//! What a backfill says at its end.

use std::fmt::Write as _;
use std::ops::Sub;

use hl_core::{StreamKey, TimeMs};
use serde::Serialize;

use crate::exit::Exit;
use crate::human;
use crate::say::say;

/// Gaps of a piece that are not filled: how many, and how long.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Measure {
    pub(super) open: u64,
    pub(super) open_ms: i64,
    /// What of that could not be read.
    pub(super) open_unreadable_ms: i64,
    pub(super) lost: u64,
    pub(super) lost_ms: i64,
    /// What of that could not be read, and was given up.
    pub(super) unreadable_ms: i64,
    /// Before the exchange's history: not lost.
    pub(super) before_ms: i64,
}

impl Sub for Measure {
    type Output = Self;
    fn sub(self, earlier: Self) -> Self {
        Self {
            open: self.open.saturating_sub(earlier.open),
            open_ms: (self.open_ms - earlier.open_ms).max(0),
            open_unreadable_ms: (self.open_unreadable_ms - earlier.open_unreadable_ms).max(0),
            lost: self.lost.saturating_sub(earlier.lost),
            lost_ms: (self.lost_ms - earlier.lost_ms).max(0),
            unreadable_ms: (self.unreadable_ms - earlier.unreadable_ms).max(0),
            before_ms: (self.before_ms - earlier.before_ms).max(0),
        }
    }
}

/// One stream of the answer.
#[derive(Serialize)]
pub(super) struct StreamAnswer {
    pub(super) stream: StreamKey,
    pub(super) from: TimeMs,
    pub(super) to: TimeMs,
    /// Rows in what was filled now.
    pub(super) rows: u64,
    /// Length of what was filled now, ms.
    pub(super) filled_ms: i64,
    /// Length of what the exchange no longer has, or what of it no answer of a day could be read, ms.
    pub(super) unrecoverable_ms: i64,
    /// Length of what lies before everything that is stored, and before what the exchange has, ms.
    pub(super) before_history_ms: i64,
    /// Length of what stays open, ms.
    pub(super) open_ms: i64,
    #[serde(skip)]
    pub(super) measure: Measure,
    /// Whether somebody else is at every gap that is left.
    #[serde(skip)]
    pub(super) held: bool,
}

/// The whole answer.
#[derive(Serialize)]
pub(super) struct Answer {
    pub(super) streams: Vec<StreamAnswer>,
    /// Whether everything that was asked for is there.
    complete: bool,
    #[serde(skip)]
    others: Vec<String>,
    #[serde(skip)]
    notes: Vec<String>,
}

impl Answer {
    pub(super) fn new(streams: Vec<StreamAnswer>, others: Vec<String>, notes: Vec<String>) -> Self {
        let complete = streams.iter().all(|s| s.measure.open == 0 && s.measure.lost == 0);
        Self { streams, complete, others, notes }
    }

    pub(super) fn exit(&self) -> Exit {
        if !self.others.is_empty() && !self.streams.is_empty() && self.streams.iter().all(|s| s.held) {
            Exit::Held
        } else if self.streams.iter().any(|s| s.measure.lost > 0) {
            Exit::Partial
        } else {
            Exit::Done
        }
    }

    pub(super) fn text(&self) -> String {
        if self.streams.is_empty() {
            return "nothing to fill\n".to_owned();
        }
        let is_lost = self.streams.iter().any(|s| s.unrecoverable_ms > 0);
        let mut headings = vec!["stream", "from", "to", "rows", "filled", "open"];
        // It is rarely there, and makes lines longer than a terminal.
        headings.extend(is_lost.then_some("unrecoverable"));
        let mut table = human::table(&headings);
        for s in &self.streams {
            let mut cells = vec![
                s.stream.to_string(),
                human::minute(s.from),
                human::minute(s.to),
                s.rows.to_string(),
                human::length(s.filled_ms),
                human::length(s.open_ms),
            ];
            cells.extend(is_lost.then(|| human::length(s.unrecoverable_ms)));
            table.add_row(cells);
        }
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}", table.trim_fmt());
        text
    }

    /// Says on standard error what could not be had.
    pub(super) fn complain(&self) {
        for note in &self.notes {
            say!("hl-cli: {note}");
        }
        for s in &self.streams {
            let stream = s.stream;
            if s.before_history_ms > 0 {
                let begins = human::second(s.from + s.before_history_ms);
                say!(
                    "hl-cli: {stream}: the exchange's history begins at {begins}; what lies before is not missing, and \
                     recorded as before_history"
                );
            }
            if s.measure.unreadable_ms > 0 {
                let length = human::length(s.measure.unreadable_ms);
                say!(
                    "hl-cli: {stream}: what the exchange had of {length} of it could not be read; recorded as \
                     unrecoverable, with the cause undecodable"
                );
            }
            if s.measure.lost > 0 && s.unrecoverable_ms > s.measure.unreadable_ms {
                let length = human::length(s.unrecoverable_ms - s.measure.unreadable_ms);
                say!(
                    "hl-cli: {stream}: the exchange no longer has {length} of it; recorded as unrecoverable"
                );
            }
            if s.measure.open_unreadable_ms > 0 {
                let length = human::length(s.measure.open_unreadable_ms);
                say!(
                    "hl-cli: {stream}: {length} of it could not be read; it stays open, with the cause undecodable, since \
                     another answer may be whole"
                );
            }
            if s.held && !self.others.is_empty() {
                say!("hl-cli: {stream}: held by {}", self.others.join(", "));
            } else if s.measure.open > 0 {
                let length = human::length(s.open_ms);
                say!(
                    "hl-cli: {stream}: {length} stay open: too young, another process is at them, they could not be read, or \
                     the exchange showed no row on each side; `hl-cli backfill gaps` or a daemon asks again"
                );
            }
        }
    }
}
