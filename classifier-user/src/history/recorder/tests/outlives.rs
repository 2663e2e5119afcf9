//! Counting that outlives agents: what the kernel has is in the history once, whenever they are killed.

use super::{super::taken::Taken, *};
use crate::datapath::adopted::CountId;

mod full;

/// A kernel, agents one after the other, and a store.
struct World {
    owners: Vec<Owner>,
    directory: tempfile::TempDir,
    store: Test,
    /// What waits in the agent's memory while the store does not take it.
    waiting: Option<Vec<Finished>>,
    groups: Arc<Groups>,
    count: CountId,
    /// What the kernel counted, by hook of two links.
    kernel: Vec<([Counter; 5], BTreeMap<u32, Counter>)>,
    now: f64,
    agent: Option<Slots>,
    /// Whether the agent counts by AS.
    by_as: bool,
}

/// The owners of [`owners`], and the ASes that they are of.
fn all_owners() -> Vec<Owner> {
    let mut all = owners();
    for of_as in owners().into_iter().map(of_as) {
        if !all.contains(&of_as) {
            all.push(of_as);
        }
    }
    all
}

fn of_as(owner: Owner) -> Owner {
    match owner {
        Owner::Route { asn, .. } => Owner::As { family: owner.family(), asn },
        other => other,
    }
}

impl World {
    fn new() -> Self {
        Self {
            owners: all_owners(),
            directory: tempfile::tempdir().expect("a directory"),
            store: Test::new(),
            waiting: None,
            groups: groups(),
            count: CountId([1; 16]),
            kernel: vec![<_>::default(); 4],
            now: 10.0,
            agent: None,
            by_as: false,
        }
    }

    /// The file of what was taken.
    fn taken(&self) -> PathBuf {
        known::file_of(self.directory.path(), self.count)
    }

    /// The number that an owner has in this agent.
    fn number(&self, owner: u32) -> u32 {
        let whose = self.owners[owner as usize];
        let whose = if self.by_as { of_as(whose) } else { whose };
        self.owners.iter().position(|owner| *owner == whose).expect("all are there") as u32
    }

    /// The kernel counts, as the agent of now or the last one has set it up.
    fn passes(&mut self, found: &[(usize, Hook, u32, Counter)]) {
        for &(link, hook, owner, counter) in found {
            let owner = self.number(owner);
            let (outcomes, sums) = &mut self.kernel[link * 2 + hook as usize];
            outcomes[self.owners[owner as usize].family() as usize] += counter;
            *sums.entry(owner).or_default() += counter;
        }
    }

    fn all(&self) -> SweepDelta {
        let scratch = &mut Vec::new();
        let hook = |(outcomes, sums): &([Counter; 5], BTreeMap<u32, Counter>)| {
            let mut sums: Vec<_> =
                sums.iter().map(|(owner, counter)| (self.number(*owner), *counter)).collect();
            sums.sort_by_key(|(owner, _)| *owner);
            HookDelta { outcomes: *outcomes, remote: Packed::new(sums, scratch), ..HookDelta::default() }
        };
        SweepDelta { hooks: self.kernel.iter().map(hook).collect() }
    }

    fn base(&self) -> Base {
        Base {
            count: self.count,
            since: at(0.0),
            recorded_here: true,
            others: vec![],
            all: self.all(),
            by_as: self.by_as,
        }
    }

    /// An agent starts that counts by AS, or by prefix.
    fn start_by(&mut self, by_as: bool) {
        self.kill();
        self.by_as = by_as;
        self.start();
    }

    /// An agent starts, and tells what the kernel has; its first sweep finds nothing more.
    fn start(&mut self) {
        let base = self.base();
        self.start_with(base);
    }

    fn start_with(&mut self, base: Base) {
        self.kill();
        let after = self.store.slots().keys().next_back().copied();
        let mut slots = slots_in(self.directory.path(), &self.owners, 10, after);
        for finished in restore(&mut slots, at(self.now)) {
            self.store.take(&finished);
            journal::remove(self.directory.path(), finished.number).expect("removed");
        }
        self.agent = Some(slots);
        let empty = delta(&self.owners, 2, &[], 0);
        self.give(Counted { base: Some(Box::new(base)), ..counted(self.now, 0.5, empty, &self.groups) });
    }

    /// The agent sweeps what passes now.
    fn sweep(&mut self, found: &[(usize, Hook, u32, Counter)]) {
        self.passes(found);
        self.now += 5.0;
        let found: Vec<_> = found.iter().map(|&(l, h, owner, c)| (l, h, self.number(owner), c)).collect();
        let delta = delta(&self.owners, 2, &found, 0);
        self.give(counted(self.now, 5.0, delta, &self.groups));
    }

