//! What the commands need of loaded tables. [`super::wiring`] has the real ones, tests a small one in memory.

use std::{io::Write, net::IpAddr, path::PathBuf};

use super::{CliError, args::TableArgs};
use crate::{
    config::{self, TableSpec},
    model::{Asn, Prefix},
};

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
    pub(super) fn new(args: TableArgs) -> Result<Self, CliError> {
        let TableArgs { tables, overrides, as_names, skip_bad_lines } = args;
        Ok(Self { tables: config::tables(tables)?, overrides, as_names, skip_bad_lines })
    }
}

/// The route of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) prefix: Prefix,
    /// The origin that is counted; 0: known to be unrouted.
    pub(super) asn: Asn,
    /// All origins, that one first.
    pub(super) origins: Vec<Asn>,
    pub(super) source: String,
}

/// What one source holds.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(super) struct SourceInfo {
    /// `builtin`, `override`, or the file.
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
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
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

/// What a table can be written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum ExportFormat {
    /// Ranges: start,end,asn,"name"
    Csv,
    /// CAIDA prefix-to-AS: prefix, length, origins
    Pfx2as,
    /// MRT TABLE_DUMP_V2
    Mrt,
}

/// Tables that are loaded.
pub(super) trait Routes {
    /// The longest prefix that covers an address.
    fn lookup(&self, address: IpAddr) -> Option<Found>;
    /// What an AS is called.
    fn name(&self, asn: Asn) -> Option<&str>;
    /// What is in it.
    fn info(&self) -> TableInfo;
    /// Writes every prefix once, with the route that is chosen.
    fn export(&self, format: ExportFormat, out: &mut dyn Write) -> Result<(), CliError>;
}
