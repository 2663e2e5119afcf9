//! Disks that do not answer, are full, or have another agent on them.

use std::{fs, io::Read as _, os::unix::fs::symlink, process::Command, sync::mpsc};

use super::*;
use crate::{datapath::adopted::CountId, totals::answer::HistoryState};

/// However slow the machine is.
const PATIENCE: Duration = Duration::from_secs(60);

fn finished(number: i64, rows: usize) -> Finished {
    let row = |i| LocalRow {
        kind: Kind::As,
        subject: i as u32,
        place: 0,
        sample: Sample { ipv4: Counter { packets: 1, bytes: 100 }, ..Sample::default() },
    };
    Finished {
        number,
        covered: 300,
        links: links(),
        rows: (0..rows).map(row).collect(),
        ..Finished::default()
    }
}

/// An archive into `store`, and what it says of itself.
fn archive(store: &Test, directory: &Path) -> (Archive, Arc<Queue>, Arc<Mutex<HistoryStatus>>) {
    let said = Arc::new(Mutex::new(HistoryStatus::default()));
    let say = Arc::clone(&said);
    let health = Health::new("/state".to_owned(), move |status| *say.lock().expect("alone") = status);
    let queue = Arc::new(Queue::default());
    let archive = Archive {
        directory: directory.to_owned(),
        open: store.opener(),
        sink: None,
        past: Past::default(),
        queue: Arc::clone(&queue),
        health: Arc::new(health),
        last: None,
        read_only: false,
    };
    (archive, queue, said)
}

#[test]
fn slots_wait_for_a_store_that_fails_and_are_written_when_it_works_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = Test::new();
    let (mut archive, queue, said) = archive(&store, directory.path());
    let said = || said.lock().expect("alone").clone();
    let now = Timestamp::UNIX_EPOCH;
    store.inner().shut = Some("the database is of version 9, this is version 1");
    archive.turn(now);
    assert_eq!(said().state, HistoryState::Failing);
    assert_eq!(said().message.as_deref(), Some("the database is of version 9, this is version 1"));
    assert!(archive.past.extent().is_err());
    store.inner().shut = None;
    archive.turn(now);
    assert_eq!((said().state, said().message), (HistoryState::Ok, None));
    assert!(archive.past.extent().is_ok());

    store.inner().fails = Some("No space left on device");
    for number in 0..10 {
        fs::write(journal::path(directory.path(), number), "x").expect("written");
        assert_eq!(queue.push(finished(number, 3)).len(), 0);
        archive.turn(now);
        assert_eq!(said().message.as_deref(), Some("No space left on device"));
        assert_eq!(said().waiting_slots, number as u64 + 1);
        assert_eq!(queue.gone(), None);
    }
    assert_eq!(journal::slots(directory.path()).expect("a directory").len(), 10, "not in the store: kept");
    store.inner().fails = None;
    archive.turn(now);
    assert_eq!((said().state, said().waiting_slots, said().bytes), (HistoryState::Ok, 0, 10_000));
    assert_eq!(queue.gone(), Some(9));
    assert_eq!(store.slots().into_keys().collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());
    assert_eq!(journals(directory.path()), none());
}

#[test]
fn what_waits_for_a_store_that_fails_is_bounded_and_the_oldest_goes_first() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = Test::new();
    store.inner().shut = Some("it is another's");
    let (mut archive, queue, _) = archive(&store, directory.path());
    assert!(!archive.turn(Timestamp::UNIX_EPOCH));
    let mut dropped = Vec::new();
    for number in 0..15 {
        dropped.extend(queue.push(finished(number, 10)).iter().map(|slot| slot.number));
    }
    assert_eq!((dropped, queue.len(), queue.gone()), (vec![0, 1, 2], 12, Some(2)));
    // Large ones are fewer, but never none.
    let dropped = queue.push(finished(15, 2_000_001));
    assert_eq!((dropped.len(), queue.len()), (12, 1));
}

