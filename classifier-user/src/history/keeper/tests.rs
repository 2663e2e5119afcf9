use std::path::Path;

use jiff::{Timestamp, tz::TimeZone};

use super::*;
use crate::{
    history::{
        ClosedSlot, Kind, LinkNo, Links, Month, NO_AS, Part, Period, REST, Read as _, Row, SLOT_SECONDS,
        Sample, Step, Subject, Sums,
        store::{Options, Reader},
        testing::{Known, begins, slot, upstream},
    },
    model::{Counter, Direction, Role},
};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn number(text: &str) -> i64 {
    at(text).as_second() / SLOT_SECONDS
}

fn open(dir: &Path, zone: &str) -> Store {
    let zone = TimeZone::get(zone).unwrap();
    let mut store = Store::open(dir, Options::new(zone, "r1")).unwrap().store;
    store.link("transit", Role::Upstream, None).unwrap();
    store.hasten(true).unwrap();
    store
}

fn keep_all() -> Keep {
    Keep { slot_days: 10_000, hour_days: 10_000, day_days: None, max_bytes: u64::MAX }
}

/// Steps until there is nothing to do; how many that were.
fn settle(keeper: &mut Keeper, store: &mut Store, now: Timestamp) -> usize {
    let steps = (1..100_000).find(|_| !keeper.step(store, now).unwrap());
    steps.expect("it comes to an end")
}

/// A slot in which each of these ASes had so many bytes in, and half as many out; rows of the link and of a group besides.
fn closed(number: i64, traffic: &[(Subject, u64)]) -> ClosedSlot {
    let traffic: Vec<(Subject, u64, u64)> =
        traffic.iter().map(|&(subject, bytes)| (subject, bytes, bytes / 2)).collect();
    let mut slot = slot(number, &traffic);
    let groups: Vec<Row> = slot
        .rows
        .iter()
        .filter(|row| row.kind == Kind::As && row.subject == 2906)
        .map(|row| Row { kind: Kind::Group, subject: 0, ..*row })
        .collect();
    slot.rows.extend(groups);
    slot.rows.sort_unstable_by_key(Row::key);
    slot
}

/// A month of Paris in which the rate in of AS2906 rises by 2 bit/s each slot, AS3215 has traffic in the last 500 slots and
/// AS64512 in the last 400; 100 slots in the middle were not counted.
fn rising_month(from: &str, to: &str) -> (tempfile::TempDir, Store, Known) {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), "Europe/Paris");
    let zone = TimeZone::get("Europe/Paris").unwrap();
    let mut known = Known::new(vec![upstream(0, "transit")], zone);
    assert_eq!(store.group("netflix").unwrap(), 0);
    let (first, end) = (number(from), number(to));
    for number in (first..end).filter(|number| !(first + 4000..first + 4100).contains(number)) {
        let place = (number - first + 1) as u64;
        let mut traffic = vec![(2906, 75 * place)];
        traffic.extend((end - number <= 500).then_some((3215, 75 * place)));
        traffic.extend((end - number <= 400).then_some((64512, 75 * place)));
        let slot = closed(number, &traffic);
        store.append(&slot).unwrap();
        known.push(slot);
    }
    (dir, store, known)
}

fn check_month(from: &str, to: &str, slots: u64) {
    let (_dir, mut store, known) = rising_month(from, to);
    let mut keeper = Keeper::new(keep_all());
    settle(&mut keeper, &mut store, at(to));
    let reader = store.reader();

    // By hand: of the counted slots the highest 5 % are left out.
    let counted = slots - 100;
    let place = (counted * 95).div_ceil(100);
    // The slots from the 101st after the gap on are 100 places lower than their number.
    let rate = |place: u64| if place <= 4000 { 2 * place } else { 2 * (place + 100) };
    let month = |subject| reader.months(Kind::As, subject).unwrap();
    let [netflix] = month(2906).try_into().unwrap();
    assert_eq!(netflix.period, Period { from: at(from), to: at(to) });
    assert_eq!((netflix.zone.as_str(), netflix.covered), ("Europe/Paris", counted * 300));
    assert_eq!(netflix.p95[0], rate(place));
    // Half of an odd number of bytes is rounded: at most half a bit a second.
    assert!(netflix.p95[1].abs_diff(rate(place) / 2) <= 1);
    let all: u64 = (1..=slots).filter(|place| !(4001..=4100).contains(place)).map(|place| 75 * place).sum();
    assert_eq!(netflix.bytes[0], all);
    // 500 slots of traffic are more than 5 %, the others are 0; 400 are less.
    assert_eq!(month(3215)[0].p95[0], rate(place));
    assert_eq!(month(64512)[0].p95, [0, 0]);

    for (kind, subject) in [
        (Kind::As, 2906),
        (Kind::As, 3215),
        (Kind::As, 64512),
        (Kind::Group, 0),
        (Kind::Link, Part::Ip as Subject),
    ] {
        assert_eq!(
            reader.months(kind, subject).unwrap(),
            known.months(kind, subject).unwrap(),
            "{kind:?} {subject}"
        );
    }
    // Nothing changes when it is done once more, whoever does it.
    let before = month(2906);
    settle(&mut Keeper::new(keep_all()), &mut store, at(to));
    store.set_note("months.until", &at(from).to_string()).unwrap();
    settle(&mut Keeper::new(keep_all()), &mut store, at(to));
    assert_eq!(reader.months(Kind::As, 2906).unwrap(), before);
}

