//! Prefixes of UPDATEs (RFC 4271, section 4.3; RFC 7911, section 3).

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use super::bytes::Bytes;
use crate::{
    ingest::live::{Attributes, PathId, Route},
    model::{Family, Ipv4Network, Ipv6Network, Prefix},
};

/// How prefixes are written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    pub(super) family: Family,
    /// Whether a path identifier is before each.
    pub(super) add_path: bool,
}

/// Appends a route for each prefix. Gives back how many prefixes were passed over because they are multicast, which is
/// no destination of a unicast route (RFC 7606, section 5.3); `None` if lengths are wrong or do not fit.
pub(super) fn read(
    bytes: &[u8],
    form: Form,
    attributes: Option<&Arc<Attributes>>,
    routes: &mut Vec<Route>,
) -> Option<usize> {
    let mut bytes = Bytes(bytes);
    let mut ignored = 0;
    while !bytes.is_empty() {
        let path_id: PathId = if form.add_path { bytes.u32()? } else { 0 };
        let prefix = match form.family {
            Family::Ipv4 => {
                let (octets, length) = prefix::<4>(&mut bytes)?;
                if octets[0] & 0xf0 == 0xe0 && length >= 4 {
                    ignored += 1;
                    continue;
                }
                Prefix::V4(Ipv4Network::new_truncate(Ipv4Addr::from(octets), length).ok()?)
            }
            Family::Ipv6 => {
                let (octets, length) = prefix::<16>(&mut bytes)?;
                if octets[0] == 0xff && length >= 8 {
                    ignored += 1;
                    continue;
                }
                Prefix::V6(Ipv6Network::new_truncate(Ipv6Addr::from(octets), length).ok()?)
            }
        };
        routes.push(Route { prefix, path_id, attributes: attributes.cloned() });
    }
    Some(ignored)
}

/// A length in bits and as many bytes as hold them. "The value of trailing bits is irrelevant."
fn prefix<const N: usize>(bytes: &mut Bytes<'_>) -> Option<([u8; N], u8)> {
    let length = bytes.u8()?;
    let mut octets = [0; N];
    let given = bytes.take(length.div_ceil(8).into())?;
    octets.get_mut(..given.len())?.copy_from_slice(given);
    Some((octets, length))
}
