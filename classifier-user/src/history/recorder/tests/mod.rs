//! The recorder against an oracle that keeps every frame.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    sync::{Arc, Mutex, RwLock},
    thread,
    time::{Duration, Instant, SystemTime},
};

use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::{archive::*, feed::*, finished::*, health::*, journal, slots::*, *};
use crate::{
    history::{ClosedSlot, Kind, LinkNo, Row, Sample, StoredLink, StoredPrefix, Subject, testing::Known},
    model::{Asn, Counter, Direction, Family, Hook, LinkKind, Owner, OwnerId, Owners, Role},
    table::groups::Groups,
    totals::{HookDelta, SweepDelta, packed::Packed, testing::groups_of},
};

mod accounts;
mod clock;
mod cuts;
mod outlives;
mod trouble;

/// 2026-01-02T00:00:00Z, the beginning of a slot.
const SLOT: i64 = 1_767_312_000 / 300;

/// The slots that have journals.
fn journals(directory: &Path) -> Vec<i64> {
    journal::slots(directory).expect("a directory")
}

fn none() -> Vec<i64> {
    Vec::new()
}

/// `seconds` into [`SLOT`], to the microsecond.
fn at(seconds: f64) -> SystemTime {
    let micros = 1_767_312_000_000_000 + (seconds * 1e6).round() as i64;
    SystemTime::UNIX_EPOCH + Duration::from_micros(micros as u64)
}

/// Owners by number.
#[derive(Debug)]
struct Numbers(Vec<Owner>);

impl Owners for Numbers {
    fn owner_of(&self, class: u32) -> OwnerId {
        OwnerId(class)
    }
    fn owner(&self, id: OwnerId) -> Owner {
        self.0[id.0 as usize]
    }
    fn owner_count(&self) -> usize {
        self.0.len()
    }
}

fn shared(owners: &[Owner]) -> SharedOwners {
    Arc::new(RwLock::new(Numbers(owners.to_vec())))
}

/// Unmatched, AS 0, and ASes with one to four prefixes of both families.
fn owners() -> Vec<Owner> {
    let route = |prefix: &str, asn| Owner::Route { prefix: prefix.parse().expect("a prefix"), asn };
    vec![
        Owner::Unmatched(Family::Ipv4),
        Owner::Unmatched(Family::Ipv6),
        route("45.57.0.0/17", 2906),
        route("45.57.8.0/24", 2906),
        route("2a00:86c0::/32", 2906),
        route("2a00:86c0:1000::/36", 2906),
        route("8.8.8.0/24", 15169),
        route("2001:4860::/32", 15169),
        route("17.0.0.0/8", 714),
        route("240.0.0.0/4", 0),
        Owner::As { family: Family::Ipv4, asn: 64500 },
    ]
}

fn links() -> Vec<LinkKey> {
    vec![
        LinkKey { name: "transit".to_owned(), role: Role::Upstream, kind: Some(LinkKind::Transit) },
        LinkKey { name: "customers".to_owned(), role: Role::Downstream, kind: None },
    ]
}

fn groups() -> Arc<Groups> {
    Arc::new(groups_of(&[("video", "Video", "content", &[2906]), ("search", "Search", "content", &[15169])]))
}

/// What hooks found: by (link, hook), the owners' counters; what is not IP besides.
fn delta(owners: &[Owner], links: usize, found: &[(usize, Hook, u32, Counter)], other: u64) -> SweepDelta {
    let mut hooks: Vec<(HookDelta, Vec<(u32, Counter)>)> = vec![<_>::default(); links * 2];
    for &(link, hook, owner, counter) in found {
        let (of, counters) = &mut hooks[link * 2 + hook as usize];
        of.outcomes[owners[owner as usize].family() as usize] += counter;
        counters.push((owner, counter));
    }
    if other > 0 {
        for outcome in 2..5 {
            hooks[0].0.outcomes[outcome] += Counter { packets: other, bytes: other * 60 };
        }
    }
    let packed = hooks.into_iter().map(|(of, mut counters)| {
        counters.sort_by_key(|(owner, _)| *owner);
        HookDelta { remote: Packed::new(counters, &mut Vec::new()), ..of }
    });
    SweepDelta { hooks: packed.collect() }
}

