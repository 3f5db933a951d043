//! What a process asks the store for again and again: leases, and its part among the others.
//!
//! A task of its own: while the store does not answer, only the next round waits.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hl_core::StreamKey;
use hl_core::seam::stopped;
use hl_core::selector::Event;
use hl_core::store::StoreError;
use tokio::sync::{Notify, watch};
use tokio::time::{MissedTickBehavior, interval};
use tracing::info;

use crate::Engine;
use crate::sharing::{self, Share};

/// How often the leases of streams that another process held are asked for again.
const LEASE_AGAIN: Duration = Duration::from_secs(10);

/// A lease that is not this process's any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Returned {
    /// Another process holds it by now.
    Superseded(StreamKey),
    /// The stream was released, and all of it is committed: the lease can be given back.
    Committed(StreamKey),
}

/// What the pipeline says of leases, until the next moment between two rounds. At most two entries a stream.
#[derive(Default)]
pub(crate) struct Returns {
    waiting: Mutex<Vec<Returned>>,
    put: Notify,
}

impl Returns {
    pub(crate) fn put(&self, returned: Returned) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if !waiting.contains(&returned) {
            waiting.push(returned);
        }
        drop(waiting);
        self.put.notify_one();
    }

    fn take(&self) -> Vec<Returned> {
        std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The rounds of one process.
pub(crate) struct Rounds {
    engine: Arc<Engine>,
    /// Its part among the others, where it shares.
    share: Option<Share>,
    /// Streams whose lease could not be given back yet, where it does not share.
    owed: BTreeSet<StreamKey>,
}

impl Rounds {
    pub(crate) fn new(engine: Arc<Engine>, share: Option<Share>) -> Self {
        Self { engine, share, owed: BTreeSet::new() }
    }

    /// Goes on until `leave` turns true and the others have taken over what they can.
    ///
    /// # Errors
    /// When the store fails for good.
    pub(crate) async fn run(mut self, mut leave: watch::Receiver<bool>) -> Result<(), StoreError> {
        let mut again = interval(if self.share.is_some() { sharing::EVERY } else { LEASE_AGAIN });
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let engine = self.engine.clone();
        let mut leaving = false;
        loop {
            tokio::select! {
                biased;
                () = stopped(&mut leave), if !leaving => {
                    if !self.share.as_mut().is_some_and(Share::leave) {
                        return Ok(());
                    }
                    info!("leaving: the others take over");
                    leaving = true;
                    again.reset_immediately();
                }
                () = engine.returned.put.notified() => {
                    self.take_back();
                    if !self.owed.is_empty() {
                        again.reset_immediately();
                    }
                }
                () = engine.wanted.changed() => again.reset_immediately(),
                _ = again.tick() => {
                    let done = tokio::select! {
                        biased;
                        done = self.round() => done?,
                        // A store that hangs does not hold up the end.
                        () = stopped(&mut leave), if !leaving => continue,
                    };
                    if done && leaving && !self.share.as_ref().is_some_and(Share::is_moving) {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Leases that are not this process's any more. Between two rounds: in the middle of one its picture would change.
    fn take_back(&mut self) {
        for returned in self.engine.returned.take() {
            match returned {
                Returned::Superseded(stream) => {
                    self.engine.selector.report(self.engine.mono.now(), Event::Superseded { stream });
                    self.engine.leased().remove(&stream);
                }
                Returned::Committed(stream) => match &mut self.share {
                    Some(share) => self.engine.give_back(share, stream),
                    None if self.engine.leased().remove(&stream) => _ = self.owed.insert(stream),
                    None => {}
                },
            }
        }
    }

    /// Asks for what this process is to have. Whether the others could be asked.
    async fn round(&mut self) -> Result<bool, StoreError> {
        match &mut self.share {
            Some(share) => self.engine.share(share).await,
            None => {
                self.engine.let_go_unwanted();
                // A stream that was left and is wanted again is given back first: taking it anew tells where its past ends.
                if self.engine.release(&mut self.owed).await {
                    self.engine.lease_again().await;
                }
                Ok(true)
            }
        }
    }
}
