//! Journals that were cut or damaged: what is whole before the damage is used, and nothing else.

use std::fs;

use super::*;

/// A journal of sweeps: after each, how long the file was and the packets counted.
fn written(directory: &Path, sweeps: usize) -> Vec<(usize, u64)> {
    let (owners, groups) = (owners(), groups());
    let mut slots = slots_in(directory, &owners, 10, None);
    let mut marks = vec![(0, 0)];
    for i in 0..sweeps {
        let packets = 1 + i as u64 * 1000;
        let found = [(0, Hook::Rx, 2 + i as u32, Counter { packets, bytes: packets * 100 })];
        let seconds = 5.0 * (i + 1) as f64;
        take(&mut slots, counted(seconds, 5.0, delta(&owners, 2, &found, 0), &groups));
        let length = fs::read(journal::path(directory, SLOT)).expect("a journal").len();
        marks.push((length, slots.open().expect("open").frames().packets));
    }
    marks
}

/// What a journal of these bytes tells: packets, good bytes, bad bytes.
fn told(directory: &Path, bytes: &[u8]) -> (u64, u64, u64) {
    fs::write(journal::path(directory, SLOT), bytes).expect("written");
    let restored = journal::read(directory, SLOT, true).expect("it can be read");
    let packets = restored.open.as_ref().map_or(0, |open| open.frames().packets);
    if let Some(open) = restored.open {
        let ases: u64 = open.finish(10).map_or(0, |slot| {
            let ases = slot.rows.iter().filter(|row| row.kind == Kind::As);
            ases.map(|row| row.sample.both().packets).sum()
        });
        assert_eq!(ases, packets, "links and ASes agree");
    }
    (packets, restored.good, restored.bad)
}

#[test]
fn cut_at_every_byte() {
    let directory = tempfile::tempdir().expect("a directory");
    let marks = written(directory.path(), 5);
    let bytes = fs::read(journal::path(directory.path(), SLOT)).expect("a journal");
    assert_eq!(bytes.len(), marks[5].0);
    for cut in 0..=bytes.len() {
        let (_, packets) = marks.iter().rev().find(|(length, _)| *length <= cut).expect("nothing is less");
        let (told, good, bad) = told(directory.path(), &bytes[..cut]);
        assert_eq!(told, *packets, "cut at {cut}");
        assert_eq!((good + bad) as usize, cut);
    }
}

#[test]
fn damaged_at_every_byte() {
    let directory = tempfile::tempdir().expect("a directory");
    let marks = written(directory.path(), 3);
    let bytes = fs::read(journal::path(directory.path(), SLOT)).expect("a journal");
    for place in 0..bytes.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut bytes = bytes.clone();
            bytes[place] ^= flip;
            let (_, packets) =
                marks.iter().rev().find(|(length, _)| *length <= place).expect("nothing is less");
            assert_eq!(told(directory.path(), &bytes).0, *packets, "{flip} at {place}");
        }
    }
}

#[test]
fn after_a_cut_it_goes_on_behind_the_last_whole_sweep() {
    let directory = tempfile::tempdir().expect("a directory");
    let marks = written(directory.path(), 5);
    let path = journal::path(directory.path(), SLOT);
    let bytes = fs::read(&path).expect("a journal");
    let (owners, groups) = (owners(), groups());
    for cut in [bytes.len() - 1, bytes.len() - 9, marks[2].0 + 3] {
        fs::write(&path, &bytes[..cut]).expect("written");
        let (_, before) = *marks.iter().rev().find(|(length, _)| *length <= cut).expect("nothing is less");
        for life in 1..4 {
            let mut slots = slots_in(directory.path(), &owners, 10, None);
            assert_eq!(restore(&mut slots, at(100.0)), []);
            let found = [(1, Hook::Rx, 6, Counter { packets: 1, bytes: 100 })];
            take(&mut slots, counted(100.0 + f64::from(life), 1.0, delta(&owners, 2, &found, 0), &groups));
            assert_eq!(slots.open().map(|open| open.frames().packets), Some(before + u64::from(life as u8)));
        }
        let restored = journal::read(directory.path(), SLOT, true).expect("it can be read");
        assert_eq!(restored.bad, 0, "cut at {cut}");
    }
}

#[test]
fn what_tells_nothing_is_set_aside() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = journal::path(directory.path(), SLOT);
    fs::write(&path, "this is no journal at all, but somebody's text").expect("written");
    fs::write(journal::path(directory.path(), SLOT + 1), "").expect("written");
    let mut slots = slots_in(directory.path(), &owners(), 10, None);
    assert_eq!(restore(&mut slots, at(0.0)), []);
    assert_eq!(slots.trouble(), None);
    assert!(slots.open().is_none());
    assert!(directory.path().join(format!("slot-{SLOT}.journal.unreadable")).exists());
    assert_eq!(journals(directory.path()), none());
}

/// The payloads of a journal's frames.
fn payloads(mut file: &[u8]) -> Vec<Vec<u8>> {
    let mut payloads = Vec::new();
    while let Some((head, rest)) = file.split_first_chunk::<8>() {
        let length = u32::from_le_bytes(*head.first_chunk().expect("four bytes")) as usize;
        payloads.push(rest[..length].to_vec());
        file = &rest[length..];
    }
    payloads
}

