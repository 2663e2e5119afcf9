//! Entries of `CLASSES` (what a class stands for) and `CARRY` (what was counted before the generation's counters
//! began), as 32-bit words: they are written and read through mapped memory.

use crate::{
    fib::memory::Words,
    model::{Asn, Counter, Family, Ipv4Network, Ipv6Network, Owner, Prefix},
};

/// Words of an owner: 4 of the address, the AS, and kind and length.
pub(in crate::datapath::kernel) const OWNER_WORDS: usize = 6;
/// Words of a carried counter: which hook and side, its owner, packets and bytes, and one to be a multiple of 8 bytes.
pub(in crate::datapath::kernel) const CARRY_WORDS: usize = 12;

const UNMATCHED: u32 = 1;
const AS: u32 = 3;
const ROUTE: u32 = 5;
/// In the place of an outcome or a side.
const REPLACED: u8 = 0xff;

/// An owner's words. All zero is none.
pub(in crate::datapath::kernel) fn encode(owner: &Owner) -> [u32; OWNER_WORDS] {
    let family = |kind: u32, family: Family| kind + family as u32;
    match *owner {
        Owner::Unmatched(of) => [0, 0, 0, 0, 0, family(UNMATCHED, of)],
        Owner::As { family: of, asn } => [0, 0, 0, 0, asn, family(AS, of)],
        Owner::Route { prefix: Prefix::V4(prefix), asn } => {
            let kind = family(ROUTE, Family::Ipv4) | u32::from(prefix.netmask()) << 8;
            [prefix.network_address().to_bits(), 0, 0, 0, asn, kind]
        }
        Owner::Route { prefix: Prefix::V6(prefix), asn } => {
            let bits = prefix.network_address().to_bits();
            let [a, b, c, d] = [96, 64, 32, 0].map(|shift| (bits >> shift) as u32);
            [a, b, c, d, asn, family(ROUTE, Family::Ipv6) | u32::from(prefix.netmask()) << 8]
        }
    }
}

/// The owner of these words; `None` where it is none, or makes no sense.
pub(in crate::datapath::kernel) fn decode(words: [u32; OWNER_WORDS]) -> Option<Owner> {
    let [a, b, c, d, asn, kind] = words;
    let (kind, len) = (kind & 0xff, (kind >> 8) as u8);
    let family = |of: u32| if kind == of { Family::Ipv4 } else { Family::Ipv6 };
    let route = |prefix: Prefix, asn: Asn| Owner::Route { prefix, asn };
    match kind {
        1 | 2 => Some(Owner::Unmatched(family(UNMATCHED))),
        3 | 4 => Some(Owner::As { family: family(AS), asn }),
        5 => Ipv4Network::new(a.into(), len).ok().map(|network| route(network.into(), asn)),
        6 => {
            let bits = [a, b, c, d].into_iter().fold(0, |bits, word| bits << 32 | u128::from(word));
            Ipv6Network::new(bits.into(), len).ok().map(|network| route(network.into(), asn))
        }
        _ => None,
    }
}

/// What a counter of `CARRY` is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::datapath::kernel) enum What {
    /// An outcome, by number.
    Outcome(u8),
    /// An owner on a side.
    Owner(u8, Owner),
    /// Not a counter: the generation of this number has nothing more to say, for what it counted is in the others.
    Replaced(u64),
}

/// An entry of `CARRY`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::datapath::kernel) struct Carried {
    /// Place of its label.
    pub(in crate::datapath::kernel) label: u8,
    /// By number.
    pub(in crate::datapath::kernel) hook: u8,
    pub(in crate::datapath::kernel) what: What,
    pub(in crate::datapath::kernel) counter: Counter,
}

impl Carried {
    /// That a generation has nothing more to say.
    pub(in crate::datapath::kernel) const fn replaced(number: u64) -> Self {
        Self { label: 0, hook: 0, what: What::Replaced(number), counter: Counter::ZERO }
    }

