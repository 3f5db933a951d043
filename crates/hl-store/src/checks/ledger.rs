//! Checks of the ledger against itself.

use std::collections::BTreeMap;

use hl_core::ledger::GapState;
use hl_core::{StreamKey, TimeMs};

use crate::{CoverageRow, Finding, GapRow};

pub(super) const OVERLAPPING_CLAIMS: &str = "overlapping_claims";

/// Everything that the ledger of a stream says against itself. Pieces and gaps come in order of time.
pub(super) fn ledger(
    stream: StreamKey,
    pieces: &[CoverageRow],
    gaps: &[GapRow],
    edge: Option<TimeMs>,
) -> [Finding; 4] {
    [
        overlapping_claims(stream, pieces),
        reused_epoch(stream, pieces),
        covered_gap(stream, pieces, gaps),
        uncovered_hole(stream, pieces, gaps, edge),
    ]
}

/// Pairs of covered pieces whose interiors meet. `pieces` come in order of time.
fn overlapping_claims(stream: StreamKey, pieces: &[CoverageRow]) -> Finding {
    let mut finding = Finding::none(OVERLAPPING_CLAIMS, stream);
    let mut open: Vec<&CoverageRow> = Vec::new();
    for piece in pieces.iter().filter(|piece| piece.span.ms() > 0) {
        open.retain(|earlier| earlier.span.overlaps(piece.span));
        for earlier in &open {
            finding.add(|| {
                format!(
                    "{:?} under {} and {:?} under {}",
                    earlier.span, earlier.epoch, piece.span, piece.epoch
                )
            });
        }
        open.push(piece);
    }
    finding
}

/// Pieces whose epoch is that of an earlier piece from another source: an epoch is one claim, and a claim has one source.
fn reused_epoch(stream: StreamKey, pieces: &[CoverageRow]) -> Finding {
    let mut finding = Finding::none("reused_epoch", stream);
    let mut sources = BTreeMap::new();
    for piece in pieces {
        let source = *sources.entry(piece.epoch).or_insert(piece.source);
        if source != piece.source {
            finding.add(|| {
                let (first, second) = (source.as_str(), piece.source.as_str());
                format!("{} was {first}'s, and {:?} under it is {second}'s", piece.epoch, piece.span)
            });
        }
    }
    finding
}

/// Gaps that are not filled, yet meet a covered piece in more than a border. Both come in order of time.
fn covered_gap(stream: StreamKey, pieces: &[CoverageRow], gaps: &[GapRow]) -> Finding {
    let mut finding = Finding::none("covered_gap", stream);
    let mut later = pieces;
    // Pieces that may still reach into this gap or a later one.
    let mut near: Vec<&CoverageRow> = Vec::new();
    for gap in gaps.iter().filter(|gap| gap.state != GapState::Backfilled) {
        let begun = later.partition_point(|piece| piece.span.from < gap.span.to);
        near.extend(&later[..begun]);
        later = &later[begun..];
        near.retain(|piece| piece.span.to > gap.span.from);
        if let Some(piece) = near.iter().find(|piece| piece.span.overlaps(gap.span)) {
            finding.add(|| format!("gap {:?}, covered {:?} under {}", gap.span, piece.span, piece.epoch));
        }
    }
    finding
}

/// Holes between the first piece and the edge that are neither covered nor a gap. A gap that was filled is no gap: what
/// filled it covers it.
fn uncovered_hole(
    stream: StreamKey,
    pieces: &[CoverageRow],
    gaps: &[GapRow],
    edge: Option<TimeMs>,
) -> Finding {
    let mut finding = Finding::none("uncovered_hole", stream);
    let unfilled = gaps.iter().filter(|gap| gap.state != GapState::Backfilled).map(|gap| gap.span);
    let mut known: Vec<_> = pieces.iter().map(|piece| piece.span).chain(unfilled).collect();
    known.sort_unstable();
    let Some(mut reached) = known.first().map(|span| span.from) else { return finding };
    // Where only backfills have been, the ledger ends where the last of them ended.
    let edge = edge.unwrap_or(reached);
    for from_to in known.iter().map(|span| (span.from, span.to)).chain([(edge, edge)]) {
        if reached < from_to.0 {
            finding.add(|| format!("{reached}..{}", from_to.0));
        }
        reached = reached.max(from_to.1);
    }
    finding
}
