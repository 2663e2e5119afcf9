use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn about() -> About {
    About {
        date: "2026-06-17".parse().unwrap(),
        source: "made up".into(),
        attribution: "CC BY 4.0: somebody".into(),
    }
}

fn roundtrip(routes: &[(Prefix, Origins)], names: &Names) -> SourceTable {
    table(&encode(routes, names, &about()).unwrap(), "test".into()).unwrap()
}

#[test]
fn the_header_is_plain_text() {
    let bytes = encode(&[], &Names::default(), &about()).unwrap();
    let header = "date: 2026-06-17\nsource: made up\nattribution: CC BY 4.0: somebody\n";
    assert_eq!(bytes[..8], MAGIC);
    assert_eq!(bytes[8..10], (header.len() as u16).to_be_bytes());
    assert_eq!(&bytes[10..10 + header.len()], header.as_bytes());
    assert_eq!(super::about(&bytes).unwrap(), about());
    let table = table(&bytes, "test".into()).unwrap();
    assert_eq!(table.date.unwrap().to_string(), "2026-06-17T00:00:00Z");
    let broken = About { source: "two\nlines".into(), ..about() };
    assert!(matches!(encode(&[], &Names::default(), &broken), Err(BuildError::About("the source"))));
}

#[test]
fn the_ends_of_the_address_space() {
    let mut routes: Vec<(Prefix, Origins)> = [
        "0.0.0.0/0",
        "0.0.0.0/32",
        "255.255.255.255/32",
        "128.0.0.0/1",
        "::/0",
        "::/128",
        "8000::/1",
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128",
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/127",
        "2001:db8::/32",
    ]
    .into_iter()
    .zip(1u32..)
    .map(|(prefix, asn)| (prefix.parse().unwrap(), asn.into()))
    .collect();
    routes.sort_by_key(|(prefix, _)| *prefix);
    assert_eq!(roundtrip(&routes, &Names::default()).routes, routes);
}

#[test]
fn damage_is_seen() {
    let routes: Vec<(Prefix, Origins)> = (0u32..1000)
        .map(|i| (cidr::prefix(Family::Ipv4, u128::from(i) << 10, 24).unwrap(), (i % 97 + 1).into()))
        .collect();
    let mut names = Names::default();
    names.insert(5, "Five");
    let bytes = encode(&routes, &names, &about()).unwrap();
    assert_eq!(table(&bytes, "t".into()).unwrap().routes, routes);
    // No cut and no changed byte goes unseen, except in the text of the header.
    for end in 0..bytes.len() {
        assert!(table(&bytes[..end], "t".into()).is_err(), "cut at {end}");
    }
    let body = 10 + usize::from(bytes[9]);
    for place in (0..8).chain(body..bytes.len()) {
        let mut damaged = bytes.clone();
        damaged[place] ^= 0x10;
        // A flag of zstd's frame header may change without changing the content.
        if let Ok(table) = table(&damaged, "t".into()) {
            assert_eq!(table.routes, routes, "byte {place}");
        }
    }
}

#[test]
fn bodies_that_lie() {
    let body = |content: &[u8]| {
        decode_body(&zstd::encode_all(content, 1).unwrap()).map(|_| ()).unwrap_err().to_string()
    };
    let says = |what: &str| format!("its body contradicts itself: {what}");
    // Counts beyond what is there.
    assert_eq!(body(&[0xff, 0xff, 0xff, 0x7f]), says("the number of origins"));
    assert_eq!(body(&[1, 0x80]), says("the number of origins"));
    assert_eq!(body(&[0, 100, 24]), says("the number of routes"));
    // One origin AS1, one route: a length of 33, a gap beyond the end, an origin that is not there.
    assert_eq!(body(&[1, 1, 1, 1, 33, 0, 0, 0, 0]), says("a length"));
    assert_eq!(body(&[1, 1, 1, 1, 1, 4, 0, 0, 0]), says("a gap"));
    assert_eq!(body(&[1, 1, 1, 1, 1, 2, 1, 0, 0]), says("an origin"));
    // Not ascending: /1 at 0, then a gap of -1.
    assert_eq!(body(&[1, 1, 1, 2, 1, 1, 0, 1, 0, 0, 0, 0]), says("the order of the prefixes"));
    assert_eq!(body(&[0, 0, 0, 0, 9]), says("more than there should be"));
    assert_eq!(body(&[0, 0, 0, 1, 1, 5, b'x']), says("a name"));
}

#[test]
fn a_table_that_has_well_known_networks_wrong_is_not_taken() {
    let table = SourceTable {
        name: "t".into(),
        kind: Format::Mrt,
        date: None,
        routes: vec![("8.8.8.0/24".parse().unwrap(), 15169.into())],
        names: Names::default(),
        report: LoadReport::default(),
    };
    let error = build(vec![table], &about()).unwrap_err().to_string();
    assert!(
        error.starts_with(
            "the table is not good enough to be built in: 24 of 24 well-known networks are wrong: 8.8.8.8 is AS15169 \
             (google), the table says AS15169 without a name; "
        ),
        "{error}"
    );
}

fn any_prefix() -> impl Strategy<Value = Prefix> {
    prop_oneof![
        (any::<u32>(), 0..=32u8).prop_map(|(bits, length)| Prefix::new_truncate(
            std::net::Ipv4Addr::from_bits(bits),
            length
        )
        .unwrap()),
        (any::<u128>(), 0..=128u8).prop_map(|(bits, length)| Prefix::new_truncate(
            std::net::Ipv6Addr::from_bits(bits),
            length
        )
        .unwrap()),
        // Close together and nested.
        (0u32..256, 20..=32u8).prop_map(|(bits, length)| Prefix::new_truncate(
            std::net::Ipv4Addr::from_bits(bits << 4),
            length
        )
        .unwrap()),
    ]
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(
        routes in proptest::collection::btree_map(
            any_prefix(),
            proptest::collection::vec(any::<u32>(), 1..4).prop_map(|asns| Origins::from_list(&asns).unwrap()),
            0..60,
        ),
        named in proptest::collection::btree_map(any::<u32>(), "\\PC{0,20}", 0..20),
    ) {
        let routes: Vec<_> = routes.into_iter().collect();
        let mut names = Names::default();
        for (asn, name) in &named {
            names.insert(*asn, name);
        }
        let table = roundtrip(&routes, &names);
        prop_assert_eq!(table.routes, routes);
        let decoded: BTreeMap<Asn, String> = table.names.iter().map(|(asn, name)| (asn, name.to_owned())).collect();
        prop_assert_eq!(decoded, named);
    }

    #[test]
    fn garbage_is_an_error_and_no_panic(content in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode_body(&zstd::encode_all(content.as_slice(), 1).unwrap());
        let _ = table(&content, "t".into());
    }
}
