//! What was known at a moment: rows in the order of time go in, and a view of them comes out.

use std::collections::{BTreeMap, BTreeSet};

use hl_core::record::Address;
use hl_core::{Coin, Decimal, TimeMs};

use crate::tracker::Standing;

/// A position as far as it is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Position {
    /// Nothing is known of it, which is not to say that it is flat.
    Unknown,
    /// It was this, and trades may be missing since.
    Suspect(Held),
    /// It is this, and nothing is known to be missing.
    Exact(Held),
}

/// What is held of a coin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Held {
    /// Signed size, coins: above zero is long, below short, zero is flat.
    pub size: Decimal,
    /// Everything that happened up to here is in it, ms. Not later than it was known.
    pub as_of: TimeMs,
}

impl Position {
    /// A position by how well it is known; of one that is unknown, what is held says nothing.
    #[must_use]
    pub fn new(standing: Standing, held: Held) -> Self {
        match standing {
            Standing::Unknown => Self::Unknown,
            Standing::Suspect => Self::Suspect(held),
            Standing::Exact => Self::Exact(held),
        }
    }

    /// How well it is known.
    #[must_use]
    pub fn standing(self) -> Standing {
        match self {
            Self::Unknown => Standing::Unknown,
            Self::Suspect(_) => Standing::Suspect,
            Self::Exact(_) => Standing::Exact,
        }
    }

    /// What is held; none where that is unknown.
    #[must_use]
    pub fn held(self) -> Option<Held> {
        match self {
            Self::Unknown => None,
            Self::Suspect(held) | Self::Exact(held) => Some(held),
        }
    }
}

/// Something that became known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Row {
    /// When it was known, ms. Where that was later than it happened, as with a state that was asked for, it is the later of
    /// both: a row that bears the earlier one would let a backtest look ahead.
    pub time: TimeMs,
    /// What.
    pub what: What,
}

/// What became known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    /// A trader is followed from here on, or has another score.
    Followed {
        /// Who.
        user: Address,
        /// The score, 0 to 100; none where there is none.
        score: Option<Decimal>,
    },
    /// A trader is followed no longer.
    Unfollowed {
        /// Who.
        user: Address,
    },
    /// A position of a trader, anew or once more. Of one who is not followed it is left out.
    Position {
        /// Whose.
        user: Address,
        /// In which coin.
        coin: Coin,
        /// What it is. Flat has to be said: what nothing was said of is unknown.
        position: Position,
    },
    /// The positions of a trader in all coins at once. What was said of single ones before counts no longer: a state of an account
    /// says what is held, and what it does not say is flat. Of one who is not followed it is left out.
    Account {
        /// Whose.
        user: Address,
        /// What each of them is, unless it is said otherwise from here on.
        position: Position,
    },
    /// Everything that a trader did up to a moment is in what was said, so that the positions that are exact are of that moment.
    /// Of one who is not followed it is left out.
    Heard {
        /// Of whom.
        user: Address,
        /// Up to when, ms. Not later than it was known.
        to: TimeMs,
    },
    /// A price of a coin.
    Price {
        /// Of which coin.
        coin: Coin,
        /// Mark or mid price, USD.
        px: Decimal,
    },
}

/// A row that cannot be taken, or a moment of which there is no view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// What was known by then can no longer be told apart.
    #[error("a row or a view of {time} comes after a row of {last}: rows go in the order of time")]
    OutOfOrder {
        /// The time of the row or view, ms.
        time: TimeMs,
        /// The time of the last row, ms.
        last: TimeMs,
    },
    /// A position of later than it was known.
    #[error("a position known at {time} is as of {as_of}, which is later")]
    AsOfLater {
        /// When it was known, ms.
        time: TimeMs,
        /// What it is of, ms.
        as_of: TimeMs,
    },
}

/// A price, and of when.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Price {
    /// USD.
    pub px: Decimal,
    /// When it was known, ms.
    pub time: TimeMs,
}

/// A trader who is followed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trader {
    /// Who.
    pub user: Address,
    /// The score, 0 to 100; none where there is none.
    pub score: Option<Decimal>,
    positions: BTreeMap<Coin, Position>,
    /// The position in every other coin.
    others: Position,
}

