//! Exchange time, learnt from the exchange's own stamps; and whether it goes on.
//!
//! A frame never bears a time that has not come yet, so the largest difference between a stamp and the monotonic
//! clock at its arrival is the best estimate of the offset; what remains is the shortest delay of the network, by
//! which the estimate is low. A stepping system clock changes nothing once the time is known.
//!
//! But a stamp may be wrong, so none is believed alone. A difference counts as far as a second word reaches it: of another
//! voice, or of the same voice with another stamp. What would move the estimate by seconds needs more:
//! - ahead: the system clock says the same; or a voice says it for seconds, with the exchange's answer to the question what
//!   time it is, or for longer without it, and no stream speaks for the estimate meanwhile. A burst of wrong stamps may hit a
//!   voice and an answer alike;
//! - back: two such answers say the same, and no stream speaks for the estimate meanwhile.
//!
//! Before the time is known, the system clock is one more word, and where it is wrong by seconds three have to say the same; for
//! seconds, where they lie ahead of what the exchange answered.
//!
//! Whether to ask is said by [`ExchangeTime::asks`].

mod pulse;
#[cfg(test)]
mod tests;

use crate::TimeMs;
use pulse::Pulse;

/// How long the best difference counts before it has to be seen again, ms. Twice this forgets it for good.
const WINDOW_MS: i64 = 300_000;
/// How long after the first stamp a system clock that is nearly right still counts as one more: the first stamps may be
/// those of snapshots, which are a little old, ms.
const TRUST_MS: i64 = 5_000;
/// Nearly right, ms.
const NEARLY_MS: i64 = 10_000;
/// Two words say the same when they differ by no more, ms: frames arrive up to seconds late.
const AGREE_MS: i64 = 3_000;
/// Two answers to the question, some time apart, say the same when they differ by no more, ms.
const SAME_ANSWER_MS: i64 = 1_500;
/// … and this is that time, ms. A clock that stands still differs by it.
const BETWEEN_ANSWERS_MS: i64 = 2_000;
/// How long a word is fresh, ms.
const FRESH_MS: i64 = 10_000;
/// A stamp may lie this far ahead of the estimate, which is low, ms. A record beyond it is not taken.
const AHEAD_MS: i64 = 5_000;
/// The same before the exchange has said what time it is: the system clock may be wrong by hours …
const AHEAD_OF_GUESS_MS: i64 = 86_400_000;
/// … and where it has answered once: a record that lies ahead of that has to be as near to the system clock.
const AHEAD_OF_ANSWER_MS: i64 = 60_000;
/// A voice that lies ahead is believed after this, where no stream speaks for the estimate, ms …
const PERSISTS_MS: i64 = 10_000;
/// … and after this where the exchange, asked, does: its answers may stand still.
const PERSISTS_AGAINST_MS: i64 = 600_000;
/// Streams that lie behind are not reported before this, ms.
const BEHIND_FOR_MS: i64 = 3_000;
/// The pause between two questions doubles while they settle nothing, from this on, ms.
const FIRST_PAUSE_MS: i64 = 1_250;
const LONGEST_PAUSE_MS: i64 = 60_000;

/// Where a stamp comes from. What comes from one place may be wrong together: all books of a push bear one time.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Voice {
    /// Trades over the WebSocket.
    Trades,
    /// Books over the WebSocket.
    Books,
    /// Best bids and offers over the WebSocket.
    Bbos,
    /// Books over REST.
    Answers,
}

const VOICES: usize = 4;

/// The last word of a voice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Word {
    stamp: TimeMs,
    offset: i64,
    mono: i64,
    /// Since when it has been ahead of the estimate; none where it is not.
    ahead: Option<i64>,
}

/// The last answer to the question what time it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Answered {
    /// The least and the most that the difference can have been, since it took a while.
    offset: i64,
    most: i64,
    mono: i64,
}

