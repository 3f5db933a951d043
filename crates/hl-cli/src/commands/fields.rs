//! The columns of a row in words, for people.

use hl_core::row::{Row, Value, hex};

use crate::human;

/// Text of the exchange without what would move a terminal's cursor.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// The columns beside the key, in words; none where a column holds nothing.
pub(super) fn fields<T: Row>(row: &T) -> Vec<(&'static str, Option<String>)> {
    let mut fields = Vec::new();
    row.write(|column, value| {
        let text = match value {
            Value::Text(text) => Some(text.to_owned()),
            Value::Hex(bytes) => Some(hex(bytes)),
            Value::Time(time) => Some(human::second(time)),
            Value::Int(number) => Some(number.to_string()),
            Value::Count(number) => Some(number.to_string()),
            Value::Decimal(number) => Some(number.normalize().to_string()),
            Value::Null | Value::Level(_) | Value::Levels(_) => None,
        };
        fields.push((column.name, text));
    });
    fields.drain(..T::TABLE.key);
    fields
}
