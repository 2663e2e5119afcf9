//! What was counted while no agent swept, over the time it was counted in: the sums are exact, and how they fell over the
//! time is not known.

use std::time::{Duration, SystemTime};

use super::{slot_of, slots::end_of};
use crate::{
    model::Counter,
    totals::{HookDelta, SweepDelta, packed::Packed},
};

/// Parts at most: a day's slots. What is longer is cut into as many parts of several slots.
const PARTS: usize = 288;

/// A part: when it ends, how long it is, what was counted.
pub(super) type Part = (SystemTime, Duration, SweepDelta);

/// Cuts what was counted between two times at the ends of slots, each part with its share by time.
pub(super) fn spread(delta: &SweepDelta, from: SystemTime, to: SystemTime) -> Vec<Part> {
    let Ok(whole) = to.duration_since(from) else { return vec![(to, Duration::ZERO, delta.clone())] };
    let slots = slot_of(to).saturating_sub(slot_of(from)).max(0);
    let step = (slots as usize).div_ceil(PARTS).max(1);
    let mut ends: Vec<SystemTime> = (slot_of(from)..slot_of(to))
        .step_by(step)
        .map(end_of)
        .filter(|&end| end > from && end < to)
        .collect();
    ends.push(to);
    let mut parts = Vec::with_capacity(ends.len());
    let mut begins = from;
    for end in ends {
        let passed = |at: SystemTime| at.duration_since(from).unwrap_or_default().as_micros();
        // Differences of running sums add up to the whole.
        let until = |at: SystemTime, packets: u64| {
            let whole = whole.as_micros();
            if whole == 0 || at == to { packets } else { (u128::from(packets) * passed(at) / whole) as u64 }
        };
        // A packet's bytes are where the packet is.
        let share = |Counter { packets, bytes }: Counter| {
            let running = |packets_until: u64| match packets {
                0 => 0,
                _ => (u128::from(bytes) * u128::from(packets_until) / u128::from(packets)) as u64,
            };
            let before = if begins == from { 0 } else { until(begins, packets) };
            let after = until(end, packets);
            Counter { packets: after - before, bytes: running(after) - running(before) }
        };
        let scratch = &mut Vec::new();
        let hooks = delta.hooks.iter().map(|hook| HookDelta {
            outcomes: hook.outcomes.map(share),
            remote: Packed::new(hook.remote.iter().map(|(owner, counter)| (owner, share(counter))), scratch),
            ..HookDelta::default()
        });
        let hooks = hooks.collect();
        parts.push((end, end.duration_since(begins).unwrap_or_default(), SweepDelta { hooks }));
        begins = end;
    }
    parts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::history::SLOT_SECONDS;

    fn at(micros: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_micros(1_767_312_000_000_000 + micros)
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

    proptest! {
        #[test]
        fn parts_are_the_whole(
            from in 0_u64..600_000_000,
            length in prop_oneof![0_u64..2_000_000_000, 0_u64..4_000_000_000_000],
            counters in proptest::collection::btree_map(0_u32..9, (any::<u32>(), any::<u64>()), 0..5),
        ) {
            let counters: Vec<_> = counters
                .into_iter()
                .map(|(owner, (packets, bytes))| {
                    (owner, Counter { packets: packets.into(), bytes: if packets == 0 { 0 } else { bytes >> 8 } })
                })
                .collect();
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
                for (_, counter) in delta.hooks.iter().flat_map(|hook| hook.remote.iter()) {
                    prop_assert!(counter.packets != 0 || counter.bytes == 0, "bytes of no packet: {:?}", counter);
                }
                sum.absorb(delta);
            }
            prop_assert_eq!(begins, to);
            prop_assert_eq!(sum, delta);
        }
    }
}
