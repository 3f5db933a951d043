//! States: books, best bids and offers, mids, contexts. Each record replaces the one before.
//!
//! The edge is the last record. A hole is a longer time without one than the kind's cadence allows; inside one
//! healthy subscription a kind that is only pushed on change may be silent for any time.

use std::collections::BTreeMap;

use super::{Common, Live, Tally};
use crate::ledger::{Cause, Change, Span};
use crate::record::Context;
use crate::source::Content;
use crate::{Coin, Decimal, Kind, Records, TimeMs};

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct States {
    kind: Kind,
    /// The last stored mid of each coin: rows are stored on change.
    mids: BTreeMap<Coin, Decimal>,
    /// The last stored context.
    context: Option<Context>,
}

impl States {
    pub(super) fn new(kind: Kind) -> Self {
        Self { kind, mids: BTreeMap::new(), context: None }
    }

    pub(super) fn admit(
        &mut self,
        common: &mut Common,
        live: &mut Live,
        content: Content,
        out: &mut Vec<Change>,
    ) -> Tally {
        let records = match content {
            Content::Frame(records) => records,
            Content::Answer { records, .. } => {
                live.unproven.get_or_insert(Cause::Sampled);
                records
            }
            Content::Started { .. }
            | Content::Broken { .. }
            | Content::Proof { .. }
            | Content::Unanswered { .. } => {
                return Tally::default();
            }
        };
        let mut tally = Tally { admitted: records.len() as u64, ..Tally::default() };
        // Frames without a time were stamped on receipt; a stamp never goes back, restarts included.
        let records = match common.edge {
            Some(edge) => restamp(records, edge + 1),
            None => records,
        };
        let Some((first, last)) = records.ends() else { return tally };
        let Some(records) = newer(records, common.edge, &mut tally) else {
            // Seen again at the same time: the stream lives, and nothing is new.
            return tally;
        };
        let first = common.edge.map_or(first, |edge| first.max(edge));
        let hole_ms = common.key.spec().hole_ms;
        let begin = match (common.edge, live.unproven.take()) {
            (None, _) => first,
            (Some(edge), None) if !self.is_steady() || first.since(edge) <= hole_ms => edge,
            (Some(edge), Some(_)) if first.since(edge) <= hole_ms => edge,
            (Some(edge), cause) => {
                common.open_gap(Span::new(edge, first), cause.unwrap_or(Cause::Silence), out);
                first
            }
        };
        let changed = self.changed(records);
        if !changed.is_empty() {
            out.push(live.rows(changed));
        }
        out.push(live.covered(Span::new(begin, last)));
        common.advance(last, out);
        tally
    }

    /// Pushed also where nothing changed, so that silence inside a subscription is a hole.
    fn is_steady(&self) -> bool {
        self.kind.spec().steady
    }

    /// Keeps what differs from the last stored state, for the kinds that are stored on change.
    fn changed(&mut self, records: Records) -> Records {
        match records {
            Records::Mids(mut mids) => {
                mids.retain(|mid| self.mids.insert(mid.coin, mid.px) != Some(mid.px));
                Records::Mids(mids)
            }
            Records::Contexts(mut contexts) => {
                contexts.retain(|context| {
                    let changed = self.context.is_none_or(|last| !last.same_values(context));
                    self.context = Some(*context);
                    changed
                });
                Records::Contexts(contexts)
            }
            other => other,
        }
    }
}

fn restamp(mut records: Records, at_least: TimeMs) -> Records {
    match &mut records {
        Records::Mids(mids) => mids.iter_mut().for_each(|r| r.time = r.time.max(at_least)),
        Records::Contexts(contexts) => contexts.iter_mut().for_each(|r| r.time = r.time.max(at_least)),
        _ => {}
    }
    records
}

/// Drops what is not newer than the edge; none where nothing is left.
fn newer(mut records: Records, edge: Option<TimeMs>, tally: &mut Tally) -> Option<Records> {
    let before = records.len();
    if let Some(edge) = edge {
        records.retain_time(|time| time > edge);
    }
    let dropped = (before - records.len()) as u64;
    tally.late += dropped;
    tally.admitted -= dropped;
    (!records.is_empty()).then_some(records)
}
