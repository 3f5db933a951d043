//! The archive's claims and parts.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use hl_core::archive::{Claimed, Day, Part, Removed, RowKey, StoredRows};
use hl_core::ledger::{GapState, Span};
use hl_core::store::Settled;
use hl_core::{Epoch, StreamKey, TimeMs};
use hl_store::rules;
use mongodb::Database;
use mongodb::bson::{Bson, Document, doc};

use crate::documents::{Read, date};
use crate::error::MongoError;
use crate::reading::{AT_LENGTH, SOON};
use crate::schema::{COVERAGE, DAYS, GAPS, PARTS, STREAMS};
use crate::session::Work;
use crate::tx::Tx;
use crate::{ledger, rows};

fn key(stream: StreamKey, day: Day) -> Document {
    doc! { "stream": stream.to_string(), "day": day.to_string() }
}

/// The claim on a day. Who holds it lives or has ended: to end it is to write to its lease document, so whoever reads its
/// own claim here has it until this transaction is over.
async fn claim(tx: &mut Tx<'_>, stream: StreamKey, day: Day) -> Result<Option<Epoch>, MongoError> {
    let found = tx.find_one(DAYS, doc! { "_id": key(stream, day) }).await?;
    found.map(|found| Read::of(DAYS, &found).epoch("epoch")).transpose()
}

/// Claims a day.
pub(crate) struct ClaimDay {
    pub(crate) stream: StreamKey,
    pub(crate) day: Day,
    pub(crate) epoch: Epoch,
}

#[async_trait]
impl Work for ClaimDay {
    type Answer = Claimed;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Claimed, MongoError> {
        let Self { stream, day, epoch } = *self;
        if let Some(Epoch { token, .. }) = claim(tx, stream, day).await?
            && token != tx.token
            && let Some(holder) = tx.alive(token).await?
        {
            return Ok(Claimed::Elsewhere(holder));
        }
        let own = doc! { "$set": { "epoch": epoch.to_i64(), "since": date(tx.now) } };
        tx.upsert(DAYS, doc! { "_id": key(stream, day) }, own).await?;
        Ok(Claimed::Yes)
    }
}

/// Gives a day back.
pub(crate) struct UnclaimDay {
    pub(crate) stream: StreamKey,
    pub(crate) day: Day,
    pub(crate) epoch: Epoch,
}

#[async_trait]
impl Work for UnclaimDay {
    type Answer = ();

    async fn run(&self, tx: &mut Tx<'_>) -> Result<(), MongoError> {
        let own = doc! { "_id": key(self.stream, self.day), "epoch": self.epoch.to_i64() };
        tx.delete_one(DAYS, own).await.map(drop)
    }
}

/// Records a part, and removes those of its rows that are still stored exactly so.
pub(crate) struct CommitPart {
    pub(crate) stream: StreamKey,
    pub(crate) day: Day,
    pub(crate) epoch: Epoch,
    pub(crate) part: Option<Part>,
    pub(crate) rows: Arc<StoredRows>,
}

#[async_trait]
impl Work for CommitPart {
    type Answer = Removed;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Removed, MongoError> {
        let Self { stream, day, epoch, part, rows } = self;
        if claim(tx, *stream, *day).await? != Some(*epoch) {
            return Ok(Removed::ClaimLost);
        }
        if let Some(part) = part {
            record(tx, part).await?;
        }
        let filters = rows::removal(rows).into_iter();
        let deletes = filters.map(|filter| doc! { "q": filter, "limit": 1 }).collect();
        let removed = tx.delete(rows::collection(*stream), deletes).await?;
        Ok(Removed::Done { rows: removed, changed: (rows.len() as u64).saturating_sub(removed) })
    }
}

/// Records a part, once: whoever did not learn whether it was recorded tries again.
async fn record(tx: &mut Tx<'_>, part: &Part) -> Result<(), MongoError> {
    let of_day = doc! { "_id": between(part.stream, part.day, part.day) };
    let known = tx.find(PARTS, of_day, doc! { "_id": 1 }).await?;
    let mut last = 0;
    for known in &known {
        if is_same(&read(known)?, part) {
            return Ok(());
        }
        last = Read::of(PARTS, known).inner("_id")?.int("number")?;
    }
    tx.insert(PARTS, vec![document(last + 1, part)]).await
}

