//! Asset contexts ("tickers"), every second even where unchanged, without a time (PROTOCOL section 2.1). Rows are
//! stored on change.

use super::{Borders, Conflation, History, Kind, KindSpec};

pub(super) const SPEC: KindSpec = KindSpec {
    kind: Kind::Context,
    name: "context",
    ws: true,
    job: "update_ticker",
    conflation: Conflation::State,
    borders: Borders::Shared,
    history: History::None,
    first_silence_ms: 5_000,
    longest_silence_ms: 60_000,
    hole_ms: 15_000,
    steady: true,
    timed: false,
    poll_ms: 60_000,
    fastest_poll_ms: 10_000,
    poll_weight: 20,
    poll_shared: true,
    value: 20,
};
