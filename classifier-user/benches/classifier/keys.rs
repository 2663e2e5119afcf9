//! Which addresses are looked up, and numbers that are the same in every run.

use classifier_common::fib::{UNMATCHED_V4, UNMATCHED_V6, lookup_v4, lookup_v6};
use classifier_user::model::{Ipv4Network, Ipv6Network};

/// SplitMix64 (Steele, Lea, Flood 2014).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    pub(crate) fn wide(&mut self) -> u128 {
        u128::from(self.next()) << 64 | u128::from(self.next())
    }

    /// Below `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        ((u128::from(self.next()) * limit as u128) >> 64) as usize
    }

    /// From 0 to 1.
    fn part(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// All numbers below `count`, in no order.
    pub(crate) fn shuffled(&mut self, count: usize) -> Vec<usize> {
        let mut numbers: Vec<usize> = (0..count).collect();
        for place in (1..count).rev() {
            numbers.swap(place, self.below(place + 1));
        }
        numbers
    }
}

/// Zipf's law with exponent 1: the k-th of so many is chosen with a weight of 1/k.
pub(crate) struct Zipf {
    sums: Vec<f64>,
    /// What is the k-th.
    order: Vec<usize>,
}

impl Zipf {
    pub(crate) fn new(count: usize, random: &mut Random) -> Self {
        let mut sum = 0.0;
        let sums = (1..=count)
            .map(|rank| {
                sum += 1.0 / rank as f64;
                sum
            })
            .collect();
        Self { sums, order: random.shuffled(count) }
    }

    pub(crate) fn draw(&self, random: &mut Random) -> usize {
        let all = self.sums.last().copied().unwrap_or_default();
        let point = random.part() * all;
        let rank = self.sums.partition_point(|&sum| sum < point).min(self.order.len() - 1);
        self.order[rank]
    }
}

/// How addresses are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// Every prefix as often as every other one, and in it every address.
    Prefixes,
    /// Every address of those that have a route.
    Addresses,
    /// Prefixes by [`Zipf`]'s law, their ranks having nothing to do with their place in the table.
    Zipf,
    /// One address.
    Hot,
}

impl Choice {
    pub(crate) const ALL: [Self; 4] = [Self::Prefixes, Self::Addresses, Self::Zipf, Self::Hot];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Prefixes => "uniform over prefixes",
            Self::Addresses => "uniform over addresses",
            Self::Zipf => "Zipf over prefixes",
            Self::Hot => "hot (one address)",
        }
    }
}

/// The prefix's address: always the same one, as a network's traffic is that of a few hosts in it.
fn in_v4(prefix: Ipv4Network) -> u32 {
    let host = u32::MAX.checked_shr(prefix.netmask().into()).unwrap_or(0);
    let network = prefix.network_address().to_bits();
    network | Random::new(network.into()).next() as u32 & host
}

/// As [`in_v4`].
fn in_v6(prefix: Ipv6Network) -> u128 {
    let host = u128::MAX.checked_shr(prefix.netmask().into()).unwrap_or(0);
    let network = prefix.network_address().to_bits();
    network | Random::new((network >> 64) as u64 ^ network as u64).wide() & host
}

/// An address in four parts, the first one first.
pub(crate) const fn parts(address: u128) -> [u32; 4] {
    [(address >> 96) as u32, (address >> 64) as u32, (address >> 32) as u32, address as u32]
}

/// `count` IPv4 addresses. The FIB says which addresses have a route.
pub(crate) fn v4(
    choice: Choice,
    count: usize,
    prefixes: &[Ipv4Network],
    fib: &impl classifier_common::fib::Read,
) -> Vec<u32> {
    let mut random = Random::new(4);
    let zipf = (choice == Choice::Zipf).then(|| Zipf::new(prefixes.len(), &mut random));
    let hot = in_v4(prefixes[prefixes.len() / 2]);
    let mut one = || match (choice, &zipf) {
        (Choice::Hot, _) => hot,
        (Choice::Addresses, _) => loop {
            let address = random.next() as u32;
            if lookup_v4(fib, address) != UNMATCHED_V4 {
                break address;
            }
        },
        (Choice::Zipf, Some(zipf)) => in_v4(prefixes[zipf.draw(&mut random)]),
        _ => in_v4(prefixes[random.below(prefixes.len())]),
    };
    (0..count).map(|_| one()).collect()
}

/// `count` IPv6 addresses, in parts.
pub(crate) fn v6(
    choice: Choice,
    count: usize,
    prefixes: &[Ipv6Network],
    fib: &impl classifier_common::fib::Read,
) -> Vec<[u32; 4]> {
    let mut random = Random::new(6);
    let zipf = (choice == Choice::Zipf).then(|| Zipf::new(prefixes.len(), &mut random));
    let hot = in_v6(prefixes[prefixes.len() / 2]);
    let mut one = || match (choice, &zipf) {
        (Choice::Hot, _) => hot,
        (Choice::Addresses, _) => loop {
            // All routes of the table are in 2000::/3.
            let address = 1 << 125 | random.wide() >> 3;
            if lookup_v6(fib, &parts(address)) != UNMATCHED_V6 {
                break address;
            }
        },
        (Choice::Zipf, Some(zipf)) => in_v6(prefixes[zipf.draw(&mut random)]),
        _ => in_v6(prefixes[random.below(prefixes.len())]),
    };
    (0..count).map(|_| parts(one())).collect()
}

/// Lines of keys as the harness has them.
pub(crate) fn lines(words: &[u32]) -> Vec<[u32; 64]> {
    words.as_chunks::<64>().0.to_vec()
}
