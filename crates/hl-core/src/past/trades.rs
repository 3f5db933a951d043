use super::Page;
use crate::ledger::Span;
use crate::record::Trade;
use crate::{Coin, Records};

/// What the newest trades of a coin say of a piece. `most` is how many the exchange gives: older ones are gone for good
/// where the answer holds so many. Where it holds fewer, there may be more than it says.
#[must_use]
pub fn trades(coin: Coin, piece: Span, mut trades: Vec<Trade>, most: usize) -> Page {
    trades.retain(|trade| trade.coin == coin);
    let mut page = Page::nothing(Some(piece));
    let Some((first, last)) = trades.first().zip(trades.last()).map(|(a, b)| (a.time, b.time)) else {
        return page;
    };
    let is_full = trades.len() >= most;
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
        let page = trades(coin, span(10, 20), times.iter().map(trade).collect(), most);
        (page.proven.into_iter().map(|(span, records)| (span, records.len())).collect(), page.lost)
    }

    #[test]
    fn only_what_lies_between_the_trades_of_an_answer_is_proven() {
        assert_eq!(answer(&[14, 16, 17], 3), (vec![(span(14, 17), 3)], vec![span(10, 14)]));
        assert_eq!(answer(&[4, 16, 27], 3), (vec![(span(10, 20), 1)], vec![]));
        assert_eq!(answer(&[30, 31, 32], 3), (vec![], vec![span(10, 20)]), "it is gone");
    }

    #[test]
    fn fewer_than_the_exchange_gives_are_not_all_that_there_ever_was() {
        assert_eq!(answer(&[14, 16], 3), (vec![(span(14, 16), 2)], vec![]));
        assert_eq!(answer(&[30], 3), (vec![], vec![]), "the rest may be had a moment later");
        assert_eq!(answer(&[], 3), (vec![], vec![]));
    }
}
