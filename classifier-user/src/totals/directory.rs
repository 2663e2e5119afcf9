//! The ASes that were seen, by a dense number, and which of them an owner belongs to.

use std::collections::HashMap;

use crate::model::{Asn, Family, Owner, OwnerId, Owners};

/// An AS's place among those seen. 0: no AS, which is what unmatched traffic and that of AS 0 have.
pub(super) type AsIndex = u32;

/// What has no AS.
pub(super) const NO_AS: AsIndex = 0;

/// What is kept of an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Brief {
    pub(super) as_index: AsIndex,
    pub(super) family: Family,
}

/// ASes by the order in which they were first seen.
#[derive(Debug)]
pub(super) struct Directory {
    asns: Vec<Asn>,
    by_asn: HashMap<Asn, AsIndex>,
    /// By owner: 0 where it was not seen, else 1 + 2 * AS index + family.
    owners: Vec<u32>,
}

impl Directory {
    pub(super) fn new() -> Self {
        Self { asns: vec![0], by_asn: HashMap::from([(0, NO_AS)]), owners: Vec::new() }
    }

    /// How many ASes were seen, [`NO_AS`] included.
    pub(super) fn len(&self) -> usize {
        self.asns.len()
    }

    /// The AS at this place; 0 for [`NO_AS`].
    pub(super) fn asn(&self, index: AsIndex) -> Asn {
        self.asns.get(index as usize).copied().unwrap_or(0)
    }

    /// The place of an AS that was seen.
    pub(super) fn index(&self, asn: Asn) -> Option<AsIndex> {
        self.by_asn.get(&asn).copied()
    }

    /// The place of an AS, which has one from now on.
    pub(super) fn add(&mut self, asn: Asn) -> AsIndex {
        *self.by_asn.entry(asn).or_insert_with(|| {
            self.asns.push(asn);
            (self.asns.len() - 1) as AsIndex
        })
    }

    /// What is kept of an owner that was seen.
    pub(super) fn get(&self, id: OwnerId) -> Option<Brief> {
        let code = self.owners.get(id.0 as usize)?.checked_sub(1)?;
        let family = if code & 1 == 0 { Family::Ipv4 } else { Family::Ipv6 };
        Some(Brief { as_index: code >> 1, family })
    }

    /// What is kept of an owner, seen from now on.
    pub(super) fn see(&mut self, id: OwnerId, owners: &dyn Owners) -> Brief {
        if let Some(known) = self.get(id) {
            return known;
        }
        let owner: Owner = owners.owner(id);
        let as_index = self.add(owner.asn().unwrap_or(0));
        let place = id.0 as usize;
        if self.owners.len() <= place {
            self.owners.resize(owners.owner_count().max(place + 1), 0);
        }
        if let Some(code) = self.owners.get_mut(place) {
            *code = 1 + 2 * as_index + u32::from(owner.family() == Family::Ipv6);
        }
        Brief { as_index, family: owner.family() }
    }
}
