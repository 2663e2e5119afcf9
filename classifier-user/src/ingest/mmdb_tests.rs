use super::*;
use crate::ingest::{TableSpec, load};

/// A value of the data section (MaxMind DB file format 2.0).
enum Value<'a> {
    Text(&'a str),
    U16(u64),
    U32(u64),
    U64(u64),
    Map(Vec<(&'a str, Value<'a>)>),
}

fn put(out: &mut Vec<u8>, value: &Value<'_>) {
    let header = |out: &mut Vec<u8>, kind: u8, size: usize| {
        assert!(size < 285);
        let (low, more) = if size < 29 { (size as u8, None) } else { (29, Some((size - 29) as u8)) };
        if kind < 8 {
            out.push(kind << 5 | low);
        } else {
            out.extend([low, kind - 7]);
        }
        out.extend(more);
    };
    match value {
        Value::Text(text) => {
            header(out, 2, text.len());
            out.extend(text.as_bytes());
        }
        Value::U16(number) | Value::U32(number) | Value::U64(number) => {
            let kind = match value {
                Value::U16(_) => 5,
                Value::U32(_) => 6,
                _ => 9,
            };
            let bytes = number.to_be_bytes();
            let bytes = &bytes[number.leading_zeros() as usize / 8..];
            header(out, kind, bytes.len());
            out.extend(bytes);
        }
        Value::Map(entries) => {
            header(out, 7, entries.len());
            for (key, value) in entries {
                put(out, &Value::Text(key));
                put(out, value);
            }
        }
    }
}

/// A database of IPv6 networks (IPv4 in ::/96), each with a record.
fn database(networks: &[(&str, Value<'_>)]) -> Vec<u8> {
    // Nodes: two records each. `None` is no data yet; `Ok` a node, `Err` a place in the data section.
    let mut nodes: Vec<[Option<Result<usize, usize>>; 2]> = vec![[None; 2]];
    let mut data = Vec::new();
    for (network, value) in networks {
        let prefix: Prefix = network.parse().unwrap();
        let (bits, length) = match prefix {
            Prefix::V4(net) => (u128::from(net.network_address().to_bits()), net.netmask() + 96),
            Prefix::V6(net) => (net.network_address().to_bits(), net.netmask()),
        };
        let place = data.len();
        put(&mut data, value);
        let mut node = 0;
        for depth in 0..length {
            let side = (bits >> (127 - depth) & 1) as usize;
            if depth + 1 == length {
                nodes[node][side] = Some(Err(place));
            } else {
                node = match nodes[node][side] {
                    Some(Ok(next)) => next,
                    _ => {
                        nodes.push([None; 2]);
                        let next = nodes.len() - 1;
                        nodes[node][side] = Some(Ok(next));
                        next
                    }
                };
            }
        }
    }
    let count = nodes.len();
    let mut bytes = Vec::new();
    for record in nodes.iter().flatten() {
        let number = match record {
            None => count,
            Some(Ok(node)) => *node,
            Some(Err(place)) => count + 16 + place,
        };
        bytes.extend((number as u32).to_be_bytes());
    }
    bytes.extend([0; 16]);
    bytes.extend(data);
    bytes.extend(MARKER);
    let mut metadata = Vec::new();
    put(
        &mut metadata,
        &Value::Map(vec![
            ("binary_format_major_version", Value::U16(2)),
            ("binary_format_minor_version", Value::U16(0)),
            ("build_epoch", Value::U64(1_781_654_400)),
            ("database_type", Value::Text("Test-ASN")),
            ("description", Value::Map(vec![("en", Value::Text("Test"))])),
            ("ip_version", Value::U16(6)),
            ("node_count", Value::U32(count as u64)),
            ("record_size", Value::U16(32)),
        ]),
    );
    // `languages` is an array: none, so its header alone, and one more entry in the map.
    metadata[0] += 1;
    put(&mut metadata, &Value::Text("languages"));
    metadata.extend([0, 4]);
    bytes.extend(metadata);
    bytes
}

fn read(bytes: &[u8], skip_bad_lines: bool) -> Result<SourceTable, IngestError> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("asn.mmdb");
    std::fs::write(&path, bytes).unwrap();
    load(&TableSpec::File(path), &LoadOptions { skip_bad_lines }, &mut |_| {})
}

fn error(bytes: &[u8]) -> String {
    let error = read(bytes, false).unwrap_err().to_string();
    error[error.find("/asn.mmdb").unwrap() + 1..].to_owned()
}

fn geolite(number: u64, name: &str) -> Value<'_> {
    Value::Map(vec![
        ("autonomous_system_number", if number >> 32 == 0 { Value::U32(number) } else { Value::U64(number) }),
        ("autonomous_system_organization", Value::Text(name)),
    ])
}