/// Estimates exchange time from the monotonic clock. `mono` is in milliseconds from any fixed point.
#[derive(Clone, Copy, Debug)]
pub struct ExchangeTime {
    /// Offset from the system clock, until the time is known.
    guess: i64,
    /// When it became known.
    first: Option<i64>,
    current: Option<i64>,
    previous: Option<i64>,
    window_start: i64,
    words: [Option<Word>; VOICES],
    answered: Option<Answered>,
    /// When a stream last spoke for the estimate.
    near: Option<i64>,
    /// Since when streams have spoken, and none for the estimate.
    behind: Option<i64>,
    /// Whether the last answers were those of the estimate, so that one that is not means a change.
    answers_near: bool,
    /// Whether the system clock showed exchange time, nearly, when it was last compared.
    system_near: bool,
    /// When a word against the estimate was last heard that nothing has settled.
    doubt: Option<i64>,
    asked: Option<i64>,
    pause_ms: i64,
    pulse: Pulse,
}

impl ExchangeTime {
    /// Starts from the system clock's idea of now.
    #[must_use]
    pub fn new(system: TimeMs, mono: i64) -> Self {
        Self {
            guess: system.0.saturating_sub(mono),
            first: None,
            current: None,
            previous: None,
            window_start: mono,
            words: [None; VOICES],
            answered: None,
            near: None,
            behind: None,
            answers_near: false,
            system_near: false,
            doubt: None,
            asked: None,
            pause_ms: FIRST_PAUSE_MS,
            pulse: Pulse::new(mono),
        }
    }

    /// A stamp of the exchange arrived. `system`: what the system clock shows.
    pub fn observe(&mut self, voice: Voice, stamp: TimeMs, mono: i64, system: TimeMs) {
        let before = self.words[voice as usize];
        // All books of a push bear one time: that is one word.
        if before.is_some_and(|before| before.stamp == stamp) {
            return;
        }
        let (offset, system) = (stamp.0.saturating_sub(mono), system.0.saturating_sub(mono));
        let mut word = Word { stamp, offset, mono, ahead: None };
        match self.learnt() {
            None => {
                let is_near = apart(system, offset) <= NEARLY_MS;
                if !is_near && self.answered.is_some_and(|said| offset > said.most.saturating_add(AGREE_MS)) {
                    word.ahead = Some(said_since(before, offset).unwrap_or(mono));
                }
                let is_contradicted = word.ahead.is_some_and(|since| mono - since < PERSISTS_MS);
                if is_near || self.words_near(offset, |_| true).count() >= 2 && !is_contradicted {
                    self.learn(offset, mono);
                    word.ahead = None;
                }
            }
            Some(known) if offset > known.saturating_add(AGREE_MS) => {
                let since = said_since(before, offset).unwrap_or(mono);
                word.ahead = Some(since);
                self.doubt = Some(mono);
                if let Some(offset) = self.confirmed(offset, since, known, mono, system) {
                    self.learn(offset, mono);
                    word.ahead = None;
                }
            }
            Some(known) => {
                self.system_near = apart(system, known) <= NEARLY_MS;
                if offset >= known.saturating_sub(AGREE_MS) {
                    self.near = Some(mono);
                    self.behind = None;
                } else {
                    self.behind.get_or_insert(mono);
                }
                if let Some(second) = self.second(offset) {
                    self.raise(offset.min(second), mono);
                }
            }
        }
        if word.ahead.is_none() {
            self.pulse.stamp(stamp, mono);
        }
        self.words[voice as usize] = Some(word);
    }

