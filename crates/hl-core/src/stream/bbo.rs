//! Best bid and offer, pushed per block where it changed; a quiet coin was seen silent for 46 s (PROTOCOL section 2.1).

use super::{Borders, Conflation, History, Kind, KindSpec};

pub(super) const SPEC: KindSpec = KindSpec {
    kind: Kind::Bbo,
    name: "bbo",
    ws: true,
    job: "collect_orderbook",
    conflation: Conflation::State,
    borders: Borders::Shared,
    history: History::None,
    first_silence_ms: 10_000,
    longest_silence_ms: 300_000,
    hole_ms: 17_000,
    steady: false,
    timed: true,
    poll_ms: 30_000,
    fastest_poll_ms: 5_000,
    poll_weight: 2,
    poll_shared: false,
    value: 60,
};
