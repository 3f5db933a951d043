use std::collections::{BTreeMap, VecDeque};

use super::{Effect, EpochMint, Event, Mono, Timing};
use crate::ledger::Cause;
use crate::timeline::Grant;
use crate::{Epoch, RunId, SourceId, StreamKey, Token};

/// The WebSocket side of a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Socket {
    /// It has no place in the plan, or the kind is not pushed: REST only.
    Absent,
    /// Being connected or subscribed for the first time since `since`; nothing has failed yet.
    Starting { since: Mono },
    /// No run, after a failure.
    Down,
    /// A run is up and proves itself until `until`; its data waits in the ring.
    Settling { run: RunId, until: Mono },
    /// The run owns the stream since `since`.
    Owning { run: RunId, since: Mono },
    /// The owning run is silent beyond its rhythm; a witness has been asked for at `asked`.
    Asked { run: RunId, since: Mono, asked: Mono },
}

#[derive(Clone, Debug)]
struct Stream {
    socket: Socket,
    live: Option<Grant>,
    /// Why the next claim's first piece may be incomplete.
    cause: Cause,
    /// Runs in a row that died before they were stable: each doubles the settling.
    flaps: u32,
}

/// A stream as the selector sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StreamView {
    /// The stream.
    pub stream: StreamKey,
    /// The live claim.
    pub live: Option<Grant>,
    /// Whether a run is up and settling.
    pub settling: bool,
}