    fn give(&mut self, counted: Counted) {
        let Some(agent) = &mut self.agent else { return };
        for finished in take(agent, counted) {
            if let Some(waiting) = &mut self.waiting {
                waiting.push(finished);
                continue;
            }
            self.store.take(&finished);
            journal::remove(self.directory.path(), finished.number).expect("removed");
        }
    }

    fn kill(&mut self) {
        self.agent = None;
        self.waiting = None;
    }

    /// What the agent says is wrong.
    fn trouble(&self) -> Option<String> {
        self.agent.as_ref()?.trouble().map(str::to_owned)
    }

    /// All that is in the history in the end.
    fn recorded(mut self) -> (Counter, BTreeMap<String, Counter>) {
        self.kill();
        self.now += 86_400.0;
        let after = self.store.slots().keys().next_back().copied();
        let mut slots = slots_in(self.directory.path(), &self.owners, 10, after);
        for finished in restore(&mut slots, at(self.now)) {
            self.store.take(&finished);
        }
        let mut links = Counter::ZERO;
        let mut prefixes = BTreeMap::<String, Counter>::new();
        for ((_, subject, _, _), sample) in self.store.told() {
            if subject.starts_with("part ") {
                links += sample.both();
            } else if subject.starts_with("AS") {
                *prefixes.entry(subject).or_default() += sample.both();
            }
        }
        (links, prefixes)
    }

    /// What should be there.
    fn expected(&self) -> (Counter, BTreeMap<String, Counter>) {
        let mut ases = BTreeMap::<String, Counter>::new();
        for (_, sums) in &self.kernel {
            for (owner, counter) in sums {
                let asn = self.owners[*owner as usize].asn().unwrap_or(0);
                *ases.entry(format!("AS{asn}")).or_default() += *counter;
            }
        }
        (self.kernel.iter().flat_map(|(outcomes, _)| outcomes).copied().sum(), ases)
    }

    fn assert_exact(self) {
        let expected = self.expected();
        assert_eq!(self.recorded(), expected);
    }
}

/// An agent that was killed after the end of a slot; the file of what was taken, and what that said at its start.
fn over_a_slot() -> (World, PathBuf, Vec<u8>) {
    let mut world = World::new();
    world.start();
    let file = world.taken();
    let early = std::fs::read(&file).expect("written");
    for _ in 0..70 {
        world.sweep(&SOME);
    }
    world.kill();
    (world, file, early)
}

fn packets(packets: u64) -> Counter {
    Counter { packets, bytes: packets * 100 }
}

const SOME: [(usize, Hook, u32, Counter); 3] = [
    (0, Hook::Rx, 2, Counter { packets: 7, bytes: 7000 }),
    (0, Hook::Tx, 4, Counter { packets: 3, bytes: 900 }),
    (1, Hook::Rx, 6, Counter { packets: 5, bytes: 500 }),
];

#[test]
fn killed_before_and_after_its_first_sweep_and_with_gaps_of_hours() {
    let mut world = World::new();
    world.start();
    world.kill();
    world.passes(&SOME);
    world.now += 7200.0;
    world.start();
    world.sweep(&SOME);
    world.kill();
    world.passes(&SOME);
    world.now += 40.0;
    world.start();
    world.start();
    // Over the end of a slot.
    for _ in 0..70 {
        world.sweep(&SOME);
    }
    world.kill();
    world.passes(&SOME);
    world.start();
    // Two hours are 24 slots and what is around them: what was counted in them is in all of them.
    assert!(world.store.slots().len() >= 24, "{:?}", world.store.slots().keys());
    world.assert_exact();
}

#[test]
fn another_counting_begins_at_nothing() {
    let mut world = World::new();
    world.start();
    world.sweep(&SOME);
    world.kill();
    // The machine was started again.
    let (before, _) = world.expected();
    world.kernel = vec![<_>::default(); 4];
    world.count = CountId([2; 16]);
    world.passes(&SOME[..1]);
    world.start();
    world.sweep(&SOME);
    world.kill();
    world.start();
    let (links, _) = world.expected();
    assert_eq!(world.recorded().0, before + links);
}

