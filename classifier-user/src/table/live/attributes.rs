//! Attributes, each kept once however many routes have them.

use std::{hash::BuildHasher as _, sync::Arc};

use hashbrown::{DefaultHashBuilder, HashTable, hash_table::Entry};

use crate::{ingest::live::Attributes, model::Asn, table::origins::Origins};

/// The number of attributes in a [`Store`], for as long as a route has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Handle(u32);

/// Some attributes, and how many routes have them.
struct Shared {
    attributes: Arc<Attributes>,
    routes: u32,
    /// The last AS of the path, or [`SEVERAL`].
    origin: Asn,
    /// Of the attributes, which are far away in memory.
    hash: u64,
}

/// In place of an origin: the path is empty or ends with a set. No AS has this number (RFC 7300).
const SEVERAL: Asn = Asn::MAX;

/// All attributes that some route has.
#[derive(Default)]
pub(super) struct Store {
    shared: Vec<Option<Shared>>,
    free: Vec<u32>,
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
    /// What was taken in last: the routes of an UPDATE come one after the other with the same attributes.
    last: Option<(Arc<Attributes>, Handle)>,
}

impl Store {
    /// Takes attributes in for one more route.
    pub(super) fn take(&mut self, attributes: &Arc<Attributes>) -> Handle {
        if let Some((last, handle)) = &self.last
            && Arc::ptr_eq(last, attributes)
        {
            let handle = *handle;
            self.keep(handle);
            return handle;
        }
        let Self { shared, free, index, hasher, .. } = self;
        let hash = hasher.hash_one(&**attributes);
        let equal = |&number: &u32| is(shared, number, hash, attributes);
        let rehash = |&number: &u32| of(shared, number).map_or(0, |shared| shared.hash);
        let handle = match index.entry(hash, equal, rehash) {
            Entry::Occupied(entry) => {
                let number = *entry.get();
                if let Some(Some(shared)) = shared.get_mut(number as usize) {
                    shared.routes += 1;
                }
                Handle(number)
            }
            Entry::Vacant(entry) => {
                let origin = match (attributes.path.last(), attributes.set.is_empty()) {
                    (Some(origin), true) => *origin,
                    _ => SEVERAL,
                };
                let new = Some(Shared { attributes: Arc::clone(attributes), routes: 1, origin, hash });
                let number = match free.pop() {
                    Some(number) => {
                        if let Some(place) = shared.get_mut(number as usize) {
                            *place = new;
                        }
                        number
                    }
                    None => {
                        shared.push(new);
                        // Fewer than 2^32 of them fit into memory.
                        (shared.len() - 1) as u32
                    }
                };
                entry.insert(number);
                Handle(number)
            }
        };
        self.last = Some((Arc::clone(attributes), handle));
        handle
    }

    /// One more route has them.
    fn keep(&mut self, handle: Handle) {
        if let Some(Some(shared)) = self.shared.get_mut(handle.0 as usize) {
            shared.routes += 1;
        }
    }

    /// One route less has them; the last one takes them away.
    pub(super) fn release(&mut self, handle: Handle) {
        let Self { shared, free, index, last, .. } = self;
        let hash = match shared.get_mut(handle.0 as usize) {
            Some(Some(shared)) if shared.routes > 1 => {
                shared.routes -= 1;
                return;
            }
            Some(Some(shared)) => shared.hash,
            _ => return,
        };
        if let Ok(entry) = index.find_entry(hash, |&number| number == handle.0) {
            entry.remove();
            free.push(handle.0);
            if let Some(place) = shared.get_mut(handle.0 as usize) {
                *place = None;
            }
        }
        if last.as_ref().is_some_and(|(_, last)| *last == handle) {
            *last = None;
        }
    }

    /// What they are.
    pub(super) fn get(&self, handle: Handle) -> Option<&Arc<Attributes>> {
        of(&self.shared, handle.0).map(|shared| &shared.attributes)
    }

    /// The origins that they say, as [`origins`].
    pub(super) fn origins(&self, handle: Handle, local_as: impl FnOnce() -> Asn) -> Option<Origins> {
        match self.shared.get(handle.0 as usize)? {
            Some(Shared { origin: SEVERAL, attributes, .. }) => Some(origins(attributes, local_as())),
            Some(Shared { origin, .. }) => Some(Origins::one(*origin)),
            None => None,
        }
    }

    /// How many different ones there are.
    pub(super) fn len(&self) -> usize {
        self.index.len()
    }
}

fn of(shared: &[Option<Shared>], number: u32) -> Option<&Shared> {
    shared.get(number as usize)?.as_ref()
}

fn is(shared: &[Option<Shared>], number: u32, hash: u64, attributes: &Arc<Attributes>) -> bool {
    of(shared, number).is_some_and(|shared| shared.hash == hash && shared.attributes == *attributes)
}

/// The origins of a route: the last AS of its path. Of a path that ends with an AS_SET the set's ASes, the lowest one
/// is counted, as in tables of files. Of an empty path the AS that it begins in, `local_as`.
#[must_use]
pub fn origins(attributes: &Attributes, local_as: Asn) -> Origins {
    Origins::from_list(&attributes.set)
        .or_else(|| attributes.path.last().copied().map(Origins::one))
        .unwrap_or(Origins::one(local_as))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(path: &[Asn]) -> Arc<Attributes> {
        Arc::new(Attributes { path: path.into(), ..Attributes::default() })
    }

    #[test]
    fn equal_attributes_are_kept_once() {
        let mut store = Store::default();
        let (one, same, other) = (path(&[1, 2]), path(&[1, 2]), path(&[1, 3]));
        let handle = store.take(&one);
        assert_eq!(store.take(&one), handle);
        assert_eq!(store.take(&same), handle);
        assert_ne!(store.take(&other), handle);
        assert_eq!(store.len(), 2);
        store.release(handle);
        store.release(handle);
        assert_eq!((store.len(), store.get(handle)), (2, Some(&one)));
        store.release(handle);
        assert_eq!((store.len(), store.get(handle)), (1, None));
        // Its number goes to others, and what was taken in last is not mixed up with it.
        let again = store.take(&path(&[9]));
        assert_eq!(again, handle);
        assert_ne!(store.take(&same), handle);
        assert_eq!(store.len(), 3);
    }

    #[test]
    fn origins_of_paths() {
        let attributes = |path: &[Asn], set: &[Asn]| Attributes {
            path: path.into(),
            set: set.into(),
            ..Attributes::default()
        };
        for (path, set, all) in [
            (&[3, 2, 1][..], &[][..], &[1][..]),
            (&[3], &[7, 9], &[7, 9]),
            (&[], &[7], &[7]),
            (&[], &[], &[64500]),
            (&[3, 0], &[], &[0]),
            (&[3, Asn::MAX], &[], &[Asn::MAX]),
        ] {
            let attributes = attributes(path, set);
            assert_eq!(origins(&attributes, 64500).all(), all);
            let mut store = Store::default();
            let handle = store.take(&Arc::new(attributes));
            assert_eq!(store.origins(handle, || 64500).expect("some").all(), all);
        }
    }
}
