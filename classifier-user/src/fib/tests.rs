//! The writer against `ip_network_table`, through the kernel's lookup.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeSet, HashSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    rc::Rc,
};

use classifier_common::fib::{
    self, FIRST_CLASS, NODE_WORDS, Read, UNMATCHED_V4, UNMATCHED_V6, V6_OTHER_WORDS, V6_ROOT_WORDS,
};
use ip_network_table::IpNetworkTable;
use proptest::{collection::vec, prelude::*, sample::Index};

use super::{
    memory::{FibMemory, Part, Words},
    sizes::{needed, sizes_for},
    writer::{Usages, Writer},
};
use crate::{
    datapath::{DatapathError, Sizes},
    model::{Class, FibDelta, Ipv4Network, Ipv6Network, Prefix},
};

/// Successive stores of one word to successive places.
#[derive(Clone, Copy, Debug)]
struct Stored {
    part: Part,
    first: usize,
    count: usize,
    word: u32,
}

type Log = Rc<RefCell<Vec<Stored>>>;

/// Words that log every store.
struct Logged {
    part: Part,
    words: Vec<u32>,
    log: Log,
}

impl Words for Logged {
    fn load(&self, index: usize) -> u32 {
        self.words[index]
    }

    fn store(&mut self, index: usize, word: u32) {
        self.words[index] = word;
        let mut log = self.log.borrow_mut();
        match log.last_mut() {
            Some(last) if last.part == self.part && last.word == word && last.first + last.count == index => {
                last.count += 1;
            }
            _ => log.push(Stored { part: self.part, first: index, count: 1, word }),
        }
    }

    fn len(&self) -> usize {
        self.words.len()
    }
}

fn logged(sizes: &Sizes, log: &Log) -> FibMemory<Logged> {
    let FibMemory { v4_root, v4_rows, v6_root, v6_other, v6_rows, v6_nodes } = FibMemory::new(sizes);
    let with = |part, words| Logged { part, words, log: Rc::clone(log) };
    FibMemory {
        v4_root: with(Part::V4Root, v4_root),
        v4_rows: with(Part::V4Rows, v4_rows),
        v6_root: with(Part::V6Root, v6_root),
        v6_other: with(Part::V6Other, v6_other),
        v6_rows: with(Part::V6Rows, v6_rows),
        v6_nodes: with(Part::V6Nodes, v6_nodes),
    }
}

fn lookup<R: Read>(memory: &R, address: IpAddr) -> Class {
    match address {
        IpAddr::V4(address) => fib::lookup_v4(memory, address.to_bits()),
        IpAddr::V6(address) => {
            let bits = address.to_bits();
            fib::lookup_v6(memory, &[96, 64, 32, 0].map(|shift| (bits >> shift) as u32))
        }
    }
}

fn expected(oracle: &IpNetworkTable<Class>, address: IpAddr) -> Class {
    let unmatched = if address.is_ipv4() { UNMATCHED_V4 } else { UNMATCHED_V6 };
    oracle.longest_match(address).map_or(unmatched, |(_, &class)| class)
}

/// Where an address is in the IPv4 root, or in that of 2000::/3.
fn root_index(address: IpAddr) -> usize {
    match address {
        IpAddr::V4(address) => (address.to_bits() >> 8) as usize,
        IpAddr::V6(address) => (address.to_bits() >> 104) as usize % V6_ROOT_WORDS,
    }
}

/// First and last address of a prefix, and those beside it.
fn edges(prefix: Prefix) -> Vec<IpAddr> {
    match prefix {
        Prefix::V4(prefix) => {
            let first = prefix.network_address().to_bits();
            let last = prefix.broadcast_address().to_bits();
            [first.wrapping_sub(1), first, last, last.wrapping_add(1)]
                .map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits)))
                .to_vec()
        }
        Prefix::V6(prefix) => {
            let first = prefix.network_address().to_bits();
            let last = first | u128::MAX.checked_shr(prefix.netmask().into()).unwrap_or(0);
            [first.wrapping_sub(1), first, last, last.wrapping_add(1)]
                .map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits)))
                .to_vec()
        }
    }
}

/// What a lookup read: words, and nodes.
#[derive(Clone, Debug)]
enum Step {
    Word(u32),
    Node([u32; NODE_WORDS]),
}

