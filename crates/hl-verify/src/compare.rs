//! The comparison of stored rows with the truth: pure, one page of one stream at a time.

use std::collections::{BTreeMap, BTreeSet};

use hl_core::TimeMs;
use hl_core::ledger::{GapState, Span};
use hl_core::record::{Bbo, Book, Candle, Funding, Record, Trade};
use hl_core::row::RowKey;
use hl_core::stream::{BookVariant, Borders};
use hl_core::thinning::Thinned;
use hl_store::GapRow;

/// A bar or a settlement this shortly before the stop, ms, may still be on its way.
const PENDING_MS: i64 = 30_000;

/// How long before its stamp, ms, a state that bears no time of its own may have held.
pub(super) const STAMP_MS: i64 = 2_000;

/// How long after its stamp, ms, a state that bears no time of its own may have begun. Stamps are a low estimate of
/// exchange time: low by the fastest delivery seen so far, which soon after a start is that of a block half a second old.
pub(super) const EARLY_MS: i64 = 500;

/// Levels a side of the `fast` book.
const FAST_LEVELS: usize = 5;

/// What became of one row.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Finding {
    /// In the truth and nowhere in the store, and no gap says so.
    Missing,
    /// Missing, and a recorded gap says so.
    MissingInGap,
    /// Stored, and not in the truth.
    Extra,
    /// The same key with other values.
    Different,
    /// Missing, and too new to be expected.
    Pending,
    /// Stored twice.
    Duplicate,
    /// Of one time, in another order than the exchange sent them.
    Misordered,
}

/// Rows of one stream that the exchange itself showed otherwise than they were.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Falsified {
    /// Times of those with other values.
    pub values: BTreeSet<TimeMs>,
    /// Both times of those whose time was wrong by so little that a collector cannot see it.
    pub times: BTreeSet<TimeMs>,
}

impl Falsified {
    /// A time may be wrong by so much, ms, before a collector can see it.
    pub const UNSEEN_MS: i64 = 5_000;

    fn excuses(&self, finding: Finding, time: TimeMs) -> bool {
        match finding {
            Finding::Different => self.values.contains(&time) || self.times.contains(&time),
            Finding::Missing | Finding::Extra | Finding::Duplicate | Finding::Misordered => {
                self.times.contains(&time)
            }
            Finding::MissingInGap | Finding::Pending => false,
        }
    }
}

/// What a comparison found.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Tally {
    /// Rows of the truth that are stored or should be; for states those that a stored row was compared with, and of best
    /// bids and offers those that should be stored.
    pub truth: u64,
    counts: BTreeMap<Finding, (u64, TimeMs)>,
    /// Rows that the exchange itself showed otherwise.
    falsified: Falsified,
    /// Runs of rows that are missing, with nothing stored between them.
    holes: u64,
    in_hole: bool,
}

impl Tally {
    /// How often.
    #[must_use]
    pub fn count(&self, finding: Finding) -> u64 {
        self.counts.get(&finding).map_or(0, |&(count, _)| count)
    }

    /// When first, ms.
    #[must_use]
    pub fn first(&self, finding: Finding) -> Option<TimeMs> {
        self.counts.get(&finding).map(|&(_, first)| first)
    }

    /// In how many places rows are [`Finding::Missing`]: neighbours without a stored row between them are one place.
    #[must_use]
    pub fn holes(&self) -> u64 {
        self.holes
    }

    /// Says which rows the exchange itself showed otherwise than they were: those are not held against the store.
    pub fn excuse(&mut self, falsified: Falsified) {
        self.falsified = falsified;
    }

    pub(crate) fn add(&mut self, finding: Finding, time: TimeMs) {
        if self.falsified.excuses(finding, time) {
            return;
        }
        self.counts.entry(finding).or_insert((0, time)).0 += 1;
        let missing = finding == Finding::Missing;
        self.holes += u64::from(missing && !self.in_hole);
        self.in_hole = missing;
    }
}

