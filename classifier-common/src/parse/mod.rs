//! From a frame to its addresses: pure functions over a [`Frame`], the same in the kernel and on the host.
//!
//! Ethernet, up to two VLAN tags ([`vlan`]), then IPv4 or IPv6 ([`ip`]), behind an MPLS stack ([`mpls`]) or a
//! PPPoE session ([`pppoe`]) where there is one. Every header is checked once against the readable part before it
//! is read.

pub mod ip;
pub mod mpls;
pub mod pppoe;
pub mod vlan;

/// The Ethernet header: two addresses and a type.
pub const ETHERNET_LEN: u32 = 14;
/// The most bytes the parser ever needs from the head of a frame: Ethernet, two tags, PPPoE or the MPLS stack, and
/// an IPv6 header.
pub const HEAD_LEN: usize = 14 + 2 * 4 + mpls::MAX_DEPTH as usize * 4 + 40;

/// Ethernet types (IEEE 802 numbers).
pub mod ethertype {
    /// IPv4.
    pub const IPV4: u16 = 0x0800;
    /// IPv6.
    pub const IPV6: u16 = 0x86dd;
    /// 802.1Q customer tag.
    pub const VLAN: u16 = 0x8100;
    /// 802.1ad service tag.
    pub const SERVICE_VLAN: u16 = 0x88a8;
    /// QinQ tags from before 802.1ad.
    pub const OLD_QINQ: [u16; 2] = [0x9100, 0x9200];
    /// MPLS, unicast and multicast (upstream-assigned).
    pub const MPLS: [u16; 2] = [0x8847, 0x8848];
    /// PPPoE session stage.
    pub const PPPOE_SESSION: u16 = 0x8864;
    /// Provider backbone bridging (802.1ah): a whole frame inside.
    pub const BACKBONE: u16 = 0x88e7;
    /// MACsec (802.1AE).
    pub const MACSEC: u16 = 0x88e5;
    /// Network service header: a whole packet inside.
    pub const NSH: u16 = 0x894f;
    /// TRILL: a whole frame inside.
    pub const TRILL: u16 = 0x22f3;
}

/// A header that was found readable as a whole. Offsets are within the header and below its length.
pub trait Header: Copy {
    /// The byte at `at`.
    fn u8(self, at: u32) -> u8;
    /// The big-endian 16 bits at `at`.
    fn be16(self, at: u32) -> u16;
    /// The big-endian 32 bits at `at`.
    fn be32(self, at: u32) -> u32;
}

/// A frame, from its Ethernet header on.
pub trait Frame {
    /// How its headers are read.
    type Header<'a>: Header
    where
        Self: 'a;

    /// The whole frame's length in bytes, also where only its head can be read.
    fn len(&self) -> u32;

    /// Whether the frame has no byte.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The `len` bytes at `at`; `None` where they are not readable here.
    fn header(&self, at: u32, len: u32) -> Option<Self::Header<'_>>;
}

/// Why parsing ended before the addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// [`crate::counter::Outcome::NonIp`].
    NonIp,
    /// [`crate::counter::Outcome::Malformed`].
    Malformed,
    /// [`crate::counter::Outcome::Unsupported`].
    Unsupported,
    /// The frame goes on, but not in the part that can be read here.
    Cut,
}

/// The addresses of an IP packet, in host byte order, the most significant part first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet {
    /// IPv4.
    V4 {
        /// Source address.
        source: u32,
        /// Destination address.
        destination: u32,
    },
    /// IPv6.
    V6 {
        /// Source address.
        source: [u32; 4],
        /// Destination address.
        destination: [u32; 4],
    },
}

/// What the parser found in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// VLAN identifier of the outer tag; 0 without a tag (or with a priority tag).
    pub vlan: u16,
    /// Where the IP header begins; meaningful where `packet` is `Ok`.
    pub ip_at: u32,
    /// The packet's addresses, or why there are none.
    pub packet: Result<Packet, End>,
}

/// The `len` bytes at `at`, or the reason why they cannot be read.
#[inline(always)]
fn need<F: Frame>(frame: &F, at: u32, len: u32) -> Result<F::Header<'_>, End> {
    match frame.header(at, len) {
        Some(header) => Ok(header),
        None if at + len > frame.len() => Err(End::Malformed),
        None => Err(End::Cut),
    }
}

