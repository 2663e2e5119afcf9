//! Counters by a dense number, of which most are zero.

use crate::model::Counter;

/// Counters a block: 256 bytes. Owners' numbers follow the address space, and so does traffic.
const BLOCK: usize = 16;

/// A vector of counters that takes memory only around what was touched.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sparse {
    blocks: Vec<Option<Box<[Counter; BLOCK]>>>,
}

impl Sparse {
    /// Adds to the counter of `index`.
    pub(crate) fn add(&mut self, index: u32, counter: Counter) {
        let (block, place) = (index as usize / BLOCK, index as usize % BLOCK);
        if self.blocks.len() <= block {
            self.blocks.resize_with(block + 1, || None);
        }
        if let Some(slot) = self.blocks.get_mut(block) {
            slot.get_or_insert_with(|| Box::new([Counter::ZERO; BLOCK]))[place] += counter;
        }
    }

    /// The counter of `index`.
    pub(crate) fn get(&self, index: u32) -> Counter {
        match self.blocks.get(index as usize / BLOCK) {
            Some(Some(block)) => block[index as usize % BLOCK],
            _ => Counter::ZERO,
        }
    }

    /// All that are not zero, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, Counter)> {
        self.blocks.iter().enumerate().filter_map(|(i, block)| Some((i, block.as_ref()?))).flat_map(
            |(i, block)| {
                block
                    .iter()
                    .enumerate()
                    .filter(|(_, counter)| !counter.is_zero())
                    .map(move |(place, &counter)| ((i * BLOCK + place) as u32, counter))
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_touched_takes_memory() {
        let mut sparse = Sparse::default();
        let one = Counter { packets: 1, bytes: 60 };
        for index in [700_000, 3, 700_000, 15, 16] {
            sparse.add(index, one);
        }
        let two = Counter { packets: 2, bytes: 120 };
        assert_eq!(sparse.iter().collect::<Vec<_>>(), [(3, one), (15, one), (16, one), (700_000, two)]);
        assert_eq!(
            [sparse.get(700_000), sparse.get(4), sparse.get(4_000_000)],
            [two, Counter::ZERO, Counter::ZERO]
        );
        assert_eq!(sparse.blocks.iter().flatten().count(), 3);
    }
}
