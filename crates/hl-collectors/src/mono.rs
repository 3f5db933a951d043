//! The monotonic clock in milliseconds, and the shared estimate of exchange time on it.

use std::sync::{Arc, Mutex, PoisonError};

use hl_core::TimeMs;
use hl_core::exchange_time::ExchangeTime;
use hl_core::seam::Clock;
use tokio::time::Instant;

/// Milliseconds since the process began, on tokio's clock; and what time it is at the exchange.
#[derive(Clone)]
pub struct MonoClock {
    zero: Instant,
    exchange: Arc<Mutex<ExchangeTime>>,
}

impl MonoClock {
    /// Starts at 0 now, with the system clock as the first guess of exchange time.
    #[must_use]
    pub fn new(system: &dyn Clock) -> Self {
        Self { zero: Instant::now(), exchange: Arc::new(Mutex::new(ExchangeTime::new(system.now(), 0))) }
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

    /// A stamp of the exchange arrived just now.
    pub fn observe(&self, stamp: TimeMs) {
        self.exchange.lock().unwrap_or_else(PoisonError::into_inner).observe(stamp, self.now());
    }
}
