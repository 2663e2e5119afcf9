//! Which way packets go: the AS path of each owner's route, as far as totals want to know it.
//!
//! Two paths that differ in their origin alone, or in prepending, are one [`Via`] here: a first AS, and the ASes that
//! carry for the origin. The owner says the origin.

use std::hash::BuildHasher as _;

use hashbrown::{DefaultHashBuilder, HashTable, hash_table::Entry};

use super::directory::{AsIndex, Directory, NO_AS};
use crate::{
    ingest::live::Attributes,
    model::{Asn, OwnerId},
};

/// The way to an owner.
#[derive(Debug, Default)]
struct Via {
    /// The first AS that is not the ISP's own: 0 where there is none.
    neighbor: Asn,
    /// The other ASes than the origin, ascending, each once; the neighbour is among them unless it is the origin.
    through: Box<[Asn]>,
    /// How many owners have it.
    owners: u32,
    /// Places of all these in the directory, once there was traffic.
    indexes: Option<Box<Indexes>>,
}

/// Places in the directory.
#[derive(Debug)]
pub(super) struct Indexes {
    /// [`NO_AS`] where there is none.
    pub(super) neighbor: AsIndex,
    pub(super) through: Box<[AsIndex]>,
}

/// The number of a [`Via`] while an owner has it; 0: nothing is known.
pub(super) type ViaId = u32;

/// No way is known.
pub(super) const NO_PATH: ViaId = 0;

/// Ways by owner.
#[derive(Debug)]
pub(super) struct Paths {
    /// ASes of the ISP: passed over at the beginning of a path.
    own: Box<[Asn]>,
    /// By owner; what is beyond its end is [`NO_PATH`].
    of_owner: Vec<ViaId>,
    vias: Vec<Via>,
    free: Vec<ViaId>,
    index: HashTable<ViaId>,
    hasher: DefaultHashBuilder,
    scratch: Vec<Asn>,
}

impl Paths {
    /// Nothing is known. `own` are the ISP's ASes.
    pub(super) fn new(own: &[Asn]) -> Self {
        Self {
            own: own.into(),
            of_owner: Vec::new(),
            vias: vec![Via::default()],
            free: Vec::new(),
            index: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            scratch: Vec::new(),
        }
    }

    /// The way to an owner.
    pub(super) fn of(&self, owner: OwnerId) -> ViaId {
        self.of_owner.get(owner.0 as usize).copied().unwrap_or(NO_PATH)
    }

    /// Whether no way to any owner is known.
    pub(super) fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// How many different ways there are.
    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether an AS carries for the origin on this way.
    pub(super) fn is_through(&self, via: ViaId, asn: Asn) -> bool {
        self.vias.get(via as usize).is_some_and(|via| via.through.binary_search(&asn).is_ok())
    }

    /// The places of a way's ASes in the directory, where they are from now on. `None` of [`NO_PATH`].
    pub(super) fn indexes(&mut self, via: ViaId, directory: &mut Directory) -> Option<&Indexes> {
        if via == NO_PATH {
            return None;
        }
        let via = self.vias.get_mut(via as usize)?;
        let indexes = via.indexes.get_or_insert_with(|| {
            let neighbor = if via.neighbor == 0 { NO_AS } else { directory.add(via.neighbor) };
            let through = via.through.iter().map(|&asn| directory.add(asn)).collect();
            Box::new(Indexes { neighbor, through })
        });
        Some(indexes)
    }

    /// Says what route an owner has from now on, whose origin is `origin`; `None` where it has none with a path.
    pub(super) fn set(&mut self, owner: OwnerId, origin: Asn, route: Option<&Attributes>) {
        let via = route.map_or(NO_PATH, |route| self.intern(origin, route));
        let place = owner.0 as usize;
        if self.of_owner.len() <= place {
            if via == NO_PATH {
                return;
            }
            // Owners are learnt in about the order of their numbers.
            self.of_owner.resize(place + 1, NO_PATH);
        }
        if let Some(its) = self.of_owner.get_mut(place) {
            let before = std::mem::replace(its, via);
            self.release(before);
        }
    }

    /// The number of a route's way, for one more owner.
    fn intern(&mut self, origin: Asn, route: &Attributes) -> ViaId {
        let own = route.path.iter().take_while(|asn| self.own.contains(asn)).count();
        let path = route.path.get(own..).unwrap_or_default();
        let neighbor = path.first().copied().unwrap_or(0);
        let mut through = std::mem::take(&mut self.scratch);
        through.clear();
        through.extend(path.iter().chain(&route.set).filter(|&&asn| asn != origin && asn != 0));
        through.sort_unstable();
        through.dedup();
        let via = if neighbor == 0 && through.is_empty() { NO_PATH } else { self.number(neighbor, &through) };
        self.scratch = through;
        via
    }

