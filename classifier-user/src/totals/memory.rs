//! The memory of the last hour: spans of time with what was counted in each, fine for what is recent and coarser
//! for what is older. Merging loses no count, only where in the span it was.

use std::{
    collections::VecDeque,
    ops::Range,
    time::{Duration, SystemTime},
};

use super::packed::{Packed, merge};
use crate::model::Counter;

/// How far back the memory reaches at least.
pub(super) const REACH: Duration = Duration::from_secs(3600);
/// For how long every sweep is a span of its own.
const FINE: Duration = Duration::from_secs(120);
/// The length of older spans.
const MINUTE: Duration = Duration::from_secs(60);
/// What is as recent as this is the last to be made coarser.
const RECENT: Duration = Duration::from_secs(30);

/// What was counted in one bank during a span.
#[derive(Clone, Debug, Default)]
pub(super) struct BankSpan {
    /// By owner number.
    pub(super) owners: Packed,
    /// By number in [`super::ways::Pairs`]: what has a neighbour. Of the remote side alone.
    pub(super) pairs: Packed,
    /// By [`super::ways::key`]: what was carried for others. Of the remote side alone.
    pub(super) through: Packed,
    /// With an origin AS.
    pub(super) matched: Counter,
    /// Without one.
    pub(super) unmatched: Counter,
}

impl BankSpan {
    /// Bytes of what is packed.
    fn packed(&self) -> usize {
        self.owners.len() + self.pairs.len() + self.through.len()
    }
}

/// What was counted during a span of time.
#[derive(Clone, Debug)]
pub(super) struct Span {
    pub(super) from: SystemTime,
    pub(super) to: SystemTime,
    /// By link and hook.
    pub(super) outcomes: Box<[[Counter; 5]]>,
    /// By link, hook and side.
    pub(super) banks: Box<[BankSpan]>,
    /// Whether this is more than one sweep.
    pub(super) merged: bool,
}

impl Span {
    fn bytes(&self) -> usize {
        size_of::<Self>()
            + size_of_val(&*self.outcomes)
            + size_of_val(&*self.banks)
            + self.banks.iter().map(BankSpan::packed).sum::<usize>()
    }
}

/// Spans, oldest first, each beginning where the one before ends.
#[derive(Debug)]
pub(super) struct Memory {
    spans: VecDeque<Span>,
    bytes: usize,
    budget: usize,
    scratch: Vec<u8>,
}

impl Memory {
    /// A memory that takes `budget` bytes at most, so long as one span does not take more.
    pub(super) const fn new(budget: usize) -> Self {
        Self { spans: VecDeque::new(), bytes: 0, budget, scratch: Vec::new() }
    }

    /// Bytes taken.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The spans, oldest first.
    pub(super) fn spans(&self, range: Range<usize>) -> impl Iterator<Item = &Span> {
        let end = range.end.min(self.spans.len());
        self.spans.range(range.start.min(end)..end)
    }

    /// When the oldest span began.
    pub(super) fn oldest(&self) -> Option<SystemTime> {
        self.spans.front().map(|span| span.from)
    }

    /// The last spans that begin as near to `from` as may be; at least one, where there is one.
    pub(super) fn since(&self, from: SystemTime) -> Range<usize> {
        let nearest = self.spans.iter().enumerate().min_by_key(|(_, span)| distance(span.from, from));
        nearest.map_or(0, |(i, _)| i)..self.spans.len()
    }

    /// The spans between those that begin as near to `from` and end as near to `to` as may be; at least one, where there
    /// is one.
    pub(super) fn between(&self, from: SystemTime, to: SystemTime) -> Range<usize> {
        let first = self.since(from).start;
        let after = self.spans.iter().enumerate().skip(first);
        let last = after.min_by_key(|(_, span)| distance(span.to, to)).map_or(first, |(i, _)| i + 1);
        first..last.min(self.spans.len())
    }

    /// Takes a sweep's span in, makes older ones coarser, and forgets what is out of reach.
    pub(super) fn push(&mut self, span: Span) {
        let now = span.to;
        self.bytes += span.bytes();
        self.spans.push_back(span);
        while self.spans.front().is_some_and(|span| span.to + REACH <= now) {
            if let Some(span) = self.spans.pop_front() {
                self.bytes -= span.bytes();
            }
        }
        while let Some(range) = self.finished_minute(now) {
            self.merge(range);
        }
        self.merge_to_budget(now);
    }

