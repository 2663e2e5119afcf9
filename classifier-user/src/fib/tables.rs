//! The FIB's memory with a batch on its way into it.
//!
//! A batch is planned first: new rows and nodes, which no lookup can reach yet, are filled at once; every store
//! that a lookup can see is only noted. If numbers run out, the notes are thrown away and the FIB is as it was.
//! Otherwise [`Tables::commit`] makes the stores, each of which changes an address's class from the old one of the
//! batch to the new one.

use classifier_common::fib::{Kind, NODE_FANOUT, NODE_WORDS, ROW_WORDS, Word};

use super::{
    memory::{FibMemory, Part, Words},
    pool::Pool,
};

/// `count` words from `index` on become `word`.
#[derive(Clone, Copy, Debug)]
struct Store {
    index: u32,
    count: u32,
    word: Word,
}

/// The memory, the numbers that are free in it, and the stores of the batch.
#[derive(Debug)]
pub(super) struct Tables<W> {
    pub(super) memory: FibMemory<W>,
    pub(super) v4_rows: Pool,
    pub(super) v6_rows: Pool,
    pub(super) v6_nodes: Pool,
    journal: [Vec<Store>; Part::ALL.len()],
    /// Words that the batch stored into new rows and nodes.
    filled: u64,
}

impl<W: Words> Tables<W> {
    pub(super) fn new(memory: FibMemory<W>) -> Self {
        // Word indices are 32 bits.
        let rows = |words: &W| (words.len() / ROW_WORDS).min(u32::MAX as usize / ROW_WORDS) as u32;
        let nodes = (memory.v6_nodes.len() / NODE_WORDS).min(u32::MAX as usize / NODE_WORDS) as u32;
        Self {
            v4_rows: Pool::new("IPv4 rows", rows(&memory.v4_rows)),
            v6_rows: Pool::new("IPv6 rows", rows(&memory.v6_rows)),
            v6_nodes: Pool::new("IPv6 search nodes", nodes),
            memory,
            journal: Default::default(),
            filled: 0,
        }
    }

    pub(super) fn pool(&mut self, rows: Part) -> &mut Pool {
        match rows {
            Part::V4Rows => &mut self.v4_rows,
            _ => &mut self.v6_rows,
        }
    }

    /// Notes that `count` words from `index` on become `word`.
    pub(super) fn note(&mut self, part: Part, index: u32, count: u32, word: Word) {
        self.journal[part as usize].push(Store { index, count, word });
    }

    /// Fills a new row or node.
    pub(super) fn fill(&mut self, part: Part, index: u32, words: &[u32]) {
        let memory = self.memory.part_mut(part);
        for (i, &word) in words.iter().enumerate() {
            memory.store(index as usize + i, word);
        }
        self.filled += words.len() as u64;
    }

    /// Makes the batch's stores. Returns how many words were stored, those of new rows and nodes included.
    pub(super) fn commit(&mut self) -> u64 {
        let mut stored = std::mem::take(&mut self.filled);
        let mut replaced = Vec::new();
        for part in Part::ALL {
            let memory = self.memory.part_mut(part);
            for Store { index, count, word } in std::mem::take(&mut self.journal[part as usize]) {
                for index in index as usize..index as usize + count as usize {
                    let before = memory.load(index);
                    if before == word.0 {
                        continue;
                    }
                    memory.store(index, word.0);
                    stored += 1;
                    // A class over rows and trees: all below is out of reach now. Where something else replaces
                    // them, what goes was dropped when that was planned; so it is for all that nodes lead to.
                    if word.kind() == Kind::Class
                        && Word(before).kind() != Kind::Class
                        && part != Part::V6Nodes
                    {
                        replaced.push((part, Word(before)));
                    }
                }
            }
        }
        for (part, word) in replaced {
            let rows = if matches!(part, Part::V4Root) { Part::V4Rows } else { Part::V6Rows };
            self.drop_below(rows, word);
        }
        self.v4_rows.commit();
        self.v6_rows.commit();
        self.v6_nodes.commit();
        stored
    }

    /// Forgets the batch.
    pub(super) fn rollback(&mut self) {
        self.journal = Default::default();
        self.filled = 0;
        self.v4_rows.rollback();
        self.v6_rows.rollback();
        self.v6_nodes.rollback();
    }

    /// Drops the row or tree that `word` leads to, and all below.
    pub(super) fn drop_below(&mut self, rows: Part, word: Word) {
        match word.kind() {
            Kind::Class => {}
            Kind::Row => {
                self.pool(rows).drop(word.payload());
                if rows != Part::V4Rows {
                    for child in self.memory.row(rows, word.payload()) {
                        self.drop_below(rows, Word(child));
                    }
                }
            }
            Kind::Node | Kind::Next => {
                self.v6_nodes.drop(word.payload());
                let node = self.memory.node(word.payload());
                for (i, &child) in node.iter().enumerate().take(NODE_FANOUT) {
                    // The last word is repeated to the node's end.
                    if i == 0 || node[i - 1] != child {
                        self.drop_below(rows, Word(child));
                    }
                }
            }
        }
    }
}