    fn number(&mut self, neighbor: Asn, through: &[Asn]) -> ViaId {
        let Self { vias, free, index, hasher, .. } = self;
        let hash = hasher.hash_one((neighbor, through));
        let equal = |&number: &ViaId| {
            let via = vias.get(number as usize);
            via.is_some_and(|via| via.neighbor == neighbor && *via.through == *through)
        };
        let rehash = |&number: &ViaId| {
            let via = vias.get(number as usize);
            via.map_or(0, |via| hasher.hash_one((via.neighbor, &*via.through)))
        };
        match index.entry(hash, equal, rehash) {
            Entry::Occupied(entry) => {
                let number = *entry.get();
                if let Some(via) = vias.get_mut(number as usize) {
                    via.owners += 1;
                }
                number
            }
            Entry::Vacant(entry) => {
                let via = Via { neighbor, through: through.into(), owners: 1, indexes: None };
                let number = match free.pop() {
                    Some(number) => {
                        if let Some(place) = vias.get_mut(number as usize) {
                            *place = via;
                        }
                        number
                    }
                    None => {
                        vias.push(via);
                        // Fewer than 2^32 of them fit into memory.
                        (vias.len() - 1) as ViaId
                    }
                };
                entry.insert(number);
                number
            }
        }
    }

    /// One owner less has this way; the last one takes it away.
    fn release(&mut self, number: ViaId) {
        if number == NO_PATH {
            return;
        }
        let Some(via) = self.vias.get_mut(number as usize) else { return };
        via.owners -= 1;
        if via.owners > 0 {
            return;
        }
        let hash = self.hasher.hash_one((via.neighbor, &*via.through));
        if let Ok(entry) = self.index.find_entry(hash, |&its| its == number) {
            entry.remove();
        }
        *via = Via::default();
        self.free.push(number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Paths {
        fn neighbor(&self, via: ViaId) -> Asn {
            self.vias[via as usize].neighbor
        }
    }

    fn route(path: &[Asn], set: &[Asn]) -> Attributes {
        Attributes { path: path.into(), set: set.into(), ..Attributes::default() }
    }

    /// The neighbour, and who carries.
    fn via(own: &[Asn], origin: Asn, path: &[Asn], set: &[Asn]) -> Option<(Asn, Vec<Asn>)> {
        let mut paths = Paths::new(own);
        paths.set(OwnerId(7), origin, Some(&route(path, set)));
        let via = paths.of(OwnerId(7));
        (via != NO_PATH).then(|| (paths.neighbor(via), paths.vias[via as usize].through.to_vec()))
    }

    #[test]
    fn ways_of_paths() {
        for (origin, path, set, expected) in [
            (9, &[3, 5, 9][..], &[][..], Some((3, vec![3, 5]))),
            // Prepending collapses, wherever it is; an AS that is there twice carries once.
            (9, &[3, 3, 5, 5, 3, 9, 9], &[], Some((3, vec![3, 5]))),
            // A neighbour's own routes.
            (3, &[3, 3], &[], Some((3, vec![]))),
            // The ISP's own ASes are no neighbours, and its own routes have none.
            (9, &[64_500, 64_500, 64_501, 3, 9], &[], Some((3, vec![3]))),
            (64_500, &[64_500], &[], None),
            (64_500, &[], &[], None),
            // An AS_SET: one of it is the origin.
            (7, &[3], &[7, 8], Some((3, vec![3, 8]))),
            (7, &[], &[7], None),
            // An override says that the origin is another, and who carries does not carry for itself.
            (5, &[3, 5, 9], &[], Some((3, vec![3, 9]))),
        ] {
            assert_eq!(via(&[64_500, 64_501], origin, path, set), expected, "{origin} {path:?} {set:?}");
        }
    }

    #[test]
    fn ways_are_shared_and_go_with_their_last_owner() {
        let mut paths = Paths::new(&[]);
        let set = |paths: &mut Paths, owner, path: &[Asn]| {
            let origin = *path.last().expect("one");
            paths.set(OwnerId(owner), origin, Some(&route(path, &[])));
            paths.of(OwnerId(owner))
        };
        let first = set(&mut paths, 5, &[3, 4, 9]);
        assert_eq!(set(&mut paths, 2, &[3, 4, 10]), first, "only the origin differs");
        assert_ne!(set(&mut paths, 3, &[4, 3, 9]), first, "another neighbour");
        assert_eq!((paths.len(), paths.of(OwnerId(4)), paths.of(OwnerId(99))), (2, NO_PATH, NO_PATH));
        // The same again changes nothing.
        assert_eq!(set(&mut paths, 5, &[3, 3, 4, 9]), first);
        paths.set(OwnerId(5), 9, None);
        assert_eq!((paths.len(), paths.of(OwnerId(5)), paths.neighbor(first)), (2, NO_PATH, 3));
        paths.set(OwnerId(2), 10, None);
        paths.set(OwnerId(2), 10, None);
        assert_eq!(paths.len(), 1);
        // Its number goes to another.
        assert_eq!(set(&mut paths, 8, &[7]), first);
        assert_eq!((paths.neighbor(first), paths.is_through(first, 4)), (7, false));
        assert!(!paths.is_empty());
    }

    #[test]
    fn places_of_ases_are_found_once() {
        let (mut paths, mut directory) = (Paths::new(&[]), Directory::new());
        paths.set(OwnerId(1), 9, Some(&route(&[3, 4, 9], &[])));
        let via = paths.of(OwnerId(1));
        let indexes = paths.indexes(via, &mut directory).expect("some");
        assert_eq!((indexes.neighbor, indexes.through.to_vec()), (1, vec![1, 2]));
        assert_eq!((directory.asn(1), directory.asn(2)), (3, 4));
        assert_eq!(paths.indexes(via, &mut directory).expect("some").neighbor, 1);
        assert!(paths.indexes(NO_PATH, &mut directory).is_none());
    }
}
