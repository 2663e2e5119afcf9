//! Sums: whatever is swept, whenever the agent is killed, slots have exactly what was counted in them.

use super::*;

/// What happens.
#[derive(Clone, Debug)]
enum Event {
    /// Milliseconds pass, and this was counted: (link, hook, owner, packets), and frames of other outcomes.
    Sweep { millis: u64, found: Vec<(usize, bool, u32, u64)>, other: u64 },
    /// The agent is killed, and its successor numbers owners otherwise.
    Kill { turn: usize },
    /// Groups are others.
    Groups(bool),
}

fn event() -> impl Strategy<Value = Event> {
    let found = proptest::collection::vec((0_usize..2, any::<bool>(), 0_u32..11, 1_u64..1_000_000), 0..12);
    prop_oneof![
        8 => (1_u64..120_000, found, 0_u64..3).prop_map(|(millis, found, other)| Event::Sweep { millis, found, other }),
        1 => (0_usize..11).prop_map(|turn| Event::Kill { turn }),
        1 => any::<bool>().prop_map(Event::Groups),
    ]
}

/// What was counted, frame by frame.
#[derive(Default)]
struct Oracle {
    ledger: Ledger,
    covered: BTreeMap<i64, f64>,
    /// By slot and prefix.
    prefixes: BTreeMap<(i64, String), (Asn, u64, crate::model::Prefix)>,
}

impl Oracle {
    fn sweep(&mut self, slot: i64, elapsed: f64) {
        *self.covered.entry(slot).or_default() += elapsed;
    }

    fn count(
        &mut self,
        slot: i64,
        link: &LinkKey,
        hook: Hook,
        owner: &Owner,
        groups: &Groups,
        counter: Counter,
    ) {
        let sample = sample(owner.family(), counter);
        let asn = owner.asn().unwrap_or(0);
        let mut subjects = vec![format!("AS{asn}"), "part 0".to_owned()];
        if let Some(group) = groups.of(asn) {
            subjects.push(groups.all()[group].key.clone());
        }
        if let Owner::Route { prefix, asn: 1.. } = owner {
            let name = format!("{prefix} of AS{asn}");
            let (_, bytes, _) = self.prefixes.entry((slot, name.clone())).or_insert((asn, 0, *prefix));
            *bytes += counter.bytes;
            subjects.push(name);
        }
        if let Some((neighbor, through)) = way(asn) {
            subjects.push(format!("by AS{neighbor}"));
            subjects.extend(through.iter().map(|asn| format!("through AS{asn}")));
        }
        for subject in subjects {
            self.add(slot, subject, link, hook, sample);
        }
    }

    fn add(&mut self, slot: i64, subject: String, link: &LinkKey, hook: Hook, sample: Sample) {
        let key = (slot, subject, link.name.clone(), link.role.direction(hook));
        *self.ledger.entry(key).or_default() += sample;
    }

    /// Leaves the `top` largest prefixes of each AS and slot.
    fn choose(mut self, top: usize) -> Ledger {
        let mut of =
            BTreeMap::<(i64, Asn), Vec<(std::cmp::Reverse<u64>, crate::model::Prefix, String)>>::new();
        for ((slot, name), (asn, bytes, prefix)) in self.prefixes {
            of.entry((slot, asn)).or_default().push((std::cmp::Reverse(bytes), prefix, name));
        }
        for ((slot, _), mut prefixes) in of {
            prefixes.sort();
            for (_, _, name) in prefixes.into_iter().skip(top) {
                self.ledger.retain(|key, _| key.0 != slot || key.1 != name);
            }
        }
        self.ledger
    }
}

