//! The simulated exchange inside the daemon, and the market that a store holds.
//!
//! A market is a seed, a number of coins, and when it began: the same three make the same trades. The store notes which
//! market it holds, and each start goes on with that one, as a real exchange would have meanwhile. Rows of two markets
//! could never be told apart, so a store takes one market only.

use std::sync::Arc;

use hl_core::TimeMs;
use hl_core::seam::{Clock, Net, stopped};
use hl_core::store::{Notes, Store, StoreError};
use hl_engine::network::belong;
use hl_sim::{Sim, SimConfig};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tracing::info;

use super::DaemonError;
use crate::config::{Config, Endpoints, Network, SimOptions};
use crate::human;
use crate::say::say;

/// The note in the store that keeps its market.
const NOTE: &str = "simulated_market";
/// What is longer past than this takes seconds to make.
const LONG_MS: i64 = 12 * 3_600_000;

/// A simulated market.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Market {
    /// Its seed.
    pub seed: u64,
    /// Its coins.
    pub coins: usize,
    /// When it began, ms.
    pub start: TimeMs,
}

/// The store does not take data of this market.
#[derive(Debug, thiserror::Error)]
pub enum MarketError {
    /// It holds another.
    #[error(
        "it holds the simulated market of --sim-seed {} --sim-coins {}, and --sim-seed {} --sim-coins {} is another one, \
         which needs a store of its own; name another file with --store", .holds.seed, .holds.coins, .asked.seed.0, .asked.coins
    )]
    Other {
        /// What it holds.
        holds: Market,
        /// What was asked for.
        asked: SimOptions,
    },
    /// It holds one that it does not name.
    #[error(
        "it holds simulated data and does not say of which market, so that none can be added; name another file \
         with --store"
    )]
    Unnamed,
    /// It holds one that lives inside a daemon.
    #[error(
        "it holds the simulated market of hl-daemon --network sim, and {0} needs a store of its own; name another file \
         with --store"
    )]
    Inside(String),
    /// The store could not say.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The exchange that a daemon collects from.
pub(super) struct Exchange {
    pub(super) endpoints: Endpoints,
    /// Where it lives in this process.
    pub(super) sim: Option<Sim>,
}

/// The exchange that was asked for, once the store is known to take its data. A simulated one is started.
pub(super) async fn reach(
    config: &Config,
    store: &dyn Store,
    net: &Arc<dyn Net>,
    clock: &Arc<dyn Clock>,
    stop: &watch::Receiver<bool>,
) -> Result<Exchange, DaemonError> {
    let Some(endpoints) = config.network.endpoints() else {
        belong(store, &config.network.name()).await?;
        let of_market = |source| DaemonError::Market { store: config.store.clone(), source };
        let market = of_store(store, config.sim, clock.now()).await.map_err(of_market)?;
        let sim = simulate(market, net.as_ref(), clock.now(), stop.clone()).await?;
        return Ok(Exchange { endpoints: Endpoints::at(&sim.endpoint()), sim: Some(sim) });
    };
    if matches!(config.network, Network::Url(_)) {
        let refused = match noted(store).await {
            Ok(None) => return Ok(Exchange { endpoints, sim: None }),
            Ok(Some(_)) => MarketError::Inside(config.network.name()),
            Err(error) => error,
        };
        return Err(DaemonError::Market { store: config.store.clone(), source: refused });
    }
    Ok(Exchange { endpoints, sim: None })
}

async fn noted(store: &dyn Notes) -> Result<Option<Market>, MarketError> {
    let Some(text) = store.note(NOTE).await? else { return Ok(None) };
    serde_json::from_str(&text).map(Some).map_err(|_| MarketError::Unnamed)
}

