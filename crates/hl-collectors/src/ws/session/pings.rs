//! Pings of a socket: whether it still lives, and what has surely been seen of what was sent on it.
//!
//! Frames of a socket come in the order in which they were sent. So a pong proves that everything sent before its ping was
//! answered has been seen; and a frame of data proves the same of everything sent before the time that it bears. Data
//! that flow are the better sign of life: a socket that brings them stays, whether or not its pings are answered.

use hl_core::TimeMs;
use hl_core::decode::Frame;
use hl_core::selector::Mono;

/// How often to ping: where the pong is a proof, more often.
pub(super) const PING_MS: i64 = 20_000;
pub(super) const PING_FOR_PROOF_MS: i64 = 5_000;
/// The exchange answers a ping in 0.1 s; no answer for this long, and nothing else either, is a half-open connection.
pub(super) const PONG_LIMIT_MS: i64 = 10_000;
/// How much older than its stamp says a frame may be, for what waited while this process stood still, ms.
const STAMP_MARGIN_MS: i64 = 1_000;

/// A ping without an answer.
#[derive(Clone, Copy, Debug)]
struct Open {
    /// When it was sent, in exchange time.
    exchange: TimeMs,
    /// Since when its answer is waited for: the process may have stood still meanwhile.
    since: Mono,
}

/// What is to be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Beat {
    /// Nothing.
    Rest,
    /// Send a ping.
    Ping,
    /// Nothing comes any more, nor does an answer: close.
    HalfOpen,
}

/// The process stood still.
#[derive(Clone, Copy, Debug)]
struct Stall {
    /// Until when.
    until: Mono,
    /// How many pongs may answer pings from before.
    older: u32,
}

/// The pings of one socket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pings {
    due: Mono,
    /// The oldest without an answer.
    open: Option<Open>,
    /// When the last frame came, of whatever sort.
    heard: Mono,
    /// Pings less pongs. Pongs come in the order of their pings, so each answers the oldest of these, or a later one.
    unanswered: u32,
    /// A ping stayed unanswered although frames came. From then on it is not known which ping a pong answers, so it proves
    /// no time; stamps do.
    missing: bool,
    /// When stamps are looked at again.
    stamps_due: Mono,
    /// What comes before the answer to a later ping may have waited meanwhile.
    stall: Option<Stall>,
}

impl Pings {
    /// Of a socket that has just opened. `soon`: the first goes out at once.
    pub(super) fn new(now: Mono, needs_proof: bool, soon: bool) -> Self {
        Self {
            due: if soon { now } else { now + every_ms(needs_proof) },
            open: None,
            unanswered: 0,
            heard: now,
            missing: false,
            stamps_due: now,
            stall: None,
        }
    }

    /// A frame came.
    pub(super) fn heard(&mut self, now: Mono) {
        self.heard = now;
    }

    /// The process did not run for a while, until now.
    pub(super) fn stood_still(&mut self, now: Mono) {
        self.stall = Some(Stall { until: now, older: self.unanswered });
        self.due = now;
        self.heard = now;
        if let Some(open) = &mut self.open {
            open.since = now;
        }
    }

    /// Whether what comes may have waited while this process stood still.
    pub(super) fn may_be_stale(&self) -> bool {
        self.stall.is_some()
    }

    /// Whether a ping stayed unanswered while data came.
    pub(super) fn are_unanswered(&self) -> bool {
        self.missing
    }

    /// A pong came. Up to which exchange time everything sent has been seen, where it proves that.
    pub(super) fn pong(&mut self) -> Option<TimeMs> {
        self.unanswered = self.unanswered.checked_sub(1)?;
        match &mut self.stall {
            Some(stall) if stall.older > 0 => stall.older -= 1,
            stall => *stall = None,
        }
        self.open.take().filter(|_| !self.missing).map(|open| open.exchange)
    }

    /// A frame of data came. Up to which exchange time everything sent has been seen, where pongs do not prove that, and
    /// it was not asked a moment ago.
    pub(super) fn stamped(&mut self, now: Mono, exchange: TimeMs, frame: &Frame) -> Option<TimeMs> {
        if !self.missing || now < self.stamps_due {
            return None;
        }
        // A stamp of the future proves no more than that it is now.
        let sent = stamp(frame)?.min(exchange);
        self.stall.take_if(|stall| stall.until + STAMP_MARGIN_MS <= now - exchange.since(sent));
        self.stamps_due = now + PING_FOR_PROOF_MS;
        Some(sent)
    }

    /// What is due.
    pub(super) fn tick(&mut self, now: Mono, exchange: TimeMs, needs_proof: bool) -> Beat {
        if let Some(open) = self.open {
            if open.since.max(self.heard) + PONG_LIMIT_MS <= now {
                return Beat::HalfOpen;
            }
            self.missing |= open.since + PONG_LIMIT_MS <= now;
            if !self.missing {
                return Beat::Rest;
            }
        }
        if now < self.due {
            return Beat::Rest;
        }
        self.open.get_or_insert(Open { exchange, since: now });
        self.unanswered = self.unanswered.saturating_add(1);
        self.due = now + every_ms(needs_proof || self.missing);
        Beat::Ping
    }

    /// When [`Pings::tick`] has something to do.
    pub(super) fn deadline(&self) -> Mono {
        match self.open {
            None => self.due,
            Some(open) if !self.missing => open.since + PONG_LIMIT_MS,
            Some(open) => self.due.min(open.since.max(self.heard) + PONG_LIMIT_MS),
        }
    }
}

/// How often to ping.
fn every_ms(for_proof: bool) -> i64 {
    if for_proof { PING_FOR_PROOF_MS } else { PING_MS }
}

/// A time at which the frame had not been sent yet. None where it bears none.
fn stamp(frame: &Frame) -> Option<TimeMs> {
    match frame {
        // Of a bar its opening: it was sent at some time after.
        Frame::Data(stream, records) if stream.spec().timed => records.ends().map(|(_, last)| last),
        _ => None,
    }
}
