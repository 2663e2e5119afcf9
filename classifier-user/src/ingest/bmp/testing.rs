//! Messages as a router sends them.

use std::net::{IpAddr, Ipv4Addr};

use crate::{
    ingest::bgp::codec::{
        Families, Kind, append,
        open::{Capabilities, Open},
    },
    model::{Asn, Family},
};

/// A neighbour of the router, or its Loc-RIB.
#[derive(Clone, Copy)]
pub(super) struct Peer {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) distinguisher: u64,
    pub(super) address: IpAddr,
    pub(super) asn: Asn,
}

pub(super) const POST: u8 = 0x40;
pub(super) const LEGACY: u8 = 0x20;
pub(super) const OUT: u8 = 0x10;
pub(super) const LOCAL_AS: Asn = 64_500;

impl Peer {
    pub(super) const fn new(address: IpAddr, asn: Asn) -> Self {
        let flags = if address.is_ipv6() { 0x80 } else { 0 };
        Self { kind: 0, flags, distinguisher: 0, address, asn }
    }

    pub(super) const fn loc_rib() -> Self {
        let address = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        Self { kind: 3, flags: 0, distinguisher: 0, address, asn: LOCAL_AS }
    }

    pub(super) const fn with(self, flags: u8) -> Self {
        Self { flags: self.flags | flags, ..self }
    }

    fn header(&self) -> Vec<u8> {
        let mut out = vec![self.kind, self.flags];
        out.extend(self.distinguisher.to_be_bytes());
        match self.address {
            IpAddr::V4(address) => {
                out.extend([0; 12]);
                out.extend(address.octets());
            }
            IpAddr::V6(address) => out.extend(address.octets()),
        }
        out.extend(self.asn.to_be_bytes());
        out.extend([192, 0, 2, 9]);
        out.extend([0; 8]);
        out
    }

    pub(super) fn up(&self, add_path: bool) -> Vec<u8> {
        let mut body = self.header();
        body.extend([0; 16]);
        body.extend([0, 179, 0xc0, 0]);
        let both = Families { ipv4: add_path, ipv6: add_path };
        for (asn, sends, receives) in
            [(LOCAL_AS, Families::default(), both), (self.asn, both, Families::default())]
        {
            let capabilities = Capabilities {
                families: Some(Families::BOTH),
                four_octet_as: Some(asn),
                add_path_send: sends,
                add_path_receive: receives,
                ..Capabilities::default()
            };
            let identifier = Ipv4Addr::new(192, 0, 2, 1);
            Open { short_as: 23_456, hold_time: 90, identifier, capabilities }.append(&mut body);
        }
        message(3, &body)
    }

    pub(super) fn down(&self, reason: &[u8]) -> Vec<u8> {
        message(2, &[&self.header()[..], reason].concat())
    }

    pub(super) fn monitoring(&self, update: &[u8]) -> Vec<u8> {
        message(0, &[&self.header()[..], update].concat())
    }

    pub(super) fn statistics(&self, tlvs: &[u8]) -> Vec<u8> {
        message(1, &[&self.header()[..], &[0, 0, 0, 1], tlvs].concat())
    }
}

/// A whole message.
pub(super) fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![3];
    out.extend((body.len() as u32 + 6).to_be_bytes());
    out.push(kind);
    out.extend(body);
    out
}

pub(super) fn tlv(kind: u16, value: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &(value.len() as u16).to_be_bytes(), value].concat()
}

pub(super) fn initiation() -> Vec<u8> {
    message(4, &[tlv(1, b"FRRouting 8.4.4"), tlv(2, b"border")].concat())
}

/// An UPDATE with IPv4 prefixes of /24, by their first three bytes: with a path, or withdrawn. `path_id` where there is
/// one for each.
pub(super) fn update(path: Option<&[u8]>, nets: &[[u8; 3]], path_id: Option<u32>) -> Vec<u8> {
    let nlri: Vec<u8> = nets
        .iter()
        .flat_map(|net| {
            let mut out: Vec<u8> = path_id.map(u32::to_be_bytes).into_iter().flatten().collect();
            out.push(24);
            out.extend(net);
            out
        })
        .collect();
    let mut out = Vec::new();
    append(&mut out, Kind::Update, |out| match path {
        None => {
            out.extend((nlri.len() as u16).to_be_bytes());
            out.extend(&nlri);
            out.extend([0, 0]);
        }
        Some(path) => {
            // ORIGIN, AS_PATH, NEXT_HOP, LOCAL_PREF.
            let mut attributes = vec![0x40, 1, 1, 0, 0x40, 2, path.len() as u8];
            attributes.extend(path);
            attributes.extend([0x40, 3, 4, 192, 0, 2, 77, 0x40, 5, 4, 0, 0, 0, 200]);
            out.extend([0, 0]);
            out.extend((attributes.len() as u16).to_be_bytes());
            out.extend(attributes);
            out.extend(&nlri);
        }
    });
    out
}

/// An UPDATE with the path of one AS for 2001:db8::/32.
pub(super) fn update_v6(asn: Asn) -> Vec<u8> {
    let mut out = Vec::new();
    append(&mut out, Kind::Update, |out| {
        let mut attributes = vec![0x40, 1, 1, 0, 0x40, 2, 6];
        attributes.extend(path(&[asn]));
        // MP_REACH_NLRI: IPv6 unicast, a next hop of 16 bytes.
        attributes.extend([0x80, 14, 26, 0, 2, 1, 16]);
        attributes.extend([0; 16]);
        attributes.extend([0, 32, 0x20, 1, 0x0d, 0xb8]);
        out.extend([0, 0]);
        out.extend((attributes.len() as u16).to_be_bytes());
        out.extend(attributes);
    });
    out
}

/// A path of one sequence, of numbers of 4 bytes.
pub(super) fn path(asns: &[Asn]) -> Vec<u8> {
    let mut out = vec![2, asns.len() as u8];
    out.extend(asns.iter().flat_map(|asn| asn.to_be_bytes()));
    out
}

/// The end of a family.
pub(super) fn end_of_rib(family: Family) -> Vec<u8> {
    let mut out = Vec::new();
    append(&mut out, Kind::Update, |out| match family {
        Family::Ipv4 => out.extend([0; 4]),
        Family::Ipv6 => out.extend([0, 0, 0, 6, 0x80, 15, 3, 0, 2, 1]),
    });
    out
}
