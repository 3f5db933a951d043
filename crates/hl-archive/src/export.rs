//! Rows of store and archive as one file: CSV, NDJSON or Parquet.
//!
//! Rows come in the order of their keys, those of `mids` by time and then by coin. Memory holds the rows of a page of
//! time, however much is exported.

use std::io::{self, Write};
use std::str::FromStr;

use hl_core::archive::StoredRows;
use hl_core::ledger::Span;
use hl_core::record::Level;
use hl_core::{Decimal, Interval, StreamKey, TimeMs};
use hl_store::Inspect as _;
use serde_json::{Map, Value};

use crate::columns::{CoinColumn, Column, Values, columns};
use crate::files::EVER;
use crate::parquet_file::Writing;
use crate::{ArchiveError, Whole};

const HOUR_MS: i64 = 3_600_000;

/// The format of an export.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// One Parquet file, with the columns that the parts of an archive have, and the coin.
    Parquet,
    /// With a line of names. Numbers are the exact decimals, levels of books JSON.
    Csv,
    /// One JSON object a line. Numbers with a fraction are text, so that no reader rounds them.
    Ndjson,
}

impl Format {
    /// The words for them.
    pub const WORDS: [&str; 3] = ["parquet", "csv", "ndjson"];
}

/// The word names no format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no format; it can be parquet, csv or ndjson")]
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

enum Sink<W: Write + Send> {
    Parquet(Box<Writing<W>>),
    Csv(Box<csv::Writer<W>>),
    Ndjson(W),
}

/// Writes the rows of `streams`, which are of one kind, with times in the closed `span`; `told` hears how many rows each
/// page had, and up to when it reached. Returns the number of rows, and what was written to.
///
/// # Errors
/// When store or archive cannot be read, or a row cannot be written: also where a number does not fit into the format.
pub async fn export<W: Write + Send>(
    whole: &Whole,
    streams: &[StreamKey],
    span: Span,
    format: Format,
    out: W,
    told: &(dyn Fn(u64, TimeMs) + Sync),
) -> Result<(u64, W), ArchiveError> {
    let Some(&first) = streams.first() else { return Ok((0, out)) };
    let mut sink = Sink::begin(first, format, out)?;
    let mut all = 0;
    for &stream in streams {
        let span = bounds(whole, stream, span).await?;
        let Some(span) = span else { continue };
        let mut from = span.from;
        while from <= span.to {
            let page = Span { from, to: (from.floor(page_ms(stream)) + (page_ms(stream) - 1)).min(span.to) };
            let rows = match stream {
                StreamKey::Mids => whole.ordered(stream, page, |key| (key.time, key.coin)).await?,
                _ => whole.ordered(stream, page, |key| key).await?,
            };
            sink.write(stream, &rows)?;
            all += rows.len() as u64;
            told(rows.len() as u64, page.to);
            from = page.to + 1;
        }
    }
    Ok((all, sink.finish()?))
}

/// How much time a page is: enough that a quiet stream is not asked for ever, and a busy one stays in memory.
fn page_ms(stream: StreamKey) -> i64 {
    match stream {
        StreamKey::Candle(_, Interval::M1 | Interval::M3 | Interval::M5) => 24 * HOUR_MS,
        StreamKey::Candle(..) | StreamKey::Funding(_) => 30 * 24 * HOUR_MS,
        _ => HOUR_MS,
    }
}

/// The part of `span` in which the stream can have rows.
async fn bounds(whole: &Whole, stream: StreamKey, span: Span) -> Result<Option<Span>, ArchiveError> {
    let row = whole.streams().await?.into_iter().find(|row| row.stream == stream);
    let Some(row) = row else { return Ok(None) };
    let Some(newest) = row.newest else { return Ok(None) };
    let archived = whole.parts(Some(stream), EVER).await?.into_iter().map(|part| part.first);
    let oldest = archived.chain(row.oldest).min().unwrap_or(newest);
    let (from, to) = (span.from.max(oldest), span.to.min(newest));
    Ok((from <= to).then_some(Span { from, to }))
}