fn file(payloads: &[Vec<u8>]) -> Vec<u8> {
    let frame = |payload: &Vec<u8>| {
        let mut frame = (payload.len() as u32).to_le_bytes().to_vec();
        frame.extend(crc32fast::hash(payload).to_le_bytes());
        frame.extend(payload);
        frame
    };
    payloads.iter().flat_map(frame).collect()
}

/// Where a *life* has its version.
const VERSION_AT: usize = 5;

#[test]
fn journals_of_older_versions_are_read() {
    let directory = tempfile::tempdir().expect("a directory");
    let marks = written(directory.path(), 5);
    let path = journal::path(directory.path(), SLOT);
    let now = payloads(&fs::read(&path).expect("a journal"));
    assert_eq!((now[0][0], u64::from(now[0][VERSION_AT])), (1, journal::VERSION));
    // Nothing that the kernel keeps, and the first sweep.
    assert!(now[0].ends_with(&[0; 17]));
    let of = |version: u8| {
        let mut then = now.clone();
        then[0][VERSION_AT] = version;
        then[0].truncate(now[0].len() - 17);
        then
    };
    let second = of(2);
    assert_eq!(told(directory.path(), &file(&second)).0, marks[5].1);
    let mut first = of(1);
    for sweep in &mut first[1..] {
        // Four hooks, each of which ends with four empty lists of neighbours and carriers: the last three have nothing else.
        let empty = [0_u8; 10 + 1 + 4];
        assert!(sweep.ends_with(&empty.repeat(3)));
        sweep.truncate(sweep.len() - 3 * empty.len() - 4);
        sweep.extend([0; 10 + 1].repeat(3));
    }
    assert_eq!(told(directory.path(), &file(&first)), (marks[5].1, file(&first).len() as u64, 0));
    // A version's sweeps are not another one's.
    first[0][VERSION_AT] = 2;
    assert_eq!(told(directory.path(), &file(&first)).0, 0);

    // An agent goes on with each, in its own form.
    for then in [of(2), now.clone()] {
        fs::write(&path, file(&then)).expect("written");
        let (owners, groups) = (owners(), groups());
        let mut slots = slots_in(directory.path(), &owners, 10, None);
        assert_eq!(restore(&mut slots, at(100.0)), []);
        let found = [(1, Hook::Rx, 6, Counter { packets: 1, bytes: 100 })];
        take(&mut slots, counted(101.0, 1.0, delta(&owners, 2, &found, 0), &groups));
        drop(slots);
        let bytes = fs::read(&path).expect("a journal");
        assert_eq!(told(directory.path(), &bytes), (marks[5].1 + 1, bytes.len() as u64, 0));
    }
}

#[test]
fn what_a_newer_version_wrote_is_set_aside_as_it_is() {
    let directory = tempfile::tempdir().expect("a directory");
    let marks = written(directory.path(), 5);
    let path = journal::path(directory.path(), SLOT);
    let aside = directory.path().join(format!("slot-{SLOT}.journal.unreadable"));
    let now = fs::read(&path).expect("a journal");
    let mut newer = payloads(&now);
    newer[0][VERSION_AT] = journal::VERSION as u8 + 1;
    let newer = file(&newer);
    // All of it, and what came after an upgrade.
    for (bytes, packets) in [(newer.clone(), None), ([now, newer].concat(), Some(marks[5].1))] {
        fs::write(&path, &bytes).expect("written");
        let restored = journal::read(directory.path(), SLOT, true).expect("it can be read");
        assert_eq!(restored.newer, Some(journal::VERSION + 1));
        let mut slots = slots_in(directory.path(), &owners(), 10, None);
        assert_eq!(restore(&mut slots, at(100.0)), []);
        assert_eq!(slots.open().map(|open| open.frames().packets), packets);
        assert_eq!(fs::read(&aside).expect("set aside"), bytes);
        assert_eq!(path.exists(), packets.is_some());
    }
}

#[test]
fn a_journal_of_what_is_in_the_store_is_not_counted_twice() {
    let directory = tempfile::tempdir().expect("a directory");
    written(directory.path(), 5);
    let mut slots = slots_in(directory.path(), &owners(), 10, Some(SLOT));
    assert_eq!(restore(&mut slots, at(1000.0)), []);
    assert!(slots.open().is_none());
    assert_eq!(journals(directory.path()), none());
}

proptest! {
    #[test]
    fn no_bytes_do_harm(bytes in proptest::collection::vec(any::<u8>(), 0..300), kind in 1_u8..3) {
        let directory = tempfile::tempdir().expect("a directory");
        // As a payload that the sum says is whole.
        let payload: Vec<u8> = std::iter::once(kind).chain(bytes).collect();
        let mut file = (payload.len() as u32).to_le_bytes().to_vec();
        file.extend(crc32fast::hash(&payload).to_le_bytes());
        file.extend(payload);
        written(directory.path(), 1);
        let path = journal::path(directory.path(), SLOT);
        let mut whole = fs::read(&path).expect("a journal");
        whole.extend(&file);
        for bytes in [&file, &whole] {
            fs::write(&path, bytes).expect("written");
            let restored = journal::read(directory.path(), SLOT, true).expect("it can be read");
            if let Some(open) = restored.open {
                open.finish(10);
            }
        }
    }
}
