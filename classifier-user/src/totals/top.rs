//! How `top` and `links` are made.

use std::{cmp::Reverse, sync::Arc};

use super::{
    Stretch, Totals,
    answer::{
        Directions, HistoryStatus, LinkAnswer, LinkDirection, LinksAnswer, Part, Rate, Row, TopAnswer,
        TopDirection, Total,
    },
    directory::{Brief, NO_AS},
    hook_place,
    memory::REACH,
    query::{By, QueryError, TopQuery, no_local_paths},
    scrape::not_ip,
    sparse::Sparse,
    view::{StatusInputs, timestamp},
};
use crate::{
    model::{Counter, Direction, Hook, Locality, Owner, OwnerId, Owners},
    table::{groups::Groups, names::Names},
};

/// The length of "the last sweeps", over which rates of now are taken.
pub(super) const NOW: std::time::Duration = std::time::Duration::from_secs(30);
/// A period that several answers have.
pub(super) const FIVE_MINUTES: std::time::Duration = std::time::Duration::from_secs(300);

/// Everything that an answer is made from, held still.
pub(super) struct Reader<'a> {
    pub(super) totals: &'a Totals,
    pub(super) names: &'a Arc<Names>,
    pub(super) groups: &'a Groups,
    pub(super) status: &'a StatusInputs,
    pub(super) history: &'a HistoryStatus,
    pub(super) owners: &'a dyn Owners,
}

/// What was counted, by key: an AS's or owner's number, or a place among groups or kinds.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// In no order, none zero.
    pub(super) rows: Vec<(u32, Counter)>,
    /// With or without a key.
    pub(super) matched: Counter,
    pub(super) unmatched: Counter,
}

