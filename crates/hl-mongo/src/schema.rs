//! The collections, made and migrated by whoever opens the store for writing.
//!
//! Rows lie in ordinary collections, clustered by the natural key where the server can do it. Times are dates (UTC, ms),
//! prices and sizes are Decimal128. Not here: the shape of rows, which `rows` knows.

use hl_core::record::Position;
use hl_core::row::{Row as _, Table};
use mongodb::Database;
use mongodb::bson::{Bson, Document, doc};

use crate::error::MongoError;
use crate::reading::SOON;
use crate::rows;

/// What the store says of itself: `{_id: "schema", version}` and `{_id: "token", last}`.
pub(crate) const META: &str = "meta";
/// One document a session: its lease.
pub(crate) const MEMBERS: &str = "members";
/// One document a stream: its edge, and the token that may write it.
pub(crate) const STREAMS: &str = "streams";
pub(crate) const COVERAGE: &str = "coverage";
pub(crate) const GAPS: &str = "gaps";
pub(crate) const WEIGHT: &str = "weight";
pub(crate) const NOTES: &str = "notes";
pub(crate) const RUNS: &str = "job_runs";
pub(crate) const STATISTICS: &str = "statistics";
pub(crate) const SERIES: &str = "statistics_series";
pub(crate) const ALERTS: &str = "alerts";
pub(crate) const PARTS: &str = "archive_parts";
pub(crate) const DAYS: &str = "archive_claims";

/// 2: rows of mids may be of any dex. A release that knows only 1 would take all of them for its one stream.
const VERSION: i32 = 2;
const NAMESPACE_EXISTS: i32 = 48;

const PLAIN: [&str; 13] =
    [META, MEMBERS, STREAMS, COVERAGE, GAPS, WEIGHT, NOTES, RUNS, STATISTICS, SERIES, ALERTS, PARTS, DAYS];

/// What each tracked trader holds, as last known: a view, where SQLite has a table.
const POSITIONS_NOW: &str = "positions_now";

/// The rows of the last snapshot of each trader, and of those and what changed since the last of each coin.
fn positions_now() -> Vec<Document> {
    let snapshot = doc! { "$cond": [{ "$eq": ["$_id.coin", Position::NOTHING] }, "$_id.time", Bson::Null] };
    let mut fields = doc! { "_id": 1, "user": "$_id.user", "coin": "$_id.coin", "time": "$row._id.time" };
    for column in Position::TABLE.values() {
        fields.insert(column.name, format!("$row.{}", column.name));
    }
    vec![
        doc! { "$setWindowFields": { "partitionBy": "$_id.user", "output": { "snapshot": { "$max": snapshot } } } },
        doc! { "$match": { "$expr": { "$and": [
            { "$ne": ["$snapshot", Bson::Null] }, { "$gte": ["$_id.time", "$snapshot"] },
        ] } } },
        doc! { "$sort": { "_id": 1 } },
        doc! { "$group": {
            "_id": { "user": "$_id.user", "coin": "$_id.coin" }, "row": { "$last": "$$ROOT" },
        } },
        doc! { "$project": fields },
    ]
}

/// Makes what is missing.
pub(crate) async fn prepare(db: &Database) -> Result<(), MongoError> {
    let is_known = version(db).await? == Some(VERSION);
    // A kind that a later release added does not change the version: an earlier release finds all that it reads as it was.
    let there = db.list_collection_names().await?;
    for table in Table::all().filter(|table| !there.iter().any(|name| name == table.name)) {
        let validator = rows::validator(table);
        let made =
            create(db, table.name, doc! { "clusteredIndex": clustered(), "validator": validator.clone() });
        if made.await.is_err() {
            // Before 5.3 there are no clustered collections; the key is unique either way.
            create(db, table.name, doc! { "validator": validator }).await?;
        }
    }
    if !there.iter().any(|name| name == POSITIONS_NOW) {
        create(db, POSITIONS_NOW, doc! { "viewOn": Position::TABLE.name, "pipeline": positions_now() })
            .await?;
    }
    if is_known {
        return Ok(());
    }
    for name in PLAIN {
        create(db, name, doc! {}).await?;
    }
    for (collection, index, key) in [
        (COVERAGE, "by_time", doc! { "stream": 1, "to": 1 }),
        (GAPS, "by_time", doc! { "stream": 1, "to": 1 }),
        (GAPS, "claimed", doc! { "claim": 1 }),
        (WEIGHT, "by_time", doc! { "address": 1, "at": 1 }),
        (ALERTS, "by_time", doc! { "raised": -1 }),
        (STREAMS, "by_token", doc! { "token": 1 }),
        (RUNS, "by_start", doc! { "started": -1 }),
    ] {
        let indexes = vec![doc! { "key": key, "name": index }];
        db.run_command(doc! { "createIndexes": collection, "indexes": indexes }).await?;
    }
    db.collection::<Document>(META)
        .update_one(doc! { "_id": "schema" }, doc! { "$max": { "version": VERSION } })
        .upsert(true)
        .await?;
    Ok(())
}

/// The version of the schema; none where there is no store.
///
/// # Errors
/// Where it is newer than this program.
pub(crate) async fn version(db: &Database) -> Result<Option<i32>, MongoError> {
    let schema = SOON.find_one(db, META, doc! { "_id": "schema" }, doc! {}).await?;
    let Some(schema) = schema else { return Ok(None) };
    match schema.get_i32("version") {
        Ok(found) if found > VERSION => Err(MongoError::Newer { found, known: VERSION }),
        Ok(found) => Ok(Some(found)),
        Err(_) => Err(MongoError::Malformed { collection: META, field: "version" }),
    }
}

fn clustered() -> Bson {
    doc! { "key": { "_id": 1 }, "unique": true }.into()
}

async fn create(db: &Database, name: &str, options: Document) -> Result<(), MongoError> {
    let mut command = doc! { "create": name };
    command.extend(options);
    match db.run_command(command).await {
        Err(error) if crate::error::code(&error) == Some(NAMESPACE_EXISTS) => Ok(()),
        made => made.map(drop).map_err(MongoError::from),
    }
}
