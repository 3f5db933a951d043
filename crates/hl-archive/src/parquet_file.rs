//! Rows in Parquet files: columns to arrays and back, writing, and reading what lies in a piece of time.

use std::borrow::Cow;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{
    Decimal128Type, Int64Type, TimestampMillisecondType, TimestampNanosecondType, UInt32Type,
};
use arrow_array::{
    Array as _, ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int64Array, ListArray, RecordBatch,
    StringArray, StructArray, TimestampMillisecondArray, TimestampNanosecondArray, UInt32Array,
};
use arrow_buffer::OffsetBuffer;
use arrow_schema::{ArrowError, DataType, Field, Fields, Schema, TimeUnit};
use hl_core::archive::StoredRows;
use hl_core::ledger::Span;
use hl_core::record::Level;
use hl_core::{StreamKey, TimeMs};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, RowGroupMetaData};
use parquet::file::properties::WriterProperties;
use parquet::file::statistics::Statistics;

use crate::ArchiveError;
use crate::columns::{Column, DIGITS, SCALE, Values, rows, scaled, unscaled};
use crate::error::Unreadable;

/// Rows of a row group: what a reader that wants a few minutes has to decode at least.
const GROUP: usize = 16_384;
/// Rows that are decoded at once.
const BATCH: usize = 4_096;

fn decimal_type() -> DataType {
    DataType::Decimal128(DIGITS, SCALE.cast_signed().try_into().unwrap_or(0))
}

fn decimals(values: impl Iterator<Item = Option<i128>>) -> Result<ArrayRef, ArrowError> {
    let array = Decimal128Array::from_iter(values).with_data_type(decimal_type());
    Ok(Arc::new(array))
}

fn level_fields() -> Fields {
    level_fields_of(decimal_type())
}

fn level_fields_of(number: DataType) -> Fields {
    let field = |name, data_type| Field::new(name, data_type, false);
    [field("px", number.clone()), field("sz", number), field("n", DataType::UInt32)].into_iter().collect()
}

fn level_field() -> Arc<Field> {
    Arc::new(Field::new("element", DataType::Struct(level_fields()), false))
}

/// Numbers that do not fit become null, and that is an error of the column: whoever writes has left them out.
fn array(values: &Values) -> Result<ArrayRef, ArrowError> {
    Ok(match values {
        Values::Text(all) => Arc::new(StringArray::from_iter_values(all)),
        Values::TextOrNull(all) => Arc::new(StringArray::from_iter(all.iter().map(Option::as_deref))),
        Values::Bool(all) => Arc::new(BooleanArray::from(all.clone())),
        Values::Time(all) => {
            let ms = TimestampMillisecondArray::from_iter_values(all.iter().map(|time| time.0));
            Arc::new(ms.with_timezone("UTC"))
        }
        Values::Int(all) => Arc::new(Int64Array::from_iter_values(all.iter().copied())),
        Values::IntOrNull(all) => Arc::new(Int64Array::from_iter(all.iter().copied())),
        Values::Count(all) => Arc::new(UInt32Array::from_iter(all.iter().copied())),
        Values::Nanos(all) => {
            Arc::new(TimestampNanosecondArray::from_iter(all.iter().copied()).with_timezone("UTC"))
        }
        Values::Decimal(all) => decimals(all.iter().map(|number| scaled(*number)))?,
        Values::DecimalOrNull(all) => decimals(all.iter().map(|number| number.and_then(scaled)))?,
        Values::Levels(all) => {
            let levels = || all.iter().flat_map(|side| side.iter());
            let columns: Vec<ArrayRef> = vec![
                decimals(levels().map(|level| scaled(level.px)))?,
                decimals(levels().map(|level| scaled(level.sz)))?,
                Arc::new(UInt32Array::from_iter_values(levels().map(|level| level.n))),
            ];
            let levels = StructArray::try_new(level_fields(), columns, None)?;
            let offsets = OffsetBuffer::from_lengths(all.iter().map(|side| side.len()));
            Arc::new(ListArray::try_new(level_field(), offsets, Arc::new(levels), None)?)
        }
        Values::Float(all) => Arc::new(Float64Array::from_iter_values(all.iter().copied())),
        Values::FloatOrNull(all) => Arc::new(Float64Array::from_iter(all.iter().copied())),
        Values::FloatLevels(all) => {
            let levels = || all.iter().flat_map(|side| side.iter());
            let columns: Vec<ArrayRef> = vec![
                Arc::new(Float64Array::from_iter_values(levels().map(|level| level.px))),
                Arc::new(Float64Array::from_iter_values(levels().map(|level| level.sz))),
                Arc::new(UInt32Array::from_iter_values(levels().map(|level| level.n))),
            ];
            let fields = level_fields_of(DataType::Float64);
            let levels = StructArray::try_new(fields.clone(), columns, None)?;
            let offsets = OffsetBuffer::from_lengths(all.iter().map(|side| side.len()));
            let element = Arc::new(Field::new("element", DataType::Struct(fields), false));
            Arc::new(ListArray::try_new(element, offsets, Arc::new(levels), None)?)
        }
    })
}