/// After a day without an agent the next one has all of the day's slots at once.
#[test]
fn a_store_that_is_slower_than_slots_come_gets_all_of_them() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = Test::new();
    let (archive, queue, _) = archive(&store, directory.path());
    let thread = thread::spawn(move || archive.run(|_| {}));
    for number in 0..300 {
        assert_eq!(queue.push(finished(number, 3)).len(), 0);
    }
    // While it fails nobody waits for it for ever.
    while store.slots().len() < 300 {
        thread::yield_now();
    }
    store.inner().fails = Some("No space left on device");
    let lost: usize = (300..330).map(|number| queue.push(finished(number, 3)).len()).sum();
    assert_eq!(lost, 30 - 12);
    store.inner().fails = None;
    queue.push(finished(330, 3));
    queue.stop();
    thread.join().expect("it ends");
    let there: Vec<_> = store.slots().into_keys().collect();
    assert_eq!(there, (0..300).chain(319..=330).collect::<Vec<_>>());
    // Whoever comes then does not wait for what is gone.
    for number in 400..420 {
        queue.push(finished(number, 3));
    }
}

#[test]
fn a_slot_that_is_in_the_store_is_not_written_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = Test::new();
    store.take(&finished(7, 3));
    let (mut archive, queue, _) = archive(&store, directory.path());
    for number in [7, 8] {
        fs::write(journal::path(directory.path(), number), "x").expect("written");
        queue.push(finished(number, 5));
    }
    archive.turn(Timestamp::UNIX_EPOCH);
    let rows: Vec<_> = store.slots().into_iter().map(|(number, slot)| (number, slot.rows.len())).collect();
    assert_eq!(rows, [(7, 3), (8, 5)]);
    assert_eq!(journals(directory.path()), none());
}

#[test]
fn all_of_maintenance_is_done_but_not_once_the_agent_ends() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = Test::new();
    let (mut archive, queue, _) = archive(&store, directory.path());
    store.inner().due = 5;
    assert!(archive.turn(Timestamp::UNIX_EPOCH));
    assert_eq!(store.inner().due, 0);
    store.inner().due = 5;
    queue.push(finished(7, 3));
    queue.stop();
    assert!(archive.turn(Timestamp::UNIX_EPOCH));
    let due = store.inner().due;
    assert_eq!((due, store.slots().len()), (5, 1));
}

#[test]
fn a_journal_that_cannot_be_written_is_caught_up_with() {
    let directory = tempfile::tempdir().expect("a directory");
    let (owners, groups) = (owners(), groups());
    let mut slots = slots_in(directory.path(), &owners, 10, None);
    let path = journal::path(directory.path(), SLOT);
    // Nothing can be written there.
    symlink("/dev/full", &path).expect("a link");
    let found = [(0, Hook::Rx, 2, Counter { packets: 1, bytes: 100 })];
    for i in 1..4 {
        take(&mut slots, counted(f64::from(i), 1.0, delta(&owners, 2, &found, 0), &groups));
        let trouble = slots.trouble().expect("it is said").to_owned();
        assert!(trouble.contains(&directory.path().display().to_string()), "{trouble}");
    }
    fs::remove_file(&path).expect("removed");
    take(&mut slots, counted(4.0, 1.0, delta(&owners, 2, &found, 0), &groups));
    assert_eq!(slots.trouble(), None);
    drop(slots);
    let restored = journal::read(directory.path(), SLOT, true).expect("it can be read");
    let open = restored.open.expect("it tells");
    assert_eq!((open.frames().packets, open.covered, restored.bad), (4, Duration::from_secs(4), 0));
}

/// What a sweep found, of 20 MB: names of owners that nobody looks at.
fn large(owners: &[Owner]) -> SweepDelta {
    let mut large = delta(owners, 2, &[(0, Hook::Rx, 2, Counter { packets: 1, bytes: 100 })], 0);
    let far = |owner: u32| (1_000_000 + owner, Counter { packets: 1 << 60, bytes: 1 << 60 });
    large.hooks[3].remote = Packed::new((0..1_000_000_u32).map(far), &mut Vec::new());
    large
}

