//! A time below the edge that is lived once more, since the exchange's clock was set back: what of it is still to come.

use crate::TimeMs;
use crate::ledger::Span;
use crate::past;

/// What was doubted of that time, and how much of it has passed.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Relived {
    /// The newest record of it.
    reached: TimeMs,
    /// What was doubted and has not passed, oldest first: between these pieces lie gaps of the first time.
    pieces: Vec<Span>,
}

impl Relived {
    /// It begins at `first`, the first record that came since.
    pub(super) fn new(first: TimeMs, doubted: &[Span]) -> Self {
        let pieces = doubted.iter().filter(|piece| first < piece.to);
        let pieces = pieces.map(|piece| Span { from: piece.from.max(first), ..*piece }).collect();
        Self { reached: first, pieces }
    }

    /// The newest record of it.
    pub(super) fn reached(&self) -> TimeMs {
        self.reached
    }

    /// Whether a time of it was doubted, and has not passed.
    pub(super) fn contains(&self, time: TimeMs) -> bool {
        self.reached <= time && self.pieces.iter().any(|piece| piece.contains(time))
    }

    /// From where on it is still to come.
    pub(super) fn rest(&self) -> Option<TimeMs> {
        self.pieces.first().map(|piece| piece.from.max(self.reached))
    }

    /// Time passes from a record to a later one, and nothing was missed between. Returns what is proven by that.
    pub(super) fn pass(&mut self, from: TimeMs, to: TimeMs) -> Vec<Span> {
        let passed = Span { from, to };
        let near = self.pieces.iter().filter(|piece| piece.touches(passed));
        let proven = near.filter_map(|piece| piece.intersect(passed)).collect();
        self.pieces.retain(|piece| to < piece.to);
        self.reached = to;
        proven
    }
}

/// What of `span` lies in none of the holes.
pub(super) fn outside<'a>(span: Span, holes: impl IntoIterator<Item = &'a Span>) -> Vec<Span> {
    holes.into_iter().fold(vec![span], |left, hole| past::without(&left, *hole))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(from: i64, to: i64) -> Span {
        Span::new(TimeMs(from), TimeMs(to))
    }

    #[test]
    fn no_more_is_proven_than_what_was_doubted_and_has_passed() {
        let doubted = outside(span(0, 100), &[span(40, 60)]);
        assert_eq!(doubted, [span(0, 40), span(60, 100)]);
        let mut relived = Relived::new(TimeMs(10), &doubted);
        assert_eq!(relived.rest(), Some(TimeMs(10)));
        assert_eq!(relived.pass(TimeMs(10), TimeMs(30)), [span(10, 30)]);
        assert_eq!(relived.rest(), Some(TimeMs(30)));
        // Something was missed between 30 and 35.
        assert_eq!(relived.pass(TimeMs(35), TimeMs(70)), [span(35, 40), span(60, 70)]);
        assert_eq!((relived.rest(), relived.reached()), (Some(TimeMs(70)), TimeMs(70)));
        assert_eq!(relived.pass(TimeMs(70), TimeMs(100)), [span(70, 100)]);
        assert_eq!(relived.rest(), None);
    }
}
