use std::collections::BTreeMap;

use hl_core::ledger::Span;
use hl_core::record::Trader;
use hl_core::store::{Store, StoreError};
use hl_core::symbol::User;
use hl_core::{Records, StreamKey, TimeMs};
use tracing::warn;

/// So many rows of a choice are read at a time.
const PAGE: usize = 1_000;

/// Those whom the choice of this time tracks, each with the rank, 1 before 2.
///
/// # Errors
/// When the store cannot be read.
pub async fn tracked_at(store: &dyn Store, choice: TimeMs) -> Result<BTreeMap<User, u32>, StoreError> {
    let (mut after, mut ranks) = (None, BTreeMap::new());
    loop {
        let span = Span { from: choice, to: choice };
        let page = store.rows_in(StreamKey::Traders, span, after, PAGE).await?;
        let Some(last) = page.records.keys().last().copied() else { return Ok(ranks) };
        after = Some(last);
        let Records::Traders(traders) = &page.records else { return Ok(ranks) };
        for trader in traders.iter().filter(|trader: &&Trader| trader.is_tracked()) {
            match User::new(&trader.user.to_string()) {
                Some(user) => _ = ranks.insert(user, trader.rank.unwrap_or(u32::MAX)),
                None => warn!(user = %trader.user, "more traders than one process can follow: left out"),
            }
        }
    }
}
