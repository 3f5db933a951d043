//! The running collector.

use std::collections::BTreeSet;
use std::fmt;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hl_core::alert::Alert;
use hl_core::seam::{Endpoint, Net, stopped};
use hl_core::store::Store;
use hl_core::stream::StreamKeyError;
use hl_core::{Coin, Dex, StreamKey};
use hl_engine::markets::{Markets, NeverListed};
use hl_engine::{Endpoints, Engine, EngineError, Events, Filter, Snapshot};
use hl_host::http::Server;
use hl_host::webhook::{self, Webhook};
use hl_monitor::AlertChange;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinSet;

use crate::asked::Asked;
use crate::builder::{Builder, Opened};
use crate::error::CollectError;

/// What a collector has around its engine.
pub(crate) struct Outside {
    pub(crate) net: Arc<dyn Net>,
    pub(crate) network: String,
    /// What this machine is called.
    pub(crate) name: String,
    pub(crate) server: Option<Server>,
    pub(crate) webhook: Option<Webhook>,
}

/// Streams that were removed: a market that is listed later does not bring them back.
type Left = Arc<Mutex<BTreeSet<StreamKey>>>;

/// Streams with a name, of those that can be collected live.
pub(crate) fn named(
    streams: impl IntoIterator<Item = Result<StreamKey, StreamKeyError>>,
) -> Result<Asked, CollectError> {
    let named = streams.into_iter().collect::<Result<_, _>>()?;
    Asked::default().with(named).checked()
}

/// Finds out which of the markets there are.
pub(crate) async fn look(
    engine: &Engine,
    store: &dyn Store,
    network: &str,
    asked: &Asked,
) -> Result<Markets, CollectError> {
    let mut markets = Markets::recall(store, network, asked.wish()).await;
    let sorted = markets.look(engine).await.map_err(|never| unknown(&never, asked))?;
    let is_silent = sorted.listed.is_empty() && !sorted.waiting.is_empty();
    if is_silent && let Some(source) = markets.take_failure() {
        return Err(CollectError::Exchange { network: network.to_owned(), source });
    }
    Ok(markets)
}

fn unknown(never: &NeverListed, asked: &Asked) -> CollectError {
    let of = |stream: StreamKey| match never {
        NeverListed::Coins(coins) => {
            let coin = stream.coin().filter(|coin| coins.contains(coin))?;
            Some(CollectError::UnknownCoin { coin, stream })
        }
        NeverListed::Dexes(dexes) => {
            let dex = stream.whole_dex()?.name().filter(|name| dexes.iter().any(|dex| dex == name))?;
            Some(CollectError::UnknownDex { dex: dex.to_owned(), stream: Some(stream) })
        }
    };
    let of_every = || match never {
        NeverListed::Dexes(dexes) => {
            Some(CollectError::UnknownDex { dex: dexes.first()?.clone(), stream: None })
        }
        NeverListed::Coins(_) => None,
    };
    let named = asked.named.iter().find_map(|stream| of(*stream));
    named.or_else(of_every).unwrap_or(CollectError::NoStreams)
}

/// Collects what is listed, and the rest once it is.
async fn collect(
    engine: &Arc<Engine>,
    mut markets: Markets,
    asked: &Asked,
    standby: &BTreeSet<Coin>,
    left: &Left,
    mut stop: watch::Receiver<bool>,
) -> Result<(), CollectError> {
    let of = |coins: &[Coin]| {
        let left = left.lock().unwrap_or_else(PoisonError::into_inner);
        let has_trades = |coin: &&Coin| coins.contains(coin) && !left.contains(&StreamKey::Trades(**coin));
        let standby = standby.iter().filter(has_trades).copied().collect();
        let mut streams = asked.of(coins);
        streams.retain(|stream| !left.contains(stream));
        (streams, standby)
    };
    if of(&markets.sorted().listed).0.is_empty() {
        let begun = tokio::select! {
            biased;
            () = stopped(&mut stop) => return Ok(()),
            begun = markets.begin(engine, false) => begun,
        };
        begun.map_err(|never| unknown(&never, asked))?;
    }
    let (listed, doubled) = of(&markets.sorted().listed);
    tokio::select! {
        biased;
        ended = engine.run(&listed, &doubled, stop) => Ok(ended?),
        never = markets.follow(engine, &of) => match never {},
    }
}

