//! Rows as columns, and back: what each kind has, in one place for every format.

mod kinds;

use std::borrow::Cow;

use hl_core::archive::StoredRows;
use hl_core::record::Level;
use hl_core::{Coin, Decimal, Epoch, StreamKey, TimeMs};

pub(crate) use kinds::{columns, rows};

use crate::error::Unreadable;

/// The values of one column. What may be absent is so in the type; of the rest none is.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Values {
    Text(Vec<Cow<'static, str>>),
    Time(Vec<TimeMs>),
    Int(Vec<i64>),
    Count(Vec<Option<u32>>),
    Decimal(Vec<Decimal>),
    DecimalOrNull(Vec<Option<Decimal>>),
    Levels(Vec<Box<[Level]>>),
    Float(Vec<f64>),
    FloatOrNull(Vec<Option<f64>>),
    FloatLevels(Vec<Box<[FloatLevel]>>),
}

/// A level of a book in floating point.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct FloatLevel {
    pub(crate) px: f64,
    pub(crate) sz: f64,
    pub(crate) n: u32,
}

impl Values {
    /// The same with every number that has a fraction in floating point.
    pub(crate) fn in_floats(self) -> Self {
        let level = |level: &Level| FloatLevel { px: float(level.px), sz: float(level.sz), n: level.n };
        match self {
            Self::Decimal(all) => Self::Float(all.into_iter().map(float).collect()),
            Self::DecimalOrNull(all) => {
                Self::FloatOrNull(all.into_iter().map(|number| number.map(float)).collect())
            }
            Self::Levels(all) => {
                Self::FloatLevels(all.iter().map(|side| side.iter().map(level).collect()).collect())
            }
            exact => exact,
        }
    }
}

/// The floating point number nearest to a decimal.
pub(crate) fn float(number: Decimal) -> f64 {
    /// Up to here, and up to this power of ten, both parts are exact, so that their quotient is the nearest.
    const EXACT: u64 = 1 << 53;
    const EXACT_PLACES: u32 = 22;
    match u64::try_from(number.mantissa().unsigned_abs()) {
        #[allow(clippy::cast_precision_loss, reason = "below 2^53 nothing is lost")]
        Ok(mantissa) if mantissa <= EXACT && number.scale() <= EXACT_PLACES => {
            let places = number.scale().cast_signed();
            let size = mantissa as f64 / 10_f64.powi(places);
            if number.is_sign_negative() { -size } else { size }
        }
        _ => number.to_string().parse().unwrap_or(f64::NAN),
    }
}

/// A column and its name.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) values: Values,
}

/// Whether rows name their coin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum CoinColumn {
    /// Where the place of the file does not say it: in rows of `mids`.
    WhereNeeded,
    /// In each row.
    Always,
}

impl CoinColumn {
    fn is_there(self, stream: StreamKey) -> bool {
        self == Self::Always || stream == StreamKey::Mids
    }
}

/// What was read, whose columns are taken out by name.
pub(crate) struct Taken<F>(pub(crate) F);

macro_rules! take {
    ($name:ident, $variant:ident, $type:ty) => {
        pub(crate) fn $name(&self, name: &'static str) -> Result<Vec<$type>, Unreadable> {
            match (self.0)(name)? {
                Values::$variant(values) => Ok(values),
                _ => Err(Unreadable::Column(name)),
            }
        }
    };
}

