//! What is covered of states as far as this process has seen: where one that comes below the edge belongs.

use std::collections::VecDeque;

use crate::TimeMs;
use crate::ledger::Span;

/// Gaps that are remembered. What lies before one that is not is left alone.
const MOST_HOLES: usize = 64;

/// Since when all is covered, but for gaps.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Seen {
    /// None before the first record.
    from: Option<TimeMs>,
    /// The gaps since then, in order of time.
    holes: VecDeque<Span>,
}

impl Seen {
    /// What was covered before the edge, and what was not, is not known.
    pub(super) fn after(edge: Option<TimeMs>) -> Self {
        Self { from: edge, holes: VecDeque::new() }
    }

    /// The first record, where there was none.
    pub(super) fn begin(&mut self, first: TimeMs) {
        self.from.get_or_insert(first);
    }

    pub(super) fn hole(&mut self, span: Span) {
        if self.holes.len() == MOST_HOLES
            && let Some(oldest) = self.holes.pop_front()
        {
            self.from = self.from.max(Some(oldest.to));
        }
        self.holes.push_back(span);
    }

    pub(super) fn covers(&self, time: TimeMs) -> bool {
        let is_missing = |hole: &Span| hole.from < time && time < hole.to;
        self.from.is_some_and(|from| from < time) && !self.holes.iter().any(is_missing)
    }
}
