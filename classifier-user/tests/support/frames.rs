//! Named frames with what must become of them: for the parser on the host, and for the programs in the kernel.

use std::net::{Ipv4Addr, Ipv6Addr};

use classifier_common::counter::Outcome;

/// Source and destination of every IPv4 packet here.
pub(crate) const V4: (Ipv4Addr, Ipv4Addr) = (Ipv4Addr::new(45, 57, 0, 1), Ipv4Addr::new(8, 8, 8, 8));
/// Source and destination of every IPv6 packet here.
pub(crate) const V6: (Ipv6Addr, Ipv6Addr) = (
    Ipv6Addr::new(0x2a00, 0x86c0, 0, 0, 0, 0, 0, 1),
    Ipv6Addr::new(0x2001, 0x4860, 0x4860, 0, 0, 0, 0, 0x8888),
);

/// A frame and its outcome.
pub(crate) struct Named {
    pub name: &'static str,
    pub bytes: Vec<u8>,
    pub outcome: Outcome,
    /// The outer VLAN that the parser must report.
    pub vlan: u16,
}

/// An Ethernet header with this type.
fn ethernet(kind: u16) -> Vec<u8> {
    let mut frame = vec![0x02, 0, 0, 0, 0, 1, 0x02, 0, 0, 0, 0, 2];
    frame.extend(kind.to_be_bytes());
    frame
}

fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// A tag's control information and what follows.
fn tag(vlan: u16, kind: u16) -> [u8; 4] {
    let [a, b] = vlan.to_be_bytes();
    let [c, d] = kind.to_be_bytes();
    [a, b, c, d]
}

/// An IPv4 header with options of `options` bytes and a fragment field, then `payload` bytes of UDP.
pub(crate) fn ipv4(options: usize, fragment: u16, payload: usize) -> Vec<u8> {
    let header = 20 + options;
    let mut packet = vec![0x40 | (header / 4) as u8, 0];
    packet.extend(((header + payload) as u16).to_be_bytes());
    packet.extend([0x12, 0x34]);
    packet.extend(fragment.to_be_bytes());
    packet.extend([64, 17, 0, 0]);
    packet.extend(V4.0.octets());
    packet.extend(V4.1.octets());
    packet.resize(header, 1);
    packet.resize(header + payload, 0xab);
    packet
}

/// An IPv6 header with this next header, then `payload` bytes.
pub(crate) fn ipv6(next: u8, payload: usize) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend((payload as u16).to_be_bytes());
    packet.extend([next, 64]);
    packet.extend(V6.0.octets());
    packet.extend(V6.1.octets());
    packet.resize(40 + payload, 0xcd);
    packet
}

/// An MPLS stack of `depth` labels.
fn mpls(depth: usize) -> Vec<u8> {
    (0..depth).flat_map(|i| [0, 1, u8::from(i + 1 == depth), 64]).collect()
}

/// A PPPoE session header carrying PPP protocol `protocol` with `len` bytes.
fn pppoe(protocol: u16, len: usize) -> Vec<u8> {
    let mut header = vec![0x11, 0, 0, 7];
    header.extend((len as u16 + 2).to_be_bytes());
    header.extend(protocol.to_be_bytes());
    header
}