    /// Moves all spans back in time: the clock was set back.
    pub(super) fn shift_back(&mut self, by: Duration) {
        for span in &mut self.spans {
            span.from = span.from.checked_sub(by).unwrap_or(SystemTime::UNIX_EPOCH);
            span.to = span.to.checked_sub(by).unwrap_or(SystemTime::UNIX_EPOCH);
        }
    }

    /// The sweeps of the oldest minute that is not merged yet, once it is older than [`FINE`].
    fn finished_minute(&self, now: SystemTime) -> Option<Range<usize>> {
        let first = self.spans.iter().position(|span| !span.merged)?;
        let of = minute(self.spans.get(first)?.from);
        let end = SystemTime::UNIX_EPOCH + Duration::from_secs((of + 1) * MINUTE.as_secs());
        let same = |span: &&Span| !span.merged && minute(span.from) == of;
        (end + FINE <= now).then(|| first..first + self.spans.iter().skip(first).take_while(same).count())
    }

    /// Merges neighbours until the budget holds: first those that are together the shortest for their age, so that
    /// a period that is asked for is met about as well, in proportion, however long it is.
    fn merge_to_budget(&mut self, now: SystemTime) {
        while self.bytes > self.budget && self.spans.len() > 1 {
            let coarseness = |i: usize| {
                let (older, newer) = (self.spans.get(i)?, self.spans.get(i + 1)?);
                let length = distance(newer.to, older.from).as_secs_f64();
                let age = distance(now, newer.to).as_secs_f64();
                let recent = age < RECENT.as_secs_f64();
                Some((recent, length / (age + RECENT.as_secs_f64()), i))
            };
            let pair = (0..self.spans.len() - 1)
                .filter_map(coarseness)
                .min_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.cmp(&b.2)));
            let Some((_, _, i)) = pair else { return };
            self.merge(i..i + 2);
        }
    }

    /// Replaces neighbours by one span.
    fn merge(&mut self, range: Range<usize>) {
        let at = range.start;
        let parts: Vec<Span> = self.spans.drain(range).collect();
        self.bytes -= parts.iter().map(Span::bytes).sum::<usize>();
        let (Some(first), Some(last)) = (parts.first(), parts.last()) else { return };
        let outcomes = (0..first.outcomes.len())
            .map(|hook| {
                let mut sums = [Counter::ZERO; 5];
                for outcomes in parts.iter().filter_map(|part| part.outcomes.get(hook)) {
                    for (sum, outcome) in sums.iter_mut().zip(outcomes) {
                        *sum += *outcome;
                    }
                }
                sums
            })
            .collect();
        let scratch = &mut self.scratch;
        let banks = (0..first.banks.len())
            .map(|bank| {
                let banks = || parts.iter().filter_map(|part| part.banks.get(bank));
                BankSpan {
                    owners: Packed::new(merge(banks().map(|bank| &bank.owners)), scratch),
                    pairs: Packed::new(merge(banks().map(|bank| &bank.pairs)), scratch),
                    through: Packed::new(merge(banks().map(|bank| &bank.through)), scratch),
                    matched: banks().map(|bank| bank.matched).sum(),
                    unmatched: banks().map(|bank| bank.unmatched).sum(),
                }
            })
            .collect();
        let span = Span { from: first.from, to: last.to, outcomes, banks, merged: true };
        self.bytes += span.bytes();
        self.spans.insert(at, span);
    }
}

/// How far apart two times are.
fn distance(a: SystemTime, b: SystemTime) -> Duration {
    a.duration_since(b).unwrap_or_else(|error| error.duration())
}

