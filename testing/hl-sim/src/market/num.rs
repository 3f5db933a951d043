//! Numbers at the edge: integers inside, the exchange's decimal text outside.

use std::fmt;

use hl_core::Decimal;
use serde::{Serialize, Serializer};

/// `units × 10^-decimals`, printed as the exchange prints: no trailing zeros, but always one decimal (`"66410.0"`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Num {
    pub(crate) units: i64,
    pub(crate) decimals: u32,
}

impl Num {
    pub(crate) fn new(units: i64, decimals: u32) -> Self {
        Self { units, decimals }
    }

    pub(crate) fn decimal(self) -> Decimal {
        Decimal::new(self.units, self.decimals)
    }

    /// For the statistics files, whose numbers are JSON floats on the wire.
    pub(crate) fn float(self) -> f64 {
        self.units as f64 / 10_f64.powi(self.decimals as i32)
    }
}

impl fmt::Display for Num {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scale = 10_u64.pow(self.decimals);
        let magnitude = self.units.unsigned_abs();
        let (whole, mut fraction) = (magnitude / scale, magnitude % scale);
        let sign = if self.units < 0 { "-" } else { "" };
        if fraction == 0 {
            return write!(f, "{sign}{whole}.0");
        }
        let mut width = self.decimals as usize;
        while fraction.is_multiple_of(10) {
            fraction /= 10;
            width -= 1;
        }
        write!(f, "{sign}{whole}.{fraction:0width$}")
    }
}

impl Serialize for Num {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The exchange's text of a decimal that was computed, not quoted.
pub(crate) fn text(value: Decimal) -> String {
    let value = value.round_dp(10).normalize();
    if value.scale() == 0 { format!("{value}.0") } else { value.to_string() }
}

/// One round of splitmix64: a stateless hash where a value must not depend on what was drawn before it.
pub(crate) fn mix(x: u64) -> u64 {
    let mut z = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn prints_like_the_exchange() {
        for (units, decimals, expected) in [
            (66_410, 0, "66410.0"),
            (199_792, 5, "1.99792"),
            (200, 5, "0.002"),
            (688, 0, "688.0"),
            (0, 3, "0.0"),
            (-1_250, 3, "-1.25"),
        ] {
            assert_eq!(Num::new(units, decimals).to_string(), expected);
        }
        assert_eq!(text(Decimal::new(1_500, 2)), "15.0");
        assert_eq!(text(Decimal::new(-1_050, 3)), "-1.05");
    }

    proptest! {
        #[test]
        fn text_keeps_the_value(units in -1_000_000_000_000_i64..1_000_000_000_000, decimals in 0_u32..10) {
            let parsed: Decimal = Num::new(units, decimals).to_string().parse().unwrap();
            prop_assert_eq!(parsed, Decimal::new(units, decimals));
        }
    }
}
