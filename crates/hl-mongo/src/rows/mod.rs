//! Rows as documents: one collection a kind, `_id` the natural key, prices and sizes as Decimal128.

mod decimal;
mod fields;
mod kinds;

use hl_core::archive::{Provenance, RowKey, StoredRows};
use hl_core::ledger::Span;
use hl_core::record::{Bbo, Book, Candle, Context, Funding, Mid, Trade};
use hl_core::{Epoch, Origin, Records, StreamKey, TimeMs};
use mongodb::bson::{Bson, Document, RawDocument, RawDocumentBuf, cstr, doc};

use crate::documents::{Read, date};
use crate::error::MongoError;
pub(crate) use decimal::decode;
use fields::{Fields, Value};
use kinds::Row;

/// The collections that hold rows.
pub(crate) const COLLECTIONS: [&str; 7] = [
    Trade::COLLECTION,
    Book::COLLECTION,
    Bbo::COLLECTION,
    Candle::COLLECTION,
    Mid::COLLECTION,
    Context::COLLECTION,
    Funding::COLLECTION,
];

/// Under which claim rows are written.
#[derive(Clone, Copy)]
pub(crate) struct Stamp {
    pub(crate) origin: Origin,
    pub(crate) epoch: Epoch,
}

impl Stamp {
    fn put(self, fields: &mut impl Fields) {
        fields.put(cstr!("source"), Value::Text(self.origin.as_str()));
        fields.put(cstr!("epoch"), Value::Long(self.epoch.to_i64()));
    }
}

/// Where the rows of a stream lie.
pub(crate) fn collection(stream: StreamKey) -> &'static str {
    match stream {
        StreamKey::Trades(_) => Trade::COLLECTION,
        StreamKey::Book(..) => Book::COLLECTION,
        StreamKey::Bbo(_) => Bbo::COLLECTION,
        StreamKey::Candle(..) => Candle::COLLECTION,
        StreamKey::Mids => Mid::COLLECTION,
        StreamKey::Context(_) => Context::COLLECTION,
        StreamKey::Funding(_) => Funding::COLLECTION,
    }
}

/// The documents of rows, with their times; none for a row that is not the stream's. Bars go by [`Bar`].
pub(crate) fn documents(
    stream: StreamKey,
    records: &Records,
    stamp: Stamp,
) -> Vec<(TimeMs, Option<RawDocumentBuf>)> {
    fn each<T: Row>(stream: StreamKey, rows: &[T], stamp: Stamp) -> Vec<(TimeMs, Option<RawDocumentBuf>)> {
        let document = |row: &T| (row.time(), row.belongs_to(stream).then(|| document(row, stamp)));
        rows.iter().map(document).collect()
    }
    match records {
        Records::Trades(rows) => each(stream, rows, stamp),
        Records::Books(rows) => each(stream, rows, stamp),
        Records::Bbos(rows) => each(stream, rows, stamp),
        Records::Candles(rows) => rows.iter().map(|bar| (bar.time, None)).collect(),
        Records::Mids(rows) => each(stream, rows, stamp),
        Records::Contexts(rows) => each(stream, rows, stamp),
        Records::Funding(rows) => each(stream, rows, stamp),
    }
}

fn document<F: Fields>(row: &impl Row, stamp: Stamp) -> F {
    let mut document = unstamped(row);
    stamp.put(&mut document);
    document
}

fn unstamped<F: Fields>(row: &impl Row) -> F {
    let (mut key, mut document) = (F::default(), F::default());
    row.put_key(&mut key);
    document.nest(cstr!("_id"), key);
    row.put_fields(&mut document);
    document
}

/// A bar as it is stored.
#[derive(Clone, Debug)]
pub(crate) struct Bar {
    pub(crate) candle: Candle,
    pub(crate) is_final: bool,
    pub(crate) origin: Origin,
    pub(crate) epoch: Epoch,
}

impl Bar {
    pub(crate) fn to_document(&self) -> Document {
        let mut document: Document = unstamped(&self.candle);
        document.insert("final", self.is_final);
        Stamp { origin: self.origin, epoch: self.epoch }.put(&mut document);
        document
    }

    pub(crate) fn from_document(document: &Document) -> Result<Self, MongoError> {
        let (candle, provenance) = one::<Candle>(document)?;
        Ok(Self { candle, is_final: is_final(document)?, origin: provenance.origin, epoch: provenance.epoch })
    }

