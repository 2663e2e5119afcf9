//! What is done about the store's size: what it takes, what is dropped, what is folded. When is for others to say.

use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, TransactionBehavior, params};

use super::{
    Store,
    block::{Entry, Heading, Place, Scope, Top},
    coverage::Day,
    error::StoreError,
    read::{begins, end_slot, month_checksum, slot_of},
    rows::{KINDS, Progress, State, blocks, meta, progress, set_meta, set_progress, signed, zone_name},
};
use crate::{
    history::{Kind, LinkNo, Month, Peak, Period, Sample, Step, Subject},
    model::Direction,
};

/// Bytes on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Of the database's file, with pages that are free, and of its log.
    pub file: u64,
    /// Of them, pages of the file that are free: they are used again before the file grows.
    pub free: u64,
}

/// What a kind's steps take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// The kind.
    pub kind: Kind,
    /// How finely time is told apart.
    pub step: Step,
    /// When the first of its blocks begins, and when the last ends.
    pub period: Period,
    /// Rows: a (step, subject, link, direction) each, or in steps longer than a slot also a (step, subject, direction).
    pub rows: u64,
    /// Bytes of its blocks; the file has some more for pages that are not full.
    pub bytes: u64,
}

/// A row of an imported day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DayRow {
    /// What the subject is.
    pub kind: Kind,
    /// Whose.
    pub subject: Subject,
    /// Where.
    pub link: LinkNo,
    /// Which way.
    pub direction: Direction,
    /// How much.
    pub sample: Sample,
    /// Its highest five minutes, if they are known.
    pub peak: Option<Peak>,
}

impl DayRow {
    /// What rows are sorted by.
    #[must_use]
    pub const fn key(&self) -> (Kind, Subject, LinkNo, Direction) {
        (self.kind, self.subject, self.link, self.direction)
    }
}

