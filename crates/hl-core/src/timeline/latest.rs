//! The latest state of each key, for kinds whose rows are stored on change.

use std::collections::BTreeMap;

use crate::for_records;
use crate::record::{Market, Record};
use crate::row::RowKey;
use crate::{Records, StreamKey, TimeMs};

/// What was stored last under each key, its time aside.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Latest {
    places: BTreeMap<RowKey, usize>,
    records: Records,
}

impl Latest {
    /// Of a stream of which these are stored.
    pub(super) fn of(stream: StreamKey, stored: &[Market]) -> Self {
        let mut latest = Self { places: BTreeMap::new(), records: Records::none(stream) };
        stored.iter().for_each(|market| latest.put(market));
        latest
    }

    /// Whether one of the records says something else than the latest of its key.
    pub(super) fn differs(&self, records: &Records) -> bool {
        for_records!(records, r => r.iter().any(|record| !self.has(record)))
    }

    /// Keeps those of the records that say something else than the one before, which each of them then is.
    pub(super) fn take(&mut self, records: &mut Records) {
        for_records!(records, r => r.retain(|record| {
            let is_new = !self.has(record);
            self.put(record);
            is_new
        }));
    }

    fn has<T: Record>(&self, record: &T) -> bool {
        let latest = self.places.get(&key(record)).zip(T::of(&self.records));
        latest.and_then(|(&at, latest)| latest.get(at)).is_some_and(|latest| latest.same_values(record))
    }

    fn put<T: Record>(&mut self, record: &T) {
        let Some(latest) = T::of_mut(&mut self.records) else { return };
        match self.places.get(&key(record)).and_then(|&at| latest.get_mut(at)) {
            Some(latest) => latest.clone_from(record),
            None => {
                self.places.insert(key(record), latest.len());
                latest.push(record.clone());
            }
        }
    }
}

fn key(record: &impl Record) -> RowKey {
    RowKey { time: TimeMs(0), ..record.row_key() }
}
