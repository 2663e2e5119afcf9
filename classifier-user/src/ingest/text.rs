//! Fields of text formats.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{cidr, error::LineProblem};
use crate::{
    model::{Asn, Family, Prefix},
    table::origins::Origins,
};

/// As much of a field or line as an error message repeats, in characters.
const SHOWN: usize = 160;

/// A text for an error message: trimmed, without control characters, cut where it is long.
pub(super) fn shown(text: &str) -> String {
    let mut short: String = text
        .trim()
        .chars()
        .take(SHOWN)
        .map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c })
        .collect();
    if text.trim().chars().nth(SHOWN).is_some() {
        short.push('…');
    }
    short
}

/// An AS number: `13335` or `AS13335`.
pub(super) fn asn(text: &str) -> Result<Asn, LineProblem> {
    let text = text.trim();
    let digits = match text.get(..2) {
        Some(prefix) if prefix.eq_ignore_ascii_case("as") => text.get(2..).unwrap_or_default(),
        _ => text,
    };
    // `parse` alone would take "+1".
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(LineProblem::Asn(shown(text)));
    }
    digits.parse().map_err(|_| LineProblem::AsnTooLarge(shown(digits)))
}

/// An address.
pub(super) fn address(text: &str) -> Result<IpAddr, LineProblem> {
    text.trim().parse().map_err(|_| LineProblem::Address(shown(text)))
}

/// A prefix of an address and a length, without host bits.
pub(super) fn network(
    address: IpAddr,
    length: u32,
    text: impl Fn() -> String,
) -> Result<Prefix, LineProblem> {
    let family = if address.is_ipv4() { Family::Ipv4 } else { Family::Ipv6 };
    let bits = cidr::width(family);
    let Some(length) = u8::try_from(length).ok().filter(|&length| length <= bits) else {
        return Err(LineProblem::Length { length, bits });
    };
    let network = cidr::prefix(family, cidr::number(address), length).ok_or(LineProblem::Form)?;
    if network.network_address() != address {
        return Err(LineProblem::HostBits { prefix: text(), network });
    }
    Ok(network)
}

/// A prefix: `192.0.2.0/24`.
pub(super) fn prefix(text: &str) -> Result<Prefix, LineProblem> {
    let text = text.trim();
    let wrong = || LineProblem::Prefix(shown(text));
    let (address, length) = text.split_once('/').ok_or_else(wrong)?;
    let address: IpAddr = address.parse().map_err(|_| wrong())?;
    if length.is_empty() || length.len() > 3 || !length.bytes().all(|b| b.is_ascii_digit()) {
        return Err(wrong());
    }
    network(address, length.parse().map_err(|_| wrong())?, || text.to_owned())
}

/// Origins in CAIDA's notation: `_` between the origins of a prefix, `,` within an AS_SET. ASes of sets come behind
/// the others, the lowest number first. Also says whether there was a set.
pub(super) fn origins(text: &str) -> Result<(Origins, bool), LineProblem> {
    let text = text.trim();
    if let Ok(asn) = asn(text) {
        return Ok((asn.into(), false));
    }
    let mut list = Vec::new();
    let mut sets = Vec::new();
    for origin in text.split('_') {
        // Some editions write a set in braces.
        let origin = origin.trim_matches(['{', '}']);
        if origin.contains(',') {
            for member in origin.split(',') {
                sets.push(asn(member)?);
            }
        } else {
            list.push(asn(origin)?);
        }
    }
    let has_sets = !sets.is_empty();
    sets.sort_unstable();
    list.extend(sets);
    Ok((Origins::from_list(&list).ok_or_else(|| LineProblem::Asn(shown(text)))?, has_sets))
}

/// An address as a plain number, as in ip-location-db's `-num` files: the family is that of the larger end.
pub(super) fn numbers(start: &str, end: &str) -> Option<(IpAddr, IpAddr)> {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !is_number(start) || !is_number(end) {
        return None;
    }
    let (start, end): (u128, u128) = (start.parse().ok()?, end.parse().ok()?);
    Some(match (u32::try_from(start), u32::try_from(end)) {
        (Ok(start), Ok(end)) => (Ipv4Addr::from_bits(start).into(), Ipv4Addr::from_bits(end).into()),
        _ => (Ipv6Addr::from_bits(start).into(), Ipv6Addr::from_bits(end).into()),
    })
}

