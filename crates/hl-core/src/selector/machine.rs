use std::collections::{BTreeMap, VecDeque};

use super::{Effect, EpochMint, Event, Mono, Places, Timing};
use crate::ledger::Cause;
use crate::seeded::guard;
use crate::timeline::Grant;
use crate::{Epoch, Lane, RunId, SourceId, StreamKey, Token};

/// One subscription of a stream.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Socket {
    /// It has no place in the plan, or the kind is not pushed.
    Absent,
    /// Being connected or subscribed for the first time since `since`; nothing has failed yet.
    Starting { since: Mono },
    /// No run, after a failure.
    Down,
    /// A run is up and proves itself until `until`; its data waits in the ring.
    Settling { run: RunId, until: Mono },
    /// The run has proved itself, at `since`: it owns the stream, or stands by with its ring.
    Proved { run: RunId, since: Mono },
    /// The owning run is silent beyond its rhythm; a witness has been asked for at `asked`.
    Asked { run: RunId, since: Mono, asked: Mono },
}

impl Socket {
    /// The run that may own the stream.
    fn proved(self) -> Option<RunId> {
        match self {
            Self::Proved { run, .. } | Self::Asked { run, .. } => Some(run),
            Self::Absent | Self::Starting { .. } | Self::Down | Self::Settling { .. } => None,
        }
    }
}

/// A lane of a stream.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct LaneState {
    socket: Socket,
    /// Runs in a row that died before they were stable: each doubles the settling.
    flaps: u32,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Stream {
    /// Whether this process may collect it.
    leased: bool,
    lanes: [LaneState; 2],
    live: Option<Grant>,
    /// Why the next claim's first piece may be incomplete.
    cause: Cause,
}

impl Stream {
    fn new(now: Mono, stream: StreamKey, places: Places) -> Self {
        let lane = |lane| LaneState {
            socket: match stream.spec().ws && places.has(lane) {
                true => Socket::Starting { since: now },
                false => Socket::Absent,
            },
            flaps: 0,
        };
        Self { leased: false, lanes: Lane::ALL.map(lane), live: None, cause: Cause::DaemonDown }
    }

    fn lane(&mut self, lane: Lane) -> &mut LaneState {
        &mut self.lanes[lane.index()]
    }

    fn owns(&self, run: RunId) -> bool {
        self.live.is_some_and(|live| live.run == Some(run))
    }

    /// Whether a socket is about to bring the stream for the first time.
    fn is_awaited(&self, now: Mono, timing: Timing) -> bool {
        let mut sockets = self.lanes.iter().map(|lane| lane.socket);
        let is_starting = |s| matches!(s, Socket::Starting { since } if now < since + timing.start_grace_ms);
        self.is_settling() || sockets.clone().any(is_starting) && !sockets.any(|s| s == Socket::Down)
    }

    fn is_settling(&self) -> bool {
        self.lanes.iter().any(|lane| matches!(lane.socket, Socket::Settling { .. }))
    }

    /// A witness says that the run missed something. Whether it was one that has proved itself.
    fn give_up(&mut self, run: RunId) -> bool {
        let owned = self.owns(run);
        let lane = self.lane(run.lane);
        if lane.socket.proved() != Some(run) || !guard!(Witness) {
            return false;
        }
        lane.socket = Socket::Down;
        if owned {
            self.cause = Cause::Silence;
        }
        true
    }
}

/// A stream as the selector sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StreamView {
    /// The stream.
    pub stream: StreamKey,
    /// The live claim.
    pub live: Option<Grant>,
    /// Whether this process may collect it; if not, another holds it still.
    pub leased: bool,
    /// Whether a run is up and settling.
    pub settling: bool,
    /// The run that has proved itself and stands by.
    pub standby: Option<RunId>,
}

/// The machine. See the [module](super).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Selector {
    timing: Timing,
    mint: EpochMint,
    streams: BTreeMap<StreamKey, Stream>,
    outbox: VecDeque<Effect>,
    handovers: u64,
}

impl Selector {
    /// A selector without streams that hands out epochs under `token`.
    #[must_use]
    pub fn new(token: Token, timing: Timing) -> Self {
        Self {
            timing,
            mint: EpochMint::new(token),
            streams: BTreeMap::new(),
            outbox: VecDeque::new(),
            handovers: 0,
        }
    }