/// A reader that has its first steps from an earlier time, and the rest from now; it remembers all of them.
struct Slow<'a> {
    memory: &'a FibMemory<Vec<u32>>,
    early: &'a [Step],
    at: Cell<usize>,
    trace: RefCell<Vec<Step>>,
}

impl<'a> Slow<'a> {
    fn new(memory: &'a FibMemory<Vec<u32>>, early: &'a [Step]) -> Self {
        Self { memory, early, at: Cell::new(0), trace: RefCell::default() }
    }

    fn step(&self) -> Option<&'a Step> {
        let at = self.at.replace(self.at.get() + 1);
        self.early.get(at)
    }

    fn word(&self, now: Option<u32>) -> Option<u32> {
        let word = match self.step() {
            Some(Step::Word(word)) => *word,
            Some(Step::Node(_)) => panic!("a node where a word was"),
            None => now.expect("in bounds"),
        };
        self.trace.borrow_mut().push(Step::Word(word));
        Some(word)
    }
}

impl Read for Slow<'_> {
    type Node<'a>
        = &'a [u32; NODE_WORDS]
    where
        Self: 'a;

    fn v4_root(&self, index: u32) -> Option<u32> {
        self.word(self.memory.v4_root(index))
    }

    fn v4_row(&self, row: u32, index: u32) -> Option<u32> {
        self.word(self.memory.v4_row(row, index))
    }

    fn v6_root(&self, index: u32) -> Option<u32> {
        self.word(self.memory.v6_root(index))
    }

    fn v6_other(&self, index: u32) -> Option<u32> {
        self.word(self.memory.v6_other(index))
    }

    fn v6_row(&self, row: u32, index: u32) -> Option<u32> {
        self.word(self.memory.v6_row(row, index))
    }

    fn v6_node(&self, node: u32) -> Option<&[u32; NODE_WORDS]> {
        let node = match self.step() {
            Some(Step::Node(node)) => node,
            Some(Step::Word(_)) => panic!("a word where a node was"),
            None => self.memory.v6_nodes[node as usize * NODE_WORDS..].first_chunk().expect("in bounds"),
        };
        self.trace.borrow_mut().push(Step::Node(*node));
        Some(node)
    }
}

/// A lookup that may have stopped after any of its steps, and the classes that its address had since.
struct Pending {
    address: IpAddr,
    trace: Vec<Step>,
    classes: HashSet<Class>,
}

struct Harness {
    writer: Writer<Logged>,
    log: Log,
    /// The same words as the writer's, store by store.
    mirror: FibMemory<Vec<u32>>,
    oracle: IpNetworkTable<Class>,
    samples: BTreeSet<IpAddr>,
    /// Since the last seal, and between the seal before and that.
    pending: [Vec<Pending>; 2],
}

impl Harness {
    fn new(sizes: &Sizes) -> Self {
        let log = Log::default();
        let writer = Writer::new(logged(sizes, &log));
        assert_eq!(
            log.borrow_mut().drain(..).map(|stored| stored.count).sum::<usize>(),
            V6_ROOT_WORDS + V6_OTHER_WORDS
        );
        let mut mirror = FibMemory::new(sizes);
        mirror.v6_root.fill(UNMATCHED_V6);
        mirror.v6_other.fill(UNMATCHED_V6);
        Self {
            writer,
            log,
            mirror,
            oracle: IpNetworkTable::new(),
            samples: BTreeSet::new(),
            pending: [vec![], vec![]],
        }
    }

