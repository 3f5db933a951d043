//! `hl-cli coverage`: the ledger of every stream, the answer first.

mod text;

use hl_core::completeness::{Cell, Completeness, share};
use hl_core::ledger::Span;
use hl_core::{StreamKey, TimeMs};
use hl_store::{CoverageRow, GapRow};
use serde::Serialize;

use super::ledgers::{Ledger, Ledgers};
use super::when::Bounds;
use super::{CommandError, Common, Shell};
use crate::exit::Exit;
use crate::human;

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  hl-cli coverage                              every stream, and the gaps to look at
  hl-cli coverage --coin BTC --from '24h ago'  one coin, the last day
  hl-cli coverage --stream trades/BTC --all    every piece, with source, claim and rows
  hl-cli coverage --stream candle/BTC/1m --json

A strip shows the whole range, left to right: █ complete, ▒ a part is missing, ░ all of it is
missing, · never collected. The smallest gap shows. What lies before the exchange's history
(cause before_history) is not missing, and is shown with --all only.

A gap says that something is not proven to be there. `backfilled` ones are not shown without
--all. JSON has everything, lengths in milliseconds.")]
pub(super) struct Args {
    #[command(flatten)]
    common: Common,
    /// Only this stream, such as trades/BTC or candle/BTC/1m
    #[arg(long, value_name = "STREAM")]
    stream: Option<String>,
    /// Only the streams of a coin; repeat it for more
    #[arg(long = "coin", value_name = "COIN", value_delimiter = ',')]
    coins: Vec<String>,
    /// Where to begin, UTC: 2026-11-01, 2026-11-01T12:00, RFC 3339, '24h ago', or milliseconds since 1970 [default: where
    /// collecting began]
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Where to end [default: where collecting has come to]
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// Every piece: what is covered, and gaps that were filled or lie before the exchange's history
    #[arg(long)]
    all: bool,
}

/// One stream of the answer.
#[derive(Serialize)]
struct Line {
    stream: StreamKey,
    /// The past below this time is settled, ms.
    edge: Option<TimeMs>,
    /// When it ended, ms: its market is listed no longer. None while it goes on.
    ended: Option<TimeMs>,
    /// How much of the range is covered, 0 to 1; none where nothing is known of it.
    complete: Option<f64>,
    /// Gaps in the range that are not filled.
    gaps_to_look_at: usize,
    /// The range of the whole answer, a character a slice of equal length.
    strip: String,
    /// What the range holds, lengths in ms; none where nothing is known of the stream.
    #[serde(flatten)]
    holds: Option<Completeness>,
    coverage: Vec<CoverageRow>,
    gaps: Vec<GapRow>,
}

#[derive(Serialize)]
struct Answer {
    /// From the earliest beginning of a stream to the latest end, ms.
    #[serde(flatten)]
    range: Option<Span>,
    /// How much of it is covered, all streams together, 0 to 1.
    complete: Option<f64>,
    /// Gaps in the range that are not filled.
    gaps_to_look_at: usize,
    streams: Vec<Line>,
}

pub(super) async fn run(args: &Args, shell: &mut Shell<'_>) -> Result<Exit, CommandError> {
    let stream: Option<StreamKey> = args.stream.as_deref().map(str::parse).transpose()?;
    let bounds = Bounds::parse(args.from.as_deref(), args.to.as_deref())?;
    let store = shell.open(&args.common).await?;
    let ledgers = Ledgers::read(store.as_ref()).await?;
    let coins = ledgers.coins(&args.coins)?;
    let ends = bounds.at(shell.clock.now())?;
    let nearest = stream.filter(|stream| !ledgers.0.contains_key(stream)).and_then(|s| ledgers.nearest(s));
    let asked_for = |key: &StreamKey| {
        stream.is_none_or(|stream| stream == *key)
            && (coins.is_empty() || key.coin().is_some_and(|coin| coins.contains(&coin)))
    };
    let ledgers = ledgers.0.into_values().filter(|ledger| asked_for(&ledger.row.stream)).collect();
    let width = human::width();
    let answer = Answer::new(ledgers, ends, text::strip_width(width));
    let text = match (&answer.streams[..], stream) {
        ([], Some(stream)) => {
            let nearest = nearest.map(|name| format!("; did you mean {name}?")).unwrap_or_default();
            format!("{stream} was never collected into this store{nearest}\n")
        }
        ([], None) => "nothing was collected into this store yet\n".to_owned(),
        _ => text::text(&answer, args.all, width),
    };
    shell.answer(&args.common, &answer, &text)?;
    Ok(Exit::Done)
}

impl Answer {
    fn new(ledgers: Vec<Ledger>, (from, to): (Option<TimeMs>, Option<TimeMs>), cells: usize) -> Self {
        let range = |ledger: &Ledger| {
            let extent = ledger.extent();
            let from = from.or(extent.map(|extent| extent.from))?;
            let to = to.or(extent.map(|extent| extent.to)).unwrap_or(from);
            (from <= to).then_some(Span { from, to })
        };
        let ranges: Vec<_> = ledgers.iter().map(range).collect();
        let whole = ranges.iter().flatten().copied().reduce(Span::hull);
        let line = |(ledger, range): (Ledger, Option<Span>)| Line::new(ledger, range, whole, cells);
        let streams: Vec<_> = ledgers.into_iter().zip(ranges).map(line).collect();
        Self {
            range: whole,
            complete: fraction(share(streams.iter().filter_map(|line| line.holds.as_ref()))),
            gaps_to_look_at: streams.iter().map(|line| line.gaps_to_look_at).sum(),
            streams,
        }
    }
}

impl Line {
    fn new(ledger: Ledger, range: Option<Span>, whole: Option<Span>, cells: usize) -> Self {
        let holds = range.map(|range| ledger.completeness(range));
        let strip = whole.map(|whole| strip(&ledger.completeness(whole), cells)).unwrap_or_default();
        let touches = |span: Span| range.is_some_and(|range| span.touches(range));
        let Ledger { row, mut coverage, mut gaps } = ledger;
        coverage.retain(|piece| touches(piece.span));
        gaps.retain(|gap| touches(gap.span));
        let mut line = Self {
            stream: row.stream,
            edge: row.edge,
            ended: row.ended,
            complete: fraction(share(&holds)),
            gaps_to_look_at: 0,
            strip,
            holds,
            coverage,
            gaps,
        };
        line.gaps_to_look_at = line.missing().count();
        line
    }

    /// The gaps that are not filled.
    fn missing(&self) -> impl Iterator<Item = &GapRow> {
        let is_in = |gap: &&GapRow| {
            let holds = self.holds.as_ref();
            holds.is_some_and(|of| of.missing.iter().any(|m| m.contains(gap.span.from.max(of.range.from))))
        };
        self.gaps.iter().filter(|gap| gap.is_missing()).filter(is_in)
    }
}

fn fraction(hundredths: Option<u32>) -> Option<f64> {
    hundredths.map(|hundredths| f64::from(hundredths) / 10_000.0)
}

fn strip(holds: &Completeness, cells: usize) -> String {
    let sign = |cell| match cell {
        Cell::Outside => '·',
        Cell::Whole => '█',
        Cell::Part => '▒',
        Cell::Missing => '░',
    };
    holds.strip(cells).into_iter().map(sign).collect()
}
