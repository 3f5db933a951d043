//! What the tracker hears of trades: all that the time lines admit, whichever rows are stored of it, and how whole it is.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use hl_core::ledger::{Cause, Change, Span};
use hl_core::record::Trade;
use hl_core::{Coin, Records, StreamKey, TimeMs};

/// So many trades may wait; what comes then is left out, and told as a gap.
const MOST_TRADES: usize = 200_000;

/// What is heard of one coin.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Heard {
    /// Trades, in the order in which the exchange sent them.
    Trades(Vec<Trade>),
    /// All trades of the piece have been told, and it joins what lies before and behind it.
    Whole(Span),
    /// All trades of the piece have been told, as its subscription says.
    Run(Span),
    /// Trades of the piece are missing.
    Gap(Span),
    /// Nothing joins what lies before the piece with what lies behind it.
    NotJoined(Span),
    /// The coin is listed no longer.
    Delisted(TimeMs),
    /// The exchange's clock was set back: time from here on is lived once more.
    Relived(TimeMs),
}

#[derive(Default)]
struct Waiting {
    heard: VecDeque<(Coin, Heard)>,
    trades: usize,
    /// What was left out, by coin.
    left_out: BTreeMap<Coin, Span>,
    /// Up to where trades of a coin were ever left out: what is said to be whole before that is so for the store alone.
    lost_to: BTreeMap<Coin, TimeMs>,
}

/// The bounded queue from the reader of the inbox, which never waits for it, to the tracker.
#[derive(Default)]
pub struct Hearing {
    waiting: Mutex<Waiting>,
}

impl Hearing {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time line of a stream has changed so.
    pub fn changed(&self, stream: StreamKey, change: &Change) {
        let StreamKey::Trades(coin) = stream else { return };
        match change {
            Change::Rows { records: Records::Trades(trades), .. } => self.put(coin, trades),
            Change::Filled { span, records: Records::Trades(trades), .. } => {
                self.put(coin, trades);
                self.tell(coin, Heard::Whole(*span));
            }
            Change::Covered { span, .. } => self.tell(coin, Heard::Whole(*span)),
            Change::GapOpened { span, cause: Cause::Silence } | Change::Doubted { span, .. } => {
                self.tell(coin, Heard::Gap(*span));
            }
            Change::GapOpened { span, .. } => self.tell(coin, Heard::NotJoined(*span)),
            Change::Ended(at) => self.tell(coin, Heard::Delisted(*at)),
            Change::Rows { .. }
            | Change::Filled { .. }
            | Change::Final { .. }
            | Change::GapLost { .. }
            | Change::GapUnreadable { .. }
            | Change::Edge(_) => {}
        }
    }

    /// The subscription that owns a stream of trades has brought every one of a piece.
    pub fn run(&self, stream: StreamKey, piece: Span) {
        if let StreamKey::Trades(coin) = stream {
            self.tell(coin, Heard::Run(piece));
        }
    }

    /// The subscription that owned a stream of trades was silent in this piece, although it was there.
    pub fn deaf(&self, stream: StreamKey, piece: Span) {
        if let StreamKey::Trades(coin) = stream {
            self.tell(coin, Heard::Gap(piece));
        }
    }

    /// Time of a stream of trades is lived once more from here on: the exchange's clock was set back.
    pub fn relived(&self, stream: StreamKey, from: TimeMs) {
        if let StreamKey::Trades(coin) = stream {
            self.tell(coin, Heard::Relived(from));
        }
    }

    fn put(&self, coin: Coin, trades: &[Trade]) {
        let mut waiting = self.lock();
        let times = || trades.iter().map(|trade| trade.time);
        let Some((from, to)) = times().min().zip(times().max()) else { return };
        if waiting.trades + trades.len() > MOST_TRADES || waiting.left_out.contains_key(&coin) {
            let lost = Span::new(from, to);
            waiting.left_out.entry(coin).and_modify(|span| *span = span.hull(lost)).or_insert(lost);
            waiting.lost_to.entry(coin).and_modify(|end| *end = to.max(*end)).or_insert(to);
            return;
        }
        waiting.trades += trades.len();
        waiting.heard.push_back((coin, Heard::Trades(trades.to_vec())));
    }

