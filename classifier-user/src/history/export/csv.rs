//! CSV: a header line, times in RFC 3339 (UTC), numbers as they are.

use std::io::Write;

use super::{Column, ExportError, Sink, Value};

/// Writes CSV.
pub struct CsvSink<W: Write>(csv::Writer<W>);

impl<W: Write> CsvSink<W> {
    /// Writes the header line.
    ///
    /// # Errors
    /// [`ExportError::Write`].
    pub fn new(out: W, columns: &[Column]) -> Result<Self, ExportError> {
        let mut writer = csv::Writer::from_writer(out);
        writer.write_record(columns.iter().map(|column| column.name())).map_err(error)?;
        Ok(Self(writer))
    }

    /// Writes what is left.
    ///
    /// # Errors
    /// [`ExportError::Write`].
    pub fn finish(mut self) -> Result<(), ExportError> {
        Ok(self.0.flush()?)
    }
}

impl<W: Write> Sink for CsvSink<W> {
    fn row(&mut self, row: &[Value<'_>]) -> Result<(), ExportError> {
        for value in row {
            match value {
                Value::Time(time) => self.0.write_field(time.to_string()),
                Value::Number(number) => self.0.write_field(number.to_string()),
                Value::Text(text) => self.0.write_field(text),
                Value::None => self.0.write_field(""),
            }
            .map_err(error)?;
        }
        self.0.write_record(None::<&[u8]>).map_err(error)
    }
}

fn error(error: csv::Error) -> ExportError {
    // What its own conversion makes of a pipe that was closed does not say so.
    ExportError::Write(match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        kind => std::io::Error::other(format!("{kind:?}")),
    })
}
