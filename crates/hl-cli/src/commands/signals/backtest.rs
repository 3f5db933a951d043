//! What the usual strategy would have said of the past.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hl_core::ledger::Span;
use hl_core::record::{Address, Candle, Position, Recommendation, Trader, Withheld};
use hl_core::symbol::User;
use hl_core::time::DAY_MS;
use hl_core::{Coin, Decimal, Interval, StreamKey, TimeMs};
use hl_store::Inspect;
use hl_traders::signals::{
    Backtest, Bar, Consensus, Signal, SignalRules, StoredPositions, Strategy as _, Told, Verdict, stored_rows,
};
use serde::Serialize;

use super::{SignalsFailure, text};
use crate::commands::traders::{all, kept};
use crate::commands::when::Bounds;
use crate::commands::{CommandError, Common, Shell};

/// So far before the beginning the last snapshot of a trader is looked for at first, ms, and then twice as far, and so on.
const LOOK_BACK_MS: i64 = DAY_MS;

/// What was asked for.
pub(super) struct Asked<'a> {
    pub(super) from: &'a str,
    pub(super) to: &'a str,
    pub(super) every: Duration,
    pub(super) horizon: Duration,
    pub(super) coin: Option<Coin>,
}

#[derive(Serialize)]
pub(super) struct Answer {
    pub(super) strategy: String,
    /// The first moment at which it was asked, ms.
    pub(super) from: TimeMs,
    pub(super) to: TimeMs,
    pub(super) every_ms: i64,
    pub(super) horizon_ms: i64,
    /// Of how many coins something was said.
    pub(super) coins: usize,
    pub(super) summary: Vec<Summary>,
    /// In the order of time.
    pub(super) signals: Vec<Said>,
}

/// What came of all signals of one sort.
#[derive(Serialize)]
pub(super) struct Summary {
    /// `long`, `short`, `neutral` or `withheld`.
    pub(super) said: &'static str,
    /// How often that was said.
    pub(super) times: u64,
    /// Of how many of them the price is known then and the horizon later.
    pub(super) known: u64,
    /// By how much the price changed on average: 0.01 is one percent up.
    pub(super) mean_change: Option<Decimal>,
    /// After how many it was higher.
    pub(super) up: u64,
    /// After how many it was lower.
    pub(super) down: u64,
}

/// One signal, and what came of it.
#[derive(Serialize)]
pub(super) struct Said {
    time: TimeMs,
    coin: Coin,
    recommendation: Option<Recommendation>,
    withheld: Option<Withheld>,
    confidence: Option<Decimal>,
    /// By how much the price changed within the horizon; none where that is not known.
    change: Option<Decimal>,
}

impl Said {
    fn new(time: TimeMs, signal: &Signal) -> Self {
        let (recommendation, confidence, withheld) = match signal.verdict {
            Verdict::Recommended { recommendation, confidence } => {
                (Some(recommendation), Some(confidence), None)
            }
            Verdict::Withheld { reason } => (None, None, Some(reason.word())),
        };
        Self { time, coin: signal.coin, recommendation, withheld, confidence, change: None }
    }
}

pub(super) async fn run(
    asked: &Asked<'_>,
    common: &Common,
    shell: &mut Shell<'_>,
) -> Result<(), CommandError> {
    let now = shell.clock.now();
    let (from, to) = Bounds::parse(Some(asked.from), Some(asked.to))?.at(now)?;
    let (from, to) = (from.unwrap_or(TimeMs(0)), to.unwrap_or(now));
    let ms = |length: Duration| i64::try_from(length.as_millis()).unwrap_or(i64::MAX);
    let (every_ms, horizon_ms) = (ms(asked.every), ms(asked.horizon));
    // At whole multiples, where bars end.
    let from = (from - 1).floor(every_ms) + every_ms;
    let test = Backtest::new(from, to, every_ms, horizon_ms).map_err(SignalsFailure::from)?;
    let store = shell.open(common).await?;
    let store = store.as_ref();
    let choices = kept(store, Span { from: TimeMs(0), to }, |_| true).await?;
    if choices.is_empty() {
        return Err(SignalsFailure::NoneTracked(to).into());
    }
    let positions = positions(store, &choices, Span { from, to }).await?;
    let bars = bars(store, Span { from, to: to + horizon_ms }, every_ms.min(horizon_ms)).await?;
    let moments = std::iter::successors(Some(from), |moment| Some(*moment + every_ms));
    let moments = moments.take_while(|moment| *moment <= to);
    let strategy = Consensus::new(SignalRules::default()).map_err(SignalsFailure::from)?;
    let (mut signals, mut at) = (Vec::<Said>::new(), BTreeMap::new());
    for told in test.run(&strategy, stored_rows(&choices, positions, moments), bars) {
        match told.map_err(SignalsFailure::from)? {
            Told::Said { time, signal } if asked.coin.is_none_or(|coin| coin == signal.coin) => {
                at.insert((signal.coin, time), signals.len());
                signals.push(Said::new(time, &signal));
            }
            Told::Came { said, coin, change, .. } => {
                let said = at.remove(&(coin, said)).and_then(|at| signals.get_mut(at));
                said.into_iter().for_each(|said| said.change = Some(change));
            }
            Told::Said { .. } => {}
        }
    }
    let coins = signals.iter().map(|said| said.coin).collect::<BTreeSet<_>>().len();
    let (summary, strategy) = (summary(&signals), strategy.name().to_owned());
    let answer = Answer { strategy, from, to, every_ms, horizon_ms, coins, summary, signals };
    shell.answer(common, &answer, &text::backtest(&answer))
}

