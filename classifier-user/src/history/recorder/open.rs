//! The open slot: what was counted since it began, by owner; and the rows that become of it when it is over.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
    mem,
    time::{Duration, SystemTime},
};

use super::finished::{Finished, LinkKey, LocalRow};
use crate::{
    history::{Kind, NO_AS, Part, Sample, StoredPrefix},
    model::{Asn, Counter, Direction, Family, Outcome, Owner},
    totals::packed::Unpack,
};

/// What a sweep found on the ways of packets, by AS number: of each family, by neighbour, and by who carried.
pub(super) type Ways<'a> = [[Unpack<'a>; 2]; 2];

/// What has no group.
pub(super) const NO_GROUP: u16 = u16::MAX;
/// Counters that are kept apart by prefix, all links and directions together: 64 MiB. What comes beyond is kept by AS.
const COUNTERS: usize = 1 << 22;
/// Prefixes of a slot that get rows, all ASes together: the largest.
const PREFIXES: usize = 20_000;

/// What counters are kept for: an owner, and the group that its AS was in then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Line {
    pub(super) owner: Owner,
    /// Place among [`Open::groups`], or [`NO_GROUP`].
    pub(super) group: u16,
}

impl Line {
    /// The AS; 0 where there is none.
    fn asn(&self) -> Asn {
        self.owner.asn().unwrap_or(NO_AS)
    }

    /// Its prefix, where that has an origin.
    fn prefix(&self) -> Option<StoredPrefix> {
        match self.owner {
            Owner::Route { prefix, asn } if asn != NO_AS => Some(StoredPrefix { prefix, asn }),
            _ => None,
        }
    }

    /// The same without the prefix.
    fn of_as(self) -> Self {
        let owner = match self.owner {
            Owner::Route { asn, .. } => Owner::As { family: self.owner.family(), asn },
            other => other,
        };
        Self { owner, ..self }
    }
}

/// The place of (link, direction).
const fn place(link: usize, direction: Direction) -> usize {
    link * 2 + direction as usize
}

/// A slot that is not over, or is not known to be.
#[derive(Debug)]
pub(super) struct Open {
    /// Slots since 1970.
    pub(super) number: i64,
    /// How much of it was counted, by a clock that does not jump.
    pub(super) covered: Duration,
    /// When its last sweep was.
    pub(super) last: SystemTime,
    links: Vec<LinkKey>,
    groups: Vec<String>,
    /// By place.
    outcomes: Vec<[Counter; 5]>,
    /// By place and line; what is beyond its end is zero.
    counters: Vec<Vec<Counter>>,
    lines: Vec<Line>,
    /// Lines by what they are: those of ASes, and in a slot that goes on after a restart all of before.
    known: HashMap<Line, u32>,
    detail: bool,
    /// By place, by neighbour and by who carried.
    ways: Vec<[BTreeMap<Asn, Sample>; 2]>,
    /// The places of this life's hooks.
    hooks: Vec<usize>,
    /// This life's owners: 1 + their line.
    of_owner: Vec<u32>,
}

impl Open {
    /// A slot with nothing in it. With `detail` prefixes are told apart.
    pub(super) fn new(number: i64, at: SystemTime, detail: bool) -> Self {
        Self {
            number,
            covered: Duration::ZERO,
            last: at,
            links: Vec::new(),
            groups: Vec::new(),
            outcomes: Vec::new(),
            counters: Vec::new(),
            lines: Vec::new(),
            known: HashMap::new(),
            detail,
            ways: Vec::new(),
            hooks: Vec::new(),
            of_owner: Vec::new(),
        }
    }

    /// Begins a life: after a restart owners have other numbers, after a change of groups they are in others, and hooks may
    /// be others too.
    pub(super) fn begin_life(&mut self, links: &[LinkKey]) {
        // What comes now may be of lines that are there; within one life it cannot.
        if !self.lines.is_empty() {
            self.known = self.lines.iter().copied().zip(0..).collect();
        }
        self.of_owner.clear();
        self.hooks.clear();
        for link in links {
            let number = self.link(link);
            for hook in classifier_common::abi::Hook::ALL {
                self.hooks.push(place(number, link.role.direction(hook)));
            }
        }
    }

    fn link(&mut self, key: &LinkKey) -> usize {
        if let Some(number) = self.links.iter().position(|link| link.same(key)) {
            return number;
        }
        self.links.push(key.clone());
        self.outcomes.resize(self.links.len() * 2, [Counter::ZERO; 5]);
        self.counters.resize(self.links.len() * 2, Vec::new());
        self.ways.resize_with(self.links.len() * 2, Default::default);
        self.links.len() - 1
    }

    /// The place of a group among those of this slot; [`NO_GROUP`] for `None`.
    pub(super) fn group(&mut self, key: Option<&str>) -> u16 {
        let Some(key) = key else { return NO_GROUP };
        let place = self.groups.iter().position(|group| group == key).unwrap_or_else(|| {
            self.groups.push(key.to_owned());
            self.groups.len() - 1
        });
        place.try_into().unwrap_or(NO_GROUP)
    }

