//! What an engine is doing, at one moment.

use std::collections::{BTreeMap, BTreeSet};

use hl_collectors::Unreadable;
use hl_collectors::pipeline::{InboxStats, Meter, PipelineCounters};
use hl_collectors::rest::RestCounters;
use hl_collectors::tracker::TrackerView;
use hl_collectors::ws::SocketView;
use hl_core::store::Holder;
use hl_core::{SourceId, StreamKey, TimeMs};
use hl_monitor::{Reception, TotalReception};
use hl_scheduler::JobView;
use serde::Serialize;

use super::{Engine, lock};
use crate::reception;
use crate::sinks::{Fed, SinkView};

/// What an engine is doing, at one moment.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Snapshot {
    /// Exchange time, ms.
    pub at: TimeMs,
    /// Milliseconds since the engine was made.
    pub mono: i64,
    /// Every stream it has the lease of, but for positions: [`Snapshot::tracker`] sums those up.
    pub streams: BTreeMap<StreamKey, Meter>,
    /// Whether data of each of them is received.
    pub receptions: BTreeMap<StreamKey, Reception>,
    /// Whether anything is received at all.
    pub reception: TotalReception,
    /// Every socket with subscriptions.
    pub sockets: Vec<SocketView>,
    /// Every job.
    pub jobs: Vec<JobView>,
    /// The pipeline.
    pub pipeline: PipelineCounters,
    /// The inbox.
    pub inbox: InboxStats,
    /// Requests.
    pub rest: RestCounters,
    /// What could not be read, by stream or kind of answer.
    pub unreadable: BTreeMap<String, Unreadable>,
    /// Live claims that moved.
    pub handovers: u64,
    /// Streams that have a warm standby now: a second subscription that has proved itself.
    pub standby: BTreeSet<StreamKey>,
    /// Batches and bytes in the spool.
    pub spool: (u64, u64),
    /// Streams that another process holds.
    pub held: Vec<(StreamKey, Holder)>,
    /// Every sink.
    pub sinks: Vec<SinkView>,
    /// How well the tracked traders are known, where positions are followed.
    pub tracker: Option<TrackerView>,
}

/// Whether a stream is the positions of a trader: there may be ten thousand, and all are collected by one source.
pub(crate) fn is_followed(stream: StreamKey) -> bool {
    stream.spec().fallback == SourceId::Tracker
}

impl Engine {
    /// What could not be read, whichever way it came.
    fn unreadable(&self) -> BTreeMap<String, Unreadable> {
        let mut all = self.pool.unreadables();
        for (subject, more) in self.client.unreadables() {
            let seen = all.entry(subject).or_default();
            seen.count += more.count;
            seen.reason = more.reason;
        }
        all
    }

    /// What it is doing now.
    pub fn snapshot(&self) -> Snapshot {
        let (mut streams, sockets) = (self.meters.streams(), self.pool.sockets());
        streams.retain(|stream, _| !is_followed(*stream));
        let mono = self.mono.now();
        let (receptions, reception) = reception::judged(&streams, &sockets, self.client.trouble(), mono);
        Snapshot {
            at: self.mono.exchange(),
            mono,
            streams,
            receptions,
            reception,
            sockets,
            jobs: self.runner.view(),
            pipeline: self.meters.counters(),
            inbox: self.inbox.stats(),
            rest: self.client.counters(),
            unreadable: self.unreadable(),
            handovers: self.selector.handovers(),
            standby: self
                .selector
                .view()
                .iter()
                .filter(|s| s.leased && s.standby.is_some())
                .map(|s| s.stream)
                .collect(),
            spool: self.spool.size(),
            held: lock(&self.held).clone(),
            sinks: self.sinks.iter().map(Fed::view).collect(),
            tracker: self.is_tracking().then(|| self.tracker.view()),
        }
    }
}