#[test]
fn a_month_with_an_hour_less() {
    // March 2026 in Paris: 743 hours.
    check_month("2026-02-28T23:00:00Z", "2026-03-31T22:00:00Z", 743 * 12);
}

#[test]
fn a_month_with_an_hour_more() {
    // October 2026 in Paris: 745 hours.
    check_month("2026-09-30T22:00:00Z", "2026-10-31T23:00:00Z", 745 * 12);
}

#[test]
fn a_month_is_frozen_when_it_is_over_and_with_what_there_is_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), "UTC");
    let mut keeper = Keeper::new(keep_all());
    let end = number("2026-05-01T00:00:00Z");
    // The last two days of April.
    for number in end - 576..end - 1 {
        store.append(&closed(number, &[(2906, 3000)])).unwrap();
    }
    settle(&mut keeper, &mut store, at("2026-05-07T00:00:00Z"));
    assert_eq!(store.reader().months(Kind::As, 2906).unwrap(), []);
    store.append(&closed(end - 1, &[(2906, 3000)])).unwrap();
    settle(&mut keeper, &mut store, at("2026-05-07T00:00:00Z"));
    let month = Month {
        period: Period { from: at("2026-04-01T00:00:00Z"), to: at("2026-05-01T00:00:00Z") },
        zone: "UTC".to_owned(),
        covered: 576 * 300,
        bytes: [576 * 3000, 576 * 1500],
        p95: [80, 40],
    };
    assert_eq!(store.reader().months(Kind::As, 2906).unwrap(), [month]);

    // A pause of more than a month: the one that was begun is frozen, the one without anything is none.
    let later = number("2026-07-01T00:00:00Z");
    store.append(&closed(end, &[(2906, 3000)])).unwrap();
    store.append(&closed(later, &[(2906, 3000)])).unwrap();
    settle(&mut keeper, &mut store, at("2026-07-01T00:05:00Z"));
    let months = store.reader().months(Kind::As, 2906).unwrap();
    let begun: Vec<(String, u64)> =
        months.iter().map(|month| (month.period.from.to_string(), month.covered)).collect();
    assert_eq!(
        begun,
        [("2026-04-01T00:00:00Z".to_owned(), 172_800), ("2026-05-01T00:00:00Z".to_owned(), 300)]
    );
}

/// A slot at 12:00 and one at 12:05 of each day of the zone, from this day on.
fn days(store: &mut Store, first: &str, count: i64) -> Timestamp {
    let zone = store.zone().clone();
    let first: jiff::civil::Date = first.parse().unwrap();
    let mut last = Timestamp::UNIX_EPOCH;
    for day in 0..count {
        let noon = first.checked_add(jiff::Span::new().days(day)).unwrap().at(12, 0, 0, 0);
        let noon = noon.to_zoned(zone.clone()).unwrap().timestamp();
        let number = noon.as_second() / SLOT_SECONDS;
        for number in [number, number + 1] {
            let mut slot = closed(number, &[(2906, 3000), (15169, 6000)]);
            let sample = Sample { ipv4: Counter { packets: 1, bytes: 60 }, ..Sample::default() };
            let prefix =
                Row { kind: Kind::Prefix, subject: 0, link: LinkNo(0), direction: Direction::In, sample };
            slot.rows.push(prefix);
            slot.rows.sort_unstable_by_key(Row::key);
            store.append(&slot).unwrap();
            last = begins(number + 1);
        }
    }
    last
}

