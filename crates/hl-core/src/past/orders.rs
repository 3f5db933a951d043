use super::{Page, block, proper, unreadable};
use crate::decode::Rows;
use crate::ledger::Span;
use crate::record::Order;

/// Changes of status that the exchange shows of a trader's orders, the newest (PROTOCOL section 3.2).
pub const KEPT_ORDERS: usize = 2_000;

/// A question for the orders of a trader. The request is always the same: it takes no time.
#[derive(Clone, Copy, Debug)]
pub struct OrdersQuestion {
    piece: Span,
    /// Whether an answer that does not reach back to the piece is believed.
    is_last: bool,
}

impl OrdersQuestion {
    /// What became of orders in `piece`, which begins right behind a change of status that is stored, or anywhere.
    #[must_use]
    pub fn new(piece: Span, effort: u32) -> Self {
        Self { piece, is_last: effort > 0 }
    }

    /// What the answer says.
    #[must_use]
    pub fn page(&self, answer: Rows<Order>) -> Page {
        let is_full = answer.len() >= KEPT_ORDERS;
        let unreadable = unreadable(&answer, |order| block(order.time), block);
        self.readable(answer.rows, is_full).but_for(&unreadable)
    }

    /// What those rows of the answer say that can be read.
    fn readable(&self, mut rows: Vec<Order>, is_full: bool) -> Page {
        rows.sort_by_key(|order| order.time);
        let mut page = Page::nothing(Some(self.piece));
        let Some((first, last)) = rows.first().zip(rows.last()).map(|(a, b)| (a.time, b.time)) else {
            page.wider = !self.is_last;
            return page;
        };
        // The oldest block of a full answer may have begun before it.
        let from = if is_full { first + 1 } else { first };
        page.wider = !is_full && !self.is_last && from > self.piece.from;
        if is_full || self.is_last {
            page.lost.extend(proper(self.piece.from, from.min(self.piece.to)));
        }
        page.prove(Span::new(from, from.max(last + 1)), rows);
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{HexBytes, Side};
    use crate::row::Arrival;
    use crate::symbol::{User, Word};
    use crate::{Coin, Decimal, TimeMs};

    fn order(time: i64, oid: u64) -> Order {
        Order {
            user: User::new(&HexBytes::<20>([1; 20]).to_string()).unwrap(),
            time: TimeMs(time),
            oid,
            status: Word::new("open").unwrap(),
            coin: Coin::new("BTC").unwrap(),
            side: Side::Buy,
            limit_px: Decimal::ONE,
            sz: Decimal::ONE,
            orig_sz: Decimal::ONE,
            order_type: "Limit".into(),
            tif: None,
            reduce_only: false,
            is_position_tpsl: false,
            trigger_px: None,
            trigger_condition: None,
            children: None,
            cloid: None,
            order_time: TimeMs(time),
            arrival: Arrival::default(),
        }
    }

    /// What an answer with rows of these times says of a piece: what is proven with how many rows, what is lost, and whether it is
    /// to be asked for again.
    fn page(
        piece: (i64, i64),
        effort: u32,
        times: impl IntoIterator<Item = i64>,
    ) -> (Vec<(i64, i64, usize)>, Vec<Span>, bool) {
        let rows: Vec<_> = (0..).zip(times).map(|(oid, time)| order(time, oid)).collect();
        let piece = Span::new(TimeMs(piece.0), TimeMs(piece.1));
        let page = OrdersQuestion::new(piece, effort).page(rows.into());
        let proven = page.proven.iter().map(|(span, rows)| (span.from.0, span.to.0, rows.len())).collect();
        (proven, page.lost, page.wider)
    }

    #[test]
    fn an_answer_that_reaches_back_to_what_is_stored_joins_it() {
        assert_eq!(page((10, 50), 0, [9, 9, 20, 50]), (vec![(10, 50, 2)], vec![], false));
        let full = (0..1_000).chain(0..1_000).map(|time| time + 9);
        assert_eq!(page((10, 5_000), 0, full), (vec![(10, 1_009, 1_998)], vec![], false), "its first block");
        assert_eq!(page((10, 50), 0, [1, 2]), (vec![], vec![], false), "one of before has nothing of it");
    }

    #[test]
    fn what_a_full_answer_begins_behind_is_lost() {
        let (proven, lost, wider) = page((10, 5_000), 0, (0..2_000).map(|time| time + 20));
        assert_eq!((proven, wider), (vec![(21, 2_020, 1_999)], false));
        assert_eq!(
            lost,
            [Span::new(TimeMs(10), TimeMs(21))],
            "the block of the oldest may have begun before"
        );
        let one_block = page((10, 30), 0, std::iter::repeat_n(20, KEPT_ORDERS));
        assert_eq!(one_block, (vec![], vec![Span::new(TimeMs(10), TimeMs(21))], false));
    }

    #[test]
    fn what_a_short_answer_lacks_is_asked_for_once_more() {
        assert_eq!(page((10, 50), 0, [20, 30]), (vec![(20, 31, 2)], vec![], true));
        assert_eq!(page((10, 50), 0, []), (vec![], vec![], true));
        let again = page((10, 50), 1, [20, 30]);
        assert_eq!(again, (vec![(20, 31, 2)], vec![Span::new(TimeMs(10), TimeMs(20))], false));
    }
}
