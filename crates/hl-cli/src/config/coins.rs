//! Which coins, and whether the exchange has them.

use std::collections::BTreeSet;

use hl_core::Coin;
use hl_engine::markets::Wish;
use hl_engine::universe::{Part, Universe};

use super::place::Sourced;
use super::{ConfigError, Network, Place, ValueError};

/// The coin where nothing is said.
const USUAL: &str = "BTC";

/// The coins to collect.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Coins {
    /// Nothing was said: BTC; on a simulated exchange in this process every coin of its market.
    Default,
    /// Every live perpetual of the first dex, and these, each once.
    All(Vec<NamedCoin>),
    /// These, in the order given, each once.
    Named(Vec<NamedCoin>),
}

/// A coin, and where it was named.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NamedCoin {
    /// The coin.
    pub coin: Coin,
    /// Where.
    pub place: Place,
}

/// A coin was asked for that the exchange has not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CoinsError {
    /// No market has this name; names are case-sensitive.
    #[error("{place}: the exchange has no coin {coin:?}{}", nearest.map(|n| format!("; did you mean {:?}?", n.as_str())).unwrap_or_default(), coin = coin.as_str())]
    Unknown {
        /// The name.
        coin: Coin,
        /// Where it was given.
        place: Place,
        /// The nearest that exists.
        nearest: Option<Coin>,
    },
    /// A coin was to have a standby that is not collected.
    #[error("{place}: {coin:?} is not collected; add it to --coin", coin = coin.as_str())]
    NotCollected {
        /// The coin.
        coin: Coin,
        /// Where it was named.
        place: Place,
    },
    /// No dex has this name.
    #[error("--dex: the exchange has no dex {0:?}; `hl-cli markets list --dex '*'` names them")]
    NoDex(String),
    /// The exchange names no live perpetual.
    #[error("the exchange names no live perpetual to collect")]
    NoMarkets,
}

impl Coins {
    /// The values of `--coin`, each of them one name or several between commas.
    ///
    /// # Errors
    /// When one of them can be the name of no coin.
    pub fn of_flag(values: &[String]) -> Result<Self, ConfigError> {
        let words = values.iter().flat_map(|text| Sourced::split(text, &Place::Flag("coin")));
        Self::parse(&words.collect::<Vec<_>>())
            .map_err(|(place, problem)| ConfigError::Value { place, problem })
    }

    /// Names, each once, and `all` among them.
    pub(super) fn parse(words: &[Sourced]) -> Result<Self, (Place, ValueError)> {
        let mut seen = BTreeSet::new();
        let mut named = Vec::new();
        let mut all = false;
        for word in words {
            let place = word.place.clone();
            match Coin::new(&word.text) {
                _ if word.text == "all" => all = true,
                Ok(coin) if seen.insert(coin) => named.push(NamedCoin { coin, place }),
                Ok(_) => {}
                Err(error) => return Err((place, error.into())),
            }
        }
        Ok(if all { Self::All(named) } else { Self::Named(named) })
    }

    /// What is asked of the exchange's markets, where every market of these parts is wanted as well. Where nothing is said
    /// of coins, that is all.
    #[must_use]
    pub fn wish(&self, network: &Network, every: &BTreeSet<Part>) -> Wish {
        let (all, named) = match self {
            Self::Default if !every.is_empty() => (false, Vec::new()),
            Self::Default if *network == Network::Sim => (true, Vec::new()),
            Self::Default => (false, Coin::new(USUAL).into_iter().collect()),
            Self::All(named) => (true, named.iter().map(|named| named.coin).collect()),
            Self::Named(named) => (false, named.iter().map(|named| named.coin).collect()),
        };
        let every = every.iter().cloned().chain(all.then_some(Part::Perpetuals)).collect();
        Wish { every, named }
    }

    /// What to say of a coin that the exchange has never listed.
    #[must_use]
    pub fn unknown(&self, coin: Coin, universe: &Universe) -> CoinsError {
        let named = match self {
            Self::Default => &[][..],
            Self::All(named) | Self::Named(named) => named,
        };
        let place = named.iter().find(|named| named.coin == coin).map(|named| named.place.clone());
        let nearest = crate::nearest(coin.as_str(), universe.names().map(Coin::as_str));
        let nearest = universe.names().find(|known| Some(known.as_str()) == nearest);
        CoinsError::Unknown { coin, place: place.unwrap_or(Place::Default), nearest }
    }