    /// The exchange was asked what time it is, and said so: `took_ms` after the question.
    pub fn answered(&mut self, time: TimeMs, mono: i64, took_ms: i64, system: TimeMs) {
        let (offset, system) = (time.0.saturating_sub(mono), system.0.saturating_sub(mono));
        let said = Answered { offset, most: offset.saturating_add(took_ms.max(0)), mono };
        let before = self.answered.replace(said);
        let is_ahead = self.learnt().is_some_and(|known| offset > known.saturating_add(AGREE_MS));
        if !is_ahead {
            self.pulse.answered(time, mono);
        }
        let agrees = |other: i64| apart(other, offset) <= AGREE_MS;
        let Some(known) = self.learnt() else {
            let twice = before.is_some_and(|before| agrees(before.offset));
            if twice || apart(system, offset) <= NEARLY_MS || self.agreeing(offset).count() >= 3 {
                self.learn(offset, mono);
                self.answers_near = true;
            }
            return;
        };
        // Two answers that say the same, while no stream spoke for the estimate.
        let same = before.filter(|before| {
            (BETWEEN_ANSWERS_MS..=2 * LONGEST_PAUSE_MS).contains(&(mono - before.mono))
                && apart(before.offset, offset) <= SAME_ANSWER_MS
                && self.near.is_none_or(|near| near < before.mono)
        });
        if is_ahead {
            let says_so = |word: &Word| {
                let ahead =
                    word.ahead.is_some_and(|since| self.is_undisputed(since, BETWEEN_ANSWERS_MS, mono));
                ahead && agrees(word.offset)
            };
            if agrees(system) || same.is_some() || self.fresh(mono).any(says_so) {
                self.learn(offset, mono);
                self.answers_near = true;
            } else {
                self.doubt = Some(mono);
            }
        } else if said.most < known.saturating_sub(AGREE_MS) {
            let words = self.words.iter().flatten();
            let newest = |since: i64| words.filter(|word| word.mono >= since).map(|word| word.offset).max();
            match same.map(|before| newest(before.mono)) {
                // Streams that say the same; or none, where the answers used to be those of the estimate.
                Some(Some(newest)) if newest <= offset.saturating_add(AGREE_MS) => {
                    self.learn(newest.max(offset), mono);
                    self.answers_near = true;
                    self.pulse.restart(time, mono);
                }
                Some(None) if self.answers_near => {
                    self.learn(offset, mono);
                    self.answers_near = true;
                    self.pulse.restart(time, mono);
                }
                _ if self.near.is_none_or(|near| mono - near >= BEHIND_FOR_MS) => self.doubt = Some(mono),
                _ => {}
            }
        } else {
            self.answers_near = true;
            (self.behind, self.doubt) = (None, None);
            let before = before.map(|before| before.offset).filter(|before| agrees(*before));
            let words = self.words.iter().flatten().filter(|word| word.ahead.is_none());
            let words = words.map(|word| word.offset).filter(|other| agrees(*other));
            if let Some(second) = words.chain(before).max() {
                self.raise(offset.min(second), mono);
            }
        }
    }

    /// Something of the exchange changed that bears no time.
    pub fn changed(&mut self, mono: i64) {
        self.pulse.moved(self.now(mono), mono);
    }

    /// Up to when the exchange went on, where it stands still; none while it goes on. Only what it says when it is asked
    /// proves that it does not.
    #[must_use]
    pub fn stands_since(&self) -> Option<TimeMs> {
        self.pulse.stands_since()
    }

    /// Whether the exchange is to be asked now what time it is. Saying yes counts as asking. `timeless`: streams are collected
    /// whose frames bear no time, so that it matters whether the exchange goes on.
    pub fn asks(&mut self, mono: i64, timeless: bool) -> bool {
        let asked_before = |at: i64| self.asked.is_none_or(|asked| asked <= at);
        let is_behind = self.behind.is_some_and(|since| mono - since >= BEHIND_FOR_MS);
        let is_doubted = self.doubt.is_some_and(asked_before) || is_behind || self.learnt().is_none();
        if self.asked.is_some_and(|asked| mono - asked > 2 * LONGEST_PAUSE_MS) {
            self.pause_ms = FIRST_PAUSE_MS;
        }
        let settles = is_doubted && asked_before(mono - self.pause_ms);
        if settles {
            self.pause_ms = (self.pause_ms * 2).min(LONGEST_PAUSE_MS);
        }
        let pulse = timeless && self.pulse.asks(mono, self.asked);
        if settles || pulse {
            self.asked = Some(mono);
        }
        settles || pulse
    }

    /// Whether the exchange has said what time it is. Before that the system clock serves, which may be wrong by hours.
    #[must_use]
    pub fn is_learnt(&self) -> bool {
        self.first.is_some()
    }

    /// Whether a stamp can be one of now: not ahead of what is known by more than seconds. After a machine slept, its system
    /// clock knows.
    #[must_use]
    pub fn can_be(&self, stamp: TimeMs, mono: i64, system: TimeMs) -> bool {
        if let (false, Some(said)) = (self.is_learnt(), self.answered) {
            let is_system = apart(stamp.0, system.0) <= AHEAD_OF_ANSWER_MS;
            return is_system || stamp <= TimeMs(mono.saturating_add(said.most)) + AHEAD_OF_ANSWER_MS;
        }
        let ahead_ms = if self.is_learnt() { AHEAD_MS } else { AHEAD_OF_GUESS_MS };
        let is_system = (!self.is_learnt() || self.system_near) && stamp <= system + ahead_ms;
        stamp <= self.now(mono) + ahead_ms || is_system
    }

