//! Loading tables for the commands that look into them by themselves.

use std::{
    collections::HashSet,
    io::IsTerminal as _,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::{CliError, args::TableArgs};
use crate::{
    config::{self, ConfigError},
    ingest::{
        LoadOptions, Progress,
        set::{Part, SetError, TableRequest, TableSet},
    },
};

/// Files that load faster than this show no progress.
const PROGRESS_AFTER: Duration = Duration::from_millis(500);

/// Which tables, checked.
pub(super) fn request(args: TableArgs) -> Result<TableRequest, ConfigError> {
    let TableArgs { tables, overrides, as_names, skip_bad_lines } = args;
    let options = LoadOptions { skip_bad_lines };
    Ok(TableRequest { tables: config::tables(tables)?, overrides, as_names, options })
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

/// Loads what was asked for, with a progress bar where that takes time and someone looks. What is noticed is logged.
pub(super) fn load(request: &TableRequest) -> Result<TableSet, CliError> {
    let mut progress = FileProgress::default();
    let loaded = TableSet::load(request, |part, state| progress.show(part, state));
    progress.finish();
    let set = loaded.map_err(|error| match error {
        SetError::TooMany(error) => CliError::TooManyTables(error),
        SetError::Part(error) => CliError::work(error),
    })?;
    for source in &set.sources {
        for notice in &source.report.notices {
            tracing::warn!("{}: {notice}", source.name);
        }
        if matches!(source.part, Part::Names(_)) && source.names.is_empty() {
            tracing::warn!("{}: there are no AS names in this file", source.name);
        }
    }
    Ok(set)
}

/// What is in a set.
pub(super) fn info(set: &TableSet) -> TableInfo {
    let counts = set.rib.counts();
    let ases: HashSet<u32> = set.rib.iter().map(|route| route.asn).filter(|&asn| asn != 0).collect();
    let sources = set.sources.iter().map(|source| SourceInfo {
        name: source.name.clone(),
        kind: source.kind.clone(),
        date: source.date.map(|date| date.strftime("%FT%TZ").to_string()),
        ipv4_prefixes: source.prefixes.ipv4 as u64,
        ipv6_prefixes: source.prefixes.ipv6 as u64,
        names: source.names.len() as u64,
        notices: source.report.notices.iter().map(ToString::to_string).collect(),
    });
    TableInfo {
        sources: sources.collect(),
        ipv4_prefixes: counts.ipv4 as u64,
        ipv6_prefixes: counts.ipv6 as u64,
        ases: ases.len() as u64,
        names: set.names().len() as u64,
    }
}

/// A bar for the file being read, shown only where that takes a while and stderr is a terminal.
#[derive(Default)]
pub(super) struct FileProgress(Option<(Part, Instant, Option<ProgressBar>)>);

impl FileProgress {
    pub(super) fn show(&mut self, part: &Part, state: Progress) {
        if !std::io::stderr().is_terminal() {
            return;
        }
        if self.0.as_ref().is_none_or(|(known, ..)| known != part) {
            self.finish();
            self.0 = Some((part.clone(), Instant::now(), None));
        }
        let Some((part, began, bar)) = &mut self.0 else { return };
        if began.elapsed() < PROGRESS_AFTER {
            return;
        }
        let bar = bar.get_or_insert_with(|| {
            let bar = match state.total {
                Some(total) => ProgressBar::new(total).with_style(style()),
                None => ProgressBar::new_spinner(),
            };
            bar.with_message(part.to_string())
        });
        bar.set_position(state.read);
    }

    pub(super) fn finish(&mut self) {
        if let Some((_, _, Some(bar))) = self.0.take() {
            bar.finish_and_clear();
        }
    }
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{msg} {bar:40} {bytes}/{total_bytes}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}