impl Trader {
    /// The position in a coin; unknown where nothing was said of it.
    #[must_use]
    pub fn position(&self, coin: Coin) -> Position {
        self.positions.get(&coin).copied().unwrap_or(self.others)
    }
}

/// What was known so far: the last that was said of everything.
#[derive(Clone, Debug, Default)]
pub struct Known {
    traders: BTreeMap<Address, Trader>,
    prices: BTreeMap<Coin, Price>,
    last: Option<TimeMs>,
}

impl Known {
    /// Takes a row, which is not of earlier than the last one.
    ///
    /// # Errors
    /// When it is, or a position is of later than the row.
    pub fn take(&mut self, Row { time, what }: Row) -> Result<(), RowError> {
        self.in_order(time)?;
        match what {
            What::Followed { user, score } => {
                let new = || Trader { user, score, positions: BTreeMap::new(), others: Position::Unknown };
                self.traders.entry(user).or_insert_with(new).score = score;
            }
            What::Unfollowed { user } => _ = self.traders.remove(&user),
            What::Position { user, coin, position } => {
                position.held().map_or(Ok(()), |held| not_later(held.as_of, time))?;
                if let Some(trader) = self.traders.get_mut(&user) {
                    trader.positions.insert(coin, position);
                }
            }
            What::Account { user, position } => {
                position.held().map_or(Ok(()), |held| not_later(held.as_of, time))?;
                if let Some(trader) = self.traders.get_mut(&user) {
                    (trader.positions, trader.others) = (BTreeMap::new(), position);
                }
            }
            What::Heard { user, to } => {
                not_later(to, time)?;
                if let Some(trader) = self.traders.get_mut(&user) {
                    for position in trader.positions.values_mut().chain([&mut trader.others]) {
                        if let Position::Exact(held) = position {
                            held.as_of = held.as_of.max(to);
                        }
                    }
                }
            }
            What::Price { coin, px } => _ = self.prices.insert(coin, Price { px, time }),
        }
        self.last = Some(time);
        Ok(())
    }

    /// What may be seen at `now`: everything that was taken.
    ///
    /// # Errors
    /// When a row of later than `now` was taken.
    pub fn view(&self, now: TimeMs) -> Result<View<'_>, RowError> {
        self.in_order(now)?;
        Ok(View { known: self, now })
    }

    fn in_order(&self, time: TimeMs) -> Result<(), RowError> {
        match self.last.filter(|last| time < *last) {
            Some(last) => Err(RowError::OutOfOrder { time, last }),
            None => Ok(()),
        }
    }
}

fn not_later(as_of: TimeMs, time: TimeMs) -> Result<(), RowError> {
    if as_of > time { Err(RowError::AsOfLater { time, as_of }) } else { Ok(()) }
}

/// What may be seen at a moment, and nothing of later. It is made by [`Known::view`] alone.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    known: &'a Known,
    now: TimeMs,
}

impl<'a> View<'a> {
    /// The moment, ms.
    #[must_use]
    pub fn now(&self) -> TimeMs {
        self.now
    }

    /// Those that are followed, by address.
    pub fn traders(&self) -> impl Iterator<Item = &'a Trader> + use<'a> {
        self.known.traders.values()
    }

