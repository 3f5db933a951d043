//! What a process is seen to do at one moment.

use std::collections::{BTreeMap, BTreeSet};

use hl_core::ledger::Cause;
use hl_core::selector::Mono;
use hl_core::store::StoreCondition;
use hl_core::{Coin, SourceId, StreamKey, TimeMs, Token};

use crate::Reception;

/// Everything that is seen at one moment. Counters only grow.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Observation {
    /// Exchange time, ms.
    pub at: TimeMs,
    /// The monotonic clock, ms.
    pub mono: Mono,
    /// Every stream that this process was told to collect.
    pub streams: BTreeMap<StreamKey, StreamSeen>,
    /// What was asked for and the exchange does not list, by name, and why, in words.
    pub missing: BTreeMap<String, String>,
    /// How often a signal changed so that somebody should be told, by coin, and what is said now, in words.
    pub signals: BTreeMap<Coin, (u64, String)>,
    /// Every socket that has subscriptions.
    pub sessions: Vec<SessionSeen>,
    /// What no socket subscribes for a while.
    pub quarantined: Vec<QuarantineSeen>,
    /// Requests.
    pub rest: RestSeen,
    /// What writes into the store.
    pub writer: WriterSeen,
    /// The place where the rows lie.
    pub store: StoreCondition,
    /// What could not be read so far, by stream or kind of answer.
    pub unreadable: BTreeMap<String, UnreadableSeen>,
    /// Every job.
    pub jobs: Vec<JobSeen>,
    /// The other living processes on the store.
    pub peers: Vec<Peer>,
    /// Whether the processes on the store share the work on purpose: all of them plan the same jobs then.
    pub shares: bool,
}

/// A stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StreamSeen {
    /// Who collects it in this process.
    pub owner: Option<SourceId>,
    /// The process that holds its lease, where that is another one.
    pub held_by: Option<Token>,
    /// Whether the WebSocket has a place for it.
    pub subscribed: bool,
    /// Records admitted.
    pub records: u64,
    /// Rows that said something else than the ones stored under their keys.
    pub differing: u64,
    /// Records that came live, and older than what is stored.
    pub late: u64,
    /// How often it was given to an owner.
    pub moves: u64,
    /// Why it last was, where it did not only go back.
    pub moved_by: Option<Cause>,
    /// Whether data of it is received, where this process owns it.
    pub reception: Reception,
}

/// A socket.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SessionSeen {
    /// The number of its slot.
    pub slot: u32,
    /// Whether it is open.
    pub up: bool,
    /// Acknowledged subscriptions.
    pub live: usize,
    /// Wanted subscriptions.
    pub wanted: usize,
    /// Why it is not open, in words.
    pub trouble: Option<String>,
    /// How often it was opened.
    pub connects: u64,
    /// Frames of data that it brought.
    pub frames: u64,
    /// How late they arrive, ms.
    pub delay_ms: i64,
}

/// A name, or one stream, that ended sockets or was refused.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct QuarantineSeen {
    /// A coin, or a stream.
    pub subject: String,
    /// Its streams.
    pub streams: Vec<StreamKey>,
    /// Why, in words.
    pub why: String,
    /// When it is tried again, on the monotonic clock, ms.
    pub next: Mono,
    /// How many trials it has failed in a row.
    pub failed: u32,
}

/// Requests to `/info`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RestSeen {
    /// Usable answers.
    pub answers: u64,
    /// Attempts without one.
    pub failures: u64,
    /// 429s.
    pub rate_limited: u64,
    /// Request weight that this process booked in the last minute.
    pub weight_used: u32,
}

/// What could not be read of one subject.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct UnreadableSeen {
    /// Rows, frames and answers.
    pub count: u64,
    /// Why the last of them could not be read.
    pub reason: String,
}

/// What writes into the store.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct WriterSeen {
    /// Transactions.
    pub commits: u64,
    /// Attempts that failed.
    pub failures: u64,
    /// Batches that wait in the spool.
    pub spooled: u64,
    /// Records that were dropped, for want of memory or of room in the spool: inside gaps.
    pub dropped: u64,
}

/// A job.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct JobSeen {
    /// Its id.
    pub id: String,
    /// Whether it is planned: two processes may not plan the same one.
    pub planned: bool,
    /// Whether it runs now.
    pub running: bool,
    /// Whether it will run.
    pub due: bool,
    /// How often it ran.
    pub runs: u64,
    /// How often the id was registered again.
    pub again: u64,
    /// Planned runs in a row that did not succeed, where they are so many that somebody should look; else 0.
    pub in_vain: u32,
    /// Why the last of these was skipped, in words; none where it ran and failed.
    pub skipped: Option<String>,
    /// What of a job that runs when it is needed fails again and again, and how often in a row it did.
    pub failing: Option<(u32, String)>,
}

/// Another living process on the store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Peer {
    /// Its token.
    pub token: Token,
    /// What it is and where, in words.
    pub name: String,
    /// When it last told of itself, exchange time; none where it never did.
    pub at: Option<TimeMs>,
    /// The streams that it says it collects.
    pub streams: BTreeSet<StreamKey>,
    /// The jobs that it plans.
    pub jobs: BTreeSet<String>,
    /// Request weight that it booked in the minute before.
    pub weight_used: u32,
}
