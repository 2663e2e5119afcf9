//! How many routes a peer has announced and not withdrawn.

use std::hash::BuildHasher as _;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::codec::Families;
use crate::{
    ingest::live::{PathId, Route},
    model::{Family, Prefix},
};

/// A set of routes by their hashes, 9 to 18 bytes each: the table that keeps the routes is elsewhere, and behind. Two
/// routes of the same hash count as one: of a million routes, that is once in 30 million sessions.
pub(super) struct Held {
    hasher: DefaultHashBuilder,
    routes: Families<HashTable<u64>>,
    max: usize,
}

impl Held {
    pub(super) fn new(max: u32) -> Self {
        let routes = Families { ipv4: HashTable::new(), ipv6: HashTable::new() };
        Self { hasher: DefaultHashBuilder::default(), routes, max: max as usize }
    }

    /// Takes routes up to the one that is too many, whose place it gives back.
    pub(super) fn take(&mut self, routes: &[Route]) -> Result<(), usize> {
        for (place, route) in routes.iter().enumerate() {
            let key: (Prefix, PathId) = (route.prefix, route.path_id);
            let hash = self.hasher.hash_one(key);
            let full = self.routes.ipv4.len() + self.routes.ipv6.len() >= self.max;
            let set = &mut self.routes[Family::of(&route.prefix)];
            if route.attributes.is_some() {
                let known = set.find(hash, |&other| other == hash).is_some();
                if !known {
                    if full {
                        return Err(place);
                    }
                    set.insert_unique(hash, hash, |&other| other);
                }
            } else if let Ok(entry) = set.find_entry(hash, |&other| other == hash) {
                entry.remove();
            }
        }
        Ok(())
    }

    pub(super) fn counts(&self) -> Families<u64> {
        Families { ipv4: self.routes.ipv4.len() as u64, ipv6: self.routes.ipv6.len() as u64 }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

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
}
