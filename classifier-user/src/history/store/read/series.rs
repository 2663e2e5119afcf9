//! The course of subjects.

use super::{
    Snapshot, begins,
    plan::{Kept, Piece, Span},
    scan::scope,
};
use crate::history::{
    Kind, Links, Peak, Period, Point, Sample, Step, Subject, bits_per_second,
    store::{
        block::{Entry, Scope, Top},
        coverage::Coverage,
        error::StoreError,
        rows::HOUR,
    },
};

/// What was read of the shortest stretch that is told apart: a slot, or a longer step's row.
#[derive(Clone, Copy, Debug, Default)]
struct Unit {
    samples: [Sample; 2],
    /// By direction: of a longer step, the sum of the rows' highest rates.
    rates: [u64; 2],
    /// By direction: the highest of these.
    highest: [Top; 2],
}

/// A piece of a step, and its units.
#[derive(Clone, Debug)]
struct Part {
    piece: Piece,
    /// Which step it is of.
    point: usize,
    units: Vec<Unit>,
}

impl Part {
    fn new(piece: Piece, point: usize) -> Self {
        let slots = usize::try_from(piece.span.to - piece.span.from).unwrap_or(0);
        let units = match piece.step {
            Step::Slot => slots,
            Step::Hour => slots.div_ceil(HOUR as usize),
            Step::Day => 1,
        };
        Self { piece, point, units: vec![Unit::default(); units] }
    }

    fn add(&mut self, entry: &Entry) {
        let later = usize::try_from(i64::from(entry.at) - self.piece.span.from).unwrap_or(0);
        let place = match self.piece.step {
            Step::Slot => later,
            Step::Hour => later / HOUR as usize,
            Step::Day => 0,
        };
        let Some(unit) = self.units.get_mut(place) else { return };
        let direction = entry.place.direction();
        if let Some(sample) = unit.samples.get_mut(direction) {
            *sample += entry.sample;
        }
        if let (Some(rate), Some(highest)) = (unit.rates.get_mut(direction), unit.highest.get_mut(direction))
        {
            *rate = rate.saturating_add(entry.top.rate);
            highest.take(entry.top);
        }
    }

    /// Into its step.
    fn finish(&self, coverage: &Coverage, point: &mut Point) -> Result<(), StoreError> {
        let Span { from, to } = self.piece.span;
        let seconds = match self.piece.step {
            Step::Slot => coverage.by_slot(from, to)?,
            _ => Vec::new(),
        };
        for (place, unit) in self.units.iter().enumerate() {
            for (direction, peak) in point.peaks.iter_mut().enumerate() {
                let Some(sample) = unit.samples.get(direction) else { continue };
                if let Some(sum) = point.samples.get_mut(direction) {
                    *sum += *sample;
                }
                let (rate, at) = match seconds.get(place) {
                    Some(&seconds) => {
                        (bits_per_second(sample.both().bytes, seconds.into()), from + place as i64)
                    }
                    None => {
                        let highest = unit.highest.get(direction).copied().unwrap_or_default();
                        (unit.rates.get(direction).copied().unwrap_or(0), highest.at.into())
                    }
                };
                if rate > 0 && peak.is_none_or(|peak| rate > peak.bits_per_second) {
                    *peak = Some(Peak { bits_per_second: rate, at: begins(at) });
                }
            }
        }
        Ok(())
    }
}

impl Snapshot {
    /// A course for each of `sets`; what several of them have in common is read once.
    pub(super) fn series(
        &mut self,
        kind: Kind,
        subjects: &[Subject],
        period: Period,
        sets: &[Links],
        step: Step,
    ) -> Result<Vec<Vec<Point>>, StoreError> {
        let asked = Span::of(period);
        let progress = self.progress(kind)?;
        let since = progress[Step::Day as usize].since;
        // A day and an hour around it: steps may begin before and end after.
        const AROUND: i64 = 26 * HOUR;
        let coverage =
            self.coverage(asked.from.saturating_sub(AROUND), asked.to.saturating_add(AROUND), since)?;
        let kept = Kept { coverage: &coverage, progress };
        let steps = kept.steps(asked, step, self.zone())?;
        let mut points = Vec::with_capacity(steps.len());
        let mut parts: [Vec<Part>; 3] = Default::default();
        for (place, step) in steps.iter().enumerate() {
            let Span { from, to } = step.span;
            points.push(Point {
                period: Period { from: begins(from), to: begins(to) },
                covered: coverage.seconds(from, to)?.try_into().unwrap_or(u32::MAX),
                samples: Default::default(),
                peaks: [None; 2],
            });
            for piece in kept.pieces_of_step(*step) {
                if let Some(parts) = parts.get_mut(piece.step as usize) {
                    parts.push(Part::new(piece, place));
                }
            }
        }
        let mut subjects = subjects.to_vec();
        subjects.sort_unstable();
        subjects.dedup();
        let mut courses = vec![points; sets.len()];
        for (step, parts) in [Step::Slot, Step::Hour, Step::Day].into_iter().zip(parts) {
            let pieces = together(&parts);
            let mut of_sets = vec![parts; sets.len()];
            for wanted in [Scope::Isp, Scope::Links] {
                let sets: Vec<(usize, &Links)> =
                    sets.iter().enumerate().filter(|(_, links)| scope(links, step) == wanted).collect();
                if sets.is_empty() {
                    continue;
                }
                for piece in &pieces {
                    self.scan_subjects((kind, &subjects), (wanted, &sets), *piece, |set, entry| {
                        let Some(parts) = of_sets.get_mut(set) else { return };
                        let at = i64::from(entry.at);
                        let place = parts.partition_point(|part| part.piece.span.to <= at);
                        if let Some(part) = parts.get_mut(place) {
                            part.add(entry);
                        }
                    })?;
                }
            }
            for (points, parts) in courses.iter_mut().zip(&of_sets) {
                for part in parts {
                    if let Some(point) = points.get_mut(part.point) {
                        part.finish(&coverage, point)?;
                    }
                }
            }
        }
        Ok(courses)
    }
}

/// The stretches that the parts make: what is read at once.
fn together(parts: &[Part]) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    for Part { piece, .. } in parts {
        match pieces.last_mut() {
            Some(last) if last.span.to == piece.span.from => last.span.to = piece.span.to,
            _ => pieces.push(*piece),
        }
    }
    pieces
}
