//! Rows of the database's small tables, with their checksums.

use jiff::tz::TimeZone;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    block::{Heading, Scope},
    error::StoreError,
};
use crate::{
    history::{Kind, LinkNo, SLOT_SECONDS, Step, StoredLink, Subject},
    model::{LinkKind, Role},
};

/// Slots of an hour.
pub(super) const HOUR: i64 = 3600 / SLOT_SECONDS;

/// All kinds.
pub(super) const KINDS: [Kind; 6] =
    [Kind::As, Kind::Link, Kind::Group, Kind::Prefix, Kind::Neighbor, Kind::Transit];

/// A checksum of numbers of a row.
pub(super) fn checksum(numbers: &[i64], bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for number in numbers {
        hasher.update(&number.to_le_bytes());
    }
    hasher.update(bytes);
    hasher.finalize()
}

/// As SQLite has it, whose integers have a sign.
pub(super) const fn signed(number: u64) -> i64 {
    number.cast_signed()
}

/// A column that was written by [`signed`].
pub(super) fn unsigned(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get(column).map(i64::cast_unsigned)
}

/// What becomes of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum State {
    /// Not all of its chunks are there.
    Building = 0,
    /// To be read.
    Live = 1,
    /// To be deleted.
    Dead = 2,
}

/// A block in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BlockRow {
    pub(super) id: i64,
    pub(super) heading: Heading,
    pub(super) first: Subject,
    pub(super) chunks: u32,
    pub(super) rows: u64,
    pub(super) bytes: u64,
}

impl BlockRow {
    fn checksum(&self, state: State) -> u32 {
        let Heading { kind, step, scope, start, stop } = self.heading;
        let numbers = [
            kind as i64,
            step as i64,
            scope as i64,
            state as i64,
            start.into(),
            stop.into(),
            self.first.into(),
            self.chunks.into(),
            signed(self.rows),
            signed(self.bytes),
        ];
        checksum(&numbers, &[])
    }

    /// Adds a block; gives its number.
    pub(super) fn insert(conn: &Connection, heading: Heading, state: State) -> rusqlite::Result<Self> {
        let mut block = Self { id: 0, heading, first: 0, chunks: 0, rows: 0, bytes: 0 };
        let Heading { kind, step, scope, start, stop } = heading;
        conn.prepare_cached(
            "INSERT INTO block (kind, step, scope, state, start, stop, first, chunks, rows, bytes, crc)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, 0, 0, 0, ?7)",
        )?
        .execute(params![
            kind as u8,
            step as u8,
            scope as u8,
            state as u8,
            start,
            stop,
            block.checksum(state)
        ])?;
        block.id = conn.last_insert_rowid();
        Ok(block)
    }

    /// Writes its state and its sizes.
    pub(super) fn update(&self, conn: &Connection, state: State) -> rusqlite::Result<()> {
        conn.prepare_cached(
            "UPDATE block SET state = ?2, first = ?3, chunks = ?4, rows = ?5, bytes = ?6, crc = ?7 WHERE id = ?1",
        )?
        .execute(params![
            self.id,
            state as u8,
            self.first,
            self.chunks,
            signed(self.rows),
            signed(self.bytes),
            self.checksum(state)
        ])?;
        Ok(())
    }
}

/// The longest a block may be, in slots: a month and a day.
const LONGEST: i64 = 32 * 24 * HOUR;

/// The blocks in use that overlap a stretch of slots, in the order of time.
pub(super) fn blocks(
    conn: &Connection,
    (kind, step, scope): (Kind, Step, Scope),
    from: i64,
    to: i64,
) -> Result<Vec<BlockRow>, StoreError> {
    let mut query = conn.prepare_cached(
        "SELECT id, start, stop, first, chunks, rows, bytes, crc FROM block
         WHERE state = 1 AND kind = ?1 AND step = ?2 AND scope = ?3 AND start > ?4 AND start < ?5 AND stop > ?6
         ORDER BY start",
    )?;
    let parameters = params![kind as u8, step as u8, scope as u8, from.saturating_sub(LONGEST), to, from];
    let mut rows = query.query(parameters)?;
    let mut blocks = Vec::new();
    while let Some(row) = rows.next()? {
        let heading = Heading { kind, step, scope, start: row.get(1)?, stop: row.get(2)? };
        let block = BlockRow {
            id: row.get(0)?,
            heading,
            first: row.get(3)?,
            chunks: row.get(4)?,
            rows: unsigned(row, 5)?,
            bytes: unsigned(row, 6)?,
        };
        if block.checksum(State::Live) != row.get::<_, u32>(7)? {
            return Err(StoreError::Damaged("a block's entry is not what was written"));
        }
        blocks.push(block);
    }
    Ok(blocks)
}

