//! Request weight over time, in virtual time on a real store: when it is booked, and when it leaves the window.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
#![cfg(test)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use hl_collectors::mono::MonoClock;
use hl_collectors::rest::{Urgency, Weights};
use hl_core::TimeMs;
use hl_core::seam::{BoxFuture, Clock as _};
use hl_core::store::{Reservation, StoreError, WeightLedger};
use hl_runtime::TokioClock;
use hl_store::{SqliteOptions, SqliteStore, Writer};
use tokio::time::{Instant, advance};

/// What the store takes for a request, ms.
const DELAY_MS: u64 = 1;
const MINUTE: Duration = Duration::from_secs(60);

/// How the ledger is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mood {
    Works,
    Fails,
    Hangs,
    /// Books, and the answer never comes.
    LosesAnswers,
}

/// A ledger that is away at times.
struct Moody {
    store: SqliteStore,
    mood: Mutex<Mood>,
}

impl Moody {
    fn be(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    fn in_its_mood<'a, T: Send + 'a>(
        &'a self,
        call: BoxFuture<'a, Result<T, StoreError>>,
    ) -> BoxFuture<'a, Result<T, StoreError>> {
        let mood = *self.mood.lock().unwrap();
        Box::pin(async move {
            match mood {
                Mood::Works => call.await,
                Mood::Fails => Err(StoreError::Temporary { step: "asking", source: "away".into() }),
                Mood::Hangs => std::future::pending().await,
                Mood::LosesAnswers => {
                    call.await?;
                    std::future::pending().await
                }
            }
        })
    }
}

impl WeightLedger for Moody {
    fn reserve<'a>(
        &'a self,
        address: &'a str,
        now: TimeMs,
        weight: u32,
        ceiling: u32,
    ) -> BoxFuture<'a, Result<Reservation, StoreError>> {
        self.in_its_mood(self.store.reserve(address, now, weight, ceiling))
    }

    fn book_spent<'a>(
        &'a self,
        address: &'a str,
        spent: &'a [(TimeMs, u32)],
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        self.in_its_mood(self.store.book_spent(address, spent))
    }
}

/// A ledger, and processes that share it.
struct World {
    clock: Arc<TokioClock>,
    ledger: Arc<Moody>,
    /// What was spent, by all of them.
    spent: Vec<(Instant, u32)>,
    _folder: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(TokioClock::starting_at(TimeMs(1_790_000_000_000)));
        let ledger = Arc::new(Moody { store: store(&folder, &clock).await, mood: Mutex::new(Mood::Works) });
        Self { clock, ledger, spent: Vec::new(), _folder: folder }
    }

    fn process(&self) -> Weights {
        let mono = MonoClock::new(self.clock.clone());
        Weights::new(self.ledger.clone(), "sim".into(), mono, self.clock.clone())
    }

    async fn take(&mut self, of: &Weights, weight: u32, limit: Duration) -> bool {
        let taken = of.take(weight, Urgency::Live, limit).await;
        if taken {
            self.spent.push((Instant::now(), weight));
        }
        taken
    }

    /// All that it gets at once.
    async fn take_all(&mut self, of: &Weights) -> u32 {
        let mut sum = 0;
        while self.take(of, 20, Duration::ZERO).await {
            sum += 20;
        }
        sum
    }

    fn spent_since(&self, since: Instant) -> u32 {
        self.spent.iter().filter(|(at, _)| *at > since).map(|(_, weight)| weight).sum()
    }

    /// The most that was spent within a minute.
    fn most(&self) -> u32 {
        let window =
            |from: Instant| self.spent.iter().filter(move |(at, _)| *at >= from && *at < from + MINUTE);
        self.spent.iter().map(|(from, _)| window(*from).map(|(_, w)| w).sum()).max().unwrap_or(0)
    }

    /// What the ledger itself holds, one more included.
    async fn booked(&self) -> u32 {
        let asked = self.ledger.store.reserve("sim", self.clock.now(), 1, u32::MAX).await.unwrap();
        match asked {
            Reservation::Granted { booked } => booked,
            Reservation::RetryAt(_) => panic!("everything fits below that"),
        }
    }
}

