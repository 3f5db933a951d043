//! Which of the markets asked for there are: found out at the start, and followed from then on.
//!
//! What the exchange says of its markets is evidence: a part of the listing may fail, and an answer may be short for a
//! moment. So what is listed is collected, the rest is said and asked for again, and nothing that the exchange says ends
//! a collector but a name that it has never listed.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::time::Duration;

use hl_collectors::rest::RestError;
use hl_collectors::ws::listings::FRESH_FOR;
use hl_core::backoff::Backoff;
use hl_core::seam::Seed;
use hl_core::store::Notes;
use hl_core::{Coin, Dex, StreamKey};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{info, warn};

use crate::Engine;
use crate::ends::Ends;
use crate::universe::{Listing, Part, Standing, Universe};

/// Names that are remembered serve after this long without an answer, and what has its own list may take no longer: the
/// rest is not held up.
const LIST_LIMIT: Duration = Duration::from_secs(5);
/// How often the lists are read anew where all markets of one are wanted, times their number: that costs 20 of the 1,200
/// weight a minute, however many they are.
const ALL_EVERY: Duration = Duration::from_secs(60);
/// How often where each was named.
const NAMED_EVERY: Duration = Duration::from_secs(3_600);
/// What is missing is asked for again after this, then after pauses that double …
const MISSING_AGAIN: Duration = Duration::from_secs(2);
/// … up to this.
const MISSING_LONGEST: Duration = Duration::from_secs(120);
/// While nothing is collected at all the first pause is this …
const FIRST_AGAIN: Duration = Duration::from_secs(1);
/// … and the longest this.
const FIRST_LONGEST: Duration = Duration::from_secs(30);

/// Which markets are asked for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Wish {
    /// Every live market of these parts, those to come included.
    pub every: BTreeSet<Part>,
    /// These, by name.
    pub named: Vec<Coin>,
}

/// What was asked for, by what the exchange says of it. Each coin once.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Sorted {
    /// Listed: to be collected.
    pub listed: Vec<Coin>,
    /// Not listed now, or in a list that cannot be read: to be collected once they are.
    pub waiting: Vec<Coin>,
    /// Missing in a list that was read, and never seen before.
    pub unknown: Vec<Coin>,
}

impl Wish {
    /// The lists in which they stand. The first one always: it has the names that a misspelt one may be like. What an answer
    /// lists beside others is not asked for by itself.
    #[must_use]
    pub fn parts(&self) -> BTreeSet<Part> {
        let all: BTreeSet<Part> = self
            .named
            .iter()
            .map(|coin| Part::of(*coin))
            .chain([Part::Perpetuals])
            .chain(self.every.clone())
            .collect();
        let is_beside = |part: &Part| all.iter().any(|other| other != part && other.has(part));
        all.iter().filter(|part| !is_beside(part)).cloned().collect()
    }

    /// Whether a coin is wanted, once it is listed.
    #[must_use]
    pub fn has(&self, coin: Coin) -> bool {
        self.named.contains(&coin) || self.every.iter().any(|part| part.has(&Part::of(coin)))
    }

    /// Whether markets of a dex may be wanted, once they are listed.
    #[must_use]
    pub fn has_dex(&self, dex: Dex) -> bool {
        let part = dex.name().map_or(Part::Perpetuals, |name| Part::Dex(name.to_owned()));
        self.named.iter().any(|coin| dex.has(*coin)) || self.every.iter().any(|every| every.has(&part))
    }

