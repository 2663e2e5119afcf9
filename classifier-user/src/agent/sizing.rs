//! What is counted, and how finely: as much as the memory allows.

use crate::{
    config::CountMode as CountChoice,
    datapath::Sizes,
    fib::classes::Granularity,
    model::{Hook, Link, Locality},
    totals::answer::CountMode,
};

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Which sides are counted.
    pub count: CountMode,
    /// What a class is.
    pub granularity: Granularity,
    /// Sizes of maps.
    pub sizes: Sizes,
    /// Kernel memory of all banks, bytes.
    pub bank_bytes: u64,
}

/// What larger maps must keep to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Which sides are counted.
    pub count: CountMode,
    /// How many links there are.
    pub links: usize,
    /// How many CPUs have counters of their own.
    pub slices: u32,
    /// Bytes that all banks may take.
    pub allowed: u64,
}

impl Room {
    /// Bytes of all banks with these sizes.
    #[must_use]
    pub fn bank_bytes(&self, sizes: &Sizes) -> u64 {
        let sides = if self.count == CountMode::Both { 2 } else { 1 };
        sizes.bank_bytes(self.slices, sides) * self.links as u64
    }

    /// Whether banks of these sizes are permitted.
    ///
    /// # Errors
    /// [`TooLarge`].
    pub fn check(&self, sizes: &Sizes) -> Result<u64, TooLarge> {
        let Self { links, slices, allowed, .. } = *self;
        let needed = self.bank_bytes(sizes);
        if needed <= allowed { Ok(needed) } else { Err(TooLarge { needed, allowed, links, slices }) }
    }
}

/// What was asked for does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the counters need {} MiB of kernel memory for {links} links and {slices} CPUs, and --bank-memory allows {} MiB: \
     give more, or --granularity as",
    needed >> 20,
    allowed >> 20
)]
pub struct TooLarge {
    needed: u64,
    allowed: u64,
    links: usize,
    slices: u32,
}

/// The bit sets of sides to count on a link, by hook.
#[must_use]
pub fn sides(link: &Link, count: CountMode) -> [u32; 2] {
    Hook::ALL.map(|hook| {
        [Locality::Remote, Locality::Local]
            .into_iter()
            .filter(|&locality| count.counts(locality))
            .fold(0, |bits, locality| bits | link.role.side(hook, locality).bit())
    })
}

/// Decides. `prefix` and `by_as` are the sizes that either granularity needs; with `None` in `granularity`,
/// prefixes are preferred. A bank map holds both sides, so counting one side saves time but no memory.
///
/// # Errors
/// [`TooLarge`] where nothing that was permitted fits into `allowed` bytes.
pub fn decide(
    count: CountChoice,
    granularity: Option<Granularity>,
    prefix: Sizes,
    by_as: Sizes,
    links: usize,
    slices: u32,
    allowed: u64,
) -> Result<Decision, TooLarge> {
    let counts: &[CountMode] = match count {
        CountChoice::Auto => &[CountMode::Both, CountMode::Remote],
        CountChoice::Both => &[CountMode::Both],
        CountChoice::Remote => &[CountMode::Remote],
        CountChoice::Local => &[CountMode::Local],
    };
    let granularities: &[(Granularity, Sizes)] = match granularity {
        None => &[(Granularity::Prefix, prefix), (Granularity::As, by_as)],
        Some(Granularity::Prefix) => &[(Granularity::Prefix, prefix)],
        Some(Granularity::As) => &[(Granularity::As, by_as)],
    };
    let mut needed = u64::MAX;
    for &(granularity, sizes) in granularities {
        for &count in counts {
            match (Room { count, links, slices, allowed }).check(&sizes) {
                Ok(bank_bytes) => return Ok(Decision { count, granularity, sizes, bank_bytes }),
                Err(error) => needed = needed.min(error.needed),
            }
        }
    }
    Err(TooLarge { needed, allowed, links, slices })
}
