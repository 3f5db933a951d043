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
mod ear;
mod followed;
mod plan;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use hl_core::ledger::Span;
use hl_core::record::{Address, Trade};
use hl_core::{Coin, Decimal, Dex, TimeMs};

use self::account::{Account, Found, Gaps};
use self::ear::Ear;
pub use self::followed::{CoinHearing, Followed, Following};
pub use self::plan::{Reason, Wanted};

/// A state may be of a block that is so much earlier or later than the time that it bears, ms.
pub const AROUND_MS: i64 = 2_000;
/// The trades of a time are all here so much later, ms: before that no state that may be of that time is judged.
pub const SETTLE_MS: i64 = 3_000;
/// Trades are kept for so long, ms: a state that is older when it comes proves nothing.
pub const KEPT_MS: i64 = 120_000;

/// Trades are known again for so long, ms …
const SEEN_MS: i64 = 300_000;
/// … and so many of a coin.
const MOST_SEEN: usize = 50_000;

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
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A trade made a position another one.
    Changed {
        /// Whose.
        user: Address,
        /// In which coin.
        coin: Coin,
        /// The block of the trade, ms.
        time: TimeMs,
        /// Signed size until then.
        before: Decimal,
        /// Signed size from then on.
        after: Decimal,
        /// Price of the trade, USD.
        px: Decimal,
    },
    /// An account is known anew, from this time on: what it did before is not known, or was not what was thought. Changes that
    /// trades have made since follow.
    Anchored {
        /// Whose.
        user: Address,
        /// On which dex.
        dex: Dex,
        /// From here on, ms.
        time: TimeMs,
        /// Everything that it held then.
        held: Vec<Held>,
        /// What was told of it from here on may lack changes, ms: trades were missing. None where none were, or it was not known.
        lost_from: Option<TimeMs>,
    },
    /// What was carried forward was wrong, and is set right.
    Drift {
        /// Whose.
        user: Address,
        /// In which coin.
        coin: Coin,
        /// Since when it may have been wrong, ms: the last proof.
        since: TimeMs,
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

/// What is held in one coin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Held {
    /// The coin.
    pub coin: Coin,
    /// Signed size, coins; never 0.
    pub size: Decimal,
    /// Mean price of entry, USD, where the state says it of this size.
    pub entry_px: Option<Decimal>,
}

/// How well the coins of a dex are heard together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hearing {
    /// A state that was true before this moment says nothing of what is held now; none where no coin is listened to.
    pub missing_to: Option<TimeMs>,
    /// All coins are heard up to here, ms: what happened later may not be known yet.
    pub to: TimeMs,
}

/// A state of an account, as the exchange said it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct State {
    /// The time that it bears, ms.
    pub time: TimeMs,
    /// Everything that it holds on the dex.
    pub sizes: Sizes,
    /// Mean prices of entry, USD, as far as it says them.
    pub entry_px: BTreeMap<Coin, Decimal>,
}

/// The accounts that are followed. See the [module](self).
#[derive(Clone, Debug, Default)]
pub struct Tracker {
    accounts: BTreeMap<Address, BTreeMap<Dex, Account>>,
    /// How well each coin is heard.
    ears: BTreeMap<Coin, Ear>,
    /// The trades of the last minutes, by coin: replays and answers bring them again.
    seen: BTreeMap<Coin, Seen>,
    /// Accounts with states that are not judged yet.
    pending: BTreeSet<(TimeMs, Address, Dex)>,
}

/// The trades of a coin that were taken in lately.
#[derive(Clone, Debug, Default)]
struct Seen {
    keys: BTreeSet<(TimeMs, u64)>,
    /// Of earlier times it is not known any more.
    from: TimeMs,
}

impl Seen {
    /// Whether a trade comes for the first time; none where that is not known any more.
    fn take(&mut self, trade: &Trade) -> Option<bool> {
        if trade.time < self.from {
            return None;
        }
        let first = self.keys.insert((trade.time, trade.tid));
        while let (Some(oldest), Some(newest)) = (self.keys.first().copied(), self.keys.last())
            && (oldest.0 + SEEN_MS < newest.0 || self.keys.len() > MOST_SEEN)
        {
            self.keys.pop_first();
            self.from = oldest.0 + 1;
        }
        Some(first)
    }
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

