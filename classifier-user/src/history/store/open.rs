//! Opening a store: its directory, its lock, its version, and what is done with a damaged one.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
    time::Duration,
};

use jiff::{Timestamp, tz::TimeZone};
use rusqlite::{Connection, OpenFlags, params};

use super::{
    error::StoreError,
    schema::{self, APPLICATION, Schema},
};

/// The database in the store's directory.
pub(super) const DATABASE: &str = "history.sqlite3";
const LOCK: &str = "history.lock";
/// A database up to this size is always looked through when it is opened.
const SMALL: u64 = 64 << 20;
/// How long looking through a database may take; what was not found by then is found when it is read.
const CHECK: Duration = Duration::from_secs(10);

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whose days and months are kept.
    pub zone: TimeZone,
    /// The router's name.
    pub router: String,
}

impl Options {
    /// Days of this zone.
    #[must_use]
    pub fn new(zone: TimeZone, router: impl Into<String>) -> Self {
        Self { zone, router: router.into() }
    }
}

/// A store that could not be used, renamed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAside {
    /// Where it is now.
    pub path: PathBuf,
    /// What was wrong with it.
    pub why: String,
}

/// An older store that was brought to this version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// The version that it had.
    pub from: u32,
    /// It as it was.
    pub copy: PathBuf,
}

/// A database ready to be written.
#[derive(Debug)]
pub(super) struct Database {
    pub(super) conn: Connection,
    pub(super) lock: File,
    pub(super) set_aside: Option<SetAside>,
    pub(super) migrated: Option<Migrated>,
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    move |source| StoreError::File { path: path.to_owned(), source }
}

/// What a database's file says of itself before it is opened.
#[derive(Debug, PartialEq, Eq)]
enum Header {
    /// No file, or an empty one.
    New,
    /// Not a database, or not ours.
    Foreign(&'static str),
    Ours {
        version: u32,
    },
}

/// [The header](https://www.sqlite.org/fileformat.html#the_database_header) has the version at offset 60 and the
/// application at 68.
fn header(path: &Path) -> Result<Header, StoreError> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Header::New),
        Err(error) => return Err(at(path)(error)),
    };
    let mut bytes = Vec::new();
    file.by_ref().take(100).read_to_end(&mut bytes).map_err(at(path))?;
    let number = |place: usize| {
        bytes.get(place..).and_then(|rest| rest.first_chunk()).map_or(0, |number| u32::from_be_bytes(*number))
    };
    Ok(if bytes.is_empty() {
        Header::New
    } else if bytes.len() < 100 || !bytes.starts_with(b"SQLite format 3\0") {
        Header::Foreign("it is not a SQLite database")
    } else if number(68) != APPLICATION {
        Header::Foreign("it is another program's database")
    } else {
        Header::Ours { version: number(60) }
    })
}

/// Opens the store's database, or makes it.
pub(super) fn open(dir: &Path, schema: &Schema) -> Result<Database, StoreError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(at(dir))?;
    let lock = lock(dir)?;
    let path = dir.join(DATABASE);
    let mut set_aside = None;
    let mut migrated = None;
    let conn = match header(&path)? {
        Header::New => None,
        Header::Foreign(why) => {
            set_aside = Some(self::set_aside(&path, why)?);
            None
        }
        Header::Ours { version } if version > schema.version => {
            return Err(StoreError::Newer { path, found: version, known: schema.version });
        }
        Header::Ours { .. } => match existing(&path, schema) {
            Ok((conn, from)) => {
                migrated = from;
                Some(conn)
            }
            Err(error) if error.is_damaged() => {
                set_aside = Some(self::set_aside(&path, &error.to_string())?);
                None
            }
            Err(error) => return Err(error),
        },
    };
    let conn = match conn {
        Some(conn) => conn,
        None => new(&path, schema)?,
    };
    Ok(Database { conn, lock, set_aside, migrated })
}

fn lock(dir: &Path) -> Result<File, StoreError> {
    let path = dir.join(LOCK);
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
    let file = file.map_err(at(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked { path: dir.to_owned() }),
        Err(TryLockError::Error(error)) => Err(at(&path)(error)),
    }
}

fn new(path: &Path, schema: &Schema) -> Result<Connection, StoreError> {
    // SQLite gives its other files the permissions of this one.
    OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path).map_err(at(path))?;
    let mut conn = connect(path)?;
    schema::create(&mut conn, schema)?;
    Ok(conn)
}

