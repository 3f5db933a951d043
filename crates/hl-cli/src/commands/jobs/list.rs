//! `hl-cli jobs list`.

use std::fmt::Write as _;

use comfy_table::CellAlignment;
use hl_core::runs::Row;
use hl_core::{TimeMs, Token};
use hl_scheduler::jobs::known;
use serde::Serialize;

use super::super::status::living;
use super::{moment, outcome};
use crate::commands::{CommandError, Common, Shell};
use crate::exit::Exit;
use crate::human;
use crate::status::StatusReport;

/// So many runs of a job are looked through for the last one that is more than asked for.
const LOOK_BACK: u32 = 20;

#[derive(Serialize)]
struct Answer {
    /// When, ms.
    at: TimeMs,
    jobs: Vec<Line>,
}

#[derive(Serialize)]
struct Line {
    id: &'static str,
    /// `running`, `due`, `withdrawn`, `idle`; `off` where the daemon does not have it, `stopped` where there is no daemon.
    state: String,
    /// The daemon that it is of.
    token: Option<Token>,
    /// Its plan, in words; none for a job that runs when it is needed.
    schedule: Option<String>,
    /// When it is planned next, ms.
    planned: Option<TimeMs>,
    /// How often it ran since that daemon began.
    runs: u64,
    /// Its newest run in the store's history, of whatever daemon.
    last: Option<Row>,
    /// What it does.
    about: &'static str,
}

pub(super) async fn run(common: &Common, shell: &mut Shell<'_>) -> Result<Exit, CommandError> {
    let store = shell.open(common).await?;
    let holders = store.holders().await?;
    let reports = living(store.as_ref(), &holders).await?;
    let mut jobs = Vec::new();
    for known in known() {
        let runs = store.job_runs(Some(known.id), LOOK_BACK).await?;
        let last = runs.into_iter().find(|row| row.attempt > 0);
        // Of several daemons the oldest that has the job.
        let has = |report: &&StatusReport| report.jobs.iter().any(|job| job.id == known.id);
        let report = reports.iter().find(has).or(reports.first());
        let job = report.and_then(|report| report.jobs.iter().find(|job| job.id == known.id));
        let state = match (job, report) {
            (Some(job), _) => job.state.clone(),
            (None, Some(_)) => "off".to_owned(),
            (None, None) => "stopped".to_owned(),
        };
        jobs.push(Line {
            id: known.id,
            state,
            token: report.map(|report| report.token),
            schedule: job.and_then(|job| job.schedule.clone()),
            planned: job.and_then(|job| job.planned),
            runs: job.map_or(0, |job| job.runs),
            last,
            about: known.about,
        });
    }
    let answer = Answer { at: shell.clock.now(), jobs };
    let alive = |row: &Row| holders.iter().any(|holder| holder.token == row.token);
    let text = text(&answer, alive);
    shell.answer(common, &answer, &text)?;
    Ok(Exit::Done)
}

fn text(answer: &Answer, alive: impl Fn(&Row) -> bool) -> String {
    let mut table = human::table(&[
        "job",
        "state",
        "runs",
        "plan",
        "planned next",
        "last begun",
        "rows",
        "outcome",
        "what it does",
    ]);
    if let Some(about) = table.column_mut(8) {
        about.set_cell_alignment(CellAlignment::Left);
    }
    for line in &answer.jobs {
        let last = line.last.as_ref();
        table.add_row([
            line.id.to_owned(),
            line.state.clone(),
            line.runs.to_string(),
            line.schedule.clone().unwrap_or_else(|| "when needed".to_owned()),
            moment(line.planned),
            moment(last.map(|row| row.started)),
            last.map_or("-".to_owned(), |row| row.rows.to_string()),
            last.map_or("-".to_owned(), |row| outcome(row, &alive)),
            line.about.to_owned(),
        ]);
    }
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{}", table.trim_fmt());
    let failed = answer.jobs.iter().filter_map(|line| Some((line.id, line.last.as_ref()?.error.as_ref()?)));
    for (id, error) in failed {
        let _ = writeln!(text, "\n{id}: {error}");
    }
    text
}
