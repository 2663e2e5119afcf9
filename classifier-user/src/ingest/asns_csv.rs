//! AS names as bgp.tools' `asns.csv`: `asn,name,class,cc`, the number as `AS123`.

use super::{
    collect::Collector,
    error::LineProblem,
    format::{Format, LineFormat},
    text,
};

pub(super) static FORMAT: LineFormat = LineFormat {
    format: Format::AsnsCsv,
    expected: "asn,\"name\",class,country",
    header: Some(','),
    is,
    line,
};

fn is(line: &str) -> bool {
    let Some(fields) = text::csv_fields(line) else { return false };
    match fields.as_slice() {
        [asn, name, ..] => {
            text::asn(asn).is_ok()
                && !name.is_empty()
                && !name.contains('/')
                && !name.bytes().all(|b| b.is_ascii_digit())
        }
        _ => false,
    }
}

fn line(line: &str, collector: &mut Collector) -> Result<(), LineProblem> {
    let fields = text::csv_fields(line).ok_or(LineProblem::Form)?;
    let [asn, name, ..] = fields.as_slice() else { return Err(LineProblem::Form) };
    let asn = text::asn(asn)?;
    collector.name(asn, name);
    Ok(())
}