    /// Sorts it by what is known; of the parts in `failed` the last answer is old.
    #[must_use]
    pub fn sorted(&self, universe: &Universe, failed: &BTreeSet<Part>) -> Sorted {
        let mut sorted = Sorted::default();
        let every: BTreeSet<Coin> = self.every.iter().flat_map(|part| universe.of(part)).collect();
        let failed = |part: &Part| failed.iter().any(|of| of.has(part));
        // Outcomes settle every day: one that is only remembered may be gone, and a name that is gone ends its socket.
        let is_old = |coin: &Coin| Part::of(*coin) == Part::Outcomes && failed(&Part::Outcomes);
        // In the exchange's order: the most valuable first.
        sorted.listed.extend(universe.names().filter(|coin| every.contains(coin) && !is_old(coin)));
        for &coin in &self.named {
            match universe.standing(coin) {
                Standing::Listed if sorted.listed.contains(&coin) => {}
                Standing::Listed if is_old(&coin) => sorted.waiting.push(coin),
                Standing::Listed => sorted.listed.push(coin),
                Standing::Unknown if !failed(&Part::of(coin)) => sorted.unknown.push(coin),
                Standing::Unknown | Standing::Former | Standing::Unread => sorted.waiting.push(coin),
            }
        }
        sorted
    }
}

impl Sorted {
    /// The same once collecting has begun: a name was accepted then, and what the answers say of it now ends nothing.
    fn patient(mut self) -> Self {
        self.waiting.append(&mut self.unknown);
        self
    }
}

/// A list of markets could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Unread {
    /// The exchange did not give it.
    #[error(transparent)]
    Refused(#[from] RestError),
    /// The answer lists nothing, which no exchange means.
    #[error("the answer lists nothing")]
    Empty,
    /// Of some of its markets not even the name can be read.
    #[error("the answer names markets that cannot be read")]
    Partly,
    /// It took too long.
    #[error("no answer within {} s", .0.as_secs())]
    Late(Duration),
}

/// What was asked for is not among the markets of the exchange.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NeverListed {
    /// It has never listed these coins.
    #[error("the exchange has no coin {}", quoted(.0.iter().map(|coin| coin.as_str())))]
    Coins(Vec<Coin>),
    /// It has no dex of these names.
    #[error("the exchange has no dex {}", quoted(.0.iter().map(String::as_str)))]
    Dexes(Vec<String>),
}

fn quoted<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")
}

/// The streams of coins, and which of the coins are to have a standby.
pub type StreamsOf<'a> = &'a (dyn Fn(&[Coin]) -> (Vec<StreamKey>, BTreeSet<Coin>) + Sync);

/// The markets asked for, followed.
#[derive(Debug)]
pub struct Markets {
    network: String,
    wish: Wish,
    universe: Universe,
    failed: BTreeMap<Part, Unread>,
    /// Coins that were listed later and do not fit beside what is collected, and why.
    no_room: BTreeMap<Coin, String>,
    ends: Ends,
    rng: fastrand::Rng,
}

impl Markets {
    /// With what the store remembers of the network.
    pub async fn recall(store: &dyn Notes, network: &str, wish: Wish) -> Self {
        let universe = Universe::recall(store, network).await;
        let seed = Seed(std::process::id().into());
        let network = network.to_owned();
        Self {
            network,
            wish,
            universe,
            failed: BTreeMap::new(),
            no_room: BTreeMap::new(),
            ends: Ends::default(),
            rng: seed.rng("markets"),
        }
    }

    /// What is known of all markets.
    #[must_use]
    pub fn universe(&self) -> &Universe {
        &self.universe
    }

    /// Why lists could not be read the last time.
    #[must_use]
    pub fn failed(&self) -> &BTreeMap<Part, Unread> {
        &self.failed
    }

    /// One of these reasons, the first dex's before others.
    pub fn take_failure(&mut self) -> Option<Unread> {
        self.failed.pop_first().map(|(_, error)| error)
    }

    /// What is known of the wish.
    #[must_use]
    pub fn sorted(&self) -> Sorted {
        self.wish.sorted(&self.universe, &self.failed.keys().cloned().collect())
    }