    /// The coins that a command is about: those that the exchange lists, then those that it listed once, or whose list
    /// could not be read.
    ///
    /// # Errors
    /// When the exchange has never listed one of them, or lists none.
    pub fn resolve(&self, network: &Network, universe: &Universe) -> Result<Vec<Coin>, CoinsError> {
        let sorted = self.wish(network, &BTreeSet::new()).sorted(universe, &BTreeSet::new());
        if let Some(&coin) = sorted.unknown.first() {
            return Err(self.unknown(coin, universe));
        }
        let coins: Vec<_> = sorted.listed.into_iter().chain(sorted.waiting).collect();
        if coins.is_empty() { Err(CoinsError::NoMarkets) } else { Ok(coins) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coins(names: &[&str]) -> Vec<Coin> {
        names.iter().map(|name| Coin::new(name).unwrap()).collect()
    }

    fn named(names: &str) -> Coins {
        Coins::parse(&Sourced::split(names, &Place::Flag("coin"))).unwrap()
    }

    #[test]
    fn what_is_collected_where_nothing_is_said() {
        let mut universe = Universe::default();
        universe.learn(Part::Perpetuals, coins(&["BTC", "ETH"]), coins(&["OLD"]));
        universe.learn(Part::Spot, coins(&["@1"]), Vec::new());
        let resolve = |coins: Coins, network| coins.resolve(&network, &universe).unwrap();
        assert_eq!(resolve(Coins::Default, Network::Mainnet), coins(&["BTC"]));
        assert_eq!(resolve(Coins::Default, Network::Sim), coins(&["BTC", "ETH"]));
        assert_eq!(resolve(named("all"), Network::Mainnet), coins(&["BTC", "ETH"]));
        assert_eq!(resolve(named("@1,all,ETH"), Network::Mainnet), coins(&["BTC", "ETH", "@1"]));
        assert_eq!(resolve(named("@1,ETH,@1"), Network::Mainnet), coins(&["@1", "ETH"]));
        assert_eq!(
            resolve(named("OLD,BTC"), Network::Mainnet),
            coins(&["BTC", "OLD"]),
            "delisted: it has a past"
        );
        assert_eq!(
            named("all").resolve(&Network::Mainnet, &Universe::default()),
            Err(CoinsError::NoMarkets),
            "an empty answer of the exchange is not a wish to collect nothing"
        );
    }

    #[test]
    fn where_only_parts_are_asked_for_no_coin_comes_on_top() {
        let spot = BTreeSet::from([Part::Spot]);
        for network in [Network::Mainnet, Network::Sim] {
            let wish = Wish { every: spot.clone(), named: Vec::new() };
            assert_eq!(Coins::Default.wish(&network, &spot), wish);
        }
        let wish = named("all,@1").wish(&Network::Mainnet, &spot);
        let every = BTreeSet::from([Part::Perpetuals, Part::Spot]);
        assert_eq!(wish, Wish { every, named: coins(&["@1"]) });
    }

    #[test]
    fn an_unknown_coin_names_the_flag_and_the_nearest() {
        let mut universe = Universe::default();
        universe.learn(Part::Perpetuals, coins(&["BTC", "kPEPE"]), Vec::new());
        let error = |names| named(names).resolve(&Network::Mainnet, &universe).unwrap_err().to_string();
        assert_eq!(error("BTC,btc"), r#"--coin: the exchange has no coin "btc"; did you mean "BTC"?"#);
        assert_eq!(error("PEPE"), r#"--coin: the exchange has no coin "PEPE"; did you mean "kPEPE"?"#);
        let beside_all = r#"--coin: the exchange has no coin "BTX"; did you mean "BTC"?"#;
        assert_eq!(error("all,BTX"), beside_all);
        assert_eq!(error("BTX,all"), beside_all);
        assert_eq!(error("LONGNAME"), r#"--coin: the exchange has no coin "LONGNAME""#);
    }
}
