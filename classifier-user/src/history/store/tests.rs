//! The store against [`Known`], which reads slot by slot.

use jiff::{Timestamp, tz::TimeZone};
use proptest::prelude::*;

use super::*;
use crate::{
    history::{
        Links, Part, Peak, Period, Point, Read, SLOT_SECONDS,
        testing::{Known, begins, slot},
    },
    model::Counter,
};

/// In memory where there is such a place: what is tested is not the disk.
pub(super) fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a directory")
}

pub(super) fn options(zone: &str) -> Options {
    Options::new(TimeZone::get(zone).expect("a zone"), "r1")
}

pub(super) fn open(dir: &Path, zone: &str) -> Store {
    Store::open(dir, options(zone)).expect("a store").store
}

pub(super) fn maintain(store: &mut Store) {
    while store.maintain().expect("maintenance") {}
}

/// Numbers that are the same in every run: SplitMix64.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)) % limit
    }
}

/// The same past twice: in memory and in a store.
pub(super) struct Both {
    pub(super) known: Known,
    pub(super) store: Store,
    dir: tempfile::TempDir,
}

pub(super) const ASES: [Subject; 6] = [0, 174, 2906, 15169, 4_200_000_000, u32::MAX];

impl Both {
    /// Two upstream links and a downstream one.
    pub(super) fn new(zone: &str) -> Self {
        let dir = directory();
        let mut store = open(dir.path(), zone);
        for (name, role) in [("a", Role::Upstream), ("b", Role::Upstream), ("customers", Role::Downstream)] {
            store.link(name, role, None).expect("a link");
        }
        let known = Known::new(store.links().to_vec(), store.zone().clone());
        Self { known, store, dir }
    }

    pub(super) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(super) fn append(&mut self, slot: ClosedSlot) {
        self.store.append(&slot).expect("appended");
        self.known.push(slot);
    }

    /// A slot with some traffic of some subjects of every kind.
    pub(super) fn some_slot(&mut self, number: i64, random: &mut Random) {
        let mut rows = Vec::new();
        let subjects = ASES.map(|subject| (Kind::As, subject));
        let parts = [(Kind::Link, Part::Ip as u32), (Kind::Link, Part::Other as u32)];
        let ways = [(Kind::Neighbor, 3356), (Kind::Transit, 3356)];
        let others = [(Kind::Group, 0), (Kind::Prefix, 7)].into_iter().chain(ways);
        for (kind, subject) in subjects.into_iter().chain(parts).chain(others) {
            for link in 0..3 {
                for direction in Direction::ALL {
                    if random.below(3) == 0 {
                        continue;
                    }
                    let mut counter = || {
                        let scale = 1 << random.below(34);
                        let packets = random.below(scale);
                        Counter { packets, bytes: packets * (64 + random.below(1400)) }
                    };
                    let sample = Sample { ipv4: counter(), ipv6: counter() };
                    if sample != Sample::default() {
                        rows.push(Row { kind, subject, link: LinkNo(link), direction, sample });
                    }
                }
            }
        }
        rows.sort_unstable_by_key(Row::key);
        let covered = match random.below(8) {
            0 => random.below(420) as u32,
            _ => SLOT_SECONDS as u32,
        };
        self.append(ClosedSlot { number, covered, rows });
    }

    /// Slots from `from` on, with gaps of some minutes and one of hours.
    pub(super) fn fill(&mut self, from: i64, slots: i64, seed: u64, maintained: bool) {
        let mut random = Random(seed);
        let gap = from + random.below(slots.unsigned_abs()).cast_signed();
        for number in from..from + slots {
            if random.below(20) == 0 || (gap..gap + 40).contains(&number) {
                continue;
            }
            self.some_slot(number, &mut random);
            if maintained && random.below(5) == 0 {
                maintain(&mut self.store);
            }
        }
        if maintained {
            maintain(&mut self.store);
        }
    }

    pub(super) fn compare_sums(&self, kind: Kind, period: Period, links: &Links) {
        let ours = self.store.reader().sums(kind, period, links).expect("sums");
        assert_eq!(
            ours,
            self.known.sums(kind, period, links).expect("sums"),
            "{kind:?} {period:?} {links:?}"
        );
    }

