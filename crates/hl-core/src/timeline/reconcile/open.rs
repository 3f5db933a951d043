//! The bar in progress as a witness: where its count moves and no trade comes, the subscription of the trades has missed
//! one.
//!
//! It moves a stream, so it has to have proved itself: bars of its own coin have agreed, and it was not wrong of late.
//! Before that what it says is kept, and becomes a doubt once the coin's bars have agreed after all.

use std::collections::BTreeMap;

use super::trust::By;
use super::{Coins, signed};
use crate::ledger::Span;
use crate::{Interval, TimeMs};

/// How long a trade may be on its way after a bar has counted it, ms.
const ON_THE_WAY_MS: i64 = 2_000;
/// After so many convictions in a row it is not a witness any more, until it is seen to count in step again.
const STRIKES: u32 = 3;
/// In step is a bar that counts so many more trades, all of which came.
const IN_STEP: i64 = 10;

/// The bars in progress of one coin.
#[derive(Default)]
pub(super) struct OpenBars {
    bars: BTreeMap<Interval, Open>,
    /// By how many trades whole bars were behind, of late.
    lag: BTreeMap<Interval, i64>,
    /// Convictions since it was last in step, or a whole bar agreed.
    strikes: u32,
    /// Bars that went ahead of their trades while they were not believed, and how many of these were known to be missing.
    suspected: BTreeMap<(Interval, TimeMs), i64>,
}

/// The bar in progress, and whether it counts more than came.
#[derive(Clone, Copy)]
struct Open {
    time: TimeMs,
    trades: i64,
    /// Trades that it counts and that were known to be missing before. None of a bar whose trades are whole.
    base: i64,
    /// How far the base may be too low: the version that told it may have been behind.
    margin: i64,
    whole: bool,
    /// What it counted when the base was found.
    found_at: i64,
    /// Since when it counts more, on the monotonic clock.
    ahead_since: Option<i64>,
}

impl Open {
    fn is_ahead(self, stored: i64) -> bool {
        self.trades.saturating_sub(stored) > self.known()
    }

    fn known(self) -> i64 {
        self.base.saturating_add(self.margin)
    }
}

impl OpenBars {
    /// Whatever was known to be missing is known no longer.
    pub(super) fn clear(&mut self) {
        self.bars.clear();
    }

    /// A whole bar agreed: it never was ahead, and bars count as they should.
    pub(super) fn agree(&mut self, interval: Interval, time: TimeMs) {
        self.strikes = 0;
        self.suspected.remove(&(interval, time));
    }

    /// What was suspected is no more than that: bars count otherwise.
    pub(super) fn drop_suspicions(&mut self) {
        self.suspected.clear();
    }

    /// What lies before is not remembered.
    pub(super) fn forget(&mut self, old: TimeMs) {
        self.suspected.retain(|(_, time), _| *time >= old);
    }
}

impl Coins {
    /// The bar in progress moved.
    pub(super) fn watch(&mut self, now: i64, interval: Interval, time: TimeMs, trades: i64) {
        if !self.pushed || self.open.bars.get(&interval).is_some_and(|open| open.time > time) {
            return;
        }
        let short = trades.saturating_sub(self.count(Span::new(time, time + interval.ms())));
        let whole =
            self.since.is_some_and(|since| since < time) && self.gaps.iter().all(|gap| gap.to <= time);
        let OpenBars { bars, lag, strikes, .. } = &mut self.open;
        let lag = lag.entry(interval).or_default();
        let open = match bars.get_mut(&interval) {
            Some(open) if open.time == time => open,
            _ => {
                *lag /= 2;
                let base = if whole { 0 } else { short };
                let margin = if whole { 0 } else { *lag };
                let fresh = Open { time, trades, base, margin, whole, found_at: trades, ahead_since: None };
                bars.insert(interval, fresh);
                let Some(open) = bars.get_mut(&interval) else { return };
                open
            }
        };
        open.trades = open.trades.max(trades);
        if open.whole {
            *lag = (*lag).max(short.saturating_neg());
        } else if short < open.base {
            (open.base, open.found_at) = (short, trades);
        }
        if short == open.base && trades.saturating_sub(open.found_at) >= IN_STEP {
            (*strikes, open.found_at) = (0, trades);
        }
        open.ahead_since = (short > open.known()).then(|| open.ahead_since.unwrap_or(now));
    }

    /// A bar that only ran ahead of its own trades is level with them now; one that misses a trade never is.
    pub(super) fn catch_up(&mut self) {
        let waiting: Vec<_> = self
            .open
            .bars
            .iter()
            .filter(|(_, open)| open.ahead_since.is_some())
            .map(|(i, o)| (*i, *o))
            .collect();
        for (interval, open) in waiting {
            let stored = self.count(Span::new(open.time, open.time + interval.ms()));
            if !open.is_ahead(stored)
                && let Some(open) = self.open.bars.get_mut(&interval)
            {
                open.ahead_since = None;
            }
        }
    }

    /// Where trades are missing, when an open bar has been ahead of them for too long. `founded`: bars of all coins count
    /// the public trades.
    pub(super) fn missed(&mut self, now: i64, founded: bool) -> Option<Vec<Span>> {
        let is_late = |open: &Open| open.ahead_since.is_some_and(|since| since + ON_THE_WAY_MS <= now);
        let overdue: Vec<_> =
            self.open.bars.iter().filter(|(_, open)| is_late(open)).map(|(i, open)| (*i, *open)).collect();
        let trust = self.trust[By::Socket.index()];
        let believed = founded && trust.has_agreed() && self.open.strikes < STRIKES;
        let mut missed = None;
        for (interval, open) in overdue {
            let piece = Span::new(open.time, open.time + interval.ms());
            let stored = self.count(piece);
            // The trade may have come after the bar.
            if open.is_ahead(stored) && believed {
                let bar = self.bars.get(&interval).and_then(|bars| bars.get(&open.time));
                let doubts = bar.map(|bar| self.missing(piece, bar, open.trades, open.known()));
                missed.get_or_insert_with(Vec::new).extend(doubts.unwrap_or_default());
            } else if open.is_ahead(stored) && !trust.is_refuted() {
                self.open.suspected.entry((interval, open.time)).or_insert(open.known());
            }
            if let Some(known) = self.open.bars.get_mut(&interval) {
                // Said once: from here on this much is known to be missing.
                if open.is_ahead(stored) {
                    (known.base, known.whole) = (open.trades.saturating_sub(stored), false);
                    (known.margin, known.found_at) = (0, open.trades);
                }
                known.ahead_since = None;
            }
        }
        self.open.strikes += u32::from(missed.is_some());
        missed
    }

    /// Where the trades are missing that bars counted while they were not believed.
    pub(super) fn take_suspicions(&mut self) -> Vec<Span> {
        let suspected = std::mem::take(&mut self.open.suspected);
        let doubts = suspected.into_iter().flat_map(|((interval, time), known)| {
            let open = self.bars.get(&interval).and_then(|bars| bars.get(&time));
            let bar = open.or_else(|| self.undecided.get(&(interval, time)));
            let count = bar.and_then(|bar| bar.counts[By::Socket.index()]).map(signed);
            let piece = Span::new(time, time + interval.ms());
            bar.zip(count).map(|(bar, count)| self.missing(piece, bar, count, known)).unwrap_or_default()
        });
        doubts
            .filter(|span| !self.gaps.iter().any(|gap| gap.from <= span.from && span.to <= gap.to))
            .collect()
    }
}
