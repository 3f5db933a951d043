//! The session as a [`Store`](hl_core::store::Store): one task owns it, and does what it is asked to one thing after another.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hl_core::alert::Alert;
use hl_core::archive::{Claimed, Day, Part, Removed, RowKey, StoredRows};
use hl_core::ledger::sheet::Parts;
use hl_core::ledger::{Ack, Batch, Cause, Requested, Span};
use hl_core::runs::{Begun, Report, Row};
use hl_core::seam::{BoxFuture, Clock};
use hl_core::statistics::Figure;
use hl_core::store::{
    Alerts, CoveredBars, DayClaims, GapClaims, Leases, Leasing, LedgerReader, LedgerWriter, LiveSession,
    Notes, Reservation, Runs, Settled, Statistics, StoreError, StoreSession, WeightLedger, note_of,
};
use hl_core::{Epoch, StreamKey, TimeMs, Token};
use mongodb::bson::doc;
use mongodb::options::{Acknowledgment, ClientOptions, ReadConcern, WriteConcern};
use mongodb::{Client, Database};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::warn;

use crate::commit::Commit;
use crate::documents::Read;
use crate::error::MongoError;
use crate::leases::{Claim, Release, RequestBackfill, Take, Unclaim};
use crate::schema::NOTES;
use crate::session::{Session, Work};
use crate::tx::Tx;
use crate::{MongoInspect, alerts, archive, inspect, ledger, notes, runs, statistics, weight};

/// Requests that may wait.
const REQUESTS: usize = 64;
/// How long a lease lives without being renewed.
const LEASE: Duration = Duration::from_secs(6);
/// The lease is renewed so often while it lives.
const RENEWALS: u32 = 4;
/// How long a server is looked for that can take writes.
const SELECTION: Duration = Duration::from_secs(5);
const CONNECT: Duration = Duration::from_secs(5);
/// How long reading may take.
const READING: Duration = Duration::from_secs(60);
/// The database where the URI names none.
pub const DATABASE: &str = "hyperliquid";

/// How to open a [`MongoStore`].
pub struct MongoOptions {
    /// `mongodb://…`, as the driver takes it. Its database is the store.
    pub uri: String,
    /// What the session is, for people: `hl-daemon`, `hl-cli backfill`.
    pub role: String,
    /// Name of this host, for people.
    pub host: String,
    /// Process id, for people.
    pub pid: u32,
    /// How long a lease lives without being renewed: so long a dead process keeps its streams.
    pub lease: Duration,
    /// Wall time, for stamps in the ledger.
    pub clock: Arc<dyn Clock>,
}

impl MongoOptions {
    /// How a process in production opens a store, signed with its id and host.
    #[must_use]
    pub fn of_this_process(uri: &str, role: &str, clock: Arc<dyn Clock>) -> Self {
        Self {
            uri: uri.to_owned(),
            role: role.to_owned(),
            host: hl_store::host_name().unwrap_or_else(|_| "localhost".to_owned()),
            pid: std::process::id(),
            lease: LEASE,
            clock,
        }
    }
}

/// A client, and the database that the URI names.
pub(crate) async fn connect(uri: &str) -> Result<(Client, Database), MongoError> {
    let mut options = ClientOptions::parse(uri).await?;
    options.app_name.get_or_insert_with(|| "hyperliquid-collector".to_owned());
    options.server_selection_timeout.get_or_insert(SELECTION);
    options.connect_timeout.get_or_insert(CONNECT);
    options.write_concern = Some(WriteConcern::builder().w(Acknowledgment::Majority).journal(true).build());
    options.read_concern = Some(ReadConcern::majority());
    let name = options.default_database.clone().unwrap_or_else(|| DATABASE.to_owned());
    let client = Client::with_options(options)?;
    let db = client.database(&name);
    Ok((client, db))
}

type Job = Box<dyn for<'a> FnOnce(&'a mut Session) -> BoxFuture<'a, ()> + Send>;

/// What is asked of the session.
struct Request {
    asked: Instant,
    job: Job,
}

