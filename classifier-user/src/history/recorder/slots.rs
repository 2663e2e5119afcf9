//! From sweeps to slots that are over: what is open, in memory and in its journal, and when it ends.

use std::{
    fs::{self, DirBuilder, File, TryLockError},
    io,
    ops::Range,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError},
    time::{Duration, SystemTime},
};

use tracing::{info, warn};

use super::{
    feed::Counted,
    finished::{Finished, LinkKey},
    gaps::Gaps,
    journal::{self, Journal},
    open::{Line, NO_GROUP, Open},
    spread::Spread,
    taken::{Base, Rest, Taken},
    time_of,
};
use crate::{
    history::SLOT_SECONDS,
    model::OwnerId,
    table::groups::Groups,
    totals::{SharedOwners, packed::Packed},
};

/// What a clock that is set says, in seconds since 1970: 2020 to 2500, where the store's slots end too.
const SET: Range<u64> = 1_577_836_800..16_725_225_600;
/// What a clock may be off from one sweep to the next without a word.
const DRIFT: Duration = Duration::from_secs(2);

/// Who takes slots that are over.
pub(super) type Over<'a> = &'a mut dyn FnMut(Finished);

/// The slots of one agent's life.
pub(super) struct Slots {
    links: Vec<LinkKey>,
    /// Prefixes of an AS that get rows; 0 where they are not told apart.
    top: usize,
    owners: SharedOwners,
    groups: Arc<Groups>,
    open: Option<Open>,
    /// Counted before the clock was set.
    early: Option<Counted>,
    /// The first slot that may be opened.
    floor: i64,
    journal: Journal,
    directory: PathBuf,
    /// Held so long as this agent writes journals here.
    lock: Option<File>,
    /// Which journals there are could not be seen at the start.
    unread: bool,
    /// There was a sweep in this life.
    swept: bool,
    /// What of the kernel's counters is recorded.
    taken: Taken,
    /// What is not, of before this agent.
    rest: Option<Rest>,
    /// Gaps of links that are not on the disk yet.
    gaps: Gaps,
    /// What the last sweep met: see [`Slots::trouble`].
    trouble: Option<String>,
    /// See [`Slots::clock`].
    clock: Option<String>,
}

