//! IPv4 (RFC 791) and IPv6 (RFC 8200) headers, as far as their addresses.

use super::{End, Frame, Header as _, Packet, need};

/// The IPv4 header without options.
pub const V4_LEN: u32 = 20;
/// The first byte of an IPv4 header without options: version 4, five words.
pub(super) const V4_WITHOUT_OPTIONS: u8 = 0x45;
/// The IPv6 header.
pub const V6_LEN: u32 = 40;

const TCP: u8 = 6;
const UDP: u8 = 17;
const UDP_LEN: u32 = 8;
const TCP_LEN: u32 = 20;

/// Reads the IPv4 header at `at`. Its total length is not looked at: the frame was on the wire.
#[inline(always)]
pub(super) fn v4<F: Frame>(frame: &F, at: u32) -> Result<Packet, End> {
    let header = need(frame, at, V4_LEN)?;
    let version_and_length = header.u8(0);
    let words = u32::from(version_and_length & 0x0f);
    if version_and_length >> 4 != 4 || words < 5 || (words > 5 && at + words * 4 > frame.len()) {
        return Err(End::Malformed);
    }
    Ok(Packet::V4 { source: header.be32(12), destination: header.be32(16) })
}

/// Reads the IPv6 header at `at`. Extension headers come after the addresses.
#[inline(always)]
pub(super) fn v6<F: Frame>(frame: &F, at: u32) -> Result<Packet, End> {
    let header = need(frame, at, V6_LEN)?;
    if header.u8(0) >> 4 != 6 {
        return Err(End::Malformed);
    }
    Ok(Packet::V6 {
        source: [header.be32(8), header.be32(12), header.be32(16), header.be32(20)],
        destination: [header.be32(24), header.be32(28), header.be32(32), header.be32(36)],
    })
}

/// The bytes that every segment of a super-frame repeats: all headers as far as TCP's or UDP's, for a packet whose
/// IP header begins at `ip_at`. `None` where the transport is another one or its header cannot be read.
#[inline(always)]
pub fn repeated_headers<F: Frame>(frame: &F, packet: &Packet, ip_at: u32) -> Option<u32> {
    let (transport, at) = match packet {
        Packet::V4 { .. } => {
            let header = frame.header(ip_at, V4_LEN)?;
            (header.u8(9), ip_at + u32::from(header.u8(0) & 0x0f) * 4)
        }
        Packet::V6 { .. } => (frame.header(ip_at, V6_LEN)?.u8(6), ip_at + V6_LEN),
    };
    match transport {
        TCP => Some(at + u32::from(frame.header(at, TCP_LEN)?.u8(12) >> 4) * 4),
        UDP => Some(at + UDP_LEN),
        _ => None,
    }
}