    pub(in crate::datapath::kernel) fn store(&self, words: &mut impl Words, index: usize) {
        let (what, owner) = match self.what {
            What::Outcome(outcome) => (0x80 | outcome, [0; OWNER_WORDS]),
            What::Owner(side, owner) => (side, encode(&owner)),
            What::Replaced(_) => (REPLACED, [0; OWNER_WORDS]),
        };
        let place = u32::from_le_bytes([self.label, self.hook, what, 0]);
        let Counter { packets, bytes } = match self.what {
            What::Replaced(number) => Counter { packets: number, bytes: 0 },
            _ => self.counter,
        };
        let counter = [packets as u32, (packets >> 32) as u32, bytes as u32, (bytes >> 32) as u32];
        let all = [place].into_iter().chain(owner).chain(counter);
        for (offset, word) in all.enumerate() {
            words.store(index * CARRY_WORDS + offset, word);
        }
    }

    /// `None` where it makes no sense.
    pub(in crate::datapath::kernel) fn load(words: &impl Words, index: usize) -> Option<Self> {
        let word = |offset: usize| words.load(index * CARRY_WORDS + offset);
        let [label, hook, what, _] = word(0).to_le_bytes();
        let number = |low: usize| u64::from(word(low)) | u64::from(word(low + 1)) << 32;
        let counter = Counter { packets: number(1 + OWNER_WORDS), bytes: number(3 + OWNER_WORDS) };
        if what == REPLACED {
            return Some(Self::replaced(counter.packets));
        }
        let what = match what {
            0x80..=0x84 => What::Outcome(what & 0x7f),
            0 | 1 => What::Owner(what, decode(std::array::from_fn(|place| word(1 + place)))?),
            _ => return None,
        };
        (hook < 2).then_some(Self { label, hook, what, counter })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owners() -> Vec<Owner> {
        let route = |prefix: &str, asn| Owner::Route { prefix: prefix.parse().expect("a prefix"), asn };
        vec![
            Owner::Unmatched(Family::Ipv4),
            Owner::Unmatched(Family::Ipv6),
            Owner::As { family: Family::Ipv4, asn: 0 },
            Owner::As { family: Family::Ipv6, asn: u32::MAX },
            route("0.0.0.0/0", 0),
            route("203.0.113.7/32", 64_500),
            route("::/0", 1),
            route("2001:db8:1234:5678:9abc:def0:1234:5678/128", u32::MAX),
        ]
    }

    #[test]
    fn owners_are_the_same_afterwards_and_nothing_is_none() {
        for owner in owners() {
            assert_eq!(decode(encode(&owner)), Some(owner));
        }
        assert_eq!(decode([0; OWNER_WORDS]), None);
        assert_eq!(decode([0, 0, 0, 0, 0, 99]), None);
        // Host bits, and a length that no address has.
        assert_eq!(decode([1, 0, 0, 0, 5, 5 | 8 << 8]), None);
        assert_eq!(decode([0, 0, 0, 0, 5, 5 | 33 << 8]), None);
        assert_eq!(decode([0, 0, 0, 0, 5, 6 | 129 << 8]), None);
    }

    #[test]
    fn what_is_carried_is_the_same_afterwards() {
        let counter = Counter { packets: u64::MAX - 3, bytes: 1 << 40 };
        let whats = owners().into_iter().map(|owner| What::Owner(1, owner)).chain((0..5).map(What::Outcome));
        let mut words = vec![0; CARRY_WORDS * 20];
        for (index, what) in whats.enumerate() {
            let carried = Carried { label: 200, hook: 1, what, counter };
            carried.store(&mut words, index);
            assert_eq!(Carried::load(&words, index), Some(carried));
        }
        let replaced = Carried::replaced(u64::MAX - 7);
        replaced.store(&mut words, 18);
        assert_eq!(Carried::load(&words, 18), Some(replaced));
        assert_eq!(Carried::load(&words, 19), None, "nothing");
    }
}
