//! The rate of a stream, against the band that its own recent past teaches.
//!
//! Records are counted by the minute. What is judged is the last five minutes, against each five minutes of the last two
//! hours: short enough to follow the rhythm of a day, long enough to know how uneven the stream is. Below a quarter of
//! the lowest of them is too low, above ten times the highest too high; where the lowest is so small that a quarter of it
//! says nothing (a quiet coin), no rate is too low. A rate that stays outside for two hours is the stream's rate from
//! then on.

use std::collections::VecDeque;

use hl_core::SourceId;

/// Minutes that are judged together.
const WINDOW: usize = 5;
/// Windows that make the past: two hours.
const PAST: usize = 24;
/// Windows that must be known before anything is judged: half an hour.
const LEARNT: usize = 6;
/// A stream whose lowest window has fewer records than this is never too low.
const TELLING: u64 = 20;
/// A stream that had fewer records than this in its highest window is judged as if it had had so many.
const FLOOR: u64 = 50;
/// Below this part of the lowest window a rate is too low …
const LOW_PART: u64 = 4;
/// … and above half of it again inside.
const BACK_PART: u64 = 2;
/// Above so many times the highest window it is too high …
const HIGH_TIMES: u64 = 10;
/// … and below so many times again inside.
const BACK_TIMES: u64 = 5;
/// Judgements in a row that it takes to be too low, and too high: one wild minute, which is a part of five of them, is no
/// lasting rate.
const STEADY_LOW: u32 = 2;
const STEADY_HIGH: u32 = 6;

/// What a minute brought.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Minute {
    records: u64,
    source: SourceId,
}

/// What five minutes brought, and over which source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Window {
    records: u64,
    source: SourceId,
}

/// Where a rate lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Inside, or too little is known.
    Inside,
    /// Too few records: so many in five minutes, where the fewest lately were `lowest`.
    Low {
        /// Records in the last five minutes.
        records: u64,
        /// The fewest in any five minutes of the past.
        lowest: u64,
    },
    /// Too many records: so many in five minutes, where the most lately were `highest`.
    High {
        /// Records in the last five minutes.
        records: u64,
        /// The most in any five minutes of the past.
        highest: u64,
    },
}

/// The band of one stream.
#[derive(Clone, Debug)]
pub struct Band {
    /// The present minutes, at most [`WINDOW`].
    minutes: VecDeque<Minute>,
    /// Minutes since the last window was put away.
    since: usize,
    past: VecDeque<Window>,
    /// Windows outside the band: they become the past when there are enough of them.
    aside: VecDeque<Window>,
    outside: u32,
    verdict: Verdict,
    /// Whether a change of source changes the number of records: a bar has as many versions as its source sends.
    by_source: bool,
}

impl Band {
    /// A band of which nothing is known. `by_source`: the number of records hangs on the source.
    #[must_use]
    pub fn new(by_source: bool) -> Self {
        Self {
            minutes: VecDeque::new(),
            since: 0,
            past: VecDeque::new(),
            aside: VecDeque::new(),
            outside: 0,
            verdict: Verdict::Inside,
            by_source,
        }
    }

    /// Where the rate lies now.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// A minute about which nothing is known, or that tells of something else: the process stood still, nobody owned the
    /// stream, its source is in trouble. What was found before stands.
    pub fn pause(&mut self) {
        self.minutes.clear();
        self.since = 0;
    }

    /// A minute is over.
    pub fn minute(&mut self, source: SourceId, records: u64) -> Verdict {
        if self.minutes.len() == WINDOW {
            self.minutes.pop_front();
        }
        self.minutes.push_back(Minute { records, source });
        self.since += 1;
        if self.minutes.len() < WINDOW {
            return self.verdict;
        }
        let now = Window { records: self.minutes.iter().map(|minute| minute.records).sum(), source };
        let found = match self.minutes.iter().all(|minute| minute.source == source) {
            true => self.judge(now),
            false => self.verdict,
        };
        let is_same = std::mem::discriminant(&found) == std::mem::discriminant(&self.verdict);
        self.outside = if found == Verdict::Inside || is_same { 0 } else { self.outside + 1 };
        let steady = if matches!(found, Verdict::Low { .. }) { STEADY_LOW } else { STEADY_HIGH };
        if found == Verdict::Inside || is_same || self.outside >= steady {
            self.verdict = found;
        }
        if self.since >= WINDOW {
            self.since = 0;
            self.learn(now, found);
        }
        self.verdict
    }

