//! How far a sink has come in one stream. Pure.

use hl_core::TimeMs;
use hl_core::ledger::Span;
use serde::{Deserialize, Serialize};

/// So many gaps are kept in mind. A stream that is sampled has more of them in a day; most are given up long before.
const MOST_GAPS: usize = 4_096;
/// How much of a stream is handed out before the position moves, ms: what a crash has handed out again.
const STEP_MS: i64 = 3_600_000;

/// See the [module](self).
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(super) struct Position {
    /// Every row before this time was handed out, but for those of gaps; none before it is known where the rows begin.
    pub(super) below: Option<TimeMs>,
    /// What was a gap when the position passed, and is not filled: rows may still come there.
    pub(super) gaps: Vec<Span>,
    /// When the store was last looked at, exchange time.
    pub(super) at: TimeMs,
    /// Rows, at most, that the archive took first.
    pub(super) missed: u64,
}

impl Position {
    /// Pieces before the position that have been filled: those that were gaps and are none now, and those that were told to
    /// be filled. `unfilled`: the gaps of the stream now.
    pub(super) fn filled(&self, unfilled: &[Span], told: &[Span]) -> Vec<Span> {
        let Some(below) = self.below else { return Vec::new() };
        let mut filled: Vec<_> = self.gaps.iter().flat_map(|gap| without(*gap, unfilled)).collect();
        let clipped =
            |span: &Span| (span.from <= below).then(|| Span { from: span.from, to: span.to.min(below) });
        filled.extend(told.iter().filter_map(clipped));
        filled.sort_unstable();
        Span::joined(filled)
    }

    /// The piece that is to be handed out next, both ends included, up to the edge at most.
    pub(super) fn next(&self, edge: TimeMs) -> Span {
        let from = self.below.unwrap_or(edge).min(edge);
        Span { from, to: edge.min(from + STEP_MS) }
    }

    /// What lies before `to` was handed out. Returns how many gaps are not kept in mind: the oldest, where there are too many.
    pub(super) fn pass(&mut self, to: TimeMs, unfilled: &[Span]) -> usize {
        let below = self.below.unwrap_or(TimeMs::MIN).max(to);
        self.below = Some(below);
        let passed = unfilled.iter().filter(|gap| gap.from < below || gap.to <= below);
        self.gaps = passed.map(|gap| Span { from: gap.from, to: gap.to.min(below) }).collect();
        let too_many = self.gaps.len().saturating_sub(MOST_GAPS);
        self.gaps.drain(..too_many);
        too_many
    }
}

/// What of a piece lies in none of the others, each with its ends: a block at the border of a gap may hold rows as well.
fn without(piece: Span, others: &[Span]) -> Vec<Span> {
    if piece.ms() == 0 {
        return if others.contains(&piece) { Vec::new() } else { vec![piece] };
    }
    let (mut rest, mut reached) = (Vec::new(), piece.from);
    for other in others.iter().filter(|other| other.overlaps(piece)) {
        if reached < other.from {
            rest.push(Span { from: reached, to: other.from });
        }
        reached = reached.max(other.to);
    }
    if reached < piece.to {
        rest.push(Span { from: reached, to: piece.to });
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(from: i64, to: i64) -> Span {
        Span::new(TimeMs(from), TimeMs(to))
    }

    fn passed(to: i64, unfilled: &[Span]) -> Position {
        let mut position = Position::default();
        assert_eq!(position.pass(TimeMs(to), unfilled), 0);
        position
    }

    #[test]
    fn what_was_a_gap_is_handed_out_once_it_is_filled() {
        let mut position = passed(100, &[span(10, 30), span(90, 140), span(150, 160)]);
        assert_eq!(position.gaps, [span(10, 30), span(90, 100)], "what lies beyond is still to come");
        assert_eq!(position.filled(&[span(10, 30), span(90, 140)], &[]), []);
        // The blocks at its ends may hold rows of the answer too.
        let left = [span(10, 14), span(20, 30), span(95, 140)];
        assert_eq!(position.filled(&left, &[]), [span(14, 20), span(90, 95)]);
        position.pass(TimeMs(120), &left);
        assert_eq!(position.gaps, [span(10, 14), span(20, 30), span(95, 120)]);
        assert_eq!(position.filled(&left, &[]), [], "once");
        assert_eq!(position.filled(&[], &[]), [span(10, 14), span(20, 30), span(95, 120)]);
    }

    #[test]
    fn a_gap_that_came_and_went_between_two_looks_is_told() {
        let position = passed(100, &[]);
        assert_eq!(
            position.filled(&[], &[span(40, 60), span(50, 70), span(99, 130), span(101, 105)]),
            [span(40, 70), span(99, 100)]
        );
        assert_eq!(Position::default().filled(&[], &[span(1, 2)]), [], "all of it is still to come");
    }

    #[test]
    fn one_block_is_a_gap_as_well() {
        let position = passed(100, &[span(50, 50)]);
        assert_eq!(position.filled(&[span(50, 50)], &[]), []);
        assert_eq!(position.filled(&[], &[]), [span(50, 50)]);
    }

    #[test]
    fn it_goes_on_to_the_edge_in_steps_and_never_back() {
        let mut position = Position::default();
        position.pass(TimeMs(500), &[]);
        assert_eq!(position.next(TimeMs(500)), span(500, 500), "the block at the edge may grow");
        assert_eq!(position.next(TimeMs(3 * STEP_MS)), span(500, 500 + STEP_MS));
        position.pass(TimeMs(400), &[]);
        assert_eq!(position.below, Some(TimeMs(500)));
        assert_eq!(position.next(TimeMs(400)), span(400, 400), "the edge of an older copy of the store");
    }

    #[test]
    fn of_too_many_gaps_the_oldest_are_let_go_and_counted() {
        let gaps: Vec<_> = (0..MOST_GAPS as i64 + 3).map(|n| span(10 * n, 10 * n + 5)).collect();
        let mut position = Position::default();
        assert_eq!(position.pass(TimeMs::MAX, &gaps), 3);
        assert_eq!(position.gaps[0], gaps[3]);
    }

    #[test]
    fn it_survives_the_store() {
        let position = Position { missed: 3, at: TimeMs(7), ..passed(100, &[span(10, 30)]) };
        let text = serde_json::to_string(&position).unwrap();
        assert_eq!(serde_json::from_str::<Position>(&text).unwrap(), position);
    }
}
