use proptest::prelude::*;

use super::*;
use crate::model::Counter;

fn heading(step: Step) -> Heading {
    Heading { kind: Kind::As, step, scope: Scope::Links, start: 1000, stop: 1288 }
}

fn encode(heading: Heading, entries: &[Entry]) -> Vec<Chunk> {
    let mut encoder = Encoder::new(heading).expect("an encoder");
    let mut chunks = Vec::new();
    for &entry in entries {
        chunks.extend(encoder.push(entry).expect("a chunk"));
    }
    chunks.extend(encoder.flush().expect("a chunk"));
    chunks
}

fn decode(
    heading: &Heading,
    chunks: &[Chunk],
    subjects: std::ops::RangeInclusive<Subject>,
    tops: bool,
) -> Result<Vec<Entry>, Damaged> {
    let mut decoder = Decoder::new().expect("a decoder");
    let mut entries = Vec::new();
    for chunk in chunks {
        let tops = tops.then_some(chunk.tops_part.as_deref());
        decoder.decode(heading, chunk.first, (&chunk.rows_part, tops), subjects.clone(), &mut entries)?;
    }
    Ok(entries)
}

/// What is shown of some times and of places that are not this one.
struct Shown<const TIMES: bool> {
    not: Place,
    at: (Subject, Place),
    rows: Vec<Entry>,
}

impl<const TIMES: bool> Visit for Shown<TIMES> {
    const TIMES: bool = TIMES;

    fn wants(&mut self, subject: Subject, place: Place) -> bool {
        self.at = (subject, place);
        place != self.not
    }

    fn row(&mut self, at: u32, sample: Sample) {
        let (subject, place) = self.at;
        self.rows.push(Entry { subject, place, at, sample, top: Top::default() });
    }
}

fn show<const TIMES: bool>(
    heading: &Heading,
    chunks: &[Chunk],
    times: std::ops::Range<u32>,
    not: Place,
) -> Vec<Entry> {
    let mut decoder = Decoder::new().expect("a decoder");
    let mut shown = Shown::<TIMES> { not, at: Default::default(), rows: Vec::new() };
    for chunk in chunks {
        decoder.visit(heading, chunk.first, &chunk.rows_part, &times, &mut shown).expect("rows");
    }
    shown.rows
}

/// Numbers of every width.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), 0..300u64, any::<u32>().prop_map(u64::from), any::<u64>()]
}

fn counter() -> impl Strategy<Value = Counter> {
    (number(), number()).prop_map(|(packets, bytes)| Counter { packets, bytes })
}

fn entry() -> impl Strategy<Value = Entry> {
    let subject = prop_oneof![0..6u32, Just(u32::MAX), any::<u32>()];
    let top = (number(), 0..288u32);
    (subject, 0..10u16, 0..288u32, counter(), counter(), top).prop_map(
        |(subject, place, at, ipv4, ipv6, (rate, later))| Entry {
            subject,
            place: Place(place),
            at: 1000 + at,
            sample: Sample { ipv4, ipv6 },
            top: if rate == 0 { Top::default() } else { Top { rate, at: 1000 + at + later } },
        },
    )
}

fn entries() -> impl Strategy<Value = Vec<Entry>> {
    prop::collection::vec(entry(), 0..600).prop_map(|mut entries| {
        entries.sort_unstable_by_key(Entry::key);
        entries.dedup_by_key(|entry| entry.key());
        entries
    })
}

/// Whether a change of either part of the first chunk is an error, and the second part's absence.
fn each_is_noticed(entries: &[Entry], change: &dyn Fn(&mut Vec<u8>)) -> bool {
    let heading = heading(Step::Hour);
    let fails = |change: &dyn Fn(&mut Chunk)| {
        let mut chunks = encode(heading, entries);
        change(&mut chunks[0]);
        decode(&heading, &chunks, 0..=u32::MAX, true).is_err()
    };
    let has_tops = encode(heading, entries)[0].tops_part.is_some();
    fails(&|chunk| change(&mut chunk.rows_part))
        && (!has_tops || fails(&|chunk| chunk.tops_part.iter_mut().for_each(change)))
        && (!has_tops || fails(&|chunk| chunk.tops_part = None))
}

