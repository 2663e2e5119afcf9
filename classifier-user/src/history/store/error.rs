//! What can be wrong with a store.

use std::{io, path::PathBuf};

use rusqlite::ErrorCode;

use super::block::Damaged;
use crate::history::ReadError;

/// Why the store could not be opened, written or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file or directory cannot be made, opened or renamed.
    #[error("cannot use {} for the history: {source}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process writes it.
    #[error("another agent writes the history in {}: stop it, or give this one another --state-dir", path.display())]
    Locked {
        /// Its directory.
        path: PathBuf,
    },
    /// A newer version of the program made it. It was not touched.
    #[error(
        "the history {} is of version {found}, this program knows versions up to {known}: use the newer program, or \
         another --state-dir",
        path.display()
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// This program's version.
        known: u32,
    },
    /// There is no history there.
    #[error("there is no history in {}", path.display())]
    Missing {
        /// The directory.
        path: PathBuf,
    },
    /// It could not be brought to this version; the copy is as it was.
    #[error("the history could not be brought from version {from} to {to}: {source}; as it was it is in {}", copy.display())]
    Migration {
        /// Its version.
        from: u32,
        /// This program's version.
        to: u32,
        /// Where the copy is.
        copy: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// A slot that is not after the last one.
    #[error("slot {number} is not after the last one in the history, {last}")]
    SlotOrder {
        /// Its number.
        number: i64,
        /// The last one's.
        last: i64,
    },
    /// A slot before 1970 or too far in the future to be meant.
    #[error("slot {number} is out of range: the system's clock is wrong")]
    SlotRange {
        /// Its number.
        number: i64,
    },
    /// Rows that are not in their order, come twice, or are of a link without a number.
    #[error("rows of the history are not in order, or of an unknown link: {0}")]
    Rows(&'static str),
    /// More points than are given at once.
    #[error("the period has too many steps: ask for a shorter one, or for longer steps")]
    TooLong,
    /// A day that overlaps what is there.
    #[error("there is a history of that time already: days can only be added before it")]
    DayTaken,
    /// All numbers of links are given out.
    #[error(
        "the history has had 256 links: it cannot have {name:?} as well; begin a new one in another --state-dir"
    )]
    TooManyLinks {
        /// The link's name.
        name: String,
    },
    /// What is kept is not what was written.
    #[error("{0}")]
    Damaged(&'static str),
    /// SQLite.
    #[error("the history's database: {0}")]
    Database(#[from] rusqlite::Error),
    /// zstd had no memory.
    #[error("the history could not be compressed: {0}")]
    Compression(io::Error),
}

impl From<Damaged> for StoreError {
    fn from(damaged: Damaged) -> Self {
        Self::Damaged(damaged.0)
    }
}

impl From<StoreError> for ReadError {
    fn from(error: StoreError) -> Self {
        Self(error.to_string())
    }
}

impl StoreError {
    fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Database(error) | Self::Migration { source: error, .. } => error.sqlite_error_code(),
            _ => None,
        }
    }

    fn io_kind(&self) -> Option<io::ErrorKind> {
        match self {
            Self::File { source, .. } => Some(source.kind()),
            _ => None,
        }
    }

    /// The disk is full: nothing was lost, and it may succeed later.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.code() == Some(ErrorCode::DiskFull)
            || matches!(self.io_kind(), Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
    }

    /// The directory, the file or the file system is read-only, or not ours.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        matches!(self.code(), Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied))
            || matches!(
                self.io_kind(),
                Some(io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
            )
    }

    /// What is on disk is damaged: [`super::Store::set_aside`] helps.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        matches!(self, Self::Damaged(_))
            || matches!(
                self,
                // A column of another type or none at all: the record is not what was written.
                Self::Database(
                    rusqlite::Error::InvalidColumnType(..)
                        | rusqlite::Error::FromSqlConversionFailure(..)
                        | rusqlite::Error::IntegralValueOutOfRange(..)
                        | rusqlite::Error::Utf8Error(..)
                )
            )
            || matches!(self.code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
    }
}