/// Plays events into a recorder and an oracle; both ledgers, and the seconds covered by both.
fn play(events: &[Event], top: usize, first: f64) -> (Test, Oracle) {
    let directory = tempfile::tempdir().expect("a directory");
    let store = Test::new();
    let mut oracle = Oracle::default();
    let mut numbers = owners();
    let groups = [groups(), Arc::new(groups_of(&[("all", "All", "x", &[2906, 15169, 714])]))];
    let mut groups_now = &groups[0];
    let mut slots = slots_in(directory.path(), &numbers, top, None);
    let mut now = (first * 1000.0) as u64;
    let store_all = |finished: Vec<Finished>| {
        for slot in finished {
            store.take(&slot);
            journal::remove(directory.path(), slot.number).expect("removed");
        }
    };
    for event in events {
        match event {
            Event::Sweep { millis, found, other } => {
                now += millis;
                let (seconds, elapsed) = (now as f64 / 1000.0, *millis as f64 / 1000.0);
                let slot = SLOT + ((now * 2 - millis) / 600_000) as i64;
                oracle.sweep(slot, elapsed);
                let found: Vec<_> = found
                    .iter()
                    .map(|&(link, rx, owner, packets)| {
                        let hook = if rx { Hook::Rx } else { Hook::Tx };
                        let counter = Counter { packets, bytes: packets * 700 + u64::from(owner) };
                        let of = &numbers[owner as usize];
                        oracle.count(slot, &links()[link], hook, of, groups_now, counter);
                        (link, hook, owner, counter)
                    })
                    .collect();
                if *other > 0 {
                    let counter = Counter { packets: other * 3, bytes: other * 180 };
                    let sample = sample(Family::Ipv4, counter);
                    oracle.add(slot, "part 1".to_owned(), &links()[0], Hook::Rx, sample);
                }
                let mut delta = delta(&numbers, 2, &found, *other);
                add_ways(&mut delta, &numbers, &found);
                store_all(take(&mut slots, counted(seconds, elapsed, delta, groups_now)));
                assert_eq!(slots.trouble(), None);
            }
            Event::Kill { turn } => {
                drop(slots);
                numbers.rotate_left(*turn);
                let after = store.slots().keys().next_back().copied();
                slots = slots_in(directory.path(), &numbers, top, after);
                store_all(restore(&mut slots, at(now as f64 / 1000.0)));
            }
            Event::Groups(other) => groups_now = &groups[usize::from(*other)],
        }
    }
    drop(slots);
    // Long after.
    let after = store.slots().keys().next_back().copied();
    let mut slots = slots_in(directory.path(), &numbers, top, after);
    store_all(restore(&mut slots, at(1e6)));
    assert_eq!(journals(directory.path()), none(), "nothing is left over");
    (store, oracle)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]
    #[test]
    fn slots_are_what_was_counted(
        events in proptest::collection::vec(event(), 1..40),
        top in 0_usize..4,
        first in 0_f64..300.0,
    ) {
        let (store, oracle) = play(&events, top, first);
        for (slot, covered) in &oracle.covered {
            let counted = oracle.ledger.keys().any(|(number, ..)| number == slot);
            let expected = if counted { covered.round().max(1.0) } else { covered.round() };
            let told = store.slots().get(slot).map_or(0.0, |slot| f64::from(slot.covered));
            // Half seconds may fall on either side, as sums of fractions do.
            prop_assert!((told - expected).abs() <= f64::from(u8::from((covered.fract() - 0.5).abs() < 1e-6)));
        }
        prop_assert_eq!(store.told(), oracle.choose(top));
    }
}

#[test]
fn a_slot_by_hand() {
    let directory = tempfile::tempdir().expect("a directory");
    let (owners, groups, store) = (owners(), groups(), Test::new());
    let mut slots = slots_in(directory.path(), &owners, 1, None);
    let of = |packets, bytes| Counter { packets, bytes };
    let found = [
        (0, Hook::Rx, 2, of(10, 10_000)),
        (0, Hook::Rx, 3, of(1, 90)),
        (0, Hook::Rx, 4, of(2, 3_000)),
        (0, Hook::Rx, 0, of(5, 500)),
        (0, Hook::Rx, 9, of(3, 300)),
        (0, Hook::Tx, 6, of(7, 700)),
        // Towards the customers: in.
        (1, Hook::Tx, 2, of(10, 10_000)),
    ];
    assert_eq!(take(&mut slots, counted(5.0, 5.0, delta(&owners, 2, &found, 1), &groups)), []);
    assert_eq!(slots.open().map(|open| (open.number, open.frames().packets)), Some((SLOT, 41)));
    let empty = || delta(&owners, 2, &[], 0);
    assert_eq!(take(&mut slots, counted(299.9, 294.9, empty(), &groups)), []);
    // The slot's last sweep is a millisecond late, and ends it.
    let closed = take(&mut slots, counted(300.001, 0.101, empty(), &groups));
    assert!(slots.open().is_none());
    let [finished] = closed.as_slice() else { panic!("one slot is over: {closed:?}") };
    let closed = store.take(finished);
    assert_eq!((closed.number, closed.covered), (SLOT, 300));
    let row = |subject: &str, link: &str, direction, ipv4: Counter, ipv6: Counter| {
        ((SLOT, subject.to_owned(), link.to_owned(), direction), Sample { ipv4, ipv6 })
    };
    use Direction::{In, Out};
    let expected = [
        row("AS0", "transit", In, of(8, 800), of(0, 0)),
        row("AS2906", "transit", In, of(11, 10_090), of(2, 3_000)),
        row("AS2906", "customers", In, of(10, 10_000), of(0, 0)),
        row("AS15169", "transit", Out, of(7, 700), of(0, 0)),
        row("part 0", "transit", In, of(19, 10_890), of(2, 3_000)),
        row("part 0", "transit", Out, of(7, 700), of(0, 0)),
        row("part 0", "customers", In, of(10, 10_000), of(0, 0)),
        row("part 1", "transit", In, of(3, 180), of(0, 0)),
        row("video", "transit", In, of(11, 10_090), of(2, 3_000)),
        row("video", "customers", In, of(10, 10_000), of(0, 0)),
        row("search", "transit", Out, of(7, 700), of(0, 0)),
        row("45.57.0.0/17 of AS2906", "transit", In, of(10, 10_000), of(0, 0)),
        row("45.57.0.0/17 of AS2906", "customers", In, of(10, 10_000), of(0, 0)),
        row("8.8.8.0/24 of AS15169", "transit", Out, of(7, 700), of(0, 0)),
    ];
    assert_eq!(store.told(), Ledger::from(expected));
}

