//! A capture with everything in it that is on a wire, from a fixed seed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{
    captures::Packet,
    oracle::Table,
    packets::{ethernet, frame, kind_of, packet},
};

/// xorshift64* (Vigna 2016).
pub(crate) struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() >> 11) as usize % limit
    }
}

/// An address: three in four from a prefix of the table, its first or last one now and then, else any at all.
fn address(random: &mut Random, table: &Table, v6: bool) -> IpAddr {
    let routes = if v6 { &table.v6 } else { &table.v4 };
    let width = if v6 { 128 } else { 32 };
    let any = u128::from(random.next()) << 64 | u128::from(random.next());
    let any = if v6 { any } else { any >> 96 };
    let bits = if random.below(4) == 0 {
        // Most IPv6 addresses at random are outside of what is routed at all: 2000::/3.
        if v6 && random.below(2) == 0 { any >> 3 | 1 << 125 } else { any }
    } else {
        let (network, length) = routes[random.below(routes.len())];
        let host = if length == 0 { u128::MAX >> (128 - width) } else { (1u128 << (width - length)) - 1 };
        match random.below(10) {
            0 => network,
            1 => network | host,
            2 => (network | host).wrapping_add(1) & (u128::MAX >> (128 - width)),
            _ => network | any & host,
        }
    };
    if v6 { IpAddr::V6(Ipv6Addr::from_bits(bits)) } else { IpAddr::V4(Ipv4Addr::from_bits(bits as u32)) }
}

/// An IP packet with options, fragments and lengths of all sorts.
fn ip(random: &mut Random, table: &Table, limit: usize) -> Vec<u8> {
    let v6 = random.below(3) == 0;
    let (source, destination) = (address(random, table, v6), address(random, table, v6));
    let least = if v6 { 40 } else { 20 };
    let mut bytes = packet(source, destination, least + random.below(limit));
    if !v6 {
        match random.below(12) {
            // Options: as many words as the packet has, or more.
            0 => bytes[0] = 0x40 | (5 + random.below(11)) as u8,
            // A fragment, the first or a later one.
            1 => bytes[6..8].copy_from_slice(&[0x20, 0]),
            2 => bytes[6..8].copy_from_slice(&[0x00, 0xb9]),
            // A total length that is not the frame's.
            3 => bytes[2..4].copy_from_slice(&60_000u16.to_be_bytes()),
            _ => {}
        }
    } else if random.below(8) == 0 {
        // A fragment header, hop-by-hop options.
        bytes[6] = if random.below(2) == 0 { 44 } else { 0 };
    }
    bytes
}

/// The type of what an IP packet is.
fn kind(packet: &[u8]) -> u16 {
    if packet[0] >> 4 == 6 { 0x86dd } else { 0x0800 }
}

/// Up to two tags.
fn tags(random: &mut Random) -> Vec<u16> {
    (0..[0, 0, 0, 1, 1, 2][random.below(6)]).map(|_| random.below(4096) as u16).collect()
}

fn mpls(random: &mut Random, depth: usize) -> Vec<u8> {
    (0..depth).flat_map(|i| [random.next() as u8, 1, u8::from(i + 1 == depth), 64]).collect()
}

fn one(random: &mut Random, table: &Table) -> Vec<u8> {
    let vlans = tags(random);
    let limit = if random.below(4) == 0 { 1461 } else { 200 };
    match random.below(100) {
        // Plain and tagged IP.
        0..55 => {
            let ip = ip(random, table, limit);
            [ethernet(&vlans, kind(&ip)), ip].concat()
        }
        55..63 => {
            let (depth, ip) = (1 + random.below(13), ip(random, table, limit));
            let type_of = if random.below(4) == 0 { 0x8848 } else { 0x8847 };
            [ethernet(&vlans, type_of), mpls(random, depth), ip].concat()
        }
        63..71 => {
            let ip = ip(random, table, limit);
            let protocol: u16 = match random.below(8) {
                0 => 0xc021,
                1 => 0x003d,
                2 => 0x0281,
                _ if kind(&ip) == 0x86dd => 0x0057,
                _ => 0x0021,
            };
            let mut session = vec![0x11, 0, 0, 7];
            session.extend((ip.len() as u16 + 2).to_be_bytes());
            session.extend(protocol.to_be_bytes());
            [ethernet(&vlans, 0x8864), session, ip].concat()
        }
        // ARP, LLDP, LLC, PPPoE discovery, a pseudowire.
        71..77 => {
            let kind = [0x0806, 0x88cc, 46, 0x8863][random.below(4)];
            [ethernet(&vlans, kind), vec![0; 46]].concat()
        }
        77 => [ethernet(&vlans, 0x8847), mpls(random, 2), vec![0; 40]].concat(),
        // What may have IP in it: a third tag, old QinQ, MACsec.
        78..80 => {
            let kind = [0x8100, 0x88a8, 0x9100, 0x9200, 0x88e5, 0x88e7, 0x894f, 0x22f3][random.below(8)];
            [ethernet(&[1, 2], kind), vec![0x45; 60]].concat()
        }
        // Ends anywhere.
        80..86 => {
            let ip = ip(random, table, 40);
            let mut frame = [ethernet(&vlans, kind(&ip)), ip].concat();
            frame.truncate(random.below(60));
            frame
        }
        86..88 => {
            let mut frame = [ethernet(&vlans, 0x8847), mpls(random, 3)].concat();
            frame.truncate(10 + random.below(20));
            frame
        }
        88..92 => {
            let mut ip = ip(random, table, limit);
            let of = kind(&ip);
            // The other version, or a header of less than five words.
            ip[0] = [0x44, 0x40, 0x65, 0x25, 0x05][random.below(5)];
            [ethernet(&vlans, of), ip].concat()
        }
        // Jumbo frames and super-frames.
        92..94 => {
            let v6 = random.below(2) == 0;
            let (source, destination) = (address(random, table, v6), address(random, table, v6));
            frame(source, destination, 1515 + random.below(7500), &vlans)
        }
        // Random bytes behind a header of a known type.
        94..97 => {
            let kind = [0x0800, 0x86dd, 0x8847, 0x8864, 0x8100][random.below(5)];
            let mut frame = ethernet(&vlans, kind);
            frame.extend((0..random.below(80)).map(|_| random.next() as u8));
            frame
        }
        _ => (0..random.below(120)).map(|_| random.next() as u8).collect(),
    }
}

/// A capture of this many frames with addresses of this table.
pub(crate) fn capture(packets: usize, table: &Table) -> Vec<Packet> {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut capture: Vec<Packet> = (0..packets)
        .map(|_| {
            let mut kept = one(&mut random, table);
            let original = kept.len() as u32;
            match random.below(8) {
                0 => kept.truncate(40),
                1 => kept.truncate(64),
                2 => kept.truncate(96),
                3 => kept.truncate(random.below(60)),
                _ => {}
            }
            Packet { kept, original }
        })
        .collect();
    // As long as the kernel's test run takes, a byte beyond, and far beyond: whole and cut.
    let (v4, v6) = (address(&mut random, table, false), address(&mut random, table, true));
    for length in [65_536usize, 65_537, 200_000] {
        for address in [v4, v6] {
            let mut whole = frame(address, address, 1514, &[]);
            assert_eq!(kind_of(address), u16::from_be_bytes([whole[12], whole[13]]));
            whole.resize(length, 0x5a);
            let cut = whole[..96].to_vec();
            for kept in [whole, cut] {
                capture.push(Packet { kept, original: length as u32 });
            }
        }
    }
    capture
}
