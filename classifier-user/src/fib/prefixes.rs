//! The routes of one family, sorted, and the disjoint intervals that they cut the address space into.

use std::{
    collections::{BTreeMap, btree_map},
    iter::FusedIterator,
    slice,
};

use classifier_common::fib::{Class, UNMATCHED_V4, UNMATCHED_V6};

/// An address of either family.
pub(super) trait Address: Copy + Ord {
    /// A prefix, ordered by address, then length: a prefix comes right before what is inside it.
    type Key: Copy + Ord;
    const MIN: Self;
    /// The class of what no route covers.
    const UNMATCHED: Class;

    fn key(self, len: u8) -> Self::Key;
    fn prefix(key: Self::Key) -> (Self, u8);
    /// The first address of the prefix of length `len` around this one.
    fn first(self, len: u8) -> Self;
    /// The last one.
    fn last(self, len: u8) -> Self;
    /// How many leading bits are the same.
    fn common(self, other: Self) -> u8;
    fn next(self) -> Option<Self>;
    /// The address before; `self` is not [`Address::MIN`].
    fn previous(self) -> Self;
    /// The first 32 bits.
    fn head(self) -> u32;
    /// The bits behind them.
    fn tail(self) -> u128;
    /// Whether [`Address::tail`] is all ones.
    fn ends_head(self) -> bool;
    /// The first address of these first 32 bits.
    fn of_head(head: u32) -> Self;
}

impl Address for u32 {
    type Key = u64;
    const MIN: Self = Self::MIN;
    const UNMATCHED: Class = UNMATCHED_V4;

    fn key(self, len: u8) -> u64 {
        u64::from(self) << 8 | u64::from(len)
    }

    fn prefix(key: u64) -> (Self, u8) {
        ((key >> 8) as Self, key as u8)
    }

    fn first(self, len: u8) -> Self {
        self & !Self::MAX.checked_shr(len.into()).unwrap_or(0)
    }

    fn last(self, len: u8) -> Self {
        self | Self::MAX.checked_shr(len.into()).unwrap_or(0)
    }

    fn common(self, other: Self) -> u8 {
        (self ^ other).leading_zeros() as u8
    }

    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }

    fn previous(self) -> Self {
        self.wrapping_sub(1)
    }

    fn head(self) -> u32 {
        self
    }

    fn tail(self) -> u128 {
        0
    }

    fn ends_head(self) -> bool {
        true
    }

    fn of_head(head: u32) -> Self {
        head
    }
}

/// An IPv6 prefix in 24 bytes (a u128 beside a u8 takes 32).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct KeyV6 {
    high: u64,
    low: u64,
    len: u8,
}

const TAIL: u128 = u128::MAX >> 32;

impl Address for u128 {
    type Key = KeyV6;
    const MIN: Self = Self::MIN;
    const UNMATCHED: Class = UNMATCHED_V6;

    fn key(self, len: u8) -> KeyV6 {
        KeyV6 { high: (self >> 64) as u64, low: self as u64, len }
    }

    fn prefix(key: KeyV6) -> (Self, u8) {
        (Self::from(key.high) << 64 | Self::from(key.low), key.len)
    }

    fn first(self, len: u8) -> Self {
        self & !Self::MAX.checked_shr(len.into()).unwrap_or(0)
    }

    fn last(self, len: u8) -> Self {
        self | Self::MAX.checked_shr(len.into()).unwrap_or(0)
    }

    fn common(self, other: Self) -> u8 {
        (self ^ other).leading_zeros() as u8
    }

    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }

    fn previous(self) -> Self {
        self.wrapping_sub(1)
    }

    fn head(self) -> u32 {
        (self >> 96) as u32
    }

    fn tail(self) -> u128 {
        self & TAIL
    }

    fn ends_head(self) -> bool {
        self & TAIL == TAIL
    }

    fn of_head(head: u32) -> Self {
        Self::from(head) << 96
    }
}

