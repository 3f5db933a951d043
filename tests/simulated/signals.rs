//! Signals of a whole daemon: what it says of each coin is what the positions of the tracked traders say, and nothing where these are
//! not known.

use std::collections::BTreeMap;
use std::time::Duration;

use hl_chaos::Trace;
use hl_core::ledger::Span;
use hl_core::record::{Address, Candle, CoinSignal, Position, Trader, Withheld};
use hl_core::symbol::User;
use hl_core::{Coin, Decimal, Kind, Records, StreamKey, TimeMs};
use hl_engine::markets::Wish;
use hl_engine::universe::Part;
use hl_scheduler::jobs::GenerateSignals;
use hl_sim::{AnswerFault, Fault, FaultKind, SimConfig};
use hl_store::{Inspect, SqliteStore};
use hl_traders::signals::{
    Backtest, Bar, Consensus, RowError, SignalRules, StoredPositions, Told, stored_rows,
};

use crate::support::{World, assert_clean, verified};

/// What happened so shortly before a signal, or after it, may be in it or not, ms.
const NEAR_MS: i64 = 10_000;
const FIVE_MINUTES: i64 = 300_000;

/// A world whose daemons track traders and say signals every five minutes.
async fn world(seed: u64) -> World {
    let config = SimConfig { seed, traders: 60, ..SimConfig::default() };
    let mut world = World::with(config, Trace::new(false)).await.unwrap();
    world.tracked = 20;
    world.jobs.extend(GenerateSignals::spec(None));
    world
}

/// A daemon for so many minutes.
async fn collect(world: &World, minutes: u64) {
    let wish = Wish { every: [Part::Perpetuals].into(), named: Vec::new() };
    let daemon = world.daemon_of(wish, &[Kind::Trades, Kind::Candle]).await.unwrap();
    tokio::time::sleep(Duration::from_secs(60 * minutes)).await;
    daemon.stop().await.unwrap();
}

async fn rows<T: hl_core::record::Listed>(store: &dyn Inspect, stream: StreamKey) -> Vec<T> {
    T::taken(store.rows(stream, Span::EVER).await.unwrap()).unwrap()
}

fn user(address: Address) -> User {
    User::new(&address.to_string()).unwrap()
}

fn sign(size: Decimal) -> Decimal {
    Decimal::from(i8::from(size > Decimal::ZERO) - i8::from(size < Decimal::ZERO))
}

