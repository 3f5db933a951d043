//! `hl-cli markets`: which markets there are, what the exchange says of each, and when that changed.
//!
//! What the store has of its stream `markets` is shown; where it has nothing of it, `list` and `show` ask the exchange.

mod read;
mod text;

use std::collections::{BTreeMap, BTreeSet};

use clap::Subcommand;
use hl_core::record::{Market, MarketStatus, MarketType};
use hl_core::row::fields::put_columns;
use hl_core::store::StoreError;
use hl_core::{Coin, TimeMs};
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use super::exchange::ExchangeError;
use super::when::Bounds;
use super::{CommandError, Common, LocalArgs, Shell};
use crate::exit::Exit;

/// The word for every dex.
const EVERY: &str = "*";
/// What to do where nothing is stored.
const NOTHING: &str =
    "the store has nothing of the stream markets: add markets to the --streams of hl-daemon\n";

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  hl-cli markets list                        every market that is traded
  hl-cli markets list --dex '*'              the perpetuals of every dex
  hl-cli markets show HYPE/USDC              one market, by its coin or its readable name
  hl-cli markets history --from '7d ago'     what was listed, changed, delisted or settled

What the store has is shown, as of the last poll of hl-daemon. Where it has nothing, list and show
ask the exchange, which costs 60 of the 1,200 weight of a minute.

Exit codes: 0 done, 1 failed, 2 usage, also where there is no such market.")]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// The markets that are traded
    #[command(after_help = "\
Examples:
  hl-cli markets list
  hl-cli markets list --dex xyz --spot       two parts of them
  hl-cli markets list --outcomes --all       the settled ones too, and what their coins were paid
  hl-cli markets list --network testnet --json")]
    List {
        /// Only the perpetuals of this builder's dex, '*' for those of every dex; repeat it for more
        #[arg(long = "dex", value_name = "DEX", value_delimiter = ',')]
        dexes: Vec<String>,
        /// Only spot pairs
        #[arg(long)]
        spot: bool,
        /// Only outcomes
        #[arg(long)]
        outcomes: bool,
        /// Those as well that are delisted, settled or gone
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// What is known of one market
    #[command(after_help = "\
Examples:
  hl-cli markets show BTC
  hl-cli markets show HYPE/USDC              the pair that the exchange calls @107")]
    Show {
        /// Its coin, or its readable name
        #[arg(value_name = "COIN")]
        coin: String,
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// What changed, oldest first
    #[command(after_help = "\
Examples:
  hl-cli markets history --from '7d ago'
  hl-cli markets history BTC --json")]
    History {
        /// Only of this market: its coin, or its readable name
        #[arg(value_name = "COIN")]
        coin: Option<String>,
        /// Where to begin, UTC: 2026-11-01, 2026-11-01T12:00, RFC 3339, '24h ago', or milliseconds since 1970 [default:
        /// where collecting began]
        #[arg(long, value_name = "TIME")]
        from: Option<String>,
        /// Where to end [default: now]
        #[arg(long, value_name = "TIME")]
        to: Option<String>,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(clap::Args, Debug)]
struct PlaceArgs {
    #[command(flatten)]
    local: LocalArgs,
    #[command(flatten)]
    common: Common,
}

/// The markets could not be shown.
#[derive(Debug, thiserror::Error)]
pub(super) enum MarketsFailure {
    /// Neither the store nor the exchange has a market of this name.
    #[error("there is no market {name:?}{}", nearest.as_ref().map(|n| format!("; did you mean {n:?}?")).unwrap_or_default())]
    Unknown {
        /// As it was given.
        name: String,
        /// One that there is.
        nearest: Option<String>,
    },
    /// Nothing is stored, and the exchange could not be asked.
    #[error("the store has nothing of the stream markets, and the exchange cannot be asked: {0}")]
    Exchange(#[from] ExchangeError),
    /// The folder for the request budget could not be made.
    #[error("making a folder for the request budget: {0}")]
    Folder(#[source] std::io::Error),
    /// The store could not be opened.
    #[error("the store: {0}")]
    Store(#[from] StoreError),
}

impl MarketsFailure {
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Unknown { .. } => Exit::Usage,
            Self::Exchange(error) => error.exit(),
            Self::Folder(_) | Self::Store(_) => Exit::Failed,
        }
    }
}

/// Who says it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Source {
    Store,
    Exchange,
}

/// A row, under the names of its columns.
struct Line<'a>(&'a Market);

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        put_columns(&mut map, self.0)?;
        map.end()
    }
}

