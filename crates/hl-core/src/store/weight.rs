//! The ledger of request weight.

use super::StoreError;
use super::layer::role;
use crate::TimeMs;
use crate::seam::BoxFuture;

/// The answer of the weight ledger.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Reservation {
    /// The weight is booked.
    Granted {
        /// All that the window holds by now, this weight included.
        booked: u32,
    },
    /// The window is full; ask again at this time.
    RetryAt(TimeMs),
}

role! {
    /// The ledger of request weight: one sliding window of 60 s an address, all processes on the store together.
    pub trait WeightLedger {
        /// Books weight in the window of `address` when the sum stays at or below `ceiling`.
        fn reserve<'a>(
            &'a self,
            address: &'a str,
            now: TimeMs,
            weight: u32,
            ceiling: u32,
        ) -> BoxFuture<'a, Result<Reservation, StoreError>>;

        /// Books what was spent at these times without a reservation, whatever the window holds. Repeated it counts again: a
        /// caller that does not know whether it was booked books too much rather than too little.
        fn book_spent<'a>(
            &'a self,
            address: &'a str,
            spent: &'a [(TimeMs, u32)],
        ) -> BoxFuture<'a, Result<(), StoreError>>;
    }
}
