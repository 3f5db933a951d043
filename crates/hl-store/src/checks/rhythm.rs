//! Checks of what the ledger calls covered against the rhythm of its kind.

use std::collections::BTreeSet;

use hl_core::archive::Day;
use hl_core::ledger::Span;
use hl_core::past::{self, FUNDING_MS, HOURLY_SINCE};
use hl_core::thinning::ThinnedBooks;
use hl_core::{Interval, StreamKey, TimeMs};

use super::MINUTE_MS;
use crate::{CoverageRow, Finding};

/// A covered stretch of a kind that is pushed by a clock may be without a row for so many times its longest hole: longer
/// than any silence that is asked about.
const HOLES: i64 = 10;

/// Where rows are left out on purpose, or lie elsewhere.
#[derive(Clone, Debug, Default)]
pub(super) struct LeftOut {
    /// Days of which something was archived.
    pub(super) archived: BTreeSet<Day>,
    /// Pieces in which rows were left out before they were stored, oldest first.
    pub(super) thinned: Vec<Span>,
}

impl LeftOut {
    /// Of a stream, of which these days were archived; books were left out on purpose in the pieces of `books`.
    #[must_use]
    pub(super) fn of(stream: StreamKey, archived: BTreeSet<Day>, books: &[ThinnedBooks]) -> Self {
        let thinned = match stream {
            StreamKey::Book(..) => books.iter().map(ThinnedBooks::span).collect(),
            _ => Vec::new(),
        };
        Self { archived, thinned }
    }

    /// What of a piece is not left out.
    fn rest(&self, piece: Span) -> Vec<Span> {
        let mut rest = vec![piece];
        for thinned in self.thinned.iter().filter(|thinned| thinned.overlaps(piece)) {
            rest = past::without(&rest, *thinned);
        }
        for day in self.archived.range(Day::of(piece.from)..=Day::of(piece.to)) {
            let Span { from, to } = day.span();
            rest = past::without(&rest, Span { from, to: to + 1 });
        }
        rest
    }
}

/// Looks for covered time in which rows should be, and are not. Rows are seen in order of their times.
pub(super) struct Rhythm<'a> {
    kind: Beat,
    covered: Vec<Span>,
    /// The first covered piece that the next silence may meet.
    at: usize,
    left_out: &'a LeftOut,
    last: Option<TimeMs>,
    finding: Finding,
    empty: Vec<Span>,
}

/// What is expected of a kind.
enum Beat {
    /// A row within so many ms.
    Within(i64),
    /// A row an hour, between two that are there.
    Hours,
    /// A bar a minute, unless nothing was traded.
    Minutes,
    /// Nothing.
    None,
}

impl<'a> Rhythm<'a> {
    /// A check of the covered pieces of a stream, which come in order of time.
    #[must_use]
    pub(super) fn new(stream: StreamKey, pieces: &[CoverageRow], left_out: &'a LeftOut) -> Self {
        let (kind, check) = match stream {
            StreamKey::Book(..) => (Beat::Within(HOLES * stream.spec().hole_ms), "covered_silence"),
            StreamKey::Funding(_) => (Beat::Hours, "settlement_missing"),
            StreamKey::Candle(_, Interval::M1) => (Beat::Minutes, MINUTE_WITHOUT_BAR),
            // Mids and contexts are stored where they change, trades and the best bid and offer come when they do.
            _ => (Beat::None, "covered_silence"),
        };
        Self {
            kind,
            covered: Span::joined(pieces.iter().map(|piece| piece.span)),
            at: 0,
            left_out,
            last: None,
            finding: Finding::none(check, stream),
            empty: Vec::new(),
        }
    }

    /// Looks at one row.
    pub(super) fn see(&mut self, time: TimeMs) {
        self.silence(self.last, Some(time));
        self.last = Some(time);
    }

    /// What was found; and for one-minute bars the covered pieces without one, in which nothing may have been traded.
    #[must_use]
    pub(super) fn finish(mut self) -> (Finding, Vec<Span>) {
        self.silence(self.last, None);
        (self.finding, self.empty)
    }

    /// No row was stored from after the one to before the other.
    fn silence(&mut self, after: Option<TimeMs>, before: Option<TimeMs>) {
        let (from, to) = match (&self.kind, after, before) {
            (Beat::None, ..) | (Beat::Hours, None, _) | (Beat::Hours, _, None) => return,
            (Beat::Within(_), after, before) => (after.unwrap_or(TimeMs::MIN), before.unwrap_or(TimeMs::MAX)),
            (Beat::Minutes, after, before) => {
                let next = after.map_or(TimeMs::MIN, |bar| bar + MINUTE_MS);
                (next, before.unwrap_or(TimeMs::MAX))
            }
            (Beat::Hours, Some(after), Some(before)) => {
                (after.floor(FUNDING_MS) + FUNDING_MS, before.floor(FUNDING_MS))
            }
        };
        if to <= from {
            return;
        }
        while self.covered.get(self.at).is_some_and(|piece| piece.to <= from) {
            self.at += 1;
        }
        let near = self.covered[self.at..].iter().take_while(|piece| piece.from < to);
        for piece in near.filter_map(|piece| piece.intersect(Span { from, to })) {
            for rest in self.left_out.rest(piece).into_iter().filter(|rest| rest.ms() > 0) {
                match self.kind {
                    Beat::Within(limit) if rest.ms() > limit => {
                        self.finding
                            .add(|| format!("covered without a row for {} s: {rest:?}", rest.ms() / 1_000));
                    }
                    Beat::Hours => {
                        // Whole hours only: what settles at the border of a piece may belong to its neighbour.
                        let first = rest.from.max(HOURLY_SINCE) + (FUNDING_MS - 1);
                        let hours =
                            (rest.to.floor(FUNDING_MS).since(first.floor(FUNDING_MS)) / FUNDING_MS).max(0);
                        for hour in 0..hours {
                            let time = first.floor(FUNDING_MS) + hour * FUNDING_MS;
                            self.finding.add(|| format!("the hour at {time} is covered, and has no row"));
                        }
                    }
                    Beat::Minutes => self.empty.push(rest),
                    Beat::Within(_) | Beat::None => {}
                }
            }
        }
    }
}

