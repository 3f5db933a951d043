//! How complete a range of a stream is: what of it is covered, what is missing, and what was never collected.
//!
//! Pure: the ledger's pieces come in, and shares, lengths and the cells of a strip come out. What `coverage`, `export`
//! and `chart` say is all computed here.

use serde::Serialize;

use crate::TimeMs;
use crate::ledger::{Cause, GapState, Span};
use crate::stream::Borders;

/// What is known of one slice of a range, as one cell of a strip.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Cell {
    /// Nothing of it was ever collected, or it lies before what the exchange had.
    Outside,
    /// All that was collected of it is covered.
    Whole,
    /// A part of it is missing.
    Part,
    /// Everything that was collected of it is missing.
    Missing,
}

/// What a range of one stream holds. The pieces are in order of time, joined, and meet in no more than a border.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Completeness {
    /// The range, ms.
    #[serde(flatten)]
    pub range: Span,
    /// The block at which collecting of the stream began, where it lies in the range and earlier rows of that block may not
    /// be known.
    #[serde(skip)]
    pub begun: Option<TimeMs>,
    /// What is covered.
    #[serde(skip)]
    pub covered: Vec<Span>,
    /// Gaps that are not filled. One of no length is a single block.
    #[serde(skip)]
    pub missing: Vec<Span>,
    /// What lies before everything that the exchange had.
    #[serde(skip)]
    pub before_history: Vec<Span>,
    /// What is neither covered nor a gap: it was never collected.
    #[serde(skip)]
    pub never: Vec<Span>,
    /// Length of what is covered, ms.
    pub covered_ms: i64,
    /// Length of gaps that are not filled, ms.
    pub gap_ms: i64,
    /// Length of what lies before everything that the exchange had, ms.
    pub before_history_ms: i64,
    /// Length of what was never collected, ms.
    pub never_ms: i64,
}

/// Whether a gap says that something is missing: it is not filled, and it does not lie before the exchange's history.
#[must_use]
pub fn is_missing(cause: Cause, state: GapState) -> bool {
    state != GapState::Backfilled && cause != Cause::BeforeHistory
}

/// Where collecting began: the first covered piece or missing gap, and where it ends; none where nothing is known but
/// what lies before history.
#[must_use]
pub fn extent(
    covered: impl IntoIterator<Item = Span>,
    gaps: impl IntoIterator<Item = (Span, Cause, GapState)>,
) -> Option<Span> {
    let missing = gaps.into_iter().filter(|(_, cause, state)| is_missing(*cause, *state)).map(|gap| gap.0);
    covered.into_iter().chain(missing).reduce(Span::hull)
}

impl Completeness {
    /// What `range` holds, of a stream whose whole ledger has these covered pieces and these gaps, in any order.
    #[must_use]
    pub fn of(
        range: Span,
        covered: impl IntoIterator<Item = Span>,
        gaps: impl IntoIterator<Item = (Span, Cause, GapState)>,
    ) -> Self {
        let covered: Vec<_> = covered.into_iter().collect();
        let first = covered.iter().map(|piece| piece.from).min();
        let covered = within(range, covered);
        let unfilled = gaps.into_iter().filter(|(.., state)| *state != GapState::Backfilled);
        let (missing, before): (Vec<_>, Vec<_>) =
            unfilled.partition(|(_, cause, state)| is_missing(*cause, *state));
        let missing = within(range, missing.into_iter().map(|gap| gap.0));
        // The block at which collecting began may hold earlier rows; nothing of it is missing that was to be there.
        let is_border = |gap: &Span| gap.ms() == 0 && first.is_none_or(|first| gap.to <= first);
        let begun = missing.iter().find(|gap| is_border(gap)).map(|gap| gap.to);
        let missing: Vec<_> = missing.into_iter().filter(|gap| !is_border(gap)).collect();
        let before = without(&within(range, before.into_iter().map(|gap| gap.0)), &missing);
        let covered = without(&covered, &missing);
        let mut known: Vec<_> = [&covered, &missing, &before].into_iter().flatten().copied().collect();
        known.sort_unstable();
        let never = without(&[range], &Span::joined(known));
        let ms = |pieces: &[Span]| pieces.iter().map(|piece| piece.ms()).sum();
        Self {
            range,
            begun,
            covered_ms: ms(&covered),
            gap_ms: ms(&missing),
            before_history_ms: ms(&before),
            never_ms: ms(&never),
            covered,
            missing,
            before_history: before,
            never,
        }
    }

