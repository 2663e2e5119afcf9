//! From the agent's sweeps to the store: nothing that was swept is lost by a `kill -9`, and no disk holds the core up.
//!
//! Reading order: `feed` (the core's end of a bounded channel), `slots` (the thread that adds sweeps up: which slot they
//! are of, what becomes of a clock that jumps), `open` (the slot that is not over) and `finished` (one that is), `journal`
//! (the open slot on disk) and `behind` (slots that are over, and not on it yet), `known` and `taken` (what of the kernel's
//! counters is recorded, where these outlive the agent) and `spread` (the rest of them), `archive` (the thread that writes
//! slots to the store, and waits where it must), `sink` (the store), `health`; `settle` (journals without an agent).

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{self, Receiver},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use jiff::Timestamp;

use self::{
    archive::{Archive, Opener, Past, Queue},
    feed::Counted,
    finished::Finished,
    health::Health,
    slots::Slots,
};
pub use self::{
    feed::{Feed, until_next_slot},
    settle::{SettleError, settle},
};
pub(crate) use self::{
    finished::LinkKey,
    gaps::{keep_lasting as keep_lasting_gaps, lasting as lasting_gaps},
    settle::last_recorded,
    sink::opener,
    taken::Base,
};
use super::{Read, SLOT_SECONDS};
use crate::{
    model::Link,
    table::groups::Groups,
    totals::{
        SharedOwners,
        answer::{HistoryStatus, OpenSlotStatus},
    },
};

mod archive;
mod behind;
mod feed;
mod finished;
mod gaps;
mod health;
mod journal;
mod known;
mod open;
mod settle;
mod sink;
mod slots;
mod spread;
mod taken;
#[cfg(test)]
mod tests;

/// The slot that a time is in.
fn slot_of(at: SystemTime) -> i64 {
    let seconds = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    i64::try_from(seconds).unwrap_or(i64::MAX).div_euclid(SLOT_SECONDS)
}

/// When a slot begins.
fn time_of(slot: i64) -> Timestamp {
    Timestamp::from_second(slot.saturating_mul(SLOT_SECONDS)).unwrap_or(Timestamp::MAX)
}

/// What is recorded, and where.
pub(crate) struct Setup {
    /// The state directory; made where it is not there.
    pub(crate) directory: PathBuf,
    /// The links, by number.
    pub(crate) links: Vec<Link>,
    /// Prefixes of an AS that are kept in each slot, the largest; 0 for none, and where counters are of ASes.
    pub(crate) top_prefixes: usize,
    /// Whose the counts are.
    pub(crate) owners: SharedOwners,
    /// The groups to begin with.
    pub(crate) groups: Arc<Groups>,
    /// When counting began.
    pub(crate) started: Instant,
    /// How the store is opened.
    pub(crate) open: Opener,
}

/// The history of a running agent.
#[derive(Debug)]
pub(crate) struct Recorder {
    ended: Receiver<()>,
    past: Past,
}

impl Recorder {
    /// Starts the history's threads; they open the store and take up the journals. `publish` is told how they are.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub(crate) fn start(
        setup: Setup,
        publish: impl Fn(HistoryStatus) + Send + Sync + 'static,
    ) -> io::Result<(Self, Feed)> {
        let (to, from) = mpsc::sync_channel(feed::CHANNEL);
        let feed = Feed::new(to, Arc::clone(&setup.groups), setup.started);
        let past = Past::default();
        let health = Arc::new(Health::new(setup.directory.display().to_string(), publish));
        let (end, ended) = mpsc::channel();
        let recorder = Self { ended, past: past.clone() };
        thread::Builder::new().name("history".to_owned()).spawn(move || {
            let _end = end;
            record(setup, past, &health, &from);
        })?;
        Ok((recorder, feed))
    }

    /// The past, as far as the store is open.
    pub(crate) fn reader(&self) -> Arc<dyn Read> {
        Arc::new(self.past.clone())
    }

    /// Waits for the threads to end, which they do once their [`Feed`] is gone; whether they did.
    pub(crate) fn join(&self, patience: Duration) -> bool {
        // Nothing is ever sent.
        matches!(self.ended.recv_timeout(patience), Err(mpsc::RecvTimeoutError::Disconnected))
    }
}

/// The thread that adds up, from its first to its last moment.
fn record(setup: Setup, past: Past, health: &Arc<Health>, from: &Receiver<Counted>) {
    let lock = slots::lock(&setup.directory);
    if lock.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
        health.update(|state| {
            let path = setup.directory.display();
            state.store = Some(format!(
                "another agent keeps its history in {path}: give each its own --state-dir; this one keeps none"
            ));
        });
        from.iter().for_each(drop);
        return;
    }
    let queue = Arc::new(Queue::default());
    let archive = Archive {
        directory: setup.directory.clone(),
        open: setup.open,
        sink: None,
        past,
        queue: Arc::clone(&queue),
        health: Arc::clone(health),
        last: None,
        read_only: false,
    };
    let (tell, told) = mpsc::channel();
    let archive = thread::Builder::new().name("history-store".to_owned()).spawn(move || {
        archive.run(move |last| {
            let _ = tell.send(last);
        });
    });
    let archive = match archive {
        Ok(archive) => archive,
        Err(error) => {
            health.update(|state| state.store = Some(format!("its thread cannot be started: {error}")));
            from.iter().for_each(drop);
            return;
        }
    };
    let after = told.recv().ok().flatten();
    let links =
        setup.links.into_iter().map(|link| LinkKey { name: link.name, role: link.role, kind: link.kind });
    let mut slots =
        Slots::new(&setup.directory, lock.ok(), links.collect(), setup.top_prefixes, setup.owners, after);
    run(&mut slots, &queue, health, from);
    queue.stop();
    let _ = archive.join();
    // Only now may another agent write here.
    drop(slots);
}

/// Adds sweeps up until their feed is gone.
fn run(slots: &mut Slots, queue: &Queue, health: &Health, from: &Receiver<Counted>) {
    let directory = slots.directory().to_owned();
    let mut over = |slot| hand_over(slot, &directory, queue, health);
    slots.restore(SystemTime::now(), &mut over);
    tell(slots, health);
    for counted in from {
        slots.forget(queue.gone());
        slots.take(counted, &mut over);
        tell(slots, health);
    }
    slots.end();
    tell(slots, health);
}

/// Gives a slot that is over to the store's thread, which may take its time.
fn hand_over(slot: Finished, directory: &Path, queue: &Queue, health: &Health) {
    for dropped in queue.push(slot) {
        tracing::warn!(
            "history: the slot of {} is lost: the store has not taken it, and no more slots are kept in memory",
            time_of(dropped.number)
        );
        // It is not kept any more.
        let _ = journal::remove(directory, dropped.number);
        health.update(|state| state.status.lost_slots += 1);
    }
}

/// Says how the open slot is.
fn tell(slots: &Slots, health: &Health) {
    health.update(|state| {
        state.journal = slots.trouble().map(str::to_owned);
        state.clock = slots.clock().map(str::to_owned);
        state.status.open_slot = slots.open().map(|open| OpenSlotStatus {
            from: time_of(open.number),
            covered_seconds: open.covered.as_secs_f64(),
            last: Timestamp::try_from(open.last).unwrap_or(Timestamp::UNIX_EPOCH),
            frames: open.frames().into(),
        });
    });
}
