//! Rows on their way into a file of one format.

use std::io::{self, Write};

use hl_core::archive::StoredRows;
use hl_core::record::Level;
use hl_core::row::fields::{decimal_text as text, time_text as in_words};
use hl_core::{StreamKey, row};
use serde_json::{Map, Value, json};

use super::{Format, Numbers, Options};
use crate::ArchiveError;
use crate::columns::{Column, FloatLevel, Values, columns};
use crate::parquet_file::Writing;

/// Where rows are written.
pub(super) struct Sink<W: Write + Send> {
    form: Form<W>,
    numbers: Numbers,
}

enum Form<W: Write + Send> {
    Parquet(Box<Writing<W>>),
    Csv(Box<csv::Writer<W>>),
    Ndjson(W),
}

impl<W: Write + Send> Sink<W> {
    pub(super) fn begin(stream: StreamKey, options: Options, out: W) -> Result<Self, ArchiveError> {
        let none = written(&StoredRows::none(stream), options.numbers);
        let form = match options.format {
            Format::Parquet => {
                let writing = Writing::begin(out, stream, none).map_err(of_parquet)?;
                Form::Parquet(Box::new(writing))
            }
            Format::Csv => {
                let mut csv = csv::Writer::from_writer(out);
                csv.write_record(none.iter().flat_map(names_of)).map_err(of_csv)?;
                Form::Csv(Box::new(csv))
            }
            Format::Ndjson => Form::Ndjson(out),
        };
        Ok(Self { form, numbers: options.numbers })
    }

    pub(super) fn write(&mut self, rows: &StoredRows) -> Result<(), ArchiveError> {
        if rows.is_empty() {
            return Ok(());
        }
        let columns = written(rows, self.numbers);
        match &mut self.form {
            Form::Parquet(writing) => writing.write(columns).map_err(of_parquet),
            Form::Csv(csv) => {
                for at in 0..rows.len() {
                    let mut cells = Vec::new();
                    columns.iter().for_each(|column| cells_of(column, at, &mut cells));
                    csv.write_record(&cells).map_err(of_csv)?;
                }
                Ok(())
            }
            Form::Ndjson(out) => {
                for at in 0..rows.len() {
                    let mut object = Map::new();
                    columns.iter().for_each(|column| fields_of(column, at, &mut object));
                    let line = serde_json::to_string(&object).map_err(io::Error::other);
                    line.and_then(|line| writeln!(out, "{line}")).map_err(ArchiveError::Output)?;
                }
                Ok(())
            }
        }
    }

    pub(super) fn finish(self) -> Result<W, ArchiveError> {
        let mut out = match self.form {
            Form::Parquet(writing) => writing.finish().map_err(of_parquet)?,
            Form::Csv(csv) => csv.into_inner().map_err(|error| ArchiveError::Output(error.into_error()))?,
            Form::Ndjson(out) => out,
        };
        out.flush().map_err(ArchiveError::Output)?;
        Ok(out)
    }
}

/// The columns as they are written.
fn written(rows: &StoredRows, numbers: Numbers) -> Vec<Column> {
    let columns = columns(rows);
    match numbers {
        Numbers::Exact => columns,
        Numbers::Float => {
            let float = |Column { name, values }| Column { name, values: values.in_floats() };
            columns.into_iter().map(float).collect()
        }
    }
}

fn of_parquet(error: parquet::errors::ParquetError) -> ArchiveError {
    ArchiveError::Output(io::Error::other(error))
}

fn of_csv(error: csv::Error) -> ArchiveError {
    ArchiveError::Output(match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    })
}

fn names_of(column: &Column) -> Vec<String> {
    let name = column.name.to_string();
    match column.values {
        Values::Time(_) => vec![name, row::iso(&column.name)],
        _ => vec![name],
    }
}

fn levels(side: &[Level]) -> Value {
    let level = |level: &Level| json!({ "px": text(level.px), "sz": text(level.sz), "n": level.n });
    Value::Array(side.iter().map(level).collect())
}

fn float_levels(side: &[FloatLevel]) -> Value {
    let level = |level: &FloatLevel| json!({ "px": level.px, "sz": level.sz, "n": level.n });
    Value::Array(side.iter().map(level).collect())
}

fn cells_of(column: &Column, at: usize, cells: &mut Vec<String>) {
    match &column.values {
        Values::Text(all) => cells.push(all[at].to_string()),
        Values::TextOrNull(all) => cells.push(all[at].as_deref().unwrap_or_default().to_owned()),
        Values::Bool(all) => cells.push(all[at].to_string()),
        Values::Time(all) => cells.extend([all[at].to_string(), in_words(all[at])]),
        Values::Int(all) => cells.push(all[at].to_string()),
        Values::IntOrNull(all) => cells.push(all[at].map(|n| n.to_string()).unwrap_or_default()),
        Values::Nanos(all) => cells.push(all[at].map(|ns| ns.to_string()).unwrap_or_default()),
        Values::Count(all) => cells.push(all[at].map(|n| n.to_string()).unwrap_or_default()),
        Values::Decimal(all) => cells.push(text(all[at])),
        Values::DecimalOrNull(all) => cells.push(all[at].map(text).unwrap_or_default()),
        Values::Levels(all) => cells.push(levels(&all[at]).to_string()),
        // With a point also where the number is whole: readers guess a column's type from its first rows.
        Values::Float(all) => cells.push(format!("{:?}", all[at])),
        Values::FloatOrNull(all) => {
            cells.push(all[at].map(|number| format!("{number:?}")).unwrap_or_default())
        }
        Values::FloatLevels(all) => cells.push(float_levels(&all[at]).to_string()),
    }
}

fn fields_of(column: &Column, at: usize, object: &mut Map<String, Value>) {
    let value = match &column.values {
        Values::Text(all) => Value::from(&*all[at]),
        Values::TextOrNull(all) => Value::from(all[at].as_deref()),
        Values::Time(all) => {
            object.insert(column.name.to_string(), all[at].0.into());
            object.insert(row::iso(&column.name), in_words(all[at]).into());
            return;
        }
        Values::Bool(all) => all[at].into(),
        Values::Int(all) => all[at].into(),
        Values::IntOrNull(all) => all[at].into(),
        Values::Nanos(all) => all[at].into(),
        Values::Count(all) => all[at].into(),
        Values::Decimal(all) => text(all[at]).into(),
        Values::DecimalOrNull(all) => all[at].map(text).into(),
        Values::Levels(all) => levels(&all[at]),
        Values::Float(all) => all[at].into(),
        Values::FloatOrNull(all) => all[at].into(),
        Values::FloatLevels(all) => float_levels(&all[at]),
    };
    object.insert(column.name.to_string(), value);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_column_of_a_file_has_a_name_of_its_own() {
        let user = format!("0x{:040x}", 1);
        for kind in hl_core::Kind::ALL {
            let of_coin = kind.streams(&[hl_core::Coin::new("BTC").unwrap()], &[hl_core::Interval::M1]);
            let stream = of_coin.first().copied().or_else(|| kind.stream(Some(&user), None)).unwrap();
            let columns = columns(&StoredRows::none(stream));
            let names: Vec<_> = columns.iter().flat_map(names_of).collect();
            assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{stream}: {names:?}");
        }
    }
}
