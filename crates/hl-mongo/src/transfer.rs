//! Pages for moving house: each section by the key of its collection.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use hl_core::archive::{Provenance, StoredRows};
use hl_core::seam::BoxFuture;
use hl_core::statistics::Figure;
use hl_core::store::StoreError;
use hl_core::{Epoch, Origin, Records, StreamKey, TimeMs, Token};
use hl_store::transfer::{
    AlertEntry, Cell, GapEntry, Incoming, NOTE, NoteEntry, Outgoing, Page, Section, SeriesEntry, StreamEntry,
    Turn, row_key, stays_behind,
};
use hl_store::{CoverageRow, Import};
use mongodb::Database;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Bson, Document, doc};

use crate::documents::{Read, date, date_or_null};
use crate::error::MongoError;
use crate::reading::{AT_LENGTH, SOON};
use crate::schema::{ALERTS, COVERAGE, GAPS, META, NOTES, PARTS, RUNS, SERIES, STATISTICS, STREAMS};
use crate::session::Work;
use crate::tx::Tx;
use crate::{MongoInspect, MongoStore, alerts, archive, ledger, rows, runs};

impl Outgoing for MongoInspect {
    fn last_token(&self) -> BoxFuture<'_, Result<Token, StoreError>> {
        Box::pin(async { last_token(self.db()).await.map_err(|error| error.at("reading the last token")) })
    }

    fn page<'a>(
        &'a self,
        section: Section,
        after: Option<&'a [Cell]>,
        most: usize,
    ) -> BoxFuture<'a, Result<Page, StoreError>> {
        Box::pin(async move {
            let items = Items { db: self.db(), after: after.unwrap_or_default(), most };
            items.page(section).await.map_err(|error| error.at("reading a page"))
        })
    }
}

async fn last_token(db: &Database) -> Result<Token, MongoError> {
    let counter = SOON.find_one(db, META, doc! { "_id": "token" }, doc! {}).await?;
    counter.map_or(Ok(Token(0)), |counter| Ok(Token(Read::of(META, &counter).small("last")?)))
}

/// What to read of a collection.
struct Items<'a> {
    db: &'a Database,
    after: &'a [Cell],
    most: usize,
}

impl Items<'_> {
    async fn find(&self, collection: &str, filter: Document) -> Result<Vec<Document>, MongoError> {
        let most = i64::try_from(self.most).unwrap_or(i64::MAX);
        AT_LENGTH.first(self.db, collection, filter, doc! { "_id": 1 }, most).await
    }

    /// The items whose key lies beyond the last one, which `key` makes of its cells.
    async fn read<T>(
        &self,
        collection: &'static str,
        key: impl Fn(&[Cell]) -> Option<Bson>,
        read: impl Fn(&Document) -> Result<T, MongoError>,
    ) -> Result<Vec<T>, MongoError> {
        let filter = match key(self.after) {
            Some(last) => doc! { "_id": { "$gt": last } },
            None if self.after.is_empty() => doc! {},
            None => return Err(MongoError::Malformed { collection, field: "_id" }),
        };
        self.find(collection, filter).await?.iter().map(read).collect()
    }

    async fn page(&self, section: Section) -> Result<Page, MongoError> {
        Ok(match section {
            Section::Rows(stream) => {
                let filter = rows::every_filter(stream, row_key(self.after));
                let found = self.find(rows::collection(stream), filter).await?;
                let finals = match stream {
                    StreamKey::Candle(..) => found.iter().map(rows::is_final).collect::<Result<_, _>>()?,
                    _ => Vec::new(),
                };
                Page::Rows { stream, rows: rows::read(stream, &found)?, finals }
            }
            Section::Coverage => Page::Coverage(self.read(COVERAGE, piece_key, covered).await?),
            Section::Gaps => Page::Gaps(self.read(GAPS, object_id, gap).await?),
            Section::Parts => {
                let part = |document: &Document| {
                    let number = Read::of(PARTS, document).inner("_id")?.small("number")?;
                    Ok((number, archive::read(document)?))
                };
                Page::Parts(self.read(PARTS, part_key, part).await?)
            }
            Section::Runs => Page::Runs(self.read(RUNS, run_key, runs::row).await?),
            Section::Figures => Page::Figures(self.read(STATISTICS, figure_key, figure).await?),
            Section::Series => Page::Series(self.read(SERIES, name, series).await?),
            Section::Alerts => {
                let entry = |document: &Document| {
                    let id = document.get_object_id("_id");
                    let id = id.map_err(|_| Read::of(ALERTS, document).wrong("_id"))?;
                    Ok(AlertEntry { id: Cell::Text(id.to_hex()), row: alerts::read(document)? })
                };
                Page::Alerts(self.read(ALERTS, object_id, entry).await?)
            }
            Section::Notes => Page::Notes(self.notes().await?),
            Section::Streams => Page::Streams(self.read(STREAMS, name, stream).await?),
        })
    }

    /// A page without what stays behind is empty only at the end.
    async fn notes(&self) -> Result<Vec<NoteEntry>, MongoError> {
        let mut after = self.after.to_vec();
        loop {
            let read = Items { after: &after, ..*self }.read(NOTES, name, note).await?;
            let Some(last) = read.last() else { return Ok(Vec::new()) };
            after = vec![last.name.as_str().into()];
            let kept: Vec<_> = read.into_iter().filter(|note| !stays_behind(&note.name)).collect();
            if !kept.is_empty() {
                return Ok(kept);
            }
        }
    }
}

