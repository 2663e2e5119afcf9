//! Classes: the dense numbers that the kernel counts under, and what they stand for.

use std::hash::BuildHasher as _;

use classifier_common::fib::{Class, FIRST_CLASS, MAX_PAYLOAD};
use hashbrown::{DefaultHashBuilder, HashMap, HashTable};

use super::owners::OwnerTable;
use crate::{
    datapath::Batch,
    model::{Asn, Family, FibDelta, Owner, OwnerId, Owners, Prefix},
};

/// What has a class of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Granularity {
    /// Every (prefix, origin AS).
    Prefix,
    /// Every (AS, family).
    As,
}

/// What [`Classes::apply`] can fail with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClassesError {
    /// More classes than the banks hold.
    #[error(
        "the table needs {needed} classes, the banks hold {capacity}: start again with larger banks or with --granularity as"
    )]
    OutOfClasses {
        /// Classes in use after the batch: the two unmatched ones and those not yet released are among them.
        needed: u32,
        /// How many there are.
        capacity: u32,
    },
}

/// In place of a class: the owner has none.
const NONE: Class = Class::MAX;

/// Gives owners their classes, and takes them back.
///
/// A class is its owner's for as long as anything in the kernel can count into it: from the batch that announces the
/// owner to the [`Classes::release`] that follows the batch that retired it. A prefix with another origin is another
/// owner and gets another class. An owner that is announced again before its class was released has it back; one
/// that comes later gets another class, and the [`OwnerId`] that it had before.
#[derive(Debug)]
pub struct Classes {
    granularity: Granularity,
    capacity: u32,
    owners: OwnerTable,
    /// The class of an owner, by [`OwnerId`], or [`NONE`].
    bound: Vec<Class>,
    slots: Vec<Slot>,
    free: Vec<Class>,
    /// How often a class is in batches whose retirement has not come back: it is free after the last one.
    retiring: HashMap<Class, u32>,
    /// All owners, by their hash.
    index: HashTable<OwnerId>,
    /// The owner of each prefix that is announced, where `index` does not say it ([`Granularity::As`]).
    origins: HashMap<Prefix, OwnerId>,
    hasher: DefaultHashBuilder,
}

/// A class.
#[derive(Clone, Copy, Debug)]
struct Slot {
    /// Its owner; if it is free, the last one.
    owner: OwnerId,
    /// How many prefixes have it.
    prefixes: u32,
}

/// How to take a batch back.
#[derive(Debug)]
pub struct Undo {
    /// By delta.
    steps: Vec<Step>,
    /// Classes that the batch gave out.
    bound: Vec<Class>,
    /// How many classes there were before.
    slots: usize,
}

/// What a batch did for one delta, to be undone.
#[derive(Clone, Copy, Debug)]
struct Step {
    before: Option<OwnerId>,
    after: Option<OwnerId>,
}

impl Classes {
    /// No routes; `capacity` classes, the two unmatched ones among them (`Sizes::classes`).
    #[must_use]
    pub fn new(granularity: Granularity, capacity: u32) -> Self {
        let mut owners = OwnerTable::default();
        // OwnerId, class and place in `Family` are the same: 0 and 1.
        let slots = [Family::Ipv4, Family::Ipv6]
            .map(|family| Slot { owner: owners.push(Owner::Unmatched(family)), prefixes: 0 });
        Self {
            granularity,
            capacity: capacity.min(MAX_PAYLOAD),
            owners,
            bound: (0..FIRST_CLASS).collect(),
            slots: slots.to_vec(),
            free: Vec::new(),
            retiring: HashMap::new(),
            index: HashTable::new(),
            origins: HashMap::new(),
            hasher: DefaultHashBuilder::default(),
        }
    }

    /// What has a class of its own.
    #[must_use]
    pub const fn granularity(&self) -> Granularity {
        self.granularity
    }

    /// Classes that are not free: in use, retired and not yet released, and the two unmatched ones.
    #[must_use]
    pub fn in_use(&self) -> u32 {
        (self.slots.len() - self.free.len()) as u32
    }

    /// How many classes there are.
    #[must_use]
    pub const fn capacity(&self) -> u32 {
        self.capacity
    }

    /// The origin that a prefix has now.
    #[must_use]
    pub fn origin_of(&self, prefix: &Prefix) -> Option<Asn> {
        self.current(prefix).and_then(|id| self.owners.get(id).asn())
    }

    /// The owner that a prefix has now.
    #[must_use]
    pub fn current(&self, prefix: &Prefix) -> Option<OwnerId> {
        match self.granularity {
            Granularity::As => self.origins.get(prefix).copied(),
            Granularity::Prefix => {
                let hash = hash(&self.hasher, &Owner::Route { prefix: *prefix, asn: 0 });
                self.index.iter_hash(hash).copied().find(|&id| {
                    let class = self.class_of(id) as usize;
                    matches!(self.owners.get(id), Owner::Route { prefix: its, .. } if its == *prefix)
                        && self.slots.get(class).is_some_and(|slot| slot.prefixes > 0)
                })
            }
        }
    }

