//! Writing much at once, and the log of what was written.

use super::{Store, StoreError};

impl Store {
    /// Whether what is written is not waited for until it is on disk. A power cut meanwhile may leave a damaged database:
    /// only for one that is made anew where it is lost.
    ///
    /// # Errors
    /// What SQLite says.
    pub(in crate::history) fn hasten(&mut self, haste: bool) -> Result<(), StoreError> {
        self.conn.pragma_update(None, "synchronous", if haste { "OFF" } else { "FULL" })?;
        if !haste {
            self.checkpoint()?;
        }
        Ok(())
    }

    /// Moves all of the log into the file, and that to the disk: the log is empty then, unless someone reads it.
    ///
    /// # Errors
    /// What SQLite says.
    pub(in crate::history) fn checkpoint(&mut self) -> Result<(), StoreError> {
        Ok(self.conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?)
    }
}
