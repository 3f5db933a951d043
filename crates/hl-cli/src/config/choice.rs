//! Which kinds of stream.

use std::fmt;
use std::str::FromStr;

use hl_core::stream::BookVariant;
use hl_core::{Coin, Interval, Kind, StreamKey};

use super::ValueError;

/// A kind of stream, as `--streams` names it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct StreamChoice(pub Kind);

impl StreamChoice {
    /// What a daemon collects by itself. Settled funding is read by `hl-cli backfill funding`.
    const ALL: [Self; 7] = [
        Self(Kind::Trades),
        Self(Kind::Book),
        Self(Kind::BookFast),
        Self(Kind::Bbo),
        Self(Kind::Candle),
        Self(Kind::Mids),
        Self(Kind::Context),
    ];

    fn name(self) -> &'static str {
        match self.0 {
            Kind::BookFast => "book/fast",
            Kind::Candle => "candles",
            kind => kind.spec().name,
        }
    }

    /// The streams of this kind: one a coin, for candles one a coin and interval, for mids one altogether.
    #[must_use]
    pub fn keys(self, coins: &[Coin], intervals: &[Interval]) -> Vec<StreamKey> {
        let each = |key: fn(Coin) -> StreamKey| coins.iter().map(|&coin| key(coin)).collect();
        match self.0 {
            Kind::Mids => vec![StreamKey::Mids],
            Kind::Trades => each(StreamKey::Trades),
            Kind::Bbo => each(StreamKey::Bbo),
            Kind::Context => each(StreamKey::Context),
            Kind::Funding => each(StreamKey::Funding),
            Kind::Book => each(|coin| StreamKey::Book(coin, BookVariant::Default)),
            Kind::BookFast => each(|coin| StreamKey::Book(coin, BookVariant::Fast)),
            Kind::Candle => coins
                .iter()
                .flat_map(|&coin| intervals.iter().map(move |&interval| StreamKey::Candle(coin, interval)))
                .collect(),
        }
    }
}

impl fmt::Display for StreamChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for StreamChoice {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, ValueError> {
        Self::ALL
            .into_iter()
            .find(|choice| choice.name() == text)
            .ok_or_else(|| ValueError::unknown("stream", text, Self::ALL.map(Self::name)))
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
        for choice in StreamChoice::ALL {
            assert_eq!(choice.to_string().parse(), Ok(choice));
        }
        let error = "candle".parse::<StreamChoice>().unwrap_err().to_string();
        assert_eq!(error, r#"unknown stream "candle"; did you mean "candles"?"#);
    }

    #[test]
    fn streams_of_coins_and_intervals() {
        let coins = ["BTC", "ETH"].map(|name| Coin::new(name).unwrap());
        let text = |choice: &str| {
            let keys = choice.parse::<StreamChoice>().unwrap().keys(&coins, &[Interval::M1, Interval::H1]);
            keys.iter().map(StreamKey::to_string).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(text("candles"), "candle/BTC/1m candle/BTC/1h candle/ETH/1m candle/ETH/1h");
        assert_eq!(text("book/fast"), "book/BTC/fast book/ETH/fast");
        assert_eq!(text("mids"), "mids");
    }
}
