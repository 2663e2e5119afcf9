//! What agents before this one have recorded of what the kernel counts: from a file for each counting, and from the journals
//! of slots that are not in the store.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use super::{
    finished::LinkKey,
    journal::{get_line, get_links, get_text, put_line, put_links, put_text, take},
    open::{Line, NO_GROUP},
};
use crate::{
    datapath::adopted::CountId,
    model::{Counter, Family, Hook, Owner},
    totals::packed::{Unpack, get, put},
};

/// Names of files begin and end with this; between them is the counting's number.
const NAME: (&str, &str) = ("kernel-", ".taken");
const MAGIC: &[u8; 4] = b"CLST";
/// In its place where the file is not true any more.
const UNTRUE: &[u8; 4] = b"OLD!";
const VERSION: u64 = 2;

/// Where it is written what was taken of a counting.
pub(super) fn file_of(directory: &Path, count: CountId) -> PathBuf {
    let number: String = count.0.iter().map(|byte| format!("{byte:02x}")).collect();
    directory.join(format!("{}{number}{}", NAME.0, NAME.1))
}

/// The counting that a file of this name is of.
fn count_of(name: &str) -> Option<CountId> {
    let number = name.strip_prefix(NAME.0)?.strip_suffix(NAME.1)?;
    let number = (number.len() == 32).then(|| u128::from_str_radix(number, 16).ok()).flatten()?;
    Some(CountId(number.to_be_bytes()))
}

/// What the kernel calls the time since the machine was started.
fn boot() -> String {
    let read = fs::read_to_string("/proc/sys/kernel/random/boot_id");
    read.map_or_else(|_| String::new(), |id| id.trim().to_owned())
}

/// What a hook had.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct HookTaken {
    pub(super) outcomes: [Counter; 5],
    pub(super) owners: HashMap<Owner, Counter>,
}

/// What is recorded, by counting: instances may have used the directory in turn.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    all: HashMap<CountId, Recorded>,
    /// The life of which sweeps are read.
    life: Option<Life>,
    /// Files of countings that ended with the machine.
    ended: Vec<PathBuf>,
}

/// What is recorded of a counting.
#[derive(Clone, Debug, Default)]
pub(super) struct Recorded {
    /// It is there and cannot be relied upon.
    pub(super) broken: bool,
    /// The number of the next sweep.
    pub(super) next: u64,
    pub(super) last: Option<SystemTime>,
    pub(super) links: Vec<(LinkKey, [HookTaken; 2])>,
    /// Journals had more than its file.
    changed: bool,
}

#[derive(Clone, Debug)]
struct Life {
    count: CountId,
    /// The number of its next sweep.
    next: u64,
    /// Places among [`Recorded::links`].
    links: Vec<usize>,
    owners: HashMap<u32, Owner>,
}

