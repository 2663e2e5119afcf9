//! Months that are over: their bytes and their 95th percentile, worked out once while the five-minute detail is there.

use jiff::{Timestamp, ToSpan as _, tz::TimeZone};

use crate::{
    history::{
        Kind, Links, Month, Period, SLOT_SECONDS, Step, Subject, bits_per_second, percentile_95,
        store::{Reader, SlotSamples, Store, StoreError},
    },
    model::Direction,
};

/// Of which months are kept.
const KINDS: [Kind; 4] = [Kind::As, Kind::Link, Kind::Group, Kind::Neighbor];
/// Under which the end of the last frozen month is noted.
const NOTE: &str = "months.until";
/// Slots of subjects that are worked on in a step: about a tenth of a second.
const STEP: usize = 2_000_000;

/// What is being frozen.
#[derive(Debug, Default)]
pub(super) struct Months {
    /// The end of the last frozen month, once it was looked up.
    until: Option<Timestamp>,
    work: Option<Work>,
}

/// A month that is being frozen.
#[derive(Debug)]
struct Work {
    period: Period,
    /// Place in [`KINDS`].
    kind: usize,
    /// The next subject.
    next: Subject,
    /// The seconds that were counted of each slot of which there is detail, as far as it was looked up for the kind.
    seconds: Option<Counted>,
}

/// What was counted of a month's slots.
#[derive(Debug)]
struct Counted {
    /// The first slot's number.
    first: i64,
    /// Of each slot.
    seconds: Vec<u32>,
    /// How many of them are not 0.
    slots: usize,
    total: u64,
}

impl Months {
    /// Freezes a part of the first month that is over and not frozen; gives whether there is more to do.
    pub(super) fn step(&mut self, store: &mut Store) -> Result<bool, StoreError> {
        let work = match &mut self.work {
            Some(work) => work,
            None => match self.next(store)? {
                Some(period) => self.work.insert(Work { period, kind: 0, next: 0, seconds: None }),
                None => return Ok(false),
            },
        };
        let Some(&kind) = KINDS.get(work.kind) else {
            let until = work.period.to;
            store.set_note(NOTE, &until.to_string())?;
            (self.until, self.work) = (Some(until), None);
            return Ok(true);
        };
        let reader = store.reader();
        let counted = match &work.seconds {
            Some(counted) => counted,
            None => work.seconds.insert(Counted::load(store, &reader, kind, work.period)?),
        };
        let mut months = Vec::new();
        let mut walk = reader.walk(kind, work.period, Links::Isp, work.next)?;
        let mut done = 0;
        let mut last = None;
        while done < STEP {
            let Some((subject, slots)) = walk.next_subject()? else {
                last = None;
                break;
            };
            // Those without a row in a slot have 0 there.
            done += counted.seconds.len();
            last = Some(subject);
            months.extend(counted.month(work.period, store.zone(), slots).map(|month| (subject, month)));
        }
        drop(walk);
        store.write_months(kind, &months)?;
        match last.and_then(|last| last.checked_add(1)) {
            Some(next) => work.next = next,
            None => {
                work.kind += 1;
                work.next = 0;
                work.seconds = None;
            }
        }
        Ok(true)
    }

    /// The first month that is over and not frozen, if there is one.
    fn next(&mut self, store: &Store) -> Result<Option<Period>, StoreError> {
        let Some(last) = store.last_slot() else { return Ok(None) };
        let end = time(last + 1);
        let until = match self.until {
            Some(until) => until,
            None => {
                let noted = store.note(NOTE)?.and_then(|text| text.parse().ok());
                // Before any detail there is nothing to freeze.
                let first = store.sizes()?.into_iter().filter(|size| size.step == Step::Slot);
                let first = first.map(|size| size.period.from).min();
                let Some(first) = noted.or(first) else { return Ok(None) };
                *self.until.insert(first)
            }
        };
        Ok(month_of(until, store.zone()).filter(|month| month.to <= end))
    }
}

impl Counted {
    /// Slots from the first on of which a kind has detail.
    fn load(store: &Store, reader: &Reader, kind: Kind, period: Period) -> Result<Self, StoreError> {
        let sizes = store.sizes()?;
        let size = sizes.iter().find(|size| size.kind == kind && size.step == Step::Slot);
        let first = period.from.as_second().div_euclid(SLOT_SECONDS);
        let mut seconds = reader.seconds(period)?;
        let since = size.map_or(i64::MAX, |size| size.period.from.as_second().div_euclid(SLOT_SECONDS));
        let without = usize::try_from(since.saturating_sub(first)).unwrap_or(0).min(seconds.len());
        seconds.get_mut(..without).unwrap_or_default().fill(0);
        let slots = seconds.iter().filter(|&&seconds| seconds > 0).count();
        let total = seconds.iter().copied().map(u64::from).sum();
        Ok(Self { first, seconds, slots, total })
    }

    /// A subject's month; `None` where nothing of it was counted.
    fn month(&self, period: Period, zone: &TimeZone, slots: &[SlotSamples]) -> Option<Month> {
        let mut bytes = [0_u64; 2];
        let mut rates = Direction::ALL.map(|_| Vec::with_capacity(self.slots));
        for slot in slots {
            let place = usize::try_from(slot.slot - self.first).ok()?;
            let seconds = self.seconds.get(place).copied().filter(|&seconds| seconds > 0);
            let Some(seconds) = seconds else { continue };
            for ((bytes, rates), sample) in bytes.iter_mut().zip(&mut rates).zip(slot.samples) {
                let of_slot = sample.both().bytes;
                *bytes = bytes.saturating_add(of_slot);
                rates.push(bits_per_second(of_slot, seconds.into()));
            }
        }
        let mut p95 = [0; 2];
        for (p95, rates) in p95.iter_mut().zip(&mut rates) {
            rates.resize(self.slots, 0);
            *p95 = percentile_95(rates)?;
        }
        let zone = zone.iana_name().unwrap_or("UTC").to_owned();
        Some(Month { period, zone, covered: self.total, bytes, p95 })
    }
}

/// The month of a zone that a time is in.
fn month_of(time: Timestamp, zone: &TimeZone) -> Option<Period> {
    let from = time.to_zoned(zone.clone()).first_of_month().ok()?.start_of_day().ok()?;
    let to = from.checked_add(1.month()).ok()?.start_of_day().ok()?;
    Some(Period { from: from.timestamp(), to: to.timestamp() })
}

fn time(slot: i64) -> Timestamp {
    Timestamp::from_second(slot.saturating_mul(SLOT_SECONDS)).unwrap_or(Timestamp::MAX)
}
