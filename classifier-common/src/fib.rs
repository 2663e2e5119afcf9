//! The FIB's encoding: from an address to a class, read by the kernel program and by the host's tests with the
//! same code, written by the agent.
//!
//! A [`Word`] is either a class or points on. IPv4 is DIR-24-8: the first 24 bits index the root, a row of 256
//! words takes the last 8. IPv6 starts at the 21 bits below 2000::/3 (or, elsewhere, at the first byte), goes on
//! by rows of 8 bits as far as /32, and below that by search nodes of one cache line: seven separators and eight
//! words, over the 32-bit segments /32-/64, /64-/96 and /96-/128.

/// A word of the FIB: two bits of kind, thirty of payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Word(pub u32);

/// A dense number for one (prefix, origin AS), or one (AS, family).
pub type Class = u32;

/// The class of IPv4 addresses that no route covers.
pub const UNMATCHED_V4: Class = 0;
/// The class of IPv6 addresses that no route covers.
pub const UNMATCHED_V6: Class = 1;
/// The first class that stands for a route.
pub const FIRST_CLASS: Class = 2;
/// Payloads are below this.
pub const MAX_PAYLOAD: u32 = 1 << 30;

/// Words in the IPv4 root.
pub const V4_ROOT_WORDS: usize = 1 << 24;
/// Words in the IPv6 root of 2000::/3.
pub const V6_ROOT_WORDS: usize = 1 << 21;
/// Words in the IPv6 root of everything else.
pub const V6_OTHER_WORDS: usize = 256;
/// Words of a row.
pub const ROW_WORDS: usize = 256;
/// Words of a search node: [`NODE_FANOUT`] words, then `NODE_FANOUT - 1` separators, then one unused.
pub const NODE_WORDS: usize = 16;
/// Intervals in a search node.
pub const NODE_FANOUT: usize = 8;
/// The deepest search tree of one segment: 8^8 intervals are more than a segment of any table has.
pub const MAX_NODE_DEPTH: usize = 8;
/// Segments below /32.
pub const SEGMENTS: usize = 3;

const KIND_SHIFT: u32 = 30;
const PAYLOAD: u32 = MAX_PAYLOAD - 1;

/// What a word points to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// The payload is the class.
    Class = 0,
    /// The payload is a row, for the next 8 bits.
    Row = 1,
    /// The payload is a search node over the 32-bit segment that begins here, or goes on in it.
    Node = 2,
    /// From a search node: the payload is the root node of the next segment.
    Next = 3,
}

impl Word {
    /// A word of this kind. The payload must be below [`MAX_PAYLOAD`].
    #[must_use]
    #[inline(always)]
    pub const fn new(kind: Kind, payload: u32) -> Self {
        Self((kind as u32) << KIND_SHIFT | payload & PAYLOAD)
    }

    /// The word for a class.
    #[must_use]
    #[inline(always)]
    pub const fn class(class: Class) -> Self {
        Self::new(Kind::Class, class)
    }

    /// Its kind.
    #[must_use]
    #[inline(always)]
    pub const fn kind(self) -> Kind {
        match self.0 >> KIND_SHIFT {
            0 => Kind::Class,
            1 => Kind::Row,
            2 => Kind::Node,
            _ => Kind::Next,
        }
    }

    /// Its class, row or node number.
    #[must_use]
    #[inline(always)]
    pub const fn payload(self) -> u32 {
        self.0 & PAYLOAD
    }
}

/// A search node's words, read one by one: whoever writes may be storing another one.
pub trait Node: Copy {
    /// Word `index`, below [`NODE_WORDS`].
    fn word(self, index: usize) -> u32;
}

impl Node for &[u32; NODE_WORDS] {
    #[inline(always)]
    fn word(self, index: usize) -> u32 {
        self[index]
    }
}

/// Where FIB words are read from: maps in the kernel, slices on the host. `None` is an index out of bounds, which
/// a FIB built by the agent never has; the lookup then ends as unmatched.
pub trait Read {
    /// How a search node is read.
    type Node<'a>: Node
    where
        Self: 'a;

    /// Word `index` of the IPv4 root.
    fn v4_root(&self, index: u32) -> Option<u32>;
    /// Word `index` (0-255) of an IPv4 row.
    fn v4_row(&self, row: u32, index: u32) -> Option<u32>;
    /// Word `index` of the root of 2000::/3.
    fn v6_root(&self, index: u32) -> Option<u32>;
    /// Word `index` (0-255) of the root of all other IPv6.
    fn v6_other(&self, index: u32) -> Option<u32>;
    /// Word `index` (0-255) of an IPv6 row.
    fn v6_row(&self, row: u32, index: u32) -> Option<u32>;
    /// A search node.
    fn v6_node(&self, node: u32) -> Option<Self::Node<'_>>;
    /// The same number, as a copy that has nothing to do with it: see the kernel's.
    #[must_use]
    #[inline(always)]
    fn copy(number: u32) -> u32 {
        number
    }
}

