//! Traders: addresses, positions that follow from the trades alone, and what each of them did.

use std::collections::{BTreeMap, VecDeque};

use hl_core::record::{Address, Side};

use super::num::mix;

/// The exchange knows only this many fills of a user.
const FILLS: usize = 10_000;
/// And this many order updates.
const ORDERS: usize = 2_000;
/// Funding payments kept of a user.
const PAYMENTS: usize = 20_000;

/// A position in one market. Integers: size units, ticks times size units.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Position {
    /// Signed size.
    pub(crate) szi: i64,
    /// What the open size cost, unsigned.
    pub(crate) cost: i64,
    pub(crate) realized: i64,
    pub(crate) taken: i64,
    pub(crate) made: i64,
    /// Funding paid since the start, in notional units.
    pub(crate) funding: i64,
    /// Funding paid since the position was opened.
    pub(crate) funding_since_open: i64,
    /// What the exchange closed for him, in notional units.
    pub(crate) liquidated: i64,
}

/// What a fill did to a position.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effect {
    pub(crate) start: i64,
    /// Profit realised, notional units.
    pub(crate) pnl: i64,
}

impl Position {
    /// Applies a signed fill at `px` ticks.
    pub(crate) fn apply(&mut self, px: i64, signed: i64, taker: bool) -> Effect {
        let start = self.szi;
        let notional = px * signed.abs();
        if taker {
            self.taken += notional;
        } else {
            self.made += notional;
        }
        let mut pnl = 0;
        if start != 0 && (start > 0) != (signed > 0) {
            let closed = start.abs().min(signed.abs());
            // Wide: a large cost times a large size does not fit 64 bits.
            let cost = (i128::from(self.cost) * i128::from(closed) / i128::from(start.abs())) as i64;
            pnl = (px * closed - cost) * start.signum();
            self.cost -= cost;
            self.cost += px * (signed.abs() - closed);
        } else {
            self.cost += notional;
        }
        self.szi = start + signed;
        self.realized += pnl;
        if self.szi == 0 || (self.szi > 0) != (start > 0) {
            self.funding_since_open = 0;
        }
        Effect { start, pnl }
    }
}

/// Where a trade lies: its market, and its number there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TradeRef {
    pub(crate) market: usize,
    pub(crate) seq: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum OrderStatus {
    Open,
    Filled,
    Canceled,
}

impl OrderStatus {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Filled => "filled",
            Self::Canceled => "canceled",
        }
    }
}

/// An order changed its status.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OrderEvent {
    pub(crate) trader: u32,
    pub(crate) market: usize,
    pub(crate) oid: u64,
    pub(crate) side: Side,
    pub(crate) px: i64,
    pub(crate) sz: i64,
    pub(crate) orig_sz: i64,
    pub(crate) created: i64,
    pub(crate) status: OrderStatus,
    pub(crate) time: i64,
    /// Immediate or cancel: a taker's.
    pub(crate) ioc: bool,
}

/// One funding payment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Payment {
    pub(crate) time: i64,
    pub(crate) market: usize,
    pub(crate) szi: i64,
    pub(crate) rate: i64,
    /// Received, in notional units; negative where paid.
    pub(crate) amount: i64,
}

#[derive(Debug)]
pub(crate) struct Trader {
    pub(crate) address: Address,
    /// USD deposited before anything else.
    pub(crate) deposit: i64,
    pub(crate) positions: BTreeMap<usize, Position>,
    pub(crate) fills: VecDeque<TradeRef>,
    pub(crate) orders: VecDeque<OrderEvent>,
    pub(crate) payments: VecDeque<Payment>,
}

impl Trader {
    pub(crate) fn new(seed: u64, index: usize) -> Self {
        let mut address = [0; 20];
        for (i, chunk) in address.chunks_mut(8).enumerate() {
            let word = mix(seed ^ mix((index * 4 + i) as u64)).to_be_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
        let deposit = 500_000 + (mix(seed ^ index as u64) % 50_000_000) as i64;
        Self {
            address: hl_core::record::HexBytes(address),
            deposit,
            positions: BTreeMap::new(),
            fills: VecDeque::new(),
            orders: VecDeque::new(),
            payments: VecDeque::new(),
        }
    }

    pub(crate) fn szi(&self, market: usize) -> i64 {
        self.positions.get(&market).map_or(0, |p| p.szi)
    }

    pub(crate) fn push_fill(&mut self, fill: TradeRef) {
        // A self-trade would name the same trade twice; makers and takers are different traders, so none exists.
        bounded(&mut self.fills, fill, FILLS);
    }

    pub(crate) fn push_order(&mut self, event: OrderEvent) {
        bounded(&mut self.orders, event, ORDERS);
    }

    pub(crate) fn push_payment(&mut self, payment: Payment) {
        bounded(&mut self.payments, payment, PAYMENTS);
    }
}

pub(crate) fn bounded<T>(queue: &mut VecDeque<T>, item: T, most: usize) {
    if queue.len() == most {
        queue.pop_front();
    }
    queue.push_back(item);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Profit over a round trip is what was sold minus what was bought, however it was cut.
        #[test]
        fn a_flat_position_has_realised_everything(fills in prop::collection::vec((1_i64..1_000, -50_i64..50), 1..40)) {
            let mut position = Position::default();
            let mut cash = 0;
            let mut net = 0;
            for (px, signed) in fills.iter().copied().filter(|f| f.1 != 0) {
                position.apply(px, signed, true);
                cash -= px * signed;
                net += signed;
                prop_assert_eq!(position.szi, net);
                prop_assert!(position.cost >= 0);
            }
            position.apply(500, -net, true);
            if net != 0 {
                cash += 500 * net;
            }
            prop_assert_eq!(position.szi, 0);
            prop_assert_eq!(position.cost, 0);
            prop_assert_eq!(position.realized, cash);
        }
    }
}
