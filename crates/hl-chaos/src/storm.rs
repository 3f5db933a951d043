//! The storm: which faults strike, and when. A pure function of a seed.

use hl_core::StreamKey;
use hl_sim::{BodyFault, Fault, FaultKind};

use crate::net::Weather;
use crate::store::Trouble;

/// After a mute a crash is left out for so long, see [`Planner::is_unseeable`].
const NO_CRASH_AFTER_MUTE_MS: u64 = 180_000;
/// Everything is muted for so long at least, see [`Planner::is_unseeable`].
const SHORTEST_MUTE_OF_ALL_MS: u64 = 8_000;

/// How far apart faults are, ms.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Density {
    /// At least.
    pub least_ms: u64,
    /// Less than.
    pub most_ms: u64,
}

impl Density {
    /// Two faults a minute: for short runs.
    pub const DENSE: Self = Self { least_ms: 2_000, most_ms: 60_000 };
    /// A few faults an hour, so that the market is quiet most of the time.
    pub const SPARSE: Self = Self { least_ms: 60_000, most_ms: 30 * 60_000 };
}

/// One thing that goes wrong.
#[derive(Clone, PartialEq, Debug)]
pub enum Step {
    /// The exchange misbehaves.
    Exchange(Fault),
    /// The daemon is killed, and started again after a while.
    Crash {
        /// Milliseconds without a daemon.
        down_ms: u64,
    },
    /// The network.
    Network {
        /// What it does.
        weather: Weather,
        /// Milliseconds.
        for_ms: u64,
    },
    /// The store.
    Store {
        /// What it does.
        trouble: Trouble,
        /// Milliseconds.
        for_ms: u64,
    },
    /// The system clock is set, ahead or back.
    ClockStep {
        /// Milliseconds.
        by_ms: i64,
    },
}

/// What goes wrong in a run, in order: milliseconds after its start, and what.
#[derive(Clone, PartialEq, Debug)]
pub struct Storm {
    /// The steps.
    pub steps: Vec<(u64, Step)>,
}

impl Storm {
    /// The storm of a seed over `length_ms`, against a daemon that collects `streams`.
    #[must_use]
    pub fn of(seed: u64, density: Density, length_ms: u64, streams: &[StreamKey]) -> Self {
        let mut planner = Planner { rng: fastrand::Rng::with_seed(seed), streams, muted: None };
        let mut steps = Vec::new();
        let mut at = 0;
        loop {
            at += planner.rng.u64(density.least_ms..density.most_ms);
            if at >= length_ms {
                return Self { steps };
            }
            let step = planner.draw();
            if planner.is_unseeable(at, &step) {
                continue;
            }
            if matches!(step, Step::Exchange(Fault { kind: FaultKind::Mute { .. }, .. })) {
                planner.muted = Some(at);
            }
            steps.push((at, step));
        }
    }
}

struct Planner<'a> {
    rng: fastrand::Rng,
    streams: &'a [StreamKey],
    muted: Option<u64>,
}

impl Planner<'_> {
    /// What nobody can see from outside, and so is left out:
    /// - everything muted for less than a heartbeat: no stream is missed, and nothing tells it from a quiet moment;
    /// - a crash shortly after a mute: what a mute too short to ask about swallowed shows only when the minute's bar is
    ///   final, and a crash before that makes a gap in the same minute, from which it cannot be told apart.
    fn is_unseeable(&self, at: u64, step: &Step) -> bool {
        match step {
            Step::Exchange(Fault { kind: FaultKind::Mute { stream: None }, for_ms }) => {
                for_ms.is_some_and(|ms| ms < SHORTEST_MUTE_OF_ALL_MS)
            }
            Step::Crash { .. } => self.muted.is_some_and(|muted| at < muted + NO_CRASH_AFTER_MUTE_MS),
            _ => false,
        }
    }

    fn draw(&mut self) -> Step {
        let stream = self.rng.bool().then(|| self.rng.choice(self.streams.iter().copied())).flatten();
        let for_ms = self.rng.u64(1_000..40_000);
        let lasting = |kind| Step::Exchange(Fault::lasting(kind, for_ms));
        match self.rng.u8(..20) {
            0 => Step::Exchange(Fault::new(FaultKind::Drop)),
            1 => lasting(FaultKind::Refuse),
            2 | 3 => lasting(FaultKind::Mute { stream }),
            4 => lasting(FaultKind::HalfOpen),
            5 => lasting(FaultKind::Duplicate { stream }),
            6 => lasting(FaultKind::Garbage { stream }),
            7 => Step::Exchange(Fault::new(FaultKind::GiantFrame { bytes: 20_000_000 })),
            8 => lasting(FaultKind::KillOnSubscribe { stream }),
            9 => lasting(FaultKind::Http { status: Some(429), body: None, delay_ms: None }),
            10 => lasting(FaultKind::Http { status: Some(500), body: Some(BodyFault::Null), delay_ms: None }),
            11 => lasting(FaultKind::Http {
                status: None,
                body: Some(BodyFault::Truncated),
                delay_ms: Some(3_000),
            }),
            12 => self.network(for_ms),
            13 => Step::Network { weather: Weather::Partition, for_ms },
            14 => self.store(for_ms),
            15 => Step::ClockStep { by_ms: if self.rng.bool() { 3_600_000 } else { -3_600_000 } },
            _ => Step::Crash { down_ms: self.rng.u64(10..30_000) },
        }
    }

    fn network(&mut self, for_ms: u64) -> Step {
        let weather = match self.rng.u8(..3) {
            0 => Weather::Delay { ms: self.rng.u64(20..3_000) },
            1 => Weather::Drip { bytes: self.rng.usize(1..200), every_ms: self.rng.u64(1..50) },
            _ => Weather::HalfOpen,
        };
        Step::Network { weather, for_ms }
    }

    fn store(&mut self, for_ms: u64) -> Step {
        let trouble = match self.rng.u8(..3) {
            0 => Trouble::Slow { ms: self.rng.u64(50..4_000) },
            1 => Trouble::Fails,
            _ => Trouble::LosesAnswers,
        };
        Step::Store { trouble, for_ms }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Market;

    #[test]
    fn a_seed_is_a_storm_and_another_is_another() {
        let streams = Market::mixed().streams;
        let storm = |seed| Storm::of(seed, Density::DENSE, 3_600_000, &streams);
        assert_eq!(storm(1), storm(1));
        assert_ne!(storm(1), storm(2));
        assert!((60..180).contains(&storm(1).steps.len()), "{}", storm(1).steps.len());
    }

    #[test]
    fn what_nobody_can_see_is_left_out_and_everything_else_comes() {
        let streams = Market::mixed().streams;
        let mut crashes = 0;
        for seed in 0..50 {
            let mut muted = None;
            for (at, step) in Storm::of(seed, Density::DENSE, 3_600_000, &streams).steps {
                match step {
                    Step::Exchange(Fault { kind: FaultKind::Mute { stream }, for_ms }) => {
                        assert!(stream.is_some() || for_ms >= Some(SHORTEST_MUTE_OF_ALL_MS));
                        muted = Some(at);
                    }
                    Step::Crash { .. } => {
                        assert!(muted.is_none_or(|muted| at >= muted + NO_CRASH_AFTER_MUTE_MS));
                        crashes += 1;
                    }
                    _ => {}
                }
            }
        }
        assert!(crashes > 50, "{crashes}");
    }
}