/// A part as it is stored.
pub(crate) fn document(number: i64, part: &Part) -> Document {
    let mut id = key(part.stream, part.day);
    id.insert("number", number);
    doc! {
        "_id": id, "path": part.path.as_deref(), "rows": part.rows.cast_signed(),
        "first_time": date(part.first), "last_time": date(part.last), "bytes": part.bytes.cast_signed(),
        "checksum": &part.checksum, "epoch": part.epoch.to_i64(), "written_at": date(part.written_at),
    }
}

/// A file is recorded once. Two deletions are two, however alike.
fn is_same(known: &Part, part: &Part) -> bool {
    part.path.is_some() && known.path == part.path
}

/// What the key of a part of these days is.
fn between(stream: StreamKey, first: Day, last: Day) -> Document {
    let mut end = key(stream, last);
    end.insert("number", i64::MAX);
    doc! { "$gte": key(stream, first), "$lte": end }
}

fn of_stream(stream: StreamKey) -> Document {
    doc! { "_id": between(stream, Day::of(TimeMs::MIN), Day::of(TimeMs::MAX)) }
}

/// The edge of a stream; none where it has none, or is not known.
pub(crate) async fn edge(db: &Database, stream: StreamKey) -> Result<Option<TimeMs>, MongoError> {
    let found = SOON.find_one(db, STREAMS, doc! { "_id": stream.to_string() }, doc! {}).await?;
    Ok(found.map(|found| Read::of(STREAMS, &found).time_or_null("edge")).transpose()?.flatten())
}

/// Where the ledger of a stream ends.
async fn end_of_ledger(db: &Database, stream: StreamKey) -> Result<Option<TimeMs>, MongoError> {
    let mut end = None;
    for collection in [COVERAGE, GAPS] {
        for last in SOON.aggregate(db, collection, ledger::last_end(stream)).await? {
            end = end.max(Some(Read::of(collection, &last).time("to")?));
        }
    }
    Ok(end)
}

/// Days that are over before `before` and settled, and have rows.
pub(crate) async fn settled_days(
    db: &Database,
    stream: StreamKey,
    before: TimeMs,
) -> Result<Vec<(Day, u64)>, MongoError> {
    let edge = match edge(db, stream).await? {
        Some(edge) => Some(edge),
        None => end_of_ledger(db, stream).await?,
    };
    let before = rules::settled(edge, before);
    // What lies before 1970 is of no day.
    let whole = Span { from: TimeMs(0), to: Day::of(before).span().from - 1 };
    if whole.to < whole.from {
        return Ok(Vec::new());
    }
    let day = doc! { "$dateToString": { "date": "$_id.time", "format": "%Y-%m-%d" } };
    let pipeline = vec![
        doc! { "$match": rows::span_filter(stream, whole) },
        doc! { "$group": { "_id": day, "rows": { "$sum": 1_i64 } } },
        doc! { "$sort": { "_id": 1 } },
    ];
    let collection = rows::collection(stream);
    let mut days = Vec::new();
    for found in AT_LENGTH.aggregate(db, collection, pipeline).await? {
        let read = Read::of(collection, &found);
        let day: Day = read.word("_id", |text| text.parse().ok())?;
        if day.end() <= before {
            days.push((day, read.count("rows")?));
        }
    }
    Ok(days)
}

/// The first `most` rows of a closed piece with keys after `after`, in key order; of bars the final ones.
pub(crate) async fn rows_in(
    db: &Database,
    stream: StreamKey,
    span: Span,
    after: Option<RowKey>,
    most: usize,
) -> Result<StoredRows, MongoError> {
    // The server takes 0 for no limit.
    if most == 0 {
        return Ok(StoredRows::none(stream));
    }
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let filter = rows::page_filter(stream, span, after);
    let found = AT_LENGTH.first(db, rows::collection(stream), filter, doc! { "_id": 1 }, most).await?;
    rows::read(stream, &found)
}

/// The edge of a stream, and its gaps that are not filled. The edge is read first: a gap that is opened meanwhile is
/// seen, and the rows of one that is filled meanwhile are there for who reads them afterwards.
pub(crate) async fn settled(db: &Database, stream: StreamKey) -> Result<Settled, MongoError> {
    let edge = edge(db, stream).await?;
    let unfilled = doc! { "stream": stream.to_string(), "state": { "$ne": GapState::Backfilled.as_str() } };
    let found = AT_LENGTH.find(db, GAPS, unfilled, doc! { "from": 1, "to": 1 }).await?;
    let unfilled = found.iter().map(|gap| Read::of(GAPS, gap).span()).collect::<Result<_, _>>()?;
    Ok(Settled { edge, unfilled })
}

