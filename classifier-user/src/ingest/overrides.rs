//! Overrides: `prefix asn [name]`, between spaces or tabs; ` #` begins a comment.

use super::{
    collect::Collector,
    error::LineProblem,
    format::{Format, LineFormat},
    text,
};

pub(super) static FORMAT: LineFormat =
    LineFormat { format: Format::Override, expected: "prefix asn [name]", header: None, is, line };

/// Prefix, AS, name.
fn fields(line: &str) -> Option<(&str, &str, &str)> {
    let line = line.split_once(" #").map_or(line, |(line, _)| line).trim();
    let (prefix, rest) = line.split_once(char::is_whitespace)?;
    let rest = rest.trim_start();
    let (asn, name) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    Some((prefix, asn, name.trim()))
}

fn is(line: &str) -> bool {
    fields(line).is_some_and(|(prefix, asn, _)| text::prefix(prefix).is_ok() && text::asn(asn).is_ok())
}

fn line(line: &str, collector: &mut Collector) -> Result<(), LineProblem> {
    let (prefix, asn, name) = fields(line).ok_or(LineProblem::Form)?;
    let prefix = text::prefix(prefix)?;
    let asn = text::asn(asn)?;
    collector.name(asn, name);
    collector.prefix(prefix, asn);
    Ok(())
}
