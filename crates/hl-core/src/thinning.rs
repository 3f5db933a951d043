//! Leaving rows out on purpose, to save room: small trades, and books that say nothing new. Off unless somebody asks for it.
//!
//! The ledger still says what was covered, since it was seen; what was left out is told by the note [`NOTE`], so that nobody
//! takes thin rows for all there were. What a backfill brings is stored whole.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ledger::{Change, Span};
use crate::record::Book;
use crate::{Decimal, Records, StreamKey, TimeMs};

/// The name of the note that says when trades were thinned: a JSON array of [`Thinned`].
pub const NOTE: &str = "thinned_trades";

/// The name of the note that says when books were thinned: a JSON array of [`ThinnedBooks`].
pub const BOOKS_NOTE: &str = "thinned_books";

/// What is left out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Policy {
    /// Trades of less than so many USD are left out.
    pub min_trade_usd: Option<Decimal>,
    /// A book is stored when its mid has moved by so many percent since the last that was, or …
    pub book_move_percent: Option<Decimal>,
    /// … when that is so many milliseconds ago. Where neither is given every book is stored.
    pub book_every_ms: Option<i64>,
}

/// Trades of a piece of time that were thinned.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Thinned {
    /// Those of less than so many USD were left out.
    pub min_usd: Decimal,
    /// From here on, ms.
    pub from: TimeMs,
    /// To here, ms; none while it goes on.
    pub to: Option<TimeMs>,
}

impl Thinned {
    /// The piece.
    #[must_use]
    pub fn span(&self) -> Span {
        Span { from: self.from, to: self.to.unwrap_or(TimeMs::MAX) }
    }
}

/// A piece of time in which books that say nothing new were left out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ThinnedBooks {
    /// From here on, ms.
    pub from: TimeMs,
    /// To here, ms; none while it goes on.
    pub to: Option<TimeMs>,
}

impl ThinnedBooks {
    /// The piece.
    #[must_use]
    pub fn span(&self) -> Span {
        Span { from: self.from, to: self.to.unwrap_or(TimeMs::MAX) }
    }
}

/// What the note [`BOOKS_NOTE`] says; nothing where there is none.
///
/// # Errors
/// When it is not such a note.
pub fn told_of_books(note: Option<&str>) -> Result<Vec<ThinnedBooks>, serde_json::Error> {
    note.map_or(Ok(Vec::new()), serde_json::from_str)
}

/// What holds of books from `now` on, added to what was.
#[must_use]
pub fn continued_for_books(mut before: Vec<ThinnedBooks>, policy: Policy, now: TimeMs) -> Vec<ThinnedBooks> {
    let thins = policy.book_move_percent.is_some() || policy.book_every_ms.is_some();
    let open = before.iter_mut().find(|piece| piece.to.is_none());
    match (open, thins) {
        (Some(open), false) => open.to = Some(now),
        (None, true) => before.push(ThinnedBooks { from: now, to: None }),
        (Some(_), true) | (None, false) => {}
    }
    before
}

/// What the note [`NOTE`] says; nothing where there is none.
///
/// # Errors
/// When it is not such a note.
pub fn told(note: Option<&str>) -> Result<Vec<Thinned>, serde_json::Error> {
    note.map_or(Ok(Vec::new()), serde_json::from_str)
}

/// Whether trades were thinned anywhere in a piece: bars cannot be checked against them there.
#[must_use]
pub fn touches(thinned: &[Thinned], span: Span) -> bool {
    thinned.iter().any(|thin| thin.span().overlaps(span))
}

/// What holds from `now` on, added to what was: a policy that goes on is one piece, another begins a new one.
#[must_use]
pub fn continued(mut before: Vec<Thinned>, policy: Policy, now: TimeMs) -> Vec<Thinned> {
    let open = before.iter_mut().find(|piece| piece.to.is_none());
    match (open, policy.min_trade_usd) {
        (Some(open), Some(min_usd)) if open.min_usd == min_usd => return before,
        (Some(open), _) => open.to = Some(now),
        (None, _) => {}
    }
    before.extend(policy.min_trade_usd.map(|min_usd| Thinned { min_usd, from: now, to: None }));
    before
}

/// Carries a policy out, in the order in which rows are written.
#[derive(Clone, Debug, Default)]
pub struct Thinner {
    policy: Policy,
    /// Time and mid of the last book that was kept.
    books: BTreeMap<StreamKey, (TimeMs, Option<Decimal>)>,
    left_out: u64,
}