#[test]
fn what_waits_for_a_journal_is_bounded_and_the_slot_is_whole_all_the_same() {
    let directory = tempfile::tempdir().expect("a directory");
    let (owners, groups, store) = (owners(), groups(), Test::new());
    let mut slots = slots_in(directory.path(), &owners, 10, None);
    let path = journal::path(directory.path(), SLOT);
    symlink("/dev/full", &path).expect("a link");
    let large = large(&owners);
    for i in 1..=5 {
        take(&mut slots, counted(f64::from(i), 1.0, large.clone(), &groups));
        assert!(slots.trouble().is_some());
    }
    fs::remove_file(&path).expect("removed");
    take(&mut slots, counted(6.0, 1.0, large.clone(), &groups));
    let trouble = slots.trouble().expect("it is said").to_owned();
    assert!(trouble.contains("until the slot ends it is in memory only"), "{trouble}");
    store.take(&take(&mut slots, counted(300.0, 294.0, large, &groups))[0]);
    assert_eq!(
        store.told()[&(SLOT, "AS2906".to_owned(), "transit".to_owned(), Direction::In)].ipv4.packets,
        7
    );
    take(&mut slots, counted(305.0, 5.0, delta(&owners, 2, &[], 1), &groups));
    assert_eq!(slots.trouble(), None, "the next slot has a journal again");
}

#[test]
fn a_directory_that_comes_late_is_used_from_then_on() {
    let parent = tempfile::tempdir().expect("a directory");
    let directory = parent.path().join("state");
    fs::write(&directory, "in the way").expect("written");
    assert!(lock(&directory).is_err());
    let (owners, groups) = (owners(), groups());
    let mut slots = Slots::new(&directory, None, links(), 10, shared(&owners), None);
    assert_eq!(restore(&mut slots, at(0.0)), []);
    assert!(slots.trouble().is_some());
    let found = [(0, Hook::Rx, 2, Counter { packets: 1, bytes: 100 })];
    take(&mut slots, counted(1.0, 1.0, delta(&owners, 2, &found, 0), &groups));
    assert!(slots.trouble().is_some());
    fs::remove_file(&directory).expect("removed");
    fs::create_dir(&directory).expect("made");
    // Somebody's, whose sweeps are unknown to this agent: it must not be written over.
    fs::write(journal::path(&directory, SLOT), "older").expect("written");
    take(&mut slots, counted(2.0, 1.0, delta(&owners, 2, &found, 0), &groups));
    assert_eq!(slots.trouble(), None);
    let restored = journal::read(&directory, SLOT, true).expect("it can be read");
    assert_eq!(restored.open.map(|open| open.frames().packets), Some(2));
    let aside = directory.join(format!("slot-{SLOT}.journal.aside"));
    assert_eq!(fs::read_to_string(aside).expect("there"), "older");
}

#[test]
fn a_feed_whose_reader_lags_adds_up_and_loses_nothing() {
    let (owners, groups) = (owners(), groups());
    let (to, from) = mpsc::sync_channel(2);
    let started = Instant::now();
    let mut feed = Feed::new(to, groups, started);
    let found = [
        (0, Hook::Rx, 2, Counter { packets: 1, bytes: 100 }),
        (0, Hook::Tx, 6, Counter { packets: 2, bytes: 1 }),
    ];
    for second in 1..=1500_u64 {
        let now = started + Duration::from_secs(second);
        feed.give(at(second as f64), now, delta(&owners, 2, &found, 1));
    }
    let other = Arc::new(Groups::default());
    feed.set_groups(Arc::clone(&other));
    feed.give(at(1501.0), started + Duration::from_secs(1501), delta(&owners, 2, &found, 1));
    assert!(!feed.flush(Duration::ZERO));
    let mut taken = Vec::new();
    while !feed.flush(Duration::ZERO) {
        taken.extend(from.try_iter());
    }
    drop(feed);
    taken.extend(from.iter());
    // Two that were sent, the rest of each slot as one, and what has other groups.
    let of: Vec<_> = taken.iter().map(|counted| (counted.slot() - SLOT, counted.elapsed.as_secs())).collect();
    assert_eq!(of, [(0, 1), (0, 1), (0, 298), (1, 300), (2, 300), (3, 300), (4, 300), (5, 1)]);
    assert!(Arc::ptr_eq(&taken[7].groups, &other));
    let packets: u64 =
        taken.iter().flat_map(|c| c.delta.hooks[0].remote.iter()).map(|(_, c)| c.packets).sum();
    let outcomes: u64 = taken.iter().map(|c| c.delta.hooks[1].outcomes[0].packets).sum();
    assert_eq!((packets, outcomes), (1501, 3002));
}

