//! `hl-cli alerts`: what needs attention.

use hl_core::TimeMs;
use hl_core::store::Holder;
use hl_store::AlertRow;
use serde::Serialize;

use super::{CommandError, Common, Shell};
use crate::exit::Exit;
use crate::human;

/// At most so many are shown.
const MOST: u32 = 1_000;

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  hl-cli alerts
  hl-cli alerts --all --json

docs/alerts.md says of each what it means and what to do.")]
pub(super) struct Args {
    #[command(flatten)]
    common: Common,
    /// Those of the last 90 days that are over as well
    #[arg(long)]
    all: bool,
}

#[derive(Serialize)]
struct Answer {
    /// When, ms.
    at: TimeMs,
    /// Newest first, at most 1,000.
    alerts: Vec<AlertRow>,
    /// Living processes on the store.
    holders: Vec<Holder>,
}

pub(super) async fn run(args: &Args, shell: &mut Shell<'_>) -> Result<Exit, CommandError> {
    let store = shell.open(&args.common).await?;
    let (alerts, holders) = (store.alerts(args.all, MOST).await?, store.holders().await?);
    let answer = Answer { at: shell.clock.now(), alerts, holders };
    shell.answer(&args.common, &answer, &text(&answer, args.all))?;
    Ok(Exit::Done)
}

fn text(answer: &Answer, all: bool) -> String {
    if answer.alerts.is_empty() {
        let which = if all { "no alert in 90 days" } else { "no open alerts" };
        return format!("{which}\n");
    }
    let headings = ["raised", "severity", "alert", "about", "lasts", "times", "process", "what was seen"];
    let mut table = human::table_of_words(&headings, 4);
    if let Some(words) = table.column_mut(headings.len() - 1) {
        words.set_cell_alignment(comfy_table::CellAlignment::Left);
    }
    for AlertRow { token, alert } in &answer.alerts {
        let lasts = match alert.resolved {
            Some(resolved) => format!("{}, over", human::length(resolved.since(alert.raised))),
            None => human::length(answer.at.since(alert.raised).max(0)),
        };
        table.add_row([
            human::time(alert.raised),
            alert.severity.as_str().to_owned(),
            alert.kind.as_str().to_owned(),
            alert.subject.clone(),
            lasts,
            alert.times.to_string(),
            match answer.holders.iter().find(|holder| holder.token == *token) {
                Some(holder) => holder.to_string(),
                None => format!("ended (token {})", token.0),
            },
            alert.words.clone(),
        ]);
    }
    format!("{}\n", table.trim_fmt())
}
