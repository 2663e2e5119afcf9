//! By which neighbour packets go and who carries them: sums by the paths of the moment of each sweep.

use std::collections::HashMap;

use super::{
    directory::{AsIndex, Brief, Directory, NO_AS},
    family_place,
    packed::Packed,
    paths::{NO_PATH, Paths, ViaId},
    sparse::Sparse,
};
use crate::model::{Counter, Family, OwnerId};

/// What has a neighbour: an AS in a family, by way of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Pair {
    pub(super) origin: AsIndex,
    pub(super) family: Family,
    pub(super) neighbor: AsIndex,
}

/// Pairs that had traffic, by a dense number. There are not many more than ASes with traffic: most are reached by one
/// neighbour or two.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    all: Vec<Pair>,
    numbers: hashbrown::HashMap<Pair, u32>,
}

impl Pairs {
    fn number(&mut self, pair: Pair) -> u32 {
        *self.numbers.entry(pair).or_insert_with(|| {
            self.all.push(pair);
            (self.all.len() - 1) as u32
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The pair of a number that was given.
    pub(super) fn get(&self, number: u32) -> Option<Pair> {
        self.all.get(number as usize).copied()
    }
}

/// The number of an AS in a family.
pub(super) const fn key(as_index: AsIndex, family: Family) -> u32 {
    as_index * 2 + family_place(family) as u32
}

/// What [`key`] was made of.
pub(super) const fn of_key(key: u32) -> (AsIndex, Family) {
    (key / 2, if key.is_multiple_of(2) { Family::Ipv4 } else { Family::Ipv6 })
}

/// What a bank counted on its ways since the start.
#[derive(Debug, Default)]
pub(super) struct WayTotals {
    /// By number in [`Pairs`].
    pub(super) pairs: Sparse,
    /// By AS: what went by way of it as a neighbour.
    pub(super) neighbors: Sparse,
    /// By [`key`].
    pub(super) through: Sparse,
}

/// Sums by a dense number, of which few are not zero.
#[derive(Debug, Default)]
struct Sums {
    counters: Vec<Counter>,
    touched: Vec<u32>,
}

impl Sums {
    fn add(&mut self, number: u32, counter: Counter) {
        let place = number as usize;
        if counter.is_zero() {
            return;
        }
        if self.counters.len() <= place {
            self.counters.resize((place + 1).next_power_of_two(), Counter::ZERO);
        }
        if let Some(sum) = self.counters.get_mut(place) {
            if sum.is_zero() {
                self.touched.push(number);
            }
            *sum += counter;
        }
    }

    /// Gives all that are not zero, ascending, and forgets them.
    fn take(&mut self, mut take: impl FnMut(u32, Counter)) {
        self.touched.sort_unstable();
        for number in self.touched.drain(..) {
            if let Some(sum) = self.counters.get_mut(number as usize) {
                take(number, std::mem::take(sum));
            }
        }
    }
}

/// Sums up a bank's sweep, and is then empty again.
#[derive(Debug, Default)]
pub(super) struct Ways {
    pub(super) pairs: Pairs,
    /// By number in [`Pairs`].
    by_pair: Sums,
    /// By twice the way's number, and family.
    by_via: Sums,
    /// By [`key`].
    by_carrier: Sums,
    packed: Vec<(u32, Counter)>,
}

impl Ways {
    /// Takes what an owner has; by which way it goes is what is known now.
    pub(super) fn add(
        &mut self,
        id: OwnerId,
        brief: Brief,
        counter: Counter,
        paths: &mut Paths,
        directory: &mut Directory,
    ) {
        let via = paths.of(id);
        if via == NO_PATH || brief.as_index == NO_AS {
            return;
        }
        let Brief { as_index: origin, family } = brief;
        self.by_via.add(via * 2 + family_place(family) as ViaId, counter);
        let neighbor = paths.indexes(via, directory).map_or(NO_AS, |indexes| indexes.neighbor);
        if neighbor != NO_AS {
            let pair = self.pairs.number(Pair { origin, family, neighbor });
            self.by_pair.add(pair, counter);
        }
    }

    /// Adds all that was taken to a bank's totals; gives the sums by pair and by carrier.
    pub(super) fn finish(
        &mut self,
        totals: &mut WayTotals,
        paths: &mut Paths,
        directory: &mut Directory,
        packing: &mut Vec<u8>,
    ) -> (Packed, Packed) {
        let Self { pairs, by_pair, by_via, by_carrier, packed } = self;
        by_via.take(|via, counter| {
            let (via, family) = of_key(via);
            for &carrier in paths.indexes(via, directory).iter().flat_map(|indexes| &indexes.through) {
                by_carrier.add(key(carrier, family), counter);
            }
        });
        packed.clear();
        by_pair.take(|number, counter| {
            packed.push((number, counter));
            totals.pairs.add(number, counter);
            if let Some(pair) = pairs.get(number) {
                totals.neighbors.add(pair.neighbor, counter);
            }
        });
        let of_pairs = Packed::new(packed.iter().copied(), packing);
        packed.clear();
        by_carrier.take(|carrier, counter| {
            packed.push((carrier, counter));
            totals.through.add(carrier, counter);
        });
        let through = Packed::new(packed.iter().copied(), packing);
        (of_pairs, through)
    }

    /// What a sweep added, by neighbour and by carrier, of each family: packed by AS number, which stays the same
    /// whoever reads it.
    pub(super) fn by_number(
        &self,
        pairs: &Packed,
        through: &Packed,
        directory: &Directory,
        packing: &mut Vec<u8>,
    ) -> [super::ByFamily; 2] {
        let mut neighbors: HashMap<(AsIndex, usize), Counter> = HashMap::new();
        for (number, counter) in pairs.iter() {
            if let Some(pair) = self.pairs.get(number) {
                *neighbors.entry((pair.neighbor, family_place(pair.family))).or_default() += counter;
            }
        }
        let through = through.iter().map(|(carrier, counter)| {
            let (carrier, family) = of_key(carrier);
            ((carrier, family_place(family)), counter)
        });
        let mut pack = |sums: Vec<((AsIndex, usize), Counter)>| {
            let mut by_family = [Vec::new(), Vec::new()];
            for ((as_index, family), counter) in sums {
                if let Some(list) = by_family.get_mut(family) {
                    list.push((directory.asn(as_index), counter));
                }
            }
            by_family.map(|mut list| {
                list.sort_unstable_by_key(|&(asn, _)| asn);
                Packed::new(list, packing)
            })
        };
        [pack(neighbors.into_iter().collect()), pack(through.collect())]
    }
}