/// The machine. See the [module](super).
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
            Event::Leased { stream, slot } => {
                let socket =
                    if slot && stream.spec().ws { Socket::Starting { since: now } } else { Socket::Absent };
                self.streams.entry(stream).or_insert(Stream {
                    socket,
                    live: None,
                    cause: Cause::DaemonDown,
                    flaps: 0,
                });
            }
            Event::Superseded { stream } => {
                if self.streams.remove(&stream).is_some_and(|s| s.live.is_some()) {
                    self.outbox.push_back(Effect::Handover { stream, grant: None });
                }
            }
            Event::Up { stream, run } => {
                let timing = self.timing;
                self.with(stream, |s, _| {
                    // One death is bad luck; from the second on it is flapping.
                    let patience = timing.settle_ms.saturating_mul(1 << s.flaps.saturating_sub(1).min(16));
                    match s.socket {
                        Socket::Absent => {}
                        // An older run must not displace a newer one.
                        Socket::Settling { run: r, .. }
                        | Socket::Owning { run: r, .. }
                        | Socket::Asked { run: r, .. }
                            if r >= run => {}
                        _ => {
                            s.socket =
                                Socket::Settling { run, until: now + patience.min(timing.longest_settle_ms) };
                        }
                    }
                });
            }
            Event::Down { stream, run, cause } => {
                let timing = self.timing;
                self.with(stream, |s, _| {
                    let ended = match s.socket {
                        Socket::Absent => return,
                        Socket::Starting { .. } | Socket::Down => None,
                        Socket::Settling { run, .. } => Some((run, 0)),
                        Socket::Owning { run, since } | Socket::Asked { run, since, .. } => {
                            Some((run, now - since))
                        }
                    };
                    match (ended, run) {
                        (Some((current, _)), Some(run)) if current != run => return,
                        (Some((_, owned_ms)), _) if owned_ms >= timing.stable_ms => s.flaps = 0,
                        (Some(_), _) => s.flaps = s.flaps.saturating_add(1),
                        (None, _) => {}
                    }
                    s.socket = Socket::Down;
                    if s.live.is_none_or(|live| live.source == SourceId::Ws) {
                        s.cause = cause;
                    }
                });
            }
            Event::Silent { stream, run } => {
                self.with(stream, |s, outbox| {
                    if let Socket::Owning { run: owner, since } = s.socket
                        && owner == run
                    {
                        s.socket = Socket::Asked { run, since, asked: now };
                        outbox.push_back(Effect::Probe { stream, run });
                    }
                });
            }
            Event::Probed { stream, run, missed } => {
                self.with(stream, |s, outbox| {
                    let Socket::Asked { run: asked, since, .. } = s.socket else { return };
                    if asked != run {
                        return;
                    }
                    if missed {
                        s.socket = Socket::Down;
                        s.cause = Cause::Silence;
                        outbox.push_back(Effect::Renew { stream, run });
                    } else {
                        s.socket = Socket::Owning { run, since };
                        outbox.push_back(Effect::Calm { stream, run });
                    }
                });
            }
            Event::Missed { stream, run } => {
                self.with(stream, |s, outbox| match s.socket {
                    Socket::Owning { run: owner, .. } | Socket::Asked { run: owner, .. } if owner == run => {
                        s.socket = Socket::Down;
                        s.cause = Cause::Silence;
                        outbox.push_back(Effect::Renew { stream, run });
                    }
                    _ => {}
                });
            }
            Event::Tick => {}
        }
        match event {
            Event::Tick => {
                let streams: Vec<_> = self.streams.keys().copied().collect();
                for stream in streams {
                    self.decide(now, stream);
                }
            }
            Event::Leased { stream, .. }
            | Event::Superseded { stream }
            | Event::Up { stream, .. }
            | Event::Down { stream, .. }
            | Event::Silent { stream, .. }
            | Event::Probed { stream, .. }
            | Event::Missed { stream, .. } => self.decide(now, stream),
        }
    }

    fn with(&mut self, stream: StreamKey, change: impl FnOnce(&mut Stream, &mut VecDeque<Effect>)) {
        if let Some(s) = self.streams.get_mut(&stream) {
            change(s, &mut self.outbox);
        }
    }

    /// Gives the stream to the most preferred source that has proved itself.
    fn decide(&mut self, now: Mono, stream: StreamKey) {
        let timing = self.timing;
        let Some(s) = self.streams.get_mut(&stream) else { return };
        match s.socket {
            Socket::Settling { run, until } if until <= now => s.socket = Socket::Owning { run, since: now },
            Socket::Asked { run, since, asked } if asked + timing.probe_limit_ms <= now => {
                s.socket = Socket::Owning { run, since };
            }
            _ => {}
        }
        let wanted = match s.socket {
            Socket::Owning { run, .. } | Socket::Asked { run, .. } => Some((SourceId::Ws, Some(run))),
            // What the socket is about to bring is not fetched twice at the start: the ring holds it.
            Socket::Starting { since } if now < since + timing.start_grace_ms => return,
            Socket::Settling { .. } if s.live.is_none() => return,
            Socket::Absent | Socket::Starting { .. } | Socket::Down | Socket::Settling { .. } => {
                Some((SourceId::Rest, None))
            }
        };
        let has = s.live.map(|live| (live.source, live.run));
        if has == wanted {
            return;
        }
        s.live = wanted.map(|(source, run)| Grant { epoch: self.mint.mint(), source, run, cause: s.cause });
        // REST's samples leave holes of their own; a socket that takes over from it met no outage.
        s.cause = match wanted {
            Some((SourceId::Rest, _)) => Cause::Handover,
            Some((SourceId::Ws, _)) | None => Cause::Outage,
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
        let deadline = |s: &Stream| match s.socket {
            Socket::Starting { since } if s.live.is_none() => Some(since + self.timing.start_grace_ms),
            Socket::Settling { until, .. } => Some(until),
            Socket::Asked { asked, .. } => Some(asked + self.timing.probe_limit_ms),
            Socket::Absent | Socket::Starting { .. } | Socket::Down | Socket::Owning { .. } => None,
        };
        self.streams.values().filter_map(deadline).min()
    }

    /// Every stream, by name.
    #[must_use]
    pub fn view(&self) -> Vec<StreamView> {
        self.streams
            .iter()
            .map(|(stream, s)| StreamView {
                stream: *stream,
                live: s.live,
                settling: matches!(s.socket, Socket::Settling { .. }),
            })
            .collect()
    }

    /// Live claims handed out or withdrawn since the start.
    #[must_use]
    pub fn handovers(&self) -> u64 {
        self.handovers
    }
}