/// Whole minutes since 1970.
fn minute(time: SystemTime) -> u64 {
    distance(time, SystemTime::UNIX_EPOCH).as_secs() / MINUTE.as_secs()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds)
    }

    fn sweep(from: u64, to: u64, packets: &BTreeMap<u32, u64>) -> Span {
        let counter = |packets: u64| Counter { packets, bytes: packets * 100 };
        let matched = counter(packets.values().sum());
        let owners = packets.iter().map(|(&owner, &packets)| (owner, counter(packets)));
        let owners = Packed::new(owners, &mut Vec::new());
        let mut outcomes = [Counter::ZERO; 5];
        outcomes[0] = matched;
        Span {
            from: at(from),
            to: at(to),
            outcomes: Box::new([outcomes]),
            banks: Box::new([BankSpan { owners, matched, ..BankSpan::default() }]),
            merged: false,
        }
    }

    fn lengths(memory: &Memory) -> Vec<u64> {
        memory.spans.iter().map(|span| distance(span.to, span.from).as_secs()).collect()
    }

    #[test]
    fn two_minutes_of_sweeps_then_minutes() {
        let mut memory = Memory::new(usize::MAX);
        // 1,700,000,000 is 20 s into a minute.
        for i in 0..100 {
            memory.push(sweep(i * 5, i * 5 + 5, &BTreeMap::from([(7, 1)])));
        }
        // Now is 500 s, which is 40 s into a minute: the last two minutes that are over stay fine, and this one.
        let mut expected = vec![40, 60, 60, 60, 60, 60];
        expected.extend([5; 32]);
        assert_eq!(lengths(&memory), expected);
        assert_eq!(memory.spans[1].outcomes[0][0], Counter { packets: 12, bytes: 1200 });
        assert_eq!(memory.bytes, memory.spans.iter().map(Span::bytes).sum::<usize>());
    }

    #[test]
    fn reaches_an_hour_and_not_much_more() {
        let mut memory = Memory::new(usize::MAX);
        for i in 0..3000 {
            memory.push(sweep(i * 5, i * 5 + 5, &BTreeMap::new()));
        }
        let reach = distance(at(15_000), memory.oldest().unwrap()).as_secs();
        assert!((3600..3660).contains(&reach), "{reach}");
    }

    #[test]
    fn the_budget_is_kept_and_old_spans_grow_first() {
        let all: BTreeMap<u32, u64> = (0..2000).map(|owner| (owner, 3)).collect();
        let mut memory = Memory::new(200_000);
        for i in 0..720 {
            memory.push(sweep(i * 5, i * 5 + 5, &all));
            assert!(memory.bytes <= 200_000);
            assert_eq!(memory.oldest(), Some(at(0)));
        }
        let spans = &memory.spans;
        let total: Counter = spans.iter().flat_map(|span| span.banks[0].owners.iter()).map(|(_, c)| c).sum();
        assert_eq!(total.packets, 720 * 2000 * 3);
        let lengths = lengths(&memory);
        assert_eq!(lengths.iter().sum::<u64>(), 3600);
        let (first, last) = (lengths[0], *lengths.last().unwrap());
        assert!(first > 300 && last == 5, "{lengths:?}");
    }

    #[test]
    fn the_nearest_beginning_is_taken() {
        let mut memory = Memory::new(usize::MAX);
        assert_eq!(memory.since(at(0)), 0..0);
        for i in 0..4 {
            memory.push(sweep(i * 10, i * 10 + 10, &BTreeMap::new()));
        }
        assert_eq!(memory.since(at(0)), 0..4);
        assert_eq!(memory.since(at(14)), 1..4);
        assert_eq!(memory.since(at(16)), 2..4);
        assert_eq!(memory.since(at(40)), 3..4);
        memory.shift_back(Duration::from_secs(10));
        assert_eq!(memory.since(at(16)), 3..4);
    }

    proptest! {
        #[test]
        fn no_count_is_lost_within_the_hour(
            sweeps in proptest::collection::vec(
                (1_u64..40, proptest::collection::btree_map(0_u32..500, 1_u64..5000, 0..40)), 1..250),
            budget in 2_000_usize..100_000,
        ) {
            let mut memory = Memory::new(budget);
            let mut past: Vec<(u64, BTreeMap<u32, u64>)> = Vec::new();
            let mut now = 0;
            for (length, counters) in sweeps {
                memory.push(sweep(now, now + length, &counters));
                past.push((now, counters));
                now += length;
                prop_assert!(memory.bytes <= budget || memory.spans.len() == 1);
                let reach = distance(at(now), memory.oldest().unwrap()).as_secs();
                prop_assert!(reach >= now.min(3600));
            }
            // Whatever span boundary is asked for, what follows is the sum of the sweeps since.
            for i in 0..memory.spans.len() {
                let from = memory.spans[i].from;
                let mut oracle = BTreeMap::<u32, u64>::new();
                for (_, counters) in past.iter().filter(|(begin, _)| at(*begin) >= from) {
                    for (&owner, &packets) in counters {
                        *oracle.entry(owner).or_default() += packets;
                    }
                }
                let mut sums = BTreeMap::<u32, u64>::new();
                let mut frames = 0;
                prop_assert_eq!(memory.since(from), i..memory.spans.len());
                for span in memory.spans(memory.since(from)) {
                    frames += span.outcomes[0][0].packets;
                    for (owner, counter) in span.banks[0].owners.iter() {
                        *sums.entry(owner).or_default() += counter.packets;
                        prop_assert_eq!(counter.bytes, counter.packets * 100);
                    }
                }
                prop_assert_eq!(frames, oracle.values().sum::<u64>());
                prop_assert_eq!(sums, oracle);
            }
        }
    }
}
