//! Hands events out: a bounded queue for each reader.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll, Waker};

use futures_util::Stream;

use super::{Event, Filter};
use crate::engine::lock;

/// Every reader.
#[derive(Default)]
pub(crate) struct Feed {
    readers: Mutex<Readers>,
}

#[derive(Default)]
struct Readers {
    all: Vec<Weak<Mutex<Queue>>>,
    is_closed: bool,
}

/// What waits for one reader.
struct Queue {
    filter: Filter,
    events: VecDeque<Event>,
    /// How many were dropped after those that wait.
    dropped: u64,
    is_closed: bool,
    waker: Option<Waker>,
}

impl Queue {
    fn put(&mut self, event: &Event) {
        if !self.filter.admits(event) {
            return;
        }
        // Where something was dropped before, its mark needs a place as well.
        let places = if self.dropped > 0 { 2 } else { 1 };
        if self.events.len() + places > self.filter.most().max(places) {
            self.dropped += 1;
            return;
        }
        self.mark();
        self.events.push_back(event.clone());
    }

    /// Says what was dropped, behind what waits.
    fn mark(&mut self) {
        let dropped = std::mem::take(&mut self.dropped);
        if dropped > 0 {
            self.events.push_back(Event::Lagged(dropped));
        }
    }

    fn next(&mut self) -> Option<Event> {
        if self.events.is_empty() {
            self.mark();
        }
        self.events.pop_front()
    }
}

impl Feed {
    /// A new reader; of an engine that has ended, one that hears nothing.
    pub(crate) fn subscribe(&self, filter: Filter) -> Events {
        let mut readers = lock(&self.readers);
        let is_closed = readers.is_closed;
        let queue = Queue { filter, events: VecDeque::new(), dropped: 0, is_closed, waker: None };
        let queue = Arc::new(Mutex::new(queue));
        readers.all.retain(|reader| reader.strong_count() > 0);
        readers.all.push(Arc::downgrade(&queue));
        Events { queue }
    }

    /// Whether there is a reader.
    pub(crate) fn is_heard(&self) -> bool {
        lock(&self.readers).all.iter().any(|reader| reader.strong_count() > 0)
    }

    /// Tells every reader what its filter lets pass. Never waits: a slow reader misses what does not fit its queue.
    pub(crate) fn tell(&self, events: &[Event]) {
        if !events.is_empty() {
            self.each(|queue| events.iter().for_each(|event| queue.put(event)));
        }
    }

    /// Nothing more comes.
    pub(crate) fn close(&self) {
        lock(&self.readers).is_closed = true;
        self.each(|queue| queue.is_closed = true);
    }

    fn each(&self, mut change: impl FnMut(&mut Queue)) {
        let mut readers = lock(&self.readers);
        readers.all.retain(|reader| {
            let Some(reader) = reader.upgrade() else { return false };
            let mut queue = lock(&reader);
            change(&mut queue);
            let waker = queue.waker.take();
            drop(queue);
            if let Some(waker) = waker {
                waker.wake();
            }
            true
        });
    }
}

/// The events of a collector, from the moment on at which they were asked for. Ends when collecting has ended and everything
/// was read. Dropping it ends the subscription.
#[must_use = "events are dropped unless they are read"]
pub struct Events {
    queue: Arc<Mutex<Queue>>,
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").field("waiting", &lock(&self.queue).events.len()).finish_non_exhaustive()
    }
}

impl Events {
    /// The next event; none once collecting has ended. Safe to drop and call again. The same as the stream's `next`, for
    /// programs that have no use for the rest of it.
    pub async fn recv(&mut self) -> Option<Event> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        let mut queue = lock(&self.queue);
        match queue.next() {
            Some(event) => Poll::Ready(Some(event)),
            None if queue.is_closed => Poll::Ready(None),
            None => {
                queue.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt as _, StreamExt as _};
    use hl_core::ledger::{Cause, Span};
    use hl_core::{StreamKey, TimeMs};

    use super::*;

    fn event(n: i64) -> Event {
        let span = Span::new(TimeMs(n), TimeMs(n));
        Event::GapLost { stream: StreamKey::MIDS, span, cause: Cause::Outage }
    }

    fn read(events: &mut Events) -> Vec<Event> {
        std::iter::from_fn(|| events.next().now_or_never().flatten()).collect()
    }

    #[test]
    fn what_does_not_fit_is_counted_where_it_is_missing() {
        let feed = Feed::default();
        let mut slow = feed.subscribe(Filter::all().waiting(3));
        let mut fast = feed.subscribe(Filter::all());
        (0..8).for_each(|n| feed.tell(&[event(n)]));
        assert_eq!(slow.next().now_or_never().flatten(), Some(event(0)));
        feed.tell(&[event(8)]);
        assert_eq!(slow.next().now_or_never().flatten(), Some(event(1)));
        // Room for the mark and the event.
        feed.tell(&[event(9), event(10)]);
        assert_eq!(read(&mut slow), [event(2), Event::Lagged(6), event(9), Event::Lagged(1)]);
        feed.tell(&[event(11)]);
        assert_eq!(read(&mut slow), [event(11)]);
        assert_eq!(read(&mut fast), (0..12).map(event).collect::<Vec<_>>());
    }

    #[test]
    fn one_place_is_enough_to_hear_of_what_is_missing() {
        let feed = Feed::default();
        let mut events = feed.subscribe(Filter::all().waiting(0));
        (0..3).for_each(|n| feed.tell(&[event(n)]));
        assert_eq!(read(&mut events), [event(0), Event::Lagged(2)]);
        feed.tell(&[event(3)]);
        assert_eq!(read(&mut events), [event(3)]);
    }

    #[test]
    fn it_ends_with_what_was_told() {
        let feed = Feed::default();
        let mut events = feed.subscribe(Filter::all().waiting(1));
        assert!(events.next().now_or_never().is_none(), "it waits");
        feed.tell(&[event(0), event(1)]);
        feed.close();
        assert_eq!(events.next().now_or_never(), Some(Some(event(0))));
        assert_eq!(events.next().now_or_never(), Some(Some(Event::Lagged(1))));
        assert_eq!(events.next().now_or_never(), Some(None));
        assert_eq!(feed.subscribe(Filter::all()).next().now_or_never(), Some(None));
    }

    #[test]
    fn who_has_gone_is_not_told() {
        let feed = Feed::default();
        assert!(!feed.is_heard());
        let events = feed.subscribe(Filter::all());
        assert!(feed.is_heard());
        drop(events);
        assert!(!feed.is_heard());
    }
}
