//! Which exchange a store belongs to. Rows say nothing of it, so simulated rows among real ones could never be told apart.

use hl_core::store::{Store, StoreError};

/// The note in the store that keeps it.
pub const NOTE: &str = "network";
/// The exchanges whose data must not be mixed with any other's. What else there is (simulations, proxies, nodes) has no
/// name of its own.
const REAL: [&str; 2] = ["mainnet", "testnet"];

/// The store does not take data of this exchange.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// It holds data of another.
    #[error(
        "this store holds data of {holds}, and {asked} needs one of its own; name another file with --store"
    )]
    Other {
        /// What it holds.
        holds: String,
        /// What was asked for.
        asked: String,
    },
    /// The store could not say.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Checks that the store is for data of `network`, as `--network` names it; a new one is from now on.
///
/// # Errors
/// When it holds data of another exchange, or fails.
pub async fn belong(store: &dyn Store, network: &str) -> Result<(), NetworkError> {
    let real = |name: &str| REAL.contains(&name);
    match store.note(NOTE).await? {
        Some(holds) if holds == network || !(real(&holds) || real(network)) => Ok(()),
        Some(holds) => Err(NetworkError::Other { holds, asked: network.to_owned() }),
        None => Ok(store.put_note(NOTE, network).await?),
    }
}
