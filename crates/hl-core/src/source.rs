//! The contract between sources and the rest: [`DataSource`], and the [`Offer`]s that they bring.
//!
//! A source never decides what is stored. It brings everything it sees, each piece with a [`Ticket`] that says under
//! what right; the time line of the stream, at the single reader of the inbox, admits it, keeps it in a ring, or
//! fences it.

use bytes::Bytes;

use crate::ledger::{Cause, Span};
use crate::past::Page;
use crate::seam::BoxFuture;
use crate::{Epoch, Records, RunId, SourceId, StreamKey, TimeMs};

/// Under what right a piece of data comes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Ticket {
    /// Part of a subscription. Which claim it serves is known where the claim is granted to that run.
    Run(RunId),
    /// The answer to a request made under this live claim.
    Claim(Epoch),
}

/// What a source brings.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Content {
    /// A run begins: the subscription was acknowledged at this exchange time (a low estimate).
    Started {
        /// Exchange time of the acknowledgement, ms.
        at: TimeMs,
    },
    /// Records of a run, continuous with those before.
    Frame(Records),
    /// A frame of the run could not be decoded or was lost on our side: what follows does not join what came before.
    Broken {
        /// Exchange time at which that was seen (a low estimate), ms.
        at: TimeMs,
    },
    /// Records of up to `newest` came, a time that is still to come: they were not taken. At the head of a run, or in an answer,
    /// they may be of a time that the exchange has lived already, before its clock was set back.
    Ahead {
        /// Exchange time at which they came (a low estimate), ms.
        at: TimeMs,
        /// The newest time among them, ms.
        newest: TimeMs,
    },
    /// Frames of the run were dropped before any time line saw them, for want of memory: what follows does not join what
    /// came before.
    Dropped,
    /// Every frame that the exchange sent before `sent` has been seen: the pong to a ping sent then.
    Proof {
        /// Exchange time at which the ping was sent (a low estimate), ms.
        sent: TimeMs,
    },
    /// A whole REST answer, before any cut.
    Answer {
        /// The records, oldest first.
        records: Records,
        /// The answer holds everything from here on; none where it holds only the most recent records.
        from: Option<TimeMs>,
        /// Exchange time at which it was asked for (a low estimate), ms.
        asked: TimeMs,
    },
    /// What the source has worked out of the time since then turned out to be wrong, up to what it brought last.
    Refuted {
        /// From here on, ms.
        since: TimeMs,
    },
    /// A request got no usable answer.
    Unanswered {
        /// Why.
        cause: Cause,
    },
}

impl Content {
    /// The records that it holds, if it is of the kind that holds any.
    #[must_use]
    pub fn records(&self) -> Option<&Records> {
        match self {
            Self::Frame(records) | Self::Answer { records, .. } => Some(records),
            Self::Started { .. }
            | Self::Broken { .. }
            | Self::Ahead { .. }
            | Self::Dropped
            | Self::Proof { .. }
            | Self::Refuted { .. }
            | Self::Unanswered { .. } => None,
        }
    }

    /// How much memory it takes, bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.records().map_or(0, Records::bytes)
    }
}

/// One piece of data on its way to a time line.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Offer {
    /// The stream.
    pub stream: StreamKey,
    /// Under what right.
    pub ticket: Ticket,
    /// What.
    pub content: Content,
}

/// Takes what sources bring. Bounded: waits where event streams have filled it. States that are not read in time are
/// replaced by newer ones, and their time line is told ([`Content::Dropped`]).
pub trait Intake: Send + Sync + 'static {
    /// Hands over one piece. Not cancel-safe in the sense that a dropped future may or may not have delivered; a
    /// source that drops one must end its run.
    fn offer(&self, offer: Offer) -> BoxFuture<'_, ()>;
}

/// What the selector wants of a source for one stream.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Role {
    /// Nothing: stop, give slots and subscriptions back.
    Off,
    /// Be ready to take over: subscribe, let the ring run. A polled source does nothing.
    Standby,
    /// Own the live claim. A polled source begins at once.
    Owner(Epoch),
}