proptest! {
    #[test]
    fn what_was_written_is_read(entries in entries()) {
        let heading = heading(Step::Hour);
        let chunks = encode(heading, &entries);
        prop_assert_eq!(decode(&heading, &chunks, 0..=u32::MAX, true), Ok(entries));
    }

    #[test]
    fn some_subjects_are_read_by_themselves(entries in entries(), from in 0..8u32, to in prop_oneof![0..8u32, Just(u32::MAX)]) {
        let heading = heading(Step::Hour);
        let chunks = encode(heading, &entries);
        let wanted: Vec<Entry> =
            entries.into_iter().filter(|entry| (from..=to).contains(&entry.subject)).collect();
        prop_assert_eq!(decode(&heading, &chunks, from..=to, true), Ok(wanted.clone()));
        let without = wanted.into_iter().map(|entry| Entry { top: Top::default(), ..entry }).collect();
        prop_assert_eq!(decode(&heading, &chunks, from..=to, false), Ok(without));
    }

    #[test]
    fn some_times_and_places_are_shown_by_themselves(
        entries in entries(), from in 990..1300u32, length in 0..300u32, not in 0..10u16,
    ) {
        let heading = heading(Step::Slot);
        let chunks = encode(heading, &entries);
        let mut wanted: Vec<Entry> = entries
            .into_iter()
            .filter(|entry| (from..from + length).contains(&entry.at) && entry.place != Place(not))
            .map(|entry| Entry { top: Top::default(), ..entry })
            .collect();
        prop_assert_eq!(&show::<true>(&heading, &chunks, from..from + length, Place(not)), &wanted);
        let shown = show::<false>(&heading, &chunks, from..from + length, Place(not));
        wanted.iter_mut().for_each(|entry| entry.at = 0);
        let timeless: Vec<Entry> = shown.into_iter().map(|entry| Entry { at: 0, ..entry }).collect();
        prop_assert_eq!(timeless, wanted);
    }

    #[test]
    fn a_changed_or_cut_chunk_is_an_error(entries in entries(), place in any::<prop::sample::Index>(), bit in 0..8u32) {
        prop_assume!(!entries.is_empty());
        let cut = each_is_noticed(&entries, &|part| part.truncate(place.index(part.len())));
        prop_assert!(cut);
        let changed = each_is_noticed(&entries, &|part| {
            let place = place.index(part.len());
            part[place] ^= 1 << bit;
        });
        prop_assert!(changed);
    }

    #[test]
    fn anything_else_is_an_error_and_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let heading = heading(Step::Slot);
        let mut whole = heading.checksum(0, &bytes).to_le_bytes().to_vec();
        whole.extend(&bytes);
        let chunks = [Chunk { first: 0, rows: 1, rows_part: whole, tops_part: None }];
        prop_assert!(decode(&heading, &chunks, 0..=u32::MAX, true).is_err());
    }
}

#[test]
fn a_chunk_ends_with_its_subject() {
    let entries: Vec<Entry> = (0..20_000)
        .map(|row| Entry {
            subject: row / 3000,
            place: Place((row % 3000 / 288) as u16),
            at: 1000 + row % 288,
            ..Entry::default()
        })
        .collect();
    let mut entries = entries;
    entries.sort_unstable_by_key(Entry::key);
    let heading = heading(Step::Slot);
    let chunks = encode(heading, &entries);
    let firsts: Vec<(Subject, usize)> = chunks.iter().map(|chunk| (chunk.first, chunk.rows)).collect();
    assert_eq!(firsts, [(0, 6000), (2, 6000), (4, 6000), (6, 2000)]);
    assert_eq!(decode(&heading, &chunks, 0..=u32::MAX, false).expect("rows"), entries);
}

#[test]
fn a_chunk_of_another_block_is_an_error() {
    let entries = [Entry { subject: 7, at: 1000, ..Entry::default() }];
    let ours = heading(Step::Slot);
    let chunks = encode(ours, &entries);
    assert!(decode(&ours, &chunks, 0..=u32::MAX, false).is_ok());
    for other in [
        Heading { kind: Kind::Group, ..ours },
        Heading { step: Step::Hour, ..ours },
        Heading { scope: Scope::Isp, ..ours },
        Heading { start: 999, ..ours },
        Heading { stop: 1289, ..ours },
    ] {
        assert!(decode(&other, &chunks, 0..=u32::MAX, false).is_err(), "{other:?}");
    }
}

#[test]
fn widths_by_hand() {
    use super::values::{unzigzag, width, zigzag};
    assert_eq!([0, 1, 255, 256, u64::MAX].map(width), [0, 1, 1, 2, 8]);
    for difference in [0, 1, u64::MAX, i64::MIN.cast_unsigned(), i64::MAX.cast_unsigned()] {
        assert_eq!(unzigzag(zigzag(difference)), difference);
    }
    assert_eq!([0, -1, 1, -2].map(|difference: i64| zigzag(difference.cast_unsigned())), [0, 1, 2, 3]);
}
