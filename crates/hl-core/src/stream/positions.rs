//! Positions of tracked traders: what each holds, and every change of it. Not read from the exchange as they are: the tracker
//! works them out from public trades, which name both of their sides, and from states of the account, which prove them
//! (PROTOCOL section 13). How well a trader is known, and since when, is the coverage of its stream: where a piece is covered, no
//! change is missing in it.

use serde::{Deserialize, Serialize};

use super::{Borders, Conflation, History, Kind, KindSpec, Record, Scope, StreamKey};
use crate::row::{Row, RowKey, one_of, record};
use crate::symbol::User;
use crate::{Coin, Decimal, SourceId, TimeMs};

record! {
    /// A position of one trader in one coin, from one moment on.
    #[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
    pub struct Position in "positions" {
        stream {
            /// The trader.
            user: User,
        }
        row {
            /// From when on, ms: the block of the trade, or the time of the state.
            time: TimeMs,
            /// The market. `*` in the row that begins a snapshot: what has no row of that time is flat.
            coin: Coin,
        }
        /// What happened: `open`, `close`, `increase`, `decrease`, `flip`, or nothing: `snapshot`.
        change: PositionChange,
        /// Signed size from then on, coins: positive is long, 0 is flat.
        szi: Decimal,
        /// Signed size until then, coins; none where it was not known.
        szi_before: Option<Decimal>,
        /// How it is known: by a public `trade`, or by a `state` of the account.
        known_by: KnownBy,
        /// Price of the last trade of that block that changed it, USD; none where it is known by a state.
        px: Option<Decimal>,
        /// Mean price of entry, USD; none where it is known by trades.
        entry_px: Option<Decimal>,
    }
}

one_of! {
    /// What happened to a position.
    PositionChange {
        /// Nothing: what is held at that time.
        Snapshot: "snapshot",
        /// From flat.
        Open: "open",
        /// To flat.
        Close: "close",
        /// It grew.
        Increase: "increase",
        /// It shrank.
        Decrease: "decrease",
        /// From long to short, or from short to long.
        Flip: "flip",
    }
}

impl PositionChange {
    /// What a change of the signed size is called.
    #[must_use]
    pub fn between(before: Decimal, after: Decimal) -> Self {
        match (before.is_zero(), after.is_zero()) {
            _ if before == after => Self::Snapshot,
            (true, _) => Self::Open,
            (_, true) => Self::Close,
            _ if before.is_sign_negative() != after.is_sign_negative() => Self::Flip,
            _ if before.abs() < after.abs() => Self::Increase,
            _ => Self::Decrease,
        }
    }
}

one_of! {
    /// How a position is known.
    KnownBy {
        /// By a public trade.
        Trade: "trade",
        /// By a state of the account.
        State: "state",
    }
}

impl Position {
    /// The coin in the row that begins a snapshot: what has no row of that time is flat.
    pub const NOTHING: &str = "*";
}

impl Record for Position {
    fn stream(&self) -> StreamKey {
        StreamKey::Positions(self.user)
    }

    fn row_key(&self) -> RowKey {
        RowKey { coin: None, time: self.time, tid: 0, word: Some(self.coin.into()), user: None }
    }

    fn contradicts(&self, stored: &Self) -> bool {
        self.szi != stored.szi
    }
}

pub(super) const SPEC: KindSpec = KindSpec {
    kind: Kind::Positions,
    name: "positions",
    word: "positions",
    scope: Scope::User,
    table: &<Position as Row>::TABLE,
    channels: &[],
    ws: false,
    fallback: SourceId::Tracker,
    job: "track_positions",
    job_does: "follows what traders hold, from public trades",
    conflation: Conflation::Event,
    borders: Borders::HalfOpen,
    history: History::None,
    first_silence_ms: 0,
    longest_silence_ms: 0,
    hole_ms: 0,
    steady: false,
    timed: true,
    voice: None,
    poll_ms: 1_000,
    fastest_poll_ms: 1_000,
    poll_weight: 0,
    poll_shared: false,
    value: 1,
    live: true,
    keep_days: &[],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_called_by_the_sizes_before_and_after_it() {
        use PositionChange::{Close, Decrease, Flip, Increase, Open, Snapshot};
        for (before, after, change) in [
            (0, 0, Snapshot),
            (5, 5, Snapshot),
            (0, 5, Open),
            (0, -5, Open),
            (5, 0, Close),
            (-5, 0, Close),
            (5, 6, Increase),
            (-5, -6, Increase),
            (5, 4, Decrease),
            (-5, -4, Decrease),
            (5, -1, Flip),
            (-1, 5, Flip),
        ] {
            let said = PositionChange::between(Decimal::from(before), Decimal::from(after));
            assert_eq!(said, change, "{before} to {after}");
        }
    }
}
