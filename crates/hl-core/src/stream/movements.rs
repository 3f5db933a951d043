//! What moved a trader's money besides trades and funding: deposits, withdrawals, transfers, vaults, staking, liquidations. The
//! exchange has all of it (PROTOCOL section 3.2) and adds kinds as it likes: what has no column of its own is kept as it came.

use serde::{Deserialize, Serialize};

use super::{Borders, Conflation, History, Kind, KindSpec, Record, Scope, StreamKey};
use crate::row::{Address, Hash, Row, RowKey, one_of, record};
use crate::symbol::User;
use crate::{Decimal, SourceId, TimeMs};

record! {
    /// A movement of one trader's money.
    #[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
    pub struct Movement in "movements" {
        stream {
            /// The trader.
            user: User,
        }
        row {
            /// When, ms.
            time: TimeMs,
            /// Tells movements of one time apart: a number made of everything that the exchange said of it.
            id: u64,
        }
        /// What it is, in words of the exchange: `deposit`, `withdraw`, `internalTransfer`, `send`, `vaultDeposit`, `liquidation`; `unknown` where it says none.
        kind: Box<str>,
        /// Transaction hash; may be all zeros, and the same in several movements.
        hash: Hash,
        /// `in` to the trader, `out`, `within` the trader's own accounts, or `unsaid` where the exchange does not name both ends.
        direction: Direction,
        /// The other end: a user, or a vault; none where there is none.
        counterpart: Option<Address>,
        /// How much, USD; of another token its value.
        usdc: Option<Decimal>,
        /// What `amount` is counted in.
        token: Option<Box<str>>,
        /// How much, in `token`.
        amount: Option<Decimal>,
        /// Fee, in USD or in what `delta` names as `feeToken`.
        fee: Option<Decimal>,
        /// What else the exchange said of it, as a JSON object; none where all of it stands in the other columns.
        delta: Option<Box<str>>,
    }
}

one_of! {
    /// Which way money went.
    Direction {
        /// To the trader.
        In: "in",
        /// From the trader.
        Out: "out",
        /// From one account of the trader to another.
        Within: "within",
        /// What kind it is may tell.
        Unsaid: "unsaid",
    }
}

impl Record for Movement {
    fn stream(&self) -> StreamKey {
        StreamKey::Movements(self.user)
    }

    fn row_key(&self) -> RowKey {
        RowKey { coin: None, time: self.time, tid: self.id, word: None, user: None }
    }

    fn bytes_beside(&self) -> usize {
        let texts = [&self.token, &self.delta].into_iter().flatten();
        self.kind.len() + texts.map(|text| text.len()).sum::<usize>()
    }
}

pub(super) const SPEC: KindSpec = KindSpec {
    kind: Kind::Movements,
    name: "movements",
    word: "movements",
    scope: Scope::User,
    table: &<Movement as Row>::TABLE,
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
    poll_ms: 21_600_000,
    fastest_poll_ms: 300_000,
    poll_weight: 21,
    poll_shared: false,
    value: 5,
    live: false,
    keep_days: &[],
};
