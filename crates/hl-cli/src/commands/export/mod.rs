//! `hl-cli export`: rows of store and archive as one file, and what they are worth.

mod gaps;
mod holds;
pub(super) mod wish;

use std::io::BufWriter;
use std::path::{Path, PathBuf};

use hl_archive::export::{Exported, Format, FormatError, Numbers, Options, Selection, export};
use hl_archive::{ArchiveError, Whole};
use hl_core::StreamKey;
use hl_core::completeness::Completeness;
use indicatif::ProgressBar;
use serde::Serialize;

use self::gaps::GapFile;
use self::wish::Wanted;
use super::ledgers::Ledgers;
use super::outfile::{OutFile, resolved};
use super::when::Bounds;
use super::{ArchiveArgs, CommandError, Common, Shell};
use crate::exit::Exit;
use crate::say::say;

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  hl-cli export --stream candle --coin BTC --interval 5m --out btc-5m.parquet
  hl-cli export --stream trades --coin BTC --from 2026-11-01 --to 2026-11-08 --out btc.csv --gaps missing.csv
  hl-cli export --stream candle --coin BTC,ETH --complete-only --numbers exact --out bars.csv
  hl-cli export --stream book/BTC --from '1h ago' --format ndjson | head
  hl-cli export --stream mids --from '24h ago' --out mids.csv

Rows come in order of time, coin by coin; each once, wherever it lies. Of bars the final ones. An
interval that is not collected is made of final one-minute bars, exactly, and only where all of a
bar's minutes are covered; `source` and `epoch` are then those of its last minute.
`time` is milliseconds since 1970 (a timestamp in Parquet), `iso` the same in words, UTC; another time,
such as `next_time`, has `next_time_iso` beside it.

What the range holds is said on standard error. Exit codes: 0 done, and the range is whole; 1 failed;
2 usage; 4 done, and a part of the range is missing or was never collected (what lies before the
exchange's history is not missing).")]
pub(super) struct Args {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    archive: ArchiveArgs,
    /// What: trades, book, book/fast, book/5, book/4, book/3, bbo, candle, mids, context, funding, predicted_funding, markets; or one stream, such as trades/BTC
    #[arg(long, value_name = "STREAM")]
    stream: String,
    /// A coin; repeat it for more
    #[arg(long = "coin", value_name = "COIN", value_delimiter = ',')]
    coins: Vec<String>,
    /// The interval of candles, 1m to 1M [default: 1m]
    #[arg(long, value_name = "INTERVAL")]
    interval: Option<String>,
    /// Where to begin, UTC: 2026-11-01, 2026-11-01T12:00, RFC 3339, '24h ago', or milliseconds since 1970 [default: where
    /// collecting began]
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Where to end: rows of this time are left out [default: where collecting has come to]
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// parquet, csv or ndjson [default: as the name of --out says]
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Numbers with a fraction: float or exact [default: float in parquet and csv, exact in ndjson]
    #[arg(long, value_name = "NUMBERS")]
    numbers: Option<String>,
    /// Leave out rows around which something is missing: those on the border of a gap, and those that nothing proves
    #[arg(long)]
    complete_only: bool,
    /// The file to write, such as btc.parquet, btc.csv or btc.ndjson [default: standard output; parquet needs a file]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write what is missing in the range to this file: csv or ndjson, by its name
    #[arg(long, value_name = "FILE")]
    gaps: Option<PathBuf>,
    /// Overwrite files that are there
    #[arg(long)]
    force: bool,
}

/// An export did not come to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExportFailure {
    /// No format.
    #[error("--format: {0}")]
    Format(#[from] FormatError),
    /// Nothing says which.
    #[error(
        "--format: which? give --format csv, ndjson or parquet, or a file whose name says it: --out rows.csv"
    )]
    NoFormat,
    /// Not a way to write numbers.
    #[error("--numbers: {0:?} is not one of float, exact")]
    Numbers(String),
    /// Parquet to a pipe.
    #[error("--out: parquet needs a file, since its table of contents stands at the end")]
    NoFile,
    /// The list of gaps has a format of its own.
    #[error("--gaps: {} should be called .csv, .ndjson or .jsonl", .0.display())]
    GapFormat(PathBuf),
    /// One of the two files would replace the other.
    #[error("--gaps: {} is the file of --out; name another one", .0.display())]
    SameFile(PathBuf),
}

impl ExportFailure {
    pub(super) fn exit(&self) -> Exit {
        Exit::Usage
    }
}

