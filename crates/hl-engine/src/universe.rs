//! What there is to collect: the markets as the exchange lists them, remembered in the store so that a failing REST never
//! delays subscribing.
//!
//! The exchange lists its markets in parts, one request each, and each part may fail, or be short for a moment. So a
//! part that fails is a part that is not known, and a name that was listed once is never a spelling mistake.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use hl_collectors::rest::{InfoClient, RestError, Urgency};
use hl_core::decode::{Unread, rest as decode};
use hl_core::message::info::InfoRequest;
use hl_core::message::info::meta::{Meta, Outcome, PerpDex};
use hl_core::store::{Notes, StoreError};
use hl_core::{Coin, Dex};
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
    /// Those of every dex, the first one among them: one answer has them all.
    EveryDex,
    /// The spot pairs.
    Spot,
    /// The outcomes that have not settled.
    Outcomes,
}

/// What is kept for the spot pairs where others have the name of their dex; no dex has a name like it …
const SPOT: &str = "@";
/// … nor like these.
const OUTCOMES: &str = "#";
const EVERY_DEX: &str = "*";

impl Part {
    /// The part that lists a coin of this name, as names are given: `xyz:NVDA` by the dex `xyz`, `@107` and `PURR/USDC`
    /// among the spot pairs, `#12090` among the outcomes.
    #[must_use]
    pub fn of(coin: Coin) -> Self {
        match coin.dex() {
            Some(dex) => Self::Dex(dex.to_owned()),
            None if coin.as_str().contains('#') => Self::Outcomes,
            None if coin.is_perpetual() => Self::Perpetuals,
            None => Self::Spot,
        }
    }

    /// Whether an answer that lists this part lists `other` too.
    #[must_use]
    pub fn has(&self, other: &Self) -> bool {
        self == other || (*self == Self::EveryDex && matches!(other, Self::Perpetuals | Self::Dex(_)))
    }
}

impl From<Part> for String {
    fn from(part: Part) -> Self {
        match part {
            Part::Perpetuals => Self::new(),
            Part::Dex(dex) => dex,
            Part::EveryDex => EVERY_DEX.to_owned(),
            Part::Spot => SPOT.to_owned(),
            Part::Outcomes => OUTCOMES.to_owned(),
        }
    }
}

impl From<String> for Part {
    fn from(text: String) -> Self {
        match text.as_str() {
            "" => Self::Perpetuals,
            SPOT => Self::Spot,
            OUTCOMES => Self::Outcomes,
            EVERY_DEX => Self::EveryDex,
            _ => Self::Dex(text),
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Perpetuals => f.write_str("the perpetuals"),
            Self::Dex(dex) => write!(f, "the dex {dex}"),
            Self::EveryDex => f.write_str("the perpetuals of every dex"),
            Self::Spot => f.write_str("the spot pairs"),
            Self::Outcomes => f.write_str("the outcomes"),
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

/// What an answer lists.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Listing {
    /// Everything of the part.
    Whole,
    /// More than this: of some not even the name can be read.
    Partly,
    /// Nothing.
    Empty,
}

/// The markets of an exchange, as far as they are known.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Universe {
    /// The live markets of each part that was read, in the exchange's order.
    lists: BTreeMap<Part, Vec<Coin>>,
    /// Names that were listed once and are not now, but for outcomes: those come and go every day.
    former: BTreeSet<Coin>,
    /// The largest number of an outcome that was ever listed: they are counted upwards.
    #[serde(default)]
    last_outcome: Option<u64>,
    /// Those of them that the last answer calls delisted.
    #[serde(default)]
    delisted: BTreeSet<Coin>,
}

impl Universe {
    /// The live perpetuals of the first dex, in its order.
    #[must_use]
    pub fn perpetuals(&self) -> &[Coin] {
        self.lists.get(&Part::Perpetuals).map_or(&[], Vec::as_slice)
    }

    /// The live markets of a part, in the exchange's order.
    pub fn of(&self, part: &Part) -> impl Iterator<Item = Coin> {
        self.lists.iter().filter(|(of, _)| part.has(of)).flat_map(|(_, coins)| coins).copied()
    }

    /// Whether the exchange has been read not to have a builder's dex of this name, and never to have had one.
    #[must_use]
    pub fn lacks_dex(&self, dex: &str) -> bool {
        let was_there = self.former.iter().any(|coin| coin.dex() == Some(dex));
        !was_there && self.lists.get(&Part::Dex(dex.to_owned())).is_some_and(Vec::is_empty)
    }

    /// Whether a market of a dex trades, as far as its list was read.
    #[must_use]
    pub fn trades(&self, dex: Dex) -> bool {
        self.names().any(|coin| dex.has(coin))
    }

