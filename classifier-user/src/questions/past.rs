//! The history as questions read it: which links, which subjects, and sums of all of them.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use jiff::Timestamp;

use super::{
    About, When,
    answer::Name,
    cache::{Cache, State},
};
use crate::{
    history::{
        Extent, Kind, LinkNo, Links, NO_AS, Part, Period, Point, REST, Read, ReadError, SLOT_SECONDS, Sample,
        Step, StoredLink, Subject, Sums,
    },
    model::{Asn, Counter, Direction, Role},
    table::groups::Group,
    totals::{By, QueryError, answer::Granularity, top::ratio, view::Context},
};

/// A last slot that is no older than this is where periods up to now end.
const FRESH_SECONDS: i64 = 3 * SLOT_SECONDS;

impl From<ReadError> for QueryError {
    fn from(error: ReadError) -> Self {
        Self::Unreadable(error.to_string())
    }
}

/// The history and what is known of now, held still for an answer.
pub(super) struct Past {
    pub(super) history: Arc<dyn Read>,
    pub(super) context: Context,
    pub(super) extent: Extent,
    pub(super) stored: Vec<StoredLink>,
    /// What answers made of all this are kept under.
    pub(super) state: State,
    cache: Arc<Cache>,
}

/// The links that are looked at.
pub(super) struct Chosen {
    pub(super) links: Links,
    /// Those of them that were counted at some time.
    pub(super) stored: Vec<StoredLink>,
}

/// What a question is about, in the history's terms.
pub(super) struct Selected {
    pub(super) name: Name,
    /// What it is ranked among; `None` for all traffic.
    pub(super) by: Option<By>,
    /// Its place in a [`Board`].
    pub(super) key: u32,
    pub(super) kind: Kind,
    pub(super) subjects: Vec<Subject>,
    /// The groups that it is, as they were then.
    pub(super) groups: Vec<Subject>,
}

/// Sums of everything of a sort over a period.
pub(super) struct Board {
    pub(super) period: Period,
    /// Seconds that were counted.
    pub(super) covered: u64,
    /// By AS, place of a group or kind, number of a link, or number of a prefix; both directions.
    pub(super) rows: Vec<(u32, [Sample; 2])>,
    /// Every frame.
    pub(super) total: [Counter; 2],
    pub(super) unmatched: [Counter; 2],
    pub(super) non_ip: [Counter; 2],
    /// What has an origin and no neighbour; only by neighbour and by transit.
    pub(super) no_path: [Counter; 2],
    /// IPv6's part of `total`, and all IP of it.
    pub(super) ip: [Sample; 2],
}

impl Board {
    /// What part of the period was counted.
    pub(super) fn coverage(&self) -> f64 {
        let seconds = self.period.seconds().max(1) as f64;
        ratio((self.covered as f64 / seconds).min(1.0))
    }

    /// One row.
    pub(super) fn row(&self, key: u32) -> [Sample; 2] {
        self.rows.iter().find(|(other, _)| *other == key).map(|(_, samples)| *samples).unwrap_or_default()
    }

    /// From 1, by bytes; `None` without traffic.
    pub(super) fn rank(&self, key: u32, direction: Direction) -> Option<u32> {
        let order = |key: u32, samples: &[Sample; 2]| {
            let Counter { packets, bytes } = of(samples, direction).both();
            (std::cmp::Reverse((bytes, packets)), key)
        };
        let (_, own) = self.rows.iter().find(|(other, _)| *other == key)?;
        if of(own, direction).both().is_zero() {
            return None;
        }
        let own = order(key, own);
        let before = self.rows.iter().filter(|(key, samples)| order(*key, samples) < own).count();
        u32::try_from(before + 1).ok()
    }
}

/// The sample of a direction.
pub(super) fn of(samples: &[Sample; 2], direction: Direction) -> Sample {
    match (samples, direction) {
        ([inward, _], Direction::In) => *inward,
        ([_, outward], Direction::Out) => *outward,
    }
}

