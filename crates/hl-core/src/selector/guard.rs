use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::{Effect, Event, Mono, Selector, StreamView};
use crate::Epoch;

/// The one lock around the selector. Sources and jobs report events; one director carries out the effects, in order.
pub struct Guard {
    selector: Mutex<Selector>,
    effects: Notify,
}

impl Guard {
    /// Puts a selector behind its lock.
    #[must_use]
    pub fn new(selector: Selector) -> Self {
        Self { selector: Mutex::new(selector), effects: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Selector> {
        // A step does not panic; were it to, its half-made change is still better than no collection at all.
        self.selector.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reports an event.
    pub fn report(&self, now: Mono, event: Event) {
        self.lock().step(now, event);
        self.effects.notify_one();
    }

    /// A fresh epoch for a backfill claim.
    pub fn mint(&self) -> Epoch {
        self.lock().mint()
    }

    /// The oldest effect not yet carried out, and the next deadline.
    pub fn poll(&self) -> (Option<Effect>, Option<Mono>) {
        let mut selector = self.lock();
        (selector.next_effect(), selector.next_deadline())
    }

    /// Resolves after an event was reported. Safe to drop and call again.
    pub async fn reported(&self) {
        self.effects.notified().await;
    }

    /// Every stream, by name.
    pub fn view(&self) -> Vec<StreamView> {
        self.lock().view()
    }

    /// Live claims handed out or withdrawn since the start.
    pub fn handovers(&self) -> u64 {
        self.lock().handovers()
    }
}
