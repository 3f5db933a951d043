//! SQLite: one file, write-ahead logging, one writer a process.
//!
//! [`SqliteStore`] is a session that writes, [`SqliteInspect`] reads. Several processes may use one file side by
//! side; the file has to be on a local disk.

mod alerts;
mod archive;
mod audit;
mod backup;
mod commit;
mod error;
pub(crate) mod file;
mod gaps;
mod inspect;
mod locks;
pub(crate) mod place;
mod readers;
mod ready;
mod rows;
mod runs;
mod schema;
mod session;
mod statistics;
mod transfer;
mod weight;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hl_core::alert::Alert;
use hl_core::archive::{Claimed, Day, Part, Removed, RowKey, StoredRows};
use hl_core::ledger::sheet::Parts;
use hl_core::ledger::{Ack, Batch, Cause, Requested, Span};
use hl_core::runs::{Begun, Report, Row};
use hl_core::seam::{BoxFuture, Clock};
use hl_core::statistics::Figure;
use hl_core::store::{
    Alerts, CoveredBars, DayClaims, GapClaims, Leases, Leasing, LedgerReader, LedgerWriter, LiveSession,
    Notes, Reservation, Runs, Settled, Statistics, StoreCondition, StoreError, StoreSession, WeightLedger,
};
use hl_core::{Epoch, Records, StreamKey, TimeMs, Token};
use tokio::time::{Instant, sleep};

pub use backup::{BackedUp, BackupProgress};
pub use error::SqliteError;
pub(crate) use error::{Step, temporary};
pub use inspect::SqliteInspect;
use session::{Scope, Session};

use crate::Import;
use crate::writer::{Worker, Writer};

/// How long opening is tried again where the file is busy.
const OPEN_LIMIT: Duration = Duration::from_secs(5);
/// The pause before it is tried again.
const OPEN_PAUSE: Duration = Duration::from_millis(50);

/// How to open a [`SqliteStore`].
pub struct SqliteOptions {
    /// The database file, or a symbolic link to it. It and its folder are made where they are missing.
    pub path: PathBuf,
    /// What the session is, for people: `hl-daemon`, `hl-cli backfill`.
    pub role: String,
    /// Name of this host, for people.
    pub host: String,
    /// Process id, for people.
    pub pid: u32,
    /// Where the blocking work is done.
    pub writer: Writer,
    /// Wall time, for stamps in the ledger.
    pub clock: Arc<dyn Clock>,
}

impl SqliteOptions {
    /// How a process in production opens `path`: on a storage thread of its own, signed with its id and host;
    /// `localhost` where the machine has no name.
    #[must_use]
    pub fn of_this_process(path: impl Into<PathBuf>, role: &str, clock: Arc<dyn Clock>) -> Self {
        Self {
            path: path.into(),
            role: role.to_owned(),
            host: host_name().unwrap_or_else(|_| "localhost".to_owned()),
            pid: std::process::id(),
            writer: Writer::Thread,
            clock,
        }
    }
}

/// The machine says no name of its own. Without one it would be taken for any other such machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "this machine has no host name: give it one, or say --name NAME (variable HL_NAME), another one for each machine"
)]
pub struct Nameless;

/// The name of this host, as the kernel has it.
///
/// # Errors
/// Where it has none.
pub fn host_name() -> Result<String, Nameless> {
    let uname = rustix::system::uname();
    named(&uname.nodename().to_string_lossy())
}

fn named(said: &str) -> Result<String, Nameless> {
    match said.trim() {
        // What Linux says before any name was set.
        "" | "(none)" => Err(Nameless),
        name => Ok(name.to_owned()),
    }
}

/// A session on a SQLite file.
///
/// Requests are done one after another by the one connection that writes. A request waits at most 5 s for another
/// process to finish its transaction, then fails with a temporary error. Dropping the store finishes what is queued
/// and, like a crash, leaves the leases for others to take.
pub struct SqliteStore {
    worker: Worker<Session>,
    token: Token,
    condition: Arc<Mutex<StoreCondition>>,
}

