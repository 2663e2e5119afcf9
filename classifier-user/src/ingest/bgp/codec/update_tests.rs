use std::sync::Arc;

use proptest::prelude::*;

use super::{
    Families,
    attributes::Fault,
    fixtures::*,
    update::{Contents, Context, Decoder, MAX_PATH},
};
use crate::{
    ingest::live::{Attributes, Route},
    model::Family,
};

const EXTERNAL: Context = Context {
    four_octet: true,
    internal: false,
    families: Families::BOTH,
    add_path: Families { ipv4: false, ipv6: false },
};
const INTERNAL: Context = Context { internal: true, ..EXTERNAL };
const OLD: Context = Context { four_octet: false, ..EXTERNAL };

fn read(context: Context, body: &[u8]) -> Result<(Contents, Vec<Route>), (u8, u8)> {
    let mut routes = Vec::new();
    Decoder::new(context)
        .decode(body, &mut routes)
        .map(|contents| (contents, routes))
        .map_err(|reset| (reset.notification.code, reset.notification.subcode))
}

fn route(text: &str, attributes: Option<&Arc<Attributes>>) -> Route {
    Route { prefix: prefix(text), path_id: 0, attributes: attributes.cloned() }
}

/// What the attributes of an announcement become.
fn attributes(context: Context, attributes: &[Vec<u8>]) -> Attributes {
    let (contents, routes) = read(context, &update(&[], attributes, NLRI4)).unwrap();
    assert_eq!(contents.treated_as_withdraw, None);
    assert_eq!(contents.announced, 1);
    Attributes::clone(routes[0].attributes.as_ref().unwrap())
}

/// Why routes with these attributes are withdrawn.
fn withdrawn(context: Context, attributes: &[Vec<u8>]) -> (u8, Fault) {
    let (contents, routes) = read(context, &update(&[], attributes, NLRI4)).unwrap();
    assert_eq!(routes, [route("198.51.100.0/24", None)], "{attributes:?}");
    assert_eq!((contents.announced, contents.withdrawn), (0, 1));
    let problem = contents.treated_as_withdraw.unwrap();
    (problem.attribute, problem.fault)
}

/// What is left out of these attributes, whose routes are announced all the same.
fn discarded(context: Context, attributes: &[Vec<u8>]) -> (u8, Fault) {
    let (contents, routes) = read(context, &update(&[], attributes, NLRI4)).unwrap();
    assert!(routes[0].attributes.is_some(), "{attributes:?}");
    assert_eq!(contents.treated_as_withdraw, None);
    let problem = contents.discarded.unwrap();
    (problem.attribute, problem.fault)
}

/// The mandatory ones with another one behind them.
fn with(more: Vec<u8>) -> Vec<Vec<u8>> {
    let mut attributes = mandatory();
    attributes.push(more);
    attributes
}

#[test]
fn announcements_withdrawals_and_both_families_in_one_update() {
    let body = update(
        &[16, 203, 0],
        &[
            reach6(NLRI6),
            unreach6(&[48, 0x20, 1, 0x0d, 0xb8, 0, 1]),
            origin(),
            as_path(&[64_500, 64_500, 4_200_000_000]),
            next_hop(),
            attribute(OPTIONAL, 4, &[0, 0, 0, 7]),
            attribute(WELL_KNOWN, 5, &[0, 0, 0, 100]),
            attribute(TRANSITIVE, 8, &[0, 1, 0, 2]),
        ],
        // A prefix with bits behind its length, and a default route.
        &[24, 198, 51, 100, 23, 10, 0, 1, 0],
    );
    let (contents, routes) = read(INTERNAL, &body).unwrap();
    assert_eq!(contents, Contents { announced: 4, withdrawn: 2, ..Contents::default() });
    let attributes = Some(&Arc::new(Attributes {
        path: [64_500, 64_500, 4_200_000_000].into(),
        set: [].into(),
        local_pref: Some(100),
        med: Some(7),
        origin: 0,
    }));
    assert_eq!(
        routes,
        [
            route("203.0.0.0/16", None),
            route("2001:db8:1::/48", None),
            route("2001:db8::/32", attributes),
            route("198.51.100.0/24", attributes),
            route("10.0.0.0/23", attributes),
            route("0.0.0.0/0", attributes),
        ]
    );
    // One for all, not one each.
    assert!(routes[2..].windows(2).all(|pair| {
        Arc::ptr_eq(pair[0].attributes.as_ref().unwrap(), pair[1].attributes.as_ref().unwrap())
    }));
}