    /// Exchange time now: a low estimate, and the system clock's before the time is known.
    #[must_use]
    pub fn now(&self, mono: i64) -> TimeMs {
        let learnt = self.learnt();
        let near = learnt.is_none_or(|learnt| apart(self.guess, learnt) <= NEARLY_MS);
        let trusted = near && self.first.is_none_or(|first| mono - first < TRUST_MS);
        let offset = if trusted { learnt.max(Some(self.guess)) } else { learnt };
        TimeMs(mono.saturating_add(offset.unwrap_or(self.guess)))
    }

    /// How far the exchange's clock is ahead of the monotonic one, ms, by its own words alone.
    #[must_use]
    pub fn learnt(&self) -> Option<i64> {
        self.current.max(self.previous)
    }

    /// The time is this, whatever was believed before.
    fn learn(&mut self, offset: i64, mono: i64) {
        self.first.get_or_insert(mono);
        (self.current, self.previous, self.window_start) = (Some(offset), None, mono);
        (self.near, self.behind, self.doubt, self.answers_near) = (None, None, None, false);
        self.pause_ms = FIRST_PAUSE_MS;
        for word in self.words.iter_mut().flatten() {
            word.ahead = None;
        }
    }

    fn raise(&mut self, offset: i64, mono: i64) {
        if mono - self.window_start >= WINDOW_MS {
            self.previous = self.current.take();
            self.window_start = mono;
        }
        self.current = Some(self.current.map_or(offset, |best| best.max(offset)));
    }

    /// The words near `offset`, of those that count: of the other voices, of the same voice before, and of the answer.
    fn words_near(&self, offset: i64, counts: impl Fn(&Word) -> bool) -> impl Iterator<Item = i64> {
        let words = self.words.iter().flatten().filter(move |word| counts(word)).map(|word| word.offset);
        let words = words.chain(self.answered.map(|answered| answered.offset));
        words.filter(move |other| apart(*other, offset) <= AGREE_MS)
    }

    /// Those that do not lie ahead of what is known.
    fn agreeing(&self, offset: i64) -> impl Iterator<Item = i64> {
        self.words_near(offset, |word| word.ahead.is_none())
    }

    /// The highest of them.
    fn second(&self, offset: i64) -> Option<i64> {
        self.agreeing(offset).max()
    }

    /// What a stream has said within the last seconds.
    fn fresh(&self, mono: i64) -> impl Iterator<Item = &Word> {
        self.words.iter().flatten().filter(move |word| mono - word.mono <= FRESH_MS)
    }

    /// Whether a voice that has been ahead of the estimate since then has been so for long enough, and no stream has spoken for
    /// the estimate meanwhile.
    fn is_undisputed(&self, since: i64, for_ms: i64, mono: i64) -> bool {
        mono - since >= for_ms && self.near.is_none_or(|near| near < since)
    }

    /// What the time is, where what a voice has said since then, seconds ahead of what is known, is so.
    fn confirmed(&self, offset: i64, since: i64, known: i64, mono: i64, system: i64) -> Option<i64> {
        let answer = self.answered.filter(|answered| mono - answered.mono <= FRESH_MS);
        let answer = answer.filter(|_| self.is_undisputed(since, BETWEEN_ANSWERS_MS, mono));
        let second = [Some(system), answer.map(|answer| answer.offset)].into_iter().flatten();
        let second = second.filter(|other| apart(*other, offset) <= AGREE_MS).max();
        // It may be that a second word reaches it, and does not lie ahead itself.
        let second = second.map(|second| second.min(offset)).filter(|second| *second > known + AGREE_MS);
        if second.is_some() {
            return second;
        }
        let is_opposed = self.answered.is_some_and(|a| a.mono >= since && apart(a.offset, known) <= AGREE_MS);
        let patience_ms = if is_opposed { PERSISTS_AGAINST_MS } else { PERSISTS_MS };
        self.is_undisputed(since, patience_ms, mono).then_some(offset)
    }
}

/// Since when a voice that lies ahead has said the same.
fn said_since(before: Option<Word>, offset: i64) -> Option<i64> {
    before.filter(|before| apart(before.offset, offset) <= AGREE_MS)?.ahead
}

fn apart(a: i64, b: i64) -> i64 {
    a.saturating_sub(b).saturating_abs()
}
