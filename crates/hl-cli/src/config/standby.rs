//! Which coins get a warm standby.

use std::collections::BTreeSet;

use hl_core::Coin;

use super::coins::{Coins, CoinsError, NamedCoin};
use super::place::Sourced;
use super::{Place, ValueError};

/// The coins whose trades are subscribed twice.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Standby {
    /// None.
    None,
    /// Every coin that is collected; these were named beside that.
    All(Vec<NamedCoin>),
    /// These, in the order given, each once.
    Named(Vec<NamedCoin>),
}

impl Standby {
    pub(super) fn parse(words: &[Sourced]) -> Result<Self, (Place, ValueError)> {
        Ok(match Coins::parse(words)? {
            Coins::Default => Self::None,
            Coins::All(named) => Self::All(named),
            Coins::Named(named) => Self::Named(named),
        })
    }

    /// The coins, each checked against those that are collected.
    ///
    /// # Errors
    /// When a coin is named that is not collected.
    pub fn resolve(&self, collected: &[Coin]) -> Result<BTreeSet<Coin>, CoinsError> {
        let checked = |named: &NamedCoin| match collected.contains(&named.coin) {
            true => Ok(named.coin),
            false => Err(CoinsError::NotCollected { coin: named.coin, place: named.place.clone() }),
        };
        match self {
            Self::None => Ok(BTreeSet::new()),
            Self::All(named) => {
                named.iter().try_for_each(|named| checked(named).map(drop))?;
                Ok(collected.iter().copied().collect())
            }
            Self::Named(named) => named.iter().map(checked).collect(),
        }
    }

    /// Those of these coins that are to have one.
    #[must_use]
    pub fn among(&self, coins: &[Coin]) -> BTreeSet<Coin> {
        let has_one = |coin: &&Coin| match self {
            Self::None => false,
            Self::All(_) => true,
            Self::Named(named) => named.iter().any(|named| named.coin == **coin),
        };
        coins.iter().filter(has_one).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standbys_are_of_coins_that_are_collected() {
        let coins = ["BTC", "ETH"].map(|name| Coin::new(name).unwrap());
        let resolve = |words: &str| {
            let standby = Standby::parse(&Sourced::split(words, &Place::Flag("standby"))).unwrap();
            let resolved = standby.resolve(&coins).map_err(|error| error.to_string());
            resolved.map(|coins| coins.iter().map(Coin::to_string).collect::<Vec<_>>().join(" "))
        };
        assert_eq!(resolve("ETH").as_deref(), Ok("ETH"));
        assert_eq!(resolve("all").as_deref(), Ok("BTC ETH"));
        assert_eq!(
            resolve("ETH,SOL"),
            Err(r#"--standby: "SOL" is not collected; add it to --coin"#.to_owned())
        );
        assert_eq!(
            resolve("all,SOL"),
            Err(r#"--standby: "SOL" is not collected; add it to --coin"#.to_owned())
        );
        assert_eq!(Standby::None.resolve(&coins), Ok(BTreeSet::new()));
    }
}
