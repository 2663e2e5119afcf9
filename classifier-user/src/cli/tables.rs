//! Loading tables for the commands that look into them by themselves.

use std::{collections::HashSet, io::IsTerminal as _, path::PathBuf, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::{CliError, args::TableArgs};
use crate::{
    config::{self, ConfigError, TableSpec},
    ingest::{self, LoadOptions, SourceTable},
    table::{
        names::Names,
        rib::{Rib, SourceId},
    },
};

/// Files that load faster than this show no progress.
const PROGRESS_AFTER: Duration = Duration::from_millis(500);

/// Which tables, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// Never empty; the first before the second.
    pub(super) tables: Vec<TableSpec>,
    pub(super) overrides: Option<PathBuf>,
    pub(super) as_names: Vec<PathBuf>,
    pub(super) skip_bad_lines: bool,
}

impl Request {
    pub(super) fn new(args: TableArgs) -> Result<Self, ConfigError> {
        let TableArgs { tables, overrides, as_names, skip_bad_lines } = args;
        Ok(Self { tables: config::tables(tables)?, overrides, as_names, skip_bad_lines })
    }
}

/// What one source holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct SourceInfo {
    /// `builtin`, or the file.
    pub(super) name: String,
    /// Its format.
    pub(super) kind: String,
    /// How old its data is, RFC 3339.
    pub(super) date: Option<String>,
    pub(super) ipv4_prefixes: u64,
    pub(super) ipv6_prefixes: u64,
    /// AS names.
    pub(super) names: u64,
    /// What was noticed while it was loaded.
    pub(super) notices: Vec<String>,
}

/// What all sources together hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct TableInfo {
    pub(super) sources: Vec<SourceInfo>,
    /// Different prefixes of all sources.
    pub(super) ipv4_prefixes: u64,
    pub(super) ipv6_prefixes: u64,
    /// Different ASes that are counted.
    pub(super) ases: u64,
    /// AS names.
    pub(super) names: u64,
}

/// Tables that are loaded.
#[derive(Debug, Default)]
pub(super) struct Tables {
    pub(super) rib: Rib,
    pub(super) names: Names,
    sources: Vec<(Option<SourceId>, SourceInfo)>,
}

impl Tables {
    /// Loads what was asked for. What is noticed besides is logged.
    pub(super) fn load(request: &Request) -> Result<Self, CliError> {
        let options = LoadOptions { skip_bad_lines: request.skip_bad_lines };
        let mut tables = Self::default();
        if let Some(path) = &request.overrides {
            let table = ingest::load_overrides(path, &options).map_err(CliError::work)?;
            tables.add(Some(SourceId::OVERRIDE), table);
        }
        for path in &request.as_names {
            let mut table = load(&TableSpec::File(path.clone()), &options)?;
            // A table of routes has names too; here only those were asked for.
            table.routes = Vec::new();
            if table.names.is_empty() {
                tracing::warn!("{}: there are no AS names in this file", path.display());
            }
            tables.add(None, table);
        }
        let mut files = 0;
        for spec in &request.tables {
            let id = match spec {
                TableSpec::Builtin => SourceId::BUILTIN,
                TableSpec::File(_) => {
                    files += 1;
                    SourceId::file(files - 1).ok_or(CliError::TooManyTables(SourceId::MAX_FILES))?
                }
            };
            tables.add(Some(id), load(spec, &options)?);
        }
        Ok(tables)
    }

    /// Adds a source; `None` gives names only. The first name of an AS stays.
    pub(super) fn add(&mut self, id: Option<SourceId>, table: SourceTable) {
        for notice in &table.report.notices {
            tracing::warn!("{}: {notice}", table.name);
        }
        for (asn, name) in table.names.iter() {
            self.names.insert_new(asn, name);
        }
        let mut info = SourceInfo {
            name: table.name,
            kind: table.kind.to_string(),
            date: table.date.map(|date| date.strftime("%FT%TZ").to_string()),
            ipv4_prefixes: 0,
            ipv6_prefixes: 0,
            names: table.names.len() as u64,
            notices: table.report.notices.iter().map(ToString::to_string).collect(),
        };
        if let Some(id) = id {
            self.rib.replace_source(id, table.routes);
            let counts = self.rib.source_counts(id);
            info.ipv4_prefixes = counts.ipv4 as u64;
            info.ipv6_prefixes = counts.ipv6 as u64;
        }
        self.sources.push((id, info));
    }

    /// A source's name.
    pub(super) fn source(&self, id: SourceId) -> &str {
        let found = self.sources.iter().find(|(known, _)| *known == Some(id));
        found.map_or("", |(_, info)| info.name.as_str())
    }

    /// What is in it.
    pub(super) fn info(&self) -> TableInfo {
        let counts = self.rib.counts();
        let ases: HashSet<u32> = self.rib.iter().map(|route| route.asn).filter(|&asn| asn != 0).collect();
        TableInfo {
            sources: self.sources.iter().map(|(_, info)| info.clone()).collect(),
            ipv4_prefixes: counts.ipv4 as u64,
            ipv6_prefixes: counts.ipv6 as u64,
            ases: ases.len() as u64,
            names: self.names.len() as u64,
        }
    }
}

/// Loads one table, with a progress bar where that takes time and someone looks.
pub(super) fn load(spec: &TableSpec, options: &LoadOptions) -> Result<SourceTable, CliError> {
    if !std::io::stderr().is_terminal() {
        return ingest::load(spec, options, &mut |_| {}).map_err(CliError::work);
    }
    let started = std::time::Instant::now();
    let mut bar: Option<ProgressBar> = None;
    let loaded = ingest::load(spec, options, &mut |progress| {
        if started.elapsed() < PROGRESS_AFTER {
            return;
        }
        let bar = bar.get_or_insert_with(|| {
            let bar = match progress.total {
                Some(total) => ProgressBar::new(total).with_style(style()),
                None => ProgressBar::new_spinner(),
            };
            bar.with_message(spec.to_string())
        });
        bar.set_position(progress.read);
    });
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    loaded.map_err(CliError::work)
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{msg} {bar:40} {bytes}/{total_bytes}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}