#[test]
fn host_routes_and_empty_paths() {
    let attributes =
        [origin(), attribute(WELL_KNOWN, 2, &[]), next_hop(), reach6(&[&[128][..], &[0xfe; 16]].concat())];
    let (_, routes) = read(INTERNAL, &update(&[], &attributes, &[32, 192, 0, 2, 1])).unwrap();
    assert_eq!(routes[0].prefix, prefix("fefe:fefe:fefe:fefe:fefe:fefe:fefe:fefe/128"));
    assert_eq!(routes[1].prefix, prefix("192.0.2.1/32"));
    assert_eq!(routes[1].attributes.as_ref().unwrap().path.len(), 0);
}

#[test]
fn end_of_rib() {
    let end = |context, body: &[u8]| read(context, body).unwrap().0.end_of_rib;
    assert_eq!(end(EXTERNAL, &[0, 0, 0, 0]), Some(Family::Ipv4));
    assert_eq!(end(EXTERNAL, &update(&[], &[unreach6(&[])], &[])), Some(Family::Ipv6));
    assert_eq!(end(EXTERNAL, &update(&[], &[unreach6(NLRI6)], &[])), None);
    assert_eq!(end(EXTERNAL, &update(NLRI4, &[unreach6(&[])], &[])), None);
    assert_eq!(end(EXTERNAL, &update(&[], &[attribute(OPTIONAL, 15, &[0, 1, 128])], &[])), None);
    let only4 = Context { families: Families { ipv4: true, ipv6: false }, ..EXTERNAL };
    assert_eq!(end(only4, &update(&[], &[unreach6(&[])], &[])), None);
}

#[test]
fn add_path_has_identifiers() {
    let context = Context { add_path: Families { ipv4: true, ipv6: false }, ..EXTERNAL };
    let body = update(
        &[0, 0, 0, 9, 16, 203, 0],
        &[mandatory().concat(), reach6(NLRI6)],
        &[0, 0, 0, 1, 24, 198, 51, 100, 255, 255, 255, 255, 24, 198, 51, 100],
    );
    let (_, routes) = read(context, &body).unwrap();
    let ids: Vec<_> = routes.iter().map(|route| (route.prefix.to_string(), route.path_id)).collect();
    let expected =
        [("203.0.0.0/16", 9), ("2001:db8::/32", 0), ("198.51.100.0/24", 1), ("198.51.100.0/24", u32::MAX)];
    assert_eq!(ids, expected.map(|(prefix, id)| (prefix.to_owned(), id)));
}

#[test]
fn families_that_are_not_taken_are_passed_over() {
    let only6 = Context { families: Families { ipv4: false, ipv6: true }, ..EXTERNAL };
    let (contents, routes) = read(only6, &update(NLRI4, &with(reach6(NLRI6)), NLRI4)).unwrap();
    assert_eq!(routes.len(), 1);
    assert_eq!((contents.announced, contents.withdrawn, contents.ignored), (1, 0, 2));
    // VPNv4, whose next hop has 12 bytes.
    let vpn = attribute(OPTIONAL, 14, &[&[0, 1, 128, 12][..], &[0; 13], &[1, 2, 3]].concat());
    let (contents, routes) = read(EXTERNAL, &update(&[], &[origin(), as_path(&[1]), vpn], &[])).unwrap();
    assert_eq!((routes.len(), contents.ignored), (0, 1));
}

#[test]
fn multicast_is_no_unicast_route() {
    let nlri = [&[24, 224, 0, 0][..], NLRI4, &[4, 0xe0]].concat();
    let (contents, routes) =
        read(EXTERNAL, &update(&[], &with(reach6(&[8, 0xff, 32, 0x20, 1, 0x0d, 0xb8])), &nlri)).unwrap();
    assert_eq!((contents.announced, contents.ignored, routes.len()), (2, 3, 2));
}

