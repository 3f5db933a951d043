//! A ledger as the contract of the store describes it: what the changes of a time line must add up to.

use hl_core::ledger::{Change, Span};
use hl_core::stream::Borders;
use hl_core::{Epoch, Records, StreamKey, TimeMs};

/// What one stream's changes came to.
pub(crate) struct Ledger {
    stream: StreamKey,
    /// The stored edge at the start.
    begun: Option<TimeMs>,
    edge: Option<TimeMs>,
    covered: Vec<(Epoch, Span)>,
    gaps: Vec<Span>,
}

impl Ledger {
    pub(crate) fn new(stream: StreamKey, edge: Option<TimeMs>) -> Self {
        Self { stream, begun: edge, edge, covered: Vec::new(), gaps: Vec::new() }
    }

    /// Applies a change made under the standing claim `standing`.
    pub(crate) fn apply(&mut self, change: &Change, standing: Option<Epoch>) {
        let stream = self.stream;
        match change {
            Change::Rows { epoch, records, .. } => {
                assert_eq!(Some(*epoch), standing, "{stream}: rows under the standing claim only");
                assert!(!records.is_empty(), "{stream}: rows that are none");
            }
            Change::Covered { epoch, span, .. } => {
                assert_eq!(Some(*epoch), standing, "{stream}: covered under the standing claim only");
                self.is_upright(*span);
                match self.covered.last_mut() {
                    Some((last, piece)) if last == epoch && piece.touches(*span) => {
                        *piece = piece.hull(*span);
                    }
                    _ => self.covered.push((*epoch, *span)),
                }
            }
            Change::Final { span } | Change::GapLost { span } | Change::GapUnreadable { span } => {
                self.is_upright(*span);
            }
            Change::GapOpened { span, .. } => {
                self.is_upright(*span);
                self.gaps.push(*span);
            }
            Change::Doubted { span, .. } => self.doubt(*span),
            Change::Filled { epoch, span, records, .. } => {
                assert_eq!(Some(*epoch), standing, "{stream}: filled under the standing claim only");
                self.is_upright(*span);
                self.fill(*epoch, *span, records);
            }
            Change::Ended(at) => assert!(self.edge.is_none_or(|edge| edge <= *at), "{stream}: it goes on"),
            Change::Edge(edge) => {
                assert!(
                    self.edge.is_none_or(|old| old < *edge),
                    "{stream}: the edge went from {:?} to {edge}",
                    self.edge
                );
                self.edge = Some(*edge);
            }
        }
    }

    fn is_upright(&self, span: Span) {
        assert!(span.from <= span.to, "{}: {span:?} is the wrong way round", self.stream);
    }

    fn fill(&mut self, epoch: Epoch, span: Span, records: &Records) {
        if let Some((first, last)) = records.ends() {
            let held = |time| span.contains(time) || self.stream.spec().borders == Borders::HalfOpen;
            assert!(held(first) && held(last), "{}: rows outside of what they prove", self.stream);
        }
        let mut left = Vec::new();
        for gap in std::mem::take(&mut self.gaps) {
            match gap.intersect(span) {
                Some(part) if part.ms() > 0 || gap.ms() == 0 => {
                    self.covered.push((epoch, part));
                    left.extend(beside(gap, part));
                }
                _ => left.push(gap),
            }
        }
        self.gaps = left;
    }

    /// Only what is covered can be doubted: that becomes a gap.
    fn doubt(&mut self, span: Span) {
        let mut left = Vec::new();
        for (epoch, piece) in std::mem::take(&mut self.covered) {
            match piece.intersect(span).filter(|part| part.ms() > 0) {
                Some(part) => {
                    left.extend(beside(piece, part).map(|rest| (epoch, rest)));
                    self.gaps.push(part);
                }
                None => left.push((epoch, piece)),
            }
        }
        self.covered = left;
    }

    /// The past below the edge is settled: each piece of it is covered once, or a gap.
    pub(crate) fn check(&self, edge: Option<TimeMs>) {
        let stream = self.stream;
        let mut pieces: Vec<Span> = self.covered.iter().map(|(_, span)| *span).collect();
        pieces.sort_unstable();
        for pair in pieces.windows(2) {
            assert!(!pair[0].overlaps(pair[1]), "{stream}: {:?} and {:?} are both covered", pair[0], pair[1]);
        }
        for gap in &self.gaps {
            let covered = pieces.iter().find(|piece| piece.overlaps(*gap));
            assert!(covered.is_none(), "{stream}: the gap {gap:?} is covered by {covered:?}");
        }
        let mut known: Vec<Span> = pieces.into_iter().chain(self.gaps.iter().copied()).collect();
        known.sort_unstable();
        let Some(first) = known.first().map(|span| span.from) else { return };
        let mut reached = self.begun.unwrap_or(first);
        for span in &known {
            assert!(span.from <= reached, "{stream}: nothing is known of {reached}..{}", span.from);
            reached = reached.max(span.to);
        }
        assert!(
            self.edge.is_none_or(|edge| edge <= reached),
            "{stream}: the edge {:?} lies beyond {reached}",
            self.edge
        );
        assert!(self.edge <= edge, "{stream}: the edge as queued is {edge:?}, as told {:?}", self.edge);
    }
}

/// What of `whole` lies on either side of `part`.
fn beside(whole: Span, part: Span) -> impl Iterator<Item = Span> {
    [Span { from: whole.from, to: part.from }, Span { from: part.to, to: whole.to }]
        .into_iter()
        .filter(|rest| rest.from < rest.to)
}
