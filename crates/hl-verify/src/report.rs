//! The verdict.

use hl_core::ledger::{Cause, GapState, Span};
use hl_core::{StreamKey, TimeMs};
use hl_store::{Audit, GapRow, StreamRow};
use serde::Serialize;

use super::{Budget, Finding, Positions, Tally, every_row_counts};

/// What a verification found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Report {
    /// No audit and no comparison found anything wrong. Recorded gaps are not wrong.
    pub clean: bool,
    /// Duplicate keys, all streams together.
    pub duplicates: u64,
    /// Pairs of covered pieces whose interiors meet.
    pub overlapping_claims: u64,
    /// Whole minutes of which trades and candles were compared with each other.
    pub minutes_compared: u64,
    /// Whole minutes of which nothing is known: their candles do not count the trades, and those around them neither.
    pub minutes_unknown: u64,
    /// Rows in the archive that were not read.
    pub unread: u64,
    /// What is wrong.
    pub problems: Vec<Found>,
    /// What is known to be missing, or was; not what lies before the exchange's history.
    pub gaps: Vec<Gap>,
    /// Each stream.
    pub streams: Vec<Stream>,
    /// How well the tracked traders are known, where the truth is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub positions: Option<Positions>,
    /// What the exchange was asked for, where traders are tracked and the truth is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
}

/// One kind of defect on one stream.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Found {
    /// The check: an audit of the store, or `missing`, `extra`, `different` against the truth.
    pub check: &'static str,
    /// The stream; none where it is the whole store.
    pub stream: Option<StreamKey>,
    /// How many.
    pub count: u64,
    /// The first, in words.
    pub example: String,
}

/// A recorded gap.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Gap {
    /// The stream.
    pub stream: StreamKey,
    /// Where, ms.
    #[serde(flatten)]
    pub span: Span,
    /// Why.
    pub cause: Cause,
    /// What became of it.
    pub state: GapState,
}

/// One stream.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Stream {
    /// The stream.
    pub stream: StreamKey,
    /// Rows in the store.
    pub rows: u64,
    /// Duplicate keys among them.
    pub duplicates: u64,
    /// The comparison with the truth, where there was one.
    #[serde(flatten)]
    pub compared: Option<Compared>,
}

/// A stream against the truth.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Compared {
    /// The piece that was compared, ms: from the first claim, or the oldest that the truth still knows, to the edge.
    #[serde(flatten)]
    pub span: Span,
    /// Rows of the truth that are stored or should be; for states those that a stored row was compared with, and of best
    /// bids and offers those that should be stored.
    pub truth: u64,
    /// Not stored, and no gap says so. None for the states of which not every one is collected.
    pub missing: Option<u64>,
    /// Not stored, and a recorded gap says so.
    pub missing_in_gaps: u64,
    /// Stored, and not in the truth.
    pub extra: u64,
    /// The same key with other values.
    pub different: u64,
    /// Not stored, and too new to be expected.
    pub pending: u64,
    /// Of one time, in another order than the exchange sent them.
    pub misordered: u64,
}

impl Report {
    pub(super) fn new(
        audit: Audit,
        gaps: &[GapRow],
        streams: &[(&StreamRow, Option<(Span, Tally)>)],
        known: Option<(Positions, Budget)>,
    ) -> Self {
        let (positions, budget) = known.unzip();
        let mut problems: Vec<Found> = audit
            .problems
            .into_iter()
            .map(|p| Found { check: p.check, stream: p.stream, count: p.count, example: p.example })
            .collect();
        let mut duplicates = audit.duplicates;
        let mut rows = Vec::new();
        for (row, compared) in streams {
            let in_audit: u64 = problems
                .iter()
                .filter(|p| p.check == "duplicate_keys" && p.stream == Some(row.stream))
                .map(|p| p.count)
                .sum();
            let met = compared.as_ref().map_or(0, |(_, tally)| tally.count(Finding::Duplicate));
            // Both look at the same rows: the audit at all of them, the comparison at a piece.
            duplicates += met.saturating_sub(in_audit);
            rows.push(Stream {
                stream: row.stream,
                rows: row.rows,
                duplicates: in_audit.max(met),
                compared: compared.as_ref().map(|(span, tally)| Compared::new(row.stream, *span, tally)),
            });
            let Some((_, tally)) = compared else { continue };
            let against_truth = [
                ("missing", Finding::Missing),
                ("extra", Finding::Extra),
                ("different", Finding::Different),
                ("duplicate_keys", Finding::Duplicate),
                ("misordered", Finding::Misordered),
            ];
            for (check, finding) in against_truth {
                let count = tally.count(finding);
                let known = check == "duplicate_keys" && in_audit > 0;
                if let (Some(first), true, false) = (tally.first(finding), count > 0, known) {
                    let example = format!("first at {first}, {}", calendar(first));
                    problems.push(Found { check, stream: Some(row.stream), count, example });
                }
            }
        }
        Self {
            clean: problems.is_empty() && duplicates == 0 && audit.overlapping_claims == 0,
            duplicates,
            overlapping_claims: audit.overlapping_claims,
            minutes_compared: audit.minutes_compared,
            minutes_unknown: audit.minutes_unknown,
            unread: audit.unread,
            problems,
            gaps: gaps
                .iter()
                .filter(|g| g.cause != Cause::BeforeHistory)
                .map(|g| Gap { stream: g.stream, span: g.span, cause: g.cause, state: g.state })
                .collect(),
            streams: rows,
            positions,
            budget,
        }
    }
}

impl Compared {
    fn new(stream: StreamKey, span: Span, tally: &Tally) -> Self {
        Self {
            span,
            truth: tally.truth,
            missing: every_row_counts(stream).then(|| tally.count(Finding::Missing)),
            missing_in_gaps: tally.count(Finding::MissingInGap),
            extra: tally.count(Finding::Extra),
            different: tally.count(Finding::Different),
            pending: tally.count(Finding::Pending),
            misordered: tally.count(Finding::Misordered),
        }
    }
}

/// UTC, to the millisecond; the bare number where no calendar reaches.
fn calendar(time: TimeMs) -> String {
    jiff::Timestamp::from_millisecond(time.0).map_or_else(|_| time.to_string(), |t| format!("{t:.3}"))
}
