//! `hl-cli export`: rows of store and archive as one file.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use hl_archive::Whole;
use hl_archive::export::{Format, FormatError, export};
use hl_core::ledger::Span;
use hl_core::{Coin, Interval, Kind, StreamKey};
use indicatif::ProgressBar;
use serde::Serialize;

use super::when::Range;
use super::{ArchiveArgs, CommandError, Common, Shell};
use crate::config::{ConfigError, Place, StreamChoice, ValueError};
use crate::exit::Exit;

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  hl-cli export --stream trades --coin BTC --from 2026-11-01 --to 2026-11-08 --format parquet --out btc.parquet
  hl-cli export --stream candles --interval 1m --coin BTC,ETH --format csv --out bars.csv
  hl-cli export --stream book/BTC --from '1h ago' --format ndjson | head
  hl-cli export --stream mids --from '24h ago' --format csv --out mids.csv

Rows come in order of time, coin by coin; each once, wherever it lies. Of bars the final ones.
Numbers are exact; `time` is milliseconds since 1970, `iso` the same in words, UTC.

Exit codes: 0 done, 1 failed, 2 usage.")]
pub(super) struct Args {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    archive: ArchiveArgs,
    /// What: trades, book, book/fast, bbo, candles, mids, context, funding; or one stream, such as trades/BTC
    #[arg(long, value_name = "STREAM")]
    stream: String,
    /// A coin; repeat it for more
    #[arg(long = "coin", value_name = "COIN", value_delimiter = ',')]
    coins: Vec<String>,
    /// The interval of candles
    #[arg(long, value_name = "INTERVAL", default_value = "1m")]
    interval: String,
    /// Where to begin, UTC: 2026-11-01, 2026-11-01T12:00, RFC 3339, '24h ago', or milliseconds since 1970
    #[arg(long, value_name = "TIME", default_value = "1970-01-01")]
    from: String,
    /// Where to end: rows of this time are left out
    #[arg(long, value_name = "TIME", default_value = "now")]
    to: String,
    /// parquet, csv or ndjson
    #[arg(long, value_name = "FORMAT")]
    format: String,
    /// The file to write [default: standard output; parquet needs a file]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// An export did not come to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExportFailure {
    /// No format.
    #[error("--format: {0}")]
    Format(#[from] FormatError),
    /// Parquet to a pipe.
    #[error("--out: parquet needs a file, since its table of contents stands at the end")]
    NoFile,
    /// A kind without a coin.
    #[error("--coin: which coin? give --coin BTC, or a whole stream such as --stream {0}/BTC")]
    NoCoin(String),
    /// Mids are one stream.
    #[error("--coin: mids are one stream of every coin; leave --coin out")]
    CoinOfMids,
    /// Nothing lies between.
    #[error("--from: {0} is not before {1}")]
    Range(String, String),
    /// The file.
    #[error("writing {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl ExportFailure {
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Format(_) | Self::NoFile | Self::NoCoin(_) | Self::CoinOfMids | Self::Range(..) => {
                Exit::Usage
            }
            Self::File { .. } => Exit::Failed,
        }
    }
}

#[derive(Serialize)]
struct Answer {
    streams: Vec<StreamKey>,
    rows: u64,
    out: String,
}

pub(super) async fn run(args: &Args, shell: &mut Shell<'_>) -> Result<Exit, CommandError> {
    let format: Format = args.format.parse().map_err(ExportFailure::from)?;
    let streams = streams(args)?;
    let (from, to) = Range::parse(&args.from, &args.to)?.at(shell.clock.now());
    let whole = shell.open_whole(&args.common, &args.archive).await?;
    if from >= to {
        return Err(ExportFailure::Range(crate::human::time(from), crate::human::time(to)).into());
    }
    let span = Span::new(from, to - 1);
    let Some(path) = &args.out else {
        if format == Format::Parquet {
            return Err(ExportFailure::NoFile.into());
        }
        let out = BufWriter::new(&mut *shell.out);
        export(&whole, &streams, span, format, out, &|_, _| ()).await?;
        return Ok(Exit::Done);
    };
    let rows = to_file(&whole, &streams, span, format, path).await?;
    let answer = Answer { streams, rows, out: path.display().to_string() };
    let text = format!("{rows} rows in {}\n", path.display());
    shell.answer(&args.common, &answer, &text)?;
    Ok(Exit::Done)
}

/// Writes beside the file, and moves it into place when it is whole.
async fn to_file(
    whole: &Whole,
    streams: &[StreamKey],
    span: Span,
    format: Format,
    path: &Path,
) -> Result<u64, CommandError> {
    let failed = |source| ExportFailure::File { path: path.to_owned(), source };
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".tmp");
    let file = File::create(&unfinished).map_err(failed)?;
    // Draws nothing where standard error is no terminal.
    let bar = ProgressBar::new_spinner();
    let told = |rows, reached| {
        bar.inc(rows);
        bar.set_message(format!("{} rows, {}", bar.position(), crate::human::time(reached)));
    };
    let written = export(whole, streams, span, format, BufWriter::new(file), &told).await;
    bar.finish_and_clear();
    let written = match written {
        Ok((rows, mut out)) => {
            let synced = out.flush().and_then(|()| out.get_ref().sync_all());
            synced
                .and_then(|()| std::fs::rename(&unfinished, path))
                .map(|()| rows)
                .map_err(|e| failed(e).into())
        }
        Err(error) => Err(error.into()),
    };
    if written.is_err() {
        // What is not whole is of no use; that it cannot be removed either is the lesser trouble.
        let _ = std::fs::remove_file(&unfinished);
    }
    written
}

fn streams(args: &Args) -> Result<Vec<StreamKey>, CommandError> {
    let value = |flag, problem| ConfigError::Value { place: Place::Flag(flag), problem };
    if let Ok(stream) = args.stream.parse::<StreamKey>()
        && args.coins.is_empty()
    {
        return Ok(vec![stream]);
    }
    let choice = match args.stream.as_str() {
        "funding" => StreamChoice(Kind::Funding),
        word => word.parse().map_err(|problem| value("stream", problem))?,
    };
    let interval: Interval =
        args.interval.parse().map_err(|problem| value("interval", ValueError::Interval(problem)))?;
    let mut coins: Vec<Coin> = Vec::new();
    for name in &args.coins {
        let coin = Coin::new(name).map_err(|problem| value("coin", problem.into()))?;
        if !coins.contains(&coin) {
            coins.push(coin);
        }
    }
    if choice == StreamChoice(Kind::Mids) && !coins.is_empty() {
        return Err(ExportFailure::CoinOfMids.into());
    }
    let streams = choice.keys(&coins, &[interval]);
    if streams.is_empty() {
        return Err(ExportFailure::NoCoin(args.stream.clone()).into());
    }
    Ok(streams)
}