/// The counter of a direction.
pub(super) fn counter_of(counters: &[Counter; 2], direction: Direction) -> Counter {
    match (counters, direction) {
        ([inward, _], Direction::In) => *inward,
        ([_, outward], Direction::Out) => *outward,
    }
}

/// `value` for both directions.
pub(super) fn both<T>(mut value: impl FnMut(Direction) -> T) -> [T; 2] {
    Direction::ALL.map(&mut value)
}

fn minus(a: Counter, b: Counter) -> Counter {
    Counter { packets: a.packets.saturating_sub(b.packets), bytes: a.bytes.saturating_sub(b.bytes) }
}

fn max(a: Counter, b: Counter) -> Counter {
    if a.bytes >= b.bytes { a } else { b }
}

/// When the slot of a moment began.
fn slot(at: Timestamp) -> Timestamp {
    let start = at.as_second().div_euclid(SLOT_SECONDS) * SLOT_SECONDS;
    Timestamp::from_second(start).unwrap_or(at)
}

/// Where periods that reach up to now end, of a history that ends at `until`.
pub(super) fn end(now: Timestamp, until: Timestamp) -> Timestamp {
    let lag = now.as_second() - until.as_second();
    if (-SLOT_SECONDS..=FRESH_SECONDS).contains(&lag) { until } else { slot(now) }
}

impl Past {
    pub(super) fn new(
        history: &Arc<dyn Read>,
        context: Context,
        extent: Extent,
        cache: &Arc<Cache>,
    ) -> Result<Self, QueryError> {
        let (names, groups) = (Arc::clone(&context.names), Arc::clone(&context.groups));
        Ok(Self {
            stored: history.links()?,
            history: Arc::clone(history),
            state: State { until: extent.until, names, groups },
            context,
            extent,
            cache: Arc::clone(cache),
        })
    }

    /// The period that is asked for, and the question with it in place of how it was told.
    pub(super) fn whole<Q: Clone>(&self, when: When, query: &Q, set: impl Fn(&mut Q, When)) -> (Period, Q) {
        let period = self.period(when);
        let mut query = query.clone();
        set(&mut query, When::Between { from: period.from, to: Some(period.to) });
        (period, query)
    }

    /// The period that is asked for, in whole slots where it ends now.
    pub(super) fn period(&self, when: When) -> Period {
        let end = end(self.context.now, self.extent.until);
        match when {
            When::Last(last) => {
                Period { from: slot(end.checked_sub(last).unwrap_or(Timestamp::UNIX_EPOCH)), to: end }
            }
            When::Between { from, to } => {
                let to = to.map_or(end, |to| to.min(end.max(from)));
                Period { from, to: to.max(from) }
            }
        }
    }

    /// The zone's name.
    pub(super) fn zone(&self) -> String {
        self.extent.zone.iana_name().unwrap_or("UTC").to_owned()
    }

    /// The links of these names, or those of the ISP's totals.
    pub(super) fn choose(&self, names: &[String]) -> Result<Chosen, QueryError> {
        if names.is_empty() {
            let upstream = self.stored.iter().any(|link| link.role == Role::Upstream);
            let role = if upstream { Role::Upstream } else { Role::Downstream };
            let stored = self.stored.iter().filter(|link| link.role == role).cloned().collect();
            return Ok(Chosen { links: Links::Isp, stored });
        }
        let mut stored: Vec<StoredLink> = Vec::new();
        for name in names {
            // The same name may have been an upstream and a downstream link.
            let mut found = self.stored.iter().filter(|link| link.name == *name).peekable();
            if found.peek().is_none() && !self.context.links.iter().any(|link| link.name == *name) {
                let mut near: Vec<String> = self.context.links.iter().map(|link| link.name.clone()).collect();
                for link in &self.stored {
                    if !near.contains(&link.name) {
                        near.push(link.name.clone());
                    }
                }
                return Err(QueryError::NotFound { what: "link", given: name.clone(), near });
            }
            for link in found {
                if !stored.contains(link) {
                    stored.push(link.clone());
                }
            }
        }
        stored.sort_by_key(|link| link.number);
        Ok(Chosen { links: Links::Only(stored.iter().map(|link| link.number).collect()), stored })
    }

