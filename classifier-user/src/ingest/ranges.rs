//! Ranges CSV: `start,end,asn,"name"`, both ends in the range; as ip-location-db and DB-IP publish them.

use super::{
    collect::Collector,
    error::LineProblem,
    format::{Format, LineFormat},
    text,
};

pub(super) static FORMAT: LineFormat =
    LineFormat { format: Format::RangesCsv, expected: "start,end,asn,\"name\"", header: Some(','), is, line };

fn is(line: &str) -> bool {
    let Some(fields) = text::csv_fields(line) else { return false };
    let [start, end, _, ..] = fields.as_slice() else { return false };
    text::address(start).and(text::address(end)).is_ok() || text::numbers(start, end).is_some()
}

fn line(line: &str, collector: &mut Collector) -> Result<(), LineProblem> {
    let fields = text::csv_fields(line).ok_or(LineProblem::Form)?;
    let (start, end, asn, name) = match fields.as_slice() {
        [start, end, asn] => (start, end, asn, ""),
        [start, end, asn, name, ..] => (start, end, asn, name.as_str()),
        _ => return Err(LineProblem::Form),
    };
    let (start, end) = match text::numbers(start, end) {
        Some(ends) => ends,
        None => (text::address(start)?, text::address(end)?),
    };
    let asn = text::asn(asn)?;
    collector.range(start, end, asn)?;
    collector.name(asn, name);
    Ok(())
}
