//! Decimals on the wire: JSON text, plain or with an exponent, never rounded.

use std::fmt;

use serde::{Deserializer, Serializer, de};
use serde_with::{DeserializeAs, SerializeAs};

use crate::Decimal;

/// How messages read and write a [`Decimal`]: as text such as `"66410.0"`, trailing zeros kept. The minus of a zero is
/// not.
///
/// Read strictly: digits with at most one point between them and at most one minus before them, and behind them at most
/// one exponent of ten, `1e-7` or `2.5E+3`, whose trailing zeros are not kept. Signs alone, `NaN`, and numbers that need
/// more than 96 bits or 28 decimal places are errors: nothing is rounded.
pub struct Exact;

/// The text is no decimal that can be held exactly.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no exact decimal of at most 28 digits")]
pub struct ExactError(String);

impl Exact {
    /// Longest text accepted, bytes: a sign, 29 digits, a point, and room for idle zeros and an exponent.
    const MAX_BYTES: usize = 64;

    /// Reads a decimal exactly.
    ///
    /// # Errors
    /// When the text is anything but a decimal, or cannot be held without rounding.
    pub fn parse(text: &str) -> Result<Decimal, ExactError> {
        let read = match text.bytes().position(|b| matches!(b, b'e' | b'E')) {
            None => is_plain(text).then(|| Decimal::from_str_exact(text).ok()).flatten(),
            Some(at) => {
                (text.len() <= Self::MAX_BYTES).then(|| scaled(&text[..at], &text[at + 1..])).flatten()
            }
        };
        read.ok_or_else(|| ExactError(text.chars().take(Self::MAX_BYTES).collect()))
    }
}

/// Whether the text is digits, with a point between them perhaps, and a minus before them perhaps.
fn is_plain(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text).as_bytes();
    digits.len() <= Exact::MAX_BYTES
        && digits.first().is_some_and(u8::is_ascii_digit)
        && digits.last().is_some_and(u8::is_ascii_digit)
        && digits.iter().all(|b| b.is_ascii_digit() || *b == b'.')
}

/// The plain decimal times ten to the exponent, where that can be held exactly.
fn scaled(plain: &str, exponent: &str) -> Option<Decimal> {
    let digits = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
    let is_exponent = (1..=4).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    if !is_exponent || !is_plain(plain) {
        return None;
    }
    let exponent: i32 = exponent.parse().ok()?;
    let (whole, places) = plain.split_once('.').unwrap_or((plain, ""));
    if places.contains('.') {
        return None;
    }
    let digits: String =
        whole.bytes().chain(places.bytes()).filter(u8::is_ascii_digit).map(char::from).collect();
    let kept = digits.trim_end_matches('0');
    let idle = i32::try_from(digits.len() - kept.len()).ok()?;
    let kept = kept.trim_start_matches('0');
    if kept.is_empty() {
        return Some(Decimal::ZERO);
    }
    // The number is `kept` times ten to the `power`.
    let power = exponent - i32::try_from(places.len()).ok()? + idle;
    let size = kept.parse::<i128>().ok()?;
    let (size, scale) = match u32::try_from(power) {
        Ok(power) => (size.checked_mul(10_i128.checked_pow(power)?)?, 0),
        Err(_) => (size, power.unsigned_abs()),
    };
    let size = if whole.starts_with('-') { -size } else { size };
    Decimal::try_from_i128_with_scale(size, scale).ok()
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
        for bad in ["", "-", ".", "1.", ".5", "+1", "1_000", "NaN", "inf", "1.2.3", " 1", "--1", "0x1"] {
            assert!(Exact::parse(bad).is_err(), "{bad}");
        }
        assert!(Exact::parse("0.12345678901234567890123456789").is_err(), "29 places would be rounded");
        assert!(Exact::parse("79228162514264337593543950336").is_err(), "2^96 does not fit");
        assert!(Exact::parse(&"9".repeat(1_000_000)).is_err());
    }

    #[test]
    fn an_exponent_is_read_exactly_or_not_at_all() {
        for (text, plain) in [
            ("1e-7", "0.0000001"),
            ("1E+3", "1000"),
            ("-2.5e-3", "-0.0025"),
            ("2.50e-3", "0.0025"),
            ("1.5e0", "1.5"),
            ("12.34E1", "123.4"),
            ("0e9999", "0"),
            ("-0.0e-9999", "0"),
            ("00100e-2", "1"),
            ("1e28", "10000000000000000000000000000"),
            ("1e-28", "0.0000000000000000000000000001"),
            ("10e-29", "0.0000000000000000000000000001"),
            ("79228162514264337593543950335e-28", "7.9228162514264337593543950335"),
            ("0.12345678901234567890123456789e1", "1.2345678901234567890123456789"),
            ("100000000000000000000000000000000000000000e-41", "1"),
        ] {
            let read = Exact::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(read.to_string(), plain, "{text}");
        }
        for bad in [
            "e",
            "e5",
            "1e",
            "1e+",
            "1e-",
            "1e--5",
            "1e5e5",
            "1e5.0",
            "1.e5",
            ".5e1",
            "-e5",
            "1e 5",
            "1e99999",
            "+1e5",
            "1.2.3e4",
            "NaNe1",
            "1e0x1",
            "1e29",
            "1e400",
            "1e-29",
            "1.1e-28",
            "79228162514264337593543950336e0",
            "123456789012345678901234567890e0",
            "1.23456789012345678901234567890123e5",
        ] {
            assert!(Exact::parse(bad).is_err(), "{bad}");
        }
        let idle = format!("1{}e-99", "0".repeat(99));
        assert!(Exact::parse(&idle).is_err(), "longer than any number of the exchange");
    }

    proptest! {
        #[test]
        fn an_exponent_says_what_plain_digits_say(whole in "(0|[1-9][0-9]{0,11})", places in "[0-9]{1,9}", power in -12i32..12, minus: bool) {
            let sign = if minus { "-" } else { "" };
            let read = Exact::parse(&format!("{sign}{whole}.{places}e{power}")).unwrap();
            // The same, by moving the point.
            let digits = format!("{}{whole}{places}{}", "0".repeat(12), "0".repeat(12));
            let point = usize::try_from(i32::try_from(12 + whole.len()).unwrap() + power).unwrap();
            let plain = format!("{sign}{}.{}", &digits[..point], &digits[point..]);
            prop_assert_eq!(read, plain.parse::<Decimal>().unwrap());
        }

        #[test]
        fn no_text_with_an_exponent_panics(text in "-?[0-9.]{0,40}[eE][-+]?[0-9]{0,6}") {
            if let Ok(read) = Exact::parse(&text) {
                prop_assert_eq!(Exact::parse(&read.to_string()).unwrap(), read);
            }
        }

        #[test]
        fn what_is_read_is_written_back(whole in "(0|[1-9][0-9]{0,13})", places in "[0-9]{1,13}", minus: bool) {
            let text = format!("{}{whole}.{places}", if minus { "-" } else { "" });
            let zero = text.bytes().all(|b| !b.is_ascii_digit() || b == b'0');
            let written = if zero { text.trim_start_matches('-') } else { &text };
            prop_assert_eq!(Exact::parse(&text).unwrap().to_string(), written);
        }
    }
}
