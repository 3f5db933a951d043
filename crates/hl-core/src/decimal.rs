//! Exact decimals. Prices and sizes are decimals from the wire to the store; they never pass through a float.
//!
//! [`Decimal`] is `rust_decimal`'s: a 96-bit integer with a scale, so `"66410.0"` keeps its trailing zero and
//! compares equal to `"66410"`. On the wire and in serde it is text; a JSON number is refused.

pub use rust_decimal::Decimal;
