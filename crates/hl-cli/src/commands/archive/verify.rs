//! `hl-cli archive verify`.

use std::fmt::Write as _;

use hl_archive::{Examined, examine};
use hl_store::Problem;
use indicatif::ProgressBar;
use serde::Serialize;

use super::PlaceArgs;
use super::answer::Leftovers;
use crate::commands::{CommandError, Shell};
use crate::exit::Exit;

#[derive(Serialize)]
struct Answer {
    clean: bool,
    parts: u64,
    rows: u64,
    bytes: u64,
    /// Rows of parts that could not be read.
    unread: u64,
    /// Rows that the store has as well, equal: the next run removes them there.
    doubled: u64,
    minutes_compared: u64,
    minutes_unknown: u64,
    problems: Vec<Problem>,
    #[serde(flatten)]
    leftovers: Leftovers,
}

pub(super) async fn run(args: &PlaceArgs, shell: &mut Shell<'_>) -> Result<Exit, CommandError> {
    let whole = shell.open_whole(&args.common, &args.archive).await?;
    let every = hl_core::ledger::Span { from: hl_core::TimeMs::MIN, to: hl_core::TimeMs::MAX };
    let parts = hl_store::Inspect::parts(&whole, None, every).await?;
    let recorded = parts.iter().filter(|part| part.path.is_some()).map(|part| part.rows).sum();
    // Draws nothing where standard error is no terminal.
    let bar = ProgressBar::new(recorded);
    let examined = examine(&whole, &|rows| bar.inc(rows)).await?;
    bar.finish_and_clear();
    let leftovers = Leftovers::of(&whole, &parts)?;
    let Examined { parts, rows, bytes, unread, doubled, minutes_compared, minutes_unknown, problems } =
        examined;
    let answer = Answer {
        clean: problems.is_empty(),
        parts,
        rows,
        bytes,
        unread,
        doubled,
        minutes_compared,
        minutes_unknown,
        problems,
        leftovers,
    };
    shell.answer(&args.common, &answer, &text(&answer))?;
    Ok(if answer.clean { Exit::Done } else { Exit::Failed })
}

fn text(answer: &Answer) -> String {
    let mut text = String::new();
    for Problem { check, stream, count, example } in &answer.problems {
        let stream = stream.map_or("store".to_owned(), |stream| stream.to_string());
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{stream}: {check}: {count} ({example})");
    }
    text.push_str(&answer.leftovers.text);
    let Answer { parts, rows, bytes, unread, doubled, minutes_compared, minutes_unknown, .. } = answer;
    let clean = if answer.clean { "clean" } else { "NOT CLEAN" };
    let _ = writeln!(
        text,
        "{clean}: {parts} parts, {rows} rows, {bytes} bytes, {unread} rows not read, {doubled} still in the store too, \
         {minutes_compared} minutes of trades compared with candles, {minutes_unknown} unknown"
    );
    text
}