#[test]
fn path_segments() {
    let path = |segments: &[Vec<u8>]| {
        let read =
            attributes(EXTERNAL, &[origin(), attribute(WELL_KNOWN, 2, &segments.concat()), next_hop()]);
        (read.path.to_vec(), read.set.to_vec())
    };
    assert_eq!(path(&[segment(2, &[1, 2]), segment(2, &[3])]), (vec![1, 2, 3], vec![]));
    assert_eq!(path(&[segment(2, &[1]), segment(1, &[9, 5, 9])]), (vec![1], vec![5, 9]));
    assert_eq!(path(&[segment(1, &[9, 5]), segment(2, &[1])]), (vec![1], vec![]));
    // Confederation segments (RFC 5065) are no part of it, wherever they are.
    assert_eq!(
        path(&[segment(3, &[65_001]), segment(4, &[65_002, 65_003]), segment(2, &[1, 2])]),
        (vec![1, 2], vec![])
    );
    assert_eq!(path(&[segment(2, &[1]), segment(1, &[5]), segment(3, &[65_001])]), (vec![1], vec![5]));
}

#[test]
fn paths_of_speakers_with_short_numbers() {
    let path = |as_path: &[Vec<u8>], as4_path: &[Vec<u8>], more: &[Vec<u8>]| {
        let all = [
            &[
                origin(),
                attribute(WELL_KNOWN, 2, &as_path.concat()),
                next_hop(),
                attribute(TRANSITIVE, 17, &as4_path.concat()),
            ],
            more,
        ]
        .concat();
        let read = attributes(OLD, &all);
        (read.path.to_vec(), read.set.to_vec())
    };
    let long = 4_200_000_000;
    // RFC 6793, section 4.2.3: the ASes that came after the last who knew of long numbers, then what those said.
    assert_eq!(
        path(&[short_segment(2, &[100, 23_456, 300])], &[segment(2, &[long, 300])], &[]),
        (vec![100, long, 300], vec![])
    );
    assert_eq!(
        path(&[short_segment(2, &[100, 23_456])], &[segment(2, &[77, long])], &[]),
        (vec![77, long], vec![])
    );
    // The AS4_PATH is longer: it is left out.
    assert_eq!(path(&[short_segment(2, &[100])], &[segment(2, &[77, long])], &[]), (vec![100], vec![]));
    // A set counts as one AS.
    assert_eq!(
        path(
            &[short_segment(2, &[100, 23_456]), short_segment(1, &[5, 6])],
            &[segment(2, &[long]), segment(1, &[5, 6])],
            &[]
        ),
        (vec![100, long], vec![5, 6])
    );
    // An AGGREGATOR with a short AS other than AS_TRANS: neither it nor the path of long ones is used.
    let aggregator = |asn: u16| attribute(TRANSITIVE, 7, &[&asn.to_be_bytes()[..], &[192, 0, 2, 1]].concat());
    let short = [short_segment(2, &[100, 23_456])];
    assert_eq!(path(&short, &[segment(2, &[long])], &[aggregator(300)]), (vec![100, 23_456], vec![]));
    assert_eq!(path(&short, &[segment(2, &[long])], &[aggregator(23_456)]), (vec![100, long], vec![]));
    // Of speakers with long numbers it is discarded.
    let mut all = mandatory();
    all.push(attribute(TRANSITIVE, 17, &segment(2, &[7])));
    assert_eq!(discarded(EXTERNAL, &all), (17, Fault::Foreign));
    assert_eq!(attributes(EXTERNAL, &all).path.to_vec(), [64_500, 3356]);
}

/// RFC 7606, section 3 (d).
#[test]
fn mandatory_attributes_that_are_missing() {
    for (missing, kind) in [(0, 1), (1, 2), (2, 3)] {
        let mut attributes = mandatory();
        attributes.remove(missing);
        assert_eq!(withdrawn(EXTERNAL, &attributes), (kind, Fault::Missing));
    }
    // MP_REACH_NLRI has its next hop in itself.
    let (contents, _) = read(EXTERNAL, &update(&[], &[reach6(NLRI6), origin(), as_path(&[1])], &[])).unwrap();
    assert_eq!((contents.announced, contents.treated_as_withdraw), (1, None));
}