/// A session on a MongoDB database.
///
/// Everything that writes is done one after another by one task, each in a transaction with the session's lease, and is not
/// cancelled by dropping the future. Dropping the store leaves the leases to run out, as a crash does.
pub struct MongoStore {
    jobs: mpsc::Sender<Request>,
    db: Database,
    token: Token,
    patience: Duration,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl MongoStore {
    /// Connects, makes or updates the collections, and takes a new token.
    ///
    /// # Errors
    /// Permanent: the URI or the credentials are wrong, the database belongs to a newer release, a standalone server has
    /// another user. Temporary: no server can be reached, or none that takes writes.
    pub async fn open(options: MongoOptions) -> Result<Self, StoreError> {
        const STEP: &str = "opening the MongoDB store";
        let (client, db) = connect(&options.uri).await.map_err(|error| error.at(STEP))?;
        let opening = Session::open(client, db.clone(), &options);
        let session = match tokio::time::timeout(READING, opening).await {
            Ok(opened) => opened.map_err(|error| error.at(STEP))?,
            Err(_) => return Err(MongoError::Late(READING.as_secs()).at(STEP)),
        };
        let token = session.token;
        let (jobs, requests) = mpsc::channel(REQUESTS);
        let task = tokio::spawn(work(session, requests, options.lease / RENEWALS));
        // It has run out by then, and this session is fit to say so.
        let patience = options.lease * 3;
        Ok(Self { jobs, db, token, patience, task: Mutex::new(Some(task)) })
    }

    /// Connects for reading.
    ///
    /// # Errors
    /// Permanent where the URI is wrong, or where the database is no store of this release.
    pub async fn inspect(uri: &str) -> Result<MongoInspect, StoreError> {
        const STEP: &str = "opening the MongoDB store for reading";
        let (_, db) = connect(uri).await.map_err(|error| error.at(STEP))?;
        MongoInspect::open(db).await.map_err(|error| error.at(STEP))
    }

    async fn call<R: Send + 'static>(
        &self,
        job: impl for<'a> FnOnce(&'a mut Session) -> BoxFuture<'a, R> + Send + 'static,
    ) -> Result<R, StoreError> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |session| {
            let doing = job(session);
            Box::pin(async move {
                // Nobody waits for it any more, and it is done all the same.
                let _ = answer.send(doing.await);
            })
        });
        let request = Request { asked: Instant::now(), job };
        self.jobs.send(request).await.map_err(|_| StoreError::Closed)?;
        answered.await.map_err(|_| StoreError::Closed)
    }

    pub(crate) async fn write<W: Work + 'static>(
        &self,
        step: &'static str,
        work: W,
    ) -> Result<W::Answer, StoreError>
    where
        W::Answer: 'static,
    {
        self.call(move |session| Box::pin(async move { session.transact(step, &work).await })).await?
    }

    /// As [`MongoStore::write`], once those are ended whose lease has run out.
    async fn write_among_the_living<W: Work + 'static>(
        &self,
        step: &'static str,
        work: W,
    ) -> Result<W::Answer, StoreError>
    where
        W::Answer: 'static,
    {
        self.call(move |session| {
            Box::pin(async move {
                session.bury().await.map_err(|error| error.at(step))?;
                session.transact(step, &work).await
            })
        })
        .await?
    }

    /// Reads, for as long as the session is open.
    async fn read<R>(
        &self,
        step: &'static str,
        reading: impl Future<Output = Result<R, MongoError>>,
    ) -> Result<R, StoreError> {
        if self.jobs.is_closed() {
            return Err(StoreError::Closed);
        }
        match tokio::time::timeout(READING, reading).await {
            Ok(read) => read.map_err(|error| error.at(step)),
            Err(_) => Err(MongoError::Late(READING.as_secs()).at(step)),
        }
    }
}

/// Does what is asked, and renews the lease in between.
async fn work(mut session: Session, mut requests: mpsc::Receiver<Request>, renew_every: Duration) {
    let mut renew = interval(renew_every);
    renew.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            _ = renew.tick() => {
                if let Err(error) = session.renew().await {
                    warn!(%error, "the lease could not be renewed");
                }
                // It may have taken longer than the interval, and requests have their turn.
                renew.reset();
            }
            job = requests.recv() => match job {
                Some(Request { asked, job }) => {
                    session.asked = asked;
                    job(&mut session).await;
                }
                None => break,
            },
        }
        if session.is_finished {
            break;
        }
    }
}

impl WeightLedger for MongoStore {
    fn reserve<'a>(
        &'a self,
        address: &'a str,
        now: TimeMs,
        weight: u32,
        ceiling: u32,
    ) -> BoxFuture<'a, Result<Reservation, StoreError>> {
        let reserve = weight::Reserve { address: address.to_owned(), now, weight, ceiling };
        Box::pin(self.write("booking request weight", reserve))
    }

    fn book_spent<'a>(
        &'a self,
        address: &'a str,
        spent: &'a [(TimeMs, u32)],
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        let spent = weight::Spent { address: address.to_owned(), spent: spent.to_vec() };
        Box::pin(self.write("booking spent request weight", spent))
    }
}