impl SqliteStore {
    /// Opens the file, makes or updates its tables, and takes a new token.
    ///
    /// # Errors
    /// Permanent, with what to do about it: the path is a folder, is not writable, is no database, belongs to
    /// another program or to a newer release. Temporary: another process is in a long transaction, the disk is full.
    pub async fn open(options: SqliteOptions) -> Result<Self, StoreError> {
        let options = Arc::new(options);
        let give_up = Instant::now() + OPEN_LIMIT;
        let condition = Arc::new(Mutex::default());
        let worker = loop {
            let (shared, told) = (Arc::clone(&options), Arc::clone(&condition));
            match Worker::start(options.writer, "hl-store", move || Session::open(shared, told)).await {
                // While another process makes the file, SQLite says that it is busy without waiting.
                Err(error) if error.is_temporary() && Instant::now() < give_up => sleep(OPEN_PAUSE).await,
                opened => break opened?,
            }
        };
        let token = worker.call(|session| session.token).await?;
        Ok(Self { worker, token, condition })
    }

    async fn write<R: Send + 'static>(
        &self,
        step: &'static str,
        work: impl FnOnce(&Scope<'_>) -> Result<R, StoreError> + Send + 'static,
    ) -> Result<R, StoreError> {
        self.worker.call(move |session| session.write(step, work)).await?
    }
}

impl Import for SqliteStore {
    fn put_imported(&self, stream: StreamKey, records: Records) -> BoxFuture<'_, Result<u64, StoreError>> {
        Box::pin(self.write("writing imported rows", move |scope| {
            // No claim of its own: the first number that none has.
            let epoch = Epoch { token: scope.token, local: 0 };
            rows::import(scope.tx, stream, &records, epoch)
        }))
    }
}

impl WeightLedger for SqliteStore {
    fn reserve<'a>(
        &'a self,
        address: &'a str,
        now: TimeMs,
        weight: u32,
        ceiling: u32,
    ) -> BoxFuture<'a, Result<Reservation, StoreError>> {
        let address = address.to_owned();
        let work = move |scope: &Scope<'_>| scope.reserve(&address, now, weight, ceiling);
        Box::pin(self.write("booking request weight", work))
    }

    fn book_spent<'a>(
        &'a self,
        address: &'a str,
        spent: &'a [(TimeMs, u32)],
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        let (address, spent) = (address.to_owned(), spent.to_vec());
        let work = move |scope: &Scope<'_>| scope.book_spent(&address, &spent);
        Box::pin(self.write("booking spent request weight", work))
    }
}

impl StoreSession for SqliteStore {
    fn token(&self) -> Token {
        self.token
    }

    fn condition(&self) -> StoreCondition {
        self.condition.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn sessions<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<LiveSession>, StoreError>> {
        let name = name.to_owned();
        Box::pin(async move { self.worker.call(move |session| session.live_sessions(&name)).await? })
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async { self.worker.finish(Session::finish).await? })
    }
}

impl Leasing for SqliteStore {
    fn lease<'a>(&'a self, streams: &'a [StreamKey]) -> BoxFuture<'a, Result<Leases, StoreError>> {
        let streams = streams.to_vec();
        Box::pin(async move { self.worker.call(move |session| session.lease(&streams)).await? })
    }

    fn release<'a>(&'a self, streams: &'a [StreamKey]) -> BoxFuture<'a, Result<(), StoreError>> {
        let streams = streams.to_vec();
        Box::pin(async move { self.worker.call(move |session| session.release(&streams)).await? })
    }
}

impl LedgerWriter for SqliteStore {
    fn commit(&self, batch: Arc<Batch>) -> BoxFuture<'_, Result<Ack, StoreError>> {
        Box::pin(self.write("committing a batch", move |scope| scope.commit(&batch)))
    }

    fn request_backfill<'a>(
        &'a self,
        stream: StreamKey,
        span: Span,
        cause: Cause,
    ) -> BoxFuture<'a, Result<Requested, StoreError>> {
        Box::pin(
            self.write("requesting a backfill", move |scope| scope.request_backfill(stream, span, cause)),
        )
    }
}