    /// Has so many classes from now on: never fewer than before.
    pub fn extend(&mut self, capacity: u32) {
        self.capacity = self.capacity.max(capacity.min(MAX_PAYLOAD));
    }

    /// Whether some classes are retired and not yet released.
    #[must_use]
    pub fn retiring(&self) -> bool {
        !self.retiring.is_empty()
    }

    /// The batch for changed routes: each prefix's origin from now on, `None` if it has none. A prefix that keeps
    /// its owner is not in the batch.
    ///
    /// # Errors
    /// [`ClassesError::OutOfClasses`]; all is then as it was before.
    pub fn apply(
        &mut self,
        changes: impl IntoIterator<Item = (Prefix, Option<Asn>)>,
    ) -> Result<Batch, ClassesError> {
        self.propose(changes).map(|(batch, _)| batch)
    }

    /// [`Classes::apply`] of a batch that may not find room in the FIB: with how to take it back.
    ///
    /// # Errors
    /// As [`Classes::apply`].
    pub fn propose(
        &mut self,
        changes: impl IntoIterator<Item = (Prefix, Option<Asn>)>,
    ) -> Result<(Batch, Undo), ClassesError> {
        let slots_before = self.slots.len();
        let mut batch = Batch::default();
        let mut steps = Vec::new();
        let mut bound = Vec::new();
        let mut emptied = Vec::new();
        let changes = changes.into_iter();
        if self.owners.len() == FIRST_CLASS as usize {
            self.reserve(changes.size_hint().0);
        }
        for (prefix, asn) in changes {
            let step = self.step(prefix, asn);
            if step.before == step.after {
                continue;
            }
            let class = step.after.map(|owner| {
                let class = self.bind(owner, &mut bound);
                self.slot(class).prefixes += 1;
                class
            });
            if let Some(before) = step.before {
                let class = self.class_of(before);
                let slot = self.slot(class);
                slot.prefixes -= 1;
                if slot.prefixes == 0 {
                    emptied.push(class);
                }
            }
            self.set_origin(prefix, step.after);
            steps.push(step);
            batch.deltas.push(FibDelta { prefix, class });
        }

        let undo = Undo { steps, bound, slots: slots_before };
        let needed = self.slots.len() as u32;
        if needed > self.capacity {
            self.undo(&batch, undo);
            return Err(ClassesError::OutOfClasses { needed, capacity: self.capacity });
        }

        emptied.sort_unstable();
        emptied.dedup();
        emptied.retain(|&class| self.slot(class).prefixes == 0);
        for &class in &emptied {
            *self.retiring.entry(class).or_default() += 1;
        }
        batch.retired = emptied;
        for &class in &undo.bound {
            let owner = self.slot(class).owner;
            batch.bound.push((class, self.owners.get(owner)));
        }
        Ok((batch, undo))
    }

    /// Takes the last batch back: it never was in the FIB.
    pub fn undo(&mut self, batch: &Batch, undo: Undo) {
        for class in &batch.retired {
            if let Some(times) = self.retiring.get_mut(class) {
                *times -= 1;
                if *times == 0 {
                    self.retiring.remove(class);
                }
            }
        }
        // Back to front: a prefix may be there several times.
        for (step, delta) in undo.steps.into_iter().zip(&batch.deltas).rev() {
            if let Some(after) = step.after {
                let class = self.class_of(after);
                self.slot(class).prefixes -= 1;
            }
            if let Some(before) = step.before {
                let class = self.class_of(before);
                self.slot(class).prefixes += 1;
            }
            self.set_origin(delta.prefix, step.before);
        }
        for class in undo.bound.into_iter().rev() {
            self.unbind(class);
        }
        self.free.retain(|&class| (class as usize) < undo.slots);
        self.slots.truncate(undo.slots);
    }

    /// Takes back classes that no packet counts into any more and whose counts were read a last time
    /// (`Sweep::released`, each as often as it was in `Batch::retired`). One that has been announced again in the
    /// meantime, or that a later batch retired once more, stays its owner's. Gives the owners that have none any more.
    pub fn release(&mut self, released: &[Class]) -> Vec<OwnerId> {
        let mut gone = Vec::new();
        for &class in released {
            let Some(times) = self.retiring.get_mut(&class) else { continue };
            *times -= 1;
            if *times == 0 {
                self.retiring.remove(&class);
                if self.slot(class).prefixes == 0 {
                    gone.push(self.slot(class).owner);
                    self.unbind(class);
                }
            }
        }
        gone
    }

