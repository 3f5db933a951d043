//! Coin names, interned: a [`Coin`] is one pointer, compares in one instruction and carries its text.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use ustr::Ustr;

use crate::row::Address;

/// Longest coin name accepted, in bytes. The exchange's own are below 20 (`xyz:NVDA`, `PURR/USDC`, `#12090`).
pub const MAX_COIN_BYTES: usize = 48;

/// Most names ever interned in one process. Interned text is never freed, so what comes from the wire is bounded.
pub const MAX_COINS: usize = 100_000;

/// The name of a market as the exchange writes it, case included: `BTC`, `kPEPE`, `xyz:NVDA`, `@107`, `#12090`.
///
/// Orders by text, so that no order depends on which name was seen first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Coin(Ustr);

/// Why a text is not a coin name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
pub enum CoinError {
    /// The name is empty.
    #[error("a coin name is empty")]
    Empty,
    /// Longer than [`MAX_COIN_BYTES`].
    #[error("a coin name has {0} bytes, at most {MAX_COIN_BYTES} are accepted")]
    TooLong(usize),
    /// White space, a control character or something outside ASCII.
    #[error("a coin name holds {0:?}; only printable ASCII without spaces is accepted")]
    Character(char),
    /// [`MAX_COINS`] names are known already.
    #[error("more than {MAX_COINS} coin names seen; no further one is accepted")]
    TooMany,
}

impl Coin {
    /// Checks and interns a name.
    ///
    /// # Errors
    /// When the name is empty, too long, not printable ASCII, or one too many.
    pub fn new(name: &str) -> Result<Self, CoinError> {
        if let Some(known) = Ustr::from_existing(name) {
            // Other parts of a process may intern text that is no coin name, so the checks below still apply to it.
            if !name.is_empty() && name.len() <= MAX_COIN_BYTES && name.bytes().all(|b| b.is_ascii_graphic())
            {
                return Ok(Self(known));
            }
        }
        match name {
            "" => Err(CoinError::Empty),
            _ if name.len() > MAX_COIN_BYTES => Err(CoinError::TooLong(name.len())),
            _ => match name.chars().find(|c| !c.is_ascii_graphic()) {
                Some(bad) => Err(CoinError::Character(bad)),
                None if ustr::num_entries() >= MAX_COINS => Err(CoinError::TooMany),
                None => Ok(Self(Ustr::from(name))),
            },
        }
    }

    /// The coin of this name, where the name is known in this process already. For text that may be damaged: it makes no
    /// name known.
    #[must_use]
    pub fn known(name: &str) -> Option<Self> {
        Ustr::from_existing(name).and_then(|_| Self::new(name).ok())
    }

    /// The name as the exchange writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.0.as_str()
    }

    /// Whether it is a perpetual, by its name: spot pairs have a slash in theirs or begin with `@`, outcomes with `#`
    /// (PROTOCOL section 5).
    #[must_use]
    pub fn is_perpetual(self) -> bool {
        !self.as_str().contains(['/', '@', '#'])
    }

    /// The builder's dex that has it, by its name; none of what the first dex has, spot pairs and outcomes.
    #[must_use]
    pub fn dex(self) -> Option<&'static str> {
        self.as_str().split_once(':').map(|(dex, _)| dex).filter(|dex| !dex.is_empty())
    }

    /// The outcome that it is a side of, and which side: `#12091` is side 1 of 1209.
    #[must_use]
    pub fn outcome(self) -> Option<(u64, u64)> {
        let number: u64 = self.as_str().strip_prefix('#')?.parse().ok()?;
        Some((number / 10, number % 10))
    }

    /// A side of an outcome: the inverse of [`Coin::outcome`]. None where no name can be made of the numbers.
    #[must_use]
    pub fn of_outcome(outcome: u64, side: u64) -> Option<Self> {
        let number = outcome.checked_mul(10)?.checked_add(side)?;
        Self::new(&format!("#{number}")).ok()
    }
}

impl fmt::Display for Coin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Coin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that rows are told apart by, as the exchange writes it: `HlPerp`. What is accepted as the name of a coin is accepted
/// here, and interned with them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Word(Coin);

impl Word {
    /// Checks and interns a word.
    ///
    /// # Errors
    /// As [`Coin::new`].
    pub fn new(word: &str) -> Result<Self, CoinError> {
        Coin::new(word).map(Self)
    }

    /// The word as the exchange writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.0.as_str()
    }
}

impl From<Coin> for Word {
    fn from(coin: Coin) -> Self {
        Self(coin)
    }
}

/// A trader, by the address: `0x` and 40 hexadecimal digits in small letters. Interned with the names of coins, so only those
/// that a stream is of are made one: an address in a row is an [`Address`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct User(Ustr);

impl User {
    /// Interns an address, whatever the case of its letters. None where it is none, or one too many.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let text = Address::parse(text)?.to_string();
        let is_new = Ustr::from_existing(&text).is_none();
        (!is_new || ustr::num_entries() < MAX_COINS).then(|| Self(Ustr::from(&text)))
    }

    /// The address as text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.0.as_str()
    }
}

