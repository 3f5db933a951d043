//! The selector: which source owns each stream.
//!
//! [`Selector`] is a pure state machine, `step(now, event)`, that appends to an outbox of [`Effect`]s; it does no
//! I/O, has no clock and draws no randomness, so it can be model-checked and simulated for years. [`SharedSelector`] is the one
//! lock around it, held for a step and never across an await.
//!
//! What does not live here: the gate (time lines admit by the claims that the selector hands out), and carrying out
//! effects (the director task of the daemon).
//!
//! Times are milliseconds of one monotonic clock; only their differences matter.

mod machine;
mod shared;

#[cfg(test)]
mod tests;

pub use machine::{Selector, StreamView};
pub use shared::SharedSelector;

use crate::ledger::Cause;
use crate::seeded::guard;
use crate::timeline::Grant;
use crate::{Epoch, Lane, RunId, StreamKey};

/// A point on the monotonic clock, ms.
pub type Mono = i64;

/// How many subscriptions of a stream have a place on a socket.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Places {
    /// None: the stream belongs to REST.
    #[default]
    None,
    /// One.
    One,
    /// Two, on different sockets: one of them is a warm standby.
    Two,
}

impl Places {
    /// Whether the lane is among them.
    #[must_use]
    pub fn has(self, lane: Lane) -> bool {
        match lane {
            Lane::First => self >= Self::One,
            Lane::Second => self >= Self::Two,
        }
    }
}

/// What happened.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Event {
    /// Another process holds the stream and is about to give it to this one: its sockets prove themselves meanwhile.
    Warm {
        /// The stream.
        stream: StreamKey,
        /// The subscriptions that the WebSocket pool has a place for.
        places: Places,
    },
    /// This process holds the stream's lease and may collect it.
    Leased {
        /// The stream.
        stream: StreamKey,
        /// The subscriptions that the WebSocket pool has a place for.
        places: Places,
        /// Whether it was never collected before.
        is_new: bool,
    },
    /// The lease is gone: stop.
    Superseded {
        /// The stream.
        stream: StreamKey,
    },
    /// Another process is to have the stream: stop, and give the lease back once everything is committed.
    Released {
        /// The stream.
        stream: StreamKey,
    },
    /// A run is subscribed, acknowledged, and has brought data or its replay: it begins to settle.
    Up {
        /// The stream.
        stream: StreamKey,
        /// The run.
        run: RunId,
    },
    /// A run ended, or a subscription could not be made.
    Down {
        /// The stream.
        stream: StreamKey,
        /// The lane.
        lane: Lane,
        /// The run, where there was one.
        run: Option<RunId>,
        /// Why.
        cause: Cause,
    },
    /// A run has been silent for longer than its rhythm allows.
    Silent {
        /// The stream.
        stream: StreamKey,
        /// The run.
        run: RunId,
    },
    /// The answer to [`Effect::Probe`].
    Probed {
        /// The stream.
        stream: StreamKey,
        /// The run that was asked about.
        run: RunId,
        /// Whether something was found that the run had not brought.
        missed: bool,
    },
    /// A witness saw that the run missed something: its coin's bar counts trades that never came.
    Missed {
        /// The stream.
        stream: StreamKey,
        /// The run.
        run: RunId,
    },
    /// The requests of REST, which owns the stream under this claim, begin to fail, or are answered again.
    Answers {
        /// The stream.
        stream: StreamKey,
        /// The claim.
        epoch: Epoch,
        /// Whether they fail.
        fail: bool,
    },
    /// Time passed: look at deadlines.
    Tick,
}

/// What is to be done, in this order.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Effect {
    /// Put the handover into the inbox, then tell the sources. `None`: nobody owns the stream now.
    Handover {
        /// The stream.
        stream: StreamKey,
        /// The new claim.
        grant: Option<Grant>,
    },
    /// Nobody here owns the stream any more, and another process is to have it.
    Release {
        /// The stream.
        stream: StreamKey,
    },
    /// Ask the exchange whether the silent run missed something.
    Probe {
        /// The stream.
        stream: StreamKey,
        /// The silent run.
        run: RunId,
    },
    /// Subscribe anew.
    Renew {
        /// The stream.
        stream: StreamKey,
        /// The run that is given up.
        run: RunId,
    },
    /// The silence was innocent: be more patient.
    Calm {
        /// The stream.
        stream: StreamKey,
        /// The run.
        run: RunId,
    },
}

/// How long a returning socket must be stable before it takes back, and what else the machine waits for. All ms.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Timing {
    /// How long a run settles before it is promoted.
    pub settle_ms: i64,
    /// The longest that settling becomes when runs keep dying young.
    pub longest_settle_ms: i64,
    /// The longest that it becomes when witnesses keep saying that runs missed something.
    pub longest_convicted_ms: i64,
    /// A run that owned this long was stable: the next one settles for the shortest time again.
    pub stable_ms: i64,
    /// How long the socket is waited for at the start before REST begins.
    pub start_grace_ms: i64,
    /// An unanswered probe counts as no witness after this.
    pub probe_limit_ms: i64,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            settle_ms: 3_000,
            longest_settle_ms: 20_000,
            longest_convicted_ms: 60_000,
            stable_ms: 60_000,
            start_grace_ms: 8_000,
            probe_limit_ms: 15_000,
        }
    }
}

/// Makes epochs under one token: each is used once.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct EpochMint {
    next: Epoch,
}

impl EpochMint {
    /// Epochs of a lease token, from local number 1.
    #[must_use]
    pub fn new(token: crate::Token) -> Self {
        Self { next: Epoch { token, local: 1 } }
    }

    /// A new epoch.
    pub fn mint(&mut self) -> Epoch {
        let epoch = self.next;
        if guard!(Epoch) {
            // A process that hands over a thousand times a second lasts 49 days; it saturates rather than reuse a token.
            self.next.local = self.next.local.saturating_add(1);
        }
        epoch
    }
}