impl<W: Write + Send> Sink<W> {
    fn begin(stream: StreamKey, format: Format, out: W) -> Result<Self, ArchiveError> {
        Ok(match format {
            Format::Parquet => {
                let writing = Writing::begin(out, stream, CoinColumn::Always).map_err(of_parquet)?;
                Self::Parquet(Box::new(writing))
            }
            Format::Csv => {
                let mut csv = csv::Writer::from_writer(out);
                let names = columns(stream, &StoredRows::none(stream), CoinColumn::Always);
                csv.write_record(names.iter().flat_map(names_of)).map_err(of_csv)?;
                Self::Csv(Box::new(csv))
            }
            Format::Ndjson => Self::Ndjson(out),
        })
    }

    fn write(&mut self, stream: StreamKey, rows: &StoredRows) -> Result<(), ArchiveError> {
        if rows.is_empty() {
            return Ok(());
        }
        match self {
            Self::Parquet(writing) => writing.write(rows).map_err(of_parquet),
            Self::Csv(csv) => {
                let columns = columns(stream, rows, CoinColumn::Always);
                for at in 0..rows.len() {
                    let mut cells = Vec::new();
                    columns.iter().for_each(|column| cells_of(column, at, &mut cells));
                    csv.write_record(&cells).map_err(of_csv)?;
                }
                Ok(())
            }
            Self::Ndjson(out) => {
                let columns = columns(stream, rows, CoinColumn::Always);
                for at in 0..rows.len() {
                    let mut object = Map::new();
                    columns.iter().for_each(|column| fields_of(column, at, &mut object));
                    let line = serde_json::to_string(&object).map_err(io::Error::other);
                    line.and_then(|line| writeln!(out, "{line}")).map_err(ArchiveError::Output)?;
                }
                Ok(())
            }
        }
    }

    fn finish(self) -> Result<W, ArchiveError> {
        let mut out = match self {
            Self::Parquet(writing) => writing.finish().map_err(of_parquet)?,
            Self::Csv(csv) => csv.into_inner().map_err(|error| ArchiveError::Output(error.into_error()))?,
            Self::Ndjson(out) => out,
        };
        out.flush().map_err(ArchiveError::Output)?;
        Ok(out)
    }
}

fn of_parquet(error: parquet::errors::ParquetError) -> ArchiveError {
    ArchiveError::Output(io::Error::other(error))
}

fn of_csv(error: csv::Error) -> ArchiveError {
    ArchiveError::Output(match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    })
}

fn names_of(column: &Column) -> Vec<&'static str> {
    match column.values {
        Values::Time(_) => vec![column.name, "iso"],
        _ => vec![column.name],
    }
}

/// As text, without idle zeros: what the store has and what the archive has read the same.
fn text(number: Decimal) -> String {
    number.normalize().to_string()
}

fn iso(time: TimeMs) -> String {
    jiff::Timestamp::from_millisecond(time.0).map_or_else(|_| String::new(), |time| format!("{time:.3}"))
}

fn levels(side: &[Level]) -> Value {
    let level =
        |level: &Level| Value::from(vec![text(level.px).into(), text(level.sz).into(), Value::from(level.n)]);
    Value::Array(side.iter().map(level).collect())
}

fn cells_of(column: &Column, at: usize, cells: &mut Vec<String>) {
    match &column.values {
        Values::Text(all) => cells.push(all[at].to_string()),
        Values::Time(all) => cells.extend([all[at].to_string(), iso(all[at])]),
        Values::Int(all) => cells.push(all[at].to_string()),
        Values::Count(all) => cells.push(all[at].map(|n| n.to_string()).unwrap_or_default()),
        Values::Decimal(all) => cells.push(text(all[at])),
        Values::DecimalOrNull(all) => cells.push(all[at].map(text).unwrap_or_default()),
        Values::Levels(all) => cells.push(levels(&all[at]).to_string()),
    }
}

fn fields_of(column: &Column, at: usize, object: &mut Map<String, Value>) {
    let value = match &column.values {
        Values::Text(all) => Value::from(&*all[at]),
        Values::Time(all) => {
            object.insert(column.name.to_owned(), all[at].0.into());
            object.insert("iso".to_owned(), iso(all[at]).into());
            return;
        }
        Values::Int(all) => all[at].into(),
        Values::Count(all) => all[at].into(),
        Values::Decimal(all) => text(all[at]).into(),
        Values::DecimalOrNull(all) => all[at].map(text).into(),
        Values::Levels(all) => levels(&all[at]),
    };
    object.insert(column.name.to_owned(), value);
}