impl Reader<'_> {
    pub(super) fn top(&self, query: &TopQuery) -> Result<TopAnswer, QueryError> {
        self.check_counted(query.by, query.side)?;
        let links = self.choose_links(&query.links)?;
        let stretch = self.totals.stretch_of(query.when);
        let directions = Directions::try_of(query.direction, |direction| {
            Ok::<_, QueryError>(match query.by {
                By::Link => self.top_links(&links, direction, &stretch, query.n),
                By::Neighbor | By::Transit => self.top_ways(query, &links, direction, &stretch),
                _ => self.top_of(query, &links, direction, &stretch),
            })
        })?;
        Ok(TopAnswer {
            router: self.status.router.clone(),
            from: timestamp(stretch.from),
            to: timestamp(stretch.to),
            by: query.by,
            side: query.side,
            zone: None,
            since: None,
            covered: None,
            compare: None,
            directions,
        })
    }

    fn top_of(
        &self,
        query: &TopQuery,
        links: &[usize],
        direction: Direction,
        stretch: &Stretch,
    ) -> TopDirection {
        let banks = self.totals.bank_places(links, direction, query.side);
        let tally = self.tally(stretch, &banks, query.by, |_, _| true);
        let outcomes = self.outcomes(stretch, links, direction);
        let scale = Scale { seconds: stretch.seconds(), bytes: sum(&outcomes).bytes };
        let rows = self.rows(tally.rows, query.by, query.n, scale);
        let shown = rows.iter().map(|row| Counter { packets: row.packets, bytes: row.bytes }).sum();
        TopDirection {
            total: scale.total(sum(&outcomes)),
            rows,
            other: scale.part(tally.matched - shown),
            unmatched: scale.part(tally.unmatched),
            non_ip: scale.part(not_ip(&outcomes)),
            no_path: None,
            previous_bytes: None,
            change: None,
        }
    }

    /// By link, every frame is in a row.
    fn top_links(&self, links: &[usize], direction: Direction, stretch: &Stretch, n: usize) -> TopDirection {
        let total = sum(&self.outcomes(stretch, links, direction));
        let scale = Scale { seconds: stretch.seconds(), bytes: total.bytes };
        let counters =
            links.iter().map(|&link| (link as u32, sum(&self.outcomes(stretch, &[link], direction))));
        let rows = self.rows(counters.filter(|(_, sum)| !sum.is_zero()).collect(), By::Link, n, scale);
        let shown = rows.iter().map(|row| Counter { packets: row.packets, bytes: row.bytes }).sum();
        TopDirection {
            total: scale.total(total),
            rows,
            other: scale.part(total - shown),
            unmatched: scale.part(Counter::ZERO),
            non_ip: scale.part(Counter::ZERO),
            no_path: None,
            previous_bytes: None,
            change: None,
        }
    }

    /// Sums what the owners that `keep` takes have in these banks.
    pub(super) fn tally(
        &self,
        stretch: &Stretch,
        banks: &[usize],
        by: By,
        keep: impl Fn(OwnerId, Brief) -> bool,
    ) -> Tally {
        let mut tally = Tally::default();
        let mut sums = Sparse::default();
        let keys = self.keys(by);
        for &bank in banks {
            self.totals.each(stretch, bank, |id, counter| {
                let Some(brief) = self.totals.directory.get(id) else { return };
                if !keep(id, brief) {
                    return;
                }
                if brief.as_index == NO_AS {
                    tally.unmatched += counter;
                    return;
                }
                tally.matched += counter;
                let key = match &keys {
                    Some(keys) => keys.get(brief.as_index as usize).copied().flatten(),
                    None if by == By::Prefix => Some(id.0),
                    None => Some(brief.as_index),
                };
                if let Some(key) = key {
                    sums.add(key, counter);
                }
            });
        }
        let asn_of = |index| self.totals.directory.asn(index);
        let number = |key| if by == By::As { asn_of(key) } else { key };
        tally.rows = sums.iter().map(|(key, sum)| (number(key), sum)).collect();
        tally
    }

    /// The key of each AS seen, by its index, where ASes are put together.
    pub(super) fn keys(&self, by: By) -> Option<Vec<Option<u32>>> {
        let of_group: Vec<u32> = match by {
            By::Group => (0..).take(self.groups.all().len()).collect(),
            By::Kind => {
                let kinds = self.kinds();
                let place = |kind: &str| kinds.iter().position(|known| *known == kind).unwrap_or(0) as u32;
                self.groups.all().iter().map(|group| place(&group.kind)).collect()
            }
            By::As | By::Prefix | By::Link | By::Neighbor | By::Transit => return None,
        };
        let key = |index| of_group.get(self.groups.of(self.totals.directory.asn(index))?).copied();
        Some((0..self.totals.directory.len() as u32).map(key).collect())
    }

    /// The kinds of groups, in the groups' order.
    fn kinds(&self) -> Vec<&str> {
        let mut kinds = Vec::new();
        for group in self.groups.all() {
            if !kinds.contains(&group.kind.as_str()) {
                kinds.push(group.kind.as_str());
            }
        }
        kinds
    }

    /// The largest `n` by bytes, as rows.
    pub(super) fn rows(&self, mut counters: Vec<(u32, Counter)>, by: By, n: usize, scale: Scale) -> Vec<Row> {
        let order =
            |&(key, counter): &(u32, Counter)| (Reverse(counter.bytes), Reverse(counter.packets), key);
        if counters.len() > n {
            counters.select_nth_unstable_by_key(n, order);
            counters.truncate(n);
        }
        counters.sort_unstable_by_key(order);
        let kinds = if by == By::Kind { self.kinds() } else { Vec::new() };
        let row = |(rank, (key, counter)): (u32, (u32, Counter))| {
            let mut row = scale.row(rank, counter);
            match by {
                By::As | By::Neighbor | By::Transit => {
                    row.asn = Some(key);
                    row.name = self.name(key);
                }
                By::Prefix => {
                    let owner = self.owners.owner(OwnerId(key));
                    if let Owner::Route { prefix, .. } = owner {
                        row.prefix = Some(prefix.to_string());
                    }
                    row.asn = owner.asn();
                    row.name = owner.asn().and_then(|asn| self.name(asn));
                }
                By::Group => {
                    let group = self.groups.all().get(key as usize);
                    row.group = group.map(|group| group.key.clone());
                    row.name = group.map(|group| group.name.clone());
                }
                By::Kind => row.kind = kinds.get(key as usize).map(|&kind| kind.to_owned()),
                By::Link => row.link = self.totals.links.get(key as usize).map(|link| link.name.clone()),
            }
            row
        };
        (1..).zip(counters).map(row).collect()
    }

    pub(super) fn name(&self, asn: u32) -> Option<String> {
        self.names.get(asn).map(str::to_owned)
    }

    /// What became of these links' frames in a direction.
    pub(super) fn outcomes(&self, stretch: &Stretch, links: &[usize], direction: Direction) -> [Counter; 5] {
        let mut sums = [Counter::ZERO; 5];
        for hook in self.totals.hook_places(links, direction) {
            for (sum, outcome) in sums.iter_mut().zip(self.totals.outcomes(stretch, hook)) {
                *sum += outcome;
            }
        }
        sums
    }

    /// The links of these names, or those of the ISP's totals.
    pub(super) fn choose_links(&self, names: &[String]) -> Result<Vec<usize>, QueryError> {
        if names.is_empty() {
            return Ok(self.totals.isp_links());
        }
        let links = &self.totals.links;
        let mut chosen = Vec::new();
        for name in names {
            let found = links.iter().position(|link| link.name == *name);
            chosen.push(found.ok_or_else(|| QueryError::NotFound {
                what: "link",
                given: name.clone(),
                // There are few: all of them help.
                near: links.iter().map(|link| link.name.clone()).collect(),
            })?);
        }
        chosen.sort_unstable();
        chosen.dedup();
        Ok(chosen)
    }

    pub(super) fn check_counted(&self, by: By, side: Locality) -> Result<(), QueryError> {
        use super::answer::Granularity;
        if by == By::Prefix && self.status.granularity == Granularity::As {
            return Err(QueryError::NoPrefixes);
        }
        if by.is_of_path() && side == Locality::Local {
            return Err(no_local_paths(side));
        }
        if by.is_of_path() && self.status.granularity == Granularity::As {
            return Err(QueryError::NoPaths);
        }
        if by != By::Link && !self.status.count.counts(side) {
            return Err(QueryError::SideNotCounted { side, count: self.status.count.name() });
        }
        Ok(())
    }

    pub(super) fn links(&self) -> LinksAnswer {
        let start = self.totals.since_start();
        let link = |(i, link): (usize, &crate::model::Link)| LinkAnswer {
            name: link.name.clone(),
            interface: link.interface.clone(),
            vlan: link.vlan,
            role: link.role,
            kind: link.kind,
            directions: Directions {
                inward: self.link_direction(i, Direction::In, &start),
                outward: self.link_direction(i, Direction::Out, &start),
            },
        };
        LinksAnswer {
            router: self.status.router.clone(),
            from: timestamp(start.from),
            to: timestamp(start.to),
            links: self.totals.links.iter().enumerate().map(link).collect(),
        }
    }

    fn link_direction(&self, link: usize, direction: Direction, start: &Stretch) -> Option<LinkDirection> {
        let hook = self.totals.links.get(link)?.role.hook(direction);
        let counts = self.totals.hooks.get(hook_place(link, hook))?;
        let mode = self.mode(link, hook);
        if !counts.attached && mode.is_none() {
            return None;
        }
        let over = |last| {
            let stretch = self.totals.stretch(last);
            let scale = Scale { seconds: stretch.seconds(), bytes: 0 };
            (sum(&self.outcomes(&stretch, &[link], direction)), scale)
        };
        let total = |last| {
            let (sum, scale) = over(last);
            scale.total(sum)
        };
        let (now, scale) = over(NOW);
        let banks = self.totals.bank_places(&[link], direction, Locality::Remote);
        let unmatched = |&bank: &usize| Some(self.totals.matched(start, bank).1.into());
        Some(LinkDirection {
            hook: if hook == Hook::Rx { "rx" } else { "tx" }.to_owned(),
            mode,
            since_start: sum(&counts.outcomes).into(),
            last_1h: total(REACH),
            last_5m: total(FIVE_MINUTES),
            now: scale.rate(now),
            outcomes: counts.outcomes.into(),
            unmatched: self.totals.remote_bank(link, hook).and(banks.first()).and_then(unmatched),
            coverage: self.totals.coverage(&banks),
            closure_ok: counts.closure_ok,
        })
    }
}

