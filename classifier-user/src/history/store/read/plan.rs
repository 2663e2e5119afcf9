//! From which steps a question is answered.
//!
//! Sums are of whole days where these are over, then of whole hours, then of slots; a series has the steps that are asked
//! for. Where the detail is gone, both go outwards to what is left. Everything here is in slots' numbers.

use jiff::{Timestamp, ToSpan as _, tz::TimeZone};

use super::{begins, end_slot, slot_of};
use crate::history::{
    Period, Step,
    store::{coverage::Coverage, error::StoreError, rows::HOUR, rows::Progress},
};

/// Points of a series that are not exceeded.
const LONGEST: usize = 500_000;

/// A stretch of slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Span {
    pub(in super::super) from: i64,
    /// The number after that of its last slot.
    pub(in super::super) to: i64,
}

impl Span {
    /// The slots that a period touches; none if it is empty.
    pub(super) fn of(period: Period) -> Self {
        let from = slot_of(period.from);
        Self { from, to: if period.from < period.to { end_slot(period.to) } else { from } }
    }
}

/// A stretch that is read in steps of one length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) step: Step,
    pub(super) span: Span,
}

const fn hour_before(slot: i64) -> i64 {
    slot.div_euclid(HOUR) * HOUR
}

const fn hour_after(slot: i64) -> i64 {
    hour_before(slot + HOUR - 1)
}

const fn on_the_hour(slot: i64) -> bool {
    slot.rem_euclid(HOUR) == 0
}

/// What a kind's history has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept<'a> {
    pub(super) coverage: &'a Coverage,
    /// By step.
    pub(super) progress: [Progress; 3],
}

impl Kept<'_> {
    fn at(&self, step: Step) -> Progress {
        let [slots, hours, days] = self.progress;
        match step {
            Step::Slot => slots,
            Step::Hour => hours,
            Step::Day => days,
        }
    }

    /// The period outwards to what is kept.
    pub(super) fn outwards(&self, Span { from, to }: Span) -> Span {
        let slots = self.at(Step::Slot).since;
        let hours = self.at(Step::Hour).since;
        // Days that do not begin on the full hour cannot be put together with hours.
        let whole_day = |slot: i64| {
            let day = self.coverage.day(slot)?;
            (slot < hours || !on_the_hour(day.start) || !on_the_hour(day.stop)).then_some(day)
        };
        let from = match from < slots {
            true => whole_day(from).map_or(hour_before(from), |day| day.start),
            false => from,
        };
        let to = match to <= slots {
            true => whole_day(to - 1).map_or(hour_after(to), |day| day.stop),
            false => to,
        };
        Span { from, to }
    }

    /// Whole days where there are any, for the rest hours and slots.
    pub(super) fn pieces(&self, Span { from, to }: Span) -> Vec<Piece> {
        let days = self.at(Step::Day);
        let whole = self.coverage.days.iter().filter(|day| {
            from <= day.start && day.stop <= to && day.stop <= days.until && day.start >= days.since
        });
        let mut pieces = Vec::new();
        let mut at = from;
        for day in whole {
            self.below_days(Span { from: at, to: day.start }, &mut pieces);
            push(&mut pieces, Step::Day, Span { from: day.start, to: day.stop });
            at = day.stop;
        }
        self.below_days(Span { from: at, to }, &mut pieces);
        pieces
    }

    /// Whole hours where there are any, slots for the rest.
    fn below_days(&self, Span { from, to }: Span, pieces: &mut Vec<Piece>) {
        let hours = self.at(Step::Hour);
        let first = hour_after(from.max(hours.since));
        let last = hour_before(to.min(hours.until));
        if first < last {
            push(pieces, Step::Slot, Span { from, to: first });
            push(pieces, Step::Hour, Span { from: first, to: last });
            push(pieces, Step::Slot, Span { from: last, to });
        } else {
            push(pieces, Step::Slot, Span { from, to });
        }
    }

    /// The steps that a period touches, as long as asked for or longer where the detail is gone.
    pub(super) fn steps(&self, span: Span, step: Step, zone: &TimeZone) -> Result<Vec<Piece>, StoreError> {
        let mut steps = Vec::new();
        let mut at = span.from;
        while at < span.to {
            if steps.len() >= LONGEST {
                return Err(StoreError::TooLong);
            }
            let mut length = step;
            if length == Step::Slot && at < self.at(Step::Slot).since {
                length = Step::Hour;
            }
            let hours_end = !on_the_hour(at) && !steps.is_empty() && step != Step::Day;
            if length == Step::Hour && (at < self.at(Step::Hour).since || hours_end) {
                length = Step::Day;
            }
            let span = match length {
                Step::Slot => Span { from: at, to: at + 1 },
                Step::Hour => Span { from: hour_before(at), to: hour_before(at) + HOUR },
                Step::Day => self.day(at, zone)?,
            };
            steps.push(Piece { step: length, span });
            at = span.to;
        }
        Ok(steps)
    }

    /// What a step is read from.
    pub(super) fn pieces_of_step(&self, Piece { step, span }: Piece) -> Vec<Piece> {
        let mut pieces = Vec::new();
        match step {
            Step::Slot => push(&mut pieces, step, span),
            Step::Hour => self.below_days(span, &mut pieces),
            Step::Day => pieces = self.pieces(span),
        }
        pieces
    }

    /// The day that a slot is in: as it was recorded, else as the zone has it, less what belongs to recorded ones.
    fn day(&self, slot: i64, zone: &TimeZone) -> Result<Span, StoreError> {
        if let Some(day) = self.coverage.day(slot) {
            return Ok(Span { from: day.start, to: day.stop });
        }
        let day = zone_day(slot, zone)?;
        let days = &self.coverage.days;
        let next = days.partition_point(|day| day.stop <= slot);
        let before = next.checked_sub(1).and_then(|place| days.get(place)).map_or(day.from, |day| day.stop);
        let after = days.get(next).map_or(day.to, |day| day.start);
        Ok(Span { from: day.from.max(before), to: day.to.min(after) })
    }
}

fn push(pieces: &mut Vec<Piece>, step: Step, span: Span) {
    if span.from >= span.to {
        return;
    }
    match pieces.last_mut() {
        Some(last) if last.step == step && last.span.to == span.from => last.span.to = span.to,
        _ => pieces.push(Piece { step, span }),
    }
}

/// The day of a zone that a slot is in.
pub(in super::super) fn zone_day(slot: i64, zone: &TimeZone) -> Result<Span, StoreError> {
    let days = || -> Result<(Timestamp, Timestamp), jiff::Error> {
        let start = begins(slot).to_zoned(zone.clone()).start_of_day()?;
        let stop = start.checked_add(1.day())?.start_of_day()?;
        Ok((start.timestamp(), stop.timestamp()))
    };
    let (start, stop) = days().map_err(|_| StoreError::SlotRange { number: slot })?;
    // No zone in use has offsets of other than whole quarters of an hour; whatever the offset, the day has the slot.
    Ok(Span { from: slot_of(start).min(slot), to: end_slot(stop).max(slot + 1) })
}
