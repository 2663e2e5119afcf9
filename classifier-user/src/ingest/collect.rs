//! From what lines say to the routes of a table.

use std::path::Path;

use jiff::Timestamp;

use super::{
    Format, LoadOptions, SourceTable,
    cidr::{self, Contradiction, Range},
    error::{IngestError, LineProblem},
    report::{LoadReport, Notice},
};
use crate::{
    model::{Asn, Family, Prefix},
    table::{names::Names, origins::Origins},
};

/// What the lines of a file have said so far.
#[derive(Default)]
pub(super) struct Collector {
    /// The line that is being read, from 1.
    pub line: u64,
    pub report: LoadReport,
    pub names: Names,
    /// With their lines, to name them when two contradict each other.
    routes: Vec<(Prefix, Origins, u64)>,
    v4: Vec<Range>,
    v6: Vec<Range>,
    first_bad: Option<String>,
}

impl Collector {
    /// Takes in a prefix.
    pub(super) fn prefix(&mut self, prefix: Prefix, origins: impl Into<Origins>) {
        self.routes.push((prefix, origins.into(), self.line));
    }

    /// Takes in a range.
    ///
    /// # Errors
    /// Its ends are of two families, or the wrong way round.
    pub(super) fn range(
        &mut self,
        start: std::net::IpAddr,
        end: std::net::IpAddr,
        asn: Asn,
    ) -> Result<(), LineProblem> {
        if start.is_ipv4() != end.is_ipv4() {
            return Err(LineProblem::MixedFamilies);
        }
        let range = Range { start: cidr::number(start), end: cidr::number(end), asn, line: self.line };
        if range.end < range.start {
            return Err(LineProblem::Backwards);
        }
        if start.is_ipv4() {
            self.v4.push(range);
        } else {
            self.v6.push(range);
        }
        Ok(())
    }

    /// Takes in the name of an AS. The first one that a file gives counts.
    pub(super) fn name(&mut self, asn: Asn, name: &str) {
        let name = name.trim();
        if asn != 0 && !name.is_empty() {
            self.names.insert_new(asn, name);
        }
    }

    /// Counts a bad line, or fails because of it.
    pub(super) fn bad_line(&mut self, error: IngestError, options: &LoadOptions) -> Result<(), IngestError> {
        if !options.skip_bad_lines {
            return Err(error);
        }
        self.report.bad_lines += 1;
        self.first_bad.get_or_insert_with(|| error.to_string());
        Ok(())
    }

    /// Makes routes of what was taken in.
    ///
    /// # Errors
    /// Two lines contradict each other and bad lines are not left out.
    pub(super) fn finish(&mut self, file: &Path, options: &LoadOptions) -> Result<(), IngestError> {
        for family in [Family::Ipv4, Family::Ipv6] {
            self.finish_ranges(family, file, options)?;
        }
        self.routes.sort_by_key(|(prefix, _, line)| (*prefix, *line));
        let mut contradictions = Vec::new();
        let mut duplicates = 0;
        self.routes.dedup_by(|(prefix, second, line), (first_prefix, first, first_line)| {
            if prefix != first_prefix {
                return false;
            }
            if second == first {
                duplicates += 1;
            } else {
                contradictions.push((*line, *prefix, second.chosen(), first.chosen(), *first_line));
            }
            true
        });
        self.report.duplicates += duplicates;
        for (line, prefix, asn, first_asn, first_line) in contradictions {
            let what = prefix.to_string();
            let error =
                IngestError::Contradiction { file: file.into(), line, what, asn, first_line, first_asn };
            self.bad_line(error, options)?;
        }
        Ok(())
    }

    fn finish_ranges(
        &mut self,
        family: Family,
        file: &Path,
        options: &LoadOptions,
    ) -> Result<(), IngestError> {
        let ranges = match family {
            Family::Ipv4 => std::mem::take(&mut self.v4),
            Family::Ipv6 => std::mem::take(&mut self.v6),
        };
        let flat = cidr::flatten(ranges);
        for Contradiction { first, second } in flat.contradictions {
            let end = |number| cidr::prefix(family, number, cidr::width(family)).map(|p| p.network_address());
            let what = match (end(second.start), end(second.end)) {
                (Some(start), Some(end)) => format!("{start} to {end}"),
                _ => String::new(),
            };
            let error = IngestError::Contradiction {
                file: file.into(),
                line: second.line,
                what,
                asn: second.asn,
                first_line: first.line,
                first_asn: first.asn,
            };
            self.bad_line(error, options)?;
        }
        self.report.overlaps += flat.overlaps;
        self.report.duplicates += flat.duplicates;
        let routes = &mut self.routes;
        for range in flat.ranges {
            cidr::each_prefix(family, range.start, range.end, |prefix| {
                routes.push((prefix, range.asn.into(), range.line));
            });
        }
        Ok(())
    }

    /// The table, after [`Self::finish`].
    pub(super) fn table(self, file: &Path, kind: Format, date: Option<Timestamp>) -> SourceTable {
        let routes = self.routes.into_iter().map(|(prefix, origins, _)| (prefix, origins)).collect();
        let mut table = SourceTable {
            name: file.display().to_string(),
            kind,
            date,
            routes,
            names: self.names,
            report: self.report,
        };
        if let Some(first) = self.first_bad {
            table.report.notices.push(Notice::BadLines { count: table.report.bad_lines, first });
        }
        table.describe();
        table
    }
}

impl SourceTable {
    /// Counts what the report says of the routes, and adds the notices that follow.
    pub(super) fn describe(&mut self) {
        let report = &mut self.report;
        for (prefix, origins) in &self.routes {
            report.moas += u64::from(origins.all().len() > 1);
            report.unrouted += u64::from(origins.chosen() == 0);
            if prefix.is_default_route() {
                report.default_routes.push(Family::of(prefix));
            }
        }
        if report.overlaps > 0 {
            report.notices.push(Notice::Overlaps { count: report.overlaps });
        }
        if report.as_sets > 0 {
            report.notices.push(Notice::AsSets { count: report.as_sets });
        }
        report.notices.extend(report.default_routes.iter().map(|family| Notice::DefaultRoute(*family)));
        self.names.shrink_to_fit();
    }
}
