//! pmacct's `networks.lst`: `asn,prefix`.

use super::{
    collect::Collector,
    error::LineProblem,
    format::{Format, LineFormat},
    text,
};

pub(super) static FORMAT: LineFormat =
    LineFormat { format: Format::NetworksLst, expected: "asn,prefix", header: Some(','), is, line };

fn is(line: &str) -> bool {
    line.split_once(',').is_some_and(|(asn, prefix)| text::asn(asn).is_ok() && text::prefix(prefix).is_ok())
}

fn line(line: &str, collector: &mut Collector) -> Result<(), LineProblem> {
    let (asn, prefix) = line.split_once(',').ok_or(LineProblem::Form)?;
    let asn = text::asn(asn)?;
    collector.prefix(text::prefix(prefix)?, asn);
    Ok(())
}