/// The fields of one line of CSV (RFC 4180, without line breaks in fields); `None` if a quoted field does not end.
pub(super) fn csv_fields(line: &str) -> Option<Vec<String>> {
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let trimmed = rest.trim_start_matches(' ');
        if let Some(quoted) = trimmed.strip_prefix('"') {
            let mut field = String::new();
            let mut from = quoted;
            loop {
                let (part, after) = from.split_once('"')?;
                field.push_str(part);
                match after.strip_prefix('"') {
                    Some(more) => {
                        field.push('"');
                        from = more;
                    }
                    None => {
                        from = after;
                        break;
                    }
                }
            }
            fields.push(field);
            let after = from.trim_start_matches(' ');
            if after.is_empty() {
                return Some(fields);
            }
            rest = after.strip_prefix(',')?;
        } else {
            let (field, after) = match rest.split_once(',') {
                Some((field, after)) => (field, Some(after)),
                None => (rest, None),
            };
            fields.push(field.trim().to_owned());
            match after {
                Some(after) => rest = after,
                None => return Some(fields),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_numbers() {
        assert_eq!(asn("13335"), Ok(13335));
        assert_eq!(asn("AS4294967295"), Ok(u32::MAX));
        assert_eq!(asn("as1 "), Ok(1));
        assert_eq!(asn("4294967296"), Err(LineProblem::AsnTooLarge("4294967296".into())));
        for bad in ["", "AS", "+1", "-1", "1.10", "x", "1 2"] {
            assert!(matches!(asn(bad), Err(LineProblem::Asn(_))), "{bad}");
        }
    }

    #[test]
    fn prefixes() {
        assert_eq!(prefix("192.0.2.0/24").unwrap().to_string(), "192.0.2.0/24");
        assert_eq!(prefix("::/0").unwrap().to_string(), "::/0");
        assert_eq!(
            prefix("192.0.2.1/24"),
            Err(LineProblem::HostBits {
                prefix: "192.0.2.1/24".into(),
                network: "192.0.2.0/24".parse().unwrap()
            })
        );
        assert_eq!(prefix("192.0.2.0/33"), Err(LineProblem::Length { length: 33, bits: 32 }));
        assert_eq!(prefix("2001:db8::/129"), Err(LineProblem::Length { length: 129, bits: 128 }));
        for bad in ["192.0.2.0", "192.0.2/24", "192.0.2.0/", "192.0.2.0/+8", "192.0.2.0/1000", "x/8"] {
            assert!(matches!(prefix(bad), Err(LineProblem::Prefix(_))), "{bad}");
        }
    }

    #[test]
    fn several_origins() {
        let all = |text: &str| origins(text).map(|(origins, set)| (origins.all().to_vec(), set));
        assert_eq!(all("13335"), Ok((vec![13335], false)));
        assert_eq!(all("38040_9737"), Ok((vec![38040, 9737], false)));
        assert_eq!(all("4777,2497"), Ok((vec![2497, 4777], true)));
        assert_eq!(all("9,8_7_{6,5}"), Ok((vec![7, 5, 6, 8, 9], true)));
        assert_eq!(all("1_4294967296"), Err(LineProblem::AsnTooLarge("4294967296".into())));
        assert!(all("1_").is_err());
    }

    #[test]
    fn csv() {
        let fields = |line: &str| csv_fields(line);
        assert_eq!(fields("a,b").unwrap(), ["a", "b"]);
        assert_eq!(fields(r#"1,"Cloudflare, Inc.",x"#).unwrap(), ["1", "Cloudflare, Inc.", "x"]);
        assert_eq!(fields(r#"1,"He said ""no""""#).unwrap(), ["1", "He said \"no\""]);
        assert_eq!(fields("a,,").unwrap(), ["a", "", ""]);
        assert_eq!(fields(""), Some(vec![String::new()]));
        assert_eq!(fields(r#"1,"open"#), None);
        assert_eq!(fields(r#"1,"a"b"#), None);
    }
}