/// Two instances in turn at one state directory: each counting is recorded once.
#[test]
fn two_countings_in_turn_are_both_recorded() {
    let mut world = World::new();
    let other = (CountId([2; 16]), vec![<_>::default(); 4]);
    let mut away = vec![other];
    let mut turn = |world: &mut World| {
        world.kill();
        let (count, kernel) = away.remove(0);
        away.push((std::mem::replace(&mut world.count, count), std::mem::replace(&mut world.kernel, kernel)));
        world.start();
        world.sweep(&SOME);
    };
    world.start();
    world.sweep(&SOME);
    // Within a slot, and over its end with the other one's sweeps in the same journal.
    for sweeps in [0, 3, 70, 1, 70, 0] {
        turn(&mut world);
        (0..sweeps).for_each(|_| world.sweep(&SOME[..1]));
        world.kill();
        world.passes(&SOME);
    }
    turn(&mut world);
    let sum = |kernel: &[([Counter; 5], BTreeMap<u32, Counter>)]| -> Counter {
        kernel.iter().flat_map(|(outcomes, _)| outcomes).copied().sum()
    };
    // The other one's last frames passed while it had no agent.
    let late: Counter = SOME.iter().map(|(_, _, _, counter)| *counter).sum();
    let expected = sum(&world.kernel) + sum(&away[0].1) - late;
    assert_eq!(world.recorded().0, expected);
}

/// What was recorded of a kernel that is no more is not kept for ever.
#[test]
fn files_of_another_start_of_the_machine_go() {
    let mut world = World::new();
    world.start();
    for _ in 0..70 {
        world.sweep(&SOME);
    }
    world.kill();
    let file = world.taken();
    let mut bytes = std::fs::read(&file).expect("written");
    bytes[8] ^= 1;
    std::fs::write(&file, bytes).expect("written");
    world.count = CountId([2; 16]);
    world.kernel = vec![<_>::default(); 4];
    world.start();
    assert!(!file.exists() && world.taken().exists());
}

/// A journal is missing between two: how much was recorded cannot be told, and is not told either when the slots after it are
/// brought into the store without an agent, which has no journals then.
#[test]
fn what_cannot_be_told_is_not_told_by_whoever_settles() {
    let (mut world, file, early) = over_a_slot();
    std::fs::write(&file, early).expect("written");
    let mut known = known::Known::open(world.directory.path());
    for slot in journals(world.directory.path()) {
        journal::read_into(world.directory.path(), slot, true, &mut known).expect("read");
        known.write(world.directory.path()).expect("written");
        world.now = 300.0 * f64::from(u8::try_from(slot - SLOT + 1).expect("few"));
    }
    let (before, _) = world.expected();
    world.now += 400.0;
    world.start();
    assert_eq!(world.recorded().0, before);
}

#[test]
fn what_was_counted_elsewhere_is_left_out_and_what_comes_then_is_not() {
    let mut world = World::new();
    world.passes(&SOME);
    world.start_with(Base { recorded_here: false, ..world.base() });
    world.sweep(&SOME[..1]);
    world.kill();
    world.passes(&SOME[..1]);
    world.now += 20.0;
    world.start_with(Base { recorded_here: false, ..world.base() });
    world.start_with(Base { recorded_here: false, ..world.base() });
    assert_eq!(world.recorded().0, packets(0) + Counter { packets: 14, bytes: 14_000 });
}

#[test]
fn what_cannot_be_told_is_left_out_and_never_there_twice() {
    for damage in ["removed", "cut", "old"] {
        let (mut world, file, early) = over_a_slot();
        let (before, _) = world.expected();
        match damage {
            "removed" => std::fs::remove_file(&file).expect("removed"),
            "cut" => std::fs::write(&file, &early[..early.len() - 1]).expect("written"),
            // The journals in between are gone: their slots are in the store.
            _ => std::fs::write(&file, &early).expect("written"),
        }
        world.passes(&SOME);
        world.start();
        world.sweep(&SOME[..1]);
        world.kill();
        world.passes(&SOME[..1]);
        world.start();
        let got = world.recorded().0;
        // The sweep, and what came after it; not what could not be told.
        assert_eq!(got, before + Counter { packets: 14, bytes: 14_000 }, "{damage}");
    }
}

#[test]
fn links_that_are_none_any_more_have_their_part() {
    let mut world = World::new();
    world.start();
    world.sweep(&SOME);
    world.kill();
    world.passes(&SOME);
    // The agent of now has the second link only.
    let all = world.all();
    let [first, second] = [&all.hooks[..2], &all.hooks[2..]];
    let base = Base {
        others: vec![links()[0].clone()],
        all: SweepDelta { hooks: second.iter().chain(first).cloned().collect() },
        ..world.base()
    };
    let lock = lock(world.directory.path()).expect("nobody else");
    let owners = shared(&world.owners);
    let mut slots = Slots::new(world.directory.path(), Some(lock), links()[1..].to_vec(), 10, owners, None);
    assert_eq!(restore(&mut slots, at(world.now)), []);
    let empty = delta(&world.owners, 1, &[], 0);
    let first = Counted { base: Some(Box::new(base)), ..counted(world.now + 1.0, 0.5, empty, &world.groups) };
    assert_eq!(take(&mut slots, first), []);
    drop(slots);
    world.assert_exact();
}

