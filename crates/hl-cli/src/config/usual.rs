//! The stores that are used where none is named: one file a network, so that data of two exchanges never meet.

use std::path::Path;

use super::{Files, Holds, Network, StoreUri};

/// The file of mainnet; before each network had one, of all of them.
const MAINNET: &str = "./data/hyperliquid.db";
/// The file of mainnet where that one holds data of another network.
const MAINNET_ASIDE: &str = "./data/hyperliquid-mainnet.db";
const TESTNET: &str = "./data/hyperliquid-testnet.db";
const SIM: &str = "./data/hyperliquid-sim.db";

/// The store of a network. A `hyperliquid.db` that holds data of the test network, or of another exchange at a URL,
/// stays the store of that. One that holds a simulated market does not: which market that was is not known, and
/// another one must not be added to it.
pub(super) fn of(network: &Network, files: &dyn Files) -> StoreUri {
    let own = match network {
        Network::Mainnet => MAINNET.to_owned(),
        Network::Testnet => TESTNET.to_owned(),
        Network::Sim => SIM.to_owned(),
        Network::Url(base) => format!("./data/hyperliquid-{}-{}.db", file_name(&base.host), base.port),
    };
    let path = match (network, files.holds(Path::new(MAINNET))) {
        (Network::Sim, _) => own,
        (_, Holds::Network(holds)) if holds == network.name() => MAINNET.to_owned(),
        (Network::Mainnet, Holds::Network(_)) => MAINNET_ASIDE.to_owned(),
        _ => own,
    };
    StoreUri::Sqlite(path.into())
}

/// The store to look into where neither store nor network is named: that of mainnet, else the only one that is there,
/// with a word about it.
pub(super) fn to_look_into(files: &dyn Files) -> (StoreUri, Option<String>) {
    let usual = of(&Network::Mainnet, files);
    let is_there = |path: &str| files.holds(Path::new(path)) != Holds::Nothing;
    if let StoreUri::Sqlite(path) = &usual
        && files.holds(path) == Holds::Nothing
    {
        let mut others = [MAINNET, TESTNET, SIM].into_iter().filter(|path| is_there(path));
        if let (Some(only), None) = (others.next(), others.next()) {
            let holds = match files.holds(Path::new(only)) {
                Holds::Network(name) => format!(", which holds data of {name}"),
                _ => String::new(),
            };
            let words = format!("{} is not there; this is {only}{holds}", path.display());
            return (StoreUri::Sqlite(only.into()), Some(words));
        }
    }
    (usual, None)
}

/// What a file may be called everywhere.
fn file_name(host: &str) -> String {
    host.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io;

    use super::*;

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
    fn every_network_has_a_file_of_its_own() {
        let of = |network: &str, stores: &[(&'static str, &str)]| {
            of(&network.parse().unwrap(), &there(stores)).to_string()
        };
        for (network, file) in [
            ("mainnet", "sqlite:./data/hyperliquid.db"),
            ("testnet", "sqlite:./data/hyperliquid-testnet.db"),
            ("sim", "sqlite:./data/hyperliquid-sim.db"),
            ("http://127.0.0.1:4001", "sqlite:./data/hyperliquid-127.0.0.1-4001.db"),
            ("https://[::1]", "sqlite:./data/hyperliquid-__1-443.db"),
        ] {
            assert_eq!(of(network, &[]), file, "{network}");
            assert_eq!(of(network, &[(MAINNET, "mainnet")]), file, "{network}");
        }
        assert_eq!(of("mainnet", &[(MAINNET, "")]), "sqlite:./data/hyperliquid.db");
        // What was collected before each network had a file goes on where it is.
        assert_eq!(of("testnet", &[(MAINNET, "testnet")]), "sqlite:./data/hyperliquid.db");
        assert_eq!(of("mainnet", &[(MAINNET, "testnet")]), "sqlite:./data/hyperliquid-mainnet.db");
        assert_eq!(of("mainnet", &[(MAINNET, "sim")]), "sqlite:./data/hyperliquid-mainnet.db");
        assert_eq!(of("sim", &[(MAINNET, "sim")]), "sqlite:./data/hyperliquid-sim.db");
    }

    #[test]
    fn the_only_store_that_is_there_is_looked_into_and_that_is_said() {
        let found = |stores: &[(&'static str, &str)]| {
            let (store, word) = to_look_into(&there(stores));
            (store.to_string(), word.unwrap_or_default())
        };
        let mainnet = ("sqlite:./data/hyperliquid.db".to_owned(), String::new());
        assert_eq!(found(&[]), mainnet);
        assert_eq!(found(&[(MAINNET, "mainnet"), (SIM, "sim")]), mainnet);
        assert_eq!(found(&[(TESTNET, "testnet"), (SIM, "sim")]), mainnet, "which of two is not guessed");
        let (store, word) = found(&[(SIM, "sim")]);
        assert_eq!(store, "sqlite:./data/hyperliquid-sim.db");
        let expected = "./data/hyperliquid.db is not there; this is ./data/hyperliquid-sim.db, which holds data of sim";
        assert_eq!(word, expected);
        let (store, word) = found(&[(MAINNET, "sim")]);
        assert_eq!(store, "sqlite:./data/hyperliquid.db");
        assert!(word.starts_with("./data/hyperliquid-mainnet.db is not there; this is "), "{word}");
    }
}
