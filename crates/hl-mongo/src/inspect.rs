//! Reading for people and checks: streams, coverage, gaps, rows, and the audit.

use std::collections::{BTreeMap, BTreeSet};

use hl_core::archive::{Part, StoredRows};
use hl_core::ledger::{Cause, GapState, Span};
use hl_core::row::Table;
use hl_core::runs::Row;
use hl_core::seam::BoxFuture;
use hl_core::store::{Holder, StoreError};
use hl_core::{Origin, Records, StreamKey, TimeMs, Token};
use hl_store::checks;
use hl_store::{AlertRow, Audit, CoverageRow, GapRow, Inspect, LeaseRow, StreamRow};
use mongodb::Database;
use mongodb::bson::{Bson, Document, doc};

use crate::audit::Audited;
use crate::documents::{self, Read};
use crate::error::MongoError;
use crate::reading::{AT_LENGTH, SOON};
use crate::schema::{COVERAGE, GAPS, MEMBERS, PARTS, STREAMS};
use crate::{alerts, archive, notes, rows, runs, schema};

/// Reads a MongoDB store without writing to it, also while daemons write.
///
/// It sees what a majority of the servers have, so nothing that it has seen is ever taken back. A call that asks more than
/// one question may see a batch in the later answer that was not there for the earlier one.
pub struct MongoInspect {
    db: Database,
}

impl MongoInspect {
    /// Looks into a database that reads with the concern `majority`.
    pub(crate) async fn open(db: Database) -> Result<Self, MongoError> {
        match schema::version(&db).await? {
            Some(_) => Ok(Self { db }),
            None => Err(MongoError::NoStore(db.name().to_owned())),
        }
    }

    pub(crate) fn db(&self) -> &Database {
        &self.db
    }
}

/// Names the step that failed.
fn named<'a, R: Send + 'a>(
    step: &'static str,
    work: impl Future<Output = Result<R, MongoError>> + Send + 'a,
) -> BoxFuture<'a, Result<R, StoreError>> {
    Box::pin(async move { work.await.map_err(|error| error.at(step)) })
}

impl Inspect for MongoInspect {
    fn streams(&self) -> BoxFuture<'_, Result<Vec<StreamRow>, StoreError>> {
        named("reading the streams", async {
            let living = living(&self.db).await?;
            let mut found = Vec::new();
            for stream in streams(&self.db).await? {
                found.push(stream_row(&self.db, stream, &living).await?);
            }
            Ok(found)
        })
    }

    fn leases(&self) -> BoxFuture<'_, Result<Vec<LeaseRow>, StoreError>> {
        named("reading the leases", leases(&self.db))
    }

    fn coverage(&self, stream: Option<StreamKey>) -> BoxFuture<'_, Result<Vec<CoverageRow>, StoreError>> {
        named("reading the coverage", coverage(&self.db, stream))
    }

    fn gaps(&self, stream: Option<StreamKey>) -> BoxFuture<'_, Result<Vec<GapRow>, StoreError>> {
        named("reading gaps", gaps(&self.db, stream))
    }

    fn unfilled(&self) -> BoxFuture<'_, Result<BTreeMap<StreamKey, u64>, StoreError>> {
        named("counting gaps", unfilled(&self.db))
    }

    fn rows(&self, stream: StreamKey, span: Span) -> BoxFuture<'_, Result<Records, StoreError>> {
        named("reading rows", async move { Ok(stored(&self.db, stream, span).await?.records) })
    }

    fn stored_rows(&self, stream: StreamKey, span: Span) -> BoxFuture<'_, Result<StoredRows, StoreError>> {
        named("reading rows", stored(&self.db, stream, span))
    }

    fn parts(&self, stream: Option<StreamKey>, within: Span) -> BoxFuture<'_, Result<Vec<Part>, StoreError>> {
        named("reading the parts of the archive", archive::parts(&self.db, stream, within))
    }

    fn audit(&self) -> BoxFuture<'_, Result<Audit, StoreError>> {
        named("checking the store", async { checks::audit(&Audited(&self.db)).await })
    }

    fn job_runs<'a>(
        &'a self,
        job: Option<&'a str>,
        most: u32,
    ) -> BoxFuture<'a, Result<Vec<Row>, StoreError>> {
        named("reading the history of jobs", runs::newest(&self.db, job, most))
    }

    fn note<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<String>, StoreError>> {
        named("reading a note", notes::note(&self.db, name))
    }

    fn alerts(&self, all: bool, most: u32) -> BoxFuture<'_, Result<Vec<AlertRow>, StoreError>> {
        named("reading the alerts", async move {
            let living: BTreeSet<Token> =
                living(&self.db).await?.into_iter().map(|holder| holder.token).collect();
            alerts::newest(&self.db, all, most, &living).await
        })
    }

    fn holders(&self) -> BoxFuture<'_, Result<Vec<Holder>, StoreError>> {
        named("reading the sessions", living(&self.db))
    }
}

