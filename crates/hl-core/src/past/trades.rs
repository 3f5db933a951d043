use super::{Page, unreadable};
use crate::decode::Rows;
use crate::ledger::Span;
use crate::record::Trade;
use crate::{Coin, Records};

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
    readable(coin, piece, answer.rows, is_full).but_for(&unreadable)
}

/// What those trades of an answer say that can be read.
fn readable(coin: Coin, piece: Span, mut trades: Vec<Trade>, is_full: bool) -> Page {
    trades.retain(|trade| trade.coin == coin);
    let mut page = Page::nothing(Some(piece));
    let Some((first, last)) = trades.first().zip(trades.last()).map(|(a, b)| (a.time, b.time)) else {
        return page;
    };
    let answer = Span { from: first, to: last.max(first) };
    page.reached = answer.intersect(piece);
    if is_full && piece.from < first {
        page.lost.push(Span { from: piece.from, to: first.min(piece.to) });
    }
    if let Some(span) = answer.intersect(piece) {
        trades.retain(|trade| span.contains(trade.time));
        page.proven.push((span, Records::Trades(trades)));
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{HexBytes, Side};
    use crate::{Decimal, TimeMs};

    fn span(from: i64, to: i64) -> Span {
        Span::new(TimeMs(from), TimeMs(to))
    }

    fn answer(times: &[i64], most: usize) -> (Vec<(Span, usize)>, Vec<Span>) {
        let coin = Coin::new("BTC").unwrap();
        let trade = |time: &i64| Trade {
            coin,
            time: TimeMs(*time),
            tid: 1,
            px: Decimal::ONE,
            sz: Decimal::ONE,
            side: Side::Buy,
            hash: HexBytes([0; 32]),
            buyer: HexBytes([1; 20]),
            seller: HexBytes([2; 20]),
        };
        let page = trades(coin, span(10, 20), times.iter().map(trade).collect::<Vec<_>>(), most);
        (page.proven.into_iter().map(|(span, records)| (span, records.len())).collect(), page.lost)
    }

    #[test]
    fn only_what_lies_between_the_trades_of_an_answer_is_proven() {
        assert_eq!(answer(&[14, 16, 17], 3), (vec![(span(14, 17), 3)], vec![span(10, 14)]));
        assert_eq!(answer(&[4, 16, 27], 3), (vec![(span(10, 20), 1)], vec![]));
        assert_eq!(answer(&[30, 31, 32], 3), (vec![], vec![span(10, 20)]), "it is gone");
    }

    #[test]
    fn trades_that_cannot_be_read_part_what_is_proven() {
        use crate::decode::Hole;
        let coin = Coin::new("BTC").unwrap();
        let trade = |time: i64| Trade {
            coin,
            time: TimeMs(time),
            tid: 1,
            px: Decimal::ONE,
            sz: Decimal::ONE,
            side: Side::Buy,
            hash: HexBytes([0; 32]),
            buyer: HexBytes([1; 20]),
            seller: HexBytes([2; 20]),
        };
        let page = |times: &[i64], holes: &[usize]| {
            let holes = holes.iter().map(|at| Hole { at: *at, rows: 1, times: None }).collect();
            let rows = Rows { rows: times.iter().map(|time| trade(*time)).collect(), holes, reason: None };
            let page = trades(coin, span(10, 20), rows, 3);
            let proven: Vec<_> = page.proven.iter().map(|(span, records)| (*span, records.len())).collect();
            (proven, page.unreadable, page.lost)
        };
        let parted = (vec![(span(12, 14), 2), (span(17, 18), 2)], vec![span(14, 17)], vec![span(10, 12)]);
        assert_eq!(page(&[12, 14, 17, 18], &[2]), parted);
        // Inside a block: the block is not proven.
        assert_eq!(page(&[12, 14, 14, 18], &[2]).1, [span(13, 15)]);
        // At an end it is outside of what is proven anyway; but the answer is as long as it is.
        assert_eq!(page(&[12, 14], &[0]), (vec![(span(12, 14), 2)], vec![], vec![span(10, 12)]));
        assert_eq!(page(&[12, 14], &[2]), (vec![(span(12, 14), 2)], vec![], vec![span(10, 12)]));
    }

    #[test]
    fn fewer_than_the_exchange_gives_are_not_all_that_there_ever_was() {
        assert_eq!(answer(&[14, 16], 3), (vec![(span(14, 16), 2)], vec![]));
        assert_eq!(answer(&[30], 3), (vec![], vec![]), "the rest may be had a moment later");
        assert_eq!(answer(&[], 3), (vec![], vec![]));
    }
}
