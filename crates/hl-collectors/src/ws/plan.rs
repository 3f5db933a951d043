//! Which streams get a place on which socket.
//!
//! Pure arithmetic on the exchange's limits per IP (PROTOCOL section 4.1): 10 connections, 1,000 subscriptions. A
//! socket that died may still count while its successor subscribes, so one connection and as many subscriptions as
//! one socket holds stay free.

use std::collections::{BTreeMap, BTreeSet};

use hl_core::StreamKey;
use hl_core::stream::BookVariant;

/// Sockets used at most: one of the exchange's ten stays free for a reconnect.
pub const SLOTS: usize = 9;
/// Subscriptions on one socket at most.
pub const PER_SLOT: usize = 100;
/// Subscriptions on all sockets: one socket's worth of the exchange's 1,000 stays free.
pub const CAPACITY: usize = SLOTS * PER_SLOT;

/// The places given out.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    slots: Vec<BTreeSet<StreamKey>>,
    places: BTreeMap<StreamKey, usize>,
}

impl Plan {
    /// No stream has a place.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives a stream a place, the same one every time; none when every socket is full.
    pub fn place(&mut self, stream: StreamKey) -> Option<usize> {
        if let Some(slot) = self.places.get(&stream) {
            return Some(*slot);
        }
        let fits = |slot: &BTreeSet<StreamKey>| {
            slot.len() < PER_SLOT && !other_variant(stream).is_some_and(|other| slot.contains(&other))
        };
        let slot = match self.slots.iter().position(fits) {
            Some(slot) => slot,
            None if self.slots.len() < SLOTS => {
                self.slots.push(BTreeSet::new());
                self.slots.len() - 1
            }
            None => return None,
        };
        self.slots[slot].insert(stream);
        self.places.insert(stream, slot);
        Some(slot)
    }

    /// Gives a place back.
    pub fn free(&mut self, stream: StreamKey) {
        if let Some(slot) = self.places.remove(&stream) {
            self.slots[slot].remove(&stream);
        }
    }

    /// The place of a stream.
    #[must_use]
    pub fn slot_of(&self, stream: StreamKey) -> Option<usize> {
        self.places.get(&stream).copied()
    }
}

/// Frames do not repeat the options they were asked with, so two variants of a coin's book never share a socket.
fn other_variant(stream: StreamKey) -> Option<StreamKey> {
    match stream {
        StreamKey::Book(coin, BookVariant::Default) => Some(StreamKey::Book(coin, BookVariant::Fast)),
        StreamKey::Book(coin, BookVariant::Fast) => Some(StreamKey::Book(coin, BookVariant::Default)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use hl_core::Coin;

    use super::*;

    #[test]
    fn variants_of_a_book_are_kept_apart_and_capacity_ends() {
        let mut plan = Plan::new();
        let coin = |i: usize| Coin::new(&format!("C{i}")).unwrap();
        let book = StreamKey::Book(coin(0), BookVariant::Default);
        let fast = StreamKey::Book(coin(0), BookVariant::Fast);
        assert_eq!((plan.place(book), plan.place(fast), plan.place(book)), (Some(0), Some(1), Some(0)));
        let placed = (1..2_000).filter(|i| plan.place(StreamKey::Trades(coin(*i))).is_some()).count();
        assert_eq!(placed + 2, CAPACITY);
        plan.free(book);
        assert_eq!(
            plan.place(StreamKey::Trades(coin(5_000))),
            Some(0),
            "a place that is given back is used again"
        );
    }
}
