//! How the course of traffic is made: the largest in layers, and the rest, step by step.

use std::{cmp::Reverse, collections::HashSet};

use jiff::Timestamp;

use super::{
    About, Questions, SeriesQuery,
    answer::{Course, Layer, Name, SeriesAnswer, StepAnswer},
    past::{Chosen, Past, Selected, group_name, of, only},
};
use crate::{
    history::{Kind, Links, NO_AS, Part, Period, Point, SLOT_SECONDS, Step, bits_per_second},
    model::{Asn, Direction},
    totals::{
        By, QueryError,
        answer::Directions,
        series::{Bytes, CourseQuery},
    },
};

/// About how many steps are chosen.
const STEPS: i64 = 400;

/// Steps one after the other, with how many seconds of each were counted.
struct Grid {
    steps: Vec<StepAnswer>,
}

impl Grid {
    /// The steps of `points`, put together until there are no more than `most`, at multiples of their common length.
    fn of(points: &[Point], most: usize) -> Self {
        let group = points.len().div_ceil(most.max(1)).max(1) as i64;
        let length = points.first().map_or(SLOT_SECONDS, |point| point.period.seconds()).max(1);
        let place = |at: Timestamp, i: usize| match length {
            // Days are not all of one length.
            82_800.. => i as i64 / group,
            _ => at.as_second().div_euclid(length * group),
        };
        let mut steps: Vec<(i64, StepAnswer)> = Vec::new();
        for (i, point) in points.iter().enumerate() {
            let Period { from, to } = point.period;
            let place = place(from, i);
            match steps.last_mut() {
                Some((last, step)) if *last == place => step.to = to,
                _ => steps.push((place, StepAnswer { from, to, covered_seconds: 0 })),
            }
        }
        Self { steps: steps.into_iter().map(|(_, step)| step).collect() }
    }

    fn place(&self, at: Timestamp) -> Option<usize> {
        self.steps.partition_point(|step| step.from <= at).checked_sub(1)
    }

    /// Bytes of finer points, by step.
    fn bytes(&self, points: &[Point]) -> Bytes {
        let mut bytes = [vec![0; self.steps.len()], vec![0; self.steps.len()]];
        for point in points {
            let Some(place) = self.place(point.period.from) else { continue };
            for (course, direction) in bytes.iter_mut().zip(Direction::ALL) {
                if let Some(sum) = course.get_mut(place) {
                    *sum += of(&point.samples, direction).both().bytes;
                }
            }
        }
        bytes
    }

    fn cover(&mut self, points: &[Point]) {
        for point in points {
            let place = self.place(point.period.from);
            if let Some(step) = place.and_then(|place| self.steps.get_mut(place)) {
                step.covered_seconds = step.covered_seconds.saturating_add(point.covered);
            }
        }
    }

    fn course(&self, bytes: &[u64]) -> Course {
        let rate = |(step, &bytes): (&StepAnswer, &u64)| {
            let seconds = u64::from(step.covered_seconds);
            (seconds > 0).then(|| bits_per_second(bytes, seconds))
        };
        Course {
            bytes: bytes.iter().sum(),
            bits_per_second: self.steps.iter().zip(bytes).map(rate).collect(),
        }
    }

    fn courses(&self, only: Option<Direction>, [inward, outward]: &Bytes) -> Directions<Course> {
        let wanted = |direction| only.is_none_or(|only| only == direction);
        Directions {
            inward: wanted(Direction::In).then(|| self.course(inward)),
            outward: wanted(Direction::Out).then(|| self.course(outward)),
        }
    }
}

/// What is left of `total` in each step when `part` is taken out.
fn take(total: &mut Bytes, part: &Bytes) {
    for (total, part) in total.iter_mut().flatten().zip(part.iter().flatten()) {
        *total = total.saturating_sub(*part);
    }
}

fn all(bytes: &Bytes) -> u64 {
    bytes.iter().flatten().sum()
}

/// The layers and what is beyond them, as an answer has them.
fn layers(
    grid: &Grid,
    direction: Option<Direction>,
    named: Vec<(Name, Bytes)>,
    rests: [(&str, Bytes); 3],
) -> Vec<Layer> {
    let rests = rests.into_iter().filter(|(_, bytes)| all(bytes) > 0);
    let rests = rests.map(|(rest, bytes)| (Name { rest: Some(rest.to_owned()), ..Name::default() }, bytes));
    let layer =
        |(subject, bytes): (Name, Bytes)| Layer { subject, directions: grid.courses(direction, &bytes) };
    named.into_iter().chain(rests).map(layer).collect()
}

/// The step for a period, and how many steps there are at most.
fn step_for(period: Period) -> (Step, usize) {
    match period.seconds() {
        // Up to three days: five or ten minutes.
        ..=259_200 => (Step::Slot, STEPS as usize + 32),
        // Up to a month: hours.
        259_201..=2_764_800 => (Step::Hour, 800),
        // Up to a hundred days: a few hours.
        2_764_801..=8_640_000 => (Step::Hour, STEPS as usize),
        _ => (Step::Day, STEPS as usize),
    }
}

