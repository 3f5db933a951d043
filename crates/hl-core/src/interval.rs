//! Candle intervals.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::TimeMs;

/// The interval of a candle, as the exchange names them (PROTOCOL section 3.1): `1m` to `1M`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "each variant is the interval it names")]
pub enum Interval {
    #[serde(rename = "1m")]
    M1,
    #[serde(rename = "3m")]
    M3,
    #[serde(rename = "5m")]
    M5,
    #[serde(rename = "15m")]
    M15,
    #[serde(rename = "30m")]
    M30,
    #[serde(rename = "1h")]
    H1,
    #[serde(rename = "2h")]
    H2,
    #[serde(rename = "4h")]
    H4,
    #[serde(rename = "8h")]
    H8,
    #[serde(rename = "12h")]
    H12,
    #[serde(rename = "1d")]
    D1,
    #[serde(rename = "3d")]
    D3,
    #[serde(rename = "1w")]
    W1,
    #[serde(rename = "1M")]
    Month,
}

impl Interval {
    /// All of them, shortest first.
    pub const ALL: [Self; 14] = [
        Self::M1,
        Self::M3,
        Self::M5,
        Self::M15,
        Self::M30,
        Self::H1,
        Self::H2,
        Self::H4,
        Self::H8,
        Self::H12,
        Self::D1,
        Self::D3,
        Self::W1,
        Self::Month,
    ];

    /// The exchange's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::M1 => "1m",
            Self::M3 => "3m",
            Self::M5 => "5m",
            Self::M15 => "15m",
            Self::M30 => "30m",
            Self::H1 => "1h",
            Self::H2 => "2h",
            Self::H4 => "4h",
            Self::H8 => "8h",
            Self::H12 => "12h",
            Self::D1 => "1d",
            Self::D3 => "3d",
            Self::W1 => "1w",
            Self::Month => "1M",
        }
    }

    /// Length in milliseconds. A month counts 30 days: ask [`Interval::is_fixed`] before doing arithmetic with
    /// it.
    #[must_use]
    pub fn ms(self) -> i64 {
        const MINUTE: i64 = 60_000;
        match self {
            Self::M1 => MINUTE,
            Self::M3 => 3 * MINUTE,
            Self::M5 => 5 * MINUTE,
            Self::M15 => 15 * MINUTE,
            Self::M30 => 30 * MINUTE,
            Self::H1 => 60 * MINUTE,
            Self::H2 => 120 * MINUTE,
            Self::H4 => 240 * MINUTE,
            Self::H8 => 480 * MINUTE,
            Self::H12 => 720 * MINUTE,
            Self::D1 => 1_440 * MINUTE,
            Self::D3 => 3 * 1_440 * MINUTE,
            Self::W1 => 7 * 1_440 * MINUTE,
            Self::Month => 30 * 1_440 * MINUTE,
        }
    }

    /// Whether every bar has the same length and starts on a multiple of it from the epoch. Weeks
    /// and months follow the calendar, so neither qualifies.
    #[must_use]
    pub fn is_fixed(self) -> bool {
        !matches!(self, Self::W1 | Self::Month)
    }

    /// The open time of the bar that holds `time`. Exact for fixed intervals.
    #[must_use]
    pub fn open_of(self, time: TimeMs) -> TimeMs {
        time.floor(self.ms())
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The text is no interval of the exchange.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
#[error("unknown interval {0:?}; the exchange has 1m 3m 5m 15m 30m 1h 2h 4h 8h 12h 1d 3d 1w 1M")]
pub struct IntervalError(pub String);

impl FromStr for Interval {
    type Err = IntervalError;
    fn from_str(text: &str) -> Result<Self, IntervalError> {
        Self::ALL.into_iter().find(|i| i.as_str() == text).ok_or_else(|| IntervalError(text.to_owned()))
    }
}
