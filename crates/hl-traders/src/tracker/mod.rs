//! What traders hold, followed from public trades: each names both of its sides, so a position that is known once stays known.
//!
//! - An account, which is a trader on one dex, is **unknown** until a state of it was seen: an answer of the exchange that
//!   says everything that it holds. Unknown is not flat.
//! - From then on it is **carried forward** by every trade.
//! - A later state **proves** it. A state bears a time, and may be of a block a little earlier or later; so it is compared with
//!   what the trades made of the account at every moment near that time. Where it equals one of them, nothing was missed.
//! - Where it equals none, or does not say at which moment it was true, the exchange is asked once more. Two states that
//!   differ by exactly the trades between them are believed, whatever was thought before: that is **drift**, and is told.
//!   Where they do not fit each other either, the later one is taken, and stays in doubt until the next one.
//! - Where trades of a coin are missing, every account is **suspect** in that coin, those that held nothing of it too, until
//!   a state from behind the gap was seen.
//!
//! Pure: times come in, events go out. What does not live here: asking for states and when ([`Tracker::wanted`] says which are
//! wanted), and storing anything.

mod account;
mod plan;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use hl_core::record::{Address, Trade};
use hl_core::{Coin, Decimal, Dex, TimeMs};

use self::account::Account;
pub use self::plan::{Reason, Wanted};

/// A state may be of a block that is so much earlier or later than the time that it bears, ms.
pub const AROUND_MS: i64 = 2_000;
/// The trades of a time are all here so much later, ms: before that no state that may be of that time is judged.
pub const SETTLE_MS: i64 = 3_000;
/// Trades are kept for so long, ms: a state that is older when it comes proves nothing.
pub const KEPT_MS: i64 = 120_000;

/// Signed sizes by coin, coins; what is not there is flat.
pub type Sizes = BTreeMap<Coin, Decimal>;

/// What is known of a position.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Standing {
    /// No state of the account was seen yet.
    Unknown,
    /// Trades may be missing since the last state that proved it, or that state fitted nothing.
    Suspect,
    /// Nothing is known to be missing.
    Exact,
}

/// What was found out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// A position is another one, from `time` on.
    Changed {
        /// Whose.
        user: Address,
        /// In which coin.
        coin: Coin,
        /// From when on, as far as that is known, ms.
        time: TimeMs,
        /// Signed size until then; none where that was unknown.
        before: Option<Decimal>,
        /// Signed size from then on.
        after: Decimal,
        /// How it is known.
        by: By,
    },
    /// What was carried forward was wrong, and is set right.
    Drift {
        /// Whose.
        user: Address,
        /// In which coin.
        coin: Coin,
        /// Of which time the state is that showed it, ms.
        time: TimeMs,
        /// The signed size that the trades had made.
        derived: Decimal,
        /// The signed size that the state says, carried on to the same moment.
        found: Decimal,
    },
    /// A state proved an account.
    Proven {
        /// Whose.
        user: Address,
        /// On which dex.
        dex: Dex,
        /// Everything up to here is in it, ms.
        to: TimeMs,
    },
}

/// How a change of a position is known.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum By {
    /// By a public trade.
    Trade,
    /// By a state of the account.
    State,
}

/// A state of an account, as the exchange said it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct State {
    /// The time that it bears, ms.
    pub time: TimeMs,
    /// Everything that it holds on the dex.
    pub sizes: Sizes,
}

/// The accounts that are followed. See the [module](self).
#[derive(Clone, Debug, Default)]
pub struct Tracker {
    accounts: BTreeMap<Address, BTreeMap<Dex, Account>>,
    /// Where the last gap in the trades of a coin ended.
    gaps: BTreeMap<Coin, TimeMs>,
    /// Accounts with states that are not judged yet.
    pending: BTreeSet<(TimeMs, Address, Dex)>,
}

