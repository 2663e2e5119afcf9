//! The course of the last hour: what was counted span by span, in layers.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, SystemTime},
};

use jiff::Timestamp;

use super::{
    directory::NO_AS,
    query::{By, QueryError},
    scrape::not_ip,
    top::{Reader, sum},
    view::{View, timestamp},
    when::When,
};
use crate::model::{Asn, Counter, Direction, Locality};

/// From this length on steps are whole minutes; below, they are sweeps as far as these are remembered apart.
const BY_MINUTE: Duration = Duration::from_secs(600);

/// What courses are asked for.
pub(crate) struct CourseQuery<'a> {
    pub(crate) by: Option<By>,
    /// Only what these ASes have.
    pub(crate) only: Option<&'a HashSet<Asn>>,
    /// Only what goes by this neighbour.
    pub(crate) neighbor: Option<Asn>,
    pub(crate) links: &'a [String],
    pub(crate) when: When,
    /// How many layers.
    pub(crate) n: usize,
}

/// Bytes a step, by direction.
pub(crate) type Bytes = [Vec<u64>; 2];

/// The courses of the largest, and of the rest.
#[derive(Debug)]
pub(crate) struct Courses {
    pub(crate) steps: Vec<(Timestamp, Timestamp)>,
    /// Largest first: an AS, or the place of a group, kind or link.
    pub(crate) layers: Vec<(u32, Bytes)>,
    pub(crate) total: Bytes,
    pub(crate) unmatched: Bytes,
    pub(crate) non_ip: Bytes,
}

impl View {
    /// The course of traffic as far as the memory of the sweeps goes.
    ///
    /// # Errors
    /// [`QueryError::NotFound`] where there is no such link, [`QueryError::SideNotCounted`].
    pub(crate) fn courses(&self, query: &CourseQuery<'_>) -> Result<Courses, QueryError> {
        self.read(|reader| reader.courses(query))
    }
}

