use super::{Page, unreadable};
use crate::decode::Rows;
use crate::ledger::Span;
use crate::record::Trade;
use crate::{Coin, Records, TimeMs};

/// What the newest trades of a coin say of a piece. `most` is how many the exchange gives: older ones are gone for good
/// where the answer holds so many. Where it holds fewer, there may be more than it says.
#[must_use]
pub fn trades(coin: Coin, piece: Span, answer: impl Into<Rows<Trade>>, most: usize) -> Page {
    let answer: Rows<Trade> = answer.into();
    let is_full = answer.len() >= most;
    let block = |time| Span { from: time, to: time };
    // A gap has to have an inside, and the blocks around it are its borders.
    let unreadable: Vec<Span> = unreadable(&answer, |trade| block(trade.time), block)
        .into_iter()
        .map(|span| if span.ms() > 0 { span } else { Span { from: span.from - 1, to: span.to + 1 } })
        .collect();
    let is_cut = answer.holes.iter().any(|hole| hole.at == answer.rows.len());
    readable(coin, piece, answer.rows, is_full, is_cut).but_for(&unreadable)
}

/// What those trades of an answer say that can be read. The first block of the answer may be cut: where the piece begins
/// at it the answer reaches back to the second one only. So it is with the last one where what follows it cannot be read.
fn readable(coin: Coin, piece: Span, mut trades: Vec<Trade>, is_full: bool, is_cut: bool) -> Page {
    trades.retain(|trade| trade.coin == coin);
    let mut page = Page::nothing(Some(piece));
    let Some((first, last)) = trades.first().zip(trades.last()).map(|(a, b)| (a.time, b.time)) else {
        return page;
    };
    page.reached = Span { from: first, to: last.max(first) }.intersect(piece);
    let whole = if first == piece.from {
        trades.iter().map(|trade| trade.time).find(|time| first < *time)
    } else {
        Some(first)
    };
    let from = whole.unwrap_or(first);
    if is_full && piece.from < from {
        page.lost.push(Span { from: piece.from, to: from.min(piece.to) });
    }
    let before_last = || trades.iter().rev().map(|trade| trade.time).find(|time| *time < last);
    let to = if is_cut { before_last() } else { Some(last) };
    if let (Some(from), Some(to)) = (whole, to)
        && from <= to
        && let Some(span) = (Span { from, to }).intersect(piece)
    {
        trades.retain(|trade| span.contains(trade.time));
        page.proven.push((span, Records::Trades(trades)));
    }
    page
}

/// What of an answer is certain of whatever gaps lie in what was asked about. One of them may begin at its first block, which
/// may be cut; and where rows of it cannot be read nothing is certain.
#[must_use]
pub fn certain(mut page: Page) -> Page {
    let (about, is_readable) = (page.about, page.unreadable.is_empty());
    page.proven.retain_mut(|(span, records)| {
        let Records::Trades(trades) = records else { return false };
        if about.is_some_and(|about| about.from < span.from) {
            let first = span.from;
            trades.retain(|trade| first < trade.time);
            span.from = trades.first().map_or(span.to, |trade| trade.time);
        }
        is_readable
    });
    page
}