    /// The groups that lines are in, by place.
    pub(super) fn groups(&self) -> &[String] {
        &self.groups
    }

    /// Whether this owner has a line in this life.
    pub(super) fn has(&self, owner: u32) -> bool {
        self.of_owner.get(owner as usize).is_some_and(|&code| code != 0)
    }

    /// Says what an owner's number stands for in this life.
    pub(super) fn define(&mut self, owner: u32, line: Line) {
        let room = self.lines.len() < COUNTERS / self.counters.len().max(1);
        let prefix = line.prefix().is_some() && self.detail && room;
        let line = if prefix { line } else { line.of_as() };
        let next = self.lines.len() as u32;
        let number = if prefix {
            self.known.get(&line).copied().unwrap_or(next)
        } else {
            *self.known.entry(line).or_insert(next)
        };
        if number == next {
            self.lines.push(line);
        }
        let owner = owner as usize;
        if self.of_owner.len() <= owner {
            // Grown by halves: owners are seen in no order.
            self.of_owner.resize((owner + 1).max(self.of_owner.len() * 3 / 2), 0);
        }
        if let Some(code) = self.of_owner.get_mut(owner) {
            *code = number + 1;
        }
    }

    /// Adds what a sweep found at a hook. What has no line is passed over: see [`Open::define`].
    pub(super) fn add(&mut self, hook: usize, outcomes: &[Counter; 5], remote: Unpack<'_>) {
        let Some(&place) = self.hooks.get(hook) else { return };
        if let Some(sums) = self.outcomes.get_mut(place) {
            for (sum, outcome) in sums.iter_mut().zip(outcomes) {
                *sum += *outcome;
            }
        }
        let Some(counters) = self.counters.get_mut(place) else { return };
        for (owner, counter) in remote {
            let code = self.of_owner.get(owner as usize).copied().unwrap_or(0);
            let Some(line) = code.checked_sub(1).map(|line| line as usize) else { continue };
            if counters.len() <= line {
                counters.resize(self.lines.len().max(line + 1), Counter::ZERO);
            }
            if let Some(sum) = counters.get_mut(line) {
                *sum += counter;
            }
        }
    }

    /// Adds what a sweep found on the ways of packets at a hook.
    pub(super) fn add_ways(&mut self, hook: usize, ways: Ways<'_>) {
        let Some(sums) = self.hooks.get(hook).and_then(|&place| self.ways.get_mut(place)) else { return };
        for (sums, [ipv4, ipv6]) in sums.iter_mut().zip(ways) {
            for (asn, counter) in ipv4 {
                sums.entry(asn).or_default().ipv4 += counter;
            }
            for (asn, counter) in ipv6 {
                sums.entry(asn).or_default().ipv6 += counter;
            }
        }
    }

    /// Packets and bytes of all frames in it.
    pub(super) fn frames(&self) -> Counter {
        self.outcomes.iter().flatten().copied().sum()
    }

    /// Ends the slot: rows of ASes, links, groups, neighbours, carriers, and of the `top` largest prefixes of each AS. `None` where nothing was
    /// counted and there is no second to speak of.
    pub(super) fn finish(mut self, top: usize) -> Option<Finished> {
        let idle = self.frames().is_zero();
        let seconds = (self.covered + Duration::from_millis(500)).as_secs();
        if idle && seconds == 0 {
            return None;
        }
        // A rate needs some time to be over.
        let covered = u32::try_from(seconds).unwrap_or(u32::MAX).max(1);
        let mut rows = Rows::new(self.counters.len(), self.groups.len());
        let mut order: Vec<u32> = (0..self.lines.len() as u32).collect();
        let key = |&line: &u32| {
            let line = self.lines.get(line as usize);
            line.map(|line| (line.asn(), line.prefix().map(|prefix| prefix.prefix)))
        };
        order.sort_unstable_by_key(key);
        let same_as = |a: &u32, b: &u32| key(a).map(|(asn, _)| asn) == key(b).map(|(asn, _)| asn);
        for of_as in order.chunk_by(same_as) {
            rows.by_as(&self, of_as);
            if top > 0 {
                for of_prefix in of_as.chunk_by(|a, b| key(a) == key(b)) {
                    rows.candidate(&self, of_prefix);
                }
                rows.choose(top);
            }
        }
        rows.by_prefix(&self, &order);
        rows.by_group();
        for (place, ways) in self.ways.iter().enumerate() {
            for (kind, sums) in [Kind::Neighbor, Kind::Transit].into_iter().zip(ways) {
                for (&asn, &sample) in sums {
                    rows.push(kind, asn, place, sample);
                }
            }
        }
        for (place, outcomes) in self.outcomes.iter().enumerate() {
            let of = |outcome: Outcome| outcomes[outcome as usize];
            let ip = Sample { ipv4: of(Outcome::Ipv4), ipv6: of(Outcome::Ipv6) };
            let other = of(Outcome::NonIp) + of(Outcome::Malformed) + of(Outcome::Unsupported);
            rows.push(Kind::Link, Part::Ip as u32, place, ip);
            rows.push(Kind::Link, Part::Other as u32, place, Sample { ipv4: other, ipv6: Counter::ZERO });
        }
        Some(Finished {
            number: self.number,
            covered,
            links: mem::take(&mut self.links),
            groups: mem::take(&mut self.groups),
            prefixes: rows.prefixes,
            rows: rows.rows,
        })
    }