/// Every session whose lease has not run out, by token.
pub(crate) async fn living(db: &Database) -> Result<Vec<Holder>, MongoError> {
    let renewed = doc! { "$expr": { "$gt": ["$until", "$$NOW"] } };
    let found = SOON.find(db, MEMBERS, renewed, doc! { "_id": 1 }).await?;
    found.iter().map(documents::holder).collect()
}

/// Every stream that has a lease, a ledger or rows, by name.
pub(crate) async fn streams(db: &Database) -> Result<Vec<StreamKey>, MongoError> {
    let mut found = BTreeSet::new();
    for (collection, field) in
        [(STREAMS, "_id"), (COVERAGE, "stream"), (GAPS, "stream"), (PARTS, "_id.stream")]
    {
        for name in AT_LENGTH.distinct(db, collection, field, doc! {}).await? {
            let stream = name.as_str().and_then(|name| name.parse::<StreamKey>().ok());
            found.insert(stream.ok_or(MongoError::Malformed { collection, field: "stream" })?);
        }
    }
    // Rows without a ledger would be an error that the audit has to see.
    for table in Table::all() {
        found.extend(with_rows(db, table).await?);
    }
    let mut streams: Vec<_> = found.into_iter().collect();
    streams.sort_by_cached_key(ToString::to_string);
    Ok(streams)
}

/// The streams that have rows in a table, by one look at the keys for each.
async fn with_rows(db: &Database, table: &'static Table) -> Result<Vec<StreamKey>, MongoError> {
    let in_order = || doc! { "_id": 1 };
    let mut streams = Vec::new();
    let mut next = SOON.find_one(db, table.name, doc! {}, in_order()).await?;
    while let Some(row) = next {
        let row = Read::of(table.name, &row);
        let key = row.inner("_id")?;
        let (mut values, mut last) = (Vec::new(), Document::new());
        for column in table.telling() {
            let value = key.text(column.name)?;
            values.push(value);
            last.insert(column.name, value);
        }
        streams.push(table.stream(&values).ok_or_else(|| row.wrong("_id"))?);
        if values.is_empty() {
            // One stream has all of them.
            break;
        }
        // Beyond every time.
        last.insert("time", Bson::MaxKey);
        next = SOON.find_one(db, table.name, doc! { "_id": { "$gt": last } }, in_order()).await?;
    }
    Ok(streams)
}

async fn leases(db: &Database) -> Result<Vec<LeaseRow>, MongoError> {
    let living: BTreeSet<i64> = living(db).await?.iter().map(|holder| i64::from(holder.token.0)).collect();
    let found = SOON.find(db, STREAMS, doc! {}, doc! { "_id": 1 }).await?;
    let lease = |document: &Document| {
        let lease = Read::of(STREAMS, document);
        let token = lease.int_or_null("token")?.filter(|token| living.contains(token));
        let holder = token.and_then(|token| u32::try_from(token).ok()).map(Token);
        Ok(LeaseRow {
            stream: lease.stream("_id")?,
            edge: lease.time_or_null("edge")?,
            ended: lease.time_or_null("ended")?,
            holder,
        })
    };
    found.iter().map(lease).collect()
}

/// Streams that have an edge and have not ended, by name.
pub(crate) async fn unended(db: &Database) -> Result<Vec<StreamKey>, MongoError> {
    let goes_on = doc! { "edge": { "$ne": null }, "ended": null };
    let found = SOON.find(db, STREAMS, goes_on, doc! { "_id": 1 }).await?;
    found.iter().map(|document| Read::of(STREAMS, document).stream("_id")).collect()
}