fn may_be_null(values: &Values) -> bool {
    matches!(
        values,
        Values::TextOrNull(_)
            | Values::IntOrNull(_)
            | Values::Count(_)
            | Values::Nanos(_)
            | Values::DecimalOrNull(_)
            | Values::FloatOrNull(_)
    )
}

/// Columns as Arrow has them.
pub(crate) fn batch(columns: Vec<Column>) -> Result<RecordBatch, ArrowError> {
    let (mut fields, mut arrays) = (Vec::new(), Vec::new());
    for Column { name, values } in columns {
        let array = array(&values)?;
        fields.push(Field::new(name, array.data_type().clone(), may_be_null(&values)));
        arrays.push(array);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
}

/// Writes batches of one stream's rows.
pub(crate) struct Writing<W: Write + Send>(ArrowWriter<W>);

impl<W: Write + Send> Writing<W> {
    /// Begins a file of columns like these.
    pub(crate) fn begin(to: W, stream: StreamKey, columns: Vec<Column>) -> Result<Self, ParquetError> {
        let said = vec![KeyValue::new("stream".to_owned(), stream.to_string())];
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
            .set_max_row_group_row_count(Some(GROUP))
            .set_key_value_metadata(Some(said))
            .build();
        let schema = batch(columns)?.schema();
        Ok(Self(ArrowWriter::try_new(to, schema, Some(properties))?))
    }

    pub(crate) fn write(&mut self, columns: Vec<Column>) -> Result<(), ParquetError> {
        self.0.write(&batch(columns)?)
    }

    /// Writes the end of the file, and gives back what it was written to.
    pub(crate) fn finish(self) -> Result<W, ParquetError> {
        self.0.into_inner()
    }
}

/// The rows of a file, some thousand at a time.
pub(crate) struct Reading {
    path: PathBuf,
    stream: StreamKey,
    within: Span,
    batches: ParquetRecordBatchReader,
}

impl Reading {
    /// Opens a part of `stream`. Of the row groups those are read that may have rows inside the closed `within`.
    pub(crate) fn open(
        file: File,
        path: PathBuf,
        stream: StreamKey,
        within: Span,
    ) -> Result<Self, ArchiveError> {
        let failed = |source| ArchiveError::Parquet { step: "opening", path: path.clone(), source };
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(failed)?;
        let groups = builder.metadata().row_groups().iter().enumerate();
        let groups = groups.filter(|(_, group)| touches(group, within)).map(|(at, _)| at).collect();
        let batches = builder.with_row_groups(groups).with_batch_size(BATCH).build().map_err(failed)?;
        Ok(Self { path, stream, within, batches })
    }

    fn decode(&self, batch: &RecordBatch) -> Result<StoredRows, Unreadable> {
        let all = rows(self.stream, |name| column(batch, name))?;
        let keys = all.records.keys();
        if keys.iter().all(|key| self.within.contains(key.time)) {
            return Ok(all);
        }
        let inside: Vec<usize> = (0..keys.len()).filter(|&at| self.within.contains(keys[at].time)).collect();
        Ok(all.pick(&inside))
    }
}

impl Iterator for Reading {
    type Item = Result<StoredRows, ArchiveError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.batches.next()?;
        let content = |source| ArchiveError::Content { path: self.path.clone(), source };
        Some(match batch {
            Ok(batch) => self.decode(&batch).map_err(content),
            Err(error) => Err(content(Unreadable::Arrow(error.to_string()))),
        })
    }
}

