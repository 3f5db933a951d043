//! Orders of a trader: each change of status, with the order as it was then. The exchange has the last 2,000 of these (PROTOCOL
//! section 3.2), whatever became of the orders; a job reads them often enough, or says that it did not.

use serde::{Deserialize, Serialize};

use super::{Borders, Conflation, History, Kind, KindSpec, Record, Scope, StreamKey};
use crate::row::{Row, RowKey, Side, record};
use crate::symbol::{User, Word};
use crate::{Coin, Decimal, SourceId, TimeMs};

record! {
    /// An order of one trader from one change of its status on.
    #[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
    pub struct Order in "orders" {
        stream {
            /// The trader.
            user: User,
        }
        row {
            /// When it got this status, ms.
            time: TimeMs,
            /// The number of the order.
            oid: u64,
            /// What became of it, in words of the exchange: `open`, `filled`, `canceled`, `triggered`, `rejected`, or why, such as `marginCanceled`.
            status: Word,
        }
        /// The market.
        coin: Coin,
        /// `B` buys, `A` sells.
        side: Side,
        /// Limit price, USD (or the quote token).
        limit_px: Decimal,
        /// What is left of it, coins.
        sz: Decimal,
        /// Size as placed, coins.
        orig_sz: Decimal,
        /// Its type, in words of the exchange: `Limit`, `Market`, `Stop Market`, `Take Profit Limit`.
        order_type: Box<str>,
        /// How long it stands: `Gtc`, `Ioc`, `Alo`; none of market orders.
        tif: Option<Box<str>>,
        /// `true` where it may only reduce a position, else `false`.
        reduce_only: bool,
        /// `true` where it closes a position whatever its size, else `false`.
        is_position_tpsl: bool,
        /// Price that sets it off, USD; none where it waits for none.
        trigger_px: Option<Decimal>,
        /// What sets it off, in words of the exchange: `Price above 10.004`, or `Triggered` once that was so.
        trigger_condition: Option<Box<str>>,
        /// Numbers of the orders that its fill sets off, with a space between; none where there are none.
        children: Option<Box<str>>,
        /// What the trader calls it.
        cloid: Option<Box<str>>,
        /// When it was placed, ms.
        order_time: TimeMs,
    }
}

impl Record for Order {
    fn stream(&self) -> StreamKey {
        StreamKey::Orders(self.user)
    }

    fn row_key(&self) -> RowKey {
        RowKey { coin: None, time: self.time, tid: self.oid, word: Some(self.status), user: None }
    }

    fn contradicts(&self, stored: &Self) -> bool {
        let said = |order: &Self| (order.coin, order.side, order.limit_px, order.sz, order.orig_sz);
        said(self) != said(stored)
    }

    fn bytes_beside(&self) -> usize {
        let texts = [&self.tif, &self.trigger_condition, &self.children, &self.cloid];
        self.order_type.len() + texts.into_iter().flatten().map(|text| text.len()).sum::<usize>()
    }
}

pub(super) const SPEC: KindSpec = KindSpec {
    kind: Kind::Orders,
    name: "orders",
    word: "orders",
    scope: Scope::User,
    table: &<Order as Row>::TABLE,
    channels: &[],
    ws: false,
    fallback: SourceId::Rest,
    job: super::OF_TRADERS.0,
    job_does: super::OF_TRADERS.1,
    conflation: Conflation::Event,
    borders: Borders::Shared,
    history: History::All,
    first_silence_ms: 0,
    longest_silence_ms: 0,
    hole_ms: 0,
    steady: false,
    timed: true,
    voice: None,
    poll_ms: 300_000,
    fastest_poll_ms: 300_000,
    poll_weight: 120,
    poll_shared: false,
    value: 9,
    live: false,
    keep_days: &[],
};
