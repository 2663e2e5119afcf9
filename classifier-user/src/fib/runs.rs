//! Intervals as the tables of 32 bits see them: runs of whole /32 (IPv6) or of addresses (IPv4).

use classifier_common::fib::Class;

use super::prefixes::{Address, Interval, Sweep};

/// What a run of 32-bit heads has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// One class.
    Class(Class),
    /// Several classes below a single head; [`Runs::parts`] says which begins where.
    Parts,
}

/// Successive 32-bit heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) first: u32,
    pub(super) last: u32,
    pub(super) what: What,
}

/// Where a class begins: the 96 bits behind a head.
pub(super) type Part = (u128, Class);

/// Runs, ascending, disjoint, neighbours never of the same class, out of the intervals of whole heads.
pub(super) struct Runs<'a, A: Address> {
    sweep: Sweep<'a, A>,
    ahead: Option<Interval<A>>,
    /// What is left of an interval that was cut at a head.
    rest: Option<Interval<A>>,
    held: Option<Run>,
    parts: Vec<Part>,
}

impl<'a, A: Address> Runs<'a, A> {
    pub(super) fn new(mut sweep: Sweep<'a, A>) -> Self {
        let ahead = sweep.next();
        Self { sweep, ahead, rest: None, held: None, parts: Vec::new() }
    }

    /// The next run as far as `last`; the rest of it stays.
    pub(super) fn next_within(&mut self, last: u32) -> Option<Run> {
        let run = match self.held.take() {
            Some(run) => run,
            None => self.pull()?,
        };
        if run.first > last {
            self.held = Some(run);
            return None;
        }
        if run.last > last {
            self.held = Some(Run { first: last + 1, ..run });
            return Some(Run { last, ..run });
        }
        Some(run)
    }

    /// Puts back what is left of the run that came last; [`Runs::parts`] are still its own.
    pub(super) fn put_back(&mut self, mut run: Run) {
        if let Some(rest) = self.held {
            run.last = rest.last;
        }
        self.held = Some(run);
    }

    /// The parts of the run of [`What::Parts`] that came last: ascending, the first one at 0.
    pub(super) fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The next interval, joined with those after it that have its class.
    fn interval(&mut self) -> Option<Interval<A>> {
        if let Some(rest) = self.rest.take() {
            return Some(rest);
        }
        let mut interval = self.ahead.take()?;
        for next in self.sweep.by_ref() {
            if next.class != interval.class || interval.last.next() != Some(next.first) {
                self.ahead = Some(next);
                break;
            }
            interval.last = next.last;
        }
        Some(interval)
    }

    fn pull(&mut self) -> Option<Run> {
        let Interval { first, last, class } = self.interval()?;
        let what = What::Class(class);
        if last.ends_head() {
            return Some(Run { first: first.head(), last: last.head(), what });
        }
        let head = last.head();
        if first.head() < head {
            self.rest = Some(Interval { first: A::of_head(head), last, class });
            return Some(Run { first: first.head(), last: head - 1, what });
        }
        self.parts.clear();
        self.parts.push((first.tail(), class));
        while let Some(next) = self.interval() {
            self.parts.push((next.first.tail(), next.class));
            if next.last.head() > head {
                // It goes on behind this head.
                self.rest = Some(Interval { first: A::of_head(head + 1), ..next });
                break;
            }
            if next.last.ends_head() {
                break;
            }
        }
        Some(Run { first: head, last: head, what: What::Parts })
    }
}
