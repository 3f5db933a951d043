//! Rows as columns, and back: the columns of the kind's table, in one place for every format.

mod read;

use std::borrow::Cow;
use std::num::NonZeroI64;

use hl_core::archive::StoredRows;
use hl_core::record::{Level, Record};
use hl_core::row::{Column as Described, Holds, Table, Value, hex};
use hl_core::{Decimal, TimeMs, for_records};

pub(crate) use read::rows;

/// The values of one column. What may be absent is so in the type; of the rest none is.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Values {
    Text(Vec<Cow<'static, str>>),
    TextOrNull(Vec<Option<Box<str>>>),
    Bool(Vec<bool>),
    Time(Vec<TimeMs>),
    Int(Vec<i64>),
    IntOrNull(Vec<Option<i64>>),
    Count(Vec<Option<u32>>),
    /// Nanoseconds, UTC.
    Nanos(Vec<Option<i64>>),
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
    /// No values of a column.
    fn none(holds: Holds, nullable: bool) -> Self {
        match holds {
            Holds::Text if nullable => Self::TextOrNull(Vec::new()),
            Holds::Text => Self::Text(Vec::new()),
            Holds::Time => Self::Time(Vec::new()),
            Holds::Int if nullable => Self::IntOrNull(Vec::new()),
            Holds::Int => Self::Int(Vec::new()),
            Holds::Count => Self::Count(Vec::new()),
            Holds::Decimal if nullable => Self::DecimalOrNull(Vec::new()),
            Holds::Decimal => Self::Decimal(Vec::new()),
            Holds::Level | Holds::Levels => Self::Levels(Vec::new()),
        }
    }

    /// Appends the value of one row.
    fn push(&mut self, value: Value<'_>) {
        match (self, value) {
            (Self::Text(all), Value::Text(text)) => all.push(Cow::Owned(text.to_owned())),
            (Self::Text(all), Value::Hex(bytes)) => all.push(Cow::Owned(hex(bytes))),
            (Self::TextOrNull(all), Value::Text(text)) => all.push(Some(text.into())),
            (Self::TextOrNull(all), Value::Null) => all.push(None),
            (Self::Time(all), Value::Time(time)) => all.push(time),
            (Self::Int(all), Value::Int(number)) => all.push(number),
            (Self::IntOrNull(all), Value::Int(number)) => all.push(Some(number)),
            (Self::IntOrNull(all), Value::Null) => all.push(None),
            (Self::Count(all), Value::Count(number)) => all.push(Some(number)),
            (Self::Count(all), Value::Null) => all.push(None),
            (Self::Decimal(all), Value::Decimal(number)) => all.push(number),
            (Self::DecimalOrNull(all), Value::Decimal(number)) => all.push(Some(number)),
            (Self::DecimalOrNull(all), Value::Null) => all.push(None),
            (Self::Levels(all), Value::Levels(levels)) => all.push(levels.into()),
            // A column holds what its description says: the length of the column shows that it does not.
            _ => {}
        }
    }

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
    pub(crate) name: Cow<'static, str>,
    pub(crate) values: Values,
}

/// The rows as columns: those of their table. Rows that have versions are final ones.
pub(crate) fn columns(rows: &StoredRows) -> Vec<Column> {
    let mut columns = for_records!(&rows.records, records => own(records));
    let from = rows.provenance.iter();
    let text = |name: &'static str, all| Column { name: name.into(), values: Values::Text(all) };
    columns.push(text("source", from.clone().map(|from| from.origin.as_str().into()).collect()));
    let epochs = from.map(|from| from.epoch.to_i64()).collect();
    columns.push(Column { name: "epoch".into(), values: Values::Int(epochs) });
    let arrivals = rows.records.arrivals();
    let received = arrivals.iter().map(|arrival| arrival.received.map(NonZeroI64::get)).collect();
    columns.push(Column { name: "received".into(), values: Values::Nanos(received) });
    let seq = arrivals.iter().map(|arrival| arrival.seq).collect();
    columns.push(Column { name: "seq".into(), values: Values::Count(seq) });
    columns
}

/// The columns of a record.
fn own<T: Record>(records: &[T]) -> Vec<Column> {
    let mut columns: Vec<Column> = described(&T::TABLE)
        .map(|(name, holds, nullable)| Column { name, values: Values::none(holds, nullable) })
        .collect();
    for record in records {
        let mut next = columns.iter_mut();
        record.write(|described, value| {
            value.flat(described, |value| {
                if let Some(column) = next.next() {
                    column.values.push(value);
                }
            });
        });
    }
    if T::TABLE.version.is_some() {
        columns.push(Column { name: "final".into(), values: Values::Bool(vec![true; records.len()]) });
    }
    columns
}

/// The columns of a table as files have them: name, what it holds, and whether a row may have none.
fn described(table: &Table) -> impl Iterator<Item = (Cow<'static, str>, Holds, bool)> + use<> {
    let flat = |column: &Described| {
        let nullable = column.nullable;
        column.flat().map(move |(name, holds)| (name, holds, nullable))
    };
    table.columns.iter().flat_map(flat)
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
pub(crate) fn unfit(rows: &StoredRows) -> Vec<usize> {
    let mut unfit = std::collections::BTreeSet::new();
    let fits = |number: &Decimal| scaled(*number).is_some();
    for column in columns(rows) {
        let bad: Vec<usize> = match &column.values {
            Values::Decimal(all) => positions(all, fits),
            Values::DecimalOrNull(all) => positions(all, |number| number.as_ref().is_none_or(fits)),
            Values::Levels(all) => positions(all, |side| side.iter().all(|l| fits(&l.px) && fits(&l.sz))),
            Values::Text(_) | Values::TextOrNull(_) | Values::Bool(_) => Vec::new(),
            Values::Time(_) | Values::Int(_) | Values::IntOrNull(_) | Values::Count(_) => Vec::new(),
            Values::Nanos(_) | Values::Float(_) | Values::FloatOrNull(_) | Values::FloatLevels(_) => {
                Vec::new()
            }
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
