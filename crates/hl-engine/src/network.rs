//! Which exchange a store belongs to. Rows say nothing of it, so simulated rows among real ones could never be told apart.

use std::path::{Path, PathBuf};

use hl_core::seam::Endpoint;
use hl_core::store::{Notes, StoreError};

/// The note in the store that keeps it.
pub const NOTE: &str = hl_core::store::NETWORK;
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
pub async fn belong(store: &dyn Notes, network: &str) -> Result<(), NetworkError> {
    let real = |name: &str| REAL.contains(&name);
    match store.note(NOTE).await? {
        Some(holds) if holds == network || !(real(&holds) || real(network)) => Ok(()),
        Some(holds) => Err(NetworkError::Other { holds, asked: network.to_owned() }),
        None => Ok(store.put_note(NOTE, network).await?),
    }
}

/// What lies where a store may be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Holds {
    /// Nothing.
    Nothing,
    /// A file that does not say whose data it holds.
    Unsaid,
    /// Data of the network with this name.
    Network(String),
}

impl From<Option<Option<String>>> for Holds {
    /// By the note [`NOTE`] of a store, where there is one.
    fn from(noted: Option<Option<String>>) -> Self {
        match noted {
            None => Self::Nothing,
            Some(None) => Self::Unsaid,
            Some(Some(name)) => Self::Network(name),
        }
    }
}

/// The file of mainnet; before each network had one, of all of them.
pub const OF_MAINNET: &str = "./data/hyperliquid.db";

/// The file of a network, as `--network` names it, where none is said: each has its own, so that data of two never meet.
///
/// A `hyperliquid.db` that holds data of the test network, or of an exchange at a URL, stays that network's. One that holds
/// a simulated market does not: which market that was is not known, and another one must not be added to it.
#[must_use]
pub fn usual_store(network: &str, holds: impl FnOnce(&Path) -> Holds) -> PathBuf {
    let own = |name: &str| PathBuf::from(format!("./data/hyperliquid-{name}.db"));
    match holds(Path::new(OF_MAINNET)) {
        Holds::Network(held) if held == network && network != "sim" => OF_MAINNET.into(),
        Holds::Network(_) if network == "mainnet" => own("mainnet"),
        _ if network == "mainnet" => OF_MAINNET.into(),
        _ => own(&file_name(network)),
    }
}

/// What a file may be called everywhere: the word of a network, or host and port.
fn file_name(network: &str) -> String {
    let name = match network.parse::<Endpoint>() {
        Ok(base) => format!("{}-{}", base.host, base.port),
        Err(_) => network.to_owned(),
    };
    name.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_network_has_a_file_of_its_own() {
        let of = |network: &str, plain: &Holds| {
            let path = usual_store(network, |_| plain.clone());
            path.to_str().unwrap().strip_prefix("./data/hyperliquid").unwrap().to_owned()
        };
        for (network, file) in [
            ("mainnet", ".db"),
            ("testnet", "-testnet.db"),
            ("sim", "-sim.db"),
            ("http://127.0.0.1:4001", "-127.0.0.1-4001.db"),
            ("https://[::1]", "-__1-443.db"),
        ] {
            assert_eq!(of(network, &Holds::Nothing), file, "{network}");
            assert_eq!(of(network, &Holds::Network("mainnet".to_owned())), file, "{network}");
        }
        assert_eq!(of("mainnet", &Holds::Unsaid), ".db");
        // What was collected before each network had a file goes on where it is.
        let holds = |name: &str| Holds::Network(name.to_owned());
        assert_eq!(of("testnet", &holds("testnet")), ".db");
        assert_eq!(of("http://h", &holds("http://h")), ".db");
        assert_eq!(of("mainnet", &holds("testnet")), "-mainnet.db");
        assert_eq!(of("mainnet", &holds("sim")), "-mainnet.db");
        assert_eq!(of("sim", &holds("sim")), "-sim.db");
    }
}