/// The way to an AS: by whom it goes, and who carries.
fn way(asn: Asn) -> Option<(Asn, &'static [Asn])> {
    match asn {
        2906 => Some((3356, &[3356])),
        15169 => Some((1299, &[1299, 3356])),
        714 => Some((714, &[])),
        _ => None,
    }
}

/// Adds to what hooks found on which ways it went.
fn add_ways(delta: &mut SweepDelta, owners: &[Owner], found: &[(usize, Hook, u32, Counter)]) {
    let mut sums = BTreeMap::<(usize, usize, usize), BTreeMap<Asn, Counter>>::new();
    for &(link, hook, owner, counter) in found {
        let owner = owners[owner as usize];
        let Some((neighbor, through)) = owner.asn().and_then(way) else { continue };
        let (place, family) = (link * 2 + hook as usize, owner.family() as usize);
        *sums.entry((place, 0, family)).or_default().entry(neighbor).or_default() += counter;
        for &asn in through {
            *sums.entry((place, 1, family)).or_default().entry(asn).or_default() += counter;
        }
    }
    for ((place, sort, family), sums) in sums {
        let hook = &mut delta.hooks[place];
        let of = if sort == 0 { &mut hook.neighbors } else { &mut hook.through };
        of[family] = Packed::new(sums, &mut Vec::new());
    }
}

fn counted(seconds: f64, elapsed: f64, delta: SweepDelta, groups: &Arc<Groups>) -> Counted {
    Counted {
        at: at(seconds),
        elapsed: Duration::from_secs_f64(elapsed),
        delta,
        groups: Arc::clone(groups),
        base: None,
        gaps: vec![],
        open: None,
    }
}

/// A store that can be told to fail.
#[derive(Clone, Debug)]
struct Test(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    known: Known,
    numbers: HashMap<StoredPrefix, Subject>,
    /// Slots are not taken.
    fails: Option<&'static str>,
    /// It does not open.
    shut: Option<&'static str>,
    opened: usize,
    /// Parts of maintenance that are left.
    due: usize,
}

impl Test {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(Inner {
            known: Known::new(Vec::new(), TimeZone::UTC),
            numbers: HashMap::new(),
            fails: None,
            shut: None,
            opened: 0,
            due: 0,
        })))
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().expect("nobody panics with it")
    }

    fn opener(&self) -> Opener {
        let this = self.clone();
        Box::new(move || {
            let mut inner = this.inner();
            if let Some(why) = inner.shut {
                return Err(NotOpened { why: why.into(), reader: None });
            }
            inner.opened += 1;
            Ok(Opened {
                sink: Box::new(this.clone()),
                reader: Arc::new(inner.known.clone()),
                last_slot: inner.known.slots.keys().next_back().copied(),
                notices: Vec::new(),
            })
        })
    }

    fn take(&self, finished: &Finished) -> ClosedSlot {
        let closed = finished.resolve(&mut self.clone()).expect("it does not fail");
        self.clone().append(&closed).expect("it does not fail");
        closed
    }

    fn slots(&self) -> BTreeMap<i64, ClosedSlot> {
        self.inner().known.slots.clone()
    }

    /// Every row of all slots, in words.
    fn told(&self) -> Ledger {
        let inner = self.inner();
        let mut ledger = Ledger::new();
        for slot in inner.known.slots.values() {
            for row in &slot.rows {
                let subject = match row.kind {
                    Kind::As => format!("AS{}", row.subject),
                    Kind::Neighbor => format!("by AS{}", row.subject),
                    Kind::Transit => format!("through AS{}", row.subject),
                    Kind::Link => format!("part {}", row.subject),
                    Kind::Group => inner.known.groups[row.subject as usize].clone(),
                    Kind::Prefix => {
                        let StoredPrefix { prefix, asn } = inner.known.prefixes[row.subject as usize];
                        format!("{prefix} of AS{asn}")
                    }
                };
                let link = inner.known.links[usize::from(row.link.0)].name.clone();
                let was = ledger.insert((slot.number, subject, link, row.direction), row.sample);
                assert_eq!(was, None, "a row is there twice: {row:?}");
            }
        }
        ledger
    }
}

