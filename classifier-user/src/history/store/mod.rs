//! The embedded store: a SQLite database as a container of compressed blocks.
//!
//! A closed slot is written as blocks of one slot. When an hour is over its slots become blocks of an hour, and the sums
//! of the hour; when a day is over they become blocks of a day, sorted by subject, so that one AS over a month is one
//! small chunk a day; docs/decisions/0005-history-store.md says why. One process writes ([`Store`]), any number reads
//! ([`Reader`]).
//!
//! Reading order: here ([`Store`]), `schema` (tables), `open` (versions, damage), [`block`] (what blocks look like),
//! `rows` and `coverage` (small tables), [`read`].

use std::{
    cell::RefCell,
    collections::VecDeque,
    fs::File,
    path::{Path, PathBuf},
};

use jiff::tz::TimeZone;
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};

pub use error::StoreError;
pub use keep::{DayRow, Size, Usage};
pub use open::{Migrated, Options, SetAside};
pub use read::{
    Reader,
    walk::{SlotSamples, Walk},
};

use self::{
    block::{Encoder, Entry, Heading, Place, Scope},
    job::Job,
    rows::{BlockRow, Catalog, State, set_meta, zone_name},
    schema::{SCHEMA, Schema},
};
use super::{ClosedSlot, Kind, LinkNo, Row, Sample, Step, StoredLink, StoredPrefix, Subject};
use crate::model::{Direction, LinkKind, Role};

mod block;
mod coverage;
#[cfg(test)]
mod damage_tests;
mod error;
mod haste;
mod job;
mod keep;
#[cfg(test)]
mod keep_tests;
mod maintain;
mod merge;
mod open;
pub(in crate::history) mod read;
mod rows;
mod schema;
#[cfg(test)]
mod tests;

/// Slots' numbers that are believed: until the year 2500.
const SLOTS: std::ops::Range<i64> = 0..56_000_000;

/// A store that was opened, and what had to be done for it.
#[derive(Debug)]
pub struct Opened {
    /// The store.
    pub store: Store,
    /// The damaged one that was in its place.
    pub set_aside: Option<SetAside>,
    /// What it was before.
    pub migrated: Option<Migrated>,
}

/// Writes the history. Dropping it closes the database.
#[derive(Debug)]
pub struct Store {
    dir: PathBuf,
    options: Options,
    conn: Connection,
    /// Held until the database is closed.
    _lock: File,
    catalog: Catalog,
    /// The last slot's number.
    last: Option<i64>,
    /// What maintenance is at.
    job: Option<Box<Job>>,
    /// Blocks that are to be folded, and the subjects that they keep.
    folds: RefCell<VecDeque<(i64, Vec<Subject>)>>,
}

impl Drop for Store {
    fn drop(&mut self) {
        // Without it the next one looks through the database, which takes a while and does no harm.
        let _ = open::mark_closed(&self.conn, true);
    }
}

impl Store {
    /// Opens the store in a directory, or makes both.
    ///
    /// A damaged database is renamed and a new one begun; one of an older version is brought to this one and a copy kept.
    /// A database of any size may take ten seconds, where the last process that had it was killed.
    ///
    /// # Errors
    /// [`StoreError::Locked`], [`StoreError::Newer`], [`StoreError::Migration`], [`StoreError::File`], and what SQLite
    /// says, as of a full or read-only disk.
    pub fn open(dir: &Path, options: Options) -> Result<Opened, StoreError> {
        Self::open_as(dir, options, &SCHEMA)
    }

    fn open_as(dir: &Path, options: Options, schema: &Schema) -> Result<Opened, StoreError> {
        let database = open::open(dir, schema)?;
        let (set_aside, migrated) = (database.set_aside, database.migrated);
        match Self::of(dir, options.clone(), database.conn, database.lock) {
            Ok(store) => Ok(Opened { store, set_aside, migrated }),
            // What looking through it did not find.
            Err((error, lock)) if error.is_damaged() && set_aside.is_none() => {
                let aside = open::set_aside(&dir.join(open::DATABASE), &error.to_string())?;
                drop(lock);
                let mut opened = Self::open_as(dir, options, schema)?;
                opened.set_aside = Some(aside);
                Ok(opened)
            }
            Err((error, _)) => Err(error),
        }
    }

