//! Prices and sizes as Decimal128: mantissa and scale go over unchanged, so 66410.0 stays 66410.0.

use hl_core::Decimal;
use mongodb::bson::Decimal128;

/// The exponent of a Decimal128 is stored with this added.
const BIAS: i128 = 6_176;
const COEFFICIENT: u32 = 113;

/// As the server stores it. Every [`Decimal`] fits: 96 bits of 113, and a scale of at most 28.
pub(super) fn encode(decimal: Decimal) -> Decimal128 {
    let exponent = (BIAS - i128::from(decimal.scale())).cast_unsigned();
    let sign = u128::from(decimal.is_sign_negative()) << 127;
    Decimal128::from_bytes((sign | exponent << COEFFICIENT | decimal.mantissa().unsigned_abs()).to_le_bytes())
}

/// The inverse; none where it is no number that [`encode`] writes.
pub(crate) fn decode(stored: Decimal128) -> Option<Decimal> {
    let bits = u128::from_le_bytes(stored.bytes());
    // Infinity, not a number, and the form for the largest coefficients.
    if bits >> 125 & 0b11 == 0b11 {
        return None;
    }
    let scale = u32::try_from(BIAS - (bits >> COEFFICIENT & 0x3fff).cast_signed()).ok()?;
    let mantissa = (bits & ((1 << COEFFICIENT) - 1)).cast_signed();
    let mut decimal = Decimal::try_from_i128_with_scale(mantissa, scale).ok()?;
    decimal.set_sign_negative(bits >> 127 == 1);
    Some(decimal)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_digit_survives(mantissa in -(1_i128 << 96) + 1..1_i128 << 96, scale in 0_u32..=28) {
            let decimal = Decimal::from_i128_with_scale(mantissa, scale);
            let back = decode(encode(decimal));
            prop_assert_eq!(back.map(|back| back.to_string()), Some(decimal.to_string()));
        }

        #[test]
        fn the_driver_reads_the_same_number(mantissa in -1_000_000_000_i64..1_000_000_000, scale in 0_u32..=8) {
            let decimal = Decimal::new(mantissa, scale);
            let said = encode(decimal).to_string();
            prop_assert_eq!(Decimal::from_scientific(&said).or_else(|_| said.parse()), Ok(decimal));
        }
    }

    #[test]
    fn what_is_no_finite_number_is_refused() {
        for text in ["NaN", "Infinity", "-Infinity", "1E+30", "1E-40"] {
            let stored: Decimal128 = text.parse().unwrap_or(encode(Decimal::ONE));
            assert_eq!(decode(stored), None, "{text}");
        }
    }
}
