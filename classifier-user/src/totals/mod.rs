//! What was counted: sweeps become totals that only grow, whatever becomes of the table, and a memory of the last
//! hour.
//!
//! Reading order: here ([`Totals::record`]), `directory` (owner to AS), `sparse` and `packed` (counters in little
//! memory), `paths` and `ways` (neighbours and transit), `memory` (the last hour), `export` (which ASes have metrics),
//! then who asks: [`query`], [`answer`],
//! [`view`] (the handle that HTTP has), `top` and `detail` (how answers are made), [`scrape`] (metrics).

use std::{
    ops::Range,
    sync::Arc,
    time::{Duration, SystemTime},
};

pub use period::{MAX_PERIOD, PeriodError, format_period, parse_period};
pub use query::{By, DetailQuery, QueryError, TopQuery};
pub use view::{SharedOwners, SourceInput, StatusInputs, View};
pub use when::{Clock, Moment, MomentError, When};

use self::{
    directory::{AsIndex, Directory, NO_AS},
    export::{Export, Exported},
    groups::GroupTotals,
    memory::{BankSpan, Memory, REACH, Span},
    packed::Packed,
    paths::Paths,
    resume::BankBefore,
    sparse::Sparse,
    ways::{WayTotals, Ways},
};
use crate::{
    datapath::{HookSweep, Sweep},
    ingest::live::Attributes,
    model::{
        Asn, Class, Counter, Direction, Family, Hook, Link, LinkId, Locality, Outcome, OwnerId, Owners, Role,
        Side,
    },
    table::groups::Groups,
};

pub mod answer;
mod detail;
mod detail_ways;
mod directory;
mod export;
mod groups;
mod memory;
pub(crate) mod packed;
mod paths;
mod period;
pub mod query;
pub(crate) mod resume;
pub mod scrape;
pub(crate) mod series;
pub(crate) mod sparse;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
pub(crate) mod top;
mod top_ways;
pub mod view;
mod ways;
#[cfg(test)]
mod ways_tests;
mod when;

/// Entries, or bytes, that working space keeps from sweep to sweep.
const KEPT: usize = 1 << 17;

/// What bounds the agent's memory and its metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes for the memory of the sweeps of the last hour. Where more would be needed, older spans are merged:
    /// no count is lost, only the choice of where a period begins.
    pub memory_bytes: usize,
    /// ASes with metrics series of their own (`--metrics-ases`).
    pub metrics_ases: usize,
    /// Neighbours with metrics series of their own.
    pub metrics_neighbors: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory_bytes: 32 << 20, metrics_ases: 500, metrics_neighbors: 100 }
    }
}

/// Everything counted since the start, and when in the last hour.
#[derive(Debug)]
pub struct Totals {
    links: Vec<Link>,
    /// When counting began.
    started: SystemTime,
    /// When this agent did: metrics and memory begin there.
    began: SystemTime,
    last: SystemTime,
    took: Duration,
    sweeps: u64,
    /// By link and hook.
    hooks: Vec<HookTotals>,
    /// By link, hook and side.
    banks: Vec<BankTotals>,
    directory: Directory,
    memory: Memory,
    groups: GroupTotals,
    export: Export,
    /// The same for neighbours.
    neighbors: Export,
    paths: Paths,
    ways: Ways,
    scratch: Vec<(u32, Counter)>,
    packing: Vec<u8>,
}

/// What a hook of a link counted.
#[derive(Debug)]
struct HookTotals {
    /// Whether it was in any sweep.
    attached: bool,
    outcomes: [Counter; 5],
    /// Of these, what was there when this agent began.
    before: [Counter; 5],
    closure_ok: bool,
}

/// What a bank counted.
#[derive(Debug, Default)]
struct BankTotals {
    /// Whether it was in any sweep.
    counted: bool,
    owners: Sparse,
    ases: Sparse,
    /// By family.
    families: [Counter; 2],
    before: BankBefore,
    /// Of the remote side alone.
    ways: WayTotals,
}

