//! Rows as documents: one collection a kind, `_id` the natural key, prices and sizes as Decimal128.

mod decimal;
mod fields;

use std::num::NonZeroI64;

use hl_core::archive::{Provenance, RowKey, StoredRows};
use hl_core::ledger::Span;
use hl_core::record::{Candle, Level, Record};
use hl_core::row::{Arrival, Cells, Column, Holds, Row as _, Table, Value};
use hl_core::stream::Conflation;
use hl_core::{Decimal, Epoch, Origin, Records, StreamKey, TimeMs, for_kind, for_records};
use mongodb::bson::{Bson, Document, RawDocument, RawDocumentBuf, doc};

use crate::documents::{Read, date};
use crate::error::MongoError;
pub(crate) use decimal::decode;
use fields::Fields;

/// The field of the key.
const ID: &str = "_id";
/// The column of the time, in every key.
const TIME: &str = "time";

/// Under which claim rows are written.
#[derive(Clone, Copy)]
pub(crate) struct Stamp {
    pub(crate) origin: Origin,
    pub(crate) epoch: Epoch,
}

impl Stamp {
    fn put(self, arrival: Arrival, fields: &mut impl Fields) {
        fields.put("source", Value::Text(self.origin.as_str()));
        fields.put("epoch", Value::Int(self.epoch.to_i64()));
        fields.put("received", arrival.received.map_or(Value::Null, |ns| Value::Int(ns.get())));
        fields.put("seq", arrival.seq.map_or(Value::Null, Value::Count));
    }
}

/// Where the rows of a stream lie.
pub(crate) fn collection(stream: StreamKey) -> &'static str {
    stream.spec().table.name
}

/// The documents of rows, with their times; none for a row that is not the stream's. Bars go by [`Bar`].
pub(crate) fn documents(
    stream: StreamKey,
    records: &Records,
    stamp: Stamp,
) -> Vec<(TimeMs, Option<RawDocumentBuf>)> {
    fn each<T: Record>(stream: StreamKey, rows: &[T], stamp: Stamp) -> Vec<(TimeMs, Option<RawDocumentBuf>)> {
        let is_row = |row: &T| T::TABLE.version.is_none() && row.belongs_to(stream);
        let document = |row: &T| (row.time(), is_row(row).then(|| document(row, stamp)));
        rows.iter().map(document).collect()
    }
    for_records!(records, rows => each(stream, rows, stamp))
}

fn document<F: Fields>(row: &impl Record, stamp: Stamp) -> F {
    let mut document = unstamped(row);
    stamp.put(row.arrival(), &mut document);
    document
}

