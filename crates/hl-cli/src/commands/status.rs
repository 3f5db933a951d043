//! `hl-cli status`: the store at a glance, and the daemon on it.

use std::fmt::Write as _;

use hl_collectors::pipeline::Latency;
use hl_core::store::Holder;
use hl_core::{StreamKey, TimeMs};
use hl_store::{Inspect, StreamRow};
use serde::Serialize;

use super::{CommandError, Common, Shell};
use crate::exit::Exit;
use crate::status::{self, StatusReport};
use crate::{human, view};

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  hl-cli status
  hl-cli status --store sqlite:./data/hyperliquid.db --json")]
pub(super) struct Args {
    #[command(flatten)]
    common: Common,
}

#[derive(Serialize)]
struct Answer {
    /// When, ms.
    at: TimeMs,
    streams: Vec<Line>,
    /// Living processes on the store.
    holders: Vec<Holder>,
    /// What the daemon says about itself, where one is alive; of several the oldest.
    live: Option<StatusReport>,
    /// What the other ones say.
    others: Vec<StatusReport>,
}

impl Answer {
    /// How late the frames of a stream come, as the daemon says that receives it.
    fn latency(&self, stream: StreamKey) -> Option<Latency> {
        let mut streams = self.live.iter().chain(&self.others).flat_map(|report| &report.streams);
        streams.find(|of| of.stream == stream && of.latency_ms.is_some())?.latency_ms
    }
}

#[derive(Serialize)]
struct Line {
    stream: StreamKey,
    edge: Option<TimeMs>,
    /// Its rows, those in the archive included.
    rows: u64,
    /// Time of the newest row, ms.
    newest: Option<TimeMs>,
    /// From there to now, ms.
    age_ms: Option<i64>,
    holder: Option<Holder>,
}

pub(super) async fn run(args: &Args, shell: &mut Shell<'_>) -> Result<Exit, CommandError> {
    let store = shell.open(&args.common).await?;
    let at = shell.clock.now();
    let line = |row: StreamRow| Line {
        stream: row.stream,
        edge: row.edge,
        rows: row.rows,
        newest: row.newest,
        age_ms: row.newest.map(|newest| at.since(newest)),
        holder: row.holder,
    };
    let streams = store.streams().await?.into_iter().map(line).collect();
    let holders = store.holders().await?;
    let mut reports = living(store.as_ref(), &holders).await?.into_iter();
    let live = reports.next();
    let answer = Answer { at, streams, holders, live, others: reports.collect() };
    shell.answer(&args.common, &answer, &text(&answer))?;
    Ok(Exit::Done)
}

/// What the living daemons say about themselves, the oldest first.
pub(super) async fn living(
    store: &dyn Inspect,
    holders: &[Holder],
) -> Result<Vec<StatusReport>, CommandError> {
    let mut reports = Vec::new();
    for holder in holders {
        let note = store.note(&status::note(holder.token)).await?;
        // A note of another shape is of another release, whose daemon may well be running: no reason to fail.
        reports.extend(note.and_then(|text| serde_json::from_str::<StatusReport>(&text).ok()));
    }
    Ok(reports)
}

fn text(answer: &Answer) -> String {
    let mut text = String::new();
    let mut table =
        human::table(&["stream", "edge", "rows", "newest row", "age", "latency p50/p90/p99", "held by"]);
    for line in &answer.streams {
        let holder = line.holder.as_ref();
        table.add_row([
            line.stream.to_string(),
            line.edge.map_or("-".to_owned(), human::time),
            line.rows.to_string(),
            line.newest.map_or("-".to_owned(), human::time),
            line.age_ms.map_or("-".to_owned(), human::length),
            answer
                .latency(line.stream)
                .map_or("-".to_owned(), |Latency { p50, p90, p99 }| format!("{p50}/{p90}/{p99} ms")),
            holder.map_or("-".to_owned(), ToString::to_string),
        ]);
    }
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{}\n", table.trim_fmt());
    match (&answer.live, answer.holders.as_slice()) {
        (Some(live), _) => {
            for report in [live].into_iter().chain(&answer.others) {
                let process = report.holder();
                let age = human::length(answer.at.since(report.at));
                let table = view::table(report, usize::MAX, false);
                let _ = write!(text, "{process}, as of {age} ago:\n{table}");
            }
        }
        (None, []) => text.push_str("no process is at work on this store\n"),
        (None, holders) => {
            for h in holders {
                let _ = writeln!(text, "{h} at work since {}", human::time(h.since));
            }
        }
    }
    text
}
