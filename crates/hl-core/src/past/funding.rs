use super::{Page, proper, unreadable};
use crate::decode::Rows;
use crate::ledger::Span;
use crate::record::Funding;
use crate::time::DAY_MS;
use crate::{Coin, Records, TimeMs};

/// Funding is settled every hour, at the full hour.
pub const FUNDING_MS: i64 = 3_600_000;
/// Rows of a full page (PROTOCOL section 3.1).
pub const PAGE_FUNDING: i64 = 500;
/// A row was seen up to 24 minutes after its hour.
const LAG_MS: i64 = 30 * 60_000;
/// Until the 8th of June 2023 funding was settled every eight hours (PROTOCOL section 3.1).
pub const HOURLY_SINCE: TimeMs = TimeMs(19_517 * DAY_MS);
const RARE_MS: i64 = 8 * FUNDING_MS;

/// A question for settled funding: the first page of a piece.
#[derive(Clone, Copy, Debug)]
pub struct FundingQuestion {
    coin: Coin,
    /// Start and end of the request, both inclusive.
    pub request: Span,
    /// What was asked about, and has to be there by now.
    about: Span,
    /// What may be proven: the piece, as far as it has happened.
    within: Span,
    /// Whether it asks from the beginning of history on.
    is_widest: bool,
}

impl FundingQuestion {
    /// The first page of `piece`, asked for while the exchange's clock says `asked`. With some `effort`: where history
    /// begins. None while all of it is too young.
    #[must_use]
    pub fn new(coin: Coin, piece: Span, asked: TimeMs, effort: u32) -> Option<Self> {
        let within = proper(piece.from.max(TimeMs(0)), piece.to.min(asked))?;
        let first = within.from.floor(FUNDING_MS);
        let to = within.to.min(first + PAGE_FUNDING * FUNDING_MS);
        // Where settlements were rare, the one before and the one after are needed.
        let (before, after) = if first < HOURLY_SINCE { (RARE_MS, RARE_MS) } else { (FUNDING_MS, 0) };
        let last = (to - 1).floor(FUNDING_MS) + (FUNDING_MS - 1 + after);
        let from = if effort == 0 { first - before } else { TimeMs(0) };
        Some(Self {
            coin,
            request: Span { from: from.max(TimeMs(0)), to: last.min(asked) },
            about: Span { from: within.from, to },
            within,
            is_widest: effort > 0,
        })
    }

    /// What the answer says.
    #[must_use]
    pub fn page(&self, asked: TimeMs, answer: impl Into<Rows<Funding>>) -> Page {
        let answer = answer.into();
        let hour = |time: TimeMs| {
            let from = time.floor(FUNDING_MS);
            Span { from, to: from + FUNDING_MS }
        };
        let unreadable = unreadable(&answer, |row| hour(row.time), hour);
        self.readable(asked, answer.rows).but_for(&unreadable)
    }

    /// What those rows of the answer say that can be read.
    fn readable(&self, asked: TimeMs, mut rows: Vec<Funding>) -> Page {
        rows.retain(|row| row.coin == self.coin);
        rows.sort_by_key(|row| row.time);
        rows.dedup_by_key(|row| row.time);
        // The row of an hour may still be on its way.
        let due = proper(self.about.from, self.about.to.min(asked - LAG_MS));
        let mut page = Page::nothing(due);
        let Some((first, last)) = rows.first().zip(rows.last()).map(|(a, b)| (a.time, b.time)) else {
            page.wider = !self.is_widest;
            return page;
        };
        let (begin, end) = (first.floor(FUNDING_MS), last.floor(FUNDING_MS) + FUNDING_MS);
        page.wider = !self.is_widest && begin > self.about.from;
        if self.is_widest {
            page.lost.extend(proper(self.about.from, begin.min(self.about.to)));
        }
        page.reached = Span { from: begin, to: end }.intersect(self.about);
        for span in self.hours(&rows) {
            let Some(span) = span.intersect(self.within).filter(|span| span.ms() > 0) else { continue };
            let inside = |row: &&Funding| span.from <= row.time && row.time < span.to;
            let rows = rows.iter().filter(inside).copied().collect();
            page.proven.push((span, Records::Funding(rows)));
        }
        page
    }

