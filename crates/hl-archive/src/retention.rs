//! How long rows stay in the store, and what becomes of them then.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use hl_core::time::DAY_MS;
use hl_core::{Interval, Kind, StreamKey};

/// What retention is said of: a kind of stream, bars by their interval.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Class {
    kind: Kind,
    interval: Option<Interval>,
}

impl Class {
    /// The class of a stream.
    #[must_use]
    pub fn of(stream: StreamKey) -> Self {
        let interval = if let StreamKey::Candle(_, interval) = stream { Some(interval) } else { None };
        Self { kind: stream.kind(), interval }
    }

    /// Every class.
    fn all() -> impl Iterator<Item = Self> {
        Kind::ALL.into_iter().flat_map(Self::of_kind)
    }

    fn of_kind(kind: Kind) -> Vec<Self> {
        match kind {
            Kind::Candle => Interval::ALL.map(|interval| Self { kind, interval: Some(interval) }).to_vec(),
            // Its last rows say what is new: they stay where they are.
            Kind::Markets => Vec::new(),
            kind => vec![Self { kind, interval: None }],
        }
    }

    /// The classes that a word names; none where it names nothing.
    fn named(word: &str) -> Vec<Self> {
        if let Some(kind) = Kind::of_word(word) {
            return Self::of_kind(kind);
        }
        let Some((kind, interval)) = word.split_once('/') else { return Vec::new() };
        let kind = Kind::of_word(kind);
        let named =
            |class: &Self| Some(class.kind) == kind && class.interval.is_some_and(|i| i.as_str() == interval);
        Self::all().filter(named).collect()
    }

    /// The word that names it alone.
    fn word(self) -> String {
        let word = self.kind.spec().word;
        self.interval.map_or_else(|| word.to_owned(), |interval| format!("{word}/{interval}"))
    }

    /// Words that name classes, for help and hints.
    #[must_use]
    pub fn words() -> Vec<String> {
        let kinds = Kind::ALL.into_iter().filter(|kind| !Self::of_kind(*kind).is_empty());
        let kinds = kinds.map(|kind| kind.spec().word.to_owned());
        kinds
            .chain(
                Self::all()
                    .filter(|class| class.interval.is_some() && class.keep_days().is_some())
                    .map(Self::word),
            )
            .collect()
    }

    /// How many days its rows stay in the store by default; none where they stay for ever.
    fn keep_days(self) -> Option<u16> {
        let spec = self.kind.spec();
        let part = self
            .interval
            .map_or_else(|| spec.word.split_once('/').map_or("", |(_, part)| part), Interval::as_str);
        spec.keep_days.iter().find(|(of, _)| *of == part).map(|(_, days)| *days)
    }
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
    /// What the description of each kind says: rows of which there are many go to the archive.
    fn default() -> Self {
        let rule = |class: Class| Some((class, Rule::Archive { days: class.keep_days()? }));
        Self(Class::all().filter_map(rule).collect())
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
        assert!(retention.set("candle", Rule::Delete { days: 3 }) && retention.set("book/fast", Rule::Keep));
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
        assert!(retention.set("candle", Rule::Archive { days: 3 }));
        assert!(retention.set("candle/1m", Rule::Keep) && retention.set("bbo", Rule::Delete { days: 1 }));
        assert_eq!(rule(&retention, "candle/BTC/1m"), "off");
        assert_eq!(
            (rule(&retention, "candle/BTC/1M"), rule(&retention, "bbo/BTC")),
            ("3d".into(), "1d:delete".into())
        );
        assert!(!retention.set("trade", Rule::Keep) && !retention.set("candle/7m", Rule::Keep));
        assert!(Class::words().iter().all(|word| !Class::named(word).is_empty()));
    }
}