#[derive(Serialize)]
struct Answer {
    streams: Vec<StreamKey>,
    rows: u64,
    /// Rows that were left out, because something around them is missing.
    left_out: u64,
    out: String,
    /// Whether nothing of the range is missing.
    whole: bool,
    /// What the range holds, by stream, lengths in ms.
    holds: Vec<Holds>,
}

#[derive(Serialize)]
struct Holds {
    stream: StreamKey,
    gaps: usize,
    #[serde(flatten)]
    of: Completeness,
}

pub(super) async fn run(args: &Args, shell: &mut Shell<'_>) -> Result<Exit, CommandError> {
    let options = options(args)?;
    let gap_format = args.gaps.as_deref().map(gaps::format).transpose()?;
    if let (Some(out), Some(gaps)) = (&args.out, &args.gaps)
        && resolved(out) == resolved(gaps)
    {
        return Err(ExportFailure::SameFile(gaps.clone()).into());
    }
    let wish = wish::understand(&args.stream, &args.coins, args.interval.as_deref())?;
    let bounds = Bounds::parse(args.from.as_deref(), args.to.as_deref())?;
    let now = shell.clock.now();
    let ends = bounds.at(now)?;
    let whole = shell.open_whole(&args.common, &args.archive).await?;
    let ledgers = Ledgers::read(whole.store()).await?;
    let wanted = wish.of(&ledgers, ends, now)?;
    let selections: Vec<_> = wanted.iter().map(|wanted| wanted.selection.clone()).collect();
    let out = args.out.as_deref().map(|path| OutFile::begin(path, args.force)).transpose()?;
    let gap_file = args.gaps.as_deref().zip(gap_format);
    let gap_file = gap_file.map(|(path, format)| GapFile::begin(path, format, args.force)).transpose()?;

    let exported = match out {
        None => {
            let out = BufWriter::new(&mut *shell.out);
            export(&whole, &selections, options, out, &|_, _| ()).await?.0
        }
        Some(file) => to_file(&whole, &selections, options, file).await?,
    };
    if let Some(file) = gap_file {
        file.write(&wanted)?;
    }
    for line in holds::lines(exported, options.complete_only, &wanted) {
        say!("hl-cli: {line}");
    }
    let is_whole = wanted.iter().all(|wanted| wanted.holds.is_whole());
    if let Some(path) = &args.out {
        let answer = answer(exported, path, is_whole, wanted);
        let text = format!("{} rows in {}\n", exported.rows, path.display());
        shell.answer(&args.common, &answer, &text)?;
    }
    Ok(if is_whole { Exit::Done } else { Exit::Partial })
}

fn answer(exported: Exported, path: &Path, whole: bool, wanted: Vec<Wanted>) -> Answer {
    let Exported { rows, left_out } = exported;
    Answer {
        streams: wanted.iter().map(|wanted| wanted.selection.stream).collect(),
        rows,
        left_out,
        out: path.display().to_string(),
        whole,
        holds: wanted
            .into_iter()
            .map(|wanted| Holds {
                stream: wanted.selection.stream,
                gaps: wanted.gaps.len(),
                of: wanted.holds,
            })
            .collect(),
    }
}

fn options(args: &Args) -> Result<Options, ExportFailure> {
    let format = match (&args.format, &args.out) {
        (Some(word), _) => word.parse()?,
        (None, Some(path)) => Format::of_path(path).ok_or(ExportFailure::NoFormat)?,
        (None, None) => return Err(ExportFailure::NoFormat),
    };
    if format == Format::Parquet && args.out.is_none() {
        return Err(ExportFailure::NoFile);
    }
    let numbers = match args.numbers.as_deref() {
        None => format.numbers(),
        Some("float") => Numbers::Float,
        Some("exact") => Numbers::Exact,
        Some(other) => return Err(ExportFailure::Numbers(other.to_owned())),
    };
    Ok(Options { format, numbers, complete_only: args.complete_only })
}

async fn to_file(
    whole: &Whole,
    selections: &[Selection],
    options: Options,
    file: OutFile,
) -> Result<Exported, CommandError> {
    // Draws nothing where standard error is no terminal.
    let bar = ProgressBar::new_spinner();
    let told = |rows, reached| {
        bar.inc(rows);
        bar.set_message(format!("{} rows, {}", bar.position(), crate::human::time(reached)));
    };
    let written: Result<_, ArchiveError> = export(whole, selections, options, file, &told).await;
    bar.finish_and_clear();
    let (exported, file) = written?;
    file.finish()?;
    Ok(exported)
}
