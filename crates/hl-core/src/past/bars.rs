use super::{Page, WIDEST, proper, unreadable};
use crate::decode::Rows;
use crate::ledger::Span;
use crate::record::Candle;
use crate::time::DAY_MS;
use crate::{Coin, Interval, Records, TimeMs};

/// Bars of an interval that the exchange keeps, at least (PROTOCOL section 3.1).
pub const KEPT_BARS: i64 = 5_000;
/// Bars asked for at a time: weight 20 + 1 for each 60.
pub const PAGE_BARS: i64 = 1_200;
/// A bar may change for this long after its end, ms.
const BAR_LAG_MS: i64 = 5_000;
/// So many bars on each side of what is asked for are asked for as well, and eight times as many at each further effort: the
/// one before the last reaches until now, and the last one over everything that is kept before.
const MARGIN_BARS: i64 = 30;
/// The effort of the question that reaches until now.
const NOW: u32 = WIDEST - 1;
/// An answer may be so far behind, ms: the last bar in it may be an old version of itself unless it ended longer ago.
const BEHIND_MS: i64 = 300_000;
/// An answer of no more bars than this was not cut short by a limit of the exchange.
const SURELY_WHOLE: usize = 2 * MARGIN_BARS as usize;

/// A question for bars: the first page of a piece.
#[derive(Clone, Copy, Debug)]
pub struct BarsQuestion {
    coin: Coin,
    interval: Interval,
    /// Start and end of the request, both inclusive.
    pub request: Span,
    /// What is final of the piece by now, as far as the question goes.
    about: Span,
    /// What is final of the piece by now.
    settled: TimeMs,
    /// From here on the exchange has bars.
    kept_from: TimeMs,
    /// When it is asked for.
    asked: TimeMs,
    /// Whether a wider question reaches further to the left, and to the right.
    wider: (bool, bool),
}

impl BarsQuestion {
    /// The first page of `piece`, asked for while the exchange's clock says `asked`; the wider the more `effort`. None
    /// while all of it is too young to be final.
    #[must_use]
    pub fn new(coin: Coin, interval: Interval, piece: Span, asked: TimeMs, effort: u32) -> Option<Self> {
        let step = interval.ms();
        let kept_from = interval.open_of(asked) - (KEPT_BARS - 1) * step;
        let from = piece.from.max(TimeMs(0));
        let start = if from < kept_from { kept_from.min(piece.to) } else { from };
        // The bars that are final, asked for after the time in which they could still change.
        let settled = piece.to.min(interval.open_of(asked - BAR_LAG_MS));
        let page_bars = if effort < WIDEST { PAGE_BARS } else { KEPT_BARS };
        let to = settled.min(start + page_bars * step);
        if to <= from || to <= start && start <= from {
            return None;
        }
        let margin = |reach: u32| MARGIN_BARS * 8_i64.pow(reach) * step;
        let (before, after) = match effort {
            0..NOW => (margin(effort), margin(effort)),
            NOW => (margin(NOW), asked.since(to)),
            _ => (KEPT_BARS * step, margin(0)),
        };
        let left = (from - before).max(kept_from.min(from));
        let right = (to + after).min(asked.max(to));
        let is_part = left > kept_from || to < settled;
        Some(Self {
            coin,
            interval,
            request: Span { from: left.max(TimeMs(0)), to: right },
            about: Span { from, to },
            settled,
            kept_from,
            asked,
            wider: (is_part && effort < WIDEST, right < asked && effort < NOW),
        })
    }

    /// How many bars the answer may hold.
    #[must_use]
    pub fn items(&self) -> usize {
        let from = self.request.from.max(self.kept_from);
        usize::try_from(self.request.to.since(from) / self.interval.ms() + 1).unwrap_or_default()
    }

    /// What the answer says.
    #[must_use]
    pub fn page(&self, answer: impl Into<Rows<Candle>>) -> Page {
        let answer = answer.into();
        let of = |open: TimeMs| Span { from: open, to: self.end_of(open) };
        let unreadable = unreadable(&answer, |bar| of(bar.time), |time| of(self.interval.open_of(time)));
        self.readable(answer.rows).but_for(&unreadable)
    }

