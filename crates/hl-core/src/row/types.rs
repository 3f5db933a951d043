//! What only rows have: a side, bytes in hexadecimal, a level of a book.

use std::fmt;
use std::num::NonZeroI64;

use serde::{Deserialize, Serialize};

use crate::Decimal;

/// The side of the aggressor: who crossed the spread.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Side {
    /// Buy, `B` on the wire.
    #[serde(rename = "B")]
    Buy,
    /// Sell, `A` on the wire.
    #[serde(rename = "A")]
    Sell,
}

impl Side {
    /// The letter that the exchange uses: `B` or `A`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Buy => "B",
            Self::Sell => "A",
        }
    }

    /// The inverse of [`Side::as_str`].
    #[must_use]
    pub fn parse(letter: &str) -> Option<Self> {
        [Self::Buy, Self::Sell].into_iter().find(|side| side.as_str() == letter)
    }
}

/// `N` bytes that are hexadecimal text with `0x` outside: addresses and hashes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HexBytes<const N: usize>(pub [u8; N]);

/// A user address, 20 bytes.
pub type Address = HexBytes<20>;
/// A transaction hash, 32 bytes. All zeros on TWAP and system fills, so it identifies nothing.
pub type Hash = HexBytes<32>;

impl<const N: usize> HexBytes<N> {
    /// All zeros.
    pub const ZERO: Self = Self([0; N]);

    /// Parses `0x…` of exactly `2 N` digits, either case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"))?.as_bytes();
        if digits.len() != 2 * N {
            return None;
        }
        let nibble = |b: u8| (b as char).to_digit(16).and_then(|d| u8::try_from(d).ok());
        let mut out = [0; N];
        for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Some(Self(out))
    }
}

/// When a row was received, and where it stands among the rows of its stream and time: what is known of it at that moment only.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Arrival {
    /// When the last byte of its frame was read: nanoseconds, UTC, of the wall clock as corrected by the exchange's own times.
    /// None where the row was not new then: a backfill, an import, a poll, what a new subscription begins with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received: Option<NonZeroI64>,
    /// Its place among the rows of its stream and time, as the exchange sent them: from 0 on, and from 1,000,000 on in a
    /// block in which a subscription began. None where it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u32>,
}

impl Arrival {
    /// Of a row that is the only one of its stream (or of its coin) and time.
    pub const ALONE: Self = Self { received: None, seq: Some(0) };

    /// Whether nothing is known.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        *self == Self::default()
    }
}

/// Bytes as `0x…`, in small letters.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from(if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 });
    let mut text = String::with_capacity(2 + 2 * bytes.len());
    text.push_str("0x");
    for byte in bytes {
        text.push(digit(byte >> 4));
        text.push(digit(byte & 15));
    }
    text
}

impl<const N: usize> fmt::Display for HexBytes<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl<const N: usize> fmt::Debug for HexBytes<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<const N: usize> Serialize for HexBytes<N> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, const N: usize> Deserialize<'de> for HexBytes<N> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<const N: usize>;
        impl<const N: usize> serde::de::Visitor<'_> for Visitor<N> {
            type Value = HexBytes<N>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "0x and {} hexadecimal digits", 2 * N)
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<HexBytes<N>, E> {
                HexBytes::parse(text).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

/// One price level of a book.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Level {
    /// Price, USD.
    pub px: Decimal,
    /// Size, coins.
    pub sz: Decimal,
    /// Number of orders.
    pub n: u32,
}
