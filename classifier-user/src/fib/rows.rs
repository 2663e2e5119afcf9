//! Roots and rows: tables indexed by bits of the address.

use classifier_common::fib::{Kind, ROW_WORDS, V4_ROOT_WORDS, V6_ROOT_WORDS, Word};

use super::{
    memory::{Part, Words},
    prefixes::Address,
    runs::{Run, Runs, What},
    tables::Tables,
};
use crate::datapath::DatapathError;

/// A first-level table and what of the 32-bit space is in it.
#[derive(Debug)]
pub(super) struct Root {
    part: Part,
    rows: Part,
    /// The first and the last head that this entry is about: a table may serve several ranges ([`ROOTS_V6`]).
    first: u32,
    last: u32,
    /// The word of the first head.
    index: u32,
    /// Bits of a head below a word of the table.
    shift: u32,
}

/// IPv4: /24.
pub(super) const ROOTS_V4: [Root; 1] =
    [Root { part: Part::V4Root, rows: Part::V4Rows, first: 0, last: u32::MAX, index: 0, shift: 8 }];

/// IPv6: /24 in 2000::/3, /8 below and above it.
pub(super) const ROOTS_V6: [Root; 3] = [
    Root { part: Part::V6Other, rows: Part::V6Rows, first: 0, last: 0x1fff_ffff, index: 0, shift: 24 },
    Root {
        part: Part::V6Root,
        rows: Part::V6Rows,
        first: 0x2000_0000,
        last: 0x3fff_ffff,
        index: 0,
        shift: 8,
    },
    Root {
        part: Part::V6Other,
        rows: Part::V6Rows,
        first: 0x4000_0000,
        last: u32::MAX,
        index: 0x40,
        shift: 24,
    },
];

const _: () = assert!(V4_ROOT_WORDS == 1 << 24 && V6_ROOT_WORDS == 0x2000_0000 >> 8 && ROW_WORDS == 1 << 8);

impl<W: Words> Tables<W> {
    /// Plans the words of all runs; what no run covers stays as it is.
    pub(super) fn update<A: Address>(
        &mut self,
        roots: &[Root],
        mut runs: Runs<'_, A>,
    ) -> Result<(), DatapathError> {
        for root in roots {
            while let Some(run) = runs.next_within(root.last) {
                let index = root.index + ((run.first - root.first) >> root.shift);
                let whole = whole_slots(run, root.shift);
                if let (What::Class(class), 1..) = (run.what, whole) {
                    self.note(root.part, index, whole, Word::class(class));
                    put_rest_back(&mut runs, run, whole, root.shift);
                } else {
                    runs.put_back(run);
                    let old = self.memory.word(root.part, index);
                    let new = self.slot(root.rows, old, run.first, root.shift, &mut runs)?;
                    if new != old {
                        self.note(root.part, index, 1, new);
                    }
                }
            }
        }
        Ok(())
    }

    /// The word of a slot of `1 << shift` heads around `head` in which runs begin or end; `old` is what it has.
    fn slot<A: Address>(
        &mut self,
        rows: Part,
        old: Word,
        head: u32,
        shift: u32,
        runs: &mut Runs<'_, A>,
    ) -> Result<Word, DatapathError> {
        let last = head | ((1 << shift) - 1);
        let shift = shift - 8;
        let before = match old.kind() {
            Kind::Row => self.memory.row(rows, old.payload()),
            _ => [old.0; ROW_WORDS],
        };
        let mut words = before;
        while let Some(run) = runs.next_within(last) {
            let child = (run.first >> shift) as usize % ROW_WORDS;
            let whole = whole_slots(run, shift);
            match run.what {
                What::Class(class) if whole > 0 => {
                    words[child..child + whole as usize].fill(Word::class(class).0);
                    put_rest_back(runs, run, whole, shift);
                }
                What::Parts if shift == 0 => {
                    words[child] = self.segment(Word(words[child]), 0, runs.parts())?.0;
                }
                _ => {
                    runs.put_back(run);
                    words[child] = self.slot(rows, Word(words[child]), run.first, shift, runs)?.0;
                }
            }
        }

        let [first, ..] = words;
        if words == [first; ROW_WORDS] {
            return Ok(Word(first));
        }
        if old.kind() == Kind::Row {
            for (i, (&word, _)) in words.iter().zip(&before).enumerate().filter(|(_, (new, old))| new != old)
            {
                self.note(rows, old.payload() * ROW_WORDS as u32 + i as u32, 1, Word(word));
            }
            return Ok(old);
        }
        let row = self.pool(rows).take()?;
        self.fill(rows, row * ROW_WORDS as u32, &words);
        Ok(Word::new(Kind::Row, row))
    }
}

/// How many whole slots of `1 << shift` heads a run has from its first head on.
fn whole_slots(run: Run, shift: u32) -> u32 {
    if run.first & ((1 << shift) - 1) != 0 {
        return 0;
    }
    ((u64::from(run.last - run.first) + 1) >> shift) as u32
}

/// Puts back what of a run is behind its first `whole` slots.
fn put_rest_back<A: Address>(runs: &mut Runs<'_, A>, run: Run, whole: u32, shift: u32) {
    let done = u64::from(run.first) + (u64::from(whole) << shift);
    if done <= u64::from(run.last) {
        runs.put_back(Run { first: done as u32, ..run });
    }
}
