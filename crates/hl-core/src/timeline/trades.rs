//! Trades: blocks that join by proof, or leave a gap from the edge block to the oldest new block.
//!
//! The edge is the last admitted block, inclusive, since that block may not be complete.

use super::{Common, Live, Tally};
use crate::ledger::{Cause, Change, Span};
use crate::record::Trade;
use crate::seeded::guard;
use crate::source::Content;
use crate::store::Recent;
use crate::{Records, SourceId, TimeMs};

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Trades {
    /// The tids stored at the edge block.
    edge_tids: Vec<u64>,
    /// Who wrote the edge block. The order inside a block is only known to be the same within one source.
    edge_source: Option<SourceId>,
}

impl Trades {
    pub(super) fn new(edge: Option<TimeMs>, recent: &Recent) -> Self {
        let at_edge = recent.keys.iter().filter(|(time, _)| Some(*time) == edge);
        Self { edge_tids: at_edge.map(|(_, tid)| *tid).collect(), edge_source: None }
    }

    pub(super) fn admit(
        &mut self,
        common: &mut Common,
        live: &mut Live,
        content: Content,
        out: &mut Vec<Change>,
    ) -> Tally {
        match content {
            Content::Frame(Records::Trades(trades)) => self.run(common, live, trades, None, out),
            Content::Answer { records: Records::Trades(trades), from, .. } => {
                // Polls sample: each answer has to join anew.
                live.unproven.get_or_insert(Cause::Sampled);
                live.reached = None;
                let tally = self.run(common, live, trades, from, out);
                live.unproven = None;
                tally
            }
            _ => Tally::default(),
        }
    }

    /// One continuous stretch of trades. `from`: it holds everything since then.
    fn run(
        &mut self,
        common: &mut Common,
        live: &mut Live,
        mut trades: Vec<Trade>,
        from: Option<TimeMs>,
        out: &mut Vec<Change>,
    ) -> Tally {
        let mut tally = Tally { admitted: trades.len() as u64, ..Tally::default() };
        let (Some(first), Some(last)) =
            (trades.iter().map(|t| t.time).min(), trades.iter().map(|t| t.time).max())
        else {
            return tally;
        };
        // A run that passes over a stored block has missed it, and may have missed more.
        if let (Some(edge), Some(reached)) = (common.edge, live.reached)
            && reached < edge
            && edge < first
        {
            live.unproven.get_or_insert(Cause::Silence);
        }
        let begin = match (common.edge, live.unproven.take()) {
            (None, _) => first,
            (Some(edge), None) => {
                // The run goes on below the edge: it is continuous from the block it had reached.
                if let Some(reached) = live.reached.filter(|reached| *reached <= first && *reached < edge) {
                    self.fill(common, live, &trades, Span::new(reached, edge.min(last)), out);
                }
                edge
            }
            (Some(edge), Some(cause)) => {
                let joins = first < edge
                    || from.is_some_and(|from| from <= edge)
                    || (first == edge && self.shares_a_key(live, &trades, edge))
                    || !guard!(Join);
                if joins {
                    self.fill(common, live, &trades, Span::new(first, edge.min(last)), out);
                    edge
                } else {
                    common.open_gap(Span::new(edge, first), cause, out);
                    live.piece = None;
                    first
                }
            }
        };
        live.reached = Some(live.reached.map_or(last, |reached| reached.max(last)));
        let piece = *live.piece.get_or_insert(begin);
        // Below this claim's own piece the past is settled: those rows are stored, or filled a gap just now. Inside
        // the piece a frame that comes out of order is still the claim's, and the store knows the keys it has.
        let before = trades.len();
        trades.retain(|t| t.time >= piece);
        tally.late = (before - trades.len()) as u64;
        tally.admitted -= tally.late;
        if last < begin {
            if !trades.is_empty() {
                out.push(live.rows(Records::Trades(trades)));
            }
            return tally;
        }
        if common.edge != Some(last) {
            self.edge_tids.clear();
        }
        let edge_tids = trades.iter().filter(|t| t.time == last).map(|t| t.tid);
        self.edge_tids.extend(edge_tids);
        self.edge_tids.sort_unstable();
        self.edge_tids.dedup();
        self.edge_source = Some(live.grant.source);
        out.push(live.rows(Records::Trades(trades)));
        out.push(live.covered(Span::new(begin, last)));
        common.advance(last, out);
        tally
    }

    fn shares_a_key(&self, live: &Live, trades: &[Trade], edge: TimeMs) -> bool {
        // After a restart nobody knows which source wrote the block: only an older block proves the join then.
        self.edge_source == Some(live.grant.source)
            && trades.iter().any(|t| t.time == edge && self.edge_tids.contains(&t.tid))
    }

    /// Gaps that the stretch reaches into are filled by it: blocks strictly inside are proven. But the borders of a gap are
    /// blocks that exist: a stretch that passes over one has a hole of its own, and proves nothing.
    fn fill(
        &mut self,
        common: &mut Common,
        live: &Live,
        trades: &[Trade],
        proven: Span,
        out: &mut Vec<Change>,
    ) {
        let holes = || common.holes.iter().filter(|hole| hole.touches(proven));
        let is_missed = |border: TimeMs| {
            proven.from < border && border <= proven.to && trades.iter().all(|t| t.time != border)
        };
        if holes().next().is_none() || holes().any(|hole| is_missed(hole.from) || is_missed(hole.to)) {
            return;
        }
        let below = trades.iter().copied().filter(|t| proven.contains(t.time)).collect();
        out.push(Change::Filled {
            epoch: live.grant.epoch,
            origin: live.origin(),
            span: proven,
            records: Records::Trades(below),
        });
        common.holes = std::mem::take(&mut common.holes)
            .into_iter()
            .flat_map(|hole| {
                if !hole.touches(proven) {
                    return [Some(hole), None];
                }
                let left = (hole.from < proven.from).then(|| Span::new(hole.from, proven.from));
                let right = (proven.to < hole.to).then(|| Span::new(proven.to, hole.to));
                [left, right]
            })
            .flatten()
            .collect();
    }
}
