//! `hl-cli verify`: the proof.

use std::fmt::Write as _;
use std::sync::Arc;

use hl_core::Kind;
use hl_core::ledger::GapState;
use hl_core::seam::Endpoint;
use hl_verify::{Budget, Compared, HttpTruth, Positions, Report, Truth, verify};

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
    let (followed, streams): (Vec<_>, Vec<_>) =
        report.streams.iter().partition(|stream| stream.stream.kind() == Kind::Positions);
    for stream in streams {
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
    if !followed.is_empty() {
        let sum = |of: fn(&Compared) -> u64| -> u64 {
            followed.iter().filter_map(|stream| stream.compared.as_ref()).map(of).sum()
        };
        let _ = writeln!(
            text,
            "positions of {} traders: {} rows; {} of the truth, {} missing, {} extra, {} different",
            followed.len(),
            followed.iter().map(|stream| stream.rows).sum::<u64>(),
            sum(|of| of.truth),
            sum(|of| of.missing.unwrap_or_default()),
            sum(|of| of.extra),
            sum(|of| of.different),
        );
    }
    if let Some(Positions { tracked, exact, exact_within_5s, stale_max_s, bootstrap_s }) = &report.positions {
        let _ = writeln!(
            text,
            "{tracked} traders tracked: {exact} exact now, {exact_within_5s} but for the last 5 s, the oldest of the others \
             {stale_max_s} s old; the last was known {bootstrap_s} s after the first choice"
        );
    }
    if let Some(Budget { peak_weight_per_min, rejected_429 }) = &report.budget {
        let _ = writeln!(
            text,
            "the exchange was asked for at most {peak_weight_per_min} weight a minute, and refused {rejected_429} requests"
        );
    }
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