    /// The version with the most trades wins; of two with the same number the later one, where they differ in what is
    /// written, be it a trailing zero. An imported bar yields to any.
    pub(crate) fn yields_to(&self, new: &Candle) -> bool {
        let written =
            |bar: &Candle| [bar.open, bar.high, bar.low, bar.close, bar.volume].map(decimal::encode);
        let old = &self.candle;
        self.origin == Origin::Import
            || !self.is_final
                && (new.trades > old.trades || new.trades == old.trades && written(new) != written(old))
    }
}

/// Whether a bar is one of the stream.
pub(crate) fn is_bar_of(bar: &Candle, stream: StreamKey) -> bool {
    bar.belongs_to(stream)
}

/// The first fields of the keys of a stream's rows, which are the same in all of them; nothing of mids.
fn prefix(stream: StreamKey) -> Option<Document> {
    match stream {
        StreamKey::Trades(coin)
        | StreamKey::Bbo(coin)
        | StreamKey::Context(coin)
        | StreamKey::Funding(coin) => Some(doc! { "coin": coin.as_str() }),
        StreamKey::Book(coin, variant) => Some(doc! { "coin": coin.as_str(), "variant": variant.as_str() }),
        StreamKey::Candle(coin, interval) => {
            Some(doc! { "coin": coin.as_str(), "interval": interval.as_str() })
        }
        StreamKey::Mids => None,
    }
}

/// The rows of a stream whose time lies in the closed `span`.
pub(crate) fn key_filter(stream: StreamKey, span: Span) -> Document {
    let Some(prefix) = prefix(stream) else {
        return doc! { "_id.time": { "$gte": date(span.from), "$lte": date(span.to) } };
    };
    let (mut first, mut last) = (prefix.clone(), prefix);
    first.insert("time", date(span.from));
    last.insert("time", date(span.to));
    if matches!(stream, StreamKey::Trades(_)) {
        last.insert("tid", Bson::MaxKey);
    }
    doc! { "_id": { "$gte": first, "$lte": last } }
}

/// As [`key_filter`], of bars the final ones.
pub(crate) fn span_filter(stream: StreamKey, span: Span) -> Document {
    let mut filter = key_filter(stream, span);
    if matches!(stream, StreamKey::Candle(..)) {
        filter.insert("final", true);
    }
    filter
}

/// As [`span_filter`], of keys after `after`.
pub(crate) fn page_filter(stream: StreamKey, span: Span, after: Option<RowKey>) -> Document {
    beyond(span_filter(stream, span), stream, after)
}

/// Every row of a stream with a key after `after`; of bars all.
pub(crate) fn every_filter(stream: StreamKey, after: Option<RowKey>) -> Document {
    // Of mids the whole collection: a look at each time would be for nothing.
    let all = prefix(stream).map(|_| key_filter(stream, crate::inspect::EVER));
    beyond(all.unwrap_or_default(), stream, after)
}

fn beyond(filter: Document, stream: StreamKey, after: Option<RowKey>) -> Document {
    let Some(RowKey { coin, time, tid }) = after else { return filter };
    let mut last = prefix(stream).unwrap_or_else(|| doc! { "coin": coin.as_str() });
    last.insert("time", date(time));
    if matches!(stream, StreamKey::Trades(_)) {
        last.insert("tid", tid.cast_signed());
    }
    doc! { "$and": [filter, { "_id": { "$gt": last } }] }
}

/// Whether the bar of a document can change no more.
pub(crate) fn is_final(document: &Document) -> Result<bool, MongoError> {
    let read = Read::of(Candle::COLLECTION, document);
    document.get_bool("final").map_err(|_| read.wrong("final"))
}

/// Documents of rows that were read from another store; of bars with whether each is final.
pub(crate) fn stored_documents(rows: &StoredRows, finals: &[bool]) -> Vec<Document> {
    fn each<T: Row>(rows: &[T], from: &[Provenance]) -> Vec<Document> {
        let stamped =
            |(row, from): (&T, &Provenance)| document(row, Stamp { origin: from.origin, epoch: from.epoch });
        rows.iter().zip(from).map(stamped).collect()
    }
    let from = &rows.provenance;
    match &rows.records {
        Records::Trades(rows) => each(rows, from),
        Records::Books(rows) => each(rows, from),
        Records::Bbos(rows) => each(rows, from),
        Records::Candles(bars) => {
            let bar = |((candle, from), is_final): ((&Candle, &Provenance), &bool)| {
                Bar { candle: *candle, is_final: *is_final, origin: from.origin, epoch: from.epoch }
                    .to_document()
            };
            bars.iter().zip(from).zip(finals).map(bar).collect()
        }
        Records::Mids(rows) => each(rows, from),
        Records::Contexts(rows) => each(rows, from),
        Records::Funding(rows) => each(rows, from),
    }
}

