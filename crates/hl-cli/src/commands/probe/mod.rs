//! `hl-cli probe`: what the collector believes of the exchange, tried on the exchange itself.
//!
//! Three steps, apart from each other. The *looks* (`listen`, `aside`, `ask`) do things to the exchange, politely and
//! with a time limit each, and write down what they saw in [`Evidence`](evidence::Evidence). The *assumptions*
//! (`trades`, `candles`, `cadence`, `sockets`, `requests`) are tables: what is believed, and a pure function that
//! compares it with the evidence. The *report* puts them together. A new assumption is an entry in a table, and one of
//! the same name in the simulated exchange, which can be told to behave otherwise (`hl-sim --assume`).
//!
//! What does not live here: any use of what was seen. The collector is not configured by this.

mod aside;
mod ask;
mod assumption;
mod cadence;
mod candles;
mod evidence;
mod listen;
mod progress;
mod report;
mod requests;
mod sockets;
#[cfg(test)]
mod tests;
mod trades;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use hl_collectors::mono::MonoClock;
use hl_core::seam::{Clock, Net, Seed};
use hl_core::store::{Store, StoreError};
use hl_core::{Coin, TimeMs};
use hl_host::stores::{self, Signed};
use tokio::sync::watch;

use self::ask::{FINAL_AFTER_MS, MINUTE_MS, first_minute};
use self::evidence::Notes;
use self::progress::Progress;
use self::report::Report;
use self::wire::Wire;
use super::exchange::{Exchange, ExchangeError, reachable};
use super::{CommandError, Common, LocalArgs, Shell, interruptible};
use crate::compose::shutdown;
use crate::config::{Coins, CoinsError, ConfigError, NamedCoin, Network, Place, StoreUri, Target};
use crate::exit::Exit;
use crate::say::say;

/// What the session is called in the store.
const ROLE: &str = "hl-cli probe";
/// What was not seen by then is not seen.
const LIMIT: Duration = Duration::from_secs(285);
/// What comes after the minute, for the expectation.
const LAST_STEPS_MS: i64 = 2_000;

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  hl-cli probe                                       on mainnet, by means of BTC
  hl-cli probe --network testnet --coin ETH --json
  hl-cli probe --network http://127.0.0.1:4001       a simulated exchange, at speed 1
  hl-cli probe --store sqlite:./data/hyperliquid.db  beside a daemon on the same store

What it does, in about two minutes and never more than five: one socket listens to one coin
(trades, book, best bid and offer, one-minute candle, mids, context) and to the fills of one of
its traders for a whole minute; beside it, one after another, a socket that makes three harmless
mistakes, one that subscribes to a coin that does not exist, and one that stays silent for a
minute; and about 20 requests of some 250 weight out of the 1,200 that a minute grants.

What it does not do: provoke a 429, or try the caps on connections, subscriptions and messages,
which would harm whatever else runs behind the same address. The cap on users is tried with
--users only.

Exit codes: 0 everything holds, 1 failed, 2 usage, 5 something differs, 6 nothing differs but
not everything was seen, 130 interrupted.

Where a store is named, the probe shares the request budget of the processes on it; else it has one of its own.")]
pub(super) struct Args {
    /// A coin that trades every few seconds
    #[arg(long, value_name = "COIN", default_value = "BTC")]
    coin: String,
    /// Also count how many users can be followed: takes every user slot of this address for a moment
    #[arg(long)]
    users: bool,
    #[command(flatten)]
    local: LocalArgs,
    #[command(flatten)]
    common: Common,
}

/// A probe did not come to an answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProbeFailure {
    /// The exchange has no such coin.
    #[error(transparent)]
    Coin(#[from] CoinsError),
    /// The exchange could not be asked.
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    /// The first socket did not open.
    #[error("opening a socket to {network}: {why}")]
    Socket {
        /// Where to.
        network: String,
        /// What happened.
        why: String,
    },
    /// There is no place for the request budget.
    #[error("making a folder for the request budget: {0}")]
    Folder(#[source] std::io::Error),
    /// The store that keeps the request budget.
    #[error("the store: {0}")]
    Store(#[from] StoreError),
}

impl ProbeFailure {
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Coin(_) => Exit::Usage,
            Self::Exchange(error) => error.exit(),
            Self::Socket { .. } | Self::Folder(_) | Self::Store(_) => Exit::Failed,
        }
    }
}

/// What is probed, and how it is reached.
struct Subject {
    network: Network,
    net: Arc<dyn Net>,
    clock: Arc<dyn Clock>,
    ws: Target,
    exchange: Exchange,
    coins: Coins,
    users: bool,
    seed: Seed,
}

impl Subject {
    fn mono(&self) -> &MonoClock {
        self.exchange.client().mono()
    }

