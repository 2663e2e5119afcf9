//! Where routes are: by prefix a chain of them, the one that counts first.
//!
//! A prefix takes 12 bytes (IPv6: 24) in a hash table and a route 20, beside its attributes, which are shared.

use std::{
    hash::{BuildHasher as _, Hash},
    net::{Ipv4Addr, Ipv6Addr},
};

use hashbrown::{DefaultHashBuilder, HashTable, hash_table::Entry};

use super::attributes::Handle;
use crate::{
    ingest::live::{PathId, PeerId},
    model::{Family, Ipv4Network, Ipv6Network, Prefix},
};

/// A prefix without padding.
pub(super) trait Key: Copy + Eq + Hash {
    const FAMILY: Family;
    fn prefix(self) -> Option<Prefix>;
}

/// An IPv4 prefix: address, length.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct KeyV4(u32, u8);

/// An IPv6 prefix: address, length.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct KeyV6([u32; 4], u8);

impl From<&Ipv4Network> for KeyV4 {
    fn from(prefix: &Ipv4Network) -> Self {
        Self(prefix.network_address().to_bits(), prefix.netmask())
    }
}

impl From<&Ipv6Network> for KeyV6 {
    fn from(prefix: &Ipv6Network) -> Self {
        let bits = prefix.network_address().to_bits();
        Self([(bits >> 96) as u32, (bits >> 64) as u32, (bits >> 32) as u32, bits as u32], prefix.netmask())
    }
}

impl Key for KeyV4 {
    const FAMILY: Family = Family::Ipv4;

    fn prefix(self) -> Option<Prefix> {
        Ipv4Network::new_truncate(Ipv4Addr::from_bits(self.0), self.1).ok().map(Prefix::V4)
    }
}

impl Key for KeyV6 {
    const FAMILY: Family = Family::Ipv6;

    fn prefix(self) -> Option<Prefix> {
        let bits = self.0.into_iter().fold(0, |bits, word| bits << 32 | u128::from(word));
        Ipv6Network::new_truncate(Ipv6Addr::from_bits(bits), self.1).ok().map(Prefix::V6)
    }
}

/// The end of a chain.
const END: u32 = u32::MAX;

/// A route.
#[derive(Clone, Copy, Debug)]
pub(super) struct Route {
    pub(super) attributes: Handle,
    pub(super) path_id: PathId,
    /// The next one of the chain, or of the free places.
    next: u32,
    /// When it came, seconds since the table began.
    pub(super) since: u32,
    pub(super) peer: PeerId,
    /// Its peer's number of refreshes when it came last: stale if that is another one now.
    pub(super) epoch: u16,
}

const _: () =
    assert!(size_of::<Route>() == 20 && size_of::<Head<KeyV4>>() == 12 && size_of::<Head<KeyV6>>() == 24);

impl Route {
    pub(super) const fn new(
        peer: PeerId,
        path_id: PathId,
        attributes: Handle,
        epoch: u16,
        since: u32,
    ) -> Self {
        Self { attributes, path_id, next: END, since, peer, epoch }
    }
}

/// All routes.
#[derive(Default)]
pub(super) struct Routes {
    routes: Vec<Route>,
    /// The first free place + 1.
    free: u32,
}

impl Routes {
    fn put(&mut self, route: Route) -> u32 {
        match self.free.checked_sub(1).map(|place| (place, self.routes.get_mut(place as usize))) {
            Some((place, Some(free))) => {
                self.free = free.next;
                *free = route;
                place
            }
            _ => {
                self.routes.push(route);
                // Fewer than 2^32 of them fit into memory.
                (self.routes.len() - 1) as u32
            }
        }
    }

    fn clear(&mut self, place: u32) {
        if let Some(route) = self.routes.get_mut(place as usize) {
            route.next = self.free;
            self.free = place + 1;
        }
    }

    fn get(&self, place: u32) -> Option<&Route> {
        self.routes.get(place as usize)
    }

    fn link(&mut self, place: u32, next: u32) {
        if let Some(route) = self.routes.get_mut(place as usize) {
            route.next = next;
        }
    }

    fn places(&self, first: u32) -> impl Iterator<Item = (u32, &Route)> {
        let mut next = first;
        std::iter::from_fn(move || {
            let place = next;
            let route = self.get(place)?;
            next = route.next;
            Some((place, route))
        })
    }

