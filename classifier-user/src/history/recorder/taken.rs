//! What of the kernel's counters is in the history: where counting outlives the agent, the next one records the rest.
//!
//! The kernel tells an agent at its start how much there was counted in all ([`Base`]). What of it the agents before
//! have recorded is the sum of their journals' sweeps, so nothing has to be written in two places at once: a sweep that
//! is in the journal was taken, and one that is not was not. Journals go when their slots are in the store; therefore the
//! sum as of the end of a slot is in the file `kernel.taken` before that. Each sweep has a number, which is how a journal
//! that is missing shows.
//!
//! The kernel's counters end with the machine. So nothing of this need outlive a loss of power.

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
    journal::{get_line, get_links, put_line, put_links, take},
    open::{Line, NO_GROUP},
};
use crate::{
    datapath::adopted::CountId,
    model::{Asn, Counter, Family, Hook, Owner, OwnerId, Owners},
    totals::{
        HookDelta, SweepDelta,
        packed::{Packed, Unpack, get, put},
        sparse::Sparse,
    },
};

const FILE: &str = "kernel.taken";
const MAGIC: &[u8; 4] = b"CLST";
/// In its place where the file is not true any more.
const UNTRUE: &[u8; 4] = b"OLD!";
const VERSION: u64 = 1;
/// The first sweep of a counting of which not everything is recorded here. Others begin at 0.
const LATE: u64 = 1 << 32;

/// All that the kernel counted until this agent's programs took over, as far as the history keeps it.
#[derive(Clone, Debug)]
pub(crate) struct Base {
    pub(crate) count: CountId,
    /// When counting began.
    pub(crate) since: SystemTime,
    /// Whether all of it was to be recorded here.
    pub(crate) recorded_here: bool,
    /// Links of before that this agent does not have.
    pub(crate) others: Vec<LinkKey>,
    /// By hook of the agent's links, and of those.
    pub(crate) all: SweepDelta,
    /// Whether owners are ASes.
    pub(crate) by_as: bool,
}

/// What was counted and is not recorded yet.
#[derive(Clone, Debug)]
pub(super) struct Rest {
    /// By hook of all links.
    pub(super) delta: SweepDelta,
    /// When it began.
    pub(super) from: SystemTime,
}

/// What a hook had.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct HookTaken {
    outcomes: [Counter; 5],
    owners: HashMap<Owner, Counter>,
}

/// What agents before this one have recorded.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// Of what counting; `None` where there was none.
    count: Option<CountId>,
    /// It is there and cannot be relied upon.
    broken: bool,
    /// The number of the next sweep.
    next: u64,
    last: Option<SystemTime>,
    links: Vec<(LinkKey, [HookTaken; 2])>,
    /// Whether there was something to read it from.
    from_file: bool,
    /// The life of which sweeps are read.
    life: Option<Life>,
}

#[derive(Clone, Debug)]
struct Life {
    /// The number of its next sweep.
    next: u64,
    /// Places among [`Known::links`].
    links: Vec<usize>,
    owners: HashMap<u32, Owner>,
}