    /// The coin, if the exchange has it: a name that it has not would end the socket.
    async fn coin(&self) -> Result<Coin, ProbeFailure> {
        let universe = self.exchange.universe(&self.coins, &self.network).await?;
        let coins = self.coins.resolve(&self.network, &universe)?;
        coins.first().copied().ok_or_else(|| CoinsError::NoMarkets.into())
    }
}

pub(super) async fn run(args: &Args, shell: &mut Shell<'_>) -> Result<Exit, CommandError> {
    let told = shell.told(&args.common, &args.local.flags())?;
    let network = told.network()?;
    let coin = Coin::new(&args.coin)
        .map_err(|problem| ConfigError::Value { place: Place::Flag("coin"), problem: problem.into() })?;
    let endpoints = reachable(&network).map_err(ProbeFailure::from)?;
    let shared = match told.store()? {
        // What is only the daemon's may not be there yet.
        StoreUri::Sqlite(path) if args.common.store.is_none() => told.says("store") && path.exists(),
        _ => told.says("store"),
    };
    let own = match shared {
        true => None,
        false => Some(tempfile::tempdir().map_err(ProbeFailure::Folder)?),
    };
    let uri = match &own {
        Some(folder) => StoreUri::Sqlite(folder.path().join("budget.db")),
        None => {
            let uri = told.store()?;
            // A store that is not there is shared with nobody, and is not made for that.
            drop(stores::inspect(&uri).await.map_err(ProbeFailure::from)?);
            uri
        }
    };
    let (net, local) = shell.outward(&told)?;
    let name = shell.name(&told)?;
    let store = open(&uri, &name, shell).await?;
    let exchange = Exchange::new(
        &network,
        endpoints.info,
        stores::address(&uri, &network.name(), local, &name),
        store.clone(),
        Arc::clone(&net),
        Arc::clone(&shell.clock),
    )
    .await
    .map_err(ProbeFailure::from)?;
    let seed = Seed(shell.clock.now().0.unsigned_abs()).derive(&std::process::id().to_string());
    let subject = Subject {
        network,
        net,
        clock: Arc::clone(&shell.clock),
        ws: endpoints.ws,
        exchange,
        coins: Coins::Named(vec![NamedCoin { coin, place: Place::Flag("coin") }]),
        users: args.users,
        seed,
    };
    let mut stop = shutdown::signal();
    let progress = Progress::new();
    let ended = interruptible(&mut stop, || progress.tick(), probe(&subject, &progress)).await;
    progress.finish();
    store.close().await?;
    let Some(report) = ended else {
        say!("hl-cli: interrupted; nothing was left behind");
        return Ok(Exit::Interrupted);
    };
    let report = report?;
    shell.answer(&args.common, &report, &report.text())?;
    Ok(report.exit())
}

async fn open(uri: &StoreUri, name: &str, shell: &Shell<'_>) -> Result<Arc<dyn Store>, CommandError> {
    let signed = Signed { role: ROLE, name };
    Ok(stores::open(uri, signed, &shell.clock).await.map_err(ProbeFailure::from)?)
}

/// Looks at the exchange, and compares what was seen with what is believed.
async fn probe(subject: &Subject, progress: &Progress) -> Result<Report, ProbeFailure> {
    let mono = subject.mono();
    let (at, begun) = (subject.clock.now(), mono.now());
    subject.exchange.learn_time().await?;
    let coin = subject.coin().await?;
    let notes = Notes::new(coin, at - begun);
    let socket = |why| ProbeFailure::Socket { network: subject.network.name(), why };
    let wire = Wire::open(subject, &notes, "listen").await.map_err(socket)?;
    progress.expect(whole(mono.exchange()));
    let (done, stop) = watch::channel(false);
    let looking = async {
        let working = async {
            tokio::join!(
                ask::ask(subject, coin, &notes, progress),
                aside::aside(subject, coin, &notes, progress)
            );
            // Nobody listens any more only where the socket has ended by itself.
            let _ = done.send(true);
        };
        tokio::join!(working, listen::listen(wire, subject, coin, &notes, stop));
        if subject.users {
            progress.say("how many users can be followed");
            aside::users(subject, &notes).await;
        }
    };
    // What is not there by then counts as not seen.
    let _ = tokio::time::timeout(LIMIT, looking).await;
    let took_ms = mono.now() - begun;
    let report = notes.with(|e| {
        e.weight.1 = took_ms;
        e.rate_limited = subject.exchange.client().counters().rate_limited;
        Report::new(subject.network.name(), at, took_ms, subject.users, e)
    });
    Ok(report)
}

/// How long it takes when it begins at `now` of the exchange.
fn whole(now: TimeMs) -> Duration {
    let end = first_minute(now) + MINUTE_MS + FINAL_AFTER_MS + LAST_STEPS_MS;
    Duration::from_millis(u64::try_from(end.since(now)).unwrap_or(0))
}