impl LedgerReader for SqliteStore {
    fn known_streams(&self) -> BoxFuture<'_, Result<Vec<StreamKey>, StoreError>> {
        Box::pin(async { self.worker.call(|session| inspect::streams(session.conn()?)).await? })
    }

    fn unended_streams(&self) -> BoxFuture<'_, Result<Vec<StreamKey>, StoreError>> {
        Box::pin(async { self.worker.call(|session| inspect::unended(session.conn()?)).await? })
    }

    fn settled(&self, stream: StreamKey) -> BoxFuture<'_, Result<Settled, StoreError>> {
        Box::pin(
            async move { self.worker.call(move |session| gaps::settled(session.conn()?, stream)).await? },
        )
    }

    fn filled_since(&self, stream: StreamKey, since: TimeMs) -> BoxFuture<'_, Result<Vec<Span>, StoreError>> {
        let work = move |session: &mut Session| gaps::filled_since(session.conn()?, stream, since);
        Box::pin(async move { self.worker.call(work).await? })
    }

    fn settled_days(
        &self,
        stream: StreamKey,
        before: TimeMs,
    ) -> BoxFuture<'_, Result<Vec<(Day, u64)>, StoreError>> {
        let work = move |session: &mut Session| archive::settled_days(session.conn()?, stream, before);
        Box::pin(async move { self.worker.call(work).await? })
    }

    fn rows_in(
        &self,
        stream: StreamKey,
        span: Span,
        after: Option<RowKey>,
        most: usize,
    ) -> BoxFuture<'_, Result<StoredRows, StoreError>> {
        let work = move |session: &mut Session| rows::page_of(session.conn()?, stream, span, after, most);
        Box::pin(async move { self.worker.call(work).await? })
    }

    fn day_parts(&self, stream: StreamKey, day: Day) -> BoxFuture<'_, Result<Vec<Part>, StoreError>> {
        let work = move |session: &mut Session| archive::parts(session.conn()?, Some(stream), day.span());
        Box::pin(async move { self.worker.call(work).await? })
    }
}

impl CoveredBars for SqliteStore {
    fn covered_bars(
        &self,
        stream: StreamKey,
        span: Span,
    ) -> BoxFuture<'_, Result<Vec<(TimeMs, u64)>, StoreError>> {
        let work = move |session: &mut Session| gaps::covered_bars(session.conn()?, stream, span);
        Box::pin(async move { self.worker.call(work).await? })
    }
}

impl GapClaims for SqliteStore {
    fn open_gaps(&self) -> BoxFuture<'_, Result<Vec<(StreamKey, u64, Span)>, StoreError>> {
        Box::pin(async { self.worker.call(|session| gaps::open_gaps(session.conn()?)).await? })
    }

    fn claim_gaps(
        &self,
        stream: StreamKey,
        span: Span,
        epoch: Epoch,
    ) -> BoxFuture<'_, Result<Vec<Span>, StoreError>> {
        Box::pin(self.write("claiming gaps", move |scope| scope.claim(stream, span, epoch, Parts::Inside)))
    }

    fn claim_whole_gaps(
        &self,
        stream: StreamKey,
        span: Span,
        epoch: Epoch,
    ) -> BoxFuture<'_, Result<Vec<Span>, StoreError>> {
        Box::pin(self.write("claiming gaps", move |scope| scope.claim(stream, span, epoch, Parts::Whole)))
    }

    fn unclaim(&self, epoch: Epoch) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.write("giving claims back", move |scope| scope.unclaim(epoch)))
    }
}

