//! All routes of all sources, and which one counts for a prefix.
//!
//! Each source has a table of its own. The longest prefix wins first, whatever its source; for one prefix the
//! source with the lowest [`SourceId`] wins. Callers learn what became of a prefix as [`Change`]s, which carry only
//! what the FIB wants to know: the origin that counts from now on.

use std::net::IpAddr;

use ip_network_table::IpNetworkTable;

use super::origins::Origins;
use crate::model::{Asn, Family, Prefix};

/// A source's rank: of several routes for one prefix the one with the lowest rank counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(pub u8);

impl SourceId {
    /// Static overrides: before everything else.
    pub const OVERRIDE: Self = Self(0);
    /// The built-in snapshot: behind everything else.
    pub const BUILTIN: Self = Self(u8::MAX);
    /// How many live sources there can be.
    pub const MAX_LIVE: usize = 63;
    /// How many files there can be.
    pub const MAX_FILES: usize = 191;

    /// The `index`-th live source (BGP, BMP); `None` from [`Self::MAX_LIVE`] on.
    #[must_use]
    pub fn live(index: usize) -> Option<Self> {
        (index < Self::MAX_LIVE).then(|| u8::try_from(1 + index).ok().map(Self)).flatten()
    }

    /// The `index`-th file in the order given; `None` from [`Self::MAX_FILES`] on.
    #[must_use]
    pub fn file(index: usize) -> Option<Self> {
        (index < Self::MAX_FILES).then(|| u8::try_from(1 + Self::MAX_LIVE + index).ok().map(Self)).flatten()
    }
}

/// What became of a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The prefix.
    pub prefix: Prefix,
    /// The origin that counts for it from now on; `None` where no source has the prefix any more.
    pub origin: Option<Asn>,
}

/// The route that counts for an address or a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found<'a> {
    /// Its prefix.
    pub prefix: Prefix,
    /// The origin that counts. 0: known to be unrouted.
    pub asn: Asn,
    /// All origins that the source has for it, the one that counts first.
    pub origins: &'a [Asn],
    /// Whose route it is.
    pub source: SourceId,
}

/// How many prefixes there are of each family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PrefixCounts {
    /// IPv4.
    pub ipv4: usize,
    /// IPv6.
    pub ipv6: usize,
}

impl std::ops::AddAssign for PrefixCounts {
    fn add_assign(&mut self, more: Self) {
        self.ipv4 += more.ipv4;
        self.ipv6 += more.ipv6;
    }
}

impl PrefixCounts {
    /// Of both families.
    #[must_use]
    pub const fn total(self) -> usize {
        self.ipv4 + self.ipv6
    }

    fn of(&mut self, prefix: &Prefix) -> &mut usize {
        match Family::of(prefix) {
            Family::Ipv4 => &mut self.ipv4,
            Family::Ipv6 => &mut self.ipv6,
        }
    }
}

/// A route in eight bytes: its chosen origin, and where all of them are if there are several.
#[derive(Clone, Copy)]
struct Slot {
    asn: Asn,
    /// Bit 31: seen by the replacement that is going on. Below: 0 for one origin, else a place in `moas` + 1.
    meta: u32,
}

const SEEN: u32 = 1 << 31;

/// One source's routes.
struct Source {
    id: SourceId,
    table: IpNetworkTable<Slot>,
    moas: Vec<Box<[Asn]>>,
    free: Vec<u32>,
}

impl Source {
    fn new(id: SourceId) -> Self {
        Self { id, table: IpNetworkTable::new(), moas: Vec::new(), free: Vec::new() }
    }

    fn origins<'a>(&'a self, slot: &'a Slot) -> &'a [Asn] {
        match (slot.meta & !SEEN).checked_sub(1).and_then(|place| self.moas.get(place as usize)) {
            Some(several) => several,
            None => std::slice::from_ref(&slot.asn),
        }
    }

    fn chosen(&self, prefix: Prefix) -> Option<Asn> {
        self.table.exact_match(prefix).map(|slot| slot.asn)
    }

