//! Sums of all subjects.

use hashbrown::HashMap;

use super::{
    Snapshot, begins,
    plan::{Kept, Span},
};
use crate::history::{
    Kind, Links, Period, Sample, Step, Subject, Sum, Sums,
    store::{
        block::{Place, Visit},
        error::StoreError,
    },
};

/// Sums by subject.
#[derive(Debug, Default)]
struct Table {
    places: HashMap<Subject, usize>,
    sums: Vec<Sum>,
    /// The last one's place: a subject's rows mostly come together.
    last: usize,
    /// Which direction rows are of.
    direction: usize,
}

impl Table {
    #[cold]
    fn find(&mut self, subject: Subject) {
        let sums = &mut self.sums;
        self.last = *self.places.entry(subject).or_insert_with(|| {
            sums.push(Sum { subject, samples: Default::default() });
            sums.len() - 1
        });
    }

    /// Ascending, without those that are zero.
    fn rows(mut self) -> Vec<Sum> {
        self.sums.retain(|sum| sum.samples != [Sample::default(); 2]);
        self.sums.sort_unstable_by_key(|sum| sum.subject);
        self.sums
    }
}

impl Visit for Table {
    const TIMES: bool = false;

    fn wants(&mut self, subject: Subject, place: Place) -> bool {
        if self.sums.get(self.last).is_none_or(|sum| sum.subject != subject) {
            self.find(subject);
        }
        self.direction = place.direction();
        true
    }

    #[inline]
    fn row(&mut self, _: u32, sample: Sample) {
        let sum = self.sums.get_mut(self.last);
        if let Some(sum) = sum.and_then(|sum| sum.samples.get_mut(self.direction)) {
            *sum += sample;
        }
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
        for piece in kept.pieces(clipped) {
            self.visit(kind, links, piece, &mut table)?;
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
