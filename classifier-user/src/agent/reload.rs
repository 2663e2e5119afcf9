//! Loading tables again: on SIGHUP, and when their files change.

use std::{collections::HashMap, path::PathBuf, sync::mpsc::Sender};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

use super::core::Message;
use crate::{
    ingest::set::{Part, TableRequest},
    notify::Notifier,
    table::groups::Groups,
    watched::{LOOK, Watched},
};

/// Watches, and has the core told, until it is dropped.
pub(super) struct Reloader {
    request: TableRequest,
    groups: Option<PathBuf>,
    watch: bool,
    core: Sender<Message>,
    hangup: Signal,
    manager: Notifier,
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
        manager: Notifier,
    ) -> std::io::Result<Self> {
        let parts = request.parts().unwrap_or_default();
        let files = parts.iter().filter_map(|part| part.file().cloned()).chain(groups.clone());
        let files = files
            .map(|path| {
                let watched = Watched::new(&path);
                (path, watched)
            })
            .collect();
        Ok(Self { request, groups, watch, core, hangup: signal(SignalKind::hangup())?, manager, files })
    }

    /// Goes on until the core is gone.
    pub(super) async fn run(mut self) {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let (told, changed): (bool, Vec<PathBuf>) = tokio::select! {
                _ = self.hangup.recv() => {
                    info!("SIGHUP: loading all tables again");
                    self.manager.reloading();
                    (true, self.files.keys().cloned().collect())
                }
                _ = look.tick(), if self.watch => (false, self.changed()),
            };
            if !changed.is_empty() && !self.load(changed).await {
                return;
            }
            if told {
                // It is done when the core has put in what was loaded, which it was told before this.
                let manager = self.manager.clone();
                let _ = self.core.send(Message::Ask(Box::new(move |_| manager.ready())));
            }
        }
    }

    /// Files that are no more what was loaded, and stand still.
    fn changed(&mut self) -> Vec<PathBuf> {
        let changed =
            self.files.iter_mut().filter_map(|(path, watched)| watched.changed(path).then(|| path.clone()));
        changed.collect()
    }

    /// Loads what these files are parts of; false when nobody is there to tell.
    async fn load(&mut self, files: Vec<PathBuf>) -> bool {
        for path in &files {
            if let Some(watched) = self.files.get_mut(path) {
                watched.loading(path);
            }
        }
        let (request, groups, core) = (self.request.clone(), self.groups.clone(), self.core.clone());
        let loading = tokio::task::spawn_blocking(move || {
            if let Some(path) = groups.filter(|path| files.contains(path)) {
                match Groups::with(Some(&path)) {
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
