//! Counters of one bank over a while, in a few bytes each: ascending owner numbers as differences, and packets and
//! bytes, all as LEB128.

use std::sync::Arc;

use crate::model::Counter;

/// Packed counters by owner number, ascending, none zero. A clone shares the bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Packed(Arc<[u8]>);

impl Packed {
    /// Packs what `counters` gives, which must be ascending; the same number twice in a row is summed, and what is
    /// zero left out.
    pub(crate) fn new(counters: impl IntoIterator<Item = (u32, Counter)>, scratch: &mut Vec<u8>) -> Self {
        scratch.clear();
        let mut last = 0;
        let mut write = |(number, counter): (u32, Counter)| {
            if !counter.is_zero() {
                put(scratch, u64::from(number - last));
                put(scratch, counter.packets);
                put(scratch, counter.bytes);
                last = number;
            }
        };
        let mut open: Option<(u32, Counter)> = None;
        for (number, counter) in counters {
            match &mut open {
                Some((same, sum)) if *same == number => *sum += counter,
                _ => {
                    if let Some(done) = open.replace((number, counter)) {
                        write(done);
                    }
                }
            }
        }
        if let Some(done) = open {
            write(done);
        }
        Self(scratch.as_slice().into())
    }

    /// Bytes taken.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// As bytes, to be kept elsewhere.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The counters, ascending.
    pub(crate) fn iter(&self) -> Unpack<'_> {
        Unpack::new(&self.0)
    }
}

/// Iterator of [`Packed::iter`].
#[derive(Clone, Debug)]
pub(crate) struct Unpack<'a> {
    rest: &'a [u8],
    last: u32,
}

impl<'a> Unpack<'a> {
    /// What [`Packed::as_bytes`] gave. Ends early where it is something else.
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, last: 0 }
    }
}

impl Iterator for Unpack<'_> {
    type Item = (u32, Counter);

    fn next(&mut self) -> Option<Self::Item> {
        self.last = self.last.wrapping_add(get(&mut self.rest)? as u32);
        Some((self.last, Counter { packets: get(&mut self.rest)?, bytes: get(&mut self.rest)? }))
    }
}

/// Writes a number as LEB128.
pub(crate) fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Reads what [`put`] wrote; `None` where the bytes end before it does.
pub(crate) fn get(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    let mut shift = 0;
    loop {
        let (&byte, tail) = rest.split_first()?;
        *rest = tail;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
        // Ten bytes hold 64 bits; `put` writes no more.
        shift = (shift + 7).min(63);
    }
}

/// Merges several ascending sequences into one, ascending; a number that several have comes once from each.
pub(crate) fn merge<'a>(parts: impl IntoIterator<Item = &'a Packed>) -> impl Iterator<Item = (u32, Counter)> {
    let mut heads: Vec<_> = parts
        .into_iter()
        .filter_map(|part| {
            let mut rest = part.iter();
            Some((rest.next()?, rest))
        })
        .collect();
    std::iter::from_fn(move || {
        let least = heads.iter().enumerate().min_by_key(|(_, ((number, _), _))| *number)?.0;
        let (head, rest) = heads.get_mut(least)?;
        Some(match rest.next() {
            Some(next) => std::mem::replace(head, next),
            None => heads.swap_remove(least).0,
        })
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_entry_takes_few_bytes() {
        let packed = Packed::new([(3, Counter { packets: 100, bytes: 64_000 })], &mut Vec::new());
        // 3; 100; 64000 = 0b11_1110100_0000000
        assert_eq!(*packed.0, [3, 100, 0x80, 0xf4, 0x03]);
    }

    fn counters() -> impl Strategy<Value = BTreeMap<u32, Counter>> {
        let counter = (any::<u64>(), any::<u64>(), 0_u32..64)
            .prop_map(|(packets, bytes, shift)| Counter { packets: packets >> shift, bytes: bytes >> shift });
        proptest::collection::btree_map(any::<u32>(), counter, 0..50)
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_out(counters in counters()) {
            let packed = Packed::new(counters.clone(), &mut Vec::new());
            let expected: Vec<_> = counters.into_iter().filter(|(_, counter)| !counter.is_zero()).collect();
            prop_assert_eq!(packed.iter().collect::<Vec<_>>(), expected);
        }

        #[test]
        fn merged_is_the_sum(parts in proptest::collection::vec(counters(), 0..6)) {
            let mut oracle = BTreeMap::<u32, Counter>::new();
            for (&number, &counter) in parts.iter().flatten() {
                *oracle.entry(number).or_default() += counter;
            }
            oracle.retain(|_, counter| !counter.is_zero());
            let scratch = &mut Vec::new();
            let packed: Vec<_> = parts.into_iter().map(|part| Packed::new(part, scratch)).collect();
            let merged = Packed::new(merge(&packed), scratch);
            prop_assert_eq!(merged.iter().collect::<BTreeMap<_, _>>(), oracle);
        }
    }
}
