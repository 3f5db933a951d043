//! The database of the system that this one succeeds, read for an import: what of it is sound, what can be set right, and
//! what of the rest is wrong.
//!
//! It has no unique keys, numbers are doubles, and whatever was pushed was stored: the same rows more than once, bars while
//! they were open and under the interval of another, bids and asks exchanged. [`Reader`] reads one collection in the order
//! of its keys, so that little has to be remembered, and [`Sifted`] counts what became of each document. What a document is
//! is decided in `sift`, pure. Nothing is written to that database.

mod sift;

use hl_core::store::StoreError;
use hl_core::{Records, StreamKey};
use mongodb::bson::{Document, doc};
use mongodb::{Cursor, Database};

use crate::reading::{AT_LENGTH, SOON};
use sift::Sift;

const STEP: &str = "reading the database of the original system";

/// A collection of the original system.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Collection {
    /// Bars of every interval.
    Candles,
    /// Book snapshots.
    Books,
    /// Trades.
    Trades,
    /// Mid prices of every coin.
    Mids,
    /// One that has no place here, and why.
    Other {
        /// Its name.
        name: &'static str,
        /// Why, and where the same is to be had.
        why: &'static str,
    },
}

const fn other(name: &'static str, why: &'static str) -> Collection {
    Collection::Other { name, why }
}

const STATISTICS: &str = "the exchange has all of it: the job collect_daily_stats";
const TRADERS: &str = "there are no streams of traders";
const DERIVED: &str = "derived from other data";

impl Collection {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::Candles,
        Self::Books,
        Self::Trades,
        Self::Mids,
        other("btc_funding_history", "the exchange has all of it, with the premium: hl-cli backfill funding"),
        other("btc_ticker", "one document without a time"),
        other("btc_open_interest", STATISTICS),
        other("btc_liquidity", STATISTICS),
        other("btc_liquidations", STATISTICS),
        other("tracked_traders", TRADERS),
        other("trader_positions", TRADERS),
        other("trader_current_state", TRADERS),
        other("trader_orders", TRADERS),
        other("leaderboard_history", TRADERS),
        other("btc_signals", DERIVED),
        other("aggregated_btc_signals", DERIVED),
    ];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Candles => "btc_candles",
            Self::Books => "btc_orderbook",
            Self::Trades => "btc_trades",
            Self::Mids => "all_mids",
            Self::Other { name, .. } => name,
        }
    }

    /// The order in which equal keys come together.
    fn order(self) -> Document {
        match self {
            Self::Mids => doc! { "t": 1, "coin": 1 },
            _ => doc! { "t": 1 },
        }
    }
}

/// What became of the documents of a collection. Each counts once, but for those that were set right, which are among the
/// rows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sifted {
    /// How many were read.
    pub documents: u64,
    /// Sound, or set right.
    pub rows: u64,
    /// Rows whose bids and asks were exchanged back.
    pub exchanged: u64,
    /// Bars that were stored under another interval than theirs, and are rows now, duplicates, or open.
    pub mislabelled: u64,
    /// The key was there already.
    pub duplicates: u64,
    /// The best bid is at or above the best ask, whichever way round.
    pub crossed: u64,
    /// Bars that were stored before they were over, or of which that cannot be told.
    pub open: u64,
    /// A field is missing, or cannot be what it says.
    pub malformed: u64,
}

/// The database.
pub struct Original {
    db: Database,
}

impl Original {
    /// Connects.
    ///
    /// # Errors
    /// Where the URI is wrong, or no server can be reached.
    pub async fn open(uri: &str) -> Result<Self, StoreError> {
        let (_, db) = crate::store::connect(uri).await.map_err(|error| error.at(STEP))?;
        Ok(Self { db })
    }

    /// How many documents there are, without counting them one by one.
    ///
    /// # Errors
    /// Where the server does not answer.
    pub async fn documents(&self, collection: Collection) -> Result<u64, StoreError> {
        let of = self.db.collection::<Document>(collection.name());
        SOON.answer(of.estimated_document_count()).await.map_err(|error| error.at(STEP))
    }

    /// Begins to read a collection; none where it has no place here.
    ///
    /// # Errors
    /// Where the server does not answer.
    pub async fn read(&self, collection: Collection) -> Result<Option<Reader>, StoreError> {
        let Some(sift) = Sift::of(collection) else { return Ok(None) };
        let of = self.db.collection::<Document>(collection.name());
        // Before the first answer everything is sorted.
        let found = AT_LENGTH.answer(of.find(doc! {}).sort(collection.order()).allow_disk_use(true)).await;
        let cursor = found.map_err(|error| error.at(STEP))?;
        Ok(Some(Reader { cursor, sift, is_over: false }))
    }
}

/// Reads one collection.
pub struct Reader {
    cursor: Cursor<Document>,
    sift: Sift,
    is_over: bool,
}

impl Reader {
    /// Some rows more, by stream, from about `most` documents; none at the end.
    ///
    /// # Errors
    /// Where the server does not answer.
    pub async fn next(&mut self, most: usize) -> Result<Option<Vec<(StreamKey, Records)>>, StoreError> {
        if self.is_over {
            return Ok(None);
        }
        for _ in 0..most {
            match AT_LENGTH.next(&mut self.cursor).await.map_err(|error| error.at(STEP))? {
                Some(document) => self.sift.take(&document),
                None => {
                    self.sift.end();
                    self.is_over = true;
                    break;
                }
            }
        }
        Ok(Some(self.sift.ready()))
    }

    /// What became of the documents so far.
    #[must_use]
    pub fn sifted(&self) -> Sifted {
        self.sift.sifted()
    }
}
