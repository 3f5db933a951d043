//! Looking into a store without writing: what `coverage`, `verify` and `status` show.

use std::collections::BTreeMap;

use hl_core::alert::Alert;
use hl_core::archive::{Part, StoredRows};
use hl_core::completeness::is_missing;
use hl_core::ledger::{Cause, GapState, Span};
use hl_core::runs::Row;
use hl_core::seam::BoxFuture;
use hl_core::store::{Holder, StoreError};
use hl_core::{Epoch, Origin, Records, StreamKey, TimeMs, Token};
use serde::Serialize;

/// A stream as the store knows it.
#[derive(Clone, Debug, Serialize)]
pub struct StreamRow {
    /// The stream.
    pub stream: StreamKey,
    /// The past below this time is settled, ms.
    pub edge: Option<TimeMs>,
    /// When it ended, ms: its market was delisted, or has settled. None while it goes on.
    pub ended: Option<TimeMs>,
    /// Start of the first covered piece or gap, ms.
    pub first: Option<TimeMs>,
    /// Its rows, those in the archive included.
    pub rows: u64,
    /// How many of them are in the archive.
    pub archived: u64,
    /// Time of the oldest row in the store itself, ms. Imported rows may lie before everything that is known to the ledger.
    pub oldest: Option<TimeMs>,
    /// Time of the newest row, ms.
    pub newest: Option<TimeMs>,
    /// The living process that holds its lease.
    pub holder: Option<Holder>,
}

/// A stream that some session has held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LeaseRow {
    /// The stream.
    pub stream: StreamKey,
    /// The past below this time is settled, ms.
    pub edge: Option<TimeMs>,
    /// When it ended, ms: its market was delisted, or has settled. None while it goes on.
    pub ended: Option<TimeMs>,
    /// The living process that holds its lease.
    pub holder: Option<Token>,
}

/// A covered piece.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct CoverageRow {
    /// The stream.
    pub stream: StreamKey,
    /// The piece.
    #[serde(flatten)]
    pub span: Span,
    /// Where it came from.
    pub source: Origin,
    /// The claim.
    pub epoch: Epoch,
    /// Rows inserted under it.
    pub rows: u64,
}

/// A gap.
#[derive(Clone, Debug, Serialize)]
pub struct GapRow {
    /// The stream.
    pub stream: StreamKey,
    /// The piece.
    #[serde(flatten)]
    pub span: Span,
    /// Why it is there.
    pub cause: Cause,
    /// What became of it.
    pub state: GapState,
}

impl GapRow {
    /// Whether something is missing there: it is not filled, and not before all that the exchange had.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        is_missing(self.cause, self.state)
    }
}

/// An alert, and the session that raised it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AlertRow {
    /// The session.
    pub token: Token,
    /// The alert.
    #[serde(flatten)]
    pub alert: Alert,
}

/// One kind of finding of an audit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The name of the check.
    ///
    /// - `integrity`: the file itself is damaged;
    /// - `duplicate_keys`: two rows with one natural key;
    /// - `overlapping_claims`: two covered pieces whose interiors meet;
    /// - `reused_epoch`: pieces of two sources under one epoch, which was then used twice;
    /// - `covered_gap`: a gap that is not filled, yet covered;
    /// - `uncovered_hole`: between the first piece and the edge, neither covered nor a gap;
    /// - `rows_outside_claim`: a row below the edge that lies in no covered piece of its claim;
    /// - `rows_in_gap`: a row inside a gap that is not filled;
    /// - `crossed_book`: the best bid is at or above the best ask;
    /// - `candle_nesting`: a longer bar disagrees with its one-minute bars;
    /// - `archive_…`: what an examination of the archive says of its parts;
    /// - `candle_trades`: a one-minute bar disagrees with the trades of a minute that one subscription covered, and
    ///   those around it agree;
    /// - `minute_without_bar`: trades are stored of a minute that is covered as a bar, and no bar is;
    /// - `covered_silence`: books, which are pushed by a clock, are covered without a row for ten times their longest hole;
    /// - `settlement_missing`: an hour between two settlements is covered, and has none;
    /// - `beyond_now`: an edge, a covered piece or a row of a time that has not come yet.
    pub check: &'static str,
    /// The stream; none where it is the whole store.
    pub stream: Option<StreamKey>,
    /// How many.
    pub count: u64,
    /// The first of them, in words.
    pub example: String,
}

