//! Which ASes have metrics series of their own. An AS that gets one starts it at zero, and what it had before stays
//! in `other`: so no series ever falls, and at every scrape they add up to the link's total.
//!
//! - The first sweep with traffic of any AS gives a fifth of the places to the largest of it, so that a fresh agent
//!   has something to show.
//! - A minute later the largest since then get the other places.
//! - Then, while there are places: every six minutes the largest of the last hour that has none, so long as it is
//!   among the first as many as there are places.
//!
//! An AS keeps its place until the agent ends.

use std::{
    collections::HashSet,
    time::{Duration, SystemTime},
};

use super::directory::AsIndex;
use crate::model::Counter;

/// From the first traffic until the places are filled.
const SETTLE: Duration = Duration::from_secs(60);
/// Between two later promotions: ten an hour.
const PACE: Duration = Duration::from_secs(360);

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
    /// The next single one at this time.
    Steady(SystemTime),
}

/// The ASes with series of their own, in the order in which they got them.
#[derive(Debug)]
pub(super) struct Export {
    cap: usize,
    list: Vec<Exported>,
    members: HashSet<AsIndex>,
    phase: Phase,
}

impl Export {
    pub(super) fn new(cap: usize) -> Self {
        Self { cap, list: Vec::new(), members: HashSet::new(), phase: Phase::Silent }
    }

    pub(super) fn list(&self) -> &[Exported] {
        &self.list
    }

    /// The clock was set back.
    pub(super) fn shift_back(&mut self, by: Duration) {
        if let Phase::Settling(at) | Phase::Steady(at) = &mut self.phase {
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
        let due = match self.phase {
            _ if free == 0 => return,
            Phase::Silent => self.cap.div_ceil(5),
            Phase::Settling(at) if at <= now => free,
            Phase::Steady(at) if at <= now => 1,
            Phase::Settling(_) | Phase::Steady(_) => return,
        };
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

    #[test]
    fn a_few_at_once_the_rest_after_a_minute_then_ten_an_hour() {
        let mut export = Export::new(10);
        assert_eq!(promote(&mut export, 5, []), []);
        assert_eq!(promote(&mut export, 10, 1..=9), [1, 2]);
        assert_eq!(promote(&mut export, 15, 1..=9), []);
        assert_eq!(promote(&mut export, 69, 1..=9), []);
        assert_eq!(promote(&mut export, 70, [5, 1, 2, 3]), [5, 3]);
        let mut later = Vec::new();
        for seconds in (75..=70 + 3600).step_by(5) {
            later.extend(promote(&mut export, seconds, 20..40));
        }
        // Six places were left; the cap holds, though ten would have been allowed.
        assert_eq!(later, [20, 21, 22, 23, 24, 25]);
        assert_eq!(export.list().len(), 10);
    }

    #[test]
    fn one_in_six_minutes_and_only_from_the_top() {
        let mut export = Export::new(100);
        promote(&mut export, 0, [1]);
        promote(&mut export, 60, [1]);
        let mut later = 0;
        for seconds in (65..=60 + 3600).step_by(5) {
            later += promote(&mut export, seconds, 1..1000).len();
        }
        assert_eq!(later, 10);

        let mut export = Export::new(2);
        promote(&mut export, 0, [1, 2]);
        promote(&mut export, 60, [1]);
        assert_eq!(promote(&mut export, 420, [1, 3, 2]), [3]);
        let mut export = Export::new(2);
        promote(&mut export, 0, [1]);
        promote(&mut export, 60, [1]);
        assert_eq!(promote(&mut export, 420, [7, 1, 2]), [7]);
        let mut export = Export::new(0);
        assert_eq!(promote(&mut export, 0, [1]), []);
    }
}
