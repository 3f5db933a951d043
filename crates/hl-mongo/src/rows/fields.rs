//! Where the fields of a row go: into a document that can be looked into, or straight into the bytes that are sent, which
//! costs a fraction. What a field is called and how it is stored is the same in both.

use hl_core::record::Level;
use hl_core::row::{LEVEL, Value, hex};
use mongodb::bson::raw::CStr;
use mongodb::bson::{Bson, Document, RawArrayBuf, RawDocumentBuf};

use super::decimal;
use crate::documents::date;

/// A document in the making.
pub(super) trait Fields: Default {
    /// Adds a field; none where there is no value.
    fn put(&mut self, name: &'static str, value: Value<'_>);
    /// A document inside it.
    fn nest(&mut self, name: &'static str, inner: Self);
}

fn level<F: Fields>(level: &Level) -> F {
    let mut fields = F::default();
    let values = [Value::Decimal(level.px), Value::Decimal(level.sz), Value::Count(level.n)];
    for ((name, _), value) in LEVEL.into_iter().zip(values) {
        fields.put(name, value);
    }
    fields
}

impl Fields for Document {
    fn put(&mut self, name: &'static str, value: Value<'_>) {
        let value = match value {
            Value::Null => return,
            Value::Text(text) => Bson::String(text.to_owned()),
            Value::Hex(bytes) => Bson::String(hex(bytes)),
            Value::Time(time) => Bson::DateTime(date(time)),
            Value::Int(n) => Bson::Int64(n),
            Value::Count(n) => Bson::Int64(n.into()),
            Value::Decimal(exact) => Bson::Decimal128(decimal::encode(exact)),
            Value::Level(one) => Bson::Document(level(one)),
            Value::Levels(all) => Bson::Array(all.iter().map(|one| Bson::Document(level(one))).collect()),
        };
        self.insert(name, value);
    }

    fn nest(&mut self, name: &'static str, inner: Self) {
        self.insert(name, inner);
    }
}

impl Fields for RawDocumentBuf {
    fn put(&mut self, name: &'static str, value: Value<'_>) {
        let Some(name) = c(name) else { return };
        match value {
            Value::Null => {}
            Value::Text(text) => self.append(name, text),
            Value::Hex(bytes) => self.append(name, hex(bytes)),
            Value::Time(time) => self.append(name, date(time)),
            Value::Int(n) => self.append(name, n),
            Value::Count(n) => self.append(name, i64::from(n)),
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

    fn nest(&mut self, name: &'static str, inner: Self) {
        if let Some(name) = c(name) {
            self.append(name, inner);
        }
    }
}

/// The name of a column as BSON has it: none of them holds a zero byte.
fn c(name: &'static str) -> Option<&'static CStr> {
    name.try_into().ok()
}
