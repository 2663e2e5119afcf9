//! What is dropped, folded, walked through, frozen and imported.

use super::{
    tests::{ASES, Both, Random, directory, maintain, number, open},
    *,
};
use crate::{
    history::{
        Links, Month, Part, Peak, Period, Point, REST, Read as _, SLOT_SECONDS,
        testing::{begins, slot},
    },
    model::Counter,
};

/// Four days in UTC, rolled up, and some of the fifth.
fn four_days() -> (Both, i64) {
    let from = number("2026-05-01T00:00:00Z");
    let mut both = Both::new("UTC");
    both.fill(from, 4 * 288 + 30, 3, false);
    maintain(&mut both.store);
    (both, from)
}

fn day(from: i64, days: std::ops::Range<i64>) -> Period {
    Period { from: begins(from + days.start * 288), to: begins(from + days.end * 288) }
}

#[test]
fn where_slots_are_dropped_hours_are_read_and_then_days() {
    let (mut both, from) = four_days();
    let all = day(from, 0..4);
    let series = |both: &Both, step| {
        both.store.reader().series(Kind::As, &[2906], all, &Links::Isp, step).expect("a series")
    };
    let hours = series(&both, Step::Hour);
    let days = series(&both, Step::Day);
    let slots = series(&both, Step::Slot);
    assert_eq!(slots.len(), 4 * 288);

    assert!(both.store.drop_before(Kind::As, Step::Slot, begins(from + 3 * 288 - 1)).expect("dropped") > 0);
    let expected: Vec<Point> = hours[..48].iter().chain(&slots[2 * 288..]).cloned().collect();
    assert_eq!(series(&both, Step::Slot), expected);
    assert_eq!(series(&both, Step::Hour), hours);
    maintain(&mut both.store);
    assert_eq!(series(&both, Step::Slot), expected);

    assert!(both.store.drop_before(Kind::As, Step::Hour, begins(from + 288)).expect("dropped") > 0);
    let expected: Vec<Point> =
        days[..1].iter().chain(&hours[24..48]).chain(&slots[2 * 288..]).cloned().collect();
    assert_eq!(series(&both, Step::Slot), expected);
    let expected: Vec<Point> = days[..1].iter().chain(&hours[24..]).cloned().collect();
    assert_eq!(series(&both, Step::Hour), expected);
    assert_eq!(series(&both, Step::Day), days);
    assert_eq!(both.store.drop_before(Kind::As, Step::Hour, begins(from + 288)).expect("nothing"), 0);

    // Sums are of the same, but for periods that go outwards.
    for (asked, given) in [
        (day(from, 1..4), day(from, 1..4)),
        (
            Period { from: begins(from + 5), to: begins(from + 9) },
            Period { from: begins(from), to: begins(from + 288) },
        ),
        (
            Period { from: begins(from + 288 + 5), to: begins(from + 288 + 13) },
            Period { from: begins(from + 288), to: begins(from + 288 + 24) },
        ),
        (
            Period { from: begins(from + 288 - 1), to: begins(from + 3 * 288 + 7) },
            Period { from: begins(from), to: begins(from + 3 * 288 + 7) },
        ),
    ] {
        let sums = both.store.reader().sums(Kind::As, asked, &Links::Isp).expect("sums");
        assert_eq!(sums, both.known.sums(Kind::As, given, &Links::Isp).expect("sums"));
    }
    // Other kinds have everything.
    let link = |read: &dyn crate::history::Read| {
        read.series(Kind::Link, &[Part::Ip as u32], all, &Links::Isp, Step::Slot).expect("a series")
    };
    assert_eq!(link(&both.store.reader()), link(&both.known));
    let extent = both.store.reader().extent().expect("an extent");
    assert_eq!(extent.slots_since, Some(begins(from + 2 * 288)));
    assert_eq!(extent.since, both.known.extent().expect("an extent").since);
}

#[test]
fn days_that_are_dropped_are_a_gap() {
    // From the last day of April: the month is one block.
    let from = number("2026-04-30T00:00:00Z");
    let mut both = Both::new("UTC");
    let mut random = Random(1);
    for number in from..from + 40 * 12 {
        both.some_slot(number, &mut random);
    }
    for day in 2..33 {
        both.some_slot(from + day * 288, &mut random);
    }
    maintain(&mut both.store);
    let before = number("2026-06-01T00:00:00Z");
    for step in [Step::Slot, Step::Hour, Step::Day] {
        assert!(both.store.drop_before(Kind::As, step, begins(before - 5)).expect("dropped") > 0, "{step:?}");
    }
    let all = Period { from: begins(from), to: begins(from + 3 * 288) };
    let days = both.store.reader().series(Kind::As, &[2906], all, &Links::Isp, Step::Slot).expect("days");
    let covered: Vec<bool> = days.iter().map(|day| day.covered > 0).collect();
    assert_eq!(covered, [false, true, true], "April went, May ends after the time");
    let sums = both.store.reader().sums(Kind::As, day(from, 0..1), &Links::Isp).expect("sums");
    assert_eq!((sums.covered, sums.rows), (0, vec![]));
}