/// Whether a row of a trade or a settlement says something else than the one that is stored under its key. One that cannot
/// be read says so elsewhere.
pub(crate) fn contradict(stream: StreamKey, new: &RawDocument, stored: &RawDocument) -> bool {
    fn of<T: Row>(document: &RawDocument) -> Option<T> {
        one(&Document::try_from(document).ok()?).ok().map(|(row, _)| row)
    }
    let differs = match stream {
        StreamKey::Trades(_) => {
            of::<Trade>(new).zip(of(stored)).map(|(new, stored)| new.contradicts(&stored))
        }
        StreamKey::Funding(_) => {
            of::<Funding>(new).zip(of(stored)).map(|(new, stored)| new.contradicts(&stored))
        }
        _ => None,
    };
    differs == Some(true)
}

/// Decodes documents of a stream, in their order.
pub(crate) fn read(stream: StreamKey, documents: &[Document]) -> Result<StoredRows, MongoError> {
    fn each<T: Row>(
        documents: &[Document],
        records: fn(Vec<T>) -> Records,
    ) -> Result<StoredRows, MongoError> {
        let (mut rows, mut provenance) =
            (Vec::with_capacity(documents.len()), Vec::with_capacity(documents.len()));
        for document in documents {
            let (row, from) = one(document)?;
            rows.push(row);
            provenance.push(from);
        }
        Ok(StoredRows { records: records(rows), provenance })
    }
    match stream {
        StreamKey::Trades(_) => each(documents, Records::Trades),
        StreamKey::Book(..) => each(documents, Records::Books),
        StreamKey::Bbo(_) => each(documents, Records::Bbos),
        StreamKey::Candle(..) => each(documents, Records::Candles),
        StreamKey::Mids => each(documents, Records::Mids),
        StreamKey::Context(_) => each(documents, Records::Contexts),
        StreamKey::Funding(_) => each(documents, Records::Funding),
    }
}

fn one<T: Row>(document: &Document) -> Result<(T, Provenance), MongoError> {
    let read = Read::of(T::COLLECTION, document);
    let row = T::read(read.inner("_id")?, read)?;
    Ok((row, Provenance { origin: read.word("source", Origin::parse)?, epoch: read.epoch("epoch")? }))
}

/// For each of the rows a filter that matches its document only if it is still exactly that. The server compares decimals
/// by value: what differs in a trailing zero only is the same.
pub(crate) fn removal(rows: &StoredRows) -> Vec<Document> {
    fn each<T: Row>(rows: &[T], provenance: &[Provenance], is_bar: bool) -> Vec<Document> {
        let exactly = |(row, from): (&T, &Provenance)| {
            let mut filter: Document = document(row, Stamp { origin: from.origin, epoch: from.epoch });
            if is_bar {
                filter.insert("final", true);
            }
            for (name, _) in T::OPTIONAL {
                filter.entry((*name).to_owned()).or_insert_with(|| doc! { "$exists": false }.into());
            }
            filter
        };
        rows.iter().zip(provenance).map(exactly).collect()
    }
    let from = &rows.provenance;
    match &rows.records {
        Records::Trades(rows) => each(rows, from, false),
        Records::Books(rows) => each(rows, from, false),
        Records::Bbos(rows) => each(rows, from, false),
        Records::Candles(rows) => each(rows, from, true),
        Records::Mids(rows) => each(rows, from, false),
        Records::Contexts(rows) => each(rows, from, false),
        Records::Funding(rows) => each(rows, from, false),
    }
}

/// What the server checks of the documents of a collection.
pub(crate) fn validator(collection: &str) -> Document {
    fn of<T: Row>() -> Document {
        let always = T::FIELDS.iter().chain(&[("_id", "object"), ("source", "string"), ("epoch", "long")]);
        let required: Vec<_> = always.clone().map(|(name, _)| *name).collect();
        let property = |(name, kind): &(&str, &str)| ((*name).to_owned(), doc! { "bsonType": *kind }.into());
        let properties: Document = always.chain(T::OPTIONAL).map(property).collect();
        doc! { "$jsonSchema": { "bsonType": "object", "required": required, "properties": properties } }
    }
    match collection {
        Trade::COLLECTION => of::<Trade>(),
        Book::COLLECTION => of::<Book>(),
        Bbo::COLLECTION => of::<Bbo>(),
        Candle::COLLECTION => of::<Candle>(),
        Mid::COLLECTION => of::<Mid>(),
        Context::COLLECTION => of::<Context>(),
        _ => of::<Funding>(),
    }
}

#[cfg(test)]
mod tests;