    fn of(
        dir: &Path,
        options: Options,
        mut conn: Connection,
        lock: File,
    ) -> Result<Self, (StoreError, File)> {
        let mut load = || -> Result<_, StoreError> {
            let transaction = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
            open::mark_closed(&transaction, false)?;
            set_meta(&transaction, "zone", &zone_name(&options.zone))?;
            set_meta(&transaction, "router", &options.router)?;
            let catalog = Catalog::load(&transaction)?;
            let last = read::ends(&transaction)?.map(|(_, end)| end - 1);
            transaction.commit()?;
            Ok((catalog, last))
        };
        match load() {
            Ok((catalog, last)) => Ok(Self {
                dir: dir.to_owned(),
                options,
                conn,
                _lock: lock,
                catalog,
                last,
                job: None,
                folds: RefCell::default(),
            }),
            Err(error) => Err((error, lock)),
        }
    }

    /// Renames the database, whose damage was found only now ([`StoreError::is_damaged`]), and begins a new one. Readers
    /// of the old one go on reading it: they are to be thrown away.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn set_aside(self, why: &str) -> Result<Opened, StoreError> {
        let (dir, options) = (self.dir.clone(), self.options.clone());
        drop(self);
        let aside = open::set_aside(&dir.join(open::DATABASE), why)?;
        let mut opened = Self::open(&dir, options)?;
        opened.set_aside = Some(aside);
        Ok(opened)
    }

    /// A reader of it, for other threads.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader::new(self.dir.join(open::DATABASE), self.options.zone.clone())
    }

    /// Whose days and months are kept.
    #[must_use]
    pub const fn zone(&self) -> &TimeZone {
        &self.options.zone
    }

    /// The last slot's number.
    #[must_use]
    pub const fn last_slot(&self) -> Option<i64> {
        self.last
    }

    /// Every link there ever was, by number.
    #[must_use]
    pub fn links(&self) -> &[StoredLink] {
        &self.catalog.links
    }

    /// The number of a link, given to it now if it has none; its kind is what it is called from now on.
    ///
    /// # Errors
    /// [`StoreError::TooManyLinks`], and what SQLite says.
    pub fn link(&mut self, name: &str, role: Role, kind: Option<LinkKind>) -> Result<LinkNo, StoreError> {
        let known = self.catalog.links.iter().find(|link| link.name == name && link.role == role);
        let number = match known {
            Some(link) if link.kind == kind => return Ok(link.number),
            Some(link) => link.number.0,
            None => u8::try_from(self.catalog.links.len())
                .map_err(|_| StoreError::TooManyLinks { name: name.to_owned() })?,
        };
        self.conn.execute(
            "INSERT OR REPLACE INTO link (number, name, role, kind) VALUES (?1, ?2, ?3, ?4)",
            params![number, name, role.name(), kind.map(LinkKind::name)],
        )?;
        self.catalog = Catalog::load(&self.conn)?;
        Ok(LinkNo(number))
    }

    /// The number of a group's key, given to it now if it has none.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn group(&mut self, key: &str) -> Result<Subject, StoreError> {
        let mut query = self.conn.prepare_cached("SELECT number FROM group_key WHERE key = ?1")?;
        if let Some(number) = query.query_row(params![key], |row| row.get(0)).optional()? {
            return Ok(number);
        }
        self.conn.execute(
            "INSERT INTO group_key (number, key) SELECT coalesce(max(number) + 1, 0), ?1 FROM group_key",
            params![key],
        )?;
        Ok(query.query_row(params![key], |row| row.get(0))?)
    }

    /// The numbers of prefixes with their origins, in their order, given to them now if they have none.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn prefixes(&mut self, prefixes: &[StoredPrefix]) -> Result<Vec<Subject>, StoreError> {
        let transaction = self.conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut numbers = Vec::with_capacity(prefixes.len());
        {
            let mut find =
                transaction.prepare_cached("SELECT number FROM prefix WHERE prefix = ?1 AND asn = ?2")?;
            let mut add = transaction.prepare_cached(
                "INSERT INTO prefix (number, prefix, asn) SELECT coalesce(max(number) + 1, 0), ?1, ?2 FROM prefix
                 RETURNING number",
            )?;
            for StoredPrefix { prefix, asn } in prefixes {
                let prefix = prefix.to_string();
                let known = find.query_row(params![prefix, asn], |row| row.get(0)).optional()?;
                numbers.push(match known {
                    Some(number) => number,
                    None => add.query_row(params![prefix, asn], |row| row.get(0))?,
                });
            }
        }
        transaction.commit()?;
        Ok(numbers)
    }

    /// Adds a slot, in one transaction: after an error nothing of it is there.
    ///
    /// # Errors
    /// [`StoreError::SlotOrder`], [`StoreError::SlotRange`], [`StoreError::Rows`], and what SQLite says.
    pub fn append(&mut self, slot: &ClosedSlot) -> Result<(), StoreError> {
        let number = slot.number;
        if let Some(last) = self.last.filter(|&last| number <= last) {
            return Err(StoreError::SlotOrder { number, last });
        }
        let at = u32::try_from(number).ok().filter(|_| SLOTS.contains(&number));
        let at = at.ok_or(StoreError::SlotRange { number })?;
        self.validate(slot.rows.iter().map(|row| (row.key(), row.sample)))?;
        let transaction = self.conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut upstream_since = self.catalog.upstream_since;
        if upstream_since.is_none() && self.catalog.has_upstream() {
            upstream_since = Some(number);
            set_meta(&transaction, "upstream_since", &number.to_string())?;
        }
        coverage::insert_slot(&transaction, number, slot.covered)?;
        for rows in slot.rows.chunk_by(|a, b| a.kind == b.kind) {
            let Some(&Row { kind, .. }) = rows.first() else { continue };
            let heading = Heading { kind, step: Step::Slot, scope: Scope::Links, start: at, stop: at + 1 };
            let mut writer = Writer::new(&transaction, heading)?;
            for row in rows {
                let place = Place::new(row.link, row.direction);
                let entry = Entry { subject: row.subject, place, at, sample: row.sample, ..Entry::default() };
                writer.push(&transaction, entry)?;
            }
            writer.finish(&transaction, State::Live)?;
        }
        transaction.commit()?;
        self.catalog.upstream_since = upstream_since;
        self.last = Some(number);
        Ok(())
    }

    fn validate(
        &self,
        rows: impl Iterator<Item = ((Kind, Subject, LinkNo, Direction), Sample)>,
    ) -> Result<(), StoreError> {
        let mut before = None;
        for (key, sample) in rows {
            if before.is_some_and(|before| key <= before) {
                return Err(StoreError::Rows("they do not ascend"));
            }
            if sample == Sample::default() {
                return Err(StoreError::Rows("one is zero"));
            }
            if !self.catalog.knows(key.2) {
                return Err(StoreError::Rows("its link has no number"));
            }
            before = Some(key);
        }
        Ok(())
    }
}