/// RFC 7606, section 3 (c).
#[test]
fn flags_that_cannot_be() {
    for (place, kind) in [(0, 1), (1, 2), (2, 3)] {
        let mut attributes = mandatory();
        attributes[place][0] = 0xc0;
        assert_eq!(withdrawn(EXTERNAL, &attributes), (kind, Fault::Flags));
    }
    for (flags, kind, value) in [
        (WELL_KNOWN, 4, &[0, 0, 0, 1][..]),
        (OPTIONAL, 8, &[0, 0, 0, 1]),
        (WELL_KNOWN, 9, &[0, 0, 0, 1]),
        (TRANSITIVE, 10, &[0, 0, 0, 1]),
        (OPTIONAL, 16, &[0; 8]),
        (OPTIONAL, 32, &[0; 12]),
    ] {
        assert_eq!(withdrawn(INTERNAL, &with(attribute(flags, kind, value))), (kind, Fault::Flags));
    }
    // The prefixes of an MP_REACH_NLRI are withdrawn too.
    let mut reach = reach6(NLRI6);
    reach[0] = TRANSITIVE;
    let (contents, routes) = read(EXTERNAL, &update(&[], &with(reach), NLRI4)).unwrap();
    assert_eq!(routes, [route("2001:db8::/32", None), route("198.51.100.0/24", None)]);
    assert_eq!((contents.announced, contents.withdrawn), (0, 2));
    // The partial flag and the four unused bits may be anything (RFC 4271, section 4.3).
    attributes(EXTERNAL, &with(attribute(TRANSITIVE | 0x2f, 8, &[0, 0, 0, 1])));
}

/// RFC 7606, section 3 (g).
#[test]
fn attributes_that_come_twice() {
    let twice = [mandatory(), vec![as_path(&[1]), as_path(&[2])]].concat();
    assert_eq!(discarded(EXTERNAL, &twice), (2, Fault::Twice));
    assert_eq!(attributes(EXTERNAL, &twice).path.to_vec(), [64_500, 3356]);
    let unknown = attribute(TRANSITIVE, 200, &[1]);
    assert_eq!(
        discarded(EXTERNAL, &[mandatory(), vec![unknown.clone(), unknown]].concat()),
        (200, Fault::Twice)
    );
    for twice in [reach6(NLRI6), unreach6(NLRI6)] {
        let all = [mandatory(), vec![twice.clone(), twice]].concat();
        assert_eq!(read(EXTERNAL, &update(&[], &all, NLRI4)), Err((3, 1)));
    }
}

/// RFC 7606, section 4.
#[test]
fn attribute_lengths_that_conflict() {
    // An attribute that is longer than what is left of the attributes: prefixes behind them are found all the same.
    let mut long = attribute(TRANSITIVE, 8, &[0, 0, 0, 1]);
    long[2] = 5;
    assert_eq!(withdrawn(EXTERNAL, &with(long)), (0, Fault::Length));
    for rest in [&[0x40][..], &[0x40, 1], &[0x50, 1, 0]] {
        assert_eq!(withdrawn(EXTERNAL, &with(rest.to_vec())), (0, Fault::Length));
    }
    // Lengths that do not fit in the message are no list of attributes.
    let good = update(NLRI4, &mandatory(), &[]);
    for (place, value) in [(0, 0xff), (1, 200), (6, 0xff), (7, 200)] {
        let mut body = good.clone();
        body[place] = value;
        assert_eq!(read(EXTERNAL, &body), Err((3, 1)), "{place}");
    }
    for end in [0, 1, 3, 5, 6, 7, good.len() - 1] {
        assert_eq!(read(EXTERNAL, &good[..end]), Err((3, 1)), "{end}");
    }
}