impl User {
    /// The address.
    #[must_use]
    pub fn address(self) -> Address {
        // It was parsed when it was interned.
        Address::parse(self.as_str()).unwrap_or(Address::ZERO)
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for User {
    type Err = UserError;
    fn from_str(text: &str) -> Result<Self, UserError> {
        Self::new(text).ok_or_else(|| UserError(text.to_owned()))
    }
}

/// Not the address of a trader.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{0:?} is not the address of a trader: 0x and 40 hexadecimal digits")]
pub struct UserError(pub String);

impl Serialize for User {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for User {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A dex of the exchange, as the names of its coins tell it: those of a builder's dex begin with its name and a colon,
/// `xyz:NVDA`. Every other name belongs to the first dex, spot pairs and outcomes among them. So each coin has one dex.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Dex {
    /// The first one, and with it spot and outcomes.
    First,
    /// A builder's, by its name.
    Builder(Word),
}

impl Dex {
    /// The dex that has a coin.
    #[must_use]
    pub fn of(coin: Coin) -> Self {
        // No more names than coins are interned so.
        coin.dex().map_or(Self::First, |name| Self::Builder(Word(Coin(Ustr::from(name)))))
    }

    /// The dex of this name; the first one has none. None where no coin of a dex could be called so.
    #[must_use]
    pub fn named<'a>(name: impl Into<Option<&'a str>>) -> Option<Self> {
        match name.into() {
            None | Some("") => Some(Self::First),
            Some(name) if name.contains(':') => None,
            Some(name) => Word::new(name).ok().map(Self::Builder),
        }
    }

    /// Its name; none of the first one.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::First => None,
            Self::Builder(name) => Some(name.as_str()),
        }
    }

    /// Whether it has a coin.
    #[must_use]
    pub fn has(self, coin: Coin) -> bool {
        self.name() == coin.dex()
    }

    /// Between which names those of its coins lie in the order of text: from the first one on, and before the second one.
    /// None of the first dex: its coins are all those whose names have no colon behind a first character.
    #[must_use]
    pub fn between(self) -> Option<[String; 2]> {
        // The semicolon is what follows the colon.
        self.name().map(|name| [format!("{name}:"), format!("{name};")])
    }
}

impl FromStr for Coin {
    type Err = CoinError;
    fn from_str(name: &str) -> Result<Self, CoinError> {
        Self::new(name)
    }
}

impl Serialize for Coin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Coin {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Coin;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a coin name")
            }
            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Coin, E> {
                Coin::new(name).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_every_spelling_of_the_exchange() {
        for name in ["BTC", "kPEPE", "xyz:NVDA", "PURR/USDC", "@107", "#12090", "a*b?"] {
            assert_eq!(Coin::new(name).unwrap().as_str(), name);
        }
        assert_ne!(Coin::new("btc").unwrap(), Coin::new("BTC").unwrap(), "names are case-sensitive");
    }

    #[test]
    fn a_name_tells_dex_and_outcome() {
        let told = |name: &str| {
            let coin = Coin::new(name).unwrap();
            (coin.is_perpetual(), coin.dex(), coin.outcome())
        };
        assert_eq!(told("BTC"), (true, None, None));
        assert_eq!(told("xyz:NVDA"), (true, Some("xyz"), None));
        assert_eq!(told("PURR/USDC"), (false, None, None));
        assert_eq!(told("@107"), (false, None, None));
        assert_eq!(told("#12091"), (false, None, Some((1_209, 1))));
        assert_eq!(told("#x"), (false, None, None));
        assert_eq!(told(":x"), (true, None, None), "no dex is without a name");
        assert_eq!(Coin::of_outcome(1_209, 1), Coin::new("#12091").ok());
        assert_eq!(Coin::of_outcome(u64::MAX, 0), None);
    }

    #[test]
    fn each_coin_has_one_dex() {
        let xyz = Dex::named("xyz").unwrap();
        for name in
            ["BTC", "PURR/USDC", "@107", "#12090", ":x", "xyz:NVDA", "xyz:a:b", "xyz;", "xy:Z", "xyza:B"]
        {
            let coin = Coin::new(name).unwrap();
            for dex in [Dex::First, xyz] {
                assert_eq!(dex.has(coin), Dex::of(coin) == dex, "{name}");
            }
            let [from, to] = xyz.between().unwrap();
            assert_eq!(xyz.has(coin), (from.as_str()..to.as_str()).contains(&name), "{name}");
        }
        assert_eq!((Dex::named(""), Dex::First.between()), (Some(Dex::First), None));
        assert_eq!(["x:y", "x y"].map(Dex::named), [None, None]);
    }

    #[test]
    fn a_trader_has_one_spelling() {
        let text = format!("0x{:040X}", 0xabc);
        let user = User::new(&text).unwrap();
        assert_eq!(
            (user.as_str(), user),
            (text.to_lowercase().as_str(), text.to_lowercase().parse().unwrap())
        );
        assert_eq!([User::new("0xabc"), User::new("BTC")], [None, None]);
    }

    #[test]
    fn refuses_what_no_coin_is_called() {
        assert_eq!(Coin::new(""), Err(CoinError::Empty));
        assert_eq!(Coin::new(&"A".repeat(49)), Err(CoinError::TooLong(49)));
        assert_eq!(Coin::new("A B"), Err(CoinError::Character(' ')));
        assert_eq!(Coin::new("Ä"), Err(CoinError::Character('Ä')));
    }
}