/// The local dates of the first day of a kind's steps.
fn since(store: &Store, kind: Kind, step: Step) -> String {
    let sizes = store.sizes().unwrap();
    let size = sizes.iter().find(|size| (size.kind, size.step) == (kind, step));
    size.map_or_else(
        || "-".to_owned(),
        |size| size.period.from.to_zoned(store.zone().clone()).date().to_string(),
    )
}

#[test]
fn each_step_is_kept_for_its_days() {
    for zone in ["Europe/Paris", "America/Los_Angeles", "Asia/Kolkata", "Pacific/Auckland"] {
        let dir = tempfile::tempdir().unwrap();
        let mut store = open(dir.path(), zone);
        // Through the end of summer time, and of winter time in the south.
        let last = days(&mut store, "2026-10-20", 12);
        let keep = Keep { slot_days: 2, hour_days: 5, day_days: Some(8), max_bytes: u64::MAX };
        settle(&mut Keeper::new(keep.clone()), &mut store, last);
        // Today is 31 October, which is not over: it is in slots and hours only.
        for (kind, slots) in [
            (Kind::As, "2026-10-29"),
            (Kind::Prefix, "2026-10-29"),
            (Kind::Link, "2026-10-26"),
            (Kind::Group, "2026-10-26"),
        ] {
            assert_eq!(since(&store, kind, Step::Slot), slots, "{zone} {kind:?}");
            assert_eq!(since(&store, kind, Step::Hour), "2026-10-26", "{zone} {kind:?}");
            // Days go by months.
            assert_eq!(since(&store, kind, Step::Day), "2026-10-20", "{zone} {kind:?}");
        }
        // A minute before midnight nothing more is too old, at midnight it is.
        let midnight = jiff::civil::date(2026, 11, 1).to_zoned(store.zone().clone()).unwrap().timestamp();
        let mut keeper = Keeper::new(keep);
        settle(&mut keeper, &mut store, midnight - jiff::SignedDuration::from_secs(60));
        assert_eq!(since(&store, Kind::As, Step::Slot), "2026-10-29", "{zone}");
        settle(&mut keeper, &mut store, midnight);
        assert_eq!(since(&store, Kind::As, Step::Slot), "2026-10-30", "{zone}");
        assert_eq!(since(&store, Kind::Link, Step::Slot), "2026-10-27", "{zone}");
        // What is older is still known by its days.
        let old = at("2026-10-25T12:00:00Z");
        let sums = store.reader().sums(
            Kind::As,
            Period { from: old, to: old + jiff::SignedDuration::from_secs(1) },
            &Links::Isp,
        );
        assert_eq!(sums.unwrap().rows.len(), 2, "{zone}");
    }
}

#[test]
fn days_go_by_months() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), "Europe/Paris");
    let last = days(&mut store, "2026-01-20", 70);
    let first = |day_days, now: Timestamp, store: &mut Store| {
        let keep = Keep { day_days: Some(day_days), ..keep_all() };
        settle(&mut Keeper::new(keep), store, now);
        since(store, Kind::As, Step::Day)
    };
    // Today is 30 March: 57 days before it is the first of February.
    assert_eq!(first(58, last, &mut store), "2026-01-20");
    assert_eq!(first(57, last, &mut store), "2026-02-01");
    assert_eq!(first(10, last, &mut store), "2026-03-01");
}

/// The sums of all links over a period.
fn sums(reader: &Reader, kind: Kind, period: Period) -> Sums {
    reader.sums(kind, period, &Links::Only(vec![LinkNo(0)])).unwrap()
}

fn total(sums: &Sums) -> [Sample; 2] {
    let mut total = [Sample::default(); 2];
    for row in &sums.rows {
        for (total, sample) in total.iter_mut().zip(row.samples) {
            *total += sample;
        }
    }
    total
}

/// A slot a day with 1,300 ASes and IP without one, from this day on; larger ASes have smaller numbers.
fn crowded_days(store: &mut Store, first: &str, count: i64) -> Timestamp {
    let first = number(first);
    for day in 0..count {
        let traffic: Vec<(Subject, u64)> = std::iter::once((NO_AS, 777))
            .chain((1..=1300).map(|asn| (asn, 1_000_000 / u64::from(asn) + 10)))
            .collect();
        store.append(&closed(first + day * 288, &traffic)).unwrap();
    }
    begins(first + count * 288)
}

