//! A price-time book: what rests, who owns it, and who is hit first.

use std::collections::{BTreeMap, VecDeque};

use hl_core::record::Side;

/// Levels of a retained snapshot.
pub(crate) const DEPTH: usize = 20;

/// A resting order.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) oid: u64,
    pub(crate) trader: u32,
    /// What is left, size units.
    pub(crate) sz: i64,
    pub(crate) orig_sz: i64,
    pub(crate) time: i64,
}

#[derive(Clone, Default, Debug)]
struct Queue {
    orders: VecDeque<Order>,
    total: i64,
}

/// One aggregated level: ticks, size units, number of orders.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Level {
    pub(crate) px: i64,
    pub(crate) sz: i64,
    pub(crate) n: u32,
}

/// One resting order was hit.
#[derive(Clone, Debug)]
pub(crate) struct Hit {
    pub(crate) px: i64,
    pub(crate) sz: i64,
    /// The order after the hit; `sz == 0` where it is gone.
    pub(crate) maker: Order,
}

/// The resting orders of one market. Prices are ticks.
#[derive(Default, Debug)]
pub(crate) struct OrderBook {
    bids: BTreeMap<i64, Queue>,
    asks: BTreeMap<i64, Queue>,
}

impl OrderBook {
    fn side(&self, side: Side) -> &BTreeMap<i64, Queue> {
        if side == Side::Buy { &self.bids } else { &self.asks }
    }

    fn side_mut(&mut self, side: Side) -> &mut BTreeMap<i64, Queue> {
        if side == Side::Buy { &mut self.bids } else { &mut self.asks }
    }

    pub(crate) fn levels(&self, side: Side) -> usize {
        self.side(side).len()
    }

    pub(crate) fn best(&self, side: Side) -> Option<Level> {
        let found = match side {
            Side::Buy => self.bids.last_key_value(),
            Side::Sell => self.asks.first_key_value(),
        };
        found.map(level)
    }

    pub(crate) fn worst_px(&self, side: Side) -> Option<i64> {
        match side {
            Side::Buy => self.bids.keys().next().copied(),
            Side::Sell => self.asks.keys().next_back().copied(),
        }
    }

    pub(crate) fn nth_px(&self, side: Side, n: usize) -> Option<i64> {
        match side {
            Side::Buy => self.bids.keys().rev().nth(n).copied(),
            Side::Sell => self.asks.keys().nth(n).copied(),
        }
    }

    /// What rests at a price.
    pub(crate) fn at(&self, side: Side, px: i64) -> i64 {
        self.side(side).get(&px).map_or(0, |q| q.total)
    }

    /// Best first.
    pub(crate) fn top(&self, side: Side, depth: usize) -> Vec<Level> {
        match side {
            Side::Buy => self.bids.iter().rev().take(depth).map(level).collect(),
            Side::Sell => self.asks.iter().take(depth).map(level).collect(),
        }
    }

    /// Every resting order with its side and price, bids first.
    pub(crate) fn orders(&self) -> impl Iterator<Item = (Side, i64, &Order)> {
        [(Side::Buy, &self.bids), (Side::Sell, &self.asks)].into_iter().flat_map(|(side, book)| {
            book.iter().flat_map(move |(px, queue)| queue.orders.iter().map(move |order| (side, *px, order)))
        })
    }

    /// Rests an order behind those of its price. The caller sees to it that it does not cross.
    pub(crate) fn add(&mut self, side: Side, px: i64, order: Order) {
        let queue = self.side_mut(side).entry(px).or_default();
        queue.total += order.sz;
        queue.orders.push_back(order);
    }

    /// Takes out one order of a level; `pick` chooses among them and is reduced to a valid position.
    pub(crate) fn cancel(&mut self, side: Side, px: i64, pick: usize) -> Option<Order> {
        let book = self.side_mut(side);
        let queue = book.get_mut(&px)?;
        let order = queue.orders.remove(pick % queue.orders.len().max(1))?;
        queue.total -= order.sz;
        if queue.orders.is_empty() {
            book.remove(&px);
        }
        Some(order)
    }

