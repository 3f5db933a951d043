//! How many gaps the ledger has, read through one connection that is kept.

use std::collections::BTreeMap;

use hl_core::StreamKey;
use hl_core::store::StoreError;
use hl_host::stores;
use hl_store::Inspect;
use tracing::warn;

use crate::config::StoreUri;

/// Counts gaps of a store again and again.
pub(super) struct Gaps<'a> {
    store: &'a StoreUri,
    ledger: Option<Box<dyn Inspect>>,
    complained: bool,
}

impl<'a> Gaps<'a> {
    pub(super) fn new(store: &'a StoreUri) -> Self {
        Self { store, ledger: None, complained: false }
    }

    /// Gaps of each stream that are not filled; none where the ledger cannot be read, which is told once.
    pub(super) async fn counted(&mut self) -> Option<BTreeMap<StreamKey, u64>> {
        match self.count().await {
            Ok(counts) => {
                self.complained = false;
                Some(counts)
            }
            Err(error) => {
                if !std::mem::replace(&mut self.complained, true) {
                    warn!(%error, "gaps cannot be counted");
                }
                None
            }
        }
    }

    async fn count(&mut self) -> Result<BTreeMap<StreamKey, u64>, StoreError> {
        let ledger = match &mut self.ledger {
            Some(ledger) => ledger,
            none => none.insert(stores::inspect(self.store).await?),
        };
        ledger.unfilled().await
    }
}
