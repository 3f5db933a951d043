//! `hl-cli jobs history`.

use std::fmt::Write as _;

use hl_core::runs::Row;
use serde::Serialize;

use super::{moment, outcome};
use crate::commands::{CommandError, Common, Shell};
use crate::exit::Exit;
use crate::human;

#[derive(Serialize)]
struct Answer {
    runs: Vec<Row>,
}

pub(super) async fn run(
    id: Option<&str>,
    last: u32,
    common: &Common,
    shell: &mut Shell<'_>,
) -> Result<Exit, CommandError> {
    let store = shell.open(common).await?;
    let holders = store.holders().await?;
    let answer = Answer { runs: store.job_runs(id, last).await? };
    let alive = |row: &Row| holders.iter().any(|holder| holder.token == row.token);
    let text = if answer.runs.is_empty() {
        format!("no run of {} is remembered\n", id.unwrap_or("any job"))
    } else {
        table(&answer.runs, alive)
    };
    shell.answer(common, &answer, &text)?;
    Ok(Exit::Done)
}

/// Runs as a table, with what went wrong below it.
pub(super) fn table(runs: &[Row], alive: impl Fn(&Row) -> bool) -> String {
    let mut table = human::table(&["job", "planned", "begun", "took", "outcome", "rows", "weight"]);
    for row in runs {
        table.add_row([
            row.job.clone(),
            human::time(row.planned),
            moment((row.attempt > 0).then_some(row.started)),
            row.ended.map_or("-".to_owned(), |ended| human::length(ended.since(row.started))),
            outcome(row, &alive),
            row.rows.to_string(),
            row.weight.to_string(),
        ]);
    }
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{}", table.trim_fmt());
    for row in runs {
        if let Some(error) = &row.error {
            let _ = writeln!(text, "\n{} {}: {error}", row.job, human::time(row.planned));
        }
    }
    text
}