impl DayClaims for SqliteStore {
    fn claim_day(
        &self,
        stream: StreamKey,
        day: Day,
        epoch: Epoch,
    ) -> BoxFuture<'_, Result<Claimed, StoreError>> {
        Box::pin(self.write("claiming a day", move |scope| scope.claim_day(stream, day, epoch)))
    }

    fn unclaim_day(
        &self,
        stream: StreamKey,
        day: Day,
        epoch: Epoch,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.write("giving a day back", move |scope| scope.unclaim_day(stream, day, epoch)))
    }

    fn commit_part(
        &self,
        claim: (StreamKey, Day, Epoch),
        part: Option<Part>,
        rows: Arc<StoredRows>,
    ) -> BoxFuture<'_, Result<Removed, StoreError>> {
        let work = move |scope: &Scope<'_>| scope.commit_part(claim, part.as_ref(), &rows);
        Box::pin(self.write("recording a part", work))
    }
}

impl Runs for SqliteStore {
    fn begin_run<'a>(&'a self, job: &'a str, planned: TimeMs) -> BoxFuture<'a, Result<Begun, StoreError>> {
        let job = job.to_owned();
        Box::pin(self.write("beginning a run", move |scope| scope.begin_run(&job, planned)))
    }

    fn end_run<'a>(
        &'a self,
        job: &'a str,
        planned: TimeMs,
        report: Report,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        let job = job.to_owned();
        Box::pin(self.write("ending a run", move |scope| scope.end_run(&job, planned, &report)))
    }

    fn request_run<'a>(&'a self, job: &'a str) -> BoxFuture<'a, Result<TimeMs, StoreError>> {
        let job = job.to_owned();
        Box::pin(self.write("requesting a run", move |scope| scope.request_run(&job)))
    }

    fn requested_runs(&self) -> BoxFuture<'_, Result<Vec<(String, TimeMs)>, StoreError>> {
        Box::pin(async { self.worker.call(|session| runs::asked(session)).await? })
    }

    fn runs<'a>(&'a self, job: Option<&'a str>, most: u32) -> BoxFuture<'a, Result<Vec<Row>, StoreError>> {
        let job = job.map(str::to_owned);
        let work = move |session: &mut Session| runs::newest(session.conn()?, job.as_deref(), most);
        Box::pin(async move { self.worker.call(work).await? })
    }
}

impl Notes for SqliteStore {
    fn put_note<'a>(&'a self, name: &'a str, text: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        let (name, text) = (name.to_owned(), text.to_owned());
        Box::pin(async move { self.worker.call(move |session| session.put_note(&name, &text)).await? })
    }

    fn note<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<String>, StoreError>> {
        let name = name.to_owned();
        Box::pin(async move { self.worker.call(move |session| session::note(session.conn()?, &name)).await? })
    }
}

impl Statistics for SqliteStore {
    fn put_statistics<'a>(
        &'a self,
        series: &'a str,
        figures: Vec<Figure>,
        through: Option<TimeMs>,
    ) -> BoxFuture<'a, Result<u64, StoreError>> {
        let series = series.to_owned();
        let work = move |scope: &Scope<'_>| scope.put_statistics(&series, &figures, through);
        Box::pin(self.write("writing statistics", work))
    }

    fn statistics_through<'a>(
        &'a self,
        series: &'a str,
    ) -> BoxFuture<'a, Result<Option<TimeMs>, StoreError>> {
        let series = series.to_owned();
        let work = move |session: &mut Session| statistics::through(session.conn()?, &series);
        Box::pin(async move { self.worker.call(work).await? })
    }
}

impl Alerts for SqliteStore {
    fn put_alert<'a>(&'a self, alert: &'a Alert) -> BoxFuture<'a, Result<(), StoreError>> {
        let alert = alert.clone();
        Box::pin(self.write("keeping an alert", move |scope| scope.put_alert(&alert)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_a_name_is_refused() {
        assert_eq!(named(" box-2\n"), Ok("box-2".to_owned()));
        for nothing in ["", "\n", "(none)"] {
            assert_eq!(named(nothing), Err(Nameless), "{nothing:?}");
        }
        assert!(Nameless.to_string().contains("--name"));
    }
}
