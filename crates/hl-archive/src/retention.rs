//! How long rows stay in the store, and what becomes of them then.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use hl_core::stream::BookVariant;
use hl_core::time::DAY_MS;
use hl_core::{Interval, StreamKey};

/// What retention is said of: a kind of stream, bars by their interval.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[allow(missing_docs, reason = "each variant is the kind it names")]
pub enum Class {
    Trades,
    Book,
    BookFast,
    Bbo,
    Candles(Interval),
    Mids,
    Context,
    Funding,
}

impl Class {
    /// The class of a stream.
    #[must_use]
    pub fn of(stream: StreamKey) -> Self {
        match stream {
            StreamKey::Trades(_) => Self::Trades,
            StreamKey::Book(_, BookVariant::Default) => Self::Book,
            StreamKey::Book(_, BookVariant::Fast) => Self::BookFast,
            StreamKey::Bbo(_) => Self::Bbo,
            StreamKey::Candle(_, interval) => Self::Candles(interval),
            StreamKey::Mids => Self::Mids,
            StreamKey::Context(_) => Self::Context,
            StreamKey::Funding(_) => Self::Funding,
        }
    }

    /// The classes that a word names; none where it names nothing.
    fn named(word: &str) -> Vec<Self> {
        match word {
            "trades" => vec![Self::Trades],
            "book" => vec![Self::Book],
            "book/fast" => vec![Self::BookFast],
            "bbo" => vec![Self::Bbo],
            "candles" => Interval::ALL.map(Self::Candles).to_vec(),
            "mids" => vec![Self::Mids],
            "context" => vec![Self::Context],
            "funding" => vec![Self::Funding],
            _ => {
                let interval = word.strip_prefix("candles/").and_then(|interval| interval.parse().ok());
                interval.map(Self::Candles).into_iter().collect()
            }
        }
    }

    /// The word that names it alone.
    fn word(self) -> String {
        let word = match self {
            Self::Trades => "trades",
            Self::Book => "book",
            Self::BookFast => "book/fast",
            Self::Bbo => "bbo",
            Self::Candles(interval) => return format!("candles/{interval}"),
            Self::Mids => "mids",
            Self::Context => "context",
            Self::Funding => "funding",
        };
        word.to_owned()
    }

    /// Words that name classes, for help and hints.
    pub const WORDS: [&str; 11] = [
        "trades",
        "book",
        "book/fast",
        "bbo",
        "candles",
        "candles/1m",
        "candles/5m",
        "candles/15m",
        "mids",
        "context",
        "funding",
    ];
}

/// What becomes of rows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rule {
    /// They stay in the store.
    Keep,
    /// After so many days they go to the archive.
    Archive {
        /// At least 1.
        days: u16,
    },
    /// After so many days they are deleted.
    Delete {
        /// At least 1.
        days: u16,
    },
}

impl Rule {
    /// How long rows stay, ms; none where they stay for ever.
    #[must_use]
    pub fn ms(self) -> Option<i64> {
        match self {
            Self::Keep => None,
            Self::Archive { days } | Self::Delete { days } => Some(i64::from(days) * DAY_MS),
        }
    }
}

/// Words that are not a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a retention; write it like 90d, 7d:delete, or off")]
pub struct RetentionError(String);

impl FromStr for Rule {
    type Err = RetentionError;

    fn from_str(text: &str) -> Result<Self, RetentionError> {
        let fail = || RetentionError(text.to_owned());
        if text == "off" {
            return Ok(Self::Keep);
        }
        let (length, deletes) = match text.strip_suffix(":delete") {
            Some(length) => (length, true),
            None => (text, false),
        };
        let days = length.strip_suffix('d').unwrap_or(length);
        let digits = days.bytes().all(|byte| byte.is_ascii_digit());
        let days = days.parse().ok().filter(|days| *days >= 1 && digits).ok_or_else(fail)?;
        Ok(if deletes { Self::Delete { days } } else { Self::Archive { days } })
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keep => f.write_str("off"),
            Self::Archive { days } => write!(f, "{days}d"),
            Self::Delete { days } => write!(f, "{days}d:delete"),
        }
    }
}

