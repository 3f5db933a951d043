//! Which accounts want a state, and who goes first: the budget never serves all of them at once.

use std::collections::BTreeMap;

use hl_core::record::Address;
use hl_core::{Dex, TimeMs};

use super::account::Account;
use super::{AROUND_MS, Standing, Tracker};

/// A trade is proved so much later, ms: those that follow it within that time are proved with it.
pub(super) const DEBOUNCE_MS: i64 = 10_000;
/// What was asked for and has not come is asked for again after this, ms.
const PATIENCE_MS: i64 = 30_000;

/// Where trades of a dex were not heard for so long, its accounts are asked for once they are again, ms.
const DEAF_MS: i64 = 60_000;

/// Why a state is wanted; the first goes first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Reason {
    /// The last one did not say enough.
    Again,
    /// None was seen yet.
    Unknown,
    /// Trades may be missing.
    Suspect,
    /// It has traded since the last one.
    Traded,
    /// Its turn in the round over everyone.
    Round,
}

/// An account that wants a state.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Wanted {
    /// Why.
    pub reason: Reason,
    /// Of two with one reason the smaller one goes first: the rank of the trader, in the round the time of the last state.
    order: (i64, u32),
    /// Whose.
    pub user: Address,
    /// On which dex.
    pub dex: Dex,
}

impl Tracker {
    /// The first `most` accounts that want a state, the most urgent first. In the round everyone is wanted whose last state is
    /// older than `round_ms`. What was asked for is left out for half a minute.
    #[must_use]
    pub fn wanted(&self, now: TimeMs, round_ms: i64, most: usize) -> Vec<Wanted> {
        let mut wanted = Vec::new();
        let mut gaps = BTreeMap::<Dex, (Option<TimeMs>, bool)>::new();
        for (user, accounts) in &self.accounts {
            for (dex, account) in accounts {
                // While trades do not come, what a state says holds until the next one that is missed.
                let (gap, is_heard) = *gaps.entry(*dex).or_insert_with(|| {
                    let gap = self.missing_to(*dex);
                    let is_heard = gap.is_none_or(|gap| gap <= now - AROUND_MS);
                    (gap, is_heard && now - DEAF_MS <= self.hearing(*dex).to)
                });
                if !is_heard {
                    continue;
                }
                if let Some((reason, order)) = reason(account, gap, now, round_ms) {
                    wanted.push(Wanted { reason, order, user: *user, dex: *dex });
                }
            }
        }
        if wanted.len() > most {
            wanted.select_nth_unstable(most);
            wanted.truncate(most);
        }
        wanted.sort_unstable();
        wanted
    }

    /// The state of an account that was asked for does not come: it is wanted again at once.
    pub fn put_off(&mut self, user: Address, dex: Dex) {
        if let Some(account) = self.accounts.get_mut(&user).and_then(|of| of.get_mut(&dex)) {
            account.put_off();
        }
    }

    /// A state of an account was asked for.
    pub fn asked(&mut self, user: Address, dex: Dex, now: TimeMs) {
        if let Some(account) = self.accounts.get_mut(&user).and_then(|of| of.get_mut(&dex)) {
            account.ask(now);
        }
    }
}

fn reason(
    account: &Account,
    gap: Option<TimeMs>,
    now: TimeMs,
    round_ms: i64,
) -> Option<(Reason, (i64, u32))> {
    if account.is_answered() || !account.is_heard(now) {
        return None;
    }
    if account.asked().is_some_and(|asked| now < asked + PATIENCE_MS) {
        return None;
    }
    let rank = account.rank;
    let standing = account.standing(gap);
    Some(match (standing, account.traded(), account.proven()) {
        _ if account.wants_another() => (Reason::Again, (0, rank)),
        (Standing::Unknown, ..) => (Reason::Unknown, (0, rank)),
        (Standing::Suspect, ..) => (Reason::Suspect, (0, rank)),
        (_, Some(traded), _) if traded + DEBOUNCE_MS <= now => (Reason::Traded, (0, rank)),
        (_, _, Some(proven)) if proven + round_ms <= now => (Reason::Round, (proven.0, rank)),
        _ => return None,
    })
}