    /// Whether nothing is missing of what the exchange ever had, and all of it was collected. A range of which nothing is
    /// known is not whole, however short.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let is_known = !self.covered.is_empty() || !self.before_history.is_empty();
        is_known && self.missing.is_empty() && self.never_ms == 0
    }

    /// Whether all of `piece` is covered, and no gap meets it. A gap's border block counts as the gap's.
    #[must_use]
    pub fn has_whole(&self, piece: Span) -> bool {
        let at = self.covered.partition_point(|covered| covered.to < piece.to);
        let is_covered = self.covered.get(at).is_some_and(|covered| covered.from <= piece.from);
        is_covered && !self.missing.iter().any(|gap| gap.overlaps(piece))
    }

    /// Whether nothing is missing at a time: it is covered, and in no gap, the borders of gaps included where `borders`
    /// are shared.
    #[must_use]
    pub fn proves(&self, borders: Borders, time: TimeMs) -> bool {
        let any = |pieces: &[Span]| {
            let at = pieces.partition_point(|piece| piece.to < time);
            pieces[at..].iter().take(2).any(|piece| borders.contain(*piece, time))
        };
        any(&self.covered) && !any(&self.missing) && self.begun != Some(time)
    }

    /// The strip: the range in so many slices of equal length, each as one cell.
    #[must_use]
    pub fn strip(&self, cells: usize) -> Vec<Cell> {
        let Ok(count) = i128::try_from(cells) else { return Vec::new() };
        // A range of one moment has cells as well.
        let (from, length) = (self.range.from, i128::from(self.range.ms().max(1)));
        let at = |cell: i128| from + i64::try_from(length * cell / count.max(1)).unwrap_or(i64::MAX);
        (0..count).map(|cell| self.cell(Span::new(at(cell), at(cell + 1)))).collect()
    }

    fn cell(&self, slice: Span) -> Cell {
        // What begins with the slice is its own, what begins with the next one is not.
        let meets = |piece: &Span| {
            let is_inside = slice.from <= piece.from && piece.from < slice.to;
            piece.overlaps(slice)
                || (piece.ms() == 0 && is_inside)
                || (slice.ms() == 0 && piece.touches(slice))
        };
        let any = |pieces: &[Span]| {
            let at = pieces.partition_point(|piece| piece.to < slice.from);
            pieces[at..].iter().take_while(|piece| piece.from <= slice.to).any(meets)
        };
        match (any(&self.covered), any(&self.missing)) {
            (true, false) => Cell::Whole,
            (true, true) => Cell::Part,
            (false, true) => Cell::Missing,
            (false, false) => Cell::Outside,
        }
    }
}

/// How much of what was asked for is there, in hundredths of a percent, rounded down, so that only what is whole is
/// 10,000. None where nothing was asked for.
#[must_use]
pub fn share<'a>(all: impl IntoIterator<Item = &'a Completeness>) -> Option<u32> {
    let sum = |(there, asked): (i128, i128), of: &Completeness| {
        let covered = i128::from(of.covered_ms);
        (there + covered, asked + covered + i128::from(of.gap_ms) + i128::from(of.never_ms))
    };
    let (there, asked) = all.into_iter().fold((0, 0), sum);
    (asked > 0).then(|| u32::try_from(there * 10_000 / asked).unwrap_or(0))
}