fn ipinfo<'a>(asn: &'a str, key: &'a str, name: &'a str) -> Value<'a> {
    Value::Map(vec![
        ("asn", Value::Text(asn)),
        ("domain", Value::Text("example.com")),
        (key, Value::Text(name)),
        ("route", Value::Text("192.0.2.0/24")),
    ])
}

fn routes(table: &SourceTable) -> Vec<(String, Asn)> {
    table.routes.iter().map(|(prefix, origins)| (prefix.to_string(), origins.chosen())).collect()
}

#[test]
fn maxminds_and_ipinfos_keys() {
    let table = read(
        &database(&[
            ("1.0.0.0/24", geolite(13335, "CLOUDFLARENET")),
            ("8.8.8.0/24", ipinfo("AS15169", "name", "Google LLC")),
            (
                "2001:db8::/32",
                ipinfo("AS4200000000", "as_name", "Somebody with a name of more than twenty-nine bytes"),
            ),
            ("192.0.2.0/25", ipinfo("", "name", "")),
            ("192.0.2.128/25", Value::Map(vec![("asn", Value::U16(7))])),
        ]),
        false,
    )
    .unwrap();
    assert_eq!(
        routes(&table),
        [
            ("1.0.0.0/24".into(), 13335),
            ("8.8.8.0/24".into(), 15169),
            ("192.0.2.128/25".into(), 7),
            ("2001:db8::/32".into(), 4_200_000_000)
        ]
    );
    assert_eq!(table.kind, Format::Mmdb);
    assert_eq!((table.names.get(13335), table.names.get(15169)), (Some("CLOUDFLARENET"), Some("Google LLC")));
    assert_eq!(table.names.get(4_200_000_000), Some("Somebody with a name of more than twenty-nine bytes"));
    assert_eq!(table.date.unwrap().to_string(), "2026-06-17T00:00:00Z");
    assert_eq!(table.report.lines, 5);
}

#[test]
fn what_is_wrong_is_named() {
    let good = ("1.0.0.0/24", geolite(13335, "CLOUDFLARENET"));
    let large = database(&[("10.0.0.0/8", geolite(1 << 32, "x")), good]);
    assert_eq!(error(&large), "asn.mmdb: 10.0.0.0/8: AS number 4294967296 is over 32 bits");
    let left = read(&large, true).unwrap();
    assert_eq!((routes(&left), left.report.bad_lines), (vec![("1.0.0.0/24".into(), 13335)], 1));
    assert_eq!(
        error(&database(&[("10.0.0.0/8", ipinfo("ASX", "name", "x"))])),
        "asn.mmdb: 10.0.0.0/8: `ASX` is no AS number"
    );
    assert_eq!(
        error(&database(&[("10.0.0.0/8", Value::Map(vec![("country", Value::Text("FR"))]))])),
        "asn.mmdb: this mmdb database (Test-ASN) has no AS numbers: neither `autonomous_system_number` nor `asn`"
    );
    // Cut: the metadata is at the end.
    let whole = database(&[("10.0.0.0/8", geolite(1, "x"))]);
    assert!(error(&whole[..whole.len() / 2]).starts_with("asn.mmdb: this is no table that can be read"));
    let damaged = error(&whole[..whole.len() - 30]);
    assert!(damaged.starts_with("asn.mmdb: not a readable mmdb database: "), "{damaged}");
}
