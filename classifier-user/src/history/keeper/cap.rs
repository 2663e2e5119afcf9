//! Where the disk is short: the oldest detail goes first, then small ASes of old days become one.

use jiff::{Timestamp, ToSpan as _, tz::TimeZone};

use super::ages::today;
use crate::history::{
    Kind, Links, NO_AS, Period, REST, Read as _, SLOT_SECONDS, Step, Subject,
    store::{Store, StoreError},
};

/// ASes that days keep when they are folded.
const LARGEST: usize = 1000;
/// Given back to the disk in a step.
const SHRINK: u64 = 32 << 20;
/// Under which the end of the last folded month is noted.
const NOTE: &str = "folded.until";

/// What is dropped, one after the other: the oldest day of the first that has more than the last two days.
const VICTIMS: [(&[Kind], Step); 4] = [
    (&[Kind::As, Kind::Prefix, Kind::Transit], Step::Slot),
    (&[Kind::As, Kind::Prefix, Kind::Transit], Step::Hour),
    (&[Kind::Link, Kind::Group, Kind::Neighbor], Step::Slot),
    (&[Kind::Link, Kind::Group, Kind::Neighbor], Step::Hour),
];
/// Of these the fold is tried before the others.
const BEFORE_FOLD: usize = 2;

/// The size on disk.
#[derive(Debug, Default)]
pub(super) struct Cap {
    over: bool,
}

impl Cap {
    /// Whether there was nothing left to drop.
    pub(super) const fn is_over(&self) -> bool {
        self.over
    }

    /// Looks whether the store is too large, and if so lets one thing go; gives whether there is more to do.
    pub(super) fn step(&mut self, store: &mut Store, most: u64) -> Result<bool, StoreError> {
        // A slot more must fit in, too.
        let most = most - most / 50;
        if store.usage()?.file <= most {
            self.over = false;
            return Ok(false);
        }
        // The log has everything twice that is in the file already.
        store.checkpoint()?;
        let usage = store.usage()?;
        if usage.file <= most {
            self.over = false;
            return Ok(false);
        }
        if usage.file - usage.free > most {
            let over = !self.drop_one(store)?;
            if over && !self.over {
                tracing::warn!(
                    "the history takes {} bytes of the disk, more than the {most} it may, and only the last two days are \
                     left: raise max_bytes, or free the disk by hand",
                    usage.file
                );
            }
            self.over = over;
            return Ok(!over);
        }
        // What is free lies anywhere in the file.
        self.over = false;
        let before = usage.free;
        store.shrink(SHRINK)?;
        Ok(store.usage()?.free < before)
    }

    /// Lets the next thing go; gives whether there was one.
    fn drop_one(&mut self, store: &mut Store) -> Result<bool, StoreError> {
        let (first, then) = VICTIMS.split_at(BEFORE_FOLD);
        for &(kinds, step) in first {
            if drop_oldest_day(store, kinds, step)? {
                return Ok(true);
            }
        }
        if fold_oldest_month(store)? || drop_oldest_month(store, &[Kind::Prefix, Kind::Transit])? {
            return Ok(true);
        }
        for &(kinds, step) in then {
            if drop_oldest_day(store, kinds, step)? {
                return Ok(true);
            }
        }
        drop_oldest_month(store, &[Kind::As, Kind::Link, Kind::Group, Kind::Neighbor])
    }
}

/// The day, month, … that a time is in: when it began and when it ends.
fn around(time: Timestamp, zone: &TimeZone, months: bool) -> Option<Period> {
    let day = time.to_zoned(zone.clone()).start_of_day().ok()?;
    let (from, length) = match months {
        false => (day, 1.day()),
        true => (day.first_of_month().ok()?.start_of_day().ok()?, 1.month()),
    };
    let to = from.checked_add(length).ok()?.start_of_day().ok()?;
    Some(Period { from: from.timestamp(), to: to.timestamp() })
}

/// When the first block of a kind's steps begins, of the kinds whose first block is the oldest.
fn oldest(store: &Store, kinds: &[Kind], step: Step) -> Result<Option<Timestamp>, StoreError> {
    let sizes = store.sizes()?;
    let ours = sizes.iter().filter(|size| size.step == step && kinds.contains(&size.kind));
    Ok(ours.map(|size| size.period.from).min())
}

/// Yesterday of the last slot: what it and today have stays.
fn stays(store: &Store) -> Timestamp {
    let last = store.last_slot().unwrap_or(0).saturating_mul(SLOT_SECONDS);
    let last = Timestamp::from_second(last).unwrap_or(Timestamp::UNIX_EPOCH);
    super::ages::days_before(today(last, store.zone()), 1, store.zone())
}

fn drop_oldest_day(store: &mut Store, kinds: &[Kind], step: Step) -> Result<bool, StoreError> {
    drop_oldest(store, kinds, step, false)
}

fn drop_oldest_month(store: &mut Store, kinds: &[Kind]) -> Result<bool, StoreError> {
    drop_oldest(store, kinds, Step::Day, true)
}

fn drop_oldest(store: &mut Store, kinds: &[Kind], step: Step, month: bool) -> Result<bool, StoreError> {
    let Some(oldest) = oldest(store, kinds, step)? else { return Ok(false) };
    let Some(period) = around(oldest, store.zone(), month) else { return Ok(false) };
    if period.to > stays(store) {
        return Ok(false);
    }
    let mut bytes = 0;
    for &kind in kinds {
        bytes += store.drop_before(kind, step, period.to)?;
    }
    Ok(bytes > 0)
}

/// Folds the ASes of the oldest month of days that was not folded.
pub(super) fn fold_oldest_month(store: &mut Store) -> Result<bool, StoreError> {
    let noted = store.note(NOTE)?.and_then(|text| text.parse::<Timestamp>().ok());
    let Some(oldest) = oldest(store, &[Kind::As], Step::Day)? else { return Ok(false) };
    let from = noted.map_or(oldest, |noted| noted.max(oldest));
    let Some(month) = around(from, store.zone(), true).filter(|month| month.to <= stays(store)) else {
        return Ok(false);
    };
    // Rows over all links: a link that is none of the ISP's has its own largest ASes.
    let links = Links::Only(store.links().iter().map(|link| link.number).collect());
    let sums =
        store.reader().sums(Kind::As, month, &links).map_err(|_| StoreError::Damaged("a month's days"))?;
    let mut largest: Vec<(u64, Subject)> = sums
        .rows
        .iter()
        .filter(|sum| sum.subject != NO_AS && sum.subject != REST)
        .map(|sum| (sum.samples.iter().map(|sample| sample.both().bytes).sum(), sum.subject))
        .collect();
    largest.sort_unstable_by(|a, b| b.cmp(a));
    let mut folds = 0;
    if largest.len() > LARGEST {
        let mut keep: Vec<Subject> = largest.into_iter().take(LARGEST).map(|(_, subject)| subject).collect();
        keep.push(NO_AS);
        keep.sort_unstable();
        folds = store.fold(Kind::As, Step::Day, month, &keep)?;
    }
    store.set_note(NOTE, &month.to.to_string())?;
    // A month without small ASes frees nothing; the next one may.
    if folds > 0 { Ok(true) } else { fold_oldest_month(store) }
}
