//! Address ranges: to the fewest prefixes that cover exactly them, and what to do where they overlap.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use crate::model::{Asn, Family, Prefix};

/// An address as a number; IPv4 in the low 32 bits.
#[must_use]
pub(crate) fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// Bits of an address.
#[must_use]
pub(crate) const fn width(family: Family) -> u8 {
    match family {
        Family::Ipv4 => 32,
        Family::Ipv6 => 128,
    }
}

/// The prefix of this length that begins at `start`; bits below the prefix are dropped.
#[must_use]
pub(crate) fn prefix(family: Family, start: u128, length: u8) -> Option<Prefix> {
    match family {
        Family::Ipv4 => Prefix::new_truncate(Ipv4Addr::from_bits(u32::try_from(start).ok()?), length).ok(),
        Family::Ipv6 => Prefix::new_truncate(Ipv6Addr::from_bits(start), length).ok(),
    }
}

/// A range of addresses, both ends in it, and whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    /// The first address.
    pub start: u128,
    /// The last address; not before `start`.
    pub end: u128,
    /// Its AS.
    pub asn: Asn,
    /// The line it came from.
    pub line: u64,
}

/// Gives the fewest prefixes that together are exactly `start` to `end`, ascending.
pub(crate) fn each_prefix(family: Family, start: u128, end: u128, mut each: impl FnMut(Prefix)) {
    let width = u32::from(width(family));
    let mut start = start;
    loop {
        // The largest block that begins here and does not go beyond the end.
        let aligned = start.trailing_zeros().min(width);
        let fits = match (end - start).checked_add(1) {
            Some(count) => count.ilog2(),
            None => width,
        };
        let bits = aligned.min(fits);
        // At most 128, as `bits` is at most `width`.
        if let Some(prefix) = prefix(family, start, (width - bits) as u8) {
            each(prefix);
        }
        let last = start | 1u128.checked_shl(bits).map_or(u128::MAX, |size| size - 1);
        if last >= end {
            return;
        }
        start = last + 1;
    }
}

/// The same range for two ASes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Contradiction {
    /// What the earlier line says.
    pub first: Range,
    /// What the later line says.
    pub second: Range,
}

/// Ranges that do not overlap, and what was found on the way there.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Flat {
    /// Ascending.
    pub ranges: Vec<Range>,
    /// Ranges that overlap one before them.
    pub overlaps: u64,
    /// Lines that say again what another one said.
    pub duplicates: u64,
    /// Two lines that give the same range to two ASes. The earlier one is in `ranges`.
    pub contradictions: Vec<Contradiction>,
}

/// Sorts ranges and gives each address to the narrowest range that has it (of two equally narrow ones to the one
/// that begins later).
pub(crate) fn flatten(mut ranges: Vec<Range>) -> Flat {
    ranges.sort_unstable_by_key(|range| (range.start, std::cmp::Reverse(range.end), range.line));
    let mut contradictions = Vec::new();
    let mut duplicates = 0;
    ranges.dedup_by(|second, first| {
        let same = (first.start, first.end) == (second.start, second.end);
        if same && first.asn != second.asn {
            contradictions.push(Contradiction { first: *first, second: *second });
        } else if same {
            duplicates += 1;
        }
        same
    });

    let mut flat: Vec<Range> = Vec::new();
    let mut overlaps = 0;
    let mut rest = ranges.as_slice();
    while let Some(first) = rest.first() {
        // Those that hang together by overlapping.
        let mut last = first.end;
        let mut count = 1;
        for range in rest.iter().skip(1) {
            if range.start > last {
                break;
            }
            last = last.max(range.end);
            count += 1;
        }
        let (cluster, after) = rest.split_at(count);
        overlaps += cluster.len() as u64 - 1;
        if cluster.len() == 1 {
            flat.push(*first);
        } else {
            flatten_cluster(cluster, &mut flat);
        }
        rest = after;
    }
    Flat { ranges: flat, overlaps, duplicates, contradictions }
}