#[test]
fn a_feed_without_a_reader_does_not_grow() {
    let (to, from) = mpsc::sync_channel(1);
    drop(from);
    let started = Instant::now();
    let mut feed = Feed::new(to, groups(), started);
    for second in 1..=10_000_u64 {
        feed.give(at(second as f64 * 300.0), started + Duration::from_secs(second), SweepDelta::default());
    }
    assert!(feed.flush(Duration::ZERO));
}

fn setup(directory: &Path, store: &Test) -> Setup {
    Setup {
        directory: directory.to_owned(),
        links: links()
            .into_iter()
            .map(|link| Link {
                interface: link.name.clone(),
                name: link.name,
                vlan: None,
                role: link.role,
                kind: link.kind,
            })
            .collect(),
        top_prefixes: 10,
        owners: shared(&owners()),
        groups: groups(),
        started: Instant::now(),
        open: store.opener(),
    }
}

#[test]
fn threads_from_start_to_end_and_a_second_agent() {
    let directory = tempfile::tempdir().expect("a directory");
    let (owners, store) = (owners(), Test::new());
    let found = [(0, Hook::Rx, 2, Counter { packets: 1, bytes: 100 })];
    // Of now: slots long ago are over at once when they are found again.
    let wall = SystemTime::now();
    for life in 1..=3_u64 {
        let said = Arc::new(Mutex::new(HistoryStatus::default()));
        let say = Arc::clone(&said);
        let publish = move |status| *say.lock().expect("alone") = status;
        let (recorder, mut feed) =
            Recorder::start(setup(directory.path(), &store), publish).expect("started");
        feed.give(wall, Instant::now(), delta(&owners, 2, &found, 0));
        let waited = Instant::now();
        // In the order of the sweeps or a slot later, should one end just now.
        while said.lock().expect("alone").open_slot.as_ref().is_none_or(|open| open.frames.packets < life) {
            assert!(waited.elapsed() < PATIENCE, "{said:?}");
            thread::yield_now();
        }
        assert_eq!(said.lock().expect("alone").state, HistoryState::Ok);

        let other = Arc::new(Mutex::new(HistoryStatus::default()));
        let say = Arc::clone(&other);
        let publish = move |status| *say.lock().expect("alone") = status;
        let (second, second_feed) =
            Recorder::start(setup(directory.path(), &store), publish).expect("started");
        drop(second_feed);
        assert!(second.join(PATIENCE));
        let message = other.lock().expect("alone").message.clone().expect("it is said");
        assert!(message.contains("another agent keeps its history in"), "{message}");
        assert!(second.reader().extent().is_err());

        assert!(feed.flush(PATIENCE));
        drop(feed);
        assert!(recorder.join(PATIENCE));
        assert!(recorder.reader().extent().is_ok());
    }
    assert_eq!(store.inner().opened, 3);
    assert_eq!(store.slots().len(), 0, "the open slot stays in its journal");
    let slot = journal::slots(directory.path()).expect("a directory");
    let restored = journal::read(directory.path(), slot[0], true).expect("it can be read");
    assert_eq!(restored.open.map(|open| open.frames().packets), Some(3));
}

/// All that the kernel counted for the agents before.
fn base(all: SweepDelta, recorded_here: bool) -> Base {
    let count = CountId([7; 16]);
    Base { count, since: at(0.0), recorded_here, others: vec![], all, by_as: false }
}