#[test]
fn what_is_not_rolled_up_is_not_dropped() {
    let from = number("2026-05-01T00:00:00Z");
    let mut both = Both::new("UTC");
    both.fill(from, 300, 3, false);
    assert_eq!(both.store.drop_before(Kind::As, Step::Slot, begins(from + 300)).expect("nothing"), 0);
    both.compare(&[day(from, 0..2)]);
}

#[test]
fn small_ones_become_rest() {
    let (mut both, from) = four_days();
    let whole = day(from, 0..4);
    let known = |links: &Links| both.known.sums(Kind::As, whole, links).expect("sums");
    let links = [Links::Isp, Links::Only(vec![LinkNo(2)])];
    let folded = links.each_ref().map(|links| {
        let mut sums = known(links);
        let mut rest = [Sample::default(); 2];
        sums.rows.retain(|row| {
            let kept = [174, 15169].contains(&row.subject);
            if !kept {
                rest.iter_mut().zip(row.samples).for_each(|(rest, sample)| *rest += sample);
            }
            kept
        });
        sums.rows.push(crate::history::Sum { subject: REST, samples: rest });
        sums
    });
    let kept_series = |both: &Both| {
        [Step::Slot, Step::Hour, Step::Day].map(|step| {
            both.store.reader().series(Kind::As, &[174], whole, &Links::Isp, step).expect("a series")
        })
    };
    let before = kept_series(&both);
    for step in [Step::Slot, Step::Hour, Step::Day] {
        assert!(both.store.fold(Kind::As, step, whole, &[174, 15169]).expect("queued") > 0);
    }
    maintain(&mut both.store);
    for (links, expected) in links.iter().zip(&folded) {
        assert_eq!(&both.store.reader().sums(Kind::As, whole, links).expect("sums"), expected);
        let middle = Period { from: begins(from + 5), to: begins(from + 2 * 288 + 77) };
        let sum = |rows: &[crate::history::Sum]| -> Counter {
            rows.iter().flat_map(|row| row.samples).map(|sample| sample.both()).sum()
        };
        let ours = both.store.reader().sums(Kind::As, middle, links).expect("sums");
        assert_eq!(ours.rows.iter().map(|row| row.subject).collect::<Vec<_>>(), [174, 15169, REST]);
        assert_eq!(sum(&ours.rows), sum(&both.known.sums(Kind::As, middle, links).expect("sums").rows));
    }
    assert_eq!(kept_series(&both), before);
    // Of prefixes nothing remains.
    assert!(both.store.fold(Kind::Prefix, Step::Slot, whole, &[]).expect("queued") > 0);
    maintain(&mut both.store);
    let stored = both.store.stored(Kind::Prefix, Step::Slot, whole).expect("blocks");
    assert_eq!(stored, []);
}

#[test]
fn every_slot_of_every_subject_is_walked_through() {
    let (both, from) = four_days();
    let period = Period { from: begins(from + 100), to: begins(from + 4 * 288 + 20) };
    for links in [Links::Isp, Links::Only(vec![LinkNo(2)])] {
        for first in [0, 174, 175, u32::MAX] {
            let mut walk = both.store.reader().walk(Kind::As, period, links.clone(), first).expect("a walk");
            let mut seen = Vec::new();
            while let Some((subject, slots)) = walk.next_subject().expect("a subject") {
                seen.push(subject);
                let points =
                    both.known.series(Kind::As, &[subject], period, &links, Step::Slot).expect("a series");
                let expected: Vec<SlotSamples> = (from + 100..)
                    .zip(points)
                    .filter(|(_, point)| point.samples != [Sample::default(); 2])
                    .map(|(slot, point)| SlotSamples { slot, samples: point.samples })
                    .collect();
                assert_eq!(slots, expected);
            }
            let expected: Vec<Subject> = ASES.into_iter().filter(|&subject| subject >= first).collect();
            assert_eq!(seen, expected);
        }
    }
    let seconds = both.store.reader().seconds(period).expect("seconds");
    let points = both.known.series(Kind::As, &[1], period, &Links::Isp, Step::Slot).expect("a series");
    assert_eq!(seconds, points.iter().map(|point| point.covered).collect::<Vec<_>>());
}

