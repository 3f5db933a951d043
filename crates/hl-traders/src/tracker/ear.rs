//! How well the trades of one coin are heard: from when on, up to when, and where some may be missing.

use hl_core::TimeMs;
use hl_core::ledger::Span;

/// More holes than this are not told apart: the oldest two become one.
const MOST_HOLES: usize = 64;

/// What is known of the hearing of one coin.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Ear {
    /// It is heard from here on; none before anything was.
    from: Option<TimeMs>,
    /// It was heard up to here.
    to: TimeMs,
    /// Pieces between in which trades may be missing, by time.
    holes: Vec<Hole>,
    /// What the last subscription said that it has brought.
    run: Option<Span>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Hole {
    span: Span,
    /// Whether something is known to be missing. Otherwise only nothing joins what lies before it with what lies behind it, and a
    /// subscription that was there all the time knows better.
    is_sure: bool,
}

impl Hole {
    fn without(self, piece: Span) -> impl Iterator<Item = Self> {
        let Self { span, is_sure } = self;
        let left = match span.touches(piece) {
            false => [Some(span), None],
            true => [
                (span.from < piece.from).then(|| Span::new(span.from, piece.from)),
                (piece.to < span.to).then(|| Span::new(piece.to, span.to)),
            ],
        };
        left.into_iter().flatten().map(move |span| Self { span, is_sure })
    }
}

impl Ear {
    /// Of a coin of which nothing was heard yet.
    pub(super) fn deaf() -> Self {
        Self { from: None, to: TimeMs::MIN, holes: Vec::new(), run: None }
    }

    /// Of a coin that was heard since ever.
    pub(super) fn open() -> Self {
        Self { from: Some(TimeMs::MIN), ..Self::deaf() }
    }

    /// All trades of the piece are here, as the subscription that brings them says.
    pub(super) fn heard(&mut self, piece: Span) {
        self.run = Some(piece);
        self.fill(piece, false);
        self.reach(piece);
    }

    /// All trades of the piece are here, as the time line says: it joins what lies before it and behind it.
    pub(super) fn whole(&mut self, piece: Span) {
        self.fill(piece, true);
        self.reach(piece);
    }

    /// Trades of the piece may be missing. `is_sure`: something was missed; otherwise nothing says that nothing was.
    pub(super) fn hole(&mut self, piece: Span, is_sure: bool) {
        let hole = Hole { span: piece, is_sure };
        match self.run.filter(|_| !is_sure) {
            Some(run) => self.holes.extend(hole.without(run)),
            None => self.holes.push(hole),
        }
        self.holes.sort_unstable();
        while self.holes.len() > MOST_HOLES {
            let oldest = self.holes.remove(0);
            if let Some(next) = self.holes.first_mut() {
                *next = Hole { span: next.span.hull(oldest.span), is_sure: true };
            }
        }
        self.to = self.to.max(piece.to);
    }

    fn fill(&mut self, piece: Span, sure: bool) {
        let holes = std::mem::take(&mut self.holes);
        let (filled, left): (Vec<_>, Vec<_>) = holes.into_iter().partition(|hole| sure || !hole.is_sure);
        self.holes =
            left.into_iter().chain(filled.into_iter().flat_map(|hole| hole.without(piece))).collect();
        self.holes.sort_unstable();
    }

    fn reach(&mut self, piece: Span) {
        if self.from.is_none() {
            self.from = Some(piece.from);
        } else if self.to < piece.from {
            self.hole(Span::new(self.to, piece.from), false);
        }
        self.to = self.to.max(piece.to);
    }

    /// A state that was true before this moment says nothing of what is held now; none where none says anything, since the coin is
    /// not heard.
    pub(super) fn missing_to(&self) -> Option<TimeMs> {
        let from = self.from?;
        let hole = self.holes.iter().map(|hole| hole.span.to).max();
        Some(hole.map_or(from, |hole| hole.max(from)))
    }

