//! All slots of a period, a subject after the other: for what needs every slot of every subject, as percentiles.

use std::ops::Range;

use super::{Reader, Snapshot, end_slot, slot_of};
use crate::history::{
    Kind, Links, Period, Sample, Step, Subject,
    store::{
        block::{Entry, Scope},
        error::StoreError,
        merge::Merge,
        rows::blocks,
    },
};

/// A slot of a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotSamples {
    /// The slot's number.
    pub slot: i64,
    /// By direction, over the links that were asked for.
    pub samples: [Sample; 2],
}

/// Goes through subjects, ascending. The store as it was at the beginning is seen, and its log grows as long as this
/// lives: not for longer than some seconds.
#[derive(Debug)]
pub struct Walk {
    snapshot: Snapshot,
    merge: Merge,
    links: Links,
    rows: Vec<Entry>,
    slots: Vec<SlotSamples>,
}

impl Reader {
    /// Goes through the subjects of a kind from `first` on, with their slots in a period, of which five-minute detail must
    /// still be there.
    ///
    /// # Errors
    /// What SQLite says, and [`StoreError::Damaged`].
    pub fn walk(&self, kind: Kind, period: Period, links: Links, first: Subject) -> Result<Walk, StoreError> {
        let snapshot = self.snapshot()?;
        let span = slot_of(period.from)..end_slot(period.to);
        let conn = snapshot.conn()?;
        let sources = blocks(conn, (kind, Step::Slot, Scope::Links), span.start, span.end)?;
        let merge = Merge::new(conn, sources, span, false, first)?;
        Ok(Walk { snapshot, merge, links, rows: Vec::new(), slots: Vec::new() })
    }

    /// The seconds that were counted of each slot of a period, from the slot that it begins in.
    ///
    /// # Errors
    /// What SQLite says, and [`StoreError::Damaged`].
    pub fn seconds(&self, period: Period) -> Result<Vec<u32>, StoreError> {
        let Range { start, end } = slot_of(period.from)..end_slot(period.to);
        let snapshot = self.snapshot()?;
        snapshot.coverage(start, end, 0)?.by_slot(start, end)
    }
}

impl Walk {
    /// The next subject that has traffic on the links, and its slots, ascending; slots without traffic are not there.
    ///
    /// # Errors
    /// What SQLite says, and [`StoreError::Damaged`].
    pub fn next_subject(&mut self) -> Result<Option<(Subject, &[SlotSamples])>, StoreError> {
        loop {
            let conn = self.snapshot.conn()?;
            let Some(subject) = self.merge.next(conn, &mut self.rows)? else { return Ok(None) };
            let catalog = &self.snapshot.catalog;
            match &self.links {
                Links::Isp => self.rows.retain(|entry| catalog.is_isp(entry.place.link(), entry.at)),
                Links::Only(links) => self.rows.retain(|entry| links.contains(&entry.place.link())),
            }
            self.rows.sort_by_key(|entry| entry.at);
            self.slots.clear();
            for slot in self.rows.chunk_by(|a, b| a.at == b.at) {
                let Some(first) = slot.first() else { continue };
                let mut samples = [Sample::default(); 2];
                for entry in slot {
                    if let Some(sum) = samples.get_mut(entry.place.direction()) {
                        *sum += entry.sample;
                    }
                }
                self.slots.push(SlotSamples { slot: first.at.into(), samples });
            }
            if !self.slots.is_empty() {
                return Ok(Some((subject, &self.slots)));
            }
        }
    }
}
