//! Journals: what every sweep added to a slot, on disk before the slot is in the store.
//!
//! There is one file a slot, `slot-NUMBER.journal`, removed when the store has the slot. It is a sequence of frames: length
//! and CRC-32 of the payload (u32, little-endian), and the payload, in which numbers are LEB128:
//!
//! - *life*: [`MAGIC`], [`VERSION`], the slot's number, links, group keys, and from version 3 on which counting of the kernel's
//!   it is of (16 zero bytes where counting ends with the agent) and the number of the next sweep (`taken`). Says what
//!   numbers mean from here on: the agent was started again, or groups have changed.
//! - *sweep*: its time and length, new group keys, new owners, and by hook the outcomes and the counters of owners, packed
//!   as in memory; from version 2 on then those of neighbours and of carriers, IPv4 and IPv6, by AS number.
//!
//! Older versions are read as they are. What a newer one wrote is set aside, whole, for it to find.
//!
//! A frame is written by one call, and what was written before a `kill -9` stays: no sync is needed for that. Power is
//! another matter: a slot is synced when it is over. What a disk does not take waits, also when its slot is over (`behind`).

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufReader, Read as _},
    mem,
    ops::Range,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use super::{
    behind::Behind,
    finished::LinkKey,
    known::Known,
    open::{Line, NO_GROUP, Open},
};
use crate::{
    datapath::adopted::CountId,
    model::{Family, Ipv4Network, Ipv6Network, LinkKind, Owner, Prefix, Role},
    totals::{
        SweepDelta,
        packed::{Unpack, get, put},
    },
};

/// Slots that there can be: until the year 2500, as in the store.
const SLOTS: Range<i64> = 0..56_000_000;
const MAGIC: &[u8; 4] = b"CLSJ";
pub(super) const VERSION: u64 = 3;
/// The last one without neighbours and carriers in *sweep*.
const WITHOUT_WAYS: u64 = 1;
/// The last one without a counting in *life*.
const WITHOUT_COUNT: u64 = 2;
const LIFE: u8 = 1;
const SWEEP: u8 = 2;
/// Bytes of a frame before its payload.
const HEAD: usize = 8;
/// What waits in memory for a disk that does not take it: of the open slot, and as much of those that are over.
pub(super) const WAITING: usize = 64 << 20;

/// The journal of the open slot.
#[derive(Debug)]
pub(super) struct Journal {
    directory: PathBuf,
    file: Option<File>,
    slot: i64,
    /// Bytes of whole frames in the file.
    written: u64,
    /// Frames that the disk did not take yet.
    waiting: Vec<u8>,
    /// Frames were given up: the file cannot tell the whole slot any more.
    holes: bool,
    /// What the disk did not take of slots that are over.
    pub(super) behind: Behind,
    /// Group keys that the file has in this life.
    groups: usize,
    payload: Vec<u8>,
}

/// Where a slot's journal is.
pub(super) fn path(directory: &Path, slot: i64) -> PathBuf {
    directory.join(format!("slot-{slot}.journal"))
}

/// A slot's journal to be written on behind its `written` good bytes.
///
/// # Errors
/// It cannot be written to, or has not got these bytes.
pub(super) fn go_on(directory: &Path, slot: i64, written: u64) -> io::Result<File> {
    let path = path(directory, slot);
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
    if file.metadata()?.len() < written {
        return Err(io::Error::other("somebody else has cut or removed it"));
    }
    file.set_len(written)?;
    Ok(file)
}

/// Removes a slot's journal, if there is one.
pub(super) fn remove(directory: &Path, slot: i64) -> io::Result<()> {
    match fs::remove_file(path(directory, slot)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The slots that have journals here, ascending.
pub(super) fn slots(directory: &Path) -> io::Result<Vec<i64>> {
    let mut slots = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix("slot-")?.strip_suffix(".journal"));
        slots
            .extend(number.and_then(|number| number.parse::<i64>().ok()).filter(|slot| SLOTS.contains(slot)));
    }
    slots.sort_unstable();
    Ok(slots)
}