impl Known {
    /// What the file says.
    pub(super) fn open(directory: &Path) -> Self {
        match fs::read(directory.join(FILE)) {
            Ok(bytes) => parse(&bytes).unwrap_or(Self { broken: true, from_file: true, ..Self::default() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::default(),
            Err(_) => Self { broken: true, from_file: true, ..Self::default() },
        }
    }

    fn place(&mut self, link: &LinkKey) -> usize {
        self.links.iter().position(|(known, _)| known.same(link)).unwrap_or_else(|| {
            self.links.push((link.clone(), Default::default()));
            self.links.len() - 1
        })
    }

    /// When its last sweep was, if it is of this counting.
    pub(super) fn last_of(&self, count: CountId) -> Option<SystemTime> {
        self.last.filter(|_| self.count == Some(count))
    }

    /// A life begins in a journal, whose sweeps are of this counting from this number on.
    pub(super) fn life(&mut self, count: CountId, first: u64, links: &[LinkKey]) {
        self.life = None;
        if count == CountId::default() || self.from_file && self.count != Some(count) {
            return;
        }
        if self.count != Some(count) {
            // Without a file it is known from its first sweep on only.
            *self = Self { count: Some(count), broken: first != 0, ..Self::default() };
        }
        let links = links.iter().map(|link| self.place(link)).collect();
        self.life = Some(Life { next: first, links, owners: HashMap::new() });
    }

    /// A sweep of that life.
    pub(super) fn sweep(&mut self, at: SystemTime, defined: &[(u32, Line)], hooks: &[([Counter; 5], &[u8])]) {
        let Some(life) = &mut self.life else { return };
        life.owners.extend(defined.iter().map(|(number, line)| (*number, line.owner)));
        let number = life.next;
        life.next += 1;
        if number < self.next || self.broken {
            return;
        }
        if number > self.next {
            self.broken = true;
            return;
        }
        self.next += 1;
        self.last = Some(self.last.map_or(at, |last| last.max(at)));
        for (place, (outcomes, remote)) in hooks.iter().enumerate() {
            let Some(link) = life.links.get(place / 2).and_then(|&link| self.links.get_mut(link)) else {
                continue;
            };
            let Some(hook) = link.1.get_mut(place % 2) else { continue };
            for (sum, outcome) in hook.outcomes.iter_mut().zip(outcomes) {
                *sum += *outcome;
            }
            for (owner, counter) in Unpack::new(remote) {
                match life.owners.get(&owner) {
                    Some(owner) => *hook.owners.entry(*owner).or_default() += counter,
                    None => self.broken = true,
                }
            }
        }
    }

    /// Writes it where it was read from.
    ///
    /// # Errors
    /// The disk did not take it.
    pub(super) fn write(&self, directory: &Path) -> io::Result<()> {
        let Some(count) = self.count.filter(|_| !self.broken) else { return Ok(()) };
        let hooks = self.links.iter().flat_map(|(_, hooks)| hooks).map(|hook| {
            let owners = hook.owners.iter().map(|(owner, counter)| (*owner, *counter));
            (hook.outcomes, owners.collect())
        });
        let links: Vec<_> = self.links.iter().map(|(link, _)| link.clone()).collect();
        let last = self.last.unwrap_or(SystemTime::UNIX_EPOCH);
        write(directory, count, self.next, last, &links, hooks)
    }

    /// What of an owner was taken at a hook, with all prefixes of an AS where owners are ASes.
    fn fold(&mut self, by_as: bool) {
        if !by_as {
            return;
        }
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

/// What of the kernel's counters this agent's history has, and where that is written.
#[derive(Debug, Default)]
pub(super) struct Taken {
    directory: PathBuf,
    pub(super) known: Known,
    /// Of what counting; `None` where nothing outlives the agent.
    count: Option<CountId>,
    next: u64,
    links: Vec<LinkKey>,
    outcomes: Vec<[Counter; 5]>,
    owners: Vec<Sparse>,
    /// See [`Taken::trouble`].
    unwritten: Option<String>,
}

impl Taken {
    pub(super) fn open(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), known: Known::open(directory), ..Self::default() }
    }

    /// Goes on with a counting: what of it is not recorded yet, by hook of these links, if that can be told.
    pub(super) fn begin(
        &mut self,
        base: &Base,
        links: &[LinkKey],
        owners: &dyn Owners,
        unread: bool,
    ) -> Option<Rest> {
        let mut known = std::mem::take(&mut self.known);
        let same = known.count == Some(base.count);
        let sure = !known.broken && !unread && (same || base.recorded_here);
        let idle = base.all.hooks.iter().all(|hook| hook.outcomes.iter().all(Counter::is_zero));
        if !sure && !idle {
            tracing::warn!(
                "history: what the kernel counted before this agent is not in it: {}",
                if known.broken || unread {
                    "how much of that was recorded cannot be told any more"
                } else {
                    "it was not kept here then"
                }
            );
        }
        if !same {
            known = Known::default();
        }
        known.fold(base.by_as);
        self.count = Some(base.count);
        self.links = links.to_vec();
        self.next = if sure { known.next } else { known.next.max(LATE) };
        self.outcomes = Vec::with_capacity(links.len() * 2);
        self.owners = Vec::with_capacity(links.len() * 2);
        let mut rest = Vec::with_capacity(links.len() * 2);
        let mut scratch = Vec::new();
        let nothing = HookTaken::default();
        let mut unfolded = false;
        // Without knowledge all of it counts as taken: rather that than twice.
        let taken_of = |all: Counter, taken: Counter| match sure {
            true => Counter { packets: taken.packets.min(all.packets), bytes: taken.bytes.min(all.bytes) },
            false => all,
        };
        for (place, all) in base.all.hooks.iter().enumerate() {
            let link = links.get(place / 2);
            let taken = link
                .and_then(|link| known.links.iter().find(|(known, _)| known.same(link)))
                .and_then(|(_, hooks)| hooks.get(place % 2))
                .filter(|_| sure)
                .unwrap_or(&nothing);
            let mut outcomes = [Counter::ZERO; 5];
            for ((now, all), taken) in outcomes.iter_mut().zip(all.outcomes).zip(taken.outcomes) {
                *now = taken_of(all, taken);
            }
            let (its, more) = by_owner(&all.remote, &taken.owners, owners, taken_of);
            unfolded |= more;
            let mut sparse = Sparse::default();
            let mut left = Vec::with_capacity(its.len());
            for (id, all, its_taken) in its {
                if !its_taken.is_zero() {
                    sparse.add(id, its_taken);
                }
                left.push((id, all - its_taken));
            }
            let mut outcomes_left = all.outcomes;
            for (left, taken) in outcomes_left.iter_mut().zip(outcomes) {
                *left = *left - taken;
            }
            self.outcomes.push(outcomes);
            self.owners.push(sparse);
            let remote = Packed::new(left, &mut scratch);
            rest.push(HookDelta { outcomes: outcomes_left, remote, ..HookDelta::default() });
        }
        let from = known.last.unwrap_or(base.since);
        if !same || !sure || unfolded {
            // From now on a file says what was taken, by the owners of now.
            self.write(owners, from);
        }
        sure.then(|| Rest { delta: SweepDelta { hooks: rest.into() }, from })
    }

    /// The counting, and the number of the next sweep, for a life that begins.
    pub(super) fn mark(&self) -> (CountId, u64) {
        (self.count.unwrap_or_default(), self.next)
    }

    /// A sweep is recorded.
    pub(super) fn add(&mut self, delta: &SweepDelta) {
        if self.count.is_none() {
            return;
        }
        self.next += 1;
        for (place, came) in delta.hooks.iter().enumerate() {
            if let Some(sums) = self.outcomes.get_mut(place) {
                for (sum, outcome) in sums.iter_mut().zip(came.outcomes) {
                    *sum += outcome;
                }
            }
            if let Some(sums) = self.owners.get_mut(place) {
                came.remote.iter().for_each(|(owner, counter)| sums.add(owner, counter));
            }
        }
    }

    /// Writes what was taken: before a slot's journal may go. Where the disk does not take it, the file says no more what was
    /// taken, until it is written the next time.
    pub(super) fn write(&mut self, owners: &dyn Owners, last: SystemTime) {
        let written = match self.count {
            // Before the kernel's word, what was read at the start.
            None => self.known.write(&self.directory),
            Some(count) => {
                let known = |(id, counter)| {
                    ((id as usize) < owners.owner_count()).then(|| (owners.owner(OwnerId(id)), counter))
                };
                let hooks = self.outcomes.iter().zip(&self.owners);
                let hooks =
                    hooks.map(|(outcomes, sums)| (*outcomes, sums.iter().filter_map(known).collect()));
                write(&self.directory, count, self.next, last, &self.links, hooks)
            }
        };
        match written {
            Ok(()) => self.unwritten = None,
            Err(error) => self.put_off(&error.to_string()),
        }
    }

    /// Notes that the file is behind what was taken, and why.
    pub(super) fn put_off(&mut self, why: &str) {
        self.unwritten = Some(format!(
            "{} cannot be written: {why}; should the agent be killed now, what the kernel counts then is not in the history",
            self.directory.join(FILE).display()
        ));
        disown(&self.directory);
    }

    /// Why the file is behind what was taken.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.unwritten.as_deref()
    }
}

/// What was taken of each of a hook's owners: number, all of it, that. And whether some of it was taken of ASes, by an agent
/// that counted by these, where it is of prefixes now: what an AS itself does not have is of those. Such an agent takes all
/// that its prefixes have, so that nothing is to be told apart.
fn by_owner(
    all: &Packed,
    taken: &HashMap<Owner, Counter>,
    owners: &dyn Owners,
    taken_of: impl Fn(Counter, Counter) -> Counter,
) -> (Vec<(u32, Counter, Counter)>, bool) {
    let mut of_ases: HashMap<(Family, Asn), Counter> = HashMap::new();
    for (owner, counter) in taken {
        if let Owner::As { family, asn } = *owner {
            of_ases.insert((family, asn), *counter);
        }
    }
    let mut its = Vec::new();
    for (id, all) in all.iter() {
        let owner = owners.owner(OwnerId(id));
        let part = taken_of(all, taken.get(&owner).copied().unwrap_or_default());
        if let Owner::As { family, asn } = owner
            && let Some(more) = of_ases.get_mut(&(family, asn))
        {
            *more = *more - part;
        }
        its.push((id, all, part));
    }
    of_ases.retain(|_, more| !more.is_zero());
    let unfolded = !of_ases.is_empty();
    for (id, all, its) in its.iter_mut().filter(|_| unfolded) {
        let owner = owners.owner(OwnerId(*id));
        if let Owner::Route { asn, .. } = owner
            && let Some(more) = of_ases.get_mut(&(owner.family(), asn))
        {
            let part = taken_of(*all - *its, *more);
            *its += part;
            *more = *more - part;
        }
    }
    (its, unfolded)
}

/// Marks the file as not true any more, without a byte more of disk.
fn disown(directory: &Path) {
    if let Ok(file) = OpenOptions::new().write(true).open(directory.join(FILE)) {
        let _ = file.write_all_at(UNTRUE, 0);
    }
}

fn micros(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_micros() as u64
}

fn write(
    directory: &Path,
    count: CountId,
    next: u64,
    last: SystemTime,
    links: &[LinkKey],
    hooks: impl Iterator<Item = ([Counter; 5], Vec<(Owner, Counter)>)>,
) -> io::Result<()> {
    let mut out = MAGIC.to_vec();
    put(&mut out, VERSION);
    out.extend_from_slice(&count.0);
    put(&mut out, next);
    put(&mut out, micros(last));
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
    let crc = crc32fast::hash(&out);
    out.extend_from_slice(&crc.to_le_bytes());
    let new = directory.join(format!("{FILE}.new"));
    let mut file: File = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    let written = file.write_all(&out);
    drop(file);
    let renamed = written.and_then(|()| fs::rename(&new, directory.join(FILE)));
    if renamed.is_err() {
        let _ = fs::remove_file(&new);
    }
    renamed
}

fn parse(bytes: &[u8]) -> Option<Known> {
    let (body, crc) = bytes.split_last_chunk::<4>()?;
    if crc32fast::hash(body) != u32::from_le_bytes(*crc) {
        return None;
    }
    let mut rest = body;
    let rest = &mut rest;
    if take::<4>(rest)? != MAGIC || get(rest)? != VERSION {
        return None;
    }
    let count = CountId(*take(rest)?);
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
    Some(Known { count: Some(count), next, last: Some(last), links, from_file: true, ..Known::default() })
}

const _: () = assert!(Hook::ALL.len() == 2 && Family::Ipv4 as usize == 0);