/// How far a kind's steps have come: slots' numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// What was before was dropped.
    pub(super) since: i64,
    /// What is before was rolled up.
    pub(super) until: i64,
    /// What is before is in the longest blocks.
    pub(super) packed: i64,
}

/// By step.
pub(super) fn progress(conn: &Connection, kind: Kind) -> Result<[Progress; 3], StoreError> {
    let mut query = conn.prepare_cached("SELECT step, since, until, packed FROM progress WHERE kind = ?1")?;
    let mut all = [Progress::default(); 3];
    let mut rows = query.query(params![kind as u8])?;
    while let Some(row) = rows.next()? {
        let step: u8 = row.get(0)?;
        if let Some(progress) = all.get_mut(usize::from(step)) {
            *progress = Progress { since: row.get(1)?, until: row.get(2)?, packed: row.get(3)? };
        }
    }
    Ok(all)
}

pub(super) fn set_progress(
    conn: &Connection,
    kind: Kind,
    step: Step,
    progress: Progress,
) -> Result<(), StoreError> {
    conn.prepare_cached(
        "INSERT OR REPLACE INTO progress (kind, step, since, until, packed) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![kind as u8, step as u8, progress.since, progress.until, progress.packed])?;
    Ok(())
}

/// The links, and which of them make the ISP's totals.
#[derive(Clone, Debug)]
pub(super) struct Catalog {
    pub(super) links: Vec<StoredLink>,
    /// The first slot that an upstream link could have been in. Before it the downstream links are the ISP's.
    pub(super) upstream_since: Option<i64>,
    /// By link's number: whether it is an upstream one; `None` if there is no such link.
    upstream: Box<[Option<bool>; 256]>,
}

impl Catalog {
    pub(super) fn load(conn: &Connection) -> Result<Self, StoreError> {
        let mut query = conn.prepare_cached("SELECT number, name, role, kind FROM link ORDER BY number")?;
        let mut rows = query.query([])?;
        let mut links = Vec::new();
        let mut upstream = Box::new([None; 256]);
        while let Some(row) = rows.next()? {
            let number: u8 = row.get(0)?;
            let role = role(&row.get::<_, String>(2)?)?;
            let kind = row.get::<_, Option<String>>(3)?.as_deref().map(link_kind).transpose()?;
            links.push(StoredLink { number: LinkNo(number), name: row.get(1)?, role, kind });
            if let Some(place) = upstream.get_mut(usize::from(number)) {
                *place = Some(role == Role::Upstream);
            }
        }
        let upstream_since = match meta(conn, "upstream_since")? {
            Some(text) => {
                Some(text.parse().map_err(|_| StoreError::Damaged("the upstream links' beginning"))?)
            }
            None => None,
        };
        Ok(Self { links, upstream_since, upstream })
    }

    pub(super) fn knows(&self, link: LinkNo) -> bool {
        self.role(link).is_some()
    }

    fn role(&self, link: LinkNo) -> Option<bool> {
        self.upstream.get(usize::from(link.0)).copied().flatten()
    }

    pub(super) fn has_upstream(&self) -> bool {
        self.links.iter().any(|link| link.role == Role::Upstream)
    }

    /// Whether a link is one of the ISP's totals, as the links are now.
    pub(super) fn is_isp_now(&self, link: LinkNo) -> bool {
        self.role(link) == Some(self.has_upstream())
    }

    /// Whether a link is one of the ISP's totals at a slot.
    pub(super) fn is_isp(&self, link: LinkNo, slot: u32) -> bool {
        let upstream = self.upstream_since.is_some_and(|since| i64::from(slot) >= since);
        self.role(link) == Some(upstream)
    }
}

fn role(name: &str) -> Result<Role, StoreError> {
    let known = [Role::Upstream, Role::Downstream].into_iter().find(|role| role.name() == name);
    known.ok_or(StoreError::Damaged("a link's role is none"))
}

fn link_kind(name: &str) -> Result<LinkKind, StoreError> {
    let all = [LinkKind::Transit, LinkKind::Ix, LinkKind::Pni, LinkKind::Customer];
    all.into_iter().find(|kind| kind.name() == name).ok_or(StoreError::Damaged("a link's kind is none"))
}

pub(super) fn meta(conn: &Connection, key: &str) -> Result<Option<String>, StoreError> {
    let mut query = conn.prepare_cached("SELECT value FROM meta WHERE key = ?1")?;
    Ok(query.query_row(params![key], |row| row.get(0)).optional()?)
}

pub(super) fn set_meta(conn: &Connection, key: &str, value: &str) -> Result<(), StoreError> {
    conn.prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)")?
        .execute(params![key, value])?;
    Ok(())
}

/// What a zone is called: its IANA name.
pub(super) fn zone_name(zone: &TimeZone) -> String {
    zone.iana_name().unwrap_or("UTC").to_owned()
}