    /// A fresh epoch for a backfill claim.
    pub fn mint(&mut self) -> Epoch {
        self.mint.mint()
    }

    /// Takes one event; effects go to the outbox.
    pub fn step(&mut self, now: Mono, event: Event) {
        match event {
            Event::Warm { stream, places } => {
                self.streams.entry(stream).or_insert_with(|| Stream::new(now, stream, places));
            }
            Event::Leased { stream, places, is_new } => {
                let s = self.streams.entry(stream).or_insert_with(|| Stream::new(now, stream, places));
                if !s.leased && is_new {
                    s.cause = Cause::FirstStart;
                } else if !s.leased && s.lanes.iter().any(|lane| lane.socket.proved().is_some()) {
                    s.cause = Cause::Handover;
                }
                s.leased = true;
                self.decide(now, stream);
            }
            Event::Superseded { stream } => {
                if self.streams.remove(&stream).is_some_and(|s| s.live.is_some()) {
                    self.outbox.push_back(Effect::Handover { stream, grant: None });
                }
            }
            Event::Released { stream } => {
                if self.streams.remove(&stream).is_some() {
                    self.outbox.push_back(Effect::Release { stream });
                }
            }
            Event::Up { stream, run } => self.up(now, stream, run),
            Event::Down { stream, lane, run, cause } => self.down(now, stream, lane, run, cause),
            Event::Silent { stream, run } => self.silent(now, stream, run),
            Event::Probed { stream, run, missed } => self.probed(now, stream, run, missed),
            Event::Missed { stream, run } => {
                if self.streams.get_mut(&stream).is_some_and(|s| s.give_up(run)) {
                    self.outbox.push_back(Effect::Renew { stream, run });
                }
                self.decide(now, stream);
            }
            Event::Tick => {
                let streams: Vec<_> = self.streams.keys().copied().collect();
                for stream in streams {
                    self.decide(now, stream);
                }
            }
        }
    }

    fn up(&mut self, now: Mono, stream: StreamKey, run: RunId) {
        let timing = self.timing;
        let Some(s) = self.streams.get_mut(&stream) else { return };
        let lane = s.lane(run.lane);
        match lane.socket {
            Socket::Absent => {}
            // An older run must not displace a newer one.
            Socket::Settling { run: r, .. }
            | Socket::Proved { run: r, .. }
            | Socket::Asked { run: r, .. }
                if r >= run => {}
            _ => {
                // One death is bad luck; from the second on it is flapping.
                let patience = timing.settle_ms.saturating_mul(1 << lane.flaps.saturating_sub(1).min(16));
                lane.socket = Socket::Settling { run, until: now + patience.min(timing.longest_settle_ms) };
            }
        }
        self.decide(now, stream);
    }

    fn down(&mut self, now: Mono, stream: StreamKey, lane: Lane, run: Option<RunId>, cause: Cause) {
        let timing = self.timing;
        let Some(s) = self.streams.get_mut(&stream) else { return };
        let state = s.lane(lane);
        let ended = match state.socket {
            Socket::Absent => return,
            Socket::Starting { .. } | Socket::Down => None,
            Socket::Settling { run, .. } => Some((run, 0)),
            Socket::Proved { run, since } | Socket::Asked { run, since, .. } => Some((run, now - since)),
        };
        match (ended, run) {
            (Some((current, _)), Some(run)) if current != run => return,
            (Some((_, proved_ms)), _) if proved_ms >= timing.stable_ms => state.flaps = 0,
            (Some(_), _) => state.flaps = state.flaps.saturating_add(1),
            (None, _) => {}
        }
        state.socket = Socket::Down;
        // What was not collected before is not missed because a socket does not come.
        let begins = s.live.is_none() && !matches!(s.cause, Cause::FirstStart | Cause::DaemonDown);
        if begins || ended.is_some_and(|(run, _)| s.owns(run)) {
            s.cause = cause;
        }
        self.decide(now, stream);
    }

