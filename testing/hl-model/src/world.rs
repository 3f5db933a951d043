//! The exchange, the processes and the store, and every step that they may take.

use hl_core::Lane;
use hl_core::selector::Places;
use stateright::{Model, Property};

use crate::act::Act;
use crate::exchange::{Script, Wrong};
use crate::ledger::Ledger;
use crate::process::{Process, Spool};
use crate::rule::{Held, Rule};

/// How often each thing may happen on one path.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Left {
    /// Faults: deaths, deafness, undecodable frames, double answers, crashes, spooling, lost leases. Together.
    pub(crate) faults: u8,
    /// Silences that a session reports, with or without a reason.
    pub(crate) silences: u8,
    /// Questions to REST.
    pub(crate) asks: u8,
    /// Backfills.
    pub(crate) backfills: u8,
    /// Subscriptions.
    pub(crate) subscribes: u8,
    /// Pongs.
    pub(crate) pongs: u8,
    /// Streams that are to move: subscribed by another, or released.
    pub(crate) moves: u8,
}

/// Which faults there are.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    pub(crate) die: bool,
    pub(crate) deafen: bool,
    pub(crate) garble: bool,
    pub(crate) twice: bool,
    pub(crate) crash: bool,
    pub(crate) spool: bool,
    pub(crate) steal: bool,
    /// How answers may err.
    pub(crate) wrong: &'static [Wrong],
    /// A replay may be old.
    pub(crate) stale: bool,
    /// Frames may change places.
    pub(crate) turned: bool,
}

/// A model: a script, how many processes with how many places on sockets, and the bounds.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) script: Script,
    pub(crate) places: Places,
    pub(crate) processes: usize,
    pub(crate) faults: Faults,
    pub(crate) bounds: Left,
    /// Whether every state is also followed into calm.
    pub(crate) calm: bool,
}

impl Setup {
    /// The lanes that a stream may be subscribed on.
    pub(crate) fn lanes(&self) -> impl Iterator<Item = Lane> + use<> {
        let places = self.places;
        Lane::ALL.into_iter().filter(move |lane| places.has(*lane))
    }
}

/// A process, or the place where one was, and its spool.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Host {
    pub(crate) process: Option<Process>,
    pub(crate) spool: Spool,
}

impl Host {
    /// Whether nothing is left of a lease that the process has lost. Known limit: a session keeps its token, so what it
    /// decided under a lost lease would be taken for news once it had the lease again. A store that supersedes a living
    /// holder has to see to it; SQLite never does, and the model leaves it out.
    pub(crate) fn is_clear(&self) -> bool {
        self.spool.is_empty() && self.process.as_ref().is_none_or(|process| !process.has_effect())
    }
}

/// A state of the model.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct World {
    pub(crate) happened: usize,
    pub(crate) ledger: Ledger,
    pub(crate) hosts: Vec<Host>,
    left: Left,
    /// The rule that broke. Nothing happens after it.
    pub(crate) broken: Option<Rule>,
}

impl World {
    pub(crate) fn new(setup: &Setup) -> Self {
        let mut world = Self {
            happened: 0,
            ledger: Ledger::new(setup.script.stream),
            hosts: vec![Host { process: None, spool: Spool::new() }; setup.processes],
            left: setup.bounds,
            broken: None,
        };
        world.broken = world.apply(setup, Act::Start(0)).err();
        world
    }

    /// Takes a step, and looks whether a rule broke.
    pub(crate) fn step(&mut self, setup: &Setup, act: Act) -> Held {
        self.apply(setup, act)?;
        self.ledger.check(&setup.script, self.happened)?;
        self.one_owner()
    }

    fn one_owner(&self) -> Held {
        let owners = self
            .hosts
            .iter()
            .filter_map(|host| host.process.as_ref())
            .filter(|process| process.owner().is_some() && self.ledger.lease() == Some(process.token()));
        if owners.count() > 1 { Err(Rule::OneOwner) } else { Ok(()) }
    }