#[test]
fn months_and_notes_are_kept() {
    let dir = directory();
    let month = |from: &str, to: &str, bytes| Month {
        period: Period { from: from.parse().expect("a time"), to: to.parse().expect("a time") },
        zone: "Europe/Paris".to_owned(),
        covered: 2_000_000,
        bytes: [bytes, u64::MAX],
        p95: [7, 8],
    };
    let march = month("2026-02-28T23:00:00Z", "2026-03-31T22:00:00Z", 5);
    let april = month("2026-03-31T22:00:00Z", "2026-04-30T22:00:00Z", 6);
    {
        let mut store = open(dir.path(), "Europe/Paris");
        let again = Month { bytes: [1, 1], ..march.clone() };
        store.write_months(Kind::As, &[(2906, april.clone()), (2906, again)]).expect("kept");
        store.write_months(Kind::As, &[(2906, march.clone()), (174, april.clone())]).expect("kept");
        assert_eq!(store.note("months").expect("nothing"), None);
        store.set_note("months", "2026-05").expect("noted");
    }
    let store = open(dir.path(), "Europe/Paris");
    let reader = store.reader();
    assert_eq!(reader.months(Kind::As, 2906), Ok(vec![march, april.clone()]));
    assert_eq!(reader.months(Kind::As, 174), Ok(vec![april]));
    assert_eq!(reader.months(Kind::Group, 174), Ok(vec![]));
    assert_eq!(store.note("months").expect("a note").as_deref(), Some("2026-05"));
}

#[test]
fn days_are_imported_before_what_was_recorded() {
    let dir = directory();
    let mut store = open(dir.path(), "Europe/Paris");
    for (name, role) in [("a", Role::Upstream), ("b", Role::Upstream), ("c", Role::Downstream)] {
        store.link(name, role, None).expect("a link");
    }
    let times =
        ["2026-03-27T23:00:00Z", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z", "2026-03-30T22:00:00Z"];
    let days: Vec<Period> = times
        .windows(2)
        .map(|days| Period { from: days[0].parse().expect("a time"), to: days[1].parse().expect("a time") })
        .collect();
    let row = |day: &Period, subject, link, bytes: u64, rate| DayRow {
        kind: Kind::As,
        subject,
        link: LinkNo(link),
        direction: Direction::In,
        sample: Sample { ipv4: Counter { packets: 1, bytes }, ..Sample::default() },
        peak: (rate > 0).then_some(Peak {
            bits_per_second: rate,
            at: begins(day.from.as_second() / SLOT_SECONDS + i64::from(link)),
        }),
    };
    let rows = |day: &Period| {
        [row(day, 1, 0, 10, 3), row(day, 1, 1, 20, 5), row(day, 1, 2, 40, 9), row(day, 2, 0, 80, 0)]
    };
    store.append(&slot(number("2026-03-30T23:00:00Z"), &[(1, 10, 0)])).expect("appended");
    for day in &days {
        let rows = rows(day);
        store.import_day(*day, day.seconds().unsigned_abs(), &rows).expect("imported");
        assert!(matches!(store.import_day(*day, 1, &rows), Err(StoreError::DayTaken)));
    }
    let late = Period { from: days[2].to, to: begins(number("2026-03-31T22:00:00Z")) };
    assert!(matches!(store.import_day(late, 1, &rows(&late)), Err(StoreError::DayTaken)));
    maintain(&mut store);
    let reader = store.reader();
    let all = Period { from: days[0].from, to: days[2].to };
    for step in [Step::Slot, Step::Hour, Step::Day] {
        let points = reader.series(Kind::As, &[1], all, &Links::Isp, step).expect("a series");
        assert_eq!(points.iter().map(|point| point.period).collect::<Vec<_>>(), days);
        for (point, day) in points.iter().zip(&days) {
            assert_eq!(i64::from(point.covered), day.seconds());
            assert_eq!(point.samples[0].ipv4, Counter { packets: 2, bytes: 30 });
            let at = begins(day.from.as_second() / SLOT_SECONDS + 1);
            assert_eq!(point.peaks, [Some(Peak { bits_per_second: 8, at }), None]);
        }
    }
    let middle =
        Period { from: begins(number("2026-03-29T03:00:00Z")), to: begins(number("2026-03-29T04:00:00Z")) };
    let sums = reader.sums(Kind::As, middle, &Links::Only(vec![LinkNo(2)])).expect("sums");
    assert_eq!((sums.period, sums.covered), (days[1], 23 * 3600));
    assert_eq!(
        sums.rows.iter().map(|row| (row.subject, row.samples[0].both().bytes)).collect::<Vec<_>>(),
        [(1, 40)]
    );
    let extent = reader.extent().expect("an extent");
    assert_eq!(
        (extent.since, extent.slots_since),
        (Some(days[0].from), Some(begins(number("2026-03-30T23:00:00Z"))))
    );
}
