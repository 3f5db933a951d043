//! The configuration of `hl-daemon`: from flags, variables and a file to one typed [`Config`].
//!
//! What lives here: the table of options, reading the three layers, the typed values and their errors, and the
//! effective configuration as text. All of it is pure: arguments, environment and file content come in as values.
//! What does not: acting on any of it.

mod alerts;
mod archive;
mod choice;
mod coins;
mod command;
mod duration;
mod error;
mod events;
mod files;
mod jobs;
mod layers;
mod network;
mod options;
mod place;
mod print;
mod process;
mod standby;
mod store;
mod track;
mod usual;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use hl_archive::Retention;
use hl_core::seam::Seed;
use hl_core::spread::MAX_WEIGHT;
use hl_core::thinning::Policy;
use hl_core::{Coin, Decimal, Interval, Kind, StreamKey};
use hl_engine::markets::Wish;
use hl_engine::universe::Part;
use tracing::Level;

pub use alerts::Webhook;
use choice::LiveInterval;
pub use choice::StreamChoice;
pub use coins::{Coins, CoinsError, NamedCoin};
pub use command::{Flag, Told};
pub use duration::parse_duration;
pub use error::{ConfigError, Hint, ValueError};
pub use events::EventChoice;
pub use files::Files;
pub use hl_engine::network::Holds;
pub use jobs::Jobs;
pub use network::{Endpoints, Network, Target};
pub use place::Place;
pub(crate) use process::complain;
pub use process::{ThisMachine, load_process};
pub use standby::Standby;
pub(crate) use store::mask_words;
pub use store::{MongoUri, StoreUri, mask};
pub use track::TrackRules;

use layers::Layer;
use options::{CONFIG, OPTIONS, PRINT_CONFIG};
use place::Sourced;

/// Everything that `hl-daemon` can be told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// Which exchange.
    pub network: Network,
    /// Which coins.
    pub coins: Coins,
    /// The parts of the exchange of which every market is collected, those to come included.
    pub every: BTreeSet<Part>,
    /// Which kinds of stream, each once.
    pub streams: Vec<StreamChoice>,
    /// Intervals of the candles, each once.
    pub intervals: Vec<Interval>,
    /// How much of the past of its candles a stream is to have from its start on.
    pub backfill: Option<Duration>,
    /// Which coins get a warm standby.
    pub standby: Standby,
    /// Which rows are left out on purpose.
    pub policy: Policy,
    /// When planned jobs run.
    pub jobs: Jobs,
    /// Where to keep the data.
    pub store: StoreUri,
    /// Its part where the streams are shared, 1 to 100; none where that was not said.
    pub weight: Option<u8>,
    /// What this machine is called; by its host name where none.
    pub name: Option<String>,
    /// From where to reach the exchange; as the system routes where none.
    pub local_address: Option<IpAddr>,
    /// Where to answer over HTTP, where that was asked for.
    pub http: Option<SocketAddr>,
    /// Whom to tell of alerts.
    pub webhook: Option<Webhook>,
    /// Where old rows go.
    pub archive: PathBuf,
    /// When they go there.
    pub retention: Retention,
    /// Whom to track of the leaderboard, where that was asked for.
    pub track: Option<TrackRules>,
    /// How long to run; until stopped where none.
    pub run_for: Option<Duration>,
    /// The market of a simulated exchange inside the process; without effect elsewhere.
    pub sim: SimOptions,
    /// What to log.
    pub log: LogOptions,
    /// Status lines as JSON instead of the table.
    pub json: bool,
    /// Which events go to standard output instead of the status, each once.
    pub stdout: Vec<EventChoice>,
    /// Where programs connect that want all events.
    pub socket: Option<PathBuf>,
}

/// The simulated market.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SimOptions {
    /// Its seed.
    pub seed: Seed,
    /// Its coins, 1 to 1000.
    pub coins: usize,
}

/// The log, on standard error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogOptions {
    /// The least important level that is shown.
    pub level: Level,
    /// Lines as JSON.
    pub json: bool,
}

/// What the layers came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Where `--print-config` asks for it: the configuration as TOML, each value with its place, passwords masked.
    pub print: Option<String>,
    /// The configuration file that was read.
    pub file: Option<PathBuf>,
}

