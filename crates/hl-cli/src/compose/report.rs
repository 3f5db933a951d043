//! From what the engine counts to what people are shown.

use std::collections::{BTreeMap, VecDeque};

use hl_core::alert::Alert;
use hl_core::{SourceId, StreamKey, TimeMs, Token};
use hl_engine::Snapshot;
use hl_scheduler::JobView;

use crate::config::Config;
use crate::status::{JobStatus, Owner, SocketState, SocketStatus, SpoolStatus, StatusReport, StreamStatus};

/// A rate is taken over this many reports.
const RATE_REPORTS: usize = 10;

/// Remembers earlier counts, so that rates can be shown.
#[derive(Default)]
pub(crate) struct Rates {
    earlier: VecDeque<(i64, BTreeMap<StreamKey, u64>)>,
    sockets: BTreeMap<u32, (SocketState, TimeMs)>,
}

impl Rates {
    fn rate(&self, stream: StreamKey, mono: i64, records: u64) -> f64 {
        let Some((then, counts)) = self.earlier.front() else { return 0.0 };
        let before = counts.get(&stream).copied().unwrap_or(0);
        let ms = u32::try_from((mono - then).max(1)).unwrap_or(u32::MAX);
        let new = u32::try_from(records.saturating_sub(before)).unwrap_or(u32::MAX);
        f64::from(new) * 1_000.0 / f64::from(ms)
    }

    fn remember(&mut self, snapshot: &Snapshot) {
        if self.earlier.len() == RATE_REPORTS {
            self.earlier.pop_front();
        }
        let counts = snapshot.streams.iter().map(|(stream, m)| (*stream, m.tally.admitted)).collect();
        self.earlier.push_back((snapshot.mono, counts));
    }

    /// Since when a socket has been in its state.
    fn since(&mut self, slot: u32, state: SocketState, at: TimeMs) -> TimeMs {
        let (was, since) = self.sockets.entry(slot).or_insert((state, at));
        if *was != state {
            (*was, *since) = (state, at);
        }
        *since
    }
}

pub(crate) fn report(
    config: &Config,
    host: &str,
    snapshot: &Snapshot,
    token: Token,
    gaps: &BTreeMap<StreamKey, u64>,
    alerts: Vec<Alert>,
    mut rates: Option<&mut Rates>,
) -> StatusReport {
    let mut streams: Vec<_> = snapshot
        .streams
        .iter()
        .map(|(stream, m)| StreamStatus {
            stream: *stream,
            owner: match m.owner {
                Some(SourceId::Ws) => Owner::Ws,
                Some(SourceId::Rest) => Owner::Rest,
                Some(SourceId::Tracker) => Owner::Tracker,
                None => Owner::None,
            },
            reception: snapshot.receptions.get(stream).copied().unwrap_or_default(),
            standby: snapshot.standby.contains(stream),
            records: m.tally.admitted,
            records_per_s: rates.as_ref().map_or(0.0, |r| r.rate(*stream, snapshot.mono, m.tally.admitted)),
            silent_ms: m.last.map(|last| snapshot.mono - last),
            latency_ms: m.latency,
            gaps: gaps.get(stream).copied().unwrap_or(0),
            edge: m.edge,
        })
        .collect();
    streams.sort_by_key(|s| (std::cmp::Reverse(s.stream.spec().value), s.stream));
    let sockets = snapshot.sockets.iter().map(|socket| {
        let state = match (socket.up, socket.live == socket.wanted) {
            (false, _) => SocketState::Connecting,
            (true, false) => SocketState::Subscribing,
            (true, true) => SocketState::Live,
        };
        SocketStatus {
            slot: socket.slot,
            state,
            subscriptions: u32::try_from(socket.live).unwrap_or(u32::MAX),
            since: rates.as_mut().map_or(snapshot.at, |r| r.since(socket.slot, state, snapshot.at)),
        }
    });
    let report = StatusReport {
        at: snapshot.at,
        token,
        role: super::ROLE.to_owned(),
        pid: std::process::id(),
        host: host.to_owned(),
        uptime_ms: snapshot.mono,
        network: config.network.name(),
        reception: snapshot.reception.clone(),
        streams,
        sockets: sockets.collect(),
        jobs: snapshot.jobs.iter().map(job).collect(),
        weight_used: snapshot.rest.weight_used,
        spool: SpoolStatus { batches: snapshot.spool.0, bytes: snapshot.spool.1 },
        counters: counters(snapshot),
        traders: snapshot.tracker,
        alerts,
    };
    if let Some(rates) = rates {
        rates.remember(snapshot);
    }
    report
}

fn job(job: &JobView) -> JobStatus {
    JobStatus {
        id: job.id.clone(),
        state: job.state.as_str().to_owned(),
        schedule: job.schedule.clone(),
        planned: job.planned,
        runs: job.runs,
    }
}

/// Everything that is counted, by name.
fn counters(snapshot: &Snapshot) -> BTreeMap<String, u64> {
    let pipeline = &snapshot.pipeline;
    let mut counters = BTreeMap::from([
        ("handovers", snapshot.handovers),
        ("commits", pipeline.commits),
        ("commit_failures", pipeline.failures),
        ("rows_inserted", pipeline.inserted),
        ("rows_existing", pipeline.existing),
        ("rows_differing", pipeline.differing),
        ("rows_refused", pipeline.refused),
        ("states_conflated", snapshot.inbox.conflated),
        ("rows_thinned", pipeline.thinned),
        ("batches_spooled", pipeline.spooled),
        ("rows_given_up", pipeline.spool_full),
        ("rest_requests", snapshot.rest.requests),
        ("rest_failures", snapshot.rest.failures),
        ("rest_429", snapshot.rest.rate_limited),
        ("unreadable", snapshot.unreadable.values().map(|seen| seen.count).sum()),
    ]);
    for m in snapshot.streams.values() {
        *counters.entry("records_admitted").or_default() += m.tally.admitted;
        *counters.entry("records_fenced").or_default() += m.tally.fenced;
        *counters.entry("records_late").or_default() += m.tally.late;
        *counters.entry("ring_overflows").or_default() += m.tally.overflowed;
        *counters.entry("gaps_opened").or_default() += m.gaps;
    }
    for socket in &snapshot.sockets {
        let c = &socket.counters;
        for (name, n) in [
            ("socket_connects", c.connects),
            ("socket_losses", c.losses),
            ("socket_half_open", c.half_open),
            ("socket_unanswered", c.unanswered),
            ("socket_stalled", c.stalled),
            ("frames_unrouted", c.unrouted),
            ("frames_refused", c.errors),
            ("frames_undecodable", c.undecodable),
            ("frames_unknown", c.unknown),
            ("frames_stale", c.stale),
            ("subscriptions_quarantined", c.quarantined),
            ("subscriptions_renewed", c.renewed),
        ] {
            *counters.entry(name).or_default() += n;
        }
    }
    counters.into_iter().map(|(name, n)| (name.to_owned(), n)).collect()
}
