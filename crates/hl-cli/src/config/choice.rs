//! Which kinds of stream.

use std::fmt;
use std::str::FromStr;

use hl_core::{Interval, Kind};

use super::ValueError;

/// A kind of stream, as `--streams` names it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct StreamChoice(pub Kind);

impl StreamChoice {
    /// What a daemon collects as it comes. Settled funding is read by `hl-cli backfill funding`.
    fn all() -> impl Iterator<Item = Self> {
        Kind::ALL.into_iter().filter(|kind| kind.spec().live).map(Self)
    }

    fn word(self) -> &'static str {
        self.0.spec().word
    }
}

impl fmt::Display for StreamChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl FromStr for StreamChoice {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, ValueError> {
        let found = Kind::of_word(text).filter(|kind| kind.spec().live).map(Self);
        found.ok_or_else(|| {
            ValueError::unknown("stream", text, Self::all().map(Self::word).collect::<Vec<_>>())
        })
    }
}

/// An interval that a daemon collects: one whose bars all have the same length and begin on multiples of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct LiveInterval(pub(super) Interval);

impl FromStr for LiveInterval {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text.parse::<Interval>()? {
            interval if interval.is_fixed() => Ok(Self(interval)),
            interval => Err(ValueError::Calendar(interval)),
        }
    }
}

#[cfg(test)]
mod tests {
    use hl_core::{Coin, StreamKey};

    use super::*;

    #[test]
    fn weeks_and_months_are_not_collected_live() {
        assert_eq!("1d".parse::<LiveInterval>().unwrap().0, Interval::D1);
        for text in ["1w", "1M"] {
            let error = text.parse::<LiveInterval>().unwrap_err().to_string();
            assert!(error.contains("derive them from 1d"), "{error}");
        }
    }

    #[test]
    fn every_kind_can_be_chosen_by_its_name() {
        for choice in StreamChoice::all() {
            assert_eq!(choice.to_string().parse(), Ok(choice));
        }
        let error = "candel".parse::<StreamChoice>().unwrap_err().to_string();
        assert_eq!(error, r#"unknown stream "candel"; did you mean "candle"?"#);
        assert_eq!("candles".parse(), Ok(StreamChoice(Kind::Candle)), "as it was called");
    }

    #[test]
    fn streams_of_coins_and_intervals() {
        let coins = ["BTC", "ETH"].map(|name| Coin::new(name).unwrap());
        let text = |choice: &str| {
            let keys =
                choice.parse::<StreamChoice>().unwrap().0.streams(&coins, &[Interval::M1, Interval::H1]);
            keys.iter().map(StreamKey::to_string).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(text("candle"), "candle/BTC/1m candle/BTC/1h candle/ETH/1m candle/ETH/1h");
        assert_eq!(text("book/fast"), "book/BTC/fast book/ETH/fast");
        assert_eq!(text("mids"), "mids");
    }
}
