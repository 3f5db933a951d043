//! `hl-cli backfill`: fills the past of streams, also beside a running daemon.
//!
//! What is asked for becomes gaps of the ledger, and gaps are filled page by page, each page in one transaction: so it
//! can be stopped anywhere, and goes on where it stopped. What lives here: the arguments and the order of things. What
//! does not: how a gap is filled (`hl_scheduler::backfill`).

mod answer;
mod progress;
mod work;

use std::sync::Arc;

use clap::Subcommand;
use hl_core::store::StoreError;
use hl_core::symbol::User;
use hl_core::{Coin, Interval, StreamKey, TimeMs};
use hl_host::stores::{self, Signed};
use hl_scheduler::backfill::BackfillError;

use self::progress::Progress;
use self::work::{BEGIN_LIMIT, Target, Work};
use super::exchange::{Exchange, ExchangeError, reachable};
use super::{CommandError, Common, LocalArgs, Shell, interruptible, when};
use crate::compose::shutdown;
use crate::config::{Coins, CoinsError, ConfigError, Network, Place, ValueError};
use crate::exit::Exit;
use crate::say::say;

/// What the session is called in the store.
const ROLE: &str = "hl-cli backfill";

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  hl-cli backfill candle --coin BTC --interval 1m --from 2026-11-01 --to now
  hl-cli backfill candle --coin BTC,ETH --interval 1m,1h --from '24h ago'
  hl-cli backfill funding --coin BTC --from 2026-01-01 --to 2026-07-01T12:00
  hl-cli backfill trades --coin BTC
  hl-cli backfill fills --user 0x5078c2fbea2b2ad61bc840bc023e35fce56bedb6
  hl-cli backfill gaps

It may run beside hl-daemon on the same store, and it may be stopped at any time: the same
command goes on where it stopped.

What lies before everything that is stored, and before the exchange's own history, is recorded with
the cause before_history: nothing is missing there.

Exit codes: 0 done, 1 failed, 2 usage, 3 held by another process, 4 the exchange no longer has
a part that was once collected around, 130 interrupted.")]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Bars: the exchange has the most recent 5,000 of an interval
    #[command(after_help = "\