impl Config {
    /// The streams to collect, given the coins that [`Coins::resolve`] found.
    #[must_use]
    pub fn stream_keys(&self, coins: &[Coin]) -> Vec<StreamKey> {
        let streams = self.streams.iter().flat_map(|choice| choice.0.streams(coins, &self.intervals));
        streams.filter(|stream| stream.coin().is_none_or(|coin| stream.kind().is_of(coin))).collect()
    }
}

impl Config {
    /// What is asked of the exchange's markets. Where positions are followed every perpetual of the first dex has to be heard.
    #[must_use]
    pub fn wish(&self) -> Wish {
        let mut wish = self.coins.wish(&self.network, &self.every);
        wish.every.extend(self.track.as_ref().map(|_| Part::Perpetuals));
        wish
    }

    /// The streams of these markets: those that were asked for, and the trades by which positions are followed.
    #[must_use]
    pub fn collected(&self, coins: &[Coin]) -> Vec<StreamKey> {
        let wish = self.coins.wish(&self.network, &self.every);
        let asked: Vec<_> = coins.iter().copied().filter(|coin| wish.has(*coin)).collect();
        let mut streams = self.stream_keys(&asked);
        if self.track.is_some() {
            let heard = coins.iter().filter(|coin| Part::of(**coin) == Part::Perpetuals);
            let heard = heard.map(|coin| StreamKey::Trades(*coin));
            let heard: Vec<_> = heard.filter(|stream| !streams.contains(stream)).collect();
            streams.extend(heard);
        }
        streams
    }

