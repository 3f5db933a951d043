//! `hl-cli verify`: the proof.

use std::fmt::Write as _;
use std::sync::Arc;

use hl_core::ledger::GapState;
use hl_core::seam::Endpoint;
use hl_verify::{HttpTruth, Report, Truth, verify};

use super::{ArchiveArgs, CommandError, Common, Shell};
use crate::exit::Exit;
use crate::{dropped, human};

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  hl-cli verify
  hl-cli verify --store sqlite:./demo.db --truth http://127.0.0.1:4001 --json

Exit code 0: clean; recorded gaps are not wrong. 1: something is wrong, or could not be read.")]
pub(super) struct Args {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    archive: ArchiveArgs,
    /// Base URL of the simulated exchange that the store was collected from
    #[arg(long, value_name = "URL")]
    truth: Option<String>,
}

pub(super) async fn run(args: &Args, shell: &mut Shell<'_>) -> Result<Exit, CommandError> {
    let base: Option<Endpoint> = args.truth.as_deref().map(str::parse).transpose()?;
    let store = shell.open_whole(&args.common, &args.archive).await?;
    let truth = base.map(|base| HttpTruth::new(Arc::clone(&shell.net), base));
    let truth = truth.as_ref().map(|truth| truth as &dyn Truth);
    // A simulated exchange has a time of its own.
    let now = truth.is_none().then(|| shell.clock.now());
    let report = verify(&store, truth, now).await?;
    shell.answer(&args.common, &report, &text(&report))?;
    Ok(if report.clean { Exit::Done } else { Exit::Failed })
}

/// The report for people.
fn text(report: &Report) -> String {
    let mut text = String::new();
    let mut table = human::table(&[
        "stream",
        "rows",
        "duplicates",
        "truth",
        "missing",
        "in gaps",
        "extra",
        "different",
        "pending",
        "gaps",
    ]);
    for stream in &report.streams {
        let gaps =
            report.gaps.iter().filter(|g| g.stream == stream.stream && g.state != GapState::Backfilled);
        let mut cells =
            vec![stream.stream.to_string(), stream.rows.to_string(), stream.duplicates.to_string()];
        cells.extend(match &stream.compared {
            Some(c) => [
                c.truth.to_string(),
                c.missing.map_or("-".to_owned(), |n| n.to_string()),
                c.missing_in_gaps.to_string(),
                c.extra.to_string(),
                c.different.to_string(),
                c.pending.to_string(),
            ],
            None => std::array::from_fn(|_| "-".to_owned()),
        });
        cells.push(gaps.count().to_string());
        table.add_row(cells);
    }
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{table}");
    for found in &report.problems {
        let stream = found.stream.map_or("store".to_owned(), |stream| stream.to_string());
        let _ = writeln!(text, "{stream}: {}: {} ({})", found.check, found.count, found.example);
    }
    if report.minutes_unknown > 0 {
        let _ = writeln!(
            text,
            "{} minutes of trades are unknown: their candles count something else, and so do those around them",
            report.minutes_unknown,
        );
    }
    let open = report.gaps.iter().filter(|gap| gap.state != GapState::Backfilled);
    if let Some(dropped) = dropped::words(open.map(|gap| (gap.stream, gap.span, gap.cause))) {
        let _ = writeln!(text, "{dropped}");
    }
    if report.unread > 0 {
        let _ = writeln!(text, "{} archived rows were not read: nothing is said of them", report.unread);
    }
    let open = report.gaps.iter().filter(|gap| gap.state != GapState::Backfilled).count();
    let _ = writeln!(
        text,
        "{}: {} duplicates, {} overlapping claims, {} minutes of trades compared with candles, {open} recorded gaps",
        if report.clean { "clean" } else { "NOT CLEAN" },
        report.duplicates,
        report.overlapping_claims,
        report.minutes_compared,
    );
    text
}
