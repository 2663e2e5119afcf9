//! iptoasn.com: `start⇥end⇥asn⇥CC⇥name`. AS 0 is a range that is not routed.

use super::{
    collect::Collector,
    error::LineProblem,
    format::{Format, LineFormat},
    text,
};

pub(super) static FORMAT: LineFormat = LineFormat {
    format: Format::Iptoasn,
    expected: "start<tab>end<tab>asn<tab>country<tab>name",
    header: Some('\t'),
    is,
    line,
};

fn is(line: &str) -> bool {
    let mut fields = line.split('\t');
    let ends = [fields.next(), fields.next()];
    ends.iter().all(|end| end.is_some_and(|end| text::address(end).is_ok())) && fields.next().is_some()
}

fn line(line: &str, collector: &mut Collector) -> Result<(), LineProblem> {
    let mut fields = line.split('\t');
    let (Some(start), Some(end), Some(asn)) = (fields.next(), fields.next(), fields.next()) else {
        return Err(LineProblem::Form);
    };
    let (start, end, asn) = (text::address(start)?, text::address(end)?, text::asn(asn)?);
    collector.range(start, end, asn)?;
    collector.name(asn, fields.nth(1).unwrap_or_default());
    Ok(())
}
