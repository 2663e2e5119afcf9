//! CAIDA's pfx2as: `address⇥length⇥asn`, `_` between the origins of a prefix (the one seen most first), `,` within
//! an AS_SET. <https://publicdata.caida.org/datasets/routing/routeviews-prefix2as/README.txt>

use super::{
    collect::Collector,
    error::LineProblem,
    format::{Format, LineFormat},
    text,
};

pub(super) static FORMAT: LineFormat = LineFormat {
    format: Format::Pfx2as,
    expected: "address<tab>length<tab>asn",
    header: Some('\t'),
    is,
    line,
};

fn is(line: &str) -> bool {
    let fields: Vec<_> = line.split('\t').collect();
    matches!(fields.as_slice(), [address, length, _]
        if text::address(address).is_ok() && length.trim().parse::<u8>().is_ok())
}

fn line(line: &str, collector: &mut Collector) -> Result<(), LineProblem> {
    let mut fields = line.split('\t');
    let (Some(address), Some(length), Some(origins), None) =
        (fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return Err(LineProblem::Form);
    };
    let written = || format!("{}/{}", address.trim(), length.trim());
    let length = length.trim().parse().map_err(|_| LineProblem::Prefix(text::shown(&written())))?;
    let prefix = text::network(text::address(address)?, length, written)?;
    let (origins, has_set) = text::origins(origins)?;
    collector.report.as_sets += u64::from(has_set);
    collector.prefix(prefix, origins);
    Ok(())
}
