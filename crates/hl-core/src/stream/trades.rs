//! Public trades. A subscription replays the last 30, REST has the last 10, nothing older exists (PROTOCOL section 0).

use super::{Borders, Conflation, History, Kind, KindSpec};

pub(super) const SPEC: KindSpec = KindSpec {
    kind: Kind::Trades,
    name: "trades",
    ws: true,
    job: "collect_trades",
    conflation: Conflation::Event,
    borders: Borders::Shared,
    history: History::Recent(10),
    first_silence_ms: 5_000,
    longest_silence_ms: 600_000,
    hole_ms: 0,
    steady: false,
    timed: true,
    poll_ms: 60_000,
    fastest_poll_ms: 2_000,
    poll_weight: 21,
    poll_shared: false,
    value: 100,
};
