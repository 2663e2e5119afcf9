//! Deltas in, FIB words out.

use std::net::{Ipv4Addr, Ipv6Addr};

use classifier_common::fib::{
    MAX_PAYLOAD, UNMATCHED_V4, UNMATCHED_V6, V4_ROOT_WORDS, V6_OTHER_WORDS, V6_ROOT_WORDS, Word,
};

use super::{
    memory::{FibMemory, Words},
    pool::Usage,
    prefixes::{Change, Prefixes},
    rows::{ROOTS_V4, ROOTS_V6},
    runs::Runs,
    tables::Tables,
};
use crate::{
    datapath::DatapathError,
    model::{FibDelta, Prefix},
};

/// What the FIB holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usages {
    /// IPv4 rows.
    pub v4_rows: Usage,
    /// IPv6 rows.
    pub v6_rows: Usage,
    /// IPv6 search nodes.
    pub v6_nodes: Usage,
}

/// Turns batches of deltas into words, each stored once and only where it differs.
///
/// A lookup that runs beside [`Writer::apply`] finds, for each address, the class from before the batch or the one
/// after it, never a third. What a batch takes out of reach goes into quarantine; the owner lets it be used again
/// in three steps: [`Writer::seal`], wait until every lookup that had begun before has ended (a grace period),
/// [`Writer::reclaim`]. Batches may be applied between these.
#[derive(Debug)]
pub struct Writer<W> {
    tables: Tables<W>,
    v4: Prefixes<u32>,
    v6: Prefixes<u128>,
    classes: u32,
}

impl<W: Words> Writer<W> {
    /// A FIB without routes. The memory must be zero, and not read by any lookup before this returns.
    ///
    /// # Panics
    /// If a root has not the size that `classifier_common::fib` says.
    #[must_use]
    pub fn new(mut memory: FibMemory<W>) -> Self {
        assert_eq!(memory.v4_root.len(), V4_ROOT_WORDS, "words of the IPv4 root");
        assert_eq!(memory.v6_root.len(), V6_ROOT_WORDS, "words of the IPv6 root");
        assert_eq!(memory.v6_other.len(), V6_OTHER_WORDS, "words of the other IPv6 root");
        const { assert!(UNMATCHED_V4 == 0) };
        for root in [&mut memory.v6_root, &mut memory.v6_other] {
            for index in 0..root.len() {
                root.store(index, Word::class(UNMATCHED_V6).0);
            }
        }
        Self { tables: Tables::new(memory), v4: Prefixes::new(), v6: Prefixes::new(), classes: MAX_PAYLOAD }
    }

    /// Refuses classes from `classes` on, which the banks do not have.
    #[must_use]
    pub fn limit_classes(mut self, classes: u32) -> Self {
        self.classes = classes.min(MAX_PAYLOAD);
        self
    }

    /// This FIB in other memory, with other sizes; the memory as for [`Writer::new`]. From here on this one has no
    /// routes, but its memory stays as it is, for lookups that still read it.
    ///
    /// # Errors
    /// [`DatapathError::FibFull`] where rows or nodes are too few; this one is then as it was.
    pub fn moved(&mut self, memory: FibMemory<W>) -> Result<Self, DatapathError> {
        let mut next = Self::new(memory);
        let planned = next
            .tables
            .update(&ROOTS_V4, Runs::new(self.v4.sweep(&Prefixes::everything())))
            .and_then(|()| next.tables.update(&ROOTS_V6, Runs::new(self.v6.sweep(&Prefixes::everything()))));
        planned?;
        next.tables.commit();
        next.v4 = std::mem::replace(&mut self.v4, Prefixes::new());
        next.v6 = std::mem::replace(&mut self.v6, Prefixes::new());
        Ok(next)
    }

    /// Puts a batch into the FIB; of several deltas for one prefix the last one counts. Returns how many words
    /// were stored.
    ///
    /// # Errors
    /// [`DatapathError::FibFull`] where rows or nodes run out, [`DatapathError::ClassOutOfRange`]; the FIB is then
    /// as it was before. If something is in quarantine ([`Writer::quarantined`]), the same batch may fit once that
    /// is reclaimed.
    pub fn apply(&mut self, deltas: &[FibDelta]) -> Result<u64, DatapathError> {
        if let Some(class) =
            deltas.iter().filter_map(|delta| delta.class).find(|&class| class >= self.classes)
        {
            return Err(DatapathError::ClassOutOfRange { class, classes: self.classes });
        }
        let (undo_v4, blocks_v4) = self.v4.change(deltas.iter().filter_map(v4), u32::BITS as u8);
        let (undo_v6, blocks_v6) = self.v6.change(deltas.iter().filter_map(v6), SLOT_V6);
        let planned = self
            .tables
            .update(&ROOTS_V4, Runs::new(self.v4.sweep(&blocks_v4)))
            .and_then(|()| self.tables.update(&ROOTS_V6, Runs::new(self.v6.sweep(&blocks_v6))));
        if let Err(error) = planned {
            self.tables.rollback();
            self.v4.undo(undo_v4);
            self.v6.undo(undo_v6);
            return Err(error);
        }
        Ok(self.tables.commit())
    }

    /// Marks what is in quarantine now: it is free after the grace period that begins after this.
    pub fn seal(&mut self) {
        self.tables.v4_rows.seal();
        self.tables.v6_rows.seal();
        self.tables.v6_nodes.seal();
    }

    /// Frees what was in quarantine at the last [`Writer::seal`]. Only after a grace period that began after it.
    pub fn reclaim(&mut self) {
        self.tables.v4_rows.reclaim();
        self.tables.v6_rows.reclaim();
        self.tables.v6_nodes.reclaim();
    }

    /// Whether something waits for a grace period.
    #[must_use]
    pub fn quarantined(&self) -> bool {
        let Usages { v4_rows, v6_rows, v6_nodes } = self.usage();
        v4_rows.quarantined + v6_rows.quarantined + v6_nodes.quarantined > 0
    }

    /// How full the FIB is.
    #[must_use]
    pub fn usage(&self) -> Usages {
        Usages {
            v4_rows: self.tables.v4_rows.usage(),
            v6_rows: self.tables.v6_rows.usage(),
            v6_nodes: self.tables.v6_nodes.usage(),
        }
    }

    /// How many IPv4 and IPv6 prefixes are in the FIB.
    #[must_use]
    pub fn prefixes(&self) -> (usize, usize) {
        (self.v4.len(), self.v6.len())
    }

    /// The memory, to look up in.
    #[must_use]
    pub const fn memory(&self) -> &FibMemory<W> {
        &self.tables.memory
    }
}

/// IPv6 words stand for a /32 at least; the classes below one are looked at together.
const SLOT_V6: u8 = 32;

fn v4(delta: &FibDelta) -> Option<Change<u32>> {
    match delta.prefix {
        Prefix::V4(prefix) => {
            Some((Ipv4Addr::to_bits(prefix.network_address()), prefix.netmask(), delta.class))
        }
        Prefix::V6(_) => None,
    }
}

fn v6(delta: &FibDelta) -> Option<Change<u128>> {
    match delta.prefix {
        Prefix::V4(_) => None,
        Prefix::V6(prefix) => {
            Some((Ipv6Addr::to_bits(prefix.network_address()), prefix.netmask(), delta.class))
        }
    }
}
