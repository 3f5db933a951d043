//! What a run came to, as JSON and as a table.

use std::fmt::Write as _;

use hl_archive::{ArchiveError, DayDone, Due, LeftoverKind, Whole};
use hl_core::StreamKey;
use hl_core::archive::{Day, Part};
use serde::Serialize;

use crate::human;

/// A day that was due.
#[derive(Serialize)]
pub(super) struct DayRow {
    stream: StreamKey,
    day: Day,
    /// Its retention.
    rule: String,
    /// Its settled rows in the store.
    rows: u64,
    /// What was done; none where nothing was, or not yet.
    #[serde(flatten)]
    done: Option<Counts>,
    /// Why it could not be done.
    error: Option<String>,
}

/// What was done.
#[derive(Default, Serialize)]
pub(super) struct Counts {
    parts: u64,
    archived: u64,
    bytes: u64,
    /// Removed, because an earlier part has them.
    doubled: u64,
    deleted: u64,
    /// Rows that stay: an earlier part has others under their keys, a number does not fit, changed meanwhile.
    conflicting: u64,
    unfit: u64,
    changed: u64,
    /// Files that this store does not record, moved to another name.
    aside: u64,
}

impl From<DayDone> for Counts {
    fn from(done: DayDone) -> Self {
        let DayDone { parts, archived, bytes, doubled, deleted, conflicting, unfit, changed, aside } = done;
        Self { parts, archived, bytes, doubled, deleted, conflicting, unfit, changed, aside }
    }
}

/// Files of the archive that no record names.
#[derive(Default, Serialize)]
pub(super) struct Leftovers {
    /// The next run that works on their day removes them, or sets them aside.
    unrecorded: Vec<String>,
    /// An earlier run set them aside; they stay.
    aside: Vec<String>,
    /// A line for each, with what to do.
    #[serde(skip)]
    pub(super) text: String,
}

impl Leftovers {
    pub(super) fn of(whole: &Whole, parts: &[Part]) -> Result<Self, ArchiveError> {
        let mut all = Self::default();
        for left in whole.files().leftovers(parts)? {
            // Writing to a string cannot fail.
            let _ = writeln!(all.text, "{left}");
            let list = match left.kind {
                LeftoverKind::Aside => &mut all.aside,
                LeftoverKind::Unfinished | LeftoverKind::Unrecorded => &mut all.unrecorded,
            };
            list.push(left.path.display().to_string());
        }
        Ok(all)
    }
}

/// The answer of `archive run`.
#[derive(Serialize)]
pub(super) struct Answer {
    pub(super) dry_run: bool,
    /// The folder of the archive.
    pub(super) archive: String,
    pub(super) days: Vec<DayRow>,
    /// All days together.
    pub(super) total: Counts,
}

impl DayRow {
    pub(super) fn new(due: Due, done: Option<DayDone>, error: Option<String>) -> Self {
        let Due { stream, day, rows, rule } = due;
        Self { stream, day, rule: rule.to_string(), rows, done: done.map(Counts::from), error }
    }
}

impl Answer {
    pub(super) fn text(&self) -> String {
        if self.days.is_empty() {
            return "nothing is past its retention\n".to_owned();
        }
        let headings =
            ["stream", "day", "retention", "rows", "archived", "parts", "bytes", "deleted", "stay"];
        let mut table = human::table(&headings);
        for row in &self.days {
            let mut cells =
                vec![row.stream.to_string(), row.day.to_string(), row.rule.clone(), row.rows.to_string()];
            cells.extend(match &row.done {
                Some(d) => [d.archived, d.parts, d.bytes, d.deleted, d.conflicting + d.unfit + d.changed]
                    .map(|n| n.to_string()),
                None => std::array::from_fn(|_| "-".to_owned()),
            });
            table.add_row(cells);
        }
        let mut text = format!("{}\n\n", table.trim_fmt());
        for row in &self.days {
            if let Some(error) = &row.error {
                // Writing to a string cannot fail.
                let _ = writeln!(text, "{} {}: {error}", row.stream, row.day);
            }
        }
        let Counts { parts, archived, bytes, doubled, deleted, aside, .. } = &self.total;
        let days = self.days.len();
        let _ = match self.dry_run {
            true => writeln!(text, "{days} days are due; nothing was done"),
            false => writeln!(
                text,
                "{archived} rows archived in {parts} parts of {bytes} bytes in {}, {doubled} removed that were there \
                 already, {deleted} deleted",
                self.archive
            ),
        };
        if *aside > 0 {
            let _ = writeln!(
                text,
                "files set aside, since this store does not record them: {aside}. `hl-cli archive list` names them, and \
                 says what to do"
            );
        }
        text
    }
}
