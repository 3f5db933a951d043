//! The leaderboard: every trader of note, as the exchange publishes them once a day in a file of 15 to 35 MB (PROTOCOL
//! section 7). One row a trader and snapshot; a job reads it. Which of them are tracked is a stream of its own
//! ([`traders`](super::traders)).

use serde::{Deserialize, Serialize};

use super::{Borders, Conflation, History, Kind, KindSpec, Record, Scope, StreamKey};
use crate::row::{Address, Arrival, Row, RowKey, record};
use crate::time::DAY_MS;
use crate::{Decimal, SourceId, TimeMs};

record! {
    /// One trader in one snapshot of the leaderboard. What the file does not say of a window is absent.
    #[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
    pub struct Leader in "leaderboard" {
        stream {}
        row {
            /// When the snapshot was read, ms: the same in all of its rows, since the file bears none.
            time: TimeMs,
            /// The trader.
            user: Address,
        }
        /// Value of the account, USD.
        account_value: Decimal,
        /// Profit of a day, USD.
        day_pnl: Option<Decimal>,
        /// Return of a day, a fraction.
        day_roi: Option<Decimal>,
        /// Volume of a day, USD.
        day_vlm: Option<Decimal>,
        /// Profit of a week, USD.
        week_pnl: Option<Decimal>,
        /// Return of a week, a fraction.
        week_roi: Option<Decimal>,
        /// Volume of a week, USD.
        week_vlm: Option<Decimal>,
        /// Profit of a month, USD.
        month_pnl: Option<Decimal>,
        /// Return of a month, a fraction.
        month_roi: Option<Decimal>,
        /// Volume of a month, USD.
        month_vlm: Option<Decimal>,
        /// Profit since the account was opened, USD.
        all_time_pnl: Option<Decimal>,
        /// Return since the account was opened, a fraction.
        all_time_roi: Option<Decimal>,
        /// Volume since the account was opened, USD.
        all_time_vlm: Option<Decimal>,
        /// The name that the trader shows.
        display_name: Option<Box<str>>,
    }
}

impl Leader {
    /// A trader of whom nothing is known but the value of the account, USD.
    #[must_use]
    pub fn bare(user: Address, time: TimeMs, account_value: Decimal) -> Self {
        Self {
            time,
            user,
            account_value,
            day_pnl: None,
            day_roi: None,
            day_vlm: None,
            week_pnl: None,
            week_roi: None,
            week_vlm: None,
            month_pnl: None,
            month_roi: None,
            month_vlm: None,
            all_time_pnl: None,
            all_time_roi: None,
            all_time_vlm: None,
            display_name: None,
            arrival: Arrival::default(),
        }
    }
}

impl Record for Leader {
    fn stream(&self) -> StreamKey {
        StreamKey::Leaderboard
    }

    fn row_key(&self) -> RowKey {
        RowKey::of_user(self.user, self.time)
    }

    fn bytes_beside(&self) -> usize {
        self.display_name.as_ref().map_or(0, |name| name.len())
    }
}

pub(super) const SPEC: KindSpec = KindSpec {
    kind: Kind::Leaderboard,
    name: "leaderboard",
    word: "leaderboard",
    scope: Scope::All,
    table: &<Leader as Row>::TABLE,
    channels: &[],
    ws: false,
    fallback: SourceId::Rest,
    job: "fetch_leaderboard",
    job_does: "reads the leaderboard, a row a trader",
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
    keep_days: &[("", 30)],
};