impl StoreSession for MongoStore {
    fn token(&self) -> Token {
        self.token
    }

    fn patience(&self) -> Duration {
        self.patience
    }

    fn sessions<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<LiveSession>, StoreError>> {
        Box::pin(self.write_among_the_living("reading the sessions", LiveSessions(name.to_owned())))
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async {
            let closed = self
                .call(|session| {
                    Box::pin(async move {
                        let closed = session.finish().await;
                        session.is_finished = true;
                        closed
                    })
                })
                .await?;
            if let Some(task) = self.task.lock().await.take() {
                // It ended by itself; a panic in it has been reported already.
                let _ = task.await;
            }
            closed
        })
    }
}

impl Leasing for MongoStore {
    fn lease<'a>(&'a self, streams: &'a [StreamKey]) -> BoxFuture<'a, Result<Leases, StoreError>> {
        Box::pin(self.write_among_the_living("taking leases", Take(streams.to_vec())))
    }

    fn release<'a>(&'a self, streams: &'a [StreamKey]) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(self.write("giving leases back", Release(streams.to_vec())))
    }
}

impl LedgerWriter for MongoStore {
    fn commit(&self, batch: Arc<Batch>) -> BoxFuture<'_, Result<Ack, StoreError>> {
        Box::pin(self.write("committing a batch", Commit(batch)))
    }

    fn request_backfill<'a>(
        &'a self,
        stream: StreamKey,
        span: Span,
        cause: Cause,
    ) -> BoxFuture<'a, Result<Requested, StoreError>> {
        Box::pin(
            self.write_among_the_living("requesting a backfill", RequestBackfill { stream, span, cause }),
        )
    }
}

impl LedgerReader for MongoStore {
    fn known_streams(&self) -> BoxFuture<'_, Result<Vec<StreamKey>, StoreError>> {
        Box::pin(self.read("reading the streams", inspect::streams(&self.db)))
    }

    fn unended_streams(&self) -> BoxFuture<'_, Result<Vec<StreamKey>, StoreError>> {
        Box::pin(self.read("reading the streams that go on", inspect::unended(&self.db)))
    }

    fn settled(&self, stream: StreamKey) -> BoxFuture<'_, Result<Settled, StoreError>> {
        Box::pin(self.read("reading what is missing", archive::settled(&self.db, stream)))
    }

    fn filled_since(&self, stream: StreamKey, since: TimeMs) -> BoxFuture<'_, Result<Vec<Span>, StoreError>> {
        Box::pin(self.read("reading what was filled", archive::filled_since(&self.db, stream, since)))
    }

    fn settled_days(
        &self,
        stream: StreamKey,
        before: TimeMs,
    ) -> BoxFuture<'_, Result<Vec<(Day, u64)>, StoreError>> {
        Box::pin(self.read("counting rows by day", archive::settled_days(&self.db, stream, before)))
    }

    fn rows_in(
        &self,
        stream: StreamKey,
        span: Span,
        after: Option<RowKey>,
        most: usize,
    ) -> BoxFuture<'_, Result<StoredRows, StoreError>> {
        let rows = archive::rows_in(&self.db, stream, span, after, most);
        Box::pin(self.read("reading rows with their claims", rows))
    }

    fn day_parts(&self, stream: StreamKey, day: Day) -> BoxFuture<'_, Result<Vec<Part>, StoreError>> {
        let parts = archive::parts(&self.db, Some(stream), day.span());
        Box::pin(self.read("reading the parts of the archive", parts))
    }
}

impl CoveredBars for MongoStore {
    fn covered_bars(
        &self,
        stream: StreamKey,
        span: Span,
    ) -> BoxFuture<'_, Result<Vec<(TimeMs, u64)>, StoreError>> {
        Box::pin(self.read("reading covered bars", ledger::covered_bars(&self.db, stream, span)))
    }
}

impl GapClaims for MongoStore {
    fn open_gaps(&self) -> BoxFuture<'_, Result<Vec<(StreamKey, u64, Span)>, StoreError>> {
        Box::pin(self.read("reading open gaps", ledger::open_gaps(&self.db)))
    }

    fn claim_gaps(
        &self,
        stream: StreamKey,
        span: Span,
        epoch: Epoch,
    ) -> BoxFuture<'_, Result<Vec<Span>, StoreError>> {
        let claim = Claim { stream, span, epoch, parts: Parts::Inside };
        Box::pin(self.write_among_the_living("claiming gaps", claim))
    }

    fn claim_whole_gaps(
        &self,
        stream: StreamKey,
        span: Span,
        epoch: Epoch,
    ) -> BoxFuture<'_, Result<Vec<Span>, StoreError>> {
        let claim = Claim { stream, span, epoch, parts: Parts::Whole };
        Box::pin(self.write_among_the_living("claiming gaps", claim))
    }

    fn unclaim(&self, epoch: Epoch) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.write("giving claims back", Unclaim(epoch)))
    }
}

