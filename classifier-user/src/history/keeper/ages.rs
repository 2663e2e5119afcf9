//! What is too old: days of the zone, counted back from today.

use jiff::{Timestamp, ToSpan as _, tz::TimeZone};

use crate::history::{
    Keep, Kind, Step,
    store::{Store, StoreError},
};

/// When the day of a time began.
pub(super) fn today(now: Timestamp, zone: &TimeZone) -> Timestamp {
    let start = now.to_zoned(zone.clone()).start_of_day();
    start.map_or(now, |start| start.timestamp())
}

/// When the day so many days before one began.
pub(super) fn days_before(day: Timestamp, days: u32, zone: &TimeZone) -> Timestamp {
    let start = || day.to_zoned(zone.clone()).checked_sub(i64::from(days).days())?.start_of_day();
    // Before all that can be told: nothing is too old.
    start().map_or(Timestamp::MIN, |start| start.timestamp())
}

/// How many days of a kind's steps are kept.
const fn days(keep: &Keep, kind: Kind, step: Step) -> Option<u32> {
    match (kind, step) {
        (Kind::As | Kind::Prefix | Kind::Transit, Step::Slot) => Some(keep.slot_days),
        (Kind::Link | Kind::Group | Kind::Neighbor, Step::Slot) | (_, Step::Hour) => Some(keep.hour_days),
        (_, Step::Day) => keep.day_days,
    }
}

/// Drops what is older than it is kept: today, and so many whole days before it, stay.
pub(super) fn drop_old(store: &mut Store, keep: &Keep, today: Timestamp) -> Result<(), StoreError> {
    for kind in [Kind::As, Kind::Link, Kind::Group, Kind::Prefix, Kind::Neighbor, Kind::Transit] {
        for step in [Step::Slot, Step::Hour, Step::Day] {
            if let Some(days) = days(keep, kind, step) {
                let before = days_before(today, days, store.zone());
                if before > Timestamp::UNIX_EPOCH {
                    store.drop_before(kind, step, before)?;
                }
            }
        }
    }
    Ok(())
}
