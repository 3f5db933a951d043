//! The exchange over REST, as commands see it: its clock, its markets, its past.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use hl_collectors::mono::MonoClock;
use hl_collectors::rest::{InfoClient, RestError, RestOptions, Urgency, Weights};
use hl_core::TimeMs;
use hl_core::ledger::Span;
use hl_core::listing::Lists;
use hl_core::seam::{Clock, Net, Seed};
use hl_core::source::Past;
use hl_core::store::Store;
use hl_core::symbol::User;
use hl_engine::network::{NetworkError, belong};
use hl_engine::universe::Universe;
use tracing::warn;

use crate::config::{Coins, Endpoints, Network, Target};
use crate::exit::Exit;

/// How long the first question waits for room in the weight budget.
const PATIENCE: Duration = Duration::from_secs(60);

/// The exchange cannot be asked here, or did not answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExchangeError {
    /// A simulated exchange lives inside the daemon's process, out of reach.
    #[error(
        "--network: sim lives inside hl-daemon; give the base URL that its log names, and its store with --store"
    )]
    InsideDaemon,
    /// The store holds data of another exchange.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// It did not say what there is.
    #[error("asking {network}: {source}")]
    Silent {
        /// The exchange.
        network: String,
        /// What happened.
        source: RestError,
    },
}

impl ExchangeError {
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::InsideDaemon | Self::Network(NetworkError::Other { .. }) => Exit::Usage,
            Self::Network(NetworkError::Store(_)) | Self::Silent { .. } => Exit::Failed,
        }
    }
}

/// Where an exchange is that can be reached from outside of the daemon.
pub(super) fn reachable(network: &Network) -> Result<Endpoints, ExchangeError> {
    network.endpoints().ok_or(ExchangeError::InsideDaemon)
}

/// One exchange, asked inside the weight budget that the store keeps for every process of this address.
pub(super) struct Exchange {
    network: String,
    client: InfoClient,
    store: Arc<dyn Store>,
}

impl Exchange {
    /// The exchange that `network` names, whose `/info` is at `info`; `address` names the weight budget. The store has to be one for its data.
    pub(super) async fn new(
        network: &Network,
        info: Target,
        address: String,
        store: Arc<dyn Store>,
        net: Arc<dyn Net>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ExchangeError> {
        let name = network.name();
        belong(store.as_ref(), &name).await?;
        let mono = MonoClock::new(clock.clone());
        let weights = Weights::new(store.clone(), address, mono.clone(), Arc::clone(&clock));
        // Two processes must not jitter alike.
        let rng = Seed(clock.now().0.unsigned_abs()).derive(&std::process::id().to_string()).rng("hl-cli");
        let options = RestOptions { endpoint: info.endpoint, path: info.path };
        let client = InfoClient::new(net, options, weights, mono, rng);
        Ok(Self { network: name, client, store })
    }

    fn failed(&self) -> impl Fn(RestError) -> ExchangeError {
        |source| ExchangeError::Silent { network: self.network.clone(), source }
    }

    /// Exchange time now. The system clock may be wrong: which bars are final is not left to it.
    pub(super) async fn learn_time(&self) -> Result<TimeMs, ExchangeError> {
        self.client.learn_time(PATIENCE).await.map_err(self.failed())?;
        Ok(self.now())
    }

    /// Exchange time, a low estimate.
    pub(super) fn now(&self) -> TimeMs {
        self.client.mono().exchange()
    }

    /// The markets that `coins` may name. Of a list that cannot be read, what the store remembers of it serves.
    pub(super) async fn universe(&self, coins: &Coins, network: &Network) -> Result<Universe, ExchangeError> {
        let mut universe = Universe::recall(self.store.as_ref(), &self.network).await;
        for part in coins.wish(network, &BTreeSet::new()).parts() {
            match universe.read(&self.client, &part).await {
                Ok(_) => {}
                Err(error) if universe.names().next().is_none() => return Err(self.failed()(error)),
                Err(error) => warn!(%error, "{part} cannot be listed: what was known of them serves"),
            }
        }
        Ok(universe)
    }

    /// What it lists: perpetuals of every dex, spot pairs, outcomes.
    pub(super) async fn lists(&self) -> Result<Lists, ExchangeError> {
        self.client.lists(Urgency::Question, PATIENCE).await.map_err(self.failed())
    }

    /// From the first fill of a trader that it has, or from `known` where that is earlier, to right behind the last one.
    pub(super) async fn fills_ends(
        &self,
        user: User,
        known: Option<TimeMs>,
    ) -> Result<Option<Span>, ExchangeError> {
        self.client.fills_ends(user, known).await.map_err(self.failed())
    }

    /// The client behind it.
    pub(super) fn client(&self) -> &InfoClient {
        &self.client
    }

    pub(super) fn past(&self) -> &dyn Past {
        &self.client
    }
}