async fn stream_row(db: &Database, stream: StreamKey, living: &[Holder]) -> Result<StreamRow, MongoError> {
    let name = stream.to_string();
    let lease = SOON.find_one(db, STREAMS, doc! { "_id": &name }, doc! {}).await?.unwrap_or_default();
    let lease = Read::of(STREAMS, &lease);
    let token = lease.int_or_null("token")?;
    let mut first = None;
    for collection in [COVERAGE, GAPS] {
        let of_stream = doc! { "stream": &name };
        let oldest = AT_LENGTH.find_one(db, collection, of_stream, doc! { "from": 1 }).await?;
        let oldest = oldest.map(|oldest| Read::of(collection, &oldest).time("from")).transpose()?;
        first = [first, oldest].into_iter().flatten().min();
    }
    let (rows, [oldest, newest]) = counted(db, stream).await?;
    let (archived, newest_archived) = archive::archived(db, stream).await?;
    Ok(StreamRow {
        stream,
        edge: lease.time_or_null("edge")?,
        ended: lease.time_or_null("ended")?,
        first,
        rows: rows + archived,
        archived,
        oldest,
        newest: newest.max(newest_archived),
        holder: living.iter().find(|holder| Some(i64::from(holder.token.0)) == token).cloned(),
    })
}

/// How many rows a stream has, those of bars included that may still change, and the oldest and newest time among them.
async fn counted(db: &Database, stream: StreamKey) -> Result<(u64, [Option<TimeMs>; 2]), MongoError> {
    let collection = rows::collection(stream);
    let (oldest, newest) = (doc! { "$min": "$_id.time" }, doc! { "$max": "$_id.time" });
    let sums = doc! { "_id": Bson::Null, "rows": { "$sum": 1_i64 }, "oldest": oldest, "newest": newest };
    let pipeline = vec![doc! { "$match": rows::key_filter(stream, Span::EVER) }, doc! { "$group": sums }];
    let found = AT_LENGTH.aggregate(db, collection, pipeline).await?;
    let Some(sums) = found.first() else { return Ok((0, [None; 2])) };
    let sums = Read::of(collection, sums);
    Ok((sums.count("rows")?, [sums.time_or_null("oldest")?, sums.time_or_null("newest")?]))
}

/// The rows of a stream whose time lies in the closed `span`, in key order; of bars the final ones.
pub(crate) async fn stored(db: &Database, stream: StreamKey, span: Span) -> Result<StoredRows, MongoError> {
    let filter = rows::span_filter(stream, span);
    let found = AT_LENGTH.find(db, rows::collection(stream), filter, doc! { "_id": 1 }).await?;
    rows::read(stream, &found)
}

/// One stream, or all.
fn one_or_all(stream: Option<StreamKey>) -> Document {
    stream.map_or_else(Document::new, |stream| doc! { "stream": stream.to_string() })
}

pub(crate) async fn coverage(
    db: &Database,
    stream: Option<StreamKey>,
) -> Result<Vec<CoverageRow>, MongoError> {
    let order = doc! { "stream": 1, "from": 1, "to": 1, "epoch": 1 };
    let found = AT_LENGTH.find(db, COVERAGE, one_or_all(stream), order).await?;
    let row = |document| {
        let read = Read::of(COVERAGE, document);
        Ok(CoverageRow {
            stream: read.stream("stream")?,
            span: read.span()?,
            source: read.word("source", Origin::parse)?,
            epoch: read.epoch("epoch")?,
            rows: read.count("rows")?,
        })
    };
    found.iter().map(row).collect()
}

pub(crate) async fn gaps(db: &Database, stream: Option<StreamKey>) -> Result<Vec<GapRow>, MongoError> {
    let order = doc! { "stream": 1, "from": 1, "to": 1, "_id": 1 };
    let found = AT_LENGTH.find(db, GAPS, one_or_all(stream), order).await?;
    let row = |document| {
        let read = Read::of(GAPS, document);
        Ok(GapRow {
            stream: read.stream("stream")?,
            span: read.span()?,
            cause: read.word("cause", Cause::parse)?,
            state: read.word("state", GapState::parse)?,
        })
    };
    found.iter().map(row).collect()
}

async fn unfilled(db: &Database) -> Result<BTreeMap<StreamKey, u64>, MongoError> {
    let pipeline = vec![
        doc! { "$match": {
            "state": { "$ne": GapState::Backfilled.as_str() },
            "cause": { "$ne": Cause::BeforeHistory.as_str() },
        } },
        doc! { "$group": { "_id": "$stream", "gaps": { "$sum": 1_i64 } } },
    ];
    let found = AT_LENGTH.aggregate(db, GAPS, pipeline).await?;
    let count = |document| {
        let read = Read::of(GAPS, document);
        Ok((read.stream("_id")?, read.count("gaps")?))
    };
    found.iter().map(count).collect()
}
