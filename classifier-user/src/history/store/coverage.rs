//! Which slots were counted, and for how many seconds.

use rusqlite::{Connection, params};

use super::{
    block::{Varints, put},
    error::StoreError,
    rows::{checksum, signed, unsigned},
};

/// A day that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Day {
    /// Its first slot's number.
    pub(super) start: i64,
    /// The number after that of its last slot.
    pub(super) stop: i64,
    /// The first slot that was recorded.
    pub(super) first: i64,
    /// The number after that of the last slot that was recorded.
    pub(super) end: i64,
    /// Seconds of it that were counted.
    pub(super) seconds: u64,
    /// Whether it was made of slots.
    pub(super) detail: bool,
    /// The zone's name.
    pub(super) zone: String,
    /// The seconds of its slots from the first on, as runs of equal ones: seconds, then how many slots.
    slots: Vec<u8>,
}

impl Day {
    /// Of its slots and their seconds, ascending.
    pub(super) fn of_slots(start: i64, stop: i64, slots: &[(i64, u32)], zone: String) -> Self {
        let mut all = vec![0; usize::try_from(stop - start).unwrap_or(0)];
        for &(slot, seconds) in slots {
            let place = usize::try_from(slot - start).ok();
            if let Some(here) = place.and_then(|place| all.get_mut(place)) {
                *here = seconds;
            }
        }
        let mut bytes = Vec::new();
        for run in all.chunk_by(|a, b| a == b) {
            put(run.first().copied().unwrap_or(0).into(), &mut bytes);
            put(run.len() as u64, &mut bytes);
        }
        let seconds = slots.iter().map(|&(_, seconds)| u64::from(seconds)).sum();
        let first = slots.first().map_or(start, |&(slot, _)| slot);
        let end = slots.last().map_or(stop, |&(slot, _)| slot + 1);
        Self { start, stop, first, end, seconds, detail: true, zone, slots: bytes }
    }

    /// Without slots.
    pub(super) const fn imported(start: i64, stop: i64, seconds: u64, zone: String) -> Self {
        Self { start, stop, first: start, end: stop, seconds, detail: false, zone, slots: Vec::new() }
    }

    fn checksum(&self) -> u32 {
        let numbers = [self.start, self.stop, self.first, self.end, signed(self.seconds), self.detail.into()];
        checksum(&numbers, &[self.zone.as_bytes(), &self.slots].concat())
    }

    pub(super) fn insert(&self, conn: &Connection) -> rusqlite::Result<()> {
        conn.prepare_cached(
            "INSERT INTO day (start, stop, first, end, seconds, detail, zone, slots, crc)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            self.start,
            self.stop,
            self.first,
            self.end,
            signed(self.seconds),
            self.detail,
            self.zone,
            self.slots,
            self.checksum()
        ])?;
        Ok(())
    }

    /// Calls with each run of slots of equal seconds: its beginning and end, and a slot's seconds.
    fn each_run(&self, mut take: impl FnMut(i64, i64, u32)) -> Result<(), StoreError> {
        let mut runs = Varints(&self.slots);
        let mut at = self.start;
        while !runs.0.is_empty() {
            let seconds = runs.take_u32()?;
            let end = at.saturating_add(runs.take_u32()?.into());
            take(at, end, seconds);
            at = end;
        }
        Ok(())
    }
}

/// The days that overlap a stretch of slots, in the order of time.
pub(super) fn days(conn: &Connection, from: i64, to: i64) -> Result<Vec<Day>, StoreError> {
    let mut query = conn.prepare_cached(
        "SELECT start, stop, seconds, detail, zone, slots, crc, first, end FROM day
         WHERE start < ?2 AND stop > ?1 ORDER BY start",
    )?;
    let mut rows = query.query(params![from, to])?;
    let mut days = Vec::new();
    while let Some(row) = rows.next()? {
        let day = Day {
            start: row.get(0)?,
            stop: row.get(1)?,
            first: row.get(7)?,
            end: row.get(8)?,
            seconds: unsigned(row, 2)?,
            detail: row.get(3)?,
            zone: row.get(4)?,
            slots: row.get(5)?,
        };
        if day.checksum() != row.get::<_, u32>(6)? {
            return Err(StoreError::Damaged("a day's entry is not what was written"));
        }
        days.push(day);
    }
    Ok(days)
}

