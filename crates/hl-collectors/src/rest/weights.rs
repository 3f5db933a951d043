//! Request weight: booked in the store, so that every process of one address on it stays inside the limit together.
//!
//! While the store does not answer, collecting goes on: a process then goes by its own window, up to what the last answer
//! of the store leaves it, and books what it spent once the store answers again. Where that is less than a request weighs,
//! it sends one a minute.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hl_core::seam::Clock;
use hl_core::store::{Reservation, WeightLedger};
use hl_core::{TimeMs, limits};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::mono::MonoClock;

/// How much of what the exchange grants a minute a request may fill the window up to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Urgency {
    /// A stream without an owner's data depends on it, or what there is to collect.
    Live,
    /// A question that decides who owns a stream.
    Question,
    /// What a tracked trader holds is not known.
    Positions,
    /// The past can wait.
    Backfill,
    /// What is known of a tracked trader is looked at again.
    Proof,
}

impl Urgency {
    /// The window may be filled up to this.
    #[must_use]
    pub fn ceiling(self) -> u32 {
        match self {
            Self::Live => limits::LIVE_WEIGHT,
            Self::Question => limits::QUESTION_WEIGHT,
            Self::Positions => limits::POSITIONS_WEIGHT,
            Self::Backfill => limits::BACKFILL_WEIGHT,
            Self::Proof => limits::PROOF_WEIGHT,
        }
    }
}

const MINUTE_MS: i64 = 60_000;
/// A ledger that takes longer than this to answer is away.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);
/// How often a ledger that is away is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// While the ledger is away, a process adds to what it spent when the ledger last answered one part in so many of what was
/// free then: so many processes of one address may begin to poll in the same moment.
const SHARERS: u32 = 3;
/// What a process may plan to spend a minute in any case: its part of what lies between the exchange's limit and the highest
/// ceiling. Most requests weigh more: see [`Window::spend_alone`].
const LEAST: u32 = (limits::WEIGHT - limits::LIVE_WEIGHT) / SHARERS;

/// Whether the ledger can be asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ledger {
    /// It answers: every request is booked before it is sent. Goes to `Away` when it fails or is late.
    Answers,
    /// It does not: requests go by this process's own window, and are owed to the ledger. Goes to `Answers` once all that
    /// is owed is booked.
    Away,
}

/// What a request weighed.
#[derive(Clone, Copy, Debug)]
struct Spent {
    number: u64,
    /// When, by a clock that does not step.
    at: i64,
    weight: u32,
    /// Whether the ledger does not have it yet.
    owed: bool,
}

/// What the ledger last said.
#[derive(Clone, Copy, Debug)]
struct Answer {
    /// What this process had spent in the last minute.
    own: u32,
    /// What all processes of the address had booked.
    all: u32,
}

impl Answer {
    /// What this process may spend a minute by itself.
    fn allows(self, ceiling: u32) -> u32 {
        let share = self.own + ceiling.saturating_sub(self.all) / SHARERS;
        share.clamp(LEAST, ceiling)
    }
}

/// What this process spent in the last minute, oldest first. A system clock that steps forward empties the store's window,
/// not this one.
#[derive(Debug)]
struct Window {
    spent: VecDeque<Spent>,
    /// How many requests there were.
    count: u64,
    ledger: Ledger,
    said: Option<Answer>,
}

impl Window {
    fn spend(&mut self, at: i64, weight: u32, owed: bool) {
        self.count += 1;
        self.spent.push_back(Spent { number: self.count, at, weight, owed });
    }

    fn sum(&self) -> u32 {
        self.spent.iter().map(|spent| spent.weight).sum()
    }

    /// How long it takes until there is room for the weight below `ceiling`; none where there is.
    fn full(&self, now: i64, weight: u32, ceiling: u32) -> Option<Duration> {
        let mut excess = (self.sum() + weight).checked_sub(ceiling).filter(|excess| *excess > 0)?;
        let leaving = self.spent.iter().find(|spent| {
            excess = excess.saturating_sub(spent.weight);
            excess == 0
        });
        // More than the ceiling at once never fits.
        let ms = leaving.map_or(MINUTE_MS, |spent| spent.at + MINUTE_MS - now);
        Some(Duration::from_millis(u64::try_from(ms).unwrap_or(0).max(1)))
    }