impl Sink for Test {
    fn link(&mut self, name: &str, role: Role, kind: Option<LinkKind>) -> Result<LinkNo, SinkError> {
        let links = &mut self.inner().known.links;
        let known = links.iter().position(|link| (link.name.as_str(), link.role) == (name, role));
        let number = LinkNo(known.unwrap_or(links.len()) as u8);
        if known.is_none() {
            links.push(StoredLink { number, name: name.to_owned(), role, kind });
        }
        Ok(number)
    }

    fn group(&mut self, key: &str) -> Result<Subject, SinkError> {
        let groups = &mut self.inner().known.groups;
        Ok(groups.iter().position(|group| group == key).unwrap_or_else(|| {
            groups.push(key.to_owned());
            groups.len() - 1
        }) as Subject)
    }

    fn prefixes(&mut self, prefixes: &[StoredPrefix]) -> Result<Vec<Subject>, SinkError> {
        let mut inner = self.inner();
        let mut number = |&prefix: &StoredPrefix| {
            let next = inner.known.prefixes.len() as Subject;
            let number = *inner.numbers.entry(prefix).or_insert(next);
            if number == next {
                inner.known.prefixes.push(prefix);
            }
            number
        };
        Ok(prefixes.iter().map(&mut number).collect())
    }

    fn append(&mut self, slot: &ClosedSlot) -> Result<(), SinkError> {
        let mut inner = self.inner();
        if let Some(why) = inner.fails {
            return Err(why.into());
        }
        assert!(inner.known.slots.keys().next_back().is_none_or(|last| *last < slot.number), "out of order");
        assert!(slot.rows.is_sorted_by_key(Row::key), "sorted");
        assert!(slot.rows.iter().all(|row| row.sample != Sample::default()), "none is zero");
        inner.known.push(slot.clone());
        Ok(())
    }

    fn maintain(&mut self, _now: Timestamp) -> Result<bool, SinkError> {
        let due = &mut self.inner().due;
        *due = due.saturating_sub(1);
        Ok(*due > 0)
    }

    fn bytes(&self) -> u64 {
        self.inner().known.slots.len() as u64 * 1000
    }
}

/// (slot, subject, link, direction) → traffic.
type Ledger = BTreeMap<(i64, String, String, Direction), Sample>;

fn slots_in(directory: &Path, owners: &[Owner], top: usize, after: Option<i64>) -> Slots {
    // A child of another test has it too, from its fork to its exec, and so for a moment longer than who was killed here.
    let lock =
        (0..1000).find_map(|_| lock(directory).inspect_err(|_| thread::sleep(Duration::from_millis(5))).ok());
    let lock = lock.expect("a directory of one's own");
    Slots::new(directory, Some(lock), links(), top, shared(owners), after)
}

/// What is over with a sweep.
fn take(slots: &mut Slots, counted: Counted) -> Vec<Finished> {
    let mut all = Vec::new();
    slots.take(counted, &mut |slot| all.push(slot));
    all
}

/// What is over of what journals tell.
fn restore(slots: &mut Slots, now: SystemTime) -> Vec<Finished> {
    let mut all = Vec::new();
    slots.restore(now, &mut |slot| all.push(slot));
    all
}

fn sample(family: Family, counter: Counter) -> Sample {
    match family {
        Family::Ipv4 => Sample { ipv4: counter, ..Sample::default() },
        Family::Ipv6 => Sample { ipv6: counter, ..Sample::default() },
    }
}