    fn silent(&mut self, now: Mono, stream: StreamKey, run: RunId) {
        let Some(s) = self.streams.get_mut(&stream) else { return };
        let owns = s.owns(run);
        let lane = s.lane(run.lane);
        match lane.socket {
            Socket::Proved { run: proved, since } if proved == run && owns => {
                lane.socket = Socket::Asked { run, since, asked: now };
                self.outbox.push_back(Effect::Probe { stream, run });
            }
            // A standby has nothing to lose: the replay of a new subscription shows at once what it may have missed.
            Socket::Proved { run: proved, .. } if proved == run => {
                lane.socket = Socket::Down;
                self.outbox.push_back(Effect::Calm { stream, run });
                self.outbox.push_back(Effect::Renew { stream, run });
            }
            _ => {}
        }
        self.decide(now, stream);
    }

    fn probed(&mut self, now: Mono, stream: StreamKey, run: RunId, missed: bool) {
        let Some(s) = self.streams.get_mut(&stream) else { return };
        // What was missed stays missed, however late the answer comes.
        if missed && s.give_up(run) {
            self.outbox.push_back(Effect::Renew { stream, run });
        } else if let Socket::Asked { run: asked, since, .. } = s.lane(run.lane).socket
            && asked == run
        {
            s.lane(run.lane).socket = Socket::Proved { run, since };
            self.outbox.push_back(Effect::Calm { stream, run });
        }
        self.decide(now, stream);
    }

    /// Gives the stream to the most preferred source that has proved itself.
    fn decide(&mut self, now: Mono, stream: StreamKey) {
        let timing = self.timing;
        let Some(s) = self.streams.get_mut(&stream) else { return };
        for lane in &mut s.lanes {
            match lane.socket {
                Socket::Settling { run, until } if until <= now => {
                    lane.socket = Socket::Proved { run, since: now };
                }
                Socket::Asked { run, since, asked } if asked + timing.probe_limit_ms <= now => {
                    lane.socket = Socket::Proved { run, since };
                }
                _ => {}
            }
        }
        if !s.leased && guard!(Lease) {
            return;
        }
        let proved = || s.lanes.iter().filter_map(|lane| lane.socket.proved());
        let has = s.live.map(|live| (live.source, live.run));
        // Whoever owns it keeps it: moving between two that have proved themselves gains nothing.
        let run = proved().find(|run| s.owns(*run)).or_else(|| proved().next());
        let wanted = match run {
            Some(run) => (SourceId::Ws, Some(run)),
            // What the socket is about to bring is not fetched twice at the start: the ring holds it.
            None if s.live.is_none() && s.is_awaited(now, timing) => return,
            None if !guard!(Fallback) => return,
            None => (SourceId::Rest, None),
        };
        if has == Some(wanted) {
            return;
        }
        let (source, run) = wanted;
        s.live = Some(Grant { epoch: self.mint.mint(), source, run, cause: s.cause });
        // REST's samples leave holes of their own; a socket that takes over from it met no outage.
        s.cause = match source {
            SourceId::Rest => Cause::Handover,
            SourceId::Ws => Cause::Outage,
        };
        self.handovers += 1;
        self.outbox.push_back(Effect::Handover { stream, grant: s.live });
    }

    /// The oldest effect that nobody has carried out yet.
    pub fn next_effect(&mut self) -> Option<Effect> {
        self.outbox.pop_front()
    }

    /// When the next deadline falls; none where nothing is waited for.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Mono> {
        let deadline = |s: &Stream, lane: &LaneState| match lane.socket {
            // While another lane settles, nothing begins when the grace is over.
            Socket::Starting { since } if s.leased && s.live.is_none() && !s.is_settling() => {
                Some(since + self.timing.start_grace_ms)
            }
            Socket::Settling { until, .. } => Some(until),
            Socket::Asked { asked, .. } => Some(asked + self.timing.probe_limit_ms),
            Socket::Absent | Socket::Starting { .. } | Socket::Down | Socket::Proved { .. } => None,
        };
        let all =
            self.streams.values().flat_map(|s| s.lanes.iter().filter_map(move |lane| deadline(s, lane)));
        all.min()
    }

    /// Every stream, by name.
    #[must_use]
    pub fn view(&self) -> Vec<StreamView> {
        self.streams
            .iter()
            .map(|(stream, s)| StreamView {
                stream: *stream,
                live: s.live,
                leased: s.leased,
                settling: s.is_settling(),
                standby: s.lanes.iter().filter_map(|l| l.socket.proved()).find(|run| !s.owns(*run)),
            })
            .collect()
    }

    /// Live claims handed out or withdrawn since the start.
    #[must_use]
    pub fn handovers(&self) -> u64 {
        self.handovers
    }
}