    /// Applies a batch and checks every address that any prefix so far has shown interest in. While the stores are
    /// made those of this batch are checked after each one.
    fn apply(&mut self, deltas: &[FibDelta]) -> Result<u64, DatapathError> {
        let mut watched: Vec<IpAddr> = deltas.iter().flat_map(|delta| edges(delta.prefix)).collect();
        self.samples.extend(&watched);
        watched.truncate(40);
        let before: Vec<Class> = watched.iter().map(|&address| expected(&self.oracle, address)).collect();
        for &address in &watched {
            let slow = Slow::new(&self.mirror, &[]);
            let class = lookup(&slow, address);
            let trace = slow.trace.into_inner();
            self.pending[0].push(Pending { address, trace, classes: HashSet::from([class]) });
        }

        let result = self.writer.apply(deltas);
        if result.is_ok() {
            for &FibDelta { prefix, class } in deltas {
                match class {
                    Some(class) => self.oracle.insert(prefix, class),
                    None => self.oracle.remove(prefix),
                };
            }
        }
        let after: Vec<Class> = watched.iter().map(|&address| expected(&self.oracle, address)).collect();

        let log = std::mem::take(&mut *self.log.borrow_mut());
        if let Ok(words) = result {
            assert_eq!(words, log.iter().map(|stored| stored.count as u64).sum::<u64>());
        }
        self.replay(
            &log,
            |address, class, stored| {
                let i = watched.iter().position(|&watched| watched == address).unwrap();
                assert!(
                    class == before[i] || class == after[i],
                    "{address} has {class} amid a change from {} to {}, after {stored:x?}",
                    before[i],
                    after[i],
                );
            },
            &watched,
        );
        for &address in &self.samples {
            assert_eq!(lookup(&self.mirror, address), expected(&self.oracle, address), "{address}");
        }
        self.finish_pending();
        result
    }

    /// Makes the stores in the mirror, one after the other; `check` sees every watched address after each one
    /// that can matter to it.
    fn replay(&mut self, log: &[Stored], check: impl Fn(IpAddr, Class, &Stored), watched: &[IpAddr]) {
        let mut ranges: Vec<(usize, usize, usize)> =
            log.iter().map(|stored| (stored.part as usize, stored.first, stored.count)).collect();
        ranges.sort_unstable();
        for pair in ranges.windows(2) {
            let [(part, first, count), (next_part, next, _)] = [pair[0], pair[1]];
            assert!(part != next_part || first + count <= next, "{part} {next} is stored twice");
        }
        let roots: BTreeSet<usize> = watched.iter().map(|&address| root_index(address)).collect();
        for stored in log {
            let end = stored.first + stored.count;
            let mut from = stored.first;
            while from < end {
                // A word of a root that no watched address comes by changes nothing for them.
                let to = match stored.part {
                    Part::V4Root | Part::V6Root => {
                        roots.range(from..end).next().map_or(end, |&watched| watched + 1)
                    }
                    _ => from + 1,
                };
                self.mirror.part_mut(stored.part)[from..to].fill(stored.word);
                from = to;
                for &address in watched {
                    check(address, lookup(&self.mirror, address), stored);
                }
            }
        }
    }

    /// A lookup that stopped at any step finds a class that its address has had since.
    fn finish_pending(&mut self) {
        for pending in self.pending.iter_mut().flatten() {
            pending.classes.insert(expected(&self.oracle, pending.address));
            for steps in 1..=pending.trace.len() {
                let class = lookup(&Slow::new(&self.mirror, &pending.trace[..steps]), pending.address);
                assert!(
                    pending.classes.contains(&class),
                    "{} had {:?}, a lookup delayed after {steps} steps found {class}",
                    pending.address,
                    pending.classes,
                );
            }
        }
    }

    fn seal(&mut self) {
        self.writer.seal();
        let [open, sealed] = &mut self.pending;
        sealed.append(open);
    }

    fn reclaim(&mut self) {
        // The grace period: lookups from before the seal have ended.
        self.pending[1].clear();
        self.writer.reclaim();
    }

    /// Takes every prefix out again: nothing may be left.
    fn end(mut self) {
        let deltas: Vec<FibDelta> =
            self.oracle.iter().map(|(prefix, _)| FibDelta { prefix, class: None }).collect();
        self.apply(&deltas).expect("a withdrawal of all takes no room");
        self.seal();
        self.reclaim();
        let Usages { v4_rows, v6_rows, v6_nodes } = self.writer.usage();
        for usage in [v4_rows, v6_rows, v6_nodes] {
            assert_eq!((usage.live, usage.quarantined), (0, 0), "{usage:?}");
        }
        assert_eq!(self.writer.prefixes(), (0, 0));
        assert!(!self.writer.quarantined());
        let memory = self.writer.memory();
        assert!(memory.v4_root.words.iter().all(|&word| word == UNMATCHED_V4));
        assert!(memory.v6_root.words.iter().all(|&word| word == UNMATCHED_V6));
        assert!(memory.v6_other.words.iter().all(|&word| word == UNMATCHED_V6));
    }
}

