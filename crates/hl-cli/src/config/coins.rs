//! Which coins, and whether the exchange has them.

use std::collections::BTreeSet;

use hl_core::Coin;
use hl_engine::universe::Universe;

use super::place::Sourced;
use super::{ConfigError, Network, Place, ValueError};

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

    /// Whether one of them can only be a market of a builder dex or a spot pair: the names of those cost four more
    /// requests.
    #[must_use]
    pub fn reach_beyond_the_first_dex(&self) -> bool {
        match self {
            Self::Named(coins) | Self::All(coins) => {
                coins.iter().any(|c| c.coin.as_str().contains([':', '@', '/', '#']))
            }
            Self::Default => false,
        }
    }

    /// The coins, each checked against what exists.
    ///
    /// # Errors
    /// When a coin does not exist, or none does.
    pub fn resolve(&self, network: &Network, universe: &Universe) -> Result<Vec<Coin>, CoinsError> {
        let exists = |coin: Coin, place: &Place| {
            let mut all = universe.perps.iter().chain(&universe.others);
            if all.any(|&known| known == coin) {
                return Ok(coin);
            }
            let names = || universe.perps.iter().chain(&universe.others);
            let nearest = crate::nearest(coin.as_str(), names().map(|known| known.as_str()));
            let nearest = names().find(|known| Some(known.as_str()) == nearest).copied();
            Err(CoinsError::Unknown { coin, place: place.clone(), nearest })
        };
        match self {
            Self::Named(named) => named.iter().map(|n| exists(n.coin, &n.place)).collect(),
            Self::Default if *network != Network::Sim => {
                let bitcoin = universe.perps.iter().find(|coin| coin.as_str() == "BTC");
                bitcoin.map(|&coin| vec![coin]).ok_or(CoinsError::NoMarkets)
            }
            Self::Default | Self::All(_) if universe.perps.is_empty() => Err(CoinsError::NoMarkets),
            Self::Default => Ok(universe.perps.clone()),
            Self::All(named) => {
                let mut coins = universe.perps.clone();
                for one in named {
                    let coin = exists(one.coin, &one.place)?;
                    if !coins.contains(&coin) {
                        coins.push(coin);
                    }
                }
                Ok(coins)
            }
        }
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
        let universe = Universe { perps: coins(&["BTC", "ETH"]), others: coins(&["@1"]) };
        let resolve = |coins: Coins, network| coins.resolve(&network, &universe).unwrap();
        assert_eq!(resolve(Coins::Default, Network::Mainnet), coins(&["BTC"]));
        assert_eq!(resolve(Coins::Default, Network::Sim), coins(&["BTC", "ETH"]));
        assert_eq!(resolve(named("all"), Network::Mainnet), coins(&["BTC", "ETH"]));
        assert_eq!(resolve(named("@1,all,ETH"), Network::Mainnet), coins(&["BTC", "ETH", "@1"]));
        assert_eq!(resolve(named("@1,ETH,@1"), Network::Mainnet), coins(&["@1", "ETH"]));
        assert_eq!(
            named("all").resolve(&Network::Mainnet, &Universe::default()),
            Err(CoinsError::NoMarkets),
            "an empty answer of the exchange is not a wish to collect nothing"
        );
    }

    #[test]
    fn a_market_of_another_dex_beside_all_is_asked_for() {
        for (names, beyond) in
            [("all", false), ("all,BTC", false), ("all,xyz:NVDA", true), ("@107,all", true)]
        {
            assert_eq!(named(names).reach_beyond_the_first_dex(), beyond, "{names}");
        }
    }

    #[test]
    fn an_unknown_coin_names_the_flag_and_the_nearest() {
        let universe = Universe { perps: coins(&["BTC", "kPEPE"]), others: coins(&[]) };
        let error = |names| named(names).resolve(&Network::Mainnet, &universe).unwrap_err().to_string();
        assert_eq!(error("BTC,btc"), r#"--coin: the exchange has no coin "btc"; did you mean "BTC"?"#);
        assert_eq!(error("PEPE"), r#"--coin: the exchange has no coin "PEPE"; did you mean "kPEPE"?"#);
        let beside_all = r#"--coin: the exchange has no coin "BTX"; did you mean "BTC"?"#;
        assert_eq!(error("all,BTX"), beside_all);
        assert_eq!(error("BTX,all"), beside_all);
        assert_eq!(error("LONGNAME"), r#"--coin: the exchange has no coin "LONGNAME""#);
    }
}
