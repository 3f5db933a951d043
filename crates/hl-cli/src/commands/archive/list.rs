//! `hl-cli archive list`.

use std::fmt::Write as _;

use hl_core::StreamKey;
use hl_core::archive::Part;
use hl_core::ledger::Span;
use hl_store::Inspect as _;
use serde::Serialize;

use super::PlaceArgs;
use super::answer::Leftovers;
use crate::commands::{CommandError, Shell};
use crate::exit::Exit;
use crate::human;

#[derive(Serialize)]
struct Answer {
    /// The folder of the archive.
    archive: String,
    parts: Vec<Part>,
    #[serde(flatten)]
    leftovers: Leftovers,
}

pub(super) async fn run(
    args: &PlaceArgs,
    stream: Option<&str>,
    shell: &mut Shell<'_>,
) -> Result<Exit, CommandError> {
    let stream: Option<StreamKey> = stream.map(str::parse).transpose()?;
    let whole = shell.open_whole(&args.common, &args.archive).await?;
    let all = whole.parts(None, Span::EVER).await?;
    let leftovers = Leftovers::of(&whole, &all)?;
    let answer = Answer {
        archive: whole.files().root().display().to_string(),
        parts: all.into_iter().filter(|part| stream.is_none_or(|stream| stream == part.stream)).collect(),
        leftovers,
    };
    shell.answer(&args.common, &answer, &text(&answer))?;
    Ok(Exit::Done)
}

fn text(answer: &Answer) -> String {
    let mut text = String::new();
    if answer.parts.is_empty() {
        text.push_str("nothing was archived yet\n");
    } else {
        let mut table = human::table(&["stream", "day", "rows", "parts", "bytes", "a row", "what"]);
        let days = answer
            .parts
            .chunk_by(|a, b| (a.stream, a.day, a.path.is_some()) == (b.stream, b.day, b.path.is_some()));
        for day in days {
            let Some(first) = day.first() else { continue };
            let rows: u64 = day.iter().map(|part| part.rows).sum();
            let bytes: u64 = day.iter().map(|part| part.bytes).sum();
            table.add_row([
                first.stream.to_string(),
                first.day.to_string(),
                rows.to_string(),
                day.len().to_string(),
                bytes.to_string(),
                (bytes / rows.max(1)).to_string(),
                if first.path.is_some() { "archived" } else { "deleted" }.to_owned(),
            ]);
        }
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}", table.trim_fmt());
    }
    text.push_str(&answer.leftovers.text);
    text
}