impl Past {
    pub(super) fn course(&self, query: &SeriesQuery) -> Result<SeriesAnswer, QueryError> {
        let selected = self.select(&query.about)?;
        let chosen = match &query.about {
            About::Link(name) => self.choose(std::slice::from_ref(name))?,
            _ => self.choose(&query.links)?,
        };
        let period = self.period(query.when);
        let (step, most) = match query.step {
            Some(step) => (step, super::query::MAX_STEPS),
            None => step_for(period),
        };
        let most = query.max_steps.map_or(most, |wanted| wanted.min(most));
        let total = self.series(&selected, period, &chosen.links, step)?;
        let mut named = Vec::new();
        if let Some(by) = query.by {
            for (name, layer, links) in self.layers(by, &selected, query, period, &chosen)? {
                named.push((name, self.series(&layer, period, &links, step)?));
            }
        }
        // Where one sort's detail is gone and another's is not, the coarser steps are those of all.
        let coarsest =
            named.iter().map(|(_, points)| points).chain([&total]).min_by_key(|points| points.len());
        let mut grid = Grid::of(coarsest.unwrap_or(&total), most);
        grid.cover(&total);
        let named: Vec<(Name, Bytes)> =
            named.into_iter().map(|(name, points)| (name, grid.bytes(&points))).collect();
        let total = grid.bytes(&total);
        let (mut unmatched, mut non_ip) = (grid.bytes(&[]), grid.bytes(&[]));
        let mut other = if query.by.is_some() { total.clone() } else { grid.bytes(&[]) };
        if selected.kind == Kind::Link && matches!(query.by, Some(by) if by != By::Link) {
            let of = |kind, subject| self.history.series(kind, &[subject], period, &chosen.links, step);
            unmatched = grid.bytes(&of(Kind::As, NO_AS)?);
            non_ip = grid.bytes(&of(Kind::Link, Part::Other as u32)?);
        }
        for part in named.iter().map(|(_, bytes)| bytes).chain([&unmatched, &non_ip]) {
            take(&mut other, part);
        }
        let rests = [("other", other), ("unmatched", unmatched), ("non_ip", non_ip)];
        Ok(SeriesAnswer {
            router: self.context.router.clone(),
            from: grid.steps.first().map_or(period.from, |step| step.from),
            to: grid.steps.last().map_or(period.to, |step| step.to),
            zone: self.zone(),
            since: self.extent.since,
            by: query.by,
            subject: selected.name,
            layers: layers(&grid, query.direction, named, rests),
            total: grid.courses(query.direction, &total),
            steps: grid.steps,
        })
    }

    /// What the layers are of, and on which links.
    fn layers(
        &self,
        by: By,
        selected: &Selected,
        query: &SeriesQuery,
        period: Period,
        chosen: &Chosen,
    ) -> Result<Vec<(Name, Selected, Links)>, QueryError> {
        if by == By::Link {
            let link = |link: &crate::history::StoredLink| {
                let name = Name { link: Some(link.name.clone()), ..Name::default() };
                (name, selected.again(), only(link.number))
            };
            return Ok(chosen.stored.iter().map(link).collect());
        }
        let members: Option<HashSet<Asn>> =
            (selected.kind == Kind::As).then(|| selected.subjects.iter().copied().collect());
        check_layers(by, &query.about)?;
        let board = self.board(Some(by), period, chosen)?;
        let groups = self.context.groups.all();
        let within = |key: u32| match (&members, by, &query.about) {
            (None, ..) => true,
            (Some(members), By::As, _) => members.contains(&key),
            (_, _, About::Kind(kind)) => {
                groups.get(key as usize).is_some_and(|group| group.kind.eq_ignore_ascii_case(kind))
            }
            _ => false,
        };
        let bytes = |samples: &[crate::history::Sample; 2]| {
            let wanted = Direction::ALL.into_iter().filter(|d| query.direction.is_none_or(|only| only == *d));
            wanted.map(|direction| of(samples, direction).both().bytes).sum::<u64>()
        };
        let rows = board.rows.iter().filter(|(key, _)| within(*key));
        let mut keys: Vec<(u32, u64)> = rows.map(|(key, samples)| (*key, bytes(samples))).collect();
        keys.retain(|(_, bytes)| *bytes > 0);
        keys.sort_unstable_by_key(|&(key, bytes)| (Reverse(bytes), key));
        keys.truncate(query.n);
        let mut layers = Vec::new();
        for (key, _) in keys {
            let name = self.key_name(by, key);
            let about = match (by, &name) {
                (By::As, _) => Some(About::As(key)),
                (By::Neighbor, _) => Some(About::Neighbor(key)),
                (By::Group, Name { group: Some(group), .. }) => Some(About::Group(group.clone())),
                (By::Kind, Name { kind: Some(kind), .. }) => Some(About::Kind(kind.clone())),
                _ => None,
            };
            if let Some(about) = about {
                layers.push((name, self.select(&about)?, chosen.links.clone()));
            }
        }
        Ok(layers)
    }
}