impl Known {
    /// What the files say.
    pub(super) fn open(directory: &Path) -> Self {
        let mut known = Self::default();
        let boot = boot();
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let Some(count) = entry.file_name().to_str().and_then(count_of) else { continue };
            let bytes = fs::read(entry.path()).unwrap_or_default();
            if boot_of(&bytes).is_some_and(|its| its != boot) {
                known.ended.push(entry.path());
                continue;
            }
            let broken = || Recorded { broken: true, ..Recorded::default() };
            known.all.insert(count, parse(&bytes).unwrap_or_else(broken));
        }
        known
    }

    /// When the last sweep of a counting was.
    pub(super) fn last_of(&self, count: CountId) -> Option<SystemTime> {
        self.all.get(&count)?.last
    }

    /// What is recorded of a counting, which this knows no more.
    pub(super) fn take(&mut self, count: CountId) -> Option<Recorded> {
        self.all.remove(&count)
    }

    /// A life begins in a journal, whose sweeps are of this counting from this number on.
    pub(super) fn life(&mut self, count: CountId, first: u64, links: &[LinkKey]) {
        self.life = None;
        if count == CountId::default() {
            return;
        }
        // Without a file it is known from its first sweep on only.
        let fresh = || Recorded { broken: first != 0, ..Recorded::default() };
        let recorded = self.all.entry(count).or_insert_with(fresh);
        let links = links.iter().map(|link| recorded.place(link)).collect();
        self.life = Some(Life { count, next: first, links, owners: HashMap::new() });
    }

    /// A sweep of that life.
    pub(super) fn sweep(&mut self, at: SystemTime, defined: &[(u32, Line)], hooks: &[([Counter; 5], &[u8])]) {
        let Some(life) = &mut self.life else { return };
        let Some(recorded) = self.all.get_mut(&life.count) else { return };
        life.owners.extend(defined.iter().map(|(number, line)| (*number, line.owner)));
        let number = life.next;
        life.next += 1;
        if number < recorded.next || recorded.broken {
            return;
        }
        recorded.changed = true;
        if number > recorded.next {
            recorded.broken = true;
            return;
        }
        recorded.next += 1;
        recorded.last = Some(recorded.last.map_or(at, |last| last.max(at)));
        for (place, (outcomes, remote)) in hooks.iter().enumerate() {
            let Some(link) = life.links.get(place / 2).and_then(|&link| recorded.links.get_mut(link)) else {
                continue;
            };
            let Some(hook) = link.1.get_mut(place % 2) else { continue };
            for (sum, outcome) in hook.outcomes.iter_mut().zip(outcomes) {
                *sum += *outcome;
            }
            for (owner, counter) in Unpack::new(remote) {
                match life.owners.get(&owner) {
                    Some(owner) => *hook.owners.entry(*owner).or_default() += counter,
                    None => recorded.broken = true,
                }
            }
        }
    }

    /// Writes what journals had more than the files, which say no more what they said where it cannot be told any more.
    ///
    /// # Errors
    /// The disk did not take it.
    pub(super) fn write(&mut self, directory: &Path) -> io::Result<()> {
        for (&count, recorded) in self.all.iter_mut().filter(|(_, recorded)| recorded.changed) {
            if recorded.broken {
                disown(directory, count);
            } else {
                recorded.write(directory, count)?;
            }
            recorded.changed = false;
        }
        Ok(())
    }

    /// Marks the files of what journals had more than these as not true any more.
    pub(super) fn disown(&self, directory: &Path) {
        for (&count, _) in self.all.iter().filter(|(_, recorded)| recorded.changed) {
            disown(directory, count);
        }
    }

    /// Removes files of what the kernel does not have any more.
    pub(super) fn forget_ended(&mut self) {
        for path in self.ended.drain(..) {
            let _ = fs::remove_file(path);
        }
    }
}

impl Recorded {
    fn place(&mut self, link: &LinkKey) -> usize {
        self.links.iter().position(|(known, _)| known.same(link)).unwrap_or_else(|| {
            self.links.push((link.clone(), Default::default()));
            self.links.len() - 1
        })
    }

    fn write(&self, directory: &Path, count: CountId) -> io::Result<()> {
        let hooks = self.links.iter().flat_map(|(_, hooks)| hooks).map(|hook| {
            let owners = hook.owners.iter().map(|(owner, counter)| (*owner, *counter));
            (hook.outcomes, owners.collect())
        });
        let links: Vec<_> = self.links.iter().map(|(link, _)| link.clone()).collect();
        let last = self.last.unwrap_or(SystemTime::UNIX_EPOCH);
        store(directory, count, Written { next: self.next, last, links: &links }.encode(hooks))
    }

    /// What of prefixes was taken becomes their AS's.
    pub(super) fn fold(&mut self) {
        for hook in self.links.iter_mut().flat_map(|(_, hooks)| hooks) {
            for (owner, counter) in std::mem::take(&mut hook.owners) {
                let owner = match owner {
                    Owner::Route { asn, .. } => Owner::As { family: owner.family(), asn },
                    other => other,
                };
                *hook.owners.entry(owner).or_default() += counter;
            }
        }
    }
}

