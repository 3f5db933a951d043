//! The channel `fastAssetCtxs`: JSON, compressed with raw DEFLATE, as base64 text.

use std::collections::BTreeMap;
use std::io::{Read, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use serde_with::{As, serde_as};

use super::Exact;
use crate::{Coin, Decimal};

/// Most bytes that a frame may inflate to. The full snapshot of 1,592 markets has 72 kB.
const MAX_INFLATED_BYTES: u64 = 8 << 20;

/// Mark and mid prices by coin: all of them in the first frame, then those that changed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FastCtxs(pub BTreeMap<Coin, FastCtx>);

/// What changed of one coin.
#[serde_as]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FastCtx {
    /// Mark price, USD; absent where unchanged.
    #[serde_as(as = "Option<Exact>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mark_px: Option<Decimal>,
    /// Mid price, USD; absent where unchanged, null inside where the book has become empty.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "change")]
    pub mid_px: Option<Option<Decimal>>,
}

/// A field that tells "absent" from "null".
mod change {
    use super::{As, Decimal, Deserializer, Exact, Serializer};

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Option<Decimal>>, D::Error> {
        As::<Option<Exact>>::deserialize(d).map(Some)
    }

    pub(super) fn serialize<S: Serializer>(value: &Option<Option<Decimal>>, s: S) -> Result<S::Ok, S::Error> {
        As::<Option<Exact>>::serialize(&value.flatten(), s)
    }
}

impl<'de> Deserialize<'de> for FastCtxs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        let packed = STANDARD.decode(text.as_bytes()).map_err(de::Error::custom)?;
        let mut json = Vec::new();
        DeflateDecoder::new(packed.as_slice())
            .take(MAX_INFLATED_BYTES + 1)
            .read_to_end(&mut json)
            .map_err(|e| de::Error::custom(format_args!("cannot inflate: {e}")))?;
        if json.len() as u64 > MAX_INFLATED_BYTES {
            return Err(de::Error::custom(format_args!("inflates to more than {MAX_INFLATED_BYTES} bytes")));
        }
        serde_json::from_slice(&json).map(Self).map_err(de::Error::custom)
    }
}

impl Serialize for FastCtxs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let json = serde_json::to_vec(&self.0).map_err(ser::Error::custom)?;
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
        let packed = encoder.write_all(&json).and_then(|()| encoder.finish()).map_err(ser::Error::custom)?;
        serializer.serialize_str(&STANDARD.encode(packed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_null_and_value_are_three_things() {
        let json = r##"{"#12090":{"midPx":null},"BTC":{"markPx":"66410.0","midPx":"66410.5"},"ETH":{}}"##;
        let ctxs: BTreeMap<Coin, FastCtx> = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&ctxs).unwrap(), json);
        let packed = serde_json::to_string(&FastCtxs(ctxs.clone())).unwrap();
        assert_eq!(serde_json::from_str::<FastCtxs>(&packed).unwrap().0, ctxs);
    }

    #[test]
    fn a_bomb_is_refused() {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
        let zeros = vec![b' '; 1 << 20];
        for _ in 0..9 {
            encoder.write_all(&zeros).unwrap();
        }
        let bomb = serde_json::to_string(&STANDARD.encode(encoder.finish().unwrap())).unwrap();
        let error = serde_json::from_str::<FastCtxs>(&bomb).unwrap_err();
        assert!(error.to_string().contains("inflates to more than"), "{error}");
    }
}
