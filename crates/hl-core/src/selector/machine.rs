use std::collections::{BTreeMap, VecDeque};

use super::{Effect, EpochMint, Event, Mono, Places, Timing};
use crate::ledger::Cause;
use crate::seeded::guard;
use crate::timeline::Grant;
use crate::{Epoch, Lane, RunId, SourceId, StreamKey, Token};

/// Convictions are forgiven after so many times as long as deaths are: a witness that is wrong may be so every few minutes.
const CALM_TIMES: i64 = 5;

/// One subscription of a stream.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Socket {
    /// It has no place in the plan, or the kind is not pushed.
    Absent,
    /// Being connected or subscribed for the first time since `since`; nothing has failed yet.
    Starting { since: Mono },
    /// No run, after a failure.
    Down,
    /// A run is up since `since` and proves itself until `until`; its data waits in the ring.
    Settling { run: RunId, since: Mono, until: Mono },
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

/// Why a run that had proved itself is no more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    /// It died, or another one took its place.
    Died,
    /// A witness says that it missed something.
    Convicted,
}

/// A lane of a stream.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct LaneState {
    socket: Socket,
    /// Runs in a row that died before they were stable: each doubles the settling. One that dies while it settles has moved
    /// nothing.
    deaths: u32,
    /// Runs in a row that were convicted before they were stable: each doubles the settling, and longer than deaths do. The
    /// socket lives, so what it brings meanwhile is not lost; and the witness may be wrong.
    convictions: u32,
}

/// How long settling lasts after so many ends in a row: one is bad luck, from the second on it is flapping.
fn settling(timing: Timing, ends: u32, longest_ms: i64) -> i64 {
    timing.settle_ms.saturating_mul(1 << ends.saturating_sub(1).min(16)).min(longest_ms)
}

/// When a run that settles since `since`, at the latest until `until`, has proved itself.
fn settled_at(timing: Timing, unanswered: bool, since: Mono, until: Mono) -> Mono {
    if unanswered { until.min(since + timing.settle_ms) } else { until }
}

impl LaneState {
    fn settle_ms(&self, timing: Timing) -> i64 {
        let after_deaths = settling(timing, self.deaths, timing.longest_settle_ms);
        after_deaths.max(settling(timing, self.convictions, timing.longest_convicted_ms))
    }

    /// The lane has no run any more.
    fn end(&mut self, now: Mono, timing: Timing, end: End) {
        let proved = match self.socket {
            Socket::Proved { since, .. } | Socket::Asked { since, .. } => Some(now - since),
            Socket::Absent | Socket::Starting { .. } | Socket::Down | Socket::Settling { .. } => None,
        };
        self.socket = Socket::Down;
        let Some(proved_ms) = proved else { return };
        let calm_ms = timing.stable_ms.saturating_mul(CALM_TIMES);
        if proved_ms >= timing.stable_ms {
            self.deaths = 0;
        }
        if proved_ms >= calm_ms {
            self.convictions = 0;
        }
        let (ends, longest_ms, stable_ms) = match end {
            End::Died => (&mut self.deaths, timing.longest_settle_ms, timing.stable_ms),
            End::Convicted => (&mut self.convictions, timing.longest_convicted_ms, calm_ms),
        };
        // Beyond the longest nothing doubles any more; and a run that was stable is forgiven its end.
        if proved_ms < stable_ms && settling(timing, *ends, longest_ms) < longest_ms {
            *ends += 1;
        }
    }
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Stream {
    /// Whether this process may collect it.
    leased: bool,
    lanes: [LaneState; 2],
    live: Option<Grant>,
    /// Why the next claim's first piece may be incomplete.
    cause: Cause,
    /// REST owns the stream and gets no answers: a socket that works is worth more than one that was tried for long.
    unanswered: bool,
}

impl Stream {
    fn new(now: Mono, stream: StreamKey, places: Places) -> Self {
        let lane = |lane| LaneState {
            socket: match stream.spec().ws && places.has(lane) {
                true => Socket::Starting { since: now },
                false => Socket::Absent,
            },
            deaths: 0,
            convictions: 0,
        };
        let lanes = Lane::ALL.map(lane);
        Self { leased: false, lanes, live: None, cause: Cause::DaemonDown, unanswered: false }
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
    fn give_up(&mut self, now: Mono, timing: Timing, run: RunId) -> bool {
        let owned = self.owns(run);
        let lane = self.lane(run.lane);
        if lane.socket.proved() != Some(run) || !guard!(Witness) {
            return false;
        }
        lane.end(now, timing, End::Convicted);
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
                let timing = self.timing;
                if self.streams.get_mut(&stream).is_some_and(|s| s.give_up(now, timing, run)) {
                    self.outbox.push_back(Effect::Renew { stream, run });
                }
                self.decide(now, stream);
            }
            Event::Answers { stream, epoch, fail } => {
                let asked =
                    self.streams.get_mut(&stream).filter(|s| s.live.is_some_and(|l| l.epoch == epoch));
                if let Some(s) = asked {
                    s.unanswered = fail;
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
                lane.end(now, timing, End::Died);
                let until = now + lane.settle_ms(timing);
                lane.socket = Socket::Settling { run, since: now, until };
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
            Socket::Settling { run, .. } | Socket::Proved { run, .. } | Socket::Asked { run, .. } => {
                Some(run)
            }
        };
        if ended.zip(run).is_some_and(|(current, run)| current != run) {
            return;
        }
        state.end(now, timing, End::Died);
        // What was not collected before is not missed because a socket does not come.
        let begins = s.live.is_none() && !matches!(s.cause, Cause::FirstStart | Cause::DaemonDown);
        if begins || ended.is_some_and(|run| s.owns(run)) {
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
        let timing = self.timing;
        let Some(s) = self.streams.get_mut(&stream) else { return };
        // What was missed stays missed, however late the answer comes.
        if missed && s.give_up(now, timing, run) {
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
        let unanswered = s.unanswered;
        for lane in &mut s.lanes {
            match lane.socket {
                Socket::Settling { run, since, until }
                    if settled_at(timing, unanswered, since, until) <= now =>
                {
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
            None => (stream.spec().fallback, None),
        };
        if has == Some(wanted) {
            return;
        }
        let (source, run) = wanted;
        s.live = Some(Grant { epoch: self.mint.mint(), source, run, cause: s.cause });
        s.unanswered = false;
        // The fallback leaves holes of its own; a socket that takes over from it met no outage.
        s.cause = match source {
            SourceId::Rest | SourceId::Tracker => Cause::Handover,
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
            Socket::Settling { since, until, .. } => {
                Some(settled_at(self.timing, s.unanswered, since, until))
            }
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
