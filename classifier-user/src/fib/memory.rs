//! Where FIB words live: [`Words`] is the kernel's map or a vector on the host, [`FibMemory`] all six of them.

use classifier_common::fib::{
    NODE_WORDS, Node, ROW_WORDS, Read, V4_ROOT_WORDS, V6_OTHER_WORDS, V6_ROOT_WORDS, Word,
};

use crate::datapath::Sizes;

/// Words of 32 bits that a reader may be reading.
///
/// Every store is one aligned 32-bit write, and what was stored before it is visible to whoever sees it (release):
/// a row or a node is filled before the word that leads to it is stored.
pub trait Words {
    /// Word `index`, which is below [`Words::len`].
    fn load(&self, index: usize) -> u32;
    /// Sets word `index`, which is below [`Words::len`].
    fn store(&mut self, index: usize, word: u32);
    /// How many words there are.
    fn len(&self) -> usize;
    /// Whether there is no word.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Words for Vec<u32> {
    #[inline]
    fn load(&self, index: usize) -> u32 {
        self[index]
    }

    #[inline]
    fn store(&mut self, index: usize, word: u32) {
        self[index] = word;
    }

    fn len(&self) -> usize {
        self.len()
    }
}

/// Which part of the memory a word is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum Part {
    V4Root,
    V4Rows,
    V6Root,
    V6Other,
    V6Rows,
    V6Nodes,
}

impl Part {
    pub(super) const ALL: [Self; 6] =
        [Self::V4Root, Self::V4Rows, Self::V6Root, Self::V6Other, Self::V6Rows, Self::V6Nodes];
}

/// The FIB's memory: what the kernel has as six maps.
#[derive(Clone, Debug)]
pub struct FibMemory<W> {
    /// 2^24 words.
    pub v4_root: W,
    /// Whole rows of 256 words.
    pub v4_rows: W,
    /// 2^21 words: 2000::/3.
    pub v6_root: W,
    /// 256 words: all other IPv6.
    pub v6_other: W,
    /// Whole rows of 256 words.
    pub v6_rows: W,
    /// Whole nodes of 16 words.
    pub v6_nodes: W,
}

impl<W: Words> FibMemory<W> {
    pub(super) fn part(&self, part: Part) -> &W {
        match part {
            Part::V4Root => &self.v4_root,
            Part::V4Rows => &self.v4_rows,
            Part::V6Root => &self.v6_root,
            Part::V6Other => &self.v6_other,
            Part::V6Rows => &self.v6_rows,
            Part::V6Nodes => &self.v6_nodes,
        }
    }

    pub(super) fn part_mut(&mut self, part: Part) -> &mut W {
        match part {
            Part::V4Root => &mut self.v4_root,
            Part::V4Rows => &mut self.v4_rows,
            Part::V6Root => &mut self.v6_root,
            Part::V6Other => &mut self.v6_other,
            Part::V6Rows => &mut self.v6_rows,
            Part::V6Nodes => &mut self.v6_nodes,
        }
    }

    #[inline]
    pub(super) fn word(&self, part: Part, index: u32) -> Word {
        Word(self.part(part).load(index as usize))
    }

    /// The words of a row.
    pub(super) fn row(&self, rows: Part, row: u32) -> [u32; ROW_WORDS] {
        let words = self.part(rows);
        let base = row as usize * ROW_WORDS;
        std::array::from_fn(|i| words.load(base + i))
    }

    /// The words of a search node.
    pub(super) fn node(&self, node: u32) -> [u32; NODE_WORDS] {
        let base = node as usize * NODE_WORDS;
        std::array::from_fn(|i| self.v6_nodes.load(base + i))
    }
}

impl FibMemory<Vec<u32>> {
    /// Memory of these sizes, all zero. The IPv4 root takes 64 MiB of address space and only as much memory as is
    /// written.
    #[must_use]
    pub fn new(sizes: &Sizes) -> Self {
        Self {
            v4_root: vec![0; V4_ROOT_WORDS],
            v4_rows: vec![0; sizes.v4_rows as usize * ROW_WORDS],
            v6_root: vec![0; V6_ROOT_WORDS],
            v6_other: vec![0; V6_OTHER_WORDS],
            v6_rows: vec![0; sizes.v6_rows as usize * ROW_WORDS],
            v6_nodes: vec![0; sizes.v6_nodes as usize * NODE_WORDS],
        }
    }
}

/// A search node in this memory.
#[derive(Debug)]
pub struct WordsNode<'a, W> {
    words: &'a W,
    base: usize,
}

impl<W> Clone for WordsNode<'_, W> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<W> Copy for WordsNode<'_, W> {}

impl<W: Words> Node for WordsNode<'_, W> {
    #[inline]
    fn word(self, index: usize) -> u32 {
        self.words.load(self.base + index)
    }
}

fn word_at<W: Words>(words: &W, index: usize) -> Option<u32> {
    (index < words.len()).then(|| words.load(index))
}

/// The kernel's lookup, run by the agent.
impl<W: Words> Read for FibMemory<W> {
    type Node<'a>
        = WordsNode<'a, W>
    where
        W: 'a;

    fn v4_root(&self, index: u32) -> Option<u32> {
        word_at(&self.v4_root, index as usize)
    }

    fn v4_row(&self, row: u32, index: u32) -> Option<u32> {
        word_at(&self.v4_rows, row as usize * ROW_WORDS + index as usize)
    }

    fn v6_root(&self, index: u32) -> Option<u32> {
        word_at(&self.v6_root, index as usize)
    }

    fn v6_other(&self, index: u32) -> Option<u32> {
        word_at(&self.v6_other, index as usize)
    }

    fn v6_row(&self, row: u32, index: u32) -> Option<u32> {
        word_at(&self.v6_rows, row as usize * ROW_WORDS + index as usize)
    }

    fn v6_node(&self, node: u32) -> Option<WordsNode<'_, W>> {
        let base = node as usize * NODE_WORDS;
        (base + NODE_WORDS <= self.v6_nodes.len()).then_some(WordsNode { words: &self.v6_nodes, base })
    }
}