    fn compare_series(&self, kind: Kind, subjects: &[Subject], period: Period, links: &Links, step: Step) {
        let reader = self.store.reader();
        let ours = reader.series(kind, subjects, period, links, step).expect("a series");
        // In one reading with others it is the same.
        let sets = [Links::Only(vec![LinkNo(2)]), links.clone(), Links::Isp];
        let each = reader.series_of_each(kind, subjects, period, &sets, step).expect("series");
        let alone = |links| reader.series(kind, subjects, period, links, step).expect("a series");
        assert_eq!(each, [alone(&sets[0]), ours.clone(), alone(&sets[2])]);
        let known = self.known.series(kind, subjects, period, links, step).expect("a series");
        let exact = subjects.len() == 1
            && (step == Step::Slot || !matches!(links, Links::Only(links) if links.len() > 1));
        if exact || step == Step::Slot {
            assert_eq!(ours, known, "{kind:?} {subjects:?} {period:?} {links:?} {step:?}");
            return;
        }
        let without = |points: &[Point]| -> Vec<Point> {
            points.iter().map(|point| Point { peaks: [None; 2], ..point.clone() }).collect()
        };
        assert_eq!(without(&ours), without(&known), "{kind:?} {subjects:?} {period:?} {links:?} {step:?}");
        // Peaks of several are not less than what they were, but for what each was rounded down by.
        let rate = |peak: Option<Peak>| peak.map_or(0, |peak| peak.bits_per_second);
        for (ours, known) in ours.iter().zip(&known) {
            for direction in 0..2 {
                let [ours, known] = [ours, known].map(|point| rate(point.peaks[direction]));
                assert!(ours + 8 >= known, "{ours} {known} {period:?} {links:?} {step:?}");
            }
        }
    }

    /// Everything that can be asked, for these periods.
    pub(super) fn compare(&self, periods: &[Period]) {
        let links = [
            Links::Isp,
            Links::Only(vec![LinkNo(0)]),
            Links::Only(vec![LinkNo(2), LinkNo(0)]),
            Links::Only(vec![]),
        ];
        for &period in periods {
            for links in &links {
                for kind in [Kind::As, Kind::Link, Kind::Group, Kind::Prefix, Kind::Neighbor, Kind::Transit] {
                    self.compare_sums(kind, period, links);
                }
                for step in [Step::Slot, Step::Hour, Step::Day] {
                    self.compare_series(Kind::As, &[2906], period, links, step);
                    self.compare_series(Kind::As, &[u32::MAX], period, links, step);
                    self.compare_series(Kind::As, &[15169, 0, 2906, 3, 15169], period, links, step);
                    self.compare_series(Kind::Link, &[Part::Ip as u32], period, links, step);
                }
            }
        }
        let reader = self.store.reader();
        assert_eq!(reader.extent().expect("an extent"), self.known.extent().expect("an extent"));
        assert_eq!(reader.links().expect("links"), self.known.links);
    }
}

pub(super) fn number(time: &str) -> i64 {
    time.parse::<Timestamp>().expect("a time").as_second() / SLOT_SECONDS
}

fn period(from: &str, to: &str) -> Period {
    Period { from: from.parse().expect("a time"), to: to.parse().expect("a time") }
}

/// Zones, and when to begin there: over both changes of summer time, and where days begin at a quarter to.
const PLACES: [(&str, &str); 5] = [
    ("UTC", "2026-02-27T20:00:00Z"),
    ("Europe/Paris", "2026-03-28T20:10:00Z"),
    ("Europe/Paris", "2026-10-24T12:00:00Z"),
    ("Asia/Kathmandu", "2026-06-01T03:00:00Z"),
    ("Australia/Lord_Howe", "2026-04-03T10:00:00Z"),
];

