//! All tables of a run together: what a command line or configuration asks for, loaded, with its precedence.

use std::path::PathBuf;

use super::{IngestError, LoadOptions, LoadReport, Progress, SourceTable, TableSpec, load, load_overrides};
use crate::{
    model::Asn,
    table::{
        names::Names,
        rib::{Change, Rib, SourceId},
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
}

impl Part {
    /// The file, where it is one.
    #[must_use]
    pub const fn file(&self) -> Option<&PathBuf> {
        match self {
            Self::Overrides(path) | Self::Names(path) | Self::Table(_, TableSpec::File(path)) => Some(path),
            Self::Table(_, TableSpec::Builtin) => None,
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
        }
    }

    const fn rank(&self) -> Option<SourceId> {
        match self {
            Self::Overrides(_) => Some(SourceId::OVERRIDE),
            Self::Table(id, _) => Some(*id),
            Self::Names(_) => None,
        }
    }
}

impl TableRequest {
    /// The parts to load. More tables than there are ranks share the last one.
    #[must_use]
    pub fn parts(&self) -> Vec<Part> {
        let tables = self.tables.iter().enumerate().map(|(place, spec)| {
            Part::Table(SourceId::file(place).unwrap_or(SourceId::BUILTIN), spec.clone())
        });
        let overrides = self.overrides.iter().cloned().map(Part::Overrides);
        let names = self.as_names.iter().cloned().map(Part::Names);
        overrides.chain(names).chain(tables).collect()
    }
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
    pub prefixes: u64,
    /// What was noticed.
    pub report: LoadReport,
    names: Names,
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
    /// [`IngestError`] of the first part that does not load.
    pub fn load(
        request: &TableRequest,
        mut progress: impl FnMut(&Part, Progress),
    ) -> Result<Self, IngestError> {
        let mut set = Self::default();
        for part in request.parts() {
            let table = part.load(&request.options, &mut |state| progress(&part, state))?;
            set.replace(part, table);
        }
        Ok(set)
    }

    /// Puts a part in, or in the place of what it had; says what that changed.
    pub fn replace(&mut self, part: Part, table: SourceTable) -> Vec<Change> {
        let source = Source {
            name: table.name,
            kind: table.kind.to_string(),
            date: table.date,
            prefixes: table.routes.len() as u64,
            report: table.report,
            names: table.names,
            part: part.clone(),
        };
        match self.sources.iter_mut().find(|known| known.part == part) {
            Some(known) => *known = source,
            None => self.sources.push(source),
        }
        part.rank().map_or_else(Vec::new, |rank| self.rib.replace_source(rank, table.routes))
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