    /// Reads the lists, one after another: which of them fail is known afterwards.
    pub async fn ask(&mut self, engine: &Engine) -> Sorted {
        let before = self.universe.clone();
        for part in self.wish.parts() {
            // Without any names there is nothing to begin with.
            let waits = part.has(&Part::Perpetuals) && self.universe.perpetuals().is_empty();
            let limit = if waits { Duration::MAX } else { LIST_LIMIT };
            let read = match timeout(limit, self.universe.read(engine.client(), &part)).await {
                Ok(Ok(Listing::Whole)) => Ok(()),
                Ok(Ok(Listing::Partly)) => Err(Unread::Partly),
                Ok(Ok(Listing::Empty)) => Err(Unread::Empty),
                Ok(Err(error)) => Err(error.into()),
                Err(_) => Err(Unread::Late(limit)),
            };
            match read {
                Ok(()) => _ = self.failed.remove(&part),
                Err(error) => _ = self.failed.insert(part, error),
            }
        }
        if self.universe != before {
            self.universe.keep(engine.store.as_ref(), &self.network).await;
        }
        let sorted = self.sorted();
        engine.say_perpetuals(self.universe.perpetuals());
        engine.say_missing(self.missing(&sorted));
        sorted
    }

    /// Asks once; once more where a name is unknown: the answer may have been short.
    ///
    /// # Errors
    /// When the exchange has never listed a name, or has no such dex.
    pub async fn look(&mut self, engine: &Engine) -> Result<Sorted, NeverListed> {
        let mut sorted = self.ask(engine).await;
        if !sorted.unknown.is_empty() || !self.no_dexes().is_empty() {
            sleep(MISSING_AGAIN).await;
            sorted = self.ask(engine).await;
        }
        let dexes = self.no_dexes();
        match sorted.unknown.is_empty() {
            false => Err(NeverListed::Coins(sorted.unknown)),
            true if !dexes.is_empty() => Err(NeverListed::Dexes(dexes)),
            true => Ok(sorted),
        }
    }

    /// Dexes that were asked for and that the exchange says it has not.
    fn no_dexes(&self) -> Vec<String> {
        let dexes = self.wish.every.iter().filter(|part| !self.failed.contains_key(part));
        let missing = dexes.filter_map(|part| match part {
            Part::Dex(dex) if self.universe.lacks_dex(dex) => Some(dex.clone()),
            _ => None,
        });
        missing.collect()
    }

    /// Asks until something that was asked for is listed, or, where `without` says that there are streams of no coin to
    /// collect, until the exchange answers. Safe to drop.
    ///
    /// # Errors
    /// When the exchange has never listed a name, or has no such dex.
    pub async fn begin(&mut self, engine: &Engine, without: bool) -> Result<Sorted, NeverListed> {
        let mut pauses = Backoff::new(FIRST_AGAIN, FIRST_LONGEST);
        loop {
            let sorted = self.look(engine).await?;
            let answers = !self.failed.keys().any(|part| part.has(&Part::Perpetuals));
            if !sorted.listed.is_empty() || (without && answers) {
                self.tell(&sorted);
                return Ok(sorted);
            }
            let pause = pauses.pause(&mut self.rng);
            match self.failed.first_key_value() {
                Some((_, error)) => warn!(%error, retry_in = ?pause, "cannot reach {}", self.network),
                None => {
                    let coins = words(&sorted.waiting);
                    warn!(coins, retry_in = ?pause, "{} does not list them now: nothing to collect", self.network);
                }
            }
            sleep(pause).await;
        }
    }

