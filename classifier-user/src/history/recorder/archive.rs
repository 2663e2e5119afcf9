//! From slots that are over into the store, in a thread that may take its time.

use std::{
    collections::VecDeque,
    ops::Range,
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, PoisonError, RwLock},
    time::Duration,
};

use jiff::Timestamp;
use tracing::{info, warn};

use super::{finished::Finished, health::Health, journal, time_of};
use crate::{
    history::{
        ClosedSlot, Extent, Kind, LinkNo, Links, Month, Period, Point, Read, ReadError, Step, StoredLink,
        StoredPrefix, Subject, Sums,
    },
    model::{LinkKind, Role},
};

/// Slots that are kept for a store that does not take them.
const SLOTS: usize = 12;
/// Their rows, unless one slot alone has more: 96 MB.
const ROWS: usize = 2_000_000;

/// The first and the longest pause before a store that failed is tried again.
const RETRY: Range<Duration> = Duration::from_secs(1)..Duration::from_secs(60);
/// How long nothing may come, at most: slots come every five minutes.
const IDLE: Duration = Duration::from_secs(3600);

/// Why a store does not take a slot, for people.
pub(crate) type SinkError = Box<dyn std::error::Error + Send + Sync>;

/// A store, for the one that writes to it.
pub(crate) trait Sink: Send {
    /// The number of a link; its kind is from now on what it is given as.
    fn link(&mut self, name: &str, role: Role, kind: Option<LinkKind>) -> Result<LinkNo, SinkError>;

    /// The number of a group's key.
    fn group(&mut self, key: &str) -> Result<Subject, SinkError>;

    /// The numbers of prefixes and their origins, in their order.
    fn prefixes(&mut self, prefixes: &[StoredPrefix]) -> Result<Vec<Subject>, SinkError>;

    /// Takes a slot that is later than all before: all of it or nothing.
    fn append(&mut self, slot: &ClosedSlot) -> Result<(), SinkError>;

    /// Does a part of rolling up, dropping what is too old, and keeping below the cap on disk, in about a tenth of a
    /// second; whether there is more.
    fn maintain(&mut self, now: Timestamp) -> Result<bool, SinkError>;

    /// Bytes on disk.
    fn bytes(&self) -> u64;

    /// What people should know of it although it works.
    fn concern(&self) -> Option<String> {
        None
    }
}

/// A store that was opened.
pub(crate) struct Opened {
    /// For who writes.
    pub(crate) sink: Box<dyn Sink>,
    /// For who reads.
    pub(crate) reader: Arc<dyn Read>,
    /// The number of the last slot in it.
    pub(crate) last_slot: Option<i64>,
    /// What people should know of how it was found, such as a corrupt one that was set aside.
    pub(crate) notices: Vec<String>,
}

/// A store that could not be opened.
pub(crate) struct NotOpened {
    /// Why.
    pub(crate) why: SinkError,
    /// It can be read all the same.
    pub(crate) reader: Option<Arc<dyn Read>>,
}

/// Opens the store; called again after it failed.
pub(crate) type Opener = Box<dyn FnMut() -> Result<Opened, NotOpened> + Send>;

/// Slots that are over and not in the store yet.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<Waiting>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    slots: VecDeque<Arc<Finished>>,
    /// Slots that came so far: each is an occasion to try again.
    came: u64,
    /// See [`Queue::gone`].
    gone: Option<i64>,
    /// The store did not take the last one.
    fails: bool,
    stop: bool,
}

impl Waiting {
    /// Whether these many slots and rows more are too much.
    fn is_over(&self, slots: usize, rows: usize) -> bool {
        let (slots, rows) =
            self.slots.iter().fold((slots, rows), |(slots, rows), slot| (slots + 1, rows + slot.rows.len()));
        slots > SLOTS || slots > 1 && rows > ROWS
    }
}

impl Queue {
    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a slot in, once there is room. Where the store fails there is none to be waited for: gives those that found none
    /// any more, the oldest first.
    pub(super) fn push(&self, slot: Finished) -> Vec<Arc<Finished>> {
        let full = |waiting: &mut Waiting| !waiting.fails && waiting.is_over(1, slot.rows.len());
        let mut waiting = self.wake.wait_while(self.lock(), full).unwrap_or_else(PoisonError::into_inner);
        waiting.slots.push_back(Arc::new(slot));
        waiting.came += 1;
        let mut dropped: Vec<Arc<Finished>> = Vec::new();
        while waiting.is_over(0, 0) {
            dropped.extend(waiting.slots.pop_front());
        }
        waiting.gone = waiting.gone.max(dropped.last().map(|slot| slot.number));
        self.wake.notify_all();
        dropped
    }

