//! What is known of everyone who is followed, at one moment.

use std::collections::BTreeMap;

use hl_core::record::Address;
use hl_core::{Coin, Dex, TimeMs};

use super::{Sizes, Standing, Tracker};

/// How well the trades of one coin are heard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CoinHearing {
    /// A state that was true before this moment says nothing of what is held now; none where no state does, since the coin is not
    /// heard.
    pub missing_to: Option<TimeMs>,
    /// Heard up to here, ms.
    pub to: TimeMs,
}

/// What is known of one account.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Followed {
    /// Whose.
    pub user: Address,
    /// How well the states of it fit its trades, whichever trades are missing: those of a coin make it no worse in the others.
    pub standing: Standing,
    /// Everything up to here is in `sizes`, by a state; none while it is unknown.
    pub proven: Option<TimeMs>,
    /// What it holds; what is not there is flat, unless it is unknown.
    pub sizes: Sizes,
}

/// What is known of all accounts of a dex.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Following {
    /// When, ms.
    pub at: TimeMs,
    /// How well each coin is heard.
    pub hearing: BTreeMap<Coin, CoinHearing>,
    /// Those who are followed, by address.
    pub traders: Vec<Followed>,
}

impl Tracker {
    /// What is known at `now` of everyone who is followed on a dex.
    #[must_use]
    pub fn following(&self, dex: Dex, now: TimeMs) -> Following {
        let hearing = self.ears_of(dex).map(|(coin, ear)| {
            // Of the last block there may be more trades to come.
            (coin, CoinHearing { missing_to: ear.missing_to(), to: ear.to().min(now + 1) - 1 })
        });
        let traders = self.accounts.iter().filter_map(|(user, of)| {
            let account = of.get(&dex)?;
            Some(Followed {
                user: *user,
                standing: account.standing(None),
                proven: account.proven(),
                sizes: account.sizes().clone(),
            })
        });
        Following { at: now, hearing: hearing.collect(), traders: traders.collect() }
    }
}
