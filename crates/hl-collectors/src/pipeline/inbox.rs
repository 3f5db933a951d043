//! The bounded queue before the time lines. States that have not been read yet are replaced under pressure, in their
//! place, and marked, since their time line has to know of the loss; events wait for room.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use hl_core::ledger::{Cause, Change};
use hl_core::seam::BoxFuture;
use hl_core::source::{Content, Intake, Offer, Ticket};
use hl_core::store::StreamStart;
use hl_core::stream::Conflation;
use hl_core::timeline::{Audited, Grant};
use hl_core::{Records, StreamKey, TimeMs};
use serde::Serialize;
use tokio::sync::Notify;

/// What the entries of the inbox may take together before offers wait, bytes: the other side decides how long one is.
const CAPACITY_BYTES: usize = 32 << 20;
/// Above this an unread state is replaced by a newer one, so that events find room.
const CONFLATE_ABOVE_BYTES: usize = CAPACITY_BYTES / 2;

/// What the reader takes, in order.
#[derive(Debug)]
pub(super) enum Entry {
    /// A stream begins, where the store says.
    Start(StreamStart),
    /// The live claim moves.
    Handover { stream: StreamKey, grant: Option<Grant> },
    /// The lease is gone.
    Forget(StreamKey),
    /// Another process holds it and is about to give it to this one: what its sockets bring waits.
    Warm(StreamKey),
    /// Its market is listed no longer, since this time at the latest. `doubt`: why what came last may not be all.
    End { stream: StreamKey, at: TimeMs, doubt: Option<Cause> },
    /// Another process is to have it, or none: nothing more is taken in.
    Release(StreamKey),
    /// A backfill has written this.
    Filled { stream: StreamKey, change: Change },
    /// An audit read these final bars once more.
    Audited { stream: StreamKey, bars: Vec<Audited> },
    /// Data.
    Offer(Offer),
    /// A state in the place of older ones that were not read in time.
    Newest(Offer),
}

impl Entry {
    /// What it takes of the inbox's memory: only what sources bring is of a length that others decide on.
    fn bytes(&self) -> usize {
        let more = match self {
            Self::Offer(offer) | Self::Newest(offer) => offer.content.records().map_or(0, Records::bytes),
            Self::Start(_)
            | Self::Handover { .. }
            | Self::Forget(_)
            | Self::Warm(_)
            | Self::End { .. }
            | Self::Release(_)
            | Self::Filled { .. }
            | Self::Audited { .. } => 0,
        };
        size_of::<Self>() + more
    }
}

/// How full it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct InboxStats {
    /// Entries waiting.
    pub waiting: usize,
    /// States replaced before they were read: each is inside a gap.
    pub conflated: u64,
}

#[derive(Default)]
struct State {
    entries: VecDeque<Entry>,
    /// What they take.
    bytes: usize,
    /// Number of the entry at the front.
    base: u64,
    /// Unread states, by number of their entry.
    states: BTreeMap<(StreamKey, Ticket), u64>,
    conflated: u64,
    closed: bool,
}

impl State {
    fn push(&mut self, entry: Entry) {
        self.bytes += entry.bytes();
        self.entries.push_back(entry);
    }
}

/// The bounded queue between the sources and the single reader of the time lines.
#[derive(Default)]
pub struct Inbox {
    state: Mutex<State>,
    readable: Notify,
    writable: Notify,
}

impl Inbox {
    /// An empty inbox.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A stream begins here. Does not wait: there is one per lease.
    pub fn start(&self, start: StreamStart) {
        self.push_now(Entry::Start(start));
    }

    /// The live claim moves. Does not wait: the director sends one at a time.
    pub fn handover(&self, stream: StreamKey, grant: Option<Grant>) {
        self.push_now(Entry::Handover { stream, grant });
    }

    /// A backfill has written this: its bars may tell of trades that are missing. Does not wait: a backfill writes a page
    /// at a time.
    pub fn filled(&self, stream: StreamKey, change: Change) {
        self.push_now(Entry::Filled { stream, change });
    }

    /// An audit read these final bars once more. Does not wait: an audit is slow.
    pub fn audited(&self, stream: StreamKey, bars: Vec<Audited>) {
        self.push_now(Entry::Audited { stream, bars });
    }

    /// The lease of a stream is gone.
    pub fn forget(&self, stream: StreamKey) {
        self.push_now(Entry::Forget(stream));
    }

    /// Another process holds a stream and is about to give it to this one: from here on what comes waits for the start.
    pub fn warm(&self, stream: StreamKey) {
        self.push_now(Entry::Warm(stream));
    }

    /// The market of a stream is listed no longer, since this time at the latest: its time line ends. `doubt`: why what came
    /// last may not be all.
    pub fn end(&self, stream: StreamKey, at: TimeMs, doubt: Option<Cause>) {
        self.push_now(Entry::End { stream, at, doubt });
    }

    /// Another process is to have a stream, or none. The pipeline tells when all that came before this is committed.
    pub fn release(&self, stream: StreamKey) {
        self.push_now(Entry::Release(stream));
    }