impl Journal {
    /// A journal of no slot yet.
    pub(super) fn new(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            file: None,
            slot: 0,
            written: 0,
            waiting: Vec::new(),
            holes: false,
            behind: Behind::default(),
            groups: 0,
            payload: Vec::new(),
        }
    }

    /// Begins with a slot, whose file has `written` good bytes.
    pub(super) fn begin(&mut self, slot: i64, written: u64) {
        self.file = None;
        self.slot = slot;
        self.written = written;
        self.waiting.clear();
        self.waiting.shrink_to(1 << 16);
        self.holes = false;
    }

    /// Ends with the slot. What the disk did not take of it waits on.
    pub(super) fn close(&mut self) {
        self.file = None;
        let (frames, holes) = (mem::take(&mut self.waiting), mem::take(&mut self.holes));
        self.behind.take(self.slot, self.written, frames, holes);
    }

    /// Says what numbers mean from here on; to be written with the next sweep.
    pub(super) fn life(&mut self, open: &Open, links: &[LinkKey], (count, next): (CountId, u64)) {
        let payload = &mut self.payload;
        payload.clear();
        payload.push(LIFE);
        payload.extend_from_slice(MAGIC);
        put(payload, VERSION);
        payload.extend_from_slice(&open.number.to_le_bytes());
        put_links(payload, links);
        put(payload, open.groups().len() as u64);
        open.groups().iter().for_each(|group| put_text(payload, group));
        self.groups = open.groups().len();
        payload.extend_from_slice(&count.0);
        put(payload, next);
        self.frame();
    }

    /// Takes what a sweep added, and whom the numbers that are new in it stand for; to be written by [`Journal::flush`].
    pub(super) fn sweep(
        &mut self,
        open: &Open,
        at: SystemTime,
        elapsed: Duration,
        delta: &SweepDelta,
        defined: &[(u32, Line)],
    ) {
        let payload = &mut self.payload;
        payload.clear();
        payload.push(SWEEP);
        put(payload, micros(at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()));
        put(payload, micros(elapsed));
        let groups = open.groups().get(self.groups..).unwrap_or_default();
        put(payload, groups.len() as u64);
        groups.iter().for_each(|group| put_text(payload, group));
        self.groups = open.groups().len();
        put(payload, defined.len() as u64);
        for (owner, line) in defined {
            put(payload, u64::from(*owner));
            put_line(payload, line);
        }
        put(payload, delta.hooks.len() as u64);
        for hook in &delta.hooks {
            for outcome in hook.outcomes {
                put(payload, outcome.packets);
                put(payload, outcome.bytes);
            }
            for packed in std::iter::once(&hook.remote).chain(&hook.neighbors).chain(&hook.through) {
                put(payload, packed.as_bytes().len() as u64);
                payload.extend_from_slice(packed.as_bytes());
            }
        }
        self.frame();
    }

    fn frame(&mut self) {
        let length = self.payload.len();
        if self.waiting.len() + length > WAITING && !self.waiting.is_empty() {
            // Sweeps on their own would refer to owners that the file does not know: all that follows is given up.
            self.waiting = Vec::new();
            self.holes = true;
        }
        let Ok(length) = u32::try_from(length) else {
            self.holes = true;
            return;
        };
        if self.holes {
            return;
        }
        self.waiting.extend_from_slice(&length.to_le_bytes());
        self.waiting.extend_from_slice(&crc32fast::hash(&self.payload).to_le_bytes());
        self.waiting.extend_from_slice(&self.payload);
    }

    /// Writes what waits, also of slots that are over.
    ///
    /// # Errors
    /// The disk did not take it. It waits on, so long as it is not too much.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        // What is in the way of one of them is not in the way of the others.
        let open = self.flush_open();
        open.and(self.behind.write(&self.directory))
    }

    fn flush_open(&mut self) -> io::Result<()> {
        if self.holes {
            return Err(io::Error::other("too much waited for it; until the slot ends it is in memory only"));
        }
        if self.waiting.is_empty() {
            return Ok(());
        }
        let file = match &self.file {
            Some(file) => file,
            None => {
                let file = go_on(&self.directory, self.slot, self.written)?;
                self.file.insert(file)
            }
        };
        // At a place, so that half of a frame is written over when it is tried again.
        file.write_all_at(&self.waiting, self.written)?;
        self.written += self.waiting.len() as u64;
        self.waiting.clear();
        self.waiting.shrink_to(1 << 20);
        Ok(())
    }

    /// Brings the slot to the disk for good: it is over, or the agent ends.
    ///
    /// # Errors
    /// The disk did not take it.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.flush()?;
        self.file.as_ref().map_or(Ok(()), File::sync_data)
    }
}

/// A slot that a journal tells of.
#[derive(Debug)]
pub(super) struct Restored {
    /// What it says; `None` where it says nothing.
    pub(super) open: Option<Open>,
    /// Bytes up to the first frame that is not whole.
    pub(super) good: u64,
    /// Bytes behind those.
    pub(super) bad: u64,
    /// The version, where what follows is of a newer one.
    pub(super) newer: Option<u64>,
}

