//! Rows of store and archive as one file: CSV, NDJSON or Parquet.
//!
//! Rows come in the order of their keys, those of `mids` by time and then by coin. Memory holds the rows of a page of
//! time, however much is exported.

mod sink;

use std::io::Write;
use std::path::Path;
use std::str::FromStr;

use hl_core::archive::StoredRows;
use hl_core::bars::derive;
use hl_core::completeness::Completeness;
use hl_core::ledger::Span;
use hl_core::stream::{Borders, Owner};
use hl_core::{Interval, Records, StreamKey, TimeMs};
use hl_store::{Inspect as _, StreamRow};

use self::sink::Sink;
use crate::{ArchiveError, Whole};

const HOUR_MS: i64 = 3_600_000;

/// The format of an export.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// One Parquet file, with the columns that the parts of an archive have, and the coin.
    Parquet,
    /// With a line of names. Levels of books are JSON.
    Csv,
    /// One JSON object a line.
    Ndjson,
}

/// How numbers with a fraction are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Numbers {
    /// As the floating point number nearest to each: what data frames and charts compute with.
    Float,
    /// As they are: in Parquet `DECIMAL(38, 12)`, in CSV the exact decimals, in NDJSON text, so that no reader rounds them.
    Exact,
}

impl Format {
    /// The words for them.
    pub const WORDS: [&str; 3] = ["parquet", "csv", "ndjson"];

    /// What a file of this name holds; none where the name does not say.
    #[must_use]
    pub fn of_path(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        match extension.as_str() {
            "parquet" | "pq" => Some(Self::Parquet),
            "csv" => Some(Self::Csv),
            "ndjson" | "jsonl" | "json" => Some(Self::Ndjson),
            _ => None,
        }
    }

    /// How numbers are written where nothing is said of them.
    #[must_use]
    pub fn numbers(self) -> Numbers {
        match self {
            Self::Parquet | Self::Csv => Numbers::Float,
            Self::Ndjson => Numbers::Exact,
        }
    }
}

/// The word names no format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a format; it can be parquet, csv or ndjson")]
pub struct FormatError(String);

impl FromStr for Format {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        match text {
            "parquet" => Ok(Self::Parquet),
            "csv" => Ok(Self::Csv),
            "ndjson" => Ok(Self::Ndjson),
            _ => Err(FormatError(text.to_owned())),
        }
    }
}

/// Rows of one stream that are to be written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Selection {
    /// The rows that are written. Bars of another interval than those of `source` are derived from them.
    pub stream: StreamKey,
    /// The stream whose rows are read.
    pub source: StreamKey,
    /// Their times, both ends included; of bars their open times.
    pub span: Span,
    /// What is known of `source`, over all of its time.
    pub known: Completeness,
}

/// How rows are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// The format.
    pub format: Format,
    /// Numbers with a fraction.
    pub numbers: Numbers,
    /// Only rows around which nothing is known to be missing.
    pub complete_only: bool,
}

/// What was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Exported {
    /// Rows.
    pub rows: u64,
    /// Rows that were left out: something around them is missing. Of derived bars those whose minutes are not all covered.
    pub left_out: u64,
}

/// Writes the rows of the selections, which are of one kind; `told` hears how many rows each page had, and up to when it
/// reached. Returns what was written, and what it was written to.
///
/// # Errors
/// When store or archive cannot be read, or a row cannot be written: also where a number does not fit into the format.
pub async fn export<W: Write + Send>(
    whole: &Whole,
    selections: &[Selection],
    options: Options,
    out: W,
    told: &(dyn Fn(u64, TimeMs) + Sync),
) -> Result<(Exported, W), ArchiveError> {
    let Some(first) = selections.first() else { return Ok((Exported::default(), out)) };
    let mut sink = Sink::begin(first.stream, options, out)?;
    let mut exported = Exported::default();
    let streams = whole.streams().await?;
    for selection in selections {
        let row = streams.iter().find(|row| row.stream == selection.source);
        let Some(span) = bounds(whole, row, selection).await? else { continue };
        let page_ms = page_ms(selection);
        let mut from = span.from;
        while from <= span.to {
            let page = Span { from, to: (from.floor(page_ms) + (page_ms - 1)).min(span.to) };
            let (rows, left_out) = rows(whole, selection, page, options.complete_only).await?;
            sink.write(&rows)?;
            exported.rows += rows.len() as u64;
            exported.left_out += left_out;
            told(rows.len() as u64, page.to);
            from = page.to + 1;
        }
    }
    Ok((exported, sink.finish()?))
}

/// The rows of a page, and how many were left out.
async fn rows(
    whole: &Whole,
    selection: &Selection,
    page: Span,
    complete_only: bool,
) -> Result<(StoredRows, u64), ArchiveError> {
    let Selection { stream, source, known, .. } = selection;
    let rows = match source.owner() {
        Owner::Dex(_) | Owner::All => whole.ordered(*source, page, |key| (key.time, key)).await?,
        Owner::Coin(_) | Owner::User(_) => whole.ordered(*source, page, |key| key).await?,
    };
    if let (StreamKey::Candle(_, interval), Records::Candles(minutes)) = (*stream, &rows.records)
        && stream != source
    {
        let derived = derive(minutes, interval, known);
        let (bars, last): (Vec<_>, Vec<_>) = derived.bars.into_iter().unzip();
        let provenance = last.into_iter().filter_map(|at| rows.provenance.get(at).copied()).collect();
        return Ok((StoredRows { records: Records::Candles(bars), provenance }, derived.left_out));
    }
    if !complete_only {
        return Ok((rows, 0));
    }
    let borders = stream.spec().borders;
    let keys = rows.records.keys();
    let kept: Vec<usize> = (0..keys.len()).filter(|&at| known.proves(borders, keys[at].time)).collect();
    let left_out = (keys.len() - kept.len()) as u64;
    Ok((if left_out == 0 { rows } else { rows.pick(&kept) }, left_out))
}

/// How much time a page is: enough that a quiet stream is not asked for ever, and a busy one stays in memory. Derived bars
/// lie in one page with all of their minutes.
fn page_ms(selection: &Selection) -> i64 {
    let of_source = match selection.source {
        StreamKey::Candle(_, Interval::M1 | Interval::M3 | Interval::M5) => 24 * HOUR_MS,
        stream if stream.spec().borders == Borders::HalfOpen => 30 * 24 * HOUR_MS,
        _ => HOUR_MS,
    };
    match selection.stream {
        StreamKey::Candle(_, interval) if selection.stream != selection.source => {
            of_source.max(interval.ms())
        }
        _ => of_source,
    }
}

/// The part of a selection in which its source can have rows; of derived bars all of their minutes.
async fn bounds(
    whole: &Whole,
    row: Option<&StreamRow>,
    selection: &Selection,
) -> Result<Option<Span>, ArchiveError> {
    let Some((row, newest)) = row.and_then(|row| Some((row, row.newest?))) else { return Ok(None) };
    let Selection { stream, source, mut span, .. } = *selection;
    let mut archived = whole.parts(Some(source), Span::EVER).await?.into_iter().map(|part| part.first).min();
    archived = archived.into_iter().chain(row.oldest).min();
    let mut oldest = archived.unwrap_or(newest);
    if let StreamKey::Candle(_, interval) = stream
        && stream != source
    {
        span = Span {
            from: interval.open_of(span.from + (interval.ms() - 1)),
            to: interval.open_of(span.to) + (interval.ms() - 1),
        };
        oldest = interval.open_of(oldest);
    }
    let (from, to) = (span.from.max(oldest), span.to.min(newest));
    Ok((from <= to).then_some(Span { from, to }))
}