    /// An aggressor on `side` takes up to `sz`, not beyond `limit`, best price first and oldest order first.
    pub(crate) fn take(&mut self, side: Side, limit: i64, mut sz: i64, hits: &mut Vec<Hit>) {
        let resting = match side {
            Side::Buy => Side::Sell,
            Side::Sell => Side::Buy,
        };
        while sz > 0 {
            let Some(best) = self.best(resting) else { return };
            let beyond = if side == Side::Buy { best.px > limit } else { best.px < limit };
            if beyond {
                return;
            }
            let book = self.side_mut(resting);
            let Some(queue) = book.get_mut(&best.px) else { return };
            while let Some(front) = queue.orders.front_mut() {
                let filled = front.sz.min(sz);
                front.sz -= filled;
                queue.total -= filled;
                sz -= filled;
                hits.push(Hit { px: best.px, sz: filled, maker: front.clone() });
                if front.sz == 0 {
                    queue.orders.pop_front();
                }
                if sz == 0 {
                    break;
                }
            }
            if queue.orders.is_empty() {
                book.remove(&best.px);
            }
        }
    }
}

fn level((px, queue): (&i64, &Queue)) -> Level {
    Level { px: *px, sz: queue.total, n: queue.orders.len() as u32 }
}

/// The best levels of both sides, packed: a busy market keeps 43,000 of them in six hours.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Packed(Box<[u8]>);

impl Packed {
    pub(crate) fn of(book: &OrderBook) -> Self {
        let mut bytes = Vec::with_capacity(256);
        for side in [Side::Buy, Side::Sell] {
            let levels = book.top(side, DEPTH);
            put(&mut bytes, levels.len() as u64);
            let mut last = 0;
            for l in levels {
                put(&mut bytes, l.px.abs_diff(last));
                put(&mut bytes, l.sz.unsigned_abs());
                put(&mut bytes, u64::from(l.n));
                last = l.px;
            }
        }
        Self(bytes.into_boxed_slice())
    }

    /// Bids best first, asks best first.
    pub(crate) fn levels(&self) -> [Vec<Level>; 2] {
        let mut bytes = self.0.iter().copied();
        [-1, 1].map(|direction| {
            let count = get(&mut bytes);
            let mut last = 0;
            (0..count)
                .map(|i| {
                    let step = get(&mut bytes) as i64;
                    // The first distance counts from zero, whichever the side.
                    last += if i == 0 { step } else { direction * step };
                    Level { px: last, sz: get(&mut bytes) as i64, n: get(&mut bytes) as u32 }
                })
                .collect()
        })
    }
}

fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn get(bytes: &mut impl Iterator<Item = u8>) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = bytes.next().unwrap_or(0);
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(oid: u64, sz: i64) -> Order {
        Order { oid, trader: 0, sz, orig_sz: sz, time: 0 }
    }

    #[test]
    fn the_best_price_goes_first_and_then_the_oldest_order() {
        let mut book = OrderBook::default();
        book.add(Side::Sell, 101, order(1, 5));
        book.add(Side::Sell, 100, order(2, 5));
        book.add(Side::Sell, 100, order(3, 5));
        book.add(Side::Sell, 103, order(4, 5));
        let mut hits = Vec::new();
        book.take(Side::Buy, 102, 12, &mut hits);
        let seen: Vec<_> = hits.iter().map(|h| (h.maker.oid, h.px, h.sz)).collect();
        assert_eq!(seen, [(2, 100, 5), (3, 100, 5), (1, 101, 2)]);
        assert_eq!(book.best(Side::Sell), Some(Level { px: 101, sz: 3, n: 1 }));
        hits.clear();
        book.take(Side::Buy, 102, 100, &mut hits);
        assert_eq!(hits.len(), 1, "nothing beyond the limit is taken");
    }

    #[test]
    fn packing_keeps_every_level() {
        let mut book = OrderBook::default();
        for i in 0..30 {
            book.add(Side::Buy, 66_000 - i * 3, order(1, 1_000_000 + i));
            book.add(Side::Sell, 66_001 + i * 200, order(1, 1 + i));
        }
        let packed = Packed::of(&book);
        assert_eq!(packed.levels(), [book.top(Side::Buy, DEPTH), book.top(Side::Sell, DEPTH)]);
    }
}
