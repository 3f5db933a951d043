//! `hl-cli chart`: candles with what is missing marked, as a picture or in the terminal.

mod axis;
mod picture;
mod svg;
mod terminal;

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;

use hl_archive::Whole;
use hl_core::bars::{derive, is_derivable};
use hl_core::ledger::Span;
use hl_core::{Coin, Interval, Records, StreamKey, TimeMs};
use hl_store::Inspect as _;

use self::picture::Picture;
use super::export::wish::{Wanted, Wish};
use super::ledgers::Ledgers;
use super::outfile::OutFile;
use super::when::Bounds;
use super::{ArchiveArgs, CommandError, Common, Shell};
use crate::config::{ConfigError, Place, ValueError};
use crate::exit::Exit;
use crate::human;

/// Bars that a picture has where the interval is left to it.
const IN_PICTURE: i64 = 180;
/// More bars cannot be told apart in a picture.
const MOST_IN_PICTURE: i64 = 2_000;

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  hl-cli chart --coin BTC                            in the terminal
  hl-cli chart --coin BTC --out btc.svg              as a picture, for any browser
  hl-cli chart --coin ETH --interval 15m --from '24h ago' --out eth.svg --force

Only final bars are drawn. What is missing is hatched and named; what was never collected is left
empty. An interval that is not collected is made of final one-minute bars, where all of a bar's
minutes are covered.

Exit codes: 0 done, 1 failed or no bar to draw, 2 usage.")]
pub(super) struct Args {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    archive: ArchiveArgs,
    /// The coin
    #[arg(long, value_name = "COIN")]
    coin: String,
    /// The interval of the candles, 1m to 1w [default: the shortest that fits]
    #[arg(long, value_name = "INTERVAL")]
    interval: Option<String>,
    /// Where to begin, UTC: 2026-11-01, 2026-11-01T12:00, RFC 3339, '24h ago', or milliseconds since 1970 [default: where
    /// collecting began]
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Where to end [default: where collecting has come to]
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// The picture to write, such as btc.svg [default: draw in the terminal]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Overwrite a picture that is there
    #[arg(long)]
    force: bool,
}

/// There is no chart.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChartFailure {
    /// Another format.
    #[error("--out: {} should be called .svg: that is what is drawn", .0.display())]
    NotSvg(PathBuf),
    /// Bars that are not equally long.
    #[error("--interval: 1M is not drawn, since months are not equally long; take 1w")]
    Months,
    /// No candles of the coin.
    #[error(
        "the store has no candles of {0}; collect them with `hl-daemon --coin {0} --streams candle`, or get their past with `hl-cli backfill candle --coin {0} --from '3d ago'`"
    )]
    NoCandles(Coin),
    /// No bar.
    #[error("there is no final bar of {0} in this range yet")]
    NoBars(StreamKey),
}

impl ChartFailure {
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::NotSvg(_) | Self::Months => Exit::Usage,
            Self::NoCandles(_) | Self::NoBars(_) => Exit::Failed,
        }
    }
}

