//! Whose password is checked next: one at a time, whoever asks.
//!
//! A wrong one is paid for by a pause: as long as its check took for everybody, so that those who guess use half of a CPU
//! however many they are; and four times as long for addresses that had one wrong before, so that they use a fifth. These
//! come after all others, and among themselves by turns: the one whose last wrong password is the longest ago. So who
//! guesses from one address keeps another one, which had none wrong, waiting for the check that is under way and a pause as
//! long, whatever a check costs.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use super::super::gate::Peer;

/// Requests from an address that wait for a check or are checked, at most; and those from this machine, which may be a
/// proxy's.
pub(super) const WAITING: usize = 2;
pub(super) const WAITING_HERE: usize = 16;
/// How long they wait, or for so many times as long as a check takes if that is more.
const PATIENCE: Duration = Duration::from_secs(5);
const PATIENCE_CHECKS: u32 = 10;
/// After a wrong password nothing is checked, from where there was one before, for so many times as long as it took.
const PAUSE: u32 = 4;
/// Addresses that are known to have had a wrong one.
const WRONG: usize = 1024;

/// The turns of one listener.
#[derive(Debug, Default)]
pub(super) struct Turns {
    queue: Mutex<Queue>,
    changed: Notify,
}

/// Who waits, and who has to.
#[derive(Debug, Default)]
struct Queue {
    next: u64,
    waiting: BTreeMap<u64, Waiter>,
    /// Whose password is being checked, and since when.
    checked: Option<(Peer, Instant)>,
    /// When the last wrong password from there was found.
    wrong: HashMap<Peer, Instant>,
    /// When the last wrong one from anywhere was found, and how long that took.
    last: Option<(Instant, Duration)>,
    /// The longest check so far.
    longest: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Waiter {
    peer: Peer,
    since: Instant,
}

/// What somebody who waits does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// It is their turn.
    Check,
    /// They wait until then, or until something changes.
    Wait(Instant),
    /// They have waited for too long.
    Leave,
}

impl Queue {
    /// A number among those that wait, if one from there may wait.
    fn enter(&mut self, peer: Peer, now: Instant) -> Option<u64> {
        let most = if peer.is_some() { WAITING } else { WAITING_HERE };
        let waiting = self.waiting.values().filter(|waiter| waiter.peer == peer).count();
        let checked = self.checked.is_some_and(|(checked, _)| checked == peer);
        if waiting + usize::from(checked) >= most {
            return None;
        }
        let number = self.next;
        self.next += 1;
        self.waiting.insert(number, Waiter { peer, since: now });
        Some(number)
    }

    /// Gives this one its turn, or says what it waits for.
    fn next(&mut self, number: u64, now: Instant) -> Next {
        let Some(&Waiter { peer, since }) = self.waiting.get(&number) else { return Next::Leave };
        let mut until = since + self.patience(now);
        if self.checked.is_none() && self.first() == Some(number) {
            let free = self.free(peer).unwrap_or(now);
            if free <= now {
                self.waiting.remove(&number);
                self.checked = Some((peer, now));
                return Next::Check;
            }
            until = until.min(free);
        }
        if until <= now { Next::Leave } else { Next::Wait(until) }
    }

    fn first(&self) -> Option<u64> {
        let first = self
            .waiting
            .iter()
            .min_by_key(|(number, waiter)| (self.wrong.get(&waiter.peer).copied(), **number));
        first.map(|(number, _)| *number)
    }

    /// When the pause is over for those from there.
    fn free(&self, peer: Peer) -> Option<Instant> {
        let (found, took) = self.last?;
        let pause = if self.wrong.contains_key(&peer) { took * PAUSE } else { took };
        Some(found + pause)
    }

    /// The first check of all has no other to be measured by: it is waited for.
    fn patience(&self, now: Instant) -> Duration {
        let checked = self.checked.map_or(Duration::ZERO, |(_, since)| now.saturating_duration_since(since));
        PATIENCE.max(self.longest.max(checked) * PATIENCE_CHECKS)
    }

    /// Ends the turn of whoever has it.
    fn end(&mut self, is_wrong: bool, now: Instant) {
        let Some((peer, since)) = self.checked.take() else { return };
        let took = now.saturating_duration_since(since);
        self.longest = self.longest.max(took);
        if !is_wrong {
            return;
        }
        self.last = Some((now, took));
        self.wrong.insert(peer, now);
        if self.wrong.len() > WRONG {
            let oldest = self.wrong.iter().min_by_key(|(_, at)| **at).map(|(peer, _)| *peer);
            self.wrong.retain(|peer, _| Some(*peer) != oldest);
        }
    }
}

/// A place among those that wait; free again when dropped.
#[derive(Debug)]
pub(super) struct Place<'a> {
    turns: &'a Turns,
    number: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.turns.lock().waiting.remove(&self.number);
        self.turns.changed.notify_waiters();
    }
}

impl Turns {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place, if one from there may wait.
    pub(super) fn enter(&self, peer: Peer) -> Option<Place<'_>> {
        let number = self.lock().enter(peer, Instant::now())?;
        Some(Place { turns: self, number })
    }

    /// Waits for a turn; `None` where too many do, or for too long.
    pub(super) async fn take(self: &Arc<Self>, peer: Peer) -> Option<Turn> {
        let place = self.enter(peer)?;
        loop {
            // What changes from here on is not missed.
            let changed = self.changed.notified();
            let next = self.lock().next(place.number, Instant::now());
            match next {
                Next::Check => return Some(Turn { turns: Arc::clone(self), is_wrong: false }),
                Next::Leave => return None,
                Next::Wait(until) => {
                    let _ = tokio::time::timeout_at(until.into(), changed).await;
                }
            }
        }
    }
}

/// Somebody's turn; over when dropped.
#[derive(Debug)]
pub(super) struct Turn {
    turns: Arc<Turns>,
    is_wrong: bool,
}

impl Turn {
    /// Whether `check` finds the password right. It goes on where nobody waits for it any more: who closes early pays all
    /// the same.
    pub(super) async fn check(self, check: impl Future<Output = bool> + Send + 'static) -> bool {
        let checked = tokio::spawn(async move {
            let mut turn = self;
            let is_right = check.await;
            turn.is_wrong = !is_right;
            is_right
        });
        checked.await.unwrap_or(false)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.turns.lock().end(self.is_wrong, Instant::now());
        self.turns.changed.notify_waiters();
    }
}

#[cfg(test)]
#[path = "turns_tests.rs"]
mod tests;