/// RFC 7606, section 5.2.
#[test]
fn withdrawing_needs_prefixes() {
    let bad = attribute(WELL_KNOWN, 1, &[3]);
    assert_eq!(read(EXTERNAL, &update(&[], std::slice::from_ref(&bad), &[])), Err((3, 1)));
    assert_eq!(read(EXTERNAL, &update(NLRI4, &[bad, unreach6(NLRI6)], &[])), Err((3, 1)));
    // What is only discarded does not matter, nor does what is missing.
    let only = attribute(WELL_KNOWN, 6, &[1]);
    let (contents, routes) = read(EXTERNAL, &update(NLRI4, &[only], &[])).unwrap();
    assert_eq!((contents.withdrawn, routes.len()), (1, 1));
    assert!(contents.discarded.is_some());
    // Of MP_UNREACH_NLRI alone the prefixes are known.
    let mut unreach = unreach6(NLRI6);
    unreach[0] = TRANSITIVE;
    assert_eq!(read(EXTERNAL, &update(&[], &[unreach], &[])).unwrap().1, [route("2001:db8::/32", None)]);
}

/// RFC 7606, section 5.3.
#[test]
fn prefixes_that_do_not_fit() {
    for nlri in [&[33, 1, 2, 3, 4, 5][..], &[24, 1, 2], &[255], &[24, 198, 51, 100, 8]] {
        assert_eq!(read(EXTERNAL, &update(&[], &mandatory(), nlri)), Err((3, 10)), "{nlri:?}");
        assert_eq!(read(EXTERNAL, &update(nlri, &[], &[])), Err((3, 10)), "{nlri:?}");
    }
    for nlri in [&[[129].as_slice(), &[0; 17]].concat()[..], &[64, 1, 2]] {
        assert_eq!(read(EXTERNAL, &update(&[], &with(reach6(nlri)), &[])), Err((3, 9)), "{nlri:?}");
        assert_eq!(read(EXTERNAL, &update(&[], &[unreach6(nlri)], &[])), Err((3, 9)), "{nlri:?}");
    }
    // A reset leaves no routes of its UPDATE.
    let mut routes = vec![route("192.0.2.0/24", None)];
    let body = update(NLRI4, &mandatory(), &[24, 198, 51, 100, 8]);
    Decoder::new(EXTERNAL).decode(&body, &mut routes).unwrap_err();
    assert_eq!(routes, [route("192.0.2.0/24", None)]);
    // Without the path identifiers that were agreed.
    let context = Context { add_path: Families::BOTH, ..EXTERNAL };
    assert_eq!(read(context, &update(&[], &mandatory(), NLRI4)), Err((3, 10)));
}

/// RFC 7606, sections 7.1 to 7.4 and 7.8 to 7.15; RFC 8092, section 5; RFC 9234, section 5; RFC 7607.
#[test]
fn malformed_attributes_that_withdraw() {
    let instead = |place: usize, value: &[u8]| {
        let mut attributes = mandatory();
        let [flags, kind] = [attributes[place][0], attributes[place][1]];
        attributes[place] = attribute(flags, kind, value);
        attributes
    };
    assert_eq!(withdrawn(EXTERNAL, &instead(0, &[3])), (1, Fault::Value));
    assert_eq!(withdrawn(EXTERNAL, &instead(0, &[])), (1, Fault::Length));
    assert_eq!(withdrawn(EXTERNAL, &instead(0, &[0, 0])), (1, Fault::Length));
    for (path, fault) in [
        (vec![5, 1, 0, 0, 0, 1], Fault::Value),
        (vec![0, 1, 0, 0, 0, 1], Fault::Value),
        (vec![2, 2, 0, 0, 0, 1], Fault::Length),
        (vec![2, 1, 0, 0, 0, 1, 2], Fault::Length),
        (vec![2, 1, 0, 0, 0, 1, 2, 0], Fault::Length),
        (vec![2, 0], Fault::Length),
        (segment(2, &[64_500, 0]), Fault::Value),
        (segment(3, &[0]), Fault::Value),
        (
            [segment(2, &[1; 255]), segment(2, &[1; 255]), segment(2, &[1; 255]), segment(2, &[1; 236])]
                .concat(),
            Fault::TooLong,
        ),
    ] {
        assert_eq!(withdrawn(EXTERNAL, &instead(1, &path)), (2, fault), "{path:?}");
    }
    let longest =
        [segment(2, &[1; 255]), segment(2, &[1; 255]), segment(2, &[1; 255]), segment(2, &[1; 235])];
    assert_eq!(attributes(EXTERNAL, &instead(1, &longest.concat())).path.len(), MAX_PATH);
    assert_eq!(withdrawn(EXTERNAL, &instead(2, &[192, 0, 2])), (3, Fault::Length));
    for (flags, kind, value) in [
        (OPTIONAL, 4, &[0; 3][..]),
        (OPTIONAL, 4, &[0; 5]),
        (WELL_KNOWN, 5, &[0; 3]),
        (TRANSITIVE, 8, &[]),
        (TRANSITIVE, 8, &[0; 6]),
        (OPTIONAL, 9, &[0; 5]),
        (OPTIONAL, 10, &[]),
        (OPTIONAL, 10, &[0; 5]),
        (TRANSITIVE, 16, &[]),
        (TRANSITIVE, 16, &[0; 12]),
        (TRANSITIVE, 25, &[0; 8]),
        (TRANSITIVE, 32, &[0; 8]),
        (TRANSITIVE, 35, &[0; 2]),
    ] {
        assert_eq!(
            withdrawn(INTERNAL, &with(attribute(flags, kind, value))),
            (kind, Fault::Length),
            "{kind}"
        );
    }
}