    /// A chain's routes.
    pub(super) fn chain(&self, first: u32) -> impl Iterator<Item = &Route> {
        self.places(first).map(|(_, route)| route)
    }
}

/// A prefix and its first route.
#[derive(Clone, Copy)]
struct Head<K> {
    key: K,
    first: u32,
}

/// The prefixes of a family.
pub(super) struct Index<K> {
    heads: HashTable<Head<K>>,
    hasher: DefaultHashBuilder,
}

impl<K> Default for Index<K> {
    fn default() -> Self {
        Self { heads: HashTable::new(), hasher: DefaultHashBuilder::default() }
    }
}

/// What [`Index::announce`] found.
pub(super) struct Announced {
    /// The route that was first before.
    pub(super) counted: Option<Route>,
    /// The route that the new one is in the place of.
    pub(super) instead: Option<Route>,
    /// Whether the prefix has several routes now.
    pub(super) several: bool,
}

impl<K: Key> Index<K> {
    pub(super) fn len(&self) -> usize {
        self.heads.len()
    }

    /// The first route for a prefix: a chain to read.
    pub(super) fn first(&self, key: K) -> Option<u32> {
        self.heads.find(self.hasher.hash_one(key), |head| head.key == key).map(|head| head.first)
    }

    /// Every prefix with its chain.
    pub(super) fn iter(&self) -> impl Iterator<Item = (K, u32)> {
        self.heads.iter().map(|head| (head.key, head.first))
    }

    /// Puts a route in, in the place of the one with its peer and path identifier if there is one, else behind the
    /// first.
    pub(super) fn announce(&mut self, routes: &mut Routes, key: K, route: Route) -> Announced {
        let Self { heads, hasher } = self;
        let entry =
            heads.entry(hasher.hash_one(key), |head| head.key == key, |head| hasher.hash_one(head.key));
        let first = match entry {
            Entry::Occupied(entry) => entry.get().first,
            Entry::Vacant(entry) => {
                let first = routes.put(route);
                entry.insert(Head { key, first });
                return Announced { counted: None, instead: None, several: false };
            }
        };
        let counted = routes.get(first).copied();
        let next = counted.map_or(END, |route| route.next);
        let same = |its: &Route| its.peer == route.peer && its.path_id == route.path_id;
        let known = routes.places(first).find(|(_, its)| same(its)).map(|(place, its)| (place, *its));
        match known {
            Some((place, before)) => {
                if let Some(its) = routes.routes.get_mut(place as usize) {
                    let since =
                        if before.attributes == route.attributes { before.since } else { route.since };
                    *its = Route { next: before.next, since, ..route };
                }
                Announced { counted, instead: Some(before), several: next != END }
            }
            None => {
                let place = routes.put(Route { next, ..route });
                routes.link(first, place);
                Announced { counted, instead: None, several: true }
            }
        }
    }

    /// Takes the first such route out. Gives the route that was first before, and the one taken out.
    pub(super) fn withdraw(
        &mut self,
        routes: &mut Routes,
        key: K,
        is: impl Fn(&Route) -> bool,
    ) -> Option<(Route, Route)> {
        let mut entry = self.heads.find_entry(self.hasher.hash_one(key), |head| head.key == key).ok()?;
        let first = entry.get().first;
        let counted = *routes.get(first)?;
        let mut before = None;
        let (place, route) = routes
            .places(first)
            .find(|(place, route)| {
                let found = is(route);
                if !found {
                    before = Some(*place);
                }
                found
            })
            .map(|(place, route)| (place, *route))?;
        match before {
            Some(before) => routes.link(before, route.next),
            None if route.next == END => {
                entry.remove();
            }
            None => entry.get_mut().first = route.next,
        }
        routes.clear(place);
        Some((counted, route))
    }

    /// Puts the route at `place` of the chain (0 is the first) before the others.
    pub(super) fn promote(&mut self, routes: &mut Routes, key: K, place: usize) {
        let Some(before) = place.checked_sub(1) else { return };
        let Some(head) = self.heads.find_mut(self.hasher.hash_one(key), |head| head.key == key) else {
            return;
        };
        let mut places = routes.places(head.first).map(|(place, _)| place).skip(before);
        let (Some(before), Some(chosen)) = (places.next(), places.next()) else { return };
        drop(places);
        let next = routes.get(chosen).map_or(END, |route| route.next);
        routes.link(before, next);
        routes.link(chosen, head.first);
        head.first = chosen;
    }
}
