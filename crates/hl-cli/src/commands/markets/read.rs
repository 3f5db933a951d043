//! The rows of `markets`: from the store, else as the exchange has them now.

use std::sync::Arc;

use hl_core::ledger::Span;
use hl_core::listing::Listing;
use hl_core::record::Market;
use hl_core::store::StoreError;
use hl_core::{Records, StreamKey};
use hl_host::stores::{self, Signed};
use hl_store::Inspect;

use super::{MarketsFailure, PlaceArgs, Source};
use crate::commands::exchange::{Exchange, ExchangeError, reachable};
use crate::commands::{CommandError, Shell, remark};
use crate::config::StoreUri;

/// What the session is called in the store.
const ROLE: &str = "hl-cli markets";

/// All rows that the store has.
pub(super) async fn stored(store: &dyn Inspect) -> Result<Vec<Market>, StoreError> {
    match store.rows(StreamKey::Markets, Span::EVER).await? {
        Records::Markets(rows) => Ok(rows),
        _ => Ok(Vec::new()),
    }
}

/// All rows that the store has; where it has none, what the exchange says now.
pub(super) async fn read(
    place: &PlaceArgs,
    shell: &Shell<'_>,
) -> Result<(Vec<Market>, Source), CommandError> {
    let told = shell.told(&place.common, &place.local.flags())?;
    let (uri, word) = told.store_to_look_into()?;
    // The usual store is there once something was collected.
    let is_there = told.says("store") || !matches!(&uri, StoreUri::Sqlite(path) if !path.exists());
    if is_there {
        let rows = stored(stores::inspect(&uri).await?.as_ref()).await?;
        if !rows.is_empty() {
            remark(word);
            return Ok((rows, Source::Store));
        }
    }
    let network = told.network()?;
    let endpoints = reachable(&network).map_err(MarketsFailure::from)?;
    // The request budget is that of the store; none is made for a question.
    let own = match is_there {
        true => None,
        false => Some(tempfile::tempdir().map_err(MarketsFailure::Folder)?),
    };
    let uri = own.as_ref().map_or(uri, |folder| StoreUri::Sqlite(folder.path().join("budget.db")));
    let (net, local) = shell.outward(&told)?;
    let name = shell.name(&told)?;
    let signed = Signed { role: ROLE, name: &name };
    let store = stores::open(&uri, signed, &shell.clock).await.map_err(MarketsFailure::from)?;
    let address = stores::address(&uri, &network.name(), local, &name);
    let asked = async {
        let clock = Arc::clone(&shell.clock);
        let exchange = Exchange::new(&network, endpoints.info, address, store.clone(), net, clock).await?;
        exchange.learn_time().await?;
        let mut listing = Listing::default();
        listing.look(&exchange.lists().await?);
        Ok::<_, ExchangeError>(listing.states())
    };
    let asked = asked.await;
    store.close().await.map_err(MarketsFailure::from)?;
    Ok((asked.map_err(MarketsFailure::from)?, Source::Exchange))
}
