//! The selector alone, deeper: two streams, two lanes, runs that come, die, fall silent and are convicted, in any order.
//!
//! What is modelled is what the sources have told the selector; what is checked is whom it gives the streams to.

use std::fmt;

use hl_core::ledger::Cause;
use hl_core::selector::{Effect, Event, Mono, Places, Selector, Timing};
use hl_core::symbol::CoinError;
use hl_core::{Coin, Epoch, Lane, RunId, SourceId, StreamKey, Token};
use stateright::{Model, Property};

use crate::models::Reach;
use crate::rule::{Held, Rule};

const TIMING: Timing = Timing {
    settle_ms: 2,
    longest_settle_ms: 5,
    longest_convicted_ms: 7,
    stable_ms: 4,
    start_grace_ms: 3,
    probe_limit_ms: 3,
};
/// After so many deadlines in a row nothing is waited for any more.
const DEADLINES: usize = 6;

/// Two streams and the bounds.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    streams: Vec<(StreamKey, Places)>,
    events: u8,
}

impl Setup {
    pub(crate) fn new(reach: Reach) -> Result<Self, CoinError> {
        let trades = |name| Coin::new(name).map(StreamKey::Trades);
        Ok(Self {
            streams: vec![(trades("BTC")?, Places::Two), (trades("ETH")?, Places::One)],
            events: match reach {
                Reach::Short => 5,
                Reach::Full => 9,
                Reach::Deep => 12,
            },
        })
    }
}

/// What the sources know of one lane.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
struct Run {
    /// The run that is up, since when, and whether a witness has convicted it.
    up: Option<(RunId, Mono)>,
    convicted: bool,
    /// Whether the lane ever failed, or came up.
    decided: bool,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Streams {
    now: Mono,
    events: u8,
    selector: Selector,
    runs: Vec<[Run; 2]>,
    next_run: u64,
    /// By stream: the last grant that was handed out.
    owners: Vec<Option<(Epoch, SourceId, Option<RunId>)>>,
    probed: Vec<Option<RunId>>,
    /// Runs that the selector wants anew.
    renewed: Vec<RunId>,
    leased: Vec<bool>,
    /// Whether the requests of REST fail.
    unanswered: Vec<bool>,
    newest: Epoch,
    broken: Option<Rule>,
}

/// A step. The number is the stream.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Act {
    Leased(usize),
    Up(usize, Lane),
    Down(usize, Lane),
    Silent(usize, Lane),
    Probed(usize, bool),
    Missed(usize, Lane),
    /// REST, which owns it, gets no answers, or gets them again.
    Answers(usize, bool),
    Deadline,
    /// Time passes, and nobody looks.
    Later,
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Leased(s) => write!(f, "stream {s}: leased"),
            Self::Up(s, lane) => write!(f, "stream {s}: a run is up on the {lane:?} lane"),
            Self::Down(s, lane) => write!(f, "stream {s}: the {lane:?} lane is down"),
            Self::Silent(s, lane) => write!(f, "stream {s}: the {lane:?} lane is silent"),
            Self::Probed(s, missed) => write!(f, "stream {s}: probed, missed something: {missed}"),
            Self::Missed(s, lane) => write!(f, "stream {s}: the {lane:?} lane missed something"),
            Self::Answers(s, fail) => write!(f, "stream {s}: requests fail: {fail}"),
            Self::Deadline => write!(f, "a deadline falls"),
            Self::Later => write!(f, "time passes"),
        }
    }
}

impl Streams {
    fn new(setup: &Setup) -> Self {
        let streams = setup.streams.len();
        Self {
            now: 0,
            events: setup.events,
            selector: Selector::new(Token(1), TIMING),
            runs: vec![[Run::default(); 2]; streams],
            next_run: 0,
            owners: vec![None; streams],
            probed: vec![None; streams],
            renewed: Vec::new(),
            leased: vec![false; streams],
            unanswered: vec![false; streams],
            newest: Epoch::default(),
            broken: None,
        }
    }