impl<F: Fn(&'static str) -> Result<Values, Unreadable>> Taken<F> {
    take!(text, Text, Cow<'static, str>);
    take!(time, Time, TimeMs);
    take!(int, Int, i64);
    take!(count, Count, Option<u32>);
    take!(decimal, Decimal, Decimal);
    take!(decimal_or_null, DecimalOrNull, Option<Decimal>);
    take!(levels, Levels, Box<[Level]>);

    /// A text column, each parsed.
    pub(crate) fn words<T>(
        &self,
        name: &'static str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Vec<T>, Unreadable> {
        let words = self.text(name)?;
        words.iter().map(|word| parse(word)).collect::<Option<_>>().ok_or(Unreadable::Value(name))
    }

    /// The coin of each row: that of the stream, or what the column says.
    pub(crate) fn coins(&self, stream: StreamKey, rows: usize) -> Result<Vec<Coin>, Unreadable> {
        match stream.coin() {
            Some(coin) => Ok(vec![coin; rows]),
            None => self.words("coin", |name| Coin::new(name).ok()),
        }
    }

    pub(crate) fn epochs(&self) -> Result<Vec<Epoch>, Unreadable> {
        Ok(self.int("epoch")?.into_iter().map(Epoch::from_i64).collect())
    }
}

/// Decimal places of every number with a fraction.
pub(crate) const SCALE: u32 = 12;
/// Digits of such a number, all together.
pub(crate) const DIGITS: u8 = 38;

/// The number as so many times 10^-12; none where that is not exact or does not fit.
pub(crate) fn scaled(number: Decimal) -> Option<i128> {
    let exact = if number.scale() > SCALE { number.normalize() } else { number };
    let missing = SCALE.checked_sub(exact.scale())?;
    let scaled = exact.mantissa().checked_mul(10_i128.checked_pow(missing)?)?;
    (scaled.unsigned_abs() < 10_u128.pow(u32::from(DIGITS))).then_some(scaled)
}

/// The inverse of [`scaled`], without idle zeros; none where the number is not one that a row can have.
pub(crate) fn unscaled(mut scaled: i128) -> Option<Decimal> {
    let mut places = SCALE;
    while places > 0 && scaled % 10 == 0 {
        scaled /= 10;
        places -= 1;
    }
    Decimal::try_from_i128_with_scale(scaled, places).ok()
}

/// The positions of rows that hold a number which does not fit.
pub(crate) fn unfit(stream: StreamKey, rows: &StoredRows) -> Vec<usize> {
    let mut unfit = std::collections::BTreeSet::new();
    let fits = |number: &Decimal| scaled(*number).is_some();
    for column in columns(stream, rows, CoinColumn::WhereNeeded) {
        let bad: Vec<usize> = match &column.values {
            Values::Decimal(all) => positions(all, fits),
            Values::DecimalOrNull(all) => positions(all, |number| number.as_ref().is_none_or(fits)),
            Values::Levels(all) => positions(all, |side| side.iter().all(|l| fits(&l.px) && fits(&l.sz))),
            Values::Text(_) | Values::Time(_) | Values::Int(_) | Values::Count(_) => Vec::new(),
            Values::Float(_) | Values::FloatOrNull(_) | Values::FloatLevels(_) => Vec::new(),
        };
        unfit.extend(bad);
    }
    unfit.into_iter().collect()
}

fn positions<T>(all: &[T], fits: impl Fn(&T) -> bool) -> Vec<usize> {
    all.iter().enumerate().filter(|(_, value)| !fits(value)).map(|(at, _)| at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_the_nearest() {
        for text in [
            "0",
            "-0.1",
            "66410.5",
            "0.00000001",
            "123456789.123456789",
            "9007199254740993",
            "0.3",
            "79067986066.5",
            "12377419030.3486595154",
            "79228162514264337593543950335",
        ] {
            let number: Decimal = text.parse().unwrap();
            let nearest: f64 = text.parse().unwrap();
            assert_eq!(float(number).to_bits(), nearest.to_bits(), "{text}");
        }
    }

    #[test]
    fn numbers_are_exact_or_do_not_fit() {
        let parse = |text: &str| text.parse::<Decimal>().unwrap();
        for text in [
            "0",
            "-0.000000000001",
            "66410.0",
            "79067986066.5",
            "12377419030.3486595154",
            "1.50000000000000",
            "79228162514264337593543950335",
            "99999999999999999999999999",
        ] {
            let number = parse(text);
            let Some(scaled) = scaled(number) else {
                assert_eq!(text, "79228162514264337593543950335", "29 digits before the point are too many");
                continue;
            };
            assert_eq!(unscaled(scaled), Some(number), "{text}");
        }
        assert_eq!(scaled(parse("0.0000000000001")), None, "13 places");
        assert_eq!(unscaled(i128::MAX), None);
    }
}
