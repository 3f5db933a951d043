//! Fields of documents, read with a word about which one is wrong.

use hl_core::ledger::Span;
use hl_core::store::Holder;
use hl_core::{Epoch, StreamKey, TimeMs, Token};
use mongodb::bson::{Bson, DateTime, Document};

use crate::error::MongoError;
use crate::schema::MEMBERS;

/// The date of a time.
pub(crate) fn date(time: TimeMs) -> DateTime {
    DateTime::from_millis(time.0)
}

/// A date or nothing.
pub(crate) fn date_or_null(time: Option<TimeMs>) -> Bson {
    time.map_or(Bson::Null, |time| Bson::DateTime(date(time)))
}

/// A document of a collection, for reading.
#[derive(Clone, Copy)]
pub(crate) struct Read<'a> {
    pub(crate) collection: &'static str,
    pub(crate) document: &'a Document,
}

impl<'a> Read<'a> {
    pub(crate) fn of(collection: &'static str, document: &'a Document) -> Self {
        Self { collection, document }
    }

    pub(crate) fn wrong(self, field: &'static str) -> MongoError {
        MongoError::Malformed { collection: self.collection, field }
    }

    pub(crate) fn inner(self, field: &'static str) -> Result<Self, MongoError> {
        let document = self.document.get_document(field).map_err(|_| self.wrong(field))?;
        Ok(Self { document, ..self })
    }

    pub(crate) fn text(self, field: &'static str) -> Result<&'a str, MongoError> {
        self.document.get_str(field).map_err(|_| self.wrong(field))
    }

    pub(crate) fn text_or_null(self, field: &'static str) -> Result<Option<&'a str>, MongoError> {
        match self.document.get(field) {
            None | Some(Bson::Null) => Ok(None),
            Some(Bson::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.wrong(field)),
        }
    }

    /// A whole number, however wide it is stored.
    pub(crate) fn int(self, field: &'static str) -> Result<i64, MongoError> {
        self.int_or_null(field)?.ok_or_else(|| self.wrong(field))
    }

    pub(crate) fn int_or_null(self, field: &'static str) -> Result<Option<i64>, MongoError> {
        match self.document.get(field) {
            None | Some(Bson::Null) => Ok(None),
            Some(Bson::Int64(n)) => Ok(Some(*n)),
            Some(Bson::Int32(n)) => Ok(Some(i64::from(*n))),
            Some(_) => Err(self.wrong(field)),
        }
    }

    pub(crate) fn count(self, field: &'static str) -> Result<u64, MongoError> {
        u64::try_from(self.int(field)?).map_err(|_| self.wrong(field))
    }

    pub(crate) fn small(self, field: &'static str) -> Result<u32, MongoError> {
        u32::try_from(self.int(field)?).map_err(|_| self.wrong(field))
    }

    pub(crate) fn time(self, field: &'static str) -> Result<TimeMs, MongoError> {
        self.time_or_null(field)?.ok_or_else(|| self.wrong(field))
    }

    pub(crate) fn time_or_null(self, field: &'static str) -> Result<Option<TimeMs>, MongoError> {
        match self.document.get(field) {
            None | Some(Bson::Null) => Ok(None),
            Some(Bson::DateTime(date)) => Ok(Some(TimeMs(date.timestamp_millis()))),
            Some(_) => Err(self.wrong(field)),
        }
    }

    pub(crate) fn epoch(self, field: &'static str) -> Result<Epoch, MongoError> {
        self.int(field).map(Epoch::from_i64)
    }

    /// A word of ours.
    pub(crate) fn word<T>(
        self,
        field: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, MongoError> {
        parse(self.text(field)?).ok_or_else(|| self.wrong(field))
    }

    pub(crate) fn stream(self, field: &'static str) -> Result<StreamKey, MongoError> {
        self.word(field, |text| text.parse().ok())
    }

    /// The piece between `from` and `to`.
    pub(crate) fn span(self) -> Result<Span, MongoError> {
        Ok(Span { from: self.time("from")?, to: self.time("to")? })
    }
}

/// A session, as its lease document names it.
pub(crate) fn holder(member: &Document) -> Result<Holder, MongoError> {
    let read = Read::of(MEMBERS, member);
    Ok(Holder {
        token: Token(read.small("_id")?),
        pid: read.small("pid")?,
        host: read.text("host")?.to_owned(),
        role: read.text("role")?.to_owned(),
        since: read.time("since")?,
    })
}
