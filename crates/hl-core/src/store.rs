//! The contract of a store: leases, one commit for rows and ledger, backfill claims, the weight ledger.
//!
//! Implementations live in `hl-store`. Everything that must be atomic is one call here: rows, edge, ledger and the
//! check of the lease token are [`Store::commit`]; moving the token and reading the edge are [`Store::lease`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::alert::Alert;
use crate::archive::{Claimed, Day, Part, Removed, RowKey, StoredRows};
use crate::ledger::{Ack, Batch, Cause, Requested, Span};
use crate::record::Market;
use crate::runs::{Begun, Report, Row};
use crate::seam::BoxFuture;
use crate::statistics::Figure;
use crate::stream::Conflation;
use crate::{Epoch, Kind, StreamKey, TimeMs, Token};

/// Who holds a lease.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Holder {
    /// Its token.
    pub token: Token,
    /// Process id.
    pub pid: u32,
    /// Host name.
    pub host: String,
    /// What it is: `hl-daemon`, `hl-cli backfill`.
    pub role: String,
    /// When it opened the store, ms.
    pub since: TimeMs,
}

/// `hl-daemon (pid 77 on here)`, and with `{:#}` `hl-daemon (pid 77 on here, token 9)`.
impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { token, pid, host, role, .. } = self;
        write!(f, "{role} (pid {pid} on {host}")?;
        if f.alternate() {
            write!(f, ", token {}", token.0)?;
        }
        f.write_str(")")
    }
}

/// A living session, and what it says of itself.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct LiveSession {
    /// Who it is.
    pub holder: Holder,
    /// Its note.
    pub note: Option<String>,
}

/// Where a live claim on a stream begins.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct StreamStart {
    /// The stream.
    pub stream: StreamKey,
    /// The stored edge; none where the stream was never collected.
    pub edge: Option<TimeMs>,
    /// When it had ended; none where it goes on.
    pub ended: Option<TimeMs>,
    /// What is stored shortly before the edge, of the kinds of which that is read ([`Recent::is_read_of`]).
    pub recent: Recent,
}

/// What is stored up to the edge. Of trades the first answer can join by a shared key, and bars that come later can be
/// compared with what was stored before a restart; and what comes below the edge lies where something was covered, or in a gap.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Recent {
    /// From here to the edge every piece is covered or among the gaps; none where nothing is stored.
    pub since: Option<TimeMs>,
    /// Whether nothing was ever collected before `since`.
    pub is_all: bool,
    /// Time and tid of each trade from `since` on, in order; of other kinds none.
    pub keys: Vec<(TimeMs, u64)>,
    /// Pieces that are not proven, oldest first.
    pub gaps: Vec<Span>,
    /// Of `markets` the last row of each market, however old it is, by coin; without those that have settled, which do not
    /// come back. Of other kinds none.
    pub markets: Vec<Market>,
}

impl Recent {
    /// Whether it is read of a stream: of trades, of states that bear the exchange's time, and of markets.
    #[must_use]
    pub fn is_read_of(stream: StreamKey) -> bool {
        let spec = stream.spec();
        matches!(stream.kind(), Kind::Trades | Kind::Markets)
            || spec.timed && spec.conflation == Conflation::State
    }

    /// The last minutes before an edge, still without keys. `first`: where the ledger begins. `pieces`: those that end within
    /// [`RECENT_MS`] before the edge, each with whether it is a gap that is not filled.
    #[must_use]
    pub fn before(edge: TimeMs, first: Option<TimeMs>, mut pieces: Vec<(Span, bool)>) -> Self {
        let oldest = edge - RECENT_MS;
        pieces.sort_unstable_by_key(|(span, _)| std::cmp::Reverse(span.to));
        let mut since = None;
        for (span, _) in &pieces {
            if since.unwrap_or(edge) <= span.to {
                since = Some(since.unwrap_or(edge).min(span.from.max(oldest)));
            }
        }
        let mut gaps: Vec<_> = pieces.iter().filter(|(_, gap)| *gap).map(|(span, _)| *span).collect();
        gaps.sort_unstable();
        let is_all = since.zip(first).is_some_and(|(since, first)| since <= first);
        Self { since, is_all, gaps, ..Self::default() }
    }
}

/// How much of the past [`Recent`] holds, ms: bars of so many minutes are compared with them.
pub const RECENT_MS: i64 = 30 * 60_000;

/// What [`Store::lease`] gave.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Leases {
    /// Streams that this session may write from now on.
    pub granted: Vec<StreamStart>,
    /// Streams that a living process holds.
    pub held: Vec<(StreamKey, Holder)>,
}

