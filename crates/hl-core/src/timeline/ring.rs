//! What a run brings before it owns the stream: kept, fenced, admitted at promotion. Full, it drops its oldest.
//!
//! Frames of trades may come in another order than that in which they were sent. So what is admitted of them is the
//! replay, and then all that came after it as one stretch, in order of time, of which everything is left out that is not
//! newer than what was dropped: from there on it holds all that the run brought.

use std::collections::VecDeque;

use super::{Tally, count};
use crate::record::Trade;
use crate::source::Content;
use crate::{Records, RunId, TimeMs};

/// Records that a ring keeps at most. Settling lasts seconds, so this is minutes of the busiest coin.
const CAPACITY: u64 = 20_000;
/// And what they take together at most, whatever the other side calls a record.
const CAPACITY_BYTES: usize = 8 << 20;

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Ring {
    pub(super) run: RunId,
    started: Option<TimeMs>,
    /// When it began by the monotonic clock, ms, where the exchange had not said then what time it is: `started` is the system
    /// clock's word, which may be wrong by hours.
    pub(super) guessed: Option<i64>,
    contents: VecDeque<Content>,
    /// What its replay held of times that were still to come: when it came, and the newest of them.
    ahead: Option<(TimeMs, TimeMs)>,
    /// Whether its replay has come, or is lost.
    is_replayed: bool,
    /// The newest trade that was dropped.
    dropped: Option<TimeMs>,
    records: u64,
    bytes: usize,
    /// States were dropped before the oldest that is left.
    lacks_states: bool,
}

impl Ring {
    pub(super) fn new(run: RunId) -> Self {
        Self {
            run,
            started: None,
            guessed: None,
            contents: VecDeque::new(),
            ahead: None,
            is_replayed: false,
            dropped: None,
            lacks_states: false,
            records: 0,
            bytes: 0,
        }
    }

    pub(super) fn push(&mut self, content: Content) -> Tally {
        let mut tally = Tally { ringed: count(&content), ..Tally::default() };
        match content {
            Content::Started { at } => self.started = Some(at),
            // The run is continuous only from here on: what came before cannot be joined through the break.
            Content::Broken { at } => {
                tally.overflowed = self.records;
                self.clear();
                (self.started, self.is_replayed) = (Some(at), true);
            }
            Content::Ahead { at, newest } => {
                if !self.is_replayed {
                    self.ahead = Some((at, newest));
                }
            }
            // Only the newest proof says anything.
            Content::Proof { .. } => {
                let before = self.contents.len();
                self.contents.retain(|kept| !matches!(kept, Content::Proof { .. }));
                self.bytes -= (before - self.contents.len()) * content.bytes();
                self.bytes += content.bytes();
                self.contents.push_back(content);
            }
            Content::Dropped => {
                self.bytes += content.bytes();
                self.contents.push_back(content);
            }
            // Not of runs.
            Content::Refuted { .. } | Content::Unanswered { .. } => {}
            Content::Frame(_) | Content::Answer { .. } => {
                self.is_replayed = true;
                self.records += count(&content);
                self.bytes += content.bytes();
                self.contents.push_back(content);
            }
        }
        while self.records > CAPACITY || self.bytes > CAPACITY_BYTES {
            let Some(dropped) = self.drop_oldest() else { break };
            tally.overflowed += dropped;
        }
        tally
    }

    /// Returns how many records went.
    fn drop_oldest(&mut self) -> Option<u64> {
        let oldest = self.contents.pop_front()?;
        // Whether events join, and bars are whole, is seen from what is left of them.
        self.lacks_states |= oldest.records().is_some_and(Records::are_states);
        self.records -= count(&oldest);
        self.bytes -= oldest.bytes();
        if let Content::Frame(records @ Records::Trades(_)) = &oldest {
            self.dropped = self.dropped.max(records.ends().map(|(_, last)| last));
        }
        Some(count(&oldest))
    }