    /// Lets the reader finish what is queued and then end. What is offered later is dropped.
    pub fn close(&self) {
        self.lock().closed = true;
        self.readable.notify_one();
        self.writable.notify_waiters();
    }

    /// How full it is.
    pub fn stats(&self) -> InboxStats {
        let state = self.lock();
        InboxStats { waiting: state.entries.len(), conflated: state.conflated }
    }

    fn push_now(&self, entry: Entry) {
        self.lock().push(entry);
        self.readable.notify_one();
    }

    /// Gives the offer back where there is no room.
    fn try_offer(&self, offer: Offer) -> Option<Offer> {
        let mut state = self.lock();
        if state.closed {
            return None;
        }
        let is_state =
            offer.stream.spec().conflation == Conflation::State && matches!(offer.content, Content::Frame(_));
        let key = (offer.stream, offer.ticket);
        if is_state
            && state.bytes >= CONFLATE_ABOVE_BYTES
            && let Some(number) = state.states.get(&key).and_then(|n| n.checked_sub(state.base))
            && let Some(place) = usize::try_from(number).ok().and_then(|n| state.entries.get_mut(n))
        {
            let entry = Entry::Newest(offer);
            let bytes = entry.bytes();
            let replaced = std::mem::replace(place, entry).bytes();
            state.bytes = state.bytes - replaced + bytes;
            state.conflated += 1;
            return None;
        }
        if state.bytes >= CAPACITY_BYTES {
            return Some(offer);
        }
        if is_state {
            let number = state.base + state.entries.len() as u64;
            state.states.insert(key, number);
        }
        state.push(Entry::Offer(offer));
        drop(state);
        self.readable.notify_one();
        None
    }

    /// Takes up to `limit` entries; none when it is closed and empty. Safe to drop and call again.
    pub(super) async fn take(&self, limit: usize) -> Option<Vec<Entry>> {
        loop {
            let readable = self.readable.notified();
            {
                let mut state = self.lock();
                let n = state.entries.len().min(limit);
                if n > 0 {
                    let taken: Vec<_> = state.entries.drain(..n).collect();
                    state.base += n as u64;
                    state.bytes -= taken.iter().map(Entry::bytes).sum::<usize>();
                    if state.entries.is_empty() {
                        state.states.clear();
                    }
                    drop(state);
                    self.writable.notify_waiters();
                    return Some(taken);
                }
                if state.closed {
                    return None;
                }
            }
            readable.await;
        }
    }
}

