//! The PPPoE session stage (RFC 2516).

use super::{End, Frame, Header as _, Packet, ip, need};

/// The PPPoE header and the PPP protocol number behind it.
const HEADER_LEN: u32 = 8;

/// PPP protocol numbers (IANA).
mod protocol {
    pub(super) const IPV4: u16 = 0x0021;
    pub(super) const IPV6: u16 = 0x0057;
    /// Multilink, compressed and MPLS datagrams: there may be IP inside.
    pub(super) const OPAQUE: [u16; 5] = [0x003d, 0x00fb, 0x00fd, 0x0281, 0x0283];
}

/// Reads the session frame at `at`.
#[inline(always)]
pub(super) fn session<F: Frame>(frame: &F, at: &mut u32) -> Result<Packet, End> {
    let carried = need(frame, *at, HEADER_LEN)?.be16(6);
    *at += HEADER_LEN;
    match carried {
        protocol::IPV4 => ip::v4(frame, *at),
        protocol::IPV6 => ip::v6(frame, *at),
        other => {
            let [multilink, link_compressed, compressed, mpls, mpls_multicast] = protocol::OPAQUE;
            if other == multilink
                || other == link_compressed
                || other == compressed
                || other == mpls
                || other == mpls_multicast
            {
                return Err(End::Unsupported);
            }
            Err(End::NonIp)
        }
    }
}
