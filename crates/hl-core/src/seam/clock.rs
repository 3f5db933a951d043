use crate::TimeMs;

/// Wall time. Durations come from tokio's clock, which a simulation can pause and drive; this trait is only for
/// "what time is it", and may jump either way when an operator steps the system clock.
pub trait Clock: Send + Sync + 'static {
    /// Now, in nanoseconds UTC.
    fn nanos(&self) -> i64;

    /// Now, in milliseconds UTC.
    fn now(&self) -> TimeMs {
        TimeMs(self.nanos().div_euclid(1_000_000))
    }
}
