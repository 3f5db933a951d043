//! What has to come about once faults stop: from any state, a bounded number of deadlines later, every stream has an
//! owner, what was queued is stored, and every gap is closed. Once with sockets, once where none can be had.

use hl_core::{Lane, SourceId, StreamKey};

use crate::act::Act;
use crate::process::Process;
use crate::rule::{Held, Rule};
use crate::world::{Setup, World};

/// So often everybody does what is due. The selector waits for three things in a row at most: a probe, a settling, and
/// one more where the first socket was deaf.
const ROUNDS: usize = 10;

/// Follows the world into calm. `told` hears of every step.
pub(crate) fn follow(setup: &Setup, world: &World, told: &mut dyn FnMut(Act)) -> Held {
    for sockets in [true, false] {
        Calm { setup, world: world.clone(), sockets, told }.run()?;
    }
    Ok(())
}

struct Calm<'a> {
    setup: &'a Setup,
    world: World,
    /// Whether subscriptions can be had.
    sockets: bool,
    told: &'a mut dyn FnMut(Act),
}

impl Calm<'_> {
    fn run(&mut self) -> Held {
        if self.world.hosts.iter().all(|host| host.process.is_none()) {
            self.act(Act::Start(0))?;
        }
        let processes = 0..self.world.hosts.len();
        if !self.sockets {
            for p in processes.clone() {
                for lane in self.setup.lanes() {
                    self.when(p, |_, _| true, Act::Die(p, lane))?;
                }
            }
        }
        for _ in 0..ROUNDS {
            if self.world.happened < self.setup.script.happenings.len() {
                self.act(Act::Happen)?;
            }
            for p in processes.clone() {
                self.round(p)?;
            }
        }
        self.check()
    }

    fn act(&mut self, act: Act) -> Held {
        (self.told)(act);
        self.world.step(self.setup, act)
    }

    fn when(&mut self, p: usize, due: impl Fn(&World, &Process) -> bool, act: Act) -> Held {
        match &self.world.hosts[p].process {
            Some(process) if due(&self.world, process) => self.act(act),
            _ => Ok(()),
        }
    }

    fn carry_out(&mut self, p: usize) -> Held {
        while self.world.hosts[p].process.as_ref().is_some_and(Process::has_effect) {
            self.act(Act::CarryOut(p))?;
        }
        Ok(())
    }

    /// Process `p` does all that is due.
    fn round(&mut self, p: usize) -> Held {
        let Setup { script, .. } = self.setup;
        let sockets = self.sockets;
        self.carry_out(p)?;
        let leasable =
            |w: &World, process: &Process| process.may_lease() && w.ledger.is_free(process.token());
        self.when(p, |w, process| process.may_give_back() && w.hosts[p].spool.is_empty(), Act::GiveBack(p))?;
        self.when(p, leasable, Act::Lease(p))?;
        let lanes = self.setup.lanes().filter(|_| sockets);
        for lane in lanes {
            self.when(p, |_, process| process.may_subscribe(lane), Act::Subscribe(p, lane))?;
            self.when(p, |w, process| process.has_unseen(lane, script, w.happened), Act::Deliver(p, lane))?;
            // A session gives a subscription up that never brings anything.
            self.when(p, |_, process| process.is_deaf_from_the_start(lane), Act::Die(p, lane))?;
            self.when(p, |w, process| process.is_deaf(lane, script, w.happened), Act::Silent(p, lane))?;
            if matches!(script.stream, StreamKey::Candle(..)) {
                self.when(p, |_, process| process.socket(lane).is_some_and(|s| !s.deaf), Act::Pong(p, lane))?;
            }
        }
        self.carry_out(p)?;
        self.when(p, |_, process| process.has_probe(), Act::Probed(p))?;
        self.when(p, |_, process| process.has_deadline(), Act::Deadline(p))?;
        self.carry_out(p)?;
        self.when(p, |_, process| process.may_ask(), Act::Ask(p))?;
        while self.world.hosts[p].process.as_ref().is_some_and(|process| process.answers() > 0) {
            self.act(Act::Answered(p, 0))?;
        }
        while let host = &self.world.hosts[p]
            && let Some(process) = &host.process
            && (process.has_pending() || !host.spool.is_empty())
        {
            self.act(Act::Commit(p))?;
        }
        self.when(p, |_, process| process.is_filling(), Act::Filled(p))?;
        self.when(p, |w, process| w.ledger.has_claimable(process.fill_epoch()), Act::Backfill(p))?;
        self.when(p, |_, process| process.is_filling(), Act::Filled(p))
    }

    fn check(&self) -> Held {
        let world = &self.world;
        let lease = world.ledger.lease();
        let processes = world.hosts.iter().filter_map(|host| host.process.as_ref());
        let holder = processes.clone().find(|process| Some(process.token()) == lease);
        let owner = holder.and_then(|process| process.owner().map(|owner| (process, owner)));
        let Some((holder, (source, run))) = owner.filter(|_| holder.is_some_and(Process::is_leased)) else {
            return Err(Rule::Owner);
        };
        let is_right = match source {
            SourceId::Rest | SourceId::Tracker => !self.sockets || !self.setup.places.has(Lane::First),
            SourceId::Ws => run
                .and_then(|run| holder.socket(run.lane).filter(|socket| socket.run == run))
                .is_some_and(|socket| !socket.deaf),
        };
        if !is_right {
            return Err(Rule::Owner);
        }
        let idle = |process: &Process| {
            !process.has_pending() && !process.has_effect() && !process.is_filling() && process.answers() == 0
        };
        let queued = world.hosts.iter().any(|host| host.process.is_some() && !host.spool.is_empty());
        let reached = match self.setup.script.stream {
            // The last bars are not final yet.
            StreamKey::Candle(_, interval) => {
                let now = self.setup.script.now(world.happened);
                world.ledger.edge().is_some_and(|edge| now.since(edge) <= 2 * interval.ms())
            }
            _ => world.ledger.edge() == self.setup.script.newest(world.happened),
        };
        let open = match self.setup.script.stream {
            StreamKey::Candle(_, interval) => {
                let now = self.setup.script.now(world.happened);
                world.ledger.open_gaps().any(|gap| now.since(gap.from) > 2 * interval.ms())
            }
            _ => world.ledger.open_gaps().next().is_some(),
        };
        if queued || open || !reached || !processes.into_iter().all(idle) {
            Err(Rule::Settled)
        } else {
            Ok(())
        }
    }
}