fn times(from: i64, slots: i64) -> impl Strategy<Value = Period> {
    let seconds = (from - 300) * SLOT_SECONDS..(from + slots + 300) * SLOT_SECONDS;
    let time = prop_oneof![
        seconds.clone(),
        seconds.clone().prop_map(|second| second / SLOT_SECONDS * SLOT_SECONDS),
        seconds.prop_map(|second| second / 86400 * 86400),
    ];
    (time.clone(), time).prop_map(|(a, b)| {
        let at = |second| Timestamp::from_second(second).expect("a time");
        Period { from: at(a.min(b)), to: at(a.max(b)) }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn everything_is_read_as_it_was(
        place in prop::sample::select(&PLACES),
        seed in any::<u64>(),
        maintained in any::<bool>(),
        periods in prop::collection::vec(times(0, 900), 3),
    ) {
        let (zone, begin) = place;
        let from = number(begin);
        let mut both = Both::new(zone);
        both.fill(from, 900, seed, maintained);
        let later = |time: Timestamp| Timestamp::from_second(time.as_second() + from * SLOT_SECONDS).expect("a time");
        let periods: Vec<Period> =
            periods.iter().map(|period| Period { from: later(period.from), to: later(period.to) }).collect();
        both.compare(&periods);
    }
}

#[test]
fn days_of_every_zone_before_and_after_they_are_rolled_up() {
    for (zone, begin) in PLACES {
        let from = number(begin);
        let mut both = Both::new(zone);
        both.fill(from, 1000, 5, false);
        let whole = Period { from: begins(from), to: begins(from + 1000) };
        let middle = Period { from: begins(from + 100), to: begins(from + 777) };
        both.compare(&[whole, middle]);
        maintain(&mut both.store);
        both.compare(&[whole, middle]);
        let days = both.store.reader().series(Kind::As, &[174], whole, &Links::Isp, Step::Day).expect("days");
        let hours: Vec<i64> = days.iter().map(|day| day.period.seconds() / 1800).collect();
        let expected: &[i64] = match (zone, begin) {
            ("Europe/Paris", "2026-03-28T20:10:00Z") => &[48, 46, 48, 48],
            ("Europe/Paris", _) => &[48, 50, 48, 48],
            ("Australia/Lord_Howe", _) => &[48, 48, 49, 48],
            _ => &[48, 48, 48, 48],
        };
        assert!(hours.starts_with(expected), "{zone}: {hours:?}");
        let steps: Vec<Step> = both
            .store
            .sizes()
            .expect("sizes")
            .iter()
            .filter(|size| size.kind == Kind::As)
            .map(|size| size.step)
            .collect();
        assert_eq!(steps, [Step::Slot, Step::Hour, Step::Day], "{zone}");
    }
}

#[test]
fn nothing_is_read_of_nothing() {
    let both = Both::new("UTC");
    both.compare(&[
        period("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"),
        period("2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z"),
        period("2026-01-01T00:00:01Z", "2026-01-01T00:00:01Z"),
    ]);
    let reader = both.store.reader();
    assert_eq!(reader.months(Kind::As, 1), Ok(vec![]));
    assert_eq!(reader.group("netflix"), Ok(None));
    assert_eq!(reader.prefix(0), Ok(None));
}

#[test]
fn a_slot_comes_once_and_in_order() {
    let mut both = Both::new("UTC");
    both.append(slot(5_900_000, &[(1, 10, 0)]));
    for number in [5_900_000, 5_899_999] {
        let error = both.store.append(&slot(number, &[(1, 10, 0)])).expect_err("refused");
        assert!(matches!(error, StoreError::SlotOrder { last: 5_900_000, .. }), "{error}");
    }
    let far = both.store.append(&slot(i64::MAX, &[])).expect_err("refused");
    assert!(matches!(far, StoreError::SlotRange { number: i64::MAX }), "{far}");
    let mut unsorted = slot(5_900_001, &[(1, 10, 0), (2, 10, 0)]);
    unsorted.rows.swap(0, 1);
    assert!(matches!(both.store.append(&unsorted), Err(StoreError::Rows(_))));
    let mut unknown = slot(5_900_001, &[(1, 10, 0)]);
    unknown.rows[0].link = LinkNo(3);
    assert!(matches!(both.store.append(&unknown), Err(StoreError::Rows(_))));
    let mut zero = slot(5_900_001, &[(1, 10, 0)]);
    zero.rows[0].sample = Sample::default();
    assert!(matches!(both.store.append(&zero), Err(StoreError::Rows(_))));
    both.append(slot(5_900_001, &[]));
    both.compare(&[Period { from: begins(5_899_990), to: begins(5_900_010) }]);
}

#[test]
fn numbers_are_given_once() {
    let dir = directory();
    let prefix = |text: &str, asn| StoredPrefix { prefix: text.parse().expect("a prefix"), asn };
    let [a, b] = [prefix("192.0.2.0/24", 64500), prefix("2001:db8::/32", 64500)];
    {
        let mut store = open(dir.path(), "UTC");
        assert_eq!(store.link("x", Role::Upstream, None).expect("a link"), LinkNo(0));
        assert_eq!(store.link("x", Role::Downstream, None).expect("a link"), LinkNo(1));
        assert_eq!(store.link("x", Role::Upstream, Some(LinkKind::Ix)).expect("a link"), LinkNo(0));
        assert_eq!(store.group("netflix").expect("a group"), 0);
        assert_eq!(store.group("google").expect("a group"), 1);
        assert_eq!(store.prefixes(&[a, b, a]).expect("prefixes"), [0, 1, 0]);
    }
    let mut store = open(dir.path(), "UTC");
    assert_eq!(store.group("google").expect("a group"), 1);
    assert_eq!(store.prefixes(&[prefix("192.0.2.0/24", 64501), b]).expect("prefixes"), [2, 1]);
    let reader = store.reader();
    assert_eq!(reader.links().expect("links")[0].kind, Some(LinkKind::Ix));
    assert_eq!(reader.prefix(1), Ok(Some(b)));
    assert_eq!(reader.group("netflix"), Ok(Some(0)));
    for number in 2..256 {
        assert_eq!(store.link(&format!("l{number}"), Role::Upstream, None).expect("a link").0, number as u8);
    }
    assert!(matches!(store.link("more", Role::Upstream, None), Err(StoreError::TooManyLinks { .. })));
}

#[test]
fn downstream_links_are_the_isps_until_there_is_an_upstream_one() {
    let dir = directory();
    let mut store = open(dir.path(), "UTC");
    store.link("customers", Role::Downstream, None).expect("a link");
    let from = number("2026-05-01T00:00:00Z");
    for number in from..from + 290 {
        if number == from + 6 {
            store.link("transit", Role::Upstream, None).expect("a link");
        }
        let mut closed = slot(number, &[(1, 10, 0)]);
        if number >= from + 6 {
            let mut upstream = slot(number, &[(1, 3, 0)]);
            upstream.rows.iter_mut().for_each(|row| row.link = LinkNo(1));
            closed.rows.extend(upstream.rows);
            closed.rows.sort_unstable_by_key(Row::key);
        }
        store.append(&closed).expect("appended");
    }
    let day = Period { from: begins(from), to: begins(from + 288) };
    for _ in 0..2 {
        let sums = store.reader().sums(Kind::As, day, &Links::Isp).expect("sums");
        assert_eq!(sums.rows[0].samples[0].both().bytes, 6 * 10 + 282 * 3);
        maintain(&mut store);
    }
}

#[test]
fn days_keep_their_edges_when_the_zone_changes() {
    let from = number("2026-06-01T00:00:00Z");
    let mut both = Both::new("UTC");
    let mut random = Random(6);
    let zones = ["UTC", "Asia/Kathmandu", "America/New_York", "UTC"];
    // Changed in the middle of a day, after its last hours were rolled up.
    let changes = [from, from + 288 + 230, from + 2 * 288 + 100, from + 3 * 288 + 7, from + 5 * 288];
    for (zone, days) in zones.into_iter().zip(changes.windows(2)) {
        let spare = directory();
        drop(std::mem::replace(&mut both.store, open(spare.path(), "UTC")));
        both.store = open(both.dir(), zone);
        for number in days[0]..days[1] {
            both.some_slot(number, &mut random);
            if number % 12 == 11 {
                maintain(&mut both.store);
            }
        }
    }
    let end = from + 5 * 288;
    for (a, b) in
        [(from, end), (from + 229, from + 3 * 288), (from + 288 + 219, end - 30), (from + 500, from + 501)]
    {
        let period = Period { from: begins(a), to: begins(b) };
        for links in [Links::Isp, Links::Only(vec![LinkNo(2)])] {
            both.compare_sums(Kind::As, period, &links);
            for step in [Step::Slot, Step::Hour] {
                both.compare_series(Kind::As, &[2906], period, &links, step);
            }
        }
    }
    let all = Period { from: begins(from), to: begins(end) };
    let days = both.store.reader().series(Kind::As, &[2906], all, &Links::Isp, Step::Day).expect("days");
    let edges: Vec<String> = days.iter().map(|day| day.period.from.to_string()).collect();
    assert!(days.windows(2).all(|days| days[0].period.to == days[1].period.from), "{edges:?}");
    let bytes = |points: &[Point]| points.iter().map(|point| point.samples[0].both().bytes).sum::<u64>();
    assert_eq!(
        bytes(&days),
        both.known
            .sums(Kind::As, all, &Links::Isp)
            .expect("sums")
            .rows
            .iter()
            .find(|sum| sum.subject == 2906)
            .expect("it")
            .samples[0]
            .both()
            .bytes
    );
    // A day that is not over ends with the zone that there is then, where no hour was merged over it.
    let expected = [
        "2026-06-01T00:00:00Z",
        "2026-06-02T00:00:00Z",
        "2026-06-02T19:00:00Z",
        "2026-06-03T04:00:00Z",
        "2026-06-04T00:00:00Z",
        "2026-06-05T00:00:00Z",
    ];
    assert_eq!(edges, expected);
}