/// Pieces of a time line, such as the recorded gaps of a stream that were not filled, joined where they touch.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Gaps(Vec<Span>);

impl Gaps {
    /// The gaps among `rows` that are not backfilled.
    #[must_use]
    pub fn of(rows: &[GapRow]) -> Self {
        let open = rows.iter().filter(|gap| gap.state != GapState::Backfilled);
        Self::default().and(open.map(|gap| gap.span))
    }

    /// These pieces as well.
    #[must_use]
    pub fn and(self, more: impl IntoIterator<Item = Span>) -> Self {
        let mut spans = self.0;
        spans.extend(more);
        spans.sort();
        Self(Span::joined(spans))
    }

    /// Whether a time lies in a piece, and is not one of its ends.
    fn hold_inside(&self, time: TimeMs) -> bool {
        let later = self.0.partition_point(|piece| piece.from < time);
        self.0[..later].last().is_some_and(|piece| time < piece.to)
    }

    fn contain(&self, time: TimeMs, borders: Borders) -> bool {
        let later = self.0.partition_point(|gap| gap.from <= time);
        self.0[..later].last().is_some_and(|gap| match borders {
            Borders::Shared => time <= gap.to,
            Borders::HalfOpen => time < gap.to,
        })
    }
}

/// The part of a stream that is compared: from the start of the first claim, or of what the truth still has, to the
/// edge.
#[derive(Clone, Debug)]
pub struct Piece {
    /// Begin and stop.
    pub span: Span,
    /// The gaps.
    pub gaps: Gaps,
    /// When trades were left out on purpose.
    pub thinned: Vec<Thinned>,
    /// Where a subscription brought it, so that every push is promised.
    pub pushed: Gaps,
}

impl Piece {
    /// Whether a trade was left out on purpose.
    fn leaves_out(&self, trade: &Trade) -> bool {
        let holds = |piece: &&Thinned| piece.span().contains(trade.time);
        self.thinned.iter().filter(holds).any(|piece| trade.px * trade.sz < piece.min_usd)
    }

    fn absent(&self, time: TimeMs, borders: Borders) -> Finding {
        if self.gaps.contain(time, borders) { Finding::MissingInGap } else { Finding::Missing }
    }
}

