//! The tracked traders: who was chosen from the leaderboard, how each was scored, and who was dropped. Decided here and not by
//! the exchange: a job makes the choice once a day, by the rules of `hl-traders`. Each choice has a row for every trader that is
//! tracked from then on, and one for each that no longer is: so its last rows are the set, and all of them its history.

use serde::{Deserialize, Serialize};

use super::{Borders, Conflation, History, Kind, KindSpec, Record, Scope, StreamKey};
use crate::row::{Address, Row, RowKey, one_of, record};
use crate::time::DAY_MS;
use crate::{Decimal, SourceId, TimeMs};

record! {
    /// One trader in one choice of whom to track.
    #[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
    pub struct Trader in "traders" {
        stream {}
        row {
            /// When the choice was made, ms: the same in all of its rows.
            time: TimeMs,
            /// The trader.
            user: Address,
        }
        /// `added`, `kept`, or `dropped`: no longer tracked from then on.
        status: TraderStatus,
        /// `score`, or `list` of one that is tracked whatever the score.
        chosen_by: ChosenBy,
        /// The score, 0 to 100; none of a trader that the leaderboard does not have.
        score: Option<Decimal>,
        /// The place among those that are tracked, from 1 on, the best first; none of one that was dropped.
        rank: Option<u32>,
        /// What the trader is known for, words with a space between: `whale`, `large`, `top_performer`, `good_performer`, `consistent`, `high_volume`, `medium_volume`.
        tags: Box<str>,
        /// Whether the trader is likely to hold a position, by what the day brought: `likely` or `unlikely`.
        position: Likelihood,
        /// Value of the account, USD; none of a trader that the leaderboard does not have.
        account_value: Option<Decimal>,
        /// Of which snapshot of the leaderboard, ms.
        snapshot_time: TimeMs,
    }
}

one_of! {
    /// What a choice did with a trader.
    TraderStatus {
        /// Tracked from now on.
        Added: "added",
        /// Tracked before, and from now on.
        Kept: "kept",
        /// Tracked before, and no longer.
        Dropped: "dropped",
    }
}

one_of! {
    /// Why a trader is tracked, or was.
    ChosenBy {
        /// By the score.
        Score: "score",
        /// Named by the user.
        List: "list",
    }
}

one_of! {
    /// Whether something is to be expected.
    Likelihood {
        /// It is.
        Likely: "likely",
        /// It is not.
        Unlikely: "unlikely",
    }
}

impl Trader {
    /// Whether it is tracked from then on.
    #[must_use]
    pub fn is_tracked(&self) -> bool {
        self.status != TraderStatus::Dropped
    }
}

impl Record for Trader {
    fn stream(&self) -> StreamKey {
        StreamKey::Traders
    }

    fn row_key(&self) -> RowKey {
        RowKey::of_user(self.user, self.time)
    }

    fn bytes_beside(&self) -> usize {
        self.tags.len()
    }
}

pub(super) const SPEC: KindSpec = KindSpec {
    kind: Kind::Traders,
    name: "traders",
    word: "traders",
    scope: Scope::All,
    table: &<Trader as Row>::TABLE,
    channels: &[],
    ws: false,
    fallback: SourceId::Rest,
    job: "update_tracked_traders",
    job_does: "chooses whom to track, from the last leaderboard",
    conflation: Conflation::State,
    borders: Borders::Shared,
    history: History::None,
    first_silence_ms: 0,
    longest_silence_ms: 0,
    hole_ms: 2 * DAY_MS,
    steady: false,
    timed: false,
    voice: None,
    poll_ms: DAY_MS,
    fastest_poll_ms: DAY_MS,
    poll_weight: 0,
    poll_shared: true,
    value: 8,
    live: false,
    keep_days: &[],
};
