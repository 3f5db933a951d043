//! The order in which the exchange sent the rows of one time, within one subscription.
//!
//! The exchange sends trades of one block in the order of their execution, in one frame or in several, and nothing in a trade
//! says which came first. So each is numbered as it comes. A subscription may begin inside a block, of which an earlier one
//! has brought the beginning: what it brings of that block is numbered from [`INSIDE`] on, behind all of that.

use std::num::NonZeroI64;

use hl_core::record::Record;
use hl_core::row::Arrival;
use hl_core::{Records, TimeMs, for_records};

/// The place of the first row of a subscription.
const INSIDE: u32 = 1_000_000;

/// The newest time of a subscription's rows, and the place of the next one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Order(Option<(TimeMs, u32)>);

impl Order {
    /// Says of each record when it was received, and which place it has among those of its time.
    pub(super) fn stamp(&mut self, records: &mut Records, received: Option<NonZeroI64>) {
        for_records!(records, r => r.iter_mut().for_each(|record| self.stamp_one(record, received)));
    }

    fn stamp_one(&mut self, record: &mut impl Record, received: Option<NonZeroI64>) {
        let seq = record.arrival().seq.or_else(|| self.place(record.time()));
        record.set_arrival(Arrival { received, seq });
    }

    fn place(&mut self, time: TimeMs) -> Option<u32> {
        let place = match self.0 {
            None => INSIDE,
            // Late: what was sent with it is long gone.
            Some((newest, _)) if time < newest => return None,
            Some((newest, next)) if time == newest => next,
            Some(_) => 0,
        };
        self.0 = Some((time, place.saturating_add(1)));
        Some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(order: &mut Order, times: &[i64]) -> Vec<Option<u32>> {
        times.iter().map(|time| order.place(TimeMs(*time))).collect()
    }

    #[test]
    fn a_block_is_numbered_from_its_beginning_over_all_of_its_frames() {
        let mut order = Order::default();
        let first = [Some(INSIDE), Some(INSIDE + 1), Some(0), Some(1)];
        assert_eq!(
            places(&mut order, &[5, 5, 7, 7]),
            first,
            "of 5 an earlier subscription may have brought some"
        );
        assert_eq!(places(&mut order, &[7, 9]), [Some(2), Some(0)], "7 went on");
        assert_eq!(places(&mut order, &[7, 9]), [None, Some(1)], "a late one has no place, and takes none");
    }
}
