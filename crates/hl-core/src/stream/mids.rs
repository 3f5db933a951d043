//! Mid prices of every coin of a dex, about every 5 s, without a time (PROTOCOL section 2.1). One stream a dex, that of the
//! first with spot and outcomes; rows are stored where a coin's mid changed. A coin's name tells its dex, and so whose row it is.

use serde::{Deserialize, Serialize};

use super::{Borders, Conflation, History, Kind, KindSpec, Record, Scope, StreamKey};
use crate::row::{Row, RowKey, record};
use crate::{Coin, Decimal, Dex, SourceId, TimeMs};

record! {
    /// One coin's mid price, at the time of its change.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
    pub struct Mid in "mids" {
        stream {}
        row {
            /// The market.
            coin: Coin,
            /// When it changed, ms: stamped on receipt in exchange time, since the frames bear none.
            time: TimeMs,
        }
        /// The mid, USD.
        px: Decimal,
    }
}

impl Record for Mid {
    fn stream(&self) -> StreamKey {
        StreamKey::Mids(Dex::of(self.coin))
    }

    fn row_key(&self) -> RowKey {
        RowKey::alone(self.coin, self.time)
    }
}

pub(super) const SPEC: KindSpec = KindSpec {
    kind: Kind::Mids,
    name: "mids",
    word: "mids",
    scope: Scope::Dex,
    table: &<Mid as Row>::TABLE,
    channels: &["allMids"],
    ws: true,
    fallback: SourceId::Rest,
    job: "collect_mids",
    job_does: "polls the mids that no socket brings",
    conflation: Conflation::State,
    borders: Borders::Shared,
    history: History::None,
    first_silence_ms: 17_000,
    longest_silence_ms: 60_000,
    hole_ms: 17_000,
    steady: true,
    timed: false,
    voice: None,
    poll_ms: 30_000,
    fastest_poll_ms: 5_000,
    poll_weight: 2,
    poll_shared: true,
    value: 30,
    live: true,
    keep_days: &[("", 30)],
};
