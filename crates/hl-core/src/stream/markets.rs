//! What the exchange says of each market: its readable name, decimals, leverage, margin, and whether it is still traded, over
//! REST only and without a time (PROTOCOL section 3.1). One stream; rows are stored where something changed. What the lists
//! lack from one day to the next, [`listing`](crate::listing) finds out.

use serde::{Deserialize, Serialize};

use super::{Borders, Conflation, History, Kind, KindSpec, Record, Scope, StreamKey};
use crate::row::{Cell, Cells, Column, Holds, Row, RowKey, Value, record, words};
use crate::{Coin, Decimal, SourceId, TimeMs};

record! {
    /// What held of one market from this time on.
    #[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
    pub struct Market in "markets" {
        stream {}
        row {
            /// The market.
            coin: Coin,
            /// When it was seen, ms: stamped on receipt in exchange time, since the answers bear none.
            time: TimeMs,
        }
        /// Its readable name: of a spot pair its tokens, `HYPE/USDC`, of an outcome what is bet on and the side. Not unique: tokens may bear the same name.
        name: Box<str>,
        /// What it is: `perp`, `spot` or `outcome`.
        market_type: MarketType,
        /// The dex that a builder runs it on; none of the first dex, of spot and of outcomes.
        dex: Option<Box<str>>,
        /// `listed`, `delisted` where the exchange says that it trades no longer, `gone` where its lists lack it, or `settled`.
        status: MarketStatus,
        /// Decimal places of sizes.
        sz_decimals: Option<u32>,
        /// Greatest leverage of a perpetual.
        max_leverage: Option<u32>,
        /// Its margin table, as JSON: for each tier the notional from which it applies, USD, and the greatest leverage there, `[["0.0",40],["150000000.0",20]]`.
        margin_tiers: Option<Box<str>>,
        /// Margin of a perpetual: `cross` (isolated too), or `isolated`, `noCross` or `strictIsolated` as the exchange has it.
        margin_mode: Option<Box<str>>,
        /// The token that is paid with: the collateral of a perpetual, the quote token of the others.
        quote: Option<Box<str>>,
        /// What a coin of a settled outcome is paid, 0 to 1.
        settle_fraction: Option<Decimal>,
        /// What an outcome is about, in the words of the exchange; of a spot pair the full name of its token.
        description: Option<Box<str>>,
    }
}

/// What a market is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MarketType {
    /// A perpetual.
    Perp,
    /// A spot pair.
    Spot,
    /// One side of an outcome.
    Outcome,
}

impl MarketType {
    /// Every type.
    pub const ALL: [Self; 3] = [Self::Perp, Self::Spot, Self::Outcome];

    /// Its word in tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Perp => "perp",
            Self::Spot => "spot",
            Self::Outcome => "outcome",
        }
    }

    /// The inverse of [`MarketType::as_str`].
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == word)
    }
}

/// How a market stands with the exchange.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MarketStatus {
    /// The exchange lists it.
    Listed,
    /// The exchange lists it, and says that it is traded no longer.
    Delisted,
    /// Its list lacks it, and does not say why.
    Gone,
    /// An outcome that is known: the exchange says what its sides are paid.
    Settled,
}

impl MarketStatus {
    /// Every status.
    pub const ALL: [Self; 4] = [Self::Listed, Self::Delisted, Self::Gone, Self::Settled];

    /// Its word in tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Listed => "listed",
            Self::Delisted => "delisted",
            Self::Gone => "gone",
            Self::Settled => "settled",
        }
    }

    /// The inverse of [`MarketStatus::as_str`].
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == word)
    }

    /// Whether the lists of the exchange have it.
    #[must_use]
    pub const fn is_in_lists(self) -> bool {
        matches!(self, Self::Listed | Self::Delisted)
    }
}

words!(MarketType, MarketType::as_str, MarketType::parse);
words!(MarketStatus, MarketStatus::as_str, MarketStatus::parse);

impl Record for Market {
    fn stream(&self) -> StreamKey {
        StreamKey::Markets
    }

    fn row_key(&self) -> RowKey {
        RowKey::alone(self.coin, self.time)
    }

    fn bytes_beside(&self) -> usize {
        let texts = [&self.dex, &self.margin_tiers, &self.margin_mode, &self.quote, &self.description];
        self.name.len() + texts.into_iter().flatten().map(|text| text.len()).sum::<usize>()
    }
}

pub(super) const SPEC: KindSpec = KindSpec {
    kind: Kind::Markets,
    name: "markets",
    word: "markets",
    scope: Scope::All,
    table: &<Market as Row>::TABLE,
    channels: &[],
    ws: false,
    fallback: SourceId::Rest,
    job: "collect_markets",
    job_does: "polls what the exchange says of each market",
    conflation: Conflation::State,
    borders: Borders::Shared,
    history: History::None,
    first_silence_ms: 0,
    longest_silence_ms: 0,
    hole_ms: 9_000_000,
    steady: false,
    timed: false,
    voice: None,
    poll_ms: 3_600_000,
    fastest_poll_ms: 60_000,
    poll_weight: 60,
    poll_shared: true,
    value: 12,
    live: true,
    keep_days: &[],
};