    /// Nothing of what was known holds any more: the exchange's clock was set back, and trades bear times that others bore. Every
    /// account is unknown, and every coin is to be heard anew.
    pub fn forget(&mut self, now: TimeMs) {
        for account in self.accounts.values_mut().flat_map(BTreeMap::values_mut) {
            account.forget(now);
        }
        self.pending.clear();
        self.seen.clear();
        self.ears.values_mut().for_each(|ear| *ear = Ear::deaf());
    }

    /// Those that are followed.
    pub fn users(&self) -> impl Iterator<Item = Address> + '_ {
        self.accounts.keys().copied()
    }

    /// Takes trades of one coin, in the order in which the exchange sent them.
    pub fn trades(&mut self, trades: &[Trade], out: &mut Vec<Event>) {
        for trade in trades.iter().filter(|trade| trade.coin.is_perpetual()) {
            let first = self.seen.entry(trade.coin).or_default().take(trade);
            if first == Some(false) {
                continue;
            }
            // Index 0 of the users of a trade is the buyer, whatever its side (PROTOCOL section 13).
            for (user, size) in [(trade.buyer, trade.sz), (trade.seller, -trade.sz)] {
                if trade.buyer == trade.seller {
                    continue;
                }
                let account = self.accounts.get_mut(&user).and_then(|of| of.get_mut(&Dex::of(trade.coin)));
                if let Some(account) = account {
                    if first.is_none() {
                        account.may_lack(trade.time);
                        continue;
                    }
                    let change = account.trade(trade.coin, trade.time, size, trade.px);
                    out.extend(change.map(|(before, after)| Event::Changed {
                        user,
                        coin: trade.coin,
                        time: trade.time,
                        before,
                        after,
                        px: trade.px,
                    }));
                }
            }
        }
    }

    /// The trades of a coin are to be heard: until they are, no account of its dex is exact.
    pub fn listen(&mut self, coin: Coin) {
        let ear = self.ears.entry(coin).or_insert_with(Ear::deaf);
        // It is listed again.
        if ear.to() == TimeMs::MAX {
            *ear = Ear::deaf();
        }
    }

    /// The trades of a coin are to be heard no longer: it is listed no more. What was held in it is not, or in a way that no trade
    /// says; so every account is suspect from then on, until a later state.
    pub fn delisted(&mut self, coin: Coin, at: TimeMs) {
        let ear = self.ears.entry(coin).or_insert_with(Ear::open);
        ear.heard(Span { from: at, to: TimeMs::MAX });
        ear.hole(Span::new(at, at), true);
    }

    /// The coins that are to be heard, without those that are listed no more.
    pub fn coins(&self) -> impl Iterator<Item = Coin> + '_ {
        self.ears.iter().filter(|(_, ear)| ear.to() != TimeMs::MAX).map(|(coin, _)| *coin)
    }

    /// All trades of a coin in this piece are here: its subscription says so, and nothing of what lies before it.
    pub fn heard(&mut self, coin: Coin, piece: Span) {
        self.ears.entry(coin).or_insert_with(Ear::deaf).heard(piece);
    }

    /// All trades of a coin in this piece are here, and it joins what was heard before and after it.
    pub fn whole(&mut self, coin: Coin, piece: Span) {
        self.ears.entry(coin).or_insert_with(Ear::deaf).whole(piece);
    }

    /// Trades of a coin may be missing in this piece: a gap in its stream, a burst of liquidations.
    pub fn gap(&mut self, coin: Coin, piece: Span) {
        self.ears.entry(coin).or_insert_with(Ear::open).hole(piece, true);
    }

    /// Nothing joins the trades of a coin before this piece with those behind it: some may be missing, unless its subscription has
    /// heard all of it.
    pub fn not_joined(&mut self, coin: Coin, piece: Span) {
        self.ears.entry(coin).or_insert_with(Ear::open).hole(piece, false);
    }

    fn ears_of(&self, dex: Dex) -> impl Iterator<Item = (Coin, &Ear)> {
        self.ears.iter().filter(move |(coin, _)| dex.has(**coin)).map(|(coin, ear)| (*coin, ear))
    }

    /// Before this moment a state of an account says nothing of what is held now; none where no coin is listened to.
    fn missing_to(&self, dex: Dex) -> Option<TimeMs> {
        self.ears_of(dex).map(|(_, ear)| ear.missing_to().unwrap_or(TimeMs::MAX)).max()
    }

    /// How well the coins of a dex are heard together.
    #[must_use]
    pub fn hearing(&self, dex: Dex) -> Hearing {
        let to = self.ears_of(dex).map(|(_, ear)| ear.to()).min();
        // Of the last block there may be more trades to come.
        Hearing { missing_to: self.missing_to(dex), to: to.map_or(TimeMs::MAX, |to| to - 1) }
    }

    /// In which piece of time every change of an account is known: from its anchor to where all coins are heard. None of one that
    /// is not exact. `hearing`: that of the dex.
    #[must_use]
    pub fn known(&self, user: Address, dex: Dex, hearing: Hearing) -> Option<Span> {
        let account = self.accounts.get(&user)?.get(&dex)?;
        let is_exact = account.standing(hearing.missing_to) == Standing::Exact;
        let (from, to) = (account.since(), hearing.to);
        (is_exact && from <= to).then_some(Span { from, to })
    }

    /// How many accounts of a dex are known how well.
    #[must_use]
    pub fn standings(&self, dex: Dex) -> BTreeMap<Standing, usize> {
        let missing_to = self.missing_to(dex);
        let mut counts = BTreeMap::new();
        for account in self.accounts.values().filter_map(|of| of.get(&dex)) {
            *counts.entry(account.standing(missing_to)).or_default() += 1;
        }
        counts
    }

    /// What an account held at a moment of the last two minutes: its trades since then taken back.
    #[must_use]
    pub fn held_at(&self, user: Address, dex: Dex, time: TimeMs) -> Option<Sizes> {
        Some(self.accounts.get(&user)?.get(&dex)?.sizes_at(time))
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
        let mut gaps = BTreeMap::<Dex, Gaps>::new();
        while let Some((time, user, dex)) =
            self.pending.first().copied().filter(|(time, ..)| *time + AROUND_MS + SETTLE_MS <= now)
        {
            self.pending.pop_first();
            let Some(account) = self.accounts.get_mut(&user).and_then(|of| of.get_mut(&dex)) else {
                continue;
            };
            let gaps = gaps.entry(dex).or_insert_with(|| {
                let ears = self.ears.iter().filter(|(coin, _)| dex.has(**coin));
                ears.map(|(coin, ear)| (*coin, ear.missing_to().unwrap_or(TimeMs::MAX))).collect()
            });
            let was = account.proven();
            account.judge(time, now, gaps, &mut |found| {
                out.push(match found {
                    Found::Changed { coin, time, before, after, px } => {
                        Event::Changed { user, coin, time, before, after, px }
                    }
                    Found::Anchored { time, held } => {
                        let ears = self.ears.iter().filter(|(coin, _)| dex.has(**coin));
                        let lost_from =
                            was.and_then(|was| ears.filter_map(|(_, ear)| ear.missing_from(was)).min());
                        Event::Anchored { user, dex, time, held, lost_from }
                    }
                    Found::Drift { coin, since, derived, found } => {
                        Event::Drift { user, coin, since, time, derived, found }
                    }
                    Found::Proven { to } => Event::Proven { user, dex, to },
                });
            });
        }
    }

    /// What an account holds, and how well that is known; none of one that is not followed. Where it is unknown nothing is held
    /// as far as is known, which is not to say that it is flat.
    #[must_use]
    pub fn held(&self, user: Address, dex: Dex) -> Option<(&Sizes, Standing)> {
        let account = self.accounts.get(&user)?.get(&dex)?;
        Some((account.sizes(), account.standing(self.missing_to(dex))))
    }

    /// How well one position is known; none of an account that is not followed.
    #[must_use]
    pub fn standing(&self, user: Address, coin: Coin) -> Option<Standing> {
        let account = self.accounts.get(&user)?.get(&Dex::of(coin))?;
        let missing_to = self.ears.get(&coin).map(|ear| ear.missing_to().unwrap_or(TimeMs::MAX));
        Some(account.standing(missing_to))
    }
}