/// Walks two lists by key. Equal keys in `stored` beyond the first are duplicates; in `truth` they are one row.
fn join<T, K: Ord + Copy>(
    truth: &mut Vec<T>,
    stored: &[T],
    key: impl Fn(&T) -> K,
    mut each: impl FnMut(Pair<'_, T>),
) {
    truth.sort_by_key(&key);
    truth.dedup_by_key(|row| key(row));
    let mut stored: Vec<&T> = stored.iter().collect();
    stored.sort_by_key(|row| key(row));
    let mut left = truth.iter().peekable();
    let mut before = None;
    for row in stored {
        let at = key(row);
        if before == Some(at) {
            each(Pair::Again(row));
            continue;
        }
        before = Some(at);
        while let Some(absent) = left.next_if(|t| key(t) < at) {
            each(Pair::Truth(absent));
        }
        match left.next_if(|t| key(t) == at) {
            Some(twin) => each(Pair::Both(twin, row)),
            None => each(Pair::Stored(row)),
        }
    }
    left.for_each(|absent| each(Pair::Truth(absent)));
}

enum Pair<'a, T> {
    Truth(&'a T),
    Both(&'a T, &'a T),
    Stored(&'a T),
    Again(&'a T),
}

impl Tally {
    /// Trades. Rows of the first and the last block may be absent, since those blocks may be incomplete.
    pub fn trades(&mut self, piece: &Piece, truth: &mut Vec<Trade>, stored: &[Trade]) {
        self.order(truth, stored);
        join(truth, stored, Trade::key, |pair| match pair {
            Pair::Truth(t) if piece.leaves_out(t) => {}
            Pair::Truth(t) if piece.span.from < t.time && t.time < piece.span.to => {
                self.truth += 1;
                self.add(piece.absent(t.time, Borders::Shared), t.time);
            }
            Pair::Truth(_) => {}
            Pair::Both(t, s) => self.both(t.time, t.same_values(s)),
            Pair::Stored(s) => self.add(Finding::Extra, s.time),
            Pair::Again(s) => self.add(Finding::Duplicate, s.time),
        });
    }

    /// The places that trades of one time have, against the order of the truth.
    fn order(&mut self, truth: &[Trade], stored: &[Trade]) {
        let places: BTreeMap<_, _> = truth.iter().enumerate().map(|(at, trade)| (trade.key(), at)).collect();
        let place = |trade: &Trade| Some((trade.time, trade.arrival.seq?, *places.get(&trade.key())?));
        let mut known: Vec<_> = stored.iter().filter_map(place).collect();
        known.sort_unstable();
        let mut misordered = Vec::new();
        for pair in known.windows(2) {
            if let [(time, seq, place), (next_time, next_seq, next_place)] = pair
                && time == next_time
                && (seq == next_seq || place >= next_place)
            {
                misordered.push(*time);
            }
        }
        // Whether a hole goes on from page to page is another matter.
        let in_hole = self.in_hole;
        misordered.into_iter().for_each(|time| self.add(Finding::Misordered, time));
        self.in_hole = in_hole;
    }

    /// Final bars. `truth` holds every later final bar too, so that the newest is known to be the newest.
    pub fn candles(&mut self, piece: &Piece, truth: &mut Vec<Candle>, stored: &[Candle]) {
        let newest = truth.iter().map(|bar| bar.time).max();
        join(
            truth,
            stored,
            |bar| bar.time,
            |pair| match pair {
                Pair::Truth(t) => {
                    let close = t.time + t.interval.ms();
                    let late = piece.span.to.since(close) < PENDING_MS || Some(t.time) == newest;
                    self.settled(piece, t.time, late);
                }
                Pair::Both(t, s) => self.both(t.time, t.same_values(s)),
                Pair::Stored(s) => self.add(Finding::Extra, s.time),
                Pair::Again(s) => self.add(Finding::Duplicate, s.time),
            },
        );
    }

    /// Settled funding rates.
    pub fn funding(&mut self, piece: &Piece, truth: &mut Vec<Funding>, stored: &[Funding]) {
        join(
            truth,
            stored,
            |rate| rate.time,
            |pair| match pair {
                Pair::Truth(t) => self.settled(piece, t.time, piece.span.to.since(t.time) < PENDING_MS),
                Pair::Both(t, s) => self.both(t.time, t.same_values(s)),
                Pair::Stored(s) => self.add(Finding::Extra, s.time),
                Pair::Again(s) => self.add(Finding::Duplicate, s.time),
            },
        );
    }

    /// Book snapshots: each is the exchange's of exactly its time.
    pub fn books(&mut self, truth: &mut Vec<Book>, stored: &[Book]) {
        join(
            truth,
            stored,
            |book| book.time,
            |pair| match pair {
                Pair::Truth(_) => {}
                Pair::Both(t, s) => {
                    let depth = match s.variant {
                        BookVariant::Fast => FAST_LEVELS,
                        _ => usize::MAX,
                    };
                    let same =
                        t.bids.iter().take(depth).eq(&*s.bids) && t.asks.iter().take(depth).eq(&*s.asks);
                    self.both(t.time, same);
                }
                Pair::Stored(s) => self.add(Finding::Extra, s.time),
                Pair::Again(s) => self.add(Finding::Duplicate, s.time),
            },
        );
    }

    /// Best bids and offers: each is the state that held at its time, and of those that a subscription covers each
    /// change is there. `page`: what both lists are of.
    pub fn bbos(&mut self, piece: &Piece, page: Span, truth: States<Bbo>, stored: &[Bbo]) {
        let mut changes: Vec<Bbo> = truth.0.values().flatten().map(|(_, bbo)| *bbo).collect();
        changes.retain(|bbo| page.contains(bbo.time) && piece.pushed.hold_inside(bbo.time));
        // What is missing at the end of a page goes on at the beginning of the next.
        let in_hole = self.in_hole;
        self.states(&truth, stored, (0, 0), |a, b| (a.bid, a.ask) == (b.bid, b.ask));
        self.in_hole = in_hole;
        join(
            &mut changes,
            stored,
            |bbo| bbo.time,
            |pair| match pair {
                Pair::Truth(t) => {
                    self.truth += 1;
                    self.add(piece.absent(t.time, Borders::Shared), t.time);
                }
                Pair::Both(..) | Pair::Stored(_) | Pair::Again(_) => self.in_hole = false,
            },
        );
    }

    /// States that bear no time of the exchange: each held in the two seconds before its stamp, or in the moment after it. Of a
    /// stream of many coins a coin that the truth does not follow is not compared: a delisted market still has a mid, and no
    /// life.
    pub fn stamped<T: Record>(&mut self, truth: States<T>, stored: &[T]) {
        let is_compared = |row: &&T| row.stream().coin().is_some() || truth.0.contains_key(&line_of(*row));
        let compared: Vec<T> = stored.iter().filter(is_compared).cloned().collect();
        self.states(&truth, &compared, (STAMP_MS, EARLY_MS), T::same_values);
    }

    fn both(&mut self, time: TimeMs, same: bool) {
        self.truth += 1;
        self.in_hole = false;
        if !same {
            self.add(Finding::Different, time);
        }
    }

    /// A row of a half-open time line that is in the truth only.
    fn settled(&mut self, piece: &Piece, time: TimeMs, late: bool) {
        if time < piece.span.from || piece.span.to <= time {
            return;
        }
        self.truth += 1;
        match piece.absent(time, Borders::HalfOpen) {
            Finding::Missing if late => self.add(Finding::Pending, time),
            finding => self.add(finding, time),
        }
    }

    fn states<T: Record>(
        &mut self,
        truth: &States<T>,
        stored: &[T],
        (before_ms, after_ms): (i64, i64),
        same: impl Fn(&T, &T) -> bool,
    ) {
        let mut before = BTreeMap::new();
        for row in stored {
            let (line, time) = (line_of(row), row.time());
            if before.insert(line, time) == Some(time) {
                self.add(Finding::Duplicate, time);
                continue;
            }
            let held = truth.held(line, Span { from: time - before_ms, to: time + after_ms });
            if held.is_empty() {
                self.add(Finding::Extra, time);
            } else {
                self.both(time, held.iter().any(|(_, state)| same(state, row)));
            }
        }
    }
}

/// The states of the exchange: each holds from its time to the next one of its key.
#[derive(Clone, Debug)]
pub struct States<T>(BTreeMap<RowKey, Vec<(TimeMs, T)>>);

/// The key of a state without its time.
fn line_of(row: &impl Record) -> RowKey {
    RowKey { time: TimeMs(0), ..row.row_key() }
}

impl<T: Record> States<T> {
    /// Sorts the states of a page.
    pub fn of(page: impl IntoIterator<Item = T>) -> Self {
        let mut lines: BTreeMap<RowKey, Vec<(TimeMs, T)>> = BTreeMap::new();
        for state in page {
            lines.entry(line_of(&state)).or_default().push((state.time(), state));
        }
        lines.values_mut().for_each(|line| line.sort_by_key(|&(time, _)| time));
        Self(lines)
    }

    /// What held at some moment of the closed piece.
    fn held(&self, line: RowKey, span: Span) -> &[(TimeMs, T)] {
        let Some(line) = self.0.get(&line) else { return &[] };
        let begin = line.partition_point(|&(at, _)| at <= span.from).saturating_sub(1);
        let end = line.partition_point(|&(at, _)| at <= span.to);
        line.get(begin..end).unwrap_or_default()
    }
}

#[cfg(test)]
#[path = "compare_tests.rs"]
mod tests;