/// Reads a frame as far as its addresses. `outer` is the VLAN of a tag that is not in the frame's bytes (skb
/// metadata); it is the outer tag then.
#[inline(always)]
pub fn parse<F: Frame>(frame: &F, outer: Option<u16>) -> Parsed {
    let mut vlan = outer.unwrap_or(0);
    let mut at = 0;
    let packet = walk(frame, outer.is_some(), &mut vlan, &mut at);
    Parsed { vlan, ip_at: at, packet }
}

/// What [`parse`] says of the plainest frames, found sooner: IP without options behind an Ethernet header without tags.
/// `None` for any other.
#[inline(always)]
pub fn plain<F: Frame>(frame: &F, outer: Option<u16>) -> Option<Parsed> {
    let header = frame.header(0, ETHERNET_LEN + ip::V4_LEN)?;
    let packet = match (header.be16(12), header.u8(ETHERNET_LEN)) {
        (ethertype::IPV4, ip::V4_WITHOUT_OPTIONS) => {
            let at = |offset| header.be32(ETHERNET_LEN + offset);
            Packet::V4 { source: at(12), destination: at(16) }
        }
        (ethertype::IPV6, first) if first >> 4 == 6 => ip::v6(frame, ETHERNET_LEN).ok()?,
        _ => return None,
    };
    Some(Parsed { vlan: outer.unwrap_or(0), ip_at: ETHERNET_LEN, packet: Ok(packet) })
}

#[inline(always)]
fn walk<F: Frame>(frame: &F, tagged: bool, vlan: &mut u16, at: &mut u32) -> Result<Packet, End> {
    let ethernet = need(frame, 0, ETHERNET_LEN)?;
    *at = ETHERNET_LEN;
    let mut kind = ethernet.be16(12);
    if vlan::is_tag(kind) {
        let tag = need(frame, *at, vlan::TAG_LEN)?;
        if !tagged {
            *vlan = vlan::identifier(tag.be16(0));
        }
        kind = tag.be16(2);
        *at += vlan::TAG_LEN;
        if vlan::is_tag(kind) {
            let inner = need(frame, *at, vlan::TAG_LEN)?;
            kind = inner.be16(2);
            *at += vlan::TAG_LEN;
        }
    }
    match kind {
        ethertype::IPV4 => ip::v4(frame, *at),
        ethertype::IPV6 => ip::v6(frame, *at),
        ethertype::PPPOE_SESSION => pppoe::session(frame, at),
        kind if kind == ethertype::MPLS[0] || kind == ethertype::MPLS[1] => mpls::stack(frame, at),
        ethertype::VLAN
        | ethertype::SERVICE_VLAN
        | ethertype::BACKBONE
        | ethertype::MACSEC
        | ethertype::NSH
        | ethertype::TRILL => Err(End::Unsupported),
        kind if kind == ethertype::OLD_QINQ[0] || kind == ethertype::OLD_QINQ[1] => Err(End::Unsupported),
        _ => Err(End::NonIp),
    }
}

/// A frame in memory, of which the first `bytes.len()` of `len` bytes can be read.
#[derive(Clone, Copy, Debug)]
pub struct Bytes<'a> {
    bytes: &'a [u8],
    len: u32,
}

impl<'a> Bytes<'a> {
    /// A whole frame.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, len: bytes.len() as u32 }
    }

    /// A frame of `len` bytes of which only a part is there.
    #[must_use]
    pub fn cut(bytes: &'a [u8], len: u32) -> Self {
        Self { bytes, len: len.max(bytes.len() as u32) }
    }
}

impl Frame for Bytes<'_> {
    type Header<'b>
        = &'b [u8]
    where
        Self: 'b;

    fn len(&self) -> u32 {
        self.len
    }

    fn header(&self, at: u32, len: u32) -> Option<&[u8]> {
        self.bytes.get(at as usize..at as usize + len as usize)
    }
}

impl Header for &[u8] {
    fn u8(self, at: u32) -> u8 {
        self[at as usize]
    }

    fn be16(self, at: u32) -> u16 {
        u16::from_be_bytes([self[at as usize], self[at as usize + 1]])
    }

    fn be32(self, at: u32) -> u32 {
        u32::from(self.be16(at)) << 16 | u32::from(self.be16(at + 2))
    }
}
