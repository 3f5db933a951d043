//! Rows of any kind in a table: the SQL of each table, made once from its columns, binding a row, and reading one.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::num::NonZeroI64;
use std::rc::Rc;

use hl_core::archive::Provenance;
use hl_core::record::{Level, Record};
use hl_core::row::{Arrival, Cells, Column, Holds, Table, Value, hex, iso};
use hl_core::{Decimal, Epoch, Origin, StreamKey, TimeMs};
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef};
use rusqlite::{Row, Statement, ToSql};

use super::{Stamp, word};

/// The column that says whether a row can change no more, of tables whose rows have versions.
const FINAL: &str = "final";
/// The columns that every table has behind its own, and what they are in SQL.
const FROM: [(&str, &str); 4] =
    [("source", "TEXT NOT NULL"), ("epoch", "INTEGER NOT NULL"), ("received", "INTEGER"), ("seq", "INTEGER")];

/// The statements of a table.
pub(super) struct Sql {
    /// Inserts a row. One that is there stays, unless the new one is better, or the old one was imported.
    pub(super) insert: String,
    /// Inserts a row. One that is there stays.
    pub(super) add: String,
    /// Deletes a row that is in every column what is bound.
    pub(super) delete: String,
    /// Selects every column; what follows is a condition.
    pub(super) select: String,
    /// Selects the row of a key, which is bound in the order of its columns.
    pub(super) by_key: String,
}

/// The statements of the table of a record: made once.
pub(super) fn sql<T: Record>() -> Rc<Sql> {
    thread_local! {
        static SQL: RefCell<BTreeMap<&'static str, Rc<Sql>>> = const { RefCell::new(BTreeMap::new()) };
    }
    let of_table = |known: &mut BTreeMap<_, Rc<Sql>>| {
        Rc::clone(known.entry(T::TABLE.name).or_insert_with(|| Rc::new(Sql::of(&T::TABLE))))
    };
    SQL.with_borrow_mut(of_table)
}

/// The columns of a table, in the order in which they are bound and read.
fn columns(table: &Table) -> Vec<String> {
    let own = table.columns.iter().flat_map(Column::flat).map(|(name, _)| name.into_owned());
    let is_final = table.version.map(|_| FINAL.to_owned());
    own.chain(is_final).chain(FROM.map(|(name, _)| name.to_owned())).collect()
}

impl Sql {
    fn of(table: &Table) -> Self {
        let Table { name, key, .. } = *table;
        let columns = columns(table);
        let bound: Vec<_> = (1..=columns.len()).map(|at| format!("?{at}")).collect();
        let into =
            format!("INSERT INTO {name} ({}) VALUES ({}) ON CONFLICT", columns.join(", "), bound.join(", "));
        let set: Vec<_> =
            columns[key..].iter().map(|column| format!("{column} = excluded.{column}")).collect();
        let is = |(at, column): (usize, &String)| {
            format!("{column} {} ?{}", if at < key { "=" } else { "IS" }, at + 1)
        };
        let same: Vec<_> = columns.iter().enumerate().map(is).collect();
        let select = format!("SELECT {} FROM {name} WHERE", columns.join(", "));
        Self {
            insert: format!(
                "{into} DO UPDATE SET {} WHERE source = 'import' OR {}",
                set.join(", "),
                table.version.map_or_else(|| "FALSE".to_owned(), |version| better(table, version))
            ),
            add: format!("{into} DO NOTHING"),
            delete: format!("DELETE FROM {name} WHERE {}", same.join(" AND ")),
            by_key: format!("{select} {}", same[..key].join(" AND ")),
            select,
        }
    }
}

/// When a version of a row is better than the one that is there: it has more, or other values of as many.
fn better(table: &Table, version: &str) -> String {
    let names = table.values().iter().flat_map(Column::flat).map(|(name, _)| name.into_owned());
    let values: Vec<_> = names.filter(|name| name != version).collect();
    let new: Vec<_> = values.iter().map(|name| format!("excluded.{name}")).collect();
    format!(
        "{FINAL} = 0 AND (excluded.{version} > {version} OR excluded.{version} = {version} AND ({}) IS NOT ({}))",
        values.join(", "),
        new.join(", ")
    )
}

