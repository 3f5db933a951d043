//! What a store knows of its streams, as commands ask for it: ledgers by stream, and the names that there are.

use std::collections::{BTreeMap, BTreeSet};

use hl_core::completeness::{self, Completeness};
use hl_core::ledger::Span;
use hl_core::store::StoreError;
use hl_core::{Coin, StreamKey};
use hl_store::{CoverageRow, GapRow, Inspect, StreamRow};

/// A coin was named of which the store has nothing.
#[derive(Debug, thiserror::Error)]
#[error("--coin: the store has nothing of {name:?}{}", nearest.as_ref().map(|n| format!("; did you mean {n:?}?")).unwrap_or_default())]
pub(super) struct UnknownCoin {
    name: String,
    nearest: Option<String>,
}

/// The ledger of one stream.
pub(super) struct Ledger {
    pub(super) row: StreamRow,
    pub(super) coverage: Vec<CoverageRow>,
    pub(super) gaps: Vec<GapRow>,
}

impl Ledger {
    /// Where collecting began, and where it has come to.
    pub(super) fn extent(&self) -> Option<Span> {
        let gaps = self.gaps.iter().map(|gap| (gap.span, gap.cause, gap.state));
        completeness::extent(self.coverage.iter().map(|piece| piece.span), gaps)
    }

    /// What a range of it holds.
    pub(super) fn completeness(&self, range: Span) -> Completeness {
        let gaps = self.gaps.iter().map(|gap| (gap.span, gap.cause, gap.state));
        Completeness::of(range, self.coverage.iter().map(|piece| piece.span), gaps)
    }
}

/// The ledgers of all streams of a store, by stream.
pub(super) struct Ledgers(pub(super) BTreeMap<StreamKey, Ledger>);

impl Ledgers {
    pub(super) async fn read(store: &dyn Inspect) -> Result<Self, StoreError> {
        let new = |row: StreamRow| (row.stream, Ledger { row, coverage: Vec::new(), gaps: Vec::new() });
        let mut ledgers: BTreeMap<_, _> = store.streams().await?.into_iter().map(new).collect();
        for piece in store.coverage(None).await? {
            if let Some(ledger) = ledgers.get_mut(&piece.stream) {
                ledger.coverage.push(piece);
            }
        }
        for gap in store.gaps(None).await? {
            if let Some(ledger) = ledgers.get_mut(&gap.stream) {
                ledger.gaps.push(gap);
            }
        }
        Ok(Self(ledgers))
    }

    /// The coins that the names are of, each once, in their order.
    pub(super) fn coins(&self, names: &[String]) -> Result<Vec<Coin>, UnknownCoin> {
        let known: BTreeSet<&str> =
            self.0.keys().filter_map(|stream| stream.coin()).map(|coin| coin.as_str()).collect();
        let mut coins = Vec::new();
        for name in names {
            let coin = Coin::new(name).ok().filter(|coin| known.contains(coin.as_str()));
            let Some(coin) = coin else {
                let nearest = crate::nearest(name, known.iter().copied()).map(str::to_owned);
                return Err(UnknownCoin { name: name.clone(), nearest });
            };
            if !coins.contains(&coin) {
                coins.push(coin);
            }
        }
        Ok(coins)
    }

    /// The stream whose name is nearest to one that the store does not know.
    pub(super) fn nearest(&self, stream: StreamKey) -> Option<String> {
        let names: Vec<String> = self.0.keys().map(ToString::to_string).collect();
        crate::nearest(&stream.to_string(), names.iter().map(String::as_str)).map(str::to_owned)
    }
}