    fn step(&mut self, setup: &Setup, act: Act) -> Held {
        let name = |s: usize| setup.streams[s].0;
        let mut may_move = None;
        let event = match act {
            Act::Leased(s) => {
                self.leased[s] = true;
                Event::Leased { stream: name(s), places: setup.streams[s].1, is_new: false }
            }
            Act::Up(s, lane) => {
                self.next_run += 1;
                let run = RunId { lane, number: self.next_run };
                // A renewal: the run before it ended with it.
                may_move = self.runs[s][lane.index()].up.map(|(run, _)| run);
                self.runs[s][lane.index()] =
                    Run { up: Some((run, self.now)), convicted: false, decided: true };
                Event::Up { stream: name(s), run }
            }
            Act::Down(s, lane) => {
                let run = self.runs[s][lane.index()].up.take().map(|(run, _)| run);
                self.runs[s][lane.index()].decided = true;
                may_move = run;
                Event::Down { stream: name(s), lane, run, cause: Cause::Outage }
            }
            Act::Silent(s, lane) => {
                let Some((run, _)) = self.runs[s][lane.index()].up else { return Ok(()) };
                // A standby that is silent is given up; the owner is not.
                if self.owners[s].is_none_or(|(.., owner)| owner != Some(run)) {
                    may_move = Some(run);
                }
                Event::Silent { stream: name(s), run }
            }
            Act::Probed(s, missed) => {
                let Some(run) = self.probed[s].take() else { return Ok(()) };
                may_move = Some(run).filter(|_| missed);
                self.convict(s, run, missed);
                Event::Probed { stream: name(s), run, missed }
            }
            Act::Missed(s, lane) => {
                let Some((run, _)) = self.runs[s][lane.index()].up else { return Ok(()) };
                may_move = Some(run);
                self.convict(s, run, true);
                Event::Missed { stream: name(s), run }
            }
            Act::Answers(s, fail) => {
                let Some((epoch, ..)) = self.owners[s] else { return Ok(()) };
                self.unanswered[s] = fail;
                Event::Answers { stream: name(s), epoch, fail }
            }
            Act::Deadline => {
                self.now = self.selector.next_deadline().map_or(self.now, |at| at.max(self.now));
                Event::Tick
            }
            Act::Later => {
                self.now += 1;
                return Ok(());
            }
        };
        self.report(setup, event, may_move)?;
        self.owned(setup)?;
        self.calm(setup)
    }

    fn convict(&mut self, s: usize, run: RunId, missed: bool) {
        let lane = &mut self.runs[s][run.lane.index()];
        lane.convicted |= missed && lane.up.is_some_and(|(up, _)| up == run);
    }

    /// Reports the event and looks at what the selector decides. `may_move`: the run that the event gives a reason against.
    fn report(&mut self, setup: &Setup, event: Event, may_move: Option<RunId>) -> Held {
        self.selector.step(self.now, event);
        while let Some(effect) = self.selector.next_effect() {
            let index = |stream| setup.streams.iter().position(|(s, _)| *s == stream);
            match effect {
                Effect::Handover { stream, grant } => {
                    let (Some(s), Some(grant)) = (index(stream), grant) else { continue };
                    if grant.epoch <= self.newest {
                        return Err(Rule::Epochs);
                    }
                    self.newest = grant.epoch;
                    self.unanswered[s] = false;
                    let before = self.owners[s].replace((grant.epoch, grant.source, grant.run));
                    match grant.run {
                        Some(run) => {
                            let up = self.runs[s][run.lane.index()].up;
                            let settled = up
                                .is_some_and(|(up, since)| up == run && since + TIMING.settle_ms <= self.now);
                            if !settled {
                                return Err(Rule::Proof);
                            }
                        }
                        None if grant.source == SourceId::Ws => return Err(Rule::Proof),
                        None => {}
                    }
                    if let Some((_, SourceId::Ws, Some(owner))) = before
                        && may_move != Some(owner)
                    {
                        return Err(Rule::Calm);
                    }
                }
                Effect::Probe { stream, run } => {
                    if let Some(s) = index(stream) {
                        self.probed[s] = Some(run);
                    }
                }
                Effect::Renew { run, .. } => self.renewed.push(run),
                Effect::Calm { .. } | Effect::Release { .. } => {}
            }
        }
        Ok(())
    }