impl DayClaims for MongoStore {
    fn claim_day(
        &self,
        stream: StreamKey,
        day: Day,
        epoch: Epoch,
    ) -> BoxFuture<'_, Result<Claimed, StoreError>> {
        Box::pin(self.write_among_the_living("claiming a day", archive::ClaimDay { stream, day, epoch }))
    }

    fn unclaim_day(
        &self,
        stream: StreamKey,
        day: Day,
        epoch: Epoch,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.write("giving a day back", archive::UnclaimDay { stream, day, epoch }))
    }

    fn commit_part(
        &self,
        (stream, day, epoch): (StreamKey, Day, Epoch),
        part: Option<Part>,
        rows: Arc<StoredRows>,
    ) -> BoxFuture<'_, Result<Removed, StoreError>> {
        let commit = archive::CommitPart { stream, day, epoch, part, rows };
        Box::pin(self.write("recording a part", commit))
    }
}

impl Runs for MongoStore {
    fn begin_run<'a>(&'a self, job: &'a str, planned: TimeMs) -> BoxFuture<'a, Result<Begun, StoreError>> {
        let begin = runs::BeginRun { job: job.to_owned(), planned };
        Box::pin(self.write_among_the_living("beginning a run", begin))
    }

    fn end_run<'a>(
        &'a self,
        job: &'a str,
        planned: TimeMs,
        report: Report,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(self.write("ending a run", runs::EndRun { job: job.to_owned(), planned, report }))
    }

    fn request_run<'a>(&'a self, job: &'a str) -> BoxFuture<'a, Result<TimeMs, StoreError>> {
        Box::pin(self.write("requesting a run", runs::RequestRun { job: job.to_owned() }))
    }

    fn requested_runs(&self) -> BoxFuture<'_, Result<Vec<(String, TimeMs)>, StoreError>> {
        Box::pin(self.read("reading which runs are requested", async {
            let living = inspect::living(&self.db).await?;
            runs::asked(&self.db, &living.into_iter().map(|holder| holder.token).collect()).await
        }))
    }

    fn runs<'a>(&'a self, job: Option<&'a str>, most: u32) -> BoxFuture<'a, Result<Vec<Row>, StoreError>> {
        Box::pin(self.read("reading the history of jobs", runs::newest(&self.db, job, most)))
    }
}

impl Notes for MongoStore {
    fn put_note<'a>(&'a self, name: &'a str, text: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        let put = notes::PutNote { name: name.to_owned(), text: text.to_owned() };
        Box::pin(self.write("keeping a note", put))
    }

    fn note<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<String>, StoreError>> {
        Box::pin(self.read("reading a note", notes::note(&self.db, name)))
    }
}

impl Statistics for MongoStore {
    fn put_statistics<'a>(
        &'a self,
        series: &'a str,
        figures: Vec<Figure>,
        through: Option<TimeMs>,
    ) -> BoxFuture<'a, Result<u64, StoreError>> {
        let put = statistics::PutStatistics { series: series.to_owned(), figures, through };
        Box::pin(self.write("writing statistics", put))
    }

    fn statistics_through<'a>(
        &'a self,
        series: &'a str,
    ) -> BoxFuture<'a, Result<Option<TimeMs>, StoreError>> {
        let through = statistics::through(&self.db, series);
        Box::pin(self.read("reading up to when statistics are complete", through))
    }
}

impl Alerts for MongoStore {
    fn put_alert<'a>(&'a self, alert: &'a Alert) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(self.write("keeping an alert", alerts::PutAlert(alert.clone())))
    }
}

/// Every living session with its note of a name.
struct LiveSessions(String);

#[async_trait]
impl Work for LiveSessions {
    type Answer = Vec<LiveSession>;
    const KEEPS_KNOWN: bool = true;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Vec<LiveSession>, MongoError> {
        let holders: Vec<_> = tx.living().await?.values().cloned().collect();
        let mut living = Vec::new();
        for holder in holders {
            let name = note_of(&self.0, holder.token);
            let document = tx.find_one(NOTES, doc! { "_id": name }).await?;
            let note = document.map(|note| Read::of(NOTES, &note).text("text").map(str::to_owned));
            living.push(LiveSession { holder, note: note.transpose()? });
        }
        Ok(living)
    }
}