/// Marks a counting's file as not true any more, without a byte more of disk where there is one. Where there is none, an empty
/// one does.
pub(super) fn disown(directory: &Path, count: CountId) {
    let path = file_of(directory, count);
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
    let Ok(file) = file else { return };
    let mut out = UNTRUE.to_vec();
    put(&mut out, VERSION);
    put_text(&mut out, &boot());
    let _ = file.write_all_at(&out, 0);
}

/// Since which start of the machine it was counted what a file is of, be that true or not.
fn boot_of(bytes: &[u8]) -> Option<&str> {
    let (_, mut rest) = bytes.split_first_chunk::<4>()?;
    (get(&mut rest)? == VERSION).then(|| get_text(&mut rest)).flatten()
}

fn micros(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_micros() as u64
}

/// What a file begins with.
pub(super) struct Written<'a> {
    /// The number of the next sweep.
    pub(super) next: u64,
    /// When the last one was.
    pub(super) last: SystemTime,
    pub(super) links: &'a [LinkKey],
}

impl Written<'_> {
    /// What [`store`] takes: it, and what hooks of its links had.
    pub(super) fn encode(
        &self,
        hooks: impl Iterator<Item = ([Counter; 5], Vec<(Owner, Counter)>)>,
    ) -> Vec<u8> {
        let Self { next, last, links } = self;
        let mut out = MAGIC.to_vec();
        put(&mut out, VERSION);
        put_text(&mut out, &boot());
        put(&mut out, *next);
        put(&mut out, micros(*last));
        put_links(&mut out, links);
        for (outcomes, owners) in hooks {
            for Counter { packets, bytes } in outcomes {
                put(&mut out, packets);
                put(&mut out, bytes);
            }
            put(&mut out, owners.len() as u64);
            for (owner, Counter { packets, bytes }) in owners {
                put_line(&mut out, &Line { owner, group: NO_GROUP });
                put(&mut out, packets);
                put(&mut out, bytes);
            }
        }
        out
    }
}

/// Writes a counting's file, as a whole or not at all. It may take as long as a disk does.
///
/// # Errors
/// The disk did not take it: what was there is there.
pub(super) fn store(directory: &Path, count: CountId, mut encoded: Vec<u8>) -> io::Result<()> {
    let crc = crc32fast::hash(&encoded);
    encoded.extend_from_slice(&crc.to_le_bytes());
    let path = file_of(directory, count);
    let new = path.with_extension("new");
    let mut file: File = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    let written = file.write_all(&encoded);
    drop(file);
    let renamed = written.and_then(|()| fs::rename(&new, path));
    if renamed.is_err() {
        let _ = fs::remove_file(&new);
    }
    renamed
}

fn parse(bytes: &[u8]) -> Option<Recorded> {
    let (body, crc) = bytes.split_last_chunk::<4>()?;
    if crc32fast::hash(body) != u32::from_le_bytes(*crc) {
        return None;
    }
    let mut rest = body;
    let rest = &mut rest;
    if take::<4>(rest)? != MAGIC || get(rest)? != VERSION {
        return None;
    }
    get_text(rest)?;
    let next = get(rest)?;
    let last = SystemTime::UNIX_EPOCH.checked_add(Duration::from_micros(get(rest)?))?;
    let counter = |rest: &mut &[u8]| Some(Counter { packets: get(rest)?, bytes: get(rest)? });
    let mut links = Vec::new();
    for link in get_links(rest)? {
        let mut hooks: [HookTaken; 2] = Default::default();
        for hook in &mut hooks {
            for outcome in &mut hook.outcomes {
                *outcome = counter(rest)?;
            }
            for _ in 0..get(rest)? {
                let owner = get_line(rest)?.owner;
                *hook.owners.entry(owner).or_default() += counter(rest)?;
            }
        }
        links.push((link, hooks));
    }
    Some(Recorded { next, last: Some(last), links, ..Recorded::default() })
}

const _: () = assert!(Hook::ALL.len() == 2 && Family::Ipv4 as usize == 0);
