//! What there is to collect: the markets as the exchange lists them, remembered in the store so that a failing REST never
//! delays subscribing.
//!
//! The exchange lists its markets in parts, one request each, and each part may fail, or be short for a moment. So a
//! part that fails is a part that is not known, and a name that was listed once is never a spelling mistake.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use hl_collectors::rest::{InfoClient, RestError, Urgency};
use hl_core::Coin;
use hl_core::decode::{Unread, rest as decode};
use hl_core::message::info::InfoRequest;
use hl_core::message::info::meta::PerpDex;
use hl_core::store::Store;
use serde::{Deserialize, Serialize};
use tracing::warn;

/// How long reading metadata waits for room in the weight budget.
const PATIENCE: Duration = Duration::from_secs(30);

/// Markets that the exchange lists in one answer.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(into = "String", from = "String")]
pub enum Part {
    /// The perpetuals of the first dex.
    Perpetuals,
    /// Those of a builder's dex.
    Dex(String),
    /// The spot pairs.
    Spot,
}

/// What is kept for the spot pairs where others have the name of their dex; no dex has a name like it.
const SPOT: &str = "@";

impl Part {
    /// The part that lists a coin of this name, as names are given: `xyz:NVDA` by the dex `xyz`, `@107` and `PURR/USDC`
    /// among the spot pairs.
    #[must_use]
    pub fn of(coin: Coin) -> Self {
        match coin.as_str().split_once(':') {
            Some((dex, _)) => Self::Dex(dex.to_owned()),
            None if coin.as_str().contains(['@', '/', '#']) => Self::Spot,
            None => Self::Perpetuals,
        }
    }
}

impl From<Part> for String {
    fn from(part: Part) -> Self {
        match part {
            Part::Perpetuals => Self::new(),
            Part::Dex(dex) => dex,
            Part::Spot => SPOT.to_owned(),
        }
    }
}

impl From<String> for Part {
    fn from(text: String) -> Self {
        match text.as_str() {
            "" => Self::Perpetuals,
            SPOT => Self::Spot,
            _ => Self::Dex(text),
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Perpetuals => f.write_str("the perpetuals"),
            Self::Dex(dex) => write!(f, "the dex {dex}"),
            Self::Spot => f.write_str("the spot pairs"),
        }
    }
}

/// What is known of a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// The exchange lists it, and it trades.
    Listed,
    /// The exchange listed it once: it is delisted, it is gone, or the last answer was short.
    Former,
    /// The part that would list it was never read.
    Unread,
    /// It was never seen.
    Unknown,
}

/// The markets of an exchange, as far as they are known.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Universe {
    /// The live markets of each part that was read, in the exchange's order.
    lists: BTreeMap<Part, Vec<Coin>>,
    /// Names that were listed once and are not now.
    former: BTreeSet<Coin>,
}

impl Universe {
    /// The live perpetuals of the first dex, in its order.
    #[must_use]
    pub fn perpetuals(&self) -> &[Coin] {
        self.lists.get(&Part::Perpetuals).map_or(&[], Vec::as_slice)
    }

    /// Every name that is listed, part by part.
    pub fn names(&self) -> impl Iterator<Item = Coin> {
        self.lists.values().flatten().copied()
    }

    /// What is known of a name.
    #[must_use]
    pub fn standing(&self, coin: Coin) -> Standing {
        match self.lists.get(&Part::of(coin)) {
            Some(listed) if listed.contains(&coin) => Standing::Listed,
            _ if self.former.contains(&coin) => Standing::Former,
            Some(_) => Standing::Unknown,
            None => Standing::Unread,
        }
    }

    /// Takes in an answer: these are the live markets of a part, and these are listed there and do not trade. Whether it
    /// lists anything: otherwise it changes nothing.
    pub fn learn(&mut self, part: Part, live: Vec<Coin>, delisted: Vec<Coin>) -> bool {
        if live.is_empty() && delisted.is_empty() {
            return false;
        }
        let before = self.lists.remove(&part).unwrap_or_default();
        self.former.extend(before.into_iter().chain(delisted));
        for coin in &live {
            self.former.remove(coin);
        }
        self.lists.insert(part, live);
        true
    }

    /// What the store remembers of an exchange. A store that does not answer remembers nothing.
    pub async fn recall(store: &dyn Store, network: &str) -> Self {
        let known = store.note(&note(network)).await.ok().flatten();
        known.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
    }

    /// Keeps it in the store.
    pub async fn keep(&self, store: &dyn Store, network: &str) {
        if let Ok(text) = serde_json::to_string(self)
            && let Err(error) = store.put_note(&note(network), &text).await
        {
            warn!(%error, "the names of the markets could not be kept");
        }
    }