/// Makes a directory this agent's own, so long as the file is open.
///
/// # Errors
/// [`io::ErrorKind::WouldBlock`]: it is another agent's. Else it cannot be written to.
pub(super) fn lock(directory: &Path) -> io::Result<File> {
    // Of nobody else's business, as the store's.
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let file = File::create(directory.join("journal.lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn seconds(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// When a slot is over.
pub(super) fn end_of(slot: i64) -> SystemTime {
    let seconds = u64::try_from(slot.saturating_add(1).saturating_mul(SLOT_SECONDS)).unwrap_or(0);
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).unwrap_or(SystemTime::UNIX_EPOCH)
}

impl Slots {
    /// With nothing counted; journals are in `directory`, which is this agent's if there is a `lock`. `after` is the last
    /// slot of the store.
    pub(super) fn new(
        directory: &Path,
        lock: Option<File>,
        links: Vec<LinkKey>,
        top: usize,
        owners: SharedOwners,
        after: Option<i64>,
    ) -> Self {
        Self {
            links,
            top,
            owners,
            groups: Arc::default(),
            open: None,
            early: None,
            floor: after.map_or(i64::MIN, |slot| slot + 1),
            journal: Journal::new(directory),
            directory: directory.to_owned(),
            lock,
            unread: false,
            swept: false,
            taken: Taken::open(directory),
            rest: None,
            gaps: Gaps::default(),
            trouble: None,
            clock: None,
        }
    }

    /// Takes up what journals tell: gives slots that are over, and goes on with the other one.
    pub(super) fn restore(&mut self, now: SystemTime, over: Over<'_>) {
        if let Err(error) = self.try_restore(now, over) {
            self.unread = true;
            self.trouble = Some(self.journal_error(&error));
        }
    }

    fn try_restore(&mut self, now: SystemTime, over: Over<'_>) -> io::Result<()> {
        for slot in journal::slots(&self.directory)? {
            if slot < self.floor {
                // It is in the store: the agent was killed between writing it and removing this. Where that cannot be
                // done, the next start comes here again.
                let _ = journal::remove(&self.directory, slot);
                continue;
            }
            let path = journal::path(&self.directory, slot);
            let restored =
                match journal::read_into(&self.directory, slot, self.top > 0, &mut self.taken.known) {
                    Ok(restored) => restored,
                    Err(error) => {
                        warn!("history: {} cannot be read: {error}; it stays there", path.display());
                        continue;
                    }
                };
            let aside = path.with_extension("journal.unreadable");
            if let Some(version) = restored.newer {
                warn!(
                    "history: {}: its last {} bytes are of a newer classifier (format {version}, this one reads 1 to {}), \
                     and are left out; it is now {}",
                    path.display(),
                    restored.bad,
                    journal::VERSION,
                    aside.display()
                );
                // What is good of it is gone on with.
                if restored.open.is_some() {
                    fs::copy(&path, &aside)?;
                }
            } else if restored.bad > 0 {
                let now = if restored.open.is_none() { "; it is now *.unreadable" } else { "" };
                warn!(
                    "history: {}: its last {} bytes are no whole sweeps, and are left out{now}",
                    path.display(),
                    restored.bad
                );
            }
            let Some(open) = restored.open else {
                let _ = match restored.bad {
                    0 => fs::remove_file(&path),
                    _ => fs::rename(&path, aside),
                };
                continue;
            };
            self.finish(over);
            info!("history: the slot of {} has {} s from before", time_of(slot), open.covered.as_secs());
            self.floor = slot;
            self.journal.begin(slot, restored.good);
            self.open = Some(open);
        }
        if self.open.as_ref().is_some_and(|open| now >= end_of(open.number)) {
            self.finish(over);
        }
        Ok(())
    }

    /// Makes the directory ready to be written to, where it was not at the start.
    fn late_lock(&mut self) -> io::Result<()> {
        self.lock = Some(lock(&self.directory)?);
        if !self.unread {
            return Ok(());
        }
        for slot in journal::slots(&self.directory)? {
            let path = journal::path(&self.directory, slot);
            let aside = path.with_extension("journal.aside");
            warn!(
                "history: {} could not be read when the agent started, and is left out; it is now {}",
                path.display(),
                aside.display()
            );
            fs::rename(&path, aside)?;
        }
        Ok(())
    }

    /// Takes a sweep in, and gives the slots that are over with it: there may be many, and each is large.
    pub(super) fn take(&mut self, mut counted: Counted, over: Over<'_>) {
        self.gaps.take(std::mem::take(&mut counted.gaps), counted.open.take());
        if self.lock.is_some() {
            self.gaps.write(&self.directory);
        }
        if let Some(base) = counted.base.take() {
            self.begin(&base);
        }
        let at = counted.at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        if !SET.contains(&at.as_secs()) {
            self.clock = Some("the clock is not set; what is counted waits until it is".to_owned());
            match &mut self.early {
                Some(early) => early.absorb(counted),
                None => self.early = Some(counted),
            }
            return;
        }
        let counted = match self.early.take() {
            // Its time is now, whatever the clock said.
            Some(mut early) => {
                let elapsed = counted.elapsed;
                early.absorb(counted);
                let covered = early.elapsed;
                early.elapsed = elapsed;
                return self.count(early, covered, over);
            }
            None => counted,
        };
        let elapsed = counted.elapsed;
        self.count(counted, elapsed, over);
    }

    /// Learns what the kernel had counted before this agent.
    fn begin(&mut self, base: &Base) {
        self.links.extend(base.others.iter().cloned());
        let unread = self.unread || self.lock.is_none();
        self.rest = self.taken.begin(base, &self.links, &self.owners, unread);
    }

    /// Counts a sweep, and before the first one what no agent had recorded before it.
    fn count(&mut self, counted: Counted, covered: Duration, over: Over<'_>) {
        if let Some(Rest { delta, from }) = self.rest.take() {
            let to = counted.at.checked_sub(covered).unwrap_or(counted.at);
            // A clock that was not set when counting began says nothing of how long it was.
            let from = if SET.contains(&seconds(from)) { from.min(to) } else { to };
            for (at, elapsed, delta) in Spread::new(delta, from, to) {
                let groups = Arc::clone(&counted.groups);
                let part = Counted { at, elapsed, delta, groups, base: None, gaps: Vec::new(), open: None };
                self.add(part, elapsed, over);
            }
        }
        self.add(counted, covered, over);
    }

    fn add(&mut self, counted: Counted, covered: Duration, over: Over<'_>) {
        let slot = counted.slot();
        self.look_at_clock(&counted, slot);
        self.swept = true;
        if self.open.as_ref().is_some_and(|open| slot > open.number) {
            self.finish(over);
        }
        let groups = !Arc::ptr_eq(&self.groups, &counted.groups);
        self.groups = counted.groups;
        if self.open.is_none() {
            let number = slot.max(self.floor);
            self.floor = number;
            self.journal.begin(number, 0);
            self.open = Some(Open::new(number, counted.at, self.top > 0));
            self.begin_life();
        } else if groups {
            self.begin_life();
        }
        let Some(open) = &mut self.open else { return };
        let mut defined = Vec::new();
        let mut owners = None;
        for (owner, _) in counted.delta.hooks.iter().flat_map(|hook| hook.remote.iter()) {
            if open.has(owner) {
                continue;
            }
            let owners =
                owners.get_or_insert_with(|| self.owners.read().unwrap_or_else(PoisonError::into_inner));
            if (owner as usize) < owners.owner_count() {
                let owner_is = owners.owner(OwnerId(owner));
                let group = owner_is.asn().and_then(|asn| self.groups.of(asn));
                let key = group.and_then(|place| Some(self.groups.all().get(place)?.key.as_str()));
                let group = key.map_or(NO_GROUP, |key| open.group(Some(key)));
                let line = Line { owner: owner_is, group };
                open.define(owner, line);
                defined.push((owner, line));
            }
        }
        drop(owners);
        for (hook, came) in counted.delta.hooks.iter().enumerate() {
            open.add(hook, &came.outcomes, came.remote.iter());
            open.add_ways(
                hook,
                [came.neighbors.each_ref(), came.through.each_ref()].map(|of| of.map(Packed::iter)),
            );
        }
        open.covered += covered;
        open.last = counted.at;
        self.journal.sweep(open, counted.at, covered, &counted.delta, &defined);
        self.taken.add(&counted.delta);
        let (last, ends) = (counted.at, counted.at >= end_of(open.number));
        let ready = if self.lock.is_some() { Ok(()) } else { self.late_lock() };
        let written = ready.and_then(|()| self.journal.flush());
        self.trouble = written.err().map(|error| self.journal_error(&error));
        if ends {
            self.finish(over);
        } else if self.trouble.is_none() && self.taken.trouble().is_some() {
            self.write_taken(last);
        }
    }

    /// Notes where the clock is not where it was and what passed since.
    fn look_at_clock(&mut self, counted: &Counted, slot: i64) {
        let Some(open) = &self.open else {
            let held = slot < self.floor;
            self.clock = held.then(|| Self::held(self.floor));
            return;
        };
        self.clock = (slot < open.number).then(|| Self::held(open.number));
        let expected = open.last + counted.elapsed;
        if self.swept && counted.at > expected + DRIFT && slot > open.number {
            let by = counted.at.duration_since(expected).unwrap_or_default().as_secs();
            info!(
                "history: the clock went forward by {by} s, or the machine slept: nothing is known of that time"
            );
        }
    }

    fn held(slot: i64) -> String {
        format!(
            "the clock is behind the slot of {}: it was set back, or was ahead before; what is counted goes into that \
             slot until the clock is past it",
            time_of(slot)
        )
    }

    fn begin_life(&mut self) {
        if let Some(open) = &mut self.open {
            open.begin_life(&self.links);
            self.journal.life(open, &self.links, self.taken.mark());
        }
    }

    /// Ends the open slot, which is in its journal for good before it is given.
    fn finish(&mut self, over: Over<'_>) {
        let Some(open) = self.open.take() else { return };
        self.end();
        self.journal.close();
        if self.lock.is_some() {
            self.write_taken(open.last);
        }
        let number = open.number;
        self.floor = number + 1;
        match open.finish(self.top) {
            Some(slot) => over(slot),
            None => {
                let _ = journal::remove(&self.directory, number);
            }
        }
    }

    /// Writes what was taken, if all of it is in journals or in the store: a kill loses what is in memory only, and that must not
    /// count as taken.
    fn write_taken(&mut self, last: SystemTime) {
        let given_up = self.journal.behind.given_up().filter(|_| self.taken.outlives());
        let why = match (&self.trouble, given_up) {
            (Some(trouble), _) => trouble.clone(),
            (None, Some(slot)) => {
                format!("the slot of {} is in memory only until the store has it", time_of(slot))
            }
            (None, None) => return self.taken.write(&self.owners, last),
        };
        self.taken.put_off(&why);
    }

    /// Slots up to this one are in the store, or lost: their journals are needed no more.
    pub(super) fn forget(&mut self, last: Option<i64>) {
        if let Some(last) = last {
            self.journal.behind.forget(last);
        }
    }

    /// Brings the journal to the disk for good.
    pub(super) fn end(&mut self) {
        if self.lock.is_none() {
            return;
        }
        if let Err(error) = self.journal.sync() {
            self.trouble = Some(self.journal_error(&error));
        }
    }

    fn journal_error(&self, error: &io::Error) -> String {
        format!("the journal in {} cannot be written: {error}", self.directory.display())
    }

    /// Where journals are.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The open slot.
    pub(super) fn open(&self) -> Option<&Open> {
        self.open.as_ref()
    }

    /// Why the journal does not have the last sweep, or why it cannot be said what is recorded.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref().or(self.taken.trouble())
    }

    /// What is odd about the clock.
    pub(super) fn clock(&self) -> Option<&str> {
        self.clock.as_deref()
    }
}