/// The class of an IPv4 address (host byte order).
#[inline(always)]
pub fn lookup_v4<R: Read>(fib: &R, address: u32) -> Class {
    let Some(word) = fib.v4_root(address >> 8) else { return UNMATCHED_V4 };
    let word = Word(word);
    if word.kind() as u32 == Kind::Class as u32 {
        return word.payload();
    }
    fib.v4_row(word.payload(), address & 0xff).unwrap_or(UNMATCHED_V4)
}

/// Which of a node's eight intervals a key is in: how many separators are at most `key`.
///
/// Each term's upper half is all ones exactly where the key is below the separator, so the sum of upper halves
/// counts these without a branch, which a search over random keys would mispredict.
#[inline(always)]
fn interval<N: Node>(node: N, key: u32) -> usize {
    let mut below = 0u64;
    let mut i = NODE_FANOUT;
    while i < NODE_WORDS - 1 {
        below = below.wrapping_add((u64::from(key).wrapping_sub(u64::from(node.word(i)))) >> 32);
        i += 1;
    }
    (NODE_FANOUT - 1).wrapping_sub(below.wrapping_neg() as u32 as usize) & (NODE_FANOUT - 1)
}

/// The class of an IPv6 address: four 32-bit parts in host byte order, the first one first.
#[inline(always)]
pub fn lookup_v6<R: Read>(fib: &R, address: &[u32; 4]) -> Class {
    let [first, mut key, third, fourth] = *address;
    let mut word;
    if first >> 29 == 1 {
        match fib.v6_root((first >> 8) & (V6_ROOT_WORDS as u32 - 1)) {
            Some(found) => word = Word(found),
            None => return UNMATCHED_V6,
        }
    } else {
        match fib.v6_other(first >> 24) {
            Some(found) => word = Word(found),
            None => return UNMATCHED_V6,
        }
        // The two bytes that the root of 2000::/3 takes at once.
        if word.kind() as u32 == Kind::Row as u32 {
            match fib.v6_row(word.payload(), (first >> 16) & 0xff) {
                Some(found) => word = Word(found),
                None => return UNMATCHED_V6,
            }
        }
        if word.kind() as u32 == Kind::Row as u32 {
            match fib.v6_row(word.payload(), (first >> 8) & 0xff) {
                Some(found) => word = Word(found),
                None => return UNMATCHED_V6,
            }
        }
    }
    if word.kind() as u32 == Kind::Row as u32 {
        match fib.v6_row(word.payload(), first & 0xff) {
            Some(found) => word = Word(found),
            None => return UNMATCHED_V6,
        }
    }
    let mut later = [third, fourth];
    let mut steps = 0;
    while steps < MAX_NODE_DEPTH * SEGMENTS {
        if word.0 >> KIND_SHIFT == Kind::Class as u32 {
            return word.payload();
        }
        if word.0 >> KIND_SHIFT == Kind::Next as u32 {
            key = R::copy(later[0]);
            later[0] = R::copy(later[1]);
        }
        let Some(node) = fib.v6_node(word.payload()) else { return UNMATCHED_V6 };
        word = Word(node.word(interval(node, key)));
        steps += 1;
    }
    UNMATCHED_V6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_finds_the_interval_of_every_key() {
        let mut node = [0u32; NODE_WORDS];
        let separators = [5, 9, 100, 0x8000_0000, 0xffff_fff0, u32::MAX, u32::MAX];
        node[NODE_FANOUT..NODE_FANOUT + 7].copy_from_slice(&separators);
        for key in [
            0,
            4,
            5,
            6,
            8,
            9,
            10,
            99,
            100,
            101,
            0x7fff_ffff,
            0x8000_0000,
            0xffff_ffef,
            u32::MAX - 1,
            u32::MAX,
        ] {
            let expected = separators.iter().filter(|&&separator| separator <= key).count();
            assert_eq!(interval(&node, key), expected, "key {key:#x}");
        }
    }

    #[test]
    fn words_keep_kind_and_payload() {
        for kind in [Kind::Class, Kind::Row, Kind::Node, Kind::Next] {
            for payload in [0, 1, PAYLOAD] {
                let word = Word::new(kind, payload);
                assert_eq!((word.kind(), word.payload()), (kind, payload));
            }
        }
    }
}