/// Something that can collect streams: the WebSocket pool, the REST jobs.
///
/// # Contract
/// - [`assign`](DataSource::assign) is level-triggered: only the last role of a stream counts, calling it twice is
///   calling it once, and it never blocks. It is called by the task that carries out the selector's effects, and, with
///   [`Role::Standby`], by the one that leases streams, before the selector is told of the stream: so the calls for one
///   stream come one after another.
/// - **Who stamps the claim.** A subscription stamps its [`RunId`]; a request stamps the epoch that it was made under,
///   taken when the request is sent and not when the answer comes. So a late answer is recognised by its epoch.
/// - **Cancellation.** Whoever stops a source cancels its tasks and joins them; a request in flight may be dropped at
///   any await. Nothing that was not offered is owed.
/// - **Errors** are not returned here: a source reports what it can and cannot serve to the selector as events, with
///   a [`Cause`], and keeps trying by itself.
pub trait DataSource: Send + Sync + 'static {
    /// Which source this is.
    fn id(&self) -> SourceId;

    /// Whether it can carry the stream at all.
    fn serves(&self, stream: StreamKey) -> bool;

    /// Sets what is wanted of it for one stream.
    fn assign(&self, stream: StreamKey, role: Role);

    /// Begins the stream's subscription anew, as a new run, because the old one went silent. No effect on a polled
    /// source.
    fn renew(&self, stream: StreamKey, run: RunId);

    /// Silence of the run was asked about and nobody saw anything missed: be more patient with it.
    fn calm(&self, stream: StreamKey, run: RunId);
}

/// Asks the exchange once whether a stream moved, apart from the source that owns it.
pub trait Prober: Send + Sync + 'static {
    /// The exchange time of the newest record that a single request finds; none where it finds nothing.
    ///
    /// # Errors
    /// The cause, where no answer was had within the source's own time limit.
    fn newest(&self, stream: StreamKey) -> BoxFuture<'_, Result<Option<TimeMs>, Cause>>;
}

/// A request for the past failed.
#[derive(Debug, thiserror::Error)]
#[error("{step}: {reason}")]
pub struct FetchError {
    /// The step that failed, in words.
    pub step: &'static str,
    /// What the other side, or the client, said.
    pub reason: String,
    /// What a gap that stays open because of it is called.
    pub cause: Cause,
}

/// Reads the past of a stream, page by page, inside the weight budget.
pub trait Past: Send + Sync + 'static {
    /// What one question for the first page of `piece` brings. The question is the wider the more `effort`, up to
    /// [`WIDEST`](crate::past::WIDEST); what it proves is said by [`past`](crate::past).
    fn page(&self, stream: StreamKey, piece: Span, effort: u32) -> BoxFuture<'_, Result<Page, FetchError>>;
}

/// A source that is polled by jobs: the selector sets its roles, a scheduler's job asks when it is due.
pub trait Polled: DataSource {
    /// When the next stream of a job is due, on the monotonic clock (ms); none while the selector wants none.
    fn next_due(&self, job: &str) -> Option<i64>;

    /// Polls every stream of the job that is due, the most valuable first, and offers the answers. Returns how many
    /// streams were asked for and how many of them failed.
    fn poll<'a>(&'a self, job: &'a str) -> BoxFuture<'a, Polls>;
}

/// What one run of a polling job did.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Polls {
    /// Streams that were due.
    pub asked: u32,
    /// Streams whose answer did not come or could not be used.
    pub failed: u32,
}

/// A file on its way.
pub trait Pieces: Send {
    /// The next piece; none at its end.
    ///
    /// # Errors
    /// When it breaks off, is too long, or does not come on in time.
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, FetchError>>;
}

/// Files that the exchange publishes, outside the weight budget.
pub trait Files: Send + Sync + 'static {
    /// Asks for a file.
    ///
    /// # Errors
    /// When it cannot be had.
    fn open<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Box<dyn Pieces>, FetchError>>;
}
