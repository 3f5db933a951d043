//! `hl-cli traders`: whom `hl-daemon --track` has chosen from the leaderboard, how each was scored, when that changed, and what
//! they hold.

mod plan;
mod positions;
mod text;

use std::time::Duration;

use clap::Subcommand;
use hl_core::ledger::Span;
use hl_core::record::{Address, Leader, Listed, Record, Trader, TraderStatus};
use hl_core::row::fields::put_columns;
use hl_core::store::StoreError;
use hl_core::symbol::User;
use hl_core::time::DAY_MS;
use hl_core::{StreamKey, TimeMs};
use hl_scheduler::jobs::CollectTraderOrders;
use hl_store::Inspect;
use hl_traders::{NAMES, Rules, SignalRules, TAGS, signals};
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use self::plan::Planned;
use self::positions::{Held, HeldLine};
use super::when::Bounds;
use super::{CommandError, Common, Shell};
use crate::config::parse_duration;
use crate::exit::Exit;

/// Choices of so long a time are read at once, ms.
const PIECE_MS: i64 = 4 * DAY_MS;

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  hl-cli traders list --top 20               the best of those that are tracked
  hl-cli traders show 0x5078c2fbea2b2ad61bc840bc023e35fce56bedb6
  hl-cli traders watch --top 50              each change of their positions, as it is stored
  hl-cli traders history --from '7d ago'     who was added and dropped
  hl-cli traders plan                        how often each is read over REST, and what does not fit
  hl-cli traders rules                       what --track-rule can set, and the defaults

hl-daemon --track N reads the leaderboard once a day and chooses from it. What it chose last is shown.

Exit codes: 0 done, 1 failed, 2 usage, also where there is no such trader.")]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Those that are tracked, the best first
    #[command(after_help = "\
Examples:
  hl-cli traders list
  hl-cli traders list --tag whale --top 10
  hl-cli traders list --json")]
    List {
        /// Only the first so many
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        top: Option<u32>,
        /// Only those that are known for this
        #[arg(long, value_name = "TAG", value_parser = TAGS)]
        tag: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// What is known of one trader: the last choice, the leaderboard that it was made from, when it was added and dropped, and
    /// what it holds
    #[command(after_help = "\
Examples:
  hl-cli traders show 0x5078c2fbea2b2ad61bc840bc023e35fce56bedb6")]
    Show {
        /// The address
        #[arg(value_name = "ADDRESS")]
        user: String,
        #[command(flatten)]
        common: Common,
    },
    /// Each change of a position as it is stored: who, what, from which size to which, at which price
    #[command(after_help = "\
Examples:
  hl-cli traders watch
  hl-cli traders watch 0x5078c2fbea2b2ad61bc840bc023e35fce56bedb6
  hl-cli traders watch --top 100 --for 10m --json")]
    Watch {
        /// Traders to watch [default: the best of those that are tracked]
        #[arg(value_name = "ADDRESS")]
        users: Vec<String>,
        /// How many of the best, where none are named
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
        top: u32,
        /// Stop after this time, such as 90s, 5m or 2h [default: watch until interrupted]
        #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
        limit: Option<Duration>,
        #[command(flatten)]
        common: Common,
    },
    /// Who was added and dropped, oldest first
    #[command(after_help = "\
Examples:
  hl-cli traders history --from '30d ago'
  hl-cli traders history --json")]
    History {
        /// Where to begin, UTC: 2026-11-01, 2026-11-01T12:00, RFC 3339, '24h ago', or milliseconds since 1970 [default:
        /// with the first choice]
        #[arg(long, value_name = "TIME")]
        from: Option<String>,
        /// Where to end [default: now]
        #[arg(long, value_name = "TIME")]
        to: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// How often orders, fills and money of those that are tracked are read, at what request weight, and what does not fit
    #[command(after_help = "\
Examples:
  hl-cli traders plan
  hl-cli traders plan --json")]
    Plan {
        #[command(flatten)]
        common: Common,
    },
    /// The rules that --track-rule can set, and what holds where nothing is set
    #[command(after_help = "\
Examples:
  hl-cli traders rules
  hl-daemon --track 200 --track-rule minimum_score=60 --track-rule score.month_roi.most=30")]
    Rules {
        /// Answer with one JSON object instead of a table
        #[arg(long)]
        json: bool,
    },
}

/// The traders could not be shown.
#[derive(Debug, thiserror::Error)]
pub(super) enum TradersFailure {
    /// Not an address.
    #[error("{0:?} is not the address of a trader: 0x and 40 hexadecimal digits")]
    Address(String),
    /// No trader is tracked.
    #[error("no traders are tracked: hl-daemon --track N reads the leaderboard and chooses from it")]
    NoneTracked,
    /// The store has nothing of that trader.
    #[error("{0} is neither tracked nor on the last leaderboard that is stored")]
    Unknown(Address),
    /// The store could not be read.
    #[error("the store: {0}")]
    Store(#[from] StoreError),
}

impl TradersFailure {
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Address(_) | Self::Unknown(_) | Self::NoneTracked => Exit::Usage,
            Self::Store(_) => Exit::Failed,
        }
    }
}

