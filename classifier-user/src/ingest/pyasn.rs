//! pyasn's `.dat`: `prefix⇥asn` below comments that begin with `; IP-ASN32-DAT file`.

use super::{
    collect::Collector,
    error::LineProblem,
    format::{Format, LineFormat},
    text,
};

pub(super) static FORMAT: LineFormat =
    LineFormat { format: Format::Pyasn, expected: "prefix<tab>asn", header: Some('\t'), is, line };

fn is(line: &str) -> bool {
    let fields: Vec<_> = line.split('\t').collect();
    matches!(fields.as_slice(), [prefix, asn] if text::prefix(prefix).is_ok() && text::asn(asn).is_ok())
}

fn line(line: &str, collector: &mut Collector) -> Result<(), LineProblem> {
    let (prefix, asn) = line.split_once('\t').ok_or(LineProblem::Form)?;
    let prefix = text::prefix(prefix)?;
    let asn = text::asn(asn)?;
    collector.prefix(prefix, asn);
    Ok(())
}
