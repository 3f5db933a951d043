//! Where the fields of a row go: into a document that can be looked into, or straight into the bytes that are sent, which
//! costs a fraction. What a field is called and how it is stored is the same in both.

use hl_core::record::Level;
use hl_core::{Decimal, TimeMs};
use mongodb::bson::raw::CStr;
use mongodb::bson::{Bson, Document, RawArrayBuf, RawDocumentBuf, cstr};

use super::decimal;
use crate::documents::date;

/// A value, before it is encoded.
#[derive(Clone, Copy)]
pub(super) enum Value<'a> {
    Text(&'a str),
    /// As `0x…`.
    Hex(&'a [u8]),
    Time(TimeMs),
    Long(i64),
    Decimal(Decimal),
    Level(&'a Level),
    Levels(&'a [Level]),
}

/// A document in the making.
pub(super) trait Fields: Default {
    fn put(&mut self, name: &'static CStr, value: Value<'_>);
    /// A document inside it.
    fn nest(&mut self, name: &'static CStr, inner: Self);

    fn put_optional(&mut self, fields: &[(&'static CStr, Option<Decimal>)]) {
        for (name, value) in fields {
            if let Some(value) = value {
                self.put(name, Value::Decimal(*value));
            }
        }
    }
}

fn level<F: Fields>(level: &Level) -> F {
    let mut fields = F::default();
    fields.put(cstr!("px"), Value::Decimal(level.px));
    fields.put(cstr!("sz"), Value::Decimal(level.sz));
    fields.put(cstr!("n"), Value::Long(i64::from(level.n)));
    fields
}

fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from(if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 });
    let mut text = String::with_capacity(2 + 2 * bytes.len());
    text.push_str("0x");
    for byte in bytes {
        text.push(digit(byte >> 4));
        text.push(digit(byte & 15));
    }
    text
}

impl Fields for Document {
    fn put(&mut self, name: &'static CStr, value: Value<'_>) {
        let value = match value {
            Value::Text(text) => Bson::String(text.to_owned()),
            Value::Hex(bytes) => Bson::String(hex(bytes)),
            Value::Time(time) => Bson::DateTime(date(time)),
            Value::Long(n) => Bson::Int64(n),
            Value::Decimal(exact) => Bson::Decimal128(decimal::encode(exact)),
            Value::Level(one) => Bson::Document(level(one)),
            Value::Levels(all) => Bson::Array(all.iter().map(|one| Bson::Document(level(one))).collect()),
        };
        self.insert(name.as_str(), value);
    }

    fn nest(&mut self, name: &'static CStr, inner: Self) {
        self.insert(name.as_str(), inner);
    }
}

impl Fields for RawDocumentBuf {
    fn put(&mut self, name: &'static CStr, value: Value<'_>) {
        match value {
            Value::Text(text) => self.append(name, text),
            Value::Hex(bytes) => self.append(name, hex(bytes)),
            Value::Time(time) => self.append(name, date(time)),
            Value::Long(n) => self.append(name, n),
            Value::Decimal(exact) => self.append(name, decimal::encode(exact)),
            Value::Level(one) => self.append(name, level::<Self>(one)),
            Value::Levels(all) => {
                let mut array = RawArrayBuf::new();
                for one in all {
                    array.push(level::<Self>(one));
                }
                self.append(name, array);
            }
        }
    }

    fn nest(&mut self, name: &'static CStr, inner: Self) {
        self.append(name, inner);
    }
}