#[test]
fn beyond_a_million_prefixes_only_ases_are_told_apart() {
    let directory = tempfile::tempdir().expect("a directory");
    // Two links in two directions: 2^20 lines.
    let route = |i: u32| {
        let prefix = crate::model::Ipv4Network::new(((i + (1 << 20)) << 8).into(), 24).expect("a network");
        Owner::Route { prefix: prefix.into(), asn: 1 + i % 2 }
    };
    let owners: Vec<Owner> = (0..(1 << 20) + 1000).map(route).collect();
    let found: Vec<_> = (0..owners.len() as u32)
        .map(|owner| (0, Hook::Rx, owner, Counter { packets: 1, bytes: 100 + u64::from(owner) }))
        .collect();
    let mut slots = slots_in(directory.path(), &owners, 3, None);
    let closed = take(&mut slots, counted(300.0, 300.0, delta(&owners, 2, &found, 0), &groups()));
    assert_eq!(slots.trouble(), None);
    let store = Test::new();
    store.take(&closed[0]);
    let ases: u64 = store.slots()[&SLOT]
        .rows
        .iter()
        .filter(|row| row.kind == Kind::As)
        .map(|row| row.sample.ipv4.packets)
        .sum();
    assert_eq!(ases, owners.len() as u64);
    let largest = store.slots()[&SLOT].rows.iter().filter(|row| row.kind == Kind::Prefix).count();
    assert_eq!(largest, 6);
}

/// A frame as it is in a file.
fn frame(file: &mut Vec<u8>, payload: &[u8]) {
    file.extend((payload.len() as u32).to_le_bytes());
    file.extend(crc32fast::hash(payload).to_le_bytes());
    file.extend(payload);
}

/// Journals of version 1 had nothing of ways: an agent that is replaced by this one loses nothing.
#[test]
fn a_journal_of_the_version_before_goes_on() {
    use crate::totals::packed::put;
    let directory = tempfile::tempdir().expect("a directory");
    let mut file = Vec::new();
    let mut life = vec![1];
    life.extend(b"CLSJ");
    put(&mut life, 1);
    life.extend(SLOT.to_le_bytes());
    put(&mut life, 1);
    put(&mut life, 7);
    life.extend(b"transit");
    // Upstream, transit; no groups.
    life.extend([0, 1, 0]);
    frame(&mut file, &life);
    let mut sweep = vec![2];
    let micros = at(10.0).duration_since(SystemTime::UNIX_EPOCH).expect("later").as_micros() as u64;
    put(&mut sweep, micros);
    put(&mut sweep, 10_000_000);
    // No group keys; owner 5 is 45.57.0.0/17 of AS2906, in no group.
    sweep.extend([0, 1, 5]);
    put(&mut sweep, 65_535);
    sweep.push(4);
    put(&mut sweep, 2906);
    sweep.extend([17, 45, 57, 0, 0]);
    let counter = Counter { packets: 3, bytes: 4500 };
    let remote = Packed::new([(5, counter)], &mut Vec::new());
    put(&mut sweep, 2);
    for (outcomes, remote) in [([counter.packets, counter.bytes], remote.as_bytes()), ([0, 0], &[][..])] {
        outcomes.iter().for_each(|&number| put(&mut sweep, number));
        sweep.extend([0; 8]);
        put(&mut sweep, remote.len() as u64);
        sweep.extend(remote);
    }
    frame(&mut file, &sweep);
    std::fs::write(journal::path(directory.path(), SLOT), &file).expect("written");

    let (store, numbers) = (Test::new(), owners());
    let mut slots = slots_in(directory.path(), &numbers, 5, None);
    assert!(restore(&mut slots, at(20.0)).is_empty());
    let found = [(0, Hook::Rx, 2, Counter { packets: 1, bytes: 700 })];
    let mut delta = delta(&numbers, 2, &found, 0);
    add_ways(&mut delta, &numbers, &found);
    assert!(take(&mut slots, counted(30.0, 10.0, delta, &groups())).is_empty());
    drop(slots);
    let finished = restore(&mut slots_in(directory.path(), &numbers, 5, None), at(400.0));
    assert_eq!(store.take(&finished[0]).covered, 20);
    let told = store.told();
    let of = |subject: &str| {
        let key = (SLOT, subject.to_owned(), "transit".to_owned(), Direction::In);
        told.get(&key).map_or(0, |sample| sample.ipv4.bytes)
    };
    assert_eq!((of("AS2906"), of("by AS3356"), of("through AS3356")), (5200, 700, 700));
}