const ROOMY: Sizes = Sizes { classes: 1 << 20, v4_rows: 2048, v6_rows: 2048, v6_nodes: 8192 };
const TIGHT: Sizes = Sizes { classes: 1 << 20, v4_rows: 3, v6_rows: 5, v6_nodes: 9 };

fn prefix_v4(bits: u32, len: u8) -> Prefix {
    Prefix::V4(Ipv4Network::new_truncate(Ipv4Addr::from_bits(bits), len).unwrap())
}

fn prefix_v6(bits: u128, len: u8) -> Prefix {
    Prefix::V6(Ipv6Network::new_truncate(Ipv6Addr::from_bits(bits), len).unwrap())
}

fn p(text: &str) -> Prefix {
    text.parse().unwrap()
}

fn announce(prefix: Prefix, class: Class) -> FibDelta {
    FibDelta { prefix, class: Some(class) }
}

fn withdraw(prefix: Prefix) -> FibDelta {
    FibDelta { prefix, class: None }
}

/// Prefixes that crowd around a few places, so that they nest, touch and share rows and trees.
fn any_prefix() -> impl Strategy<Value = Prefix> {
    const PLACES_V4: [u32; 5] = [0, 0x0a00_0000, 0xc000_0200, 0xc000_02fc, 0xffff_ff00];
    const PLACES_V6: [u128; 9] = [
        0,
        0x1fff_ffff << 96,
        0x2000_0000 << 96,
        0x2001_0db8 << 96,
        0x2001_0db8_0000_0007 << 64,
        0x2001_0db8_ffff_ffff_ffff_ffff << 32,
        0x3fff_ffff_ffff_ffff_ffff_ffff_ffff_ff00,
        0xfe80 << 112,
        u128::MAX << 8,
    ];
    let v4 = (
        prop::sample::select(&PLACES_V4[..]),
        0u32..16,
        prop::sample::select(&[0u32, 2, 4, 6, 8, 12, 20][..]),
        prop_oneof![1 => 0u8..=8, 8 => 9u8..=24, 30 => 22u8..=32],
        prop::option::weighted(0.1, any::<u32>()),
    )
        .prop_map(|(place, bits, shift, len, far)| prefix_v4(far.unwrap_or(place ^ bits << shift), len));
    let v6 = (
        prop::sample::select(&PLACES_V6[..]),
        0u128..16,
        prop::sample::select(&[0u32, 4, 28, 32, 36, 60, 64, 68, 76, 80, 92, 96, 100, 108, 116][..]),
        prop_oneof![
            1 => 0u8..=16,
            6 => 16u8..=128,
            9 => 32u8..=64,
            6 => prop::sample::select(&[0u8, 3, 8, 16, 24, 32, 48, 64, 96, 127, 128][..]),
        ],
        prop::option::weighted(0.05, any::<u128>()),
    )
        .prop_map(|(place, bits, shift, len, far)| prefix_v6(far.unwrap_or(place ^ bits << shift), len));
    prop_oneof![2 => v4, 3 => v6]
}

/// An announcement, or the withdrawal of one of the prefixes announced before.
#[derive(Clone, Debug)]
enum Op {
    Announce(Prefix, Class),
    Withdraw(Index),
}

#[derive(Clone, Debug)]
struct Script {
    batches: Vec<(Vec<Op>, bool, bool)>,
}

fn script() -> impl Strategy<Value = Script> {
    // Few classes, so that neighbours have the same one, or many.
    prop_oneof![Just(FIRST_CLASS + 3), Just(100_000)].prop_flat_map(|classes| {
        let op = prop_oneof![
            3 => (any_prefix(), FIRST_CLASS..classes).prop_map(|(prefix, class)| Op::Announce(prefix, class)),
            2 => any::<Index>().prop_map(Op::Withdraw),
        ];
        let size = prop_oneof![3 => 1usize..4, 2 => 1usize..40];
        let batch = (size.prop_flat_map(move |size| vec(op.clone(), size)), any::<bool>(), any::<bool>());
        vec(batch, 1..10).prop_map(|batches| Script { batches })
    })
}

