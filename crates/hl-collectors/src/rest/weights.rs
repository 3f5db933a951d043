//! Request weight: booked in the store, so that every process of one address on it stays inside the limit together.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
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
    /// What this process booked in the last minute, for people: when, and how much.
    booked: Arc<Mutex<VecDeque<(i64, u32)>>>,
}

const MINUTE_MS: i64 = 60_000;

impl Weights {
    /// The ledger that `store` keeps under `address`: the network and the local address requests go out from.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, address: String, mono: MonoClock, clock: Arc<dyn Clock>) -> Self {
        Self { store, address, mono, clock, booked: Arc::default() }
    }

    /// Waits until the weight is booked; `false` where that would take longer than `limit`.
    pub async fn take(&self, weight: u32, urgency: Urgency, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        loop {
            let now = self.clock.now();
            let wait = match self.store.reserve(&self.address, now, weight, urgency.ceiling()).await {
                Ok(Reservation::Granted) => {
                    let mut booked = self.booked.lock().unwrap_or_else(PoisonError::into_inner);
                    booked.push_back((self.mono.now(), weight));
                    let minute_ago = self.mono.now() - MINUTE_MS;
                    while booked.front().is_some_and(|(at, _)| *at <= minute_ago) {
                        booked.pop_front();
                    }
                    return true;
                }
                Ok(Reservation::RetryAt(at)) => u64::try_from(at.since(now)).unwrap_or(0).max(50),
                Err(error) => {
                    // Better slow than blind: without the ledger nobody knows what other processes spend.
                    warn!(%error, "the weight ledger cannot be reached");
                    1_000
                }
            };
            let wait = Duration::from_millis(wait);
            if Instant::now() + wait > deadline {
                return false;
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// What this process booked in the last minute.
    #[must_use]
    pub fn used(&self) -> u32 {
        let minute_ago = self.mono.now() - MINUTE_MS;
        let booked = self.booked.lock().unwrap_or_else(PoisonError::into_inner);
        booked.iter().filter(|(at, _)| *at > minute_ago).map(|(_, weight)| weight).sum()
    }
}
