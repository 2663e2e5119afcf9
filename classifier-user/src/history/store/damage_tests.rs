//! Stores that are locked, newer, older, cut, changed, or no stores.

use std::{fs, os::unix::fs::PermissionsExt as _};

use super::{
    open::DATABASE,
    tests::{Both, Random, directory, maintain, number, open, options},
    *,
};
use crate::history::{
    Links, Part, Period, Read,
    testing::{begins, slot},
};

/// A store of some days, rolled up, and its only file.
fn closed() -> (Both, Period, Vec<u8>) {
    let from = number("2026-05-01T00:00:00Z");
    let mut both = Both::new("UTC");
    let mut random = Random(9);
    for number in (from..from + 700).step_by(7) {
        both.some_slot(number, &mut random);
    }
    maintain(&mut both.store);
    let copy = directory();
    let spare = open(copy.path(), "UTC");
    drop(std::mem::replace(&mut both.store, spare));
    let bytes = fs::read(both.dir().join(DATABASE)).expect("the database");
    assert!(!both.dir().join(format!("{DATABASE}-wal")).exists(), "closed");
    (both, Period { from: begins(from), to: begins(from + 700) }, bytes)
}

/// What is there with this file; `None` if it was set aside.
fn with(bytes: &[u8]) -> Option<(tempfile::TempDir, Store)> {
    let dir = directory();
    fs::write(dir.path().join(DATABASE), bytes).expect("written");
    let opened = Store::open(dir.path(), options("UTC")).expect("opened");
    if let Some(aside) = opened.set_aside {
        let kept = fs::read(&aside.path).expect("it is there");
        assert_eq!(kept.len(), bytes.len());
        assert_eq!(opened.store.last_slot(), None);
        return None;
    }
    Some((dir, opened.store))
}

#[test]
fn one_agent_writes() {
    let dir = directory();
    let store = open(dir.path(), "UTC");
    let error = Store::open(dir.path(), options("UTC")).expect_err("refused");
    assert!(matches!(error, StoreError::Locked { .. }), "{error}");
    drop(store);
    open(dir.path(), "UTC");
}

