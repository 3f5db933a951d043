//! `hl-cli signals`: what the positions of the tracked traders say of each coin, what they said before, and what a strategy would have
//! said of the past.

mod backtest;
mod text;

use std::time::Duration;

use clap::Subcommand;
use hl_core::ledger::Span;
use hl_core::record::CoinSignal;
use hl_core::store::StoreError;
use hl_core::time::DAY_MS;
use hl_core::{Coin, StreamKey, TimeMs};
use hl_store::Inspect;
use hl_traders::RuleError;
use hl_traders::signals::{BacktestError, RowError};
use serde::Serialize;

use super::traders::{Line, all, last};
use super::when::Bounds;
use super::{CommandError, Common, Shell};
use crate::config::parse_duration;
use crate::exit::Exit;

/// Signals of so long a time are read at once, ms.
const PIECE_MS: i64 = DAY_MS;

#[derive(clap::Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "\
Examples:
  hl-cli signals                                  what is said of each coin now
  hl-cli signals --coin BTC --json
  hl-cli signals history --coin BTC --from '24h ago'
  hl-cli signals backtest --from 2026-11-01 --to 2026-11-30

hl-daemon --track N stores signals every five minutes. They are no advice, and nothing says that they earn money.

Exit codes: 0 done, 1 failed, 2 usage, also where there is nothing of that coin.")]
pub(super) struct Args {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    list: List,
}

#[derive(clap::Args, Debug)]
struct List {
    /// Only this coin
    #[arg(long, value_name = "COIN")]
    coin: Option<String>,
    #[command(flatten)]
    common: Common,
}

