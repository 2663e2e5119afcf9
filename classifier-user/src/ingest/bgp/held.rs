//! How many routes a peer has announced and not withdrawn.

use std::hash::BuildHasher as _;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::codec::Families;
use crate::{
    ingest::live::{PathId, Route},
    model::{Family, Prefix},
};

/// What a route takes, in bytes, beside 4 for each AS of its path: its place in the tables, and attributes that it shares
/// with no other.
pub(in crate::ingest) const ROUTE_BYTES: u64 = 160;

/// A set of routes by their hashes, 9 to 18 bytes each: the table that keeps the routes is elsewhere, and behind. Two
/// routes of the same hash count as one: of a million routes, that is once in 30,000 sessions.
pub(in crate::ingest) struct Held {
    hasher: DefaultHashBuilder,
    routes: Families<HashTable<Entry>>,
    ases: u64,
    max: usize,
}

/// 54 bits of a route's hash, then how many ASes its path has, which is at most [`MAX_PATH`](super::codec::update::MAX_PATH).
#[derive(Clone, Copy)]
struct Entry(u64);

const ASES: u64 = (1 << 10) - 1;
const _: () = assert!(super::codec::update::MAX_PATH as u64 <= ASES);

impl Entry {
    fn new(hash: u64, ases: usize) -> Self {
        Self(hash & !ASES | ases as u64 & ASES)
    }

    const fn ases(self) -> u64 {
        self.0 & ASES
    }

    /// A table takes the place from the lowest bits, and a tag from the highest.
    const fn hash(self) -> u64 {
        (self.0 & !ASES).rotate_left(40)
    }
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Held").field("counts", &self.counts()).field("ases", &self.ases).finish()
    }
}

impl Held {
    pub(in crate::ingest) fn new(max: u32) -> Self {
        let routes = Families { ipv4: HashTable::new(), ipv6: HashTable::new() };
        Self { hasher: DefaultHashBuilder::default(), routes, ases: 0, max: max as usize }
    }

    /// Takes routes up to the one that is too many, whose place it gives back.
    pub(in crate::ingest) fn take(&mut self, routes: &[Route]) -> Result<(), usize> {
        for (place, route) in routes.iter().enumerate() {
            let key: (Prefix, PathId) = (route.prefix, route.path_id);
            let ases = route.attributes.as_ref().map_or(0, |its| its.path.len() + its.set.len());
            let entry = Entry::new(self.hasher.hash_one(key), ases);
            let full = self.routes.ipv4.len() + self.routes.ipv6.len() >= self.max;
            let set = &mut self.routes[Family::of(&route.prefix)];
            let known = set.find_entry(entry.hash(), |other| other.hash() == entry.hash());
            match (known, route.attributes.is_some()) {
                (Ok(mut known), true) => {
                    self.ases -= known.get().ases();
                    *known.get_mut() = entry;
                }
                (Ok(known), false) => {
                    self.ases -= known.remove().0.ases();
                    continue;
                }
                (Err(_), true) if full => return Err(place),
                (Err(_), true) => {
                    set.insert_unique(entry.hash(), entry, |other| other.hash());
                }
                (Err(_), false) => continue,
            }
            self.ases += entry.ases();
        }
        Ok(())
    }

    /// Takes all of a family out.
    pub(in crate::ingest) fn forget(&mut self, family: Family) {
        let gone = std::mem::take(&mut self.routes[family]);
        self.ases -= gone.iter().map(|entry| entry.ases()).sum::<u64>();
    }

    pub(in crate::ingest) fn counts(&self) -> Families<u64> {
        Families { ipv4: self.routes.ipv4.len() as u64, ipv6: self.routes.ipv6.len() as u64 }
    }

    /// What they take in the tables, by the estimate of [`ROUTE_BYTES`].
    pub(super) fn bytes(&self) -> u64 {
        let Families { ipv4, ipv6 } = self.counts();
        ROUTE_BYTES * (ipv4 + ipv6) + 4 * self.ases
    }

    /// How many ASes the paths of all routes have together, a path counted for each of its routes.
    pub(in crate::ingest) const fn ases(&self) -> u64 {
        self.ases
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{ingest::live::Attributes, model::Asn};

    fn route(prefix: &str, path_id: PathId, announced: bool) -> Route {
        let prefix = prefix.parse().unwrap();
        Route { prefix, path_id, attributes: announced.then(Arc::default) }
    }

    #[test]
    fn replaced_routes_count_once_and_withdrawn_ones_not() {
        let mut held = Held::new(3);
        let a = |announced| route("192.0.2.0/24", 0, announced);
        assert_eq!(held.take(&[a(true), a(true), route("192.0.2.0/25", 0, true)]), Ok(()));
        assert_eq!(held.counts(), Families { ipv4: 2, ipv6: 0 });
        assert_eq!(held.take(&[route("192.0.2.0/24", 1, true), a(true)]), Ok(()));
        assert_eq!(held.take(&[a(true), route("2001:db8::/32", 0, true), a(false)]), Err(1));
        assert_eq!(held.take(&[a(false), a(false), route("2001:db8::/32", 0, true)]), Ok(()));
        assert_eq!(held.counts(), Families { ipv4: 2, ipv6: 1 });
    }

    #[test]
    fn ases_of_paths_are_counted() {
        let mut held = Held::new(100_000);
        let with = |n: u32, path: &[Asn]| {
            let prefix = Prefix::new_truncate(std::net::Ipv4Addr::from_bits(n << 8), 24).unwrap();
            let attributes = Attributes { path: path.into(), set: [8, 9].into(), ..Attributes::default() };
            Route { prefix, path_id: 0, attributes: Some(Arc::new(attributes)) }
        };
        for n in 0..50_000 {
            held.take(&[with(n, &[1, 2, 3])]).unwrap();
        }
        assert_eq!((held.counts().ipv4, held.ases()), (50_000, 250_000));
        for n in 0..50_000 {
            let route = with(n, &[7; 998]);
            let gone = Route { attributes: None, ..route.clone() };
            held.take(&[if n % 2 == 0 { route } else { gone }]).unwrap();
        }
        assert_eq!((held.counts().ipv4, held.ases()), (25_000, 25_000_000));
        held.take(&[Route { prefix: "2001:db8::/32".parse().unwrap(), ..with(0, &[1]) }]).unwrap();
        held.forget(Family::Ipv4);
        assert_eq!((held.counts(), held.ases()), (Families { ipv4: 0, ipv6: 1 }, 3));
    }
}