/// A row, under the names of its columns.
pub(super) struct Line<'a, T>(pub(super) &'a T);

impl<T: Record> Serialize for Line<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        put_columns(&mut map, self.0)?;
        map.end()
    }
}

#[derive(Serialize)]
struct Several<'a> {
    traders: Vec<Line<'a, Trader>>,
}

#[derive(Serialize)]
struct One<'a> {
    /// The last choice that has something of the trader.
    trader: Option<Line<'a, Trader>>,
    /// What the leaderboard said that it was made from.
    leaderboard: Option<Line<'a, Leader>>,
    /// When it was added and dropped.
    history: Vec<Line<'a, Trader>>,
    /// What it holds.
    positions: HeldLine<'a>,
}

#[derive(Serialize)]
struct RuleLines {
    rules: Vec<RuleLine>,
}

#[derive(Serialize)]
struct RuleLine {
    name: String,
    default: String,
}

pub(super) async fn run(args: &Args, shell: &mut Shell<'_>) -> Result<Exit, CommandError> {
    match &args.what {
        What::List { top, tag, common } => {
            let store = shell.open(common).await?;
            let mut chosen = last::<Trader>(store.as_ref(), StreamKey::Traders).await?;
            let at = chosen.first().map(|trader| trader.time);
            chosen.retain(Trader::is_tracked);
            let all = chosen.len();
            chosen.sort_by_key(|trader| trader.rank);
            let is_wanted = |trader: &Trader| {
                tag.as_ref().is_none_or(|tag| trader.tags.split(' ').any(|word| word == tag))
            };
            chosen.retain(is_wanted);
            chosen.truncate(top.map_or(usize::MAX, |top| top as usize));
            let answer = Several { traders: chosen.iter().map(Line).collect() };
            shell.answer(common, &answer, &text::list(&chosen, all, at, tag.as_deref()))?;
        }
        What::Show { user, common } => {
            let address = Address::parse(user.trim()).ok_or_else(|| TradersFailure::Address(user.clone()))?;
            let store = shell.open(common).await?;
            let of = |trader: &Trader| trader.user == address;
            let mut rows = kept(store.as_ref(), Span::EVER, of).await?;
            let trader = rows.last().cloned();
            let leader = match &trader {
                Some(Trader { snapshot_time: at, .. }) => {
                    all(store.as_ref(), StreamKey::Leaderboard, Span { from: *at, to: *at }).await?
                }
                None => last::<Leader>(store.as_ref(), StreamKey::Leaderboard).await?,
            };
            let leader = leader.into_iter().find(|leader: &Leader| leader.user == address);
            if trader.is_none() && leader.is_none() {
                return Err(TradersFailure::Unknown(address).into());
            }
            let held = match User::new(&address.to_string()) {
                Some(user) => positions::held(store.as_ref(), user).await?,
                None => Held::default(),
            };
            rows.retain(|trader| trader.status != TraderStatus::Kept);
            let answer = One {
                trader: trader.as_ref().map(Line),
                leaderboard: leader.as_ref().map(Line),
                history: rows.iter().map(Line).collect(),
                positions: held.line(),
            };
            let mut text = text::show(address, trader.as_ref(), leader.as_ref(), &rows);
            text += &held.text(shell.clock.now());
            shell.answer(common, &answer, &text)?;
        }
        What::Watch { users, top, limit, common } => {
            return positions::watch(users, *top, *limit, common, shell).await;
        }
        What::History { from, to, common } => {
            let bounds = Bounds::parse(from.as_deref(), to.as_deref())?;
            let (from, to) = bounds.at(shell.clock.now())?;
            let span = Span { from: from.unwrap_or(TimeMs(0)), to: to.unwrap_or(TimeMs::MAX) };
            let store = shell.open(common).await?;
            let rows = kept(store.as_ref(), span, |trader| trader.status != TraderStatus::Kept).await?;
            let answer = Several { traders: rows.iter().map(Line).collect() };
            shell.answer(common, &answer, &text::history(&rows))?;
        }
        What::Plan { common } => {
            let store = shell.open(common).await?;
            let mut tracked = last::<Trader>(store.as_ref(), StreamKey::Traders).await?;
            tracked.retain(Trader::is_tracked);
            let note = store.note(CollectTraderOrders::NOTE).await?;
            let state = CollectTraderOrders::state(note.as_deref());
            let planned = Planned::new(&tracked, &state, shell.clock.now());
            shell.answer(common, &planned, &planned.text())?;
        }
        What::Rules { json } => {
            let (rules, of_signals) = (Rules::default(), SignalRules::default());
            let line = |name: String, default: Option<String>| RuleLine {
                name,
                default: default.unwrap_or_default(),
            };
            let lines = NAMES.iter().map(|name| line((*name).to_owned(), rules.get(name)));
            let signals = signals::NAMES.iter();
            let signals = signals.map(|name| line(format!("signals.{name}"), of_signals.get(name)));
            let rules: Vec<RuleLine> = lines.chain(signals).collect();
            let text = text::rules(&rules);
            shell.answer_as(*json, &RuleLines { rules }, &text)?;
        }
    }
    Ok(Exit::Done)
}

