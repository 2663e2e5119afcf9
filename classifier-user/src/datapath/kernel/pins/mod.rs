//! What outlives the agent: maps, programs and links pinned in a BPF file system, and what they say of themselves.
//!
//! ```text
//! /sys/fs/bpf/classifier/v<abi>/<instance>/
//!     links/<ifindex>_rx, <ifindex>_tx                  the programs' places on interfaces
//!     g<number>/META, CLASSES, HOOKS, BANKS[, CARRY, FOLDED]    a generation: counters, and what they are of
//!              /classifier_xdp, classifier_rx, classifier_tx
//! ```
//!
//! A generation's `CARRY` has what all older ones counted, once its `META` says so; until then these are there too, and
//! what was counted is the sum of all. Its `FOLDED` has what some of them counted, which it names. Reading order: here (directories, locks), `meta` and `records` (forms),
//! `generation` (one of them), `sum` (all of them), `kept` (what is there, for those who only look).

use std::{
    fs::{self, DirBuilder, File, Permissions, TryLockError},
    io,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _},
    },
    path::{Path, PathBuf},
};

use classifier_common::abi::Hook;

use super::sys;

pub(super) mod generation;
mod kept;
pub(super) mod meta;
mod records;
mod sum;

pub use kept::{Kept, carry_bytes, class_bytes, kept};
pub use meta::MetaError;
pub(super) use sum::{Others, fold, sum};

use self::{generation::Generation, meta::Header};
use crate::datapath::privileges;

/// Where an agent's kernel objects are kept, and under what name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// A BPF file system.
    pub bpffs: PathBuf,
    /// One agent's name, of several on a machine.
    pub instance: String,
    /// Under which version of the interface to the programs: this binary's own but in tests.
    pub abi: u32,
}

impl Place {
    /// This binary's place for an instance.
    #[must_use]
    pub fn new(bpffs: PathBuf, instance: String) -> Self {
        Self { bpffs, instance, abi: Header::own_abi() }
    }

    fn root(&self) -> PathBuf {
        self.bpffs.join("classifier")
    }

    fn directory(&self) -> PathBuf {
        self.root().join(format!("v{}", self.abi)).join(&self.instance)
    }
}

/// Why kernel objects could not be kept, or what was kept not be taken over.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// Not where objects can be pinned.
    #[error(
        "{} is not a BPF file system, so nothing can be kept there (mount -t bpf bpf {0}); without `keep_counting` it \
         is not needed",
        path.display()
    )]
    NotBpffs {
        /// Where one was expected.
        path: PathBuf,
    },
    /// Another agent has it.
    #[error(
        "another agent runs as instance `{instance}`: end it first, or give this one a name of its own (`instance`)"
    )]
    Running {
        /// The name.
        instance: String,
    },
    /// It belongs to interfaces that cannot be seen from here.
    #[error(
        "instance `{instance}` counts in another network namespace: run there, or give this agent a name of its own \
         (`instance`)"
    )]
    Elsewhere {
        /// The name.
        instance: String,
    },
    /// Somebody else may write where counters and programs are taken from.
    #[error(
        "{} belongs to the user {uid} (mode {mode:03o}), and others than this one may write there: see what is in it, and \
         remove it, or make it root's alone (chown root, chmod 700)",
        path.display()
    )]
    Exposed {
        /// The directory.
        path: PathBuf,
        /// Its owner.
        uid: u32,
        /// Its permissions.
        mode: u32,
    },
    /// A system call failed.
    #[error("{}: {what}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A map that is not what its description says.
    #[error(
        "{} is a map of another shape than its generation's ({found}, and not {expected}): nothing was touched; \
         `classifier detach --instance NAME` takes all of it away, with what it counted",
        path.display()
    )]
    Shape {
        /// The pin.
        path: PathBuf,
        /// What it is.
        found: String,
        /// What it should be.
        expected: String,
    },
    /// A description that cannot be read.
    #[error(
        "{} cannot be taken over: {source}: nothing was touched; `classifier detach --instance NAME` takes all of \
         it away, with what it counted",
        path.display()
    )]
    Meta {
        /// The pin.
        path: PathBuf,
        /// Why.
        source: MetaError,
    },
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PinError {
    move |source| PinError::Io { what, path: path.to_owned(), source }
}

/// One instance's pins, held by one agent at a time.
#[derive(Debug)]
pub(super) struct Pins {
    place: Place,
    directory: PathBuf,
    /// Locks end with the process, whatever way that goes.
    _locks: Vec<File>,
}