    /// Forgets frames of trades before `time`, but for the last of them: a join needs an older block. A newer frame that came
    /// before an older one stays.
    pub(super) fn forget(&mut self, time: TimeMs) {
        let ends = |content: &Content| match content {
            Content::Frame(records @ Records::Trades(_)) => records.ends(),
            _ => None,
        };
        let ends = |at: usize, contents: &VecDeque<Content>| contents.get(at).and_then(ends);
        while ends(1, &self.contents).is_some_and(|(first, _)| first < time)
            && ends(0, &self.contents).is_none_or(|(_, last)| last < time)
        {
            self.drop_oldest();
        }
    }

    fn clear(&mut self) {
        self.contents.clear();
        (self.dropped, self.lacks_states) = (None, false);
        (self.records, self.bytes) = (0, 0);
    }

    pub(super) fn into_contents(self) -> impl Iterator<Item = Content> {
        let started = self.started.map(|at| Content::Started { at });
        let ahead = self.ahead.map(|(at, newest)| Content::Ahead { at, newest });
        let dropped = self.lacks_states.then_some(Content::Dropped);
        let is_trades = |content: &Content| matches!(content, Content::Frame(Records::Trades(_)));
        let (trades, mut others): (Vec<_>, Vec<_>) = self.contents.into_iter().partition(is_trades);
        let mut trades: Vec<_> = trades.into_iter().filter_map(newer_than(self.dropped)).collect();
        // The first frame is the replay, unless it was overtaken.
        let oldest = |(at, trades): &(usize, &Vec<Trade>)| (trades.iter().map(|t| t.time).min(), *at);
        let replay = trades.iter().enumerate().take(2).min_by_key(oldest).map(|(at, _)| at);
        let replay = replay.map(|at| trades.remove(at));
        // Its newest trade may come once more by itself, and is not what the run goes on from.
        let is_replayed = |trade: &Trade| replay.iter().flatten().any(|other| other.key() == trade.key());
        trades.retain(|frame| !frame.iter().all(is_replayed));
        let mut stretch: Vec<_> = trades.into_iter().flatten().collect();
        stretch.sort_by_key(|trade| trade.time);
        let stretches = replay.into_iter().chain([stretch]).filter(|trades| !trades.is_empty());
        others.extend(stretches.map(|trades| Content::Frame(Records::Trades(trades))));
        started.into_iter().chain(ahead).chain(dropped).chain(others)
    }
}

