//! What of the kernel's counters is in the history: where counting outlives the agent, the next one records the rest.
//!
//! The kernel tells an agent at its start how much there was counted in all ([`Base`]). What of it the agents before
//! have recorded is the sum of their journals' sweeps ([`Known`]), so nothing has to be written in two places at once: a
//! sweep that is in the journal was taken, and one that is not was not. Journals go when their slots are in the store;
//! therefore the sum as of the end of a slot is in a file before that. Each sweep has a number, which is how a journal that
//! is missing shows.
//!
//! The kernel's counters end with the machine. So nothing of this need outlive a loss of power.
//!
//! Owners are the core's own, which waits for whoever reads them, and all of the agent with it. So they are held while something
//! is made of them in memory, and never while a disk takes its time.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::PoisonError,
    time::SystemTime,
};

use super::{
    finished::LinkKey,
    known::{HookTaken, Known, Written, disown, store},
};
use crate::{
    datapath::adopted::CountId,
    model::{Asn, Counter, Family, Owner, OwnerId, Owners},
    totals::{HookDelta, SharedOwners, SweepDelta, packed::Packed, sparse::Sparse},
};

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
        owners: &SharedOwners,
        unread: bool,
    ) -> Option<Rest> {
        let known = self.known.take(base.count);
        let same = known.is_some();
        let mut known = known.unwrap_or_default();
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
        if base.by_as {
            known.fold();
        }
        if !unread {
            self.known.forget_ended();
        }
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
            let (its, more) = {
                let owners = owners.read().unwrap_or_else(PoisonError::into_inner);
                by_owner(&all.remote, &taken.owners, &*owners, taken_of)
            };
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
    pub(super) fn write(&mut self, owners: &SharedOwners, last: SystemTime) {
        let own = self.count.map(|count| {
            let owners = owners.read().unwrap_or_else(PoisonError::into_inner);
            let known = |(id, counter)| {
                ((id as usize) < owners.owner_count()).then(|| (owners.owner(OwnerId(id)), counter))
            };
            let hooks = self.outcomes.iter().zip(&self.owners);
            let hooks = hooks.map(|(outcomes, sums)| (*outcomes, sums.iter().filter_map(known).collect()));
            (count, Written { next: self.next, last, links: &self.links }.encode(hooks))
        });
        // Of countings of other instances, what journals of slots that go now had.
        let others = self.known.write(&self.directory);
        let own = own.map_or(Ok(()), |(count, encoded)| store(&self.directory, count, encoded));
        match others.and(own) {
            Ok(()) => self.unwritten = None,
            Err(error) => self.put_off(&error.to_string()),
        }
    }

    /// Notes that the file is behind what was taken, and why.
    pub(super) fn put_off(&mut self, why: &str) {
        self.unwritten = Some(format!(
            "what is recorded of the kernel's counters cannot be written in {}: {why}; should the agent be killed now, what \
             is counted until the next start is not in the history",
            self.directory.display()
        ));
        self.known.disown(&self.directory);
        if let Some(count) = self.count {
            disown(&self.directory, count);
        }
    }

    /// Whether what is counted outlives the agent.
    pub(super) fn outlives(&self) -> bool {
        self.count.is_some()
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
