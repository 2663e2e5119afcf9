//! The past out of the store.
//!
//! Reading order: here ([`Reader`]), [`plan`] (which steps a question is answered from), [`scan`] (rows out of blocks),
//! [`sums`], [`series`].

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use jiff::{Timestamp, tz::TimeZone};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    block::Decoder,
    coverage::Coverage,
    error::StoreError,
    open,
    rows::{Catalog, Progress, checksum, meta, progress, signed, unsigned},
    schema::SCHEMA,
};
use crate::history::{
    Extent, Kind, Links, Month, Period, Point, Read, ReadError, SLOT_SECONDS, Step, StoredLink, StoredPrefix,
    Subject, Sums,
};

mod plan;
pub(super) mod scan;
mod series;
pub(in crate::history) mod stream;
mod sums;
pub(super) mod walk;

pub(super) use plan::zone_day;

/// Connections that are kept for the next question.
const KEPT: usize = 4;

/// Reads a store, while it is written. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Reader {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    zone: TimeZone,
    idle: Mutex<Vec<Connection>>,
}

impl Reader {
    pub(super) fn new(path: PathBuf, zone: TimeZone) -> Self {
        Self { shared: Arc::new(Shared { path, zone, idle: Mutex::default() }) }
    }

    /// Reads the store in a directory without an agent: nothing is written but SQLite's own files beside it.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Newer`], and what SQLite says.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let path = open::readable(dir, &SCHEMA)?;
        let conn = open::read_only(&path)?;
        let name = meta(&conn, "zone")?.unwrap_or_default();
        let zone = TimeZone::get(&name).unwrap_or(TimeZone::UTC);
        Ok(Self::new(path, zone))
    }

    /// The store as it is now; what is written meanwhile is not seen.
    pub(super) fn snapshot(&self) -> Result<Snapshot, StoreError> {
        let idle = self.shared.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let conn = match idle {
            Some(conn) => conn,
            None => open::read_only(&self.shared.path)?,
        };
        conn.execute_batch("BEGIN")?;
        let catalog = Catalog::load(&conn)?;
        let decoder = Decoder::new().map_err(StoreError::Compression)?;
        Ok(Snapshot { shared: self.shared.clone(), conn: Some(conn), catalog, decoder })
    }
}

/// The store at one moment.
#[derive(Debug)]
pub(super) struct Snapshot {
    shared: Arc<Shared>,
    /// `None` only while it is dropped.
    conn: Option<Connection>,
    pub(super) catalog: Catalog,
    decoder: Decoder,
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        let Some(conn) = self.conn.take() else { return };
        if conn.execute_batch("COMMIT").is_ok() {
            let mut idle = self.shared.idle.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() < KEPT {
                idle.push(conn);
            }
        }
    }
}

impl Snapshot {
    pub(super) fn conn(&self) -> Result<&Connection, StoreError> {
        self.conn.as_ref().ok_or(StoreError::Damaged("the database was closed"))
    }

    pub(super) fn zone(&self) -> &TimeZone {
        &self.shared.zone
    }

    fn progress(&self, kind: Kind) -> Result<[Progress; 3], StoreError> {
        progress(self.conn()?, kind)
    }

    pub(super) fn coverage(&self, from: i64, to: i64, since: i64) -> Result<Coverage, StoreError> {
        Coverage::load(self.conn()?, from, to, since)
    }

    /// The first slot, and the number after the last one.
    pub(super) fn ends(&self) -> Result<Option<(i64, i64)>, StoreError> {
        ends(self.conn()?)
    }

    fn extent(&self) -> Result<Extent, StoreError> {
        let zone = self.zone().clone();
        let Some((first, end)) = self.ends()? else {
            return Ok(Extent { since: None, until: Timestamp::UNIX_EPOCH, slots_since: None, zone });
        };
        let [slots, ..] = self.progress(Kind::As)?;
        let detail: Option<i64> = self
            .conn()?
            .prepare_cached(
                "SELECT min(slot) FROM (SELECT min(first) AS slot FROM day WHERE detail AND stop > ?1
                                        UNION ALL SELECT min(slot) FROM coverage)",
            )?
            .query_row(params![slots.since], |row| row.get(0))?;
        let slots_since = detail.map(|detail| begins(detail.max(slots.since)));
        Ok(Extent { since: Some(begins(first)), until: begins(end), slots_since, zone })
    }

    fn months(&self, kind: Kind, subject: Subject) -> Result<Vec<Month>, StoreError> {
        let mut query = self.conn()?.prepare_cached(
            "SELECT start, stop, zone, seconds, bytes_in, bytes_out, p95_in, p95_out, crc FROM month
             WHERE kind = ?1 AND subject = ?2 ORDER BY start",
        )?;
        let mut rows = query.query(params![kind as u8, subject])?;
        let mut months = Vec::new();
        while let Some(row) = rows.next()? {
            let period = Period { from: begins(row.get(0)?), to: begins(row.get(1)?) };
            let month = Month {
                period,
                zone: row.get(2)?,
                covered: unsigned(row, 3)?,
                bytes: [unsigned(row, 4)?, unsigned(row, 5)?],
                p95: [unsigned(row, 6)?, unsigned(row, 7)?],
            };
            if month_checksum(kind, subject, &month) != row.get::<_, u32>(8)? {
                return Err(StoreError::Damaged("a month's entry is not what was written"));
            }
            months.push(month);
        }
        Ok(months)
    }
}

