//! A chart of characters, a column a bar.

use std::fmt::Write as _;

use super::axis;
use super::picture::{Picture, number};

/// Rows of prices; each shows two halves.
const ROWS: usize = 16;
/// Rows of volumes; each shows eight eighths.
const VOLUME_ROWS: usize = 3;
/// Room for the prices.
const AXIS: usize = 11;
/// So many gaps are named below the chart.
const NAMED: usize = 6;

const UP: &str = "\x1b[32m";
const DOWN: &str = "\x1b[31m";
const GAP: &str = "\x1b[33m";
const END: &str = "\x1b[0m";

/// Bars for which lines of this width have room.
pub(super) fn bars(width: usize) -> i64 {
    i64::try_from(width.saturating_sub(AXIS).max(10)).unwrap_or(10)
}

/// What a half of a cell shows of a bar.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Half {
    None,
    Wick,
    Body,
}

fn sign(upper: Half, lower: Half) -> char {
    use Half::{Body, None, Wick};
    match (upper, lower) {
        (None, None) => ' ',
        (Body, Body) => '┃',
        (Wick, Wick) => '│',
        (Wick, Body) => '╽',
        (Body, Wick) => '╿',
        (None, Body) => '╻',
        (Body, None) => '╹',
        (None, Wick) => '╷',
        (Wick, None) => '╵',
    }
}

/// One column: its characters from top to bottom, and its colour.
struct Column {
    prices: [char; ROWS],
    volume: [char; VOLUME_ROWS],
    colour: &'static str,
}

impl Column {
    fn of(sign: char, colour: &'static str) -> Self {
        Self { prices: [sign; ROWS], volume: [if sign == '░' { sign } else { ' ' }; VOLUME_ROWS], colour }
    }
}

/// The chart on lines of at most `width`.
pub(super) fn draw(picture: &Picture, width: usize, colour: bool) -> String {
    let columns = columns(picture);
    let (low, high) = picture.prices();
    let mut text = format!("{}\n{}\n\n", picture.title(), picture.sentence());
    let labels = labels(low, high);
    let paint = |text: &mut String, column: &Column, sign: char| {
        if colour && sign != ' ' && !column.colour.is_empty() {
            // Writing to a string cannot fail.
            let _ = write!(text, "{}{sign}{END}", column.colour);
        } else {
            text.push(sign);
        }
    };
    for (row, label) in labels.iter().enumerate() {
        let _ = write!(text, "{label:>rest$} ", rest = AXIS - 1);
        columns.iter().for_each(|column| paint(&mut text, column, column.prices[row]));
        text.push('\n');
    }
    for row in 0..VOLUME_ROWS {
        let label = if row == 0 { volume_label(picture.most_volume()) } else { String::new() };
        let _ = write!(text, "{label:>rest$} ", rest = AXIS - 1);
        columns.iter().for_each(|column| paint(&mut text, column, column.volume[row]));
        text.push('\n');
    }
    let _ = writeln!(text, "{}{}", " ".repeat(AXIS), times(picture, width));
    names(picture, &mut text);
    // A line that ends in blanks is the shorter one.
    text.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

fn columns(picture: &Picture) -> Vec<Column> {
    let mut columns: Vec<Column> = (0..picture.places()).map(|_| Column::of(' ', "")).collect();
    let place = |time| usize::try_from(picture.place(time)).unwrap_or(usize::MAX);
    for span in &picture.never {
        let (from, to) = (place(span.from), place(span.to));
        columns.iter_mut().take(to).skip(from).for_each(|column| *column = Column::of('·', ""));
    }
    for missing in &picture.missing {
        let (from, to) = (place(missing.places.from), place(missing.places.to));
        columns.iter_mut().take(to).skip(from).for_each(|column| *column = Column::of('░', GAP));
    }
    let (low, high) = picture.prices();
    let most = picture.most_volume();
    for bar in &picture.bars {
        let Some(column) = columns.get_mut(place(bar.time)) else { continue };
        let half = |price| half_of(number(price), low, high);
        let (open, close) = (half(bar.open), half(bar.close));
        let (bottom, top) = (half(bar.low), half(bar.high));
        let shows = |half: usize| {
            if (open.min(close)..=open.max(close)).contains(&half) {
                Half::Body
            } else if (bottom..=top).contains(&half) {
                Half::Wick
            } else {
                Half::None
            }
        };
        for (row, cell) in column.prices.iter_mut().enumerate() {
            let lower = 2 * (ROWS - 1 - row);
            *cell = sign(shows(lower + 1), shows(lower));
        }
        column.colour = if bar.close < bar.open { DOWN } else { UP };
        let eighths = scaled(number(bar.volume) / most, VOLUME_ROWS * 8);
        for (row, cell) in column.volume.iter_mut().enumerate() {
            let below = (VOLUME_ROWS - 1 - row) * 8;
            *cell = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'][eighths.saturating_sub(below).min(8)];
        }
    }
    columns
}

/// Which half of a cell a price falls into, from the bottom.
fn half_of(price: f64, low: f64, high: f64) -> usize {
    scaled((price - low) / (high - low), ROWS * 2 - 1)
}

/// A part of `most`, rounded.
fn scaled(part: f64, most: usize) -> usize {
    let part = if part.is_finite() { part.clamp(0.0, 1.0) } else { 0.5 };
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a few dozen cells"
    )]
    let cells = (part * most as f64).round() as usize;
    cells.min(most)
}