    /// Two words of one sort about a coin are one word where the first has not been taken yet. Where too many wait, it is left
    /// unsaid that trades are here, and never that they are missing.
    fn tell(&self, coin: Coin, heard: Heard) {
        let mut waiting = self.lock();
        let is_full = waiting.heard.len() >= MOST_TRADES;
        let lost_to = waiting.lost_to.get(&coin).copied();
        let behind = |piece: Span| match lost_to {
            Some(lost) if piece.from < lost => (lost < piece.to).then_some(Span { from: lost, ..piece }),
            _ => Some(piece),
        };
        let heard = match heard {
            Heard::Whole(piece) => behind(piece).map(Heard::Whole),
            Heard::Run(piece) => behind(piece).map(Heard::Run),
            Heard::Relived(from) => {
                waiting.lost_to.clear();
                Some(Heard::Relived(from))
            }
            heard => Some(heard),
        };
        let Some(heard) = heard else { return };
        match (waiting.heard.back_mut(), heard) {
            (Some((of, Heard::Run(last))), Heard::Run(piece)) if *of == coin && last.from == piece.from => {
                *last = piece;
            }
            (Some((_, Heard::Relived(before))), Heard::Relived(from)) => *before = from.min(*before),
            (_, Heard::Whole(_) | Heard::Run(_)) if is_full => {}
            (_, Heard::Gap(gap) | Heard::NotJoined(gap)) if is_full => {
                waiting.left_out.entry(coin).and_modify(|span| *span = span.hull(gap)).or_insert(gap);
            }
            (_, heard) => waiting.heard.push_back((coin, heard)),
        }
    }

    /// All that waits, in order. What was left out comes last, so that no word before it covers it.
    pub(super) fn take(&self) -> impl Iterator<Item = (Coin, Heard)> + use<> {
        let mut waiting = self.lock();
        let lost_to = std::mem::take(&mut waiting.lost_to);
        let Waiting { heard, left_out, .. } =
            std::mem::replace(&mut *waiting, Waiting { lost_to, ..Waiting::default() });
        drop(waiting);
        heard.into_iter().chain(left_out.into_iter().map(|(coin, span)| (coin, Heard::Gap(span))))
    }
}

#[cfg(test)]
mod tests {
    use hl_core::record::{HexBytes, Side};
    use hl_core::row::Arrival;
    use hl_core::{Decimal, Epoch, Origin, Token};

    use super::*;

    fn trade(time: i64) -> Trade {
        Trade {
            coin: Coin::new("BTC").unwrap(),
            time: TimeMs(time),
            tid: time.unsigned_abs(),
            px: Decimal::ONE,
            sz: Decimal::ONE,
            side: Side::Buy,
            hash: HexBytes([0; 32]),
            buyer: HexBytes([1; 20]),
            seller: HexBytes([2; 20]),
            arrival: Arrival::default(),
        }
    }

    fn rows(times: std::ops::Range<i64>) -> Change {
        let epoch = Epoch { token: Token(1), local: 1 };
        Change::Rows { epoch, origin: Origin::Ws, records: Records::Trades(times.map(trade).collect()) }
    }

    #[test]
    fn what_finds_no_room_is_a_gap_behind_all_that_is_said_to_be_whole() {
        let (hearing, stream) = (Hearing::default(), "trades/BTC".parse().unwrap());
        let most = i64::try_from(MOST_TRADES).unwrap();
        hearing.changed(stream, &rows(0..most));
        hearing.changed(stream, &rows(most..most + 10));
        let span = |from, to| Span::new(TimeMs(from), TimeMs(to));
        hearing.run(stream, span(0, most + 5));
        hearing.run(stream, span(0, most + 10));
        // The order in which it was told is kept, although there would be room for it.
        hearing.changed(stream, &rows(most + 20..most + 21));
        let taken: Vec<_> = hearing.take().map(|(_, heard)| heard).collect();
        let [Heard::Trades(trades), Heard::Run(run), Heard::Gap(gap)] = taken.as_slice() else {
            panic!("{}", taken.len())
        };
        assert_eq!((trades.len(), *run), (MOST_TRADES, span(most + 9, most + 10)));
        assert_eq!(*gap, span(most, most + 20));
        hearing.changed(stream, &rows(most + 30..most + 31));
        // What the store has whole the tracker has not, however late that is said.
        let epoch = Epoch { token: Token(1), local: 1 };
        let covered = |from, to| Change::Covered { epoch, origin: Origin::Ws, span: span(from, to) };
        hearing.changed(stream, &covered(0, most + 20));
        hearing.changed(stream, &covered(most, most + 31));
        let taken: Vec<_> = hearing.take().map(|(_, heard)| heard).skip(1).collect();
        assert_eq!(taken, [Heard::Whole(span(most + 20, most + 31))]);
    }
}
