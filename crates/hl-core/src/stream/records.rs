//! Records of any kind: what every record can do, a list of those of one kind, and the two macros by which code that is the
//! same for every kind runs for the type of one.

use std::num::NonZeroI64;

use serde::{Deserialize, Serialize};

use super::{
    Bbo, Book, Candle, CoinSignal, Conflation, Context, Fill, Funding, Leader, Market, Mid, Movement, Order,
    Payment, Position, PredictedFunding, StreamKey, Trade, Trader,
};
use crate::TimeMs;
use crate::row::{Arrival, Row, RowKey};

/// A record of some kind.
pub trait Record: Row + Listed + Clone + PartialEq + Serialize {
    /// The stream that carries it.
    fn stream(&self) -> StreamKey;

    /// What makes it the same row within its stream.
    fn row_key(&self) -> RowKey;

    /// Whether it says something else than what is stored under its key and can change no more. Two states of one time are
    /// never compared: which of them is right is not known.
    fn contradicts(&self, _stored: &Self) -> bool {
        false
    }

    /// Whether its best bid is at or above its best ask: never true on the exchange.
    fn is_crossed(&self) -> bool {
        false
    }

    /// How much memory it takes beside itself, bytes.
    fn bytes_beside(&self) -> usize {
        0
    }

    /// Whether two records say the same, their times aside.
    fn same_values(&self, other: &Self) -> bool {
        let mut one = self.clone();
        one.set_time(other.time());
        one.set_arrival(other.arrival());
        one == *other
    }

    /// Whether it is a row of the stream that a table can hold.
    fn belongs_to(&self, stream: StreamKey) -> bool {
        self.stream() == stream && self.fits()
    }
}

/// A record that [`Records`] have a list of.
pub trait Listed: Sized {
    /// A list of them.
    fn list(records: Vec<Self>) -> Records;
    /// The list, where the records are of this type.
    fn of(records: &Records) -> Option<&[Self]>;
    /// The list, to change it.
    fn of_mut(records: &mut Records) -> Option<&mut Vec<Self>>;
    /// The list itself, or the records of another type.
    #[allow(clippy::missing_errors_doc, reason = "they are given back")]
    fn taken(records: Records) -> Result<Vec<Self>, Records>;
}

macro_rules! records {
    ($($list:ident: $record:ident),+ $(,)?) => {
        /// Records of one stream, oldest first.
        #[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
        #[allow(missing_docs, reason = "each variant is its kind")]
        pub enum Records {
            $($list(Vec<$record>),)+
        }

        $(impl Listed for $record {
            fn list(records: Vec<Self>) -> Records {
                Records::$list(records)
            }
            fn of(records: &Records) -> Option<&[Self]> {
                if let Records::$list(records) = records { Some(records) } else { None }
            }
            fn of_mut(records: &mut Records) -> Option<&mut Vec<Self>> {
                if let Records::$list(records) = records { Some(records) } else { None }
            }
            fn taken(records: Records) -> Result<Vec<Self>, Records> {
                if let Records::$list(records) = records { Ok(records) } else { Err(records) }
            }
        })+
    };
}

records! {
    Trades: Trade,
    Books: Book,
    Bbos: Bbo,
    Candles: Candle,
    Mids: Mid,
    Contexts: Context,
    Funding: Funding,
    PredictedFunding: PredictedFunding,
    Markets: Market,
    Leaderboard: Leader,
    Traders: Trader,
    Signals: CoinSignal,
    Fills: Fill,
    Positions: Position,
    Orders: Order,
    Payments: Payment,
    Movements: Movement,
}

/// Runs `$do` for the list in some [`Records`], whatever its type: `for_records!(records, rows => rows.len())`.
#[macro_export]
macro_rules! for_records {
    ($records:expr, $rows:pat => $do:expr) => {
        match $records {
            $crate::Records::Trades($rows) => $do,
            $crate::Records::Books($rows) => $do,
            $crate::Records::Bbos($rows) => $do,
            $crate::Records::Candles($rows) => $do,
            $crate::Records::Mids($rows) => $do,
            $crate::Records::Contexts($rows) => $do,
            $crate::Records::Funding($rows) => $do,
            $crate::Records::PredictedFunding($rows) => $do,
            $crate::Records::Markets($rows) => $do,
            $crate::Records::Leaderboard($rows) => $do,
            $crate::Records::Traders($rows) => $do,
            $crate::Records::Signals($rows) => $do,
            $crate::Records::Fills($rows) => $do,
            $crate::Records::Positions($rows) => $do,
            $crate::Records::Orders($rows) => $do,
            $crate::Records::Payments($rows) => $do,
            $crate::Records::Movements($rows) => $do,
        }
    };
}

