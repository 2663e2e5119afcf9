//! Sums of all subjects.

use std::collections::BTreeMap;

use super::{
    Snapshot, begins,
    plan::{Kept, Span},
    scan::Wanted,
};
use crate::history::{
    Kind, Links, Period, Sample, Step, Subject, Sum, Sums,
    store::{block::Entry, error::StoreError},
};

/// Subjects of a page.
const PAGE: usize = 1024;

/// Sums by subject, in pages: rows come in runs of ascending subjects, so the next one is mostly of the same page.
#[derive(Debug, Default)]
struct Table {
    pages: Vec<(u32, Box<[[Sample; 2]; PAGE]>)>,
    places: BTreeMap<u32, usize>,
    last: (u32, usize),
}

impl Table {
    #[inline]
    fn add(&mut self, entry: &Entry) {
        let page = entry.subject / PAGE as u32;
        if self.last.0 != page || self.pages.is_empty() {
            self.turn(page);
        }
        let cell =
            self.pages.get_mut(self.last.1).and_then(|(_, page)| page.get_mut(entry.subject as usize % PAGE));
        if let Some(sample) = cell.and_then(|samples| samples.get_mut(entry.place.direction())) {
            *sample += entry.sample;
        }
    }

    #[cold]
    fn turn(&mut self, page: u32) {
        let pages = &mut self.pages;
        let place = *self.places.entry(page).or_insert_with(|| {
            pages.push((page, Box::new([[Sample::default(); 2]; PAGE])));
            pages.len() - 1
        });
        self.last = (page, place);
    }

    /// Ascending, without those that are zero.
    fn rows(&self) -> Vec<Sum> {
        let pages = self.places.values().filter_map(|&place| self.pages.get(place));
        let rows = pages.flat_map(|(page, samples)| {
            let first = page * PAGE as u32;
            samples.iter().enumerate().map(move |(place, &samples)| {
                let subject: Subject = first + place as u32;
                Sum { subject, samples }
            })
        });
        rows.filter(|sum| sum.samples != [Sample::default(); 2]).collect()
    }
}

impl Snapshot {
    pub(super) fn sums(&mut self, kind: Kind, period: Period, links: &Links) -> Result<Sums, StoreError> {
        let asked = Span::of(period);
        let Some((first, end)) = self.ends()?.filter(|_| asked.from < asked.to) else {
            return Ok(Sums { period: outside(period, asked), covered: 0, rows: Vec::new() });
        };
        let progress = self.progress(kind)?;
        let since = progress[Step::Day as usize].since;
        let coverage = self.coverage(asked.from, asked.to, since)?;
        let kept = Kept { coverage: &coverage, progress };
        let span = kept.outwards(asked);
        // Days at the edges may have been found only now.
        let coverage = self.coverage(span.from, span.to, since)?;
        let kept = Kept { coverage: &coverage, progress };
        let clipped = Span { from: span.from.max(first), to: span.to.min(end) };
        let mut table = Table::default();
        let wanted = Wanted { kind, subjects: None, links, tops: false };
        for piece in kept.pieces(clipped) {
            self.scan(wanted, piece, |entry| table.add(entry))?;
        }
        Ok(Sums {
            period: outside(period, span),
            covered: coverage.seconds(span.from, span.to)?,
            rows: table.rows(),
        })
    }
}

/// A period moved outwards to whole slots; an empty one stays.
fn outside(period: Period, span: Span) -> Period {
    if span.from < span.to { Period { from: begins(span.from), to: begins(span.to) } } else { period }
}
