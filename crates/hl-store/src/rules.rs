//! What every store decides alike, once it has read what the decision needs: leases, gaps, bars, runs, weight.
//!
//! Pure: no I/O and no clock. How rows and ledger are read and written is each store's own.

use std::collections::{BTreeMap, BTreeSet};

use hl_core::archive::Day;
use hl_core::ledger::Span;
use hl_core::runs::{Outcome, Row};
use hl_core::store::{RECENT_MS, Reservation};
use hl_core::stream::Borders;
use hl_core::time::DAY_MS;
use hl_core::{Interval, TimeMs, Token};

/// How long runs are remembered, ms.
pub const RUNS_KEPT_MS: i64 = 30 * DAY_MS;
/// How long ended alerts are remembered, ms.
pub const ALERTS_KEPT_MS: i64 = 90 * DAY_MS;
/// The window of the weight ledger, ms.
pub const WINDOW_MS: i64 = 60_000;
/// More bars than the exchange keeps are not looked at.
const MOST_BARS: usize = 5_000;

/// Before which time everything of a stream is settled, with its edge, or where its ledger ends.
#[must_use]
pub fn settled(edge: Option<TimeMs>, before: TimeMs) -> TimeMs {
    // A live claim that begins joins what lies shortly before its edge, and has to find it.
    before.min(edge.map_or(TimeMs::MAX, |edge| edge - RECENT_MS))
}

/// What lies between the stored edge and the pieces that follow, oldest first, and between these. Each session goes on
/// where the edge is, so there is something only where the store was put back to an earlier state.
#[must_use]
pub fn holes(edge: Option<TimeMs>, pieces: &[Span]) -> Vec<Span> {
    let Some(mut reached) = edge else { return Vec::new() };
    let mut holes = Vec::new();
    for piece in pieces {
        if reached < piece.from {
            holes.push(Span { from: reached, to: piece.from });
        }
        reached = reached.max(piece.to);
    }
    holes
}

/// Which of the filled parts holds a time. The parts were joined, oldest first.
#[must_use]
pub fn part_at(borders: Borders, parts: &[Span], time: TimeMs) -> Option<usize> {
    let at = parts.partition_point(|part| part.to < time);
    // Half-open pieces end where the next may begin, and pieces that touch were joined.
    (at..parts.len()).take(2).find(|at| borders.contain(parts[*at], time))
}

/// The bars in covered pieces, oldest first, whose open time lies in `span`, its end excluded, and of whose day nothing was
/// archived: with the trades of those that are stored, and 0 for the others.
#[must_use]
pub fn covered_bars(
    interval: Interval,
    span: Span,
    pieces: impl IntoIterator<Item = Span>,
    stored: &BTreeMap<TimeMs, u64>,
    archived: &BTreeSet<Day>,
) -> Vec<(TimeMs, u64)> {
    let mut bars = BTreeMap::new();
    for piece in pieces.into_iter().filter_map(|piece| piece.intersect(span)) {
        let first = interval.open_of(piece.from);
        let mut bar = if first < piece.from { first + interval.ms() } else { first };
        while bar < piece.to && bars.len() < MOST_BARS {
            if !archived.contains(&Day::of(bar)) {
                bars.insert(bar, stored.get(&bar).copied().unwrap_or_default());
            }
            bar = bar + interval.ms();
        }
    }
    bars.into_iter().collect()
}

/// How a planned run may be begun.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attempt {
    /// Which it will be, from 1.
    pub number: u32,
    /// Not while this session lives.
    pub unless: Option<Token>,
}

/// How the session `own` may begin a run of which `before` is known; none where it succeeded already.
#[must_use]
pub fn attempt(before: Option<&Row>, own: Token) -> Option<Attempt> {
    let Some(before) = before else { return Some(Attempt { number: 1, unless: None }) };
    if before.outcome == Some(Outcome::Succeeded) {
        return None;
    }
    // Who failed tries again, and not somebody else beside it, for as long as it lives.
    let is_free = before.attempt == 0 || before.outcome == Some(Outcome::Skipped);
    let runs = before.attempt > 0 && before.ended.is_none();
    let is_taken = if before.token == own { runs } else { !is_free };
    Some(Attempt { number: before.attempt.saturating_add(1), unless: is_taken.then_some(before.token) })
}

/// Whether `weight` fits into the window beside what is booked in it, oldest first.
#[must_use]
pub fn reservation(booked: &[(TimeMs, i64)], now: TimeMs, weight: u32, ceiling: u32) -> Reservation {
    let sum = booked.iter().map(|(_, weight)| weight).sum::<i64>() + i64::from(weight);
    let mut excess = sum - i64::from(ceiling);
    if excess <= 0 {
        return Reservation::Granted { booked: u32::try_from(sum).unwrap_or(u32::MAX) };
    }
    for (at, leaving) in booked {
        excess -= leaving;
        if excess <= 0 {
            return Reservation::RetryAt(*at + WINDOW_MS);
        }
    }
    // More than the ceiling at once never fits.
    Reservation::RetryAt(now + WINDOW_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(from: i64, to: i64) -> Span {
        Span::new(TimeMs(from), TimeMs(to))
    }

    #[test]
    fn a_hole_lies_between_the_edge_and_what_goes_on() {
        let pieces = [span(10, 20), span(15, 17), span(20, 30), span(40, 50)];
        assert_eq!(holes(None, &pieces), [], "nothing was collected before");
        assert_eq!(holes(Some(TimeMs(10)), &pieces), [span(30, 40)]);
        assert_eq!(holes(Some(TimeMs(4)), &pieces), [span(4, 10), span(30, 40)]);
        assert_eq!(holes(Some(TimeMs(60)), &pieces), []);
    }
}