/// Runs a script; says how many batches found the FIB full.
fn run(script: &Script, sizes: &Sizes) -> usize {
    let mut harness = Harness::new(sizes);
    let mut seen: Vec<Prefix> = Vec::new();
    let mut full = 0;
    for (ops, seal, reclaim) in &script.batches {
        let mut deltas = Vec::new();
        for op in ops {
            match op {
                Op::Announce(prefix, class) => {
                    seen.push(*prefix);
                    deltas.push(announce(*prefix, *class));
                }
                Op::Withdraw(index) if !seen.is_empty() => deltas.push(withdraw(*index.get(&seen))),
                Op::Withdraw(_) => {}
            }
        }
        let usage = harness.writer.usage();
        let prefixes = harness.writer.prefixes();
        match harness.apply(&deltas) {
            Ok(_) => {}
            Err(DatapathError::FibFull { .. }) => {
                full += 1;
                assert_eq!(harness.writer.usage(), usage);
                assert_eq!(harness.writer.prefixes(), prefixes);
            }
            Err(error) => panic!("{error}"),
        }
        if *seal {
            harness.seal();
        }
        if *reclaim {
            harness.reclaim();
        }
    }
    if full == 0 {
        harness.end();
    }
    full
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn every_batch_is_seen_as_before_or_as_after(script in script()) {
        prop_assert_eq!(run(&script, &ROOMY), 0);
    }

    #[test]
    fn a_batch_that_does_not_fit_leaves_all_as_it_was(script in script()) {
        run(&script, &TIGHT);
    }

    #[test]
    fn what_a_table_needs_is_enough(prefixes in vec(any_prefix(), 0..300)) {
        let sizes = needed(prefixes.iter().copied());
        prop_assert_eq!(sizes.classes as usize, prefixes.len() + 2);
        let mut writer = Writer::new(FibMemory::new(&sizes));
        let deltas: Vec<FibDelta> = (FIRST_CLASS..).zip(&prefixes).map(|(class, &prefix)| announce(prefix, class)).collect();
        prop_assert!(writer.apply(&deltas).is_ok());
    }
}

fn harness_with(deltas: &[FibDelta]) -> Harness {
    let mut harness = Harness::new(&ROOMY);
    harness.apply(deltas).unwrap();
    harness
}

#[test]
fn a_word_is_stored_once_and_only_where_it_differs() {
    let mut harness = Harness::new(&ROOMY);
    let mut apply = |deltas: &[FibDelta]| harness.apply(deltas).unwrap();
    assert_eq!(apply(&[announce(p("10.0.0.0/8"), 2)]), 65_536);
    assert_eq!(apply(&[announce(p("10.0.0.0/8"), 2)]), 0);
    assert_eq!(apply(&[announce(p("10.0.0.0/16"), 3)]), 256);
    // Only what the /16 does not cover.
    assert_eq!(apply(&[announce(p("10.0.0.0/8"), 4)]), 65_536 - 256);
    // A row, and the word that leads to it.
    assert_eq!(apply(&[announce(p("10.1.2.0/26"), 5)]), 257);
    assert_eq!(apply(&[announce(p("10.1.2.128/26"), 5)]), 64);
    assert_eq!(apply(&[announce(p("10.1.2.64/26"), 5), announce(p("10.1.2.192/26"), 5)]), 1);
    assert_eq!(apply(&[withdraw(p("10.1.2.64/26"))]), 257);
    // The row's own background.
    assert_eq!(apply(&[announce(p("10.1.2.0/24"), 6)]), 64);
    assert_eq!(apply(&[announce(p("10.1.2.77/32"), 7), withdraw(p("10.1.2.77/32"))]), 0);
    assert_eq!(apply(&[withdraw(p("10.1.2.77/32")), announce(p("10.1.2.77/32"), 7)]), 1);
    assert_eq!(apply(&[withdraw(p("192.0.2.0/24"))]), 0);
    assert_eq!(apply(&[announce(p("0.0.0.0/0"), 9)]), (1 << 24) - 65_536);

    assert_eq!(apply(&[announce(p("2001:db8::/32"), 2)]), 257);
    // A node, and the row's word.
    assert_eq!(apply(&[announce(p("2001:db8:1::/48"), 3)]), 17);
    // The same intervals: in place.
    assert_eq!(apply(&[announce(p("2001:db8:1::/48"), 4)]), 1);
    // The first interval, and the last one, which is repeated to the node's end.
    assert_eq!(apply(&[announce(p("2001:db8::/32"), 5)]), 1 + 6);
    assert_eq!(apply(&[announce(p("2001:db8:1:1::/64"), 6)]), 17);
    // Below one key: a tree of the next segment, whose word changes the upper tree in place.
    assert_eq!(apply(&[announce(p("2001:db8:1:1::1/128"), 7)]), 16 + 16 + 1);
    assert_eq!(apply(&[announce(p("2001:db8:1:1::1/128"), 8)]), 1);
    assert_eq!(apply(&[withdraw(p("2001:db8:1:1::1/128"))]), 1);
    assert_eq!(apply(&[announce(p("fe80::/10"), 2)]), 257);
    // The root but for the word of a row, that row but for the /32, and the other root, where 20-3f are not used
    // and one row becomes a word again.
    assert_eq!(apply(&[announce(p("::/0"), 2)]), (1 << 21) - 1 + 255 + (256 - 32));
    harness.end();
}