impl Thinner {
    /// Carries out `policy`.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self { policy, ..Self::default() }
    }

    /// Rows left out so far.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Whether trades are left out: then what the store holds is not all that was brought.
    #[must_use]
    pub fn leaves_out_trades(&self) -> bool {
        self.policy.min_trade_usd.is_some()
    }

    /// The change without the rows that are left out.
    #[must_use]
    pub fn thin(&mut self, stream: StreamKey, mut change: Change) -> Change {
        if let Change::Rows { records, .. } | Change::Filled { records, .. } = &mut change {
            let before = records.len();
            match records {
                Records::Trades(trades) => {
                    if let Some(min) = self.policy.min_trade_usd {
                        // A product beyond all bounds is no small one.
                        trades.retain(|trade| trade.px.checked_mul(trade.sz).is_none_or(|usd| usd >= min));
                    }
                }
                Records::Books(books) => books.retain(|book| self.keeps(stream, book)),
                _ => {}
            }
            self.left_out += (before - records.len()) as u64;
        }
        change
    }

    fn keeps(&mut self, stream: StreamKey, book: &Book) -> bool {
        let Policy { book_move_percent, book_every_ms, .. } = self.policy;
        if book_move_percent.is_none() && book_every_ms.is_none() {
            return true;
        }
        let mid = mid(book);
        let is_new = self.books.get(&stream).is_none_or(|&(time, last)| {
            let is_due = book_every_ms.is_some_and(|ms| book.time.since(time) >= ms);
            let has_moved = book_move_percent.is_some_and(|percent| moved(last, mid, percent));
            book.time > time && (is_due || has_moved)
        });
        if is_new {
            self.books.insert(stream, (book.time, mid));
        }
        is_new
    }
}

/// Between the best bid and the best ask, USD; none where a side is empty.
fn mid(book: &Book) -> Option<Decimal> {
    let (bid, ask) = (book.bids.first()?, book.asks.first()?);
    Some(bid.px.checked_add(ask.px)? / Decimal::TWO)
}