/// Writes a block.
#[derive(Debug)]
struct Writer {
    block: BlockRow,
    encoder: Encoder,
}

impl Writer {
    fn new(conn: &Connection, heading: Heading) -> Result<Self, StoreError> {
        let block = BlockRow::insert(conn, heading, State::Building)?;
        Ok(Self { block, encoder: Encoder::new(heading).map_err(StoreError::Compression)? })
    }

    fn push(&mut self, conn: &Connection, entry: Entry) -> Result<(), StoreError> {
        match self.encoder.push(entry).map_err(StoreError::Compression)? {
            Some(chunk) => self.write(conn, &chunk),
            None => Ok(()),
        }
    }

    fn write(&mut self, conn: &Connection, chunk: &block::Chunk) -> Result<(), StoreError> {
        if self.block.chunks == 0 {
            self.block.first = chunk.first;
        }
        self.block.chunks += 1;
        self.block.rows += chunk.rows as u64;
        let tops = chunk.tops_part.as_ref();
        self.block.bytes += (chunk.rows_part.len() + tops.map_or(0, Vec::len)) as u64;
        conn.prepare_cached("INSERT INTO chunk (block, first, rows, tops) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![self.block.id, chunk.first, chunk.rows_part, tops])?;
        Ok(())
    }

    /// Writes what is left, and the block's entry. A block without rows is taken away again.
    fn finish(mut self, conn: &Connection, state: State) -> Result<BlockRow, StoreError> {
        if let Some(chunk) = self.encoder.flush().map_err(StoreError::Compression)? {
            self.write(conn, &chunk)?;
        }
        self.block.update(conn, if self.block.rows == 0 { State::Dead } else { state })?;
        Ok(self.block)
    }
}