/// What stands before each row of prices.
fn labels(low: f64, high: f64) -> [String; ROWS] {
    let mut labels: [String; ROWS] = Default::default();
    for (price, word) in axis::prices(low, high, 5) {
        labels[ROWS - 1 - half_of(price, low, high) / 2] = word;
    }
    labels
}

fn volume_label(most: f64) -> String {
    format!("vol {}", if most >= 100.0 { format!("{most:.0}") } else { format!("{most:.3}") })
}

/// The marks of time, each below its column.
fn times(picture: &Picture, width: usize) -> String {
    let room = width.saturating_sub(AXIS);
    let mut line = String::new();
    for (at, word) in axis::times(picture.range.from, picture.range.to, i64::try_from(room / 12).unwrap_or(1))
    {
        let column = usize::try_from(picture.place(at)).unwrap_or(0);
        let used = line.chars().count();
        let fits = column + word.len() <= room;
        if fits && (used == 0 || used < column) {
            line.extend(std::iter::repeat_n(' ', column - used));
            line.push_str(&word);
        }
    }
    line
}

fn names(picture: &Picture, text: &mut String) {
    for missing in picture.missing.iter().take(NAMED) {
        let _ = writeln!(text, "░ {}", missing.words());
    }
    if picture.missing.len() > NAMED {
        let _ = writeln!(text, "░ and {} more: hl-cli coverage", picture.missing.len() - NAMED);
    }
    if !picture.never.is_empty() {
        let _ = writeln!(text, "· never collected");
    }
}

#[cfg(test)]
mod tests {
    use super::super::picture::tests::picture;
    use super::*;

    #[test]
    fn bars_prices_times_and_what_is_missing_are_seen() {
        let text = draw(&picture(), 80, false);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "BTC 5m · 2026-11-24 06:00 to 2026-11-24 07:40 UTC");
        let rows = &lines[3..3 + ROWS];
        for row in rows {
            let gap: String = row.chars().skip(AXIS + 8).take(3).collect();
            assert_eq!(gap, "░░░", "{text}");
            assert_eq!(row.chars().skip(AXIS + 18).collect::<String>(), "··", "{text}");
        }
        assert!(rows.iter().any(|row| row.trim_start().starts_with("66420 ")), "{text}");
        for place in (0..8).chain(11..18) {
            let has_body = |row: &&str| row.chars().nth(AXIS + place).is_some_and(|c| "┃╽╿╻╹".contains(c));
            assert!(rows.iter().any(has_body), "a body in column {place}: {text}");
        }
        assert!(text.contains("06:00 ") && text.contains("07:00"), "{text}");
        assert!(text.ends_with("░ outage 10m 0s from 2026-11-24 06:41 (unrecoverable)\n· never collected\n"));
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(draw(&picture(), 80, true).contains("\x1b[33m░"), "in colour");
    }
}
