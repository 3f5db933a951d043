//! Kinds whose source says itself from when on it has brought everything: positions, which the tracker works out.
//!
//! An answer that begins at the edge or before it goes on from there. One that begins later leaves a gap between. What was said
//! and turns out to be wrong is doubted: its rows stay, and lie in a gap from then on.

use super::{Common, Live, Tally, count};
use crate::ledger::{Cause, Change, Span};
use crate::source::Content;
use crate::{Records, TimeMs};

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Told;

impl Told {
    pub(super) fn admit(
        common: &mut Common,
        live: &mut Live,
        content: Content,
        out: &mut Vec<Change>,
    ) -> Tally {
        match content {
            Content::Answer { records, from: Some(from), asked } => {
                Self::answer(common, live, records, from, asked, out)
            }
            Content::Refuted { since } => {
                if let Some(edge) = common.edge.filter(|edge| since < *edge) {
                    out.push(Change::Doubted { span: Span::new(since, edge), cause: Cause::Silence });
                }
                live.unproven.get_or_insert(Cause::Silence);
                Tally::default()
            }
            // What does not say from when on it is whole proves nothing.
            content => Tally { late: count(&content), ..Tally::default() },
        }
    }

    /// Everything from one time on, up to before another.
    fn answer(
        common: &mut Common,
        live: &mut Live,
        mut records: Records,
        from: TimeMs,
        to: TimeMs,
        out: &mut Vec<Change>,
    ) -> Tally {
        let offered = records.len() as u64;
        let edge = common.edge;
        records.retain_time(|time| from <= time && time < to && edge.is_none_or(|edge| edge <= time));
        let admitted = records.len() as u64;
        let tally = Tally { admitted, late: offered - admitted, ..Tally::default() };
        if to <= from || edge.is_some_and(|edge| to <= edge) {
            return Tally { late: offered, ..Tally::default() };
        }
        let cause = live.unproven.take();
        let begin = match edge {
            Some(edge) if from <= edge => edge,
            Some(edge) => {
                common.open_gap(Span::new(edge, from), cause.unwrap_or(Cause::Outage), out);
                from
            }
            None => from,
        };
        if !records.is_empty() {
            out.push(live.rows(records));
        }
        out.push(live.covered(Span::new(begin, to)));
        common.advance(to, out);
        tally
    }
}
