//! Owners, packed: there are as many as routes.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::model::{Asn, Family, Ipv4Network, Ipv6Network, Owner, OwnerId, Prefix};

/// Owners by number.
#[derive(Debug, Default)]
pub(super) struct OwnerTable {
    owners: Vec<Packed>,
    /// Addresses of IPv6 prefixes.
    v6: Vec<u128>,
}

/// 12 bytes of an [`Owner`], which has 24.
#[derive(Clone, Copy, Debug)]
struct Packed {
    /// An IPv4 address, or where in `v6` the IPv6 address is.
    bits: u32,
    asn: Asn,
    kind: Kind,
    len: u8,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Unmatched(Family),
    Route(Family),
    As(Family),
}

impl OwnerTable {
    pub(super) fn len(&self) -> usize {
        self.owners.len()
    }

    /// Adds an owner under the next number.
    pub(super) fn push(&mut self, owner: Owner) -> OwnerId {
        let packed = match owner {
            Owner::Unmatched(family) => Packed { bits: 0, asn: 0, kind: Kind::Unmatched(family), len: 0 },
            Owner::As { family, asn } => Packed { bits: 0, asn, kind: Kind::As(family), len: 0 },
            Owner::Route { prefix: Prefix::V4(prefix), asn } => Packed {
                bits: prefix.network_address().to_bits(),
                asn,
                kind: Kind::Route(Family::Ipv4),
                len: prefix.netmask(),
            },
            Owner::Route { prefix: Prefix::V6(prefix), asn } => {
                self.v6.push(prefix.network_address().to_bits());
                let bits = self.v6.len() as u32 - 1;
                Packed { bits, asn, kind: Kind::Route(Family::Ipv6), len: prefix.netmask() }
            }
        };
        self.owners.push(packed);
        OwnerId(self.owners.len() as u32 - 1)
    }

    /// The owner of a number that was given.
    pub(super) fn get(&self, id: OwnerId) -> Owner {
        let Packed { bits, asn, kind, len } = self.owners[id.0 as usize];
        match kind {
            Kind::Unmatched(family) => Owner::Unmatched(family),
            Kind::As(family) => Owner::As { family, asn },
            Kind::Route(Family::Ipv4) => {
                let network = Ipv4Network::new_truncate(Ipv4Addr::from_bits(bits), len);
                route(network.map(Prefix::V4), asn, Family::Ipv4)
            }
            Kind::Route(Family::Ipv6) => {
                let address = self.v6.get(bits as usize).copied().unwrap_or_default();
                let network = Ipv6Network::new_truncate(Ipv6Addr::from_bits(address), len);
                route(network.map(Prefix::V6), asn, Family::Ipv6)
            }
        }
    }
}

/// A packed prefix was one before, so it is one again.
fn route<E>(prefix: Result<Prefix, E>, asn: Asn, family: Family) -> Owner {
    prefix.map_or(Owner::Unmatched(family), |prefix| Owner::Route { prefix, asn })
}
