//! The history of jobs. A planned run is a document, and its last attempt; one that somebody asks for, and nobody has
//! begun, is attempt 0.

use std::collections::BTreeSet;

use async_trait::async_trait;
use hl_core::runs::{Begun, Outcome, Report, Row};
use hl_core::{TimeMs, Token};
use hl_store::rules::{self, Attempt, RUNS_KEPT_MS};
use mongodb::Database;
use mongodb::bson::{Bson, Document, doc};

use crate::documents::{Read, date};
use crate::error::MongoError;
use crate::reading::SOON;
use crate::schema::RUNS;
use crate::session::Work;
use crate::tx::Tx;

fn key(job: &str, planned: TimeMs) -> Document {
    doc! { "job": job, "planned": date(planned) }
}

/// Begins a planned run.
pub(crate) struct BeginRun {
    pub(crate) job: String,
    pub(crate) planned: TimeMs,
}

#[async_trait]
impl Work for BeginRun {
    type Answer = Begun;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Begun, MongoError> {
        let Self { job, planned } = self;
        let before = tx.find_one(RUNS, doc! { "_id": key(job, *planned) }).await?;
        let before = before.as_ref().map(row).transpose()?;
        let Some(Attempt { number, unless }) = rules::attempt(before.as_ref(), tx.token) else {
            return Ok(Begun::Done);
        };
        if let Some(token) = unless
            && let Some(holder) = tx.alive(token).await?
        {
            return Ok(Begun::Elsewhere(holder));
        }
        let begun = doc! {
            "attempt": i64::from(number), "token": i64::from(tx.token.0), "started": date(tx.now),
            "ended": Bson::Null, "outcome": Bson::Null, "rows": 0_i64, "weight": 0_i64, "error": Bson::Null,
        };
        tx.upsert(RUNS, doc! { "_id": key(job, *planned) }, doc! { "$set": begun }).await?;
        let old = doc! { "_id": { "$gte": { "job": job }, "$lt": key(job, *planned - RUNS_KEPT_MS) } };
        tx.delete_all(RUNS, old).await?;
        Ok(Begun::Yes(number))
    }
}

/// Asks for a run now.
pub(crate) struct RequestRun {
    pub(crate) job: String,
}

#[async_trait]
impl Work for RequestRun {
    type Answer = TimeMs;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<TimeMs, MongoError> {
        let Self { job } = self;
        let later = doc! { "_id": { "$gte": key(job, tx.now), "$lte": key(job, TimeMs::MAX) } };
        let last = vec![doc! { "$match": later }, doc! { "$sort": { "_id": -1 } }, doc! { "$limit": 1 }];
        // Two at once are two runs.
        let planned = match tx.aggregate(RUNS, last).await?.first() {
            Some(last) => Read::of(RUNS, last).inner("_id")?.time("planned")? + 1,
            None => tx.now,
        };
        let asked = doc! {
            "_id": key(job, planned), "attempt": 0_i64, "token": i64::from(tx.token.0), "started": date(tx.now),
            "ended": Bson::Null, "outcome": Bson::Null, "rows": 0_i64, "weight": 0_i64, "error": Bson::Null,
        };
        tx.insert(RUNS, vec![asked]).await?;
        Ok(planned)
    }
}

/// Ends a run of this session.
pub(crate) struct EndRun {
    pub(crate) job: String,
    pub(crate) planned: TimeMs,
    pub(crate) report: Report,
}

#[async_trait]
impl Work for EndRun {
    type Answer = ();

    async fn run(&self, tx: &mut Tx<'_>) -> Result<(), MongoError> {
        let Self { job, planned, report } = self;
        let ended = doc! {
            "ended": date(tx.now), "outcome": report.outcome.as_str(), "rows": report.rows.cast_signed(),
            "weight": report.weight.cast_signed(), "error": report.error.as_deref(),
        };
        let own = doc! { "_id": key(job, *planned), "token": i64::from(tx.token.0), "ended": Bson::Null };
        tx.update(RUNS, vec![doc! { "q": own, "u": { "$set": ended } }]).await?;
        Ok(())
    }
}

/// What living sessions ask for and nobody has begun, the oldest first.
pub(crate) async fn asked(
    db: &Database,
    living: &BTreeSet<Token>,
) -> Result<Vec<(String, TimeMs)>, MongoError> {
    let living: Vec<_> = living.iter().map(|token| i64::from(token.0)).collect();
    let asked = doc! { "attempt": 0, "ended": Bson::Null, "token": { "$in": living } };
    let found = SOON.find(db, RUNS, asked, doc! { "_id.planned": 1, "_id.job": 1 }).await?;
    found.iter().map(|found| row(found).map(|row| (row.job, row.planned))).collect()
}

/// The newest runs of a job, or of all.
pub(crate) async fn newest(db: &Database, job: Option<&str>, most: u32) -> Result<Vec<Row>, MongoError> {
    // The server takes 0 for no limit.
    if most == 0 {
        return Ok(Vec::new());
    }
    let of = job.map_or_else(Document::new, |job| {
        doc! { "_id": { "$gte": { "job": job }, "$lte": key(job, TimeMs::MAX) } }
    });
    let newest = doc! { "started": -1, "_id.job": 1, "_id.planned": -1 };
    let found = SOON.first(db, RUNS, of, newest, i64::from(most)).await?;
    found.iter().map(row).collect()
}

pub(crate) fn row(document: &Document) -> Result<Row, MongoError> {
    let read = Read::of(RUNS, document);
    let key = read.inner("_id")?;
    let known = |words| Outcome::ALL.into_iter().find(|outcome| outcome.as_str() == words);
    let outcome = match read.text_or_null("outcome")? {
        Some(words) => Some(known(words).ok_or_else(|| read.wrong("outcome"))?),
        None => None,
    };
    Ok(Row {
        job: key.text("job")?.to_owned(),
        planned: key.time("planned")?,
        attempt: read.small("attempt")?,
        token: Token(read.small("token")?),
        started: read.time("started")?,
        ended: read.time_or_null("ended")?,
        outcome,
        rows: read.int("rows")?.cast_unsigned(),
        weight: read.int("weight")?.cast_unsigned(),
        error: read.text_or_null("error")?.map(str::to_owned),
    })
}