/// A running collector.
///
/// End it with [`stop`](Collector::stop): that commits what was taken in and gives the streams back. Dropping it ends
/// it at once, as a crash would: what had not been committed is lost, and the next start records it as a gap. The
/// streams are then free for others as soon as the storage thread has finished what it was given.
pub struct Collector {
    engine: Arc<Engine>,
    store: Arc<dyn Store>,
    network: String,
    http: Option<Endpoint>,
    left: Left,
    stop: watch::Sender<bool>,
    /// One task; a set, so that dropping the collector aborts it.
    task: JoinSet<Result<(), CollectError>>,
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collector").field("snapshot", &self.snapshot()).finish_non_exhaustive()
    }
}

impl Collector {
    /// Collects from the exchange itself.
    pub fn mainnet() -> Builder {
        Builder::new("mainnet", Endpoints::mainnet())
    }

    /// Collects from its public test network.
    pub fn testnet() -> Builder {
        Builder::new("testnet", Endpoints::testnet())
    }

    /// Collects from an exchange at one base URL: a proxy, a node, or a simulated exchange.
    pub fn at(base: &Endpoint) -> Builder {
        Builder::new(base, Endpoints::at(base))
    }

    /// Collects in a task of its own.
    pub(crate) fn begin(
        engine: Arc<Engine>,
        markets: Markets,
        opened: Opened,
        outside: Outside,
        asked: Asked,
        standby: BTreeSet<Coin>,
    ) -> Self {
        let store = opened.store.clone();
        let (stop, told) = watch::channel(false);
        let mut task = JoinSet::new();
        let (running, left) = (engine.clone(), Left::default());
        let of_left = left.clone();
        let Outside { net, network, name, server, webhook } = outside;
        let http = server.as_ref().map(|server| server.endpoint().clone());
        let of_network = network.clone();
        task.spawn(async move {
            let tell = webhook::tell(net.as_ref(), webhook.as_ref(), &of_network, &name, running.alerts());
            let ended = tokio::select! {
                biased;
                ended = collect(&running, markets, &asked, &standby, &of_left, told) => ended,
                () = tell => Ok(()),
            };
            if let Some(server) = server {
                server.stop();
            }
            let closed = opened.close().await;
            ended?;
            closed
        });
        Self { engine, store, network, http, left, stop, task }
    }