/// Runs a statement with every column bound; returns how many rows changed.
pub(super) fn put<T: Record>(
    row: &T,
    statement: &mut Statement<'_>,
    stamp: Stamp,
) -> rusqlite::Result<usize> {
    let mut at = bind(row, T::TABLE.columns.len(), statement)?;
    let mut next = |value: &dyn ToSql| {
        at += 1;
        statement.raw_bind_parameter(at, value)
    };
    if T::TABLE.version.is_some() {
        next(&stamp.is_final)?;
    }
    next(&stamp.origin.as_str())?;
    next(&stamp.epoch.to_i64())?;
    let Arrival { received, seq } = row.arrival();
    next(&received.map(NonZeroI64::get))?;
    next(&seq)?;
    statement.raw_execute()
}

/// Binds the first `columns` columns of a row; returns how many values that are.
fn bind<T: Record>(row: &T, columns: usize, statement: &mut Statement<'_>) -> rusqlite::Result<usize> {
    let (mut at, mut left, mut bound) = (0, columns, Ok(()));
    row.write(|column, value| {
        if left == 0 {
            return;
        }
        left -= 1;
        value.flat(column, |value| {
            at += 1;
            if bound.is_ok() {
                bound = statement.raw_bind_parameter(at, Bound(value));
            }
        });
    });
    bound.map(|()| at)
}

/// The row that is stored under the key of another one, where it can change no more.
pub(super) fn stored_under<T: Record>(row: &T, statement: &mut Statement<'_>) -> rusqlite::Result<Option<T>> {
    bind(row, T::TABLE.key, statement)?;
    let mut found = statement.raw_query();
    match found.next()? {
        Some(found) => {
            let (row, is_final, _) = get::<T>(found)?;
            Ok(is_final.then_some(row))
        }
        None => Ok(None),
    }
}

/// A row, whether it can change no more, and where it came from.
pub(super) fn get<T: Record>(row: &Row<'_>) -> rusqlite::Result<(T, bool, Provenance)> {
    let mut cells = Stored { row, at: 0 };
    let mut record = T::read(&mut cells)?;
    let is_final = T::TABLE.version.is_none() || row.get(cells.next())?;
    let origin = word(row, cells.next(), Origin::parse)?;
    let epoch = Epoch::from_i64(row.get(cells.next())?);
    let received = row.get::<_, Option<i64>>(cells.next())?.and_then(NonZeroI64::new);
    record.set_arrival(Arrival { received, seq: row.get(cells.next())? });
    Ok((record, is_final, Provenance { origin, epoch }))
}

/// Of the rows of a stream the settled ones: bars that may still change are left out.
pub(in crate::sqlite) fn settled(stream: StreamKey) -> &'static str {
    if stream.spec().table.version.is_some() { "final = 1" } else { "TRUE" }
}

/// A value as SQLite has it: decimals and bytes as text, levels as JSON.
struct Bound<'a>(Value<'a>);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self.0 {
            Value::Null | Value::Level(_) => ToSqlOutput::Borrowed(ValueRef::Null),
            Value::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
            Value::Hex(bytes) => ToSqlOutput::Owned(hex(bytes).into()),
            Value::Time(TimeMs(number)) | Value::Int(number) => ToSqlOutput::Owned(number.into()),
            Value::Count(number) => ToSqlOutput::Owned(number.into()),
            Value::Decimal(number) => ToSqlOutput::Owned(number.to_string().into()),
            Value::Levels(levels) => ToSqlOutput::Owned(levels_to_json(levels).into()),
        })
    }
}

/// The cells of a row, in the order of its columns.
struct Stored<'a> {
    row: &'a Row<'a>,
    at: usize,
}

impl Stored<'_> {
    fn next(&mut self) -> usize {
        self.at += 1;
        self.at - 1
    }
}

