//! Values between a record's field and a store's column.

use crate::row::{Column, HexBytes, Holds, Level, Side};
use crate::symbol::{User, Word};
use crate::{Coin, Decimal, Interval, TimeMs};

/// A value on its way into a column.
#[derive(Clone, Copy, PartialEq, Debug)]
#[allow(missing_docs, reason = "what each holds is said at `Holds`")]
pub enum Value<'a> {
    Null,
    Text(&'a str),
    /// As text: `0x…`.
    Hex(&'a [u8]),
    Time(TimeMs),
    Int(i64),
    Count(u32),
    Decimal(Decimal),
    Level(&'a Level),
    Levels(&'a [Level]),
}

impl Value<'_> {
    /// As tables and files without nesting have it: hands out what [`Column::flat`] names.
    pub fn flat(self, column: &Column, mut put: impl FnMut(Self)) {
        match (self, column.holds) {
            (Value::Level(level), _) => {
                put(Value::Decimal(level.px));
                put(Value::Decimal(level.sz));
                put(Value::Count(level.n));
            }
            (Value::Null, Holds::Level) => (0..3).for_each(|_| put(Value::Null)),
            (value, _) => put(value),
        }
    }
}

/// Values on their way out of a row, which are asked for in the order of the columns. Each method fails where the column
/// holds what no value of it is, or nothing where each row has a value.
#[allow(clippy::missing_errors_doc, reason = "said above, for all of them")]
pub trait Cells {
    /// What is wrong with a value.
    type Error;

    /// A text, parsed; one that `parse` does not know is an error.
    fn text<T>(
        &mut self,
        column: &'static Column,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, Self::Error>;
    /// A text, or none.
    fn text_or_null(&mut self, column: &'static Column) -> Result<Option<Box<str>>, Self::Error>;
    /// A time.
    fn time(&mut self, column: &'static Column) -> Result<TimeMs, Self::Error>;
    /// A whole number.
    fn int(&mut self, column: &'static Column) -> Result<i64, Self::Error>;
    /// A whole number, or none.
    fn int_or_null(&mut self, column: &'static Column) -> Result<Option<i64>, Self::Error>;
    /// A small whole number, or none.
    fn count(&mut self, column: &'static Column) -> Result<Option<u32>, Self::Error>;
    /// A decimal, or none.
    fn decimal(&mut self, column: &'static Column) -> Result<Option<Decimal>, Self::Error>;
    /// Levels of a book.
    fn levels(&mut self, column: &'static Column) -> Result<Box<[Level]>, Self::Error>;
    /// The error of a column that holds what it cannot.
    fn wrong(&self, column: &'static Column) -> Self::Error;

    /// A level, or none: three cells of a flat row.
    fn level(&mut self, column: &'static Column) -> Result<Option<Level>, Self::Error> {
        match (self.decimal(column)?, self.decimal(column)?, self.count(column)?) {
            (Some(px), Some(sz), Some(n)) => Ok(Some(Level { px, sz, n })),
            (None, ..) => Ok(None),
            _ => Err(self.wrong(column)),
        }
    }
}

/// A type of a field, and of its column.
pub trait Cell: Sized {
    /// What its column holds.
    const HOLDS: Holds;
    /// Whether a row may have none.
    const NULLABLE: bool = false;

    /// Its value for a column.
    fn value(&self) -> Value<'_>;

    /// The inverse of [`Cell::value`].
    ///
    /// # Errors
    /// What `cells` says of a value that is not of this type.
    fn read<C: Cells>(cells: &mut C, column: &'static Column) -> Result<Self, C::Error>;

    /// Whether its column can hold it.
    fn fits(&self) -> bool {
        true
    }
}

/// A cell of words: how each is written, and read back.
macro_rules! words {
    ($type:ty, $write:expr, $read:expr) => {
        impl Cell for $type {
            const HOLDS: Holds = Holds::Text;
            fn value(&self) -> Value<'_> {
                Value::Text($write(*self))
            }
            fn read<C: Cells>(cells: &mut C, column: &'static Column) -> Result<Self, C::Error> {
                cells.text(column, $read)
            }
        }
    };
}
pub(crate) use words;

/// Declares the words of a column: an enum, the word of each variant in tables, and its cell.
macro_rules! one_of {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident: $word:literal,)+ }) => {
        $(#[$meta])*
        #[derive(
            Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize,
        )]
        pub enum $name {
            $($(#[$doc])* #[serde(rename = $word)] $variant,)+
        }

        impl $name {
            /// Its word in tables.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }

            /// The inverse of `as_str`.
            #[must_use]
            pub fn parse(word: &str) -> Option<Self> {
                match word {
                    $($word => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }

        impl $crate::row::Cell for $name {
            const HOLDS: $crate::row::Holds = $crate::row::Holds::Text;
            fn value(&self) -> $crate::row::Value<'_> {
                $crate::row::Value::Text(self.as_str())
            }
            fn read<C: $crate::row::Cells>(
                cells: &mut C,
                column: &'static $crate::row::Column,
            ) -> Result<Self, C::Error> {
                cells.text(column, Self::parse)
            }
        }

        impl $crate::row::Cell for Option<$name> {
            const HOLDS: $crate::row::Holds = $crate::row::Holds::Text;
            const NULLABLE: bool = true;
            fn value(&self) -> $crate::row::Value<'_> {
                self.map_or($crate::row::Value::Null, |word| $crate::row::Value::Text(word.as_str()))
            }
            fn read<C: $crate::row::Cells>(
                cells: &mut C,
                column: &'static $crate::row::Column,
            ) -> Result<Self, C::Error> {
                let text = cells.text_or_null(column)?;
                text.map(|text| $name::parse(&text).ok_or_else(|| cells.wrong(column))).transpose()
            }
        }
    };
}
pub(crate) use one_of;

words!(Coin, Coin::as_str, |name| Coin::new(name).ok());
words!(User, User::as_str, User::new);
words!(Word, Word::as_str, |word| Word::new(word).ok());
words!(Interval, Interval::as_str, |name| name.parse().ok());
words!(Side, Side::as_str, Side::parse);
words!(bool, |is| if is { "true" } else { "false" }, |word| word.parse().ok());

impl Cell for Box<str> {
    const HOLDS: Holds = Holds::Text;
    fn value(&self) -> Value<'_> {
        Value::Text(self)
    }
    fn read<C: Cells>(cells: &mut C, column: &'static Column) -> Result<Self, C::Error> {
        cells.text(column, |text| Some(text.into()))
    }
}

impl Cell for Option<Box<str>> {
    const HOLDS: Holds = Holds::Text;
    const NULLABLE: bool = true;
    fn value(&self) -> Value<'_> {
        self.as_deref().map_or(Value::Null, Value::Text)
    }
    fn read<C: Cells>(cells: &mut C, column: &'static Column) -> Result<Self, C::Error> {
        cells.text_or_null(column)
    }
}

impl<const N: usize> Cell for HexBytes<N> {
    const HOLDS: Holds = Holds::Text;
    fn value(&self) -> Value<'_> {
        Value::Hex(&self.0)
    }
    fn read<C: Cells>(cells: &mut C, column: &'static Column) -> Result<Self, C::Error> {
        cells.text(column, Self::parse)
    }
}

impl<const N: usize> Cell for Option<HexBytes<N>> {
    const HOLDS: Holds = Holds::Text;
    const NULLABLE: bool = true;
    fn value(&self) -> Value<'_> {
        self.as_ref().map_or(Value::Null, |bytes| Value::Hex(&bytes.0))
    }
    fn read<C: Cells>(cells: &mut C, column: &'static Column) -> Result<Self, C::Error> {
        let text = cells.text_or_null(column)?;
        text.map(|text| HexBytes::parse(&text).ok_or_else(|| cells.wrong(column))).transpose()
    }
}

impl Cell for TimeMs {
    const HOLDS: Holds = Holds::Time;
    fn value(&self) -> Value<'_> {
        Value::Time(*self)
    }
    fn read<C: Cells>(cells: &mut C, column: &'static Column) -> Result<Self, C::Error> {
        cells.time(column)
    }
}

impl Cell for u64 {
    const HOLDS: Holds = Holds::Int;
    fn value(&self) -> Value<'_> {
        Value::Int(self.cast_signed())
    }
    fn read<C: Cells>(cells: &mut C, column: &'static Column) -> Result<Self, C::Error> {
        let number = cells.int(column)?;
        number.try_into().map_err(|_| cells.wrong(column))
    }
    fn fits(&self) -> bool {
        i64::try_from(*self).is_ok()
    }
}

impl Cell for Option<u64> {
    const HOLDS: Holds = Holds::Int;
    const NULLABLE: bool = true;
    fn value(&self) -> Value<'_> {
        self.map_or(Value::Null, |number| Value::Int(number.cast_signed()))
    }
    fn read<C: Cells>(cells: &mut C, column: &'static Column) -> Result<Self, C::Error> {
        let number = cells.int_or_null(column)?;
        number.map(|number| number.try_into().map_err(|_| cells.wrong(column))).transpose()
    }
    fn fits(&self) -> bool {
        self.is_none_or(|number| i64::try_from(number).is_ok())
    }
}

impl Cell for Option<u32> {
    const HOLDS: Holds = Holds::Count;
    const NULLABLE: bool = true;
    fn value(&self) -> Value<'_> {
        self.map_or(Value::Null, Value::Count)
    }
    fn read<C: Cells>(cells: &mut C, column: &'static Column) -> Result<Self, C::Error> {
        cells.count(column)
    }
}

impl Cell for Decimal {
    const HOLDS: Holds = Holds::Decimal;
    fn value(&self) -> Value<'_> {
        Value::Decimal(*self)
    }
    fn read<C: Cells>(cells: &mut C, column: &'static Column) -> Result<Self, C::Error> {
        cells.decimal(column)?.ok_or_else(|| cells.wrong(column))
    }
}

impl Cell for Option<Decimal> {
    const HOLDS: Holds = Holds::Decimal;
    const NULLABLE: bool = true;
    fn value(&self) -> Value<'_> {
        self.map_or(Value::Null, Value::Decimal)
    }
    fn read<C: Cells>(cells: &mut C, column: &'static Column) -> Result<Self, C::Error> {
        cells.decimal(column)
    }
}

impl Cell for Option<Level> {
    const HOLDS: Holds = Holds::Level;
    const NULLABLE: bool = true;
    fn value(&self) -> Value<'_> {
        self.as_ref().map_or(Value::Null, Value::Level)
    }
    fn read<C: Cells>(cells: &mut C, column: &'static Column) -> Result<Self, C::Error> {
        cells.level(column)
    }
}

impl Cell for Box<[Level]> {
    const HOLDS: Holds = Holds::Levels;
    fn value(&self) -> Value<'_> {
        Value::Levels(self)
    }
    fn read<C: Cells>(cells: &mut C, column: &'static Column) -> Result<Self, C::Error> {
        cells.levels(column)
    }
}
