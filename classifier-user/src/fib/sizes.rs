//! How large the FIB's maps must be for a table.

use std::net::{Ipv4Addr, Ipv6Addr};

use classifier_common::fib::{FIRST_CLASS, NODE_FANOUT, SEGMENTS};

use crate::{datapath::Sizes, model::Prefix};

/// Room that even a table without long prefixes gets: BGP may bring them later.
const MIN_V4_ROWS: u32 = 4096;
const MIN_V6_ROWS: u32 = 4096;
const MIN_V6_NODES: u32 = 16_384;
const MIN_CLASSES: u32 = 65_536;

/// Sizes for a table of these prefixes: twice the rows and nodes that it takes (a tree that changes is there twice
/// until a grace period has passed), and 30 % more classes than prefixes. `prefixes` may be in any order.
///
/// With a class an AS rather than a prefix, set `classes` to [`classes_for`] the number of (AS, family).
#[must_use]
pub fn sizes_for(prefixes: impl IntoIterator<Item = Prefix>) -> Sizes {
    let Sizes { classes, v4_rows, v6_rows, v6_nodes } = needed(prefixes);
    Sizes {
        classes: classes_for((classes - FIRST_CLASS) as usize),
        v4_rows: v4_rows.saturating_mul(2).max(MIN_V4_ROWS),
        v6_rows: v6_rows.saturating_mul(2).max(MIN_V6_ROWS),
        v6_nodes: v6_nodes.saturating_mul(2).max(MIN_V6_NODES),
    }
}

/// Classes for so many owners: 30 % more, and the two unmatched ones.
#[must_use]
pub fn classes_for(owners: usize) -> u32 {
    let classes = owners.saturating_add(owners.div_ceil(10).saturating_mul(3));
    number(classes.saturating_add(FIRST_CLASS as usize)).max(MIN_CLASSES)
}

/// The most that a table of these prefixes takes, whatever their classes are.
pub(super) fn needed(prefixes: impl IntoIterator<Item = Prefix>) -> Sizes {
    let mut classes = FIRST_CLASS as usize;
    // The slots that are cut by a longer prefix, one list a level: each takes a row.
    let mut rows_v4 = Vec::new();
    let mut rows_v6: [Vec<u32>; 3] = Default::default();
    // What cuts a segment of a tree: the segment it is in and the prefix, as far as the segment goes.
    let mut cuts: [Vec<(u128, u8)>; SEGMENTS] = Default::default();
    for prefix in prefixes {
        classes += 1;
        match prefix {
            Prefix::V4(prefix) => {
                if prefix.netmask() > 24 {
                    rows_v4.push(Ipv4Addr::to_bits(prefix.network_address()) >> 8);
                }
            }
            Prefix::V6(prefix) => {
                let (bits, len) = (Ipv6Addr::to_bits(prefix.network_address()), prefix.netmask());
                let head = (bits >> 96) as u32;
                for (rows, at) in rows_v6.iter_mut().zip([8, 16, 24]) {
                    if len > at && (at == 24 || head >> 29 != 1) {
                        rows.push(head >> (32 - at));
                    }
                }
                for (cuts, end) in cuts.iter_mut().zip([64, 96, 128u8]) {
                    if len > end - 32 {
                        let len = len.min(end);
                        cuts.push((bits >> (128 - len) << (128 - len), len));
                    }
                }
            }
        }
    }
    Sizes {
        classes: number(classes),
        v4_rows: number(distinct(rows_v4)),
        v6_rows: number(rows_v6.into_iter().map(distinct).sum()),
        v6_nodes: number(
            cuts.into_iter().zip([32, 64, 96]).map(|(cuts, segment)| nodes(cuts, segment)).sum(),
        ),
    }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn distinct(mut slots: Vec<u32>) -> usize {
    slots.sort_unstable();
    slots.dedup();
    slots.len()
}

/// The most nodes that segments beginning at bit `segment` take with these prefixes in them.
fn nodes(mut prefixes: Vec<(u128, u8)>, segment: u8) -> usize {
    prefixes.sort_unstable();
    prefixes.dedup();
    let of_segment = |&(bits, _): &(u128, u8)| bits >> (128 - segment);
    prefixes
        .chunk_by(|a, b| of_segment(a) == of_segment(b))
        .map(|prefixes| {
            // An interval begins with the segment, with each prefix, and behind it.
            let mut starts: Vec<u128> = prefixes
                .iter()
                .flat_map(|&(bits, len)| [Some(bits), bits.checked_add(1 << (128 - len))])
                .flatten()
                .collect();
            starts.sort_unstable();
            starts.dedup();
            let first = prefixes.first().map_or(0, |prefix| of_segment(prefix) << (128 - segment));
            let last = first | (u128::MAX >> segment);
            let inside = starts.iter().filter(|&&start| start > first && start <= last).count();
            // Every node turns one interval into eight.
            inside.div_ceil(NODE_FANOUT - 1).max(1)
        })
        .sum()
}
