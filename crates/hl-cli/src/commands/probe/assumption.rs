//! What an assumption is, and the list of all.

use serde::Serialize;

use super::evidence::{Evidence, Look};
use super::{cadence, candles, requests, sockets, trades};

/// Something that is believed of the exchange.
pub(super) struct Assumption {
    /// Its name, the same as `hl-sim --assume` knows it by.
    pub(super) id: &'static str,
    /// What is believed.
    pub(super) assumed: &'static str,
    /// How it is tried.
    pub(super) tried: &'static str,
    /// What the collector does where it is not so.
    pub(super) otherwise: &'static str,
    /// Compares it with what was seen.
    pub(super) judge: fn(&Evidence) -> Judged,
}

/// What came out, or in words why nothing did.
pub(super) type Judged = Look<Finding>;

/// What was seen of an assumption.
pub(super) struct Finding {
    pub(super) holds: bool,
    pub(super) seen: String,
}

impl Finding {
    pub(super) fn of(holds: bool, seen: impl Into<String>) -> Judged {
        Ok(Self { holds, seen: seen.into() })
    }
}

/// What became of an assumption.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    /// It was seen to be so.
    Holds,
    /// It was seen to be otherwise.
    Differs,
    /// Nothing was seen that would say.
    NotSeen,
}

impl Verdict {
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Differs => "DIFFERS",
            Self::NotSeen => "not seen",
        }
    }
}

/// Every assumption that is tried; with `users` also the one that costs user slots.
pub(super) fn all(users: bool) -> impl Iterator<Item = &'static Assumption> {
    let groups = [trades::ALL, candles::ALL, cadence::ALL, sockets::ALL, requests::ALL];
    groups.into_iter().flatten().chain(users.then_some(&sockets::USER_CAP))
}