#[test]
fn ases_are_known_again_as_what_their_prefixes_had() {
    let directory = tempfile::tempdir().expect("a directory");
    let owners = vec![
        Owner::Route { prefix: "192.0.2.0/24".parse().expect("a prefix"), asn: 64500 },
        Owner::Route { prefix: "198.51.100.0/24".parse().expect("a prefix"), asn: 64500 },
        Owner::As { family: Family::Ipv4, asn: 64500 },
    ];
    let link = &links()[..1];
    let base = |found: &[(usize, Hook, u32, Counter)], by_as| Base {
        count: CountId([3; 16]),
        since: at(0.0),
        recorded_here: true,
        others: vec![],
        all: delta(&owners, 1, found, 0),
        by_as,
    };
    let mut taken = Taken::open(directory.path());
    let numbers = shared(&owners);
    taken.begin(&base(&[], false), link, &numbers, false).expect("known");
    taken.add(&delta(&owners, 1, &[(0, Hook::Rx, 0, packets(3)), (0, Hook::Rx, 1, packets(4))], 0));
    taken.write(&numbers, at(5.0));
    let mut taken = Taken::open(directory.path());
    let rest =
        taken.begin(&base(&[(0, Hook::Rx, 2, packets(10))], true), link, &numbers, false).expect("known");
    assert_eq!(rest.from, at(5.0));
    assert_eq!(rest.delta, delta(&owners, 1, &[(0, Hook::Rx, 2, packets(3))], 0));
}

/// What one counted by prefix and the next took as of ASes is not of prefixes again for the one after it.
#[test]
fn what_was_taken_by_as_was_taken_by_prefix() {
    let mut world = World::new();
    world.start();
    world.sweep(&SOME);
    world.kill();
    world.passes(&SOME);
    world.start_by(true);
    // Over the end of a slot: all of it is in the file, by AS.
    for _ in 0..70 {
        world.sweep(&SOME);
    }
    world.kill();
    world.passes(&SOME);
    world.start_by(false);
    world.kill();
    world.passes(&SOME);
    world.start();
    world.sweep(&SOME);
    world.assert_exact();
}

#[derive(Clone, Debug)]
enum Do {
    Passes(Vec<(usize, bool, u32, u64)>),
    Sweep(Vec<(usize, bool, u32, u64)>),
    Wait(u32),
    Kill,
    /// By AS, or by prefix.
    Start(bool),
}

fn found(found: &[(usize, bool, u32, u64)]) -> Vec<(usize, Hook, u32, Counter)> {
    let mut sums = BTreeMap::<(usize, bool, u32), Counter>::new();
    for &(link, tx, owner, times) in found {
        *sums.entry((link, tx, owner)).or_default() += packets(times);
    }
    let hook = |tx| if tx { Hook::Tx } else { Hook::Rx };
    sums.into_iter().map(|((link, tx, owner), counter)| (link, hook(tx), owner, counter)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn whatever_happens_each_packet_is_there_once(
        steps in proptest::collection::vec(
            {
                let frames = || proptest::collection::vec((0..2_usize, any::<bool>(), 0..11_u32, 1..50_u64), 0..5);
                prop_oneof![
                    2 => frames().prop_map(Do::Passes),
                    6 => frames().prop_map(Do::Sweep),
                    2 => (1..900_u32).prop_map(Do::Wait),
                    1 => Just(Do::Kill),
                    2 => any::<bool>().prop_map(Do::Start),
                ]
            },
            1..60,
        ),
    ) {
        let mut world = World::new();
        for step in steps {
            match step {
                // What passes under a running agent is in its next sweep: that is `Sweep`.
                Do::Passes(frames) if world.agent.is_none() => world.passes(&found(&frames)),
                Do::Passes(_) => {}
                Do::Sweep(frames) if world.agent.is_some() => world.sweep(&found(&frames)),
                Do::Sweep(frames) => world.passes(&found(&frames)),
                Do::Wait(seconds) if world.agent.is_none() => world.now += f64::from(seconds),
                Do::Wait(_) => {}
                Do::Kill => world.kill(),
                Do::Start(by_as) => world.start_by(by_as),
            }
        }
        world.start();
        let expected = world.expected();
        prop_assert_eq!(world.recorded(), expected);
    }
}