#[derive(Subcommand, Debug)]
enum What {
    /// The last signals: what is recommended, how sure that is, what it is built on, and why it is withheld where it is
    #[command(after_help = "\
Examples:
  hl-cli signals list
  hl-cli signals list --coin BTC")]
    List(List),
    /// What was said of one coin, oldest first
    #[command(after_help = "\
Examples:
  hl-cli signals history --coin BTC
  hl-cli signals history --coin BTC --from '7d ago' --json")]
    History {
        /// The coin
        #[arg(long, value_name = "COIN")]
        coin: String,
        /// Where to begin, UTC: 2026-11-01, 2026-11-01T12:00, RFC 3339, '24h ago', or milliseconds since 1970
        #[arg(long, value_name = "TIME", default_value = "24h ago")]
        from: String,
        /// Where to end [default: now]
        #[arg(long, value_name = "TIME")]
        to: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// What the usual strategy would have said of the past, from stored positions and bars, and what the price did after that
    #[command(after_help = "\
Examples:
  hl-cli signals backtest --from '7d ago' --to '1h ago'
  hl-cli signals backtest --from 2026-11-01 --to 2026-11-30 --every 15m --horizon 4h --coin BTC
  hl-cli signals backtest --from '24h ago' --to '1h ago' --json

Who was tracked at each moment, what was known of their positions then, and the bars that were over are all that the strategy sees. What the
price did after that is no profit: nobody trades at these prices at no cost. Of each coin the longest stored bars count that are no longer
than --every and --horizon; where none are stored, nothing is known of what came. All changes of positions in the range are held in memory,
about 150 bytes each.")]
    Backtest {
        /// Where to begin, UTC, as for history
        #[arg(long, value_name = "TIME")]
        from: String,
        /// Where to end
        #[arg(long, value_name = "TIME")]
        to: String,
        /// How often the strategy is asked, at whole multiples of it
        #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = parse_duration)]
        every: Duration,
        /// After which time the price is looked at
        #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = parse_duration)]
        horizon: Duration,
        /// Only this coin
        #[arg(long, value_name = "COIN")]
        coin: Option<String>,
        #[command(flatten)]
        common: Common,
    },
}

/// The signals could not be shown.
#[derive(Debug, thiserror::Error)]
pub(super) enum SignalsFailure {
    /// Not the name of a coin.
    #[error("{0:?} is not the name of a coin")]
    Coin(String),
    /// Nothing was said of it.
    #[error("no signal of {0} is stored{of_all}", of_all = if *.1 { "; there are some of other coins" } else { ": hl-daemon --track N says them" })]
    Nothing(Coin, bool),
    /// Nobody was tracked.
    #[error("no choice of traders is stored of before {}: hl-daemon --track N makes one", crate::human::minute(*.0))]
    NoneTracked(TimeMs),
    /// Moments that do not follow each other.
    #[error(transparent)]
    Backtest(#[from] BacktestError),
    /// What is stored does not go together.
    #[error("what is stored cannot be told in order: {0}")]
    Row(#[from] RowError),
    /// The rules of the strategy.
    #[error(transparent)]
    Rules(#[from] RuleError),
    /// The store could not be read.
    #[error("the store: {0}")]
    Store(#[from] StoreError),
}

impl SignalsFailure {
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Coin(_) | Self::Nothing(..) | Self::NoneTracked(_) | Self::Backtest(_) => Exit::Usage,
            Self::Row(_) | Self::Rules(_) | Self::Store(_) => Exit::Failed,
        }
    }
}

#[derive(Serialize)]
struct Several<'a> {
    signals: Vec<Line<'a, CoinSignal>>,
}

pub(super) async fn run(args: &Args, shell: &mut Shell<'_>) -> Result<Exit, CommandError> {
    match args.what.as_ref() {
        None => list(&args.list, shell).await?,
        Some(What::List(wanted)) => list(wanted, shell).await?,
        Some(What::History { coin, from, to, common }) => {
            let coin = parse_coin(coin)?;
            let bounds = Bounds::parse(Some(from), to.as_deref())?;
            let now = shell.clock.now();
            let (from, to) = bounds.at(now)?;
            let span = Span { from: from.unwrap_or(TimeMs(0)), to: to.unwrap_or(now) };
            let store = shell.open(common).await?;
            let rows = of_coin(store.as_ref(), coin, span).await?;
            let answer = Several { signals: rows.iter().map(Line).collect() };
            shell.answer(common, &answer, &text::history(coin, &rows))?;
        }
        Some(What::Backtest { from, to, every, horizon, coin, common }) => {
            let coin = coin.as_deref().map(parse_coin).transpose()?;
            let asked = backtest::Asked { from, to, every: *every, horizon: *horizon, coin };
            backtest::run(&asked, common, shell).await?;
        }
    }
    Ok(Exit::Done)
}

fn parse_coin(text: &str) -> Result<Coin, SignalsFailure> {
    Coin::new(text.trim()).map_err(|_| SignalsFailure::Coin(text.to_owned()))
}

async fn list(wanted: &List, shell: &mut Shell<'_>) -> Result<(), CommandError> {
    let coin = wanted.coin.as_deref().map(parse_coin).transpose()?;
    let store = shell.open(&wanted.common).await?;
    let mut rows: Vec<CoinSignal> = last(store.as_ref(), StreamKey::Signals).await?;
    let are_some = !rows.is_empty();
    rows.retain(|row| coin.is_none_or(|coin| row.coin == coin));
    if let Some(coin) = coin.filter(|_| rows.is_empty()) {
        return Err(SignalsFailure::Nothing(coin, are_some).into());
    }
    let answer = Several { signals: rows.iter().map(Line).collect() };
    shell.answer(&wanted.common, &answer, &text::list(&rows, shell.clock.now()))
}

/// The signals of a coin in a piece of time, which are read day by day: those of all coins lie together.
async fn of_coin(store: &dyn Inspect, coin: Coin, span: Span) -> Result<Vec<CoinSignal>, SignalsFailure> {
    let pieces = store.coverage(Some(StreamKey::Signals)).await?;
    let hull = pieces.iter().map(|piece| piece.span).reduce(Span::hull);
    let Some(within) = hull.and_then(|hull| hull.intersect(span)) else { return Ok(Vec::new()) };
    let (mut rows, mut from) = (Vec::new(), within.from);
    while from <= within.to {
        let to = (from.floor(PIECE_MS) + (PIECE_MS - 1)).min(within.to);
        let piece: Vec<CoinSignal> = all(store, StreamKey::Signals, Span { from, to }).await?;
        rows.extend(piece.into_iter().filter(|row| row.coin == coin));
        from = to + 1;
    }
    Ok(rows)
}
