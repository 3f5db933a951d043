//! Settled funding, hourly since June 2023, over REST only; 500 rows a page, all history (PROTOCOL section 3.1).

use super::{Borders, Conflation, History, Kind, KindSpec};

pub(super) const SPEC: KindSpec = KindSpec {
    kind: Kind::Funding,
    name: "funding",
    ws: false,
    job: "collect_funding",
    conflation: Conflation::Event,
    borders: Borders::HalfOpen,
    history: History::All,
    first_silence_ms: 0,
    longest_silence_ms: 0,
    hole_ms: 0,
    steady: false,
    timed: true,
    poll_ms: 3_600_000,
    fastest_poll_ms: 600_000,
    poll_weight: 21,
    poll_shared: false,
    value: 70,
};