    /// Goes on asking, and has the engine collect what becomes listed. Never ends; safe to drop.
    pub async fn follow(&mut self, engine: &Engine, streams: StreamsOf<'_>) -> Infallible {
        let mut sorted = self.sorted().patient();
        let mut collected: BTreeSet<Coin> = sorted.listed.iter().copied().collect();
        let mut recalled = false;
        let mut pauses = Backoff::new(MISSING_AGAIN, MISSING_LONGEST);
        loop {
            if !recalled && self.failed.is_empty() {
                match self.ends.recall(engine, &self.universe, &self.wish, streams).await {
                    Ok(()) => recalled = true,
                    Err(error) => {
                        warn!(%error, "cannot look for streams whose market may be gone: trying again")
                    }
                }
            }
            let waits = sorted.waiting.iter().any(|coin| !self.ends.ended.contains(coin));
            let is_whole = recalled && self.failed.is_empty() && !waits && !self.ends.is_any_absent();
            let pause = if is_whole {
                pauses = Backoff::new(MISSING_AGAIN, MISSING_LONGEST);
                match u32::try_from(self.wish.parts().len()) {
                    Ok(lists) if !self.wish.every.is_empty() => ALL_EVERY * lists,
                    _ => NAMED_EVERY,
                }
            } else {
                pauses.pause(&mut self.rng)
            };
            let asked = Instant::now();
            tokio::select! {
                biased;
                () = sleep(pause) => {}
                coins = engine.pool.suspected() => {
                    let coins: Vec<_> = coins.into_iter().collect();
                    info!(coins = %words(&coins), "they end sockets: asking whether the exchange still lists them");
                    sleep_until(asked + FRESH_FOR).await;
                }
                () = engine.pool.listings().asked() => sleep_until(asked + FRESH_FOR).await,
            }
            let asked = Instant::now();
            sorted = self.ask(engine).await.patient();
            let new: Vec<_> =
                sorted.listed.iter().filter(|coin| !collected.contains(coin)).copied().collect();
            for coin in new {
                let (streams, standby) = streams(&[coin]);
                match engine.join(&streams, &standby) {
                    Ok(()) => {
                        info!(%coin, "listed by now: collected from here on");
                        self.no_room.remove(&coin);
                        self.ends.ended.remove(&coin);
                        collected.insert(coin);
                    }
                    Err(error) => {
                        if self.no_room.insert(coin, error.to_string()).is_none() {
                            warn!(%coin, %error, "listed by now, and there is no room to collect it");
                        }
                    }
                }
            }
            let failed: BTreeSet<Part> = self.failed.keys().cloned().collect();
            let failed = |part: &Part| failed.iter().any(|of| of.has(part));
            let newly = self.ends.look(engine, &self.universe, &collected, failed).await;
            engine.pool.unlisted(asked, self.ends.unlisted(&self.universe));
            if !newly.is_empty() {
                info!(coins = %words(&newly), "the exchange lists them no longer: asking again");
            }
            for coin in self.ends.end(engine, &self.universe, &collected, streams).await {
                collected.remove(&coin);
            }
            engine.say_missing(self.missing(&sorted));
        }
    }

    /// What is missing of what was named, and why, in words.
    fn missing(&self, sorted: &Sorted) -> BTreeMap<String, String> {
        let unread =
            self.failed.iter().map(|(part, error)| (part.to_string(), format!("cannot be read: {error}")));
        let why = |coin: &Coin| match self.universe.standing(*coin) {
            Standing::Unread => "its list was never read",
            Standing::Listed | Standing::Former | Standing::Unknown => "the exchange does not list it now",
        };
        let waiting = sorted.waiting.iter().chain(&sorted.unknown);
        let waiting = waiting.filter(|coin| !self.ends.ended.contains(coin));
        let waiting = waiting.map(|coin| (coin.to_string(), why(coin).to_owned()));
        let no_room =
            self.no_room.iter().map(|(coin, error)| (coin.to_string(), format!("no room: {error}")));
        unread.chain(waiting).chain(no_room).collect()
    }

    fn tell(&self, sorted: &Sorted) {
        for (part, error) in &self.failed {
            warn!(%error, "{part} cannot be listed: what was known of them serves, and they are asked for again");
        }
        if !sorted.waiting.is_empty() {
            warn!(coins = %words(&sorted.waiting), "not listed now: collected as soon as the exchange lists them");
        }
    }
}

