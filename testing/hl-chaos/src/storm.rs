//! The storm: which faults strike, and when. A pure function of a seed.

use hl_core::{Kind, StreamKey};
use hl_sim::{BodyFault, Fault, FaultKind};

use crate::errs;
use crate::net::Weather;
use crate::store::Trouble;

/// Nothing else happens for so long before and after a loss that only the bars show, see [`only_bars_show`].
const ALONE_MS: u64 = 180_000;

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
    /// A fault a minute, so that bars are seen whole between them.
    pub const LOOSE: Self = Self { least_ms: 10_000, most_ms: 110_000 };
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

impl Step {
    /// How long it goes on, ms.
    fn lasts_ms(&self) -> u64 {
        match self {
            Self::Exchange(fault) => fault.for_ms.unwrap_or(0),
            Self::Crash { down_ms } => *down_ms,
            Self::Network { for_ms, .. } | Self::Store { for_ms, .. } => *for_ms,
            Self::ClockStep { .. } => 0,
        }
    }
}

/// Whether a step may swallow trades or bars on a connection that then goes on as if nothing had been.
///
/// When it is too short for the rhythm of its stream, only the count in the minute's bar shows such a loss. In a minute
/// that has a gap already, nothing tells the two apart: nobody can see the loss from outside. So such a step stands alone
/// in a storm, with one exception that no bar has to show: the connection ends while it lasts. Nor do bars show anything while
/// they count other than trades.
fn only_bars_show(step: &Step) -> bool {
    let Step::Exchange(fault) = step else { return false };
    match fault.kind {
        FaultKind::Mute { stream } => {
            stream.is_none_or(|stream| matches!(stream.kind(), Kind::Trades | Kind::Candle))
        }
        FaultKind::HalfOpen | FaultKind::Bars { .. } => true,
        _ => false,
    }
}

/// Whether the bars of a coin are collected beside its trades, so that they show what [`only_bars_show`].
pub(crate) fn bars_show(streams: &[StreamKey]) -> bool {
    let barred = |coin| streams.iter().any(|s| s.kind() == Kind::Candle && s.coin() == Some(coin));
    let trades = streams.iter().filter(|s| s.kind() == Kind::Trades);
    trades.filter_map(|s| s.coin()).any(barred)
}

impl Storm {
    /// The storm of a seed over `length_ms`, on a daemon that collects `streams`. Where no bars stand beside the trades,
    /// nothing strikes that only they would show: instead subscriptions are forgotten, until they are made anew, and
    /// frames cannot be read.
    #[must_use]
    pub fn of(seed: u64, density: Density, length_ms: u64, streams: &[StreamKey]) -> Self {
        let rng = fastrand::Rng::with_seed(seed);
        let mut planner = Planner { rng, streams, bars_show: bars_show(streams) };
        let mut steps = Vec::new();
        // When the last step ends, and until when nothing else may happen.
        let (mut ended, mut alone_until) = (0, 0);
        let mut at = 0;
        loop {
            at += planner.rng.u64(density.least_ms..density.most_ms);
            let (step, and_drop) = planner.draw();
            let alone = only_bars_show(&step);
            at = at.max(if alone { ended + ALONE_MS } else { alone_until });
            if at >= length_ms {
                return Self { steps };
            }
            let lasts_ms = step.lasts_ms();
            steps.push((at, step));
            if and_drop {
                steps.push((at, Step::Exchange(Fault::new(FaultKind::Drop))));
            }
            ended = ended.max(at + lasts_ms);
            if alone {
                if planner.rng.bool() {
                    let meanwhile = at + planner.rng.u64(..lasts_ms);
                    let step = planner.end_of_connection();
                    ended = ended.max(meanwhile + step.lasts_ms());
                    steps.push((meanwhile, step));
                }
                alone_until = ended + ALONE_MS;
            }
        }
    }
}

struct Planner<'a> {
    rng: fastrand::Rng,
    streams: &'a [StreamKey],
    bars_show: bool,
}

impl Planner<'_> {
    fn end_of_connection(&mut self) -> Step {
        if self.rng.bool() {
            Step::Exchange(Fault::new(FaultKind::Drop))
        } else {
            Step::Crash { down_ms: self.rng.u64(10..30_000) }
        }
    }

    /// What goes wrong next, and whether every socket dies with it.
    fn draw(&mut self) -> (Step, bool) {
        if self.rng.u8(..5) < 2 {
            let (fault, and_drop) = errs::draw(&mut self.rng, self.streams, self.bars_show);
            let and_drop = and_drop && !only_bars_show(&Step::Exchange(fault.clone()));
            return (Step::Exchange(fault), and_drop);
        }
        (self.fails(), false)
    }

    /// What breaks, without a word that is wrong.
    fn fails(&mut self) -> Step {
        let stream = self.rng.bool().then(|| self.rng.choice(self.streams.iter().copied())).flatten();
        let for_ms = self.rng.u64(1_000..40_000);
        let lasting = |kind| Step::Exchange(Fault::lasting(kind, for_ms));
        match self.rng.u8(..20) {
            0 => Step::Exchange(Fault::new(FaultKind::Drop)),
            1 => lasting(FaultKind::Refuse),
            2 | 3 if !self.bars_show => Step::Exchange(Fault::new(FaultKind::Forget { stream })),
            4 if !self.bars_show => lasting(FaultKind::Garbage { stream }),
            2 | 3 => lasting(FaultKind::Mute { stream }),
            4 => lasting(FaultKind::HalfOpen),
            5 if self.rng.bool() => lasting(FaultKind::Reorder { stream }),
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
        assert!((40..200).contains(&storm(1).steps.len()), "{}", storm(1).steps.len());
    }

    #[test]
    fn where_no_bars_show_it_nothing_is_lost_in_silence() {
        let steps = |market: &Market| Storm::of(3, Density::DENSE, 10 * 3_600_000, &market.streams).steps;
        let is_forgotten =
            |step: &Step| matches!(step, Step::Exchange(Fault { kind: FaultKind::Forget { .. }, .. }));
        let apart = steps(&Market::apart());
        assert!(apart.iter().any(|(_, step)| is_forgotten(step)));
        assert!(!apart.iter().any(|(_, step)| only_bars_show(step)));
        let mixed = steps(&Market::mixed());
        assert!(!mixed.iter().any(|(_, step)| is_forgotten(step)));
        assert!(mixed.iter().any(|(_, step)| only_bars_show(step)));
    }

    #[test]
    fn what_only_bars_show_stands_alone_but_for_the_end_of_its_connection() {
        let streams = Market::mixed().streams;
        let (mut alone, mut crashes) = (0, 0);
        for seed in 0..50 {
            let steps = Storm::of(seed, Density::DENSE, 3_600_000, &streams).steps;
            assert!(steps.is_sorted_by_key(|(at, _)| *at));
            for (i, (at, step)) in steps.iter().enumerate() {
                crashes += usize::from(matches!(step, Step::Crash { .. }));
                if !only_bars_show(step) {
                    continue;
                }
                alone += 1;
                let end = at + step.lasts_ms();
                assert!(steps[..i].iter().all(|(before, s)| before + s.lasts_ms() + ALONE_MS <= *at));
                for (later, other) in &steps[i + 1..] {
                    let ends_it = matches!(
                        other,
                        Step::Crash { .. } | Step::Exchange(Fault { kind: FaultKind::Drop, .. })
                    );
                    assert!(
                        *later >= end + ALONE_MS || (*later < end && ends_it),
                        "{at}: {step:?}, {other:?}"
                    );
                }
            }
        }
        assert!(alone > 100 && crashes > 100, "{alone} {crashes}");
    }
}