    /// Whoever owns a stream may: the run is up, and no witness spoke against it. Nobody owns it only while a socket is
    /// awaited.
    fn owned(&self, setup: &Setup) -> Held {
        for (s, owner) in self.owners.iter().enumerate().filter(|(s, _)| self.leased[*s]) {
            match owner {
                Some((_, SourceId::Ws, Some(run))) => {
                    let lane = self.runs[s][run.lane.index()];
                    if lane.up.map(|(up, _)| up) != Some(*run) {
                        return Err(Rule::Proof);
                    }
                    if lane.convicted {
                        return Err(Rule::Owner);
                    }
                }
                Some(_) => {}
                None => {
                    let lanes = Lane::ALL.into_iter().filter(|lane| setup.streams[s].1.has(*lane));
                    let lanes = lanes.map(|lane| self.runs[s][lane.index()]);
                    let all_down = lanes.clone().all(|lane| lane.decided && lane.up.is_none());
                    if all_down {
                        return Err(Rule::Owner);
                    }
                }
            }
        }
        Ok(())
    }

    /// Once nothing happens but deadlines: everybody leased has an owner, a settled socket where one is up, and the deadlines
    /// end.
    fn calm(&self, setup: &Setup) -> Held {
        let mut calm = self.clone();
        for _ in 0..DEADLINES {
            if let Some(at) = calm.selector.next_deadline() {
                calm.now = at.max(calm.now);
                calm.report(setup, Event::Tick, None)?;
            }
        }
        if calm.selector.next_deadline().is_some() {
            return Err(Rule::Settled);
        }
        for (s, owner) in calm.owners.iter().enumerate().filter(|(s, _)| calm.leased[*s]) {
            let up = |run: &Run| run.up.is_some() && !run.convicted;
            let healthy = Lane::ALL.into_iter().any(|lane| up(&calm.runs[s][lane.index()]));
            match owner {
                None => return Err(Rule::Owner),
                // A silent standby was told to renew, and has not come back yet.
                Some((_, SourceId::Rest, _)) if healthy && calm.given_up(s) => {}
                Some((_, SourceId::Rest, _)) if healthy => return Err(Rule::Owner),
                Some(_) => {}
            }
        }
        calm.owned(setup)
    }

    /// Whether the selector waits for a renewal on every lane that is up.
    fn given_up(&self, s: usize) -> bool {
        let waits = |run: &Run| run.up.is_none_or(|(run, _)| self.renewed.contains(&run));
        self.runs[s].iter().all(|run| waits(run) || run.convicted)
    }
}

fn holds<const RULE: usize>(_: &Setup, streams: &Streams) -> bool {
    streams.broken != Some(Rule::ALL[RULE])
}

impl Model for Setup {
    type State = Streams;
    type Action = Act;

    fn init_states(&self) -> Vec<Streams> {
        vec![Streams::new(self)]
    }

    fn actions(&self, state: &Streams, acts: &mut Vec<Act>) {
        if state.broken.is_some() || state.events == 0 {
            return;
        }
        if state.selector.next_deadline().is_some() {
            acts.push(Act::Deadline);
        }
        acts.push(Act::Later);
        for (s, (_, places)) in self.streams.iter().enumerate() {
            if !state.leased[s] {
                acts.push(Act::Leased(s));
                continue;
            }
            if state.owners[s].is_some_and(|(_, source, _)| source == SourceId::Rest) {
                acts.push(Act::Answers(s, !state.unanswered[s]));
            }
            if state.probed[s].is_some() {
                acts.extend([Act::Probed(s, false), Act::Probed(s, true)]);
            }
            for lane in Lane::ALL.into_iter().filter(|lane| places.has(*lane)) {
                acts.extend([Act::Up(s, lane), Act::Down(s, lane)]);
                let Some((run, _)) = state.runs[s][lane.index()].up else { continue };
                acts.push(Act::Silent(s, lane));
                // Only what the owner brings is compared with the bars.
                if state.owners[s].is_some_and(|(.., owner)| owner == Some(run)) {
                    acts.push(Act::Missed(s, lane));
                }
            }
        }
    }

    fn next_state(&self, state: &Streams, act: Act) -> Option<Streams> {
        let mut next = state.clone();
        next.events -= 1;
        next.broken = next.step(self, act).err();
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(Rule::Epochs.words(), holds::<1>),
            Property::always(Rule::Proof.words(), holds::<3>),
            Property::always(Rule::Calm.words(), holds::<4>),
            Property::always(Rule::Owner.words(), holds::<13>),
            Property::always(Rule::Settled.words(), holds::<14>),
            Property::sometimes("a standby owns a stream", |_, state: &Streams| {
                state.owners.iter().flatten().any(|(.., run)| run.is_some_and(|run| run.lane == Lane::Second))
            }),
        ]
    }
}