/// The rows of a stream in a piece of time.
pub(super) async fn all<T: Listed>(
    store: &dyn Inspect,
    stream: StreamKey,
    span: Span,
) -> Result<Vec<T>, StoreError> {
    Ok(T::taken(store.rows(stream, span).await?).unwrap_or_default())
}

/// Those rows of all choices in a piece of time that are wanted, oldest first. Years of choices are read piece by piece.
pub(super) async fn kept(
    store: &dyn Inspect,
    span: Span,
    wanted: impl Fn(&Trader) -> bool,
) -> Result<Vec<Trader>, StoreError> {
    let pieces = store.coverage(Some(StreamKey::Traders)).await?;
    let pieces: Vec<Span> = pieces.iter().map(|piece| piece.span).collect();
    let Some(within) = pieces.iter().copied().reduce(Span::hull).and_then(|hull| hull.intersect(span)) else {
        return Ok(Vec::new());
    };
    let mut rows = Vec::new();
    let mut from = within.from;
    while from <= within.to {
        let to = (from.floor(PIECE_MS) + (PIECE_MS - 1)).min(within.to);
        let piece: Vec<Trader> = all(store, StreamKey::Traders, Span { from, to }).await?;
        rows.extend(piece.into_iter().filter(&wanted));
        from = to + 1;
    }
    Ok(rows)
}

/// The rows of the last snapshot of a stream.
pub(super) async fn last<T: Listed>(store: &dyn Inspect, stream: StreamKey) -> Result<Vec<T>, StoreError> {
    // What lies above the edge is not all there yet.
    let leases = store.leases().await?;
    match leases.into_iter().find(|lease| lease.stream == stream).and_then(|lease| lease.edge) {
        Some(at) => all(store, stream, Span { from: at, to: at }).await,
        None => Ok(Vec::new()),
    }
}
