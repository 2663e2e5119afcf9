//! How `as` and `group` say by which neighbours a network is reached, and what is behind it.

use std::{cmp::Reverse, collections::HashMap};

use super::{
    Stretch,
    answer::{Granularity, Part, WayRow},
    detail::Subject,
    query::DetailQuery,
    sparse::Sparse,
    top::{Reader, Scale, ratio, sum},
};
use crate::model::{Asn, Counter, Direction, Locality};

impl Reader<'_> {
    /// Whether there is something to say of ways.
    fn knows_ways(&self, query: &DetailQuery) -> bool {
        query.side == Locality::Remote
            && self.status.granularity == Granularity::Prefix
            && self.totals.knows_paths()
    }

    fn scale(&self, links: &[usize], direction: Direction, stretch: &Stretch) -> Scale {
        let bytes = sum(&self.outcomes(stretch, links, direction)).bytes;
        Scale { seconds: stretch.seconds(), bytes }
    }

    fn way_row(&self, asn: Option<Asn>, counter: Counter, of: Counter, scale: Scale) -> WayRow {
        let Part { packets, bytes, bits_per_second, share } = scale.part(counter);
        let part = if of.bytes > 0 { ratio(bytes as f64 / of.bytes as f64) } else { 0.0 };
        WayRow { asn, name: asn.and_then(|asn| self.name(asn)), packets, bytes, bits_per_second, share, part }
    }

    /// By which neighbours a subject's traffic went.
    pub(super) fn neighbors_of(
        &self,
        subject: &Subject,
        query: &DetailQuery,
        links: &[usize],
        direction: Direction,
        stretch: &Stretch,
    ) -> Option<Vec<WayRow>> {
        if matches!(subject, Subject::Routes(_)) || !self.knows_ways(query) {
            return None;
        }
        let banks = self.totals.bank_places(links, direction, query.side);
        let mut sums = Sparse::default();
        for &bank in &banks {
            self.totals.each_pair(stretch, bank, |pair, counter| {
                let is = match subject {
                    Subject::As(index, _) => Some(pair.origin) == *index,
                    Subject::Group(place) => {
                        self.groups.of(self.totals.directory.asn(pair.origin)) == Some(*place)
                    }
                    Subject::Routes(_) => false,
                };
                if is {
                    sums.add(pair.neighbor, counter);
                }
            });
        }
        let all = self.amount(subject, stretch, &banks);
        let no_path = all - sums.iter().map(|(_, counter)| counter).sum();
        let sums = sums.iter().map(|(index, counter)| (self.totals.directory.asn(index), counter));
        let scale = self.scale(links, direction, stretch);
        let row = |(asn, counter)| self.way_row(Some(asn), counter, all, scale);
        let mut rows: Vec<WayRow> = largest(sums.collect()).map(row).collect();
        if !no_path.is_zero() {
            rows.push(self.way_row(None, no_path, all, scale));
        }
        Some(rows)
    }

    /// What an AS carried for others.
    pub(super) fn carried_by(
        &self,
        subject: &Subject,
        query: &DetailQuery,
        links: &[usize],
        direction: Direction,
        stretch: &Stretch,
    ) -> Option<Part> {
        let Subject::As(index, _) = subject else { return None };
        if !self.knows_ways(query) {
            return None;
        }
        let mut carried = Counter::ZERO;
        for bank in self.totals.bank_places(links, direction, query.side) {
            self.totals.each_carrier(stretch, bank, |carrier, counter| {
                if Some(carrier) == *index {
                    carried += counter;
                }
            });
        }
        Some(self.scale(links, direction, stretch).part(carried))
    }

    /// The largest origins that an AS carries for, by the paths of now.
    pub(super) fn behind(
        &self,
        subject: &Subject,
        query: &DetailQuery,
        links: &[usize],
        direction: Direction,
        stretch: &Stretch,
    ) -> Option<Vec<WayRow>> {
        let Subject::As(_, asn) = subject else { return None };
        if !self.knows_ways(query) {
            return None;
        }
        let paths = &self.totals.paths;
        let mut sums: HashMap<Asn, Counter> = HashMap::new();
        for bank in self.totals.bank_places(links, direction, query.side) {
            self.totals.each(stretch, bank, |owner, counter| {
                if paths.is_through(paths.of(owner), *asn)
                    && let Some(brief) = self.totals.directory.get(owner)
                {
                    *sums.entry(self.totals.directory.asn(brief.as_index)).or_default() += counter;
                }
            });
        }
        let all: Counter = sums.values().copied().sum();
        let scale = self.scale(links, direction, stretch);
        let rows = largest(sums.into_iter().collect()).take(query.n);
        Some(rows.map(|(origin, counter)| self.way_row(Some(origin), counter, all, scale)).collect())
    }
}

/// Largest first.
fn largest(mut sums: Vec<(Asn, Counter)>) -> impl Iterator<Item = (Asn, Counter)> {
    sums.sort_unstable_by_key(|&(asn, counter)| (Reverse((counter.bytes, counter.packets)), asn));
    sums.into_iter()
}