/// The check for minutes that are covered as bars, in which trades are stored and no bar.
pub(super) const MINUTE_WITHOUT_BAR: &str = "minute_without_bar";

#[cfg(test)]
mod tests {
    use hl_core::{Epoch, Origin, Token};

    use super::*;

    const MINUTE: i64 = MINUTE_MS;

    fn check(stream: &str, covered: &[(i64, i64)], left_out: &LeftOut, rows: &[i64]) -> (u64, Vec<Span>) {
        let stream: StreamKey = stream.parse().unwrap();
        let piece = |(from, to): &(i64, i64)| CoverageRow {
            stream,
            span: Span::new(TimeMs(*from), TimeMs(*to)),
            source: Origin::Ws,
            epoch: Epoch { token: Token(1), local: 1 },
            rows: 0,
        };
        let pieces: Vec<_> = covered.iter().map(piece).collect();
        let mut rhythm = Rhythm::new(stream, &pieces, left_out);
        rows.iter().for_each(|time| rhythm.see(TimeMs(*time)));
        let (finding, empty) = rhythm.finish();
        (finding.count(), empty)
    }

    #[test]
    fn a_book_comes_by_a_clock() {
        let whole = LeftOut::default();
        let silent = |rows: &[i64]| check("book/BTC", &[(0, 300_000), (300_000, 700_000)], &whole, rows).0;
        assert_eq!(silent(&[0, 150_000, 300_000, 460_000, 600_000]), 0);
        assert_eq!(silent(&[0, 150_000, 460_000, 600_000]), 1, "310 s");
        assert_eq!(silent(&[]), 1, "covered, and never a row");
        assert_eq!(silent(&[150_000, 300_000, 450_000]), 1, "the end counts as well");
        let with_gap = check("book/BTC", &[(0, 150_000), (900_000, 1_000_000)], &whole, &[0, 950_000]).0;
        assert_eq!(with_gap, 0, "what is no more covered is no more expected");
        let thinned = vec![Span::new(TimeMs(100_000), TimeMs(TimeMs::MAX.0))];
        let thinned = LeftOut { thinned, ..LeftOut::default() };
        assert_eq!(check("book/BTC", &[(0, 900_000)], &thinned, &[0, 890_000]).0, 0);
        for stream in ["mids", "context/BTC", "bbo/BTC", "trades/BTC"] {
            assert_eq!(check(stream, &[(0, 90_000_000)], &whole, &[0]).0, 0, "{stream}");
        }
    }

    #[test]
    fn an_hour_between_two_settlements_has_one() {
        let hour = |n: i64| HOURLY_SINCE.0 + n * FUNDING_MS;
        let found = |covered: &[(i64, i64)], hours: &[i64]| {
            let rows: Vec<_> = hours.iter().map(|n| hour(*n) + 59).collect();
            check("funding/BTC", covered, &LeftOut::default(), &rows).0
        };
        let all = [(hour(0) + 7, hour(20) + 7)];
        assert_eq!(found(&all, &[1, 2, 3, 4]), 0, "before the first and behind the last nothing is known");
        assert_eq!(found(&all, &[1, 2, 5, 6]), 2);
        assert_eq!(found(&[(hour(0), hour(3)), (hour(5), hour(9))], &[1, 2, 5, 6]), 0);
        assert_eq!(found(&[(hour(0), hour(3)), (hour(4), hour(9))], &[1, 2, 5, 6]), 1);
        assert_eq!(found(&[(hour(-20), hour(-1))], &[-16, -8]), 0, "settled every eight hours");
    }

    #[test]
    fn covered_minutes_without_a_bar_are_told() {
        let whole = LeftOut::default();
        let minutes = |n: &[i64]| n.iter().map(|n| n * MINUTE).collect::<Vec<_>>();
        let covered = [(0, 5 * MINUTE), (5 * MINUTE, 9 * MINUTE), (12 * MINUTE, 13 * MINUTE)];
        let empty = check("candle/BTC/1m", &covered, &whole, &minutes(&[1, 2, 4, 5, 8])).1;
        let empty: Vec<_> = empty.iter().map(|span| (span.from.0 / MINUTE, span.to.0 / MINUTE)).collect();
        assert_eq!(empty, [(0, 1), (3, 4), (6, 8), (12, 13)]);
        let archived = LeftOut { archived: [Day::of(TimeMs(0))].into(), ..LeftOut::default() };
        assert_eq!(check("candle/BTC/1m", &covered, &archived, &[]).1, []);
    }
}