/// The parts of the pieces that lie in `range`, joined.
fn within(range: Span, pieces: impl IntoIterator<Item = Span>) -> Vec<Span> {
    let mut inside: Vec<_> = pieces
        .into_iter()
        // What meets the range in a border only is not in it.
        .filter(|piece| piece.overlaps(range) || (piece.ms() == 0 && range.contains(piece.from)))
        .filter_map(|piece| piece.intersect(range))
        .collect();
    inside.sort_unstable();
    Span::joined(inside)
}

/// What is left of `pieces` outside of `taken`; both are in order, joined.
fn without(pieces: &[Span], taken: &[Span]) -> Vec<Span> {
    let mut left = Vec::new();
    for piece in pieces {
        let mut from = piece.from;
        let at = taken.partition_point(|taken| taken.to < piece.from);
        for taken in taken[at..].iter().take_while(|taken| taken.from < piece.to) {
            if from < taken.from {
                left.push(Span { from, to: taken.from });
            }
            from = from.max(taken.to);
        }
        if from < piece.to || (piece.ms() == 0 && from == piece.from) {
            left.push(Span { from, to: piece.to });
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn span(from: i64, to: i64) -> Span {
        Span::new(TimeMs(from), TimeMs(to))
    }

    const LOST: (Cause, GapState) = (Cause::Outage, GapState::Unrecoverable);

    fn of(range: Span, covered: &[Span], gaps: &[(Span, (Cause, GapState))]) -> Completeness {
        let gaps = gaps.iter().map(|(span, (cause, state))| (*span, *cause, *state));
        Completeness::of(range, covered.iter().copied(), gaps)
    }

    fn drawn(of: &Completeness, cells: usize) -> String {
        let sign = |cell| match cell {
            Cell::Outside => '.',
            Cell::Whole => '#',
            Cell::Part => '+',
            Cell::Missing => '-',
        };
        of.strip(cells).into_iter().map(sign).collect()
    }

    #[test]
    fn a_range_is_covered_missing_before_history_or_never_collected() {
        let gaps = [
            (span(10, 30), (Cause::BeforeHistory, GapState::Unrecoverable)),
            (span(50, 60), LOST),
            (span(70, 75), (Cause::Silence, GapState::Backfilled)),
        ];
        let all = of(span(0, 100), &[span(30, 50), span(60, 80)], &gaps);
        assert_eq!((all.covered_ms, all.gap_ms, all.before_history_ms, all.never_ms), (40, 10, 20, 30));
        assert_eq!(all.never, [span(0, 10), span(80, 100)]);
        assert_eq!(drawn(&all, 10), "...##-##..");
        assert_eq!(drawn(&all, 5), ".#+#.");
        assert!(!all.is_whole() && !of(span(30, 60), &[span(30, 50)], &gaps).is_whole());
        assert!(of(span(31, 49), &[span(30, 50)], &gaps).is_whole());
        let old = of(span(10, 40), &[span(30, 50)], &gaps);
        assert!(old.is_whole(), "what the exchange never had is not missing");
        assert_eq!(share([&old]), Some(10_000));
        assert_eq!(share([&all]), Some(5_000), "40 of 80");
        assert_eq!(share([]), None);
        assert!(!of(span(120, 120), &[span(30, 50)], &gaps).is_whole(), "nothing is known of that moment");
    }

    #[test]
    fn the_smallest_gap_is_seen_and_keeps_the_share_below_all() {
        let day = 86_400_000;
        let covered = [span(0, 5), span(5, 300 * day)];
        let block = of(span(0, 300 * day), &covered, &[(span(5, 5), LOST)]);
        assert_eq!(drawn(&block, 40), format!("+{}", "#".repeat(39)));
        let second = of(span(0, 300 * day), &covered, &[(span(7 * day, 7 * day + 1_000), LOST)]);
        assert_eq!(drawn(&second, 300).matches('+').count(), 1);
        assert_eq!(share([&second]), Some(9_999));
        assert!(!second.has_whole(span(0, 8 * day)) && second.has_whole(span(0, 7 * day)));
        // At the block at which collecting began nothing is missing, and nothing is proven either.
        let begun = of(span(5, 300 * day), &covered[1..], &[(span(5, 5), LOST)]);
        assert!(begun.is_whole());
        let proven = [4, 5, 6].map(|time| begun.proves(Borders::Shared, TimeMs(time)));
        assert_eq!(proven, [false, false, true]);
        // Not so where collecting began earlier, and only the range begins at that block.
        let later = of(span(5, 300 * day), &covered, &[(span(5, 5), LOST)]);
        assert_eq!((later.begun, &later.missing[..], later.is_whole()), (None, &[span(5, 5)][..], false));
    }

    #[test]
    fn a_border_of_a_gap_is_proven_only_where_pieces_are_half_open() {
        let all = of(span(0, 30), &[span(0, 10), span(20, 30)], &[(span(10, 20), LOST)]);
        let proven = |borders| [0, 9, 10, 15, 20, 21, 30].map(|time| all.proves(borders, TimeMs(time)));
        assert_eq!(proven(Borders::Shared), [true, true, false, false, false, true, true]);
        assert_eq!(proven(Borders::HalfOpen), [true, true, false, false, true, true, false]);
    }

    #[test]
    fn where_collecting_began() {
        let gaps = [
            (span(0, 50), Cause::BeforeHistory, GapState::Unrecoverable),
            (span(90, 95), Cause::Outage, GapState::Open),
        ];
        assert_eq!(extent([span(50, 90)], gaps), Some(span(50, 95)));
        assert_eq!(extent([], gaps[..1].to_vec()), None);
    }

    proptest! {
        /// Unit by unit, the parts are what a line of units says, and so is each cell.
        #[test]
        fn parts_and_cells_are_those_of_a_line_of_units(
            range in (0_i64..30, 1_i64..30),
            pieces in prop::collection::vec((0_i64..40, 1_i64..9, 0_usize..4), 0..8),
            cells in 1_usize..12,
        ) {
            let range = span(range.0, range.0 + range.1);
            // Disjoint, as the ledger has them: each unit is what the first piece over it says.
            let mut line = vec!['.'; 60];
            let (mut covered, mut gaps) = (Vec::new(), Vec::new());
            for (from, length, kind) in pieces {
                for at in from..from + length {
                    let unit = &mut line[usize::try_from(at).unwrap()];
                    if *unit != '.' {
                        continue;
                    }
                    let piece = span(at, at + 1);
                    *unit = ['#', '#', '-', 'b'][kind];
                    match kind {
                        0 | 1 => covered.push(piece),
                        2 => gaps.push((piece, LOST)),
                        _ => gaps.push((piece, (Cause::BeforeHistory, GapState::Unrecoverable))),
                    }
                }
            }
            let all = of(range, &covered, &gaps);
            let inside = &line[usize::try_from(range.from.0).unwrap()..usize::try_from(range.to.0).unwrap()];
            let count = |sign| i64::try_from(inside.iter().filter(|unit| **unit == sign).count()).unwrap();
            prop_assert_eq!(
                (all.covered_ms, all.gap_ms, all.before_history_ms, all.never_ms),
                (count('#'), count('-'), count('b'), count('.'))
            );
            prop_assert_eq!(all.is_whole(), count('-') + count('.') == 0);
            for (n, cell) in all.strip(cells).into_iter().enumerate() {
                let slice = &inside[inside.len() * n / cells..inside.len() * (n + 1) / cells];
                if slice.is_empty() {
                    continue;
                }
                let expected = match (slice.contains(&'#'), slice.contains(&'-')) {
                    (true, true) => Cell::Part,
                    (true, false) => Cell::Whole,
                    (false, true) => Cell::Missing,
                    (false, false) => Cell::Outside,
                };
                prop_assert_eq!(cell, expected);
            }
        }
    }
}
