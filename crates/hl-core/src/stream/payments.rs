//! Funding that a trader paid and received: one payment an hour for each position. The exchange has all of them (PROTOCOL section
//! 3.2); a job reads on from the last one that is stored.

use serde::{Deserialize, Serialize};

use super::{Borders, Conflation, History, Kind, KindSpec, Record, Scope, StreamKey};
use crate::row::{Hash, Row, RowKey, record};
use crate::symbol::User;
use crate::{Coin, Decimal, SourceId, TimeMs};

record! {
    /// A funding payment of one trader.
    #[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
    pub struct Payment in "payments" {
        stream {
            /// The trader.
            user: User,
        }
        row {
            /// When, ms.
            time: TimeMs,
            /// The market.
            coin: Coin,
        }
        /// Received, USD; negative where it was paid.
        usdc: Decimal,
        /// Signed size of the position, coins: positive is long.
        szi: Decimal,
        /// The rate, a fraction.
        rate: Decimal,
        /// How many hours it joins; none of one.
        samples: Option<u64>,
        /// Transaction hash; may be all zeros.
        hash: Hash,
    }
}

impl Record for Payment {
    fn stream(&self) -> StreamKey {
        StreamKey::Payments(self.user)
    }

    fn row_key(&self) -> RowKey {
        RowKey { coin: None, time: self.time, tid: 0, word: Some(self.coin.into()), user: None }
    }

    fn contradicts(&self, stored: &Self) -> bool {
        (self.usdc, self.szi, self.rate) != (stored.usdc, stored.szi, stored.rate)
    }
}

pub(super) const SPEC: KindSpec = KindSpec {
    kind: Kind::Payments,
    name: "payments",
    word: "payments",
    scope: Scope::User,
    table: &<Payment as Row>::TABLE,
    channels: &[],
    ws: false,
    fallback: SourceId::Rest,
    job: super::OF_TRADERS.0,
    job_does: super::OF_TRADERS.1,
    conflation: Conflation::Event,
    borders: Borders::Shared,
    history: History::All,
    first_silence_ms: 0,
    longest_silence_ms: 0,
    hole_ms: 0,
    steady: false,
    timed: true,
    voice: None,
    poll_ms: 3_600_000,
    fastest_poll_ms: 300_000,
    poll_weight: 21,
    poll_shared: false,
    value: 6,
    live: false,
    keep_days: &[],
};
