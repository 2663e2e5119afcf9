use jiff::tz::TimeZone;

use super::*;
use crate::history::{
    Kind, Links, Period, Read as _,
    testing::{Known, begins, slot, upstream},
};

fn options(zone: &str) -> Options {
    Options::new(TimeZone::get(zone).expect("a zone"), "r1")
}

fn open(dir: &Path, zone: &str) -> Store {
    Store::open(dir, options(zone)).expect("a store").store
}

#[test]
fn a_slot_that_is_appended_is_read() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut store = open(dir.path(), "UTC");
    assert_eq!(store.link("eth0", Role::Upstream, None).expect("a link"), LinkNo(0));
    let mut known = Known::new(vec![upstream(0, "eth0")], TimeZone::UTC);
    let closed = slot(5_900_000, &[(0, 5, 0), (2906, 1000, 200), (u32::MAX, 1, 1)]);
    store.append(&closed).expect("appended");
    known.push(closed);
    let reader = store.reader();
    let period = Period { from: begins(5_900_000), to: begins(5_900_001) };
    for kind in [Kind::As, Kind::Link, Kind::Group] {
        assert_eq!(
            reader.sums(kind, period, &Links::Isp).expect("sums"),
            known.sums(kind, period, &Links::Isp).expect("sums")
        );
    }
    let series = |read: &dyn crate::history::Read| {
        read.series(Kind::As, &[2906], period, &Links::Isp, Step::Slot).expect("a series")
    };
    assert_eq!(series(&reader), series(&known));
    assert_eq!(reader.extent().expect("an extent"), known.extent().expect("an extent"));
    assert_eq!(reader.links().expect("links"), known.links);
}
