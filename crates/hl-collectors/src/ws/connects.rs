//! When a socket may be opened: all sockets of the process ask here first. Pure.
//!
//! The exchange takes 30 new connections a minute from an address, and 2,000 messages (PROTOCOL section 4.1). While no
//! socket lives, one attempt every few seconds finds out when the exchange is back, whatever the number of sockets that
//! wait; as soon as one lives, the others follow.

use std::collections::{BTreeSet, VecDeque};

use hl_core::limits;
use hl_core::selector::Mono;

const MINUTE_MS: i64 = 60_000;
/// Attempts a minute.
const ATTEMPTS: usize = limits::CONNECTS - 2;
/// Sockets a minute that come to life: each may subscribe a hundred streams.
const LIVELY: usize = 15;
/// Of these, those of one slot: one that flaps leaves room to the others.
const LIVELY_OF_ONE: usize = 10;
/// Attempts a minute that leave room for a trial: sockets that carry streams come first.
const ATTEMPTS_BEFORE_TRIAL: usize = 14;
/// Attempts a minute that a trial may make whatever sockets with streams need. They are kept for it while it waits.
const OF_TRIALS: usize = 2;
/// A trial waits no longer than this for dead sockets, of which new ones may come all the time, ms.
const TRIAL_WAITS_MS: i64 = 10_000;
/// A dead socket may still count at the exchange for so long, ms: where all places are in use, a trial waits for it.
const DEAD_COUNTS_MS: i64 = 5_000;
/// While no socket lives, the time between two attempts, ms.
pub(super) const SCOUT_MS: i64 = 3_000;

/// What was opened of late, and what lives.
#[derive(Debug, Default)]
pub(super) struct Connects {
    attempts: VecDeque<Mono>,
    /// Those of them that were for trials.
    trials: VecDeque<Mono>,
    /// Since when a trial waits for dead sockets.
    trial_waits: Option<Mono>,
    /// Until when a trial waits for its turn.
    turn_of_trial: Option<Mono>,
    lively: VecDeque<(Mono, u32)>,
    living: BTreeSet<u32>,
    /// The last attempt, where one came to nothing since a socket lived.
    in_vain: Option<Mono>,
    /// When a socket was last lost.
    loss: Option<Mono>,
}

impl Connects {
    /// Whether the slot may open a socket now. If so, it is counted.
    ///
    /// # Errors
    /// With the time before which it need not ask again.
    pub(super) fn ask(&mut self, now: Mono, slot: u32) -> Result<(), Mono> {
        self.prune(now);
        let minute_later = |at: &Mono| *at + MINUTE_MS;
        let of_slot = || self.lively.iter().filter(|(_, of)| *of == slot).map(|(at, _)| at);
        // A trial that was given up does not come for its turn.
        let trial_waits = self.turn_of_trial.is_some_and(|until| now <= until + SCOUT_MS);
        let kept = if trial_waits { OF_TRIALS.saturating_sub(self.trials.len()) } else { 0 };
        let full = [
            self.attempts.front().filter(|_| self.attempts.len() + kept >= ATTEMPTS),
            self.lively.front().map(|(at, _)| at).filter(|_| self.lively.len() >= LIVELY),
            of_slot().next().filter(|_| of_slot().count() >= LIVELY_OF_ONE),
        ];
        if let Some(until) = full.into_iter().flatten().map(minute_later).max() {
            return Err(until);
        }
        if let Some(last) = self.in_vain
            && self.living.is_empty()
        {
            if now < last + SCOUT_MS {
                return Err(last + SCOUT_MS);
            }
            self.in_vain = Some(now);
        }
        self.attempts.push_back(now);
        Ok(())
    }

    /// Whether a trial may open a socket now. If so, it is counted. `full`: every slot has streams, and only the exchange's
    /// last connection is left.
    ///
    /// # Errors
    /// With the time before which it need not ask again.
    pub(super) fn ask_for_trial(&mut self, now: Mono, full: bool) -> Result<(), Mono> {
        self.prune(now);
        if let Some(until) = self.loss.map(|at| at + DEAD_COUNTS_MS).filter(|until| full && now < *until) {
            let since = *self.trial_waits.get_or_insert(now);
            if now < since + TRIAL_WAITS_MS {
                return Err(until.min(since + TRIAL_WAITS_MS));
            }
        }
        let room = |all: &VecDeque<Mono>, limit| {
            let surplus = all.len().checked_sub(limit);
            surplus.and_then(|i| all.get(i)).map(|at| at + MINUTE_MS)
        };
        let of_all = room(&self.attempts, ATTEMPTS_BEFORE_TRIAL);
        let own = of_all.zip(room(&self.trials, OF_TRIALS)).map(|(all, own)| all.min(own));
        self.turn_of_trial = own.max(room(&self.attempts, ATTEMPTS));
        if let Some(until) = self.turn_of_trial {
            return Err(until);
        }
        self.trial_waits = None;
        self.attempts.push_back(now);
        self.trials.push_back(now);
        Ok(())
    }

    /// The slot's socket came to life. Whether it is the first after an outage of all: the others need not wait.
    pub(super) fn lives(&mut self, now: Mono, slot: u32) -> bool {
        self.prune(now);
        self.lively.push_back((now, slot));
        let is_first = self.living.is_empty();
        self.living.insert(slot);
        self.in_vain = None;
        is_first
    }

    /// The trial's socket is gone.
    pub(super) fn lost_trial(&mut self, now: Mono) {
        self.loss = Some(now);
    }

    /// The slot's socket is gone, or could not be opened.
    pub(super) fn lost(&mut self, now: Mono, slot: u32) {
        self.loss = Some(now);
        let lived = self.living.remove(&slot);
        if !lived && self.living.is_empty() && self.in_vain.is_none() {
            self.in_vain = Some(self.attempts.back().copied().unwrap_or(now));
        }
    }

