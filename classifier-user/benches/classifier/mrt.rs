//! An MRT dump as route collectors write it: several peers, paths of four ASes, communities (RFC 6396).

use std::io::{self, Write};

use classifier_user::model::{Asn, Prefix};

const TABLE_DUMP_V2: u16 = 13;
const PEER_INDEX_TABLE: u16 = 1;
const RIB_IPV4_UNICAST: u16 = 2;
const RIB_IPV6_UNICAST: u16 = 4;
const TIME: u32 = 1_700_000_000;

fn record(out: &mut impl Write, subtype: u16, body: &[u8]) -> io::Result<()> {
    out.write_all(&TIME.to_be_bytes())?;
    out.write_all(&TABLE_DUMP_V2.to_be_bytes())?;
    out.write_all(&subtype.to_be_bytes())?;
    out.write_all(&(body.len() as u32).to_be_bytes())?;
    out.write_all(body)
}

/// Writes these routes, each with an entry from every one of `peers`.
pub(crate) fn write(
    out: &mut impl Write,
    peers: u16,
    routes: impl Iterator<Item = (Prefix, Asn)>,
) -> io::Result<()> {
    let mut body = vec![192, 0, 2, 1, 0, 0];
    body.extend(peers.to_be_bytes());
    for peer in 0..peers {
        // An IPv4 address, an AS number of 4 bytes.
        body.push(2);
        body.extend([198, 18, 0, peer as u8 + 1]);
        body.extend([198, 18, 0, peer as u8 + 1]);
        body.extend((64_496 + u32::from(peer)).to_be_bytes());
    }
    record(out, PEER_INDEX_TABLE, &body)?;
    for ((prefix, asn), sequence) in routes.zip(0u32..) {
        body.clear();
        body.extend(sequence.to_be_bytes());
        let (subtype, len, address) = match prefix {
            Prefix::V4(prefix) => {
                (RIB_IPV4_UNICAST, prefix.netmask(), prefix.network_address().octets().to_vec())
            }
            Prefix::V6(prefix) => {
                (RIB_IPV6_UNICAST, prefix.netmask(), prefix.network_address().octets().to_vec())
            }
        };
        body.push(len);
        body.extend(&address[..usize::from(len.div_ceil(8))]);
        body.extend(peers.to_be_bytes());
        for peer in 0..peers {
            body.extend(peer.to_be_bytes());
            body.extend(TIME.to_be_bytes());
            let attributes = attributes(64_496 + u32::from(peer), asn, subtype == RIB_IPV4_UNICAST);
            body.extend((attributes.len() as u16).to_be_bytes());
            body.extend(attributes);
        }
        record(out, subtype, &body)?;
    }
    Ok(())
}

fn attributes(peer: Asn, origin: Asn, v4: bool) -> Vec<u8> {
    // ORIGIN: IGP.
    let mut bytes = vec![0x40, 1, 1, 0];
    // AS_PATH: one sequence of four.
    bytes.extend([0x40, 2, 18, 2, 4]);
    for asn in [peer, 3356, 1299, origin] {
        bytes.extend(asn.to_be_bytes());
    }
    if v4 {
        bytes.extend([0x40, 3, 4, 198, 18, 0, 1]);
    } else {
        // RFC 6396, section 4.3.4: of MP_REACH_NLRI the next hop alone.
        bytes.extend([0x80, 14, 17, 16]);
        bytes.extend([0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    }
    // COMMUNITIES: six.
    bytes.extend([0xc0, 8, 24]);
    for community in 0..6u32 {
        bytes.extend((3356 << 16 | community).to_be_bytes());
    }
    bytes
}