/// The market of a store, as far as it is the one that was asked for; of a new store one that begins now.
async fn of_store(store: &dyn Store, asked: SimOptions, now: TimeMs) -> Result<Market, MarketError> {
    let mut holds = noted(store).await?;
    if holds.is_none() {
        if !store.known_streams().await?.is_empty() {
            return Err(MarketError::Unnamed);
        }
        let new = Market { seed: asked.seed.0, coins: asked.coins, start: now };
        let text = serde_json::to_string(&new).map_err(|source| StoreError::Permanent {
            step: "noting the simulated market",
            source: Box::new(source),
        })?;
        store.put_note(NOTE, &text).await?;
        // Another process may have begun one at the same moment.
        holds = noted(store).await?;
    }
    match holds {
        Some(holds) if (holds.seed, holds.coins) == (asked.seed.0, asked.coins) => Ok(holds),
        Some(holds) => Err(MarketError::Other { holds, asked }),
        None => Err(MarketError::Unnamed),
    }
}

/// A simulated exchange on a free loopback port, so that other programs can look at it too.
async fn simulate(
    market: Market,
    net: &dyn Net,
    now: TimeMs,
    mut stop: watch::Receiver<bool>,
) -> Result<Sim, DaemonError> {
    let listener = net.listen("127.0.0.1:0").await.map_err(DaemonError::Listen)?;
    let Market { seed, coins, start } = market;
    let resume = Some(now.max(start));
    let sim = Sim::start(SimConfig { seed, coins, start, resume, ..SimConfig::default() }, listener)?;
    let past = now.since(start);
    if past > LONG_MS {
        say!(
            "hl-daemon: the simulated market goes on from {}; making {} of it first, which takes seconds a day",
            human::time(start),
            human::length(past)
        );
    }
    tokio::select! {
        biased;
        () = stopped(&mut stop) => {}
        () = sim.caught_up() => {}
    }
    info!(
        endpoint = %sim.endpoint(),
        seed,
        coins,
        since = human::time(start),
        "simulated exchange; its truth is at /sim/truth/trades"
    );
    Ok(sim)
}

#[cfg(test)]
mod tests {
    use hl_core::StreamKey;
    use hl_core::seam::Seed;
    use hl_core::store::prelude::*;
    use hl_store::{SqliteOptions, SqliteStore, Writer};

    use super::*;

    async fn open(path: &std::path::Path) -> SqliteStore {
        let clock = Arc::new(hl_runtime::SystemClock);
        let options = SqliteOptions::of_this_process(path, "hl-daemon", clock);
        SqliteStore::open(SqliteOptions { writer: Writer::Inline { delay_ms: 0 }, ..options }).await.unwrap()
    }

    fn asked(seed: u64, coins: usize) -> SimOptions {
        SimOptions { seed: Seed(seed), coins }
    }

    #[tokio::test]
    async fn a_store_goes_on_with_its_market_and_takes_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(&folder.path().join("x.db")).await;
        let first = of_store(&store, asked(7, 5), TimeMs(1_000)).await.unwrap();
        assert_eq!(first, Market { seed: 7, coins: 5, start: TimeMs(1_000) });
        assert_eq!(of_store(&store, asked(7, 5), TimeMs(9_000)).await.unwrap(), first, "the same goes on");
        for (other, words) in
            [(asked(8, 5), "--sim-seed 8 --sim-coins 5"), (asked(7, 6), "--sim-seed 7 --sim-coins 6")]
        {
            let said = of_store(&store, other, TimeMs(9_000)).await.unwrap_err().to_string();
            assert!(said.contains("the simulated market of --sim-seed 7 --sim-coins 5"), "{said}");
            assert!(said.contains(words) && said.contains("name another file with --store"), "{said}");
        }
        store.close().await.unwrap();
    }

    #[tokio::test]
    async fn nothing_is_added_to_a_market_that_is_not_named() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(&folder.path().join("x.db")).await;
        store.lease(&[StreamKey::MIDS]).await.unwrap();
        let said = of_store(&store, asked(7, 5), TimeMs(1_000)).await.unwrap_err().to_string();
        assert!(said.contains("does not say of which market"), "{said}");
        store.close().await.unwrap();
    }
}