/// Sweeps over the places where a range begins or ends, the open ranges ordered by who wins.
fn flatten_cluster(cluster: &[Range], flat: &mut Vec<Range>) {
    // (address, closes, which): what begins at an address begins before what ends there ends, as ends are inclusive.
    let mut events: Vec<(u128, bool, usize)> = cluster
        .iter()
        .enumerate()
        .flat_map(|(which, range)| [(range.start, false, which), (range.end, true, which)])
        .collect();
    events.sort_unstable();
    let begin = flat.len();
    let mut open: BTreeSet<(u128, std::cmp::Reverse<u128>, usize)> = BTreeSet::new();
    // Where the next piece begins; `None` behind the last address there is.
    let mut from = Some(0);
    for (address, closes, which) in events {
        let Some(range) = cluster.get(which) else { continue };
        let winner = open.first().and_then(|&(_, _, winner)| cluster.get(winner));
        // The piece before this event: up to the address itself where something ends, else up to the one before.
        let piece_end = if closes { Some(address) } else { address.checked_sub(1) };
        if let (Some(winner), Some(from), Some(end)) = (winner, from, piece_end)
            && end >= from
        {
            match flat.get_mut(begin..).and_then(<[Range]>::last_mut) {
                Some(piece) if piece.line == winner.line && piece.end.checked_add(1) == Some(from) => {
                    piece.end = end;
                }
                _ => flat.push(Range { start: from, end, ..*winner }),
            }
        }
        let key = (range.end - range.start, std::cmp::Reverse(range.start), which);
        if closes {
            open.remove(&key);
            from = address.checked_add(1);
        } else {
            open.insert(key);
            from = Some(address);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn range(start: u128, end: u128, asn: Asn, line: u64) -> Range {
        Range { start, end, asn, line }
    }

    fn prefixes(family: Family, start: u128, end: u128) -> Vec<String> {
        let mut all = Vec::new();
        each_prefix(family, start, end, |prefix| all.push(prefix.to_string()));
        all
    }

    #[test]
    fn ranges_become_the_fewest_prefixes() {
        let v4 =
            |a: &str, b: &str| prefixes(Family::Ipv4, number(a.parse().unwrap()), number(b.parse().unwrap()));
        assert_eq!(v4("1.0.0.0", "1.0.0.255"), ["1.0.0.0/24"]);
        assert_eq!(v4("1.0.128.0", "1.0.196.255"), ["1.0.128.0/18", "1.0.192.0/22", "1.0.196.0/24"]);
        assert_eq!(v4("10.0.0.1", "10.0.0.1"), ["10.0.0.1/32"]);
        assert_eq!(v4("10.0.0.1", "10.0.0.4"), ["10.0.0.1/32", "10.0.0.2/31", "10.0.0.4/32"]);
        assert_eq!(v4("0.0.0.0", "255.255.255.255"), ["0.0.0.0/0"]);
        assert_eq!(v4("255.255.255.254", "255.255.255.255"), ["255.255.255.254/31"]);
        assert_eq!(prefixes(Family::Ipv6, 0, u128::MAX), ["::/0"]);
        assert_eq!(prefixes(Family::Ipv6, u128::MAX - 2, u128::MAX).len(), 2);
        assert_eq!(prefixes(Family::Ipv6, 1, u128::MAX).len(), 128);
    }

    #[test]
    fn the_narrower_range_wins() {
        let flat = flatten(vec![
            range(0, 99, 1, 1),
            range(10, 19, 2, 2),
            range(15, 16, 3, 3),
            range(200, 210, 4, 4),
        ]);
        assert_eq!(flat.overlaps, 2);
        assert_eq!(
            flat.ranges,
            [
                range(0, 9, 1, 1),
                range(10, 14, 2, 2),
                range(15, 16, 3, 3),
                range(17, 19, 2, 2),
                range(20, 99, 1, 1),
                range(200, 210, 4, 4)
            ]
        );
        // Crossing, not nested: as in the built-in snapshot's data.
        let flat = flatten(vec![range(0, 99, 1, 1), range(90, 120, 2, 2)]);
        assert_eq!((flat.ranges, flat.overlaps), (vec![range(0, 89, 1, 1), range(90, 120, 2, 2)], 1));
        // At the ends of the address space.
        let flat =
            flatten(vec![range(0, u128::MAX, 1, 1), range(0, 0, 2, 2), range(u128::MAX, u128::MAX, 3, 3)]);
        assert_eq!(
            flat.ranges,
            [range(0, 0, 2, 2), range(1, u128::MAX - 1, 1, 1), range(u128::MAX, u128::MAX, 3, 3)]
        );
    }

    #[test]
    fn the_same_range_twice() {
        let flat = flatten(vec![range(5, 9, 1, 1), range(5, 9, 1, 2)]);
        assert_eq!((flat.ranges, flat.overlaps, flat.duplicates), (vec![range(5, 9, 1, 1)], 0, 1));
        let flat = flatten(vec![range(5, 9, 1, 1), range(5, 9, 2, 2)]);
        assert_eq!(
            flat.contradictions,
            [Contradiction { first: range(5, 9, 1, 1), second: range(5, 9, 2, 2) }]
        );
        assert_eq!(flat.ranges, [range(5, 9, 1, 1)]);
    }

    proptest! {
        #[test]
        fn each_address_is_the_narrowest_ranges(
            raw in proptest::collection::btree_set((0u128..64, 1u128..64), 0..12)
        ) {
            let ranges: Vec<Range> = raw
                .iter()
                .enumerate()
                .map(|(i, &(start, size))| range(start, start + size - 1, i as Asn, i as u64))
                .collect();
            let flat = flatten(ranges.clone()).ranges;
            prop_assert!(flat.is_sorted_by(|a, b| a.end < b.start));
            for address in 0..130u128 {
                let wanted = ranges
                    .iter()
                    .filter(|r| (r.start..=r.end).contains(&address))
                    .min_by_key(|r| (r.end - r.start, std::cmp::Reverse(r.start)))
                    .map(|r| r.asn);
                let got = flat.iter().find(|r| (r.start..=r.end).contains(&address)).map(|r| r.asn);
                prop_assert_eq!(got, wanted);
            }
        }

        #[test]
        fn prefixes_are_exactly_the_range(start in any::<u32>(), size in 0u32..5000) {
            let end = start.saturating_add(size);
            let mut next = u64::from(start);
            each_prefix(Family::Ipv4, start.into(), end.into(), |prefix| {
                let Prefix::V4(prefix) = prefix else { panic!("{prefix}") };
                assert_eq!(u64::from(prefix.network_address().to_bits()), next);
                next += 1 << (32 - prefix.netmask());
            });
            prop_assert_eq!(next, u64::from(end) + 1);
        }
    }
}