    /// The number of an owner that was counted before this agent, whether it has a class or not.
    pub fn adopt(&mut self, owner: Owner) -> OwnerId {
        let owner = match (owner, self.granularity) {
            (Owner::Unmatched(family), _) => return OwnerId(family as u32),
            (Owner::Route { asn, .. }, Granularity::As) => Owner::As { family: owner.family(), asn },
            (owner, _) => owner,
        };
        let hash = hash(&self.hasher, &owner);
        match self.index.find(hash, |&id| self.owners.get(id) == owner) {
            Some(&id) => id,
            None => self.add_owner(hash, owner),
        }
    }

    /// Room for a first table of so many prefixes.
    fn reserve(&mut self, prefixes: usize) {
        let Self { index, origins, owners, hasher, .. } = self;
        match self.granularity {
            Granularity::Prefix => index.reserve(prefixes, |&id| hash(hasher, &owners.get(id))),
            Granularity::As => origins.reserve(prefixes),
        }
    }

    /// The owner that a prefix has, and the one that it gets.
    fn step(&mut self, prefix: Prefix, asn: Option<Asn>) -> Step {
        match self.granularity {
            Granularity::Prefix => {
                let hash = hash(&self.hasher, &Owner::Route { prefix, asn: 0 });
                let mut before = None;
                let mut after = None;
                for &id in self.index.iter_hash(hash) {
                    if let Owner::Route { prefix: its, asn: origin } = self.owners.get(id)
                        && its == prefix
                    {
                        let class = self.class_of(id);
                        if self.slots.get(class as usize).is_some_and(|slot| slot.prefixes > 0) {
                            before = Some(id);
                        }
                        if Some(origin) == asn {
                            after = Some(id);
                        }
                    }
                }
                if let (None, Some(asn)) = (after, asn) {
                    after = Some(self.add_owner(hash, Owner::Route { prefix, asn }));
                }
                Step { before, after }
            }
            Granularity::As => {
                let before = self.origins.get(&prefix).copied();
                let after = asn.map(|asn| {
                    let owner = Owner::As { family: Family::of(&prefix), asn };
                    let hash = hash(&self.hasher, &owner);
                    match self.index.find(hash, |&id| self.owners.get(id) == owner) {
                        Some(&id) => id,
                        None => self.add_owner(hash, owner),
                    }
                });
                Step { before, after }
            }
        }
    }

    fn add_owner(&mut self, hash: u64, owner: Owner) -> OwnerId {
        let id = self.owners.push(owner);
        self.bound.push(NONE);
        let Self { index, owners, hasher, .. } = self;
        index.insert_unique(hash, id, |&id| self::hash(hasher, &owners.get(id)));
        id
    }

    fn set_origin(&mut self, prefix: Prefix, owner: Option<OwnerId>) {
        if self.granularity == Granularity::As {
            match owner {
                Some(owner) => self.origins.insert(prefix, owner),
                None => self.origins.remove(&prefix),
            };
        }
    }

    /// The class of an owner: the one that it has, or a free one, or one beyond all.
    fn bind(&mut self, owner: OwnerId, bound: &mut Vec<Class>) -> Class {
        let class = self.class_of(owner);
        if class != NONE {
            return class;
        }
        let slot = Slot { owner, prefixes: 0 };
        let class = match self.free.pop() {
            Some(class) => {
                *self.slot(class) = slot;
                class
            }
            None => {
                self.slots.push(slot);
                self.slots.len() as Class - 1
            }
        };
        if let Some(its) = self.bound.get_mut(owner.0 as usize) {
            *its = class;
        }
        bound.push(class);
        class
    }

    fn unbind(&mut self, class: Class) {
        let owner = self.slot(class).owner;
        if let Some(its) = self.bound.get_mut(owner.0 as usize) {
            *its = NONE;
        }
        self.free.push(class);
    }

    fn class_of(&self, owner: OwnerId) -> Class {
        self.bound.get(owner.0 as usize).copied().unwrap_or(NONE)
    }

    /// A class that has been given out.
    fn slot(&mut self, class: Class) -> &mut Slot {
        &mut self.slots[class as usize]
    }
}

impl Owners for Classes {
    fn owner_of(&self, class: Class) -> OwnerId {
        self.slots[class as usize].owner
    }

    fn owner(&self, id: OwnerId) -> Owner {
        self.owners.get(id)
    }

    fn owner_count(&self) -> usize {
        self.owners.len()
    }
}

/// By what an owner is found: the prefix, of whatever origin, or the AS.
fn hash(hasher: &DefaultHashBuilder, owner: &Owner) -> u64 {
    match owner {
        Owner::Unmatched(family) => hasher.hash_one(family),
        Owner::Route { prefix: Prefix::V4(prefix), .. } => {
            hasher.hash_one(u64::from(prefix.network_address().to_bits()) << 8 | u64::from(prefix.netmask()))
        }
        Owner::Route { prefix: Prefix::V6(prefix), .. } => {
            hasher.hash_one((prefix.network_address().to_bits(), prefix.netmask()))
        }
        Owner::As { family, asn } => hasher.hash_one((family, asn)),
    }
}

#[cfg(test)]
#[path = "classes_tests.rs"]
mod tests;
