//! `hl-cli ps`: everything that runs on the store, process by process.

use std::fmt::Write as _;

use hl_core::TimeMs;
use hl_core::store::{Holder, note_of};
use hl_monitor::{Process, ProcessNote, Reception};
use serde::Serialize;

use super::{CommandError, Common, Shell};
use crate::exit::Exit;
use crate::human;

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  hl-cli ps
  hl-cli ps --json | jq '.processes[].runs[] | select(.state == \"down\")'")]
pub(super) struct Args {
    #[command(flatten)]
    common: Common,
}

#[derive(Serialize)]
struct Answer {
    /// When, ms.
    at: TimeMs,
    /// Living processes on the store, the oldest first.
    processes: Vec<Of>,
}

#[derive(Serialize)]
struct Of {
    #[serde(flatten)]
    holder: Holder,
    /// When it last told what runs in it, ms; none where it tells nothing.
    told: Option<TimeMs>,
    /// What runs in it.
    runs: Vec<Process>,
}

pub(super) async fn run(args: &Args, shell: &mut Shell<'_>) -> Result<Exit, CommandError> {
    let store = shell.open(&args.common).await?;
    let at = shell.clock.now();
    let mut processes = Vec::new();
    for holder in store.holders().await? {
        let note = store.note(&note_of(ProcessNote::NAME, holder.token)).await?;
        // A note of another shape is of another release: no reason to fail.
        let note = note.and_then(|text| serde_json::from_str::<ProcessNote>(&text).ok());
        let told = note.as_ref().map(|note| note.at);
        processes.push(Of { holder, told, runs: note.map(|note| note.processes).unwrap_or_default() });
    }
    let answer = Answer { at, processes };
    shell.answer(&args.common, &answer, &text(&answer))?;
    Ok(Exit::Done)
}

fn text(answer: &Answer) -> String {
    if answer.processes.is_empty() {
        return "no process is at work on this store\n".to_owned();
    }
    let ago = |time: TimeMs| human::length(answer.at.since(time).max(0));
    let mut text = String::new();
    for (n, Of { holder, told, runs }) in answer.processes.iter().enumerate() {
        let between = if n > 0 { "\n" } else { "" };
        let told = match told {
            Some(told) => format!("as of {} ago", ago(*told)),
            None => "which does not tell what runs in it".to_owned(),
        };
        // Writing to a string cannot fail.
        let _ =
            writeln!(text, "{between}{holder}, token {}, for {}, {told}", holder.token.0, ago(holder.since));
        if runs.is_empty() {
            continue;
        }
        let headings = ["kind", "name", "state", "owner", "for", "last progress", "restarts"];
        let mut table = human::table_of_words(&headings, 4);
        for process in runs {
            table.add_row([
                process.kind.as_str().to_owned(),
                process.name.clone(),
                process.reception.map_or(process.state.as_str(), Reception::as_str).to_owned(),
                process.owner.clone().unwrap_or("-".to_owned()),
                ago(process.since),
                process.last_progress.map_or("-".to_owned(), |time| format!("{} ago", ago(time))),
                process.restarts.to_string(),
            ]);
        }
        let _ = writeln!(text, "{}", table.trim_fmt());
    }
    text
}