/// Counters by AS number, of each family.
pub(crate) type ByFamily = [Packed; 2];

/// What a sweep added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SweepDelta {
    /// By link and hook: [`hook_place`].
    pub(crate) hooks: Box<[HookDelta]>,
}

/// What a sweep added at a hook.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HookDelta {
    /// By [`Outcome`].
    pub(crate) outcomes: [Counter; 5],
    /// By owner number: the remote side. Empty where it is not counted.
    pub(crate) remote: Packed,
    /// By neighbour: what of it has one.
    pub(crate) neighbors: ByFamily,
    /// By AS: what of it was carried for others.
    pub(crate) through: ByFamily,
}

impl SweepDelta {
    /// Adds what a later sweep of the same links added.
    pub(crate) fn absorb(&mut self, later: &Self) {
        let scratch = &mut Vec::new();
        for (hook, later) in self.hooks.iter_mut().zip(&later.hooks) {
            for (sum, outcome) in hook.outcomes.iter_mut().zip(later.outcomes) {
                *sum += outcome;
            }
            let mut add = |sum: &mut Packed, later: &Packed| {
                *sum = Packed::new(packed::merge([&*sum, later]), scratch);
            };
            add(&mut hook.remote, &later.remote);
            for (sum, later) in hook.neighbors.iter_mut().zip(&later.neighbors) {
                add(sum, later);
            }
            for (sum, later) in hook.through.iter_mut().zip(&later.through) {
                add(sum, later);
            }
        }
    }
}

/// A period that the memory can tell of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(crate) from: SystemTime,
    pub(crate) to: SystemTime,
    /// `None`: all since the start.
    spans: Option<Range<usize>>,
}

impl Stretch {
    pub(crate) fn seconds(&self) -> f64 {
        self.to.duration_since(self.from).unwrap_or_default().as_secs_f64()
    }
}

/// Place of (link, hook).
pub(crate) fn hook_place(link: usize, hook: Hook) -> usize {
    link * 2 + hook as usize
}

/// Place of (link, hook, side).
fn bank_place(link: usize, hook: Hook, side: Side) -> usize {
    hook_place(link, hook) * 2 + side as usize
}

impl Totals {
    /// Nothing counted yet. `started` is when the agent started, which is when `--last` periods begin at the
    /// earliest.
    #[must_use]
    pub fn new(links: Vec<Link>, started: SystemTime, limits: Limits) -> Self {
        let hook = || HookTotals {
            attached: false,
            outcomes: [Counter::ZERO; 5],
            before: [Counter::ZERO; 5],
            closure_ok: true,
        };
        Self {
            hooks: std::iter::repeat_with(hook).take(links.len() * 2).collect(),
            banks: std::iter::repeat_with(BankTotals::default).take(links.len() * 4).collect(),
            links,
            started,
            began: started,
            last: started,
            took: Duration::ZERO,
            sweeps: 0,
            directory: Directory::new(),
            memory: Memory::new(limits.memory_bytes),
            groups: GroupTotals::default(),
            export: Export::new(limits.metrics_ases),
            neighbors: Export::new(limits.metrics_neighbors),
            paths: Paths::new(&[]),
            ways: Ways::default(),
            scratch: Vec::new(),
            packing: Vec::new(),
        }
    }

    /// These ASes are the ISP's: passed over at the beginning of a path. For paths that are learnt from now on.
    #[must_use]
    pub fn with_own_ases(self, own: &[Asn]) -> Self {
        Self { paths: Paths::new(own), ..self }
    }

