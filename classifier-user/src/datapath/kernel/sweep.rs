//! Reading the banks: what each class counted since the last time.

use std::sync::atomic::{AtomicU8, Ordering, fence};

use classifier_common::{
    abi::{self, BankLayout, DIRTY_BLOCK, Hook, HookSlice, Side},
    counter::{Counter, Outcome},
};

use super::mapping::Mapping;
use crate::model::Class;

const BLOCK: usize = DIRTY_BLOCK as usize;
/// Counters that would lie in the place of one hook slice.
const COUNTERS_A_HOOK: u32 = (size_of::<HookSlice>() / size_of::<Counter>()) as u32;

/// What one (hook, side) of a bank had at the last sweep, summed over its slices. Blocks that were never touched
/// take no memory.
#[derive(Debug, Default)]
pub(super) struct Seen(Vec<Option<Box<[Counter; BLOCK]>>>);

/// The layout of one (hook, side).
#[derive(Clone, Copy, Debug)]
pub(super) struct Region {
    /// Where the link's bank begins, in counters.
    pub(super) bank: u32,
    pub(super) hook: Hook,
    pub(super) side: Side,
    pub(super) layout: BankLayout,
}

impl Region {
    fn base(&self, slice: u32) -> u32 {
        self.bank + self.layout.base(self.hook, self.side, slice)
    }

    fn blocks(&self) -> usize {
        self.layout.blocks() as usize
    }

    /// Dirty bytes of a slice.
    fn dirty<'a>(
        &self,
        banks: &'a Mapping,
        slice: u32,
    ) -> (&'a [AtomicU8], &'a [std::sync::atomic::AtomicU64]) {
        banks.bytes(self.layout.dirty(self.base(slice)), self.blocks())
    }
}

/// Reads what changed in one (hook, side) of a bank. With `all`, every block is read, marked or not.
pub(super) fn read(banks: &Mapping, region: Region, seen: &mut Seen, all: bool) -> Vec<(Class, Counter)> {
    let blocks = region.blocks();
    seen.0.resize_with(blocks, || None);
    let slices = 0..=region.layout.slices;
    let dirty: Vec<_> = slices.clone().map(|slice| region.dirty(banks, slice)).collect();
    let mut deltas = Vec::new();
    for eight in 0..blocks.div_ceil(8) {
        if !all && dirty.iter().all(|(_, words)| words[eight].load(Ordering::Relaxed) == 0) {
            continue;
        }
        for block in eight * 8..blocks.min(eight * 8 + 8) {
            let mut marked = all;
            for (bytes, _) in &dirty {
                if bytes[block].load(Ordering::Relaxed) != 0 {
                    bytes[block].store(0, Ordering::Relaxed);
                    marked = true;
                }
            }
            if marked {
                // Cleared before read: a count that this read misses marks the block again.
                fence(Ordering::SeqCst);
                read_block(banks, region, block, &mut seen.0[block], &mut deltas);
            }
        }
    }
    deltas
}

fn read_block(
    banks: &Mapping,
    region: Region,
    block: usize,
    seen: &mut Option<Box<[Counter; BLOCK]>>,
    deltas: &mut Vec<(Class, Counter)>,
) {
    let first = block as u32 * DIRTY_BLOCK;
    let mut now = [Counter::ZERO; BLOCK];
    for slice in 0..=region.layout.slices {
        let counters = banks.counters(region.base(slice) + first, BLOCK);
        for (sum, counter) in now.iter_mut().zip(counters) {
            *sum += counter.load();
        }
    }
    let before = match seen {
        Some(before) => before,
        None if now.iter().all(Counter::is_zero) => return,
        None => seen.insert(Box::new([Counter::ZERO; BLOCK])),
    };
    for (i, (now, before)) in now.iter().zip(before.iter_mut()).enumerate() {
        if now != before {
            deltas.push((first + i as u32, *now - *before));
            *before = *now;
        }
    }
}

/// The outcomes of one (link, hook), summed over its slices.
pub(super) fn outcomes(map: &Mapping, link: u32, hook: Hook, slices: u32) -> [Counter; 5] {
    let mut sums = [Counter::ZERO; 5];
    for slice in 0..=slices {
        // A hook's slice begins with its outcomes.
        let index = abi::hook_slice_index(link, hook, slice, slices) * COUNTERS_A_HOOK;
        for (sum, counter) in sums.iter_mut().zip(map.counters(index, Outcome::ALL.len())) {
            *sum += counter.load();
        }
    }
    sums
}