fn name(cells: &[Cell]) -> Option<Bson> {
    match cells {
        [Cell::Text(name)] => Some(name.into()),
        _ => None,
    }
}

/// Ids of a SQLite store are numbers; they keep their order here, and a page that is written again has the same.
fn object_id(cells: &[Cell]) -> Option<Bson> {
    match cells {
        [cell] => id_of(cell).map(Bson::ObjectId),
        _ => None,
    }
}

fn id_of(cell: &Cell) -> Option<ObjectId> {
    match cell {
        Cell::Text(hex) => ObjectId::parse_str(hex).ok(),
        Cell::Int(number) => {
            let mut bytes = [0; 12];
            bytes[4..].copy_from_slice(&number.to_be_bytes());
            Some(ObjectId::from_bytes(bytes))
        }
    }
}

fn piece_key(cells: &[Cell]) -> Option<Bson> {
    match cells {
        [Cell::Text(stream), Cell::Int(epoch), Cell::Text(source), Cell::Int(from)] => Some(
            doc! { "stream": stream, "epoch": *epoch, "source": source, "from": date(TimeMs(*from)) }.into(),
        ),
        _ => None,
    }
}

fn part_key(cells: &[Cell]) -> Option<Bson> {
    match cells {
        [Cell::Text(stream), Cell::Text(day), Cell::Int(number)] => {
            Some(doc! { "stream": stream, "day": day, "number": *number }.into())
        }
        _ => None,
    }
}

fn run_key(cells: &[Cell]) -> Option<Bson> {
    match cells {
        [Cell::Text(job), Cell::Int(planned)] => {
            Some(doc! { "job": job, "planned": date(TimeMs(*planned)) }.into())
        }
        _ => None,
    }
}

fn figure_key(cells: &[Cell]) -> Option<Bson> {
    match cells {
        [Cell::Text(series), Cell::Int(day), Cell::Text(subject), Cell::Text(name)] => Some(
            doc! { "series": series, "day": date(TimeMs(*day)), "subject": subject, "name": name }.into(),
        ),
        _ => None,
    }
}

fn covered(document: &Document) -> Result<CoverageRow, MongoError> {
    let (stream, (epoch, source, from), piece) = ledger::piece(document)?;
    let span = hl_core::ledger::Span { from, to: piece.to };
    Ok(CoverageRow { stream, span, source, epoch, rows: piece.rows })
}

fn gap(document: &Document) -> Result<GapEntry, MongoError> {
    let (stream, gap) = ledger::gap(document)?;
    Ok(GapEntry {
        id: Cell::Text(gap.id.map(ObjectId::to_hex).unwrap_or_default()),
        stream,
        span: gap.span,
        cause: gap.cause,
        state: gap.state,
        opened_at: gap.opened_at,
        closed_at: gap.closed_at,
    })
}

fn figure(document: &Document) -> Result<(String, Figure), MongoError> {
    let read = Read::of(STATISTICS, document);
    let key = read.inner("_id")?;
    let text = |field| key.text(field).map(str::to_owned);
    let value = document.get_f64("value").map_err(|_| read.wrong("value"))?;
    Ok((
        text("series")?,
        Figure { day: key.time("day")?, subject: text("subject")?, name: text("name")?, value },
    ))
}

