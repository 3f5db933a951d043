//! A row as the fields of a JSON object: what its columns are called everywhere, and how their values are written as text.

use serde::ser::{SerializeMap, SerializeSeq as _};
use serde::{Serialize, Serializer};

use super::{Level, Row, Value, hex, iso};
use crate::{Decimal, TimeMs};

/// A number as text, with one place behind the point at least and otherwise without idle zeros: what the store has and what
/// the archive has read the same, and a reader that guesses types takes the first number for what all of them are.
#[must_use]
pub fn decimal_text(number: Decimal) -> String {
    let mut number = number.normalize();
    if number.scale() == 0 {
        number.rescale(1);
    }
    number.to_string()
}

/// A time in words: `2026-07-01T12:00:00.000Z`. Empty beyond the years that can be written so.
#[must_use]
pub fn time_text(time: TimeMs) -> String {
    jiff::Timestamp::from_millisecond(time.0).map_or_else(|_| String::new(), |time| format!("{time:.3}"))
}

/// Writes a time under its name, and in words beside it.
///
/// # Errors
/// Those of `map`.
pub fn put_time<M: SerializeMap>(map: &mut M, name: &str, time: TimeMs) -> Result<(), M::Error> {
    map.serialize_entry(name, &time.0)?;
    map.serialize_entry(&iso(name), &time_text(time))
}

/// Writes the columns of a row.
///
/// # Errors
/// Those of `map`.
pub fn put_columns<T: Row, M: SerializeMap>(map: &mut M, row: &T) -> Result<(), M::Error> {
    let mut failed = None;
    row.write(|column, value| {
        let mut names = column.flat();
        value.flat(column, |value| {
            if let (None, Some((name, _))) = (&failed, names.next()) {
                failed = put(map, &name, value).err();
            }
        });
    });
    failed.map_or(Ok(()), Err)
}

/// Writes when a row was received, and its place among the rows of its time.
///
/// # Errors
/// Those of `map`.
pub fn put_arrival<T: Row, M: SerializeMap>(map: &mut M, row: &T) -> Result<(), M::Error> {
    let arrival = row.arrival();
    map.serialize_entry("received", &arrival.received)?;
    map.serialize_entry("seq", &arrival.seq)
}

fn put<M: SerializeMap>(map: &mut M, name: &str, value: Value<'_>) -> Result<(), M::Error> {
    match value {
        Value::Null => map.serialize_entry(name, &()),
        Value::Text(text) => map.serialize_entry(name, text),
        Value::Hex(bytes) => map.serialize_entry(name, &hex(bytes)),
        Value::Time(time) => put_time(map, name, time),
        Value::Int(number) => map.serialize_entry(name, &number),
        Value::Count(number) => map.serialize_entry(name, &number),
        Value::Decimal(number) => map.serialize_entry(name, &decimal_text(number)),
        Value::Level(level) => map.serialize_entry(name, &OneLevel(level)),
        Value::Levels(levels) => map.serialize_entry(name, &AllLevels(levels)),
    }
}

struct OneLevel<'a>(&'a Level);

impl Serialize for OneLevel<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("px", &decimal_text(self.0.px))?;
        map.serialize_entry("sz", &decimal_text(self.0.sz))?;
        map.serialize_entry("n", &self.0.n)?;
        map.end()
    }
}

struct AllLevels<'a>(&'a [Level]);

impl Serialize for AllLevels<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut all = serializer.serialize_seq(Some(self.0.len()))?;
        self.0.iter().try_for_each(|level| all.serialize_element(&OneLevel(level)))?;
        all.end()
    }
}