/// A disk that does not answer holds up the history, and not who wants the owners: that is all of the agent.
#[test]
fn nobody_waits_for_owners_while_a_disk_does_not_answer() {
    let directory = tempfile::tempdir().expect("a directory");
    let route = |i: u32| {
        let prefix = crate::model::Ipv4Network::new(((i + (1 << 20)) << 8).into(), 24).expect("a network");
        Owner::Route { prefix: prefix.into(), asn: 64500 }
    };
    // What is written of them is more than a pipe holds.
    let owners: Vec<Owner> = (0..20_000).map(route).collect();
    let found: Vec<_> =
        (0..20_000).map(|owner| (0, Hook::Rx, owner, Counter { packets: 1, bytes: 100 })).collect();
    // What was counted elsewhere counts as taken.
    let base = base(delta(&owners, 2, &found, 0), false);
    let pipe = known::file_of(directory.path(), base.count).with_extension("new");
    let whose = shared(&owners);
    let lock = lock(directory.path()).expect("nobody else");
    let mut slots = Slots::new(directory.path(), Some(lock), links(), 10, Arc::clone(&whose), None);
    let empty = || delta(&owners, 2, &[], 0);
    let begins = Counted { base: Some(Box::new(base)), ..counted(10.0, 1.0, empty(), &groups()) };
    let ends = counted(300.0, 290.0, empty(), &groups());
    for sweep in [begins, ends] {
        assert!(Command::new("mkfifo").arg(&pipe).status().expect("it is there").success());
        let taking = thread::spawn(move || {
            take(&mut slots, sweep);
            slots
        });
        // It opens once somebody writes; who does that waits until somebody reads.
        let (open, opened) = mpsc::channel();
        let path = pipe.clone();
        thread::spawn(move || open.send(fs::File::open(path)));
        let mut reader = opened.recv_timeout(PATIENCE).expect("it is written").expect("a pipe");
        let waited = Instant::now();
        let mut free = whose.try_write().is_ok();
        while !free && waited.elapsed() < PATIENCE {
            thread::sleep(Duration::from_millis(10));
            free = whose.try_write().is_ok();
        }
        let mut written = Vec::new();
        reader.read_to_end(&mut written).expect("it is read");
        slots = taking.join().expect("it ends");
        assert!(free, "whoever wants the owners waits for a disk");
        assert!(written.len() > 1 << 17, "{} bytes", written.len());
        assert_eq!(slots.trouble(), None);
    }
}

/// Frames that were given up are in no journal: they do not count as recorded before the store has their slot.
#[test]
fn what_is_in_memory_only_does_not_count_as_recorded() {
    let directory = tempfile::tempdir().expect("a directory");
    let (owners, store) = (owners(), Test::new());
    store.inner().fails = Some("No space left on device");
    let said = Arc::new(Mutex::new(HistoryStatus::default()));
    let say = Arc::clone(&said);
    let publish = move |status| *say.lock().expect("alone") = status;
    let (recorder, mut feed) = Recorder::start(setup(directory.path(), &store), publish).expect("started");
    let empty = delta(&owners, 2, &[], 1);
    let base = base(delta(&owners, 2, &[], 0), true);
    let count = base.count;
    feed.begin(base);
    let started = Instant::now();
    let mut give = |second: u64, delta: &SweepDelta| {
        feed.give(at(second as f64 + 0.5), started + Duration::from_secs(second), delta.clone());
    };
    let until = |what: &dyn Fn(&HistoryStatus) -> bool| {
        let waited = Instant::now();
        while !what(&said.lock().expect("alone")) {
            assert!(waited.elapsed() < PATIENCE, "{said:?}");
            thread::yield_now();
        }
    };
    let says = |status: &HistoryStatus, what: &str| {
        status.message.as_ref().is_some_and(|message| message.contains(what))
    };
    give(10, &empty);
    until(&|status| status.open_slot.is_some());
    let path = journal::path(directory.path(), SLOT + 1);
    symlink("/dev/full", &path).expect("a link");
    give(300, &empty);
    let large = large(&owners);
    (305..330).step_by(5).for_each(|second| give(second, &large));
    until(&|status| says(status, "until the slot ends it is in memory only"));
    fs::remove_file(&path).expect("removed");
    // The next slot has a journal; of this one nobody has anything.
    give(600, &empty);
    give(605, &empty);
    until(&|status| status.open_slot.as_ref().is_some_and(|open| open.from == time_of(SLOT + 2)));
    let status = said.lock().expect("alone").clone();
    assert!(says(&status, "what is recorded of the kernel's counters cannot be written"), "{status:?}");
    assert!(says(&status, "the slot of 2026-01-02T00:05:00Z is in memory only"), "{status:?}");
    let recorded = || known::Known::open(directory.path()).last_of(count);
    assert_eq!(recorded(), None);
    store.inner().fails = None;
    let waited = Instant::now();
    let mut second = 605;
    while said.lock().expect("alone").state != HistoryState::Ok {
        assert!(waited.elapsed() < PATIENCE, "{said:?}");
        second += 5;
        give(second, &empty);
        thread::sleep(Duration::from_millis(20));
    }
    assert!(store.slots().contains_key(&(SLOT + 1)));
    assert!(recorded().is_some());
    drop(feed);
    assert!(recorder.join(PATIENCE));
}
