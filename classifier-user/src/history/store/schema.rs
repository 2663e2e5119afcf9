//! The database's tables, its versions, and how an older one becomes this one.

use rusqlite::Connection;

use super::error::StoreError;

/// `PRAGMA application_id`: "clas".
pub(super) const APPLICATION: u32 = 0x636c_6173;

/// What this program makes and reads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schema {
    /// `PRAGMA user_version`.
    pub(super) version: u32,
    /// By version from 1 on: what makes it the next one.
    pub(super) migrations: &'static [&'static str],
}

pub(super) const SCHEMA: Schema = Schema { version: 1, migrations: &[] };

/// Times are slots' numbers. `crc` is a checksum of a row's other numbers ([`super::rows::checksum`]): SQLite has none.
///
/// - `coverage`: the seconds counted of slots whose day is not over. `day`: days that are over; `slots` has the same of
///   each of their slots ([`super::coverage`]); `first` and `end` are those of its slots that
///   were recorded; `detail` is 0 for days that were imported.
/// - `block`, `chunk`: [`super::block`]; `tops` comes last, as who does not want it does not read its pages. `state` 0: being written; 1: in use; 2: replaced or expired, to be deleted.
/// - `progress`, by kind and step: `since`, before which blocks were dropped; `until`, up to which steps were rolled up;
///   `packed`, up to which blocks were merged into the longest.
/// - `month`: [`crate::history::Month`].
pub(super) const CREATE: &str = "
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE link (
    number INTEGER PRIMARY KEY, name TEXT NOT NULL, role TEXT NOT NULL, kind TEXT, UNIQUE (name, role)
);
CREATE TABLE group_key (number INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE);
CREATE TABLE prefix (
    number INTEGER PRIMARY KEY, prefix TEXT NOT NULL, asn INTEGER NOT NULL, UNIQUE (prefix, asn)
);
CREATE TABLE coverage (slot INTEGER PRIMARY KEY, seconds INTEGER NOT NULL, crc INTEGER NOT NULL);
CREATE TABLE day (
    start INTEGER PRIMARY KEY, stop INTEGER NOT NULL, first INTEGER NOT NULL, end INTEGER NOT NULL,
    seconds INTEGER NOT NULL, detail INTEGER NOT NULL,
    zone TEXT NOT NULL, slots BLOB NOT NULL, crc INTEGER NOT NULL
);
CREATE TABLE block (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind INTEGER NOT NULL, step INTEGER NOT NULL, scope INTEGER NOT NULL, state INTEGER NOT NULL,
    start INTEGER NOT NULL, stop INTEGER NOT NULL,
    first INTEGER NOT NULL, chunks INTEGER NOT NULL, rows INTEGER NOT NULL, bytes INTEGER NOT NULL,
    crc INTEGER NOT NULL
);
CREATE INDEX block_time ON block (state, kind, step, scope, start);
CREATE TABLE chunk (
    block INTEGER NOT NULL, first INTEGER NOT NULL, rows BLOB NOT NULL, tops BLOB, PRIMARY KEY (block, first)
) WITHOUT ROWID;
CREATE TABLE progress (
    kind INTEGER NOT NULL, step INTEGER NOT NULL, since INTEGER NOT NULL DEFAULT 0,
    until INTEGER NOT NULL DEFAULT 0, packed INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (kind, step)
) WITHOUT ROWID;
CREATE TABLE month (
    kind INTEGER NOT NULL, subject INTEGER NOT NULL, start INTEGER NOT NULL, stop INTEGER NOT NULL,
    zone TEXT NOT NULL, seconds INTEGER NOT NULL, bytes_in INTEGER NOT NULL, bytes_out INTEGER NOT NULL,
    p95_in INTEGER NOT NULL, p95_out INTEGER NOT NULL, crc INTEGER NOT NULL,
    PRIMARY KEY (kind, subject, start)
) WITHOUT ROWID;
";

/// Makes the tables in a new database.
///
/// # Errors
/// What SQLite says.
pub(super) fn create(conn: &mut Connection, schema: &Schema) -> Result<(), StoreError> {
    // Only before the first table is made.
    conn.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    configure(conn)?;
    let transaction = conn.transaction()?;
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    transaction.pragma_update(None, "user_version", schema.version)?;
    transaction.execute_batch(CREATE)?;
    transaction.commit()?;
    // The version must be in the file itself: it is read before the database is opened.
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    Ok(())
}

/// Settings of a connection that writes.
pub(super) fn configure(conn: &Connection) -> Result<(), StoreError> {
    conn.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    // A slot that was appended survives a power cut: its journal is thrown away afterwards.
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "journal_size_limit", 64 << 20)?;
    conn.pragma_update(None, "cache_size", -8192)?;
    conn.pragma_update(None, "temp_store", "MEMORY")?;
    Ok(())
}

/// Brings the tables of an older version to this one, in one transaction.
pub(super) fn migrate(conn: &mut Connection, from: u32, schema: &Schema) -> rusqlite::Result<()> {
    let transaction = conn.transaction()?;
    let done = usize::try_from(from).unwrap_or(0).saturating_sub(1);
    for step in schema.migrations.iter().skip(done) {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "user_version", schema.version)?;
    transaction.commit()?;
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}
