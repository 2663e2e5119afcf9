//! An invented past into a store.

use std::collections::HashMap;

use jiff::{Timestamp, ToSpan as _};

use super::{Past, Plan};
use crate::{
    history::{
        SLOT_SECONDS, StoredPrefix,
        store::{Store, StoreError},
    },
    model::{Asn, LinkKind, Prefix, Role},
    table::{groups::Groups, rib::Rib},
};

/// ASes of the tail.
const TAIL: usize = 250;

/// What is to be invented.
#[derive(Debug)]
pub struct Request<'a> {
    /// How many days before today it begins.
    pub days: u32,
    /// When it ends.
    pub now: Timestamp,
    /// The names of upstream links; the second is an exchange.
    pub links: Vec<String>,
    /// The average by [`crate::model::Direction`].
    pub bits_per_second: [u64; 2],
    /// Whose ASes have names that people know.
    pub groups: &'a Groups,
    /// Where the tail and prefixes are taken from.
    pub rib: &'a Rib,
}

/// Fills a store up to the last slot that is over; gives how many slots. `progress` is told how many days of how many
/// are done.
///
/// # Errors
/// What the store says, as [`StoreError::SlotOrder`] where it has slots of that time already.
pub fn fill(
    store: &mut Store,
    request: &Request<'_>,
    mut progress: impl FnMut(u64, u64),
) -> Result<u64, StoreError> {
    let kinds = [LinkKind::Transit, LinkKind::Ix];
    let mut links = Vec::new();
    for (name, kind) in request.links.iter().zip(kinds) {
        links.push(store.link(name, Role::Upstream, Some(kind))?);
    }
    let mut past = Past::new(Plan {
        zone: store.zone().clone(),
        until: request.now,
        links,
        bits_per_second: request.bits_per_second,
        groups: request.groups,
        tail: tail(request.rib, request.groups),
    });
    let groups = request.groups.all().iter().map(|group| store.group(&group.key));
    past.number_groups(groups.collect::<Result<_, _>>()?);
    let (asns, each) = past.with_prefixes();
    for (asn, prefixes) in prefixes(request.rib, &asns, each) {
        let numbers = store.prefixes(&prefixes)?;
        past.number_prefixes(asn, numbers);
    }
    let begins = || {
        let first = request.now.to_zoned(store.zone().clone()).start_of_day()?;
        first.checked_sub(i64::from(request.days).days())?.start_of_day()
    };
    let end = request.now.as_second().div_euclid(SLOT_SECONDS);
    let begins = begins().map_or(end, |first| first.timestamp().as_second().div_euclid(SLOT_SECONDS));
    let mut count = 0;
    store.hasten(true)?;
    for number in begins..end {
        if let Some(slot) = past.slot(number) {
            store.append(&slot)?;
            count += 1;
        }
        if (number - begins) % 12 == 0 {
            while store.maintain()? {}
            progress((number - begins) as u64 / 288, (end - begins) as u64 / 288);
        }
    }
    while store.maintain()? {}
    store.hasten(false)?;
    Ok(count)
}

/// The ASes with most IPv4 addresses that are in no group, largest first.
fn tail(rib: &Rib, groups: &Groups) -> Vec<Asn> {
    let mut addresses: HashMap<Asn, u64> = HashMap::new();
    for route in rib.iter() {
        if let (Prefix::V4(prefix), None) = (route.prefix, groups.of(route.asn)) {
            *addresses.entry(route.asn).or_default() += 1 << (32 - u32::from(prefix.netmask()));
        }
    }
    let mut largest: Vec<(u64, Asn)> =
        addresses.into_iter().map(|(asn, addresses)| (addresses, asn)).collect();
    largest.sort_unstable_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
    largest.into_iter().map(|(_, asn)| asn).filter(|&asn| asn != 0).take(TAIL).collect()
}

/// The first prefixes of these ASes.
fn prefixes(rib: &Rib, asns: &[Asn], each: usize) -> Vec<(Asn, Vec<StoredPrefix>)> {
    let mut found: Vec<(Asn, Vec<StoredPrefix>)> = asns.iter().map(|&asn| (asn, Vec::new())).collect();
    for route in rib.iter() {
        if let Some((asn, prefixes)) = found.iter_mut().find(|found| found.0 == route.asn) {
            prefixes.push(StoredPrefix { prefix: route.prefix, asn: *asn });
        }
    }
    for (_, prefixes) in &mut found {
        // Short ones first: those that people know.
        prefixes.sort_by_key(|stored| (stored.prefix.netmask(), stored.prefix));
        prefixes.truncate(each);
    }
    found
}