    /// Notes whether the store takes slots.
    fn works(&self, works: bool) {
        self.lock().fails = !works;
        self.wake.notify_all();
    }

    /// Has the store's thread end once it has tried what is here.
    pub(super) fn stop(&self) {
        self.lock().stop = true;
        self.wake.notify_all();
    }

    fn stopped(&self) -> bool {
        self.lock().stop
    }

    pub(super) fn len(&self) -> usize {
        self.lock().slots.len()
    }

    /// The last slot that the store has taken, or that found no room any more.
    pub(super) fn gone(&self) -> Option<i64> {
        self.lock().gone
    }

    fn front(&self) -> Option<Arc<Finished>> {
        self.lock().slots.front().cloned()
    }

    /// Takes a slot out, if it has not been dropped meanwhile.
    fn done(&self, number: i64) {
        let mut waiting = self.lock();
        if waiting.slots.front().is_some_and(|slot| slot.number == number) {
            waiting.slots.pop_front();
        }
        waiting.gone = waiting.gone.max(Some(number));
        waiting.fails = false;
        self.wake.notify_all();
    }

    /// Waits for more than `seen` slots to have come, the end, or this long: how many have come, and whether to end.
    fn wait(&self, seen: u64, patience: Duration) -> (u64, bool) {
        let idle = |waiting: &mut Waiting| waiting.came <= seen && !waiting.stop;
        let waited = self.wake.wait_timeout_while(self.lock(), patience, idle);
        let (waiting, _) = waited.unwrap_or_else(PoisonError::into_inner);
        (waiting.came, waiting.stop)
    }
}

/// The store, as long as it works.
pub(super) struct Archive {
    pub(super) directory: PathBuf,
    pub(super) open: Opener,
    pub(super) sink: Option<Box<dyn Sink>>,
    pub(super) past: Past,
    pub(super) queue: Arc<Queue>,
    pub(super) health: Arc<Health>,
    /// The store's last slot.
    pub(super) last: Option<i64>,
    /// The past is that of a store that could not be opened.
    pub(super) read_only: bool,
}

impl Archive {
    /// Opens the store where it is not open, writes what waits, and maintains it. What fails is told, and tried again the
    /// next time. Whether all was done.
    pub(super) fn turn(&mut self, now: Timestamp) -> bool {
        let was_open = self.sink.is_some();
        let mut done = self.write_and_maintain(now);
        if done.is_err() && was_open {
            // Opened again, one that was found damaged is set aside.
            done = self.write_and_maintain(now);
        }
        self.tell(done.as_ref().err());
        self.queue.works(done.is_ok());
        done.is_ok()
    }

    fn tell(&self, error: Option<&SinkError>) {
        let (queued, bytes) = (self.queue.len(), self.sink.as_ref().map(|sink| sink.bytes()));
        let extent = self.past.extent().ok();
        let concern = self.sink.as_ref().and_then(|sink| sink.concern());
        self.health.update(|state| {
            state.concern = concern;
            state.store = error.map(ToString::to_string);
            state.status.waiting_slots = queued as u64;
            if let Some(bytes) = bytes {
                state.status.bytes = bytes;
            }
            if let Some(extent) = extent {
                state.status.since = extent.since;
                state.status.until = extent.since.map(|_| extent.until);
            }
        });
    }

    fn write_and_maintain(&mut self, now: Timestamp) -> Result<(), SinkError> {
        // Where anything fails, the store is opened anew.
        let mut sink = match self.sink.take() {
            Some(sink) => sink,
            None => self.opened()?,
        };
        let mut more = true;
        while more {
            let wrote = self.write(&mut *sink)?;
            if wrote {
                self.sink = Some(sink);
                self.tell(None);
                let Some(back) = self.sink.take() else { return Ok(()) };
                sink = back;
            }
            // Maintenance may take a while: slots that come meanwhile are written in between.
            more = !self.queue.stopped() && sink.maintain(now)?;
        }
        self.sink = Some(sink);
        Ok(())
    }

