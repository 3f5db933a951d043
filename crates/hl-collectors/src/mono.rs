//! The monotonic clock in milliseconds, and the shared estimate of exchange time on it.

use std::num::NonZeroI64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hl_core::TimeMs;
use hl_core::exchange_time::{ExchangeTime, Voice};
use hl_core::seam::Clock;
use hl_core::timeline::ClockReading;
use tokio::time::Instant;

/// For so long after the start the exchange may be silent about what time it is before the system clock's word is taken for
/// what bears no time, ms.
const UNTIMED_WAIT_MS: i64 = 60_000;

/// A system clock that is this far ahead of the estimate of exchange time is wrong, ns: the fastest delivery takes less.
const LATE_NS: i64 = 2_000_000_000;

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
        self.estimate().now(self.now())
    }

    /// What `received` is made of: nanoseconds UTC, of the system clock as long as the exchange's own times do not contradict
    /// it. No frame is received before the time that it bears, and none long after; where the system clock says so it is wrong,
    /// and the estimate counts, which is early by the fastest delivery seen.
    #[must_use]
    pub fn received(&self) -> Option<NonZeroI64> {
        let (system, estimate) = (self.system.nanos(), self.exchange().0.saturating_mul(1_000_000));
        let is_right = (estimate..estimate.saturating_add(LATE_NS)).contains(&system);
        NonZeroI64::new(if is_right { system } else { estimate })
    }

    /// How far the exchange's clock is ahead of this one now; none before the exchange has said what time it is. A system clock
    /// that is a little fast has no part in it.
    #[must_use]
    pub fn reading(&self) -> Option<ClockReading> {
        self.estimate().learnt().map(|ahead| ClockReading { mono: self.now(), ahead })
    }

    /// Whether the exchange has said what time it is: until then nothing proves that a time has come.
    #[must_use]
    pub fn is_learnt(&self) -> bool {
        self.estimate().is_learnt()
    }

    /// Whether what bears no time would be stamped by the system clock alone. That may be wrong by hours, and a time line never
    /// goes back: for a minute the exchange's word is waited for.
    #[must_use]
    pub fn awaits_time(&self) -> bool {
        !self.is_learnt() && self.now() < UNTIMED_WAIT_MS
    }

    /// A stamp of the exchange arrived just now.
    pub fn observe(&self, voice: Voice, stamp: TimeMs) {
        self.estimate().observe(voice, stamp, self.now(), self.system.now());
    }

    /// The exchange said what time it is, because it was asked; the answer took so long, ms.
    pub fn learn(&self, stamp: TimeMs, took_ms: i64) {
        self.estimate().answered(stamp, self.now(), took_ms, self.system.now());
    }

    /// Whether a stamp is not from the future. A time line never goes back, so a single record that is would cost all that
    /// comes until then.
    #[must_use]
    pub fn can_be(&self, stamp: TimeMs) -> bool {
        self.estimate().can_be(stamp, self.now(), self.system.now())
    }

    /// Whether the exchange is to be asked what time it is; saying yes counts as asking. `timeless`: streams are collected
    /// whose frames bear no time.
    #[must_use]
    pub fn asks(&self, timeless: bool) -> bool {
        self.estimate().asks(self.now(), timeless)
    }

    /// Something of the exchange changed that bears no time.
    pub(crate) fn changed(&self) {
        self.estimate().changed(self.now());
    }

    /// Up to when the exchange went on, where it stands still.
    pub(crate) fn stands_since(&self) -> Option<TimeMs> {
        self.estimate().stands_since()
    }

    fn estimate(&self) -> MutexGuard<'_, ExchangeTime> {
        self.exchange.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
