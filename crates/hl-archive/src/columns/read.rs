//! Columns back to rows.

use std::borrow::Cow;
use std::num::NonZeroI64;

use hl_core::archive::{Provenance, StoredRows};
use hl_core::record::{Level, Record};
use hl_core::row::{Arrival, Cells, Column};
use hl_core::{Decimal, Epoch, Origin, StreamKey, TimeMs, for_kind};

use super::{Values, described};
use crate::error::Unreadable;

/// The inverse of [`columns`](super::columns), of columns that are asked for by their names and have the same length each.
/// Parts of earlier releases lack columns that have the same value in all rows of a stream, and when a row was received;
/// `column` gives nothing for them.
pub(crate) fn rows(
    stream: StreamKey,
    column: impl Fn(&str) -> Result<Option<Values>, Unreadable>,
) -> Result<StoredRows, Unreadable> {
    for_kind!(stream.kind(), T => rows_of::<T>(stream, column))
}

fn rows_of<T: Record>(
    stream: StreamKey,
    column: impl Fn(&str) -> Result<Option<Values>, Unreadable>,
) -> Result<StoredRows, Unreadable> {
    let there = |name: &str| column(name)?.ok_or_else(|| Unreadable::Column(name.to_owned()));
    let (Values::Text(origins), Values::Int(epochs)) = (there("source")?, there("epoch")?) else {
        return Err(Unreadable::Column("source".to_owned()));
    };
    let mut columns = Vec::new();
    for (name, ..) in described(&T::TABLE) {
        let fixed = || stream.fixed().find(|(fixed, _)| fixed.name == name);
        let values = match (column(&name)?, fixed()) {
            (Some(values), _) => values,
            (None, Some((_, value))) => Values::Text(vec![Cow::Borrowed(value); epochs.len()]),
            (None, None) => return Err(Unreadable::Column(name.into_owned())),
        };
        columns.push(values);
    }
    let (received, seq) = (column("received")?, column("seq")?);
    let arrival = |row: usize| Arrival {
        received: match &received {
            Some(Values::Nanos(all)) => all.get(row).copied().flatten().and_then(NonZeroI64::new),
            _ => None,
        },
        seq: match &seq {
            Some(Values::Count(all)) => all.get(row).copied().flatten(),
            _ => None,
        },
    };
    let (mut records, mut provenance) = (Vec::new(), Vec::new());
    for (row, (origin, epoch)) in origins.iter().zip(epochs).enumerate() {
        let mut record = T::read(&mut Row { columns: &columns, row, next: 0 })?;
        record.set_arrival(arrival(row));
        records.push(record);
        let origin = Origin::parse(origin).ok_or_else(|| Unreadable::Value("source".to_owned()))?;
        provenance.push(Provenance { origin, epoch: Epoch::from_i64(epoch) });
    }
    Ok(StoredRows { records: T::list(records), provenance })
}

/// The cells of one row.
struct Row<'a> {
    columns: &'a [Values],
    row: usize,
    next: usize,
}

impl<'a> Row<'a> {
    fn next<T>(
        &mut self,
        column: &'static Column,
        of: impl FnOnce(&'a Values) -> Option<&'a [T]>,
    ) -> Result<&'a T, Unreadable> {
        let values = self.columns.get(self.next).and_then(of);
        self.next += 1;
        values
            .ok_or_else(|| Unreadable::Column(column.name.to_owned()))?
            .get(self.row)
            .ok_or_else(|| self.wrong(column))
    }
}

impl Cells for Row<'_> {
    type Error = Unreadable;

    fn text<T>(
        &mut self,
        column: &'static Column,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, Unreadable> {
        let text = self.next(column, |values| match values {
            Values::Text(all) => Some(all.as_slice()),
            _ => None,
        })?;
        parse(text).ok_or_else(|| self.wrong(column))
    }

    fn text_or_null(&mut self, column: &'static Column) -> Result<Option<Box<str>>, Unreadable> {
        let text = self.next(column, |values| match values {
            Values::TextOrNull(all) => Some(all.as_slice()),
            _ => None,
        });
        text.cloned()
    }

    fn time(&mut self, column: &'static Column) -> Result<TimeMs, Unreadable> {
        let time = self.next(column, |values| match values {
            Values::Time(all) => Some(all.as_slice()),
            _ => None,
        });
        time.copied()
    }

    fn int(&mut self, column: &'static Column) -> Result<i64, Unreadable> {
        let number = self.next(column, |values| match values {
            Values::Int(all) => Some(all.as_slice()),
            _ => None,
        });
        number.copied()
    }

    fn int_or_null(&mut self, column: &'static Column) -> Result<Option<i64>, Unreadable> {
        let number = self.next(column, |values| match values {
            Values::IntOrNull(all) => Some(all.as_slice()),
            _ => None,
        });
        number.copied()
    }

    fn count(&mut self, column: &'static Column) -> Result<Option<u32>, Unreadable> {
        let number = self.next(column, |values| match values {
            Values::Count(all) => Some(all.as_slice()),
            _ => None,
        });
        number.copied()
    }

    fn decimal(&mut self, column: &'static Column) -> Result<Option<Decimal>, Unreadable> {
        let (at, row) = (self.next, self.row);
        self.next += 1;
        let number = match self.columns.get(at) {
            Some(Values::Decimal(all)) => all.get(row).copied().map(Some),
            Some(Values::DecimalOrNull(all)) => all.get(row).copied(),
            _ => return Err(Unreadable::Column(column.name.to_owned())),
        };
        number.ok_or_else(|| self.wrong(column))
    }

    fn levels(&mut self, column: &'static Column) -> Result<Box<[Level]>, Unreadable> {
        let levels = self.next(column, |values| match values {
            Values::Levels(all) => Some(all.as_slice()),
            _ => None,
        });
        levels.cloned()
    }

    fn wrong(&self, column: &'static Column) -> Unreadable {
        Unreadable::Value(column.name.to_owned())
    }
}
