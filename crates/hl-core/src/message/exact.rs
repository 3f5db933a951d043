//! Decimals on the wire: JSON text, plain notation, never rounded.

use std::fmt;

use serde::{Deserializer, Serializer, de};
use serde_with::{DeserializeAs, SerializeAs};

use crate::Decimal;

/// How messages read and write a [`Decimal`]: as text such as `"66410.0"`, trailing zeros kept. The minus of a zero is
/// not.
///
/// Read strictly: digits with at most one point between them and at most one minus before them. Exponents, signs
/// alone, `NaN`, and numbers that need more than 96 bits or 28 decimal places are errors: nothing is rounded.
pub struct Exact;

/// The text is no decimal that can be held exactly.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no exact decimal of at most 28 digits")]
pub struct ExactError(String);

impl Exact {
    /// Longest text accepted, bytes: a sign, 29 digits, a point, and room for idle zeros.
    const MAX_BYTES: usize = 64;

    /// Reads a decimal exactly.
    ///
    /// # Errors
    /// When the text is anything but a plain decimal, or cannot be held without rounding.
    pub fn parse(text: &str) -> Result<Decimal, ExactError> {
        let digits = text.strip_prefix('-').unwrap_or(text).as_bytes();
        let plain = digits.len() <= Self::MAX_BYTES
            && digits.first().is_some_and(u8::is_ascii_digit)
            && digits.last().is_some_and(u8::is_ascii_digit)
            && digits.iter().all(|b| b.is_ascii_digit() || *b == b'.');
        plain
            .then(|| Decimal::from_str_exact(text).ok())
            .flatten()
            .ok_or_else(|| ExactError(text.chars().take(Self::MAX_BYTES).collect()))
    }
}

impl SerializeAs<Decimal> for Exact {
    fn serialize_as<S: Serializer>(value: &Decimal, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }
}

impl<'de> DeserializeAs<'de, Decimal> for Exact {
    fn deserialize_as<D: Deserializer<'de>>(deserializer: D) -> Result<Decimal, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Decimal;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a decimal as text")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Decimal, E> {
                Exact::parse(text).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keeps_every_digit_and_refuses_the_rest() {
        for text in
            ["0", "0.0", "66410.0", "-0.00031774", "3495670.8399999999", "79228162514264337593543950335"]
        {
            assert_eq!(Exact::parse(text).unwrap().to_string(), text);
        }
        for bad in ["", "-", ".", "1.", ".5", "+1", "1e5", "1_000", "NaN", "inf", "1.2.3", " 1", "--1", "0x1"]
        {
            assert!(Exact::parse(bad).is_err(), "{bad}");
        }
        assert!(Exact::parse("0.12345678901234567890123456789").is_err(), "29 places would be rounded");
        assert!(Exact::parse("79228162514264337593543950336").is_err(), "2^96 does not fit");
        assert!(Exact::parse(&"9".repeat(1_000_000)).is_err());
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_back(whole in "(0|[1-9][0-9]{0,13})", places in "[0-9]{1,13}", minus: bool) {
            let text = format!("{}{whole}.{places}", if minus { "-" } else { "" });
            let zero = text.bytes().all(|b| !b.is_ascii_digit() || b == b'0');
            let written = if zero { text.trim_start_matches('-') } else { &text };
            prop_assert_eq!(Exact::parse(&text).unwrap().to_string(), written);
        }
    }
}
