//! Final one-minute bars against the trades of their minutes.
//!
//! That a bar counts the public trades is an assumption. A bar that disagrees is a finding only where those around it, of the
//! same source, agree; where they disagree as well the bars count something else, and nothing is known of the minute. A bar
//! that counts fewer trades than are stored may be an old version of itself: where its source brought too few bars to tell,
//! those of the other source around it say whether bars count the public trades.

use hl_core::{Decimal, Origin, StreamKey, TimeMs};

use super::Finding;

/// So many minutes on each side say what a bar's count is worth.
const AROUND: usize = 5;
/// Fewer than this do not tell of a source how its bars count.
const FEW: usize = 3;

/// Trades of a minute, and their sizes together.
pub type Sum = (u64, Decimal);

/// Whole minutes of one coin, compared.
#[derive(Debug)]
pub struct Minutes {
    stream: StreamKey,
    /// Of bars that the socket brought, and of those of REST.
    sources: [Source; 2],
}

#[derive(Debug, Default)]
struct Source {
    /// Whether each minute agreed. Those in which nothing was traded prove nothing, and are not among them.
    agreed: Vec<(TimeMs, bool)>,
    /// Which of them did not, each with its bar and what is stored.
    differ: Vec<(usize, TimeMs, Sum, Sum)>,
    idle: u64,
}

/// How many minutes were compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Compared {
    /// Of these it is known whether they are right.
    pub known: u64,
    /// Of these it is not: their bars count otherwise, and so do those around them.
    pub unknown: u64,
}

impl std::ops::AddAssign for Compared {
    fn add_assign(&mut self, other: Self) {
        self.known += other.known;
        self.unknown += other.unknown;
    }
}

impl Minutes {
    /// Nothing yet, of a coin's `stream` of trades.
    #[must_use]
    pub fn of(stream: StreamKey) -> Self {
        Self { stream, sources: Default::default() }
    }

    /// Compares a minute. They come in order.
    pub fn see(&mut self, minute: TimeMs, origin: Origin, bar: Sum, stored: Sum) {
        let source = &mut self.sources[usize::from(origin != Origin::Ws)];
        if bar == stored && stored.0 == 0 {
            source.idle += 1;
            return;
        }
        if bar != stored {
            source.differ.push((source.agreed.len(), minute, bar, stored));
        }
        source.agreed.push((minute, bar == stored));
    }

    /// What was found, and how many minutes say so.
    #[must_use]
    pub fn finish(self) -> (Finding, Compared) {
        let mut finding = Finding::none("candle_trades", self.stream);
        let mut compared = Compared::default();
        let [socket, rest] = &self.sources;
        for (Source { agreed, differ, idle }, other) in [(socket, rest), (rest, socket)] {
            let mut unknown = 0;
            for (at, minute, (n, volume), (stored, sum)) in differ {
                let (before, after) = (&agreed[..*at], &agreed[at + 1..]);
                let mut around = [before, after];
                if n < stored && before.len() + after.len() < FEW {
                    let later = other.agreed.partition_point(|(of, _)| of < minute);
                    around = other.agreed.split_at(later).into();
                }
                if !is_believed(around) {
                    unknown += 1;
                    continue;
                }
                finding.add(|| {
                    format!(
                        "minute {minute}: the bar has {n} trades of {volume}, stored are {stored} of {sum}"
                    )
                });
            }
            compared += Compared { known: agreed.len() as u64 - unknown + idle, unknown };
        }
        (finding, compared)
    }
}

/// Whether of the minutes before and behind one those that are nearest agree, most of them.
fn is_believed([before, after]: [&[(TimeMs, bool)]; 2]) -> bool {
    let around = before.iter().rev().take(AROUND).chain(after.iter().take(AROUND));
    let (agree, differ): (Vec<bool>, Vec<bool>) =
        around.map(|(_, agreed)| *agreed).partition(|agreed| *agreed);
    !agree.is_empty() && agree.len() >= differ.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Minutes with ten trades each, of bars that count so many.
    fn compared(counts: &[u64], origin: impl Fn(usize) -> Origin) -> (u64, Compared) {
        let mut minutes = Minutes::of("trades/BTC".parse().unwrap());
        for (i, count) in counts.iter().enumerate() {
            let stored = if *count == 0 { 0 } else { 10 };
            let sum = |n: u64| (n, Decimal::from(n));
            minutes.see(TimeMs(i64::try_from(i).unwrap() * 60_000), origin(i), sum(*count), sum(stored));
        }
        let (finding, compared) = minutes.finish();
        (finding.count(), compared)
    }

    #[test]
    fn a_bar_that_disagrees_is_wrong_only_where_those_around_it_agree() {
        let ws = |_| Origin::Ws;
        for (counts, found, known, unknown) in [
            (&[10, 10, 12][..], 1, 3, 0),
            (&[12], 0, 0, 1),
            (&[0, 0, 12], 0, 2, 1),
            (&[20; 30], 0, 0, 30),
            (&[5; 30], 0, 0, 30),
            (&[10, 10, 10, 12, 12, 12, 10, 10, 10], 3, 9, 0),
        ] {
            let expected = (found, Compared { known, unknown });
            assert_eq!(compared(counts, ws), expected, "{counts:?}");
        }
    }

    #[test]
    fn bars_that_begin_to_count_otherwise_are_unknown_from_some_minutes_on() {
        let counts: Vec<_> = (0..120).map(|minute| if minute < 60 { 10 } else { 20 }).collect();
        let (found, of) = compared(&counts, |_| Origin::Ws);
        assert!(found <= 5 && of.unknown >= 55, "{found} {of:?}");
    }

    #[test]
    fn each_source_is_believed_for_its_own_sake() {
        let counts: Vec<_> = (0..30).map(|minute| if minute % 10 == 3 { 11 } else { 10 }).collect();
        let origin = |minute| if minute % 10 == 3 { Origin::Backfill } else { Origin::Ws };
        assert_eq!(compared(&counts, origin), (0, Compared { known: 27, unknown: 3 }));
    }

    #[test]
    fn a_bar_of_few_that_counts_fewer_trades_than_are_stored_is_judged_by_the_other_source() {
        let of = |short: &[usize], socket: u64| {
            let count = |minute| if short.contains(&minute) { 7 } else { socket };
            let counts: Vec<_> = (0..30).map(count).collect();
            let origin = |minute| if short.contains(&minute) { Origin::Backfill } else { Origin::Ws };
            compared(&counts, origin)
        };
        assert_eq!(of(&[12], 10), (1, Compared { known: 30, unknown: 0 }));
        assert_eq!(of(&[0, 1, 12], 10), (3, Compared { known: 30, unknown: 0 }));
        assert_eq!(of(&[12], 20), (0, Compared { known: 0, unknown: 30 }), "bars count something else");
        assert_eq!(of(&[1, 2, 12, 13], 10), (0, Compared { known: 26, unknown: 4 }), "its bars always do");
    }
}