/// What turns counters into rates and shares.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    /// The period.
    pub(crate) seconds: f64,
    /// All bytes of the direction.
    pub(crate) bytes: u64,
}

impl Scale {
    pub(crate) fn per_second(self, amount: u64) -> u64 {
        if self.seconds > 0.0 { (amount as f64 / self.seconds).round() as u64 } else { 0 }
    }

    pub(crate) fn bits_per_second(self, bytes: u64) -> u64 {
        self.per_second(bytes.saturating_mul(8))
    }

    pub(crate) fn share(self, bytes: u64) -> f64 {
        if self.bytes > 0 { ratio(bytes as f64 / self.bytes as f64) } else { 0.0 }
    }

    pub(crate) fn total(self, Counter { packets, bytes }: Counter) -> Total {
        Total { packets, bytes, bits_per_second: self.bits_per_second(bytes) }
    }

    pub(crate) fn part(self, Counter { packets, bytes }: Counter) -> Part {
        Part { packets, bytes, bits_per_second: self.bits_per_second(bytes), share: self.share(bytes) }
    }

    pub(super) fn rate(self, Counter { packets, bytes }: Counter) -> Rate {
        Rate {
            seconds: self.seconds,
            packets_per_second: self.per_second(packets),
            bits_per_second: self.bits_per_second(bytes),
        }
    }

    pub(crate) fn row(self, rank: u32, Counter { packets, bytes }: Counter) -> Row {
        Row {
            rank,
            prefix: None,
            asn: None,
            group: None,
            kind: None,
            link: None,
            name: None,
            packets,
            bytes,
            bits_per_second: self.bits_per_second(bytes),
            share: self.share(bytes),
            previous_bytes: None,
            change: None,
        }
    }
}

/// A ratio as in JSON: to nine digits, which every reader reads back the same.
pub(crate) fn ratio(ratio: f64) -> f64 {
    (ratio * 1e9).round() / 1e9
}

/// All outcomes.
pub(super) fn sum(outcomes: &[Counter; 5]) -> Counter {
    outcomes.iter().copied().sum()
}
