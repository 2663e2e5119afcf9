//! AS names as RIPE's and others' `asn.txt`: `123 NAME - Long name, CC`.

use super::{
    collect::Collector,
    error::LineProblem,
    format::{Format, LineFormat},
    text,
};

pub(super) static FORMAT: LineFormat =
    LineFormat { format: Format::AsnTxt, expected: "asn NAME - Long name, country", header: None, is, line };

fn is(line: &str) -> bool {
    line.trim().split_once(' ').is_some_and(|(asn, name)| text::asn(asn).is_ok() && !name.trim().is_empty())
}

/// `NAME - Long name, CC` → `Long name`; without a long name the short one.
fn readable(name: &str) -> &str {
    let name = name.trim();
    let name = match name.rsplit_once(", ") {
        Some((name, country)) if country.len() == 2 && country.bytes().all(|b| b.is_ascii_uppercase()) => {
            name
        }
        _ => name,
    };
    match name.split_once(" - ") {
        Some((_, long)) if !long.trim().is_empty() => long.trim(),
        _ => name.trim_end_matches([' ', '-']),
    }
}

fn line(line: &str, collector: &mut Collector) -> Result<(), LineProblem> {
    let (asn, name) = line.trim().split_once(' ').ok_or(LineProblem::Form)?;
    let asn = text::asn(asn)?;
    collector.name(asn, readable(name));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::readable;

    #[test]
    fn the_long_name_without_the_country() {
        assert_eq!(readable("CLOUDFLARENET - Cloudflare, Inc., US"), "Cloudflare, Inc.");
        assert_eq!(readable("LVLT-1, US"), "LVLT-1");
        assert_eq!(readable("FR-RENATER Reseau National, FR"), "FR-RENATER Reseau National");
        assert_eq!(readable("X - , US"), "X");
        assert_eq!(readable("Name, Incorporated"), "Name, Incorporated");
    }
}
