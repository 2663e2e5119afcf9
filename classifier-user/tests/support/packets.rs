//! Frames with addresses and lengths of one's choice.

use std::net::IpAddr;

/// Two Ethernet addresses, VLAN tags (the outer one first), and a type.
pub(crate) fn ethernet(vlans: &[u16], kind: u16) -> Vec<u8> {
    let mut frame = vec![0x02, 0, 0, 0, 0, 1, 0x02, 0, 0, 0, 0, 2];
    for (depth, vlan) in vlans.iter().enumerate() {
        // 802.1ad outside of 802.1Q.
        let tag: u16 = if depth + 1 < vlans.len() { 0x88a8 } else { 0x8100 };
        frame.extend(tag.to_be_bytes());
        frame.extend(vlan.to_be_bytes());
    }
    frame.extend(kind.to_be_bytes());
    frame
}

/// An IP packet of UDP, `len` bytes in all, IP header in.
pub(crate) fn packet(source: IpAddr, destination: IpAddr, len: usize) -> Vec<u8> {
    let mut packet = Vec::with_capacity(len);
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            packet.extend([0x45, 0]);
            packet.extend((len as u16).to_be_bytes());
            packet.extend([0, 1, 0, 0, 64, 17, 0, 0]);
            packet.extend(source.octets());
            packet.extend(destination.octets());
            // A bridge drops a packet with a wrong checksum.
            let words = packet.chunks(2).map(|word| u32::from(word[0]) << 8 | u32::from(word[1]));
            let sum = words.sum::<u32>();
            let checksum = !((sum & 0xffff) + (sum >> 16)) as u16;
            packet[10..12].copy_from_slice(&checksum.to_be_bytes());
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            packet.extend([0x60, 0, 0, 0]);
            packet.extend((len.saturating_sub(40) as u16).to_be_bytes());
            packet.extend([17, 64]);
            packet.extend(source.octets());
            packet.extend(destination.octets());
        }
        _ => panic!("{source} and {destination} are of two families"),
    }
    assert!(packet.len() <= len, "{len} bytes are too few");
    packet.resize(len, 0xa5);
    packet
}

/// The Ethernet type of a packet between these.
pub(crate) fn kind_of(address: IpAddr) -> u16 {
    if address.is_ipv4() { 0x0800 } else { 0x86dd }
}

/// A frame of UDP, `len` bytes in all, tags in.
pub(crate) fn frame(source: IpAddr, destination: IpAddr, len: usize, vlans: &[u16]) -> Vec<u8> {
    let mut frame = ethernet(vlans, kind_of(source));
    let rest = packet(source, destination, len - frame.len());
    frame.extend(rest);
    frame
}