    /// What a question is about.
    pub(super) fn select(&self, about: &About) -> Result<Selected, QueryError> {
        let all = vec![Part::Ip as Subject, Part::Other as Subject];
        let groups = self.context.groups.all();
        Ok(match about {
            About::All => Selected {
                name: Name::default(),
                by: None,
                key: 0,
                kind: Kind::Link,
                subjects: all,
                groups: Vec::new(),
            },
            About::As(asn) => Selected {
                name: self.as_name(*asn),
                by: Some(By::As),
                key: *asn,
                kind: Kind::As,
                subjects: vec![*asn],
                groups: Vec::new(),
            },
            About::Group(text) => {
                let group = super::find_group(&self.context.groups, text)?;
                Selected {
                    name: group_name(group),
                    by: Some(By::Group),
                    key: groups.iter().position(|known| known.key == group.key).unwrap_or_default() as u32,
                    kind: Kind::As,
                    subjects: group.asns.clone(),
                    groups: self.history.group(&group.key)?.into_iter().collect(),
                }
            }
            About::Kind(text) => {
                let kind = super::find_kind(&self.context.groups, text)?;
                let key = self.kinds().iter().position(|known| *known == kind).unwrap_or_default();
                let members = || groups.iter().filter(|group| group.kind == kind);
                let mut numbers = Vec::new();
                for group in members() {
                    numbers.extend(self.history.group(&group.key)?);
                }
                Selected {
                    name: Name { kind: Some(kind.to_owned()), ..Name::default() },
                    by: Some(By::Kind),
                    key: key as u32,
                    kind: Kind::As,
                    subjects: members().flat_map(|group| group.asns.iter().copied()).collect(),
                    groups: numbers,
                }
            }
            About::Neighbor(asn) => Selected {
                name: self.as_name(*asn),
                by: Some(By::Neighbor),
                key: *asn,
                kind: Kind::Neighbor,
                subjects: vec![*asn],
                groups: Vec::new(),
            },
            About::Link(name) => Selected {
                name: Name { link: Some(name.clone()), ..Name::default() },
                by: Some(By::Link),
                key: 0,
                kind: Kind::Link,
                subjects: all,
                groups: Vec::new(),
            },
        })
    }

    pub(super) fn as_name(&self, asn: Asn) -> Name {
        let name = self.context.names.get(asn).map(str::to_owned);
        Name { asn: Some(asn), name, ..Name::default() }
    }

    pub(super) fn kinds(&self) -> Vec<&str> {
        super::kinds(&self.context.groups)
    }

    pub(super) fn sums(&self, kind: Kind, period: Period, links: &Links) -> Result<Arc<Sums>, QueryError> {
        self.cache.sums(&self.state, &(kind, period, links.clone()), || {
            Ok(Arc::new(self.history.sums(kind, period, links)?))
        })
    }

    /// The course of a subject.
    pub(super) fn series(
        &self,
        selected: &Selected,
        period: Period,
        links: &Links,
        step: Step,
    ) -> Result<Vec<Point>, QueryError> {
        let courses = self.series_of_each(selected, period, std::slice::from_ref(links), step)?;
        Ok(courses.into_iter().next().unwrap_or_default())
    }

    pub(super) fn series_of_each(
        &self,
        selected: &Selected,
        period: Period,
        sets: &[Links],
        step: Step,
    ) -> Result<Vec<Vec<Point>>, QueryError> {
        let (kind, subjects) = if self.as_it_was(selected, period, step)? {
            (Kind::Group, &selected.groups)
        } else {
            (selected.kind, &selected.subjects)
        };
        Ok(self.history.series_of_each(kind, subjects, period, sets, step)?)
    }