fn series(document: &Document) -> Result<SeriesEntry, MongoError> {
    let read = Read::of(SERIES, document);
    let (through, read_at) = (read.time("through")?, read.time("read_at")?);
    Ok(SeriesEntry { series: read.text("_id")?.to_owned(), through, read_at })
}

fn note(document: &Document) -> Result<NoteEntry, MongoError> {
    let read = Read::of(NOTES, document);
    let (name, text) = (read.text("_id")?.to_owned(), read.text("text")?.to_owned());
    Ok(NoteEntry { name, text, updated_at: read.time("updated_at")? })
}

fn stream(document: &Document) -> Result<StreamEntry, MongoError> {
    let read = Read::of(STREAMS, document);
    let token = read.int_or_null("token")?.map(u32::try_from).transpose().map_err(|_| read.wrong("token"))?;
    Ok(StreamEntry {
        stream: read.stream("_id")?,
        edge: read.time_or_null("edge")?,
        ended: read.time_or_null("ended")?,
        token: token.map(Token),
        leased_at: read.time_or_null("leased_at")?,
    })
}

impl Incoming for MongoStore {
    fn skip_tokens(&self, last: Token) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.write("skipping the tokens of the source", SkipTokens(last)))
    }

    fn put_page(&self, page: Option<Arc<Page>>, turn: Turn) -> BoxFuture<'_, Result<bool, StoreError>> {
        Box::pin(self.write("writing a page", PutPage { page, turn }))
    }
}

struct SkipTokens(Token);

#[async_trait]
impl Work for SkipTokens {
    type Answer = ();

    async fn run(&self, tx: &mut Tx<'_>) -> Result<(), MongoError> {
        let least = doc! { "$max": { "last": i64::from(self.0.0) } };
        tx.upsert(META, doc! { "_id": "token" }, least).await
    }
}

struct PutPage {
    page: Option<Arc<Page>>,
    turn: Turn,
}

#[async_trait]
impl Work for PutPage {
    type Answer = bool;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<bool, MongoError> {
        let record = tx.find_one(NOTES, doc! { "_id": NOTE }).await?;
        let record = record.as_ref().map(|found| Read::of(NOTES, found).text("text")).transpose()?;
        if record == Some(self.turn.to.as_str()) {
            return Ok(true);
        }
        if record != self.turn.from.as_deref() {
            return Ok(false);
        }
        if let Some(page) = &self.page {
            let (collection, documents) = documents(page)?;
            match tx.careful {
                true => drop(insert_new(tx, collection, documents).await?),
                false => tx.insert(collection, documents).await?,
            }
        }
        // Last: where there are no transactions, a page that was cut short is written again.
        let text = doc! { "text": &self.turn.to, "updated_at": date(tx.now) };
        tx.upsert(NOTES, doc! { "_id": NOTE }, doc! { "$set": text }).await?;
        Ok(true)
    }
}

/// Inserts what is not there yet. Returns how many that is.
async fn insert_new(
    tx: &mut Tx<'_>,
    collection: &'static str,
    mut documents: Vec<Document>,
) -> Result<u64, MongoError> {
    let ids: Vec<_> = documents.iter().filter_map(|document| document.get("_id").cloned()).collect();
    let there = vec![doc! { "$match": { "_id": { "$in": ids } } }, doc! { "$project": { "_id": 1 } }];
    let mut known: BTreeSet<_> = tx.aggregate(collection, there).await?.iter().map(id_bytes).collect();
    documents.retain(|document| known.insert(id_bytes(document)));
    let new = documents.len() as u64;
    tx.insert(collection, documents).await?;
    Ok(new)
}

fn id_bytes(document: &Document) -> Vec<u8> {
    let id = document.get("_id").cloned().unwrap_or(Bson::Null);
    doc! { "_id": id }.to_vec().unwrap_or_default()
}