    fn opened(&mut self) -> Result<Box<dyn Sink>, SinkError> {
        if std::mem::take(&mut self.read_only) {
            // SQLite's connections in a process share files, which this one may have opened to be read only.
            self.past.set(None);
        }
        match (self.open)() {
            Ok(opened) => {
                for notice in &opened.notices {
                    warn!("history: {notice}");
                }
                self.last = opened.last_slot;
                self.past.set(Some(opened.reader));
                Ok(opened.sink)
            }
            Err(NotOpened { why, reader }) => {
                if self.past.reader().is_err() {
                    self.read_only = reader.is_some();
                    self.past.set(reader);
                }
                Err(why)
            }
        }
    }

    /// Writes what waits; whether there was any.
    fn write(&mut self, sink: &mut dyn Sink) -> Result<bool, SinkError> {
        let mut any = false;
        while let Some(slot) = self.queue.front() {
            if self.last.is_some_and(|last| slot.number <= last) {
                // Written before the agent was killed.
                info!("history: the slot of {} is in the store already", time_of(slot.number));
            } else {
                let closed = slot.resolve(sink)?;
                sink.append(&closed)?;
                self.last = Some(slot.number);
            }
            any = true;
            self.queue.done(slot.number);
            journal::remove(&self.directory, slot.number)?;
        }
        Ok(any)
    }

    /// Works until told to stop: at the start, whenever a slot comes, and where something failed from time to time. After
    /// the first time `ready` is told the store's last slot.
    pub(super) fn run(mut self, ready: impl FnOnce(Option<i64>)) {
        let _end = End(Arc::clone(&self.queue));
        let mut works = self.turn(Timestamp::now());
        ready(self.last);
        let mut seen = 0;
        let mut pause = RETRY.start;
        loop {
            let (came, stop) = self.queue.wait(seen, if works { IDLE } else { pause });
            if stop && came == seen {
                return;
            }
            if came > seen || !works {
                seen = came;
                works = self.turn(Timestamp::now());
                pause = if works { RETRY.start } else { (pause * 2).min(RETRY.end) };
            }
        }
    }
}

/// Whatever way the store's thread ends, nobody waits for it.
struct End(Arc<Queue>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.works(false);
    }
}

/// The past as whoever asks sees it, whether the store is open or not.
#[derive(Clone, Debug, Default)]
pub(super) struct Past(Arc<RwLock<Option<Arc<dyn Read>>>>);

impl Past {
    fn set(&self, reader: Option<Arc<dyn Read>>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = reader;
    }

    fn reader(&self) -> Result<Arc<dyn Read>, ReadError> {
        let reader = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        reader.ok_or_else(|| ReadError("it is not open; `classifier status` says why".to_owned()))
    }
}

impl Read for Past {
    fn extent(&self) -> Result<Extent, ReadError> {
        self.reader()?.extent()
    }

    fn links(&self) -> Result<Vec<StoredLink>, ReadError> {
        self.reader()?.links()
    }

    fn sums(&self, kind: Kind, period: Period, links: &Links) -> Result<Sums, ReadError> {
        self.reader()?.sums(kind, period, links)
    }

    fn series(
        &self,
        kind: Kind,
        subjects: &[Subject],
        period: Period,
        links: &Links,
        step: Step,
    ) -> Result<Vec<Point>, ReadError> {
        self.reader()?.series(kind, subjects, period, links, step)
    }

    fn series_of_each(
        &self,
        kind: Kind,
        subjects: &[Subject],
        period: Period,
        sets: &[Links],
        step: Step,
    ) -> Result<Vec<Vec<Point>>, ReadError> {
        self.reader()?.series_of_each(kind, subjects, period, sets, step)
    }

    fn months(&self, kind: Kind, subject: Subject) -> Result<Vec<Month>, ReadError> {
        self.reader()?.months(kind, subject)
    }

    fn group(&self, key: &str) -> Result<Option<Subject>, ReadError> {
        self.reader()?.group(key)
    }

    fn prefix(&self, subject: Subject) -> Result<Option<StoredPrefix>, ReadError> {
        self.reader()?.prefix(subject)
    }
}