/// A prefix and its class from now on; `None` takes it out.
pub(super) type Change<A> = (A, u8, Option<Class>);

/// The routes of one family.
#[derive(Debug)]
pub(super) struct Prefixes<A: Address> {
    classes: BTreeMap<A::Key, Class>,
}

/// How to take a batch back.
pub(super) struct Undo<A: Address> {
    /// The map was empty.
    clear: bool,
    /// What prefixes had before, in the order of the changes.
    before: Vec<(A::Key, Option<Class>)>,
}

/// Blocks of addresses (first address, prefix length), ascending, disjoint.
pub(super) type Blocks<A> = Vec<(A, u8)>;

/// From so many blocks on one walk over all routes is cheaper than a search for each: more than the routes divided by
/// this.
const MANY_BLOCKS_SHARE: usize = 128;
/// A first table of more prefixes is likely to have most addresses in it.
const FIRST_BLOCKS: usize = 4096;

impl<A: Address> Prefixes<A> {
    pub(super) const fn new() -> Self {
        Self { classes: BTreeMap::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.classes.len()
    }

    /// The block of all addresses.
    pub(super) fn everything() -> Blocks<A> {
        vec![(A::MIN, 0)]
    }

    /// Makes the changes, the last one for a prefix wins. Returns how to undo them and the blocks of addresses that
    /// may have another class now, each widened to `widest` bits.
    pub(super) fn change(
        &mut self,
        changes: impl Iterator<Item = Change<A>> + Clone,
        widest: u8,
    ) -> (Undo<A>, Blocks<A>) {
        let mut undo = Undo { clear: false, before: Vec::new() };
        let mut blocks = Vec::new();
        if self.classes.is_empty() && changes.clone().all(|(.., class)| class.is_some()) {
            // A first table: sorted and built at once, an insertion each takes several times as long.
            self.classes = changes
                .filter_map(|(address, len, class)| class.map(|class| (address.key(len), class)))
                .collect();
            undo.clear = true;
            if self.classes.len() > FIRST_BLOCKS {
                return (undo, Self::everything());
            }
            blocks.extend(self.classes.keys().map(|&key| A::prefix(key)));
        } else {
            for (address, len, class) in changes {
                let key = address.key(len);
                let before = match class {
                    Some(class) => self.classes.insert(key, class),
                    None => self.classes.remove(&key),
                };
                if before != class {
                    undo.before.push((key, before));
                    blocks.push((address, len));
                }
            }
        }
        for (address, len) in &mut blocks {
            *len = (*len).min(widest);
            *address = address.first(*len);
        }
        blocks.sort_unstable_by_key(|&(address, len)| address.key(len));
        let mut end = None;
        blocks.retain(|&(address, len)| {
            let new = end.is_none_or(|end| address > end);
            if new {
                end = Some(address.last(len));
            }
            new
        });
        (undo, blocks)
    }

    /// Takes a batch back.
    pub(super) fn undo(&mut self, undo: Undo<A>) {
        if undo.clear {
            self.classes.clear();
        }
        for (key, before) in undo.before.into_iter().rev() {
            match before {
                Some(class) => self.classes.insert(key, class),
                None => self.classes.remove(&key),
            };
        }
    }

    /// The class of the longest prefix shorter than `len` that covers `address`, which has no bit set behind `len`.
    fn covering(&self, address: A, len: u8) -> Option<Class> {
        let mut below = address.key(len);
        loop {
            let (&key, &class) = self.classes.range(..below).next_back()?;
            let (candidate, candidate_len) = A::prefix(key);
            let common = candidate.common(address);
            if candidate_len <= common {
                return Some(class);
            }
            // Whatever covers the address sorts before the candidate and so covers that too: it has at most the
            // bits that both share.
            below = address.first(common).key(common + 1);
        }
    }

    /// The intervals of all addresses in `blocks`.
    pub(super) fn sweep<'a>(&'a self, blocks: &'a [(A, u8)]) -> Sweep<'a, A> {
        let walk = blocks.len() > self.classes.len() / MANY_BLOCKS_SHARE;
        let mut sweep = Sweep {
            prefixes: self,
            blocks: blocks.iter(),
            range: btree_map::Range::default(),
            ahead: None,
            outside: walk.then(Vec::new),
            around: Vec::new(),
            position: None,
        };
        if walk {
            sweep.range = self.classes.range(..);
            sweep.advance();
        }
        sweep
    }
}

/// Addresses of one class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Interval<A> {
    pub(super) first: A,
    pub(super) last: A,
    pub(super) class: Class,
}