/// The answer of the weight ledger.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Reservation {
    /// The weight is booked.
    Granted {
        /// All that the window holds by now, this weight included.
        booked: u32,
    },
    /// The window is full; ask again at this time.
    RetryAt(TimeMs),
}

/// A store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Worth trying again with the same batch: busy, disk full, connection lost.
    #[error("{step}: {source}")]
    Temporary {
        /// The step that failed, in words.
        step: &'static str,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Will not get better by itself: a corrupt or foreign file, a newer schema, no permission.
    #[error("{step}: {source}")]
    Permanent {
        /// The step that failed, in words.
        step: &'static str,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Another process has ended this session, because its lease had run out. A new one may be opened.
    #[error("this session was ended by another process, because its lease had run out")]
    Superseded,
    /// The store was closed by us.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Temporary { .. })
    }
}

/// What a session knows of the place where its rows lie, beside what its calls answer.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct StoreCondition {
    /// Why nothing can be written there, in words: the database was deleted or moved away. None while it is in place.
    pub gone: Option<String>,
    /// How often the database or its log was found replaced by another program, and was opened anew.
    pub replaced: u32,
    /// Size of the log, bytes: what was committed and is not in the database file yet, and room for it. 0 where the store
    /// keeps no log that its readers can hold.
    pub log_bytes: u64,
    /// Since when a reader keeps the log from being emptied, ms; none while none does.
    pub log_held_since: Option<TimeMs>,
    /// Who that is, `python3 (pid 4711)`, as far as the operating system says.
    pub log_held_by: Vec<String>,
}

/// The note that says of which network a store holds data.
pub const NETWORK: &str = "network";

/// The name of a note that each session has for itself, as [`Store::sessions`] finds it: `<name>/<token>`.
#[must_use]
pub fn note_of(name: &str, token: Token) -> String {
    format!("{name}/{}", token.0)
}

/// How far the past of a stream is settled, and what of it is missing: what a reader has to know that follows the stream.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Settled {
    /// The stored edge; none where there is none.
    pub edge: Option<TimeMs>,
    /// Gaps that are not filled, whether they can be or not, oldest first.
    pub unfilled: Vec<Span>,
}

/// The ledger of request weight: one sliding window of 60 s an address, all processes on the store together.
pub trait WeightLedger: Send + Sync + 'static {
    /// Books weight in the window of `address` when the sum stays at or below `ceiling`.
    fn reserve<'a>(
        &'a self,
        address: &'a str,
        now: TimeMs,
        weight: u32,
        ceiling: u32,
    ) -> BoxFuture<'a, Result<Reservation, StoreError>>;

    /// Books what was spent at these times without a reservation, whatever the window holds. Repeated it counts again: a
    /// caller that does not know whether it was booked books too much rather than too little.
    fn book_spent<'a>(
        &'a self,
        address: &'a str,
        spent: &'a [(TimeMs, u32)],
    ) -> BoxFuture<'a, Result<(), StoreError>>;
}

/// One open session on a store. Opening it takes a new [`Token`]; dropping it, or dying, frees its leases and claims.
pub trait Store: WeightLedger {
    /// The token of this session.
    fn token(&self) -> Token;

    /// What it knows of the place where its rows lie. Does not wait for anything.
    fn condition(&self) -> StoreCondition {
        StoreCondition::default()
    }

    /// Takes the leases of those streams that no living process holds, and reads where each begins, in one
    /// transaction. One that had ended goes on from then on.
    fn lease<'a>(&'a self, streams: &'a [StreamKey]) -> BoxFuture<'a, Result<Leases, StoreError>>;

    /// How long the leases of a holder that has died may still stand. Zero where its end is seen at once.
    fn patience(&self) -> Duration {
        Duration::ZERO
    }

    /// Gives leases back: another process may take them at once.
    fn release<'a>(&'a self, streams: &'a [StreamKey]) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Writes a batch in one transaction. Not cancelled by dropping the future. Repeating a batch that was written
    /// changes nothing.
    ///
    /// [`Change::Rows`](crate::ledger::Change::Rows), `Covered`, `Final`, `GapOpened`, `Doubted`, `Edge` and `Ended` need the
    /// stream's lease under the batch's token; what lacks it is left out and named in [`Ack::superseded`]. The token
    /// is the batch's, not the session's: what a dead process spooled is still taken while no other session has the stream.
    ///
    /// What lies between the stored edge of a stream and the first piece of the batch, and is neither covered nor a gap, was
    /// lost by the store: an older copy of it was put in its place. It becomes a gap with the cause `store_lost`.
    fn commit(&self, batch: Arc<Batch>) -> BoxFuture<'_, Result<Ack, StoreError>>;

