//! Which exchange.

use std::str::FromStr;

use hl_core::seam::Endpoint;
pub use hl_engine::{Endpoints, Target};

use super::ValueError;

/// Which exchange is collected from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Network {
    /// The exchange itself.
    Mainnet,
    /// Its public test network.
    Testnet,
    /// A simulated exchange inside this process.
    Sim,
    /// An exchange at one base URL: a proxy, a node, or a simulated exchange in a process of its own.
    Url(Endpoint),
}

impl Network {
    const WORDS: [&'static str; 3] = ["mainnet", "testnet", "sim"];

    /// Where its parts are reached. A simulated exchange in this process says so itself once it listens:
    /// [`Endpoints::at`] its endpoint.
    #[must_use]
    pub fn endpoints(&self) -> Option<Endpoints> {
        match self {
            Self::Mainnet => Some(Endpoints::mainnet()),
            Self::Testnet => Some(Endpoints::testnet()),
            Self::Url(base) => Some(Endpoints::at(base)),
            Self::Sim => None,
        }
    }

    /// The word, or the URL.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Mainnet => "mainnet".to_owned(),
            Self::Testnet => "testnet".to_owned(),
            Self::Sim => "sim".to_owned(),
            Self::Url(base) => base.to_string(),
        }
    }
}

impl FromStr for Network {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text {
            "" => Err(ValueError::Empty),
            "mainnet" => Ok(Self::Mainnet),
            "testnet" => Ok(Self::Testnet),
            "sim" => Ok(Self::Sim),
            // A password may be in it, so that is never taken for a word, and repeated.
            url if url.contains("://") || url.contains('@') => Ok(Self::Url(url.parse()?)),
            word => Err(ValueError::unknown("network", word, Self::WORDS)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_network_is_reached_where_the_exchange_says() {
        let mainnet = Network::Mainnet.endpoints().unwrap();
        assert_eq!(mainnet.ws.endpoint.to_string() + &mainnet.ws.path, "https://api.hyperliquid.xyz/ws");
        let testnet = Network::Testnet.endpoints().unwrap();
        assert_eq!(
            testnet.info.endpoint.to_string() + &testnet.info.path,
            "https://api.hyperliquid-testnet.xyz/info"
        );
        let local = "http://127.0.0.1:4001".parse::<Network>().unwrap().endpoints().unwrap();
        let leaderboard = local.leaderboard.unwrap();
        assert_eq!(
            leaderboard.endpoint.to_string() + &leaderboard.path,
            "http://127.0.0.1:4001/Mainnet/leaderboard"
        );
        assert_eq!(Network::Sim.endpoints(), None);
    }

    #[test]
    fn a_password_in_a_refused_url_is_not_repeated() {
        for url in ["http://me:secret@host", "me:secret@host"] {
            let error = url.parse::<Network>().unwrap_err().to_string();
            assert!(error.contains("***@host") && !error.contains("secret"), "{error}");
        }
    }
}