    fn apply(&mut self, setup: &Setup, act: Act) -> Held {
        let (script, happened) = (&setup.script, self.happened);
        let (ledger, left) = (&mut self.ledger, &mut self.left);
        let p = match act {
            Act::Happen => {
                self.happened += 1;
                return Ok(());
            }
            Act::Start(p)
            | Act::Lease(p)
            | Act::Steal(p)
            | Act::Warm(p)
            | Act::Release(p)
            | Act::GiveBack(p)
            | Act::Crash(p)
            | Act::CarryOut(p)
            | Act::Deadline(p)
            | Act::Subscribe(p, _)
            | Act::SubscribeStale(p, _)
            | Act::Deliver(p, _)
            | Act::DeliverTurned(p, _)
            | Act::Pong(p, _)
            | Act::Garble(p, _)
            | Act::Die(p, _)
            | Act::Deafen(p, _)
            | Act::Silent(p, _)
            | Act::Probed(p)
            | Act::Ask(p)
            | Act::AskWrong(p, _)
            | Act::Answered(p, _)
            | Act::AnsweredTwice(p, _)
            | Act::Commit(p)
            | Act::Spool(p)
            | Act::Backfill(p)
            | Act::BackfillWrong(p, _)
            | Act::Filled(p) => p,
        };
        let Some(host) = self.hosts.get_mut(p) else { return Ok(()) };
        if act == Act::Start(p) {
            let mut process = Process::start(script, ledger, &mut host.spool)?;
            if ledger.is_free(process.token()) {
                process.lease(ledger, setup.places)?;
            }
            host.process = Some(process);
            return Ok(());
        }
        let Some(process) = host.process.as_mut() else { return Ok(()) };
        if is_fault(act) {
            left.faults = left.faults.saturating_sub(1);
        }
        match act {
            Act::Happen | Act::Start(_) => Ok(()),
            Act::Lease(_) | Act::Steal(_) => process.lease(ledger, setup.places),
            Act::Warm(_) => {
                left.moves = left.moves.saturating_sub(1);
                process.warm(setup.places)
            }
            Act::Release(_) => {
                left.moves = left.moves.saturating_sub(1);
                process.release()
            }
            Act::GiveBack(_) => {
                process.give_back(ledger);
                Ok(())
            }
            Act::Crash(_) => {
                ledger.died(process.token());
                host.process = None;
                Ok(())
            }
            Act::CarryOut(_) => process.carry_out(script),
            Act::Deadline(_) => process.deadline(),
            Act::Subscribe(_, lane) => {
                left.subscribes = left.subscribes.saturating_sub(1);
                process.subscribe(lane, script, happened)
            }
            Act::SubscribeStale(_, lane) => {
                left.subscribes = left.subscribes.saturating_sub(1);
                process.subscribe_stale(lane, script, happened)
            }
            Act::Deliver(_, lane) => process.deliver(lane, script, happened),
            Act::DeliverTurned(_, lane) => process.deliver_turned(lane, script, happened),
            Act::Pong(_, lane) => {
                left.pongs = left.pongs.saturating_sub(1);
                process.pong(lane, script, happened)
            }
            Act::Garble(_, lane) => process.garble(lane, script, happened),
            Act::Die(_, lane) => process.die(lane),
            Act::Deafen(_, lane) => {
                process.deafen(lane);
                Ok(())
            }
            Act::Silent(_, lane) => {
                left.silences = left.silences.saturating_sub(1);
                process.silent(lane)
            }
            Act::Probed(_) => process.probed(script, happened),
            Act::Ask(_) | Act::AskWrong(..) => {
                left.asks = left.asks.saturating_sub(1);
                process.ask(script, happened, wrong(act));
                Ok(())
            }
            Act::Answered(_, nth) => process.answered(nth, false),
            Act::AnsweredTwice(_, nth) => process.answered(nth, true),
            Act::Commit(_) => process.commit(ledger, &mut host.spool),
            Act::Spool(_) => {
                process.spool(&mut host.spool);
                Ok(())
            }
            Act::Backfill(_) | Act::BackfillWrong(..) => {
                left.backfills = left.backfills.saturating_sub(1);
                process.backfill(ledger, script, happened, wrong(act));
                Ok(())
            }
            Act::Filled(_) => process.filled(ledger),
        }
    }

    /// Every step that may be next.
    fn acts(&self, setup: &Setup, out: &mut Vec<Act>) {
        if self.broken.is_some() {
            return;
        }
        if self.happened < setup.script.eventful {
            out.push(Act::Happen);
        }
        for (p, host) in self.hosts.iter().enumerate() {
            match &host.process {
                None => out.push(Act::Start(p)),
                Some(process) => self.acts_of(setup, p, host, process, out),
            }
        }
    }

