//! From the core to the history, which may lag behind for as long as a disk does.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        mpsc::{SyncSender, TrySendError},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use super::{slot_of, taken::Base};
use crate::{
    history::SLOT_SECONDS,
    table::groups::Groups,
    totals::{SweepDelta, answer::GapStatus},
};

/// Sweeps on their way to the history's thread.
pub(super) const CHANNEL: usize = 16;
/// Sweeps that wait where the channel is full, at most: those of one slot are one.
const PENDING: usize = 12;

/// What a sweep added, and when.
#[derive(Clone, Debug)]
pub(super) struct Counted {
    /// When the sweep began, by the system's clock.
    pub(super) at: SystemTime,
    /// Since the one before, by a clock that does not jump.
    pub(super) elapsed: Duration,
    pub(super) delta: SweepDelta,
    /// The groups of that time.
    pub(super) groups: Arc<Groups>,
    /// All that was counted before it, where that outlived an agent: with the first one.
    pub(super) base: Option<Box<Base>>,
    /// Gaps of links that are over.
    pub(super) gaps: Vec<GapStatus>,
    /// All that last, where these have changed.
    pub(super) open: Option<Vec<GapStatus>>,
}

impl Counted {
    /// The slot that it is attributed to: that of its middle.
    pub(super) fn slot(&self) -> i64 {
        slot_of(self.at.checked_sub(self.elapsed / 2).unwrap_or(SystemTime::UNIX_EPOCH))
    }

    /// Adds a later one.
    pub(super) fn absorb(&mut self, mut later: Self) {
        self.gaps.append(&mut later.gaps);
        self.open = later.open.or(self.open.take());
        self.at = later.at;
        self.elapsed += later.elapsed;
        self.delta.absorb(&later.delta);
        self.groups = later.groups;
    }
}

/// The core's end: never waits, loses nothing.
#[derive(Debug)]
pub struct Feed {
    to: SyncSender<Counted>,
    pending: VecDeque<Counted>,
    groups: Arc<Groups>,
    last: Instant,
    base: Option<Box<Base>>,
    gaps: Vec<GapStatus>,
    open: Option<Vec<GapStatus>>,
    /// Gaps that last, as they were given; `None` before the first time: an agent before this one may have left some.
    told: Option<Vec<GapStatus>>,
}

impl Feed {
    pub(super) fn new(to: SyncSender<Counted>, groups: Arc<Groups>, started: Instant) -> Self {
        Self {
            to,
            pending: VecDeque::new(),
            groups,
            last: started,
            base: None,
            gaps: Vec::new(),
            open: None,
            told: None,
        }
    }

    /// Takes what the kernel had counted before this agent: to be called before the first sweep is given.
    pub(crate) fn begin(&mut self, base: Base) {
        self.base = Some(Box::new(base));
    }

    /// Records a gap that is over, with the next sweep.
    pub(crate) fn note(&mut self, gap: GapStatus) {
        self.gaps.push(gap);
    }

    /// Says which gaps last, with the next sweep.
    pub(crate) fn lasting(&mut self, gaps: Vec<GapStatus>) {
        if self.told.as_ref() != Some(&gaps) {
            self.open = Some(gaps.clone());
            self.told = Some(gaps);
        }
    }

    /// Takes other groups, for what is counted from now on.
    pub fn set_groups(&mut self, groups: Arc<Groups>) {
        self.groups = groups;
    }

    /// Gives what a sweep added that began `at`, which was `now`. Where the history lags behind, sweeps of a slot are
    /// added up here until it takes them.
    pub fn give(&mut self, at: SystemTime, now: Instant, delta: SweepDelta) {
        let elapsed = now.saturating_duration_since(self.last);
        self.last = now;
        let counted = Counted {
            at,
            elapsed,
            delta,
            groups: Arc::clone(&self.groups),
            base: self.base.take(),
            gaps: std::mem::take(&mut self.gaps),
            open: self.open.take(),
        };
        match self.pending.back_mut() {
            Some(last) if last.slot() == counted.slot() && Arc::ptr_eq(&last.groups, &counted.groups) => {
                last.absorb(counted);
            }
            _ => self.pending.push_back(counted),
        }
        if self.pending.len() > PENDING
            && let Some(mut oldest) = self.pending.pop_front()
            && let Some(next) = self.pending.pop_front()
        {
            oldest.absorb(next);
            self.pending.push_front(oldest);
        }
        self.send();
    }

    fn send(&mut self) {
        while let Some(counted) = self.pending.pop_front() {
            match self.to.try_send(counted) {
                Ok(()) => {}
                Err(TrySendError::Full(counted)) => return self.pending.push_front(counted),
                // Its end is told elsewhere.
                Err(TrySendError::Disconnected(_)) => return self.pending.clear(),
            }
        }
    }

    /// Waits this long for all to be taken; whether it was.
    pub fn flush(&mut self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        loop {
            self.send();
            if self.pending.is_empty() || Instant::now() >= until {
                return self.pending.is_empty();
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// How long it is until the next slot begins, and a millisecond, so that a sweep then is not before it.
#[must_use]
pub fn until_next_slot(now: SystemTime) -> Duration {
    const SLOT: u128 = SLOT_SECONDS as u128 * 1_000_000;
    let into = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_micros() % SLOT;
    Duration::from_micros((SLOT - into) as u64) + Duration::from_millis(1)
}