/// The trades of a frame that came after the given time; none where there are none.
fn newer_than(dropped: Option<TimeMs>) -> impl Fn(Content) -> Option<Vec<Trade>> {
    move |content| match content {
        Content::Frame(Records::Trades(mut trades)) => {
            trades.retain(|trade| Some(trade.time) > dropped);
            (!trades.is_empty()).then_some(trades)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Book, Level};
    use crate::row::Arrival;
    use crate::stream::BookVariant;
    use crate::timeline::tests::records::trade;
    use crate::{Coin, Decimal, Records};

    fn held(ring: &Ring) -> usize {
        ring.contents.iter().map(Content::bytes).sum()
    }

    #[test]
    fn what_is_forgotten_makes_room() {
        let mut ring = Ring::new(RunId::first(1));
        for time in 1..=5_000 {
            ring.push(Content::Frame(Records::Trades(vec![trade(time, 1)])));
            ring.forget(TimeMs(time - 10));
            assert_eq!((ring.bytes, ring.records), (held(&ring), ring.contents.len() as u64));
        }
        assert_eq!(ring.contents.len(), 12);
    }

    #[test]
    fn a_frame_that_overtook_an_older_one_is_not_forgotten() {
        let mut ring = Ring::new(RunId::first(1));
        let frame = |times: &[i64]| {
            Content::Frame(Records::Trades(times.iter().map(|time| trade(*time, 1)).collect()))
        };
        ring.push(frame(&[40]));
        ring.push(frame(&[10, 20, 30]));
        ring.forget(TimeMs(15));
        let kept: Vec<_> = ring.into_contents().collect();
        assert_eq!(kept, [frame(&[10, 20, 30]), frame(&[40])]);
    }

    #[test]
    fn the_newest_trade_of_a_replay_that_comes_again_by_itself_is_dropped_and_one_that_brings_another_is_a_proof()
     {
        let frame = |times: &[i64]| {
            Content::Frame(Records::Trades(times.iter().map(|time| trade(*time, 1)).collect()))
        };
        let kept = |frames: &[&[i64]]| -> Vec<_> {
            let mut ring = Ring::new(RunId::first(1));
            frames.iter().for_each(|times| _ = ring.push(frame(times)));
            ring.into_contents().collect()
        };
        assert_eq!(kept(&[&[10, 20], &[20], &[30]]), [frame(&[10, 20]), frame(&[30])]);
        assert_eq!(kept(&[&[10, 20], &[20, 30]]), [frame(&[10, 20]), frame(&[20, 30])]);
    }

    #[test]
    fn it_is_bounded_in_bytes_and_drops_its_oldest() {
        let level = Level { px: Decimal::ONE, sz: Decimal::ONE, n: 1 };
        let book = |time| Book {
            coin: Coin::new("BTC").unwrap(),
            variant: BookVariant::Default,
            time: TimeMs(time),
            bids: std::iter::repeat_n(level, 100).collect(),
            asks: std::iter::repeat_n(level, 100).collect(),
            arrival: Arrival::default(),
        };
        let mut ring = Ring::new(RunId::first(1));
        let mut dropped = 0;
        for time in 1..=5_000 {
            dropped += ring.push(Content::Frame(Records::Books(vec![book(time)]))).overflowed;
            ring.push(Content::Proof { sent: TimeMs(time) });
        }
        assert!(held(&ring) <= CAPACITY_BYTES && held(&ring) > CAPACITY_BYTES / 2, "{}", held(&ring));
        assert_eq!(ring.bytes, held(&ring));
        let first = Content::Frame(Records::Books(vec![book(i64::try_from(dropped).unwrap() + 1)]));
        assert_eq!(ring.contents.front(), Some(&first), "what is left are the newest");
    }

    #[test]
    fn frames_without_records_are_bounded_too() {
        let mut ring = Ring::new(RunId::first(1));
        for _ in 0..CAPACITY_BYTES / 8 {
            ring.push(Content::Frame(Records::Mids(Vec::new())));
        }
        assert!(held(&ring) <= CAPACITY_BYTES);
    }

    #[test]
    fn it_is_bounded_in_records_and_says_what_it_dropped() {
        let mut ring = Ring::new(RunId::first(1));
        let frame = |n: u64| Content::Frame(Records::Trades((0..n).map(|tid| trade(1, tid)).collect()));
        for _ in 0..CAPACITY / 100 {
            let tally = ring.push(frame(100));
            assert_eq!((tally.ringed, tally.overflowed), (100, 0), "there is room");
        }
        assert_eq!((ring.push(frame(3)).overflowed, ring.records), (100, CAPACITY - 97));
    }

    #[test]
    fn what_came_before_a_break_is_dropped_and_the_run_begins_there() {
        let mut ring = Ring::new(RunId::first(1));
        ring.push(Content::Started { at: TimeMs(5) });
        ring.push(Content::Frame(Records::Trades(vec![trade(7, 1), trade(8, 1)])));
        let tally = ring.push(Content::Broken { at: TimeMs(10) });
        assert_eq!((tally.ringed, tally.overflowed), (0, 2));
        let after = Content::Frame(Records::Trades(vec![trade(12, 1)]));
        ring.push(after.clone());
        assert_eq!((ring.records, ring.bytes), (1, held(&ring)));
        let contents: Vec<_> = ring.into_contents().collect();
        assert_eq!(contents, [Content::Started { at: TimeMs(10) }, after]);
    }
}
