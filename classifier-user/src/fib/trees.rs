//! Search trees over the 32-bit segments of an IPv6 address below /32.
//!
//! A segment's intervals are cut by keys of 32 bits. What cuts inside of one key goes to a tree of the next segment
//! ([`Kind::Next`]). A tree whose intervals begin where they did before is changed in place, word by word; any other
//! is built anew and published by the one word that leads to it, together with the trees of later segments that
//! stayed as they were.

use classifier_common::fib::{Class, Kind, MAX_NODE_DEPTH, NODE_FANOUT, NODE_WORDS, SEGMENTS, Word};

use super::{
    memory::{Part, Words},
    runs,
    tables::Tables,
};
use crate::datapath::DatapathError;

/// A key at which an interval of a segment begins, and the interval's word.
type Entry = (u32, Word);

/// An interval of a tree in memory.
#[derive(Clone, Copy, Debug)]
struct Leaf {
    start: u32,
    word: Word,
    /// Where the word is, and how often: a node's last word is repeated to its end.
    index: u32,
    count: u32,
}

impl<W: Words> Tables<W> {
    /// Plans the tree of a segment that has at least two classes, given by where they begin (bits behind the
    /// segment's own start). `old` is the word that led here before. Returns the word that leads to the tree.
    pub(super) fn segment(
        &mut self,
        old: Word,
        segment: usize,
        parts: &[runs::Part],
    ) -> Result<Word, DatapathError> {
        let is_tree = old.kind() == Kind::Node || old.kind() == Kind::Next;
        let mut leaves = Vec::new();
        if is_tree {
            self.leaves(old.payload(), 0, 0, &mut leaves);
        }
        let entries = self.entries(&leaves, segment, parts)?;

        let same_starts = entries.len() == leaves.len()
            && entries.iter().zip(&leaves).all(|(&(start, _), leaf)| start == leaf.start);
        for leaf in &leaves {
            let word = word_at(&entries, leaf.start);
            if leaf.word.kind() == Kind::Next && word.kind() != Kind::Next {
                self.drop_below(Part::V6Rows, leaf.word);
            }
            if same_starts && word != leaf.word {
                self.note(Part::V6Nodes, leaf.index, leaf.count, word);
            }
        }
        if same_starts {
            return Ok(old);
        }
        if is_tree {
            self.drop_nodes(old.payload());
        }
        let root = self.build(&entries)?;
        Ok(Word::new(if segment == 0 { Kind::Node } else { Kind::Next }, root))
    }

    /// The entries of a segment; trees of later segments are planned on the way.
    fn entries(
        &mut self,
        leaves: &[Leaf],
        segment: usize,
        parts: &[runs::Part],
    ) -> Result<Vec<Entry>, DatapathError> {
        let shift = 32 * (SEGMENTS - 1 - segment) as u32;
        let key = |&(at, _): &runs::Part| (at >> shift) as u32;
        let mut entries: Vec<Entry> = Vec::with_capacity(parts.len() + 1);
        // The class that goes on to where the next one begins, and the first key that it has whole.
        let mut class: Option<(u32, Class)> = None;
        for group in parts.chunk_by(|a, b| key(a) == key(b)) {
            let [first, ..] = group else { continue };
            let start = key(first);
            let inside = |&(at, class): &runs::Part| (at & !(u128::MAX << shift), class);
            let (begins, first_class) = inside(first);
            if let Some((from, before)) = class
                && from < start
            {
                entries.push((from, Word::class(before)));
            }
            if begins == 0 && group.len() == 1 {
                class = Some((start, first_class));
                // Not pushed yet: with the next group, or at the end.
                continue;
            }
            let mut nested: Vec<runs::Part> = Vec::with_capacity(group.len() + 1);
            if begins != 0
                && let Some((_, before)) = class
            {
                nested.push((0, before));
            }
            nested.extend(group.iter().map(inside));
            let old = leaves
                .binary_search_by_key(&start, |leaf| leaf.start)
                .ok()
                .and_then(|i| leaves.get(i))
                .map(|leaf| leaf.word)
                .filter(|word| word.kind() == Kind::Next)
                .unwrap_or_default();
            let word = self.segment(old, segment + 1, &nested)?;
            entries.push((start, word));
            class = match (start.checked_add(1), group.last()) {
                (Some(after), Some(&(_, last))) => Some((after, last)),
                _ => None,
            };
        }
        if let Some((from, last)) = class {
            entries.push((from, Word::class(last)));
        }
        Ok(entries)
    }