    /// What these lines have at a place.
    fn sum(&self, place: usize, lines: &[u32]) -> Sample {
        let mut sample = Sample::default();
        let Some(counters) = self.counters.get(place) else { return sample };
        for &line in lines {
            if let (Some(counter), Some(line)) = (counters.get(line as usize), self.lines.get(line as usize))
            {
                match line.owner.family() {
                    Family::Ipv4 => sample.ipv4 += *counter,
                    Family::Ipv6 => sample.ipv6 += *counter,
                }
            }
        }
        sample
    }
}

/// Rows in the making.
struct Rows {
    places: usize,
    rows: Vec<LocalRow>,
    prefixes: Vec<StoredPrefix>,
    /// By group and place.
    groups: Vec<Sample>,
    /// Prefixes of the AS at hand.
    candidates: Vec<Candidate>,
    chosen: Vec<Candidate>,
    /// Lines that were candidates so far.
    seen: usize,
}

/// A prefix: how much it has everywhere, and its lines, by their places in the order.
struct Candidate {
    bytes: u64,
    prefix: StoredPrefix,
    first: usize,
    count: usize,
}

impl Rows {
    fn new(places: usize, groups: usize) -> Self {
        Self {
            places,
            rows: Vec::new(),
            prefixes: Vec::new(),
            groups: vec![Sample::default(); groups * places],
            candidates: Vec::new(),
            chosen: Vec::new(),
            seen: 0,
        }
    }

    fn push(&mut self, kind: Kind, subject: u32, place: usize, sample: Sample) {
        if sample != Sample::default() {
            self.rows.push(LocalRow { kind, subject, place: place as u32, sample });
        }
    }

    /// The rows of an AS, all of whose lines these are.
    fn by_as(&mut self, open: &Open, lines: &[u32]) {
        let Some(asn) = lines.first().and_then(|&line| open.lines.get(line as usize)).map(Line::asn) else {
            return;
        };
        for place in 0..self.places {
            self.push(Kind::As, asn, place, open.sum(place, lines));
            for line in lines {
                let group = open.lines.get(*line as usize).map_or(NO_GROUP, |line| line.group);
                if let Some(sum) = self.groups.get_mut(usize::from(group) * self.places + place) {
                    *sum += open.sum(place, &[*line]);
                }
            }
        }
    }

    /// Takes note of a prefix, all of whose lines these are; or of what has none.
    fn candidate(&mut self, open: &Open, lines: &[u32]) {
        let first = self.seen;
        self.seen += lines.len();
        let line = lines.first().and_then(|&line| open.lines.get(line as usize));
        if let Some(prefix) = line.and_then(Line::prefix) {
            let bytes = (0..self.places).map(|place| open.sum(place, lines).both().bytes).sum();
            if bytes > 0 {
                self.candidates.push(Candidate { bytes, prefix, first, count: lines.len() });
            }
        }
    }

    /// Keeps the largest of the candidates.
    fn choose(&mut self, top: usize) {
        largest(&mut self.candidates, top);
        self.chosen.append(&mut self.candidates);
    }

    fn by_prefix(&mut self, open: &Open, order: &[u32]) {
        let mut chosen = mem::take(&mut self.chosen);
        largest(&mut chosen, PREFIXES);
        for Candidate { prefix, first, count, .. } in chosen {
            let lines = order.get(first..first + count).unwrap_or_default();
            let subject = self.prefixes.len() as u32;
            self.prefixes.push(prefix);
            for place in 0..self.places {
                self.push(Kind::Prefix, subject, place, open.sum(place, lines));
            }
        }
    }

    fn by_group(&mut self) {
        for (place, sample) in mem::take(&mut self.groups).into_iter().enumerate() {
            self.push(Kind::Group, (place / self.places.max(1)) as u32, place % self.places.max(1), sample);
        }
    }
}

/// Keeps this many, the largest; of equal ones those of the lower prefixes.
fn largest(candidates: &mut Vec<Candidate>, count: usize) {
    if candidates.len() > count {
        candidates.sort_unstable_by_key(|candidate| (Reverse(candidate.bytes), candidate.prefix.prefix));
        candidates.truncate(count);
    }
}