    /// Whether the course of groups as they were is taken for that of their ASes: where these have no five-minute detail any
    /// more, or are in part folded together; and where it makes no difference, because it is one course in place of many, and
    /// has the peaks of the sum.
    fn as_it_was(&self, selected: &Selected, period: Period, step: Step) -> Result<bool, QueryError> {
        if selected.groups.is_empty() {
            return Ok(false);
        }
        let Extent { since, slots_since, .. } = self.extent;
        if since.is_some() && since != slots_since && slots_since.is_none_or(|since| period.from < since) {
            return Ok(true);
        }
        if step == Step::Day || selected.subjects.len() < 2 {
            return Ok(false);
        }
        let ases = self.sums(Kind::As, period, &Links::Isp)?;
        if ases.rows.last().is_some_and(|row| row.subject == REST) {
            return Ok(true);
        }
        let then = self.sums(Kind::Group, ases.period, &Links::Isp)?;
        let sum = |sums: &Sums, of: &[Subject]| {
            let wanted: HashSet<Subject> = of.iter().copied().collect();
            let mut sum = [Sample::default(); 2];
            for row in sums.rows.iter().filter(|row| wanted.contains(&row.subject)) {
                for (sum, sample) in sum.iter_mut().zip(row.samples) {
                    *sum += sample;
                }
            }
            sum
        };
        Ok(ases.period == then.period && sum(&ases, &selected.subjects) == sum(&then, &selected.groups))
    }

    /// Sums of all of a sort.
    pub(super) fn board(&self, by: Option<By>, period: Period, chosen: &Chosen) -> Result<Board, QueryError> {
        let links = &chosen.links;
        // What is kept most coarsely says of which period the others are asked.
        let (rows, period, matched, unmatched) = match by {
            None | Some(By::Link) => (Vec::new(), period, [Counter::ZERO; 2], [Counter::ZERO; 2]),
            Some(by) => {
                let prefixes =
                    (by == By::Prefix).then(|| self.sums(Kind::Prefix, period, links)).transpose()?;
                let period = prefixes.as_ref().map_or(period, |prefixes| prefixes.period);
                let ases = self.sums(Kind::As, period, links)?;
                let sum = |keep: &dyn Fn(Subject) -> bool, direction| {
                    let rows = ases.rows.iter().filter(|row| keep(row.subject));
                    rows.map(|row| of(&row.samples, direction).both()).sum::<Counter>()
                };
                let matched = both(|direction| sum(&|subject| subject != NO_AS, direction));
                let unmatched = both(|direction| sum(&|subject| subject == NO_AS, direction));
                let rows = match prefixes {
                    Some(prefixes) => {
                        if prefixes.rows.is_empty() && self.context.granularity == Granularity::As {
                            return Err(QueryError::NoPrefixes);
                        }
                        prefixes.rows.iter().map(|row| (row.subject, row.samples)).collect()
                    }
                    None => self.rows(by, &ases, links)?,
                };
                (rows, ases.period, matched, unmatched)
            }
        };
        let parts = self.sums(Kind::Link, period, links)?;
        let part = |part: Part| {
            let row = parts.rows.iter().find(|row| row.subject == part as Subject);
            row.map(|row| row.samples).unwrap_or_default()
        };
        let (ip, other) = (part(Part::Ip), part(Part::Other));
        let non_ip = both(|direction| of(&other, direction).both());
        let total = both(|direction| {
            let classes = counter_of(&matched, direction) + counter_of(&unmatched, direction);
            max(of(&ip, direction).both(), classes) + counter_of(&non_ip, direction)
        });
        let no_path = match by.filter(|by| by.is_of_path()) {
            None => [Counter::ZERO; 2],
            Some(_) => {
                let neighbors = self.sums(Kind::Neighbor, parts.period, links)?;
                let sum =
                    |direction| neighbors.rows.iter().map(move |row| of(&row.samples, direction).both());
                both(|direction| minus(counter_of(&matched, direction), sum(direction).sum()))
            }
        };
        let mut board = Board {
            period: parts.period,
            covered: parts.covered,
            rows,
            total,
            unmatched,
            non_ip,
            no_path,
            ip,
        };
        if by == Some(By::Link) {
            for link in &chosen.stored {
                let sums = self.sums(Kind::Link, board.period, &Links::Only(vec![link.number]))?;
                let mut samples = [Sample::default(); 2];
                for row in &sums.rows {
                    for (sum, sample) in samples.iter_mut().zip(row.samples) {
                        *sum += sample;
                    }
                }
                if samples != [Sample::default(); 2] {
                    board.rows.push((u32::from(link.number.0), samples));
                }
            }
            board.non_ip = [Counter::ZERO; 2];
        }
        Ok(board)
    }

