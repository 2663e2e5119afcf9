//! What becomes of slots: blocks of hours and days, and sums of both.

use jiff::ToSpan as _;
use rusqlite::{OptionalExtension as _, params};

use super::{
    Store,
    block::Scope,
    coverage::{self, Coverage, Day},
    error::StoreError,
    job::Job,
    read::{begins, slot_of, zone_day},
    rows::{BlockRow, HOUR, KINDS, Progress, State, blocks, progress, set_progress, zone_name},
};
use crate::history::{Kind, Step};

/// Chunks that are deleted at once: some megabytes.
const DELETED: u32 = 256;

/// What was found to be done.
#[derive(Debug)]
enum Due {
    Nothing,
    /// It was little, and is done.
    Done,
    /// It has begun.
    Begun(Box<Job>),
}

impl From<Option<Job>> for Due {
    fn from(job: Option<Job>) -> Self {
        job.map_or(Self::Done, |job| Self::Begun(Box::new(job)))
    }
}

impl Store {
    /// Does a part of what is due, which takes about a tenth of a second; gives whether there is more. What is due depends
    /// on the last slot alone: an hour is rolled up once no slot of it can come any more.
    ///
    /// # Errors
    /// What SQLite says, and [`StoreError::Damaged`]. It can be called again: what was begun is begun anew.
    pub fn maintain(&mut self) -> Result<bool, StoreError> {
        let job = self.job.take();
        let transaction = self.conn.unchecked_transaction()?;
        let due = match job {
            Some(job) => Due::Begun(job),
            None if self.tidy()? => Due::Done,
            None => self.due()?,
        };
        let (job, more) = match due {
            Due::Nothing => (None, false),
            Due::Done => (None, true),
            Due::Begun(mut job) => {
                if job.step(&self.conn, &self.catalog)? {
                    job.finish(&self.conn)?;
                    (None, true)
                } else {
                    (Some(job), true)
                }
            }
        };
        transaction.commit()?;
        self.job = job;
        Ok(more)
    }

    /// Deletes chunks that are not used any more. Without a job no block is being written: what looks like it was left
    /// over.
    fn tidy(&self) -> Result<bool, StoreError> {
        let mut left = DELETED;
        while left > 0 {
            let mut query =
                self.conn.prepare_cached("SELECT id FROM block WHERE state IN (0, 2) ORDER BY id LIMIT 1")?;
            let Some(id) = query.query_row([], |row| row.get::<_, i64>(0)).optional()? else { break };
            let deleted = self
                .conn
                .prepare_cached(
                    "DELETE FROM chunk WHERE block = ?1 AND first IN
                     (SELECT first FROM chunk WHERE block = ?1 ORDER BY first LIMIT ?2)",
                )?
                .execute(params![id, left])?;
            let deleted = u32::try_from(deleted).unwrap_or(left);
            if deleted < left {
                self.conn.prepare_cached("DELETE FROM block WHERE id = ?1")?.execute(params![id])?;
            }
            left = left.saturating_sub(deleted.max(1));
        }
        Ok(left < DELETED)
    }

    fn due(&self) -> Result<Due, StoreError> {
        let Some(last) = self.last else { return Ok(Due::Nothing) };
        if let Some((id, keep)) = self.folds.borrow_mut().pop_front() {
            // One that was replaced meanwhile is folded when its successor is.
            let job = BlockRow::live(&self.conn, id)?.map(|block| Job::fold(&self.conn, block, keep));
            return Ok(job.transpose()?.into());
        }
        for kind in KINDS {
            match self.hour(kind, last)? {
                Due::Nothing => {}
                due => return Ok(due),
            }
        }
        if self.close_day(last)? {
            return Ok(Due::Done);
        }
        for kind in KINDS {
            for due in [Self::day, Self::pack_hours, Self::pack_days] {
                match due(self, kind)? {
                    Due::Nothing => {}
                    due => return Ok(due),
                }
            }
        }
        Ok(Due::Nothing)
    }

    /// The first hour with slots that was not summed up.
    fn hour(&self, kind: Kind, last: i64) -> Result<Due, StoreError> {
        let [_, hours, _] = progress(&self.conn, kind)?;
        let first: Option<i64> = self
            .conn
            .prepare_cached(
                "SELECT min(start) FROM block
                 WHERE state = 1 AND kind = ?1 AND step = 0 AND scope = 0 AND start >= ?2",
            )?
            .query_row(params![kind as u8, hours.until], |row| row.get(0))?;
        let Some(first) = first else { return Ok(Due::Nothing) };
        let start = first.div_euclid(HOUR) * HOUR;
        let stop = start + HOUR;
        if last < stop - 1 {
            return Ok(Due::Nothing);
        }
        let sources = blocks(&self.conn, (kind, Step::Slot, Scope::Links), start, stop)?;
        let seconds = Coverage::load(&self.conn, start, stop, 0)?.by_slot(start, stop)?;
        // An hour in which a day begins stays in slots until the day is over.
        let one_day = zone_day(start, self.zone())?.to >= stop;
        let until = Progress { until: stop, ..hours };
        let step = (Step::Hour, span(start, stop)?);
        Ok(Job::roll(&self.conn, sources, step, seconds, one_day, until)?.into())
    }

