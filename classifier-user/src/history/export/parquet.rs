//! Parquet, compressed with zstd: times are timestamps (UTC, milliseconds), numbers are 64 bits, text is UTF-8.

use std::{io::Write, sync::Arc};

use parquet::{
    basic::{Compression, ZstdLevel},
    column::writer::ColumnWriter,
    data_type::ByteArray,
    errors::ParquetError,
    file::{
        properties::WriterProperties,
        writer::{SerializedFileWriter, SerializedRowGroupWriter},
    },
    schema::parser::parse_message_type,
};

use super::{Column, ExportError, Sink, Value};

/// Rows of a row group: a few megabytes.
const GROUP: usize = 1 << 17;

/// Writes Parquet.
pub struct ParquetSink<W: Write + Send> {
    writer: SerializedFileWriter<W>,
    columns: Vec<Cells>,
    rows: usize,
}

/// What is written of a column when enough has come.
enum Cells {
    Numbers(Vec<i64>),
    Text(Vec<ByteArray>),
    /// Which rows have one, and those.
    Names(Vec<i16>, Vec<ByteArray>),
}

impl<W: Write + Send> ParquetSink<W> {
    /// Writes the head.
    ///
    /// # Errors
    /// [`ExportError::Parquet`].
    pub fn new(out: W, columns: &[Column]) -> Result<Self, ExportError> {
        let fields: String = columns.iter().map(|&column| field(column)).collect();
        let schema = parse_message_type(&format!("message history {{ {fields} }}"))?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
            .set_created_by(concat!("classifier ", env!("CARGO_PKG_VERSION")).to_owned());
        let writer = SerializedFileWriter::new(out, Arc::new(schema), Arc::new(properties.build()))?;
        let columns = columns.iter().map(|&column| match kind(column) {
            Sort::Time | Sort::Number => Cells::Numbers(Vec::new()),
            Sort::Text => Cells::Text(Vec::new()),
            Sort::Name => Cells::Names(Vec::new(), Vec::new()),
        });
        Ok(Self { writer, columns: columns.collect(), rows: 0 })
    }

    /// Writes what is left, and the end.
    ///
    /// # Errors
    /// [`ExportError::Parquet`].
    pub fn finish(mut self) -> Result<(), ExportError> {
        self.flush()?;
        self.writer.close()?;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), ExportError> {
        if self.rows == 0 {
            return Ok(());
        }
        let mut group = self.writer.next_row_group()?;
        for cells in &mut self.columns {
            write(&mut group, cells)?;
        }
        group.close()?;
        self.rows = 0;
        Ok(())
    }
}

fn write<W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    cells: &mut Cells,
) -> Result<(), ParquetError> {
    let other = || ParquetError::General("a column is not of its type".to_owned());
    let mut column = group.next_column()?.ok_or_else(other)?;
    match (column.untyped(), cells) {
        (ColumnWriter::Int64ColumnWriter(column), Cells::Numbers(numbers)) => {
            column.write_batch(numbers, None, None)?;
            numbers.clear();
        }
        (ColumnWriter::ByteArrayColumnWriter(column), Cells::Text(text)) => {
            column.write_batch(text, None, None)?;
            text.clear();
        }
        (ColumnWriter::ByteArrayColumnWriter(column), Cells::Names(there, text)) => {
            column.write_batch(text, Some(there), None)?;
            there.clear();
            text.clear();
        }
        _ => return Err(other()),
    }
    column.close()
}

impl<W: Write + Send> Sink for ParquetSink<W> {
    fn row(&mut self, row: &[Value<'_>]) -> Result<(), ExportError> {
        for (cells, value) in self.columns.iter_mut().zip(row) {
            match (cells, value) {
                (Cells::Numbers(numbers), Value::Time(time)) => numbers.push(time.as_millisecond()),
                (Cells::Numbers(numbers), Value::Number(number)) => numbers.push(number.cast_signed()),
                (Cells::Text(cells), Value::Text(text)) => cells.push((*text).into()),
                (Cells::Names(there, cells), Value::Text(text)) => {
                    there.push(1);
                    cells.push((*text).into());
                }
                (Cells::Names(there, _), Value::None) => there.push(0),
                _ => {
                    return Err(
                        ParquetError::General("a value is not of its column's type".to_owned()).into()
                    );
                }
            }
        }
        self.rows += 1;
        if self.rows == GROUP { self.flush() } else { Ok(()) }
    }
}

enum Sort {
    Time,
    Number,
    Text,
    Name,
}

const fn kind(column: Column) -> Sort {
    match column {
        Column::From | Column::To => Sort::Time,
        Column::CoveredSeconds
        | Column::Asn
        | Column::PacketsIpv4
        | Column::BytesIpv4
        | Column::PacketsIpv6
        | Column::BytesIpv6 => Sort::Number,
        Column::Link | Column::Role | Column::Direction | Column::Group | Column::Part | Column::Prefix => {
            Sort::Text
        }
        Column::Name => Sort::Name,
    }
}

/// A field of the schema. Counters have no bit to spare for a sign, and never need it.
fn field(column: Column) -> String {
    match kind(column) {
        Sort::Time => format!("required int64 {column} (TIMESTAMP(MILLIS,true)); "),
        Sort::Number => format!("required int64 {column}; "),
        Sort::Text => format!("required binary {column} (UTF8); "),
        Sort::Name => format!("optional binary {column} (UTF8); "),
    }
}
