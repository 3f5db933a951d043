//! What an answer about the past proves, what is asked next, and how often.
//!
//! An answer proves only what it contains. It may be empty, stop early, or begin late: an exchange whose back-end is
//! behind answers so, and so does one that gives fewer rows than it was asked for. Therefore nothing is proven before the
//! first row of an answer or behind its last one. What stays is asked for again: from the last row on, then by a wider
//! question that should hold a row on each side of it, and then ever more rarely ([`Patience`]).
//!
//! - A bar is proven where the answer holds it and a later one, or one on each side of it: a minute without trades has no bar.
//!   The last bar of an answer may be an old version of itself, unless it ended minutes ago.
//! - A settlement is proven where the answer holds the row of its hour: the exchange settles every hour.
//! - Fills, funding payments and movements of a trader are proven from the first row of an answer to its last one. Where the
//!   oldest that the exchange has is later than a piece begins, what lies before it is lost.
//! - Orders of a trader are proven likewise, by the last 2,000 changes of their status, which is all that the exchange shows:
//!   where there are so many, what lies before the oldest is lost, and of its block nothing is proven.
//! - Of trades only what lies between the first and the last of an answer is proven, and a gap that begins at its first block
//!   only from the second on: the answer may begin in the middle of it. Beside a live stream the newest trades are asked for
//!   once ([`Newest`]).
//! - Where a row lies that cannot be read nothing is proven: that part is a gap with the cause `undecodable`. It is not asked
//!   for more widely, since the exchange has it, but again like any other, since one bad answer does not prove the next.
//!
//! What stays open ends in one of three ways: a later answer holds a row on each side; it is older than what the exchange
//! keeps, and is lost; or it was asked for in vain for a day, and is lost: funding, of which everything is kept, and what
//! could not be read in any answer of that day.

mod bars;
mod funding;
mod newest;
mod orders;
mod pace;
mod paged;
mod trades;

pub use bars::{BarsQuestion, KEPT_BARS, PAGE_BARS};
pub use funding::{FUNDING_MS, FundingQuestion, HOURLY_SINCE, PAGE_FUNDING};
pub use newest::{Newest, NewestPlan, precedence};
pub use orders::{KEPT_ORDERS, OrdersQuestion};
pub use pace::Patience;
pub use paged::{PAGE_FILLS, PAGE_MOVEMENTS, PAGE_PAYMENTS, PagedQuestion};
pub use trades::{beside, certain, trades};

use crate::decode::{Hole, Rows};
use crate::ledger::Span;
use crate::stream::Record;
use crate::{Records, TimeMs};

/// Questions grow wider up to this effort; the first is 0.
pub const WIDEST: u32 = 3;

/// What one answer says of a piece of the past.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Page {
    /// The parts of the piece that are proven by this answer, oldest first, each with its records: what lies in it and is not
    /// among them never was.
    pub proven: Vec<(Span, Records)>,
    /// The parts that the exchange no longer has.
    pub lost: Vec<Span>,
    /// The parts in which rows lie that the exchange has and that cannot be read.
    pub unreadable: Vec<Span>,
    /// The part that was asked about; none where all of the piece is too young to be final.
    pub about: Option<Span>,
    /// The part of it that this answer reaches over: what lies beyond is to be asked for again, since answers are short.
    pub reached: Option<Span>,
    /// Whether a wider question may settle what this one did not.
    pub wider: bool,
    /// Whether it was cut at its end, so that a question from there on brings more.
    pub more: bool,
}

impl Page {
    /// An answer that says nothing.
    #[must_use]
    pub fn nothing(about: Option<Span>) -> Self {
        Self {
            proven: Vec::new(),
            lost: Vec::new(),
            unreadable: Vec::new(),
            about,
            reached: None,
            wider: false,
            more: false,
        }
    }

    /// What it is about is proven from one row of a trader to another: these are all of them. Further questions from the same
    /// beginning would bring the same rows.
    fn prove<T: Record>(&mut self, span: Span, rows: Vec<T>) {
        let Some(about) = self.about else { return };
        let Some(span) = span.intersect(about).filter(|span| span.ms() > 0) else { return };
        self.reached = Some(Span { from: about.from, to: span.to });
        let inside = rows.into_iter().filter(|row| span.contains(row.time())).collect();
        self.proven.push((span, T::list(inside)));
    }