#[test]
fn trees_are_as_shallow_as_they_can_be() {
    for (cuts, nodes) in [(1, 1), (7, 1), (8, 2), (14, 2), (15, 3), (63, 9), (64, 10), (511, 73), (512, 74)] {
        // Every second /64, then the rest of the /32: two intervals a prefix.
        let mut deltas: Vec<FibDelta> = (0..cuts / 2)
            .map(|i| {
                announce(prefix_v6(0x2001_0db8 << 96 | (1 + 2 * u128::from(i)) << 64, 64), FIRST_CLASS + i)
            })
            .collect();
        if cuts % 2 == 1 {
            deltas.push(announce(p("2001:db8:8000::/33"), FIRST_CLASS + cuts));
        }
        let harness = harness_with(&deltas);
        assert_eq!(harness.writer.usage().v6_nodes.live, nodes, "{cuts} cuts");
        let depth = deltas
            .iter()
            .flat_map(|delta| edges(delta.prefix))
            .map(|address| {
                let slow = Slow::new(&harness.mirror, &[]);
                lookup(&slow, address);
                slow.trace.into_inner().iter().filter(|step| matches!(step, Step::Node(_))).count()
            })
            .max();
        let needed = (1..).find(|&depth| 8usize.pow(depth) > cuts as usize);
        assert_eq!(depth, needed.map(|depth| depth as usize), "{cuts} cuts");
        harness.end();
    }
}

#[test]
fn what_leaves_the_fib_is_not_used_before_a_grace_period() {
    let sizes = Sizes { v4_rows: 1, v6_rows: 1, v6_nodes: 1, ..ROOMY };
    let mut harness = Harness::new(&sizes);
    for (one, other, what) in [
        ("192.0.2.1/32", "198.51.100.1/32", "IPv4 rows"),
        ("2001:db8::/33", "2001:db9::/33", "IPv6 search nodes"),
        ("2400::/25", "2600::/25", "IPv6 rows"),
    ] {
        let full = |result| match result {
            Err(DatapathError::FibFull { what, capacity: 1 }) => what,
            other => panic!("{other:?}"),
        };
        harness.apply(&[announce(p(one), 2)]).unwrap();
        assert_eq!(full(harness.apply(&[announce(p(other), 3)])), what);
        harness.apply(&[withdraw(p(one))]).unwrap();
        assert_eq!(full(harness.apply(&[announce(p(other), 3)])), what);
        // What was dropped after the seal waits for the next one.
        harness.reclaim();
        assert_eq!(full(harness.apply(&[announce(p(other), 3)])), what);
        harness.seal();
        assert!(harness.writer.quarantined());
        assert_eq!(full(harness.apply(&[announce(p(other), 3)])), what);
        harness.reclaim();
        assert!(!harness.writer.quarantined());
        harness.apply(&[announce(p(other), 3)]).unwrap();
        harness.apply(&[withdraw(p(other))]).unwrap();
        harness.seal();
        harness.reclaim();
    }
    harness.end();
}

