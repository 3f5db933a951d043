//! Asset contexts ("tickers"), every second even where unchanged, without a time (PROTOCOL section 2.1). Rows are
//! stored on change.

use serde::{Deserialize, Serialize};

use super::{Borders, Conflation, History, Kind, KindSpec, Record, Scope, StreamKey};
use crate::row::{Row, RowKey, record};
use crate::{Coin, Decimal, SourceId, TimeMs};

record! {
    /// The asset context of a coin (the "ticker"). What a spot pair lacks, or a delisted market leaves null, is absent.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
    pub struct Context in "contexts" {
        stream {
            /// The market.
            coin: Coin,
        }
        row {
            /// When it was seen, ms: stamped on receipt in exchange time, since the frames bear none.
            time: TimeMs,
        }
        /// Mark price, USD.
        mark_px: Decimal,
        /// Mid price, USD.
        mid_px: Option<Decimal>,
        /// Oracle price, USD.
        oracle_px: Option<Decimal>,
        /// The price 24 hours ago (rolling), USD.
        prev_day_px: Decimal,
        /// Running estimate of the hourly funding rate, a fraction.
        funding: Option<Decimal>,
        /// Open interest, coins.
        open_interest: Option<Decimal>,
        /// Premium over the oracle, a fraction.
        premium: Option<Decimal>,
        /// Volume of 24 hours, USD.
        day_ntl_vlm: Decimal,
        /// Volume of 24 hours, coins.
        day_base_vlm: Decimal,
        /// Impact bid price, USD.
        impact_bid: Option<Decimal>,
        /// Impact ask price, USD.
        impact_ask: Option<Decimal>,
    }
}

impl Record for Context {
    fn stream(&self) -> StreamKey {
        StreamKey::Context(self.coin)
    }

    fn row_key(&self) -> RowKey {
        RowKey::alone(self.coin, self.time)
    }
}

pub(super) const SPEC: KindSpec = KindSpec {
    kind: Kind::Context,
    name: "context",
    word: "context",
    scope: Scope::Coin,
    table: &<Context as Row>::TABLE,
    channels: &["activeAssetCtx", "activeSpotAssetCtx"],
    ws: true,
    fallback: SourceId::Rest,
    job: "update_ticker",
    job_does: "polls the contexts that no socket brings",
    conflation: Conflation::State,
    borders: Borders::Shared,
    history: History::None,
    first_silence_ms: 5_000,
    longest_silence_ms: 60_000,
    hole_ms: 15_000,
    steady: true,
    timed: false,
    voice: None,
    poll_ms: 60_000,
    fastest_poll_ms: 10_000,
    poll_weight: 20,
    poll_shared: true,
    value: 20,
    live: true,
    keep_days: &[("", 30)],
};
