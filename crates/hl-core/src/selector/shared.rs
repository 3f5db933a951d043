use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::{Effect, Event, Mono, Selector, StreamView};
use crate::Epoch;

/// The one lock around the selector. Sources and jobs report events; one director carries out the effects, in order.
pub struct SharedSelector {
    selector: Mutex<Selector>,
    effects: Notify,
}

impl SharedSelector {
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

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::selector::{Places, Timing};
    use crate::{Coin, SourceId, StreamKey, Token};

    #[test]
    fn a_report_wakes_the_one_who_carries_out_effects_and_gives_them_in_order() {
        let stream = |coin| StreamKey::Trades(Coin::new(coin).unwrap());
        let selector = SharedSelector::new(Selector::new(Token(7), Timing::default()));
        assert_eq!((selector.poll(), selector.handovers()), ((None, None), 0));
        assert!(selector.reported().now_or_never().is_none(), "nothing was reported");
        selector.report(5, Event::Leased { stream: stream("BTC"), places: Places::None, is_new: false });
        selector.report(5, Event::Leased { stream: stream("ETH"), places: Places::None, is_new: false });
        selector.report(5, Event::Leased { stream: stream("SOL"), places: Places::One, is_new: false });
        assert!(selector.reported().now_or_never().is_some());

        let (streams, owners): (Vec<_>, Vec<_>) =
            selector.view().into_iter().map(|view| (view.stream, view.live.map(|live| live.source))).unzip();
        assert_eq!(streams, ["BTC", "ETH", "SOL"].map(stream));
        assert_eq!(owners, [Some(SourceId::Rest), Some(SourceId::Rest), None]);

        let deadline = Some(5 + Timing::default().start_grace_ms);
        let mut epochs = Vec::new();
        for coin in ["BTC", "ETH"] {
            let (effect, next) = selector.poll();
            let Some(Effect::Handover { stream: handed, grant: Some(grant) }) = effect else {
                panic!("{effect:?}")
            };
            assert_eq!((handed, next), (stream(coin), deadline));
            epochs.push(grant.epoch);
        }
        assert_eq!((selector.poll(), selector.handovers()), ((None, deadline), 2));
        epochs.extend([selector.mint(), selector.mint()]);
        assert!(epochs.iter().all(|epoch| epoch.token == Token(7)));
        assert!(epochs.is_sorted_by(|a, b| a < b), "no epoch is used twice: {epochs:?}");
    }
}