    /// What this process may spend a minute by itself.
    fn allowance(&self, now: i64, ceiling: u32) -> u32 {
        match self.said {
            Some(said) => said.allows(ceiling),
            // What an earlier process of this address spent before it ended is not known, until it has left every window.
            None if now < MINUTE_MS => LEAST,
            None => Answer { own: 0, all: 0 }.allows(ceiling),
        }
    }

    /// Spends without the ledger, or says how long to wait for room. A window that is empty has room for any request that
    /// the ledger might grant: one that weighs more than the allowance would never be sent otherwise.
    fn spend_alone(&mut self, now: i64, weight: u32, ceiling: u32) -> Option<Duration> {
        let allowance = match self.spent.is_empty() {
            true => ceiling,
            false => self.allowance(now, ceiling),
        };
        let wait = self.full(now, weight, allowance);
        if wait.is_none() {
            self.spend(now, weight, true);
        }
        wait
    }
}

struct Inner {
    ledger: Arc<dyn WeightLedger>,
    address: String,
    mono: MonoClock,
    /// The system clock, which all processes of one machine share: estimates of exchange time differ.
    clock: Arc<dyn Clock>,
    window: Mutex<Window>,
    /// Until when a request waits for room.
    waits_until: Mutex<Option<Instant>>,
}

/// The weight ledger of one address, as one process sees it.
#[derive(Clone)]
pub struct Weights {
    inner: Arc<Inner>,
    /// Asks a ledger that is away, until it answers; ends with the last handle.
    asking: Arc<Mutex<JoinSet<()>>>,
}

impl Weights {
    /// The ledger that a store keeps under `address`: the network and the local address requests go out from.
    #[must_use]
    pub fn new(
        ledger: Arc<dyn WeightLedger>,
        address: String,
        mono: MonoClock,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let window = Window { spent: VecDeque::new(), count: 0, ledger: Ledger::Answers, said: None };
        let (window, waits_until) = (Mutex::new(window), Mutex::default());
        let inner = Inner { ledger, address, mono, clock, window, waits_until };
        Self { inner: Arc::new(inner), asking: Arc::default() }
    }

    /// Waits until the weight is booked, or may be spent without; `false` where that would take longer than `limit`.
    pub async fn take(&self, weight: u32, urgency: Urgency, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        while let Some(wait) = self.book(weight, urgency.ceiling()).await {
            let again = Instant::now() + wait;
            if again > deadline {
                return false;
            }
            *self.inner.waits_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(again);
            tokio::time::sleep_until(again).await;
        }
        true
    }

    /// Until when a request waits for room in the window, where that lies ahead. There may be none then, and longer to wait.
    #[must_use]
    pub fn waits_until(&self) -> Option<Instant> {
        let until = *self.inner.waits_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.filter(|until| *until > Instant::now())
    }