/// Whether a subject can be divided so.
fn check_layers(by: By, about: &About) -> Result<(), QueryError> {
    let expected = match (by, about) {
        (By::As | By::Group | By::Kind | By::Neighbor, About::All | About::Link(_))
        | (By::As, About::Group(_) | About::Kind(_))
        | (By::Group, About::Kind(_))
        | (By::Link, _) => return Ok(()),
        (_, About::As(_) | About::Neighbor(_)) => "link (an AS has no other parts here)",
        (_, About::Group(_)) => "as or link for a group",
        (_, About::Kind(_)) => "as, group or link for a kind",
        // By transit layers would overlap.
        (_, About::All | About::Link(_)) => "as, group, kind, link or neighbor",
    };
    Err(QueryError::BadParameter { name: "by", value: by.name().to_owned(), expected: expected.to_owned() })
}

impl Selected {
    fn again(&self) -> Self {
        Self {
            name: self.name.clone(),
            by: self.by,
            key: self.key,
            kind: self.kind,
            subjects: self.subjects.clone(),
            groups: self.groups.clone(),
        }
    }
}

impl Questions {
    pub(super) fn course_of_memory(&self, query: &SeriesQuery) -> Result<SeriesAnswer, QueryError> {
        let context = self.view().context();
        let mut links = query.links.clone();
        let groups = context.groups.all();
        let (subject, only): (Name, Option<HashSet<Asn>>) = match &query.about {
            About::All => (Name::default(), None),
            About::Neighbor(asn) => {
                let name = context.names.get(*asn).map(str::to_owned);
                (Name { asn: Some(*asn), name, ..Name::default() }, None)
            }
            About::As(asn) => {
                let name = context.names.get(*asn).map(str::to_owned);
                (Name { asn: Some(*asn), name, ..Name::default() }, Some(HashSet::from([*asn])))
            }
            About::Group(text) => {
                let group = super::find_group(&context.groups, text)?;
                (group_name(group), Some(group.asns.iter().copied().collect()))
            }
            About::Kind(kind) => {
                let kind = super::find_kind(&context.groups, kind)?;
                let members = groups.iter().filter(|group| group.kind == kind);
                let asns = members.flat_map(|group| group.asns.iter().copied()).collect();
                (Name { kind: Some(kind.to_owned()), ..Name::default() }, Some(asns))
            }
            About::Link(name) => {
                links = vec![name.clone()];
                (Name { link: Some(name.clone()), ..Name::default() }, None)
            }
        };
        let neighbor = match &query.about {
            About::Neighbor(asn) => Some(*asn),
            _ => None,
        };
        if let Some(by) = query.by {
            check_layers(by, &query.about)?;
        }
        let courses = self.view().courses(&CourseQuery {
            by: query.by,
            only: only.as_ref(),
            neighbor,
            links: &links,
            when: query.when,
            n: query.n,
        })?;
        let step = |&(from, to): &(Timestamp, Timestamp)| {
            let seconds = to.duration_since(from).as_secs().clamp(1, i64::from(u32::MAX));
            StepAnswer { from, to, covered_seconds: seconds as u32 }
        };
        let grid = Grid { steps: courses.steps.iter().map(step).collect() };
        let kinds = super::kinds(&context.groups);
        let name = |key: u32| match query.by {
            Some(By::Group) => groups.get(key as usize).map(group_name).unwrap_or_default(),
            Some(By::Kind) => {
                Name { kind: kinds.get(key as usize).map(|&kind| kind.to_owned()), ..Name::default() }
            }
            Some(By::Link) => {
                let link = context.links.get(key as usize).map(|link| link.name.clone());
                Name { link, ..Name::default() }
            }
            _ => {
                let name = context.names.get(key).map(str::to_owned);
                Name { asn: Some(key), name, ..Name::default() }
            }
        };
        let none = || courses.total.clone().map(|course| vec![0; course.len()]);
        let parts = only.is_none() && neighbor.is_none() && !matches!(query.by, None | Some(By::Link));
        let (unmatched, non_ip) = if parts { (courses.unmatched, courses.non_ip) } else { (none(), none()) };
        let mut other = if query.by.is_some() { courses.total.clone() } else { none() };
        for part in courses.layers.iter().map(|(_, bytes)| bytes).chain([&unmatched, &non_ip]) {
            take(&mut other, part);
        }
        let named = courses.layers.into_iter().filter(|(_, bytes)| all(bytes) > 0);
        let named = named.map(|(key, bytes)| (name(key), bytes)).collect();
        let rests = [("other", other), ("unmatched", unmatched), ("non_ip", non_ip)];
        let extent = self.history().and_then(|history| history.extent().ok());
        Ok(SeriesAnswer {
            router: context.router.clone(),
            from: grid.steps.first().map_or(context.last, |step| step.from),
            to: grid.steps.last().map_or(context.last, |step| step.to),
            zone: self.zone_name(),
            since: extent.and_then(|extent| extent.since),
            by: query.by,
            subject,
            layers: layers(&grid, query.direction, named, rests),
            total: grid.courses(query.direction, &courses.total),
            steps: grid.steps,
        })
    }
}