fn words(coins: &[Coin]) -> String {
    coins.iter().map(|coin| coin.as_str()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coins(names: &str) -> Vec<Coin> {
        names.split_whitespace().map(|name| Coin::new(name).unwrap()).collect()
    }

    fn sorted(all: bool, named: &str, universe: &Universe, failed: &[Part]) -> [String; 3] {
        let wish = Wish { every: all.then_some(Part::Perpetuals).into_iter().collect(), named: coins(named) };
        let sorted = wish.sorted(universe, &failed.iter().cloned().collect());
        [sorted.listed, sorted.waiting, sorted.unknown].map(|coins| words(&coins))
    }

    fn of(listed: &str, waiting: &str, unknown: &str) -> [String; 3] {
        [listed, waiting, unknown].map(str::to_owned)
    }

    #[test]
    fn what_is_listed_is_collected_and_the_rest_waits() {
        let mut universe = Universe::default();
        assert_eq!(sorted(true, "", &universe, &[]), of("", "", ""), "nothing was read");
        assert_eq!(sorted(false, "BTC", &universe, &[]), of("", "BTC", ""));
        universe.learn(Part::Perpetuals, coins("BTC ETH"), coins("OLD"));
        assert_eq!(sorted(true, "", &universe, &[]), of("BTC ETH", "", ""));
        assert_eq!(sorted(true, "ETH xyz:NVDA", &universe, &[]), of("BTC ETH", "xyz:NVDA", ""));
        assert_eq!(sorted(false, "ETH OLD", &universe, &[]), of("ETH", "OLD", ""), "delisted");
        universe.learn(Part::Perpetuals, coins("BTC"), Vec::new());
        assert_eq!(sorted(false, "BTC ETH", &universe, &[]), of("BTC", "ETH", ""), "a short answer");
    }

    #[test]
    fn only_a_name_that_a_fresh_answer_lacks_and_no_answer_ever_had_is_unknown() {
        let mut universe = Universe::default();
        universe.learn(Part::Perpetuals, coins("BTC ETH"), Vec::new());
        assert_eq!(sorted(false, "BTC EHT", &universe, &[]), of("BTC", "", "EHT"));
        let failed = [Part::Perpetuals];
        assert_eq!(sorted(false, "BTC NEW", &universe, &failed), of("BTC", "NEW", ""), "the list is old");
    }

    #[test]
    fn outcomes_that_are_only_remembered_wait() {
        let mut universe = Universe::default();
        universe.learn(Part::Perpetuals, coins("BTC"), Vec::new());
        universe.learn(Part::Outcomes, coins("#10 #11"), Vec::new());
        let wish = Wish { every: BTreeSet::from([Part::Outcomes]), named: coins("BTC #10") };
        let sorted = |failed: &[Part]| {
            let sorted = wish.sorted(&universe, &failed.iter().cloned().collect());
            [sorted.listed, sorted.waiting].map(|coins| words(&coins))
        };
        assert_eq!(sorted(&[]), ["#10 #11 BTC", ""]);
        assert_eq!(sorted(&[Part::Perpetuals, Part::Outcomes]), ["BTC", "#10"]);
    }

    #[test]
    fn only_the_lists_that_are_needed_are_read() {
        let parts = |every: &[Part], named: &str| {
            let wish = Wish { every: every.iter().cloned().collect(), named: coins(named) };
            wish.parts().into_iter().collect::<Vec<_>>()
        };
        let xyz = Part::Dex("xyz".to_owned());
        assert_eq!(parts(&[Part::Perpetuals], ""), [Part::Perpetuals]);
        assert_eq!(parts(&[], "BTC xyz:NVDA xyz:TSLA"), [Part::Perpetuals, xyz]);
        assert_eq!(parts(&[], "@107"), [Part::Perpetuals, Part::Spot]);
        assert_eq!(parts(&[Part::EveryDex, Part::Outcomes], "xyz:NVDA"), [Part::EveryDex, Part::Outcomes]);
    }
}