    /// Takes the routes that owners have from now on: what is counted later goes by their paths. Each owner comes with
    /// its AS; `None` where no path is known.
    pub fn learn<'a>(&mut self, routes: impl IntoIterator<Item = (OwnerId, Asn, Option<&'a Attributes>)>) {
        for (owner, origin, route) in routes {
            self.paths.set(owner, origin, route);
        }
    }

    /// Whether there is a path to any owner, or ever was one with traffic.
    pub(crate) fn knows_paths(&self) -> bool {
        !self.paths.is_empty() || !self.ways.pairs.is_empty()
    }

    /// How many different ways there are to all owners.
    pub(crate) fn ways(&self) -> usize {
        self.paths.len()
    }

    /// The links, by number.
    #[must_use]
    pub fn links(&self) -> &[Link] {
        &self.links
    }

    /// Takes other groups. What a group has counted stays its own, whatever ASes it has from now on; a new group
    /// begins at zero.
    pub fn set_groups(&mut self, groups: Arc<Groups>) {
        self.groups.set(groups, &self.directory, self.hooks.len());
    }

    pub(crate) fn groups(&self) -> &Groups {
        &self.groups.groups
    }

    pub(crate) fn shared_groups(&self) -> Arc<Groups> {
        Arc::clone(&self.groups.groups)
    }

    /// Takes a sweep in. Must be called before the sweep's released classes are given to other owners, because
    /// `owners` says whose its counts are.
    ///
    /// Should the system's clock be set back, the times kept so far are moved back with it.
    ///
    /// Gives what the sweep added. The numbers of its owners are never given to others, so they can be looked up at any
    /// time.
    pub fn record(&mut self, sweep: &Sweep, owners: &dyn Owners) -> SweepDelta {
        if let Ok(back) = self.last.duration_since(sweep.at) {
            self.shift_back(back);
        }
        let mut span = Span {
            from: self.last,
            to: sweep.at,
            outcomes: vec![[Counter::ZERO; 5]; self.hooks.len()].into(),
            banks: std::iter::repeat_with(BankSpan::default).take(self.banks.len()).collect(),
            merged: false,
        };
        for link in &sweep.links {
            for (hook, counts) in Hook::ALL.into_iter().zip(&link.hooks) {
                if let Some(counts) = counts {
                    self.record_hook(link.link, hook, counts, owners, &mut span);
                }
            }
        }
        let delta = self.delta(&span);
        self.memory.push(span);
        self.last = sweep.at;
        self.took = sweep.took;
        self.sweeps += 1;
        // A rare burst of prefixes must not keep its room for ever.
        self.scratch.shrink_to(KEPT);
        self.packing.shrink_to(KEPT);
        self.promote();
        delta
    }

    fn delta(&mut self, span: &Span) -> SweepDelta {
        let Self { links, ways, directory, packing, .. } = self;
        let hooks = links.iter().enumerate().flat_map(|(link, of)| {
            Hook::ALL.map(|hook| {
                let bank = bank_place(link, hook, of.role.side(hook, Locality::Remote));
                let outcomes = span.outcomes.get(hook_place(link, hook)).copied().unwrap_or_default();
                let Some(bank) = span.banks.get(bank) else {
                    return HookDelta { outcomes, ..HookDelta::default() };
                };
                let [neighbors, through] = ways.by_number(&bank.pairs, &bank.through, directory, packing);
                HookDelta { outcomes, remote: bank.owners.clone(), neighbors, through }
            })
        });
        SweepDelta { hooks: hooks.collect() }
    }

    fn record_hook(
        &mut self,
        link: LinkId,
        hook: Hook,
        counts: &HookSweep,
        owners: &dyn Owners,
        span: &mut Span,
    ) {
        let link = usize::from(link.0);
        let place = hook_place(link, hook);
        let (Some(totals), Some(role)) =
            (self.hooks.get_mut(place), self.links.get(link).map(|link| link.role))
        else {
            return;
        };
        totals.attached = true;
        let mut came = [Counter::ZERO; 5];
        for ((came, total), now) in came.iter_mut().zip(&mut totals.outcomes).zip(counts.outcomes) {
            *came = now - *total;
            *total = now;
        }
        let ip =
            |outcomes: &[Counter; 5]| outcomes[Outcome::Ipv4 as usize] + outcomes[Outcome::Ipv6 as usize];
        // What was counted before may have been of one side only.
        let ip = ip(&totals.outcomes) - ip(&totals.before);
        let came_ip = came[Outcome::Ipv4 as usize] + came[Outcome::Ipv6 as usize];
        if let Some(outcomes) = span.outcomes.get_mut(place) {
            *outcomes = came;
        }

        let mut closure_ok = true;
        let remote = role.side(hook, Locality::Remote);
        for (side, classes) in Side::ALL.into_iter().zip(&counts.sides) {
            let Some(classes) = classes else { continue };
            let bank_place = bank_place(link, hook, side);
            let group_hook = (side == remote).then_some(place);
            if let Some(bank) = span.banks.get_mut(bank_place) {
                self.record_bank(bank_place, group_hook, classes, owners, bank);
            }
            if let Some(bank) = self.banks.get(bank_place) {
                // Classes are read before outcomes, so outcomes are ahead by what came in between, which is no
                // more than what came since the sweep before. Where classes are ahead the difference wraps and is
                // far more.
                let ahead = ip - (bank.classes() - bank.before.classes());
                closure_ok &= ahead.packets <= came_ip.packets && ahead.bytes <= came_ip.bytes;
            }
        }
        if let Some(totals) = self.hooks.get_mut(place) {
            totals.closure_ok = closure_ok;
        }
    }

    fn record_bank(
        &mut self,
        place: usize,
        group_hook: Option<usize>,
        classes: &[(Class, Counter)],
        owners: &dyn Owners,
        span: &mut BankSpan,
    ) {
        let Some(bank) = self.banks.get_mut(place) else { return };
        bank.counted = true;
        self.scratch.clear();
        for &(class, counter) in classes {
            let id = owners.owner_of(class);
            let brief = self.directory.see(id, owners);
            self.scratch.push((id.0, counter));
            bank.owners.add(id.0, counter);
            bank.ases.add(brief.as_index, counter);
            bank.families[family_place(brief.family)] += counter;
            if brief.as_index == NO_AS {
                span.unmatched += counter;
            } else {
                span.matched += counter;
            }
            if let Some(hook) = group_hook {
                self.groups.add(brief.as_index, &self.directory, hook, counter.bytes);
                self.ways.add(id, brief, counter, &mut self.paths, &mut self.directory);
            }
        }
        if group_hook.is_some() {
            let Self { ways, paths, directory, packing, .. } = self;
            (span.pairs, span.through) = ways.finish(&mut bank.ways, paths, directory, packing);
        }
        // Classes come ascending; owners do not once a class was given to another.
        self.scratch.sort_unstable_by_key(|&(owner, _)| owner);
        span.owners = Packed::new(self.scratch.iter().copied(), &mut self.packing);
    }

    fn shift_back(&mut self, by: Duration) {
        self.memory.shift_back(by);
        self.export.shift_back(by);
        for at in [&mut self.started, &mut self.began] {
            *at = at.checked_sub(by).unwrap_or(SystemTime::UNIX_EPOCH);
        }
        self.neighbors.shift_back(by);
        self.last = self.last.checked_sub(by).unwrap_or(SystemTime::UNIX_EPOCH);
    }

    fn promote(&mut self) {
        let mut export = std::mem::replace(&mut self.export, Export::new(0));
        let mut neighbors = std::mem::replace(&mut self.neighbors, Export::new(0));
        let base = |of: fn(&BankTotals) -> &Sparse, as_index| {
            let counter = |link, hook| {
                self.remote_bank(link, hook).map_or(Counter::ZERO, |bank| of(bank).get(as_index))
            };
            (0..self.links.len()).flat_map(|link| Hook::ALL.map(|hook| counter(link, hook))).collect()
        };
        let as_base = |as_index| base(|bank| &bank.ases, as_index);
        let neighbor_base = |as_index| base(|bank| &bank.ways.neighbors, as_index);
        export.promote(self.last, || self.largest(false), as_base);
        neighbors.promote(self.last, || self.largest(true), neighbor_base);
        (self.export, self.neighbors) = (export, neighbors);
    }

    /// The ASes, or the neighbours, with traffic on the ISP's links over the last hour, largest first.
    fn largest(&self, neighbors: bool) -> Vec<AsIndex> {
        let links = self.isp_links();
        let mut sums = vec![Counter::ZERO; self.directory.len()];
        let mut add = |place: AsIndex, counter| {
            if let Some(sum) = sums.get_mut(place as usize) {
                *sum += counter;
            }
        };
        let hour = self.stretch(REACH);
        for direction in Direction::ALL {
            for bank in self.bank_places(&links, direction, Locality::Remote) {
                if neighbors {
                    self.each_pair(&hour, bank, |pair, counter| add(pair.neighbor, counter));
                } else {
                    self.each(&hour, bank, |id, counter| {
                        add(self.directory.get(id).map_or(NO_AS, |brief| brief.as_index), counter);
                    });
                }
            }
        }
        let mut ases: Vec<_> = (1..).zip(sums.iter().skip(1)).filter(|(_, sum)| !sum.is_zero()).collect();
        ases.sort_by_key(|&(as_index, sum)| (std::cmp::Reverse(sum.bytes), self.directory.asn(as_index)));
        ases.into_iter().map(|(as_index, _)| as_index).collect()
    }

    fn remote_bank(&self, link: usize, hook: Hook) -> Option<&BankTotals> {
        let side = self.links.get(link)?.role.side(hook, Locality::Remote);
        self.banks.get(bank_place(link, hook, side)).filter(|bank| bank.counted)
    }

    /// The links of the ISP's totals: upstream ones where there are any, else all.
    pub(crate) fn isp_links(&self) -> Vec<usize> {
        let upstream = self.links_with(Role::Upstream);
        if upstream.is_empty() { self.links_with(Role::Downstream) } else { upstream }
    }

    fn links_with(&self, role: Role) -> Vec<usize> {
        self.links.iter().enumerate().filter(|(_, link)| link.role == role).map(|(i, _)| i).collect()
    }

    /// The places of the links' hooks that see this direction.
    pub(crate) fn hook_places(&self, links: &[usize], direction: Direction) -> Vec<usize> {
        let place = |&link: &usize| Some(hook_place(link, self.links.get(link)?.role.hook(direction)));
        links.iter().filter_map(place).collect()
    }

    /// The places of the links' banks that count this side in this direction.
    pub(crate) fn bank_places(&self, links: &[usize], direction: Direction, side: Locality) -> Vec<usize> {
        let place = |&link: &usize| {
            let role = self.links.get(link)?.role;
            let hook = role.hook(direction);
            Some(bank_place(link, hook, role.side(hook, side)))
        };
        links.iter().filter_map(place).collect()
    }

    /// The period that comes nearest to the last `last`: all since the start if that is not longer, else what the
    /// memory has.
    pub(crate) fn stretch(&self, last: Duration) -> Stretch {
        let wanted = self.last.checked_sub(last).unwrap_or(SystemTime::UNIX_EPOCH);
        if wanted <= self.started {
            return self.since_start();
        }
        let spans = self.memory.since(wanted);
        let from = self.memory.spans(spans.clone()).next().map_or(self.began, |span| span.from);
        Stretch { from, to: self.last, spans: Some(spans) }
    }

    /// The period that comes nearest to what is asked for.
    pub(crate) fn stretch_of(&self, when: When) -> Stretch {
        let (from, to) = match when {
            When::Last(last) => return self.stretch(last),
            When::Between { from, to } => (SystemTime::from(from), to.map(SystemTime::from)),
        };
        let Some(to) = to.filter(|&to| to < self.last) else {
            return self.stretch(self.last.duration_since(from).unwrap_or_default());
        };
        let spans = self.memory.between(from, to);
        let mut within = self.memory.spans(spans.clone());
        let first = within.next();
        let (from, to) =
            first.map_or((self.began, self.began), |first| (first.from, within.last().unwrap_or(first).to));
        Stretch { from, to, spans: Some(spans) }
    }

    /// All since counting began.
    pub(crate) const fn since_start(&self) -> Stretch {
        Stretch { from: self.started, to: self.last, spans: None }
    }

    /// What each owner has in a bank over a period; an owner may come several times.
    pub(crate) fn each(&self, stretch: &Stretch, bank: usize, mut take: impl FnMut(OwnerId, Counter)) {
        match &stretch.spans {
            Some(spans) => {
                for span in self.memory.spans(spans.clone()) {
                    let counters = span.banks.get(bank).map(|bank| bank.owners.iter());
                    counters.into_iter().flatten().for_each(|(owner, counter)| take(OwnerId(owner), counter));
                }
            }
            None => {
                let counters = self.banks.get(bank).map(|bank| bank.owners.iter());
                counters.into_iter().flatten().for_each(|(owner, counter)| take(OwnerId(owner), counter));
            }
        }
    }

    /// What became of a hook's frames over a period.
    pub(crate) fn outcomes(&self, stretch: &Stretch, hook: usize) -> [Counter; 5] {
        let Some(spans) = &stretch.spans else {
            return self.hooks.get(hook).map_or([Counter::ZERO; 5], |hook| hook.outcomes);
        };
        let mut sums = [Counter::ZERO; 5];
        for outcomes in self.memory.spans(spans.clone()).filter_map(|span| span.outcomes.get(hook)) {
            for (sum, outcome) in sums.iter_mut().zip(outcomes) {
                *sum += *outcome;
            }
        }
        sums
    }

    /// (matched, unmatched) of a bank over a period.
    pub(crate) fn matched(&self, stretch: &Stretch, bank: usize) -> (Counter, Counter) {
        match &stretch.spans {
            Some(spans) => {
                let banks = || self.memory.spans(spans.clone()).filter_map(|span| span.banks.get(bank));
                (banks().map(|bank| bank.matched).sum(), banks().map(|bank| bank.unmatched).sum())
            }
            None => self.banks.get(bank).map_or((Counter::ZERO, Counter::ZERO), |bank| {
                let unmatched = bank.ases.get(NO_AS);
                (bank.classes() - unmatched, unmatched)
            }),
        }
    }

    /// Matched bytes by all counted bytes of these banks over the last hour; `None` where there are none.
    pub(crate) fn coverage(&self, banks: &[usize]) -> Option<f64> {
        let hour = self.stretch(REACH);
        let (mut matched, mut all) = (0, 0);
        for &bank in banks {
            let (with, without) = self.matched(&hour, bank);
            matched += with.bytes;
            all += with.bytes + without.bytes;
        }
        (all > 0).then(|| top::ratio(matched as f64 / all as f64))
    }

    /// Whether on every link and hook, for each counted side, the classes add up to the outcomes: those are ahead
    /// by no more than what came since the sweep before, and equal where nothing came.
    #[must_use]
    pub fn closure_ok(&self) -> bool {
        self.hooks.iter().all(|hook| hook.closure_ok)
    }

    /// Bytes that the memory of the last hour takes.
    #[must_use]
    pub const fn memory_bytes(&self) -> usize {
        self.memory.bytes()
    }
}

impl BankTotals {
    /// All classes.
    fn classes(&self) -> Counter {
        self.families.iter().copied().sum()
    }
}

/// Place of a family's counter.
const fn family_place(family: Family) -> usize {
    match family {
        Family::Ipv4 => 0,
        Family::Ipv6 => 1,
    }
}