fn summary(signals: &[Said]) -> Vec<Summary> {
    let words = [Recommendation::Long, Recommendation::Short, Recommendation::Neutral].map(Some);
    let of = |word: Option<Recommendation>| {
        let said = || signals.iter().filter(move |said| said.recommendation == word);
        let changes = || said().filter_map(|said| said.change);
        let count = |which: fn(&Decimal) -> bool| changes().filter(which).count() as u64;
        let known = count(|_| true);
        let mean = changes().sum::<Decimal>().checked_div(known.into());
        Summary {
            said: word.map_or("withheld", Recommendation::as_str),
            times: said().count() as u64,
            known,
            mean_change: mean.map(|mean| mean.round_dp(6).normalize()),
            up: count(|change| *change > Decimal::ZERO),
            down: count(|change| *change < Decimal::ZERO),
        }
    };
    words.into_iter().chain([None]).map(of).collect()
}

/// What is stored of the positions of everyone who was tracked by then, back to the snapshot that says what they held at the beginning.
async fn positions(
    store: &dyn Inspect,
    choices: &[Trader],
    span: Span,
) -> Result<Vec<StoredPositions>, SignalsFailure> {
    let users: BTreeSet<Address> = choices.iter().map(|trader| trader.user).collect();
    let mut stored = Vec::new();
    for address in users {
        let Some(user) = User::new(&address.to_string()) else { continue };
        let stream = StreamKey::Positions(user);
        let covered: Vec<Span> = store.coverage(Some(stream)).await?.iter().map(|piece| piece.span).collect();
        let Some(first) = covered.iter().map(|piece| piece.from).min() else { continue };
        let mut rows: Vec<Position> = all(store, stream, span).await?;
        let (mut back_ms, mut end) = (LOOK_BACK_MS, span.from);
        while first < end {
            let begin = (end - back_ms).max(first);
            let earlier: Vec<Position> = all(store, stream, Span { from: begin, to: end - 1 }).await?;
            let is_snapshot = |row: &Position| row.coin.as_str() == Position::NOTHING;
            let has_snapshot = earlier.iter().any(is_snapshot);
            rows.extend(earlier);
            if has_snapshot {
                break;
            }
            (end, back_ms) = (begin, back_ms.saturating_mul(2));
        }
        stored.push(StoredPositions { user: address, rows, covered });
    }
    Ok(stored)
}

/// The final bars of each coin, by the ends of them: of the longest interval that is not longer than `most_ms`, else of the shortest.
async fn bars(store: &dyn Inspect, span: Span, most_ms: i64) -> Result<Vec<Bar>, SignalsFailure> {
    let mut chosen = BTreeMap::<Coin, (Interval, TimeMs)>::new();
    for lease in store.leases().await? {
        let (StreamKey::Candle(coin, interval), Some(edge)) = (lease.stream, lease.edge) else { continue };
        // The length of a month is not one.
        if !interval.is_fixed() {
            continue;
        }
        let is_better = |other: &(Interval, TimeMs)| {
            let (ms, other_ms) = (interval.ms(), other.0.ms());
            match (ms <= most_ms, other_ms <= most_ms) {
                (true, true) => ms > other_ms,
                (false, false) => ms < other_ms,
                (fits, _) => fits,
            }
        };
        if chosen.get(&coin).is_none_or(is_better) {
            chosen.insert(coin, (interval, edge));
        }
    }
    let mut bars = Vec::new();
    for (coin, (interval, edge)) in chosen {
        let within = Span { from: span.from - interval.ms(), to: span.to.min(edge - 1) };
        if within.from > within.to {
            continue;
        }
        let stored: Vec<Candle> = all(store, StreamKey::Candle(coin, interval), within).await?;
        bars.extend(stored.iter().map(|bar| Bar {
            coin,
            open_time: bar.time,
            close_time: bar.time + (interval.ms() - 1),
            close_px: bar.close,
        }));
    }
    bars.sort_by_key(|bar| (bar.close_time, bar.coin));
    Ok(bars)
}
