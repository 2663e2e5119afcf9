//! UPDATEs made by hand.

use crate::model::Prefix;

/// Flags of a well-known attribute, of an optional one, of an optional transitive one.
pub(super) const WELL_KNOWN: u8 = 0x40;
pub(super) const OPTIONAL: u8 = 0x80;
pub(super) const TRANSITIVE: u8 = 0xc0;

/// An attribute; its length takes 2 bytes where it must.
pub(super) fn attribute(flags: u8, kind: u8, value: &[u8]) -> Vec<u8> {
    let mut bytes = match u8::try_from(value.len()) {
        Ok(length) => vec![flags, kind, length],
        Err(_) => {
            let [high, low] = (value.len() as u16).to_be_bytes();
            vec![flags | 0x10, kind, high, low]
        }
    };
    bytes.extend(value);
    bytes
}

/// An UPDATE's body.
pub(super) fn update(withdrawn: &[u8], attributes: &[Vec<u8>], nlri: &[u8]) -> Vec<u8> {
    let attributes = attributes.concat();
    let mut body = (withdrawn.len() as u16).to_be_bytes().to_vec();
    body.extend(withdrawn);
    body.extend((attributes.len() as u16).to_be_bytes());
    body.extend(attributes);
    body.extend(nlri);
    body
}

/// A segment of 4-byte AS numbers.
pub(super) fn segment(kind: u8, asns: &[u32]) -> Vec<u8> {
    let mut bytes = vec![kind, asns.len() as u8];
    bytes.extend(asns.iter().flat_map(|asn| asn.to_be_bytes()));
    bytes
}

/// A segment of 2-byte AS numbers.
pub(super) fn short_segment(kind: u8, asns: &[u16]) -> Vec<u8> {
    let mut bytes = vec![kind, asns.len() as u8];
    bytes.extend(asns.iter().flat_map(|asn| asn.to_be_bytes()));
    bytes
}

pub(super) fn origin() -> Vec<u8> {
    attribute(WELL_KNOWN, 1, &[0])
}

pub(super) fn as_path(asns: &[u32]) -> Vec<u8> {
    attribute(WELL_KNOWN, 2, &segment(2, asns))
}

pub(super) fn next_hop() -> Vec<u8> {
    attribute(WELL_KNOWN, 3, &[192, 0, 2, 1])
}

/// The three that must be there.
pub(super) fn mandatory() -> Vec<Vec<u8>> {
    vec![origin(), as_path(&[64_500, 3356]), next_hop()]
}

pub(super) fn reach6(nlri: &[u8]) -> Vec<u8> {
    let mut value = vec![0, 2, 1, 16];
    value.extend([0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    value.push(0);
    value.extend(nlri);
    attribute(OPTIONAL, 14, &value)
}

pub(super) fn unreach6(nlri: &[u8]) -> Vec<u8> {
    attribute(OPTIONAL, 15, &[&[0, 2, 1], nlri].concat())
}

/// 198.51.100.0/24 and 2001:db8::/32 as prefixes of an UPDATE.
pub(super) const NLRI4: &[u8] = &[24, 198, 51, 100];
pub(super) const NLRI6: &[u8] = &[32, 0x20, 1, 0x0d, 0xb8];

pub(super) fn prefix(text: &str) -> Prefix {
    text.parse().expect("a prefix")
}