    /// Books the weight, or says how long to wait before the next attempt.
    async fn book(&self, weight: u32, ceiling: u32) -> Option<Duration> {
        let inner = &self.inner;
        {
            let mut window = inner.window();
            if window.ledger == Ledger::Away {
                return window.spend_alone(inner.mono.now(), weight, ceiling);
            }
            if let Some(wait) = window.full(inner.mono.now(), weight, ceiling) {
                return Some(wait);
            }
        }
        let now = inner.clock.now();
        let asked =
            tokio::time::timeout(ANSWER_LIMIT, inner.ledger.reserve(&inner.address, now, weight, ceiling));
        let reason = match asked.await {
            Ok(Ok(Reservation::Granted { booked })) => return inner.granted(weight, ceiling, booked),
            Ok(Ok(Reservation::RetryAt(at))) => {
                let mut window = inner.window();
                window.said = Some(Answer { own: window.sum(), all: ceiling });
                let wait = u64::try_from(at.since(now)).unwrap_or(0).max(50);
                return Some(Duration::from_millis(wait));
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it does not answer in time".to_owned(),
        };
        let mut window = inner.window();
        if std::mem::replace(&mut window.ledger, Ledger::Away) == Ledger::Answers {
            warn!(
                reason,
                allowance = window.allowance(inner.mono.now(), ceiling),
                "the weight ledger cannot be reached: requests go by what this process spends, and are booked later"
            );
            self.keep_asking();
        }
        window.spend_alone(inner.mono.now(), weight, ceiling)
    }

    fn keep_asking(&self) {
        let mut asking = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
        while asking.try_join_next().is_some() {}
        let inner = Arc::clone(&self.inner);
        asking.spawn(async move {
            loop {
                tokio::time::sleep(ASK_AGAIN).await;
                if inner.settle().await {
                    return;
                }
            }
        });
    }

    /// How much a minute this process may spend on live streams: less than usual while the ledger is away.
    #[must_use]
    pub fn allowance(&self) -> u32 {
        let (window, ceiling) = (self.inner.window(), Urgency::Live.ceiling());
        match window.ledger {
            Ledger::Answers => ceiling,
            Ledger::Away => window.allowance(self.inner.mono.now(), ceiling),
        }
    }

    /// How much this process spent in the last minute.
    #[must_use]
    pub fn used(&self) -> u32 {
        self.inner.window().sum()
    }
}

impl Inner {
    /// What this process spent in the last minute.
    fn window(&self) -> MutexGuard<'_, Window> {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let minute_ago = self.mono.now() - MINUTE_MS;
        while window.spent.front().is_some_and(|spent| spent.at <= minute_ago) {
            window.spent.pop_front();
        }
        window
    }

    /// The ledger has booked it. Others of this process may have spent something meanwhile, without it.
    fn granted(&self, weight: u32, ceiling: u32, booked: u32) -> Option<Duration> {
        let (mut window, now) = (self.window(), self.mono.now());
        let wait = window.full(now, weight, ceiling);
        if wait.is_none() {
            window.spend(now, weight, false);
            window.said = Some(Answer { own: window.sum(), all: booked });
        }
        wait
    }

    /// Books what was spent while the ledger was away. Whether it answers, and has all of it by now.
    async fn settle(&self) -> bool {
        // With nothing first: what is booked without an answer would be booked again, and keep this process waiting.
        if !self.booked(&[]).await {
            return false;
        }
        loop {
            let (last, owed) = self.owed();
            if !self.booked(&owed).await {
                return false;
            }
            let mut window = self.window();
            for spent in window.spent.iter_mut().filter(|spent| spent.number <= last) {
                spent.owed = false;
            }
            if !window.spent.iter().any(|spent| spent.owed) {
                window.ledger = Ledger::Answers;
                info!(
                    booked = window.sum(),
                    "the weight ledger answers again, and has what was spent meanwhile"
                );
                return true;
            }
        }
    }

    /// Whether the ledger took it.
    async fn booked(&self, spent: &[(TimeMs, u32)]) -> bool {
        let booking = self.ledger.book_spent(&self.address, spent);
        match tokio::time::timeout(ANSWER_LIMIT, booking).await {
            Ok(Ok(())) => return true,
            Ok(Err(error)) => debug!(%error, "the weight ledger cannot be reached yet"),
            Err(_) => debug!("the weight ledger does not answer yet"),
        }
        false
    }

    /// What the ledger lacks, up to the request of this number: when it was by the system clock, as the ledger counts.
    fn owed(&self) -> (u64, Vec<(TimeMs, u32)>) {
        let (window, now, system) = (self.window(), self.mono.now(), self.clock.now());
        let owed = window.spent.iter().filter(|spent| spent.owed);
        (window.count, owed.map(|spent| (system - (now - spent.at), spent.weight)).collect())
    }
}
