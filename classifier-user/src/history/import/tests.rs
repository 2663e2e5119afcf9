//! Databases made by RRDtool with the arguments of `asstatd.pl`, and what becomes of them.

use std::{collections::BTreeMap, path::Path, process::Command};

use jiff::{Timestamp, tz::TimeZone};

use super::*;
use crate::{
    history::{
        Kind, LinkNo, Links, NO_AS, Part, Period, Read as _, Sample, Step, Subject,
        store::{Options, Store},
        testing::slot,
    },
    model::Role,
    table::groups::Groups,
};

const FIRST: &str = "2026-03-01T00:00:00Z";
const END: &str = "2026-03-11T10:00:00Z";
/// Nothing was collected for two hours.
const GAP: [&str; 2] = ["2026-03-05T03:00:00Z", "2026-03-05T05:00:00Z"];

fn at(text: &str) -> i64 {
    text.parse::<Timestamp>().unwrap().as_second()
}

fn rrdtool(directory: &Path, arguments: &[String]) {
    let output = Command::new("rrdtool").args(arguments).current_dir(directory).env("TZ", "UTC").output();
    let output = output.expect("rrdtool, which `cargo xtask setup` installs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Bytes of a slot that ends at `time`: by link, then in and out, IPv4 and IPv6.
fn traffic(asn: Asn, time: i64) -> [[u64; 4]; 2] {
    let slot = (time / 300) as u64;
    let of = |link: u64| {
        let n = (slot * 7 + link * 3 + u64::from(asn)) % 1000;
        [n * 1000, n * 17, (slot % 11) * 5, 3]
    };
    [of(0), of(1)]
}

/// The ends of slots that were collected.
fn times() -> impl Iterator<Item = i64> {
    let gap = at(GAP[0])..at(GAP[1]);
    (at(FIRST) + 300..=at(END)).step_by(300).filter(move |time| !gap.contains(&(time - 1)))
}

/// A database as `asstatd.pl` makes it.
fn database(directory: &Path, asn: Asn) {
    let low = format!("{:02x}", asn % 256);
    fs::create_dir_all(directory.join(&low)).unwrap();
    let file = format!("{low}/{asn}.rrd");
    let mut create = vec!["create".to_owned(), file.clone(), "--start".to_owned(), (at(FIRST)).to_string()];
    for link in ["cogent", "decix"] {
        for suffix in ["in", "out", "v6_in", "v6_out"] {
            create.push(format!("DS:{link}_{suffix}:ABSOLUTE:300:U:U"));
        }
    }
    create.extend(["1:576", "12:168", "48:180", "288:366"].map(|rows| format!("RRA:AVERAGE:0.99999:{rows}")));
    rrdtool(directory, &create);
    let mut updates: Vec<String> = Vec::new();
    // The update that ends the gap is lost, too: RRDtool knows nothing of more than a heartbeat.
    let updated = (at(FIRST) + 300..=at(END)).step_by(300);
    for time in updated.filter(|time| !(at(GAP[0]) + 300..at(GAP[1])).contains(time)) {
        let bytes = traffic(asn, time);
        let values: Vec<String> = bytes.iter().flatten().map(u64::to_string).collect();
        updates.push(format!("{time}:{}", values.join(":")));
    }
    for updates in updates.chunks(500) {
        rrdtool(directory, &[&["update".to_owned(), file.clone()], updates].concat());
    }
}

/// AS2906 and AS65000; beside them something else.
fn as_stats() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    database(directory.path(), 2906);
    database(directory.path(), 65_000);
    fs::write(directory.path().join("asstats_day.txt"), "as\n").unwrap();
    directory
}

fn links() -> Vec<LinkChoice> {
    let link = |tag: &str, name: &str| LinkChoice { tag: tag.to_owned(), name: name.to_owned() };
    vec![link("cogent", "transit-a"), link("decix", "decix")]
}

/// What an AS had between two times on a link, by direction.
fn expected(asn: Asn, from: i64, to: i64, link: usize) -> [Sample; 2] {
    let mut samples = [Sample::default(); 2];
    for time in times().filter(|time| (from..to).contains(&(time - 300))) {
        let [v4_in, v4_out, v6_in, v6_out] = traffic(asn, time)[link];
        samples[0].ipv4.bytes += v4_in;
        samples[1].ipv4.bytes += v4_out;
        samples[0].ipv6.bytes += v6_in;
        samples[1].ipv6.bytes += v6_out;
    }
    samples
}

fn period(from: i64, to: i64) -> Period {
    Period { from: Timestamp::from_second(from).unwrap(), to: Timestamp::from_second(to).unwrap() }
}

fn store(directory: &Path, zone: &str) -> Store {
    Store::open(directory, Options::new(TimeZone::get(zone).unwrap(), "r1")).unwrap().store
}

fn read(directory: &Path) -> AsStats {
    AsStats::read(directory, links(), |_, _| {}).unwrap()
}

fn import(directory: &Path, store: &mut Store) -> Imported {
    let groups = Groups::builtin().unwrap();
    let now = END.parse().unwrap();
    write(&read(directory), store, &groups, now, |_, _| {}).unwrap()
}

fn by_subject(store: &Store, kind: Kind, period: Period, link: u8) -> BTreeMap<Subject, [Sample; 2]> {
    let sums = store.reader().sums(kind, period, &Links::Only(vec![LinkNo(link)])).unwrap();
    assert_eq!(sums.period, period);
    sums.rows.into_iter().map(|row| (row.subject, row.samples)).collect()
}

/// Holds the store against what was put into the databases, in this stretch.
fn check(store: &Store, from: i64, to: i64) {
    let period = period(from, to);
    for link in 0..2 {
        let of = |asn| expected(asn, from, to, usize::from(link));
        let mut total = of(2906);
        total.iter_mut().zip(of(65_000)).for_each(|(total, sample)| *total += sample);
        let ases = BTreeMap::from([(2906, of(2906)), (65_000, of(65_000))]);
        assert_eq!(by_subject(store, Kind::As, period, link), ases);
        let ip = BTreeMap::from([(Part::Ip as Subject, total)]);
        assert_eq!(by_subject(store, Kind::Link, period, link), ip);
        let netflix = store.reader().group("netflix").unwrap().unwrap();
        assert_eq!(by_subject(store, Kind::Group, period, link), BTreeMap::from([(netflix, of(2906))]));
    }
}

#[test]
fn days_and_then_slots_where_nothing_was_counted_before() {
    let directory = as_stats();
    let state = tempfile::tempdir().unwrap();
    let mut store = store(state.path(), "UTC");
    let imported = import(directory.path(), &mut store);
    assert_eq!((imported.ases, imported.days, imported.slots, imported.cut_off), (2, 9, 288 + 120, None));
    assert_eq!(imported.period, Some(period(at(FIRST), at(END))));
    let all: u64 = (0..2)
        .flat_map(|link| [2906, 65_000].map(|asn| expected(asn, at(FIRST), at(END), link)[0]))
        .map(|sample| sample.both().bytes)
        .sum();
    assert_eq!(imported.bytes[0], all);

    // Each day by itself: of rows of a day, of four hours, of an hour, of five minutes.
    for day in 0..9 {
        let from = at(FIRST) + day * 86_400;
        check(&store, from, from + 86_400);
        let points = store
            .reader()
            .series(Kind::As, &[2906], period(from, from + 86_400), &Links::Isp, Step::Day)
            .unwrap();
        let covered = if day == 4 { 79_200 } else { 86_400 };
        assert_eq!(points[0].covered, covered, "{day}");
        // The highest five minutes are known of no day that is told by longer rows.
        assert_eq!(points[0].peaks[0], None, "{day}");
    }
    for from in [at("2026-03-10T00:00:00Z"), at("2026-03-10T23:55:00Z"), at("2026-03-11T09:55:00Z")] {
        check(&store, from, from + 300);
    }
    assert_eq!(store.last_slot(), Some(at(END) / 300 - 1));
    // A slot that is counted now follows.
    store.append(&slot(at(END) / 300, &[(NO_AS, 5, 5)])).unwrap();
    assert_eq!(
        store.links().iter().map(|link| link.name.as_str()).collect::<Vec<_>>(),
        ["transit-a", "decix"]
    );
    assert_eq!(store.note("imported.until").unwrap().as_deref(), Some(END));
}

#[test]
fn what_was_counted_stays_as_it_is() {
    let directory = as_stats();
    let state = tempfile::tempdir().unwrap();
    let mut store = store(state.path(), "UTC");
    assert_eq!(store.link("decix", Role::Upstream, None).unwrap(), LinkNo(0));
    let since = at("2026-03-08T12:00:00Z");
    for number in since / 300..since / 300 + 20 {
        store.append(&slot(number, &[(2906, 1000, 10)])).unwrap();
    }
    let counted = period(since, since + 20 * 300);
    let before = by_subject(&store, Kind::As, counted, 0);

    let imported = import(directory.path(), &mut store);
    assert_eq!((imported.days, imported.slots), (7, 0));
    assert_eq!(imported.period, Some(period(at(FIRST), at("2026-03-08T00:00:00Z"))));
    assert_eq!(imported.cut_off.map(|since| since.as_second()), Some(since));
    assert_eq!(by_subject(&store, Kind::As, counted, 0), before);
    // The link that was there is the same one.
    let week = period(at(FIRST), at("2026-03-08T00:00:00Z"));
    let netflix = |store: &Store, link: u8| by_subject(store, Kind::As, week, link)[&2906];
    assert_eq!(netflix(&store, 0), expected(2906, at(FIRST), at("2026-03-08T00:00:00Z"), 1));
    assert_eq!(netflix(&store, 1), expected(2906, at(FIRST), at("2026-03-08T00:00:00Z"), 0));

    // Once more, nothing is left that is before what is there.
    let again = import(directory.path(), &mut store);
    assert_eq!((again.days, again.slots, again.period), (0, 0, None));
    assert_eq!(netflix(&store, 0), expected(2906, at(FIRST), at("2026-03-08T00:00:00Z"), 1));
}

#[test]
fn days_of_another_zone_have_the_same_sum() {
    let directory = as_stats();
    let state = tempfile::tempdir().unwrap();
    let mut store = store(state.path(), "America/New_York");
    let imported = import(directory.path(), &mut store);
    let all = period(at("2026-02-28T05:00:00Z"), at(END));
    for link in 0..2 {
        let sums = by_subject(&store, Kind::As, all, link);
        for asn in [2906, 65_000] {
            assert_eq!(sums[&asn], expected(asn, at(FIRST), at(END), usize::from(link)), "AS{asn}");
        }
    }
    // Summer time begins there on 8 March: midnight is at 5 and then at 4 o'clock. These days are told by hours.
    check(&store, at("2026-03-07T05:00:00Z"), at("2026-03-08T05:00:00Z"));
    check(&store, at("2026-03-08T05:00:00Z"), at("2026-03-09T04:00:00Z"));
    assert_eq!(imported.slots, (at(END) - at("2026-03-10T04:00:00Z")) as u64 / 300);
}

#[test]
fn one_link_of_two() {
    let directory = as_stats();
    let state = tempfile::tempdir().unwrap();
    let mut store = store(state.path(), "UTC");
    let stats = AsStats::read(directory.path(), links().split_off(1), |_, _| {}).unwrap();
    write(&stats, &mut store, &Groups::builtin().unwrap(), END.parse().unwrap(), |_, _| {}).unwrap();
    let sums = by_subject(&store, Kind::As, period(at(FIRST), at(END)), 0);
    assert_eq!(sums[&2906], expected(2906, at(FIRST), at(END), 1));
}

#[test]
fn bad_directories_and_links() {
    let refused =
        |directory: &Path, links| AsStats::read(directory, links, |_, _| {}).unwrap_err().to_string();
    let nowhere = Path::new("/nonexistent");
    assert!(refused(nowhere, links()).starts_with("cannot read /nonexistent: "));
    let empty = tempfile::tempdir().unwrap();
    assert!(refused(empty.path(), links()).starts_with("there are no databases in "));
    fs::write(empty.path().join("42.rrd"), "no database").unwrap();
    let error = refused(empty.path(), links());
    assert!(error.starts_with("none of the 1 databases could be read; the first: "), "{error}");

    let directory = as_stats();
    let link = LinkChoice { tag: "level3".to_owned(), name: "level3".to_owned() };
    assert_eq!(refused(directory.path(), vec![link]), "AS-Stats has no link `level3`; it has cogent, decix");

    // One database that is damaged does not hold up the others.
    fs::write(directory.path().join("5a/99999.rrd"), "RRD\0 cut").unwrap();
    let stats = read(directory.path());
    assert_eq!(stats.skipped.len(), 1);
    assert!(stats.skipped[0].file.ends_with("5a/99999.rrd"), "{:?}", stats.skipped);
    assert_eq!(stats.ases.iter().map(|known| known.0).collect::<Vec<_>>(), [2906, 65_000]);
}
