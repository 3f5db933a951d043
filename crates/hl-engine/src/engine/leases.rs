//! The leases of an engine: which streams it holds, which another process does, and what begins and ends with them. Not here:
//! when they are asked for ([`rounds`](crate::rounds)).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hl_core::StreamKey;
use hl_core::seam::stopped;
use hl_core::selector::{Event, Places};
use hl_core::source::{DataSource as _, Role};
use hl_core::store::{Holder, Leases, StoreError};
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{info, warn};

use super::{Engine, lock};

/// How often they are asked for while there are none at all.
const FIRST_LEASE_AGAIN: Duration = Duration::from_secs(1);

pub(super) fn holders(holders: &[Holder]) -> String {
    let words: Vec<_> = holders.iter().map(|holder| format!("{holder:#}")).collect();
    words.join(", ")
}

/// Who holds what was not granted, each once.
pub(super) fn distinct(leases: &Leases) -> Vec<Holder> {
    let by_token: BTreeMap<_, _> =
        leases.held.iter().map(|(_, holder)| (holder.token, holder.clone())).collect();
    by_token.into_values().collect()
}

impl Engine {
    /// Asks for the leases until there are some, for as long as those who hold them may be dead.
    pub(super) async fn first_leases(
        &self,
        order: &[StreamKey],
        stop: &mut watch::Receiver<bool>,
    ) -> Result<Leases, StoreError> {
        let give_up = Instant::now() + self.store.patience();
        loop {
            let leases = self.store.lease(order).await?;
            if !leases.granted.is_empty() || Instant::now() >= give_up {
                return Ok(leases);
            }
            info!(holders = %holders(&distinct(&leases)), "every stream is held; waiting in case that process is dead");
            tokio::select! {
                biased;
                () = stopped(stop) => return Ok(leases),
                () = tokio::time::sleep(FIRST_LEASE_AGAIN) => {}
            }
        }
    }

    /// Streams begin: their time lines first, then the selector may give them out.
    pub(crate) fn begin(&self, leases: Leases, doubled: &BTreeSet<StreamKey>) {
        for mut start in leases.granted {
            let (stream, is_new) = (start.stream, start.edge.is_none());
            if self.policy.min_trade_usd.is_some() {
                // Not every trade is stored: bars that come later are not compared with those that are.
                start.recent.since = None;
            }
            self.leased().insert(stream);
            self.rest.begin(&start);
            self.inbox.start(start);
            let doubled = doubled.contains(&stream);
            let places = self.pool.place(stream, doubled);
            if doubled && places != Places::Two {
                warn!(%stream, "no place for its standby");
            }
            self.pool.assign(stream, Role::Standby);
            self.selector.report(self.mono.now(), Event::Leased { stream, places, is_new });
        }
    }

    /// Remembers who holds what this process does not.
    pub(crate) fn hold(&self, held: Vec<(StreamKey, Holder)>) {
        *lock(&self.held) = held;
    }

    /// The same, and says what is new: it is taken over only when its holder ends.
    pub(super) fn wait_for(&self, held: &[(StreamKey, Holder)]) {
        for (stream, holder) in held.iter().filter(|held| !lock(&self.held).contains(held)) {
            info!(%stream, holder = %holder.role, pid = holder.pid, host = %holder.host, "held by another process; taken over when it ends");
        }
        self.hold(held.to_vec());
    }

    /// Streams that are held and wanted no longer.
    pub(crate) fn unwanted(&self) -> Vec<StreamKey> {
        let order: BTreeSet<_> = self.wanted.order().into_iter().collect();
        self.leased().iter().filter(|stream| !order.contains(stream)).copied().collect()
    }

    /// Stops collecting what is wanted no longer: told again for one that is on its way out already, it changes nothing.
    pub(crate) fn let_go_unwanted(&self) {
        for stream in self.unwanted() {
            self.selector.report(self.mono.now(), Event::Released { stream });
        }
    }

    /// Gives leases back. Whether that could be done.
    pub(crate) async fn release(&self, owed: &mut BTreeSet<StreamKey>) -> bool {
        if owed.is_empty() {
            return true;
        }
        let streams: Vec<_> = owed.iter().copied().collect();
        match self.store.release(&streams).await {
            Ok(()) => {
                info!(streams = streams.len(), "collected no longer, and given back");
                owed.clear();
                true
            }
            Err(error) => {
                warn!(%error, "leases could not be given back");
                false
            }
        }
    }

    /// Asks for the leases that it has not, or has lost.
    pub(crate) async fn lease_again(&self) {
        let doubled = self.wanted.doubled();
        let wanted: Vec<_> = {
            let leased = self.leased();
            self.wanted.order().into_iter().filter(|stream| !leased.contains(stream)).collect()
        };
        if wanted.is_empty() {
            return self.hold(Vec::new());
        }
        match self.store.lease(&wanted).await {
            Ok(leases) => {
                self.wait_for(&leases.held);
                self.begin(leases, &doubled);
            }
            Err(error) => warn!(%error, "leases could not be asked for"),
        }
    }
}