/// Runs `$do` for the type of a kind's records: `for_kind!(kind, T => read::<T>(conn))`.
#[macro_export]
macro_rules! for_kind {
    ($kind:expr, $record:ident => $do:expr) => {
        match $kind {
            $crate::Kind::Trades => $crate::for_kind!(@ Trade, $record => $do),
            $crate::Kind::Book
            | $crate::Kind::BookFast
            | $crate::Kind::Book5
            | $crate::Kind::Book4
            | $crate::Kind::Book3 => $crate::for_kind!(@ Book, $record => $do),
            $crate::Kind::Bbo => $crate::for_kind!(@ Bbo, $record => $do),
            $crate::Kind::Candle => $crate::for_kind!(@ Candle, $record => $do),
            $crate::Kind::Mids => $crate::for_kind!(@ Mid, $record => $do),
            $crate::Kind::Context => $crate::for_kind!(@ Context, $record => $do),
            $crate::Kind::Funding => $crate::for_kind!(@ Funding, $record => $do),
            $crate::Kind::PredictedFunding => $crate::for_kind!(@ PredictedFunding, $record => $do),
            $crate::Kind::Markets => $crate::for_kind!(@ Market, $record => $do),
            $crate::Kind::Leaderboard => $crate::for_kind!(@ Leader, $record => $do),
            $crate::Kind::Traders => $crate::for_kind!(@ Trader, $record => $do),
            $crate::Kind::Signals => $crate::for_kind!(@ CoinSignal, $record => $do),
            $crate::Kind::Fills => $crate::for_kind!(@ Fill, $record => $do),
            $crate::Kind::Positions => $crate::for_kind!(@ Position, $record => $do),
            $crate::Kind::Orders => $crate::for_kind!(@ Order, $record => $do),
            $crate::Kind::Payments => $crate::for_kind!(@ Payment, $record => $do),
            $crate::Kind::Movements => $crate::for_kind!(@ Movement, $record => $do),
        }
    };
    (@ $type:ident, $record:ident => $do:expr) => {{
        type $record = $crate::record::$type;
        $do
    }};
}

impl Records {
    /// No records of a stream.
    #[must_use]
    pub fn none(stream: StreamKey) -> Self {
        for_kind!(stream.kind(), T => T::list(Vec::new()))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        for_records!(self, r => r.len())
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How much memory they take, bytes: what queues are bounded by, where the other side decides on the length.
    #[must_use]
    pub fn bytes(&self) -> usize {
        for_records!(self, r => size_of_val(r.as_slice()) + r.iter().map(Record::bytes_beside).sum::<usize>())
    }

    /// Whether they are of the stream's kind, and each is a record of the stream.
    #[must_use]
    pub fn are_of(&self, stream: StreamKey) -> bool {
        for_kind!(stream.kind(), T => T::of(self).is_some_and(|r| r.iter().all(|x| x.stream() == stream)))
    }

    /// Whether they are states, each of which replaces the one before.
    #[must_use]
    pub fn are_states(&self) -> bool {
        let is_state = |stream: StreamKey| stream.spec().conflation == Conflation::State;
        for_records!(self, r => r.first().is_some_and(|x| is_state(x.stream())))
    }

    /// Whether the best bid of the record at `at` is at or above its best ask.
    #[must_use]
    pub fn is_crossed(&self, at: usize) -> bool {
        for_records!(self, r => r.get(at).is_some_and(Record::is_crossed))
    }

    /// The times of the first and the last, in order of arrival.
    #[must_use]
    pub fn ends(&self) -> Option<(TimeMs, TimeMs)> {
        for_records!(self, r => Some((r.first()?.time, r.last()?.time)))
    }

    /// The earliest and the latest time, whatever the order of arrival.
    #[must_use]
    pub fn extent(&self) -> Option<(TimeMs, TimeMs)> {
        let mut extent = None;
        self.each_time(|time| {
            let (from, to) = extent.unwrap_or((time, time));
            extent = Some((time.min(from), time.max(to)));
        });
        extent
    }

    /// Hands out each time, in order of arrival.
    pub(crate) fn each_time(&self, see: impl FnMut(TimeMs)) {
        for_records!(self, r => r.iter().map(|x| x.time).for_each(see));
    }

    /// Keeps the records whose time satisfies `keep`.
    pub fn retain_time(&mut self, mut keep: impl FnMut(TimeMs) -> bool) {
        for_records!(self, r => r.retain(|x| keep(x.time)));
    }

    /// The key of each, in their order.
    #[must_use]
    pub fn keys(&self) -> Vec<RowKey> {
        for_records!(self, r => r.iter().map(Record::row_key).collect())
    }

    /// When each was received, and its place among the rows of its time.
    #[must_use]
    pub fn arrivals(&self) -> Vec<Arrival> {
        for_records!(self, r => r.iter().map(|x| x.arrival).collect())
    }

    /// The time of the last, in order of arrival, and when it was received, where that is known.
    #[must_use]
    pub fn newest_received(&self) -> Option<(TimeMs, NonZeroI64)> {
        for_records!(self, r => r.last().and_then(|x| Some((x.time, x.arrival.received?))))
    }

    /// The records at these positions, in this order. A position beyond the end is left out.
    #[must_use]
    pub fn pick(&self, positions: &[usize]) -> Self {
        fn pick<T: Record>(records: &[T], positions: &[usize]) -> Records {
            T::list(positions.iter().filter_map(|&at| records.get(at).cloned()).collect())
        }
        for_records!(self, r => pick(r, positions))
    }

    /// Whether the record at `at` says the same as the one at `theirs` in `other`, whenever each was received.
    #[must_use]
    pub fn same(&self, at: usize, other: &Self, theirs: usize) -> bool {
        fn same<T: Record>(records: &[T], at: usize, other: &Records, theirs: usize) -> bool {
            let other = T::of(other).and_then(|other| other.get(theirs));
            matches!((records.get(at), other), (Some(a), Some(b)) if a.time() == b.time() && a.same_values(b))
        }
        for_records!(self, r => same(r, at, other, theirs))
    }

    /// Appends the records of `other`. Returns them back when they are of another kind.
    pub fn append(&mut self, other: Self) -> Option<Self> {
        fn append<T: Record>(records: &mut Vec<T>, other: Records) -> Option<Records> {
            T::taken(other).map(|other| records.extend(other)).err()
        }
        for_records!(self, r => append(r, other))
    }
}
