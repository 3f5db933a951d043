//! Two subscriptions of one stream, compared: what one of them brought and the other did not.
//!
//! The exchange sends the same records over both, so whichever has not brought a record some seconds after the other
//! one has missed it.

use std::collections::BTreeMap;

use crate::{RunId, TimeMs};

/// How long a record may still be on its way over the other subscription, ms.
const ON_THE_WAY_MS: i64 = 3_000;

/// Block and tid of a trade.
pub(super) type Key = (TimeMs, u64);

/// What only one of the two has brought, each with the monotonic time at which it did.
#[derive(Default)]
pub(super) struct Compared {
    /// The standby's run and the first block that it brought, which may not be whole; none where there is no standby.
    standby: Option<(RunId, TimeMs)>,
    by_standby: BTreeMap<Key, i64>,
    by_owner: BTreeMap<Key, i64>,
}

impl Compared {
    /// The standby brought a record; `missing`: the owner should have brought it as well, and has not yet.
    pub(super) fn standby(&mut self, now: i64, run: RunId, key: Key, missing: bool) {
        if self.standby.is_none_or(|(standby, _)| standby != run) {
            *self = Self { standby: Some((run, key.0)), ..Self::default() };
        }
        self.by_owner.remove(&key);
        if missing {
            self.by_standby.entry(key).or_insert(now);
        }
    }

    /// The owner brought a record for the first time.
    pub(super) fn owner(&mut self, now: i64, key: Key) {
        let by_both = self.by_standby.remove(&key).is_some();
        if !by_both && self.standby.is_some_and(|(_, from)| from < key.0) {
            self.by_owner.insert(key, now);
        }
    }

    /// It is stored, whoever brought it.
    pub(super) fn stored(&mut self, key: Key) {
        self.by_standby.remove(&key);
    }

    /// What the owner has missed. Said once each.
    pub(super) fn missed_by_owner(&mut self, now: i64) -> Vec<Key> {
        let is_late = |since: i64| since + ON_THE_WAY_MS <= now;
        let late: Vec<_> =
            self.by_standby.iter().filter(|(_, since)| is_late(**since)).map(|(key, _)| *key).collect();
        for key in &late {
            self.by_standby.remove(key);
        }
        late
    }

    /// The standby, where it has missed something. Not said again before it has missed something more.
    pub(super) fn mute_standby(&mut self, now: i64) -> Option<RunId> {
        let (run, _) = self.standby?;
        let is_late = self.by_owner.values().any(|since| since + ON_THE_WAY_MS <= now);
        if is_late {
            self.by_owner.clear();
        }
        is_late.then_some(run)
    }

    /// The stream changes hands: what the standby alone has brought so far. The comparison begins anew.
    pub(super) fn end(&mut self) -> impl Iterator<Item = Key> {
        std::mem::take(self).by_standby.into_keys()
    }
}