    /// One of those that are followed.
    #[must_use]
    pub fn trader(&self, user: Address) -> Option<&'a Trader> {
        self.known.traders.get(&user)
    }

    /// The last price of a coin.
    #[must_use]
    pub fn price(&self, coin: Coin) -> Option<Price> {
        self.known.prices.get(&coin).copied()
    }

    /// The coins of which a price or a position was said, by name.
    #[must_use]
    pub fn coins(&self) -> BTreeSet<Coin> {
        let held = self.traders().flat_map(|trader| trader.positions.keys());
        self.known.prices.keys().chain(held).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{coin, decimal, user};
    use super::*;

    fn exact(size: i64, as_of: i64) -> Position {
        Position::Exact(Held { size: size.into(), as_of: TimeMs(as_of) })
    }

    fn row(time: i64, what: What) -> Row {
        Row { time: TimeMs(time), what }
    }

    #[test]
    fn a_view_shows_the_last_that_was_said() {
        let (user, coin) = (user(1), coin("BTC"));
        let mut known = Known::default();
        let position = |position| What::Position { user, coin, position };
        for (time, what) in [
            (1, position(exact(9, 1))),
            (2, What::Followed { user, score: None }),
            (3, position(exact(1, 1))),
            (3, position(exact(2, 3))),
            (4, What::Price { coin, px: decimal("7") }),
            (4, What::Price { coin: super::super::fixture::coin("ETH"), px: decimal("8") }),
            (5, What::Followed { user, score: Some(decimal("70")) }),
        ] {
            known.take(row(time, what)).unwrap();
            if time == 2 {
                let view = known.view(TimeMs(2)).unwrap();
                let position = view.trader(user).unwrap().position(coin);
                assert_eq!(position, Position::Unknown, "what was said before nobody followed is left out");
            }
        }
        let view = known.view(TimeMs(9)).unwrap();
        let trader = view.trader(user).unwrap();
        assert_eq!((trader.score, trader.position(coin)), (Some(decimal("70")), exact(2, 3)));
        assert_eq!(view.price(coin), Some(Price { px: decimal("7"), time: TimeMs(4) }));
        assert_eq!((view.now(), view.traders().count(), view.coins().len()), (TimeMs(9), 1, 2));
        known.take(row(9, What::Unfollowed { user })).unwrap();
        let view = known.view(TimeMs(9)).unwrap();
        assert_eq!((view.trader(user), view.traders().count()), (None, 0));
    }

    #[test]
    fn a_state_says_all_positions_and_what_is_heard_later_keeps_the_exact_ones_new() {
        let (user, btc, eth) = (user(1), coin("BTC"), coin("ETH"));
        let mut known = Known::default();
        let suspect = Position::Suspect(Held { size: 5.into(), as_of: TimeMs(3) });
        for (time, what) in [
            (1, What::Followed { user, score: None }),
            (2, What::Position { user, coin: eth, position: exact(9, 1) }),
            (3, What::Account { user, position: exact(0, 3) }),
            (3, What::Position { user, coin: btc, position: suspect }),
        ] {
            known.take(row(time, what)).unwrap();
        }
        let of = |known: &Known, coin| {
            known.view(TimeMs(9)).unwrap().trader(user).map(|trader| trader.position(coin))
        };
        assert_eq!((of(&known, eth), of(&known, btc)), (Some(exact(0, 3)), Some(suspect)));
        known.take(row(7, What::Heard { user, to: TimeMs(6) })).unwrap();
        known.take(row(8, What::Heard { user, to: TimeMs(4) })).unwrap();
        assert_eq!((of(&known, eth), of(&known, btc)), (Some(exact(0, 6)), Some(suspect)));
        known.take(row(8, What::Account { user, position: Position::Unknown })).unwrap();
        assert_eq!(of(&known, btc), Some(Position::Unknown));
        for what in [What::Heard { user, to: TimeMs(9) }, What::Account { user, position: exact(0, 9) }] {
            let later = RowError::AsOfLater { time: TimeMs(8), as_of: TimeMs(9) };
            assert_eq!(known.take(row(8, what)), Err(later));
        }
    }

    #[test]
    fn neither_a_row_nor_a_view_goes_back_in_time() {
        let (user, coin) = (user(1), coin("BTC"));
        let mut known = Known::default();
        let price = |time| row(time, What::Price { coin, px: decimal("7") });
        assert!(
            known.view(TimeMs(0)).is_ok() && known.take(price(10)).is_ok() && known.take(price(10)).is_ok()
        );
        let back = RowError::OutOfOrder { time: TimeMs(9), last: TimeMs(10) };
        assert_eq!(known.take(price(9)), Err(back));
        assert_eq!(known.view(TimeMs(9)).err(), Some(back));
        assert!(known.view(TimeMs(10)).is_ok());
        let later = row(10, What::Position { user, coin, position: exact(1, 11) });
        assert_eq!(known.take(later), Err(RowError::AsOfLater { time: TimeMs(10), as_of: TimeMs(11) }));
    }

    #[test]
    fn a_position_is_as_well_known_as_it_is_said() {
        let held = Held { size: 3.into(), as_of: TimeMs(1) };
        for (standing, expected) in
            [(Standing::Unknown, None), (Standing::Suspect, Some(held)), (Standing::Exact, Some(held))]
        {
            let position = Position::new(standing, held);
            assert_eq!((position.standing(), position.held()), (standing, expected));
        }
    }
}
