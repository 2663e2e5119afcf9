//! The store as what the recorder writes to.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use jiff::Timestamp;

use super::archive::{NotOpened, Opened, Opener, Sink, SinkError};
use crate::{
    history::{
        ClosedSlot, Keep, LinkNo, Read, StoredPrefix, Subject,
        keeper::Keeper,
        store::{self, Options, Reader, Store, StoreError},
    },
    model::{LinkKind, Role},
};

/// What damage was met while the store was in use; it is set aside when it is opened again.
type Damage = Arc<Mutex<Option<String>>>;

/// Opens the store in this directory, and keeps of it what is to be kept.
pub(crate) fn opener(directory: PathBuf, options: Options, keep: Keep) -> Opener {
    let damage = Damage::default();
    Box::new(move || {
        let opened = open(&directory, &options, &damage).map_err(|why| NotOpened {
            // Such as one on a disk that is read-only, or that an import writes to.
            reader: match why {
                StoreError::Newer { .. } => None,
                _ => Reader::open(&directory).ok().map(|reader| Arc::new(reader) as Arc<dyn Read>),
            },
            why: why.into(),
        })?;
        let store::Opened { store, set_aside, migrated } = opened;
        let mut notices = Vec::new();
        if let Some(aside) = set_aside {
            notices.push(format!(
                "the store was damaged ({}); it is now {}, and a new one is begun",
                aside.why,
                aside.path.display()
            ));
        }
        if let Some(migrated) = migrated {
            notices.push(format!(
                "the store was of version {}; as it was it is in {}",
                migrated.from,
                migrated.copy.display()
            ));
        }
        Ok(Opened {
            reader: Arc::new(store.reader()),
            last_slot: store.last_slot(),
            sink: Box::new(Kept {
                store,
                keeper: Keeper::new(keep.clone()),
                max_bytes: keep.max_bytes,
                damage: damage.clone(),
            }),
            notices,
        })
    })
}

fn open(directory: &Path, options: &Options, damage: &Damage) -> Result<store::Opened, StoreError> {
    let opened = Store::open(directory, options.clone())?;
    let damaged = damage.lock().unwrap_or_else(PoisonError::into_inner).take();
    match damaged.filter(|_| opened.set_aside.is_none()) {
        Some(why) => opened.store.set_aside(&why),
        None => Ok(opened),
    }
}

struct Kept {
    store: Store,
    keeper: Keeper,
    max_bytes: u64,
    damage: Damage,
}

impl Kept {
    fn noted<T>(&self, done: Result<T, StoreError>) -> Result<T, SinkError> {
        done.map_err(|error| {
            if error.is_damaged() {
                *self.damage.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
            }
            error.into()
        })
    }
}

impl Sink for Kept {
    fn link(&mut self, name: &str, role: Role, kind: Option<LinkKind>) -> Result<LinkNo, SinkError> {
        let done = self.store.link(name, role, kind);
        self.noted(done)
    }

    fn group(&mut self, key: &str) -> Result<Subject, SinkError> {
        let done = self.store.group(key);
        self.noted(done)
    }

    fn prefixes(&mut self, prefixes: &[StoredPrefix]) -> Result<Vec<Subject>, SinkError> {
        let done = self.store.prefixes(prefixes);
        self.noted(done)
    }

    fn append(&mut self, slot: &ClosedSlot) -> Result<(), SinkError> {
        let done = self.store.append(slot);
        self.noted(done)
    }

    fn maintain(&mut self, now: Timestamp) -> Result<bool, SinkError> {
        let done = self.keeper.step(&mut self.store, now);
        self.noted(done)
    }

    fn bytes(&self) -> u64 {
        self.store.usage().map_or(0, |usage| usage.file)
    }

    fn concern(&self) -> Option<String> {
        self.keeper.is_over_cap().then(|| {
            format!(
                "the store takes more than max_bytes ({}) although all that may be dropped of it is; give it more",
                self.max_bytes
            )
        })
    }
}