fn touches(group: &RowGroupMetaData, within: Span) -> bool {
    let times = group.columns().iter().find(|column| column.column_path().string() == "time");
    match times.and_then(|column| column.statistics()) {
        Some(Statistics::Int64(of)) => match (of.min_opt(), of.max_opt()) {
            (Some(&min), Some(&max)) if min <= max => {
                Span { from: TimeMs(min), to: TimeMs(max) }.touches(within)
            }
            _ => true,
        },
        _ => true,
    }
}

/// A column by its name; none where the file has no such column. Those of a later release are left alone.
fn column(batch: &RecordBatch, name: &str) -> Result<Option<Values>, Unreadable> {
    let Ok(at) = batch.schema().index_of(name) else { return Ok(None) };
    values(name, batch.schema().field(at).is_nullable(), batch.column(at)).map(Some)
}

fn values(name: &str, nullable: bool, array: &ArrayRef) -> Result<Values, Unreadable> {
    let wrong = || Unreadable::Column(name.to_owned());
    if !nullable && array.null_count() > 0 {
        return Err(Unreadable::Value(name.to_owned()));
    }
    Ok(match array.data_type() {
        DataType::Utf8 => {
            let all = array.as_string_opt::<i32>().ok_or_else(wrong)?;
            if nullable {
                Values::TextOrNull(all.iter().map(|text| text.map(Into::into)).collect())
            } else {
                Values::Text(all.iter().map(|text| Cow::Owned(text.unwrap_or_default().to_owned())).collect())
            }
        }
        DataType::Boolean => {
            let all = array.as_boolean_opt().ok_or_else(wrong)?;
            Values::Bool(all.values().iter().collect())
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            let all = array.as_primitive_opt::<TimestampMillisecondType>().ok_or_else(wrong)?;
            Values::Time(all.values().iter().map(|ms| TimeMs(*ms)).collect())
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            let all = array.as_primitive_opt::<TimestampNanosecondType>().ok_or_else(wrong)?;
            Values::Nanos(all.iter().collect())
        }
        DataType::Int64 => {
            let all = array.as_primitive_opt::<Int64Type>().ok_or_else(wrong)?;
            match nullable {
                true => Values::IntOrNull(all.iter().collect()),
                false => Values::Int(all.values().to_vec()),
            }
        }
        DataType::UInt32 => {
            let all = array.as_primitive_opt::<UInt32Type>().ok_or_else(wrong)?;
            Values::Count(all.iter().collect())
        }
        found if *found == decimal_type() => {
            let all = array.as_primitive_opt::<Decimal128Type>().ok_or_else(wrong)?;
            let number = |number| unscaled(number).ok_or(Unreadable::Number(name.to_owned()));
            if nullable {
                Values::DecimalOrNull(
                    all.iter().map(|n| n.map(number).transpose()).collect::<Result<_, _>>()?,
                )
            } else {
                Values::Decimal(all.values().iter().map(|n| number(*n)).collect::<Result<_, _>>()?)
            }
        }
        DataType::List(_) => {
            let lists = array.as_list_opt::<i32>().ok_or_else(wrong)?;
            Values::Levels(lists.iter().map(|side| levels(name, side)).collect::<Result<_, _>>()?)
        }
        _ => return Err(wrong()),
    })
}

fn levels(name: &str, side: Option<ArrayRef>) -> Result<Box<[Level]>, Unreadable> {
    let wrong = || Unreadable::Column(name.to_owned());
    let side = side.ok_or(Unreadable::Value(name.to_owned()))?;
    let side = side.as_struct_opt().ok_or_else(wrong)?;
    let numbers = |column: &str| {
        let array = side.column_by_name(column).filter(|array| *array.data_type() == decimal_type());
        array.and_then(|array| array.as_primitive_opt::<Decimal128Type>()).ok_or_else(wrong)
    };
    let (px, sz) = (numbers("px")?, numbers("sz")?);
    let n = side.column_by_name("n").and_then(|array| array.as_primitive_opt::<UInt32Type>());
    let n = n.ok_or_else(wrong)?;
    let number = |number: i128| unscaled(number).ok_or(Unreadable::Number(name.to_owned()));
    let level =
        |((px, sz), n): ((&i128, &i128), &u32)| Ok(Level { px: number(*px)?, sz: number(*sz)?, n: *n });
    px.values().iter().zip(sz.values()).zip(n.values()).map(level).collect()
}