    /// What it is doing now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.engine.snapshot()
    }

    /// Where it answers over HTTP; none where [`Builder::http`] was not called.
    #[must_use]
    pub fn http(&self) -> Option<&Endpoint> {
        self.http.as_ref()
    }

    /// Collects these as well from now on, by name or by [`StreamKey`]; one that was removed goes on with a gap where time was
    /// missed. Returns once the exchange has said that it lists their markets; data comes soon after.
    ///
    /// # Errors
    /// When a name is none, a market does not exist or is not listed now, or the streams do not fit beside the others: then
    /// none of them is collected.
    pub async fn add<S: ToString>(&self, streams: impl IntoIterator<Item = S>) -> Result<(), CollectError> {
        let asked = named(streams.into_iter().map(|stream| stream.to_string().parse()))?;
        let mut markets = Markets::recall(self.store.as_ref(), &self.network, asked.wish()).await;
        let sorted = self.engine.look(&mut markets).await.map_err(|never| unknown(&never, &asked))?;
        let streams = asked.named;
        let waits = |stream: &&StreamKey| stream.coin().is_some_and(|coin| sorted.waiting.contains(&coin));
        if let Some((stream, coin)) = streams.iter().find(waits).and_then(|s| Some((*s, s.coin()?))) {
            let network = self.network.clone();
            return Err(match markets.take_failure() {
                Some(source) => CollectError::Exchange { network, source },
                None => CollectError::NotListed { network, coin, stream },
            });
        }
        let is_gone = |dex: Dex| !markets.universe().trades(dex);
        let mut dexes = streams.iter().filter_map(|stream| Some((*stream, stream.whole_dex()?)));
        if let Some((stream, dex)) = dexes.find(|(_, dex)| is_gone(*dex)) {
            let network = self.network.clone();
            return Err(match markets.take_failure() {
                Some(source) => CollectError::Exchange { network, source },
                None => CollectError::UnknownDex {
                    dex: dex.name().unwrap_or_default().to_owned(),
                    stream: Some(stream),
                },
            });
        }
        self.engine.join(&streams, &BTreeSet::new()).map_err(EngineError::from)?;
        self.left().retain(|stream| !streams.contains(stream));
        Ok(())
    }

    /// Collects these no longer, by name or by [`StreamKey`]. What was taken in of them is committed, and then they are given
    /// back, so that another process may collect them; [`snapshot`](Collector::snapshot) has them until then.
    ///
    /// # Errors
    /// When a name is none: then nothing changes.
    pub fn remove<S: ToString>(&self, streams: impl IntoIterator<Item = S>) -> Result<(), CollectError> {
        let streams: Vec<StreamKey> =
            streams.into_iter().map(|stream| stream.to_string().parse()).collect::<Result<_, _>>()?;
        self.left().extend(&streams);
        self.engine.leave(&streams);
        Ok(())
    }

    fn left(&self) -> MutexGuard<'_, BTreeSet<StreamKey>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its events from now on, those that the filter lets pass: rows as they were committed, gaps, handovers. A reader that is
    /// too slow misses the newest, and is told how many; nothing waits for it.
    ///
    /// ```no_run
    /// use hyperliquid_collector::{Collector, Event, Filter};
    ///
    /// # async fn example(collector: Collector) {
    /// let mut events = collector.events(Filter::all());
    /// while let Some(event) = events.recv().await {
    ///     match event {
    ///         Event::Rows { stream, records, .. } => println!("{stream}: {} rows", records.len()),
    ///         Event::GapOpened { stream, span, cause, .. } => println!("{stream}: {span:?} is missing, {cause:?}"),
    ///         Event::Lagged(events) => println!("{events} events were missed here"),
    ///         _ => {}
    ///     }
    /// }
    /// # }
    /// ```
    pub fn events(&self, filter: Filter) -> Events {
        self.engine.events(filter)
    }

    /// The open alerts, oldest first: what the user should look at. `docs/alerts.md` explains each.
    #[must_use]
    pub fn alerts(&self) -> Vec<Alert> {
        self.engine.health().borrow().health.alerts.clone()
    }

    /// Every alert that rises or is over from now on. A slow reader misses the oldest.
    #[must_use]
    pub fn alert_changes(&self) -> broadcast::Receiver<AlertChange> {
        self.engine.alerts()
    }

    /// Waits until collecting ends by itself, which it does only when it fails. Safe to drop and call again; after it
    /// has returned, [`stop`](Collector::stop) has nothing left to report.
    ///
    /// # Errors
    /// When every stream is held by another process, more was asked for than fits, or the store fails for good.
    pub async fn ended(&mut self) -> Result<(), CollectError> {
        match self.task.join_next().await {
            None => Ok(()),
            Some(Ok(result)) => result,
            // A bug in this library reaches the caller as the panic that it was.
            Some(Err(error)) => match error.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                Err(_) => Ok(()),
            },
        }
    }

    /// Ends it: what was taken in is committed, or in the spool, and the streams are given back.
    ///
    /// # Errors
    /// What ended it before, as [`ended`](Collector::ended) says it; or when the store could not be closed.
    pub async fn stop(mut self) -> Result<(), CollectError> {
        // Nobody listens any more only where it has ended already.
        let _ = self.stop.send(true);
        self.ended().await
    }
}
