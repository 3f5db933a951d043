//! What a process is to collect. It may change while it collects: markets join, and streams are left.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use hl_core::{Coin, StreamKey};
use tokio::sync::Notify;

use crate::capacity::{self, OverCapacity};
use crate::engine::lock;

/// The streams wanted, as one list for all tasks of an engine.
#[derive(Default)]
pub(crate) struct Wanted {
    list: Mutex<List>,
    changed: Notify,
    /// What was asked for and the exchange does not list, by name, and why, in words.
    missing: Mutex<BTreeMap<String, String>>,
}

#[derive(Clone, Default)]
struct List {
    /// In the order in which places are given out.
    order: Vec<StreamKey>,
    /// Coins whose trades are to have a standby.
    standby: BTreeSet<Coin>,
}

impl Wanted {
    /// Adds streams. Where one address has to carry all of them, they are checked against what fits, and nothing is added
    /// that does not.
    ///
    /// # Errors
    /// With the arithmetic, when they do not fit.
    pub(crate) fn add(
        &self,
        streams: &[StreamKey],
        standby: &BTreeSet<Coin>,
        shared: bool,
    ) -> Result<(), OverCapacity> {
        let mut list = lock(&self.list);
        let all: Vec<_> = list.order.iter().chain(streams).copied().collect();
        let doubled: BTreeSet<_> = list.standby.union(standby).copied().collect();
        // What one address has no room for may be another's.
        let order = if shared { capacity::order(&all, &doubled) } else { capacity::plan(&all, &doubled)? };
        *list = List { order, standby: doubled };
        drop(list);
        self.changed.notify_one();
        Ok(())
    }

    /// Takes streams out again. The trades of a coin have a standby only while they are collected.
    pub(crate) fn remove(&self, streams: &[StreamKey]) {
        let streams: BTreeSet<_> = streams.iter().copied().collect();
        let mut list = lock(&self.list);
        let List { order, standby } = &mut *list;
        order.retain(|stream| !streams.contains(stream));
        standby.retain(|coin| order.contains(&StreamKey::Trades(*coin)));
        drop(list);
        self.changed.notify_one();
    }

    /// All of them, in the order in which places are given out.
    pub(crate) fn order(&self) -> Vec<StreamKey> {
        lock(&self.list).order.clone()
    }

    /// Those that are to have a standby.
    pub(crate) fn doubled(&self) -> BTreeSet<StreamKey> {
        lock(&self.list).standby.iter().map(|coin| StreamKey::Trades(*coin)).collect()
    }

    /// The perpetuals among their coins.
    pub(crate) fn perpetuals(&self) -> BTreeSet<Coin> {
        let list = lock(&self.list);
        list.order.iter().filter_map(|stream| stream.coin()).filter(|coin| coin.is_perpetual()).collect()
    }

    /// Whether there are streams whose frames bear no time.
    pub(crate) fn has_timeless(&self) -> bool {
        lock(&self.list).order.iter().any(|stream| !stream.spec().timed)
    }

    /// Ends when streams were added or taken out since the last time.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    pub(crate) fn say_missing(&self, missing: BTreeMap<String, String>) {
        *lock(&self.missing) = missing;
    }

    pub(crate) fn missing(&self) -> BTreeMap<String, String> {
        lock(&self.missing).clone()
    }
}

#[cfg(test)]
mod tests {
    use hl_collectors::ws::plan::CAPACITY;

    use super::*;

    fn trades(from: usize, to: usize) -> Vec<StreamKey> {
        (from..to).map(|i| StreamKey::Trades(Coin::new(&format!("C{i}")).unwrap())).collect()
    }

    #[test]
    fn what_joins_must_fit_beside_what_is_there() {
        let wanted = Wanted::default();
        let none = BTreeSet::new();
        wanted.add(&trades(0, CAPACITY), &none, false).unwrap();
        wanted.add(&trades(0, CAPACITY + 1), &none, false).unwrap();
        assert_eq!(wanted.order().len(), CAPACITY + 1, "each once");
        assert!(wanted.add(&trades(CAPACITY, CAPACITY + 60), &none, false).is_err());
        assert_eq!(wanted.order().len(), CAPACITY + 1, "all or none of them");
        wanted.add(&trades(CAPACITY, CAPACITY + 60), &none, true).unwrap();
        assert_eq!(wanted.order().len(), CAPACITY + 60, "another address may carry them");
    }

    #[test]
    fn what_is_left_makes_room_and_has_no_standby() {
        let wanted = Wanted::default();
        let both = BTreeSet::from(["C0", "C1"].map(|name| Coin::new(name).unwrap()));
        wanted.add(&trades(0, CAPACITY - 2), &both, false).unwrap();
        wanted.remove(&trades(1, 60));
        assert_eq!(wanted.order().len(), CAPACITY - 61);
        assert_eq!(wanted.doubled().into_iter().collect::<Vec<_>>(), trades(0, 1));
        wanted.add(&trades(CAPACITY, CAPACITY + 50), &BTreeSet::new(), false).unwrap();
    }
}
