//! Final bars as they are stored, against the exchange's own history of them.
//!
//! Bars and trades that were lost together agree with each other; only the history tells. But the history may count
//! otherwise than the socket does, for good: it is a witness against bars of a stream once it has agreed with them.

use std::collections::{BTreeMap, BTreeSet};

use super::trust::{FOUNDED_BARS, Trust};
use super::{MEMORY_MS, Reconciler};
use crate::ledger::Span;
use crate::{StreamKey, TimeMs};

/// A final bar that was read once more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Audited {
    /// When it opened.
    pub time: TimeMs,
    /// Trades that the exchange counts in it now.
    pub counted: u64,
    /// Trades that the stored bar counts.
    pub stored: u64,
}

/// What was read once more, over all streams.
#[derive(Default)]
pub(super) struct Audits {
    streams: BTreeMap<StreamKey, Of>,
    /// Bars in which they agreed, and in which the history counts more.
    agreed: u64,
    differed: u64,
}

#[derive(Default)]
struct Of {
    trust: Trust,
    /// Bars in which the history counts more, and may be wrong itself.
    pending: BTreeSet<TimeMs>,
}

impl Audits {
    /// `founded`: enough bars agreed, of whatever streams.
    fn is_believed(&self, of: &Of, founded: bool) -> bool {
        // Where there is nothing to go by but other streams, nearly all of these have to agree.
        let elsewhere = founded && self.agreed >= FOUNDED_BARS + 2 * self.differed;
        !of.trust.is_refuted() && (of.trust.has_agreed() || elsewhere)
    }
}

impl Reconciler {
    /// Final bars of a stream were read once more. Returns the pieces in which the stored ones turn out to be wrong, also
    /// those of earlier looks.
    pub fn audited(&mut self, stream: StreamKey, bars: &[Audited]) -> Vec<(StreamKey, Span)> {
        let audits = &mut self.audits;
        let of = audits.streams.entry(stream).or_default();
        for bar in bars {
            if bar.counted == bar.stored {
                of.trust.agree(bar.stored);
                audits.agreed += u64::from(bar.stored > 0);
                of.pending.remove(&bar.time);
            } else if bar.counted > bar.stored && of.pending.insert(bar.time) {
                of.trust.differ();
                audits.differed += 1;
            }
        }
        if let Some(newest) = bars.iter().map(|bar| bar.time).max() {
            of.pending = of.pending.split_off(&(newest - MEMORY_MS));
        }
        self.learn(stream, bars);
        let founded = self.foundations.is_history_known();
        let believed: BTreeSet<_> = self
            .audits
            .streams
            .iter()
            .filter(|(_, of)| self.audits.is_believed(of, founded))
            .map(|(stream, _)| *stream)
            .collect();
        let mut wrong = Vec::new();
        // Those of the others wait: it may be that many bars were lost in a row.
        for (stream, of) in self.audits.streams.iter_mut().filter(|(stream, _)| believed.contains(stream)) {
            let StreamKey::Candle(_, interval) = stream else { continue };
            let bars = std::mem::take(&mut of.pending).into_iter();
            wrong.extend(bars.map(|bar| (*stream, Span::new(bar, bar + interval.ms()))));
        }
        wrong
    }
}
