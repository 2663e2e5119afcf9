//! Prefix CSV: `prefix,asn,"name"`, several origins as `1_2`: what [`super::export`] writes.

use super::{
    collect::Collector,
    error::LineProblem,
    format::{Format, LineFormat},
    text,
};

pub(super) static FORMAT: LineFormat =
    LineFormat { format: Format::PrefixCsv, expected: "prefix,asn,\"name\"", header: Some(','), is, line };

fn is(line: &str) -> bool {
    let Some(fields) = text::csv_fields(line) else { return false };
    matches!(fields.as_slice(), [prefix, asn, ..] if text::prefix(prefix).is_ok() && text::origins(asn).is_ok())
}

fn line(line: &str, collector: &mut Collector) -> Result<(), LineProblem> {
    let fields = text::csv_fields(line).ok_or(LineProblem::Form)?;
    let (prefix, origins, name) = match fields.as_slice() {
        [prefix, origins] => (prefix, origins, ""),
        [prefix, origins, name, ..] => (prefix, origins, name.as_str()),
        _ => return Err(LineProblem::Form),
    };
    let prefix = text::prefix(prefix)?;
    let (origins, _) = text::origins(origins)?;
    collector.name(origins.chosen(), name);
    collector.prefix(prefix, origins);
    Ok(())
}
