//! What a session has seen of its own streams when it last committed, so that the next batch need not read it again.
//!
//! It is a guess, and never taken for more. Whatever is written on the strength of it is written under a filter with exactly
//! what is believed to be stored; where that matches nothing the transaction ends, and runs again without the guess. It is
//! forgotten with every failure and every outcome that nobody knows, and when leases are taken or given back.

use std::collections::{BTreeMap, BTreeSet};

use hl_core::ledger::Change;
use hl_core::{StreamKey, TimeMs, Token};

use crate::sheet::Sheet;

/// The streams whose lease the session has had, with what is believed to be stored of their ledger.
#[derive(Default)]
pub(crate) struct Known(BTreeMap<StreamKey, Sheet>);

impl Known {
    /// Those of a batch whose lease needs no look: the write of their edge is refused where it is gone.
    pub(crate) fn leased<'a>(
        &self,
        changes: impl IntoIterator<Item = &'a (StreamKey, Change)>,
    ) -> BTreeSet<StreamKey> {
        let edges = changes.into_iter().filter(|(_, change)| matches!(change, Change::Edge(_)));
        edges.map(|(stream, _)| *stream).filter(|stream| self.0.contains_key(stream)).collect()
    }

    /// The sheet of a stream, where these changes of it need no more than is known.
    pub(crate) fn sheet(&self, stream: StreamKey, changes: &[&Change]) -> Option<&Sheet> {
        self.0.get(&stream).filter(|sheet| changes.iter().all(|change| sheet.has_all_for(change)))
    }

    /// Whose lease the session has.
    pub(crate) fn learn_leases(&mut self, streams: impl IntoIterator<Item = (StreamKey, Sheet)>) {
        for (stream, empty) in streams {
            self.0.entry(stream).or_insert(empty);
        }
    }

    /// What is stored once the transaction is committed.
    pub(crate) fn learn(&mut self, sheets: BTreeMap<StreamKey, Sheet>, own: Token, now: TimeMs) {
        for (stream, sheet) in sheets {
            if let Some(known) = self.0.get_mut(&stream) {
                *known = sheet.settled(own, now);
            }
        }
    }
}