fn unstamped<F: Fields, T: Record>(row: &T) -> F {
    let (mut key, mut document) = (F::default(), F::default());
    let mut at = 0;
    row.write(|column, value| {
        let fields = if at < T::TABLE.key { &mut key } else { &mut document };
        fields.put(column.name, value);
        at += 1;
        if at == T::TABLE.key {
            document.nest(ID, std::mem::take(&mut key));
        }
    });
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
        whole(&self.candle, Provenance { origin: self.origin, epoch: self.epoch }, self.is_final)
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

/// The first fields of the keys of a stream's rows, which are the same in all of them; none where no field is.
fn prefix(stream: StreamKey) -> Option<Document> {
    let prefix: Document =
        stream.fixed().map(|(column, text)| (column.name.to_owned(), text.into())).collect();
    (!prefix.is_empty()).then_some(prefix)
}

/// What the keys of a stream's rows lie between, or what they lack, where rows of other dexes lie in the same collection.
fn within(stream: StreamKey) -> Document {
    let Some((column, dex)) = stream.within() else { return Document::new() };
    match dex.between() {
        Some([from, to]) => {
            doc! { "_id": { "$gte": { column.name: from }, "$lt": { column.name: to } } }
        }
        None => doc! { format!("{ID}.{}", column.name): { "$not": { "$regex": "^[^:]+:" } } },
    }
}

/// The rows of a stream whose time lies in the closed `span`.
pub(crate) fn key_filter(stream: StreamKey, span: Span) -> Document {
    // Keys that begin with the time are found by it.
    let by_time = || (!stream.spec().table.is_by_coin()).then(Document::new);
    let Some(prefix) = prefix(stream).or_else(by_time) else {
        let mut filter = within(stream);
        filter.insert("_id.time", doc! { "$gte": date(span.from), "$lte": date(span.to) });
        return filter;
    };
    let (mut first, mut last) = (prefix.clone(), prefix);
    first.insert("time", date(span.from));
    last.insert("time", date(span.to));
    // Whatever else tells the rows of a time apart.
    for column in stream.spec().table.of_row().iter().filter(|column| column.name != TIME) {
        last.insert(column.name, Bson::MaxKey);
    }
    doc! { "_id": { "$gte": first, "$lte": last } }
}

/// As [`key_filter`], of bars the final ones.
pub(crate) fn span_filter(stream: StreamKey, span: Span) -> Document {
    let mut filter = key_filter(stream, span);
    if stream.spec().table.version.is_some() {
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
    // Where the keys begin with no field of the stream a look at each time would be for nothing.
    let all = prefix(stream).map(|_| key_filter(stream, Span::EVER));
    beyond(all.unwrap_or_else(|| within(stream)), stream, after)
}

fn beyond(filter: Document, stream: StreamKey, after: Option<RowKey>) -> Document {
    let Some(after) = after else { return filter };
    let mut last = prefix(stream).unwrap_or_default();
    for column in stream.spec().table.of_row() {
        last.put(column.name, after.value(column));
    }
    doc! { "$and": [filter, { "_id": { "$gt": last } }] }
}

/// Whether the bar of a document can change no more.
pub(crate) fn is_final(document: &Document) -> Result<bool, MongoError> {
    let read = Read::of(Candle::TABLE.name, document);
    document.get_bool("final").map_err(|_| read.wrong("final"))
}

/// Documents of rows that were read from another store; of bars with whether each is final.
pub(crate) fn stored_documents(rows: &StoredRows, finals: &[bool]) -> Vec<Document> {
    fn each<T: Record>(rows: &[T], provenance: &[Provenance], finals: &[bool]) -> Vec<Document> {
        let stamped = |(at, (row, from)): (usize, (&T, &Provenance))| {
            whole(row, *from, finals.get(at).copied().unwrap_or_default())
        };
        rows.iter().zip(provenance).enumerate().map(stamped).collect()
    }
    for_records!(&rows.records, records => each(records, &rows.provenance, finals))
}

/// A row's document; of a row that has versions with whether it can change no more.
fn whole<T: Record>(row: &T, from: Provenance, is_final: bool) -> Document {
    let mut document: Document = unstamped(row);
    if T::TABLE.version.is_some() {
        document.insert("final", is_final);
    }
    Stamp { origin: from.origin, epoch: from.epoch }.put(row.arrival(), &mut document);
    document
}

/// Whether a row says something else than the one that is stored under its key, of a kind whose rows are compared. One that
/// cannot be read says so elsewhere.
pub(crate) fn contradict(stream: StreamKey, new: &RawDocument, stored: &RawDocument) -> bool {
    fn of<T: Record>(document: &RawDocument) -> Option<T> {
        one(&Document::try_from(document).ok()?).ok().map(|(row, _)| row)
    }
    is_compared(stream)
        && for_kind!(stream.kind(), T => {
            of::<T>(new).zip(of::<T>(stored)).is_some_and(|(new, stored)| new.contradicts(&stored))
        })
}

/// Whether what a row of the stream says is compared with the one that has its key: of two states of one time neither is wrong.
pub(crate) fn is_compared(stream: StreamKey) -> bool {
    stream.spec().conflation != Conflation::State
}

/// Decodes documents of a stream, in their order.
pub(crate) fn read(stream: StreamKey, documents: &[Document]) -> Result<StoredRows, MongoError> {
    fn each<T: Record>(documents: &[Document]) -> Result<StoredRows, MongoError> {
        let rows = documents.iter().map(one::<T>).collect::<Result<Vec<_>, _>>()?;
        let (rows, provenance) = rows.into_iter().unzip();
        Ok(StoredRows { records: T::list(rows), provenance })
    }
    for_kind!(stream.kind(), T => each::<T>(documents))
}

fn one<T: Record>(document: &Document) -> Result<(T, Provenance), MongoError> {
    let fields = Read::of(T::TABLE.name, document);
    let mut row = T::read(&mut Stored { key: fields.inner(ID)?, fields, left: T::TABLE.key })?;
    let received = fields.int_or_null("received")?.and_then(NonZeroI64::new);
    let seq = fields.int_or_null("seq")?.map(u32::try_from).transpose();
    row.set_arrival(Arrival { received, seq: seq.map_err(|_| fields.wrong("seq"))? });
    Ok((row, Provenance { origin: fields.word("source", Origin::parse)?, epoch: fields.epoch("epoch")? }))
}

/// For each of the rows a filter that matches its document only if it is still exactly that. The server compares decimals
/// by value: what differs in a trailing zero only is the same.
pub(crate) fn removal(rows: &StoredRows) -> Vec<Document> {
    fn each<T: Record>(rows: &[T], provenance: &[Provenance]) -> Vec<Document> {
        let exactly = |(row, from): (&T, &Provenance)| {
            let mut filter = whole(row, *from, true);
            let nullable = T::TABLE.columns.iter().filter(|column| column.nullable);
            for name in nullable.map(|column| column.name).chain(["received", "seq"]) {
                filter.entry(name.to_owned()).or_insert_with(|| doc! { "$exists": false }.into());
            }
            filter
        };
        rows.iter().zip(provenance).map(exactly).collect()
    }
    for_records!(&rows.records, records => each(records, &rows.provenance))
}

/// What the server checks of the documents of a table.
pub(crate) fn validator(table: &Table) -> Document {
    let mut fields = vec![(ID, "object", true), ("source", "string", true), ("epoch", "long", true)];
    fields
        .extend(table.values().iter().map(|column| (column.name, bson_type(column.holds), !column.nullable)));
    fields.extend(table.version.map(|_| ("final", "bool", true)));
    fields.extend([("received", "long", false), ("seq", "long", false)]);
    let required: Vec<_> = fields.iter().filter(|(.., always)| *always).map(|(name, ..)| *name).collect();
    let property =
        |(name, kind, _): &(&str, &str, bool)| ((*name).to_owned(), doc! { "bsonType": *kind }.into());
    let properties: Document = fields.iter().map(property).collect();
    doc! { "$jsonSchema": { "bsonType": "object", "required": required, "properties": properties } }
}

fn bson_type(holds: Holds) -> &'static str {
    match holds {
        Holds::Text => "string",
        Holds::Time => "date",
        Holds::Int | Holds::Count => "long",
        Holds::Decimal => "decimal",
        Holds::Level => "object",
        Holds::Levels => "array",
    }
}

/// The fields of a document: the first so many lie in its key.
struct Stored<'a> {
    key: Read<'a>,
    fields: Read<'a>,
    left: usize,
}