/// The first day that begins at or after a slot.
pub(super) fn first_day(conn: &Connection, from: i64) -> Result<Option<Day>, StoreError> {
    let start: Option<i64> = conn
        .prepare_cached("SELECT min(start) FROM day WHERE start >= ?1")?
        .query_row(params![from], |row| row.get(0))?;
    match start {
        Some(start) => Ok(days(conn, start, start + 1)?.into_iter().find(|day| day.start == start)),
        None => Ok(None),
    }
}

/// Adds a slot.
pub(super) fn insert_slot(conn: &Connection, slot: i64, seconds: u32) -> rusqlite::Result<()> {
    conn.prepare_cached("INSERT INTO coverage (slot, seconds, crc) VALUES (?1, ?2, ?3)")?
        .execute(params![slot, seconds, checksum(&[slot, seconds.into()], &[])])?;
    Ok(())
}

/// The slots of days that are not over, in a stretch of slots.
pub(super) fn slots(conn: &Connection, from: i64, to: i64) -> Result<Vec<(i64, u32)>, StoreError> {
    let mut query = conn.prepare_cached(
        "SELECT slot, seconds, crc FROM coverage WHERE slot >= ?1 AND slot < ?2 ORDER BY slot",
    )?;
    let mut rows = query.query(params![from, to])?;
    let mut slots = Vec::new();
    while let Some(row) = rows.next()? {
        let (slot, seconds): (i64, u32) = (row.get(0)?, row.get(1)?);
        if checksum(&[slot, seconds.into()], &[]) != row.get::<_, u32>(2)? {
            return Err(StoreError::Damaged("a slot's entry is not what was written"));
        }
        slots.push((slot, seconds));
    }
    Ok(slots)
}

/// What was counted of a stretch of slots, and its days.
#[derive(Clone, Debug, Default)]
pub(super) struct Coverage {
    pub(super) days: Vec<Day>,
    slots: Vec<(i64, u32)>,
    /// Nothing is known of what was before.
    since: i64,
}

impl Coverage {
    /// Of the days and slots that overlap this stretch. What was before `since` was dropped, and is a gap.
    pub(super) fn load(conn: &Connection, from: i64, to: i64, since: i64) -> Result<Self, StoreError> {
        Ok(Self { days: days(conn, from, to)?, slots: slots(conn, from, to)?, since })
    }

    /// The day that a slot is in, if that is over.
    pub(super) fn day(&self, slot: i64) -> Option<&Day> {
        let place = self.days.partition_point(|day| day.stop <= slot);
        self.days.get(place).filter(|day| day.start <= slot)
    }

    /// The days that end after `from` and begin before `to`.
    fn days_between(&self, from: i64, to: i64) -> impl Iterator<Item = &Day> {
        let first = self.days.partition_point(|day| day.stop <= from);
        self.days.iter().skip(first).take_while(move |day| day.start < to)
    }

    fn slots_between(&self, from: i64, to: i64) -> &[(i64, u32)] {
        let first = self.slots.partition_point(|&(slot, _)| slot < from);
        let last = self.slots.partition_point(|&(slot, _)| slot < to);
        self.slots.get(first..last).unwrap_or_default()
    }

    /// The seconds counted in a stretch of slots.
    pub(super) fn seconds(&self, from: i64, to: i64) -> Result<u64, StoreError> {
        let from = from.max(self.since);
        let mut sum = 0;
        for day in self.days_between(from, to) {
            if from <= day.start && day.stop <= to {
                sum += day.seconds;
                continue;
            }
            day.each_run(|start, stop, seconds| {
                let slots = stop.min(to).saturating_sub(start.max(from)).max(0);
                sum += u64::from(seconds) * slots.unsigned_abs();
            })?;
        }
        let slots = self.slots_between(from, to).iter();
        Ok(sum + slots.map(|&(_, seconds)| u64::from(seconds)).sum::<u64>())
    }

    /// The seconds of each slot of a stretch.
    pub(super) fn by_slot(&self, from: i64, to: i64) -> Result<Vec<u32>, StoreError> {
        let mut all = vec![0; usize::try_from(to.saturating_sub(from)).unwrap_or(0)];
        let place = |slot: i64| usize::try_from(slot.saturating_sub(from)).unwrap_or(0);
        let from = from.max(self.since);
        for day in self.days_between(from, to) {
            day.each_run(|start, stop, seconds| {
                let range = place(start.max(from))..place(stop.min(to));
                all.get_mut(range).unwrap_or_default().fill(seconds);
            })?;
        }
        for &(slot, seconds) in self.slots_between(from, to) {
            if let Some(here) = all.get_mut(place(slot)) {
                *here = seconds;
            }
        }
        Ok(all)
    }
}