    /// Records the first day that is over: its edges are fixed from then on, whatever the zone is later.
    fn close_day(&self, last: i64) -> Result<bool, StoreError> {
        let first: Option<i64> =
            self.conn.query_row("SELECT min(slot) FROM coverage", [], |row| row.get(0))?;
        let Some(first) = first else { return Ok(false) };
        let before: Option<i64> = self
            .conn
            .prepare_cached("SELECT stop FROM day WHERE start <= ?1 ORDER BY start DESC LIMIT 1")?
            .query_row(params![first], |row| row.get(0))
            .optional()?;
        let day = zone_day(first, self.zone())?;
        let start = day.from.max(before.unwrap_or(day.from));
        let mut stop = day.to;
        // Where the zone was changed, an hour may have been merged over what is midnight now.
        for kind in KINDS {
            for block in blocks(&self.conn, (kind, Step::Slot, Scope::Links), stop - 1, stop)? {
                stop = stop.max(block.heading.stop.into());
            }
        }
        // The hour that the day ends in is summed up first.
        if last < (stop + HOUR - 1).div_euclid(HOUR) * HOUR - 1 {
            return Ok(false);
        }
        let slots = coverage::slots(&self.conn, start, stop)?;
        Day::of_slots(start, stop, &slots, zone_name(&self.options.zone)).insert(&self.conn)?;
        self.conn.execute("DELETE FROM coverage WHERE slot < ?1", params![stop])?;
        Ok(true)
    }

    /// The first recorded day that was not summed up.
    fn day(&self, kind: Kind) -> Result<Due, StoreError> {
        let [_, _, days] = progress(&self.conn, kind)?;
        let Some(day) = coverage::first_day(&self.conn, days.until)? else { return Ok(Due::Nothing) };
        let (start, stop) = (day.start, day.stop);
        let until = Progress { until: stop, ..days };
        let sources = blocks(&self.conn, (kind, Step::Slot, Scope::Links), start, stop)?;
        if sources.is_empty() {
            set_progress(&self.conn, kind, Step::Day, until)?;
            return Ok(Due::Done);
        }
        let seconds = Coverage::load(&self.conn, start, stop, 0)?.by_slot(start, stop)?;
        let step = (Step::Day, span(start, stop)?);
        Ok(Job::roll(&self.conn, sources, step, seconds, true, until)?.into())
    }

    /// Makes one block of the hours of a day.
    fn pack_hours(&self, kind: Kind) -> Result<Due, StoreError> {
        let [_, hours, _] = progress(&self.conn, kind)?;
        let Some(day) = coverage::first_day(&self.conn, hours.packed)? else { return Ok(Due::Nothing) };
        // Those that begin in it.
        let packed = Progress { packed: day.stop, ..hours };
        self.pack(kind, Step::Hour, &(day.start..day.stop), packed)
    }

    /// Makes one block of the days of a month.
    fn pack_days(&self, kind: Kind) -> Result<Due, StoreError> {
        let [_, _, days] = progress(&self.conn, kind)?;
        let Some(day) = coverage::first_day(&self.conn, days.packed)? else { return Ok(Due::Nothing) };
        let next_month = || -> Result<_, jiff::Error> {
            let start = begins(day.start).to_zoned(self.zone().clone()).first_of_month()?;
            start.checked_add(1.month())?.start_of_day()
        };
        let next = next_month().map_err(|_| StoreError::SlotRange { number: day.start })?;
        let span = day.start..slot_of(next.timestamp()).max(day.stop);
        if days.until < span.end {
            return Ok(Due::Nothing);
        }
        let packed = Progress { packed: span.end, ..days };
        self.pack(kind, Step::Day, &span, packed)
    }

    /// Makes one block of those that begin in `span`, first of the links, then of the ISP's, then says so.
    fn pack(
        &self,
        kind: Kind,
        step: Step,
        span: &std::ops::Range<i64>,
        packed: Progress,
    ) -> Result<Due, StoreError> {
        for scope in [Scope::Links, Scope::Isp] {
            let mut sources = blocks(&self.conn, (kind, step, scope), span.start, span.end)?;
            sources.retain(|block| span.contains(&block.heading.start.into()));
            if sources.len() > 1 {
                return Ok(Job::pack(&self.conn, sources)?.into());
            }
        }
        set_progress(&self.conn, kind, step, packed)?;
        Ok(Due::Done)
    }
}

fn span(start: i64, stop: i64) -> Result<std::ops::Range<u32>, StoreError> {
    let number = |number: i64| u32::try_from(number).map_err(|_| StoreError::SlotRange { number });
    Ok(number(start)?..number(stop)?)
}

impl BlockRow {
    /// The block of this number, if it is in use.
    pub(super) fn live(conn: &rusqlite::Connection, id: i64) -> Result<Option<Self>, StoreError> {
        let found: Option<(u8, u8, u8, i64, i64)> = conn
            .prepare_cached("SELECT kind, step, scope, start, stop FROM block WHERE id = ?1 AND state = ?2")?
            .query_row(params![id, State::Live as u8], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
            })
            .optional()?;
        let Some((kind, step, scope, start, stop)) = found else { return Ok(None) };
        let kind = KINDS.into_iter().find(|known| *known as u8 == kind);
        let step = [Step::Slot, Step::Hour, Step::Day].into_iter().find(|known| *known as u8 == step);
        let scope = [Scope::Links, Scope::Isp].into_iter().find(|known| *known as u8 == scope);
        let (Some(kind), Some(step), Some(scope)) = (kind, step, scope) else {
            return Err(StoreError::Damaged("a block's entry is not what was written"));
        };
        Ok(blocks(conn, (kind, step, scope), start, stop)?.into_iter().find(|block| block.id == id))
    }
}
