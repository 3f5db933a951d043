//! Where the parts of an exchange are reached.

use hl_core::seam::Endpoint;

/// A host and a path on it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    /// The host.
    pub endpoint: Endpoint,
    /// The path, beginning with a slash.
    pub path: String,
}

/// Where each part of an exchange is reached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Endpoints {
    /// The WebSocket.
    pub ws: Target,
    /// REST.
    pub info: Target,
    /// The leaderboard file; not every network publishes one.
    pub leaderboard: Option<Target>,
    /// JSON-RPC of the chain beside the exchange, by which positions are read; not every network has one.
    pub chain: Option<Target>,
    /// The folder of the statistics files, without a slash at its end; not every network has one.
    pub stats: Option<Target>,
}

impl Endpoints {
    /// The exchange itself.
    #[must_use]
    pub fn mainnet() -> Self {
        Self {
            ws: target("api.hyperliquid.xyz", "/ws"),
            info: target("api.hyperliquid.xyz", "/info"),
            leaderboard: Some(target("stats-data.hyperliquid.xyz", "/Mainnet/leaderboard")),
            chain: Some(target("rpc.hyperliquid.xyz", "/evm")),
            stats: Some(target("d2v1fiwobg9w6.cloudfront.net", "")),
        }
    }

    /// Its public test network.
    #[must_use]
    pub fn testnet() -> Self {
        Self {
            ws: target("api.hyperliquid-testnet.xyz", "/ws"),
            info: target("api.hyperliquid-testnet.xyz", "/info"),
            leaderboard: None,
            chain: Some(target("rpc.hyperliquid-testnet.xyz", "/evm")),
            stats: None,
        }
    }

    /// All parts at one base: `/ws`, `/info`, `/evm`, `/Mainnet/leaderboard`, `/stats`.
    #[must_use]
    pub fn at(base: &Endpoint) -> Self {
        let target = |path: &str| Target { endpoint: base.clone(), path: path.to_owned() };
        Self {
            ws: target("/ws"),
            info: target("/info"),
            leaderboard: Some(target("/Mainnet/leaderboard")),
            chain: Some(target("/evm")),
            stats: Some(target("/stats")),
        }
    }
}

fn target(host: &str, path: &str) -> Target {
    Target { endpoint: Endpoint { host: host.to_owned(), port: 443, tls: true }, path: path.to_owned() }
}