/// Reads a slot's journal up to its first bad frame.
///
/// # Errors
/// The file cannot be read.
#[cfg(test)]
pub(super) fn read(directory: &Path, slot: i64, detail: bool) -> io::Result<Restored> {
    read_into(directory, slot, detail, &mut Known::default())
}

/// Reads a slot's journal up to its first bad frame, and tells what of the kernel's counters it has.
///
/// # Errors
/// The file cannot be read.
pub(super) fn read_into(
    directory: &Path,
    slot: i64,
    detail: bool,
    known: &mut Known,
) -> io::Result<Restored> {
    let file = File::open(path(directory, slot))?;
    let length = file.metadata()?.len();
    let mut reader = BufReader::new(file);
    let mut reading =
        Reading { slot, detail, version: VERSION, newer: None, open: None, groups: Vec::new(), known };
    let mut good = 0;
    let mut payload = Vec::new();
    while let Some(size) = next(&mut reader, length - good, &mut payload)? {
        if reading.frame(&payload).is_none() {
            break;
        }
        good += size;
    }
    Ok(Restored { open: reading.open, good, bad: length - good, newer: reading.newer })
}

/// Reads a frame of a file that has `rest` bytes left; its size with its head. `None` where there is no whole one.
fn next(reader: &mut impl io::Read, rest: u64, payload: &mut Vec<u8>) -> io::Result<Option<u64>> {
    let mut head = [0; HEAD];
    if rest < HEAD as u64 {
        return Ok(None);
    }
    reader.read_exact(&mut head)?;
    let [a, b, c, d, crc @ ..] = head;
    let length = u64::from(u32::from_le_bytes([a, b, c, d]));
    if length == 0 || length > rest - HEAD as u64 {
        return Ok(None);
    }
    payload.clear();
    // Not more than the file has.
    reader.take(length).read_to_end(payload)?;
    let whole = payload.len() as u64 == length && crc32fast::hash(payload) == u32::from_le_bytes(crc);
    Ok(whole.then_some(HEAD as u64 + length))
}

struct Reading<'a> {
    slot: i64,
    detail: bool,
    /// Of this life.
    version: u64,
    /// Of a life that cannot be read.
    newer: Option<u64>,
    open: Option<Open>,
    /// Places of this life's groups.
    groups: Vec<u16>,
    known: &'a mut Known,
}

impl Reading<'_> {
    /// Takes a frame in; `None` where it makes no sense, and nothing was taken.
    fn frame(&mut self, payload: &[u8]) -> Option<()> {
        let (&kind, rest) = payload.split_first()?;
        match kind {
            LIFE => self.life(rest),
            SWEEP => self.sweep(rest),
            _ => None,
        }
    }

    fn life(&mut self, mut rest: &[u8]) -> Option<()> {
        let rest = &mut rest;
        if take::<4>(rest)? != MAGIC {
            return None;
        }
        let version = get(rest)?;
        self.newer = Some(version).filter(|&version| version > VERSION);
        if !(1..=VERSION).contains(&version) || i64::from_le_bytes(*take(rest)?) != self.slot {
            return None;
        }
        let links = get_links(rest)?;
        let groups = get_texts(rest)?;
        let (count, next) =
            if version <= WITHOUT_COUNT { <_>::default() } else { (CountId(*take(rest)?), get(rest)?) };
        self.known.life(count, next, &links);
        self.version = version;
        let (slot, detail) = (self.slot, self.detail);
        let open = self.open.get_or_insert_with(|| Open::new(slot, SystemTime::UNIX_EPOCH, detail));
        open.begin_life(&links);
        self.groups = groups.into_iter().map(|group| open.group(Some(group))).collect();
        Some(())
    }

    fn sweep(&mut self, mut rest: &[u8]) -> Option<()> {
        let rest = &mut rest;
        let open = self.open.as_mut()?;
        let at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_micros(get(rest)?))?;
        let elapsed = Duration::from_micros(get(rest)?);
        // All is read before any of it is taken in.
        let groups = get_texts(rest)?;
        let mut defined = Vec::new();
        for _ in 0..get(rest)? {
            defined.push((u32::try_from(get(rest)?).ok()?, get_line(rest)?));
        }
        let mut hooks = Vec::new();
        for _ in 0..get(rest)? {
            let mut outcomes = [crate::model::Counter::ZERO; 5];
            for outcome in &mut outcomes {
                outcome.packets = get(rest)?;
                outcome.bytes = get(rest)?;
            }
            let remote = get_bytes(rest)?;
            let mut ways = [[&[][..]; 2]; 2];
            if self.version > WITHOUT_WAYS {
                for bytes in ways.iter_mut().flatten() {
                    *bytes = get_bytes(rest)?;
                }
            }
            hooks.push((outcomes, remote, ways));
        }
        let counted: Vec<_> = hooks.iter().map(|(outcomes, remote, _)| (*outcomes, *remote)).collect();
        self.known.sweep(at, &defined, &counted);
        self.groups.extend(groups.into_iter().map(|group| open.group(Some(group))));
        for (owner, mut line) in defined {
            line.group = self.groups.get(usize::from(line.group)).copied().unwrap_or(NO_GROUP);
            open.define(owner, line);
        }
        for (hook, (outcomes, remote, ways)) in hooks.into_iter().enumerate() {
            open.add(hook, &outcomes, Unpack::new(remote));
            open.add_ways(hook, ways.map(|of| of.map(Unpack::new)));
        }
        open.last = at;
        open.covered += elapsed;
        Some(())
    }
}