    fn release(&mut self, slot: Slot) {
        if let Some(place) = (slot.meta & !SEEN).checked_sub(1) {
            if let Some(several) = self.moas.get_mut(place as usize) {
                *several = Box::default();
            }
            self.free.push(place);
        }
    }

    fn slot(&mut self, origins: &Origins, flags: u32) -> Slot {
        let meta = match origins.all() {
            [_, _, ..] => {
                let several: Box<[Asn]> = origins.all().into();
                let place = match self.free.pop() {
                    Some(place) => place,
                    None => {
                        self.moas.push(Box::default());
                        // Fewer than 2^31 routes fit into memory.
                        (self.moas.len() - 1) as u32
                    }
                };
                if let Some(empty) = self.moas.get_mut(place as usize) {
                    *empty = several;
                }
                place + 1
            }
            _ => 0,
        };
        Slot { asn: origins.chosen(), meta: meta | flags }
    }

    /// Puts a route in; the origin that was chosen before.
    fn insert(&mut self, prefix: Prefix, origins: &Origins, flags: u32) -> Option<Asn> {
        if let [asn] = origins.all() {
            // The usual case with one walk of the table.
            let old = self.table.insert(prefix, Slot { asn: *asn, meta: flags })?;
            self.release(old);
            return Some(old.asn);
        }
        let slot = self.slot(origins, flags);
        let old = self.table.insert(prefix, slot)?;
        self.release(old);
        Some(old.asn)
    }

    fn remove(&mut self, prefix: Prefix) -> Option<Asn> {
        let old = self.table.remove(prefix)?;
        self.release(old);
        Some(old.asn)
    }

    fn counts(&self) -> PrefixCounts {
        let (ipv4, ipv6) = self.table.len();
        PrefixCounts { ipv4, ipv6 }
    }
}

/// All routes of all sources.
#[derive(Default)]
pub struct Rib {
    /// Ascending by rank.
    sources: Vec<Source>,
    counts: PrefixCounts,
}

impl std::fmt::Debug for Rib {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rib")
            .field(
                "sources",
                &self.sources.iter().map(|source| (source.id, source.counts())).collect::<Vec<_>>(),
            )
            .field("counts", &self.counts)
            .finish()
    }
}

impl Rib {
    /// Without routes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes these routes the source's only ones, and says what that changed: nothing if they are the ones it had.
    /// Each prefix comes at most once. An empty list takes the source out.
    pub fn replace_source(
        &mut self,
        source: SourceId,
        routes: impl IntoIterator<Item = (Prefix, Origins)>,
    ) -> Vec<Change> {
        let mut changes = Vec::new();
        let place = self.place(source);
        for (prefix, origins) in routes {
            changes.extend(self.put(place, prefix, &origins, SEEN));
        }
        let mut gone = Vec::new();
        if let Some(source) = self.sources.get_mut(place) {
            for (prefix, slot) in source.table.iter_mut() {
                if slot.meta & SEEN == 0 {
                    gone.push(prefix);
                }
                slot.meta &= !SEEN;
            }
        }
        for prefix in gone {
            changes.extend(self.take(place, prefix));
        }
        self.drop_if_empty(place);
        changes
    }

    /// Sets one route of a source, or takes it out; what that changed, if anything.
    pub fn update(&mut self, source: SourceId, prefix: Prefix, origins: Option<Origins>) -> Option<Change> {
        match origins {
            Some(origins) => {
                let place = self.place(source);
                self.put(place, prefix, &origins, 0)
            }
            None => {
                let place = self.sources.iter().position(|known| known.id == source)?;
                let change = self.take(place, prefix);
                self.drop_if_empty(place);
                change
            }
        }
    }