    /// Reads the intervals of a tree, ascending.
    fn leaves(&self, node: u32, start: u32, depth: usize, leaves: &mut Vec<Leaf>) {
        let words = self.memory.node(node);
        let (words, separators) = words.split_at(NODE_FANOUT);
        let mut used = 1;
        // Unused separators are the highest key, and behind them the last word is repeated.
        while used < NODE_FANOUT && (separators[used - 1] != u32::MAX || words[used] != words[used - 1]) {
            used += 1;
        }
        for (i, &word) in words.iter().enumerate().take(used) {
            let word = Word(word);
            let start = if i == 0 { start } else { separators[i - 1] };
            if word.kind() == Kind::Node && depth < MAX_NODE_DEPTH {
                self.leaves(word.payload(), start, depth + 1, leaves);
            } else {
                let count = if i + 1 == used { NODE_FANOUT - i } else { 1 };
                leaves.push(Leaf {
                    start,
                    word,
                    index: node * NODE_WORDS as u32 + i as u32,
                    count: count as u32,
                });
            }
        }
    }

    /// Drops the nodes of one segment's tree, not those of later segments.
    fn drop_nodes(&mut self, node: u32) {
        self.v6_nodes.drop(node);
        let words = self.memory.node(node);
        for (i, &word) in words.iter().enumerate().take(NODE_FANOUT) {
            if Word(word).kind() == Kind::Node && (i == 0 || words[i - 1] != word) {
                self.drop_nodes(Word(word).payload());
            }
        }
    }

    /// Builds the tree of at least two entries, no deeper than it must be and of as few nodes as it can: all
    /// entries are on the last two levels. Returns its root.
    fn build(&mut self, entries: &[Entry]) -> Result<u32, DatapathError> {
        // What a child holds at most, and, so that no level above it is wasted, at least.
        let mut most = 1;
        let mut depth = 1;
        while most * NODE_FANOUT < entries.len() {
            most *= NODE_FANOUT;
            depth += 1;
        }
        if depth > MAX_NODE_DEPTH {
            return Err(DatapathError::FibFull {
                what: "levels of an IPv6 search tree",
                capacity: MAX_NODE_DEPTH as u32,
            });
        }
        let least = (most / NODE_FANOUT).max(1);
        let mut children: Vec<Entry> = Vec::with_capacity(NODE_FANOUT);
        let mut rest = entries;
        while let Some(&(start, word)) = rest.first() {
            let later = (NODE_FANOUT - 1 - children.len().min(NODE_FANOUT - 1)) * least;
            let size = rest.len().saturating_sub(later).clamp(least.min(rest.len()), most);
            let (child, others) = rest.split_at(size);
            rest = others;
            children.push(match child {
                [_] => (start, word),
                child => (start, Word::new(Kind::Node, self.build(child)?)),
            });
        }

        let mut words = [u32::MAX; NODE_WORDS];
        let mut last = Word::default();
        for i in 0..NODE_FANOUT {
            if let Some(&(start, word)) = children.get(i) {
                if i > 0 {
                    words[NODE_FANOUT + i - 1] = start;
                }
                last = word;
            }
            words[i] = last.0;
        }
        let node = self.v6_nodes.take()?;
        self.fill(Part::V6Nodes, node * NODE_WORDS as u32, &words);
        Ok(node)
    }
}

/// The word of the interval that `key` is in.
fn word_at(entries: &[Entry], key: u32) -> Word {
    let after = entries.partition_point(|&(start, _)| start <= key);
    after.checked_sub(1).and_then(|i| entries.get(i)).map_or(Word::default(), |&(_, word)| word)
}
