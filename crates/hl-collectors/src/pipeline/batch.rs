//! Gathering changes until the store takes them: merged stream by stream, conflated by kind where it falls behind.

use std::collections::BTreeMap;

use hl_core::ledger::{Batch, Cause, Change, Span};
use hl_core::stream::Conflation;
use hl_core::{Records, StreamKey, Token};

/// Changes that wait for the next transaction.
#[derive(Default)]
pub(super) struct Pending {
    streams: BTreeMap<StreamKey, Vec<Change>>,
    rows: usize,
}

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// Rows gathered.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn push(&mut self, stream: StreamKey, change: Change) {
        self.rows += rows(&change);
        let changes = self.streams.entry(stream).or_default();
        if let Some(change) = merge(changes, change) {
            changes.push(change);
        }
    }

    pub(super) fn forget(&mut self, stream: StreamKey) {
        if let Some(changes) = self.streams.remove(&stream) {
            self.rows -= changes.iter().map(rows).sum::<usize>();
        }
    }

    /// Everything, as one batch.
    pub(super) fn take(&mut self, token: Token) -> Batch {
        self.rows = 0;
        batch(token, std::mem::take(&mut self.streams))
    }

    /// The event streams and bars, as one batch; states stay.
    pub(super) fn take_events(&mut self, token: Token) -> Option<Batch> {
        let (states, events): (BTreeMap<_, _>, BTreeMap<_, _>) = std::mem::take(&mut self.streams)
            .into_iter()
            .partition(|(stream, _)| stream.spec().conflation == Conflation::State);
        self.streams = states;
        self.recount();
        (!events.is_empty()).then(|| batch(token, events))
    }

    /// Keeps the newest state only, and for bars the newest version of each; events stay whole. Returns how many
    /// rows were conflated.
    pub(super) fn conflate(&mut self) -> u64 {
        let before = self.rows;
        for (stream, changes) in &mut self.streams {
            for change in changes.iter_mut() {
                let Change::Rows { records, .. } = change else { continue };
                match (stream.spec().conflation, records) {
                    (Conflation::Event, _) => {}
                    (_, Records::Candles(bars)) => {
                        let mut newest = BTreeMap::new();
                        for bar in bars.drain(..) {
                            newest
                                .entry(bar.time)
                                .and_modify(|kept: &mut hl_core::record::Candle| {
                                    if kept.trades <= bar.trades {
                                        *kept = bar;
                                    }
                                })
                                .or_insert(bar);
                        }
                        bars.extend(newest.into_values());
                    }
                    (_, Records::Books(r)) => keep_last(r),
                    (_, Records::Bbos(r)) => keep_last(r),
                    (_, Records::Contexts(r)) => keep_last(r),
                    // Rows on change: another coin's older change is still its newest.
                    (_, Records::Mids(mids)) => {
                        let newest: BTreeMap<_, _> = mids.drain(..).map(|mid| (mid.coin, mid)).collect();
                        mids.extend(newest.into_values());
                    }
                    (_, Records::Trades(_) | Records::Funding(_)) => {}
                }
            }
        }
        self.recount();
        (before - self.rows) as u64
    }

    /// Gives events up: what they would have covered becomes a gap. Returns how many rows were given up.
    pub(super) fn give_up(&mut self, batch: Batch) -> u64 {
        let mut lost = 0;
        for (stream, change) in batch.changes {
            match change {
                // Bars are conflated by key, so they stay small; what makes them final may be in a later batch.
                change @ Change::Rows { records: Records::Candles(_), .. } => self.push(stream, change),
                Change::Rows { records, .. } => lost += records.len() as u64,
                change @ (Change::Covered { .. } | Change::Final { .. })
                    if stream.spec().conflation == Conflation::PerKey =>
                {
                    self.push(stream, change);
                }
                Change::Covered { span, .. } => {
                    self.push(stream, Change::GapOpened { span, cause: Cause::StoreFull });
                }
                Change::Filled { records, .. } => lost += records.len() as u64,
                Change::Final { .. } => {}
                change @ (Change::GapOpened { .. }
                | Change::Doubted { .. }
                | Change::GapLost { .. }
                | Change::Edge(_)) => {
                    self.push(stream, change);
                }
            }
        }
        lost
    }

    fn recount(&mut self) {
        self.rows = self.streams.values().flatten().map(rows).sum();
    }
}

fn keep_last<T>(records: &mut Vec<T>) {
    let older = records.len().saturating_sub(1);
    records.drain(..older);
}

fn rows(change: &Change) -> usize {
    match change {
        Change::Rows { records, .. } | Change::Filled { records, .. } => records.len(),
        _ => 0,
    }
}

fn batch(token: Token, streams: BTreeMap<StreamKey, Vec<Change>>) -> Batch {
    let changes = streams
        .into_iter()
        .flat_map(|(stream, changes)| changes.into_iter().map(move |c| (stream, c)))
        .collect();
    Batch { token, changes }
}

/// Merges a change into those that wait, where the order allows it; gives it back where not. Gaps and fills are
/// barriers: nothing moves across them.
fn merge(waiting: &mut [Change], change: Change) -> Option<Change> {
    let barrier = |c: &Change| {
        matches!(
            c,
            Change::GapOpened { .. }
                | Change::Doubted { .. }
                | Change::Filled { .. }
                | Change::GapLost { .. }
        )
    };
    let from = waiting.iter().rposition(barrier).map_or(0, |i| i + 1);
    let open = &mut waiting[from..];
    match change {
        Change::Rows { epoch, origin, records } => {
            for earlier in open.iter_mut().rev() {
                if let Change::Rows { epoch: e, origin: o, records: r } = earlier
                    && (*e, *o) == (epoch, origin)
                {
                    return r.append(records).map(|records| Change::Rows { epoch, origin, records });
                }
            }
            Some(Change::Rows { epoch, origin, records })
        }
        Change::Covered { epoch, origin, span } => {
            for earlier in open.iter_mut().rev() {
                if let Change::Covered { epoch: e, origin: o, span: s } = earlier
                    && (*e, *o) == (epoch, origin)
                    && s.touches(span)
                {
                    *s = Span::new(s.from.min(span.from), s.to.max(span.to));
                    return None;
                }
            }
            Some(Change::Covered { epoch, origin, span })
        }
        Change::Final { span } => {
            for earlier in open.iter_mut().rev() {
                if let Change::Final { span: s } = earlier
                    && s.touches(span)
                {
                    *s = Span::new(s.from.min(span.from), s.to.max(span.to));
                    return None;
                }
            }
            Some(Change::Final { span })
        }
        Change::Edge(to) => {
            for earlier in open.iter_mut().rev() {
                if let Change::Edge(edge) = earlier {
                    *edge = to.max(*edge);
                    return None;
                }
            }
            Some(Change::Edge(to))
        }
        barrier => Some(barrier),
    }
}
