//! What can be wrong with a configuration.

use std::io;
use std::path::PathBuf;

use hl_core::interval::IntervalError;
use hl_core::seam::EndpointError;
use hl_core::symbol::CoinError;

use super::Place;

/// A configuration that cannot be used. Its text names the place and, where there is one, the nearest right word.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The command line is wrong, or asks for help or the version.
    #[error("{0}")]
    CommandLine(#[from] clap::Error),
    /// A variable begins like ours and is none, or is not text.
    #[error("{name}: {problem}")]
    Variable {
        /// Its name.
        name: String,
        /// What is wrong.
        problem: ValueError,
    },
    /// The configuration file cannot be read.
    #[error("{}: cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The configuration file is not TOML.
    #[error("{place}: {message}")]
    Syntax {
        /// File and line.
        place: Place,
        /// What the parser says.
        message: String,
    },
    /// A key or a value is wrong.
    #[error("{place}: {problem}")]
    Value {
        /// Where it is written.
        place: Place,
        /// What is wrong.
        problem: ValueError,
    },
}

impl ConfigError {
    /// Help and version are answers, not errors: whether this is one of them.
    #[must_use]
    pub fn is_answer(&self) -> bool {
        matches!(self, Self::CommandLine(error) if !error.use_stderr())
    }
}

/// What is wrong with one key or value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// A word from a fixed set was expected.
    #[error("unknown {what} {text:?}; {hint}")]
    Unknown {
        /// What the word should name.
        what: &'static str,
        /// The word.
        text: String,
        /// The nearest right word, or all of them.
        hint: Hint,
    },
    /// The text has not the form of such a value.
    #[error("{text:?} is not {what}; write it like {example}")]
    Malformed {
        /// What was expected, with its article.
        what: &'static str,
        /// The text, passwords masked.
        text: String,
        /// How it is written.
        example: String,
    },
    /// Nothing is written where a value belongs.
    #[error("the value is empty")]
    Empty,
    /// The variable is not valid UTF-8.
    #[error("the value is not text")]
    NotText,
    /// The value in the file is of another type.
    #[error("{key} is {expected}, not {found}")]
    Type {
        /// The key.
        key: &'static str,
        /// What belongs there.
        expected: &'static str,
        /// What is there.
        found: &'static str,
    },
    /// No retention.
    #[error(transparent)]
    Retention(#[from] hl_archive::RetentionError),
    /// No schedule.
    #[error(transparent)]
    Schedule(#[from] hl_scheduler::plan::TriggerError),
    /// Not an address.
    #[error(transparent)]
    User(#[from] hl_core::symbol::UserError),
    /// What a rule does not take.
    #[error(transparent)]
    Rule(#[from] hl_traders::RuleError),
    /// Nothing is to be chosen.
    #[error("--track-rule needs --track N")]
    RuleWithoutTrack,
    /// A standby is of trades.
    #[error("a standby is for trades, and --streams leaves them out")]
    StandbyWithoutTrades,
    /// A name that no dex can have.
    #[error("{0:?} cannot be the name of a dex; write it like xyz, or '*' for every dex")]
    Dex(String),
    /// A past is of candles.
    #[error("the past that can be fetched is that of candles, and --streams leaves them out")]
    BackfillWithoutCandles,
    /// Both are JSON lines, and readers would have to tell them apart.
    #[error("standard output has either events or, with --json, the status")]
    EventsAndStatus,
    /// Events of it would never come.
    #[error("{0} is not collected: see --coin, --streams and --intervals")]
    NotTold(String),
    /// A base URL that is none.
    #[error(transparent)]
    Url(#[from] EndpointError),
    /// A text that no coin can be called.
    #[error(transparent)]
    Coin(#[from] CoinError),
    /// An interval that the exchange has not.
    #[error(transparent)]
    Interval(#[from] IntervalError),
    /// Bars of the calendar begin at days that no arithmetic tells.
    #[error(
        "bars of {0} follow the calendar and are not collected live; derive them from 1d, or read them once with hl-cli backfill candle --interval {0}"
    )]
    Calendar(hl_core::Interval),
}

/// How to put a wrong word right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hint {
    /// This is what was probably meant.
    Nearest(String),
    /// Nothing is near; these exist.
    OneOf(Vec<String>),
}

impl std::fmt::Display for Hint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nearest(word) => write!(f, "did you mean {word:?}?"),
            Self::OneOf(words) => write!(f, "it can be {}", words.join(", ")),
        }
    }
}

impl ValueError {
    /// The error for a word that is not among `words`.
    pub(crate) fn unknown<'a>(
        what: &'static str,
        text: &str,
        words: impl IntoIterator<Item = &'a str> + Clone,
    ) -> Self {
        let hint = match crate::nearest(text, words.clone()) {
            Some(word) => Hint::Nearest(word.to_owned()),
            None => Hint::OneOf(words.into_iter().map(str::to_owned).collect()),
        };
        Self::Unknown { what, text: text.to_owned(), hint }
    }
}
