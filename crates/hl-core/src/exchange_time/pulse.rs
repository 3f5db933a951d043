//! Whether the exchange goes on. Its front may push mids and contexts, which bear no time, while no block is made.

use crate::TimeMs;

/// Nothing has moved for so long: worth a question, ms.
const QUIET_MS: i64 = 10_000;
/// Between two questions, ms: each costs 2 of the 1,200 request weight a minute.
const ASK_EVERY_MS: i64 = 15_000;
/// The exchange stands still when its time was the same so long apart, ms. Blocks are made every 0.1 s.
const STOOD_MS: i64 = 10_000;

#[derive(Clone, Copy, Debug)]
pub(super) struct Pulse {
    /// The newest stamp that was believed.
    newest: TimeMs,
    /// The last moment at which something moved, exchange time, and when that was seen.
    reached: TimeMs,
    moved: i64,
    /// What the exchange says its time is, and when it first said so.
    said: Option<(TimeMs, i64)>,
    stands: bool,
}

impl Pulse {
    pub(super) fn new(mono: i64) -> Self {
        Self { newest: TimeMs::MIN, reached: TimeMs::MIN, moved: mono, said: None, stands: false }
    }

    /// A stamp that is believed. An older one may be a replay.
    pub(super) fn stamp(&mut self, stamp: TimeMs, mono: i64) {
        if self.newest < stamp {
            self.newest = stamp;
            self.moved(stamp, mono);
        }
    }

    pub(super) fn moved(&mut self, at: TimeMs, mono: i64) {
        self.reached = self.reached.max(at);
        (self.moved, self.stands) = (self.moved.max(mono), false);
    }

    /// The clock of the exchange was set to another time: stamps begin anew.
    pub(super) fn restart(&mut self, time: TimeMs, mono: i64) {
        (self.newest, self.reached) = (time, time);
        self.moved(time, mono);
    }

    /// The exchange was asked what time it is.
    pub(super) fn answered(&mut self, time: TimeMs, mono: i64) {
        match self.said {
            Some((before, since)) if before == time && self.moved <= since => {
                self.stands = mono - since >= STOOD_MS;
            }
            Some((before, _)) if before == time => self.said = Some((time, mono)),
            Some(_) => {
                self.said = Some((time, mono));
                // What a stamp had shown already is not news.
                if self.newest < time || self.stands {
                    self.newest = self.newest.max(time);
                    self.moved(time, mono);
                }
            }
            None => self.said = Some((time, mono)),
        }
    }

    pub(super) fn stands_since(&self) -> Option<TimeMs> {
        self.stands.then_some(self.reached)
    }

    pub(super) fn asks(&self, mono: i64, asked: Option<i64>) -> bool {
        mono - self.moved >= QUIET_MS && asked.is_none_or(|asked| mono - asked >= ASK_EVERY_MS)
    }
}