/// What of these open gaps an answer fills beside a live stream, with the trades of each part. An answer that passes over
/// the border of a gap without a trade of that block has a hole itself, and fills nothing.
#[must_use]
pub fn beside(page: &Page, gaps: &[Span]) -> Vec<(Span, Records)> {
    let mut parts = Vec::new();
    for (span, records) in &page.proven {
        let Records::Trades(trades) = records else { return Vec::new() };
        let is_missed = |border: TimeMs| span.contains(border) && !trades.iter().any(|t| t.time == border);
        if gaps.iter().any(|gap| is_missed(gap.from) || is_missed(gap.to)) {
            return Vec::new();
        }
        for part in super::inside(gaps, *span) {
            let trades = trades.iter().filter(|trade| part.contains(trade.time)).copied().collect();
            parts.push((part, Records::Trades(trades)));
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Decimal;
    use crate::record::{HexBytes, Side};
    use crate::row::Arrival;

    fn span(from: i64, to: i64) -> Span {
        Span::new(TimeMs(from), TimeMs(to))
    }

    fn coin() -> Coin {
        Coin::new("BTC").unwrap()
    }

    fn trade(time: i64) -> Trade {
        Trade {
            coin: coin(),
            time: TimeMs(time),
            tid: 1,
            px: Decimal::ONE,
            sz: Decimal::ONE,
            side: Side::Buy,
            hash: HexBytes([0; 32]),
            buyer: HexBytes([1; 20]),
            seller: HexBytes([2; 20]),
            arrival: Arrival::default(),
        }
    }

    fn page_of(times: &[i64]) -> Vec<Trade> {
        times.iter().map(|time| trade(*time)).collect()
    }

    fn page(times: &[i64], most: usize) -> Page {
        trades(coin(), span(10, 20), page_of(times), most)
    }

    fn counted(parts: Vec<(Span, Records)>) -> Vec<(Span, usize)> {
        parts.into_iter().map(|(span, records)| (span, records.len())).collect()
    }

    fn answer(times: &[i64], most: usize) -> (Vec<(Span, usize)>, Vec<Span>) {
        let page = page(times, most);
        (counted(page.proven), page.lost)
    }

    #[test]
    fn only_what_lies_between_the_trades_of_an_answer_is_proven() {
        assert_eq!(answer(&[14, 16, 17], 3), (vec![(span(14, 17), 3)], vec![span(10, 14)]));
        assert_eq!(answer(&[4, 16, 27], 3), (vec![(span(10, 20), 1)], vec![]));
        assert_eq!(answer(&[30, 31, 32], 3), (vec![], vec![span(10, 20)]), "it is gone");
    }

    #[test]
    fn a_block_that_may_be_cut_borders_nothing_that_is_proven() {
        assert_eq!(answer(&[10, 10, 16, 27], 4), (vec![(span(16, 20), 1)], vec![span(10, 16)]));
        assert_eq!(answer(&[9, 10, 16, 27], 4), (vec![(span(10, 20), 2)], vec![]));
        assert_eq!(answer(&[10, 10, 10], 3), (vec![], vec![]));
    }

    #[test]
    fn beside_a_live_stream_an_answer_fills_what_lies_in_gaps() {
        let page = page(&[9, 10, 12, 14, 16, 17, 20], 7);
        let of = |gaps: &[Span]| counted(beside(&page, gaps));
        assert_eq!(of(&[span(10, 20)]), [(span(10, 20), 6)]);
        assert_eq!(of(&[span(10, 14), span(16, 20)]), [(span(10, 14), 3), (span(16, 20), 3)]);
        assert_eq!(of(&[span(10, 14), span(17, 28)]), [(span(10, 14), 3), (span(17, 20), 2)]);
        assert_eq!(of(&[span(2, 10), span(20, 30)]), [], "a border has no inside");
        assert_eq!(of(&[span(10, 13), span(16, 20)]), [], "a trade is missing in it");
        assert_eq!(of(&[span(10, 14), span(15, 20)]), []);
        let within = certain(trades(coin(), span(2, 20), page_of(&[9, 10, 12, 14]), 4));
        assert_eq!(within.proven_hull(), Some(span(10, 14)), "9 may be cut");
        assert_eq!(certain(page.clone()), page, "it reaches behind all");
        let page = Page { unreadable: vec![span(12, 14)], ..page };
        assert_eq!(certain(page).proven, []);
    }

    #[test]
    fn trades_that_cannot_be_read_part_what_is_proven() {
        use crate::decode::Hole;
        let page = |times: &[i64], holes: &[usize]| {
            let holes = holes.iter().map(|at| Hole { at: *at, rows: 1, times: None }).collect();
            let rows = Rows { rows: times.iter().map(|time| trade(*time)).collect(), holes, reason: None };
            let page = trades(coin(), span(10, 20), rows, 3);
            let proven: Vec<_> = page.proven.iter().map(|(span, records)| (*span, records.len())).collect();
            (proven, page.unreadable, page.lost)
        };
        let parted = (vec![(span(12, 14), 2), (span(17, 18), 2)], vec![span(14, 17)], vec![span(10, 12)]);
        assert_eq!(page(&[12, 14, 17, 18], &[2]), parted);
        // Inside a block: the block is not proven.
        assert_eq!(page(&[12, 14, 14, 18], &[2]).1, [span(13, 15)]);
        // At an end it may be of the block beside it, which is not proven then; but the answer is as long as it is.
        assert_eq!(page(&[12, 14], &[0]), (vec![(span(12, 14), 2)], vec![], vec![span(10, 12)]));
        assert_eq!(page(&[12, 14, 17], &[3]), (vec![(span(12, 14), 2)], vec![], vec![span(10, 12)]));
    }

    #[test]
    fn fewer_than_the_exchange_gives_are_not_all_that_there_ever_was() {
        assert_eq!(answer(&[14, 16], 3), (vec![(span(14, 16), 2)], vec![]));
        assert_eq!(answer(&[30], 3), (vec![], vec![]), "the rest may be had a moment later");
        assert_eq!(answer(&[], 3), (vec![], vec![]));
    }
}