    /// The route that counts for an address: the longest prefix, of it the first source.
    #[must_use]
    pub fn lookup(&self, address: IpAddr) -> Option<Found<'_>> {
        let mut best: Option<Found<'_>> = None;
        for source in &self.sources {
            if let Some((prefix, slot)) = source.table.longest_match(address)
                && best.is_none_or(|found| prefix.netmask() > found.prefix.netmask())
            {
                best =
                    Some(Found { prefix, asn: slot.asn, origins: source.origins(slot), source: source.id });
            }
        }
        best
    }

    /// The route that counts for exactly this prefix.
    #[must_use]
    pub fn exact(&self, prefix: &Prefix) -> Option<Found<'_>> {
        self.sources.iter().find_map(|source| {
            let slot = source.table.exact_match(*prefix)?;
            Some(Found { prefix: *prefix, asn: slot.asn, origins: source.origins(slot), source: source.id })
        })
    }

    /// The routes of all sources for exactly this prefix, the one that counts first.
    pub fn all_of<'a>(&'a self, prefix: &Prefix) -> impl Iterator<Item = Found<'a>> {
        let prefix = *prefix;
        self.sources.iter().filter_map(move |source| {
            let slot = source.table.exact_match(prefix)?;
            Some(Found { prefix, asn: slot.asn, origins: source.origins(slot), source: source.id })
        })
    }

    /// The routes that count, each prefix once: IPv4 and IPv6 of one source after another, within a family
    /// in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = Found<'_>> {
        self.sources.iter().enumerate().flat_map(move |(place, source)| {
            source.table.iter().filter_map(move |(prefix, slot)| {
                let before = self.sources.get(..place).unwrap_or_default();
                before.iter().all(|other| other.table.exact_match(prefix).is_none()).then(|| Found {
                    prefix,
                    asn: slot.asn,
                    origins: source.origins(slot),
                    source: source.id,
                })
            })
        })
    }

    /// How many prefixes there are, each counted once.
    #[must_use]
    pub const fn counts(&self) -> PrefixCounts {
        self.counts
    }

    /// How many prefixes a source has.
    #[must_use]
    pub fn source_counts(&self, source: SourceId) -> PrefixCounts {
        self.sources.iter().find(|known| known.id == source).map(Source::counts).unwrap_or_default()
    }

    /// Where a source is in `sources`; it is made if need be.
    fn place(&mut self, id: SourceId) -> usize {
        match self.sources.binary_search_by_key(&id, |source| source.id) {
            Ok(place) => place,
            Err(place) => {
                self.sources.insert(place, Source::new(id));
                place
            }
        }
    }

    fn drop_if_empty(&mut self, place: usize) {
        if self.sources.get(place).is_some_and(|source| source.table.is_empty()) {
            self.sources.remove(place);
        }
    }

    /// Whether a source before this one has the prefix, so that what this one says of it does not matter.
    fn hidden(&self, place: usize, prefix: Prefix) -> bool {
        let before = self.sources.get(..place).unwrap_or_default();
        before.iter().any(|source| source.table.exact_match(prefix).is_some())
    }

    /// What the sources behind this one say of a prefix.
    fn behind(&self, place: usize, prefix: Prefix) -> Option<Asn> {
        self.sources.get(place + 1..)?.iter().find_map(|source| source.chosen(prefix))
    }

    fn put(&mut self, place: usize, prefix: Prefix, origins: &Origins, flags: u32) -> Option<Change> {
        let own = self.sources.get_mut(place)?.insert(prefix, origins, flags);
        if own.is_none() && self.hidden(place, prefix) {
            return None;
        }
        let before = own.or_else(|| self.behind(place, prefix));
        if before.is_none() {
            *self.counts.of(&prefix) += 1;
        }
        let asn = origins.chosen();
        // Where this source had the prefix already, one before it may have it too.
        (before != Some(asn) && !self.hidden(place, prefix)).then_some(Change { prefix, origin: Some(asn) })
    }

    fn take(&mut self, place: usize, prefix: Prefix) -> Option<Change> {
        let before = self.sources.get_mut(place)?.remove(prefix)?;
        if self.hidden(place, prefix) {
            return None;
        }
        let after = self.behind(place, prefix);
        if after.is_none() {
            *self.counts.of(&prefix) -= 1;
        }
        (after != Some(before)).then_some(Change { prefix, origin: after })
    }
}

#[cfg(test)]
#[path = "rib_tests.rs"]
mod tests;