    /// Whether the exchange names a market of a dex, be it delisted, as far as its list was read.
    pub(crate) fn names_any(&self, dex: Dex) -> bool {
        self.trades(dex) || self.delisted.iter().any(|coin| dex.has(*coin))
    }

    /// The markets that were listed once and are not now, outcomes left out.
    pub(crate) fn former(&self) -> impl Iterator<Item = Coin> {
        self.former.iter().copied()
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
            _ if coin.outcome().is_some_and(|(number, _)| Some(number) <= self.last_outcome) => {
                Standing::Former
            }
            Some(_) => Standing::Unknown,
            None => Standing::Unread,
        }
    }

    /// Whether the exchange says that it does not trade any more.
    #[must_use]
    pub fn is_delisted(&self, coin: Coin) -> bool {
        self.delisted.contains(&coin)
    }

    /// Takes in an answer: these are the live markets of a part, and these are listed there and do not trade. Whether it
    /// lists anything: otherwise it changes nothing. Of outcomes there may be none.
    pub fn learn(&mut self, part: Part, live: Vec<Coin>, delisted: Vec<Coin>) -> bool {
        if live.is_empty() && delisted.is_empty() && part != Part::Outcomes {
            return false;
        }
        let before = self.lists.remove(&part).unwrap_or_default();
        self.delisted.retain(|coin| Part::of(*coin) != part);
        self.delisted.extend(&delisted);
        match part {
            Part::Outcomes => {
                let numbers = live.iter().filter_map(|coin| Some(coin.outcome()?.0));
                self.last_outcome = numbers.max().max(self.last_outcome);
            }
            _ => self.former.extend(before.into_iter().chain(delisted)),
        }
        for coin in &live {
            self.former.remove(coin);
        }
        self.lists.insert(part, live);
        true
    }

    /// What the store remembers of an exchange. A store that does not answer remembers nothing.
    pub async fn recall(store: &dyn Notes, network: &str) -> Self {
        Self::kept(store, network).await.unwrap_or_default()
    }

    async fn kept(store: &dyn Notes, network: &str) -> Result<Self, StoreError> {
        if let Some(text) = store.note(&note(network)).await? {
            return Ok(serde_json::from_str(&text).unwrap_or_default());
        }
        let mut known = Self::default();
        for earlier in [format!("universe {network}"), format!("universe {network}, all dexes")] {
            let text = store.note(&earlier).await?;
            if let Some(Earlier { perps, others }) = text.and_then(|text| serde_json::from_str(&text).ok()) {
                known.former.extend(perps.into_iter().chain(others));
            }
        }
        Ok(known)
    }

    /// Keeps it in the store, beside what other processes have kept there: they may have read other lists.
    pub async fn keep(&self, store: &dyn Notes, network: &str) {
        let kept = async {
            let all = self.clone().beside(Self::kept(store, network).await?);
            match serde_json::to_string(&all) {
                Ok(text) => store.put_note(&note(network), &text).await,
                Err(_) => Ok(()),
            }
        };
        if let Err(error) = kept.await {
            warn!(%error, "the names of the markets could not be kept");
        }
    }

    /// This, and what `other` knows beyond it.
    fn beside(mut self, other: Self) -> Self {
        let Self { lists, former, last_outcome, delisted } = other;
        self.last_outcome = self.last_outcome.max(last_outcome);
        self.former.extend(former);
        self.delisted.extend(delisted.into_iter().filter(|coin| !self.lists.contains_key(&Part::of(*coin))));
        for (part, list) in lists {
            match self.lists.get(&part) {
                Some(_) if part == Part::Outcomes => {}
                Some(_) => self.former.extend(list),
                None => _ = self.lists.insert(part, list),
            }
        }
        for coin in self.lists.values().flatten() {
            self.former.remove(coin);
        }
        self
    }