pub(super) async fn run(args: &Args, shell: &mut Shell<'_>) -> Result<Exit, CommandError> {
    let svg = args.out.as_deref();
    if let Some(path) = svg.filter(|path| path.extension().is_none_or(|name| name != "svg")) {
        return Err(ChartFailure::NotSvg(path.to_owned()).into());
    }
    let interval = args.interval.as_deref().map(str::parse::<Interval>).transpose();
    let interval = interval.map_err(|problem| ConfigError::Value {
        place: Place::Flag("interval"),
        problem: ValueError::Interval(problem),
    })?;
    if interval == Some(Interval::Month) {
        return Err(ChartFailure::Months.into());
    }
    let bounds = Bounds::parse(args.from.as_deref(), args.to.as_deref())?;
    let now = shell.clock.now();
    let ends = bounds.at(now)?;
    let whole = shell.open_whole(&args.common, &args.archive).await?;
    let ledgers = Ledgers::read(whole.store()).await?;
    let coins = ledgers.coins(std::slice::from_ref(&args.coin))?;
    let Some(&coin) = coins.first() else { return Ok(Exit::Failed) };

    let width = human::width();
    let (fits, most) = match svg {
        Some(_) => (IN_PICTURE, MOST_IN_PICTURE),
        None => (terminal::bars(width), terminal::bars(width)),
    };
    let interval = match interval {
        Some(interval) => interval,
        None => fitting(coin, &ledgers, ends, now, fits)?,
    };
    let wanted = Wish::One(StreamKey::Candle(coin, interval)).of(&ledgers, ends, now)?;
    let Some(wanted) = wanted.into_iter().next() else { return Ok(Exit::Failed) };
    let picture = read(&whole, coin, interval, wanted, most).await?;
    match &args.out {
        Some(path) => {
            let mut file = OutFile::begin(path, args.force)?;
            file.write_all(svg::draw(&picture).as_bytes())?;
            file.finish()?;
            let text = format!("{}\n{} bars in {}\n", picture.sentence(), picture.bars.len(), path.display());
            shell.answer(&args.common, &picture, &text)?;
        }
        None => {
            let is_terminal = std::io::stdout().is_terminal();
            let colour = is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
            shell.answer(&args.common, &picture, &terminal::draw(&picture, width, colour))?;
        }
    }
    Ok(Exit::Done)
}

/// The shortest interval of which at most `most` bars lie in the range: one that is collected, or can be derived.
fn fitting(
    coin: Coin,
    ledgers: &Ledgers,
    (from, to): (Option<TimeMs>, Option<TimeMs>),
    now: TimeMs,
    most: i64,
) -> Result<Interval, ChartFailure> {
    let collected = |interval: &Interval| ledgers.0.contains_key(&StreamKey::Candle(coin, *interval));
    let has_minutes = collected(&Interval::M1);
    let there = |interval: &Interval| collected(interval) || (has_minutes && is_derivable(*interval));
    let all = || Interval::ALL.into_iter().filter(|interval| *interval != Interval::Month).filter(there);
    let shortest = all().next().ok_or(ChartFailure::NoCandles(coin))?;
    let extent = ledgers.0.get(&StreamKey::Candle(coin, shortest)).and_then(|ledger| ledger.extent());
    let begin = from.or(extent.map(|extent| extent.from)).unwrap_or(now);
    let end = to.or(extent.map(|extent| extent.to)).unwrap_or(now);
    let fits = |interval: &Interval| end.since(begin) / interval.ms() <= most;
    Ok(all().find(fits).or(all().next_back()).unwrap_or(shortest))
}

/// The newest `most` bars of what is wanted, and what is missing around them.
async fn read(
    whole: &Whole,
    coin: Coin,
    interval: Interval,
    wanted: Wanted,
    most: i64,
) -> Result<Picture, CommandError> {
    let Wanted { selection, holds, gaps } = wanted;
    let step = interval.ms();
    let to = interval.open_of(holds.range.to + (step - 1));
    let from = interval.open_of(holds.range.from);
    let left_out = ((to.since(from) / step) - most).max(0);
    let from = from + left_out * step;
    let rows = whole.rows(selection.source, Span::new(from, to - 1)).await?;
    let Records::Candles(rows) = rows else { return Err(ChartFailure::NoBars(selection.stream).into()) };
    let is_derived = selection.source != selection.stream;
    let bars = match is_derived {
        true => derive(&rows, interval, &selection.known).bars.into_iter().map(|(bar, _)| bar).collect(),
        false => rows,
    };
    if bars.is_empty() {
        return Err(ChartFailure::NoBars(selection.stream).into());
    }
    Ok(Picture::new(coin, interval, Span::new(from, to), bars, &holds, &gaps, is_derived, left_out))
}