fn connect(path: &Path) -> Result<Connection, StoreError> {
    let conn = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    // Only a reader that restores the log of a process that was killed can be in the way.
    conn.busy_timeout(Duration::from_secs(10))?;
    conn.set_prepared_statement_cache_capacity(64);
    Ok(conn)
}

fn existing(path: &Path, schema: &Schema) -> Result<(Connection, Option<Migrated>), StoreError> {
    let mut conn = connect(path)?;
    // What was not yet moved from the log into the file when it was read may be newer.
    let version: u32 = conn.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if version > schema.version {
        return Err(StoreError::Newer { path: path.to_owned(), found: version, known: schema.version });
    }
    schema::configure(&conn)?;
    check(&conn, path)?;
    if version == schema.version {
        return Ok((conn, None));
    }
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    let copy = free_name(path, &format!("version-{version}"));
    fs::copy(path, &copy).map_err(at(&copy))?;
    if let Err(source) = schema::migrate(&mut conn, version, schema) {
        return Err(StoreError::Migration { from: version, to: schema.version, copy, source });
    }
    Ok((conn, Some(Migrated { from: version, copy })))
}

/// Looks through a database that is small, or was not closed.
fn check(conn: &Connection, path: &Path) -> Result<(), StoreError> {
    let closed: bool =
        conn.query_row("SELECT EXISTS (SELECT 1 FROM meta WHERE key = 'closed')", [], |row| row.get(0))?;
    let small = fs::metadata(path).map_err(at(path))?.len() <= SMALL;
    if closed && !small {
        return Ok(());
    }
    let interrupt = conn.get_interrupt_handle();
    let (done, wait) = mpsc::channel::<()>();
    let watch = thread::spawn(move || {
        if wait.recv_timeout(CHECK) == Err(mpsc::RecvTimeoutError::Timeout) {
            interrupt.interrupt();
        }
    });
    // Unlike quick_check it compares indexes with their tables; all of them are small.
    let result = conn.query_row("PRAGMA integrity_check(1)", [], |row| row.get::<_, String>(0));
    drop(done);
    // It ends at once, and cannot panic.
    let _ = watch.join();
    match result {
        Ok(answer) if answer == "ok" => Ok(()),
        Ok(_) => Err(StoreError::Damaged("the history's database is damaged")),
        Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::OperationInterrupted) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Says whether the database was closed, for the next [`check`].
pub(super) fn mark_closed(conn: &Connection, closed: bool) -> rusqlite::Result<()> {
    if closed {
        conn.execute("INSERT OR REPLACE INTO meta (key, value) VALUES ('closed', '')", [])?;
    } else {
        conn.execute("DELETE FROM meta WHERE key = ?1", params!["closed"])?;
    }
    Ok(())
}

/// A name beside `path` that no file has, with the time in it.
fn free_name(path: &Path, what: &str) -> PathBuf {
    let time = Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
    let name = |more: String| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{what}-{time}{more}"));
        PathBuf::from(name)
    };
    let mut free = name(String::new());
    for number in 2.. {
        if !free.exists() {
            break;
        }
        free = name(format!("-{number}"));
    }
    free
}

/// Renames a database and its log, so that it can still be looked at.
pub(super) fn set_aside(path: &Path, why: &str) -> Result<SetAside, StoreError> {
    let aside = free_name(path, "damaged");
    fs::rename(path, &aside).map_err(at(path))?;
    for more in ["-wal", "-shm"] {
        let with = |path: &Path| {
            let mut name = path.as_os_str().to_owned();
            name.push(more);
            PathBuf::from(name)
        };
        match fs::rename(with(path), with(&aside)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(&with(path))(error)),
            _ => {}
        }
    }
    Ok(SetAside { path: aside, why: why.to_owned() })
}

/// Opens the database to be read.
pub(super) fn read_only(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(Duration::from_secs(10))?;
    conn.pragma_update(None, "query_only", true)?;
    conn.pragma_update(None, "cache_size", -2048)?;
    conn.set_prepared_statement_cache_capacity(32);
    Ok(conn)
}

/// The database of a store's directory that this program can read: for who reads it without the agent.
pub(super) fn readable(dir: &Path, schema: &Schema) -> Result<PathBuf, StoreError> {
    let path = dir.join(DATABASE);
    match header(&path)? {
        Header::New => Err(StoreError::Missing { path: dir.to_owned() }),
        Header::Foreign(why) => Err(StoreError::Damaged(why)),
        Header::Ours { version } if version > schema.version => {
            Err(StoreError::Newer { path, found: version, known: schema.version })
        }
        Header::Ours { .. } => Ok(path),
    }
}