    /// Reads a part. An empty list is taken for no answer, and what was known stays.
    ///
    /// # Errors
    /// When the exchange does not answer; what was known stays.
    pub async fn read(&mut self, client: &InfoClient, part: &Part) -> Result<Listing, RestError> {
        let dex = match part {
            Part::EveryDex => {
                let request = InfoRequest::AllPerpMetas;
                let read = client.read(&request, Urgency::Live, PATIENCE, decode::all_perp_metas).await?;
                return Ok(self.every_dex(&read.value, &read.unread));
            }
            Part::Outcomes => {
                let request = InfoRequest::OutcomeMeta;
                let read = client.read(&request, Urgency::Live, PATIENCE, decode::outcome_meta).await?;
                let coins = read.value.outcomes.iter().flat_map(Outcome::coins);
                self.learn(Part::Outcomes, coins.collect(), Vec::new());
                // Its name says nothing of the coins of an outcome that cannot be read.
                return Ok(if read.unread.is_empty() { Listing::Whole } else { Listing::Partly });
            }
            Part::Perpetuals => None,
            Part::Dex(dex) => Some(dex.clone()),
            Part::Spot => {
                let request = InfoRequest::SpotMeta;
                let read = client.read(&request, Urgency::Live, PATIENCE, decode::spot_meta).await?;
                let mut pairs: Vec<Coin> = read.value.universe.into_iter().map(|pair| pair.name).collect();
                pairs.extend(named(part, &read.unread));
                return Ok(self.listing(part, pairs, Vec::new(), &read.unread));
            }
        };
        let request = InfoRequest::Meta { dex };
        let meta = match client.read(&request, Urgency::Live, PATIENCE, decode::meta).await {
            Ok(meta) => meta,
            Err(error) => {
                if self.has_no_dex(client, part).await {
                    self.empty(part);
                    return Ok(Listing::Whole);
                }
                return Err(error);
            }
        };
        let (mut live, mut delisted) = (Vec::new(), Vec::new());
        for asset in meta.value.universe {
            let of = if asset.is_live() { &mut live } else { &mut delisted };
            of.push(asset.name);
        }
        live.extend(named(part, &meta.unread));
        Ok(self.listing(part, live, delisted, &meta.unread))
    }

    /// Takes in the perpetuals of every dex. A dex is known by the names of its perpetuals; one without any is left out.
    fn every_dex(&mut self, metas: &[Option<Meta>], unread: &Unread) -> Listing {
        let mut parts: BTreeMap<Part, (Vec<Coin>, Vec<Coin>)> = BTreeMap::new();
        for asset in metas.iter().flatten().flat_map(|meta| &meta.universe) {
            let (live, delisted) = parts.entry(Part::of(asset.name)).or_default();
            let of = if asset.is_live() { live } else { delisted };
            of.push(asset.name);
        }
        for coin in &unread.coins {
            parts.entry(Part::of(*coin)).or_default().0.push(*coin);
        }
        if !parts.contains_key(&Part::Perpetuals) {
            return Listing::Empty;
        }
        let is_whole = unread.others == 0 && metas.iter().all(Option::is_some);
        if is_whole {
            let known = self.lists.keys().filter(|part| matches!(part, Part::Dex(_)));
            let gone: Vec<Part> = known.filter(|part| !parts.contains_key(part)).cloned().collect();
            gone.iter().for_each(|part| self.empty(part));
        }
        for (part, (live, delisted)) in parts {
            self.learn(part, live, delisted);
        }
        if is_whole { Listing::Whole } else { Listing::Partly }
    }

    /// A part was read, and is not there: what it had is not listed now.
    fn empty(&mut self, part: &Part) {
        let before = self.lists.insert(part.clone(), Vec::new());
        self.delisted.retain(|coin| Part::of(*coin) != *part);
        self.former.extend(before.into_iter().flatten());
    }

    fn listing(&mut self, part: &Part, live: Vec<Coin>, delisted: Vec<Coin>, unread: &Unread) -> Listing {
        match self.learn(part.clone(), live, delisted) {
            false => Listing::Empty,
            true if unread.others > 0 => Listing::Partly,
            true => Listing::Whole,
        }
    }

    /// Whether it is a dex that the exchange says it has not: asked for its markets, it answers as if it had failed.
    async fn has_no_dex(&self, client: &InfoClient, part: &Part) -> bool {
        let Part::Dex(dex) = part else { return false };
        let request = InfoRequest::PerpDexs;
        let dexes = client.read(&request, Urgency::Live, PATIENCE, decode::perp_dexs).await;
        let is_known = |dexes: &[Option<PerpDex>]| dexes.iter().flatten().any(|known| known.name == *dex);
        // A dex of which not even the name can be read may be this one.
        dexes.is_ok_and(|dexes| dexes.unread.is_empty() && !is_known(&dexes.value))
    }
}

/// What a store of an earlier release remembers.
#[derive(Deserialize)]
struct Earlier {
    perps: Vec<Coin>,
    others: Vec<Coin>,
}

