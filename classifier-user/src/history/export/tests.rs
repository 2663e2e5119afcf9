use std::{collections::BTreeMap, path::Path};

use ::parquet::{
    file::reader::{FileReader as _, SerializedFileReader},
    record::Field,
};
use jiff::tz::TimeZone;

use super::{csv::CsvSink, parquet::ParquetSink, *};
use crate::{
    history::{
        ClosedSlot, LinkNo, Links, Row,
        store::{Options, Store},
        testing::{Known, begins, slot, upstream},
    },
    model::{Counter, LinkKind},
};

/// 2026-03-27 00:00 UTC: the clocks of Paris go forward two days later.
const FIRST: i64 = 5_915_232;
const DAY: i64 = 288;

/// Five days on two links, with a gap of an hour.
fn filled(dir: &Path) -> (Store, Known) {
    let zone = TimeZone::get("Europe/Paris").unwrap();
    let mut store = Store::open(dir, Options::new(zone.clone(), "r1")).unwrap().store;
    store.link("transit, a", Role::Upstream, Some(LinkKind::Transit)).unwrap();
    store.link("ix", Role::Upstream, Some(LinkKind::Ix)).unwrap();
    let mut known = Known::new(vec![upstream(0, "transit, a"), upstream(1, "ix")], zone);
    let prefixes = ["192.0.2.0/24", "2001:db8::/32"]
        .map(|prefix| super::super::StoredPrefix { prefix: prefix.parse().unwrap(), asn: 2906 });
    assert_eq!(store.prefixes(&prefixes).unwrap(), [0, 1]);
    assert_eq!(store.group("netflix").unwrap(), 0);
    known.prefixes = prefixes.to_vec();
    known.groups = vec!["netflix".to_owned()];
    for number in (FIRST..FIRST + 5 * DAY).filter(|number| !(FIRST + 400..FIRST + 412).contains(number)) {
        let n = number as u64 % 97;
        let mut closed: ClosedSlot = slot(number, &[(0, n, 1), (2906, 1000 + n, 50), (15169, n * n, n)]);
        let sample =
            Sample { ipv4: Counter { packets: 2, bytes: 200 + n }, ipv6: Counter { packets: 1, bytes: 70 } };
        let row =
            |kind, subject, link| Row { kind, subject, link: LinkNo(link), direction: Direction::In, sample };
        let ways = [row(Kind::Neighbor, 3356, 0), row(Kind::Transit, 1299, 1)];
        closed.rows.extend([row(Kind::As, 2906, 1), row(Kind::Group, 0, 0), row(Kind::Prefix, 1, 0)]);
        closed.rows.extend(ways);
        closed.rows.sort_by_key(Row::key);
        store.append(&closed).unwrap();
        known.push(closed);
    }
    (store, known)
}

fn csv(reader: &Reader, request: &Request, names: Option<&Names>) -> String {
    let mut text = Vec::new();
    let mut sink = CsvSink::new(&mut text, &request.columns(names.is_some())).unwrap();
    export(reader, request, names, &mut sink, |_, _| {}).unwrap();
    sink.finish().unwrap();
    String::from_utf8(text).unwrap()
}

fn period(from: &str, to: &str) -> Period {
    Period { from: from.parse().unwrap(), to: to.parse().unwrap() }
}

/// By (from, to, link, direction, asn): what the CSV has, once each.
fn rows(csv: &str) -> BTreeMap<[String; 5], [u64; 5]> {
    let mut reader = ::csv::Reader::from_reader(csv.as_bytes());
    let mut rows = BTreeMap::new();
    for record in reader.records() {
        let record = record.unwrap();
        let text = |place: usize| record[place].to_owned();
        let number = |place: usize| record[place].parse::<u64>().unwrap();
        let key = [text(0), text(1), text(3), text(5), text(6)];
        let values = [number(2), number(7), number(8), number(9), number(10)];
        assert_eq!(rows.insert(key.clone(), values), None, "{key:?}");
    }
    rows
}

#[test]
fn every_step_has_what_is_known_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let (store, known) = filled(dir.path());
    let reader = store.reader();
    let period = period("2026-03-28T10:07:00Z", "2026-03-30T03:02:00Z");
    for step in [Step::Slot, Step::Hour, Step::Day] {
        let request = Request { by: By::As, step, period };
        let got = rows(&csv(&reader, &request, None));
        let mut expected = BTreeMap::new();
        for link in &known.links {
            let links = Links::Only(vec![link.number]);
            for asn in [0, 2906, 15169] {
                for point in known.series(Kind::As, &[asn], period, &links, step).unwrap() {
                    for direction in Direction::ALL {
                        let Sample { ipv4, ipv6 } = point.samples[direction as usize];
                        if ipv4 + ipv6 == Counter::default() {
                            continue;
                        }
                        let key = [
                            point.period.from.to_string(),
                            point.period.to.to_string(),
                            link.name.clone(),
                            direction.to_string(),
                            asn.to_string(),
                        ];
                        let covered = u64::from(point.covered);
                        expected.insert(key, [covered, ipv4.packets, ipv4.bytes, ipv6.packets, ipv6.bytes]);
                    }
                }
            }
        }
        assert_eq!(got, expected, "{step:?}");
    }
    // The day whose night is an hour shorter, and in the day before the gap.
    let days = csv(&reader, &Request { by: By::As, step: Step::Day, period }, None);
    assert!(days.contains("2026-03-28T23:00:00Z,2026-03-29T22:00:00Z,82800,ix,upstream,in,2906,"), "{days}");
    assert!(days.contains("2026-03-27T23:00:00Z,2026-03-28T23:00:00Z,82800,ix,upstream,in,2906,"), "{days}");
}