#[test]
fn classes_beyond_the_limit_are_refused() {
    let mut writer = Writer::new(FibMemory::new(&ROOMY)).limit_classes(10);
    assert_eq!(writer.apply(&[announce(p("192.0.2.0/24"), 9)]).unwrap(), 1);
    let error = writer.apply(&[announce(p("192.0.2.0/24"), 2), announce(p("192.0.3.0/24"), 10)]).unwrap_err();
    assert!(matches!(error, DatapathError::ClassOutOfRange { class: 10, classes: 10 }), "{error}");
    assert_eq!(lookup(writer.memory(), IpAddr::from([192, 0, 2, 1])), 9);
}

/// A table of the size and shape of the Internet's.
fn internet() -> Vec<Prefix> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut prefixes = BTreeSet::new();
    while prefixes.len() < 564_580 {
        let len = match random() % 1000 {
            0..=8 => 25 + random() % 8,
            9..=420 => 24,
            421..=600 => 23,
            601..=780 => 22,
            _ => 8 + random() % 14,
        };
        // Unicast space, the most specific ones crowded into a part of it.
        let bits = (1 + random() % 223) << 24 | (random() & if len > 24 { 0xff_07ff } else { 0xff_ffff });
        prefixes.insert(prefix_v4(bits as u32, len as u8));
    }
    while prefixes.len() < 564_580 + 167_903 {
        let len = match random() % 1000 {
            0..=300 => 20 + random() % 13,
            301..=900 => 33 + random() % 16,
            901..=985 => 49 + random() % 16,
            _ => 65 + random() % 64,
        };
        let head = 0x2400_0000 + (random() % 0x600) * 0x8_0000 + random() % 8;
        // Few of the bits behind a /32 are set: prefixes share their /32 and nest.
        let below = u128::from(random() & random() & 0xffff_0000) << 64 | u128::from(random() % 3) << 64;
        let host = u128::from(random() % 5) << (random() % 60);
        prefixes.insert(prefix_v6(u128::from(head) << 96 | below | host, len as u8));
    }
    prefixes.into_iter().collect()
}

#[test]
fn a_table_of_full_size_is_looked_up_as_by_the_oracle() {
    let prefixes = internet();
    let sizes = sizes_for(prefixes.iter().copied());
    let mut writer = Writer::new(FibMemory::new(&sizes));
    let mut oracle = IpNetworkTable::with_capacity(600_000, 200_000);
    let deltas: Vec<FibDelta> =
        (FIRST_CLASS..).zip(&prefixes).map(|(class, &prefix)| announce(prefix, class)).collect();
    for &FibDelta { prefix, class } in &deltas {
        oracle.insert(prefix, class.unwrap());
    }
    writer.apply(&deltas).unwrap();
    assert_eq!(writer.prefixes(), (564_580, 167_903));
    assert_eq!(writer.apply(&deltas).unwrap(), 0);
    let check = |writer: &Writer<Vec<u32>>, oracle: &IpNetworkTable<Class>| {
        for &prefix in &prefixes {
            for address in edges(prefix) {
                assert_eq!(lookup(writer.memory(), address), expected(oracle, address), "{address}");
            }
        }
    };
    check(&writer, &oracle);

    // A tenth of it goes, a tenth changes: many blocks, one pass over all.
    let changes: Vec<FibDelta> = deltas
        .iter()
        .enumerate()
        .filter_map(|(i, delta)| match i % 10 {
            3 => Some(withdraw(delta.prefix)),
            7 => Some(announce(delta.prefix, delta.class? + 1_000_000)),
            _ => None,
        })
        .collect();
    writer.apply(&changes).unwrap();
    for &FibDelta { prefix, class } in &changes {
        match class {
            Some(class) => oracle.insert(prefix, class),
            None => oracle.remove(prefix),
        };
    }
    check(&writer, &oracle);
    writer.seal();
    writer.reclaim();

    // The same FIB, loaded at once, takes the same rows and nodes.
    let left: Vec<FibDelta> = oracle.iter().map(|(prefix, &class)| announce(prefix, class)).collect();
    let mut fresh = Writer::new(FibMemory::new(&sizes));
    fresh.apply(&left).unwrap();
    assert_eq!(fresh.usage(), writer.usage());
}