/// What an audit of a whole store found. Recorded gaps are not wrong.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Audit {
    /// Findings, none when the store is clean.
    pub problems: Vec<Problem>,
    /// Duplicate keys, all streams together.
    pub duplicates: u64,
    /// Pairs of covered pieces whose interiors meet.
    pub overlapping_claims: u64,
    /// Whole minutes that were compared between trades and candles.
    pub minutes_compared: u64,
    /// Whole minutes of which nothing is known: the bars around them do not count the trades either.
    pub minutes_unknown: u64,
    /// Rows in the archive that were not read.
    pub unread: u64,
}

/// Reads a store. Sees committed state only; safe beside a running daemon.
pub trait Inspect: Send + Sync {
    /// Every stream that the store knows, by name.
    fn streams(&self) -> BoxFuture<'_, Result<Vec<StreamRow>, StoreError>>;

    /// Every stream that has had a lease, by name, without its rows being counted.
    fn leases(&self) -> BoxFuture<'_, Result<Vec<LeaseRow>, StoreError>>;

    /// Covered pieces, by stream and time; of one stream where given.
    fn coverage(&self, stream: Option<StreamKey>) -> BoxFuture<'_, Result<Vec<CoverageRow>, StoreError>>;

    /// Gaps, by stream and time; of one stream where given.
    fn gaps(&self, stream: Option<StreamKey>) -> BoxFuture<'_, Result<Vec<GapRow>, StoreError>>;

    /// How many gaps of each stream are not filled: open or unrecoverable, those before the exchange's history aside.
    fn unfilled(&self) -> BoxFuture<'_, Result<BTreeMap<StreamKey, u64>, StoreError>> {
        Box::pin(async {
            let mut counts = BTreeMap::new();
            for gap in self.gaps(None).await? {
                if gap.is_missing() {
                    *counts.entry(gap.stream).or_default() += 1;
                }
            }
            Ok(counts)
        })
    }

    /// Rows of a stream whose time lies in the closed `span`, in key order; for candles the final ones only. What the
    /// store itself holds: what was archived is read by whoever knows the archive.
    fn rows(&self, stream: StreamKey, span: Span) -> BoxFuture<'_, Result<Records, StoreError>>;

    /// [`rows`](Inspect::rows) with source and claim of each.
    fn stored_rows(&self, stream: StreamKey, span: Span) -> BoxFuture<'_, Result<StoredRows, StoreError>>;

    /// The recorded parts of the archive whose day meets the closed `within`, by stream and day, and of a day in the order
    /// in which they were recorded.
    fn parts(&self, stream: Option<StreamKey>, within: Span) -> BoxFuture<'_, Result<Vec<Part>, StoreError>>;

    /// Checks what the store itself holds. Comparisons that need a day of which something was archived are left out:
    /// [`Audit::unread`] says how many rows were not looked at.
    fn audit(&self) -> BoxFuture<'_, Result<Audit, StoreError>>;

    /// The newest runs of a job, or of all, newest first.
    fn job_runs<'a>(&'a self, job: Option<&'a str>, most: u32)
    -> BoxFuture<'a, Result<Vec<Row>, StoreError>>;

    /// Reads a note, such as the status of a running daemon.
    fn note<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<String>, StoreError>>;

    /// The newest alerts, newest first, at most so many: the open ones of living processes, or all.
    fn alerts(&self, all: bool, most: u32) -> BoxFuture<'_, Result<Vec<AlertRow>, StoreError>>;

    /// Every living process on the store.
    fn holders(&self) -> BoxFuture<'_, Result<Vec<Holder>, StoreError>>;
}