/// The rule of every class.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Retention(BTreeMap<Class, Rule>);

impl Default for Retention {
    /// Rows of which there are many go to the archive: trades after 90 days; bars of 1m and 3m after 7, 5m after 30,
    /// 15m after 90; books and bbo after 7; mids and contexts after 30. Longer bars and funding are few, and stay.
    fn default() -> Self {
        let days = |days| Rule::Archive { days };
        Self(BTreeMap::from([
            (Class::Trades, days(90)),
            (Class::Book, days(7)),
            (Class::BookFast, days(7)),
            (Class::Bbo, days(7)),
            (Class::Candles(Interval::M1), days(7)),
            (Class::Candles(Interval::M3), days(7)),
            (Class::Candles(Interval::M5), days(30)),
            (Class::Candles(Interval::M15), days(90)),
            (Class::Mids, days(30)),
            (Class::Context, days(30)),
        ]))
    }
}

impl fmt::Display for Retention {
    /// As `--retention` takes it; what is not named stays.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (class, rule)) in self.0.iter().enumerate() {
            let between = if n > 0 { "," } else { "" };
            write!(f, "{between}{}={rule}", class.word())?;
        }
        Ok(())
    }
}

impl Retention {
    /// Changes the rule of every class that `word` names. Whether it names one.
    pub fn set(&mut self, word: &str, rule: Rule) -> bool {
        let classes = Class::named(word);
        for class in &classes {
            self.0.insert(*class, rule);
        }
        !classes.is_empty()
    }

    /// What becomes of the rows of a stream.
    #[must_use]
    pub fn rule(&self, stream: StreamKey) -> Rule {
        self.0.get(&Class::of(stream)).copied().unwrap_or(Rule::Keep)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retention_survives_its_words() {
        let mut retention = Retention::default();
        assert!(retention.set("candles", Rule::Delete { days: 3 }) && retention.set("book/fast", Rule::Keep));
        let words = retention.to_string();
        assert!(words.starts_with("trades=90d,book=7d,book/fast=off,"), "{words}");
        let mut read = Retention(BTreeMap::new());
        for (class, rule) in words.split(',').map(|word| word.split_once('=').unwrap()) {
            assert!(read.set(class, rule.parse().unwrap()), "{class}");
        }
        assert_eq!(read, retention);
    }

    #[test]
    fn rules_survive_their_text_and_less_than_a_day_is_refused() {
        for (text, rule) in [
            ("off", Rule::Keep),
            ("90d", Rule::Archive { days: 90 }),
            ("7d:delete", Rule::Delete { days: 7 }),
        ] {
            assert_eq!((text.parse(), rule.to_string()), (Ok(rule), text.to_owned()));
        }
        assert_eq!("7".parse(), Ok(Rule::Archive { days: 7 }));
        for bad in ["", "d", "0", "0d", "12h", "-1d", "+1d", "1.5d", "delete", "7d:deleted", "70000d"] {
            assert!(bad.parse::<Rule>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_said_later_counts_for_what_it_names() {
        let mut retention = Retention::default();
        let rule = |retention: &Retention, stream: &str| retention.rule(stream.parse().unwrap()).to_string();
        assert_eq!(rule(&retention, "candle/BTC/1m"), "7d");
        assert_eq!(rule(&retention, "candle/BTC/1h"), "off");
        assert!(retention.set("candles", Rule::Archive { days: 3 }));
        assert!(retention.set("candles/1m", Rule::Keep) && retention.set("bbo", Rule::Delete { days: 1 }));
        assert_eq!(rule(&retention, "candle/BTC/1m"), "off");
        assert_eq!(
            (rule(&retention, "candle/BTC/1M"), rule(&retention, "bbo/BTC")),
            ("3d".into(), "1d:delete".into())
        );
        assert!(!retention.set("trade", Rule::Keep) && !retention.set("candles/7m", Rule::Keep));
        assert!(Class::WORDS.iter().all(|word| !Class::named(word).is_empty()));
    }
}