    /// ASes, or what they are put together to.
    fn rows(&self, by: By, ases: &Sums, links: &Links) -> Result<Vec<(u32, [Sample; 2])>, QueryError> {
        let groups = self.context.groups.all();
        let known = || ases.rows.iter().filter(|row| row.subject != NO_AS && row.subject != REST);
        if by == By::Neighbor {
            let neighbors = self.sums(Kind::Neighbor, ases.period, links)?;
            return Ok(neighbors.rows.iter().map(|row| (row.subject, row.samples)).collect());
        }
        if by == By::Transit {
            let carried = self.sums(Kind::Transit, ases.period, links)?;
            let mut sums: HashMap<u32, [Sample; 2]> = HashMap::new();
            for row in known().chain(&carried.rows) {
                for (sum, sample) in sums.entry(row.subject).or_default().iter_mut().zip(row.samples) {
                    *sum += sample;
                }
            }
            return Ok(sums.into_iter().collect());
        }
        if by == By::As {
            return Ok(known().map(|row| (row.subject, row.samples)).collect());
        }
        let kinds = self.kinds();
        let place = |group: usize| match by {
            By::Kind => {
                let kind = groups.get(group).map(|group| group.kind.as_str());
                kinds.iter().position(|known| Some(*known) == kind).unwrap_or_default() as u32
            }
            _ => group as u32,
        };
        let mut sums: HashMap<u32, [Sample; 2]> = HashMap::new();
        let mut add = |key: u32, samples: [Sample; 2]| {
            for (sum, sample) in sums.entry(key).or_default().iter_mut().zip(samples) {
                *sum += sample;
            }
        };
        if ases.rows.last().is_some_and(|row| row.subject == REST) {
            // Some ASes are known together only: groups as they were then have theirs.
            let then = self.sums(Kind::Group, ases.period, links)?;
            for (group, known) in groups.iter().enumerate() {
                let number = self.history.group(&known.key)?;
                let row = number.and_then(|number| then.rows.iter().find(|row| row.subject == number));
                if let Some(row) = row {
                    add(place(group), row.samples);
                }
            }
        } else {
            for row in known() {
                if let Some(group) = self.context.groups.of(row.subject) {
                    add(place(group), row.samples);
                }
            }
        }
        Ok(sums.into_iter().collect())
    }

    /// What a row of a board is called.
    pub(super) fn key_name(&self, by: By, key: u32) -> Name {
        match by {
            By::As | By::Neighbor | By::Transit => self.as_name(key),
            By::Group => self.context.groups.all().get(key as usize).map(group_name).unwrap_or_default(),
            By::Kind => {
                Name { kind: self.kinds().get(key as usize).map(|&kind| kind.to_owned()), ..Name::default() }
            }
            By::Link => Name { link: self.link_name(key), ..Name::default() },
            By::Prefix => Name::default(),
        }
    }

    pub(super) fn link_name(&self, number: u32) -> Option<String> {
        let link = self.stored.iter().find(|link| u32::from(link.number.0) == number);
        link.map(|link| link.name.clone())
    }
}

pub(super) fn group_name(group: &Group) -> Name {
    Name { group: Some(group.key.clone()), name: Some(group.name.clone()), ..Name::default() }
}

/// What is left of `total` when `parts` are taken out.
pub(super) fn left(total: Counter, parts: impl IntoIterator<Item = Counter>) -> Counter {
    parts.into_iter().fold(total, minus)
}

/// The link as the only one looked at.
pub(super) fn only(link: LinkNo) -> Links {
    Links::Only(vec![link])
}
