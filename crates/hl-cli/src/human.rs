//! Times, lengths and tables for people.

use std::io::IsTerminal as _;

use comfy_table::{CellAlignment, Table, presets};
use hl_core::TimeMs;

/// The width of a page, where there is no terminal.
const DEFAULT_WIDTH: usize = 80;

/// UTC, to the millisecond: `2026-11-24T06:22:01.500Z`; the bare number where no calendar reaches.
#[must_use]
pub fn time(time: TimeMs) -> String {
    jiff::Timestamp::from_millisecond(time.0).map_or_else(|_| time.to_string(), |t| format!("{t:.3}"))
}

/// UTC, to the second, short enough for a table: `2026-11-24 06:22:01`.
#[must_use]
pub fn second(time: TimeMs) -> String {
    written(time, "%Y-%m-%d %H:%M:%S")
}

/// UTC, to the minute: `2026-11-24 06:22`.
#[must_use]
pub fn minute(time: TimeMs) -> String {
    written(time, "%Y-%m-%d %H:%M")
}

/// UTC, as `format` has it; the bare number where no calendar reaches.
#[must_use]
pub fn written(time: TimeMs, format: &str) -> String {
    let stamp = jiff::Timestamp::from_millisecond(time.0);
    stamp.map_or_else(|_| time.to_string(), |stamp| stamp.strftime(format).to_string())
}

/// Hundredths of a percent: `99.98 %`, and `100 %` only for all of it.
#[must_use]
pub fn percent(hundredths: Option<u32>) -> String {
    match hundredths {
        None => "-".to_owned(),
        Some(10_000) => "100 %".to_owned(),
        Some(part) => format!("{}.{:02} %", part / 100, part % 100),
    }
}

/// How wide what is written to standard output may be: the terminal's width, 80 where there is none.
#[must_use]
pub fn width() -> usize {
    let size = std::io::stdout().is_terminal().then(terminal_size::terminal_size).flatten();
    size.map_or(DEFAULT_WIDTH, |(width, _)| usize::from(width.0))
}

/// A length of `ms` milliseconds in its two largest units: `250ms`, `5.4s`, `3m 20s`, `2h 5m`, `3d 4h`.
#[must_use]
pub fn length(ms: i64) -> String {
    let (sign, ms) = if ms < 0 { ("-", ms.unsigned_abs()) } else { ("", ms.unsigned_abs()) };
    let (seconds, minutes, hours) = (ms / 1_000, ms / 60_000, ms / 3_600_000);
    let text = match ms {
        0..1_000 => format!("{ms}ms"),
        1_000..60_000 => format!("{seconds}.{}s", ms % 1_000 / 100),
        60_000..3_600_000 => format!("{minutes}m {}s", seconds % 60),
        3_600_000..86_400_000 => format!("{hours}h {}m", minutes % 60),
        _ => format!("{}d {}h", hours / 24, hours % 24),
    };
    format!("{sign}{text}")
}

/// A number with what it counts: `1 gap`, `2 gaps`.
#[must_use]
pub fn count(number: u64, word: &str) -> String {
    format!("{number} {word}{}", if number == 1 { "" } else { "s" })
}

/// A table with these headings; every column but the first is aligned right.
#[must_use]
pub fn table(headings: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(headings.iter().copied());
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// The same, with the columns of words, which come first, aligned left: so many of them.
#[must_use]
pub fn table_of_words(headings: &[&str], words: usize) -> Table {
    let mut table = table(headings);
    for column in table.column_iter_mut().take(words) {
        column.set_cell_alignment(CellAlignment::Left);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_lengths_read_well() {
        assert_eq!(time(TimeMs(1_795_501_321_500)), "2026-11-24T06:22:01.500Z");
        assert_eq!(time(TimeMs::MAX), i64::MAX.to_string());
        assert_eq!(second(TimeMs(1_795_501_321_500)), "2026-11-24 06:22:01");
        assert_eq!(minute(TimeMs(1_795_501_321_500)), "2026-11-24 06:22");
        let parts = [None, Some(0), Some(5), Some(9_998), Some(10_000)].map(percent);
        assert_eq!(parts, ["-", "0.00 %", "0.05 %", "99.98 %", "100 %"]);
        let of = [250, 5_430, 200_000, 7_500_000, 273_600_000, -5_430].map(length);
        assert_eq!(of, ["250ms", "5.4s", "3m 20s", "2h 5m", "3d 4h", "-5.4s"]);
    }
}
