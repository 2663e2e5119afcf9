//! Captures as bytes, written by hand: pcap (draft-ietf-opsawg-pcap) and pcapng (draft-ietf-opsawg-pcapng).

/// A captured frame: the bytes that were kept, and how long it was.
pub(crate) struct Packet {
    pub(crate) kept: Vec<u8>,
    pub(crate) original: u32,
}

/// Byte order of a file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Little,
    Big,
}

impl Order {
    fn u16(self, value: u16) -> [u8; 2] {
        if self == Self::Big { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    fn u32(self, value: u32) -> [u8; 4] {
        if self == Self::Big { value.to_be_bytes() } else { value.to_le_bytes() }
    }
}

/// LINKTYPE_ETHERNET.
pub(crate) const ETHERNET: u32 = 1;
const SNAP: u32 = 262_144;
/// Snap length of a pcapng's first interface, which is also that of its simple packet blocks.
const FIRST_SNAP: u32 = 96;

/// A pcap's header.
pub(crate) fn pcap_header(order: Order, link_type: u32) -> Vec<u8> {
    let mut file = Vec::new();
    file.extend(order.u32(0xa1b2_c3d4));
    file.extend(order.u16(2));
    file.extend(order.u16(4));
    file.extend([0; 8]);
    file.extend(order.u32(SNAP));
    file.extend(order.u32(link_type));
    file
}

/// A pcap of Ethernet frames.
pub(crate) fn pcap(packets: &[Packet], order: Order) -> Vec<u8> {
    let mut file = pcap_header(order, ETHERNET);
    for (number, packet) in packets.iter().enumerate() {
        file.extend(order.u32(1_700_000_000 + number as u32 / 1000));
        file.extend(order.u32(number as u32 % 1000));
        file.extend(order.u32(packet.kept.len() as u32));
        file.extend(order.u32(packet.original));
        file.extend(&packet.kept);
    }
    file
}

/// A block: its type, its body padded, its length before and after.
fn block(file: &mut Vec<u8>, order: Order, kind: u32, body: &[u8]) {
    let padded = body.len().next_multiple_of(4);
    let length = order.u32(padded as u32 + 12);
    file.extend(order.u32(kind));
    file.extend(length);
    file.extend(body);
    file.resize(file.len() + padded - body.len(), 0);
    file.extend(length);
}

/// An interface of this link type.
fn interface(order: Order, link_type: u16, snap: u32) -> Vec<u8> {
    let mut body = order.u16(link_type).to_vec();
    body.extend([0; 2]);
    body.extend(order.u32(snap));
    body
}

/// A pcapng's section header, and one interface.
pub(crate) fn pcapng_header(order: Order, link_type: u32) -> Vec<u8> {
    let mut file = Vec::new();
    let mut section = order.u32(0x1a2b_3c4d).to_vec();
    section.extend(order.u16(1));
    section.extend(order.u16(0));
    section.extend([0xff; 8]);
    block(&mut file, order, 0x0a0d_0d0a, &section);
    block(&mut file, order, 1, &interface(order, link_type as u16, FIRST_SNAP));
    file
}

/// A pcapng of Ethernet frames: on two interfaces, with options, in simple blocks where that can say it, and with
/// blocks between that are no packets.
pub(crate) fn pcapng(packets: &[Packet], order: Order) -> Vec<u8> {
    let mut file = pcapng_header(order, ETHERNET);
    block(&mut file, order, 1, &interface(order, ETHERNET as u16, SNAP));
    for (number, packet) in packets.iter().enumerate() {
        let mut body = Vec::with_capacity(packet.kept.len() + 40);
        if number % 1000 == 999 {
            // Name resolution: no records but the end.
            block(&mut file, order, 4, &[0; 4]);
        }
        if number % 3 == 0 && packet.kept.len() as u32 == packet.original.min(FIRST_SNAP) {
            body.extend(order.u32(packet.original));
            body.extend(&packet.kept);
            block(&mut file, order, 3, &body);
            continue;
        }
        body.extend(order.u32(u32::from(packet.kept.len() as u32 > FIRST_SNAP || number % 2 == 0)));
        body.extend(order.u32(0x0006_0000));
        body.extend(order.u32(number as u32));
        body.extend(order.u32(packet.kept.len() as u32));
        body.extend(order.u32(packet.original));
        body.extend(&packet.kept);
        body.resize(body.len().next_multiple_of(4), 0);
        if number % 5 == 0 {
            // A comment, and the end of options.
            body.extend(order.u16(1));
            body.extend(order.u16(3));
            body.extend(*b"abc\0");
            body.extend([0; 4]);
        }
        block(&mut file, order, 6, &body);
    }
    file
}
