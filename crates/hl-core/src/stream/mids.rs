//! Mid prices of every coin of the first dex and of spot, about every 5 s, without a time (PROTOCOL section 2.1). One
//! stream; rows are stored where a coin's mid changed.

use super::{Borders, Conflation, History, Kind, KindSpec};

pub(super) const SPEC: KindSpec = KindSpec {
    kind: Kind::Mids,
    name: "mids",
    ws: true,
    job: "collect_mids",
    conflation: Conflation::State,
    borders: Borders::Shared,
    history: History::None,
    first_silence_ms: 17_000,
    longest_silence_ms: 60_000,
    hole_ms: 17_000,
    steady: true,
    timed: false,
    poll_ms: 30_000,
    fastest_poll_ms: 5_000,
    poll_weight: 2,
    poll_shared: true,
    value: 30,
};