    /// Everything that was asked for is gone.
    #[must_use]
    pub fn gone(piece: Span) -> Self {
        Self { lost: vec![piece], ..Self::nothing(Some(piece)) }
    }

    /// Takes out of what is proven, and of what is gone, the parts in which rows lie that cannot be read.
    fn but_for(mut self, unreadable: &[Span]) -> Self {
        let Some(about) = self.about else { return self };
        self.unreadable = Span::joined(inside(unreadable, about));
        for part in &self.unreadable {
            self.lost = without(&self.lost, *part);
            self.proven = std::mem::take(&mut self.proven)
                .into_iter()
                .flat_map(|(span, records)| {
                    without(&[span], *part).into_iter().map(move |span| {
                        let mut records = records.clone();
                        records.retain_time(|time| span.contains(time));
                        (span, records)
                    })
                })
                .collect();
        }
        self
    }

    /// The hull of what is proven.
    #[must_use]
    pub fn proven_hull(&self) -> Option<Span> {
        self.proven.iter().map(|(span, _)| *span).reduce(Span::hull)
    }
}

/// Where rows lie that cannot be read: between the row before and the row after, or closer, where their own times say so.
/// `of` is what a row takes, `at` what a row of that time takes. At an end of the answer, where only their own word says how
/// far they reach, they take no more than so many rows do; where nothing says it, it is not known.
fn unreadable<T>(rows: &Rows<T>, of: impl Fn(&T) -> Span, at: impl Fn(TimeMs) -> Span) -> Vec<Span> {
    let span = |hole: &Hole| {
        let near = hole.times.map(|times| at(times.from).hull(at(times.to)));
        match rows.neighbours(hole) {
            (Some(before), Some(after)) => {
                let between = Span::new(of(before).to, of(after).from);
                Some(near.and_then(|near| near.intersect(between)).unwrap_or(between))
            }
            _ => near.zip(hole.times).and_then(|(near, times)| {
                (near.ms() <= at(times.from).ms().saturating_mul(hole.rows.into())).then_some(near)
            }),
        }
    };
    rows.holes.iter().filter_map(span).collect()
}

/// What of half-open pieces lies in `span`.
#[must_use]
pub fn inside(pieces: &[Span], span: Span) -> Vec<Span> {
    pieces.iter().filter(|piece| piece.overlaps(span)).filter_map(|piece| piece.intersect(span)).collect()
}

/// What is left of half-open pieces without `span`.
#[must_use]
pub fn without(pieces: &[Span], span: Span) -> Vec<Span> {
    let mut left = Vec::new();
    for piece in pieces {
        if !piece.overlaps(span) {
            left.push(*piece);
            continue;
        }
        for (from, to) in [(piece.from, span.from), (span.to, piece.to)] {
            if from < to {
                left.push(Span { from, to });
            }
        }
    }
    left
}

/// Length of pieces together, ms.
#[must_use]
pub fn length(pieces: &[Span]) -> i64 {
    pieces.iter().map(|piece| piece.ms()).sum()
}

/// The block of this time.
fn block(time: TimeMs) -> Span {
    Span { from: time, to: time + 1 }
}

/// `span`, unless it is empty or turned round.
fn proper(from: TimeMs, to: TimeMs) -> Option<Span> {
    (from < to).then_some(Span { from, to })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_cut_and_taken_apart() {
        let span = |from, to| Span::new(TimeMs(from), TimeMs(to));
        let pieces = [span(0, 4), span(6, 9), span(9, 12)];
        assert_eq!(inside(&pieces, span(3, 10)), [span(3, 4), span(6, 9), span(9, 10)]);
        assert_eq!(without(&pieces, span(3, 10)), [span(0, 3), span(10, 12)]);
        assert_eq!(without(&pieces, span(1, 2)), [span(0, 1), span(2, 4), span(6, 9), span(9, 12)]);
        assert_eq!(without(&pieces, span(4, 6)), pieces);
        assert_eq!(length(&pieces), 10);
    }
}
