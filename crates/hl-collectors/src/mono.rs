//! The monotonic clock in milliseconds, and the shared estimate of exchange time on it.

use std::sync::{Arc, Mutex, PoisonError};

use hl_core::TimeMs;
use hl_core::exchange_time::ExchangeTime;
use hl_core::seam::Clock;
use tokio::time::Instant;

/// How far a stamp may lie ahead of what is known of the time, ms: a day, since a machine that slept knows less.
const AHEAD_MS: i64 = 86_400_000;

/// Milliseconds since the process began, on tokio's clock; and what time it is at the exchange.
#[derive(Clone)]
pub struct MonoClock {
    zero: Instant,
    system: Arc<dyn Clock>,
    exchange: Arc<Mutex<ExchangeTime>>,
}

impl MonoClock {
    /// Starts at 0 now, with the system clock as the first guess of exchange time.
    #[must_use]
    pub fn new(system: Arc<dyn Clock>) -> Self {
        let exchange = Arc::new(Mutex::new(ExchangeTime::new(system.now(), 0)));
        Self { zero: Instant::now(), system, exchange }
    }

    /// Milliseconds since the start.
    #[must_use]
    pub fn now(&self) -> i64 {
        i64::try_from(self.zero.elapsed().as_millis()).unwrap_or(i64::MAX)
    }

    /// The instant of a point of this clock.
    #[must_use]
    pub fn instant(&self, mono: i64) -> Instant {
        self.zero + std::time::Duration::from_millis(u64::try_from(mono).unwrap_or(0))
    }

    /// Exchange time now, a low estimate.
    #[must_use]
    pub fn exchange(&self) -> TimeMs {
        self.exchange.lock().unwrap_or_else(PoisonError::into_inner).now(self.now())
    }

    /// Whether the exchange has said what time it is: until then nothing proves that a time has come.
    #[must_use]
    pub fn is_learnt(&self) -> bool {
        self.exchange.lock().unwrap_or_else(PoisonError::into_inner).is_learnt()
    }

    /// A stamp of the exchange arrived just now. One that cannot be teaches nothing.
    pub fn observe(&self, stamp: TimeMs) {
        if self.can_be(stamp) {
            self.learn(stamp);
        }
    }

    /// The exchange said what time it is, because it was asked.
    pub fn learn(&self, stamp: TimeMs) {
        self.exchange.lock().unwrap_or_else(PoisonError::into_inner).observe(stamp, self.now());
    }

    /// Whether a stamp is not from the future, going by the exchange and by the system clock. A time line never goes
    /// back, so a single record of the year 2100 would end it.
    #[must_use]
    pub fn can_be(&self, stamp: TimeMs) -> bool {
        stamp <= self.exchange() + AHEAD_MS || stamp <= self.system.now() + AHEAD_MS
    }
}

#[cfg(test)]
mod tests {
    use hl_runtime::TokioClock;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_stamp_from_the_future_teaches_nothing() {
        let start = TimeMs(1_790_000_000_000);
        let mono = MonoClock::new(Arc::new(TokioClock::starting_at(start)));
        mono.observe(TimeMs::MAX);
        mono.observe(start + 2 * AHEAD_MS);
        assert_eq!(mono.exchange(), start);
        mono.observe(start + 1_000);
        assert_eq!(mono.exchange(), start + 1_000);
        mono.learn(start + 2 * AHEAD_MS);
        assert_eq!(mono.exchange(), start + 2 * AHEAD_MS, "a system clock that is days behind is overruled");
    }
}