    fn acts_of(&self, setup: &Setup, p: usize, host: &Host, process: &Process, out: &mut Vec<Act>) {
        let (script, happened, left, faults) = (&setup.script, self.happened, self.left, setup.faults);
        let may_fail = left.faults > 0;
        let mut push = |allowed: bool, act: Act| {
            if allowed {
                out.push(act);
            }
        };
        let is_free = self.ledger.is_free(process.token());
        push(process.has_effect(), Act::CarryOut(p));
        push(process.has_deadline(), Act::Deadline(p));
        let may_lease = process.may_lease() && host.is_clear();
        push(may_lease && is_free, Act::Lease(p));
        push(may_lease && !is_free && may_fail && faults.steal, Act::Steal(p));
        push(left.moves > 0 && process.may_warm() && host.is_clear() && !is_free, Act::Warm(p));
        // What is in the spool must not be overtaken.
        push(left.moves > 0 && process.may_release() && host.spool.is_empty(), Act::Release(p));
        push(process.may_give_back() && host.spool.is_empty(), Act::GiveBack(p));
        push(may_fail && faults.crash, Act::Crash(p));
        for lane in setup.lanes() {
            push(left.subscribes > 0 && process.may_subscribe(lane), Act::Subscribe(p, lane));
            let unseen = process.has_unseen(lane, script, happened);
            let may_subscribe = left.subscribes > 0 && process.may_subscribe(lane);
            push(may_fail && faults.stale && may_subscribe, Act::SubscribeStale(p, lane));
            push(unseen, Act::Deliver(p, lane));
            let several = may_fail && faults.turned && process.has_several_unseen(lane, script, happened);
            push(several, Act::DeliverTurned(p, lane));
            let Some(socket) = process.socket(lane) else { continue };
            push(left.pongs > 0 && !socket.deaf, Act::Pong(p, lane));
            push(may_fail && faults.garble && unseen, Act::Garble(p, lane));
            push(may_fail && faults.die, Act::Die(p, lane));
            push(may_fail && faults.deafen && !socket.deaf, Act::Deafen(p, lane));
            push(left.silences > 0, Act::Silent(p, lane));
        }
        push(process.has_probe(), Act::Probed(p));
        push(left.asks > 0 && process.may_ask(), Act::Ask(p));
        for wrong in faults.wrong {
            push(may_fail && left.asks > 0 && process.may_ask(), Act::AskWrong(p, *wrong));
        }
        for nth in 0..process.answers() {
            push(true, Act::Answered(p, nth));
            push(may_fail && faults.twice, Act::AnsweredTwice(p, nth));
        }
        push(process.has_pending() || !host.spool.is_empty(), Act::Commit(p));
        push(process.has_pending() && may_fail && faults.spool, Act::Spool(p));
        let claimable = || self.ledger.has_claimable(process.fill_epoch());
        let may_fill = left.backfills > 0 && !process.is_filling() && claimable();
        push(may_fill, Act::Backfill(p));
        for wrong in faults.wrong {
            push(may_fail && may_fill, Act::BackfillWrong(p, *wrong));
        }
        push(process.is_filling(), Act::Filled(p));
    }
}

fn is_fault(act: Act) -> bool {
    matches!(
        act,
        Act::Steal(_)
            | Act::Crash(_)
            | Act::Garble(..)
            | Act::Die(..)
            | Act::Deafen(..)
            | Act::AnsweredTwice(..)
            | Act::Spool(_)
            | Act::SubscribeStale(..)
            | Act::DeliverTurned(..)
            | Act::AskWrong(..)
            | Act::BackfillWrong(..)
    )
}

fn wrong(act: Act) -> Option<Wrong> {
    match act {
        Act::AskWrong(_, wrong) | Act::BackfillWrong(_, wrong) => Some(wrong),
        _ => None,
    }
}

/// Whether the rule with this number has not broken.
fn holds<const RULE: usize>(_: &Setup, world: &World) -> bool {
    world.broken != Some(Rule::ALL[RULE])
}

macro_rules! rules {
    ($($number:literal)*) => {
        vec![$(Property::always(Rule::ALL[$number].words(), holds::<$number>),)*]
    };
}

impl Model for Setup {
    type State = World;
    type Action = Act;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(self)]
    }

    fn actions(&self, world: &World, acts: &mut Vec<Act>) {
        world.acts(self, acts);
    }

    fn next_state(&self, world: &World, act: Act) -> Option<World> {
        let mut next = world.clone();
        next.broken = next.step(self, act).err();
        if next.broken.is_none() && self.calm {
            next.broken = crate::calm::follow(self, &next, &mut |_| ()).err();
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = rules!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14);
        // What has to be reached, or the model proves nothing.
        if self.bounds.asks > 0 {
            properties
                .push(Property::sometimes("a gap is filled", |_, world: &World| world.ledger.has_filled()));
        }
        if self.bounds.faults > 0 && self.faults.crash {
            properties.push(Property::sometimes("two leases have covered pieces", |_, world: &World| {
                world.ledger.has_pieces_of_two_tokens()
            }));
        }
        if self.bounds.moves > 0 {
            properties.push(Property::sometimes("a stream moves without a gap", |_, world: &World| {
                world.ledger.has_moved_without_a_gap()
            }));
        }
        if self.faults.steal {
            properties.push(Property::sometimes("a stale batch is turned away", |_, world: &World| {
                world.ledger.turned_away
            }));
        }
        properties
    }
}