/// A side that comes or goes is a move.
fn moved(last: Option<Decimal>, mid: Option<Decimal>, percent: Decimal) -> bool {
    match (last, mid) {
        (Some(last), Some(mid)) => {
            let by = (mid - last).abs().checked_mul(Decimal::ONE_HUNDRED);
            by.zip(last.checked_mul(percent)).is_none_or(|(by, least)| by >= least)
        }
        (last, mid) => last != mid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{HexBytes, Level, Side, Trade};
    use crate::row::Arrival;
    use crate::stream::BookVariant;
    use crate::{Coin, Epoch, Origin, Token};

    fn rows(records: Records) -> Change {
        Change::Rows { epoch: Epoch { token: Token(1), local: 1 }, origin: Origin::Ws, records }
    }

    fn dec(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    fn thin_books(policy: Policy, books: &[(i64, &str, &str)]) -> Vec<i64> {
        let coin = Coin::new("BTC").unwrap();
        let side = |px: &str| match px {
            "" => Box::default(),
            px => Box::from([Level { px: dec(px), sz: Decimal::ONE, n: 1 }]),
        };
        let stream = StreamKey::Book(coin, BookVariant::Default);
        let mut thinner = Thinner::new(policy);
        let book = |&(time, bid, ask): &(i64, &str, &str)| Book {
            coin,
            variant: BookVariant::Default,
            time: TimeMs(time),
            bids: side(bid),
            asks: side(ask),
            arrival: Arrival::default(),
        };
        let mut kept = Vec::new();
        // One a change and all at once are the same.
        for each in books {
            let Change::Rows { records: Records::Books(books), .. } =
                thinner.thin(stream, rows(Records::Books(vec![book(each)])))
            else {
                unreachable!()
            };
            kept.extend(books.iter().map(|book| book.time.0));
        }
        let all = rows(Records::Books(books.iter().map(book).collect()));
        let mut at_once = Thinner::new(policy);
        let Change::Rows { records: Records::Books(all), .. } = at_once.thin(stream, all) else {
            unreachable!()
        };
        assert_eq!(kept, all.iter().map(|book| book.time.0).collect::<Vec<_>>());
        assert_eq!(at_once.left_out() as usize, books.len() - kept.len());
        kept
    }

    #[test]
    fn books_are_kept_when_they_move_or_when_it_is_time() {
        let books = [
            (0, "99", "101"),
            (5, "99.4", "101.4"),
            (10, "100", "102"),
            (15, "100", "102"),
            (20, "99", "101.02"),
            (30, "", "101"),
        ];
        let moves = Policy { book_move_percent: Some(dec("1")), ..Policy::default() };
        assert_eq!(thin_books(moves, &books), [0, 10, 30], "1 % of the last that was kept");
        let every = Policy { book_every_ms: Some(10), ..Policy::default() };
        assert_eq!(thin_books(every, &books), [0, 10, 20, 30]);
        let both = Policy { book_every_ms: Some(20), ..moves };
        assert_eq!(thin_books(both, &books), [0, 10, 30]);
        assert_eq!(thin_books(Policy::default(), &books).len(), 6);
        assert_eq!(
            thin_books(every, &[(50, "1", "2"), (10, "1", "2"), (61, "1", "2")]),
            [50, 61],
            "what comes late"
        );
    }

    #[test]
    fn small_trades_are_left_out_of_what_is_written_and_filled() {
        let coin = Coin::new("BTC").unwrap();
        let trade = |tid: u64, px: &str, sz: &str| Trade {
            coin,
            time: TimeMs(1),
            tid,
            px: dec(px),
            sz: dec(sz),
            side: Side::Buy,
            hash: HexBytes([0; 32]),
            buyer: HexBytes([1; 20]),
            seller: HexBytes([2; 20]),
            arrival: Arrival::default(),
        };
        let trades = vec![trade(1, "100", "9.99"), trade(2, "100", "10"), trade(3, "0.001", "1000000")];
        let stream = StreamKey::Trades(coin);
        let mut thinner = Thinner::new(Policy { min_trade_usd: Some(dec("1000")), ..Policy::default() });
        let filled = Change::Filled {
            epoch: Epoch { token: Token(1), local: 1 },
            origin: Origin::Ws,
            span: Span::new(TimeMs(0), TimeMs(2)),
            records: Records::Trades(trades.clone()),
        };
        for change in [rows(Records::Trades(trades)), filled] {
            let (Change::Rows { records, .. } | Change::Filled { records, .. }) =
                thinner.thin(stream, change)
            else {
                unreachable!()
            };
            let Records::Trades(kept) = records else { unreachable!() };
            assert_eq!(kept.iter().map(|trade| trade.tid).collect::<Vec<_>>(), [2, 3]);
        }
        assert_eq!(thinner.left_out(), 2);
        let edge = Change::Edge(TimeMs(7));
        assert_eq!(thinner.thin(stream, edge.clone()), edge);
    }

    #[test]
    fn it_is_remembered_when_books_were_thinned() {
        let at = |every| Policy { book_every_ms: every, ..Policy::default() };
        let none = continued_for_books(Vec::new(), at(None), TimeMs(1));
        assert_eq!(none, []);
        let one = continued_for_books(none, at(Some(60_000)), TimeMs(2));
        assert_eq!(continued_for_books(one.clone(), at(Some(9_000)), TimeMs(3)), one, "it goes on");
        let ended = continued_for_books(one, at(None), TimeMs(6));
        assert_eq!(ended[0].span(), Span { from: TimeMs(2), to: TimeMs(6) });
        let note = serde_json::to_string(&ended).unwrap();
        assert_eq!(told_of_books(Some(&note)).unwrap(), ended);
    }

    #[test]
    fn it_is_remembered_when_trades_were_thinned() {
        let at = |usd: Option<&str>| Policy { min_trade_usd: usd.map(dec), ..Policy::default() };
        let none = continued(Vec::new(), at(None), TimeMs(1));
        assert_eq!(none, []);
        let one = continued(none, at(Some("1000")), TimeMs(2));
        assert_eq!(continued(one.clone(), at(Some("1000.0")), TimeMs(3)), one, "it goes on");
        let two = continued(one, at(Some("5")), TimeMs(4));
        let ended = continued(two, at(None), TimeMs(6));
        let spans: Vec<_> = ended.iter().map(Thinned::span).collect();
        assert_eq!(spans, [Span { from: TimeMs(2), to: TimeMs(4) }, Span { from: TimeMs(4), to: TimeMs(6) }]);
    }
}