    /// What those bars of the answer say that can be read.
    fn readable(&self, mut bars: Vec<Candle>) -> Page {
        let Span { from, to } = self.about;
        let answered = bars.len();
        // One of another time than was asked for proves nothing of what lies between.
        let asked = |time: TimeMs| self.request.from <= time && time <= self.request.to;
        bars.retain(|bar| (bar.coin, bar.interval) == (self.coin, self.interval) && asked(bar.time));
        // Of two versions the one with more trades is the later one.
        bars.sort_by_key(|bar| (bar.time, std::cmp::Reverse(bar.trades)));
        bars.dedup_by_key(|bar| bar.time);
        let mut page = Page::nothing(Some(self.about));
        let ends =
            bars.first().zip(bars.last()).map(|(first, last)| (first.time, self.proven_end(last.time)));
        // The exchange may keep some more bars than it says.
        let kept = ends.map_or(self.kept_from, |(first, _)| first.min(self.kept_from)).min(to);
        page.lost.extend(proper(from, kept));
        let Some((first, end)) = ends else {
            page.wider = self.wider.0 || self.wider.1;
            return page;
        };
        let (is_left, is_right) = (first <= from.max(kept), end >= to);
        page.wider = !is_left && self.wider.0 || !is_right && self.wider.1;
        if !is_left && first >= to && !self.wider.0 && answered <= SURELY_WHOLE {
            // Of everything that is kept nothing lies before the bars behind the piece: there history begins.
            page.lost.extend(proper(from.max(kept), to));
        }
        page.reached = Span { from: first, to: end.max(first) }.intersect(Span { from, to: self.settled });
        if let Some(span) = proper(first.max(from), end.min(self.settled)) {
            bars.retain(|bar| span.from <= bar.time && bar.time < span.to);
            page.proven.push((span, Records::Candles(bars)));
        }
        page
    }

    /// Up to where an answer proves whose last bar begins at `last`.
    fn proven_end(&self, last: TimeMs) -> TimeMs {
        let end = self.end_of(last);
        if end + BEHIND_MS <= self.asked { end } else { last }
    }