Examples:
  hl-cli backfill candle --coin BTC --from 2026-11-01
  hl-cli backfill candle --coin BTC --coin ETH --interval 1m,1h --from '24h ago' --to now")]
    #[command(alias = "candles")]
    Candle {
        #[command(flatten)]
        coins: CoinArgs,
        /// An interval, 1m to 1M; repeat it for more
        #[arg(long = "interval", value_name = "INTERVAL", default_value = "1m", value_delimiter = ',')]
        intervals: Vec<String>,
        #[command(flatten)]
        range: RangeArgs,
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Settled funding: the exchange has all of it
    #[command(after_help = "\
Examples:
  hl-cli backfill funding --coin BTC --from 2023-06-01
  hl-cli backfill funding --coin BTC,ETH --from 2026-10-01 --to 2026-11-01T12:00")]
    Funding {
        #[command(flatten)]
        coins: CoinArgs,
        #[command(flatten)]
        range: RangeArgs,
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Trades: the exchange has no more than the last 10
    #[command(after_help = "\
Examples:
  hl-cli backfill trades --coin BTC")]
    Trades {
        #[command(flatten)]
        coins: CoinArgs,
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Fills of a trader: the exchange has the last 10,000
    #[command(after_help = "\
Examples:
  hl-cli backfill fills --user 0x5078c2fbea2b2ad61bc840bc023e35fce56bedb6

Run it again later: it goes on from the last fill that is stored. What more than 10,000 fills came after is
recorded as a gap. hl-cli export --stream fills/0x… writes them to a file.")]
    Fills {
        /// The address of the trader; repeat it for more
        #[arg(long = "user", value_name = "ADDRESS", required = true, value_delimiter = ',')]
        users: Vec<String>,
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Every open gap of every stream in the store, as far as the exchange still has it
    #[command(after_help = "\
Examples:
  hl-cli backfill gaps
  hl-cli backfill gaps --store sqlite:./data/hyperliquid.db --json")]
    Gaps {
        #[command(flatten)]
        place: PlaceArgs,
    },
}

#[derive(clap::Args, Debug)]
struct CoinArgs {
    /// A coin; repeat it for more. `all`: every live perpetual of the first dex, and what is named beside it
    #[arg(long = "coin", value_name = "COIN", required = true)]
    coins: Vec<String>,
}

#[derive(clap::Args, Debug)]
struct RangeArgs {
    /// Where to begin, UTC: 2026-11-01, 2026-11-01T12:00, RFC 3339, '24h ago', or milliseconds since 1970
    #[arg(long, value_name = "TIME")]
    from: String,
    /// Where to end; what is not final by now is left out
    #[arg(long, value_name = "TIME", default_value = "now")]
    to: String,
}

#[derive(clap::Args, Debug)]
struct PlaceArgs {
    #[command(flatten)]
    local: LocalArgs,
    #[command(flatten)]
    common: Common,
}

impl What {
    fn place(&self) -> &PlaceArgs {
        match self {
            Self::Candle { place, .. }
            | Self::Funding { place, .. }
            | Self::Trades { place, .. }
            | Self::Fills { place, .. }
            | Self::Gaps { place } => place,
        }
    }
}

/// A backfill did not come to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum BackfillFailure {
    /// The exchange has no such coin.
    #[error(transparent)]
    Coins(#[from] CoinsError),
    /// The range is empty, or lies ahead.
    #[error("--from: {from} is not before {end}")]
    Range {
        /// Where it should begin.
        from: String,
        /// Where it ends.
        end: String,
    },
    /// The exchange could not be asked.
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    /// A page could not be had or written.
    #[error("{0}; what was filled is kept, the same command goes on from there")]
    Fill(#[from] BackfillError),
    /// The store.
    #[error("the store: {0}")]
    Store(#[from] StoreError),
    /// A daemon has the stream, and has not come to collecting it.
    #[error("{stream} is held by {holder}, which has not begun it in {BEGIN_LIMIT:?}; nothing was asked for")]
    NotBegun {
        /// The stream.
        stream: StreamKey,
        /// Who has it.
        holder: String,
    },
}

impl BackfillFailure {
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Coins(_) | Self::Range { .. } => Exit::Usage,
            Self::Exchange(error) => error.exit(),
            Self::Fill(_) | Self::Store(_) => Exit::Failed,
            Self::NotBegun { .. } => Exit::Held,
        }
    }
}

/// What is asked for, as far as it can be understood without the exchange.
enum Asked {
    Candles(Coins, Vec<Interval>, when::Range),
    Funding(Coins, when::Range),
    Trades(Coins),
    Fills(Vec<User>),
    Gaps,
}

pub(super) async fn run(args: &Args, shell: &mut Shell<'_>) -> Result<Exit, CommandError> {
    let PlaceArgs { local, common } = args.what.place();
    let asked = understand(&args.what)?;
    let told = shell.told(common, &local.flags())?;
    let (network, uri, name) = (told.network()?, told.store()?, shell.name(&told)?);
    let (net, local) = shell.outward(&told)?;
    let endpoints = reachable(&network).map_err(BackfillFailure::from)?;
    if matches!(asked, Asked::Gaps) {
        // A store that is not there has no gaps, and is not made for that.
        drop(stores::inspect(&uri).await?);
    }
    let mut stop = shutdown::signal();
    let store = stores::open(&uri, Signed { role: ROLE, name: &name }, &shell.clock).await?;
    let inspect = stores::inspect(&uri).await?;
    let exchange = Exchange::new(
        &network,
        endpoints.info,
        stores::address(&uri, &network.name(), local, &name),
        store.clone(),
        net,
        Arc::clone(&shell.clock),
    )
    .await
    .map_err(BackfillFailure::from)?;
    let progress = Progress::new();
    let mut work = Work::new(store.as_ref(), inspect.as_ref(), &exchange, &progress);
    let working = carry_out(&asked, &network, &mut work);
    let ended = interruptible(&mut stop, || progress.tick(exchange.client()), working).await;
    progress.finish();
    // Leases and claims are given back here, however it ended.
    store.close().await?;
    let answer = work.answer().await?;
    if !matches!(ended, Some(Err(_))) || !answer.streams.is_empty() {
        shell.answer(common, &answer, &answer.text())?;
    }
    match ended {
        Some(Ok(())) => {
            answer.complain();
            Ok(answer.exit())
        }
        Some(Err(failure)) => Err(failure.into()),
        None => {
            say!("hl-cli: interrupted; what was filled is kept, the same command goes on from there");
            Ok(Exit::Interrupted)
        }
    }
}

fn understand(what: &What) -> Result<Asked, ConfigError> {
    Ok(match what {
        What::Candle { coins, intervals, range, .. } => {
            let mut each_once = Vec::new();
            for text in intervals {
                let interval =
                    text.parse().map_err(|problem| value("interval", ValueError::Interval(problem)))?;
                if !each_once.contains(&interval) {
                    each_once.push(interval);
                }
            }
            Asked::Candles(
                Coins::of_flag(&coins.coins)?,
                each_once,
                when::Range::parse(&range.from, &range.to)?,
            )
        }
        What::Funding { coins, range, .. } => {
            Asked::Funding(Coins::of_flag(&coins.coins)?, when::Range::parse(&range.from, &range.to)?)
        }
        What::Trades { coins, .. } => Asked::Trades(Coins::of_flag(&coins.coins)?),
        What::Fills { users, .. } => {
            let mut each_once = Vec::new();
            for text in users {
                let user = text.parse().map_err(|problem| value("user", ValueError::User(problem)))?;
                if !each_once.contains(&user) {
                    each_once.push(user);
                }
            }
            Asked::Fills(each_once)
        }
        What::Gaps { .. } => Asked::Gaps,
    })
}

fn value(flag: &'static str, problem: ValueError) -> ConfigError {
    ConfigError::Value { place: Place::Flag(flag), problem }
}

async fn carry_out(asked: &Asked, network: &Network, work: &mut Work<'_>) -> Result<(), BackfillFailure> {
    if matches!(asked, Asked::Gaps) {
        let open = work.store.open_gaps().await?;
        if open.is_empty() {
            return Ok(());
        }
        work.exchange.learn_time().await?;
        return work.fill_gaps(open).await;
    }
    let now = work.exchange.learn_time().await?;
    let coins = async |coins: &Coins| -> Result<Vec<Coin>, BackfillFailure> {
        Ok(coins.resolve(network, &work.exchange.universe(coins, network).await?)?)
    };
    let targets: Vec<Target> = match asked {
        Asked::Candles(names, intervals, range) => {
            let coins = coins(names).await?;
            let bounds = bounds(range, now)?;
            let of = |coin, interval| {
                let span = when::bars(interval, bounds.0, bounds.1, now);
                Target::range(StreamKey::Candle(coin, interval), span)
            };
            coins.iter().flat_map(|&coin| intervals.iter().map(move |&i| of(coin, i))).collect()
        }
        Asked::Funding(names, range) => {
            let coins = coins(names).await?;
            let (from, to) = bounds(range, now)?;
            let span = when::settlements(from, to, now);
            coins.into_iter().map(|coin| Target::range(StreamKey::Funding(coin), span)).collect()
        }
        Asked::Trades(names) => {
            let coins = coins(names).await?;
            coins.into_iter().map(|coin| Target::newest(StreamKey::Trades(coin))).collect()
        }
        Asked::Fills(users) => {
            let mut targets = Vec::new();
            for user in users {
                let stream = StreamKey::Fills(*user);
                let known = work.edge(stream).await?;
                targets.push(Target::all(stream, work.exchange.fills_ends(*user, known).await?));
            }
            targets
        }
        Asked::Gaps => Vec::new(),
    };
    work.fill(targets).await
}

fn bounds(range: &when::Range, now: TimeMs) -> Result<(TimeMs, TimeMs), BackfillFailure> {
    let (from, to) = range.at(now);
    let end = to.min(now);
    if from < end {
        return Ok((from, to));
    }
    let words = |time| crate::human::time(time);
    Err(BackfillFailure::Range { from: words(from), end: words(end) })
}
