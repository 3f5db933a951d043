//! Which JSON parser does what: decided here and nowhere else.
//!
//! simd-json reads whatever is well formed, serde_json whatever is not. With its scratch kept from one text to the next,
//! simd-json needs 0.73 to 0.85 of serde_json's time on every kind of text, from a 150-byte bbo frame to a leaderboard of
//! 2 MB, up to which it is used; with fresh scratch for each text it needs 1.1 to 1.4 times as long below 1 kB (`cargo bench --bench decode`).
//! serde_json has the last word on failures: it names the byte, and its answer is the error.

use std::cell::Cell;

use serde::de::{DeserializeOwned, IgnoredAny};
use simd_json::Buffers;

use super::Fault;

/// Deepest nesting that simd-json is given: below serde_json's own 127, so that it never accepts more.
const MAX_DEPTH: usize = 100;

/// Longer texts go to serde_json: simd-json first notes down every value of a text, and a text of 32 MB that holds
/// nothing but zeros would need 500 MB for that.
const QUICK_BYTES: usize = 2 << 20;

/// Scratch that a larger text needed is not kept, bytes of text.
const KEPT_BYTES: usize = 256 << 10;

thread_local! {
    /// Scratch of simd-json. Taken while in use, so that decoding inside decoding gets fresh scratch.
    static BUFFERS: Cell<Option<Buffers>> = const { Cell::new(None) };
}

/// Decodes into a type whose shape is known. Leaves the text as it was.
pub(super) fn typed<T: DeserializeOwned>(text: &mut [u8]) -> Result<T, Fault> {
    if let Some(value) = quick(text) {
        return Ok(value);
    }
    serde_json::from_slice(text).map_err(Fault::Json)
}

fn quick<T: DeserializeOwned>(text: &mut [u8]) -> Option<T> {
    // Escapes would be resolved in place, and a second look at the text would see another text.
    if text.len() > QUICK_BYTES || text.contains(&b'\\') {
        return None;
    }
    let kept = if text.len() <= KEPT_BYTES { BUFFERS.take() } else { None };
    let mut buffers = kept.unwrap_or_else(|| Buffers::with_max_depth(text.len(), MAX_DEPTH));
    let value = simd_json::serde::from_slice_with_buffers(text, &mut buffers).ok();
    if text.len() <= KEPT_BYTES {
        BUFFERS.set(Some(buffers));
    }
    value
}

/// Whether the text is one JSON value and nothing else.
pub(super) fn is_json(text: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(text).is_ok()
}

/// Whether a text may hold `-0`: simd-json takes it for a whole number, serde_json does not. Nothing that the exchange
/// counts is written so.
#[cfg(test)]
pub(crate) fn may_hold_minus_zero(text: &[u8]) -> bool {
    let ends = |at: usize| text.get(at).is_none_or(|byte| !b".eE".contains(byte));
    text.windows(2).enumerate().any(|(at, pair)| pair == b"-0" && ends(at + 2))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    /// JSON of every kind, as text; no escapes, since these go to serde_json alone.
    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "[ -!#-\\[\\]-~\u{e4}\u{20ac}]{0,40}".prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 60, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
                prop::collection::btree_map("[a-z]{0,40}", inner, 0..8).prop_map(Value::from_iter),
            ]
        })
    }

    proptest! {
        #[test]
        fn both_parsers_say_the_same(value in json(), cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3)) {
            let mut text = value.to_string().into_bytes();
            for (at, byte) in cuts {
                let at = at.index(text.len());
                text[at] = byte;
            }
            prop_assume!(!may_hold_minus_zero(&text));
            let before = text.clone();
            let quick: Option<Value> = quick(&mut text);
            prop_assert_eq!(&text, &before, "the text stays as it was");
            if let Some(quick) = quick {
                let slow: Value = serde_json::from_slice(&text).unwrap();
                prop_assert_eq!(quick, slow);
            }
        }
    }

    #[test]
    fn well_formed_text_takes_the_quick_way() {
        for text in [r#"{"channel":"pong"}"#, "[1,2.5,-3]", "null", r#""text""#] {
            assert!(quick::<Value>(&mut text.as_bytes().to_vec()).is_some(), "{text}");
        }
        assert!(quick::<Value>(&mut br#""a\\nb""#.to_vec()).is_none(), "escapes do not");
        let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n)).into_bytes();
        assert!(
            quick::<Value>(&mut deep(MAX_DEPTH - 1)).is_some() && quick::<Value>(&mut deep(120)).is_none()
        );
        assert!(typed::<Value>(&mut deep(120)).is_ok() && typed::<Value>(&mut deep(128)).is_err());
    }
}