impl<'a> Stored<'a> {
    fn next(&mut self) -> Read<'a> {
        if self.left == 0 {
            return self.fields;
        }
        self.left -= 1;
        self.key
    }
}

impl Cells for Stored<'_> {
    type Error = MongoError;

    fn text<T>(
        &mut self,
        column: &'static Column,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, MongoError> {
        self.next().word(column.name, parse)
    }

    fn text_or_null(&mut self, column: &'static Column) -> Result<Option<Box<str>>, MongoError> {
        Ok(self.next().text_or_null(column.name)?.map(Into::into))
    }

    fn time(&mut self, column: &'static Column) -> Result<TimeMs, MongoError> {
        self.next().time(column.name)
    }

    fn int(&mut self, column: &'static Column) -> Result<i64, MongoError> {
        self.next().int(column.name)
    }

    fn int_or_null(&mut self, column: &'static Column) -> Result<Option<i64>, MongoError> {
        self.next().int_or_null(column.name)
    }

    fn count(&mut self, column: &'static Column) -> Result<Option<u32>, MongoError> {
        let number = self.next().int_or_null(column.name)?;
        number.map(|number| number.try_into().map_err(|_| self.wrong(column))).transpose()
    }

    fn decimal(&mut self, column: &'static Column) -> Result<Option<Decimal>, MongoError> {
        self.next().decimal_or_null(column.name)
    }

    fn level(&mut self, column: &'static Column) -> Result<Option<Level>, MongoError> {
        let fields = self.next();
        match fields.document.contains_key(column.name) {
            true => fields.inner(column.name)?.level().map(Some),
            false => Ok(None),
        }
    }

    fn levels(&mut self, column: &'static Column) -> Result<Box<[Level]>, MongoError> {
        let fields = self.next();
        let wrong = || fields.wrong(column.name);
        let level = |level: &Bson| match level {
            Bson::Document(document) => Read { document, ..fields }.level(),
            _ => Err(wrong()),
        };
        fields.document.get_array(column.name).map_err(|_| wrong())?.iter().map(level).collect()
    }

    fn wrong(&self, column: &'static Column) -> MongoError {
        self.fields.wrong(column.name)
    }
}

impl Read<'_> {
    fn decimal_or_null(self, field: &'static str) -> Result<Option<Decimal>, MongoError> {
        match self.document.get(field) {
            None | Some(Bson::Null) => Ok(None),
            Some(Bson::Decimal128(stored)) => decode(*stored).map(Some).ok_or_else(|| self.wrong(field)),
            Some(_) => Err(self.wrong(field)),
        }
    }

    fn level(self) -> Result<Level, MongoError> {
        let decimal = |field| self.decimal_or_null(field)?.ok_or_else(|| self.wrong(field));
        Ok(Level { px: decimal("px")?, sz: decimal("sz")?, n: self.small("n")? })
    }
}

#[cfg(test)]
mod tests;