    /// Where the first hole begins that does not end before this moment.
    pub(super) fn missing_from(&self, proven: TimeMs) -> Option<TimeMs> {
        self.holes.iter().filter(|hole| proven < hole.span.to).map(|hole| hole.span.from).min()
    }

    /// Heard up to here, with holes.
    pub(super) fn to(&self) -> TimeMs {
        self.to
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(from: i64, to: i64) -> Span {
        Span::new(TimeMs(from), TimeMs(to))
    }

    fn state(ear: &Ear) -> (Option<i64>, i64) {
        (ear.missing_to().map(|time| time.0), ear.to().0)
    }

    #[test]
    fn a_pause_between_two_subscriptions_is_a_hole_until_the_time_line_joins_it() {
        let mut ear = Ear::deaf();
        assert_eq!(ear.missing_to(), None);
        ear.heard(span(10, 20));
        ear.heard(span(10, 30));
        assert_eq!(state(&ear), (Some(10), 30));
        ear.heard(span(40, 50));
        assert_eq!(state(&ear), (Some(40), 50));
        ear.whole(span(30, 35));
        assert_eq!(state(&ear), (Some(40), 50), "not all of it");
        ear.whole(span(28, 45));
        assert_eq!(state(&ear), (Some(10), 50));
    }

    #[test]
    fn what_the_time_line_says_is_missing_no_subscription_has_heard() {
        let mut ear = Ear::deaf();
        ear.heard(span(10, 50));
        ear.hole(span(30, 40), true);
        ear.heard(span(10, 60));
        assert_eq!(state(&ear), (Some(40), 60));
        ear.heard(span(10, 20));
        assert_eq!(state(&ear), (Some(40), 60), "an old word");
        ear.whole(span(30, 40));
        assert_eq!(state(&ear), (Some(10), 60));
    }

    #[test]
    fn a_gap_that_only_does_not_join_is_none_where_a_subscription_was_there_all_the_time() {
        let mut ear = Ear::deaf();
        // A replay whose newest trade is old; the subscription of a quiet coin; its first trade, which joins nothing.
        ear.whole(span(10, 20));
        ear.heard(span(50, 80));
        assert_eq!(state(&ear), (Some(50), 80));
        ear.heard(span(50, 90));
        ear.hole(span(20, 90), false);
        ear.whole(span(90, 90));
        assert_eq!((state(&ear), ear.missing_from(TimeMs(30))), ((Some(50), 90), Some(TimeMs(20))));
        // It broke, and what comes then is another piece.
        ear.hole(span(90, 130), false);
        assert_eq!(state(&ear), (Some(130), 130));
        ear.heard(span(110, 140));
        assert_eq!(state(&ear), (Some(110), 140));
        ear.hole(span(120, 125), true);
        ear.heard(span(110, 150));
        assert_eq!(state(&ear), (Some(125), 150));
    }

    #[test]
    fn a_piece_that_does_not_go_on_from_what_was_heard_leaves_a_hole() {
        let mut ear = Ear::deaf();
        ear.whole(span(10, 20));
        ear.whole(span(30, 40));
        assert_eq!(state(&ear), (Some(30), 40));
        ear.whole(span(20, 30));
        assert_eq!(state(&ear), (Some(10), 40));
    }

    #[test]
    fn many_holes_become_fewer_and_none_is_forgotten() {
        let mut ear = Ear::deaf();
        ear.heard(span(0, 1));
        (0..200).for_each(|n| ear.hole(span(10 * n + 1, 10 * n + 2), true));
        assert_eq!(ear.holes.len(), MOST_HOLES);
        assert_eq!(ear.holes[0].span.from.0, 1);
        (1..200).for_each(|n| ear.whole(span(10 * n + 1, 10 * n + 2)));
        assert!(ear.missing_to().unwrap().0 > 1, "the first one was not filled");
    }
}