    /// Opens a gap over those parts of `span` below the stream's edge that are neither covered nor a gap already.
    /// Where there is no edge yet: over all such parts if nobody living holds the stream, otherwise nowhere.
    ///
    /// Returns the gaps, and up to where that was: the edge, or the end of `span` where it comes first. None where a living
    /// holder has not said yet where its past ends: ask again later.
    fn request_backfill<'a>(
        &'a self,
        stream: StreamKey,
        span: Span,
        cause: Cause,
    ) -> BoxFuture<'a, Result<Requested, StoreError>>;

    /// Claims the open gaps of a stream inside `span` for a backfill under `epoch`: gaps that stick out are split.
    /// Pieces that another living session has claimed are left out. Returns the pieces, oldest first.
    fn claim_gaps(
        &self,
        stream: StreamKey,
        span: Span,
        epoch: Epoch,
    ) -> BoxFuture<'_, Result<Vec<Span>, StoreError>>;

    /// Like [`Store::claim_gaps`], but leaves out gaps that stick out of `span`: no gap is split.
    fn claim_whole_gaps(
        &self,
        stream: StreamKey,
        span: Span,
        epoch: Epoch,
    ) -> BoxFuture<'_, Result<Vec<Span>, StoreError>>;

    /// Gives back what is left of the claims of `epoch`.
    fn unclaim(&self, epoch: Epoch) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Streams that have open gaps, with the number of them and the piece from the first to the last.
    #[allow(clippy::type_complexity, reason = "a name for the triple would say no more")]
    fn open_gaps(&self) -> BoxFuture<'_, Result<Vec<(StreamKey, u64, Span)>, StoreError>>;

    /// The bars of a stream that are covered, of those whose open time lies in `span`, its end excluded: open time and
    /// number of trades, 0 where nothing was traded and no bar is stored, oldest first, at most 5,000. Nothing for
    /// calendar intervals, nor of days of which something was archived.
    #[allow(clippy::type_complexity, reason = "a name for the pair would say no more")]
    fn covered_bars(
        &self,
        stream: StreamKey,
        span: Span,
    ) -> BoxFuture<'_, Result<Vec<(TimeMs, u64)>, StoreError>>;

    /// Every stream that the store knows, by name.
    fn known_streams(&self) -> BoxFuture<'_, Result<Vec<StreamKey>, StoreError>>;

    /// The streams that were collected and have not ended, by name.
    fn unended_streams(&self) -> BoxFuture<'_, Result<Vec<StreamKey>, StoreError>>;

    /// Days of a stream that are over before `before` and settled, and that have rows in the store, oldest first, with
    /// how many. Settled is what lies more than [`RECENT_MS`] below the edge, of bars the final ones; where nothing is
    /// known of an edge, everything.
    #[allow(clippy::type_complexity, reason = "a name for the pair would say no more")]
    fn settled_days(
        &self,
        stream: StreamKey,
        before: TimeMs,
    ) -> BoxFuture<'_, Result<Vec<(Day, u64)>, StoreError>>;

    /// Claims a day of a stream for the archive, exclusive among living sessions. A session that claims it again has it
    /// under the later epoch.
    fn claim_day(
        &self,
        stream: StreamKey,
        day: Day,
        epoch: Epoch,
    ) -> BoxFuture<'_, Result<Claimed, StoreError>>;

    /// Gives a day back; changes nothing where the claim no longer stands.
    fn unclaim_day(&self, stream: StreamKey, day: Day, epoch: Epoch)
    -> BoxFuture<'_, Result<(), StoreError>>;

    /// The first `most` rows whose time lies in the closed `span`, with keys after `after`, in key order; of bars the final
    /// ones.
    fn rows_in(
        &self,
        stream: StreamKey,
        span: Span,
        after: Option<RowKey>,
        most: usize,
    ) -> BoxFuture<'_, Result<StoredRows, StoreError>>;

    /// The edge of a stream and its gaps that are not filled, as of one moment.
    fn settled(&self, stream: StreamKey) -> BoxFuture<'_, Result<Settled, StoreError>>;

    /// Records a part, where there is one, and removes those of `rows` that are still stored exactly as they are
    /// given, in one transaction, while the claim of `epoch` on the day stands.
    fn commit_part(
        &self,
        claim: (StreamKey, Day, Epoch),
        part: Option<Part>,
        rows: Arc<StoredRows>,
    ) -> BoxFuture<'_, Result<Removed, StoreError>>;

    /// The recorded parts of a day of a stream, in the order in which they were recorded.
    fn day_parts(&self, stream: StreamKey, day: Day) -> BoxFuture<'_, Result<Vec<Part>, StoreError>>;

    /// Begins the run of `job` that was planned for `planned`, unless it succeeded already or a living process has begun
    /// it. What a dead process has begun, or any process has failed at, is begun anew. Runs of more than 30 days ago are
    /// forgotten, but for the newest of each job.
    fn begin_run<'a>(&'a self, job: &'a str, planned: TimeMs) -> BoxFuture<'a, Result<Begun, StoreError>>;

    /// Ends a run that this session has begun; changes nothing where it has not.
    fn end_run<'a>(
        &'a self,
        job: &'a str,
        planned: TimeMs,
        report: Report,
    ) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Requests a run of `job` outside its plan, from any process that knows the job, and returns the time that names the
    /// run. Void once this session ends; [`Store::end_run`] takes it back as long as no process has begun it.
    fn request_run<'a>(&'a self, job: &'a str) -> BoxFuture<'a, Result<TimeMs, StoreError>>;

    /// Runs that living sessions request and that no process has begun, by job and the time that names them, the oldest
    /// first.
    fn requested_runs(&self) -> BoxFuture<'_, Result<Vec<(String, TimeMs)>, StoreError>>;

    /// The newest runs of a job, or of all, newest first.
    fn runs<'a>(&'a self, job: Option<&'a str>, most: u32) -> BoxFuture<'a, Result<Vec<Row>, StoreError>>;

    /// Adds figures to a series of statistics; one that is there already stays. With `through`, the series is complete up to
    /// that day, its first millisecond. Returns how many are new.
    fn put_statistics<'a>(
        &'a self,
        series: &'a str,
        figures: Vec<Figure>,
        through: Option<TimeMs>,
    ) -> BoxFuture<'a, Result<u64, StoreError>>;

    /// Up to which day a series of statistics is complete; none where it was never read to its end.
    fn statistics_through<'a>(&'a self, series: &'a str)
    -> BoxFuture<'a, Result<Option<TimeMs>, StoreError>>;

    /// Keeps an alert of this session as it stands now: a new row, or the one of the same kind, subject and time of rise.
    /// Alerts that ended more than 90 days ago are forgotten. One that is open when its session ends is resolved then.
    fn put_alert<'a>(&'a self, alert: &'a Alert) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Every living session, this one included, by token; and of each the note `<name>/<token>`, where it has kept one.
    /// Tidies up after those that have died meanwhile.
    fn sessions<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<LiveSession>, StoreError>>;

    /// Keeps a small text under a name: the cached universe, the status of a running daemon. A note `<name>/<token>` is gone
    /// with its session.
    fn put_note<'a>(&'a self, name: &'a str, text: &'a str) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Reads what [`Store::put_note`] kept.
    fn note<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<String>, StoreError>>;

    /// Finishes what is queued, gives up every lease, and closes.
    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>>;
}

