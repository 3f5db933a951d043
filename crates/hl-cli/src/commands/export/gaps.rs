//! The list of what is missing in a range, as a file beside the rows.

use std::io::Write as _;
use std::path::Path;

use hl_archive::export::Format;
use hl_core::ledger::Span;
use hl_core::{Coin, StreamKey, TimeMs};
use serde::Serialize;

use super::ExportFailure;
use super::wish::Wanted;
use crate::commands::CommandError;
use crate::commands::outfile::{OutFile, OutFileError};
use crate::human;

/// A piece of time that an export does not hold whole.
#[derive(Serialize)]
struct Piece {
    stream: StreamKey,
    /// Null for a stream of all coins.
    coin: Option<Coin>,
    from: TimeMs,
    to: TimeMs,
    from_iso: String,
    to_iso: String,
    /// `gap`, or `never_collected`.
    what: &'static str,
    /// Why a gap is there.
    cause: Option<&'static str>,
    /// What became of a gap.
    state: Option<&'static str>,
}

/// The columns, in order.
const NAMES: &str = "stream,coin,from,to,from_iso,to_iso,what,cause,state";

/// The format of such a file, by its name.
pub(super) fn format(path: &Path) -> Result<Format, ExportFailure> {
    let format = Format::of_path(path).filter(|format| *format != Format::Parquet);
    format.ok_or_else(|| ExportFailure::GapFormat(path.to_owned()))
}

/// The file.
pub(super) struct GapFile {
    file: OutFile,
    format: Format,
}

impl GapFile {
    pub(super) fn begin(path: &Path, format: Format, force: bool) -> Result<Self, OutFileError> {
        Ok(Self { file: OutFile::begin(path, force)?, format })
    }

    /// Writes everything that is missing.
    pub(super) fn write(mut self, wanted: &[Wanted]) -> Result<(), CommandError> {
        if self.format == Format::Csv {
            writeln!(self.file, "{NAMES}")?;
        }
        for piece in wanted.iter().flat_map(pieces) {
            match self.format {
                Format::Csv => {
                    // No name of a stream, and none of the words, has a comma or a quote.
                    let Piece { stream, coin, from, to, from_iso, to_iso, what, cause, state } = piece;
                    let coin = coin.as_ref().map_or("", |coin| coin.as_str());
                    let (cause, state) = (cause.unwrap_or_default(), state.unwrap_or_default());
                    writeln!(
                        self.file,
                        "{stream},{coin},{from},{to},{from_iso},{to_iso},{what},{cause},{state}"
                    )?;
                }
                Format::Ndjson | Format::Parquet => {
                    writeln!(self.file, "{}", serde_json::to_string(&piece)?)?;
                }
            }
        }
        Ok(self.file.finish()?)
    }
}

/// What is missing in the range of one stream, in order of time.
fn pieces(wanted: &Wanted) -> Vec<Piece> {
    let piece = |span: Span, what, cause, state| Piece {
        stream: wanted.selection.source,
        coin: wanted.selection.source.coin(),
        from: span.from,
        to: span.to,
        from_iso: human::time(span.from),
        to_iso: human::time(span.to),
        what,
        cause,
        state,
    };
    let range = wanted.holds.range;
    let gaps = wanted.gaps.iter().filter_map(|gap| {
        let (cause, state) = (gap.cause.as_str(), gap.state.as_str());
        Some(piece(gap.span.intersect(range)?, "gap", Some(cause), Some(state)))
    });
    let never = wanted.holds.never.iter().map(|span| piece(*span, "never_collected", None, None));
    let mut all: Vec<_> = gaps.chain(never).collect();
    all.sort_by_key(|piece| (piece.from, piece.to));
    all
}