async fn weights(folder: &tempfile::TempDir) -> Weights {
    let clock = Arc::new(TokioClock::starting_at(TimeMs(1_790_000_000_000)));
    let store = Arc::new(store(folder, &clock).await);
    Weights::new(store, "sim".into(), MonoClock::new(clock.clone()), clock)
}

async fn store(folder: &tempfile::TempDir, clock: &Arc<TokioClock>) -> SqliteStore {
    let store = SqliteStore::open(SqliteOptions {
        path: folder.path().join("weights.db"),
        role: "test".into(),
        host: "test".into(),
        pid: std::process::id(),
        writer: Writer::Inline { delay_ms: DELAY_MS },
        clock: clock.clone(),
    });
    store.await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_was_booked_counts_for_a_minute() {
    let folder = tempfile::tempdir().unwrap();
    let weights = weights(&folder).await;
    assert_eq!(weights.used(), 0);
    assert!(weights.take(20, Urgency::Live, Duration::ZERO).await);
    advance(MINUTE / 2).await;
    assert!(weights.take(30, Urgency::Live, Duration::ZERO).await);
    assert_eq!(weights.used(), 50);
    advance(MINUTE / 2 - Duration::from_millis(DELAY_MS + 1)).await;
    assert_eq!(weights.used(), 50, "a millisecond before");
    advance(Duration::from_millis(1)).await;
    assert_eq!(weights.used(), 30);
    advance(MINUTE).await;
    assert_eq!(weights.used(), 0);
}

#[tokio::test(start_paused = true)]
async fn who_waits_long_enough_gets_in_as_soon_as_there_is_room() {
    for (short_ms, expected) in [(0, true), (1, false)] {
        let folder = tempfile::tempdir().unwrap();
        let weights = weights(&folder).await;
        let ceiling = Urgency::Backfill.ceiling();
        assert!(weights.take(40, Urgency::Backfill, Duration::ZERO).await);
        let booked = Instant::now();
        advance(Duration::from_secs(10)).await;
        assert!(weights.take(ceiling - 40, Urgency::Backfill, Duration::ZERO).await, "up to the ceiling");

        // The first booking has to leave: it makes room for as much as it weighed.
        let limit = booked + MINUTE - Instant::now() - Duration::from_millis(short_ms);
        let asked = Instant::now();
        assert_eq!(weights.take(40, Urgency::Backfill, limit).await, expected, "{short_ms} ms too short");
        if expected {
            assert_eq!(booked.elapsed(), MINUTE + Duration::from_millis(DELAY_MS));
            assert_eq!(weights.used(), ceiling);
            // And one more has to wait for the second, with or without the third.
            assert!(weights.take(1, Urgency::Backfill, MINUTE).await);
            let second = booked + Duration::from_secs(10) + Duration::from_millis(DELAY_MS);
            assert_eq!(Instant::now() - second, MINUTE + Duration::from_millis(DELAY_MS));
        } else {
            assert_eq!(asked.elapsed(), Duration::ZERO, "it is said at once");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn polls_go_on_while_the_ledger_is_away_and_are_booked_afterwards() {
    for mood in [Mood::Fails, Mood::Hangs, Mood::LosesAnswers] {
        let mut world = World::new().await;
        let process = world.process();
        // 900 a minute, as the polls are planned.
        let poll = Duration::from_millis(1_333);
        let rest = async |world: &mut World, minutes: u32| {
            let end = Instant::now() + MINUTE * minutes;
            while Instant::now() < end {
                let next = Instant::now() + poll;
                assert!(world.take(&process, 20, Duration::from_secs(3)).await, "{mood:?}");
                tokio::time::sleep_until(next).await;
            }
        };
        rest(&mut world, 2).await;
        world.ledger.be(mood);
        let away = Instant::now();
        rest(&mut world, 10).await;
        let spent = world.spent_since(away);
        assert!(spent >= 8_900, "{spent} in ten minutes, {mood:?}");
        world.ledger.be(Mood::Works);
        tokio::time::sleep(Duration::from_secs(6)).await;
        let (spent, booked) = (world.spent_since(Instant::now() - MINUTE), world.booked().await);
        assert!(spent >= 700 && booked > spent, "{booked} booked of {spent}, {mood:?}");
        assert!(booked == spent + 1 || mood == Mood::LosesAnswers, "{booked} booked of {spent}, {mood:?}");
        rest(&mut world, 2).await;
        assert!(world.most() <= Urgency::Live.ceiling(), "{mood:?}: {}", world.most());
    }
}

#[tokio::test(start_paused = true)]
async fn who_gets_no_answer_waits_no_longer_than_it_takes_to_notice() {
    let mut world = World::new().await;
    let process = world.process();
    assert!(world.take(&process, 20, Duration::ZERO).await);
    assert_eq!(process.allowance(), Urgency::Live.ceiling());
    world.ledger.be(Mood::Hangs);
    let begun = Instant::now();
    assert!(world.take(&process, 20, Duration::from_secs(3)).await);
    assert_eq!(process.allowance(), 20 + (Urgency::Live.ceiling() - 20) / 3);
    assert!(begun.elapsed() <= Duration::from_secs(3), "{:?}", begun.elapsed());
    let begun = Instant::now();
    assert!(world.take(&process, 20, Duration::ZERO).await);
    assert_eq!(begun.elapsed(), Duration::ZERO, "the next one goes at once");
}

#[tokio::test(start_paused = true)]
async fn three_processes_without_a_ledger_stay_below_the_limit_of_the_exchange() {
    for before in [[0, 0, 0], [1_140, 0, 0], [600, 300, 0], [40, 400, 600]] {
        let mut world = World::new().await;
        let processes = [world.process(), world.process(), world.process()];
        for (process, weight) in processes.iter().zip(before) {
            for _ in 0..weight / 20 {
                assert!(world.take(process, 20, Duration::ZERO).await);
            }
        }
        for process in &processes {
            // Whether there is room or not, the answer tells how full the window is.
            world.take(process, 1, Duration::ZERO).await;
        }
        world.ledger.be(Mood::Fails);
        for _ in 0..600 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            for process in &processes {
                world.take_all(process).await;
            }
        }
        assert!(world.most() <= 1_200, "{before:?}: {}", world.most());
        world.ledger.be(Mood::Works);
        for _ in 0..300 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            for process in &processes {
                world.take_all(process).await;
            }
        }
        assert!(world.most() <= 1_200, "{before:?}: {}", world.most());
        let last = world.spent_since(Instant::now() - MINUTE);
        assert_eq!(last, Urgency::Live.ceiling(), "all of it again, and no more: {before:?}");
    }
}

/// The newest trades weigh 21, a page of bars more: each more than what is left in any case.
#[tokio::test(start_paused = true)]
async fn a_process_that_has_spent_nothing_for_a_minute_sends_one_request_of_any_weight() {
    for weight in [21, 104] {
        let mut world = World::new().await;
        world.ledger.be(Mood::Fails);
        let process = world.process();
        assert!(world.take(&process, weight, Duration::ZERO).await, "{weight}");
        let first = Instant::now();
        assert!(!world.take(&process, 1, Duration::ZERO).await, "one request, {weight}");
        assert!(world.take(&process, weight, MINUTE).await, "{weight}");
        assert_eq!(first.elapsed(), MINUTE, "as soon as the first has left the window");
    }
    let mut world = World::new().await;
    world.ledger.be(Mood::Fails);
    let process = world.process();
    let more = Urgency::Live.ceiling() + 1;
    assert!(!world.take(&process, more, Duration::ZERO).await, "what the ledger would never grant");
}

#[tokio::test(start_paused = true)]
async fn one_that_starts_without_a_ledger_leaves_room_for_what_was_spent_before_it() {
    let mut world = World::new().await;
    let before = world.process();
    assert_eq!(world.take_all(&before).await, Urgency::Live.ceiling());
    drop(before);
    world.ledger.be(Mood::Fails);
    let process = world.process();
    for _ in 0..180 {
        world.take_all(&process).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(world.most() <= 1_200, "{}", world.most());
    assert!(world.spent_since(Instant::now() - 2 * MINUTE) >= 360, "then it collects");
}