#[test]
fn a_fold_keeps_the_sums_and_the_largest() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), "UTC");
    let now = crowded_days(&mut store, "2026-03-01T00:00:00Z", 95);
    let mut keeper = Keeper::new(keep_all());
    settle(&mut keeper, &mut store, now);
    let month = |from: &str, to: &str| Period { from: at(from), to: at(to) };
    let months = [
        month("2026-03-01T00:00:00Z", "2026-04-01T00:00:00Z"),
        month("2026-04-01T00:00:00Z", "2026-05-01T00:00:00Z"),
    ];
    let before = months.map(|month| sums(&store.reader(), Kind::As, month));
    assert_eq!(before[0].rows.len(), 1301);

    assert!(cap::fold_oldest_month(&mut store).unwrap());
    settle(&mut keeper, &mut store, now);
    let after = months.map(|month| sums(&store.reader(), Kind::As, month));
    assert_eq!(after[1], before[1]);
    assert_eq!((after[0].period, after[0].covered), (before[0].period, before[0].covered));
    // Without an AS, the 1,000 largest, and the rest.
    let kept: Vec<Subject> = after[0].rows.iter().map(|row| row.subject).collect();
    assert_eq!(kept, (0..=1000).chain([REST]).collect::<Vec<_>>());
    assert_eq!(after[0].rows[..1001], before[0].rows[..1001]);
    assert_eq!(total(&after[0]), total(&before[0]));
    let isp = |month| store.reader().sums(Kind::As, month, &Links::Isp).unwrap();
    assert_eq!(isp(months[0]).rows, after[0].rows);

    // Once each: then the next month, then there is none that is over.
    assert!(cap::fold_oldest_month(&mut store).unwrap());
    settle(&mut keeper, &mut store, now);
    assert_eq!(sums(&store.reader(), Kind::As, months[1]).rows.len(), 1002);
    assert!(cap::fold_oldest_month(&mut store).unwrap());
    assert!(!cap::fold_oldest_month(&mut store).unwrap());
}

#[test]
fn the_cap_is_kept_and_the_oldest_detail_goes_first() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), "UTC");
    let now = crowded_days(&mut store, "2026-03-01T00:00:00Z", 70);
    settle(&mut Keeper::new(keep_all()), &mut store, now);
    store.hasten(false).unwrap();
    let full = store.usage().unwrap().file;
    let period = Period { from: at("2026-03-01T00:00:00Z"), to: now };
    let ip = Part::Ip as Subject;
    let link = |store: &Store| {
        let rows = sums(&store.reader(), Kind::Link, period).rows;
        rows.into_iter().find(|row| row.subject == ip).unwrap().samples
    };
    let before = (link(&store), total(&sums(&store.reader(), Kind::As, period)));
    let size = |store: &Store, step| {
        let sizes = store.sizes().unwrap();
        sizes.iter().find(|size| (size.kind, size.step) == (Kind::As, step)).map_or(0, |size| size.bytes)
    };
    let (slots, hours, days) = (size(&store, Step::Slot), size(&store, Step::Hour), size(&store, Step::Day));
    let mut folded = false;
    // Down in steps: what is lost first is the slots, then the hours; the days' sums stay, in fewer rows.
    for thousandths in (200..950).rev().step_by(50).chain((130..200).rev().step_by(2)) {
        let max_bytes = full / 1000 * thousandths;
        let mut keeper = Keeper::new(Keep { max_bytes, ..keep_all() });
        settle(&mut keeper, &mut store, now);
        store.hasten(false).unwrap();
        let usage = store.usage().unwrap();
        if keeper.is_over_cap() || since(&store, Kind::As, Step::Day) != "2026-03-01" {
            break;
        }
        assert!(usage.file <= max_bytes, "{usage:?} of {max_bytes}");
        if size(&store, Step::Hour) < hours {
            // The last two days stay.
            assert_eq!(since(&store, Kind::As, Step::Slot), "2026-05-08", "{thousandths}");
        }
        if size(&store, Step::Day) < days {
            assert_eq!(since(&store, Kind::As, Step::Hour), "2026-05-08", "{thousandths}");
            folded = true;
        }
        assert_eq!((link(&store), total(&sums(&store.reader(), Kind::As, period))), before, "{thousandths}");
    }
    assert!(folded && size(&store, Step::Slot) < slots / 10);
}

#[test]
fn a_cap_that_cannot_be_kept_is_said_so() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), "UTC");
    let now = days(&mut store, "2026-03-01", 3);
    let mut keeper = Keeper::new(Keep { max_bytes: 4096, ..keep_all() });
    settle(&mut keeper, &mut store, now);
    assert!(keeper.is_over_cap());
    // The last two days are there still.
    assert_eq!(since(&store, Kind::As, Step::Slot), "2026-03-02");
}