/// Disjoint intervals, ascending; neighbours may have the same class.
///
/// One pass over the sorted prefixes of each block with a stack of those around the position: the innermost one has it.
pub(super) struct Sweep<'a, A: Address> {
    prefixes: &'a Prefixes<A>,
    blocks: slice::Iter<'a, (A, u8)>,
    /// The prefixes of the block, or all of them.
    range: btree_map::Range<'a, A::Key, Class>,
    /// The next prefix.
    ahead: Option<Interval<A>>,
    /// Where all prefixes are walked over: last address and class of those around the next block.
    outside: Option<Vec<(A, Class)>>,
    /// Last address and class of what is around the position, the block itself first.
    around: Vec<(A, Class)>,
    position: Option<A>,
}

impl<A: Address> Sweep<'_, A> {
    fn open(&mut self) -> Option<A> {
        let &(address, len) = self.blocks.next()?;
        let last = address.last(len);
        let outside = match self.outside.take() {
            Some(outside) => self.walk(address, last, outside),
            None => {
                self.range = self.prefixes.classes.range(address.key(len)..=last.key(u8::MAX));
                self.advance();
                self.prefixes.covering(address, len)
            }
        };
        self.around.clear();
        self.around.push((last, outside.unwrap_or(A::UNMATCHED)));
        Some(address)
    }

    /// Goes on to the first prefix that is no shorter than the block which begins and ends there. The class around it.
    fn walk(&mut self, first: A, last: A, mut outside: Vec<(A, Class)>) -> Option<Class> {
        let ends_before =
            |outside: &[(A, Class)], address| outside.last().is_some_and(|(last, _)| *last < address);
        while let Some(prefix) = self.ahead
            && (prefix.first < first || prefix.first == first && prefix.last > last)
        {
            while ends_before(&outside, prefix.first) {
                outside.pop();
            }
            outside.push((prefix.last, prefix.class));
            self.advance();
        }
        while ends_before(&outside, first) {
            outside.pop();
        }
        let class = outside.last().map(|(_, class)| *class);
        self.outside = Some(outside);
        class
    }

    fn advance(&mut self) {
        self.ahead = self.range.next().map(|(&key, &class)| {
            let (first, len) = A::prefix(key);
            Interval { first, last: first.last(len), class }
        });
    }
}

impl<A: Address> Iterator for Sweep<'_, A> {
    type Item = Interval<A>;

    fn next(&mut self) -> Option<Interval<A>> {
        loop {
            let position = match self.position {
                Some(position) => position,
                None => self.open()?,
            };
            let Some(&(last, class)) = self.around.last() else {
                self.position = None;
                continue;
            };
            match self.ahead {
                Some(prefix) if prefix.first <= last => {
                    self.around.push((prefix.last, prefix.class));
                    self.advance();
                    self.position = Some(prefix.first);
                    if position < prefix.first {
                        return Some(Interval { first: position, last: prefix.first.previous(), class });
                    }
                }
                _ => {
                    self.around.pop();
                    if position <= last {
                        self.position = last.next();
                        return Some(Interval { first: position, last, class });
                    }
                    self.position = Some(position);
                }
            }
        }
    }
}

impl<A: Address> FusedIterator for Sweep<'_, A> {}
