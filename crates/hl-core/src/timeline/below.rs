//! What is covered of states as far as this process knows: where one that comes below the edge belongs.

use std::collections::VecDeque;

use super::relived::outside;
use crate::TimeMs;
use crate::ledger::Span;
use crate::store::Recent;

/// Gaps that are remembered. What lies before one that is not is left alone.
const MOST_HOLES: usize = 64;

/// Since when all is covered, but for gaps.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Seen {
    /// None before the first record.
    from: Option<TimeMs>,
    /// The gaps since then, in order of time.
    holes: VecDeque<Span>,
    /// Whether nothing was collected before.
    is_all: bool,
}

impl Seen {
    /// What the store says of the time before the edge.
    pub(super) fn stored(edge: Option<TimeMs>, recent: &Recent) -> Self {
        let is_all = edge.is_none() || recent.is_all;
        let mut seen = Self { from: recent.since.or(edge), holes: VecDeque::new(), is_all };
        recent.gaps.iter().for_each(|gap| seen.hole(*gap));
        seen
    }

    /// The first record, where there was none.
    pub(super) fn begin(&mut self, first: TimeMs) {
        self.from.get_or_insert(first);
    }

    /// The time line begins at `from` now, if that lies before all that was ever collected: the time between was not.
    pub(super) fn reach_back(&mut self, from: TimeMs) -> Option<Span> {
        let begun = self.from.filter(|begun| self.is_all && from < *begun)?;
        self.from = Some(from);
        Some(Span::new(from, begun))
    }

    pub(super) fn hole(&mut self, span: Span) {
        if self.holes.len() == MOST_HOLES
            && let Some(oldest) = self.holes.pop_front()
        {
            self.from = self.from.max(Some(oldest.to));
            self.is_all = false;
        }
        self.holes.push_back(span);
    }

    /// What of a span may be covered, and is not remembered.
    pub(super) fn forgotten(&self, span: Span) -> Option<Span> {
        let to = span.to.min(self.from.filter(|_| !self.is_all)?);
        (span.from < to).then_some(Span { to, ..span })
    }

    /// What of a span is covered.
    pub(super) fn whole(&self, span: Span) -> Vec<Span> {
        let from = span.from.max(self.from.unwrap_or(span.to));
        if from < span.to { outside(Span { from, ..span }, &self.holes) } else { Vec::new() }
    }

    pub(super) fn covers(&self, time: TimeMs) -> bool {
        let is_missing = |hole: &Span| hole.from < time && time < hole.to;
        self.from.is_some_and(|from| from < time) && !self.holes.iter().any(is_missing)
    }
}
