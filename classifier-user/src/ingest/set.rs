//! All tables of a run together: what a command line or configuration asks for, loaded, with its precedence.

use std::{fmt, path::PathBuf};

use super::{IngestError, LoadOptions, LoadReport, Progress, SourceTable, TableSpec, load, load_overrides};
use crate::{
    model::Asn,
    table::{
        names::Names,
        rib::{Change, PrefixCounts, Rib, SourceId},
    },
};

/// Which tables to load. The first of them goes before the second; overrides go before all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableRequest {
    /// Tables, in the order of their precedence.
    pub tables: Vec<TableSpec>,
    /// A file of static routes before all tables.
    pub overrides: Option<PathBuf>,
    /// Files with AS names, before the tables' own.
    pub as_names: Vec<PathBuf>,
    /// How files are read.
    pub options: LoadOptions,
}

/// What a part of a request is to the whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Static routes, with the rank before all others.
    Overrides(PathBuf),
    /// A table and its rank.
    Table(SourceId, TableSpec),
    /// Names only.
    Names(PathBuf),
    /// The built-in snapshot's names, for ASes that nothing else names.
    BuiltinNames,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.file() {
            Some(path) => path.display().fmt(f),
            None if *self == Self::BuiltinNames => f.write_str("builtin (names)"),
            None => f.write_str("builtin"),
        }
    }
}

impl Part {
    /// The file, where it is one.
    #[must_use]
    pub const fn file(&self) -> Option<&PathBuf> {
        match self {
            Self::Overrides(path) | Self::Names(path) | Self::Table(_, TableSpec::File(path)) => Some(path),
            Self::Table(_, TableSpec::Builtin) | Self::BuiltinNames => None,
        }
    }

    /// Loads it.
    ///
    /// # Errors
    /// [`IngestError`].
    pub fn load(
        &self,
        options: &LoadOptions,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<SourceTable, IngestError> {
        match self {
            Self::Overrides(path) => load_overrides(path, options),
            Self::Names(path) => load(&TableSpec::File(path.clone()), options, progress),
            Self::Table(_, spec) => load(spec, options, progress),
            Self::BuiltinNames => load(&TableSpec::Builtin, options, progress),
        }
    }

    const fn rank(&self) -> Option<SourceId> {
        match self {
            Self::Overrides(_) => Some(SourceId::OVERRIDE),
            Self::Table(id, _) => Some(*id),
            Self::Names(_) | Self::BuiltinNames => None,
        }
    }
}

impl TableRequest {
    /// The parts to load, in the order of their precedence. The built-in snapshot goes behind all files;
    /// where its routes are not asked for, its names still are.
    ///
    /// # Errors
    /// [`TooManyTables`].
    pub fn parts(&self) -> Result<Vec<Part>, TooManyTables> {
        let mut parts: Vec<Part> = self.overrides.iter().cloned().map(Part::Overrides).collect();
        parts.extend(self.as_names.iter().cloned().map(Part::Names));
        let (files, builtin): (Vec<_>, Vec<_>) =
            self.tables.iter().partition(|spec| **spec != TableSpec::Builtin);
        for (place, spec) in files.into_iter().enumerate() {
            let rank = SourceId::file(place).ok_or(TooManyTables)?;
            parts.push(Part::Table(rank, spec.clone()));
        }
        parts.push(match builtin.first() {
            Some(_) => Part::Table(SourceId::BUILTIN, TableSpec::Builtin),
            // A routing table names nobody.
            None => Part::BuiltinNames,
        });
        Ok(parts)
    }
}

/// More files than there are ranks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more than {} tables are given", SourceId::MAX_FILES)]
pub struct TooManyTables;

/// A set that could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum SetError {
    /// The request.
    #[error(transparent)]
    TooMany(#[from] TooManyTables),
    /// A part of it.
    #[error(transparent)]
    Part(#[from] IngestError),
}

/// A part that was loaded: what is kept of it beside its routes.
#[derive(Clone, Debug)]
pub struct Source {
    /// Which part.
    pub part: Part,
    /// `builtin`, or the path.
    pub name: String,
    /// What sort of table it is.
    pub kind: String,
    /// How old the data is.
    pub date: Option<jiff::Timestamp>,
    /// How many prefixes it has.
    pub prefixes: PrefixCounts,
    /// What was noticed.
    pub report: LoadReport,
    /// What it calls ASes.
    pub names: Names,
}

/// The routes of all parts, and what ASes are called.
#[derive(Debug, Default)]
pub struct TableSet {
    /// Routes.
    pub rib: Rib,
    /// The parts, in the order of their precedence.
    pub sources: Vec<Source>,
}

impl TableSet {
    /// Loads all parts of a request. `progress` is told which part and how far.
    ///
    /// # Errors
    /// [`SetError`]: that of the first part that does not load.
    pub fn load(request: &TableRequest, mut progress: impl FnMut(&Part, Progress)) -> Result<Self, SetError> {
        let mut set = Self::default();
        for part in request.parts()? {
            let table = part.load(&request.options, &mut |state| progress(&part, state))?;
            set.replace(part, table);
        }
        Ok(set)
    }

    /// Puts a part in, or in the place of what it had; says what that changed.
    pub fn replace(&mut self, part: Part, table: SourceTable) -> Vec<Change> {
        let changes = part.rank().map_or_else(Vec::new, |rank| self.rib.replace_source(rank, table.routes));
        let source = Source {
            name: part.to_string(),
            kind: table.kind.to_string(),
            date: table.date,
            prefixes: part.rank().map(|rank| self.rib.source_counts(rank)).unwrap_or_default(),
            report: table.report,
            names: table.names,
            part,
        };
        match self.sources.iter_mut().find(|known| known.part == source.part) {
            Some(known) => *known = source,
            None => self.sources.push(source),
        }
        changes
    }

    /// What ASes are called: overrides before name files before tables, the first table before the second.
    #[must_use]
    pub fn names(&self) -> Names {
        let mut names = Names::default();
        for source in self.sources.iter().rev() {
            for (asn, name) in source.names.iter() {
                names.insert(asn, name);
            }
        }
        names
    }

    /// The name of an AS, as [`TableSet::names`] would have it.
    #[must_use]
    pub fn name(&self, asn: Asn) -> Option<&str> {
        self.sources.iter().find_map(|source| source.names.get(asn))
    }

    /// The part with this rank.
    #[must_use]
    pub fn source(&self, rank: SourceId) -> Option<&Source> {
        self.sources.iter().find(|source| source.part.rank() == Some(rank))
    }
}
