//! The store where none is named: each network has its own.

use hl_engine::network::{Holds, OF_MAINNET, usual_store};

use super::{Files, Network, StoreUri};

/// The store of a network.
pub(super) fn of(network: &Network, files: &dyn Files) -> StoreUri {
    StoreUri::Sqlite(usual_store(&network.name(), |path| files.holds(path)))
}

/// The store to look into where neither store nor network is named: that of mainnet, else the only one that is there,
/// with a word about it.
pub(super) fn to_look_into(files: &dyn Files) -> (StoreUri, Option<String>) {
    let usual = of(&Network::Mainnet, files);
    let own = |network: &Network| usual_store(&network.name(), |_| Holds::Nothing);
    if let StoreUri::Sqlite(path) = &usual
        && files.holds(path) == Holds::Nothing
    {
        let others = [OF_MAINNET.into(), own(&Network::Testnet), own(&Network::Sim)];
        let mut there = others.into_iter().filter(|path| files.holds(path) != Holds::Nothing);
        if let (Some(only), None) = (there.next(), there.next()) {
            let holds = match files.holds(&only) {
                Holds::Network(name) => format!(", which holds data of {name}"),
                _ => String::new(),
            };
            let words = format!("{} is not there; this is {}{holds}", path.display(), only.display());
            return (StoreUri::Sqlite(only), Some(words));
        }
    }
    (usual, None)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io;
    use std::path::Path;

    use super::*;

    const TESTNET: &str = "./data/hyperliquid-testnet.db";
    const SIM: &str = "./data/hyperliquid-sim.db";

    /// Stores by path, each with what it says of itself.
    struct There(BTreeMap<&'static str, Holds>);

    impl Files for There {
        fn read(&self, _: &Path) -> io::Result<String> {
            Err(io::Error::from(io::ErrorKind::NotFound))
        }

        fn holds(&self, store: &Path) -> Holds {
            self.0.get(store.to_str().unwrap()).cloned().unwrap_or(Holds::Nothing)
        }
    }

    fn there(stores: &[(&'static str, &str)]) -> There {
        let holds = |word: &str| match word {
            "" => Holds::Unsaid,
            name => Holds::Network(name.to_owned()),
        };
        There(stores.iter().map(|&(path, word)| (path, holds(word))).collect())
    }

    #[test]
    fn the_only_store_that_is_there_is_looked_into_and_that_is_said() {
        let found = |stores: &[(&'static str, &str)]| {
            let (store, word) = to_look_into(&there(stores));
            (store.to_string(), word.unwrap_or_default())
        };
        let mainnet = ("sqlite:./data/hyperliquid.db".to_owned(), String::new());
        assert_eq!(found(&[]), mainnet);
        assert_eq!(found(&[(OF_MAINNET, "mainnet"), (SIM, "sim")]), mainnet);
        assert_eq!(found(&[(TESTNET, "testnet"), (SIM, "sim")]), mainnet, "which of two is not guessed");
        let (store, word) = found(&[(SIM, "sim")]);
        assert_eq!(store, "sqlite:./data/hyperliquid-sim.db");
        let expected =
            "./data/hyperliquid.db is not there; this is ./data/hyperliquid-sim.db, which holds data of sim";
        assert_eq!(word, expected);
        let (store, word) = found(&[(OF_MAINNET, "sim")]);
        assert_eq!(store, "sqlite:./data/hyperliquid.db");
        assert!(word.starts_with("./data/hyperliquid-mainnet.db is not there; this is "), "{word}");
    }
}