fn documents(page: &Page) -> Result<(&'static str, Vec<Document>), MongoError> {
    Ok(match page {
        Page::Rows { stream, rows, finals } => {
            (rows::collection(*stream), rows::stored_documents(rows, finals))
        }
        Page::Coverage(items) => (COVERAGE, items.iter().map(of_piece).collect()),
        Page::Gaps(items) => (GAPS, items.iter().map(of_gap).collect::<Result<_, _>>()?),
        Page::Parts(items) => {
            (PARTS, items.iter().map(|(number, part)| archive::document(i64::from(*number), part)).collect())
        }
        Page::Runs(items) => (RUNS, items.iter().map(of_run).collect()),
        Page::Figures(items) => {
            let document = |(series, figure): &(String, Figure)| {
                let Figure { day, subject, name, value } = figure;
                doc! {
                    "_id": { "series": series, "day": date(*day), "subject": subject, "name": name },
                    "value": *value,
                }
            };
            (STATISTICS, items.iter().map(document).collect())
        }
        Page::Series(items) => {
            let document = |entry: &SeriesEntry| {
                doc! { "_id": &entry.series, "through": date(entry.through), "read_at": date(entry.read_at) }
            };
            (SERIES, items.iter().map(document).collect())
        }
        Page::Alerts(items) => (ALERTS, items.iter().map(of_alert).collect::<Result<_, _>>()?),
        Page::Notes(items) => {
            let document = |note: &NoteEntry| {
                doc! { "_id": &note.name, "text": &note.text, "updated_at": date(note.updated_at) }
            };
            (NOTES, items.iter().map(document).collect())
        }
        Page::Streams(items) => {
            let document = |entry: &StreamEntry| {
                doc! {
                    "_id": entry.stream.to_string(), "edge": date_or_null(entry.edge),
                    "ended": date_or_null(entry.ended),
                    "token": entry.token.map(|token| i64::from(token.0)),
                    "leased_at": date_or_null(entry.leased_at),
                }
            };
            (STREAMS, items.iter().map(document).collect())
        }
    })
}

fn of_piece(piece: &CoverageRow) -> Document {
    ledger::piece_document(piece.stream, piece.span, piece.source, piece.epoch, piece.rows)
}

fn of_gap(gap: &GapEntry) -> Result<Document, MongoError> {
    let id = id_of(&gap.id).ok_or(MongoError::Malformed { collection: GAPS, field: "_id" })?;
    Ok(doc! {
        "_id": id, "stream": gap.stream.to_string(), "from": date(gap.span.from), "to": date(gap.span.to),
        "cause": gap.cause.as_str(), "state": gap.state.as_str(), "opened_at": date(gap.opened_at),
        "closed_at": date_or_null(gap.closed_at), "claim": Bson::Null,
    })
}

fn of_run(run: &hl_core::runs::Row) -> Document {
    doc! {
        "_id": { "job": &run.job, "planned": date(run.planned) },
        "attempt": i64::from(run.attempt), "token": i64::from(run.token.0), "started": date(run.started),
        "ended": date_or_null(run.ended), "outcome": run.outcome.map(|outcome| outcome.as_str()),
        "rows": run.rows.cast_signed(), "weight": run.weight.cast_signed(), "error": run.error.as_deref(),
    }
}

fn of_alert(entry: &AlertEntry) -> Result<Document, MongoError> {
    let id = id_of(&entry.id).ok_or(MongoError::Malformed { collection: ALERTS, field: "_id" })?;
    let alert = &entry.row.alert;
    Ok(doc! {
        "_id": id, "token": i64::from(entry.row.token.0), "kind": alert.kind.as_str(),
        "subject": &alert.subject, "raised": date(alert.raised), "last_seen": date(alert.last_seen),
        "times": i64::from(alert.times), "resolved": date_or_null(alert.resolved), "words": &alert.words,
        "severity": alert.severity.as_str(),
    })
}

impl Import for MongoStore {
    fn put_imported(&self, stream: StreamKey, records: Records) -> BoxFuture<'_, Result<u64, StoreError>> {
        Box::pin(self.write("writing imported rows", PutImported { stream, records }))
    }
}

struct PutImported {
    stream: StreamKey,
    records: Records,
}

#[async_trait]
impl Work for PutImported {
    type Answer = u64;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<u64, MongoError> {
        // No claim of its own: the first number that none has.
        let from = Provenance { origin: Origin::Import, epoch: Epoch { token: tx.token, local: 0 } };
        let rows = StoredRows { provenance: vec![from; self.records.len()], records: self.records.clone() };
        let finals = vec![true; rows.len()];
        insert_new(tx, rows::collection(self.stream), rows::stored_documents(&rows, &finals)).await
    }
}