    /// The hours that have their row, joined.
    fn hours(&self, rows: &[Funding]) -> Vec<Span> {
        let mut hours: Vec<Span> = Vec::new();
        for row in rows {
            let from = row.time.floor(FUNDING_MS);
            let hour = Span { from, to: from + FUNDING_MS };
            let goes_on = |before: &&mut Span| {
                let rare = before.to < HOURLY_SINCE && hour.from.since(before.to) < RARE_MS;
                hour.from <= before.to || rare
            };
            match hours.last_mut().filter(goes_on) {
                Some(before) => before.to = hour.to,
                None => hours.push(hour),
            }
        }
        hours
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Decimal;
    use crate::row::Arrival;

    /// 31 minutes into hour 500,000.
    const NOW: TimeMs = TimeMs(500_000 * FUNDING_MS + 31 * 60_000);

    fn at(hour: i64) -> TimeMs {
        TimeMs(hour * FUNDING_MS)
    }

    fn span(from: i64, to: i64) -> Span {
        Span { from: at(from), to: at(to) }
    }

    fn coin() -> Coin {
        Coin::new("BTC").unwrap()
    }

    fn rows(hours: impl IntoIterator<Item = i64>) -> Vec<Funding> {
        let row = |hour| Funding {
            coin: coin(),
            time: at(hour) + 59,
            rate: Decimal::ZERO,
            premium: Decimal::ZERO,
            arrival: Arrival::default(),
        };
        hours.into_iter().map(row).collect()
    }

    fn page(piece: Span, effort: u32, answer: impl IntoIterator<Item = i64>) -> Page {
        FundingQuestion::new(coin(), piece, NOW, effort).unwrap().page(NOW, rows(answer))
    }

    fn proven(page: &Page) -> Vec<(Span, usize)> {
        page.proven.iter().map(|(span, records)| (*span, records.len())).collect()
    }

    #[test]
    fn an_hour_is_proven_by_its_row() {
        let whole = page(span(499_900, 499_910), 0, 499_899..499_910);
        assert_eq!((proven(&whole), whole.wider), (vec![(span(499_900, 499_910), 10)], false));
        let hole = page(span(499_900, 499_910), 0, (499_899..499_910).filter(|hour| *hour != 499_904));
        let parts = vec![(span(499_900, 499_904), 4), (span(499_905, 499_910), 5)];
        assert_eq!((proven(&hole), hole.lost), (parts, vec![]), "a missing hour stays open");
        assert_eq!(hole.reached, Some(span(499_900, 499_910)));
    }

    #[test]
    fn a_short_page_goes_on_from_its_last_row() {
        let short = page(span(498_000, 499_900), 0, 497_999..498_100);
        assert_eq!((proven(&short), short.lost), (vec![(span(498_000, 498_100), 100)], vec![]));
        assert_eq!(short.reached, Some(span(498_000, 498_100)));
        let full = FundingQuestion::new(coin(), span(498_000, 499_900), NOW, 0).unwrap();
        assert_eq!(full.request, Span { from: at(497_999), to: at(498_500) - 1 });
    }

    #[test]
    fn an_empty_answer_proves_nothing() {
        for (effort, wider) in [(0, true), (1, false)] {
            let page = page(span(499_900, 499_910), effort, []);
            assert_eq!((proven(&page), page.lost, page.wider), (vec![], vec![], wider));
        }
    }

    #[test]
    fn what_has_not_happened_is_neither_proven_nor_asked_about() {
        let piece = Span { from: at(499_990) + 7, to: at(500_010) };
        let page = page(piece, 0, 499_989..500_001);
        assert_eq!(proven(&page), [(Span { from: piece.from, to: NOW }, 11)]);
        assert_eq!(page.about.unwrap().to, NOW - LAG_MS);
        assert!(FundingQuestion::new(coin(), span(500_001, 500_002), NOW, 0).is_none());
    }

    #[test]
    fn history_begins_with_the_oldest_row_of_all() {
        let narrow = page(span(499_000, 499_400), 0, 499_300..499_400);
        assert!(narrow.lost.is_empty() && narrow.wider);
        let widest = page(span(499_000, 499_300), 1, 499_300..499_301);
        assert_eq!(widest.lost, [span(499_000, 499_300)]);
        let elsewhere = page(span(499_000, 499_300), 1, 450_000..450_500);
        assert_eq!((proven(&elsewhere), elsewhere.lost), (vec![], vec![]), "there was funding long before");
    }

    #[test]
    fn before_june_2023_a_settlement_stands_for_eight_hours() {
        let hour = HOURLY_SINCE.0 / FUNDING_MS;
        let question = FundingQuestion::new(coin(), span(hour - 40, hour - 8), NOW, 0).unwrap();
        assert_eq!(question.request, Span { from: at(hour - 48), to: at(hour) - 1 });
        let page = page(span(hour - 40, hour), 0, (0..6).map(|n| hour - 40 + 8 * n));
        assert_eq!(proven(&page), [(span(hour - 40, hour), 5)]);
        let later = self::page(span(hour, hour + 16), 0, [hour - 8, hour, hour + 8]);
        assert_eq!(proven(&later).len(), 2, "each hour for itself");
    }
}