/// Pieces of a stream that were gaps and were filled at `since` or later.
pub(crate) async fn filled_since(
    db: &Database,
    stream: StreamKey,
    since: TimeMs,
) -> Result<Vec<Span>, MongoError> {
    let filled = doc! {
        "stream": stream.to_string(), "state": GapState::Backfilled.as_str(), "closed_at": { "$gte": date(since) },
    };
    let found = AT_LENGTH.find(db, GAPS, filled, doc! { "from": 1, "to": 1 }).await?;
    found.iter().map(|gap| Read::of(GAPS, gap).span()).collect()
}

/// The parts of one stream, or of all, whose day meets `within`, in order.
pub(crate) async fn parts(
    db: &Database,
    stream: Option<StreamKey>,
    within: Span,
) -> Result<Vec<Part>, MongoError> {
    let (first, last) = (Day::of(within.from), Day::of(within.to));
    let filter = match stream {
        Some(stream) => doc! { "_id": between(stream, first, last) },
        None => doc! { "_id.day": { "$gte": first.to_string(), "$lte": last.to_string() } },
    };
    let found = SOON.find(db, PARTS, filter, doc! { "_id": 1 }).await?;
    found.iter().map(read).collect()
}

pub(crate) fn read(document: &Document) -> Result<Part, MongoError> {
    let read = Read::of(PARTS, document);
    let key = read.inner("_id")?;
    Ok(Part {
        stream: key.stream("stream")?,
        day: key.word("day", |text| text.parse().ok())?,
        path: read.text_or_null("path")?.map(str::to_owned),
        rows: read.count("rows")?,
        first: read.time("first_time")?,
        last: read.time("last_time")?,
        bytes: read.count("bytes")?,
        checksum: read.text("checksum")?.to_owned(),
        epoch: read.epoch("epoch")?,
        written_at: read.time("written_at")?,
    })
}

/// How many rows of a stream lie in parts, and the newest time among them.
pub(crate) async fn archived(db: &Database, stream: StreamKey) -> Result<(u64, Option<TimeMs>), MongoError> {
    let mut of_files = of_stream(stream);
    of_files.insert("path", doc! { "$ne": Bson::Null });
    let sums = doc! { "_id": Bson::Null, "rows": { "$sum": "$rows" }, "newest": { "$max": "$last_time" } };
    let pipeline = vec![doc! { "$match": of_files }, doc! { "$group": sums }];
    let found = SOON.aggregate(db, PARTS, pipeline).await?;
    let Some(sums) = found.first() else { return Ok((0, None)) };
    let sums = Read::of(PARTS, sums);
    Ok((sums.count("rows")?, sums.time_or_null("newest")?))
}

/// The days of a stream of which the archive has taken or deleted something.
pub(crate) async fn touched_days(db: &Database, stream: StreamKey) -> Result<BTreeSet<Day>, MongoError> {
    let days = SOON.distinct(db, PARTS, "_id.day", of_stream(stream)).await?;
    let day = |day: &Bson| day.as_str().and_then(|text| text.parse().ok());
    let malformed = MongoError::Malformed { collection: PARTS, field: "day" };
    days.iter().map(day).collect::<Option<_>>().ok_or(malformed)
}

#[cfg(test)]
mod tests {
    use hl_core::Token;

    use super::*;

    #[test]
    fn a_part_is_known_by_its_file_and_a_deletion_by_what_it_deleted() {
        let part = Part {
            stream: StreamKey::MIDS,
            day: Day::of(TimeMs(0)),
            path: Some("mids/1970-01-01/part-1.parquet".to_owned()),
            rows: 3,
            first: TimeMs(1),
            last: TimeMs(2),
            bytes: 10,
            checksum: "ab".to_owned(),
            epoch: Epoch { token: Token(1), local: 1 },
            written_at: TimeMs(5),
        };
        let again = Part { written_at: TimeMs(6), ..part.clone() };
        assert!(is_same(&part, &again));
        let deleted = Part { path: None, ..part.clone() };
        assert!(!is_same(&part, &deleted));
        assert!(!is_same(&deleted, &deleted.clone()));
    }
}
