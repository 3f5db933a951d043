//! What a strategy says of a coin.

use std::fmt;

use hl_core::record::{Recommendation, Withheld};
use hl_core::{Coin, Decimal};

use super::{Basis, View};

/// A way to make signals of what is known.
///
/// It is pure: the same view brings the same signals, and there is no other source of them, no clock among these. A view has
/// nothing of later than its moment, so a strategy cannot look ahead unless it is made with data of its own.
pub trait Strategy: Send + Sync {
    /// What it is called where its signals are stored and told.
    fn name(&self) -> &str;

    /// One signal for each coin that it has something to say of.
    fn judge(&self, view: &View<'_>) -> Vec<Signal>;
}

/// What is said of a coin at a moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Signal {
    /// Of which coin.
    pub coin: Coin,
    /// What is said.
    pub verdict: Verdict,
    /// What it is built on.
    pub basis: Basis,
}

/// What is said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Enough is known to say something.
    Recommended {
        /// What.
        recommendation: Recommendation,
        /// 0 to 1.
        confidence: Decimal,
    },
    /// Not enough is known: this is not [`Recommendation::Neutral`].
    Withheld {
        /// Why.
        reason: WithheldReason,
    },
}

/// Why nothing is recommended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WithheldReason {
    /// Nobody is followed, or all who are have a weight of zero.
    Nobody,
    /// Too much is unknown.
    Unknown {
        /// The share of the weight that is unknown, 0 to 1.
        share: Decimal,
        /// The most that may be.
        most: Decimal,
    },
    /// A position was not heard of for too long.
    Stale {
        /// The age of the oldest one, ms.
        age_ms: i64,
        /// The most that it may be, ms.
        most_ms: i64,
    },
}

impl WithheldReason {
    /// The word for it in rows.
    #[must_use]
    pub fn word(&self) -> Withheld {
        match self {
            Self::Nobody => Withheld::Nobody,
            Self::Unknown { .. } => Withheld::Unknown,
            Self::Stale { .. } => Withheld::Stale,
        }
    }
}

impl fmt::Display for WithheldReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nobody => f.write_str("nobody with a weight is followed"),
            Self::Unknown { share, most } => {
                write!(f, "{share} of the weight is unknown, at most {most} may be")
            }
            Self::Stale { age_ms, most_ms } => {
                write!(f, "the oldest position is of {age_ms} ms ago, at most {most_ms} ms are allowed")
            }
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Recommended { recommendation, confidence } => {
                write!(f, "{}, confidence {confidence}", recommendation.as_str())
            }
            Self::Withheld { reason } => write!(f, "withheld: {reason}"),
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.coin, self.verdict)
    }
}
