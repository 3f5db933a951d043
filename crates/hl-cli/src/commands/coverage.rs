//! `hl-cli coverage`: the ledger of every stream.

use std::fmt::Write as _;

use hl_core::ledger::{GapState, Span};
use hl_core::{StreamKey, TimeMs};
use hl_store::{CoverageRow, GapRow};
use serde::Serialize;

use super::{CommandError, Common, Shell};
use crate::exit::Exit;
use crate::human;

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  hl-cli coverage
  hl-cli coverage --stream trades/BTC
  hl-cli coverage --stream candle/BTC/1m --json")]
pub(super) struct Args {
    #[command(flatten)]
    common: Common,
    /// Only this stream, such as trades/BTC or candle/BTC/1m
    #[arg(long, value_name = "STREAM")]
    stream: Option<String>,
}

/// The ledger of one stream.
#[derive(Serialize)]
struct Ledger {
    stream: StreamKey,
    /// The past below this time is settled, ms.
    edge: Option<TimeMs>,
    /// Length of what is covered, ms.
    covered_ms: i64,
    /// Length of what is not proven, ms.
    gap_ms: i64,
    coverage: Vec<CoverageRow>,
    gaps: Vec<GapRow>,
}

#[derive(Serialize)]
struct Answer {
    streams: Vec<Ledger>,
}

pub(super) async fn run(args: &Args, shell: &mut Shell<'_>) -> Result<Exit, CommandError> {
    let stream: Option<StreamKey> = args.stream.as_deref().map(str::parse).transpose()?;
    let store = shell.open(&args.common).await?;
    let coverage = store.coverage(stream).await?;
    let gaps = store.gaps(stream).await?;
    let streams = store.streams().await?.into_iter().filter(|row| stream.is_none_or(|s| s == row.stream));
    let answer = Answer {
        streams: streams
            .map(|row| {
                let coverage: Vec<_> = coverage.iter().filter(|c| c.stream == row.stream).cloned().collect();
                let gaps: Vec<_> = gaps.iter().filter(|g| g.stream == row.stream).cloned().collect();
                Ledger {
                    stream: row.stream,
                    edge: row.edge,
                    covered_ms: coverage.iter().map(|c| c.span.ms()).sum(),
                    gap_ms: unfilled(&gaps).map(|g| g.span.ms()).sum(),
                    coverage,
                    gaps,
                }
            })
            .collect(),
    };
    shell.answer(&args.common, &answer, &text(&answer, stream))?;
    Ok(Exit::Done)
}

fn unfilled(gaps: &[GapRow]) -> impl Iterator<Item = &GapRow> {
    gaps.iter().filter(|gap| gap.state != GapState::Backfilled)
}

fn text(answer: &Answer, asked: Option<StreamKey>) -> String {
    if answer.streams.is_empty() {
        return match asked {
            Some(stream) => format!("{stream} was never collected into this store\n"),
            None => "nothing was collected into this store yet\n".to_owned(),
        };
    }
    let mut text = String::new();
    let mut table = human::table(&["stream", "from", "to", "from ms", "to ms", "length", "what", "rows"]);
    for ledger in &answer.streams {
        let covered = ledger
            .coverage
            .iter()
            .map(|c| (c.span, format!("{} {}", c.source.as_str(), c.epoch), Some(c.rows)));
        let gaps = ledger
            .gaps
            .iter()
            .map(|g| (g.span, format!("GAP {} ({})", g.cause.as_str(), g.state.as_str()), None));
        let mut pieces: Vec<(Span, String, Option<u64>)> = covered.chain(gaps).collect();
        pieces.sort_by_key(|(span, ..)| *span);
        for (span, what, rows) in pieces {
            table.add_row([
                ledger.stream.to_string(),
                human::time(span.from),
                human::time(span.to),
                span.from.to_string(),
                span.to.to_string(),
                human::length(span.ms()),
                what,
                rows.map_or("-".to_owned(), |rows| rows.to_string()),
            ]);
        }
    }
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{}\n", table.trim_fmt());
    for ledger in &answer.streams {
        let gaps = unfilled(&ledger.gaps).count();
        let _ = writeln!(
            text,
            "{}: {} covered, {gaps} gaps not filled ({})",
            ledger.stream,
            human::length(ledger.covered_ms),
            human::length(ledger.gap_ms),
        );
    }
    text
}
