//! Fills of a trader: its side of each trade, with what only it is told. The exchange has the last 10,000 (PROTOCOL section
//! 3.1); a job reads on from the last one that is stored, and a backfill all of them.

use serde::{Deserialize, Serialize};

use super::{Borders, Conflation, History, Kind, KindSpec, Record, Scope, StreamKey};
use crate::row::{Address, Hash, Row, RowKey, Side, one_of, record};
use crate::symbol::{User, Word};
use crate::{Coin, Decimal, SourceId, TimeMs};

record! {
    /// One trader's side of a trade.
    #[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
    pub struct Fill in "fills" {
        stream {
            /// The trader.
            user: User,
        }
        row {
            /// Block time, ms.
            time: TimeMs,
            /// The trade: the same on both of its sides, and in `trades`.
            tid: u64,
            /// What the trader did: `B` bought, `A` sold. A trade with oneself is two fills.
            side: Side,
        }
        /// The market.
        coin: Coin,
        /// Price, USD (or the quote token).
        px: Decimal,
        /// Size, coins.
        sz: Decimal,
        /// Signed size of the position before it, coins.
        start_position: Decimal,
        /// What it did, in words of the exchange: `Open Long`, `Close Short`, `Buy`.
        dir: Box<str>,
        /// Profit realised, USD, fees left out.
        closed_pnl: Decimal,
        /// `taker` who crossed the spread, or `maker`.
        liquidity: Liquidity,
        /// Fee, in `fee_token`; negative for a rebate.
        fee: Decimal,
        /// What the fee is paid in.
        fee_token: Option<Box<str>>,
        /// Fee of the builder that placed the order, in `fee_token`.
        builder_fee: Option<Decimal>,
        /// The number of the order.
        oid: u64,
        /// What the trader calls the order.
        cloid: Option<Box<str>>,
        /// The TWAP order that it belongs to.
        twap_id: Option<u64>,
        /// Transaction hash; all zeros on TWAP and system fills.
        hash: Hash,
        /// Who was liquidated by it, the trader or the other side; none of a fill without a liquidation.
        liquidated_user: Option<Address>,
        /// Mark price of that liquidation, USD.
        liquidation_mark_px: Option<Decimal>,
        /// How: `market` or `backstop`.
        liquidation_method: Option<Box<str>>,
    }
}

one_of! {
    /// Who crossed the spread.
    Liquidity {
        /// The trader did.
        Taker: "taker",
        /// The other side did.
        Maker: "maker",
    }
}

impl Record for Fill {
    fn stream(&self) -> StreamKey {
        StreamKey::Fills(self.user)
    }

    fn row_key(&self) -> RowKey {
        let word = Word::new(self.side.as_str()).ok();
        RowKey { coin: None, time: self.time, tid: self.tid, word, user: None }
    }

    fn contradicts(&self, stored: &Self) -> bool {
        (self.coin, self.px, self.sz) != (stored.coin, stored.px, stored.sz)
    }

    fn bytes_beside(&self) -> usize {
        let texts = [&self.fee_token, &self.cloid, &self.liquidation_method];
        self.dir.len() + texts.into_iter().flatten().map(|text| text.len()).sum::<usize>()
    }
}

pub(super) const SPEC: KindSpec = KindSpec {
    kind: Kind::Fills,
    name: "fills",
    word: "fills",
    scope: Scope::User,
    table: &<Fill as Row>::TABLE,
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
    poll_weight: 20,
    poll_shared: false,
    value: 10,
    live: false,
    keep_days: &[],
};