#[test]
fn the_other_subjects_and_names() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = filled(dir.path());
    let reader = store.reader();
    let period = Period { from: begins(FIRST), to: begins(FIRST + 1) };
    let text = |by, names| csv(&reader, &Request { by, step: Step::Slot, period }, names);
    let head = "from,to,covered_seconds,link,role,direction,";
    let tail = "packets_ipv4,bytes_ipv4,packets_ipv6,bytes_ipv6\n";
    let when = "2026-03-27T00:00:00Z,2026-03-27T00:05:00Z,300,";
    let n = FIRST as u64 % 97;
    assert_eq!(
        text(By::Group, None),
        format!("{head}group,{tail}{when}\"transit, a\",upstream,in,netflix,2,{},1,70\n", 200 + n)
    );
    let mut names = Names::default();
    names.insert(2906, "Netflix");
    let prefix = format!("2001:db8::/32,2906,Netflix,2,{},1,70\n", 200 + n);
    assert_eq!(
        text(By::Prefix, Some(&names)),
        format!("{head}prefix,asn,name,{tail}{when}\"transit, a\",upstream,in,{prefix}")
    );
    let links = text(By::Link, Some(&names));
    assert!(links.starts_with(&format!("{head}part,{tail}{when}\"transit, a\",upstream,in,ip,")), "{links}");
    let ases = text(By::As, Some(&names));
    assert!(ases.contains(&format!(",in,2906,Netflix,2,{},0,0\n", 1000 + n)), "{ases}");
    assert!(ases.contains(",out,0,,1,1,0,0\n"), "{ases}");
    let numbers = format!("2,{},1,70\n", 200 + n);
    let way = |asn: u32, link: &str| format!("{head}asn,{tail}{when}{link},upstream,in,{asn},{numbers}");
    assert_eq!(text(By::Neighbor, None), way(3356, "\"transit, a\""));
    assert_eq!(text(By::Transit, None), way(1299, "ix"));
}

#[test]
fn nothing_there_is_a_header() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = filled(dir.path());
    for period in [
        period("2020-01-01T00:00:00Z", "2020-02-01T00:00:00Z"),
        period("2027-01-01T00:00:00Z", "2027-02-01T00:00:00Z"),
    ] {
        let request = Request { by: By::Link, step: Step::Day, period };
        assert_eq!(csv(&store.reader(), &request, None).lines().count(), 1);
    }
    let empty = tempfile::tempdir().unwrap();
    let store = Store::open(empty.path(), Options::new(TimeZone::UTC, "r1")).unwrap().store;
    let request = Request {
        by: By::As,
        step: Step::Slot,
        period: period("2020-01-01T00:00:00Z", "2027-02-01T00:00:00Z"),
    };
    assert_eq!(csv(&store.reader(), &request, None).lines().count(), 1);
}

#[test]
fn parquet_has_what_csv_has() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = filled(dir.path());
    let mut names = Names::default();
    names.insert(2906, "Netflix");
    let request = Request {
        by: By::As,
        step: Step::Hour,
        period: Period { from: begins(FIRST), to: begins(FIRST + DAY) },
    };
    let mut file = tempfile::tempfile().unwrap();
    let mut sink = ParquetSink::new(&mut file, &request.columns(true)).unwrap();
    export(&store.reader(), &request, Some(&names), &mut sink, |_, _| {}).unwrap();
    sink.finish().unwrap();

    let reader = SerializedFileReader::new(file).unwrap();
    let mut lines = Vec::new();
    for row in reader.get_row_iter(None).unwrap() {
        let row = row.unwrap();
        let fields: Vec<String> = row
            .get_column_iter()
            .map(|(_, field)| match field {
                Field::TimestampMillis(time) => Timestamp::from_millisecond(*time).unwrap().to_string(),
                Field::Long(number) => number.to_string(),
                Field::Str(text) if text.contains(',') => format!("\"{text}\""),
                Field::Str(text) => text.clone(),
                Field::Null => String::new(),
                other => panic!("{other}"),
            })
            .collect();
        lines.push(fields.join(","));
    }
    let csv = csv(&store.reader(), &request, Some(&names));
    let csv: Vec<&str> = csv.lines().collect();
    let schema = reader.metadata().file_metadata().schema_descr();
    let header: Vec<&str> = schema.columns().iter().map(|column| column.name()).collect();
    assert_eq!(header.join(","), csv[0]);
    assert_eq!(lines, csv[1..]);
    assert!(lines.len() > 100);
}

#[test]
fn more_rows_than_a_row_group_has() {
    let columns = [Column::Asn, Column::Name];
    let mut file = tempfile::tempfile().unwrap();
    let mut sink = ParquetSink::new(&mut file, &columns).unwrap();
    let count = (1 << 17) + 5;
    for number in 0..count {
        let name = if number % 3 == 0 { Value::None } else { Value::Text("name") };
        sink.row(&[Value::Number(number), name]).unwrap();
    }
    sink.finish().unwrap();
    let reader = SerializedFileReader::new(file).unwrap();
    let rows = reader.get_row_iter(None).unwrap().map(Result::unwrap);
    let mut sum = 0;
    for (number, row) in rows.enumerate() {
        let fields: Vec<Field> = row.get_column_iter().map(|(_, field)| field.clone()).collect();
        let name = if number % 3 == 0 { Field::Null } else { Field::Str("name".to_owned()) };
        assert_eq!(fields, [Field::Long(number as i64), name]);
        sum += 1;
    }
    assert_eq!((sum, reader.num_row_groups()), (count, 2));
}