fn micros(duration: Duration) -> u64 {
    duration.as_micros().try_into().unwrap_or(u64::MAX)
}

pub(super) fn put_text(out: &mut Vec<u8>, text: &str) {
    put(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

pub(super) fn put_links(out: &mut Vec<u8>, links: &[LinkKey]) {
    put(out, links.len() as u64);
    for link in links {
        put_text(out, &link.name);
        out.push(link.role as u8);
        out.push(link.kind.map_or(0, |kind| 1 + kind as u8));
    }
}

pub(super) fn get_links(rest: &mut &[u8]) -> Option<Vec<LinkKey>> {
    let mut links = Vec::new();
    for _ in 0..get(rest)? {
        let name = get_text(rest)?.to_owned();
        let [role, kind] = *take(rest)?;
        links.push(LinkKey {
            name,
            role: *[Role::Upstream, Role::Downstream].get(usize::from(role))?,
            kind: match kind.checked_sub(1) {
                None => None,
                Some(kind) => {
                    let kinds = [LinkKind::Transit, LinkKind::Ix, LinkKind::Pni, LinkKind::Customer];
                    Some(*kinds.get(usize::from(kind))?)
                }
            },
        });
    }
    Some(links)
}

pub(super) fn put_line(out: &mut Vec<u8>, line: &Line) {
    put(out, u64::from(line.group));
    match line.owner {
        Owner::Unmatched(family) => out.push(family as u8),
        Owner::As { family, asn } => {
            out.push(2 + family as u8);
            put(out, u64::from(asn));
        }
        Owner::Route { prefix, asn } => {
            out.push(4 + Family::of(&prefix) as u8);
            put(out, u64::from(asn));
            out.push(prefix.netmask());
            match prefix {
                Prefix::V4(prefix) => out.extend_from_slice(&prefix.network_address().octets()),
                Prefix::V6(prefix) => out.extend_from_slice(&prefix.network_address().octets()),
            }
        }
    }
}

pub(super) fn get_line(rest: &mut &[u8]) -> Option<Line> {
    let group = u16::try_from(get(rest)?).ok()?;
    let [kind] = *take(rest)?;
    let family = if kind % 2 == 0 { Family::Ipv4 } else { Family::Ipv6 };
    if kind < 2 {
        return Some(Line { owner: Owner::Unmatched(family), group });
    }
    let asn = u32::try_from(get(rest)?).ok()?;
    let owner = match kind {
        2 | 3 => Owner::As { family, asn },
        4 => {
            let [len] = *take(rest)?;
            let network = Ipv4Network::new((*take::<4>(rest)?).into(), len).ok()?;
            Owner::Route { prefix: network.into(), asn }
        }
        5 => {
            let [len] = *take(rest)?;
            let network = Ipv6Network::new((*take::<16>(rest)?).into(), len).ok()?;
            Owner::Route { prefix: network.into(), asn }
        }
        _ => return None,
    };
    Some(Line { owner, group })
}

pub(super) fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (taken, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(taken)
}

fn get_bytes<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(get(rest)?).ok()?;
    let (taken, tail) = rest.split_at_checked(length)?;
    *rest = tail;
    Some(taken)
}

pub(super) fn get_text<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    std::str::from_utf8(get_bytes(rest)?).ok()
}

fn get_texts<'a>(rest: &mut &'a [u8]) -> Option<Vec<&'a str>> {
    let mut texts = Vec::new();
    for _ in 0..get(rest)? {
        texts.push(get_text(rest)?);
    }
    Some(texts)
}
