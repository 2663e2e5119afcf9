//! What was counted while no agent swept, over the time it was counted in: the sums are exact, and how they fell over the
//! time is not known.

use std::{
    collections::VecDeque,
    time::{Duration, SystemTime},
};

use super::{slot_of, slots::end_of};
use crate::{
    model::Counter,
    totals::{HookDelta, SweepDelta, packed::Packed},
};

/// Parts at most: a day's slots. What is longer is cut into as many parts of several slots.
const PARTS: usize = 288;

/// A part: when it ends, how long it is, what was counted.
pub(super) type Part = (SystemTime, Duration, SweepDelta);

/// What was counted between two times, cut at the ends of slots, each part with its share by time. Parts are made one after
/// the other: each is as large as the whole may be.
#[derive(Debug)]
pub(super) struct Spread {
    delta: SweepDelta,
    from: SystemTime,
    to: SystemTime,
    /// Where parts end, the last one but for `to`.
    ends: VecDeque<SystemTime>,
    /// Where the next part begins.
    begins: SystemTime,
}

impl Spread {
    pub(super) fn new(delta: SweepDelta, from: SystemTime, to: SystemTime) -> Self {
        let slots = slot_of(to).saturating_sub(slot_of(from)).max(0);
        let step = (slots as usize).div_ceil(PARTS).max(1);
        let cuts = (slot_of(from)..slot_of(to)).step_by(step).map(end_of);
        // A clock that was set back says of no length: one part.
        let ends = cuts.filter(|&end| end > from && end < to).chain([to]).collect();
        Self { delta, from: from.min(to), to, ends, begins: from.min(to) }
    }

    /// How many of so many packets had passed by then.
    fn passed(&self, at: SystemTime, packets: u64) -> u64 {
        let micros = |at: SystemTime| at.duration_since(self.from).unwrap_or_default().as_micros();
        if at == self.to {
            return packets;
        }
        (u128::from(packets) * micros(at) / micros(self.to).max(1)) as u64
    }

    /// A counter's share of the time from `begins` to `end`. Differences of running sums add up to the whole, and a packet's
    /// bytes are where the packet is.
    fn share(&self, end: SystemTime, Counter { packets, bytes }: Counter) -> Counter {
        if packets == 0 {
            // A sweep reads packets before bytes: the last one before may have had the packet of these.
            return Counter { packets, bytes: if end == self.to { bytes } else { 0 } };
        }
        let running = |passed: u64| match packets {
            _ if passed == packets => bytes,
            _ => (u128::from(bytes) * u128::from(passed) / u128::from(packets)) as u64,
        };
        let before = self.passed(self.begins, packets);
        let after = self.passed(end, packets);
        Counter { packets: after - before, bytes: running(after) - running(before) }
    }
}

impl Iterator for Spread {
    type Item = Part;