/// RFC 7606, sections 7.5 to 7.7, 7.9 and 7.10; RFC 6793, section 6; RFC 7607.
#[test]
fn malformed_attributes_that_are_discarded() {
    for (flags, kind, value, fault) in [
        (WELL_KNOWN, 6, &[0][..], Fault::Length),
        (TRANSITIVE, 7, &[0, 1, 192, 0, 2, 1], Fault::Length),
        (TRANSITIVE, 7, &[], Fault::Length),
        (TRANSITIVE, 7, &[0, 0, 0, 0, 192, 0, 2, 1], Fault::Value),
        (WELL_KNOWN, 5, &[0, 0, 0, 100], Fault::Foreign),
        (OPTIONAL, 9, &[1], Fault::Foreign),
        (OPTIONAL, 10, &[1], Fault::Foreign),
        (TRANSITIVE, 17, &[1], Fault::Foreign),
        (TRANSITIVE, 18, &[1], Fault::Foreign),
    ] {
        assert_eq!(discarded(EXTERNAL, &with(attribute(flags, kind, value))), (kind, fault), "{kind}");
    }
    let local_pref = with(attribute(WELL_KNOWN, 5, &[0, 0, 0, 100]));
    assert_eq!(attributes(EXTERNAL, &local_pref).local_pref, None);
    assert_eq!(attributes(INTERNAL, &local_pref).local_pref, Some(100));
    for (kind, value) in [
        (17, &[][..]),
        (17, &[2, 2, 0, 0, 0, 1]),
        (17, &[2, 0]),
        (17, &[9, 1, 0, 0, 0, 1]),
        (17, &[2, 1, 0, 0, 0, 0]),
        (18, &[0; 6]),
    ] {
        let attributes = [
            origin(),
            attribute(WELL_KNOWN, 2, &short_segment(2, &[100])),
            next_hop(),
            attribute(TRANSITIVE, kind, value),
        ];
        assert_eq!(discarded(OLD, &attributes).0, kind, "{value:?}");
    }
}