impl Intake for Inbox {
    fn offer(&self, offer: Offer) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let mut waiting = Some(offer);
            loop {
                let writable = self.writable.notified();
                tokio::pin!(writable);
                // Registered before looking, so that room made in between is not missed.
                writable.as_mut().enable();
                match waiting.take().and_then(|offer| self.try_offer(offer)) {
                    None => return,
                    Some(full) => waiting = Some(full),
                }
                writable.await;
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use hl_core::record::{Bbo, Mid, Trade};
    use hl_core::row::Arrival;
    use hl_core::{Coin, Decimal, RunId, TimeMs};

    use super::*;

    fn bbo(time: i64) -> Offer {
        let coin = Coin::new("BTC").unwrap();
        let record = Bbo { coin, time: TimeMs(time), bid: None, ask: None, arrival: Arrival::default() };
        Offer {
            stream: StreamKey::Bbo(coin),
            ticket: Ticket::Run(RunId::first(1)),
            content: Content::Frame(Records::Bbos(vec![record])),
        }
    }

    fn trade() -> Offer {
        let coin = Coin::new("BTC").unwrap();
        Offer {
            stream: StreamKey::Trades(coin),
            ticket: Ticket::Run(RunId::first(1)),
            content: Content::Frame(Records::Trades(Vec::<Trade>::new())),
        }
    }

    /// Offers events until so many bytes wait. Returns how many entries those are.
    async fn fill(inbox: &Inbox, bytes: usize) -> usize {
        while inbox.lock().bytes < bytes {
            inbox.offer(trade()).await;
        }
        inbox.stats().waiting
    }

    #[tokio::test(start_paused = true)]
    async fn under_pressure_states_are_replaced_and_events_wait() {
        let inbox = std::sync::Arc::new(Inbox::new());
        inbox.offer(bbo(1)).await;
        inbox.offer(bbo(2)).await;
        assert_eq!(
            inbox.stats(),
            InboxStats { waiting: 2, conflated: 0 },
            "without pressure everything is kept"
        );
        let full = fill(&inbox, CAPACITY_BYTES).await;
        inbox.offer(bbo(3)).await;
        assert_eq!(inbox.stats(), InboxStats { waiting: full, conflated: 1 });

        let late = tokio::spawn({
            let inbox = inbox.clone();
            async move { inbox.offer(trade()).await }
        });
        tokio::task::yield_now().await;
        assert!(!late.is_finished(), "an event waits for room");
        let taken = inbox.take(2).await.unwrap();
        assert!(matches!(&taken[0], Entry::Offer(offer) if *offer == bbo(1)));
        let newest = matches!(&taken[1], Entry::Newest(offer) if *offer == bbo(3));
        assert!(newest, "in the place of the unread one, which says so: {:?}", taken[1]);
        late.await.unwrap();

        inbox.close();
        while inbox.take(1_000).await.is_some() {}
        inbox.offer(trade()).await;
        assert_eq!(inbox.stats().waiting, 0, "a closed inbox drops");
    }

    #[tokio::test(start_paused = true)]
    async fn long_entries_fill_it_before_they_are_many() {
        let inbox = std::sync::Arc::new(Inbox::new());
        let long = |time| {
            let mids = vec![
                Mid {
                    coin: Coin::new("BTC").unwrap(),
                    time: TimeMs(time),
                    px: Decimal::ONE,
                    arrival: Arrival::default()
                };
                50_000
            ];
            let content = Content::Frame(Records::Mids(mids));
            Offer {
                stream: StreamKey::MIDS,
                ticket: Ticket::Run(RunId::first(u64::try_from(time).unwrap())),
                content,
            }
        };
        let offering = tokio::spawn({
            let inbox = inbox.clone();
            async move {
                for time in 0..1_000 {
                    inbox.offer(long(time)).await;
                }
            }
        });
        while inbox.stats().waiting < 10 {
            tokio::task::yield_now().await;
        }
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
        assert!(!offering.is_finished(), "it waits for room");
        let one = long(0).content.bytes();
        let most = CAPACITY_BYTES / one + 1;
        assert!(inbox.stats().waiting <= most, "{} of {one} bytes", inbox.stats().waiting);
        while !offering.is_finished() {
            inbox.take(10).await;
        }
        while inbox.stats().waiting > 0 {
            inbox.take(10).await;
        }
        assert_eq!(inbox.lock().bytes, 0);
        inbox.close();
        offering.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_process_says_comes_out_in_order() {
        let inbox = Inbox::new();
        let stream = StreamKey::Trades(Coin::new("BTC").unwrap());
        let bar = Audited { time: TimeMs(1), counted: 3, stored: 2 };
        inbox.start(StreamStart {
            stream,
            edge: None,
            ended: None,
            recent: hl_core::store::Recent::default(),
        });
        inbox.handover(stream, None);
        inbox.offer(trade()).await;
        inbox.filled(stream, Change::Edge(TimeMs(1)));
        inbox.audited(stream, vec![bar]);
        inbox.forget(stream);
        let taken = inbox.take(10).await.unwrap();
        assert!(
            matches!(
                &taken[..],
                [
                    Entry::Start(_),
                    Entry::Handover { .. },
                    Entry::Offer(_),
                    Entry::Filled { change: Change::Edge(TimeMs(1)), .. },
                    Entry::Audited { bars, .. },
                    Entry::Forget(_)
                ] if *bars == [bar]
            ),
            "{taken:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_state_that_is_replaced_is_found_after_the_reader_has_taken_some() {
        let inbox = Inbox::new();
        let before = fill(&inbox, CONFLATE_ABOVE_BYTES).await;
        inbox.offer(bbo(1)).await;
        for _ in 0..100 {
            inbox.offer(trade()).await;
        }
        inbox.take(100).await.unwrap();
        inbox.offer(bbo(2)).await;
        assert_eq!(inbox.stats(), InboxStats { waiting: before + 1, conflated: 1 });
        let is_exact = || {
            let state = inbox.lock();
            state.bytes == state.entries.iter().map(Entry::bytes).sum::<usize>()
        };
        assert!(is_exact());
        let taken = inbox.take(before - 99).await.unwrap();
        let Some(Entry::Newest(offer)) = taken.last() else { panic!("{taken:?}") };
        assert_eq!(offer, &bbo(2), "in the place of the first");
        assert!(is_exact());
    }

    #[tokio::test(start_paused = true)]
    async fn long_states_are_replaced_before_they_fill_it() {
        let inbox = Inbox::new();
        let long = |time, n| {
            let mid = Mid {
                coin: Coin::new("BTC").unwrap(),
                time: TimeMs(time),
                px: Decimal::ONE,
                arrival: Arrival::default(),
            };
            let content = Content::Frame(Records::Mids(vec![mid; n]));
            Offer { stream: StreamKey::MIDS, ticket: Ticket::Run(RunId::first(1)), content }
        };
        let mut offered = 0;
        while inbox.stats().conflated == 0 {
            // Each of another length: what is replaced makes room for what it was.
            inbox.offer(long(offered, 50_000 + usize::try_from(offered).unwrap())).await;
            offered += 1;
            assert!(inbox.lock().bytes < CAPACITY_BYTES, "{offered} are kept");
        }
        let held = inbox.lock().entries.iter().map(Entry::bytes).sum::<usize>();
        assert_eq!(inbox.lock().bytes, held);
        assert!(held >= CONFLATE_ABOVE_BYTES, "without pressure everything is kept");
    }
}
