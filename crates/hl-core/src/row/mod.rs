//! What rows are made of: columns, values, keys, and the few types that only rows have (a side, an address, a level).
//!
//! A record type is written down once, in the macro `record!`: its fields are the columns of its table, under the
//! same names, in every store, archive and file. A store walks along them with [`Row::write`], reads rows back
//! with [`Row::read`], and knows no kind by name.
//!
//! Not here: which kinds there are, and how they are collected ([`stream`](crate::stream)).

mod cell;
pub mod fields;
mod types;

pub use cell::{Cell, Cells, Value};
pub(crate) use cell::{one_of, words};
pub use types::{Address, Arrival, Hash, HexBytes, Level, Side, hex};

use std::borrow::Cow;
use std::fmt;

use crate::symbol::Word;
use crate::{Coin, TimeMs};

/// What makes a row the same row within its stream, in the order in which a store keeps rows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RowKey {
    /// The market; the same in every row but those of `mids` and `markets`. None where rows are of users: there the coin is the word.
    pub coin: Option<Coin>,
    /// When, ms; of a bar its open time.
    pub time: TimeMs,
    /// Of a trade its `tid`, otherwise 0.
    pub tid: u64,
    /// What else tells the rows of one time apart, in a word; none where nothing does.
    pub word: Option<Word>,
    /// The user that a row is of, where a stream has rows of many.
    pub user: Option<Address>,
}

impl RowKey {
    /// Of a row that is the only one of its coin and time.
    #[must_use]
    pub fn alone(coin: Coin, time: TimeMs) -> Self {
        Self { coin: Some(coin), time, tid: 0, word: None, user: None }
    }

    /// Of a row that is the only one of its user and time, in a stream of many users.
    #[must_use]
    pub fn of_user(user: Address, time: TimeMs) -> Self {
        Self { coin: None, time, tid: 0, word: None, user: Some(user) }
    }

    /// Its value in a column of the key, of those that tell the rows of one stream and coin apart.
    #[must_use]
    pub fn value(&self, column: &Column) -> Value<'_> {
        match (column.name, column.holds) {
            ("coin", _) if self.coin.is_some() => {
                self.coin.map_or(Value::Null, |coin| Value::Text(coin.as_str()))
            }
            ("user", _) => self.user.as_ref().map_or(Value::Null, |user| Value::Hex(&user.0)),
            (_, Holds::Time) => Value::Time(self.time),
            (_, Holds::Text) => self.word.map_or(Value::Null, |word| Value::Text(word.as_str())),
            _ => Value::Int(self.tid.cast_signed()),
        }
    }
}

/// For people: `BTC at 1790000000000`.
impl fmt::Display for RowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(coin) = self.coin {
            write!(f, "{coin} ")?;
        }
        if let Some(user) = self.user {
            write!(f, "{user} ")?;
        }
        write!(f, "at {}", self.time)
    }
}

/// What the values of a column are.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Holds {
    /// Text: a name, a word, or bytes as `0x…`.
    Text,
    /// UTC milliseconds.
    Time,
    /// A whole number of 64 bits, not negative.
    Int,
    /// A whole number of 32 bits, not negative.
    Count,
    /// An exact decimal.
    Decimal,
    /// One level of a book: where columns are flat those of [`LEVEL`], with the name of the column in front.
    Level,
    /// Levels of a book, best first.
    Levels,
}

/// A column of a table, which is a field of its record.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Column {
    /// Its name, the same everywhere.
    pub name: &'static str,
    /// What it holds.
    pub holds: Holds,
    /// Whether a row may have none.
    pub nullable: bool,
    /// What it says, with its unit.
    pub means: &'static str,
}

/// What a [`Level`] is made of.
pub const LEVEL: [(&str, Holds); 3] = [("px", Holds::Decimal), ("sz", Holds::Decimal), ("n", Holds::Count)];

impl Column {
    /// The column of a field of type `T`.
    #[must_use]
    pub const fn of<T: Cell>(name: &'static str, means: &'static str) -> Self {
        Self { name, holds: T::HOLDS, nullable: T::NULLABLE, means }
    }

    /// As tables and files without nesting have it: names and what they hold.
    pub fn flat(&self) -> impl Iterator<Item = (Cow<'static, str>, Holds)> + use<> {
        let &Self { name, holds, .. } = self;
        let parts = if holds == Holds::Level { LEVEL.map(Some) } else { [None, None, Some(("", holds))] };
        parts.into_iter().flatten().map(move |(part, holds)| match part {
            "" => (Cow::Borrowed(name), holds),
            part => (Cow::Owned(format!("{name}_{part}")), holds),
        })
    }
}

/// The name of the column that has the time of the column `name` as text, in the views and in exported files.
#[must_use]
pub fn iso(name: &str) -> String {
    if name == "time" { "iso".to_owned() } else { format!("{name}_iso") }
}

/// A table of rows: the columns of a record. Those that say where a row came from follow them, in every table the same.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Table {
    /// The name of the table, and of the collection.
    pub name: &'static str,
    /// Its columns, the key first.
    pub columns: &'static [Column],
    /// So many of the first columns are the key.
    pub key: usize,
    /// So many of the first columns are the same in all rows of one stream.
    pub of_stream: usize,
    /// The column by which the better of two versions of a row is known, until the row is final: the one with more wins.
    /// Of other tables the first row of a key stays.
    pub version: Option<&'static str>,
}