impl Tracker {
    /// Follows a trader on these dexes. `rank`: who goes first, 1 before 2. `now`: its trades are heard from here on.
    pub fn track(&mut self, user: Address, rank: u32, dexes: &[Dex], now: TimeMs) {
        let accounts = self.accounts.entry(user).or_default();
        for dex in dexes {
            accounts.entry(*dex).or_insert_with(|| Account::new(now)).rank = rank;
        }
    }

    /// Follows a trader no longer.
    pub fn untrack(&mut self, user: Address) {
        self.accounts.remove(&user);
        self.pending.retain(|(_, of, _)| *of != user);
    }

    /// Those that are followed.
    pub fn users(&self) -> impl Iterator<Item = Address> + '_ {
        self.accounts.keys().copied()
    }

    /// Takes trades of one coin, in the order in which the exchange sent them.
    pub fn trades(&mut self, trades: &[Trade], out: &mut Vec<Event>) {
        for trade in trades {
            // Index 0 of the users of a trade is the buyer, whatever its side (PROTOCOL section 13).
            for (user, size) in [(trade.buyer, trade.sz), (trade.seller, -trade.sz)] {
                if trade.buyer == trade.seller {
                    continue;
                }
                let account = self.accounts.get_mut(&user).and_then(|of| of.get_mut(&Dex::of(trade.coin)));
                if let Some(account) = account {
                    let change = account.trade(trade.coin, trade.time, size);
                    out.extend(change.map(|(before, after)| Event::Changed {
                        user,
                        coin: trade.coin,
                        time: trade.time,
                        before: Some(before),
                        after,
                        by: By::Trade,
                    }));
                }
            }
        }
    }

    /// Trades of a coin may be missing up to here: a gap in its stream, a delisting, a burst of liquidations.
    pub fn gap(&mut self, coin: Coin, to: TimeMs) {
        let gap = self.gaps.entry(coin).or_insert(to);
        *gap = to.max(*gap);
    }

    /// A state of an account has come. It is judged by [`Tracker::judge`] once the trades of its time are here.
    pub fn state(&mut self, user: Address, dex: Dex, state: State) {
        if let Some(account) = self.accounts.get_mut(&user).and_then(|of| of.get_mut(&dex)) {
            self.pending.insert((state.time, user, dex));
            account.answered(state);
        }
    }

    /// Judges the states whose time is long enough ago.
    pub fn judge(&mut self, now: TimeMs, out: &mut Vec<Event>) {
        while let Some((time, user, dex)) =
            self.pending.first().copied().filter(|(time, ..)| *time + AROUND_MS + SETTLE_MS <= now)
        {
            self.pending.pop_first();
            let Some(account) = self.accounts.get_mut(&user).and_then(|of| of.get_mut(&dex)) else {
                continue;
            };
            let gaps = self.gaps.iter().filter(|(coin, _)| dex.has(**coin)).map(|(coin, to)| (*coin, *to));
            account.judge(time, now, &gaps.collect(), &mut |found| {
                out.push(match found {
                    account::Found::Changed { coin, before, after } => {
                        Event::Changed { user, coin, time, before, after, by: By::State }
                    }
                    account::Found::Drift { coin, derived, found } => {
                        Event::Drift { user, coin, time, derived, found }
                    }
                    account::Found::Proven { to } => Event::Proven { user, dex, to },
                });
            });
        }
    }

    /// What an account holds, and how well that is known; none of one that is not followed. Where it is unknown nothing is held
    /// as far as is known, which is not to say that it is flat.
    #[must_use]
    pub fn held(&self, user: Address, dex: Dex) -> Option<(&Sizes, Standing)> {
        let account = self.accounts.get(&user)?.get(&dex)?;
        let gaps = self.gaps.iter().filter(|(coin, _)| dex.has(**coin));
        Some((account.sizes(), account.standing(gaps.map(|(_, to)| *to).max())))
    }

    /// How well one position is known; none of an account that is not followed.
    #[must_use]
    pub fn standing(&self, user: Address, coin: Coin) -> Option<Standing> {
        let account = self.accounts.get(&user)?.get(&Dex::of(coin))?;
        Some(account.standing(self.gaps.get(&coin).copied()))
    }
}