/// Markets of a part of which an answer says something that cannot be read: their names can, and they are listed.
fn named(part: &Part, unread: &Unread) -> impl Iterator<Item = Coin> {
    unread.coins.iter().copied().filter(move |coin| Part::of(*coin) == *part)
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
            ("#12090", Part::Outcomes),
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
    fn a_market_that_cannot_be_read_is_listed() {
        let mut universe = Universe::default();
        universe.learn(Part::Perpetuals, coins("BTC ETH"), Vec::new());
        let unread = |names: &str| Unread { coins: coins(names).into_iter().collect(), ..Unread::default() };
        let named = |part, names| named(&part, &unread(names)).collect::<Vec<_>>();
        assert_eq!(named(Part::Perpetuals, "ETH NEW xyz:A"), coins("ETH NEW"));
        assert_eq!(named(Part::Spot, "ETH"), []);
        let of_none = Unread { others: 1, ..Unread::default() };
        let listing = universe.listing(&Part::Perpetuals, coins("BTC"), Vec::new(), &of_none);
        assert_eq!(listing, Listing::Partly, "a name that the answer seems to lack may be the one");
    }

    #[test]
    fn processes_that_read_other_lists_do_not_forget_for_each_other() {
        let mut one = Universe::default();
        one.learn(Part::Perpetuals, coins("BTC"), coins("OLD"));
        let mut other = Universe::default();
        other.learn(Part::Perpetuals, coins("BTC ETH"), Vec::new());
        other.learn(Part::Dex("xyz".to_owned()), coins("xyz:NVDA"), Vec::new());
        let both = one.beside(other);
        assert_eq!(both.perpetuals(), coins("BTC"));
        let standings = ["BTC", "ETH", "OLD", "xyz:NVDA"].map(|name| standing(&both, name));
        assert_eq!(standings, [Standing::Listed, Standing::Former, Standing::Former, Standing::Listed]);
    }

    #[test]
    fn every_dex_is_known_by_the_names_of_its_perpetuals() {
        let meta = |names: &str| {
            let asset = |name: &str| serde_json::json!({"name": name, "szDecimals": 1, "maxLeverage": 5});
            let universe: Vec<_> = names.split_whitespace().map(asset).collect();
            serde_json::from_value(serde_json::json!({ "universe": universe })).ok()
        };
        let mut universe = Universe::default();
        let dexes = [meta("BTC ETH"), meta("xyz:NVDA"), meta(""), meta("abc:X abc:Y")];
        assert_eq!(universe.every_dex(&dexes, &Unread::default()), Listing::Whole);
        assert_eq!(universe.of(&Part::EveryDex).collect::<Vec<_>>(), coins("BTC ETH abc:X abc:Y xyz:NVDA"));
        assert_eq!(universe.of(&Part::Dex("abc".to_owned())).collect::<Vec<_>>(), coins("abc:X abc:Y"));
        assert_eq!(universe.every_dex(&[None, meta("xyz:NVDA")], &Unread::default()), Listing::Empty);
        assert_eq!(universe.every_dex(&[meta("BTC"), None], &Unread::default()), Listing::Partly);
        assert_eq!(standing(&universe, "ETH"), Standing::Former);
        assert_eq!(standing(&universe, "xyz:NVDA"), Standing::Listed, "its dex was not in the answer");
        let xyz = Dex::of(coins("xyz:NVDA")[0]);
        assert!(universe.trades(xyz));
        assert_eq!(universe.every_dex(&[meta("BTC")], &Unread::default()), Listing::Whole);
        assert_eq!(standing(&universe, "xyz:NVDA"), Standing::Former, "the exchange has its dex no longer");
        assert!(!universe.trades(xyz) && !universe.names_any(xyz));
        assert!(!universe.lacks_dex("xyz"), "it was there once");
    }

    #[test]
    fn the_last_outcome_may_settle() {
        let mut universe = Universe::default();
        universe.learn(Part::Outcomes, coins("#10 #11"), Vec::new());
        assert_eq!(standing(&universe, "#10"), Standing::Listed);
        assert_eq!(standing(&universe, "#20"), Standing::Unknown);
        assert!(universe.learn(Part::Outcomes, Vec::new(), Vec::new()));
        assert_eq!(standing(&universe, "#10"), Standing::Former);
        assert_eq!(standing(&universe, "#5"), Standing::Former, "it was counted before");
        assert!(universe.former.is_empty(), "outcomes of years would be kept");
    }

    #[test]
    fn what_is_kept_comes_back() {
        let mut universe = Universe::default();
        universe.learn(Part::Perpetuals, coins("BTC ETH"), coins("OLD"));
        universe.learn(Part::Dex("xyz".to_owned()), coins("xyz:NVDA"), Vec::new());
        universe.learn(Part::Spot, coins("@1 PURR/USDC"), Vec::new());
        universe.learn(Part::Outcomes, coins("#10 #11"), Vec::new());
        let text = serde_json::to_string(&universe).unwrap();
        assert_eq!(serde_json::from_str::<Universe>(&text).unwrap(), universe);
    }
}
