use super::*;
use crate::ingest::{LoadOptions, TableSpec, load};

/// An MRT record.
fn record(kind: u16, subtype: u16, body: &[u8]) -> Vec<u8> {
    let mut bytes = 1_781_654_400u32.to_be_bytes().to_vec();
    bytes.extend(kind.to_be_bytes());
    bytes.extend(subtype.to_be_bytes());
    bytes.extend((body.len() as u32).to_be_bytes());
    bytes.extend(body);
    bytes
}

/// A peer index table (RFC 6396, section 4.3.1) of IPv4 peers with 32-bit AS numbers.
fn peers(asns: &[u32]) -> Vec<u8> {
    let mut body = vec![192, 0, 2, 1, 0, 0];
    body.extend((asns.len() as u16).to_be_bytes());
    for (place, asn) in asns.iter().enumerate() {
        body.extend([2, 10, 0, 0, place as u8, 10, 0, 0, place as u8]);
        body.extend(asn.to_be_bytes());
    }
    record(13, 1, &body)
}

/// Segments of an AS path: type and ASes.
type Path_<'a> = &'a [(u8, &'a [u32])];

fn attributes(path: Path_<'_>) -> Vec<u8> {
    // ORIGIN, then AS_PATH with extended length, then a community.
    let mut value = Vec::new();
    for (kind, asns) in path {
        value.extend([*kind, asns.len() as u8]);
        value.extend(asns.iter().flat_map(|asn| asn.to_be_bytes()));
    }
    let mut bytes = vec![0x40, 1, 1, 0, 0x50, 2];
    bytes.extend((value.len() as u16).to_be_bytes());
    bytes.extend(value);
    bytes.extend([0xc0, 8, 4, 0xfb, 0xf0, 0, 1]);
    bytes
}

/// A RIB record with an entry a path, from peers 0, 1, …
fn rib(subtype: u16, length: u8, prefix: &[u8], paths: &[Path_<'_>]) -> Vec<u8> {
    let mut body = vec![0, 0, 0, 7, length];
    body.extend(prefix);
    body.extend((paths.len() as u16).to_be_bytes());
    for (peer, path) in paths.iter().enumerate() {
        body.extend((peer as u16).to_be_bytes());
        body.extend([0, 0, 0, 1]);
        if subtype >= 8 {
            body.extend([0, 0, 0, 42]);
        }
        let attributes = attributes(path);
        body.extend((attributes.len() as u16).to_be_bytes());
        body.extend(attributes);
    }
    record(13, subtype, &body)
}

fn read_with(bytes: &[u8], skip_bad_lines: bool) -> Result<SourceTable, IngestError> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rib");
    std::fs::write(&path, bytes).unwrap();
    load(&TableSpec::File(path), &LoadOptions { skip_bad_lines }, &mut |_| {})
}

fn read(records: &[Vec<u8>]) -> SourceTable {
    read_with(&records.concat(), false).unwrap()
}

fn error(records: &[Vec<u8>]) -> String {
    let error = read_with(&records.concat(), false).unwrap_err().to_string();
    let place = error.find("/rib").unwrap();
    error[place + 1..].to_owned()
}

fn routes(table: &SourceTable) -> Vec<(String, Vec<Asn>)> {
    table.routes.iter().map(|(prefix, origins)| (prefix.to_string(), origins.all().to_vec())).collect()
}

const SEQUENCE: u8 = 2;
const SET: u8 = 1;
const CONFEDERATION: u8 = 3;

#[test]
fn both_families_with_and_without_additional_paths() {
    let table = read(&[
        peers(&[64496, 64497]),
        rib(2, 8, &[10], &[&[(SEQUENCE, &[64496, 65000, 100])], &[(SEQUENCE, &[64497, 100])]]),
        rib(4, 32, &[0x20, 1, 0xd, 0xb8], &[&[(SEQUENCE, &[64496, 4_200_000_000])]]),
        rib(8, 24, &[192, 0, 2], &[&[(SEQUENCE, &[64496, 300])]]),
        rib(10, 36, &[0x20, 1, 0xd, 0xb8, 0x10], &[&[(SEQUENCE, &[64496, 400])]]),
        rib(2, 0, &[], &[&[(SEQUENCE, &[64496])]]),
    ]);
    assert_eq!(
        routes(&table),
        [
            ("0.0.0.0/0".into(), vec![64496]),
            ("10.0.0.0/8".into(), vec![100]),
            ("192.0.2.0/24".into(), vec![300]),
            ("2001:db8::/32".into(), vec![4_200_000_000]),
            ("2001:db8:1000::/36".into(), vec![400]),
        ]
    );
    assert_eq!((table.kind, table.report.lines), (Format::Mrt, 6));
    assert_eq!(table.date.unwrap().to_string(), "2026-06-17T00:00:00Z");
    assert_eq!(table.report.notices, [Notice::DefaultRoute(Family::Ipv4)]);
}

#[test]
fn the_origin_that_most_entries_name_is_chosen() {
    let one: Path_<'_> = &[(SEQUENCE, &[1, 100])];
    let two: Path_<'_> = &[(SEQUENCE, &[1, 200])];
    let three: Path_<'_> = &[(SEQUENCE, &[1, 300])];
    let table = read(&[peers(&[64496; 6]), rib(2, 8, &[10], &[one, three, two, three, two, three])]);
    assert_eq!(routes(&table), [("10.0.0.0/8".into(), vec![300, 200, 100])]);
    // As often: the first one.
    let table = read(&[peers(&[64496; 6]), rib(2, 8, &[10], &[three, one, one, three])]);
    assert_eq!(routes(&table), [("10.0.0.0/8".into(), vec![300, 100])]);
    // A prefix in two records.
    let table = read(&[peers(&[64496]), rib(2, 8, &[10], &[three]), rib(2, 8, &[10], &[one])]);
    assert_eq!(routes(&table), [("10.0.0.0/8".into(), vec![300, 100])]);
}

#[test]
fn sets_confederations_and_empty_paths() {
    let table = read(&[
        peers(&[64496, 0]),
        // A set behind plain origins, though three entries of four have it.
        rib(
            2,
            8,
            &[10],
            &[
                &[(SEQUENCE, &[1, 2]), (SET, &[9, 7])],
                &[(SEQUENCE, &[1]), (SET, &[7, 8])],
                &[(SEQUENCE, &[1, 5])],
            ],
        ),
        rib(2, 8, &[11], &[&[(SEQUENCE, &[1, 2]), (SET, &[6])]]),
        rib(2, 8, &[12], &[&[(SEQUENCE, &[1, 2]), (CONFEDERATION, &[65000])]]),
        rib(2, 8, &[13], &[&[], &[]]),
        rib(2, 8, &[14], &[&[(SEQUENCE, &[])]]),
    ]);
    assert_eq!(
        routes(&table),
        [
            ("10.0.0.0/8".into(), vec![5, 7, 8, 9]),
            ("11.0.0.0/8".into(), vec![6]),
            ("12.0.0.0/8".into(), vec![2]),
            ("13.0.0.0/8".into(), vec![64496]),
            ("14.0.0.0/8".into(), vec![64496]),
        ]
    );
    assert_eq!(table.report.as_sets, 2);
    assert_eq!(table.report.notices, [Notice::NoOrigin { count: 1 }, Notice::AsSets { count: 2 }]);
}

#[test]
fn other_records_and_bits_behind_the_prefix() {
    let path: Path_<'_> = &[(SEQUENCE, &[1])];
    let table = read(&[
        peers(&[64496]),
        rib(3, 8, &[239], &[path]),
        record(13, 6, &[0; 20]),
        // RFC 4271: trailing bits are irrelevant.
        rib(2, 12, &[10, 0x1f], &[path]),
    ]);
    assert_eq!(routes(&table), [("10.16.0.0/12".into(), vec![1])]);
    assert_eq!(table.report.notices, [Notice::OtherRecords { count: 2 }]);
}

#[test]
fn what_is_wrong_is_named() {
    let path: Path_<'_> = &[(SEQUENCE, &[1])];
    let good = rib(2, 8, &[10], &[path]);
    let table = [peers(&[64496]), good.clone(), good.clone()].concat();
    let short = |by: usize| error(&[table[..table.len() - by].to_vec()]);
    for by in [1, 20, good.len() - 1] {
        let cut = "rib: MRT record 3: the file ends in the middle of the record: it was cut, fetch it again";
        assert_eq!(short(by), cut);
    }
    let cut_body = |by: usize| {
        let body = &good[12..good.len() - by];
        error(&[peers(&[64496]), record(13, 2, body)])
    };
    assert_eq!(cut_body(1), "rib: MRT record 2: an entry's attributes goes beyond the end of the record");
    assert_eq!(
        cut_body(good.len() - 12 - 2),
        "rib: MRT record 2: the sequence number goes beyond the end of the record"
    );
    // Whose route it is matters only where the path is empty.
    assert_eq!(read(std::slice::from_ref(&good)).routes.len(), 1);
    assert_eq!(
        error(&[rib(2, 8, &[10], &[&[]])]),
        "rib: MRT record 1: RIB entries before the peer index table"
    );
    assert_eq!(
        error(&[peers(&[1]), rib(2, 33, &[10, 0, 0, 0, 0], &[path])]),
        "rib: MRT record 2: a prefix of 33 bits"
    );
    assert_eq!(
        error(&[peers(&[1]), rib(2, 8, &[10], &[path, &[]])]),
        "rib: MRT record 2: peer 1 is not in the peer index table"
    );
    assert_eq!(
        error(&[peers(&[1])]),
        "rib: there is no route in this file: it is empty, or has comments only"
    );
    let needed = "a RIB dump (TABLE_DUMP_V2) is needed, as in files called `rib.*` or `bview.*`";
    assert_eq!(
        error(&[record(16, 4, &[0; 40])]),
        format!("rib: MRT record 1: this is a file of BGP updates; {needed}")
    );
    assert_eq!(
        error(&[record(12, 1, &[0; 40])]),
        format!("rib: MRT record 1: this is a dump in the old TABLE_DUMP format; {needed}")
    );

    // A bad record can be left out, a cut file cannot.
    let bad = rib(2, 33, &[10, 0, 0, 0, 0], &[path]);
    let left = read_with(&[peers(&[1]), bad, good.clone()].concat(), true).unwrap();
    assert_eq!((left.routes.len(), left.report.bad_lines), (1, 1));
    assert!(matches!(
        read_with(&table[..table.len() - 1], true),
        Err(IngestError::Mrt { problem: MrtProblem::Cut, record: 3, .. })
    ));
    assert!(!is_mrt(b"1.0.0.0,1.0.0.255,1"));
}

#[test]
fn an_attribute_that_lies_about_its_length() {
    let path: Path_<'_> = &[(SEQUENCE, &[1])];
    let mut lies = rib(2, 8, &[10], &[path]);
    // The count of ASes in the segment: header 12, sequence 4, length 1, prefix 1, count 2, entry 8, ORIGIN 4,
    // AS_PATH's own header 4, segment type 1.
    lies[12 + 4 + 1 + 1 + 2 + 8 + 4 + 4 + 1] = 200;
    assert_eq!(
        error(&[peers(&[1]), lies]),
        "rib: MRT record 2: an AS path segment goes beyond the end of the record"
    );
}
