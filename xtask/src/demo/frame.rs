//! Frames: Ethernet, at times 802.1Q, IPv4 or IPv6, UDP, zeroes up to the length wanted.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::routes::Family;

/// Addressed to nobody here (locally administered, IEEE 802 clause 8.2), so that the receiving kernel drops the frame
/// after it was counted, and answers nothing.
const MACS: [u8; 12] = [0x02, 0, 0, 0, 0, 0x01, 0x02, 0, 0, 0, 0, 0x02];
const ETHERTYPE_VLAN: u16 = 0x8100;
const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const PROTOCOL_UDP: u8 = 17;
const UDP_HEADER: usize = 8;

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    pub(crate) vlan: Option<u16>,
    pub(crate) addresses: Addresses,
    /// From the destination MAC address to the last byte before the FCS.
    pub(crate) length: usize,
}

/// Source and destination.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Addresses {
    V4(Ipv4Addr, Ipv4Addr),
    V6(Ipv6Addr, Ipv6Addr),
}

impl Addresses {
    /// `None` where they are of two families.
    pub(crate) fn new(source: IpAddr, destination: IpAddr) -> Option<Self> {
        match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => Some(Self::V4(source, destination)),
            (IpAddr::V6(source), IpAddr::V6(destination)) => Some(Self::V6(source, destination)),
            _ => None,
        }
    }
}

impl Frame {
    /// Longest at an MTU of 1500, tag included.
    pub(crate) const MAX_LENGTH: usize = 14 + 1500;

    /// The headers' length: shorter is no such frame.
    pub(crate) const fn min_length(family: Family, vlan: Option<u16>) -> usize {
        let ethernet = if vlan.is_some() { 18 } else { 14 };
        let ip = match family {
            Family::V4 => 20,
            Family::V6 => 40,
        };
        ethernet + ip + UDP_HEADER
    }

    /// Writes the frame in place of what `bytes` held.
    pub(crate) fn write(&self, bytes: &mut Vec<u8>) {
        bytes.clear();
        bytes.extend(MACS);
        if let Some(vlan) = self.vlan {
            bytes.extend(ETHERTYPE_VLAN.to_be_bytes());
            bytes.extend(vlan.to_be_bytes());
        }
        match self.addresses {
            Addresses::V4(source, destination) => {
                bytes.extend(ETHERTYPE_IPV4.to_be_bytes());
                let length = (self.length - bytes.len()) as u16;
                let mut header =
                    [0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, PROTOCOL_UDP, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
                header[2..4].copy_from_slice(&length.to_be_bytes());
                header[12..16].copy_from_slice(&source.octets());
                header[16..].copy_from_slice(&destination.octets());
                let checksum = !sum(&header);
                header[10..12].copy_from_slice(&checksum.to_be_bytes());
                bytes.extend(header);
                let pseudo = [source.octets(), destination.octets()].concat();
                self.write_udp(bytes, sum(&pseudo));
            }
            Addresses::V6(source, destination) => {
                bytes.extend(ETHERTYPE_IPV6.to_be_bytes());
                let length = (self.length - bytes.len() - 40) as u16;
                bytes.extend([0x60, 0, 0, 0]);
                bytes.extend(length.to_be_bytes());
                bytes.extend([PROTOCOL_UDP, 64]);
                bytes.extend(source.octets());
                bytes.extend(destination.octets());
                let pseudo = [source.octets(), destination.octets()].concat();
                self.write_udp(bytes, sum(&pseudo));
            }
        }
    }

    /// The rest: the header with its checksum (RFC 768; the zeroes after it add nothing), and the zeroes.
    fn write_udp(&self, bytes: &mut Vec<u8>, addresses: u16) {
        const PORTS: [u8; 4] = [0xc0, 0x01, 0x01, 0xbb];
        let length = ((self.length - bytes.len()) as u16).to_be_bytes();
        let words = [&addresses.to_be_bytes(), &PORTS[..], &[0, PROTOCOL_UDP], &length, &length].concat();
        let checksum = match !sum(&words) {
            0 => 0xffff,
            checksum => checksum,
        };
        bytes.extend(PORTS);
        bytes.extend(length);
        bytes.extend(checksum.to_be_bytes());
        bytes.resize(self.length, 0);
    }
}

/// The ones' complement sum of 16-bit words (RFC 1071); all that is summed here has whole words.
fn sum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks_exact(2).map(|word| u32::from(word[0]) << 8 | u32::from(word[1]));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    sum as u16
}

#[cfg(test)]
mod tests {
    use super::{Addresses, Family, Frame};

    fn bytes(vlan: Option<u16>, source: &str, destination: &str, length: usize) -> Vec<u8> {
        let addresses = Addresses::new(source.parse().unwrap(), destination.parse().unwrap()).unwrap();
        let mut bytes = vec![1, 2, 3];
        Frame { vlan, addresses, length }.write(&mut bytes);
        bytes
    }

    #[test]
    fn ipv4() {
        let frame = bytes(None, "192.0.2.1", "198.51.100.2", 60);
        let expected = [
            0x02, 0, 0, 0, 0, 1, 0x02, 0, 0, 0, 0, 2, 0x08, 0x00, // Ethernet
            0x45, 0, 0, 46, 0, 0, 0x40, 0, 64, 17, 0x4e, 0x88, 192, 0, 2, 1, 198, 51, 100, 2, // IPv4
            0xc0, 0x01, 0x01, 0xbb, 0, 26, 0x51, 0xc6, // UDP
        ];
        assert_eq!(frame[..42], expected);
        assert_eq!(frame[42..], [0; 18]);
    }

    #[test]
    fn ipv6_with_a_tag() {
        let frame =
            bytes(Some(100), "2001:db8::1", "2001:db8:1::2", Frame::min_length(Family::V6, Some(100)));
        assert_eq!(frame.len(), 66);
        assert_eq!(frame[12..26], [0x81, 0, 0, 100, 0x86, 0xdd, 0x60, 0, 0, 0, 0, 8, 17, 64]);
        assert_eq!(frame[26..30], [0x20, 0x01, 0x0d, 0xb8]);
        assert_eq!(frame[42..48], [0x20, 0x01, 0x0d, 0xb8, 0, 1]);
        assert_eq!(frame[58..64], [0xc0, 0x01, 0x01, 0xbb, 0, 8]);
        assert_eq!(frame[64..], [0xe2, 0xab]);
    }
}
