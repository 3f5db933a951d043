//! Who may write a stream, and how the pipeline recognises it: tokens, epochs, sources and runs.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A lease token: one counter in the store, so it only grows, and no restart reuses one. Below 2^31.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Token(pub u32);

/// The epoch of a claim: lease token, then a number local to the holder. It is never reused. Within a session it orders by age;
/// claims of different sessions are not ordered by it, since a stream may go back to a session that began earlier. What orders
/// the claims of a stream is where their pieces lie on its time line.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Epoch {
    /// The token of the lease behind the claim.
    pub token: Token,
    /// Counts the claims of one holder.
    pub local: u32,
}

impl Epoch {
    /// One integer, unique as the epoch is; what the store keeps in its `epoch` columns.
    #[must_use]
    pub fn to_i64(self) -> i64 {
        (i64::from(self.token.0) << 32) | i64::from(self.local)
    }

    /// Whether this claim may have been given after the other one, as far as epochs tell.
    #[must_use]
    pub fn may_follow(self, other: Self) -> bool {
        self.token != other.token || self.local > other.local
    }

    /// The inverse of [`Epoch::to_i64`].
    #[must_use]
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the two halves of the integer"
    )]
    pub fn from_i64(value: i64) -> Self {
        Self { token: Token((value >> 32) as u32), local: value as u32 }
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.token.0, self.local)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.token.0, self.local)
    }
}

/// Something that can own the live claim of a stream.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceId {
    /// The WebSocket pool.
    Ws,
    /// The REST jobs.
    Rest,
    /// The tracker of positions.
    Tracker,
}

impl SourceId {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Ws, Self::Rest, Self::Tracker];
}

impl fmt::Display for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ws => "ws",
            Self::Rest => "rest",
            Self::Tracker => "tracker",
        })
    }
}

/// Where a stored row came from: the `source` column of every table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// A WebSocket frame under the live claim, or a promoted ring of one.
    Ws,
    /// A REST answer under the live claim.
    Rest,
    /// A REST answer under a backfill claim.
    Backfill,
    /// Brought in from another system; never proof of coverage.
    Import,
    /// Worked out here, from other rows.
    Derived,
}

impl Origin {
    /// The name in the `source` columns.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ws => "ws",
            Self::Rest => "rest",
            Self::Backfill => "backfill",
            Self::Import => "import",
            Self::Derived => "derived",
        }
    }

    /// The inverse of [`Origin::as_str`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let all = [Self::Ws, Self::Rest, Self::Backfill, Self::Import, Self::Derived];
        all.into_iter().find(|o| o.as_str() == text)
    }
}

impl From<SourceId> for Origin {
    fn from(source: SourceId) -> Self {
        match source {
            SourceId::Ws => Self::Ws,
            SourceId::Rest => Self::Rest,
            SourceId::Tracker => Self::Derived,
        }
    }
}

/// Which of a stream's subscriptions. Most streams have one; one with a warm standby has two, on different sockets.
/// Neither is preferred: whichever has proved itself may own the stream, and the other one is its standby.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Lane {
    /// The one that every stream with a place on a socket has.
    #[default]
    First,
    /// The second one, where a standby was asked for.
    Second,
}

impl Lane {
    /// Both, in the order of [`Lane::index`].
    pub const ALL: [Self; 2] = [Self::First, Self::Second];

    /// 0 or 1.
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::First => 0,
            Self::Second => 1,
        }
    }
}

/// One subscription from its subscribe frame to its end. Inside one healthy run frames are continuous; a new
/// subscription is a new run. Unique within a process; on one lane of a stream a newer run has the greater number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RunId {
    /// The lane it runs on.
    pub lane: Lane,
    /// Grows on each lane.
    pub number: u64,
}

impl RunId {
    /// A run of the first lane.
    #[must_use]
    pub const fn first(number: u64) -> Self {
        Self { lane: Lane::First, number }
    }

    /// A run of the second lane.
    #[must_use]
    pub const fn second(number: u64) -> Self {
        Self { lane: Lane::Second, number }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_order_by_token_then_number_and_survive_the_store() {
        let old = Epoch { token: Token(3), local: u32::MAX };
        let new = Epoch { token: Token(4), local: 0 };
        assert!(old < new && old.to_i64() < new.to_i64());
        for epoch in [old, new, Epoch::default(), Epoch { token: Token(i32::MAX as u32), local: 7 }] {
            assert_eq!(Epoch::from_i64(epoch.to_i64()), epoch);
        }
    }

    #[test]
    fn words_say_what_they_mean_and_survive_the_store() {
        let epoch = Epoch { token: Token(7), local: 3 };
        assert_eq!((format!("{epoch}"), format!("{epoch:?}")), ("7.3".into(), "7.3".into()));
        assert_eq!(SourceId::ALL.map(|s| format!("{s:>4}")), ["  ws", "rest", "tracker"]);
        for (origin, word) in [
            (Origin::Ws, "ws"),
            (Origin::Rest, "rest"),
            (Origin::Backfill, "backfill"),
            (Origin::Import, "import"),
            (Origin::Derived, "derived"),
        ] {
            assert_eq!((origin.as_str(), Origin::parse(word)), (word, Some(origin)));
        }
        assert_eq!(Origin::parse("polled"), None);
    }
}
