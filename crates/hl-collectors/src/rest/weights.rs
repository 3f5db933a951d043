//! Request weight: booked in the store, so that every process of one address on it stays inside the limit together.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hl_core::seam::Clock;
use hl_core::store::{Reservation, Store};
use tokio::time::Instant;
use tracing::warn;

use crate::mono::MonoClock;

/// How much of the exchange's 1,200 a minute a request may fill the window up to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Urgency {
    /// A stream without an owner's data depends on it.
    Live,
    /// A question that decides who owns a stream, or what there is to collect.
    Question,
    /// The past can wait.
    Backfill,
}

impl Urgency {
    /// The window may be filled up to this.
    #[must_use]
    pub fn ceiling(self) -> u32 {
        match self {
            Self::Live => 1_140,
            Self::Question => 1_000,
            Self::Backfill => 700,
        }
    }
}

/// The weight ledger of one address.
#[derive(Clone)]
pub struct Weights {
    store: Arc<dyn Store>,
    address: String,
    mono: MonoClock,
    /// The system clock, which all processes of one machine share: estimates of exchange time differ.
    clock: Arc<dyn Clock>,
    /// What this process booked in the last minute: when, by a clock that does not step, and how much. A system clock
    /// that steps forward empties the store's window, not this one.
    booked: Arc<Mutex<VecDeque<(i64, u32)>>>,
    /// Until when somebody waits for room.
    waits_until: Arc<Mutex<Option<Instant>>>,
}

const MINUTE_MS: i64 = 60_000;

impl Weights {
    /// The ledger that `store` keeps under `address`: the network and the local address requests go out from.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, address: String, mono: MonoClock, clock: Arc<dyn Clock>) -> Self {
        Self { store, address, mono, clock, booked: Arc::default(), waits_until: Arc::default() }
    }

    /// Waits until the weight is booked; `false` where that would take longer than `limit`.
    pub async fn take(&self, weight: u32, urgency: Urgency, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        while let Some(wait) = self.book(weight, urgency.ceiling()).await {
            let again = Instant::now() + wait;
            if again > deadline {
                return false;
            }
            *self.waits_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(again);
            tokio::time::sleep_until(again).await;
        }
        true
    }

    /// Until when somebody waits for room in the window, where that lies ahead. There may be none then, and longer to wait.
    #[must_use]
    pub fn waits_until(&self) -> Option<Instant> {
        let until = *self.waits_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.filter(|until| *until > Instant::now())
    }

    /// Books the weight, or says how long to wait before the next attempt.
    async fn book(&self, weight: u32, ceiling: u32) -> Option<Duration> {
        if let Some(wait) = self.full(weight, ceiling) {
            return Some(wait);
        }
        let now = self.clock.now();
        let wait = match self.store.reserve(&self.address, now, weight, ceiling).await {
            Ok(Reservation::Granted) => {
                self.booked().push_back((self.mono.now(), weight));
                return None;
            }
            Ok(Reservation::RetryAt(at)) => u64::try_from(at.since(now)).unwrap_or(0).max(50),
            Err(error) => {
                // Better slow than blind: without the ledger nobody knows what other processes spend.
                warn!(%error, "the weight ledger cannot be reached");
                1_000
            }
        };
        Some(Duration::from_millis(wait))
    }

    /// How long it takes until this process has room for the weight; none where it has.
    fn full(&self, weight: u32, ceiling: u32) -> Option<Duration> {
        let booked = self.booked();
        let mut excess = (sum(&booked) + weight).checked_sub(ceiling).filter(|excess| *excess > 0)?;
        let (at, _) = booked.iter().find(|(_, leaving)| {
            excess = excess.saturating_sub(*leaving);
            excess == 0
        })?;
        let ms = u64::try_from(at + MINUTE_MS - self.mono.now()).unwrap_or(0);
        Some(Duration::from_millis(ms.max(1)))
    }

    /// What this process booked in the last minute.
    fn booked(&self) -> MutexGuard<'_, VecDeque<(i64, u32)>> {
        let mut booked = self.booked.lock().unwrap_or_else(PoisonError::into_inner);
        let minute_ago = self.mono.now() - MINUTE_MS;
        while booked.front().is_some_and(|(at, _)| *at <= minute_ago) {
            booked.pop_front();
        }
        booked
    }

    /// How much this process booked in the last minute.
    #[must_use]
    pub fn used(&self) -> u32 {
        sum(&self.booked())
    }
}

fn sum(booked: &VecDeque<(i64, u32)>) -> u32 {
    booked.iter().map(|(_, weight)| weight).sum()
}