fn make(directory: &Path) -> Result<(), PinError> {
    match DirBuilder::new().mode(0o700).create(directory) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => close(directory),
        made => made.map_err(failed("making a directory", directory)),
    }
}

/// Sees to it that nobody else can write to a directory that is there: who can might exchange what is counted, or by what.
fn close(directory: &Path) -> Result<(), PinError> {
    let metadata = fs::symlink_metadata(directory).map_err(failed("looking at it", directory))?;
    let (uid, mode) = (metadata.uid(), metadata.mode() & 0o7777);
    if uid == privileges::acts_as() && metadata.is_dir() {
        return match mode & 0o077 {
            0 => Ok(()),
            _ => fs::set_permissions(directory, Permissions::from_mode(0o700))
                .map_err(failed("closing it to others", directory)),
        };
    }
    // What root has made and nobody else writes to is as good.
    if uid == 0 && metadata.is_dir() && mode & 0o022 == 0 {
        return Ok(());
    }
    Err(PinError::Exposed { path: directory.to_owned(), uid, mode })
}

fn entries(directory: &Path) -> Vec<(String, PathBuf)> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut entries: Vec<_> =
        entries.filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path()))).collect();
    entries.sort();
    entries
}

/// The calling thread's network namespace, by its inode; 0 where that cannot be seen.
pub(super) fn namespace() -> u64 {
    fs::metadata("/proc/thread-self/ns/net").map_or(0, |metadata| metadata.ino())
}

/// Whether an instance counts in another network namespace, which cannot be seen from here. Its last generation says in
/// which it does; only where each of its interfaces has a place that is pinned, and that the kernel has ended, is it over.
pub(super) fn elsewhere(last: Option<&Generation>, links: &[(u32, Hook, PinnedLink)]) -> bool {
    let Some(last) = last.filter(|last| !last.is_of_here()) else { return false };
    let is_pinned = |ifindex: u32| links.iter().any(|(index, _, _)| *index == ifindex);
    let mut labels = last.labels.iter().filter(|label| label.ifindex != 0 && label.attached != [false; 2]);
    links.iter().any(|(_, _, link)| link.info.ifindex != 0) || labels.any(|label| !is_pinned(label.ifindex))
}

/// The directories that instances of this name have, under whatever version.
fn versions(place: &Place) -> Vec<PathBuf> {
    let of_abi = entries(&place.root()).into_iter().filter(|(name, _)| name.starts_with('v'));
    of_abi.map(|(_, path)| path.join(&place.instance)).filter(|path| path.is_dir()).collect()
}

/// Holds a directory.
fn lock(directory: &Path, instance: &str) -> Result<File, PinError> {
    let file = File::open(directory).map_err(failed("opening the directory", directory))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(PinError::Running { instance: instance.to_owned() }),
        Err(TryLockError::Error(error)) => Err(failed("locking the directory", directory)(error)),
    }
}

/// Whether objects can be pinned there.
#[must_use]
pub fn can_pin(bpffs: &Path) -> bool {
    sys::is_bpffs(bpffs).unwrap_or(false)
}

/// A link that is pinned.
#[derive(Debug)]
pub(super) struct PinnedLink {
    pub(super) path: PathBuf,
    pub(super) fd: OwnedFd,
    pub(super) info: sys::LinkInfo,
}

