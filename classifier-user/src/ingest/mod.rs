//! Tables from files and from the binary itself.
//!
//! Reading order: [`load`] (which file is it), [`format`](mod@format) (what a format is), the modules of the formats
//! (one each), [`collect`](Collector) (from lines to routes). [`snapshot`] is the compact format of the built-in
//! table, [`export`] writes tables.

mod asn_txt;
mod asns_csv;
pub mod bgp;
pub mod bmp;
pub mod builtin;
pub(crate) mod cidr;
mod collect;
mod error;
pub mod export;
mod format;
mod input;
mod iptoasn;
pub mod live;
mod mmdb;
mod mrt;
mod networks_lst;
mod overrides;
mod pfx2as;
mod prefix_csv;
mod pyasn;
mod ranges;
mod report;
pub mod set;
pub mod snapshot;
mod text;
pub mod well_known;

use std::{
    convert::Infallible,
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use jiff::Timestamp;

use self::{
    collect::Collector,
    input::{Input, Recognised},
};
pub use self::{
    error::{Compression, IngestError, LineProblem, MrtProblem},
    format::Format,
    input::Progress,
    report::{LoadReport, Notice},
};
use crate::{
    model::Prefix,
    table::{names::Names, origins::Origins},
};

/// Which table to load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TableSpec {
    /// The snapshot in the binary.
    Builtin,
    /// A file, whose format is recognised by its content.
    File(PathBuf),
}

impl FromStr for TableSpec {
    type Err = Infallible;

    /// `builtin`, or a path (`./builtin` for a file of that name).
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text {
            "builtin" => Self::Builtin,
            path => Self::File(path.into()),
        })
    }
}

impl fmt::Display for TableSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Builtin => f.write_str("builtin"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// How to load.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoadOptions {
    /// Whether a line that cannot be read is counted and left out, rather than an error.
    pub skip_bad_lines: bool,
}

/// A loaded table: the routes of one source.
#[derive(Clone, Debug)]
pub struct SourceTable {
    /// `builtin`, or the path as given.
    pub name: String,
    /// What sort of table it is.
    pub kind: Format,
    /// How old the data is: what the file says of itself, else when it was last written.
    pub date: Option<Timestamp>,
    /// Ascending by address, then by length; each prefix once. Empty where the file only has names.
    pub routes: Vec<(Prefix, Origins)>,
    /// What the table calls ASes.
    pub names: Names,
    /// What was noticed.
    pub report: LoadReport,
}

/// Loads a table. `progress` is called now and then with how much of the file was read.
///
/// # Errors
/// [`IngestError`]; the message names the file, and the line where there is one.
pub fn load(
    spec: &TableSpec,
    options: &LoadOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<SourceTable, IngestError> {
    match spec {
        TableSpec::Builtin => builtin::load(),
        TableSpec::File(path) => load_file(path, options, progress),
    }
}

/// Loads a file of overrides: lines of `prefix asn [name]`. Unlike a table it may be empty.
///
/// # Errors
/// [`IngestError`]; the message names the file, and the line where there is one.
pub fn load_overrides(path: &Path, options: &LoadOptions) -> Result<SourceTable, IngestError> {
    let mut ignore = |_: Progress| {};
    let input = match Input::open(path, &mut ignore) {
        Ok(input) => input,
        Err(IngestError::Empty { .. }) => {
            return Ok(Collector::default().table(path, Format::Override, None));
        }
        Err(error) => return Err(error),
    };
    let date = input.modified;
    let mut collector = Collector::default();
    format::read_lines(input, &overrides::FORMAT, options, &mut collector)?;
    collector.finish(path, options)?;
    Ok(collector.table(path, Format::Override, date))
}

fn load_file(
    path: &Path,
    options: &LoadOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<SourceTable, IngestError> {
    let input = Input::open(path, progress)?;
    match input.recognise()? {
        Recognised::Snapshot => snapshot::load(input),
        Recognised::Mrt => mrt::load(input, options),
        Recognised::Mmdb => mmdb::load(input, options),
        Recognised::Lines(format) => {
            let date = input.modified;
            let mut collector = Collector::default();
            format::read_lines(input, format, options, &mut collector)?;
            collector.finish(path, options)?;
            let table = collector.table(path, format.format, date);
            if table.routes.is_empty() && table.names.is_empty() {
                return Err(IngestError::Empty { file: path.into() });
            }
            Ok(table)
        }
    }
}

#[cfg(test)]
mod tests;