impl Store {
    /// Bytes on disk.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn usage(&self) -> Result<Usage, StoreError> {
        let number = |pragma: &str| self.conn.query_row(pragma, [], |row| row.get::<_, u32>(0));
        let page = u64::from(number("PRAGMA page_size")?);
        let pages = u64::from(number("PRAGMA page_count")?);
        let free = u64::from(number("PRAGMA freelist_count")?);
        let log = self.dir.join(format!("{}-wal", super::open::DATABASE));
        let log = std::fs::metadata(log).map_or(0, |log| log.len());
        Ok(Usage { file: pages * page + log, free: free * page })
    }

    /// What is kept, by kind and step.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn sizes(&self) -> Result<Vec<Size>, StoreError> {
        let mut sizes = Vec::new();
        for kind in KINDS {
            for step in [Step::Slot, Step::Hour, Step::Day] {
                let mut query = self.conn.prepare_cached(
                    "SELECT min(start), max(stop), coalesce(sum(rows), 0), coalesce(sum(bytes), 0) FROM block
                     WHERE state = 1 AND kind = ?1 AND step = ?2",
                )?;
                let found: (Option<i64>, Option<i64>, i64, i64) = query
                    .query_row(params![kind as u8, step as u8], |row| {
                        Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
                    })?;
                if let (Some(start), Some(stop), rows, bytes) = found {
                    let period = Period { from: begins(start), to: begins(stop) };
                    let (rows, bytes) = (rows.cast_unsigned(), bytes.cast_unsigned());
                    sizes.push(Size { kind, step, period, rows, bytes });
                }
            }
        }
        Ok(sizes)
    }

    /// Drops what a kind's steps have before a time; gives how many bytes. Slots and hours go by days that were summed up,
    /// days by months. The disk has the space again after [`Store::maintain`].
    ///
    /// # Errors
    /// What SQLite says.
    pub fn drop_before(&mut self, kind: Kind, step: Step, before: Timestamp) -> Result<u64, StoreError> {
        self.job = None;
        let transaction = self.conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let all = progress(&transaction, kind)?;
        let [_, hours, days] = all;
        // Only what is in its longest blocks: its edges are days' edges.
        let ready = match step {
            Step::Slot => days.until,
            Step::Hour => hours.packed.min(days.until),
            Step::Day => days.packed,
        };
        let before = slot_of(before).min(ready);
        let edge: Option<i64> = transaction
            .prepare_cached("SELECT stop FROM day WHERE stop <= ?1 ORDER BY start DESC LIMIT 1")?
            .query_row(params![before], |row| row.get(0))
            .optional()?;
        let Some(edge) = edge else { return Ok(0) };
        let mut bytes = 0;
        let mut since = all.get(step as usize).copied().unwrap_or_default();
        for scope in [Scope::Links, Scope::Isp] {
            for block in blocks(&transaction, (kind, step, scope), 0, edge)? {
                // Hours belong to the day that they begin in.
                let ours = match step {
                    Step::Hour => i64::from(block.heading.start) < edge,
                    Step::Slot | Step::Day => i64::from(block.heading.stop) <= edge,
                };
                if ours {
                    block.update(&transaction, State::Dead)?;
                    bytes += block.bytes;
                    since.since = since.since.max(block.heading.stop.into());
                }
            }
        }
        set_progress(&transaction, kind, step, since)?;
        transaction.commit()?;
        Ok(bytes)
    }

    /// Folds what lies within a period: only these subjects are kept (ascending); of ASes what the others had becomes
    /// [`crate::history::REST`]'s, without peaks in steps longer than a slot. [`Store::maintain`] does it; until a block
    /// is done it is as it was. Gives how many blocks there are to do.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn fold(
        &mut self,
        kind: Kind,
        step: Step,
        period: Period,
        keep: &[Subject],
    ) -> Result<usize, StoreError> {
        let (from, to) = (slot_of(period.from), end_slot(period.to));
        let mut count = 0;
        for scope in [Scope::Links, Scope::Isp] {
            for block in blocks(&self.conn, (kind, step, scope), from, to)? {
                if from <= block.heading.start.into() && i64::from(block.heading.stop) <= to {
                    self.folds.borrow_mut().push_back((block.id, keep.to_vec()));
                    count += 1;
                }
            }
        }
        Ok(count)
    }

    /// The blocks of a kind's steps that lie within a period, of the links' rows: their periods and bytes. After
    /// maintenance slots and hours are in blocks of a day, days in blocks of a month.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn stored(&self, kind: Kind, step: Step, period: Period) -> Result<Vec<(Period, u64)>, StoreError> {
        let (from, to) = (slot_of(period.from), end_slot(period.to));
        let blocks = blocks(&self.conn, (kind, step, Scope::Links), from, to)?;
        let within = blocks
            .into_iter()
            .filter(|block| from <= block.heading.start.into() && i64::from(block.heading.stop) <= to);
        let period =
            |heading: Heading| Period { from: begins(heading.start.into()), to: begins(heading.stop.into()) };
        Ok(within.map(|block| (period(block.heading), block.bytes)).collect())
    }

    /// Gives free pages at the end of the file back to the disk, up to so many bytes; gives whether there are more.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn shrink(&mut self, bytes: u64) -> Result<bool, StoreError> {
        let page: u32 = self.conn.query_row("PRAGMA page_size", [], |row| row.get(0))?;
        let pages = bytes.div_ceil(page.max(1).into());
        let mut query = self.conn.prepare(&format!("PRAGMA incremental_vacuum({pages})"))?;
        let mut rows = query.query([])?;
        while rows.next()?.is_some() {}
        drop(rows);
        drop(query);
        Ok(self.usage()?.free > 0)
    }

    /// Keeps frozen months; those that are there already are replaced.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn write_months(&mut self, kind: Kind, months: &[(Subject, Month)]) -> Result<(), StoreError> {
        let transaction = self.conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut query = transaction.prepare_cached(
            "INSERT OR REPLACE INTO month
             (kind, subject, start, stop, zone, seconds, bytes_in, bytes_out, p95_in, p95_out, crc)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?;
        for (subject, month) in months {
            let [bytes_in, bytes_out] = month.bytes.map(signed);
            let [p95_in, p95_out] = month.p95.map(signed);
            query.execute(params![
                kind as u8,
                subject,
                slot_of(month.period.from),
                end_slot(month.period.to),
                month.zone,
                signed(month.covered),
                bytes_in,
                bytes_out,
                p95_in,
                p95_out,
                month_checksum(kind, *subject, month)
            ])?;
        }
        drop(query);
        transaction.commit()?;
        Ok(())
    }

    /// What was noted under a key.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn note(&self, key: &str) -> Result<Option<String>, StoreError> {
        meta(&self.conn, &format!("note.{key}"))
    }

    /// Notes something for later, as how far the keeping has come.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn set_note(&mut self, key: &str, value: &str) -> Result<(), StoreError> {
        set_meta(&self.conn, &format!("note.{key}"), value)
    }

    /// Adds a day of which there is no finer detail, before everything that was recorded and after all that was added in
    /// this way. `seconds` of it were counted; rows ascend by [`DayRow::key`], none is zero. The peak over the ISP's
    /// links is the sum of the links' own, at the time of the largest: not less than it was.
    ///
    /// # Errors
    /// [`StoreError::DayTaken`], [`StoreError::Rows`], [`StoreError::SlotRange`], and what SQLite says.
    pub fn import_day(&mut self, period: Period, seconds: u64, rows: &[DayRow]) -> Result<(), StoreError> {
        self.job = None;
        let (from, to) = (slot_of(period.from), end_slot(period.to));
        let number = |number: i64| {
            u32::try_from(number)
                .ok()
                .filter(|_| super::SLOTS.contains(&number))
                .ok_or(StoreError::SlotRange { number })
        };
        let (start, stop) = (number(from)?, number(to)?);
        if start >= stop {
            return Err(StoreError::Rows("the day is empty"));
        }
        self.validate(rows.iter().map(|row| (row.key(), row.sample)))?;
        let transaction = self.conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let taken: bool = transaction.query_row(
            "SELECT EXISTS (SELECT 1 FROM day WHERE stop > ?1 AND (start < ?2 OR NOT detail))
                 OR EXISTS (SELECT 1 FROM day WHERE start < ?2 AND detail)
                 OR EXISTS (SELECT 1 FROM coverage WHERE slot < ?2)",
            params![from, to],
            |row| row.get(0),
        )?;
        if taken {
            return Err(StoreError::DayTaken);
        }
        Day::imported(from, to, seconds, zone_name(&self.options.zone)).insert(&transaction)?;
        for kind in KINDS {
            let [slots, hours, days] = progress(&transaction, kind)?;
            let after = |progress: Progress| Progress {
                since: progress.since.max(to),
                until: progress.until.max(to),
                packed: progress.packed.max(to),
            };
            set_progress(&transaction, kind, Step::Slot, after(slots))?;
            set_progress(&transaction, kind, Step::Hour, after(hours))?;
            set_progress(&transaction, kind, Step::Day, Progress { until: days.until.max(to), ..days })?;
        }
        for rows in rows.chunk_by(|a, b| a.kind == b.kind) {
            let Some(&DayRow { kind, .. }) = rows.first() else { continue };
            let heading = |scope| Heading { kind, step: Step::Day, scope, start, stop };
            let mut links = super::Writer::new(&transaction, heading(Scope::Links))?;
            let mut isp = super::Writer::new(&transaction, heading(Scope::Isp))?;
            for of_subject in rows.chunk_by(|a, b| a.subject == b.subject) {
                let mut sums = [None; 2];
                for row in of_subject {
                    let entry = row.entry(start);
                    links.push(&transaction, entry)?;
                    let direction = entry.place.direction();
                    let place = Place::isp(direction);
                    if let Some(sum) = sums.get_mut(direction).filter(|_| self.catalog.is_isp_now(row.link)) {
                        let empty = Entry { place, sample: Sample::default(), top: Top::default(), ..entry };
                        let (sum, rate) = sum.get_or_insert((empty, 0_u64));
                        sum.sample += entry.sample;
                        sum.top.take(entry.top);
                        *rate = rate.saturating_add(entry.top.rate);
                    }
                }
                for (sum, rate) in sums.into_iter().flatten() {
                    isp.push(&transaction, Entry { top: Top { rate, ..sum.top }, ..sum })?;
                }
            }
            links.finish(&transaction, State::Live)?;
            isp.finish(&transaction, State::Live)?;
        }
        transaction.commit()?;
        self.last = Some(self.last.unwrap_or(0).max(to - 1));
        Ok(())
    }
}

impl DayRow {
    fn entry(&self, at: u32) -> Entry {
        let place = Place::new(self.link, self.direction);
        let top = self.peak.map_or_else(Top::default, |peak| {
            let slot = u32::try_from(slot_of(peak.at)).unwrap_or(at).max(at);
            Top { rate: peak.bits_per_second, at: slot }
        });
        Entry { subject: self.subject, place, at, sample: self.sample, top }
    }
}
