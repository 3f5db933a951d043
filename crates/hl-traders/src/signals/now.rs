//! What is known now, out of what the tracker follows.

use std::collections::BTreeMap;

use hl_core::record::Address;
use hl_core::{Coin, Decimal, TimeMs};

use super::{Held, Known, Position, Row, RowError, What};
use crate::tracker::{CoinHearing, Followed, Following, Standing};

/// A coin whose trades were heard up to so long ago, ms, is heard as well as the others.
const BEHIND_MS: i64 = 30_000;

impl Known {
    /// What is known at the moment of `following` of everyone who has a place in `scores`, and these prices, USD. Of those who are
    /// not followed nothing is known, and who has no place there is left out.
    ///
    /// A position is exact where no trade of its coin is missing since the state that proved it, whatever is missing in other coins,
    /// and then it is of the moment up to which the trades of its coin are heard. Otherwise it is of the moment of that state.
    ///
    /// # Errors
    /// When a position is of later than that moment.
    pub fn now(
        following: &Following,
        scores: &BTreeMap<Address, Option<Decimal>>,
        prices: &BTreeMap<Coin, Decimal>,
    ) -> Result<Self, RowError> {
        let (mut known, time) = (Self::default(), following.at);
        let is_near = |coin: &CoinHearing| coin.missing_to.is_some() && time.since(coin.to) <= BEHIND_MS;
        let near_to = following.hearing.values().filter(|coin| is_near(coin)).map(|coin| coin.to).min();
        let mut take = |what| known.take(Row { time, what });
        for (user, score) in scores {
            take(What::Followed { user: *user, score: *score })?;
        }
        for trader in following.traders.iter().filter(|trader| scores.contains_key(&trader.user)) {
            let user = trader.user;
            // A clock that was set back makes nothing known of later than now.
            let proven = trader.proven.map(|proven| proven.min(time));
            let (Some(proven), false) = (proven, trader.standing == Standing::Unknown) else {
                continue;
            };
            let size = |coin: &Coin| trader.sizes.get(coin).copied().unwrap_or_default();
            take(What::Account { user, position: position(trader, proven, Decimal::ZERO, near_to) })?;
            for (coin, hearing) in &following.hearing {
                let is_whole = hearing.missing_to.is_some_and(|missing_to| missing_to <= proven);
                let size = size(coin);
                if !is_whole || !is_near(hearing) || !size.is_zero() {
                    let heard_to = is_whole.then_some(hearing.to);
                    let position = position(trader, proven, size, heard_to);
                    take(What::Position { user, coin: *coin, position })?;
                }
            }
            // Of coins that are not listened to, such as those that were just listed, only states tell.
            for (coin, size) in trader.sizes.iter().filter(|(coin, _)| !following.hearing.contains_key(coin))
            {
                let position = position(trader, proven, *size, None);
                take(What::Position { user, coin: *coin, position })?;
            }
        }
        for (coin, px) in prices {
            take(What::Price { coin: *coin, px: *px })?;
        }
        Ok(known)
    }
}

/// `heard_to`: up to when its trades are heard without a hole since it was proved; none where they are not.
fn position(trader: &Followed, proven: TimeMs, size: Decimal, heard_to: Option<TimeMs>) -> Position {
    match heard_to.filter(|_| trader.standing == Standing::Exact) {
        Some(to) => Position::Exact(Held { size, as_of: to.max(proven) }),
        None => Position::Suspect(Held { size, as_of: proven }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{coin, decimal, user};
    use super::*;

    const AT: TimeMs = TimeMs(1_000_000);

    /// The position of one trader, who was proved at 900,000 and holds 5 BTC, in these coins: `exact 5 of 999000`.
    fn told(standing: Standing, hearing: &[(&str, Option<i64>, i64)], of: &[&str]) -> Vec<String> {
        let proven = Some(TimeMs(900_000)).filter(|_| standing != Standing::Unknown);
        let sizes = BTreeMap::from([(coin("BTC"), decimal("5")), (coin("NEW"), decimal("7"))]);
        let trader = Followed { user: user(1), standing, proven, sizes };
        let hearing = hearing.iter().map(|(name, missing_to, to)| {
            (coin(name), CoinHearing { missing_to: missing_to.map(TimeMs), to: TimeMs(*to) })
        });
        let following = Following { at: AT, hearing: hearing.collect(), traders: vec![trader] };
        let scores = BTreeMap::from([(user(1), Some(decimal("80")))]);
        let known =
            Known::now(&following, &scores, &BTreeMap::from([(coin("BTC"), decimal("60000"))])).unwrap();
        let view = known.view(AT).unwrap();
        assert_eq!(view.price(coin("BTC")).unwrap().px, decimal("60000"));
        let word = |position: Position| match position {
            Position::Unknown => "unknown".to_owned(),
            Position::Suspect(held) => format!("suspect {} of {}", held.size, held.as_of.0),
            Position::Exact(held) => format!("exact {} of {}", held.size, held.as_of.0),
        };
        of.iter().map(|name| word(view.trader(user(1)).unwrap().position(coin(name)))).collect()
    }

    #[test]
    fn a_position_is_as_new_as_the_trades_of_its_coin() {
        let heard = [
            ("BTC", Some(100), 999_000),
            ("ETH", Some(100), 998_000),
            // Trades are missing since the state, or none have come for a while, or it was never heard.
            ("HOLE", Some(950_000), 999_000),
            ("SLOW", Some(100), 950_000),
            ("DEAF", None, 0),
        ];
        let coins = ["BTC", "ETH", "HOLE", "SLOW", "DEAF", "NEW"];
        assert_eq!(
            told(Standing::Exact, &heard, &coins),
            [
                "exact 5 of 999000",
                "exact 0 of 998000",
                "suspect 0 of 900000",
                "exact 0 of 950000",
                "suspect 0 of 900000",
                "suspect 7 of 900000",
            ]
        );
        let suspect = told(Standing::Suspect, &heard, &coins);
        assert!(suspect.iter().all(|told| told.starts_with("suspect") && told.ends_with("of 900000")));
        assert_eq!(told(Standing::Unknown, &heard, &coins), ["unknown"; 6]);
        assert_eq!(
            told(Standing::Exact, &[], &["BTC", "ETH"]),
            ["suspect 5 of 900000", "suspect 0 of 900000"]
        );
    }

    #[test]
    fn who_has_no_score_here_is_left_out() {
        let trader =
            Followed { user: user(1), standing: Standing::Unknown, proven: None, sizes: BTreeMap::new() };
        let following = Following { at: AT, hearing: BTreeMap::new(), traders: vec![trader] };
        let known = Known::now(&following, &BTreeMap::new(), &BTreeMap::new()).unwrap();
        assert_eq!(known.view(AT).unwrap().traders().count(), 0);
    }
}