    /// Reads a part. Whether it lists anything: an empty list is taken for no answer, and what was known stays.
    ///
    /// # Errors
    /// When the exchange does not answer; what was known stays.
    pub async fn read(&mut self, client: &InfoClient, part: &Part) -> Result<bool, RestError> {
        let dex = match part {
            Part::Perpetuals => None,
            Part::Dex(dex) => Some(dex.clone()),
            Part::Spot => {
                let request = InfoRequest::SpotMeta;
                let read = client.read(&request, Urgency::Question, PATIENCE, decode::spot_meta).await?;
                let mut pairs: Vec<Coin> = read.value.universe.into_iter().map(|pair| pair.name).collect();
                pairs.extend(self.still(part, &read.unread));
                return Ok(self.learn(Part::Spot, pairs, Vec::new()));
            }
        };
        let request = InfoRequest::Meta { dex };
        let meta = match client.read(&request, Urgency::Question, PATIENCE, decode::meta).await {
            Ok(meta) => meta,
            Err(error) => {
                if self.has_no_dex(client, part).await {
                    // Read, and empty.
                    self.lists.entry(part.clone()).or_default();
                    return Ok(true);
                }
                return Err(error);
            }
        };
        let (mut live, mut delisted) = (Vec::new(), Vec::new());
        for asset in meta.value.universe {
            let of = if asset.is_live() { &mut live } else { &mut delisted };
            of.push(asset.name);
        }
        live.extend(self.still(part, &meta.unread));
        Ok(self.learn(part.clone(), live, delisted))
    }

    /// Markets that were listed and of which the answer says something that cannot be read: they are listed still.
    fn still(&self, part: &Part, unread: &Unread) -> Vec<Coin> {
        let before = self.lists.get(part).into_iter().flatten();
        before.filter(|coin| unread.coins.contains(coin)).copied().collect()
    }

    /// Whether it is a dex that the exchange says it has not: asked for its markets, it answers as if it had failed.
    async fn has_no_dex(&self, client: &InfoClient, part: &Part) -> bool {
        let Part::Dex(dex) = part else { return false };
        let request = InfoRequest::PerpDexs;
        let dexes = client.read(&request, Urgency::Question, PATIENCE, decode::perp_dexs).await;
        let is_known = |dexes: &[Option<PerpDex>]| dexes.iter().flatten().any(|known| known.name == *dex);
        // A dex of which not even the name can be read may be this one.
        dexes.is_ok_and(|dexes| dexes.unread.is_empty() && !is_known(&dexes.value))
    }
}

fn note(network: &str) -> String {
    format!("markets {network}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coins(names: &str) -> Vec<Coin> {
        names.split_whitespace().map(|name| Coin::new(name).unwrap()).collect()
    }

    fn standing(universe: &Universe, name: &str) -> Standing {
        universe.standing(Coin::new(name).unwrap())
    }

    #[test]
    fn each_name_belongs_to_one_part() {
        for (name, part) in [
            ("BTC", Part::Perpetuals),
            ("xyz:NVDA", Part::Dex("xyz".to_owned())),
            ("@107", Part::Spot),
            ("PURR/USDC", Part::Spot),
        ] {
            assert_eq!(Part::of(Coin::new(name).unwrap()), part, "{name}");
        }
    }

    #[test]
    fn a_name_that_was_listed_once_is_no_spelling_mistake() {
        let mut universe = Universe::default();
        assert_eq!(standing(&universe, "ETH"), Standing::Unread);
        universe.learn(Part::Perpetuals, coins("BTC ETH"), coins("OLD"));
        assert_eq!(standing(&universe, "ETH"), Standing::Listed);
        assert_eq!(standing(&universe, "OLD"), Standing::Former, "delisted before it was ever seen live");
        assert_eq!(standing(&universe, "EHT"), Standing::Unknown);
        assert_eq!(standing(&universe, "xyz:NVDA"), Standing::Unread);
        assert!(universe.learn(Part::Perpetuals, coins("BTC"), Vec::new()));
        assert_eq!(standing(&universe, "ETH"), Standing::Former);
        assert_eq!(universe.perpetuals(), coins("BTC"));
        assert!(!universe.learn(Part::Perpetuals, Vec::new(), Vec::new()));
        assert_eq!(universe.perpetuals(), coins("BTC"), "an empty answer says nothing");
        universe.learn(Part::Perpetuals, coins("BTC ETH"), Vec::new());
        assert_eq!(standing(&universe, "ETH"), Standing::Listed);
    }

    #[test]
    fn a_market_that_cannot_be_read_now_is_listed_still() {
        let mut universe = Universe::default();
        universe.learn(Part::Perpetuals, coins("BTC ETH"), Vec::new());
        let unread = |names| Unread { coins: coins(names).into_iter().collect(), ..Unread::default() };
        assert_eq!(universe.still(&Part::Perpetuals, &unread("ETH NEW")), coins("ETH"));
        assert_eq!(universe.still(&Part::Spot, &unread("ETH")), []);
    }

    #[test]
    fn what_is_kept_comes_back() {
        let mut universe = Universe::default();
        universe.learn(Part::Perpetuals, coins("BTC ETH"), coins("OLD"));
        universe.learn(Part::Dex("xyz".to_owned()), coins("xyz:NVDA"), Vec::new());
        universe.learn(Part::Spot, coins("@1 PURR/USDC"), Vec::new());
        let text = serde_json::to_string(&universe).unwrap();
        assert_eq!(serde_json::from_str::<Universe>(&text).unwrap(), universe);
    }
}
