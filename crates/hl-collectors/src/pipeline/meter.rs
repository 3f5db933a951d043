//! What the pipeline counts, for status and metrics. Written by the reader, read by whoever shows it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::latency::{Delays, Latency};
use hl_core::ledger::Cause;
use hl_core::timeline::{ClockReading, Tally};
use hl_core::{SourceId, StreamKey, TimeMs};
use serde::Serialize;

/// One stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Meter {
    /// Who owns it.
    pub owner: Option<SourceId>,
    /// Records by what became of them.
    pub tally: Tally,
    /// Records that a subscription brought live, and that were older than what is stored. What waited in a ring is not
    /// among them.
    pub late: u64,
    /// Gaps opened by this process.
    pub gaps: u64,
    /// Rows that said something else than the ones stored under their keys.
    pub differing: u64,
    /// The edge as queued, ms.
    pub edge: Option<TimeMs>,
    /// From where on time below the edge is lived once more, ms.
    pub relived_from: Option<TimeMs>,
    /// When data was last admitted, on the monotonic clock, ms.
    pub last: Option<i64>,
    /// How far exchange time was ahead of the monotonic clock then, ms, as far as was known.
    pub ahead: Option<i64>,
    /// When the exchange last sent anything of it, be it empty or kept in a ring, on the monotonic clock, ms.
    pub heard: Option<i64>,
    /// Why the last request of its owner got no answer, where none has since.
    pub unanswered: Option<Cause>,
    /// How often it was given to an owner.
    pub moves: u64,
    /// Why it last was, where it did not only go back.
    pub moved_by: Option<Cause>,
    /// How late the frames of its subscription come; none of a kind that bears no time at which it was sent.
    pub latency: Option<Latency>,
    /// When it got its owner, on the monotonic clock, ms; when it began, where it has none yet.
    pub since: i64,
}

/// Counters of the whole pipeline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PipelineCounters {
    /// Transactions committed.
    pub commits: u64,
    /// Rows inserted or, for bars, improved.
    pub inserted: u64,
    /// Rows whose key the store had.
    pub existing: u64,
    /// Rows whose key the store had, and which said something else.
    pub differing: u64,
    /// Rows that the store refused as outside of their claim.
    pub refused: u64,
    /// Rows left out on purpose.
    pub thinned: u64,
    /// Failed attempts to commit.
    pub failures: u64,
    /// Batches that went through the spool.
    pub spooled: u64,
    /// Records given up because store and spool were full: inside a gap with that cause.
    pub spool_full: u64,
}

#[derive(Default)]
struct State {
    streams: BTreeMap<StreamKey, Meter>,
    delays: BTreeMap<StreamKey, Delays>,
    counters: PipelineCounters,
}

/// The meters of a pipeline.
#[derive(Default)]
pub struct Meters {
    state: Mutex<State>,
}

impl Meters {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every stream.
    pub fn streams(&self) -> BTreeMap<StreamKey, Meter> {
        let state = self.lock();
        let with_latency = |(stream, meter): (&StreamKey, &Meter)| {
            let latency = state.delays.get(stream).and_then(Delays::latency);
            (*stream, Meter { latency, ..*meter })
        };
        state.streams.iter().map(with_latency).collect()
    }

    /// Whether data of a stream was admitted, and when last, on the monotonic clock, ms.
    pub fn last(&self, stream: StreamKey) -> Option<i64> {
        self.lock().streams.get(&stream)?.last
    }

    /// Who owns a stream.
    pub fn owner(&self, stream: StreamKey) -> Option<SourceId> {
        self.lock().streams.get(&stream)?.owner
    }

    /// When data of a stream was last admitted, and what the exchange's clock said.
    pub(super) fn received(&self, stream: StreamKey) -> Option<ClockReading> {
        let state = self.lock();
        let meter = state.streams.get(&stream)?;
        Some(ClockReading { mono: meter.last?, ahead: meter.ahead? })
    }

    /// From where on time below the edge of a stream is lived once more.
    pub fn relived_from(&self, stream: StreamKey) -> Option<TimeMs> {
        self.lock().streams.get(&stream)?.relived_from
    }

    /// The edge of a stream as queued.
    pub fn edge(&self, stream: StreamKey) -> Option<TimeMs> {
        self.lock().streams.get(&stream)?.edge
    }

    /// The counters.
    pub fn counters(&self) -> PipelineCounters {
        self.lock().counters
    }

    pub(super) fn stream(&self, stream: StreamKey, change: impl FnOnce(&mut Meter)) {
        change(self.lock().streams.entry(stream).or_default());
    }

    pub(super) fn forget(&self, stream: StreamKey) {
        let mut state = self.lock();
        state.streams.remove(&stream);
        state.delays.remove(&stream);
    }

    /// A frame of a stream came so late, ms.
    pub(super) fn delayed(&self, stream: StreamKey, now: i64, late_ms: i64) {
        let mut state = self.lock();
        if let Some(delays) = state.delays.get_mut(&stream) {
            delays.note(now, late_ms);
        } else if let Some(mut delays) = Delays::new(now) {
            delays.note(now, late_ms);
            state.delays.insert(stream, delays);
        }
    }

    pub(super) fn count(&self, change: impl FnOnce(&mut PipelineCounters)) {
        change(&mut self.lock().counters);
    }
}