/// A durable queue of batches on disk, before a store: what a slow or absent store could not take yet. Bounded, in
/// order, found again after a crash.
pub trait BatchQueue: Send + Sync + 'static {
    /// Appends a batch, durably. `false` when the queue is full.
    fn push<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Result<bool, StoreError>>;

    /// The oldest batch and its number.
    fn peek(&self) -> BoxFuture<'_, Result<Option<(u64, Batch)>, StoreError>>;

    /// Removes the oldest batch after it was committed.
    fn pop(&self, number: u64) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Batches and bytes on disk.
    fn size(&self) -> (u64, u64);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recent_past_begins_after_the_last_hole() {
        let span = |from, to| Span::new(TimeMs(from), TimeMs(to));
        let of = |edge, pieces: &[(Span, bool)]| {
            let first = pieces.iter().map(|(span, _)| span.from).min();
            let Recent { since, gaps, is_all, .. } = Recent::before(edge, first, pieces.to_vec());
            assert_eq!(is_all, since == first);
            (since, gaps)
        };
        let pieces = [(span(10, 40), false), (span(40, 60), true), (span(90, 95), false)];
        assert_eq!(of(TimeMs(60), &pieces), (Some(TimeMs(10)), vec![span(40, 60)]));
        assert_eq!(of(TimeMs(95), &pieces), (Some(TimeMs(90)), vec![span(40, 60)]));
        let edge = TimeMs(2 * RECENT_MS);
        assert_eq!(of(edge, &[(span(0, edge.0), false)]).0, Some(edge - RECENT_MS));
    }

    #[test]
    fn a_process_is_named_alike_everywhere() {
        let (host, role) = ("here".to_owned(), "hl-daemon".to_owned());
        let holder = Holder { token: Token(9), pid: 77, host, role, since: TimeMs(5) };
        assert_eq!(holder.to_string(), "hl-daemon (pid 77 on here)");
        assert_eq!(format!("{holder:#}"), "hl-daemon (pid 77 on here, token 9)");
    }
}
