//! What is said when decoding fails: what was decoded, the field, the byte, and a piece of the text.

use std::fmt;

use serde::de::{self, DeserializeOwned, DeserializeSeed, IgnoredAny, MapAccess};

use super::parser;
use crate::Coin;
use crate::symbol::MAX_COIN_BYTES;

/// Longest excerpt kept of a text that failed, bytes.
const EXCERPT_BYTES: usize = 80;

/// Longest channel name and field path kept, characters.
const NAME_CHARS: usize = 120;

/// A text of the exchange could not be decoded.
#[derive(Debug, thiserror::Error)]
#[error("cannot decode {what}{field}: {fault}; near {excerpt:?}", field = Field(path.as_deref()))]
pub struct DecodeError {
    /// What was being decoded: the channel of a frame, or the name of a request.
    pub what: String,
    /// The field, such as `data[3].px`, where the text is JSON.
    pub path: Option<Box<str>>,
    /// Byte offset of the failure in the text.
    pub at: usize,
    /// The text around that byte, at most 80 bytes.
    pub excerpt: Box<str>,
    /// Whose frame it is, as far as can be read, where its channel is one of a coin: a coin that is known already.
    pub coin: Option<Coin>,
    /// Whether the text is JSON, whole: then it is what the other side meant to send, and would send again.
    pub well_formed: bool,
    /// What went wrong.
    #[source]
    pub fault: Fault,
}

/// Why a text could not be decoded.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The text is not JSON, or not of the expected shape.
    #[error(transparent)]
    Json(serde_json::Error),
    /// The shape is right, but what it says cannot be.
    #[error("{0}")]
    Rule(&'static str),
}

struct Field<'a>(Option<&'a str>);

impl fmt::Display for Field<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |path| write!(f, " at {path}"))
    }
}

/// The error of a frame whose shape is right.
pub(super) fn refused(text: &[u8], fault: Fault) -> DecodeError {
    let what = channel(text).unwrap_or_default();
    let coin = coin(&what, text);
    DecodeError { what, path: None, at: 0, excerpt: excerpt(text, 0), fault, coin, well_formed: true }
}

/// The error of a text that failed to become a `T`: decodes once more, slowly, to find the field.
pub(super) fn locate<T: DeserializeOwned>(what: Option<String>, text: &[u8], fault: Fault) -> DecodeError {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let path = serde_path_to_error::deserialize::<_, T>(&mut deserializer)
        .err()
        .map(|e| bounded(&e.path().to_string()))
        .filter(|path| path != ".")
        .map(String::into_boxed_str);
    let at = match &fault {
        Fault::Json(error) => offset(text, error.line(), error.column()),
        Fault::Rule(_) => 0,
    };
    let what = what.unwrap_or_else(|| "a frame without a channel".to_owned());
    let (coin, well_formed) = (coin(&what, text), parser::is_json(text));
    DecodeError { what, path, at, excerpt: excerpt(text, at), fault, coin, well_formed }
}

/// The coin of a frame that cannot be read: the first that it names, since a frame is of one coin. Nothing but that place
/// has to be whole.
fn coin(channel: &str, text: &[u8]) -> Option<Coin> {
    let field: &[u8] = match channel {
        "trades" | "l2Book" | "bbo" | "activeAssetCtx" | "activeSpotAssetCtx" => b"\"coin\"",
        "candle" => b"\"s\"",
        _ => return None,
    };
    let at = text.windows(field.len()).position(|piece| piece == field)? + field.len();
    let name = text[at..].trim_ascii_start().strip_prefix(b":")?.trim_ascii_start().strip_prefix(b"\"")?;
    let end = name.iter().take(MAX_COIN_BYTES + 1).position(|byte| *byte == b'"')?;
    Coin::known(std::str::from_utf8(&name[..end]).ok()?)
}

/// The channel of a frame, as far as it can be read. Stops there, so that a broken rest does not hide it.
pub(super) fn channel(text: &[u8]) -> Option<String> {
    struct Peek<'a>(&'a mut Option<String>);
    impl<'de> DeserializeSeed<'de> for Peek<'_> {
        type Value = ();
        fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
            deserializer.deserialize_map(self)
        }
    }
    impl<'de> de::Visitor<'de> for Peek<'_> {
        type Value = ();
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a frame")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
            while let Some(key) = map.next_key::<std::borrow::Cow<'_, str>>()? {
                if key == "channel" {
                    *self.0 = Some(bounded(&map.next_value::<String>()?));
                } else {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            Ok(())
        }
    }
    let mut found = None;
    // A failure behind the channel is the caller's to report.
    let _ = Peek(&mut found).deserialize(&mut serde_json::Deserializer::from_slice(text));
    found
}

fn bounded(name: &str) -> String {
    name.chars().take(NAME_CHARS).collect()
}

/// Lines and columns count from one; a column is a byte.
fn offset(text: &[u8], line: usize, column: usize) -> usize {
    let start: usize =
        text.split_inclusive(|b| *b == b'\n').take(line.saturating_sub(1)).map(<[u8]>::len).sum();
    start.saturating_add(column.saturating_sub(1)).min(text.len())
}

fn excerpt(text: &[u8], at: usize) -> Box<str> {
    let from = at.saturating_sub(EXCERPT_BYTES / 2);
    let to = from.saturating_add(EXCERPT_BYTES).min(text.len());
    String::from_utf8_lossy(&text[from..to]).into()
}