    fn judge(&self, now: Window) -> Verdict {
        let of_source = || self.past.iter().filter(|window| window.source == now.source).map(|w| w.records);
        let all = || self.past.iter().map(|window| window.records);
        let lowest = if self.by_source { known(of_source()).min() } else { known(all()).min() };
        let highest = known(of_source()).max();
        let records = now.records;
        let low_part = if matches!(self.verdict, Verdict::Low { .. }) { BACK_PART } else { LOW_PART };
        let high_times = if matches!(self.verdict, Verdict::High { .. }) { BACK_TIMES } else { HIGH_TIMES };
        match (lowest, highest) {
            (Some(lowest), _) if lowest >= TELLING && records.saturating_mul(low_part) < lowest => {
                Verdict::Low { records, lowest }
            }
            (_, Some(highest)) if records > highest.max(FLOOR).saturating_mul(high_times) => {
                Verdict::High { records, highest }
            }
            _ => Verdict::Inside,
        }
    }

    fn learn(&mut self, now: Window, found: Verdict) {
        if found == Verdict::Inside {
            self.aside.clear();
            self.past.push_back(now);
        } else {
            self.aside.push_back(now);
            if self.aside.len() == PAST {
                self.past = std::mem::take(&mut self.aside);
            }
        }
        while self.past.len() > PAST {
            self.past.pop_front();
        }
    }
}