impl Pins {
    /// Takes an instance, which is made where there is none.
    pub(super) fn open(place: &Place) -> Result<Self, PinError> {
        if !sys::is_bpffs(&place.bpffs).map_err(failed("looking at it", &place.bpffs))? {
            return Err(PinError::NotBpffs { path: place.bpffs.clone() });
        }
        let directory = place.directory();
        let root = place.root();
        make(&root)?;
        // Others of its name first: an agent of another version may run.
        let mut locks = Vec::new();
        for other in versions(place) {
            other.parent().map_or(Ok(()), close)?;
            close(&other)?;
            for (_, inner) in entries(&other).into_iter().filter(|(_, path)| path.is_dir()) {
                close(&inner)?;
            }
            locks.push(lock(&other, &place.instance)?);
        }
        if !directory.is_dir() {
            for directory in directory.ancestors().take(2).collect::<Vec<_>>().into_iter().rev() {
                make(directory)?;
            }
            locks.push(lock(&directory, &place.instance)?);
        }
        make(&directory.join("links"))?;
        Ok(Self { place: place.clone(), directory, _locks: locks })
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// Directories of generations, under whatever version, by their numbers.
    pub(super) fn generations(&self) -> Vec<(u64, PathBuf)> {
        let mut found: Vec<(u64, PathBuf)> = versions(&self.place)
            .iter()
            .flat_map(|directory| entries(directory))
            .filter_map(|(name, path)| Some((name.strip_prefix('g')?.parse().ok()?, path)))
            .collect();
        found.sort();
        found
    }

    /// Makes the directory of the next generation, empty.
    pub(super) fn next(&self) -> Result<(u64, PathBuf), PinError> {
        let number = self.generations().last().map_or(1, |(number, _)| number + 1);
        let path = self.directory.join(format!("g{number}"));
        make(&path)?;
        Ok((number, path))
    }

    /// Where a link is pinned.
    pub(super) fn link_path(&self, ifindex: u32, hook: Hook) -> PathBuf {
        let hook = if hook == Hook::Rx { "rx" } else { "tx" };
        self.directory.join("links").join(format!("{ifindex}_{hook}"))
    }

    /// Links that are pinned, under whatever version, with the interface and hook that their names say.
    pub(super) fn links(&self) -> Vec<(u32, Hook, PinnedLink)> {
        let all = versions(&self.place).into_iter().flat_map(|directory| entries(&directory.join("links")));
        all.filter_map(|(name, path)| {
            let (ifindex, hook) = name.split_once('_')?;
            let hook = match hook {
                "rx" => Hook::Rx,
                "tx" => Hook::Tx,
                _ => return None,
            };
            let fd = sys::pinned(&path).ok()?;
            let info = sys::link_info(fd.as_fd()).ok()?;
            Some((ifindex.parse().ok()?, hook, PinnedLink { path, fd, info }))
        })
        .collect()
    }

    /// Brings a link of another version's directory here, at once: at no moment it is in none, or in both.
    pub(super) fn move_here(&self, link: &PinnedLink, ifindex: u32, hook: Hook) -> Result<(), PinError> {
        let path = self.link_path(ifindex, hook);
        if path != link.path {
            fs::rename(&link.path, &path).map_err(failed("moving a pinned link here", &path))?;
        }
        Ok(())
    }

    /// Takes a generation's pins away. Its maps go once nothing uses them.
    pub(super) fn remove(&self, generation: &Path) {
        remove_all(generation);
        // A version's directory that has nothing more in it.
        for other in versions(&self.place).iter().filter(|other| **other != self.directory) {
            remove_empty(other);
        }
    }

    /// Takes everything away.
    pub(super) fn remove_everything(&self) {
        for directory in versions(&self.place) {
            remove_all(&directory);
            if let Some(version) = directory.parent() {
                let _ = fs::remove_dir(version);
            }
        }
        let _ = fs::remove_dir(self.place.root());
    }
}

/// Removes an instance's directory if nothing is in it.
pub(super) fn remove_if_empty(pins: &Pins) {
    remove_empty(&pins.directory);
    let _ = fs::remove_dir(pins.place.root());
}

/// Removes an instance's directory, and its version's, if they are empty.
fn remove_empty(instance: &Path) {
    let _ = fs::remove_dir(instance.join("links"));
    if fs::remove_dir(instance).is_ok()
        && let Some(version) = instance.parent()
    {
        let _ = fs::remove_dir(version);
    }
}

/// What is in a directory, in the order in which it is removed: first what a generation is known by, so that of one whose
/// removal was killed the rest was never whole, and is not read.
pub(super) fn removal(directory: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> = entries(directory).into_iter().map(|(_, path)| path).collect();
    found.sort_by_key(|path| !path.ends_with(generation::META));
    found
}

/// Removes pins and directories, as far as that goes.
fn remove_all(directory: &Path) {
    for path in removal(directory) {
        if path.is_dir() { remove_all(&path) } else { drop(fs::remove_file(&path)) }
    }
    let _ = fs::remove_dir(directory);
}

/// Every instance that there is.
pub(super) fn instances(bpffs: &Path) -> Vec<Place> {
    let mut places: Vec<Place> = Vec::new();
    for (version, path) in entries(&bpffs.join("classifier")) {
        let Some(abi) = version.strip_prefix('v').and_then(|abi| abi.parse().ok()) else { continue };
        for (instance, _) in entries(&path).into_iter().filter(|(_, path)| path.is_dir()) {
            let place = Place { bpffs: bpffs.to_owned(), instance, abi };
            if !places.iter().any(|known| known.instance == place.instance) {
                places.push(place);
            }
        }
    }
    places
}

/// An instance's pins, whoever holds them: to take them away.
pub(super) fn unlocked(place: &Place) -> Pins {
    Pins { place: place.clone(), directory: place.directory(), _locks: Vec::new() }
}
