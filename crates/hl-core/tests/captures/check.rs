//! Whether a type loses anything of what it read.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// What was read, by kind of message; and what was left aside, by reason.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) typed: BTreeMap<String, usize>,
    pub(crate) aside: BTreeMap<&'static str, BTreeMap<String, usize>>,
    /// Fields that messages have and types have not.
    pub(crate) unmodelled: BTreeSet<String>,
}

impl Tally {
    /// Reads `json` as a `T`, writes it again, and demands the same.
    pub(crate) fn typed<T: DeserializeOwned + Serialize + Debug>(&mut self, kind: &str, json: &Value) -> T {
        let mut text = json.to_string().into_bytes();
        let value: T =
            hl_core::decode::rest::answer(kind, &mut text).unwrap_or_else(|e| panic!("{kind}: {e}"));
        let again = serde_json::to_value(&value).unwrap();
        self.compare(kind, json, &again);
        *self.typed.entry(kind.to_owned()).or_default() += 1;
        value
    }

    /// Leaves a message aside, for a reason that the table of the test names.
    pub(crate) fn aside(&mut self, reason: &'static str, what: &str) {
        *self.aside.entry(reason).or_default().entry(what.to_owned()).or_default() += 1;
    }

    fn compare(&mut self, path: &str, read: &Value, written: &Value) {
        match (read, written) {
            (Value::Object(read), Value::Object(written)) => {
                for (key, value) in written {
                    let path = format!("{path}.{key}");
                    self.compare(&path, read.get(key).unwrap_or(&Value::Null), value);
                }
                for (key, value) in read.iter().filter(|(key, _)| !written.contains_key(*key)) {
                    if !value.is_null() {
                        self.unmodelled.insert(format!("{path}.{key}"));
                    }
                }
            }
            (Value::Array(read), Value::Array(written)) => {
                assert_eq!(read.len(), written.len(), "{path}: rows were lost");
                for (read, written) in read.iter().zip(written) {
                    self.compare(&format!("{path}[]"), read, written);
                }
            }
            // Addresses are written in lower case.
            (Value::String(read), Value::String(written)) if read.starts_with("0x") => {
                assert!(read.eq_ignore_ascii_case(written), "{path}: {read} became {written}");
            }
            _ => assert_eq!(read, written, "{path}"),
        }
    }
}
