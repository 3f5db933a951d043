//! Which JSON parser does what: decided here and nowhere else.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::Fault;

/// Decodes into a type whose shape is known.
pub(super) fn typed<'de, T: Deserialize<'de>>(text: &'de [u8]) -> Result<T, Fault> {
    serde_json::from_slice(text).map_err(Fault::Json)
}

/// Whether the text is one JSON value and nothing else.
pub(super) fn is_json(text: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(text).is_ok()
}
