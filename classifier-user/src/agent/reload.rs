//! Loading tables again: on SIGHUP, and when their files change.

use std::{
    collections::HashMap,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::mpsc::Sender,
    time::Duration,
};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

use super::core::Message;
use crate::{
    ingest::set::{Part, TableRequest},
    table::groups::Groups,
};

/// How often files are looked at. A file counts as changed when it is the same twice in a row and not as loaded:
/// one that is still being written is left alone.
const LOOK: Duration = Duration::from_secs(2);

/// What tells one state of a file from another.
type Stamp = Option<(u64, u64, i64, i64)>;

fn stamp(path: &Path) -> Stamp {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec()))
}

/// A watched file: what it was when it was loaded, and when it was last looked at.
struct Watched {
    loaded: Stamp,
    seen: Stamp,
}

/// Watches, and has the core told, until it is dropped.
pub(super) struct Reloader {
    request: TableRequest,
    groups: Option<PathBuf>,
    watch: bool,
    core: Sender<Message>,
    hangup: Signal,
    files: HashMap<PathBuf, Watched>,
}

impl Reloader {
    /// Watches the files of a request that is about to be loaded, and the groups' file. Without `watch`, only SIGHUP
    /// loads again; from here on it is caught.
    ///
    /// # Errors
    /// SIGHUP cannot be caught.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub(super) fn new(
        request: TableRequest,
        groups: Option<PathBuf>,
        watch: bool,
        core: Sender<Message>,
    ) -> std::io::Result<Self> {
        let parts = request.parts().unwrap_or_default();
        let files = parts.iter().filter_map(|part| part.file().cloned()).chain(groups.clone());
        let files = files
            .map(|path| {
                let stamp = stamp(&path);
                (path, Watched { loaded: stamp, seen: stamp })
            })
            .collect();
        Ok(Self { request, groups, watch, core, hangup: signal(SignalKind::hangup())?, files })
    }

    /// Goes on until the core is gone.
    pub(super) async fn run(mut self) {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let changed: Vec<PathBuf> = tokio::select! {
                _ = self.hangup.recv() => {
                    info!("SIGHUP: loading all tables again");
                    self.files.keys().cloned().collect()
                }
                _ = look.tick(), if self.watch => self.changed(),
            };
            if !changed.is_empty() && !self.load(changed).await {
                return;
            }
        }
    }

    /// Files that are no more what was loaded, and stand still.
    fn changed(&mut self) -> Vec<PathBuf> {
        let mut changed = Vec::new();
        for (path, watched) in &mut self.files {
            let now = stamp(path);
            // A file that is away for a moment is being replaced; SIGHUP says so if it stays away.
            if now.is_some() && now != watched.loaded && now == watched.seen {
                changed.push(path.clone());
            }
            watched.seen = now;
        }
        changed
    }

    /// Loads what these files are parts of; false when nobody is there to tell.
    async fn load(&mut self, files: Vec<PathBuf>) -> bool {
        for path in &files {
            if let Some(watched) = self.files.get_mut(path) {
                watched.loaded = stamp(path);
            }
        }
        let (request, groups, core) = (self.request.clone(), self.groups.clone(), self.core.clone());
        let loading = tokio::task::spawn_blocking(move || {
            if let Some(path) = groups.filter(|path| files.contains(path)) {
                match Groups::builtin().and_then(|groups| groups.with_file(&path)) {
                    Ok(groups) => {
                        if core.send(Message::Groups(groups.into())).is_err() {
                            return false;
                        }
                    }
                    Err(error) => warn!("{error}; the groups stay as they were"),
                }
            }
            let parts: Vec<_> = request
                .parts()
                .unwrap_or_default()
                .into_iter()
                .filter(|part| part.file().is_some_and(|path| files.contains(path)))
                .map(|part: Part| {
                    let loaded = part.load(&request.options, &mut |_| {});
                    (part, loaded)
                })
                .collect();
            parts.is_empty() || core.send(Message::Tables(parts)).is_ok()
        });
        loading.await.unwrap_or(true)
    }
}