    fn prune(&mut self, now: Mono) {
        while self.attempts.front().is_some_and(|at| *at + MINUTE_MS <= now) {
            self.attempts.pop_front();
        }
        while self.trials.front().is_some_and(|at| *at + MINUTE_MS <= now) {
            self.trials.pop_front();
        }
        while self.lively.front().is_some_and(|(at, _)| *at + MINUTE_MS <= now) {
            self.lively.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nine sockets that ask as often as they may, for `ms`; all attempts fail. Returns when each was made.
    fn outage(connects: &mut Connects, from: Mono, ms: i64) -> Vec<Mono> {
        let mut made = Vec::new();
        let mut asks = [from; 9];
        for now in from..from + ms {
            for (slot, at) in (0..).zip(&mut asks) {
                if *at > now {
                    continue;
                }
                match connects.ask(now, slot) {
                    Ok(()) => {
                        made.push(now);
                        connects.lost(now, slot);
                        *at = now + 500;
                    }
                    Err(until) => *at = until,
                }
            }
        }
        made
    }

    #[test]
    fn while_nothing_lives_one_of_all_sockets_tries_every_few_seconds_and_then_all_come() {
        let mut connects = Connects::default();
        let made = outage(&mut connects, 0, 600_000);
        assert!(made.windows(2).all(|pair| pair[1] - pair[0] == SCOUT_MS), "{made:?}");
        assert_eq!(connects.ask(600_000, 0), Ok(()));
        assert!(connects.lives(600_000, 0), "it is the first");
        for slot in 1..8 {
            assert_eq!(connects.ask(600_100, slot), Ok(()), "{slot}");
            assert!(!connects.lives(600_200, slot));
        }
    }

    #[test]
    fn no_minute_has_more_than_the_exchange_grants() {
        let mut connects = Connects::default();
        let mut made = Vec::new();
        for now in 0..300_000 {
            let slot = u32::try_from(now % 9).unwrap();
            if connects.ask(now, slot).is_ok() {
                made.push(now);
                if now % 3 == 0 {
                    connects.lives(now, slot);
                }
                connects.lost(now, slot);
            }
            if now % 50 == 0 && connects.ask_for_trial(now, false).is_ok() {
                made.push(now);
            }
        }
        for (i, from) in made.iter().enumerate() {
            let minute = made[i..].iter().take_while(|at| **at < from + MINUTE_MS).count();
            assert!(minute < 30, "{minute} after {from}");
        }
    }

    #[test]
    fn a_socket_that_flaps_leaves_room_to_the_others() {
        let mut connects = Connects::default();
        connects.lives(0, 1);
        let flaps = (0..40_000).step_by(500).filter(|now| {
            let granted = connects.ask(*now, 0).is_ok();
            if granted {
                connects.lives(*now, 0);
                connects.lost(*now, 0);
            }
            granted
        });
        assert_eq!(flaps.count(), LIVELY_OF_ONE);
        connects.lost(40_000, 1);
        assert_eq!(connects.ask(40_000, 1), Ok(()));
    }

    #[test]
    fn a_trial_waits_where_sockets_with_streams_need_the_room() {
        let mut connects = Connects::default();
        connects.lives(0, 8);
        for at in 0..14 {
            connects.ask(at, 0).unwrap();
        }
        for at in [20, 21] {
            assert_eq!(connects.ask_for_trial(at, false), Ok(()), "a few are its own");
        }
        assert_eq!(connects.ask_for_trial(22, false), Err(MINUTE_MS + 2), "{connects:?}");
        assert_eq!(connects.ask(22, 0), Ok(()), "which go on");
        assert_eq!(connects.ask_for_trial(2 * MINUTE_MS, false), Ok(()));
        connects.lost(3 * MINUTE_MS, 0);
        let later = 3 * MINUTE_MS + DEAD_COUNTS_MS;
        assert_eq!(
            connects.ask_for_trial(3 * MINUTE_MS, true),
            Err(later),
            "the dead socket may still count"
        );
        assert_eq!(connects.ask_for_trial(later, true), Ok(()));
    }

    #[test]
    fn a_socket_that_never_opens_does_not_starve_trials() {
        let mut connects = Connects::default();
        connects.lives(0, 8);
        for full in [false, true] {
            let mut trials = Vec::new();
            for now in 0..300_000 {
                if now % 4_000 == 0 && connects.ask(now, 0).is_ok() {
                    connects.lost(now, 0);
                }
                if now % 100 == 0 && connects.ask_for_trial(now, full).is_ok() {
                    trials.push(now);
                }
            }
            let longest = trials.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
            assert!(longest <= MINUTE_MS + TRIAL_WAITS_MS, "full: {full}, {trials:?}");
            connects = Connects::default();
            connects.lives(0, 8);
        }
    }

    #[test]
    fn sockets_with_streams_leave_the_attempts_of_a_trial_that_waits() {
        let mut connects = Connects::default();
        connects.lives(0, 8);
        let mut trials = Vec::new();
        for now in 0..300_000 {
            // More than one minute has room for.
            if now % 500 == 0 && connects.ask(now, 0).is_ok() {
                connects.lost(now, 0);
            }
            if now > 30_000 && now % 100 == 50 && connects.ask_for_trial(now, false).is_ok() {
                trials.push(now);
            }
        }
        assert!(trials.len() >= 4 * OF_TRIALS, "{trials:?}");
        assert!(
            (0..100).filter(|ms| connects.ask(900_000 + ms, 0).is_ok()).count() == ATTEMPTS,
            "and no more"
        );
    }
}
