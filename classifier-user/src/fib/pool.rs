//! Numbers of rows and nodes: given out, taken back through a quarantine.

use crate::datapath::DatapathError;

/// How much of a kind of row or node is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Reachable by a lookup.
    pub live: u32,
    /// No longer reachable, waiting for a grace period.
    pub quarantined: u32,
    /// How many there are.
    pub capacity: u32,
}

/// Numbers below a capacity. A batch takes and drops numbers; nothing of it lasts until [`Pool::commit`].
///
/// What a commit drops may still be read by a lookup that began before. It goes from `open` ([`Pool::seal`]) to
/// `sealed`, and after a grace period ([`Pool::reclaim`]) to `free`.
#[derive(Debug)]
pub(super) struct Pool {
    what: &'static str,
    capacity: u32,
    /// Numbers from here on were never given out.
    fresh: u32,
    free: Vec<u32>,
    taken: Vec<u32>,
    dropped: Vec<u32>,
    open: Vec<u32>,
    sealed: Vec<u32>,
}

impl Pool {
    pub(super) const fn new(what: &'static str, capacity: u32) -> Self {
        Self {
            what,
            capacity,
            fresh: 0,
            free: Vec::new(),
            taken: Vec::new(),
            dropped: Vec::new(),
            open: Vec::new(),
            sealed: Vec::new(),
        }
    }

    /// A number that no lookup can reach.
    pub(super) fn take(&mut self) -> Result<u32, DatapathError> {
        let number = match self.free.pop() {
            Some(number) => number,
            None if self.fresh < self.capacity => {
                self.fresh += 1;
                self.fresh - 1
            }
            None => return Err(DatapathError::FibFull { what: self.what, capacity: self.capacity }),
        };
        self.taken.push(number);
        Ok(number)
    }

    /// A number that no lookup reaches once the batch is committed.
    pub(super) fn drop(&mut self, number: u32) {
        self.dropped.push(number);
    }

    /// The batch is in the FIB.
    pub(super) fn commit(&mut self) {
        self.taken = Vec::new();
        self.open.append(&mut self.dropped);
    }

    /// The batch is not in the FIB, and nothing leads to what it took.
    pub(super) fn rollback(&mut self) {
        self.dropped = Vec::new();
        // In reverse, so that numbers are given out again in the same order.
        self.free.extend(self.taken.drain(..).rev());
    }

    pub(super) fn seal(&mut self) {
        self.sealed.append(&mut self.open);
    }

    pub(super) fn reclaim(&mut self) {
        self.free.append(&mut self.sealed);
    }

    pub(super) fn usage(&self) -> Usage {
        let quarantined = (self.open.len() + self.sealed.len()) as u32;
        Usage {
            live: self.fresh - self.free.len() as u32 - quarantined,
            quarantined,
            capacity: self.capacity,
        }
    }
}