/// All of them.
pub(crate) fn all() -> Vec<Named> {
    use Outcome::{Ipv4, Ipv6, Malformed, NonIp, Unsupported};
    let v4 = ipv4(0, 0, 40);
    let v6 = ipv6(17, 40);
    let mut frames = Vec::new();
    let mut add = |name, outcome, vlan, bytes: Vec<u8>| frames.push(Named { name, bytes, outcome, vlan });

    add("ipv4", Ipv4, 0, join(&[&ethernet(0x0800), &v4]));
    add("ipv4, only a header", Ipv4, 0, join(&[&ethernet(0x0800), &ipv4(0, 0, 0)]));
    add("ipv4 with options", Ipv4, 0, join(&[&ethernet(0x0800), &ipv4(40, 0, 12)]));
    add("ipv4, options as long as the frame", Ipv4, 0, join(&[&ethernet(0x0800), &ipv4(8, 0, 0)]));
    add("first fragment", Ipv4, 0, join(&[&ethernet(0x0800), &ipv4(0, 0x2000, 40)]));
    add("second fragment", Ipv4, 0, join(&[&ethernet(0x0800), &ipv4(0, 0x00b9, 40)]));
    let mut long = v4.clone();
    long[2..4].copy_from_slice(&60000u16.to_be_bytes());
    add("ipv4, total length beyond the frame", Ipv4, 0, join(&[&ethernet(0x0800), &long]));
    add("ipv4, padded to 60", Ipv4, 0, join(&[&ethernet(0x0800), &ipv4(0, 0, 0), &[0; 26]]));
    add("ipv4, 1514 bytes", Ipv4, 0, join(&[&ethernet(0x0800), &ipv4(0, 0, 1480)]));
    add("ipv6", Ipv6, 0, join(&[&ethernet(0x86dd), &v6]));
    add("ipv6, only a header", Ipv6, 0, join(&[&ethernet(0x86dd), &ipv6(59, 0)]));
    add("ipv6 with hop-by-hop options", Ipv6, 0, join(&[&ethernet(0x86dd), &ipv6(0, 48)]));
    add("ipv6 fragment", Ipv6, 0, join(&[&ethernet(0x86dd), &ipv6(44, 48)]));

    add("802.1q ipv4", Ipv4, 100, join(&[&ethernet(0x8100), &tag(100, 0x0800), &v4]));
    add("802.1q ipv6, priority 7", Ipv6, 100, join(&[&ethernet(0x8100), &tag(0xe064, 0x86dd), &v6]));
    add("priority tag", Ipv4, 0, join(&[&ethernet(0x8100), &tag(0xa000, 0x0800), &v4]));
    add(
        "802.1ad and 802.1q",
        Ipv4,
        200,
        join(&[&ethernet(0x88a8), &tag(200, 0x8100), &tag(300, 0x0800), &v4]),
    );
    add("two 802.1q", Ipv6, 4094, join(&[&ethernet(0x8100), &tag(4094, 0x8100), &tag(1, 0x86dd), &v6]));
    add(
        "third tag",
        Unsupported,
        1,
        join(&[&ethernet(0x88a8), &tag(1, 0x8100), &tag(2, 0x8100), &tag(3, 0x0800), &v4]),
    );
    add("old qinq", Unsupported, 0, join(&[&ethernet(0x9100), &tag(1, 0x0800), &v4]));

    add("mpls ipv4", Ipv4, 0, join(&[&ethernet(0x8847), &mpls(1), &v4]));
    add("mpls ipv6, 3 labels", Ipv6, 0, join(&[&ethernet(0x8847), &mpls(3), &v6]));
    add("mpls, 8 labels", Ipv4, 0, join(&[&ethernet(0x8847), &mpls(8), &v4]));
    add("mpls, 10 labels, two tags", Ipv6, 5, {
        join(&[&ethernet(0x88a8), &tag(5, 0x8100), &tag(6, 0x8847), &mpls(10), &v6])
    });
    add("mpls, 11 labels", Unsupported, 0, join(&[&ethernet(0x8847), &mpls(11), &v4]));
    add("mpls multicast", Ipv4, 0, join(&[&ethernet(0x8848), &mpls(2), &v4]));
    add("mpls, a pseudowire's control word", NonIp, 0, join(&[&ethernet(0x8847), &mpls(2), &[0; 40]]));
    add("mpls, nothing below", Malformed, 0, join(&[&ethernet(0x8847), &mpls(1)]));
    add(
        "mpls, stack without a bottom",
        Malformed,
        0,
        join(&[&ethernet(0x8847), &[0, 1, 0, 64], &[0, 1, 0, 64]]),
    );

    add("pppoe ipv4", Ipv4, 0, join(&[&ethernet(0x8864), &pppoe(0x21, v4.len()), &v4]));
    add("pppoe ipv6", Ipv6, 0, join(&[&ethernet(0x8864), &pppoe(0x57, v6.len()), &v6]));
    add("pppoe in a vlan", Ipv4, 7, join(&[&ethernet(0x8100), &tag(7, 0x8864), &pppoe(0x21, v4.len()), &v4]));
    add("ppp control", NonIp, 0, join(&[&ethernet(0x8864), &pppoe(0xc021, 20), &[0; 20]]));
    add("ppp multilink", Unsupported, 0, join(&[&ethernet(0x8864), &pppoe(0x3d, 20), &[0; 20]]));
    add("pppoe discovery", NonIp, 0, join(&[&ethernet(0x8863), &[0x11, 9, 0, 0, 0, 0], &[0; 40]]));
    add("cut in the pppoe header", Malformed, 0, join(&[&ethernet(0x8864), &[0x11, 0, 0, 7]]));

    add("arp", NonIp, 0, join(&[&ethernet(0x0806), &[0; 46]]));
    add("lldp", NonIp, 0, join(&[&ethernet(0x88cc), &[0; 46]]));
    add("llc, a length field", NonIp, 0, join(&[&ethernet(38), &[0x42, 0x42, 3], &[0; 43]]));
    add("macsec", Unsupported, 0, join(&[&ethernet(0x88e5), &[0; 46]]));

    add("only an ethernet header", Malformed, 0, ethernet(0x0800));
    add("cut in the vlan tag", Malformed, 0, join(&[&ethernet(0x8100), &[0, 100]]));
    add("cut in the second tag", Malformed, 9, join(&[&ethernet(0x88a8), &tag(9, 0x8100), &[0]]));
    add("cut in the ipv4 header", Malformed, 0, join(&[&ethernet(0x0800), &v4[..19]]));
    add("cut in the ipv6 header", Malformed, 0, join(&[&ethernet(0x86dd), &v6[..39]]));
    let mut options = ipv4(20, 0, 0);
    options.truncate(32);
    add("cut in the ipv4 options", Malformed, 0, join(&[&ethernet(0x0800), &options]));
    let mut version = v4.clone();
    version[0] = 0x65;
    add("ipv4 with version 6", Malformed, 0, join(&[&ethernet(0x0800), &version]));
    let mut words = v4.clone();
    words[0] = 0x44;
    add("ipv4 with a header of 16 bytes", Malformed, 0, join(&[&ethernet(0x0800), &words]));
    let mut version = v6.clone();
    version[0] = 0x40;
    add("ipv6 with version 4", Malformed, 0, join(&[&ethernet(0x86dd), &version]));

    for kind in [1u8, 2, 47, 50] {
        let mut other = v4.clone();
        other[9] = kind;
        let name = match kind {
            1 => "icmp",
            2 => "igmp",
            47 => "gre: the outer header counts",
            _ => "esp",
        };
        add(name, Ipv4, 0, join(&[&ethernet(0x0800), &other]));
    }
    frames
}