/// The first slot, and the number after the last one.
pub(super) fn ends(conn: &Connection) -> Result<Option<(i64, i64)>, StoreError> {
    let mut query = conn.prepare_cached(
        "SELECT (SELECT first FROM day ORDER BY start LIMIT 1), (SELECT min(slot) FROM coverage),
                (SELECT end FROM day ORDER BY start DESC LIMIT 1), (SELECT max(slot) + 1 FROM coverage)",
    )?;
    let numbers: [Option<i64>; 4] =
        query.query_row([], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?]))?;
    let [days_from, slots_from, days_to, slots_to] = numbers;
    let first = days_from.into_iter().chain(slots_from).min();
    Ok(first.zip(days_to.into_iter().chain(slots_to).max()))
}

pub(super) fn month_checksum(kind: Kind, subject: Subject, month: &Month) -> u32 {
    let numbers = [
        kind as i64,
        subject.into(),
        slot_of(month.period.from),
        end_slot(month.period.to),
        signed(month.covered),
        signed(month.bytes[0]),
        signed(month.bytes[1]),
        signed(month.p95[0]),
        signed(month.p95[1]),
    ];
    checksum(&numbers, month.zone.as_bytes())
}

/// When a slot begins.
pub(super) fn begins(slot: i64) -> Timestamp {
    Timestamp::from_second(slot.saturating_mul(SLOT_SECONDS)).unwrap_or(Timestamp::MAX)
}

/// The slot that a time is in.
pub(super) fn slot_of(time: Timestamp) -> i64 {
    time.as_second().div_euclid(SLOT_SECONDS)
}

/// The first slot that begins at or after a time.
pub(super) fn end_slot(time: Timestamp) -> i64 {
    let more = i64::from(time.subsec_nanosecond() > 0);
    (time.as_second() + more + SLOT_SECONDS - 1).div_euclid(SLOT_SECONDS)
}

impl Read for Reader {
    fn extent(&self) -> Result<Extent, ReadError> {
        Ok(self.snapshot()?.extent()?)
    }

    fn links(&self) -> Result<Vec<StoredLink>, ReadError> {
        Ok(self.snapshot()?.catalog.links.clone())
    }

    fn sums(&self, kind: Kind, period: Period, links: &Links) -> Result<Sums, ReadError> {
        Ok(self.snapshot()?.sums(kind, period, links)?)
    }

    fn series(
        &self,
        kind: Kind,
        subjects: &[Subject],
        period: Period,
        links: &Links,
        step: Step,
    ) -> Result<Vec<Point>, ReadError> {
        let courses = self.snapshot()?.series(kind, subjects, period, std::slice::from_ref(links), step)?;
        Ok(courses.into_iter().next().unwrap_or_default())
    }

    fn series_of_each(
        &self,
        kind: Kind,
        subjects: &[Subject],
        period: Period,
        sets: &[Links],
        step: Step,
    ) -> Result<Vec<Vec<Point>>, ReadError> {
        Ok(self.snapshot()?.series(kind, subjects, period, sets, step)?)
    }

    fn months(&self, kind: Kind, subject: Subject) -> Result<Vec<Month>, ReadError> {
        Ok(self.snapshot()?.months(kind, subject)?)
    }

    fn group(&self, key: &str) -> Result<Option<Subject>, ReadError> {
        let snapshot = self.snapshot()?;
        let read = || -> Result<Option<Subject>, StoreError> {
            let mut query = snapshot.conn()?.prepare_cached("SELECT number FROM group_key WHERE key = ?1")?;
            Ok(query.query_row(params![key], |row| row.get(0)).optional()?)
        };
        Ok(read()?)
    }

    fn prefix(&self, subject: Subject) -> Result<Option<StoredPrefix>, ReadError> {
        let snapshot = self.snapshot()?;
        let read = || -> Result<Option<StoredPrefix>, StoreError> {
            let mut query =
                snapshot.conn()?.prepare_cached("SELECT prefix, asn FROM prefix WHERE number = ?1")?;
            let found: Option<(String, u32)> =
                query.query_row(params![subject], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
            let Some((prefix, asn)) = found else { return Ok(None) };
            let prefix = prefix.parse().map_err(|_| StoreError::Damaged("a prefix is none"))?;
            Ok(Some(StoredPrefix { prefix, asn }))
        };
        Ok(read()?)
    }
}