/// Whether a trader is long, short or flat in a coin at a moment: above, below or at 0. None where that changed near it.
fn truth(world: &World, address: Address, coin: Coin, at: TimeMs) -> Option<Decimal> {
    let moved = world.sim.truth_moved(address, at - NEAR_MS, at + NEAR_MS).into_iter();
    let mut sides: Vec<Decimal> =
        moved.clone().filter(|row| row.coin == coin).map(|row| sign(row.szi)).collect();
    // What it held before is said only where that was something.
    if !moved.clone().any(|row| row.coin == coin && row.time == at - NEAR_MS) {
        sides.push(Decimal::ZERO);
    }
    sides.dedup();
    match sides[..] {
        [side] => Some(side),
        _ => None,
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_said_of_each_coin_is_what_the_traders_hold() {
    let world = world(11).await;
    collect(&world, 32).await;
    let store = SqliteStore::inspect(world.store_path()).unwrap();
    let tracked: BTreeMap<Address, Decimal> = rows::<Trader>(&store, StreamKey::Traders)
        .await
        .into_iter()
        .map(|trader| (trader.user, trader.score.unwrap_or(50.into()) / Decimal::ONE_HUNDRED))
        .collect();
    let signals = rows::<CoinSignal>(&store, StreamKey::Signals).await;
    let total: Decimal = tracked.values().sum();
    let mut compared = 0;
    for signal in &signals {
        assert_eq!((signal.strategy.as_ref(), signal.total_weight), ("consensus", total.normalize()));
        if signal.traders_unknown > 0 {
            continue;
        }
        let sides: Option<Vec<(Decimal, Decimal)>> = tracked
            .iter()
            .map(|(address, weight)| Some((truth(&world, *address, signal.coin, signal.time)?, *weight)))
            .collect();
        let Some(sides) = sides else { continue };
        let of = |side: Decimal| sides.iter().filter(move |(is, _)| *is == side);
        let bias = |side| {
            let weight: Decimal = of(side).map(|(_, weight)| *weight).sum();
            (weight / total).round_dp(4).normalize()
        };
        let (long, short) = (Decimal::ONE, Decimal::NEGATIVE_ONE);
        assert_eq!((signal.long_bias, signal.short_bias), (bias(long), bias(short)), "{signal:#?}");
        let counts = [long, short, Decimal::ZERO].map(|side| of(side).count() as u64);
        assert_eq!([signal.traders_long, signal.traders_short, signal.traders_flat], counts, "{signal:#?}");
        assert!(signal.net_exposure.is_some() && signal.withheld.is_none(), "{signal:#?}");
        assert!(signal.stale_ms.unwrap() < 60_000, "{signal:#?}");
        compared += 1;
    }
    let times = signals.iter().map(|signal| signal.time).collect::<std::collections::BTreeSet<_>>().len();
    assert!(times >= 5 && compared >= times, "{compared} of {} signals, said {times} times", signals.len());
    assert_clean(&verified(&world).await, &world.store_path());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_recommended_while_positions_are_unknown() {
    let world = world(12).await;
    // No state of an account comes, so nothing is known of what anybody holds.
    world.sim.inject(Fault::lasting(
        FaultKind::Answer(AnswerFault {
            request: Some("clearinghouseState".to_owned()),
            coin: None,
            dex: None,
            status: Some(500),
            part: None,
            without: None,
            behind_ms: None,
            frozen: false,
        }),
        3_600_000,
    ));
    collect(&world, 12).await;
    let store = SqliteStore::inspect(world.store_path()).unwrap();
    let signals = rows::<CoinSignal>(&store, StreamKey::Signals).await;
    assert!(!signals.is_empty());
    for signal in signals {
        let said = (signal.recommendation, signal.confidence, signal.withheld);
        assert_eq!(said, (None, None, Some(Withheld::Unknown)), "{}", signal.coin);
        assert_eq!((signal.stale_ms, signal.traders_flat), (None, 0));
    }
}

/// What the strategy would have said at these moments, from what the store has.
async fn backtest(store: &dyn Inspect, from: TimeMs, to: TimeMs) -> Vec<Result<Told, RowError>> {
    let choices = rows::<Trader>(store, StreamKey::Traders).await;
    let (mut positions, mut bars) = (Vec::new(), Vec::new());
    for address in choices.iter().map(|trader| trader.user) {
        let stream = StreamKey::Positions(user(address));
        let covered = store.coverage(Some(stream)).await.unwrap();
        let covered = covered.iter().map(|piece| piece.span).collect();
        positions.push(StoredPositions {
            user: address,
            rows: rows::<Position>(store, stream).await,
            covered,
        });
    }
    for row in store.streams().await.unwrap() {
        if let (StreamKey::Candle(coin, interval), Some(edge)) = (row.stream, row.edge) {
            let Records::Candles(stored) = store.rows(row.stream, Span::EVER).await.unwrap() else {
                panic!()
            };
            bars.extend(stored.iter().filter(|bar: &&Candle| bar.time < edge).map(|bar| Bar {
                coin,
                open_time: bar.time,
                close_time: bar.time + (interval.ms() - 1),
                close_px: bar.close,
            }));
        }
    }
    bars.sort_by_key(|bar| (bar.close_time, bar.coin));
    let moments = std::iter::successors(Some(from), |moment| Some(*moment + FIVE_MINUTES));
    let moments = moments.take_while(|moment| *moment <= to);
    let strategy = Consensus::new(SignalRules::default()).unwrap();
    let test = Backtest::new(from, to, FIVE_MINUTES, FIVE_MINUTES).unwrap();
    test.run(&strategy, stored_rows(&choices, positions, moments), bars).collect()
}

#[tokio::test(start_paused = true)]
async fn a_backtest_says_what_was_said_and_the_same_twice() {
    let world = world(13).await;
    collect(&world, 27).await;
    let store = SqliteStore::inspect(world.store_path()).unwrap();
    let signals = rows::<CoinSignal>(&store, StreamKey::Signals).await;
    let (first, last) = (signals.first().unwrap().time, signals.last().unwrap().time);
    let (from, to) = (first.floor(FIVE_MINUTES), last.floor(FIVE_MINUTES));
    let told = backtest(&store, from, to).await;
    assert_eq!(told, backtest(&store, from, to).await);
    let mut compared = 0;
    for told in &told {
        let Told::Said { time, signal } = told.as_ref().unwrap() else { continue };
        let live =
            signals.iter().find(|row| row.coin == signal.coin && row.time.floor(FIVE_MINUTES) == *time);
        // Where somebody traded between both moments they may differ.
        let Some(live) = live.filter(|live| live.traders_unknown == 0 && signal.basis.traders_unknown == 0)
        else {
            continue;
        };
        let weights = (signal.basis.long_bias(), signal.basis.short_bias());
        compared += usize::from(weights == (live.long_bias, live.short_bias));
    }
    assert!(compared * 2 > signals.len(), "{compared} of {} agree", signals.len());
    assert!(told.iter().any(|told| matches!(told, Ok(Told::Came { .. }))), "and bars say what came");
}
