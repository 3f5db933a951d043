//! How late frames come: from the time that they bear to the reading of their last byte, over the last minutes.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// How long one half of what is remembered takes, ms.
const HALF_MS: i64 = 5 * 60_000;
/// What is later counts as this late, ms.
const LATEST_MS: u64 = 3_600_000;
/// A tenth is enough, and keeps a stream's memory at some kilobytes.
const DIGITS: u8 = 1;

/// How late frames come, ms, each to a tenth: of the frames of the last five to ten minutes so many are no later.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Latency {
    /// Half of them.
    pub p50: u64,
    /// Nine of ten.
    pub p90: u64,
    /// 99 of a hundred.
    pub p99: u64,
}

/// The frames of one stream.
#[derive(Debug)]
pub(super) struct Delays {
    since: i64,
    halves: [Histogram<u32>; 2],
}

impl Delays {
    /// None seen, as of `now`; nothing where the numbers above make no histogram.
    pub(super) fn new(now: i64) -> Option<Self> {
        let half = Histogram::new_with_bounds(1, LATEST_MS, DIGITS).ok()?;
        Some(Self { since: now, halves: [half.clone(), half] })
    }

    pub(super) fn note(&mut self, now: i64, late_ms: i64) {
        if now - self.since >= HALF_MS {
            self.since = now;
            self.halves.swap(0, 1);
            self.halves[0].reset();
        }
        self.halves[0].saturating_record(late_ms.max(0).unsigned_abs());
    }

    pub(super) fn latency(&self) -> Option<Latency> {
        let mut all = self.halves[0].clone();
        all.add(&self.halves[1]).ok()?;
        let of = |share| all.value_at_quantile(share);
        (!all.is_empty()).then(|| Latency { p50: of(0.5), p90: of(0.9), p99: of(0.99) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_minutes_count_each_to_a_tenth() {
        let mut delays = Delays::new(0).unwrap();
        assert_eq!(delays.latency(), None);
        (0..1_000).for_each(|n| delays.note(n, n));
        let near = |found: u64, is: u64| found.abs_diff(is) * 10 <= is;
        let Latency { p50, p90, p99 } = delays.latency().unwrap();
        assert!(near(p50, 500) && near(p90, 900) && near(p99, 990), "{p50} {p90} {p99}");
        (1..=3).for_each(|half| delays.note(half * HALF_MS, 7));
        assert_eq!(
            delays.latency(),
            Some(Latency { p50: 7, p90: 7, p99: 7 }),
            "what was before is forgotten"
        );
        delays.note(4 * HALF_MS, i64::MAX);
        assert!(delays.latency().is_some_and(|latency| latency.p99 >= LATEST_MS * 9 / 10));
    }
}