    /// Where the bar that begins at `open` ends at the earliest: months differ.
    fn end_of(&self, open: TimeMs) -> TimeMs {
        match self.interval {
            Interval::Month => open + 28 * DAY_MS,
            interval => open + interval.ms(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Decimal;
    use crate::row::Arrival;

    const MINUTE: i64 = 60_000;
    /// Half a minute into minute 10,000.
    const TIME: TimeMs = TimeMs(10_000 * MINUTE + 30_000);

    fn span(from: i64, to: i64) -> Span {
        Span::new(TimeMs(from * MINUTE), TimeMs(to * MINUTE))
    }

    fn coin() -> Coin {
        Coin::new("BTC").unwrap()
    }

    fn question(from: i64, to: i64, effort: u32) -> Option<BarsQuestion> {
        BarsQuestion::new(coin(), Interval::M1, span(from, to), TIME, effort)
    }

    fn bars(minutes: impl IntoIterator<Item = i64>) -> Vec<Candle> {
        let one = Decimal::ONE;
        let bar = |minute| Candle {
            coin: coin(),
            interval: Interval::M1,
            time: TimeMs(minute * MINUTE),
            open: one,
            high: one,
            low: one,
            close: one,
            volume: one,
            trades: 1,
            arrival: Arrival::default(),
        };
        minutes.into_iter().map(bar).collect()
    }

    fn page(from: i64, to: i64, effort: u32, answer: impl IntoIterator<Item = i64>) -> Page {
        question(from, to, effort).unwrap().page(bars(answer))
    }

    fn proven(page: &Page) -> Vec<(Span, usize)> {
        page.proven.iter().map(|(span, records)| (*span, records.len())).collect()
    }

    #[test]
    fn a_bar_that_cannot_be_read_is_not_proven_and_not_asked_for_again() {
        use crate::decode::Hole;
        let hole = |at, rows, times: Option<(i64, i64)>| Hole {
            at,
            rows,
            times: times.map(|(from, to)| Span::new(TimeMs(from * MINUTE), TimeMs(to * MINUTE))),
        };
        let page = |minutes: &[i64], holes: &[Hole]| {
            let rows = Rows { rows: bars(minutes.iter().copied()), holes: holes.to_vec(), reason: None };
            let page = question(9_900, 9_910, 0).unwrap().page(rows);
            (proven(&page), page.unreadable, page.lost)
        };
        // By its own time, or between its neighbours.
        let parted = vec![(span(9_900, 9_904), 2), (span(9_905, 9_910), 2)];
        let answer = [9_899, 9_902, 9_903, 9_906, 9_909, 9_911];
        assert_eq!(
            page(&answer, &[hole(3, 1, Some((9_904, 9_904)))]),
            (parted, vec![span(9_904, 9_905)], vec![])
        );
        assert_eq!(page(&answer, &[hole(3, 1, None)]).1, [span(9_904, 9_906)]);
        // At an end only its own time says where it lies, and no further than it reaches.
        assert_eq!(page(&[9_899, 9_907], &[hole(2, 2, Some((9_908, 9_909)))]).1, [span(9_908, 9_910)]);
        assert_eq!(page(&[9_899, 9_907], &[hole(2, 2, Some((9_908, 9_999)))]).1, []);
        assert_eq!(page(&[9_899, 9_907], &[hole(2, 1, None)]).1, []);
        assert_eq!(
            page(&[], &[hole(0, 1, Some((9_903, 9_903)))]),
            (vec![], vec![span(9_903, 9_904)], vec![])
        );
    }

    #[test]
    fn a_page_that_is_short_proves_what_it_holds_and_goes_on_from_there() {
        let first = page(7_000, 9_900, 0, 6_970..7_470);
        assert_eq!(proven(&first), [(span(7_000, 7_470), 470)]);
        assert_eq!((first.reached, first.lost), (Some(span(7_000, 7_470)), vec![]));
        // One that gives the newest of what it was asked for.
        let newest = page(7_000, 7_600, 0, 7_500..7_630);
        assert_eq!(proven(&newest), [(span(7_500, 7_600), 100)]);
        assert_eq!(newest.reached, Some(span(7_500, 7_600)), "what lies before is asked for again");
    }

    #[test]
    fn a_minute_without_a_bar_is_proven_by_one_on_each_side() {
        let both = page(9_000, 9_010, 0, [8_990, 8_999, 9_013]);
        assert_eq!((proven(&both), both.wider), (vec![(span(9_000, 9_010), 0)], false));
        let left = page(9_000, 9_010, 0, [8_990, 9_004]);
        assert_eq!(proven(&left), [(span(9_000, 9_005), 1)]);
        assert!(left.wider, "a later bar may be had");
        let right = page(9_000, 9_010, 0, [9_004, 9_012]);
        assert_eq!(proven(&right), [(span(9_004, 9_010), 1)]);
        assert!(right.wider, "an earlier bar may be had");
    }

    #[test]
    fn an_empty_answer_proves_nothing_and_loses_nothing_that_is_kept() {
        for effort in 0..=WIDEST {
            let page = page(9_000, 9_010, effort, []);
            assert_eq!((proven(&page), &page.lost, page.reached), (vec![], &vec![], None));
            assert_eq!(page.wider, effort < WIDEST, "effort {effort}");
        }
        let page = page(4_000, 9_010, 0, []);
        assert_eq!(page.lost, [span(4_000, 5_001)], "older than what the exchange keeps");
    }

    #[test]
    fn questions_reach_over_both_sides_and_grow() {
        let request = |effort| question(9_000, 9_010, effort).unwrap().request;
        assert_eq!(request(0), span(8_970, 9_040));
        assert_eq!(request(1), span(8_760, 9_250));
        assert_eq!(request(2), Span { from: TimeMs(7_080 * MINUTE), to: TIME });
        assert_eq!(request(WIDEST), span(5_001, 9_040));
        assert_eq!(question(9_000, 9_010, 0).unwrap().items(), 71);
        // The bar in progress stands to the right of what has just ended.
        let newest = question(9_990, 10_005, 0).unwrap();
        assert_eq!((newest.request.to, newest.settled.0 / MINUTE), (TIME, 10_000));
        assert!(question(10_000, 10_005, 0).is_none(), "nothing of it is final");
        let page = newest.page(bars(9_960..10_001));
        assert_eq!(proven(&page), [(span(9_990, 10_000), 10)], "never the bar in progress");
        let long = question(5_500, 9_900, 0).unwrap();
        assert_eq!((long.request.from, long.request.to), (TimeMs(5_470 * MINUTE), TimeMs(6_730 * MINUTE)));
    }

    #[test]
    fn a_quiet_end_stays_open_and_no_wider_question_is_tried() {
        let page = page(9_990, 10_000, 0, 9_960..9_995);
        assert_eq!(proven(&page), [(span(9_990, 9_995), 5)]);
        assert!(!page.wider, "it reached until now");
    }

    #[test]
    fn the_last_bar_of_an_answer_may_be_an_old_version_of_itself() {
        // Asked for half a minute into the next one.
        let page = |bars| page(9_990, 10_000, 0, bars);
        assert_eq!(proven(&page(9_960..10_001)), [(span(9_990, 10_000), 10)]);
        let stale = page(9_960..10_000);
        assert_eq!(proven(&stale), [(span(9_990, 9_999), 9)]);
        assert!(stale.lost.is_empty());
        assert_eq!(proven(&page(9_960..9_996)), [(span(9_990, 9_995), 5)], "four minutes and a half ago");
        assert_eq!(proven(&page(9_960..9_995)), [(span(9_990, 9_995), 5)], "no answer is so far behind");
    }

    #[test]
    fn a_bar_of_another_time_than_was_asked_for_proves_nothing() {
        let page = page(9_000, 9_010, 0, [0, 9_006, 9_007]);
        assert_eq!(proven(&page), [(span(9_006, 9_008), 2)]);
    }

    #[test]
    fn history_begins_where_everything_that_is_kept_shows_nothing_before() {
        let short = page(8_000, 9_000, 0, 9_000..9_031);
        assert!(short.lost.is_empty() && short.wider, "the question did not reach back far enough");
        let whole = page(8_000, 9_000, WIDEST, 9_000..9_031);
        assert_eq!((proven(&whole), whole.lost), (vec![], vec![span(8_000, 9_000)]));
        let cut = page(8_000, 9_000, WIDEST, 9_000..9_500);
        assert_eq!(cut.lost, [], "so many may be the newest ones only");
        // Older than what is kept, and history begins later still.
        let begins = page(4_000, 7_990, 0, []);
        assert_eq!((&begins.lost, begins.wider), (&vec![span(4_000, 5_001)], true));
        let begins = page(5_001, 7_990, WIDEST, 7_990..8_020);
        assert_eq!(begins.lost, [span(5_001, 7_990)], "however long it is");
    }

    #[test]
    fn more_than_the_exchange_says_it_keeps_is_taken() {
        let page = page(4_000, 5_200, 0, 4_900..5_230);
        assert_eq!(page.lost, [span(4_000, 4_900)]);
        assert_eq!(proven(&page), [(span(4_900, 5_200), 300)]);
    }

    #[test]
    fn what_is_not_of_the_stream_proves_nothing() {
        let question = question(9_000, 9_010, 0).unwrap();
        let mut answer = bars(8_990..9_020);
        answer.iter_mut().for_each(|bar| bar.interval = Interval::M5);
        assert!(question.page(answer).proven.is_empty());
        let mut answer = bars([9_001, 9_000, 9_000]);
        answer[1].trades = 9;
        let page = question.page(answer);
        let [(_, Records::Candles(bars))] = page.proven.as_slice() else { panic!("{page:?}") };
        let kept: Vec<_> = bars.iter().map(|bar| (bar.time.0 / MINUTE, bar.trades)).collect();
        assert_eq!(kept, [(9_000, 9), (9_001, 1)], "in order, and the later version");
    }

    #[test]
    fn the_last_days_of_a_month_are_proven_by_the_next_one() {
        let day = |day: i64| TimeMs(day * DAY_MS);
        // August 2026 to the middle of October.
        let (august, september, october) = (day(20_666), day(20_697), day(20_727));
        let piece = Span { from: august, to: october };
        let question = BarsQuestion::new(coin(), Interval::Month, piece, day(20_740), 0).unwrap();
        let month = |time| Candle { interval: Interval::Month, time, ..bars([0])[0] };
        let page = question.page(vec![month(august)]);
        assert_eq!(page.proven_hull(), Some(Span { from: august, to: august + 28 * DAY_MS }));
        let page = question.page(vec![month(august), month(september)]);
        assert!(page.proven_hull().unwrap().to >= september);
    }
}
