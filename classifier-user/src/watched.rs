//! Files that are read again when they change.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path, time::Duration};

/// How often files are looked at. A file counts as changed when it is the same twice in a row and not as loaded:
/// one that is still being written is left alone.
pub(crate) const LOOK: Duration = Duration::from_secs(2);

/// What tells one state of a file from another.
type Stamp = Option<(u64, u64, i64, i64)>;

fn stamp(path: &Path) -> Stamp {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec()))
}

/// What a file was when it was loaded, and when it was last looked at.
#[derive(Clone, Debug)]
pub(crate) struct Watched {
    loaded: Stamp,
    seen: Stamp,
}

impl Watched {
    /// A file that is about to be loaded.
    pub(crate) fn new(path: &Path) -> Self {
        let stamp = stamp(path);
        Self { loaded: stamp, seen: stamp }
    }

    /// Looks: whether it is no more what was loaded, and stands still.
    pub(crate) fn changed(&mut self, path: &Path) -> bool {
        let now = stamp(path);
        // A file that is away for a moment is being replaced; SIGHUP says so if it stays away.
        let changed = now.is_some() && now != self.loaded && now == self.seen;
        self.seen = now;
        changed
    }

    /// It is about to be loaded again.
    pub(crate) fn loading(&mut self, path: &Path) {
        self.loaded = stamp(path);
    }
}
