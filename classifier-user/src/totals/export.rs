//! Which ASes have metrics series of their own. An AS that gets one starts it at zero, and what it had before stays
//! in `other`: so no series ever falls, and at every scrape they add up to the link's total.
//!
//! - The first sweep with traffic of any AS gives a fifth of the places to the largest of it, so that a fresh agent
//!   has something to show.
//! - A minute later the largest since then get the other places.
//! - Then, while there are places: the largest of the last hour that have none, so long as they are among the first
//!   as many as there are places; ten in any hour at most, looked for once a minute.
//!
//! An AS keeps its place until the agent ends.

use std::{
    collections::{HashSet, VecDeque},
    time::{Duration, SystemTime},
};

use super::directory::AsIndex;
use crate::model::Counter;

/// From the first traffic until the places are filled.
const SETTLE: Duration = Duration::from_secs(60);
/// Between two looks for later ones.
const PACE: Duration = Duration::from_secs(60);
/// Later ones in any hour.
const AN_HOUR: usize = 10;
const HOUR: Duration = Duration::from_secs(3600);

/// An AS with series of its own.
#[derive(Debug)]
pub(super) struct Exported {
    pub(super) as_index: AsIndex,
    /// By link and hook: what it had when its series began.
    pub(super) base: Box<[Counter]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// No AS had traffic yet.
    Silent,
    /// The first few have places; the others follow at this time.
    Settling(SystemTime),
    /// The next few, at this time at the earliest.
    Steady(SystemTime),
}

/// The ASes with series of their own, in the order in which they got them.
#[derive(Debug)]
pub(super) struct Export {
    cap: usize,
    list: Vec<Exported>,
    members: HashSet<AsIndex>,
    phase: Phase,
    /// When the later ones of the last hour got their places.
    later: VecDeque<SystemTime>,
}

impl Export {
    pub(super) fn new(cap: usize) -> Self {
        Self { cap, list: Vec::new(), members: HashSet::new(), phase: Phase::Silent, later: VecDeque::new() }
    }

    pub(super) fn list(&self) -> &[Exported] {
        &self.list
    }

    /// The clock was set back.
    pub(super) fn shift_back(&mut self, by: Duration) {
        let next = match &mut self.phase {
            Phase::Silent => None,
            Phase::Settling(at) | Phase::Steady(at) => Some(at),
        };
        for at in self.later.iter_mut().chain(next) {
            *at = at.checked_sub(by).unwrap_or(SystemTime::UNIX_EPOCH);
        }
    }

    /// Gives out the places that are due. `largest` gives the ASes of the last hour, largest first; it is asked
    /// only where a place is due. `base` gives what an AS has had until now.
    pub(super) fn promote(
        &mut self,
        now: SystemTime,
        largest: impl FnOnce() -> Vec<AsIndex>,
        base: impl Fn(AsIndex) -> Box<[Counter]>,
    ) {
        let free = self.cap - self.list.len();
        while self.later.front().is_some_and(|&at| at + HOUR <= now) {
            self.later.pop_front();
        }
        let due = match self.phase {
            _ if free == 0 => return,
            Phase::Silent => self.cap.div_ceil(5),
            Phase::Settling(at) if at <= now => free,
            Phase::Steady(at) if at <= now && self.later.len() < AN_HOUR => {
                free.min(AN_HOUR - self.later.len())
            }
            Phase::Settling(_) | Phase::Steady(_) => return,
        };
        let late = matches!(self.phase, Phase::Steady(_));
        let mut largest = largest();
        if largest.is_empty() {
            return;
        }
        self.phase = match self.phase {
            Phase::Silent => Phase::Settling(now + SETTLE),
            Phase::Settling(_) | Phase::Steady(_) => Phase::Steady(now + PACE),
        };
        largest.truncate(self.cap);
        largest.retain(|as_index| !self.members.contains(as_index));
        for as_index in largest.into_iter().take(due) {
            if late {
                self.later.push_back(now);
            }
            self.members.insert(as_index);
            self.list.push(Exported { as_index, base: base(as_index) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn promote(
        export: &mut Export,
        seconds: u64,
        largest: impl IntoIterator<Item = AsIndex>,
    ) -> Vec<AsIndex> {
        let before = export.list.len();
        export.promote(at(seconds), || largest.into_iter().collect(), |_| Box::new([]));
        export.list.iter().skip(before).map(|exported| exported.as_index).collect()
    }

    const NONE: [AsIndex; 0] = [];

    #[test]
    fn a_few_at_once_the_rest_after_a_minute() {
        let mut export = Export::new(10);
        assert_eq!(promote(&mut export, 5, NONE), NONE);
        assert_eq!(promote(&mut export, 10, 1..=9), [1, 2]);
        assert_eq!(promote(&mut export, 15, 1..=9), NONE);
        assert_eq!(promote(&mut export, 69, 1..=9), NONE);
        assert_eq!(promote(&mut export, 70, [5, 1, 2, 3]), [5, 3]);
        assert_eq!(promote(&mut export, 129, 20..40), NONE);
        // Six places are left; the cap holds, though ten would be allowed.
        assert_eq!(promote(&mut export, 130, 20..40), [20, 21, 22, 23, 24, 25]);
        assert_eq!(promote(&mut export, 9999, 50..60), NONE);
        assert_eq!(export.list().len(), 10);
    }

    #[test]
    fn ten_in_any_hour_and_only_from_the_top() {
        let mut export = Export::new(100);
        promote(&mut export, 0, [1]);
        promote(&mut export, 60, [1]);
        assert_eq!(promote(&mut export, 120, 2..=5).len(), 4);
        assert_eq!(promote(&mut export, 600, 2..90).len(), 6);
        assert_eq!(promote(&mut export, 3719, 2..90), NONE);
        assert_eq!(promote(&mut export, 3720, 2..90).len(), 4);
        assert_eq!(promote(&mut export, 4199, 2..90), NONE);
        assert_eq!(promote(&mut export, 4200, 2..90).len(), 6);

        let mut export = Export::new(2);
        promote(&mut export, 0, [1]);
        promote(&mut export, 60, [1]);
        // The third is not among the first two.
        assert_eq!(promote(&mut export, 120, [1, 1, 2]), NONE);
        assert_eq!(promote(&mut export, 180, [1, 3, 2]), [3]);
        assert_eq!(promote(&mut Export::new(0), 0, [1]), NONE);
    }
}