    /// The flags by which `hl-cli` finds the store, each after a space; none where it finds it by itself.
    #[must_use]
    pub fn store_flags(&self, files: &dyn Files) -> String {
        if self.store == usual::of(&Network::Mainnet, files) {
            String::new()
        } else if self.store == usual::of(&self.network, files) {
            format!(" --network {}", self.network.name())
        } else {
            format!(" --store {}", quoted(&self.store.to_string()))
        }
    }
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:@=,+".contains(c);
    if word.chars().all(is_plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

/// Reads the configuration: flags over variables over the file over defaults. `arguments` begin with the program's
/// name.
///
/// # Errors
/// When anything is unknown or malformed, naming its place; and when help or version is asked for
/// ([`ConfigError::is_answer`]).
pub fn load(
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    files: &dyn Files,
) -> Result<Loaded, ConfigError> {
    let matches = options::command().try_get_matches_from(arguments)?;
    let environment = layers::environment(environment)?;
    let path = matches.get_one::<String>(CONFIG).or(environment.config.as_ref()).map(PathBuf::from);
    let file = match &path {
        Some(path) => layers::read(path, files)?,
        None => Layer::new(),
    };
    let mut settings = Settings(defaults());
    settings.0.extend(file);
    settings.0.extend(environment.layer);
    settings.0.extend(layers::flags(&matches)?);
    let config = settings.config(files)?;
    // What they come to depends on the other values, and on what is there.
    let came_to = [("store", config.store.to_string()), ("archive", config.archive.display().to_string())];
    for (key, text) in came_to {
        settings.0.entry(key).or_insert_with(|| vec![Sourced { text, place: Place::Default }]);
    }
    let print = matches.get_flag(PRINT_CONFIG).then(|| print::toml(&settings.0));
    Ok(Loaded { config, print, file: path })
}

fn defaults() -> Layer {
    let sourced = |text| Sourced::split(text, &Place::Default);
    OPTIONS.iter().filter_map(|opt| Some((opt.key, sourced(opt.default?)))).collect()
}

/// The layers laid over each other: every option that has a value.
struct Settings(Layer);

impl Settings {
    fn config(&self, files: &dyn Files) -> Result<Config, ConfigError> {
        let store = self.store(files)?;
        let coins = match self.0.get("coin") {
            Some(words) => {
                Coins::parse(words).map_err(|(place, problem)| ConfigError::Value { place, problem })?
            }
            None => Coins::Default,
        };
        let streams: Vec<StreamChoice> = self.each_once("streams")?;
        let standby = match self.0.get("standby").map(Vec::as_slice) {
            Some([first, ..]) if !streams.contains(&StreamChoice(Kind::Trades)) => {
                let (place, problem) = (first.place.clone(), ValueError::StandbyWithoutTrades);
                return Err(ConfigError::Value { place, problem });
            }
            Some(words) => {
                Standby::parse(words).map_err(|(place, problem)| ConfigError::Value { place, problem })?
            }
            None => Standby::None,
        };
        let backfill = self.said("backfill", parse_duration)?;
        if let Some([.., last]) = self.0.get("backfill").map(Vec::as_slice)
            && !streams.contains(&StreamChoice(Kind::Candle))
        {
            let (place, problem) = (last.place.clone(), ValueError::BackfillWithoutCandles);
            return Err(ConfigError::Value { place, problem });
        }
        let config = Config {
            network: self.one("network")?,
            coins,
            every: self.every()?,
            streams,
            intervals: self
                .each_once("intervals")?
                .into_iter()
                .map(|LiveInterval(interval)| interval)
                .collect(),
            backfill,
            standby,
            policy: Policy {
                min_trade_usd: self.said("min-trade", |text| amount(text, Decimal::MAX, "1000, in USD"))?,
                book_move_percent: self.said("book-on-move", |text| {
                    amount(text, Decimal::ONE_HUNDRED, "0.5, in percent, at most 100")
                })?,
                book_every_ms: self.said("book-every", parse_duration)?.map(duration_ms),
            },
            jobs: self.jobs()?,
            archive: self.archive(&store),
            retention: self.retention()?,
            track: self.track()?,
            store,
            weight: self.said("weight", |text| number(text, 1, MAX_WEIGHT, "3, at most 100"))?,
            name: self.said("name", name)?,
            local_address: self.said("local-address", local_address)?,
            http: self.said("http", alerts::http)?,
            webhook: self.said("webhook", |text| Ok(text.parse::<Webhook>()?))?,
            run_for: self.said("for", parse_duration)?,
            sim: SimOptions {
                seed: Seed(self.with("sim-seed", |text| number(text, 0, u64::MAX, "7"))?),
                coins: self.with("sim-coins", |text| number(text, 1, 1_000, "5, at most 1000"))?,
            },
            log: LogOptions { level: self.with("log", level)?, json: self.with("log-json", switch)? },
            json: self.with("json", switch)?,
            stdout: self.each_once("stdout")?,
            socket: self.said("socket", |path| Ok(PathBuf::from(path)))?,
        };
        self.check_stdout(&config)?;
        Ok(config)
    }

    /// Events and status are not mixed, and what is to be told must be collected.
    fn check_stdout(&self, config: &Config) -> Result<(), ConfigError> {
        for value in self.0.get("stdout").into_iter().flatten() {
            let problem = match value.text.parse() {
                _ if config.json => ValueError::EventsAndStatus,
                Ok(choice) if !config.may_tell(choice) => ValueError::NotTold(choice.to_string()),
                _ => continue,
            };
            return Err(ConfigError::Value { place: value.place.clone(), problem });
        }
        Ok(())
    }

    fn every(&self) -> Result<BTreeSet<Part>, ConfigError> {
        let dex = |word: &Sourced| match word.text.as_str() {
            "*" => Ok(Part::EveryDex),
            // No coin could have this in front.
            text if text.is_empty() || text.contains(|c: char| !c.is_ascii_alphanumeric()) => {
                let problem = ValueError::Dex(text.to_owned());
                Err(ConfigError::Value { place: word.place.clone(), problem })
            }
            text => Ok(Part::Dex(text.to_owned())),
        };
        let mut every: BTreeSet<Part> =
            self.0.get("dex").into_iter().flatten().map(dex).collect::<Result<_, _>>()?;
        every.extend(self.with("spot", switch)?.then_some(Part::Spot));
        every.extend(self.with("outcomes", switch)?.then_some(Part::Outcomes));
        Ok(every)
    }

    fn jobs(&self) -> Result<Jobs, ConfigError> {
        let words = self.0.get("job").map_or(&[][..], Vec::as_slice);
        Jobs::parse(words).map_err(|(place, problem)| ConfigError::Value { place, problem })
    }

    fn store(&self, files: &dyn Files) -> Result<StoreUri, ConfigError> {
        match self.said("store", |text| Ok(text.parse::<StoreUri>()?))? {
            Some(store) => Ok(store),
            None => Ok(usual::of(&self.one("network")?, files)),
        }
    }

    fn archive(&self, store: &StoreUri) -> PathBuf {
        let said = self.0.get("archive").and_then(|values| values.last());
        said.map_or_else(|| archive::beside(store), |folder| PathBuf::from(&folder.text))
    }

    fn retention(&self) -> Result<Retention, ConfigError> {
        let words = self.0.get("retention").map_or(&[][..], Vec::as_slice);
        archive::retention(words).map_err(|(place, problem)| ConfigError::Value { place, problem })
    }

    fn track(&self) -> Result<Option<TrackRules>, ConfigError> {
        let most = self.said("track", |text| number(text, 1, track::MOST, "500, at most 100000"))?;
        let words = self.0.get("track-rule").map_or(&[][..], Vec::as_slice);
        track::rules(most, words).map_err(|(place, problem)| ConfigError::Value { place, problem })
    }

    /// The value of an option that has one, by `parse`.
    fn with<T>(
        &self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, ValueError>,
    ) -> Result<T, ConfigError> {
        // The last one counts, as everywhere on a command line. Options without a default are asked for only when
        // they have a value.
        let value = self.0.get(key).and_then(|values| values.last());
        let empty = || ConfigError::Value { place: Place::Flag(key), problem: ValueError::Empty };
        let value = value.ok_or_else(empty)?;
        parse(&value.text).map_err(|problem| ConfigError::Value { place: value.place.clone(), problem })
    }

    /// The value of an option without a default, where it was said.
    fn said<T>(
        &self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, ValueError>,
    ) -> Result<Option<T>, ConfigError> {
        self.0.contains_key(key).then(|| self.with(key, parse)).transpose()
    }

    fn one<T: FromStr<Err = ValueError>>(&self, key: &'static str) -> Result<T, ConfigError> {
        self.with(key, str::parse)
    }

    fn each_once<T>(&self, key: &'static str) -> Result<Vec<T>, ConfigError>
    where
        T: FromStr + PartialEq,
        ValueError: From<T::Err>,
    {
        let mut all = Vec::new();
        for value in self.0.get(key).into_iter().flatten() {
            let parsed = value.text.parse().map_err(|problem: T::Err| ConfigError::Value {
                place: value.place.clone(),
                problem: problem.into(),
            })?;
            if !all.contains(&parsed) {
                all.push(parsed);
            }
        }
        Ok(all)
    }
}

fn number<T>(text: &str, least: T, most: T, example: &str) -> Result<T, ValueError>
where
    T: FromStr + PartialOrd,
{
    let number = text.parse().ok().filter(|n| *n >= least && *n <= most);
    number.ok_or_else(|| ValueError::Malformed {
        what: "a number in range",
        text: text.to_owned(),
        example: example.to_owned(),
    })
}

/// A decimal above zero.
fn amount(text: &str, most: Decimal, example: &str) -> Result<Decimal, ValueError> {
    let amount = Decimal::from_str_exact(text).ok().filter(|n| *n > Decimal::ZERO && *n <= most);
    amount.ok_or_else(|| ValueError::Malformed {
        what: "an amount in range",
        text: text.to_owned(),
        example: example.to_owned(),
    })
}

/// A name that fits into a line, and into the name of a ledger.
fn name(text: &str) -> Result<String, ValueError> {
    let fits = (1..=64).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c));
    if fits {
        return Ok(text.to_owned());
    }
    Err(ValueError::Malformed {
        what: "a name of a machine",
        text: text.to_owned(),
        example: "collector-2: letters, digits, - . _, at most 64".to_owned(),
    })
}

fn local_address(text: &str) -> Result<IpAddr, ValueError> {
    text.parse().map_err(|_| ValueError::Malformed {
        what: "an IP address",
        text: text.to_owned(),
        example: "192.0.2.7".to_owned(),
    })
}

fn duration_ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn switch(text: &str) -> Result<bool, ValueError> {
    match text {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(ValueError::unknown("value", text, ["true", "false"])),
    }
}

fn level(text: &str) -> Result<Level, ValueError> {
    match text {
        "error" => Ok(Level::ERROR),
        "warn" => Ok(Level::WARN),
        "info" => Ok(Level::INFO),
        "debug" => Ok(Level::DEBUG),
        "trace" => Ok(Level::TRACE),
        _ => Err(ValueError::unknown("level", text, ["error", "warn", "info", "debug", "trace"])),
    }
}

#[cfg(test)]
mod tests;
