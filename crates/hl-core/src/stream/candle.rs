//! Bars. The open bar is sent again at every change, its last version may arrive after the next has opened, and a
//! minute without trades sends nothing (PROTOCOL section 2.1). REST keeps the most recent 5,000 of an interval.

use super::{Borders, Conflation, History, Kind, KindSpec};

pub(super) const SPEC: KindSpec = KindSpec {
    kind: Kind::Candle,
    name: "candle",
    ws: true,
    job: "collect_candles",
    conflation: Conflation::PerKey,
    borders: Borders::HalfOpen,
    history: History::Bars(5_000),
    first_silence_ms: 20_000,
    longest_silence_ms: 600_000,
    hole_ms: 0,
    steady: false,
    timed: true,
    poll_ms: 300_000,
    fastest_poll_ms: 60_000,
    poll_weight: 21,
    poll_shared: false,
    value: 80,
};
