//! Which subscriptions get a place on which socket.
//!
//! Pure arithmetic on the exchange's limits per IP (PROTOCOL section 4.1): 10 connections, 1,000 subscriptions. A
//! socket that died may still count while its successor subscribes, so one connection and as many subscriptions as
//! one socket holds stay free. Trials ([`trials`](super::trials)) use them too, one at a time.

use std::collections::{BTreeMap, BTreeSet};

use hl_core::selector::Places;
use hl_core::stream::BookVariant;
use hl_core::{Coin, Lane, StreamKey, limits};

/// Sockets used at most: one of those that the exchange grants stays free for a reconnect, or a trial.
pub const SLOTS: usize = limits::CONNECTIONS - 1;
/// Subscriptions on one socket at most.
pub const PER_SLOT: usize = limits::SUBSCRIPTIONS / limits::CONNECTIONS;
/// Subscriptions on all sockets: one socket's worth of what the exchange grants stays free.
pub const CAPACITY: usize = SLOTS * PER_SLOT;

/// The places given out. No socket has two subscriptions of one stream: its two lanes never die together.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    slots: Vec<BTreeSet<StreamKey>>,
    places: BTreeMap<(StreamKey, Lane), usize>,
}

impl Plan {
    /// No stream has a place.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives a stream its place, and a second one on another socket where a standby is wanted: the same ones every
    /// time, and as many as there is room for.
    pub fn place(&mut self, stream: StreamKey, standby: bool) -> Places {
        if self.place_lane(stream, Lane::First).is_none() {
            return Places::None;
        }
        match standby && self.place_lane(stream, Lane::Second).is_some() {
            true => Places::Two,
            false => Places::One,
        }
    }

    fn place_lane(&mut self, stream: StreamKey, lane: Lane) -> Option<usize> {
        if let Some(slot) = self.places.get(&(stream, lane)) {
            return Some(*slot);
        }
        let fits = |slot: &BTreeSet<StreamKey>| {
            slot.len() < PER_SLOT
                && !slot.contains(&stream)
                && !other_variants(stream).any(|other| slot.contains(&other))
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
        self.places.insert((stream, lane), slot);
        Some(slot)
    }

    /// Gives the places of a stream back.
    pub fn free(&mut self, stream: StreamKey) {
        for lane in Lane::ALL {
            if let Some(slot) = self.places.remove(&(stream, lane)) {
                self.slots[slot].remove(&stream);
            }
        }
    }

    /// Whether every socket has streams.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.slots.iter().filter(|streams| !streams.is_empty()).count() == SLOTS
    }

    /// The streams of a coin that have a place.
    #[must_use]
    pub fn of_coin(&self, coin: Coin) -> Vec<StreamKey> {
        let of_coin = |(stream, _): &&(StreamKey, Lane)| stream.coin() == Some(coin);
        let mut streams: Vec<_> = self.places.keys().filter(of_coin).map(|(stream, _)| *stream).collect();
        streams.dedup();
        streams
    }

    /// The place of a stream's lane.
    #[must_use]
    pub fn slot_of(&self, stream: StreamKey, lane: Lane) -> Option<usize> {
        self.places.get(&(stream, lane)).copied()
    }
}

/// Frames do not repeat the options they were asked with, so two variants of a coin's book never share a socket.
fn other_variants(stream: StreamKey) -> impl Iterator<Item = StreamKey> {
    let coin = if let StreamKey::Book(coin, _) = stream { Some(coin) } else { None };
    let of_coin = move |coin| BookVariant::ALL.into_iter().map(move |variant| StreamKey::Book(coin, variant));
    coin.into_iter().flat_map(of_coin).filter(move |other| *other != stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coin(i: usize) -> Coin {
        Coin::new(&format!("C{i}")).unwrap()
    }

    fn slots(plan: &Plan, stream: StreamKey) -> [Option<usize>; 2] {
        Lane::ALL.map(|lane| plan.slot_of(stream, lane))
    }

    #[test]
    fn variants_of_a_book_are_kept_apart_and_capacity_ends() {
        let mut plan = Plan::new();
        let book = StreamKey::Book(coin(0), BookVariant::Default);
        let fast = StreamKey::Book(coin(0), BookVariant::Fast);
        for stream in [book, fast, book] {
            assert_eq!(plan.place(stream, false), Places::One);
        }
        assert_eq!((slots(&plan, book), slots(&plan, fast)), ([Some(0), None], [Some(1), None]));
        let one = |i: &usize| plan.place(StreamKey::Trades(coin(*i)), false) == Places::One;
        let placed = (1..2_000).filter(one).count();
        assert_eq!(placed + 2, CAPACITY);
        plan.free(book);
        let late = StreamKey::Trades(coin(5_000));
        plan.place(late, false);
        assert_eq!(plan.slot_of(late, Lane::First), Some(0), "a place that is given back is used again");
    }

    #[test]
    fn variants_of_a_book_are_kept_apart_in_either_order() {
        let variants =
            [BookVariant::Fast, BookVariant::Default].map(|variant| StreamKey::Book(coin(0), variant));
        let mut plan = Plan::new();
        let placed = variants.map(|stream| {
            plan.place(stream, false);
            plan.slot_of(stream, Lane::First)
        });
        assert_eq!(placed, [Some(0), Some(1)]);
    }

    #[test]
    fn the_exchanges_limits_are_kept_with_room_for_one_socket() {
        assert_eq!((SLOTS + 1, CAPACITY + PER_SLOT), (10, 1_000));
    }

    #[test]
    fn a_standby_is_on_another_socket_and_counts() {
        let mut plan = Plan::new();
        let trades = |i| StreamKey::Trades(coin(i));
        assert_eq!(plan.place(trades(0), true), Places::Two, "two sockets even for one coin");
        assert_eq!(slots(&plan, trades(0)), [Some(0), Some(1)]);
        let two = (1..2_000).filter(|i| plan.place(trades(*i), true) == Places::Two).count() + 1;
        for i in 0..two {
            let [first, second] = slots(&plan, trades(i));
            assert!(second.is_some() && first != second, "{i}");
        }
        assert_eq!(two, SLOTS / 2 * PER_SLOT, "the odd socket has no partner");
        plan.free(trades(0));
        assert_eq!(slots(&plan, trades(0)), [None, None]);
        assert_eq!(plan.place(trades(5_000), true), Places::Two);
    }
}