impl Cells for Stored<'_> {
    type Error = rusqlite::Error;

    fn text<T>(&mut self, _: &'static Column, parse: impl FnOnce(&str) -> Option<T>) -> rusqlite::Result<T> {
        word(self.row, self.next(), parse)
    }

    fn text_or_null(&mut self, _: &'static Column) -> rusqlite::Result<Option<Box<str>>> {
        self.row.get(self.next())
    }

    fn time(&mut self, _: &'static Column) -> rusqlite::Result<TimeMs> {
        self.row.get(self.next()).map(TimeMs)
    }

    fn int(&mut self, _: &'static Column) -> rusqlite::Result<i64> {
        self.row.get(self.next())
    }

    fn int_or_null(&mut self, _: &'static Column) -> rusqlite::Result<Option<i64>> {
        self.row.get(self.next())
    }

    fn count(&mut self, _: &'static Column) -> rusqlite::Result<Option<u32>> {
        self.row.get(self.next())
    }

    fn decimal(&mut self, _: &'static Column) -> rusqlite::Result<Option<Decimal>> {
        self.row.get::<_, Option<Text>>(self.next()).map(|text| text.map(|text| text.0))
    }

    fn levels(&mut self, _: &'static Column) -> rusqlite::Result<Box<[Level]>> {
        word(self.row, self.next(), levels_of_json)
    }

    fn wrong(&self, column: &'static Column) -> rusqlite::Error {
        let (at, unknown) = (self.at - 1, format!("{} is not what this program writes there", column.name));
        let found = self.row.get_ref(at).map_or(rusqlite::types::Type::Null, |value| value.data_type());
        rusqlite::Error::FromSqlConversionFailure(at, found, unknown.into())
    }
}

/// An exact decimal as text.
pub(super) struct Text(pub(super) Decimal);

impl FromSql for Text {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_str()?.parse().map(Self).map_err(FromSqlError::other)
    }
}

/// `[["66410.0","1.99792",6],…]`: price, size, number of orders.
fn levels_to_json(levels: &[Level]) -> String {
    use std::fmt::Write as _;
    let mut json = String::with_capacity(2 + 32 * levels.len());
    json.push('[');
    for (i, level) in levels.iter().enumerate() {
        let comma = if i == 0 { "" } else { "," };
        // Writing to a String does not fail, and neither text can hold anything to escape.
        let _ = write!(json, "{comma}[\"{}\",\"{}\",{}]", level.px, level.sz, level.n);
    }
    json.push(']');
    json
}

fn levels_of_json(json: &str) -> Option<Box<[Level]>> {
    let levels: Vec<(Decimal, Decimal, u32)> = serde_json::from_str(json).ok()?;
    Some(levels.into_iter().map(|(px, sz, n)| Level { px, sz, n }).collect())
}

/// The SQL that makes the table of a kind and its view, as its record describes them.
pub(in crate::sqlite) fn definition(table: &Table) -> String {
    let (mut made, mut seen) = (Vec::new(), Vec::new());
    for column in table.columns {
        for (name, holds) in column.flat() {
            let (sql, number) = match holds {
                Holds::Time | Holds::Int | Holds::Count => ("INTEGER", name.to_string()),
                Holds::Decimal => ("TEXT", format!("CAST({name} AS REAL) AS {name}")),
                Holds::Text | Holds::Level | Holds::Levels => ("TEXT", name.to_string()),
            };
            let null = if column.nullable { "" } else { " NOT NULL" };
            made.push(format!("{name} {sql}{null}"));
            if holds == Holds::Time {
                seen.push(format!(
                    "strftime('%Y-%m-%dT%H:%M:%fZ', {name} / 1000.0, 'unixepoch') AS {}",
                    iso(&name)
                ));
            }
            seen.push(number);
        }
    }
    if table.version.is_some() {
        made.push(format!("{FINAL} INTEGER NOT NULL"));
        seen.push(FINAL.to_owned());
    }
    made.extend(FROM.map(|(name, sql)| format!("{name} {sql}")));
    seen.extend(FROM.map(|(name, _)| name.to_owned()));
    let key: Vec<_> = table.key().iter().map(|column| column.name).collect();
    let Table { name, .. } = table;
    format!(
        "CREATE TABLE {name} ({}, PRIMARY KEY ({})) STRICT, WITHOUT ROWID;
         CREATE VIEW {name}_num AS SELECT {} FROM {name};",
        made.join(", "),
        key.join(", "),
        seen.join(", ")
    )
}