/// RFC 7606, sections 7.11 and 7.12; RFC 4271, section 6.3.
#[test]
fn what_resets_the_session() {
    for (value, name) in [
        (&[][..], "empty"),
        (&[0, 2, 1], "no next hop"),
        (&[0, 2, 1, 16, 1, 2], "a next hop that is cut"),
        (&[0, 2, 1, 4, 192, 0, 2, 1, 0], "a next hop of 4 bytes"),
        (&[0, 2, 1, 0, 0], "a next hop of no bytes"),
        (&[0, 1, 1, 5, 1, 2, 3, 4, 5, 0], "a next hop of 5 bytes"),
    ] {
        assert_eq!(
            read(EXTERNAL, &update(&[], &with(attribute(OPTIONAL, 14, value)), NLRI4)),
            Err((3, 9)),
            "{name}"
        );
    }
    assert_eq!(read(EXTERNAL, &update(&[], &[attribute(OPTIONAL, 15, &[0, 2])], &[])), Err((3, 9)));
    assert_eq!(read(EXTERNAL, &update(&[], &with(attribute(WELL_KNOWN, 99, &[1])), NLRI4)), Err((3, 2)));
    // What is unknown and optional is nothing to us.
    attributes(EXTERNAL, &with(attribute(OPTIONAL, 99, &[1])));
}

/// RFC 7606, section 3 (h): the strongest action is taken.
#[test]
fn several_faults() {
    let all = [mandatory(), vec![attribute(WELL_KNOWN, 6, &[1]), attribute(OPTIONAL, 4, &[1])]].concat();
    assert_eq!(withdrawn(EXTERNAL, &all), (4, Fault::Length));
    let reset = [all, vec![attribute(OPTIONAL, 14, &[0])]].concat();
    assert_eq!(read(EXTERNAL, &update(&[], &reset, NLRI4)), Err((3, 9)));
}

fn any_context() -> impl Strategy<Value = Context> {
    any::<[bool; 6]>().prop_map(|[four_octet, internal, four, six, add4, add6]| Context {
        four_octet,
        internal,
        families: Families { ipv4: four, ipv6: six },
        add_path: Families { ipv4: add4, ipv6: add6 },
    })
}

/// Everything that an UPDATE can have, some of it well made.
fn any_update() -> impl Strategy<Value = Vec<u8>> {
    let bytes = |most| proptest::collection::vec(any::<u8>(), 0..most);
    let one = prop_oneof![
        Just(origin()),
        Just(next_hop()),
        proptest::collection::vec(1u32.., 1..6).prop_map(|asns| as_path(&asns)),
        Just(reach6(NLRI6)),
        Just(unreach6(NLRI6)),
        (any::<u8>(), 0..40u8, bytes(40)).prop_map(|(flags, kind, value)| attribute(flags, kind, &value)),
        (0..40u8, bytes(40)).prop_map(|(kind, value)| attribute(TRANSITIVE, kind, &value)),
    ];
    let prefixes = || prop_oneof![Just(NLRI4.to_vec()), Just(vec![]), bytes(20)];
    (prefixes(), proptest::collection::vec(one, 0..8), prefixes())
        .prop_map(|(withdrawn, attributes, nlri)| update(&withdrawn, &attributes, &nlri))
}

proptest! {
    #[test]
    fn any_update_is_read_without_panic(context in any_context(), body in any_update(), random in proptest::collection::vec(any::<u8>(), 0..100)) {
        for body in [&body, &random] {
            let mut routes = Vec::new();
            match Decoder::new(context).decode(body, &mut routes) {
                Ok(contents) => prop_assert_eq!(contents.announced + contents.withdrawn, routes.len()),
                Err(reset) => {
                    prop_assert!(routes.is_empty());
                    prop_assert_eq!(reset.notification.code, 3);
                }
            }
        }
    }

    #[test]
    fn mutated_updates_are_read_without_panic(
        context in any_context(),
        mut body in any_update(),
        mutations in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
        end: prop::sample::Index,
    ) {
        for (at, byte) in mutations {
            let at = at.index(body.len());
            body[at] = byte;
        }
        body.truncate(end.index(body.len()) + 1);
        let mut routes = Vec::new();
        let _ = Decoder::new(context).decode(&body, &mut routes);
    }

    #[test]
    fn a_decoder_keeps_nothing_of_the_update_before(context in any_context(), first in any_update(), second in any_update()) {
        let mut used = Decoder::new(context);
        let _ = used.decode(&first, &mut Vec::new());
        let (mut after, mut fresh) = (Vec::new(), Vec::new());
        prop_assert_eq!(used.decode(&second, &mut after), Decoder::new(context).decode(&second, &mut fresh));
        prop_assert_eq!(after, fresh);
    }
}
