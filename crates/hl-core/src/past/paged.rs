use super::{Page, block, proper, unreadable};
use crate::TimeMs;
use crate::decode::Rows;
use crate::ledger::Span;
use crate::stream::Record;

/// Rows of a full page of fills; the exchange keeps the last 10,000 (PROTOCOL section 3.1).
pub const PAGE_FILLS: usize = 2_000;
/// Rows of a full page of funding payments (PROTOCOL section 3.2).
pub const PAGE_PAYMENTS: usize = 500;
/// Rows of a full page of movements: what is said of all answers that take a time (PROTOCOL section 3.3).
pub const PAGE_MOVEMENTS: usize = 500;

/// A question for what a trader did, of which the exchange shows so many rows, oldest first: the first page of a piece that
/// begins with a row, or right behind one, and ends right behind one.
#[derive(Clone, Copy, Debug)]
pub struct PagedQuestion {
    /// Start and end of the request, both inclusive. The answer has the oldest rows first.
    pub request: Span,
    piece: Span,
    /// So many rows are a full page.
    full: usize,
    /// Whether it asks from the beginning of history on.
    is_widest: bool,
}

impl PagedQuestion {
    /// The first page of `piece`, with the row before it. With some `effort`: where history begins. An answer of `full` rows may
    /// be cut at its end.
    #[must_use]
    pub fn new(piece: Span, effort: u32, full: usize) -> Self {
        let from = if effort == 0 { (piece.from - 1).max(TimeMs(0)) } else { TimeMs(0) };
        Self { request: Span { from, to: piece.to }, piece, full, is_widest: effort > 0 }
    }

    /// What the answer says.
    #[must_use]
    pub fn page<T: Record>(&self, answer: Rows<T>) -> Page {
        let is_full = answer.len() >= self.full;
        let unreadable = unreadable(&answer, |row| block(row.time()), block);
        let page = self.readable(answer.rows, is_full).but_for(&unreadable);
        Page { more: is_full, ..page }
    }

    /// What those rows of the answer say that can be read.
    fn readable<T: Record>(&self, mut rows: Vec<T>, is_full: bool) -> Page {
        rows.sort_by_key(T::time);
        let mut page = Page::nothing(Some(self.piece));
        let Some((first, last)) = rows.first().zip(rows.last()).map(|(a, b)| (a.time(), b.time())) else {
            page.wider = !self.is_widest;
            return page;
        };
        page.wider = !self.is_widest && first > self.piece.from;
        if self.is_widest {
            page.lost.extend(proper(self.piece.from, first.min(self.piece.to)));
        }
        // The last block of a full page may go on in the next one, which begins with it.
        let end = if is_full { last } else { last + 1 };
        page.prove(Span::new(first, end.max(first)), rows);
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Coin;
    use crate::Decimal;
    use crate::record::{Fill, HexBytes, Liquidity, Side};
    use crate::row::Arrival;
    use crate::symbol::User;

    fn fill(time: i64, tid: u64) -> Fill {
        Fill {
            user: User::new(&HexBytes::<20>([1; 20]).to_string()).unwrap(),
            time: TimeMs(time),
            tid,
            side: Side::Buy,
            coin: Coin::new("BTC").unwrap(),
            px: Decimal::ONE,
            sz: Decimal::ONE,
            start_position: Decimal::ZERO,
            dir: "Open Long".into(),
            closed_pnl: Decimal::ZERO,
            liquidity: Liquidity::Taker,
            fee: Decimal::ZERO,
            fee_token: None,
            builder_fee: None,
            oid: 1,
            cloid: None,
            twap_id: None,
            hash: HexBytes([0; 32]),
            liquidated_user: None,
            liquidation_mark_px: None,
            liquidation_method: None,
            arrival: Arrival::default(),
        }
    }

    fn page(piece: (i64, i64), effort: u32, times: impl IntoIterator<Item = i64>) -> Page {
        let rows: Vec<_> = (0..).zip(times).map(|(tid, time)| fill(time, tid)).collect();
        PagedQuestion::new(Span::new(TimeMs(piece.0), TimeMs(piece.1)), effort, PAGE_FILLS).page(rows.into())
    }

    fn proven(page: &Page) -> Vec<(i64, i64, usize)> {
        page.proven.iter().map(|(span, rows)| (span.from.0, span.to.0, rows.len())).collect()
    }

    #[test]
    fn an_answer_proves_from_its_first_row_to_its_last() {
        let whole = page((10, 50), 0, [10, 20, 20, 50]);
        assert_eq!((proven(&whole), whole.wider), (vec![(10, 50, 4)], false));
        let next = page((11, 51), 0, [10, 20, 50]);
        assert_eq!((proven(&next), next.wider), (vec![(11, 51, 2)], false), "the one before is there");
        assert_eq!(proven(&page((7, 8), 0, [7])), [(7, 8, 1)]);
        let short = page((10, 50), 0, [10, 30]);
        assert_eq!((proven(&short), short.reached.unwrap().to), (vec![(10, 31, 2)], TimeMs(31)));
        let empty = page((10, 50), 0, []);
        assert_eq!((proven(&empty), empty.lost, empty.wider), (vec![], vec![], true));
    }

    #[test]
    fn the_last_block_of_a_full_page_is_not_proven_by_it() {
        let full = page((0, 5_000), 0, (0..1_999).chain([1_998]));
        assert_eq!((proven(&full), full.reached.unwrap().to), (vec![(0, 1_998, 2_000)], TimeMs(1_998)));
        let stuck = page((7, 5_000), 0, std::iter::repeat_n(7, PAGE_FILLS));
        assert_eq!((proven(&stuck), stuck.reached), (vec![], None), "no page shows the end of such a block");
    }

    #[test]
    fn what_the_exchange_no_longer_has_is_lost_once_it_is_asked_for_all_of_it() {
        let late = page((10, 50), 0, [20, 50]);
        assert_eq!((proven(&late), late.lost, late.wider), (vec![(20, 50, 2)], vec![], true));
        assert_eq!(
            late.reached,
            Some(Span::new(TimeMs(10), TimeMs(50))),
            "what lies before is asked for more widely"
        );
        let all = page((10, 20), 1, [20, 50]);
        assert_eq!(all.lost, [Span::new(TimeMs(10), TimeMs(20))]);
    }
}