/// The windows, where there are enough of them.
fn known(windows: impl Iterator<Item = u64> + Clone) -> impl Iterator<Item = u64> {
    let enough = windows.clone().count() >= LEARNT;
    windows.filter(move |_| enough)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WS: SourceId = SourceId::Ws;
    const REST: SourceId = SourceId::Rest;

    fn fed(band: &mut Band, source: SourceId, minutes: impl IntoIterator<Item = u64>) -> Vec<Verdict> {
        minutes.into_iter().map(|records| band.minute(source, records)).collect()
    }

    /// How often the verdict changed to one outside.
    fn rises(verdicts: &[Verdict]) -> usize {
        let is_out = |verdict: &Verdict| *verdict != Verdict::Inside;
        let before = [false].into_iter().chain(verdicts.iter().map(is_out));
        before.zip(verdicts).filter(|(before, now)| !before && is_out(now)).count()
    }

    #[test]
    fn a_stream_that_stops_is_too_low_once_and_comes_back() {
        let mut band = Band::new(false);
        assert_eq!(rises(&fed(&mut band, WS, [30; 90])), 0);
        let stopped = fed(&mut band, WS, [0; 60]);
        assert_eq!(rises(&stopped), 1);
        assert!(stopped[..4].iter().all(|v| *v == Verdict::Inside), "not before the window shows it");
        assert_eq!(stopped[6], Verdict::Low { records: 0, lowest: 150 });
        let back = fed(&mut band, WS, [30; 30]);
        assert_eq!(rises(&back), 1, "still low at first, then inside for good");
        assert_eq!(band.verdict(), Verdict::Inside);
        assert_eq!(back.iter().filter(|v| **v != Verdict::Inside).count(), 2, "{back:?}");
    }

    #[test]
    fn a_rate_that_lasts_is_the_new_rate() {
        let mut band = Band::new(false);
        fed(&mut band, WS, [100; 120]);
        let quieter = fed(&mut band, WS, [5; 240]);
        assert_eq!(rises(&quieter), 1);
        let inside_again = quieter.iter().rposition(|v| *v != Verdict::Inside).unwrap();
        assert!((115..130).contains(&inside_again), "{inside_again}");
    }

    #[test]
    fn one_wild_minute_is_no_excursion_and_a_lasting_one_is() {
        let mut band = Band::new(false);
        fed(&mut band, WS, [30; 60]);
        let mut minutes = vec![9_000];
        minutes.extend([30; 20]);
        assert_eq!(rises(&fed(&mut band, WS, minutes)), 0);
        let wild = fed(&mut band, WS, [9_000; 15]);
        assert_eq!(rises(&wild), 1);
        assert_eq!(wild[14], Verdict::High { records: 45_000, highest: 150 });
        assert_eq!(rises(&fed(&mut band, WS, [30; 20])), 1, "inside again once the window is");
        assert_eq!(band.verdict(), Verdict::Inside);
    }

    #[test]
    fn more_over_another_source_is_no_surprise_and_less_is() {
        let mut band = Band::new(false);
        fed(&mut band, REST, [12; 60]);
        assert_eq!(rises(&fed(&mut band, WS, [2_000; 20])), 0, "nothing is known of this source");
        let mut band = Band::new(false);
        fed(&mut band, WS, [2_000; 60]);
        assert_eq!(rises(&fed(&mut band, REST, [12; 20])), 1);
        let mut bars = Band::new(true);
        fed(&mut bars, WS, [200; 60]);
        assert_eq!(
            rises(&fed(&mut bars, REST, [2; 20])),
            0,
            "two versions of a bar are as good as two hundred"
        );
    }

    #[test]
    fn a_pause_is_neither_judged_nor_learnt() {
        let mut band = Band::new(false);
        fed(&mut band, WS, [30; 60]);
        fed(&mut band, WS, [0; 10]);
        let low = band.verdict();
        assert_ne!(low, Verdict::Inside);
        for _ in 0..300 {
            band.pause();
        }
        assert_eq!(band.verdict(), low, "what was found stands");
        assert_eq!(rises(&fed(&mut band, WS, [30; 20])), 1);
        assert_eq!(band.verdict(), Verdict::Inside);
    }

    /// The slow rhythm of a day: 0 to 1000 permille of the amplitude, as a triangle over 24 hours.
    fn of_day(minute: u64) -> u64 {
        let half = minute % 1_440;
        if half < 720 { half * 1_000 / 720 } else { (1_440 - half) * 1_000 / 720 }
    }

    proptest! {
        #[test]
        fn a_quiet_coin_is_never_too_low(minutes in prop::collection::vec(0_u64..4, 100..600)) {
            let mut band = Band::new(false);
            let verdicts = fed(&mut band, WS, minutes);
            // Less than four a minute: the lowest window has less than twenty.
            prop_assert!(verdicts.iter().all(|v| *v == Verdict::Inside));
        }

        #[test]
        fn the_rhythm_of_a_day_is_no_excursion(seed: u64, base in 5_u64..200) {
            let mut band = Band::new(false);
            let mut rng = seed;
            let minutes = (0..4_320).map(|minute| {
                rng = rng.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let mean = base + base * 9 * of_day(minute) / 1_000;
                // From half to one and a half of the mean.
                mean / 2 + (rng >> 33) % (mean + 1)
            });
            let verdicts = fed(&mut band, WS, minutes);
            prop_assert!(verdicts.iter().all(|v| *v == Verdict::Inside));
        }

        #[test]
        fn whatever_comes_the_verdict_says_what_it_saw(minutes in prop::collection::vec(0_u64..u64::MAX / 64, 0..200)) {
            let mut band = Band::new(false);
            for records in minutes {
                match band.minute(WS, records) {
                    Verdict::Inside => {}
                    Verdict::Low { records, lowest } => prop_assert!(records < lowest),
                    Verdict::High { records, highest } => prop_assert!(records > highest),
                }
            }
        }
    }
}