#[test]
fn it_is_for_its_owner_only() {
    let dir = directory();
    let state = dir.path().join("state/history");
    let mut store = open(&state, "UTC");
    store.link("a", Role::Upstream, None).expect("a link");
    let mode = |path: &Path| fs::metadata(path).expect("a file").permissions().mode() & 0o777;
    assert_eq!(mode(&state), 0o700);
    for entry in fs::read_dir(&state).expect("a directory") {
        let path = entry.expect("an entry").path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

#[test]
fn a_newer_one_is_refused_and_untouched() {
    let (_, _, mut bytes) = closed();
    bytes[60..64].copy_from_slice(&2_u32.to_be_bytes());
    let dir = directory();
    let path = dir.path().join(DATABASE);
    fs::write(&path, &bytes).expect("written");
    for _ in 0..2 {
        let error = Store::open(dir.path(), options("UTC")).expect_err("refused");
        assert!(matches!(error, StoreError::Newer { found: 2, known: 1, .. }), "{error}");
        let error = Reader::open(dir.path()).expect_err("refused");
        assert!(matches!(error, StoreError::Newer { .. }), "{error}");
    }
    assert_eq!(fs::read(&path).expect("the database"), bytes);
    let files: Vec<_> = fs::read_dir(dir.path())
        .expect("a directory")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    assert_eq!(files.len(), 2, "the database and the lock: {files:?}");
}

#[test]
fn an_older_one_is_migrated_and_a_copy_kept() {
    const NEXT: Schema = Schema { version: 2, migrations: &["ALTER TABLE link ADD COLUMN colour TEXT"] };
    let (both, _, bytes) = closed();
    let opened = Store::open_as(both.dir(), options("UTC"), &NEXT).expect("opened");
    let migrated = opened.migrated.expect("migrated");
    assert_eq!(migrated.from, 1);
    assert_eq!(fs::read(&migrated.copy).expect("a copy"), bytes);
    assert_eq!(opened.store.last_slot(), both.known.slots.keys().next_back().copied());
    let colour: Option<String> = opened
        .store
        .conn
        .query_row("SELECT colour FROM link LIMIT 1", [], |row| row.get(0))
        .expect("a column");
    assert_eq!(colour, None);
    drop(opened.store);
    let again = Store::open_as(both.dir(), options("UTC"), &NEXT).expect("opened");
    assert_eq!(again.migrated, None);
    drop(again);
    assert!(matches!(Store::open(both.dir(), options("UTC")), Err(StoreError::Newer { found: 2, .. })));

    // One that fails leaves the store as it was.
    const BROKEN: Schema = Schema { version: 3, migrations: &["", "ALTER TABLE nothing ADD COLUMN x"] };
    let error = Store::open_as(both.dir(), options("UTC"), &BROKEN).expect_err("refused");
    assert!(matches!(error, StoreError::Migration { from: 2, to: 3, .. }), "{error}");
    Store::open_as(both.dir(), options("UTC"), &NEXT).expect("as it was");
}

#[test]
fn what_is_no_store_is_set_aside() {
    let (_, _, bytes) = closed();
    let mut foreign = bytes.clone();
    foreign[68..72].copy_from_slice(&7_u32.to_be_bytes());
    for bytes in
        [b"nothing".repeat(1000).as_slice(), b"x", &bytes[..4096], &bytes[..bytes.len() - 4096], &foreign]
    {
        assert!(with(bytes).is_none(), "{} bytes", bytes.len());
    }
    // An empty one has nothing that could be lost.
    assert!(with(b"").is_some());
}

#[test]
fn what_is_found_damaged_later_is_set_aside_on_demand() {
    let dir = directory();
    let mut store = open(dir.path(), "UTC");
    store.link("a", Role::Upstream, None).expect("a link");
    store.append(&slot(5_900_000, &[(1, 5, 5)])).expect("appended");
    let opened = store.set_aside("a test").expect("a new one");
    assert_eq!(opened.store.last_slot(), None);
    let aside = opened.set_aside.expect("set aside");
    assert_eq!(aside.why, "a test");
    let conn = Connection::open(&aside.path).expect("it can be looked at");
    let slots: i64 = conn.query_row("SELECT count(*) FROM coverage", [], |row| row.get(0)).expect("a count");
    assert_eq!(slots, 1);
}

/// A changed byte is found when the store is opened, is an error when it is read, or changes nothing.
#[test]
fn no_changed_byte_gives_wrong_numbers() {
    let (both, period, bytes) = closed();
    let known = |links: &Links| {
        let sums = both.known.sums(Kind::As, period, links).expect("sums");
        let series = both.known.series(Kind::As, &[2906], period, links, Step::Slot).expect("a series");
        let days =
            both.known.series(Kind::Link, &[Part::Ip as u32], period, links, Step::Day).expect("a series");
        (sums, series, days)
    };
    let links = [Links::Isp, Links::Only(vec![LinkNo(1)])];
    let expected = links.each_ref().map(known);
    let mut random = Random(4);
    let [mut aside, mut errors, mut same] = [0; 3];
    for _ in 0..400 {
        let mut bytes = bytes.clone();
        let place = random.below(bytes.len() as u64) as usize;
        bytes[place] ^= 1 << random.below(8);
        let dir = directory();
        fs::write(dir.path().join(DATABASE), &bytes).expect("written");
        let opened = match Store::open(dir.path(), options("UTC")) {
            Ok(opened) if opened.set_aside.is_some() => {
                aside += 1;
                continue;
            }
            Ok(opened) => opened,
            Err(_) => {
                errors += 1;
                continue;
            }
        };
        let reader = opened.store.reader();
        let mut wrong = false;
        for (links, (sums, series, days)) in links.iter().zip(&expected) {
            match reader.sums(Kind::As, period, links) {
                Ok(ours) => assert_eq!(&ours, sums, "byte {place}"),
                Err(_) => wrong = true,
            }
            match reader.series(Kind::As, &[2906], period, links, Step::Slot) {
                Ok(ours) => assert_eq!(&ours, series, "byte {place}"),
                Err(_) => wrong = true,
            }
            match reader.series(Kind::Link, &[Part::Ip as u32], period, links, Step::Day) {
                Ok(ours) => assert_eq!(&ours, days, "byte {place}"),
                Err(_) => wrong = true,
            }
        }
        if wrong { errors += 1 } else { same += 1 }
    }
    assert!(aside > 0 && errors > 0 && same > 0, "{aside} set aside, {errors} errors, {same} without effect");
}

#[test]
fn what_was_begun_and_not_finished_is_not_read() {
    let from = number("2026-05-01T00:00:00Z");
    let mut both = Both::new("UTC");
    both.fill(from, 300, 8, false);
    let all = Period { from: begins(from), to: begins(from + 300) };
    // Killed after each step of maintenance, without being closed.
    let mut more = true;
    while more {
        more = both.store.maintain().expect("maintenance");
        both.store.job = None;
        both.compare_sums(Kind::As, all, &Links::Isp);
    }
    both.compare(&[all]);
}

#[test]
fn readers_read_what_was_there_when_they_asked() {
    let mut both = Both::new("UTC");
    both.append(slot(5_900_000, &[(1, 10, 0)]));
    let reader = both.store.reader();
    let mut walk = reader
        .walk(Kind::As, Period { from: begins(5_900_000), to: begins(5_900_009) }, Links::Isp, 0)
        .expect("a walk");
    both.append(slot(5_900_001, &[(1, 30, 0)]));
    let (_, slots) = walk.next_subject().expect("a subject").expect("one");
    assert_eq!(slots.len(), 1);
    both.compare(&[Period { from: begins(5_900_000), to: begins(5_900_009) }]);
    let other = Reader::open(both.dir()).expect("another process reads");
    assert_eq!(other.extent().expect("an extent"), both.known.extent().expect("an extent"));
    assert!(matches!(Reader::open(&both.dir().join("x")), Err(StoreError::Missing { .. })));
}