impl Reader<'_> {
    fn courses(&self, query: &CourseQuery<'_>) -> Result<Courses, QueryError> {
        let links = self.choose_links(query.links)?;
        if query.neighbor.is_some() {
            self.check_counted(By::Neighbor, Locality::Remote)?;
        }
        if query.only.is_some() || !matches!(query.by, None | Some(By::Link)) {
            self.check_counted(query.by.unwrap_or_default(), Locality::Remote)?;
        }
        let totals = self.totals;
        let stretch = totals.stretch_of(query.when);
        let spans = match &stretch.spans {
            Some(spans) => spans.clone(),
            None => totals.memory.since(SystemTime::UNIX_EPOCH),
        };
        let length = stretch.to.duration_since(stretch.from).unwrap_or_default();
        let place = |at: SystemTime| {
            let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            if length >= BY_MINUTE { u128::from(since.as_secs() / 60) } else { since.as_nanos() }
        };
        let mut steps: Vec<(SystemTime, SystemTime)> = Vec::new();
        let mut of_span = Vec::new();
        for span in totals.memory.spans(spans.clone()) {
            match steps.last_mut() {
                Some(step) if place(step.0) == place(span.from) => step.1 = span.to,
                _ => steps.push((span.from, span.to)),
            }
            of_span.push(steps.len() - 1);
        }
        let none = || [vec![0_u64; steps.len()], vec![0_u64; steps.len()]];
        let kept = |as_index| query.only.is_none_or(|only| only.contains(&totals.directory.asn(as_index)));

        let largest = self.largest(query, &links, &stretch, &kept);
        let places: HashMap<u32, usize> = largest.iter().enumerate().map(|(i, &key)| (key, i)).collect();
        let mut layers: Vec<Bytes> = largest.iter().map(|_| none()).collect();
        let (mut total, mut unmatched, mut non_ip) = (none(), none(), none());
        let keys = query.by.and_then(|by| self.keys(by));
        for (span, &step) in totals.memory.spans(spans).zip(&of_span) {
            for direction in Direction::ALL {
                let add = |bytes: &mut Bytes, counter: Counter| {
                    let course = bytes.get_mut(direction as usize).and_then(|course| course.get_mut(step));
                    if let Some(sum) = course {
                        *sum += counter.bytes;
                    }
                };
                for &link in &links {
                    let mut of_link = Counter::ZERO;
                    if query.only.is_none() && query.neighbor.is_none() {
                        for hook in totals.hook_places(&[link], direction) {
                            let Some(outcomes) = span.outcomes.get(hook) else { continue };
                            of_link += sum(outcomes);
                            add(&mut non_ip, not_ip(outcomes));
                        }
                    }
                    for bank in totals.bank_places(&[link], direction, Locality::Remote) {
                        let Some(bank) = span.banks.get(bank) else { continue };
                        if let Some(neighbor) = query.neighbor {
                            let is = |number| {
                                let pair = totals.ways.pairs.get(number);
                                pair.is_some_and(|pair| totals.directory.asn(pair.neighbor) == neighbor)
                            };
                            let of_neighbor = bank.pairs.iter().filter(|(number, _)| is(*number));
                            of_link += of_neighbor.map(|(_, counter)| counter).sum();
                            continue;
                        }
                        if query.only.is_none() {
                            add(&mut unmatched, bank.unmatched);
                            if query.by.is_none_or(|by| by == By::Link) {
                                continue;
                            }
                        }
                        if query.by == Some(By::Neighbor) {
                            for (number, counter) in bank.pairs.iter() {
                                let pair = totals.ways.pairs.get(number);
                                let key = pair.map(|pair| totals.directory.asn(pair.neighbor));
                                let place = key.and_then(|key| places.get(&key));
                                if let Some(layer) = place.and_then(|&place| layers.get_mut(place)) {
                                    add(layer, counter);
                                }
                            }
                            continue;
                        }
                        for (owner, counter) in bank.owners.iter() {
                            let brief = totals.directory.get(crate::model::OwnerId(owner));
                            let Some(brief) = brief.filter(|brief| brief.as_index != NO_AS) else { continue };
                            if !kept(brief.as_index) {
                                continue;
                            }
                            if query.only.is_some() {
                                of_link += counter;
                            }
                            let key = match &keys {
                                Some(keys) => keys.get(brief.as_index as usize).copied().flatten(),
                                None => Some(totals.directory.asn(brief.as_index)),
                            };
                            let place = key.filter(|_| query.by != Some(By::Link));
                            let place = place.and_then(|key| places.get(&key));
                            if let Some(layer) = place.and_then(|&place| layers.get_mut(place)) {
                                add(layer, counter);
                            }
                        }
                    }
                    add(&mut total, of_link);
                    if query.by == Some(By::Link)
                        && let Some(layer) =
                            places.get(&(link as u32)).and_then(|&place| layers.get_mut(place))
                    {
                        add(layer, of_link);
                    }
                }
            }
        }
        Ok(Courses {
            steps: steps.into_iter().map(|(from, to)| (timestamp(from), timestamp(to))).collect(),
            layers: largest.into_iter().zip(layers).collect(),
            total,
            unmatched,
            non_ip,
        })
    }

    /// The keys of the largest, by the bytes of both directions.
    fn largest(
        &self,
        query: &CourseQuery<'_>,
        links: &[usize],
        stretch: &super::Stretch,
        kept: &impl Fn(u32) -> bool,
    ) -> Vec<u32> {
        let Some(by) = query.by else { return Vec::new() };
        if by == By::Link {
            // There are few, and their order is the configuration's.
            return links.iter().map(|&link| link as u32).collect();
        }
        let mut sums: HashMap<u32, u64> = HashMap::new();
        for direction in Direction::ALL {
            let banks = self.totals.bank_places(links, direction, Locality::Remote);
            let rows = match by {
                By::Neighbor => self.by_neighbor(stretch, &banks),
                _ => self.tally(stretch, &banks, by, |_, brief| kept(brief.as_index)).rows,
            };
            for (key, counter) in rows {
                *sums.entry(key).or_default() += counter.bytes;
            }
        }
        let mut keys: Vec<(u32, u64)> = sums.into_iter().filter(|(_, bytes)| *bytes > 0).collect();
        keys.sort_unstable_by_key(|&(key, bytes)| (std::cmp::Reverse(bytes), key));
        keys.truncate(query.n);
        keys.into_iter().map(|(key, _)| key).collect()
    }
}