impl Table {
    /// The columns of the key.
    #[must_use]
    pub fn key(&self) -> &'static [Column] {
        self.columns.get(..self.key).unwrap_or_default()
    }

    /// The columns beside the key.
    #[must_use]
    pub fn values(&self) -> &'static [Column] {
        self.columns.get(self.key..).unwrap_or_default()
    }

    /// Whether the rows of a stream lie coin by coin. Those of users lie in the order of their times.
    #[must_use]
    pub fn is_by_coin(&self) -> bool {
        self.key().iter().take_while(|column| column.holds != Holds::Time).any(|column| column.name == "coin")
    }

    /// Those columns of the key that have the same value in all rows of one stream.
    #[must_use]
    pub fn of_stream(&self) -> &'static [Column] {
        self.columns.get(..self.of_stream).unwrap_or_default()
    }

    /// Those columns of the key that tell the rows of one stream apart, in the order of its rows.
    #[must_use]
    pub fn of_row(&self) -> &'static [Column] {
        self.columns.get(self.of_stream..self.key).unwrap_or_default()
    }
}

/// A record as a row. Made by the macro `record!`.
pub trait Row: Sized {
    /// Where it lies.
    const TABLE: Table;

    /// Hands out the value of each column, in their order.
    fn write(&self, put: impl FnMut(&'static Column, Value<'_>));

    /// The inverse of [`Row::write`]: asks for each column once, in their order. When it was received is not among them.
    ///
    /// # Errors
    /// What `cells` says of a value that no column of this table holds.
    fn read<C: Cells>(cells: &mut C) -> Result<Self, C::Error>;

    /// Whether each value fits into its column.
    fn fits(&self) -> bool;

    /// Its time, ms.
    fn time(&self) -> TimeMs;

    /// Gives it another time, ms.
    fn set_time(&mut self, time: TimeMs);

    /// When it was received, and its place among the rows of its time: columns that every table has.
    fn arrival(&self) -> Arrival;

    /// Says when it was received, and its place.
    fn set_arrival(&mut self, arrival: Arrival);
}

/// Declares a record: a struct whose public fields are the columns of its table. Those in `stream` are the same in all rows
/// of one stream, those in `row` are the rest of its key, and one of them is `time`. What a field's comment says is what its column means. After
/// `versions by` stands the column by which the better of two versions of a row is known.
macro_rules! record {
    (
        $(#[$meta:meta])*
        pub struct $record:ident in $table:literal $(versions by $version:literal)? {
            stream { $($(#[doc = $stream_doc:literal])+ $stream:ident: $stream_type:ty,)* }
            row { $($(#[doc = $row_doc:literal])+ $row:ident: $row_type:ty,)+ }
            $($(#[doc = $doc:literal])+ $field:ident: $type:ty,)+
        }
    ) => {
        $(#[$meta])*
        pub struct $record {
            $($(#[doc = $stream_doc])+ pub $stream: $stream_type,)*
            $($(#[doc = $row_doc])+ pub $row: $row_type,)+
            $($(#[doc = $doc])+ pub $field: $type,)+
            /// When it was received, and its place among the rows of its time.
            #[serde(default, skip_serializing_if = "crate::row::Arrival::is_unknown")]
            pub arrival: $crate::row::Arrival,
        }

        impl $crate::row::Row for $record {
            const TABLE: $crate::row::Table = {
                const OF_STREAM: &[&str] = &[$(stringify!($stream)),*];
                const OF_ROW: &[&str] = &[$(stringify!($row)),+];
                $crate::row::Table {
                    name: $table,
                    columns: &[
                        $($crate::row::record!(@column $stream_type, $stream, $($stream_doc)+),)*
                        $($crate::row::record!(@column $row_type, $row, $($row_doc)+),)+
                        $($crate::row::record!(@column $type, $field, $($doc)+),)+
                    ],
                    key: OF_STREAM.len() + OF_ROW.len(),
                    of_stream: OF_STREAM.len(),
                    version: $crate::row::record!(@version $($version)?),
                }
            };

            fn write(&self, mut put: impl FnMut(&'static $crate::row::Column, $crate::row::Value<'_>)) {
                use $crate::row::Cell as _;
                $(put(const { &$crate::row::record!(@column $stream_type, $stream, $($stream_doc)+) }, self.$stream.value());)*
                $(put(const { &$crate::row::record!(@column $row_type, $row, $($row_doc)+) }, self.$row.value());)+
                $(put(const { &$crate::row::record!(@column $type, $field, $($doc)+) }, self.$field.value());)+
            }

            fn read<C: $crate::row::Cells>(cells: &mut C) -> Result<Self, C::Error> {
                use $crate::row::Cell as _;
                Ok(Self {
                    $($stream: <$stream_type>::read(
                        cells,
                        const { &$crate::row::record!(@column $stream_type, $stream, $($stream_doc)+) },
                    )?,)*
                    $($row: <$row_type>::read(
                        cells,
                        const { &$crate::row::record!(@column $row_type, $row, $($row_doc)+) },
                    )?,)+
                    $($field: <$type>::read(
                        cells,
                        const { &$crate::row::record!(@column $type, $field, $($doc)+) },
                    )?,)+
                    arrival: $crate::row::Arrival::default(),
                })
            }

            fn fits(&self) -> bool {
                use $crate::row::Cell as _;
                true $(&& self.$stream.fits())* $(&& self.$row.fits())+ $(&& self.$field.fits())+
            }

            fn time(&self) -> $crate::TimeMs {
                self.time
            }

            fn set_time(&mut self, time: $crate::TimeMs) {
                self.time = time;
            }

            fn arrival(&self) -> $crate::row::Arrival {
                self.arrival
            }

            fn set_arrival(&mut self, arrival: $crate::row::Arrival) {
                self.arrival = arrival;
            }
        }
    };
    (@column $type:ty, $name:ident, $($doc:literal)+) => {
        $crate::row::Column::of::<$type>(stringify!($name), concat!($($doc),+))
    };
    (@version) => { None };
    (@version $version:literal) => { Some($version) };
}
pub(crate) use record;
