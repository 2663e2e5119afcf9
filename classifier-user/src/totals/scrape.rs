//! One consistent reading of everything that is a metric, as plain data.
//!
//! Of each link and direction `ases`, `other`, `unmatched` and `non_ip` add up to `outcomes` in every reading, as do
//! `neighbors`, `other_neighbors`, `no_path`, `unmatched` and `non_ip`, and none of them ever falls. To hold at any time under traffic, the IPv4 and IPv6 outcomes here are what the remote
//! side's classes add up to: they lag the kernel's outcome counters by what came while the sweep read them, which the
//! next sweep brings. `closure_ok` tells whether it was only that.

use super::{Totals, directory::NO_AS, family_place, hook_place, sparse::Sparse};
use crate::model::{Asn, Counter, Direction, Family, Hook, Outcome};

/// A reading.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scrape {
    /// The ASes with series of their own.
    pub asns: Vec<Asn>,
    /// The neighbours with series of their own.
    pub neighbors: Vec<Asn>,
    /// The keys of all groups there ever were.
    pub groups: Vec<String>,
    /// What is attached, by link, receive before transmit.
    pub hooks: Vec<HookScrape>,
}

/// What a link counts in one direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookScrape {
    /// The link's number.
    pub link: usize,
    /// Where.
    pub hook: Hook,
    /// The direction seen there.
    pub direction: Direction,
    /// By [`Outcome`].
    pub outcomes: [Counter; 5],
    /// Whether the classes add up to the kernel's outcomes.
    pub closure_ok: bool,
    /// The remote side; `None` where it is not counted.
    pub remote: Option<RemoteScrape>,
}

/// Whom a link's frames came from or went to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteScrape {
    /// By [`Scrape::asns`]: since the AS got series of its own.
    pub ases: Vec<Counter>,
    /// What ASes had without or before series of their own.
    pub other: Counter,
    /// By [`Scrape::neighbors`]: since the neighbour got series of its own.
    pub neighbors: Vec<Counter>,
    /// What neighbours had without or before series of their own.
    pub other_neighbors: Counter,
    /// What has an AS and no neighbour: no path is known.
    pub no_path: Counter,
    /// IP without an AS.
    pub unmatched: Counter,
    /// All that is not IP.
    pub non_ip: Counter,
    /// By [`Scrape::groups`]: bytes.
    pub groups: Vec<u64>,
}

impl Totals {
    /// A reading of now.
    #[must_use]
    pub fn scrape(&self) -> Scrape {
        let (exported, neighbors) = (self.export.list(), self.neighbors.list());
        Scrape {
            asns: exported.iter().map(|exported| self.directory.asn(exported.as_index)).collect(),
            neighbors: neighbors.iter().map(|exported| self.directory.asn(exported.as_index)).collect(),
            groups: self.groups.keys.clone(),
            hooks: (0..self.links.len())
                .flat_map(|link| Hook::ALL.map(|hook| self.scrape_hook(link, hook)))
                .flatten()
                .collect(),
        }
    }

    fn scrape_hook(&self, link: usize, hook: Hook) -> Option<HookScrape> {
        let place = hook_place(link, hook);
        let totals = self.hooks.get(place).filter(|totals| totals.attached)?;
        let mut outcomes = totals.outcomes;
        for (outcome, before) in outcomes.iter_mut().zip(totals.before) {
            *outcome = *outcome - before;
        }
        let remote = self.remote_bank(link, hook).map(|bank| {
            for (outcome, family) in [(Outcome::Ipv4, Family::Ipv4), (Outcome::Ipv6, Family::Ipv6)] {
                let place = family_place(family);
                outcomes[outcome as usize] = bank.families[place] - bank.before.families[place];
            }
            let since = |sums: &Sparse, list: &[super::Exported]| -> Vec<Counter> {
                let base = |exported: &super::Exported| exported.base.get(place).copied().unwrap_or_default();
                list.iter().map(|exported| sums.get(exported.as_index) - base(exported)).collect()
            };
            let ases = since(&bank.ases, self.export.list());
            let neighbors = since(&bank.ways.neighbors, self.neighbors.list());
            let unmatched = bank.ases.get(NO_AS) - bank.before.unmatched;
            let by_neighbors: Counter = bank.ways.neighbors.iter().map(|(_, counter)| counter).sum();
            RemoteScrape {
                other: bank.classes() - bank.before.classes() - unmatched - ases.iter().copied().sum(),
                ases,
                other_neighbors: by_neighbors - neighbors.iter().copied().sum(),
                neighbors,
                no_path: bank.classes() - bank.before.classes() - unmatched - by_neighbors,
                unmatched,
                non_ip: not_ip(&outcomes),
                groups: self
                    .groups
                    .bytes
                    .iter()
                    .map(|hooks| hooks.get(place).copied().unwrap_or(0))
                    .collect(),
            }
        });
        let direction = self.links.get(link)?.role.direction(hook);
        Some(HookScrape { link, hook, direction, outcomes, closure_ok: totals.closure_ok, remote })
    }
}

/// All outcomes that are not IP.
pub(super) fn not_ip(outcomes: &[Counter; 5]) -> Counter {
    [Outcome::NonIp, Outcome::Malformed, Outcome::Unsupported]
        .into_iter()
        .map(|outcome| outcomes[outcome as usize])
        .sum()
}
