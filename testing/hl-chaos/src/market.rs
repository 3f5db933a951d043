//! Markets to run against: which streams are collected, and how busy the simulated exchange is.

use std::fmt;
use std::str::FromStr;

use hl_core::StreamKey;
use hl_sim::SimConfig;

/// What a quiet daemon collects: every kind but those of which the exchange itself pushes a frame a second or more.
const QUIET: [&str; 8] = [
    "trades/BTC",
    "trades/ETH",
    "bbo/ETH",
    "book/BTC",
    "candle/BTC/1m",
    "candle/ETH/1m",
    "candle/BTC/5m",
    "mids",
];

/// Every kind, on two coins.
const EVERYTHING: [&str; 12] = [
    "trades/BTC",
    "trades/SOL",
    "book/BTC",
    "book/BTC/fast",
    "bbo/BTC",
    "bbo/SOL",
    "candle/BTC/1m",
    "candle/SOL/1m",
    "candle/BTC/5m",
    "mids",
    "context/BTC",
    "context/SOL",
];

/// Trades and bars of different coins: neither tells anything of the other.
const APART: [&str; 7] = [
    "trades/ETH",
    "trades/HYPE",
    "bbo/HYPE",
    "candle/BTC/1m",
    "candle/BTC/5m",
    "candle/SOL/1m",
    "candle/DOGE/1m",
];

/// The trades of every coin of the exchange: what positions are followed by.
const HEARD: [&str; 5] = ["trades/BTC", "trades/ETH", "trades/SOL", "trades/HYPE", "trades/DOGE"];

/// Coins of a busy market, all of their trades, best bids and offers and bars.
const BUSY_COINS: [&str; 6] = ["BTC", "ETH", "SOL", "HYPE", "DOGE", "XRP"];
const BUSY: [&str; 4] = ["book/BTC", "book/BTC/fast", "context/BTC", "mids"];

/// Frames a second of the quiet market, as measured: what the exchange pushes at fixed intervals, and what the order flow
/// makes at an activity of 1.
const QUIET_PUSHED: f64 = 0.4;
const QUIET_FLOW: f64 = 13.0;
/// Frames a second of the busy market at an activity of 1, as measured; they grow with its square root, since blocks fill.
const BUSY_FLOW: f64 = 19.0;

/// A market.
#[derive(Clone, PartialEq, Debug)]
pub struct Market {
    /// The streams that the daemon collects.
    pub streams: Vec<StreamKey>,
    /// Coins of the exchange.
    pub coins: usize,
    /// How busy it is, see [`SimConfig::activity`].
    pub activity: f64,
    /// How many traders are tracked.
    pub tracked: usize,
}

impl Market {
    /// About one frame a second.
    #[must_use]
    pub fn quiet() -> Self {
        Self { streams: keys(QUIET), coins: 5, activity: 0.045, tracked: 0 }
    }

    /// About a hundred frames a second.
    #[must_use]
    pub fn busy() -> Self {
        let flow = BUSY_COINS
            .iter()
            .flat_map(|c| [format!("trades/{c}"), format!("bbo/{c}"), format!("candle/{c}/1m")]);
        let mut streams = keys(BUSY);
        streams.extend(flow.filter_map(|name| name.parse::<StreamKey>().ok()));
        Self { streams, coins: BUSY_COINS.len(), activity: 28.0, tracked: 0 }
    }

    /// The market of the tests: every kind of stream, two coins out of five, about fifteen frames a second.
    #[must_use]
    pub fn mixed() -> Self {
        Self { streams: keys(EVERYTHING), coins: 5, activity: 1.0, tracked: 0 }
    }

    /// Trades and bars of different coins, as busy as in the mixed market: what goes wrong with one shows in no other. And
    /// nothing that is pushed at fixed intervals, whose absence would show that a socket is dead.
    #[must_use]
    pub fn apart() -> Self {
        Self { streams: keys(APART), coins: 5, activity: 1.0, tracked: 0 }
    }

    /// The trades of every coin, and thirty traders whose positions are followed by them.
    #[must_use]
    pub fn traders() -> Self {
        Self { streams: keys(HEARD), coins: HEARD.len(), activity: 1.0, tracked: 30 }
    }

    /// A market of about so many frames a second: the quiet one up to eight, the busy one above.
    ///
    /// # Errors
    /// When it cannot be so quiet, or so busy.
    pub fn with_frames(per_second: f64) -> Result<Self, MarketError> {
        match per_second {
            0.6..=8.0 => Ok(Self { activity: (per_second - QUIET_PUSHED) / QUIET_FLOW, ..Self::quiet() }),
            8.0..=130.0 => Ok(Self { activity: (per_second / BUSY_FLOW).powi(2), ..Self::busy() }),
            _ => Err(MarketError::Rate(per_second)),
        }
    }

    /// A configuration of the exchange that makes this market.
    #[must_use]
    pub fn config(&self, seed: u64) -> SimConfig {
        SimConfig { seed, coins: self.coins, activity: self.activity, ..SimConfig::default() }
    }
}

fn keys<const N: usize>(names: [&str; N]) -> Vec<StreamKey> {
    names.iter().filter_map(|name| name.parse().ok()).collect()
}

/// There is no such market.
#[derive(Debug, thiserror::Error)]
pub enum MarketError {
    /// The text names none.
    #[error("{0:?} is no market: quiet, mixed, apart, busy or traders")]
    Name(String),
    /// It cannot be so quiet, or so busy.
    #[error("no market has {0} frames a second; it must be 0.6 to 130")]
    Rate(f64),
}

impl FromStr for Market {
    type Err = MarketError;

    fn from_str(name: &str) -> Result<Self, MarketError> {
        match name {
            "quiet" => Ok(Self::quiet()),
            "mixed" => Ok(Self::mixed()),
            "apart" => Ok(Self::apart()),
            "busy" => Ok(Self::busy()),
            "traders" => Ok(Self::traders()),
            _ => Err(MarketError::Name(name.to_owned())),
        }
    }
}

impl fmt::Display for Market {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} streams, activity {}", self.streams.len(), self.activity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_in_the_lists_is_a_stream() {
        assert_eq!(Market::quiet().streams.len(), QUIET.len());
        assert_eq!(Market::mixed().streams.len(), EVERYTHING.len());
        assert_eq!(Market::apart().streams.len(), APART.len());
        assert_eq!(Market::traders().streams.len(), HEARD.len());
        assert_eq!(Market::busy().streams.len(), BUSY.len() + 3 * BUSY_COINS.len());
    }
}