    fn next(&mut self) -> Option<Part> {
        let end = self.ends.pop_front()?;
        let length = end.duration_since(self.begins).unwrap_or_default();
        let delta = if self.ends.is_empty() && self.begins == self.from {
            std::mem::take(&mut self.delta)
        } else {
            let scratch = &mut Vec::new();
            let hooks = self.delta.hooks.iter().map(|hook| HookDelta {
                outcomes: hook.outcomes.map(|counter| self.share(end, counter)),
                remote: Packed::new(
                    hook.remote.iter().map(|(owner, counter)| (owner, self.share(end, counter))),
                    scratch,
                ),
                ..HookDelta::default()
            });
            SweepDelta { hooks: hooks.collect() }
        };
        self.begins = end;
        Some((end, length, delta))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::history::SLOT_SECONDS;

    fn at(micros: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_micros(1_767_312_000_000_000 + micros)
    }

    fn spread(delta: &SweepDelta, from: SystemTime, to: SystemTime) -> Vec<Part> {
        Spread::new(delta.clone(), from, to).collect()
    }

    fn delta(counters: &[(u32, Counter)]) -> SweepDelta {
        let all = counters.iter().map(|(_, counter)| *counter).sum();
        let outcomes = [all, Counter::ZERO, Counter::ZERO, Counter::ZERO, Counter::ZERO];
        let remote = Packed::new(counters.iter().copied(), &mut Vec::new());
        SweepDelta {
            hooks: [HookDelta { outcomes, remote, ..HookDelta::default() }, HookDelta::default()].into(),
        }
    }

    #[test]
    fn within_a_slot_it_is_one_part() {
        let delta = delta(&[(3, Counter { packets: 7, bytes: 700 })]);
        let parts = spread(&delta, at(1_000_000), at(9_000_000));
        assert_eq!(parts, [(at(9_000_000), Duration::from_secs(8), delta.clone())]);
        // No time at all, and a clock that was set back.
        assert_eq!(spread(&delta, at(5), at(5)), [(at(5), Duration::ZERO, delta.clone())]);
        assert_eq!(spread(&delta, at(9), at(5)), [(at(5), Duration::ZERO, delta)]);
    }

    #[test]
    fn slots_have_their_shares_by_time() {
        let delta = delta(&[(3, Counter { packets: 700, bytes: 70_001 })]);
        let second = |second: u64| at(second * 1_000_000);
        let parts = spread(&delta, second(200), second(900));
        let shares: Vec<_> = parts
            .iter()
            .map(|(at, _, delta)| (*at, delta.hooks[0].remote.iter().next().unwrap().1))
            .collect();
        let share = |packets, bytes| Counter { packets, bytes };
        assert_eq!(
            shares,
            [
                (second(300), share(100, 10_000)),
                (second(600), share(300, 30_000)),
                (second(900), share(300, 30_001))
            ]
        );
    }

    #[test]
    fn bytes_without_packets_are_in_the_last_part() {
        let delta =
            delta(&[(3, Counter { packets: 0, bytes: 1500 }), (4, Counter { packets: 2, bytes: 120 })]);
        let second = |second: u64| at(second * 1_000_000);
        let parts = spread(&delta, second(200), second(900));
        let alone: Vec<_> = parts
            .iter()
            .flat_map(|(at, _, delta)| delta.hooks[0].remote.iter().map(move |found| (*at, found)))
            .filter(|(_, (owner, _))| *owner == 3)
            .collect();
        assert_eq!(alone, [(second(900), (3, Counter { packets: 0, bytes: 1500 }))]);
    }

    proptest! {
        #[test]
        fn parts_are_the_whole(
            from in 0_u64..600_000_000,
            length in prop_oneof![0_u64..2_000_000_000, 0_u64..4_000_000_000_000],
            counters in proptest::collection::btree_map(
                0_u32..9,
                (prop_oneof![1 => Just(0_u32), 4 => any::<u32>()], any::<u64>()),
                0..5,
            ),
        ) {
            let counters: Vec<_> = counters
                .into_iter()
                .map(|(owner, (packets, bytes))| (owner, Counter { packets: packets.into(), bytes: bytes >> 8 }))
                .collect();
            let alone = |owner| counters.iter().any(|(its, of)| *its == owner && of.packets == 0);
            let delta = delta(&counters);
            let (from, to) = (at(from), at(from + length));
            let parts = spread(&delta, from, to);
            prop_assert!(parts.len() <= PARTS + 1);
            let (mut begins, mut sum) = (from, SweepDelta { hooks: vec![HookDelta::default(); 2].into() });
            for (at, length, delta) in &parts {
                prop_assert_eq!(begins + *length, *at);
                prop_assert!(slot_of(*at - *length / 2) <= slot_of(to));
                if slot_of(to) - slot_of(from) <= PARTS as i64 {
                    prop_assert!(length.as_secs() <= SLOT_SECONDS as u64);
                }
                begins = *at;
                for (owner, counter) in delta.hooks.iter().flat_map(|hook| hook.remote.iter()) {
                    let whole = counter.packets != 0 || counter.bytes == 0 || alone(owner) && *at == to;
                    prop_assert!(whole, "bytes of no packet: {:?}", counter);
                }
                sum.absorb(delta);
            }
            prop_assert_eq!(begins, to);
            prop_assert_eq!(sum, delta);
        }
    }
}
