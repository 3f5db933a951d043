//! What a run brings before it owns the stream: kept, fenced, admitted at promotion. Full, it drops its oldest.

use std::collections::VecDeque;

use super::{Tally, count};
use crate::source::Content;
use crate::{Records, RunId, TimeMs};

/// Records that a ring keeps at most. Settling lasts seconds, so this is minutes of the busiest coin.
const CAPACITY: u64 = 20_000;

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Ring {
    pub(super) run: RunId,
    started: Option<TimeMs>,
    contents: VecDeque<Content>,
    records: u64,
}

impl Ring {
    pub(super) fn new(run: RunId) -> Self {
        Self { run, started: None, contents: VecDeque::new(), records: 0 }
    }

    pub(super) fn push(&mut self, content: Content) -> Tally {
        let mut tally = Tally { ringed: count(&content), ..Tally::default() };
        match content {
            Content::Started { at } => self.started = Some(at),
            // The run is continuous only from here on: what came before cannot be joined through the break.
            Content::Broken { at } => {
                tally.overflowed = self.records;
                self.clear();
                self.started = Some(at);
            }
            // Only the newest proof says anything.
            Content::Proof { .. } => {
                self.contents.retain(|kept| !matches!(kept, Content::Proof { .. }));
                self.contents.push_back(content);
            }
            Content::Frame(_) | Content::Answer { .. } => {
                self.records += count(&content);
                self.contents.push_back(content);
            }
        }
        while self.records > CAPACITY {
            let Some(oldest) = self.contents.pop_front() else { break };
            self.records -= count(&oldest);
            tally.overflowed += count(&oldest);
        }
        tally
    }

    /// Forgets frames of trades before `time`, but for the last of them: a join needs an older block.
    pub(super) fn forget(&mut self, time: TimeMs) {
        let is_older = |content: &Content| match content {
            Content::Frame(records @ Records::Trades(_)) => {
                records.ends().is_some_and(|(first, _)| first < time)
            }
            _ => false,
        };
        while self.contents.get(1).is_some_and(is_older) {
            self.records -= self.contents.pop_front().map_or(0, |oldest| count(&oldest));
        }
    }

    fn clear(&mut self) {
        self.contents.clear();
        self.records = 0;
    }

    pub(super) fn into_contents(self) -> impl Iterator<Item = Content> {
        self.started.map(|at| Content::Started { at }).into_iter().chain(self.contents)
    }
}