#[derive(Serialize)]
struct Answer<'a> {
    /// Who says it.
    from: Source,
    markets: Vec<Line<'a>>,
}

pub(super) async fn run(args: &Args, shell: &mut Shell<'_>) -> Result<Exit, CommandError> {
    match &args.what {
        What::List { dexes, spot, outcomes, all, place } => {
            let (rows, from) = read::read(place, shell).await?;
            let wanted = |market: &&Market| match market.market_type {
                _ if dexes.is_empty() && !spot && !outcomes => true,
                MarketType::Perp => {
                    dexes.iter().any(|dex| dex == EVERY || market.dex.as_deref() == Some(dex))
                }
                MarketType::Spot => *spot,
                MarketType::Outcome => *outcomes,
            };
            let latest = latest(&rows);
            let is_shown = |market: &&Market| *all || market.status == MarketStatus::Listed;
            let mut markets: Vec<_> = latest.into_values().filter(wanted).filter(is_shown).collect();
            markets.sort_by_key(|market| (market.market_type, market.coin));
            let answer = Answer { from, markets: markets.iter().copied().map(Line).collect() };
            shell.answer(&place.common, &answer, &text::list(&markets, *all))?;
        }
        What::Show { coin, place } => {
            let (rows, from) = read::read(place, shell).await?;
            let latest = latest(&rows);
            let coins = named(coin, &latest)?;
            let markets: Vec<_> = coins.iter().filter_map(|coin| latest.get(coin).copied()).collect();
            let answer = Answer { from, markets: markets.iter().copied().map(Line).collect() };
            let text: Vec<_> = markets.iter().map(|market| text::show(market, &rows, from)).collect();
            shell.answer(&place.common, &answer, &text.join("\n"))?;
        }
        What::History { coin, from, to, common } => {
            let bounds = Bounds::parse(from.as_deref(), to.as_deref())?;
            let (from, to) = bounds.at(shell.clock.now())?;
            let rows = read::stored(shell.open(common).await?.as_ref()).await?;
            let coins = match coin {
                Some(name) if !rows.is_empty() => named(name, &latest(&rows))?,
                _ => BTreeSet::new(),
            };
            let changes = text::changes(&rows);
            let is_in = |time: TimeMs| from.is_none_or(|from| from <= time) && to.is_none_or(|to| time <= to);
            let is_asked = |market: &Market| coins.is_empty() || coins.contains(&market.coin);
            let shown: Vec<_> =
                changes.into_iter().filter(|(it, _)| is_in(it.time) && is_asked(it)).collect();
            let answer =
                Answer { from: Source::Store, markets: shown.iter().map(|(it, _)| Line(it)).collect() };
            let text = if rows.is_empty() { NOTHING.to_owned() } else { text::history(&shown) };
            shell.answer(common, &answer, &text)?;
        }
    }
    Ok(Exit::Done)
}

/// The last row of each market.
fn latest(rows: &[Market]) -> BTreeMap<Coin, &Market> {
    let mut latest: BTreeMap<Coin, &Market> = BTreeMap::new();
    for row in rows {
        let last = latest.entry(row.coin).or_insert(row);
        if last.time < row.time {
            *last = row;
        }
    }
    latest
}

/// The markets that a name means: the coin of that name, else every market that is called so.
fn named(name: &str, latest: &BTreeMap<Coin, &Market>) -> Result<BTreeSet<Coin>, MarketsFailure> {
    let by_coin = latest.keys().find(|coin| coin.as_str() == name);
    let by_name = latest.values().filter(|market| &*market.name == name).map(|market| market.coin);
    let coins: BTreeSet<Coin> = match by_coin {
        Some(coin) => BTreeSet::from([*coin]),
        None => by_name.collect(),
    };
    if coins.is_empty() {
        let names = latest.values().flat_map(|market| [market.coin.as_str(), &market.name]);
        let nearest = crate::nearest(name, names).map(str::to_owned);
        return Err(MarketsFailure::Unknown { name: name.to_owned(), nearest });
    }
    Ok(coins)
}
